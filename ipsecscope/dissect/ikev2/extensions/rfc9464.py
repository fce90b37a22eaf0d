"""RFC 9464: IKEv2 Configuration for Encrypted DNS."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Any

from ipsecscope.dissect.ikev2.codecs import CountedNumbers
from ipsecscope.dissect.ikev2.configuration import ConfigurationValue
from ipsecscope.dissect.ikev2.identification import text_of
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType, HashAlgorithm
from ipsecscope.dissect.wire import REST, U8, U16, Codec, CountOf, Reader, Sized, SizeOf


class Addresses(Codec):
    """As many addresses of one family as the earlier field ``by`` says."""

    def __init__(self, size: int, by: str) -> None:
        self.size = size
        self.by = by

    def get(self, reader: Reader, by: int = 0) -> tuple[bytes, ...]:
        """Read the addresses."""
        return tuple(reader.take(self.size) for _ in range(by))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the addresses."""
        for address in value:
            out += address


def _resolver_text(name: bytes, addresses: tuple[bytes, ...], priority: int) -> str:
    places = " ".join(str(ipaddress.ip_address(address)) for address in addresses)
    return f"{text_of(name)} {places} priority {priority}".strip()


class EncryptedDnsIp4(ConfigurationValue, of=ConfigurationAttributeType.ENCDNS_IP4, rfc="9464 3.1"):
    """An encrypted resolver with IPv4 addresses. Priority 0 is AliasMode; ``svc_params`` are those of RFC 9460."""

    service_priority: Annotated[int, U16]
    address_count: Annotated[int | None, U8, CountOf("addresses")] = None
    name_length: Annotated[int | None, U8, SizeOf("name")] = None
    addresses: Annotated[tuple[bytes, ...], Addresses(4, "address_count")] = ()
    name: Annotated[bytes, Sized("name_length")] = b""
    svc_params: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The name, the addresses and the priority."""
        return _resolver_text(self.name, self.addresses, self.service_priority)


class EncryptedDnsIp6(ConfigurationValue, of=ConfigurationAttributeType.ENCDNS_IP6, rfc="9464 3.1"):
    """An encrypted resolver with IPv6 addresses."""

    service_priority: Annotated[int, U16]
    address_count: Annotated[int | None, U8, CountOf("addresses")] = None
    name_length: Annotated[int | None, U8, SizeOf("name")] = None
    addresses: Annotated[tuple[bytes, ...], Addresses(16, "address_count")] = ()
    name: Annotated[bytes, Sized("name_length")] = b""
    svc_params: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The name, the addresses and the priority."""
        return _resolver_text(self.name, self.addresses, self.service_priority)


class EncryptedDnsDigestInfo(ConfigurationValue, of=ConfigurationAttributeType.ENCDNS_DIGEST_INFO, rfc="9464 3.2"):
    """In a request the hash algorithms a client knows; in a reply the digest of the resolver's public key."""

    hash_count: Annotated[int | None, U8, CountOf("hashes")] = None
    name_length: Annotated[int | None, U8, SizeOf("name")] = None
    name: Annotated[bytes, Sized("name_length")] = b""
    hashes: Annotated[tuple[HashAlgorithm, ...], CountedNumbers(HashAlgorithm, "hash_count")] = ()
    digest: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The name, the hash algorithms and the digest."""
        names = " ".join(str(item) for item in self.hashes)
        return " ".join(part for part in (text_of(self.name), names, self.digest.hex()) if part)
