"""The packet that ESP or AH protects, as its host sent it: tunnel, transport and BEET mode, IPComp, AGGFRAG.

In tunnel mode it is inside, octet for octet. In transport mode its IP header is the outer one, so that is made as it
was before: protocol, length and header checksum; a UDP or TCP encapsulation and AH are taken out. What a NAT changed
in that header stays changed, so checksums above it may not agree (RFC 3948 section 3.1.2).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.layers import Decoder
from ipsecscope.capture.ports import NAT_T_PORT
from ipsecscope.capture.walk import Origin
from ipsecscope.decrypt.opening_ah import AhVerified
from ipsecscope.decrypt.opening_esp import EspOpened
from ipsecscope.dissect.aggfrag import AggfragPayload, join
from ipsecscope.dissect.esp import checksum, inner_size
from ipsecscope.dissect.ipcomp import IpComp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, Struct, WireError
from ipsecscope.peers.packets import DONT_FRAGMENT, Ipv4, Ipv6

MAX_EXTENSION_HEADERS = 16  # IPv6 extension headers walked in front of ESP or AH
MAX_LENGTH = 0xFFFF  # what the length field of an IP header can say
MAX_AGGFRAG_FLOWS = 1024  # SAs whose AGGFRAG payloads are joined at a time
MAX_AGGFRAG_HELD = 64  # payloads held while an inner packet is not complete

IPV4_HEADER, IPV6_HEADER = 20, 40
FRAGMENT_HEADER = 8

Opened = EspOpened | AhVerified
Ends = tuple[str, str]

_EXTENSIONS = frozenset(
    (
        IpProtocol.HOPOPT,
        IpProtocol.IPV6_ROUTE,
        IpProtocol.IPV6_FRAG,
        IpProtocol.IPV6_OPTS,
        IpProtocol.MOBILITY_HEADER,
        IpProtocol.HIP,
        IpProtocol.SHIM6,
    )
)
_IP = (IpProtocol.IPV4, IpProtocol.IPV6)
_PROTECTED = (IpProtocol.ESP, IpProtocol.AH)


class BeetHeader(Struct, rfc="draft-nikander-esp-beet-mode 5.2"):
    """The pseudo header that carries the options of the inner IPv4 header in BEET mode.

    ``length`` counts units of eight octets behind the first eight; ``data`` is padding, options and the payload.
    """

    next_header: Annotated[IpProtocol, U8]
    length: Annotated[int, U8]
    padding: Annotated[int, U8]
    reserved: Annotated[int, U8] = 0
    data: Annotated[bytes, REST] = b""

    def split(self) -> tuple[bytes, bytes] | None:
        """Options and payload; None when the lengths contradict each other."""
        stop = 4 + self.length * 8
        if not self.padding <= stop <= len(self.data) or (stop - self.padding) % 4:
            return None
        return self.data[self.padding : stop], self.data[stop:]


class Restored(msgspec.Struct, frozen=True):
    """The protected packets of one ESP or AH packet; more than one only with AGGFRAG, none in a dummy.

    ``mode`` is ``tunnel``, ``transport``, ``beet``, ``aggfrag`` or ``dummy``. ``remark`` says what is not as it was.
    ``is_sealed`` says that the packet is ESP or AH again and follows as a datagram of its own.
    """

    packets: tuple[bytes, ...] = ()
    mode: str = "transport"
    remark: str = ""
    is_sealed: bool = False


def inner_of(datagram: Datagram, opened: Opened) -> tuple[bytes, int]:
    """What an opened packet protects, and its protocol number."""
    if isinstance(opened, EspOpened):
        return opened.payload, opened.next_header
    return datagram.packet[opened.payload_at :], opened.next_header


class Restorer:
    """Restores packets as they come; remembers what AGGFRAG spreads over several."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], list[AggfragPayload]] = {}

    def restore(self, datagram: Datagram, opened: Opened, ends: Ends | None = None) -> Restored:
        """The packets that one opened datagram protects.

        Args:
            datagram: the datagram that was opened.
            opened: what came out.
            ends: inner source and destination, where the SA is one of BEET mode.
        """
        if isinstance(opened, EspOpened) and opened.is_dummy:
            return Restored(mode="dummy")
        payload, protocol = inner_of(datagram, opened)
        if protocol == IpProtocol.AGGFRAG:
            return self._aggfrag(datagram, opened, payload)
        remark = ""
        if protocol == IpProtocol.IPCOMP:
            inflated = _inflated(payload)
            remark = "" if inflated is not None else "the IPComp payload inside is not DEFLATE"
            payload, protocol = inflated or (payload, protocol)
        if protocol in _IP:
            return _tunnelled(payload, protocol)
        if protocol == IpProtocol.BEETPH:
            return _beet_with_options(datagram, payload, ends)
        if ends is not None:
            return Restored((_made(datagram, ends, protocol, payload),), "beet", remark)
        sealed = isinstance(opened, AhVerified) and protocol in _PROTECTED
        return Restored((_rebuilt(datagram, payload, protocol),), "transport", remark, is_sealed=sealed)

    def _aggfrag(self, datagram: Datagram, opened: Opened, payload: bytes) -> Restored:
        """RFC 9347: the inner packets that this payload completes; those before it were given out."""
        key = (datagram.dst, opened.spi)
        held = self._held.pop(key, [])
        try:
            parsed = AggfragPayload.parse(payload)
        except WireError:
            return Restored(mode="aggfrag", remark="the AGGFRAG payload cannot be read")
        before = len(join(held))
        packets = join([*held, parsed])[before:]
        if len(self._held) >= MAX_AGGFRAG_FLOWS:
            del self._held[next(iter(self._held))]
        self._held[key] = [parsed] if packets else [*held, parsed][-MAX_AGGFRAG_HELD:]
        return Restored(packets, "aggfrag")


