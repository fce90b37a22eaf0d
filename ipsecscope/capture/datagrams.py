"""What the layers below IPsec deliver: one value per IKE message, ESP or AH packet, keepalive or ICMP error."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Kind(IntEnum):
    """What a datagram carries, as far as ports, protocol numbers and markers tell."""

    OTHER = 0
    IKE = 1
    ESP = 2
    AH = 3
    KEEPALIVE = 4  # RFC 3948 section 2.3: one octet 0xff
    ICMP = 5  # an ICMP error that quotes one of the others
    WESP = 6  # RFC 5840
    IPCOMP = 7  # RFC 3173, outside ESP
    FRAGMENT = 8  # part of a datagram whose other parts are not in the capture
    UNREADABLE = 9  # on an IPsec port, or of an IPsec protocol, but too short to say more


class Encapsulation(IntEnum):
    """What carries the IPsec packet."""

    IP = 0
    UDP = 1
    TCP = 2


class IcmpError(msgspec.Struct, frozen=True):
    """An ICMP error message: who sent it, what it says, and the next-hop MTU where it gives one."""

    sender: str
    type: int
    code: int
    mtu: int | None
    version: int  # 4 or 6


class Datagram(msgspec.Struct, frozen=True):
    """One unit for the dissectors, with the path it took.

    ``payload`` starts at the IKE header (non-ESP marker removed), or at the ESP, AH, WESP or IPComp header.
    ``frames`` are the records it came from (several when reassembled), ``offset`` is where the payload starts in the
    record's data (None when reassembled). ``missing`` counts octets that were on the wire and are not in the capture.
    ``packet`` is the whole carrying IP packet (the AH integrity check covers it); ``layers`` names everything around,
    outermost first, such as ``("ETHERNET", "VLAN 42", "IPv4", "UDP")``. Times are nanoseconds since 1970 UTC.
    """

    file: int
    frames: tuple[int, ...]
    time_ns: int
    kind: Kind
    encapsulation: Encapsulation
    src: str
    dst: str
    sport: int
    dport: int
    payload: bytes
    offset: int | None = None
    missing: int = 0
    marker: bool = False  # the four zero octets of RFC 3948 section 2.2 stood before the IKE header
    packet: bytes = b""
    ttl: int = 0
    dscp: int = 0
    identification: int | None = None
    dont_fragment: bool | None = None
    fragments: int = 1  # how many IP fragments it was reassembled from
    layers: tuple[str, ...] = ()
    icmp: IcmpError | None = None
    quoted: Datagram | None = None  # what an ICMP error quotes
    duplicate_of: int | None = None  # the record that held the same packet (mirror ports): this one does not count
    comment: str = ""
    packet_offset: int | None = None  # where ``packet`` starts in the record's data (None when reassembled)

    @property
    def frame(self) -> int:
        """The record that completed this datagram."""
        return self.frames[-1]

    @property
    def wire_length(self) -> int:
        """Octets of the payload on the wire."""
        return len(self.payload) + self.missing
