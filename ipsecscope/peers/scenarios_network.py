"""The declared scenarios of the path: what lines, filters, routers and poor taps do to IKE and ESP."""

from __future__ import annotations

from collections.abc import Callable

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.peers.authority import KeyKind
from ipsecscope.peers.config import AuthMethod, Offer, Patience
from ipsecscope.peers.elements import Delay, Filter, Forward, Mtu, Nat, OneWay, Way, udp_ports
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Instant
from ipsecscope.peers.gateway import Plane
from ipsecscope.peers.meddlers import (
    Meddler,
    damage,
    esp,
    fragmentable,
    ike,
    keep_back,
    lose,
    refuse,
    repeat,
    shorten,
    without_marker,
)
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import split, udp_packet
from ipsecscope.peers.scenario import (
    INSIDE,
    LEFT_HOST,
    OUTSIDE,
    RIGHT_HOST,
    Changes,
    Ikev2Stage,
    Scenario,
    before,
    behind,
)
from ipsecscope.peers.scenarios_ikev2 import certified, probe
from ipsecscope.peers.traffic import Host, Idle, Ping, Refusing, Transfer

BEGIN: Instant = EPOCH + 2 * SECOND  # when hosts begin: the tunnel stands by then
ROUTER = "192.0.2.254"
STRANGER = "203.0.113.66"
INSIDE_RIGHT = "10.2.0.1"  # of a responder behind a NAT
Traffic = Callable[[], tuple[list[Host], list[Host]]]


# -- building blocks of rows -----------------------------------------------------------------------------------------


def pings(*sizes: int, count: int = 1, interval: Instant = SECOND, begin: Instant = BEGIN) -> Traffic:
    """Pings of several sizes from the host on the left, one after the other; the host on the right answers."""

    def hosts() -> tuple[list[Host], list[Host]]:
        asking: list[Host] = [
            Ping(
                LEFT_HOST,
                RIGHT_HOST,
                start=begin + number * interval * count,
                count=count,
                interval=interval,
                size=size,
                identifier=number + 1,
            )
            for number, size in enumerate(sizes)
        ]
        return asking, [Idle(RIGHT_HOST)]

    return hosts


def in_two_spells(count: int, pause: Instant) -> Traffic:
    """Pings, a pause, pings."""

    def hosts() -> tuple[list[Host], list[Host]]:
        asking: list[Host] = [
            Ping(LEFT_HOST, RIGHT_HOST, start=BEGIN + number * pause, count=count, identifier=number + 1)
            for number in range(2)
        ]
        return asking, [Idle(RIGHT_HOST)]

    return hosts


def transfer(size: int) -> Traffic:
    """A TCP transfer from left to right with segments of a path of 1500 octets."""

    def hosts() -> tuple[list[Host], list[Host]]:
        here, there = Endpoint(LEFT_HOST, 40_000), Endpoint(RIGHT_HOST, 80)
        return [Transfer(here, there, start=BEGIN, size=size)], [Transfer(there, here, initial_sequence=77)]

    return hosts


def only_port(port: int) -> Callable[[bytes], bool]:
    """The capture filter ``udp port`` with a number."""

    def wants(packet: bytes) -> bool:
        pieces = split(packet)
        ports = None if pieces is None else udp_ports(pieces)
        return ports is not None and port in ports

    return wants


def forget(stage: Ikev2Stage, now: Instant) -> None:
    """The responder restarts: its SAs are gone, and nobody is told."""
    for sa in list(stage.responder.sas.values()):
        sa.close(now, "reboot")


def take_over(stage: Ikev2Stage, now: Instant) -> None:
    """Another member of the initiator's cluster goes on, with sequence numbers that are surely not used yet."""
    del now
    stage.left.skip_numbers(100_000)


def knock(stage: Ikev2Stage, now: Instant) -> None:
    """A stranger outside sends something to UDP port 500 of the NAT: the capture goes on until then."""
    del now
    packet = udp_packet((STRANGER, 500), (OUTSIDE, 500), b"\xff")
    stage.network.send(packet, Way.LEFT, "a stranger: one octet to UDP port 500")


def connect(stage: Ikev2Stage, now: Instant) -> None:
    """The initiator begins anew."""
    stage.initiator.connect(now)


_CERTIFIED = certified(KeyKind.ECDSA_P256, AuthMethod.SIGNATURE)
_BEHIND_NAT: Changes = {"address": INSIDE}

