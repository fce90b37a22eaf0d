from __future__ import annotations

from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect.ah import Ah
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import Reader, WireError

# RFC 4302 section 2: next header 4, 4 words, reserved, SPI, sequence number, 12 octets of ICV, an inner octet
PACKET = bytes.fromhex("04040000 c35a2d1e 00000007 000102030405060708090a0b 45")


def check_place(error: WireError, size: int) -> None:
    assert 0 <= error.start <= error.stop <= size
    assert error.why


def test_ah_header_splits_its_fields() -> None:
    ah = Ah.parse(PACKET)
    assert (ah.next_header, ah.spi, ah.sequence) == (IpProtocol.IPV4, 0xC35A2D1E, 7)
    assert (ah.icv, ah.data) == (bytes(range(12)), b"\x45")
    assert ah.payload_len is None
    assert ah.header_size == 24
    assert ah.build() == PACKET
    assert ah.summary() == "AH(SPI=0xc35a2d1e, seq=7) IPV4"


def test_icv_region_covers_the_icv_and_leaves_its_padding() -> None:
    ah = Ah(next_header=IpProtocol.TCP, spi=1, sequence=1, icv=bytes(16) + b"pad!")
    assert ah.icv_region(16) == (12, 28)
    assert ah.split_icv(16) == (bytes(16), b"pad!")
    assert ah.icv_region(99) == (12, 32)


@pytest.mark.parametrize("words", [0])
def test_payload_len_below_the_header_is_refused(words: int) -> None:
    with pytest.raises(WireError) as caught:
        Ah.parse(bytes([4, words]) + bytes(22))
    assert (caught.value.start, caught.value.stop) == (1, 2)


def test_payload_len_beyond_the_packet_is_refused() -> None:
    with pytest.raises(WireError):
        Ah.parse(b"\x04\xff" + PACKET[2:])


@given(st.binary(max_size=100))
def test_ah_any_octets_rebuild_or_are_refused(data: bytes) -> None:
    try:
        ah = Ah.parse(data)
    except WireError as error:
        check_place(error, len(data))
        return
    assert ah.build() == data
    field = Ah.trace(Reader(data))
    stops = [child.stop for child in field.children]
    assert [child.start for child in field.children] == [0, *stops[:-1]]
    assert stops[-1] == len(data)


@given(
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 0xFFFFFFFF),
    st.integers(0, 20).flatmap(lambda words: st.binary(min_size=words * 4, max_size=words * 4)),
    st.binary(max_size=40),
)
def test_ah_built_parses_back_to_itself(
    next_header: int, reserved: int, spi: int, sequence: int, icv: bytes, data: bytes
) -> None:
    ah = Ah(next_header=IpProtocol(next_header), reserved=reserved, spi=spi, sequence=sequence, icv=icv, data=data)
    assert Ah.parse(ah.build()) == ah


@pytest.mark.parametrize(
    ("scenario", "size"),
    [("xfrm-manual-ah-transport-sha256", 20), ("xfrm-manual-ah-transport-md5", 12)],
)
def test_ah_of_a_real_kernel_has_the_padding_of_linux(shared: Path, scenario: str, size: int) -> None:
    """Linux pads the ICV of IPv4 to 8 octets as well, with octets that are not zero."""
    count = 0
    with (shared / "captures/lab" / scenario / "capture.pcap").open("rb") as stream:
        for _, frame in dpkt.pcap.Reader(stream):
            if frame[12:14] == b"\x08\x00" and frame[23] == 51:
                ah = Ah.parse(frame[34:])
                assert ah.build() == frame[34:]
                assert len(ah.icv) == size
                count += 1
    assert count
