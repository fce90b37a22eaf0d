"""Captures played for the diagnoses: sessions of our own peers, cut, shifted and joined as a capture can be.

Everything here is a capture file that the whole program reads: frames with real IKE and ESP in them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from ipsecscope.api import dissect_message
from ipsecscope.capture.files import CaptureReader
from ipsecscope.capture.writer import PcapWriter
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.config import EapMethod, Mode, Offer
from ipsecscope.peers.elements import Delay, Filter, Nat
from ipsecscope.peers.encapsulation import frame_ike
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Instant
from ipsecscope.peers.gateway import Plane
from ipsecscope.peers.network import Tap
from ipsecscope.peers.packets import Pieces, Tcp, ip_packet, split, udp_packet
from ipsecscope.peers.scenario import LEFT, LEFT_HOST, OUTSIDE, RIGHT, RIGHT_HOST, Generated, Scenario, play
from ipsecscope.peers.scenarios import BY_NAME
from ipsecscope.peers.scenarios_ikev2 import client, eap_gateway
from ipsecscope.peers.selectors import parse_selector
from ipsecscope.peers.traffic import Host, Idle, Ping
from ipsecscope.timeline.analysis import Analysis, analyze

ETHERNET, ETHERNET_HEADER = 1, 14
Frames = list[tuple[int, bytes]]
Keep = Callable[[int, bytes], bool]
Change = Callable[[bytes], bytes]


class Capture(msgspec.Struct, frozen=True):
    """Frames of Ethernet with their times, and the keys of the sessions in them."""

    frames: tuple[tuple[int, bytes], ...]
    keys: tuple[KeyRecord, ...] = ()

    def shifted(self, by_s: float) -> Capture:
        """The same, later."""
        return Capture(tuple((time_ns + round(by_s * SECOND), data) for time_ns, data in self.frames), self.keys)

    def kept(self, keep: Keep) -> Capture:
        """Only some of the frames."""
        return Capture(tuple(each for each in self.frames if keep(*each)), self.keys)

    def changed(self, change: Change) -> Capture:
        """Each IP packet changed."""
        made = ((time_ns, data[:ETHERNET_HEADER] + change(data[ETHERNET_HEADER:])) for time_ns, data in self.frames)
        return Capture(tuple(made), self.keys)

    def with_others(self, *others: Capture) -> Capture:
        """Several captures as one, in the order of time."""
        every = (self, *others)
        frames = sorted((frame for each in every for frame in each.frames), key=lambda frame: frame[0])
        return Capture(tuple(frames), tuple(key for each in every for key in each.keys))

    def analysis(self, *, keyed: bool = False) -> Analysis:
        """What the program makes of it."""
        ring = KeyRing() if keyed else None
        for record in self.keys if ring is not None else ():
            ring.add(record)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "played.pcap"
            with PcapWriter(path, link_type=ETHERNET) as writer:
                for time_ns, data in self.frames:
                    writer.write(time_ns, data)
            return analyze([str(path)], ring=ring)

    def diagnosis(self, *, keyed: bool = False) -> Diagnosis:
        """What it means."""
        return diagnose(self.analysis(keyed=keyed))


def captured(generated: Generated) -> Capture:
    """The capture of a scenario that was played."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "generated.pcapng"
        path.write_bytes(generated.pcapng)
        with CaptureReader(str(path)) as reader:
            frames = [(frame.time_ns, frame.data) for frame in reader.frames()]
    return Capture(tuple(frames), generated.keys)


@cache
def of_name(name: str, seed: int = 0) -> Capture:
    """A scenario of the list, played."""
    return captured(play(BY_NAME[name], seed))


def of(name: str, seed: int = 0, **changes: Any) -> Capture:
    """A scenario made up here, played."""
    return captured(play(Scenario(name=name, title=name, **changes), seed))


# -- parts of scenarios ---------------------------------------------------------------------------------------------


def pinging(
    *, size: int = 56, count: int = 20, interval: Instant = SECOND, start_s: float = 2, source: str = LEFT_HOST
) -> Callable[[], tuple[list[Host], list[Host]]]:
    """A host that pings one on the other side."""

    def hosts() -> tuple[list[Host], list[Host]]:
        begin = EPOCH + round(start_s * SECOND)
        return [Ping(source, RIGHT_HOST, start=begin, count=count, interval=interval, size=size)], [Idle(RIGHT_HOST)]

    return hosts


class Refusing(Idle):
    """A router behind the tunnel that has no route for what comes."""

    def receive(self, pieces: Pieces, now: Instant) -> None:
        del now
        self.send(ip_packet(self.address, pieces.source, int(IpProtocol.ICMP), b"\x03\x01" + bytes(34)))


def refused_pings() -> tuple[list[Host], list[Host]]:
    """Pings that a router behind the tunnel answers with 'host unreachable'."""
    ping = Ping(LEFT_HOST, RIGHT_HOST, start=EPOCH + 2 * SECOND, count=4, interval=SECOND, size=56)
    return [ping], [Refusing(RIGHT_HOST)]


