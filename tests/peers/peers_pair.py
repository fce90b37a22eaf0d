"""Two IKEv2 peers in one process, and what they said to each other, for tests that read as transcripts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.message import parse_message
from ipsecscope.peers.config import Identity, PeerConfig
from ipsecscope.peers.elements import Delay, Element
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Entropy
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.ikev2.driver import Ikev2Peer
from ipsecscope.peers.ikev2.initiator import Initiator
from ipsecscope.peers.ikev2.responder import Responder
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.network import Network, Tap
from ipsecscope.peers.station import PeerStation

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
ALICE, BOB = Identity.parse("alice.example"), Identity.parse("bob.example")


class Pair:
    """An initiator (alice) and a responder (bob) with a line between them."""

    def __init__(
        self,
        alice: dict[str, Any] | None = None,
        bob: dict[str, Any] | None = None,
        *,
        both: dict[str, Any] | None = None,
        elements: Iterable[Element] = (),
        seed: int = 0,
    ) -> None:
        shared: dict[str, Any] = {"psk": Secret(b"secret"), **(both or {})}
        left = {"address": LEFT, "remote_address": RIGHT, "local_id": ALICE, "remote_id": BOB}
        right = {"address": RIGHT, "remote_address": LEFT, "local_id": BOB}
        self.alice = Initiator(PeerConfig(**{**left, **shared, **(alice or {})}), Entropy.seeded("alice", seed))
        self.bob = Responder(PeerConfig(**{**right, **shared, **(bob or {})}), Entropy.seeded("bob", seed))
        self.left, self.right = PeerStation(self.alice), PeerStation(self.bob)
        self.tap = Tap()
        self.network = Network(self.left, self.right, [self.tap, *elements, Delay(10 * MILLISECOND)])

    @property
    def now(self) -> int:
        return self.network.now

    def run(self, seconds: float = 300) -> Pair:
        self.network.run(round(seconds * SECOND))
        return self

    def connect(self, seconds: float = 300) -> Pair:
        self.alice.connect(self.now)
        return self.run(seconds)

    def do(self, *actions: Callable[[Pair], object], seconds: float = 300) -> Pair:
        for action in actions:
            action(self)
        return self.run(seconds)

    def transcript(self, since: int = 0) -> list[str]:
        """What the tap saw, in RFC notation: ``IKE_AUTH request 1: HDR, SK {…}``, without the stories behind it."""
        return [each.comment.partition(". ")[0] for each in self.tap.tapped[since:]]

    def messages(self) -> list[tuple[Header, bytes]]:
        """The IKE messages that the tap saw, markers removed."""
        found = []
        for each in self.tap.tapped:
            data = each.frame[42:]
            data = data[4:] if data.startswith(bytes(4)) else data
            header = parse_message(data).header
            if header is not None:
                found.append((header, data))
        return found

    def sa(self, peer: Ikev2Peer) -> IkeSa:
        (only,) = peer.sas.values()
        return only

    def established(self) -> bool:
        return self.alice.current is not None and self.bob.current is not None

    def agrees(self) -> bool:
        """Whether both sides know the same IKE SAs and the same Child SAs with the same keys."""
        groups = [{sa.group_id for sa in peer.sas.values()} for peer in (self.alice, self.bob)]
        children = [
            {(child.spi_i, child.spi_r, child.keys, child.tsi, child.tsr, child.mode) for child in peer.children}
            for peer in (self.alice, self.bob)
        ]
        return groups[0] == groups[1] and children[0] == children[1]


def names(events: Iterable[PeerEvent]) -> list[str]:
    return [event.name for event in events]


def facts(events: Iterable[PeerEvent], name: str) -> list[dict[str, Any]]:
    return [event.data for event in events if event.name == name]
