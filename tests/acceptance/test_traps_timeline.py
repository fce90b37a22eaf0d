"""Traps of identity and life: which datagrams are one exchange, which exchanges one SA, and how it ended."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
from packets import A, B
from staged_captures import (
    IKE_SA,
    KE,
    SPI_I,
    SPI_R,
    Wire,
    codes,
    message,
    nonce,
    notify,
    played,
    report,
    sealed,
    tree,
)

from ipsecscope.capture.files import open_capture
from ipsecscope.dissect import ikev2, registry
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.reports.document import to_json

STRONGSWAN = bytes.fromhex("882fe56d6fd20dbc2251613b2ebe5beb")
TESTS = Path(__file__).resolve().parent.parent


def outcomes(path: Path) -> list[tuple[str, str]]:
    (sa,) = report(path).ike_sas
    return [(each.type, each.outcome) for each in sa.exchanges]


def test_trap_t04_cookie_and_invalid_ke_attempts_are_one_sa(tmp_path: Path) -> None:
    wire = Wire().udp(message(IKE_SA, KE, nonce(1), spi_r=bytes(8)))
    cookie = notify(NotifyType.COOKIE, b"c" * 16)
    wire.udp(message(cookie, spi_r=bytes(8), flags=0x20), back=True)
    wire.udp(message(cookie, IKE_SA, KE, nonce(1), spi_r=bytes(8)))
    wire.udp(message(notify(NotifyType.INVALID_KE_PAYLOAD, b"\0\x0e"), spi_r=b"refusing", flags=0x20), back=True)
    wire.udp(message(cookie, IKE_SA, KE, nonce(3), spi_r=bytes(8)))
    wire.udp(message(IKE_SA, KE, nonce(2), flags=0x20), back=True)
    assert outcomes(wire.write(tmp_path / "a.pcap")) == [
        ("IKE_SA_INIT", "retried"),
        ("IKE_SA_INIT", "retried"),
        ("IKE_SA_INIT", "completed"),
    ]


def test_trap_t06_both_ends_number_their_requests_from_zero(tmp_path: Path) -> None:
    wire = Wire().handshake().udp(message(sealed(5), kind=37, mid=0, flags=0), back=True)
    wire.udp(message(sealed(6), kind=37, mid=0, flags=0x28))
    (sa,) = report(wire.write(tmp_path / "a.pcap")).ike_sas
    probe = sa.exchanges[2]
    assert (probe.initiated_by, probe.outcome, probe.message_id) == ("responder", "completed", 0)


def test_trap_t07_capture_from_the_middle_and_answers_first_make_a_partial_sa(tmp_path: Path) -> None:
    wire = Wire().udp(message(sealed(2), kind=35, mid=1, flags=0x20), back=True)
    wire.udp(message(sealed(4), kind=37, mid=2, flags=0x20), back=True).udp(message(sealed(3), kind=37, mid=2))
    (sa,) = report(wire.write(tmp_path / "a.pcap")).ike_sas
    assert not sa.handshake_seen
    assert [(each.type, each.outcome) for each in sa.exchanges] == [
        ("IKE_AUTH", "completed"),
        ("INFORMATIONAL", "completed"),
    ]


@pytest.mark.parametrize("exchange", sorted(range(34, 45)))
def test_trap_t10_every_exchange_of_the_registry_is_accepted(tmp_path: Path, exchange: int) -> None:
    fragment = Payload(ikev2.EncryptedFragment(fragment_number=1, total_fragments=1, data=bytes(60)))
    path = Wire().init().udp(message(fragment, kind=exchange, mid=1)).write(tmp_path / "a.pcap")
    found = report(path)
    assert found.ike_sas[0].exchanges[-1].type == str(ExchangeType(exchange))
    assert not {note.kind for note in found.notes} & {"header.exchange-unknown", "payload.malformed", "payload.unknown"}


def test_trap_t14_fragments_of_two_sas_with_one_message_id_stay_apart(tmp_path: Path) -> None:
    def fragment(number: int, octet: int, spi_r: bytes) -> bytes:
        body = ikev2.EncryptedFragment(fragment_number=number, total_fragments=2, data=bytes([octet]) * 60)
        return message(Payload(body), kind=35, mid=1, spi_i=spi_r[::-1], spi_r=spi_r)

    wire = Wire()
    for number in (2, 1):
        wire.udp(fragment(number, 1, SPI_R)).udp(fragment(number, 2, b"another!"))
    first, second = report(wire.write(tmp_path / "a.pcap")).ike_sas
    assert [each.frames.request for each in first.exchanges] == [[1, 3]]
    assert [each.frames.request for each in second.exchanges] == [[2, 4]]


def test_trap_t27_moved_initiator_is_followed_by_its_spis(shared: Path) -> None:
    folder = shared / "captures/lab/xfrm-ikev2-mobike"
    found = report(folder / "capture.pcap", folder / "keys.json")
    (sa,) = found.ike_sas
    assert {address.rpartition(":")[0] for address in sa.initiator.addresses} == {"192.0.2.10", "192.0.2.11"}
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.packets_opened, found.keys.packets_refused) == (8, 8, 0)
    assert "UPDATE_SA_ADDRESSES" in {name for each in sa.exchanges for name in each.notifies}
    (child,) = sa.child_sas
    assert {flow.id for flow in found.flows} == set(child.flows)
    assert {flow.child_sa for flow in found.flows} == {child.id}
    assert {flow.binding for flow in found.flows} == {"spi"}


@pytest.mark.parametrize(
    ("scenario", "expected"), [("xfrm-ikev2-nat-t", (True, False)), ("xfrm-ikev2-ipv6-outer", (False, False))]
)
def test_trap_t18_nat_is_told_from_the_hashes(shared: Path, scenario: str, expected: tuple[bool, bool]) -> None:
    sa = report(shared / "captures/lab" / scenario / "capture.pcap").ike_sas[0]
    assert (sa.nat.initiator, sa.nat.responder) == expected
    assert not sa.nat.forced


def test_trap_t18_forced_encapsulation_is_not_a_nat(tmp_path: Path) -> None:
    path, _ = played("ikev2-forced-encapsulation", tmp_path)
    (sa,) = report(path).ike_sas
    assert sa.nat.forced is True
    assert sa.nat_t


def test_trap_t30_auth_method_65001_is_xauth_where_no_vendor_says_otherwise(shared: Path) -> None:
    sa = report(shared / "captures/lab/ikev1-xauth-modecfg-aggressive/capture.pcap").ike_sas[0]
    assert (sa.auth.initiator, sa.auth.responder) == ("XAUTH", "PSK")


@pytest.mark.parametrize(
    ("vendor", "name"), [(STRONGSWAN, "USE_BEET_MODE"), (b"", "UNKNOWN_40961")], ids=["known", "unknown"]
)
def test_trap_t31_private_notify_40961_is_named_by_the_vendor(tmp_path: Path, vendor: bytes, name: str) -> None:
    """BEET mode where strongSwan's Vendor ID was seen; a number where nobody said who is talking."""
    bodies = (ikev2.VendorId(data=vendor),) if vendor else ()
    init = message(IKE_SA, KE, nonce(1), *bodies, notify(NotifyType(40961)), spi_r=bytes(8))
    (sa,) = report(Wire().udp(init).write(tmp_path / "a.pcap")).ike_sas
    assert sa.exchanges[0].notifies == [name]