def step(call: str, side: str = "initiator", **arguments: Any) -> Callable[[Any, Instant], object]:
    """A step of a scenario: one side is told to do something."""
    return lambda stage, now: getattr(getattr(stage, side), call)(now, **arguments)


def restart(stage: Any, now: Instant) -> None:
    """The left data plane begins to count anew, with the same keys."""
    del now
    stage.left.skip_numbers(-10)


class BusyNat(Nat):
    """A NAT that has given ports to others before."""

    def __init__(self, address: str, used: int) -> None:
        super().__init__(address)
        self._next += used


def behind_same_nat(*, used: int | None = None) -> Callable[[Any], Any]:
    """A NAT with one address outside, seen outside; it keeps ports, or has ``used`` some before."""
    return lambda _: (Nat(OUTSIDE, keep_ports=True) if used is None else BusyNat(OUTSIDE, used), Tap(), Delay())


TRANSPORT = {"mode": Mode.TRANSPORT, "local_ts": (), "remote_ts": ()}
HYBRID = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519 ADDKE1:ML_KEM_768")
PLAIN = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519")
GROUPS = ("MODP_1024", "MODP_1536", "MODP_2048", "MODP_3072", "MODP_4096", "ECP_256", "ECP_384", "ECP_521", "CURVE448")
OTHERS = tuple(Offer.ike(f"ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 {group}") for group in GROUPS)


def of_direction(source: str) -> Keep:
    """Only packets from one address."""

    def keep(time_ns: int, data: bytes) -> bool:
        del time_ns
        pieces = split(data[ETHERNET_HEADER:])
        return pieces is not None and pieces.source == source

    return keep


def behind_moment(seconds: float) -> Keep:
    """Only packets from so many seconds behind the beginning on."""

    def keep(time_ns: int, data: bytes) -> bool:
        del data
        return time_ns >= EPOCH + round(seconds * SECOND)

    return keep


# -- captures for the rules that neither the lab nor the list of scenarios shows ------------------------------------

PLAYED: dict[str, Callable[[], Diagnosis]] = {}


def positive(code: str) -> Callable[[Callable[[], Diagnosis]], Callable[[], Diagnosis]]:
    """Declare the capture on which a rule has to fire."""

    def register(make: Callable[[], Diagnosis]) -> Callable[[], Diagnosis]:
        PLAYED[code] = cache(make)
        return make

    return register


