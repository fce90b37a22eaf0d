from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from ikev1_pair import Pair, departures, unopened, watched

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev1.exchanges import Authentication
from ipsecscope.peers.authority import Authority, Issued, KeyKind
from ipsecscope.peers.config import Identity, Patience
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy
from ipsecscope.peers.ikev1.config import (
    Ikev1Faults,
    Method,
    PhaseOneMode,
    PhaseOneOffer,
    UnreadableAnswer,
)
from ipsecscope.peers.ikev1.states import PhaseOne
from ipsecscope.peers.peer import Path

MAIN = [
    "--> IDENTITY_PROTECTION: HDR, SA, V, V, V, V",
    "<-- IDENTITY_PROTECTION: HDR, SA, V, V, V, V",
    "--> IDENTITY_PROTECTION: HDR, KE, NONCE, NAT-D, NAT-D",
    "<-- IDENTITY_PROTECTION: HDR, KE, NONCE, NAT-D, NAT-D",
    "--> IDENTITY_PROTECTION: HDR*, ID, HASH",
    "<-- IDENTITY_PROTECTION: HDR*, ID, HASH",
]
AGGRESSIVE = [
    "--> AGGRESSIVE: HDR, SA, KE, NONCE, ID, V, V, V, V",
    "<-- AGGRESSIVE: HDR, SA, KE, NONCE, ID, HASH, V, V, V, V, NAT-D, NAT-D",
    "--> AGGRESSIVE: HDR*, HASH, NAT-D, NAT-D",
]
QUICK = [
    "--> QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID",
    "<-- QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID",
    "--> QUICK_MODE: HDR*, HASH",
]
SHORT = {"patience": Patience(retransmissions=3)}


@cache
def certificates() -> tuple[bytes, Issued, Issued]:
    """A trust anchor, and what it issued to both peers."""
    authority = Authority("Lab CA", Entropy.seeded("authority"))
    issued = [
        authority.issue(Identity.parse("moon.example"), kind=KeyKind.RSA),
        authority.issue(Identity.parse("sun.example"), kind=KeyKind.RSA),
    ]
    return authority.certificate, issued[0], issued[1]


def with_certificates(method: Method, **more: Any) -> Pair:
    anchor, moon, sun = certificates()
    return Pair(
        {"private_key": moon.private_key, "certificates": moon.certificates},
        {"private_key": sun.private_key, "certificates": sun.certificates},
        both={"method": method, "authorities": (anchor,)} | more,
    )


# -- what works -------------------------------------------------------------------------------------------------------


def test_main_mode_with_a_pre_shared_key_takes_six_messages() -> None:
    """RFC 2409 section 5.4."""
    pair = Pair().connect()
    assert pair.transcript == MAIN + QUICK
    assert pair.sa_i.state is pair.sa_r.state is PhaseOne.ESTABLISHED
    assert str(pair.sa_i.remote_id) == "sun.example"
    assert str(pair.sa_r.remote_id) == "moon.example"


def test_aggressive_mode_with_a_pre_shared_key_takes_three_messages() -> None:
    """RFC 2409 section 5.4."""
    pair = Pair(both={"mode": PhaseOneMode.AGGRESSIVE}).connect()
    assert pair.transcript == AGGRESSIVE + QUICK


def test_aggressive_mode_may_end_in_the_clear() -> None:
    """RFC 2409 section 5: message 3 may be sent without encryption; phase 2 then begins from the first IV."""
    pair = Pair(both={"mode": PhaseOneMode.AGGRESSIVE}, initiator={"encrypt_third": False}).connect()
    assert pair.transcript[2] == "--> AGGRESSIVE: HDR, HASH, NAT-D, NAT-D"
    assert len(pair.named("child_sa:created")) == 1
    assert unopened(watched(pair)) == []


