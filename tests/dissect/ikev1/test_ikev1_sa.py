"""The Security Association payload: RFC 2408 sections 3.4 to 3.6, RFC 2407 section 4, RFC 2409 appendix A.

| section | statement | test |
|---|---|---|
| 2408 3.5 | an SPI of any size precedes the transforms | test_trap_t11_… |
| 2407 4.4 | transform numbers belong to their protocol | test_trap_t28_… |
| 2407 4.6.1 | labels follow the situation | test_situation_with_labels_… |
| 2409 A | a life type and its duration are a pair | test_lifetime_… |
"""

from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev1 import ForeignSecurityAssociation, SecurityAssociation
from ipsecscope.dissect.ikev1.attributes import Attribute
from ipsecscope.dissect.ikev1.sa import (
    EspProposal,
    IpcompProposal,
    IsakmpProposal,
    LabeledSituation,
    Proposal,
    Situation,
    SituationFlags,
)
from ipsecscope.dissect.ikev1.transforms import (
    EspTransform,
    PhaseOneLong,
    PhaseOneShort,
    PhaseOneTransform,
    PhaseTwoLong,
    PhaseTwoShort,
    Transform,
)
from ipsecscope.dissect.registry import ikev2, ipsec_doi, isakmp
from ipsecscope.dissect.wire import Reader, WireError

ONE, TWO = isakmp.PhaseOneAttribute, ipsec_doi.PhaseTwoAttribute

# DOI IPsec, SIT_IDENTITY_ONLY, proposal 1 ISAKMP, transform 1 KEY_IKE:
# AES-CBC 256, SHA2-256, MODP 2048, PSK, 28800 seconds
MAIN_MODE = bytes.fromhex(
    "00000001 00000001"
    "00000030 01010001"
    "00000028 01010000"
    "80010007 800e0100 80020004 8004000e 80030001 800b0001 000c000400007080"
)
# AH with SPI and ESP with SPI under number 1, ESP alone under number 2
BUNDLE = bytes.fromhex(
    "00000001 00000001"
    "0200001c 01020401 11111111 00000010 01030000 80050002 80040001"
    "0200001c 01030401 22222222 00000010 010c0000 80060080 80040001"
    "00000018 02030401 33333333 0000000c 01030000 80040002"
)


def test_main_mode_proposal_is_read_to_its_attributes() -> None:
    sa = SecurityAssociation.parse(MAIN_MODE)
    assert sa.build() == MAIN_MODE
    assert sa.doi == isakmp.Doi.IPSEC
    proposal = sa.proposals[0]
    assert isinstance(proposal, IsakmpProposal)
    transform = proposal.transforms[0]
    assert transform.algorithm == isakmp.EncryptionAlgorithm.AES_CBC
    assert transform.key_length == 256
    assert transform.hash == isakmp.HashAlgorithm.SHA2_256
    assert transform.group == isakmp.Group.MODP_2048
    assert transform.auth == isakmp.AuthenticationMethod.PRE_SHARED_KEY
    assert transform.mode is None
    assert transform.lifetime(isakmp.LifeType.SECONDS) == 28800
    assert transform.lifetime(isakmp.LifeType.KILOBYTES) is None
    assert sa.summary() == "#1 PROTO_ISAKMP: AES_CBC-256 SHA2_256 MODP_2048 PRE_SHARED_KEY 28800 SECONDS"


def test_transform_of_phase_1_has_the_names_of_ikev2() -> None:
    transform = SecurityAssociation.parse(MAIN_MODE).proposals[0].transforms[0]
    assert transform.equivalents == (
        ikev2.EncryptionAlgorithm.ENCR_AES_CBC,
        ikev2.PseudorandomFunction.PRF_HMAC_SHA2_256,
        ikev2.KeyExchangeMethod.MODP_2048,
        ikev2.AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE,
    )


def test_trap_t11_proposals_behind_an_spi_are_read() -> None:
    sa = SecurityAssociation.parse(BUNDLE)
    assert sa.build() == BUNDLE
    assert [proposal.spi.hex() for proposal in sa.proposals] == ["11111111", "22222222", "33333333"]
    assert [len(proposal.transforms) for proposal in sa.proposals] == [1, 1, 1]
    assert sa.proposals[2].transforms[0].mode == ipsec_doi.EncapsulationMode.TRANSPORT


def test_proposals_of_one_number_are_one_offer() -> None:
    sa = SecurityAssociation.parse(BUNDLE)
    assert [[int(proposal.protocol_id) for proposal in offer] for offer in sa.offers] == [[2, 3], [3]]
    assert sa.summary() == "3 proposals in 2 offers"
    ah, esp = (proposal.transforms[0] for proposal in sa.offers[0])
    assert ah.algorithm == ipsec_doi.AhTransform.AH_SHA
    assert ah.hash == ipsec_doi.AuthenticationAlgorithm.HMAC_SHA
    assert esp.summary() == "ESP_AES_CBC-128 TUNNEL"
    assert sa.proposals[1].summary() == "#1 PROTO_IPSEC_ESP 22222222: ESP_AES_CBC-128 TUNNEL"


