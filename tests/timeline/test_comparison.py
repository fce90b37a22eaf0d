"""What became of every packet between two taps."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from packets import ethernet, ipv4, packed, udp, vlan
from taps import (
    HERE,
    MILLISECOND,
    OUTSIDE,
    SECOND,
    THERE,
    Seen,
    compared,
    data,
    exchange,
    keepalive,
    message,
    states,
    taps,
    write,
)

from ipsecscope.timeline.comparison import Comparison, State
from ipsecscope.timeline.tap import Tap, interfaces_of, read_tap
from ipsecscope.timeline.tap_changes import changes

LAB = SHARED / "captures" / "lab"
LAB_PAIRS = [
    ("fail-mtu-black-hole", "capture", "capture-far"),
    ("fail-nat-rebind", "capture-inside", "capture"),
    ("fail-4500-blocked-nat", "capture", "capture-far"),
    ("fail-return-path-dropped", "capture", "capture-far"),
    ("ikev1-nat-t", "capture-inside", "capture"),
    ("ikev2-nat-t", "capture-inside", "capture"),
    ("ikev2-nat-t-responder-behind-dnat", "capture", "capture-inside"),
    ("ss6-fail-intermediate-fragments-dropped", "capture", "capture-far"),
    ("xfrm-fail-mtu-black-hole", "capture", "capture-far"),
]


def rewritten(comparison: Comparison) -> dict[tuple[int, str], list[tuple[str, str, int]]]:
    found: dict[tuple[int, str], list[tuple[str, str, int]]] = {}
    for each in changes(comparison):
        found.setdefault((each.way, each.field), []).append((each.before, each.after, each.packets))
    return found


def test_everything_that_passes_is_paired_and_has_a_direction(tmp_path: Path) -> None:
    a, b = exchange(20)
    found = compared(tmp_path, a, b)
    assert states(found, 0) == ["PAIRED"] * 40
    assert states(found, 1) == ["PAIRED"] * 40
    assert [int(way) for way in found.way(0)[:4]] == [1, -1, 1, -1]
    assert found.clock.offset_ns == 0
    assert found.delays_ns.tolist() == [5 * MILLISECOND] * 40
    assert rewritten(found)[1, "TTL"] == [("64", "63", 20)]


def test_a_packet_that_is_not_there_while_the_other_tap_records_is_lost(tmp_path: Path) -> None:
    a, b = exchange(20)
    gone = [each for each in b if each[1] == data(7, ttl=63)]
    found = compared(tmp_path, a, [each for each in b if each not in gone])
    assert [index for index, state in enumerate(states(found, 0)) if state == "LOST"] == [12]
    assert found.count(1, State.LOST) == 1
    assert found.count(-1, State.LOST) == 0
    assert set(states(found, 1)) == {"PAIRED"}


def test_what_comes_behind_the_last_record_of_the_other_tap_is_missing_and_not_lost(tmp_path: Path) -> None:
    a, b = exchange(5)
    more = [(SECOND + number * 100 * MILLISECOND, data(number)) for number in range(6, 10)]
    assert states(compared(tmp_path, [*a, *more], b), 0)[10:] == ["MISSING"] * 4
    assert states(compared(tmp_path, [*a, *more], b, throughout=True), 0)[10:] == ["LOST"] * 4


def test_a_capture_that_began_late_or_ended_early_lost_nothing(tmp_path: Path) -> None:
    """A's records of packets that passed B first prove that B was not recording."""
    a, b = exchange(30)
    part = [each for each in b if 1 * SECOND < each[0] < 2 * SECOND]
    found = compared(tmp_path, a, part)
    assert set(states(found, 0)) == {"PAIRED", "OUTSIDE", "MISSING"}
    assert states(found, 0).count("MISSING") <= 1
    assert not any(found.count(way, State.LOST) for way in (1, -1))


def test_a_record_of_other_traffic_proves_that_the_tap_was_recording(tmp_path: Path) -> None:
    a, b = exchange(5)
    late = [(2 * SECOND, data(9))]
    arp = [(4 * SECOND, ethernet(bytes(28), 0x0806))]
    assert states(compared(tmp_path, [*a, *late], [*b, *arp]), 0)[-1] == "LOST"


