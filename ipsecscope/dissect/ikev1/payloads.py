"""ISAKMP payload bodies that stand by themselves: KE, CERT, CR, HASH, SIG, NONCE, VID, NAT-D, NAT-OA, fragments.

SA, ID, N and D, mode configuration and GDOI have a module each.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.certificates import describe_certificate, describe_name
from ipsecscope.dissect.ikev1.attributes import show_octets
from ipsecscope.dissect.registry import ipsec_doi, isakmp, vendor_ids
from ipsecscope.dissect.wire import REST, U8, U16

NAT_OA_SIZES = {4, 16}
LAST_FRAGMENT = 0x01


class KeyExchange(Ikev1Body, of=isakmp.PayloadType.KE, rfc="2408 3.7"):
    """Key Exchange payload: the public Diffie-Hellman value; the group is the one that the SA payload names."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"


class Certificate(Ikev1Body, of=isakmp.PayloadType.CERT, rfc="2408 3.9"):
    """Certificate payload. Nothing is ever fetched or trusted."""

    encoding: Annotated[isakmp.CertificateEncoding, U8]
    data: Annotated[bytes, REST] = b""

    @property
    def is_x509(self) -> bool:
        """Whether the octets are one X.509 certificate."""
        return self.encoding in (
            isakmp.CertificateEncoding.X_509_CERTIFICATE_SIGNATURE,
            isakmp.CertificateEncoding.X_509_CERTIFICATE_KEY_EXCHANGE,
        )

    def summary(self) -> str:
        """The subject of a certificate, the encoding otherwise."""
        if self.is_x509:
            facts = describe_certificate(self.data)
            return facts if isinstance(facts, str) else facts.subject
        return f"{self.encoding} {len(self.data)} octets"


class CertificateRequest(Ikev1Body, of=isakmp.PayloadType.CR, rfc="2408 3.10"):
    """Certificate Request payload: a type and the DER name of an acceptable authority (empty: any)."""

    encoding: Annotated[isakmp.CertificateEncoding, U8]
    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The authority."""
        if not self.data:
            return f"{self.encoding} any authority"
        return f"{self.encoding} {describe_name(self.data) or show_octets(self.data)}"


class Hash(Ikev1Body, of=isakmp.PayloadType.HASH, rfc="2408 3.11"):
    """Hash payload."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The octets."""
        return show_octets(self.data)


class Signature(Ikev1Body, of=isakmp.PayloadType.SIG, rfc="2408 3.12"):
    """Signature payload."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"


class Nonce(Ikev1Body, of=isakmp.PayloadType.NONCE, rfc="2408 3.13"):
    """Nonce payload: 8 to 256 octets (RFC 2409 section 5)."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"


class VendorId(Ikev1Body, of=isakmp.PayloadType.VID, rfc="2408 3.16"):
    """Vendor ID payload: octets that one vendor chose to be known by."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The vendor or extension where it is known, else the octets."""
        known = vendor_ids.identify(self.data)
        return show_octets(self.data) if known is None else str(known.name)


class NatDetection(
    Ikev1Body,
    of=(isakmp.PayloadType.NAT_D, isakmp.PayloadType.NAT_D_DRAFT),
    rfc="3947 3.2",
):
    """NAT-D payload: a hash over cookies, address and port; of the remote end first, then of the sender's own."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The hash."""
        return show_octets(self.data)


class NatOriginalAddress(
    Ikev1Body,
    of=(isakmp.PayloadType.NAT_OA, isakmp.PayloadType.NAT_OA_DRAFT),
    rfc="3947 5.2",
):
    """NAT-OA payload: the address of a host in transport mode before it was translated."""

    id_type: Annotated[ipsec_doi.IdType, U8]
    reserved: Annotated[int, U8] = 0
    reserved2: Annotated[int, U16] = 0
    data: Annotated[bytes, REST]

    @property
    def address(self) -> str | None:
        """The address; None when the octets are none."""
        return str(ipaddress.ip_address(self.data)) if len(self.data) in NAT_OA_SIZES else None

    def summary(self) -> str:
        """The address."""
        return self.address or f"{self.id_type} {show_octets(self.data)}"


class Fragment(Ikev1Body, of=isakmp.PayloadType.FRAGMENT):
    """A fragment of an IKE message (Cisco and Microsoft, announced by Vendor ID): the only payload of its message.

    ``fragment_id`` is the same in all fragments of a message, ``number`` counts from 1.
    """

    fragment_id: Annotated[int, U16]
    number: Annotated[int, U8]
    flags: Annotated[int, U8] = 0
    data: Annotated[bytes, REST] = b""

    @property
    def is_last(self) -> bool:
        """Whether no fragment of a higher number follows."""
        return bool(self.flags & LAST_FRAGMENT)

    def summary(self) -> str:
        """Number and size."""
        return f"fragment {self.number}{' (last)' if self.is_last else ''}, {len(self.data)} octets"
