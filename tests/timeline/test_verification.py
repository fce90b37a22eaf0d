"""Proofs in whole conversations: of the lab's daemons, with one bit changed, and made here for what the lab lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.files import CaptureReader
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.decrypt import keymat
from ipsecscope.decrypt.algorithms import encryption_by_name, prf_by_name
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import (
    IkeV1Keys,
    IkeV2Keys,
    KeyRecord,
    Msk,
    Origin,
    Ppk,
    PreSharedKey,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry.eap import EapCode, EapType
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, ExchangeType, IdType, KeyExchangeMethod, NotifyType
from ipsecscope.timeline.correlate import Correlator
from ipsecscope.timeline.decryption import KeyOpener
from ipsecscope.timeline.ikev2_keys import Ikev2State, KeySet
from ipsecscope.timeline.sas import MessageRecord, Opening, Role
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker
from ipsecscope.timeline.verdicts import ANYBODY, MAX_DETAILS, Detail, Verified, together
from ipsecscope.timeline.verification import verify_sa

ORIGIN = Origin("/home/somebody/keys.txt", 3, "secrets")
LAB_PSK = PreSharedKey(origin=ORIGIN, value=Secret(b"lab-psk-8fK2"))
WRONG_PSK = PreSharedKey(origin=ORIGIN, value=Secret(b"lab-psk-wrong"))


def ike_datagrams(path: Path) -> list[Datagram]:
    pipeline, found = Pipeline(), []
    for records in CaptureReader(str(path), file=0).windows():
        for frame in records.frames():
            found += pipeline.feed(frame)
    return [each for each in (*found, *pipeline.finish()) if each.kind == Kind.IKE and each.duplicate_of is None]


Follow = tuple[list[SaTracker], KeyOpener]


def follow(datagrams: list[Datagram], *keys: Path | KeyRecord) -> Follow:
    records: list[KeyRecord] = []
    for each in keys:
        records += read_keys(each).records if isinstance(each, Path) else [each]
    opener = KeyOpener(KeyRing(records))
    correlator = Correlator(opener)
    for datagram in datagrams:
        correlator.feed(datagram)
    return correlator.finish(), opener


def verified(folder: Path, *keys: str | KeyRecord) -> list[Verified]:
    given = [folder / each if isinstance(each, str) else each for each in keys]
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), *given)
    return [verify_sa(sa, opener) for sa in trackers]


def verdicts(result: Verified) -> set[tuple[str, Role | None, bool | None]]:
    return {(each.what, each.sender, each.verdict) for each in result.details}


@pytest.fixture(scope="session")
def lab(shared: Path) -> Path:
    return shared / "captures/lab"


# -- the lab -----------------------------------------------------------------------------------------------------


def scenarios(lab: Path, source: str) -> Iterator[Path]:
    return (path.parent for path in sorted(lab.glob(f"*/{source}")) if (path.parent / "capture.pcap").exists())


@pytest.mark.parametrize(
    ("source", "psk"),
    [("keys.json", False), ("keys.json", True), ("initiator.log", False), ("responder.log", False)],
    ids=["keys.json", "keys.json and the PSK", "initiator.log", "responder.log"],
)
def test_every_proof_of_the_lab_is_verified(lab: Path, source: str, psk: bool) -> None:
    checked: Counter[str] = Counter()
    whole: Counter[bool | None] = Counter()
    wrong: set[str] = set()
    for folder in scenarios(lab, source):
        for result in verified(folder, source, *([LAB_PSK] if psk else [])):
            whole[result.verified] += 1
            for each in result.details:
                checked[f"{each.what} {each.verdict}"] += 1
                if each.verdict is False:
                    wrong.add(folder.name)
    true = sum(count for name, count in checked.items() if name.endswith("True"))
    decided = sum(count for name, count in checked.items() if not name.endswith("None"))
    print(f"{source}{' and the PSK' if psk else ''}: {true} of {decided} proofs true, IKE SAs {dict(whole)}")
    print(dict(sorted(checked.items())))
    expected = {
        ("keys.json", False): {"fail-wrong-psk-v1-main"},
        ("keys.json", True): {"fail-wrong-psk-v1-main", "fail-wrong-psk-v2", "lsw-interop-fail-psk-v2"},
        ("initiator.log", False): set(),
        ("responder.log", False): {"fail-wrong-psk-v1-main", "fail-wrong-psk-v2", "fail-ppk-mismatch"},
    }
    assert wrong == expected[(source, psk)]
    assert whole[True] >= (100 if psk or source.endswith("log") else 30)


def test_established_sas_are_verified_wherever_a_log_has_the_secret(lab: Path) -> None:
    for folder in scenarios(lab, "responder.log"):
        if "fail" not in folder.name and "probe" not in folder.name:
            assert all(result.verified for result in verified(folder, "responder.log")), folder.name


@pytest.mark.parametrize(
    ("scenario", "keys", "expected"),
    [
        ("fail-wrong-psk-v2", ("responder.log",), ("AUTH", "initiator", False)),
        ("fail-wrong-psk-v2", ("keys.json", WRONG_PSK), ("AUTH", "initiator", False)),
        ("fail-ppk-mismatch", ("responder.log",), ("AUTH", "initiator", False)),
        ("fail-wrong-psk-v1-main", ("keys.json",), ("HASH_I", "initiator", False)),
        ("fail-wrong-psk-v1-main", ("responder.log",), ("HASH_I", "initiator", False)),
        ("fail-wrong-psk-v1-main", ("ikev1_decryption_table",), ("HASH_I", "initiator", False)),
        ("ikev2-psk-aesxcbc", ("keys.json", WRONG_PSK), ("AUTH", "responder", False)),
        ("lsw-ikev1-aggressive-psk", (WRONG_PSK,), ("HASH_R", "responder", False)),
        ("lsw-ikev1-aggressive-psk", (LAB_PSK,), ("HASH_R", "responder", True)),
        ("probe-ike-scan-aggressive", (LAB_PSK,), ("HASH_R", "responder", True)),
        ("ss6-mlkem-ppk", ("keys.json", LAB_PSK), ("AUTH", "initiator", True)),
        ("ss6-mlkem-ppk", ("keys.json", WRONG_PSK), ("AUTH", "initiator", False)),
        ("ikev2-eap-mschapv2", ("keys.json",), ("AUTH", "responder", None)),
        ("ikev2-eap-mschapv2", ("keys.json",), ("AUTH", "responder", True)),
        ("ikev2-eap-md5", ("keys.json",), ("AUTH", "initiator", True)),
        ("xfrm-ikev2-mobike", ("keys.json",), ("COOKIE2", "responder", True)),
        ("ikev2-psk-aes256ctr-sha512", ("ikev2_decryption_table", LAB_PSK), ("AUTH", "initiator", None)),
    ],
)  # fmt: skip
def test_proof_of_the_lab_is_judged_by_the_keys_at_hand(
    lab: Path, scenario: str, keys: tuple[str | KeyRecord, ...], expected: tuple[str, Role, bool | None]
) -> None:
    (result, *_) = verified(lab / scenario, *keys)
    assert expected in verdicts(result)
    if expected[2] is False:
        assert result.verified is False


def test_psk_for_somebody_else_gives_no_verdict(lab: Path) -> None:
    stranger = msgspec.structs.replace(WRONG_PSK, ids=("@somebody.example",))
    (result,) = verified(lab / "ikev2-psk-aesxcbc", "keys.json", stranger)
    assert verdicts(result) == {("AUTH", "initiator", None), ("AUTH", "responder", None)}
    mine = msgspec.structs.replace(WRONG_PSK, ids=("@MOON.lab",))
    (result,) = verified(lab / "ikev2-psk-aesxcbc", "keys.json", mine)
    assert result.verified is False


def test_right_psk_among_others_is_found_and_said_by_place_only(lab: Path) -> None:
    (result,) = verified(lab / "ikev2-psk-aesxcbc", "keys.json", WRONG_PSK, LAB_PSK)
    assert result.verified is True
    assert all("keys.txt:3" in each.why and "1 other" in each.why for each in result.details)
    assert "lab-psk" not in repr(result)
    assert "/home" not in repr(result)


def test_rekeyed_ike_sas_inherit_the_proof_of_the_first_with_roles_swapped(lab: Path) -> None:
    folder = lab / "ikev2-ike-rekey-responder-gcm"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "initiator.log")
    assert [verify_sa(sa, opener).verified for sa in trackers] == [True, True, True]
    change(trackers[0], ikev2.Authentication, "initiator", flip_data)
    results = [verify_sa(sa, opener) for sa in trackers]
    swapped = [each.initiated_by for each in trackers[0].exchanges if each.type == ExchangeType.CREATE_CHILD_SA]
    assert swapped[-1] == "responder"
    assert (results[1].initiator, results[1].responder) == (True, False)
    assert all(result.verified is False for result in results)


# -- one bit changed ---------------------------------------------------------------------------------------------


def flip(octets: bytes, at: int = -1) -> bytes:
    changed = bytearray(octets)
    changed[at] ^= 1
    return bytes(changed)


def flip_data(body: Body) -> Body:
    return msgspec.structs.replace(body, data=flip(getattr(body, "data")))  # noqa: B009 (bodies of many classes)


def change(sa: SaTracker, kind: type[Body], sender: Role, edit: Callable[[Body], Body]) -> None:
    """Edit the payloads of one class that one side sent in encrypted messages."""
    count = 0
    for exchange in sa.exchanges:
        for records in (exchange.request, exchange.response):
            for place, record in enumerate(records):
                if record.sender != sender or record.opening is None:
                    continue
                payloads = [
                    msgspec.structs.replace(each, body=edit(each.body)) if isinstance(each.body, kind) else each
                    for each in record.opening.payloads
                ]
                count += payloads != list(record.opening.payloads)
                opening = msgspec.structs.replace(record.opening, payloads=tuple(payloads))
                records[place] = msgspec.structs.replace(record, opening=opening)
    assert count


def change_init(sa: SaTracker, side: str) -> None:
    """Flip the last bit of IKE_SA_INIT as it was captured: it lies in a notification or a Vendor ID."""
    exchange = sa.exchanges[0]
    records = exchange.request if side == "request" else exchange.response
    datagram = msgspec.structs.replace(records[-1].datagram, payload=flip(records[-1].datagram.payload))
    records[-1] = msgspec.structs.replace(records[-1], datagram=datagram)


SCENARIOS = ["ikev2-psk-aesxcbc", "ikev2-rsa-cert", "ikev2-ed25519-cert", "ss6-mlkem768-x25519", "ss6-mlkem-ppk"]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("role", ["initiator", "responder"])
@pytest.mark.parametrize("what", ["AUTH", "ID", "IKE_SA_INIT"])
def test_ikev2_proof_with_one_bit_changed_is_false(lab: Path, scenario: str, role: Role, what: str) -> None:
    trackers, opener = follow(ike_datagrams(lab / scenario / "capture.pcap"), lab / scenario / "keys.json", LAB_PSK)
    sa = trackers[0]
    assert verify_sa(sa, opener).verified is True
    if what == "AUTH":
        change(sa, ikev2.Authentication, role, flip_data)
    elif what == "ID":
        kind = ikev2.IdentificationInitiator if role == "initiator" else ikev2.IdentificationResponder
        change(sa, kind, role, flip_data)
    else:
        change_init(sa, "request" if role == "initiator" else "response")
    result = verify_sa(sa, opener)
    assert result.verified is False
    assert (result.initiator, result.responder) == (role != "initiator", role != "responder")


@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_ike_intermediate_with_one_bit_changed_makes_both_auths_false(lab: Path, role: Role) -> None:
    folder = lab / "ss6-mlkem768-x25519"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json", LAB_PSK)
    exchange = next(each for each in trackers[0].exchanges if each.type == ExchangeType.IKE_INTERMEDIATE)
    records = exchange.request if role == "initiator" else exchange.response
    opening = records[-1].opening
    assert opening is not None
    assert opening.data
    changed = msgspec.structs.replace(opening, data=flip(opening.data))
    records[-1] = msgspec.structs.replace(records[-1], opening=changed)
    result = verify_sa(trackers[0], opener)
    assert (result.initiator, result.responder, result.verified) == (False, False, False)


def test_ike_intermediate_that_is_missing_or_closed_gives_no_verdict(lab: Path) -> None:
    folder = lab / "ss6-mlkem768-x25519"
    datagrams = ike_datagrams(folder / "capture.pcap")
    trackers, opener = follow(datagrams, folder / "keys.json", LAB_PSK)
    exchange = next(each for each in trackers[0].exchanges if each.type == ExchangeType.IKE_INTERMEDIATE)
    kept, opened_by = list(exchange.response), dict(opener.ikev2.state(trackers[0]).opened_by)
    exchange.response.clear()
    assert verify_sa(trackers[0], opener).verified is None
    exchange.response[:] = kept
    opener.ikev2.state(trackers[0]).opened_by.pop(kept[-1].number)
    assert verify_sa(trackers[0], opener).verified is None
    opener.ikev2.state(trackers[0]).opened_by.update(opened_by)
    assert verify_sa(trackers[0], opener).verified is True
    trackers[0].exchanges.remove(exchange)
    result = verify_sa(trackers[0], opener)
    assert result.verified is None
    assert "IKE_INTERMEDIATE" in result.details[0].why


@pytest.mark.parametrize("scenario", ["ikev1-main-psk", "ikev1-main-rsa", "ikev1-aggressive-rsa", "ikev1-hybrid-xauth"])
@pytest.mark.parametrize("role", ["initiator", "responder"])
def test_ikev1_proof_with_one_bit_changed_is_false(lab: Path, scenario: str, role: Role) -> None:
    folder = lab / scenario
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    sa = trackers[0]
    assert verify_sa(sa, opener).verified is True
    for kind in (ikev1.Hash, ikev1.Signature):
        edit_all(sa, kind, role)
    result = verify_sa(sa, opener)
    assert (result.initiator, result.responder, result.verified) == (role != "initiator", role != "responder", False)
    assert {each.verdict for each in result.details if each.sender == role} == {False}


def edit_all(sa: SaTracker, kind: type[Body], sender: Role) -> None:
    """Flip the data of all payloads of one class, in the clear and opened."""

    def edited(payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        return tuple(
            msgspec.structs.replace(each, body=flip_data(each.body)) if isinstance(each.body, kind) else each
            for each in payloads
        )

    for exchange in sa.exchanges:
        for records in (exchange.request, exchange.response):
            for place, record in enumerate(records):
                if record.sender != sender:
                    continue
                opening = record.opening
                if opening is not None:
                    opening = msgspec.structs.replace(opening, payloads=edited(opening.payloads))
                message = msgspec.structs.replace(record.message, payloads=edited(record.message.payloads))
                whole = record.assembled
                if whole is not None:
                    whole = msgspec.structs.replace(whole, payloads=edited(whole.payloads))
                records[place] = msgspec.structs.replace(record, opening=opening, message=message, assembled=whole)


def test_hash_of_quick_mode_and_informational_exchanges_is_verified(lab: Path) -> None:
    (result,) = verified(lab / "ikev1-xauth-modecfg-aggressive", "keys.json")
    assert {"HASH_I", "HASH_R", "HASH(1)", "HASH(2)", "HASH(3)"} <= {each.what for each in result.details}
    assert {each.verdict for each in result.details} == {True}


def test_ikev1_signature_without_certificate_or_key_gives_no_verdict(lab: Path) -> None:
    folder = lab / "ikev1-main-rsa"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    change(trackers[0], ikev1.Certificate, "initiator", lambda body: msgspec.structs.replace(body, data=b""))
    result = verify_sa(trackers[0], opener)
    assert (result.initiator, result.responder) == (None, True)
    opener.ikev1.state(trackers[0]).proven.clear()
    opener.ring.ike_v1.clear()
    assert verify_sa(trackers[0], opener).verified is None
    opener.ring.add(SharedSecret(origin=ORIGIN, value=Secret(bytes(256))))
    assert verify_sa(trackers[0], opener).verified is None
    opener.ikev1.state(trackers[0]).group = None
    assert verify_sa(trackers[0], opener).verified is None
    opener.ikev1.state(trackers[0]).prf = None
    assert verify_sa(trackers[0], opener).verified is None


def test_ikev1_signature_is_verified_from_the_shared_secret_alone(lab: Path) -> None:
    folder = lab / "ikev1-main-rsa"
    secrets = [each for each in read_keys(folder / "initiator.log").records if isinstance(each, SharedSecret)]
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), *secrets)
    assert verify_sa(trackers[0], opener).verified is True


def test_ikev1_skeyid_of_the_cookie_checks_a_hash_in_the_clear(lab: Path) -> None:
    folder = lab / "ikev1-aggressive-psk"
    datagrams = ike_datagrams(folder / "capture.pcap")
    (keys,) = {
        each.skeyid: each for each in read_keys(folder / "keys.json").records if isinstance(each, IkeV1Keys)
    }.values()
    only = IkeV1Keys(origin=ORIGIN, cookie_i=keys.cookie_i, skeyid=keys.skeyid)
    trackers, opener = follow(datagrams, only)
    assert ("HASH_R", "responder", True) in verdicts(verify_sa(trackers[0], opener))
    other = IkeV1Keys(origin=ORIGIN, cookie_i=keys.cookie_i, skeyid=Secret(bytes(20)))
    trackers, opener = follow(datagrams, other)
    assert ("HASH_R", "responder", False) in verdicts(verify_sa(trackers[0], opener))


def test_ikev1_hash_with_part_of_phase_1_missing_gives_no_verdict(lab: Path) -> None:
    folder = lab / "ikev1-main-psk"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap")[1:], folder / "keys.json")
    assert all(verify_sa(sa, opener).verified is None for sa in trackers)


def test_ikev1_keys_without_skeyid_open_and_verify_nothing(lab: Path) -> None:
    folder = lab / "ikev1-main-psk"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "ikev1_decryption_table")
    result = verify_sa(trackers[0], opener)
    assert verdicts(result) == {("HASH_I", "initiator", None), ("HASH_R", "responder", None)}


def test_ikev1_quick_mode_without_its_first_message_is_left_out(lab: Path) -> None:
    folder = lab / "ikev1-main-psk"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    quick = trackers[0].exchanges[1]
    del quick.request[0]
    assert not {each.what for each in verify_sa(trackers[0], opener).details} & {"HASH(2)", "HASH(3)"}
    quick.request[0] = msgspec.structs.replace(quick.request[0], opening=None)
    assert not {each.what for each in verify_sa(trackers[0], opener).details} & {"HASH(2)", "HASH(3)"}


def test_ikev1_message_that_does_not_begin_with_a_hash_is_left_out(lab: Path) -> None:
    folder = lab / "ikev1-main-psk"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    quick = trackers[0].exchanges[1]
    opening = quick.request[-1].opening
    assert opening is not None
    other = msgspec.structs.replace(opening, payloads=(Payload(body=ikev1.VendorId(data=b"x")), *opening.payloads))
    quick.request[-1] = msgspec.structs.replace(quick.request[-1], opening=other)
    assert "HASH(3)" not in {each.what for each in verify_sa(trackers[0], opener).details}


def test_quick_mode_hash_over_another_nonce_is_false(lab: Path) -> None:
    folder = lab / "ikev1-main-psk"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    change(trackers[0], ikev1.Nonce, "initiator", flip_data)
    result = verify_sa(trackers[0], opener)
    assert {("HASH(2)", "responder", False), ("HASH(3)", "initiator", False)} <= verdicts(result)
    assert result.verified is True


def test_unreadable_message_5_says_nothing_when_the_capture_cut_it(lab: Path) -> None:
    folder = lab / "fail-wrong-psk-v1-main"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "responder.log")
    assert verify_sa(trackers[0], opener).verified is False
    for place, record in enumerate(trackers[0].exchanges[0].request):
        cut = msgspec.structs.replace(record.datagram, missing=1)
        trackers[0].exchanges[0].request[place] = msgspec.structs.replace(record, datagram=cut)
    assert verify_sa(trackers[0], opener).verified is None


@given(data=st.data())
def test_damaged_conversation_never_raises(lab: Path, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["ikev1-main-rsa", "ikev1-aggressive-psk", "ikev2-rsa-cert", "ss6-mlkem-ppk"]))
    datagrams, keys = damageable(lab / name)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(datagrams) - 1))
        payload = bytearray(datagrams[place].payload)
        if payload:  # an earlier round may have cut it to nothing
            payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.one_of(st.none(), st.integers(0, len(payload))))
        datagrams[place] = msgspec.structs.replace(datagrams[place], payload=bytes(payload[:cut]))
    trackers, opener = follow(datagrams, *keys, LAB_PSK)
    for sa in trackers:
        assert isinstance(verify_sa(sa, opener), Verified)


@cache
def kept(folder: Path) -> tuple[tuple[Datagram, ...], tuple[KeyRecord, ...]]:
    return tuple(ike_datagrams(folder / "capture.pcap")), read_keys(folder / "keys.json").records


def damageable(folder: Path) -> tuple[list[Datagram], tuple[KeyRecord, ...]]:
    datagrams, keys = kept(folder)
    return list(datagrams), keys


# -- conversations made here: IKEv2 ------------------------------------------------------------------------------

PRF = prf_by_name("SHA256")
SPI_I, SPI_R = b"initiato", b"responde"
SK = {"initiator": Secret(b"i" * 32), "responder": Secret(b"r" * 32)}
NONCE = {"initiator": b"I" * 32, "responder": b"R" * 32}
PSK = PreSharedKey(origin=ORIGIN, value=Secret(b"correct horse"))
ID_CLASS = {"initiator": ikev2.IdentificationInitiator, "responder": ikev2.IdentificationResponder}
ID = {role: ID_CLASS[role](id_type=IdType.ID_FQDN, data=f"{role}.example".encode()) for role in ID_CLASS}


class Conversation:
    """An IKE SA made of values: what each side sent, and the key set that is known of it."""

    def __init__(self, *ring: KeyRecord, first_exchange: ExchangeType = ExchangeType.IKE_SA_INIT) -> None:
        self.sa = SaTracker(id="ike-1", version=2, spi_i=SPI_I, spi_r=SPI_R)
        self.opener = KeyOpener(KeyRing(ring))
        encryption, _ = encryption_by_name("AES_CBC")
        self.keys = KeySet(
            encryption=encryption, integrity=None, sk_ei=Secret(b"ei"), sk_er=Secret(b"er"), sk_ai=None, sk_ar=None,
            prf=PRF, sk_pi=SK["initiator"], sk_pr=SK["responder"],
        )  # fmt: skip
        self.state = Ikev2State(proven=[self.keys])
        self.sa.extra["ikev2_keys"] = self.state
        self.count = 0
        self.init: dict[Role, bytes] = {}
        for role in ("initiator", "responder"):
            self.clear(role, ikev2.Nonce(data=NONCE[role]), kind=first_exchange)

    def exchange(self, kind: ExchangeType, message_id: int, *, fresh: bool = False) -> ExchangeTracker:
        found = [each for each in self.sa.exchanges if (each.type, each.message_id) == (kind, message_id)]
        if not found or fresh:
            found = [ExchangeTracker(type=kind, message_id=message_id, initiated_by="initiator")]
            self.sa.exchanges += found
        return found[-1]

    def record(self, role: Role, message: Message, opening: Opening | None = None) -> MessageRecord:
        self.count += 1
        src, dst = ("192.0.2.1", "192.0.2.2") if role == "initiator" else ("192.0.2.2", "192.0.2.1")
        datagram = Datagram(
            file=0, frames=(self.count,), time_ns=self.count, kind=Kind.IKE, encapsulation=Encapsulation.UDP,
            src=src, dst=dst, sport=500, dport=500, payload=message.build(),
        )  # fmt: skip
        self.sa.ends[role].learn(src, 500)
        return MessageRecord(self.count, datagram, parse_message(datagram.payload), role, opening=opening)

    def header(self, role: Role, kind: ExchangeType, message_id: int) -> Header:
        spi_r = bytes(8) if kind == ExchangeType.IKE_SA_INIT and role == "initiator" else SPI_R
        return Header(spi_i=SPI_I, spi_r=spi_r, exchange_type=int(kind), message_id=message_id, version=0x20)

    def clear(
        self, role: Role, *bodies: Body, kind: ExchangeType = ExchangeType.IKE_SA_INIT, fresh: bool = False
    ) -> None:
        message = Message(self.header(role, kind, 0), tuple(Payload(body=body) for body in bodies))
        record = self.record(role, message)
        if any(isinstance(body, ikev2.Nonce) for body in bodies):
            self.init[role] = record.datagram.payload
        self.exchange(kind, 0, fresh=fresh).add(record)

    def sealed(
        self, role: Role, *bodies: Body, message_id: int = 1, kind: ExchangeType = ExchangeType.IKE_AUTH
    ) -> None:
        payloads = tuple(Payload(body=body) for body in bodies)
        opening = Opening(payloads=payloads, data=b"opened", frames=(self.count + 1,))
        message = Message(self.header(role, kind, message_id), (Payload(body=ikev2.Encrypted(data=bytes(32))),))
        record = self.record(role, message, opening)
        self.state.opened_by[record.number] = self.keys
        self.exchange(kind, message_id).add(record)

    def octets(self, role: Role, sk_p: Secret | None = None, identity: Body | None = None) -> bytes:
        peer: Role = "responder" if role == "initiator" else "initiator"
        body = (identity or ID[role]).build()
        return keymat.signed_octets(PRF, self.init[role], NONCE[peer], sk_p or SK[role], body)

    def auth(self, role: Role, secret: Secret, sk_p: Secret | None = None, identity: Body | None = None) -> bytes:
        return keymat.shared_key_auth(PRF, secret, self.octets(role, sk_p, identity))

    def verify(self) -> Verified:
        return verify_sa(self.sa, self.opener)


def shared(data: bytes, method: int = 2) -> ikev2.Authentication:
    return ikev2.Authentication(method=AuthenticationMethod(method), data=data)


def note(kind: NotifyType, data: bytes = b"") -> ikev2.Notify:
    return ikev2.Notify(notify_type=kind, data=data)


def eap(code: EapCode, kind: EapType | None = None) -> ikev2.Eap:
    return ikev2.Eap(code=code, identifier=1, data=b"" if kind is None else bytes((int(kind),)) + b"data")


def test_psk_conversation_is_verified_on_both_sides() -> None:
    made = Conversation(PSK)
    for role in ("initiator", "responder"):
        made.sealed(role, ID[role], shared(made.auth(role, PSK.value)))
    assert made.verify().verified is True


def test_null_authentication_is_verified_with_sk_p() -> None:
    """RFC 7619 section 2.1."""
    made = Conversation()
    for role in ("initiator", "responder"):
        made.sealed(role, ID[role], shared(made.auth(role, SK[role]), method=13))
    assert made.verify().verified is True
    made = Conversation()
    made.sealed("initiator", ID["initiator"], shared(made.auth("initiator", PSK.value), method=13))
    assert made.verify().initiator is False


def test_method_that_is_not_checked_gives_no_verdict() -> None:
    made = Conversation(PSK)
    made.sealed("initiator", ID["initiator"], shared(b"x", method=12))
    assert made.verify().initiator is None


def test_signature_without_certificate_or_with_one_of_another_kind_gives_no_verdict(lab: Path) -> None:
    made = Conversation()
    made.sealed("initiator", ID["initiator"], shared(b"x", method=1))
    assert "certificate" in made.verify().details[0].why
    folder = lab / "ikev2-ed25519-cert"
    trackers, opener = follow(ike_datagrams(folder / "capture.pcap"), folder / "keys.json")
    change(trackers[0], ikev2.Authentication, "initiator", lambda body: msgspec.structs.replace(body, method=AuthenticationMethod(1)))  # fmt: skip
    assert verify_sa(trackers[0], opener).initiator is None


@pytest.mark.parametrize(
    ("types", "ring", "secret", "expected"),
    [
        ((EapType.MSCHAPV2,), ("msk",), "msk", True),
        ((EapType.MSCHAPV2,), ("msk-here",), "msk", True),
        ((EapType.MSCHAPV2,), ("wrong",), "msk", False),
        ((EapType.MSCHAPV2,), ("wrong-here",), "msk", False),
        ((EapType.MSCHAPV2,), ("elsewhere",), "msk", None),
        ((EapType.MSCHAPV2,), ("stranger",), "msk", None),
        ((EapType.MSCHAPV2,), (), "msk", None),
        ((EapType.IDENTITY, EapType.MD5_CHALLENGE), (), "sk_p", True),
        ((EapType.IDENTITY, EapType.MD5_CHALLENGE), (), "msk", False),
        ((), (), "sk_p", True),
    ],
    ids=["msk", "msk-named", "wrong", "wrong-named", "of-another-sa", "of-a-stranger", "none", "keyless",
         "keyless-wrong", "method-unknown"],
)  # fmt: skip
def test_auth_behind_eap_is_checked_with_the_msk_or_sk_p(
    types: tuple[EapType, ...], ring: tuple[str, ...], secret: str, expected: bool | None
) -> None:
    """RFC 7296 section 2.16."""
    msk, wrong = Secret(b"m" * 64), Secret(b"w" * 64)
    records = {
        "msk": Msk(origin=ORIGIN, value=msk),
        "msk-here": Msk(origin=ORIGIN, value=msk, spi_i=SPI_I, spi_r=SPI_R),
        "wrong": Msk(origin=ORIGIN, value=wrong),
        "wrong-here": Msk(origin=ORIGIN, value=wrong, spi_i=SPI_I, ids=("stranger",)),
        "elsewhere": Msk(origin=ORIGIN, value=msk, spi_i=bytes(8)),
        "stranger": Msk(origin=ORIGIN, value=wrong, ids=("stranger",)),
    }
    made = Conversation(PSK, *(records[name] for name in ring))
    made.sealed("initiator", ID["initiator"])
    made.sealed("responder", ID["responder"], shared(made.auth("responder", PSK.value)), eap(EapCode.REQUEST))
    for number, kind in enumerate(types, 2):
        made.sealed("initiator", eap(EapCode.RESPONSE, kind), message_id=number)
    made.sealed("responder", eap(EapCode.SUCCESS), message_id=2)
    for role in ("initiator", "responder"):
        made.sealed(role, shared(made.auth(role, msk if secret == "msk" else SK[role])), message_id=9)
    result = made.verify()
    assert result.details[0].verdict is True  # the responder's first AUTH is made with the PSK
    assert [each.verdict for each in result.details[1:]] == [expected, expected]
    assert result.initiator is expected


def test_second_authentication_is_judged_by_its_own_identity() -> None:
    """RFC 4739: a PSK behind an EAP method, under another identity."""
    made = Conversation(PSK, Msk(origin=ORIGIN, value=Secret(b"m" * 64)))
    second = ikev2.IdentificationInitiator(id_type=IdType.ID_KEY_ID, data=b"user")
    made.sealed("initiator", ID["initiator"], eap(EapCode.RESPONSE, EapType.TLS))
    made.sealed("initiator", shared(made.auth("initiator", Secret(b"m" * 64))), message_id=2)
    made.sealed("initiator", second, shared(made.auth("initiator", PSK.value, identity=second)), message_id=3)
    assert [each.verdict for each in made.verify().details] == [True, True]


PPK = Ppk(origin=ORIGIN, value=Secret(b"post-quantum"))
OTHER_PPK = Ppk(origin=ORIGIN, value=Secret(b"another one"))


def with_ppk(role: Role) -> Secret:
    nothing = Secret(b"")
    keys = keymat.IkeKeys(
        sk_d=SK[role], sk_ai=nothing, sk_ar=nothing, sk_ei=nothing, sk_er=nothing, sk_pi=SK[role], sk_pr=SK[role]
    )  # fmt: skip
    return keymat.mix_ppk(PRF, PPK.value, keys).sk_pi


def ppk_conversation(*ring: KeyRecord, accepted: bool, answered: bool = True) -> Conversation:
    made = Conversation(PSK, *ring)
    made.sealed(
        "initiator",
        ID["initiator"],
        shared(made.auth("initiator", PSK.value, with_ppk("initiator"))),
        note(NotifyType.PPK_IDENTITY, b"\x02qkd"),
        note(NotifyType.NO_PPK_AUTH, made.auth("initiator", PSK.value)),
    )
    if answered:
        sk_p = with_ppk("responder") if accepted else SK["responder"]
        made.sealed(
            "responder",
            ID["responder"],
            shared(made.auth("responder", PSK.value, sk_p)),
            *([note(NotifyType.PPK_IDENTITY)] if accepted else []),
        )
    return made


KEYS_AFTER_PPK = IkeV2Keys(
    origin=ORIGIN, spi_i=SPI_I, spi_r=SPI_R, sk_pi=with_ppk("initiator"), sk_pr=with_ppk("responder"), uses_ppk=True
)


@pytest.mark.parametrize("known", [PPK, KEYS_AFTER_PPK], ids=["ppk", "keys-after-ppk"])
def test_auth_with_a_ppk_is_verified(known: KeyRecord) -> None:
    """RFC 8784 section 3."""
    result = ppk_conversation(known, accepted=True).verify()
    assert result.verified is True
    assert ("NO_PPK_AUTH", "initiator", True) in verdicts(result)


def test_auth_with_a_ppk_that_was_not_given_gives_no_verdict_and_the_fallback_does_not_count() -> None:
    result = ppk_conversation(accepted=True).verify()
    assert (result.initiator, result.responder) == (None, None)
    assert ("NO_PPK_AUTH", "initiator", True) in verdicts(result)
    assert "PPK" in result.details[0].why


def test_auth_with_another_ppk_is_false() -> None:
    result = ppk_conversation(OTHER_PPK, accepted=True).verify()
    assert (result.initiator, result.responder) == (False, False)
    assert "PPK" in result.details[0].why


def test_no_ppk_auth_counts_when_the_responder_does_not_take_the_ppk() -> None:
    result = ppk_conversation(OTHER_PPK, accepted=False).verify()
    assert result.verified is True
    assert ("AUTH", "initiator", False) in verdicts(result)


def test_no_ppk_auth_does_not_count_without_an_answer() -> None:
    assert ppk_conversation(accepted=False, answered=False).verify().initiator is None


@pytest.mark.parametrize("form", ["octets", "message", "shared-key"])
def test_resumed_ike_sa_is_verified_with_sk_p(form: str) -> None:
    """RFC 5723 section 5.1."""
    made = Conversation(first_exchange=ExchangeType.IKE_SESSION_RESUME)
    for role in ("initiator", "responder"):
        data = {
            "octets": keymat.prf(PRF, SK[role], made.octets(role)),
            "message": keymat.prf(PRF, SK[role], made.init[role]),
            "shared-key": made.auth(role, SK[role]),
        }[form]
        made.sealed(role, ID[role], shared(data))
    assert made.verify().verified is True


def test_resumed_ike_sa_with_another_auth_gives_no_verdict() -> None:
    made = Conversation(first_exchange=ExchangeType.IKE_SESSION_RESUME)
    made.sealed("initiator", ID["initiator"], shared(bytes(32)))
    assert made.verify().initiator is None


def test_last_ike_sa_init_request_is_the_one_that_was_signed() -> None:
    made = Conversation(PSK)
    made.clear("initiator", note(NotifyType.SIGNATURE_HASH_ALGORITHMS, b"\0\5"), ikev2.Nonce(data=NONCE["initiator"]))
    for role in ("initiator", "responder"):
        made.sealed(role, ID[role], shared(made.auth(role, PSK.value)))
    assert made.verify().verified is True


def test_octets_behind_the_message_are_not_signed() -> None:
    made = Conversation(PSK)
    (record,) = made.exchange(ExchangeType.IKE_SA_INIT, 0).request
    datagram = msgspec.structs.replace(record.datagram, payload=record.datagram.payload + b"trailer")
    longer = msgspec.structs.replace(record, datagram=datagram, message=parse_message(datagram.payload))
    made.exchange(ExchangeType.IKE_SA_INIT, 0).request[:] = [longer]
    made.sealed("initiator", ID["initiator"], shared(made.auth("initiator", PSK.value)))
    assert made.verify().initiator is True


def cut_init(made: Conversation) -> None:
    (record,) = made.exchange(ExchangeType.IKE_SA_INIT, 0).request
    datagram = msgspec.structs.replace(record.datagram, missing=3)
    made.exchange(ExchangeType.IKE_SA_INIT, 0).request[:] = [msgspec.structs.replace(record, datagram=datagram)]


def no_sk_p(made: Conversation) -> None:
    keys = msgspec.structs.replace(made.keys, sk_pi=None, sk_pr=None)
    made.state.opened_by = dict.fromkeys(made.state.opened_by, keys)


def no_prf(made: Conversation) -> None:
    made.state.opened_by = dict.fromkeys(made.state.opened_by, msgspec.structs.replace(made.keys, prf=None))


def odd_prf(made: Conversation) -> None:
    keys = msgspec.structs.replace(made.keys, prf=prf_by_name("PRF_HMAC_TIGER"))
    made.state.opened_by = dict.fromkeys(made.state.opened_by, keys)


@pytest.mark.parametrize("damage", [cut_init, no_sk_p, no_prf, odd_prf, lambda made: made.state.opened_by.clear()])
def test_auth_whose_octets_or_keys_are_not_known_gives_no_verdict(damage: Callable[[Conversation], None]) -> None:
    made = Conversation(PSK)
    made.sealed("initiator", ID["initiator"], shared(made.auth("initiator", PSK.value)))
    damage(made)
    assert verdicts(made.verify()) == {("AUTH", "initiator", None)}


def test_auth_without_identity_gives_no_verdict() -> None:
    made = Conversation(PSK)
    made.sealed("initiator", shared(made.auth("initiator", PSK.value)))
    assert made.verify().initiator is None


def test_sk_p_is_taken_from_another_record_of_the_same_keys() -> None:
    same = IkeV2Keys(
        origin=ORIGIN, spi_i=SPI_I, spi_r=SPI_R, sk_ei=Secret(b"ei"), sk_er=Secret(b"er"), sk_pi=SK["initiator"]
    )
    made = Conversation(PSK, same)
    made.sealed("initiator", ID["initiator"], shared(made.auth("initiator", PSK.value)))
    no_sk_p(made)
    assert made.verify().initiator is True


@pytest.mark.parametrize("source", ["dh", "skeyseed"])
def test_sk_p_is_derived_where_the_key_file_has_only_the_cipher_keys(lab: Path, source: str) -> None:
    folder = lab / "ikev2-psk-aes256ctr-sha512"
    wanted = SharedSecret if source == "dh" else IkeV2Keys
    records = [each for each in read_keys(folder / "keys.json").records if isinstance(each, wanted)]
    if source == "skeyseed":
        records = [
            IkeV2Keys(origin=ORIGIN, spi_i=each.spi_i, spi_r=each.spi_r, skeyseed=each.skeyseed) for each in records
        ]
    trackers, opener = follow(
        ike_datagrams(folder / "capture.pcap"), folder / "ikev2_decryption_table", LAB_PSK, *records
    )
    assert verify_sa(trackers[0], opener).verified is True
    trackers, opener = follow(
        ike_datagrams(folder / "capture.pcap"),
        folder / "ikev2_decryption_table",
        LAB_PSK,
        SharedSecret(origin=ORIGIN, value=Secret(bytes(int(KeyExchangeMethod.MODP_2048)))),
    )
    assert verify_sa(trackers[0], opener).verified is None


# -- cookies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"), [(b"cookie", True), (b"cookiE", False), (None, False)], ids=["same", "changed", "left out"]
)
def test_cookie_is_checked_in_the_next_request(given: bytes | None, expected: bool) -> None:
    made = Conversation()
    made.clear("responder", note(NotifyType.COOKIE, b"cookie"))
    back = [] if given is None else [note(NotifyType.COOKIE, given)]
    made.clear("initiator", *back, ikev2.Nonce(data=NONCE["initiator"]), fresh=True)
    made.clear("responder", ikev2.Nonce(data=NONCE["responder"]))
    assert verdicts(made.verify()) == {("COOKIE", "initiator", expected)}


@pytest.mark.parametrize(("given", "expected"), [(b"cookie22", {True}), (b"cookie23", {False}), (None, {False})])
def test_cookie2_is_checked_in_the_response(given: bytes | None, expected: set[bool]) -> None:
    made = Conversation()
    kind = ExchangeType.INFORMATIONAL
    made.sealed("initiator", note(NotifyType.COOKIE2, b"cookie22"), message_id=2, kind=kind)
    back = note(NotifyType.MOBIKE_SUPPORTED) if given is None else note(NotifyType.COOKIE2, given)
    made.sealed("responder", back, message_id=2, kind=kind)
    made.clear("responder", note(NotifyType.COOKIE2, b""), kind=kind)
    assert {each.verdict for each in made.verify().details} == expected


# -- the verdict on an SA ----------------------------------------------------------------------------------------


def proof(role: Role, verdict: bool | None, *, decides: bool = True) -> Detail:
    return Detail("AUTH", verdict, 1, "", role, decides=decides)


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ([], (None, None, None)),
        ([proof("initiator", True)], (True, None, None)),
        ([proof("initiator", True), proof("responder", True)], (True, True, True)),
        ([proof("initiator", True), proof("responder", False)], (True, False, False)),
        ([proof("initiator", False)], (False, None, False)),
        ([proof("initiator", True), proof("initiator", False)], (False, None, False)),
        ([proof("initiator", None), proof("initiator", True)], (True, None, None)),
        ([proof("initiator", False, decides=False)], (None, None, None)),
    ],
)
def test_one_wrong_proof_outweighs_the_right_ones(
    details: list[Detail], expected: tuple[bool | None, bool | None, bool | None]
) -> None:
    result = together(details)
    assert (result.initiator, result.responder, result.verified) == expected


def test_details_are_limited() -> None:
    assert len(together([proof("initiator", True)] * (MAX_DETAILS + 1)).details) == MAX_DETAILS


def test_psk_for_anybody_counts_for_this_peer() -> None:
    for name in ANYBODY:
        made = Conversation(msgspec.structs.replace(PSK, value=Secret(b"wrong"), ids=(name,)))
        made.sealed("initiator", ID["initiator"], shared(made.auth("initiator", PSK.value)))
        assert made.verify().initiator is False
