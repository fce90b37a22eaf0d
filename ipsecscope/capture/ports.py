"""The numbers by which IPsec is known below its own headers, and what a UDP payload is by ports and first octets."""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple

from ipsecscope.capture.datagrams import Kind


class Protocol(IntEnum):
    """IP protocol numbers that lead to IPsec."""

    HOP_BY_HOP = 0
    ICMP = 1
    IPV4 = 4
    TCP = 6
    UDP = 17
    IPV6 = 41
    ROUTING = 43
    FRAGMENT = 44
    GRE = 47
    ESP = 50
    AH = 51
    ICMPV6 = 58
    DESTINATION = 60
    ETHERIP = 97
    IPCOMP = 108
    MOBILITY = 135
    MPLS = 137
    HIP = 139
    SHIM6 = 140
    WESP = 141
    ETHERNET = 143


IKE_PORT: Final = 500  # RFC 7296 section 2
GDOI_PORT: Final = 848  # RFC 6407 section 3.1
NAT_T_PORT: Final = 4500  # RFC 3948
IKE_PORTS: Final = frozenset((IKE_PORT, GDOI_PORT))
USUAL_PORTS: Final = IKE_PORTS | {NAT_T_PORT}

MARKER: Final = bytes(4)  # RFC 3948 section 2.2
WESP_MARKER: Final = b"\x00\x00\x00\x02"  # RFC 5840 section 2.1: stands where an SPI would
KEEPALIVE: Final = b"\xff"  # RFC 3948 section 2.3

IKE_HEADER: Final = 28  # octets of the IKE header, RFC 7296 section 3.1
IKE_READABLE: Final = 18  # octets from which on the version of an IKE message is known
LEAST: Final = {Kind.IKE: IKE_READABLE, Kind.ESP: 8, Kind.AH: 12, Kind.WESP: 4, Kind.IPCOMP: 4}
"""Octets without which nothing can be said of a datagram: for ESP and AH up to the sequence number."""

_VERSION, _FLAGS, _MESSAGE_ID, _LENGTH = 17, 19, 20, 24  # offsets in the IKE header
_FIRST_PAYLOAD_LENGTH = IKE_HEADER + 2
_V1_FLAGS, _V1_ENCRYPTED, _V2_FLAGS = 0x07, 0x01, 0x38
_V1_EXCHANGES = frozenset((1, 2, 3, 4, 5, 6, 32, 33))
_V2_EXCHANGES = frozenset(range(34, 45))
_V2_FIRST_EXCHANGES = frozenset((34, 38))  # those whose request has no responder SPI
_V1_PHASE_1 = frozenset((1, 2, 3, 4))  # those whose message ID is 0
_V1_PAYLOADS = frozenset((*range(1, 24), 130, 131, 132))
_V2_PAYLOADS = frozenset(range(33, 55))


class Content(NamedTuple):
    """What a UDP payload is, how many octets stand in front of it, and whether they are the non-ESP marker."""

    kind: Kind
    skip: int = 0
    marker: bool = False


def looks_like_ike(data: bytes, wire_length: int) -> bool:
    """Whether octets are an IKE message beyond reasonable doubt, by its header and its first payload's length.

    Args:
        data: what was captured, from the IKE header on.
        wire_length: octets on the wire, which the header must state.
    """
    if len(data) < IKE_HEADER or wire_length != int.from_bytes(data[_LENGTH:IKE_HEADER], "big"):
        return False
    if data[:8] == bytes(8):
        return False
    version, major = data[_VERSION], data[_VERSION] >> 4
    if version != 0x10 and major != 2:
        return False
    return _plausible_v1(data) if major == 1 else _plausible_v2(data)


def _plausible_v1(data: bytes) -> bool:
    next_payload, exchange, flags = data[16], data[18], data[_FLAGS]
    if exchange not in _V1_EXCHANGES or flags & ~_V1_FLAGS or next_payload not in _V1_PAYLOADS:
        return False
    if (exchange in _V1_PHASE_1) != (data[_MESSAGE_ID:_LENGTH] == bytes(4)) and exchange != 5:
        return False
    return bool(flags & _V1_ENCRYPTED) or _plausible_payload(data, 0xFF)


def _plausible_v2(data: bytes) -> bool:
    next_payload, exchange, flags = data[16], data[18], data[_FLAGS]
    if exchange not in _V2_EXCHANGES or flags & ~_V2_FLAGS:
        return False
    if exchange not in _V2_FIRST_EXCHANGES and data[8:16] == bytes(8):
        return False
    if next_payload == 0:
        return int.from_bytes(data[_LENGTH:IKE_HEADER], "big") == IKE_HEADER
    return next_payload in _V2_PAYLOADS and _plausible_payload(data, 0x7F)


def _plausible_payload(data: bytes, reserved: int) -> bool:
    """Whether the first generic payload header fits into the message (or was not captured)."""
    head = data[IKE_HEADER : IKE_HEADER + 4]
    if len(head) < 4:
        return int.from_bytes(data[_LENGTH:IKE_HEADER], "big") >= IKE_HEADER + 4
    if head[1] & reserved:
        return False
    length = int.from_bytes(head[2:], "big")
    return 4 <= length <= int.from_bytes(data[_LENGTH:IKE_HEADER], "big") - IKE_HEADER


def ike_content(data: bytes, wire_length: int) -> Content | None:
    """IKE on a port that says nothing, with or without the non-ESP marker; None when it is not IKE."""
    if data[:4] == MARKER:
        return Content(Kind.IKE, 4, marker=True) if looks_like_ike(data[4:], wire_length - 4) else None
    return Content(Kind.IKE) if looks_like_ike(data, wire_length) else None


def nat_t_content(data: bytes, wire_length: int) -> Content:
    """What shares the NAT traversal port: IKE behind the marker, ESP, WESP, keepalives (RFC 3948 section 2)."""
    if wire_length == 1 and data == KEEPALIVE:
        return Content(Kind.KEEPALIVE)
    first = data[:4]
    if first == MARKER:
        return Content(Kind.IKE, 4, marker=True)
    if first == WESP_MARKER:
        return Content(Kind.WESP, 4)
    if looks_like_ike(data, wire_length):
        return Content(Kind.IKE)  # sent without the marker, so that its receiver takes it for ESP
    return Content(Kind.ESP)


def ike_port_content(data: bytes, wire_length: int) -> Content:
    """What is met on an IKE port: IKE; a marker where none belongs; keepalives of the NAT traversal drafts."""
    if wire_length == 1 and data == KEEPALIVE:
        return Content(Kind.KEEPALIVE)
    return ike_content(data, wire_length) or Content(Kind.IKE)


def udp_content(data: bytes, wire_length: int, ports: tuple[int, int], extra: frozenset[int]) -> Content | None:
    """What a UDP payload is by its ports, else by its octets; None when it is not known to be IPsec.

    Args:
        data: the payload as captured.
        wire_length: its octets on the wire.
        ports: source and destination port.
        extra: further ports that carry IKE.
    """
    if NAT_T_PORT in ports:
        return nat_t_content(data, wire_length)
    if not IKE_PORTS.isdisjoint(ports) or not extra.isdisjoint(ports):
        return ike_port_content(data, wire_length)
    return ike_content(data, wire_length)
