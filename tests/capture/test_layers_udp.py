"""What a UDP datagram is: by its ports, by its first octets, by what is known of its ports (RFC 3948, RFC 5840)."""

from __future__ import annotations

import pytest
from packets import SPI_R, A, B, esp, ethernet, frame, ike, ipv4, ipv6, udp

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.layers import Decoder
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.ports import looks_like_ike

MARKER = bytes(4)
ESP, IKE = esp(), ike()
WESP = b"\x04\x10\x0c\x00" + ESP


def decoded(payload: bytes, sport: int, dport: int, *, ports: frozenset[int] = frozenset()) -> list[Datagram]:
    return Decoder(ports).decode(frame(ipv4(udp(payload, sport, dport), 17), link_type=101))


CONTENTS = [
    ("ike-500", IKE, 500, 500, Kind.IKE, IKE, False),
    ("ike-848", IKE, 848, 848, Kind.IKE, IKE, False),
    ("ike-nat-500", IKE, 60500, 500, Kind.IKE, IKE, False),
    ("ike-500-cut", IKE[:18], 500, 500, Kind.IKE, IKE[:18], False),
    ("ike-500-garbage", bytes(40), 500, 500, Kind.IKE, bytes(40), False),
    ("ike-500-17", IKE[:17], 500, 500, Kind.UNREADABLE, IKE[:17], False),
    ("ike-500-empty", b"", 500, 500, Kind.UNREADABLE, b"", False),
    ("ike-500-marker", MARKER + IKE, 500, 500, Kind.IKE, IKE, True),
    ("keepalive-500", b"\xff", 500, 500, Kind.KEEPALIVE, b"\xff", False),
    ("ike-4500", MARKER + IKE, 4500, 4500, Kind.IKE, IKE, True),
    ("ike-nat-4500", MARKER + IKE, 61234, 4500, Kind.IKE, IKE, True),
    ("ike-4500-no-marker", IKE, 4500, 4500, Kind.IKE, IKE, False),
    ("marker-alone", MARKER, 4500, 4500, Kind.UNREADABLE, b"", True),
    ("marker-and-17", MARKER + IKE[:17], 4500, 4500, Kind.UNREADABLE, IKE[:17], True),
    ("esp-4500", ESP, 4500, 4500, Kind.ESP, ESP, False),
    ("esp-nat-4500", ESP, 4500, 61234, Kind.ESP, ESP, False),
    ("esp-8", ESP[:8], 4500, 4500, Kind.ESP, ESP[:8], False),
    ("esp-7", ESP[:7], 4500, 4500, Kind.UNREADABLE, ESP[:7], False),
    ("nothing", b"", 4500, 4500, Kind.UNREADABLE, b"", False),
    ("one-octet", b"\x00", 4500, 4500, Kind.UNREADABLE, b"\x00", False),
    ("three-octets", b"\x00\x00\x00", 4500, 4500, Kind.UNREADABLE, b"\x00\x00\x00", False),
    ("keepalive", b"\xff", 4500, 4500, Kind.KEEPALIVE, b"\xff", False),
    ("two-ff", b"\xff\xff", 4500, 4500, Kind.UNREADABLE, b"\xff\xff", False),
    ("wesp", b"\x00\x00\x00\x02" + WESP, 4500, 4500, Kind.WESP, WESP, False),
    ("spi-1", b"\x00\x00\x00\x01" + ESP, 4500, 4500, Kind.ESP, b"\x00\x00\x00\x01" + ESP, False),
    ("ike-odd-port", IKE, 1234, 5678, Kind.IKE, IKE, False),
    ("ike-odd-port-marker", MARKER + IKE, 1234, 5678, Kind.IKE, IKE, True),
    ("ike-tunnel-port", IKE, 1234, 4789, Kind.IKE, IKE, False),
]


@pytest.mark.parametrize(
    ("payload", "sport", "dport", "kind", "expected", "marker"),
    [case[1:] for case in CONTENTS],
    ids=[case[0] for case in CONTENTS],
)
def test_udp_payload_is_told_by_ports_and_first_octets(
    payload: bytes, sport: int, dport: int, kind: Kind, expected: bytes, marker: bool
) -> None:
    (found,) = decoded(payload, sport, dport)
    assert (found.kind, found.payload, found.marker) == (kind, expected, marker)
    assert (found.src, found.sport, found.dst, found.dport) == (A, sport, B, dport)
    assert found.encapsulation is Encapsulation.UDP
    assert found.layers == ("RAW", "IPv4", "UDP")
    assert found.missing == 0


