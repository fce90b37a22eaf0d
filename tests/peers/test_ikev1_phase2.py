from __future__ import annotations

from typing import Any

import pytest
from ikev1_pair import MOON, SUN, Pair, departures, unopened, watched

from ipsecscope.dissect.header import IsakmpFlags
from ipsecscope.dissect.ikev1.exchanges import Authentication
from ipsecscope.dissect.message import parse_message
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.config import Mode, Patience
from ipsecscope.peers.dataplane import spi_of
from ipsecscope.peers.entropy import SECOND, Entropy
from ipsecscope.peers.ikev1.config import ChildRequest, Ikev1Faults, NatTraversal, PhaseTwoOffer
from ipsecscope.peers.ikev1.states import PhaseOne
from ipsecscope.peers.installation import install_bundle
from ipsecscope.peers.packets import echo_packet, ip_packet
from ipsecscope.peers.selectors import parse_selector

PFS = PhaseTwoOffer.parse("AES_CBC-128 HMAC_SHA1_96 MODP_1024")
PLAIN = PhaseTwoOffer.parse("AES_CBC-128 HMAC_SHA1_96")
QUICK = [
    "--> QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID",
    "<-- QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID",
    "--> QUICK_MODE: HDR*, HASH",
]
SUITES = [
    "AES_CBC-256 HMAC_SHA2_512_256",
    "AES_CTR-128 HMAC_SHA2_384_192",
    "AES_GCM_16-256",
    "AES_CCM_8-128",
    "3DES HMAC_MD5_96",
    "CAMELLIA_CBC-192 AES_XCBC_96",
    "NULL HMAC_SHA1_96",
    "NULL_AUTH_AES_GMAC-128",
    "DES HMAC_RIPEMD_160_96",
    "AH HMAC_SHA2_256_128",
    "AH AES_128_GMAC",
    "AES_CBC-128 HMAC_SHA1_96 + AH HMAC_SHA2_256_128",
]


def carries_a_ping_both_ways(pair: Pair) -> bool:
    """Whether the SAs that both sides installed last fit each other."""
    sides = {}
    for side in ("initiator", "responder"):
        created = pair.named("child_sa:created", side)
        latest = [event for event in created if event.time_ns == created[-1].time_ns]
        sides[side] = install_bundle(latest, Entropy.seeded(side))
    transport = pair.initiator.config.child_mode is Mode.TRANSPORT
    ends = (MOON, SUN) if transport else ("10.1.0.5", "10.2.0.7")
    there = echo_packet(*ends, identifier=1, sequence=1, data=bytes(56))
    back = echo_packet(*ends[::-1], identifier=1, sequence=1, data=bytes(56), reply=True)
    arrived = sides["responder"].open(sides["initiator"].seal(there)).packet
    returned = sides["initiator"].open(sides["responder"].seal(back)).packet
    return (arrived, returned) == (there, back)


# -- what works -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", SUITES)
def test_quick_mode_makes_sas_of_every_suite(offer: str) -> None:
    """RFC 2409 section 5.5."""
    pair = Pair(both={"phase_2": (PhaseTwoOffer.parse(offer),)}).connect()
    assert pair.transcript[6:] == QUICK
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.PRE_SHARED_KEY) == []
    one, two = pair.named("child_sa:created")[-1], pair.named("child_sa:created", "responder")[-1]
    assert (one.spi_i, one.spi_r, one.keys, one.suite) == (two.spi_i, two.spi_r, two.keys, two.suite)
    assert (one.tsi, one.tsr) == (two.tsi, two.tsr) == (("10.1.0.0/16",), ("10.2.0.0/16",))
    assert carries_a_ping_both_ways(pair)


def test_quick_mode_with_perfect_forward_secrecy_exchanges_keys() -> None:
    pair = Pair(both={"phase_2": (PFS,)}).connect()
    assert pair.transcript[6:8] == [
        "--> QUICK_MODE: HDR*, HASH, SA, NONCE, KE, ID, ID",
        "<-- QUICK_MODE: HDR*, HASH, SA, NONCE, KE, ID, ID",
    ]
    assert carries_a_ping_both_ways(pair)
    secret = pair.named("ike_sa:secret_shared")[-1]
    assert set(secret.child_spis) == {pair.sa_i.children[0].spi_in, pair.sa_i.children[0].spi_out}


