"""EAP-TLS inside IKE_AUTH (RFC 5216, RFC 9190): handshakes, fragments, alerts, and the key that AUTH is made with."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers_pair import ALICE, BOB, Pair

from ipsecscope.capture.files import open_capture
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import Msk, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.eap import TlsFlags, TlsMethod, data_class
from ipsecscope.dissect.registry.eap import EapType
from ipsecscope.peers.authority import Authority, KeyKind
from ipsecscope.peers.config import AuthMethod, Credentials, EapMethod, Identity, TlsVersion
from ipsecscope.peers.eap_tls import FRAGMENT_SIZE, MAX_MESSAGE, TlsEnd, TlsTrust, is_empty
from ipsecscope.peers.entropy import EPOCH, Entropy
from ipsecscope.peers.events import MskDerived
from ipsecscope.peers.scenario import Generated
from ipsecscope.peers.scenarios import SCENARIOS, generate
from ipsecscope.peers.settings import SettingsFileError, parse_settings
from ipsecscope.timeline.analysis import analyze

CA = Authority("Test CA", Entropy.seeded("test"))
OTHER_CA = Authority("Other CA", Entropy.seeded("other"))
VERSIONS = [pytest.param(TlsVersion.TLS_1_2, id="tls-1.2"), pytest.param(TlsVersion.TLS_1_3, id="tls-1.3")]
UNREPEATABLE = [scenario.name for scenario in SCENARIOS if not scenario.is_repeatable]


def holder(
    identity: Identity,
    *,
    method: AuthMethod = AuthMethod.SIGNATURE,
    authority: Authority = CA,
    extra: tuple[bytes, ...] = (),
    user: str = "",
    **dates: int,
) -> dict[str, Any]:
    issued = authority.issue(identity, KeyKind.ED25519, **dates)
    own = Credentials(
        method=method,
        private_key=issued.private_key,
        certificates=(*issued.certificates, *extra),
        eap_method=EapMethod.TLS,
        user=user or str(identity),
    )
    return {"credentials": own, "authorities": (CA.certificate,)}


def client(**changes: Any) -> dict[str, Any]:
    who = changes.pop("identity", ALICE)
    return {**holder(who, method=AuthMethod.EAP, **changes), "remote_methods": (AuthMethod.SIGNATURE,)}


def pair(alice: dict[str, Any] | None = None, bob: dict[str, Any] | None = None, **both: Any) -> Pair:
    gateway = {**holder(BOB), "remote_methods": (AuthMethod.EAP,), "eap_methods": (EapMethod.TLS,), **(bob or {})}
    return Pair(alice or client(), gateway, both=both).connect()


def keys_of(made: Pair) -> list[Secret]:
    return [each.msk for side in (made.left, made.right) for each in side.events if isinstance(each, MskDerived)]


@pytest.mark.rfc("5216", "2.1.1")
@pytest.mark.parametrize(("version",), VERSIONS)
def test_eap_tls_authenticates_both_sides_with_one_key(version: TlsVersion) -> None:
    made = pair(newest_tls=version)
    assert made.established()
    assert made.agrees()
    first, second = keys_of(made)
    assert first == second
    assert len(first) == 64
    assert made.transcript()[2:4] == [
        "IKE_AUTH request 1: HDR, SK {IDi, CERTREQ, IDr, SA, TSi, TSr}",
        "IKE_AUTH response 1: HDR, SK {IDr, CERT, AUTH, EAP}",
    ]
    assert made.transcript()[-2:] == [
        f"IKE_AUTH request {made.sa(made.alice).sent.next_id - 1}: HDR, SK {{AUTH}}",
        f"IKE_AUTH response {made.sa(made.alice).sent.next_id - 1}: HDR, SK {{AUTH, SA, TSi, TSr}}",
    ]


@pytest.mark.rfc("5216", "2.1.5")
@pytest.mark.parametrize(("version",), VERSIONS)
def test_eap_tls_sends_long_chains_in_fragments(version: TlsVersion) -> None:
    """Certificates that help nobody make both flights longer than one EAP message."""
    ballast = tuple(OTHER_CA.issue(Identity.parse(f"{n}.example"), KeyKind.ED25519).certificates[0] for n in range(9))
    short, long = pair(newest_tls=version), pair(client(extra=ballast), holder(BOB, extra=ballast), newest_tls=version)
    assert long.established()
    assert sum(map(len, ballast)) > 2 * FRAGMENT_SIZE
    assert len(long.transcript()) >= len(short.transcript()) + 8  # two more fragments each way, each acknowledged


def without_extension(flight: bytes, extension: bytes) -> bytes:
    """A TLS 1.2 server's first flight without an extension of its ServerHello, lengths made right (RFC 5246)."""
    record, hello = bytearray(flight[:5]), bytearray(flight[5 : 5 + int.from_bytes(flight[3:5], "big")])
    assert (record[0], hello[0], hello.count(extension)) == (22, 2, 1)
    extensions = 4 + 34 + 1 + hello[38] + 3  # header, version and random, session id, cipher suite and compression
    del hello[hello.index(extension) : hello.index(extension) + len(extension)]
    for start, size, counted, head in ((1, 3, hello, 4), (extensions, 2, hello, extensions + 2), (3, 2, record, 0)):
        length = len(hello) - head
        counted[start : start + size] = length.to_bytes(size, "big")
    return bytes(record) + bytes(hello) + flight[5 + int.from_bytes(flight[3:5], "big") :]


