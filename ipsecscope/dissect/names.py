"""Payload names in the notation of the RFCs: ``Ni``, ``IDr``, ``N(COOKIE)``, ``HASH``, ``NAT-D``."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import NatDetection, NatOriginalAddress, Notification
from ipsecscope.dissect.ikev2 import Notify
from ipsecscope.dissect.registry.ikev2 import PayloadType
from ipsecscope.dissect.registry.isakmp import PayloadType as IsakmpPayloadType
from ipsecscope.dissect.registry.private import private_name

PRIVATE_STATUS = 40960  # RFC 7296 3.10.1: status types from here on are for private use

# Where RFC 7296 has a word for the same thing, both versions use it.
_LIKE_IKEV2 = {IsakmpPayloadType.CR: "CERTREQ", IsakmpPayloadType.VID: "V"}


def notify_name(kind: CodePoint, vendors: Iterable[str] = ()) -> str:
    """The name of a notify type; a private number has the name that one of the vendors present gives it."""
    if kind.is_known and int(kind) < PRIVATE_STATUS:
        return str(kind)
    return private_name(type(kind), int(kind), vendors) or str(kind)


def payload_name(payload: Payload, header: Header | None, vendors: Iterable[str] = ()) -> str:
    """The name of a payload as a ladder writes it.

    A nonce is ``Ni`` or ``Nr`` in IKEv2, where the flags tell the direction, and ``NONCE`` in IKEv1, where only the
    conversation does. ``vendors`` are those that the Vendor IDs of the SA name; they decide what private numbers mean.
    """
    body = payload.body
    if header is not None and header.major_version == 1:
        if isinstance(body, Notification):
            return f"N({notify_name(body.notify_type, vendors)})"
        if isinstance(body, NatDetection):
            return "NAT-D"
        if isinstance(body, NatOriginalAddress):
            return "NAT-OA"
        known = IsakmpPayloadType(payload.kind)
        return _LIKE_IKEV2.get(known, str(known))
    if isinstance(body, Notify):
        return f"N({notify_name(body.notify_type, vendors)})"
    kind = PayloadType(payload.kind)
    if kind == PayloadType.NONCE:
        return "Nr" if header is not None and header.is_response else "Ni"
    return str(kind)