def test_bundle_of_ah_and_esp_shares_one_offer_and_nests() -> None:
    """RFC 2408 section 4.2: proposals of one number belong together."""
    pair = Pair(both={"phase_2": (PhaseTwoOffer.parse(SUITES[-1]),)}).connect()
    created = pair.named("child_sa:created")
    assert {event.protocol for event in created} == {SecurityProtocol.ESP, SecurityProtocol.AH}
    bundle = install_bundle(created, Entropy.seeded("x"))
    sealed = bundle.seal(echo_packet("10.1.0.5", "10.2.0.7", identifier=1, sequence=1))
    assert spi_of(sealed)[0] == IpProtocol.AH  # type: ignore[index]


def test_transport_mode_protects_the_hosts_themselves() -> None:
    hosts = {"local_ts": (), "remote_ts": (), "child_mode": Mode.TRANSPORT}
    pair = Pair(both=hosts).connect()
    (event,) = pair.named("child_sa:created")
    assert (event.mode, event.tsi, event.tsr) == ("transport", (MOON,), (SUN,))
    assert carries_a_ping_both_ways(pair)


def test_several_quick_modes_share_one_phase_1() -> None:
    children = [(f"10.1.{n}.0/24", f"10.2.{n}.0/24") for n in range(3)]
    one = tuple(ChildRequest(local_ts=parse_selector(a), remote_ts=parse_selector(b)) for a, b in children)
    two = tuple(ChildRequest(local_ts=each.remote_ts, remote_ts=each.local_ts) for each in one)
    pair = Pair({"children": one}, {"children": two}).connect()
    assert len(pair.named("ike_sa:established")) == 1
    assert [event.tsi for event in pair.named("child_sa:created")] == [(a,) for a, _ in children]
    assert unopened(watched(pair)) == []


@pytest.mark.parametrize(
    "text", ["10.1.0.0/16", "10.1.0.7", "10.1.0.5-10.1.0.9", "10.1.0.5[tcp/80]", "10.1.0.0/24[udp]"], ids=str
)
def test_identities_of_phase_2_are_subnets_addresses_and_ranges(text: str) -> None:
    """RFC 2407 section 4.6.2."""
    selector = (parse_selector(text),)
    pair = Pair({"local_ts": selector}, {"remote_ts": selector}).connect()
    assert len(pair.named("child_sa:created")) == 1


def test_ipv6_peers_and_networks_work_alike() -> None:
    net = [(parse_selector(f"2001:db8:{n}::/48"),) for n in (1, 2)]
    pair = Pair(
        {"address": "2001:db8::1", "remote_address": "2001:db8::2", "local_ts": net[0], "remote_ts": net[1]},
        {"address": "2001:db8::2", "remote_address": "2001:db8::1", "local_ts": net[1], "remote_ts": net[0]},
    ).connect()
    (event,) = pair.named("child_sa:created")
    assert event.tsi == ("2001:db8:1::/48",)


def test_commit_bit_makes_the_initiator_wait_for_connected() -> None:
    """RFC 2408 section 3.1."""
    pair = Pair(responder={"commit_bit": True}).connect()
    assert pair.transcript[6:] == [*QUICK, "<-- QUICK_MODE: HDR*, HASH, N(CONNECTED)"]
    flags = parse_message(pair.tap[7].data).header.flags  # type: ignore[union-attr]
    assert flags == IsakmpFlags.ENCRYPTION | IsakmpFlags.COMMIT
    created = [pair.named("child_sa:created", side)[0].time_ns for side in ("initiator", "responder")]
    assert created[0] > created[1]
    assert unopened(watched(pair)) == []


@pytest.mark.parametrize("lost", range(7, 11))
def test_commit_bit_survives_the_loss_of_any_message(lost: int) -> None:
    pair = Pair(responder={"commit_bit": True}, loses=lambda number, _: number == lost).connect(seconds=60)
    assert len(pair.named("child_sa:created")) == len(pair.named("child_sa:created", "responder")) == 1


