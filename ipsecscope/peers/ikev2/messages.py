"""An IKEv2 message as a peer handles it: payloads put into the order of the RFC, found by class, told in its notation."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Flags, Header
from ipsecscope.dissect.ikev2 import Encrypted, EncryptedFragment, Notify
from ipsecscope.dissect.ikev2.exchanges import Element, check, parse_grammar
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.names import payload_name
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, PayloadType
from ipsecscope.peers.peer import Path
from ipsecscope.peers.received import ReceivedMessage

NO_SPI = bytes(8)


class Received(ReceivedMessage, frozen=True, kw_only=True):
    """A message whose protection was removed; the Encrypted payload is left out, those inside it are in its place.

    Attributes:
        data: the octets as they came; of a fragmented message the first fragment.
        chunk: its part of IntAuth (RFC 9242 section 3.3.2).
        is_protected: whether everything in it was encrypted and authenticated.
    """

    data: bytes
    chunk: bytes = b""
    is_protected: bool = False

    @property
    def exchange_type(self) -> ExchangeType:
        """The exchange type."""
        return ExchangeType(self.header.exchange_type)

    def notify(self, notify_type: NotifyType) -> Notify | None:
        """The first notification of a type."""
        return next((body for body in self.all(Notify) if body.notify_type == notify_type), None)

    @property
    def error(self) -> Notify | None:
        """The first error notification."""
        return next((body for body in self.all(Notify) if body.is_error), None)

    @property
    def missing(self) -> tuple[str, ...]:
        """What every form of the exchange has and this message lacks (RFC 7296 appendix C)."""
        return check(self.header.exchange_type, self.names, is_response=self.header.is_response).missing

    @property
    def unknown_critical(self) -> Payload | None:
        """The first payload that is critical and not understood (RFC 7296 section 2.5)."""
        return next((each for each in self.payloads if each.critical and not PayloadType(each.kind).is_known), None)


def header_of(
    exchange_type: ExchangeType,
    message_id: int,
    *,
    spi_i: bytes,
    spi_r: bytes = NO_SPI,
    original_initiator: bool,
    is_response: bool,
) -> Header:
    """The header of a message."""
    flags = (Flags.INITIATOR if original_initiator else 0) | (Flags.RESPONSE if is_response else 0)
    return Header(spi_i=spi_i, spi_r=spi_r, exchange_type=int(exchange_type), flags=int(flags), message_id=message_id)


def arrange(header: Header, bodies: Iterable[Body]) -> tuple[Payload, ...]:
    """Bodies as payloads in the order that RFC 7296 appendix C shows for this message."""
    payloads = [Payload(body=body) for body in bodies]
    if len(payloads) < 2:
        return tuple(payloads)
    names = [payload_name(payload, header) for payload in payloads]
    fit = check(header.exchange_type, names, is_response=header.is_response)
    elements = parse_grammar(fit.grammar)
    ranked = sorted(range(len(payloads)), key=lambda index: (_rank(elements, names[index]), index))
    return tuple(payloads[index] for index in ranked)


def _rank(elements: tuple[Element, ...], name: str) -> int:
    for place, element in enumerate(elements):
        if not element.order_free and element.matches(name):
            return place
    return len(elements)


def notation(header: Header, payloads: Iterable[Payload], *, protected: bool) -> str:
    """A message in RFC notation: ``IKE_AUTH request 1: HDR, SK {IDi, AUTH, SA, TSi, TSr}``."""
    kind = "response" if header.is_response else "request"
    names = ", ".join(payload_name(payload, header) for payload in payloads)
    content = f"SK {{{names}}}" if protected else names
    return f"{ExchangeType(header.exchange_type)} {kind} {header.message_id}: HDR, {content}"


def in_clear(message: Message, data: bytes, path: Path) -> Received:
    """A message that needs no opening (IKE_SA_INIT), or what stands in front of an Encrypted payload."""
    assert message.header is not None
    plain = tuple(each for each in message.payloads if not isinstance(each.body, Encrypted | EncryptedFragment))
    return Received(header=message.header, payloads=plain, data=data, path=path)


def note(notify_type: NotifyType, data: bytes = b"") -> Notify:
    """A notification that concerns no SA in particular."""
    return Notify(notify_type=notify_type, data=data)
