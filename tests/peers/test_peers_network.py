"""The network in memory, with stations that only count."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest

from ipsecscope.capture.files import open_capture
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.elements import (
    Delay,
    Duplicate,
    Element,
    Filter,
    Flight,
    Loss,
    Mtu,
    Nat,
    OneWay,
    Reorder,
    Way,
    udp_ports,
)
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Entropy, Instant
from ipsecscope.peers.network import Network, Tap, write_pcapng
from ipsecscope.peers.packets import Pieces, Udp, ip_packet, split, udp_packet
from ipsecscope.peers.station import PeerStation

LEFT, RIGHT = ("10.0.0.1", 500), ("192.0.2.2", 500)


class Talker:
    """Sends given packets at given times and keeps what arrives."""

    def __init__(self, *packets: tuple[Instant, bytes]) -> None:
        self.waiting = sorted(packets, key=lambda each: each[0])
        self.due: list[bytes] = []
        self.got: list[tuple[Instant, bytes]] = []

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        self.got.append((now - EPOCH, packet))

    def packets_to_send(self, now: Instant) -> Iterator[tuple[bytes, str]]:
        del now
        due, self.due = self.due, []
        yield from ((packet, f"number {packet[-1]}") for packet in due)

    def get_timer(self) -> Instant | None:
        return EPOCH + self.waiting[0][0] if self.waiting else None

    def handle_timer(self, now: Instant) -> None:
        while self.waiting and EPOCH + self.waiting[0][0] <= now:
            self.due.append(self.waiting.pop(0)[1])


def number(value: int, size: int = 20, *, dont_fragment: bool = False) -> bytes:
    return udp_packet(LEFT, RIGHT, bytes(size - 1) + bytes((value,)), dont_fragment=dont_fragment)


def sent_through(*elements: Element, count: int = 10, size: int = 20) -> tuple[Talker, Network]:
    left = Talker(*((index * SECOND, number(index, size)) for index in range(count)))
    right = Talker()
    network = Network(left, right, elements)
    network.run(60 * SECOND)
    return right, network


def arrived(talker: Talker) -> list[int]:
    return [packet[-1] for _, packet in talker.got]


def pieces_of(packet: bytes) -> Pieces:
    pieces = split(packet)
    assert pieces is not None
    return pieces


def cross(element: Element, packet: bytes, way: Way = Way.RIGHT, now: Instant = EPOCH) -> list[Flight]:
    return list(element.cross(Flight(packet, way), now))


def test_network_without_elements_delivers_at_once() -> None:
    right, _ = sent_through()
    assert [when for when, _ in right.got] == [index * SECOND for index in range(10)]


def test_delay_and_jitter_are_those_of_the_line() -> None:
    right, _ = sent_through(Delay(20 * MILLISECOND, jitter=MILLISECOND, entropy=Entropy.seeded("x")))
    late = [when - index * SECOND - 20 * MILLISECOND for index, (when, _) in enumerate(right.got)]
    assert all(0 <= each <= MILLISECOND for each in late)
    assert len(set(late)) > 5


def test_loss_by_number_and_by_chance() -> None:
    assert arrived(sent_through(Loss(numbers=[2, 10]))[0]) == [0, 2, 3, 4, 5, 6, 7, 8]
    by_chance = arrived(sent_through(Loss(0.5, Entropy.seeded("x")))[0])
    assert 0 < len(by_chance) < 10
    assert by_chance == arrived(sent_through(Loss(0.5, Entropy.seeded("x")))[0])


def test_duplicate_and_reorder() -> None:
    assert arrived(sent_through(Duplicate(numbers=[1]), count=2)[0]) == [0, 0, 1]
    assert arrived(sent_through(Reorder(numbers=[1], after=1500 * MILLISECOND), count=3)[0]) == [1, 0, 2]


def test_one_way_blocks_one_direction_from_an_instant_on() -> None:
    assert arrived(sent_through(OneWay(Way.RIGHT, since=EPOCH + 3 * SECOND))[0]) == [0, 1, 2]
    assert len(arrived(sent_through(OneWay(Way.LEFT))[0])) == 10


@pytest.mark.parametrize(
    ("rule", "drops"),
    [
        pytest.param(Filter(ports=[500]), True, id="port"),
        pytest.param(Filter(ports=[4500]), False, id="other-port"),
        pytest.param(Filter(protocols=[int(IpProtocol.UDP)]), True, id="protocol"),
        pytest.param(Filter(longer_than=40), True, id="long"),
        pytest.param(Filter(longer_than=4000), False, id="short"),
        pytest.param(Filter(ports=[500], way=Way.LEFT), False, id="other-way"),
        pytest.param(Filter(fragments=True), False, id="no-fragment"),
    ],
)
def test_filter_drops_what_its_rule_matches(rule: Filter, drops: bool) -> None:
    assert (not cross(rule, number(1))) == drops


@pytest.mark.rfc("791", "3.2")
def test_mtu_fragments_and_the_station_puts_together() -> None:
    packet = number(7, 3000)
    flights = cross(Mtu(576), packet)
    assert all(len(each.packet) <= 576 for each in flights)
    assert all(pieces_of(each.packet).is_fragment for each in flights)
    joined = b"".join(pieces_of(each.packet).payload for each in flights)
    assert joined == pieces_of(packet).payload
    taken: list[bytes] = []

    class Listener:
        def receive_datagram(self, data: bytes, path: object, now: Instant) -> None:
            del path, now
            taken.append(data)

        def next_event(self) -> None:
            return None

    station = PeerStation(Listener())  # type: ignore[arg-type]
    for each in (flights[2], flights[0], *flights[3:], flights[1]):
        station.receive_packet(each.packet, EPOCH)
    assert taken == [Udp.parse(pieces_of(packet).payload).data]
    assert not cross(Filter(fragments=True), flights[1].packet)


def test_fragments_of_fragments_keep_their_offsets() -> None:
    packet = number(7, 3000)
    twice = [small for large in cross(Mtu(1500), packet) for small in cross(Mtu(576), large.packet)]
    ordered = sorted((int.from_bytes(each.packet[6:8], "big") & 0x1FFF, each.packet) for each in twice)
    assert b"".join(pieces_of(each).payload for _, each in ordered) == pieces_of(packet).payload


@pytest.mark.rfc("1191", "4")
def test_mtu_with_df_reports_or_swallows() -> None:
    packet = number(7, 3000, dont_fragment=True)
    (report,) = cross(Mtu(1400), packet)
    assert report.way is Way.LEFT
    icmp = pieces_of(report.packet)
    assert (icmp.protocol, icmp.destination) == (IpProtocol.ICMP, LEFT[0])
    assert icmp.payload[:2] == b"\3\4"
    assert int.from_bytes(icmp.payload[6:8], "big") == 1400
    assert icmp.payload[8:28] == packet[:20]
    assert not cross(Mtu(1400, reports=False), packet)


def test_nat_translates_out_and_back_with_right_checksums() -> None:
    nat = Nat("198.51.100.7")
    (out,) = cross(nat, number(1))
    outside = pieces_of(out.packet)
    ports = udp_ports(outside)
    assert (outside.source, ports) == ("198.51.100.7", (20_001, 500))
    assert out.packet == udp_packet(("198.51.100.7", 20_001), RIGHT, bytes(19) + b"\1", ttl=63, dont_fragment=False)
    (back,) = cross(nat, udp_packet(RIGHT, ("198.51.100.7", 20_001), b"answer"), Way.LEFT)
    assert back.packet == udp_packet(RIGHT, LEFT, b"answer", ttl=63)
    assert not cross(nat, udp_packet(RIGHT, ("198.51.100.7", 9), b"stranger"), Way.LEFT)


def test_nat_keeps_ports_forgets_mappings_and_lets_esp_pass() -> None:
    nat = Nat("198.51.100.7", keep_ports=True, rebind=[EPOCH + SECOND])
    assert udp_ports(pieces_of(cross(nat, number(1))[0].packet)) == (500, 500)
    nat._keep_ports = False
    assert udp_ports(pieces_of(cross(nat, number(1), now=EPOCH + 2 * SECOND)[0].packet)) == (20_001, 500)
    esp = ip_packet(LEFT[0], RIGHT[0], IpProtocol.ESP, b"\0\0\1\0payload")
    assert pieces_of(cross(nat, esp)[0].packet).source == "198.51.100.7"
    back = ip_packet(RIGHT[0], "198.51.100.7", IpProtocol.ESP, b"\0\0\2\0payload")
    assert pieces_of(cross(nat, back, Way.LEFT)[0].packet).destination == LEFT[0]


def test_taps_write_frames_with_comments_and_interfaces_in_time_order() -> None:
    inside, outside = Tap("inside"), Tap("outside")
    sent_through(inside, Nat("198.51.100.7"), Delay(), outside, count=3)
    target = io.BytesIO()
    write_pcapng(target, [inside, outside], comment="a test")
    frames = list(open_capture(io.BytesIO(target.getvalue())).frames())
    assert [frame.comment for frame in frames] == [f"number {n}" for n in (0, 0, 1, 1, 2, 2)]
    assert frames == sorted(frames, key=lambda frame: frame.time_ns)
    assert [pieces_of(frame.data[14:]).source for frame in frames[:2]] == ["10.0.0.1", "198.51.100.7"]


def test_action_at_an_instant_is_called_then_and_time_ends_where_asked() -> None:
    called: list[Instant] = []
    network = Network(Talker(), Talker(), ())
    network.at(EPOCH + 5 * SECOND, called.append)
    network.at(EPOCH + 50 * SECOND, called.append)
    network.run(10 * SECOND)
    assert called == [EPOCH + 5 * SECOND]
    assert network.now == EPOCH + 10 * SECOND