def test_shorter_lifetime_of_the_responder_is_announced() -> None:
    """RFC 2407 section 4.5.4."""
    short = PhaseTwoOffer.parse("AES_CBC-256 HMAC_SHA2_256_128", lifetime_s=600)
    pair = Pair(responder={"phase_2": (short,)}).connect()
    assert pair.transcript[7] == "<-- QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID, N(RESPONDER_LIFETIME)"
    assert len(pair.named("child_sa:created")) == 1


# -- rekeying and endings -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [PLAIN, PFS], ids=["without PFS", "with PFS"])
def test_rekeying_a_child_makes_new_sas_and_deletes_the_old(offer: PhaseTwoOffer) -> None:
    pair = Pair(both={"phase_2": (offer,)}).connect()
    old = pair.sa_i.children[0]
    pair.initiator.rekey_child(pair.sa_i, old, pair.now)
    pair.run()
    assert pair.transcript[-1] == "--> INFORMATIONAL: HDR*, HASH, D"
    for side, sa in (("initiator", pair.sa_i), ("responder", pair.sa_r)):
        assert [event.spi_i for event in pair.named("child_sa:rekeyed", side)] == [old.spi_i]
        assert [event.spi_i for event in pair.named("child_sa:deleted", side)] == [old.spi_i]
        assert len(sa.children) == 1
    assert carries_a_ping_both_ways(pair)
    assert unopened(watched(pair)) == []


def test_lifetime_rekeys_by_itself() -> None:
    pair = Pair(both={"patience": Patience(child_lifetime=10 * SECOND)}).connect(seconds=35)
    assert len(pair.named("child_sa:created")) == 4
    assert len(pair.sa_i.children) == len(pair.sa_r.children) == 1


@pytest.mark.parametrize("side", ["initiator", "responder"])
def test_rekeying_phase_1_keeps_the_children(side: str) -> None:
    """Another main mode; phase 2 goes over to the new ISAKMP SA, whoever begins."""
    pair = Pair().connect()
    old = pair.sa_i.group_id
    spis = [child.spi_i for child in pair.sa_i.children]
    peer, sa = (pair.initiator, pair.sa_i) if side == "initiator" else (pair.responder, pair.sa_r)
    peer.rekey(sa, pair.now)
    pair.run(4)  # until the SA that was replaced is deleted
    assert pair.sa_i.group_id == pair.sa_r.group_id != old
    assert [child.spi_i for child in pair.sa_i.children] == [child.spi_i for child in pair.sa_r.children] == spis
    for vantage in ("initiator", "responder"):
        (event,) = pair.named("ike_sa:rekeyed", vantage)
        assert (event.group_id, event.successor) == (old, pair.sa_i.group_id)
        assert len(pair.named("child_sa:deleted", vantage)) == 0
    new = pair.initiator.create_child(pair.sa_i, pair.sa_i.children[0].request, pair.now)
    pair.run()
    assert new.machine is not None
    assert len(pair.sa_r.children) == 2


def test_replaced_isakmp_sa_is_deleted_only_after_a_while() -> None:
    """strongSwan moves phase 2 to the new SA in its own time; with an early Delete of the old one it loses it."""
    pair = Pair().connect()
    old = pair.sa_i
    pair.initiator.rekey(old, pair.now)
    pair.run(1)
    assert [sa.is_replaced for sa in pair.initiator.sas] == [True, False]
    assert len(pair.responder.sas) == 2
    pair.run(4)
    assert old not in pair.initiator.sas
    assert len(pair.initiator.sas) == len(pair.responder.sas) == 1
    assert len(pair.sa_r.children) == 1


def test_closing_deletes_children_first_then_the_isakmp_sa() -> None:
    pair = Pair().connect()
    pair.initiator.close(pair.sa_i, pair.now)
    pair.run()
    assert pair.transcript[9:] == ["--> INFORMATIONAL: HDR*, HASH, D"] * 2
    assert pair.initiator.sas == pair.responder.sas == []
    assert pair.named("ike_sa:closed", "responder")[0].reason == "deleted by the other side"
    correlator = watched(pair)
    assert unopened(correlator) == []


