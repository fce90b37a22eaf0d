"""Reading pcap files: microseconds and nanoseconds, both byte orders, old and modified variants, with repair.

A damaged record does not end the file: the records before it and behind it are read, and notes say what was skipped.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.faults import Faults
from ipsecscope.capture.pcap_headers import (
    FILE_HEADER,
    LOOKAHEAD,
    MAX_ORIGINAL,
    MAX_STEPS,
    MAX_TRIED,
    Evidence,
    Header,
    Layout,
    Lengths,
    Rows,
    doubtful,
    header_at,
    is_near,
    rows_at,
    walk,
)
from ipsecscope.capture.records import Interface, Records
from ipsecscope.capture.stream import ByteStream

MAX_DAMAGES = 10_000  # damaged places per file; reading stops there

MICROSECONDS = 0xA1B2C3D4
NANOSECONDS = 0xA1B23C4D
MODIFIED = 0xA1B2CD34  # A. Kuznetzov's patch: eight octets more in each record header

_STANDARD_HEADER = 16
_MODIFIED_HEADER = 24
_TRIED_HEADERS = (_STANDARD_HEADER, _MODIFIED_HEADER)
_FRACTION_NS = {MICROSECONDS: 1_000, NANOSECONDS: 1, MODIFIED: 1_000}
_MAGICS = {struct.pack(order + "I", magic): (order, magic) for order in "<>" for magic in _FRACTION_NS}
_KEPT_TIMES = 2
_LINK_TYPE_BITS = 0x03FF_FFFF  # the rest of the word tells of frame check sequences


def is_pcap(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is a pcap file."""
    return head[:4] in _MAGICS


