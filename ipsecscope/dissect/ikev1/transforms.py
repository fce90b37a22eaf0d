"""Transforms of ISAKMP and their attributes: RFC 2408 section 3.6, RFC 2409 appendix A, RFC 2407 section 4.5.

Phase 1 says everything in attributes; phase 2 names the algorithm by transform ID and qualifies it by attributes of
another table. ``equivalents`` gives IKEv2's words for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev1.attributes import (
    LONG,
    SHORT,
    Attribute,
    CodePointClass,
    Lifetime,
    LongAttribute,
    ShortAttribute,
    attributes_of,
)
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.equivalents import ikev2_equivalent
from ipsecscope.dissect.wire import U8, U16, Length, More, Struct


class PhaseOneShort(ShortAttribute, rfc="2409 A"):
    """An attribute of an ISAKMP transform in the short form."""

    names: ClassVar[dict[int, CodePointClass]] = isakmp.PHASE_ONE_VALUES
    attribute_type: Annotated[isakmp.PhaseOneAttribute, SHORT]


class PhaseOneLong(LongAttribute, rfc="2409 A"):
    """An attribute of an ISAKMP transform in the long form."""

    names: ClassVar[dict[int, CodePointClass]] = isakmp.PHASE_ONE_VALUES
    attribute_type: Annotated[isakmp.PhaseOneAttribute, LONG]


class PhaseTwoShort(ShortAttribute, rfc="2407 4.5"):
    """An attribute of an AH, ESP or IPComp transform in the short form."""

    names: ClassVar[dict[int, CodePointClass]] = ipsec_doi.PHASE_TWO_VALUES
    attribute_type: Annotated[ipsec_doi.PhaseTwoAttribute, SHORT]


class PhaseTwoLong(LongAttribute, rfc="2407 4.5"):
    """An attribute of an AH, ESP or IPComp transform in the long form."""

    names: ClassVar[dict[int, CodePointClass]] = ipsec_doi.PHASE_TWO_VALUES
    attribute_type: Annotated[ipsec_doi.PhaseTwoAttribute, LONG]


def read_lifetimes(
    attributes: Sequence[Attribute], type_number: int | None, duration_number: int | None
) -> tuple[Lifetime, ...]:
    """Every life type with the duration that follows it, in wire order (RFC 2409 appendix A, RFC 2407 section 4.5)."""
    found: list[Lifetime] = []
    life_type: CodePoint | None = None
    for item in attributes:
        if item.attribute_type == type_number:
            life_type = item.meaning
        elif item.attribute_type == duration_number and life_type is not None:
            found.append(Lifetime(life_type, item.number, len(item.octets)))
    return tuple(found)


class Transform(Struct, rfc="2408 3.6"):
    """One transform: an algorithm and the attributes that go with it. The class of an unknown protocol's transforms."""

    more: Annotated[int | None, U8, More(int(isakmp.PayloadType.T))] = None
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    number: Annotated[int, U8] = 1
    transform_id: Annotated[int, U8]
    reserved2: Annotated[int, U16] = 0
    attributes: Annotated[tuple[Attribute, ...], attributes_of(ShortAttribute, LongAttribute)] = ()

    life_type: ClassVar[int | None] = None
    life_duration: ClassVar[int | None] = None

    def attribute(self, attribute_type: int) -> Attribute | None:
        """The first attribute of a type."""
        return next((item for item in self.attributes if item.attribute_type == attribute_type), None)

    def value(self, attribute_type: int) -> int | None:
        """The number that the first attribute of a type carries."""
        found = self.attribute(attribute_type)
        return None if found is None else found.number

    def named(self, attribute_type: int) -> CodePoint | None:
        """The code point that the first attribute of a type carries."""
        found = self.attribute(attribute_type)
        return None if found is None else found.meaning

    @property
    def algorithm(self) -> CodePoint | None:
        """The encryption algorithm, or what takes its place in this protocol; None when there is none to name."""
        return None

    @property
    def key_length(self) -> int | None:
        """The key length in bits, where an attribute gives one."""
        return None

    @property
    def hash(self) -> CodePoint | None:
        """Phase 1: the hash algorithm. Phase 2: the authentication algorithm."""
        return None

    @property
    def group(self) -> CodePoint | None:
        """The Diffie-Hellman group: of phase 1, or of perfect forward secrecy."""
        return None

    @property
    def auth(self) -> CodePoint | None:
        """Phase 1: the authentication method."""
        return None

    @property
    def mode(self) -> CodePoint | None:
        """Phase 2: the encapsulation mode."""
        return None

    @property
    def equivalents(self) -> tuple[CodePoint, ...]:
        """What IKEv2 calls the algorithms of this transform, for those that it has (the hash of phase 1 is its PRF)."""
        named = (self.algorithm, self.hash, self.group, self.auth)
        return tuple(found for part in named if part is not None and (found := ikev2_equivalent(part)) is not None)

    @property
    def lifetimes(self) -> tuple[Lifetime, ...]:
        """Every life type with the duration that follows it, in wire order (RFC 2409 appendix A, RFC 2407 4.5)."""
        return read_lifetimes(self.attributes, self.life_type, self.life_duration)

    def lifetime(self, life_type: int) -> int | None:
        """The first duration of a life type, such as ``LifeType.SECONDS``; None when there is none to read."""
        return next((item.duration for item in self.lifetimes if item.life_type == life_type), None)

    def summary(self) -> str:
        """The algorithms in a row, such as ``AES_CBC-256 SHA2_256 MODP_2048 PRE_SHARED_KEY``."""
        name = str(self.algorithm) if self.algorithm is not None else f"transform {self.transform_id}"
        if self.key_length is not None:
            name = f"{name}-{self.key_length}"
        parts = [str(part) for part in (self.hash, self.group, self.auth, self.mode) if part is not None]
        return " ".join([name, *parts, *(str(item) for item in self.lifetimes)])


