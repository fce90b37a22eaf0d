from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.peers.alarms import SPARE, Alarms
from ipsecscope.peers.entropy import Instant


class Sleeper:
    def __init__(self) -> None:
        self.timers: dict[str, Instant] = {}


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 9), st.booleans())))
def test_alarms_ring_in_order_for_those_who_still_want_them(steps: list[tuple[int, int, bool]]) -> None:
    sleepers, alarms = [Sleeper() for _ in range(6)], Alarms[Sleeper]()
    for number, when, is_put_off in steps:
        if is_put_off:
            sleepers[number].timers.clear()
        else:
            sleepers[number].timers["sleep"] = when
            alarms.set(sleepers[number], when)
    wanted = sorted(when for sleeper in sleepers for when in sleeper.timers.values())
    rung = []
    while (when := alarms.next()) is not None:
        assert alarms.pop_due(when - 1) is None
        sleeper = alarms.pop_due(when)
        assert sleeper is not None
        if sleeper.timers.pop("sleep", None) is not None:
            rung.append(when)
    assert rung == wanted


def test_alarms_of_those_who_are_gone_are_not_kept() -> None:
    alarms = Alarms[Sleeper]()
    for number in range(10_000):
        sleeper = Sleeper()
        sleeper.timers["sleep"] = 10**9 + number
        alarms.set(sleeper, 10**9 + number)
        sleeper.timers.clear()
    assert len(alarms) <= SPARE + 1
