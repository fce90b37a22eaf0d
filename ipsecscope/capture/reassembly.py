"""IP fragments put together again, IPv4 and IPv6 (RFC 791, RFC 8200 section 4.5), and which ones the capture lacks.

The first octets to arrive stay, as most systems have it; a later fragment that says otherwise is noted, never used.
What it costs grows with the fragments, whatever they claim.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict

import msgspec

from ipsecscope.capture.records import CaptureNote
from ipsecscope.capture.walk import Fragment, Origin

MAX_SETS = 10_000  # packets whose fragments are waited for at a time
MAX_HELD = 64 * 1024**2  # octets of fragments held at a time
MAX_PIECES = 8192  # fragments of one packet: 65 536 octets in units of eight
MAX_AGE_NS = 60 * 1_000_000_000  # capture time that a fragment waits for the others
MAX_PACKET = 65_535  # octets of an IP packet's payload
MAX_FINISHED = 10_000  # packets remembered after they were complete …
FINISHED_AGE_NS = 1_000_000_000  # … for this long, so that a repeated fragment does not look like an incomplete packet

MAX_OVERLAPS = 64  # comparisons with earlier fragments, per fragment of a packet

_PIECE_COST = 512  # octets that the bookkeeping of one fragment takes, roughly

Key = tuple[int, int, bytes, bytes, int, int]


class Piece(msgspec.Struct, frozen=True):
    """Octets of a packet: ``data`` may be shorter than ``length`` when the capture cut them."""

    start: int
    length: int
    data: bytes
    frame: int

    @property
    def stop(self) -> int:
        """Where the octets end on the wire."""
        return self.start + self.length


class Whole(msgspec.Struct, frozen=True):
    """A packet, or its beginning: header and payload up to the first octet that is missing.

    ``wire_length`` counts the octets it had on the wire as far as known; ``holes`` are the payload ranges
    (start, stop) that no fragment brought, ``stop`` None where the end is unknown.
    """

    packet: bytes
    wire_length: int
    origin: Origin
    first: Fragment
    holes: tuple[tuple[int, int | None], ...] = ()
    missing: int = 0


class _Set:
    """The fragments of one packet so far."""

    __slots__ = ("covered", "first", "frames", "header", "held", "pieces", "since", "starts", "total", "work")

    def __init__(self, first: Fragment) -> None:
        self.first = first
        self.since = first.origin.time_ns
        self.header: bytes | None = None
        self.pieces: list[Piece] = []
        self.starts: list[int] = []
        self.frames: list[int] = []
        self.covered = 0
        self.held = 0
        self.work = 0
        self.total: int | None = None

    @property
    def complete(self) -> bool:
        return self.total is not None and self.covered >= self.total and self.header is not None

    def holes(self) -> tuple[tuple[int, int | None], ...]:
        found: list[tuple[int, int | None]] = []
        position = 0
        for piece in self.pieces:
            if piece.start > position:
                found.append((position, piece.start))
            position = max(position, piece.stop)
        if self.total is None:
            found.append((position, None))
        elif position < self.total:
            found.append((position, self.total))
        return tuple(found)

    def beginning(self) -> bytes:
        """The payload up to the first octet that is missing."""
        parts = []
        position = 0
        for piece in self.pieces:
            if piece.start != position:
                break
            parts.append(piece.data)
            position = piece.stop
            if len(piece.data) < piece.length:
                break
        return b"".join(parts)


class IpReassembler:
    """Collects fragments.

    Attributes:
        notes: conflicts between fragments, and limits that were reached.
        abandoned: packets that were given up, to be taken by the caller.
    """

    def __init__(self) -> None:
        self.notes: list[CaptureNote] = []
        self.abandoned: list[Whole] = []
        self._sets: OrderedDict[Key, _Set] = OrderedDict()
        self._finished: OrderedDict[Key, tuple[int, frozenset[tuple[int, int]]]] = OrderedDict()
        self._held = 0
        self._limits: set[str] = set()

    def __len__(self) -> int:
        """Packets whose fragments are waited for."""
        return len(self._sets)

    def add(self, fragment: Fragment) -> Whole | None:
        """Take a fragment; returns the packet that it completes."""
        now = fragment.origin.time_ns
        self._expire(now)
        if fragment.start + fragment.length > MAX_PACKET:
            self._say("ip.fragment-oversize", f"a fragment ends behind octet {MAX_PACKET}: left out", fragment)
            return None
        known = self._sets.get(fragment.key)
        if known is None:
            if self._is_repeated(fragment):
                return None
            known = self._sets[fragment.key] = _Set(fragment)
            self._held += _PIECE_COST
            known.held += _PIECE_COST
        self._insert(known, fragment)
        if known.complete:
            return self._finish(fragment.key, known, now)
        self._bound()
        return None

    def finish(self) -> None:
        """Give up what is still open: it is in ``abandoned`` then."""
        while self._sets:
            self._abandon()

    # -- one set ----------------------------------------------------------------------------------------------

    def _insert(self, known: _Set, fragment: Fragment) -> None:
        stop = fragment.start + fragment.length
        if not fragment.more:
            if known.total is None and stop >= (known.pieces[-1].stop if known.pieces else 0):
                known.total = stop
            elif known.total != stop:
                self._ambiguous(fragment, "two fragments end the packet in different places")
        elif known.total is not None and stop > known.total:
            self._ambiguous(fragment, "a fragment goes on behind the end of the packet")
        if fragment.start == 0 and known.header is None:
            known.header = fragment.header
            known.first = fragment
        if len(known.pieces) >= MAX_PIECES:
            self._limit("ip.fragment-limit", f"more than {MAX_PIECES} fragments of one packet: the rest is left out")
            return
        if known.work > MAX_OVERLAPS * (len(known.pieces) + 16):
            self._limit("ip.fragment-limit", "the fragments of a packet overlap too often: the rest is left out")
            return
        size = fragment.length if known.total is None else max(0, min(fragment.length, known.total - fragment.start))
        self._place(known, Piece(fragment.start, size, fragment.data[:size], fragment.origin.frames[-1]), fragment)

    def _place(self, known: _Set, piece: Piece, fragment: Fragment) -> None:
        """Insert those octets of ``piece`` that no other piece has."""
        index = max(0, bisect_left(known.starts, piece.start) - 1)
        used = False
        position = piece.start
        while position < piece.stop:
            while index < len(known.pieces) and known.pieces[index].stop <= position:
                index += 1
            following = known.pieces[index] if index < len(known.pieces) else None
            if following is not None and following.start <= position:
                self._compare(following, piece, fragment)
                known.work += 1
                position = min(piece.stop, following.stop)
                continue
            stop = piece.stop if following is None else min(piece.stop, following.start)
            part = _cut(piece, position, stop)
            known.pieces.insert(index, part)
            known.starts.insert(index, part.start)
            known.covered += part.length
            known.held += len(part.data) + _PIECE_COST
            self._held += len(part.data) + _PIECE_COST
            used = True
            position = stop
        if used:
            known.frames.append(piece.frame)

    def _compare(self, earlier: Piece, later: Piece, fragment: Fragment) -> None:
        start, stop = max(earlier.start, later.start), min(earlier.stop, later.stop)
        ours, theirs = (_cut(piece, start, stop).data for piece in (earlier, later))
        size = min(len(ours), len(theirs))
        if ours[:size] != theirs[:size]:
            self._ambiguous(fragment, f"octets {start}-{stop - 1} arrived twice and differ; the first ones are kept")

    # -- many sets --------------------------------------------------------------------------------------------

    def _finish(self, key: Key, known: _Set, now: int) -> Whole:
        del self._sets[key]
        self._held -= known.held
        pieces = frozenset((piece.start, hash(piece.data)) for piece in known.pieces)
        self._finished[key] = (now, pieces)
        self._finished.move_to_end(key)
        if len(self._finished) > MAX_FINISHED:
            self._finished.popitem(last=False)
        return _whole(known, now)

    def _is_repeated(self, fragment: Fragment) -> bool:
        """Whether a fragment repeats one of a packet that was just completed."""
        when, pieces = self._finished.get(fragment.key, (0, frozenset()))
        recent = abs(fragment.origin.time_ns - when) <= FINISHED_AGE_NS
        return recent and (fragment.start, hash(fragment.data)) in pieces

    def _expire(self, now: int) -> None:
        while self._sets:
            oldest = next(iter(self._sets.values()))
            if now - oldest.since <= MAX_AGE_NS:
                return
            self._abandon()

    def _bound(self) -> None:
        if len(self._sets) > MAX_SETS:
            self._limit(
                "ip.fragment-limit", f"more than {MAX_SETS} incomplete packets at a time: the oldest is given up"
            )
            self._abandon()
        while self._held > MAX_HELD and self._sets:
            self._limit("ip.fragment-limit", f"more than {MAX_HELD} octets of fragments: the oldest are given up")
            self._abandon()

    def _abandon(self) -> None:
        _, known = self._sets.popitem(last=False)
        self._held -= known.held
        self.abandoned.append(_whole(known, known.first.origin.time_ns))

    # -- notes ------------------------------------------------------------------------------------------------

    def _ambiguous(self, fragment: Fragment, text: str) -> None:
        self._say("ip.fragment-ambiguous", text, fragment)

    def _say(self, kind: str, text: str, fragment: Fragment) -> None:
        where = f"{fragment.src} → {fragment.dst}, identification {fragment.identification:#x}"
        self.notes.append(CaptureNote(kind, f"{where}: {text}", frame=fragment.origin.frames[-1]))

    def _limit(self, kind: str, text: str) -> None:
        if text not in self._limits:
            self._limits.add(text)
            self.notes.append(CaptureNote(kind, text))


def _cut(piece: Piece, start: int, stop: int) -> Piece:
    """The part of a piece between two places of the packet."""
    return Piece(start, stop - start, piece.data[start - piece.start : stop - piece.start], piece.frame)


def _whole(known: _Set, time_ns: int) -> Whole:
    first = known.first
    payload = known.beginning() if known.header is not None else b""
    holes = known.holes()
    reach = max((piece.stop for piece in known.pieces), default=0)
    total = known.total if known.total is not None else reach
    captured = sum(len(piece.data) for piece in known.pieces)
    origin = Origin(
        file=first.origin.file,
        frames=tuple(known.frames) or first.origin.frames,
        time_ns=time_ns,
        comment=first.origin.comment,
        whole=False,
        fragments=max(1, len(known.frames)),
    )
    header = known.header or first.header
    packet = _with_length(header, total, first.version) + payload
    return Whole(packet, len(header) + total, origin, first, holes, total - captured)


def _with_length(header: bytes, payload: int, version: int) -> bytes:
    """The header with the length of the whole packet; 0 (which says "to the end") when that has no room."""
    length = len(header) + payload if version == 4 else len(header) - 40 + payload
    place = 2 if version == 4 else 4
    field = (length if length <= 0xFFFF else 0).to_bytes(2, "big")
    return header[:place] + field + header[place + 2 :]
