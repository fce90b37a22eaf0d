"""A certification authority for captures and tests: keys and certificates that come out the same for the same entropy.

Not for protecting anything: the private keys follow from a seed that is written down.
"""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from math import gcd, lcm
from typing import TYPE_CHECKING

import msgspec

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import IdType
from ipsecscope.peers.config import Identity
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy, Instant
from ipsecscope.peers.trust import moment

if TYPE_CHECKING:
    from cryptography import x509

    from ipsecscope.peers.signatures import PrivateKey

YEAR: Instant = 365 * 86_400 * SECOND
PUBLIC_EXPONENT = 65_537
PRIME_TESTS = 24  # rounds of Miller-Rabin: the chance of a composite is below 2^-48
SMALL_PRIMES = tuple(n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


class KeyKind(StrEnum):
    """What a key is for."""

    RSA = "rsa"
    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    ECDSA_P521 = "ecdsa-p521"
    ED25519 = "ed25519"
    ED448 = "ed448"


class Issued(msgspec.Struct, frozen=True):
    """A private key (PKCS #8) and the certificates from its own to the one below the trust anchor, all DER."""

    private_key: Secret
    certificates: tuple[bytes, ...]


def make_key(kind: KeyKind, entropy: Entropy, *, bits: int = 2048) -> PrivateKey:
    """A private key made of entropy."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519

    if kind == KeyKind.RSA:
        return _rsa(entropy, bits)
    if kind == KeyKind.ED25519:
        return ed25519.Ed25519PrivateKey.from_private_bytes(entropy.octets(32, "Ed25519"))
    if kind == KeyKind.ED448:
        return ed448.Ed448PrivateKey.from_private_bytes(entropy.octets(57, "Ed448"))
    curve = {
        KeyKind.ECDSA_P256: ec.SECP256R1(),
        KeyKind.ECDSA_P384: ec.SECP384R1(),
        KeyKind.ECDSA_P521: ec.SECP521R1(),
    }[kind]
    return ec.derive_private_key(1 + entropy.below(1 << (curve.key_size - 1), "ECDSA"), curve)


def _rsa(entropy: Entropy, bits: int) -> PrivateKey:
    from cryptography.hazmat.primitives.asymmetric import rsa

    p, q = _prime(entropy, bits // 2), _prime(entropy, bits // 2)
    if p < q:
        p, q = q, p
    d = pow(PUBLIC_EXPONENT, -1, lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(PUBLIC_EXPONENT, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def _prime(entropy: Entropy, bits: int) -> int:
    """A prime whose two highest bits are set, and that leaves the public exponent an inverse."""
    while True:
        drawn = int.from_bytes(entropy.octets(bits // 8, "RSA prime"), "big")
        candidate = drawn | 3 << bits - 2 | 1
        is_candidate = all(candidate % small for small in SMALL_PRIMES) and gcd(candidate - 1, PUBLIC_EXPONENT) == 1
        if is_candidate and _is_prime(candidate, entropy):
            return candidate


def _is_prime(number: int, entropy: Entropy) -> bool:
    """Miller-Rabin."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for _ in range(PRIME_TESTS):
        x = pow(2 + entropy.below(number - 4, "Miller-Rabin"), odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True


class Authority:
    """A trust anchor that issues certificates."""

    def __init__(
        self,
        name: str,
        entropy: Entropy,
        *,
        kind: KeyKind = KeyKind.ECDSA_P256,
        not_before: Instant = EPOCH - YEAR,
        not_after: Instant = EPOCH + 10 * YEAR,
    ) -> None:
        self._name = name
        self._entropy = entropy
        self._key = make_key(kind, entropy.fork(f"CA key {name}"))
        self._certificate = self._build(name, self._key, None, (not_before, not_after))

    @property
    def certificate(self) -> bytes:
        """The trust anchor as DER."""
        from cryptography.hazmat.primitives.serialization import Encoding

        return self._certificate.public_bytes(Encoding.DER)

    def issue(
        self,
        identity: Identity,
        kind: KeyKind,
        *,
        not_before: Instant = EPOCH - YEAR,
        not_after: Instant = EPOCH + YEAR,
        bits: int = 2048,
    ) -> Issued:
        """A key with a certificate made out to an identity."""
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = make_key(kind, self._entropy.fork(f"key {identity} {kind}"), bits=bits)
        made = self._build(str(identity), key, identity, (not_before, not_after))
        der = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
        return Issued(Secret(der), (made.public_bytes(Encoding.DER),))

    def _build(
        self, name: str, key: PrivateKey, identity: Identity | None, valid: tuple[Instant, Instant]
    ) -> x509.Certificate:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes
        from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
        from cryptography.x509.oid import NameOID

        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(1 + self._entropy.below(1 << 120, "serial number"))
            .not_valid_before(moment(valid[0]))
            .not_valid_after(moment(valid[1]))
            .add_extension(x509.BasicConstraints(ca=identity is None, path_length=None), critical=True)
        )
        if identity is not None and identity.id_type != IdType.ID_DER_ASN1_DN:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(identity)]), critical=False)
        signer = self._key
        if isinstance(signer, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
            return builder.sign(signer, None)
        if isinstance(signer, ec.EllipticCurvePrivateKey):
            return builder.sign(signer, hashes.SHA256(), ecdsa_deterministic=True)
        return builder.sign(signer, hashes.SHA256())


def _general_name(identity: Identity) -> x509.GeneralName:
    from cryptography import x509

    if identity.id_type == IdType.ID_RFC822_ADDR:
        return x509.RFC822Name(str(identity))
    if identity.id_type in (IdType.ID_IPV4_ADDR, IdType.ID_IPV6_ADDR):
        return x509.IPAddress(ipaddress.ip_address(identity.data))
    return x509.DNSName(str(identity))
