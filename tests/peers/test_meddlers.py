"""Elements that meddle: they touch what matches and nothing else, and what they make is a packet again."""

from __future__ import annotations

import pytest

from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.elements import Flight, Forward, Way, udp_ports
from ipsecscope.peers.entropy import EPOCH, SECOND
from ipsecscope.peers.meddlers import (
    Answer,
    Matcher,
    Meddler,
    damage,
    esp,
    forge,
    fragmentable,
    from_elsewhere,
    ike,
    ike_octets,
    keep_back,
    longer_than,
    lose,
    refuse,
    repeat,
    sent_by,
    shorten,
    without_marker,
)
from ipsecscope.peers.packets import DONT_FRAGMENT, Pieces, ip_packet, split, udp_packet

LEFT, RIGHT = "192.0.2.1", "192.0.2.2"
MESSAGE = bytes(16) + bytes((33, 0x20, int(ExchangeType.IKE_AUTH), 0x08)) + (1).to_bytes(4, "big") + bytes(4)
IKE = udp_packet((LEFT, 500), (RIGHT, 500), MESSAGE)
MARKED = udp_packet((LEFT, 4500), (RIGHT, 4500), bytes(4) + MESSAGE)
ESP = ip_packet(LEFT, RIGHT, IpProtocol.ESP, b"\0\0\1\0\0\0\0\1payload")
ESP_IN_UDP = udp_packet((LEFT, 4500), (RIGHT, 4500), b"\0\0\1\0\0\0\0\1payload")
KEEPALIVE = udp_packet((LEFT, 4500), (RIGHT, 4500), b"\xff")


def pieces_of(packet: bytes) -> Pieces:
    pieces = split(packet)
    assert pieces is not None
    return pieces


def crossed(packet: bytes, matches: Matcher, answer: Answer, way: Way = Way.RIGHT) -> list[Flight]:
    return list(Meddler(matches, answer).cross(Flight(packet, way, "a story"), EPOCH))


@pytest.mark.parametrize(
    ("matcher", "matching"),
    [
        (esp, {"ESP", "ESP in UDP"}),
        (ike(), {"IKE", "IKE with marker"}),
        (ike(int(ExchangeType.IKE_AUTH), response=False, message_id=1), {"IKE", "IKE with marker"}),
        (ike(int(ExchangeType.CREATE_CHILD_SA)), set()),
        (ike(response=True), set()),
        (ike(message_id=2), set()),
        (sent_by(RIGHT), set()),
        (longer_than(len(IKE)), {"IKE with marker"}),
    ],
    ids=["esp", "ike", "one request", "other exchange", "responses", "other number", "other source", "long"],
)
def test_matcher_picks_out_its_packets(matcher: Matcher, matching: set[str]) -> None:
    packets = {"IKE": IKE, "IKE with marker": MARKED, "ESP": ESP, "ESP in UDP": ESP_IN_UDP, "keepalive": KEEPALIVE}
    assert {name for name, packet in packets.items() if matcher(pieces_of(packet))} == matching


def test_meddler_counts_what_matches_and_leaves_the_rest_alone() -> None:
    meddler = Meddler(esp, lose, way=Way.RIGHT, numbers=(2,), since=EPOCH + SECOND)
    flight, other = Flight(ESP, Way.RIGHT), Flight(IKE, Way.RIGHT)
    assert list(meddler.cross(flight, EPOCH)) == [flight]  # not yet
    now = EPOCH + SECOND
    assert list(meddler.cross(Flight(ESP, Way.LEFT), now)) == [Flight(ESP, Way.LEFT)]
    assert list(meddler.cross(other, now)) == [other]
    assert [len(list(meddler.cross(flight, now))) for _ in range(3)] == [1, 0, 1]


def test_damage_changes_the_last_octet_only() -> None:
    (out,) = crossed(ESP, esp, damage)
    assert out.packet[:-1] == ESP[:-1]
    assert out.packet[-1] != ESP[-1]


def test_repeat_sends_the_same_octets_later() -> None:
    first, *later = crossed(ESP, esp, repeat(SECOND, times=2))
    assert [each.after for each in later] == [SECOND, 2 * SECOND]
    assert {each.packet for each in (first, *later)} == {ESP}


def test_keep_back_delays() -> None:
    (out,) = crossed(ESP, esp, keep_back(SECOND))
    assert (out.packet, out.after) == (ESP, SECOND)


@pytest.mark.parametrize(("router", "sender"), [("", RIGHT), ("192.0.2.254", "192.0.2.254")], ids=["itself", "router"])
def test_refusal_is_icmp_that_quotes_the_packet_and_turns_back(router: str, sender: str) -> None:
    (out,) = crossed(IKE, ike(), refuse(3, router=router))
    pieces = pieces_of(out.packet)
    assert (out.way, pieces.source, pieces.destination) == (Way.LEFT, sender, LEFT)
    assert pieces.payload[:2] == bytes((3, 3))
    assert IKE.startswith(pieces.payload[8:])


def test_shortened_packet_says_its_new_length() -> None:
    (out,) = crossed(ESP, esp, shorten(4))
    pieces = pieces_of(out.packet)
    assert pieces.payload == pieces_of(ESP).payload[:-4]
    assert int.from_bytes(pieces.head[2:4], "big") == len(out.packet)


def test_marker_is_taken_off() -> None:
    (out,) = crossed(MARKED, ike(), without_marker)
    assert pieces_of(out.packet).payload[8:] == MESSAGE
    assert len(MESSAGE) == HEADER_SIZE


def test_fragmentable_takes_the_bit_off() -> None:
    (out,) = crossed(ESP, esp, fragmentable)
    assert int.from_bytes(ESP[6:8], "big") & DONT_FRAGMENT
    assert not int.from_bytes(out.packet[6:8], "big") & DONT_FRAGMENT


def test_answer_from_elsewhere_keeps_ports_and_content() -> None:
    (out,) = crossed(IKE, ike(), from_elsewhere("192.0.2.9"))
    pieces = pieces_of(out.packet)
    assert (pieces.source, udp_ports(pieces)) == ("192.0.2.9", (500, 500))
    assert ike_octets(pieces) == MESSAGE


@pytest.mark.parametrize("passes", [True, False], ids=["beside", "instead"])
def test_forgery_turns_back_beside_or_instead_of_the_packet(passes: bool) -> None:
    flights = crossed(IKE, ike(), forge(lambda _: ESP, "forged", passes=passes))
    assert [(each.packet, each.way) for each in flights] == [(ESP, Way.LEFT), (IKE, Way.RIGHT)][: 1 + passes]


def test_forward_translates_the_responders_address_both_ways() -> None:
    forward = Forward("198.51.100.7", RIGHT)
    (inside,) = forward.cross(Flight(udp_packet((LEFT, 500), ("198.51.100.7", 500), b"x"), Way.RIGHT), EPOCH)
    assert pieces_of(inside.packet).destination == RIGHT
    (outside,) = forward.cross(Flight(udp_packet((RIGHT, 500), (LEFT, 500), b"y"), Way.LEFT), EPOCH)
    assert outside.packet == udp_packet(("198.51.100.7", 500), (LEFT, 500), b"y", ttl=63)
