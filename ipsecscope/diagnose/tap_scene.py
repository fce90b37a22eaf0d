"""Two taps as proofs look at them: what one kind of traffic lost on one of the ways, and evidence from both captures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.ports import IKE_HEADER
from ipsecscope.diagnose.rule import CERTAIN, LIKELY, POSSIBLE, Confidence, Finding, TwoCaptures
from ipsecscope.diagnose.words import counted, listed
from ipsecscope.dissect.header import Flags, Header
from ipsecscope.dissect.registry.ikev2 import ExchangeType, PayloadType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import PayloadType as IsakmpPayloadType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.comparison import Comparison, State
from ipsecscope.timeline.tap import HEAD, Tap
from ipsecscope.timeline.tap_rows import Traffic

Letter = Literal["A", "B"]
LETTERS: tuple[Letter, Letter] = ("A", "B")
WAYS = (1, -1)
SURE = 3  # packets of which all must fare alike before that is certain (catalogue, NET-001)
APART_NS = 100_000  # from one tap to the other, from which on they are not the same place
MAX_PLACES = 6  # frames named for one thing

Numbers = npt.NDArray[np.int64]

TRAFFIC_NAMES = {
    Traffic.IKE_500: "IKE on UDP port 500",
    Traffic.IKE_4500: "IKE on UDP port 4500",
    Traffic.IKE_ELSEWHERE: "IKE on another port",
    Traffic.ESP: "ESP",
    Traffic.ESP_IN_UDP: "ESP in UDP",
    Traffic.ESP_IN_TCP: "ESP in TCP",
    Traffic.AH: "AH",
    Traffic.KEEPALIVE: "NAT keepalives",
    Traffic.ICMP: "ICMP errors",
    Traffic.OTHER: "other IPsec packets",
}
IKE = (Traffic.IKE_500, Traffic.IKE_4500, Traffic.IKE_ELSEWHERE)
DATA = (Traffic.ESP, Traffic.ESP_IN_UDP, Traffic.ESP_IN_TCP, Traffic.AH)


class TapEvidence(msgspec.Struct, frozen=True):
    """A record of one of the two captures."""

    tap: Letter
    frame: int
    file: int = 0
    value: str = ""


class Leg(msgspec.Struct, frozen=True):
    """One kind of traffic on one of the ways; rows are those of the tap that it passes first."""

    way: int
    traffic: Traffic
    side: int
    tap: Tap
    arrived: Numbers
    lost: Numbers
    missing: Numbers
    incomplete: Numbers

    @property
    def name(self) -> str:
        """What it is called."""
        return TRAFFIC_NAMES[self.traffic]

    @property
    def gone(self) -> Numbers:
        """Everything that did not arrive as it was sent, in order."""
        found: Numbers = np.sort(np.concatenate((self.lost, self.missing, self.incomplete)))
        return found

    @property
    def proven(self) -> int:
        """How many are known not to have arrived as they were sent."""
        return len(self.lost) + len(self.incomplete)

    @property
    def is_blocked(self) -> bool:
        """Whether nothing of it arrives."""
        return not len(self.arrived) and len(self.gone) > 0

    def confidence(self, least: int = SURE) -> Confidence:
        """How sure it is that they were lost on the way."""
        if self.proven >= least:
            return CERTAIN
        return LIKELY if self.proven or len(self.missing) >= least else POSSIBLE


class Scene(TwoCaptures):
    """A comparison with what was found in each capture alone."""

    def __init__(
        self, comparison: Comparison, analyses: Sequence[Analysis], findings: Sequence[Sequence[Finding]]
    ) -> None:
        self.comparison = comparison
        self.analyses = tuple(analyses)
        self.findings = tuple(tuple(each) for each in findings)

    def tap(self, side: int) -> Tap:
        """A is 0, B is 1."""
        return self.comparison.tap(side)

    def legs(self, way: int) -> dict[Traffic, Leg]:
        """The traffic of one way, by kind."""
        return self._legs[way]

    @cached_property
    def _legs(self) -> dict[int, dict[Traffic, Leg]]:
        return {way: {each.traffic: each for each in self._on(way)} for way in WAYS}

    def _on(self, way: int) -> Iterator[Leg]:
        side = self.comparison.sender_side(way)
        tap, states = self.tap(side), self.comparison.states(side)
        sent = self.comparison.sent(way)
        for traffic in Traffic:
            mine = sent & (tap.traffic == int(traffic))
            if mine.any():
                kinds = (State.PAIRED, State.LOST, State.MISSING, State.INCOMPLETE)
                rows = (np.flatnonzero(mine & (states == int(state))) for state in kinds)
                yield Leg(way, traffic, side, tap, *rows)

    @cached_property
    def _by_frame(self) -> tuple[tuple[Numbers, Numbers], tuple[Numbers, Numbers]]:
        orders = [np.argsort(self.tap(side).frame, kind="stable") for side in (0, 1)]
        return (orders[0], self.tap(0).frame[orders[0]]), (orders[1], self.tap(1).frame[orders[1]])

    def rows_of(self, side: int, places: Iterable[tuple[int, int]]) -> Numbers:
        """The packets of a tap in some records, given by frame and file; in the order of time."""
        order, frames = self._by_frame[side]
        found: list[int] = []
        for frame, file in places:
            start, stop = np.searchsorted(frames, (frame, frame + 1))
            found += [row for row in order[start:stop].tolist() if int(self.tap(side).file[row]) == file]
        return np.array(sorted(found), np.int64)

    @cached_property
    def is_apart(self) -> bool:
        """Whether something lies between the taps: addresses or TTLs change there, packets end or begin, or it takes time.

        Two captures of one place agree in everything, and then say no more than one of them.
        """
        comparison = self.comparison
        rows_a, rows_b = comparison.pairs
        changed = (self.tap(0).ttl[rows_a] != self.tap(1).ttl[rows_b]) | (
            self.tap(0).sport[rows_a] != self.tap(1).sport[rows_b]
        )
        between = (State.LOST, State.INCOMPLETE, State.DUPLICATED, State.REPLAYED, State.INJECTED)
        ended = any(np.isin(comparison.states(side), between).any() for side in (0, 1))
        uncertainty = comparison.clock.uncertainty_ns
        return bool(changed.any()) or ended or (uncertainty is not None and uncertainty >= APART_NS)

    def passes(self, way: int, *kinds: Traffic) -> bool:
        """Whether something of these kinds arrives this way."""
        return any(len(leg.arrived) for traffic, leg in self.legs(way).items() if traffic in kinds)

    # -- words ----------------------------------------------------------------------------------------------------

    def place(self, side: int, row: int, value: str = "") -> TapEvidence:
        """One packet of a tap as evidence."""
        tap = self.tap(side)
        return TapEvidence(LETTERS[side], int(tap.frame[row]), int(tap.file[row]), value or self.label(side, row))

    def places(self, side: int, rows: Iterable[int], limit: int = MAX_PLACES) -> tuple[TapEvidence, ...]:
        """The first few of several."""
        return tuple(self.place(side, int(row)) for row, _ in zip(rows, range(limit), strict=False))

    def both(self, side: int, row: int) -> tuple[TapEvidence, ...]:
        """A packet that both have, in both."""
        partner = self.comparison.pairing.in_b[row] if side == 0 else self.comparison.pairing.in_a[row]
        return self.place(side, row), self.place(1 - side, int(partner))

    def frames(self, side: int, rows: Sequence[int] | Numbers) -> str:
        """``frame 3 of A``, ``frames 3, 4 and 5 of A``."""
        numbers = sorted({int(self.tap(side).frame[int(row)]) for row in rows})
        more = len(numbers) - MAX_PLACES
        shown = [str(each) for each in numbers[:MAX_PLACES]]
        text = f"{', '.join(shown)} … {numbers[-1]}" if more > 0 else listed(shown)
        return f"{'frame' if len(numbers) == 1 else 'frames'} {text} of {LETTERS[side]}"

    def ends(self, side: int, rows: Numbers) -> str:
        """``from 192.0.2.1 to 192.0.2.2``, by the first of some packets."""
        tap = self.tap(side)
        row = int(rows[0])
        return f"from {tap.addresses[int(tap.src[row])]} to {tap.addresses[int(tap.dst[row])]}"

    def label(self, side: int, row: int) -> str:
        """What one packet is, in a few words."""
        tap = self.tap(side)
        traffic = Traffic(int(tap.traffic[row]))
        if traffic in DATA:
            return f"{traffic.name.split('_')[0]} {int(tap.spi[row]):08x} number {int(tap.seq[row])}, {int(tap.size[row])} octets"
        head = tap.heads.get(row, b"")
        if traffic is Traffic.ICMP and len(head) == 2:
            return f"ICMP error, type {head[0]} code {head[1]}"
        return ike_label(head) if traffic in IKE and len(head) >= IKE_HEADER else TRAFFIC_NAMES[traffic]


def ike_label(head: bytes) -> str:
    """An IKE message by its header: exchange, message id, request or response, which fragment."""
    header = Header.parse(head[:IKE_HEADER])
    if header.major_version == 1:
        return f"{IsakmpExchangeType(header.exchange_type)}, message id {header.message_id:08x}"
    what = "response" if header.flags & Flags.RESPONSE else "request"
    fragment = fragment_of(head)
    part = f", fragment {fragment[0]} of {fragment[1]}" if fragment is not None else ""
    return f"{ExchangeType(header.exchange_type)} {what}, message id {header.message_id}{part}"


def fragment_of(head: bytes) -> tuple[int, int] | None:
    """Number and total of an IKE fragment (RFC 7383 2.5; 0 is an unknown total, as in IKEv1); None for whole messages."""
    if len(head) < HEAD:
        return None
    if head[17] >> 4 == 2 and head[16] == int(PayloadType.SKF):
        return int.from_bytes(head[32:34], "big"), int.from_bytes(head[34:36], "big")
    if head[17] >> 4 == 1 and head[16] == int(IsakmpPayloadType.FRAGMENT):
        return head[34], 0
    return None


def packets(count: int, what: str = "packet") -> str:
    """``1 packet``, ``2 packets``."""
    return counted(count, what)