@pytest.mark.parametrize("size", [0, 1, 4, 8, 16, 255])
def test_trap_t11_spi_of_any_size_does_not_shift_the_transforms(size: int) -> None:
    transform = EspTransform(transform_id=ipsec_doi.EspTransform.ESP_3DES)
    sa = SecurityAssociation(proposals=(EspProposal(spi=bytes(range(size)), transforms=(transform, transform)),))
    again = SecurityAssociation.parse(sa.build())
    assert again == sa
    assert again.proposals[0].spi == bytes(range(size))
    assert len(again.proposals[0].transforms) == 2


@pytest.mark.parametrize(
    ("number", "name"),
    [(21, "ESP_SEED_CBC"), (22, "ESP_CAMELLIA"), (23, "ESP_NULL_AUTH_AES_GMAC"), (20, "ESP_AES_GCM_16")],
)
def test_trap_t28_esp_transform_numbers_are_not_those_of_ikev2(number: int, name: str) -> None:
    transform = EspTransform.parse(bytes([0, 0, 0, 8, 1, number, 0, 0]))
    assert str(transform.algorithm) == name
    assert str(ikev2.EncryptionAlgorithm(number)) != name


def test_transform_of_an_unknown_protocol_keeps_its_numbers() -> None:
    octets = bytes.fromhex("00000001 00000001 00000014 01630001 0000000c 01070000 80010002")
    sa = SecurityAssociation.parse(octets)
    assert sa.build() == octets
    transform = sa.proposals[0].transforms[0]
    assert type(sa.proposals[0]) is Proposal
    assert type(transform) is Transform
    assert (transform.algorithm, transform.hash, transform.group, transform.auth) == (None, None, None, None)
    assert (transform.key_length, transform.mode, transform.lifetimes, transform.equivalents) == (None, None, (), ())
    assert transform.summary() == "transform 7"
    assert transform.value(1) == 2
    assert transform.value(2) is None


def test_ipcomp_proposal_has_a_cpi_of_two_octets() -> None:
    octets = bytes.fromhex("00000001 00000001 00000012 01040201 1234 00000008 01020000")
    sa = SecurityAssociation.parse(octets)
    assert isinstance(sa.proposals[0], IpcompProposal)
    assert sa.proposals[0].transforms[0].algorithm == ipsec_doi.IpcompTransform.IPCOMP_DEFLATE
    assert sa.proposals[0].spi == b"\x12\x34"


def test_lifetime_pairs_are_read_in_order_and_in_both_forms() -> None:
    transform = EspTransform(
        transform_id=ipsec_doi.EspTransform.ESP_AES_CBC,
        attributes=(
            PhaseTwoShort(attribute_type=TWO.SA_LIFE_DURATION, value=1),
            PhaseTwoShort(attribute_type=TWO.SA_LIFE_TYPE, value=1),
            PhaseTwoShort(attribute_type=TWO.SA_LIFE_DURATION, value=3600),
            PhaseTwoShort(attribute_type=TWO.SA_LIFE_TYPE, value=2),
            PhaseTwoLong(attribute_type=TWO.SA_LIFE_DURATION, value=bytes.fromhex("00465000")),
            PhaseTwoShort(attribute_type=TWO.GROUP_DESCRIPTION, value=14),
        ),
    )
    assert [str(item) for item in transform.lifetimes] == ["3600 SECONDS", "4608000 KILOBYTES"]
    assert transform.lifetime(ipsec_doi.LifeType.KILOBYTES) == 4608000
    assert transform.group == isakmp.Group.MODP_2048
    assert EspTransform.parse(transform.build()) == transform


@pytest.mark.parametrize("size", [9, 4301, 60_000])
def test_lifetime_of_many_octets_is_no_huge_number(size: int) -> None:
    """Python refuses to write integers of more than 4300 digits."""
    transform = PhaseOneTransform(
        attributes=(
            PhaseOneShort(attribute_type=ONE.LIFE_TYPE, value=1),
            PhaseOneLong(attribute_type=ONE.LIFE_DURATION, value=b"\xff" * size),
        )
    )
    assert transform.lifetime(isakmp.LifeType.SECONDS) is None
    assert transform.summary() == f"transform KEY_IKE a number of {size} octets SECONDS"
    assert len(transform.attributes[1].summary()) < 100
    assert PhaseOneTransform.parse(transform.build()) == transform


