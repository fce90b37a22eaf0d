"""pcapng: sections, interfaces, clocks, every kind of packet block, and what stands beside the packets."""

from __future__ import annotations

import io
import struct

import pytest

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.records import CaptureError, FileFacts, Frame
from ipsecscope.capture.writer import PcapngWriter

SECOND = 1_790_000_000


def block(kind: int, body: bytes, order: str = "<", length: int | None = None) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12 if length is None else length)
    return struct.pack(order + "I", kind) + size + body + size


def option(code: int, value: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "HH", code, len(value)) + value + bytes(-len(value) % 4)


def section(order: str = "<", options: bytes = b"", major: int = 1) -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, major, 0, -1) + options, order)


def interface(order: str = "<", link: int = 1, snaplen: int = 0, options: bytes = b"") -> bytes:
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(data: bytes, ticks: int, order: str = "<", number: int = 0, options: bytes = b"", **lies: int) -> bytes:
    captured, original = lies.get("captured", len(data)), lies.get("original", len(data))
    head = struct.pack(order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, captured, original)
    return block(6, head + data + bytes(-len(data) % 4) + options, order)


def simple(data: bytes, original: int, order: str = "<") -> bytes:
    return block(3, struct.pack(order + "I", original) + data, order)


def obsolete(data: bytes, ticks: int, options: bytes = b"", captured: int | None = None, number: int = 0) -> bytes:
    size = len(data) if captured is None else captured
    head = struct.pack("<HHIIII", number, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, size, len(data))
    return block(2, head + data + bytes(-len(data) % 4) + options)


def read(data: bytes) -> tuple[list[Frame], FileFacts]:
    reader = open_capture(io.BytesIO(data), name="test")
    return list(reader.frames()), reader.facts


@pytest.mark.parametrize(
    "options,ticks,time_ns",
    [
        (b"", 1_000_001, 1_000_001_000),
        (option(9, b"\x09"), 1_000_001, 1_000_001),
        (option(9, b"\x03"), 1_001, 1_001_000_000),
        (option(9, b"\x0c"), 1_001, 1),
        (option(9, b"\x8a"), 1024 * 3 + 512, 3_500_000_000),
        (option(9, b"\x80"), 7, 7_000_000_000),
        (option(9, b"\x09") + option(14, struct.pack("<q", 100)), 5, 100_000_000_005),
        (option(14, struct.pack("<q", -1)), 3_000_000, 2_000_000_000),
        (option(14, b"short"), 1, 1_000),
    ],
    ids=["default", "ns", "ms", "ps", "2^-10", "2^0", "offset", "offset-negative", "offset-malformed"],
)
def test_interface_clock_gives_nanoseconds(options: bytes, ticks: int, time_ns: int) -> None:
    frames, facts = read(section() + interface(options=options) + enhanced(b"abc", ticks))
    assert [frame.time_ns for frame in frames] == [time_ns]
    assert facts.notes == []


@pytest.mark.parametrize("resolution", [127, 255, 0x13])
def test_interface_clock_that_cannot_be_is_clamped_and_said(resolution: int) -> None:
    frames, facts = read(section() + interface(options=option(9, bytes([resolution]))) + enhanced(b"abc", 2**64 - 1))
    assert len(frames) == 1
    assert facts.notes[0].kind == "capture.clock"


@pytest.mark.parametrize("offset", [-(2**63), 2**63 - 1])
def test_interface_offset_beyond_64_bits_of_nanoseconds_is_clamped_and_said(offset: int) -> None:
    data = section() + interface(options=option(14, struct.pack("<q", offset))) + enhanced(b"abc", 1) * 2
    frames, facts = read(data)
    assert [abs(frame.time_ns) for frame in frames] == [2**63 - 1] * 2
    assert [note.kind for note in facts.notes] == ["capture.clock"]


def test_ticks_beyond_64_bits_of_nanoseconds_are_clamped_and_said() -> None:
    frames, facts = read(section() + interface() + enhanced(b"abc", 2**64 - 1))
    assert frames[0].time_ns == 2**63 - 1
    assert [note.kind for note in facts.notes] == ["capture.clock"]


