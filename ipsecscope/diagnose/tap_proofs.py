"""What two taps prove about the path between them. Each proof is a diagnosis of the catalogue, made from both captures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import msgspec
import numpy as np

from ipsecscope.diagnose.rule import CERTAIN, LIKELY, POSSIBLE, Confidence, Severity
from ipsecscope.diagnose.tap_scene import (
    DATA,
    IKE,
    LETTERS,
    SURE,
    WAYS,
    Leg,
    Scene,
    TapEvidence,
    fragment_of,
    packets,
)
from ipsecscope.diagnose.words import listed
from ipsecscope.timeline.comparison import State
from ipsecscope.timeline.tap_changes import damaged
from ipsecscope.timeline.tap_rows import Traffic

LARGE = 1280  # octets of an IP packet: from here on its size may be why it is lost
STRAY = 0.05  # share of smaller packets that may be lost beside a size limit, by plain loss
MIN_SHARE = 0.01


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What two taps show once. ``explains`` are diagnoses that are this one's consequences."""

    code: str
    confidence: Confidence
    summary: str
    evidence: tuple[TapEvidence, ...]
    way: int = 0
    severity: Severity | None = None
    headline: bool | None = None
    explains: tuple[str, ...] = ()


Prover = Callable[[Scene], Iterable[Proof]]
PROVERS: list[Prover] = []


def proof(function: Prover) -> Prover:
    """Register a function that looks for one kind of proof."""
    PROVERS.append(function)
    return function


def unless_recorded(scene: Scene, leg: Leg) -> str:
    """What is left open when nothing proves that the other tap was recording."""
    if leg.proven >= SURE or not len(leg.missing) or scene.comparison.throughout:
        return ""
    return f" ({LETTERS[1 - leg.side]} has no record that proves it was still recording then)"


def nowhere(scene: Scene, leg: Leg) -> str:
    """``none of the 4 packets … is in B``."""
    gone = leg.gone
    count = f"None of the {len(gone)} packets" if len(gone) > 1 else "The one packet"
    arrives = "arrives" if len(gone) > 1 else "does not arrive"
    return f"{count} of {leg.name} {scene.ends(leg.side, gone)} {arrives} ({scene.frames(leg.side, gone)})"


def beside(scene: Scene, leg: Leg) -> tuple[TapEvidence, ...]:
    """One packet of other traffic, this way or else the other way, that both taps have."""
    for way in (leg.way, -leg.way):
        for other in scene.legs(way).values():
            if len(other.arrived) and (way != leg.way or other.traffic != leg.traffic):
                return scene.both(other.side, int(other.arrived[-1]))
    return ()


# -- what is blocked -----------------------------------------------------------------------------------------------


@proof
def udp_4500_blocked(scene: Scene) -> Iterator[Proof]:
    """NAT-004: everything on UDP 4500 is lost, what is on UDP 500 passes."""
    for way in WAYS:
        legs = [leg for kind, leg in scene.legs(way).items() if kind in (Traffic.IKE_4500, Traffic.ESP_IN_UDP)]
        lost = [leg for leg in legs if leg.is_blocked]
        if not lost or len(lost) < len(legs) or not scene.passes(way, Traffic.IKE_500):
            continue
        leg = lost[0]
        large = int(leg.tap.size[leg.gone].min()) > LARGE
        if large or any(fragment_of(leg.tap.heads.get(int(row), b"")) for row in leg.gone):
            continue  # its size may be the reason: another proof
        yield Proof(
            code="NAT-004",
            confidence=leg.confidence(),
            summary=f"{nowhere(scene, leg)}, while UDP port 500 passes the same way: something between the taps drops UDP port 4500"
            f"{unless_recorded(scene, leg)}.",
            evidence=(*scene.places(leg.side, leg.gone), *beside(scene, leg)),
            way=way,
            explains=("NET-001", "PH1-012", "NET-012"),
        )


@proof
def esp_blocked(scene: Scene) -> Iterator[Proof]:
    """NET-006: no plain ESP arrives, IKE does."""
    for way in WAYS:
        leg = scene.legs(way).get(Traffic.ESP)
        if leg is None or not leg.is_blocked or not scene.passes(way, *IKE) or is_uniformly_large(scene, leg):
            continue
        yield Proof(
            code="NET-006",
            confidence=leg.confidence(),
            summary=f"{nowhere(scene, leg)}, while IKE passes the same way: something between the taps drops IP protocol 50"
            f"{unless_recorded(scene, leg)}.",
            evidence=(*scene.places(leg.side, leg.gone), *beside(scene, leg)),
            way=way,
            headline=True,
            explains=("NET-001", "NET-012", "LIFE-006"),
        )


