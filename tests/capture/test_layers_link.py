"""The same ESP packet behind every link layer and tunnel is found, with the path it took."""

from __future__ import annotations

import struct

import pytest
from packets import (
    A6,
    B6,
    A,
    B,
    ah,
    esp,
    ethernet,
    extension,
    fragment6,
    frame,
    gre,
    ike,
    ipv4,
    ipv6,
    udp,
    vlan,
)

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.layers import MAX_DEPTH, MAX_EXTENSION_HEADERS, Decoder
from ipsecscope.capture.link_types import LinkType

ESP = esp()
V4 = ipv4(ESP, 50)
V6 = ipv6(ESP, 50)
INNER = ethernet(V4)
PPP_V4 = b"\x00\x21" + V4
SNAP = b"\xaa\xaa\x03\x00\x00\x00"
SLL = struct.pack(">HHH8s", 0, 1, 6, bytes(8))


def mpls(payload: bytes, *labels: int) -> bytes:
    entries = [
        struct.pack(">I", label << 12 | (index == len(labels) - 1) << 8 | 64) for index, label in enumerate(labels)
    ]
    return b"".join(entries) + payload


def length_framed(payload: bytes) -> bytes:
    return ethernet(payload, len(payload))


def over_udp(payload: bytes, dport: int) -> bytes:
    return ipv4(udp(payload, 50000, dport), 17)


def gtp(payload: bytes, flags: int = 0x30, extra: bytes = b"") -> bytes:
    return struct.pack(">BBHI", flags, 255, len(payload) + len(extra), 7) + extra + payload


def one(data: bytes, link_type: int = 1) -> Datagram:
    found = Decoder().decode(frame(data, link_type=link_type))
    assert len(found) == 1
    return found[0]


