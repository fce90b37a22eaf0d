"""RFC 9838: Group Key Management Using IKEv2 (G-IKEv2). The keys in KD arrive wrapped and stay so."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.codecs import Marked, Sequence
from ipsecscope.dissect.ikev2.identification import Identification
from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.ikev2.proposals import Transform, format_bit
from ipsecscope.dissect.ikev2.selectors import TrafficSelector, UnknownSelector, selector_type
from ipsecscope.dissect.registry.ikev2 import (
    GroupKeyBagAttributeType,
    GroupWidePolicyAttributeType,
    GsaAttributeType,
    MemberKeyBagAttributeType,
    NotifyType,
    PayloadType,
    SecurityProtocol,
)
from ipsecscope.dissect.wire import (
    REST,
    U8,
    U16,
    U32,
    Array,
    Codec,
    Field,
    Length,
    Reader,
    Sized,
    SizeOf,
    Struct,
    WireError,
)

NO_PROTOCOL = SecurityProtocol.NONE  # marks a substructure that belongs to no SA (RFC 9838 4.4.3, 4.5.3)


class GroupErrors(
    NoData,
    of=(NotifyType.INVALID_GROUP_ID, NotifyType.AUTHORIZATION_FAILED, NotifyType.REGISTRATION_FAILED),
    rfc="9838 4.7",
):
    """The data of notifications that have none."""


class GroupSender(NotifyData, of=NotifyType.GROUP_SENDER, rfc="9838 4.7"):
    """The member wants to send, with so many Sender-IDs."""

    sender_ids: Annotated[int, U32]

    def summary(self) -> str:
        """The number of Sender-IDs."""
        return f"{self.sender_ids} Sender-IDs"


class GroupIdentification(Identification, of=PayloadType.IDg, rfc="9838 4.2"):
    """Group Identification payload: the group that the member wants to join."""


class OneSelector(Codec):
    """One traffic selector of whatever type."""

    def _class(self, reader: Reader) -> type[TrafficSelector]:
        if reader.left < 1:
            raise WireError("a traffic selector needed, nothing left", reader.pos, reader.end)
        found: type[TrafficSelector] = TrafficSelector.registry.get(selector_type(reader), UnknownSelector)
        return found

    def get(self, reader: Reader, by: int = 0) -> TrafficSelector:
        """Read the selector."""
        del by
        return self._class(reader).read(reader)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the selector."""
        value.write(out)

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the selector and record where its fields stood."""
        del by
        return self._class(reader).trace(reader, name)


class ShortGsaAttribute(Struct, rfc="9838 4.4.2.2"):
    """A parameter of a group SA that fits 16 bits."""

    attribute_type: Annotated[GsaAttributeType, Marked(bit=True)]
    value: Annotated[int, U16]

    def summary(self) -> str:
        """Type and value."""
        return f"{self.attribute_type}={self.value}"


class GsaAttribute(Struct, rfc="9838 4.4.2.2"):
    """A parameter of a group SA: its lifetime, its first Message ID, an SPI that will come."""

    attribute_type: Annotated[GsaAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def summary(self) -> str:
        """Such as ``GSA_KEY_LIFETIME=3600``; an SPI in hex."""
        is_spi = self.attribute_type == GsaAttributeType.GSA_NEXT_SPI
        return f"{self.attribute_type}={self.value.hex() if is_spi else int.from_bytes(self.value[:8], 'big')}"


class ShortGroupWideAttribute(Struct, rfc="9838 4.4.3.1"):
    """A rule for all members that fits 16 bits: activation and deactivation delay, bits of a Sender-ID."""

    attribute_type: Annotated[GroupWidePolicyAttributeType, Marked(bit=True)]
    value: Annotated[int, U16]

    def summary(self) -> str:
        """Such as ``GWP_ATD=60``."""
        return f"{self.attribute_type}={self.value}"


class GroupWideAttribute(Struct, rfc="9838 4.4.3.1"):
    """A rule for all members with a length of its own."""

    attribute_type: Annotated[GroupWidePolicyAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def summary(self) -> str:
        """Type and octets."""
        return f"{self.attribute_type}={self.value.hex()}"


class GsaPolicy(Struct, rfc="9838 4.4.2"):
    """The policy of one group SA: what it carries, between whom, with which algorithms."""

    protocol: Annotated[SecurityProtocol, U8]
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    length: Annotated[int | None, U16, Length()] = None
    spi: Annotated[bytes, Sized("spi_size")] = b""
    source: Annotated[TrafficSelector, OneSelector()]
    destination: Annotated[TrafficSelector, OneSelector()]
    transforms: Annotated[tuple[Transform, ...], Sequence(Transform)] = ()
    attributes: Annotated[
        tuple[ShortGsaAttribute | GsaAttribute, ...], Array(GsaAttribute, format_bit, {1: ShortGsaAttribute})
    ] = ()

    def summary(self) -> str:
        """Protocol, SPI, selectors and algorithms."""
        algorithms = " ".join(item.summary() for item in self.transforms)
        return (
            f"{self.protocol} {self.spi.hex()} {self.source.summary()} -> {self.destination.summary()} {algorithms}"
        ).rstrip()


class GroupWidePolicy(Struct, rfc="9838 4.4.3"):
    """Policy of the whole group."""

    protocol: Annotated[SecurityProtocol, U8] = NO_PROTOCOL
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    attributes: Annotated[
        tuple[ShortGroupWideAttribute | GroupWideAttribute, ...],
        Array(GroupWideAttribute, format_bit, {1: ShortGroupWideAttribute}),
    ] = ()

    def summary(self) -> str:
        """The attributes."""
        return " ".join(item.summary() for item in self.attributes)


def substructure_protocol(reader: Reader) -> int:
    """The protocol of the substructure at the cursor: 0 for one that belongs to no SA."""
    return reader.data[reader.pos]


class GroupSecurityAssociation(Ikev2Body, of=PayloadType.GSA, rfc="9838 4.4"):
    """Group Security Association payload: the SAs of the group and its policy."""

    policies: Annotated[
        tuple[GsaPolicy | GroupWidePolicy, ...],
        Array(GsaPolicy, substructure_protocol, {NO_PROTOCOL: GroupWidePolicy}),
    ] = ()

    def summary(self) -> str:
        """The policies."""
        return "; ".join(item.summary() for item in self.policies)


class WrappedKey(Struct, rfc="9838 4.5.1"):
    """A key encrypted with another one. A ``key_id`` of 0 means keying material for the SA."""

    key_id: Annotated[int, U32]
    kwk_id: Annotated[int, U32]
    wrapped_key: Annotated[bytes, REST]

    def summary(self) -> str:
        """Which key was wrapped with which."""
        return f"key {self.key_id} under {self.kwk_id or 'the default key'}"


class GroupKeyAttribute(Struct, rfc="9838 4.5.2"):
    """The keying material of a group SA."""

    registry: ClassVar[dict[int, Any]] = {GroupKeyBagAttributeType.SA_KEY: WrappedKey}
    attribute_type: Annotated[GroupKeyBagAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The wrapped key."""
        found = self.registry.get(self.attribute_type)
        return None if found is None else ("value", found)

    def summary(self) -> str:
        """The type, and which key was wrapped with which."""
        content = self.content()
        return f"{self.attribute_type} {content.summary() if content else ''}".rstrip()


