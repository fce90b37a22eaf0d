"""Flows: what folds of columns say, against a reader of one packet at a time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.capture.columns import Columns
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.timeline import flow_table, flows
from ipsecscope.timeline.flow_table import FlowTable
from ipsecscope.timeline.flows import WRAP, Flow

SECOND = 10**9


def columns(
    seqs: list[int],
    *,
    start: int = 0,
    spi: int = 7,
    src: str = "192.0.2.1",
    dst: str = "198.51.100.2",
    kind: Kind = Kind.ESP,
    length: int = 100,
    duplicate_of: int = 0,
    sport: int = 0,
) -> Columns:
    count = len(seqs)

    def same(value: int, dtype: str) -> np.ndarray:
        return np.full(count, value, dtype)

    return Columns(
        file=same(0, "i4"),
        frame=np.arange(start + 1, start + 1 + count, dtype="i8"),
        time_ns=(np.arange(start, start + count, dtype="i8") * SECOND),
        kind=same(int(kind), "u1"),
        encapsulation=same(int(Encapsulation.IP), "u1"),
        src=same(0, "u4"),
        dst=same(1, "u4"),
        sport=same(sport, "u2"),
        dport=same(0, "u2"),
        spi=same(spi, "u4"),
        seq=np.array(seqs, "u4"),
        length=same(length, "u4"),
        missing=same(0, "u4"),
        offset=same(0, "i8"),
        ttl=same(64, "u1"),
        dscp=same(0, "u1"),
        packet_offset=same(0, "i8"),
        packet_length=same(0, "u4"),
        fragments=same(1, "u2"),
        duplicate_of=same(duplicate_of, "i8"),
        addresses=(src, dst),
    )


def table(*windows: Columns) -> tuple[Flow, ...]:
    made = FlowTable()
    for window in windows:
        made.update(window)
    return made.flows()


def one_at_a_time(seqs: list[int]) -> dict[str, int]:
    seen: set[int] = set()
    highest = -1
    counts = dict.fromkeys(("duplicates", "replayed", "reordered"), 0)
    for seq in seqs:
        late = seq < highest
        counts["duplicates"] += seq in seen
        counts["replayed"] += seq in seen and late
        counts["reordered"] += seq not in seen and late
        seen.add(seq)
        highest = max(highest, seq)
    return counts | {"lost": max(seen) - min(seen) + 1 - len(seen), "last_seq": highest, "first_seq": seqs[0]}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.lists(st.integers(0, 59), max_size=3), st.booleans())
def test_law_folds_equal_one_packet_at_a_time(seqs: list[int], cuts: list[int], each_window: bool) -> None:
    borders = sorted({0, len(seqs), *(cut for cut in cuts if cut < len(seqs))})
    made = FlowTable()
    for start, stop in pairwise(borders):
        made.update(columns(seqs[start:stop], start=start))
        if each_window:
            made._flush()
    (flow,) = made.flows()
    assert flow.packets == len(seqs)
    assert {name: getattr(flow, name) for name in one_at_a_time(seqs)} == one_at_a_time(seqs)
    assert sum(stop - start + 1 for start, stop in flow.gaps) == flow.lost


def test_trap_t26_same_spi_to_two_destinations_is_two_flows() -> None:
    found = table(columns([1, 2, 3]), columns([1, 2, 3], dst="198.51.100.9"))
    assert [(flow.dst, flow.duplicates) for flow in found] == [("198.51.100.2", 0), ("198.51.100.9", 0)]


def test_flow_goes_on_when_its_source_moves() -> None:
    (flow,) = table(columns([1, 2], sport=4500), columns([3], src="203.0.113.7", sport=61000, start=2))
    assert flow.sources == (("192.0.2.1", 4500), ("203.0.113.7", 61000))
    assert (flow.packets, flow.lost) == (3, 0)


def test_senders_of_a_multicast_sa_number_on_their_own() -> None:
    found = table(columns([1, 2], dst="ff02::5", src="fe80::1"), columns([1, 2], dst="ff02::5", src="fe80::2"))
    assert [(flow.src, flow.duplicates) for flow in found] == [("fe80::1", 0), ("fe80::2", 0)]


def test_trap_t25_roll_over_counts_on() -> None:
    (flow,) = table(columns([WRAP - 3, WRAP - 1, 1, WRAP - 2, 2]))
    assert flow.rolled_over
    assert (flow.last_seq, flow.lost, flow.reordered, flow.duplicates) == (WRAP + 2, 1, 1, 0)


def test_copies_do_not_count() -> None:
    assert table(columns([1, 2, 3]), columns([1, 2, 3], duplicate_of=1))[0].packets == 3


def test_ah_and_esp_of_one_spi_are_apart_and_keepalives_are_none() -> None:
    found = table(columns([1]), columns([1], kind=Kind.AH, start=1), columns([0], kind=Kind.KEEPALIVE, start=2))
    assert [flow.protocol for flow in found] == ["ESP", "AH"]


def test_octets_lengths_times_and_silence_add_up() -> None:
    (flow,) = table(columns([1, 2], length=60), columns([3], length=90, start=9))
    assert (flow.octets, flow.lengths) == (210, {60: 2, 90: 1})
    assert (flow.first_ns, flow.last_ns, flow.longest_silence_ns) == (0, 9 * SECOND, 8 * SECOND)
    assert (flow.first_frame, flow.last_frame) == (1, 10)


def test_ranges_beyond_the_limit_are_joined_oldest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "MAX_RANGES", 4)
    (flow,) = table(columns(list(range(1, 41, 2))))
    assert flow.packets == 20
    assert (flow.first_seq, flow.last_seq) == (1, 39)
    assert flow.lost <= 19


def test_flows_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 1)
    made = FlowTable()
    made.update(columns([1]))
    made.update(columns([1, 2], spi=8, start=1))
    assert len(made.flows()) == 1
    assert made.dropped == 2


def test_empty_window_changes_nothing() -> None:
    assert table(columns([])) == ()
