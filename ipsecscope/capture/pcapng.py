"""Reading pcapng files: sections, interfaces, packets, names, secrets and comments, with repair.

Format: draft-ietf-opsawg-pcapng. A block is believed when its leading and trailing lengths agree; where they do not,
reading goes on at the next block whose lengths do.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.faults import Faults, readable_text
from ipsecscope.capture.link_types import LinkType, link_type_name
from ipsecscope.capture.pcapng_blocks import (
    MIN_LENGTH,
    Block,
    Clock,
    InterfaceOption,
    Option,
    SectionOption,
    add_names,
    clock_of,
    comment_in,
    options,
    padded,
    statistics,
)
from ipsecscope.capture.pcapng_extents import (
    MAX_BLOCK,
    ORDERS,
    SECTION_MAGIC,
    Extent,
    candidates,
    is_start,
    measure,
    neighbour,
    order_at,
)
from ipsecscope.capture.records import Interface, Records, Secrets
from ipsecscope.capture.stream import ByteStream

LOOKAHEAD = 1024 * 1024
MAX_ORIGINAL = 16 * 1024 * 1024  # octets on the wire that a packet may claim
MAX_DAMAGES = 10_000  # damaged places per file; reading stops there
MAX_TRIED = 200_000  # offsets looked at in search of a block, per file
MAX_INTERFACES = 65_536  # interfaces of one section, and listed in the facts
MAX_SECRETS = 16 * 1024 * 1024  # octets of secrets kept per file
MAX_STATISTICS = 1_000  # interface statistics kept per file

_TIME_LIMIT = 2**63 - 1
_PACKET_HEADER = 28  # block header and the fixed part of an Enhanced Packet Block


def is_pcapng(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is a pcapng file."""
    return head[:4] == SECTION_MAGIC and head[8:12] in ORDERS


class _Described(msgspec.Struct, frozen=True):
    """An interface of the current section."""

    link_type: int
    snaplen: int
    clock: Clock


class _Columns:
    """The records of one window, in the making."""

    def __init__(self) -> None:
        self.runs: list[tuple[npt.NDArray[Any], ...]] = []
        self.comments: dict[int, str] = {}
        self.count = 0

    def add(self, *run: npt.NDArray[Any]) -> None:
        """Add a run of records: offset, captured, original, time_ns, link_type, interface."""
        self.runs.append(run)
        self.count += len(run[0])

    def records(self, file: int, buffer: bytes, base: int, first_number: int) -> Records:
        """The columns as a window of records."""
        offset, captured, original, time_ns, link_type, interface = (
            np.concatenate(column) for column in zip(*self.runs, strict=True)
        )
        return Records(
            file=file,
            buffer=buffer,
            base=base,
            first_number=first_number,
            offset=offset.astype(np.int64),
            captured=captured.astype(np.uint32),
            original=original.astype(np.uint32),
            time_ns=time_ns.astype(np.int64),
            link_type=link_type.astype(np.uint16),
            interface=interface.astype(np.uint32),
            comments=self.comments,
        )


