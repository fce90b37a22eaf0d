"""The Identification payload of IKEv1, RFC 2407 section 4.6.2: peers in phase 1, selectors in phase 2.

Each type's data has a structure where the RFC gives it one; the text of every value can be had for every octet string.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any, ClassVar, Final

import msgspec

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.certificates import describe_general_name, describe_name
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U16, Array, Bytes, Length, More, Struct

IPV4_SIZE: Final = 4
IPV6_SIZE: Final = 16
SHOWN_LIST: Final = 8  # identities of an ID_LIST in a summary
IKE_PORTS: Final = (0, 500, 4500)


class IdData(Struct):
    """Root of the structures inside an ID payload; ``registry`` maps identification types to classes."""

    registry: ClassVar[dict[int, Any]] = {}


class Ipv4Address(IdData, of=ipsec_doi.IdType.ID_IPV4_ADDR, rfc="2407 4.6.2.2"):
    """One IPv4 address."""

    address: Annotated[bytes, Bytes(IPV4_SIZE)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class Ipv6Address(IdData, of=ipsec_doi.IdType.ID_IPV6_ADDR, rfc="2407 4.6.2.6"):
    """One IPv6 address."""

    address: Annotated[bytes, Bytes(IPV6_SIZE)]

    def summary(self) -> str:
        """The address."""
        return str(ipaddress.ip_address(self.address))


class Ipv4Subnet(IdData, of=ipsec_doi.IdType.ID_IPV4_ADDR_SUBNET, rfc="2407 4.6.2.5"):
    """A range of IPv4 addresses by address and mask."""

    address: Annotated[bytes, Bytes(IPV4_SIZE)]
    mask: Annotated[bytes, Bytes(IPV4_SIZE)]

    def summary(self) -> str:
        """Address and prefix length, or the mask where it is none."""
        return subnet_text(self.address, self.mask)


class Ipv6Subnet(IdData, of=ipsec_doi.IdType.ID_IPV6_ADDR_SUBNET, rfc="2407 4.6.2.7"):
    """A range of IPv6 addresses by address and mask."""

    address: Annotated[bytes, Bytes(IPV6_SIZE)]
    mask: Annotated[bytes, Bytes(IPV6_SIZE)]

    def summary(self) -> str:
        """Address and prefix length, or the mask where it is none."""
        return subnet_text(self.address, self.mask)


class Ipv4Range(IdData, of=ipsec_doi.IdType.ID_IPV4_ADDR_RANGE, rfc="2407 4.6.2.8"):
    """A range of IPv4 addresses by its first and last."""

    first: Annotated[bytes, Bytes(IPV4_SIZE)]
    last: Annotated[bytes, Bytes(IPV4_SIZE)]

    def summary(self) -> str:
        """First and last address."""
        return f"{ipaddress.ip_address(self.first)}-{ipaddress.ip_address(self.last)}"


class Ipv6Range(IdData, of=ipsec_doi.IdType.ID_IPV6_ADDR_RANGE, rfc="2407 4.6.2.9"):
    """A range of IPv6 addresses by its first and last."""

    first: Annotated[bytes, Bytes(IPV6_SIZE)]
    last: Annotated[bytes, Bytes(IPV6_SIZE)]

    def summary(self) -> str:
        """First and last address."""
        return f"{ipaddress.ip_address(self.first)}-{ipaddress.ip_address(self.last)}"


class ListEntry(Struct, rfc="3554 3"):
    """One identity of a list, encoded like an Identification payload with its generic header."""

    next_payload: Annotated[int | None, U8, More(int(isakmp.PayloadType.ID))] = None
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    id_type: Annotated[ipsec_doi.IdType, U8]
    protocol_id: Annotated[IpProtocol, U8] = IpProtocol(0)
    port: Annotated[int, U16] = 0
    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """Type and value."""
        return f"{self.id_type} {value_text(int(self.id_type), self.data)}"


class IdList(IdData, of=ipsec_doi.IdType.ID_LIST, rfc="3554 3"):
    """Several identities for one SCTP association."""

    entries: Annotated[tuple[ListEntry, ...], Array(ListEntry)] = ()

    def summary(self) -> str:
        """The identities, the first few of them."""
        shown = [entry.summary() for entry in self.entries[:SHOWN_LIST]]
        more = len(self.entries) - len(shown)
        return ", ".join([*shown, *([f"and {more} more"] if more > 0 else [])])


class Selector(msgspec.Struct, frozen=True):
    """A phase 2 identity as a selector: first and last address, IP protocol (0: any), port (0: any)."""

    first: str
    last: str
    protocol: IpProtocol
    port: int

    def __str__(self) -> str:
        ports = f"/{self.protocol}/{self.port or 'any'}" if self.protocol or self.port else ""
        return f"{self.first}-{self.last}{ports}" if self.first != self.last else f"{self.first}{ports}"


class Identification(Ikev1Body, of=isakmp.PayloadType.ID, rfc="2407 4.6.2"):
    """Identification payload. ``protocol_id`` and ``port`` are 0, or in phase 1 17 (UDP) and 500 (or 4500)."""

    id_type: Annotated[ipsec_doi.IdType, U8]
    protocol_id: Annotated[IpProtocol, U8] = IpProtocol(0)
    port: Annotated[int, U16] = 0
    data: Annotated[bytes, REST] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The structure of the type, where it has one."""
        found = IdData.registry.get(int(self.id_type))
        return None if found is None else ("data", found)

    @property
    def value(self) -> str:
        """The identity as text: address, subnet, range, name, hexadecimal for what has no text."""
        return value_text(int(self.id_type), self.data)

    @property
    def selector(self) -> Selector | None:
        """The identity as a selector of phase 2; None where it is no address, subnet or range."""
        bounds = _bounds(self.content())
        if bounds is None:
            return None
        return Selector(bounds[0], bounds[1], self.protocol_id, self.port)

    @property
    def is_usual_in_phase_1(self) -> bool:
        """Whether protocol and port are 0, or UDP and an IKE port (RFC 2407 section 4.6.2, RFC 3947 section 4)."""
        if not self.protocol_id:
            return self.port == 0
        return self.protocol_id == IpProtocol.UDP and self.port in IKE_PORTS

    def summary(self) -> str:
        """Such as ``ID_FQDN moon.example`` or ``ID_IPV4_ADDR_SUBNET 10.1.0.0/24 TCP/80``."""
        named = f" {self.protocol_id or 'any'}/{self.port}" if self.protocol_id or self.port else ""
        return f"{self.id_type} {self.value}{named}"


