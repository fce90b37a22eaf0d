"""Pointing at bytes: evidence for messages, payloads, flows and ICMP errors."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from ipsecscope.capture.datagrams import Datagram
from ipsecscope.diagnose.rule import Evidence
from ipsecscope.diagnose.words import socket
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.names import payload_name
from ipsecscope.timeline.analysis import FrameNote
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import MessageRecord

MAX_EVIDENCE = 8  # places named for one finding


def message(record: MessageRecord, value: str = "") -> Evidence:
    """A whole IKE message."""
    said = value or f"{record.message.exchange_type} from {record.datagram.src}, {record.datagram.wire_length} octets"
    return Evidence(record.frame, record.datagram.file, "message", (0, record.datagram.wire_length), said)


def messages(records: Iterable[MessageRecord], limit: int = MAX_EVIDENCE) -> tuple[Evidence, ...]:
    """The first few of several messages, in order."""
    ordered = sorted(records, key=lambda record: record.number)
    return tuple(message(record) for record in ordered[:limit])


def payload(record: MessageRecord, found: Payload, value: str = "") -> Evidence:
    """One payload of a message; its octets where it stood in the clear."""
    shown = record.assembled or record.message
    name = payload_name(found, shown.header)
    is_clear = any(found is each for each in shown.payloads) and record.assembled is None
    place = (found.start, found.stop) if is_clear else None
    return Evidence(record.frame, record.datagram.file, f"payloads[{name}]", place, value or found.body.summary())


def payloads(record: MessageRecord, *classes: type) -> tuple[Evidence, ...]:
    """The payloads of some classes, in order."""
    return tuple(payload(record, each) for each in record.payloads if isinstance(each.body, classes))


def notify(record: MessageRecord, kind: int) -> tuple[Evidence, ...]:
    """The notifies of one type."""
    return tuple(
        payload(record, each)
        for each in record.payloads
        if isinstance(each.body, ikev2.Notify | ikev1.Notification) and int(each.body.notify_type) == int(kind)
    )


def errors(record: MessageRecord) -> tuple[Evidence, ...]:
    """The error notifies of a message."""
    return tuple(
        payload(record, each)
        for each in record.payloads
        if isinstance(each.body, ikev2.Notify | ikev1.Notification) and each.body.is_error
    )


def all_errors(records: Iterable[MessageRecord]) -> tuple[Evidence, ...]:
    """The error notifies of several messages."""
    return tuple(each for record in records for each in errors(record))


def flow(each: Flow) -> tuple[Evidence, ...]:
    """The first and the last packet of a flow."""
    label = f"{each.protocol} {each.spi:08x} {each.src} → {each.dst}"
    first = Evidence(each.first_frame, each.file, "spi", None, f"{label}, first packet, sequence {each.first_seq}")
    if each.last_frame == each.first_frame:
        return (first,)
    last = Evidence(
        each.last_frame, each.file, "spi", None, f"{label}, last of {each.packets}, highest sequence {each.last_seq}"
    )
    return first, last


def notes(found: Iterable[FrameNote]) -> tuple[Evidence, ...]:
    """What dissecting remarked on: the field, its octets and the remark."""
    return tuple(
        Evidence(
            each.frame,
            each.file,
            each.note.field or each.note.kind,
            (each.note.start, each.note.stop) if each.note.stop else None,
            each.note.text,
        )
        for each in islice(found, MAX_EVIDENCE)
    )


def icmp(datagram: Datagram) -> Evidence:
    """An ICMP error and what it quotes."""
    error, quoted = datagram.icmp, datagram.quoted
    text = "" if error is None else f"type {error.type} code {error.code} from {error.sender}"
    if quoted is not None:
        source, target = socket(quoted.src, quoted.sport), socket(quoted.dst, quoted.dport)
        text += f", quotes {quoted.kind.name} {source} → {target}"
    return Evidence(datagram.frame, datagram.file, "icmp", None, text)