def test_sections_of_both_byte_orders_have_their_own_interfaces() -> None:
    data = section("<", option(1, b"one") + option(2, b"box") + option(3, b"OS") + option(4, b"tool"))
    data += interface("<", 1, 100) + interface("<", 101, 0, option(2, b"tun0")) + enhanced(b"a" * 20, 1, "<", 1)
    data += section(">", option(1, b"two", ">")) + interface(">", 113) + enhanced(b"b" * 21, 2, ">", 0)
    data += section("<") + interface("<", 276) + enhanced(b"c" * 22, 3)
    frames, facts = read(data)
    assert [(frame.link_type, len(frame.data)) for frame in frames] == [(101, 20), (113, 21), (276, 22)]
    assert [entry.link_type for entry in facts.interfaces] == [1, 101, 113, 276]
    assert facts.interfaces[1].name == "tun0"
    assert facts.comment == "one\ntwo"
    assert (facts.hardware, facts.application, facts.extra["os"]) == ("box", "tool", "OS")
    assert facts.extra["sections"] == 3
    assert facts.notes == []


def test_simple_packets_take_length_and_time_from_what_is_around_them() -> None:
    data = section() + interface(snaplen=10) + simple(b"a" * 10, 60) + enhanced(b"b", 7) + simple(b"c" * 4, 4)
    frames, facts = read(data)
    assert [(frame.data, frame.original_length, frame.time_ns) for frame in frames] == [
        (b"a" * 10, 60, 0),
        (b"b", 1, 7000),
        (b"c" * 4, 4, 7000),
    ]
    assert [note.kind for note in facts.notes] == ["capture.no-time"]


def test_obsolete_packets_are_read() -> None:
    data = section() + interface() + obsolete(b"abcde", 9, option(1, b"old")) + obsolete(b"abcd", 10, captured=4000)
    frames, facts = read(data)
    assert [(frame.data, frame.time_ns, frame.comment) for frame in frames] == [
        (b"abcde", 9000, "old"),
        (b"abcd", 10_000, ""),
    ]
    assert [note.kind for note in facts.notes] == ["capture.damaged"]


def test_comments_of_packets_are_kept_with_their_frame() -> None:
    data = (
        section()
        + interface()
        + enhanced(b"a", 1)
        + enhanced(b"b", 2, options=option(2, b"\1\0\0\0") + option(1, b"x\xff"))
    )
    data += enhanced(b"c", 3, options=option(1, b"one") + option(1, b"two") + option(0, b""))
    frames, _ = read(data)
    assert [frame.comment for frame in frames] == ["", "x\\xff", "one\ntwo"]


def test_names_secrets_statistics_and_unknown_blocks_are_kept_or_counted() -> None:
    names = option(1, b"\x0a\0\0\1gw\0alias\0") + option(2, bytes(15) + b"\1six\0") + option(7, b"??") + option(0, b"")
    data = section() + interface() + block(4, names) + block(4, option(1, b"\x0a\0\0\1gw\0new\0"))
    data += block(10, struct.pack("<II", 0x544C534B, 5) + b"hush!") + block(0xBAD, b"\1\0\0\0abcd") * 2
    counters = struct.pack("<III", 0, 0, 0) + option(4, struct.pack("<Q", 12)) + option(5, struct.pack("<Q", 3))
    data += block(5, counters + option(7, b"bad")) + block(9, b"MESSAGE=hello   ") + block(0x7777, b"") * 3
    data += enhanced(b"a", 1)
    frames, facts = read(data)
    assert len(frames) == 1
    assert facts.names == {"10.0.0.1": ("gw", "alias", "new"), "::1": ("six",)}
    assert [(secret.kind, secret.data) for secret in facts.secrets] == [(0x544C534B, b"hush!")]
    assert "hush" not in repr(facts)
    assert facts.extra["statistics"] == [{"interface": 0, "received": 12, "dropped": 3}]
    assert (facts.extra["custom_blocks"], facts.extra["journal_blocks"], facts.extra["unknown_blocks"]) == (2, 1, 3)
    assert facts.notes == []


@pytest.mark.parametrize(
    "names", [b"\1\0", b"\1\0\xff\xff", option(1, b"abc"), b""], ids=["cut", "long", "short", "empty"]
)
def test_names_that_cannot_be_read_are_left_out(names: bytes) -> None:
    frames, facts = read(section() + interface() + block(4, names) + enhanced(b"a", 1))
    assert len(frames) == 1
    assert facts.names == {}


