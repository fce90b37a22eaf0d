"""A live peer without its sockets: the IKE peer, its Child SAs, what was asked of it, and what became of it.

``udp.py`` brings the datagrams, a clock and an end; everything else is here, and runs as well without a network.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Protocol

import msgspec

from ipsecscope.peers import events
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import SECOND, Entropy, Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.guard import Guard
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.ikev1.states import PhaseOne
from ipsecscope.peers.ikev2.driver import Ikev2Peer
from ipsecscope.peers.ikev2.informational import DeleteIke
from ipsecscope.peers.ikev2.initiator import Initiator
from ipsecscope.peers.ikev2.responder import Responder
from ipsecscope.peers.ikev2.sa import State
from ipsecscope.peers.peer import Mailbox, Path, Peer
from ipsecscope.peers.traffic import Ping
from ipsecscope.peers.tunnels import Datagram, Tunnels

LiveConfig = PeerConfig | Ikev1Config
PING_PATIENCE: Instant = 2 * SECOND  # how long the answer to the last ping may take

MAX_REASONS = 3  # kinds of what was counted that one sentence names


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the owner wants of a live peer; spans are nanoseconds counted from the first established IKE SA, 0 is never.

    Attributes:
        ping: an address to ping through the tunnel; ``source`` is whom the pings come from, else a fitting one.
        count: of the pings, ``interval`` apart.
        rekey_child: when to rekey the oldest Child SA.
        rekey_ike: when to rekey the IKE SA.
        linger: how long to stay when everything else is done.
    """

    ping: str = ""
    source: str = ""
    count: int = 4
    interval: Instant = SECOND
    rekey_child: Instant = 0
    rekey_ike: Instant = 0
    linger: Instant = 0


class Steered(Protocol):
    """What a live peer may be asked to do, in either version of IKE."""

    @property
    def peer(self) -> Peer:
        """The five verbs."""
        ...

    @property
    def mailbox(self) -> Mailbox:
        """What it counts and tells."""
        ...

    @property
    def is_idle(self) -> bool:
        """Whether it keeps no IKE SA."""
        ...

    def connect(self, now: Instant) -> None:
        """Begin with the configured responder."""
        ...

    def rekey_child(self, now: Instant) -> None:
        """Rekey the oldest Child SA, if there is one."""
        ...

    def rekey_ike(self, now: Instant) -> None:
        """Rekey the newest IKE SA, if there is one."""
        ...

    def close(self, now: Instant) -> None:
        """Delete what is established, and forget what is not."""
        ...

    def story_of(self, data: bytes) -> str:
        """What a datagram that it sent is, in RFC notation."""
        ...


class SteeredIkev2:
    """An IKEv2 peer and what it may be asked to do."""

    def __init__(self, config: PeerConfig, entropy: Entropy, *, initiates: bool) -> None:
        self.peer: Ikev2Peer = Initiator(config, entropy) if initiates else Responder(config, entropy)
        self.mailbox = self.peer.mailbox
        self.story_of = self.peer.story_of

    @property
    def is_idle(self) -> bool:
        """Whether it keeps no IKE SA."""
        return not self.peer.sas

    def connect(self, now: Instant) -> None:
        """Begin with the configured responder."""
        if isinstance(self.peer, Initiator):
            self.peer.connect(now)

    def rekey_child(self, now: Instant) -> None:
        """Rekey the oldest Child SA, if there is one."""
        if self.peer.current is not None and self.peer.current.children:
            self.peer.rekey_child(now)

    def rekey_ike(self, now: Instant) -> None:
        """Rekey the newest IKE SA, if there is one."""
        if self.peer.current is not None:
            self.peer.rekey_ike(now)

    def close(self, now: Instant) -> None:
        """Delete what is established, and forget what is not."""
        for sa in list(self.peer.sas.values()):
            if sa.state == State.ESTABLISHED:
                sa.begin(DeleteIke(), now)
            elif sa.state not in (State.DELETING, State.REKEYED):
                sa.close(now, "given up")


