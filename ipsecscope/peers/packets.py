"""IP packets that the peers and their hosts send: IPv4, IPv6, UDP, TCP and ICMP, with right lengths and checksums.

This is the scaffolding around IPsec, not IPsec: what the data plane wraps and what the traffic sources say. Packets
that arrive are cut with ``split``, which never raises.
"""

from __future__ import annotations

import ipaddress
from enum import IntFlag
from typing import Annotated, Any, Final

import msgspec

from ipsecscope.dissect.esp import checksum
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U16, U32, Bytes, Codec, Length, Reader, Sized, SizeOf, Struct, WireError

DEFAULT_TTL: Final = 64
DONT_FRAGMENT: Final = 0x4000  # RFC 791 section 3.1: bit 1 of the flags, in front of the fragment offset
MORE_FRAGMENTS: Final = 0x2000
IPV4_HEADER_SIZE: Final = 20
IPV6_HEADER_SIZE: Final = 40
UDP_HEADER_SIZE: Final = 8
MAX_EXTENSION_HEADERS: Final = 8  # IPv6 extension headers that one packet of ours may have in front


class _Checksum(Codec):
    """An Internet checksum; None becomes zero, and the structure puts the right one in when it is whole."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the checksum."""
        del by
        return int.from_bytes(reader.take(2), "big")

    def put(self, out: bytearray, value: Any) -> None:
        """Append the checksum."""
        out += int(value or 0).to_bytes(2, "big")


class _VersionIhl(Codec):
    """Version 4 and the header's length in words; as a value, the octets of the options."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the length. Raises WireError for another version, or a header too short for itself."""
        del by
        octet = reader.take(1)[0]
        size = (octet & 15) * 4 - IPV4_HEADER_SIZE
        if octet >> 4 != 4 or size < 0:
            raise WireError("not an IPv4 header", reader.pos - 1, reader.pos)
        return size

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octet."""
        out.append(0x40 | (value + IPV4_HEADER_SIZE) // 4)


class _DataOffset(Codec):
    """TCP's data offset and four reserved bits; as a value, the octets of the options."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the offset. Raises WireError for a header too short for itself."""
        del by
        size = (reader.take(1)[0] >> 4) * 4 - 20
        if size < 0:
            raise WireError("not a TCP header", reader.pos - 1, reader.pos)
        return size

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octet."""
        out.append((value + 20) // 4 << 4)


class Ipv4(Struct, rfc="791 3.1"):
    """An IPv4 packet. ``checksum`` None is the right one; ``options`` are whole words."""

    options_size: Annotated[int | None, _VersionIhl(), SizeOf("options")] = None
    tos: Annotated[int, U8] = 0
    total_length: Annotated[int | None, U16, Length()] = None
    identification: Annotated[int, U16] = 0
    flags_offset: Annotated[int, U16] = DONT_FRAGMENT
    ttl: Annotated[int, U8] = DEFAULT_TTL
    protocol: Annotated[IpProtocol, U8]
    checksum: Annotated[int | None, _Checksum()] = None
    source: Annotated[bytes, Bytes(4)]
    destination: Annotated[bytes, Bytes(4)]
    options: Annotated[bytes, Sized(by="options_size")] = b""
    data: Annotated[bytes, REST] = b""

    def write(self, out: bytearray, *, last: bool = True) -> None:
        """Append the packet; the header's checksum is computed where none is given."""
        start = len(out)
        super().write(out, last=last)
        if self.checksum is None:
            header = bytes(out[start : start + IPV4_HEADER_SIZE + len(self.options)])
            out[start + 10 : start + 12] = checksum(header).to_bytes(2, "big")


class Ipv6(Struct, rfc="8200 3"):
    """An IPv6 packet; extension headers are part of ``data``."""

    version_class_flow: Annotated[int, U32] = 6 << 28
    payload_length: Annotated[int | None, U16, Length(less=IPV6_HEADER_SIZE)] = None
    next_header: Annotated[IpProtocol, U8]
    hop_limit: Annotated[int, U8] = DEFAULT_TTL
    source: Annotated[bytes, Bytes(16)]
    destination: Annotated[bytes, Bytes(16)]
    data: Annotated[bytes, REST] = b""


