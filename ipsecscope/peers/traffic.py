"""Small hosts behind the gateways: they ping, they transfer a file over TCP, they talk, or they say nothing.

A host is driven as a peer is, with IP packets instead of datagrams: ``receive_packet``, ``packets_to_send``,
``get_timer``, ``handle_timer``. It draws no chance beyond what it is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Instant
from ipsecscope.peers.packets import (
    ECHO_REPLY,
    ECHO_REQUEST,
    IcmpEcho,
    Pieces,
    echo_packet,
    ip_packet,
    split,
    udp_packet,
)
from ipsecscope.peers.tcp import TcpEndpoint, TcpState

PING_DATA: Final = bytes(range(0x10, 0x40))  # 48 octets behind a time stamp of 8 make the usual 56
UNREACHABLE: Final = 3  # ICMP, RFC 792
PROHIBITED: Final = 13
QUOTED: Final = 8  # octets behind the header of the packet that an ICMP error is about
VOICE_FRAME: Final = 160  # octets: 20 ms of G.711
VOICE_INTERVAL: Final = 20 * MILLISECOND
VOICE_TOS: Final = 0xB8  # DSCP EF, RFC 3246


class Host(Protocol):
    """What drives traffic through a tunnel."""

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Take an IP packet; never raises."""
        ...

    def packets_to_send(self, now: Instant) -> Iterator[bytes]:
        """The IP packets that are waiting, each once."""
        ...

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called."""
        ...

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        ...


class Idle:
    """A host that says nothing, and answers pings if it is given an address."""

    def __init__(self, address: str = "") -> None:
        self.address = address
        self.received = 0
        self._outgoing: list[bytes] = []

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Count the packet, and answer it if it is a ping for this host."""
        self.received += 1
        pieces = split(packet)
        if pieces is not None and pieces.destination == self.address:
            self.receive(pieces, now)

    def receive(self, pieces: Pieces, now: Instant) -> None:
        """What to do with a packet for this host."""
        del now
        echo = _echo(pieces)
        if echo is not None and echo.type == ECHO_REQUEST[pieces.version]:
            self.send(
                echo_packet(
                    self.address,
                    pieces.source,
                    identifier=echo.identifier,
                    sequence=echo.sequence,
                    data=echo.data,
                    reply=True,
                )
            )

    def send(self, packet: bytes) -> None:
        """Queue a packet."""
        self._outgoing.append(packet)

    def packets_to_send(self, now: Instant) -> Iterator[bytes]:
        """The packets that are waiting, each once."""
        del now
        waiting, self._outgoing = self._outgoing, []
        yield from waiting

    def get_timer(self) -> Instant | None:
        """Never: nothing happens by itself."""
        return None

    def handle_timer(self, now: Instant) -> None:
        """Nothing is due."""
        del now


class Refusing(Idle):
    """A host, or the firewall in front of it, that answers everything with ICMP: prohibited (RFC 1812 section 5.2.7.1)."""

    def receive(self, pieces: Pieces, now: Instant) -> None:
        """Say no."""
        del now
        if pieces.version == 4:
            message = bytes((UNREACHABLE, PROHIBITED)) + bytes(6) + pieces.head + pieces.payload[:QUOTED]
            self.send(ip_packet(self.address, pieces.source, IpProtocol.ICMP, message))


class Repeating(Idle):
    """A host that sends something ``count`` times, ``interval`` apart, from ``start`` on."""

    def __init__(self, address: str, remote: str, *, start: Instant, count: int, interval: Instant) -> None:
        super().__init__(address)
        self.remote = remote
        self.count = count
        self.interval = interval
        self.sent = 0
        self._next: Instant | None = start if count else None

    def packet(self, number: int, now: Instant) -> bytes:
        """The packet of that number, counted from 1."""
        raise NotImplementedError

    def get_timer(self) -> Instant | None:
        """When the next packet is due."""
        return self._next

    def handle_timer(self, now: Instant) -> None:
        """Send what is due, one packet for each interval that has passed."""
        while self._next is not None and now >= self._next:
            self.sent += 1
            self.send(self.packet(self.sent, now))
            self._next = self._next + self.interval if self.sent < self.count else None


