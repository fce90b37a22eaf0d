"""The ``ESPS`` secrets of pcapng (Decryption Secrets Block, draft-ietf-opsawg-pcapng): rows like Wireshark's esp_sa.

A row is RFC 4180 CSV with ten columns; a header line is passed over, columns beyond the tenth are ignored, and a row
with an unknown value is skipped (and said).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from ipsecscope.decrypt.keylogs.reading import Reading
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keylogs.text import KeyText
from ipsecscope.decrypt.keylogs.wireshark import read_row
from ipsecscope.decrypt.keys import KeyFile

ESPS = 0x4553_5053  # the secrets type "ESPS"
DECRYPTION_SECRETS = 10
SECTION = 0x0A0D_0D0A
LITTLE_ENDIAN_MAGIC = b"\x4d\x3c\x2b\x1a"
MIN_BLOCK = 12
SECRETS_HEADER = 8
MAX_BLOCKS = 1_000_000
MAX_SECRETS_BLOCKS = 1_000


@importer("esps", "ESPS secrets of pcapng", r'^"?Protocol"?[ \t]*,[ \t]*"?Src IP"?[ \t]*,', is_document=True)
def read_esps_rows(reading: Reading) -> None:
    """Read the rows of one secrets block."""
    for line in reading.text.lines:
        if not line.text.lstrip().startswith("#"):
            with reading.line(line.number):
                read_row(reading, line)


def read_esps(octets: bytes, name: str) -> KeyFile:
    """The keys in the data of a secrets block of type ``ESPS``, with or without its header line."""
    reading = Reading(KeyText(name, octets))
    reading.format = "esps"
    read_esps_rows(reading)
    return KeyFile(file=name, formats=("esps",), records=tuple(reading.records), problems=reading.all_problems())


def read_pcapng(octets: bytes, name: str) -> KeyFile:
    """The keys in all ``ESPS`` secrets blocks of a capture; its packets are passed over."""
    files = [read_esps(data, name) for kind, data in secrets_of(octets) if kind == ESPS]
    reading = Reading(KeyText(name, b""))
    if not files:
        reading.note(0, "the capture holds no ESP keys of its own")
    return KeyFile(
        file=name,
        formats=("esps",) if files else (),
        records=tuple(record for file in files for record in file.records),
        problems=tuple(problem for file in files for problem in file.problems),
        notes=tuple(reading.notes),
    )


def secrets_of(octets: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and data of every Decryption Secrets Block, up to a limit; ends quietly where the blocks stop making sense."""
    order, at, found = "<", 0, 0
    for _ in range(MAX_BLOCKS):
        if at + MIN_BLOCK > len(octets) or found >= MAX_SECRETS_BLOCKS:
            return
        kind = int.from_bytes(octets[at : at + 4], "little" if order == "<" else "big")
        if kind == SECTION:
            order = "<" if octets[at + 8 : at + 12] == LITTLE_ENDIAN_MAGIC else ">"
        (length,) = struct.unpack_from(order + "I", octets, at + 4)
        if length < MIN_BLOCK or length % 4:
            return
        body = octets[at + 8 : at + length - 4]
        if kind == DECRYPTION_SECRETS and len(body) >= SECRETS_HEADER:
            secrets_type, size = struct.unpack_from(order + "II", body)
            found += 1
            yield secrets_type, body[SECRETS_HEADER : SECRETS_HEADER + size]
        at += length
