"""The cursor that goes through one frame from the outside in, and what it can come upon.

Every layer is a function from the cursor to the layer that follows; ``layers.py`` calls them in a loop.
"""

from __future__ import annotations

import socket
from enum import IntEnum, auto
from functools import lru_cache

import msgspec

from ipsecscope.capture.datagrams import Datagram, Encapsulation, IcmpError, Kind
from ipsecscope.capture.ports import LEAST

MAX_ADDRESSES = 65_536  # addresses whose text form is remembered


class Layer(IntEnum):
    """What may follow next."""

    ETHERNET = auto()
    ETHER_TYPE = auto()  # two octets of EtherType, then what they say
    LLC = auto()
    VLAN = auto()
    SLL = auto()
    SLL2 = auto()
    NULL = auto()
    PPP = auto()
    PPP_HDLC = auto()
    PPPOE = auto()
    MPLS = auto()
    IP = auto()  # the version nibble decides
    IPV4 = auto()
    IPV6 = auto()
    GRE = auto()
    ETHERIP = auto()
    UDP = auto()
    TCP = auto()
    ESP = auto()
    AH = auto()
    IPCOMP = auto()
    WESP = auto()
    ICMP = auto()
    ICMPV6 = auto()


class Origin(msgspec.Struct, frozen=True):
    """Where octets come from. ``whole`` says that they are a record, so that offsets in it mean something."""

    file: int
    frames: tuple[int, ...]
    time_ns: int
    comment: str = ""
    whole: bool = True
    fragments: int = 1


class Fragment(msgspec.Struct, frozen=True):
    """A fragment of an IP packet.

    ``key`` tells packets apart (RFC 791 section 3.2, RFC 8200 section 4.5); ``header`` is the IP header as it would
    stand in front of the whole packet, but for its length; ``length`` counts octets on the wire.
    """

    key: tuple[int, int, bytes, bytes, int, int]
    version: int
    protocol: int
    src: str
    dst: str
    identification: int
    header: bytes
    start: int
    length: int
    more: bool
    data: bytes
    packet: bytes
    origin: Origin
    layers: tuple[str, ...]
    depth: int


class Segment(msgspec.Struct, frozen=True):
    """A TCP segment that may carry IKE or ESP. ``template`` is what every datagram in it shares."""

    template: Datagram
    seq: int
    ack: int | None
    syn: bool
    reset: bool
    data: bytes
    missing: int
    offset: int | None


Unit = Datagram | Fragment | Segment


@lru_cache(MAX_ADDRESSES)
def address_text(packed: bytes) -> str:
    """An IPv4 or IPv6 address of 4 or 16 octets as text."""
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def endpoints(src: str, sport: int, dst: str, dport: int) -> frozenset[tuple[str, int]]:
    """A pair of addresses and ports, whatever its direction."""
    return frozenset(((src, sport), (dst, dport)))


class Known:
    """What earlier frames have taught: conversations that carry IPsec on ports of their own."""

    def __init__(self) -> None:
        self.nat_t: set[frozenset[tuple[str, int]]] = set()  # UDP that has carried IKE behind the non-ESP marker
        self.tcp: set[frozenset[tuple[str, int]]] = set()  # TCP that began with the IKETCP prefix


class Walk:
    """A cursor: ``pos`` is where the next layer starts, ``end`` where its captured octets end.

    ``wire_end`` is where it ended on the wire. ``quoting`` is the ICMP error whose quoted packet is being walked.
    """

    __slots__ = (
        "data",
        "depth",
        "dont_fragment",
        "dscp",
        "dst",
        "end",
        "extra",
        "found",
        "identification",
        "inside_ip",
        "known",
        "layers",
        "origin",
        "outermost",
        "packet_end",
        "packet_start",
        "pos",
        "quoting",
        "src",
        "ttl",
        "version",
        "wire_end",
    )

    def __init__(
        self, data: bytes, wire_length: int, origin: Origin, extra: frozenset[int], known: Known, layers: list[str]
    ) -> None:
        """Stand in front of ``data``, which had ``wire_length`` octets on the wire."""
        self.data = data
        self.pos = 0
        self.end = len(data)
        self.wire_end = max(wire_length, len(data))
        self.origin = origin
        self.extra = extra
        self.known = known
        self.layers = layers
        self.depth = 0
        self.found: list[Unit] = []
        self.inside_ip = False
        self.version = 0
        self.packet_start = self.packet_end = 0
        self.src = self.dst = ""
        self.ttl = self.dscp = 0
        self.identification: int | None = None
        self.dont_fragment: bool | None = None
        self.quoting: Datagram | None = None
        self.outermost: tuple[str, str, int] | None = None  # source, destination, protocol of the first IP header

    @property
    def left(self) -> int:
        """Captured octets of this layer."""
        return self.end - self.pos

    def number(self, offset: int, size: int) -> int:
        """An unsigned integer at ``pos + offset``; the caller knows that it is there."""
        start = self.pos + offset
        return int.from_bytes(self.data[start : start + size], "big")

    def deliver(
        self,
        kind: Kind,
        *,
        encapsulation: Encapsulation = Encapsulation.IP,
        ports: tuple[int, int] = (0, 0),
        marker: bool = False,
    ) -> None:
        """What stands at the cursor is a datagram of this kind, or too short to be one."""
        payload = self.data[self.pos : self.end]
        quoted_ike = self.quoting is not None and kind is Kind.IKE and not marker
        if len(payload) < LEAST.get(kind, 0) and not quoted_ike:
            kind = Kind.UNREADABLE
        datagram = self.template(kind, encapsulation, ports, marker=marker, payload=payload)
        self.found.append(datagram if self.quoting is None else _quote(self.quoting, datagram))

    def template(
        self,
        kind: Kind,
        encapsulation: Encapsulation,
        ports: tuple[int, int],
        *,
        marker: bool = False,
        payload: bytes = b"",
        icmp: IcmpError | None = None,
    ) -> Datagram:
        """A datagram at the cursor, with the path of the IP packet around it."""
        origin = self.origin
        return Datagram(
            file=origin.file,
            frames=origin.frames,
            time_ns=origin.time_ns,
            kind=kind,
            encapsulation=encapsulation,
            src=self.src,
            dst=self.dst,
            sport=ports[0],
            dport=ports[1],
            payload=payload,
            offset=self.pos if origin.whole else None,
            missing=max(0, self.wire_end - self.pos - len(payload)),
            marker=marker,
            packet=self.data[self.packet_start : self.packet_end],
            ttl=self.ttl,
            dscp=self.dscp,
            identification=self.identification,
            dont_fragment=self.dont_fragment,
            fragments=origin.fragments,
            layers=tuple(self.layers),
            icmp=icmp,
            comment=origin.comment,
            packet_offset=self.packet_start if origin.whole else None,
        )


def _quote(error: Datagram, quoted: Datagram) -> Datagram:
    return msgspec.structs.replace(error, quoted=quoted)
