"""An IKEv1 message as a peer handles it: found by class, checked against the grammar, told in RFC notation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header, IsakmpFlags
from ipsecscope.dissect.ikev1 import Delete, Notification
from ipsecscope.dissect.ikev1.exchanges import Authentication, Fault, check
from ipsecscope.dissect.names import payload_name
from ipsecscope.dissect.registry.ipsec_doi import ProtocolId
from ipsecscope.dissect.registry.isakmp import ExchangeType, NotifyType
from ipsecscope.peers.received import ReceivedMessage

NO_COOKIE = bytes(8)
VERSION = 0x10  # RFC 2408 section 3.1: major version 1, minor version 0
PHASE_1 = 0  # the message id of phase 1


class Received(ReceivedMessage, frozen=True, kw_only=True):
    """A message whose encryption was removed.

    Attributes:
        plaintext: the octets of the payload chain, without padding; offsets of the payloads count in it.
        is_encrypted: whether it was encrypted.
    """

    plaintext: bytes
    is_encrypted: bool = False

    @property
    def exchange_type(self) -> ExchangeType:
        """The exchange type."""
        return ExchangeType(self.header.exchange_type)

    def octets_of(self, cls: type[Body]) -> bytes:
        """The octets of the first body of a class as they came, without generic header; empty when there is none."""
        found = next((payload for payload in self.payloads if isinstance(payload.body, cls)), None)
        return b"" if found is None else self.plaintext[found.start + 4 : found.stop]

    def notify(self, notify_type: NotifyType) -> Notification | None:
        """The first notification of a type."""
        return next((body for body in self.all(Notification) if body.notify_type == notify_type), None)

    @property
    def error(self) -> Notification | None:
        """The first error notification."""
        return next((body for body in self.all(Notification) if body.is_error), None)

    def lacks(self, position: int, authentication: Authentication | None = None) -> tuple[str, ...]:
        """What the message at ``position`` of its exchange must have and this one has not (RFC 2409 section 5)."""
        departures = check(self.header.exchange_type, position, self.names, authentication=authentication)
        return tuple(each.payload for each in departures if each.fault is Fault.MISSING)


def header_of(
    exchange_type: ExchangeType,
    message_id: int,
    cookies: tuple[bytes, bytes],
    *,
    encrypted: bool = False,
    commit: bool = False,
) -> Header:
    """The header of a message."""
    flags = (IsakmpFlags.ENCRYPTION if encrypted else 0) | (IsakmpFlags.COMMIT if commit else 0)
    return Header(
        spi_i=cookies[0],
        spi_r=cookies[1],
        version=VERSION,
        exchange_type=int(exchange_type),
        flags=int(flags),
        message_id=message_id,
    )


def payloads_of(bodies: Iterable[Body | Payload]) -> tuple[Payload, ...]:
    """Bodies as payloads; what is a payload already stays as it is."""
    return tuple(body if isinstance(body, Payload) else Payload(body=body) for body in bodies)


def notation(header: Header, payloads: Sequence[Payload]) -> str:
    """A message in RFC notation: ``IDENTITY_PROTECTION: HDR*, ID, HASH``."""
    names = ", ".join(payload_name(payload, header) for payload in payloads)
    star = "*" if header.is_encrypted else ""
    number = f" {header.message_id:08x}" if header.message_id else ""
    return f"{ExchangeType(header.exchange_type)}{number}: HDR{star}, {names}"


def isakmp_notify(notify_type: NotifyType, cookies: tuple[bytes, bytes], data: bytes = b"") -> Notification:
    """A notification that concerns the ISAKMP SA."""
    spi = cookies[0] + cookies[1]
    return Notification(protocol_id=ProtocolId.PROTO_ISAKMP, notify_type=notify_type, spi=spi, data=data)


def bare_notify(notify_type: NotifyType) -> Notification:
    """A notification that concerns no SA: there is none yet."""
    return Notification(protocol_id=ProtocolId.PROTO_ISAKMP, notify_type=notify_type)


def delete_isakmp(cookies: tuple[bytes, bytes]) -> Delete:
    """A Delete payload for the ISAKMP SA (RFC 2408 section 3.15)."""
    return Delete(protocol_id=ProtocolId.PROTO_ISAKMP, spi_size=16, spis=(cookies[0] + cookies[1],))


def delete_spis(protocol: ProtocolId, spis: Sequence[bytes]) -> Delete:
    """A Delete payload for SAs of ESP or AH that the sender receives with."""
    return Delete(protocol_id=protocol, spi_size=4, spis=tuple(spis))
