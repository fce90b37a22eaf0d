"""RFC 7651: 3GPP IP Multimedia Subsystem option for IKEv2 (P-CSCF addresses)."""

from __future__ import annotations

from ipsecscope.dissect.ikev2.configuration import Ip4Value, Ip6Value
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType


class PCscfIp4Address(Ip4Value, of=ConfigurationAttributeType.P_CSCF_IP4_ADDRESS, rfc="7651 3"):
    """The IPv4 address of a P-CSCF."""


class PCscfIp6Address(Ip6Value, of=ConfigurationAttributeType.P_CSCF_IP6_ADDRESS, rfc="7651 3"):
    """The IPv6 address of a P-CSCF."""
