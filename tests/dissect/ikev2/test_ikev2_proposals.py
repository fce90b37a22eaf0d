from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev2.proposals import (
    LongAttribute,
    Proposal,
    SecurityAssociation,
    ShortAttribute,
    Transform,
)
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
    SecurityProtocol,
    SequenceNumbers,
    TransformAttributeType,
    TransformType,
)
from ipsecscope.dissect.wire import WireError

AES_256 = Transform.of_kind(TransformType.ENCR, EncryptionAlgorithm.ENCR_AES_CBC, 256)
PRF = Transform.of_kind(TransformType.PRF, PseudorandomFunction.PRF_HMAC_SHA2_256)
SHA2 = Transform.of_kind(TransformType.INTEG, IntegrityAlgorithm.AUTH_HMAC_SHA2_256_128)
X25519 = Transform.of_kind(TransformType.KE, KeyExchangeMethod.CURVE25519)
ESN = Transform.of_kind(TransformType.SN, SequenceNumbers.NO_ESN)

# Written down by the figures of RFC 7296 section 3.3, one row a structure.
ONE_PROPOSAL = bytes.fromhex(
    "0000002c 01 01 00 040300000c 01 00 000c 800e010003000008 02 00 000503000008 03 00 000c00000008 04 00 001f"
)
# Two proposals with SPIs: the second begins behind the SPI of the first.
TWO_PROPOSALS = bytes.fromhex(
    "0200001c 01 03 04 02 c1000001"
    "03000008 01 00 0014"
    "00000008 05 00 0000"
    "0000001c 02 02 04 02 c1000002"
    "03000008 03 00 000c"
    "00000008 05 00 0001"
)


def test_security_association_by_the_figures_is_built_and_read() -> None:
    body = SecurityAssociation(
        proposals=(Proposal(number=1, protocol_id=SecurityProtocol.IKE, transforms=(AES_256, PRF, SHA2, X25519)),)
    )
    assert body.build() == ONE_PROPOSAL
    assert SecurityAssociation.parse(ONE_PROPOSAL) == body
    assert body.summary() == "1 IKE ENCR_AES_CBC-256 PRF_HMAC_SHA2_256 AUTH_HMAC_SHA2_256_128 CURVE25519"


def test_trap_t11_a_second_proposal_behind_an_spi_is_read() -> None:
    body = SecurityAssociation.parse(TWO_PROPOSALS)
    assert [(item.number, item.protocol_id, item.spi.hex()) for item in body.proposals] == [
        (1, SecurityProtocol.ESP, "c1000001"),
        (2, SecurityProtocol.AH, "c1000002"),
    ]
    assert body.build() == TWO_PROPOSALS
    assert body.summary() == "2 proposals"


@pytest.mark.parametrize(
    ("at", "octet", "field", "value"),
    [
        (0, 9, "last", 9),
        (1, 7, "reserved", 7),
        (7, 200, "transform_count", 200),
    ],
    ids=["last", "reserved", "count"],
)
def test_a_proposal_that_lies_about_itself_keeps_its_lie(at: int, octet: int, field: str, value: int) -> None:
    octets = bytearray(ONE_PROPOSAL)
    octets[at] = octet
    body = SecurityAssociation.parse(bytes(octets))
    assert getattr(body.proposals[0], field) == value
    assert body.build() == octets


def test_a_transform_that_announces_no_next_one_keeps_its_lie() -> None:
    octets = bytearray(ONE_PROPOSAL)
    octets[8] = 0
    body = SecurityAssociation.parse(bytes(octets))
    assert body.proposals[0].transforms[0].last == 0
    assert body.build() == octets


@pytest.mark.parametrize(("at", "octet"), [(3, 0xFF), (3, 0), (6, 0xFF), (11, 0), (11, 7), (11, 0xFF)], ids=str)
def test_a_length_that_cannot_be_raises_a_wire_error(at: int, octet: int) -> None:
    octets = bytearray(ONE_PROPOSAL)
    octets[at] = octet
    with pytest.raises(WireError):
        SecurityAssociation.parse(bytes(octets))


@pytest.mark.parametrize(
    ("transform", "algorithm"),
    [
        (Transform.of_kind(1, 20), EncryptionAlgorithm.ENCR_AES_GCM_16),
        (Transform.of_kind(1, 999), EncryptionAlgorithm(999)),
        (Transform.of_kind(6, 36), KeyExchangeMethod.ML_KEM_768),
        (Transform.of_kind(12, 37), KeyExchangeMethod.ML_KEM_1024),
        (Transform.of_kind(200, 3), 3),
    ],
    ids=["gcm", "unknown id", "addke1", "addke7", "unknown type"],
)
def test_a_transform_id_is_named_by_the_table_of_its_type(transform: Transform, algorithm: int) -> None:
    assert transform.algorithm == algorithm
    assert type(transform.algorithm) is type(algorithm)


def test_a_transform_of_an_unknown_type_says_both_numbers() -> None:
    assert Transform.of_kind(200, 3).summary() == "UNKNOWN_200/3"


@pytest.mark.parametrize(
    ("attributes", "key_length"),
    [
        ((), None),
        ((ShortAttribute(attribute_type=TransformAttributeType.KEY_LENGTH, value=0),), 0),
        ((LongAttribute(attribute_type=TransformAttributeType.KEY_LENGTH, value=b"\1\0"),), None),
        ((ShortAttribute(attribute_type=TransformAttributeType(99), value=128),), None),
    ],
    ids=["none", "zero", "long form", "another type"],
)
def test_the_key_length_is_the_short_attribute_14(attributes: tuple[ShortAttribute, ...], key_length: int) -> None:
    transform = Transform(transform_type=TransformType.ENCR, transform_id=12, attributes=attributes)
    assert transform.key_length == key_length
    assert Transform.parse(transform.build()) == transform


def test_attributes_say_type_and_value() -> None:
    long = LongAttribute(attribute_type=TransformAttributeType.SIGNATURE_ALGORITHM_IDENTIFIER, value=b"\x30\x00")
    assert long.summary() == "SIGNATURE_ALGORITHM_IDENTIFIER=3000"
    assert AES_256.attributes[0].summary() == "KEY_LENGTH=256"


def test_the_algorithms_of_a_proposal_are_listed_by_type() -> None:
    proposal = SecurityAssociation.parse(ONE_PROPOSAL).proposals[0]
    assert next(iter(proposal.algorithms)) == (TransformType.ENCR, EncryptionAlgorithm.ENCR_AES_CBC, 256)
    assert proposal.of_type(TransformType.KE) == (X25519,)


def test_trap_t28_transform_21_is_gmac_here() -> None:
    assert Transform.of_kind(TransformType.ENCR, 21).summary() == "ENCR_NULL_AUTH_AES_GMAC"
