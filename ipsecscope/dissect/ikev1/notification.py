"""Notification and Delete payloads, RFC 2408 sections 3.14 and 3.15; the data of the notify types that have any.

Both begin with a DOI of four octets: the protocol, the SPI and the type stand behind it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Final

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.ikev1.attributes import Attribute, Lifetime, attributes_of, show_octets
from ipsecscope.dissect.ikev1.transforms import PhaseTwoLong, PhaseTwoShort, read_lifetimes
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.wire import REST, U8, U16, U32, Bytes, Codec, CountOf, Field, Reader, Sized, SizeOf, Struct

MAX_SPIS: Final = 4096  # SPIs in one Delete payload; what is behind them is kept as octets
ISAKMP_SPI_SIZE: Final = 16  # both cookies
SHOWN_TEXT: Final = 64  # octets of text in a summary
SHOWN_SPIS: Final = 4  # SPIs in a summary


class NotificationData(Struct):
    """Root of the structures inside a Notification payload; ``registry`` maps notify types to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class ResponderLifetime(NotificationData, of=isakmp.NotifyType.RESPONDER_LIFETIME, rfc="2407 4.6.3.1"):
    """RESPONDER-LIFETIME: the lifetime that the responder chose, as attributes of phase 2."""

    attributes: Annotated[tuple[Attribute, ...], attributes_of(PhaseTwoShort, PhaseTwoLong)] = ()

    @property
    def lifetimes(self) -> tuple[Lifetime, ...]:
        """Every life type with its duration."""
        return read_lifetimes(
            self.attributes, ipsec_doi.PhaseTwoAttribute.SA_LIFE_TYPE, ipsec_doi.PhaseTwoAttribute.SA_LIFE_DURATION
        )

    def summary(self) -> str:
        """The lifetimes."""
        return ", ".join(str(lifetime) for lifetime in self.lifetimes)


class ReplayStatus(NotificationData, of=isakmp.NotifyType.REPLAY_STATUS, rfc="2407 4.6.3.2"):
    """REPLAY-STATUS: 1 when the responder checks for replay, 0 when it does not."""

    status: Annotated[int, U32]

    def summary(self) -> str:
        """Whether replay is detected."""
        return {0: "anti-replay disabled", 1: "anti-replay enabled"}.get(self.status, str(self.status))


class DeadPeerDetection(
    NotificationData, of=(isakmp.NotifyType.R_U_THERE, isakmp.NotifyType.R_U_THERE_ACK), rfc="3706 5.3"
):
    """R-U-THERE and R-U-THERE-ACK: a sequence number that the answer repeats."""

    sequence: Annotated[int, U32]

    def summary(self) -> str:
        """The sequence number."""
        return f"sequence {self.sequence}"


class LoadBalance(NotificationData, of=isakmp.NotifyType.UNITY_LOAD_BALANCE):
    """Cisco Unity: the gateway that the client should go to."""

    address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class OffendingOctet(
    NotificationData,
    of=(
        isakmp.NotifyType.INVALID_PAYLOAD_TYPE,
        isakmp.NotifyType.INVALID_MAJOR_VERSION,
        isakmp.NotifyType.INVALID_MINOR_VERSION,
        isakmp.NotifyType.INVALID_EXCHANGE_TYPE,
        isakmp.NotifyType.INVALID_FLAGS,
        isakmp.NotifyType.INVALID_PROTOCOL_ID,
        isakmp.NotifyType.INVALID_TRANSFORM_ID,
    ),
    rfc="2408 3.14",
):
    """The octet that the sender objects to, by the custom of implementations."""

    value: Annotated[int, U8]

    def summary(self) -> str:
        """The number."""
        return str(self.value)


