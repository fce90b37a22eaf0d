"""Identification payloads IDi and IDr (RFC 7296 section 3.5). Every value has a text; hostile ASN.1 becomes hex."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Annotated

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.certificates import describe_general_name, describe_name
from ipsecscope.dissect.registry.ikev2 import IdType, PayloadType
from ipsecscope.dissect.wire import REST, U8, U24


def text_of(data: bytes) -> str:
    """Octets that should be text: UTF-8 where they are, escapes where they are not."""
    return data.decode("utf-8", "backslashreplace")


def key_id_text(data: bytes) -> str:
    """An opaque identity: its text when every octet prints, else hex."""
    return data.decode("ascii") if data and all(0x20 <= octet < 0x7F for octet in data) else data.hex()


def _address(data: bytes) -> str:
    return str(ipaddress.ip_address(data)) if len(data) in (4, 16) else data.hex()


def _asn1(describe: Callable[[bytes], str | None]) -> Callable[[bytes], str]:
    def text(data: bytes) -> str:
        found = describe(data)
        return data.hex() if found is None else found

    return text


def _fc_name(data: bytes) -> str:
    return data.hex(":")


_TEXT: dict[int, Callable[[bytes], str]] = {
    IdType.ID_IPV4_ADDR: _address,
    IdType.ID_IPV6_ADDR: _address,
    IdType.ID_FQDN: text_of,
    IdType.ID_RFC822_ADDR: text_of,
    IdType.ID_DER_ASN1_DN: _asn1(describe_name),
    IdType.ID_DER_ASN1_GN: _asn1(describe_general_name),
    IdType.ID_KEY_ID: key_id_text,
    IdType.ID_FC_NAME: _fc_name,
    IdType.ID_NULL: key_id_text,
}


class Identification(Ikev2Body, rfc="7296 3.5"):
    """Who the sender claims to be, or whom it wants to talk to."""

    id_type: Annotated[IdType, U8]
    reserved: Annotated[int, U24] = 0
    data: Annotated[bytes, REST] = b""

    @property
    def value(self) -> str:
        """The identity as text: an address, a name, a distinguished name (RFC 4514), hex for what has no text."""
        return _TEXT.get(self.id_type, key_id_text)(self.data)

    def summary(self) -> str:
        """Such as ``ID_FQDN moon.example``."""
        return f"{self.id_type} {self.value}".rstrip()


class IdentificationInitiator(Identification, of=PayloadType.IDi, rfc="7296 3.5"):
    """Identification - Initiator payload."""


class IdentificationResponder(Identification, of=PayloadType.IDr, rfc="7296 3.5"):
    """Identification - Responder payload. In a request it names the identity the initiator wants to meet."""
