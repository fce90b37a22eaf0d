"""L4: columns(capture) == [scalar(frame) for frame in capture], on every reference capture and on generated frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packets import (
    SPI_R,
    START,
    A,
    B,
    ah,
    esp,
    ethernet,
    extension,
    fragment6,
    frame,
    gre,
    icmp_error,
    ike,
    ipv4,
    ipv6,
    records,
    tcp,
    udp,
    vlan,
)

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.capture.columns import Columns, classify
from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.pipeline import BULK, Pipeline
from ipsecscope.capture.records import Frame, Records

SIMPLE = ("file", "frame", "time_ns", "kind", "encapsulation", "sport", "dport", "missing", "ttl", "dscp", "fragments")
Row = tuple[Any, ...]
Outcome = tuple[list[Row], list[Datagram], list[Datagram], list[Any], int, int, list[ClearTraffic]]


def scalar_row(datagram: Datagram) -> Row:
    at = {Kind.ESP: 0, Kind.AH: 4}.get(datagram.kind)
    words = (
        (0, 0) if at is None else tuple(int.from_bytes(datagram.payload[at + n : at + n + 4], "big") for n in (0, 4))
    )
    return (
        *(getattr(datagram, name) for name in SIMPLE),
        *words,
        datagram.src,
        datagram.dst,
        datagram.wire_length,
        datagram.payload,
        datagram.packet,
        datagram.duplicate_of or 0,
    )


def column_rows(columns: Columns) -> list[Row]:
    return [
        (
            *(getattr(columns, name)[index].item() for name in SIMPLE),
            columns.spi[index].item(),
            columns.seq[index].item(),
            columns.addresses[columns.src[index]],
            columns.addresses[columns.dst[index]],
            columns.length[index].item(),
            columns.payload(index),
            columns.packet(index),
            columns.duplicate_of[index].item(),
        )
        for index in range(len(columns))
    ]


def clear(pipeline: Pipeline) -> list[ClearTraffic]:
    """What was counted outside IPsec; which packets came right behind ESP is told within one window only."""
    return [msgspec.structs.replace(each, echoes=0) for each in pipeline.clear.traffic()]


def scalar(frames: Iterable[Frame], ports: frozenset[int] = frozenset()) -> Outcome:
    pipeline = Pipeline(ports)
    found = [each for one in frames for each in pipeline.feed(one)]
    rows = [scalar_row(each) for each in found if each.kind in BULK]
    rest = [each for each in found if each.kind not in BULK]
    return rows, rest, pipeline.finish(), pipeline.notes, pipeline.frames, pipeline.other, clear(pipeline)


def columnar(windows: Iterable[Records], ports: frozenset[int] = frozenset()) -> Outcome:
    pipeline = Pipeline(ports)
    rows: list[Row] = []
    rest: list[Datagram] = []
    for window in windows:
        columns, datagrams = classify(window, pipeline)
        rows += column_rows(columns)
        rest += datagrams
    return rows, rest, pipeline.finish(), pipeline.notes, pipeline.frames, pipeline.other, clear(pipeline)


def windows(frames: Sequence[Frame], sizes: Sequence[int], room: int = 256) -> Iterable[Records]:
    at = 0
    for size in [*sizes, len(frames)]:
        if frames[at : at + size]:
            yield records(frames[at : at + size], room=room)
        at += size


# -- on the reference captures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [8 << 20, 1500], ids=["one-window", "small-windows"])
def test_columns_are_the_scalar_path_on_every_reference_capture(shared: Path, size: int) -> None:
    paths = sorted(path for path in (shared / "captures").rglob("*.pcap*") if path.suffix != ".txt")
    assert len(paths) > 300
    rows = 0
    for path in paths:
        expected = scalar(open_capture(path).frames())
        assert columnar(open_capture(path).windows(size)) == expected, path
        rows += len(expected[0])
    print(f"\ncolumns == scalar on {len(paths)} of {len(paths)} captures, {rows} rows")
    assert rows > 5000


# -- on generated frames -------------------------------------------------------------------------------------------

PORTS = (500, 848, 4500, 4500, 4500, 4789, 2152, 7500, 53, 7000, 7001)
IKES = (ike(), ike(exchange=35, first=46, message_id=1, spi_r=SPI_R), ike(exchange=2, version=0x10, flags=0, first=1))
PAYLOADS = (
    esp(),
    esp(seq=2, size=30),
    esp()[:8],
    esp()[:7],
    esp(spi=0),
    esp(spi=2),
    b"\xff",
    b"\xff\xff",
    b"",
    bytes(4),
    *IKES,
    *(bytes(4) + each for each in IKES),
    ike(length=70),
    b"\x08\x00\x00\x00\x00\x00\x05\x00" + ethernet(ipv4(esp(), 50)),
)
CTCP_TRAILER = bytes(4) + b"\0\x07\x40\0" + b"!VID!" + b"\x32\0\0"
SEGMENTS = (
    b"IKETCP" + b"\x00\x56" + bytes(4) + ike(),
    b"\x00\x42" + esp(),
    b"\x00\x03\xff",
    b"GET / HTTP/1.1",
    b"",
    b"IKETC",
    esp() + CTCP_TRAILER,
    udp(ike()) + CTCP_TRAILER[:13] + b"\x11\0\0",
    esp()[:-1] + CTCP_TRAILER,
)


@st.composite
def transports(draw: st.DrawFn) -> tuple[int, bytes]:
    kind = draw(st.sampled_from(["udp", "udp", "udp", "esp", "ah", "tcp", "icmp", "other"]))
    if kind == "udp":
        length = draw(st.sampled_from([None] * 8 + [0, 7, 9, 20, 40, 5000]))
        return 17, udp(
            draw(st.sampled_from(PAYLOADS)), draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS)), length=length
        )
    if kind == "tcp":
        ports = draw(st.sampled_from([(40000, 4500), (4500, 40000), (40000, 443), (443, 40000), (40000, 10000)]))
        seq = draw(st.sampled_from([1000, 1086, 1092, 1150]))
        words = draw(st.sampled_from([5, 5, 5, 6, 8, 2]))
        flags = draw(st.sampled_from([0x18, 0x18, 0x18, 0x02, 0x04]))
        return 6, tcp(draw(st.sampled_from(SEGMENTS)), *ports, seq=seq, words=words, flags=flags)
    if kind == "icmp":
        quoted = ipv4(udp(ike()), 17)
        return 1, icmp_error(draw(st.sampled_from([0, 3, 8, 11])), 4, quoted, 1400)
    if kind == "other":
        return draw(
            st.sampled_from(
                [(89, bytes(40)), (4, ipv4(esp(), 50)), (47, gre(ipv4(esp(), 50))), (108, bytes(9)), (141, esp())]
            )
        )
    if kind == "ah":
        return 51, ah(draw(st.sampled_from([b"", esp()])), draw(st.sampled_from([6, 17, 50, 51])))
    return 50, draw(st.sampled_from([esp(), esp(seq=9), esp()[:9], esp()[:5]]))


@st.composite
def packets(draw: st.DrawFn) -> tuple[int, bytes]:
    """An IP packet and its version."""
    protocol, payload = draw(transports())
    odd = draw(st.integers(0, 9))
    src, dst = draw(st.sampled_from([(A, B), (B, A), ("10.0.0.1", B)]))
    if draw(st.booleans()):
        identification = draw(st.integers(0, 3))
        options = b"\x01\x01\x01\x00" if odd == 0 else b""
        flags, offset = (
            draw(st.sampled_from([(1, 0), (0, 24), (1, 24)])) if odd == 1 else (draw(st.sampled_from([0, 2])), 0)
        )
        total = draw(st.sampled_from([0, 10, 25, 30, 33, 4000])) if odd == 2 else None
        return 4, ipv4(
            payload,
            protocol,
            src,
            dst,
            identification=identification,
            flags=flags,
            offset=offset,
            options=options,
            total=total,
        )
    protocol = 58 if protocol == 1 else protocol
    if odd == 0:
        protocol, payload = draw(st.sampled_from([0, 43, 60])), extension(protocol, payload)
    elif odd == 1:
        protocol, payload = 44, fragment6(protocol, payload, draw(st.sampled_from([0, 24])), more=draw(st.booleans()))
    length = draw(st.sampled_from([0, 5, 4000])) if odd == 2 else None
    return 6, ipv6(payload, protocol, f"::{src}", f"::{dst}", length=length)


@st.composite
def links(draw: st.DrawFn) -> tuple[int, bytes]:
    """A record and its link type."""
    version, packet = draw(packets())
    kind = 0x0800 if version == 4 else 0x86DD
    wrap: Callable[[], tuple[int, bytes]] = draw(
        st.sampled_from(
            [
                lambda: (1, ethernet(packet, kind)),
                lambda: (1, ethernet(packet, kind, pad=60)),
                lambda: (1, ethernet(vlan(packet, 42, kind), 0x8100)),
                lambda: (1, ethernet(vlan(vlan(packet, 42, kind), 7, 0x8100), 0x88A8)),
                lambda: (1, ethernet(b"\xaa\xaa\x03\x00\x00\x00" + kind.to_bytes(2, "big") + packet, 100)),
                lambda: (1, ethernet(packet, 0x0806)),
                lambda: (101, packet),
                lambda: (12, packet),
                lambda: (0, (b"\x02\x00\x00\x00" if version == 4 else b"\x1e\x00\x00\x00") + packet),
                lambda: (108, (b"\x00\x00\x00\x02" if version == 4 else b"\x00\x00\x00\x18") + packet),
                lambda: (113, bytes(14) + kind.to_bytes(2, "big") + packet),
                lambda: (276, kind.to_bytes(2, "big") + bytes(18) + packet),
                lambda: (9, b"\xff\x03\x00" + (b"\x21" if version == 4 else b"\x57") + packet),
                lambda: (147, packet),
            ]
        )
    )
    return wrap()


@st.composite
def captures(draw: st.DrawFn) -> list[Frame]:
    """Frames close in time, some of them damaged or cut, some repeated."""
    count = draw(st.integers(1, 14))
    found: list[Frame] = []
    now = START
    for number in range(1, count + 1):
        now += draw(st.sampled_from([0, 1000, 1_000_000, 1_000_001, 10**9, -5_000_000]))
        if found and draw(st.integers(0, 3)) == 0:
            again = draw(st.sampled_from(found))
            found.append(
                frame(again.data, number, link_type=again.link_type, time_ns=now, original=again.original_length)
            )
            continue
        link_type, data = draw(links())
        damage = draw(st.integers(0, 5))
        octets = bytearray(data)
        if damage == 0:
            octets[draw(st.integers(0, min(80, len(octets) - 1)))] = draw(st.integers(0, 255))
        stop = draw(st.integers(0, len(octets))) if damage == 1 else len(octets)
        original = max(len(data), stop)
        found.append(frame(bytes(octets[:stop]), number, link_type=link_type, time_ns=now, original=original))
    return found


@given(
    captures(),
    st.lists(st.integers(1, 5), max_size=3),
    st.sampled_from([0, 256]),
    st.sampled_from([(), (7500,), (4500, 70000)]),
)
@settings(max_examples=600, deadline=None)
def test_columns_are_the_scalar_path_on_generated_frames(
    capture: list[Frame], sizes: list[int], room: int, ports: tuple[int, ...]
) -> None:
    extra = frozenset(ports)
    assert columnar(windows(capture, sizes, room), extra) == scalar(capture, extra)


@given(st.lists(st.tuples(st.sampled_from([1, 0, 12, 101, 113, 276]), st.binary(max_size=150)), min_size=1, max_size=8))
def test_columns_are_the_scalar_path_on_random_octets(datas: list[tuple[int, bytes]]) -> None:
    capture = [frame(data, n, link_type=link_type) for n, (link_type, data) in enumerate(datas, 1)]
    assert columnar(windows(capture, [2])) == scalar(capture)
