"""A station with hosts behind it: the IKE peer's Child SAs carry their packets.

What the peer negotiates becomes a pair of SAs of the data plane; hosts send and receive plain packets and know nothing
of it. A packet without a Child SA to carry it is dropped and counted, as a gateway with a policy does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ipsecscope.dissect.natt import NAT_T_PORT
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.dataplane import InboundSa, NotSealableError, OutboundSa, SequenceExhaustedError
from ipsecscope.peers.encapsulation import find_carried
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.events import ChildSaDeleted, ChildSaInstalled, IkeSaClosed, PeerEvent
from ipsecscope.peers.installation import install
from ipsecscope.peers.packets import Pieces, split
from ipsecscope.peers.station import NarratingPeer, PeerStation
from ipsecscope.peers.traffic import Host

ChildKey = tuple[bytes, bytes]
_CARRIERS = {SecurityProtocol.ESP: IpProtocol.ESP, SecurityProtocol.AH: IpProtocol.AH}


class GatewayStation(PeerStation):
    """A peer, its data plane and the hosts that use it."""

    def __init__(
        self,
        peer: NarratingPeer,
        entropy: Entropy,
        hosts: Sequence[Host] = (),
        *,
        dont_fragment: bool = False,
        nat_port: int = NAT_T_PORT,
    ) -> None:
        super().__init__(peer, dont_fragment=dont_fragment)
        self.hosts = tuple(hosts)
        self.counts: Counter[str] = Counter()
        self._entropy = entropy
        self._nat_port = nat_port
        self._outbound: dict[ChildKey, OutboundSa] = {}
        self._inbound: dict[tuple[int, int], tuple[ChildKey, InboundSa]] = {}
        self._groups: dict[ChildKey, str] = {}

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Open ESP and AH for the hosts; everything else is the peer's."""
        pieces = split(packet)
        carried = None if pieces is None or not self._may_carry(pieces) else find_carried(pieces)
        if carried is None:
            super().receive_packet(packet, now)
            return
        found = self._inbound.get((int(carried.protocol), carried.spi))
        if found is None:
            self.counts["packets of unknown SAs"] += 1
            return
        received = found[1].open(packet)
        self.counts[str(received.verdict.value)] += 1
        if received.is_accepted:
            for host in self.hosts:
                host.receive_packet(received.packet, now)

    def _may_carry(self, pieces: Pieces) -> bool:
        """Whether a packet is protected, or comes to the port where ESP and IKE share UDP."""
        port = int.from_bytes(pieces.payload[2:4], "big")
        return not pieces.is_fragment and (pieces.protocol != IpProtocol.UDP or port == self._nat_port)

    def packets_to_send(self, now: Instant) -> Iterator[tuple[bytes, str]]:
        """The peer's datagrams, then what the hosts send, sealed."""
        yield from super().packets_to_send(now)
        for host in self.hosts:
            for plain in host.packets_to_send(now):
                sealed = self._seal(plain)
                if sealed is not None:
                    yield sealed

    def _seal(self, plain: bytes) -> tuple[bytes, str] | None:
        sa = next(reversed(self._outbound.values()), None)
        pieces = split(plain)
        if sa is None or pieces is None:
            self.counts["packets without a Child SA"] += 1
            return None
        try:
            packet = sa.seal(plain)
        except (NotSealableError, SequenceExhaustedError) as why:
            self.counts[str(why)] += 1
            return None
        return packet, _story(sa, pieces)

    def get_timer(self) -> Instant | None:
        """When the peer or a host wants to be woken."""
        times = [super().get_timer(), *(host.get_timer() for host in self.hosts)]
        return min((when for when in times if when is not None), default=None)

    def handle_timer(self, now: Instant) -> None:
        """Wake who is due."""
        super().handle_timer(now)
        for host in self.hosts:
            when = host.get_timer()
            if when is not None and when <= now:
                host.handle_timer(now)

    def heard(self, event: PeerEvent) -> None:
        """Keep the data plane in step with what the peer says."""
        if isinstance(event, ChildSaInstalled):
            key = (event.spi_i, event.spi_r)
            outbound, inbound = install(event, self._entropy.fork(f"ESP {key[0].hex()} {key[1].hex()}"))
            self._outbound[key] = outbound
            self._inbound[(int(_CARRIERS[event.protocol]), inbound.spi)] = (key, inbound)
            self._groups[key] = event.group_id
        elif isinstance(event, ChildSaDeleted):
            self._remove((event.spi_i, event.spi_r))
        elif isinstance(event, IkeSaClosed):
            for key in [key for key, group in self._groups.items() if group == event.group_id]:
                self._groups.pop(key)

    def _remove(self, key: ChildKey) -> None:
        self._outbound.pop(key, None)
        self._groups.pop(key, None)
        for place in [place for place, (owner, _) in self._inbound.items() if owner == key]:
            del self._inbound[place]


def _story(sa: OutboundSa, pieces: Pieces) -> str:
    """What a protected packet is."""
    kind = "ESP" if hasattr(sa.sa, "encryption") else "AH"
    return (
        f"{kind} SPI {sa.spi:#010x}, sequence number {sa.last_number}, {sa.path.mode} mode: protects"
        f" {pieces.source} > {pieces.destination} {IpProtocol(pieces.protocol)}"
    )
