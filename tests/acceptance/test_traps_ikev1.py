"""Traps of IKEv1: retransmissions and interleaving against the chain of IVs, numbers given twice, decrypted copies."""

from __future__ import annotations

from pathlib import Path

import pytest
from staged_captures import V1_SA, Wire, message, notify, report, sealed, tree, v1

from ipsecscope.capture.files import open_capture
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.registry.ikev2 import IdType, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType
from ipsecscope.timeline.analysis import analyze

MAIN, QUICK, INFO = ExchangeType.IDENTITY_PROTECTION, ExchangeType.QUICK_MODE, ExchangeType.INFORMATIONAL


def test_trap_t01_retransmission_takes_no_iv_and_everything_opens(shared: Path) -> None:
    """Frame 8 repeats frame 7: whoever moves the IV on reads frame 9 as garbage."""
    public = shared / "captures/public"
    found = report(public / "captures/zeek__ikev1-certs.pcap", public / "keys.json")
    (sa,) = found.ike_sas
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (6, 6) if found.keys else False
    quick = sa.exchanges[1]
    assert (quick.frames.request, quick.frames.response) == ([7, 10], [9])
    assert quick.retransmissions == 1
    assert len(quick.repeated_frames) == 1
    assert quick.payloads.request == ["HASH", "SA", "Ni", "KE", "ID", "ID", "HASH"]
    assert quick.payloads.response == ["HASH", "SA", "Nr", "KE", "ID", "ID"]
    assert not {"sk.refused", "payload.malformed", "chain.overrun"} & {note.kind for note in found.notes}
    assert {"OpenSwan" in finding.summary for finding in found.findings if finding.code == "SEC-016"} == {True, False}


def test_trap_t02_two_phase_2_exchanges_interleaved_have_an_iv_each(shared: Path) -> None:
    """The transactions of this capture overlap an informational exchange."""
    public = shared / "captures/public"
    path = public / "captures/wireshark__ikev1-bug-12610.pcapng.gz"
    ring = KeyRing(read_keys(public / "keys.json").records)
    analysis = analyze([str(path)], ring=ring)
    (sa,) = analysis.ike_sas
    kinds = [(str(each.type), len(each.request), len(each.response)) for each in sa.exchanges]
    assert kinds[1:] == [
        ("TRANSACTION", 1, 1),
        ("INFORMATIONAL", 1, 0),
        ("TRANSACTION", 1, 1),
        ("TRANSACTION", 1, 1),
        ("QUICK_MODE", 2, 1),
    ]
    encrypted = [record for each in sa.exchanges for record in each.records if record.encrypted]
    assert [record.opening is not None and record.opening.is_open for record in encrypted] == [True] * 12
    hashes = {
        payload.body.data.hex()
        for record in encrypted
        for payload in record.payloads
        if isinstance(payload.body, ikev1.Hash)
    }
    assert "b52521f774967402c9f6cee95fd17e5b" in {each[:32] for each in hashes}
    assert analysis.verified[sa.id].verified is None  # the key opens, but SKEYID is not known


def test_trap_t02_interleaved_quick_modes_open_in_any_order_across_exchanges(shared: Path, tmp_path: Path) -> None:
    """Two Quick Modes of one session, their messages shuffled together as when both run at once."""
    folder = shared / "captures/lab/ikev1-multiple-children"
    frames = list(open_capture(folder / "capture.pcap").frames())
    sa = report(folder / "capture.pcap", folder / "keys.json").ike_sas[0]
    first, second = [
        sorted(each.frames.request + each.frames.response) for each in sa.exchanges if each.type == "QUICK_MODE"
    ]
    order = sorted({frame.number for frame in frames} - {*first, *second})
    at = order.index(max(number for number in order if number < first[0])) + 1
    order[at:at] = [number for pair in zip(first, second, strict=True) for number in pair]
    wire = Wire(frames[0].link_type)
    for number in order:
        wire.frame(frames[number - 1].data)
    found = report(wire.write(tmp_path / "a.pcap"), folder / "keys.json")
    assert found.keys is not None
    assert found.keys.ike_opened == found.keys.ike_encrypted == 11
    assert len(found.ike_sas[0].child_sas) == 2


def test_trap_t03_informational_takes_its_iv_from_the_last_phase_1_block(shared: Path) -> None:
    folder = shared / "captures/lab/ikev1-main-psk"
    found = report(folder / "capture.pcap", folder / "keys.json")
    (sa,) = found.ike_sas
    deletes = [each for each in sa.exchanges if each.type == "INFORMATIONAL"]
    assert deletes
    assert {name for each in deletes for name in each.payloads.request} >= {"HASH", "D"}
    assert sa.state == "closed"
    assert {child.state for child in sa.child_sas} == {"closed"}


def test_trap_t12_types_stand_behind_the_doi(tmp_path: Path) -> None:
    body = ikev1.Notification.parse(bytes.fromhex("00000001 03046000 11223344 80010001 0002 7080".replace(" ", "")))
    deleted = ikev1.Delete.parse(bytes.fromhex("00000001 0304 0001 11223344".replace(" ", "")))
    wire = Wire().main_mode()
    path = wire.udp(v1(INFO, body, mid=7)).udp(v1(INFO, deleted, mid=8)).write(tmp_path / "a.pcap")
    text = tree(path)
    assert "RESPONDER_LIFETIME" in text
    (sa,) = report(path).ike_sas
    named = [name for each in sa.exchanges if each.type == "INFORMATIONAL" for name in each.payloads.request]
    assert named == ["N(RESPONDER_LIFETIME)", "D"]


