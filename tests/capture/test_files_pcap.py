"""pcap: byte orders, resolutions, old and modified variants, absurd values."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest

from ipsecscope.capture import pcap_headers
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.link_types import READABLE, LinkType, link_type_name
from ipsecscope.capture.records import CaptureError, FileFacts, Frame

SECOND = 1_790_000_000


def file_header(
    order: str = "<",
    magic: int = 0xA1B2C3D4,
    version: tuple[int, int] = (2, 4),
    snaplen: int = 65535,
    link: int = 1,
    zone: int = 0,
) -> bytes:
    return struct.pack(order + "IHHiIII", magic, *version, zone, 0, snaplen, link)


def record(
    data: bytes,
    sec: int = SECOND,
    fraction: int = 5,
    order: str = "<",
    original: int | None = None,
    extra: bytes = b"",
    *,
    swapped: bool = False,
) -> bytes:
    lengths = (len(data), len(data) if original is None else original)
    return struct.pack(order + "IIII", sec, fraction, *(lengths[::-1] if swapped else lengths)) + extra + data


def read(data: bytes) -> tuple[list[Frame], FileFacts]:
    reader = open_capture(io.BytesIO(data), name="test")
    return list(reader.frames()), reader.facts


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
@pytest.mark.parametrize("magic,unit", [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)], ids=["us", "ns"])
def test_pcap_of_each_order_and_resolution_gives_nanoseconds(order: str, magic: int, unit: int) -> None:
    frames, facts = read(file_header(order, magic) + record(b"abc", fraction=999_999, order=order))
    assert frames == [Frame(0, 1, SECOND * 10**9 + 999_999 * unit, 1, b"abc", 3)]
    assert facts.format == "pcap"
    assert facts.frames == 1
    assert facts.interfaces[0].resolution_ns == unit
    assert facts.extra["byte_order"] == {"<": "little", ">": "big"}[order]
    assert facts.notes == []


@pytest.mark.parametrize("count", [1, 2, 3, 9])
@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_pcap_with_the_modified_magic_skips_the_longer_headers(order: str, count: int) -> None:
    extra = struct.pack(order + "IHBB", 2, 0x800, 0, 0)
    data = [bytes([n]) * (20 + n) for n in range(count)]
    body = b"".join(record(d, SECOND + n, order=order, extra=extra) for n, d in enumerate(data))
    frames, facts = read(file_header(order, 0xA1B2CD34) + body)
    assert [frame.data for frame in frames] == data
    assert facts.extra["variant"] == "modified"


def test_pcap_with_modified_headers_and_the_standard_magic_is_recognised() -> None:
    body = b"".join(record(bytes([n]) * 60, SECOND + n, extra=b"\2\0\0\0\0\x08\0\0") for n in range(5))
    frames, facts = read(file_header() + body)
    assert [frame.data for frame in frames] == [bytes([n]) * 60 for n in range(5)]
    assert facts.notes == []


def test_pcap_with_standard_headers_and_the_modified_magic_is_recognised() -> None:
    body = b"".join(record(bytes([n]) * 60, SECOND + n) for n in range(5))
    frames, _ = read(file_header(magic=0xA1B2CD34) + body)
    assert [frame.data for frame in frames] == [bytes([n]) * 60 for n in range(5)]


@pytest.mark.parametrize("version", [(2, 2), (2, 1), (543, 0)], ids=str)
def test_pcap_of_an_old_version_has_its_lengths_swapped(version: tuple[int, int]) -> None:
    body = b"".join(record(bytes([n]) * 60, SECOND, original=1500, swapped=True) for n in range(4))
    frames, _ = read(file_header(version=version) + body)
    assert [(len(frame.data), frame.original_length) for frame in frames] == [(60, 1500)] * 4


@pytest.mark.parametrize("swapped", [True, False])
def test_pcap_of_version_2_3_takes_the_smaller_length_as_captured(swapped: bool) -> None:
    body = b"".join(record(bytes([n]) * 60, SECOND, original=1500, swapped=swapped) for n in range(4))
    frames, _ = read(file_header(version=(2, 3)) + body)
    assert [(len(frame.data), frame.original_length) for frame in frames] == [(60, 1500)] * 4


def test_pcap_of_version_2_3_with_damage_goes_on_behind_it() -> None:
    body = [record(bytes([n]) * 60, SECOND, original=1500, swapped=True) for n in range(9)]
    body[4] = b"\xff" * len(body[4])
    frames, facts = read(file_header(version=(2, 3)) + b"".join(body))
    assert [frame.data[0] for frame in frames] == [0, 1, 2, 3, 5, 6, 7, 8]
    assert [note.kind for note in facts.notes] == ["capture.damaged", "capture.resynchronised"]


def test_pcap_records_longer_than_snaplen_or_than_the_original_are_kept() -> None:
    body = record(b"x" * 200) + record(b"y" * 60, original=10) + record(b"")
    frames, facts = read(file_header(snaplen=96) + body)
    assert [(len(frame.data), frame.original_length, frame.truncated) for frame in frames] == [
        (200, 200, 0),
        (60, 10, 0),
        (0, 0, 0),
    ]
    assert facts.notes == []


def test_pcap_snaplen_makes_long_records_believable() -> None:
    data = bytes(range(256)) * 4096
    frames, facts = read(file_header(snaplen=4 << 20) + record(data) + record(b"next"))
    assert [frame.data for frame in frames] == [data, b"next"]
    frames, facts = read(file_header(snaplen=65535) + record(data) + record(b"next" * 20))
    assert [frame.data for frame in frames] == [data, b"next" * 20]
    assert [note.kind for note in facts.notes] == ["capture.damaged", "capture.resynchronised"]


def test_pcap_original_length_that_cannot_be_is_replaced_and_said() -> None:
    frames, facts = read(file_header() + record(b"abcd", original=0xFFFF_FFF0) + record(b"efgh"))
    assert [frame.original_length for frame in frames] == [4, 4]
    assert [(note.kind, note.offset, note.frame) for note in facts.notes] == [("capture.damaged", 24, 1)]


@pytest.mark.parametrize("sec,fraction", [(0, 0), (0xFFFF_FFFF, 999_999), (1, 0xFFFF_FFFF)])
def test_pcap_times_at_the_borders_are_kept(sec: int, fraction: int) -> None:
    frames, _ = read(file_header() + record(b"abcd", sec, fraction))
    assert [frame.time_ns for frame in frames] == [sec * 10**9 + fraction * 1000]


def test_pcap_with_fractions_of_a_second_too_large_is_read_whole() -> None:
    body = b"".join(record(bytes([n]) * 50, SECOND + n, 1_500_000) for n in range(9))
    frames, facts = read(file_header() + body)
    assert len(frames) == 9
    assert facts.notes == []


def test_pcap_without_records_has_no_frames() -> None:
    frames, facts = read(file_header(zone=-3600))
    assert frames == []
    assert facts.notes == []
    assert facts.extra["this_zone"] == -3600


def test_pcap_link_type_with_frame_check_bits_is_read() -> None:
    frames, _ = read(file_header(link=0x2400_0001) + record(b"abcd"))
    assert frames[0].link_type == LinkType.ETHERNET


@pytest.mark.parametrize("link", [127, 9999, 0x0300_0000])
def test_pcap_of_an_unknown_link_type_is_refused_in_one_line(link: int) -> None:
    with pytest.raises(CaptureError, match=rf"^test: unknown link type {link} \(\w+\)$"):
        read(file_header(link=link) + record(b"abcd"))


@pytest.mark.parametrize("size", [4, 12, 23])
def test_pcap_cut_in_the_file_header_is_refused(size: int) -> None:
    with pytest.raises(CaptureError, match=f"24 octets, {size} are there"):
        read(file_header()[:size])


def test_link_types_have_the_names_of_the_registry() -> None:
    assert link_type_name(276) == "LINUX_SLL2"
    assert link_type_name(127) == "IEEE802_11_RADIOTAP"
    assert link_type_name(60000) == "UNKNOWN_60000"
    assert {0, 1, 9, 12, 14, 50, 51, 101, 108, 113, 219, 228, 229, 276} == READABLE


def test_records_give_columns_with_file_offsets() -> None:
    data = file_header() + record(b"abcd") + record(b"efghi", original=900)
    (records,) = open_capture(io.BytesIO(data), file=3).windows()
    assert records.file == 3
    assert (records.base + records.offset).tolist() == [40, 60]
    assert records.captured.tolist() == [4, 5]
    assert records.original.tolist() == [4, 900]
    dtypes = (records.offset, records.captured, records.original, records.time_ns, records.link_type)
    assert [column.dtype for column in dtypes] == [np.int64, np.uint32, np.uint32, np.int64, np.uint16]
    assert records[1].data == b"efghi"


def test_search_for_records_gives_up_after_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcap.MAX_TRIED", 0)
    body = [record(bytes([n]) * 60) for n in range(9)]
    frames, facts = read(file_header() + body[0] + b"\xff" * 50 + b"".join(body[1:]))
    assert [frame.data[0] for frame in frames] == [0]
    assert [note.kind for note in facts.notes] == ["capture.damaged", "capture.limit"]


def test_damaged_places_beyond_the_limit_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcap.MAX_DAMAGES", 3)
    body = b"".join(record(bytes([n]) * 60) + record(bytes([n]) * 60) + b"\xff" * 50 for n in range(9))
    frames, facts = read(file_header() + body)
    assert [frame.data[0] for frame in frames] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert facts.notes[-1].kind == "capture.limit"


def test_doubtful_header_at_the_end_of_a_window_waits_for_more() -> None:
    layout = pcap_headers.Layout("<", 16, 1000, pcap_headers.Lengths.PLAIN, 1, 65535)
    buffer = record(b"z" * 50, 7)
    assert pcap_headers.Evidence(buffer, layout, (SECOND,), final=False).is_sound(0) is None
    assert pcap_headers.Evidence(buffer, layout, (SECOND,), final=True).is_sound(0) is True
    assert pcap_headers.Evidence(buffer + b"\xff" * 16, layout, (SECOND,), final=False).is_sound(0) is False
