from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from ipsecscope.dissect.body import Body, Malformed, Opaque
from ipsecscope.dissect.chain import parse_chain
from ipsecscope.dissect.families import IKEV2
from ipsecscope.dissect.ikev2 import (
    Authentication,
    Certificate,
    CertificateRequest,
    Configuration,
    ConfigurationAttribute,
    Delete,
    Eap,
    EncryptedFragment,
    IdentificationInitiator,
    Ipv4Selector,
    KeyExchange,
    Nonce,
    Notify,
    Proposal,
    PuzzleSolution,
    SecurityAssociation,
    TrafficSelectorsInitiator,
    Transform,
    VendorId,
)
from ipsecscope.dissect.ikev2.checks import check_body, check_payload, span
from ipsecscope.dissect.ikev2.notes import NOTE_KINDS, NOTES
from ipsecscope.dissect.ikev2.public_values import SIZES
from ipsecscope.dissect.ikev2.selectors import UnknownSelector
from ipsecscope.dissect.registry.eap import EapCode
from ipsecscope.dissect.registry.ikev2 import (
    AuthenticationMethod,
    CertificateEncoding,
    ConfigurationAttributeType,
    ConfigurationType,
    EncryptionAlgorithm,
    IdType,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
    TrafficSelectorType,
    TransformType,
)

K = KeyExchangeMethod
CBC = Transform.of_kind(1, EncryptionAlgorithm.ENCR_AES_CBC, 128)
GCM = Transform.of_kind(1, EncryptionAlgorithm.ENCR_AES_GCM_16, 256)
PRF = Transform.of_kind(2, 5)
SHA2 = Transform.of_kind(3, 12)
KE = Transform.of_kind(4, 31)
SN = Transform.of_kind(5, 0)
IKE, ESP, AH = SecurityProtocol.IKE, SecurityProtocol.ESP, SecurityProtocol.AH


def kinds(body: Body, **context: Any) -> list[str]:
    return [note.kind for note in check_body(body, **context)]


def sa(*proposals: Proposal) -> SecurityAssociation:
    return SecurityAssociation(proposals=proposals)


def ike(*transforms: Transform, number: int = 1, **fields: Any) -> Proposal:
    return Proposal(number=number, protocol_id=IKE, transforms=transforms, **fields)


def child(*transforms: Transform, protocol: SecurityProtocol = ESP, spi: bytes = b"\xc1\0\0\1") -> Proposal:
    return Proposal(number=1, protocol_id=protocol, spi=spi, transforms=transforms)


def ts(**fields: Any) -> TrafficSelectorsInitiator:
    selector = {"start_address": b"\x0a\0\0\1", "end_address": b"\x0a\0\0\2", **fields}
    return TrafficSelectorsInitiator(selectors=(Ipv4Selector(**selector),))


