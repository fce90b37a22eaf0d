from __future__ import annotations

import datetime as dt
import ipaddress
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipsecscope.dissect.certificates import (
    MAX_ASN1_DEPTH,
    MAX_ASN1_ELEMENTS,
    MAX_CERTIFICATE,
    CertificateFacts,
    describe_algorithm,
    describe_certificate,
    describe_general_name,
    describe_general_names,
    describe_name,
    describe_public_key,
)

SUBJECT = x509.Name(
    [
        x509.NameAttribute(NameOID.COUNTRY_NAME, "CH"),
        x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Strong, Swan"),
        x509.NameAttribute(NameOID.COMMON_NAME, "moon"),
    ]
)


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element around its parts."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    size = (len(content).bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + len(content).to_bytes(size, "big") + content


def rdn(value: bytes, kind: bytes = b"\x06\x03\x55\x04\x03") -> bytes:
    return tlv(0x31, tlv(0x30, kind, value))


@pytest.fixture(scope="module")
def key() -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(7, ec.SECP256R1())


def make(key: Any, signer: Any | None = None, **signing: Any) -> bytes:
    builder = (
        x509.CertificateBuilder()
        .subject_name(SUBJECT)
        .issuer_name(SUBJECT)
        .public_key(key.public_key())
        .serial_number(0xABCDEF)
        .not_valid_before(dt.datetime(2020, 1, 31, 12, tzinfo=dt.UTC))
        .not_valid_after(dt.datetime(2051, 1, 31, tzinfo=dt.UTC))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName(
                [
                    x509.DNSName("moon.example"),
                    x509.RFC822Name("root@moon.example"),
                    x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
                    x509.DirectoryName(SUBJECT),
                    x509.UniformResourceIdentifier("http://moon.example"),
                    x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
                ]
            ),
            critical=False,
        )
        .add_extension(x509.SubjectKeyIdentifier(b"k"), critical=False)
    )
    algorithm = signing.pop("algorithm", hashes.SHA256())
    return builder.sign(signer or key, algorithm, **signing).public_bytes(serialization.Encoding.DER)


def test_a_certificate_says_who_when_and_what(key: ec.EllipticCurvePrivateKey) -> None:
    facts = describe_certificate(make(key))
    assert isinstance(facts, CertificateFacts)
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA1())
    digest.update(spki)
    assert facts.subject == facts.issuer == "CN=moon,O=Strong\\, Swan,C=CH"
    assert (facts.serial, facts.not_before, facts.not_after) == (
        "abcdef",
        "2020-01-31T12:00:00Z",
        "2051-01-31T00:00:00Z",
    )
    assert (facts.key_type, facts.key_size, facts.signature_algorithm) == ("EC", 256, "ecdsa-with-SHA256")
    assert facts.is_ca
    assert facts.key_id == digest.finalize().hex()
    assert facts.subject_alternative_names == (
        "DNS:moon.example",
        "email:root@moon.example",
        "IP:192.0.2.1",
        "dirName:CN=moon,O=Strong\\, Swan,C=CH",
        "URI:http://moon.example",
        "RID:1.2.3",
    )


def test_an_rsa_pss_signature_names_its_hash(key: ec.EllipticCurvePrivateKey) -> None:
    signer = rsa.generate_private_key(65537, 1024)
    pss = padding.PSS(padding.MGF1(hashes.SHA384()), 32)
    facts = describe_certificate(make(key, signer, algorithm=hashes.SHA384(), rsa_padding=pss))
    assert isinstance(facts, CertificateFacts)
    assert facts.signature_algorithm == "RSASSA-PSS SHA384"


def test_an_ed25519_key_has_no_size_of_its_own() -> None:
    facts = describe_certificate(make(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), algorithm=None))
    assert isinstance(facts, CertificateFacts)
    assert (facts.key_type, facts.key_size, facts.signature_algorithm) == ("Ed25519", None, "id-Ed25519")


@pytest.mark.parametrize(
    ("der", "why"),
    [
        (b"", "not readable"),
        (b"\x30", "not a certificate"),
        (b"\x30\x80\x00\x00", "not a certificate"),
        (b"\x30\xff" + b"\xff" * 127, "not a certificate"),
        (b"\x30\x88" + b"\x7f" + b"\xff" * 7, "not a certificate"),
        (b"\x1f\x01\x00", "not a certificate"),
        (b"\x30\x05\x00", "not a certificate"),
        (tlv(0x30, b"\x02\x01\x00"), "not readable"),
        (b"\x30" * (MAX_CERTIFICATE + 1), f"certificate of {MAX_CERTIFICATE + 1} octets"),
        (b"\x30\x80" * 20_000, "not a certificate"),
    ],
    ids=["empty", "cut", "indefinite", "length of length 127", "2^63", "long tag", "short", "nothing", "huge", "deep"],
)
def test_octets_that_are_no_certificate_are_a_reason(der: bytes, why: str) -> None:
    reason = describe_certificate(der)
    assert isinstance(reason, str)
    assert reason.startswith(why)


