"""IP packets outside IPsec, counted by who sends what to whom: enough to see that protected traffic leaves in the clear.

Memory is bounded: pairs between private addresses and tunnel protocols have a table of their own, so that a capture full
of public traffic cannot push them out. What is counted is what ``columns.py`` and ``layers.py`` drop, by its outermost IP
header; what belongs to IPsec, and fragments that may belong to it, are not clear traffic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.headers import Indices, Mask, Packets, gather
from ipsecscope.capture.link import RAW_LINK_TYPES
from ipsecscope.capture.ports import Protocol
from ipsecscope.capture.records import CaptureNote, Frame, Records
from ipsecscope.capture.walk import MAX_ADDRESSES, address_text

MAX_PRIVATE = 10_000  # pairs with their protocol that are between private addresses, or carry a tunnel
MAX_PUBLIC = 10_000  # all the others
TUNNELS = frozenset(map(int, (Protocol.IPV4, Protocol.IPV6, Protocol.GRE)))

ECHO_NS = 1_000_000  # behind an ESP packet, within which its decrypted content follows on the same interface
ECHO_DEPTH = 4  # ESP packets that may stand between
LINK_OCTETS = 12  # of the link header: both addresses on Ethernet, direction and address where Linux cooked it

Key = tuple[str, str, int]
_LINK = np.dtype(f"V{LINK_OCTETS}")


class ClearTraffic(msgspec.Struct, frozen=True):
    """IP packets outside IPsec from one host to another; ``protocol`` is IP's number.

    ``echoes`` are those that came right behind an ESP or AH packet between the same two stations of the link: what a
    capture shows of packets that the host itself has decrypted. A link without addresses has none.
    """

    src: str
    dst: str
    protocol: int
    packets: int
    first_ns: int
    last_ns: int
    first_frame: int
    last_frame: int
    file: int = 0
    echoes: int = 0


class Dropped(msgspec.Struct):
    """Rows of a window in which nothing of IPsec was found, with addresses as on the wire."""

    row: Indices
    src: npt.NDArray[Any]
    dst: npt.NDArray[Any]
    protocol: npt.NDArray[np.uint8]


def dropped(packets: Packets, which: Mask) -> Dropped:
    """Some of the packets of a window."""
    return Dropped(packets.row[which], packets.src[which], packets.dst[which], packets.protocol[which])


class Station(NamedTuple):
    """A packet of IPsec as far as the packets behind it may be its content: when it came, and over which link."""

    time_ns: int
    link: bytes


class _Count:
    __slots__ = ("echoes", "file", "first_frame", "first_ns", "last_frame", "last_ns", "packets")

    def __init__(self, file: int, frame: int, time_ns: int) -> None:
        self.file = file
        self.packets = self.echoes = 0
        self.first_frame = self.last_frame = frame
        self.first_ns = self.last_ns = time_ns


class ClearTable:
    """Counts clear packets.

    Attributes:
        not_counted: packets of pairs beyond the limits.
    """

    def __init__(self) -> None:
        self.not_counted = 0
        self._before: deque[Station] = deque(maxlen=ECHO_DEPTH)
        self._keys: dict[bytes, Key] = {}  # by what stands on the wire
        self._private: dict[Key, _Count] = {}
        self._public: dict[Key, _Count] = {}

    def protected(self, frame: Frame) -> None:
        """ESP or AH came; ``add`` remembers it for the packets behind."""
        self._before.append(Station(frame.time_ns, link_of(frame.link_type, frame.data)))

    def add(self, key: Key, frame: Frame) -> None:
        """Count one packet."""
        link = link_of(frame.link_type, frame.data)
        echo = bool(link) and any(
            0 <= frame.time_ns - each.time_ns <= ECHO_NS and each.link == link for each in self._before
        )
        self._add(key, frame.file, (frame.number, frame.number), (frame.time_ns, frame.time_ns), (1, int(echo)))

    def update(self, records: Records, parts: list[Dropped], recalled: Indices, protected: Indices) -> None:
        """Count the packets of a window, but for the rows that turned out to be of interest after all.

        ``protected`` are the rows of ESP and AH in the window.
        """
        for part in parts:
            row, src, dst, protocol = part.row, part.src, part.dst, part.protocol
            if len(recalled):
                kept = ~np.isin(row, recalled)
                row, src, dst, protocol = row[kept], src[kept], dst[kept], protocol[kept]
            if len(row):
                self._groups(records, row, (src, dst, protocol), protected)

    def update_one(self, records: Records, row: int, key: Key, protected: Indices) -> None:
        """Count one packet of a window."""
        frame, time_ns = records.first_number + row, int(records.time_ns[row])
        echo = int(_echoes(records, np.array([row], np.int64), protected)[0])
        self._add(key, records.file, (frame, frame), (time_ns, time_ns), (1, echo))

    def _groups(self, records: Records, row: Indices, ends: tuple[npt.NDArray[Any], ...], protected: Indices) -> None:
        """Count rows of one IP version: one step for each pair, not for each packet."""
        src, dst, protocol = ends
        order, starts = _grouped(src, dst, protocol)
        row = row[order]
        times = records.time_ns[row]
        heads = order[starts]
        sizes = np.diff(starts, append=len(order)).tolist()
        echoes = np.add.reduceat(_echoes(records, row, protected), starts).tolist()
        earliest = np.minimum.reduceat(times, starts).tolist()
        latest = np.maximum.reduceat(times, starts).tolist()
        frames = (row[starts] + records.first_number).tolist()
        lasts = (row[starts + np.array(sizes) - 1] + records.first_number).tolist()
        for number, octets in enumerate(_octets(src[heads], dst[heads], protocol[heads])):
            key = self._keys.get(octets)
            if key is None:
                if self._is_full:
                    self.not_counted += sizes[number]
                    continue
                key = _readable(octets)
                if len(self._keys) < MAX_PRIVATE + MAX_PUBLIC:
                    self._keys[octets] = key
            spans = (frames[number], lasts[number]), (earliest[number], latest[number])
            self._add(key, records.file, *spans, (sizes[number], echoes[number]))

    @property
    def _is_full(self) -> bool:
        """Whether no further pair can be counted, so that it need not be looked at."""
        return len(self._private) >= MAX_PRIVATE and len(self._public) >= MAX_PUBLIC

    def _add(
        self, key: Key, file: int, frames: tuple[int, int], times: tuple[int, int], counts: tuple[int, int]
    ) -> None:
        table, limit = (self._private, MAX_PRIVATE) if _is_inside(*key) else (self._public, MAX_PUBLIC)
        count = table.get(key)
        if count is None:
            if len(table) >= limit:
                self.not_counted += counts[0]
                return
            count = table[key] = _Count(file, frames[0], times[0])
        count.packets += counts[0]
        count.echoes += counts[1]
        if file == count.file:
            count.first_frame, count.last_frame = min(count.first_frame, frames[0]), max(count.last_frame, frames[1])
        count.first_ns, count.last_ns = min(count.first_ns, times[0]), max(count.last_ns, times[1])

    def traffic(self) -> tuple[ClearTraffic, ...]:
        """What was counted, in order of appearance."""
        found = [
            ClearTraffic(
                *key,
                each.packets,
                each.first_ns,
                each.last_ns,
                each.first_frame,
                each.last_frame,
                each.file,
                each.echoes,
            )
            for table in (self._private, self._public)
            for key, each in table.items()
        ]
        return tuple(sorted(found, key=lambda each: (each.first_ns, each.file, each.first_frame, each.src, each.dst)))

    def notes(self) -> list[CaptureNote]:
        """Which limits were reached."""
        if not self.not_counted:
            return []
        text = f"more than {MAX_PRIVATE} pairs of hosts outside IPsec: {self.not_counted:,} packets of further ones are not told apart"
        return [CaptureNote("clear.limit", text)]


def _grouped(src: npt.NDArray[Any], dst: npt.NDArray[Any], protocol: npt.NDArray[np.uint8]) -> tuple[Indices, Indices]:
    """An order in which equal packets stand together, rows ascending in each group, and where each group starts."""
    columns: list[npt.NDArray[Any]] = [protocol, *_words(dst), *_words(src)]
    order = np.lexsort(columns)
    changes = np.zeros(len(order), bool)
    changes[0] = True
    for column in columns:
        ordered = column[order]
        changes[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(changes)


def link_of(link_type: int, data: bytes) -> bytes:
    """What a link says of its two stations and the direction; nothing where it says nothing."""
    return b"" if link_type in RAW_LINK_TYPES else data[:LINK_OCTETS]


def _echoes(records: Records, row: Indices, protected: Indices) -> npt.NDArray[np.int64]:
    """Which rows come right behind ESP or AH of the same link header: 1 or 0 for each."""
    found = np.zeros(len(row), bool)
    if not len(protected) or not len(row):
        return found.astype(np.int64)
    able = ~np.isin(records.link_type[row], list(RAW_LINK_TYPES)) & (records.captured[row] >= LINK_OCTETS)
    place = np.searchsorted(protected, row)
    for back in range(1, ECHO_DEPTH + 1):
        which = np.flatnonzero(able & ~found & (place >= back))
        before = protected[place[which] - back]
        apart = records.time_ns[row[which]] - records.time_ns[before]
        near = (apart >= 0) & (apart <= ECHO_NS) & (records.captured[before] >= LINK_OCTETS)
        which, before = which[near], before[near]
        same = gather(records.buffer, records.offset[row[which]], _LINK) == gather(
            records.buffer, records.offset[before], _LINK
        )
        found[which[same]] = True
    return found.astype(np.int64)


def _octets(src: npt.NDArray[Any], dst: npt.NDArray[Any], protocol: npt.NDArray[np.uint8]) -> Iterator[bytes]:
    """Source, destination and protocol of each packet as they stand on the wire."""
    size = src.dtype.itemsize
    joined = np.empty(len(src), np.dtype([("src", src.dtype), ("dst", dst.dtype), ("protocol", "u1")]))
    joined["src"], joined["dst"], joined["protocol"] = src, dst, protocol
    raw, step = joined.tobytes(), 2 * size + 1
    return (raw[at : at + step] for at in range(0, len(raw), step))


def _readable(octets: bytes) -> Key:
    size = len(octets) // 2
    return address_text(octets[:size]), address_text(octets[size : 2 * size]), octets[-1]


def _words(addresses: npt.NDArray[Any]) -> list[npt.NDArray[np.uint64]]:
    """Addresses of 4 or 16 octets as one or two columns of numbers."""
    packed = np.ascontiguousarray(addresses)
    if packed.dtype.itemsize == 4:
        return [packed.view("<u4").astype(np.uint64)]
    halves = packed.view("<u8").reshape(-1, 2)
    return [halves[:, 0].copy(), halves[:, 1].copy()]


@lru_cache(MAX_ADDRESSES)
def _is_private(address: str) -> bool:
    return ip_address(address).is_private


def _is_inside(src: str, dst: str, protocol: int) -> bool:
    return protocol in TUNNELS or (_is_private(src) and _is_private(dst))
