"""Columns of ESP, AH and keepalives: their values, what they leave to the scalar path, and what they cost."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from packets import START, A, B, ah, esp, ethernet, extension, frame, frames, ike, ipv4, ipv6, records, tcp, udp, vlan

from ipsecscope.capture import copies
from ipsecscope.capture.columns import Columns, classify
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.records import Frame, Records

MARKER = bytes(4)


class Watched(Pipeline):
    """A pipeline that remembers which frames were handed to the scalar path."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def read(self, frame: Frame) -> list[object]:  # type: ignore[override]
        self.seen.append(frame.number)
        return super().read(frame)  # type: ignore[return-value]


def columns_of(datas: Sequence[bytes], link_type: int = 1) -> Columns:
    return classify(records(frames(datas, link_type=link_type)), Pipeline())[0]


def test_esp_packet_has_every_column() -> None:
    data = ethernet(ipv4(udp(esp(7, 8, 100), 4500, 61000), 17, ttl=61, tos=0xB8))
    columns = columns_of([data])
    row = {
        name: getattr(columns, name)[0].item()
        for name in ("frame", "time_ns", "sport", "dport", "spi", "seq", "length")
    }
    assert row == {
        "frame": 1,
        "time_ns": START + 10_000_000,
        "sport": 4500,
        "dport": 61000,
        "spi": 7,
        "seq": 8,
        "length": 100,
    }
    assert (columns.kind[0], columns.encapsulation[0]) == (Kind.ESP, Encapsulation.UDP)
    assert (columns.addresses[columns.src[0]], columns.addresses[columns.dst[0]]) == (A, B)
    assert (columns.ttl[0], columns.dscp[0], columns.missing[0], columns.file[0]) == (61, 46, 0, 0)
    assert columns.payload(0) == esp(7, 8, 100)
    assert columns.packet(0) == data[14:]
    assert columns.buffer[columns.offset[0] :][:100] == esp(7, 8, 100)


def test_column_types_are_those_promised() -> None:
    for columns in (columns_of([ethernet(ipv4(esp(), 50))]), columns_of([ethernet(bytes(40), 0x0806)])):
        types = {
            name: getattr(columns, name).dtype.str.lstrip("<|")
            for name in ("frame", "kind", "sport", "spi", "offset", "ttl")
        }
        assert types == {"frame": "i8", "kind": "u1", "sport": "u2", "spi": "u4", "offset": "i8", "ttl": "u1"}


def test_ah_and_keepalive_rows_have_their_numbers() -> None:
    columns = columns_of(
        [ethernet(ipv4(ah(bytes(20), spi=5, seq=6), 51)), ethernet(ipv4(udp(b"\xff", 4500, 4500), 17), pad=60)]
    )
    assert columns.kind.tolist() == [Kind.AH, Kind.KEEPALIVE]
    assert columns.spi.tolist() == [5, 0]
    assert columns.seq.tolist() == [6, 0]
    assert columns.length.tolist() == [44, 1]


