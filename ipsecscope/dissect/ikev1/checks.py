"""What IKEv1 payloads say that they should not: notes with byte ranges, for payloads that could be read.

The file looks at one message, and knows no keys and no other message. What needs more (the group that phase 1 chose)
is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice, pairwise
from typing import Final

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import GENERIC_HEADER_SIZE, Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import notes
from ipsecscope.dissect.ikev1.attributes import Attribute, LongAttribute
from ipsecscope.dissect.ikev1.identification import IdData, Identification
from ipsecscope.dissect.ikev1.notification import Delete, Notification
from ipsecscope.dissect.ikev1.payloads import Fragment, Hash, KeyExchange, NatDetection, Nonce
from ipsecscope.dissect.ikev1.sa import (
    ForeignSecurityAssociation,
    Proposal,
    SecurityAssociation,
    SituationFlags,
)
from ipsecscope.dissect.ikev1.transforms import PhaseOneTransform, PhaseTwoTransform, Transform
from ipsecscope.dissect.ikev2.public_values import expected_size, is_degenerate
from ipsecscope.dissect.natt import DIGEST_OF_SIZE
from ipsecscope.dissect.notes import Note, NoteKind
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.equivalents import ikev2_equivalent
from ipsecscope.dissect.wire import Field, Reader, WireError

ANY_SA: Final = (SecurityAssociation, ForeignSecurityAssociation)
MIN_NONCE: Final = 8  # RFC 2409 section 5
MAX_NONCE: Final = 256
LAST_RESERVED_SPI: Final = 255
MAX_NOTES: Final = 64  # notes on one payload; what comes behind them is not said

SPI_SIZES: Final[dict[int, frozenset[int]]] = {  # RFC 2408 section 3.5, RFC 2407 section 4.4
    int(ipsec_doi.ProtocolId.PROTO_ISAKMP): frozenset({0, 8, 16}),
    int(ipsec_doi.ProtocolId.PROTO_IPSEC_AH): frozenset({4}),
    int(ipsec_doi.ProtocolId.PROTO_IPSEC_ESP): frozenset({4}),
    int(ipsec_doi.ProtocolId.PROTO_IPCOMP): frozenset({2, 4}),
}

PHASE_ONE_EXCHANGES: Final = frozenset(
    {
        isakmp.ExchangeType.BASE,
        isakmp.ExchangeType.IDENTITY_PROTECTION,
        isakmp.ExchangeType.AUTHENTICATION_ONLY,
        isakmp.ExchangeType.AGGRESSIVE,
    }
)
HASH_EXCHANGES: Final = frozenset(
    {isakmp.ExchangeType.TRANSACTION, isakmp.ExchangeType.QUICK_MODE, isakmp.ExchangeType.NEW_GROUP_MODE}
)
ONE, TWO = isakmp.PhaseOneAttribute, ipsec_doi.PhaseTwoAttribute
BASIC: Final[dict[bool, frozenset[int]]] = {  # phase 1? → attributes that must be short (RFC 2409 A, RFC 2407 4.5)
    True: frozenset(
        {
            ONE.ENCRYPTION_ALGORITHM,
            ONE.HASH_ALGORITHM,
            ONE.AUTHENTICATION_METHOD,
            ONE.GROUP_DESCRIPTION,
            ONE.GROUP_TYPE,
            ONE.LIFE_TYPE,
            ONE.PRF,
            ONE.KEY_LENGTH,
            ONE.FIELD_SIZE,
        }
    ),
    False: frozenset(
        {
            TWO.SA_LIFE_TYPE,
            TWO.GROUP_DESCRIPTION,
            TWO.ENCAPSULATION_MODE,
            TWO.AUTHENTICATION_ALGORITHM,
            TWO.KEY_LENGTH,
            TWO.KEY_ROUNDS,
            TWO.COMPRESS_DICTIONARY_SIZE,
            TWO.ECN_TUNNEL,
            TWO.EXTENDED_SEQUENCE_NUMBER,
        }
    ),
}
NUMBERS: Final[dict[bool, frozenset[int]]] = {  # attributes of any length whose value is a small number
    True: frozenset({ONE.LIFE_DURATION}),
    False: frozenset({TWO.SA_LIFE_DURATION}),
}

Path = tuple[str | int, ...]  # field names and indices
Finding = tuple[NoteKind, str, Path]  # kind, text, path below the body


def body_notes(payloads: Sequence[Payload], header: Header | None) -> list[Note]:
    """Notes on the payloads of one message in the clear; ``header`` is None for payloads without one."""
    found = list(_message_notes(payloads, header))
    for payload in payloads:
        check = CHECKS.get(type(payload.body))
        if check is not None:
            found += _notes(payload, tuple(islice(check(payload.body), MAX_NOTES)))
        if payload.reserved or payload.critical:
            text = "the second octet of the payload header is reserved in IKEv1"
            found.append(Note(notes.RESERVED.id, text, payload.start + 1, payload.start + 2, _name(payload)))
    return found


def _name(payload: Payload) -> str:
    return str(isakmp.PayloadType(payload.kind))


def _note(payload: Payload, kind: NoteKind, text: str, path: Path = ()) -> Note:
    """A note on the field at ``path`` below the body of a payload, or on the whole payload."""
    return _notes(payload, [(kind, text, path)])[0]


def _notes(payload: Payload, findings: Sequence[Finding]) -> list[Note]:
    """Findings with their places; the body is traced once for all of them."""
    try:
        tree = type(payload.body).trace(Reader(payload.body.build())) if any(row[2] for row in findings) else None
    except WireError:
        tree = None
    found = []
    for kind, text, path in findings:
        start, stop, name = payload.start, payload.stop, _name(payload)
        field = None if tree is None or not path else _descend(tree, path)
        if field is not None:
            start = payload.start + GENERIC_HEADER_SIZE + field.start
            stop = payload.start + GENERIC_HEADER_SIZE + field.stop
            name += "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        found.append(Note(kind.id, text, start, stop, name))
    return found


def _descend(field: Field, path: Path) -> Field | None:
    for step in path:
        children = field.children
        found = (
            children[step]
            if isinstance(step, int) and step < len(children)
            else next((child for child in children if child.name == step), None)
        )
        if found is None:
            return None
        field = found
    return field


def _message_notes(payloads: Sequence[Payload], header: Header | None) -> Iterator[Note]:
    """The rules on the order of payloads (RFC 2409 section 5)."""
    exchange_type = -1 if header is None else header.exchange_type
    behind = payloads[1:]
    if exchange_type in PHASE_ONE_EXCHANGES:
        sa = next((each for each in behind if isinstance(each.body, ANY_SA)), None)
        if sa is not None:
            yield _note(sa, notes.SA_NOT_FIRST, f"SA stands behind {_name(payloads[0])}")
        yield from _odd_ports(payloads)
    if exchange_type in HASH_EXCHANGES and payloads and not isinstance(payloads[0].body, Hash):
        late = next((each for each in behind if isinstance(each.body, Hash)), None)
        if late is not None:
            yield _note(late, notes.HASH_NOT_FIRST, f"HASH stands behind {_name(payloads[0])}")
    fragment = next((each for each in payloads if isinstance(each.body, Fragment)), None)
    if fragment is not None and behind:
        yield _note(fragment, notes.FRAGMENT_ALONE, f"{len(payloads)} payloads stand in the message")


def _odd_ports(payloads: Sequence[Payload]) -> Iterator[Note]:
    for payload in payloads:
        body = payload.body
        if isinstance(body, Identification) and not body.is_usual_in_phase_1:
            yield _note(payload, notes.ID_PORT, f"protocol {int(body.protocol_id)}, port {body.port}", ("port",))


def check_key_exchange(payload: Payload, group: int) -> Note | None:
    """Whether a public value has the size that its group demands, and makes no secret that anybody can compute.

    RFC 2409 section 5 pads the values of MODP groups to the size of the prime; the groups are those of IKEv2.
    """
    body, named = payload.body, isakmp.Group(group)
    method = ikev2_equivalent(named)
    size = None if method is None else expected_size(method, is_response=False)
    if not isinstance(body, KeyExchange) or method is None or size is None:
        return None
    if len(body.data) != size:
        return _note(payload, notes.KE_SIZE, f"{len(body.data)} octets where {named} has {size}", ("data",))
    if is_degenerate(method, body.data):
        return _note(payload, notes.KE_VALUE, f"the public value is degenerate in {named}", ("data",))
    return None


def _sa(body: Body) -> Iterator[Finding]:
    assert isinstance(body, SecurityAssociation)
    unknown = int(body.situation.flags) & ~sum(SituationFlags)
    if body.doi == isakmp.Doi.IPSEC and (unknown or not body.situation.flags):
        yield notes.SITUATION, f"situation {body.situation.summary()}", ("situation", "flags")
    for index, proposal in enumerate(body.proposals):
        yield from _proposal(proposal, ("proposals", index))
    for index, (before, after) in enumerate(pairwise(body.proposals), start=1):
        if after.number < before.number:
            text = f"proposal {after.number} stands behind proposal {before.number}"
            yield notes.PROPOSAL_ORDER, text, ("proposals", index, "number")


def _foreign_sa(body: Body) -> Iterator[Finding]:
    assert isinstance(body, ForeignSecurityAssociation)
    yield notes.DOI, f"DOI {int(body.doi)}", ("doi",)


def _proposal(proposal: Proposal, path: Path) -> Iterator[Finding]:
    if proposal.reserved:
        yield notes.RESERVED, "the reserved octet of a proposal is not zero", (*path, "reserved")
    if proposal.more is not None:
        yield notes.COUNT, f"the marker of the next proposal says {proposal.more}", (*path, "more")
    if proposal.transform_count is not None:
        text = f"{proposal.transform_count} transforms announced, {len(proposal.transforms)} there"
        yield notes.COUNT, text, (*path, "transform_count")
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
    ipsec = protocol in (ipsec_doi.ProtocolId.PROTO_IPSEC_AH, ipsec_doi.ProtocolId.PROTO_IPSEC_ESP)
    return ipsec and len(spi) == 4 and int.from_bytes(spi, "big") <= LAST_RESERVED_SPI


def _transform(transform: Transform, path: Path) -> Iterator[Finding]:
    if transform.reserved or transform.reserved2:
        name = "reserved" if transform.reserved else "reserved2"
        yield notes.RESERVED, "a reserved field of a transform is not zero", (*path, name)
    if transform.more is not None:
        yield notes.COUNT, f"the marker of the next transform says {transform.more}", (*path, "more")
    life_type_seen = False
    for index, attribute in enumerate(transform.attributes):
        here = (*path, "attributes", index)
        if isinstance(transform, PhaseOneTransform | PhaseTwoTransform):
            yield from _attribute(attribute, here, phase_one=isinstance(transform, PhaseOneTransform))
        life_type_seen |= attribute.attribute_type == transform.life_type
        if attribute.attribute_type == transform.life_duration and not life_type_seen:
            yield notes.LIFETIME, f"{attribute.summary()} has no life type before it", here
    bits = transform.key_length
    if bits is not None and (bits == 0 or bits % 8):
        yield notes.KEY_LENGTH, f"a key of {bits} bits", path


def _attribute(attribute: Attribute, path: Path, *, phase_one: bool) -> Iterator[Finding]:
    if not isinstance(attribute, LongAttribute):
        return
    if attribute.attribute_type in BASIC[phase_one]:
        yield notes.ATTRIBUTE_FORM, f"{attribute.attribute_type} in the long form", path
    if attribute.attribute_type in NUMBERS[phase_one] and attribute.number is None:
        text = f"{attribute.attribute_type} of {len(attribute.value)} octets"
        yield notes.ATTRIBUTE_SIZE, text, (*path, "value")


def _nonce(body: Body) -> Iterator[Finding]:
    assert isinstance(body, Nonce)
    if not MIN_NONCE <= len(body.data) <= MAX_NONCE:
        yield notes.NONCE_SIZE, f"a nonce of {len(body.data)} octets", ("data",)


def _key_exchange(body: Body) -> Iterator[Finding]:
    assert isinstance(body, KeyExchange)
    if not body.data:
        yield notes.KE_SIZE, "no public value", ()


def _identification(body: Body) -> Iterator[Finding]:
    assert isinstance(body, Identification)
    if int(body.id_type) in IdData.registry and body.content() is None:
        yield notes.ID_SIZE, f"{len(body.data)} octets are no {body.id_type}", ("data",)


def _notification(body: Body) -> Iterator[Finding]:
    assert isinstance(body, Notification)
    if body.inner() is not None and body.content() is None:
        yield notes.NOTIFY_DATA, f"{len(body.data)} octets are no data of {body.notify_type}", ("data",)
    if _is_reserved(body.spi, int(body.protocol_id)):
        yield notes.SPI_RESERVED, f"SPI {body.spi.hex()}", ("spi",)


def _delete(body: Body) -> Iterator[Finding]:
    assert isinstance(body, Delete)
    sizes = SPI_SIZES.get(int(body.protocol_id))
    if body.spi_size == 0 or (sizes is not None and body.spi_size not in sizes):
        yield notes.DELETE_SPI_SIZE, f"SPI size {body.spi_size} for {body.protocol_id}", ("spi_size",)
    if body.count is not None:
        yield notes.COUNT, f"{body.count} SPIs announced, {len(body.spis)} there", ("count",)
    if body.trailing:
        yield notes.DELETE_TRAILING, f"{len(body.trailing)} octets are no whole SPI", ("trailing",)


def _nat_detection(body: Body) -> Iterator[Finding]:
    assert isinstance(body, NatDetection)
    if len(body.data) not in DIGEST_OF_SIZE:
        yield notes.NAT_D_SIZE, f"a hash of {len(body.data)} octets", ("data",)


def _fragment(body: Body) -> Iterator[Finding]:
    assert isinstance(body, Fragment)
    if body.number == 0:
        yield notes.FRAGMENT_NUMBER, "fragment 0", ("number",)


CHECKS: Final[dict[type[Body], Callable[[Body], Iterator[Finding]]]] = {
    SecurityAssociation: _sa,
    ForeignSecurityAssociation: _foreign_sa,
    Nonce: _nonce,
    KeyExchange: _key_exchange,
    Identification: _identification,
    Notification: _notification,
    Delete: _delete,
    NatDetection: _nat_detection,
    Fragment: _fragment,
}
