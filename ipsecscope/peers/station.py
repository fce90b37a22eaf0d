"""A peer at an address: UDP and IP around its datagrams, fragments put together again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.packets import MORE_FRAGMENTS, Pieces, Udp, split, udp_packet
from ipsecscope.peers.peer import Path, Peer

MAX_PENDING = 16  # datagrams whose fragments are being collected
MAX_EVENTS = 100_000


class NarratingPeer(Peer, Protocol):
    """A peer that can tell what it sent."""

    def story_of(self, data: bytes) -> str:
        """What a datagram is, in RFC notation."""
        ...


class PeerStation:
    """An end of the network with an IKE peer on it. ``events`` collects what the peer says."""

    def __init__(self, peer: NarratingPeer, *, dont_fragment: bool = False) -> None:
        self.peer = peer
        self.events: list[PeerEvent] = []
        self._dont_fragment = dont_fragment
        self._identification = 0
        self._fragments: dict[tuple[str, int, int], dict[int, Pieces]] = {}

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Hand a UDP datagram to the peer; other packets are not for it."""
        pieces = split(packet)
        if pieces is None or pieces.protocol != IpProtocol.UDP:
            return
        payload = self.join(pieces) if pieces.is_fragment else pieces.payload
        if payload is None:
            return
        try:
            datagram = Udp.parse(payload)
        except WireError:
            return
        path = Path(
            Endpoint(pieces.destination, datagram.destination_port), Endpoint(pieces.source, datagram.source_port)
        )
        self.peer.receive_datagram(datagram.data, path, now)
        self._listen()

    def join(self, pieces: Pieces) -> bytes | None:
        """Keep an IPv4 fragment; the last missing one yields the whole payload."""
        key = (pieces.source, pieces.protocol, int.from_bytes(pieces.head[4:6], "big"))
        if key not in self._fragments and len(self._fragments) >= MAX_PENDING:
            self._fragments.pop(next(iter(self._fragments)))
        parts = self._fragments.setdefault(key, {})
        field = int.from_bytes(pieces.head[6:8], "big")
        parts[(field & 0x1FFF) * 8] = pieces
        whole, at = bytearray(), 0
        while at in parts:
            part = parts[at]
            whole += part.payload
            if not int.from_bytes(part.head[6:8], "big") & MORE_FRAGMENTS:
                del self._fragments[key]
                return bytes(whole)
            if not part.payload:
                return None
            at += len(part.payload)
        return None

    def packets_to_send(self, now: Instant) -> Iterator[tuple[bytes, str]]:
        """The peer's datagrams as IP packets."""
        for data, path in self.peer.datagrams_to_send(now):
            self._identification = (self._identification + 1) & 0xFFFF
            packet = udp_packet(
                (path.local.address, path.local.port),
                (path.remote.address, path.remote.port),
                data,
                identification=self._identification,
                dont_fragment=self._dont_fragment,
            )
            yield packet, self.peer.story_of(data)
        self._listen()

    def get_timer(self) -> Instant | None:
        """When the peer wants to be woken."""
        return self.peer.get_timer()

    def handle_timer(self, now: Instant) -> None:
        """Wake the peer."""
        self.peer.handle_timer(now)
        self._listen()

    def _listen(self) -> None:
        while (event := self.peer.next_event()) is not None:
            if len(self.events) < MAX_EVENTS:
                self.events.append(event)
            self.heard(event)

    def heard(self, event: PeerEvent) -> None:
        """What a station with more than a peer does about an event."""
