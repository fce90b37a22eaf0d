from __future__ import annotations

import zlib
from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect import aggfrag
from ipsecscope.dissect.aggfrag import (
    AggfragCongestion,
    AggfragPayload,
    AggfragPlain,
    AggfragUnknown,
    BlockKind,
    join,
    walk_blocks,
)
from ipsecscope.dissect.esp import Esp, EspTrailer
from ipsecscope.dissect.ipcomp import IpComp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wesp import ENCRYPTED, PADDED, UdpWesp, Wesp
from ipsecscope.dissect.wire import Field, Reader, Struct, WireError


def check_place(error: WireError, size: int) -> None:
    assert 0 <= error.start <= error.stop <= size
    assert error.why


def tiles(field: Field) -> bool:
    position = field.start
    for child in field.children:
        if child.start != position or not tiles(child):
            return False
        position = child.stop
    return not field.children or position == field.stop


@pytest.mark.parametrize("cls", [Wesp, UdpWesp, IpComp, AggfragPayload], ids=lambda cls: cls.__name__)
@given(data=st.binary(max_size=120))
def test_small_header_any_octets_rebuild_or_are_refused(cls: type[Struct], data: bytes) -> None:
    try:
        value = cls.parse(data)
    except WireError as error:
        check_place(error, len(data))
        return
    assert value.build() == data
    field = cls.trace(Reader(data))
    assert tiles(field)
    assert (field.start, field.stop) == (0, len(data))
    assert isinstance(value.summary(), str)


INNER = b"inner packet"
CLEAR = EspTrailer.around(INNER, IpProtocol.TCP).build()
ESP = Esp(spi=0x1234, sequence=1, data=CLEAR + bytes(12)).build()


def test_wesp_of_an_integrity_only_packet_gives_the_plaintext() -> None:
    wesp = Wesp(next_header=IpProtocol.TCP, header_length=12, trailer_length=12, data=ESP)
    again = Wesp.parse(wesp.build())
    assert again == wesp
    assert (again.version, again.is_encrypted) == (0, False)
    assert again.esp == Esp.parse(ESP)
    assert again.cleartext is not None
    assert again.cleartext.payload == INNER
    assert again.summary() == "WESP integrity only, TCP"


def test_wesp_padding_follows_its_flag_and_shifts_the_header_length() -> None:
    wesp = Wesp(
        next_header=IpProtocol.TCP, header_length=16, trailer_length=12, flags=PADDED, padding=bytes(4), data=ESP
    )
    again = Wesp.parse(wesp.build())
    assert again == wesp
    assert again.cleartext is not None
    assert again.cleartext.payload == INNER


def test_wesp_of_an_encrypted_packet_gives_no_plaintext() -> None:
    wesp = Wesp(next_header=IpProtocol(0), header_length=0, trailer_length=0, flags=ENCRYPTED | 0x40, data=ESP)
    assert wesp.cleartext is None
    assert wesp.version == 1
    assert wesp.summary() == "WESP encrypted"


@pytest.mark.parametrize("header_length", [0, 11, 200])
def test_wesp_header_length_that_lies_gives_no_plaintext(header_length: int) -> None:
    assert Wesp(next_header=IpProtocol.TCP, header_length=header_length, trailer_length=255, data=ESP).cleartext is None


def test_wesp_too_short_for_esp_has_none() -> None:
    assert Wesp(next_header=IpProtocol.TCP, header_length=12, trailer_length=12, data=b"abc").esp is None


def test_trap_t43_wesp_in_udp_is_told_by_the_spi_2_and_traced_to_the_inner_packet() -> None:
    wesp = Wesp(next_header=IpProtocol.TCP, header_length=12, trailer_length=12, data=ESP)
    payload = UdpWesp(data=wesp.build()).build()
    assert UdpWesp.matches(payload)
    assert not UdpWesp.matches(ESP)
    assert UdpWesp.parse(payload).content() == wesp
    esp = UdpWesp.trace(Reader(payload)).children[1].children[-1]
    assert [child.name for child in esp.children] == ["spi", "sequence", "data"]
    assert (esp.children[0].start, esp.children[0].stop) == (8, 12)


def deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


def test_trap_t43_ipcomp_header_and_deflate() -> None:
    text = b"compress me " * 50
    ipcomp = IpComp(next_header=IpProtocol.UDP, cpi=2, data=deflate(text))
    again = IpComp.parse(ipcomp.build())
    assert again == ipcomp
    assert again.is_well_known
    assert again.inflate() == text
    assert again.summary() == "IPComp(CPI=0x0002) UDP"


@pytest.mark.parametrize(
    ("data", "limit"),
    [(b"\xff\xff\xff", 65535), (deflate(bytes(1000))[:-1], 65535), (deflate(bytes(1000)), 999), (b"", 10)],
    ids=["not-deflate", "cut", "beyond-the-limit", "empty"],
)
def test_inflate_what_is_no_whole_packet_gives_none(data: bytes, limit: int) -> None:
    assert IpComp(next_header=IpProtocol.UDP, cpi=300, data=data).inflate(limit) is None