@pytest.mark.parametrize(
    ("proposal", "expected"),
    [
        (ike(CBC, PRF, SHA2, KE), []),
        (ike(GCM, PRF, KE), []),
        (child(GCM, SN), []),
        (child(CBC, SHA2, KE, SN), []),
        (child(SHA2, SN, protocol=AH), []),
        (ike(GCM, PRF, SHA2, KE), ["sa.aead-with-integrity"]),
        (ike(GCM, PRF, Transform.of_kind(3, 0), KE), []),
        (ike(GCM, CBC, PRF, SHA2, KE), ["sa.aead-mixed"]),
        (ike(CBC, PRF, KE), ["sa.no-integrity"]),
        (ike(CBC, PRF, SHA2), ["sa.transform-missing"]),
        (ike(PRF, SHA2, KE), ["sa.transform-missing"]),
        (child(CBC, SHA2), ["sa.transform-missing"]),
        (child(CBC, SHA2, SN, PRF), ["sa.transform-misplaced"]),
        (child(SHA2, SN, CBC, protocol=AH), ["sa.transform-misplaced"]),
        (child(GCM, SN, spi=b"\1"), ["sa.spi-size"]),
        (ike(CBC, PRF, SHA2, KE, spi=b"s" * 8), []),
        (ike(CBC, PRF, SHA2, KE, spi=b"s" * 4), ["sa.spi-size"]),
        (ike(CBC, CBC, PRF, SHA2, KE), ["sa.duplicate-transform"]),
        (ike(CBC, PRF, SHA2, KE, number=2), ["sa.proposal-number"]),
        (ike(CBC, PRF, SHA2, KE, transform_count=9), ["sa.transform-count"]),
        (ike(CBC, PRF, SHA2, KE, last=7), ["sa.last-marker"]),
        (ike(CBC, PRF, SHA2, KE, reserved=7), ["payload.reserved"]),
        (ike(CBC, PRF, SHA2, Transform(transform_type=TransformType.KE, transform_id=31, last=3)), ["sa.last-marker"]),
        (
            ike(CBC, PRF, SHA2, Transform(transform_type=TransformType.KE, transform_id=31, reserved=1)),
            ["payload.reserved"],
        ),
        (
            ike(CBC, PRF, SHA2, Transform(transform_type=TransformType.KE, transform_id=31, reserved2=1)),
            ["payload.reserved"],
        ),
        (ike(CBC, PRF, SHA2, Transform.of_kind(4, 999)), ["sa.transform-unknown"]),
        (ike(CBC, PRF, SHA2, KE, Transform.of_kind(99, 1)), ["sa.transform-unknown"]),
        (ike(Transform.of_kind(1, 12), PRF, SHA2, KE), ["sa.key-length-missing"]),
        (ike(Transform.of_kind(1, 12, 100), PRF, SHA2, KE), ["sa.key-length-invalid"]),
        (ike(Transform.of_kind(1, 3, 192), PRF, SHA2, KE), ["sa.key-length-fixed"]),
        (ike(Transform.of_kind(1, 28, 256), PRF, KE), ["sa.key-length-fixed"]),
        (ike(Transform.of_kind(1, 7, 448), PRF, SHA2, KE), []),
        (ike(CBC, Transform.of_kind(2, 5, 256), SHA2, KE), ["sa.key-length-fixed"]),
        (Proposal(number=1, protocol_id=SecurityProtocol(77), transforms=(CBC, SHA2)), []),
    ],
)
def test_a_proposal_is_checked(proposal: Proposal, expected: list[str]) -> None:
    assert kinds(sa(proposal)) == expected


def test_proposals_are_checked_against_each_other() -> None:
    first = ike(CBC, PRF, SHA2, KE)
    assert kinds(sa()) == ["sa.no-proposal"]
    assert kinds(sa(first, first)) == ["sa.duplicate-proposal"]
    assert kinds(sa(first, ike(GCM, PRF, KE, number=2))) == []


def test_a_response_leaves_no_choice() -> None:
    first = ike(CBC, PRF, SHA2, KE, number=2)
    assert kinds(sa(first), is_response=True) == []
    assert kinds(sa(first, ike(GCM, PRF, KE, number=3)), is_response=True) == ["sa.ambiguous-choice"]
    assert kinds(sa(ike(CBC, GCM, PRF, SHA2, KE)), is_response=True) == ["sa.ambiguous-choice", "sa.aead-mixed"]


@pytest.mark.parametrize(
    ("method", "size", "is_response", "ok"),
    [
        (K.ML_KEM_768, 1184, False, True),
        (K.ML_KEM_768, 1088, True, True),
        (K.ML_KEM_768, 1088, False, False),
        (K.ML_KEM_768, 1184, True, False),
        (K.ML_KEM_512, 800, False, True),
        (K.ML_KEM_512, 768, True, True),
        (K.ML_KEM_1024, 1568, True, True),
    ],
    ids=str,
)
def test_trap_t50_an_ml_kem_payload_has_the_size_of_its_role(method: K, size: int, is_response: bool, ok: bool) -> None:
    body = KeyExchange(method=method, data=b"k" * size)
    assert kinds(body, is_response=is_response) == ([] if ok else ["ke.size"])


@pytest.mark.parametrize("method", [method for method in K if method != K.NONE], ids=str)
def test_every_key_exchange_method_has_its_size(method: K) -> None:
    assert kinds(KeyExchange(method=method, data=b"\x22" * SIZES[method][0])) == []
    assert kinds(KeyExchange(method=method, data=b"\x22" * (SIZES[method][0] + 1))) == ["ke.size"]
    assert kinds(KeyExchange(method=method, data=bytes(SIZES[method][0]))) == ["ke.degenerate"]


