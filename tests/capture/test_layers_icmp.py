"""ICMP errors that quote IPsec are facts about the path, never traffic (RFC 792, 1191, 4443, 4884)."""

from __future__ import annotations

import pytest
from packets import A6, B6, SPI_I, A, B, ah, esp, frame, icmp_error, ike, ipv4, ipv6, udp

from ipsecscope.capture.datagrams import Datagram, IcmpError, Kind
from ipsecscope.capture.layers import Decoder

ROUTER, ROUTER6 = "203.0.113.9", "2001:db8::9"
IKE = ipv4(udp(ike(400)), 17, ttl=3)


def error(message: bytes) -> list[Datagram]:
    return Decoder().decode(frame(ipv4(message, 1, ROUTER, A), link_type=101))


def error6(message: bytes) -> list[Datagram]:
    return Decoder().decode(frame(ipv6(message, 58, ROUTER6, A6), link_type=101))


def test_port_unreachable_quotes_the_ike_message() -> None:
    message = icmp_error(3, 3, IKE)
    (found,) = error(message)
    assert (found.kind, found.src, found.dst, found.payload) == (Kind.ICMP, ROUTER, A, message)
    assert found.icmp == IcmpError(sender=ROUTER, type=3, code=3, mtu=None, version=4)
    assert found.layers == ("RAW", "IPv4", "ICMP")
    quoted = found.quoted
    assert quoted is not None
    assert (quoted.kind, quoted.src, quoted.dst, quoted.sport, quoted.ttl) == (Kind.IKE, A, B, 500, 3)
    assert (quoted.payload, quoted.missing, quoted.layers) == (ike(400), 0, ("IPv4", "UDP"))


def test_quote_of_eight_octets_still_tells_the_port() -> None:
    (found,) = error(icmp_error(3, 3, IKE[:28]))
    assert found.quoted is not None
    assert (found.quoted.kind, found.quoted.payload, found.quoted.missing) == (Kind.IKE, b"", 400)


def test_quote_with_some_of_the_header_keeps_the_spi() -> None:
    (found,) = error(icmp_error(11, 0, IKE[:36]))
    assert found.quoted is not None
    assert (found.quoted.kind, found.quoted.payload) == (Kind.IKE, SPI_I)


def test_fragmentation_needed_gives_the_mtu() -> None:
    (found,) = error(icmp_error(3, 4, ipv4(esp(), 50)[:28], rest=1400))
    assert found.icmp is not None
    assert found.icmp.mtu == 1400
    assert found.quoted is not None
    assert (found.quoted.kind, found.quoted.payload, found.quoted.missing) == (Kind.ESP, esp()[:8], 56)


def test_fragmentation_needed_from_an_old_router_gives_no_mtu() -> None:
    (found,) = error(icmp_error(3, 4, ipv4(esp(), 50)[:28]))
    assert found.icmp is not None
    assert found.icmp.mtu is None


def test_packet_too_big_gives_the_mtu() -> None:
    (found,) = error6(icmp_error(2, 0, ipv6(esp(), 50), rest=1280))
    assert found.icmp == IcmpError(sender=ROUTER6, type=2, code=0, mtu=1280, version=6)
    assert found.quoted is not None
    assert (found.quoted.src, found.quoted.dst, found.quoted.kind) == (A6, B6, Kind.ESP)


@pytest.mark.parametrize(
    ("quoted", "kind"),
    [
        pytest.param(ipv4(ah(bytes(20)), 51), Kind.AH, id="ah"),
        pytest.param(ipv4(udp(esp(), 4500, 4500), 17), Kind.ESP, id="esp-in-udp"),
        pytest.param(ipv4(udp(esp(), 4500, 4500), 17)[:28], Kind.UNREADABLE, id="esp-in-udp-cut"),
        pytest.param(ipv4(udp(bytes(4) + ike(), 4500, 4500), 17), Kind.IKE, id="ike-4500"),
        pytest.param(ipv4(udp(b"\xff", 4500, 4500), 17), Kind.KEEPALIVE, id="keepalive"),
        pytest.param(ipv4(esp(), 50, flags=1), Kind.ESP, id="first-fragment-of-esp"),
        pytest.param(ipv4(bytes(32), 50, offset=1480), Kind.FRAGMENT, id="later-fragment-of-esp"),
        pytest.param(ipv4(udp(ike(1400)), 17, flags=1), Kind.IKE, id="first-fragment-of-ike"),
    ],
)
def test_quoted_kinds(quoted: bytes, kind: Kind) -> None:
    (found,) = error(icmp_error(3, 13, quoted))
    assert found.kind is Kind.ICMP
    assert found.quoted is not None
    assert found.quoted.kind is kind


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(icmp_error(8, 0, IKE), id="echo"),
        pytest.param(icmp_error(3, 3, ipv4(udp(bytes(40), 53, 53), 17)), id="quotes-dns"),
        pytest.param(icmp_error(3, 3, ipv4(bytes(40), 6)), id="quotes-tcp"),
        pytest.param(icmp_error(3, 3, ipv4(icmp_error(3, 3, IKE), 1)), id="quotes-icmp"),
        pytest.param(icmp_error(3, 3, ipv4(bytes(40), 17, offset=1480)), id="quotes-later-fragment-of-udp"),
        pytest.param(icmp_error(3, 3, b""), id="quotes-nothing"),
        pytest.param(b"\x03\x03\x00", id="cut"),
    ],
)
def test_icmp_that_quotes_no_ipsec_is_left_alone(message: bytes) -> None:
    assert error(message) == []


def test_extension_objects_behind_the_quote_are_no_part_of_it() -> None:
    """RFC 4884 section 4: the quote's length in words of 32 bits (IPv4) or 64 bits (IPv6)."""
    quote = IKE[:128]
    (found,) = error(b"\x0b\x00\x00\x00\x00\x20\x00\x00" + quote + b"\x20\x00\xab\xcd" + bytes(12))
    assert found.quoted is not None
    assert found.quoted.payload == ike(400)[:100]
    quote = ipv6(udp(ike(400)), 17)[:128]
    (found,) = error6(b"\x03\x00\x00\x00\x10\x00\x00\x00" + quote + b"\x20\x00\xab\xcd" + bytes(12))
    assert found.quoted is not None
    assert found.quoted.payload == ike(400)[:80]


def test_error_inside_a_tunnel_is_found() -> None:
    inner = ipv4(icmp_error(3, 1, IKE), 1, ROUTER, A)
    (found,) = Decoder().decode(frame(ipv4(inner, 4), link_type=101))
    assert (found.kind, found.src, found.layers) == (Kind.ICMP, ROUTER, ("RAW", "IPv4", "IPv4", "ICMP"))
