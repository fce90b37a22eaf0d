"""Group Domain of Interpretation, RFC 6407 section 5."""

from __future__ import annotations

from ipsecscope.dissect.ikev1 import (
    GdoiSecurityAssociation,
    GroupAssociatedPolicy,
    KeyDownload,
    SaKek,
    SaTek,
    SecurityAssociation,
    SequenceNumber,
)
from ipsecscope.dissect.ikev1.attributes import Attribute
from ipsecscope.dissect.ikev1.gdoi import (
    EspTekPolicy,
    GapShort,
    KekLong,
    KekShort,
    KeyPacket,
    KeyPacketLong,
    KeyPacketShort,
    SaPart,
    TekShort,
)
from ipsecscope.dissect.registry import gdoi, ipsec_doi, isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import Reader

KEK = SaKek(
    protocol=IpProtocol.UDP,
    source_id_type=ipsec_doi.IdType.ID_IPV4_ADDR,
    source_port=848,
    source=bytes([192, 0, 2, 1]),
    destination_id_type=ipsec_doi.IdType.ID_IPV4_ADDR,
    destination=bytes([239, 0, 0, 1]),
    spi=bytes(range(16)),
    attributes=(
        KekShort(attribute_type=gdoi.SakAttribute.KEK_ALGORITHM, value=3),
        KekLong(attribute_type=gdoi.SakAttribute.KEK_KEY_LIFETIME, value=(86400).to_bytes(4, "big")),
    ),
)
POLICY = EspTekPolicy(
    protocol=IpProtocol(0),
    source_id_type=ipsec_doi.IdType.ID_IPV4_ADDR_SUBNET,
    source=bytes(8),
    destination_id_type=ipsec_doi.IdType.ID_IPV4_ADDR,
    destination=bytes([239, 0, 0, 1]),
    transform_id=ipsec_doi.EspTransform.ESP_AES_CBC,
    spi=bytes.fromhex("c35a2d1e"),
    attributes=(TekShort(attribute_type=ipsec_doi.PhaseTwoAttribute.ENCAPSULATION_MODE, value=1),),
)
TEK = SaTek(protocol_id=gdoi.SatProtocol.GDOI_PROTO_IPSEC_ESP, data=POLICY.build())
GAP = GroupAssociatedPolicy(attributes=(GapShort(attribute_type=gdoi.GapAttribute.ACTIVATION_TIME_DELAY, value=5),))


def group_sa() -> GdoiSecurityAssociation:
    return GdoiSecurityAssociation(
        sa_attribute_next_payload=isakmp.PayloadType.SAK,
        parts=(
            SaPart(next_payload=isakmp.PayloadType.GAP, data=KEK.build()),
            SaPart(next_payload=isakmp.PayloadType.SAT, data=GAP.build()),
            SaPart(data=TEK.build()),
        ),
    )


def test_group_sa_is_read_to_its_policies() -> None:
    octets = group_sa().build()
    assert octets[:12] == bytes.fromhex("00000002 00000000 000f 0000")
    sa = SecurityAssociation.parse(octets)
    assert isinstance(sa, GdoiSecurityAssociation)
    assert sa.of == isakmp.PayloadType.SA
    assert sa.policies == (KEK, GAP, TEK)
    assert sa.build() == octets
    assert sa.summary() == (
        "KEK 000102030405060708090a0b0c0d0e0f KEK_ALGORITHM=KEK_ALG_AES KEK_KEY_LIFETIME=86400; "
        "ACTIVATION_TIME_DELAY=5; TEK GDOI_PROTO_IPSEC_ESP c35a2d1e ESP_AES_CBC"
    )
    parts = SecurityAssociation.trace(Reader(octets)).children[-1]
    assert [child.name for child in parts.children] == ["parts[0]", "parts[1]", "parts[2]"]


def test_group_sa_with_parts_that_cannot_be_read_keeps_them() -> None:
    sa = GdoiSecurityAssociation(
        sa_attribute_next_payload=isakmp.PayloadType.SAK,
        parts=(SaPart(next_payload=99, data=b"x"), SaPart(data=b"y")),
    )
    assert sa.policies == (None, None)
    assert sa.summary() == "unreadable; unreadable"


def test_phase_1_under_the_group_doi_has_proposals() -> None:
    """RFC 3547 section 2.2.1: phase 1 carries DOI 2 as well, with an ordinary SA payload."""
    octets = bytes.fromhex("00000002 00000000 00000010 01010001 00000008 01010000")
    sa = SecurityAssociation.parse(octets)
    assert type(sa) is SecurityAssociation
    assert len(sa.proposals) == 1
    assert type(SecurityAssociation.parse(octets[:8])) is SecurityAssociation


def test_tek_of_esp_is_traced_into_its_policy() -> None:
    field = SaTek.trace(Reader(TEK.build()))
    assert [child.name for child in field.children[1].children][:2] == ["protocol", "source_id_type"]


def test_tek_of_another_protocol_keeps_its_octets() -> None:
    tek = SaTek.parse(b"\3abc")
    assert tek.content() is None
    assert tek.summary() == "TEK GDOI_PROTO_IEC_61850"


def test_key_download_names_its_keys_and_shows_none() -> None:
    key = KeyPacketLong(attribute_type=1, value=b"group key octets")
    attributes: tuple[Attribute, ...] = (key, KeyPacketShort(attribute_type=2, value=1))
    packet = KeyPacket(kd_type=gdoi.KeyDownloadType.TEK, spi=bytes.fromhex("c35a2d1e"), attributes=attributes)
    payload = KeyDownload.parse(KeyDownload(packets=(packet,)).build())
    assert payload.count is None
    assert payload.summary() == "TEK c35a2d1e TEK_ALGORITHM_KEY TEK_INTEGRITY_KEY"
    assert key.text == "<16 octets>"
    for text in (repr(payload), payload.summary(), key.summary()):
        assert "group key" not in text
    unknown = KeyPacket(kd_type=gdoi.KeyDownloadType(99), attributes=(KeyPacketShort(attribute_type=7, value=1),))
    assert unknown.attribute_name(unknown.attributes[0]) is None
    assert unknown.summary() == "UNKNOWN_99  7"


def test_sequence_number_is_a_number() -> None:
    assert SequenceNumber.parse(b"\0\0\1\0").summary() == "256"
