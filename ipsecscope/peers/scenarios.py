"""The declared list of scenarios: who talks to whom, over what network, what goes wrong, and what is done when.

``generate`` plays one and returns the capture, the keys and what both peers said happened. The same name and seed give
the same bytes, so a capture is its row in this table.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.authority import Authority, KeyKind
from ipsecscope.peers.config import (
    AuthMethod,
    Credentials,
    EapMethod,
    Faults,
    Identity,
    Limits,
    Mode,
    Offer,
    Patience,
    PeerConfig,
    Pool,
    Ppk,
)
from ipsecscope.peers.elements import Delay, Duplicate, Element, Filter, Loss, Mtu, Nat, OneWay, Reorder, Way
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Entropy, Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.gateway import GatewayStation
from ipsecscope.peers.ikev2.initiator import Initiator
from ipsecscope.peers.ikev2.responder import Responder
from ipsecscope.peers.network import Network, Tap, write_pcapng
from ipsecscope.peers.records import key_records
from ipsecscope.peers.selectors import parse_selector
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


class Stage:
    """A scenario while it is played."""

    def __init__(self, left: GatewayStation, right: GatewayStation, initiator: Initiator, responder: Responder) -> None:
        self.left = left
        self.right = right
        self.initiator = initiator
        self.responder = responder


Step = Callable[[Stage, Instant], object]


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    Attributes:
        name: as the command line calls it.
        title: one sentence that says what it shows.
        left: what the initiator's configuration differs in; a function of the world where certificates are needed.
        right: the same for the responder.
        both: what both differ in.
        network: the elements between them, from left to right; with a tap among them.
        steps: what is done, each with the seconds to wait before it, counted from the one before.
        pings: how many pings the host on the left sends, one second apart, from the second second on.
        hosts: addresses of the hosts behind the peers.
        lasts: seconds to go on behind the last step.
    """

    name: str
    title: str
    left: Changes | Person = msgspec.field(default_factory=dict)
    right: Changes | Person = msgspec.field(default_factory=dict)
    both: Changes = msgspec.field(default_factory=dict)
    network: Callable[[Entropy], Iterable[Element]] | None = None
    steps: tuple[tuple[float, Step], ...] = ()
    pings: int = 0
    hosts: tuple[str, str] = (LEFT_HOST, RIGHT_HOST)
    lasts: float = 5.0


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


def generate(name: str, seed: int = 0) -> Generated:
    """Play a scenario. Raises KeyError for a name that is not in the list."""
    scenario = BY_NAME[name]
    entropy = Entropy.seeded(name, seed)
    stage, network, taps = _set_up(scenario, entropy)
    network.at(EPOCH + SECOND, stage.initiator.connect)
    when: Instant = EPOCH + SECOND
    for wait, step in scenario.steps:
        when += round(wait * SECOND)
        network.at(when, lambda now, step=step: step(stage, now))  # type: ignore[misc]
    network.run(when - EPOCH + round(scenario.lasts * SECOND))
    capture = io.BytesIO()
    write_pcapng(capture, taps, comment=f"{scenario.name}: {scenario.title}")
    ping = stage.left.hosts[0] if stage.left.hosts else None
    return Generated(
        name=name,
        seed=seed,
        pcapng=capture.getvalue(),
        keys=key_records(stage.left.events, f"{name}.keys"),
        left_events=tuple(stage.left.events),
        right_events=tuple(stage.right.events),
        counts=(dict(stage.initiator.mailbox.counts), dict(stage.responder.mailbox.counts)),
        pings_answered=len(ping.replies) if isinstance(ping, Ping) else 0,
    )


def _set_up(scenario: Scenario, entropy: Entropy) -> tuple[Stage, Network, list[Tap]]:
    left, right = configurations(scenario, World(entropy.fork("world")))
    initiator, responder = Initiator(left, entropy.fork("initiator")), Responder(right, entropy.fork("responder"))
    hosts: tuple[list[Host], list[Host]] = ([], [])
    if scenario.pings:
        begin = EPOCH + 2 * SECOND
        hosts = ([Ping(*scenario.hosts, start=begin, count=scenario.pings)], [Idle(scenario.hosts[1])])
    stations = (
        GatewayStation(initiator, entropy.fork("left data plane"), hosts[0]),
        GatewayStation(responder, entropy.fork("right data plane"), hosts[1]),
    )
    between = entropy.fork("network")
    elements = list(scenario.network(between) if scenario.network else (Tap(), Delay()))
    taps = [element for element in elements if isinstance(element, Tap)]
    return Stage(*stations, initiator, responder), Network(*stations, elements), taps


