"""RFC 5840: Wrapped Encapsulating Security Payload for Traffic Visibility."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class UseWespMode(NoData, of=NotifyType.USE_WESP_MODE, rfc="5840 2.3"):
    """The data of a notification that has none."""
