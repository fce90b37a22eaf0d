"""The Security Association payload of ISAKMP: situation, proposals, transforms (RFC 2408 sections 3.4 to 3.6).

Which table the attributes of a transform are read from is decided by the protocol of its proposal: RFC 2409 appendix A
for ISAKMP, RFC 2407 section 4.5 for AH, ESP and IPComp. Several proposals of one number are one offer (AH and ESP
together); several numbers are alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntFlag
from itertools import groupby
from typing import Annotated, Any, ClassVar, Final, Self, cast

from ipsecscope.dissect.body import Ikev1Body
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
from ipsecscope.dissect.ikev1.gdoi import GdoiSecurityAssociation
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.wire import (
    REST,
    U8,
    U16,
    U32,
    Array,
    CountOf,
    Field,
    Length,
    More,
    One,
    Reader,
    Sized,
    SizeOf,
    Struct,
    WireError,
)

PROTOCOL_OFFSET: Final = 5  # of the Protocol-Id, from the start of a proposal (RFC 2408 section 3.5)
DOI_SIZE: Final = 4
ALIGNMENT: Final = 4  # RFC 2407 section 4.6.1: labels are padded to 32 bits


class SituationFlags(IntFlag):
    """Situation bits, RFC 2407 section 4.2."""

    SIT_IDENTITY_ONLY = int(ipsec_doi.SituationBit.SIT_IDENTITY_ONLY)
    SIT_SECRECY = int(ipsec_doi.SituationBit.SIT_SECRECY)
    SIT_INTEGRITY = int(ipsec_doi.SituationBit.SIT_INTEGRITY)


class Padded(Sized):
    """As many octets as the earlier field ``by`` says, then zeros up to a multiple of four."""

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets. Raises WireError when the padding is not zero: it could not be written back."""
        value = reader.take(by)
        start = reader.pos
        if any(reader.take(-by % ALIGNMENT)):
            raise WireError("the padding of a label is not zero", start, reader.pos)
        return value

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octets and their padding."""
        out += value
        out += bytes(-len(value) % ALIGNMENT)


class PaddedBits(Padded):
    """As many bits as the earlier field ``by`` says, in whole octets, then zeros up to a multiple of four."""

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets. Raises WireError when the padding is not zero."""
        return super().get(reader, (by + 7) // 8)


class Situation(Struct, rfc="2407 4.6.1"):
    """The situation of an IPsec SA: what the negotiation takes into account. Labels make it a ``LabeledSituation``."""

    flags: Annotated[SituationFlags, U32]

    @classmethod
    def _class_at(cls, reader: Reader) -> type[Situation]:
        if cls is not Situation or reader.left < 4:
            return cls
        flags = int.from_bytes(reader.data[reader.pos : reader.pos + 4], "big")
        labeled = flags & (SituationFlags.SIT_SECRECY | SituationFlags.SIT_INTEGRITY)
        return LabeledSituation if labeled else Situation

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the situation, with its labels if it has any. Raises WireError."""
        return cast("Self", super(Situation, cls._class_at(reader)).read(reader))

    @classmethod
    def trace(cls, reader: Reader, name: str = "") -> Field:
        """Trace the situation, with its labels if it has any. Raises WireError."""
        return super(Situation, cls._class_at(reader)).trace(reader, name)

    def summary(self) -> str:
        """The names of the bits."""
        known = [flag.name or "" for flag in SituationFlags if flag in self.flags]
        rest = int(self.flags) & ~sum(SituationFlags)
        return "|".join([*known, *([f"{rest:#x}"] if rest or not known else [])])


class LabeledSituation(Situation, rfc="2407 4.6.1"):
    """A situation with secrecy and integrity labels. Levels count octets, category bitmaps count bits."""

    domain: Annotated[int, U32]
    secrecy_length: Annotated[int | None, U16, SizeOf("secrecy_level")] = None
    reserved: Annotated[int, U16] = 0
    secrecy_level: Annotated[bytes, Padded("secrecy_length")] = b""
    secrecy_category_length: Annotated[int, U16] = 0
    reserved2: Annotated[int, U16] = 0
    secrecy_category: Annotated[bytes, PaddedBits("secrecy_category_length")] = b""
    integrity_length: Annotated[int | None, U16, SizeOf("integrity_level")] = None
    reserved3: Annotated[int, U16] = 0
    integrity_level: Annotated[bytes, Padded("integrity_length")] = b""
    integrity_category_length: Annotated[int, U16] = 0
    reserved4: Annotated[int, U16] = 0
    integrity_category: Annotated[bytes, PaddedBits("integrity_category_length")] = b""


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


class IsakmpTransform(Transform, rfc="2409 A"):
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


class Proposal(Struct, rfc="2408 3.5"):
    """One protocol with its alternatives, the transforms. The class of a proposal for an unknown protocol."""

    more: Annotated[int | None, U8, More(int(isakmp.PayloadType.P))] = None
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    number: Annotated[int, U8] = 1
    protocol_id: Annotated[ipsec_doi.ProtocolId, U8]
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    transform_count: Annotated[int | None, U8, CountOf("transforms")] = None
    spi: Annotated[bytes, Sized("spi_size")] = b""
    transforms: Annotated[tuple[Transform, ...], Array(Transform)] = ()

    def summary(self) -> str:
        """Number, protocol, SPI and the transforms, or how many there are."""
        spi = f" {self.spi.hex()}" if any(self.spi) else ""
        shown = self.transforms[0].summary() if len(self.transforms) == 1 else f"{len(self.transforms)} transforms"
        return f"#{self.number} {self.protocol_id}{spi}: {shown}"


class IsakmpProposal(Proposal, rfc="2408 3.5"):
    """A proposal for phase 1."""

    protocol_id: Annotated[ipsec_doi.ProtocolId, U8] = ipsec_doi.ProtocolId.PROTO_ISAKMP
    transforms: Annotated[tuple[Transform, ...], Array(IsakmpTransform)] = ()


class AhProposal(Proposal, rfc="2407 4.4.3"):
    """A proposal for AH."""

    protocol_id: Annotated[ipsec_doi.ProtocolId, U8] = ipsec_doi.ProtocolId.PROTO_IPSEC_AH
    transforms: Annotated[tuple[Transform, ...], Array(AhTransform)] = ()


class EspProposal(Proposal, rfc="2407 4.4.4"):
    """A proposal for ESP."""

    protocol_id: Annotated[ipsec_doi.ProtocolId, U8] = ipsec_doi.ProtocolId.PROTO_IPSEC_ESP
    transforms: Annotated[tuple[Transform, ...], Array(EspTransform)] = ()


class IpcompProposal(Proposal, rfc="2407 4.4.5"):
    """A proposal for IPComp; its SPI is a CPI."""

    protocol_id: Annotated[ipsec_doi.ProtocolId, U8] = ipsec_doi.ProtocolId.PROTO_IPCOMP
    transforms: Annotated[tuple[Transform, ...], Array(IpcompTransform)] = ()


PROPOSALS: Final[dict[int, type[Proposal]]] = {
    int(ipsec_doi.ProtocolId.PROTO_ISAKMP): IsakmpProposal,
    int(ipsec_doi.ProtocolId.PROTO_IPSEC_AH): AhProposal,
    int(ipsec_doi.ProtocolId.PROTO_IPSEC_ESP): EspProposal,
    int(ipsec_doi.ProtocolId.PROTO_IPCOMP): IpcompProposal,
}


def _protocol(reader: Reader) -> int:
    """The Protocol-Id of the proposal at the cursor."""
    position = reader.pos + PROTOCOL_OFFSET
    return reader.data[position] if position < reader.end else 0


class SecurityAssociation(Ikev1Body, of=isakmp.PayloadType.SA, rfc="2408 3.4"):
    """Security Association payload: what is offered, or the one offer that was chosen.

    ``parse`` gives a ``GdoiSecurityAssociation`` for a group SA (RFC 6407 section 5.2), a
    ``ForeignSecurityAssociation`` for a DOI whose situations nobody described.
    """

    doi: Annotated[isakmp.Doi, U32] = isakmp.Doi.IPSEC
    situation: Annotated[Situation, One(Situation)] = Situation(flags=SituationFlags.SIT_IDENTITY_ONLY)
    proposals: Annotated[tuple[Proposal, ...], Array(Proposal, _protocol, PROPOSALS)] = ()

    @classmethod
    def _class_at(cls, reader: Reader) -> type[Ikev1Body]:
        if cls is not SecurityAssociation or reader.left < DOI_SIZE:
            return cls
        doi = int.from_bytes(reader.data[reader.pos : reader.pos + DOI_SIZE], "big")
        if doi == isakmp.Doi.GDOI:
            return GdoiSecurityAssociation if GdoiSecurityAssociation.fits(reader) else SecurityAssociation
        return SecurityAssociation if doi in (isakmp.Doi.ISAKMP, isakmp.Doi.IPSEC) else ForeignSecurityAssociation

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload as the class of its DOI. Raises WireError."""
        chosen = cls._class_at(reader)
        found = super().read(reader) if chosen is cls else chosen.read(reader)
        return cast("Self", found)

    @classmethod
    def trace(cls, reader: Reader, name: str = "") -> Field:
        """Trace the payload as the class of its DOI. Raises WireError."""
        chosen = cls._class_at(reader)
        return super().trace(reader, name) if chosen is cls else chosen.trace(reader, name)

    @property
    def offers(self) -> tuple[tuple[Proposal, ...], ...]:
        """The alternatives: proposals of one number belong together (RFC 2408 section 4.2)."""
        return tuple(tuple(group) for _, group in groupby(self.proposals, key=lambda proposal: proposal.number))

    def summary(self) -> str:
        """The only proposal in full, or how many there are."""
        if len(self.proposals) == 1:
            return self.proposals[0].summary()
        return f"{len(self.proposals)} proposals in {len(self.offers)} offers"


class ForeignSecurityAssociation(Ikev1Body, rfc="2408 3.4"):
    """A Security Association payload of a DOI whose situation nobody described; ``data`` begins with it."""

    of: ClassVar[int | None] = int(isakmp.PayloadType.SA)

    doi: Annotated[isakmp.Doi, U32]
    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The DOI."""
        return str(self.doi)
