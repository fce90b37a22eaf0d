"""IKE and ESP in TCP (RFC 9329): octet streams put in order, then cut into messages by their 16-bit lengths.

What the capture lacks becomes a hole of known size, so that the messages around it survive. A stream that is seen from
its middle on, or that lost count, is taken up again where lengths and contents are plausible.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict

import msgspec

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.layers import TCP_PREFIX
from ipsecscope.capture.ports import IKE_HEADER, KEEPALIVE, LEAST, MARKER, looks_like_ike
from ipsecscope.capture.records import CaptureNote
from ipsecscope.capture.walk import Known, Segment, endpoints

MAX_STREAMS = 10_000  # directions of conversations followed at a time
MAX_AHEAD = 256 * 1024  # octets of one direction held behind a gap before the gap is taken for lost
MAX_HELD = 64 * 1024**2  # octets held in all
MAX_HOLE = 64 * 1024  # lost octets behind which the count of messages may still be right
MAX_STRAY = 64 * 1024  # octets without a plausible message before a stream on the NAT-T port is taken for foreign
MAX_CHAIN = 8  # messages that are looked at to find a boundary
MAX_SPIS = 64  # SPIs remembered per direction

_LENGTH_SIZE = 2  # the length counts itself
_LEAST_ESP = 16  # octets of an ESP packet with the smallest trailer and check value there is
_LEAST_LOOK = 64  # octets that a look for a boundary wants to see
_LEAST_SPI = 256  # RFC 4303 section 2.1
_SEGMENT_COST = 512  # octets that the bookkeeping of one segment takes, roughly


class _Stretch(msgspec.Struct, frozen=True):
    """Where octets of the stream stood: position in the stream, record, offset in the record."""

    start: int
    segment: Segment
    skipped: int  # octets of the segment's data in front of ``start``


class _Stream:
    """One direction of a conversation. Positions count octets from the first one that was seen."""

    def __init__(self, seq: int, *, fresh: bool) -> None:
        self.expected = seq  # sequence number of the octet at ``tail``
        self.fresh = fresh  # whether the stream was seen from its SYN on
        self.buffer = bytearray()
        self.base = 0  # position of buffer[0]
        self.stretches: list[_Stretch] = []
        self.holes: list[tuple[int, int]] = []
        self.ahead: dict[int, Segment] = {}  # by position
        self.ahead_octets = 0
        self.synced = False
        self.started = False  # the first octets have been looked at
        self.stray = 0
        self.foreign = False
        self.spis: dict[bytes, None] = {}
        self.held = 0

    @property
    def tail(self) -> int:
        """The position behind the last octet in order."""
        return self.base + len(self.buffer)

    def settle(self) -> int:
        """By how many octets this direction has grown since it was last asked."""
        held = len(self.buffer) + self.ahead_octets + _SEGMENT_COST * (len(self.stretches) + len(self.ahead) + 1)
        grown, self.held = held - self.held, held
        return grown

    def forget(self, position: int) -> None:
        """Drop what stands before ``position``."""
        del self.buffer[: position - self.base]
        self.base = position
        while len(self.stretches) > 1 and self.stretches[1].start <= position:
            del self.stretches[0]
        while self.holes and self.holes[0][1] <= position:
            del self.holes[0]


class TcpStreams:
    """All TCP conversations that may carry IKE or ESP.

    Attributes:
        notes: what was lost or given up.
    """

    def __init__(self, known: Known) -> None:
        """``known.tcp`` is told which conversations started with the prefix."""
        self.notes: list[CaptureNote] = []
        self._known = known
        self._streams: OrderedDict[tuple[str, int, str, int], _Stream] = OrderedDict()
        self._held = 0
        self._limited = False

    def add(self, segment: Segment) -> list[Datagram]:
        """Take a segment; returns the messages that it completes."""
        template = segment.template
        key = (template.src, template.sport, template.dst, template.dport)
        found: list[Datagram] = []
        if segment.syn or segment.reset:
            found += self._close(key)
        if segment.reset:
            return found
        stream = self._streams.get(key)
        if stream is None:
            stream = self._streams[key] = _Stream((segment.seq + segment.syn) & 0xFFFFFFFF, fresh=segment.syn)
        self._streams.move_to_end(key)
        found += self._take(stream, segment)
        self._held += stream.settle()
        return found + self._bound()

    def finish(self) -> list[Datagram]:
        """What the open streams still hold, incomplete messages included."""
        found = []
        while self._streams:
            found += self._close(next(iter(self._streams)))
        return found

    def _close(self, key: tuple[str, int, str, int]) -> list[Datagram]:
        stream = self._streams.pop(key, None)
        found: list[Datagram] = []
        if stream is not None:
            self._held -= stream.held
            while stream.ahead:
                found += self._give_up_gap(stream)
            found += self._cut_messages(stream, final=True)
        return found

    def _bound(self) -> list[Datagram]:
        found: list[Datagram] = []
        while self._streams and (len(self._streams) > MAX_STREAMS or self._held > MAX_HELD):
            if not self._limited:
                self._limited = True
                text = f"more than {MAX_STREAMS} TCP streams or {MAX_HELD} octets of them: the idlest are given up"
                self.notes.append(CaptureNote("tcp.limit", text))
            found += self._close(next(iter(self._streams)))
        return found

    # -- order ------------------------------------------------------------------------------------------------

    def _take(self, stream: _Stream, segment: Segment) -> list[Datagram]:
        length = len(segment.data) + segment.missing
        if not length or stream.foreign:
            return []
        delta = ((segment.seq + segment.syn - stream.expected + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        position = stream.tail + delta
        if position + length <= stream.tail:
            return []  # a retransmission
        if position > stream.tail:
            if position not in stream.ahead:
                stream.ahead[position] = segment
                stream.ahead_octets += length + _SEGMENT_COST
            if stream.ahead_octets <= MAX_AHEAD:
                return []
            return self._give_up_gap(stream)
        self._append(stream, position, segment)
        self._drain(stream)
        return self._cut_messages(stream)

    def _append(self, stream: _Stream, position: int, segment: Segment) -> None:
        """Add the octets of a segment that go on where the stream ends."""
        skipped = stream.tail - position
        data = segment.data[skipped:]
        lacking = len(segment.data) + segment.missing - skipped - len(data)
        if data:
            stream.stretches.append(_Stretch(stream.tail, segment, skipped))
            stream.buffer += data
        if lacking:
            stream.holes.append((stream.tail, stream.tail + lacking))
            stream.buffer += bytes(lacking)
        stream.expected = (stream.expected + len(data) + lacking) & 0xFFFFFFFF

    def _drain(self, stream: _Stream) -> None:
        """Take what was waiting for the octets that have come now."""
        while stream.ahead:
            position = min(stream.ahead)
            if position > stream.tail:
                return
            segment = stream.ahead.pop(position)
            length = len(segment.data) + segment.missing
            stream.ahead_octets -= length + _SEGMENT_COST
            if position + length > stream.tail:
                self._append(stream, position, segment)

    def _give_up_gap(self, stream: _Stream) -> list[Datagram]:
        """The octets in front of the first waiting segment are not in the capture."""
        found: list[Datagram] = []
        position = min(stream.ahead)
        gap, segment = position - stream.tail, stream.ahead[position]
        self._say("tcp.gap", f"{gap} octets are not in the capture", segment)
        if gap <= MAX_HOLE:
            stream.holes.append((stream.tail, position))
            stream.buffer += bytes(gap)
        else:
            found += self._cut_messages(stream, final=True)
            stream.forget(stream.tail)
            stream.base = position
            stream.synced = False
        stream.expected = (segment.seq + segment.syn) & 0xFFFFFFFF
        self._drain(stream)
        return found + self._cut_messages(stream)

    # -- messages ---------------------------------------------------------------------------------------------

    def _cut_messages(self, stream: _Stream, *, final: bool = False) -> list[Datagram]:
        """Cut what can be cut off the front of the stream."""
        found: list[Datagram] = []
        if not stream.stretches or (not stream.started and not self._start(stream, final=final)):
            return found
        position = stream.base
        while True:
            if not stream.synced:
                position = self._synchronise(stream, position, final=final)
            left = stream.tail - position
            if left < _LENGTH_SIZE or not stream.synced:
                break
            hole = _next_hole(stream, position)
            if hole[0] < position + _LENGTH_SIZE:
                position, stream.synced = hole[1], False
                continue
            length = _number(stream, position)
            if length < _LENGTH_SIZE:
                position, stream.synced = position + 1, False
                continue
            if length > left and not final:
                break
            found += self._message(stream, position, length, min(left, length, hole[0] - position))
            position += min(length, left)
        stream.forget(position)
        return found

    def _start(self, stream: _Stream, *, final: bool) -> bool:
        """Look at the first octets: the prefix of the side that connects stands there, once (RFC 9329 section 4)."""
        head = bytes(stream.buffer[: len(TCP_PREFIX)])
        if len(head) < len(TCP_PREFIX) and TCP_PREFIX.startswith(head) and not final:
            return False
        stream.started = True
        template = stream.stretches[0].segment.template
        pair = endpoints(template.src, template.sport, template.dst, template.dport)
        if head == TCP_PREFIX:
            stream.forget(stream.base + len(TCP_PREFIX))
            stream.synced = True
            if len(self._known.tcp) < MAX_STREAMS:
                self._known.tcp.add(pair)
        elif stream.fresh and pair in self._known.tcp:
            stream.synced = True
        return True

    def _synchronise(self, stream: _Stream, position: int, *, final: bool) -> int:
        """The next place at or behind ``position`` where a message plausibly starts; sets ``synced`` if there is one."""
        start = position
        least = _LENGTH_SIZE if final else _LEAST_LOOK
        while stream.tail - position >= least:
            if self._plausible(stream, position):
                stream.synced = True
                if position > start or stream.stray:
                    text = f"the count of messages was taken up again after {stream.stray + position - start} octets"
                    self._say("tcp.resynchronised", text, stream.stretches[-1].segment)
                stream.stray = 0
                return position
            position += 1
        stream.stray += position - start
        if stream.stray > MAX_STRAY and not stream.spis:
            stream.foreign = True
            return stream.tail
        return position

    def _plausible(self, stream: _Stream, position: int) -> bool:
        """Whether lengths and contents from ``position`` on are those of messages."""
        place = position
        for count in range(MAX_CHAIN):
            left = stream.tail - place
            if left < _LENGTH_SIZE:
                at_segment = any(stretch.start == position for stretch in stream.stretches)
                return count > 1 or (count == 1 and left == 0 and at_segment)
            length = _number(stream, place)
            at = place - stream.base
            body = bytes(stream.buffer[at + _LENGTH_SIZE : at + min(length, left, _LEAST_LOOK)])
            verdict = _judge(body, length - _LENGTH_SIZE, stream.spis)
            if verdict is not None:
                return verdict
            if length > left:
                return count > 1
            place += length
        return True

    def _message(self, stream: _Stream, position: int, length: int, present: int) -> list[Datagram]:
        """The message at ``position``: ``length`` octets, ``present`` of them from there on in the capture."""
        at = position - stream.base
        body = bytes(stream.buffer[at + _LENGTH_SIZE : at + present])
        wire = length - _LENGTH_SIZE
        if not body:
            return []
        kind, skip = Kind.ESP, 0
        if wire == 1 and body == KEEPALIVE:
            kind = Kind.KEEPALIVE
        elif body.startswith(MARKER):
            kind, skip = Kind.IKE, len(MARKER)
        elif len(stream.spis) < MAX_SPIS:
            stream.spis[body[:4]] = None
        payload = body[skip:]
        found = Kind.UNREADABLE if len(payload) < LEAST.get(kind, 0) else kind
        carriers = _carriers(stream, position, position + present)
        latest = max(carriers, key=lambda stretch: stretch.segment.template.frames).segment.template
        alone = carriers[0] if len(carriers) == 1 else None
        offset = None
        if alone is not None and alone.segment.offset is not None:
            offset = alone.segment.offset + alone.skipped + position + _LENGTH_SIZE + skip - alone.start
        return [
            msgspec.structs.replace(
                latest,
                kind=found,
                frames=tuple(sorted({frame for each in carriers for frame in each.segment.template.frames})),
                payload=payload,
                offset=offset,
                missing=wire - skip - len(payload),
                marker=kind is Kind.IKE,
                packet=latest.packet if alone is not None else b"",
                packet_offset=latest.packet_offset if alone is not None else None,
            )
        ]

    def _say(self, kind: str, text: str, segment: Segment) -> None:
        each = segment.template
        where = f"TCP {each.src} port {each.sport} → {each.dst} port {each.dport}"
        self.notes.append(CaptureNote(kind, f"{where}: {text}", frame=each.frame))


def _number(stream: _Stream, position: int) -> int:
    at = position - stream.base
    return int.from_bytes(stream.buffer[at : at + _LENGTH_SIZE], "big")


def _next_hole(stream: _Stream, position: int) -> tuple[int, int]:
    """The first hole that ends behind ``position``; one behind everything when there is none."""
    return next((hole for hole in stream.holes if hole[1] > position), (stream.tail + 0x10000, stream.tail + 0x10000))


def _judge(body: bytes, wire: int, spis: dict[bytes, None]) -> bool | None:
    """Whether octets are a message (True), are none (False), or might be one (None). ``body`` may be its start only."""
    if wire == 1:
        return None if body in (KEEPALIVE, b"") else False
    if body.startswith(MARKER):
        if len(body) < len(MARKER) + IKE_HEADER + 4:
            return None if wire >= len(MARKER) + IKE_HEADER else False
        return looks_like_ike(body[len(MARKER) :], wire - len(MARKER))
    if wire < _LEAST_ESP:
        return False
    if len(body) < 4:
        return None
    if spis:
        return body[:4] in spis  # a new SPI comes after an IKE message, which tells itself
    return None if int.from_bytes(body[:4], "big") >= _LEAST_SPI else False


def _carriers(stream: _Stream, start: int, stop: int) -> list[_Stretch]:
    """The stretches that hold the octets from ``start`` to ``stop``; there is one at least."""
    first = max(0, bisect_right(stream.stretches, start, key=lambda stretch: stretch.start) - 1)
    last = bisect_right(stream.stretches, stop - 1, key=lambda stretch: stretch.start)
    return stream.stretches[first : max(last, first + 1)]
