"""RFC 9370: Multiple Key Exchanges in IKEv2."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NoData, NotifyData, octets_text
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import REST


class StateNotFound(NoData, of=NotifyType.STATE_NOT_FOUND, rfc="9370 2.2.4"):
    """The data of a notification that has none."""


class AdditionalKeyExchange(NotifyData, of=NotifyType.ADDITIONAL_KEY_EXCHANGE, rfc="9370 2.2.4"):
    """Octets of the responder that link an IKE_FOLLOWUP_KE to the exchange that began the rekeying."""

    link: Annotated[bytes, REST]

    def summary(self) -> str:
        """The link."""
        return octets_text(self.link)
