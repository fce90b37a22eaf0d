"""REDIRECT between two peers in process (RFC 5685): the gateway has two addresses, and sends from one to the other."""

from __future__ import annotations

from typing import Any

import pytest
from peers_pair import LEFT, RIGHT, Pair, facts, names

from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev2 import Notify
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.peers.config import RedirectAt
from ipsecscope.peers.elements import Flight, Way
from ipsecscope.peers.entropy import MILLISECOND, Instant
from ipsecscope.peers.ikev2.messages import arrange, header_of
from ipsecscope.peers.ikev2.redirect import MAX_REDIRECTS, SendAway, redirect
from ipsecscope.peers.packets import udp_packet

ELSEWHERE = "192.0.2.22"
FOLLOWS = {"follow_redirects": True}


def gateway(at: RedirectAt, to: str = ELSEWHERE) -> dict[str, Any]:
    return {"redirect_to": to, "redirect_at": at}


def plain(pair: Pair, since: int = 0) -> list[str]:
    """The transcript without what every IKE_SA_INIT announces."""
    boring = (
        ", N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), N(IKEV2_FRAGMENTATION_SUPPORTED)"
        ", N(SIGNATURE_HASH_ALGORITHMS)"
    )
    return [line.replace(boring, "") for line in pair.transcript(since)]


@pytest.mark.rfc("5685", "3")
def test_gateway_redirects_in_ike_sa_init_and_keeps_nothing() -> None:
    pair = Pair(FOLLOWS, gateway(RedirectAt.IKE_SA_INIT)).connect()
    assert plain(pair) == [
        "IKE_SA_INIT request 0: HDR, SA, KE, Ni, N(REDIRECT_SUPPORTED)",
        "IKE_SA_INIT response 0: HDR, N(REDIRECT)",
        "IKE_SA_INIT request 0: HDR, SA, KE, Ni, N(REDIRECTED_FROM)",
        "IKE_SA_INIT response 0: HDR, SA, KE, Nr",
        "IKE_AUTH request 1: HDR, SK {IDi, IDr, AUTH, SA, TSi, TSr}",
        "IKE_AUTH response 1: HDR, SK {IDr, AUTH, SA, TSi, TSr}",
    ]
    assert pair.agrees()
    assert pair.sa(pair.alice).path.remote == Endpoint(ELSEWHERE, 500)
    assert facts(pair.left.events, "ike_sa:redirected") == [{"gateway": ELSEWHERE}]
    assert [each["notify"] for each in facts(pair.right.events, "exchange:refused")] == ["REDIRECT"]


@pytest.mark.rfc("5685", "6")
def test_gateway_redirects_in_ike_auth_and_makes_no_child() -> None:
    pair = Pair(FOLLOWS, gateway(RedirectAt.IKE_AUTH)).connect()
    assert plain(pair)[3] == "IKE_AUTH response 1: HDR, SK {IDr, AUTH, N(REDIRECT)}"
    assert "INFORMATIONAL request 2: HDR, SK {D}" in plain(pair)
    assert pair.agrees()
    assert len(pair.alice.sas) == len(pair.alice.children) == 1
    assert len(facts(pair.right.events, "child_sa:created")) == 1


@pytest.mark.rfc("5685", "5")
def test_gateway_redirects_an_established_client() -> None:
    pair = Pair(FOLLOWS, gateway(RedirectAt.LATER)).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: p.bob.send_away(ELSEWHERE, p.now))
    assert plain(pair, seen)[0] == "INFORMATIONAL request 0: HDR, SK {N(REDIRECT)}"
    assert "INFORMATIONAL response 0: HDR, SK {}" in plain(pair, seen)
    assert "INFORMATIONAL request 2: HDR, SK {D}" in plain(pair, seen)
    assert pair.agrees()
    assert pair.sa(pair.alice).path.remote.address == ELSEWHERE


def test_client_that_does_not_announce_it_is_never_sent_away() -> None:
    for at in RedirectAt:
        pair = Pair(bob=gateway(at)).connect().do(lambda p: p.bob.send_away(ELSEWHERE, p.now))
        assert pair.agrees()
        assert pair.sa(pair.alice).path.remote.address == RIGHT
        assert not any("REDIRECT" in line for line in pair.transcript())


def test_name_of_a_gateway_is_told_and_not_followed() -> None:
    pair = Pair(FOLLOWS, gateway(RedirectAt.IKE_SA_INIT, "other.example")).connect()
    assert facts(pair.left.events, "ike_sa:redirected") == [{"gateway": "other.example"}]
    assert not pair.alice.sas


class Balancer:
    """Brings what is sent to the other gateway to the first one all the same."""

    def cross(self, flight: Flight, now: Instant) -> list[Flight]:
        del now
        ends = (RIGHT, LEFT) if flight.way is Way.LEFT else (LEFT, RIGHT)
        packet = udp_packet((ends[0], 500), (ends[1], 500), flight.packet[28:])
        return [Flight(packet, flight.way, flight.story, flight.after)]


@pytest.mark.rfc("5685", "4")
def test_gateways_that_send_in_circles_are_left() -> None:
    pair = Pair(FOLLOWS, gateway(RedirectAt.IKE_SA_INIT), elements=[Balancer()]).connect()
    assert names(pair.left.events).count("ike_sa:redirected") == MAX_REDIRECTS + 1
    assert not pair.alice.sas
    assert pair.alice.mailbox.counts["redirections in circles"] == 1


class Forger:
    """Answers the first IKE_SA_INIT request before the gateway can, without having read its nonce."""

    def __init__(self, nonce: bytes) -> None:
        self._nonce = nonce
        self.forged = 0

    def cross(self, flight: Flight, now: Instant) -> list[Flight]:
        del now
        if flight.way is Way.LEFT or self.forged:
            return [flight]
        self.forged += 1
        header = parse_message(flight.packet[28:]).header
        assert header is not None
        made = udp_packet((RIGHT, 500), (LEFT, 500), self._answer(header))
        return [Flight(made, Way.LEFT, "forged"), Flight(flight.packet, flight.way, flight.story, 5 * MILLISECOND)]

    def _answer(self, asked: Header) -> bytes:
        header = header_of(asked.exchange_type, 0, spi_i=asked.spi_i, original_initiator=False, is_response=True)  # type: ignore[arg-type]
        bodies: list[Any] = [redirect("192.0.2.66", self._nonce)]
        return Message(header=header, payloads=arrange(header, bodies)).build()


def test_redirection_of_somebody_who_did_not_see_the_nonce_is_ignored() -> None:
    forger = Forger(b"guessed")
    pair = Pair(FOLLOWS, elements=[forger]).connect()
    assert forger.forged
    assert pair.agrees()
    assert pair.sa(pair.alice).path.remote.address == RIGHT
    assert pair.alice.mailbox.counts["redirections with another nonce"] == 1


def test_redirect_with_unreadable_data_changes_nothing() -> None:
    pair = Pair(FOLLOWS).connect()
    broken = Notify(notify_type=NotifyType.REDIRECT, data=b"\x01\xff")

    class Broken(SendAway):
        def begin(self, *_: object) -> tuple[Notify]:
            return (broken,)

    pair.do(lambda p: p.sa(p.bob).begin(Broken(ELSEWHERE), p.now))
    assert pair.agrees()
    assert pair.sa(pair.alice).path.remote.address == RIGHT
