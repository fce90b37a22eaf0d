"""Two clocks: offset and drift from packets that both captures have, whatever delays them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.timeline.tap_clock import ClockFit, fit

SECOND = 1_000_000_000
START = 1_790_000_000 * SECOND


def seen(
    offset: int,
    drift: float,
    *,
    count: int = 400,
    span: int = 600 * SECOND,
    delays: tuple[int, int] = (5_000_000, 5_000_000),
    seed: int = 1,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """When A and B saw packets of both directions: half of them delayed by up to 20 ms more, some by seconds."""
    chance = np.random.default_rng(seed)
    sent = START + np.sort(chance.integers(0, span, count))
    ways = np.where(chance.random(count) < 0.5, 1, -1)
    queue = np.where(
        chance.random(count) < 0.5, chance.integers(0, 20_000_000, count), chance.integers(0, 50_000, count)
    )
    queue += (chance.random(count) < 0.02) * chance.integers(0, 400_000_000, count)
    arrives = sent + np.where(ways > 0, *delays) + queue
    true_a, true_b = np.where(ways > 0, sent, arrives), np.where(ways > 0, arrives, sent)
    return true_a, true_b + offset + np.rint((true_b - START) * drift).astype(np.int64), ways


@given(
    offset=st.integers(-86_400 * SECOND, 86_400 * SECOND),
    ppm=st.floats(-100, 100).filter(lambda each: abs(each) > 1),
    seed=st.integers(0, 1000),
)
def test_offset_and_drift_are_found_behind_queues(offset: int, ppm: float, seed: int) -> None:
    found = fit(*seen(offset, ppm * 1e-6, seed=seed))
    assert found.drift == pytest.approx(ppm * 1e-6, abs=1e-6)
    assert abs(found.offset_ns - offset) < 1_000_000
    assert found.basis == "both directions"
    assert found.uncertainty_ns == pytest.approx(5_000_000, rel=0.2)


@given(seed=st.integers(0, 1000))
def test_equal_clocks_have_no_drift(seed: int) -> None:
    assert abs(fit(*seen(0, 0.0, seed=seed)).drift) < 2e-7


def test_unequal_ways_shift_the_offset_by_half_their_difference_within_the_uncertainty() -> None:
    found = fit(*seen(0, 0.0, delays=(30_000_000, 10_000_000)))
    assert found.offset_ns == pytest.approx(10_000_000, abs=200_000)
    assert abs(found.offset_ns) <= found.uncertainty_ns  # type: ignore[operator]
    assert found.delay_ns[0] == pytest.approx(found.delay_ns[1], abs=5_000_000)


def test_one_direction_leaves_offset_and_delay_together() -> None:
    a, b, ways = seen(7 * SECOND, 0.0)
    forth = ways > 0
    found = fit(a[forth], b[forth], ways[forth])
    assert (found.basis, found.uncertainty_ns) == ("one direction", None)
    assert found.offset_ns == pytest.approx(7 * SECOND + 5_000_000, abs=200_000)


def test_wrong_pairs_do_not_spoil_the_fit() -> None:
    a, b, ways = seen(3 * SECOND, 20e-6)
    b[::40] -= 40 * SECOND
    found = fit(a, b, ways)
    assert found.drift == pytest.approx(20e-6, abs=1e-6)
    assert abs(found.offset_ns - 3 * SECOND) < 1_000_000


def test_a_few_packets_within_a_moment_give_an_offset_and_no_drift() -> None:
    a, b, ways = seen(SECOND, 50e-6, count=6, span=SECOND)
    found = fit(a, b, ways)
    assert found.drift == 0.0
    assert abs(found.offset_ns - SECOND) < 20_000_000


def test_no_packet_in_common_is_no_clock() -> None:
    empty = np.zeros(0, np.int64)
    assert fit(empty, empty, empty) == ClockFit()


@given(st.integers(-(10**15), 10**15), st.floats(-1e-3, 1e-3), st.integers(0, 10**14))
def test_conversion_there_and_back_is_the_same_time(offset: int, drift: float, since: int) -> None:
    clock = ClockFit(offset, drift, START)
    times = np.array([START + since])
    assert abs(int(clock.to_a(clock.to_b(times))[0]) - int(times[0])) <= 2
