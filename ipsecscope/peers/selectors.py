"""Traffic selectors as text and as ranges: what an operator writes, and what two selectors have in common.

The text is the one that the dissector writes: ``10.1.0.0/16``, ``10.1.0.1-10.1.0.7``, ``10.1.0.5/32[udp/500]``.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

import msgspec

from ipsecscope.dissect.ikev2.selectors import (
    ANY_PROTOCOL,
    FIRST_PORT,
    LAST_PORT,
    Ipv4Selector,
    Ipv6Selector,
    TrafficSelector,
)
from ipsecscope.dissect.registry.ip_protocols import IpProtocol

MAX_SELECTORS = 64  # selectors of one payload that are compared; the rest is not considered

RangeSelector = Ipv4Selector | Ipv6Selector

_TEXT = re.compile(r"(?P<address>[^\[\]]+?)(?:\[(?P<protocol>\w*)(?:/(?P<ports>\d+(?:-\d+)?))?\])?")


class SelectorError(ValueError):
    """A text that is no traffic selector; the message says what is expected."""


def parse_selector(text: str) -> RangeSelector:
    """Read a selector as an operator writes it. Raises SelectorError."""
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise SelectorError(f'"{text}" is no selector; such as 10.1.0.0/16 or 10.1.0.5/32[tcp/80] is expected')
    first, last = _addresses(match["address"].strip())
    start, stop = FIRST_PORT, LAST_PORT
    if match["ports"]:
        low, _, high = match["ports"].partition("-")
        start, stop = int(low), int(high or low)
    if not start <= stop <= LAST_PORT:
        raise SelectorError(f'"{text}" has no valid range of ports')
    cls = Ipv4Selector if first.version == 4 else Ipv6Selector
    return cls(
        protocol=_protocol(match["protocol"] or ""),
        start_port=start,
        end_port=stop,
        start_address=first.packed,
        end_address=last.packed,
    )


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _addresses(text: str) -> tuple[_Address, _Address]:
    try:
        if "-" in text:
            low, _, high = text.partition("-")
            first, last = ipaddress.ip_address(low.strip()), ipaddress.ip_address(high.strip())
            if first.version != last.version or int(first) > int(last):
                raise SelectorError(f'"{text}" is no range of addresses')
            return first, last
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise SelectorError(f'"{text}" is no network and no range of addresses') from None
    return network[0], network[-1]


def _protocol(name: str) -> int:
    if not name:
        return ANY_PROTOCOL
    if name.isdecimal() and int(name) < 256:
        return int(name)
    wanted = {"ICMPV6": "IPV6_ICMP"}.get(name.upper(), name.upper())
    for row in IpProtocol:
        if row.name == wanted:
            return int(row)
    raise SelectorError(f'"{name}" is no IP protocol')


def host_selector(address: str) -> RangeSelector:
    """The selector of one address, all protocols and ports."""
    return parse_selector(address)


def host_of(selector: TrafficSelector) -> str:
    """The address of a selector that covers one host; empty for any other."""
    if not isinstance(selector, Ipv4Selector | Ipv6Selector) or selector.start_address != selector.end_address:
        return ""
    return str(ipaddress.ip_address(selector.start_address))


def texts(selectors: Iterable[TrafficSelector]) -> tuple[str, ...]:
    """Selectors as text."""
    return tuple(selector.summary() for selector in selectors)


def intersection(one: TrafficSelector, other: TrafficSelector) -> RangeSelector | None:
    """What both selectors cover; None when that is nothing (RFC 7296 section 2.9)."""
    if not isinstance(one, Ipv4Selector | Ipv6Selector) or type(one) is not type(other):
        return None
    assert isinstance(other, Ipv4Selector | Ipv6Selector)
    if ANY_PROTOCOL not in (one.protocol, other.protocol) and one.protocol != other.protocol:
        return None
    first, last = max(one.start_address, other.start_address), min(one.end_address, other.end_address)
    start, stop = max(one.start_port, other.start_port), min(one.end_port, other.end_port)
    if first > last or start > stop:
        return None
    return msgspec.structs.replace(
        one,
        protocol=one.protocol or other.protocol,
        start_address=first,
        end_address=last,
        start_port=start,
        end_port=stop,
        length=None,
    )


def narrow(offered: Sequence[TrafficSelector], allowed: Sequence[TrafficSelector]) -> tuple[RangeSelector, ...]:
    """The part of what was offered that the policy allows, in the order of the offer; empty for nothing."""
    found: dict[RangeSelector, None] = {}
    for wanted in offered[:MAX_SELECTORS]:
        for own in allowed[:MAX_SELECTORS]:
            common = intersection(wanted, own)
            if common is not None:
                found[common] = None
    return tuple(item for item in found if not any(other != item and covers(other, item) for other in found))


def covers(outer: TrafficSelector, inner: TrafficSelector) -> bool:
    """Whether everything that ``inner`` covers is covered by ``outer``."""
    common = intersection(inner, outer)
    return common is not None and common == msgspec.structs.replace(inner, length=None)


def within(selectors: Iterable[TrafficSelector], bound: Sequence[TrafficSelector]) -> bool:
    """Whether every selector lies inside one of ``bound``: what a responder may make of an offer."""
    return all(any(covers(outer, inner) for outer in bound) for inner in selectors)
