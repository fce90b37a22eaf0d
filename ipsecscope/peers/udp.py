"""The only module that opens sockets: UDP ports for a live peer, and the loop that gives it datagrams and time.

Two ports, as IKE has them: one where a datagram is an IKE message, and one where IKE follows a non-ESP marker and
anything else is ESP or a NAT keepalive (RFC 3948). Nothing here needs privileges but ports below 1024.
"""

from __future__ import annotations

import ipaddress
import selectors
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol, Self

import msgspec

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Clock, Instant
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.peer import Path

MAX_DATAGRAM = 65_535
MAX_BURST = 64  # datagrams taken from one socket before the timers and the other socket have their turn
RECEIVE_BUFFER = 4 * 1024 * 1024  # octets that the kernel is asked to hold for us
NAP: Instant = 200 * MILLISECOND  # the longest sleep: how long a wish to stop may stay unheard

Tap = Callable[[bytes, Path, Instant, bool], None]
"""Is shown a datagram, its path as its sender or receiver sees it, the time, and whether it was sent."""


class PortError(Exception):
    """A port that cannot be had; ``str()`` is one line that says which and why."""


class Driven(Protocol):
    """What the loop drives."""

    def start(self, now: Instant) -> None:
        """Begin."""
        ...

    def receive_datagram(self, data: bytes, path: Path, now: Instant) -> None:
        """Take a datagram."""
        ...

    def datagrams_to_send(self, now: Instant) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that are waiting."""
        ...

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called."""
        ...

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        ...


class UdpPorts:
    """Two bound sockets of one address. ``counts`` says what could not be sent."""

    def __init__(self, address: str, port: int, nat_port: int) -> None:
        """Bind both; port 0 takes any free one. Raises PortError."""
        if ipaddress.ip_address(address).is_unspecified:
            raise PortError(f"{address} is no address of its own: NAT detection needs one that datagrams come to")
        self.address = address
        self.counts: Counter[str] = Counter()
        self._family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._sockets: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        try:
            self.port = self._bind(port)
            self.nat_port = self._bind(nat_port)
        except PortError:
            self.close()
            raise

    def _bind(self, port: int) -> int:
        made = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            made.setblocking(False)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            made.bind((self.address, port))
        except OSError as why:
            made.close()
            hint = "; ports from 1024 on need no privileges" if isinstance(why, PermissionError) else ""
            raise PortError(f"UDP port {port} of {self.address} cannot be had: {why.strerror}{hint}") from None
        found = int(made.getsockname()[1])
        self._sockets[found] = made
        self._selector.register(made, selectors.EVENT_READ, found)
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the ports back."""
        self._selector.close()
        for each in self._sockets.values():
            each.close()

    def configured(self, config: PeerConfig | Ikev1Config) -> PeerConfig | Ikev1Config:
        """The configuration with the address and the ports that were bound."""
        return msgspec.structs.replace(config, address=self.address, port=self.port, nat_port=self.nat_port)

    def receive(self, patience: Instant) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that came, a burst of each port; waits no longer than ``patience`` for the first."""
        for key, _ in self._selector.select(max(0, patience) / SECOND):
            source = self._sockets[key.data]
            local = Endpoint(self.address, key.data)
            for _ in range(MAX_BURST):
                try:
                    data, sender = source.recvfrom(MAX_DATAGRAM)
                except BlockingIOError:
                    break
                except OSError as why:  # such as an ICMP error that an earlier datagram of ours met
                    self.counts[f"receiving: {why.strerror}"] += 1
                    break
                yield data, Path(local, Endpoint(str(sender[0]), int(sender[1])))

    def send(self, data: bytes, path: Path) -> bool:
        """Send a datagram; whether the network took it. What fails is counted: UDP promises nothing."""
        chosen = self._sockets.get(path.local.port)
        if chosen is None or path.local.address != self.address:
            self.counts["sending: from an address or a port that is not ours"] += 1
            return False
        try:
            chosen.sendto(data, (path.remote.address, path.remote.port))
        except (OSError, OverflowError) as why:
            self.counts[f"sending: {getattr(why, 'strerror', None) or 'no such port'}"] += 1
            return False
        return True


def drive(
    ports: UdpPorts,
    driven: Driven,
    clock: Clock,
    *,
    until: Callable[[Instant], bool],
    tap: Tap | None = None,
) -> None:
    """Give the peer datagrams and time until ``until`` says that it is enough.

    ``tap`` is shown every datagram, with True for those that were sent; a sent one bears the path of its sender.
    """
    _flush(ports, driven, clock, tap)
    while not until(now := clock.now()):
        when = driven.get_timer()
        patience = NAP if when is None else min(NAP, when - now)
        for data, path in ports.receive(patience):
            now = clock.now()
            if tap is not None:
                tap(data, path, now, False)
            driven.receive_datagram(data, path, now)
            _flush(ports, driven, clock, tap)
        now = clock.now()
        when = driven.get_timer()
        if when is not None and when <= now:
            driven.handle_timer(now)
        _flush(ports, driven, clock, tap)


def _flush(ports: UdpPorts, driven: Driven, clock: Clock, tap: Tap | None) -> None:
    for data, path in driven.datagrams_to_send(clock.now()):
        if ports.send(data, path) and tap is not None:
            tap(data, path, clock.now(), True)
