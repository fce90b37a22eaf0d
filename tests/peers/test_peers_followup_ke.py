"""IKE_FOLLOWUP_KE behind CREATE_CHILD_SA (RFC 9370 section 2.2.4) between two peers in process."""

from __future__ import annotations

import pytest
from peers_pair import Pair, facts, names

from ipsecscope.dissect.ikev2 import KeyExchange
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType
from ipsecscope.peers.config import Faults, Offer, Patience
from ipsecscope.peers.elements import Loss
from ipsecscope.peers.entropy import SECOND
from ipsecscope.peers.events import SecretShared
from ipsecscope.peers.ikev2.key_exchange import MAX_UNFINISHED
from ipsecscope.peers.ikev2.messages import note

ESP = Offer.esp("ENCR_AES_GCM_16-256 CURVE25519 ADDKE1:ML_KEM_768 ADDKE2:ML_KEM_512")
IKE = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519 ADDKE1:ML_KEM_768")
PLAIN = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519")
BOTH = {"child_proposals": (ESP,), "fragmentation": False}
LINK = "N(ADDITIONAL_KEY_EXCHANGE)"

pytestmark = pytest.mark.rfc("9370", "2.2.4")


def methods(pair: Pair) -> list[tuple[int, KeyExchangeMethod]]:
    """The shared secrets behind IKE_AUTH, as the initiator tells of them."""
    told = [each for each in pair.left.events if isinstance(each, SecretShared)]
    return [(each.order, each.method) for each in told if each.child_spis]


def test_child_rekeying_exchanges_keys_until_every_method_had_its_turn() -> None:
    pair = Pair(both=BOTH).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: p.alice.rekey_child(p.now))
    assert pair.transcript(seen) == [
        "CREATE_CHILD_SA request 2: HDR, SK {N(REKEY_SA), SA, Ni, KE, TSi, TSr}",
        f"CREATE_CHILD_SA response 2: HDR, SK {{SA, Nr, KE, TSi, TSr, {LINK}}}",
        f"IKE_FOLLOWUP_KE request 3: HDR, SK {{KE, {LINK}}}",
        f"IKE_FOLLOWUP_KE response 3: HDR, SK {{KE, {LINK}}}",
        f"IKE_FOLLOWUP_KE request 4: HDR, SK {{KE, {LINK}}}",
        "IKE_FOLLOWUP_KE response 4: HDR, SK {KE}",
        "INFORMATIONAL request 5: HDR, SK {D}",
        "INFORMATIONAL response 5: HDR, SK {D}",
    ]
    assert pair.agrees()
    assert len(pair.alice.children) == 1
    m = KeyExchangeMethod
    assert methods(pair) == [(0, m.CURVE25519), (1, m.ML_KEM_768), (2, m.ML_KEM_512)]
    assert not pair.sa(pair.bob).unfinished


def test_responder_may_be_the_side_that_rekeys() -> None:
    pair = Pair(both=BOTH).connect().do(lambda p: p.bob.rekey_child(p.now))
    assert pair.agrees()
    assert len(facts(pair.left.events, "child_sa:created")) == 2


def test_new_child_takes_additional_key_exchanges_as_well() -> None:
    pair = Pair(both=BOTH).connect().do(lambda p: p.alice.create_child(p.now))
    assert pair.agrees()
    assert len(pair.alice.children) == 2


def test_ike_rekeying_derives_the_new_keys_from_both_secrets() -> None:
    pair = Pair(both={"ike_proposals": (IKE,), "fragmentation": False}).connect()
    before = pair.sa(pair.alice).keys
    seen = len(pair.transcript())
    pair.do(lambda p: p.alice.rekey_ike(p.now))
    assert pair.transcript(seen)[:4] == [
        "CREATE_CHILD_SA request 3: HDR, SK {SA, Ni, KE}",
        f"CREATE_CHILD_SA response 3: HDR, SK {{SA, Nr, KE, {LINK}}}",
        f"IKE_FOLLOWUP_KE request 4: HDR, SK {{KE, {LINK}}}",
        "IKE_FOLLOWUP_KE response 4: HDR, SK {KE}",
    ]
    assert pair.agrees()
    assert pair.sa(pair.alice).keys == pair.sa(pair.bob).keys != before
    pair.do(lambda p: p.alice.rekey_child(p.now), lambda p: p.bob.rekey_ike(p.now))
    assert pair.agrees()
    assert len(pair.alice.sas) == len(pair.alice.children) == 1


