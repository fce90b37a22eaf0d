"""Signatures of AUTH payloads, made and verified (RFC 7296 section 2.15, RFC 4754, RFC 7427, RFC 8420).

Every signature is repeatable: ECDSA by RFC 6979, RSASSA-PSS with a salt that comes from the peer's entropy. The octets
of the other side may be anything: verifying answers yes or no and never raises.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev2.extensions.rfc7427 import DigitalSignature
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, HashAlgorithm
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.config import AuthMethod, SettingError
from ipsecscope.peers.entropy import Entropy

if TYPE_CHECKING:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

    PrivateKey: TypeAlias = (
        rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    )
    PublicKey: TypeAlias = (
        rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey
    )

KEYS_AT_HAND = 8  # private keys that stay loaded
MAX_RSA_BITS = 16_384  # a larger modulus costs too much to verify

_SEQUENCE, _OID, _NULL, _INTEGER = 0x30, 0x06, 0x05, 0x02
_HASH_OIDS = {
    HashAlgorithm.SHA2_256: "2.16.840.1.101.3.4.2.1",
    HashAlgorithm.SHA2_384: "2.16.840.1.101.3.4.2.2",
    HashAlgorithm.SHA2_512: "2.16.840.1.101.3.4.2.3",
}
_RSA_OIDS = {  # RFC 7427 appendix A.1
    HashAlgorithm.SHA1: "1.2.840.113549.1.1.5",
    HashAlgorithm.SHA2_256: "1.2.840.113549.1.1.11",
    HashAlgorithm.SHA2_384: "1.2.840.113549.1.1.12",
    HashAlgorithm.SHA2_512: "1.2.840.113549.1.1.13",
}
_ECDSA_OIDS = {  # RFC 7427 appendix A.3
    HashAlgorithm.SHA1: "1.2.840.10045.4.1",
    HashAlgorithm.SHA2_256: "1.2.840.10045.4.3.2",
    HashAlgorithm.SHA2_384: "1.2.840.10045.4.3.3",
    HashAlgorithm.SHA2_512: "1.2.840.10045.4.3.4",
}
_PSS_OID, _MGF1_OID = "1.2.840.113549.1.1.10", "1.2.840.113549.1.1.8"
_ED25519_OID, _ED448_OID = "1.3.101.112", "1.3.101.113"
_CURVE_METHODS = {  # RFC 4754 section 3: the curve decides about the hash
    "secp256r1": (AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256, HashAlgorithm.SHA2_256),
    "secp384r1": (AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384, HashAlgorithm.SHA2_384),
    "secp521r1": (AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521, HashAlgorithm.SHA2_512),
}


class Proof(msgspec.Struct, frozen=True):
    """What an AUTH payload carries."""

    method: AuthenticationMethod
    data: bytes


@functools.lru_cache(maxsize=KEYS_AT_HAND)
def load_private_key(der: Secret) -> PrivateKey:
    """A private key from PKCS #8. Raises SettingError, which does not quote it.

    An RSA key is proven to be one when it is loaded, which takes a tenth of a second: the latest ones are kept.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import load_der_private_key

    try:
        key = load_der_private_key(der.reveal(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(
        key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey
    ):
        raise SettingError("the private key is no PKCS #8 key of RSA, ECDSA or EdDSA")
    return key


# -- making ------------------------------------------------------------------------------------------------------


def sign(
    key: PrivateKey, method: AuthMethod, octets: bytes, accepted: Sequence[HashAlgorithm], entropy: Entropy
) -> Proof:
    """Prove the possession of a key.

    Args:
        key: the private key.
        method: RSA, ECDSA, SIGNATURE or SIGNATURE_PSS.
        octets: what AUTH covers.
        accepted: the hashes that the other side announced (RFC 7427 section 4).
        entropy: for the salt of RSASSA-PSS.

    Raises:
        SettingError: the key and the method do not fit, or no hash suits both sides.
    """
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

    if method == AuthMethod.RSA and isinstance(key, rsa.RSAPrivateKey):
        data = key.sign(octets, padding.PKCS1v15(), _hash(HashAlgorithm.SHA1))
        return Proof(AuthenticationMethod.RSA_DIGITAL_SIGNATURE, data)
    if method == AuthMethod.ECDSA and isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name in _CURVE_METHODS:
        number, hash_algorithm = _CURVE_METHODS[key.curve.name]
        return Proof(number, _plain(_ecdsa(key, octets, hash_algorithm), key.curve))
    if method not in (AuthMethod.SIGNATURE, AuthMethod.SIGNATURE_PSS):
        raise SettingError(f'authentication "{method}" does not fit the private key')
    identifier, signature = _digital(key, octets, accepted, entropy, pss=method == AuthMethod.SIGNATURE_PSS)
    body = DigitalSignature(algorithm_identifier=identifier, signature=signature)
    return Proof(AuthenticationMethod.DIGITAL_SIGNATURE, body.build())


def _digital(
    key: PrivateKey, octets: bytes, accepted: Sequence[HashAlgorithm], entropy: Entropy, *, pss: bool
) -> tuple[bytes, bytes]:
    """AlgorithmIdentifier and signature of RFC 7427."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        if HashAlgorithm.IDENTITY not in accepted:
            raise SettingError("the other side does not take EdDSA, which needs the Identity hash (RFC 8420)")
        is_25519 = isinstance(key, ed25519.Ed25519PrivateKey)
        return _sequence(_oid(_ED25519_OID if is_25519 else _ED448_OID)), key.sign(octets)
    known = [each for each in _HASH_OIDS if each in accepted]
    if not known:
        raise SettingError("the other side announced no hash algorithm that we sign with")
    if isinstance(key, ec.EllipticCurvePrivateKey):
        wanted = _CURVE_METHODS.get(key.curve.name, (None, HashAlgorithm.SHA2_256))[1]
        chosen = wanted if wanted in known else known[0]
        return _sequence(_oid(_ECDSA_OIDS[chosen])), _ecdsa(key, octets, chosen)
    assert isinstance(key, rsa.RSAPrivateKey)
    chosen = known[0]
    if pss:
        salt = entropy.octets(_hash(chosen).digest_size, "PSS salt")
        return _pss_identifier(chosen, len(salt)), _pss_sign(key, octets, chosen, salt)
    identifier = _sequence(_oid(_RSA_OIDS[chosen]), _der(_NULL, b""))
    return identifier, key.sign(octets, padding.PKCS1v15(), _hash(chosen))


def _ecdsa(key: ec.EllipticCurvePrivateKey, octets: bytes, hash_algorithm: HashAlgorithm) -> bytes:
    from cryptography.hazmat.primitives.asymmetric import ec

    return key.sign(octets, ec.ECDSA(_hash(hash_algorithm), deterministic_signing=True))


def _plain(signature: bytes, curve: ec.EllipticCurve) -> bytes:
    """The numbers r and s, each as long as the order (RFC 4754 section 7)."""
    from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

    size = (curve.key_size + 7) // 8
    r, s = decode_dss_signature(signature)
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def _pss_sign(key: rsa.RSAPrivateKey, octets: bytes, hash_algorithm: HashAlgorithm, salt: bytes) -> bytes:
    """RSASSA-PSS with a given salt (RFC 8017 sections 8.1.1 and 9.1.1), which the library does not offer."""
    numbers = key.private_numbers()
    modulus = numbers.public_numbers.n
    name = _hash(hash_algorithm).name
    bits = modulus.bit_length() - 1
    size = (bits + 7) // 8
    digest = hashlib.new(name, bytes(8) + hashlib.new(name, octets).digest() + salt).digest()
    block = bytes(size - len(salt) - len(digest) - 2) + b"\1" + salt
    mask = _mgf1(name, digest, len(block))
    masked = int.from_bytes(block, "big") ^ int.from_bytes(mask, "big")
    masked &= (1 << (bits - 8 * (len(digest) + 1))) - 1
    encoded = masked.to_bytes(len(block), "big") + digest + b"\xbc"
    return rsa_raw(numbers, encoded)


def rsa_raw(numbers: rsa.RSAPrivateNumbers, block: bytes) -> bytes:
    """RSASP1 by the Chinese remainder theorem, RFC 8017 section 5.2.1: a third of the time of one long power."""
    message, modulus = int.from_bytes(block, "big"), numbers.public_numbers.n
    first, second = pow(message, numbers.dmp1, numbers.p), pow(message, numbers.dmq1, numbers.q)
    signature = second + numbers.q * (numbers.iqmp * (first - second) % numbers.p)
    return signature.to_bytes((modulus.bit_length() + 7) // 8, "big")


def _mgf1(name: str, seed: bytes, size: int) -> bytes:
    """MGF1, RFC 8017 appendix B.2.1."""
    stream = bytearray()
    counter = 0
    while len(stream) < size:
        stream += hashlib.new(name, seed + counter.to_bytes(4, "big")).digest()
        counter += 1
    return bytes(stream[:size])


# -- verifying ---------------------------------------------------------------------------------------------------


def verify(key: object, proof: Proof, octets: bytes) -> bool:
    """Whether a proof is the key's signature over ``octets``."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        _verify(key, proof, octets)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError, WireError):
        return False
    return True


def _verify(key: object, proof: Proof, octets: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    if isinstance(key, rsa.RSAPublicKey) and key.key_size > MAX_RSA_BITS:
        raise ValueError("the modulus is too large")
    if proof.method == AuthenticationMethod.DIGITAL_SIGNATURE:
        _verify_digital(key, DigitalSignature.parse(proof.data), octets)
    elif proof.method == AuthenticationMethod.RSA_DIGITAL_SIGNATURE and isinstance(key, rsa.RSAPublicKey):
        key.verify(proof.data, octets, padding.PKCS1v15(), _hash(HashAlgorithm.SHA1))
    elif isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVE_METHODS:
        method, hash_algorithm = _CURVE_METHODS[key.curve.name]
        half = (key.curve.key_size + 7) // 8
        if proof.method != method or len(proof.data) != 2 * half:
            raise ValueError("another method")
        numbers = (int.from_bytes(proof.data[:half], "big"), int.from_bytes(proof.data[half:], "big"))
        key.verify(encode_dss_signature(*numbers), octets, ec.ECDSA(_hash(hash_algorithm)))
    else:
        raise ValueError("the method does not fit the key")


def _verify_digital(key: object, body: DigitalSignature, octets: bytes) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa

    identifier, signature = body.algorithm_identifier, body.signature
    if isinstance(key, ed25519.Ed25519PublicKey | ed448.Ed448PublicKey):
        number = _ED25519_OID if isinstance(key, ed25519.Ed25519PublicKey) else _ED448_OID
        if identifier != _sequence(_oid(number)):
            raise ValueError("another algorithm than the key's")
        key.verify(signature, octets)
        return
    for each in _HASH_OIDS:
        chosen = _hash(each)
        if isinstance(key, ec.EllipticCurvePublicKey) and identifier == _sequence(_oid(_ECDSA_OIDS[each])):
            key.verify(signature, octets, ec.ECDSA(chosen))
            return
        if isinstance(key, rsa.RSAPublicKey):
            plain = _sequence(_oid(_RSA_OIDS[each]), _der(_NULL, b""))
            if identifier == plain:
                key.verify(signature, octets, padding.PKCS1v15(), chosen)
                return
            if identifier == _pss_identifier(each, chosen.digest_size):
                pss = padding.PSS(padding.MGF1(chosen), chosen.digest_size)
                key.verify(signature, octets, pss, chosen)
                return
    raise ValueError("an algorithm that we do not verify")


# -- DER ---------------------------------------------------------------------------------------------------------


def _hash(algorithm: HashAlgorithm) -> hashes.HashAlgorithm:
    from cryptography.hazmat.primitives import hashes

    table: dict[HashAlgorithm, type[hashes.HashAlgorithm]] = {
        HashAlgorithm.SHA1: hashes.SHA1,
        HashAlgorithm.SHA2_256: hashes.SHA256,
        HashAlgorithm.SHA2_384: hashes.SHA384,
        HashAlgorithm.SHA2_512: hashes.SHA512,
    }
    return table[algorithm]()


def _der(tag: int, content: bytes) -> bytes:
    """One DER element of fewer than 128 octets."""
    return bytes((tag, len(content))) + content


def _sequence(*parts: bytes) -> bytes:
    return _der(_SEQUENCE, b"".join(parts))


def _oid(dotted: str) -> bytes:
    first, second, *rest = (int(part) for part in dotted.split("."))
    octets = bytearray()
    for number in (40 * first + second, *rest):
        group = [number & 0x7F]
        while number := number >> 7:
            group.append(number & 0x7F | 0x80)
        octets += bytes(reversed(group))
    return _der(_OID, bytes(octets))


def _pss_identifier(algorithm: HashAlgorithm, salt_size: int) -> bytes:
    """RSASSA-PSS with its parameters (RFC 7427 appendix A.4, RFC 4055 section 3.1)."""
    digest = _sequence(_oid(_HASH_OIDS[algorithm]), _der(_NULL, b""))
    mask = _sequence(_oid(_MGF1_OID), digest)
    salt = _der(_INTEGER, bytes((salt_size,)))
    return _sequence(_oid(_PSS_OID), _sequence(_der(0xA0, digest), _der(0xA1, mask), _der(0xA2, salt)))
