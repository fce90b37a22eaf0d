"""CREATE_CHILD_SA and INFORMATIONAL between two peers in process, told in RFC notation."""

from __future__ import annotations

import pytest
from peers_pair import Pair, facts, names

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.config import Faults, Offer, Patience
from ipsecscope.peers.elements import Delay, Duplicate, Loss, Nat, Reorder
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Entropy
from ipsecscope.peers.ikev2.sa import ChildState

PFS = Offer.esp("ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 ECP_256")
PFS_TWO = Offer.esp("ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 MODP_2048 ECP_256")
NO_PFS = Offer.esp("ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96")


@pytest.mark.rfc("7296", "1.3.1")
def test_new_child_has_keys_of_its_own_nonces() -> None:
    pair = Pair().connect().do(lambda p: p.alice.create_child(p.now))
    assert pair.transcript(4) == [
        "CREATE_CHILD_SA request 2: HDR, SK {SA, Ni, TSi, TSr}",
        "CREATE_CHILD_SA response 2: HDR, SK {SA, Nr, TSi, TSr}",
    ]
    assert len({child.keys for child in pair.alice.children}) == 2
    assert pair.agrees()


@pytest.mark.rfc("7296", "2.8")
@pytest.mark.parametrize(("who",), [("alice",), ("bob",)])
def test_child_rekeying_makes_a_successor_and_deletes_the_old_one(who: str) -> None:
    pair = Pair().connect()
    old = pair.alice.children[0]
    pair.do(lambda p: getattr(p, who).rekey_child(p.now))
    number = 2 if who == "alice" else 0
    assert pair.transcript(4) == [
        f"CREATE_CHILD_SA request {number}: HDR, SK {{N(REKEY_SA), SA, Ni, TSi, TSr}}",
        f"CREATE_CHILD_SA response {number}: HDR, SK {{SA, Nr, TSi, TSr}}",
        f"INFORMATIONAL request {number + 1}: HDR, SK {{D}}",
        f"INFORMATIONAL response {number + 1}: HDR, SK {{D}}",
    ]
    assert pair.agrees()
    (successor,) = pair.alice.children
    assert successor.keys != old.keys
    for station in (pair.left, pair.right):
        assert names(station.events).count("child_sa:rekeyed") == 1
        assert names(station.events).count("child_sa:deleted") == 1


@pytest.mark.rfc("7296", "1.3.1")
def test_child_rekeying_with_pfs_has_a_key_exchange() -> None:
    pair = Pair(both={"child_proposals": (PFS,)}).connect().do(lambda p: p.alice.rekey_child(p.now))
    assert pair.transcript(4)[:2] == [
        "CREATE_CHILD_SA request 2: HDR, SK {N(REKEY_SA), SA, Ni, KE, TSi, TSr}",
        "CREATE_CHILD_SA response 2: HDR, SK {SA, Nr, KE, TSi, TSr}",
    ]
    assert pair.agrees()


def test_child_rekeying_with_another_method_is_tried_again() -> None:
    pair = Pair({"child_proposals": (PFS_TWO,)}, {"child_proposals": (PFS,)}).connect()
    pair.do(lambda p: p.alice.rekey_child(p.now))
    assert pair.transcript(4)[1] == "CREATE_CHILD_SA response 2: HDR, SK {N(INVALID_KE_PAYLOAD)}"
    assert pair.transcript(4)[3] == "CREATE_CHILD_SA response 3: HDR, SK {SA, Nr, KE, TSi, TSr}"
    assert pair.agrees()
    assert len(pair.alice.children) == 1


def test_child_rekeying_with_pfs_on_one_side_only_keeps_the_old_one() -> None:
    pair = Pair({"child_proposals": (PFS,)}, {"child_proposals": (NO_PFS,)}).connect()
    pair.do(lambda p: p.alice.rekey_child(p.now))
    assert pair.transcript()[-1] == "CREATE_CHILD_SA response 2: HDR, SK {N(NO_PROPOSAL_CHOSEN)}"
    assert [child.machine.state for child in pair.alice.children] == [ChildState.INSTALLED]
    assert pair.agrees()


