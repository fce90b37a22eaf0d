"""RFC 8983: IKEv2 Notification Status Types for IPv4/IPv6 Coexistence."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class AddressFamilyAllowed(NoData, of=(NotifyType.IP4_ALLOWED, NotifyType.IP6_ALLOWED), rfc="8983 5"):
    """The data of notifications that have none."""
