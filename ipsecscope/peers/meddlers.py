"""Elements that meddle with chosen packets: they lose, refuse, damage, repeat or forge what a matcher picks out.

A matcher looks at a packet's pieces; an answer says what becomes of a packet that matches. Neither knows keys: they do
what a router, a firewall or somebody on the path can do.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable

import msgspec

from ipsecscope.dissect.header import HEADER_SIZE, Flags
from ipsecscope.dissect.natt import UdpContent, classify
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.elements import Flight, Way, udp_ports
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.packets import DONT_FRAGMENT, UDP_HEADER_SIZE, Pieces, Udp, ip_packet, split

Matcher = Callable[[Pieces], bool]
Answer = Callable[[Flight, Pieces], Iterable[Flight]]

QUOTED = 28  # octets behind the IP header that an ICMP error quotes: UDP's and an IKE SPI pair, or ESP's
ICMP_UNREACHABLE = 3


class Meddler:
    """Does something to packets: to those that match, go the given way, and bear one of the numbers (from 1).

    ``numbers`` count the packets that match; without them all are meant. ``since`` is when it begins.
    """

    def __init__(
        self,
        matches: Matcher,
        answer: Answer,
        *,
        way: Way | None = None,
        numbers: Iterable[int] = (),
        since: Instant = 0,
    ) -> None:
        self._matches = matches
        self._answer = answer
        self._way = way
        self._numbers = frozenset(numbers)
        self._since = since
        self._seen = 0

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Let the packet pass, or answer it."""
        pieces = split(flight.packet)
        if pieces is None or self._way not in (None, flight.way) or now < self._since or not self._matches(pieces):
            return (flight,)
        self._seen += 1
        if self._numbers and self._seen not in self._numbers:
            return (flight,)
        return self._answer(flight, pieces)


# -- matchers ------------------------------------------------------------------------------------------------------


def esp(pieces: Pieces) -> bool:
    """ESP, in IP or in UDP."""
    if pieces.protocol == IpProtocol.ESP:
        return True
    data = _udp_data(pieces)
    ports = udp_ports(pieces)
    return data is not None and ports is not None and 4500 in ports and classify(data) is UdpContent.ESP


def sent_by(address: str) -> Matcher:
    """Packets with a source address."""
    return lambda pieces: pieces.source == address


def longer_than(size: int) -> Matcher:
    """Packets of more octets than ``size``, from the IP header on."""
    return lambda pieces: len(pieces.head) + len(pieces.payload) > size


def ike(exchange: int | None = None, *, response: bool | None = None, message_id: int | None = None) -> Matcher:
    """IKE messages: of one exchange type, requests or responses only, of one message id."""

    def matches(pieces: Pieces) -> bool:
        octets = ike_octets(pieces)
        if octets is None:
            return False
        kind, flags, number = octets[18], octets[19], int.from_bytes(octets[20:24], "big")
        return (
            exchange in (None, kind)
            and response in (None, bool(flags & Flags.RESPONSE))
            and message_id in (None, number)
        )

    return matches


def ike_octets(pieces: Pieces) -> bytes | None:
    """The IKE message that a whole packet carries on the ports of IKE; None for anything else."""
    data, ports = _udp_data(pieces), udp_ports(pieces)
    if data is None or ports is None:
        return None
    if 500 not in ports and classify(data) is not UdpContent.IKE:
        return None
    octets = data if 500 in ports else data[4:]
    return octets if len(octets) >= HEADER_SIZE else None


def _udp_data(pieces: Pieces) -> bytes | None:
    if pieces.protocol != IpProtocol.UDP or pieces.is_fragment:
        return None
    try:
        return Udp.parse(pieces.payload).data
    except WireError:
        return None


# -- answers -------------------------------------------------------------------------------------------------------


def lose(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
    """Nothing comes out."""
    del flight, pieces
    return ()


def damage(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
    """Change the last octet, as a faulty line or somebody who wants to see what happens."""
    payload = pieces.payload[:-1] + bytes((pieces.payload[-1] ^ 0x01,))
    story = f"changed on the way: {flight.story}"
    return (msgspec.structs.replace(flight, packet=pieces.with_payload(payload, pieces.protocol), story=story),)


def repeat(after: Instant, times: int = 1) -> Answer:
    """Let the packet pass, and send it again later: a replay."""

    def answer(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        del pieces
        story = f"replayed by somebody on the path: {flight.story}"
        yield flight
        for number in range(1, times + 1):
            yield msgspec.structs.replace(flight, after=number * after, story=story)

    return answer


def keep_back(after: Instant) -> Answer:
    """Let the packet pass later."""
    return lambda flight, _: (msgspec.structs.replace(flight, after=after),)


def refuse(code: int, *, router: str = "", kind: int = ICMP_UNREACHABLE, words: str = "unreachable") -> Answer:
    """Drop the packet and say so by ICMP; without a ``router``, the destination itself says it (RFC 792)."""

    def answer(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        message = bytes((kind, code)) + bytes(6) + pieces.head + pieces.payload[:QUOTED]
        packet = ip_packet(router or pieces.destination, pieces.source, IpProtocol.ICMP, message, dont_fragment=False)
        return (Flight(packet, flight.way.back, f"ICMP: {words}"),)

    return answer


def shorten(octets: int) -> Answer:
    """Cut the end off, as a sender whose ICVs are shorter than agreed."""

    def answer(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        packet = pieces.with_payload(pieces.payload[:-octets], pieces.protocol)
        return (msgspec.structs.replace(flight, packet=packet),)

    return answer


def without_marker(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
    """Take the non-ESP marker off an IKE message on port 4500 (RFC 3948 section 2.2 wants it)."""
    datagram = Udp.parse(pieces.payload)
    bare = Udp(source_port=datagram.source_port, destination_port=datagram.destination_port, data=datagram.data[4:])
    packet = pieces.with_payload(bare.build(), pieces.protocol)
    return (msgspec.structs.replace(flight, packet=packet, story=f"without its marker: {flight.story}"),)


def fragmentable(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
    """Take the DF bit off, as a router does that was told to."""
    flags = int.from_bytes(pieces.head[6:8], "big") & ~DONT_FRAGMENT
    head = pieces.head[:6] + flags.to_bytes(2, "big") + pieces.head[8:]
    packet = msgspec.structs.replace(pieces, head=head).with_payload(pieces.payload, pieces.protocol)
    return (msgspec.structs.replace(flight, packet=packet),)


def from_elsewhere(address: str) -> Answer:
    """Change the source address, as a gateway with two addresses that answers from the other one."""

    def answer(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        packed = ipaddress.IPv4Address(address).packed
        head = pieces.head[:12] + packed + pieces.head[16:]
        data = _udp_data(pieces)
        payload = pieces.payload if data is None else pieces.payload[:6] + bytes(2) + pieces.payload[UDP_HEADER_SIZE:]
        packet = msgspec.structs.replace(pieces, head=head).with_payload(payload, pieces.protocol)
        story = f"from another address: {flight.story}"
        return (msgspec.structs.replace(flight, packet=packet, story=story),)

    return answer


def forge(make: Callable[[Pieces], bytes | None], story: str, *, passes: bool = True) -> Answer:
    """Send the packet's sender a packet of our own, then let it pass or not."""

    def answer(flight: Flight, pieces: Pieces) -> Iterable[Flight]:
        made = make(pieces)
        if made is not None:
            yield Flight(made, flight.way.back, story)
        if passes:
            yield flight

    return answer