def configurations(scenario: Scenario, world: World) -> tuple[PeerConfig, PeerConfig]:
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
    return PeerConfig(**{**left, **common, **left_changes}), PeerConfig(**{**right, **common, **right_changes})


# -- building blocks of rows -----------------------------------------------------------------------------------------


def certified(kind: KeyKind, method: AuthMethod, *, authority: str = "Example CA", **dates: Instant) -> Person:
    """Proves itself with a certificate; trusts the example authority."""

    def changes(world: World, identity: Identity) -> Changes:
        issued = world.authority(authority).issue(identity, kind, **dates)
        own = Credentials(method=method, private_key=issued.private_key, certificates=issued.certificates)
        return {"credentials": own, "authorities": (world.authority().certificate,)}

    return changes


def client(method: EapMethod, password: bytes) -> Person:
    """Proves itself with EAP; trusts the example authority."""

    def changes(world: World, identity: Identity) -> Changes:
        del identity
        own = Credentials(method=AuthMethod.EAP, eap_method=method, user="alice", password=Secret(password))
        return {
            "credentials": own,
            "remote_methods": (AuthMethod.SIGNATURE,),
            "authorities": (world.authority().certificate,),
        }

    return changes


def eap_gateway(*methods: EapMethod) -> Person:
    """Proves itself with a certificate and asks for EAP."""

    def changes(world: World, identity: Identity) -> Changes:
        proof = certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE)(world, identity)
        users = (("alice", Secret(b"wonderland")),)
        return {**proof, "remote_methods": (AuthMethod.EAP,), "users": users, "eap_methods": methods}

    return changes


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


def rekey_child(stage: Stage, now: Instant) -> None:
    """The initiator rekeys the Child SA."""
    stage.initiator.rekey_child(now)


def rekey_ike(stage: Stage, now: Instant) -> None:
    """The initiator rekeys the IKE SA."""
    stage.initiator.rekey_ike(now)


def rekey_child_both(stage: Stage, now: Instant) -> None:
    """Both sides rekey the Child SA at once."""
    stage.initiator.rekey_child(now)
    stage.responder.rekey_child(now)


def rekey_ike_both(stage: Stage, now: Instant) -> None:
    """Both sides rekey the IKE SA at once."""
    stage.initiator.rekey_ike(now)
    stage.responder.rekey_ike(now)


def another_child(stage: Stage, now: Instant) -> None:
    """The initiator asks for another Child SA."""
    stage.initiator.create_child(now)


def delete_child(stage: Stage, now: Instant) -> None:
    """The initiator deletes a Child SA."""
    stage.initiator.delete_child(now)


def probe(stage: Stage, now: Instant) -> None:
    """The initiator asks whether the responder is alive."""
    stage.initiator.probe(now)


def close(stage: Stage, now: Instant) -> None:
    """The initiator deletes the IKE SA."""
    stage.initiator.close(now)


def reboot(stage: Stage, now: Instant) -> None:
    """The initiator loses all its state without a word, and connects anew."""
    for sa in list(stage.initiator.sas.values()):
        sa.close(now, "reboot")
    stage.initiator.connect(now)


def move(stage: Stage, now: Instant) -> None:
    """The initiator moves to another address."""
    stage.initiator.move(Endpoint("192.0.2.77", 4500), now)


_CBC = Offer.ike("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048")
_STRONG = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 ECP_384")
_HYBRID = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 CURVE25519 ADDKE1:ML_KEM_768")
_HYBRID_TWICE = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 CURVE25519 ADDKE1:ML_KEM_768 ADDKE2:ML_KEM_1024")
_ESP_CBC = Offer.esp("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128")
_ESP_PFS = Offer.esp("ENCR_AES_GCM_16-256 CURVE25519")
_AH = Offer.ah("AUTH_HMAC_SHA2_256_128")
_TRANSPORT: Changes = {"mode": Mode.TRANSPORT, "local_ts": (), "remote_ts": ()}
_ANYWHERE = (parse_selector("0.0.0.0/0"),)
_QPPK = Ppk(b"ppk-7", Secret(b"\x07" * 32))

