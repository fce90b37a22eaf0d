"""The private notification of Fortinet that carries data."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.wire import U8


class FortinetNotifyType(CodePoint):
    """Private-use Notify Message Types of FortiOS."""

    VPN_NETWORK_ID = 61520, "Fortinet"


class VpnNetworkId(NotifyData, of=FortinetNotifyType.VPN_NETWORK_ID, rfc="Fortinet"):
    """Tells apart the tunnels between one pair of gateways."""

    network_id: Annotated[int, U8]

    def summary(self) -> str:
        """The number."""
        return f"Fortinet network {self.network_id}"
