"""No key leaves by accident: secrets are planted in every form, and every output is searched for each of them.

A secret is found by any eight octets of it in a row: as they are, as hexadecimal digits whatever stands between them,
and as base64.
"""

from __future__ import annotations

import base64
import contextlib
import io
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random

import pytest
from conftest import SHARED
from typer.testing import CliRunner

from ipsecscope.cli import app
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keylogs.exporters import (
    esp_sa_table,
    esps_block,
    ikev1_table,
    ikev2_table,
    ipsecscope_log,
    tcpdump_secrets,
)
from ipsecscope.decrypt.keylogs.reading import encryption_named
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import (
    KeyRecord,
    Msk,
    Origin,
    Ppk,
    PreSharedKey,
    SaKeys,
    SharedSecret,
)
from ipsecscope.decrypt.opening import Refused
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.scenarios import generate
from ipsecscope.timeline.analysis import analyze
from ipsecscope.timeline.traffic import openers_of

LAB = SHARED / "captures" / "lab"
WINDOW = 8  # octets
ORIGIN = Origin("planted", 1, "test")


def secrets_of(value: object) -> Iterator[bytes]:
    """Every Secret in a value, whatever it is nested in."""
    if isinstance(value, Secret):
        if len(value) >= WINDOW:
            yield value.reveal()
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from secrets_of(each)
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from secrets_of(getattr(value, name))


