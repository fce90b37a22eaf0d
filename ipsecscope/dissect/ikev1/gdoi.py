"""Payloads of the Group Domain of Interpretation, RFC 6407 section 5 (RFC 3547 before it).

SAK, SAT and GAP are parts of the Security Association payload in GDOI; some senders put them behind it, so each is a
payload of its own as well. Payload numbers 15 and 16 mean NAT-D and NAT-OA elsewhere: see ``payload_class``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Final

from ipsecscope.dissect.body import Ikev1Body
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev1.attributes import (
    LONG,
    SHORT,
    Attribute,
    CodePointClass,
    LongAttribute,
    ShortAttribute,
    attributes_of,
)
from ipsecscope.dissect.registry import gdoi, ipsec_doi, isakmp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import (
    REST,
    U8,
    U16,
    U32,
    Array,
    Bytes,
    CountOf,
    Length,
    Reader,
    Sized,
    SizeOf,
    Struct,
    WireError,
)

SA_ATTRIBUTE_OFFSET: Final = 8  # of SA Attribute Next Payload, from the start of the payload body
KEK_SPI_SIZE: Final = 16  # the cookies of the rekey message (RFC 6407 section 5.3)
GENERIC_HEADER_SIZE: Final = 4


class KekShort(ShortAttribute, rfc="6407 5.3"):
    """A KEK attribute in the short form."""

    names: ClassVar[dict[int, CodePointClass]] = gdoi.SAK_VALUES
    attribute_type: Annotated[gdoi.SakAttribute, SHORT]


class KekLong(LongAttribute, rfc="6407 5.3"):
    """A KEK attribute in the long form."""

    names: ClassVar[dict[int, CodePointClass]] = gdoi.SAK_VALUES
    attribute_type: Annotated[gdoi.SakAttribute, LONG]


class GapShort(ShortAttribute, rfc="6407 5.4"):
    """A group associated policy attribute in the short form."""

    attribute_type: Annotated[gdoi.GapAttribute, SHORT]


class GapLong(LongAttribute, rfc="6407 5.4"):
    """A group associated policy attribute in the long form."""

    attribute_type: Annotated[gdoi.GapAttribute, LONG]


class TekShort(ShortAttribute, rfc="6407 5.5.1"):
    """A TEK attribute in the short form: the attributes of phase 2."""

    names: ClassVar[dict[int, CodePointClass]] = ipsec_doi.PHASE_TWO_VALUES
    attribute_type: Annotated[ipsec_doi.PhaseTwoAttribute, SHORT]


class TekLong(LongAttribute, rfc="6407 5.5.1"):
    """A TEK attribute in the long form."""

    names: ClassVar[dict[int, CodePointClass]] = ipsec_doi.PHASE_TWO_VALUES
    attribute_type: Annotated[ipsec_doi.PhaseTwoAttribute, LONG]


class SaKek(Ikev1Body, rfc="6407 5.3"):
    """SA KEK payload: the policy for rekey messages. ``source`` and ``destination`` are identities by their type."""

    of: ClassVar[int | None] = int(isakmp.PayloadType.SAK)

    protocol: Annotated[IpProtocol, U8]
    source_id_type: Annotated[ipsec_doi.IdType, U8]
    source_port: Annotated[int, U16] = 0
    source_size: Annotated[int | None, U8, SizeOf("source")] = None
    source: Annotated[bytes, Sized("source_size")] = b""
    destination_id_type: Annotated[ipsec_doi.IdType, U8]
    destination_port: Annotated[int, U16] = 0
    destination_size: Annotated[int | None, U8, SizeOf("destination")] = None
    destination: Annotated[bytes, Sized("destination_size")] = b""
    spi: Annotated[bytes, Bytes(KEK_SPI_SIZE)]
    reserved2: Annotated[int, U32] = 0
    attributes: Annotated[tuple[Attribute, ...], attributes_of(KekShort, KekLong)] = ()

    def summary(self) -> str:
        """The SPI and the attributes."""
        return " ".join([f"KEK {self.spi.hex()}", *(item.summary() for item in self.attributes)])


class TekPolicy(Struct, rfc="6407 5.5.1"):
    """The policy of a TEK for ESP or AH: selectors, transform, SPI, attributes."""

    protocol: Annotated[IpProtocol, U8]
    source_id_type: Annotated[ipsec_doi.IdType, U8]
    source_port: Annotated[int, U16] = 0
    source_size: Annotated[int | None, U8, SizeOf("source")] = None
    source: Annotated[bytes, Sized("source_size")] = b""
    destination_id_type: Annotated[ipsec_doi.IdType, U8]
    destination_port: Annotated[int, U16] = 0
    destination_size: Annotated[int | None, U8, SizeOf("destination")] = None
    destination: Annotated[bytes, Sized("destination_size")] = b""
    transform_id: Annotated[int, U8]
    spi: Annotated[bytes, Bytes(4)]
    attributes: Annotated[tuple[Attribute, ...], attributes_of(TekShort, TekLong)] = ()


class EspTekPolicy(TekPolicy, rfc="6407 5.5.1"):
    """The policy of a TEK for ESP."""

    transform_id: Annotated[ipsec_doi.EspTransform, U8]


class AhTekPolicy(TekPolicy, rfc="6407 5.5.1"):
    """The policy of a TEK for AH."""

    transform_id: Annotated[ipsec_doi.AhTransform, U8]


class SaTek(Ikev1Body, rfc="6407 5.5"):
    """SA TEK payload: the policy for the group's traffic."""

    of: ClassVar[int | None] = int(isakmp.PayloadType.SAT)
    policies: ClassVar[dict[int, type[Struct]]] = {
        int(gdoi.SatProtocol.GDOI_PROTO_IPSEC_ESP): EspTekPolicy,
        int(gdoi.SatProtocol.GDOI_PROTO_IPSEC_AH): AhTekPolicy,
    }

    protocol_id: Annotated[gdoi.SatProtocol, U8]
    data: Annotated[bytes, REST] = b""

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The policy, where the protocol is ESP or AH."""
        found = self.policies.get(int(self.protocol_id))
        return None if found is None else ("data", found)

    def summary(self) -> str:
        """Protocol, SPI and transform."""
        policy = self.content()
        if not isinstance(policy, TekPolicy):
            return f"TEK {self.protocol_id}"
        return f"TEK {self.protocol_id} {policy.spi.hex()} {policy.transform_id!s}"


class GroupAssociatedPolicy(Ikev1Body, of=isakmp.PayloadType.GAP, rfc="6407 5.4"):
    """Group Associated Policy payload: activation and deactivation delays, sender identifiers."""

    attributes: Annotated[tuple[Attribute, ...], attributes_of(GapShort, GapLong)] = ()

    def summary(self) -> str:
        """The attributes."""
        return " ".join(item.summary() for item in self.attributes)


class SaPart(Struct, rfc="6407 5.2"):
    """SAK, SAT or GAP inside a Security Association payload: a generic payload header and a body.

    ``next_payload`` is what follows; what the part itself is was said by its predecessor.
    """

    next_payload: Annotated[int, U8] = 0
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    data: Annotated[bytes, REST] = b""


class GdoiSecurityAssociation(Ikev1Body, rfc="6407 5.2"):
    """Security Association payload of a group: no proposals, but the policy itself as SAK, GAP and SAT parts."""

    of: ClassVar[int | None] = int(isakmp.PayloadType.SA)
    parts_of: ClassVar[dict[int, type[Ikev1Body]]] = {
        int(isakmp.PayloadType.SAK): SaKek,
        int(isakmp.PayloadType.SAT): SaTek,
        int(isakmp.PayloadType.GAP): GroupAssociatedPolicy,
    }

    doi: Annotated[isakmp.Doi, U32] = isakmp.Doi.GDOI
    situation: Annotated[int, U32] = 0
    sa_attribute_next_payload: Annotated[isakmp.PayloadType, U16]
    reserved2: Annotated[int, U16] = 0
    parts: Annotated[tuple[SaPart, ...], Array(SaPart)] = ()

    @classmethod
    def fits(cls, reader: Reader) -> bool:
        """Whether the payload at the cursor carries parts. One of phase 1 carries proposals under the same DOI."""
        start = reader.pos + SA_ATTRIBUTE_OFFSET
        if start + 2 > reader.end:
            return False
        return int.from_bytes(reader.data[start : start + 2], "big") in cls.parts_of

    @property
    def policies(self) -> tuple[Ikev1Body | None, ...]:
        """The body of each part, in order; None for one that cannot be read."""
        return tuple(self._policies())

    def _policies(self) -> Iterator[Ikev1Body | None]:
        kind = int(self.sa_attribute_next_payload)
        for part in self.parts:
            cls = self.parts_of.get(kind)
            try:
                yield None if cls is None else cls.parse(part.data)
            except WireError:
                yield None
            kind = part.next_payload

    def summary(self) -> str:
        """The policies in a row."""
        return "; ".join("unreadable" if policy is None else policy.summary() for policy in self.policies)


class KeyPacketShort(ShortAttribute, rfc="6407 5.6"):
    """An attribute of a key packet in the short form; its type is named by the KD type."""


class KeyPacketLong(LongAttribute, rfc="6407 5.6"):
    """An attribute of a key packet in the long form: a key. ``repr`` hides it."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(attribute_type={self.attribute_type}, <{len(self.value)} octets>)"

    @property
    def text(self) -> str:
        """The number of octets: what they are is secret."""
        return f"<{len(self.value)} octets>"


