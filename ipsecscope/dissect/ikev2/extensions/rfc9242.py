"""RFC 9242: Intermediate Exchange in IKEv2."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class IntermediateExchangeSupported(NoData, of=NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED, rfc="9242 3.1"):
    """The data of a notification that has none."""
