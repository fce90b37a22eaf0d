"""The Attributes payload: mode configuration, XAUTH, Cisco Unity and Check Point extensions.

draft-dukes-ike-mode-cfg-02, draft-beaulieu-ike-xauth-02. Values are shown as what their type says they are; a value
that does not fit its type stays octets. Passwords are on the wire once the message is decrypted: ``repr`` and the
texts of this module do not show them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated, ClassVar, Final

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.ikev1.attributes import (
    LONG,
    SHORT,
    Attribute,
    CodePointClass,
    LongAttribute,
    ShortAttribute,
    attributes_of,
    show_octets,
)
from ipsecscope.dissect.ikev1.identification import subnet_text
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.registry.isakmp import ConfigAttributeType as Cfg
from ipsecscope.dissect.wire import REST, U8, U16, Array, Bytes, Struct, WireError

SHOWN_ENTRIES: Final = 8  # entries of a list in a summary
SECRETS: Final = frozenset({Cfg.XAUTH_USER_PASSWORD, Cfg.XAUTH_PASSCODE, Cfg.XAUTH_NEXT_PIN, Cfg.XAUTH_ANSWER})


class SplitEntry(Struct):
    """One network of a Cisco Unity split list: address, mask, IP protocol, ports (0: any)."""

    address: Annotated[bytes, Bytes(4)]
    mask: Annotated[bytes, Bytes(4)]
    protocol: Annotated[IpProtocol, U16] = IpProtocol(0)
    source_port: Annotated[int, U16] = 0
    destination_port: Annotated[int, U16] = 0

    def summary(self) -> str:
        """The network, and protocol and ports where they narrow it."""
        network = subnet_text(self.address, self.mask)
        if not (self.protocol or self.source_port or self.destination_port):
            return network
        return f"{network} {self.protocol or 'any'} {self.source_port}>{self.destination_port}"


class SplitList(Struct):
    """A Cisco Unity split list (UNITY_SPLIT_INCLUDE, UNITY_LOCAL_LAN)."""

    entries: Annotated[tuple[SplitEntry, ...], Array(SplitEntry)] = ()

    def summary(self) -> str:
        """The networks, the first few of them."""
        return _row([entry.summary() for entry in self.entries])


class AddressList(Struct):
    """Addresses of four octets one behind the other, as some senders put several into one attribute."""

    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The addresses."""
        starts = range(0, len(self.data) - len(self.data) % 4, 4)
        return _row([str(ipaddress.ip_address(self.data[start : start + 4])) for start in starts])


def _row(items: list[str]) -> str:
    more = [f"and {len(items) - SHOWN_ENTRIES} more"] if len(items) > SHOWN_ENTRIES else []
    return ", ".join([*items[:SHOWN_ENTRIES], *more])


def _text(value: bytes) -> str:
    return value.rstrip(b"\0").decode("utf-8", "backslashreplace")


def _ipv4(value: bytes) -> str | None:
    if len(value) == 0 or len(value) % 4:
        return None
    return AddressList(data=value).summary()


def _ipv6(value: bytes) -> str | None:
    if len(value) == 16:
        return str(ipaddress.ip_address(value))
    if len(value) == 17:  # with a prefix length, as IKEv2 writes it
        return f"{ipaddress.ip_address(value[:16])}/{value[16]}"
    return None


def _ipv4_subnet(value: bytes) -> str | None:
    return subnet_text(value[:4], value[4:]) if len(value) == 8 else None


def _ipv6_subnet(value: bytes) -> str | None:
    return f"{ipaddress.ip_address(value[:16])}/{value[16]}" if len(value) == 17 else None


def _split(value: bytes) -> str | None:
    try:
        return SplitList.parse(value).summary()
    except WireError:
        return None


def _types(value: bytes) -> str | None:
    if len(value) % 2:
        return None
    numbers = (int.from_bytes(value[start : start + 2], "big") for start in range(0, len(value), 2))
    return _row([str(Cfg(number)) for number in numbers])


def _backup_servers(value: bytes) -> str:
    """Names separated by commas, or addresses of four octets each."""
    if len(value) % 4 == 0 and not all(0x20 <= octet < 0x7F for octet in value):
        return AddressList(data=value).summary()
    return _text(value)


