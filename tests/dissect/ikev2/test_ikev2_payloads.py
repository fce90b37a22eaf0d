from __future__ import annotations

import pytest

from ipsecscope.dissect.body import Ikev2Body, Malformed, Opaque
from ipsecscope.dissect.chain import parse_body, parse_chain
from ipsecscope.dissect.families import IKEV2
from ipsecscope.dissect.ikev2 import (
    Authentication,
    Certificate,
    CertificateRequest,
    Delete,
    DigitalSignature,
    Eap,
    Encrypted,
    EncryptedFragment,
    IdentificationInitiator,
    IdentificationResponder,
    KeyExchange,
    Nonce,
    PuzzleSolution,
    SecurePassword,
    VendorId,
)
from ipsecscope.dissect.ikev2.payloads import HashAndUrl
from ipsecscope.dissect.registry.eap import EapCode, EapType
from ipsecscope.dissect.registry.ikev2 import (
    AuthenticationMethod,
    CertificateEncoding,
    IdType,
    KeyExchangeMethod,
    PayloadType,
    SecurityProtocol,
)
from ipsecscope.dissect.wire import WireError

ED25519 = bytes.fromhex("300506032b6570")


def test_every_payload_type_has_a_body() -> None:
    assert {kind for kind in PayloadType if kind != PayloadType.NONE} == set(Ikev2Body.registry)


