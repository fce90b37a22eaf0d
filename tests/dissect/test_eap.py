from __future__ import annotations

import pytest

from ipsecscope.dissect.eap import (
    Aka,
    AkaAttribute,
    AkaAttributeType,
    EapData,
    TlsMethod,
    data_class,
    tls_records,
)
from ipsecscope.dissect.registry.eap import EapType
from ipsecscope.dissect.wire import WireError

HELLO = "16 0303 0004 01000000"
ACK = "14 0303 0001 01"

CASES = [
    ("01 6361726f6c", "carol"),
    ("02 627965", "bye"),
    ("03 0d 1a", "wants TLS MS_EAP_AUTHENTICATION"),
    ("03 00", "wants nothing else"),
    ("04 02 aabb 6d6f6f6e", "moon"),
    ("05 736563726574", "6 octets"),
    ("06 736563726574", "6 octets"),
    ("0d 20", "START"),
    ("0d 80 00000009" + HELLO, "CLIENT_HELLO"),
    ("15 c0 00000009" + HELLO, "MORE_FRAGMENTS CLIENT_HELLO"),
    ("19 00" + HELLO + ACK, "CLIENT_HELLO CHANGE_CIPHER_SPEC"),
    ("0d 00", "0 octets"),
    ("0d 00 ffff", "2 octets"),
    ("1a 01 07 001a 02 aabb 6d6f6f6e", "CHALLENGE moon"),
    ("1a 02 07 0036 31" + "aa" * 16 + "00" * 8 + "bb" * 24 + "00" + "6361726f6c", "RESPONSE carol"),
    ("1a 03 07 0010 533d31", "SUCCESS S=1"),
    ("1a 04 07 0010 453d363931", "FAILURE E=691"),
    ("1a 03", "SUCCESS"),
    ("1a 07 010203", "CHANGE_PASSWORD"),
    ("fe 000000 0000000d", "TLS"),
    ("fe 000137 00000001", "vendor 311 type 1"),
    ("17 05 0000 0d010000", "AKA_IDENTITY AT_ANY_ID_REQ"),
    ("12 0a 0000 0e03 0005 6361726f6c 000000", "SIM_START AT_IDENTITY=carol"),
]


@pytest.mark.parametrize(("octets", "text"), CASES, ids=[f"{row[1]}-{i}" for i, row in enumerate(CASES)])
def test_method_data_is_read_rebuilt_and_summed_up(octets: str, text: str) -> None:
    data = bytes.fromhex(octets)
    cls = data_class(data)
    assert cls is not None
    value = cls.parse(data)
    assert value.build() == data
    assert value.summary() == text


def test_a_password_is_not_shown() -> None:
    value = EapData.registry[EapType.GTC].parse(b"\x06secret")
    assert "secret" not in value.summary()


@pytest.mark.parametrize("data", [b"", b"\x33abc"], ids=["empty", "undescribed"])
def test_data_without_layout_has_no_class(data: bytes) -> None:
    assert data_class(data) is None


def test_trap_t34_an_attribute_of_length_0_is_refused() -> None:
    with pytest.raises(WireError, match="length 0"):
        Aka.parse(bytes.fromhex("17010000 0b00"))


def test_an_attribute_longer_than_the_message_is_refused() -> None:
    with pytest.raises(WireError):
        Aka.parse(bytes.fromhex("17010000 0b05 0000"))


def test_an_attribute_computes_its_length_in_units_of_four_octets() -> None:
    attribute = AkaAttribute(attribute_type=AkaAttributeType.AT_MAC, value=bytes(18))
    assert attribute.build()[1] == 5
    assert AkaAttribute.parse(attribute.build()) == attribute


def test_tls_records_are_named_until_they_make_no_sense() -> None:
    assert list(tls_records(bytes.fromhex(HELLO + "15 0303 0002 0100" + "63"))) == ["CLIENT_HELLO", "ALERT"]
    assert list(tls_records(bytes.fromhex("16 0303 0001 ff"))) == ["HANDSHAKE"]
    assert len(list(tls_records(bytes.fromhex(ACK) * 100))) == 64


def test_a_tls_message_lists_its_records() -> None:
    assert TlsMethod(eap_type=EapType.PEAP, tls_data=bytes.fromhex(HELLO)).records == ("CLIENT_HELLO",)
    with_length = data_class(b"\x0d\x80")
    assert with_length is not None
    assert with_length.parse(bytes.fromhex("0d 80 00000006" + ACK)).records == ("CHANGE_CIPHER_SPEC",)
