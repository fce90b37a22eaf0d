from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev1 import Attributes
from ipsecscope.dissect.ikev1.configuration import ConfigLong, ConfigShort, SplitEntry
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.registry.isakmp import ConfigAttributeType as Cfg

SPLIT = bytes([10, 1, 0, 0, 255, 255, 0, 0]) + bytes(6)
NARROW = bytes([10, 2, 0, 0, 255, 255, 255, 0]) + bytes.fromhex("0006 0000 0050")


@pytest.mark.parametrize(
    ("attribute_type", "value", "text"),
    [
        (Cfg.INTERNAL_IP4_ADDRESS, bytes([10, 0, 0, 5]), "10.0.0.5"),
        (Cfg.INTERNAL_IP4_ADDRESS, b"", ""),
        (Cfg.INTERNAL_IP4_ADDRESS, b"\1\2\3", "010203"),
        (Cfg.INTERNAL_IP4_DNS, bytes([10, 0, 0, 5, 10, 0, 0, 6]), "10.0.0.5, 10.0.0.6"),
        (Cfg.INTERNAL_IP6_ADDRESS, bytes(15) + b"\1", "::1"),
        (Cfg.INTERNAL_IP6_ADDRESS, bytes(15) + b"\1\x40", "::1/64"),
        (Cfg.INTERNAL_IP6_DNS, b"\1", "01"),
        (Cfg.INTERNAL_IP4_SUBNET, bytes([10, 0, 0, 0, 255, 0, 0, 0]), "10.0.0.0/8"),
        (Cfg.INTERNAL_IP4_SUBNET, bytes(7), "00" * 7),
        (Cfg.INTERNAL_IP6_SUBNET, bytes(16) + b"\x20", "::/32"),
        (Cfg.INTERNAL_IP6_SUBNET, b"\1", "01"),
        (Cfg.SUPPORTED_ATTRIBUTES, bytes.fromhex("00010003"), "INTERNAL_IP4_ADDRESS, INTERNAL_IP4_DNS"),
        (Cfg.SUPPORTED_ATTRIBUTES, b"\0\1\0", "000100"),
        (Cfg.APPLICATION_VERSION, b"Client 1.0\0", "Client 1.0"),
        (Cfg.UNITY_BANNER, b"welcome \xff", "welcome \\xff"),
        (Cfg.UNITY_DEF_DOMAIN, b"example.org", "example.org"),
        (Cfg.UNITY_SPLIT_DNS_NAME, b"a.example,b.example", "a.example,b.example"),
        (Cfg.UNITY_SPLIT_INCLUDE, SPLIT + NARROW, "10.1.0.0/16, 10.2.0.0/24 TCP 0>80"),
        (Cfg.UNITY_SPLIT_INCLUDE, SPLIT[:-1], "0a010000ffff00000000000000"),
        (Cfg.UNITY_LOCAL_LAN, SPLIT, "10.1.0.0/16"),
        (Cfg.UNITY_BACKUP_SERVERS, b"gw1.example,gw2", "gw1.example,gw2"),
        (Cfg.UNITY_BACKUP_SERVERS, bytes([192, 0, 2, 1, 192, 0, 2, 2]), "192.0.2.1, 192.0.2.2"),
        (Cfg.CHKPT_MAC_ADDRESS, bytes(range(6)), "00:01:02:03:04:05"),
        (Cfg.XAUTH_USER_NAME, b"carol", "carol"),
        (Cfg.XAUTH_STATUS, b"\0\1", "OK"),
        (Cfg.XAUTH_STATUS, b"\0\0", "FAIL"),
        (Cfg(9999), b"\xab", "ab"),
    ],
)
def test_configuration_value_is_shown_by_its_type(
    attribute_type: isakmp.ConfigAttributeType, value: bytes, text: str
) -> None:
    attribute = ConfigLong(attribute_type=attribute_type, value=value)
    assert attribute.text == text
    assert ConfigLong.parse(attribute.build()) == attribute


@pytest.mark.parametrize("attribute_type", [Cfg.XAUTH_USER_PASSWORD, Cfg.XAUTH_PASSCODE, Cfg.XAUTH_NEXT_PIN])
def test_password_on_the_wire_is_not_in_text_or_repr(attribute_type: isakmp.ConfigAttributeType) -> None:
    attribute = ConfigLong(attribute_type=attribute_type, value=b"tops3cret")
    payload = Attributes(config_type=isakmp.ConfigType.REPLY, attributes=(attribute,))
    for text in (repr(attribute), str(attribute), attribute.text, payload.summary(), repr(payload)):
        assert "tops3cret" not in text
        assert "9 octets" in text


def test_xauth_dialogue_is_read_step_by_step() -> None:
    request = Attributes.parse(bytes.fromhex("01 00 0007 c0880000 40890000 408a0000"))
    assert request.config_type == isakmp.ConfigType.REQUEST
    assert request.is_xauth
    assert request.xauth_status is None
    assert request.identifier == 7
    assert request.summary() == "REQUEST XAUTH_TYPE=GENERIC XAUTH_USER_NAME XAUTH_USER_PASSWORD"
    status = Attributes.parse(bytes.fromhex("03 00 0007 c08f0001"))
    assert status.xauth_status == isakmp.XauthStatus.OK
    assert status.summary() == "SET XAUTH_STATUS=OK"
    empty = Attributes(config_type=isakmp.ConfigType.ACK, attributes=(ConfigLong(attribute_type=Cfg.XAUTH_STATUS),))
    assert empty.xauth_status is None


def test_mode_config_with_many_attributes_shows_a_few() -> None:
    attributes = tuple(ConfigShort(attribute_type=Cfg.UNITY_PFS, value=number) for number in range(10))
    payload = Attributes(config_type=isakmp.ConfigType.SET, attributes=attributes)
    assert not payload.is_xauth
    assert payload.summary().endswith("and 2 more")
    assert payload.attribute(Cfg.UNITY_PFS) == attributes[0]
    assert payload.attribute(Cfg.UNITY_BANNER) is None


def test_split_list_of_many_networks_shows_a_few() -> None:
    attribute = ConfigLong(attribute_type=Cfg.UNITY_SPLIT_INCLUDE, value=SPLIT * 10)
    assert attribute.text.endswith("10.1.0.0/16, and 2 more")


def test_split_entry_with_ports_and_any_protocol_says_any() -> None:
    entry = SplitEntry(address=bytes(4), mask=bytes(4), protocol=IpProtocol(0), source_port=5)
    assert entry.summary() == "0.0.0.0/0 any 5>0"