@pytest.mark.rfc("7296", "1.3.2")
@pytest.mark.parametrize(("who",), [("alice",), ("bob",)])
def test_ike_rekeying_moves_the_children_to_the_successor(who: str) -> None:
    pair = Pair().connect()
    children, old = pair.alice.children, pair.sa(pair.alice).group_id
    pair.do(lambda p: getattr(p, who).rekey_ike(p.now))
    number = 2 if who == "alice" else 0
    assert pair.transcript(4) == [
        f"CREATE_CHILD_SA request {number}: HDR, SK {{SA, Ni, KE}}",
        f"CREATE_CHILD_SA response {number}: HDR, SK {{SA, Nr, KE}}",
        f"INFORMATIONAL request {number + 1}: HDR, SK {{D}}",
        f"INFORMATIONAL response {number + 1}: HDR, SK {{}}",
    ]
    assert pair.agrees()
    assert pair.alice.children == children
    assert pair.sa(pair.alice).group_id != old
    assert pair.sa(pair.alice).is_initiator == (who == "alice")
    pair.do(lambda p: p.bob.probe(p.now))
    assert pair.transcript()[-2] == "INFORMATIONAL request 0: HDR, SK {}"


@pytest.mark.rfc("7296", "2.8.1")
@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(6)])
def test_simultaneous_child_rekeying_closes_the_one_with_the_lowest_nonce(seed: int) -> None:
    pair = Pair(seed=seed).connect().do(lambda p: p.alice.rekey_child(p.now), lambda p: p.bob.rekey_child(p.now))
    # CREATE_CHILD_SA { N(REKEY_SA), SA, Ni, TSi, TSr } -->   <-- the same
    assert pair.agrees()
    assert len(pair.alice.children) == 1
    stories = [each.comment for each in pair.tap.tapped[8:10]]
    assert sorted(
        story.partition(": ")[2].partition(" ")[2].partition(" ")[2].partition(": ")[2] for story in stories
    ) == [
        "closes the redundant Child SA, made with the lowest nonce",
        "deletes the Child SA that was rekeyed",
    ]


def test_simultaneous_child_rekeying_is_won_by_either_side_as_the_nonces_fall() -> None:
    winners = set()
    for seed in range(8):
        pair = Pair(seed=seed).connect().do(lambda p: p.alice.rekey_child(p.now), lambda p: p.bob.rekey_child(p.now))
        winners.add(pair.alice.children[0].is_initiator)
    assert winners == {True, False}


@pytest.mark.rfc("7296", "2.8.2")
@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(6)])
def test_simultaneous_ike_rekeying_leaves_one_ike_sa(seed: int) -> None:
    pair = Pair(seed=seed).connect().do(lambda p: p.alice.rekey_ike(p.now), lambda p: p.bob.rekey_ike(p.now))
    assert pair.agrees()
    assert pair.established()
    assert len(pair.alice.children) == 1


@pytest.mark.rfc("7296", "2.25.2")
def test_ike_and_child_rekeyings_that_cross_are_put_off() -> None:
    pair = Pair().connect().do(lambda p: p.alice.rekey_ike(p.now), lambda p: p.bob.rekey_child(p.now))
    refusals = [each["notify"] for each in facts(pair.left.events, "exchange:refused")]
    assert set(refusals) == {"TEMPORARY_FAILURE"}
    assert pair.agrees()
    assert len(pair.alice.children) == 1


@pytest.mark.rfc("7296", "1.4.1")
def test_delete_names_both_halves() -> None:
    pair = Pair().connect().do(lambda p: p.bob.delete_child(p.now))
    assert pair.transcript(4) == ["INFORMATIONAL request 0: HDR, SK {D}", "INFORMATIONAL response 0: HDR, SK {D}"]
    assert not pair.alice.children
    assert pair.agrees()


@pytest.mark.rfc("7296", "2.25.1")
def test_deletes_of_one_child_that_cross_are_answered_without_delete() -> None:
    pair = Pair().connect().do(lambda p: p.alice.delete_child(p.now), lambda p: p.bob.delete_child(p.now))
    assert sorted(pair.transcript(4)) == [
        "INFORMATIONAL request 0: HDR, SK {D}",
        "INFORMATIONAL request 2: HDR, SK {D}",
        "INFORMATIONAL response 0: HDR, SK {}",
        "INFORMATIONAL response 2: HDR, SK {}",
    ]
    assert pair.agrees()


@pytest.mark.rfc("7296", "1.4.1")
def test_delete_of_the_ike_sa_is_confirmed_and_takes_the_children() -> None:
    pair = Pair().connect().do(lambda p: p.alice.close(p.now))
    assert pair.transcript(4) == ["INFORMATIONAL request 2: HDR, SK {D}", "INFORMATIONAL response 2: HDR, SK {}"]
    assert not pair.alice.sas
    assert not pair.bob.sas
    assert facts(pair.right.events, "ike_sa:closed") == [{"reason": "deleted"}]


def test_delete_whose_response_is_lost_is_confirmed_again() -> None:
    pair = Pair(elements=[Loss(numbers=[6])]).connect().do(lambda p: p.alice.close(p.now))
    assert [each["reason"] for each in facts(pair.left.events, "ike_sa:closed")] == ["deleted"]


