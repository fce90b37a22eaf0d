"""Laws of capture files: what is written is read, in any window; one damaged place costs one record; bytes never raise."""

from __future__ import annotations

import io

from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.link_types import READABLE
from ipsecscope.capture.records import CaptureError, Frame
from ipsecscope.capture.writer import PcapngWriter, PcapWriter

ORDERS = st.sampled_from(["little", "big"])
WINDOWS = st.sampled_from([16, 100, 1000, 1 << 16])
LINKS = st.sampled_from(sorted(READABLE))
TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@st.composite
def frames(draw: st.DrawFn, *, most_ns: int, several: bool) -> list[Frame]:
    """Frames with any times and lengths; an all-zero pcap record header is the one thing that is taken for damage."""
    link = draw(LINKS)
    rows = draw(
        st.lists(st.tuples(st.integers(0, most_ns), st.binary(max_size=90), st.integers(1, 2**24)), max_size=30)
    )
    return [
        Frame(
            file=0,
            number=number,
            time_ns=time_ns,
            link_type=draw(LINKS) if several else link,
            data=data,
            original_length=original,
            comment=draw(TEXT) if several else "",
        )
        for number, (time_ns, data, original) in enumerate(rows, 1)
    ]


@given(frames(most_ns=(2**32 - 1) * 10**9, several=False), ORDERS, WINDOWS)
def test_pcap_written_is_read_back(written: list[Frame], order: str, window: int) -> None:
    out = io.BytesIO()
    with PcapWriter(out, link_type=written[0].link_type if written else 1, byte_order=order) as writer:
        for frame in written:
            writer.write_frame(frame)
    reader = open_capture(io.BytesIO(out.getvalue()))
    assert list(reader.frames(window)) == written
    assert reader.facts.notes == []


@given(frames(most_ns=2**63 - 1, several=True), ORDERS, WINDOWS)
def test_pcapng_written_is_read_back(written: list[Frame], order: str, window: int) -> None:
    out = io.BytesIO()
    with PcapngWriter(out, byte_order=order) as writer:
        for frame in written:
            writer.write_frame(frame)
    reader = open_capture(io.BytesIO(out.getvalue()))
    assert list(reader.frames(window)) == written
    assert reader.facts.notes == []


@given(
    st.sampled_from([b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x34\xcd\xb2\xa1", b"\n\r\r\n\x1c\0\0\0M<+\x1a", b""]),
    st.binary(max_size=300),
    WINDOWS,
)
def test_any_bytes_are_read_or_refused(magic: bytes, data: bytes, window: int) -> None:
    try:
        for frame in open_capture(io.BytesIO(magic + data)).frames(window):
            assert frame.data in data
    except CaptureError as why:
        assert str(why).isprintable()  # noqa: PT017 - it may be raised or not


@given(st.integers(0, 29), st.binary(min_size=16, max_size=40), st.booleans(), WINDOWS)
def test_junk_between_records_costs_no_record(place: int, junk: bytes, pcapng: bool, window: int) -> None:
    out = io.BytesIO()
    writer = PcapngWriter(out) if pcapng else PcapWriter(out, link_type=1)
    if isinstance(writer, PcapngWriter):
        writer.interface(1)
    data = [bytes([number]) * (20 + number) for number in range(30)]
    for number, packet in enumerate(data):
        if number == place:
            out.write(b"\xff" * 16 + junk)
        writer.write(1_790_000_000 * 10**9 + number, packet)
    writer.close()
    assert [frame.data for frame in open_capture(io.BytesIO(out.getvalue())).frames(window)] == data