@pytest.mark.parametrize(
    ("method", "data"),
    [
        (K.MODP_2048, bytes(255) + b"\1"),
        (K.MODP_2048, b"\xff" * 8 + b"\x12" * 240 + b"\xff" * 7 + b"\xfe"),
        (K.MODP_2048, b"\xff" * 8 + b"\x12" * 240 + b"\xff" * 8),
        (K.MODP_2048_256, bytes(255) + b"\1"),
        (K.CURVE25519, b"\1" + bytes(31)),
        (K.CURVE25519, b"\xec" + b"\xff" * 30 + b"\x7f"),
        (K.CURVE448, b"\1" + bytes(55)),
    ],
    ids=["1", "p-1", "p", "subgroup 1", "25519 1", "25519 p-1", "448 1"],
)
def test_a_degenerate_public_value_is_noted(method: K, data: bytes) -> None:
    assert kinds(KeyExchange(method=method, data=data)) == ["ke.degenerate"]


def test_an_unknown_or_unsized_method_is_no_fault_of_size() -> None:
    assert kinds(KeyExchange(method=K(1025), data=b"")) == ["ke.method-unknown"]
    assert kinds(KeyExchange(method=K.NONE, data=b"")) == []


@pytest.mark.parametrize(
    ("size", "prf", "expected"),
    [
        (15, None, ["payload.nonce-size"]),
        (16, None, []),
        (256, None, []),
        (257, None, ["payload.nonce-size"]),
        (16, 64, ["payload.nonce-short-for-prf"]),
        (32, 64, []),
    ],
)
def test_a_nonce_has_its_size(size: int, prf: int | None, expected: list[str]) -> None:
    assert kinds(Nonce(data=b"n" * size), prf_key_size=prf) == expected


@dataclass
class Case:
    body: Body
    expected: list[str] = field(default_factory=list)


@pytest.mark.parametrize(
    "case",
    [
        Case(KeyExchange(method=K.CURVE25519, reserved=1, data=b"k" * 32), ["payload.reserved"]),
        Case(IdentificationInitiator(id_type=IdType.ID_FQDN, data=b"moon")),
        Case(IdentificationInitiator(id_type=IdType.ID_FQDN), ["payload.empty"]),
        Case(IdentificationInitiator(id_type=IdType.ID_NULL)),
        Case(IdentificationInitiator(id_type=IdType.ID_IPV4_ADDR, data=b"\1"), ["id.size"]),
        Case(IdentificationInitiator(id_type=IdType(99), data=b"\1"), ["id.type-unknown"]),
        Case(IdentificationInitiator(id_type=IdType.ID_DER_ASN1_DN, data=b"\x30\x05"), ["id.unreadable"]),
        Case(Certificate(encoding=CertificateEncoding(4), data=b"\x30\x00"), ["cert.unreadable"]),
        Case(Certificate(encoding=CertificateEncoding(12), data=b"h"), ["cert.malformed"]),
        Case(Certificate(encoding=CertificateEncoding(15), data=b"junk")),
        Case(CertificateRequest(encoding=CertificateEncoding(4), data=b"h" * 21), ["certreq.size"]),
        Case(CertificateRequest(encoding=CertificateEncoding(4))),
        Case(Authentication(method=AuthenticationMethod(2), data=b"m")),
        Case(Authentication(method=AuthenticationMethod(2), data=b""), ["payload.empty"]),
        Case(Authentication(method=AuthenticationMethod(200), data=b"m"), ["auth.method-unknown"]),
        Case(Authentication(method=AuthenticationMethod(14), data=b"\xff"), ["auth.malformed"]),
        Case(Notify(notify_type=NotifyType.INITIAL_CONTACT)),
        Case(Notify(notify_type=NotifyType.INITIAL_CONTACT, data=b"x"), ["notify.data"]),
        Case(Notify(notify_type=NotifyType.INVALID_KE_PAYLOAD, data=b"x"), ["notify.data"]),
        Case(Notify(notify_type=NotifyType.COOKIE, data=b"c" * 65), ["notify.data-size"]),
        Case(Notify(notify_type=NotifyType.COOKIE), ["notify.data-size"]),
        Case(Notify(notify_type=NotifyType.REKEY_SA), ["notify.spi-size"]),
        Case(Notify(notify_type=NotifyType.REKEY_SA, protocol_id=ESP, spi=b"abcd")),
        Case(Notify(notify_type=NotifyType.REKEY_SA, protocol_id=ESP, spi=b"abcde"), ["notify.spi-size"]),
        Case(Notify(notify_type=NotifyType.INITIAL_CONTACT, protocol_id=IKE, spi=b"s" * 8), ["notify.spi-size"]),
        Case(Delete(protocol_id=IKE)),
        Case(Delete(protocol_id=IKE, spi_size=8, spis=(b"s" * 8,)), ["delete.spi-size"]),
        Case(Delete(protocol_id=ESP, spi_size=4, spis=(b"abcd",), count=3), ["delete.count"]),
        Case(ts()),
        Case(ts(start_port=65535, end_port=0)),
        Case(ts(start_port=9, end_port=8), ["ts.reversed"]),
        Case(ts(end_address=bytes(4)), ["ts.reversed"]),
        Case(TrafficSelectorsInitiator(), ["payload.empty"]),
        Case(TrafficSelectorsInitiator(count=4), ["ts.count", "payload.empty"]),
        Case(
            TrafficSelectorsInitiator(selectors=(UnknownSelector(ts_type=TrafficSelectorType(77)),)),
            ["ts.type-unknown"],
        ),
        Case(EncryptedFragment(fragment_number=1, total_fragments=1, data=b"")),
        Case(EncryptedFragment(fragment_number=0, total_fragments=1, data=b""), ["skf.number"]),
        Case(EncryptedFragment(fragment_number=2, total_fragments=1, data=b""), ["skf.number"]),
        Case(Eap(code=EapCode.SUCCESS, identifier=1)),
        Case(Eap(code=EapCode.REQUEST, identifier=1, length=99, data=b"\1"), ["eap.length"]),
        Case(Eap(code=EapCode.REQUEST, identifier=1, data=b"\x04\xff"), ["eap.malformed"]),
        Case(VendorId(data=b""), ["payload.empty"]),
        Case(VendorId(data=b"v")),
        Case(PuzzleSolution(data=b"abc"), ["ps.size"]),
        Case(PuzzleSolution(data=b"abcd")),
        Case(Opaque(data=b"x")),
        Case(Malformed(data=b"x", why="", start=0, stop=0)),
    ],
    ids=lambda case: f"{type(case.body).__name__}-{'-'.join(case.expected) or 'fine'}",
)
def test_a_body_is_checked(case: Case) -> None:
    assert kinds(case.body) == case.expected


