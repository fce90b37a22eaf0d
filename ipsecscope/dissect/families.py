"""The two families of payloads: IKEv1 and IKEv2, equal in kind, apart in numbers."""

from __future__ import annotations

from ipsecscope.dissect import ikev1
from ipsecscope.dissect.body import Body, Ikev2Body
from ipsecscope.dissect.chain import Context, Payload, PayloadFamily
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import checks as ikev1_checks
from ipsecscope.dissect.ikev2 import checks as ikev2_checks
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.registry.ikev2 import ExchangeType, PayloadType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import PayloadType as IsakmpPayloadType


def _ikev2_class(kind: int, context: Context) -> type[Body] | None:
    del context
    return Ikev2Body.registry.get(kind)


def _ikev1_class(kind: int, context: Context) -> type[Body] | None:
    return ikev1.payload_class(kind, gdoi=context.gdoi, nat_t_drafts=context.nat_t_drafts)


IKEV2 = PayloadFamily(
    name="IKEv2",
    major_version=2,
    payload_type=PayloadType,
    exchange_type=ExchangeType,
    body_class=_ikev2_class,
    ends_chain=frozenset({int(PayloadType.SK), int(PayloadType.SKF)}),
)
IKEV1 = PayloadFamily(
    name="IKEv1",
    major_version=1,
    payload_type=IsakmpPayloadType,
    exchange_type=IsakmpExchangeType,
    body_class=_ikev1_class,
    ends_chain=frozenset(),
)


def body_notes(payloads: tuple[Payload, ...], header: Header | None, family: PayloadFamily) -> list[Note]:
    """What the standards have to say about readable payloads: sizes, reserved bits, order, counts."""
    if family is IKEV1:
        return ikev1_checks.body_notes(payloads, header)
    is_response = header is not None and header.is_response
    return [note for each in payloads for note in ikev2_checks.check_payload(each, is_response=is_response)]