@pytest.mark.parametrize("mode", list(PhaseOneMode), ids=str)
def test_rsa_signatures_carry_certificates_in_fragments(mode: PhaseOneMode) -> None:
    """RFC 2409 section 5.1."""
    pair = with_certificates(Method.RSA, mode=mode, fragment_size=400).connect()
    assert all(len(sent.data) <= 400 for sent in pair.tap[2:] if "CERT, SIG" in sent.story)
    assert any(line.startswith("--> fragment") for line in pair.transcript)
    assert pair.sa_i.state is PhaseOne.ESTABLISHED
    assert any("ID, CERT, SIG" in line or "CERT, SIG" in line for line in pair.transcript)
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.SIGNATURE) == []


@pytest.mark.parametrize("mode", list(PhaseOneMode), ids=str)
def test_hybrid_authentication_signs_at_the_gateway_only(mode: PhaseOneMode) -> None:
    """draft-ietf-ipsec-isakmp-hybrid-auth section 3.2."""
    anchor, _, sun = certificates()
    pair = Pair(
        {"authorities": (anchor,), "user": "carol", "password": Secret(b"swordfish")},
        {
            "private_key": sun.private_key,
            "certificates": sun.certificates,
            "users": (("carol", Secret(b"swordfish")),),
        },
        both={"method": Method.HYBRID, "psk": Secret(b""), "mode": mode},
    ).connect()
    assert pair.sa_r.user == "carol"
    assert pair.sa_i.state is PhaseOne.ESTABLISHED
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.HYBRID_INITIATOR) == []


OFFERS = [
    "AES_CBC-128 SHA1 MODP_1024",
    "AES_CBC-192 SHA2_384 MODP_3072",
    "AES_CBC-256 SHA2_512 ECP_256",
    "3DES MD5 MODP_1536",
    "DES SHA1 MODP_768",
    "CAMELLIA_CBC-256 SHA2_256 ECP_384",
    "BLOWFISH_CBC-128 SHA1 MODP_2048",
    "CAST_CBC-128 MD5 MODP_1024_160",
]


@pytest.mark.parametrize("offer", OFFERS)
def test_every_suite_makes_an_sa_that_its_keys_open(offer: str) -> None:
    pair = Pair(both={"phase_1": (PhaseOneOffer.parse(offer),)}).connect()
    assert len(pair.named("child_sa:created", "responder")) == 1
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.PRE_SHARED_KEY) == []


def test_responder_chooses_the_first_offer_that_it_accepts() -> None:
    weak, strong = (PhaseOneOffer.parse(text) for text in (OFFERS[0], OFFERS[2]))
    pair = Pair({"phase_1": (weak, strong)}, {"phase_1": (strong,)}).connect()
    assert pair.sa_i.chosen == strong
    (event,) = pair.named("ike_sa:proposal_chosen")
    assert event.data == {"transforms": ["ENCR_AES_CBC-256", "PRF_HMAC_SHA2_512", "ECP_256"]}


def test_both_sides_tell_the_same_keys_and_hide_them() -> None:
    pair = Pair().connect()
    one, two = (pair.named("ike_sa:keys_derived", side)[0] for side in ("initiator", "responder"))
    assert (one.skeyids, one.key, one.iv) == (two.skeyids, two.key, two.iv)
    assert one.skeyids.skeyid_d.reveal().hex() not in repr(one)
    assert one.data == {}


@pytest.mark.parametrize("mode", list(PhaseOneMode), ids=str)
def test_same_seed_makes_the_same_octets(mode: PhaseOneMode) -> None:
    taps = [[each.data for each in Pair(both={"mode": mode}, seed=seed).connect().tap] for seed in (1, 1, 2)]
    assert taps[0] == taps[1]
    assert not set(taps[0]) & set(taps[2])


def test_events_carry_the_identities_and_the_group_id_of_the_cookies() -> None:
    pair = Pair().connect()
    (event,) = pair.named("ike_sa:established")
    assert event.data == {"local_id": "moon.example", "remote_id": "sun.example"}
    assert event.group_id == watched(pair).sas[0].group_id


