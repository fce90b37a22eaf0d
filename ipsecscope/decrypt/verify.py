"""Whether a signature, a shared-key AUTH or a HASH payload is what the octets and the key at hand make it.

Pure functions, total for every octet string: a certificate or a signature that nobody can read is an answer with a
reason, never an exception. A signature is checked against the key that came with it; whether anybody should trust
that key is no question of this module.
"""

from __future__ import annotations

import hmac
import re
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ipsecscope.decrypt.algorithms import AlgorithmError, PrfRow
from ipsecscope.decrypt.keymat import shared_key_auth
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.certificates import (
    MAX_CERTIFICATE,
    SEQUENCE,
    Asn1Error,
    CertificateFacts,
    check_nesting,
    describe_algorithm,
    describe_certificate,
    elements,
    one,
)
from ipsecscope.dissect.ikev2.extensions.rfc7427 import DigitalSignature
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, CertificateEncoding
from ipsecscope.dissect.wire import WireError

MAX_BUNDLE = 16  # certificates read out of one PKCS #7 bundle
DEFAULT_SALT = 20  # octets of salt that RSASSA-PSS-params leave unsaid, RFC 4055 section 3.1
MAX_SALT = 0xFFFF  # octets of salt that an algorithm identifier may ask for

# RFC 7296 section 3.8 has SHA-1 as the default of method 1 and lets the signer choose another hash.
RSA_HASHES = ("SHA1", "SHA256", "SHA384", "SHA512", "SHA224")
_INTEGER, _HASH_FIELD, _MASK_FIELD, _SALT_FIELD = 0x02, 0xA0, 0xA1, 0xA2  # DER tags of RSASSA-PSS-params

# RFC 4754 section 2: the curve and the hash that go together, and the octets of r and of s.
_ECDSA = {
    int(AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256): ("secp256r1", "SHA256", 32),
    int(AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384): ("secp384r1", "SHA384", 48),
    int(AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521): ("secp521r1", "SHA512", 66),
}
_X509 = frozenset(
    {
        int(CertificateEncoding.X_509_CERTIFICATE_SIGNATURE),
        int(isakmp.CertificateEncoding.X_509_CERTIFICATE_KEY_EXCHANGE),
    }
)
_RAW = frozenset({int(CertificateEncoding.RAW_PUBLIC_KEY), int(CertificateEncoding.RAW_RSA_KEY)})
_FAMILIES = {
    "RSAPublicKey": "RSA",
    "ECPublicKey": "ECDSA",
    "ECDSAPublicKey": "ECDSA",
    "EllipticCurvePublicKey": "ECDSA",
    "DSAPublicKey": "DSA",
    "Ed25519PublicKey": "Ed25519",
    "Ed448PublicKey": "Ed448",
}
_NAMED_SIGNATURES = (
    (re.compile(r"(sha\d+)WithRSAEncryption"), "RSA"),
    (re.compile(r"ecdsa-with-(SHA\d+)"), "ECDSA"),
    (re.compile(r"dsa-with-(sha\d+)"), "DSA"),
    (re.compile(r"id-(Ed25519)()"), "Ed25519"),
    (re.compile(r"id-(Ed448)()"), "Ed448"),
)


class Checked(msgspec.Struct, frozen=True):
    """True: it is right. False: it was checked and is wrong. None: it could not be checked. ``why`` is one sentence."""

    verdict: bool | None
    why: str


class VerifyingKey(msgspec.Struct, frozen=True):
    """A public key out of a CERT payload: its family (``RSA``, ``ECDSA`` …) and whose it claims to be."""

    family: str
    owner: str
    key: Any


class SignatureAlgorithm(msgspec.Struct, frozen=True):
    """What an AlgorithmIdentifier asks for; ``salt`` and ``hash`` are those of RSASSA-PSS where ``is_pss``."""

    family: str
    hash: str = ""
    is_pss: bool = False
    salt: int = 0


