"""MikroTik RouterOS: ``/ip/ipsec/installed-sa print detail``.

``name=value`` words; a long key is wrapped inside its quotes. An address may have a port. ``enc-key-size=288`` is a
256-bit key with its salt. RouterOS 2.9 writes the SPI without ``0x``; it is hexadecimal all the same.
"""

from __future__ import annotations

import re

from ipsecscope.decrypt.keylogs.reading import (
    Reading,
    address_of,
    encryption_named,
    integrity_named,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keylogs.text import MAX_LINE_LENGTH, Line
from ipsecscope.decrypt.keys import Encapsulation, NamedIntegrity, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

START = re.compile(r"\s*\d+\s+([A-Z ]*?)\s*spi=")
PAIR = re.compile(r'([a-z][a-z-]*)=("[^"]*"?|\S*)')
BLANKS = re.compile(r"\s+")
NAT_T_PORT = 4500

MARK = r"^\s*\d+\s+[A-Z ]*?\s*spi=(?:0x)?[0-9a-fA-F]+\s+src-address="


@importer(
    "mikrotik",
    "MikroTik /ip/ipsec/installed-sa print detail",
    MARK,
    advice='print with a user that has the policy "sensitive"',
)
def read_mikrotik(reading: Reading) -> None:
    """Read every installed SA."""
    for number, text in _records(reading.text.lines):
        with reading.line(number):
            _read_sa(reading, number, dict(PAIR.findall(text)), START.match(text))


def _records(lines: list[Line]) -> list[tuple[int, str]]:
    """Records, each on one line. What was wrapped inside quotes is put together without the blanks."""
    records: list[tuple[int, str]] = []
    for line in lines:
        if START.match(line.text):
            records.append((line.number, line.text))
        elif records and line.text[:1].isspace() and len(records[-1][1]) < MAX_LINE_LENGTH:
            number, text = records[-1]
            between = "" if text.count('"') % 2 else " "
            records[-1] = (number, text + between + line.text.strip())
    return records


def _read_sa(reading: Reading, number: int, words: dict[str, str], start: re.Match[str] | None) -> None:
    values = {name: value.strip('"') for name, value in words.items()}
    cipher, mac = values.get("enc-algorithm", ""), values.get("auth-algorithm", "")
    flags = start[1] if start else ""
    is_ah = "A" in flags and "E" not in flags
    key = _key(values.get("enc-key", ""))
    encryption = None
    if cipher and not is_ah:
        encryption = with_key_bits(encryption_named("null" if cipher == "none" else cipher), key)
    is_aead = encryption is not None and encryption.row is not None and encryption.row.is_aead
    integrity: NamedIntegrity | None = None if is_aead else integrity_named("none" if mac in ("", "null") else mac)
    src, src_port = _end(values.get("src-address", ""))
    dst, dst_port = _end(values.get("dst-address", ""))
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            protocol=SecurityProtocol.AH if is_ah else SecurityProtocol.ESP,
            spi=sa_spi(values.get("spi", ""), base=16),
            src=src,
            dst=dst,
            encryption=encryption,
            encryption_key=key,
            integrity=integrity,
            integrity_key=Secret(b"") if is_aead else _key(values.get("auth-key", "")),
            encapsulation=Encapsulation("udp", src_port, dst_port) if src_port or dst_port else None,
        )
    )


def _key(text: str) -> Secret:
    digits = BLANKS.sub("", text)
    return secret_of(digits) if digits else Secret(b"")


def _end(text: str) -> tuple[str | None, int]:
    """An address and the port behind it, where there is one."""
    if text.count(":") == 1 or text.startswith("["):
        host, _, port = text.rpartition(":")
        return address_of(host), int(port) if port.isdecimal() and len(port) <= 5 else 0
    return address_of(text), 0
