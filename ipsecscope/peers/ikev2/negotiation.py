"""Choosing from proposals (RFC 7296 sections 2.7 and 3.3.6), and what the chosen one means.

A responder walks the initiator's proposals in their order and takes the first that its policy can meet: one transform
of every type offered, the initiator's preference first.
"""

from __future__ import annotations

from collections.abc import Sequence

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError, encryption, integrity, pseudorandom
from ipsecscope.decrypt.groups import group
from ipsecscope.decrypt.keymat import ChildSuite, IkeSuite
from ipsecscope.dissect.ikev2 import Proposal, SecurityAssociation, Transform
from ipsecscope.dissect.registry.ikev2 import (
    IntegrityAlgorithm,
    KeyExchangeMethod,
    SequenceNumbers,
    TransformType,
)
from ipsecscope.peers.config import Offer, is_key_exchange

MAX_PROPOSALS = 64  # proposals of one SA payload that are considered

Identified = tuple[int, int, int | None]  # type, id, key length


def offer(offers: Sequence[Offer], spi: bytes = b"") -> SecurityAssociation:
    """An SA payload that offers proposals, numbered from 1."""
    return SecurityAssociation(
        proposals=tuple(
            Proposal(number=number, protocol_id=each.protocol, spi=spi, transforms=each.transforms)
            for number, each in enumerate(offers, 1)
        )
    )


def choose(offered: SecurityAssociation, policy: Sequence[Offer], *, spi: bytes = b"") -> Proposal | None:
    """The answer to an SA payload, with the responder's ``spi``; None when nothing fits the policy."""
    for proposal in offered.proposals[:MAX_PROPOSALS]:
        for own in policy:
            if proposal.protocol_id != own.protocol:
                continue
            transforms = _agree(proposal, own)
            if transforms is not None:
                return Proposal(
                    number=proposal.number, protocol_id=proposal.protocol_id, spi=spi, transforms=transforms
                )
    return None


def _agree(proposal: Proposal, own: Offer) -> tuple[Transform, ...] | None:
    """One transform of every type, or None. "None of this type" may be offered as transform id 0."""
    kinds = sorted({item.transform_type for item in (*proposal.transforms, *own.transforms)})
    agreed = []
    for kind in kinds:
        theirs = proposal.of_type(kind)
        ours = {_identity(item) for item in own.transforms if item.transform_type == kind}
        found = next((item for item in theirs if _identity(item) in ours), None)
        if found is None and not ours:
            found = next((item for item in theirs if _is_none(item)), None)
        if found is not None:
            agreed.append(found)
        elif theirs or not _may_lack(kind, ours):
            return None
    return tuple(agreed)


def _identity(transform: Transform) -> Identified:
    return int(transform.transform_type), transform.transform_id, transform.key_length


def _is_none(transform: Transform) -> bool:
    """Whether a transform says that there is none of its type (RFC 7296 section 3.3.2, RFC 9370 section 2.2.1)."""
    nothing = (TransformType.INTEG, IntegrityAlgorithm.NONE)
    kind, number = transform.transform_type, transform.transform_id
    return (kind, number) == nothing or (is_key_exchange(kind) and number == KeyExchangeMethod.NONE)


def _may_lack(kind: int, ours: set[Identified]) -> bool:
    """Whether an offer may leave out a type of the policy: sequence numbers of 32 bits are the default."""
    return kind == TransformType.SN and (int(kind), int(SequenceNumbers.NO_ESN), None) in ours


def is_answer_to(chosen: Proposal, offered: SecurityAssociation) -> bool:
    """Whether a responder chose from what it was offered, one transform of each type (RFC 7296 section 2.7)."""
    for proposal in offered.proposals:
        if (proposal.number, proposal.protocol_id) != (chosen.number, chosen.protocol_id):
            continue
        known = {_identity(item) for item in proposal.transforms}
        kinds = [item.transform_type for item in chosen.transforms]
        wanted = {item.transform_type for item in proposal.transforms}
        picked = all(_identity(item) in known for item in chosen.transforms)
        return picked and len(set(kinds)) == len(kinds) and set(kinds) == wanted
    return False


def _chosen(proposal: Proposal, kind: TransformType) -> Transform | None:
    return next((item for item in proposal.of_type(kind) if not _is_none(item)), None)


def ike_suite(proposal: Proposal) -> IkeSuite | None:
    """The suite of a chosen IKE proposal; None for one that this program cannot compute."""
    cipher, prf = _chosen(proposal, TransformType.ENCR), _chosen(proposal, TransformType.PRF)
    mac = _chosen(proposal, TransformType.INTEG)
    if cipher is None or prf is None:
        return None
    try:
        suite = IkeSuite(
            prf=pseudorandom(prf.transform_id),
            encryption=encryption(cipher.transform_id),
            key_bits=cipher.key_length,
            integrity=None if mac is None else integrity(mac.transform_id),
        )
    except UnknownAlgorithmError:
        return None
    rows = (suite.prf, suite.encryption, suite.integrity or suite.prf)
    return suite if all(row.is_supported for row in rows) else None


def child_suite(proposal: Proposal) -> ChildSuite | None:
    """The suite of a chosen ESP or AH proposal; None for one that this program does not know."""
    cipher, mac = _chosen(proposal, TransformType.ENCR), _chosen(proposal, TransformType.INTEG)
    try:
        return ChildSuite(
            encryption=None if cipher is None else encryption(cipher.transform_id),
            key_bits=None if cipher is None else cipher.key_length,
            integrity=None if mac is None else integrity(mac.transform_id),
        )
    except UnknownAlgorithmError:
        return None


def key_exchange_of(proposal: Proposal) -> KeyExchangeMethod | None:
    """The method of the KE payload; None without one."""
    found = _chosen(proposal, TransformType.KE)
    return None if found is None else KeyExchangeMethod(found.transform_id)


def additional_key_exchanges(proposal: Proposal) -> tuple[KeyExchangeMethod, ...]:
    """The methods of RFC 9370 in the order of their exchanges."""
    found = (_chosen(proposal, TransformType(kind)) for kind in range(TransformType.ADDKE1, TransformType.KWA))
    return tuple(KeyExchangeMethod(item.transform_id) for item in found if item is not None)


def has_esn(proposal: Proposal) -> bool:
    """Whether sequence numbers have 64 bits."""
    return any(item.transform_id == SequenceNumbers.ESN for item in proposal.of_type(TransformType.SN))


def is_computable(method: int) -> bool:
    """Whether this program computes a key exchange method."""
    try:
        return group(method).entropy_size > 0
    except UnknownAlgorithmError:
        return False


def names_of(proposal: Proposal) -> tuple[str, ...]:
    """The transforms of a proposal by name."""
    return tuple(item.summary() for item in proposal.transforms)