def protected_inside(restored: Restored, datagram: Datagram) -> list[Datagram]:
    """ESP and AH packets inside the packets that were restored, with the time and the frame of the one around them."""
    found: list[Datagram] = []
    for packet in restored.packets:
        if not restored.is_sealed and _may_be_protected(packet):
            origin = Origin(datagram.file, datagram.frames, datagram.time_ns, datagram.comment, whole=False)
            units = Decoder().packet_units(packet, len(packet), origin, [], 0)
            found += [unit for unit in units if isinstance(unit, Datagram) and unit.kind in (Kind.ESP, Kind.AH)]
    return found


def _may_be_protected(packet: bytes) -> bool:
    headers = _headers(packet)
    if headers is None:
        return False
    head, protocol_at = headers
    if head[protocol_at] == IpProtocol.UDP:
        ports = packet[len(head) : len(head) + 4]
        return NAT_T_PORT in (int.from_bytes(ports[:2], "big"), int.from_bytes(ports[2:], "big"))
    return head[protocol_at] in _PROTECTED


def _inflated(payload: bytes) -> tuple[bytes, int] | None:
    try:
        header = IpComp.parse(payload)
    except WireError:
        return None
    text = header.inflate()
    return None if text is None else (text, int(header.next_header))


def _tunnelled(payload: bytes, protocol: int) -> Restored:
    size = inner_size(payload, protocol)
    if size is None:
        return Restored((payload,), "tunnel", f"next header {IpProtocol(protocol)}, but no such packet inside")
    return Restored((payload[:size] if 0 < size < len(payload) else payload,), "tunnel")


def _beet_with_options(datagram: Datagram, payload: bytes, ends: Ends | None) -> Restored:
    try:
        header = BeetHeader.parse(payload)
    except WireError:
        header = None
    parts = None if header is None else header.split()
    if header is None or parts is None:
        packet = _rebuilt(datagram, payload, IpProtocol.BEETPH)
        return Restored((packet,), "beet", "the BEET header does not fit its packet")
    remark = "" if ends is not None else "BEET mode, but the inner addresses are not known: these are the outer ones"
    packet = _made(datagram, ends or (datagram.src, datagram.dst), header.next_header, parts[1], options=parts[0])
    return Restored((packet,), "beet", remark)