@positive("ESP-001")
def counter_restarts() -> Diagnosis:
    return of("restart", traffic=pinging(count=30, interval=SECOND // 5), steps=((4.1, restart),)).diagnosis()


@positive("ESP-007")
def outside_the_selectors() -> Diagnosis:
    return of("outside", traffic=pinging(count=3, source="192.168.7.5")).diagnosis(keyed=True)


@positive("ESP-008")
def unreachable_inside() -> Diagnosis:
    return of("unreachable", traffic=refused_pings).diagnosis(keyed=True)


@positive("ESP-012")
def padded_to_one_length() -> Diagnosis:
    plane = Plane(pad_to=512)
    return of(
        "padded", planes=(plane, plane), traffic=pinging(count=1100, interval=7 * MILLISECOND), lasts=12
    ).diagnosis()


@positive("LIFE-001")
def silence_at_a_change_of_keys() -> Diagnosis:
    steps = ((4, step("delete_child")), (3, step("create_child")))
    return of("gap", traffic=pinging(count=90, interval=SECOND // 10), steps=steps, lasts=6).diagnosis()


@positive("LIFE-004")
def tunnels_pile_up() -> Diagnosis:
    steps = tuple((2.0, step("create_child")) for _ in range(4))
    return of("pile", traffic=pinging(count=10), steps=steps).diagnosis(keyed=True)


@positive("LIFE-009")
def closed_for_want_of_traffic() -> Diagnosis:
    steps = ((61, step("close")), (40, step("connect")), (61, step("close")))
    return of("idle", traffic=pinging(count=2, interval=101 * SECOND), steps=steps).diagnosis()


@positive("SEC-011")
def much_under_a_small_block() -> Diagnosis:
    esp = Offer.esp("ENCR_3DES AUTH_HMAC_SHA1_96")
    plane = Plane(first_number=60_000_000)
    made = of("sweet32", both={"child_proposals": (esp,)}, planes=(plane, plane), traffic=pinging(size=1200, count=4))
    return made.diagnosis(keyed=True)


@positive("PH1-014")
def intermediate_ignored() -> Diagnosis:
    lost = lambda _: (Tap(), Filter(longer_than=900), Delay())  # noqa: E731 (a row of a table)
    return of(
        "intermediate", both={"ike_proposals": (HYBRID,), "fragment_size": 4000}, network=lost, lasts=60
    ).diagnosis()


@positive("NET-015")
def in_a_tcp_stream() -> Diagnosis:
    sent = {LEFT: 0, RIGHT: 0}

    def carry(packet: bytes) -> bytes:
        pieces = split(packet)
        assert pieces is not None
        prefix = b"IKETCP" if pieces.source == LEFT and not sent[LEFT] else b""
        data = prefix + frame_ike(pieces.payload[8:])
        ports = (40000, 4500) if pieces.source == LEFT else (4500, 40000)
        segment = Tcp(source_port=ports[0], destination_port=ports[1], sequence=1 + sent[pieces.source], data=data)
        sent[pieces.source] += len(data)
        return ip_packet(pieces.source, pieces.destination, int(IpProtocol.TCP), segment.build())

    return of_name("ikev2-ecdsa").changed(carry).diagnosis()


@positive("INTEROP-002")
def right_set_in_place_ten() -> Diagnosis:
    ours = (*OTHERS, PLAIN)
    refused = of(
        "late",
        left={"ike_proposals": ours},
        right={"ike_proposals": (Offer.ike("ENCR_AES_CTR-256 AUTH_HMAC_SHA2_512_256 PRF_HMAC_SHA2_512 CURVE448"),)},
    )
    back = of("own", left={"address": RIGHT, "remote_address": LEFT}, right={"address": LEFT, "remote_address": RIGHT})
    return refused.with_others(back.shifted(30)).diagnosis()


@positive("INTEROP-003")
def one_tunnel_at_a_time() -> Diagnosis:
    steps = tuple(
        each for _ in range(4) for each in ((3, step("create_child")), (0.5, step("delete_child", "responder")))
    )
    return of("single", traffic=pinging(count=14), steps=steps).diagnosis()


@positive("INTEROP-004")
def network_id_of_one_side() -> Diagnosis:
    def announce(packet: bytes) -> bytes:
        pieces = split(packet)
        assert pieces is not None
        message = dissect_message(pieces.payload[8:])
        notify = ikev2.Notify(notify_type=NotifyType(int(NETWORK_OVERLAY_ID)), data=b"\x02")
        more = msgspec.structs.replace(message, payloads=(*message.payloads, Payload(body=notify)))
        return udp_packet((pieces.source, 500), (pieces.destination, 500), rebuilt(more))

    return of_name("ikev2-no-answer").changed(announce).diagnosis()


@positive("INTEROP-006")
def user_session_dies_at_rekey() -> Diagnosis:
    made = of(
        "roadwarrior",
        left=client(EapMethod.MSCHAPV2, b"wonderland"),
        right=eap_gateway(EapMethod.MSCHAPV2),
        both={
            "faults": msgspec.structs.replace(
                BY_NAME["ikev2-no-additional-sas"].right["faults"], refuse_child="NO_PROPOSAL_CHOSEN"
            )
        },
        traffic=pinging(count=6),
        steps=((5, step("rekey_child", "responder")),),
    )
    return made.diagnosis(keyed=True)


@positive("INTEROP-007")
def fails_on_what_is_new() -> Diagnosis:
    nothing = lambda _: (Tap(), Filter(ports=(500, 4500)), Delay())  # noqa: E731 (a row of a table)
    new = of("new", both={"ike_proposals": (HYBRID,)}, network=nothing, lasts=40)
    return new.with_others(of("old", both={"ike_proposals": (PLAIN,)}).shifted(60)).diagnosis()


@positive("INTEROP-008")
def first_network_only() -> Diagnosis:
    two = tuple(parse_selector(each) for each in ("10.1.0.0/24", "10.5.0.0/24"))
    one = (parse_selector("10.1.0.0/24"),)
    return of("first", left={"local_ts": two}, right={"remote_ts": one}, pings=2).diagnosis(keyed=True)


@positive("NAT-008")
def passthrough_for_one_client() -> Diagnosis:
    first, second = (
        of(
            f"client-{number}",
            left={"address": f"10.1.0.{number}"},
            network=behind_same_nat(),
            traffic=pinging(count=20),
            lasts=25,
        )
        for number in (1, 2)
    )
    stolen = first.kept(lambda time_ns, data: time_ns < EPOCH + 8 * SECOND or of_direction(OUTSIDE)(time_ns, data))
    return stolen.with_others(second.shifted(7)).diagnosis()


@positive("NAT-012")
def transport_clients_behind_one_nat() -> Diagnosis:
    def one(number: int) -> Capture:
        return of(
            f"l2tp-{number}",
            seed=number,
            left={"address": f"10.1.0.{number}", **TRANSPORT},
            right=TRANSPORT,
            hosts=(f"10.1.0.{number}", RIGHT),
            network=behind_same_nat(used=100 * number),
            pings=20,
            lasts=25,
        )

    stolen = one(1).kept(lambda time_ns, data: time_ns < EPOCH + 8 * SECOND or of_direction(OUTSIDE)(time_ns, data))
    return stolen.with_others(one(2).shifted(7)).diagnosis(keyed=True)


@positive("HOST-003")
def sets_tried_one_after_the_other() -> Diagnosis:
    tried = [of(f"try-{group}", left={"ike_proposals": (offer,)}) for group, offer in zip(GROUPS, OTHERS, strict=True)]
    return tried[0].with_others(*(each.shifted(3 * number) for number, each in enumerate(tried[1:], 1))).diagnosis()


def rebuilt(message: Any) -> bytes:
    """A message with its lengths as they come out."""
    header = msgspec.structs.replace(message.header, length=None)
    return bytes(msgspec.structs.replace(message, header=header).build())