def value_text(id_type: int, data: bytes) -> str:
    """The text of an identity: what its structure says, a name, or hexadecimal."""
    structure = IdData.registry.get(id_type)
    if structure is not None:
        value = Identification(id_type=ipsec_doi.IdType(id_type), data=data).content()
        return data.hex() if value is None else value.summary()
    if id_type in (ipsec_doi.IdType.ID_FQDN, ipsec_doi.IdType.ID_USER_FQDN):
        return data.decode("utf-8", "backslashreplace")
    if id_type == ipsec_doi.IdType.ID_DER_ASN1_DN:
        return describe_name(data) or data.hex()
    if id_type == ipsec_doi.IdType.ID_DER_ASN1_GN:
        return describe_general_name(data) or data.hex()
    printable = bool(data) and all(0x20 <= octet < 0x7F for octet in data)
    return data.decode("ascii") if printable else data.hex()


def subnet_text(address: bytes, mask: bytes) -> str:
    """Address and prefix length; the mask itself where its ones are not in front."""
    start, length = ipaddress.ip_address(address), prefix_length(mask)
    return f"{start}/{ipaddress.ip_address(mask)}" if length is None else f"{start}/{length}"


def prefix_length(mask: bytes) -> int | None:
    """The number of ones in a network mask; None when they are not all in front."""
    number, bits = int.from_bytes(mask, "big"), len(mask) * 8
    ones = number.bit_count()
    return ones if number == ((1 << ones) - 1) << (bits - ones) else None


def _bounds(content: Struct | None) -> tuple[str, str] | None:
    if isinstance(content, Ipv4Address | Ipv6Address):
        first = last = content.address
    elif isinstance(content, Ipv4Range | Ipv6Range):
        first, last = content.first, content.last
    elif isinstance(content, Ipv4Subnet | Ipv6Subnet):
        first = bytes(a & m for a, m in zip(content.address, content.mask, strict=True))
        last = bytes(a | ~m & 0xFF for a, m in zip(content.address, content.mask, strict=True))
    else:
        return None
    return str(ipaddress.ip_address(first)), str(ipaddress.ip_address(last))
