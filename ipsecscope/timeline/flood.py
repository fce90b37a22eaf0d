"""Floods: what is kept of IKE SAs that nobody goes on with when there are more of them than anybody can read.

Once so many half-open SAs are followed in detail, the messages of every further handshake are kept as they are, until
one comes that goes beyond the opening; then they are read as usual. What never got that far is counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from ipsecscope.capture.datagrams import Datagram
from ipsecscope.capture.records import CaptureNote
from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import PayloadType as IsakmpPayloadType

MAX_HALF_OPEN = 4_000  # half-open IKE SAs followed in detail; the messages of further ones wait …
MAX_WAITING = 50_000  # … for one that goes beyond the opening, the oldest given up beyond this …
MAX_OPENING = 8  # … at most so many messages of each; later ones are counted
MAX_NEWEST = 1_000  # of those still waiting at the end, the newest are followed in detail as well
MAX_COUNTERS = 10_000  # pairs of responder and initiator's network that are counted separately
LISTED = 3  # of these, named in the note

Key = tuple[int, bytes]
_INITIAL = frozenset({int(ExchangeType.IKE_SA_INIT), int(ExchangeType.IKE_SESSION_RESUME)})


def key_of(data: bytes) -> Key | None:
    """Version and initiator's SPI of a message; None when it is too short to tell."""
    return (data[17] >> 4, data[:8]) if len(data) >= HEADER_SIZE else None


def is_opening(data: bytes) -> bool:
    """Whether a message belongs to the first exchange of a handshake, for which a responder need not keep state yet.

    In IKEv2 that is IKE_SA_INIT, in IKEv1 the messages that begin with an SA payload.
    """
    if data[17] >> 4 == 1:
        return data[16] == int(IsakmpPayloadType.SA) and not any(data[20:24])
    return data[18] in _INITIAL


class WaitingRoom:
    """The messages of handshakes that are not worth an SA of their own yet."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Datagram]] = {}
        self._counts: dict[tuple[str, str], int] = {}
        self.counted = 0  # handshakes that will not be followed
        self.repeats = 0  # messages of one handshake beyond MAX_OPENING

    def pass_through(self, datagram: Datagram, is_known: Callable[[Key], bool], *, is_full: bool) -> list[Datagram]:
        """The messages to read now: this one, those that waited for it, or none when it has to wait.

        Args:
            datagram: the message.
            is_known: whether an SA with this version and initiator's SPI is followed already.
            is_full: whether as many half-open SAs are followed as may be.
        """
        key = key_of(datagram.payload)
        if key is None:
            return [datagram]
        waiting = self._waiting.get(key)
        if waiting is None:
            if not is_full or is_known(key):
                return [datagram]
            self._waiting[key] = [datagram]
            if len(self._waiting) > MAX_WAITING:
                self._give_up(next(iter(self._waiting)))
            return []
        if not is_opening(datagram.payload) and datagram.payload != waiting[0].payload:
            del self._waiting[key]
            return [*waiting, datagram]
        if len(waiting) < MAX_OPENING:
            waiting.append(datagram)
        else:
            self.repeats += 1
        return []

    def close(self) -> Iterator[Datagram]:
        """At the end of the capture: the messages of the newest handshakes; the others are counted."""
        keys = list(self._waiting)
        for key in keys[: max(0, len(keys) - MAX_NEWEST)]:
            self._give_up(key)
        for waiting in self._waiting.values():
            yield from waiting
        self._waiting = {}

    def _give_up(self, key: Key) -> None:
        first = self._waiting.pop(key)[0]
        self.counted += 1
        where = (first.dst, _network(first.src))
        if where in self._counts or len(self._counts) < MAX_COUNTERS:
            self._counts[where] = self._counts.get(where, 0) + 1

    def notes(self) -> list[CaptureNote]:
        """What was counted instead of followed."""
        if not self.counted:
            return []
        most = sorted(self._counts.items(), key=lambda item: (-item[1], item[0]))
        named = ", ".join(f"{count:,} from {network} to {responder}" for (responder, network), count in most[:LISTED])
        more = f" and {len(most) - LISTED:,} more pairs" if len(most) > LISTED else ""
        text = f"{self.counted:,} further half-open IKE SAs are counted only: {named}{more}"
        return [CaptureNote("ike.half-open-limit", text)]


def _network(address: str) -> str:
    """The /24 or /64 that an address is in."""
    size = 24 if ip_address(address).version == 4 else 64
    return str(ip_network(f"{address}/{size}", strict=False))
