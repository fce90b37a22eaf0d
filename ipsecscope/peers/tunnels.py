"""The Child SAs of a live peer and the pings that go through them: ESP in UDP datagrams in and out (RFC 3948).

Every address inside the local selectors of a Child SA is a host that answers pings. No packet leaves this file in the
clear, and none comes out of a Child SA that its selectors do not cover (RFC 4301 section 5.2).
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator

import msgspec

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.dataplane import Bundle, NotSealableError, SequenceExhaustedError
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.events import ChildSaDeleted, ChildSaInstalled, IkeSaClosed, IkeSaRekeyed, PathMoved, PeerEvent
from ipsecscope.peers.installation import install_bundle
from ipsecscope.peers.packets import Pieces, Udp, split, udp_packet
from ipsecscope.peers.peer import Path
from ipsecscope.peers.selectors import RangeSelector, SelectorError, host_selector, intersection, parse_selector
from ipsecscope.peers.traffic import Idle, Ping

MAX_TUNNELS = 10_000  # Child SAs in use

Datagram = tuple[bytes, Path]


class Tunnel:
    """One Child SA: its selectors, seen from here, and the way to the other end."""

    def __init__(self, event: ChildSaInstalled, bundle: Bundle, path: Path) -> None:
        self.event = event
        self.group_id = event.group_id  # of the IKE SA that it belongs to now
        self.bundle = bundle
        self.path = path
        ours, theirs = (event.tsi, event.tsr) if event.is_initiator else (event.tsr, event.tsi)
        self.local_ts = _selectors(ours)
        self.remote_ts = _selectors(theirs)

    @property
    def spi_in(self) -> bytes:
        """The SPI that we receive with."""
        return self.event.spi_i if self.event.is_initiator else self.event.spi_r

    def carries(self, source: str, destination: str) -> bool:
        """Whether packets between these hosts, ours first, belong into it."""
        return _covered(source, self.local_ts) and _covered(destination, self.remote_ts)

    def own_address(self) -> str:
        """An address on our side to ping from: the assigned one, or the first host of our selectors."""
        if self.event.virtual_ip and _covered(self.event.virtual_ip, self.local_ts):
            return self.event.virtual_ip
        if self.event.mode == "transport" or not self.local_ts:
            return self.path.local.address
        first, last = (ipaddress.ip_address(end) for end in _ends(self.local_ts[0]))
        if _covered(self.path.local.address, self.local_ts):
            return self.path.local.address
        return str(first + 1 if int(last) - int(first) > 1 else first)


class Tunnels:
    """The data plane. ``counts`` says what became of what arrived; ``pings`` are those that were asked for.

    ``ports`` are the local and the remote port that ESP shares with IKE: nothing here can send ESP without UDP, and a
    peer that knows NAT traversal takes it in UDP at any time (RFC 7296 section 2.23).
    """

    def __init__(self, entropy: Entropy, ports: tuple[int, int]) -> None:
        self.counts: Counter[str] = Counter()
        self.pings: list[Ping] = []
        self._entropy = entropy
        self._ports = ports
        self._tunnels: dict[bytes, Tunnel] = {}  # by the SPI that we receive with

    def heard(self, event: PeerEvent) -> None:
        """Keep in step with what the peer says."""
        if isinstance(event, ChildSaInstalled):
            self._install(event)
        elif isinstance(event, ChildSaDeleted):
            for spi in (event.spi_i, event.spi_r):
                found = self._tunnels.get(spi)
                if found is not None and {event.spi_i, event.spi_r} == {found.event.spi_i, found.event.spi_r}:
                    del self._tunnels[spi]
        elif isinstance(event, PathMoved):
            self._moved(event)
        elif isinstance(event, IkeSaRekeyed):
            for tunnel in self._of(event):
                tunnel.group_id = event.successor
        elif isinstance(event, IkeSaClosed):
            for tunnel in self._of(event):
                del self._tunnels[tunnel.spi_in]

    def _of(self, event: PeerEvent) -> list[Tunnel]:
        """The Child SAs of the IKE SA that an event is about."""
        return [tunnel for tunnel in self._tunnels.values() if tunnel.group_id == event.group_id]

    def _install(self, event: ChildSaInstalled) -> None:
        if event.protocol != SecurityProtocol.ESP:
            self.counts["Child SAs of AH, which UDP cannot carry"] += 1
            return
        if len(self._tunnels) >= MAX_TUNNELS:
            self.counts["Child SAs beyond the limit"] += 1
            return
        path = self._path(event.src, event.dst)
        told = msgspec.structs.replace(event, src=path.local, dst=path.remote, encapsulated=True)
        try:
            bundle = install_bundle([told], self._entropy.fork(f"ESP {event.spi_i.hex()} {event.spi_r.hex()}"))
        except NotSealableError as why:
            self.counts[str(why)] += 1
            return
        tunnel = Tunnel(event, bundle, path)
        self._tunnels[tunnel.spi_in] = tunnel

    def _path(self, local: Endpoint, remote: Endpoint) -> Path:
        """The way of ESP in UDP beside the way of IKE: where IKE did not float, ESP does."""
        own, theirs = self._ports
        if local.port == own:
            return Path(local, remote)
        return Path(Endpoint(local.address, own), Endpoint(remote.address, theirs))

    def _moved(self, event: PathMoved) -> None:
        """The way of every Child SA of an IKE SA goes along with it (RFC 4555 section 3.5)."""
        there = Endpoint(event.address, event.port)
        mine = event.role == event.vantage
        for tunnel in self._of(event):
            tunnel.path = Path(there, tunnel.path.remote) if mine else Path(tunnel.path.local, there)

    def covering(self, source: str, destination: str) -> Tunnel | None:
        """The newest Child SA for a packet between two hosts, ours first."""
        return next((each for each in reversed(self._tunnels.values()) if each.carries(source, destination)), None)

    def towards(self, destination: str) -> Tunnel | None:
        """The newest Child SA whose other side has this address."""
        found = reversed(self._tunnels.values())
        return next((each for each in found if _covered(destination, each.remote_ts)), None)

    # -- what arrives -------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, path: Path, now: Instant) -> list[Datagram]:
        """Open an ESP packet from UDP; what answers it comes back."""
        tunnel = self._tunnels.get(packet[:4])
        if tunnel is None:
            self.counts["ESP of unknown SPIs"] += 1
            return []
        ends = (path.remote.address, path.remote.port), (path.local.address, path.local.port)
        received = tunnel.bundle.open(udp_packet(*ends, packet))
        self.counts[f"ESP {received.verdict.value}"] += 1
        if not received.is_accepted:
            return []
        tunnel.path = path  # where the last authentic packet came from is where the NAT leads to (RFC 3947 section 4)
        pieces = split(received.packet)
        if pieces is None or not tunnel.carries(pieces.destination, pieces.source):
            self.counts["packets outside the selectors of their SA"] += 1
            return []
        return self._deliver(tunnel, pieces, received.packet, now)

    def _deliver(self, tunnel: Tunnel, pieces: Pieces, packet: bytes, now: Instant) -> list[Datagram]:
        """Hand a packet to who pings from its address, or to the host that answers."""
        hosts: list[Idle] = [ping for ping in self.pings if ping.address == pieces.destination]
        for host in hosts or [Idle(pieces.destination)]:
            host.receive_packet(packet, now)
            for answer in host.packets_to_send(now):
                self.counts["pings answered"] += 1
                return self._seal(tunnel, answer)
        return []

    def _seal(self, tunnel: Tunnel, packet: bytes) -> list[Datagram]:
        try:
            sealed = split(tunnel.bundle.seal(packet))
            assert sealed is not None
            return [(Udp.parse(sealed.payload).data, tunnel.path)]
        except (NotSealableError, SequenceExhaustedError, WireError) as why:
            self.counts[str(why)] += 1
            return []

    # -- pings --------------------------------------------------------------------------------------------------

    def ping(self, destination: str, count: int, interval: Instant, now: Instant, source: str = "") -> Ping | None:
        """Begin to ping; None while no Child SA leads there."""
        tunnel = self.covering(source, destination) if source else self.towards(destination)
        if tunnel is None:
            return None
        identifier = int.from_bytes(self._entropy.octets(2, "ping identifier"), "big")
        begun = Ping(
            source or tunnel.own_address(),
            destination,
            start=now,
            count=count,
            interval=interval,
            identifier=identifier,
        )
        self.pings.append(begun)
        return begun

    def datagrams_to_send(self, now: Instant) -> Iterator[Datagram]:
        """The pings that are due."""
        for ping in self.pings:
            for packet in ping.packets_to_send(now):
                tunnel = self.covering(ping.address, ping.remote)
                if tunnel is None:
                    self.counts["packets without a Child SA"] += 1
                else:
                    yield from self._seal(tunnel, packet)

    def get_timer(self) -> Instant | None:
        """When the next ping is due."""
        return min((when for ping in self.pings if (when := ping.get_timer()) is not None), default=None)

    def handle_timer(self, now: Instant) -> None:
        """Send what is due."""
        for ping in self.pings:
            when = ping.get_timer()
            if when is not None and when <= now:
                ping.handle_timer(now)


def _selectors(texts: tuple[str, ...]) -> tuple[RangeSelector, ...]:
    """Selectors from the text of an event; what cannot be read covers nothing."""
    found = []
    for text in texts:
        try:
            found.append(parse_selector(text))
        except SelectorError:
            continue
    return tuple(found)


def _ends(selector: RangeSelector) -> tuple[bytes, bytes]:
    return selector.start_address, selector.end_address


def _covered(address: str, selectors: tuple[RangeSelector, ...]) -> bool:
    """Whether an address is inside, whatever the protocol and the ports."""
    try:
        host = host_selector(address)
    except SelectorError:
        return False
    return any(intersection(host, each) is not None for each in selectors)
