"""Two ends of a TCP connection that carries IKE and ESP between two stations that know nothing of it (RFC 9329).

Each end is an element of the network: what its own side sends in UDP or as plain ESP goes into the stream, what the
stream brings comes out as it went in. The connection is made for the first packet, and closed by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ipsecscope.dissect.natt import NAT_T_PORT, NON_ESP_MARKER, Endpoint, UdpContent, classify
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.elements import Flight, Way
from ipsecscope.peers.encapsulation import STREAM_PREFIX, StreamContent, StreamReader, frame_esp, frame_ike
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.packets import Pieces, Tcp, TcpFlags, Udp, ip_packet, split, udp_packet
from ipsecscope.peers.tcp import TcpEndpoint

OPENING, ACKNOWLEDGMENT = "TCP: the connection that is to carry IKE and ESP begins", "TCP: acknowledgment"


class StreamEnd:
    """One end: packets that go ``outward`` enter the stream, segments that come back are taken out of it."""

    def __init__(self, local: str, remote: str, outward: Way) -> None:
        self._outward = outward
        self._is_client = outward is Way.RIGHT
        self._ends = Endpoint(local, NAT_T_PORT), Endpoint(remote, NAT_T_PORT)
        self._connection = TcpEndpoint(*self._ends, 1 if self._is_client else 77)
        self._reader = StreamReader(expect_prefix=not self._is_client)
        self._is_open = False
        self._story = ""  # of what entered the stream last

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Put a packet into the stream, or take packets out of it."""
        pieces = split(flight.packet)
        if pieces is None:
            return ()
        return self._leave(flight, pieces, now) if flight.way is self._outward else self._arrive(flight, now)

    def _leave(self, flight: Flight, pieces: Pieces, now: Instant) -> Iterator[Flight]:
        framed = _framed(pieces)
        if framed is None:
            yield flight
            return
        if self._is_client and not self._is_open:
            self._is_open = True
            self._connection.connect(now)
            framed = STREAM_PREFIX + framed
        self._story = flight.story
        self._connection.write(framed, now)
        yield from self._segments(now)

    def _arrive(self, flight: Flight, now: Instant) -> Iterator[Flight]:
        self._connection.receive_packet(flight.packet, now)
        yield from self._segments(now)
        for kind, data in self._reader.feed(self._connection.read()):
            yield msgspec.structs.replace(flight, packet=self._plain(kind, data))

    def _segments(self, now: Instant) -> Iterator[Flight]:
        for packet in self._connection.packets_to_send(now):
            pieces = split(packet)
            assert pieces is not None
            segment = Tcp.parse(pieces.payload)
            story = OPENING if segment.flags & TcpFlags.SYN else ACKNOWLEDGMENT
            yield Flight(packet, self._outward, f"in TCP: {self._story}" if segment.data else story)

    def _plain(self, kind: StreamContent, data: bytes) -> bytes:
        """What came out of the stream, as it went in at the other end."""
        local, remote = self._ends
        if kind is StreamContent.ESP:
            return ip_packet(remote.address, local.address, IpProtocol.ESP, data)
        ends = (remote.address, NAT_T_PORT), (local.address, NAT_T_PORT)
        return udp_packet(*ends, NON_ESP_MARKER + data)


def _framed(pieces: Pieces) -> bytes | None:
    """An IKE message on port 4500, or ESP, as a message of the stream."""
    if pieces.protocol == IpProtocol.ESP:
        return frame_esp(pieces.payload)
    try:
        data = Udp.parse(pieces.payload).data if pieces.protocol == IpProtocol.UDP else b""
    except WireError:
        return None
    content = classify(data) if data else None
    if content is UdpContent.IKE:
        return frame_ike(data[len(NON_ESP_MARKER) :])
    return frame_esp(data) if content is UdpContent.ESP else None