def test_trap_t15_fragments_of_two_sas_interleaved_and_last_first_are_joined(shared: Path, tmp_path: Path) -> None:
    """Two sessions of one gateway at once, their vendor fragments mixed and each set backwards."""
    folder = shared / "captures/lab/ikev1-fragmentation"
    frames = list(open_capture(folder / "capture.pcap").frames())
    alone = report(folder / "capture.pcap", folder / "keys.json")
    (sa,) = alone.ike_sas
    whole = [each for each in sa.exchanges[0].messages if len(each.frames) > 1]
    assert whole
    cookies = bytes.fromhex(sa.spi_i), bytes.fromhex(sa.spi_r or "")
    wire = Wire(frames[0].link_type)
    order = list(range(1, len(frames) + 1))
    for each in whole:
        first, last = min(each.frames), max(each.frames)
        assert each.frames == list(range(first, last + 1))
        order[first - 1 : last] = range(last, first - 1, -1)
    for number in order:
        data = frames[number - 1].data
        wire.frame(data).frame(data.replace(cookies[0], b"\x55" * 8).replace(cookies[1], b"\x66" * 8))
    found = report(wire.write(tmp_path / "a.pcap"), folder / "keys.json")
    mine, other = found.ike_sas
    assert [each.payloads for each in mine.exchanges[0].messages] == [
        each.payloads for each in sa.exchanges[0].messages
    ]
    assert sum(each.opened for each in mine.exchanges) == sum(each.opened for each in sa.exchanges)
    assert sorted(each.octets for each in other.exchanges[0].messages) == sorted(
        each.octets for each in sa.exchanges[0].messages
    )


IDENTITY = ikev2.IdentificationInitiator(id_type=IdType.ID_FQDN, data=b"a.example")
HASH = ikev1.Hash(data=bytes(range(32)))


@pytest.mark.parametrize("copy_first", [False, True], ids=["encrypted-first", "copy-first"])
def test_trap_t36_decrypted_copy_of_an_ikev2_message_is_the_same_message(tmp_path: Path, *, copy_first: bool) -> None:
    """What a Cisco ASA captures with ``type isakmp``: each encrypted message, and its payloads once more in the clear."""
    plain, noisy = Wire().init(), Wire().init()
    for back in (False, True):
        flags = 0x20 if back else 0x08
        body = ikev2.IdentificationResponder(id_type=IdType.ID_FQDN, data=b"b.example") if back else IDENTITY
        first = int(type(body).of or 0)
        sent = message(sealed_as(first, 7 + back), kind=35, mid=1, flags=flags)
        copy = message(body, ikev2.Nonce(data=b"n" * 32), kind=35, mid=1, flags=flags)
        plain.udp(sent, back=back)
        for data in (copy, sent) if copy_first else (sent, copy):
            noisy.udp(data, back=back)
    alone, found = report(plain.write(tmp_path / "a.pcap")), report(noisy.write(tmp_path / "b.pcap"))
    (sa,), (expected,) = found.ike_sas, alone.ike_sas
    assert [(each.type, each.outcome, len(each.messages), each.retransmissions) for each in sa.exchanges] == [
        (each.type, each.outcome, len(each.messages), each.retransmissions) for each in expected.exchanges
    ]
    assert (sa.state, sa.basis) == (expected.state, expected.basis)
    assert sa.initiator.id is None  # nothing proves what the copy says
    assert [note.kind for note in found.notes].count("capture.decrypted-copy") == 2


def sealed_as(first: int, octet: int) -> Payload:
    return Payload(ikev2.Encrypted(data=bytes([octet]) * 200), next_payload=first)


@pytest.mark.parametrize("flags", [0, 1], ids=["flag-cleared", "flag-kept"])
def test_trap_t36_decrypted_copies_of_ikev1_messages_are_the_same_messages(tmp_path: Path, flags: int) -> None:
    plain, noisy = Wire().main_mode(), Wire().main_mode()
    cipher = bytes(range(100, 196))
    clear = v1(QUICK, HASH, V1_SA, mid=9, flags=flags)
    for wire in (plain, noisy):
        wire.udp(v1(QUICK, mid=9, ciphertext=cipher + bytes(16)))
    noisy.udp(clear)
    for wire in (plain, noisy):
        wire.udp(v1(QUICK, mid=9, ciphertext=cipher[::-1] + bytes(16)), back=True)
        wire.udp(v1(QUICK, mid=9, ciphertext=cipher + bytes(16)))  # a retransmission, and its copy
    noisy.udp(clear)
    alone, found = report(plain.write(tmp_path / "a.pcap")), report(noisy.write(tmp_path / "b.pcap"))
    (sa,), (expected,) = found.ike_sas, alone.ike_sas
    assert [(each.type, each.outcome, len(each.messages), each.retransmissions) for each in sa.exchanges] == [
        (each.type, each.outcome, len(each.messages), each.retransmissions) for each in expected.exchanges
    ]
    assert [note.kind for note in found.notes].count("capture.decrypted-copy") == 2


def test_trap_t36_forged_notify_in_the_clear_is_no_copy(tmp_path: Path) -> None:
    """An attacker's answer in the clear has another first payload than the encrypted one, so it stays visible."""
    wire = Wire().init().udp(message(sealed(1), kind=35, mid=1))
    wire.udp(message(notify(NotifyType.AUTHENTICATION_FAILED), kind=35, mid=1, flags=0x20), back=True)
    wire.udp(message(sealed_as(36, 2), kind=35, mid=1, flags=0x20), back=True)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert len(found.ike_sas[0].exchanges[1].frames.response) == 2
    assert "capture.decrypted-copy" not in {note.kind for note in found.notes}


def test_trap_t28_transform_numbers_differ_between_the_versions(shared: Path) -> None:
    folder = shared / "captures/lab"
    text = tree(folder / "ikev1-main-psk/capture.pcap", 1)
    assert "AES_CBC" in text