def _attempt(work: Callable[[], Any]) -> tuple[Any, str]:
    """What library code made of hostile octets, or the name of what it raised (a panic of its native part too)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return work(), ""
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # noqa: BLE001 (PyO3 panics are no Exception)
        return None, type(error).__name__


# -- public keys -------------------------------------------------------------------------------------------------


def public_keys(encoding: int, data: bytes) -> tuple[VerifyingKey, ...]:
    """The public keys that a CERT payload of either version holds; none where it holds none that can be read.

    Args:
        encoding: the certificate encoding, RFC 7296 section 3.6 or RFC 2408 section 3.9.
        data: the certificate data: an X.509 certificate, a PKCS #7 bundle, a raw public key (RFC 7670).
    """
    if len(data) > MAX_CERTIFICATE:
        return ()
    try:
        check_nesting(data)
    except Asn1Error:
        return ()
    if encoding in _X509:
        return _certificate_key(data)
    if encoding in _RAW:
        return _raw_key(data)
    if encoding == CertificateEncoding.PKCS7_WRAPPED_X_509_CERTIFICATE:
        return _bundled_keys(data)
    return ()


def _certificate_key(der: bytes) -> tuple[VerifyingKey, ...]:
    from cryptography import x509

    key, _ = _attempt(lambda: x509.load_der_x509_certificate(der).public_key())
    facts = describe_certificate(der)
    owner = facts.subject if isinstance(facts, CertificateFacts) else ""
    return _verifying_key(key, f"the certificate of {owner}" if owner else "a certificate without a name")


def _raw_key(der: bytes) -> tuple[VerifyingKey, ...]:
    """A SubjectPublicKeyInfo, or the RSAPublicKey of PKCS #1 that encoding 11 stands for."""
    from cryptography.hazmat.primitives import serialization

    key, _ = _attempt(lambda: serialization.load_der_public_key(der))
    return _verifying_key(key, "a raw public key")


def _bundled_keys(der: bytes) -> tuple[VerifyingKey, ...]:
    from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

    found, _ = _attempt(
        lambda: [each.public_bytes(Encoding.DER) for each in pkcs7.load_der_pkcs7_certificates(der)[:MAX_BUNDLE]]
    )
    return tuple(key for each in found or () for key in _certificate_key(each))


def _verifying_key(key: Any, owner: str) -> tuple[VerifyingKey, ...]:
    name = type(key).__name__.lstrip("_")
    family = _FAMILIES.get(name, "ML-DSA" if name.startswith("MLDSA") else "")
    return (VerifyingKey(family, owner, key),) if family else ()


# -- signatures --------------------------------------------------------------------------------------------------


def verify_signature(method: int, data: bytes, octets: bytes, key: VerifyingKey) -> Checked:
    """Check the authentication data of an AUTH payload that is a signature, RFC 7296 section 2.15.

    Args:
        method: the authentication method: 1, 3, 9 to 11 or 14.
        data: the authentication data; of method 14 it begins with the AlgorithmIdentifier (RFC 7427 section 3).
        octets: what was signed.
        key: the public key of the signer.
    """
    if method == AuthenticationMethod.DIGITAL_SIGNATURE:
        return _verify_described(data, octets, key)
    if method == AuthenticationMethod.RSA_DIGITAL_SIGNATURE:
        if key.family != "RSA":
            return _other_family(key, "RSA")
        return _any_of(key, (_rsa(key, name, data, octets) for name in RSA_HASHES))
    if method == AuthenticationMethod.DSS_DIGITAL_SIGNATURE:
        if key.family != "DSA":
            return _other_family(key, "DSA")
        return _any_of(key, [_dsa(key, "SHA1", _der_of(data), octets)])
    if method in _ECDSA:
        if key.family != "ECDSA":
            return _other_family(key, "ECDSA")
        curve, name, size = _ECDSA[method]
        if key.key.curve.name != curve:
            return Checked(None, f"{key.owner} has a key on {key.key.curve.name}, not on {curve}")
        if len(data) != 2 * size:
            return Checked(False, f"the signature has {len(data)} octets where ECDSA on {curve} has {2 * size}")
        return _any_of(key, [_ecdsa(key, name, _der_of(data), octets)])
    return Checked(None, f"authentication method {method} is no signature that this program checks")