class Ping(Repeating):
    """Echo requests; ``replies`` are the numbers that came back."""

    def __init__(
        self,
        address: str,
        remote: str,
        *,
        start: Instant,
        count: int = 4,
        interval: Instant = SECOND,
        size: int = 56,
        identifier: int = 1,
    ) -> None:
        super().__init__(address, remote, start=start, count=count, interval=interval)
        self.size = size
        self.identifier = identifier
        self.replies: list[int] = []

    def packet(self, number: int, now: Instant) -> bytes:
        """An echo request with the time inside, as ping writes it."""
        pattern = PING_DATA * (self.size // len(PING_DATA) + 1)
        data = (now.to_bytes(8, "big") + pattern)[: self.size]
        return echo_packet(
            self.address,
            self.remote,
            identifier=self.identifier,
            sequence=number,
            data=data,
            ip_identification=number,
        )

    def receive(self, pieces: Pieces, now: Instant) -> None:
        """Note a reply; answer the pings of others."""
        echo = _echo(pieces)
        if echo is not None and echo.type == ECHO_REPLY[pieces.version] and echo.identifier == self.identifier:
            self.replies.append(echo.sequence)
        else:
            super().receive(pieces, now)


class Voice(Repeating):
    """One direction of a call: RTP packets of constant size at a constant rate (RFC 3550 section 5.1)."""

    def __init__(
        self,
        address: str,
        remote: str,
        *,
        start: Instant,
        duration: Instant = SECOND,
        interval: Instant = VOICE_INTERVAL,
        size: int = VOICE_FRAME,
        port: int = 4000,
    ) -> None:
        super().__init__(address, remote, start=start, count=max(1, duration // interval), interval=interval)
        self.size = size
        self.port = port

    def packet(self, number: int, now: Instant) -> bytes:
        """One RTP packet of silence."""
        del now
        stamp = number * self.size & 0xFFFFFFFF
        header = b"\x80\0" + (number & 0xFFFF).to_bytes(2, "big") + stamp.to_bytes(4, "big") + b"\0\0\0\1"
        data = header + b"\xff" * self.size
        ends = (self.address, self.port), (self.remote, self.port)
        return udp_packet(*ends, data, identification=number & 0xFFFF, tos=VOICE_TOS)


class Transfer:
    """One end of a TCP connection: a client that sends ``size`` octets and closes, or a server that takes them."""

    def __init__(
        self,
        local: Endpoint,
        remote: Endpoint,
        *,
        start: Instant | None = None,
        size: int = 0,
        mss: int | None = None,
        initial_sequence: int = 1,
    ) -> None:
        self.connection = TcpEndpoint(local, remote, initial_sequence, mss=mss)
        self.size = size
        self.received = 0
        self._start = start

    @property
    def is_complete(self) -> bool:
        """Whether everything was sent and acknowledged."""
        return self.connection.state in (TcpState.ESTABLISHED, TcpState.CLOSED) and self.connection.is_acknowledged

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Take a segment."""
        self.connection.receive_packet(packet, now)
        self.received += len(self.connection.read())

    def packets_to_send(self, now: Instant) -> Iterator[bytes]:
        """The segments that are waiting."""
        return self.connection.packets_to_send(now)

    def get_timer(self) -> Instant | None:
        """When to begin, or to repeat."""
        return self.connection.get_timer() if self._start is None else self._start

    def handle_timer(self, now: Instant) -> None:
        """Begin, or repeat."""
        if self._start is not None and now >= self._start:
            self._start = None
            self.connection.connect(now)
            self.connection.write(bytes(self.size), now)
            self.connection.close(now)
        self.connection.handle_timer(now)


def _echo(pieces: Pieces) -> IcmpEcho | None:
    if pieces.protocol != (IpProtocol.ICMP if pieces.version == 4 else IpProtocol.IPV6_ICMP):
        return None
    try:
        return IcmpEcho.parse(pieces.payload)
    except WireError:
        return None
