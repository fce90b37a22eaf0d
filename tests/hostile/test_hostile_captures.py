"""Files, packets and tunnels made to hurt: lengths that lie, bombs, fragments that never end, nests without bottom.

The number in an id or docstring is that of the bug class which other programs fell to.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import packets
import pytest
from crafting import block, datagram, enhanced, ike, interface, option, pcap, section, write
from judging import judged, time_limit

from ipsecscope.capture import compression, pcap_headers
from ipsecscope.capture.files import open_capture
from ipsecscope.reports.document import Report
from ipsecscope.timeline.analysis import Analysis

SECONDS = 8
MESSAGE = datagram(ike((40, bytes(16))))


def analysed(tmp_path: Path, data: bytes, name: str = "hostile") -> tuple[Analysis, Report]:
    with time_limit(SECONDS):
        return judged(write(tmp_path / name, data))


def kinds(report: Report) -> set[str]:
    return {note.kind for file in report.capture.files for note in file.notes}


# -- packets --------------------------------------------------------------------------------------------------------


def nested(inner: bytes, wrap: Callable[[bytes], bytes], depth: int = 100) -> bytes:
    for _ in range(depth):
        inner = wrap(inner)
    return inner


NESTS: dict[str, Callable[[bytes], bytes]] = {
    "ip-in-ip": lambda inner: packets.ipv4(inner, 4),
    "gre": lambda inner: packets.ipv4(packets.gre(inner), 47),
    "ipv6-in-ipv6": lambda inner: packets.ipv6(inner, 41),
    "esp-in-esp": lambda inner: packets.ipv4(packets.esp() + inner, 50),
    "ah-in-ah": lambda inner: packets.ipv4(packets.ah(inner, following=4), 51),
    "udp-4500": lambda inner: packets.ipv4(packets.udp(inner, 4500, 4500), 17),
    "icmp": lambda inner: packets.ipv4(packets.icmp_error(3, 4, inner), 1),
}


TUNNELS = [NESTS[name] for name in ("ip-in-ip", "gre", "ipv6-in-ipv6")]  # in the others nothing is to be seen


@pytest.mark.parametrize("wrap", NESTS.values(), ids=NESTS.keys())
@pytest.mark.parametrize("depth", [17, 100, 600])
def test_nest_is_followed_to_its_limit(tmp_path: Path, wrap: Callable[[bytes], bytes], depth: int) -> None:
    """Class 42: a loop, not a recursion, and a limit."""
    _, report = analysed(tmp_path, pcap([nested(MESSAGE, wrap, depth), MESSAGE]))
    assert report.capture.messages.ikev2 == 1
    assert ("layers.depth" in kinds(report)) == (wrap in TUNNELS)


@pytest.mark.parametrize("kind", [0x8100, 0x88A8, 0x8847], ids=["vlan", "qinq", "mpls"])
def test_tags_without_end_are_followed_to_the_limit(tmp_path: Path, kind: int) -> None:
    tags = (struct.pack(">HH", 1, kind) if kind != 0x8847 else bytes(4)) * 2000
    data = bytes(12) + struct.pack(">H", kind) + tags + MESSAGE
    analysed(tmp_path, pcap([data, packets.ethernet(MESSAGE)], link_type=1))


@pytest.mark.parametrize("number", [0, 43, 60, 135, 51], ids=["hop-by-hop", "routing", "destination", "mobility", "ah"])
def test_extension_headers_without_end_are_followed_to_the_limit(tmp_path: Path, number: int) -> None:
    header = struct.pack(">BBHII", number, 1, 0, 1, 1) if number == 51 else bytes((number, 0)) + bytes(6)
    analysed(tmp_path, pcap([packets.ipv6(header * 700, number)]))


@pytest.mark.parametrize("size", range(20))
def test_esp_of_a_few_octets_is_counted_as_what_it_is(tmp_path: Path, size: int) -> None:
    """Classes 38 and 41."""
    body = packets.esp(size=20)[:size]
    datas = [packets.ipv4(body, number) for number in (50, 51, 108, 141)]
    datas += [packets.ipv4(packets.udp(body, 4500, 4500), 17), packets.ipv4(packets.udp(body, 500, 500), 17)]
    analysed(tmp_path, pcap(datas))


def test_ah_whose_length_lies_is_no_fault(tmp_path: Path) -> None:
    datas = [packets.ipv4(struct.pack(">BBHII", 4, size, 0, 7, 1) + MESSAGE, 51) for size in range(256)]
    analysed(tmp_path, pcap(datas))


def test_reserved_spis_and_sequence_wraps_are_flows_like_others(tmp_path: Path) -> None:
    """Classes 39 and 40."""
    datas = [
        packets.ipv4(packets.esp(spi, sequence), 50) for spi in (0, 1, 255) for sequence in (0, 1, 0xFFFFFFFF, 0, 5)
    ]
    _, report = analysed(tmp_path, pcap(datas))
    assert len(report.flows) == 3


def fragment(data: bytes, start: int, *, more: bool, identification: int = 7) -> bytes:
    return packets.ipv4(data, 17, identification=identification, flags=more, offset=start)


FRAGMENTS = {
    "teardrop": [fragment(bytes(64), 0, more=True), fragment(bytes(8), 24, more=False)],
    "ping-of-death": [fragment(bytes(1480), 65_528, more=False), fragment(bytes(8), 0, more=True)],
    "overlap-differs": [
        fragment(b"\x01" * 80, 0, more=True),
        fragment(b"\x02" * 80, 40, more=True),
        fragment(b"\x03" * 80, 80, more=False),
    ],
    "empty": [fragment(b"", 0, more=True), fragment(b"", 8, more=False)],
    "odd-size": [fragment(bytes(13), 0, more=True), fragment(bytes(13), 8, more=False)],
    "two-ends": [
        fragment(bytes(8), 16, more=False),
        fragment(bytes(8), 80, more=False),
        fragment(bytes(8), 0, more=True),
    ],
    "only-middles": [fragment(bytes(8), 8 * number, more=True) for number in range(1, 3000)],
}


@pytest.mark.parametrize("datas", FRAGMENTS.values(), ids=FRAGMENTS.keys())
def test_fragments_that_do_not_fit_are_said_and_survived(tmp_path: Path, datas: list[bytes]) -> None:
    """Class 32."""
    _, report = analysed(tmp_path, pcap([*datas, MESSAGE]))
    assert report.capture.messages.ikev2 >= 1


def test_fragments_never_completed_are_held_in_bounds(tmp_path: Path) -> None:
    """Class 32: more beginnings than sets are kept; the message behind them is read."""
    datas = [
        packets.ipv4(
            bytes(64),
            17,
            f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}",
            flags=1,
            identification=number & 0xFFFF,
        )
        for number in range(12_000)
    ]
    _, report = analysed(tmp_path, pcap([*datas, MESSAGE]))
    assert report.capture.messages.ikev2 == 1
    assert "ip.fragment-limit" in kinds(report)


def test_atomic_ipv6_fragment_is_whole(tmp_path: Path) -> None:
    inner = packets.fragment6(17, packets.udp(ike((40, bytes(16)))), 0, more=False)
    _, report = analysed(tmp_path, pcap([packets.ipv6(inner, 44)]))
    assert report.capture.messages.ikev2 == 1


def test_tcp_that_promises_octets_without_end_is_held_in_bounds(tmp_path: Path) -> None:
    datas = [packets.ipv4(packets.tcp(b"IKETCP" + b"\xff\xff" + bytes(1400), seq=1), 6)]
    datas += [packets.ipv4(packets.tcp(bytes(1400), seq=2 + 3000 * number), 6) for number in range(400)]
    analysed(tmp_path, pcap([*datas, MESSAGE]))


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x80000000, 0x7FFFFFFF, 300_000])
def test_record_length_that_lies_costs_one_record(tmp_path: Path, length: int) -> None:
    """Class 44: nothing is allocated from a claimed length, and what is behind it is read."""
    data = bytearray(pcap([MESSAGE] * 5))
    at = 24 + 2 * (16 + len(MESSAGE))
    data[at + 8 : at + 12] = struct.pack("<I", length)
    _, report = analysed(tmp_path, bytes(data))
    (file,) = report.capture.files
    assert file.frames >= 4
    assert file.damaged


BLOCKS = {
    "length-0": block(6, bytes(40), length=0),
    "length-13": block(6, bytes(40), length=13),
    "length-4-gib": block(6, bytes(40), length=0xFFFFFFFC),
    "trailer": block(6, bytes(40), trailer=44),
    "interface-99": enhanced(MESSAGE, number=99),
    "captured-4-gib": block(6, struct.pack("<IIIII", 0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF) + bytes(40)),
    "option-overrun": enhanced(MESSAGE, option(1, b"abc", length=0xFFFF)),
    "options-65": enhanced(MESSAGE, *[option(1, b"comment")] * 5000),
    "names": block(4, struct.pack("<HH", 1, 0xFFFF) + bytes(20)),
    "secrets": block(10, struct.pack("<II", 0x544C534B, 0xFFFFFFFF) + bytes(8)),
    "unknown": block(0x7FFFFFFF, b"\x1b[2J" * 10),
    "section-of-nothing": block(0x0A0D0D0A, bytes(16)),
}


@pytest.mark.parametrize("middle", BLOCKS.values(), ids=BLOCKS.keys())
def test_block_that_lies_costs_itself_only(tmp_path: Path, middle: bytes) -> None:
    """Class 45."""
    data = section() + interface() + enhanced(MESSAGE) + middle + enhanced(MESSAGE) + enhanced(MESSAGE)
    _, report = analysed(tmp_path, data)
    assert report.capture.frames >= 3


def test_packet_without_an_interface_is_said(tmp_path: Path) -> None:
    analysed(tmp_path, section() + enhanced(MESSAGE))


@pytest.mark.parametrize("resolution", [0, 127, 128, 255, 9, 6])
@pytest.mark.parametrize("stamp", [0, 2**64 - 1, 2**63, 1_790_000_000_000_000])
def test_absurd_time_stamps_are_no_fault(tmp_path: Path, resolution: int, stamp: int) -> None:
    """Class 46: resolutions, offsets and stamps that no calendar has."""
    described = interface(option(9, bytes([resolution])), option(14, struct.pack("<q", -(2**63))))
    plain = interface(option(9, bytes([resolution])))
    packet = packets.ipv4(packets.esp(), 50)
    data = (
        section()
        + described
        + plain
        + b"".join(enhanced(each, number=number, stamp=stamp) for each in (MESSAGE, packet) for number in (0, 1))
    )
    analysed(tmp_path, data)


def test_times_that_go_back_and_fractions_beyond_a_second_are_no_fault(tmp_path: Path) -> None:
    times = [(1_790_000_000, 0), (0, 0), (0xFFFFFFFF, 0xFFFFFFFF), (1_790_000_000, 999_999_999), (1, 5)] * 3
    analysed(tmp_path, pcap([MESSAGE] * 15, times=times))


def test_records_of_no_octets_are_counted(tmp_path: Path) -> None:
    """Class 47: nothing but headers, for ever."""
    _, report = analysed(tmp_path, pcap([b""] * 100_000 + [MESSAGE]))
    assert report.capture.frames == 100_001
    assert report.capture.messages.ikev2 == 1


def test_forged_record_chains_do_not_make_the_search_quadratic(tmp_path: Path) -> None:
    """A record full of headers that lead on and on to nothing, with damage behind it."""
    inner = (struct.pack("<IIII", 1_790_000_000, 0, 24, 24) + bytes(24)) * 100_000
    with time_limit(30):
        reader = open_capture(str(write(tmp_path / "chains", pcap([inner], snaplen=16 * 2**20) + b"\xff" * 4000)))
        assert sum(1 for _ in reader.frames()) == 1
    assert {"capture.damaged", "capture.limit"} <= {note.kind for note in reader.facts.notes}
    assert reader.facts.frames == 1


def test_search_for_records_looks_at_so_many_headers_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcap.MAX_STEPS", 100)
    assert pcap_headers.MAX_STEPS > 100
    inner = (struct.pack("<IIII", 1_790_000_000, 0, 24, 24) + bytes(24)) * 300
    reader = open_capture(str(write(tmp_path / "chains", pcap([inner]) + b"\xff" * 4000)))
    assert sum(1 for _ in reader.frames()) == 1
    assert "capture.limit" in {note.kind for note in reader.facts.notes}


PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "bzip2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK.keys())
def test_bomb_ends_at_the_limit_with_what_was_read(
    tmp_path: Path, pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class 47, with limits small enough for a test."""
    monkeypatch.setattr(compression, "MAX_UNPACKED", 200_000)
    _, report = analysed(tmp_path, pack(pcap([MESSAGE] + [bytes(1000)] * 3000)))
    assert report.capture.messages.ikev2 == 1
    assert report.capture.frames < 400
    assert "capture.limit" in kinds(report)


