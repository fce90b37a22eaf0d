"""RFC 7791: Cloning the IKE Security Association."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import NotifyType


class CloneIkeSa(NoData, of=(NotifyType.CLONE_IKE_SA_SUPPORTED, NotifyType.CLONE_IKE_SA), rfc="7791 5"):
    """The data of notifications that have none."""
