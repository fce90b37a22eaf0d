"""[MS-IKEE]: the private configuration attributes of Microsoft's IKEv2."""

from __future__ import annotations

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.configuration import Ip4Value, Ip6Value


class MicrosoftAttributeType(CodePoint):
    """Private-use Configuration Attribute Types that Windows asks for."""

    INTERNAL_IP4_SERVER = 23456, "[MS-IKEE]"
    INTERNAL_IP6_SERVER = 23457, "[MS-IKEE]"


class InternalIp4Server(Ip4Value, of=MicrosoftAttributeType.INTERNAL_IP4_SERVER, rfc="[MS-IKEE] 2.2.3"):
    """The internal IPv4 address of the gateway."""


class InternalIp6Server(Ip6Value, of=MicrosoftAttributeType.INTERNAL_IP6_SERVER, rfc="[MS-IKEE] 2.2.3"):
    """The internal IPv6 address of the gateway."""
