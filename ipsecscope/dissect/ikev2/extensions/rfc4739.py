"""RFC 4739: Multiple Authentication Exchanges in IKEv2."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class MultipleAuthWithoutData(
    NoData, of=(NotifyType.MULTIPLE_AUTH_SUPPORTED, NotifyType.ANOTHER_AUTH_FOLLOWS), rfc="4739 3"
):
    """The data of notifications that have none."""