class SteeredIkev1:
    """An IKEv1 peer and what it may be asked to do."""

    def __init__(self, config: Ikev1Config, entropy: Entropy, *, initiates: bool) -> None:
        self.peer = Ikev1Peer(msgspec.structs.replace(config, is_gateway=not initiates), entropy)
        self.mailbox = self.peer.mailbox
        self.story_of = self.peer.story_of

    @property
    def is_idle(self) -> bool:
        """Whether it keeps no ISAKMP SA."""
        return not self.peer.sas

    def connect(self, now: Instant) -> None:
        """Begin with the configured responder."""
        self.peer.connect(now)

    def rekey_child(self, now: Instant) -> None:
        """Rekey the oldest pair of phase 2 SAs, if there is one."""
        for sa in self.peer.sas:
            if sa.state is PhaseOne.ESTABLISHED and sa.children:
                self.peer.rekey_child(sa, sa.children[0], now)
                return

    def rekey_ike(self, now: Instant) -> None:
        """Rekey the newest ISAKMP SA, if there is one."""
        for sa in reversed(self.peer.sas):
            if sa.state is PhaseOne.ESTABLISHED:
                self.peer.rekey(sa, now)
                return

    def close(self, now: Instant) -> None:
        """Delete everything."""
        for sa in list(self.peer.sas):
            self.peer.close(sa, now)


class Outcome:
    """What became of the negotiations, as far as the events tell."""

    def __init__(self) -> None:
        self.established = 0
        self.children = 0
        self.failure = ""

    def heard(self, event: PeerEvent) -> None:
        """Take an event into account."""
        if isinstance(event, events.HandshakeCompleted):
            self.established += 1
        elif isinstance(event, events.ChildSaInstalled):
            self.children += 1
        elif isinstance(event, events.Refused):
            if event.notify not in ("COOKIE", "INVALID_KE_PAYLOAD"):
                self.failure = f"{event.exchange} was refused with {event.notify}"
        elif isinstance(event, events.ExchangeUnanswered):
            self.failure = f"{event.exchange} stayed without an answer"
        elif isinstance(event, events.IkeSaClosed):
            self.failure = self.failure or f"the IKE SA was closed: {event.reason}"


