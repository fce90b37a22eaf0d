"""Retransmission schedules: who repeats after which pauses, and when it gives up.

The rows are defaults that operators change; a fit names an implementation as a hint and never proves one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

NANOSECONDS = 10**9
TOLERANCE = 0.08  # of each pause
SLACK_S = 0.06  # of short pauses
MIN_PAUSES = 3
OVERDUE = 1.5  # pauses behind the last copy, from which on no other one is to come


class Schedule(msgspec.Struct, frozen=True):
    """Pauses in seconds between the copies of one request, and the seconds until its sender gives up."""

    name: str
    pauses: tuple[float, ...]
    gives_up: float


SCHEDULES = (
    Schedule("strongSwan's default", (4.0, 7.2, 12.96, 23.328, 41.99), 165.0),
    Schedule("libreswan's default", (0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0), 60.0),
    Schedule("Windows", (1.0, 2.0, 4.0, 8.0, 16.0), 63.0),
    Schedule("Cisco IOS, IKEv1", (10.0, 10.0, 10.0, 10.0), 60.0),
    Schedule("ike-scan's default", (0.5, 0.75, 1.125), 2.4),
)


def pauses_of(times_ns: Sequence[int]) -> tuple[float, ...]:
    """The pauses between moments, in seconds."""
    return tuple((later - earlier) / NANOSECONDS for earlier, later in pairwise(times_ns))


def fit(times_ns: Sequence[int]) -> Schedule | None:
    """The schedule that the moments of a request and its copies follow, when at least three pauses agree."""
    pauses = pauses_of(times_ns)
    if len(pauses) < MIN_PAUSES:
        return None
    for schedule in SCHEDULES:
        paired = list(zip(pauses, schedule.pauses, strict=False))
        if len(paired) >= MIN_PAUSES and all(_is_about(seen, said) for seen, said in paired):
            return schedule
    return None


def _is_about(seen: float, said: float) -> bool:
    return abs(seen - said) <= max(TOLERANCE * said, SLACK_S)


class BackOff(msgspec.Struct, frozen=True):
    """Pauses that grow by one factor: the first in seconds, the factor, and whose habit that factor is."""

    first: float
    factor: float
    whose: str

    def pause(self, number: int) -> float:
        """The pause behind the copy of this number, from 0; in seconds."""
        return self.first * self.factor**number


# Timers are often configured, and then keep the factor: 1.8 is strongSwan's (retransmit_base), the others are of many.
FACTORS = (
    (1.8, "each 1.8 times the one before (strongSwan's factor)"),
    (2.0, "each twice the one before"),
    (1.5, "each half as long again"),
    (1.0, "all alike"),
)


def back_off(times_ns: Sequence[int]) -> BackOff | None:
    """The constant factor by which the pauses of a request and its copies grow, when at least three pauses show it."""
    pauses = pauses_of(times_ns)
    if len(pauses) < MIN_PAUSES or min(pauses) <= SLACK_S:
        return None
    fitting: list[tuple[float, BackOff]] = []
    for factor, whose in FACTORS:
        found = BackOff(pauses[-1] / factor ** (len(pauses) - 1), factor, whose)  # the longest is the most exact
        said = [found.pause(number) for number in range(len(pauses))]
        if all(map(_is_about, pauses, said)):
            fitting.append((max(abs(one / two - 1) for one, two in zip(pauses, said, strict=True)), found))
    return min(fitting, key=lambda each: each[0], default=(0.0, None))[1]


def habit(times_ns: Sequence[int]) -> str:
    """Whose pauses these are, in words that follow ``with pauses``; empty when nothing is known of them."""
    schedule = fit(times_ns)
    if schedule is not None:
        return f"of {schedule.name}, which gives up after {schedule.gives_up:g} s"
    found = back_off(times_ns)
    if found is None:
        return ""
    if found.factor == 1.0:
        return f"of {found.first:.1f} s, all alike"
    return f"from {found.first:.1f} s on, {found.whose}"


def is_given_up(times_ns: Sequence[int], until_ns: int) -> bool | None:
    """Whether a sender has given up by a moment; None when its schedule is not known.

    By a known schedule it has when its time is over; by a factor alone when the next copy is overdue by half a pause.
    """
    if not times_ns:
        return None
    schedule = fit(times_ns)
    if schedule is not None:
        return until_ns - times_ns[0] >= schedule.gives_up * NANOSECONDS
    found = back_off(times_ns)
    if found is None:
        return None
    due = found.pause(len(times_ns) - 1) * OVERDUE
    return until_ns - times_ns[-1] >= due * NANOSECONDS
