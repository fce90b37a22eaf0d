"""Diagnoses of one capture that the other one makes certain: the other side of a silence, of a leak, of a NAT."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise

import numpy as np

from ipsecscope.diagnose.rule import CERTAIN, Finding
from ipsecscope.diagnose.tap_proofs import Proof, proof
from ipsecscope.diagnose.tap_scene import DATA, LETTERS, SURE, WAYS, Numbers, Scene, TapEvidence, packets
from ipsecscope.diagnose.words import clock, counted, listed
from ipsecscope.timeline.comparison import State
from ipsecscope.timeline.nat import INITIAL_TTLS
from ipsecscope.timeline.tap_changes import Change, changes

GONE = (int(State.LOST), int(State.MISSING), int(State.INCOMPLETE))
SILENT = ("PH1-001", "PH1-014", "LIFE-006", "LIFE-010")
REFUSED = ("PH2-007", "LIFE-002")
MIN_DATA = 5
MAX_CHECKED = 1_000  # findings of one capture that are held against the other

Check = Callable[[Scene, int, Finding], Iterable[Proof]]


@proof
def confirmed(scene: Scene) -> Iterator[Proof]:
    """What one capture says and the other one, elsewhere, bears out, once for each code and what it is about."""
    if not scene.is_apart:
        return
    for side in (0, 1):
        open_ones = (each for each in scene.findings[side] if each.code in CHECKS)
        for finding in islice(open_ones, MAX_CHECKED):
            yield from CHECKS[finding.code](scene, side, finding)


def _rows(scene: Scene, side: int, finding: Finding) -> Numbers:
    """The packets that a finding names, at its tap."""
    return scene.rows_of(side, {(each.frame, each.file) for each in finding.evidence})


def _leaving(scene: Scene, side: int, rows: Numbers) -> Numbers:
    """Those of some packets that go on to the other tap."""
    away = 1 if side == 0 else -1
    found: Numbers = rows[scene.comparison.way(side)[rows] * away > 0]
    return found


def _told(scene: Scene, side: int, rows: Numbers, finding: Finding, text: str, limit: int = 3) -> Proof:
    return Proof(
        code=finding.code,
        confidence=CERTAIN,
        summary=f"{finding.summary} {text}",
        evidence=tuple(each for row in rows[:limit].tolist() for each in scene.both(side, row)),
        severity=finding.severity,
        headline=finding.headline,
        way=1 if side == 0 else -1,
    )


def silence(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """The unanswered packets pass the other tap as well, and nothing comes back there either."""
    asked = _leaving(scene, side, _rows(scene, side, finding))
    states = scene.comparison.states(side)
    if len(asked) < 2 or (states[asked] != int(State.PAIRED)).any():
        return
    other, partner = scene.tap(1 - side), _partners(scene, side, asked)
    if not _is_beside(scene, 1 - side, int(other.dst[partner[-1]])):
        return
    back = (other.src == other.dst[partner[-1]]) & (other.dst == other.src[partner[-1]])
    answers = back & np.isin(scene.comparison.states(1 - side), GONE) & (other.time_ns >= other.time_ns[partner[0]])
    if answers.any():
        return
    there = LETTERS[1 - side]
    text = (
        f"All {len(asked)} pass {there} too ({scene.frames(1 - side, partner)}) and no answer comes from there either: "
        f"the path between the taps is not the reason, the peer is."
    )
    yield _told(scene, side, asked, finding, text)


def _is_beside(scene: Scene, side: int, host: int) -> bool:
    """Whether a tap is on the link of a host: its packets still have the TTL that they were sent with."""
    tap = scene.tap(side)
    seen = tap.ttl[(tap.src == host) & (tap.ttl > 0)]
    return len(seen) > 0 and bool(np.isin(seen, list(INITIAL_TTLS)).all())


def _partners(scene: Scene, side: int, rows: Numbers) -> Numbers:
    pairing = scene.comparison.pairing
    found: Numbers = (pairing.in_b if side == 0 else pairing.in_a)[rows]
    return found


def answers_lost(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """PH1-011: the answers leave here and are not at the other tap."""
    sent = _leaving(scene, side, _rows(scene, side, finding))
    lost = sent[scene.comparison.states(side)[sent] == int(State.LOST)]
    if len(lost) < 2:
        return
    text = f"{LETTERS[1 - side]}, on the way to the initiator, has none of {scene.frames(side, lost)}: they are lost between the taps."
    yield Proof(
        code=finding.code,
        confidence=CERTAIN,
        summary=f"{finding.summary} {text}",
        evidence=scene.places(side, lost),
        severity=finding.severity,
        headline=finding.headline,
        way=1 if side == 0 else -1,
        explains=("NET-001",),
    )


def one_way_data(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """NET-012: the data arrives at the other tap, where nothing comes back."""
    named = _leaving(scene, side, _rows(scene, side, finding))
    tap, other = scene.tap(side), scene.tap(1 - side)
    kinds = [int(each) for each in DATA]
    named = named[np.isin(tap.traffic[named], kinds)]
    if not len(named):
        return
    flow = np.flatnonzero((tap.spi == tap.spi[named[0]]) & np.isin(tap.traffic, kinds))
    flow = _leaving(scene, side, flow)
    arrived = flow[scene.comparison.states(side)[flow] == int(State.PAIRED)]
    if len(arrived) < MIN_DATA or len(arrived) < 0.9 * len(flow):
        return
    partner = _partners(scene, side, arrived)
    host = int(other.dst[partner[-1]])
    silent_ns = int(other.time_ns[partner[0]])
    if not _is_beside(scene, 1 - side, host):
        return
    back = np.isin(other.traffic, kinds) & (other.src == host) & (other.time_ns > silent_ns)
    if np.isin(scene.comparison.states(1 - side)[back], GONE).any():
        return
    there = LETTERS[1 - side]
    text = (
        f"{len(arrived)} of these {packets(len(flow))} pass {there} as well ({scene.frames(1 - side, partner[[0, -1]])}), "
        f"and no answer is lost behind it: {other.addresses[host]} or what is behind it does not answer."
    )
    yield _told(scene, side, arrived[[0, -1]], finding, text, 2)


def leak(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """NET-014: both taps have the same packets in the clear, so they are on the network and no view of one host."""
    frames = {each.frame for each in finding.evidence}
    mine = [each for each in scene.tap(side).clear if each.first_frame in frames]
    theirs = {(each.src, each.dst, each.protocol): each for each in scene.tap(1 - side).clear}
    for each in mine:
        found = theirs.get((each.src, each.dst, each.protocol))
        if found is None or abs(found.packets - each.packets) > max(1, each.packets // 10):
            continue
        here, there = LETTERS[side], LETTERS[1 - side]
        text = f"{there} has {packets(found.packets)} of them too (frames {found.first_frame} to {found.last_frame}): they cross the network in the clear."
        value = f"{each.src} → {each.dst} in the clear"
        yield Proof(
            code=finding.code,
            confidence=CERTAIN,
            summary=f"{finding.summary} {text}",
            evidence=(
                TapEvidence(here, each.first_frame, each.file, value),
                TapEvidence(there, found.first_frame, found.file, value),
            ),
            severity="critical",
            headline=True,
            explains=("NET-012", "NET-013"),
        )


def untouched(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """A refusal that both taps have octet for octet: the peer made it, the path did not."""
    rows = _rows(scene, side, finding)
    states = scene.comparison.states(side)
    if len(rows) < 2 or (states[rows] != int(State.PAIRED)).any():
        return
    told = _told(
        scene,
        side,
        rows,
        finding,
        "Both taps have request and refusal octet for octet: nothing between them takes part.",
    )
    yield Proof(
        code=told.code,
        confidence=finding.confidence,
        summary=told.summary,
        evidence=told.evidence,
        severity=told.severity,
        headline=told.headline,
    )


def sent_twice(scene: Scene, side: int, finding: Finding) -> Iterator[Proof]:
    """ESP-002: the copies pass both taps, so they are no copies that a recorder made."""
    flows = [{flow.id: flow for flow in analysis.flows} for analysis in scene.analyses]
    here = flows[side].get(finding.subject or "")
    if here is None or side == 1:
        return
    for other in scene.findings[1]:
        there = flows[1].get(other.subject or "") if other.code == finding.code else None
        if there is not None and there.spi == here.spi and there.duplicates >= here.duplicates > 0:
            evidence = (*_as_evidence(0, finding), *_as_evidence(1, other))
            text = f"B has {packets(there.duplicates)} of that kind as well: they come from before A, and no recorder made them."
            yield Proof(
                code=finding.code,
                confidence=CERTAIN,
                summary=f"{finding.summary} {text}",
                evidence=evidence,
                severity=finding.severity,
                headline=finding.headline,
            )
            return


def _as_evidence(side: int, finding: Finding) -> tuple[TapEvidence, ...]:
    return tuple(TapEvidence(LETTERS[side], each.frame, each.file, each.value) for each in finding.evidence[:2])


CHECKS: dict[str, Check] = {
    **dict.fromkeys(SILENT, silence),
    **dict.fromkeys(REFUSED, untouched),
    "PH1-011": answers_lost,
    "NET-012": one_way_data,
    "NET-014": leak,
    "ESP-002": sent_twice,
}


# -- NAT ---------------------------------------------------------------------------------------------------------------


@proof
def rebinding(scene: Scene) -> Iterator[Proof]:
    """NAT-006 and NAT-007: one socket on the inner side, and one after the other on the outer side."""
    found = changes(scene.comparison)
    for way in WAYS:
        sockets: dict[str, list[Change]] = {}
        for change in found:
            if change.field == "source" and change.way == way:
                sockets.setdefault(change.before, []).append(change)
        for inside, uses in sockets.items():
            uses.sort(key=lambda change: change.first_ns)
            if len(uses) > 1 and all(two.first_ns > one.last_ns for one, two in pairwise(uses)):
                yield _rebound(scene, way, inside, uses)


def _rebound(scene: Scene, way: int, inside: str, uses: list[Change]) -> Proof:
    """The NAT between the taps gave a socket another one; does the far side still use the old one?"""
    near, far = scene.comparison.sender_side(way), scene.comparison.sender_side(-way)
    tap, states = scene.tap(far), scene.comparison.states(far)
    old = uses[-2].after.rpartition(":")
    address, port = (old[0].strip("[]"), int(old[2])) if old[1] and old[2].isdigit() else (uses[-2].after, 0)
    moved = scene.comparison.clock.to_b(np.array([uses[-1].first_ns]))[0] if far == 1 else uses[-1].first_ns
    to_old = (tap.dport == port) & np.isin(states, GONE) & (tap.time_ns > int(moved))
    to_old &= tap.dst == (tap.addresses.index(address) if address in tap.addresses else -1)
    lost = np.flatnonzero(to_old)
    story = listed(
        [f"{each.after} (frames {each.first[far]} to {each.last[far]} of {LETTERS[far]})" for each in uses], "then"
    )
    evidence = tuple(
        TapEvidence(LETTERS[side], each.first[side], 0, f"{each.before} → {each.after}")
        for each in uses[-2:]
        for side in (near, far)
    )
    if len(lost):
        return Proof(
            code="NAT-006",
            confidence=CERTAIN,
            summary=f"The NAT between the taps gave {inside} first {story}, from {clock(int(uses[-1].first_ns))} on; "
            f"{counted(len(lost), 'packet')} that went to the old port afterwards {'does' if len(lost) == 1 else 'do'} not get through it "
            f"({scene.frames(far, lost)}).",
            evidence=(*evidence, *scene.places(far, lost)),
            way=way,
            headline=len(lost) >= SURE,
            explains=("NAT-007", "NET-010", "NET-012", "NET-001", "LIFE-006"),
        )
    return Proof(
        code="NAT-007",
        confidence=CERTAIN,
        summary=f"The NAT between the taps gave {inside} first {story}; nothing is sent to the old port afterwards.",
        evidence=evidence,
        way=way,
    )