@pytest.mark.rfc("7296", "2.4")
def test_dead_peer_is_found_out() -> None:
    alice = {"patience": Patience(dpd_after=10 * SECOND, retransmissions=2)}
    pair = Pair(alice, {"faults": Faults(silent_after="IKE_AUTH")}).connect(60)
    assert pair.transcript(4)[0] == "INFORMATIONAL request 2: HDR, SK {}"
    assert facts(pair.left.events, "ike_sa:closed") == [{"reason": "no answer"}]


def test_live_peer_is_left_alone_while_it_is_heard() -> None:
    pair = Pair(both={"patience": Patience(dpd_after=10 * SECOND)}).connect(45)
    assert pair.established()
    probes = [line for line in pair.transcript(4) if "request" in line]
    assert 3 <= len(probes) <= 5


def test_lifetimes_rekey_by_themselves() -> None:
    patience = Patience(child_lifetime=100 * SECOND, ike_lifetime=250 * SECOND)
    pair = Pair({"patience": patience}).connect(1000)
    assert pair.agrees()
    assert names(pair.left.events).count("child_sa:rekeyed") >= 8
    assert names(pair.left.events).count("ike_sa:rekeyed") >= 3


@pytest.mark.rfc("4555", "3.5")
def test_mobike_responder_follows_the_initiator() -> None:
    pair = Pair(both={"mobike": True}).connect()
    pair.do(lambda p: p.alice.move(Endpoint("192.0.2.77", 4500), p.now))
    assert pair.transcript(4) == [
        "INFORMATIONAL request 2: HDR, SK {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}",
        "INFORMATIONAL response 2: HDR, SK {N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP)}",
    ]
    assert pair.sa(pair.bob).path.remote.address == "192.0.2.77"
    assert facts(pair.right.events, "path:moved") == [{"role": "initiator", "address": "192.0.2.77", "port": 4500}]


def test_mobike_that_the_other_side_does_not_support_is_the_owners_mistake() -> None:
    pair = Pair({"mobike": True}).connect()
    with pytest.raises(RuntimeError, match="MOBIKE"):
        pair.alice.move(Endpoint("192.0.2.77", 4500), pair.now)


@pytest.mark.parametrize(("verb",), [("create_child",), ("rekey_child",), ("rekey_ike",), ("close",), ("probe",)])
def test_wishes_without_an_ike_sa_are_the_owners_mistake(verb: str) -> None:
    pair = Pair()
    with pytest.raises(RuntimeError, match="no established IKE SA"):
        getattr(pair.alice, verb)(pair.now)


def test_nat_that_forgets_its_mapping_is_followed() -> None:
    rebinding = Nat("198.51.100.7")
    pair = Pair({"force_encapsulation": True}, elements=[rebinding]).connect(5)
    before = pair.sa(pair.bob).path.remote.port
    rebinding._out.clear()
    pair.do(lambda p: p.alice.probe(p.now), seconds=5)
    assert pair.sa(pair.bob).path.remote.port != before
    assert names(pair.right.events).count("path:moved") == 1


@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(25)])
def test_bad_line_delays_but_both_sides_agree_in_the_end(seed: int) -> None:
    chance = Entropy.seeded("line", seed)
    line = [
        Loss(0.2, chance),
        Duplicate(0.1, chance),
        Reorder(0.1, chance),
        Delay(jitter=5 * MILLISECOND, entropy=chance),
    ]
    pair = Pair(both={"patience": Patience(retransmissions=8)}, elements=line).connect(2000)
    for verb in ("rekey_child", "rekey_ike"):
        pair.do(lambda p, verb=verb: [getattr(peer, verb)(p.now) for peer in (p.alice, p.bob)], seconds=2000)  # type: ignore[misc]
    assert pair.agrees()
    assert len(pair.alice.children) == 1


def test_duplicated_datagrams_change_no_sa() -> None:
    """L6 of the laws: retransmissions and duplicated frames change nothing."""
    plain = Pair().connect().do(lambda p: p.alice.rekey_child(p.now))
    doubled = Pair(elements=[Duplicate(numbers=range(100))]).connect().do(lambda p: p.alice.rekey_child(p.now))
    assert doubled.agrees()
    assert [child.keys for child in doubled.alice.children] == [child.keys for child in plain.alice.children]


def test_same_seed_makes_the_same_octets_and_another_seed_others() -> None:
    taken = [
        [each.frame for each in Pair(seed=seed).connect().do(lambda p: p.bob.rekey_ike(p.now)).tap.tapped]
        for seed in (1, 1, 2)
    ]
    assert taken[0] == taken[1]
    assert not set(taken[0]) & set(taken[2])