def test_nesting_beyond_the_limit_is_a_reason() -> None:
    der = b""
    for _ in range(MAX_ASN1_DEPTH + 1):
        der = tlv(0x30, der)
    assert describe_certificate(der) == f"not a certificate: ASN.1 nested deeper than {MAX_ASN1_DEPTH}"


def test_more_elements_than_the_limit_are_a_reason() -> None:
    reason = describe_certificate(tlv(0x30, b"\x05\x00" * MAX_ASN1_ELEMENTS))
    assert reason == f"not a certificate: more than {MAX_ASN1_ELEMENTS} ASN.1 elements"


def replaced(der: bytes, old: bytes, new: bytes) -> bytes:
    assert old in der
    return der.replace(old, new)


def test_impossible_times_are_a_reason_or_a_text(key: ec.EllipticCurvePrivateKey) -> None:
    for wrong in (b"000000000000Z", b"991399999999Z", b"abcdefghijklZ"):
        found = describe_certificate(replaced(make(key), b"200131120000Z", wrong))
        assert isinstance(found, str | CertificateFacts)


@pytest.mark.parametrize("exponent", [0, 1, 2, 65537], ids=str)
@pytest.mark.parametrize("octets", [0, 1, 128, 56_000], ids=str)
def test_trap_rsa_keys_of_any_size_and_exponent_never_raise(exponent: int, octets: int) -> None:
    template = make(ec.derive_private_key(7, ec.SECP256R1()))
    certificate = x509.load_der_x509_certificate(template)
    old = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    public = tlv(0x30, tlv(0x02, b"\0" + b"\xff" * octets), tlv(0x02, exponent.to_bytes(3, "big")))
    rsa_oid = bytes.fromhex("06092a864886f70d0101010500")
    spki = tlv(0x30, tlv(0x30, rsa_oid), tlv(0x03, b"\0", public))
    tbs_old = certificate.tbs_certificate_bytes
    content = tbs_old[4:]
    tbs = tlv(0x30, content.replace(old, spki))
    found = describe_certificate(tlv(0x30, tbs, template[4 + len(tbs_old) :]))
    assert isinstance(found, str | CertificateFacts)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(data=st.data())
def test_a_damaged_certificate_never_raises(data: Any) -> None:
    octets = bytearray(make(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), algorithm=None))
    for _ in range(data.draw(st.integers(1, 4))):
        octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    assert isinstance(describe_certificate(bytes(octets)), str | CertificateFacts)


@given(st.binary(max_size=80))
@settings(max_examples=200, deadline=None, database=None)
def test_any_octets_have_a_description_or_none(octets: bytes) -> None:
    assert isinstance(describe_name(octets), str | None)
    assert isinstance(describe_general_name(octets), str | None)
    assert isinstance(describe_algorithm(octets), str)
    assert isinstance(describe_public_key(octets), str)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (tlv(0x0C, "mönd".encode()), "CN=mönd"),
        (tlv(0x13, b"moon"), "CN=moon"),
        (tlv(0x1E, "moon".encode("utf-16-be")), "CN=moon"),
        (tlv(0x1E, b"\xd8\x00"), "CN=Ø\\00"),
        (tlv(0x0C, b"\xff"), "CN=ÿ"),
        (tlv(0x14, b"\xe9"), "CN=é"),
        (tlv(0x02, b"\x05"), "CN=#020105"),
        (tlv(0x0C, b"a\0b"), "CN=a\\00b"),
        (tlv(0x0C, b'a,b+c"d\\e<f>g;h'), 'CN=a\\,b\\+c\\"d\\\\e\\<f\\>g\\;h'),
        (tlv(0x0C, b"#a "), "CN=\\#a\\ "),
        (tlv(0x0C, b" "), "CN=\\ "),
        (tlv(0x0C, b""), "CN="),
    ],
    ids=[
        "utf8",
        "printable",
        "bmp",
        "surrogate",
        "bad utf8",
        "t61",
        "integer",
        "nul",
        "special",
        "edges",
        "space",
        "empty",
    ],
)
def test_a_name_is_written_by_rfc_4514(value: bytes, text: str) -> None:
    assert describe_name(tlv(0x30, rdn(value))) == text


def test_a_name_of_several_parts_is_written_last_part_first() -> None:
    several = tlv(
        0x31,
        tlv(0x30, b"\x06\x03\x55\x04\x03", tlv(0x0C, b"a")),
        tlv(0x30, b"\x06\x03\x2a\x03\x04", tlv(0x0C, b"b")),
    )
    assert describe_name(tlv(0x30, rdn(tlv(0x0C, b"x"), b"\x06\x03\x55\x04\x06"), several)) == "CN=a+1.2.3.4=b,C=x"
    assert describe_name(b"\x30\x00") == ""


