"""RFC 5739: IPv6 Configuration in IKEv2."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.ikev2.configuration import ConfigurationValue, Ip6PrefixValue
from ipsecscope.dissect.ikev2.notify import NotifyData, octets_text
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType, NotifyType
from ipsecscope.dissect.wire import REST, Bytes

_LINK_LOCAL = 0xFE80 << 112


class LinkId(NotifyData, of=NotifyType.LINK_ID, rfc="5739 5.1"):
    """The virtual link that a Child SA shall be attached to."""

    link_id: Annotated[bytes, REST]

    def summary(self) -> str:
        """The identifier."""
        return octets_text(self.link_id)


class InternalIp6Link(ConfigurationValue, of=ConfigurationAttributeType.INTERNAL_IP6_LINK, rfc="5739 6.1"):
    """The interface identifier of the link-local address, and which virtual link it is on."""

    interface_id: Annotated[bytes, Bytes(8)]
    link_id: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The link-local address, and the link."""
        address = ipaddress.IPv6Address(_LINK_LOCAL | int.from_bytes(self.interface_id, "big"))
        return f"{address} {octets_text(self.link_id)}".rstrip()


class InternalIp6Prefix(Ip6PrefixValue, of=ConfigurationAttributeType.INTERNAL_IP6_PREFIX, rfc="5739 6.2"):
    """A prefix that the client may use as its own."""
