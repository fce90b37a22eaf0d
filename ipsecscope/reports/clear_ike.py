"""IKE messages in the clear: what was opened, under the same header, in frames that any dissector reads.

An SK or SKF payload, or an IKEv1 ciphertext, is replaced by the payloads that were inside; Next Payload, Length and
the IKEv1 encryption flag follow. Such a message never was on the wire, so each frame says so in its comment.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.capture.datagrams import Datagram, Encapsulation
from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.records import Frame
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.header import HEADER_SIZE, Header, IsakmpFlags
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.packets import Udp, ip_packet
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.inner import with_payload
from ipsecscope.timeline.sas import IkeSa, MessageRecord

MARKER = bytes(4)  # RFC 3948 section 2.2
MARK = "decrypted by ipsecscope, was frame"

# Link layers that do not say how long what follows is, so that a packet of another size may follow them.
_LENGTHLESS = frozenset(("ETHERNET", "VLAN", "SLL", "SLL2", "NULL", "PPP", "MPLS", "RAW"))

Place = tuple[int, int]  # file, frame


class ClearMessage(msgspec.Struct, frozen=True):
    """An opened message as it would be in the clear, and the datagram that completed it."""

    datagram: Datagram
    message: bytes
    comment: str


class ClearMessages(msgspec.Struct):
    """All opened messages of an analysis by the frame that completed them.

    ``parts`` are frames whose content went into one of them: other fragments of the message or of its IP packet.
    ``ike`` are all frames with IKE in them.
    """

    by_frame: dict[Place, list[ClearMessage]]
    parts: set[Place]
    ike: set[Place]


def clear_messages(analysis: Analysis) -> ClearMessages:
    """Every IKE message that was opened, repeats included."""
    found = ClearMessages({}, set(), set())
    for sa in analysis.ike_sas:
        for record in _records(sa):
            _take(found, sa, record)
    for record in analysis.orphans:
        _note_frames(found.ike, record.datagram)
    found.parts -= found.by_frame.keys()
    return found


def _records(sa: IkeSa) -> Iterator[MessageRecord]:
    for exchange in sa.exchanges:
        yield from (*exchange.request, *exchange.response, *exchange.repeats, *exchange.copies)


def _take(found: ClearMessages, sa: IkeSa, record: MessageRecord) -> None:
    _note_frames(found.ike, record.datagram)
    opening = record.opening
    if opening is None or not opening.is_open:
        return
    datagram = record.datagram
    if datagram.encapsulation is not Encapsulation.TCP:
        _note_frames(found.parts, datagram)
    if record.fragment is not None and record.assembled is None and len(opening.frames) < record.fragment[1]:
        return  # its payloads stand in the message that it is a fragment of
    pieces = list(_vendor_fragments(sa, record))
    for piece in pieces:
        _note_frames(found.parts, piece.datagram)
    message = _clear_v1(record) if sa.version == 1 else _clear_v2(record)
    if message is not None:
        place = (datagram.file, datagram.frame)
        found.by_frame.setdefault(place, []).append(ClearMessage(datagram, message, _comment(record, pieces)))


def _note_frames(places: set[Place], datagram: Datagram) -> None:
    places.update((datagram.file, frame) for frame in datagram.frames)


def _vendor_fragments(sa: IkeSa, record: MessageRecord) -> Iterator[MessageRecord]:
    """The IKEv1 vendor fragments that were joined to what this record completed."""
    mine = _fragment(record)
    if mine is not None and record.assembled is not None:
        for piece in _records(sa):
            theirs = _fragment(piece)
            if theirs is not None and piece.sender == record.sender and theirs.fragment_id == mine.fragment_id:
                yield piece


def _fragment(record: MessageRecord) -> ikev1.Fragment | None:
    return next((each.body for each in record.message.payloads if isinstance(each.body, ikev1.Fragment)), None)


def _comment(record: MessageRecord, pieces: list[MessageRecord]) -> str:
    opening = record.opening
    frames = {*record.datagram.frames, *(opening.frames if opening is not None else ())}
    frames.update(frame for piece in pieces for frame in piece.datagram.frames)
    text = f"{MARK} {record.frame}"
    if len(frames) > 1:
        text += f" (put together from frames {', '.join(map(str, sorted(frames)))})"
    if record.datagram.encapsulation is Encapsulation.TCP:
        text += ", in a TCP stream"
    return f"{text}; the payloads that were encrypted stand in the clear behind the header of the exchange"


# -- messages -----------------------------------------------------------------------------------------------------


def _clear_v2(record: MessageRecord) -> bytes | None:
    """The message with the payloads of SK in the place of SK (RFC 7296 section 3.14)."""
    opening, message = record.opening, record.message
    sealed = next(
        (each for each in message.payloads if isinstance(each.body, ikev2.Encrypted | ikev2.EncryptedFragment)), None
    )
    if opening is None or opening.data is None or sealed is None:
        return None
    before = bytearray(record.datagram.payload[: sealed.start])
    previous = [each for each in message.payloads if each.stop <= sealed.start]
    header = Header.parse(bytes(before[:HEADER_SIZE]))
    if previous:
        before[previous[-1].start] = opening.first
    else:
        header = msgspec.structs.replace(header, next_payload=opening.first)
    body = bytes(before[HEADER_SIZE:]) + opening.data
    return msgspec.structs.replace(header, length=HEADER_SIZE + len(body)).build() + body


def _clear_v1(record: MessageRecord) -> bytes | None:
    """The message without its encryption flag, padding taken off (RFC 2408 section 3.1)."""
    opening, header = record.opening, (record.assembled or record.message).header
    if opening is None or opening.data is None or header is None:
        return None
    plain = msgspec.structs.replace(
        header,
        next_payload=opening.first,
        flags=header.flags & ~IsakmpFlags.ENCRYPTION,
        length=HEADER_SIZE + len(opening.data),
    )
    return plain.build() + opening.data


# -- frames -------------------------------------------------------------------------------------------------------


def clear_frame(frame: Frame, clear: ClearMessage) -> Frame:
    """A frame with the message in the clear; where its link layer cannot be kept, it starts with the IP header."""
    datagram = clear.datagram
    body = MARKER + clear.message if datagram.marker or datagram.encapsulation is Encapsulation.TCP else clear.message
    packet = _packet(datagram, body)
    link, link_type = b"", int(LinkType.RAW)
    if datagram.packet_offset is not None and _has_one_packet(datagram.layers):
        link, link_type = frame.data[: datagram.packet_offset], frame.link_type
    comment = f"{clear.comment}\n{frame.comment}" if frame.comment else clear.comment
    data = link + packet
    return msgspec.structs.replace(frame, link_type=link_type, data=data, original_length=len(data), comment=comment)


def _packet(datagram: Datagram, body: bytes) -> bytes:
    """The IP packet around a message: the same header where there is one, with a UDP datagram in it."""
    udp = Udp(source_port=datagram.sport, destination_port=datagram.dport, data=body).build()
    made = ip_packet(datagram.src, datagram.dst, IpProtocol.UDP, udp, ttl=datagram.ttl, tos=datagram.dscp << 2)
    if datagram.encapsulation is Encapsulation.TCP:
        return made
    return with_payload(datagram.packet, made[-len(udp) :], IpProtocol.UDP) or made


def _has_one_packet(layers: tuple[str, ...]) -> bool:
    """Whether the record is one IP packet behind link headers that hold no length."""
    *link, version, _ = layers if len(layers) > 1 else ("", "")
    return version in ("IPv4", "IPv6") and all(name.partition(" ")[0] in _LENGTHLESS for name in link)
