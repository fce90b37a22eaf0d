"""NET-011: late packets are judged by the windows of receivers, and their TTLs say whether several ways were taken."""

from __future__ import annotations

import pytest
from played import diagnosed
from staged import Stage

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.diagnose.rule import Finding
from ipsecscope.timeline.flows import Restart
from ipsecscope.timeline.lateness import Lateness


def reordering(**more: object) -> list[Finding]:
    stage = Stage().init().auth().flow({136: 100}, at=1, stop=9, reordered=9, **more)
    return [each for each in diagnose(stage.analysis()).findings if each.code == "NET-011"]


@pytest.mark.parametrize(
    ("late", "confidence", "severity", "words"),
    [
        pytest.param(
            Lateness(9, (0, 0, 0, 0)),
            "possible",
            "info",
            "every receiver with a window of 32 or more takes",
            id="in all",
        ),
        pytest.param(
            Lateness(40, (5, 0, 0, 0)),
            "possible",
            "low",
            "drops 5 of them with a window of 32, none with 64",
            id="beyond 32",
        ),
        pytest.param(
            Lateness(300, (9, 7, 4, 0)),
            "likely",
            "medium",
            "drops 9 of them with a window of 32, 7 of them with a window of 64, 4 of them with a window of 128, none with 1024",
            id="beyond 128",
        ),
        pytest.param(
            Lateness(5000, (9, 9, 9, 9)), "likely", "medium", "9 of them with a window of 1024.", id="beyond all"
        ),
    ],
)
def test_windows_decide(late: Lateness, confidence: str, severity: str, words: str) -> None:
    (found,) = reordering(lateness=late)
    assert (found.confidence, found.severity) == (confidence, severity)
    assert words in found.summary
    assert f"{late.most} numbers late" in found.summary
    assert found.equation is not None
    assert found.equation.count("window") == 4


def test_several_ttls_mean_several_ways() -> None:
    (found,) = reordering(lateness=Lateness(40, (5, 0, 0, 0)), ttls={60: 91, 57: 9})
    assert "their TTLs differ, 60 (91) and 57 (9), so they took several ways" in found.summary
    (same,) = reordering(lateness=Lateness(40, (5, 0, 0, 0)), ttls={60: 100})
    assert "TTL" not in same.summary


def test_a_counter_that_started_again_is_no_reordering() -> None:
    again = Restart(frame=50, time_ns=0, before=9000, after=1, packets=20, interleaved=False)
    assert reordering(lateness=Lateness(8999, (20, 20, 20, 20)), restart=again) == []


@pytest.mark.parametrize(
    ("scenario", "words"),
    [
        ("esp-reordered", "every receiver with a window of 32 or more takes them"),
        ("esp-reordered-beyond-window", "a receiver drops 4 of them with a window of 32, none with 64 or more"),
    ],
)
def test_played_sessions_are_judged_as_their_receiver_did(scenario: str, words: str) -> None:
    (found,) = [each for each in diagnosed(scenario).findings if each.code == "NET-011"]
    assert words in found.summary
