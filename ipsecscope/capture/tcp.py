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
from ipsecscope.capture.ports import KEEPALIVE, LEAST, MARKER, NAT_T_PORT, looks_like_ike
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

    @property
    def tail(self) -> int:
        """The position behind the last octet in order."""
        return self.base + len(self.buffer)

    @property
    def held(self) -> int:
        """Octets that this direction keeps."""
        return len(self.buffer) + self.ahead_octets + _SEGMENT_COST * (len(self.stretches) + len(self.ahead) + 1)


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

    def add(self, segment: Segment) -> list[Datagram]:
        """Take a segment; returns the messages that it completes."""
        template = segment.template
        key = (template.src, template.sport, template.dst, template.dport)
        if NAT_T_PORT not in (template.sport, template.dport):
            self._known.tcp.add(endpoints(*key))
        stream = self._streams.get(key)
        if stream is None or segment.syn or segment.reset:
            found = self._close(key)
            if segment.reset:
                return found
            stream = self._streams[key] = _Stream((segment.seq + segment.syn) & 0xFFFFFFFF, fresh=segment.syn)
            self._held += stream.held
        else:
            found = []
        before = stream.held
        found += self._take(stream, segment)
        self._held += stream.held - before
        self._bound()
        return found

    def finish(self) -> list[Datagram]:
        """What the open streams still hold, incomplete messages included."""
        found = []
        while self._streams:
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
        if not stream.ahead:
            return found
        position = min(stream.ahead)
        gap = position - stream.tail
        segment = stream.ahead[position]
        self._say("tcp.gap", f"{gap} octets are not in the capture", segment)
        if gap <= MAX_HOLE:
            stream.holes.append((stream.tail, position))
            stream.buffer += bytes(gap)
        else:
            found += self._cut_messages(stream, final=True)
            stream.buffer.clear()
            stream.stretches.clear()
            stream.holes.clear()
            stream.base = position
            stream.synced = False
        stream.expected = segment.seq & 0xFFFFFFFF
        self._drain(stream)
        return found + self._cut_messages(stream)

    # -- messages ---------------------------------------------------------------------------------------------

    def _cut_messages(self, stream: _Stream, *, final: bool = False) -> list[Datagram]:
        """Cut what can be cut off the front of the stream."""
        found: list[Datagram] = []
        if not stream.started and not self._start(stream, final=final):
            return found
        position = stream.base
        while True:
            if not stream.synced:
                position = self._synchronise(stream, position)
                if not stream.synced:
                    break
            left = stream.tail - position
            if left < _LENGTH_SIZE:
                break
            hole = next((hole for hole in stream.holes if hole[1] > position), None)
            if hole is not None and hole[0] < position + _LENGTH_SIZE:
                position, stream.synced = hole[1], False
                continue
            length = int.from_bytes(stream.buffer[position - stream.base :][:_LENGTH_SIZE], "big")
            if length < _LENGTH_SIZE:
                self._lost_count(stream, position)
                position, stream.synced = position + 1, False
                continue
            if length > left and not final:
                break
            found += self._message(stream, position, min(length, left), length, hole)
            position += min(length, left)
        self._forget(stream, position)
        return found

    def _start(self, stream: _Stream, *, final: bool) -> bool:
        """Look at the first octets: the prefix of the side that connects, once (RFC 9329 section 4)."""
        head = bytes(stream.buffer[: len(TCP_PREFIX)])
        if len(head) < len(TCP_PREFIX) and TCP_PREFIX.startswith(head) and not final:
            return False
        stream.started = True
        if head == TCP_PREFIX:
            self._forget(stream, stream.base + len(TCP_PREFIX))
            stream.synced = True
            self._known_streams(stream)
        return True

    def _known_streams(self, stream: _Stream) -> None:
        template = stream.stretches[-1].segment.template if stream.stretches else None
        if template is not None:
            self._known.tcp.add(endpoints(template.src, template.sport, template.dst, template.dport))
