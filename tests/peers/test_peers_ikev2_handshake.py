"""IKE_SA_INIT, IKE_INTERMEDIATE and IKE_AUTH between two peers in process, told in RFC notation."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from peers_pair import ALICE, BOB, Pair, facts, names

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.peers.authority import Authority, KeyKind
from ipsecscope.peers.config import (
    AuthMethod,
    Credentials,
    EapMethod,
    Faults,
    Identity,
    Limits,
    Mode,
    Offer,
    Patience,
    Pool,
    Ppk,
)
from ipsecscope.peers.elements import Nat
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy
from ipsecscope.peers.ikev2.sa import State
from ipsecscope.peers.selectors import parse_selector

CA = Authority("Test CA", Entropy.seeded("test"))
OTHER_CA = Authority("Other CA", Entropy.seeded("other"))
INIT = "N(NAT_DETECTION_SOURCE_IP), N(NAT_DETECTION_DESTINATION_IP), N(IKEV2_FRAGMENTATION_SUPPORTED), N(SIGNATURE_HASH_ALGORITHMS)"
SIGNING = [
    pytest.param(KeyKind.RSA, AuthMethod.RSA, id="rsa-pkcs1-sha1"),
    pytest.param(KeyKind.RSA, AuthMethod.SIGNATURE, id="rfc7427-rsa"),
    pytest.param(KeyKind.RSA, AuthMethod.SIGNATURE_PSS, id="rfc7427-pss"),
    pytest.param(KeyKind.ECDSA_P256, AuthMethod.ECDSA, id="rfc4754-p256"),
    pytest.param(KeyKind.ECDSA_P384, AuthMethod.ECDSA, id="rfc4754-p384"),
    pytest.param(KeyKind.ECDSA_P521, AuthMethod.ECDSA, id="rfc4754-p521"),
    pytest.param(KeyKind.ECDSA_P384, AuthMethod.SIGNATURE, id="rfc7427-ecdsa"),
    pytest.param(KeyKind.ED25519, AuthMethod.SIGNATURE, id="rfc8420-ed25519"),
    pytest.param(KeyKind.ED448, AuthMethod.SIGNATURE, id="rfc8420-ed448"),
]


def certified(
    identity: Identity, kind: KeyKind, method: AuthMethod, authority: Authority = CA, **dates: int
) -> dict[str, Any]:
    issued = authority.issue(identity, kind, bits=1024, **dates)
    own = Credentials(method=method, private_key=issued.private_key, certificates=issued.certificates)
    return {"credentials": own, "authorities": (CA.certificate,)}


@pytest.mark.rfc("7296", "1.2")
def test_handshake_with_a_psk_takes_two_exchanges() -> None:
    pair = Pair().connect()
    assert pair.transcript() == [
        f"IKE_SA_INIT request 0: HDR, SA, KE, Ni, {INIT}",
        f"IKE_SA_INIT response 0: HDR, SA, KE, Nr, {INIT}",
        "IKE_AUTH request 1: HDR, SK {IDi, IDr, AUTH, SA, TSi, TSr}",
        "IKE_AUTH response 1: HDR, SK {IDr, AUTH, SA, TSi, TSr}",
    ]
    assert pair.established()
    assert pair.agrees()
    assert pair.sa(pair.alice).keys == pair.sa(pair.bob).keys


def test_handshake_events_tell_the_story_on_both_sides() -> None:
    pair = Pair().connect()
    for station, mine, theirs in ((pair.left, ALICE, BOB), (pair.right, BOB, ALICE)):
        said = names(station.events)
        assert said.count("exchange:completed") == 2
        assert {"ike_sa:proposal_chosen", "ike_sa:keys_derived", "ike_sa:established", "child_sa:created"} <= set(said)
        assert facts(station.events, "ike_sa:established") == [{"local_id": str(mine), "remote_id": str(theirs)}]


def test_keys_in_events_are_secrets() -> None:
    pair = Pair().connect()
    text = repr(pair.left.events)
    assert "<secret 32 octets>" in text
    assert pair.sa(pair.alice).keys.sk_d.reveal().hex() not in text


@pytest.mark.parametrize(
    ("proposal",),
    [
        pytest.param("ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1024", id="cbc-sha1"),
        pytest.param("ENCR_AES_CBC-256 AUTH_HMAC_SHA2_512_256 PRF_HMAC_SHA2_512 MODP_2048", id="cbc-sha512"),
        pytest.param("ENCR_3DES AUTH_HMAC_MD5_96 PRF_HMAC_MD5 MODP_1536", id="3des-md5"),
        pytest.param("ENCR_AES_CTR-192 AUTH_AES_XCBC_96 PRF_AES128_XCBC ECP_256", id="ctr-xcbc"),
        pytest.param("ENCR_AES_CCM_8-128 PRF_AES128_CMAC ECP_384", id="ccm-8"),
        pytest.param("ENCR_CHACHA20_POLY1305 PRF_HMAC_SHA2_256 CURVE448", id="chacha"),
        pytest.param("ENCR_CAMELLIA_CBC-256 AUTH_AES_CMAC_96 PRF_HMAC_SHA2_384 BRAINPOOL_P256R1", id="camellia"),
        pytest.param("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 ML_KEM_768", id="ml-kem-alone"),
    ],
)
def test_handshake_with_any_suite_that_the_opening_side_knows(proposal: str) -> None:
    pair = Pair(both={"ike_proposals": (Offer.ike(proposal),)}).connect()
    assert pair.agrees()
    assert pair.established()


@pytest.mark.rfc("7296", "2.6")
def test_cookie_is_repeated_in_front_of_the_request() -> None:
    pair = Pair(bob={"limits": Limits(cookies_from=0)}).connect()
    assert pair.transcript()[1:4] == [
        "IKE_SA_INIT response 0: HDR, N(COOKIE)",
        f"IKE_SA_INIT request 0: HDR, N(COOKIE), SA, KE, Ni, {INIT}",
        f"IKE_SA_INIT response 0: HDR, SA, KE, Nr, {INIT}",
    ]
    assert pair.established()
    first, _, second = (header for header, _ in pair.messages()[:3])
    assert first.spi_i == second.spi_i


@pytest.mark.rfc("7296", "2.6")
def test_cookie_that_is_asked_for_again_and_again_ends_the_attempt() -> None:
    pair = Pair(bob={"faults": Faults(endless_cookies=True)}).connect()
    assert not pair.alice.sas
    assert len(pair.transcript()) == 12


@pytest.mark.rfc("7296", "1.2")
def test_invalid_ke_payload_makes_the_initiator_try_the_wanted_method() -> None:
    wide = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 MODP_2048 CURVE25519")
    pair = Pair({"ike_proposals": (wide,)}).connect()
    assert pair.transcript()[1] == "IKE_SA_INIT response 0: HDR, N(INVALID_KE_PAYLOAD)"
    assert pair.established()
    assert [each["notify"] for each in facts(pair.left.events, "exchange:refused")] == ["INVALID_KE_PAYLOAD"]


def test_invalid_ke_payload_and_cookie_together_still_succeed() -> None:
    wide = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 MODP_2048 CURVE25519")
    pair = Pair({"ike_proposals": (wide,)}, {"limits": Limits(cookies_from=0)}).connect()
    assert pair.established()


@pytest.mark.rfc("7296", "2.7")
def test_no_common_proposal_is_refused_without_state() -> None:
    weak = Offer.ike("ENCR_3DES AUTH_HMAC_SHA1_96 PRF_HMAC_SHA1 MODP_1024")
    pair = Pair({"ike_proposals": (weak,)}).connect()
    assert pair.transcript()[1] == "IKE_SA_INIT response 0: HDR, N(NO_PROPOSAL_CHOSEN)"
    assert not pair.alice.sas
    assert not pair.bob.sas


# -- authentication ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "method"), SIGNING)
def test_certificates_prove_both_sides(kind: KeyKind, method: AuthMethod) -> None:
    pair = Pair(certified(ALICE, kind, method), certified(BOB, kind, method)).connect()
    assert pair.agrees()
    assert pair.established()
    requests = [each.partition(": ")[2] for each in pair.transcript() if "IKE_AUTH request" in each]
    assert requests[-1] == "HDR, SK {IDi, CERT, CERTREQ, IDr, AUTH, SA, TSi, TSr}"


@pytest.mark.rfc("7296", "3.7")
def test_responder_that_verifies_certificates_asks_for_one() -> None:
    # strongSwan sends its certificate only to who asked for one.
    bob = {"authorities": (CA.certificate,), "remote_methods": (AuthMethod.SIGNATURE,)}
    pair = Pair(certified(ALICE, KeyKind.RSA, AuthMethod.SIGNATURE) | {"remote_methods": (AuthMethod.PSK,)}, bob)
    pair.connect()
    assert "CERTREQ" in pair.transcript()[1]
    assert "CERTREQ" not in Pair().connect().transcript()[1]


def test_each_side_may_prove_itself_in_its_own_way() -> None:
    alice = {**certified(ALICE, KeyKind.ED25519, AuthMethod.SIGNATURE), "remote_methods": (AuthMethod.PSK,)}
    bob = {"remote_methods": (AuthMethod.SIGNATURE,), "authorities": (CA.certificate,)}
    assert Pair(alice, bob).connect().established()


@pytest.mark.parametrize(
    ("bob", "count"),
    [
        pytest.param({"authority": OTHER_CA}, "no trust anchor issued the certificate", id="untrusted"),
        pytest.param({"not_after": EPOCH - SECOND}, "a certificate has expired", id="expired"),
        pytest.param({"not_before": EPOCH + 10 * SECOND}, "a certificate is not valid yet", id="not-yet"),
    ],
)
def test_certificate_that_is_not_to_be_trusted_is_told_to_the_responder(bob: dict[str, Any], count: str) -> None:
    """RFC 7296 section 2.21.2: an INFORMATIONAL exchange with nothing but AUTHENTICATION_FAILED."""
    changes = certified(BOB, KeyKind.ECDSA_P256, AuthMethod.ECDSA, **bob)
    pair = Pair(certified(ALICE, KeyKind.ECDSA_P256, AuthMethod.ECDSA), changes).connect()
    assert pair.alice.mailbox.counts[f"AUTH refused: {count}"] == 1
    assert pair.transcript()[-2:] == [
        "INFORMATIONAL request 2: HDR, SK {N(AUTHENTICATION_FAILED)}",
        "INFORMATIONAL response 2: HDR, SK {}",
    ]
    assert not pair.alice.sas
    assert not pair.bob.sas


def test_certificate_made_out_to_somebody_else_is_not_believed() -> None:
    mallory = certified(Identity.parse("mallory.example"), KeyKind.ECDSA_P256, AuthMethod.ECDSA)
    pair = Pair(mallory, certified(BOB, KeyKind.ECDSA_P256, AuthMethod.ECDSA)).connect()
    assert pair.bob.mailbox.counts["AUTH refused: the certificate is not made out to the identity"] == 1
    assert not pair.alice.sas


@pytest.mark.parametrize(
    ("alice", "bob", "count"),
    [
        pytest.param(
            {"psk": Secret(b"x")}, {}, "AUTH refused: the AUTH payload is wrong: another pre-shared key", id="psk"
        ),
        pytest.param({}, {"remote_id": Identity.parse("m.example")}, "an identity that nobody knows", id="idi"),
        pytest.param({"remote_id": Identity.parse("m.example")}, {}, "asked for another identity than ours", id="idr"),
        pytest.param(
            {}, {"remote_methods": (AuthMethod.RSA,)}, "AUTH refused: a pre-shared key is not accepted", id="method"
        ),
    ],
)
def test_authentication_that_fails_at_the_responder_ends_both_sides(
    alice: dict[str, Any], bob: dict[str, Any], count: str
) -> None:
    pair = Pair(alice, bob).connect()
    assert pair.transcript()[-1] == "IKE_AUTH response 1: HDR, SK {N(AUTHENTICATION_FAILED)}"
    assert pair.bob.mailbox.counts[count] == 1
    assert not pair.alice.sas
    assert not pair.bob.sas


@pytest.mark.rfc("7619", "2.1")
def test_null_authentication_leaves_the_identity_open() -> None:
    null = {"credentials": Credentials(method=AuthMethod.NULL), "remote_methods": (AuthMethod.PSK,)}
    pair = Pair(null, {"remote_methods": (AuthMethod.NULL,)}).connect()
    assert pair.established()
    assert facts(pair.right.events, "ike_sa:established")[0]["remote_id"] == ""


def eap(method: EapMethod, password: bytes, offered: tuple[EapMethod, ...]) -> Pair:
    own = Credentials(method=AuthMethod.EAP, eap_method=method, user="carol", password=Secret(password))
    alice = {"credentials": own, "remote_methods": (AuthMethod.SIGNATURE,), "authorities": (CA.certificate,)}
    bob = certified(BOB, KeyKind.ECDSA_P256, AuthMethod.SIGNATURE)
    bob |= {"remote_methods": (AuthMethod.EAP,), "users": (("carol", Secret(b"right")),), "eap_methods": offered}
    return Pair(alice, bob).connect()


@pytest.mark.rfc("7296", "2.16")
def test_eap_mschapv2_proves_the_initiator_with_its_key() -> None:
    pair = eap(EapMethod.MSCHAPV2, b"right", (EapMethod.MSCHAPV2,))
    assert pair.transcript()[2:] == [
        "IKE_AUTH request 1: HDR, SK {IDi, CERTREQ, IDr, SA, TSi, TSr}",
        "IKE_AUTH response 1: HDR, SK {IDr, CERT, AUTH, EAP}",
        "IKE_AUTH request 2: HDR, SK {EAP}",
        "IKE_AUTH response 2: HDR, SK {EAP}",
        "IKE_AUTH request 3: HDR, SK {EAP}",
        "IKE_AUTH response 3: HDR, SK {EAP}",
        "IKE_AUTH request 4: HDR, SK {EAP}",
        "IKE_AUTH response 4: HDR, SK {EAP}",
        "IKE_AUTH request 5: HDR, SK {AUTH}",
        "IKE_AUTH response 5: HDR, SK {AUTH, SA, TSi, TSr}",
    ]
    assert pair.agrees()


@pytest.mark.parametrize(("method",), [(EapMethod.MD5,), (EapMethod.GTC,), (EapMethod.MSCHAPV2,)])
def test_eap_method_that_the_client_wants_is_found_by_nak(method: EapMethod) -> None:
    assert eap(method, b"right", (EapMethod.GTC, EapMethod.MD5, EapMethod.MSCHAPV2)).established()


@pytest.mark.parametrize(("method",), [(EapMethod.MD5,), (EapMethod.GTC,), (EapMethod.MSCHAPV2,)])
def test_eap_with_a_wrong_password_ends_both_sides(method: EapMethod) -> None:
    pair = eap(method, b"wrong", (method,))
    assert not pair.alice.sas
    assert not pair.bob.sas
    assert pair.transcript()[-1].endswith("SK {EAP, N(AUTHENTICATION_FAILED)}")


def test_eap_without_a_common_method_fails() -> None:
    assert not eap(EapMethod.MD5, b"right", (EapMethod.GTC,)).established()


# -- extensions ----------------------------------------------------------------------------------------------------


@pytest.mark.rfc("9370", "2.2.2")
def test_ml_kem_in_ike_intermediate_changes_the_keys_twice() -> None:
    hybrid = Offer.ike(
        "ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 CURVE25519 ADDKE1:ML_KEM_768 ADDKE2:ML_KEM_1024"
    )
    pair = Pair(both={"ike_proposals": (hybrid,), "fragmentation": False}).connect()
    assert pair.transcript()[2:6] == [
        "IKE_INTERMEDIATE request 1: HDR, SK {KE}",
        "IKE_INTERMEDIATE response 1: HDR, SK {KE}",
        "IKE_INTERMEDIATE request 2: HDR, SK {KE}",
        "IKE_INTERMEDIATE response 2: HDR, SK {KE}",
    ]
    derived = [event for event in pair.left.events if event.name == "ike_sa:keys_derived"]
    assert [event.sequence for event in derived] == [0, 1, 2]  # type: ignore[attr-defined]
    assert pair.agrees()


@pytest.mark.rfc("7383", "2.5")
def test_fragments_carry_what_is_too_long_and_int_auth_covers_the_whole() -> None:
    hybrid = Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519 ADDKE1:ML_KEM_1024")
    pair = Pair(both={"ike_proposals": (hybrid,), "fragment_size": 500}).connect()
    assert pair.transcript()[2:6] == [
        f"SKF fragment {number} of 4: IKE_INTERMEDIATE request 1: HDR, SK {{KE}}" for number in (1, 2, 3, 4)
    ]
    assert all(len(data) <= 500 for header, data in pair.messages() if header.message_id)
    assert pair.agrees()


@pytest.mark.rfc("8784", "3")
def test_ppk_that_both_know_is_mixed_into_the_keys() -> None:
    ppk = Ppk(b"ppk-1", Secret(b"p" * 32), required=True)
    pair = Pair(both={"ppk": ppk}).connect()
    assert pair.transcript()[2:] == [
        "IKE_AUTH request 1: HDR, SK {IDi, IDr, AUTH, SA, TSi, TSr, N(PPK_IDENTITY)}",
        "IKE_AUTH response 1: HDR, SK {IDr, AUTH, SA, TSi, TSr, N(PPK_IDENTITY)}",
    ]
    derived = [event for event in pair.left.events if event.name == "ike_sa:keys_derived"]
    assert [event.uses_ppk for event in derived] == [False, True]  # type: ignore[attr-defined]
    assert pair.agrees()


@pytest.mark.rfc("8784", "3")
def test_ppk_that_the_responder_does_not_know_is_done_without_unless_required() -> None:
    mine, theirs = Ppk(b"ppk-1", Secret(b"p" * 32)), Ppk(b"ppk-2", Secret(b"q" * 32))
    pair = Pair({"ppk": mine}, {"ppk": theirs}).connect()
    assert pair.established()
    assert pair.transcript()[2].endswith("N(PPK_IDENTITY), N(NO_PPK_AUTH)}")
    strict = Ppk(b"ppk-2", Secret(b"q" * 32), required=True)
    assert not Pair({"ppk": mine}, {"ppk": strict}).connect().established()
    assert not Pair({"ppk": strict}).connect().established()


@pytest.mark.rfc("6023", "3")
def test_childless_handshake_has_no_child() -> None:
    pair = Pair(both={"childless": True}).connect()
    assert pair.transcript()[2:] == [
        "IKE_AUTH request 1: HDR, SK {IDi, IDr, AUTH}",
        "IKE_AUTH response 1: HDR, SK {IDr, AUTH}",
    ]
    assert not pair.alice.children


@pytest.mark.rfc("7296", "2.19")
def test_configuration_assigns_an_address_that_narrows_the_selectors() -> None:
    everywhere = (parse_selector("0.0.0.0/0"),)
    pool = Pool(("10.9.0.1", "10.9.0.2"), ("10.9.0.53",))
    pair = Pair({"request_virtual_ip": True, "remote_ts": everywhere}, {"pool": pool, "local_ts": everywhere}).connect()
    assert pair.transcript()[2].endswith("SK {IDi, IDr, AUTH, CP, SA, TSi, TSr}")
    (created,) = facts(pair.left.events, "child_sa:created")
    assert created["tsi"] == ["10.9.0.1/32"]
    pair.do(lambda p: p.alice.rekey_child(p.now)).do(lambda p: p.bob.rekey_child(p.now))
    assert pair.agrees()
    assert len(pair.alice.children) == 1


@pytest.mark.parametrize(
    ("alice", "bob", "notify"),
    [
        pytest.param({"request_virtual_ip": True}, {}, "INTERNAL_ADDRESS_FAILURE", id="no-pool"),
        pytest.param({}, {"pool": Pool(("10.9.0.1",))}, "FAILED_CP_REQUIRED", id="cp-required"),
        pytest.param(
            {"child_proposals": (Offer.esp("ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96"),)}, {}, "NO_PROPOSAL_CHOSEN", id="esp"
        ),
        pytest.param({}, {"remote_ts": (parse_selector("10.9.0.0/16"),)}, "TS_UNACCEPTABLE", id="ts"),
    ],
)
def test_child_that_is_refused_leaves_the_ike_sa(alice: dict[str, Any], bob: dict[str, Any], notify: str) -> None:
    """RFC 7296 section 1.2: the IKE SA is created although the Child SA is not."""
    pair = Pair(alice, bob).connect()
    assert pair.transcript()[-1] == f"IKE_AUTH response 1: HDR, SK {{IDr, AUTH, N({notify})}}"
    assert pair.established()
    assert not pair.alice.children
    assert not pair.bob.children


@pytest.mark.rfc("7296", "2.9")
def test_narrowing_is_what_both_sides_cover() -> None:
    alice = {"local_ts": (parse_selector("10.1.0.0/16"),), "remote_ts": (parse_selector("0.0.0.0/0"),)}
    bob = {"local_ts": (parse_selector("10.2.0.0/16"),), "remote_ts": (parse_selector("10.1.1.0/24"),)}
    (created,) = facts(Pair(alice, bob).connect().left.events, "child_sa:created")
    assert (created["tsi"], created["tsr"]) == (["10.1.1.0/24"], ["10.2.0.0/16"])


@pytest.mark.rfc("7296", "1.3.1")
def test_transport_mode_needs_both_sides() -> None:
    pair = Pair(both={"mode": Mode.TRANSPORT}).connect()
    assert pair.transcript()[2].endswith("AUTH, N(USE_TRANSPORT_MODE), SA, TSi, TSr}")
    assert [child.mode for child in pair.alice.children] == [Mode.TRANSPORT]
    alone = Pair({"mode": Mode.TRANSPORT}).connect()
    assert [child.mode for child in alone.alice.children] == [Mode.TUNNEL]
    assert alone.agrees()


# -- NAT and time --------------------------------------------------------------------------------------------------


@pytest.mark.rfc("7296", "2.23")
def test_nat_is_detected_and_both_go_to_port_4500() -> None:
    networks = {"local_ts": (parse_selector("10.1.0.0/16"),), "remote_ts": (parse_selector("10.2.0.0/16"),)}
    mirrored = {"local_ts": networks["remote_ts"], "remote_ts": networks["local_ts"]}
    pair = Pair(networks, mirrored, elements=[Nat("198.51.100.7")]).connect(5)
    assert facts(pair.left.events, "nat:detected") == [{"initiator": True, "responder": False}]
    assert facts(pair.right.events, "nat:detected") == [{"initiator": True, "responder": False}]
    assert pair.sa(pair.alice).path.local.port == 4500
    assert pair.sa(pair.bob).path.remote.address == "198.51.100.7"
    pair.run(25)
    assert pair.bob.mailbox.counts["keepalive"] == 1


def test_forced_encapsulation_looks_like_a_nat() -> None:
    pair = Pair({"force_encapsulation": True}).connect(5)
    assert facts(pair.right.events, "nat:detected") == [{"initiator": True, "responder": False}]
    assert all(event.encapsulated for event in pair.right.events if event.name == "child_sa:created")  # type: ignore[attr-defined]


@pytest.mark.rfc("7296", "2.4")
def test_request_without_answer_is_repeated_with_back_off_then_given_up() -> None:
    pair = Pair(bob={"faults": Faults(silent_after="IKE_SA_INIT")}).connect()
    times = [each.time_ns for each in pair.tap.tapped if "IKE_AUTH" in each.comment]
    assert [round((after - before) / SECOND) for before, after in itertools.pairwise(times)] == [2, 4, 8, 16]
    assert names(pair.left.events)[-2:] == ["exchange:unanswered", "ike_sa:closed"]


def test_half_open_ike_sa_is_forgotten() -> None:
    pair = Pair({"faults": Faults(silent_after="IKE_SA_INIT"), "patience": Patience(retransmissions=0)}).connect(29)
    assert [sa.state for sa in pair.bob.sas.values()] == [State.INIT_ANSWERED]
    pair.run(5)
    assert not pair.bob.sas


def test_child_key_exchange_is_not_offered_in_ike_auth() -> None:
    """RFC 7296 section 1.2: IKE_AUTH has no KE payload, so a PFS policy waits for the first rekeying."""
    pair = Pair(both={"child_proposals": (Offer.esp("ENCR_AES_GCM_16-256 MODP_2048"),)}).connect()
    assert pair.established()
    assert [child.method for child in pair.alice.children] == [None]
    assert NotifyType.INVALID_KE_PAYLOAD not in pair.alice.mailbox.counts
