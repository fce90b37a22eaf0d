"""RFC 9838: group policies and key bags."""

from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev2 import (
    GroupIdentification,
    GroupSecurityAssociation,
    Ipv4Selector,
    KeyDownload,
    Transform,
)
from ipsecscope.dissect.ikev2.extensions.rfc9838 import (
    GroupKeyAttribute,
    GroupKeyBag,
    GroupWideAttribute,
    GroupWidePolicy,
    GsaAttribute,
    GsaPolicy,
    MemberKeyAttribute,
    MemberKeyBag,
    ShortGroupWideAttribute,
    ShortGsaAttribute,
    WrappedKey,
)
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    GroupKeyBagAttributeType,
    GroupWidePolicyAttributeType,
    GsaAttributeType,
    IdType,
    MemberKeyBagAttributeType,
    SecurityProtocol,
    SequenceNumbers,
    TransformType,
)
from ipsecscope.dissect.wire import Reader, WireError

ANY = Ipv4Selector(start_address=bytes(4), end_address=b"\xff" * 4)
GROUP = Ipv4Selector(start_address=b"\xef\1\1\1", end_address=b"\xef\1\1\1")
GCM = Transform.of_kind(TransformType.ENCR, EncryptionAlgorithm.ENCR_AES_GCM_16, 256)
SN = Transform.of_kind(TransformType.SN, SequenceNumbers.UNSPECIFIED_32_BIT)
LIFETIME = GsaAttribute(attribute_type=GsaAttributeType.GSA_KEY_LIFETIME, value=b"\0\0\x0e\x10")
POLICY = GsaPolicy(
    protocol=SecurityProtocol.ESP,
    spi=b"\0\0\0\1",
    source=ANY,
    destination=GROUP,
    transforms=(GCM, SN),
    attributes=(LIFETIME,),
)


def test_a_group_policy_with_attributes_behind_its_transforms_is_read() -> None:
    octets = POLICY.build()
    assert octets.hex() == (
        "03040044 00000001"
        "07000010 0000ffff 00000000 ffffffff"
        "07000010 0000ffff ef010101 ef010101"
        "0300000c 01000014 800e0100"
        "00000008 05000002"
        "00010004 00000e10"
    ).replace(" ", "")
    assert GsaPolicy.parse(octets) == POLICY


def test_a_group_security_association_says_what_the_group_does() -> None:
    wide = GroupWidePolicy(
        attributes=(ShortGroupWideAttribute(attribute_type=GroupWidePolicyAttributeType.GWP_ATD, value=60),)
    )
    body = GroupSecurityAssociation(policies=(POLICY, wide))
    assert GroupSecurityAssociation.parse(body.build()) == body
    assert body.summary() == (
        "ESP 00000001 0.0.0.0/0 -> 239.1.1.1/32 ENCR_AES_GCM_16-256 UNSPECIFIED_32_BIT; GWP_ATD=60"
    )


def test_the_transforms_of_a_policy_are_traced_one_by_one() -> None:
    field = GsaPolicy.trace(Reader(POLICY.build()))
    transforms = next(child for child in field.children if child.name == "transforms")
    assert [(child.name, child.start, child.stop) for child in transforms.children] == [
        ("transforms[0]", 40, 52),
        ("transforms[1]", 52, 60),
    ]
    assert field.value == POLICY


@pytest.mark.parametrize("marker", [3, 9], ids=["more", "junk"])
def test_a_last_transform_that_announces_another_reads_attributes_as_transforms(marker: int) -> None:
    octets = bytearray(POLICY.build())
    octets[52] = marker
    with pytest.raises(WireError):
        GsaPolicy.parse(bytes(octets))


def test_a_policy_that_ends_before_its_selectors_is_refused() -> None:
    with pytest.raises(WireError):
        GsaPolicy.parse(bytes.fromhex("0304000800000001"))


def test_attributes_of_a_policy_are_written_as_numbers_or_octets() -> None:
    spi = GsaAttribute(attribute_type=GsaAttributeType.GSA_NEXT_SPI, value=b"\xc1\0\0\2")
    assert (LIFETIME.summary(), spi.summary()) == ("GSA_KEY_LIFETIME=3600", "GSA_NEXT_SPI=c1000002")
    assert ShortGsaAttribute(attribute_type=GsaAttributeType(9), value=4).summary() == "UNKNOWN_9=4"
    long = GroupWideAttribute(attribute_type=GroupWidePolicyAttributeType.GWP_DTD, value=b"\1")
    assert long.summary() == "GWP_DTD=01"


def test_a_key_download_shows_which_keys_are_wrapped_and_no_key() -> None:
    wrapped = WrappedKey(key_id=0, kwk_id=0, wrapped_key=b"k" * 24).build()
    body = KeyDownload(
        key_bags=(
            GroupKeyBag(
                protocol=SecurityProtocol.GIKE_UPDATE,
                spi=b"s" * 16,
                attributes=(GroupKeyAttribute(attribute_type=GroupKeyBagAttributeType.SA_KEY, value=wrapped),),
            ),
            MemberKeyBag(
                attributes=(
                    MemberKeyAttribute(
                        attribute_type=MemberKeyBagAttributeType.WRAP_KEY,
                        value=WrappedKey(key_id=7, kwk_id=1, wrapped_key=b"k").build(),
                    ),
                    MemberKeyAttribute(attribute_type=MemberKeyBagAttributeType.GM_SENDER_ID, value=b"\1"),
                )
            ),
        )
    )
    assert KeyDownload.parse(body.build()) == body
    assert body.summary() == (
        f"GIKE_UPDATE {(b's' * 16).hex()} SA_KEY key 0 under the default key; WRAP_KEY key 7 under 1 GM_SENDER_ID"
    )


def test_a_group_is_named_as_an_identity_is() -> None:
    assert GroupIdentification(id_type=IdType.ID_KEY_ID, data=b"video").summary() == "ID_KEY_ID video"


def test_attributes_of_unknown_type_have_no_content() -> None:
    assert GroupKeyAttribute(attribute_type=GroupKeyBagAttributeType(9), value=b"").summary() == "UNKNOWN_9"
