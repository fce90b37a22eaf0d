"""Link types: what a capture record starts with. The numbers are those of the tcpdump.org LINKTYPE registry."""

from __future__ import annotations

from enum import IntEnum


class LinkType(IntEnum):
    """The link types that ``layers.py`` can open."""

    NULL = 0  # BSD loopback: address family in the byte order of the capturing host
    ETHERNET = 1
    PPP = 9
    RAW_BSD = 12  # DLT_RAW of most systems, written into files by old libraries
    RAW_OPENBSD = 14
    PPP_HDLC = 50
    PPP_ETHER = 51  # PPPoE session
    RAW = 101  # an IPv4 or IPv6 header; the version nibble decides
    LOOP = 108  # OpenBSD loopback: address family in network byte order
    LINUX_SLL = 113
    MPLS = 219
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


READABLE: frozenset[int] = frozenset(int(link_type) for link_type in LinkType)

_OTHER_NAMES = {
    6: "IEEE802_5",
    7: "ARCNET_BSD",
    8: "SLIP",
    10: "FDDI",
    104: "C_HDLC",
    105: "IEEE802_11",
    107: "FRELAY",
    117: "PFLOG",
    119: "IEEE802_11_PRISM",
    127: "IEEE802_11_RADIOTAP",
    147: "USER0",
    187: "BLUETOOTH_HCI_H4",
    189: "USB_LINUX",
    192: "PPI",
    195: "IEEE802_15_4_WITHFCS",
    204: "PPP_WITH_DIR",
    220: "USB_LINUX_MMAPPED",
    227: "CAN_SOCKETCAN",
    239: "NFLOG",
    249: "USBPCAP",
    252: "WIRESHARK_UPPER_PDU",
    253: "NETLINK",
    274: "ETHERNET_MPACKET",
}


def link_type_name(number: int) -> str:
    """The registry's name for a link type, or ``UNKNOWN_<number>``."""
    if number in READABLE:
        return LinkType(number).name
    return _OTHER_NAMES.get(number, f"UNKNOWN_{number}")