def test_configuration_attributes_are_checked() -> None:
    attribute = ConfigurationAttribute(
        reserved=1, attribute_type=ConfigurationAttributeType.INTERNAL_IP4_DNS, value=b"\1"
    )
    body = Configuration(cfg_type=ConfigurationType.CFG_REPLY, attributes=(attribute,))
    notes = list(check_body(body, offset=100))
    assert [(note.kind, note.field, note.start, note.stop) for note in notes] == [
        ("payload.reserved", "CP.attributes[0].attribute_type", 104, 106),
        ("cp.value", "CP.attributes[0].value", 108, 109),
    ]


def test_a_note_points_at_the_octets_of_its_field() -> None:
    octets = bytes.fromhex(
        "00000028 0000002401010003 0300000c01000014800e0100 0300000802000005 00000008040003e7".replace(" ", "")
    )
    chain = parse_chain(octets, 0, len(octets), PayloadType.SA, IKEV2)
    (note,) = [note for payload in chain.payloads for note in check_payload(payload)]
    assert (note.kind, note.field) == ("sa.transform-unknown", "SA.proposals[0].transforms[2].transform_id")
    assert octets[note.start : note.stop].hex() == "03e7"


def test_the_generic_header_is_checked() -> None:
    octets = bytes.fromhex("00810014") + b"n" * 16
    chain = parse_chain(octets, 0, len(octets), PayloadType.NONCE, IKEV2)
    notes = list(check_payload(chain.payloads[0]))
    assert [(note.kind, note.start, note.stop) for note in notes] == [
        ("payload.reserved", 1, 2),
        ("payload.critical-known", 1, 2),
    ]


def test_a_path_that_leads_nowhere_is_the_whole_body() -> None:
    assert span(Nonce(data=b"n" * 16), "nothing[3].here") == (0, 16)


def test_the_catalogue_has_each_kind_once() -> None:
    assert len(NOTES) == len(NOTE_KINDS)
    assert all(row.meaning and row.reference for row in NOTES)
