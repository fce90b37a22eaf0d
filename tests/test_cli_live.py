"""``respond`` and ``initiate`` as a user meets them: exit codes, one line per fault, files, signals."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from ipsecscope.cli import app
from ipsecscope.decrypt.keylogs import read_keys

PROGRAM = (sys.executable, "-W", "error", "-m", "ipsecscope")
QUICK = "[patience]\nretransmit_after_s = 0.05\nretransmissions = 1\n"
PSK = '[secrets]\npsk = "swordfish"\n'


def refusal(folder: Path, settings: str, *options: str, command: str = "initiate") -> str:
    """The one line that a command says before it ends with exit code 2."""
    (folder / "peer.toml").write_text(settings)
    with contextlib.chdir(folder):
        result = CliRunner().invoke(app, [command, "peer.toml", *options], catch_exceptions=False)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    return line.removeprefix("ipsecscope: ")


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("version = 3", "peer.toml: version: Invalid enum value 3; expected 1, 2"),
        (
            "[remotes]",
            (
                "peer.toml: remotes: no such key; expected one of version, name, local, remote, secrets, eap, xauth, ike,"
                " child, patience, limits"
            ),
        ),
        (
            "[xauth]\nusers = 1",
            (
                "peer.toml: xauth.users: no such key; expected one of enabled, user, password, password_file,"
                " password_env, push"
            ),
        ),
        ("[local]\nport = 'a'", "peer.toml: local.port: Expected `int`, got `str`"),
        (PSK + "[local]\nport = 70000", "peer.toml: local.port: a port from 0 to 65535 is expected"),
        (
            PSK + "[local]\nport = 7\nnat_port = 7",
            "peer.toml: local.nat_port: another port than local.port is expected",
        ),
        (PSK + "[local]\naddress = 'here'", 'peer.toml: local.address: "here" is no IP address'),
        (
            PSK + "[remote]\naddress = '::1'",
            "peer.toml: remote.address: an address of the IP version of 127.0.0.1 is expected",
        ),
        (
            PSK + "[local]\nnetworks = ['ten']",
            'peer.toml: local.networks: "ten" is no network and no range of addresses',
        ),
        (
            PSK + "[local]\nid = 'keyid:zz'",
            'peer.toml: local.id: hexadecimal digits are expected behind "keyid:"',
        ),
        (
            PSK + "[local]\nauth = 'hybrid'",
            (
                'peer.toml: local.auth: "hybrid" is not one of psk, rsa, ecdsa, signature, signature-pss, null, eap, which'
                " IKEv2 has"
            ),
        ),
        (
            "version = 1\n" + PSK + "[local]\nauth = 'eap'",
            'peer.toml: local.auth: "eap" is not one of psk, rsa, hybrid, which IKEv1 has',
        ),
        ("", 'peer.toml: secrets.psk: a pre-shared key is expected with local.auth = "psk"'),
        (
            PSK + "psk_file = 'x'",
            "peer.toml: secrets.psk: expected once: as secrets.psk, secrets.psk_file or secrets.psk_env",
        ),
        (
            "[secrets]\npsk_file = 'none'",
            "peer.toml: secrets.psk_file: none cannot be read: No such file or directory",
        ),
        (
            "[secrets]\npsk_env = 'NO_SUCH_VARIABLE'",
            "peer.toml: secrets.psk_env: there is no environment variable NO_SUCH_VARIABLE",
        ),
        (
            "version = 1\n[local]\nauth = 'rsa'",
            'peer.toml: local.private_key: a private key and certificates are expected with local.auth = "rsa"',
        ),
        (
            PSK + "[remote]\nauthorities = ['peer.toml']",
            "peer.toml: remote.authorities: peer.toml is no certificate in PEM or DER",
        ),
        (
            PSK + "[local]\nprivate_key = 'peer.toml'",
            "peer.toml: local.private_key: peer.toml is no unencrypted private key of RSA, ECDSA or EdDSA",
        ),
        ("[local]\nauth = 'eap'", 'peer.toml: eap.user: a user is expected with local.auth = "eap"'),
        (
            PSK + "[eap]\nmethods = ['otp']",
            "peer.toml: eap.methods[0]: Invalid enum value 'otp'; expected md5, gtc, mschapv2, tls",
        ),
        (PSK + "[ike]\nmode = 'base'", "peer.toml: ike.mode: Invalid enum value 'base'; expected main, aggressive"),
        (PSK + "[ike]\nproposals = ['ROT13']", 'peer.toml: ike.proposals: no algorithm is called "ROT13"'),
        (
            "version = 1\n" + PSK + "[ike]\nproposals = ['AES_CBC-128 SHA1']",
            'peer.toml: ike.proposals: "AES_CBC-128 SHA1": a cipher, a hash and a group are expected',
        ),
        (
            PSK + "[ike]\nlifetime_s = 60",
            "peer.toml: ike.lifetime_s: IKEv2 agrees on no lifetimes; rekey_s is expected",
        ),
        (PSK + "[ike]\nrekey_s = -1", "peer.toml: ike.rekey_s: a number of seconds is expected, 0 or more"),
        (
            PSK + "[child]\nesp = ['ENCR_AES_GCM_16-100']",
            'peer.toml: child.esp: "ENCR_AES_GCM_16-100": ENCR_AES_GCM_16 has keys of 128, 192, 256 bits',
        ),
        (
            "version = 1\n" + PSK + "[child]\nah = ['MD9']",
            'peer.toml: child.ah: "AH MD9": no integrity algorithm is called "MD9"',
        ),
        (PSK + "[child]\npfs = 'modp9'", 'peer.toml: child.pfs: no key exchange method is called "modp9"'),
        (PSK + "[ike]\nvendor_ids = ['zz']", "peer.toml: ike.vendor_ids: hexadecimal digits are expected"),
        (PSK + "[eap]\nnewest_tls = '1.1'", "peer.toml: eap.newest_tls: Invalid enum value '1.1'; expected 1.2, 1.3"),
        (PSK + "psks = { a = 'b' }", "peer.toml: secrets.psks: with IKEv2 secrets.psk is expected"),
        (PSK + "[limits]\nhalf_open = -1", "peer.toml: limits.half_open: a number is expected, 0 or more"),
    ],
)
def test_setting_that_cannot_be_used_is_named_with_what_was_expected(tmp_path: Path, settings: str, line: str) -> None:
    assert refusal(tmp_path, settings) == line


def test_settings_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with contextlib.chdir(tmp_path):
        result = CliRunner().invoke(app, ["respond", "none.toml"])
    assert (result.exit_code, result.stderr) == (2, "ipsecscope: none.toml: No such file or directory\n")


def test_port_that_somebody_has_is_named(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        line = refusal(tmp_path, PSK, "--port", str(port), command="respond")
    assert line == f"UDP port {port} of 127.0.0.1 cannot be had: Address already in use"


def test_unspecified_address_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, PSK, "--address", "0.0.0.0", "--port", "0", "--nat-port", "0")
    assert line == "0.0.0.0 is no address of its own: NAT detection needs one that datagrams come to"


def test_address_of_another_ip_version_is_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, PSK, "--address", "::1")
    assert line == "--address: an address of the IP version of 127.0.0.1 is expected"


@pytest.mark.parametrize("option", ["--capture", "--key-log", "--events"])
def test_file_that_exists_is_not_overwritten(tmp_path: Path, option: str) -> None:
    (tmp_path / "old").write_text("precious")
    line = refusal(tmp_path, PSK, option, "old", "--port", "0", "--nat-port", "0")
    assert line.startswith("old: exists; ")
    assert (tmp_path / "old").read_text() == "precious"


def settings(name: str, networks: tuple[str, str], more: str = "", psk: str = PSK) -> str:
    return (
        f'[local]\nport = 0\nnat_port = 0\nid = "{name}.example"\nnetworks = ["{networks[0]}"]\n'
        f'[remote]\nnetworks = ["{networks[1]}"]\n{more}{psk}'
    )


@contextlib.contextmanager
def responding(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A responder as a process of its own, and the lines of a [remote] table that lead to it."""
    (folder / "gateway.toml").write_text(settings("gateway", ("10.1.0.0/16", "10.2.0.0/16")))
    command = [*PROGRAM, "respond", "gateway.toml", *options]
    with subprocess.Popen(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        words = process.stdout.readline().decode().split()
        try:
            yield process, f"port = {words[4]}\nnat_port = {words[7]}\n"
        finally:
            process.kill()


def initiate(folder: Path, remote: str, *options: str, psk: str = PSK) -> subprocess.CompletedProcess[bytes]:
    (folder / "client.toml").write_text(settings("client", ("10.2.0.0/16", "10.1.0.0/16"), remote, psk))
    command = [*PROGRAM, "initiate", "client.toml", *options]
    return subprocess.run(
        command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=False
    )


def test_tunnel_between_two_processes_ends_with_delete_and_leaves_private_key_logs(tmp_path: Path) -> None:
    files = ("--capture", "r.pcapng", "--key-log", "r.keys", "--events", "r.jsonl")
    with responding(tmp_path, *files) as (gateway, remote):
        wrong = initiate(tmp_path, remote, psk='[secrets]\npsk = "mackerel"\n')
        done = initiate(tmp_path, remote, "--ping", "10.1.0.1", "--count", "1", "--key-log", "i.keys")
        gateway.send_signal(signal.SIGTERM)
        said, complained = gateway.communicate()
    assert (wrong.returncode, wrong.stderr) == (
        1,
        b"ipsecscope: no IKE SA was established: IKE_AUTH was refused with AUTHENTICATION_FAILED\n",
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"1 of 1 pings to 10.1.0.1 answered" in done.stdout
    assert (gateway.returncode, complained) == (0, b"")
    assert b'"name":"ike_sa:closed","' in (tmp_path / "r.jsonl").read_bytes().splitlines()[-1]
    for name in ("r.keys", "i.keys"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
        assert read_keys(tmp_path / name).records
    written = b"".join((tmp_path / name).read_bytes() for name in ("r.pcapng", "r.jsonl"))
    assert not any(word in written + said + done.stdout + wrong.stdout for word in (b"swordfish", b"mackerel"))


def test_silence_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        done = initiate(tmp_path, f"port = {silent.getsockname()[1]}\n", psk=PSK + QUICK)
    assert done.returncode == 1
    assert done.stderr == b"ipsecscope: no IKE SA was established: IKE_SA_INIT stayed without an answer\n"
