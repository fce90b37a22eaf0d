"""Whether decrypted octets are what the next header says: the evidence for a cipher key that no ICV vouches for.

Each check looks at what a protocol fixes (version, lengths, reserved bits). It never judges content: a packet that a
real sender sent must pass.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecscope.dissect.registry.ip_protocols import IpProtocol

TRAILER_SIZE = 2  # Pad Length and Next Header
DEFAULT_PADDING = bytes(range(1, 256))  # RFC 4303 section 2.4
LAST_RESERVED_SPI = 255  # RFC 4303 section 2.1


def is_esp_plaintext(plaintext: bytes) -> bool:
    """Whether decrypted octets end as a sender ends them, and start as their next header says.

    Senders pad with 1, 2, 3 … (RFC 4303 section 2.4). One that pads otherwise is believed where the inner IP packet
    is consistent. Octets under a wrong key pass about three times in a hundred thousand.
    """
    if len(plaintext) < TRAILER_SIZE:
        return False
    pad_length, next_header = plaintext[-2], plaintext[-1]
    stop = len(plaintext) - TRAILER_SIZE - pad_length
    if stop < 0:
        return False
    check = CHECKS.get(next_header)
    if plaintext[stop:-2] != DEFAULT_PADDING[:pad_length]:
        return next_header in (IpProtocol.IPV4, IpProtocol.IPV6) and CHECKS[next_header](plaintext[:stop])
    return check(plaintext[:stop]) if check is not None else pad_length > 1


def _number(octets: bytes, at: int) -> int:
    return int.from_bytes(octets[at : at + 2], "big")


def _is_ipv4(packet: bytes) -> bool:
    return len(packet) >= 20 and packet[0] >> 4 == 4 and 20 <= (packet[0] & 15) * 4 <= _number(packet, 2) <= len(packet)


def _is_ipv6(packet: bytes) -> bool:
    return len(packet) >= 40 and packet[0] >> 4 == 6 and 40 + _number(packet, 4) <= len(packet)


def _is_udp(segment: bytes) -> bool:
    return len(segment) >= 8 and 8 <= _number(segment, 4) <= len(segment)


def _is_tcp(segment: bytes) -> bool:
    return len(segment) >= 20 and 20 <= (segment[12] >> 4) * 4 <= len(segment) and not segment[12] & 0x0E


def _is_icmp(segment: bytes) -> bool:
    return len(segment) >= 8 and (segment[0] <= 18 or segment[0] in (40, 42, 43)) and segment[1] <= 16


def _is_icmpv6(segment: bytes) -> bool:
    return len(segment) >= 4 and (1 <= segment[0] <= 4 or 127 <= segment[0] <= 162) and segment[1] <= 16


def _is_igmp(segment: bytes) -> bool:
    return len(segment) >= 8 and 0x11 <= segment[0] <= 0x32


def _is_gre(packet: bytes) -> bool:
    return len(packet) >= 4 and not packet[1] & 0x78 and packet[1] & 7 <= 1 and _number(packet, 2) >= 0x0600


def _is_esp(packet: bytes) -> bool:
    return len(packet) >= 10 and int.from_bytes(packet[:4], "big") > LAST_RESERVED_SPI


def _is_ah(packet: bytes) -> bool:
    return len(packet) >= 12 and not _number(packet, 2) and 12 <= (packet[1] + 2) * 4 <= len(packet)


def _is_ipcomp(packet: bytes) -> bool:
    return len(packet) >= 4 and not packet[1]


def _is_beet(packet: bytes) -> bool:
    return len(packet) >= 8 and packet[1] <= 5 and not packet[3]


def _is_extension_header(packet: bytes) -> bool:
    return len(packet) >= 8 and (packet[1] + 1) * 8 <= len(packet) and packet[0] in CHECKS


def _is_sctp(packet: bytes) -> bool:
    return len(packet) >= 16 and 4 <= _number(packet, 14) <= len(packet) - 12


def _is_ospf(packet: bytes) -> bool:
    return len(packet) >= 16 and packet[0] in (2, 3) and 1 <= packet[1] <= 5


def _is_pim(packet: bytes) -> bool:
    return len(packet) >= 4 and packet[0] >> 4 == 2


def _is_vrrp(packet: bytes) -> bool:
    return len(packet) >= 8 and packet[0] in (0x21, 0x31)


def _is_aggfrag(packet: bytes) -> bool:
    return len(packet) >= 4 and packet[0] <= 1 and not packet[1] & 0xFE


CHECKS: dict[int, Callable[[bytes], bool]] = {
    IpProtocol.HOPOPT: _is_extension_header,
    IpProtocol.ICMP: _is_icmp,
    IpProtocol.IGMP: _is_igmp,
    IpProtocol.IPV4: _is_ipv4,
    IpProtocol.TCP: _is_tcp,
    IpProtocol.UDP: _is_udp,
    IpProtocol.IPV6: _is_ipv6,
    IpProtocol.IPV6_ROUTE: _is_extension_header,
    IpProtocol.IPV6_FRAG: _is_extension_header,
    IpProtocol.GRE: _is_gre,
    IpProtocol.ESP: _is_esp,
    IpProtocol.AH: _is_ah,
    IpProtocol.IPV6_ICMP: _is_icmpv6,
    IpProtocol.IPV6_NONXT: lambda _packet: True,  # a dummy packet: any octets, RFC 4303 section 2.6
    IpProtocol.IPV6_OPTS: _is_extension_header,
    IpProtocol.OSPFIGP: _is_ospf,
    IpProtocol.BEETPH: _is_beet,
    IpProtocol.PIM: _is_pim,
    IpProtocol.IPCOMP: _is_ipcomp,
    IpProtocol.VRRP: _is_vrrp,
    IpProtocol.SCTP: _is_sctp,
    IpProtocol.MOBILITY_HEADER: _is_extension_header,
    IpProtocol.AGGFRAG: _is_aggfrag,
}
