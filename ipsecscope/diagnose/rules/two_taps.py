"""NET-001, which takes two captures to be said: the proof that is a rule of its own."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, LIKELY, MEDIUM, POSSIBLE, rule
from ipsecscope.diagnose.tap_proofs import STRAY, Proof, beside, is_uniformly_large, nowhere, proof, unless_recorded
from ipsecscope.diagnose.tap_scene import SURE, WAYS, Leg, Numbers, Scene
from ipsecscope.diagnose.words import clock
from ipsecscope.timeline.tap_rows import Traffic


@proof
@rule(
    "NET-001",
    "one-way-path",
    CRITICAL,
    title="Packets of one kind reach one side only",
    means="Two captures of the same traffic show it: what is sent on one side of the path does not come out on the other.",
    detect="compare: all packets of a kind (port, protocol, direction) that pass one tap are absent at the other, while others pass.",
    look_alikes={
        "CAP-004": "the other capture lost packets that did arrive",
        "NET-008": "only large packets are lost",
        "NET-010": "some packets of every kind are lost",
    },
    causes=("a firewall or an access list in one direction", "asymmetric routing", "a filter of the provider"),
    confirm="Captures hop by hop between the two taps.",
    fix="Open the path for this kind of traffic, or give the evidence to whoever runs it.",
    ios="permit esp any any; permit udp any any eq isakmp; permit udp any any eq non500-isakmp",
    rfc=("RFC 7296 2.1",),
)
def one_way_path(scene: Scene) -> Iterator[Proof]:
    """NET-001: all packets of a kind are lost one way, while others pass."""
    for way in WAYS:
        blocked = [leg for leg in scene.legs(way).values() if leg.is_blocked and leg.traffic is not Traffic.ICMP]
        if not blocked:
            continue
        everything = len(blocked) == sum(traffic is not Traffic.ICMP for traffic in scene.legs(way))
        back = any(len(leg.arrived) for leg in scene.legs(-way).values())
        others = any(len(leg.arrived) for leg in scene.legs(way).values())
        for leg in blocked:
            certain = leg.confidence()
            if not (back or others):
                certain = certain if scene.comparison.throughout else POSSIBLE
            elif is_uniformly_large(scene, leg):
                certain = POSSIBLE if certain == POSSIBLE else LIKELY
            what = "everything else that way is lost too, and the other way works" if everything and back else ""
            what = what or (
                "other packets pass"
                if others
                else "the other way works"
                if back
                else "the other capture has no packet of this traffic at all"
            )
            yield Proof(
                code="NET-001",
                confidence=certain,
                summary=f"{nowhere(scene, leg)}; {what}{unless_recorded(scene, leg)}.",
                evidence=(*scene.places(leg.side, leg.gone), *beside(scene, leg)),
                way=way,
                severity=MEDIUM if certain == POSSIBLE else CRITICAL,
                headline=certain != POSSIBLE,
                explains=("PH1-001", "NET-012", "LIFE-006"),
            )


@proof
def ends_one_way(scene: Scene) -> Iterator[Proof]:
    """NET-001 from a moment on: packets passed this way, and then none does any more."""
    for way in WAYS:
        legs = [leg for kind, leg in scene.legs(way).items() if kind is not Traffic.ICMP]
        last = max((int(leg.tap.time_ns[leg.arrived[-1]]) for leg in legs if len(leg.arrived)), default=None)
        if last is None:
            continue
        side, tap = legs[0].side, legs[0].tap
        gone = np.sort(np.concatenate([leg.gone for leg in legs]))
        after = gone[tap.time_ns[gone] > last]
        before = sum(len(leg.arrived) for leg in legs)
        if len(after) < SURE or len(gone) - len(after) > STRAY * before or _are_larger(legs, after):
            continue
        proven = sum(int(np.isin(after, leg.lost).sum()) for leg in legs)
        row = max((leg.arrived[-1] for leg in legs if len(leg.arrived)), key=lambda each: int(tap.time_ns[each]))
        yield Proof(
            code="NET-001",
            confidence=CERTAIN if proven >= SURE else LIKELY,
            summary=f"From {clock(int(tap.time_ns[after[0]]))} on nothing {scene.ends(side, after)} arrives any more: {len(after)} packets "
            f"({scene.frames(side, after)}); the {before} before did, the last of them in {scene.frames(side, [int(row)])}.",
            evidence=(*scene.both(side, int(row)), *scene.places(side, after)),
            way=way,
            explains=("NET-010", "NET-012", "LIFE-006", "NAT-004", "NET-006"),
        )


def _are_larger(legs: list[Leg], gone: Numbers) -> bool:
    """Whether all of these packets are larger than all that arrived: then their size is why."""
    largest = max(int(leg.tap.size[leg.arrived].max()) for leg in legs if len(leg.arrived))
    return int(legs[0].tap.size[gone].min()) > largest