class OffendingNumber(
    NotificationData, of=(isakmp.NotifyType.DOI_NOT_SUPPORTED, isakmp.NotifyType.INVALID_MESSAGE_ID), rfc="2408 3.14"
):
    """The number that the sender objects to, by the custom of implementations."""

    value: Annotated[int, U32]

    def summary(self) -> str:
        """The number in hexadecimal, as message IDs are written."""
        return f"{self.value:#010x}"


class Notification(Ikev1Body, of=isakmp.PayloadType.N, rfc="2408 3.14"):
    """Notification payload: an error or a status, of the protocol and SA that its SPI names."""

    doi: Annotated[isakmp.Doi, U32] = isakmp.Doi.IPSEC
    protocol_id: Annotated[ipsec_doi.ProtocolId, U8]
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    notify_type: Annotated[isakmp.NotifyType, U16]
    spi: Annotated[bytes, Sized("spi_size")] = b""
    data: Annotated[bytes, REST] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the data, where the type gives it one."""
        found = NotificationData.registry.get(int(self.notify_type))
        return None if found is None or not self.data else ("data", found)

    @property
    def is_error(self) -> bool:
        """Whether the type is in one of the ranges of errors (RFC 2408 section 3.14.1)."""
        return self.notify_type.is_error

    @property
    def cookies(self) -> tuple[bytes, bytes] | None:
        """Both cookies, where the SPI is the pair that names an ISAKMP SA."""
        return (self.spi[:8], self.spi[8:]) if len(self.spi) == ISAKMP_SPI_SIZE else None

    def summary(self) -> str:
        """The type, the SPI of an IPsec SA, and what the data says."""
        parts = [str(self.notify_type)]
        if self.spi and len(self.spi) != ISAKMP_SPI_SIZE:
            parts.append(f"{self.protocol_id} {self.spi.hex()}")
        content = self.content()
        if content is not None:
            parts.append(content.summary())
        elif self.data:
            parts.append(octets_text(self.data))
        return " ".join(parts)


def octets_text(data: bytes) -> str:
    """Octets without a structure: as text when they are printable, in hexadecimal otherwise."""
    printable = all(0x20 <= octet < 0x7F for octet in data)
    return repr(data.decode("ascii")) if printable and len(data) <= SHOWN_TEXT else show_octets(data)


class Spis(Codec):
    """SPIs of the size that the field ``spi_size`` gives; what is no whole SPI is left to the next field."""

    by = "spi_size"

    def _starts(self, reader: Reader, size: int) -> Iterator[int]:
        count = min(reader.left // size, MAX_SPIS) if size else 0
        for _ in range(count):
            yield reader.advance(size)

    def get(self, reader: Reader, by: int = 0) -> tuple[bytes, ...]:
        """Read the SPIs."""
        return tuple(reader.data[start : start + by] for start in self._starts(reader, by))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the SPIs."""
        for spi in value:
            out += spi

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the SPIs and record where each stood."""
        start = reader.pos
        items = tuple(
            Field(f"{name}[{index}]", position, position + by, reader.data[position : position + by])
            for index, position in enumerate(self._starts(reader, by))
        )
        return Field(name, start, reader.pos, tuple(item.value for item in items), items)


class Delete(Ikev1Body, of=isakmp.PayloadType.D, rfc="2408 3.15"):
    """Delete payload: SAs that the sender has removed. ``count`` is a number where it lies; ``trailing`` is no SPI."""

    doi: Annotated[isakmp.Doi, U32] = isakmp.Doi.IPSEC
    protocol_id: Annotated[ipsec_doi.ProtocolId, U8]
    spi_size: Annotated[int, U8]
    count: Annotated[int | None, U16, CountOf("spis")] = None
    spis: Annotated[tuple[bytes, ...], Spis()] = ()
    trailing: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """Protocol and SPIs."""
        shown = " ".join(spi.hex() for spi in self.spis[:SHOWN_SPIS])
        more = f" and {len(self.spis) - SHOWN_SPIS} more" if len(self.spis) > SHOWN_SPIS else ""
        return f"{self.protocol_id} {shown}{more}"