# -- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lost", range(1, 10))
def test_loss_of_any_datagram_of_main_and_quick_mode_is_made_good(lost: int) -> None:
    """RFC 2408 section 5.1: who waits repeats; who is asked again answers again."""
    pair = Pair(loses=lambda number, _: number == lost).connect(seconds=60)
    assert len(pair.named("child_sa:created")) == 1
    assert len(pair.named("child_sa:created", "responder")) == 1
    assert pair.named("ike:retransmission") or pair.named("ike:retransmission", "responder")
    assert unopened(watched(pair)) == []


@pytest.mark.parametrize("doubled", range(9))
def test_doubled_datagram_changes_nothing(doubled: int) -> None:
    pair = Pair().connect()
    before = [event.name for event in pair.events["initiator"]], len(pair.sa_r.children)
    sent = pair.tap[doubled]
    peer = pair.responder if sent.sender == "initiator" else pair.initiator
    peer.receive_datagram(sent.data, Path(sent.destination, sent.source), pair.now)
    pair.run()
    names = [event.name for event in pair.events["initiator"] if event.name != "ike:retransmission"]
    assert (names, len(pair.sa_r.children)) == before


def test_silent_responder_is_given_up_with_growing_intervals() -> None:
    pair = Pair(both=SHORT, loses=lambda *_: True).connect(seconds=120)
    times = [(each.time - EPOCH) // SECOND for each in pair.tap]
    assert times == [0, 2, 6, 14]
    assert pair.initiator.sas == []
    (event,) = pair.named("ike_sa:closed")
    assert event.reason == "no answer"
    assert len(pair.named("exchange:unanswered")) == 1


def test_half_open_sa_is_forgotten_by_the_responder() -> None:
    pair = Pair(loses=lambda number, sent: sent.sender == "initiator" and number > 1).connect(seconds=90)
    assert pair.responder.sas == []
    assert pair.named("ike_sa:closed", "responder")[0].reason == "half-open for too long"


# -- what fails -------------------------------------------------------------------------------------------------------


def test_wrong_psk_in_main_mode_makes_message_5_unreadable() -> None:
    """Message 5 is repeated, and every time an INFORMATIONAL comes back that the initiator cannot read."""
    pair = Pair({"psk": Secret(b"wrong")}, both=SHORT).connect(seconds=120)
    assert pair.transcript[4:8] == [
        "--> IDENTITY_PROTECTION: HDR*, ID, HASH",
        "<-- INFORMATIONAL: HDR*, HASH, N(PAYLOAD_MALFORMED)",
        "--> retransmission: HDR*, ID, HASH",
        "<-- INFORMATIONAL: HDR*, HASH, N(PAYLOAD_MALFORMED)",
    ]
    assert len(pair.tap) == 4 + 2 * 4
    assert pair.initiator.mailbox.counts["messages that no key opens"] == 4
    assert pair.named("ike_sa:closed")[0].reason == "no answer"
    one, two = (pair.named("ike_sa:keys_derived", side)[0] for side in ("initiator", "responder"))
    assert (one.cookie_i, one.cookie_r) == (two.cookie_i, two.cookie_r)
    assert one.key != two.key


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (UnreadableAnswer.CLEAR, "<-- INFORMATIONAL: HDR, N(PAYLOAD_MALFORMED)"),
        (UnreadableAnswer.SILENT, "--> retransmission: HDR*, ID, HASH"),
    ],
    ids=str,
)
def test_wrong_psk_may_be_answered_in_the_clear_or_not_at_all(answer: UnreadableAnswer, expected: str) -> None:
    pair = Pair({"psk": Secret(b"wrong"), "believes_clear_errors": False}, {"unreadable_answer": answer}, both=SHORT)
    assert pair.connect(seconds=120).transcript[5] == expected


def test_clear_error_is_believed_or_not_as_configured() -> None:
    believing = Pair({"psk": Secret(b"wrong")}, {"unreadable_answer": UnreadableAnswer.CLEAR}).connect(seconds=5)
    assert believing.named("ike_sa:closed")[0].reason == "PAYLOAD_MALFORMED"
    assert len(believing.tap) == 6


