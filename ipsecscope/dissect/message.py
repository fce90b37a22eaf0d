"""IKE messages, both versions: ``parse`` is total, ``build(parse(b)) == b`` for every byte string.

A message is a value: header, payloads, what is encrypted, what could not be followed. Where its fields stood is
computed on demand (``trace``, ``span``). It knows no keys and no other message.
"""

from __future__ import annotations

import re
from typing import Annotated

import msgspec

from ipsecscope.dissect.body import Body, Malformed, Opaque
from ipsecscope.dissect.chain import (
    DEFAULT_CONTEXT,
    GENERIC_HEADER_SIZE,
    Context,
    Payload,
    PayloadFamily,
    build_chain,
    parse_chain,
)
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.families import IKEV1, IKEV2, body_notes
from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.names import payload_name
from ipsecscope.dissect.notes import Note
from ipsecscope.dissect.wire import U8, U16, Field, Reader, Struct, WireError


class Message(msgspec.Struct, frozen=True, eq=False):
    """One IKE message.

    ``header`` is None when the octets are fewer than a header needs. ``payloads`` are the payloads in the clear
    (the last one may be SK or SKF); ``ciphertext`` is an IKEv1 body behind the encryption flag; ``trailing`` is what
    the chain or the header's length left over. ``notes`` and ``context`` do not take part in comparison.
    """

    header: Header | None
    payloads: tuple[Payload, ...] = ()
    ciphertext: bytes = b""
    trailing: bytes = b""
    notes: tuple[Note, ...] = ()
    context: Context = DEFAULT_CONTEXT

    def _key(self) -> tuple[object, ...]:
        return (self.header, self.payloads, self.ciphertext, self.trailing)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Message) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    @property
    def family(self) -> PayloadFamily:
        """The number space of this message: IKEv1 for major version 1, IKEv2 for all others."""
        return family_of(self.header)

    @property
    def exchange_type(self) -> CodePoint | None:
        """The exchange type as a code point of its version; None without a header."""
        if self.header is None:
            return None
        return self.family.exchange_type(self.header.exchange_type)

    @property
    def payload_names(self) -> tuple[str, ...]:
        """The payloads in RFC notation: ``("SA", "KE", "Ni", "N(NAT_DETECTION_SOURCE_IP)")``."""
        return tuple(payload_name(payload, self.header) for payload in self.payloads)

    def __getitem__(self, cls: type[Struct]) -> Struct:
        """The first payload body of this class. Raises KeyError when there is none."""
        for payload in self.payloads:
            if isinstance(payload.body, cls):
                return payload.body
        raise KeyError(cls.__name__)

    def build(self) -> bytes:
        """The wire form."""
        if self.header is None:
            return self.trailing
        rest = build_chain(self.payloads) + self.ciphertext + self.trailing
        following = self.header.next_payload
        if following is None:
            following = self.payloads[0].kind if self.payloads else 0
        length = HEADER_SIZE + len(rest) if self.header.length is None else self.header.length
        return msgspec.structs.replace(self.header, next_payload=following, length=length).build() + rest

    def trace(self) -> Field:
        """The field tree: every field with its octets, payload headers included. Siblings tile their parent."""
        return trace_message(self)

    def span(self, path: str) -> tuple[int, int]:
        """Where a field stood, as offsets in the message.

        Args:
            path: dotted names, such as ``payloads[SA].proposals[0].transforms[2].attributes`` or ``KE.data``;
                payloads are chosen by position, by RFC name, or by RFC name and occurrence (``payloads[V#2]``).

        Raises:
            KeyError: when there is no such field.
        """
        found = find_field(self.trace(), path)
        return found.start, found.stop


def family_of(header: Header | None) -> PayloadFamily:
    """The number space that a header announces."""
    return IKEV1 if header is not None and header.major_version == 1 else IKEV2


def parse_message(
    data: bytes, *, missing: int = 0, context: Context = DEFAULT_CONTEXT, remarks: bool = True
) -> Message:
    """Read one IKE message (RFC 2408 section 3, RFC 7296 section 3); never raises.

    Args:
        data: the octets, from the IKE header on.
        missing: octets that were on the wire behind ``data`` and are not in the capture.
        context: what decides between payload numbers that were given twice.
        remarks: whether to note what the standards say about readable payloads; a peer has no use for that.
    """
    if len(data) < HEADER_SIZE:
        kind = "capture.truncated" if missing else "header.short"
        note = Note(kind, f"{len(data)} octets where an IKE header needs {HEADER_SIZE}", 0, len(data))
        return Message(header=None, trailing=data, notes=(note,), context=context)
    header = Header.parse(data[:HEADER_SIZE])
    family = family_of(header)
    notes = _header_notes(header, len(data), missing)
    stop = min(len(data), max(header.length or 0, HEADER_SIZE))
    lacking = missing if stop == len(data) else 0
    if header.is_encrypted:
        payloads: tuple[Payload, ...] = ()
        ciphertext, position = data[HEADER_SIZE:stop], stop
        if lacking:
            text = f"the capture lacks {missing} octets of this message"
            notes.append(Note("capture.truncated", text, HEADER_SIZE, stop))
    else:
        first = header.next_payload or 0
        chain = parse_chain(data, HEADER_SIZE, stop, first, family, context, missing=lacking)
        payloads, position, ciphertext = chain.payloads, chain.stop, b""
        notes += chain.notes
        notes += body_notes(payloads, header, family) if remarks else []
        if chain.complete and position < stop:
            notes.append(Note("chain.trailing", f"{stop - position} octets behind the last payload", position, stop))
    return Message(
        header=_forget_computed(header, payloads, len(data)),
        payloads=payloads,
        ciphertext=ciphertext,
        trailing=data[position:],
        notes=tuple(notes),
        context=context,
    )


