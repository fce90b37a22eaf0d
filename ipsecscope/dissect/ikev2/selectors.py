"""Traffic Selector payloads TSi and TSr (RFC 7296 section 3.13); Fibre Channel (RFC 4595), security labels (9478).

Text is written the way operators read it: ``10.1.0.0/16``, ``10.1.0.1-10.1.0.7``, ``10.1.0.5/32[udp/500]``.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, ClassVar

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.registry.ikev2 import PayloadType, TrafficSelectorType
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U16, U24, Array, Bytes, CountOf, Length, Reader, Struct

ANY_PROTOCOL = 0
FIRST_PORT, LAST_PORT = 0, 0xFFFF
_ICMP = (IpProtocol.ICMP, IpProtocol.IPV6_ICMP)


class TrafficSelector(Struct):
    """Root of the selectors; ``registry`` maps selector types to classes."""

    registry: ClassVar[dict[int, Any]] = {}


def selector_type(reader: Reader) -> int:
    """The type of the selector at the cursor."""
    return reader.data[reader.pos]


class UnknownSelector(TrafficSelector, rfc="7296 3.13.1"):
    """A selector of a type that nobody described."""

    ts_type: Annotated[TrafficSelectorType, U8]
    protocol: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The type and the octets."""
        return f"{self.ts_type} {self.data.hex()}".rstrip()


class Ipv4Selector(TrafficSelector, of=TrafficSelectorType.TS_IPV4_ADDR_RANGE, rfc="7296 3.13.1"):
    """A range of IPv4 addresses, of ports and, unless ``protocol`` is 0, one IP protocol."""

    ts_type: Annotated[TrafficSelectorType, U8] = TrafficSelectorType.TS_IPV4_ADDR_RANGE
    protocol: Annotated[int, U8] = ANY_PROTOCOL
    length: Annotated[int | None, U16, Length()] = None
    start_port: Annotated[int, U16] = FIRST_PORT
    end_port: Annotated[int, U16] = LAST_PORT
    start_address: Annotated[bytes, Bytes(4)]
    end_address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """Such as ``10.1.0.0/16[tcp/80]``."""
        return address_range(self.start_address, self.end_address) + ports(
            self.protocol, self.start_port, self.end_port
        )


class Ipv6Selector(TrafficSelector, of=TrafficSelectorType.TS_IPV6_ADDR_RANGE, rfc="7296 3.13.1"):
    """A range of IPv6 addresses, of ports and, unless ``protocol`` is 0, one IP protocol."""

    ts_type: Annotated[TrafficSelectorType, U8] = TrafficSelectorType.TS_IPV6_ADDR_RANGE
    protocol: Annotated[int, U8] = ANY_PROTOCOL
    length: Annotated[int | None, U16, Length()] = None
    start_port: Annotated[int, U16] = FIRST_PORT
    end_port: Annotated[int, U16] = LAST_PORT
    start_address: Annotated[bytes, Bytes(16)]
    end_address: Annotated[bytes, Bytes(16)]

    def summary(self) -> str:
        """Such as ``2001:db8::/64``."""
        return address_range(self.start_address, self.end_address) + ports(
            self.protocol, self.start_port, self.end_port
        )


class FcSelector(TrafficSelector, of=TrafficSelectorType.TS_FC_ADDR_RANGE, rfc="4595 4.4"):
    """A range of Fibre Channel addresses, routing controls and types."""

    ts_type: Annotated[TrafficSelectorType, U8] = TrafficSelectorType.TS_FC_ADDR_RANGE
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    reserved2: Annotated[int, U8] = 0
    start_address: Annotated[int, U24]
    reserved3: Annotated[int, U8] = 0
    end_address: Annotated[int, U24]
    start_r_ctl: Annotated[int, U8] = 0
    end_r_ctl: Annotated[int, U8] = 0xFF
    start_type: Annotated[int, U8] = 0
    end_type: Annotated[int, U8] = 0xFF

    def summary(self) -> str:
        """Such as ``fc 000001-0000ff r_ctl 0-255 type 0-255``."""
        return (
            f"fc {self.start_address:06x}-{self.end_address:06x}"
            f" r_ctl {self.start_r_ctl}-{self.end_r_ctl} type {self.start_type}-{self.end_type}"
        )


def address_range(start: bytes, end: bytes) -> str:
    """A range of addresses as a prefix where it is one: ``10.1.0.0/16``, ``10.1.0.1-10.1.0.7``."""
    first, last = int.from_bytes(start, "big"), int.from_bytes(end, "big")
    width = len(start) * 8
    span = last - first + 1
    if span > 0 and span & (span - 1) == 0 and first % span == 0:
        return f"{ipaddress.ip_address(start)}/{width - span.bit_length() + 1}"
    return f"{ipaddress.ip_address(start)}-{ipaddress.ip_address(end)}"


def protocol_name(protocol: int) -> str:
    """The lower-case name of an IP protocol, or its number."""
    known = IpProtocol(protocol)
    return str(known).lower().replace("ipv6_icmp", "icmpv6") if known.is_known else str(protocol)


def ports(protocol: int, start: int, end: int) -> str:
    """The suffix of a selector that is narrower than all protocols and ports, such as ``[udp/500]``; else empty."""
    every_port = (start, end) == (FIRST_PORT, LAST_PORT)
    if protocol == ANY_PROTOCOL and every_port:
        return ""
    name = "" if protocol == ANY_PROTOCOL else protocol_name(protocol)
    if every_port:
        return f"[{name}]"
    if (start, end) == (LAST_PORT, FIRST_PORT):
        return f"[{name}/OPAQUE]"
    write = _icmp_text if protocol in _ICMP else str
    return f"[{name}/{write(start)}]" if start == end else f"[{name}/{write(start)}-{write(end)}]"


def _icmp_text(number: int) -> str:
    """The type in the upper octet and the code in the lower one (RFC 4301 section 4.4.1.1): ``8(0)``."""
    return f"{number >> 8}({number & 0xFF})"


class TrafficSelectors(Ikev2Body, rfc="7296 3.13"):
    """A list of traffic selectors: traffic that matches any one of them."""

    count: Annotated[int | None, U8, CountOf("selectors")] = None
    reserved: Annotated[int, U24] = 0
    selectors: Annotated[
        tuple[TrafficSelector, ...], Array(UnknownSelector, selector_type, TrafficSelector.registry)
    ] = ()

    def summary(self) -> str:
        """The selectors, separated by spaces."""
        return " ".join(selector.summary() for selector in self.selectors)


class TrafficSelectorsInitiator(TrafficSelectors, of=PayloadType.TSi, rfc="7296 3.13"):
    """Traffic Selector - Initiator payload: addresses on the initiator's side."""


class TrafficSelectorsResponder(TrafficSelectors, of=PayloadType.TSr, rfc="7296 3.13"):
    """Traffic Selector - Responder payload: addresses on the responder's side."""
