"""Floods, with the limits made small: what is beyond them is counted and said, and what is real is still followed."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import packets
import pytest
from crafting import SPI_I, SPI_R, datagram, ike, pcap, write
from judging import judged, time_limit

from ipsecscope.capture.records import Records
from ipsecscope.reports.document import Report
from ipsecscope.timeline import correlate, flood, flow_table
from ipsecscope.timeline.analysis import Analysis, analyze
from ipsecscope.timeline.reading import Source

NONCE = (40, bytes(16))
SK = (46, bytes(200))


@pytest.fixture(autouse=True)
def small_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correlate, "MAX_HALF_OPEN", 20)
    monkeypatch.setattr(flood, "MAX_WAITING", 50)
    monkeypatch.setattr(flood, "MAX_NEWEST", 5)
    monkeypatch.setattr(correlate, "MAX_SAS", 200)
    monkeypatch.setattr(correlate, "MAX_PLACES", 8)
    monkeypatch.setattr(flow_table, "MAX_LONE", 10)
    monkeypatch.setattr(flow_table, "MAX_FLOWS", 15)


def analysed(tmp_path: Path, datas: list[bytes]) -> tuple[Analysis, Report]:
    with time_limit(8):
        return judged(write(tmp_path / "flood.pcap", pcap(datas)))


def half_open(number: int) -> bytes:
    return datagram(ike(NONCE, spi_i=struct.pack(">Q", number + 1)))


def notes(report: Report) -> dict[str, str]:
    return {note.kind: note.text for file in report.capture.files for note in file.notes}


def test_half_open_flood_is_shown_in_part_and_counted(tmp_path: Path) -> None:
    _, report = analysed(tmp_path, [half_open(number) for number in range(300)])
    spis = [int(sa.spi_i, 16) - 1 for sa in report.ike_sas]
    assert spis == [*range(20), *range(295, 300)]
    assert report.capture.messages.ikev2 == 300
    assert notes(report)["ike.half-open-limit"] == (
        f"275 further half-open IKE SAs are counted only: 275 from 192.0.2.0/24 to {packets.B}"
    )


@pytest.mark.parametrize("gap", [0, 20], ids=["at-once", "in-the-flood"])
def test_real_handshake_in_a_flood_is_followed_whole(tmp_path: Path, gap: int) -> None:
    """Its first messages waited; what comes after them brings them back."""
    real = [
        datagram(ike(NONCE)),
        *[half_open(1000 + number) for number in range(gap)],
        datagram(ike(NONCE)),
        datagram(ike(NONCE, flags=0x20, spi_r=SPI_R), back=True),
        *[half_open(2000 + number) for number in range(gap)],
        datagram(ike(SK, exchange=35, message_id=1, spi_r=SPI_R)),
        datagram(ike((46, bytes(180)), exchange=35, message_id=1, flags=0x20, spi_r=SPI_R), back=True),
    ]
    flooded = [half_open(number) for number in range(100)]
    _, report = analysed(tmp_path, [*flooded, *real])
    (sa,) = [sa for sa in report.ike_sas if sa.spi_i == SPI_I.hex()]
    assert [(each.type, each.outcome) for each in sa.exchanges] == [
        ("IKE_SA_INIT", "completed"),
        ("IKE_AUTH", "completed"),
    ]
    assert sa.spi_r == SPI_R.hex()


def test_answered_flood_is_counted_as_well(tmp_path: Path) -> None:
    """A responder without cookies answers all of them."""
    pairs = []
    for number in range(100):
        spi = struct.pack(">Q", number + 1)
        answer = ike(NONCE, spi_i=spi, spi_r=spi, flags=0x20)
        pairs += [half_open(number), datagram(answer, back=True)]
    _, report = analysed(tmp_path, pairs)
    assert len(report.ike_sas) == 25
    assert "75 further half-open" in notes(report)["ike.half-open-limit"]
    assert all(sa.exchanges[0].outcome == "completed" for sa in report.ike_sas)


def test_flood_of_unknown_sas_is_counted(tmp_path: Path) -> None:
    """Encrypted messages under SPIs that nobody negotiated."""
    datas = [
        datagram(ike(SK, exchange=37, message_id=9, spi_i=struct.pack(">Q", number + 1), spi_r=SPI_R))
        for number in range(300)
    ]
    _, report = analysed(tmp_path, datas)
    assert len(report.ike_sas) == 25
    assert "275 further" in notes(report)["ike.half-open-limit"]


def test_sas_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    datas = []
    for number in range(250):
        spi = struct.pack(">Q", number + 1)
        datas += [datagram(ike(SK, exchange=37, message_id=each, spi_i=spi, spi_r=SPI_R)) for each in (1, 2)]
    _, report = analysed(tmp_path, datas)
    assert len(report.ike_sas) == 200
    assert notes(report)["ike.sa-limit"] == "more than 200 IKE SAs: 100 messages of further ones are counted only"


def test_messages_of_one_waiting_handshake_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flood, "MAX_OPENING", 3)
    flooded = [half_open(number) for number in range(30)]
    again = [datagram(ike((40, bytes([number]) * 16))) for number in range(9)]
    end = [datagram(ike(SK, exchange=35, message_id=1, spi_r=SPI_R))]
    _, report = analysed(tmp_path, [*flooded, *again, *end])
    (sa,) = [sa for sa in report.ike_sas if sa.spi_i == SPI_I.hex()]
    assert sum(len(each.frames.request) for each in sa.exchanges) == 4


def test_ends_that_move_without_end_are_counted(tmp_path: Path) -> None:
    """One SPI pair from ever other addresses."""
    datas = [datagram(ike(NONCE))]
    datas += [
        packets.ipv4(
            packets.udp(ike(SK, exchange=37, message_id=number, spi_r=SPI_R)), 17, f"10.0.{number >> 8}.{number & 255}"
        )
        for number in range(300)
    ]
    _, report = analysed(tmp_path, datas)
    (sa,) = report.ike_sas
    assert len(sa.initiator.addresses) == 8
    assert "more than 8 addresses and ports of one end" in notes(report)["ike.place-limit"]


def test_flood_of_spis_is_shown_in_part_and_the_real_flow_stays(tmp_path: Path) -> None:
    datas = []
    for number in range(200):
        datas.append(packets.ipv4(packets.esp(0x10000 + number, 1), 50))
        datas.append(packets.ipv4(packets.esp(0xC0FFEE01, number + 1), 50))
    _, report = analysed(tmp_path, datas)
    real = [flow for flow in report.flows if flow.spi == "c0ffee01"]
    assert [flow.packets for flow in real] == [200]
    assert [int(flow.spi, 16) - 0x10000 for flow in report.flows if flow not in real] == [*range(190, 200)]
    assert (
        notes(report)["flow.lone-limit"] == "more than 10 flows of a single packet: 190 further ones are counted only"
    )
    assert report.capture.packets.esp == 400


def test_flood_of_spis_in_many_windows_gives_up_the_oldest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "FOLDED_ROWS", 1)
    path = write(tmp_path / "flood.pcap", pcap(packets.ipv4(packets.esp(0x10000 + n, 1, 200), 50) for n in range(3000)))
    monkeypatch.setattr("ipsecscope.timeline.analysis.merge", _in_pieces)
    found = analyze([str(path)])
    assert [flow.spi - 0x10000 for flow in found.flows] == [*range(2990, 3000)]
    assert any("2,990 further" in note.text for note in found.capture_notes)


def _in_pieces(sources: Iterable[Source]) -> Iterator[Records]:
    for source in sources:
        yield from source.windows(1 << 14)


def test_flows_beyond_the_limit_are_counted(tmp_path: Path) -> None:
    datas = [packets.ipv4(packets.esp(0x10000 + number, each), 50) for number in range(40) for each in (1, 2)]
    _, report = analysed(tmp_path, datas)
    assert len(report.flows) == 15
    assert notes(report)["flow.limit"] == "more than 15 flows: 50 packets of further ones are counted only"


def test_retransmission_is_kept_once(tmp_path: Path) -> None:
    """However often the same octets come, they are one message in memory."""
    datas = [datagram(ike(NONCE))] * 50
    analysis = analyze(
        [str(write(tmp_path / "again.pcap", pcap(datas, times=[(1_790_000_000 + n, 0) for n in range(50)])))]
    )
    (exchange,) = analysis.ike_sas[0].exchanges
    assert len(exchange.repeats) == 49
    assert {id(record.message) for record in exchange.repeats} == {id(exchange.request[0].message)}
