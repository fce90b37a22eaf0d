"""IKEv1 peers as gateways on the in-process network, and what others read in the capture of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
from ikev1_pair import INITIATOR, POOL, RESPONDER

from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import Origin
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.elements import Delay, Nat
from ipsecscope.peers.entropy import EPOCH, SECOND, Entropy
from ipsecscope.peers.gateway import GatewayStation
from ipsecscope.peers.ikev1.config import NatTraversal, PhaseOneMode, PhaseTwoOffer
from ipsecscope.peers.ikev1.events import IsakmpKeysDerived
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.ikev1.records import isakmp_record
from ipsecscope.peers.network import Network, Tap, write_pcapng
from ipsecscope.peers.records import key_records
from ipsecscope.peers.traffic import Idle, Ping
from ipsecscope.timeline.analysis import analyze

HOSTS = ("10.1.0.5", "10.2.0.7")
RUNS: dict[str, tuple[dict[str, Any], bool]] = {
    "main mode": ({}, False),
    "aggressive mode": ({"mode": PhaseOneMode.AGGRESSIVE}, False),
    "perfect forward secrecy": ({"phase_2": (PhaseTwoOffer.parse("AES_GCM_16-256 MODP_2048"),)}, False),
    "AH": ({"phase_2": (PhaseTwoOffer.parse("AH HMAC_SHA1_96"),)}, False),
    "NAT": ({}, True),
    "NAT, aggressive mode, draft": (
        {"mode": PhaseOneMode.AGGRESSIVE, "nat_traversal": (NatTraversal.DRAFT_02N,)},
        True,
    ),
}


class Run(msgspec.Struct):
    """What came of one run."""

    ping: Ping
    gateways: tuple[GatewayStation, GatewayStation]
    tap: Tap


def run(both: dict[str, Any], *, nat: bool) -> Run:
    client = Ikev1Peer(msgspec.structs.replace(INITIATOR, **both), Entropy.seeded("client"))
    server = Ikev1Peer(msgspec.structs.replace(RESPONDER, **both), Entropy.seeded("server"))
    ping = Ping(*HOSTS, start=EPOCH + 2 * SECOND, count=3)
    left = GatewayStation(client, Entropy.seeded("left"), [ping])
    right = GatewayStation(server, Entropy.seeded("right"), [Idle(HOSTS[1])])
    tap = Tap()
    network = Network(left, right, [*([Nat("203.0.113.9")] if nat else []), tap, Delay()])
    client.connect(EPOCH)
    network.run(10 * SECOND)
    client.close(client.sas[0], network.now)
    network.run(2 * SECOND)
    return Run(ping, (left, right), tap)


@pytest.mark.parametrize(("both", "nat"), RUNS.values(), ids=RUNS.keys())
def test_ping_goes_through_and_the_capture_opens_in_full(both: dict[str, Any], nat: bool, tmp_path: Path) -> None:
    """With the keys of the IKE SA and, for perfect forward secrecy, its secret; never with ESP keys."""
    result = run(both, nat=nat)
    assert result.ping.replies == [1, 2, 3]
    capture = tmp_path / "capture.pcapng"
    with capture.open("wb") as target:
        write_pcapng(target, [result.tap])
    events = result.gateways[0].events
    shared = [event for event in events if event.name == "ike_sa:secret_shared"]
    ring = KeyRing(key_records(shared, "peer"))
    for number, event in enumerate(events, 1):
        if isinstance(event, IsakmpKeysDerived):
            ring.add(isakmp_record(event, Origin("peer", number, "test")))
    analysis = analyze([str(capture)], ring=ring)
    (sa,) = analysis.ike_sas
    (child,) = sa.child_sas
    assert (sa.state, child.state) == ("closed", "closed")
    assert (child.tsi, child.tsr) == (("10.1.0.0/16",), ("10.2.0.0/16",))
    assert sa.nat.initiator is nat
    created = next(event for event in events if event.name == "child_sa:created")
    assert (child.spi_i, child.spi_r) == tuple(int.from_bytes(spi, "big") for spi in (created.spi_i, created.spi_r))
    results = list(analysis.traffic.values())
    assert sum(result.opened for result in results) == 6
    assert not any(result.refused for result in results)
    verdict = next(iter(analysis.verified.values()))
    assert verdict.verified is True
    assert not [detail for detail in verdict.details if detail.verdict is False]
    assert all(record.opening is None or record.opening.is_open for each in sa.exchanges for record in each.records)


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize("name", ["main mode", "NAT, aggressive mode, draft"])
def test_tshark_decrypts_every_message_and_finds_none_malformed(name: str, tmp_path: Path) -> None:
    both, nat = RUNS[name]
    result = run(both, nat=nat)
    capture = tmp_path / "capture.pcapng"
    with capture.open("wb") as target:
        write_pcapng(target, [result.tap])
    keys = next(event for event in result.gateways[0].events if isinstance(event, IsakmpKeysDerived))
    table = f"{keys.cookie_i.hex()},{keys.key.reveal().hex()}\n"
    (tmp_path / "ikev1_decryption_table").write_text(table)
    fields = ["isakmp.flag_e", "isakmp.typepayload", "_ws.malformed"]
    shown = subprocess.run(
        ["tshark", "-r", str(capture), "-Y", "isakmp", "-T", "fields", *(x for f in fields for x in ("-e", f))],
        env=os.environ | {"WIRESHARK_CONFIG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    rows = [line.split("\t") for line in shown.splitlines()]
    known = [row for row in rows if row[1]]
    assert not any(row[2] for row in rows)
    assert len(known) >= len(rows) - (nat and 3)  # tshark knows IKE by its ports, and the NAT changes them


def test_road_warrior_pings_from_its_virtual_address() -> None:
    """XAUTH, a pulled address, and the client's packets from that address."""
    client_config = msgspec.structs.replace(
        INITIATOR, user="carol", password=Secret(b"pw"), local_ts=(), xauth=True, request_config=True
    )
    server_config = msgspec.structs.replace(
        RESPONDER, users=(("carol", Secret(b"pw")),), pool=POOL, remote_ts=(), xauth=True
    )
    client, server = (Ikev1Peer(config, Entropy.seeded(config.name)) for config in (client_config, server_config))
    ping = Ping("10.3.0.1", HOSTS[1], start=EPOCH + 3 * SECOND, count=2)
    left = GatewayStation(client, Entropy.seeded("left"), [ping])
    right = GatewayStation(server, Entropy.seeded("right"), [Idle(HOSTS[1])])
    client.connect(EPOCH)
    Network(left, right, [Tap(), Delay()]).run(10 * SECOND)
    assert ping.replies == [1, 2]
