"""What may lie between two stations: lines that delay, lose, double and reorder, filters, small MTUs, NATs."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Protocol

import msgspec

from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.entropy import MILLISECOND, Entropy, Instant
from ipsecscope.peers.packets import DONT_FRAGMENT, MORE_FRAGMENTS, Pieces, split, with_checksum

NAT_FIRST_PORT = 20_000
ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED = 3, 4
QUOTED = 28  # octets of the packet that an ICMP error quotes behind the IP header's 20


class Way(Enum):
    """Which way a packet goes."""

    RIGHT = "to the right"
    LEFT = "to the left"

    @property
    def back(self) -> Way:
        """The other way."""
        return Way.LEFT if self is Way.RIGHT else Way.RIGHT


class Flight(msgspec.Struct, frozen=True):
    """An IP packet on its way. ``story`` is what its sender says about it, ``after`` how long the element kept it."""

    packet: bytes
    way: Way
    story: str = ""
    after: Instant = 0


class Element(Protocol):
    """Something between the stations."""

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """What becomes of a packet: nothing, one or more; a packet that turns back has the other way."""
        ...


# -- lines ---------------------------------------------------------------------------------------------------------


class Delay:
    """A line with a delay; ``jitter`` is the most that is added by chance."""

    def __init__(
        self, delay: Instant = 10 * MILLISECOND, *, jitter: Instant = 0, entropy: Entropy | None = None
    ) -> None:
        self._delay = delay
        self._jitter = jitter
        self._entropy = entropy

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Keep the packet for a while."""
        del now
        extra = self._entropy.below(self._jitter + 1, "jitter") if self._entropy is not None and self._jitter else 0
        return (msgspec.structs.replace(flight, after=self._delay + extra),)


class Selection:
    """Which packets something happens to: a share of them by chance, and those with certain numbers (from 1).

    ``purpose`` names the stream of chance; with ``way`` only packets that go this way are counted.
    """

    def __init__(
        self,
        purpose: str,
        share: float = 0.0,
        entropy: Entropy | None = None,
        *,
        numbers: Iterable[int] = (),
        way: Way | None = None,
    ) -> None:
        self._purpose = purpose
        self._share = share
        self._entropy = entropy
        self._numbers = frozenset(numbers)
        self._way = way
        self._seen = 0

    def takes(self, flight: Flight) -> bool:
        """Whether it happens to the next packet."""
        if self._way not in (None, flight.way):
            return False
        self._seen += 1
        chosen = self._entropy is not None and self._entropy.chance(self._share, self._purpose)
        return chosen or self._seen in self._numbers


class Loss:
    """Loses a share of the packets, or those with certain numbers, as ``Selection`` says."""

    def __init__(
        self, share: float = 0.0, entropy: Entropy | None = None, *, numbers: Iterable[int] = (), way: Way | None = None
    ) -> None:
        self._lost = Selection("loss", share, entropy, numbers=numbers, way=way)

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Lose the packet, or not."""
        del now
        return () if self._lost.takes(flight) else (flight,)


class Duplicate:
    """Sends a share of the packets twice, or those with certain numbers, as ``Selection`` says."""

    def __init__(
        self,
        share: float = 0.0,
        entropy: Entropy | None = None,
        *,
        numbers: Iterable[int] = (),
        after: Instant = MILLISECOND,
    ) -> None:
        self._doubled = Selection("duplicate", share, entropy, numbers=numbers)
        self._after = after

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Send the packet once or twice."""
        del now
        if not self._doubled.takes(flight):
            return (flight,)
        story = f"duplicated by the network: {flight.story}"
        return (flight, msgspec.structs.replace(flight, after=self._after, story=story))


class Reorder:
    """Keeps a share of the packets back, or those with certain numbers, so that others overtake them."""

    def __init__(
        self,
        share: float = 0.0,
        entropy: Entropy | None = None,
        *,
        numbers: Iterable[int] = (),
        after: Instant = 30 * MILLISECOND,
    ) -> None:
        self._late = Selection("reorder", share, entropy, numbers=numbers)
        self._after = after

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Keep the packet back, or not."""
        del now
        return (msgspec.structs.replace(flight, after=self._after),) if self._late.takes(flight) else (flight,)


class OneWay:
    """Lets packets pass in one direction only, from ``since`` on."""

    def __init__(self, blocked: Way, *, since: Instant = 0) -> None:
        self._blocked = blocked
        self._since = since

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Drop what goes the blocked way."""
        return () if flight.way is self._blocked and now >= self._since else (flight,)


