"""The Security Association payload of ISAKMP: situation, proposals, transforms (RFC 2408 sections 3.4 to 3.6).

The protocol of a proposal decides which tables its transforms are read from. Several proposals of one number are one offer (AH and ESP
together); several numbers are alternatives.
"""

from __future__ import annotations

from enum import IntFlag
from itertools import groupby
from typing import Annotated, Any, ClassVar, Final, Self, cast

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.ikev1.gdoi import GdoiSecurityAssociation
from ipsecscope.dissect.ikev1.transforms import (
    AhTransform,
    EspTransform,
    IpcompTransform,
    PhaseOneTransform,
    Transform,
)
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
    transforms: Annotated[tuple[Transform, ...], Array(PhaseOneTransform)] = ()


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