def is_uniformly_large(scene: Scene, leg: Leg) -> bool:
    """Whether all packets are larger than anything that passes, and large: then size explains as much as protocol."""
    largest = max(
        (int(other.tap.size[other.arrived].max()) for other in scene.legs(leg.way).values() if len(other.arrived)),
        default=0,
    )
    smallest = int(leg.tap.size[leg.gone].min())
    return smallest > max(largest, LARGE)


# -- what its size or its fragments cost -------------------------------------------------------------------------------


@proof
def size_limit(scene: Scene) -> Iterator[Proof]:
    """NET-008: everything above one size is lost, everything below arrives."""
    for leg in _legs(scene, DATA):
        gone, sizes = leg.gone, leg.tap.size
        if len(leg.arrived) < SURE or len(gone) < SURE:
            continue
        largest = int(sizes[leg.arrived].max())
        large = gone[sizes[gone] > largest]
        if len(large) < SURE or len(gone) - len(large) > STRAY * len(leg.arrived):
            continue
        told = _told_too_big(scene, leg)
        smallest = int(sizes[large].min())
        pieces = np.count_nonzero(np.isin(large, leg.incomplete))
        how = f"; {packets(int(pieces))} of them arrived as some of their IP fragments" if pieces else ""
        yield Proof(
            code="NET-007" if told else "NET-008",
            confidence=msgspec.structs.replace(
                leg, lost=np.setdiff1d(large, leg.incomplete), missing=leg.missing[:0]
            ).confidence()
            if leg.proven
            else LIKELY,
            summary=f"Of the {leg.name} packets {scene.ends(leg.side, gone)} all {len(leg.arrived)} of up to {largest} octets arrive and none of the "
            f"{len(large)} of {smallest} or more ({scene.frames(leg.side, large)}): between the taps IP packets above {largest} and up to "
            f"{smallest} octets are lost, {'and a router says so' if told else 'without a word'}{how}.",
            evidence=(
                *scene.places(leg.side, large),
                *scene.both(leg.side, int(leg.arrived[np.argmax(sizes[leg.arrived])])),
                *told,
            ),
            way=leg.way,
            headline=True,
            explains=("NET-010", "NET-012", "NET-001"),
        )


def _told_too_big(scene: Scene, leg: Leg) -> tuple[TapEvidence, ...]:
    """ICMP errors that say that packets are too big, as the sender's tap has them."""
    found = [
        datagram
        for datagram, _ in scene.analyses[leg.side].icmp
        if datagram.icmp is not None
        and (datagram.icmp.version, datagram.icmp.type, datagram.icmp.code) in {(4, 3, 4), (6, 2, 0)}
    ]
    return tuple(
        TapEvidence(LETTERS[leg.side], each.frame, each.file, f"{each.icmp.sender} says: packet too big")
        for each in found[:2]
        if each.icmp is not None
    )


@proof
def ike_ip_fragments(scene: Scene) -> Iterator[Proof]:
    """NET-003: an IKE message in IP fragments that does not arrive whole."""
    for leg in _legs(scene, IKE):
        cut = leg.gone[(leg.tap.fragments[leg.gone] > 1) | np.isin(leg.gone, leg.incomplete)]
        if not len(cut):
            continue
        whole = leg.arrived[leg.tap.fragments[leg.arrived] > 1]
        remains = scene.comparison.remains[leg.side]
        pieces = tuple(
            scene.place(1 - leg.side, remains[int(row)], "some of its fragments") for row in cut if int(row) in remains
        )
        sure: Confidence = CERTAIN if pieces or np.isin(cut, leg.lost).sum() >= SURE else LIKELY
        rest = (
            f"only some of their fragments do ({scene.frames(1 - leg.side, [remains[int(row)] for row in cut if int(row) in remains])})"
            if pieces
            else "not one of their fragments does"
        )
        yield Proof(
            code="NET-003",
            confidence=sure if not len(whole) or pieces else LIKELY,
            summary=f"{packets(len(cut), 'IKE message')} of up to {int(leg.tap.size[cut].max())} octets {scene.ends(leg.side, cut)}, sent in IP fragments "
            f"({scene.frames(leg.side, cut)}), {'does' if len(cut) == 1 else 'do'} not arrive whole: {rest}{unless_recorded(scene, leg)}.",
            evidence=(*scene.places(leg.side, cut), *pieces[:4], *beside(scene, leg)),
            way=leg.way,
            explains=("NAT-004", "NET-001", "PH1-012", "PH1-014", "NET-010"),
        )


