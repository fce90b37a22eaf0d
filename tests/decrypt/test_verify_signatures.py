"""Signatures of AUTH and SIG payloads: right, wrong, by another kind of key, and hostile octets."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.serialization import pkcs7
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.decrypt import verify
from ipsecscope.decrypt.algorithms import prf_by_name
from ipsecscope.decrypt.keymat import shared_key_auth
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.verify import SignatureAlgorithm, VerifyingKey, public_keys, verify_signature
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, CertificateEncoding, PseudorandomFunction

OCTETS = b"IKE_SA_INIT, the nonce of the peer and the MACed ID"
NULL = b"\x05\x00"
OIDS = {
    "sha1WithRSA": "06092a864886f70d010105",
    "sha256WithRSA": "06092a864886f70d01010b",
    "sha384WithRSA": "06092a864886f70d01010c",
    "sha512WithRSA": "06092a864886f70d01010d",
    "pss": "06092a864886f70d01010a",
    "mgf1": "06092a864886f70d010108",
    "sha1": "06052b0e03021a",
    "sha256": "0609608648016503040201",
    "sha384": "0609608648016503040202",
    "sha512": "0609608648016503040203",
    "ecdsa-sha256": "06082a8648ce3d040302",
    "ecdsa-sha384": "06082a8648ce3d040303",
    "ecdsa-sha512": "06082a8648ce3d040304",
    "dsa-sha256": "0609608648016503040302",
    "Ed25519": "06032b6570",
    "Ed448": "06032b6571",
    "ml-dsa-44": "0609608648016503040311",
    "gost": "06082a85030701010302",
}


@cache
def private(kind: str) -> Any:
    if kind == "RSA":
        return rsa.generate_private_key(65537, 2048)
    if kind == "DSA":
        return dsa.generate_private_key(1024)
    if kind == "Ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    if kind == "Ed448":
        return ed448.Ed448PrivateKey.generate()
    curves = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1(), "BP256": ec.BrainpoolP256R1()}
    return ec.generate_private_key(curves[kind])


def spki(kind: str) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    octets: bytes = private(kind).public_key().public_bytes(serialization.Encoding.DER, form)
    return octets


@cache
def key_of(kind: str) -> VerifyingKey:
    (key,) = public_keys(CertificateEncoding.RAW_PUBLIC_KEY, spki(kind))
    return key


@cache
def certificate(kind: str, name: str = "moon.example") -> bytes:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)] if name else [])
    now = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    builder = x509.CertificateBuilder(subject, subject, private(kind).public_key(), 7, now, now.replace(year=2030))
    digest = None if kind.startswith("Ed") else hashes.SHA256()
    return builder.sign(private(kind), digest).public_bytes(serialization.Encoding.DER)


def tlv(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return bytes((tag, len(content))) + content


def oid(name: str) -> bytes:
    return bytes.fromhex(OIDS[name])


def pss_identifier(digest: str, salt: int | None, mask: str | None = None) -> bytes:
    fields = b""
    if digest != "sha1":
        fields += tlv(0xA0, tlv(0x30, oid(digest), NULL))
    if (mask or digest) != "sha1":
        fields += tlv(0xA1, tlv(0x30, oid("mgf1"), tlv(0x30, oid(mask or digest), NULL)))
    if salt is not None:
        fields += tlv(0xA2, tlv(0x02, salt.to_bytes(1, "big", signed=True)))
    return tlv(0x30, oid("pss"), tlv(0x30, fields))


def described(identifier: bytes, signature: bytes) -> bytes:
    return bytes((len(identifier),)) + identifier + signature


def raw(der: bytes, size: int) -> bytes:
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def digest(name: str) -> Any:
    return getattr(hashes, name.upper())()


def flip(octets: bytes, at: int = -1) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


# -- the methods -------------------------------------------------------------------------------------------------


def rsa_pkcs1(name: str) -> bytes:
    signature: bytes = private("RSA").sign(OCTETS, padding.PKCS1v15(), digest(name))
    return signature


def rsa_pss(name: str, salt: int) -> bytes:
    signature: bytes = private("RSA").sign(OCTETS, padding.PSS(padding.MGF1(digest(name)), salt), digest(name))
    return signature


def ecdsa(kind: str, name: str) -> bytes:
    signature: bytes = private(kind).sign(OCTETS, ec.ECDSA(digest(name)))
    return signature


def dss(name: str) -> bytes:
    signature: bytes = private("DSA").sign(OCTETS, digest(name))
    return signature


CASES: list[tuple[str, int, str, Any]] = [
    *[(f"rsa-{name}", 1, "RSA", lambda name=name: rsa_pkcs1(name)) for name in ("sha1", "sha256", "sha384", "sha512")],
    ("dss", 3, "DSA", lambda: raw(dss("sha1"), 20)),
    ("ecdsa-256", 9, "P-256", lambda: raw(ecdsa("P-256", "sha256"), 32)),
    ("ecdsa-384", 10, "P-384", lambda: raw(ecdsa("P-384", "sha384"), 48)),
    ("ecdsa-521", 11, "P-521", lambda: raw(ecdsa("P-521", "sha512"), 66)),
    *[
        (f"14-rsa-{name}", 14, "RSA", lambda name=name: described(tlv(0x30, oid(f"{name}WithRSA"), NULL), rsa_pkcs1(name)))
        for name in ("sha1", "sha256", "sha384", "sha512")
    ],
    *[
        (f"14-pss-{name}-{salt}", 14, "RSA", lambda name=name, salt=salt: described(pss_identifier(name, salt), rsa_pss(name, salt)))
        for name, salt in (("sha256", 32), ("sha384", 48), ("sha512", 64), ("sha256", 0))
    ],
    ("14-pss-defaults", 14, "RSA", lambda: described(pss_identifier("sha1", None), rsa_pss("sha1", 20))),
    *[
        (f"14-{kind}-{name}", 14, kind, lambda kind=kind, name=name: described(tlv(0x30, oid(f"ecdsa-{name}")), ecdsa(kind, name)))
        for kind, name in (("P-256", "sha256"), ("P-256", "sha512"), ("P-384", "sha384"), ("P-521", "sha512"), ("BP256", "sha256"))
    ],
    ("14-dsa", 14, "DSA", lambda: described(tlv(0x30, oid("dsa-sha256")), dss("sha256"))),
    ("14-ed25519", 14, "Ed25519", lambda: described(tlv(0x30, oid("Ed25519")), private("Ed25519").sign(OCTETS))),
    ("14-ed448", 14, "Ed448", lambda: described(tlv(0x30, oid("Ed448")), private("Ed448").sign(OCTETS))),
]  # fmt: skip
IDS = [case[0] for case in CASES]


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_signature_over_the_octets_is_verified(case: tuple[str, int, str, Any]) -> None:
    _, method, kind, sign = case
    checked = verify_signature(method, sign(), OCTETS, key_of(kind))
    assert checked.verdict is True
    assert "a raw public key" in checked.why


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_signature_with_one_bit_changed_is_refused(case: tuple[str, int, str, Any]) -> None:
    _, method, kind, sign = case
    assert verify_signature(method, flip(sign()), OCTETS, key_of(kind)).verdict is False
    assert verify_signature(method, sign(), flip(OCTETS), key_of(kind)).verdict is False


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_key_of_another_kind_gives_no_verdict(case: tuple[str, int, str, Any]) -> None:
    _, method, kind, sign = case
    other = key_of("Ed25519" if kind == "RSA" else "RSA")
    checked = verify_signature(method, sign(), OCTETS, other)
    assert checked.verdict is None
    assert "not for" in checked.why


def test_ecdsa_vector_of_rfc_4754_is_verified() -> None:
    """RFC 4754 section 8.1."""
    x = "2442a5cc0ecd015fa3ca31dc8e2bbc70bf42d60cbca20085e0822cb04235e970"
    y = "6fc98bd7e50211a4a27102fa3549df79ebcb4bf246b80945cddfe7d509bbfd7d"
    r = "cb28e0999b9c7715fd0a80d8e47a77079716cbbf917dd72e97566ea1c066957c"
    s = "86fa3bb4e26cad5bf90b7f81899256ce7594bb1ea0c89212748bff3b3d5b0315"
    public = ec.EllipticCurvePublicNumbers(int(x, 16), int(y, 16), ec.SECP256R1()).public_key()
    key = VerifyingKey("ECDSA", "the vector", public)
    method = AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256
    assert verify_signature(method, bytes.fromhex(r + s), b"abc", key).verdict is True
    assert verify_signature(method, bytes.fromhex(r + s), b"abd", key).verdict is False


def test_ecdsa_key_on_another_curve_gives_no_verdict() -> None:
    checked = verify_signature(9, raw(ecdsa("P-384", "sha256"), 48), OCTETS, key_of("P-384"))
    assert checked.verdict is None
    assert "secp384r1" in checked.why


def test_ecdsa_signature_of_another_length_is_refused() -> None:
    assert verify_signature(9, b"short", OCTETS, key_of("P-256")).verdict is False


def test_method_without_signature_gives_no_verdict() -> None:
    assert verify_signature(12, b"", OCTETS, key_of("RSA")).verdict is None


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        (pss_identifier("sha256", 32), SignatureAlgorithm("RSA", "SHA256", is_pss=True, salt=32)),
        (pss_identifier("sha256", None), SignatureAlgorithm("RSA", "SHA256", is_pss=True, salt=20)),
        (tlv(0x30, oid("pss")), SignatureAlgorithm("RSA", "SHA1", is_pss=True, salt=20)),
        (pss_identifier("sha256", 32, mask="sha1"), None),
        (pss_identifier("sha1", 20, mask="sha256"), None),
        (pss_identifier("sha256", 32, mask="sha512"), None),
        (pss_identifier("sha256", -1), None),
        (tlv(0x30, oid("pss"), tlv(0x30, tlv(0xA0, tlv(0x30, oid("Ed448"))))), None),
        (tlv(0x30, oid("pss"), tlv(0x30, tlv(0xA2, tlv(0x04, b"\x20")))), None),
        (tlv(0x30, oid("pss"), tlv(0x30, tlv(0xA0, tlv(0x30, oid("sha256"))), tlv(0xA1, tlv(0x30, oid("mgf1"))))), None),
        (tlv(0x30, oid("ml-dsa-44")), SignatureAlgorithm("ML-DSA")),
        (tlv(0x30, oid("gost")), None),
        (b"", None),
    ],
    ids=["pss", "salt-default", "no-params", "mask-default", "hash-default", "two-hashes", "negative-salt",
         "unknown-hash", "salt-no-integer", "mask-without-hash", "ml-dsa", "gost", "nothing"],
)  # fmt: skip
def test_signature_algorithm_is_read_from_its_identifier(
    identifier: bytes, expected: SignatureAlgorithm | None
) -> None:
    assert verify.signature_algorithm(identifier) == expected


def test_unknown_signature_algorithm_gives_no_verdict() -> None:
    checked = verify_signature(14, described(tlv(0x30, oid("gost")), b"x"), OCTETS, key_of("RSA"))
    assert checked.verdict is None
    assert "gost" in checked.why


@pytest.mark.parametrize("data", [b"", b"\x10short"], ids=["empty", "cut"])
def test_authentication_data_without_algorithm_is_refused(data: bytes) -> None:
    assert verify_signature(14, data, OCTETS, key_of("RSA")).verdict is False


def test_key_that_the_library_cannot_use_gives_no_verdict() -> None:
    broken = VerifyingKey("RSA", "nobody", object())
    assert verify_signature(1, b"x", OCTETS, broken).verdict is None
    assert verify.verify_ikev1_signature(b"x", bytes(20), broken).verdict is None
    assert verify_signature(14, described(tlv(0x30, oid("ml-dsa-44")), b"x"), OCTETS, VerifyingKey("ML-DSA", "", object())).verdict is None  # fmt: skip


def test_ml_dsa_signature_is_verified_where_the_library_has_it() -> None:
    mldsa = pytest.importorskip("cryptography.hazmat.primitives.asymmetric.mldsa")
    own = mldsa.MLDSA44PrivateKey.generate()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    (key,) = public_keys(15, own.public_key().public_bytes(serialization.Encoding.DER, form))
    data = described(tlv(0x30, oid("ml-dsa-44")), own.sign(OCTETS))
    assert verify_signature(14, data, OCTETS, key).verdict is True
    assert verify_signature(14, data, flip(OCTETS), key).verdict is False


def test_interrupt_is_not_swallowed() -> None:
    class Interrupting:
        def verify(self, *_: object) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify_signature(14, described(tlv(0x30, oid("Ed25519")), b"x"), OCTETS, VerifyingKey("Ed25519", "", Interrupting()))  # fmt: skip


# -- IKEv1 -------------------------------------------------------------------------------------------------------


def bare_rsa(hashed: bytes) -> bytes:
    """A private key operation on the padded HASH, without DigestInfo."""
    numbers = private("RSA").private_numbers()
    n = numbers.public_numbers.n
    block = b"\0\1" + b"\xff" * (256 - 3 - len(hashed)) + b"\0" + hashed
    return pow(int.from_bytes(block, "big"), numbers.d, n).to_bytes(256, "big")


HASHED = bytes(range(20))
HASHED_32 = bytes(range(32))
IKEV1 = [
    ("rsa", "RSA", HASHED, lambda: bare_rsa(HASHED)),
    ("dss-digest", "DSA", HASHED, lambda: raw(private("DSA").sign(HASHED, utils.Prehashed(hashes.SHA1())), 20)),
    ("dss-hashed", "DSA", HASHED_32, lambda: raw(private("DSA").sign(HASHED_32, hashes.SHA1()), 20)),
    ("ecdsa-digest", "P-256", HASHED_32, lambda: raw(private("P-256").sign(HASHED_32, ec.ECDSA(utils.Prehashed(hashes.SHA256()))), 32)),
    ("ecdsa-hashed", "P-384", HASHED, lambda: raw(private("P-384").sign(HASHED, ec.ECDSA(hashes.SHA384())), 48)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "hashed", "sign"), [case[1:] for case in IKEV1], ids=[case[0] for case in IKEV1])
def test_ikev1_signature_over_the_hash_is_verified(kind: str, hashed: bytes, sign: Any) -> None:
    key = key_of(kind)
    assert verify.verify_ikev1_signature(sign(), hashed, key).verdict is True
    assert verify.verify_ikev1_signature(flip(sign()), hashed, key).verdict is False
    assert verify.verify_ikev1_signature(sign(), flip(hashed), key).verdict is False


def test_ikev1_signature_by_an_ed25519_key_gives_no_verdict() -> None:
    assert verify.verify_ikev1_signature(b"x", HASHED, key_of("Ed25519")).verdict is None


def test_ikev1_signature_on_a_curve_without_hash_is_refused() -> None:
    key = VerifyingKey("ECDSA", "", ec.generate_private_key(ec.SECP224R1()).public_key())
    assert verify.verify_ikev1_signature(b"xx", bytes(16), key).verdict is None


# -- public keys -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "family"),
    [("RSA", "RSA"), ("P-256", "ECDSA"), ("DSA", "DSA"), ("Ed25519", "Ed25519"), ("Ed448", "Ed448")],
)
def test_public_key_of_a_certificate_is_found_with_its_owner(kind: str, family: str) -> None:
    for encoding in (4, 5):
        (key,) = public_keys(encoding, certificate(kind))
        assert (key.family, key.owner) == (family, "the certificate of CN=moon.example")


def test_certificate_without_subject_is_named_so() -> None:
    (key,) = public_keys(4, certificate("Ed25519", ""))
    assert key.owner == "a certificate without a name"


def test_raw_rsa_key_of_pkcs1_is_read() -> None:
    pkcs1 = private("RSA").public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.PKCS1)
    (key,) = public_keys(CertificateEncoding.RAW_RSA_KEY, pkcs1)
    assert key.family == "RSA"


def test_pkcs7_bundle_gives_the_keys_of_its_certificates() -> None:
    loaded = [x509.load_der_x509_certificate(certificate(kind)) for kind in ("RSA", "P-256")]
    bundle = pkcs7.serialize_certificates(loaded, serialization.Encoding.DER)
    assert {key.family for key in public_keys(1, bundle)} == {"RSA", "ECDSA"}
    assert public_keys(1, certificate("RSA")) == ()


def test_key_that_signs_nothing_is_left_out() -> None:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    exchange = x25519.X25519PrivateKey.generate().public_key().public_bytes(serialization.Encoding.DER, form)
    assert public_keys(15, exchange) == ()


@pytest.mark.parametrize(
    ("encoding", "data"),
    [(12, tlv(0x30)), (4, b""), (4, b"\x30\x82"), (4, bytes(70_000)), (15, tlv(0x30))],
    ids=["hash-and-url", "empty", "cut", "too-long", "no-key"],
)
def test_certificate_data_without_a_key_gives_none(encoding: int, data: bytes) -> None:
    assert public_keys(encoding, data) == ()


@given(encoding=st.sampled_from([1, 4, 5, 11, 12, 15]), data=st.binary(max_size=200))
def test_public_keys_never_raises(encoding: int, data: bytes) -> None:
    assert isinstance(public_keys(encoding, data), tuple)


@given(at=st.integers(0, 5000), value=st.integers(0, 255), stop=st.integers(0, 5000))
def test_damaged_certificate_never_raises(at: int, value: int, stop: int) -> None:
    der = bytearray(certificate("P-256"))
    der[at % len(der)] = value
    assert isinstance(public_keys(4, bytes(der[: stop or None])), tuple)


@given(
    method=st.sampled_from([1, 2, 3, 9, 10, 11, 12, 14, 200]),
    kind=st.sampled_from(["RSA", "DSA", "P-256", "P-521", "Ed25519"]),
    data=st.one_of(
        st.binary(max_size=150),
        st.builds(lambda tail: described(pss_identifier("sha256", 127), tail), st.binary(max_size=256)),
        st.builds(lambda tail: described(tlv(0x30, oid("ecdsa-sha256")), tail), st.binary(max_size=80)),
    ),
)
def test_hostile_signature_is_never_right_and_never_raises(method: int, kind: str, data: bytes) -> None:
    assert verify_signature(method, data, OCTETS, key_of(kind)).verdict is not True
    assert verify.verify_ikev1_signature(data, HASHED, key_of(kind)).verdict is not True


# -- shared keys -------------------------------------------------------------------------------------------------


def test_shared_key_auth_is_verified_and_a_changed_one_is_not() -> None:
    row, secret = prf_by_name("SHA256"), Secret(b"correct horse")
    data = shared_key_auth(row, secret, OCTETS)
    assert verify.verify_shared_key(row, secret, OCTETS, data).verdict is True
    assert verify.verify_shared_key(row, secret, OCTETS, flip(data)).verdict is False
    assert verify.verify_shared_key(row, Secret(b"wrong horse"), OCTETS, data).verdict is False
    assert verify.verify_shared_key(row, secret, OCTETS, data[:-1]).verdict is False


def test_shared_key_auth_with_a_prf_known_by_name_only_gives_no_verdict() -> None:
    row = prf_by_name(str(PseudorandomFunction.PRF_HMAC_TIGER))
    checked = verify.verify_shared_key(row, Secret(b"planted"), OCTETS, b"")
    assert checked.verdict is None
    assert "planted" not in checked.why
