"""A station with hosts behind it: the IKE peer's Child SAs carry their packets.

What the peer negotiates becomes a pair of SAs of the data plane; hosts send and receive plain packets and know nothing
of it. A packet without a Child SA to carry it is dropped and counted, as a gateway with a policy does.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from ipsecscope.decrypt.opening_ah import AhSa
from ipsecscope.decrypt.opening_esp import EspSa
from ipsecscope.dissect.natt import NAT_T_PORT
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.dataplane import Bundle, NotSealableError, SequenceExhaustedError
from ipsecscope.peers.encapsulation import find_carried
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.events import ChildSaDeleted, ChildSaInstalled, PeerEvent
from ipsecscope.peers.installation import install_bundle
from ipsecscope.peers.packets import Pieces, split
from ipsecscope.peers.station import NarratingPeer, PeerStation
from ipsecscope.peers.traffic import Host

ChildKey = tuple[bytes, bytes]
SpiKey = tuple[str, int]  # ESP or AH, SPI


class Plane(NamedTuple):
    """How a data plane works, and how it errs.

    ``window`` is the anti-replay window, 0 for none; ``pad_to`` the size that TFC padding brings packets to;
    ``first_number`` the sequence number before the first packet's. ``in_the_clear`` sends what the hosts say without
    protection, ``never_in_udp`` does not put ESP into UDP where a NAT asks for it.
    """

    window: int = 64
    pad_to: int = 0
    first_number: int = 0
    in_the_clear: bool = False
    never_in_udp: bool = False


class Installed(NamedTuple):
    """The SAs that one exchange made, as they were told and as they work."""

    children: tuple[ChildSaInstalled, ...]
    bundle: Bundle


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
        plane: Plane | None = None,
    ) -> None:
        super().__init__(peer, dont_fragment=dont_fragment)
        self.plane = plane or Plane()
        self.hosts = tuple(hosts)
        self.counts: Counter[str] = Counter()
        self.sealed: Counter[SpiKey] = Counter()  # packets by protocol and SPI
        self.accepted: Counter[SpiKey] = Counter()
        self._entropy = entropy
        self._nat_port = nat_port
        self._bundles: dict[ChildKey, Installed] = {}

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Open ESP and AH for the hosts; everything else is the peer's."""
        pieces = split(packet)
        if pieces is not None and pieces.is_fragment and pieces.protocol in (IpProtocol.ESP, IpProtocol.AH):
            payload = self.join(pieces)  # RFC 4303 section 3.4.1: reassembly comes first
            if payload is None:
                return
            head = pieces.head[:6] + bytes(2) + pieces.head[8:]
            packet = msgspec.structs.replace(pieces, head=head).with_payload(payload, pieces.protocol)
            pieces = split(packet)
        carried = None if pieces is None or not self._may_carry(pieces) else find_carried(pieces)
        if carried is None:
            super().receive_packet(packet, now)
            return
        bundle = self._bundle_of(int(carried.protocol), carried.spi)
        if bundle is None:
            self.counts["packets of unknown SAs"] += 1
            return
        received = bundle.open(packet)
        self.counts[str(received.verdict.value)] += 1
        if received.is_accepted:
            self.accepted.update((str(_carrier(sa.sa)), sa.spi) for sa in bundle.inbound)
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
        newest = next(reversed(self._bundles.values()), None)
        pieces = split(plain)
        if self.plane.in_the_clear and pieces is not None:
            self.counts["packets in the clear"] += 1
            return plain, f"in the clear: {pieces.source} > {pieces.destination} {IpProtocol(pieces.protocol)}"
        if newest is None or pieces is None:
            self.counts["packets without a Child SA"] += 1
            return None
        try:
            packet = newest.bundle.seal(plain)
        except (NotSealableError, SequenceExhaustedError) as why:
            self.counts[str(why)] += 1
            return None
        self.sealed.update((str(_carrier(sa.sa)), sa.spi) for sa in newest.bundle.outbound)
        return packet, _story(newest.bundle, pieces)

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
            self._install(event)
        elif isinstance(event, ChildSaDeleted):
            self._remove((event.spi_i, event.spi_r))

    def skip_numbers(self, count: int) -> None:
        """Go on with sequence numbers that are ``count`` higher, as the member of a cluster that takes over."""
        for each in self._bundles.values():
            for sa in each.bundle.outbound:
                sa.last_number += count

    def restart_numbers(self) -> None:
        """Begin with the first sequence number again, as a faulty failover does: the SA's keys are used twice."""
        for each in self._bundles.values():
            for sa in each.bundle.outbound:
                sa.last_number = 0

    def _install(self, event: ChildSaInstalled) -> None:
        """Begin a bundle, or nest another SA in the one that the same exchange began."""
        key, children = (event.spi_i, event.spi_r), [event]
        last = next(reversed(self._bundles), None)
        if last is not None and _is_of_one_exchange(self._bundles[last].children, event):
            key, children = last, [*self._bundles[last].children, event]
        plane = self.plane
        if plane.never_in_udp:
            children = [msgspec.structs.replace(child, encapsulated=False) for child in children]
        try:
            bundle = install_bundle(
                children,
                self._entropy.fork(f"ESP {key[0].hex()} {key[1].hex()}"),
                window=plane.window,
                pad_to=plane.pad_to,
                first_number=plane.first_number,
            )
        except NotSealableError as why:
            self.counts[str(why)] += 1
            return
        self._bundles[key] = Installed(tuple(children), bundle)

    def _remove(self, key: ChildKey) -> None:
        """Without one of its SAs, a bundle is nothing."""
        for place, each in list(self._bundles.items()):
            if any((child.spi_i, child.spi_r) == key for child in each.children):
                del self._bundles[place]

    def _bundle_of(self, protocol: int, spi: int) -> Bundle | None:
        """The bundle whose outermost SA a packet bears: what is inside is never accepted alone."""
        for each in self._bundles.values():
            outermost = each.bundle.inbound[-1]
            if outermost.spi == spi and int(_carrier(outermost.sa)) == protocol:
                return each.bundle
        return None


def _is_of_one_exchange(children: Sequence[ChildSaInstalled], event: ChildSaInstalled) -> bool:
    """Whether an SA protects the same traffic as those that were installed in the same moment, by another protocol."""
    first = children[0]
    return (first.time_ns, first.group_id, first.is_initiator, first.tsi, first.tsr) == (
        event.time_ns,
        event.group_id,
        event.is_initiator,
        event.tsi,
        event.tsr,
    ) and all(child.protocol != event.protocol for child in children)


def _carrier(sa: EspSa | AhSa) -> IpProtocol:
    return IpProtocol.ESP if isinstance(sa, EspSa) else IpProtocol.AH


def _story(bundle: Bundle, pieces: Pieces) -> str:
    """What a protected packet is, the outermost header first."""
    headers = [
        f"{_carrier(sa.sa)} SPI {sa.spi:#010x}, sequence number {sa.last_number}" for sa in reversed(bundle.outbound)
    ]
    return (
        f"{', around '.join(headers)}, {bundle.outbound[0].path.mode} mode: protects"
        f" {pieces.source} > {pieces.destination} {IpProtocol(pieces.protocol)}"
    )