@pytest.mark.rfc("5746", "4.1")
def test_eap_tls_goes_on_with_a_server_that_does_not_know_secure_renegotiation() -> None:
    # strongSwan 5.9 is such a server. OpenSSL hangs up on it unless told that nothing will be renegotiated.
    newest = TlsVersion.TLS_1_2
    trust = {name: TlsTrust((CA.certificate,), (name,), EPOCH) for name in (ALICE, BOB)}
    alice = TlsEnd(client()["credentials"], is_server=False, newest=newest)
    bob = TlsEnd(holder(BOB)["credentials"], is_server=True, newest=newest)
    hello = TlsMethod.parse(alice.take(TlsMethod.parse(bob.start()), trust[BOB]) or b"")
    flight = TlsMethod.parse(bob.take(hello, trust[ALICE]) or b"").tls_data
    bare = without_extension(flight, bytes.fromhex("ff01 0001 00"))
    answer = alice.take(TlsMethod(eap_type=EapType.TLS, tls_data=bare), trust[BOB])
    assert alice.why == ""
    assert TlsMethod.parse(answer or b"").tls_data[:1] == b"\x16"  # a handshake message, no alert


def test_eap_tls_method_is_found_by_nak() -> None:
    assert pair(bob={"eap_methods": (EapMethod.MSCHAPV2, EapMethod.TLS)}).established()
    assert not pair(bob={"eap_methods": (EapMethod.MSCHAPV2,)}).established()


@pytest.mark.parametrize(("version",), VERSIONS)
@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        pytest.param(client(authority=OTHER_CA), {}, id="client of another authority"),
        pytest.param(client(not_after=EPOCH), {}, id="client certificate expired"),
        pytest.param(client(not_before=EPOCH + 10**15), {}, id="client certificate not valid yet"),
        pytest.param(client(identity=Identity.parse("eve.example"), user=str(ALICE)), {}, id="certificate of another"),
        pytest.param({**client(), "authorities": (OTHER_CA.certificate,)}, {}, id="client trusts nobody here"),
        pytest.param(
            client() | {"credentials": Credentials(method=AuthMethod.EAP, eap_method=EapMethod.TLS, user="alice")},
            {},
            id="client without a certificate",
        ),
    ],
)
def test_eap_tls_with_a_certificate_that_does_not_convince_ends_both_sides(
    alice: dict[str, Any], bob: dict[str, Any], version: TlsVersion
) -> None:
    made = pair(alice, bob, newest_tls=version)
    assert not made.alice.sas
    assert not made.bob.sas
    assert not any(each.name == "ike_sa:established" for each in made.left.events)


def test_eap_tls_gateway_whose_tls_certificate_is_another_ones_is_refused() -> None:
    """The client compares it with IDr, which the gateway proved with AUTH."""
    gateway = TlsEnd(holder(Identity.parse("eve.example"))["credentials"], is_server=True)
    mine = TlsEnd(client()["credentials"], is_server=False)
    converse(gateway, mine, BOB)
    assert not mine.is_done
    assert mine.why == "the certificate is not made out to the identity"


# -- the ends without IKE ------------------------------------------------------------------------------------------


def trust(*identities: Identity) -> TlsTrust:
    return TlsTrust((CA.certificate,), identities, EPOCH)


def content(data: bytes) -> Any:
    found = data_class(data)
    return None if found is None else found.parse(data)


def converse(server: TlsEnd, peer: TlsEnd, gateway: Identity = BOB) -> list[bytes]:
    """The packets that both ends exchange until everything is said."""
    said = [server.start()]
    for _ in range(40):
        answer = peer.take(content(said[-1]), trust(gateway))
        assert answer is not None
        said.append(answer)
        if is_empty(answer) and server.is_over:
            return said
        request = server.take(content(answer), trust(ALICE))
        assert request is not None
        said.append(request)
    raise AssertionError("it does not end")


def ends() -> tuple[TlsEnd, TlsEnd]:
    return TlsEnd(holder(BOB)["credentials"], is_server=True), TlsEnd(client()["credentials"], is_server=False)


@pytest.mark.rfc("9190", "2.5")
def test_tls_1_3_ends_with_the_commitment_of_the_server() -> None:
    server, peer = ends()
    said = converse(server, peer)
    assert server.is_done
    assert peer.is_done
    assert "APPLICATION_DATA" in content(said[-2]).records
    assert server.msk == peer.msk