class PcapngReader:
    """The records of one pcapng file, window by window."""

    def __init__(self, stream: ByteStream, faults: Faults, file: int) -> None:
        """Read from the start of ``stream``, which must hold a Section Header Block."""
        self._stream = stream
        self._faults = faults
        self._file = file
        self._number = 1
        self._order = ORDERS[stream.buffer[8:12]]
        self._interfaces: dict[int, _Described] = {}
        self._described = 0
        self._earlier = 0  # interfaces of earlier sections
        self._last_ns = 0
        self._damages = 0
        self._tried = 0
        self._secrets = 0
        self._said: set[str] = set()
        faults.facts.format = "pcapng"
        faults.facts.extra["byte_order"] = "little" if self._order == "<" else "big"

    def windows(self) -> Iterator[Records]:
        """All records, window by window."""
        at: int | None = 0
        while at is not None:
            columns = _Columns()
            at, extent = self._blocks(at, columns)
            stream, buffer, base, first = self._stream, self._stream.buffer, self._stream.base, self._number
            origin = at
            at = self._go_on(at, extent, columns)
            if columns.count:
                self._number += columns.count
                yield columns.records(self._file, buffer, base, first)
            if at is None and not stream.final and self._damages <= MAX_DAMAGES:
                if extent is Extent.PARTIAL or len(buffer) - origin < LOOKAHEAD:
                    stream.advance(origin, 0 if origin else 2 * len(buffer) + LOOKAHEAD)
                    at = 0
                else:
                    at = self._hunt(base + origin)

    def _blocks(self, at: int, columns: _Columns) -> tuple[int, Extent]:
        """Read whole blocks from ``at``; returns where that ends, and why."""
        while True:
            at = self._packets(at, columns)
            extent = self._measure(at)
            if isinstance(extent, Extent):
                return at, extent
            self._block(at, extent, columns)
            at = extent

    def _packets(self, at: int, columns: _Columns) -> int:
        """Read a run of Enhanced Packet Blocks that have nothing odd; returns where it ends."""
        buffer = self._stream.buffer
        head = struct.Struct(self._order + "II").unpack_from
        trailer = struct.Struct(self._order + "I").unpack_from
        starts: list[int] = []
        add = starts.append
        last = len(buffer) - 32
        while at <= last:
            kind, length = head(buffer, at)
            stop = at + length
            if kind != 6 or length & 3 or not 32 <= length <= MAX_BLOCK or stop > last + 32:
                break
            if trailer(buffer, stop - 4)[0] != length:
                break
            add(at)
            at = stop
        if starts:
            self._enhanced(np.array(starts, np.int64), None, columns)
        return at

    def _measure(self, at: int) -> int | Extent:
        """Where the block at ``at`` ends, if it is whole."""
        buffer = self._stream.buffer
        extent = measure(buffer, at, self._order)
        if extent is Extent.BROKEN and (stop := neighbour(buffer, at, self._order)) is not None:
            self._damaged(stop - 4, 4, "the lengths of a block differ, the next block is in its place")
            return stop
        return extent

    def _block(self, at: int, stop: int, columns: _Columns) -> None:
        """Read one whole block."""
        (kind,) = struct.unpack_from(self._order + "I", self._stream.buffer, at)
        if stop - at < MIN_LENGTH.get(kind, 12):
            self._damaged(at, stop - at, f"a block of type {kind} with {stop - at} octets is too short")
            return
        if kind == Block.ENHANCED_PACKET:
            self._enhanced(np.array([at], np.int64), stop - at, columns)
        elif kind in {Block.SIMPLE_PACKET, Block.PACKET}:
            (self._simple if kind == Block.SIMPLE_PACKET else self._obsolete)(at, stop, columns)
        else:
            reader: Callable[[int, int], None] | None = {
                Block.SECTION: self._section,
                Block.INTERFACE: self._interface,
                Block.NAME_RESOLUTION: self._names,
                Block.INTERFACE_STATISTICS: self._statistics,
                Block.DECRYPTION_SECRETS: self._keep_secrets,
            }.get(kind)
            if reader is not None:
                reader(at, stop)
            elif kind in {Block.CUSTOM, Block.CUSTOM_NO_COPY}:
                self._faults.count("custom_blocks")
            else:
                self._faults.count("journal_blocks" if kind == Block.SYSTEMD_JOURNAL else "unknown_blocks")

    # Packets

    def _enhanced(self, starts: npt.NDArray[np.int64], length: int | None, columns: _Columns) -> None:
        """Add Enhanced Packet Blocks; ``length`` replaces the length that the block claims."""
        names = ("kind", "length", "interface", "high", "low", "captured", "original")
        dtype = np.dtype([(name, self._order + "u4") for name in names])
        buffer = self._stream.buffer
        every = np.ndarray((len(buffer) - _PACKET_HEADER + 1,), f"V{_PACKET_HEADER}", buffer, strides=(1,))
        rows = every[starts].view(dtype)
        room = rows["length"].astype(np.int64) - 32 if length is None else np.full(len(starts), length - 32)
        ticks = rows["high"].astype(np.uint64) << np.uint64(32) | rows["low"].astype(np.uint64)
        captured = self._believable(starts, rows["captured"].astype(np.int64), room, columns)
        original = self._original(starts, rows["original"].astype(np.int64), captured, columns)
        times = np.empty(len(starts), np.int64)
        link_types = np.empty(len(starts), np.uint16)
        for number in np.unique(rows["interface"]):
            described = self._interface_of(int(number))
            chosen = rows["interface"] == number
            link_types[chosen] = described.link_type
            times[chosen] = self._times(described.clock, ticks[chosen])
        for index in np.flatnonzero(room > (captured + 3 & ~3)):
            first = int(starts[index]) + _PACKET_HEADER
            text = comment_in(buffer, first + padded(int(captured[index])), first + int(room[index]), self._order)
            if text:
                columns.comments[columns.count + int(index)] = text
        self._last_ns = int(times[-1])
        interfaces = rows["interface"].astype(np.int64) + self._earlier
        columns.add(starts + _PACKET_HEADER, captured, original, times, link_types, interfaces)

    def _believable(
        self,
        starts: npt.NDArray[np.int64],
        captured: npt.NDArray[np.int64],
        room: npt.NDArray[np.int64],
        columns: _Columns,
    ) -> npt.NDArray[np.int64]:
        for index in np.flatnonzero(captured > room):
            text = f"the packet claims {captured[index]} octets, the block has room for {room[index]}"
            self._damaged(int(starts[index]), _PACKET_HEADER, text, self._number + columns.count + int(index))
        return np.minimum(captured, room)

    def _original(
        self,
        starts: npt.NDArray[np.int64],
        original: npt.NDArray[np.int64],
        captured: npt.NDArray[np.int64],
        columns: _Columns,
    ) -> npt.NDArray[np.int64]:
        for index in np.flatnonzero(original > MAX_ORIGINAL):
            text = f"a length on the wire of {original[index]} octets is not believable"
            self._damaged(int(starts[index]), _PACKET_HEADER, text, self._number + columns.count + int(index))
        return np.where(original > MAX_ORIGINAL, captured, original)

    def _times(self, clock: Clock, ticks: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
        """Nanoseconds since 1970; what does not fit 64 bits is clamped, and said."""
        scale, rest = divmod(1_000_000_000, clock.per_second)
        if not rest and not clock.offset_s and int(ticks.max()) <= _TIME_LIMIT // scale:
            return ticks.astype(np.int64) * scale
        exact = [clock.time_ns(int(tick)) for tick in ticks]
        fitting = [max(-_TIME_LIMIT, min(_TIME_LIMIT, value)) for value in exact]
        if fitting != exact:
            self._say_once("capture.clock", "times outside the years 1677 to 2262 are clamped")
        return np.array(fitting, np.int64)

    def _one(
        self, place: tuple[int, int], sizes: tuple[int, int], time_ns: int, interface: int, columns: _Columns
    ) -> None:
        """Add one record: ``place`` is the block and its data, ``sizes`` captured and original length."""
        link_type = self._interface_of(interface).link_type
        starts = np.array([place[0]], np.int64)
        captured = np.array([sizes[0]], np.int64)
        original = self._original(starts, np.array([sizes[1]], np.int64), captured, columns)
        times, link_types = np.array([time_ns]), np.array([link_type])
        interfaces = np.array([interface + self._earlier])
        columns.add(starts + (place[1] - place[0]), captured, original, times, link_types, interfaces)

    def _simple(self, at: int, stop: int, columns: _Columns) -> None:
        described = self._interface_of(0)
        (original,) = struct.unpack_from(self._order + "I", self._stream.buffer, at + 8)
        captured = min(original, stop - at - 16, described.snaplen or original)
        self._say_once("capture.no-time", "simple packet blocks have no time: that of the record before is shown")
        self._one((at, at + 12), (captured, original), self._last_ns, 0, columns)

    def _obsolete(self, at: int, stop: int, columns: _Columns) -> None:
        """The obsolete Packet Block: as the enhanced one, with 16 bits of interface number and 16 of drop count."""
        buffer = self._stream.buffer
        number, _, high, low, captured, original = struct.unpack_from(self._order + "HHIIII", buffer, at + 8)
        described = self._interface_of(number)
        room = stop - at - 32
        if captured > room:
            text = f"the packet claims {captured} octets, the block has room for {room}"
            self._damaged(at, _PACKET_HEADER, text, self._number + columns.count)
            captured = room
        time_ns = int(self._times(described.clock, np.array([high << 32 | low], np.uint64))[0])
        data = at + _PACKET_HEADER
        if text := comment_in(buffer, data + padded(captured), stop - 4, self._order):
            columns.comments[columns.count] = text
        self._last_ns = time_ns
        self._one((at, data), (captured, original), time_ns, number, columns)

    # Everything else

    def _section(self, at: int, stop: int) -> None:
        buffer, facts = self._stream.buffer, self._faults.facts
        self._order = ORDERS[buffer[at + 8 : at + 12]]
        self._interfaces, self._described = {}, 0
        self._earlier = len(self._faults.facts.interfaces)
        self._faults.count("sections")
        (major,) = struct.unpack_from(self._order + "H", buffer, at + 12)
        if major != 1:
            self._say_once("capture.version", f"pcapng version {major} is not known; read as version 1")
        for code, value in options(buffer, at + 24, stop - 4, self._order):
            text = readable_text(value)
            if code == Option.COMMENT:
                facts.comment = f"{facts.comment}\n{text}" if facts.comment else text
            elif code == SectionOption.HARDWARE:
                facts.hardware = facts.hardware or text
            elif code == SectionOption.APPLICATION:
                facts.application = facts.application or text
            elif code == SectionOption.OS:
                facts.extra.setdefault("os", text)
        facts.comment = facts.comment[: 64 * 1024]

    def _interface(self, at: int, stop: int) -> None:
        link_type, _, snaplen = struct.unpack_from(self._order + "HHI", self._stream.buffer, at + 8)
        name, resolution, offset = "", b"", 0
        for code, value in options(self._stream.buffer, at + 16, stop - 4, self._order):
            if code == InterfaceOption.NAME:
                name = readable_text(value)
            elif code == InterfaceOption.RESOLUTION:
                resolution = value
            elif code == InterfaceOption.OFFSET and len(value) == 8:
                (offset,) = struct.unpack(self._order + "q", value)
        clock, clamped = clock_of(resolution, offset)
        if clamped:
            text = (
                f"interface {self._described} claims a time resolution finer than can be; its times are not meaningful"
            )
            self._faults.say("capture.clock", text, self._stream.base + at, stop - at)
        if self._described < MAX_INTERFACES:
            self._interfaces[self._described] = _Described(link_type, snaplen, clock)
        self._described += 1
        facts = self._faults.facts
        if len(facts.interfaces) < MAX_INTERFACES:
            facts.interfaces.append(Interface(link_type, snaplen, clock.resolution_ns, name))

    def _interface_of(self, number: int) -> _Described:
        """The interface of a packet; one whose description is missing is taken to be like the first."""
        described = self._interfaces.get(number)
        if described is None:
            first = next(iter(self._interfaces.values()), None)
            described = first or _Described(LinkType.ETHERNET, 0, Clock())
            text = f"interface {number} is not described; taken for {link_type_name(described.link_type)}"
            self._damaged(0, None, text)
            if len(self._interfaces) < MAX_INTERFACES:
                self._interfaces[number] = described
        return described

    def _names(self, at: int, stop: int) -> None:
        add_names(self._faults.facts.names, self._stream.buffer[at + 8 : stop - 4], self._order)

    def _statistics(self, at: int, stop: int) -> None:
        kept = self._faults.facts.extra.setdefault("statistics", [])
        if len(kept) < MAX_STATISTICS:
            kept.append(statistics(self._stream.buffer, at + 8, stop - 4, self._order))

    def _keep_secrets(self, at: int, stop: int) -> None:
        kind, size = struct.unpack_from(self._order + "II", self._stream.buffer, at + 8)
        if size > stop - at - 20:
            self._damaged(at, stop - at, f"the secrets claim {size} octets, the block has {stop - at - 20}")
            size = stop - at - 20
        self._secrets += size
        if self._secrets > MAX_SECRETS:
            self._say_once("capture.limit", f"only {MAX_SECRETS} octets of decryption secrets are kept")
            return
        data = self._stream.buffer[at + 16 : at + 16 + size]
        self._faults.facts.secrets.append(Secrets(kind, data, self._stream.base + at))

    # Damage

    def _damaged(self, at: int, size: int | None, text: str, frame: int | None = None) -> None:
        where = self._stream.base + at if size is not None else None
        self._faults.say("capture.damaged", text, where, size, frame)

    def _say_once(self, kind: str, text: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._faults.say(kind, text)

    def _go_on(self, at: int, extent: Extent, columns: _Columns) -> int | None:
        """Where reading goes on in this window behind ``at``, where no whole block stands; None: not in it."""
        stream = self._stream
        if stream.final and at == len(stream.buffer):
            return None
        if not stream.final and (extent is Extent.PARTIAL or len(stream.buffer) - at < LOOKAHEAD):
            return None
        self._damages += 1
        left = len(stream.buffer) - at
        if self._damages > MAX_DAMAGES:
            text = f"more than {MAX_DAMAGES} damaged places: the rest is not read"
            self._faults.say("capture.limit", text, stream.base + at, left)
            return None
        found = self._search(at + 4)
        if found is not None:
            order, place = found
            if not self._rebuild(at, place, columns):
                self._resumed(stream.base + at, order, place)
            self._order = order
            return place
        if stream.final:
            cut = extent is Extent.PARTIAL
            text = "the file ends inside a block" if cut else "no block, and none found behind it"
            self._faults.say("capture.truncated" if cut else "capture.damaged", text, stream.base + at, left)
            self._say_if_given_up(stream.base + at, left)
        return None

    def _resumed(self, origin: int, order: str, found: int) -> None:
        self._order = order
        place = self._stream.base + found
        self._faults.say("capture.damaged", "no block whose two lengths agree", origin, place - origin)
        text = f"resynchronised at byte {place}, {place - origin} bytes skipped"
        self._faults.say("capture.resynchronised", text, place, place - origin)

    def _rebuild(self, at: int, found: int, columns: _Columns) -> bool:
        """A block whose leading length alone is wrong: the trailing one fits to where the next block was found."""
        buffer, size = self._stream.buffer, found - at
        kind, length = struct.unpack_from(self._order + "II", buffer, at)
        (trailing,) = struct.unpack_from(self._order + "I", buffer, found - 4)
        if trailing != size or kind not in MIN_LENGTH or kind == Block.SECTION:
            return False
        self._damaged(at, size, f"the block claims {length} octets and has {size}")
        self._faults.say(
            "capture.resynchronised",
            f"resynchronised at byte {self._stream.base + found}, 0 bytes skipped",
            self._stream.base + found,
            0,
        )
        self._block(at, found, columns)
        return True

    def _search(self, low: int) -> tuple[str, int] | None:
        """The first block from ``low`` in this window at which reading can go on, and its byte order."""
        buffer = self._stream.buffer
        for at in candidates(buffer, low, len(buffer) - (0 if self._stream.final else LOOKAHEAD)):
            self._tried += 1
            if self._tried > MAX_TRIED:
                return None
            for order in (self._order, "<" if self._order == ">" else ">"):
                own = order_at(buffer, at, order)
                if own is not None and is_start(buffer, at, own):
                    return own, at
        return None

    def _hunt(self, origin: int) -> int | None:
        """The first block in the windows to come; this window has been searched."""
        stream = self._stream
        while not stream.final and self._tried <= MAX_TRIED:
            keep = len(stream.buffer) - LOOKAHEAD
            stream.advance(keep, 0 if keep else 2 * len(stream.buffer))
            found = self._search(0)
            if found is not None:
                self._resumed(origin, *found)
                return found[1]
        left = stream.base + len(stream.buffer) - origin
        self._faults.say("capture.damaged", "no block, and none found behind it", origin, left)
        self._say_if_given_up(origin, left)
        return None

    def _say_if_given_up(self, origin: int, left: int) -> None:
        if self._tried > MAX_TRIED:
            text = "the search for a place to go on was given up: the rest is not read"
            self._faults.say("capture.limit", text, origin, left)
