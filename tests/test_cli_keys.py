"""Keys on the command line: bad lines, wrong keys, every form that is written, files that must not be touched."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from ipsecscope.capture.files import CaptureReader
from ipsecscope.cli import app
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keylogs.exporters import esp_sa_table, ikev2_table, ipsecscope_log
from ipsecscope.decrypt.keys import IkeV2Keys, SaKeys
from ipsecscope.peers.scenario import Generated
from ipsecscope.peers.scenarios import generate

OK, UNUSABLE, PARTIAL = 0, 2, 3
PLAINTEXT = bytes(range(0x26, 0x36))  # in every ping of the built-in peers


class Outcome(NamedTuple):
    """How a run ended."""

    code: int
    out: str
    err: str


def run(*arguments: str | Path) -> Outcome:
    result = CliRunner().invoke(app, [str(each) for each in arguments], catch_exceptions=False)
    return Outcome(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def session() -> Generated:
    """A session with CBC and HMAC, so that integrity and encryption have keys of their own."""
    return generate("ikev2-cbc")


@pytest.fixture
def folder(session: Generated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the capture, our key log of it, and the two tables of Wireshark."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tunnel.pcapng").write_bytes(session.pcapng)
    (tmp_path / "keys.jsonl").write_text(ipsecscope_log(session.keys))
    (tmp_path / "esp_sa").write_text(esp_sa_table(session.keys).text)
    (tmp_path / "ikev2_decryption_table").write_text(ikev2_table(session.keys).text)
    return tmp_path


def flows(*keys: str) -> list[dict[str, object]]:
    found = run("analyze", "tunnel.pcapng", "--format", "json", *(word for each in keys for word in ("--keys", each)))
    report: dict[str, list[dict[str, object]]] = json.loads(found.out)
    return report["flows"]


def inner_frames(path: Path) -> int:
    with CaptureReader(str(path)) as reader:
        return sum(len(window) for window in reader.windows())


# -- bad lines ----------------------------------------------------------------------------------------------------

BAD_LINES = {
    "odd digits": (
        '"IPv4","*","*","0x1001","AES-CBC [RFC3602]","0x00112","NULL",""',
        "odd number of hexadecimal digits",
    ),
    "no digits": ('"IPv4","*","*","0x1001","AES-CBC [RFC3602]","0xzz","NULL",""', "not hexadecimal"),
    "key too long": (f'"IPv4","*","*","0x1001","AES-CBC [RFC3602]","0x{"5a" * 20}","NULL",""', "20 octets of key for"),
    "unknown suite": (f'"IPv4","*","*","0x1001","ROT-13","0x{"5a" * 16}","NULL",""', "ROT-13"),
    "unknown integrity": (f'"IPv4","*","*","0x1001","AES-CBC [RFC3602]","0x{"5a" * 16}","CRC-32","0x00"', "CRC-32"),
    "too few columns": ('"IPv4","*","*","0x1001"', "columns"),
}


@pytest.mark.parametrize("name", BAD_LINES)
@pytest.mark.parametrize("command", ["analyze", "export"])
def test_bad_line_is_named_and_the_others_are_used(folder: Path, name: str, command: str) -> None:
    line, reason = BAD_LINES[name]
    good = (folder / "esp_sa").read_text()
    (folder / "mixed").write_text(f"# keys\n{line}\n{good}")
    more = ("--inner", "inner.pcapng") if command == "export" else ()
    done = run(command, "tunnel.pcapng", "--keys", "mixed", *more)
    assert done.code == PARTIAL
    said = [text for text in done.err.splitlines() if "mixed:2: " in text]
    assert len(said) == 1
    assert reason in said[0]
    assert "5a5a" not in done.err
    assert "Traceback" not in done.err
    assert all(flow["opened"] and not flow["refused"] for flow in flows("mixed"))
    if command == "export":
        assert inner_frames(folder / "inner.pcapng") > 0


def test_bad_line_in_a_process_of_its_own(folder: Path) -> None:
    (folder / "bad").write_text(BAD_LINES["key too long"][0] + "\n")
    command = [sys.executable, "-W", "error", "-m", "ipsecscope", "keys", "convert", "bad", "--to", "ipsecscope", "out"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)
    assert done.returncode == UNUSABLE
    assert done.stderr.splitlines()[0].startswith("ipsecscope: bad:1: 20 octets of key for")
    assert not (folder / "out").exists()


# -- wrong keys ---------------------------------------------------------------------------------------------------


def changed(session: Generated, *, encryption: bool, integrity: bool) -> str:
    """Our key log of the session with other ESP keys, and nothing of IKE."""
    made = []
    for record in session.keys:
        if isinstance(record, SaKeys):
            octets = {"encryption_key": encryption, "integrity_key": integrity}
            line = json.loads(ipsecscope_log([record]).splitlines()[1])
            for name, field in (("encryption_key", "key"), ("integrity_key", "integ_key")):
                if octets[name]:
                    line[field] = bytes(octet ^ 1 for octet in bytes.fromhex(line[field])).hex()
            made.append(json.dumps(line, separators=(",", ":")))
    return "\n".join(made) + "\n"


@pytest.mark.parametrize(
    ("encryption", "integrity", "reason"),
    [
        (True, True, "integrity check failed"),
        (False, True, "integrity check failed"),
        (True, False, "the ICV is right, but padding or next header are not: check the encryption key"),
    ],
    ids=["both", "integrity", "encryption"],
)
def test_wrong_key_is_refused_and_shows_nothing(
    folder: Path, session: Generated, encryption: bool, integrity: bool, reason: str
) -> None:
    (folder / "wrong").write_text(changed(session, encryption=encryption, integrity=integrity))
    found = flows("wrong")
    assert found
    for flow in found:
        assert (flow["opened"], flow["reason"]) == (0, reason)
        assert flow["refused"] == flow["packets"]
    done = run("export", "tunnel.pcapng", "-k", "wrong", "--inner", "i", "--decrypted", "d", "--annotated", "a")
    assert done.code == PARTIAL
    assert f"not opened: {reason}" in done.err
    assert inner_frames(folder / "i") == 0
    for text in ("text", "json", "jsonl"):
        run("analyze", "tunnel.pcapng", "-k", "wrong", "--format", text, "-o", f"report.{text}")
    for path in folder.iterdir():
        if path.name not in ("tunnel.pcapng", "keys.jsonl"):
            assert PLAINTEXT not in path.read_bytes(), path.name
    good = run("export", "tunnel.pcapng", "-k", "keys.jsonl", "--inner", "good")
    assert good.code == OK
    assert PLAINTEXT in (folder / "good").read_bytes()


def test_keys_of_another_session_open_nothing_of_ike(folder: Path) -> None:
    (folder / "other").write_text(ipsecscope_log(generate("ikev2-cbc", seed=5).keys))
    report = json.loads(run("analyze", "tunnel.pcapng", "-k", "other", "--format", "json").out)
    assert report["keys"]["ike_opened"] == report["keys"]["packets_opened"] == 0
    done = run("export", "tunnel.pcapng", "-k", "other", "--decrypted", "d")
    assert done.code == PARTIAL
    assert "0 IKE messages in the clear" in done.out


# -- where keys come from -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", "."])
def test_key_file_that_cannot_be_read_is_one_line(folder: Path, name: str) -> None:
    for arguments in (
        ("export", "tunnel.pcapng", "-k", name, "--inner", "i"),
        ("keys", "convert", name, "out", "--to", "esps"),
    ):
        done = run(*arguments)
        assert done.code == UNUSABLE
        assert len(done.err.splitlines()) == 1
        assert name in done.err
    assert not (folder / "i").exists()


def test_keys_come_from_the_environment(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUNNEL_KEYS", (folder / "keys.jsonl").read_text())
    assert run("export", "tunnel.pcapng", "-k", "env:TUNNEL_KEYS", "--inner", "inner").code == OK
    assert all(flow["opened"] == flow["packets"] for flow in flows("env:TUNNEL_KEYS"))
    monkeypatch.setenv("TUNNEL_KEYS", BAD_LINES["unknown suite"][0])
    assert "env:TUNNEL_KEYS:1: " in run("keys", "convert", "env:TUNNEL_KEYS", "out", "--to", "esp_sa").err
    monkeypatch.delenv("TUNNEL_KEYS")
    done = run("keys", "convert", "env:TUNNEL_KEYS", "out", "--to", "esp_sa")
    assert (done.code, done.err.count("\n")) == (UNUSABLE, 1)


# -- export -------------------------------------------------------------------------------------------------------


def test_export_without_an_output_says_what_is_missing(folder: Path) -> None:
    done = run("export", "tunnel.pcapng", "-k", "keys.jsonl")
    assert (done.code, "--inner" in done.err) == (UNUSABLE, True)
    assert run("export", "tunnel.pcapng", "--inner", "x", "--decrypted", "./x").code == UNUSABLE
    assert not (folder / "x").exists()


def test_export_says_what_it_wrote_and_overwrites_only_when_told(folder: Path) -> None:
    arguments = ("export", "tunnel.pcapng", "-k", "keys.jsonl", "--inner", "inner.pcapng", "--decrypted", "ike.pcapng")
    done = run(*arguments)
    assert done.code == OK
    assert [line.partition(":")[0] for line in done.out.splitlines()] == ["inner.pcapng", "ike.pcapng"]
    first = (folder / "inner.pcapng").read_bytes()
    again = run(*arguments)
    assert again.code == UNUSABLE
    assert "inner.pcapng: exists; --force overwrites it" in again.err
    assert run(*arguments, "--force").code == OK
    assert (folder / "inner.pcapng").read_bytes() == first


def test_export_without_keys_writes_an_empty_capture_and_says_why(folder: Path) -> None:
    done = run("export", "tunnel.pcapng", "--inner", "inner.pcapng")
    assert done.code == PARTIAL
    assert "not opened: no key" in done.err
    assert inner_frames(folder / "inner.pcapng") == 0


def test_export_reads_and_writes_pipes(folder: Path) -> None:
    program = f"{sys.executable} -m ipsecscope export"
    commands = (
        f"{program} - -k keys.jsonl --decrypted - < tunnel.pcapng > one",
        f"mkfifo pipe; cat tunnel.pcapng > pipe & {program} pipe -k keys.jsonl --decrypted two",
    )
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    for command in commands:
        subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=env, check=True, timeout=60)
    run("export", "tunnel.pcapng", "-k", "keys.jsonl", "--decrypted", "same")
    for name in ("one", "two"):
        assert (folder / name).read_bytes() == (folder / "same").read_bytes()


# -- keys convert -------------------------------------------------------------------------------------------------

FORMS = ("ipsecscope", "esp_sa", "ikev2_decryption_table", "tcpdump", "esps")


@pytest.mark.parametrize("form", FORMS)
def test_written_keys_are_private_and_read_back(folder: Path, session: Generated, form: str) -> None:
    done = run("keys", "convert", "keys.jsonl", "--to", form, "out")
    path = folder / "out"
    assert done.code in (OK, PARTIAL)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert done.out.startswith("out: ")
    content = path.read_bytes()
    if form == "esps":
        assert content.splitlines()[0].startswith(b"Protocol,Src IP,")
        return
    back = read_keys(path)
    assert not back.problems
    wanted = {record.encryption_key for record in session.keys if isinstance(record, SaKeys)}
    found = {record.encryption_key for record in back.records if isinstance(record, SaKeys)}
    if form != "ikev2_decryption_table" and done.code == OK:
        assert found == wanted
    if form == "ikev2_decryption_table":
        assert {each.spi_i for each in back.records if isinstance(each, IkeV2Keys)}


@pytest.mark.parametrize("form", [*FORMS, "wireshark-profile"])
def test_keys_are_never_written_over_a_file_unless_told(folder: Path, form: str) -> None:
    assert run("keys", "convert", "keys.jsonl", "--to", form, "out").code in (OK, PARTIAL)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    done = run("keys", "convert", "esp_sa", "ikev2_decryption_table", "--to", form, "out")
    assert done.code == UNUSABLE
    assert len(done.err.splitlines()) == 1
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    again = run("keys", "convert", "esp_sa", "ikev2_decryption_table", "--to", form, "out", "--force")
    assert again.code in (OK, PARTIAL)


def test_keys_are_not_written_over_inputs_links_or_folders(folder: Path) -> None:
    (folder / "link").symlink_to(folder / "esp_sa")
    (folder / "esps").mkdir()
    (folder / "esps" / "esps").mkdir()
    kept = (folder / "esp_sa").read_bytes()
    for out in ("esp_sa", "link", "esps"):
        done = run("keys", "convert", "esp_sa", "--to", "esps", out, "--force")
        assert (done.code, len(done.err.splitlines())) == (UNUSABLE, 1), out
    assert (folder / "esp_sa").read_bytes() == kept
    assert (folder / "link").is_symlink()


def test_folder_gets_the_table_under_its_own_name(folder: Path) -> None:
    (folder / "profile").mkdir()
    assert run("keys", "convert", "keys.jsonl", "--to", "esp_sa", "profile").code == OK
    assert (folder / "profile" / "esp_sa").read_text() == (folder / "esp_sa").read_text()


def test_what_cannot_be_written_is_said_and_nothing_is_left(folder: Path) -> None:
    done = run("keys", "convert", "esp_sa", "--to", "ikev1_decryption_table", "out")
    assert done.code == UNUSABLE
    assert "none of the keys can be written as ikev1_decryption_table" in done.err
    assert not (folder / "out").exists()


def test_capture_fills_in_what_the_keys_lead_to(folder: Path, session: Generated) -> None:
    (folder / "ike").write_text(ipsecscope_log(each for each in session.keys if isinstance(each, IkeV2Keys)))
    alone = run("keys", "convert", "ike", "--to", "esp_sa", "alone")
    assert alone.code == UNUSABLE
    done = run("keys", "convert", "ike", "--to", "esp_sa", "with", "--capture", "tunnel.pcapng")
    assert done.code == OK
    wanted = {(each.spi, each.encryption_key) for each in session.keys if isinstance(each, SaKeys)}
    found = {(each.spi, each.encryption_key) for each in read_keys(folder / "with").records if isinstance(each, SaKeys)}
    assert found
    assert found <= wanted
    assert {flow["spi"] for flow in flows("with") if flow["opened"]} == {f"{spi:08x}" for spi, _ in found if spi}


def test_capture_that_the_keys_do_not_open_is_said(folder: Path) -> None:
    (folder / "other").write_text(ipsecscope_log(generate("ikev2-cbc", seed=5).keys))
    done = run("keys", "convert", "other", "--to", "ipsecscope", "out", "--capture", "tunnel.pcapng")
    assert "the keys open nothing in the capture" in done.err
    missing = run("keys", "convert", "other", "--to", "ipsecscope", "out2", "--capture", "missing.pcap")
    assert (missing.code, (folder / "out2").exists()) == (UNUSABLE, False)


def test_profile_prints_the_command_that_opens_it(folder: Path) -> None:
    done = run("keys", "convert", "keys.jsonl", "--to", "wireshark-profile", "profile", "--capture", "tunnel.pcapng")
    assert done.out == f"WIRESHARK_CONFIG_DIR={folder.resolve() / 'profile'} wireshark -r tunnel.pcapng\n"
    assert {path.name for path in (folder / "profile").iterdir()} == {
        "esp_sa",
        "ikev1_decryption_table",
        "ikev2_decryption_table",
        "preferences",
    }


def test_help_shows_an_example_of_each_command() -> None:
    for arguments in (("export", "--help"), ("keys", "convert", "--help")):
        done = run(*arguments)
        assert done.code == OK
        assert "Examples:" in done.out
        with contextlib.suppress(ValueError):
            assert done.out.index("--force")
