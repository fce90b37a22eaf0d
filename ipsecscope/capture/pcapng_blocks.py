"""pcapng blocks and options: their numbers, their layouts, and what their bodies say (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import msgspec

from ipsecscope.capture.faults import readable_text

MAX_OPTIONS = 1_000  # options of one block that are read
MAX_NAMES = 100_000  # addresses with names per file
MAX_NAMES_OF_ADDRESS = 16

BYTE_ORDER_MAGIC = 0x1A2B3C4D


class Block(IntEnum):
    """Block types."""

    INTERFACE = 1
    PACKET = 2  # obsolete
    SIMPLE_PACKET = 3
    NAME_RESOLUTION = 4
    INTERFACE_STATISTICS = 5
    ENHANCED_PACKET = 6
    SYSTEMD_JOURNAL = 9
    DECRYPTION_SECRETS = 10
    CUSTOM = 0x0000_0BAD
    CUSTOM_NO_COPY = 0x4000_0BAD
    SECTION = 0x0A0D_0D0A


MIN_LENGTH = {
    Block.INTERFACE: 20,
    Block.PACKET: 32,
    Block.SIMPLE_PACKET: 16,
    Block.NAME_RESOLUTION: 16,
    Block.INTERFACE_STATISTICS: 24,
    Block.ENHANCED_PACKET: 32,
    Block.SYSTEMD_JOURNAL: 16,
    Block.DECRYPTION_SECRETS: 20,
    Block.CUSTOM: 16,
    Block.CUSTOM_NO_COPY: 16,
    Block.SECTION: 28,
}


class Option(IntEnum):
    """Options of every block."""

    END = 0
    COMMENT = 1


class SectionOption(IntEnum):
    """Options of a Section Header Block."""

    HARDWARE = 2
    OS = 3
    APPLICATION = 4


class InterfaceOption(IntEnum):
    """Options of an Interface Description Block."""

    NAME = 2
    DESCRIPTION = 3
    RESOLUTION = 9
    OFFSET = 14


class StatisticsOption(IntEnum):
    """Options of an Interface Statistics Block."""

    END = 3  # of the capture: two words, the higher first
    RECEIVED = 4
    DROPPED = 5
    OS_DROPPED = 7


class NameRecord(IntEnum):
    """Record types of a Name Resolution Block."""

    END = 0
    IPV4 = 1
    IPV6 = 2


class Clock(msgspec.Struct, frozen=True):
    """How an interface counts time: ticks per second, and seconds to add."""

    per_second: int = 1_000_000
    offset_s: int = 0

    @property
    def resolution_ns(self) -> int:
        """One tick in nanoseconds, at least 1."""
        return max(1, 1_000_000_000 // self.per_second)

    def time_ns(self, ticks: int) -> int:
        """Nanoseconds since 1970 UTC, of any size."""
        return self.offset_s * 1_000_000_000 + ticks * 1_000_000_000 // self.per_second


MAX_DECIMAL = 18  # the finest if_tsresol that is used as it stands: 10^-18 s …
MAX_BINARY = 63  # … or 2^-63 s


def clock_of(resolution: bytes, offset: int) -> tuple[Clock, bool]:
    """The clock that if_tsresol and if_tsoffset describe, and whether it had to be clamped."""
    value = resolution[0] if resolution else 6
    exponent = value & 0x7F
    base, most = (2, MAX_BINARY) if value & 0x80 else (10, MAX_DECIMAL)
    return Clock(base ** min(exponent, most), offset), exponent > most


def padded(size: int) -> int:
    """``size`` rounded up to 32 bits."""
    return (size + 3) & ~3


def options(buffer: bytes, at: int, stop: int, order: str) -> Iterator[tuple[int, bytes]]:
    """The options between ``at`` and ``stop``; ends quietly where they stop making sense."""
    unpack = struct.Struct(order + "HH").unpack_from
    for _ in range(MAX_OPTIONS):
        if at + 4 > stop:
            return
        code, size = unpack(buffer, at)
        if code == Option.END or at + 4 + size > stop:
            return
        yield code, buffer[at + 4 : at + 4 + size]
        at += 4 + padded(size)


def comment_in(buffer: bytes, at: int, stop: int, order: str) -> str:
    """All comments among the options, one per line."""
    texts = [readable_text(value) for code, value in options(buffer, at, stop, order) if code == Option.COMMENT]
    return "\n".join(texts)


def add_names(names: dict[str, tuple[str, ...]], body: bytes, order: str) -> None:
    """Add the address records of a Name Resolution Block's body to ``names``."""
    unpack = struct.Struct(order + "HH").unpack_from
    at = 0
    while at + 4 <= len(body) and len(names) < MAX_NAMES:
        kind, size = unpack(body, at)
        value = body[at + 4 : at + 4 + size]
        if kind == NameRecord.END or len(value) < size:
            return
        octets = {NameRecord.IPV4: 4, NameRecord.IPV6: 16}.get(kind, 0)
        if octets and size > octets:
            address = str(ipaddress.ip_address(value[:octets]))
            found = (readable_text(name) for name in value[octets:].split(b"\x00") if name)
            known = names.get(address, ())
            fresh = tuple(dict.fromkeys((*known, *found)))
            names[address] = fresh[:MAX_NAMES_OF_ADDRESS]
        at += 4 + padded(size)


def statistics(buffer: bytes, at: int, stop: int, order: str) -> dict[str, Any]:
    """The counters of an Interface Statistics Block whose body is between ``at`` and ``stop``."""
    (interface,) = struct.unpack_from(order + "I", buffer, at)
    counters: dict[str, Any] = {"interface": interface}
    names = {int(option): option.name.lower() for option in StatisticsOption}
    for code, value in options(buffer, at + 12, stop, order):
        if code in names and len(value) == 8:
            if code == StatisticsOption.END:
                high, low = struct.unpack(order + "II", value)
                counters["end"] = high << 32 | low
            else:
                (counters[names[code]],) = struct.unpack(order + "Q", value)
    return counters
