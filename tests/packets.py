"""Frames for the tests of capture/: each function wraps octets in one header, right unless told otherwise."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence

import numpy as np

from ipsecscope.capture.records import Frame, Records

A, B = "192.0.2.1", "198.51.100.2"
A6, B6 = "2001:db8::1", "2001:db8::2"
ETHERNET, RAW = 1, 101
SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND
SPI_I, SPI_R = b"initiate", b"responds"


def packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def ipv4(
    payload: bytes,
    protocol: int,
    src: str = A,
    dst: str = B,
    *,
    identification: int = 0x1234,
    ttl: int = 64,
    tos: int = 0,
    flags: int = 0,
    offset: int = 0,
    options: bytes = b"",
    total: int | None = None,
) -> bytes:
    header = 20 + len(options)
    length = header + len(payload) if total is None else total
    fields = (0x40 | header // 4, tos, length, identification, flags << 13 | offset // 8, ttl, protocol, 0)
    return struct.pack(">BBHHHBBH", *fields) + packed(src) + packed(dst) + options + payload


def ipv6(
    payload: bytes,
    protocol: int,
    src: str = A6,
    dst: str = B6,
    *,
    hops: int = 64,
    length: int | None = None,
    tos: int = 0,
) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">IHBB", 6 << 28 | tos << 20, size, protocol, hops) + packed(src) + packed(dst) + payload


def extension(following: int, payload: bytes, size: int = 8) -> bytes:
    """An IPv6 extension header of the generic form in front of ``payload``."""
    return bytes((following, size // 8 - 1)) + bytes(size - 2) + payload


def fragment6(following: int, payload: bytes, offset: int, *, more: bool, identification: int = 0xBEEF) -> bytes:
    return struct.pack(">BBHI", following, 0, offset | more, identification) + payload


def udp(payload: bytes, sport: int = 500, dport: int = 500, *, length: int | None = None) -> bytes:
    size = 8 + len(payload) if length is None else length
    return struct.pack(">HHHH", sport, dport, size, 0) + payload


def tcp(
    payload: bytes,
    sport: int = 40000,
    dport: int = 4500,
    *,
    seq: int = 0,
    ack: int = 0,
    flags: int = 0x18,
    words: int = 5,
) -> bytes:
    header = struct.pack(">HHIIBBHHH", sport, dport, seq & 0xFFFFFFFF, ack, words << 4, flags, 65535, 0, 0)
    return header + bytes(max(0, 4 * words - 20)) + payload


def ethernet(payload: bytes, kind: int = 0x0800, *, pad: int = 0, mac: int = 1) -> bytes:
    data = bytes((2, 0, 0, 0, 0, mac)) + bytes((2, 0, 0, 0, 0, 9)) + struct.pack(">H", kind) + payload
    return data + bytes(max(0, pad - len(data)))


def vlan(payload: bytes, number: int = 42, kind: int = 0x0800) -> bytes:
    return struct.pack(">HH", number, kind) + payload


def esp(spi: int = 0xC0FFEE01, seq: int = 1, size: int = 64) -> bytes:
    return struct.pack(">II", spi, seq) + bytes(i & 0xFF for i in range(size - 8))


def ah(payload: bytes = b"", following: int = 6, spi: int = 0xA0000001, seq: int = 1, icv: int = 12) -> bytes:
    return struct.pack(">BBHII", following, (12 + icv) // 4 - 2, 0, spi, seq) + bytes(icv) + payload


def ike(
    size: int = 80,
    *,
    exchange: int = 34,
    version: int = 0x20,
    flags: int = 0x08,
    first: int = 33,
    message_id: int = 0,
    spi_r: bytes = bytes(8),
    length: int | None = None,
) -> bytes:
    """An IKE message with one payload that fills it."""
    total = size if length is None else length
    header = SPI_I + spi_r + struct.pack(">BBBBII", first, version, exchange, flags, message_id, total)
    return header + struct.pack(">BBH", 0, 0, size - 28) + bytes(size - 32)


def icmp_error(kind: int, code: int, quoted: bytes, rest: int = 0) -> bytes:
    return struct.pack(">BBHI", kind, code, 0, rest) + quoted


def gre(payload: bytes, kind: int = 0x0800, *, flags: int = 0, extra: bytes = b"") -> bytes:
    return struct.pack(">HH", flags, kind) + extra + payload


def frame(
    data: bytes,
    number: int = 1,
    *,
    link_type: int = ETHERNET,
    time_ns: int = START,
    original: int | None = None,
    file: int = 0,
    comment: str = "",
) -> Frame:
    return Frame(file, number, time_ns, link_type, data, len(data) if original is None else original, comment)


def frames(datas: Iterable[bytes], *, link_type: int = ETHERNET, step_ns: int = SECOND // 100) -> list[Frame]:
    """Frames numbered from 1, ``step_ns`` apart."""
    return [frame(data, n, link_type=link_type, time_ns=START + n * step_ns) for n, data in enumerate(datas, 1)]


def records(window: Sequence[Frame], *, room: int = 256) -> Records:
    """A window as a reader would deliver it; ``room`` octets follow the last record."""
    offsets, parts, at = [], [], 0
    for each in window:
        parts += [bytes(16), each.data]
        offsets.append(at + 16)
        at += 16 + len(each.data)
    return Records(
        file=window[0].file if window else 0,
        buffer=b"".join(parts) + bytes(room),
        base=24,
        first_number=window[0].number if window else 1,
        offset=np.array(offsets, np.int64),
        captured=np.array([len(each.data) for each in window], np.uint32),
        original=np.array([each.original_length for each in window], np.uint32),
        time_ns=np.array([each.time_ns for each in window], np.int64),
        link_type=np.array([each.link_type for each in window], np.uint16),
        comments={index: each.comment for index, each in enumerate(window) if each.comment},
    )