def test_secrets_that_claim_too_much_are_cut_and_said() -> None:
    data = section() + block(10, struct.pack("<II", 1, 4_000_000_000) + b"abcd") + interface() + enhanced(b"a", 1)
    _, facts = read(data)
    assert facts.secrets[0].data == b"abcd"
    assert [note.kind for note in facts.notes] == ["capture.damaged"]


def test_secrets_beyond_the_limit_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcapng.MAX_SECRETS", 10)
    data = section() + block(10, struct.pack("<II", 1, 8) + b"abcdefgh") * 3 + interface() + enhanced(b"a", 1)
    _, facts = read(data)
    assert len(facts.secrets) == 1
    assert [note.kind for note in facts.notes] == ["capture.limit"]


@pytest.mark.parametrize("interfaces", [b"", interface(link=101)], ids=["none", "one"])
def test_packets_of_an_interface_not_described_are_read_like_the_first(interfaces: bytes) -> None:
    frames, facts = read(section() + interfaces + enhanced(b"abc", 5, number=7) * 2)
    assert [frame.data for frame in frames] == [b"abc"] * 2
    assert {frame.link_type for frame in frames} == {101 if interfaces else 1}
    assert [note.kind for note in facts.notes] == ["capture.damaged"]


def test_packet_lengths_that_lie_are_cut_to_the_block() -> None:
    data = section() + interface() + enhanced(b"abcd", 1, captured=5000) + enhanced(b"efgh", 2, original=2**32 - 1)
    frames, facts = read(data)
    assert [(frame.data, frame.original_length) for frame in frames] == [(b"abcd", 4), (b"efgh", 4)]
    assert [(note.kind, note.frame) for note in facts.notes] == [("capture.damaged", 1), ("capture.damaged", 2)]


def test_blocks_whose_length_leaves_out_the_padding_are_read() -> None:
    odd = bytearray(enhanced(b"abcde", 1))
    odd[4:8] = odd[-4:] = struct.pack("<I", len(odd) - 3)
    frames, facts = read(section() + interface() + bytes(odd) + enhanced(b"next", 2))
    assert [frame.data for frame in frames][-1] == b"next"
    assert len(frames) == 2
    assert {note.kind for note in facts.notes} <= {"capture.damaged"}


def test_block_whose_trailing_length_alone_is_wrong_is_kept() -> None:
    first = enhanced(b"abcd", 1)
    frames, facts = read(section() + interface() + first[:-4] + b"\xff" * 4 + enhanced(b"efgh", 2))
    assert [frame.data for frame in frames] == [b"abcd", b"efgh"]
    assert [note.kind for note in facts.notes] == ["capture.damaged"]


def test_blocks_too_short_for_their_type_are_said() -> None:
    frames, facts = read(section() + interface() + block(6, b"abcd") + block(1, b"") + enhanced(b"efgh", 2))
    assert [frame.data for frame in frames] == [b"efgh"]
    assert [note.kind for note in facts.notes] == ["capture.damaged"] * 2


def test_second_section_of_the_other_byte_order_is_found_after_damage() -> None:
    data = section("<") + interface("<") + enhanced(b"a" * 40, 1) + b"\xee" * 30
    data += section(">") + interface(">", 101) + enhanced(b"b" * 40, 2, ">")
    frames, facts = read(data)
    assert [frame.data[:1] for frame in frames] == [b"a", b"b"]
    assert [note.kind for note in facts.notes] == ["capture.damaged", "capture.resynchronised"]


def test_section_header_destroyed_between_byte_orders_is_overcome() -> None:
    data = section("<") + interface("<") + enhanced(b"a" * 40, 1)
    data += (
        b"\xee" * len(section(">")) + interface(">", 101) + enhanced(b"b" * 40, 2, ">") + enhanced(b"c" * 40, 3, ">")
    )
    frames, _ = read(data)
    assert [frame.data[:1] for frame in frames] == [b"a", b"b", b"c"]


