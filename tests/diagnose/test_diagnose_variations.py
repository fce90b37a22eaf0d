"""The same faults with other algorithms, in captures that begin late, end early, lack frames or have one direction only.

What a capture lacks may cost the name of the cause; it must never lead to a wrong certainty.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace
from scenes import Capture, captured, of_direction, of_name
from test_diagnose_generated import KEYS_NEEDED
from test_diagnose_lab import ALSO_TRUE, CODES

from ipsecscope.diagnose.engine import Diagnosis
from ipsecscope.peers.config import Offer
from ipsecscope.peers.packets import split
from ipsecscope.peers.scenario import Scenario, play
from ipsecscope.peers.scenarios import SCENARIOS

SUITES = {
    "cbc": "ENCR_AES_CBC-256 AUTH_HMAC_SHA2_512_256 PRF_HMAC_SHA2_512 MODP_2048",
    "3des": "ENCR_3DES AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1536",
    "chacha": "ENCR_CHACHA20_POLY1305 PRF_HMAC_SHA2_384 ECP_384",
}
ETHERNET_HEADER = 14
MAX_FRAMES = 200
# Their peers' messages are crafted with a suite of their own, so another one is a fault more; or only keys tell.
OWN_SUITE = {"ikev2-half-open-flood", "ikev2-unknown-address", *KEYS_NEEDED}
EVERY = 4  # each scenario with one suite here; another one is taken for the next
# A cut in the middle of a handshake looks like somebody who stops there, and may be named for that.
OF_CUTS = {
    "PH1-001",
    "PH1-004",
    "PH1-008",
    "PH1-011",
    "PH1-012",
    "PH2-001",
    "LIFE-002",
    "LIFE-006",
    "AUTH-005",
    "AUTH-012",
}


def takes_a_suite(scenario: Scenario) -> bool:
    """Whether nothing in a scenario depends on its algorithms for IKE."""
    both_v2 = scenario.version == 2 and scenario.right_version in (None, 2) and scenario.is_repeatable
    sides = [each for each in (scenario.left, scenario.right, scenario.both) if not callable(each)]
    return both_v2 and scenario.name not in OWN_SUITE and not any("ike_proposals" in each for each in sides)


def wrongly_certain(found: Diagnosis, fails: str) -> list[str]:
    """Certain root causes that are not what goes wrong."""
    allowed = {*CODES.get(fails, ()), *ALSO_TRUE.get(fails, ())}
    certain = [
        each for each in found.findings if each.headline and each.confidence == "certain" and not each.suppressed_by
    ]
    return [each.summary for each in certain if each.code not in allowed]


VARIED = [
    (name, text, each)
    for number, each in enumerate(s for s in SCENARIOS if takes_a_suite(s))
    for name, text in [list(SUITES.items())[number % len(SUITES)]]
]


@pytest.mark.parametrize(("suite", "text", "scenario"), VARIED, ids=[f"{each.name}-{name}" for name, _, each in VARIED])
def test_the_cause_is_named_with_other_algorithms(suite: str, text: str, scenario: Scenario) -> None:
    del suite
    capture = captured(play(replace(scenario, both={**scenario.both, "ike_proposals": (Offer.ike(text),)})))
    found = capture.diagnosis()
    said = None if found.headline is None else found.headline.code
    assert found.faults == ()
    assert said in CODES[scenario.fails] if scenario.fails else said in {None, *OUTSIDE_FAULTS}
    assert wrongly_certain(found, scenario.fails) == []


OUTSIDE_FAULTS = {"NAT-007", "AUTH-010"}  # what the list of scenarios does not count as a failure


def cuts(capture: Capture) -> Iterator[tuple[str, Capture]]:
    """The capture without its beginning, its end, some frames, or one direction."""
    frames, keys = capture.frames, capture.keys
    for late in (1, 2, 4):
        yield f"without the first {late}", Capture(frames[late:], keys)
    yield "first half", Capture(frames[: len(frames) // 2], keys)
    yield "every tenth lost", Capture(tuple(each for number, each in enumerate(frames) if number % 10 != 7), keys)
    sources = {pieces.source for _, data in frames if (pieces := split(data[ETHERNET_HEADER:])) is not None}
    for source in sorted(sources)[:2]:
        yield f"only from {source}", capture.kept(of_direction(source))


CUT = [each.name for number, each in enumerate(SCENARIOS) if each.is_repeatable and number % EVERY == 0]


@pytest.mark.parametrize("name", CUT)
def test_cut_captures_lead_to_no_wrong_certainty(name: str) -> None:
    scenario = next(each for each in SCENARIOS if each.name == name)
    whole = of_name(name)
    if len(whole.frames) > MAX_FRAMES:
        whole = Capture(whole.frames[:MAX_FRAMES], whole.keys)
    for label, cut in cuts(whole):
        if not cut.frames:
            continue
        found = cut.diagnosis()
        said = None if found.headline is None else found.headline.code
        assert found.faults == (), label
        assert wrongly_certain(found, scenario.fails) == [], label
        assert scenario.fails or said in {None, *OF_CUTS, *OUTSIDE_FAULTS}, label
