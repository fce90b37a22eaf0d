from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev2 import Configuration, ConfigurationAttribute, ConfigurationValue
from ipsecscope.dissect.ikev2.extensions.ms_ikee import INTERNAL_IP4_SERVER, INTERNAL_IP6_SERVER
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType, ConfigurationType

T = ConfigurationAttributeType
IP6 = "20010db8" + "00" * 11 + "01"

VALUES = [
    (T.INTERNAL_IP4_ADDRESS, "0a030001", "10.3.0.1"),
    (T.INTERNAL_IP4_NETMASK, "ffffff00", "255.255.255.0"),
    (T.INTERNAL_IP4_DNS, "0a030001", "10.3.0.1"),
    (T.INTERNAL_IP4_NBNS, "0a030001", "10.3.0.1"),
    (T.INTERNAL_ADDRESS_EXPIRY, "00000e10", "3600 s"),
    (T.INTERNAL_IP4_DHCP, "0a030001", "10.3.0.1"),
    (T.APPLICATION_VERSION, b"moon 1.0".hex(), "moon 1.0"),
    (T.INTERNAL_IP6_ADDRESS, IP6 + "40", "2001:db8::1/64"),
    (T.INTERNAL_IP6_ADDRESS, IP6, "2001:db8::1"),
    (T.INTERNAL_IP6_DNS, IP6, "2001:db8::1"),
    (T.INTERNAL_IP6_NBNS, IP6, "2001:db8::1"),
    (T.INTERNAL_IP6_DHCP, IP6, "2001:db8::1"),
    (T.INTERNAL_IP4_SUBNET, "0a020000 ffff0000", "10.2.0.0/16"),
    (T.INTERNAL_IP4_SUBNET, "0a020000 ff00ff00", "10.2.0.0/255.0.255.0"),
    (T.SUPPORTED_ATTRIBUTES, "0001 0003", "INTERNAL_IP4_ADDRESS INTERNAL_IP4_DNS"),
    (T.INTERNAL_IP6_SUBNET, IP6 + "80", "2001:db8::1/128"),
    (T.MIP6_HOME_PREFIX, "00000e10" + IP6 + "40", "2001:db8::1/64 for 3600 s"),
    (T.INTERNAL_IP6_LINK, "0000000000000007 0001", "fe80::7 0001"),
    (T.INTERNAL_IP6_PREFIX, IP6 + "40", "2001:db8::1/64"),
    (T.HOME_AGENT_ADDRESS, IP6, "2001:db8::1"),
    (T.HOME_AGENT_ADDRESS, IP6 + "0a030001", "2001:db8::1 10.3.0.1"),
    (T.P_CSCF_IP4_ADDRESS, "0a030001", "10.3.0.1"),
    (T.P_CSCF_IP6_ADDRESS, IP6, "2001:db8::1"),
    (T.FTT_KAT, "0014", "20 s"),
    (T.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, "0000005a", "90 s"),
    (T.INTERNAL_DNS_DOMAIN, b"corp.example".hex(), "corp.example"),
    (T.INTERNAL_DNSSEC_TA, "a8d5 08 02 abcd", "43221 8 2 abcd"),
    (T.ENCDNS_IP4, "0001 01 03 0a030001" + b"doh".hex() + "0001", "doh 10.3.0.1 priority 1"),
    (T.ENCDNS_IP6, "0001 01 03" + IP6 + b"doh".hex(), "doh 2001:db8::1 priority 1"),
    (T(INTERNAL_IP4_SERVER), "0a030001", "10.3.0.1"),
    (T(INTERNAL_IP6_SERVER), IP6, "2001:db8::1"),
    (T.ENCDNS_DIGEST_INFO, "02 00 0002 0003", "SHA2_256 SHA2_384"),
    (T.ENCDNS_DIGEST_INFO, "01 03" + b"doh".hex() + "0002 abcd", "doh SHA2_256 abcd"),
]


@pytest.mark.parametrize(("kind", "value", "text"), VALUES, ids=[f"{row[0]}-{i}" for i, row in enumerate(VALUES)])
def test_an_attribute_is_read_rebuilt_and_written_as_text(kind: T, value: str, text: str) -> None:
    octets = bytes.fromhex(value)
    attribute = ConfigurationAttribute(attribute_type=kind, value=octets)
    content = attribute.content()
    assert content is not None
    assert content.build() == octets
    assert attribute.text == text
    assert attribute.summary() == f"{kind}={text}"
    body = Configuration(cfg_type=ConfigurationType.CFG_REPLY, attributes=(attribute,))
    assert Configuration.parse(body.build()) == body


def test_every_attribute_but_one_has_a_layout() -> None:
    assert {kind for kind in T if kind not in ConfigurationValue.registry} == {T.EXTERNAL_SOURCE_IP4_NAT_INFO}


@pytest.mark.parametrize("kind", list(T), ids=str)
def test_an_empty_attribute_asks(kind: T) -> None:
    attribute = ConfigurationAttribute(attribute_type=kind)
    assert (attribute.content(), attribute.text, attribute.summary()) == (None, "", str(kind))


def test_a_value_of_the_wrong_size_is_shown_as_octets() -> None:
    attribute = ConfigurationAttribute(attribute_type=T.INTERNAL_IP4_ADDRESS, value=b"\x0a\x00")
    assert (attribute.content(), attribute.text) == (None, "0a00")


def test_the_reserved_bit_is_no_part_of_the_type() -> None:
    octets = bytes.fromhex("01000000 8001 0000")
    body = Configuration.parse(octets)
    assert body.attributes[0].attribute_type == T.INTERNAL_IP4_ADDRESS
    assert body.attributes[0].reserved == 1
    assert body.build() == octets
    assert body.summary() == "CFG_REQUEST INTERNAL_IP4_ADDRESS"