class LivePeer:
    """One peer that a driver feeds; ``listeners`` are told every event but those of the data plane."""

    def __init__(self, config: LiveConfig, entropy: Entropy, wish: Wish, *, initiates: bool) -> None:
        self.config = config
        self.wish = wish
        self.initiates = initiates
        self.steered: Steered
        if isinstance(config, PeerConfig):
            self.steered = SteeredIkev2(config, entropy.fork("peer"), initiates=initiates)
        else:
            self.steered = SteeredIkev1(config, entropy.fork("peer"), initiates=initiates)
        self.tunnels = Tunnels(entropy.fork("data plane"), (config.nat_port, config.remote_ports[1]))
        self.guard = self._guard()
        self.outcome = Outcome()
        self.listeners: list[Callable[[PeerEvent], None]] = []
        self.ping: Ping | None = None
        self._answers: list[Datagram] = []
        self._due: dict[str, Instant] = {}
        self._closing = False
        self._unasked = True

    def _guard(self) -> Guard | None:
        """An IKEv2 initiator answers nobody but whom it talks to; IKEv1 peers answer anybody."""
        config = self.config
        if self.initiates and isinstance(config, PeerConfig):
            return None
        trusted = config.remote_address if self.initiates else ""
        return Guard(config.nat_port, trusted, amplification=config.limits.amplification)

    # -- the driver's verbs -------------------------------------------------------------------------------------

    def start(self, now: Instant) -> None:
        """Begin: an initiator connects, a responder waits."""
        if self.initiates:
            self.steered.connect(now)
            self._listen(now)

    def receive_datagram(self, data: bytes, path: Path, now: Instant) -> None:
        """Take a datagram; never raises."""
        self._unasked = False
        if self.guard is not None:
            self.guard.saw(data, path, now)
        self.steered.peer.receive_datagram(data, path, now)
        self._listen(now)

    def datagrams_to_send(self, now: Instant) -> Iterator[Datagram]:
        """What is waiting and may be sent: IKE, then answers to pings, then pings."""
        for data, path in self._waiting(now):
            if self.guard is None or self.guard.allows(data, path, now, unasked=self._unasked):
                yield data, path

    def _waiting(self, now: Instant) -> Iterator[Datagram]:
        yield from self.steered.peer.datagrams_to_send(now)
        self._listen(now)
        waiting, self._answers = self._answers, []
        yield from waiting
        yield from self.tunnels.datagrams_to_send(now)

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called."""
        times = [self.steered.peer.get_timer(), self.tunnels.get_timer(), *self._due.values()]
        return min((when for when in times if when is not None), default=None)

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        self._unasked = True
        self.steered.peer.handle_timer(now)
        self.tunnels.handle_timer(now)
        for name, when in list(self._due.items()):
            if when <= now:
                del self._due[name]
                self._do(name, now)
        self._listen(now)

    def close(self, now: Instant) -> None:
        """Say goodbye: Delete what is established."""
        self._closing = True
        self._due.clear()
        self.tunnels.pings.clear()
        self.steered.close(now)
        self._listen(now)

    # -- what was wished for ------------------------------------------------------------------------------------

    def _do(self, name: str, now: Instant) -> None:
        if name == "rekey Child SA":
            self.steered.rekey_child(now)
        elif name == "rekey IKE SA":
            self.steered.rekey_ike(now)
        elif name == "ping":
            self._begin_ping(now)

    def _begin_ping(self, now: Instant) -> None:
        wish = self.wish
        if not wish.ping or self.ping is not None:
            return
        self.ping = self.tunnels.ping(wish.ping, wish.count, wish.interval, now, wish.source)
        if self.ping is not None:
            self._due["answers"] = now + wish.count * wish.interval + PING_PATIENCE

    def _listen(self, now: Instant) -> None:
        while (event := self.steered.peer.next_event()) is not None:
            if isinstance(event, events.DataReceived):
                path = Path(event.local, event.remote)
                self._answers += self.tunnels.receive(event.packet, path, now)
                continue
            self.tunnels.heard(event)
            if self.guard is not None and isinstance(event, events.PathMoved) and event.role != event.vantage:
                self.guard.verify(event.address, now)  # only who is authenticated moves
            if not self._closing:
                self._follow(event, now)
            for listener in self.listeners:
                listener(event)

    def _follow(self, event: PeerEvent, now: Instant) -> None:
        first = not self.outcome.established
        self.outcome.heard(event)
        wish = self.wish
        if isinstance(event, events.HandshakeCompleted) and first:
            for name, after in (("rekey Child SA", wish.rekey_child), ("rekey IKE SA", wish.rekey_ike)):
                if after:
                    self._due[name] = now + after
            self._due["linger"] = now + wish.linger
        elif isinstance(event, events.ChildSaInstalled):
            self._due.setdefault("ping", now)

    # -- how it stands ------------------------------------------------------------------------------------------

    @property
    def answered(self) -> int:
        """The pings that were answered."""
        return 0 if self.ping is None else len(set(self.ping.replies))

    @property
    def is_done(self) -> bool:
        """Whether an initiator has nothing left to do, for better or worse."""
        if self.steered.is_idle:
            return True
        if not self.outcome.established or (self._wants_child and not self.outcome.children):
            return bool(self.outcome.established and self.outcome.failure)
        pending = set(self._due) - ({"answers"} if self.answered >= self.wish.count else set())
        return not pending

    @property
    def counts(self) -> Counter[str]:
        """What was dropped, refused or answered, by kind."""
        held_back = Counter[str]() if self.guard is None else self.guard.counts
        return self.steered.mailbox.counts + self.tunnels.counts + held_back

    @property
    def _dropped(self) -> str:
        """What may explain a failure: the commonest of what was counted."""
        named = ", ".join(f"{count} {what}" for what, count in self.counts.most_common(MAX_REASONS))
        return f" (counted: {named})" if named else ""

    @property
    def _wants_child(self) -> bool:
        return not (self.initiates and isinstance(self.config, PeerConfig) and self.config.childless)

    @property
    def failure(self) -> str:
        """Why this was no success, in one sentence; empty for a success."""
        outcome, wish = self.outcome, self.wish
        if not outcome.established:
            return f"no IKE SA was established: {outcome.failure or 'nobody began one'}{self._dropped}"
        if self._wants_child and not outcome.children:
            return f"no Child SA was created: {outcome.failure or 'nobody asked for one'}{self._dropped}"
        if wish.ping and self.ping is None:
            return f"no Child SA leads to {wish.ping}"
        if wish.ping and not self.answered:
            return f"{wish.ping} answered none of {wish.count} pings"
        return ""
