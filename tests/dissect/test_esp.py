from __future__ import annotations

from pathlib import Path

import dpkt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect.esp import Esp, EspTrailer, Padding, checksum, guess_null, inner_size
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import Field, Reader, WireError

# RFC 4303 section 2: SPI, sequence number, payload
PACKET = bytes.fromhex("c35a2d1e 00000007") + b"ciphertext and so on"


def check_place(error: WireError, size: int) -> None:
    assert 0 <= error.start <= error.stop <= size
    assert error.why


def ipv4_packet(protocol: int, payload: bytes) -> bytes:
    header = bytearray(bytes.fromhex("4500000000000000400000000a0100010a020001"))
    header[2:4] = (20 + len(payload)).to_bytes(2, "big")
    header[9] = protocol
    header[10:12] = checksum(bytes(header)).to_bytes(2, "big")
    return bytes(header) + payload


ICMP_PACKET = ipv4_packet(IpProtocol.ICMP, bytes.fromhex("0800f7fd00010001"))  # an echo request


def esp_payloads(path: Path) -> list[bytes]:
    """What stands behind the ESP header in every ESP packet of an Ethernet or raw IP capture."""
    found = []
    with path.open("rb") as stream:
        reader = dpkt.pcap.Reader(stream)
        skip = {1: 14, 101: 0, 12: 0}.get(reader.datalink(), 14)
        for _, frame in reader:
            version = frame[skip] >> 4
            protocol, start = (frame[skip + 9], 20) if version == 4 else (frame[skip + 6], 40)
            end = int.from_bytes(frame[skip + 2 : skip + 4], "big") if version == 4 else len(frame) - skip
            if protocol == 50:
                found.append(frame[skip + start + 8 : skip + end])
    return found


def tiles(field: Field) -> bool:
    position = field.start
    for child in field.children:
        if child.start != position or not tiles(child):
            return False
        position = child.stop
    return not field.children or position == field.stop


def test_esp_header_splits_spi_sequence_and_rest() -> None:
    esp = Esp.parse(PACKET)
    assert (esp.spi, esp.sequence, esp.data) == (0xC35A2D1E, 7, b"ciphertext and so on")
    assert esp.build() == PACKET
    assert esp.summary() == "ESP(SPI=0xc35a2d1e, seq=7)"
    assert not esp.has_reserved_spi


@pytest.mark.parametrize(("spi", "reserved"), [(0, True), (1, True), (255, True), (256, False), (0xFFFFFFFF, False)])
def test_trap_t09_reserved_spi_is_stated_and_parses(spi: int, reserved: bool) -> None:
    packet = spi.to_bytes(4, "big") + bytes(4)
    assert Esp.parse(packet).has_reserved_spi is reserved


@given(st.binary(max_size=64))
def test_esp_any_octets_rebuild_or_are_refused(data: bytes) -> None:
    try:
        esp = Esp.parse(data)
    except WireError:
        assert len(data) < 8
        return
    assert esp.build() == data
    assert tiles(Esp.trace(Reader(data)))


@given(st.binary(max_size=600))
def test_trailer_any_octets_rebuild_or_are_refused(data: bytes) -> None:
    try:
        trailer = EspTrailer.parse(data)
    except WireError as error:
        check_place(error, len(data))
        return
    assert trailer.build() == data
    field = EspTrailer.trace(Reader(data))
    assert tiles(field)
    assert (field.start, field.stop) == (0, len(data))
    assert isinstance(trailer.summary(), str)
    assert trailer.tfc_padding is None or trailer.tfc_padding >= 0


@given(st.binary(max_size=100), st.binary(max_size=255), st.integers(0, 255))
def test_trailer_built_parses_back_to_itself(payload: bytes, padding: bytes, next_header: int) -> None:
    trailer = EspTrailer(payload=payload, padding=padding, next_header=IpProtocol(next_header))
    assert EspTrailer.parse(trailer.build()) == trailer