def test_delete_may_be_ignored_as_a_fault() -> None:
    pair = Pair(responder={"faults": Ikev1Faults(ignore_delete=True)}).connect()
    pair.initiator.close(pair.sa_i, pair.now)
    pair.run()
    assert len(pair.responder.sas) == 1


# -- refusals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initiator", "responder", "notify"),
    [
        ({"phase_2": (PLAIN,)}, {}, "NO_PROPOSAL_CHOSEN"),
        ({"phase_2": (PFS,)}, {"phase_2": (PLAIN,)}, "NO_PROPOSAL_CHOSEN"),
        ({"phase_2": (PLAIN,)}, {"phase_2": (PFS,)}, "NO_PROPOSAL_CHOSEN"),
        ({"child_mode": Mode.TRANSPORT}, {}, "NO_PROPOSAL_CHOSEN"),
        ({"remote_ts": (parse_selector("10.9.0.0/16"),)}, {}, "INVALID_ID_INFORMATION"),
        ({}, {"remote_ts": (parse_selector("10.1.0.0/24"),)}, "INVALID_ID_INFORMATION"),
        ({}, {"faults": Ikev1Faults(refuse_quick_mode="INVALID_KEY_INFORMATION")}, "INVALID_KEY_INFORMATION"),
        ({"faults": Ikev1Faults(malformed_quick_mode=True)}, {}, ""),
    ],
    ids=["suite", "PFS wanted", "PFS missing", "mode", "network", "narrower", "configured", "malformed"],
)
def test_quick_mode_that_does_not_fit_is_refused_and_phase_1_lives_on(
    initiator: dict[str, Any], responder: dict[str, Any], notify: str
) -> None:
    pair = Pair(initiator, responder).connect()
    assert not pair.named("child_sa:created")
    assert pair.sa_i.state is pair.sa_r.state is PhaseOne.ESTABLISHED
    assert unopened(watched(pair)) == []
    if notify:
        assert pair.transcript[7:] == [f"<-- INFORMATIONAL: HDR*, HASH, N({notify})"]
        assert [event.notify for event in pair.named("exchange:refused")] == [notify]
        assert [event.notify for event in pair.named("exchange:refused", "responder")] == [notify]


def test_first_quick_mode_works_when_a_second_is_refused() -> None:
    good = ChildRequest(local_ts=parse_selector("10.1.0.0/16"), remote_ts=parse_selector("10.2.0.0/16"))
    bad = ChildRequest(local_ts=parse_selector("10.1.0.0/16"), remote_ts=parse_selector("10.9.0.0/16"))
    pair = Pair({"children": (good, bad)}).connect()
    assert len(pair.named("child_sa:created")) == 1
    assert len(pair.named("exchange:refused")) == 1


# -- dead peer detection, RFC 3706 ----------------------------------------------------------------------------------------


def test_dpd_asks_when_idle_and_is_answered() -> None:
    pair = Pair({"patience": Patience(dpd_after=10 * SECOND)}).connect(seconds=35)
    asked = [line for line in pair.transcript if "R_U_THERE" in line]
    assert (
        asked
        == [
            "--> INFORMATIONAL: HDR*, HASH, N(R_U_THERE)",
            "<-- INFORMATIONAL: HDR*, HASH, N(R_U_THERE_ACK)",
        ]
        * 3
    )
    assert pair.sa_i.state is PhaseOne.ESTABLISHED


def test_dpd_without_answer_ends_the_sa() -> None:
    patience = Patience(dpd_after=10 * SECOND, retransmissions=3)
    pair = Pair({"patience": patience}, {"faults": Ikev1Faults(ignore_dpd=True)}).connect(seconds=60)
    assert sum("R_U_THERE" in line for line in pair.transcript) == 4
    assert pair.named("ike_sa:closed")[0].reason == "the other side is dead"
    assert pair.named("child_sa:deleted")


def test_dpd_is_not_asked_of_a_peer_that_did_not_announce_it() -> None:
    pair = Pair({"patience": Patience(dpd_after=10 * SECOND)}, {"dpd": False}).connect(seconds=60)
    assert not any("R_U_THERE" in line for line in pair.transcript)