class Udp(Struct, rfc="768"):
    """A UDP datagram. A checksum of 0 says that there is none, as RFC 3948 section 2.1 wants it around ESP."""

    source_port: Annotated[int, U16]
    destination_port: Annotated[int, U16]
    length: Annotated[int | None, U16, Length()] = None
    checksum: Annotated[int, U16] = 0
    data: Annotated[bytes, REST] = b""


class TcpFlags(IntFlag):
    """TCP control bits, RFC 9293 section 3.1."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10


class Tcp(Struct, rfc="9293 3.1"):
    """A TCP segment."""

    source_port: Annotated[int, U16]
    destination_port: Annotated[int, U16]
    sequence: Annotated[int, U32] = 0
    acknowledgment: Annotated[int, U32] = 0
    options_size: Annotated[int | None, _DataOffset(), SizeOf("options")] = None
    flags: Annotated[TcpFlags, U8] = TcpFlags.ACK
    window: Annotated[int, U16] = 0xFFFF
    checksum: Annotated[int, U16] = 0
    urgent: Annotated[int, U16] = 0
    options: Annotated[bytes, Sized(by="options_size")] = b""
    data: Annotated[bytes, REST] = b""


class MaximumSegmentSize(Struct, rfc="9293 3.7.1"):
    """TCP's Maximum Segment Size option."""

    kind: Annotated[int, U8] = 2
    length: Annotated[int, U8] = 4
    size: Annotated[int, U16]


class IcmpEcho(Struct, rfc="792"):
    """An ICMP or ICMPv6 echo message: type 8 and 0, or 128 and 129 (RFC 4443 section 4)."""

    type: Annotated[int, U8]
    code: Annotated[int, U8] = 0
    checksum: Annotated[int, U16] = 0
    identifier: Annotated[int, U16] = 0
    sequence: Annotated[int, U16] = 0
    data: Annotated[bytes, REST] = b""


ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}

CHECKSUM_AT: Final = {
    IpProtocol.UDP: 6,
    IpProtocol.TCP: 16,
    IpProtocol.ICMP: 2,
    IpProtocol.IPV6_ICMP: 2,
}  # offset of the checksum in the header


class Pieces(msgspec.Struct, frozen=True):
    """An IP packet cut behind its headers.

    ``head`` is the IP header with its options, or with the IPv6 extension headers that routers look at; ``protocol``
    says what ``payload`` is. ``protocol_at`` is the offset in ``head`` of the octet that says so.
    """

    version: int
    head: bytes
    protocol: int
    protocol_at: int
    payload: bytes

    @property
    def source(self) -> str:
        """The source address."""
        octets = self.head[12:16] if self.version == 4 else self.head[8:24]
        return str(ipaddress.ip_address(octets))

    @property
    def destination(self) -> str:
        """The destination address."""
        octets = self.head[16:20] if self.version == 4 else self.head[24:40]
        return str(ipaddress.ip_address(octets))

    @property
    def is_fragment(self) -> bool:
        """Whether it is a fragment of an IPv4 packet (ESP and AH take whole packets only, RFC 4303 section 3.3.4)."""
        return self.version == 4 and bool(int.from_bytes(self.head[6:8], "big") & 0x3FFF)

    def with_payload(self, payload: bytes, protocol: int) -> bytes:
        """The packet with another payload behind the same header; lengths and checksum are made right."""
        head = bytearray(self.head)
        head[self.protocol_at] = protocol
        if self.version == 4:
            head[2:4] = (len(head) + len(payload)).to_bytes(2, "big")
            head[10:12] = bytes(2)
            head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
        else:
            head[4:6] = (len(head) - IPV6_HEADER_SIZE + len(payload)).to_bytes(2, "big")
        return bytes(head) + payload


def split(packet: bytes) -> Pieces | None:
    """Cut an IP packet behind its headers; None for octets that are no whole IP packet.

    Of an IPv6 packet, hop-by-hop options and routing headers stay with the header (RFC 4303 section 3.1.1).
    """
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= IPV4_HEADER_SIZE:
        size, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4], "big")
        if IPV4_HEADER_SIZE <= size <= total <= len(packet):
            return Pieces(4, packet[:size], packet[9], 9, packet[size:total])
    if version == 6 and len(packet) >= IPV6_HEADER_SIZE:
        total = IPV6_HEADER_SIZE + int.from_bytes(packet[4:6], "big")
        if total <= len(packet):
            return _split_ipv6(packet[:total])
    return None