def test_statistics_at_the_end_of_a_pcapng_prove_how_long_it_recorded(tmp_path: Path) -> None:
    a, b = exchange(5)
    one = read_tap(str(write(tmp_path / "a.pcap", [*a, (3 * SECOND, data(9))])))
    blocks = [
        struct.pack("<IIIHHqI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, -1, 28),
        struct.pack("<IIHHIHHBxxxHHI", 1, 32, 1, 0, 0, 9, 1, 9, 0, 0, 32),
    ]
    two = read_tap(str(write(tmp_path / "b.pcap", b)))
    stamp = (int(two.time_ns[0]) + 5 * SECOND).to_bytes(8, "big")
    for when, frame in b:
        time_ns = int(two.time_ns[0]) - b[0][0] + when
        padded = frame + bytes(-len(frame) % 4)
        head = struct.pack(
            "<IIIIIII", 6, 32 + len(padded), 0, time_ns >> 32, time_ns & 0xFFFFFFFF, len(frame), len(frame)
        )
        blocks.append(head + padded + struct.pack("<I", 32 + len(padded)))
    without = tmp_path / "without.pcapng"
    without.write_bytes(b"".join(blocks))
    end = struct.pack("<HHIIHH", 3, 8, *struct.unpack(">II", stamp), 0, 0)
    blocks.append(struct.pack("<IIIII", 5, 24 + len(end), 0, 0, 0) + end + struct.pack("<I", 24 + len(end)))
    within = tmp_path / "with.pcapng"
    within.write_bytes(b"".join(blocks))
    assert states(Comparison(one, read_tap(str(without))), 0)[-1] == "MISSING"
    assert states(Comparison(one, read_tap(str(within))), 0)[-1] == "LOST"


def test_retransmissions_find_the_copy_that_arrived(tmp_path: Path) -> None:
    a, b = exchange(30)
    copies = [(when, message(1)) for when in (SECOND, 3 * SECOND // 2, 5 * SECOND // 2)]
    arrived = [(5 * SECOND // 2 + 5 * MILLISECOND, message(1, ttl=63))]
    found = compared(tmp_path, [*a, *copies], [*b, *arrived])
    rows = [index for index, each in enumerate(found.a.kind.tolist()) if each == 1]
    assert [states(found, 0)[row] for row in rows] == ["LOST", "LOST", "PAIRED"]


def test_a_copy_made_on_the_way_is_a_duplicate_and_later_a_replay(tmp_path: Path) -> None:
    a, b = exchange(30)
    doubled, replayed = (600 * MILLISECOND, data(5, ttl=63)), (2900 * MILLISECOND, data(8, ttl=63))
    found = compared(tmp_path, a, [*b, doubled, replayed])
    assert [states(found, 1).count(name) for name in ("DUPLICATED", "REPLAYED", "INJECTED")] == [1, 1, 0]
    assert set(states(found, 0)) == {"PAIRED"}


def test_copies_that_both_taps_have_are_paired(tmp_path: Path) -> None:
    a, b = exchange(30)
    again = [(2000 * MILLISECOND, data(5))], [(2005 * MILLISECOND, data(5, ttl=63))]
    found = compared(tmp_path, [*a, *again[0]], [*b, *again[1]])
    assert set(states(found, 0) + states(found, 1)) == {"PAIRED"}


def test_data_that_only_the_second_tap_has_was_not_seen_and_ike_was_made_between(tmp_path: Path) -> None:
    a, b = exchange(30)
    unseen = [each for each in a if each[1] != data(9)]
    forged = (1500 * MILLISECOND, message(77, ttl=63))
    found = compared(tmp_path, unseen, [*b, forged])
    assert (states(found, 1).count("UNSEEN"), states(found, 1).count("INJECTED")) == (1, 1)
    assert found.count(1, State.UNSEEN) == 1
    assert found.count(1, State.INJECTED) == 1


def test_nat_and_encapsulation_and_type_of_service_are_changes_of_the_same_packet(tmp_path: Path) -> None:
    numbers = range(1, 11)
    a = [(number * MILLISECOND, data(number, tos=0xB8)) for number in numbers]
    b = [(number * MILLISECOND + 50_000, data(number, outside=True, ttl=63)) for number in numbers]
    found = compared(tmp_path, a, b)
    assert set(states(found, 0)) == {"PAIRED"}
    assert rewritten(found)[1, "source"] == [(f"{HERE}:4500", f"{OUTSIDE}:20001", 10)]
    assert rewritten(found)[1, "DSCP"] == [("46", "0", 10)]
    native = [(when, data(number, encapsulated=False, ttl=63)) for number, (when, _) in zip(numbers, b, strict=True)]
    assert rewritten(compared(tmp_path, a, native))[1, "encapsulation"] == [("UDP", "IP", 10)]


def test_don_t_fragment_congestion_identification_and_content_are_compared(tmp_path: Path) -> None:
    numbers = range(1, 11)
    a = [
        (
            number * MILLISECOND,
            ethernet(
                ipv4(udp(bytes([1]) * 8 + b"x" * 80, 4500, 4500), 17, HERE, THERE, flags=2, identification=number)
            ),
        )
        for number in numbers
    ]
    a = [
        (when, frame.replace(bytes([1]) * 8, struct.pack(">II", 0x1000, number)))
        for number, (when, frame) in zip(numbers, a, strict=True)
    ]
    b = [
        (when + 1000, frame[:14] + frame[14:15] + b"\x03" + frame[16:18] + b"\xaa\xaa" + b"\0\0" + b"\x3f" + frame[23:])
        for when, frame in a
    ]
    b[4] = (b[4][0], b[4][1][: -1 - 79] + b"y" * 80)
    found = rewritten(compared(tmp_path, a, b))
    assert found[1, "DF"] == [("1", "0", 10)]
    assert found[1, "ECN"] == [("0", "3", 10)]
    assert found[1, "IP identification"] == [("", "", 10)]
    assert found[1, "content"] == [("", "", 1)]


def fragments(frame: bytes, size: int, *, identification: int = 7) -> list[bytes]:
    """An Ethernet frame's IPv4 packet in fragments with ``size`` octets of payload each."""
    payload = frame[34:]
    source, target = (".".join(map(str, frame[at : at + 4])) for at in (26, 30))
    return [
        ethernet(
            ipv4(
                payload[at : at + size],
                frame[23],
                source,
                target,
                identification=identification,
                offset=at,
                flags=int(at + size < len(payload)),
                ttl=63,
            )
        )
        for at in range(0, len(payload), size)
    ]


@pytest.mark.parametrize("left", [0, 1], ids=["the first", "the last"])
def test_fragmented_packets_are_the_same_and_partial_ones_are_incomplete(tmp_path: Path, left: int) -> None:
    a, b = exchange(10)
    a, b = [*a, (0, message())], [*b, (5 * MILLISECOND, message(ttl=63))]
    large = data(11, size=1400, identification=7)
    pieces = fragments(large, 736)
    sent, arrives = 500 * MILLISECOND, 505 * MILLISECOND
    whole = compared(tmp_path, [*a, (sent, large)], [*b, *((arrives + n, piece) for n, piece in enumerate(pieces))])
    assert set(states(whole, 0)) == {"PAIRED"}
    assert rewritten(whole)[1, "IP fragments"] == [("1", "2", 1)]
    part = compared(tmp_path, [*a, (sent, large)], [*b, (arrives, pieces[left])])
    assert states(part, 0).count("INCOMPLETE") == 1
    assert states(part, 1).count("PART") == 1
    assert list(part.remains[0]) == [states(part, 0).index("INCOMPLETE")]


def test_keepalives_are_paired_by_time_through_a_nat(tmp_path: Path) -> None:
    numbers = range(1, 30)
    a = [(number * SECOND, data(number)) for number in numbers]
    b = [(number * SECOND + MILLISECOND, data(number, outside=True)) for number in numbers]
    kept = [(when * SECOND + SECOND // 2, keepalive()) for when in (3, 13, 23)]
    passed = [(when * SECOND + SECOND // 2 + MILLISECOND, keepalive(outside=True)) for when in (3, 23)]
    found = compared(tmp_path, [*a, *kept], [*b, *passed])
    rows = np.flatnonzero(found.a.kind == 4).tolist()
    assert [states(found, 0)[row] for row in rows] == ["PAIRED", "LOST", "PAIRED"]


def test_overtaken_packets_are_told_by_flow(tmp_path: Path) -> None:
    a, b = exchange(20)
    late = [(when + 250 * MILLISECOND if frame == data(5, ttl=63) else when, frame) for when, frame in b]
    found = compared(tmp_path, a, late)
    assert [int(found.a.seq[found.pairs[0][number]]) for number in found.late.tolist()] == [5]


def test_a_short_snap_length_at_one_tap_hides_no_packet(tmp_path: Path) -> None:
    a, b = exchange(20)
    assert set(states(compared(tmp_path, a, b, snaplen=64), 0)) == {"PAIRED"}


def test_copies_of_the_recorder_are_no_packets(tmp_path: Path) -> None:
    a, b = exchange(10)
    mirrored = [(when + 1000, ethernet(vlan(frame[14:]), 0x8100)) for when, frame in a]
    found = compared(tmp_path, [*a, *mirrored], b)
    assert states(found, 0).count("COPY") == 20
    assert states(found, 0).count("PAIRED") == 20


def test_the_same_spi_both_ways_is_told_by_content(tmp_path: Path) -> None:
    """Manual keys often use one SPI in both directions, with equal numbers and lengths."""
    numbers = range(1, 6)
    there = [(n * SECOND, data(n, salt=1)) for n in numbers]
    back = [
        (n * SECOND + 1, data(n, salt=2)[:26] + packed(THERE) + packed(HERE) + data(n, salt=2)[34:]) for n in numbers
    ]
    b = [(when + MILLISECOND, frame) for when, frame in there] + [(when - MILLISECOND, frame) for when, frame in back]
    found = compared(tmp_path, [*there, *back], b)
    assert set(states(found, 0)) == {"PAIRED"}
    assert "content" not in {each.field for each in changes(found)}


def test_captures_with_nothing_in_common_prove_nothing(tmp_path: Path) -> None:
    a, _ = exchange(5)
    _, other = exchange(5)
    other = [
        (
            when,
            frame.replace(b"\x00\x00\x10\x00", b"\x00\x00\x77\x00").replace(b"\x00\x00\x20\x00", b"\x00\x00\x88\x00"),
        )
        for when, frame in other
    ]
    found = compared(tmp_path, a, other)
    assert set(states(found, 0)) == {"MISSING"}
    assert found.clock.basis == "none"
    empty = compared(tmp_path, a, [])
    assert set(states(empty, 0)) == {"MISSING"}
    assert set(states(compared(tmp_path, [], a), 1)) == {"MISSING"}


Fate = tuple[bool, bool, int]  # the packet goes back, it is lost, it is kept back for so many milliseconds


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    fates=st.lists(
        st.tuples(st.booleans(), st.integers(0, 9).map(lambda n: n == 0), st.integers(0, 40)), min_size=6, max_size=60
    ),
    offset=st.integers(-(10**12), 10**12),
    drift=st.sampled_from([0.0, 30e-6, -80e-6]),
)
def test_every_fate_is_recovered_whatever_the_clock(
    tmp_path: Path, fates: list[Fate], offset: int, drift: float
) -> None:
    """Law: what was lost is what is said to be lost, in a capture that begins and ends with packets that pass."""
    fates = [(False, False, 0), (True, False, 0), *fates, (False, False, 0), (True, False, 0)]
    seen: tuple[list[Seen], list[Seen]] = ([], [])
    for number, (back, lost, kept) in enumerate(fates, 1):
        sent = number * 60 * MILLISECOND
        first, second = (seen[1], seen[0]) if back else (seen[0], seen[1])
        first.append((sent, data(number, back=back)))
        if not lost:
            second.append((sent + (5 + kept) * MILLISECOND, data(number, back=back, ttl=63)))
    skewed = [(when + offset + round(when * drift), frame) for when, frame in seen[1]]
    low = min(when for when, _ in skewed)
    shift = max(0, -low)
    found = compared(tmp_path, [(when + shift, f) for when, f in seen[0]], [(when + shift, f) for when, f in skewed])
    expected = {(back, number) for number, (back, lost, _) in enumerate(fates, 1) if lost}
    said = {
        (side == 1, int(found.tap(side).seq[row]))
        for side in (0, 1)
        for row in np.flatnonzero(found.states(side) == int(State.LOST)).tolist()
    }
    assert said == expected
    assert found.clock.basis == "both directions"


@pytest.mark.parametrize(("scenario", "one", "two"), LAB_PAIRS, ids=lambda each: each)
def test_either_order_says_the_same_of_the_lab(shared: Path, scenario: str, one: str, two: str) -> None:
    del shared
    a, b = (read_tap(str(LAB / scenario / f"{name}.pcap")) for name in (one, two))
    forth, back = Comparison(a, b), Comparison(b, a)
    assert states(forth, 0) == states(back, 1)
    assert states(forth, 1) == states(back, 0)
    assert forth.clock.offset_ns == -back.clock.offset_ns
    assert (forth.way(0) == -back.way(1)).all()
    assert len(forth.pairs[0]) > 0


def test_two_interfaces_of_one_capture_are_two_taps() -> None:
    from conftest import ROOT

    path = str(ROOT / "captures" / "ikev2-nat.pcapng")
    assert interfaces_of(path) == ["inside", "outside"]
    one, two = (read_tap(path, interface=number) for number in (0, 1))
    found = Comparison(one, two)
    assert set(states(found, 0)) == {"PAIRED"}
    assert {each.field for each in changes(found)} >= {"source", "destination"}


def test_limit_of_packets_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.timeline.tap.MAX_PACKETS", 10)
    a, b = exchange(20)
    one, _ = taps(tmp_path, a, b)
    assert isinstance(one, Tap)
    assert len(one) == 0
    assert [note.kind for note in one.notes] == ["tap.limit"]
