"""Traps of keys: wrong ones, short ones, changing ones, and sources that say less than they should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from packets import RAW, ipv4, udp
from packets import esp as esp_packet
from staged_captures import Wire, codes, played, report, tree

from ipsecscope.capture.files import open_capture
from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keys import IkeV2Keys, KeyRecord, PreSharedKey, SaKeys, SharedSecret
from ipsecscope.decrypt.keys import Ppk as PpkRecord
from ipsecscope.decrypt.opening_esp import EspSa
from ipsecscope.decrypt.sealing import seal_esp
from ipsecscope.decrypt.secret import Secret

SPI = 0xC0FFEE01
KEY, MAC_KEY = bytes(range(16)), bytes(range(32))
INNER = ipv4(udp(b"nobody may see this without its key", 4711, 4712), 17, "10.1.0.10", "10.2.0.10")
TUNNEL, DUMMY = 4, 59


def analysed(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """The command line as a user runs it."""
    command = [sys.executable, "-m", "ipsecscope", "analyze", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def cbc_sha256(name: str = "HMAC_SHA2_256_128") -> EspSa:
    return EspSa(
        encryption=encryption_by_name("AES_CBC")[0],
        encryption_key=Secret(KEY),
        integrity=integrity_by_name(name),
        integrity_key=Secret(MAC_KEY),
    )


def esp_file(path: Path, sa: EspSa, numbers: list[tuple[int, int | None]]) -> Path:
    """ESP packets with these sequence numbers: lower half, and upper half or None."""
    wire = Wire()
    for low, high in numbers:
        iv = low.to_bytes(sa.encryption.iv_size, "big")
        wire.esp(seal_esp(sa, INNER, TUNNEL, spi=SPI, sequence_number=low, iv=iv, esn_high=high))
    return wire.write(path)


def table(path: Path, *rows: tuple[str, bytes, str, bytes]) -> Path:
    """Wireshark's ``esp_sa`` with these ciphers and keys for the SPI above."""
    lines = [
        f'"IPv4","*","*","{SPI:#010x}","{cipher}","0x{key.hex()}","{mac}","0x{mac_key.hex()}"'
        for cipher, key, mac, mac_key in rows
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


CBC_ROW = ("AES-CBC [RFC3602]", KEY, "HMAC-SHA-256-128 [RFC4868]", MAC_KEY)


def test_trap_t05_both_key_sets_of_one_spi_pair_are_used(shared: Path) -> None:
    """RFC 9370: IKE_INTERMEDIATE opens with the first keys of an SPI pair, IKE_AUTH with the second ones."""
    folder = shared / "captures/lab/ss6-mlkem768-x25519"
    found = report(folder / "capture.pcap", folder / "ikev2_decryption_table")
    (sa,) = found.ike_sas
    assert {(each.type, each.opened == each.encrypted) for each in sa.exchanges[1:]} >= {
        ("IKE_INTERMEDIATE", True),
        ("IKE_AUTH", True),
    }
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (7, 7)
    assert sa.proposal is not None
    assert sa.proposal.ke == ["CURVE25519", "ML_KEM_768"]


def test_trap_t05_keys_behind_an_intermediate_exchange_are_derived(shared: Path) -> None:
    """With the first SK set and the ML-KEM secret only, the keys of IKE_AUTH and of ESP follow."""
    folder = shared / "captures/lab/ss6-mlkem768-x25519"
    records = read_keys(folder / "keys.json").records
    sets = [each for each in records if isinstance(each, IkeV2Keys)]
    secrets = [each for each in records if isinstance(each, SharedSecret)]
    assert len(sets) >= 2
    found = report(folder / "capture.pcap", records=[sets[0], *secrets])
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.packets_opened, found.keys.packets_refused) == (7, 6, 0)