@proof
def ike_fragments(scene: Scene) -> Iterator[Proof]:
    """NET-005: fragments of an IKE message (RFC 7383) that never arrive."""
    for leg in _legs(scene, IKE):
        parts: dict[bytes, dict[int, list[int]]] = {}
        totals: dict[bytes, int] = {}
        for row in np.concatenate((leg.arrived, leg.gone)).tolist():
            head = leg.tap.heads.get(row, b"")
            numbers = fragment_of(head)
            if numbers is not None:
                parts.setdefault(head[:16] + head[18:24] + head[34:36], {}).setdefault(numbers[0], []).append(row)
                totals[head[:16] + head[18:24] + head[34:36]] = numbers[1]
        here = set(leg.arrived.tolist())
        for message, numbered in parts.items():
            never = sorted(number for number, rows in numbered.items() if not here & set(rows))
            if never:
                yield _fragments_lost(scene, leg, numbered, never, totals[message])


def _fragments_lost(scene: Scene, leg: Leg, numbered: dict[int, list[int]], never: list[int], total: int) -> Proof:
    lost = sorted(row for number in never for row in numbered[number])
    arrived = [row for number, rows in numbered.items() if number not in never for row in rows]
    proven = int(np.isin(lost, leg.lost).sum())
    times = max(len(numbered[number]) for number in never)
    repeated = f", although sent {times} times" if times > 1 else ""
    sure: Confidence = CERTAIN if proven >= 2 or (proven and arrived) else LIKELY
    sizes = leg.tap.size
    smaller = (
        f"; what arrives has up to {int(sizes[arrived].max())} octets"
        if arrived
        else "; nothing of the message arrives"
    )
    return Proof(
        code="NET-005",
        confidence=sure,
        summary=f"Of an IKE message in {total} fragments {scene.ends(leg.side, np.array(lost))}, "
        f"{'fragment' if len(never) == 1 else 'fragments'} {listed([str(each) for each in never])} of up to {int(sizes[lost].max())} octets "
        f"never {'arrives' if len(never) == 1 else 'arrive'}{repeated} ({scene.frames(leg.side, lost)}){smaller}{unless_recorded(scene, leg)}.",
        evidence=(
            *scene.places(leg.side, lost),
            *(scene.both(leg.side, arrived[-1]) if arrived and arrived[-1] in leg.arrived else ()),
        ),
        way=leg.way,
        explains=("NAT-004", "NET-001", "PH1-014", "NET-010"),
    )


# -- loss, order, copies -----------------------------------------------------------------------------------------------


@proof
def loss(scene: Scene) -> Iterator[Proof]:
    """NET-010: some packets are lost, whatever their size."""
    for leg in _legs(scene, (*DATA, *IKE)):
        if not len(leg.arrived) or not leg.proven:
            continue
        lost = np.sort(np.concatenate((leg.lost, leg.incomplete)))
        share = len(lost) / (len(lost) + len(leg.arrived))
        yield Proof(
            code="NET-010",
            confidence=CERTAIN,
            severity="medium" if share >= MIN_SHARE and leg.traffic in DATA else "low",
            summary=f"{len(lost)} of {len(lost) + len(leg.arrived)} packets of {leg.name} ({share:.1%}) {scene.ends(leg.side, lost)} are lost between "
            f"the taps ({scene.frames(leg.side, lost)}).",
            evidence=scene.places(leg.side, lost),
            way=leg.way,
        )