def test_wrong_psk_in_aggressive_mode_is_found_by_the_initiator() -> None:
    pair = Pair({"psk": Secret(b"wrong")}, both=SHORT | {"mode": PhaseOneMode.AGGRESSIVE}).connect(seconds=60)
    assert pair.transcript[2] == "--> INFORMATIONAL: HDR*, HASH, N(AUTHENTICATION_FAILED)"
    assert pair.named("ike_sa:closed")[0].reason == "authentication failed"
    assert pair.named("ike_sa:closed", "responder")[0].reason == "half-open for too long"


def test_unknown_identity_is_refused_under_the_common_keys() -> None:
    pair = Pair(responder={"remote_id": Identity.parse("mars.example")}).connect(seconds=60)
    assert pair.transcript[5:] == ["<-- INFORMATIONAL: HDR*, HASH, N(AUTHENTICATION_FAILED)"]
    assert pair.named("ike_sa:closed")[0].reason == "AUTHENTICATION_FAILED"


def test_unknown_identity_of_the_responder_is_refused_by_the_initiator() -> None:
    pair = Pair(initiator={"remote_id": Identity.parse("mars.example")}).connect(seconds=60)
    assert pair.transcript[6:] == ["--> INFORMATIONAL: HDR*, HASH, N(AUTHENTICATION_FAILED)"]
    assert pair.initiator.sas == []


@pytest.mark.parametrize("mode", list(PhaseOneMode), ids=str)
def test_disjoint_offers_are_refused_without_state(mode: PhaseOneMode) -> None:
    offer = (PhaseOneOffer.parse("3DES SHA1 MODP_1024"),)
    pair = Pair({"phase_1": offer}, both={"mode": mode}).connect(seconds=5)
    assert pair.transcript[1:] == ["<-- INFORMATIONAL: HDR, N(NO_PROPOSAL_CHOSEN)"]
    assert pair.responder.sas == pair.initiator.sas == []
    assert pair.named("exchange:refused")[0].data["notify"] == "NO_PROPOSAL_CHOSEN"


def test_disjoint_offers_may_be_met_with_silence() -> None:
    offer = (PhaseOneOffer.parse("3DES SHA1 MODP_1024"),)
    pair = Pair({"phase_1": offer}, {"answers_offers": False}, both=SHORT).connect(seconds=60)
    assert {each.sender for each in pair.tap} == {"initiator"}


def test_mode_that_the_responder_does_not_take_is_refused() -> None:
    pair = Pair(responder={"accepts": (PhaseOneMode.MAIN,)}, both={"mode": PhaseOneMode.AGGRESSIVE}).connect(seconds=5)
    assert pair.transcript[1:] == ["<-- INFORMATIONAL: HDR, N(AUTHENTICATION_FAILED)"]


def test_authentication_methods_that_differ_are_no_common_offer() -> None:
    anchor, moon, _ = certificates()
    rsa = {"method": Method.RSA, "private_key": moon.private_key, "certificates": moon.certificates}
    pair = Pair(rsa | {"authorities": (anchor,)}).connect(seconds=5)
    assert pair.transcript[1:] == ["<-- INFORMATIONAL: HDR, N(NO_PROPOSAL_CHOSEN)"]


def test_certificate_of_another_authority_is_refused() -> None:
    other = Authority("Other CA", Entropy.seeded("other"))
    _, moon, sun = certificates()
    pair = Pair(
        {"private_key": moon.private_key, "certificates": moon.certificates, "authorities": (certificates()[0],)},
        {"private_key": sun.private_key, "certificates": sun.certificates, "authorities": (other.certificate,)},
        both={"method": Method.RSA},
    ).connect(seconds=60)
    assert pair.transcript[-1] == "<-- INFORMATIONAL: HDR*, HASH, N(AUTHENTICATION_FAILED)"
    assert any("trust anchor" in what for what in pair.responder.mailbox.counts)


def test_peer_that_falls_silent_is_a_dead_peer() -> None:
    pair = Pair(responder={"faults": Ikev1Faults(silent_after=3)}, both=SHORT).connect(seconds=120)
    assert pair.responder.mailbox.counts["kept silent"] > 0
    assert len(pair.named("exchange:unanswered")) == 1
