"""Real captures made wrong: a seeded generator, so that the number a test prints brings its mutant back."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

NUMBERS = {
    1: (0, 1, 2, 3, 4, 7, 8, 0x0F, 0x10, 0x1F, 0x20, 0x40, 0x7F, 0x80, 0x84, 0xFE, 0xFF),
    2: (0, 1, 3, 4, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFE, 0xFFFF),
    4: (0, 1, 15, 27, 28, 0x7F, 0xFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF),
}
NASTY = (
    b"\x1b[2J\x1b]52;c;cm0gLXJm\x07",
    b"\xc2\x9b31m",
    "\u202egpj.exe\u2066".encode(),
    b"\r\nipsecscope: forged line\n",
    b"\x00" * 16,
    b"\xff" * 16,
    b"\xed\xa0\x80\xed\xb0\x80",
)


def mutated(data: bytes, seed: int, *, donor: bytes = b"") -> bytes:
    """A capture with one to six faults; most of them inside packets, where the format of the file survives."""
    rng = random.Random(seed)
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 6))):
        start, stop = _place(bytes(out), rng)
        rng.choice(_FAULTS)(out, start, stop, rng, donor)
    return bytes(out)


def _place(data: bytes, rng: random.Random) -> tuple[int, int]:
    """Where to hurt: anywhere, in a packet, or in the IKE message inside one."""
    choice = rng.random()
    if choice < 0.2 or len(data) < 64:
        return 0, len(data)
    packets = _packets(data)
    if not packets:
        return 0, len(data)
    start, stop = rng.choice(packets)
    if choice < 0.5 or stop - start < 60:
        return start, stop
    return start + 42, min(stop, start + 42 + rng.choice((28, 60, 2000)))


def _packets(data: bytes) -> list[tuple[int, int]]:
    """Where the packets of a pcap or pcapng file stand, as far as its lengths are sound."""
    order = "<" if data[:1] in {b"\xd4", b"\x4d"} or data[8:12] == b"\x4d\x3c\x2b\x1a" else ">"
    found, at = [], 0
    if data[:4] == b"\x0a\x0d\x0d\x0a":
        while at + 32 <= len(data):
            kind, size = struct.unpack_from(f"{order}II", data, at)
            if size < 12:
                break
            if kind == 6:
                found.append((at + 28, min(at + size - 4, len(data))))
            at += size
        return found
    at = 24
    while at + 16 <= len(data):
        (size,) = struct.unpack_from(f"{order}I", data, at + 8)
        found.append((at + 16, min(at + 16 + size, len(data))))
        at += 16 + size
    return found


Fault = Callable[[bytearray, int, int, random.Random, bytes], None]


def _at(start: int, stop: int, rng: random.Random) -> int:
    return rng.randrange(start, max(stop, start + 1))


def _flip(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    for _ in range(rng.choice((1, 1, 2, 8, 40))):
        at = _at(start, stop, rng)
        if at < len(out):
            out[at] ^= 1 << rng.randrange(8)


def _number(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    size = rng.choice((1, 1, 2, 2, 4))
    at = _at(start, stop, rng)
    out[at : at + size] = rng.choice(NUMBERS[size]).to_bytes(size, rng.choice(("big", "big", "little")))


def _noise(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    at = _at(start, stop, rng)
    size = rng.randrange(1, 65)
    out[at : at + size] = rng.randbytes(size)


def _nasty(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    at, text = _at(start, stop, rng), rng.choice(NASTY)
    out[at : at + len(text)] = text


def _cut(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    at = _at(start, stop, rng)
    del out[at : at + rng.choice((1, 2, 4, 16, 100, 1 << 20))]


def _insert(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    at = _at(start, stop, rng)
    out[at:at] = rng.randbytes(rng.choice((1, 2, 4, 16, 200)))


def _repeat(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    at = _at(start, stop, rng)
    piece = bytes(out[at : at + rng.choice((4, 8, 40, 400))])
    out[at:at] = piece * rng.choice((1, 2, 30))


def _swap(out: bytearray, start: int, stop: int, rng: random.Random, _: bytes) -> None:
    size = rng.choice((1, 4, 16, 64))
    a, b = sorted((_at(start, stop, rng), _at(start, stop, rng)))
    if a + size <= b and b + size <= len(out):
        out[a : a + size], out[b : b + size] = out[b : b + size], out[a : a + size]


def _graft(out: bytearray, start: int, stop: int, rng: random.Random, donor: bytes) -> None:
    """Octets of another capture: records behind records, payloads inside other payloads."""
    if not donor:
        return
    at, source = _at(start, stop, rng), rng.randrange(len(donor))
    piece = donor[source : source + rng.choice((8, 64, 500, 3000))]
    out[at : at + rng.choice((0, len(piece)))] = piece


_FAULTS: tuple[Fault, ...] = (_flip, _number, _number, _noise, _nasty, _cut, _insert, _repeat, _swap, _graft)