def test_trap_t19_wrong_key_is_refused_and_shows_nothing(tmp_path: Path) -> None:
    path = esp_file(tmp_path / "a.pcap", cbc_sha256(), [(1, None), (2, None)])
    wrong = table(tmp_path / "keys", (*CBC_ROW[:3], MAC_KEY[::-1]))
    (flow,) = report(path, wrong).flows
    assert (flow.opened, flow.refused) == (0, 2)
    assert "integrity" in (flow.reason or "")
    assert flow.inner is not None
    assert (flow.inner.packets, flow.inner.protocols) == (0, {})
    run = analysed(path, "--keys", wrong)
    assert run.returncode == 0
    assert "2 refused" in run.stdout
    assert "UDP" not in run.stdout


def test_trap_t19_right_integrity_key_with_a_wrong_cipher_key_is_refused(tmp_path: Path) -> None:
    path = esp_file(tmp_path / "a.pcap", cbc_sha256(), [(number, None) for number in range(1, 9)])
    (flow,) = report(path, table(tmp_path / "keys", (CBC_ROW[0], KEY[::-1], *CBC_ROW[2:]))).flows
    assert (flow.opened, flow.refused) == (0, 8)
    assert flow.reason


def test_trap_t19_wrong_ike_keys_open_nothing(shared: Path) -> None:
    folder = shared / "captures/lab/ikev2-psk-aes256ctr-sha512"
    records = [each for each in read_keys(folder / "keys.json").records if isinstance(each, IkeV2Keys)]
    wrong = [
        msgspec.structs.replace(
            each,
            skeyseed=None,
            **{
                name: Secret(bytes(octet ^ 1 for octet in getattr(each, name).reveal()))
                for name in ("sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_d", "sk_pi", "sk_pr")
                if getattr(each, name) is not None
            },
        )
        for each in records
    ]
    found = report(folder / "capture.pcap", records=wrong)
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (0, 4)
    (sa,) = found.ike_sas
    assert sa.initiator.id is None
    reasons = {message.reason for each in sa.exchanges for message in each.messages if message.encrypted}
    assert all("integrity" in (reason or "") for reason in reasons)


CIPHERS = (
    "NULL",
    "TripleDES-CBC [RFC2451]",
    "AES-CBC [RFC3602]",
    "AES-CTR [RFC3686]",
    "DES-CBC [RFC2405]",
    "CAST5-CBC [RFC2144]",
    "BLOWFISH-CBC [RFC2451]",
    "AES-GCM with 8 octet ICV [RFC4106]",
    "AES-GCM with 12 octet ICV [RFC4106]",
    "AES-GCM with 16 octet ICV [RFC4106]",
    "ChaCha20 with Poly1305 [RFC7634]",
)
INTEGRITY = ("NULL", "HMAC-SHA-1-96 [RFC2404]", "HMAC-SHA-256-128 [RFC4868]", "MAC-RIPEMD-160-96 [RFC2857]", "AES-GMAC")


def test_trap_t20_keys_of_every_length_end_in_a_line_or_a_refusal(tmp_path: Path) -> None:
    """Every cipher and every integrity algorithm with keys of 0 to 70 octets: named or refused, never a traceback."""
    path = Wire().esp(esp_packet(spi=SPI, size=120)).esp(esp_packet(spi=SPI, seq=2, size=88)).write(tmp_path / "a.pcap")
    rows = [(cipher, bytes(size), "NULL", b"") for cipher in CIPHERS for size in range(71)]
    rows += [("NULL", b"", mac, bytes(size)) for mac in INTEGRITY[1:] for size in range(71)]
    for name, part in (("ciphers", rows[: 11 * 71]), ("macs", rows[11 * 71 :])):
        run = analysed(path, "--keys", table(tmp_path / name, *part))
        assert run.returncode in (0, 3), run.stderr[-400:]
        assert "Traceback" not in run.stderr
        assert "internal fault" not in run.stderr
    assert (
        "keys:1: "
        in analysed(path, "--keys", table(tmp_path / "keys", ("AES-CBC [RFC3602]", bytes(5), "NULL", b""))).stderr
    )


def test_trap_t21_gcm_rows_of_strongswan_with_any_128_bit_are_read(shared: Path) -> None:
    """save-keys writes ``AES-GCM [RFC4106]`` with ``ANY 128 bit authentication``, which Wireshark refuses."""
    folder = shared / "captures/lab/ss6-raw-esp-gcm-pfs-rekey"
    keys = folder / "save-keys-initiator-esp_sa"
    assert "ANY 128 bit" in keys.read_text()
    found = report(folder / "capture.pcap", keys)
    assert found.keys is not None
    assert (found.keys.packets_opened, found.keys.packets_refused) == (12, 0)


