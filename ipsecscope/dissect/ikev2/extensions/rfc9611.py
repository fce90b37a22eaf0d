"""RFC 9611: IKEv2 Support for Per-Resource Child SAs."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NoData, NotifyData, octets_text
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import REST


class TsMaxQueue(NoData, of=NotifyType.TS_MAX_QUEUE, rfc="9611 5.2"):
    """The data of a notification that has none."""


class SaResourceInfo(NotifyData, of=NotifyType.SA_RESOURCE_INFO, rfc="9611 5.1"):
    """What the sender calls the resource that this Child SA is for; opaque to the peer."""

    resource: Annotated[bytes, REST]

    def summary(self) -> str:
        """The identifier."""
        return octets_text(self.resource)
