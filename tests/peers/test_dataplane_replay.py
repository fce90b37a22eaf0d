from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.peers.replay import ReplayVerdict, ReplayWindow

SIZES = (32, 64, 128, 1024)


@given(st.sampled_from(SIZES), st.lists(st.integers(0, 3000), max_size=200))
def test_window_agrees_with_a_set_of_everything_seen(size: int, numbers: list[int]) -> None:
    window, seen = ReplayWindow(size), set[int]()
    for number in numbers:
        highest = max(seen, default=0)
        judged = window.judge(number)
        if number == 0:
            assert judged is ReplayVerdict.ZERO
        elif number > highest:
            assert judged is ReplayVerdict.NEW
        elif number <= highest - size:
            assert judged is ReplayVerdict.TOO_OLD
        else:
            assert judged is (ReplayVerdict.REPLAYED if number in seen else ReplayVerdict.LATE)
        if judged.is_acceptable:
            window.accept(number)
            seen.add(number)


@given(
    st.sampled_from(SIZES),
    st.integers(1, 1 << 40),
    st.integers(-1023, 1 << 20),
)
def test_upper_half_is_found_for_every_number_in_reach(size: int, highest: int, step: int) -> None:
    """RFC 4303 appendix A2.2: right for all numbers from the left edge to 2**32 - W ahead."""
    number = highest + max(step, 1 - size)
    if number < 1:
        return
    window = ReplayWindow(size, esn=True, highest=highest)
    assert window.upper_half(number & 0xFFFFFFFF) == number >> 32


def test_number_from_before_the_first_is_too_old() -> None:
    window = ReplayWindow(64, esn=True, highest=3)
    assert window.upper_half(0xFFFFFFF0) == -1
    assert window.judge((-1 << 32) | 0xFFFFFFF0) is ReplayVerdict.TOO_OLD


def test_window_of_no_size_takes_everything_again() -> None:
    window = ReplayWindow(0)
    for number in (5, 5, 1, 5):
        assert window.judge(number).is_acceptable
        window.accept(number)


@pytest.mark.parametrize("size", [-1, 1 << 20])
def test_window_of_impossible_size_raises(size: int) -> None:
    with pytest.raises(ValueError, match="replay window"):
        ReplayWindow(size)
