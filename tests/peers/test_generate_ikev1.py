"""Every declared scenario of IKEv1: repeatable to the octet, opened in full by its keys, told alike by both sides."""

from __future__ import annotations

from pathlib import Path

import pytest
from played import played

from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import IkeV1Keys, SaKeys
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.dataplane import spi_of
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy
from ipsecscope.peers.events import ChildSaDeleted, ChildSaInstalled
from ipsecscope.peers.gateway import GatewayStation
from ipsecscope.peers.ikev1.config import Ikev1Config
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.scenario import LEFT_HOST, RIGHT_HOST
from ipsecscope.peers.scenarios import generate
from ipsecscope.peers.scenarios_ikev1 import IKEV1_SCENARIOS
from ipsecscope.peers.traffic import Idle, Ping
from ipsecscope.timeline.analysis import Analysis, analyze

NAMES = [scenario.name for scenario in IKEV1_SCENARIOS]
REFUSALS = {
    "ikev1-no-proposal": "NO_PROPOSAL_CHOSEN",
    "ikev1-child-no-proposal": "NO_PROPOSAL_CHOSEN",
    "ikev1-pfs-mismatch": "NO_PROPOSAL_CHOSEN",
    "ikev1-ts-mismatch": "INVALID_ID_INFORMATION",
    "ikev1-wrong-psk": "PAYLOAD_MALFORMED",
}
ENDS = {
    "ikev1-no-answer": "no answer",
    "ikev1-dead-peer": "the other side is dead",
    "ikev1-xauth-wrong-password": "the user was rejected",
    "ikev1-main-mode": "deleted by us",
    "ikev1-pfs": "deleted by us",
}
UNREADABLE = {"ikev1-wrong-psk"}  # keys that do not agree
BUNDLES = ("ah-esp-transport", "ah-esp-tunnel")


def analysed(name: str, folder: Path, *, only_ike: bool) -> Analysis:
    generated = played(name)
    path = folder / f"{name}.pcapng"
    path.write_bytes(generated.pcapng)
    ring = KeyRing([key for key in generated.keys if not (only_ike and isinstance(key, SaKeys))])
    return analyze([str(path)], ring=ring)


@pytest.mark.parametrize("name", NAMES)
def test_ikev1_scenario_with_the_same_seed_makes_the_same_bytes(name: str) -> None:
    again = generate(name)
    assert (again.pcapng, again.keys, again.expected) == (
        played(name).pcapng,
        played(name).keys,
        played(name).expected,
    )


@pytest.mark.parametrize("only_ike", [False, True], ids=["all keys", "IKE secrets only"])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in UNREADABLE])
def test_ikev1_scenario_opens_in_full(name: str, only_ike: bool, tmp_path: Path) -> None:
    analysis = analysed(name, tmp_path, only_ike=only_ike)
    encrypted = [each for sa in analysis.ike_sas for exchange in sa.exchanges for each in exchange.records]
    encrypted = [each for each in encrypted if each.encrypted]
    assert all(each.opening is not None and each.opening.is_open for each in encrypted)
    results = list(analysis.traffic.values())
    assert not any(result.refused for result in results)
    assert sum(result.opened for result in results) >= 2 * played(name).pings_answered


@pytest.mark.parametrize(("name", "notify"), REFUSALS.items(), ids=REFUSALS)
def test_ikev1_scenario_of_a_failure_shows_its_refusal(name: str, notify: str) -> None:
    refused = [event.data["notify"] for event in played(name).events if event.name == "exchange:refused"]
    assert set(refused) == {notify}


@pytest.mark.parametrize(("name", "reason"), ENDS.items(), ids=ENDS)
def test_ikev1_scenario_that_ends_says_why(name: str, reason: str) -> None:
    assert reason in [event.data["reason"] for event in played(name).left_events if event.name == "ike_sa:closed"]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {*REFUSALS, "ikev1-dead-peer"}])
def test_ikev1_scenario_events_of_both_sides_agree(name: str) -> None:
    told = {"ike_sa:established", "child_sa:created", "child_sa:rekeyed", "child_sa:deleted"}
    sides = [
        sorted(
            (event.name, event.group_id, str(event.data.get("spi_i")), str(event.data.get("spi_r")))
            for event in events
            if event.name in told
        )
        for events in (played(name).left_events, played(name).right_events)
    ]
    assert sides[0] == sides[1]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in {"ikev1-no-proposal", "ikev1-no-answer"}])
