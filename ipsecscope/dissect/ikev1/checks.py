"""What IKEv1 payloads say that they should not: notes with byte ranges, for payloads that could be read.

The file looks at one message, and knows no keys and no other message. What needs more (the group that phase 1 chose)
is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Final, cast

from ipsecscope.dissect.body import Body, Malformed, Opaque
from ipsecscope.dissect.chain import GENERIC_HEADER_SIZE, Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import notes
from ipsecscope.dissect.ikev1.attributes import MAX_INTEGER_SIZE, Attribute, LongAttribute, ShortAttribute
from ipsecscope.dissect.ikev1.identification import IdData, Identification
from ipsecscope.dissect.ikev1.notification import Delete, Notification
from ipsecscope.dissect.ikev1.payloads import Fragment, Hash, KeyExchange, NatDetection, Nonce
from ipsecscope.dissect.ikev1.sa import (
    ForeignSecurityAssociation,
    IsakmpTransform,
    Proposal,
    SecurityAssociation,
    SituationFlags,
    Transform,
)
from ipsecscope.dissect.natt import DIGEST_OF_SIZE
from ipsecscope.dissect.notes import Note, NoteKind
from ipsecscope.dissect.registry.isakmp import *
from ipsecscope.dissect.wire import Field, Reader, WireError

MIN_NONCE: Final = 8  # RFC 2409 section 5
MAX_NONCE: Final = 256
LAST_RESERVED_SPI: Final = 255
MAX_NOTES: Final = 64  # notes on one payload; what comes behind them is not said

SPI_SIZES: Final[dict[int, frozenset[int]]] = {  # RFC 2408 section 3.5, RFC 2407 section 4.4
    int(ProtocolId.PROTO_ISAKMP): frozenset({0, 8, 16}),
    int(ProtocolId.PROTO_IPSEC_AH): frozenset({4}),
    int(ProtocolId.PROTO_IPSEC_ESP): frozenset({4}),
    int(ProtocolId.PROTO_IPCOMP): frozenset({2, 4}),
}
KE_SIZES: Final[dict[int, int]] = {  # octets of a public value, by group
    1: 96,
}

Finding = tuple[NoteKind, str, tuple[str | int, ...]]  # kind, text, path below the body


def body_notes(payloads: Sequence[Payload], header: Header | None) -> list[Note]:
    """Notes on the payloads of one message in the clear; ``header`` is None for payloads without one."""
    found = list(_message_notes(payloads, header))
    for payload in payloads:
        check = CHECKS.get(type(payload.body)) or next(
            (row for cls, row in CHECKS.items() if isinstance(payload.body, cls)), None
        )
        if check is not None:
            for _, finding in zip(range(MAX_NOTES), check(payload.body, header), strict=False):
                found.append(_note(payload, *finding))
        if payload.reserved or payload.critical:
            text = "the second octet of the payload header is reserved in IKEv1"
            found.append(Note(notes.RESERVED.id, text, payload.start + 1, payload.start + 2, _name(payload)))
    return found


def _name(payload: Payload) -> str:
    return str(PayloadType(payload.kind))


def _note(payload: Payload, kind: NoteKind, text: str, path: tuple[str | int, ...] = ()) -> Note:
    """A note on the field at ``path`` below the body of a payload, or on the whole payload."""
    start, stop, name = payload.start, payload.stop, _name(payload)
    if path:
        try:
            field = type(payload.body).trace(Reader(payload.body.build()))
            for step in path:
                field = _child(field, step)
        except (WireError, LookupError):
            return Note(kind.id, text, start, stop, name)
        offset = payload.start + GENERIC_HEADER_SIZE
        start, stop = offset + field.start, offset + field.stop
        name += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return Note(kind.id, text, start, stop, name)


def _child(field: Field, step: str | int) -> Field:
    if isinstance(step, int):
        return field.children[step]
    return next(child for child in field.children if child.name == step)


def _message_notes(payloads: Sequence[Payload], header: Header | None) -> Iterator[Note]:
    """The rules on the order of payloads (RFC 2409 section 5)."""
    if header is not None and header.exchange_type in PHASE_ONE_EXCHANGES:
        for payload in payloads[1:]:
            if isinstance(payload.body, SecurityAssociation | ForeignSecurityAssociation):
                yield _note(payload, notes.SA_NOT_FIRST, f"SA stands behind {_name(payloads[0])}")
                break
    if header is not None and header.exchange_type in HASH_EXCHANGES:
        for payload in payloads[1:]:
            if isinstance(payload.body, Hash) and not isinstance(payloads[0].body, Hash):
                yield _note(payload, notes.HASH_NOT_FIRST, f"HASH stands behind {_name(payloads[0])}")
                break
    for payload in payloads:
        if isinstance(payload.body, Fragment) and len(payloads) > 1:
            yield _note(payload, notes.FRAGMENT_ALONE, f"{len(payloads)} payloads stand in the message")
            break


def check_key_exchange(payload: Payload, group: int) -> Note | None:
    """Whether a public value has the size that its group demands (RFC 2409 section 5, RFC 5903 section 7)."""
    body, size = payload.body, KE_SIZES.get(int(group))
    if not isinstance(body, KeyExchange) or size is None or len(body.data) == size:
        return None
    text = f"{len(body.data)} octets where {GroupDescription(group)} has {size}"
    return _note(payload, notes.KE_SIZE, text, ("data",))


def _sa(body: Body, header: Header | None) -> Iterator[Finding]:
    body = cast("SecurityAssociation", body)
    unknown = int(body.situation.flags) & ~sum(SituationFlags)
    if body.doi == Doi.IPSEC and (unknown or not body.situation.flags):
        yield notes.SITUATION, f"situation {body.situation.summary()}", ("situation", "flags")
    phase_one = header is not None and header.exchange_type in PHASE_ONE_EXCHANGES
    for index, proposal in enumerate(body.proposals):
        yield from _proposal(proposal, ("proposals", index), phase_one=phase_one)
    for index, (before, after) in enumerate(pairwise(body.proposals), start=1):
        if after.number < before.number:
            text = f"proposal {after.number} stands behind proposal {before.number}"
            yield notes.PROPOSAL_ORDER, text, ("proposals", index, "number")


def _proposal(proposal: Proposal, path: tuple[str | int, ...], *, phase_one: bool) -> Iterator[Finding]:
    del phase_one
    if proposal.reserved:
        yield notes.RESERVED, "the reserved octet of a proposal is not zero", (*path, "reserved")
    if proposal.transform_count is not None:
        text = f"{proposal.transform_count} transforms announced, {len(proposal.transforms)} there"
        yield notes.COUNT, text, (*path, "transform_count")
    if proposal.more is not None:
        text = f"the marker says {proposal.more} where {'another proposal follows or none'}"
        yield notes.COUNT, text, (*path, "more")
    if not proposal.transforms:
        yield notes.NO_TRANSFORM, f"proposal {proposal.number} has no transforms", path
    sizes = SPI_SIZES.get(int(proposal.protocol_id))
    if sizes is not None and len(proposal.spi) not in sizes:
        yield notes.SPI_SIZE, f"an SPI of {len(proposal.spi)} octets for {proposal.protocol_id}", (*path, "spi_size")
    if _is_reserved(proposal.spi, int(proposal.protocol_id)):
        yield notes.SPI_RESERVED, f"SPI {proposal.spi.hex()}", (*path, "spi")
    for index, transform in enumerate(proposal.transforms):
        yield from _transform(transform, (*path, "transforms", index))
    for index, (before, after) in enumerate(pairwise(proposal.transforms), start=1):
        if after.number <= before.number:
            text = f"transform {after.number} stands behind transform {before.number}"
            yield notes.PROPOSAL_ORDER, text, (*path, "transforms", index, "number")
            break  # senders that do not count do so throughout


def _is_reserved(spi: bytes, protocol: int) -> bool:
    ipsec = protocol in (ProtocolId.PROTO_IPSEC_AH, ProtocolId.PROTO_IPSEC_ESP)
    return ipsec and len(spi) == 4 and int.from_bytes(spi, "big") <= LAST_RESERVED_SPI


def _transform(transform: Transform, path: tuple[str | int, ...]) -> Iterator[Finding]:
    if transform.reserved or transform.reserved2:
        name = "reserved" if transform.reserved else "reserved2"
        yield notes.RESERVED, "a reserved field of a transform is not zero", (*path, name)
    if transform.more is not None:
        yield notes.COUNT, f"the marker says {transform.more}", (*path, "more")
    phase_one = isinstance(transform, IsakmpTransform)
    life_type_seen = False
    for index, attribute in enumerate(transform.attributes):
        here = (*path, "attributes", index)
        yield from _attribute(attribute, here, phase_one=phase_one)
        life_type_seen |= attribute.attribute_type == transform.life_type
        if attribute.attribute_type == transform.life_duration and not life_type_seen:
            yield notes.LIFETIME, f"{attribute.summary()} has no life type before it", here
    bits = transform.key_length
    if bits is not None and (bits == 0 or bits % 8):
        yield notes.KEY_LENGTH, f"a key of {bits} bits", path


def _attribute(attribute: Attribute, path: tuple[str | int, ...], *, phase_one: bool) -> Iterator[Finding]:
    variable = VARIABLE_PHASE_ONE if phase_one else VARIABLE_PHASE_TWO
    kind = int(attribute.attribute_type)
    if isinstance(attribute, LongAttribute) and attribute.attribute_type in BASIC and kind not in variable:
        yield notes.ATTRIBUTE_FORM, f"{attribute.attribute_type} in the long form", path
    if isinstance(attribute, LongAttribute) and len(attribute.value) > MAX_INTEGER_SIZE and kind in NUMBERS:
        yield notes.ATTRIBUTE_SIZE, f"{attribute.attribute_type} of {len(attribute.value)} octets", path
