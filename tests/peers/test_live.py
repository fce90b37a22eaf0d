"""The built-in peers over real UDP sockets of loopback: handshake, ping through ESP in UDP, capture, keys, Delete."""

from __future__ import annotations

from pathlib import Path

import pytest
from live_pair import PATIENT, Live, ends

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.peers.authority import Authority, KeyKind
from ipsecscope.peers.config import Identity
from ipsecscope.peers.entropy import MILLISECOND, SECOND, Entropy, SystemClock
from ipsecscope.peers.events import ChildSaInstalled
from ipsecscope.peers.live import Wish
from ipsecscope.timeline.analysis import analyze

PSK = '[secrets]\npsk = "correct horse"\n'
USERS = '[secrets]\npsk = "correct horse"\nusers = { alice = "wonderland" }\n'
SHORT = Wish(ping="10.1.0.1", count=2, interval=50 * MILLISECOND)


def local(name: str, networks: str, more: str = "") -> str:
    return f'[local]\naddress = "127.0.0.1"\nport = 0\nnat_port = 0\nid = "{name}.example"\nnetworks = ["{networks}"]\n{more}'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a test authority: ca.der, and NAME-KIND.der with its NAME-KIND.key."""
    place = tmp_path_factory.mktemp("certificates")
    now = SystemClock().now()
    day = 86_400 * SECOND
    valid = {"not_before": now - day, "not_after": now + day}
    authority = Authority("Test CA", Entropy.seeded("live"), **valid)
    (place / "ca.der").write_bytes(authority.certificate)
    for name in ("gateway", "client"):
        for kind in (KeyKind.ECDSA_P256, KeyKind.RSA):
            issued = authority.issue(Identity.parse(f"{name}.example"), kind, bits=1024, **valid)
            (place / f"{name}-{kind}.der").write_bytes(issued.certificates[0])
            (place / f"{name}-{kind}.key").write_bytes(issued.private_key.reveal())
    return place


def certified(name: str, auth: str, kind: KeyKind) -> str:
    return f'auth = "{auth}"\ncertificates = ["{name}-{kind}.der"]\nprivate_key = "{name}-{kind}.key"\n'


AUTHORITY = 'authorities = ["ca.der"]\n'
AGGRESSIVE = '[ike]\nmode = "aggressive"\n'
XAUTH = "[xauth]\nenabled = true\n"
ALICE = 'user = "alice"\npassword = "wonderland"\n'

# name: version; of the gateway what stands in [local], in [remote], behind; the same of the client
SESSIONS = {
    "ikev2-psk": (2, ("", "", PSK), ("", "", PSK)),
    "ikev2-signature": (
        2,
        (certified("gateway", "signature", KeyKind.ECDSA_P256), AUTHORITY, ""),
        (certified("client", "signature", KeyKind.ECDSA_P256), AUTHORITY, ""),
    ),
    "ikev2-eap": (
        2,
        (certified("gateway", "signature", KeyKind.ECDSA_P256), 'auth = ["eap"]\naddresses = ["10.2.0.77"]\n', USERS),
        ('auth = "eap"\nrequest_address = true\n', AUTHORITY + 'auth = ["signature"]\n', "[eap]\n" + ALICE),
    ),
    "ikev1-main": (1, ("", "", PSK), ("", "", PSK)),
    "ikev1-aggressive": (1, ("", "", PSK), ("", "", PSK + AGGRESSIVE)),
    "ikev1-rsa": (
        1,
        (certified("gateway", "rsa", KeyKind.RSA), AUTHORITY, ""),
        (certified("client", "rsa", KeyKind.RSA), AUTHORITY, ""),
    ),
    "ikev1-xauth": (
        1,
        ("", 'addresses = ["10.2.0.77"]\n', USERS + XAUTH),
        ("request_address = true\n", "", PSK + XAUTH + ALICE),
    ),
}


def gateway_of(name: str, folder: Path, wish: Wish | None = None) -> Live:
    version, (own, other, more), _ = SESSIONS[name]
    head = f"version = {version}\n" + local("gateway", "10.1.0.0/16", own)
    return Live(
        f'{head}[remote]\nnetworks = ["10.2.0.0/16"]\n{other}{more}{PATIENT}', wish, initiates=False, folder=folder
    )


def client_of(name: str, gateway: Live, folder: Path, wish: Wish = SHORT) -> Live:
    version, _, (own, other, more) = SESSIONS[name]
    head = f"version = {version}\n" + local("client", "10.2.0.0/16", own)
    remote = f'[remote]\n{ends(gateway)}id = "gateway.example"\nnetworks = ["10.1.0.0/16"]\n'
    return Live(f"{head}{remote}{other}{more}{PATIENT}", wish, initiates=True, folder=folder)


def installed(peer: Live) -> list[tuple[int, int]]:
    return [
        (int.from_bytes(event.spi_i), int.from_bytes(event.spi_r))
        for event in peer.events
        if isinstance(event, ChildSaInstalled)
    ]


@pytest.mark.parametrize("name", SESSIONS)
def test_tunnel_is_proven_by_pings_and_by_its_capture(name: str, folder: Path, tmp_path: Path) -> None:
    gateway = gateway_of(name, folder, Wish(ping="10.2.0.77", count=1, interval=50 * MILLISECOND))
    client = client_of(name, gateway, folder).record(tmp_path / "c.pcapng", tmp_path / "c.keys")
    with gateway, client:
        client._thread.join()
    assert (client.live.failure, gateway.live.failure) == ("", "")
    assert (client.live.answered, gateway.live.answered) == (2, 1)
    assert "ike_sa:closed" in gateway.names()  # the Delete arrived

    ring = KeyRing(read_keys(tmp_path / "c.keys").records)
    found = analyze([str(tmp_path / "c.pcapng")], ring=ring)
    (ike,) = found.ike_sas
    encrypted = [record for each in ike.exchanges for record in each.records if record.encrypted]
    assert encrypted
    assert all(record.opening is not None and record.opening.is_open for record in encrypted)
    assert ike.established_ns is not None
    assert [(child.spi_i, child.spi_r) for child in ike.child_sas] == installed(client)
    results = list(found.traffic.values())
    assert (sum(each.opened for each in results), sum(each.refused for each in results)) == (6, 0)
    assert all(set(each.protocols) == {"ICMP"} for each in results)
