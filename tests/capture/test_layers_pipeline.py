"""Frames through the whole pipeline: copies of packets, counters, notes, and frames that nobody should send."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import START, A, B, ah, esp, ethernet, frame, gre, icmp_error, ike, ipv4, ipv6, tcp, udp, vlan

from ipsecscope.capture import duplicates, pipeline
from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.link import LINK_LAYERS
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.records import Frame

IKE = ipv4(udp(ike()), 17)
ESP = ipv4(esp(), 50)
KEEPALIVE = ipv4(udp(b"\xff", 4500, 4500), 17)
PLAIN, TAGGED = ethernet(ESP), ethernet(vlan(ESP), 0x8100)
MILLISECOND = 1_000_000


def marks(*frames: Frame) -> list[int | None]:
    line = Pipeline()
    return [each.duplicate_of for each in (found for one in frames for found in line.feed(one))]


def test_tagged_copy_counts_once() -> None:
    assert marks(frame(PLAIN, 1), frame(TAGGED, 2)) == [None, 1]


def test_copy_inside_a_tunnel_counts_once() -> None:
    assert marks(frame(PLAIN, 1), frame(ethernet(ipv4(gre(ESP), 47)), 2)) == [None, 1]


def test_three_copies_all_point_to_the_first() -> None:
    assert marks(frame(PLAIN, 1), frame(TAGGED, 2), frame(ethernet(vlan(ESP, 7), 0x8100), 3)) == [None, 1, 1]


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(IKE, id="ike"),
        pytest.param(KEEPALIVE, id="keepalive"),
        pytest.param(ipv4(icmp_error(3, 3, IKE), 1), id="icmp"),
    ],
)
def test_same_frame_twice_counts_once(packet: bytes) -> None:
    assert marks(frame(ethernet(packet), 1), frame(ethernet(packet), 2, time_ns=START + MILLISECOND)) == [None, 1]


def test_same_esp_frame_twice_is_left_to_its_sequence_number() -> None:
    """It may have been replayed, or doubled by the network: the receiver sees it, so it counts."""
    assert marks(frame(PLAIN, 1), frame(PLAIN, 2)) == [None, None]
    packet = ethernet(ipv4(ah(bytes(20)), 51))
    assert marks(frame(packet, 1), frame(packet, 2)) == [None, None]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(frame(ethernet(IKE), 1), frame(ethernet(IKE), 2, time_ns=START + MILLISECOND + 1), id="later"),
        pytest.param(frame(ethernet(IKE), 1), frame(ethernet(IKE), 2 + duplicates.MAX_DISTANCE), id="far"),
        pytest.param(frame(ethernet(IKE), 1), frame(ethernet(IKE), 2, file=1), id="other-file"),
        pytest.param(frame(ethernet(IKE), 1, time_ns=0), frame(ethernet(IKE), 2, time_ns=0), id="no-clock"),
        pytest.param(
            frame(ethernet(IKE), 1), frame(ethernet(ipv4(udp(ike()), 17, identification=9)), 2), id="identification"
        ),
        pytest.param(frame(PLAIN, 1), frame(ethernet(vlan(ipv4(esp(), 50, ttl=63)), 0x8100), 2), id="routed"),
    ],
)
def test_packet_that_is_not_the_same_is_no_copy(first: Frame, second: Frame) -> None:
    assert marks(first, second) == [None, None]


def test_both_datagrams_of_ah_and_esp_are_marked() -> None:
    packet = ipv4(ah(esp(), 50), 51)
    assert marks(frame(ethernet(packet), 1), frame(ethernet(vlan(packet), 0x8100), 2)) == [None, None, 1, 1]


def test_packets_remembered_for_their_copies_are_bounded() -> None:
    line = Pipeline()
    for number in range(1, 10_001):
        line.feed(frame(ethernet(ipv4(udp(ike(message_id=number)), 17)), number, file=number % 3))
    assert len(line.duplicates._seen) <= 2 * duplicates._PRUNE_AT
    last = ethernet(ipv4(udp(ike(message_id=10_000)), 17))
    assert [each.duplicate_of for each in line.feed(frame(last, 10_001, file=1))] == [10_000]


def test_frames_and_noise_are_counted() -> None:
    line = Pipeline()
    for number, packet in enumerate((IKE, ipv4(bytes(40), 89), ESP, ipv4(tcp(b"x", 1, 2), 6)), 1):
        line.feed(frame(packet, number, link_type=101))
    assert (line.frames, line.other) == (4, 2)


def test_notes_beyond_the_limit_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_NOTES", 3)
    line = Pipeline()
    for number in range(1, 11):
        line.feed(frame(ipv4(bytes(1480), 50, offset=65_528, identification=number), number, link_type=101))
    assert [note.kind for note in line.notes] == ["ip.fragment-oversize"] * 3 + ["capture.limit"]
    assert line.notes_not_listed == 7


def test_conversations_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "MAX_PAIRS", 4)
    line = Pipeline()
    for port in range(6000, 6020):
        line.feed(frame(ipv4(udp(bytes(4) + ike(), port, port), 17, f"10.0.0.{port - 5999}"), port, link_type=101))
    assert (len(line.known.nat_t), len(line._partners)) == (4, 4)


# -- hostile frames ------------------------------------------------------------------------------------------------

SEEDS = [
    (1, PLAIN),
    (1, TAGGED),
    (1, ethernet(IKE)),
    (1, ethernet(KEEPALIVE, pad=60)),
    (1, ethernet(ipv6(udp(bytes(4) + ike(), 4500, 4500), 17), 0x86DD)),
    (1, ethernet(ipv6(b"\x2c\x00" + bytes(6) + b"\x11\x00\x00\x01\x00\x00\x00\x07" + bytes(40), 0), 0x86DD)),
    (1, ethernet(ipv4(esp(), 50, flags=1))),
    (1, ethernet(ipv4(ah(esp(), 50), 51))),
    (1, ethernet(ipv4(tcp(b"IKETCP" + b"\x00\x56" + bytes(4) + ike()), 6))),
    (1, ethernet(ipv4(icmp_error(3, 4, ESP, 1400), 1))),
    (1, ethernet(ipv4(gre(ESP), 47))),
    (1, ethernet(ipv4(udp(b"\x08\x00\x00\x00\x00\x00\x05\x00" + PLAIN, 5, 4789), 17))),
    (1, ethernet(ipv4(udp(b"\x34\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x85\x01\x00\x00\x00" + ESP, 5, 2152), 17))),
    (1, ethernet(b"\x11\x00\x00\x01\x00\x00\x00\x21" + ESP, 0x8864)),
    (1, ethernet(b"\x00\x01\x01\x40" + ESP, 0x8847)),
    (0, b"\x02\x00\x00\x00" + IKE),
    (113, bytes(14) + b"\x08\x00" + IKE),
    (9, b"\xff\x03\x00\x21" + IKE),
    (101, ipv4(udp(b"\x02\x02\x00\x01\x00\x01\x00\x00\xff\x03\x00\x21" + ESP, 5, 1701), 17)),
]
LINK_TYPES = sorted(LINK_LAYERS)


def survive(datas: list[tuple[int, bytes]]) -> None:
    line = Pipeline()
    found: list[Datagram] = []
    for number, (link_type, data) in enumerate(datas, 1):
        found += line.feed(frame(data, number, link_type=link_type))
    found += line.finish()
    for each in found:
        assert isinstance(each.kind, Kind)
        assert each.missing >= 0
        assert each.src
        assert each.dst
        assert (each.quoted is not None) == (each.kind is Kind.ICMP)
        if each.offset is not None:
            assert datas[each.frame - 1][1][each.offset :][: len(each.payload)] == each.payload
    assert line.frames == len(datas)


@given(st.lists(st.tuples(st.sampled_from(LINK_TYPES), st.binary(max_size=200)), max_size=6))
def test_random_frames_never_raise(datas: list[tuple[int, bytes]]) -> None:
    survive(datas)


@st.composite
def mutated(draw: st.DrawFn) -> tuple[int, bytes]:
    link_type, data = draw(st.sampled_from(SEEDS))
    octets = bytearray(data)
    for place, value in draw(st.lists(st.tuples(st.integers(0, len(data) - 1), st.integers(0, 255)), max_size=6)):
        octets[place] = value
    return link_type, bytes(octets[: draw(st.integers(0, len(octets)))] if draw(st.booleans()) else octets)


@given(st.lists(mutated(), min_size=1, max_size=6))
@settings(max_examples=300)
def test_mutated_frames_never_raise(datas: list[tuple[int, bytes]]) -> None:
    survive(datas)


@pytest.mark.parametrize("seed", range(len(SEEDS)))
def test_frames_with_any_octet_turned_over_never_raise(seed: int) -> None:
    link_type, data = SEEDS[seed]
    survive([(link_type, data[:at] + bytes((data[at] ^ 0xFF,)) + data[at + 1 :]) for at in range(len(data))])


def test_senders_and_receivers_are_told_apart() -> None:
    (found,) = Pipeline().feed(frame(IKE, link_type=101))
    assert (found.src, found.dst) == (A, B)
