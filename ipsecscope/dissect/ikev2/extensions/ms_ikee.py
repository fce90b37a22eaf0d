"""[MS-IKEE]: the private configuration attributes of Microsoft's IKEv2."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.configuration import Ip4Value, Ip6Value
from ipsecscope.dissect.ikev2.private_numbers import private_number
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType

INTERNAL_IP4_SERVER = private_number(ConfigurationAttributeType, "Microsoft", "INTERNAL_IP4_SERVER")
INTERNAL_IP6_SERVER = private_number(ConfigurationAttributeType, "Microsoft", "INTERNAL_IP6_SERVER")


class InternalIp4Server(Ip4Value, of=INTERNAL_IP4_SERVER, rfc="[MS-IKEE] 2.2.3"):
    """The internal IPv4 address of the gateway."""


class InternalIp6Server(Ip6Value, of=INTERNAL_IP6_SERVER, rfc="[MS-IKEE] 2.2.3"):
    """The internal IPv6 address of the gateway."""