def test_ipcomp_of_a_real_kernel_inflates(shared: Path) -> None:
    """ESP-in-IPComp needs keys; the header alone is checked where IPComp stands in the clear."""
    with (shared / "captures/lab/xfrm-ikev2-ipcomp/capture.pcap").open("rb") as stream:
        for _, frame in dpkt.pcap.Reader(stream):
            if frame[12:14] == b"\x08\x00" and frame[23] == 108:
                assert IpComp.parse(frame[34:]).inflate() is not None


def ipv4(size: int, fill: bytes = b"x") -> bytes:
    return b"\x45\0" + size.to_bytes(2, "big") + fill * (size - 4)


def ipv6(size: int) -> bytes:
    return b"\x60\0\0\0" + (size - 40).to_bytes(2, "big") + b"y" * (size - 6)


def test_aggfrag_data_blocks_are_walked_by_their_ip_headers() -> None:
    payload = AggfragPlain(block_offset=5, data_blocks=b"rest." + ipv4(20) + ipv6(48) + bytes(7))
    again = AggfragPayload.parse(payload.build())
    assert again == payload
    blocks = again.blocks()
    assert [block.kind for block in blocks] == [
        BlockKind.CONTINUATION,
        BlockKind.IPV4,
        BlockKind.IPV6,
        BlockKind.PAD,
    ]
    assert [(block.start, block.stop) for block in blocks] == [(0, 5), (5, 25), (25, 73), (73, 80)]
    assert [block.is_complete for block in blocks] == [False, True, True, False]
    assert again.summary() == "AGGFRAG, 4 blocks"


def test_aggfrag_congestion_fields_are_cut_from_their_64_bits() -> None:
    delays = 1234 << 42 | 567 << 21 | 89
    payload = AggfragCongestion(flags=3, loss_event_rate=7, delays=delays, data_blocks=ipv4(20))
    again = AggfragPayload.parse(payload.build())
    assert isinstance(again, AggfragCongestion)
    assert (again.round_trip_time, again.echo_delay, again.transmit_delay) == (1234, 567, 89)
    assert again.path_mtu_discovery
    assert again.congestion_experienced
    assert len(payload.build()) == 24 + 20
    assert again.summary() == "AGGFRAG, 1 blocks, loss event rate 7"
    assert join([again]) == (ipv4(20),)
    assert again == payload
    assert AggfragCongestion.parse(payload.build()) == payload


@pytest.mark.parametrize("data", [b"", b"\x07\x01\x02"], ids=["empty", "sub-type 7"])
def test_aggfrag_unknown_sub_type_keeps_its_octets(data: bytes) -> None:
    payload = AggfragPayload.parse(data)
    assert isinstance(payload, AggfragUnknown)
    assert payload.build() == data
    assert payload.blocks() == ()
    assert payload.contents() == (b"", 0)
    assert join([payload]) == ()


@pytest.mark.parametrize(
    ("data", "kinds"),
    [
        (b"\x90abc", [BlockKind.UNKNOWN]),
        (b"\x45\0\0\x05more", [BlockKind.UNKNOWN]),
        (b"\x45\0", [BlockKind.IPV4]),
        (b"\x60\0\0", [BlockKind.IPV6]),
    ],
    ids=["version-9", "length-5", "cut-v4", "cut-v6"],
)
def test_aggfrag_block_that_cannot_be_measured_ends_the_walk(data: bytes, kinds: list[BlockKind]) -> None:
    blocks = walk_blocks(data, 0)
    assert [block.kind for block in blocks] == kinds
    assert blocks[-1].stop == len(data)
    assert not blocks[-1].is_complete


@given(st.lists(st.integers(20, 300), min_size=1, max_size=12), st.integers(30, 200))
def test_trap_t43_aggfrag_packets_cut_at_any_size_join_again(sizes: list[int], room: int) -> None:
    packets = [
        ipv4(size, bytes([65 + index])) if index % 2 else ipv6(max(size, 40)) for index, size in enumerate(sizes)
    ]
    stream, starts, position = b"".join(packets), [], 0
    for packet in packets:
        starts.append(position)
        position += len(packet)
    payloads = []
    for begin in range(0, len(stream), room):
        piece = stream[begin : begin + room]
        offset = next((start - begin for start in starts if start >= begin), len(stream) - begin)
        payloads.append(AggfragPlain(block_offset=offset, data_blocks=piece))
    assert join(payloads) == tuple(packets)
    assert len(join(payloads[1:])) <= len(packets)


def test_aggfrag_continuation_without_a_beginning_is_left_out() -> None:
    payload = AggfragPlain(block_offset=10, data_blocks=b"0123456789" + ipv4(20))
    assert join([payload]) == (ipv4(20),)


def test_aggfrag_join_stops_at_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggfrag, "MAX_JOINED", 3)
    assert len(join([AggfragPlain(data_blocks=ipv4(20) * 10)])) == 3
