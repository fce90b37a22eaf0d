"""RFC 4555: IKEv2 Mobility and Multihoming Protocol (MOBIKE)."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NoData, NotifyData, octets_text
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import REST, U16, Bytes

_SIZE_IP6 = 36  # two addresses and two ports


class MobikeWithoutData(
    NoData,
    of=(
        NotifyType.UNACCEPTABLE_ADDRESSES,
        NotifyType.UNEXPECTED_NAT_DETECTED,
        NotifyType.MOBIKE_SUPPORTED,
        NotifyType.NO_ADDITIONAL_ADDRESSES,
        NotifyType.UPDATE_SA_ADDRESSES,
    ),
    rfc="4555 4.2",
):
    """The data of the MOBIKE notifications that have none."""


class AdditionalIp4Address(NotifyData, of=NotifyType.ADDITIONAL_IP4_ADDRESS, rfc="4555 4.2.2"):
    """Another address the sender can be reached at."""

    address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class AdditionalIp6Address(NotifyData, of=NotifyType.ADDITIONAL_IP6_ADDRESS, rfc="4555 4.2.2"):
    """Another address the sender can be reached at."""

    address: Annotated[bytes, Bytes(16)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class Cookie2(NotifyData, of=NotifyType.COOKIE2, rfc="4555 4.2.5"):
    """8 to 64 octets that the peer returns to show that it can be reached there."""

    cookie: Annotated[bytes, REST]

    def summary(self) -> str:
        """The cookie, shortened."""
        return octets_text(self.cookie)


class NoNatsAllowed(NotifyData, of=NotifyType.NO_NATS_ALLOWED, rfc="4555 4.2.6"):
    """Addresses and ports as sent: the exchange must fail if a NAT changed them (IPv4)."""

    source_address: Annotated[bytes, Bytes(4)]
    destination_address: Annotated[bytes, Bytes(4)]
    source_port: Annotated[int, U16]
    destination_port: Annotated[int, U16]

    @classmethod
    def variant(cls, data: bytes) -> type[NotifyData]:
        """The layout with IPv6 addresses when the octets are as many."""
        return NoNatsAllowedIp6 if len(data) == _SIZE_IP6 else cls

    def summary(self) -> str:
        """Such as ``10.0.0.1:500 -> 10.0.0.2:500``."""
        return (
            f"{ipaddress.ip_address(self.source_address)}:{self.source_port}"
            f" -> {ipaddress.ip_address(self.destination_address)}:{self.destination_port}"
        )


class NoNatsAllowedIp6(NotifyData, rfc="4555 4.2.6"):
    """Addresses and ports as sent: the exchange must fail if a NAT changed them (IPv6)."""

    source_address: Annotated[bytes, Bytes(16)]
    destination_address: Annotated[bytes, Bytes(16)]
    source_port: Annotated[int, U16]
    destination_port: Annotated[int, U16]

    def summary(self) -> str:
        """Such as ``[2001:db8::1]:500 -> [2001:db8::2]:500``."""
        return (
            f"[{ipaddress.ip_address(self.source_address)}]:{self.source_port}"
            f" -> [{ipaddress.ip_address(self.destination_address)}]:{self.destination_port}"
        )