FAST = [
    pytest.param(1, ethernet(ipv4(esp(), 50)), id="ethernet-ipv4-esp"),
    pytest.param(1, ethernet(ipv6(esp(), 50), 0x86DD), id="ethernet-ipv6-esp"),
    pytest.param(1, ethernet(vlan(ipv4(esp(), 50)), 0x8100), id="vlan"),
    pytest.param(1, ethernet(vlan(ipv6(udp(esp(), 4500, 4500), 17), 5, 0x86DD), 0x8100), id="vlan-ipv6-udp"),
    pytest.param(1, ethernet(ipv4(udp(esp(), 4500, 4500), 17)), id="udp"),
    pytest.param(1, ethernet(ipv4(udp(b"\xff", 4500, 4500), 17)), id="keepalive"),
    pytest.param(1, ethernet(ipv4(ah(bytes(20)), 51)), id="ah"),
    pytest.param(101, ipv4(esp(), 50), id="raw"),
    pytest.param(113, bytes(14) + b"\x08\x00" + ipv4(esp(), 50), id="sll"),
    pytest.param(276, b"\x08\x00" + bytes(18) + ipv4(esp(), 50), id="sll2"),
    pytest.param(0, b"\x02\x00\x00\x00" + ipv4(esp(), 50), id="null"),
    pytest.param(1, ethernet(ipv4(esp(size=1000), 50))[:96], id="cut"),
]
MESSAGES = [
    pytest.param(1, ethernet(ipv4(udp(ike()), 17)), id="ike"),
    pytest.param(1, ethernet(ipv4(udp(ike(), 848, 50000), 17)), id="gdoi"),
    pytest.param(1, ethernet(vlan(ipv6(udp(ike(), 500, 50000), 17), 5, 0x86DD), 0x8100), id="ike-vlan-ipv6"),
    pytest.param(1, ethernet(ipv4(udp(MARKER + ike(), 4500, 4500), 17)), id="ike-marker"),
    pytest.param(113, bytes(14) + b"\x08\x00" + ipv4(udp(ike()), 17), id="ike-sll"),
    pytest.param(1, ethernet(ipv4(udp(ike(1000)), 17))[:96], id="ike-cut"),
]
NOISE = [
    pytest.param(1, ethernet(bytes(46), 0x0806), id="arp"),
    pytest.param(1, ethernet(ipv4(tcp(bytes(100), 443, 50000), 6)), id="tcp"),
    pytest.param(1, ethernet(ipv4(udp(bytes(100), 53, 50000), 17)), id="udp"),
    pytest.param(1, ethernet(ipv6(udp(bytes(100), 53, 50000), 17), 0x86DD), id="udp-ipv6"),
    pytest.param(1, ethernet(ipv4(b"\x08\x00" + bytes(40), 1)), id="ping"),
    pytest.param(1, ethernet(ipv4(bytes(40), 89)), id="ospf"),
    pytest.param(147, bytes(100), id="unknown-link-type"),
]
SLOW = [
    pytest.param(1, ethernet(ipv4(udp(MARKER + ike()), 17)), id="ike-marker-500"),
    pytest.param(1, ethernet(ipv4(udp(ike()[:10]), 17)), id="ike-short"),
    pytest.param(1, ethernet(ipv4(udp(MARKER + ike()[:10], 4500, 4500), 17)), id="ike-marker-short"),
    pytest.param(1, ethernet(ipv4(udp(ike(), 4500, 4500), 17)), id="ike-without-marker"),
    pytest.param(1, ethernet(ipv4(udp(ike(), 1, 2), 17)), id="ike-odd-port"),
    pytest.param(1, ethernet(ipv4(udp(MARKER + ike(), 1, 2), 17)), id="ike-odd-port-marker"),
    pytest.param(1, ethernet(ipv4(esp(), 50, options=bytes(4))), id="options"),
    pytest.param(1, ethernet(ipv6(extension(50, esp()), 0), 0x86DD), id="extension-header"),
    pytest.param(1, ethernet(ipv4(ah(esp(), 50), 51)), id="ah-esp"),
    pytest.param(1, ethernet(vlan(vlan(ipv4(esp(), 50)), 5, 0x8100), 0x88A8), id="qinq"),
    pytest.param(1, ethernet(ipv4(esp(), 50, flags=1)), id="fragment"),
    pytest.param(1, ethernet(ipv4(tcp(b"", 40000, 4500), 6)), id="tcp-4500"),
    pytest.param(1, ethernet(ipv4(tcp(b"IKETCP", 40000, 443), 6)), id="tcp-prefix"),
    pytest.param(9, b"\x00\x21" + ipv4(esp(), 50), id="ppp"),
]


@pytest.mark.parametrize(("link_type", "data"), [*FAST, *MESSAGES, *NOISE])
def test_simple_shapes_and_noise_never_reach_the_scalar_path(link_type: int, data: bytes) -> None:
    line = Watched()
    classify(records([frame(data, link_type=link_type, original=2000)]), line)
    assert line.seen == []


@pytest.mark.parametrize(("link_type", "data"), SLOW)
def test_anything_else_is_handed_to_the_scalar_path(link_type: int, data: bytes) -> None:
    line = Watched()
    classify(records([frame(data, link_type=link_type)]), line)
    assert line.seen == [1]


def test_records_at_the_end_of_the_buffer_go_to_the_scalar_path() -> None:
    data = ethernet(ipv4(esp(size=20), 50))
    line = Watched()
    columns, _ = classify(records(frames([data] * 5), room=0), line)
    assert columns.frame.tolist() == [1, 2, 3, 4, 5]
    assert line.seen == [4, 5]


def test_rows_of_both_paths_are_in_record_order() -> None:
    simple, tagged_twice = ethernet(ipv4(esp(seq=1), 50)), ethernet(vlan(vlan(ipv4(esp(seq=2), 50)), 5, 0x8100), 0x88A8)
    columns = columns_of([simple, tagged_twice, ethernet(ipv4(ah(bytes(9)), 51)), tagged_twice, simple])
    assert columns.frame.tolist() == [1, 2, 3, 4, 5]
    assert columns.seq.tolist() == [1, 2, 1, 2, 1]


def test_reassembled_packet_is_kept_beside_the_buffer() -> None:
    data = esp(size=200)
    columns = columns_of([ethernet(ipv4(data[:120], 50, flags=1)), ethernet(ipv4(data[120:], 50, offset=120))])
    assert columns.offset[0] < 0
    assert columns.payload(0) == data
    assert columns.packet(0) == ipv4(data, 50)