@pytest.mark.parametrize(
    "payload", [ESP, b"\xff", MARKER + ESP, IKE[:40], b""], ids=["esp", "ff", "zeros", "cut", "none"]
)
def test_udp_on_unknown_ports_that_is_not_ike_is_left_alone(payload: bytes) -> None:
    assert decoded(payload, 1234, 5678) == []


def test_keepalive_padded_by_ethernet_is_one_octet() -> None:
    """Trust the UDP length: Ethernet pads to 60 octets."""
    data = ethernet(ipv4(udp(b"\xff", 4500, 4500), 17), pad=60)
    (found,) = Decoder().decode(frame(data))
    assert (found.kind, found.payload, found.wire_length) == (Kind.KEEPALIVE, b"\xff", 1)


@pytest.mark.parametrize(
    ("length", "size"),
    [
        pytest.param(0, 64, id="zero-means-to-the-end"),
        pytest.param(7, 64, id="below-its-header"),
        pytest.param(8 + 40, 40, id="shorter-than-ip"),
        pytest.param(0xFFFF, 64, id="longer-than-ip"),
    ],
)
def test_udp_length_that_lies_is_bounded_by_ip(length: int, size: int) -> None:
    (found,) = Decoder().decode(frame(ipv4(udp(ESP, 4500, 4500, length=length), 17), link_type=101))
    assert (found.payload, found.missing) == (ESP[:size], 0)


def test_udp_header_cut_by_the_capture_is_unreadable_on_a_known_port() -> None:
    data = ipv4(udp(IKE, 500, 500), 17)[:25]
    (found,) = Decoder().decode(frame(data, link_type=101, original=200))
    assert (found.kind, found.sport, found.payload) == (Kind.UNREADABLE, 500, b"")


def test_snap_length_leaves_what_is_there_and_counts_the_rest() -> None:
    whole = ethernet(ipv4(udp(IKE, 500, 500), 17))
    (found,) = Decoder().decode(frame(whole[:80], original=len(whole)))
    assert found.payload == IKE[: 80 - 42]
    assert (found.missing, found.wire_length) == (len(IKE) - 38, len(IKE))


def test_ports_given_by_the_user_carry_ike_whatever_it_looks_like() -> None:
    assert decoded(bytes(40), 1234, 7500) == []
    (found,) = decoded(bytes(40), 1234, 7500, ports=frozenset((7500,)))
    assert (found.kind, found.payload) == (Kind.IKE, bytes(40))
    (found,) = decoded(MARKER + IKE, 1234, 7500, ports=frozenset((7500,)))
    assert (found.payload, found.marker) == (IKE, True)


def test_ike_over_ipv6_is_found() -> None:
    (found,) = Decoder().decode(frame(ipv6(udp(IKE), 17), link_type=101))
    assert (found.src, found.dst, found.payload) == ("2001:db8::1", "2001:db8::2", IKE)


# -- the strict look at an IKE header ------------------------------------------------------------------------------