class PhaseOneTransform(Transform, rfc="2409 A"):
    """A transform of phase 1; everything it says is in its attributes."""

    life_type: ClassVar[int | None] = int(isakmp.PhaseOneAttribute.LIFE_TYPE)
    life_duration: ClassVar[int | None] = int(isakmp.PhaseOneAttribute.LIFE_DURATION)

    transform_id: Annotated[isakmp.IsakmpTransform, U8] = isakmp.IsakmpTransform.KEY_IKE
    attributes: Annotated[tuple[Attribute, ...], attributes_of(PhaseOneShort, PhaseOneLong)] = ()

    @property
    def algorithm(self) -> CodePoint | None:
        """The encryption algorithm."""
        return self.named(isakmp.PhaseOneAttribute.ENCRYPTION_ALGORITHM)

    @property
    def key_length(self) -> int | None:
        """The key length in bits, where an attribute gives one."""
        return self.value(isakmp.PhaseOneAttribute.KEY_LENGTH)

    @property
    def hash(self) -> CodePoint | None:
        """The hash algorithm."""
        return self.named(isakmp.PhaseOneAttribute.HASH_ALGORITHM)

    @property
    def group(self) -> CodePoint | None:
        """The Diffie-Hellman group."""
        return self.named(isakmp.PhaseOneAttribute.GROUP_DESCRIPTION)

    @property
    def auth(self) -> CodePoint | None:
        """The authentication method."""
        return self.named(isakmp.PhaseOneAttribute.AUTHENTICATION_METHOD)


class PhaseTwoTransform(Transform, rfc="2407 4.5"):
    """What the transforms of AH, ESP and IPComp have in common: the attributes of phase 2."""

    life_type: ClassVar[int | None] = int(ipsec_doi.PhaseTwoAttribute.SA_LIFE_TYPE)
    life_duration: ClassVar[int | None] = int(ipsec_doi.PhaseTwoAttribute.SA_LIFE_DURATION)

    attributes: Annotated[tuple[Attribute, ...], attributes_of(PhaseTwoShort, PhaseTwoLong)] = ()

    @property
    def algorithm(self) -> CodePoint | None:
        """What the transform ID names."""
        return self.transform_id if isinstance(self.transform_id, CodePoint) else None

    @property
    def key_length(self) -> int | None:
        """The key length in bits, where an attribute gives one."""
        return self.value(ipsec_doi.PhaseTwoAttribute.KEY_LENGTH)

    @property
    def hash(self) -> CodePoint | None:
        """The authentication algorithm."""
        return self.named(ipsec_doi.PhaseTwoAttribute.AUTHENTICATION_ALGORITHM)

    @property
    def group(self) -> CodePoint | None:
        """The group of perfect forward secrecy."""
        return self.named(ipsec_doi.PhaseTwoAttribute.GROUP_DESCRIPTION)

    @property
    def mode(self) -> CodePoint | None:
        """The encapsulation mode."""
        return self.named(ipsec_doi.PhaseTwoAttribute.ENCAPSULATION_MODE)


class AhTransform(PhaseTwoTransform, rfc="2407 4.4.3"):
    """A transform of an AH proposal."""

    transform_id: Annotated[ipsec_doi.AhTransform, U8]


class EspTransform(PhaseTwoTransform, rfc="2407 4.4.4"):
    """A transform of an ESP proposal; its numbers are not those of IKEv2."""

    transform_id: Annotated[ipsec_doi.EspTransform, U8]


class IpcompTransform(PhaseTwoTransform, rfc="2407 4.4.5"):
    """A transform of an IPComp proposal."""

    transform_id: Annotated[ipsec_doi.IpcompTransform, U8]
