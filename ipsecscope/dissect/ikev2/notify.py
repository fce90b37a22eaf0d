"""The Notify payload and the data of the notifications of RFC 7296 (section 3.10).

Notification data has a structure of its own for many types: each is one ``NotifyData`` class in its RFC's file. Types
that carry no data are registered with ``NoData``, so that data where none belongs can be told apart from data that
nobody described.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.identification import key_id_text
from ipsecscope.dissect.ikev2.proposals import LongAttribute, ShortAttribute, format_bit
from ipsecscope.dissect.registry.ikev2 import (
    IpcompTransform,
    KeyExchangeMethod,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from ipsecscope.dissect.wire import REST, U8, U16, U32, Array, Bytes, Sized, SizeOf, Struct

SUMMARY_OCTETS = 32  # octets shown of data without a structure


class NotifyData(Struct):
    """Root of the structures of notification data; ``registry`` maps notify types to classes."""

    registry: ClassVar[dict[int, Any]] = {}

    @classmethod
    def variant(cls, data: bytes) -> type[NotifyData]:
        """The class for these octets, for types whose layout depends on them (an address of either family)."""
        del data
        return cls


class Notify(Ikev2Body, of=PayloadType.N, rfc="7296 3.10"):
    """Notify payload: an error or a status, for one SA (``spi``) or for the exchange."""

    protocol_id: Annotated[SecurityProtocol, U8] = SecurityProtocol.NONE
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    notify_type: Annotated[NotifyType, U16]
    spi: Annotated[bytes, Sized("spi_size")] = b""
    data: Annotated[bytes, REST] = b""

    @property
    def is_error(self) -> bool:
        """Whether the type is in the range of errors."""
        return self.notify_type.is_error

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of this type's data, when there is data."""
        found = NotifyData.registry.get(self.notify_type)
        return None if found is None or not self.data else ("data", found.variant(self.data))

    def summary(self) -> str:
        """The type, the SPI if there is one, and what the data says."""
        parts = [str(self.notify_type)]
        if self.spi:
            parts.append(f"{self.protocol_id} {self.spi.hex()}")
        content = self.content()
        if content is not None:
            parts.append(content.summary())
        elif self.data:
            parts.append(octets_text(self.data))
        return " ".join(part for part in parts if part)


def octets_text(data: bytes) -> str:
    """Octets without a structure, shortened: their text when all of them print, else hex."""
    more = "…" if len(data) > SUMMARY_OCTETS else ""
    return key_id_text(data[:SUMMARY_OCTETS]) + more


class NoData(
    NotifyData,
    of=(
        NotifyType.INVALID_IKE_SPI,
        NotifyType.NO_PROPOSAL_CHOSEN,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.SINGLE_PAIR_REQUIRED,
        NotifyType.NO_ADDITIONAL_SAS,
        NotifyType.INTERNAL_ADDRESS_FAILURE,
        NotifyType.FAILED_CP_REQUIRED,
        NotifyType.TS_UNACCEPTABLE,
        NotifyType.TEMPORARY_FAILURE,
        NotifyType.CHILD_SA_NOT_FOUND,
        NotifyType.INITIAL_CONTACT,
        NotifyType.ADDITIONAL_TS_POSSIBLE,
        NotifyType.USE_TRANSPORT_MODE,
        NotifyType.HTTP_CERT_LOOKUP_SUPPORTED,
        NotifyType.REKEY_SA,
        NotifyType.ESP_TFC_PADDING_NOT_SUPPORTED,
        NotifyType.NON_FIRST_FRAGMENTS_ALSO,
    ),
    rfc="7296 3.10.1",
):
    """The data of a notification that has none."""


class UnsupportedCriticalPayload(NotifyData, of=NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, rfc="7296 2.5"):
    """The type of the payload that was critical and not understood."""

    payload_type: Annotated[PayloadType, U8]

    def summary(self) -> str:
        """The payload."""
        return str(self.payload_type)


