"""Which association wants to be woken when; what was put off or belongs to nobody any more is dropped now and then."""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar

from ipsecscope.peers.entropy import Instant

SPARE = 64  # alarms that nobody needs and that are kept all the same


class Woken(Protocol):
    """Something with timers."""

    timers: dict[str, Instant]


_Woken = TypeVar("_Woken", bound=Woken)


class Alarms(Generic[_Woken]):
    """Alarms by time, and of one time by age. An alarm counts as long as a timer of its owner has its time."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Instant, int, _Woken]] = []
        self._count = 0
        self._room = SPARE

    def __len__(self) -> int:
        return len(self._waiting)

    def set(self, owner: _Woken, when: Instant) -> None:
        """Wake the owner then."""
        self._count += 1
        heapq.heappush(self._waiting, (when, self._count, owner))
        if len(self._waiting) > self._room:
            self._waiting = [each for each in self._waiting if each[0] in each[2].timers.values()]
            heapq.heapify(self._waiting)
            self._room = 2 * len(self._waiting) + SPARE

    def next(self) -> Instant | None:
        """When the next one is due; None while there is none."""
        while self._waiting:
            when, _, owner = self._waiting[0]
            if when in owner.timers.values():
                return when
            heapq.heappop(self._waiting)
        return None

    def pop_due(self, now: Instant) -> _Woken | None:
        """The owner of the next alarm that is due; None when none is."""
        when = self.next()
        return heapq.heappop(self._waiting)[2] if when is not None and when <= now else None
