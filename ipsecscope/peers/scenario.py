"""A scenario: who talks to whom, over what network, what goes wrong, and what is done when; and how it is played.

``play`` returns the capture, the keys and what both peers said happened. The same scenario and seed give the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar

import msgspec

from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.authority import Authority
from ipsecscope.peers.config import Identity, PeerConfig
from ipsecscope.peers.crowd import Crowd
from ipsecscope.peers.elements import Delay, Element, Nat
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy, Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.gateway import GatewayStation, Plane
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.ikev2.initiator import Initiator
from ipsecscope.peers.ikev2.responder import Responder
from ipsecscope.peers.network import Network, Tap, write_pcapng
from ipsecscope.peers.records import key_records
from ipsecscope.peers.selectors import parse_selector
from ipsecscope.peers.station import NarratingPeer
from ipsecscope.peers.traffic import Host, Idle, Ping

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
LEFT_6, RIGHT_6 = "2001:db8:1::1", "2001:db8:2::1"
LEFT_HOST, RIGHT_HOST = "10.1.0.10", "10.2.0.10"
INSIDE, OUTSIDE = "10.1.0.1", "198.51.100.7"  # the initiator's address on either side of a NAT
PSK = Secret(b"correct horse battery staple")
_NO_SPI = "_" + bytes(8).hex()
DAY: Instant = 86_400 * SECOND

Changes = Mapping[str, Any]
Person = Callable[["World", Identity], Changes]
Left = TypeVar("Left")
Right = TypeVar("Right")


class World:
    """What the configurations of one scenario share: the authority, made when somebody needs it."""

    def __init__(self, entropy: Entropy) -> None:
        self.entropy = entropy
        self._authorities: dict[str, Authority] = {}

    def authority(self, name: str = "Example CA") -> Authority:
        """A certification authority by name."""
        if name not in self._authorities:
            self._authorities[name] = Authority(name, self.entropy.fork(f"authority {name}"))
        return self._authorities[name]


class Stage(Generic[Left, Right]):
    """A scenario while it is played: its stations, and the peers on them."""

    network: Network  # once everything is in place

    def __init__(self, left: GatewayStation, right: GatewayStation, initiator: Left, responder: Right) -> None:
        self.left = left
        self.right = right
        self.initiator = initiator
        self.responder = responder
        self.others: list[tuple[Initiator, GatewayStation]] = []

    @property
    def stations_on_the_left(self) -> list[GatewayStation]:
        """The initiator's station, then those of the others."""
        return [self.left, *(station for _, station in self.others)]


class Another(msgspec.Struct, frozen=True, kw_only=True):
    """One more IKEv2 initiator on the left.

    Attributes:
        changes: what its configuration differs in from that of the first one, ``address`` above all.
        begins: seconds behind the first one.
        hosts: what sends through its tunnel.
    """

    changes: Changes
    begins: float
    hosts: Callable[[], list[Host]] = list


