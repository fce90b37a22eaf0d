"""The payload chain: generic payload headers one behind the other, for ISAKMP (RFC 2408 3.2) and IKEv2 (RFC 7296 3.2).

This is one of the two places where ``WireError`` is caught: a body that cannot be read becomes ``Malformed`` and the
chain goes on behind it; a generic header that cannot be followed ends the chain, and what is left becomes trailing
octets. The file does not know what any payload means.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import msgspec

from ipsecscope.dissect.body import Body, Malformed, Opaque
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.wire import Field, Reader, Struct, WireError

MAX_PAYLOADS = 512  # payloads in one message
CACHED_BODIES = 4096  # equal octets share one frozen body; the cache is emptied when it is full
CACHED_SIZE = 4096  # larger bodies are not kept
GENERIC_HEADER_SIZE = 4

_GENERIC = struct.Struct(">BBH")


class Context(msgspec.Struct, frozen=True):
    """What a chain has to know from outside the message to read IKEv1 payload numbers that were given twice.

    ``gdoi``: the DOI is GDOI (RFC 6407), so 15 and 16 are SAK and SAT. ``nat_t_drafts``: a NAT-T draft was announced.
    """

    gdoi: bool = False
    nat_t_drafts: bool = True


DEFAULT_CONTEXT = Context()


class PayloadFamily(msgspec.Struct, frozen=True):
    """The number space that a chain lives in: IKEv1 or IKEv2."""

    name: str
    major_version: int
    payload_type: type[CodePoint]
    exchange_type: type[CodePoint]
    body_class: Callable[[int, Context], type[Body] | None]
    ends_chain: frozenset[int]  # payloads whose Next Payload belongs to an inner chain (RFC 7296 3.14, RFC 7383 2.5)


class Payload(msgspec.Struct, frozen=True, eq=False):
    """One payload with its generic header.

    ``type`` None is the number that the body's class is declared for; ``length`` None is the length of the body plus
    4; ``next_payload`` None is the type of the payload behind it, or 0. ``start`` and ``stop`` are where it stood in
    its message (of the whole payload, header included); they do not take part in comparison.
    """

    body: Body
    type: int | None = None
    critical: bool = False
    reserved: int = 0
    length: int | None = None
    next_payload: int | None = None
    start: int = 0
    stop: int = 0

    @property
    def kind(self) -> int:
        """The payload number."""
        if self.type is not None:
            return self.type
        return type(self.body).of or 0

    def _key(self) -> tuple[object, ...]:
        return (self.kind, self.body, self.critical, self.reserved, self.length, self.next_payload)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Payload) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())


class Chain(msgspec.Struct, frozen=True):
    """A parsed chain: its payloads, where it stopped, and what there is to say about it."""

    payloads: tuple[Payload, ...]
    stop: int
    complete: bool
    notes: tuple[Note, ...]


_bodies: dict[tuple[str, int, Context, bytes], Body] = {}


def parse_body(data: bytes, kind: int, family: PayloadFamily, context: Context = DEFAULT_CONTEXT) -> Body:
    """The body of one payload: its Struct, ``Opaque`` when nobody described the type, ``Malformed`` when unreadable."""
    key = (family.name, kind, context, data)
    body = _bodies.get(key)
    if body is None:
        body = _parse_body(data, kind, family, context)
        if len(data) <= CACHED_SIZE:
            if len(_bodies) >= CACHED_BODIES:
                _bodies.clear()
            _bodies[key] = body
    return body


def _parse_body(data: bytes, kind: int, family: PayloadFamily, context: Context) -> Body:
    cls = family.body_class(kind, context)
    if cls is None:
        return Opaque(data=data)
    try:
        return cls.parse(data)
    except WireError as error:
        return Malformed(data=data, why=error.why, start=error.start, stop=error.stop, partial=_partial(cls, data))


def _partial(cls: type[Struct], data: bytes) -> tuple[Field, ...]:
    """The fields in front of the fault."""
    reader = Reader(data)
    try:
        return cls.trace(reader).children
    except WireError as error:
        return tuple(getattr(error, "partial", ()))


def parse_chain(
    data: bytes,
    start: int,
    stop: int,
    first: int,
    family: PayloadFamily,
    context: Context = DEFAULT_CONTEXT,
    *,
    missing: int = 0,
) -> Chain:
    """Follow the chain that begins with payload type ``first`` in ``data[start:stop]``; never raises.

    ``missing`` is the number of octets behind ``stop`` that the capture lacks: what would be a fault of the sender is
    then a cut of the capture.
    """
    payloads: list[Payload] = []
    notes: list[Note] = []
    kind, position = first, start
    complete = True
    while kind != 0:
        fault = _fault(data, position, stop, len(payloads), missing)
        if fault is not None:
            notes.append(fault)
            complete = False
            break
        following, flags, length = _GENERIC.unpack_from(data, position)
        end = position + length
        body = parse_body(data[position + GENERIC_HEADER_SIZE : end], kind, family, context)
        payload = Payload(
            body=body,
            type=None if type(body).of == kind else kind,
            critical=bool(flags & 0x80),
            reserved=flags & 0x7F,
            next_payload=following or None,
            start=position,
            stop=end,
        )
        notes += _payload_notes(payload, family)
        payloads.append(payload)
        position = end
        if kind in family.ends_chain:
            kind = 0
            break
        kind = following
    return Chain(_forget_next(payloads, family), position, complete, tuple(notes))


def _fault(data: bytes, position: int, stop: int, count: int, missing: int) -> Note | None:
    """Why the chain cannot be followed at ``position``; None when it can."""
    if count >= MAX_PAYLOADS:
        return Note("chain.too-many", f"more than {MAX_PAYLOADS} payloads; the rest is not read", position, stop)
    if stop - position < GENERIC_HEADER_SIZE:
        if missing:
            return Note("capture.truncated", f"the capture lacks {missing} octets of this message", position, stop)
        return Note("chain.short", f"{stop - position} octets where a payload header needs 4", position, stop)
    length = _GENERIC.unpack_from(data, position)[2]
    if length < GENERIC_HEADER_SIZE:
        return Note("chain.bad-length", f"payload length {length} is less than its header", position + 2, position + 4)
    if position + length > stop:
        if missing and position + length <= stop + missing:
            return Note("capture.truncated", f"the capture lacks {missing} octets of this message", position, stop)
        text = f"payload length {length} where {stop - position} octets are left"
        return Note("chain.overrun", text, position + 2, position + 4)
    return None


def _payload_notes(payload: Payload, family: PayloadFamily) -> list[Note]:
    body, name = payload.body, family.payload_type(payload.kind)
    if isinstance(body, Malformed):
        offset = payload.start + GENERIC_HEADER_SIZE
        return [Note("payload.malformed", f"{name}: {body.why}", offset + body.start, offset + body.stop, str(name))]
    if isinstance(body, Opaque) and not name.is_known:
        if payload.critical and family.major_version >= 2:
            text = f"payload type {payload.kind} is unknown and critical: the receiver must refuse the message"
            return [Note("payload.critical-unknown", text, payload.start, payload.stop)]
        return [Note("payload.unknown", f"payload type {payload.kind} is unknown", payload.start, payload.stop)]
    return []


def _forget_next(payloads: list[Payload], family: PayloadFamily) -> tuple[Payload, ...]:
    """Drop the Next Payload numbers that follow from the payload behind."""
    result = []
    for index, payload in enumerate(payloads):
        following = payloads[index + 1].kind if index + 1 < len(payloads) else None
        agrees = payload.next_payload == following and payload.kind not in family.ends_chain
        result.append(msgspec.structs.replace(payload, next_payload=None) if agrees else payload)
    return tuple(result)


def build_chain(payloads: tuple[Payload, ...]) -> bytes:
    """The wire form of a chain (the type of the first payload stands in what comes before it)."""
    out = bytearray()
    for index, payload in enumerate(payloads):
        following = payload.next_payload
        if following is None:
            following = payloads[index + 1].kind if index + 1 < len(payloads) else 0
        start = len(out)
        out += bytes(GENERIC_HEADER_SIZE)
        payload.body.write(out)
        length = len(out) - start if payload.length is None else payload.length
        _GENERIC.pack_into(out, start, following, payload.critical << 7 | payload.reserved, length)
    return bytes(out)