@pytest.mark.parametrize("octets", [8, 12])
def test_trap_t22_gcm_with_a_short_icv_opens(shared: Path, octets: int) -> None:
    folder = shared / f"captures/lab/xfrm-manual-esp-tunnel-gcm-icv{octets}"
    found = report(folder / "capture.pcap", folder / "keys.json")
    assert found.keys is not None
    assert (found.keys.packets_opened, found.keys.packets_refused) == (6, 0)


def test_trap_t23_sha2_256_cut_to_96_bits_opens_and_is_said(tmp_path: Path) -> None:
    """Old Linux kernels and Android cut HMAC-SHA2-256 to 96 bits; the key file says 128."""
    path = esp_file(tmp_path / "a.pcap", cbc_sha256("HMAC_SHA2_256_96"), [(1, None), (2, None)])
    found = report(path, table(tmp_path / "keys", CBC_ROW))
    (flow,) = found.flows
    assert (flow.opened, flow.refused) == (2, 0)
    assert "another length than negotiated" in codes(found)["ESP-005"].summary


def test_trap_t24_odd_padding_tfc_and_dummies_open(tmp_path: Path) -> None:
    sa = cbc_sha256()
    wire = Wire()
    iv = bytes(16)
    size = -(len(INNER) + 2) % 16
    wire.esp(seal_esp(sa, INNER, TUNNEL, spi=SPI, sequence_number=1, iv=iv, padding=bytes(size)))
    wire.esp(seal_esp(sa, INNER, TUNNEL, spi=SPI, sequence_number=2, iv=iv, tfc_padding=40))
    wire.esp(seal_esp(sa, bytes(64), DUMMY, spi=SPI, sequence_number=3, iv=iv))
    (flow,) = report(wire.write(tmp_path / "a.pcap"), table(tmp_path / "keys", CBC_ROW)).flows
    assert (flow.opened, flow.refused) == (3, 0)
    assert flow.inner is not None
    assert flow.inner.protocols == {"UDP": 2}


TOP = 0xFFFFFFFF


def test_trap_t25_upper_half_is_found_by_the_icv_and_the_roll_over_is_followed(tmp_path: Path) -> None:
    """The key file says nothing of extended sequence numbers; the SA is older than the capture and rolls over in it."""
    numbers = [(TOP - 2, 7), (TOP - 1, 7), (TOP, 7), (0, 8), (1, 8), (2, 8)]
    found = report(esp_file(tmp_path / "a.pcap", cbc_sha256(), numbers), table(tmp_path / "keys", CBC_ROW))
    (flow,) = found.flows
    assert (flow.opened, flow.refused) == (6, 0)
    assert flow.sequence.rolled_over
    finding = codes(found)["ESP-003"]
    assert (finding.severity, finding.confidence) == ("info", "certain")


def test_trap_t25_roll_over_without_extended_sequence_numbers_is_a_fault(tmp_path: Path) -> None:
    numbers: list[tuple[int, int | None]] = [(TOP - 1, None), (TOP, None), (0, None), (1, None)]
    path = esp_file(tmp_path / "a.pcap", cbc_sha256(), numbers)
    found = report(path, table(tmp_path / "keys", CBC_ROW))
    assert (found.flows[0].opened, found.flows[0].sequence.rolled_over) == (4, True)
    finding = codes(found)["ESP-003"]
    assert (finding.severity, finding.confidence) == ("high", "certain")
    assert "had to stop" in finding.summary
    assert codes(report(path))["ESP-003"].confidence == "possible"


