"""An ESP or AH flow, and its fold: what is kept of its packets while they come, so that memory does not grow with them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.timeline.ciphertext import Ciphertext, counters
from ipsecscope.timeline.lateness import ON_TIME, Lateness

MAX_SOURCES = 1_024  # addresses and ports that the packets of one flow came from
MAX_RANGES = 4096  # ranges of sequence numbers kept per flow; the oldest are joined beyond it
MAX_LENGTHS = 4096  # distinct packet lengths counted per flow
MAX_GAPS = 64  # gaps listed per flow
MIN_PAUSES = 2
NOTHING_SEEN = Ciphertext()
MIN_RESTARTED = 8  # packets below the highest number that make a new count, not packets that are late
MIN_FALL = 1024  # numbers; nothing is overtaken by so many
MIN_FRESH_FALL = 64  # the same for a fall to the first number, behind which nothing goes on above
WRAP = 1 << 32
_HIGH, _LOW = 0xC0000000, 0x40000000  # a step from above the first to below the second is a roll-over, not a reorder


Int64s = npt.NDArray[np.int64]


@dataclass(slots=True)
class Rows:
    """The columns that flows are made of, of several windows; ``src`` and ``dst`` index ``addresses``."""

    file: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    encapsulation: npt.NDArray[np.uint8]
    src: npt.NDArray[np.int64]
    dst: npt.NDArray[np.int64]
    sport: npt.NDArray[np.uint16]
    dport: npt.NDArray[np.uint16]
    spi: npt.NDArray[np.uint32]
    seq: npt.NDArray[np.uint32]
    length: npt.NDArray[np.uint32]
    missing: npt.NDArray[np.uint32]
    ttl: npt.NDArray[np.uint8]
    octets: dict[str, npt.NDArray[Any]]
    is_new: npt.NDArray[np.bool_]
    addresses: tuple[str, ...]


class Restart(msgspec.Struct, frozen=True):
    """A sequence number that fell and counted on from there: from ``before`` to ``after`` at a frame.

    ``packets`` counts those below, which are no copies of earlier ones; ``interleaved`` says that packets above go on.
    """

    frame: int
    time_ns: int
    before: int
    after: int
    packets: int
    interleaved: bool


class Flow(msgspec.Struct, frozen=True):
    """The packets of one SA in one direction.

    ``sources`` are the addresses and ports they came from, in order of appearance. Sequence numbers are as on the
    wire but for ``rolled_over``, where they count on beyond 32 bits. ``lost`` are numbers between the first and the
    highest that were never seen, ``duplicates`` are packets whose number was seen before, ``replayed`` those of them
    that came after a higher number, ``reordered`` are first sightings below the highest. ``gaps`` are the missing
    ranges (inclusive, at most ``MAX_GAPS``). ``lengths`` maps octets from the ESP or AH header on to packets.
    ``lateness`` is how far the reordered ones were behind, ``ttls`` maps TTLs to packets, in order of appearance.
    ``pause_spread`` is the standard deviation of the pauses between packets over their mean, None below two pauses.
    """

    id: str
    protocol: str
    encapsulation: str
    src: str
    dst: str
    spi: int
    packets: int
    octets: int
    first_ns: int
    last_ns: int
    first_frame: int
    last_frame: int
    file: int
    first_seq: int
    last_seq: int
    lost: int
    duplicates: int
    reordered: int
    replayed: int
    rolled_over: bool
    gaps: tuple[tuple[int, int], ...]
    sources: tuple[tuple[str, int], ...]
    ports: tuple[int, int]
    longest_silence_ns: int
    lengths: dict[int, int]
    truncated: int = 0
    pause_spread: float | None = None
    restart: Restart | None = None
    ciphertext: Ciphertext | None = None
    targets: tuple[int, ...] = ()  # ports they went to, in order of appearance; at most ``MAX_SOURCES``
    lateness: Lateness = ON_TIME
    ttls: dict[int, int] = {}

    @property
    def pause_ns(self) -> int:
        """The mean pause between packets, the longest one left out."""
        if self.packets < MIN_PAUSES + 1:
            return 0
        return max(self.last_ns - self.first_ns - self.longest_silence_ns, 0) // (self.packets - 2)


@dataclass(slots=True)
class FlowFold:
    """What is known so far of one flow."""

    protocol: Kind
    encapsulation: Encapsulation
    src: str
    dst: str
    spi: int
    ports: tuple[int, int]
    first_ns: int
    first_frame: int
    file: int
    order: int
    packets: int = 0
    octets: int = 0
    last_ns: int = 0
    last_frame: int = 0
    highest: int = -1
    first_seq: int = -1
    duplicates: int = 0
    reordered: int = 0
    replayed: int = 0
    truncated: int = 0
    longest_silence_ns: int = 0
    pause_squares: float = 0.0  # of seconds
    restart: Restart | None = None
    ciphertext: Ciphertext = NOTHING_SEEN
    lateness: Lateness = ON_TIME
    ttls: dict[int, int] = field(default_factory=dict)
    starts: Int64s = field(default_factory=lambda: np.empty(0, np.int64))  # seen ranges of sequence numbers,
    stops: Int64s = field(default_factory=lambda: np.empty(0, np.int64))  # inclusive and apart from each other
    sources: dict[tuple[str, int], None] = field(default_factory=dict)
    targets: dict[int, None] = field(default_factory=dict)
    lengths: dict[int, int] = field(default_factory=dict)

    def update(self, columns: Rows, rows: Int64s) -> None:
        """Take the rows (indices into ``columns``, in time order) of this flow."""
        times = columns.time_ns[rows]
        self._silence(times)
        self.packets += len(rows)
        self.octets += int(columns.length[rows].sum(dtype=np.int64))
        self.truncated += int(np.count_nonzero(columns.missing[rows]))
        self.last_ns, self.last_frame = int(times[-1]), int(columns.frame[rows[-1]])
        self._learn_sources(columns, rows)
        self._learn_ttls(columns.ttl[rows])
        lengths, counts = np.unique(columns.length[rows], return_counts=True)
        for length, count in zip(lengths.tolist(), counts.tolist(), strict=True):
            if length in self.lengths or len(self.lengths) < MAX_LENGTHS:
                self.lengths[length] = self.lengths.get(length, 0) + count
        self._sequence(self._extended(columns.seq[rows].astype(np.int64)), columns, rows)
        self.ciphertext = self.ciphertext.joined(counters(columns.octets | {"seq": columns.seq}, rows))

    def _silence(self, times: Int64s) -> None:
        steps = np.diff(times, prepend=self.last_ns if self.packets else times[0])
        self.longest_silence_ns = max(self.longest_silence_ns, int(steps.max()))
        self.pause_squares += float(((steps / 1e9) ** 2).sum())

    def _learn_sources(self, columns: Rows, rows: Int64s) -> None:
        src, sport, dport = columns.src[rows], columns.sport[rows], columns.dport[rows]
        if len(self.targets) < MAX_SOURCES:
            for row in (0, *(np.flatnonzero(dport[1:] != dport[:-1]) + 1).tolist()):
                self.targets.setdefault(int(dport[row]))
        changes = np.flatnonzero((src[1:] != src[:-1]) | (sport[1:] != sport[:-1])) + 1
        for row in (0, *changes.tolist()):
            if len(self.sources) >= MAX_SOURCES:
                return
            self.sources.setdefault((columns.addresses[int(src[row])], int(sport[row])))

    def _learn_ttls(self, ttl: npt.NDArray[np.uint8]) -> None:
        first = int(ttl[0])
        if (ttl == first).all():
            self.ttls[first] = self.ttls.get(first, 0) + len(ttl)
            return
        values, places, counts = np.unique(ttl, return_index=True, return_counts=True)
        for place in np.argsort(places).tolist():
            value = int(values[place])
            self.ttls[value] = self.ttls.get(value, 0) + int(counts[place])

    def _extended(self, seq: Int64s) -> Int64s:
        """Sequence numbers that count on over a roll-over of 32 bits (RFC 4303 3.3.3 and appendix A)."""
        high, low = divmod(self.highest, WRAP) if self.highest >= 0 else (0, 0)
        before = np.maximum.accumulate(np.concatenate(([low >= _HIGH], seq >= _HIGH)))[:-1]
        extended = seq + WRAP * (high + (before & (seq < _LOW)).astype(np.int64))
        if high and low < _LOW:
            extended = np.where(seq >= _HIGH, extended - WRAP, extended)
        return extended

    def _sequence(self, seq: Int64s, columns: Rows, rows: Int64s) -> None:
        if self.first_seq < 0:
            self.first_seq = int(seq[0])
        running = np.maximum.accumulate(np.concatenate(([self.highest], seq)))
        late = seq < running[:-1]
        fresh = np.zeros(len(seq), bool)
        fresh[np.unique(seq, return_index=True)[1]] = True
        repeated = ~fresh | self._seen(seq)
        self.duplicates += int(np.count_nonzero(repeated))
        self.replayed += int(np.count_nonzero(repeated & late))
        overtaken = late & ~repeated
        self.reordered += int(np.count_nonzero(overtaken))
        self.lateness = self.lateness.joined((running[:-1] - seq)[overtaken])
        low = np.flatnonzero(late & columns.is_new[rows])
        self._restarts(seq, running[:-1], low, columns, rows, is_repeated=bool(len(low) and repeated[low[0]]))
        self.highest = int(running[-1])
        self._remember(np.unique(seq))

    def _restarts(
        self, seq: Int64s, highest: Int64s, low: Int64s, columns: Rows, rows: Int64s, *, is_repeated: bool
    ) -> None:
        """Whether packets below the highest number, ``low``, count on as a sender does that lost its counter.

        ``is_repeated`` says that the first of them bears a number that was seen before, on another packet.
        """
        if len(low) < MIN_RESTARTED:
            return
        first = int(low[0])
        numbers = seq[low]
        counts_up = np.count_nonzero(np.diff(numbers) > 0) >= (len(low) - 1) * 9 // 10
        fell = int(highest[first]) - int(seq[first])
        above = np.count_nonzero(seq[first : int(low[-1])] > highest[first])
        is_fresh_start = int(seq[first]) <= 1 and (fell > MIN_FRESH_FALL or is_repeated) and not above
        if not counts_up or not (is_fresh_start or fell > MIN_FALL):
            return
        known = self.restart
        self.restart = Restart(
            frame=int(columns.frame[rows[first]]) if known is None else known.frame,
            time_ns=int(columns.time_ns[rows[first]]) if known is None else known.time_ns,
            before=int(highest[first]) if known is None else known.before,
            after=int(seq[first]) if known is None else known.after,
            packets=len(low) + (0 if known is None else known.packets),
            interleaved=bool(above > len(low) // 10) or (known is not None and known.interleaved),
        )

    def _seen(self, seq: Int64s) -> npt.NDArray[np.bool_]:
        if not len(self.starts):
            return np.zeros(len(seq), bool)
        index = np.searchsorted(self.starts, seq, side="right") - 1
        return (index >= 0) & (seq <= self.stops[np.maximum(index, 0)])

    def _remember(self, seq: Int64s) -> None:
        """Join sorted distinct numbers to the ranges seen so far."""
        breaks = np.flatnonzero(np.diff(seq) > 1)
        starts = np.concatenate((self.starts, seq[np.concatenate(([0], breaks + 1))]))
        stops = np.concatenate((self.stops, seq[np.concatenate((breaks, [len(seq) - 1]))]))
        order = np.argsort(starts, kind="stable")
        starts, reach = starts[order], np.maximum.accumulate(stops[order])
        heads = np.concatenate(([True], starts[1:] > reach[:-1] + 1))
        self.starts = starts[heads]
        self.stops = reach[np.concatenate((np.flatnonzero(heads)[1:] - 1, [len(starts) - 1]))]
        if len(self.starts) > MAX_RANGES:
            excess = len(self.starts) - MAX_RANGES
            self.starts = np.concatenate((self.starts[:1], self.starts[excess + 1 :]))
            self.stops = self.stops[excess:]

    def freeze(self, identifier: str) -> Flow:
        """The value of this flow as it stands."""
        gaps = [(int(a) + 1, int(b) - 1) for a, b in zip(self.stops[:-1], self.starts[1:], strict=True)]
        lost = sum(stop - start + 1 for start, stop in gaps)
        return Flow(
            id=identifier,
            protocol=self.protocol.name,
            encapsulation=self.encapsulation.name.lower(),
            src=self.src,
            dst=self.dst,
            spi=self.spi,
            packets=self.packets,
            octets=self.octets,
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            first_frame=self.first_frame,
            last_frame=self.last_frame,
            file=self.file,
            first_seq=self.first_seq,
            last_seq=self.highest,
            lost=lost,
            duplicates=self.duplicates,
            reordered=self.reordered,
            replayed=self.replayed,
            rolled_over=self.highest >= WRAP,
            gaps=tuple(gaps[:MAX_GAPS]),
            sources=tuple(self.sources),
            ports=self.ports,
            longest_silence_ns=self.longest_silence_ns,
            lengths=dict(sorted(self.lengths.items())),
            truncated=self.truncated,
            pause_spread=self._pause_spread(),
            restart=self.restart,
            ciphertext=self.ciphertext,
            targets=tuple(self.targets)[:MAX_SOURCES],
            lateness=self.lateness,
            ttls=dict(self.ttls),
        )

    def _pause_spread(self) -> float | None:
        pauses, span = self.packets - 1, (self.last_ns - self.first_ns) / 1e9
        if pauses < MIN_PAUSES or not span:
            return None
        mean = span / pauses
        return math.sqrt(max(self.pause_squares / pauses - mean * mean, 0.0)) / mean
