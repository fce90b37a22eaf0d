"""The log of charon in the states that logs are found in: no mgr lines, no names, interleaved, restarted, cut."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, KeyFile, PreSharedKey, Role, SaKeys, SharedSecret

SPI_I, SPI_R = "6568a92b29999568", "fa23f5641d8663a6"


def dump(name: str, octets: bytes, tag: str = "10[IKE] <lab|1>") -> str:
    lines = [f"{tag} {name} => {len(octets)} bytes @ 0x7f0b"]
    for at in range(0, len(octets), 16):
        row = octets[at : at + 16]
        text = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        lines.append(f"{tag}  {at:3}: {' '.join(f'{octet:02X}' for octet in row):<48} {text}")
    return "\n".join(lines) + "\n"


def sk(start: int, tag: str = "10[IKE] <lab|1>") -> str:
    names = ("Sk_d", "Sk_ai", "Sk_ar", "Sk_ei", "Sk_er", "Sk_pi", "Sk_pr")
    sizes = (32, 32, 32, 16, 16, 32, 32)
    return "".join(
        dump(f"{name} secret", bytes([start + i]) * size, tag)
        for i, (name, size) in enumerate(zip(names, sizes, strict=True))
    )


CHILD = (
    "10[CHD] <lab|1>   using AES_CBC for encryption\n10[CHD] <lab|1>   using HMAC_SHA2_256_128 for integrity\n"
    + dump("encryption initiator key", b"\x31" * 16, "10[CHD] <lab|1>")
    + dump("encryption responder key", b"\x32" * 16, "10[CHD] <lab|1>")
    + dump("integrity initiator key", b"\x33" * 32, "10[CHD] <lab|1>")
    + dump("integrity responder key", b"\x34" * 32, "10[CHD] <lab|1>")
    + "10[CHD] <lab|1> adding inbound ESP SA\n10[CHD] <lab|1>   SPI 0x1bebe3e1, src 198.51.100.20 dst 192.0.2.10\n"
    "10[CHD] <lab|1> adding outbound ESP SA\n10[CHD] <lab|1>   SPI 0x900e791c, src 192.0.2.10 dst 198.51.100.20\n"
)
PROPOSAL = "10[CFG] <lab|1> selected proposal: IKE:AES_CBC_128/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_2048\n"
CHECKIN = f"10[MGR] <lab|1> checkin IKEv2 SA lab[1] with SPIs {SPI_I}_i {SPI_R}_r\n"


def read(text: str) -> KeyFile:
    return read_keys(text.encode(), "charon.log")


def ike2(key_file: KeyFile) -> list[IkeV2Keys]:
    return [record for record in key_file.records if isinstance(record, IkeV2Keys)]


def sas(key_file: KeyFile) -> list[SaKeys]:
    return [record for record in key_file.records if isinstance(record, SaKeys)]


def spis(record: IkeV2Keys) -> tuple[str, str]:
    return (record.spi_i or b"").hex(), (record.spi_r or b"").hex()


@pytest.mark.parametrize(
    "prefix",
    [
        "",
        "2026-11-20T16:10:16.958 ",
        "Nov 20 15:28:56 ",
        "Nov 20 15:28:56 moon charon[1234]: ",
        "2026-11-20T16:10:16+0100 moon charon-systemd[9]: ",
        "<30>Nov 20 15:28:56 moon charon: ",
        "moon  | ",
        "\x1b[33mNov 20 15:28:56\x1b[0m ",
    ],
    ids=["none", "iso", "filelog", "syslog", "journald", "rfc3164", "compose", "ansi"],
)
def test_charon_lines_are_read_behind_every_prefix(prefix: str) -> None:
    text = PROPOSAL + dump("SKEYSEED", b"\x01" * 32) + sk(2) + CHECKIN
    key_file = read("".join(f"{prefix}{line}\r\n" for line in text.splitlines()))
    (record,) = ike2(key_file)
    assert key_file.problems == ()
    assert spis(record) == (SPI_I, SPI_R)
    assert record.sk_pr is not None
    assert record.sk_pr.reveal() == b"\x08" * 32


def test_threads_that_interleave_are_told_apart() -> None:
    one = dump("SKEYSEED", b"\x01" * 32) + sk(2) + CHECKIN
    two = (dump("SKEYSEED", b"\x41" * 32) + sk(0x42)).replace("10[", "11[").replace("lab|1", "lab|2")
    two += f"11[MGR] <lab|2> checkin IKEv2 SA lab[2] with SPIs {SPI_R}_i {SPI_I}_r\n"
    mixed = [line for pair in zip(one.splitlines(), two.splitlines(), strict=True) for line in pair]
    first, second = ike2(read("\n".join(mixed)))
    assert (spis(first), spis(second)) == ((SPI_I, SPI_R), (SPI_R, SPI_I))
    assert first.sk_d is not None
    assert second.sk_d is not None
    assert (first.sk_d.reveal(), second.sk_d.reveal()) == (b"\x02" * 32, b"\x42" * 32)


def test_log_without_names_and_mgr_lines_has_keys_without_spis() -> None:
    text = (PROPOSAL + dump("SKEYSEED", b"\x01" * 32) + sk(2) + CHILD).replace("<lab|1> ", "")
    key_file = read(text)
    (record,) = ike2(key_file)
    assert (record.spi_i, record.spi_r, record.sequence) == (None, None, 0)
    assert record.encryption is not None
    assert record.encryption.key_bits == 128


def test_log_without_mgr_lines_takes_spis_from_dumps_of_headers() -> None:
    natd = dump("natd_chunk", bytes.fromhex(SPI_I + SPI_R) + b"\xc0\x00\x02\x0a\x01\xf4")
    zero = dump("natd_chunk", bytes.fromhex(SPI_I) + bytes(8) + b"\xc0\x00\x02\x0a\x01\xf4")
    (record,) = ike2(read(zero + natd + dump("SKEYSEED", b"\x01" * 32) + sk(2)))
    assert spis(record) == (SPI_I, SPI_R)
    octets = dump("octets = message + nonce + prf(Sk_px, IDx')", bytes.fromhex(SPI_I + SPI_R) + bytes(100))
    (record,) = ike2(read(dump("SKEYSEED", b"\x01" * 32) + sk(2) + octets))
    assert spis(record) == (SPI_I, SPI_R)


def test_rekeyed_keys_under_the_old_id_get_the_new_spis() -> None:
    text = (
        dump("SKEYSEED", b"\x01" * 32) + sk(2) + CHECKIN
        + dump("shared Diffie Hellman secret", b"\x09" * 32) + dump("SKEYSEED", b"\x11" * 32) + sk(0x12)
        + "10[MGR] <lab|1> checkin IKEv2 SA lab[2] with SPIs aaaaaaaaaaaaaaaa_i bbbbbbbbbbbbbbbb_r\n" + CHECKIN
    )  # fmt: skip
    key_file = read(text)
    assert [spis(record) for record in ike2(key_file)] == [(SPI_I, SPI_R), ("a" * 16, "b" * 16)]
    (secret,) = (record for record in key_file.records if isinstance(record, SharedSecret))
    assert secret.spi_i == b"\xaa" * 8


def test_keys_of_a_newer_sa_wait_for_its_own_checkin() -> None:
    text = (
        (dump("SKEYSEED", b"\x11" * 32) + sk(0x12)).replace("lab|1", "lab|2") + CHECKIN
        + "10[MGR] <lab|2> checkin IKEv2 SA lab[2] with SPIs aaaaaaaaaaaaaaaa_i bbbbbbbbbbbbbbbb_r\n"
    )  # fmt: skip
    (record,) = ike2(read(text))
    assert spis(record) == ("a" * 16, "b" * 16)


def test_ids_that_start_again_after_a_restart_are_not_mixed_up() -> None:
    run = dump("SKEYSEED", b"\x01" * 32) + sk(2) + CHECKIN
    again = (dump("SKEYSEED", b"\x21" * 32) + sk(0x22)).replace("10[", "12[")
    start = "00[DMN] Starting IKE charon daemon (strongSwan 5.9.8, Linux 6.1)\n"
    records = ike2(read(run + start + again))
    assert [spis(record) for record in records] == [(SPI_I, SPI_R), ("", "")]


def test_dump_cut_by_another_line_is_a_problem_and_the_rest_is_used() -> None:
    broken = "\n".join(dump("Sk_d secret", b"\x01" * 32).splitlines()[:2]) + "\n"
    key_file = read(broken + sk(2) + CHECKIN)
    assert [(problem.line, problem.reason) for problem in key_file.problems] == [
        (1, 'the dump of "Sk_d secret" has 16 of 32 octets')
    ]
    assert len(ike2(key_file)) == 1


def test_dump_that_carries_no_key_may_be_cut() -> None:
    assert read(dump("natd_hash", bytes(20)).splitlines()[0] + "\n").problems == ()
    assert read("10[IKE] natd_hash => 999999 bytes @ 0x1\n").problems == ()


def test_child_without_a_message_of_its_exchange_gets_both_keys() -> None:
    candidates = sas(read(CHILD))
    assert [(sa.spi, sa.role) for sa in candidates] == [
        (0x1BEBE3E1, Role.INITIATOR), (0x1BEBE3E1, Role.RESPONDER),
        (0x900E791C, Role.INITIATOR), (0x900E791C, Role.RESPONDER),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "inbound"), [("response", Role.RESPONDER), ("request", Role.INITIATOR)], ids=["initiator", "responder"]
)
def test_child_keys_go_by_the_role_in_the_exchange(kind: str, inbound: Role) -> None:
    first, second = sas(read(f"10[ENC] <lab|1> parsed IKE_AUTH {kind} 1 [ IDr AUTH SA TSi TSr ]\n{CHILD}"))
    assert first.role == inbound
    assert second.role != inbound
    expected = b"\x31" if inbound is Role.INITIATOR else b"\x32"
    assert first.encryption_key.reveal() == expected * 16


def test_child_takes_algorithms_from_the_proposal_when_the_log_has_no_using_lines() -> None:
    text = re.sub(r".*using .*\n", "", CHILD)
    proposal = "10[CFG] <lab|1> selected proposal: ESP:AES_CBC_128/HMAC_SHA2_256_128/EXT_SEQ\n"
    message = "10[ENC] <lab|1> parsed IKE_AUTH response 1 [ SA ]\n"
    (first, _) = sas(read(proposal + message + text))
    assert (first.esn, first.encryption.name if first.encryption else "") == (True, "AES_CBC_128")
    key_file = read(message + text)
    assert sas(key_file) == []
    assert "does not tell the algorithm" in key_file.problems[0].reason


def test_install_without_keys_is_the_second_half_of_a_rekeying() -> None:
    text = "10[CHD] <lab|1> adding outbound ESP SA\n10[CHD] <lab|1>   SPI 0xb162a9ac, src 1.2.3.4 dst 5.6.7.8\n"
    assert read(text).records == ()
    assert read("10[CHD] <lab|1>   SPI 0xb162a9ac, src 1.2.3.4 dst 5.6.7.8\n").records == ()


def test_secret_of_a_child_that_was_never_installed_is_kept() -> None:
    key_file = read(dump("DH secret", b"\x05" * 32, "10[CHD] <lab|1>") + CHECKIN)
    (secret,) = (record for record in key_file.records if isinstance(record, SharedSecret))
    assert (secret.child_spis, secret.order) == ((), 0)


def test_psk_of_a_failed_authentication_is_kept_without_id() -> None:
    secret = dump("secret", b"wrong")
    key_file = read(
        secret + secret + "10[IKE] <lab|1> tried 1 shared key for 'a' - 'b', but MAC mismatched\n" + CHECKIN
    )
    assert [(r.value.reveal(), r.ids) for r in key_file.records if isinstance(r, PreSharedKey)] == [(b"wrong", ())]


def test_psk_has_the_identities_of_both_sides() -> None:
    secret = dump("secret", b"correct horse")
    key_file = read(
        "10[IKE] <lab|1> authentication of 'carol' (myself) with pre-shared key\n" + secret
        + secret + "10[IKE] <lab|1> authentication of 'moon' with pre-shared key successful\n"
    )  # fmt: skip
    assert [r.ids for r in key_file.records if isinstance(r, PreSharedKey)] == [("carol", "moon")]


def test_ikev1_without_proposal_has_its_keys() -> None:
    names = ("SKEYID", "SKEYID_d", "SKEYID_a", "SKEYID_e", "encryption key Ka", "initial IV")
    text = "".join(dump(name, bytes([at + 1]) * 16) for at, name in enumerate(names))
    (record,) = read(text + CHECKIN.replace("IKEv2", "IKEv1")).records
    assert isinstance(record, IkeV1Keys)
    assert (record.cookie_i, record.iv, record.hash) == (bytes.fromhex(SPI_I), b"\x06" * 16, None)


def test_key_of_another_length_than_the_proposal_says_is_a_problem() -> None:
    text = PROPOSAL.replace("AES_CBC_128", "AES_CBC_256") + sk(2) + CHECKIN
    key_file = read(text)
    assert ike2(key_file) == []
    assert [problem.reason for problem in key_file.problems] == ["16 octets of key for AES_CBC_256"]


def test_ppk_without_keys_before_it_is_a_set_of_its_own() -> None:
    text = dump("derive keys using PPK", b"\x01" * 32) + dump("Sk_d secret", b"\x02" * 32) + CHECKIN
    (record,) = ike2(read(text + "10[CFG] <lab|1> using PPK for PPK_ID 'x'\n"))
    assert (record.uses_ppk, record.sk_ei) == (True, None)
    assert read("10[CFG] <lab|1> using PPK for PPK_ID 'x'\n").records == ()


def test_log_without_keys_is_a_note(shared: Path) -> None:
    key_file = read_keys(shared / "captures" / "lab" / "probe-ike-scan-silent" / "responder.log")
    assert (key_file.records, key_file.problems) == ((), ())
    assert "ike = 4" in key_file.notes[0].reason


def test_sets_whose_spis_never_come_are_not_kept_for_ever() -> None:
    text = "".join(dump("SKEYSEED", at.to_bytes(16, "big")) for at in range(1, 1_203))
    assert len(ike2(read(text))) == 1_202


# -- pluto -------------------------------------------------------------------------------------------------------


PLUTO = """\
Nov 20 16:17:24.758248: |    initiator SPI: 75 cf 07 b8  bc 0d 71 03
Nov 20 16:17:24.758269: |    responder SPI: 07 7b f3 dc  f2 d0 7c b7
Nov 20 16:17:24.777479: | chunk_SK_pi extracted len 20 bytes at 0x5641d15bcd70
Nov 20 16:17:24.777497: | unwrapped:
Nov 20 16:17:24.777511: |   d0 67 64 af  81 06 62 c1  16 73 a3 79  9f 83 fc d2   .gd...b..s.y....
Nov 20 16:17:24.777522: |   5f 48 d1 a0                                          _H..
Nov 20 16:17:24.777546: |     key-offset: 192, key-size: 32
Nov 20 16:17:24.777896: | chunk_SK_pr extracted len 20 bytes at 0x5641d15bcff0
Nov 20 16:17:24.777910: | unwrapped:
Nov 20 16:17:24.777922: |   66 dd 1b c1  6a a8 0f d1  f5 26 42 8d  0f 61 e2 7c   f...j....&B..a.|
Nov 20 16:17:24.777932: |   e4 2a 6b 12                                          .*k.
Nov 20 16:17:24.777956: | NSS ikev2: finished computing individual keys for IKEv2 SA
Nov 20 16:17:26.053153: | ESP encrypt key:
Nov 20 16:17:26.053169: |   51 e5 52 7b  94 9c a0 68  de a7 8c c4  33 5d 3b 54   Q.R{...h....3];T
Nov 20 16:17:26.053181: |   31 22 fe 4a                                          1".J
Nov 20 16:17:26.053501: | kernel: add_sa() level=0 outbound tunnel 10.1.0.0/24-ALL->192.0.2.10[2e0ee9a6]=espinudp==>198.51.100.20-ALL->10.2.0.0/24 +esn replay_window=128 NONE:0 AES_GCM_16:20
"""


def test_pluto_log_has_sk_p_and_aead_keys_over_udp() -> None:
    key_file = read(PLUTO)
    assert key_file.problems == ()
    (ike,), (sa,) = ike2(key_file), sas(key_file)
    assert spis(ike) == ("75cf07b8bc0d7103", "077bf3dcf2d07cb7")
    assert ike.sk_pr is not None
    assert ike.sk_pr.reveal().hex() == "66dd1bc16aa80fd1f526428d0f61e27ce42a6b12"
    assert (sa.spi, sa.esn, sa.integrity, len(sa.encryption_key)) == (0x2E0EE9A6, True, None, 20)
    assert sa.encapsulation is not None
    assert sa.encapsulation.kind == "udp"


def test_pluto_log_with_a_cut_dump_says_so() -> None:
    key_file = read(PLUTO.replace("|   e4 2a 6b 12   ", "| xx e4 2a 6b 12"))
    assert [problem.reason for problem in key_file.problems] == ["the dump of sk_pr has 16 of 20 octets"]
    key_file = read(PLUTO.replace(" AES_GCM_16:20", ""))
    assert [problem.reason for problem in key_file.problems] == ["the add_sa() line behind these keys names no cipher"]


def test_pluto_add_sa_without_keys_before_it_is_passed_over() -> None:
    key_file = read(PLUTO.splitlines()[-1] + "\n")
    assert (key_file.records, key_file.problems, len(key_file.notes)) == ((), (), 1)


def test_pluto_keys_without_add_sa_are_replaced_by_the_next() -> None:
    lines = PLUTO.splitlines(keepends=True)
    key_file = read("".join(lines[:15] + lines[12:]))
    assert len(sas(key_file)) == 1
