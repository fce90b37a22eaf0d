"""The written Wireshark profile, in the hands of tshark: it decrypts what we decrypt, in every suite it has a name for."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import SHARED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord, SaKeys
from ipsecscope.reports.convert import convert
from ipsecscope.reports.key_forms import KeyForm
from ipsecscope.timeline.analysis import Analysis, analyze

LAB = SHARED / "captures" / "lab"

AES = (
    "ikev1-aggressive-psk",
    "ikev1-main-psk",
    "ikev1-nat-t",
    "ikev1-rekey-child",
    "ikev2-child-rekey-pfs",
    "ikev2-eap-mschapv2",
    "ikev2-ike-rekey-responder-gcm",
    "ikev2-ipv6-outer",
    "ikev2-nat-t",
    "ikev2-psk-aes256ctr-sha512",
    "ikev2-psk-aes256gcm16-prfsha384-ecp384",
    "xfrm-ikev2-child-rekey-pfs",
    "xfrm-manual-esp-transport-v6-gcm",
)
# Here the keys of IKE lead to those of ESP without another secret.
DERIVABLE = ("ikev1-nat-t", "ikev2-eap-mschapv2", "ikev2-ike-rekey-responder-gcm", "ikev2-psk-aes256ctr-sha512")

pytestmark = [
    pytest.mark.shared,
    pytest.mark.interop,
    pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed"),
]


def tshark(folder: Path, capture: Path) -> tuple[int, int, int]:
    """IKE messages and ESP packets that tshark decrypts with this configuration, and ICVs that it finds right."""
    fields = (
        "isakmp.flags",
        "isakmp.enc.decrypted",
        "isakmp.typepayload",
        "esp.protocol",
        "esp.icv_good",
        "isakmp.version",
    )
    command = ["tshark", "-n", "-r", str(capture), "-T", "fields", *(word for name in fields for word in ("-e", name))]
    env = os.environ | {"WIRESHARK_CONFIG_DIR": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    ike = esp = good = 0
    for line in done.stdout.splitlines():
        flags, decrypted, kinds, protocol, icv, version = line.split("\t")
        is_v1 = version == "0x10"
        ike += bool(decrypted) or (is_v1 and bool(kinds) and bool(int(flags, 16) & 1))
        esp += bool(protocol)
        good += icv in {"1", "True"}
    return ike, esp, good


def ours(analysis: Analysis) -> tuple[int, int]:
    ike = sum(
        record.opening is not None and record.opening.is_open
        for sa in analysis.ike_sas
        for exchange in sa.exchanges
        for record in (*exchange.request, *exchange.response, *exchange.repeats)
    )
    return ike, sum(result.opened for result in analysis.traffic.values())


def records_of(scenario: str) -> list[KeyRecord]:
    return list(read_keys(LAB / scenario / "keys.json").records)


@pytest.mark.parametrize("scenario", AES)
def test_profile_opens_in_tshark_what_opens_here(scenario: str, tmp_path: Path) -> None:
    capture = LAB / scenario / "capture.pcap"
    analysis = analyze([str(capture)], ring=KeyRing(records_of(scenario)))
    done = convert(
        [*analysis.keys, *records_of(scenario)], KeyForm.wireshark_profile, tmp_path / "p", capture=str(capture)
    )
    assert not done.left_out
    ike, esp, _ = tshark(tmp_path / "p", capture)
    assert (ike, esp) == ours(analysis)
    verdict = json.loads((LAB / scenario / "tshark-verify.json").read_text())["capture.pcap"]
    assert (ike, esp) == (verdict["ike_decrypted"], verdict["esp_decrypted"])


@pytest.mark.parametrize("scenario", DERIVABLE)
def test_capture_adds_the_keys_that_ike_keys_lead_to(scenario: str, tmp_path: Path) -> None:
    """From the keys of IKE alone; who has those needs no ESP key."""
    capture = LAB / scenario / "capture.pcap"
    ike_keys = [record for record in records_of(scenario) if not isinstance(record, SaKeys)]
    analysis = analyze([str(capture)], ring=KeyRing(ike_keys))
    derived = [record for record in analysis.keys if isinstance(record, SaKeys)]
    assert len(derived) >= 2
    assert all(record.spi and record.src and record.dst for record in derived)
    convert([*analysis.keys, *ike_keys], KeyForm.wireshark_profile, tmp_path / "p")
    ike, esp, good = tshark(tmp_path / "p", capture)
    assert (ike, esp) == ours(analysis)
    assert good == esp > 0


def test_profile_is_private_and_the_command_names_it(tmp_path: Path) -> None:
    scenario = "ikev2-nat-t"
    capture = str(LAB / scenario / "capture.pcap")
    analysis = analyze([capture], ring=KeyRing(records_of(scenario)))
    done = convert(analysis.keys, KeyForm.wireshark_profile, tmp_path / "my profile", capture=capture)
    assert re.fullmatch(r"WIRESHARK_CONFIG_DIR='.*/my profile' wireshark -r \S+", done.command)
    assert stat.S_IMODE((tmp_path / "my profile").stat().st_mode) == 0o700
    for path in (tmp_path / "my profile").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