@pytest.mark.parametrize(
    "data",
    [bytes(4), b"\0\0\0\x03" + bytes(8), b"\x21\0\0\x04" * 600, b"\x21\0\xff\xff" + bytes(20), b""],
    ids=["length-0", "length-3", "loop-of-empty", "overrun", "nothing"],
)
@pytest.mark.parametrize("version", [0x10, 0x20], ids=["v1", "v2"])
def test_trap_t34_hostile_payload_lengths_end_in_notes(tmp_path: Path, data: bytes, version: int) -> None:
    whole = message(
        next_payload=33 if version == 0x20 else 13, spi_r=bytes(8), version=version, kind=34 if version == 0x20 else 2
    )
    head = whole[:24] + (28 + len(data)).to_bytes(4, "big")
    path = Wire().udp(head + data).write(tmp_path / "a.pcap")
    found = report(path)
    assert found.capture.messages.ikev1 + found.capture.messages.ikev2 == 1
    assert "internal.dissector-bug" not in {note.kind for note in found.notes}
    assert {note.severity for note in found.notes} & {"warn", "error"}
    assert tree(path)


def registries() -> list[type[CodePoint]]:
    found: dict[type[CodePoint], None] = {}
    folder = Path(inspect.getfile(registry)).parent
    for path in sorted(folder.glob("*.py")):
        module = __import__(f"ipsecscope.dissect.registry.{path.stem}", fromlist=["*"])
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, CodePoint) and value is not CodePoint:
                found[value] = None
    return list(found)


