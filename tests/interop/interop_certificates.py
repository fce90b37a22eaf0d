"""Test certificates for both ends, in the folders that swanctl reads and in one for our peer."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)

from ipsecscope.peers.authority import YEAR, Authority, KeyKind
from ipsecscope.peers.config import Identity
from ipsecscope.peers.entropy import Entropy, SystemClock

KINDS = (KeyKind.RSA, KeyKind.ECDSA_P256, KeyKind.ECDSA_P384, KeyKind.ECDSA_P521, KeyKind.ED25519)


def issue(charon: Path, ours: Path) -> None:
    """One authority, and a certificate for each end and each kind of key, valid today."""
    now = SystemClock().now()
    valid = {"not_before": now - YEAR, "not_after": now + YEAR}
    authority = Authority("Interop test authority", Entropy.system(), **valid)
    anchor = _pem(authority.certificate)
    (charon / "x509ca" / "authority.pem").write_bytes(anchor)
    ours.mkdir()
    (ours / "authority.pem").write_bytes(anchor)
    for end, certificates, keys in (("theirs", charon / "x509", charon / "private"), ("ours", ours, ours)):
        for kind in KINDS:
            issued = authority.issue(Identity.parse(f"{end}.example"), kind, **valid)
            (certificates / f"{end}-{kind}.pem").write_bytes(_pem(issued.certificates[0]))
            key = load_der_private_key(issued.private_key.reveal(), None)
            pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (keys / f"{end}-{kind}.key").write_bytes(pem)


def _pem(der: bytes) -> bytes:
    return x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
