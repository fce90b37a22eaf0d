"""RFC 5685: Redirect Mechanism for IKEv2."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.ikev2.identification import text_of
from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType, RedirectGatewayType
from ipsecscope.dissect.wire import REST, U8, Sized, SizeOf

_ADDRESS_SIZES = (4, 16)


class GatewayIdentity(NotifyData, rfc="5685 7.2"):
    """A VPN gateway, named by address or by name."""

    gateway_type: Annotated[RedirectGatewayType, U8]
    gateway_length: Annotated[int | None, U8, SizeOf("gateway")] = None
    gateway: Annotated[bytes, Sized("gateway_length")]

    def summary(self) -> str:
        """The address or name of the gateway."""
        if len(self.gateway) in _ADDRESS_SIZES and self.gateway_type != RedirectGatewayType.FQDN:
            return str(ipaddress.ip_address(self.gateway))
        return text_of(self.gateway)


class RedirectSupported(NoData, of=NotifyType.REDIRECT_SUPPORTED, rfc="5685 7.1"):
    """The data of a notification that has none."""


class Redirect(GatewayIdentity, of=NotifyType.REDIRECT, rfc="5685 7.2"):
    """The gateway to go to; in IKE_SA_INIT the initiator's nonce follows, against forgery."""

    nonce_data: Annotated[bytes, REST] = b""


class RedirectedFrom(GatewayIdentity, of=NotifyType.REDIRECTED_FROM, rfc="5685 7.3"):
    """The gateway the client was sent away from."""