@pytest.mark.parametrize(
    ("body", "octets", "summary"),
    [
        (
            KeyExchange(method=KeyExchangeMethod.CURVE25519, data=b"k" * 32),
            "001f0000" + "6b" * 32,
            "CURVE25519 32 octets",
        ),
        (Nonce(data=b"n" * 16), "6e" * 16, "16 octets"),
        (Encrypted(data=b"12"), "3132", "2 octets"),
        (EncryptedFragment(fragment_number=1, total_fragments=3, data=b"x"), "0001000378", "1/3 1 octets"),
        (SecurePassword(data=b"12"), "3132", "2 octets"),
        (PuzzleSolution(data=b"12345678"), "3132333435363738", "8 octets"),
        (Delete(protocol_id=SecurityProtocol.IKE), "01000000", "IKE"),
        (
            Delete(protocol_id=SecurityProtocol.ESP, spi_size=4, spis=(b"abcd", b"efgh")),
            "03040002" + b"abcdefgh".hex(),
            "ESP 61626364 65666768",
        ),
        (VendorId(data=b"\xff\xfe\xfd"), "fffefd", "fffefd"),
        (
            Authentication(method=AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE, data=b"m"),
            "020000006d",
            "SHARED_KEY_MESSAGE_INTEGRITY_CODE",
        ),
        (
            CertificateRequest(encoding=CertificateEncoding.X_509_CERTIFICATE_SIGNATURE, data=b"h" * 40),
            "04" + "68" * 40,
            "X_509_CERTIFICATE_SIGNATURE 2 authorities",
        ),
        (
            CertificateRequest(encoding=CertificateEncoding.RAW_PUBLIC_KEY, data=b"h"),
            "0f68",
            "RAW_PUBLIC_KEY 0 authorities",
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Ikev2Body) else "",
)
def test_a_body_by_its_figure_is_built_read_and_summed_up(body: Ikev2Body, octets: str, summary: str) -> None:
    data = bytes.fromhex(octets)
    assert body.build() == data
    assert type(body).parse(data) == body
    assert body.summary() == summary


@pytest.mark.parametrize(
    ("id_type", "data", "value"),
    [
        (IdType.ID_IPV4_ADDR, b"\xc0\x00\x02\x01", "192.0.2.1"),
        (IdType.ID_IPV4_ADDR, b"\xc0", "c0"),
        (IdType.ID_IPV6_ADDR, bytes.fromhex("20010db8" + "00" * 11 + "01"), "2001:db8::1"),
        (IdType.ID_FQDN, b"moon.example", "moon.example"),
        (IdType.ID_FQDN, b"moon\xff", "moon\\xff"),
        (IdType.ID_RFC822_ADDR, b"carol@example", "carol@example"),
        (IdType.ID_DER_ASN1_DN, bytes.fromhex("300f310d300b060355040313046d6f6f6e"), "CN=moon"),
        (IdType.ID_DER_ASN1_DN, b"\x30\x82", "3082"),
        (IdType.ID_DER_ASN1_GN, b"\x82\x04moon", "DNS:moon"),
        (IdType.ID_DER_ASN1_GN, b"\x00", "00"),
        (IdType.ID_KEY_ID, b"group-7", "group-7"),
        (IdType.ID_KEY_ID, b"\x00\x01", "0001"),
        (IdType.ID_FC_NAME, bytes(range(8)), "00:01:02:03:04:05:06:07"),
        (IdType.ID_NULL, b"", ""),
        (IdType(99), b"\x01", "01"),
    ],
    ids=str,
)
def test_an_identity_has_a_text(id_type: IdType, data: bytes, value: str) -> None:
    body = IdentificationInitiator(id_type=id_type, data=data)
    assert body.value == value
    assert body.summary() == f"{id_type} {value}".rstrip()
    assert IdentificationResponder.parse(body.build()).value == value


@pytest.mark.parametrize("size", range(4))
def test_trap_t13_an_identification_shorter_than_its_header_is_malformed(size: int) -> None:
    body = parse_body(bytes(size), PayloadType.IDi, IKEV2)
    assert isinstance(body, Malformed)
    assert body.build() == bytes(size)


def test_trap_t13_delete_data_begins_behind_the_generic_header() -> None:
    octets = bytes.fromhex("0000000c 03 04 0001 c1000001")
    chain = parse_chain(octets, 0, len(octets), PayloadType.D, IKEV2)
    assert chain.payloads[0].body == Delete(protocol_id=SecurityProtocol.ESP, spi_size=4, spis=(b"\xc1\0\0\1",))


@pytest.mark.parametrize("kind", [*PayloadType, 199], ids=str)
def test_trap_t34_an_empty_payload_of_any_type_is_no_exception(kind: int) -> None:
    octets = bytes.fromhex("00000004")
    chain = parse_chain(octets, 0, 4, kind, IKEV2)
    assert all(payload.body.build() == b"" for payload in chain.payloads)


@pytest.mark.parametrize(
    "octets",
    ["03000001c1000001", "0304000100", "03040001c100000100", "03000000ff"],
    ids=["size 0", "short", "long", "size 0 count 0"],
)
def test_delete_with_spis_of_an_impossible_size_raises_a_wire_error(octets: str) -> None:
    with pytest.raises(WireError):
        Delete.parse(bytes.fromhex(octets))


def test_delete_with_a_count_that_lies_keeps_its_lie() -> None:
    octets = bytes.fromhex("03040009c1000001")
    body = Delete.parse(octets)
    assert (body.count, len(body.spis)) == (9, 1)
    assert body.build() == octets


def test_certificate_request_lists_its_authorities() -> None:
    body = CertificateRequest(encoding=CertificateEncoding.X_509_CERTIFICATE_SIGNATURE, data=b"a" * 20 + b"b" * 20)
    assert body.authorities == (b"a" * 20, b"b" * 20)


def test_digital_signature_names_its_algorithm() -> None:
    signature = DigitalSignature(algorithm_identifier=ED25519, signature=b"s" * 64)
    body = Authentication(method=AuthenticationMethod.DIGITAL_SIGNATURE, data=signature.build())
    assert body.content() == signature
    assert body.summary() == "DIGITAL_SIGNATURE id-Ed25519"


def test_digital_signature_with_a_length_that_lies_has_no_content() -> None:
    body = Authentication(method=AuthenticationMethod.DIGITAL_SIGNATURE, data=b"\xff\x30")
    assert body.content() is None
    assert body.summary() == "DIGITAL_SIGNATURE"


@pytest.mark.parametrize("encoding", [12, 13], ids=["certificate", "bundle"])
def test_hash_and_url_shows_the_url(encoding: int) -> None:
    inner = HashAndUrl(hash=b"h" * 20, url=b"http://ca.example/1")
    body = Certificate(encoding=CertificateEncoding(encoding), data=inner.build())
    assert body.content() == inner
    assert body.summary() == "http://ca.example/1"


def test_trap_t32_raw_public_key_is_not_parsed_as_x509() -> None:
    spki = bytes.fromhex("302a300506032b6570032100" + "11" * 32)
    body = Certificate(encoding=CertificateEncoding.RAW_PUBLIC_KEY, data=spki)
    assert body.inner() is None
    assert body.summary() == "RAW_PUBLIC_KEY id-Ed25519 32 octets"


@pytest.mark.parametrize(
    "encoding",
    [
        CertificateEncoding.OCSP_CONTENT,
        CertificateEncoding.CERTIFICATE_REVOCATION_LIST,
        CertificateEncoding.PKCS7_WRAPPED_X_509_CERTIFICATE,
        CertificateEncoding(200),
    ],
    ids=str,
)
def test_trap_t32_other_encodings_are_not_parsed_as_x509(encoding: CertificateEncoding) -> None:
    body = Certificate(encoding=encoding, data=b"\x30\x03\x0a\x01\x00")
    assert body.summary() == f"{encoding} 5 octets"


def test_trap_t32_a_junk_raw_public_key_is_said_to_be_unreadable() -> None:
    body = Certificate(encoding=CertificateEncoding.RAW_PUBLIC_KEY, data=b"junk")
    assert body.summary() == "RAW_PUBLIC_KEY unreadable, 4 octets"


def test_an_unreadable_certificate_says_why() -> None:
    body = Certificate(encoding=CertificateEncoding.X_509_CERTIFICATE_SIGNATURE, data=b"\x30\x80")
    assert body.summary().startswith("not a certificate")


def test_an_eap_success_has_no_type() -> None:
    body = Eap(code=EapCode.SUCCESS, identifier=7)
    assert body.build().hex() == "03070004"
    assert (body.eap_type, body.content(), body.summary()) == (None, None, "SUCCESS")


def test_an_eap_request_shows_its_data() -> None:
    body = Eap(code=EapCode.RESPONSE, identifier=1, data=b"\x01carol")
    assert body.eap_type == EapType.IDENTITY
    assert body.summary() == "RESPONSE IDENTITY carol"


def test_an_eap_message_of_an_undescribed_type_shows_its_type() -> None:
    body = Eap(code=EapCode.REQUEST, identifier=1, data=b"\x33abc")
    assert (body.content(), body.summary()) == (None, "REQUEST GPSK")


def test_an_eap_length_that_lies_is_kept_and_nothing_is_read_into_it() -> None:
    octets = bytes.fromhex("0201ffff01") + b"carol"
    body = Eap.parse(octets)
    assert (body.length, body.content()) == (0xFFFF, None)
    assert body.build() == octets


def test_trap_t34_an_unknown_payload_type_stays_opaque() -> None:
    assert parse_body(b"abc", 199, IKEV2) == Opaque(data=b"abc")


@pytest.mark.parametrize(
    ("data", "keys"), [(b"aabbccdd", (b"aa", b"bb", b"cc", b"dd")), (b"abc", ()), (b"", ())], ids=str
)
def test_a_puzzle_solution_is_four_keys(data: bytes, keys: tuple[bytes, ...]) -> None:
    assert PuzzleSolution(data=data).keys == keys
