from __future__ import annotations

from collections.abc import Callable

import dpkt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipsecscope.dissect.esp import checksum
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.encapsulation import STREAM_PREFIX, StreamContent, StreamReader, frame_esp, frame_ike
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND
from ipsecscope.peers.packets import Ipv4, Ipv6, Tcp, echo_packet, ip_packet, split, udp_packet
from ipsecscope.peers.tcp import MAX_RETRIES, TcpEndpoint, TcpState
from ipsecscope.peers.traffic import Host, Idle, Ping, Transfer, Voice

ENDS = {4: ("10.1.0.5", "10.2.0.7"), 6: ("2001:db8:1::5", "2001:db8:2::7")}


def drive(
    one: Host, other: Host, *, until: int = 60 * SECOND, passes: Callable[[int, bytes], bool] = lambda *_: True
) -> list[bytes]:
    """Let two hosts talk over a link of 5 ms; ``passes`` decides for each packet, by its number."""
    now, wire = EPOCH, list[bytes]()
    inflight: list[tuple[int, Host, bytes]] = []
    while now < EPOCH + until:
        for sender, receiver in ((one, other), (other, one)):
            for packet in sender.packets_to_send(now):
                wire.append(packet)
                if passes(len(wire), packet):
                    inflight.append((now + 5 * MILLISECOND, receiver, packet))
        timers = [timer for host in (one, other) if (timer := host.get_timer()) is not None]
        due = min([*timers, *(each[0] for each in inflight)], default=None)
        if due is None:
            break
        now = max(now, due)
        for item in [each for each in inflight if each[0] <= now]:
            inflight.remove(item)
            item[1].receive_packet(item[2], now)
        for host in (one, other):
            timer = host.get_timer()
            if timer is not None and timer <= now:
                host.handle_timer(now)
    return wire


# -- packets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 55, 1400])
def test_ping_has_checksums_that_a_second_reader_confirms(version: int, size: int) -> None:
    packet = echo_packet(*ENDS[version], identifier=3, sequence=4, data=(bytes(range(256)) * 6)[:size])
    pieces = split(packet)
    assert pieces is not None
    if version == 4:
        assert checksum(packet[:20]) == 0
        assert checksum(pieces.payload) == 0
        assert isinstance(dpkt.ip.IP(packet).data, dpkt.icmp.ICMP)
    else:
        pseudo = packet[8:40] + len(pieces.payload).to_bytes(4, "big") + IpProtocol.IPV6_ICMP.to_bytes(4, "big")
        assert checksum(pseudo + pieces.payload) == 0
        assert isinstance(dpkt.ip6.IP6(packet).data, dpkt.icmp6.ICMP6)


@pytest.mark.parametrize("version", [4, 6])
def test_packet_structures_rebuild_what_they_read(version: int) -> None:
    packet = udp_packet((ENDS[version][0], 4000), (ENDS[version][1], 5000), b"hello")
    parsed = Ipv4.parse(packet) if version == 4 else Ipv6.parse(packet)
    assert parsed.build() == packet
    assert (parsed.data[:4], parsed.data[8:]) == (b"\x0f\xa0\x13\x88", b"hello")


def test_packet_between_two_versions_raises() -> None:
    with pytest.raises(ValueError, match="two IP versions"):
        ip_packet(ENDS[4][0], ENDS[6][0], IpProtocol.UDP, b"")


@given(st.binary(max_size=100))
def test_split_takes_any_octets(data: bytes) -> None:
    pieces = split(data)
    if pieces is not None:
        assert pieces.head + pieces.payload == data[: len(pieces.head) + len(pieces.payload)]


# -- hosts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_ping_is_answered_once_per_interval(version: int) -> None:
    source, destination = ENDS[version]
    ping, host = Ping(source, destination, start=EPOCH, count=3), Idle(destination)
    wire = drive(ping, host)
    assert ping.replies == [1, 2, 3]
    assert len(wire) == 6
    assert host.received == 3


def test_lost_reply_is_missing_and_nothing_waits_for_it() -> None:
    ping = Ping(*ENDS[4], start=EPOCH, count=3)
    drive(ping, Idle(ENDS[4][1]), passes=lambda number, _: number != 2)
    assert ping.replies == [2, 3]


