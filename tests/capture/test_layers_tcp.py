"""IKE and ESP in TCP streams (RFC 8229, RFC 9329): cut anywhere, in any order, from the middle, with losses."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import SPI_R, A, B, esp, ethernet, frame, ike, ipv4, tcp

from ipsecscope.capture import tcp as streams
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.pipeline import Pipeline

PREFIX = b"IKETCP"
IKE = ike(300)
SYN, ACK, RST, DATA = 0x02, 0x10, 0x04, 0x18


def framed(*messages: bytes) -> bytes:
    """Each message behind its length, which counts itself; IKE behind four zero octets."""
    bodies = [bytes(4) + each if each.startswith(b"initiate") else each for each in messages]
    return b"".join((len(each) + 2).to_bytes(2, "big") + each for each in bodies)


MESSAGES = (
    IKE,
    esp(seq=1, size=100),
    b"\xff",
    esp(seq=2, size=60),
    ike(200, exchange=37, first=46, spi_r=SPI_R),
    esp(seq=3),
)
KINDS = [Kind.IKE, Kind.ESP, Kind.KEEPALIVE, Kind.ESP, Kind.IKE, Kind.ESP]
STREAM = framed(*MESSAGES)

Part = tuple[int, bytes]


def segment(data: bytes, seq: int, *, flags: int = DATA, sport: int = 40000, dport: int = 4500) -> bytes:
    return ipv4(tcp(data, sport, dport, seq=seq, flags=flags), 6, identification=seq & 0xFFFF)


def back(data: bytes, seq: int, *, flags: int = DATA, sport: int = 4500, dport: int = 40000) -> bytes:
    return ipv4(tcp(data, sport, dport, seq=seq, flags=flags), 6, B, A, identification=seq & 0xFFFF)


def cut(data: bytes, sizes: Iterable[int], first: int = 1000) -> list[Part]:
    parts, at = [], 0
    for size in sizes:
        parts.append((first + at, data[at : at + size]))
        at += size
    parts.append((first + at, data[at:]))
    return [part for part in parts if part[1]]


def run(datas: Sequence[bytes], *, finish: bool = True) -> tuple[list[Datagram], Pipeline]:
    pipeline = Pipeline()
    found = []
    for number, data in enumerate(datas, 1):
        found += pipeline.feed(frame(data, number, link_type=101))
    if finish:
        found += pipeline.finish()
    return found, pipeline


def handshake(first: int = 1000, **ports: int) -> bytes:
    return segment(b"", first - 1, flags=SYN, **ports)


def test_stream_is_cut_into_its_messages() -> None:
    found, pipeline = run([handshake(), segment(PREFIX + STREAM, 1000)])
    assert [each.kind for each in found] == KINDS
    assert [each.payload for each in found] == list(MESSAGES)
    assert {each.encapsulation for each in found} == {Encapsulation.TCP}
    assert [each.marker for each in found] == [kind is Kind.IKE for kind in KINDS]
    assert [each.missing for each in found] == [0] * 6
    assert {each.layers for each in found} == {("RAW", "IPv4", "TCP")}
    assert pipeline.notes == []


def test_message_in_one_segment_knows_its_place_and_packet() -> None:
    data = ethernet(segment(PREFIX + STREAM, 1000))
    pipeline = Pipeline()
    found = pipeline.feed(frame(data, 3))
    for each in found:
        assert each.offset is not None
        assert data[each.offset :][: len(each.payload)] == each.payload
        assert each.packet == data[14:]
        assert each.frames == (3,)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64, 299, 306])
def test_stream_in_segments_of_any_size_gives_the_same_messages(size: int) -> None:
    data = PREFIX + STREAM
    parts = cut(data, [size] * (len(data) // size))
    found, _ = run([handshake(), *(segment(piece, seq) for seq, piece in parts)])
    assert [each.payload for each in found] == list(MESSAGES)
    assert found[0].frames == tuple(range(1 + 1 + 6 // size, found[0].frames[-1] + 1))


@given(st.data())
@settings(max_examples=60)
def test_any_cut_any_order_any_repeats_give_the_same_messages(data: st.DataObject) -> None:
    stream = PREFIX + STREAM
    sizes = data.draw(st.lists(st.integers(1, 200), max_size=12))
    parts = cut(stream, sizes)
    order = data.draw(st.permutations(parts))
    repeats = data.draw(st.lists(st.sampled_from(parts), max_size=4))
    found, pipeline = run([handshake(), *(segment(piece, seq) for seq, piece in [*order, *repeats])])
    assert [each.payload for each in found] == list(MESSAGES)
    assert pipeline.notes == []


def test_sequence_numbers_wrap() -> None:
    first = 0xFFFFFF00
    parts = cut(PREFIX + STREAM, [100] * 8, first)
    found, _ = run([handshake(first), *(segment(piece, seq) for seq, piece in parts)])
    assert [each.payload for each in found] == list(MESSAGES)


def test_overlapping_retransmission_keeps_the_first_octets() -> None:
    stream = PREFIX + STREAM
    datas = [segment(stream[:200], 1000), segment(bytes(100) + stream[200:400], 1100), segment(stream[400:], 1400)]
    found, _ = run([handshake(), *datas])
    assert [each.payload for each in found] == list(MESSAGES)


def test_both_directions_are_streams_of_their_own() -> None:
    """The side that answers sends no prefix."""
    datas = [
        handshake(),
        back(b"", 5000, flags=SYN | ACK),
        segment(PREFIX + framed(IKE), 1000),
        back(framed(ike(280, flags=0x20, spi_r=SPI_R)), 5001),
        back(framed(esp(spi=0xAAAA0001)), 5001 + 286),
    ]
    found, _ = run(datas)
    assert [(each.kind, each.src) for each in found] == [(Kind.IKE, A), (Kind.IKE, B), (Kind.ESP, B)]


def test_prefix_on_any_port_starts_a_conversation() -> None:
    datas = [
        segment(PREFIX + framed(IKE), 1000, sport=40001, dport=443),
        back(framed(ike(280, flags=0x20, spi_r=SPI_R)), 5001, sport=443, dport=40001),
        segment(framed(esp()), 1000 + 6 + 306, sport=40001, dport=443),
    ]
    found, _ = run(datas)
    assert [each.kind for each in found] == [Kind.IKE, Kind.IKE, Kind.ESP]


def test_other_tcp_is_left_alone() -> None:
    found, pipeline = run([segment(STREAM, 1000, sport=40001, dport=443), segment(b"GET / HTTP/1.1", 9, dport=80)])
    assert (found, pipeline.other) == ([], 2)


def test_stream_from_its_middle_is_taken_up_at_a_message() -> None:
    found, _ = run(
        [segment(framed(esp(seq=7, size=100), esp(seq=8, size=100)), 1000), segment(framed(esp(seq=9)), 1204)]
    )
    assert [int.from_bytes(each.payload[4:8], "big") for each in found] == [7, 8, 9]


def test_stream_from_the_middle_of_a_message_is_taken_up_at_the_next() -> None:
    data = framed(esp(seq=7, size=400), IKE, esp(seq=8, size=100))
    found, pipeline = run([segment(data[150:], 1150)])
    assert [each.payload for each in found] == [IKE, esp(seq=8, size=100)]
    assert [note.kind for note in pipeline.notes] == ["tcp.resynchronised"]


def test_foreign_stream_on_the_port_gives_nothing_and_is_not_kept() -> None:
    text = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n" * 30
    datas = [handshake(), *(segment(text, 1000 + n * len(text)) for n in range(100))]
    found, pipeline = run(datas, finish=False)
    assert found == []
    assert pipeline._streams._held < 10_000
    assert pipeline.finish() == []


def lossy(lost: int, size: int = 250, count: int = 20) -> tuple[list[bytes], list[bytes]]:
    """A stream of ESP packets in segments that do not respect them, without segment ``lost``."""
    messages = [esp(seq=n, size=180 + n) for n in range(1, count)]
    data = PREFIX + framed(IKE, *messages)
    parts = cut(data, [size] * (len(data) // size))
    return messages, [handshake(), *(segment(piece, seq) for n, (seq, piece) in enumerate(parts) if n != lost)]


@pytest.mark.parametrize("lost", [2, 3, 7, 10])
def test_lost_segment_costs_only_the_messages_it_held(lost: int) -> None:
    messages, datas = lossy(lost)
    found, pipeline = run(datas)
    whole = [each.payload for each in found if not each.missing]
    assert len([each for each in messages if each not in whole]) <= 3
    assert whole[-1] == messages[-1]
    partial = [each for each in found if each.missing]
    assert all(any(message.startswith(each.payload) for message in messages) for each in partial)
    assert "tcp.gap" in {note.kind for note in pipeline.notes}


def test_gap_is_given_up_when_too_much_waits_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_AHEAD", 3000)
    _, datas = lossy(2)
    found, _ = run(datas, finish=False)
    assert len(found) > 8


def test_gap_too_wide_for_a_hole_starts_anew() -> None:
    data = framed(esp(seq=2, size=100), esp(seq=3, size=100))
    datas = [handshake(), segment(PREFIX + framed(IKE, esp(size=100))[:350], 1000), segment(data, 1000 + 500_000)]
    found, pipeline = run(datas)
    assert [each.kind for each in found] == [Kind.IKE, Kind.ESP, Kind.ESP, Kind.ESP]
    assert found[1].missing > 0
    assert [note.kind for note in pipeline.notes] == ["tcp.gap"]


def test_segments_cut_by_the_snap_length_give_beginnings() -> None:
    messages = [esp(seq=n, size=400) for n in range(1, 6)]
    datas, at = [handshake(), segment(PREFIX, 1000)], 1006
    for each in messages:
        datas.append(segment(framed(each), at))
        at += len(each) + 2
    pipeline = Pipeline()
    found = []
    for number, data in enumerate(datas, 1):
        found += pipeline.feed(frame(data[:96], number, link_type=101, original=len(data)))
    assert [(each.kind, each.wire_length) for each in found] == [(Kind.ESP, 400)] * 5
    assert [each.payload for each in found] == [each[: 96 - 42] for each in messages]


def test_message_that_the_capture_ends_in_is_delivered_with_what_is_missing() -> None:
    found, _ = run([handshake(), segment((PREFIX + framed(IKE))[:100], 1000)])
    assert [(each.kind, each.payload, each.missing) for each in found] == [(Kind.IKE, IKE[:88], 212)]


def test_message_too_short_to_say_more_is_unreadable() -> None:
    found, _ = run([handshake(), segment(PREFIX + framed(b"\x01\x02\x03\x04\x05"), 1000)])
    assert [(each.kind, each.payload) for each in found] == [(Kind.UNREADABLE, b"\x01\x02\x03\x04\x05")]


def test_length_that_counts_less_than_itself_loses_and_finds_the_count() -> None:
    data = PREFIX + framed(IKE) + b"\x00\x01" + framed(ike(200), esp())
    found, pipeline = run([handshake(), segment(data, 1000)])
    assert [each.payload for each in found] == [IKE, ike(200), esp()]
    assert [note.kind for note in pipeline.notes] == ["tcp.resynchronised"]


def test_empty_messages_are_skipped() -> None:
    found, _ = run([handshake(), segment(PREFIX + b"\x00\x02" + framed(IKE), 1000)])
    assert [each.payload for each in found] == [IKE]


def test_new_connection_on_the_same_ports_is_a_new_stream() -> None:
    datas = [
        handshake(),
        segment((PREFIX + framed(IKE))[:100], 1000),
        handshake(90_000),
        segment(PREFIX + framed(ike(200)), 90_000),
    ]
    found, _ = run(datas)
    assert [(each.wire_length, each.missing) for each in found] == [(300, 212), (200, 0)]


def test_reset_ends_a_stream() -> None:
    datas = [handshake(), segment((PREFIX + framed(IKE))[:100], 1000), segment(b"", 1100, flags=RST)]
    found, pipeline = run(datas, finish=False)
    assert [each.missing for each in found] == [212]
    assert len(pipeline._streams._streams) == 0


def test_streams_are_bounded_in_number_and_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 50)
    datas = [segment(PREFIX + framed(IKE)[:50], 1000, sport=port) for port in range(10_000, 10_200)]
    found, pipeline = run(datas, finish=False)
    assert len(pipeline._streams._streams) == 50
    assert len(found) == 150
    assert [note.kind for note in pipeline.notes] == ["tcp.limit"]
    pipeline.finish()
    assert pipeline._streams._held == 0


def test_many_octets_waiting_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_HELD", 20_000)
    datas = [segment(bytes(1000), 50_000, sport=port) for port in range(10_000, 10_100)]
    _, pipeline = run([*(handshake(sport=port) for port in range(10_000, 10_100)), *datas], finish=False)
    assert pipeline._streams._held <= 20_000


def test_known_conversations_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_STREAMS", 5)
    _, pipeline = run([segment(PREFIX + framed(IKE), 1000, sport=port, dport=443) for port in range(10_000, 10_020)])
    assert len(pipeline.known.tcp) == 5


@given(
    st.lists(
        st.tuples(st.integers(0, 3000), st.binary(max_size=60), st.sampled_from([DATA, SYN, RST, ACK])), max_size=30
    )
)
def test_any_segments_on_the_port_are_survived(parts: list[tuple[int, bytes, int]]) -> None:
    _, pipeline = run([segment(data, seq, flags=flags) for seq, data, flags in parts])
    assert pipeline._streams._held == 0


@given(st.binary(max_size=400), st.lists(st.integers(1, 90), max_size=8))
def test_any_octets_behind_the_prefix_are_survived(data: bytes, sizes: list[int]) -> None:
    parts = cut(PREFIX + framed(IKE) + data + framed(IKE, esp()), sizes)
    found, _ = run([handshake(), *(segment(piece, seq) for seq, piece in parts)])
    assert found[0].kind is Kind.IKE
