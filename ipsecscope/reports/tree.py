"""The field tree: every field of every IPsec packet with its octets, and the section that defines it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TextIO

import msgspec

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.sources import merge
from ipsecscope.dissect.ah import Ah
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.esp import LAST_RESERVED_SPI, Esp
from ipsecscope.dissect.header import Flags, IsakmpFlags
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.wire import Field, Reader, Struct, WireError
from ipsecscope.reports.escape import show
from ipsecscope.timeline.reading import open_all

SHOWN_OCTETS = 24  # of one field; the rest is counted
SHOWN_COMMENT = 400  # characters of a packet's comment


def write_trees(
    path: str,
    out: TextIO,
    *,
    frames: frozenset[int] = frozenset(),
    ike_ports: frozenset[int] = frozenset(),
    hexdump: bool = False,
) -> int:
    """Write the tree of every IPsec datagram of a capture, or of those in ``frames``; returns how many.

    Raises UnusableFileError when the capture cannot be used.
    """
    sources, failures = open_all([path])
    if failures:
        raise failures[0]
    pipeline = Pipeline(ike_ports=ike_ports)
    count = 0
    for records in merge(sources):
        for frame in records.frames():
            for datagram in pipeline.feed(frame):
                count += _write(datagram, out, frames, hexdump=hexdump)
    for datagram in pipeline.finish():
        count += _write(datagram, out, frames, hexdump=hexdump)
    return count


def _write(datagram: Datagram, out: TextIO, frames: frozenset[int], *, hexdump: bool) -> int:
    if datagram.kind == Kind.OTHER or (frames and not frames & set(datagram.frames)):
        return 0
    out.writelines(f"{line}\n" for line in datagram_lines(datagram, hexdump=hexdump))
    out.write("\n")
    return 1


def datagram_lines(datagram: Datagram, *, hexdump: bool = False) -> Iterator[str]:
    """The lines of one datagram's tree."""
    numbers = ", ".join(map(str, datagram.frames))
    ends = f"{_place(datagram.src, datagram.sport)} → {_place(datagram.dst, datagram.dport)}"
    where = "" if datagram.offset is None else f", from octet {datagram.offset} of the frame"
    yield f"frame {numbers}  {ends}  {' / '.join(datagram.layers)}"
    yield f"  {datagram.kind.name}, {datagram.wire_length} octets{where}"
    if datagram.comment:
        yield f"  comment: {show(datagram.comment, SHOWN_COMMENT)}"
    if datagram.missing:
        yield f"  ! the capture lacks {datagram.missing} octets"
    if datagram.kind == Kind.ICMP and datagram.quoted is not None and datagram.icmp is not None:
        error = datagram.icmp
        yield f"  ICMP type {error.type} code {error.code} from {error.sender}; it quotes:"
        for line in datagram_lines(datagram.quoted):
            yield f"    {line}"
        return
    yield from _content(datagram)
    if hexdump:
        yield from _hexdump(datagram.payload)


def _place(address: str, port: int) -> str:
    if not port:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _content(datagram: Datagram) -> Iterator[str]:
    if datagram.kind == Kind.IKE:
        message = parse_message(datagram.payload, missing=datagram.missing)
        yield from message_lines(message)
    elif datagram.kind in (Kind.ESP, Kind.AH):
        structure: type[Struct] = Esp if datagram.kind == Kind.ESP else Ah
        try:
            tree = structure.trace(Reader(datagram.payload))
        except WireError as error:
            yield f"  ! {error.why}"
            return
        yield f"  RFC {structure.rfc.replace(' ', ' section ')}"
        for child in tree.children:
            yield from _field_lines(child, 1)
        spi = getattr(tree.value, "spi", None)
        if spi is not None and spi <= LAST_RESERVED_SPI:
            yield f"  ! SPI {spi} is reserved: no SA may have it (RFC 4303 section 2.1, RFC 4302 section 2.4)"


def message_lines(message: Message) -> Iterator[str]:
    """The lines of one IKE message's tree, its notes at the end."""
    for child in message.trace().children:
        yield from _field_lines(_named(child, message), 1, version=message.family.major_version)
    for note in message.notes:
        yield f"  ! [{note.start}:{note.stop}] {note.kind}: {show(note.text)}"


def _named(field: Field, message: Message) -> Field:
    """The header with its numbers as code points of the message's version."""
    header, family = message.header, message.family
    if field.name != "header" or header is None:
        return field
    flags = IsakmpFlags if family.major_version == 1 else Flags
    names: dict[str, Callable[[int], object]] = {
        "next_payload": family.payload_type,
        "exchange_type": family.exchange_type,
        "flags": lambda value: "|".join(flag.name or "" for flag in flags if value & flag) or "none",
        "version": lambda value: f"{value >> 4}.{value & 0x0F}",
    }
    children = tuple(
        msgspec.structs.replace(child, value=names[child.name](child.value)) if child.name in names else child
        for child in field.children
    )
    return msgspec.structs.replace(field, children=children)


def _field_lines(field: Field, depth: int, version: int = 2) -> Iterator[str]:
    indent = "  " * depth
    section = _section(field, version)
    value = "" if field.children and not isinstance(field.value, Payload | Struct) else _value(field.value)
    text = f"{indent}{field.name} [{field.start}:{field.stop}]"
    if value:
        text += f" {value}"
    if section:
        text += f"  (RFC {section})"
    yield text
    for child in field.children:
        yield from _field_lines(child, depth + 1, version)


def _section(field: Field, version: int) -> str:
    if field.name == "header":
        return "2408 section 3.1" if version == 1 else "7296 section 3.1"
    value = field.value
    structure = type(value.body) if isinstance(value, Payload) else type(value)
    rfc = getattr(structure, "rfc", "")
    return str(rfc).replace(" ", " section ") if isinstance(rfc, str) else ""


def _value(value: object) -> str:
    if isinstance(value, Payload):
        return show(value.body.summary())
    if isinstance(value, Struct):
        return show(value.summary())
    if isinstance(value, CodePoint):
        return f"{value} ({int(value)})"
    if isinstance(value, bytes):
        text = value[:SHOWN_OCTETS].hex()
        return text if len(value) <= SHOWN_OCTETS else f"{text}… ({len(value)} octets)"
    if isinstance(value, tuple):
        return f"{len(value)} items" if value else "none"
    return show(str(value))


def _hexdump(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        row = data[start : start + 16]
        text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        yield f"  {start:06x}  {row.hex(' '):<47}  {text}"