def test_initial_contact_ends_older_sas() -> None:
    """RFC 2407 section 4.6.3.3: the rebooted initiator says that it knows of nothing."""
    pair = Pair({"initial_contact": True}).connect()
    first = pair.sa_r.group_id
    pair.initiator.sas.clear()  # a reboot
    pair.initiator.connect(pair.now)
    pair.run()
    assert "ID, HASH, N(INITIAL_CONTACT)" in pair.transcript[13]
    assert [event.group_id for event in pair.named("ike_sa:closed", "responder")] == [first]
    assert len(pair.responder.sas) == 1


# -- NAT traversal, RFC 3947 -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", list(NatTraversal), ids=lambda each: each.name)
def test_nat_floats_to_port_4500_and_encapsulates(version: NatTraversal) -> None:
    pair = Pair(both={"nat_traversal": (version,)}, nat=True).connect()
    ports = [sent.destination.port for sent in pair.tap if sent.sender == "initiator"]
    assert ports == [500, 500, 4500, 4500, 4500]
    for side in ("initiator", "responder"):
        (event,) = pair.named("nat:detected", side)
        assert event.data == {"initiator": True, "responder": False}
        assert pair.named("child_sa:created", side)[0].encapsulated
    correlator = watched(pair)
    assert unopened(correlator) == []
    assert departures(correlator, Authentication.PRE_SHARED_KEY) == []


def test_forced_encapsulation_pretends_a_nat() -> None:
    pair = Pair(responder={"force_encapsulation": True}).connect()
    assert pair.named("nat:detected")[0].data == {"initiator": False, "responder": True}
    assert pair.tap[-1].destination.port == 4500


def test_without_common_version_nothing_floats() -> None:
    pair = Pair({"nat_traversal": (NatTraversal.DRAFT_03,)}, {"nat_traversal": (NatTraversal.RFC_3947,)}, nat=True)
    pair.connect()
    assert {sent.destination.port for sent in pair.tap if sent.sender == "initiator"} == {500}
    assert not any("NAT-D" in line for line in pair.transcript)


@pytest.mark.parametrize("version", [NatTraversal.RFC_3947, NatTraversal.DRAFT_03], ids=lambda each: each.name)
def test_transport_mode_behind_a_nat_tells_the_original_addresses(version: NatTraversal) -> None:
    """RFC 3947 section 5.2."""
    selectors = {"local_ts": (parse_selector(MOON),), "remote_ts": (parse_selector(SUN),)}
    policy = {"local_ts": (parse_selector(SUN),), "remote_ts": (parse_selector(MOON),)}
    both = {"child_mode": Mode.TRANSPORT, "nat_traversal": (version,)}
    pair = Pair(selectors, policy, both=both, nat=True).connect()
    assert "--> QUICK_MODE: HDR*, HASH, SA, NONCE, ID, ID, NAT-OA, NAT-OA" in pair.transcript
    assert len(pair.named("child_sa:created")) == 1


def test_keepalives_hold_the_translation_open() -> None:
    """RFC 3948 section 2.3."""
    pair = Pair(nat=True).connect(seconds=65)
    assert [sent.data for sent in pair.tap[9:]] == [b"\xff"] * 3


def test_esp_in_udp_is_handed_to_the_data_plane() -> None:
    pair = Pair(nat=True).connect()
    packet = bytes(range(1, 40))
    pair.responder.receive_datagram(packet, pair.sa_r.path, pair.now)
    pair.run()
    assert pair.named("esp:received", "responder")[0].packet == packet


def test_ip_packet_of_an_installed_pair_carries_its_spi() -> None:
    pair = Pair().connect()
    bundle = install_bundle(pair.named("child_sa:created"), Entropy.seeded("x"))
    sealed = bundle.seal(ip_packet("10.1.0.1", "10.2.0.1", IpProtocol.UDP, bytes(8)))
    (child,) = pair.sa_r.children
    assert spi_of(sealed) == (IpProtocol.ESP, int.from_bytes(child.spi_in, "big"))