@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(6)])
def test_simultaneous_child_rekeying_leaves_one_successor_and_the_loser_goes_no_further(seed: int) -> None:
    pair = Pair(both=BOTH, seed=seed).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: p.alice.rekey_child(p.now), lambda p: p.bob.rekey_child(p.now))
    assert pair.agrees()
    assert len(pair.alice.children) == 1
    asked = [line for line in pair.transcript(seen) if line.startswith("IKE_FOLLOWUP_KE request")]
    assert len(asked) == 2
    for station in (pair.left, pair.right):
        assert names(station.events).count("child_sa:rekeyed") == 1


@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(6)])
def test_simultaneous_ike_rekeying_leaves_one_successor(seed: int) -> None:
    pair = Pair(both={"ike_proposals": (IKE,)}, seed=seed).connect()
    pair.do(lambda p: p.alice.rekey_ike(p.now), lambda p: p.bob.rekey_ike(p.now))
    assert pair.agrees()
    assert len(pair.alice.sas) == len(pair.alice.children) == 1
    assert names(pair.left.events).count("ike_sa:rekeyed") == 1


def test_responder_that_lost_its_state_says_so_and_the_old_child_stays() -> None:
    pair = Pair(both={**BOTH, "patience": Patience(half_open=3 * SECOND)}, elements=[Loss(numbers=range(7, 10))])
    pair.connect().do(lambda p: p.alice.rekey_child(p.now))
    assert any(line.endswith("SK {N(STATE_NOT_FOUND)}") for line in pair.transcript())
    assert pair.agrees()
    assert len(pair.alice.children) == len(facts(pair.left.events, "child_sa:created")) == 1
    pair.do(lambda p: p.alice.rekey_child(p.now))
    assert pair.agrees()
    assert len(facts(pair.left.events, "child_sa:created")) == 2


@pytest.mark.parametrize(
    ("bodies",),
    [
        pytest.param([note(NotifyType.ADDITIONAL_KEY_EXCHANGE, b"nobody's")], id="a link of nothing"),
        pytest.param([KeyExchange(method=KeyExchangeMethod.ML_KEM_768, data=b"")], id="no link"),
    ],
)
def test_follow_up_of_nothing_is_answered_state_not_found(bodies: list[object]) -> None:
    class Stray:
        exchange_type = ExchangeType.IKE_FOLLOWUP_KE
        is_exclusive = False
        title = "asks out of the blue"

        def begin(self, *_: object) -> tuple[object, ...]:
            return tuple(bodies)

        def finish(self, *_: object) -> None:
            return None

        def give_up(self, *_: object) -> None:
            return None

    pair = Pair(both=BOTH).connect()
    pair.do(lambda p: p.sa(p.alice).begin(Stray(), p.now))
    assert pair.transcript()[-1].endswith(("SK {N(STATE_NOT_FOUND)}", "SK {N(INVALID_SYNTAX)}"))


def test_what_waits_for_more_keys_is_bounded_and_forgotten_in_time() -> None:
    silent = {"faults": Faults(silent_after="IKE_FOLLOWUP_KE")}
    pair = Pair(silent, both=BOTH).connect()
    bob = pair.sa(pair.bob)
    for _ in range(MAX_UNFINISHED + 2):
        pair.alice.create_child(pair.now)
    pair.network.run(1 * SECOND)
    assert 1 <= len(bob.unfinished) <= MAX_UNFINISHED
    pair.run(120)
    assert not bob.unfinished


def test_refused_method_leaves_the_old_child() -> None:
    """The responder has no policy with additional key exchanges."""
    pair = Pair(bob={"child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 CURVE25519"),)}, alice=BOTH).connect()
    pair.do(lambda p: p.alice.rekey_child(p.now))
    assert pair.transcript()[-1].endswith("SK {N(NO_PROPOSAL_CHOSEN)}")
    assert pair.agrees()
    assert len(pair.alice.children) == 1
