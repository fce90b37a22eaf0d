"""Offers as SA payloads and back: what an initiator writes, what a responder chooses (RFC 2408 section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from ipsecscope.decrypt.algorithms import IntegrityRow
from ipsecscope.dissect.ikev1 import Identification, SecurityAssociation
from ipsecscope.dissect.ikev1.attributes import Attribute
from ipsecscope.dissect.ikev1.identification import (
    Ipv4Address,
    Ipv4Range,
    Ipv4Subnet,
    Ipv6Address,
    Ipv6Range,
    Ipv6Subnet,
)
from ipsecscope.dissect.ikev1.sa import AhProposal, EspProposal, IsakmpProposal
from ipsecscope.dissect.ikev1.sa import Proposal as AnyProposal
from ipsecscope.dissect.ikev1.transforms import (
    AhTransform,
    EspTransform,
    PhaseOneLong,
    PhaseOneShort,
    PhaseOneTransform,
    PhaseTwoLong,
    PhaseTwoShort,
    Transform,
)
from ipsecscope.dissect.ikev2.selectors import FIRST_PORT, Ipv4Selector
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.registry.ipsec_doi import (
    AhTransform as AhTransformId,
)
from ipsecscope.dissect.registry.ipsec_doi import (
    EncapsulationMode,
    IdType,
    PhaseTwoAttribute,
    ProtocolId,
)
from ipsecscope.dissect.registry.ipsec_doi import EspTransform as EspTransformId
from ipsecscope.dissect.registry.ipsec_doi import LifeType as PhaseTwoLifeType
from ipsecscope.dissect.registry.isakmp import AuthenticationMethod, LifeType, PhaseOneAttribute
from ipsecscope.peers.config import Mode
from ipsecscope.peers.ikev1.config import GROUP_NUMBERS, Method, NatTraversal, PhaseOneOffer, PhaseTwoOffer, Protocol
from ipsecscope.peers.selectors import RangeSelector, parse_selector

Spis: TypeAlias = dict[ProtocolId, bytes]

MAX_LOOKED_AT = 64  # proposals, and transforms of one proposal, that a responder compares; the rest is not considered
LONG_DURATION = 0x10000  # a duration from here on does not fit the short form of an attribute

ONE, TWO = PhaseOneAttribute, PhaseTwoAttribute

_AUTHENTICATION = {  # (method, XAUTH, whether the initiator is the client that XAUTH asks) → number
    (Method.PSK, False, True): AuthenticationMethod.PRE_SHARED_KEY,
    (Method.RSA, False, True): AuthenticationMethod.RSA_SIGNATURES,
    (Method.PSK, True, True): AuthenticationMethod.XAUTH_INIT_PRE_SHARED,
    (Method.PSK, True, False): AuthenticationMethod.XAUTH_RESP_PRE_SHARED,
    (Method.RSA, True, True): AuthenticationMethod.XAUTH_INIT_RSA,
    (Method.RSA, True, False): AuthenticationMethod.XAUTH_RESP_RSA,
    (Method.HYBRID, True, True): AuthenticationMethod.HYBRID_INIT_RSA,
    (Method.HYBRID, True, False): AuthenticationMethod.HYBRID_RESP_RSA,
}


def authentication_method(method: Method, *, xauth: bool, initiator_is_client: bool) -> AuthenticationMethod:
    """The number of a way to authenticate (RFC 2409 appendix A, draft-beaulieu-ike-xauth-02, hybrid-auth)."""
    return _AUTHENTICATION[method, xauth, initiator_is_client or not xauth]


# -- phase 1 ------------------------------------------------------------------------------------------------------


def offer_phase_1(offers: Sequence[PhaseOneOffer], auth: AuthenticationMethod) -> SecurityAssociation:
    """One proposal with a transform for each offer (RFC 2409 section 5)."""
    transforms = tuple(_phase_1_transform(number, each, auth) for number, each in enumerate(offers, 1))
    return SecurityAssociation(proposals=(IsakmpProposal(transforms=transforms),))


def _phase_1_transform(number: int, offer: PhaseOneOffer, auth: AuthenticationMethod) -> PhaseOneTransform:
    assert offer.encryption.phase_1 is not None
    assert offer.prf.hash_v1 is not None
    values = {ONE.ENCRYPTION_ALGORITHM: int(offer.encryption.phase_1)}
    if offer.key_bits is not None:
        values[ONE.KEY_LENGTH] = offer.key_bits
    values |= {
        ONE.HASH_ALGORITHM: int(offer.prf.hash_v1),
        ONE.GROUP_DESCRIPTION: int(GROUP_NUMBERS[int(offer.group.id)]),
        ONE.AUTHENTICATION_METHOD: int(auth),
        ONE.LIFE_TYPE: int(LifeType.SECONDS),
    }
    short = [PhaseOneShort(attribute_type=kind, value=value) for kind, value in values.items()]
    return PhaseOneTransform(number=number, attributes=(*short, _phase_1_duration(offer.lifetime_s)))


def _phase_1_duration(value: int) -> Attribute:
    if value < LONG_DURATION:
        return PhaseOneShort(attribute_type=ONE.LIFE_DURATION, value=value)
    return PhaseOneLong(attribute_type=ONE.LIFE_DURATION, value=value.to_bytes(4, "big"))


def choose_phase_1(
    offered: SecurityAssociation,
    accepted: Sequence[PhaseOneOffer],
    auth: AuthenticationMethod,
    reads: int = MAX_LOOKED_AT,
) -> tuple[PhaseOneOffer, SecurityAssociation] | None:
    """The first acceptable one of the transforms that are read, as offer and as the answering SA payload, or None."""
    for proposal in offered.proposals[:MAX_LOOKED_AT]:
        for transform in proposal.transforms[:reads]:
            found = next((each for each in accepted if is_phase_1(transform, each, auth)), None)
            if found is not None:
                answer = msgspec.structs.replace(proposal, transforms=(transform,), transform_count=None, more=None)
                return found, msgspec.structs.replace(offered, proposals=(answer,))
    return None


def is_phase_1(transform: Transform, offer: PhaseOneOffer, auth: AuthenticationMethod) -> bool:
    """Whether a transform says what an offer says; lifetimes do not count."""
    return (
        isinstance(transform, PhaseOneTransform)
        and transform.algorithm == offer.encryption.phase_1
        and transform.key_length == offer.key_bits
        and transform.hash == offer.prf.hash_v1
        and transform.group == GROUP_NUMBERS[int(offer.group.id)]
        and transform.auth == auth
    )


def names_of(offer: PhaseOneOffer) -> tuple[str, ...]:
    """The transforms by the names that IKEv2 gives them."""
    bits = "" if offer.key_bits is None else f"-{offer.key_bits}"
    return f"{offer.encryption.name}{bits}", offer.prf.name, offer.group.name


# -- phase 2 ------------------------------------------------------------------------------------------------------


def encapsulation_mode(mode: Mode, nat: NatTraversal | None) -> EncapsulationMode:
    """The number of a mode; ``nat`` is the version of NAT traversal in use when there is a NAT (RFC 3947 5.1)."""
    tunnel = mode is Mode.TUNNEL
    if nat is None:
        return EncapsulationMode.TUNNEL if tunnel else EncapsulationMode.TRANSPORT
    if nat.is_draft:
        return (
            EncapsulationMode.UDP_ENCAPSULATED_TUNNEL_DRAFT
            if tunnel
            else EncapsulationMode.UDP_ENCAPSULATED_TRANSPORT_DRAFT
        )
    return EncapsulationMode.UDP_ENCAPSULATED_TUNNEL if tunnel else EncapsulationMode.UDP_ENCAPSULATED_TRANSPORT


def offer_phase_2(offers: Sequence[PhaseTwoOffer], spis: Spis, mode: EncapsulationMode) -> SecurityAssociation:
    """A numbered offer for each; protocols that belong together share a number (RFC 2408 section 4.2)."""
    proposals = tuple(
        _proposal(number, protocol, spis[protocol.protocol], (_phase_2_transform(1, protocol, offer, mode),))
        for number, offer in enumerate(offers, 1)
        for protocol in offer.protocols
    )
    return SecurityAssociation(proposals=proposals)


def _proposal(number: int, protocol: Protocol, spi: bytes, transforms: tuple[Transform, ...]) -> AnyProposal:
    cls = AhProposal if protocol.protocol == ProtocolId.PROTO_IPSEC_AH else EspProposal
    return cls(number=number, spi=spi, transforms=transforms)


def _phase_2_transform(number: int, protocol: Protocol, offer: PhaseTwoOffer, mode: EncapsulationMode) -> Transform:
    values = {TWO.SA_LIFE_TYPE: int(PhaseTwoLifeType.SECONDS)}
    attributes: list[Attribute] = [PhaseTwoShort(attribute_type=kind, value=value) for kind, value in values.items()]
    attributes.append(_phase_2_duration(offer.lifetime_s))
    rest = {TWO.ENCAPSULATION_MODE: int(mode)}
    integrity = _authentication_algorithm(protocol.integrity)
    if integrity is not None:
        rest[TWO.AUTHENTICATION_ALGORITHM] = integrity
    if offer.group is not None:
        rest[TWO.GROUP_DESCRIPTION] = int(GROUP_NUMBERS[int(offer.group.id)])
    if protocol.key_bits is not None:
        rest[TWO.KEY_LENGTH] = protocol.key_bits
    attributes += [PhaseTwoShort(attribute_type=kind, value=value) for kind, value in rest.items()]
    if protocol.protocol == ProtocolId.PROTO_IPSEC_AH:
        assert protocol.integrity is not None
        assert protocol.integrity.ah_v1 is not None
        return AhTransform(
            number=number, transform_id=AhTransformId(protocol.integrity.ah_v1), attributes=tuple(attributes)
        )
    assert protocol.encryption is not None
    assert protocol.encryption.esp_v1 is not None
    return EspTransform(
        number=number, transform_id=EspTransformId(protocol.encryption.esp_v1), attributes=tuple(attributes)
    )


def _authentication_algorithm(row: IntegrityRow | None) -> int | None:
    return None if row is None or row.esp_v1 is None else int(row.esp_v1)


def phase_2_duration(value: int) -> tuple[Attribute, Attribute]:
    """Life type and duration in seconds, as RESPONDER-LIFETIME carries them too (RFC 2407 section 4.6.3.1)."""
    life_type = PhaseTwoShort(attribute_type=TWO.SA_LIFE_TYPE, value=int(PhaseTwoLifeType.SECONDS))
    return life_type, _phase_2_duration(value)


def _phase_2_duration(value: int) -> Attribute:
    if value < LONG_DURATION:
        return PhaseTwoShort(attribute_type=TWO.SA_LIFE_DURATION, value=value)
    return PhaseTwoLong(attribute_type=TWO.SA_LIFE_DURATION, value=value.to_bytes(4, "big"))


class Chosen(msgspec.Struct, frozen=True):
    """What a quick mode agreed on: the offer, and the proposals with the SPIs of their sender."""

    offer: PhaseTwoOffer
    proposals: tuple[AnyProposal, ...]

    @property
    def spis(self) -> Spis:
        """The SPI of each protocol."""
        return {ProtocolId(each.protocol_id): each.spi for each in self.proposals}

    @property
    def lifetime_s(self) -> int | None:
        """The lifetime that the first transform gives."""
        return self.proposals[0].transforms[0].lifetime(PhaseTwoLifeType.SECONDS)

    def answer(self, offered: SecurityAssociation, spis: Spis) -> SecurityAssociation:
        """The SA payload that answers: the same proposals, with SPIs of our own."""
        proposals = tuple(
            msgspec.structs.replace(each, spi=spis[ProtocolId(each.protocol_id)], more=None) for each in self.proposals
        )
        return msgspec.structs.replace(offered, proposals=proposals)


def choose_phase_2(
    offered: SecurityAssociation, accepted: Sequence[PhaseTwoOffer], mode: EncapsulationMode
) -> Chosen | None:
    """The first acceptable offer with one transform for each of its protocols; None for none."""
    for group in offered.offers[:MAX_LOOKED_AT]:
        for offer in accepted:
            proposals = _match(group, offer, mode)
            if proposals is not None:
                return Chosen(offer, proposals)
    return None


def _match(
    group: tuple[AnyProposal, ...], offer: PhaseTwoOffer, mode: EncapsulationMode
) -> tuple[AnyProposal, ...] | None:
    """The proposals of one number with the transforms that fit; None unless the protocols are the same."""
    if len(group) != len(offer.protocols):
        return None
    found = []
    for proposal in group:
        protocol = next((each for each in offer.protocols if each.protocol == proposal.protocol_id), None)
        if protocol is None or len(proposal.spi) != 4:
            return None
        fit = next(
            (each for each in proposal.transforms[:MAX_LOOKED_AT] if _is_phase_2(each, protocol, offer, mode)), None
        )
        if fit is None:
            return None
        found.append(msgspec.structs.replace(proposal, transforms=(fit,), transform_count=None))
    return tuple(found)


def _is_phase_2(transform: Transform, protocol: Protocol, offer: PhaseTwoOffer, mode: EncapsulationMode) -> bool:
    wanted = _phase_2_transform(1, protocol, offer, mode)
    return (
        type(transform) is type(wanted)
        and transform.transform_id == wanted.transform_id
        and transform.key_length == wanted.key_length
        and transform.hash == wanted.hash
        and transform.group == wanted.group
        and transform.mode == mode
    )


# -- identities of phase 2 ------------------------------------------------------------------------------------------


def identification_of(selector: RangeSelector) -> Identification:
    """A traffic selector as an Identification payload: address, subnet or range (RFC 2407 section 4.6.2)."""
    first, last = selector.start_address, selector.end_address
    is_ipv4 = isinstance(selector, Ipv4Selector)
    low, high, bits = int.from_bytes(first, "big"), int.from_bytes(last, "big"), len(first) * 8
    hosts = low ^ high
    if first == last:
        kind = IdType.ID_IPV4_ADDR if is_ipv4 else IdType.ID_IPV6_ADDR
        data = (Ipv4Address if is_ipv4 else Ipv6Address)(address=first).build()
    elif hosts & hosts + 1 == 0 and low & hosts == 0:
        kind = IdType.ID_IPV4_ADDR_SUBNET if is_ipv4 else IdType.ID_IPV6_ADDR_SUBNET
        mask = ((1 << bits) - 1 ^ hosts).to_bytes(len(first), "big")
        data = (Ipv4Subnet if is_ipv4 else Ipv6Subnet)(address=first, mask=mask).build()
    else:
        kind = IdType.ID_IPV4_ADDR_RANGE if is_ipv4 else IdType.ID_IPV6_ADDR_RANGE
        data = (Ipv4Range if is_ipv4 else Ipv6Range)(first=first, last=last).build()
    port = selector.start_port if selector.start_port == selector.end_port else FIRST_PORT
    return Identification(id_type=kind, protocol_id=IpProtocol(selector.protocol), port=port, data=data)


def selector_of(body: Identification) -> RangeSelector | None:
    """The traffic selector that an Identification payload stands for; None for a name."""
    found = body.selector
    if found is None:
        return None
    inside = f"[{int(found.protocol)}{f'/{found.port}' if found.port else ''}]" if found.protocol else ""
    try:
        return parse_selector(f"{found.first}-{found.last}{inside}")
    except ValueError:
        return None