def _split_ipv6(packet: bytes) -> Pieces | None:
    protocol_at, at = 6, IPV6_HEADER_SIZE
    for _ in range(MAX_EXTENSION_HEADERS):
        kind = packet[protocol_at]
        if kind not in (IpProtocol.HOPOPT, IpProtocol.IPV6_ROUTE):
            return Pieces(6, packet[:at], kind, protocol_at, packet[at:])
        if at + 8 > len(packet) or at + (packet[at + 1] + 1) * 8 > len(packet):
            return None
        protocol_at, at = at, at + (packet[at + 1] + 1) * 8
    return None


def ip_packet(
    source: str,
    destination: str,
    protocol: int,
    data: bytes,
    *,
    identification: int = 0,
    ttl: int = DEFAULT_TTL,
    dont_fragment: bool = True,
    tos: int = 0,
    checksums: bool = True,
) -> bytes:
    """An IPv4 or IPv6 packet between two addresses of one version.

    ``checksums`` makes the checksum of UDP, TCP or ICMP inside ``data`` right. Raises ValueError for addresses that are none or of two versions.
    """
    first, second = ipaddress.ip_address(source), ipaddress.ip_address(destination)
    if first.version != second.version:
        raise ValueError(f"{source} and {destination} are of two IP versions")
    if checksums:
        data = with_checksum(data, protocol, first.packed, second.packed)
    if first.version == 4:
        return Ipv4(
            tos=tos,
            identification=identification,
            flags_offset=DONT_FRAGMENT if dont_fragment else 0,
            ttl=ttl,
            protocol=IpProtocol(protocol),
            source=first.packed,
            destination=second.packed,
            data=data,
        ).build()
    return Ipv6(
        version_class_flow=6 << 28 | tos << 20,
        next_header=IpProtocol(protocol),
        hop_limit=ttl,
        source=first.packed,
        destination=second.packed,
        data=data,
    ).build()


def with_checksum(data: bytes, protocol: int, source: bytes, destination: bytes) -> bytes:
    """A UDP, TCP, ICMP or ICMPv6 message with its checksum computed (RFC 1071, pseudo headers of 768, 9293, 8200).

    Other protocols come back as they are. A UDP checksum that comes out as 0 is sent as 0xffff.
    """
    at = CHECKSUM_AT.get(IpProtocol(protocol))
    if at is None or len(data) < at + 2:
        return data
    blank = data[:at] + bytes(2) + data[at + 2 :]
    pseudo = b""
    if protocol != IpProtocol.ICMP:
        width = 2 if len(source) == 4 else 4
        pseudo = source + destination + len(data).to_bytes(width, "big") + protocol.to_bytes(width, "big")
    value = checksum(pseudo + blank)
    if protocol == IpProtocol.UDP and not value:
        value = 0xFFFF
    return data[:at] + value.to_bytes(2, "big") + data[at + 2 :]


def udp_packet(
    source: tuple[str, int],
    destination: tuple[str, int],
    data: bytes,
    *,
    identification: int = 0,
    ttl: int = DEFAULT_TTL,
    dont_fragment: bool = True,
    tos: int = 0,
) -> bytes:
    """An IP packet with a UDP datagram; ends are address and port."""
    datagram = Udp(source_port=source[1], destination_port=destination[1], data=data).build()
    return ip_packet(
        source[0],
        destination[0],
        IpProtocol.UDP,
        datagram,
        identification=identification,
        ttl=ttl,
        dont_fragment=dont_fragment,
        tos=tos,
    )


def echo_packet(
    source: str,
    destination: str,
    *,
    identifier: int,
    sequence: int,
    data: bytes = b"",
    reply: bool = False,
    ip_identification: int = 0,
) -> bytes:
    """A ping, or its reply."""
    version = ipaddress.ip_address(source).version
    kind = (ECHO_REPLY if reply else ECHO_REQUEST)[version]
    message = IcmpEcho(type=kind, identifier=identifier, sequence=sequence, data=data).build()
    protocol = IpProtocol.ICMP if version == 4 else IpProtocol.IPV6_ICMP
    return ip_packet(source, destination, protocol, message, identification=ip_identification)
