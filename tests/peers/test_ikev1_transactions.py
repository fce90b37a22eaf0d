from __future__ import annotations

from typing import Any

import msgspec
import pytest
from ikev1_pair import POOL, Pair, departures, unopened, watched

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev1.exchanges import Authentication
from ipsecscope.dissect.registry.isakmp import AuthenticationMethod
from ipsecscope.peers.config import Patience
from ipsecscope.peers.ikev1.config import ChildRequest, PhaseOneMode, Unity
from ipsecscope.peers.ikev1.states import PhaseOne
from ipsecscope.peers.selectors import parse_selector

CLIENT: dict[str, Any] = {"user": "carol", "password": Secret(b"swordfish"), "local_ts": ()}
GATEWAY: dict[str, Any] = {"users": (("carol", Secret(b"swordfish")),), "pool": POOL, "remote_ts": ()}
ROADWARRIOR = {"xauth": True, "request_config": True}
XAUTH = [
    "<-- TRANSACTION: HDR*, HASH, ATTR",  # REQUEST user name, password
    "--> TRANSACTION: HDR*, HASH, ATTR",  # REPLY
    "<-- TRANSACTION: HDR*, HASH, ATTR",  # SET status
    "--> TRANSACTION: HDR*, HASH, ATTR",  # ACK
]


@pytest.mark.parametrize("mode", list(PhaseOneMode), ids=str)
def test_xauth_and_pulled_address_come_between_phase_1_and_phase_2(mode: PhaseOneMode) -> None:
    pair = Pair(CLIENT, GATEWAY, both=ROADWARRIOR | {"mode": mode}).connect()
    start = 6 if mode is PhaseOneMode.MAIN else 3
    assert pair.transcript[start : start + 4] == XAUTH
    assert pair.transcript[start + 4 : start + 6] == [XAUTH[1], XAUTH[0]]  # REQUEST address, REPLY
    (event,) = pair.named("child_sa:created")
    assert (event.tsi, event.virtual_ip) == (("10.3.0.1",), "10.3.0.1")
    assert pair.sa_r.virtual_ip == "10.3.0.1"
    for side in ("initiator", "responder"):
        assert pair.named("ike_sa:user_authenticated", side)[0].data == {"user": "carol", "succeeded": True}
        assert pair.named("ike_sa:configured", side)[0].address == "10.3.0.1"
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.PRE_SHARED_KEY) == []


def test_xauth_is_announced_in_the_authentication_method() -> None:
    pair = Pair(CLIENT, GATEWAY, both=ROADWARRIOR).connect()
    offered = pair.sa_i.handshake.offered
    assert offered is not None
    assert offered.proposals[0].transforms[0].auth == AuthenticationMethod.XAUTH_INIT_PRE_SHARED


@pytest.mark.parametrize(
    "client",
    [{"password": Secret(b"wrong")}, {"user": "mallory"}, {"user": "", "password": Secret(b"")}],
    ids=["password", "user", "nothing"],
)
def test_user_who_is_not_known_is_told_so_and_deleted(client: dict[str, Any]) -> None:
    pair = Pair(CLIENT | client, GATEWAY, both=ROADWARRIOR).connect(seconds=5)
    assert pair.transcript[6:] == [*XAUTH, "<-- INFORMATIONAL: HDR*, HASH, D"]
    assert pair.initiator.sas == pair.responder.sas == []
    assert pair.named("ike_sa:user_authenticated", "responder")[0].succeeded is False
    assert not pair.named("child_sa:created")


def test_password_shows_in_no_event_and_no_story() -> None:
    pair = Pair(CLIENT, GATEWAY, both=ROADWARRIOR).connect()
    told = " ".join([repr(pair.events), *(sent.story for sent in pair.tap), repr(pair.initiator.config)])
    assert "swordfish" not in told
    assert b"swordfish".hex() not in told


