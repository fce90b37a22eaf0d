"""Damage in the middle of a capture: every intact record before and behind it is read, and the notes say where."""

# ruff: noqa: ARG001 - every kind of damage is called in the same way

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable

import pytest

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.records import CaptureError, Frame
from ipsecscope.capture.writer import PcapngWriter, PcapWriter

START_NS = 1_790_000_000 * 10**9
COUNT = 40
HURT = 17  # the record that the damage is in


def packet(index: int, rng: random.Random) -> bytes:
    return index.to_bytes(4, "big") + rng.randbytes(rng.randrange(40, 400))


def capture(kind: str, count: int = COUNT, seed: int = 1) -> tuple[bytes, list[bytes], list[int]]:
    """A capture, its packets, and where each record or block starts."""
    rng = random.Random(seed)
    packets = [packet(index, rng) for index in range(count)]
    out = io.BytesIO()
    order = "big" if kind.endswith("-be") else "little"
    starts = []
    if kind.startswith("pcapng"):
        writer = PcapngWriter(out, byte_order=order)
        writer.interface(LinkType.ETHERNET)
    else:
        writer = PcapWriter(out, link_type=LinkType.ETHERNET, byte_order=order, nanoseconds="us" not in kind)
    for index, data in enumerate(packets):
        starts.append(out.tell())
        writer.write(START_NS + index * 10**7, data)
    writer.close()
    return out.getvalue(), packets, [*starts, out.tell()]


def read(data: bytes, window: int = 1 << 23) -> tuple[list[Frame], list[str]]:
    reader = open_capture(io.BytesIO(data), name="test")
    frames = list(reader.frames(window))
    return frames, [note.kind for note in reader.facts.notes]


def patched(data: bytes, at: int, new: bytes) -> bytes:
    return data[:at] + new + data[at + len(new) :]


Damage = Callable[[bytes, int, int, str], bytes]

BODY = {"pcap": 16, "pcapng": 28}


def length_huge(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start + (4 if "ng" in kind else 8), b"\xff\xff\xff\xf0")


def length_negative(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start + (4 if "ng" in kind else 8), b"\x80\x00\x00\x80")


def length_too_long(data: bytes, start: int, stop: int, kind: str) -> bytes:
    word = struct.pack(">I" if "-be" in kind else "<I", stop - start + 1200)
    return patched(data, start + (4 if "ng" in kind else 8), word)


def length_past_the_end(data: bytes, start: int, stop: int, kind: str) -> bytes:
    word = struct.pack(">I" if "-be" in kind else "<I", 200_000)
    return patched(data, start + (4 if "ng" in kind else 8), word)


def length_too_short(data: bytes, start: int, stop: int, kind: str) -> bytes:
    word = struct.pack(">I" if "-be" in kind else "<I", 24)
    return patched(data, start + (4 if "ng" in kind else 8), word)


def header_overwritten(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start, b"\xa5" * 16)


def header_zeroed(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start, bytes(28))


def record_zeroed(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start, bytes(stop - start))


