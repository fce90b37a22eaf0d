"""RFC 5998: An Extension for EAP-Only Authentication in IKEv2."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class EapOnlyAuthentication(NoData, of=NotifyType.EAP_ONLY_AUTHENTICATION, rfc="5998 3"):
    """The data of a notification that has none."""
