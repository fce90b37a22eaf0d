"""RFC 5026: Mobile IPv6 Bootstrapping in Split Scenario; RFC 6611 adds the home agent's address."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.ikev2.configuration import ConfigurationValue
from ipsecscope.dissect.ikev2.notify import NoData
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType, NotifyType
from ipsecscope.dissect.wire import U8, U32, Bytes

_SIZE_WITH_IP4 = 20


class UseAssignedHomeAddress(NoData, of=NotifyType.USE_ASSIGNED_HoA, rfc="5026 5.3"):
    """The data of a notification that has none."""


class Mip6HomePrefix(ConfigurationValue, of=ConfigurationAttributeType.MIP6_HOME_PREFIX, rfc="5026 8.1"):
    """The home prefix that a mobile node forms its home address from."""

    lifetime: Annotated[int, U32]
    prefix: Annotated[bytes, Bytes(16)]
    prefix_length: Annotated[int, U8]

    def summary(self) -> str:
        """Such as ``2001:db8::/64 for 3600 s``."""
        return f"{ipaddress.ip_address(self.prefix)}/{self.prefix_length} for {self.lifetime} s"


class HomeAgentAddress(ConfigurationValue, of=ConfigurationAttributeType.HOME_AGENT_ADDRESS, rfc="6611 7.1"):
    """The IPv6 address of the home agent."""

    address: Annotated[bytes, Bytes(16)]

    @classmethod
    def variant(cls, data: bytes) -> type[ConfigurationValue]:
        """The layout with an IPv4 address behind the IPv6 address when the octets are as many."""
        return HomeAgentAddresses if len(data) == _SIZE_WITH_IP4 else cls

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class HomeAgentAddresses(ConfigurationValue, rfc="6611 7.1"):
    """The IPv6 and the IPv4 address of the home agent."""

    address: Annotated[bytes, Bytes(16)]
    ip4_address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """Both addresses."""
        return f"{ipaddress.ip_address(self.address)} {ipaddress.ip_address(self.ip4_address)}"