def test_a_name_of_2500_parts_is_cut_and_says_so() -> None:
    text = describe_name(tlv(0x30, rdn(tlv(0x0C, b"x")) * 2500))
    assert text is not None
    assert text.startswith("…,CN=x,")
    assert text.count("CN=x") == 128


@pytest.mark.parametrize(
    "data",
    [
        b"\x31\x00",
        b"\x30\x00\x30\x00",
        tlv(0x30, tlv(0x30)),
        tlv(0x30, tlv(0x31, tlv(0x31))),
        tlv(0x30, tlv(0x31, tlv(0x30, b"\x02\x01\x00", b"\x02\x01\x00"))),
        tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x00", tlv(0x0C, b"a")))),
        tlv(0x30, tlv(0x31, tlv(0x30, b"\x06\x01\x80", tlv(0x0C, b"a")))),
        bytes(MAX_CERTIFICATE + 1),
    ],
    ids=["set", "two", "no set", "no sequence", "no oid", "empty oid", "cut oid", "huge"],
)
def test_octets_that_are_no_name_are_none(data: bytes) -> None:
    assert describe_name(data) is None


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x82\x04moon", "DNS:moon"),
        (b"\x81\x01a", "email:a"),
        (b"\x86\x01u", "URI:u"),
        (b"\x87\x04\xc0\0\2\1", "IP:192.0.2.1"),
        (b"\x87\x02\xc0\0", "IP:#c000"),
        (b"\x88\x02\x2a\x03", "RID:1.2.3"),
        (tlv(0xA0, b"\x06\x02\x2a\x03", tlv(0xA0, tlv(0x0C, b"x"))), "otherName:1.2.3"),
        (tlv(0xA4, tlv(0x30, rdn(tlv(0x0C, b"m")))), "dirName:CN=m"),
        (b"\x83\x01x", "[3]#78"),
        (tlv(0x30, b"\x82\x01a", b"\x82\x01b"), "DNS:a DNS:b"),
        (tlv(0x30, tlv(0xA0, b"\x02\x01\x00")), None),
        (b"\x30\x00", None),
        (b"", None),
    ],
)
def test_general_names_are_written_with_their_kind(data: bytes, text: str | None) -> None:
    assert describe_general_name(data) == text


def test_general_names_are_listed() -> None:
    assert describe_general_names(tlv(0x30, b"\x82\x01a", b"\x82\x01b")) == ("DNS:a", "DNS:b")


PSS_OID = bytes.fromhex("06092a864886f70d01010a")
SHA256_OID = bytes.fromhex("0609608648016503040201")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (bytes.fromhex("300506032b6570"), "id-Ed25519"),
        (bytes.fromhex("300a06082a8648ce3d040302"), "ecdsa-with-SHA256"),
        (bytes.fromhex("300d06092a864886f70d01010b0500"), "sha256WithRSAEncryption"),
        (tlv(0x30, PSS_OID, tlv(0x30, tlv(0xA0, tlv(0x30, SHA256_OID, b"\x05\x00")))), "RSASSA-PSS SHA256"),
        (tlv(0x30, PSS_OID, tlv(0x30, tlv(0xA1, b""))), "RSASSA-PSS SHA1"),
        (tlv(0x30, PSS_OID), "RSASSA-PSS SHA1"),
        (tlv(0x30, b"\x06\x03\x2a\x03\x04"), "1.2.3.4"),
        (tlv(0x30, b"\x06\x03\x88\x37\x01"), "2.999.1"),
        (b"\x30\x00", "3000"),
        (b"junk", "6a756e6b"),
    ],
)
def test_an_algorithm_has_a_name(data: bytes, text: str) -> None:
    assert describe_algorithm(data) == text


def test_a_public_key_says_its_algorithm_and_size(key: ec.EllipticCurvePrivateKey) -> None:
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert describe_public_key(spki) == "id-ecPublicKey secp256r1 65 octets"
    assert describe_public_key(b"\x30\x00") == "unreadable, 2 octets"


def test_trap_a_panic_of_the_library_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        """What PyO3 raises when native code panics: no Exception."""

    def panic(data: bytes) -> None:
        raise PanicException(data)

    monkeypatch.setattr(x509, "load_der_x509_certificate", panic)
    assert describe_certificate(tlv(0x30)) == "not readable: PanicException"


def test_an_interrupt_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(data: bytes) -> None:
        raise KeyboardInterrupt(data)

    monkeypatch.setattr(x509, "load_der_x509_certificate", interrupt)
    with pytest.raises(KeyboardInterrupt):
        describe_certificate(tlv(0x30))