# -- headers ----------------------------------------------------------------------------------------------------


def _headers(packet: bytes) -> tuple[bytearray, int] | None:
    """The IP header with its options or extension headers, and where in it the protocol behind them stands."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= IPV4_HEADER:
        size = 4 * (packet[0] & 0x0F)
        return (bytearray(packet[:size]), 9) if IPV4_HEADER <= size <= len(packet) else None
    if version != 6 or len(packet) < IPV6_HEADER:
        return None
    protocol_at, at = 6, IPV6_HEADER
    for _ in range(MAX_EXTENSION_HEADERS):
        kind = packet[protocol_at]
        if kind not in _EXTENSIONS or at + 8 > len(packet):
            break
        protocol_at, at = at, at + (FRAGMENT_HEADER if kind == IpProtocol.IPV6_FRAG else 8 * (packet[at + 1] + 1))
    return (bytearray(packet[:at]), protocol_at) if at <= len(packet) else None


def _rebuilt(datagram: Datagram, payload: bytes, protocol: int) -> bytes:
    """The transport mode packet: the payload behind the outer IP header as it was before ESP or AH."""
    headers = _headers(datagram.packet)
    if headers is None:  # it came in pieces of a TCP stream
        return _made(datagram, (datagram.src, datagram.dst), protocol, payload)
    return replaced(headers[0], headers[1], payload, protocol)


def replaced(head: bytearray, protocol_at: int, payload: bytes, protocol: int) -> bytes:
    """An IP packet with another payload: protocol, length and, in IPv4, the header checksum are made right."""
    head[protocol_at] = protocol
    if head[0] >> 4 == 4:
        total = len(head) + len(payload)
        head[2:4] = (total if total <= MAX_LENGTH else 0).to_bytes(2, "big")
        head[10:12] = bytes(2)
        head[10:12] = checksum(bytes(head)).to_bytes(2, "big")
    else:
        length = len(head) - IPV6_HEADER + len(payload)
        head[4:6] = (length if length <= MAX_LENGTH else 0).to_bytes(2, "big")
    return bytes(head) + payload


def with_payload(packet: bytes, payload: bytes, protocol: int) -> bytes | None:
    """An IP packet with another payload behind its headers; None for what is no IP packet."""
    headers = _headers(packet)
    return None if headers is None else replaced(headers[0], headers[1], payload, protocol)


def _made(datagram: Datagram, ends: Ends, protocol: int, payload: bytes, *, options: bytes = b"") -> bytes:
    """A packet between two addresses, with TTL, DSCP and identification of the packet around it."""
    source, destination = (ipaddress.ip_address(each) for each in ends)
    outer = datagram.packet
    traffic_class = datagram.dscp << 2
    if source.version == 4 and destination.version == 4:
        like = outer[:IPV4_HEADER] if outer[:1] and outer[0] >> 4 == 4 and len(outer) >= IPV4_HEADER else None
        packet = Ipv4(
            tos=traffic_class,
            identification=int.from_bytes(like[4:6], "big") if like else 0,
            flags_offset=int.from_bytes(like[6:8], "big") & DONT_FRAGMENT if like else DONT_FRAGMENT,
            ttl=datagram.ttl,
            protocol=IpProtocol(protocol),
            source=source.packed,
            destination=destination.packed,
            options=options,
            data=payload,
        )
        return packet.build()
    return Ipv6(
        version_class_flow=6 << 28 | traffic_class << 20,
        next_header=IpProtocol(protocol),
        hop_limit=datagram.ttl,
        source=source.packed,
        destination=destination.packed,
        data=payload,
    ).build()
