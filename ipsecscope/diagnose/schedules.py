"""Retransmission schedules: who repeats after which pauses, and when it gives up.

The rows are defaults that operators change; a fit names an implementation as a hint and never proves one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import msgspec

NANOSECONDS = 10**9
TOLERANCE = 0.08  # of each pause
MIN_PAUSES = 3


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
        if len(paired) >= MIN_PAUSES and all(abs(seen - said) <= max(TOLERANCE * said, 0.06) for seen, said in paired):
            return schedule
    return None