class PcapReader:
    """The records of one pcap file, window by window."""

    def __init__(self, stream: ByteStream, faults: Faults, file: int) -> None:
        """Read the file header from the stream's first window. Raises CaptureError when it is cut short."""
        self._stream = stream
        self._faults = faults
        self._file = file
        self._number = 1
        self._times: tuple[int, ...] = ()
        self._damages = 0
        self._tried = 0
        self._steps = 0
        self.layout = self._file_header()

    def _file_header(self) -> Layout:
        head = self._stream.buffer[:FILE_HEADER]
        if len(head) < FILE_HEADER:
            raise self._faults.error(f"a pcap file header has {FILE_HEADER} octets, {len(head)} are there")
        order, magic = _MAGICS[head[:4]]
        major, minor, zone, _, snaplen, link = struct.unpack(order + "HHiIII", head[4:])
        lengths = Lengths.PLAIN
        if major == 543 or (major == 2 and minor < 3):
            lengths = Lengths.SWAPPED
        elif (major, minor) == (2, 3):
            lengths = Lengths.SMALLER
        layout = Layout(
            order=order,
            header=_MODIFIED_HEADER if magic == MODIFIED else _STANDARD_HEADER,
            fraction_ns=_FRACTION_NS[magic],
            lengths=lengths,
            link_type=link & _LINK_TYPE_BITS,
            snaplen=snaplen,
        )
        layout = _fitting(layout, self._stream)
        facts = self._faults.facts
        facts.format = "pcap"
        facts.interfaces = [Interface(layout.link_type, snaplen, layout.fraction_ns)]
        facts.extra["version"] = f"{major}.{minor}"
        facts.extra["byte_order"] = "little" if order == "<" else "big"
        if layout.header == _MODIFIED_HEADER:
            facts.extra["variant"] = "modified"
        if zone:
            facts.extra["this_zone"] = zone
        return layout

    def start_ns(self) -> int | None:
        """The time of the first record, if that stands whole in the first window with another header behind it."""
        starts, stop = walk(self._stream.buffer, FILE_HEADER, self.layout)
        if not starts or (len(starts) == 1 and stop + self.layout.header > len(self._stream.buffer)):
            return None
        header = header_at(self._stream.buffer, FILE_HEADER, self.layout)
        return header.sec * 1_000_000_000 + header.fraction * self.layout.fraction_ns

    def windows(self) -> Iterator[Records]:
        """All records, in windows that may be empty only when the file has none."""
        self._stream.advance(FILE_HEADER)
        at: int | None = 0
        while at is not None:
            at = yield from self._window(at)

    def _window(self, at: int) -> Generator[Records, None, int | None]:
        """One window's sound records from ``at``; returns where to go on, None at the end."""
        buffer = self._stream.buffer
        found, stop = walk(buffer, at, self.layout)
        starts = np.array(found, np.int64)
        rows = rows_at(buffer, starts, self.layout)
        sound, wait = self._judge(starts, rows)
        if sound < len(starts):
            stop = int(starts[sound])
        if self._stream.final:
            wait = False
            if stop == len(buffer):
                yield from self._emit(starts, rows)
                return None
        elif not wait:
            wait = len(buffer) - stop < LOOKAHEAD or self._runs_on(stop)
        if wait:
            # The last record stays in the window: a fault behind it may show that its length is wrong.
            kept = max(sound - 1, 0)
            yield from self._emit(starts[:kept], rows[:kept])
            self._advance(int(starts[kept]) if sound else stop)
            return 0
        return (yield from self._repair(starts[:sound], rows[:sound], stop))

    def _advance(self, keep: int) -> None:
        """Move the window; when it cannot move, widen it."""
        self._stream.advance(keep, 0 if keep else 2 * len(self._stream.buffer) + LOOKAHEAD)

    def _runs_on(self, stop: int) -> bool:
        """Whether the record at ``stop`` has a believable length and merely leaves the window."""
        if stop + self.layout.header > len(self._stream.buffer):
            return True
        captured = header_at(self._stream.buffer, stop, self.layout).captured
        return captured <= self.layout.most and stop + self.layout.header + captured > len(self._stream.buffer)

    def _judge(self, starts: npt.NDArray[np.int64], rows: Rows) -> tuple[int, bool]:
        """How many of the records are sound, and whether more of the file must be seen to judge the next."""
        if not len(rows):
            return 0, False
        for index in doubtful(rows, self._times, self.layout):
            before = tuple(int(sec) for sec in rows["sec"][max(0, index - _KEPT_TIMES) : index])
            evidence = self._evidence((*self._times, *before)[-_KEPT_TIMES:])
            sound = evidence.is_sound(int(starts[index]))
            if not sound:
                return int(index), sound is None
        return len(rows), False

    def _evidence(self, times: tuple[int, ...]) -> Evidence:
        return Evidence(self._stream.buffer, self.layout, times, final=self._stream.final)

    def _emit(self, starts: npt.NDArray[np.int64], rows: Rows, last_captured: int | None = None) -> Iterator[Records]:
        if not len(starts):
            return
        captured = rows["captured"].astype(np.uint32)
        original = rows["original"].astype(np.uint32)
        if last_captured is not None:
            captured[-1] = last_captured
        sec = rows["sec"].astype(np.int64)
        for index in np.flatnonzero(original > MAX_ORIGINAL):
            text = f"a length on the wire of {original[index]} octets is not believable"
            where = self._stream.base + int(starts[index])
            self._faults.say("capture.damaged", text, where, 16, self._number + int(index))
            original[index] = captured[index]
        records = Records(
            file=self._file,
            buffer=self._stream.buffer,
            base=self._stream.base,
            first_number=self._number,
            offset=starts + self.layout.header,
            captured=captured,
            original=original,
            time_ns=sec * 1_000_000_000 + rows["fraction"].astype(np.int64) * self.layout.fraction_ns,
            link_type=np.full(len(starts), min(self.layout.link_type, 0xFFFF), np.uint16),
        )
        self._times = tuple(int(value) for value in (*self._times, *sec[-_KEPT_TIMES:]))[-_KEPT_TIMES:]
        self._number += len(starts)
        yield records

    def _repair(self, starts: npt.NDArray[np.int64], rows: Rows, stop: int) -> Generator[Records, None, int | None]:
        """Go on behind the fault at ``stop``; ``starts`` are the sound records before it."""
        base = self._stream.base
        times = (*self._times, *(int(sec) for sec in rows["sec"][-_KEPT_TIMES:]))[-_KEPT_TIMES:]
        overrun = self._runs_on(stop)
        self._damages += 1
        first = int(starts[-1]) + self.layout.header if len(starts) else stop
        found = self._search(first, stop, times, cut=overrun) if self._damages <= MAX_DAMAGES else None
        origin = base + stop
        if found is not None and found < stop:
            # Records touch each other: the last one ends where the next was found.
            size = found - first
            text = f"the record claims {int(rows['captured'][-1])} octets and has {size}"
            number = self._number + len(starts) - 1
            self._faults.say("capture.damaged", text, base + int(starts[-1]), size, number)
            yield from self._emit(starts, rows, size)
            origin = base + found
        else:
            yield from self._emit(starts, rows)
            if found is not None and self._is_whole(stop, found, overrun=overrun):
                yield from self._rebuild(stop, found)
                origin = base + found
        if found is None and not self._stream.final and self._damages <= MAX_DAMAGES:
            found = self._hunt()
        return self._resume(found, origin, times, overrun=overrun)

    def _resume(self, found: int | None, origin: int, times: tuple[int, ...], *, overrun: bool) -> int | None:
        stream, say = self._stream, self._faults.say
        if found is None:
            left = stream.base + len(stream.buffer) - origin
            if self._damages > MAX_DAMAGES:
                say("capture.limit", f"more than {MAX_DAMAGES} damaged places: the rest is not read", origin, left)
            elif overrun:
                say("capture.truncated", f"the file ends inside record {self._number}", origin, left, self._number)
            else:
                say("capture.damaged", "no record header, and none found behind it", origin, left)
            if self._gave_up:
                say("capture.limit", "the search for a place to go on was given up: the rest is not read", origin, left)
            return None
        place = stream.base + found
        skipped = place - origin
        if skipped:
            say("capture.damaged", "no believable record header", origin, skipped)
        text = f"resynchronised at byte {place}, {skipped} bytes skipped"
        say("capture.resynchronised", text, place, skipped, self._number)
        sec = header_at(stream.buffer, found, self.layout).sec
        self._times = (*times, sec)[-_KEPT_TIMES:]
        return found

    def _is_whole(self, stop: int, found: int, *, overrun: bool) -> bool:
        """Whether only the captured length of the record at ``stop`` is wrong: it ends where the next was found."""
        header = header_at(self._stream.buffer, stop, self.layout)
        size = found - stop - self.layout.header
        return size > 0 and self._is_timely(header) and (header.original == size or overrun)

    def _rebuild(self, stop: int, found: int) -> Iterator[Records]:
        starts = np.array([stop], np.int64)
        rows = rows_at(self._stream.buffer, starts, self.layout)
        size = found - stop - self.layout.header
        text = f"the record claims {int(rows['captured'][0])} octets and has {size}"
        self._faults.say("capture.damaged", text, self._stream.base + stop, size, self._number)
        yield from self._emit(starts, rows, size)

    def _is_timely(self, header: Header) -> bool:
        return is_near(header.sec, self._times) and header.fraction < self.layout.fractions

    def _search(self, low: int, stop: int, times: tuple[int, ...], *, cut: bool) -> int | None:
        """The first new start in the window from ``low``, other than ``stop`` itself."""
        evidence = self._evidence(times)
        high = evidence.end if self._stream.final else evidence.end - LOOKAHEAD
        depth = 3 if cut else 2
        for at in evidence.candidates(low, high):
            self._tried += 1
            if self._gave_up:
                return None
            before = evidence.steps
            if at != stop and evidence.is_start(at, stop, depth):
                return at
            self._steps += evidence.steps - before
        return None

    @property
    def _gave_up(self) -> bool:
        """Whether so many places were tried that no more will be."""
        return self._tried > MAX_TRIED or self._steps > MAX_STEPS

    def _hunt(self) -> int | None:
        """The first new start in the windows to come; this window has been searched."""
        keep = len(self._stream.buffer) - LOOKAHEAD
        while True:
            self._advance(keep)
            found = self._search(0, -1, self._times, cut=False)
            if found is not None or self._stream.final or self._gave_up:
                return found
            keep = max(len(self._stream.buffer) - LOOKAHEAD, 0)


def _fitting(layout: Layout, stream: ByteStream) -> Layout:
    """The layout with the record header size that makes the first records follow each other.

    Some writers of the modified format used the standard magic number, and some of the standard format the other.
    """
    buffer = stream.buffer
    if _follows(buffer, layout, 1):
        return layout
    others = (msgspec.structs.replace(layout, header=size) for size in _TRIED_HEADERS if size != layout.header)
    return next((other for other in others if _follows(buffer, other, 2)), layout)


def _follows(buffer: bytes, layout: Layout, least: int) -> bool:
    """Whether at least ``least`` records follow each other up to the end of the window, or three in any case."""
    starts, stop = walk(buffer, FILE_HEADER, layout)
    rows = rows_at(buffer, np.array(starts[:4], np.int64), layout)
    if len(starts) < least or not (stop == len(buffer) or len(starts) >= 3):
        return False
    if least == 1:
        return bool(np.all(rows["fraction"] < layout.fractions))
    near = all(is_near(int(sec), (int(rows["sec"][0]),)) for sec in rows["sec"])
    return near and bool(np.all(rows["captured"] <= rows["original"]))