def record_ascii(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return patched(data, start, b"the disk was full \n"[:16] * ((stop - start) // 16))


def garbage_inserted(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[:start] + random.Random(5).randbytes(777) + data[start:]


def garbage_inside(data: bytes, start: int, stop: int, kind: str) -> bytes:
    middle = (start + stop) // 2
    return data[:middle] + random.Random(6).randbytes(333) + data[middle:]


def zeros_inserted(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[:start] + bytes(4096) + data[start:]


def octets_deleted_in_data(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[: stop - 20] + data[stop - 7 :]


def octets_deleted_in_header(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[: start + 3] + data[start + 10 :]


def tail_and_next_head_deleted(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[: stop - 30] + data[stop:]


def one_octet_deleted(data: bytes, start: int, stop: int, kind: str) -> bytes:
    return data[: start + 30] + data[start + 31 :]


DAMAGES = [
    length_huge,
    length_negative,
    length_too_long,
    length_past_the_end,
    length_too_short,
    header_overwritten,
    header_zeroed,
    record_zeroed,
    record_ascii,
    garbage_inserted,
    garbage_inside,
    zeros_inserted,
    octets_deleted_in_data,
    octets_deleted_in_header,
    tail_and_next_head_deleted,
    one_octet_deleted,
]
KINDS = ["pcap", "pcap-be", "pcap-us", "pcapng", "pcapng-be"]


@pytest.mark.parametrize("window", [1 << 23, 4096], ids=["one-window", "small-windows"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("hurt", [0, HURT, COUNT - 2], ids=["first", "middle", "last-but-one"])
def test_capture_damaged_in_one_record_keeps_all_others(damage: Damage, kind: str, window: int, hurt: int) -> None:
    data, packets, starts = capture(kind)
    broken = damage(data, starts[hurt], starts[hurt + 1], kind)
    frames, notes = read(broken, window)
    got = {frame.data for frame in frames}
    lost = [index for index, data in enumerate(packets) if data not in got and index != hurt]
    assert lost == []
    assert "capture.damaged" in notes
    assert "capture.resynchronised" in notes
    assert len(frames) <= COUNT + 1


@pytest.mark.parametrize("kind", KINDS)
def test_capture_damaged_in_two_neighbours_of_an_intact_record_keeps_it(kind: str) -> None:
    data, packets, starts = capture(kind)
    for hurt in (10, 12):
        data = header_overwritten(data, starts[hurt], starts[hurt + 1], kind)
    frames, _ = read(data)
    got = {frame.data for frame in frames}
    assert [index for index, data in enumerate(packets) if data not in got] == [10, 12]


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_capture_with_one_wrong_length_keeps_the_record_itself(kind: str) -> None:
    data, packets, starts = capture(kind)
    frames, _ = read(length_huge(data, starts[HURT], starts[HURT + 1], kind))
    assert [frame.data for frame in frames] == packets
    assert [frame.number for frame in frames] == list(range(1, COUNT + 1))


@pytest.mark.parametrize("kind", KINDS)
def test_capture_cut_anywhere_keeps_what_stands_before(kind: str) -> None:
    data, packets, starts = capture(kind, 6)
    for cut in range(starts[0], len(data)):
        frames, notes = read(data[:cut])
        whole = sum(stop <= cut for stop in starts[1:])
        assert [frame.data for frame in frames] == packets[:whole]
        assert ("capture.truncated" in notes) == (cut not in starts)


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_capture_with_many_faults_far_apart_keeps_the_rest(kind: str) -> None:
    data, packets, starts = capture(kind, 20_000, seed=3)
    hurt = range(50, 20_000, 997)
    broken = bytearray(data)
    for index in hurt:
        broken[starts[index] : starts[index] + 16] = b"\xee" * 16
    frames, _ = read(bytes(broken), 1 << 20)
    assert {frame.data for frame in frames} == {data for index, data in enumerate(packets) if index not in set(hurt)}


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
def test_capture_with_a_hole_larger_than_the_window_keeps_what_follows(kind: str) -> None:
    data, packets, starts = capture(kind)
    hole = random.Random(9).randbytes(3_000_000)
    for window in (1 << 16, 1 << 23):
        frames, notes = read(data[: starts[9]] + hole + data[starts[9] :], window)
        assert [frame.data for frame in frames] == packets
        assert notes == ["capture.damaged", "capture.resynchronised"]


def test_capture_with_junk_to_the_end_says_so() -> None:
    data, packets, _ = capture("pcap")
    reader = open_capture(io.BytesIO(data + b"\xff" * 500))
    assert [frame.data for frame in reader.frames()] == packets
    assert [(note.kind, note.offset, note.size) for note in reader.facts.notes] == [("capture.damaged", len(data), 500)]
    assert reader.facts.extra["damaged"] is True


def test_capture_of_preallocated_zeros_gives_no_frames_from_them() -> None:
    data, packets, _ = capture("pcap")
    frames, notes = read(data + bytes(100_000))
    assert [frame.data for frame in frames] == packets
    assert notes == ["capture.damaged"]


@pytest.mark.parametrize("window", [1 << 23, 4096])
def test_capture_inside_a_capture_is_not_mistaken_for_records(window: int) -> None:
    inner, _, _ = capture("pcap", 8)
    _, packets, _ = capture("pcap", 8)
    out = io.BytesIO()
    with PcapWriter(out, link_type=LinkType.ETHERNET) as writer:
        writer.write(START_NS, packets[0])
        writer.write(START_NS + 1, b"FTP-DATA" + inner)
        at = out.tell()
        writer.write(START_NS + 2, packets[2])
        writer.write(START_NS + 3, packets[3])
        writer.write(START_NS + 4, packets[4])
    frames, _ = read(out.getvalue(), window)
    assert len(frames) == 5
    frames, _ = read(header_overwritten(out.getvalue(), at, at + 100, "pcap"), window)
    assert [frame.data for frame in frames] == [packets[0], b"FTP-DATA" + inner, packets[3], packets[4]]


def test_capture_whose_clock_jumps_by_years_is_not_damaged() -> None:
    out = io.BytesIO()
    rng = random.Random(4)
    times = [START_NS, START_NS + 5, 7, 10**9, START_NS * 2, START_NS + 9, START_NS + 10]
    packets = [packet(index, rng) for index in range(len(times))]
    with PcapWriter(out, link_type=LinkType.ETHERNET) as writer:
        for time_ns, data in zip(times, packets, strict=True):
            writer.write(time_ns, data)
    frames, notes = read(out.getvalue())
    assert [frame.time_ns for frame in frames] == times
    assert notes == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(60))
def test_capture_mutated_never_raises_but_capture_error(kind: str, seed: int) -> None:
    rng = random.Random(seed)
    data = bytearray(capture(kind, 12, seed)[0])
    for _ in range(rng.randrange(1, 12)):
        at = rng.randrange(len(data)) if rng.random() < 0.7 else rng.randrange(min(100, len(data)))
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at : at + 4] = rng.choice((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0", b"\x01\0\0\0"))
            case 2:
                del data[at : at + rng.randrange(1, 50)]
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 60))
            case 4:
                data[at:at] = data[: rng.randrange(len(data))]
    for window in (1 << 20, 64):
        try:
            reader = open_capture(io.BytesIO(bytes(data)))
            for records in reader.windows(window):
                for frame in records.frames():
                    assert len(frame.data) <= len(data)
        except CaptureError as why:
            assert "\n" not in str(why)  # noqa: PT017 - it may be raised or not
