"""The Configuration payload (RFC 7296 section 3.15): what a client asks of the network behind its gateway.

The value of an attribute is one ``ConfigurationValue`` class per layout. An empty value asks (in a request) or says
"none" (in a reply), whatever the attribute.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, ClassVar

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.codecs import Low15, Numbers, TopBit
from ipsecscope.dissect.ikev2.identification import key_id_text, text_of
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType as AttributeType
from ipsecscope.dissect.registry.ikev2 import ConfigurationType, PayloadType
from ipsecscope.dissect.wire import REST, U8, U16, U24, U32, Array, Bytes, Sized, SizeOf, Struct

IP6_SIZE = 16


class ConfigurationValue(Struct):
    """Root of the values; ``registry`` maps attribute types to classes."""

    registry: ClassVar[dict[int, Any]] = {}

    @classmethod
    def variant(cls, data: bytes) -> type[ConfigurationValue]:
        """The class for these octets, for attributes whose layout depends on them."""
        del data
        return cls


class ConfigurationAttribute(Struct, rfc="7296 3.15.1"):
    """One attribute: type and value."""

    reserved: Annotated[int, TopBit()] = 0
    attribute_type: Annotated[AttributeType, Low15()]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the value, when there is a value."""
        found = ConfigurationValue.registry.get(self.attribute_type)
        return None if found is None or not self.value else ("value", found.variant(self.value))

    @property
    def text(self) -> str:
        """The value as text; hex when it has no known structure, empty when there is none."""
        content = self.content()
        return key_id_text(self.value) if content is None and self.value else content.summary() if content else ""

    def summary(self) -> str:
        """Such as ``INTERNAL_IP4_ADDRESS=10.0.0.7``."""
        return f"{self.attribute_type}={self.text}" if self.value else str(self.attribute_type)


class Configuration(Ikev2Body, of=PayloadType.CP, rfc="7296 3.15"):
    """Configuration payload."""

    cfg_type: Annotated[ConfigurationType, U8]
    reserved: Annotated[int, U24] = 0
    attributes: Annotated[tuple[ConfigurationAttribute, ...], Array(ConfigurationAttribute)] = ()

    def summary(self) -> str:
        """The type and the attributes."""
        return " ".join([str(self.cfg_type), *(attribute.summary() for attribute in self.attributes)])


class Ip4Value(
    ConfigurationValue,
    of=(
        AttributeType.INTERNAL_IP4_ADDRESS,
        AttributeType.INTERNAL_IP4_NETMASK,
        AttributeType.INTERNAL_IP4_DNS,
        AttributeType.INTERNAL_IP4_NBNS,
        AttributeType.INTERNAL_IP4_DHCP,
    ),
    rfc="7296 3.15.1",
):
    """One IPv4 address or netmask."""

    address: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class Ip6Value(
    ConfigurationValue,
    of=(AttributeType.INTERNAL_IP6_DNS, AttributeType.INTERNAL_IP6_NBNS, AttributeType.INTERNAL_IP6_DHCP),
    rfc="7296 3.15.1",
):
    """One IPv6 address."""

    address: Annotated[bytes, Bytes(16)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class Ip6PrefixValue(
    ConfigurationValue, of=(AttributeType.INTERNAL_IP6_ADDRESS, AttributeType.INTERNAL_IP6_SUBNET), rfc="7296 3.15.1"
):
    """One IPv6 address or network with its prefix length."""

    address: Annotated[bytes, Bytes(16)]
    prefix_length: Annotated[int, U8]

    @classmethod
    def variant(cls, data: bytes) -> type[ConfigurationValue]:
        """The address alone when that is all there is, as some clients ask."""
        return Ip6Value if len(data) == IP6_SIZE else cls

    def summary(self) -> str:
        """Such as ``2001:db8::7/64``."""
        return f"{ipaddress.ip_address(self.address)}/{self.prefix_length}"


class Ip4SubnetValue(ConfigurationValue, of=AttributeType.INTERNAL_IP4_SUBNET, rfc="7296 3.15.1"):
    """One IPv4 network: address and netmask."""

    address: Annotated[bytes, Bytes(4)]
    netmask: Annotated[bytes, Bytes(4)]

    def summary(self) -> str:
        """Such as ``10.1.0.0/16``; the mask in full when it is no prefix."""
        mask = int.from_bytes(self.netmask, "big")
        inverse = mask ^ 0xFFFFFFFF
        length = str(mask.bit_count()) if inverse & (inverse + 1) == 0 else str(ipaddress.ip_address(self.netmask))
        return f"{ipaddress.ip_address(self.address)}/{length}"


class ApplicationVersion(ConfigurationValue, of=AttributeType.APPLICATION_VERSION, rfc="7296 3.15.1"):
    """The version of the IPsec software, as text without NUL."""

    version: Annotated[bytes, REST]

    def summary(self) -> str:
        """The text."""
        return text_of(self.version)


class SupportedAttributes(ConfigurationValue, of=AttributeType.SUPPORTED_ATTRIBUTES, rfc="7296 3.15.1"):
    """The attribute types that the responder understands."""

    attribute_types: Annotated[tuple[AttributeType, ...], Numbers(AttributeType)]

    def summary(self) -> str:
        """The names."""
        return " ".join(str(item) for item in self.attribute_types)


class AddressExpiry(ConfigurationValue, of=AttributeType.INTERNAL_ADDRESS_EXPIRY, rfc="4306 3.15.1"):
    """The seconds an address may be used for; RFC 7296 took it away."""

    seconds: Annotated[int, U32]

    def summary(self) -> str:
        """Such as ``90 s``."""
        return f"{self.seconds} s"