def test_every_fragment_is_short_and_only_the_first_of_several_says_the_length() -> None:
    ballast = tuple(OTHER_CA.issue(Identity.parse(f"{n}.example"), KeyKind.ED25519).certificates[0] for n in range(9))
    server = TlsEnd(holder(BOB, extra=ballast)["credentials"], is_server=True)
    said = [content(each) for each in converse(server, ends()[1])[::2]]
    assert all(len(each.tls_data) <= FRAGMENT_SIZE for each in said)
    several = [each for each in said if each.flags & TlsFlags.MORE_FRAGMENTS]
    assert [each for each in said if each.flags & TlsFlags.LENGTH_INCLUDED] == several[:1]
    assert several[0].tls_message_length > 2 * FRAGMENT_SIZE


@given(data=st.binary(max_size=300), more=st.booleans(), client_side=st.booleans())
def test_hostile_tls_never_raises_and_never_convinces(data: bytes, more: bool, client_side: bool) -> None:
    end = ends()[1 if client_side else 0]
    flags = TlsFlags.MORE_FRAGMENTS if more else TlsFlags(0)
    for _ in range(3):
        end.take(TlsMethod(eap_type=EapType.TLS, flags=flags, tls_data=data), trust(ALICE, BOB))
    assert not end.is_done
    assert not end.msk


def test_endless_fragments_are_refused() -> None:
    end = ends()[0]
    piece = TlsMethod(eap_type=EapType.TLS, flags=TlsFlags.MORE_FRAGMENTS, tls_data=bytes(FRAGMENT_SIZE))
    answers = [end.take(piece, trust(ALICE)) for _ in range(MAX_MESSAGE // FRAGMENT_SIZE + 1)]
    assert answers[-2] is not None
    assert answers[-1] is None


def test_content_of_another_method_is_out_of_step() -> None:
    assert ends()[0].take(None, trust(ALICE)) is None


# -- the settings --------------------------------------------------------------------------------------------------


def test_settings_of_an_eap_tls_client_need_its_key_and_certificate(tmp_path: Path) -> None:
    text = '[local]\nauth = "eap"\n{files}[eap]\nmethods = ["tls"]\nuser = "alice.example"\n'
    with pytest.raises(SettingsFileError, match=r"local\.private_key: a private key and certificates are expected"):
        parse_settings(text.format(files=""), folder=tmp_path)
    issued = CA.issue(ALICE, KeyKind.ED25519)
    (tmp_path / "key.der").write_bytes(issued.private_key.reveal())
    (tmp_path / "own.der").write_bytes(issued.certificates[0])
    files = 'private_key = "key.der"\ncertificates = ["own.der"]\n'
    found = parse_settings(text.format(files=files), folder=tmp_path).credentials
    assert (found.method, found.eap_method, found.certificates) == (AuthMethod.EAP, EapMethod.TLS, issued.certificates)
    assert found.private_key == issued.private_key


# -- the scenarios -------------------------------------------------------------------------------------------------


def analysed(generated: Generated, folder: Path, *, with_msk: bool = True) -> dict[str, bool | None]:
    path = folder / "tls.pcapng"
    path.write_bytes(generated.pcapng)
    records = [each for each in generated.keys if with_msk or not isinstance(each, Msk)]
    found = analyze([str(path)], ring=KeyRing(records)).verified
    return {name: each.verified for name, each in found.items()}


@pytest.mark.parametrize("name", ["ikev2-eap-tls", "ikev2-eap-tls-1-2", "ikev2-eap-mschapv2"])
def test_keys_of_the_scenario_verify_every_proof_through_the_msk(name: str, tmp_path: Path) -> None:
    generated = generate(name)
    assert list(analysed(generated, tmp_path).values()) == [True]
    assert list(analysed(generated, tmp_path, with_msk=False).values()) == [None]


def test_wrong_msk_verifies_nothing(tmp_path: Path) -> None:
    generated, other = generate("ikev2-eap-tls"), generate("ikev2-eap-tls")
    stranger = tuple(each for each in other.keys if isinstance(each, Msk))
    assert stranger
    mixed = tuple(each for each in generated.keys if not isinstance(each, Msk)) + stranger
    path = tmp_path / "tls.pcapng"
    path.write_bytes(generated.pcapng)
    (found,) = analyze([str(path)], ring=KeyRing(mixed)).verified.values()
    assert found.verified is False


def frames(generated: Generated) -> list[tuple[int | None, int]]:
    return [(frame.time_ns, len(frame.data)) for frame in open_capture(io.BytesIO(generated.pcapng)).frames()]


@pytest.mark.parametrize("name", UNREPEATABLE)
def test_scenario_with_tls_inside_repeats_itself_in_structure(name: str) -> None:
    one, two = generate(name), generate(name)
    assert one.pcapng != two.pcapng
    assert frames(one) == frames(two)
    assert one.expected == two.expected
    kinds = [[type(each) for each in generated.keys] for generated in (one, two)]
    assert kinds[0] == kinds[1]
    assert [e for e in one.keys if isinstance(e, SaKeys)] == [e for e in two.keys if isinstance(e, SaKeys)]
