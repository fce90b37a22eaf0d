"""The built-in peers over real UDP sockets of loopback: handshake, ping through ESP in UDP, capture, keys, Delete."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
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
    "ikev2-eap-tls": (
        2,
        (
            certified("gateway", "signature", KeyKind.ECDSA_P256),
            AUTHORITY + 'auth = ["eap"]\n',
            '[eap]\nmethods = ["tls"]\n',
        ),
        (
            certified("client", "eap", KeyKind.ECDSA_P256),
            AUTHORITY + 'auth = ["signature"]\n',
            '[eap]\nmethods = ["tls"]\nuser = "client.example"\n',
        ),
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


# -- the same with a difference ----------------------------------------------------------------------------------------

WRONG = '[secrets]\npsk = "wrong horse"\n'
BRIEF = "[patience]\nretransmit_after_s = 0.4\nretransmissions = 1\n"


def plain(
    version: int,
    name: str,
    networks: tuple[str, str],
    remote: str = "",
    more: str = PSK,
    address: str = "127.0.0.1",
    own: str = "",
) -> str:
    return (
        f'version = {version}\n[local]\naddress = "{address}"\nport = 0\nnat_port = 0\nid = "{name}.example"\n{own}'
        f'networks = ["{networks[0]}"]\n[remote]\nnetworks = ["{networks[1]}"]\n{remote}{more}'
    )


OURS, THEIRS = ("10.1.0.0/16", "10.2.0.0/16"), ("10.2.0.0/16", "10.1.0.0/16")


def session(
    version: int,
    client: str = "",
    gateway: str = "",
    *,
    wish: Wish = SHORT,
    networks: tuple[tuple[str, str], tuple[str, str]] = (OURS, THEIRS),
    address: str = "127.0.0.1",
    secrets: tuple[str, str] = (PSK, PSK),
    patience: str = PATIENT,
    gateway_wish: Wish | None = None,
) -> tuple[Live, Live]:
    """A whole session of a gateway and a client, each with more lines in its settings; both when they are done."""
    other = f'address = "{address}"\n'
    host = plain(version, "gateway", networks[0], other, secrets[0] + gateway + patience, address)
    with Live(host, gateway_wish, initiates=False) as waiting:
        text = plain(version, "client", networks[1], ends(waiting), secrets[1] + client + patience, address)
        with Live(text, wish, initiates=True) as asking:
            asking._thread.join()
    return waiting, asking


@pytest.mark.parametrize(
    ("version", "changes", "sentence"),
    [
        (2, {"secrets": (PSK, WRONG)}, "no IKE SA was established: IKE_AUTH was refused with AUTHENTICATION_FAILED"),
        (
            2,
            {"networks": (OURS, ("10.2.0.0/16", "10.9.0.0/16"))},
            "no Child SA was created: IKE_AUTH was refused with TS_UNACCEPTABLE",
        ),
        (
            2,
            {"gateway": '[ike]\nproposals = ["ENCR_AES_GCM_16-128 PRF_HMAC_SHA2_256 MODP_2048"]\n'},
            "no IKE SA was established: IKE_SA_INIT was refused with NO_PROPOSAL_CHOSEN",
        ),
        (
            1,
            {"secrets": (PSK, WRONG), "patience": BRIEF},
            "no IKE SA was established: IDENTITY_PROTECTION stayed without an answer",
        ),
        (
            1,
            {"networks": (OURS, ("10.2.0.0/16", "10.9.0.0/16"))},
            "no Child SA was created: QUICK_MODE was refused with INVALID_ID_INFORMATION",
        ),
        (
            1,
            {"gateway": '[ike]\nproposals = ["AES_CBC-128 SHA1 MODP_2048"]\n'},
            "no IKE SA was established: IDENTITY_PROTECTION was refused with NO_PROPOSAL_CHOSEN",
        ),
        (
            2,
            {"wish": Wish(ping="10.7.0.1", count=1)},
            "no Child SA leads to 10.7.0.1",
        ),
    ],
)
def test_failure_is_one_sentence(version: int, changes: dict[str, Any], sentence: str) -> None:
    _, client = session(version, **changes)
    assert client.live.failure.partition(" (")[0] == sentence


@pytest.mark.parametrize("version", [1, 2])
def test_tunnel_over_ipv6_of_ipv6(version: int) -> None:
    networks = (("2001:db8:1::/48", "2001:db8:2::/48"), ("2001:db8:2::/48", "2001:db8:1::/48"))
    wish = Wish(ping="2001:db8:1::7", count=1)
    _, client = session(version, address="::1", networks=networks, wish=wish)
    assert (client.live.failure, client.live.answered) == ("", 1)


@pytest.mark.parametrize("version", [1, 2])
def test_transport_mode_pings_the_other_end_itself(version: int) -> None:
    mode = '[child]\nmode = "transport"\n'
    networks = (("127.0.0.1", "127.0.0.1"),) * 2
    _, client = session(version, mode, mode, networks=networks, wish=Wish(ping="127.0.0.1", count=1))
    assert (client.live.failure, client.live.answered) == ("", 1)


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("by_gateway", [False, True], ids=["by the client", "by the gateway"])
def test_pings_go_on_through_rekeyings(version: int, by_gateway: bool) -> None:
    rekeys = Wish(rekey_child=100 * MILLISECOND, rekey_ike=200 * MILLISECOND)
    pings = {"ping": "10.1.0.1", "count": 100_000, "interval": 50 * MILLISECOND}
    rekeyed = {"child_sa:rekeyed", "ike_sa:rekeyed"}
    with Live(plain(version, "gateway", OURS), rekeys if by_gateway else None, initiates=False) as gateway:
        wish = msgspec.structs.replace(Wish() if by_gateway else rekeys, **pings)
        with Live(plain(version, "client", THEIRS, ends(gateway)), wish, initiates=True) as client:
            client.wait_for(lambda: rekeyed <= set(client.names()) & set(gateway.names()))
            answered = client.live.answered
            client.wait_for(lambda: client.live.answered > answered + 1)
            ping = client.live.ping
    assert rekeyed <= set(client.names()) & set(gateway.names())
    assert ping is not None
    assert len(ping.replies) > 2
    missing = set(range(1, max(ping.replies))) - set(ping.replies)
    late = sum(each.live.counts["ESP of unknown SPIs"] for each in (client, gateway))
    assert len(missing) <= late  # what is under way while its Child SA is deleted is lost, and nothing else


@pytest.mark.parametrize("version", [1, 2])
def test_esp_travels_in_udp_also_where_nobody_claims_a_nat(version: int) -> None:
    quiet = "[ike]\nforce_encapsulation = false\n"
    _, client = session(version, quiet, quiet)
    assert "nat:detected" not in client.names()
    assert (client.live.failure, client.live.answered) == ("", 2)


def test_gateway_answers_each_of_two_clients_with_the_same_networks() -> None:
    with Live(plain(2, "gateway", OURS, "", PSK), initiates=False) as gateway:
        clients = [
            Live(plain(2, f"client{number}", THEIRS, ends(gateway), PSK), SHORT, initiates=True) for number in range(2)
        ]
        with clients[0], clients[1]:
            for client in clients:
                client._thread.join()
    assert [client.live.answered for client in clients] == [2, 2]


def test_packets_outside_the_selectors_are_not_answered() -> None:
    """The client believes in a wider network than was agreed: RFC 4301 section 5.2 has the gateway drop its packets."""
    gateway, client = session(2, networks=(("10.1.0.0/24", "10.2.0.0/16"), THEIRS), wish=Wish(ping="10.1.0.1", count=1))
    assert client.live.answered == 1
    (tunnel,) = [event for event in client.events if isinstance(event, ChildSaInstalled)]
    assert tunnel.tsr == ("10.1.0.0/24",)
    _, other = session(2, networks=(("10.1.0.0/24", "10.2.0.0/16"), THEIRS), wish=Wish(ping="10.1.7.1", count=1))
    assert other.live.failure == "no Child SA leads to 10.1.7.1"
    assert gateway.live.tunnels.counts["packets outside the selectors of their SA"] == 0