def test_esp_in_tcp_becomes_a_row() -> None:
    stream = b"IKETCP" + b"\x00\x42" + esp(seq=77)
    columns = columns_of([ethernet(ipv4(tcp(stream[:30], seq=1), 6)), ethernet(ipv4(tcp(stream[30:], seq=31), 6))])
    assert (columns.frame.tolist(), columns.seq.tolist()) == ([2], [77])
    assert columns.encapsulation.tolist() == [Encapsulation.TCP]
    assert (columns.payload(0), columns.packet(0)) == (esp(seq=77), b"")


def test_conversation_that_becomes_known_in_a_window_brings_back_its_later_rows() -> None:
    """ESP on odd ports counts from the IKE message with marker on; the row before it does not."""
    packet = ethernet(ipv4(udp(esp(), 7000, 8000), 17))
    opener = ethernet(ipv4(udp(MARKER + ike(), 7000, 8000), 17))
    line = Pipeline()
    columns, _ = classify(records(frames([packet, opener, packet, packet])), line)
    assert columns.frame.tolist() == [3, 4]
    assert (line.frames, line.other) == (4, 1)
    columns, _ = classify(records([frame(packet, 5)]), line)
    assert columns.frame.tolist() == [5]


def test_tcp_conversation_that_becomes_known_brings_back_its_later_rows() -> None:
    datas = [
        ethernet(ipv4(tcp(b"IKETCP" + b"\x00\x42" + esp(), 40000, 443, seq=1), 6)),
        ethernet(ipv4(tcp(b"\x00\x42" + esp(seq=2), 40000, 443, seq=73), 6)),
    ]
    assert columns_of(datas).frame.tolist() == [1, 2]


def test_copies_are_marked_within_a_window_and_across_two() -> None:
    plain, tagged = ethernet(ipv4(esp(), 50)), ethernet(vlan(ipv4(esp(), 50)), 0x8100)
    line = Pipeline()
    first, _ = classify(records([frame(plain, 1), frame(tagged, 2)]), line)
    second, _ = classify(records([frame(tagged, 3), frame(plain, 4)]), line)
    assert first.duplicate_of.tolist() == [0, 1]
    assert second.duplicate_of.tolist() == [1, 0]


def test_copies_are_marked_in_files_that_are_read_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, tagged = ethernet(ipv4(esp(), 50)), ethernet(vlan(ipv4(esp(), 50)), 0x8100)
    line, found = Pipeline(), []
    turns = [(plain, 1, 0), (plain, 1, 1), (tagged, 2, 0), (tagged, 2, 1), (tagged, 259, 0), (plain, 260, 0)]
    for data, number, file in turns:
        columns, _ = classify(records([frame(data, number, file=file)]), line)
        found += columns.duplicate_of.tolist()
    assert found == [0, 0, 1, 1, 0, 259]
    monkeypatch.setattr(copies, "MAX_FILES", 3)
    for file in range(2, 20):
        classify(records([frame(plain, 1, file=file)]), line)
    assert len(line.copies._tails) == 3


def test_window_without_records_has_no_rows() -> None:
    line = Pipeline()
    columns, datagrams = classify(records([]), line)
    assert (len(columns), datagrams, line.frames) == (0, [], 0)


def bulk(count: int, size: int) -> Records:
    """``count`` ESP-in-UDP packets made from one template."""
    template = bytes(16) + ethernet(ipv4(udp(esp(size=size), 4500, 4500), 17))
    table = np.tile(np.frombuffer(template, np.uint8), (count, 1))
    table[:, 16 + 14 + 20 + 8 + 4 : 16 + 14 + 20 + 8 + 8] = np.arange(count).astype(">u4").view(np.uint8).reshape(-1, 4)
    step = len(template)
    sizes = np.full(count, step - 16, np.uint32)
    offsets = np.arange(count, dtype=np.int64) * step + 16
    times = START + np.arange(count, dtype=np.int64) * 1000
    return Records(0, table.tobytes(), 0, 1, offsets, sizes, sizes, times, np.ones(count, np.uint16))


def test_bulk_is_classified_without_the_scalar_path(monkeypatch: pytest.MonkeyPatch) -> None:
    window, line = bulk(20_000, 100), Pipeline()
    monkeypatch.setattr(Pipeline, "read", None)  # would raise if a row were handed to it
    columns, _ = classify(window, line)
    assert len(columns) == 20_000
    assert columns.seq.tolist() == list(range(20_000))


def test_memory_does_not_grow_with_the_windows() -> None:
    window, line = bulk(2000, 100), Pipeline()
    for _ in range(3):
        classify(window, line)
    tracemalloc.start()
    for round_ in range(1, 21):
        window.first_number = 1 + 2000 * round_
        classify(window, line)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 1_000_000