@pytest.mark.parametrize("block", [1, 4, 8, 16])
@given(payload=st.binary(max_size=64))
def test_trailer_around_a_payload_fills_the_block(block: int, payload: bytes) -> None:
    trailer = EspTrailer.around(payload, IpProtocol.IPV4, block)
    assert len(trailer.build()) % max(block, 4) == 0
    assert trailer.padding_kind in (Padding.NONE, Padding.MONOTONIC)


@pytest.mark.parametrize(
    ("padding", "kind"),
    [
        (b"", Padding.NONE),
        (b"\1\2\3", Padding.MONOTONIC),
        (b"\0\0\0", Padding.ZEROS),
        (b"\3\2\1", Padding.OTHER),
    ],
    ids=["none", "rfc4303", "zeros", "other"],
)
def test_trap_t24_padding_of_every_kind_is_named(padding: bytes, kind: Padding) -> None:
    trailer = EspTrailer(payload=b"x", padding=padding, next_header=IpProtocol.UDP)
    assert EspTrailer.parse(trailer.build()).padding_kind is kind


def test_trap_t24_dummy_packet_and_tfc_padding_are_told() -> None:
    assert EspTrailer(payload=b"", next_header=IpProtocol.IPV6_NONXT).is_dummy
    trailer = EspTrailer(payload=ICMP_PACKET + bytes(100), next_header=IpProtocol.IPV4)
    assert trailer.tfc_padding == 100
    assert not trailer.is_dummy
    assert EspTrailer(payload=ICMP_PACKET[:24], next_header=IpProtocol.IPV4).tfc_padding is None
    assert trailer.summary() == "IPV4, 128 octets, 0 of padding"


def test_pad_length_beyond_the_data_is_refused_with_its_place() -> None:
    with pytest.raises(WireError) as caught:
        EspTrailer.parse(b"abc\x10\x04")
    assert (caught.value.start, caught.value.stop) == (3, 5)


@pytest.mark.parametrize(
    ("payload", "protocol", "size"),
    [
        (ICMP_PACKET, IpProtocol.IPV4, 28),
        (bytes.fromhex("6000000000083b40") + bytes(40), IpProtocol.IPV6, 48),
        (bytes.fromhex("0035003500140000"), IpProtocol.UDP, 20),
        (b"\x45", IpProtocol.IPV4, None),
        (bytes(40), IpProtocol.IPV6, None),
        (b"", IpProtocol.UDP, None),
        (bytes(20), IpProtocol.TCP, None),
    ],
)
def test_inner_size_is_what_the_inner_header_claims(payload: bytes, protocol: int, size: int | None) -> None:
    assert inner_size(payload, protocol) == size


UDP = bytes.fromhex("0035003500100000") + b"question"
IPV6 = bytes.fromhex("60000000000811ff") + bytes(32) + UDP[:8]
TCP = bytes.fromhex("c0010050 00000001 00000002 5010 ffff 0000 0000".replace(" ", "")) + b"GET"
ICMPV6 = bytes.fromhex("8000123400010001")


@pytest.mark.parametrize(
    ("payload", "protocol", "score"),
    [
        (ICMP_PACKET, IpProtocol.IPV4, 4),
        (ICMP_PACKET + bytes(9), IpProtocol.IPV4, 4),
        (ICMP_PACKET[20:], IpProtocol.ICMP, 4),
        (UDP, IpProtocol.UDP, 3),
        (UDP + bytes(20), IpProtocol.UDP, 2),
        (IPV6, IpProtocol.IPV6, 3),
        (TCP, IpProtocol.TCP, 1),
        (ICMPV6, IpProtocol.IPV6_ICMP, 1),
    ],
    ids=["tunnel", "tunnel-tfc", "icmp", "udp", "udp-tfc", "ipv6", "tcp", "icmpv6"],
)
@pytest.mark.parametrize(("iv", "icv"), [(0, 0), (0, 12), (0, 16), (0, 24), (0, 32), (8, 16), (8, 12)])
def test_guess_null_finds_what_is_in_the_clear(payload: bytes, protocol: int, score: int, iv: int, icv: int) -> None:
    plaintext = EspTrailer.around(payload, protocol).build()
    candidates = guess_null(bytes(range(200, 200 + iv)) + plaintext + bytes(range(100, 100 + icv)))
    found = [each for each in candidates if (each.iv_length, each.icv_length) == (iv, icv)]
    assert [each.score for each in found] == [score]
    assert found[0].trailer.payload == payload
    assert found[0].overhead == iv + icv
    assert found[0].is_gmac is (iv == 8)


