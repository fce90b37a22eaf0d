"""IKEv2 payload bodies that stand by themselves: KE, CERT, CERTREQ, AUTH, Ni/Nr, D, V, SK, EAP (RFC 7296 section 3).

SA, IDi/IDr, N, TSi/TSr and CP have a module each; payloads of later RFCs live in ``extensions``. Nothing here knows
keys: an Encrypted payload is a string of octets to this module.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from ipsecscope.dissect import eap
from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.certificates import describe_certificate, describe_public_key
from ipsecscope.dissect.ikev2.codecs import Chunks
from ipsecscope.dissect.registry import vendor_ids
from ipsecscope.dissect.registry.eap import EapCode, EapType
from ipsecscope.dissect.registry.ikev2 import (
    AuthenticationMethod,
    CertificateEncoding,
    KeyExchangeMethod,
    PayloadType,
    SecurityProtocol,
)
from ipsecscope.dissect.wire import REST, U8, U16, U24, Bytes, CountOf, SizeOf, Struct

SHA1_SIZE = 20
DELETE_SPI_SIZE = 4  # ESP and AH; an IKE SA is deleted without SPI (RFC 7296 3.11)


class KeyExchange(Ikev2Body, of=PayloadType.KE, rfc="7296 3.4"):
    """Key Exchange payload. ``method`` is the Diffie-Hellman Group Num of RFC 7296, renamed by RFC 9370."""

    method: Annotated[KeyExchangeMethod, U16]
    reserved: Annotated[int, U16] = 0
    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """Such as ``CURVE25519 32 octets``."""
        return f"{self.method} {len(self.data)} octets"


class CertificateData(Struct):
    """Root of the structures inside a CERT payload; ``registry`` maps certificate encodings to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class Certificate(Ikev2Body, of=PayloadType.CERT, rfc="7296 3.6"):
    """Certificate payload. Only encoding 4 is an X.509 certificate; nothing is ever fetched or trusted."""

    encoding: Annotated[CertificateEncoding, U8]
    data: Annotated[bytes, REST]

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the encoding, where it has one that is not ASN.1."""
        found = CertificateData.registry.get(self.encoding)
        return None if found is None else ("data", found)

    def summary(self) -> str:
        """The subject of a certificate, the kind of a key, the encoding otherwise."""
        if self.encoding == CertificateEncoding.X_509_CERTIFICATE_SIGNATURE:
            facts = describe_certificate(self.data)
            return facts if isinstance(facts, str) else facts.subject
        if self.encoding == CertificateEncoding.RAW_PUBLIC_KEY:
            return f"{self.encoding} {describe_public_key(self.data)}"
        content = self.content()
        return f"{self.encoding} {len(self.data)} octets" if content is None else content.summary()


class HashAndUrl(
    CertificateData,
    of=(CertificateEncoding.HASH_AND_URL_OF_X_509_CERTIFICATE, CertificateEncoding.HASH_AND_URL_OF_X_509_BUNDLE),
    rfc="7296 3.6",
):
    """Where a certificate or a bundle could be fetched; it never is."""

    hash: Annotated[bytes, Bytes(SHA1_SIZE)]
    url: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The URL as text."""
        return self.url.decode("ascii", "backslashreplace")


class CertificateRequest(Ikev2Body, of=PayloadType.CERTREQ, rfc="7296 3.7"):
    """Certificate Request payload."""

    encoding: Annotated[CertificateEncoding, U8]
    data: Annotated[bytes, REST] = b""

    @property
    def authorities(self) -> tuple[bytes, ...]:
        """The SHA-1 hashes of the trust anchors' SubjectPublicKeyInfo; empty when the octets are no list of them."""
        if len(self.data) % SHA1_SIZE:
            return ()
        return tuple(self.data[at : at + SHA1_SIZE] for at in range(0, len(self.data), SHA1_SIZE))

    def summary(self) -> str:
        """Encoding and number of authorities."""
        return f"{self.encoding} {len(self.authorities)} authorities"


class AuthenticationData(Struct):
    """Root of the structures inside an AUTH payload; ``registry`` maps authentication methods to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class Authentication(Ikev2Body, of=PayloadType.AUTH, rfc="7296 3.8"):
    """Authentication payload: how the sender proves its identity, and the proof."""

    method: Annotated[AuthenticationMethod, U8]
    reserved: Annotated[int, U24] = 0
    data: Annotated[bytes, REST]

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the authentication data, where the method gives it one (RFC 7427)."""
        found = AuthenticationData.registry.get(self.method)
        return None if found is None else ("data", found)

    def summary(self) -> str:
        """The method, and the signature algorithm where the data names it."""
        content = self.content()
        return str(self.method) if content is None else f"{self.method} {content.summary()}"


class Nonce(Ikev2Body, of=PayloadType.NONCE, rfc="7296 3.9"):
    """Nonce payload: 16 to 256 octets, and at least half the key size of the negotiated PRF (section 2.10)."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"


class Delete(Ikev2Body, of=PayloadType.D, rfc="7296 3.11"):
    """Delete payload: the SAs the sender has removed. An IKE SA is meant without SPI."""

    protocol_id: Annotated[SecurityProtocol, U8]
    spi_size: Annotated[int, U8] = 0
    count: Annotated[int | None, U16, CountOf("spis")] = None
    spis: Annotated[tuple[bytes, ...], Chunks("spi_size")] = ()

    def summary(self) -> str:
        """Such as ``ESP c1234567``."""
        return " ".join([str(self.protocol_id), *(spi.hex() for spi in self.spis)])


class VendorId(Ikev2Body, of=PayloadType.V, rfc="7296 3.12"):
    """Vendor ID payload: octets that one vendor chose to be known by."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The vendor or extension where it is known, else the octets."""
        known = vendor_ids.identify(self.data)
        return self.data.hex() if known is None else str(known.name)


class Encrypted(Ikev2Body, of=PayloadType.SK, rfc="7296 3.14"):
    """Encrypted and Authenticated payload: initialization vector, ciphertext and integrity checksum, all opaque."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"


class Eap(Ikev2Body, of=PayloadType.EAP, rfc="7296 3.16"):
    """Extensible Authentication payload: one EAP message (RFC 3748 section 4). ``data`` begins with the EAP type."""

    code: Annotated[EapCode, U8]
    identifier: Annotated[int, U8]
    length: Annotated[int | None, U16, SizeOf("data", 4)] = None
    data: Annotated[bytes, REST] = b""

    @property
    def eap_type(self) -> EapType | None:
        """The type of a request or response; None for success and failure."""
        has_type = self.code in (EapCode.REQUEST, EapCode.RESPONSE) and self.data
        return EapType(self.data[0]) if has_type else None

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the EAP type, when the lengths agree."""
        if self.eap_type is None or self.length is not None:
            return None
        found = eap.data_class(self.data)
        return None if found is None else ("data", found)

    def summary(self) -> str:
        """Such as ``Request Identity`` or ``Success``."""
        kind = self.eap_type
        if kind is None:
            return str(self.code)
        content = self.content()
        detail = "" if content is None else content.summary()
        return f"{self.code} {kind} {detail}".rstrip()
