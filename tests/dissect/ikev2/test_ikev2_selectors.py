from __future__ import annotations

import ipaddress

import pytest

from ipsecscope.dissect.ikev2 import (
    Ipv4Selector,
    Ipv6Selector,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from ipsecscope.dissect.ikev2.extensions.rfc9478 import SecurityLabel
from ipsecscope.dissect.ikev2.selectors import FcSelector, UnknownSelector
from ipsecscope.dissect.wire import WireError


def selector(first: str, last: str, protocol: int = 0, start: int = 0, end: int = 65535) -> Ipv4Selector | Ipv6Selector:
    low, high = ipaddress.ip_address(first), ipaddress.ip_address(last)
    cls = Ipv4Selector if low.version == 4 else Ipv6Selector
    return cls(protocol=protocol, start_port=start, end_port=end, start_address=low.packed, end_address=high.packed)


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (selector("10.1.0.0", "10.1.255.255"), "10.1.0.0/16"),
        (selector("10.1.0.1", "10.1.0.7"), "10.1.0.1-10.1.0.7"),
        (selector("10.1.0.5", "10.1.0.5", 17, 500, 500), "10.1.0.5/32[udp/500]"),
        (selector("0.0.0.0", "255.255.255.255"), "0.0.0.0/0"),
        (selector("0.0.0.0", "255.255.255.255", 6), "0.0.0.0/0[tcp]"),
        (selector("10.0.0.0", "10.0.0.255", 6, 80, 90), "10.0.0.0/24[tcp/80-90]"),
        (selector("10.0.0.0", "10.0.0.255", 0, 80, 80), "10.0.0.0/24[/80]"),
        (selector("10.0.0.0", "10.0.0.255", 250), "10.0.0.0/24[250]"),
        (selector("10.0.0.9", "10.0.0.1"), "10.0.0.9-10.0.0.1"),
        (selector("2001:db8::", "2001:db8::ffff:ffff:ffff:ffff"), "2001:db8::/64"),
        (selector("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "::/0"),
        (FcSelector(start_address=1, end_address=255), "fc 000001-0000ff r_ctl 0-255 type 0-255"),
        (SecurityLabel(label=b"system_u:object_r:x_t:s0\0"), "label system_u:object_r:x_t:s0"),
        (UnknownSelector(ts_type=77, data=b"\x01\x02"), "77 0102"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_selector_is_written_as_operators_read_it(item: Ipv4Selector, text: str) -> None:
    assert item.summary() == text


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (selector("10.0.0.1", "10.0.0.1", 17, 65535, 0), "10.0.0.1/32[udp/OPAQUE]"),
        (selector("10.0.0.1", "10.0.0.1", 1, 0x0800, 0x0800), "10.0.0.1/32[icmp/8(0)]"),
        (selector("10.0.0.1", "10.0.0.1", 1, 0x0800, 0x08FF), "10.0.0.1/32[icmp/8(0)-8(255)]"),
        (selector("::1", "::1", 58, 0x8000, 0x8000), "::1/128[icmpv6/128(0)]"),
    ],
    ids=["opaque", "icmp type", "icmp range", "icmpv6"],
)
def test_trap_t33_opaque_ports_and_icmp_are_rendered(item: Ipv4Selector, text: str) -> None:
    assert item.summary() == text


def test_trap_t33_a_security_label_is_a_selector() -> None:
    octets = bytes.fromhex("0200000007000010 0000ffff 0a010000 0a01ffff0a000007 6c6261")
    body = TrafficSelectorsInitiator.parse(octets)
    assert body.selectors == (selector("10.1.0.0", "10.1.255.255"), SecurityLabel(label=b"lba"))
    assert body.build() == octets
    assert body.summary() == "10.1.0.0/16 label lba"


def test_a_count_that_lies_is_kept() -> None:
    octets = bytes.fromhex("0900000007000010 0000ffff 0a010000 0a01ffff")
    body = TrafficSelectorsResponder.parse(octets)
    assert body.count == 9
    assert body.build() == octets


@pytest.mark.parametrize("length", [0, 3, 15, 17, 0xFFFF])
def test_a_selector_length_that_lies_raises_a_wire_error(length: int) -> None:
    octets = bytes.fromhex("01000000 0700") + length.to_bytes(2, "big") + bytes(12)
    with pytest.raises(WireError):
        TrafficSelectorsInitiator.parse(octets)