Ikev2Stage = Stage[Initiator, Responder]
Ikev1Stage = Stage[Ikev1Peer, Ikev1Peer]
MixedStage = Stage[Initiator, Ikev1Peer]
AnyStage = Ikev2Stage | Ikev1Stage | MixedStage
Step = Callable[[Any, Instant], object]  # of the stage that goes with the version of the scenario


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        name: as the command line calls it.
        title: one sentence that says what it shows.
        version: of IKE, which decides whether the changes are to ``PeerConfig`` or to ``Ikev1Config``.
        right_version: of the responder's IKE, where it is another one.
        left: what the initiator's configuration differs in; a function of the world where certificates are needed.
        right: the same for the responder.
        both: what both differ in.
        network: the elements between them, from left to right; with a tap among them.
        steps: what is done, each with the seconds to wait before it, counted from the one before.
        pings: how many pings the host on the left sends, one second apart, from the second second on.
        hosts: addresses of the hosts behind the peers.
        traffic: the hosts themselves, where pings do not do: those on the left and those on the right.
        planes: how the data planes of both work, and how they err.
        others: more initiators on the left.
        fails: the class of what goes wrong, such as ``PSK_MISMATCH``; empty where nothing does.
        lasts: seconds to go on behind the last step.
        is_repeatable: whether the same seed gives the same bytes. TLS draws its own chance: with it inside, two runs
            are equal in structure only (the messages, their sizes and times), and in the octets of all else.
    """

    name: str
    title: str
    version: Literal[1, 2] = 2
    right_version: Literal[1, 2] | None = None
    left: Changes | Person = msgspec.field(default_factory=dict)
    right: Changes | Person = msgspec.field(default_factory=dict)
    both: Changes = msgspec.field(default_factory=dict)
    network: Callable[[Entropy], Iterable[Element]] | None = None
    steps: tuple[tuple[float, Step], ...] = ()
    pings: int = 0
    hosts: tuple[str, str] = (LEFT_HOST, RIGHT_HOST)
    traffic: Callable[[], tuple[list[Host], list[Host]]] | None = None
    planes: tuple[Plane, Plane] = (Plane(), Plane())
    others: tuple[Another, ...] = ()
    fails: str = ""
    lasts: float = 5.0
    is_repeatable: bool = True


class SentAndAccepted(msgspec.Struct, frozen=True):
    """The packets of one SA: who sent them, how many, and how many of them the other side accepted."""

    sender: Literal["left", "right"]
    protocol: str
    spi: int
    sent: int
    accepted: int


class Generated(msgspec.Struct, frozen=True):
    """What a scenario left: the capture, the keys, and what both peers said."""

    name: str
    seed: int
    pcapng: bytes
    keys: tuple[KeyRecord, ...]
    left_events: tuple[PeerEvent, ...]
    right_events: tuple[PeerEvent, ...]
    counts: tuple[dict[str, int], dict[str, int]]
    pings_answered: int = 0
    fails: str = ""
    traffic: tuple[SentAndAccepted, ...] = ()

    @property
    def events(self) -> tuple[PeerEvent, ...]:
        """What both said, in the order of time."""
        return tuple(sorted((*self.left_events, *self.right_events), key=lambda event: event.time_ns))

    @property
    def expected(self) -> list[dict[str, Any]]:
        """The events as plain values, without keys; what was said before the responder chose its SPI bears it too."""
        events = self.events
        whole = {event.group_id[:16]: event.group_id for event in events if not event.group_id.endswith(_NO_SPI)}
        return [
            {
                "time_ns": event.time_ns,
                "name": event.name,
                "group_id": whole.get(event.group_id[:16], event.group_id),
                "vantage": event.vantage,
                "data": event.data,
            }
            for event in events
        ]


def play(scenario: Scenario, seed: int = 0) -> Generated:
    """Play a scenario from its beginning to its end."""
    entropy = Entropy.seeded(scenario.name, seed)
    stage, network, taps = _set_up(scenario, entropy)
    network.at(EPOCH + SECOND, stage.initiator.connect)
    for another, (initiator, _) in zip(scenario.others, stage.others, strict=True):
        network.at(EPOCH + SECOND + round(another.begins * SECOND), initiator.connect)
    when: Instant = EPOCH + SECOND
    for wait, step in scenario.steps:
        when += round(wait * SECOND)
        network.at(when, lambda now, step=step: step(stage, now))  # type: ignore[misc]
    network.run(when - EPOCH + round(scenario.lasts * SECOND))
    capture = io.BytesIO()
    write_pcapng(capture, taps, comment=f"{scenario.name}: {scenario.title}")
    ping = stage.left.hosts[0] if stage.left.hosts else None
    left_events = [event for station in stage.stations_on_the_left for event in station.events]
    return Generated(
        name=scenario.name,
        seed=seed,
        pcapng=capture.getvalue(),
        keys=key_records(left_events, f"{scenario.name}.keys"),
        left_events=tuple(sorted(left_events, key=lambda event: event.time_ns)),
        right_events=tuple(stage.right.events),
        counts=(dict(stage.initiator.mailbox.counts), dict(stage.responder.mailbox.counts)),
        pings_answered=len(ping.replies) if isinstance(ping, Ping) else 0,
        fails=scenario.fails,
        traffic=(
            *(each for station in stage.stations_on_the_left for each in _carried("left", station, [stage.right])),
            *_carried("right", stage.right, stage.stations_on_the_left),
        ),
    )


def _carried(
    sender: Literal["left", "right"], sending: GatewayStation, receiving: Iterable[GatewayStation]
) -> Iterator[SentAndAccepted]:
    for (protocol, spi), count in sending.sealed.items():
        yield SentAndAccepted(sender, protocol, spi, count, sum(each.accepted[protocol, spi] for each in receiving))


def _set_up(scenario: Scenario, entropy: Entropy) -> tuple[AnyStage, Network, list[Tap]]:
    left, right = configurations(scenario, World(entropy.fork("world")))
    hosts: tuple[list[Host], list[Host]] = ([], [])
    if scenario.pings:
        begin = EPOCH + 2 * SECOND
        hosts = ([Ping(*scenario.hosts, start=begin, count=scenario.pings)], [Idle(scenario.hosts[1])])
    if scenario.traffic is not None:
        hosts = scenario.traffic()
    between = entropy.fork("network")
    elements = list(scenario.network(between) if scenario.network else (Tap(), Delay()))
    taps = [element for element in elements if isinstance(element, Tap)]
    stage = _cast(left, right, entropy, hosts)
    stage.left.plane, stage.right.plane = scenario.planes
    crowd = {left.address: stage.left}
    for number, another in enumerate(scenario.others, 2):
        config = msgspec.structs.replace(left, **another.changes)
        assert isinstance(config, PeerConfig)
        peer = Initiator(config, entropy.fork(f"initiator {number}"))
        station = GatewayStation(peer, entropy.fork(f"left data plane {number}"), another.hosts())
        stage.others.append((peer, station))
        crowd[config.address] = station
    stage.network = Network(Crowd(crowd) if scenario.others else stage.left, stage.right, elements)
    return stage, stage.network, taps


def _cast(
    left: PeerConfig | Ikev1Config,
    right: PeerConfig | Ikev1Config,
    entropy: Entropy,
    hosts: tuple[list[Host], list[Host]],
) -> AnyStage:
    """The peers, each on a station with its hosts."""
    sources = entropy.fork("initiator"), entropy.fork("responder")
    planes = entropy.fork("left data plane"), entropy.fork("right data plane")
    if isinstance(left, PeerConfig) and isinstance(right, PeerConfig):
        initiator, responder = Initiator(left, sources[0]), Responder(right, sources[1])
        stations = _stations((initiator, responder), planes, hosts)
        return Stage(*stations, initiator, responder)
    assert isinstance(right, Ikev1Config)
    if isinstance(left, PeerConfig):
        first, second = Initiator(left, sources[0]), Ikev1Peer(right, sources[1])
        return Stage(*_stations((first, second), planes, hosts), first, second)
    one, two = Ikev1Peer(left, sources[0]), Ikev1Peer(right, sources[1])
    return Stage(*_stations((one, two), planes, hosts), one, two)


def _stations(
    peers: tuple[NarratingPeer, NarratingPeer],
    planes: tuple[Entropy, Entropy],
    hosts: tuple[list[Host], list[Host]],
) -> tuple[GatewayStation, GatewayStation]:
    return GatewayStation(peers[0], planes[0], hosts[0]), GatewayStation(peers[1], planes[1], hosts[1])


AnyConfig = PeerConfig | Ikev1Config


def configurations(scenario: Scenario, world: World) -> tuple[AnyConfig, AnyConfig]:
    """The configurations of the two peers of a scenario."""
    left_id, right_id = Identity.parse("left.example"), Identity.parse("right.example")
    left_ts, right_ts = (parse_selector("10.1.0.0/16"),), (parse_selector("10.2.0.0/16"),)
    common = {"psk": PSK, **scenario.both}
    left: dict[str, Any] = {
        "name": "left",
        "address": LEFT,
        "remote_address": RIGHT,
        "local_id": left_id,
        "remote_id": right_id,
        "local_ts": left_ts,
        "remote_ts": right_ts,
    }
    right: dict[str, Any] = {
        "name": "right",
        "address": RIGHT,
        "remote_address": LEFT,
        "local_id": right_id,
        "local_ts": right_ts,
        "remote_ts": left_ts,
    }
    left_changes = scenario.left(world, left_id) if callable(scenario.left) else scenario.left
    right_changes = scenario.right(world, right_id) if callable(scenario.right) else scenario.right
    one, two = {**left, **common, **left_changes}, {**right, **common, **right_changes}
    return _config(scenario.version, one), _config(scenario.right_version or scenario.version, two, is_gateway=True)


def _config(version: int, values: dict[str, Any], *, is_gateway: bool = False) -> AnyConfig:
    return Ikev1Config(**{"is_gateway": is_gateway, **values}) if version == 1 else PeerConfig(**values)


# -- networks ---------------------------------------------------------------------------------------------------------


def nat(*, rebind: float = 0.0, keep_ports: bool = False) -> Callable[[Entropy], Iterable[Element]]:
    """A NAT in front of the initiator, with a tap on either side."""

    def elements(entropy: Entropy) -> Iterable[Element]:
        del entropy
        times = [EPOCH + round(rebind * SECOND)] if rebind else []
        return (Tap("inside"), Nat(OUTSIDE, keep_ports=keep_ports, rebind=times), Tap("outside"), Delay())

    return elements


def behind(*elements: Callable[[Entropy], Element]) -> Callable[[Entropy], Iterable[Element]]:
    """A tap at the initiator, elements, and a line."""
    return lambda entropy: (Tap(), *(make(entropy) for make in elements), Delay())


def before(*elements: Callable[[Entropy], Element]) -> Callable[[Entropy], Iterable[Element]]:
    """Elements, a line, and a tap at the responder."""
    return lambda entropy: (*(make(entropy) for make in elements), Delay(), Tap())
