"""RFC 6023: A Childless Initiation of the IKEv2 Security Association."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class ChildlessIkev2Supported(NoData, of=NotifyType.CHILDLESS_IKEV2_SUPPORTED, rfc="6023 3"):
    """The data of a notification that has none."""