def test_trap_t35_no_name_has_a_tab_or_any_other_blank() -> None:
    names = [(each.__name__, str(point)) for each in registries() for point in each]
    assert len(names) > 500
    assert [name for name in names if re.search(r"\s", name[1])] == []


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    assert len(names) == len(set(names)), names
    return dict(pairs)


@pytest.mark.parametrize("scenario", ["ikev2-many-proposals", "ikev1-xauth-modecfg-aggressive", "ss6-mlkem-ike-rekey"])
def test_trap_t35_json_has_no_duplicate_keys(shared: Path, scenario: str) -> None:
    folder = shared / "captures/lab" / scenario
    data = to_json(report(folder / "capture.pcap", folder / "keys.json"))
    assert json.loads(data, object_pairs_hook=without_duplicates)["ike_sas"]


@pytest.mark.parametrize("version", [0x21, 0x30, 0x11], ids=["minor", "major-3", "v1-minor"])
def test_trap_t37_other_versions_and_odd_lengths_are_read_and_said(tmp_path: Path, version: int) -> None:
    wire = Wire().udp(
        message(IKE_SA, nonce(1, size=17), spi_r=bytes(8), version=version, kind=34 if version >= 0x20 else 2)
    )
    wire.udp(message(notify(NotifyType.INVALID_MAJOR_VERSION, b"\x20"), flags=0x20), back=True)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert "header.version" in {note.kind for note in found.notes}
    assert "INVALID_MAJOR_VERSION" in {name for sa in found.ike_sas for each in sa.exchanges for name in each.notifies}


def test_trap_t38_simultaneous_initiation_makes_two_sas(tmp_path: Path) -> None:
    """Both ends begin at the same time: two IKE SAs with initiators of their own, and both are shown."""
    wire = Wire()
    mine, theirs = {"spi_i": SPI_I, "spi_r": SPI_R}, {"spi_i": b"theirs i", "spi_r": b"theirs r"}
    wire.udp(message(IKE_SA, KE, nonce(1), **(mine | {"spi_r": bytes(8)})))
    wire.udp(message(IKE_SA, KE, nonce(2), **(theirs | {"spi_r": bytes(8)})), back=True)
    wire.udp(message(IKE_SA, KE, nonce(3), flags=0x20, **mine), back=True)
    wire.udp(message(IKE_SA, KE, nonce(4), flags=0x20, **theirs))
    for spis, back in ((mine, False), (theirs, True)):
        wire.udp(message(sealed(1 + back), kind=35, mid=1, **spis), back=back)
        wire.udp(message(sealed(3 + back), kind=35, mid=1, flags=0x20, **spis), back=not back)
    first, second = report(wire.write(tmp_path / "a.pcap")).ike_sas
    assert (first.initiator.address, second.initiator.address) == (A, B)
    for sa in (first, second):
        assert [(each.type, each.outcome) for each in sa.exchanges] == [
            ("IKE_SA_INIT", "completed"),
            ("IKE_AUTH", "completed"),
        ]
        assert (sa.state, sa.rekeys) == ("established", None)


def test_trap_t38_simultaneous_child_rekey_shows_both_and_who_lost(tmp_path: Path) -> None:
    path, keys = played("ikev2-simultaneous-child-rekey", tmp_path)
    (plain,) = report(path).ike_sas
    crossing = [each for each in plain.exchanges if each.type == "CREATE_CHILD_SA"]
    assert [(each.initiated_by, each.outcome) for each in crossing] == [
        ("initiator", "completed"),
        ("responder", "completed"),
    ]
    found = report(path, records=keys)
    assert "LIFE-003" in codes(found)
    old, *new = found.ike_sas[0].child_sas
    assert old.state == "rekeyed"
    assert {child.rekeys for child in new} == {old.id}
    assert sorted(child.state for child in new) == ["closed", "established"]
    (loser,) = [child for child in new if child.state == "closed"]
    assert loser.deleted_at is not None


def test_trap_t38_simultaneous_ike_rekey_closes_the_loser_and_keeps_the_children(tmp_path: Path) -> None:
    path, keys = played("ikev2-simultaneous-ike-rekey", tmp_path)
    found = report(path, records=keys)
    old, *new = found.ike_sas
    assert old.state == "rekeyed"
    crossing = [each for each in old.exchanges if each.type == "CREATE_CHILD_SA"]
    assert sorted(each.initiated_by for each in crossing) == ["initiator", "responder"]
    assert [(sa.rekeys, sa.state) for sa in new] == [(old.id, "closed"), (old.id, "established")]  # loser, winner
    assert [sa.closed_at is not None for sa in new] == [True, False]
    assert {child.state for child in old.child_sas} == {"established"}  # the winner inherited them