@pytest.mark.parametrize(
    ("payload", "protocol"),
    [
        (b"", IpProtocol.IPV4),
        (bytes(28), IpProtocol.IPV4),
        (ICMP_PACKET[:10] + b"\xff\xff" + ICMP_PACKET[12:], IpProtocol.IPV4),
        (b"\x4f" + ICMP_PACKET[1:], IpProtocol.IPV4),
        (ICMP_PACKET[20:-1] + b"\xff", IpProtocol.ICMP),
        (UDP[:4] + b"\xff\xff" + UDP[6:], IpProtocol.UDP),
        (UDP[:4] + b"\0\7" + UDP[6:], IpProtocol.UDP),
        (TCP[:12], IpProtocol.TCP),
        (TCP[:12] + b"\x10\x10" + TCP[14:], IpProtocol.TCP),
        (TCP[:13] + b"\x07" + TCP[14:], IpProtocol.TCP),
        (b"\xff" + ICMPV6[1:], IpProtocol.IPV6_ICMP),
        (bytes(9), IpProtocol.ICMP),
        (bytes(16), IpProtocol.IPV6_NONXT),
        (bytes(16), IpProtocol(200)),
    ],
)
def test_guess_null_refuses_what_does_not_hold_together(payload: bytes, protocol: int) -> None:
    assert guess_null(EspTrailer.around(payload, protocol).build(), icv_lengths=(0,)) == ()


def test_guess_null_refuses_padding_that_is_not_monotonic() -> None:
    trailer = EspTrailer(payload=ICMP_PACKET, padding=b"\0\0", next_header=IpProtocol.IPV4)
    assert guess_null(trailer.build(), icv_lengths=(0,)) == ()


@given(st.binary(max_size=300))
def test_guess_null_any_octets_are_survived(data: bytes) -> None:
    for candidate in guess_null(data):
        assert 1 <= candidate.score <= 4


@pytest.mark.parametrize(
    ("scenario", "overhead"),
    [("xfrm-manual-esp-tunnel-null-sha256", 16), ("xfrm-ikev2-esp-null", None)],
)
def test_guess_null_opens_integrity_only_captures(shared: Path, scenario: str, overhead: int | None) -> None:
    payloads = esp_payloads(shared / "captures/lab" / scenario / "capture.pcap")
    assert payloads
    for payload in payloads:
        best = guess_null(payload)[0]
        assert best.score >= 3
        assert overhead is None or best.overhead == overhead
        assert not best.is_gmac


@pytest.mark.parametrize("scenario", ["xfrm-manual-esp-tunnel-gmac", "xfrm-ikev2-esp-null-gmac"])
def test_trap_t42_esp_null_with_gmac_is_told_from_hmac(shared: Path, scenario: str) -> None:
    payloads = esp_payloads(shared / "captures/lab" / scenario / "capture.pcap")
    assert payloads
    for payload in payloads:
        best = guess_null(payload)[0]
        assert best.is_gmac
        assert (best.iv_length, best.icv_length, best.score) == (8, 16, 4)


def test_guess_null_stays_silent_on_encrypted_captures(shared: Path) -> None:
    packets = wrong = 0
    for folder in sorted((shared / "captures/lab").glob("xfrm-*")):
        if "null" in folder.name or "gmac" in folder.name or not (folder / "capture.pcap").is_file():
            continue
        for payload in esp_payloads(folder / "capture.pcap")[:200]:
            packets += 1
            wrong += any(candidate.score >= 2 for candidate in guess_null(payload))
    assert packets > 500
    assert wrong == 0