def signature_algorithm(identifier: bytes) -> SignatureAlgorithm | None:
    """What a DER AlgorithmIdentifier of RFC 7427 asks for; None for one that this program does not know."""
    text = describe_algorithm(identifier)
    for pattern, family in _NAMED_SIGNATURES:
        if found := pattern.fullmatch(text):
            return SignatureAlgorithm(family, "" if family == found[1] else found[1].upper())
    if text.startswith("id-ml-dsa"):
        return SignatureAlgorithm("ML-DSA")
    name, _, digest = text.partition(" ")
    if name != "RSASSA-PSS" or digest not in RSA_HASHES:
        return None
    try:
        salt = _pss_salt(identifier)
    except Asn1Error:
        return None
    return None if salt is None else SignatureAlgorithm("RSA", digest, is_pss=True, salt=salt)


def _pss_salt(identifier: bytes) -> int | None:
    """The salt size of RSASSA-PSS-params; None where the mask is not made with the hash of the message.

    RFC 4055 section 3.1. Raises Asn1Error.
    """
    parts = list(elements(one(identifier, SEQUENCE).content))
    fields = {each.tag: each.content for each in elements(parts[1].content)} if len(parts) > 1 else {}
    digest = fields.get(_HASH_FIELD)
    mask = fields.get(_MASK_FIELD)
    if (mask is None) != (digest is None):  # what is left out is SHA-1, and what is SHA-1 is left out
        return None
    if mask is not None and digest is not None:
        generator = list(elements(one(mask, SEQUENCE).content))
        inner = next(elements(generator[1].content), None) if len(generator) > 1 else None
        if inner != next(elements(one(digest, SEQUENCE).content), None):
            return None
    if _SALT_FIELD not in fields:
        return DEFAULT_SALT
    salt = int.from_bytes(one(fields[_SALT_FIELD], _INTEGER).content, "big", signed=True)
    return salt if 0 <= salt <= MAX_SALT else None


def _verify_described(data: bytes, octets: bytes, key: VerifyingKey) -> Checked:
    """RFC 7427 section 3: the algorithm stands in front of the signature; ECDSA and DSA signatures are DER."""
    try:
        body = DigitalSignature.parse(data)
    except WireError:
        return Checked(False, "the authentication data holds no algorithm and signature")
    algorithm = signature_algorithm(body.algorithm_identifier)
    if algorithm is None:
        return Checked(None, f"the signature algorithm {body.algorithm} is not checked by this program")
    if key.family != algorithm.family:
        return _other_family(key, algorithm.family)
    if algorithm.is_pss:
        outcome = _rsa_pss(key, algorithm, body.signature, octets)
    elif key.family == "RSA":
        outcome = _rsa(key, algorithm.hash, body.signature, octets)
    elif key.family == "ECDSA":
        outcome = _ecdsa(key, algorithm.hash, body.signature, octets)
    elif key.family == "DSA":
        outcome = _dsa(key, algorithm.hash, body.signature, octets)
    else:
        outcome = _holds(key.family, lambda: key.key.verify(body.signature, octets))
    return _any_of(key, [outcome])


def verify_ikev1_signature(signature: bytes, hashed: bytes, key: VerifyingKey) -> Checked:
    """Check SIG_I or SIG_R over HASH_I or HASH_R, RFC 2409 section 5.1.

    An RSA signature is a private key operation on the bare HASH, without the DigestInfo that PKCS #1 signatures have.
    DSS and ECDSA signatures are r and s one behind the other; HASH stands for the digest or is digested once more,
    implementations differ.
    """
    if key.family == "RSA":
        return _any_of(key, [_rsa_bare(key, signature, hashed)])
    names = [name for name in RSA_HASHES if _digest_size(name) == len(hashed)]
    if key.family == "DSA":
        check, names = _dsa, [*names, "SHA1"]
    elif key.family == "ECDSA":
        own = {256: "SHA256", 384: "SHA384", 521: "SHA512"}.get(key.key.key_size)
        check, names = _ecdsa, [*names, *([own] if own else [])]
    else:
        return Checked(None, f"{key.owner} has an {key.family} key, which IKEv1 has no signatures for")
    der = _der_of(signature)
    outcomes = [check(key, name, der, hashed, digested=_digest_size(name) == len(hashed)) for name in names]
    outcomes += [check(key, name, der, hashed) for name in names]
    return _any_of(key, outcomes)


