"""The same traffic at two points: what became of every packet between them.

Says what happened to which packet, never whether that is bad. That a packet is *lost* is said only where the other
capture proves, by a record before and one behind, that it was recording; elsewhere the packet is *missing*.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Kind
from ipsecscope.timeline.tap import Tap, mixed
from ipsecscope.timeline.tap_clock import NANOSECONDS, ClockFit
from ipsecscope.timeline.tap_pairing import Pairing, pair
from ipsecscope.timeline.tap_rows import Traffic

MAX_ALIKE = 64  # incomplete packets with the same identification that a whole one is looked for among
DUPLICATE_NS = NANOSECONDS  # behind the first copy, up to which another one counts as a duplicate and not as a replay
FRAGMENT_NS = 90 * NANOSECONDS  # between a whole packet here and what is left of it there: reassembly gives up by then

Numbers = npt.NDArray[np.int64]
Side = Literal["A", "B"]


class State(IntEnum):
    """What became of a packet that one of the taps has."""

    PAIRED = 0  # both have it
    LOST = 1  # it went to the other tap, which was recording and does not have it
    MISSING = 2  # the same, but nothing proves that the other tap was recording
    INCOMPLETE = 3  # it arrived as some of its IP fragments
    UNSEEN = 4  # it came from the other tap, which was recording and does not have it: missed there, or another way
    DUPLICATED = 5  # one more copy of a packet that both have, right behind it
    REPLAYED = 6  # one more copy, later
    INJECTED = 7  # it came up between the taps
    OUTSIDE = 8  # the other tap was not recording
    COPY = 9  # the recorder's own copy of a packet that it has
    PART = 10  # fragments of a packet that never became whole here


class Comparison:
    """Two taps, packet by packet.

    Attributes:
        a: one tap.
        b: the other one.
        pairing: which packet is which, in which direction, and the clocks.
        state_a: a ``State`` for each packet of ``a``.
        state_b: a ``State`` for each packet of ``b``.
        remains: for each packet of A that is incomplete in B the place there, and the other way round.
    """

    def __init__(self, a: Tap, b: Tap, *, throughout: bool = False) -> None:
        """Compare; ``throughout`` says that both were recording all the time, whatever the captures prove."""
        self.a, self.b = a, b
        self.throughout = throughout
        self.pairing: Pairing = pair(a, b)
        self.remains: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.state_a = self._states(0)
        self.state_b = self._states(1)
        self._find_remains()

    @property
    def clock(self) -> ClockFit:
        """B's clock against A's."""
        return self.pairing.clock

    @cached_property
    def pairs(self) -> tuple[Numbers, Numbers]:
        """The places in A and in B of the packets that both have, in A's order."""
        rows = np.flatnonzero(self.pairing.in_b >= 0)
        return rows, self.pairing.in_b[rows]

    @cached_property
    def ways(self) -> npt.NDArray[np.int8]:
        """For each pair 1 from A to B, -1 from B to A."""
        way = self.pairing.way_a[self.pairs[0]]
        return np.where(way < 0, -1, 1).astype(np.int8)

    @cached_property
    def delays_ns(self) -> Numbers:
        """For each pair how long it took, by the fitted clocks."""
        rows_a, rows_b = self.pairs
        taken: Numbers = (self.b.time_ns[rows_b] - self.clock.to_b(self.a.time_ns[rows_a])) * self.ways
        return taken

    def tap(self, side: int) -> Tap:
        """A is 0, B is 1."""
        return self.b if side else self.a

    def states(self, side: int) -> npt.NDArray[np.uint8]:
        """The states of a tap's packets."""
        return self.state_b if side else self.state_a

    def way(self, side: int) -> npt.NDArray[np.int8]:
        """The directions of a tap's packets."""
        return self.pairing.way_b if side else self.pairing.way_a

    def sender_side(self, way: int) -> int:
        """The tap that packets of a direction pass first."""
        return 0 if way > 0 else 1

    def sent(self, way: int) -> npt.NDArray[np.bool_]:
        """Which packets of the tap that they pass first go this way, towards the other one."""
        side = self.sender_side(way)
        towards: npt.NDArray[np.bool_] = self.way(side) * way >= 0
        return towards

    # -- states ---------------------------------------------------------------------------------------------------

    def _expected(self, side: int) -> Numbers:
        """When the other tap should have each packet of this one, by its own clock."""
        forth, back = self.clock.delay_ns
        delay = np.where(self.way(side) < 0, -back, forth).astype(np.int64)
        times = self.tap(side).time_ns
        return self.clock.to_b(times) + delay if side == 0 else self.clock.to_a(times - delay)

    def _states(self, side: int) -> npt.NDArray[np.uint8]:
        tap, other = self.tap(side), self.tap(1 - side)
        partner = self.pairing.in_b if side == 0 else self.pairing.in_a
        states = np.full(len(tap), int(State.PAIRED), np.uint8)
        alone = np.flatnonzero(partner < 0)
        if not len(alone):
            return states
        towards = self.way(side)[alone] * (1 if side == 0 else -1) >= 0
        expected = self._expected(side)[alone]
        known = np.isin(tap.key[alone], tap.key[partner >= 0])
        coming = ~towards & ~known & np.isin(tap.kind[alone], (int(Kind.IKE), int(Kind.ESP), int(Kind.AH)))
        lower, first, last, upper = self._recording(other, expected[coming])
        inside = (expected >= first) & (expected <= last)
        unproven = ((expected > lower) & (expected < first)) | ((expected > last) & (expected < upper))
        found = np.full(len(alone), int(State.OUTSIDE), np.uint8)
        found[towards & unproven] = int(State.MISSING)
        found[towards & inside] = int(State.LOST)
        found[~towards & inside] = self._came_up(tap, alone[~towards & inside], known[~towards & inside])
        states[alone] = found
        states[tap.is_copy] = int(State.COPY)
        states[tap.kind == int(Kind.FRAGMENT)] = int(State.PART)
        return states

    def _recording(self, other: Tap, contradictions: Numbers) -> tuple[int, int, int, int]:
        """Between which times the other tap did record, and may have recorded.

        ``contradictions`` are the times at which it should have had packets that passed it first and that it lacks:
        outside of its records they prove that it was not recording.
        """
        least, most = np.iinfo(np.int64).min, np.iinfo(np.int64).max
        if self.throughout:
            return least, least, most, most
        if other.first_ns is None or other.last_ns is None or self.clock.basis == "none":
            return least, most, most, most  # nothing is proven, and everything possible
        early = contradictions[contradictions < other.first_ns]
        late = contradictions[contradictions > other.last_ns]
        lower = int(early.max()) if len(early) else least
        upper = int(late.min()) if len(late) else most
        return lower, other.first_ns, other.last_ns, upper

    @staticmethod
    def _came_up(tap: Tap, rows: Numbers, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """What a packet is that this tap has behind the other one, which lacks it."""
        numbered = np.isin(tap.kind[rows], (int(Kind.ESP), int(Kind.AH)))
        found = np.where(numbered, int(State.UNSEEN), int(State.INJECTED)).astype(np.uint8)
        order = np.argsort(tap.key, kind="stable")
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        before = order[np.maximum(place[rows[known]] - 1, 0)]
        apart = tap.time_ns[rows[known]] - tap.time_ns[before]
        behind = (tap.key[before] == tap.key[rows[known]]) & (apart > DUPLICATE_NS)
        found[known] = np.where(behind, int(State.REPLAYED), int(State.DUPLICATED))
        return found

    # -- what is left of packets --------------------------------------------------------------------------------------

    def _find_remains(self) -> None:
        """Find packets that are whole at one tap and of which the other one has only some fragments."""
        for side in (0, 1):
            here, there = self.tap(side), self.tap(1 - side)
            states = self.states(side)
            parts: dict[tuple[int, int], list[int]] = {}
            for row in np.flatnonzero(there.kind == int(Kind.FRAGMENT)).tolist():
                alike = parts.setdefault((int(there.identification[row]), int(there.encapsulation[row])), [])
                if len(alike) < MAX_ALIKE:
                    alike.append(row)
            if not parts:
                continue
            waiting = np.flatnonzero(np.isin(states, (int(State.LOST), int(State.MISSING), int(State.OUTSIDE))))
            expected = self._expected(side)
            for row in waiting.tolist():
                found = parts.get((int(here.identification[row]), int(here.encapsulation[row])), [])
                near = [each for each in found if abs(int(there.time_ns[each] - expected[row])) <= FRAGMENT_NS]
                if near:
                    states[row] = int(State.INCOMPLETE)
                    self.remains[side][row] = near[0]
                    found.remove(near[0])

    # -- what changed ---------------------------------------------------------------------------------------------------

    @cached_property
    def late(self) -> Numbers:
        """The pairs, by their number in ``pairs``, that a packet of the same flow overtook between the taps."""
        rows_a, rows_b = self.pairs
        forth = self.ways > 0
        first, second = np.where(forth, rows_a, rows_b), np.where(forth, rows_b, rows_a)
        flow = mixed(self.ways + 1, self.a.kind[rows_a], self.a.spi[rows_a], self.a.dst[rows_a])
        order = np.lexsort((first, flow))
        _, place = np.unique(flow[order], return_inverse=True)
        reach = place * np.int64(max(len(self.a), len(self.b)) + 1) + second[order]
        overtaken = np.zeros(len(order), bool)
        overtaken[:-1] = reach[:-1] > np.minimum.accumulate(reach[::-1])[::-1][1:]
        late: Numbers = np.sort(order[overtaken])
        return late

    def count(self, way: int, state: State, traffic: Traffic | None = None) -> int:
        """How many packets of a direction ended in a state at the tap where that shows."""
        behind = state in (State.UNSEEN, State.DUPLICATED, State.REPLAYED, State.INJECTED)
        side = self.sender_side(way) if not behind else 1 - self.sender_side(way)
        return int(np.count_nonzero(self.which(side, way, state, traffic)))

    def which(self, side: int, way: int, state: State, traffic: Traffic | None = None) -> npt.NDArray[np.bool_]:
        """Which packets of a tap go a way and are in a state."""
        ways = self.sent(way) if side == self.sender_side(way) else self.way(side) * way > 0
        chosen: npt.NDArray[np.bool_] = ways & (self.states(side) == int(state))
        return chosen if traffic is None else chosen & (self.tap(side).traffic == int(traffic))
