"""Link layers, tags and labels: from the start of a record to the IP header.

References: IEEE 802.3 and 802.1Q; RFC 894, 1042, 1661, 1662, 2516, 3032; tcpdump.org's LINKTYPE pages.
"""

from __future__ import annotations

from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.walk import Layer, Walk

LEAST_ETHER_TYPE = 0x0600  # smaller numbers are an IEEE 802.3 length

IPV4_TYPE, IPV6_TYPE = 0x0800, 0x86DD
VLAN_TYPES = (0x8100, 0x88A8, 0x9100)

ETHER_TYPES = {
    IPV4_TYPE: Layer.IPV4,
    IPV6_TYPE: Layer.IPV6,
    **dict.fromkeys(VLAN_TYPES, Layer.VLAN),
    0x6558: Layer.ETHERNET,  # transparent Ethernet bridging
    0x8847: Layer.MPLS,
    0x8848: Layer.MPLS,
    0x8864: Layer.PPPOE,
    0x880B: Layer.PPP,
}

LINK_LAYERS = {
    int(LinkType.NULL): Layer.NULL,
    int(LinkType.LOOP): Layer.NULL,
    int(LinkType.ETHERNET): Layer.ETHERNET,
    int(LinkType.PPP): Layer.PPP,
    int(LinkType.PPP_HDLC): Layer.PPP_HDLC,
    int(LinkType.PPP_ETHER): Layer.PPPOE,
    int(LinkType.RAW_BSD): Layer.IP,
    int(LinkType.RAW_OPENBSD): Layer.IP,
    int(LinkType.RAW): Layer.IP,
    int(LinkType.IPV4): Layer.IP,
    int(LinkType.IPV6): Layer.IP,
    int(LinkType.LINUX_SLL): Layer.SLL,
    int(LinkType.LINUX_SLL2): Layer.SLL2,
    int(LinkType.MPLS): Layer.MPLS,
}
RAW_LINK_TYPES = frozenset(number for number, layer in LINK_LAYERS.items() if layer is Layer.IP)

AF_INET = 2
AF_INET6 = frozenset((10, 24, 28, 30, 23))  # Linux, NetBSD and OpenBSD, FreeBSD, macOS, Windows
_LARGEST_FAMILY = 0xFF

ETHERNET_HEADER = 14
SLL_HEADER, SLL2_HEADER = 16, 20
_SLL_LLC = 0x0004  # LINUX_SLL: the frame starts with an 802.2 header

_PPP_TYPES = {
    0x0021: Layer.IPV4,
    0x0057: Layer.IPV6,
    0x0281: Layer.MPLS,
    0x0283: Layer.MPLS,
}
_SNAP = b"\xaa\xaa\x03"
_LLC_IP = b"\x06\x06\x03"


def ethernet(walk: Walk) -> Layer | None:
    """Ethernet: addresses, then EtherType or the length of an 802.3 frame."""
    if walk.left < ETHERNET_HEADER:
        return None
    walk.layers.append("ETHERNET")
    walk.pos += ETHERNET_HEADER - 2
    return Layer.ETHER_TYPE


def ether_type(walk: Walk) -> Layer | None:
    """An EtherType, or the length of an 802.3 frame, and what follows it."""
    if walk.left < 2:
        return None
    number = walk.number(0, 2)
    walk.pos += 2
    return Layer.LLC if number < LEAST_ETHER_TYPE else ETHER_TYPES.get(number)


def llc(walk: Walk) -> Layer | None:
    """IEEE 802.2: SNAP with an EtherType (RFC 1042), or IP's own address."""
    head = walk.data[walk.pos : min(walk.pos + 3, walk.end)]
    walk.pos += 3
    if head == _LLC_IP:
        walk.layers.append("LLC")
        return Layer.IPV4
    if head != _SNAP or walk.left < 5:
        return None
    walk.layers.append("SNAP")
    walk.pos += 3  # the organisation: RFC 1042 and bridged frames put an EtherType behind it
    return Layer.ETHER_TYPE


def vlan(walk: Walk) -> Layer | None:
    """IEEE 802.1Q tag."""
    if walk.left < 4:
        return None
    walk.layers.append(f"VLAN {walk.number(0, 2) & 0x0FFF}")
    walk.pos += 2
    return Layer.ETHER_TYPE


def sll(walk: Walk) -> Layer | None:
    """Linux cooked capture, version 1."""
    if walk.left < SLL_HEADER:
        return None
    return _cooked(walk, "SLL", walk.number(14, 2), SLL_HEADER)


def sll2(walk: Walk) -> Layer | None:
    """Linux cooked capture, version 2."""
    if walk.left < SLL2_HEADER:
        return None
    return _cooked(walk, "SLL2", walk.number(0, 2), SLL2_HEADER)


def _cooked(walk: Walk, name: str, number: int, size: int) -> Layer | None:
    walk.layers.append(name)
    walk.pos += size
    return Layer.LLC if number == _SLL_LLC else ETHER_TYPES.get(number)


def null(walk: Walk) -> Layer | None:
    """BSD loopback: an address family in either byte order, with the numbers of any system."""
    if walk.left < 4:
        return None
    family = address_family(walk.data[walk.pos : walk.pos + 4])
    walk.layers.append("NULL")
    walk.pos += 4
    if family == AF_INET:
        return Layer.IPV4
    return Layer.IPV6 if family in AF_INET6 else None


def address_family(head: bytes) -> int:
    """The number in four octets, in the byte order in which it is small."""
    family = int.from_bytes(head, "big")
    return family if family <= _LARGEST_FAMILY else int.from_bytes(head, "little")


def ppp_hdlc(walk: Walk) -> Layer | None:
    """PPP in HDLC-like framing (RFC 1662), or Cisco HDLC, which puts an EtherType behind its address."""
    if walk.left >= 4 and walk.data[walk.pos] in (0x0F, 0x8F):
        walk.layers.append("CISCO HDLC")
        walk.pos += 2
        return Layer.ETHER_TYPE
    return Layer.PPP


def ppp(walk: Walk) -> Layer | None:
    """PPP, with or without address and control octets, its protocol number in one or two octets."""
    if walk.data[walk.pos : min(walk.pos + 2, walk.end)] == b"\xff\x03":
        walk.pos += 2
    if walk.left < 2:
        return None
    size = 1 if walk.data[walk.pos] & 1 else 2  # RFC 1661 section 6.5: the last octet of the number is odd
    number = walk.number(0, size)
    walk.layers.append("PPP")
    walk.pos += size
    return _PPP_TYPES.get(number)


def pppoe(walk: Walk) -> Layer | None:
    """PPP over Ethernet, session stage (RFC 2516)."""
    if walk.left < 6 or walk.data[walk.pos] != 0x11 or walk.data[walk.pos + 1]:
        return None
    walk.layers.append("PPPoE")
    walk.pos += 6
    return Layer.PPP


def mpls(walk: Walk) -> Layer | None:
    """A label stack (RFC 3032); behind it IP, or Ethernet with or without a control word (RFC 4448)."""
    labels = []
    bottom = False
    while not bottom:
        if walk.left < 4:
            return None
        entry = walk.number(0, 4)
        labels.append(str(entry >> 12))
        bottom = bool(entry & 0x100)
        walk.pos += 4
    walk.layers.append("MPLS " + "/".join(labels[:8]))
    if walk.left < 1:
        return None
    nibble = walk.data[walk.pos] >> 4
    if nibble in (4, 6):
        return Layer.IP
    if nibble == 0:
        walk.pos += 4
    return Layer.ETHERNET
