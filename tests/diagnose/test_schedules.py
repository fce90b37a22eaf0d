"""Retransmission schedules: whose pauses they are, and whether the sender has given up."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lab import analysed, capture

from ipsecscope.diagnose.schedules import NANOSECONDS, SCHEDULES, Schedule, back_off, fit, habit, is_given_up, pauses_of
from ipsecscope.diagnose.view import copies, rounds

START = 1_790_000_000 * NANOSECONDS


def moments(*pauses: float) -> list[int]:
    found = [START]
    for pause in pauses:
        found.append(found[-1] + round(pause * NANOSECONDS))
    return found


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each.name)
def test_every_schedule_is_recognised_by_three_pauses_and_by_all(schedule: Schedule) -> None:
    for count in range(3, len(schedule.pauses) + 1):
        assert fit(moments(*schedule.pauses[:count])) == schedule


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each.name)
def test_the_time_until_it_gives_up_is_longer_than_its_pauses(schedule: Schedule) -> None:
    assert schedule.gives_up > sum(schedule.pauses)
    seen = moments(*schedule.pauses)
    assert is_given_up(seen, seen[-1]) is False
    assert is_given_up(seen, START + round(schedule.gives_up * NANOSECONDS)) is True


@given(
    first=st.floats(0.8, 20),
    factor=st.sampled_from([1.0, 1.5, 1.8, 2.0]),
    count=st.integers(3, 6),
    jitter=st.floats(-0.02, 0.02),
)
def test_a_constant_factor_is_found_whatever_the_first_pause(
    first: float, factor: float, count: int, jitter: float
) -> None:
    seen = moments(*(first * factor**number + jitter for number in range(count)))
    found = back_off(seen)
    assert found is not None
    assert found.factor == factor
    assert habit(seen)
    if fit(seen) is None:
        next_one = seen[-1] + round(found.pause(count) * NANOSECONDS)
        assert is_given_up(seen, next_one) is False
        assert is_given_up(seen, next_one + round(found.pause(count) * NANOSECONDS)) is True


@pytest.mark.parametrize(
    "pauses",
    [
        pytest.param((4.0, 7.2), id="too few"),
        pytest.param((1.0, 5.0, 2.0, 9.0), id="no pattern"),
        pytest.param((0.01, 0.02, 0.04), id="within a moment"),
        pytest.param((), id="one copy"),
    ],
)
def test_what_follows_no_schedule_is_nobody_s(pauses: tuple[float, ...]) -> None:
    seen = moments(*pauses)
    assert (fit(seen), back_off(seen), habit(seen)) == (None, None, "")
    assert is_given_up(seen, seen[-1] + 3600 * NANOSECONDS) is None


# What real peers do in the lab: strongSwan with its defaults, with shorter timers, and libreswan.
LAB = {
    "fail-responder-silent-default-timers": "of strongSwan's default, which gives up after 165 s",
    "fail-responder-silent": "from 0.8 s on, each 1.8 times the one before (strongSwan's factor)",
    "lsw-interop-fail-ikev1-disabled": "from 0.8 s on, each 1.8 times the one before (strongSwan's factor)",
    "lsw-fail-proposal-mismatch-v2": "of libreswan's default, which gives up after 60 s",
}


@pytest.mark.parametrize(("scenario", "words"), LAB.items(), ids=LAB)
def test_schedules_of_the_lab_are_named(shared: Path, scenario: str, words: str) -> None:
    del shared
    sa = analysed(capture(scenario)).ike_sas[0]
    seen = rounds(copies(sa.exchanges[0], "initiator"))
    assert len(pauses_of(seen)) >= 3
    assert habit(seen) == words