CASES = [
    ("ethernet", 1, ethernet(V4), ("ETHERNET", "IPv4")),
    ("ethernet-ipv6", 1, ethernet(V6, 0x86DD), ("ETHERNET", "IPv6")),
    ("ethernet-padded", 1, ethernet(V4, pad=200), ("ETHERNET", "IPv4")),
    ("vlan", 1, ethernet(vlan(V4), 0x8100), ("ETHERNET", "VLAN 42", "IPv4")),
    ("vlan-priority", 1, ethernet(vlan(V4, 0xE02A), 0x8100), ("ETHERNET", "VLAN 42", "IPv4")),
    ("qinq", 1, ethernet(vlan(vlan(V4, 7), 100, 0x8100), 0x88A8), ("ETHERNET", "VLAN 100", "VLAN 7", "IPv4")),
    ("qinq-9100", 1, ethernet(vlan(vlan(V4, 7), 100, 0x8100), 0x9100), ("ETHERNET", "VLAN 100", "VLAN 7", "IPv4")),
    ("snap", 1, length_framed(SNAP + b"\x08\x00" + V4), ("ETHERNET", "SNAP", "IPv4")),
    ("snap-vlan", 1, length_framed(SNAP + b"\x81\x00" + vlan(V4)), ("ETHERNET", "SNAP", "VLAN 42", "IPv4")),
    ("llc-ip", 1, length_framed(b"\x06\x06\x03" + V4), ("ETHERNET", "LLC", "IPv4")),
    ("sll", 113, SLL + b"\x08\x00" + V4, ("SLL", "IPv4")),
    ("sll-ipv6", 113, SLL + b"\x86\xdd" + V6, ("SLL", "IPv6")),
    ("sll-vlan", 113, SLL + b"\x81\x00" + vlan(V4), ("SLL", "VLAN 42", "IPv4")),
    ("sll-llc", 113, SLL + b"\x00\x04" + SNAP + b"\x08\x00" + V4, ("SLL", "SNAP", "IPv4")),
    ("sll2", 276, struct.pack(">HHIHBB8s", 0x0800, 0, 2, 1, 0, 6, bytes(8)) + V4, ("SLL2", "IPv4")),
    ("raw", 101, V4, ("RAW", "IPv4")),
    ("raw-ipv6", 101, V6, ("RAW", "IPv6")),
    ("raw-bsd", 12, V4, ("RAW", "IPv4")),
    ("raw-openbsd", 14, V6, ("RAW", "IPv6")),
    ("ipv4", 228, V4, ("RAW", "IPv4")),
    ("ipv6", 229, V6, ("RAW", "IPv6")),
    ("null-little", 0, b"\x02\x00\x00\x00" + V4, ("NULL", "IPv4")),
    ("null-big", 0, b"\x00\x00\x00\x02" + V4, ("NULL", "IPv4")),
    ("loop", 108, b"\x00\x00\x00\x02" + V4, ("NULL", "IPv4")),
    *((f"null-ipv6-{af}", 0, struct.pack("<I", af) + V6, ("NULL", "IPv6")) for af in (10, 24, 28, 30)),
    ("loop-ipv6", 108, struct.pack(">I", 24) + V6, ("NULL", "IPv6")),
    ("ppp", 9, PPP_V4, ("PPP", "IPv4")),
    ("ppp-address", 9, b"\xff\x03" + PPP_V4, ("PPP", "IPv4")),
    ("ppp-compressed", 9, b"\x21" + V4, ("PPP", "IPv4")),
    ("ppp-ipv6", 9, b"\x00\x57" + V6, ("PPP", "IPv6")),
    ("ppp-mpls", 9, b"\x02\x81" + mpls(V4, 16), ("PPP", "MPLS 16", "IPv4")),
    ("ppp-hdlc", 50, b"\xff\x03" + PPP_V4, ("PPP", "IPv4")),
    ("cisco-hdlc", 50, b"\x0f\x00\x08\x00" + V4, ("CISCO HDLC", "IPv4")),
    ("pppoe-link", 51, b"\x11\x00\x00\x01\x00\x00" + PPP_V4, ("PPPoE", "PPP", "IPv4")),
    ("pppoe", 1, ethernet(b"\x11\x00\x00\x01\x00\x00" + PPP_V4, 0x8864), ("ETHERNET", "PPPoE", "PPP", "IPv4")),
    ("mpls", 1, ethernet(mpls(V4, 17, 18), 0x8847), ("ETHERNET", "MPLS 17/18", "IPv4")),
    ("mpls-multicast-ipv6", 1, ethernet(mpls(V6, 17), 0x8848), ("ETHERNET", "MPLS 17", "IPv6")),
    ("mpls-pseudowire", 1, ethernet(mpls(bytes(4) + INNER, 17), 0x8847), ("ETHERNET", "MPLS 17", "ETHERNET", "IPv4")),
    ("mpls-ethernet", 219, mpls(b"\x10" + INNER[1:], 17), ("MPLS 17", "ETHERNET", "IPv4")),
    ("4in4", 101, ipv4(V4, 4), ("RAW", "IPv4", "IPv4")),
    ("4in6", 101, ipv6(V4, 4), ("RAW", "IPv6", "IPv4")),
    ("6in4", 101, ipv4(V6, 41), ("RAW", "IPv4", "IPv6")),
    ("6in6", 101, ipv6(V6, 41), ("RAW", "IPv6", "IPv6")),
    ("mpls-in-ip", 101, ipv4(mpls(V4, 17), 137), ("RAW", "IPv4", "MPLS 17", "IPv4")),
    ("ethernet-in-ip", 101, ipv6(INNER, 143), ("RAW", "IPv6", "ETHERNET", "IPv4")),
    ("etherip", 101, ipv4(b"\x30\x00" + INNER, 97), ("RAW", "IPv4", "EtherIP", "ETHERNET", "IPv4")),
    ("gre", 101, ipv4(gre(V4), 47), ("RAW", "IPv4", "GRE", "IPv4")),
    ("gre-all", 101, ipv4(gre(V6, 0x86DD, flags=0xB000, extra=bytes(12)), 47), ("RAW", "IPv4", "GRE", "IPv6")),
    ("gre-bridge", 101, ipv4(gre(INNER, 0x6558), 47), ("RAW", "IPv4", "GRE", "ETHERNET", "IPv4")),
    (
        "gre-pptp",
        101,
        ipv4(gre(b"\xff\x03" + PPP_V4, 0x880B, flags=0x3081, extra=bytes(12)), 47),
        ("RAW", "IPv4", "GRE", "PPP", "IPv4"),
    ),
    ("erspan-1", 101, ipv4(gre(INNER, 0x88BE), 47), ("RAW", "IPv4", "GRE", "ERSPAN", "ETHERNET", "IPv4")),
    (
        "erspan-2",
        101,
        ipv4(gre(bytes(8) + INNER, 0x88BE, flags=0x1000, extra=bytes(4)), 47),
        ("RAW", "IPv4", "GRE", "ERSPAN", "ETHERNET", "IPv4"),
    ),
    (
        "erspan-3",
        101,
        ipv4(gre(bytes(12) + INNER, 0x22EB, flags=0x1000, extra=bytes(4)), 47),
        ("RAW", "IPv4", "GRE", "ERSPAN", "ETHERNET", "IPv4"),
    ),
    (
        "erspan-3-subheader",
        101,
        ipv4(gre(bytes(11) + b"\x01" + bytes(8) + INNER, 0x22EB, flags=0x1000, extra=bytes(4)), 47),
        ("RAW", "IPv4", "GRE", "ERSPAN", "ETHERNET", "IPv4"),
    ),
    (
        "vxlan",
        101,
        over_udp(b"\x08\x00\x00\x00\x00\x00\x05\x00" + INNER, 4789),
        ("RAW", "IPv4", "UDP", "VXLAN 5", "ETHERNET", "IPv4"),
    ),
    (
        "geneve",
        101,
        over_udp(b"\x01\x00\x65\x58\x00\x00\x05\x00" + bytes(4) + INNER, 6081),
        ("RAW", "IPv4", "UDP", "GENEVE 5", "ETHERNET", "IPv4"),
    ),
    ("gtp-u", 101, over_udp(gtp(V4), 2152), ("RAW", "IPv4", "UDP", "GTP-U", "IPv4")),
    ("gtp-u-sequence", 101, over_udp(gtp(V6, 0x32, bytes(4)), 2152), ("RAW", "IPv4", "UDP", "GTP-U", "IPv6")),
    (
        "gtp-u-extensions",
        101,
        over_udp(gtp(V4, 0x34, b"\x00\x00\x00\x85\x01\x00\x00\x85\x02" + bytes(7)), 2152),
        ("RAW", "IPv4", "UDP", "GTP-U", "IPv4"),
    ),
    (
        "l2tp",
        101,
        over_udp(b"\x00\x02\x00\x01\x00\x01\xff\x03" + PPP_V4, 1701),
        ("RAW", "IPv4", "UDP", "L2TP", "PPP", "IPv4"),
    ),
    (
        "l2tp-all",
        101,
        over_udp(struct.pack(">HHHHHHH", 0x4A02, 100, 1, 1, 0, 0, 2) + b"\x00\x00" + PPP_V4, 1701),
        ("RAW", "IPv4", "UDP", "L2TP", "PPP", "IPv4"),
    ),
    ("ipv4-options", 101, ipv4(ESP, 50, options=b"\x94\x04\x00\x00"), ("RAW", "IPv4")),
    ("hop-by-hop", 101, ipv6(extension(50, ESP), 0), ("RAW", "IPv6")),
    ("routing", 101, ipv6(extension(50, ESP, 24), 43), ("RAW", "IPv6")),
    ("destination", 101, ipv6(extension(60, extension(50, ESP)), 0), ("RAW", "IPv6")),
    ("mobility", 101, ipv6(extension(50, ESP), 135), ("RAW", "IPv6")),
    ("atomic-fragment", 101, ipv6(fragment6(50, ESP, 0, more=False), 44), ("RAW", "IPv6")),
]