class InvalidMajorVersion(NotifyData, of=NotifyType.INVALID_MAJOR_VERSION, rfc="7296 2.5"):
    """The highest version the sender supports; RFC 7296 puts it into the header, some senders repeat it here."""

    version: Annotated[int, U8]

    def summary(self) -> str:
        """Such as ``2.0``."""
        return f"{self.version >> 4}.{self.version & 0x0F}" if self.version > 0x0F else str(self.version)


class InvalidSyntax(NotifyData, of=NotifyType.INVALID_SYNTAX, rfc="7296 3.10.1"):
    """RFC 7296 gives it no data; what a sender adds is a remark of its own."""

    remark: Annotated[bytes, REST]

    def summary(self) -> str:
        """The remark."""
        return octets_text(self.remark)


class InvalidMessageId(NotifyData, of=NotifyType.INVALID_MESSAGE_ID, rfc="7296 2.3"):
    """The Message ID that was outside the window."""

    message_id: Annotated[int, U32]

    def summary(self) -> str:
        """The Message ID."""
        return str(self.message_id)


class InvalidSpi(NotifyData, of=NotifyType.INVALID_SPI, rfc="7296 1.5"):
    """The SPI of the ESP or AH packet that nobody knew."""

    invalid_spi: Annotated[bytes, REST]

    def summary(self) -> str:
        """The SPI."""
        return self.invalid_spi.hex()


class InvalidKePayload(NotifyData, of=NotifyType.INVALID_KE_PAYLOAD, rfc="7296 1.2"):
    """The key exchange method that the responder wants instead."""

    method: Annotated[KeyExchangeMethod, U16]

    def summary(self) -> str:
        """The method."""
        return str(self.method)


class InvalidSelectors(NotifyData, of=NotifyType.INVALID_SELECTORS, rfc="7296 3.10.1"):
    """The start of the packet that did not match the selectors of the SA it came through."""

    packet: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.packet)} octets of the packet"


class SetWindowSize(NotifyData, of=NotifyType.SET_WINDOW_SIZE, rfc="7296 2.3"):
    """How many requests the sender can hold open at once."""

    window_size: Annotated[int, U32]

    def summary(self) -> str:
        """The number of requests."""
        return str(self.window_size)


class IpcompSupported(NotifyData, of=NotifyType.IPCOMP_SUPPORTED, rfc="7296 2.22"):
    """The compression the sender can undo and the CPI to mark it with."""

    cpi: Annotated[int, U16]
    transform_id: Annotated[IpcompTransform, U8]
    attributes: Annotated[
        tuple[ShortAttribute | LongAttribute, ...], Array(LongAttribute, format_bit, {1: ShortAttribute})
    ] = ()

    def summary(self) -> str:
        """Such as ``IPCOMP_DEFLATE cpi 4660``."""
        return f"{self.transform_id} cpi {self.cpi}"


class NatDetection(NotifyData, rfc="7296 2.23"):
    """SHA-1 over SPIs, address and port as the sender saw them."""

    hash: Annotated[bytes, Bytes(20)]

    def summary(self) -> str:
        """The hash, shortened."""
        return f"{self.hash.hex()[:16]}…"


class NatDetectionSourceIp(NatDetection, of=NotifyType.NAT_DETECTION_SOURCE_IP, rfc="7296 2.23"):
    """The hash over the sender's own address and port."""


class NatDetectionDestinationIp(NatDetection, of=NotifyType.NAT_DETECTION_DESTINATION_IP, rfc="7296 2.23"):
    """The hash over the address and port the sender sent to."""


class Cookie(NotifyData, of=NotifyType.COOKIE, rfc="7296 2.6"):
    """1 to 64 octets that the initiator must repeat in front of its request."""

    cookie: Annotated[bytes, REST]

    def summary(self) -> str:
        """The cookie, shortened."""
        return octets_text(self.cookie) if len(self.cookie) <= SUMMARY_OCTETS else f"{len(self.cookie)} octets"
