"""What keeps a responder from being used against others: little is sent to where nobody was seen to receive it.

An address is verified once a datagram from there bears an SPI of ours that was sent there, or once an authenticated
peer is there. Until then it gets no more than ``MAX_AMPLIFICATION`` octets for each octet that came from it, and no
retransmission. An initiator talks to the address that its owner named, which needs no proof.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from dataclasses import dataclass, field

from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.natt import NO_SPI, NON_ESP_MARKER, UdpContent, classify
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.limits import MAX_AMPLIFICATION, MAX_SHOWN_SPIS, MAX_STRANGERS, MAX_VERIFIED
from ipsecscope.peers.peer import Path

STRANGER_FORGOTTEN: Instant = 60 * SECOND  # of silence: then the account of an address begins anew
VERIFIED_FORGOTTEN: Instant = 86_400 * SECOND  # then an address has to prove itself again


@dataclass(slots=True)
class _Stranger:
    """The account of one address that nothing verifies yet."""

    last: Instant
    received: int = 0
    sent: int = 0
    shown: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class Guard:
    """Watches what comes and goes. ``counts`` says what was held back."""

    def __init__(self, nat_port: int, trusted: str = "", *, amplification: float = MAX_AMPLIFICATION) -> None:
        self.counts: Counter[str] = Counter()
        self._nat_port = nat_port
        self._trusted = trusted
        self._amplification = amplification
        self._strangers: OrderedDict[str, _Stranger] = OrderedDict()
        self._verified: OrderedDict[str, Instant] = OrderedDict()

    def is_verified(self, address: str, now: Instant) -> bool:
        """Whether somebody is known to receive what is sent to an address."""
        last = self._verified.get(address)
        return address == self._trusted or (last is not None and now - last <= VERIFIED_FORGOTTEN)

    def verify(self, address: str, now: Instant) -> None:
        """Note that somebody receives what is sent to an address."""
        self._strangers.pop(address, None)
        self._verified[address] = now
        self._verified.move_to_end(address)
        while len(self._verified) > MAX_VERIFIED:
            self._verified.popitem(last=False)

    def saw(self, data: bytes, path: Path, now: Instant) -> None:
        """Note a datagram that arrived."""
        address = path.remote.address
        if self.is_verified(address, now):
            if address in self._verified:
                self.verify(address, now)
            return
        stranger = self._account(address, now)
        stranger.received += len(data)
        header = self._header(data, path) if stranger.shown else None
        if header is not None and header.spi_r in stranger.shown:
            self.verify(address, now)

    def allows(self, data: bytes, path: Path, now: Instant, *, unasked: bool) -> bool:
        """Whether a datagram may be sent; ``unasked`` for one that no datagram set off, as a retransmission."""
        if self.is_verified(path.remote.address, now):
            return True
        if unasked:
            self.counts["retransmissions to unverified addresses held back"] += 1
            return False
        stranger = self._account(path.remote.address, now)
        if stranger.sent + len(data) > stranger.received * self._amplification:
            self.counts["answers too long for unverified addresses held back"] += 1
            return False
        stranger.sent += len(data)
        header = self._header(data, path)
        if header is not None and header.spi_r != NO_SPI:
            stranger.shown[header.spi_r] = None
            while len(stranger.shown) > MAX_SHOWN_SPIS:
                stranger.shown.popitem(last=False)
        return True

    def _header(self, data: bytes, path: Path) -> Header | None:
        if path.local.port == self._nat_port:
            if classify(data) is not UdpContent.IKE:
                return None
            data = data[len(NON_ESP_MARKER) :]
        return Header.parse(data[:HEADER_SIZE]) if len(data) >= HEADER_SIZE else None

    def _account(self, address: str, now: Instant) -> _Stranger:
        found = self._strangers.get(address)
        if found is None or now - found.last > STRANGER_FORGOTTEN:
            found = self._strangers[address] = _Stranger(now)
            while len(self._strangers) > MAX_STRANGERS:
                self._strangers.popitem(last=False)
        found.last = now
        self._strangers.move_to_end(address)
        return found