@pytest.mark.parametrize(("link_type", "data", "layers"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_esp_behind_any_layers_is_found_with_its_path(link_type: int, data: bytes, layers: tuple[str, ...]) -> None:
    found = one(data, link_type)
    assert (found.kind, found.encapsulation, found.payload) == (Kind.ESP, Encapsulation.IP, ESP)
    assert found.layers == layers
    assert {found.src, found.dst} in ({A, B}, {A6, B6})
    assert found.missing == 0
    assert found.offset is not None
    assert data[found.offset :][: len(ESP)] == ESP
    assert found.packet_offset is not None
    assert data[found.packet_offset :][: len(found.packet)] == found.packet
    assert found.packet.endswith(ESP)


@pytest.mark.parametrize(("link_type", "data"), [case[1:3] for case in CASES], ids=[case[0] for case in CASES])
def test_frame_cut_anywhere_gives_the_beginning_or_nothing(link_type: int, data: bytes) -> None:
    """What a snap length leaves is delivered, with as many octets missing as the IP header says."""
    for size in range(len(data)):
        for found in Decoder().decode(frame(data[:size], link_type=link_type, original=len(data))):
            assert found.kind in (Kind.ESP, Kind.UNREADABLE)
            assert (found.kind is Kind.ESP) == (len(found.payload) >= 8)
            assert ESP.startswith(found.payload)
            assert len(found.payload) + found.missing == len(ESP)


def test_every_link_type_that_is_called_readable_has_a_case() -> None:
    assert {case[1] for case in CASES} == {int(each) for each in LinkType}


def test_path_fields_are_those_of_the_innermost_packet() -> None:
    found = one(ipv6(ipv4(ESP, 50, ttl=61, tos=0xB8, flags=2, identification=77), 4, hops=3), 101)
    assert (found.ttl, found.dscp, found.dont_fragment, found.identification) == (61, 46, True, 77)
    found = one(ipv6(ESP, 50, hops=59, tos=0xB8), 101)
    assert (found.ttl, found.dscp, found.dont_fragment, found.identification) == (59, 46, None, None)


def test_frame_facts_are_handed_on() -> None:
    found = Decoder().decode(frame(ethernet(V4), 7, file=3, comment="here", time_ns=5))[0]
    assert (found.file, found.frames, found.frame, found.time_ns, found.comment) == (3, (7,), 7, 5, "here")


NOISE = [
    ("unknown-link-type", 147, V4),
    ("arp", 1, ethernet(bytes(46), 0x0806)),
    ("stp", 1, length_framed(b"\x42\x42\x03" + bytes(40))),
    ("snap-cut", 1, length_framed(SNAP[:4])),
    ("null-family", 0, b"\x07\x00\x00\x00" + V4),
    ("ppp-lcp", 9, b"\xff\x03\xc0\x21" + bytes(40)),
    ("pppoe-discovery", 51, b"\x11\x09\x00\x00\x00\x00" + bytes(40)),
    ("raw-version", 101, b"\x55" + V4[1:]),
    ("ipv4-in-ipv6-type", 1, ethernet(V4, 0x86DD)),
    ("ipv6-in-ipv4-type", 1, ethernet(V6, 0x0800)),
    ("ipv4-short-header", 101, b"\x44" + V4[1:]),
    ("ipv4-total-below-header", 101, ipv4(ESP, 50, total=19)),
    ("ospf", 101, ipv4(bytes(40), 89)),
    ("ipv6-no-next-header", 101, ipv6(b"", 59)),
    ("gre-source-route", 101, ipv4(gre(V4, flags=0x4000, extra=bytes(8)), 47)),
    ("gre-version-2", 101, ipv4(gre(V4, flags=2), 47)),
    ("gre-unknown", 101, ipv4(gre(V4, 0x1234), 47)),
    ("etherip-version", 101, ipv4(b"\x40\x00" + INNER, 97)),
    ("vxlan-flags", 101, over_udp(bytes(8) + INNER, 4789)),
    ("geneve-version", 101, over_udp(b"\xc1\x00\x65\x58" + bytes(8) + INNER, 6081)),
    ("geneve-unknown", 101, over_udp(b"\x01\x00\x12\x34" + bytes(8) + INNER, 6081)),
    ("gtp-echo", 101, over_udp(b"\x32\x01\x00\x04" + bytes(8), 2152)),
    ("gtp-not-ip", 101, over_udp(gtp(b"\x00" + V4), 2152)),
    ("l2tp-control", 101, over_udp(b"\xc8\x02" + bytes(20), 1701)),
    ("l2tp-short", 101, over_udp(b"\x02\x02\x00\x01\x00\x01", 1701)),
    ("l2tp-offset", 101, over_udp(b"\x02\x02\x00\x01\x00\x01\xff\xff", 1701)),
    ("udp-ports-cut", 101, ipv4(b"\x01\xf4", 17)),
    ("tcp-cut", 101, ipv4(bytes(19), 6)),
]


@pytest.mark.parametrize(("link_type", "data"), [case[1:] for case in NOISE], ids=[case[0] for case in NOISE])
def test_what_is_not_ipsec_falls_out_silently(link_type: int, data: bytes) -> None:
    decoder = Decoder()
    assert decoder.units(frame(data, link_type=link_type)) == []
    assert decoder.notes == []


def test_total_length_zero_means_to_the_end_of_the_frame() -> None:
    """Segmentation offload: the capture is taken before the card writes the length."""
    assert one(ipv4(ESP, 50, total=0), 101).payload == ESP
    assert one(ipv6(ESP, 50, length=0), 101).payload == ESP


def test_length_beyond_the_frame_counts_as_missing() -> None:
    found = one(ipv4(ESP, 50, total=20 + len(ESP) + 100), 101)
    assert (found.payload, found.missing, found.wire_length) == (ESP, 100, len(ESP) + 100)


def test_inner_length_beyond_the_outer_packet_is_cut_to_it() -> None:
    assert one(ipv4(ipv4(ESP, 50, total=9000), 4), 101).missing == 0


def nested(count: int) -> bytes:
    data = ESP
    for _ in range(count):
        data = ipv4(data, 4 if data is not ESP else 50)
    return data


def test_depth_at_the_limit_is_read_and_one_more_is_noted() -> None:
    decoder = Decoder()
    assert len(decoder.decode(frame(nested(MAX_DEPTH), link_type=101))) == 1
    assert decoder.notes == []
    assert decoder.decode(frame(nested(MAX_DEPTH + 1), 5, link_type=101)) == []
    assert [(note.kind, note.frame) for note in decoder.notes] == [("layers.depth", 5)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(nested(300), id="ip-in-ip"),
        pytest.param(b"".join(ah(b"", 51) for _ in range(300)), id="ah-in-ah"),
        pytest.param(ipv4(ah(b"", 51) * 300, 51), id="ah-chain"),
        pytest.param(ipv4(gre(V4, 0x6558) * 300, 47), id="gre-garbage"),
        pytest.param(ipv6(extension(0, b"") * 300, 0), id="hop-by-hop-chain"),
        pytest.param(b"\x60" + bytes(39) + bytes(5000), id="zeros"),
    ],
)
def test_hundreds_of_layers_end_at_the_limit(data: bytes) -> None:
    decoder = Decoder()
    assert len(decoder.units(frame(data, link_type=101))) <= MAX_DEPTH


def test_vlan_and_snap_loops_end_at_the_limit() -> None:
    decoder = Decoder()
    for loop in (vlan(b"", 1, 0x8100), SNAP + b"\x00\x20"):
        head = ethernet(b"", 0x8100 if len(loop) == 4 else 0x20)
        assert decoder.units(frame(head + loop * 500)) == []
    assert [note.kind for note in decoder.notes] == ["layers.depth"] * 2


def test_extension_headers_beyond_the_limit_are_not_followed() -> None:
    def chain(count: int) -> bytes:
        return ipv6(b"".join(extension(60 if i < count - 1 else 50, b"") for i in range(count)) + ESP, 60)

    assert len(Decoder().decode(frame(chain(MAX_EXTENSION_HEADERS - 1), link_type=101))) == 1
    assert Decoder().decode(frame(chain(MAX_EXTENSION_HEADERS), link_type=101)) == []


def test_ah_packet_is_delivered_from_its_header_on() -> None:
    data = ah(bytes(30))
    for packet in (ipv4(data, 51), ipv6(data, 51), ipv6(extension(51, data), 60)):
        found = one(packet, 101)
        assert (found.kind, found.payload, found.packet) == (Kind.AH, data, packet)


def test_esp_inside_ah_is_delivered_as_well() -> None:
    found = Decoder().decode(frame(ipv4(ah(ESP, 50), 51), link_type=101))
    assert [(each.kind, each.payload, each.layers) for each in found] == [
        (Kind.AH, ah(ESP, 50), ("RAW", "IPv4")),
        (Kind.ESP, ESP, ("RAW", "IPv4", "AH")),
    ]


def test_ah_before_anything_else_is_all_there_is() -> None:
    for inner, number in ((V4, 4), (udp(ike()), 17)):
        assert [each.kind for each in Decoder().decode(frame(ipv4(ah(inner, number), 51), link_type=101))] == [Kind.AH]


@pytest.mark.parametrize(
    ("protocol", "payload", "kind"),
    [
        pytest.param(50, bytes(7), Kind.UNREADABLE, id="esp-7"),
        pytest.param(50, bytes(8), Kind.ESP, id="esp-8"),
        pytest.param(51, b"\x32\x00" + bytes(9), Kind.UNREADABLE, id="ah-11"),
        pytest.param(51, b"\x06", Kind.UNREADABLE, id="ah-1"),
        pytest.param(51, b"\x06\x04" + bytes(10), Kind.AH, id="ah-12"),
        pytest.param(51, b"\x32\xff" + bytes(10), Kind.AH, id="ah-length-lies"),
        pytest.param(108, b"\x04\x00\x00\x02data", Kind.IPCOMP, id="ipcomp"),
        pytest.param(108, b"\x04\x00\x00", Kind.UNREADABLE, id="ipcomp-3"),
        pytest.param(141, b"\x04\x10\x0c\x00" + ESP, Kind.WESP, id="wesp"),
        pytest.param(141, b"", Kind.UNREADABLE, id="wesp-0"),
    ],
)
def test_ip_protocols_of_ipsec_give_their_kind_or_unreadable(protocol: int, payload: bytes, kind: Kind) -> None:
    found = one(ipv4(payload, protocol), 101)
    assert (found.kind, found.payload) == (kind, payload)