def test_voice_sends_a_constant_rate_of_constant_size() -> None:
    wire = drive(Voice(*ENDS[4], start=EPOCH, duration=SECOND), Idle())
    assert len(wire) == 50
    assert {len(packet) for packet in wire} == {20 + 8 + 12 + 160}
    assert {packet[1] for packet in wire} == {0xB8}


def transfer(size: int, mss: int | None = None, version: int = 4) -> tuple[Transfer, Transfer]:
    here, there = Endpoint(ENDS[version][0], 40000), Endpoint(ENDS[version][1], 80)
    return (
        Transfer(here, there, start=EPOCH, size=size, mss=mss, initial_sequence=0xFFFFFF00),
        Transfer(there, here, initial_sequence=77),
    )


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("size", [0, 1, 1460, 100_000])
def test_transfer_arrives_whole_and_closes(size: int, version: int) -> None:
    client, server = transfer(size, version=version)
    drive(client, server)
    assert server.received == size
    assert client.is_complete
    assert client.connection.state is TcpState.CLOSED
    assert server.connection.state is TcpState.CLOSED
    assert client.connection.retransmissions == 0


def test_transfer_keeps_to_the_smaller_maximum_segment_size() -> None:
    client, server = transfer(20_000, mss=1300)
    wire = drive(client, server)
    assert max(map(len, wire)) == 1300 + 40


@given(st.sets(st.integers(1, 60), max_size=MAX_RETRIES))
@example({10, *range(33, 33 + MAX_RETRIES - 1)})
def test_transfer_survives_the_loss_of_any_packets(lost: set[int]) -> None:
    """With one more, all copies of one segment may be lost, and then the sender gives up, as it should."""
    client, server = transfer(20_000)
    drive(client, server, until=600 * SECOND, passes=lambda number, _: number not in lost)
    assert server.received == 20_000
    assert client.is_complete


def test_transfer_into_a_black_hole_for_large_packets_repeats_and_gives_up() -> None:
    client, server = transfer(20_000)
    wire = drive(client, server, until=3600 * SECOND, passes=lambda _, packet: len(packet) <= 1300)
    assert client.connection.state is TcpState.FAILED
    assert server.received == 0
    large = [Tcp.parse(packet[20:]).sequence for packet in wire if len(packet) > 1300]
    assert large.count(large[0]) == 7


@given(st.binary(max_size=80))
def test_connection_takes_hostile_segments(data: bytes) -> None:
    endpoint = TcpEndpoint(Endpoint(ENDS[4][0], 80), Endpoint(ENDS[4][1], 9), 1)
    ports = b"\0\x09\0\x50"
    endpoint.receive_packet(ip_packet(ENDS[4][1], ENDS[4][0], IpProtocol.TCP, ports + data), EPOCH)
    endpoint.receive_packet(data, EPOCH)


# -- TCP encapsulation, RFC 9329 ----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.binary(min_size=8, max_size=50))), st.integers(1, 40))
def test_stream_gives_its_messages_back_however_it_is_cut(messages: list[tuple[bool, bytes]], step: int) -> None:
    messages = [(ike, data if ike else b"\1" + data) for ike, data in messages]
    stream = STREAM_PREFIX + b"".join(frame_ike(data) if ike else frame_esp(data) for ike, data in messages)
    reader, found = StreamReader(expect_prefix=True), []
    for start in range(0, len(stream), step):
        found += reader.feed(stream[start : start + step])
    assert found == [(StreamContent.IKE if ike else StreamContent.ESP, data) for ike, data in messages]


@pytest.mark.parametrize(
    "stream", [b"HTTP/1.1", b"IKETCX", STREAM_PREFIX + b"\0\1x"], ids=["other protocol", "near miss", "bad length"]
)
def test_stream_that_cannot_be_followed_is_broken_for_good(stream: bytes) -> None:
    reader = StreamReader(expect_prefix=True)
    assert reader.feed(stream) == []
    assert reader.is_broken
    assert reader.feed(frame_ike(bytes(28))) == []
