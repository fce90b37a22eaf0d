"""What a path does to a tunnel: each fault named from one capture without keys, and from two taps with certainty.

The sessions are the declared scenarios, played once more with a second tap at the other end of the network, and the lab's
pairs of captures. Each fault has look-alikes, which must not be taken for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import numpy as np
import pytest
from conftest import ROOT, SHARED
from played import analysed

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keylogs.exporters.ipsecscope_log import ipsecscope_log
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.diagnose.two_taps import Capture, Compared, TapFinding, compare_captures
from ipsecscope.peers.elements import Delay, Element, Mtu, Nat
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.meddlers import Meddler, lose
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import Pieces
from ipsecscope.peers.scenario import Scenario, play
from ipsecscope.peers.scenarios import BY_NAME
from ipsecscope.peers.scenarios_network import pings
from ipsecscope.peers.traffic import Host, Idle
from ipsecscope.timeline.comparison import Comparison, State
from ipsecscope.timeline.sas import Suite
from ipsecscope.timeline.tap import read_tap

LAB = SHARED / "captures" / "lab"


# -- the same networks, with a tap at either end -------------------------------------------------------------------------


def with_two_taps(scenario: Scenario) -> Scenario:
    """The scenario with one more tap, at the end of the network that has none."""

    def elements(entropy: Entropy) -> Iterable[Element]:
        found = list(scenario.network(entropy)) if scenario.network is not None else [Tap(), Delay()]
        places = [place for place, each in enumerate(found) if isinstance(each, Tap)]
        if len(places) > 1:
            return found
        behind_it = places[0] == len(found) - 1 or any(isinstance(each, Nat) for each in found[: places[0]])
        return [Tap("near"), *found] if behind_it else [*found, Tap("far")]

    return msgspec.structs.replace(scenario, network=elements)


def _is_later_fragment(pieces: Pieces) -> bool:
    return pieces.is_fragment and bool(int.from_bytes(pieces.head[6:8], "big") & 0x1FFF)


def _nobody_answers() -> tuple[list[Host], list[Host]]:
    asking, _ = pings(56, count=10)()
    return asking, [Idle("10.2.0.99")]


def _variant(name: str, of: str, **more: object) -> Scenario:
    return msgspec.structs.replace(BY_NAME[of], name=name, **more)


OWN: dict[str, Scenario] = {
    each.name: each
    for each in (
        _variant("esp-nobody-answers", "esp-tunnel", pings=0, traffic=_nobody_answers, lasts=14.0),
        _variant(
            "ikev2-later-fragments-dropped",
            "ikev2-fragments-dropped",
            network=lambda _: (Mtu(576), Tap(), Meddler(_is_later_fragment, lose)),
        ),
    )
}


@cache
def compared(name: str, *, keyed: bool = False) -> Compared:
    """Both taps of a scenario, compared; both recorded from its beginning to its end."""
    generated = play(with_two_taps(OWN.get(name) or BY_NAME[name]))
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.pcapng"
        path.write_bytes(generated.pcapng)
        log = Path(folder) / f"{name}.keys"
        log.write_text(ipsecscope_log(generated.keys))
        ring = KeyRing(read_keys(log).records) if keyed else None
        return compare_captures(Capture(str(path), 0), Capture(str(path), 1), ring=ring, throughout=True)


@cache
def compared_lab(name: str, one: str, two: str) -> Compared:
    a, b = (Capture(str(LAB / name / f"{each}.pcap")) for each in (one, two))
    return compare_captures(a, b, throughout=True)


def leading(found: Compared) -> list[TapFinding]:
    return [each for each in found.findings if each.headline and each.suppressed_by is None]


def alone(found: Compared, side: int) -> set[str]:
    """The codes that one tap alone leads with."""
    return {each.code for each in found.scene.findings[side] if each.headline and each.suppressed_by is None}


# -- the faults ----------------------------------------------------------------------------------------------------------

# Fault: scenario, what one capture without keys leads with and at which tap, what both taps lead with, how sure.
# A difference of PFS is refused by the peer inside encryption: no second tap sees more of it than the first one, so it
# stays likely without keys; both taps only show that nothing between them had a part in it.
FAULTS: dict[str, tuple[str, int, str, str, str]] = {
    "PFS mismatch at the first rekey": ("ikev2-pfs-mismatch", 0, "PH2-007", "PH2-007", "likely"),
    "MTU black hole": ("esp-mtu-black-hole", 0, "NET-008", "NET-008", "certain"),
    "MTU black hole, TCP": ("esp-transfer-black-hole", 0, "NET-008", "NET-008", "certain"),
    "one-way ESP, lost on the way back": ("esp-one-way", 0, "NET-012", "NET-006", "certain"),
    "one-way ESP, nobody answers": ("esp-nobody-answers", 0, "NET-012", "NET-012", "certain"),
    "UDP 4500 blocked": ("ikev2-port-4500-blocked", 0, "NAT-004", "NAT-004", "certain"),
    "lost IP fragments, all": ("ikev2-fragments-dropped", 0, "NET-003", "NET-003", "certain"),
    "lost IP fragments, the later ones": ("ikev2-later-fragments-dropped", 0, "NET-003", "NET-003", "certain"),
    "lost IKE fragments": ("ikev2-fragment-lost", 1, "NET-005", "NET-005", "certain"),
    "replayed ESP": ("esp-replayed", 1, "ESP-002", "ESP-002", "certain"),
    "peer reboot": ("ikev2-responder-reboot", 0, "LIFE-010", "LIFE-010", "certain"),
    "NAT rebinding": ("ikev2-nat-mapping-expired", 1, "NAT-006", "NAT-006", "certain"),
    "reply in clear": ("esp-reply-in-clear", 0, "NET-014", "NET-014", "certain"),
}


@pytest.mark.parametrize(("name", "side", "one", "both", "sure"), FAULTS.values(), ids=FAULTS)
def test_fault_is_named_from_one_capture_and_proven_by_two(
    name: str, side: int, one: str, both: str, sure: str
) -> None:
    found = compared(name)
    assert one in alone(found, side)
    (leader, *_) = leading(found)
    assert (leader.code, leader.confidence) == (both, sure)
    assert {each.tap for each in leader.evidence} == {"A", "B"}
    known = {(tap, frame) for tap, side in (("A", 0), ("B", 1)) for frame in found.comparison.tap(side).frame.tolist()}
    known |= {
        (tap, frame)
        for tap, side in (("A", 0), ("B", 1))
        for each in found.comparison.tap(side).clear
        for frame in (each.first_frame, each.last_frame)
    }
    assert {(each.tap, each.frame) for each in leader.evidence} <= known


def test_keys_make_the_difference_of_pfs_certain() -> None:
    (leader, *_) = leading(compared("ikev2-pfs-mismatch", keyed=True))
    assert (leader.code, leader.confidence) == ("PH2-007", "certain")


def test_a_refusal_of_other_algorithms_than_those_that_stand_is_not_certainly_about_pfs() -> None:
    analysis = analysed("ikev2-pfs-mismatch", "all")
    (sa,) = analysis.ike_sas
    assert [each.confidence for each in diagnose(analysis).findings if each.code == "PH2-007"] == ["certain"]
    before = Suite(encr="ENCR_CAMELLIA_CBC", key_length=256, integ="AUTH_HMAC_SHA2_256_128")
    children = tuple(msgspec.structs.replace(child, suite=before) for child in sa.child_sas)
    changed = msgspec.structs.replace(analysis, ike_sas=(msgspec.structs.replace(sa, child_sas=children),))
    assert [each.confidence for each in diagnose(changed).findings if each.code == "PH2-007"] == ["likely"]


# Look-alike: scenario, what both taps lead with, and what must not be said of it, whatever the confidence.
LOOK_ALIKES: dict[str, tuple[str, set[str], set[str]]] = {
    "a rekey with another group that succeeds": ("ikev2-pfs", set(), {"PH2-007", "LIFE-002"}),
    "plain loss, no size limit": ("esp-loss", set(), {"NET-008", "NET-001", "NET-006"}),
    "many sizes that all pass": ("esp-sizes", set(), {"NET-008", "NET-007"}),
    "a router that says packet too big": ("esp-fragmentation-needed", {"NET-007"}, {"NET-008"}),
    "an idle tunnel": ("ikev2-several-children", set(), {"NET-012", "NET-006", "NET-001"}),
    "ESP blocked both ways": ("esp-blocked", {"NET-006"}, {"NET-012", "NET-008"}),
    "UDP 500 blocked": ("ikev2-no-answer", {"NET-001"}, {"NAT-004"}),
    "a size limit on port 500": ("ikev2-fragments-dropped", {"NET-003"}, {"NAT-004"}),
    "fragments that arrive": ("esp-fragmented", set(), {"NET-003", "NET-008", "NET-010"}),
    "IKE fragments that arrive": ("ikev2-rsa-pss", set(), {"NET-005", "NET-003"}),
    "retransmissions and reordering": ("esp-reordered", set(), {"ESP-002"}),
    "copies at once": ("ikev2-duplicated", set(), {"NET-010", "NET-001"}),
    "a peer that is dead for good": ("ikev2-dead-peer", {"LIFE-006"}, {"LIFE-010", "NET-001"}),
    "a path that dies": ("ikev2-gone-quiet", {"NET-001"}, {"LIFE-010"}),
    "answers that do not come back": ("ikev2-one-way", {"PH1-011"}, {"PH1-001", "LIFE-006"}),
    "a NAT that keeps its mapping": ("ikev2-nat", set(), {"NAT-006", "NAT-007"}),
    "an initiator that moves": ("ikev2-mobike", set(), {"NAT-006"}),
    "replies in the tunnel": ("esp-tunnel", set(), {"NET-014", "NET-012"}),
    "a faulty line": ("esp-damaged", set(), {"ESP-002", "NET-010"}),
    "a jump of a cluster": ("esp-failover", set(), {"NET-010"}),
    "all is well": ("ikev2", set(), {"NET-001", "NET-010", "NET-012", "CAP-004"}),
    "all is well in IKEv1": ("ikev1-main-mode", set(), {"NET-001", "NET-010", "NET-012", "CAP-004"}),
}


@pytest.mark.parametrize(("name", "leads", "never"), LOOK_ALIKES.values(), ids=LOOK_ALIKES)
def test_look_alike_is_not_taken_for_it(name: str, leads: set[str], never: set[str]) -> None:
    found = compared(name)
    assert {each.code for each in leading(found)} == leads
    assert not {each.code for each in found.findings if each.suppressed_by is None} & never


def test_replays_that_come_from_before_both_taps_are_no_work_of_a_recorder() -> None:
    scenario = BY_NAME["esp-replayed"]
    assert scenario.network is not None
    early = msgspec.structs.replace(
        scenario,
        name="esp-replayed-before",
        network=lambda entropy: [
            *(each for each in scenario.network(entropy) if isinstance(each, Meddler)),  # type: ignore[misc]
            *(Tap("near"), Delay(), Tap("far")),
        ],
    )
    OWN[early.name] = early
    (leader, *_) = leading(compared(early.name))
    assert (leader.code, leader.confidence, leader.alone) == ("ESP-002", "certain", ("likely", "likely"))
    assert "come from before A" in leader.summary


# -- the lab's pairs of captures -----------------------------------------------------------------------------------------

# Scenario: its two captures, and what they prove together.
PAIRS = {
    "fail-mtu-black-hole": ("capture", "capture-far", "NET-008"),
    "xfrm-fail-mtu-black-hole": ("capture", "capture-far", "NET-008"),
    "fail-nat-rebind": ("capture-inside", "capture", "NAT-006"),
    "fail-4500-blocked-nat": ("capture", "capture-far", "NAT-004"),
    "fail-half-open": ("capture", "capture-far", "NAT-004"),
    "fail-responder-silent": ("capture", "capture-far", "NET-001"),
    "fail-return-path-dropped": ("capture", "capture-far", "PH1-011"),
    "ss6-fail-intermediate-fragments-dropped": ("capture", "capture-far", "NET-005"),
    "ikev1-nat-t": ("capture-inside", "capture", None),
    "ikev1-nat-t-aggressive": ("capture-inside", "capture", None),
    "ikev2-nat-t": ("capture-inside", "capture", None),
    "ikev2-nat-t-responder-behind-dnat": ("capture", "capture-inside", None),
    "xfrm-ikev2-nat-t": ("capture-inside", "capture", None),
}


@pytest.mark.parametrize(("name", "pair"), PAIRS.items(), ids=PAIRS)
def test_pair_of_the_lab_proves_its_cause(shared: Path, name: str, pair: tuple[str, str, str | None]) -> None:
    del shared
    one, two, code = pair
    found = compared_lab(name, one, two)
    expected = [] if code is None else [(code, "certain")]
    assert [(each.code, each.confidence) for each in leading(found)] == expected
    back = compared_lab(name, two, one)
    assert [(each.code, each.confidence) for each in leading(back)] == expected


ONE_PLACE = sorted({scenario for scenario, *_ in FAULTS.values()} & set(BY_NAME))


@pytest.mark.parametrize("name", ONE_PLACE)
def test_the_same_capture_twice_proves_nothing_about_a_path(name: str) -> None:
    """A second capture of the same place says nothing that the first one did not."""
    one = Capture(str(ROOT / "captures" / f"{name}.pcapng"))
    found = compare_captures(one, one)
    assert [(each.code, each.summary) for each in found.findings if each.is_raised] == []
    assert not any(found.comparison.count(way, state) for way in (1, -1) for state in (State.LOST, State.INJECTED))


def test_every_capture_can_be_compared_with_itself(shared: Path) -> None:
    """Hostile, cut, damaged and empty ones too: every packet is its own partner, unless it never became whole."""
    paths = [*(shared / "captures" / "public" / "captures").iterdir(), *LAB.glob("*/capture*.pcap*")]
    paths += (ROOT / "captures").glob("*.pcap*")
    count = 0
    for path in sorted(paths):
        tap = read_tap(str(path))
        found = Comparison(tap, tap)
        wrong = ~np.isin(found.state_a, (State.PAIRED, State.COPY, State.PART))
        assert not wrong.any(), path.name
        count += 1
    print(f"{count} captures compared with themselves")
    assert count > 100
