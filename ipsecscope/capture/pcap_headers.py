"""The record headers of a pcap file: walking from one to the next, judging them, and finding them again after damage.

Functions over a window of bytes; nothing here reads a file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

MAX_RECORD = 256 * 1024  # octets of one record; more only where the file's snaplen says so …
MAX_SNAPLEN = 16 * 1024 * 1024  # … up to this
MAX_ORIGINAL = 16 * 1024 * 1024  # octets on the wire that a record may claim
MAX_GAP_S = 86_400  # between neighbours; what is further away needs other evidence
LOOKAHEAD = 2 * 1024 * 1024  # octets behind a doubtful header that are looked at, at most
NEAR_DEPTH = 2  # headers in a row that make a new start, when the time fits the records before
FAR_DEPTH = 4  # … and when it does not
LINK_DEPTH = 8  # … and where the record before ends, whatever the times are
MIN_FRAME = 14  # octets of a record that is believed on its own header alone
MAX_TRIED = 200_000  # chains followed in search of new starts, per file …
MAX_STEPS = 1_000_000  # … and headers looked at in them: forged chains run into one another without end

_SCAN = 256 * 1024
_FIRST_SCAN = 4 * 1024

FILE_HEADER = 24


class Lengths:
    """Which of the two length words is the captured length."""

    PLAIN = 0
    SWAPPED = 1  # before version 2.3, and version 543
    SMALLER = 2  # version 2.3: writers differed


class Layout(msgspec.Struct, frozen=True):
    """What the file header says of the records. ``fraction_ns`` is the unit of the second time word."""

    order: str
    header: int
    fraction_ns: int
    lengths: int
    link_type: int
    snaplen: int

    @property
    def most(self) -> int:
        """The longest record that is believed."""
        return max(MAX_RECORD, min(self.snaplen, MAX_SNAPLEN))

    @property
    def fractions(self) -> int:
        """Fractions to a second."""
        return 1_000_000_000 // self.fraction_ns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The first 16 octets of a record header, which all variants share."""
        first, second = ("original", "captured") if self.lengths == Lengths.SWAPPED else ("captured", "original")
        word = self.order + "u4"
        return np.dtype([("sec", word), ("fraction", word), (first, word), (second, word)])


class Header(NamedTuple):
    """One record header."""

    sec: int
    fraction: int
    captured: int
    original: int


Rows = npt.NDArray[Any]


def header_at(buffer: bytes, at: int, layout: Layout) -> Header:
    """The record header at ``at``; at least 16 octets must be there."""
    sec, fraction, first, second = struct.unpack_from(layout.order + "4I", buffer, at)
    if layout.lengths == Lengths.SWAPPED or (layout.lengths == Lengths.SMALLER and first > second):
        first, second = second, first
    return Header(sec, fraction, first, second)


def walk(buffer: bytes, at: int, layout: Layout) -> tuple[list[int], int]:
    """Starts of the whole records from ``at``, and where no further whole record with a believable length stands."""
    starts: list[int] = []
    add = starts.append
    size, most, end = layout.header, layout.most, len(buffer)
    if layout.lengths == Lengths.SMALLER:
        while at + size <= end:
            captured = header_at(buffer, at, layout).captured
            if captured > most or at + size + captured > end:
                break
            add(at)
            at += size + captured
        return starts, at
    unpack = struct.Struct(layout.order + "I").unpack_from
    field = 12 if layout.lengths == Lengths.SWAPPED else 8
    last = end - size
    while at <= last:
        (captured,) = unpack(buffer, at + field)
        stop = at + size + captured
        if captured > most or stop > end:
            break
        add(at)
        at = stop
    return starts, at


def rows_at(buffer: bytes, starts: npt.NDArray[np.int64], layout: Layout) -> Rows:
    """The headers at ``starts`` as a structured array."""
    if not len(starts):
        return np.zeros(0, layout.dtype)
    every = np.ndarray((len(buffer) - 15,), dtype="V16", buffer=buffer, strides=(1,))
    rows = every[starts].view(layout.dtype)
    if layout.lengths == Lengths.SMALLER:
        smaller = np.minimum(rows["captured"], rows["original"])
        rows["original"] = np.maximum(rows["captured"], rows["original"])
        rows["captured"] = smaller
    return rows


def is_near(sec: int, references: tuple[int, ...]) -> bool:
    """Whether a time is within a day of one of those before (or there are none)."""
    return not references or any(abs(sec - other) <= MAX_GAP_S for other in references)


def doubtful(rows: Rows, references: tuple[int, ...], layout: Layout) -> npt.NDArray[np.intp]:
    """Which rows cannot be accepted on sight: a time far from the one before, too large a fraction, or all zero."""
    sec = rows["sec"].astype(np.int64)
    far = np.abs(np.diff(sec, prepend=references[-1] if references else sec[:1])) > MAX_GAP_S
    empty = (sec == 0) & (rows["fraction"] == 0) & (rows["captured"] == 0) & (rows["original"] == 0)
    return np.flatnonzero(far | empty | (rows["fraction"] >= layout.fractions))


