"""The Security Association payload: proposals, transforms, attributes (RFC 7296 section 3.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.codecs import Marked
from ipsecscope.dissect.registry.ikev2 import (
    TRANSFORM_IDS,
    PayloadType,
    SecurityProtocol,
    TransformAttributeType,
    TransformType,
)
from ipsecscope.dissect.wire import (
    U8,
    U16,
    Array,
    CountOf,
    Length,
    More,
    Reader,
    Sized,
    SizeOf,
    Struct,
)

MORE_PROPOSALS = 2  # the ISAKMP payload number of a proposal, kept as a marker (RFC 7296 3.3.1)
MORE_TRANSFORMS = 3  # the ISAKMP payload number of a transform (RFC 7296 3.3.2)


class ShortAttribute(Struct, rfc="7296 3.3.5"):
    """An attribute in type/value form (the format bit is set): its value is a 16-bit number."""

    attribute_type: Annotated[TransformAttributeType, Marked(bit=True)]
    value: Annotated[int, U16]

    def summary(self) -> str:
        """Such as ``Key Length 256``."""
        return f"{self.attribute_type}={self.value}"


class LongAttribute(Struct, rfc="7296 3.3.5"):
    """An attribute in type/length/value form (the format bit is clear)."""

    attribute_type: Annotated[TransformAttributeType, Marked(bit=False)]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    def summary(self) -> str:
        """Such as ``SIGNATURE_ALGORITHM_IDENTIFIER=300d…``."""
        return f"{self.attribute_type}={self.value.hex()}"


def format_bit(reader: Reader) -> int:
    """The format bit of the attribute at the cursor: 1 for type/value."""
    return reader.data[reader.pos] >> 7


class Transform(Struct, rfc="7296 3.3.2"):
    """One algorithm of one kind. ``transform_id`` is the number on the wire, ``algorithm`` its name."""

    last: Annotated[int | None, U8, More(MORE_TRANSFORMS)] = None
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    transform_type: Annotated[TransformType, U8]
    reserved2: Annotated[int, U8] = 0
    transform_id: Annotated[int, U16]
    attributes: Annotated[
        tuple[ShortAttribute | LongAttribute, ...], Array(LongAttribute, format_bit, {1: ShortAttribute})
    ] = ()

    @classmethod
    def of_kind(cls, transform_type: int, transform_id: int, key_length: int | None = None) -> Transform:
        """A transform as a proposal carries it; ``key_length`` in bits becomes its attribute."""
        attributes: tuple[ShortAttribute, ...] = ()
        if key_length is not None:
            attributes = (ShortAttribute(attribute_type=TransformAttributeType.KEY_LENGTH, value=key_length),)
        return cls(transform_type=TransformType(transform_type), transform_id=int(transform_id), attributes=attributes)

    @property
    def algorithm(self) -> CodePoint | int:
        """The transform ID as a code point of its type's table; the number alone for a type without a table."""
        table = TRANSFORM_IDS.get(self.transform_type)
        return self.transform_id if table is None else table(self.transform_id)

    @property
    def key_length(self) -> int | None:
        """The Key Length attribute in bits; None when there is none in type/value form."""
        for attribute in self.attributes:
            is_key_length = attribute.attribute_type == TransformAttributeType.KEY_LENGTH
            if is_key_length and isinstance(attribute, ShortAttribute):
                return attribute.value
        return None

    def summary(self) -> str:
        """Such as ``ENCR_AES_CBC-256``."""
        name = self.algorithm
        text = str(name) if isinstance(name, CodePoint) else f"{self.transform_type}/{name}"
        return text if self.key_length is None else f"{text}-{self.key_length}"


class Proposal(Struct, rfc="7296 3.3.1"):
    """One set of transforms for one protocol; several transforms of one type are alternatives."""

    last: Annotated[int | None, U8, More(MORE_PROPOSALS)] = None
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    number: Annotated[int, U8]
    protocol_id: Annotated[SecurityProtocol, U8]
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    transform_count: Annotated[int | None, U8, CountOf("transforms")] = None
    spi: Annotated[bytes, Sized("spi_size")] = b""
    transforms: Annotated[tuple[Transform, ...], Array(Transform)] = ()

    def of_type(self, transform_type: int) -> tuple[Transform, ...]:
        """The transforms of one type, in order of preference."""
        return tuple(item for item in self.transforms if item.transform_type == transform_type)

    @property
    def algorithms(self) -> Iterator[tuple[TransformType, CodePoint | int, int | None]]:
        """Type, algorithm and key length of every transform, in wire order."""
        return ((item.transform_type, item.algorithm, item.key_length) for item in self.transforms)

    def summary(self) -> str:
        """Such as ``1 ESP ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128``."""
        parts = [str(self.number), str(self.protocol_id), *(item.summary() for item in self.transforms)]
        return " ".join(parts)


class SecurityAssociation(Ikev2Body, of=PayloadType.SA, rfc="7296 3.3"):
    """Security Association payload: what is offered, or the one proposal that was chosen."""

    proposals: Annotated[tuple[Proposal, ...], Array(Proposal)] = ()

    def summary(self) -> str:
        """The only proposal in full, or how many there are."""
        if len(self.proposals) == 1:
            return self.proposals[0].summary()
        return f"{len(self.proposals)} proposals"