def _header_notes(header: Header, size: int, missing: int) -> list[Note]:
    notes = []
    if header.major_version not in (1, 2) or header.minor_version:
        text = f"version {header.major_version}.{header.minor_version}"
        notes.append(Note("header.version", text, 17, 18))
    length = header.length or 0
    if length < HEADER_SIZE:
        notes.append(Note("header.length", f"length {length} is less than the header", 24, 28))
    elif length > size + missing:
        notes.append(Note("header.length", f"length {length} where {size + missing} octets arrived", 24, 28))
    elif length < size:
        notes.append(
            Note("header.length", f"{size - length} octets behind the end that the header gives", length, size)
        )
    family = family_of(header)
    if not family.exchange_type(header.exchange_type).is_known:
        text = f"exchange type {header.exchange_type} is not an {family.name} exchange"
        notes.append(Note("header.exchange-unknown", text, 18, 19))
    return notes


def _forget_computed(header: Header, payloads: tuple[Payload, ...], size: int) -> Header:
    first = payloads[0].kind if payloads else 0
    return msgspec.structs.replace(
        header,
        next_payload=None if header.next_payload == first else header.next_payload,
        length=None if header.length == size else header.length,
    )


class GenericHeader(Struct, rfc="7296 3.2"):
    """The generic payload header, as the trace shows it."""

    next_payload: Annotated[int, U8]
    flags: Annotated[int, U8]
    length: Annotated[int, U16]


def trace_message(message: Message) -> Field:
    """The field tree of a message (see ``Message.trace``)."""
    data = message.build()
    if message.header is None:
        return Field("message", 0, len(data), message, (Field("trailing", 0, len(data), data),))
    header = Header.trace(Reader(data, 0, HEADER_SIZE), "header")
    entries, position, seen = [], HEADER_SIZE, dict[str, int]()
    for payload in message.payloads:
        name = payload_name(payload, message.header)
        seen[name] = seen.get(name, 0) + 1
        label = name if seen[name] == 1 else f"{name}#{seen[name]}"
        entry = _trace_payload(data, position, payload, label)
        entries.append(entry)
        position = entry.stop
    children = [header]
    if entries:
        children.append(Field("payloads", HEADER_SIZE, position, message.payloads, tuple(entries)))
    if message.ciphertext:
        children.append(Field("ciphertext", position, position + len(message.ciphertext), message.ciphertext))
        position += len(message.ciphertext)
    if message.trailing:
        children.append(Field("trailing", position, len(data), message.trailing))
    return Field("message", 0, len(data), message, tuple(children))


def _trace_payload(data: bytes, position: int, payload: Payload, name: str) -> Field:
    body_start = position + GENERIC_HEADER_SIZE
    stop = body_start + len(payload.body.build())
    generic = GenericHeader.trace(Reader(data, position, body_start)).children
    fields = _trace_body(data, body_start, stop, payload.body)
    if not fields or fields[-1].stop != stop:
        rest = fields[-1].stop if fields else body_start
        fields = (*fields, Field("data", rest, stop, data[rest:stop]))
    return Field(name, position, stop, payload, (*generic, *fields))


def _trace_body(data: bytes, start: int, stop: int, body: Body) -> tuple[Field, ...]:
    if isinstance(body, Opaque):
        return ()
    if isinstance(body, Malformed):
        return tuple(_moved(field, start) for field in body.partial)
    try:
        return type(body).trace(Reader(data, start, stop)).children
    except WireError:
        return ()


def _moved(field: Field, offset: int) -> Field:
    """A field traced within its body, as a field of the message."""
    return msgspec.structs.replace(
        field,
        start=field.start + offset,
        stop=field.stop + offset,
        children=tuple(_moved(child, offset) for child in field.children),
    )


_STEP = re.compile(r"([^.\[\]]+)|\[([^\]]*)\]")


def find_field(tree: Field, path: str) -> Field:
    """The field at a dotted path below ``tree``. Raises KeyError."""
    current = tree
    for index, match in enumerate(_STEP.finditer(_protect(path))):
        step = (match.group(1) or match.group(2)).replace("\0", ".")
        found = _child(current, step)
        if found is None and index == 0:
            payloads = _child(current, "payloads")
            found = None if payloads is None else _child(payloads, step)
        if found is None:
            raise KeyError(path)
        current = found
    return current


def _protect(path: str) -> str:
    """Keep dots inside brackets from separating."""
    return re.sub(r"\[[^\]]*\]", lambda match: match.group().replace(".", "\0"), path)


def _child(parent: Field, step: str) -> Field | None:
    if step.isdecimal():
        index = int(step)
        return parent.children[index] if index < len(parent.children) else None
    return next((child for child in parent.children if child.name == step), None)