SCENARIOS: tuple[Scenario, ...] = (
    Scenario(
        name="ikev2",
        title="IKEv2 with a pre-shared key: a tunnel, pings, a rekeying of each kind, a probe, the end",
        steps=((4, rekey_child), (3, rekey_ike), (2, probe), (1, close)),
        pings=8,
    ),
    Scenario(name="esp-tunnel", title="ESP in tunnel mode, AES-GCM", pings=4),
    Scenario(
        name="esp-transport",
        title="ESP in transport mode between two hosts",
        left=_TRANSPORT,
        right=_TRANSPORT,
        hosts=(LEFT, RIGHT),
        pings=4,
    ),
    Scenario(name="ah-tunnel", title="AH in tunnel mode", both={"child_proposals": (_AH,)}, pings=4),
    Scenario(
        name="ah-transport",
        title="AH in transport mode between two hosts",
        left=_TRANSPORT,
        right=_TRANSPORT,
        both={"child_proposals": (_AH,)},
        hosts=(LEFT, RIGHT),
        pings=4,
    ),
    Scenario(
        name="ikev2-cbc",
        title="IKEv2 with AES-CBC and HMAC for IKE and ESP",
        both={"ike_proposals": (_CBC,), "child_proposals": (_ESP_CBC,)},
        pings=4,
    ),
    Scenario(
        name="ikev2-strong",
        title="the proposals that are called strong today: AES-GCM-256, SHA-384, ECP-384, PFS",
        both={
            "ike_proposals": (_STRONG,),
            "child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 ECP_384 ESN"),),
        },
        steps=((4, rekey_child),),
        pings=6,
    ),
    Scenario(
        name="ikev2-ipv6",
        title="IKEv2 and ESP over IPv6",
        left={"address": LEFT_6, "remote_address": RIGHT_6},
        right={"address": RIGHT_6, "remote_address": LEFT_6},
        pings=4,
    ),
    Scenario(
        name="ikev2-rsa",
        title="certificates and RSA signatures of RFC 7296",
        left=certified(KeyKind.RSA, AuthMethod.RSA),
        right=certified(KeyKind.RSA, AuthMethod.RSA),
    ),
    Scenario(
        name="ikev2-rsa-pss",
        title="certificates and RSASSA-PSS signatures of RFC 7427, in fragments of RFC 7383",
        left=certified(KeyKind.RSA, AuthMethod.SIGNATURE_PSS),
        right=certified(KeyKind.RSA, AuthMethod.SIGNATURE_PSS),
        both={"fragment_size": 576},
    ),
    Scenario(
        name="ikev2-ecdsa",
        title="certificates and ECDSA signatures of RFC 4754",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.ECDSA),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.ECDSA),
    ),
    Scenario(
        name="ikev2-ed25519",
        title="certificates and Ed25519 signatures of RFC 8420",
        left=certified(KeyKind.ED25519, AuthMethod.SIGNATURE),
        right=certified(KeyKind.ED25519, AuthMethod.SIGNATURE),
    ),
    Scenario(
        name="ikev2-null-auth",
        title="NULL authentication of the initiator, of RFC 7619",
        left={"credentials": Credentials(method=AuthMethod.NULL), "remote_methods": (AuthMethod.PSK,)},
        right={"remote_methods": (AuthMethod.NULL,)},
    ),
    Scenario(
        name="ikev2-eap-mschapv2",
        title="EAP-MSCHAPv2 with a gateway that has a certificate",
        left=client(EapMethod.MSCHAPV2, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2),
    ),
    Scenario(
        name="ikev2-eap-md5",
        title="EAP-MD5, asked for by the client instead of what the gateway offers first",
        left=client(EapMethod.MD5, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2, EapMethod.MD5),
    ),
    Scenario(
        name="ikev2-eap-gtc",
        title="EAP-GTC: the password inside SK",
        left=client(EapMethod.GTC, b"wonderland"),
        right=eap_gateway(EapMethod.GTC),
    ),
    Scenario(
        name="ikev2-ml-kem",
        title="a hybrid key exchange: Curve25519, then ML-KEM-768 in IKE_INTERMEDIATE",
        both={"ike_proposals": (_HYBRID,)},
        pings=2,
    ),
    Scenario(
        name="ikev2-ml-kem-twice",
        title="two additional key exchanges, ML-KEM-768 and ML-KEM-1024, in fragments",
        both={"ike_proposals": (_HYBRID_TWICE,), "fragment_size": 576},
    ),
    Scenario(name="ikev2-ppk", title="a post-quantum pre-shared key of RFC 8784", both={"ppk": _QPPK}, pings=2),
    Scenario(
        name="ikev2-pfs",
        title="Child SA rekeyings with PFS, the first with a key exchange method that the responder refuses",
        left={"child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 ECP_256 CURVE25519"),)},
        right={"child_proposals": (_ESP_PFS,)},
        steps=((3, rekey_child), (2, rekey_child)),
        pings=6,
    ),
    Scenario(
        name="ikev2-narrowing",
        title="the responder narrows what the initiator offers",
        left={"local_ts": _ANYWHERE, "remote_ts": _ANYWHERE},
        pings=2,
    ),
    Scenario(
        name="ikev2-virtual-ip",
        title="a road warrior gets an address and a DNS server in CP(CFG_REPLY)",
        left={"request_virtual_ip": True, "local_ts": (), "remote_ts": _ANYWHERE},
        right={
            "pool": Pool(("10.3.0.1",), ("10.2.0.53",)),
            "local_ts": _ANYWHERE,
        },
        hosts=("10.3.0.1", RIGHT_HOST),
        pings=2,
    ),
    Scenario(
        name="ikev2-childless",
        title="an IKE SA without Child SA, which comes in CREATE_CHILD_SA later",
        both={"childless": True},
        steps=((2, another_child),),
    ),
    Scenario(
        name="ikev2-several-children",
        title="two Child SAs, one of them deleted again",
        steps=((2, another_child), (2, delete_child)),
    ),
    Scenario(name="ikev2-mobike", title="the initiator moves (RFC 4555)", both={"mobike": True}, steps=((3, move),)),
    Scenario(
        name="ikev2-simultaneous-child-rekey",
        title="both sides rekey the Child SA at once; the one with the lowest nonce is closed",
        steps=((3, rekey_child_both),),
        pings=4,
    ),
    Scenario(
        name="ikev2-simultaneous-ike-rekey",
        title="both sides rekey the IKE SA at once; the one with the lowest nonce is closed",
        steps=((3, rekey_ike_both),),
    ),
    Scenario(
        name="ikev2-nat",
        title="a NAT in front of the initiator: port 4500, ESP in UDP",
        left={"address": INSIDE},
        network=nat(),
        pings=4,
    ),
    Scenario(
        name="ikev2-nat-rebinding",
        title="the NAT forgets its mapping; the responder follows the initiator to another port",
        network=nat(rebind=12),
        left={"address": INSIDE, "patience": Patience(keepalive_after=5 * SECOND)},
        steps=((15, probe),),
        pings=4,
    ),
    Scenario(
        name="ikev2-forced-encapsulation",
        title="an initiator without NAT forces ESP into UDP",
        left={"force_encapsulation": True},
        pings=2,
    ),
    Scenario(
        name="ikev2-lossy",
        title="a line that loses, doubles and reorders",
        network=behind(
            lambda entropy: Loss(0.15, entropy.fork("loss")),
            lambda entropy: Duplicate(0.1, entropy.fork("duplicate")),
            lambda entropy: Reorder(0.1, entropy.fork("reorder")),
        ),
        steps=((20, probe), (20, probe)),
        lasts=60,
    ),
    Scenario(
        name="ikev2-cookie",
        title="the responder asks for a cookie before it works",
        right={"limits": Limits(cookies_from=0)},
    ),
    Scenario(
        name="ikev2-cookie-loop",
        title="a responder that is never content with a cookie",
        right={"faults": Faults(endless_cookies=True)},
    ),
    Scenario(
        name="ikev2-invalid-ke",
        title="the responder wants another key exchange method, and gets it",
        left={"ike_proposals": (Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 ECP_256 CURVE25519"),)},
    ),
    Scenario(
        name="ikev2-no-proposal",
        title="nothing that the initiator offers suits the responder",
        left={"ike_proposals": (Offer.ike("ENCR_3DES AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1024"),)},
    ),
    Scenario(
        name="ikev2-wrong-psk",
        title="the pre-shared keys differ",
        right={"psk": Secret(b"incorrect horse battery staple")},
    ),
    Scenario(
        name="ikev2-unknown-id",
        title="the responder expects another identity",
        right={"remote_id": Identity.parse("somebody.example")},
    ),
    Scenario(
        name="ikev2-wrong-responder-id",
        title="the initiator wants to meet another identity than the responder's",
        left={"remote_id": Identity.parse("somebody.example")},
    ),
    Scenario(
        name="ikev2-wrong-password",
        title="EAP-MSCHAPv2 with a wrong password",
        left=client(EapMethod.MSCHAPV2, b"looking-glass"),
        right=eap_gateway(EapMethod.MSCHAPV2),
    ),
    Scenario(
        name="ikev2-expired-certificate",
        title="the responder's certificate has expired",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, not_after=EPOCH - DAY),
    ),
    Scenario(
        name="ikev2-untrusted-certificate",
        title="the initiator's certificate comes from an authority that the responder does not trust",
        left=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE, authority="Another CA"),
        right=certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE),
    ),
    Scenario(
        name="ikev2-ppk-mismatch",
        title="the responder demands a PPK that the initiator does not have",
        left={"ppk": _QPPK},
        right={"ppk": Ppk(b"ppk-8", Secret(b"\x08" * 32), required=True)},
    ),
    Scenario(
        name="ikev2-child-no-proposal",
        title="the IKE SA stands, but the ESP proposals differ",
        right={"child_proposals": (_ESP_CBC,)},
    ),
    Scenario(
        name="ikev2-ts-mismatch",
        title="the IKE SA stands, but the traffic selectors differ",
        right={"remote_ts": (parse_selector("10.9.0.0/16"),)},
    ),
    Scenario(
        name="ikev2-pfs-mismatch",
        title="PFS on one side only: nothing is wrong until the first rekeying",
        left={"child_proposals": (_ESP_PFS,)},
        steps=((3, rekey_child),),
        pings=3,
    ),
    Scenario(
        name="ikev2-mode-mismatch",
        title="the initiator wants transport mode, the responder answers with tunnel mode",
        left={"mode": Mode.TRANSPORT},
        pings=2,
    ),
    Scenario(
        name="ikev2-no-additional-sas",
        title="the responder has no room for another Child SA",
        right={"faults": Faults(refuse_child="NO_ADDITIONAL_SAS")},
        steps=((2, another_child),),
    ),
    Scenario(
        name="ikev2-dead-peer",
        title="the responder falls silent; the liveness check finds out",
        left={"patience": Patience(dpd_after=10 * SECOND, retransmissions=3)},
        right={"faults": Faults(silent_after="IKE_AUTH")},
        lasts=60,
    ),
    Scenario(
        name="ikev2-no-answer",
        title="nobody answers IKE_SA_INIT: a filter drops UDP port 500",
        network=behind(lambda _: Filter(ports=[500])),
        lasts=70,
    ),
    Scenario(
        name="ikev2-port-4500-blocked",
        title="a NAT, and a filter that drops UDP port 4500: IKE_AUTH is never answered",
        left={"address": INSIDE},
        network=lambda _: (Tap("inside"), Nat(OUTSIDE), Filter(ports=[4500]), Delay()),
        lasts=70,
    ),
    Scenario(
        name="ikev2-one-way",
        title="answers do not come back",
        network=before(lambda _: OneWay(Way.LEFT)),
        lasts=70,
    ),
    Scenario(
        name="ikev2-fragments-dropped",
        title="certificates make IKE_AUTH too long, and a filter drops IP fragments",
        left=certified(KeyKind.RSA, AuthMethod.SIGNATURE),
        right=certified(KeyKind.RSA, AuthMethod.SIGNATURE),
        both={"fragmentation": False},
        network=lambda _: (Mtu(576), Tap(), Filter(fragments=True), Delay()),
        lasts=70,
    ),
    Scenario(
        name="ikev2-damaged-icv",
        title="IKE_AUTH responses whose integrity check fails",
        right={"faults": Faults(damage_icv_of="IKE_AUTH")},
        lasts=70,
    ),
    Scenario(
        name="ikev2-malformed",
        title="IKE_AUTH requests whose last payload is cut short inside SK",
        left={"faults": Faults(malformed="IKE_AUTH")},
    ),
    Scenario(
        name="ikev2-reboot",
        title="the initiator forgets everything and comes again with INITIAL_CONTACT",
        left={"initial_contact": True},
        steps=((5, reboot),),
    ),
    Scenario(
        name="ikev2-message-id-ahead",
        title="requests with message ids outside the window",
        left={"faults": Faults(shift_message_id=3)},
        steps=((2, probe),),
        lasts=70,
    ),
    Scenario(
        name="ikev2-duplicated",
        title="every packet arrives twice: retransmissions change nothing",
        network=before(lambda _: Duplicate(numbers=range(1, 100), after=MILLISECOND)),
        steps=((3, rekey_child),),
        pings=3,
    ),
)
BY_NAME: dict[str, Scenario] = {scenario.name: scenario for scenario in SCENARIOS}