class MemberKeyAttribute(Struct, rfc="9838 4.5.3"):
    """A key or a Sender-ID of one member."""

    registry: ClassVar[dict[int, Any]] = {MemberKeyBagAttributeType.WRAP_KEY: WrappedKey}
    attribute_type: Annotated[MemberKeyBagAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The wrapped key, where the attribute is one."""
        found = self.registry.get(self.attribute_type)
        return None if found is None else ("value", found)

    def summary(self) -> str:
        """The type, and which key was wrapped with which."""
        content = self.content()
        return f"{self.attribute_type} {content.summary() if content else ''}".rstrip()


class GroupKeyBag(Struct, rfc="9838 4.5.2"):
    """The keys of one group SA."""

    protocol: Annotated[SecurityProtocol, U8]
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    length: Annotated[int | None, U16, Length()] = None
    spi: Annotated[bytes, Sized("spi_size")] = b""
    attributes: Annotated[tuple[GroupKeyAttribute, ...], Array(GroupKeyAttribute)] = ()

    def summary(self) -> str:
        """Protocol, SPI and attributes."""
        return " ".join([str(self.protocol), self.spi.hex(), *(item.summary() for item in self.attributes)])


class MemberKeyBag(Struct, rfc="9838 4.5.3"):
    """The keys and parameters of one member."""

    protocol: Annotated[SecurityProtocol, U8] = NO_PROTOCOL
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    attributes: Annotated[tuple[MemberKeyAttribute, ...], Array(MemberKeyAttribute)] = ()

    def summary(self) -> str:
        """The attributes."""
        return " ".join(item.summary() for item in self.attributes)


class KeyDownload(Ikev2Body, of=PayloadType.KD, rfc="9838 4.5"):
    """Key Download payload."""

    key_bags: Annotated[
        tuple[GroupKeyBag | MemberKeyBag, ...], Array(GroupKeyBag, substructure_protocol, {NO_PROTOCOL: MemberKeyBag})
    ] = ()

    def summary(self) -> str:
        """The key bags."""
        return "; ".join(item.summary() for item in self.key_bags)