def test_trap_t39_rekeyed_ike_sa_is_a_link_and_its_children_go_on(shared: Path) -> None:
    folder = shared / "captures/lab/xfrm-ikev2-ike-rekey"
    for keys, basis in (((), "inferred"), ((folder / "keys.json",), "decrypted")):
        old, new = report(folder / "capture.pcap", *keys).ike_sas
        assert (new.rekeys, new.rekeys_basis) == (old.id, basis)
        assert old.state == "rekeyed"
        assert min(each.message_id for each in new.exchanges) == 0


def test_trap_t40_delete_is_an_end_only_when_it_was_read(tmp_path: Path) -> None:
    """Deleted: with keys the SA is closed and dated; without keys nothing claims more than the sizes tell."""
    path, keys = played("ikev2", tmp_path)
    *_, last = report(path, records=keys).ike_sas
    assert (last.state, last.basis) == ("closed", "decrypted")
    assert last.closed_at is not None
    *_, guessed = report(path).ike_sas
    assert (guessed.state, guessed.closed_at) == ("established", None)
    assert codes(report(path))["LIFE-008"].confidence != "certain"


def test_trap_t40_silence_is_a_dead_peer_and_not_a_delete(tmp_path: Path) -> None:
    path, keys = played("ikev2-dead-peer", tmp_path)
    for records in ((), keys):
        found = report(path, records=records)
        (sa,) = found.ike_sas
        assert (sa.state, sa.closed_at) == ("established", None)
        assert found.headline is not None
        assert found.headline.code == "LIFE-006"
        assert "LIFE-008" not in codes(found)


def test_trap_t40_end_of_the_capture_is_no_end_of_the_sa(tmp_path: Path) -> None:
    """A lifetime that runs out unseen, or a capture that stops: nobody deleted, nobody was silent."""
    path, keys = played("ikev2", tmp_path)
    frames = list(open_capture(path).frames())
    wire = Wire(frames[0].link_type)
    for each in frames[:8]:
        wire.frame(each.data)
    found = report(wire.write(tmp_path / "a.pcap"), records=keys)
    assert {(sa.state, sa.closed_at) for sa in found.ike_sas} == {("established", None)}
    assert not {"LIFE-006", "LIFE-008"} & codes(found).keys()


def test_trap_t44_copy_with_a_flipped_initiator_flag_is_no_message(tmp_path: Path) -> None:
    wire = Wire().handshake()
    flipped = bytearray(message(sealed(1), kind=35, mid=1))
    flipped[19] ^= 0x08
    (sa,) = report(wire.udp(bytes(flipped)).write(tmp_path / "a.pcap")).ike_sas
    assert len(sa.exchanges) == 2
    assert sa.exchanges[1].repeated_frames == [5]


@pytest.mark.parametrize("scenario", ["ikev2-eap-mschapv2", "ss6-eap-mschapv2", "ikev2-eap-md5"])
def test_trap_t48_eap_rounds_are_one_ike_sa(shared: Path, scenario: str) -> None:
    """IKE_AUTH with message ids 1 to n, AUTH in the last one: one IKE SA, established, one Child SA."""
    folder = shared / "captures/lab" / scenario
    for keys in ((), (folder / "keys.json",)):
        (sa,) = report(folder / "capture.pcap", *keys).ike_sas
        rounds = [each for each in sa.exchanges if each.type == "IKE_AUTH"]
        assert len(rounds) > 2
        assert [each.message_id for each in rounds] == list(range(1, len(rounds) + 1))
        assert {each.outcome for each in rounds} == {"completed"}
        assert sa.state in {"established", "closed"}
        assert sa.established_at == rounds[-1].messages[-1].time
    assert sa.auth.initiator == "EAP"
    assert len(sa.child_sas) == 1
    assert "EAP" in rounds[1].payloads.request
    assert rounds[-1].payloads.response[0] == "AUTH"


NAMED = re.compile(r"^def test_trap_t(\d+)_", re.MULTILINE)


def test_every_trap_has_a_test_named_after_it() -> None:
    found: dict[int, int] = {}
    for path in TESTS.rglob("test_*.py"):
        for number in NAMED.findall(path.read_text(encoding="utf-8")):
            found[int(number)] = found.get(int(number), 0) + 1
    print("\ntraps with tests:", ", ".join(f"T{number}: {found[number]}" for number in sorted(found)))
    assert set(range(1, 51)) - found.keys() == set()