_Outcome = tuple[bool | None, str]


def _any_of(key: VerifyingKey, outcomes: Iterable[_Outcome]) -> Checked:
    """The first success, or the failure that says most."""
    failed: _Outcome | None = None
    for verdict, text in outcomes:
        if verdict:
            return Checked(True, f"{text}, by {key.owner}")
        if failed is None or verdict is False:
            failed = (verdict, text)
    if failed is None or failed[0] is None:
        return Checked(None, f"the signature could not be checked with {key.owner}")
    return Checked(False, f"the signature is not one by {key.owner}")


def _other_family(key: VerifyingKey, wanted: str) -> Checked:
    return Checked(None, f"{key.owner} has a key for {key.family} signatures, not for {wanted}")


def _holds(text: str, verify: Callable[[], Any]) -> _Outcome:
    _, failure = _attempt(verify)
    if failure == "InvalidSignature":
        return False, text
    return (None, failure) if failure else (True, text)


def _hash(name: str) -> Any:
    from cryptography.hazmat.primitives import hashes

    return getattr(hashes, name)()


def _digest_size(name: str) -> int:
    size: int = _hash(name).digest_size
    return size


def _rsa(key: VerifyingKey, name: str, signature: bytes, octets: bytes) -> _Outcome:
    from cryptography.hazmat.primitives.asymmetric import padding

    return _holds(
        f"RSA PKCS #1 v1.5 with {name}", lambda: key.key.verify(signature, octets, padding.PKCS1v15(), _hash(name))
    )


def _rsa_pss(key: VerifyingKey, algorithm: SignatureAlgorithm, signature: bytes, octets: bytes) -> _Outcome:
    from cryptography.hazmat.primitives.asymmetric import padding

    def verify() -> None:
        digest = _hash(algorithm.hash)
        key.key.verify(signature, octets, padding.PSS(padding.MGF1(digest), algorithm.salt), digest)

    return _holds(f"RSASSA-PSS with {algorithm.hash}", verify)


def _rsa_bare(key: VerifyingKey, signature: bytes, hashed: bytes) -> _Outcome:
    from cryptography.hazmat.primitives.asymmetric import padding

    found, failure = _attempt(lambda: key.key.recover_data_from_signature(signature, padding.PKCS1v15(), None))
    if failure and failure != "InvalidSignature":
        return None, failure
    return not failure and hmac.compare_digest(found, hashed), "RSA over the HASH"


def _ecdsa(key: VerifyingKey, name: str, signature: bytes, octets: bytes, *, digested: bool = False) -> _Outcome:
    from cryptography.hazmat.primitives.asymmetric import ec, utils

    def verify() -> None:
        digest = utils.Prehashed(_hash(name)) if digested else _hash(name)
        key.key.verify(signature, octets, ec.ECDSA(digest))

    return _holds(f"ECDSA with {name}", verify)


def _dsa(key: VerifyingKey, name: str, signature: bytes, octets: bytes, *, digested: bool = False) -> _Outcome:
    from cryptography.hazmat.primitives.asymmetric import utils

    def verify() -> None:
        key.key.verify(signature, octets, utils.Prehashed(_hash(name)) if digested else _hash(name))

    return _holds(f"DSA with {name}", verify)


def _der_of(signature: bytes) -> bytes:
    """A signature of r and s one behind the other, as the DER that the library wants."""
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(signature) // 2
    return encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


# -- shared keys -------------------------------------------------------------------------------------------------


def verify_shared_key(row: PrfRow, secret: Secret, octets: bytes, data: bytes) -> Checked:
    """Check an AUTH payload made with a shared key: a PSK, an MSK, or SK_p, RFC 7296 sections 2.15 and 2.16."""
    try:
        expected = shared_key_auth(row, secret, octets)
    except AlgorithmError as error:
        return Checked(None, str(error))
    return verify_octets(expected, data)


def verify_octets(expected: bytes, data: bytes) -> Checked:
    """Compare a MAC or HASH with what it should be, in constant time."""
    right = hmac.compare_digest(expected, data)
    return Checked(right, "as computed" if right else "not as computed")