def test_address_may_be_pushed() -> None:
    """draft-dukes-ike-mode-cfg-02 section 2.4: SET and ACK."""
    pair = Pair(CLIENT, GATEWAY, both={"push_config": True}).connect()
    assert pair.transcript[6:8] == XAUTH[:2]
    assert pair.sa_i.virtual_ip == "10.3.0.1"
    assert pair.named("child_sa:created")[0].tsi == ("10.3.0.1",)


def test_unity_attributes_reach_a_client_that_announces_unity() -> None:
    unity = Unity(banner="Authorised use only", default_domain="example.com", split_include=("10.2.0.0/16",))
    pair = Pair(CLIENT, GATEWAY | {"unity": unity}, both=ROADWARRIOR).connect()
    attributes = pair.named("ike_sa:configured")[0].attributes
    assert attributes == (
        "INTERNAL_IP4_ADDRESS=10.3.0.1",
        "INTERNAL_IP4_DNS=10.2.0.53",
        "UNITY_BANNER=Authorised use only",
        "UNITY_DEF_DOMAIN=example.com",
        "UNITY_SAVE_PASSWORD=0",
        "UNITY_SPLIT_INCLUDE=10.2.0.0/16",
    )


def test_exhausted_pool_leaves_the_client_without_an_address() -> None:
    pair = Pair(CLIENT, GATEWAY | {"pool": type(POOL)()}, both=ROADWARRIOR).connect()
    assert pair.sa_i.virtual_ip == ""
    assert pair.initiator.mailbox.counts["mode configuration without an address"] == 1


def test_every_client_gets_an_address_of_its_own_until_it_leaves() -> None:
    users = (("carol", Secret(b"swordfish")), ("dave", Secret(b"swordfish")))
    pair = Pair(CLIENT, GATEWAY | {"users": users}, both=ROADWARRIOR).connect()
    pair.initiator.config = msgspec.structs.replace(pair.initiator.config, user="dave")
    pair.initiator.connect(pair.now)
    pair.run()
    assert [sa.virtual_ip for sa in pair.initiator.sas] == ["10.3.0.1", "10.3.0.2"]
    pair.initiator.close(pair.initiator.sas[0], pair.now)
    pair.run()
    pair.initiator.config = msgspec.structs.replace(pair.initiator.config, user="carol")
    pair.initiator.connect(pair.now)
    pair.run()
    assert [sa.virtual_ip for sa in pair.initiator.sas] == ["10.3.0.2", "10.3.0.1"]


@pytest.mark.parametrize("lost", range(7, 13))
def test_loss_of_any_message_of_a_transaction_is_made_good(lost: int) -> None:
    pair = Pair(CLIENT, GATEWAY, both=ROADWARRIOR, loses=lambda number, _: number == lost).connect(seconds=60)
    assert len(pair.named("child_sa:created")) == 1
    assert pair.named("ike:retransmission") or pair.named("ike:retransmission", "responder")


def test_gateway_whose_question_stays_unanswered_gives_up() -> None:
    pair = Pair(
        CLIENT,
        GATEWAY,
        both=ROADWARRIOR | {"patience": Patience(retransmissions=2)},
        loses=lambda number, sent: number > 6 and sent.sender == "initiator",
    ).connect(seconds=60)
    assert pair.responder.sas == []
    assert pair.named("exchange:unanswered", "responder")[0].exchange == "TRANSACTION"


def test_phase_2_waits_until_the_user_is_known() -> None:
    """A client that skips XAUTH gets no SA."""
    hasty = Pair(CLIENT, GATEWAY, both=ROADWARRIOR, loses=lambda number, _: number == 7)
    hasty.connect(seconds=1)
    assert hasty.sa_r.state is PhaseOne.XAUTH
    hasty.initiator.create_child(hasty.sa_i, _any_request(), hasty.now)
    hasty.run(seconds=1)
    assert hasty.sa_r.children == []
    assert hasty.responder.mailbox.counts["phase 2 messages that do not fit"] == 1


def _any_request() -> ChildRequest:
    return ChildRequest(local_ts=parse_selector("10.3.0.1"), remote_ts=parse_selector("10.2.0.0/16"))
