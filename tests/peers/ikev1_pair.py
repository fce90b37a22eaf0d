"""Two IKEv1 peers and a link between them, for tests that read like a transcript."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import Origin
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev1.exchanges import Authentication, check
from ipsecscope.dissect.names import payload_name
from ipsecscope.dissect.natt import NON_ESP_MARKER, Endpoint
from ipsecscope.peers.config import Identity, Pool
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Entropy, Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.events import IsakmpKeysDerived
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.ikev1.records import isakmp_record
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.peer import Path
from ipsecscope.peers.selectors import parse_selector
from ipsecscope.timeline.correlate import Correlator
from ipsecscope.timeline.decryption import KeyOpener

MOON, SUN = "192.0.2.1", "192.0.2.2"
OUTSIDE = "203.0.113.9"
PSK = Secret(b"correct horse battery staple")

INITIATOR = Ikev1Config(
    name="initiator",
    address=MOON,
    remote_address=SUN,
    psk=PSK,
    local_id=Identity.parse("moon.example"),
    local_ts=(parse_selector("10.1.0.0/16"),),
    remote_ts=(parse_selector("10.2.0.0/16"),),
)
RESPONDER = Ikev1Config(
    name="responder",
    address=SUN,
    remote_address=MOON,
    psk=PSK,
    local_id=Identity.parse("sun.example"),
    is_gateway=True,
    local_ts=(parse_selector("10.2.0.0/16"),),
    remote_ts=(parse_selector("10.1.0.0/16"),),
)
POOL = Pool(addresses=("10.3.0.1", "10.3.0.2"), dns=("10.2.0.53",))


class Sent(msgspec.Struct, frozen=True):
    """One datagram as a tap between the peers sees it."""

    time: Instant
    sender: str
    data: bytes
    source: Endpoint
    destination: Endpoint
    story: str
    lost: bool = False

    @property
    def short(self) -> str:
        """Its story without why."""
        return self.story.partition(".")[0]


class Pair:
    """Two peers on one wire. ``loses`` decides for each datagram, counted from 1; ``nat`` translates the initiator."""

    def __init__(
        self,
        initiator: dict[str, Any] | None = None,
        responder: dict[str, Any] | None = None,
        *,
        both: dict[str, Any] | None = None,
        nat: bool = False,
        seed: int = 0,
        loses: Callable[[int, Sent], bool] = lambda *_: False,
    ) -> None:
        one = msgspec.structs.replace(INITIATOR, **(both or {}), **(initiator or {}))
        two = msgspec.structs.replace(RESPONDER, **(both or {}), **(responder or {}))
        self.initiator = Ikev1Peer(one, Entropy.seeded("initiator", seed))
        self.responder = Ikev1Peer(two, Entropy.seeded("responder", seed))
        self.now = EPOCH
        self.tap: list[Sent] = []
        self.events: dict[str, list[PeerEvent]] = {"initiator": [], "responder": []}
        self.nat = nat
        self.loses = loses
        self._inflight: list[tuple[Instant, Ikev1Peer, bytes, Path]] = []

    # -- driving --------------------------------------------------------------------------------------------------

    def connect(self, **span: int) -> Pair:
        """Phase 1, and what follows by itself."""
        self.initiator.connect(self.now)
        return self.run(**span)

    def run(self, seconds: int = 1, steps: int = 500) -> Pair:
        """Let time pass; ends early when nothing is pending."""
        end = self.now + seconds * SECOND
        for _ in range(steps):
            self._collect()
            due = [item[0] for item in self._inflight]
            due += [when for peer in (self.initiator, self.responder) if (when := peer.get_timer()) is not None]
            moment = min(due, default=end)
            if moment >= end:
                break
            self.now = max(self.now, moment)
            for item in [each for each in self._inflight if each[0] <= self.now]:
                self._inflight.remove(item)
                item[1].receive_datagram(item[2], item[3], self.now)
            for peer in (self.initiator, self.responder):
                peer.handle_timer(self.now)
        self.now = end
        self._collect()
        return self

    def _collect(self) -> None:
        for name, peer, other in (
            ("initiator", self.initiator, self.responder),
            ("responder", self.responder, self.initiator),
        ):
            for data, path in peer.datagrams_to_send(self.now):
                source, destination = self._translated(name, path)
                story = peer.mailbox.story_of(data)
                sent = Sent(self.now, name, data, source, destination, story)
                sent = msgspec.structs.replace(sent, lost=self.loses(len(self.tap) + 1, sent))
                self.tap.append(sent)
                if not sent.lost:
                    arrival = self._arrival(name, path, source, destination)
                    self._inflight.append((self.now + 10 * MILLISECOND, other, data, arrival))
            while (event := peer.next_event()) is not None:
                self.events[name].append(event)

    def _translated(self, name: str, path: Path) -> tuple[Endpoint, Endpoint]:
        """Both ends as seen outside the NAT."""
        if self.nat and name == "initiator":
            return Endpoint(OUTSIDE, 10_000 + path.local.port), path.remote
        return path.local, path.remote

    def _arrival(self, name: str, path: Path, source: Endpoint, destination: Endpoint) -> Path:
        del path
        if self.nat and name == "responder":
            destination = Endpoint(MOON, destination.port - 10_000)
        return Path(destination, source)

    # -- looking --------------------------------------------------------------------------------------------------

    @property
    def sa_i(self) -> IsakmpSa:
        """The initiator's only SA."""
        (sa,) = self.initiator.sas
        return sa

    @property
    def sa_r(self) -> IsakmpSa:
        """The responder's only SA."""
        (sa,) = self.responder.sas
        return sa

    @property
    def transcript(self) -> list[str]:
        """Every datagram: who sent it and what it is, in RFC notation, message ids left out."""
        arrow = {"initiator": "-->", "responder": "<--"}
        return [f"{arrow[sent.sender]} {_without_id(sent.short)}" for sent in self.tap]

    def named(self, name: str, side: str = "initiator") -> list[Any]:
        """The events of one name that one side told."""
        return [event for event in self.events[side] if event.name == name]

    def datagrams(self) -> list[Datagram]:
        """What a capture between NAT and responder would hold, for the passive side."""
        found = []
        for number, sent in enumerate(self.tap, 1):
            marker = sent.data.startswith(NON_ESP_MARKER)
            if len(sent.data) <= 4 or (4500 in (sent.source.port, sent.destination.port) and not marker):
                continue
            found.append(
                Datagram(
                    file=0,
                    frames=(number,),
                    time_ns=sent.time,
                    kind=Kind.IKE,
                    encapsulation=Encapsulation.UDP,
                    src=sent.source.address,
                    dst=sent.destination.address,
                    sport=sent.source.port,
                    dport=sent.destination.port,
                    payload=sent.data[4:] if marker else sent.data,
                    marker=marker,
                )
            )
        return found