NETWORK_SCENARIOS: tuple[Scenario, ...] = (
    # -- what comes back instead of an answer
    Scenario(
        name="ikev2-port-closed",
        title="no IKE daemon: the responder's host says by ICMP that UDP port 500 is closed",
        network=behind(lambda _: Meddler(ike(), refuse(3, words="port unreachable"), way=Way.RIGHT)),
        fails="NO_IKE_DAEMON",
        lasts=70,
    ),
    Scenario(
        name="ikev2-prohibited",
        title="a router says by ICMP that it does not let IKE through",
        network=behind(
            lambda _: Meddler(ike(), refuse(13, router=ROUTER, words="administratively prohibited"), way=Way.RIGHT)
        ),
        fails="ICMP_PROHIBITED",
        lasts=70,
    ),
    Scenario(
        name="ikev2-fragment-lost",
        title="IKE_AUTH in fragments of RFC 7383, of which a filter drops the large ones",
        left=_CERTIFIED,
        right=_CERTIFIED,
        both={"fragment_size": 576},
        network=behind(lambda _: Filter(longer_than=560, way=Way.RIGHT)),
        fails="IKE_FRAGMENT_LOST",
        lasts=70,
    ),
    Scenario(
        name="ikev2-intermediate-lost",
        title="a filter drops IKE_INTERMEDIATE: the additional key exchange never gets through",
        both={"ike_proposals": (Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_384 CURVE25519 ADDKE1:ML_KEM_768"),)},
        network=behind(lambda _: Meddler(ike(int(ExchangeType.IKE_INTERMEDIATE)), lose, way=Way.RIGHT)),
        fails="IKE_FRAGMENT_LOST",
        lasts=70,
    ),
    Scenario(
        name="ikev2-late-answer",
        title="IKE_AUTH is answered after three seconds: one retransmission, and all is well",
        network=behind(lambda _: Meddler(ike(int(ExchangeType.IKE_AUTH), response=True), keep_back(3 * SECOND))),
        lasts=10,
    ),
    # -- what becomes of ESP
    Scenario(
        name="esp-blocked",
        title="a firewall drops IP protocol 50 both ways: IKE works, and neither side hears the other's ESP",
        network=behind(lambda _: Filter(protocols=[50])),
        pings=8,
        steps=((12, probe),),
        fails="ESP_BLOCKED",
    ),
    Scenario(
        name="esp-one-way",
        title="ESP of the responder does not come back, seen at the initiator",
        network=behind(lambda _: Filter(protocols=[50], way=Way.LEFT)),
        pings=8,
        steps=((12, probe),),
        fails="ESP_ONE_WAY",
    ),
    Scenario(
        name="esp-mtu-black-hole",
        title="a path of 1400 octets swallows larger packets without an ICMP error",
        network=behind(lambda _: Mtu(1400, reports=False)),
        traffic=pings(56, 1372, 200, 1400, 56, 1420, 400, 1436, 56, 1410),
        lasts=15,
        fails="MTU_BLACK_HOLE",
    ),
    Scenario(
        name="esp-sizes",
        title="pings of many sizes, and all of them are answered: the path takes 1500 octets",
        traffic=pings(56, 1372, 200, 1400, 56, 1420, 400, 1300, 56, 1410),
        lasts=15,
    ),
    Scenario(
        name="esp-transfer-black-hole",
        title="a TCP transfer hangs: the path swallows full segments without an ICMP error",
        network=behind(lambda _: Mtu(1400, reports=False)),
        traffic=transfer(6_000),
        lasts=30,
        fails="MTU_BLACK_HOLE",
    ),
    Scenario(
        name="esp-transfer",
        title="a TCP transfer through the tunnel with segments that fit",
        traffic=transfer(6_000),
        network=behind(lambda _: Mtu(1600)),
    ),
    Scenario(
        name="esp-fragmentation-needed",
        title="a router with an MTU of 1400 octets refuses larger ESP packets by ICMP",
        network=behind(lambda _: Mtu(1400)),
        traffic=pings(56, 1400, 56, 1400, 56, 1400, 56, 1400),
        lasts=12,
        fails="MTU_TOO_SMALL",
    ),
    Scenario(
        name="esp-fragmented",
        title="ESP without the DF bit, in IP fragments where the path is too small",
        network=lambda _: (
            Meddler(esp, fragmentable, way=Way.RIGHT),
            Mtu(1000),
            Meddler(esp, fragmentable, way=Way.LEFT),
            Tap(),
            Delay(),
        ),
        traffic=pings(56, 1200, 56, 1200, 56, 1200),
        lasts=10,
    ),
    Scenario(
        name="esp-loss",
        title="a line loses every fifth ESP packet",
        network=before(lambda _: Meddler(esp, lose, way=Way.RIGHT, numbers=range(3, 40, 5))),
        traffic=pings(56, count=20, interval=SECOND // 4),
        lasts=10,
    ),
    Scenario(
        name="esp-reordered",
        title="some ESP packets come later than those behind them, within the replay window",
        network=before(
            lambda _: Meddler(esp, keep_back(30 * MILLISECOND), way=Way.RIGHT, numbers=(4, 9, 14)),
        ),
        traffic=pings(56, count=20, interval=10 * MILLISECOND),
        lasts=4,
    ),
    Scenario(
        name="esp-reordered-beyond-window",
        title="some ESP packets come so late that the receiver's replay window has passed them",
        planes=(Plane(), Plane(window=32)),
        network=before(
            lambda _: Meddler(esp, keep_back(400 * MILLISECOND), way=Way.RIGHT, numbers=(4, 6, 8, 10)),
        ),
        traffic=pings(56, count=50, interval=10 * MILLISECOND),
        lasts=4,
    ),
    Scenario(
        name="esp-replayed",
        title="somebody on the path sends ESP packets again; the receiver drops them",
        network=before(lambda _: Meddler(esp, repeat(3 * SECOND), way=Way.RIGHT, numbers=(1, 2, 3, 4, 5, 6))),
        pings=10,
        lasts=12,
        fails="ESP_REPLAY",
    ),
    Scenario(
        name="esp-damaged",
        title="a faulty line changes some ESP packets; their integrity check fails",
        network=before(lambda _: Meddler(esp, damage, way=Way.RIGHT, numbers=(3, 6))),
        pings=8,
        lasts=10,
    ),
    Scenario(
        name="esp-short-icv",
        title="the responder cuts its ICVs to 96 bits, the initiator expects 128: it drops all answers",
        both={"child_proposals": (Offer.esp("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128"),)},
        network=lambda _: (Tap(), Delay(), Meddler(esp, shorten(4), way=Way.LEFT)),
        traffic=pings(8, 56, 100, 200, 300, 400, 500, 600, 700, 800),
        lasts=15,
        fails="ICV_LENGTH_MISMATCH",
    ),
    Scenario(
        name="esp-outside-selectors",
        title="the initiator puts packets of a network into the tunnel that the tunnel is not for",
        traffic=lambda: (
            [*pings(56, count=3)()[0], Ping("10.9.0.10", RIGHT_HOST, start=BEGIN, count=5, identifier=9)],
            [Idle(RIGHT_HOST)],
        ),
        lasts=8,
        fails="OUTSIDE_SELECTORS",
    ),
    Scenario(
        name="esp-inner-refusal",
        title="the tunnel works, and a firewall behind the responder answers every ping with ICMP: prohibited",
        traffic=lambda: ([Ping(LEFT_HOST, RIGHT_HOST, start=BEGIN, count=5)], [Refusing(RIGHT_HOST)]),
        lasts=8,
    ),
    Scenario(
        name="esp-near-wrap",
        title="the last sequence numbers of an SA without ESN: the sender has to stop",
        planes=(Plane(first_number=(1 << 32) - 4), Plane()),
        traffic=pings(56, count=8),
        lasts=10,
    ),
    Scenario(
        name="esp-failover",
        title="the initiator's sequence numbers jump by 100,000, as after a failover of a cluster",
        traffic=pings(56, count=8),
        steps=((5, take_over),),
        lasts=8,
    ),
    Scenario(
        name="esp-padded",
        title="traffic flow confidentiality: every packet of the initiator is brought to 512 octets",
        planes=(Plane(pad_to=512), Plane(pad_to=512)),
        traffic=pings(56, 100, 200, 300, 400),
        lasts=8,
    ),
    Scenario(
        name="esp-jumbo",
        title="packets larger than any link, as a recording host with segmentation offload shows them",
        network=lambda _: (Tap(), Delay()),
        traffic=pings(9_400, 56),
        lasts=4,
    ),
    Scenario(
        name="esp-reply-in-clear",
        title="the responder's side has no policy for the answers: they cross the link in the clear",
        planes=(Plane(), Plane(in_the_clear=True)),
        pings=6,
        steps=((10, probe),),
        fails="REPLY_IN_CLEAR",
    ),
    # -- NAT
    Scenario(
        name="ikev2-nat-responder",
        title="the responder is behind a NAT that forwards its ports",
        left={"remote_address": OUTSIDE},
        right={"address": INSIDE_RIGHT},
        network=lambda _: (Tap(), Delay(), Forward(OUTSIDE, INSIDE_RIGHT)),
        pings=4,
    ),
    Scenario(
        name="ikev2-nat-mapping-expired",
        title="no keepalives: the NAT forgets the mapping, the initiator goes on from another port, answers go to the old one",
        left={**_BEHIND_NAT, "patience": Patience(keepalive_after=0)},
        network=lambda _: (Nat(OUTSIDE, rebind=[EPOCH + 15 * SECOND]), Tap(), Delay()),
        traffic=in_two_spells(8, 70 * SECOND),
        steps=((85, probe),),
        lasts=10,
        fails="NAT_REBIND",
    ),
    Scenario(
        name="ikev2-nat-rebinding-outside",
        title="the NAT moves the initiator to another port, seen outside; IKE follows, the responder's ESP does not",
        left={**_BEHIND_NAT, "patience": Patience(keepalive_after=5 * SECOND)},
        network=lambda _: (Nat(OUTSIDE, rebind=[EPOCH + 12 * SECOND]), Tap(), Delay()),
        steps=((15, probe),),
        traffic=pings(56, count=20),
        lasts=12,
        fails="NAT_REBIND",
    ),
    Scenario(
        name="ikev2-raw-esp-behind-nat",
        title="a NAT was detected, and the responder sends ESP without UDP around it",
        left=_BEHIND_NAT,
        planes=(Plane(), Plane(never_in_udp=True)),
        network=lambda _: (Nat(OUTSIDE), Tap(), Delay()),
        pings=6,
        steps=((10, probe),),
        fails="RAW_ESP_BEHIND_NAT",
    ),
    Scenario(
        name="ikev2-nat-t-one-sided",
        title="a NAT, and a responder without NAT traversal: ESP goes as it is, and the NAT does not let it in",
        left=_BEHIND_NAT,
        right={"nat_detection": False},
        network=lambda _: (Nat(OUTSIDE), Tap(), Filter(protocols=[50], way=Way.LEFT), Delay()),
        pings=8,
        steps=((12, probe),),
        fails="NAT_T_UNSUPPORTED",
    ),
    Scenario(
        name="ikev2-marker-missing",
        title="a device takes the non-ESP marker off IKE_AUTH on port 4500; the responder takes it for ESP",
        left=_BEHIND_NAT,
        network=lambda _: (
            Nat(OUTSIDE),
            Meddler(ike(int(ExchangeType.IKE_AUTH)), without_marker, way=Way.RIGHT),
            Tap(),
            Delay(),
        ),
        fails="ENCAPSULATION_FORMAT",
        lasts=70,
    ),
    # -- lives
    Scenario(
        name="ikev2-responder-reboot",
        title="the responder restarts without a word: the old SA is dead, a new negotiation works",
        left={"patience": Patience(dpd_after=5 * SECOND, retransmissions=2)},
        steps=((6, forget), (30, connect)),
        pings=12,
        lasts=10,
        fails="PEER_LOST_STATE",
    ),
    Scenario(
        name="ikev2-dpd-false-positive",
        title="a filter drops INFORMATIONAL requests only: the liveness check fails while ESP flows both ways",
        left={"patience": Patience(dpd_after=5 * SECOND, retransmissions=2)},
        network=behind(lambda _: Meddler(ike(int(ExchangeType.INFORMATIONAL)), lose, way=Way.RIGHT)),
        steps=((3, probe),),
        traffic=pings(56, count=16),
        lasts=30,
        fails="DPD_FALSE_POSITIVE",
    ),
    Scenario(
        name="ikev2-gone-quiet",
        title="after a while nothing of the responder arrives any more, neither IKE nor ESP",
        left={"patience": Patience(dpd_after=5 * SECOND, retransmissions=3)},
        network=behind(lambda _: OneWay(Way.LEFT, since=EPOCH + 6 * SECOND)),
        traffic=pings(56, count=14),
        lasts=60,
        fails="PEER_SILENT",
    ),
    # -- poor taps
    Scenario(
        name="capture-one-direction",
        title="a healthy session of which the tap sees only what the initiator sends",
        network=lambda _: (Tap(only=Way.RIGHT), Delay()),
        pings=6,
        steps=((8, probe),),
    ),
    Scenario(
        name="capture-without-port-4500",
        title="a healthy session behind a NAT, captured with the filter 'udp port 500'",
        left=_BEHIND_NAT,
        network=lambda _: (Nat(OUTSIDE), Tap(wants=only_port(500)), Delay()),
        pings=4,
        steps=((75, knock),),
    ),
    Scenario(
        name="capture-with-drops",
        title="a healthy session of which the recording host missed some packets",
        network=lambda _: (Tap(misses=(5, 9, 12, 13)), Delay()),
        pings=3,
        steps=((1, probe), (1, probe), (1, probe), (3, probe)),
    ),
    Scenario(
        name="capture-mid-session",
        title="a healthy session whose beginning was not captured",
        network=lambda _: (Tap(since=EPOCH + 3 * SECOND), Delay()),
        pings=6,
        steps=((8, probe),),
    ),
)