# -- filters -------------------------------------------------------------------------------------------------------


def udp_ports(pieces: Pieces) -> tuple[int, int] | None:
    """Source and destination port of a UDP datagram or its first fragment; None for anything else."""
    if pieces.protocol != IpProtocol.UDP or len(pieces.payload) < 8 or _offset(pieces):
        return None
    return int.from_bytes(pieces.payload[:2], "big"), int.from_bytes(pieces.payload[2:4], "big")


def _offset(pieces: Pieces) -> int:
    """The fragment offset in octets."""
    return (int.from_bytes(pieces.head[6:8], "big") & 0x1FFF) * 8 if pieces.version == 4 else 0


class Filter:
    """A firewall that drops what a rule matches: UDP to or from a port, an IP protocol, fragments."""

    def __init__(
        self,
        *,
        ports: Iterable[int] = (),
        protocols: Iterable[int] = (),
        fragments: bool = False,
        longer_than: int = 0,
        way: Way | None = None,
    ) -> None:
        self._ports = frozenset(ports)
        self._protocols = frozenset(protocols)
        self._fragments = fragments
        self._longer_than = longer_than
        self._way = way
        self.dropped = 0

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Drop what a rule matches."""
        del now
        pieces = split(flight.packet)
        if pieces is None or self._way not in (None, flight.way) or not self._matches(pieces, len(flight.packet)):
            return (flight,)
        self.dropped += 1
        return ()

    def _matches(self, pieces: Pieces, size: int) -> bool:
        ports = udp_ports(pieces)
        return (
            (self._fragments and pieces.is_fragment)
            or (0 < self._longer_than < size)
            or pieces.protocol in self._protocols
            or (ports is not None and bool(self._ports & set(ports)))
        )


class Mtu:
    """A line that takes packets of ``size`` octets: longer ones are fragmented, or with DF set refused.

    ``reports`` says whether a refusal is told by ICMP; without it the line is a black hole (RFC 2923).
    """

    def __init__(self, size: int, *, reports: bool = True, router: str = "192.0.2.254") -> None:
        self._size = size
        self._reports = reports
        self._router = router

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Pass, fragment or refuse."""
        del now
        pieces = split(flight.packet)
        if pieces is None or len(flight.packet) <= self._size:
            return (flight,)
        flags = int.from_bytes(pieces.head[6:8], "big") if pieces.version == 4 else DONT_FRAGMENT
        if flags & DONT_FRAGMENT:
            return self._refuse(flight, pieces) if self._reports and pieces.version == 4 else ()
        return [msgspec.structs.replace(flight, packet=each) for each in self._fragments(pieces, flags)]

    def _fragments(self, pieces: Pieces, flags: int) -> Iterator[bytes]:
        """IPv4 fragments, RFC 791 section 3.2."""
        room = (self._size - len(pieces.head)) // 8 * 8
        base, more = flags & 0x1FFF, flags & MORE_FRAGMENTS
        for start in range(0, len(pieces.payload), room):
            data = pieces.payload[start : start + room]
            is_last = start + room >= len(pieces.payload)
            field = (base + start // 8) | (more if is_last else MORE_FRAGMENTS)
            head = pieces.head[:6] + field.to_bytes(2, "big") + pieces.head[8:]
            yield msgspec.structs.replace(pieces, head=head).with_payload(data, pieces.protocol)

    def _refuse(self, flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        """ICMP Destination Unreachable, Fragmentation Needed (RFC 1191 section 4)."""
        from ipsecscope.peers.packets import ip_packet

        told = bytes((ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED)) + bytes(4) + self._size.to_bytes(2, "big")
        message = told + flight.packet[:QUOTED]
        packet = ip_packet(self._router, pieces.source, IpProtocol.ICMP, message, dont_fragment=False)
        story = f"ICMP: fragmentation needed, next-hop MTU {self._size}"
        return (Flight(packet, flight.way.back, story),)


class Nat:
    """A network address and port translator: the left side is private.

    ``keep_ports`` tries to keep the source port of a new mapping; ``rebind`` is when all mappings are lost and made anew
    with other ports. IP protocols without ports pass with their address changed, one host each, as ESP passthrough does.
    """

    def __init__(self, address: str, *, keep_ports: bool = False, rebind: Iterable[Instant] = ()) -> None:
        self.address = address
        self._keep_ports = keep_ports
        self._rebind = sorted(rebind)
        self._out: dict[tuple[str, int], int] = {}
        self._in: dict[int, tuple[str, int]] = {}
        self._hosts: dict[int, str] = {}
        self._next = NAT_FIRST_PORT

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Translate the packet; one from outside without a mapping is dropped."""
        while self._rebind and now >= self._rebind[0]:
            self._rebind.pop(0)
            self._out.clear()
            self._in.clear()
        pieces = split(flight.packet)
        if pieces is None:
            return ()
        packet = self._outwards(pieces) if flight.way is Way.RIGHT else self._inwards(pieces)
        return () if packet is None else (msgspec.structs.replace(flight, packet=packet),)

    def _outwards(self, pieces: Pieces) -> bytes | None:
        if pieces.protocol != IpProtocol.UDP:
            self._hosts[pieces.protocol] = pieces.source
            return _readdressed(pieces, source=self.address)
        if _offset(pieces):
            return _readdressed(pieces, source=self.address)
        ports = udp_ports(pieces)
        if ports is None:
            return None
        key = (pieces.source, ports[0])
        mapped = self._out.get(key)
        if mapped is None:
            mapped = ports[0] if self._keep_ports and ports[0] not in self._in else self._fresh()
            self._out[key], self._in[mapped] = mapped, key
        return _readdressed(pieces, source=self.address, ports=(mapped, ports[1]))

    def _fresh(self) -> int:
        self._next += 1
        return self._next

    def _inwards(self, pieces: Pieces) -> bytes | None:
        if pieces.protocol != IpProtocol.UDP:
            host = self._hosts.get(pieces.protocol)
            return None if host is None else _readdressed(pieces, destination=host)
        ports = udp_ports(pieces)
        if ports is None:
            host = next((key[0] for key in self._in.values()), None)
            return None if host is None else _readdressed(pieces, destination=host)
        known = self._in.get(ports[1])
        return None if known is None else _readdressed(pieces, destination=known[0], ports=(ports[0], known[1]))


class Forward:
    """A NAT in front of the right side that forwards everything: what comes for ``address`` goes to ``inside``."""

    def __init__(self, address: str, inside: str) -> None:
        self.address = address
        self.inside = inside

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Translate the packet."""
        del now
        pieces = split(flight.packet)
        if pieces is None:
            return ()
        ports = udp_ports(pieces)
        if flight.way is Way.RIGHT:
            packet = _readdressed(pieces, destination=self.inside, ports=ports)
        else:
            packet = _readdressed(pieces, source=self.address, ports=ports)
        return (msgspec.structs.replace(flight, packet=packet),)


def _readdressed(
    pieces: Pieces, *, source: str = "", destination: str = "", ports: tuple[int, int] | None = None
) -> bytes:
    """A packet with another address and other UDP ports, one hop further, all checksums right."""
    octets = [
        ipaddress.ip_address(each).packed for each in (source or pieces.source, destination or pieces.destination)
    ]
    start = 12 if pieces.version == 4 else 8
    hops = 8 if pieces.version == 4 else 7  # where the time to live stands
    left = max(pieces.head[hops] - 1, 1)
    head = pieces.head[:hops] + bytes((left,)) + pieces.head[hops + 1 : start]
    head += b"".join(octets) + pieces.head[start + 2 * len(octets[0]) :]
    payload = pieces.payload
    if ports is not None:
        payload = ports[0].to_bytes(2, "big") + ports[1].to_bytes(2, "big") + payload[4:]
        has_checksum = any(payload[6:8]) and not pieces.is_fragment
        payload = with_checksum(payload, pieces.protocol, *octets) if has_checksum else payload
    return msgspec.structs.replace(pieces, head=head).with_payload(payload, pieces.protocol)