class Searcher:
    """Knows every window of every secret."""

    def __init__(self, secrets: Iterable[bytes]) -> None:
        self.secrets = set(secrets)
        assert self.secrets
        self.windows = {octets[at : at + WINDOW] for octets in self.secrets for at in range(len(octets) - WINDOW + 1)}
        self.windows.discard(bytes(WINDOW))

    def require_none(self, output: bytes, where: str) -> None:
        assert not self._raw(output), f"{where}: octets of a secret"
        assert not self._hex(output), f"{where}: hexadecimal digits of a secret"
        assert not self._base64(output), f"{where}: base64 of a secret"

    def _raw(self, output: bytes) -> bool:
        return any(output[at : at + WINDOW] in self.windows for at in range(len(output) - WINDOW + 1))

    def _hex(self, output: bytes) -> bool:
        for joined in (output, re.sub(rb"[\s:,'_-]|\\x|0x", b"", output)):
            for run in re.findall(rb"[0-9a-fA-F]{%d,}" % (2 * WINDOW), joined):
                for start in (0, 1):
                    even = run[start : start + (len(run) - start) // 2 * 2]
                    if self._raw(bytes.fromhex(even.decode())):
                        return True
        return False

    def _base64(self, output: bytes) -> bool:
        text = re.sub(rb"\s", b"", output.replace(b"-", b"+").replace(b"_", b"/"))
        for octets in self.secrets:
            for skip in range(3):
                whole = octets[skip : skip + (len(octets) - skip) // 3 * 3]
                if len(whole) >= 9 and base64.b64encode(whole) in text:
                    return True
        return False


def test_searcher_finds_what_is_there() -> None:
    secret = bytes(range(40, 72))
    searcher = Searcher([secret])
    spaced = " ".join(f"{octet:02X}" for octet in secret)
    found = (
        b"..." + secret[5:20],
        b"key=0x" + secret.hex().encode(),
        b"1" + secret[3:].hex().encode(),
        spaced.encode(),
        repr(secret).encode(),
        base64.b64encode(secret),
        base64.urlsafe_b64encode(b"x" + secret),
    )
    for output in found:
        with pytest.raises(AssertionError, match="secret"):
            searcher.require_none(output, "here")
    searcher.require_none(b"nothing " * 9, "here")


def planted() -> list[KeyRecord]:
    """Secrets of every kind that no session needs."""
    random = Random(11)
    octets = (Secret(random.randbytes(32)) for _ in range(20))
    return [
        PreSharedKey(origin=ORIGIN, value=next(octets), ids=("moon.example",)),
        PreSharedKey(origin=ORIGIN, value=Secret(b"correct horse battery staple")),
        Ppk(origin=ORIGIN, value=next(octets), ppk_id="ppk-1"),
        Msk(origin=ORIGIN, value=next(octets)),
        SharedSecret(origin=ORIGIN, value=next(octets)),
    ]


SESSIONS = ("ikev2", "ikev2-cbc", "ikev2-ppk", "ikev2-eap-mschapv2", "ikev1-main-mode", "ikev2-ml-kem", "ah-esp-tunnel")


def forms_of(records: list[KeyRecord]) -> dict[str, bytes]:
    """One key file of each form that we write."""
    return {
        "ipsecscope": ipsecscope_log(records).encode(),
        "esp_sa": esp_sa_table(records).text.encode(),
        "ikev2": ikev2_table(records).text.encode(),
        "ikev1": ikev1_table(records).text.encode(),
        "tcpdump": tcpdump_secrets(records).text.encode(),
        "esps": esps_block(records)[0],
        "ipsec.secrets": "".join(
            f': PSK "{each.value.reveal().decode()}"\n'
            for each in records
            if isinstance(each, PreSharedKey) and each.value.reveal().isascii()
        ).encode(),
    }


def outputs(capture: Path, keys: Path, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything that the commands print or write, but for files that are meant to hold keys."""
    commands = [("analyze", "--format", form, str(capture), "--keys", str(keys)) for form in ("text", "json", "jsonl")]
    annotated = folder / "annotated.pcapng"
    commands += [
        ("dissect", str(capture)),
        ("export", str(capture), "-k", str(keys), "--annotated", str(annotated), "--force"),
        ("keys", "convert", str(keys), "--to", "ipsecscope", str(folder / "converted"), "--force"),
        (
            "keys",
            "convert",
            str(keys),
            "--to",
            "wireshark-profile",
            str(folder / "p"),
            "--capture",
            str(capture),
            "--force",
        ),
    ]
    for command in commands:
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        yield " ".join(command[:3]), done.stdout_bytes + done.stderr_bytes
    yield "comments", annotated.read_bytes()


@pytest.mark.parametrize("name", SESSIONS)
def test_no_output_shows_a_secret_of_any_key_file(name: str, tmp_path: Path) -> None:
    made = generate(name)
    capture = tmp_path / "session.pcapng"
    capture.write_bytes(made.pcapng)
    records = [*made.keys, *planted()]
    searcher = Searcher(secrets_of(records))
    for form, content in forms_of(records).items():
        if not content.strip():
            continue
        keys = tmp_path / f"{form}.keys"
        keys.write_bytes(content)
        if form in ("ipsecscope", "esp_sa"):
            for where, output in outputs(capture, keys, tmp_path):
                searcher.require_none(output, f"{form}, {where}")
        file = read_keys(keys)
        for value in (file, file.records, KeyRing(file.records).__dict__):
            searcher.require_none(repr(value).encode(), f"{form}, repr")


@pytest.mark.parametrize("name", SESSIONS)
def test_no_value_of_an_analysis_shows_a_secret(name: str, tmp_path: Path) -> None:
    made = generate(name)
    capture = tmp_path / "session.pcapng"
    capture.write_bytes(made.pcapng)
    analysis = analyze([str(capture)], ring=KeyRing([*made.keys, *planted()]))
    assert analysis.keys
    searcher = Searcher([*secrets_of(list(made.keys)), *secrets_of(list(analysis.keys))])
    searcher.require_none(repr(analysis).encode(), "analysis")
    searcher.require_none(str(analysis.keys).encode(), "keys")


LOGS = (
    ("ikev2-psk-aes256gcm16-prfsha384-ecp384", "initiator.log"),
    ("ikev1-main-psk", "responder.log"),
    ("ikev2-eap-mschapv2", "keys.json"),
    ("xfrm-ikev2-ah-tunnel", "xfrm-state-initiator.txt"),
    ("xfrm-ikev2-child-rekey-pfs", "esp_sa"),
)


@pytest.mark.shared
@pytest.mark.parametrize(("scenario", "file"), LOGS)
def test_no_output_shows_a_secret_of_a_real_log(scenario: str, file: str, tmp_path: Path) -> None:
    keys = LAB / scenario / file
    searcher = Searcher(secrets_of(list(read_keys(keys).records)))
    for where, output in outputs(LAB / scenario / "capture.pcap", keys, tmp_path):
        searcher.require_none(output, where)


def damaged(content: bytes, random: Random) -> bytes:
    """The file with each line spoilt in one of the ways in which people spoil lines."""
    lines = []
    for line in content.splitlines():
        spoilt = bytearray(line)
        way = random.randrange(6)
        at = random.randrange(max(1, len(spoilt)))
        if way == 0:
            del spoilt[at : at + 1]
        elif way == 1:
            spoilt[at:at] = b"z"
        elif way == 2:
            spoilt = spoilt.replace(b",", b";", 1)
        elif way == 3:
            parts = bytes(spoilt).split(b",")
            random.shuffle(parts)
            spoilt = bytearray(b",".join(parts))
        elif way == 4:
            spoilt = bytearray(re.sub(rb"[A-Z][A-Z0-9-]{2,}", b"UNKNOWN-9", bytes(spoilt), count=2))
        else:
            del spoilt[len(spoilt) * 3 // 4 :]
        lines.append(bytes(spoilt))
    return b"\n".join(lines) + b"\n"


@pytest.mark.parametrize("name", SESSIONS)
def test_what_is_said_of_bad_lines_quotes_no_secret(name: str) -> None:
    records = [*generate(name).keys, *planted()]
    searcher = Searcher(secrets_of(records))
    random = Random(23)
    problems = 0
    for form, content in forms_of(records).items():
        for _ in range(40):
            file = read_keys(damaged(content, random), form)
            said = "\n".join(map(str, (*file.problems, *file.notes)))
            searcher.require_none(said.encode(), form)
            searcher.require_none(repr(file).encode(), f"{form}, repr")
            problems += len(file.problems)
    assert problems > 50


def test_no_exception_quotes_a_secret() -> None:
    """The opener, the record and the key itself, each used wrongly with a secret in hand."""
    secret = Secret(Random(5).randbytes(33))
    searcher = Searcher([secret.reveal()])
    record = next(each for each in generate("ikev2").keys if isinstance(each, SaKeys))
    assert record.encryption is not None
    wrong = SaKeys(origin=ORIGIN, spi=7, encryption=record.encryption, encryption_key=secret)
    assert not list(openers_of(wrong))
    attempts = (
        lambda: Secret.from_hex(secret.reveal().hex()[1:]),
        lambda: secret.split(40),
        lambda: [].index(secret),  # type: ignore[var-annotated]
        lambda: {}[secret],  # type: ignore[var-annotated]
        lambda: secret.missing,  # type: ignore[attr-defined]
        lambda: __import__("pickle").dumps(secret),
        lambda: record.encryption.row.check_key(len(secret)),  # type: ignore[union-attr]
        lambda: encryption_named(secret.reveal().hex()),
    )
    for attempt in attempts:
        text = io.StringIO()
        with contextlib.suppress(Exception):
            try:
                attempt()
            except Exception:
                text.write(traceback.format_exc())
                raise
        assert text.getvalue(), "the attempt must fail"
        searcher.require_none(text.getvalue().encode(), "traceback")
    for shown in (repr(secret), str(secret), f"{secret}", f"{secret:>20}", repr(Refused), repr(wrong)):
        searcher.require_none(shown.encode(), "text")
