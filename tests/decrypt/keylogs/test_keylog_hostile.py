"""Key files made to break a reader: nothing raises, the time is bounded, and no secret gets out by another way."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_keylog_samples import (
    ESP_CBC,
    GATEWAY,
    IKEV2,
    MIKROTIK,
    SETKEY,
    SWU,
    TCPDUMP,
    TUNNEL,
    VPP,
    XFRM,
)
from test_keylog_strongswan import CHILD, PLUTO, sk

from ipsecscope.decrypt.keylogs import FORMATS, read_keys, text
from ipsecscope.decrypt.keylogs.reading import MAX_PROBLEMS
from ipsecscope.decrypt.keys import KeyFile

JSONL = '{"t":"ike2","spi_i":"a3ae69ca51356b5c","sk_d":"%s"}'
LONG = "A" * 10_000_000
HEX32 = "0a9c48ccd8805a629140f0c57617bc8d"

HOSTILE: dict[str, bytes] = {
    "10 MB line": LONG.encode(),
    "10 MB hexadecimal line": b"0" * 10_000_000,
    "10 MB quotes": b'"' * 10_000_000,
    "10 MB row": (ESP_CBC + "," + "x" * 10_000_000).encode(),
    "10 MB of newlines": b"\n" * 10_000_000,
    "10 MB of carriage returns": b"\r" * 10_000_000,
    "10 MB of NUL": bytes(10_000_000),
    "10 MB of escapes": b"\x1b[" * 5_000_000,
    "more than the limit": (ESP_CBC + "\n").encode() + (b"#" * 1_000 + b"\n") * 17_000,
    "many rows of one SA": (IKEV2 + "\n").encode() * 5_000,
    "many IKE SAs": b"".join(b"%016x%s\n" % (at, IKEV2[16:].encode()) for at in range(5_000)),
    "deep list": b"[" * 100_000 + b"]" * 100_000,
    "deep object": b'{"ike":' * 100_000,
    "deep line": b'{"t":"psk","value":' + b"[" * 50_000,
    "long number": b'{"t":"esp","seq_hi":' + b"9" * 20_000 + b"}",
    "long number in a document": b'{"ike":[{"version":' + b"9" * 20_000 + b"}]}",
    "NaN": b'{"ike":[{"version":NaN}]}',
    "odd hexadecimal": ESP_CBC.replace("0x0a9c", "0x0a9").encode(),
    "NUL in the middle": ESP_CBC.replace("0x0a9c", "0x0a\x009c").encode(),
    "byte order mark only": b"\xef\xbb\xbf",
    "UTF-16 cut": b"\xff\xfe\x41",
    "invalid UTF-8": b"\xc3\x28\xa0\xa1 " + ESP_CBC.encode() + b"\xff",
    "wrong quotes": b'"IPv4","*","*","0x1","AES-CBC"x","0x00","NULL",""',
    "one column": b'"IPv4",',
    "huge SPI": ESP_CBC.replace("0x01004004", "0x" + "1" * 500).encode(),
    "huge decimal SPI": ESP_CBC.replace("0x01004004", "9" * 500).encode(),
    "superscript SPI": ESP_CBC.replace("0x01004004", "\u00b2\u0663").encode(),
    "huge ports": XFRM.replace("\tdir out\n", "\tencap type espinudp sport 99999 dport 99999 addr x\n", 1).encode(),
    "dump size 999999": b"10[IKE] Sk_d secret => 999999 bytes @ 0x1\n10[IKE]    0: 00\n",
    "dumps never closed": b"".join(b"%05d[IKE] Sk_d secret => 32 bytes @ 0x1\n" % at for at in range(50_000)),
    "quotes never closed": (MIKROTIK.split('03"')[0] + "\n   00" * 100_000).encode(),
    "add never ended": b"add 1.2.3.4 5.6.7.8 esp 1 -E\n" * 5_000,
    "colons": b":" * 60_000 + b" : PSK x",
    "blanks": b"psk " + b" " * 60_000 + b"x",
    "identities": b"a " * 30_000 + b": PSK 0x01",
    "backslashes": b"esp tunnel from 1.2.3.4 to 5.6.7.8 spi 0x1 " + b"\\\n\t" * 50_000,
    "pcapng magic only": b"\x0a\x0d\x0d\x0a",
    "pcapng with a length of 0": b"\x0a\x0d\x0d\x0a" + bytes(24),
    "pcapng with a huge length": b"\x0a\x0d\x0d\x0a\xfc\xff\xff\xff\x4d\x3c\x2b\x1a" + bytes(24),
    "binary": bytes(range(256)) * 100,
    "records of JSON that are no objects": b'{"ike":[1,null,"x",[]],"esp":{"a":1}}',
    "a list of lists": b"[[1],[2]]",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_file_is_read_without_exception(name: str) -> None:
    key_file = read_keys(HOSTILE[name], name)
    assert isinstance(key_file, KeyFile)
    assert len(key_file.problems) <= MAX_PROBLEMS + 2
    assert all(len(str(problem)) < 2_000 for problem in key_file.problems)


def test_long_line_is_named_and_the_others_are_used() -> None:
    key_file = read_keys(f"{ESP_CBC}\n{'x' * 70_000}\n{IKEV2}\n".encode(), "long")
    assert [(problem.line, problem.reason) for problem in key_file.problems] == [
        (2, "the line is longer than 65536 characters")
    ]
    assert len(key_file.records) == 2


def test_file_beyond_the_limit_is_read_up_to_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes((ESP_CBC + "\n").encode() + b"#" * 200 + b"\n")
    import ipsecscope.decrypt.keylogs as package

    monkeypatch.setattr(package, "MAX_FILE_SIZE", len(ESP_CBC) + 50)
    key_file = read_keys(path)
    assert len(key_file.records) == 1
    assert "only these are read" in key_file.problems[0].reason


def test_lines_beyond_the_limit_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINES", 2)
    key_file = read_keys(f"{ESP_CBC}\n#\n{IKEV2}\n".encode())
    assert (len(key_file.records), key_file.file) == (1, "<bytes>")
    assert "lines" in key_file.problems[0].reason


def test_records_beyond_the_limit_are_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipsecscope.decrypt.keylogs import reading

    monkeypatch.setattr(reading, "MAX_RECORDS", 3)
    rows = "".join(ESP_CBC.replace("0x01004004", f"0x{spi:08x}") + "\n" for spi in range(1, 10))
    key_file = read_keys(rows.encode())
    assert len(key_file.records) == 3
    assert [problem.line for problem in key_file.problems] == [4]


def test_problems_beyond_the_limit_are_counted() -> None:
    key_file = read_keys((ESP_CBC.replace("AES-CBC", "AES-X") + "\n").encode() * (MAX_PROBLEMS + 5))
    assert key_file.problems[-1].reason == "5 more problems are not listed"


SAMPLES = (
    ESP_CBC,
    IKEV2,
    XFRM,
    GATEWAY,
    TUNNEL,
    SETKEY,
    MIKROTIK,
    TCPDUMP,
    VPP,
    SWU,
    PLUTO,
    CHILD,
    sk(1),
    JSONL % HEX32,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_changed_sample_is_read_without_exception(sample: str, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(sample)))
    size = data.draw(st.integers(0, 12))
    new = data.draw(st.text(st.sampled_from("0123456789abcdefx\"',:;=<>[](){}\\ \n\t\x00\u00b2é-*.@#|"), max_size=12))
    assert isinstance(read_keys((sample[:at] + new + sample[at + size :]).encode()), KeyFile)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_any_octets_are_read_without_exception(octets: bytes) -> None:
    for start in (b"", b'{"t":"ike2",', b'"IPv4",', b"\x0a\x0d\x0d\x0a", b'{"ike":[{'):
        assert isinstance(read_keys(start + octets), KeyFile)


# -- secrets -----------------------------------------------------------------------------------------------------


PLANTED = "5ec4e7c0ffee5ec4e7c0ffee5ec4e7c0"
PLANTED_TEXT = "Sw0rdf1sh-in-the-moat"


def planted_files() -> list[str]:
    """Files with the secret in right and in wrong places."""
    files = [sample.replace(HEX32, PLANTED) for sample in SAMPLES]
    row = ESP_CBC.split(",")
    for column, other in itertools.product(range(8), range(8)):
        moved = row.copy()
        moved[column], moved[other] = f'"{PLANTED}"', f'"0x{PLANTED}"'
        files.append(",".join(moved))
    row = IKEV2.split(",")
    files += [",".join([*row[:column], PLANTED, *row[column + 1 :]]) for column in range(8)]
    files += [
        f"psk {PLANTED} = {PLANTED_TEXT}",
        f"psk = '{PLANTED_TEXT}",
        f"psk x = {PLANTED_TEXT}",
        f"dh {PLANTED} = 0x1",
    ]
    files += [JSONL % PLANTED, JSONL % (PLANTED + "z"), JSONL.replace("a3ae69ca51356b5c", PLANTED) % "00"]
    files += [
        f'{{"t":"{PLANTED}"}}',
        f'{{"t":"psk","ids":["{PLANTED}"],"value":"{PLANTED}"}}',
        f'{{"ike":[{{"version":2,"sk_d":"{PLANTED}g"}}]}}',
    ]
    files += [
        TCPDUMP.replace("0xaaaabbbb", f"0x{PLANTED}"),
        f"0x1@1.2.3.4 {PLANTED}:{PLANTED}",
        f"0x1@{PLANTED} aes:0x00",
    ]
    files += [
        XFRM.replace("rfc4106(gcm(aes))", PLANTED),
        XFRM.replace("10.0.1.158", PLANTED),
        XFRM.replace("0x2dff", f"0x{PLANTED}"),
    ]
    files += [
        SETKEY.replace("1dd058ed", PLANTED),
        SETKEY.replace("rijndael-cbc", PLANTED),
        VPP.replace("0102", PLANTED),
    ]
    files += [
        GATEWAY.replace("aes128-sha1", PLANTED),
        GATEWAY.replace("75237437cff25754", PLANTED),
        MIKROTIK.replace("aes-cbc", PLANTED),
    ]
    return files


@pytest.mark.parametrize("content", planted_files())
def test_secret_stands_in_no_repr_and_no_message(content: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    key_file = read_keys(content.encode(), "planted")
    said = [repr(key_file), str(key_file), *map(str, key_file.problems), *map(str, key_file.notes), caplog.text]
    for words in said:
        for part in (
            PLANTED,
            PLANTED_TEXT,
            bytes.fromhex(PLANTED).decode("latin-1"),
            repr(bytes.fromhex(PLANTED))[2:-1],
        ):
            assert part not in words


def test_every_format_has_a_title_and_a_mark() -> None:
    assert set(FORMATS) == {
        "esps", "fortigate", "ipsecscope", "json", "libreswan", "mikrotik", "openbsd", "secrets", "setkey", "strongswan", "swanctl",
        "swu", "tcpdump", "vpp", "wireshark", "xfrm",
    }  # fmt: skip
    assert all(known.title and known.mark.pattern for known in FORMATS.values())