class Evidence:
    """What is known when a header is judged: the window, whether it reaches the end, and times seen before.

    ``steps`` counts the headers that ``is_start`` has looked at.
    """

    def __init__(self, buffer: bytes, layout: Layout, references: tuple[int, ...], *, final: bool) -> None:
        self.buffer = buffer
        self.layout = layout
        self.references = references
        self.final = final
        self.end = len(buffer)
        self.steps = 0

    def _chain(self, at: int) -> Iterator[tuple[int, Header]]:
        while at + self.layout.header <= self.end:
            header = header_at(self.buffer, at, self.layout)
            if header.captured > self.layout.most or header.original > MAX_ORIGINAL or not any(header):
                return
            yield at, header
            at += self.layout.header + header.captured

    def is_sound(self, at: int) -> bool | None:
        """Whether a doubtful header, which stands where the record before it ends, may be believed.

        None: that cannot be said before more of the file is in the window.
        """
        first = header_at(self.buffer, at, self.layout)
        if not any(first):
            return bool(self.references) and is_near(0, self.references)
        if is_near(first.sec, self.references) and first.fraction < self.layout.fractions:
            return True
        stop = at
        for count, (here, header) in enumerate(self._chain(at)):
            stop = here + self.layout.header + header.captured
            if count == 1 and is_near(header.sec, (first.sec, *self.references)):
                return True
            if count == LINK_DEPTH:
                return True
        if stop + self.layout.header <= self.end:
            return False  # the chain breaks on a header that is there
        return True if self.final or self.end - at >= LOOKAHEAD else None

    def is_start(self, at: int, beyond: int, depth: int = NEAR_DEPTH) -> bool:
        """Whether records go on from ``at``, found by searching; they must be seen to go on beyond ``beyond``."""
        near = bool(self.references)
        count, stop, last = 0, at, self.references
        for here, header in self._chain(at):
            self.steps += 1
            if not self._is_strict(header):
                break
            near = near and is_near(header.sec, last)
            last = (header.sec, *self.references)
            count += 1
            stop = here + self.layout.header + header.captured
            if here >= beyond and count >= (depth if near else FAR_DEPTH):
                return True
        if not count:
            return False
        if stop + self.layout.header > self.end:
            if self.final:
                exact = stop == self.end and (near or count > 1 or self._stands_alone(at))
                return exact or (near and count >= depth and stop >= beyond)
            return near or count > 1
        return count == 1 and near and at >= beyond and depth == NEAR_DEPTH and self._stands_alone(at)

    def _is_strict(self, header: Header) -> bool:
        return header.fraction < self.layout.fractions and 0 < header.captured <= header.original

    def _stands_alone(self, at: int) -> bool:
        """An intact record between two faults: nothing behind it confirms it, so its own words must agree."""
        header = header_at(self.buffer, at, self.layout)
        whole = header.captured in {header.original, self.layout.snaplen}
        return whole and header.captured >= MIN_FRAME and header.sec > MAX_GAP_S

    def candidates(self, low: int, high: int) -> Iterator[int]:
        """Offsets from ``low`` up to ``high`` that look like a record header followed by another or by the end."""
        size = _FIRST_SCAN
        high = min(high, self.end - self.layout.header + 1)
        while low < high:
            count = min(size, high - low)
            yield from self._plausible(low, count)
            low += count
            size = _SCAN

    def _plausible(self, low: int, count: int) -> list[int]:
        layout = self.layout
        if layout.lengths == Lengths.SMALLER:
            rows = rows_at(self.buffer, np.arange(low, low + count), layout)
        else:
            rows = np.ndarray((count,), dtype=layout.dtype, buffer=self.buffer, offset=low, strides=(1,))
        index = np.flatnonzero(rows["captured"] <= MAX_RECORD)
        captured, original = rows["captured"][index].astype(np.int64), rows["original"][index]
        good = (captured > 0) & (captured <= original) & (original <= MAX_ORIGINAL)
        good &= rows["fraction"][index] < layout.fractions
        index, captured = index[good], captured[good]
        sec = rows["sec"][index].astype(np.int64)
        following = low + index + layout.header + captured
        inside = following + 16 <= self.end
        linked = ~inside
        after = rows_at(self.buffer, following[inside], layout)
        linked[inside] = (after["captured"] <= layout.most) & (after["original"] <= MAX_ORIGINAL)
        for reference in self.references:
            linked |= np.abs(sec - reference) <= MAX_GAP_S
        return [int(offset) for offset in low + index[linked]]