@pytest.mark.parametrize("pack", PACK.values(), ids=PACK.keys())
def test_cut_or_broken_compression_gives_what_is_before(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(pcap([MESSAGE] * 2000))
    for data in (packed[: len(packed) // 2], packed[:-1], packed[:-6] + b"\xff" * 6, packed + b"trailing"):
        analysed(tmp_path, data)


def test_compression_in_compression_is_followed_to_its_limit(tmp_path: Path) -> None:
    data = pcap([MESSAGE])
    for _ in range(compression.MAX_LAYERS):
        data = gzip.compress(data)
    _, report = analysed(tmp_path, data)
    assert report.capture.messages.ikev2 == 1
    analysis, _ = analysed(tmp_path, gzip.compress(data))
    assert not analysis.files


def test_capture_in_a_capture_is_not_opened(tmp_path: Path) -> None:
    """Class 48."""
    _, report = analysed(tmp_path, pcap([packets.ipv4(packets.udp(pcap([MESSAGE] * 9), 9, 9), 17)]))
    assert report.capture.messages.ikev2 == 0


@pytest.mark.parametrize("size", [1, 3, 4, 8, 23, 24, 39, 40])
def test_file_of_a_few_octets_is_refused_or_read_in_one_line(tmp_path: Path, size: int) -> None:
    analysis, report = analysed(tmp_path, pcap([MESSAGE])[:size])
    assert len(analysis.errors) + len(analysis.files) == 1
    assert report.capture.messages.ikev2 == 0


def test_file_that_shrinks_while_it_is_read_is_no_fault(tmp_path: Path) -> None:
    """Class 49: nothing is mapped into memory, so nothing faults."""
    path = write(tmp_path / "shrinks", pcap([bytes(60_000)] * 300))
    reader = open_capture(str(path))
    windows = reader.windows(1 << 18)
    next(windows)
    path.write_bytes(path.read_bytes()[:1_000_000])
    assert sum(len(records) for records in windows) < 300


def test_file_that_grows_while_it_is_read_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "grows", pcap([MESSAGE] * 10))
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab") as out:
            for _ in range(200):
                if stop.wait(0.005):
                    return
                out.write(pcap([MESSAGE])[24:])
                out.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        with time_limit(SECONDS):
            _, report = judged(path)
    finally:
        stop.set()
        writer.join()
    assert report.capture.frames >= 10
