"""RFC 9593: Announcing Supported Authentication Methods in IKEv2."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.certificates import describe_algorithm
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, NotifyType
from ipsecscope.dissect.wire import REST, U8, Array, Length, Reader, Struct

_SHORT, _LINKED = 2, 3  # octets of an announcement without and with a link to a CA


class MethodAnnouncement(Struct, rfc="9593 3.2.1"):
    """A method that needs nothing said about it."""

    length: Annotated[int | None, U8, Length()] = None
    method: Annotated[AuthenticationMethod, U8]

    def summary(self) -> str:
        """The method."""
        return str(self.method)


class LinkedAnnouncement(Struct, rfc="9593 3.2.2"):
    """A method for certificates of one CA: ``certificate_link`` counts the hashes in CERTREQ; 0 means any."""

    length: Annotated[int | None, U8, Length()] = None
    method: Annotated[AuthenticationMethod, U8]
    certificate_link: Annotated[int, U8]

    def summary(self) -> str:
        """The method and the link."""
        return f"{self.method} for CA {self.certificate_link}"


class SignatureAnnouncement(Struct, rfc="9593 3.2.3"):
    """Digital Signature with one algorithm, as a DER AlgorithmIdentifier."""

    length: Annotated[int | None, U8, Length()] = None
    method: Annotated[AuthenticationMethod, U8]
    certificate_link: Annotated[int, U8]
    algorithm_identifier: Annotated[bytes, REST]

    def summary(self) -> str:
        """The method and the algorithm."""
        return f"{self.method} {describe_algorithm(self.algorithm_identifier)}"


def announcement_length(reader: Reader) -> int:
    """The length that the announcement at the cursor claims."""
    return reader.data[reader.pos]


class SupportedAuthMethods(NotifyData, of=NotifyType.SUPPORTED_AUTH_METHODS, rfc="9593 3.2"):
    """How the sender can verify its peer."""

    announcements: Annotated[
        tuple[MethodAnnouncement | LinkedAnnouncement | SignatureAnnouncement, ...],
        Array(SignatureAnnouncement, announcement_length, {_SHORT: MethodAnnouncement, _LINKED: LinkedAnnouncement}),
    ]

    def summary(self) -> str:
        """The methods."""
        return ", ".join(item.summary() for item in self.announcements)