@proof
def recorder_loss(scene: Scene) -> Iterator[Proof]:
    """CAP-004: packets that one capture lacks although the other, further on, has them."""
    comparison = scene.comparison
    for way in WAYS:
        side = 1 - comparison.sender_side(way)
        rows = np.flatnonzero(comparison.which(side, way, State.UNSEEN))
        if not len(rows):
            continue
        through = any(len(leg.arrived) for kind, leg in scene.legs(way).items() if kind in DATA)
        lacks = LETTERS[1 - side]
        yield Proof(
            code="CAP-004",
            confidence=LIKELY if through else POSSIBLE,
            severity="medium" if through else "low",
            summary=f"{packets(len(rows))} {scene.ends(side, rows)} {'is' if len(rows) == 1 else 'are'} in {LETTERS[side]} ({scene.frames(side, rows)}) and not in "
            f"{lacks}, which they pass first: {lacks}'s recorder lost them, or they took another way.",
            evidence=scene.places(side, rows),
            way=way,
        )


@proof
def replays(scene: Scene) -> Iterator[Proof]:
    """ESP-002: copies of ESP or AH packets that come up between the taps, or that pass both."""
    comparison = scene.comparison
    for way in WAYS:
        side = 1 - comparison.sender_side(way)
        tap = scene.tap(side)
        data = np.isin(tap.traffic, [int(each) for each in DATA])
        replayed = np.flatnonzero(comparison.which(side, way, State.REPLAYED) & data)
        doubled = np.flatnonzero(comparison.which(side, way, State.DUPLICATED) & data)
        for rows, what, later in ((replayed, "sent again", True), (doubled, "doubled", False)):
            if len(rows):
                yield Proof(
                    code="ESP-002",
                    confidence=CERTAIN,
                    severity="medium" if later else "info",
                    headline=later and len(rows) >= SURE,
                    summary=f"{packets(len(rows), 'ESP or AH packet')} {scene.ends(side, rows)} {'is' if len(rows) == 1 else 'are'} {what} between the taps: the first "
                    f"copy passes both, the other one is in {LETTERS[side]} only ({scene.frames(side, rows)}).",
                    evidence=(*_first_copy(scene, side, int(rows[0])), *scene.places(side, rows)),
                    way=way,
                )


def _first_copy(scene: Scene, side: int, row: int) -> tuple[TapEvidence, ...]:
    """The copy of a packet that both taps have, in both."""
    tap = scene.tap(side)
    same = (tap.key == tap.key[row]) & (scene.comparison.states(side) == int(State.PAIRED))
    return scene.both(side, int(np.flatnonzero(same)[0])) if same.any() else ()


@proof
def damage(scene: Scene) -> Iterator[Proof]:
    """ESP-005: packets whose octets are others behind the path than in front of it."""
    comparison = scene.comparison
    pairs = damaged(comparison)
    for way in WAYS:
        side = comparison.sender_side(way)
        rows = comparison.pairs[side][pairs[comparison.ways[pairs] == way]]
        if len(rows):
            yield Proof(
                code="ESP-005",
                confidence=CERTAIN,
                severity="high",
                headline=len(rows) >= SURE,
                summary=f"{packets(len(rows))} {scene.ends(side, rows)} {'has' if len(rows) == 1 else 'have'} other octets behind the path than in front of it "
                f"({scene.frames(side, rows)}): damaged or changed between the taps, so that the integrity check must fail.",
                evidence=tuple(each for row in rows[:3].tolist() for each in scene.both(side, row)),
                way=way,
            )


@proof
def reordering(scene: Scene) -> Iterator[Proof]:
    """NET-011: packets that others of their flow overtake between the taps."""
    comparison = scene.comparison
    for way in WAYS:
        late = comparison.late[comparison.ways[comparison.late] == way]
        side = comparison.sender_side(way)
        rows = comparison.pairs[side][late]
        data = np.isin(scene.tap(side).traffic[rows], [int(each) for each in DATA])
        rows = rows[data]
        if len(rows):
            total = sum(len(leg.arrived) for kind, leg in scene.legs(way).items() if kind in DATA)
            yield Proof(
                code="NET-011",
                confidence=CERTAIN,
                severity="medium" if len(rows) / total >= MIN_SHARE else "low",
                summary=f"{len(rows)} of {packets(total, 'data packet')} {scene.ends(side, rows)} are overtaken by later ones between the taps "
                f"({scene.frames(side, rows)}).",
                evidence=tuple(each for row in rows[:3] for each in scene.both(side, int(row))),
                way=way,
            )


def _legs(scene: Scene, kinds: Iterable[Traffic]) -> Iterator[Leg]:
    wanted = set(kinds)
    for way in WAYS:
        yield from (leg for kind, leg in scene.legs(way).items() if kind in wanted)
