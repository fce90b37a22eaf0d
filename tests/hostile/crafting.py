"""Messages and captures that lie, from octets up: every length and count can be wrong."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import packets

SPI_I, SPI_R = b"\x11" * 8, b"\x22" * 8
SECOND = 1_000_000_000
RAW = 101

Part = tuple[int, bytes] | tuple[int, bytes, int] | tuple[int, bytes, int, int]


def chain(parts: Iterable[Part]) -> tuple[int, bytes]:
    """Payloads behind one another: (type, body[, length in the header[, flags]]); the first type and the octets."""
    if not (parts := list(parts)):
        return 0, b""
    rows = [(*part, None, 0)[:4] if len(part) == 2 else (*part, 0)[:4] for part in parts]
    out = b""
    for (_, body, length, flags), following in zip(rows, [*(row[0] for row in rows[1:]), 0], strict=True):
        size = 4 + len(body) if length is None else length  # type: ignore[arg-type]
        out += struct.pack(">BBH", following, flags, size & 0xFFFF) + body  # type: ignore[operator]
    return rows[0][0], out  # type: ignore[return-value]


def ike(
    *parts: Part,
    version: int = 0x20,
    exchange: int = 34,
    flags: int = 0x08,
    message_id: int = 0,
    spi_i: bytes = SPI_I,
    spi_r: bytes = bytes(8),
    length: int | None = None,
    tail: bytes = b"",
) -> bytes:
    first, body = chain(parts)
    size = 28 + len(body) + len(tail) if length is None else length
    return spi_i + spi_r + struct.pack(">BBBBII", first, version, exchange, flags, message_id, size) + body + tail


def v1(*parts: Part, exchange: int = 2, **more: object) -> bytes:
    return ike(*parts, version=0x10, exchange=exchange, flags=0, **more)  # type: ignore[arg-type]


def datagram(message: bytes, *, back: bool = False, sport: int = 500, dport: int = 500) -> bytes:
    src, dst = (packets.B, packets.A) if back else (packets.A, packets.B)
    if len(message) > 65_507:
        raise ValueError("no UDP datagram is that long")
    return packets.ipv4(packets.udp(message, sport, dport), 17, src, dst)


def pcap(
    datas: Iterable[bytes],
    *,
    link_type: int = RAW,
    times: Iterable[tuple[int, int]] = (),
    magic: int = 0xA1B2C3D4,
    snaplen: int = 262_144,
) -> bytes:
    """A capture of packets; ``times`` are pairs of seconds and fractions as they stand in the file."""
    clock = iter(times)
    out = [struct.pack("<IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)]
    for number, data in enumerate(datas):
        seconds, rest = next(clock, (1_790_000_000 + number // 1000, number % 1000))
        out.append(struct.pack("<IIII", seconds, rest, len(data), len(data)) + data)
    return b"".join(out)


def block(kind: int, body: bytes, *, length: int | None = None, trailer: int | None = None) -> bytes:
    """A pcapng block, little-endian."""
    padded = body + bytes(-len(body) % 4)
    size = 12 + len(padded) if length is None else length
    return struct.pack("<II", kind, size) + padded + struct.pack("<I", size if trailer is None else trailer)


def option(code: int, value: bytes, *, length: int | None = None) -> bytes:
    return struct.pack("<HH", code, len(value) if length is None else length) + value + bytes(-len(value) % 4)


def section() -> bytes:
    return block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))


def interface(*options: bytes, link_type: int = RAW, snaplen: int = 0) -> bytes:
    ends = option(0, b"") if options else b""
    return block(1, struct.pack("<HHI", link_type, 0, snaplen) + b"".join(options) + ends)


def enhanced(data: bytes, *options: bytes, number: int = 0, stamp: int = 1_790_000_000_000_000) -> bytes:
    head = struct.pack("<IIIII", number, stamp >> 32, stamp & 0xFFFFFFFF, len(data), len(data))
    ends = option(0, b"") if options else b""
    return block(6, head + data + bytes(-len(data) % 4) + b"".join(options) + ends)


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path