@pytest.mark.parametrize(("octets", "number"), [(b"", None), (b"\1", 1), (b"\xff" * 8, 2**64 - 1), (b"\0" * 9, None)])
def test_attribute_value_is_a_number_of_at_most_eight_octets(octets: bytes, number: int | None) -> None:
    attribute = PhaseOneLong(attribute_type=ONE.LIFE_DURATION, value=octets)
    assert attribute.number == number
    assert attribute.meaning is None


def test_attribute_without_a_form_has_no_value() -> None:
    attribute = Attribute(attribute_type=7)
    assert (attribute.octets, attribute.number, attribute.text) == (b"", None, "")


def test_attribute_value_that_nobody_named_keeps_its_number() -> None:
    attribute = PhaseOneShort(attribute_type=ONE.ENCRYPTION_ALGORITHM, value=4711)
    assert attribute.text == "UNKNOWN_4711"
    assert attribute.summary() == "ENCRYPTION_ALGORITHM=UNKNOWN_4711"
    unknown = PhaseOneShort(attribute_type=isakmp.PhaseOneAttribute(999), value=5)
    assert unknown.summary() == "UNKNOWN_999=5"


def test_attribute_of_the_other_form_is_refused_by_its_class() -> None:
    with pytest.raises(WireError, match="other format"):
        PhaseOneShort.parse(bytes.fromhex("00010002"))
    with pytest.raises(WireError, match="other format"):
        PhaseOneLong.parse(bytes.fromhex("80010002"))


def test_trap_t30_auth_method_65001_stays_a_number_until_a_vendor_is_known() -> None:
    transform = PhaseOneTransform(attributes=(PhaseOneShort(attribute_type=ONE.AUTHENTICATION_METHOD, value=65001),))
    assert transform.auth == 65001
    assert transform.auth == isakmp.AuthenticationMethod.XAUTH_INIT_PRE_SHARED


LABELED = bytes.fromhex(
    "00000001 00000006 0000002a"  # IPsec, secrecy and integrity, domain 42
    "00030000 41424300"  # level of 3 octets
    "000a0000 ffc00000"  # category of 10 bits
    "00040000 44454647"
    "00000000"
    "00000010 01010001 00000008 01010000"
)


def test_situation_with_labels_is_read_around_its_padding() -> None:
    sa = SecurityAssociation.parse(LABELED)
    situation = sa.situation
    assert isinstance(situation, LabeledSituation)
    assert (situation.domain, situation.secrecy_level, situation.secrecy_category) == (42, b"ABC", b"\xff\xc0")
    assert (situation.integrity_level, situation.integrity_category) == (b"DEFG", b"")
    assert situation.secrecy_length is None
    assert len(sa.proposals) == 1
    assert sa.build() == LABELED
    assert situation.summary() == "SIT_SECRECY|SIT_INTEGRITY"
    names = [child.name for child in SecurityAssociation.trace(Reader(LABELED)).children[1].children]
    assert names[:4] == ["flags", "domain", "secrecy_length", "reserved"]


def test_label_with_padding_that_is_not_zero_is_refused() -> None:
    with pytest.raises(WireError, match="padding"):
        SecurityAssociation.parse(LABELED.replace(b"ABC\0", b"ABCD", 1))


@pytest.mark.parametrize(
    ("flags", "text"),
    [(1, "SIT_IDENTITY_ONLY"), (0, "0x0"), (0x101, "SIT_IDENTITY_ONLY|0x100")],
)
def test_situation_bits_without_a_name_are_shown_as_they_are(flags: int, text: str) -> None:
    situation = Situation(flags=SituationFlags(flags))
    assert situation.summary() == text
    assert Situation.parse(situation.build()) == situation


def test_sa_of_a_foreign_doi_keeps_its_octets() -> None:
    octets = bytes.fromhex("0000002a deadbeef")
    sa = SecurityAssociation.parse(octets)
    assert isinstance(sa, ForeignSecurityAssociation)
    assert (sa.of, sa.data.hex()) == (isakmp.PayloadType.SA, "deadbeef")
    assert sa.build() == octets
    assert sa.summary() == "UNKNOWN_42"
    assert [child.name for child in SecurityAssociation.trace(Reader(octets)).children] == ["doi", "data"]


@pytest.mark.parametrize("octets", [b"", b"\0\0\0\1", b"\0\0\0\1\0\0\0"])
def test_sa_too_short_for_its_situation_is_refused(octets: bytes) -> None:
    with pytest.raises(WireError):
        SecurityAssociation.parse(octets)


def test_transform_count_that_lies_is_kept() -> None:
    octets = bytearray(MAIN_MODE)
    octets[15] = 9
    sa = SecurityAssociation.parse(bytes(octets))
    assert sa.proposals[0].transform_count == 9
    assert sa.build() == octets
