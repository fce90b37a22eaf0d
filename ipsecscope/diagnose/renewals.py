"""Forward secrecy: which exchanges made or renewed a Child SA, and whether with a fresh key exchange.

RFC 7296 1.3 (CREATE_CHILD_SA) and RFC 2409 5.5 (quick mode: every Child SA comes from one, so each can be judged).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import sizes
from ipsecscope.diagnose.rule import CERTAIN, LIKELY, Confidence
from ipsecscope.diagnose.view import View, exchanges_of, is_open
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import Exchange, IkeSa


class Renewal(msgspec.Struct, frozen=True):
    """An exchange that made a Child SA. ``has_key_exchange`` is None where the capture cannot tell."""

    exchange: Exchange
    has_key_exchange: bool | None
    confidence: Confidence = CERTAIN
    equation: str | None = None


def renewals(sa: IkeSa, view: View) -> Iterator[Renewal]:
    """The exchanges of an IKE SA that made Child SAs, in order; IKEv2's first one comes with IKE_AUTH and is none."""
    if sa.version == 1:
        for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
            if exchange.response and any(is_open(record) for record in exchange.response):
                yield _opened(exchange)
        return
    for exchange in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        if not exchange.response or view.is_short(sa, exchange.response):
            continue
        if any(is_open(record) for record in exchange.response):
            if _makes_child(exchange):
                yield _opened(exchange)
        else:
            yield _by_size(sa, view, exchange)


def _makes_child(exchange: Exchange) -> bool:
    payloads = [payload for record in exchange.response for payload in record.payloads]
    return first(payloads, ikev2.SecurityAssociation) is not None


def _opened(exchange: Exchange) -> Renewal:
    payloads = [payload for record in exchange.response for payload in record.payloads]
    found = first(payloads, ikev2.KeyExchange) is not None or first(payloads, ikev1.KeyExchange) is not None
    return Renewal(exchange, found)


def _by_size(sa: IkeSa, view: View, exchange: Exchange) -> Renewal:
    """Whether an encrypted response has room for a KE payload: only "no" can be told from its size."""
    inner = view.inner(sa, exchange.response)
    least = sizes.MIN_CHILD_RESPONSE + (sizes.key_exchange(KeyExchangeMethod.CURVE25519) or 0)
    most = sizes.security_association(3) + sizes.nonce() + sizes.MIN_SELECTORS + 4 * sizes.notify()
    if inner is None or inner.high >= least + sizes.security_association(1) - 8 or inner.high > most:
        return Renewal(exchange, None)
    return Renewal(exchange, has_key_exchange=False, confidence=LIKELY, equation=inner.equation)
