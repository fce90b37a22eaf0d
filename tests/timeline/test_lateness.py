"""Late packets against anti-replay windows: the folds of flows equal a receiver that takes one packet at a time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from test_flows import columns

from ipsecscope.peers.replay import ReplayVerdict, ReplayWindow
from ipsecscope.timeline.flow_table import FlowTable
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.lateness import ON_TIME, WINDOWS


def folded(chunks: Sequence[list[int]]) -> Flow:
    table, at = FlowTable(), 0
    for chunk in chunks:
        if chunk:
            table.update(columns(chunk, start=at))
            at += len(chunk)
    return table.flows()[0]


def received(numbers: Sequence[int], size: int) -> int:
    """How many packets a receiver with a window drops as too old that it never saw before (RFC 4303 appendix A)."""
    window, seen, dropped = ReplayWindow(size), set[int](), 0
    for number in numbers:
        verdict = window.judge(number)
        dropped += verdict is ReplayVerdict.TOO_OLD and number not in seen
        seen.add(number)
        if verdict.is_acceptable:
            window.accept(number)
    return dropped


@st.composite
def arrivals(draw: st.DrawFn) -> list[list[int]]:
    """Numbers in order, some of them kept back by up to 1500 places, some twice; in pieces."""
    count = draw(st.integers(1, 400))
    keys = [number * draw(st.sampled_from([1, 1, 1, 7])) for number in range(1, count + 1)]
    late = draw(st.dictionaries(st.integers(0, count - 1), st.integers(1, 1500), max_size=12))
    order = sorted(range(count), key=lambda each: (each + late.get(each, 0), each))
    numbers = sorted(set(keys))[:count]
    numbers = [numbers[each] for each in order if each < len(numbers)]
    for place in draw(st.lists(st.integers(0, len(numbers) - 1), max_size=5)):
        numbers.insert(draw(st.integers(place, len(numbers))), numbers[place])
    cuts = sorted(draw(st.lists(st.integers(0, len(numbers)), max_size=3)))
    return [numbers[a:b] for a, b in zip([0, *cuts], [*cuts, len(numbers)], strict=True)]


@given(arrivals())
@example([[100, 68]])
@example([[100, 69]])
@example([[2000], [1, 976, 977, 1000, 1872, 1873, 1936, 1937, 1968, 1969]])
def test_drops_of_every_window_are_those_of_a_receiver(chunks: list[list[int]]) -> None:
    numbers = [number for chunk in chunks for number in chunk]
    flow = folded(chunks)
    assert {window: flow.lateness.dropped_by(window) for window in WINDOWS} == {
        window: received(numbers, window) for window in WINDOWS
    }


@pytest.mark.parametrize(("number", "dropped"), [(69, 0), (68, 1)], ids=["the last inside", "the first outside"])
def test_the_edge_of_a_window_of_32(number: int, dropped: int) -> None:
    assert folded([[100, number]]).lateness.dropped_by(32) == dropped


def test_packets_in_order_and_copies_are_not_late() -> None:
    assert folded([[1, 2, 3], [3, 2, 4]]).lateness == ON_TIME


def test_the_worst_packet_is_known() -> None:
    assert folded([[500], [470, 100], [501]]).lateness.most == 400
