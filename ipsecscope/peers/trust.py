"""Certificates of the other side: a chain to a trust anchor, valid today, made out to the identity that it claims.

The octets come from the network. They are read by the dissector first, which bounds nesting and size; every fault is a
sentence and never an exception.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ipsecscope.dissect.certificates import describe_certificate
from ipsecscope.dissect.registry.ikev2 import IdType
from ipsecscope.peers.config import Identity
from ipsecscope.peers.entropy import Instant

if TYPE_CHECKING:
    from cryptography import x509

MAX_CHAIN = 8  # certificates from the peer's own to the trust anchor

_UNIX = datetime(1970, 1, 1, tzinfo=UTC)


def moment(instant: Instant) -> datetime:
    """An instant as a date."""
    return _UNIX + timedelta(microseconds=instant // 1_000)


def authority_hash(certificate: bytes) -> bytes:
    """The SHA-1 of a trust anchor's SubjectPublicKeyInfo, as CERTREQ carries it; empty when it cannot be read."""
    facts = describe_certificate(certificate)
    return b"" if isinstance(facts, str) else bytes.fromhex(facts.key_id)


def trusted_key(
    chain: Sequence[bytes], authorities: Iterable[bytes], identity: Identity, now: Instant
) -> tuple[object | None, str]:
    """The public key of the first certificate, or None with the reason why it is not to be trusted."""
    if not chain:
        return None, "no certificate was sent"
    certificates = [load_certificate(der) for der in chain[:MAX_CHAIN]]
    readable = [each for each in certificates if each is not None]
    if certificates[0] is None:
        return None, "the certificate cannot be read"
    anchors = [each for each in map(load_certificate, authorities) if each is not None]
    reason = _untrusted(readable[0], readable[1:], anchors, now)
    if reason:
        return None, reason
    if not _is_made_out_to(readable[0], identity):
        return None, "the certificate is not made out to the identity"
    return readable[0].public_key(), ""


def load_certificate(der: bytes) -> x509.Certificate | None:
    """A certificate; None for octets that are none."""
    from cryptography import x509

    if isinstance(describe_certificate(der), str):
        return None
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def _untrusted(
    leaf: x509.Certificate, others: list[x509.Certificate], anchors: list[x509.Certificate], now: Instant
) -> str:
    """Why a chain does not end in a trust anchor; empty when it does."""
    current = leaf
    for _ in range(MAX_CHAIN):
        when = moment(now)
        if when < current.not_valid_before_utc:
            return "a certificate is not valid yet"
        if when > current.not_valid_after_utc:
            return "a certificate has expired"
        if any(_is_issued_by(current, anchor) for anchor in anchors):
            return ""
        issuer = next((each for each in others if each is not current and _is_issued_by(current, each)), None)
        if issuer is None:
            return "no trust anchor issued the certificate"
        current = issuer
    return "the chain of certificates is too long"


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _is_made_out_to(certificate: x509.Certificate, identity: Identity) -> bool:
    """Whether the subject or a subject alternative name is the identity (RFC 4945 section 3.1)."""
    from cryptography import x509

    if identity.id_type == IdType.ID_DER_ASN1_DN:
        return certificate.subject.public_bytes() == identity.data
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError, x509.DuplicateExtension):
        return False
    wanted = str(identity)
    if identity.id_type == IdType.ID_FQDN:
        return wanted in names.get_values_for_type(x509.DNSName)
    if identity.id_type == IdType.ID_RFC822_ADDR:
        return wanted in names.get_values_for_type(x509.RFC822Name)
    return wanted in [str(address) for address in names.get_values_for_type(x509.IPAddress)]


def fingerprint(certificate: bytes) -> str:
    """The SHA-256 of a certificate in hex, as a name for it in messages."""
    return hashlib.sha256(certificate).hexdigest()
