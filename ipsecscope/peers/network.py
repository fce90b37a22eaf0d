"""A network in memory: two stations, what lies between them, and a clock that only goes on when nothing is left to do.

What lies between is a row of elements from the left station to the right one: a tap, a NAT, a lossy line, a filter. A
packet crosses them one by one, in the other direction backwards. Everything that looks like chance comes from a seeded
source, so the same network with the same stations makes the same packets.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Annotated, BinaryIO, Protocol

import msgspec

from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.writer import PcapngWriter
from ipsecscope.dissect.wire import REST, U16, Bytes, Struct
from ipsecscope.peers.elements import Element, Flight, Way
from ipsecscope.peers.entropy import SECOND, Instant, VirtualClock

MAX_STEPS = 1_000_000  # events of one run: a loop that feeds itself ends here
ETHERTYPES = {4: 0x0800, 6: 0x86DD}
MACS = (bytes.fromhex("020000000001"), bytes.fromhex("020000000002"))  # locally administered: left, right


class Station(Protocol):
    """An end of the network; the driver's verbs for IP packets."""

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Take an IP packet."""
        ...

    def packets_to_send(self, now: Instant) -> Iterator[tuple[bytes, str]]:
        """The IP packets that are waiting, each with its story."""
        ...

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called."""
        ...

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        ...


# -- taps ----------------------------------------------------------------------------------------------------------


class Ethernet(Struct, rfc="894"):
    """An Ethernet II frame."""

    destination: Annotated[bytes, Bytes(6)]
    source: Annotated[bytes, Bytes(6)]
    ether_type: Annotated[int, U16]
    data: Annotated[bytes, REST] = b""


class Tapped(msgspec.Struct, frozen=True):
    """A frame that a tap saw."""

    time_ns: Instant
    frame: bytes
    comment: str
    tap: str


class Tap:
    """Writes down the packets that pass, as Ethernet frames: all of them unless it is told to be a poor witness.

    ``only`` is the way that it sees, ``since`` when it is switched on, ``wants`` its capture filter; ``misses`` are the
    numbers (from 1) of packets that it is too slow for, ``snaplen`` the octets that it keeps of a frame.
    """

    def __init__(
        self,
        name: str = "",
        *,
        only: Way | None = None,
        since: Instant = 0,
        wants: Callable[[bytes], bool] | None = None,
        misses: Iterable[int] = (),
        snaplen: int = 0,
    ) -> None:
        self.name = name
        self.snaplen = snaplen
        self.tapped: list[Tapped] = []
        self._only = only
        self._since = since
        self._wants = wants
        self._misses = frozenset(misses)
        self._seen = 0

    def cross(self, flight: Flight, now: Instant) -> Iterable[Flight]:
        """Let the packet pass."""
        if self._sees(flight, now):
            self._write(flight, now)
        return (flight,)

    def _sees(self, flight: Flight, now: Instant) -> bool:
        if self._only not in (None, flight.way) or now < self._since:
            return False
        if self._wants is not None and not self._wants(flight.packet):
            return False
        self._seen += 1
        return self._seen not in self._misses

    def _write(self, flight: Flight, now: Instant) -> None:
        version = flight.packet[0] >> 4
        source, destination = MACS if flight.way is Way.RIGHT else MACS[::-1]
        frame = Ethernet(
            destination=destination, source=source, ether_type=ETHERTYPES.get(version, 0), data=flight.packet
        )
        self.tapped.append(Tapped(now, frame.build(), flight.story, self.name))


def write_pcapng(target: BinaryIO, taps: Sequence[Tap], *, comment: str = "") -> None:
    """Write what taps saw, in the order of time, one interface per tap, one comment per packet."""
    with PcapngWriter(target, application="ipsecscope", comment=comment) as writer:
        for tap in taps:
            writer.interface(LinkType.ETHERNET, name=tap.name or "tap")
        seen = [
            (each.time_ns, number, place, each)
            for number, tap in enumerate(taps)
            for place, each in enumerate(tap.tapped)
        ]
        for _, number, _, each in sorted(seen, key=lambda entry: entry[0]):
            kept = each.frame[: taps[number].snaplen or None]
            size = len(each.frame)
            writer.write(each.time_ns, kept, interface=number, comment=each.comment, original_length=size)


# -- the network ---------------------------------------------------------------------------------------------------

_Action = Callable[[Instant], object]


class Network:
    """Two stations, the elements between them, and the clock."""

    def __init__(
        self, left: Station, right: Station, elements: Sequence[Element], *, clock: VirtualClock | None = None
    ) -> None:
        self.left = left
        self.right = right
        self.elements = tuple(elements)
        self.clock = clock or VirtualClock()
        self._queue: list[tuple[Instant, int, _Action]] = []
        self._count = 0

    @property
    def now(self) -> Instant:
        """The present instant."""
        return self.clock.now()

    def at(self, when: Instant, action: _Action) -> None:
        """Do something at an instant: ``action`` is called with it."""
        self._count += 1
        heapq.heappush(self._queue, (max(when, self.now), self._count, action))

    def send(self, packet: bytes, way: Way, story: str) -> None:
        """Put a packet on the line that neither station sent; it begins at the end that ``way`` leads away from."""
        self._go_on(Flight(packet, way, story), 0 if way is Way.RIGHT else len(self.elements) - 1)

    def run(self, span: Instant = 60 * SECOND) -> None:
        """Let time pass until nothing is left to do or ``span`` is over. Raises RuntimeError when it never ends."""
        end = self.now + span
        for _ in range(MAX_STEPS):
            self._collect()
            when = self._next()
            if when is None or when > end:
                self.clock.advance_to(end if when is not None else self.now)
                return
            self.clock.advance_to(when)
            self._step()
        raise RuntimeError(f"more than {MAX_STEPS} events in one run")

    def _next(self) -> Instant | None:
        times = [self._queue[0][0]] if self._queue else []
        times += [when for station in (self.left, self.right) if (when := station.get_timer()) is not None]
        return min(times, default=None)

    def _step(self) -> None:
        """What is due now: packets and actions first, then timers."""
        if self._queue and self._queue[0][0] <= self.now:
            heapq.heappop(self._queue)[2](self.now)
            return
        for station in (self.left, self.right):
            when = station.get_timer()
            if when is not None and when <= self.now:
                station.handle_timer(self.now)
                return

    def _collect(self) -> None:
        for station, way in ((self.left, Way.RIGHT), (self.right, Way.LEFT)):
            for packet, story in station.packets_to_send(self.now):
                place = 0 if way is Way.RIGHT else len(self.elements) - 1
                self._go_on(Flight(packet, way, story), place)

    def _go_on(self, flight: Flight, place: int) -> None:
        """Cross the element at ``place`` and all that follow without delay."""
        if not 0 <= place < len(self.elements):
            station = self.right if flight.way is Way.RIGHT else self.left
            station.receive_packet(flight.packet, self.now)
            return
        for crossed in self.elements[place].cross(flight, self.now):
            step = 1 if crossed.way is Way.RIGHT else -1
            onward = msgspec.structs.replace(crossed, after=0)
            if crossed.after:
                self.at(self.now + crossed.after, lambda _, onward=onward, to=place + step: self._go_on(onward, to))  # type: ignore[misc]
            else:
                self._go_on(onward, place + step)
