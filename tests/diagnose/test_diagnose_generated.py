"""The captures of our own peers: the right class of cause for each fault, silence where all is well, no wrong certainty.

A scenario says itself what goes wrong in it (``fails``); the codes that name it are the table of the lab's test.
"""

from __future__ import annotations

from pathlib import Path

import played
import pytest
from test_diagnose_lab import ALSO_TRUE, CODES

from ipsecscope.diagnose.engine import Diagnosis
from ipsecscope.peers.scenario import Scenario
from ipsecscope.peers.scenarios import BY_NAME

CAPTURES = Path(__file__).parents[2] / "captures"
# What only keys show: without them the tunnel works, or the class is one with others.
KEYS_NEEDED = {"ikev2-mode-mismatch", "esp-outside-selectors", "ikev2-refused-again-and-again"}
# No fault of the peers, and still what a headline is for.
NOTEWORTHY = {"ikev2-nat-rebinding-outside": "NAT-007", "ikev2-eap-tls-untrusted": "AUTH-010"}
# About the capture and not about the tunnel: never a headline.
ABOUT_THE_CAPTURE = ("CAP",)

PLAYED = sorted(name for name in BY_NAME if (CAPTURES / f"{name}.pcapng").exists())


def diagnosed(name: str, *, keyed: bool) -> Diagnosis:
    return played.diagnosed(name, "all" if keyed else "none")


def cause(scenario: Scenario) -> str:
    return str(getattr(scenario, "fails", ""))


def test_every_played_scenario_has_a_capture() -> None:
    assert len(PLAYED) > 100


@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("name", PLAYED)
def test_generated_capture_is_named_for_what_goes_wrong_in_it(name: str, keyed: bool) -> None:
    found = diagnosed(name, keyed=keyed)
    said = None if found.headline is None else found.headline.code
    wrong = cause(BY_NAME[name])
    assert found.faults == ()
    if name in NOTEWORTHY:
        assert said == NOTEWORTHY[name]
    elif wrong and (keyed or name not in KEYS_NEEDED):
        assert said in CODES[wrong]
    elif not wrong:
        assert said is None, found.headline
        grave = [
            each for each in found.findings if each.severity in {"critical", "high"} and each.suppressed_by is None
        ]
        assert [each.summary for each in grave if not each.code.startswith(("SEC", *ABOUT_THE_CAPTURE))] == []
    allowed = {*CODES.get(wrong, ()), *ALSO_TRUE.get(wrong, ()), NOTEWORTHY.get(name, "")}
    certain = [
        each for each in found.findings if each.headline and each.confidence == "certain" and each.suppressed_by is None
    ]
    assert [each.summary for each in certain if each.code not in allowed] == []