@pytest.mark.parametrize(
    "scenario", ["xfrm-ikev2-ah-transport", "xfrm-ikev2-ah-transport-v6", "xfrm-manual-ah-tunnel-sha256"]
)
def test_trap_t41_ah_is_verified_with_its_mutable_fields_zeroed(shared: Path, tmp_path: Path, scenario: str) -> None:
    """TTL, TOS and DF may change on the way; an address may not."""
    folder = shared / "captures/lab" / scenario
    keys = folder / "keys.json"
    frames = list(open_capture(folder / "capture.pcap").frames())
    changed, forged = Wire(frames[0].link_type), Wire(frames[0].link_type)
    for each in frames:
        at = 14 if each.link_type != RAW else 0
        data, other = bytearray(each.data), bytearray(each.data)
        if data[at] >> 4 == 4 and data[at + 9] == 51:
            data[at + 1], data[at + 8] = 0xB8, 3
            other[at + 15] ^= 1
        elif data[at] >> 4 == 6 and data[at + 6] == 51:
            data[at + 7] = 3
            other[at + 23] ^= 1
        changed.frame(bytes(data))
        forged.frame(bytes(other))
    found = report(changed.write(tmp_path / "a.pcap"), keys)
    assert found.keys is not None
    assert (found.keys.packets_opened, found.keys.packets_refused) == (6, 0)
    found = report(forged.write(tmp_path / "b.pcap"), keys)
    assert found.keys is not None
    assert (found.keys.packets_opened, found.keys.packets_refused) == (0, 6)


@pytest.mark.parametrize(
    ("scenario", "protocol"),
    [("xfrm-ikev2-esp-null-gmac", "ICMP"), ("xfrm-ikev2-ipcomp", "IPCOMP")],
    ids=["gmac", "ipcomp"],
)
def test_trap_t42_t43_null_with_gmac_and_ipcomp_inside_esp_are_classified(
    shared: Path, scenario: str, protocol: str
) -> None:
    folder = shared / "captures/lab" / scenario
    found = report(folder / "capture.pcap", folder / "keys.json")
    assert found.keys is not None
    assert (found.keys.packets_opened, found.keys.packets_refused) == (6, 0)
    assert {name for flow in found.flows for name in (flow.inner.protocols if flow.inner else {})} == {protocol}


def without_ppk(records: tuple[KeyRecord, ...]) -> list[KeyRecord]:
    """What was known before the PPK was mixed in: no ESP keys, no second set."""
    return [
        each
        for each in records
        if not isinstance(each, SaKeys | PpkRecord) and not (isinstance(each, IkeV2Keys) and each.uses_ppk)
    ]


def test_trap_t49_child_keys_behind_a_ppk_need_the_ppk(tmp_path: Path) -> None:
    """RFC 8784: IKE_AUTH opens with the keys as they are, the Child SA only with SK_d mixed with the PPK."""
    path, records = played("ikev2-ppk", tmp_path)
    bare = without_ppk(records)
    origin = bare[0].origin
    ppk = PpkRecord(origin=origin, value=Secret(b"\x07" * 32), ppk_id="ppk-7")
    psk = PreSharedKey(origin=origin, value=Secret(b"correct horse battery staple"))
    without, found = report(path, records=bare), report(path, records=[*bare, ppk, psk])
    assert without.keys is not None
    assert found.keys is not None
    assert (without.keys.ike_opened, without.keys.packets_opened) == (2, 0)
    assert (found.keys.ike_opened, found.keys.packets_opened, found.keys.packets_refused) == (2, 4, 0)
    (sa,) = found.ike_sas
    assert {"PPK_IDENTITY", "NO_PPK_AUTH"} <= set(sa.exchanges[1].notifies)
    assert sa.auth.verified is True


def test_trap_t49_ppk_together_with_ml_kem_opens(shared: Path) -> None:
    folder = shared / "captures/lab/ss6-mlkem-ppk"
    found = report(folder / "capture.pcap", folder / "keys.json")
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.packets_opened, found.keys.packets_refused) == (7, 6, 0)


def test_trap_t50_ml_kem_payloads_of_either_role_have_their_own_size(shared: Path) -> None:
    path = shared / "captures/lab/ss6-mlkem768-only/capture.pcap"
    found = report(path)
    assert not {note.kind for note in found.notes} & {"ke.size", "ikev2.ke-size"}
    requested, answered = tree(path, 1), tree(path, 2)
    assert "(1184 octets)" in requested
    assert "(1088 octets)" in answered
