"""The private notification of Fortinet that carries data."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.ikev2.private_numbers import private_number
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import U8

NETWORK_OVERLAY_ID = private_number(NotifyType, "Fortinet", "NETWORK_OVERLAY_ID")


class NetworkOverlayId(NotifyData, of=NETWORK_OVERLAY_ID, rfc="Fortinet"):
    """Tells apart the tunnels between one pair of gateways."""

    network_id: Annotated[int, U8]

    def summary(self) -> str:
        """The number."""
        return f"Fortinet network {self.network_id}"