def test_section_with_a_wrong_byte_order_magic_later_in_the_file_is_damage() -> None:
    bad = bytearray(section())
    bad[8:12] = b"\0\0\0\0"
    frames, facts = read(
        section() + interface() + enhanced(b"a" * 20, 1) + bytes(bad) + interface() + enhanced(b"b" * 20, 2)
    )
    assert [frame.data[:1] for frame in frames] == [b"a", b"b"]
    assert facts.notes[0].kind == "capture.damaged"


def test_section_of_an_unknown_version_is_read_and_said() -> None:
    frames, facts = read(section(major=2) + interface() + enhanced(b"a", 1))
    assert len(frames) == 1
    assert [note.kind for note in facts.notes] == ["capture.version"]


def test_frames_of_an_unknown_link_type_beside_others_are_a_note() -> None:
    frames, facts = read(
        section() + interface(link=127) + interface() + enhanced(b"a", 1) + enhanced(b"b", 1, number=1)
    )
    assert [frame.link_type for frame in frames] == [127, 1]
    assert [note.kind for note in facts.notes] == ["capture.link-type"]
    assert "127" in facts.notes[0].text


def test_frames_of_unknown_link_types_only_refuse_the_file() -> None:
    with pytest.raises(
        CaptureError, match=r"^test: unknown link type 127 \(IEEE802_11_RADIOTAP\), 4000 \(UNKNOWN_4000\)$"
    ):
        read(section() + interface(link=127) + interface(link=4000) + enhanced(b"a", 1) + enhanced(b"a", 1, number=1))


def test_damaged_places_beyond_the_limit_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcapng.MAX_DAMAGES", 3)
    data = section() + interface() + (enhanced(b"a" * 50, 1) + b"\xff" * 50) * 9
    frames, facts = read(data)
    assert len(frames) == 4
    assert facts.notes[-1].kind == "capture.limit"


def test_search_for_blocks_gives_up_after_its_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcapng.MAX_TRIED", 0)
    frames, facts = read(section() + interface() + enhanced(b"a" * 50, 1) + b"\xff" * 50 + enhanced(b"b" * 50, 1))
    assert len(frames) == 1
    assert [note.kind for note in facts.notes] == ["capture.damaged", "capture.limit"]


def test_notes_beyond_the_limit_are_counted() -> None:
    _, facts = read(section() + interface() + block(6, b"abcd") * 300 + enhanced(b"a", 1))
    assert len(facts.notes) == 201
    assert facts.notes[-1].kind == "capture.limit"
    assert facts.extra["notes_not_listed"] == 100


def test_statistics_and_interfaces_beyond_their_limits_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipsecscope.capture.pcapng.MAX_STATISTICS", 1)
    monkeypatch.setattr("ipsecscope.capture.pcapng.MAX_INTERFACES", 2)
    counters = block(5, struct.pack("<III", 0, 0, 0))
    data = section() + interface() * 4 + counters * 3 + enhanced(b"a", 1, number=3) + enhanced(b"b", 1, number=9)
    frames, facts = read(data)
    assert len(frames) == 2
    assert len(facts.extra["statistics"]) == 1
    assert len(facts.interfaces) == 2


def test_writer_output_is_read_back_with_everything() -> None:
    out = io.BytesIO()
    with PcapngWriter(out, hardware="hw", system="os", application="app", comment="c") as writer:
        first = writer.interface(1, name="eth0", description="uplink")
        writer.secrets(0x12345678, b"key")
        writer.names({"192.0.2.1": ["gw", "gw2"], "2001:db8::1": ["six"]})
        writer.write(SECOND * 10**9 + 1, b"data", interface=first, original_length=9, comment="look")
        writer.section()
        writer.write_frame(Frame(0, 1, 5, 101, b"raw", 3, "note"))
        writer.write_frame(Frame(0, 2, 6, 101, b"raw2", 4))
    frames, facts = read(out.getvalue())
    assert frames == [
        Frame(0, 1, SECOND * 10**9 + 1, 1, b"data", 9, "look"),
        Frame(0, 2, 5, 101, b"raw", 3, "note"),
        Frame(0, 3, 6, 101, b"raw2", 4),
    ]
    assert facts.names == {"192.0.2.1": ("gw", "gw2"), "2001:db8::1": ("six",)}
    assert facts.secrets[0].data == b"key"
    assert facts.comment == "c"
    assert facts.notes == []