def _without_id(story: str) -> str:
    head, colon, rest = story.partition(":")
    return head.split(" ")[0] + colon + rest


# -- the passive side ---------------------------------------------------------------------------------------------------


def watched(pair: Pair, *, side: str = "initiator") -> Correlator:
    """What an observer with the keys of one side makes of the tap."""
    ring = KeyRing()
    for number, event in enumerate(pair.events[side], 1):
        if isinstance(event, IsakmpKeysDerived):
            ring.add(isakmp_record(event, Origin("peer", number, "test")))
    correlator = Correlator(KeyOpener(ring))
    for datagram in pair.datagrams():
        correlator.feed(datagram)
    correlator.finish()
    return correlator


def unopened(correlator: Correlator) -> list[str]:
    """The reasons why messages stayed closed; empty when everything opened."""
    records = [record for sa in correlator.sas for each in sa.exchanges for record in (*each.request, *each.response)]
    return [record.opening.reason for record in records if record.opening is not None and not record.opening.is_open]


def departures(correlator: Correlator, authentication: Authentication) -> list[str]:
    """How the messages of phase 1 and quick mode depart from the grammar of RFC 2409 section 5."""
    found = []
    for sa in correlator.sas:
        for exchange in sa.exchanges:
            records = sorted((*exchange.request, *exchange.response), key=lambda record: record.number)
            whole = [record for record in records if record.fragment is None or record.assembled is not None]
            for position, record in enumerate(whole):
                header = (record.assembled or record.message).header
                names = [payload_name(payload, header) for payload in record.payloads]
                rows = check(int(exchange.type), position, names, authentication=authentication)
                found += [f"{exchange.type} {position}: {row.text}" for row in rows]
    return found