def test_ikev1_scenario_keys_hold_those_of_the_isakmp_sa(name: str) -> None:
    groups = {
        f"{keys.cookie_i.hex()}_{keys.cookie_r.hex()}"
        for keys in played(name).keys
        if isinstance(keys, IkeV1Keys) and keys.cookie_i and keys.cookie_r
    }
    told = {event.group_id for event in played(name).left_events if event.name == "ike_sa:keys_derived"}
    assert groups == told != set()


# -- bundles -----------------------------------------------------------------------------------------------------------


def gateways(name: str) -> tuple[GatewayStation, GatewayStation]:
    """Two data planes with the SAs of a scenario's quick mode."""
    peers = [Ikev1Peer(Ikev1Config(), Entropy.seeded(end)) for end in ("left", "right")]
    ping = Ping(LEFT_HOST, RIGHT_HOST, start=EPOCH, count=1)
    left = GatewayStation(peers[0], Entropy.seeded("left"), [ping])
    right = GatewayStation(peers[1], Entropy.seeded("right"), [Idle(RIGHT_HOST)])
    for station, events in ((left, played(name).left_events), (right, played(name).right_events)):
        for event in events:
            if isinstance(event, ChildSaInstalled):
                station.heard(event)
    return left, right


def test_gateway_nests_esp_in_ah_and_answers() -> None:
    left, right = gateways("ah-esp-tunnel")
    left.handle_timer(EPOCH)
    ((packet, story),) = left.packets_to_send(EPOCH)
    assert spi_of(packet) is not None
    assert packet[9] == IpProtocol.AH
    assert packet[20] == IpProtocol.ESP  # the next header of AH
    assert story.startswith("AH SPI")
    assert "around ESP SPI" in story
    right.receive_packet(packet, EPOCH)
    ((answer, _),) = right.packets_to_send(EPOCH + SECOND)
    left.receive_packet(answer, EPOCH + SECOND)
    assert (left.counts["accepted"], right.counts["accepted"]) == (1, 1)


def test_gateway_does_not_accept_what_is_inside_a_bundle_alone() -> None:
    left, right = gateways("ah-esp-tunnel")
    for event in played("ah-esp-tunnel").left_events:
        if isinstance(event, ChildSaInstalled) and event.protocol == SecurityProtocol.AH:
            left.heard(ChildSaDeleted(**{name: getattr(event, name) for name in ChildSaDeleted.__struct_fields__}))
    alone = next(
        event
        for event in played("ah-esp-tunnel").left_events
        if isinstance(event, ChildSaInstalled) and event.protocol == SecurityProtocol.ESP
    )
    left.heard(alone)
    left.handle_timer(EPOCH)
    ((packet, _),) = left.packets_to_send(EPOCH)
    assert packet[9] == IpProtocol.ESP
    right.receive_packet(packet, EPOCH)
    assert right.counts["packets of unknown SAs"] == 1


@pytest.mark.parametrize("protocol", [SecurityProtocol.AH, SecurityProtocol.ESP], ids=str)
def test_gateway_forgets_a_bundle_when_one_of_its_sas_is_deleted(protocol: SecurityProtocol) -> None:
    left, _ = gateways("ah-esp-tunnel")
    event = next(
        event
        for event in played("ah-esp-tunnel").left_events
        if isinstance(event, ChildSaInstalled) and event.protocol == protocol
    )
    left.heard(ChildSaDeleted(**{name: getattr(event, name) for name in ChildSaDeleted.__struct_fields__}))
    left.handle_timer(EPOCH)
    assert list(left.packets_to_send(EPOCH)) == []
    assert left.counts["packets without a Child SA"] == 1


@pytest.mark.parametrize("name", BUNDLES)
def test_bundle_capture_has_two_children_of_one_quick_mode(name: str, tmp_path: Path) -> None:
    (sa,) = analysed(name, tmp_path, only_ike=True).ike_sas
    assert {child.protocol for child in sa.child_sas} == {"AH", "ESP"}
    assert {child.mode for child in sa.child_sas} == {name.removeprefix("ah-esp-")}
