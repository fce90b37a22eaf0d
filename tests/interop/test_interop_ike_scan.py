"""ike-scan finds our IKEv1 responder, shakes hands with it, and reads what it says."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from interop_charon import wait_for

pytestmark = pytest.mark.interop
OURS = "(1=7,14=256,2=4,3=1,4=14)"  # AES-256, SHA2-256, pre-shared key, MODP-2048 (RFC 2409 appendix A)
SETTINGS = """
version = 1
local.address = "127.0.0.1"
local.id = "gateway.example"
secrets.psk = "a test key that is no secret"
ike.proposals = ["AES_CBC-256 SHA2_256 MODP_2048"]
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The IKE port of a responder on loopback."""
    if shutil.which("ike-scan") is None:
        pytest.skip("not installed: ike-scan")
    folder = tmp_path_factory.mktemp("ike-scan")
    settings, said = folder / "responder.toml", folder / "said"
    settings.write_text(SETTINGS)
    command = [sys.executable, "-m", "ipsecscope", "respond", str(settings), "--port", "0", "--nat-port", "0"]
    with said.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            yield wait_for("we listen", lambda: re.search(r"listening on \S+ port (\d+)", said.read_text()))[1]
        finally:
            process.send_signal(signal.SIGINT)


def scanned(port: str, *options: str) -> str:
    command = ["ike-scan", "--sport=0", f"--dport={port}", "--multiline", *options, "127.0.0.1"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        pytest.param((), "Main", id="main mode"),
        pytest.param(("--aggressive", "--id=ike-scan", "--dhgroup=14"), "Aggressive", id="aggressive mode"),
    ],
)
def test_ike_scan_gets_a_handshake(port: str, options: tuple[str, ...], mode: str) -> None:
    said = scanned(port, f"--trans={OURS}", *options)
    assert f"{mode} Mode Handshake returned" in said
    assert "SA=(Enc=AES KeyLength=256 Hash=SHA2-256 Auth=PSK Group=14:modp2048)" in said
    assert "Dead Peer Detection v1.0" in said
    if mode == "Aggressive":
        assert "ID(Type=ID_FQDN, Value=gateway.example)" in said


def test_ike_scan_without_a_common_transform_is_told_so(port: str) -> None:
    assert "NO-PROPOSAL-CHOSEN" in scanned(port)