GOOD = [
    ("v2-init", ike()),
    ("v2-response", ike(flags=0x20, spi_r=SPI_R)),
    ("v2-auth", ike(exchange=35, first=46, message_id=1, spi_r=SPI_R)),
    ("v2-fragment", ike(exchange=35, first=53, message_id=1, spi_r=SPI_R)),
    ("v2-intermediate", ike(exchange=43, first=46, message_id=1, spi_r=SPI_R)),
    ("v2-resume", ike(exchange=38, first=40)),
    ("v2-minor-version", ike(version=0x21)),
    ("v2-empty", ike(exchange=37, first=0, spi_r=SPI_R)[:24] + (28).to_bytes(4, "big")),
    ("v1-main", ike(exchange=2, version=0x10, flags=0, first=1)),
    ("v1-aggressive", ike(exchange=4, version=0x10, flags=0, first=1)),
    ("v1-quick", ike(exchange=32, version=0x10, flags=1, first=8, message_id=9, spi_r=SPI_R)),
    ("v1-informational", ike(exchange=5, version=0x10, flags=0, first=11, spi_r=SPI_R)),
    ("v1-fragment", ike(exchange=2, version=0x10, flags=0, first=132)),
]
BAD = [
    ("no-initiator-spi", bytes(8) + ike()[8:]),
    ("length-short", ike(length=79)),
    ("length-long", ike(length=81)),
    ("version-3", ike(version=0x30)),
    ("version-1.1", ike(version=0x11, exchange=2, flags=0, first=1)),
    ("v2-exchange-33", ike(exchange=33)),
    ("v2-exchange-45", ike(exchange=45)),
    ("v2-flags", ike(flags=0x40)),
    ("v2-next-payload", ike(first=99)),
    ("v2-empty-with-rest", ike(first=0)),
    ("v2-auth-without-responder", ike(exchange=35, first=46)),
    ("v2-payload-reserved", ike()[:29] + b"\x01" + ike()[30:]),
    ("v2-payload-too-long", ike()[:30] + b"\xff\xff" + ike()[32:]),
    ("v2-payload-too-short", ike()[:30] + b"\x00\x03" + ike()[32:]),
    ("v1-exchange-7", ike(exchange=7, version=0x10, flags=0, first=1)),
    ("v1-flags", ike(exchange=2, version=0x10, flags=8, first=1)),
    ("v1-next-payload", ike(exchange=2, version=0x10, flags=0, first=200)),
    ("v1-main-with-message-id", ike(exchange=2, version=0x10, flags=0, first=1, message_id=5)),
    ("v1-quick-without-message-id", ike(exchange=32, version=0x10, flags=1, first=8)),
    ("cut-27", ike()[:27]),
]


@pytest.mark.parametrize("data", [case[1] for case in GOOD], ids=[case[0] for case in GOOD])
def test_ike_header_beyond_doubt_is_recognised(data: bytes) -> None:
    assert looks_like_ike(data, len(data))


@pytest.mark.parametrize("data", [case[1] for case in BAD], ids=[case[0] for case in BAD])
def test_ike_header_with_one_doubt_is_not_recognised(data: bytes) -> None:
    assert not looks_like_ike(data, len(data))


def test_ike_header_whose_first_payload_was_not_captured_is_recognised() -> None:
    assert looks_like_ike(ike()[:30], 80)
    assert not looks_like_ike(ike(length=30)[:30], 30)


# -- what a conversation teaches -----------------------------------------------------------------------------------


def run(*payloads: tuple[bytes, int, int], pipeline: Pipeline | None = None) -> list[list[Kind]]:
    pipeline = pipeline or Pipeline()
    datas = [
        ipv4(udp(payload, sport, dport), 17, identification=n) for n, (payload, sport, dport) in enumerate(payloads)
    ]
    return [[each.kind for each in pipeline.feed(frame(data, n + 1, link_type=101))] for n, data in enumerate(datas)]


def test_esp_on_odd_ports_is_known_once_ike_with_marker_was_there() -> None:
    """Both ends on ports of their own, as with a NAT on both sides or a configured NAT traversal port."""
    assert run((ESP, 7000, 8000), (MARKER + IKE, 7000, 8000), (ESP, 7000, 8000), (b"\xff", 7000, 8000)) == [
        [],
        [Kind.IKE],
        [Kind.ESP],
        [Kind.KEEPALIVE],
    ]


def test_esp_on_odd_ports_is_known_in_the_other_direction_too() -> None:
    pipeline = Pipeline()
    pipeline.feed(frame(ipv4(udp(MARKER + IKE, 7000, 8000), 17), link_type=101))
    back = frame(ipv4(udp(ESP, 8000, 7000), 17, B, A), 2, link_type=101)
    assert [each.kind for each in pipeline.feed(back)] == [Kind.ESP]


def test_ike_without_marker_teaches_nothing_about_its_ports() -> None:
    assert run((IKE, 7000, 8000), (ESP, 7000, 8000)) == [[Kind.IKE], []]


def test_other_ports_of_the_same_hosts_stay_unknown() -> None:
    assert run((MARKER + IKE, 7000, 8000), (ESP, 7000, 8001)) == [[Kind.IKE], []]