READERS: Final[dict[int, Callable[[bytes], str | None]]] = {
    Cfg.INTERNAL_IP4_ADDRESS: _ipv4,
    Cfg.INTERNAL_IP4_NETMASK: _ipv4,
    Cfg.INTERNAL_IP4_DNS: _ipv4,
    Cfg.INTERNAL_IP4_NBNS: _ipv4,
    Cfg.INTERNAL_IP4_DHCP: _ipv4,
    Cfg.APPLICATION_VERSION: _text,
    Cfg.INTERNAL_IP6_ADDRESS: _ipv6,
    Cfg.INTERNAL_IP6_NETMASK: _ipv6,
    Cfg.INTERNAL_IP6_DNS: _ipv6,
    Cfg.INTERNAL_IP6_NBNS: _ipv6,
    Cfg.INTERNAL_IP6_DHCP: _ipv6,
    Cfg.INTERNAL_IP4_SUBNET: _ipv4_subnet,
    Cfg.SUPPORTED_ATTRIBUTES: _types,
    Cfg.INTERNAL_IP6_SUBNET: _ipv6_subnet,
    Cfg.CHKPT_DEF_DOMAIN: _text,
    Cfg.CHKPT_MAC_ADDRESS: lambda value: value.hex(":"),
    Cfg.XAUTH_USER_NAME: _text,
    Cfg.XAUTH_MESSAGE: _text,
    Cfg.XAUTH_DOMAIN: _text,
    Cfg.UNITY_BANNER: _text,
    Cfg.UNITY_DEF_DOMAIN: _text,
    Cfg.UNITY_SPLIT_DNS_NAME: _text,
    Cfg.UNITY_SPLIT_INCLUDE: _split,
    Cfg.UNITY_LOCAL_LAN: _split,
    Cfg.UNITY_BACKUP_SERVERS: _backup_servers,
    Cfg.UNITY_DDNS_HOSTNAME: _text,
}


class ConfigShort(ShortAttribute):
    """A configuration attribute in the short form."""

    names: ClassVar[dict[int, CodePointClass]] = isakmp.CONFIG_VALUES
    attribute_type: Annotated[isakmp.ConfigAttributeType, SHORT]


class ConfigLong(LongAttribute):
    """A configuration attribute in the long form. Values that authenticate a user do not appear in ``repr``."""

    names: ClassVar[dict[int, CodePointClass]] = isakmp.CONFIG_VALUES
    attribute_type: Annotated[isakmp.ConfigAttributeType, LONG]

    @property
    def is_secret(self) -> bool:
        """Whether the value authenticates a user."""
        return self.attribute_type in SECRETS and bool(self.value)

    @property
    def text(self) -> str:
        """The value in words: addresses, networks, names; octets where it does not fit its type."""
        if not self.value:
            return ""
        if self.is_secret:
            return f"<{len(self.value)} octets>"
        if self.meaning is not None:
            return str(self.meaning)
        reader = READERS.get(int(self.attribute_type))
        found = None if reader is None else reader(self.value)
        return show_octets(self.value) if found is None else found

    def __repr__(self) -> str:
        value = f"<{len(self.value)} octets>" if self.is_secret else repr(self.value)
        return f"ConfigLong(attribute_type={self.attribute_type!r}, length={self.length!r}, value={value})"


class Attributes(Ikev1Body, of=isakmp.PayloadType.ATTR, rfc="draft-dukes-ike-mode-cfg-02 3.2"):
    """Attributes payload: one step of mode configuration or XAUTH. Empty values in a request ask for the attribute."""

    config_type: Annotated[isakmp.ConfigType, U8]
    reserved: Annotated[int, U8] = 0
    identifier: Annotated[int, U16] = 0
    attributes: Annotated[tuple[Attribute, ...], attributes_of(ConfigShort, ConfigLong)] = ()

    def attribute(self, attribute_type: int) -> Attribute | None:
        """The first attribute of a type."""
        return next((item for item in self.attributes if item.attribute_type == attribute_type), None)

    @property
    def is_xauth(self) -> bool:
        """Whether the step belongs to XAUTH rather than to mode configuration."""
        return any(Cfg.XAUTH_TYPE <= item.attribute_type <= Cfg.XAUTH_ANSWER for item in self.attributes)

    @property
    def xauth_status(self) -> isakmp.XauthStatus | None:
        """The outcome of XAUTH that this step announces."""
        found = self.attribute(Cfg.XAUTH_STATUS)
        return None if found is None or found.number is None else isakmp.XauthStatus(found.number)

    def summary(self) -> str:
        """The step and its attributes."""
        shown = [item.summary().rstrip("=") for item in self.attributes[:SHOWN_ENTRIES]]
        more = [f"and {len(self.attributes) - SHOWN_ENTRIES} more"] if len(self.attributes) > SHOWN_ENTRIES else []
        return " ".join([str(self.config_type), *shown, *more])