class KeyPacket(Struct, rfc="6407 5.6"):
    """The keys of one SA of the group, or of the key encryption key."""

    kd_type: Annotated[gdoi.KeyDownloadType, U8]
    reserved: Annotated[int, U8] = 0
    length: Annotated[int | None, U16, Length()] = None
    spi_size: Annotated[int | None, U8, SizeOf("spi")] = None
    spi: Annotated[bytes, Sized("spi_size")] = b""
    attributes: Annotated[tuple[Attribute, ...], attributes_of(KeyPacketShort, KeyPacketLong)] = ()

    def attribute_name(self, attribute: Attribute) -> CodePoint | None:
        """What an attribute of this packet is; None for a KD type nobody described."""
        table = gdoi.DOWNLOAD_ATTRIBUTES.get(int(self.kd_type))
        return None if table is None else table(int(attribute.attribute_type))

    def summary(self) -> str:
        """Type, SPI and the names of the attributes; no keys."""
        names = [str(self.attribute_name(item) or item.attribute_type) for item in self.attributes]
        return " ".join([str(self.kd_type), self.spi.hex(), *names])


class KeyDownload(Ikev1Body, of=isakmp.PayloadType.KD, rfc="6407 5.6"):
    """Key Download payload: the keys of the group."""

    count: Annotated[int | None, U16, CountOf("packets")] = None
    reserved2: Annotated[int, U16] = 0
    packets: Annotated[tuple[KeyPacket, ...], Array(KeyPacket)] = ()

    def summary(self) -> str:
        """The key packets in a row, without their keys."""
        return "; ".join(packet.summary() for packet in self.packets)


class SequenceNumber(Ikev1Body, of=isakmp.PayloadType.SEQ, rfc="6407 5.7"):
    """Sequence Number payload: protects rekey messages from replay."""

    sequence: Annotated[int, U32]

    def summary(self) -> str:
        """The number."""
        return str(self.sequence)


class ProofOfPossession(Ikev1Body, of=isakmp.PayloadType.POP, rfc="3547 5.7"):
    """Proof of Possession payload of the first version of GDOI: a signature."""

    data: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"
