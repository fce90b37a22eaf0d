"""The samples of the reference, block by block, and the vendors' formats that the lab has no daemon of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keys import (
    Direction,
    Encapsulation,
    IkeV1Keys,
    IkeV2Keys,
    KeyFile,
    Msk,
    Ppk,
    PreSharedKey,
    Role,
    SaKeys,
    SecretKind,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, IntegrityAlgorithm, SecurityProtocol

BLOCK = re.compile(r"^## (.+?)\n(.*?)^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(text: str) -> KeyFile:
    return read_keys(text.encode(), "sample")


def hexed(secret: Secret | None) -> str | None:
    return secret.reveal().hex() if secret is not None else None


def only(key_file: KeyFile) -> Any:
    assert key_file.problems == ()
    (record,) = key_file.records
    return record


def sas(key_file: KeyFile) -> list[SaKeys]:
    return [record for record in key_file.records if isinstance(record, SaKeys)]


@pytest.fixture(scope="module")
def samples(shared: Path) -> dict[str, str]:
    text = (shared / "reference" / "key-samples.md").read_text()
    return {title.strip(): block for title, _, block in BLOCK.findall(text)}


# -- samples of the reference ------------------------------------------------------------------------------------


SAMPLES = {  # title -> format, number and kinds of records
    "strongSwan 5.9.8 charon log, IKEv2 (filelog ike=4 chd=4, ike_name=yes)": ("strongswan", {IkeV2Keys: 1}),
    "strongSwan: which SPIs (needs mgr=2; the key lines themselves carry no SPI)": ("strongswan", {}),
    "strongSwan: CHILD_SA keys and SPIs": ("strongswan", {SaKeys: 4}),
    "strongSwan: at the responder of a rekey the outbound SA comes later": ("strongswan", {}),
    "strongSwan 5.9.8 charon log, IKEv1": ("strongswan", {IkeV1Keys: 1}),
    "strongSwan PPK: SK_d, SK_pi, SK_pr are replaced after IKE_AUTH": ("strongswan", {IkeV2Keys: 1, Ppk: 1}),
    'libreswan 4.10 pluto log, plutodebug="base,crypt,private": ESP': ("libreswan", {SaKeys: 1}),
    "libreswan 4.10 pluto log: AH": ("libreswan", {SaKeys: 1}),
    "ip -s xfrm state: ESP AEAD + encap": ("xfrm", {SaKeys: 1}),
    "ip xfrm state (without -s): AEAD": ("xfrm", {SaKeys: 2}),
    "ip -s xfrm state: ESN": ("xfrm", {SaKeys: 1}),
    "ip -s xfrm state: AH": ("xfrm", {SaKeys: 1}),
}


@pytest.mark.parametrize("title", sorted(SAMPLES))
def test_sample_block_gives_its_records(samples: dict[str, str], title: str) -> None:
    format_name, kinds = SAMPLES[title]
    key_file = read(samples[title])
    assert key_file.formats == (format_name,)
    assert key_file.problems == ()
    count = {kind: sum(isinstance(r, kind) for r in key_file.records) for kind in {type(r) for r in key_file.records}}
    assert count == kinds


def test_every_save_keys_sample_is_read(samples: dict[str, str]) -> None:
    blocks = {title: text for title, text in samples.items() if title.startswith("save-keys plugin")}
    assert len(blocks) > 15
    for title, text in blocks.items():
        if "(empty file)" in text:
            continue
        key_file = read(text)
        rows = len(text.strip().splitlines())
        assert (key_file.formats, len(key_file.records), key_file.problems) == (("wireshark",), rows, ()), title


def test_cut_sample_block_says_which_key_is_cut(samples: dict[str, str]) -> None:
    key_file = read(samples["ip xfrm state (without -s): ESN"])
    assert [record.seq_hi for record in sas(key_file)] == [5]
    assert [problem.reason for problem in key_file.problems] == ["the key has an odd number of hexadecimal digits (61)"]


def test_cut_charon_sample_says_which_dump_is_cut(samples: dict[str, str]) -> None:
    key_file = read(samples["strongSwan 6.0.6 charon log"])
    assert [type(record) for record in key_file.records] == [SharedSecret]
    assert [problem.reason for problem in key_file.problems] == ['the dump of "SKEYSEED" has 32 of 48 octets']


def test_charon_sample_has_the_values_of_its_dumps(samples: dict[str, str]) -> None:
    record = only(read(samples["strongSwan 5.9.8 charon log, IKEv2 (filelog ike=4 chd=4, ike_name=yes)"]))
    assert hexed(record.skeyseed) == "0f382d6cd1c251fa77b1bb8af92413b9b9e5c3b42294a1eb6368517d95c6403f"
    assert hexed(record.sk_ei) == "17739a6ddb2a648e28e6bdc09be4714c"
    assert (hexed(record.sk_pr) or "").endswith("358492e971")


def test_esn_sample_has_the_upper_half(samples: dict[str, str]) -> None:
    record = only(read(samples["ip -s xfrm state: ESN"]))
    assert (record.esn, record.seq_hi, record.mode, record.spi) == (True, 5, "tunnel", 0x12B2)
    assert record.integrity.row.icv_size == 16


def test_encap_sample_has_its_ports(samples: dict[str, str]) -> None:
    record = only(read(samples["ip -s xfrm state: ESP AEAD + encap"]))
    assert record.encapsulation == Encapsulation("udp", 4500, 4500)
    assert record.encryption.id == EncryptionAlgorithm.ENCR_AES_GCM_16
    assert record.integrity is None
    assert record.esn is False


# -- Wireshark ---------------------------------------------------------------------------------------------------


ESP_CBC = '"IPv4","172.16.62.130","172.16.168.6","0x01004004","AES-CBC [RFC3602]","0x0a9c48ccd8805a629140f0c57617bc8d","HMAC-SHA-1-96 [RFC2404]","0x912d4dbb7fd8decbfae260879ed1fe0dbe5e677b"'
IKEV2 = 'a3ae69ca51356b5c,f2ad2486dd78b7cc,400f2d3d29e5cb2070a0bddbd488aa87,18db748043497cfdd38fcba7179fcc1a,"AES-CBC-128 [RFC3602]",c222af49e595c6d1c8944bc24511193c9ca4fd99,a70286546da8f8f650739fec7f323250f105de02,"HMAC_SHA1_96 [RFC2404]"'
IKEV2_MIRRORED = 'f2ad2486dd78b7cc,a3ae69ca51356b5c,18db748043497cfdd38fcba7179fcc1a,400f2d3d29e5cb2070a0bddbd488aa87,"AES-CBC-128 [RFC3602]",a70286546da8f8f650739fec7f323250f105de02,c222af49e595c6d1c8944bc24511193c9ca4fd99,"HMAC_SHA1_96 [RFC2404]"'
GCM_KEY = "0x000102030405060708090a0b0c0d0e0f10111213"


@pytest.mark.parametrize(
    "text",
    [
        ESP_CBC,
        ESP_CBC + "\r\n",
        "\ufeff" + ESP_CBC,
        f"\x1b[1;32m{ESP_CBC}\x1b[0m",
        f"tshark -o 'uat:esp_sa:{ESP_CBC}'".replace("'", ""),
        f"Nov 20 15:28:56 host swu[12]: {ESP_CBC}",
        "\x00".join(ESP_CBC),
        ESP_CBC[:90] + "\n" + ESP_CBC[90:],
        ESP_CBC + ',"32-bit","0"',
        ESP_CBC.replace('"', ""),
    ],
    ids=["plain", "crlf", "bom", "ansi", "uat", "syslog", "nul", "wrapped", "ten-columns", "unquoted"],
)
def test_esp_sa_row_is_read_in_every_dress(text: str) -> None:
    record = only(read(text))
    assert (record.spi, record.src, record.dst) == (0x01004004, "172.16.62.130", "172.16.168.6")
    assert hexed(record.encryption_key) == "0a9c48ccd8805a629140f0c57617bc8d"
    assert record.integrity.id == IntegrityAlgorithm.AUTH_HMAC_SHA1_96


def test_utf16_file_with_bom_is_read() -> None:
    key_file = read_keys(ESP_CBC.encode("utf-16"), "powershell")
    assert len(key_file.records) == 1


def test_esp_sa_row_with_wildcards_has_no_addresses() -> None:
    record = only(read(f'"Any","*","*","*","AES-GCM with 16 octet ICV [RFC4106]","{GCM_KEY}","NULL",""'))
    assert (record.spi, record.src, record.dst, record.integrity) == (None, None, None, None)
    assert (record.encryption.key_bits, record.icv_known) == (128, True)


def test_esp_sa_gcm_without_icv_leaves_the_icv_open() -> None:
    record = only(read(f'"IPv4","*","*","0x1","AES-GCM [RFC4106]","{GCM_KEY}","NULL",""'))
    assert record.icv_known is False


def test_esp_sa_gcm_of_save_keys_takes_the_icv_from_the_other_column() -> None:
    row = f'"IPv4","*","*","0x1","AES-GCM [RFC4106]","{GCM_KEY}","ANY %d bit authentication [no checking]","0x"'
    assert only(read(row % 96)).encryption.id == EncryptionAlgorithm.ENCR_AES_GCM_12
    assert only(read(row % 256)).icv_known is False


def test_esp_sa_key_without_0x_is_text() -> None:
    record = only(read('"IPv4","*","*","291","TripleDes-CBC","3descbcencryptiontesting","NULL",""'))
    assert (record.spi, record.encryption_key.reveal()) == (291, b"3descbcencryptiontesting")


def test_esp_sa_row_with_sequence_numbers_has_esn() -> None:
    record = only(read(ESP_CBC + ',"64-bit","0x5"'))
    assert (record.esn, record.seq_hi) == (True, 5)
    assert only(read(ESP_CBC + ',"64-bit",""')).seq_hi is None
    assert only(read(ESP_CBC + ',"",""')).esn is None


def test_mirrored_ikev2_row_is_dropped() -> None:
    record = only(read(f"IKEv2 DECRYPTION TABLE INFO (Wireshark):\n{IKEV2}\n{IKEV2_MIRRORED}\n"))
    assert record.spi_i == bytes.fromhex("a3ae69ca51356b5c")


def test_wrapped_ikev2_row_is_put_together() -> None:
    text = "\n".join(IKEV2[at : at + 80] for at in range(0, len(IKEV2), 80))
    assert hexed(only(read(text)).sk_ar) == "a70286546da8f8f650739fec7f323250f105de02"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ESP_CBC.replace("0x0a9c48", "0x0a9c4"), "odd number of hexadecimal digits"),
        (ESP_CBC.replace("0x0a9c48", "0x0a9g48"), "not hexadecimal"),
        (ESP_CBC.replace("0x0a9c48cc", "0x0a9c48"), "15 octets of key for ENCR_AES_CBC"),
        (ESP_CBC.replace("AES-CBC", "AES-XYZ"), 'no encryption algorithm is called "AES-XYZ [RFC3602]"'),
        (ESP_CBC.replace("HMAC-SHA-1-96", "HMAC-SHA-9"), "no integrity algorithm"),
        (ESP_CBC.replace("172.16.62.130", "172.16.62.1300"), "not an IP address"),
        (ESP_CBC.replace("0x01004004", "0x1010040040"), "an SPI is a number of 32 bits"),
        (ESP_CBC.replace("0x01004004", "12x"), "an SPI is a number of 32 bits"),
        (ESP_CBC.replace("0x912d4dbb7fd8decbfae260879ed1fe0dbe5e677b", ""), "0 octets of key for AUTH_HMAC_SHA1_96"),
        ('"IPv4","*","*","0x1"', "8 or 10 columns, this one 4"),
        ('"IPv4","*","*","0x1","AES-CBC"x,"","",""', "quotes"),
        (ESP_CBC + ',"64-bit","0x123456789"', "32 bits"),
        (ESP_CBC.replace("0x0a9c48ccd8805a629140f0c57617bc8d", "0x" + "00" * 16), "hidden"),
        (ESP_CBC.replace("0x0a9c48ccd8805a629140f0c57617bc8d", "<REDACTED>"), "hidden"),
        (ESP_CBC.replace("0x0a9c48ccd8805a629140f0c57617bc8d", "0xKEY"), "hidden"),
        (ESP_CBC.replace("0x0a9c48ccd8805a629140f0c57617bc8d", "XXXXXXXX"), "hidden"),
        (IKEV2.replace("a3ae69ca51356b5c", "a3ae69ca51356b"), "16 hexadecimal digits, this one 14"),
        (IKEV2.replace("400f2d3d29e5cb2070a0bddbd488aa87", "400f2d3d29e5cb2070a0bddbd488"), "14 octets of key"),
        (IKEV2.replace("400f2d3d29e5cb2070a0bddbd488aa87", ""), "without SK_ei or SK_er"),
        (IKEV2.replace("AES-CBC-128", "AES-CBC-192"), "16 octets of key for AES-CBC-192"),
        (IKEV2.replace("c222af49e595", "c222af49"), "18 octets of key for AUTH_HMAC_SHA1_96"),
        (IKEV2 + ",x", "8 columns and one of ikev1_decryption_table 2, this one 9"),
        ("d2c6168fa9a5711e,7b8b6f03e8d385a1e9470b11d71fc8d", "odd number"),
        ("d2c6168fa9a5711e,00000000000000000000000000000000", "hidden"),
    ],
)  # fmt: skip
def test_malformed_row_is_a_problem_and_the_others_are_used(text: str, reason: str) -> None:
    good = "aaaaaaaaaaaaaaaa,0123456789abcdef0123456789abcdef"
    key_file = read(f"{good}\n{text}\n{ESP_CBC.replace('0x01004004', '0x0badcafe')}\n")
    assert [(problem.line, reason in problem.reason) for problem in key_file.problems] == [(2, True)]
    assert len(key_file.records) == 2


def test_problem_prints_file_and_line() -> None:
    key_file = read(ESP_CBC.replace("AES-CBC", "AES-XYZ"))
    assert str(key_file.problems[0]).startswith("sample:1: no encryption algorithm")
    assert str(read("garbage").problems[0]).startswith("sample: no known key format")


# -- ESPS --------------------------------------------------------------------------------------------------------


def test_esps_rows_with_header_are_read() -> None:
    header = "Protocol,Src IP,Dest IP,SPI,Encryption,Encryption Key,Authentication,Authentication Key,SN,ESN High Bits"
    key_file = read(f'{header}\r\n{ESP_CBC},"64-bit","7","more"\r\n# note\r\n"IPv4","x"\r\n')
    assert key_file.formats == ("esps",)
    assert [record.seq_hi for record in sas(key_file)] == [7]
    assert [problem.line for problem in key_file.problems] == [4]


# -- xfrm --------------------------------------------------------------------------------------------------------


XFRM = """\
src 10.0.1.158 dst 10.0.1.35
\tproto esp spi 0x17e83b29 reqid 16393 mode transport
\treplay-window 0 flag esn
\taead rfc4106(gcm(aes)) 0x2dff2e25143878e71710cc484f87a0e04a5d9882b9e23643f28692e33935eef6879f7ef5 128
\tlastused 2024-01-01 00:00:00
\tanti-replay esn context:
\t seq-hi 0x0, seq 0x0, oseq-hi 0x1, oseq 0x0
\t replay_window 128, bitmap-length 4
\t 00000000 00000000 00000000 00000000
\tsel src 10.0.1.158/32 dst 10.0.1.35/32 proto udp sport 6081
\tdir out
src 10.0.0.0/24 dst 10.1.0.0/24
\tdir out priority 375423 ptype main
\ttmpl src 192.0.2.10 dst 198.51.100.20
\t\tproto esp spi 0xca992fb4 reqid 1 mode transport
"""


@pytest.mark.parametrize(
    "text",
    [
        XFRM,
        XFRM.replace("\n", "\r\n"),
        "\n".join(f"2024-05-01T10:00:00Z {line}" for line in XFRM.splitlines()),
        XFRM.replace("4a5d9882", "4a5d\n9882"),
    ],
    ids=["plain", "crlf", "prefixed", "wrapped"],
)
def test_xfrm_state_is_read_and_the_policy_is_not(text: str) -> None:
    record = only(read(text))
    assert (record.spi, record.esn, record.seq_hi, record.mode) == (0x17E83B29, True, 1, "transport")
    assert (record.encryption.key_bits, record.direction) == (256, Direction.OUTBOUND)


def test_xfrm_state_with_hidden_keys_says_how_to_see_them() -> None:
    key_file = read(
        XFRM.replace("0x2dff2e25143878e71710cc484f87a0e04a5d9882b9e23643f28692e33935eef6879f7ef5", "<<Keys hidden>>")
    )
    assert key_file.records == ()
    assert key_file.problems[0].line == 4
    assert 'without "nokeys"' in key_file.problems[0].reason


def test_xfrm_state_without_keys_is_a_note() -> None:
    key_file = read("src 1.2.3.4 dst 5.6.7.8\n\tproto esp spi 0x00000000 reqid 1 mode tunnel\n\treplay-window 0\n")
    assert (key_file.records, key_file.problems, len(key_file.notes)) == ((), (), 1)


def test_xfrm_state_over_tcp_without_integrity_is_read() -> None:
    key = "0x000102030405060708090a0b0c0d0e0f"
    record = only(read(
        f"src 1.2.3.4 dst 5.6.7.8\n\tproto esp spi 0x1 reqid 1 mode tunnel\n\tenc cbc(aes) {key}\n"
        "\tencap type espintcp sport 4500 dport 5000 addr 0.0.0.0\n\tdir in\n"
    ))  # fmt: skip
    assert record.encapsulation == Encapsulation("tcp", 4500, 5000)
    assert (record.integrity.id, record.direction) == (IntegrityAlgorithm.NONE, Direction.INBOUND)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("enc cbc(aes) 0x0001", "2 octets of key"),
        ("enc cbc(nothing) 0x0001", "no encryption algorithm"),
        ("auth-trunc hmac(sha256) 0x00112233445566778899aabbccddeeff 128", "16 octets of key"),
        ("enc cbc(aes) 0x00112233445566778899aabbccddeeff and more words", "not a key"),
        ("aead rfc4106(gcm(aes)) 0x00112233445566778899aabbccddeeff00112233 77", "no form with an ICV of 77 bits"),
    ],
)
def test_xfrm_state_with_a_bad_key_is_a_problem_and_the_next_is_used(line: str, reason: str) -> None:
    key_file = read(f"src 1.2.3.4 dst 5.6.7.8\n\tproto esp spi 0x1 reqid 1 mode tunnel\n\t{line}\n{XFRM}")
    assert [(problem.line, reason in problem.reason) for problem in key_file.problems] == [(3, True)]
    assert len(key_file.records) == 1


# -- FortiGate ---------------------------------------------------------------------------------------------------


GATEWAY = """\
  id/spi: 371 c9520b1c2bc0e6c8/6aade7b829009948
  direction: initiator
  proposal: aes128-sha1
  SK_ei: 75237437cff25754-cf7db509c4681115
  SK_er: b32740a409713752-dee1a9e800220c20
  SK_ai: a51d7711574f8d4a-44ccb29646bb5227-6ea8727f
  SK_ar: 4e8c3e430012d7d7-bc227ae5d10bf045-205b82e5
"""
TUNNEL = """\
name=VPN-to-Side1 ver=2 serial=1 202.106.1.1:0->101.100.1.1:0 dst_mtu=1500
  natt: mode=none draft=0 interval=0 remote_port=0
  SA:  ref=3 options=10227 type=00 soft=0 mtu=1438 expire=42897/0B replaywin=2048 seqno=1 esn=1 replaywin_lastseq=0
    dec: spi=148a8320 esp=aes key=16 2c299d148b78322997ffe3948ea8a426
         ah=sha1 key=20 c713f9ec7cecb6b6ffc80ce6fc407e8dc565a56f
    enc: spi=2e03e37b esp=aes key=16 ef6e6e604f710a27393927db2be5c431
         ah=sha1 key=20 d80fc71d9b6947366693bff2a3c205b6b8b3b95d
"""


def test_fortigate_gateway_has_ike_keys() -> None:
    record = only(read(GATEWAY))
    assert (record.spi_i or b"").hex() == "c9520b1c2bc0e6c8"
    assert hexed(record.sk_ai) == "a51d7711574f8d4a44ccb29646bb52276ea8727f"
    assert (record.encryption.key_bits, record.role, record.prf.name) == (128, Role.INITIATOR, "sha1")


def test_fortigate_gateway_of_ikev1_has_its_key() -> None:
    key_file = read(
        "  id/spi: 1 c9520b1c2bc0e6c8/6aade7b829009948\n  direction: responder\n  proposal: aes128-sha256\n"
        "  key: 75237437cff25754-cf7db509c4681115\n  lifetime/rekey: 86400/86120\n"
    )
    record = only(key_file)
    assert isinstance(record, IkeV1Keys)
    assert (hexed(record.ka), record.role) == ("75237437cff25754cf7db509c4681115", Role.RESPONDER)


def test_fortigate_gateway_with_aead_has_its_prf() -> None:
    text = GATEWAY.replace("aes128-sha1", "aes128gcm-prfsha384").replace("direction: initiator", "direction: x")
    text = re.sub(r"  SK_a.*\n", "", text)
    text = re.sub(r"(SK_e.: .*)", r"\1-00010203", text)
    record = only(read(text))
    assert (record.prf.name, record.integrity, record.role, len(record.sk_ei)) == ("prfsha384", None, None, 20)


def test_fortigate_gateway_without_proposal_still_has_keys() -> None:
    record = only(read(GATEWAY.replace("  proposal: aes128-sha1\n", "")))
    assert record.encryption is None


def test_fortigate_tunnel_has_both_directions() -> None:
    inbound, outbound = sas(read(TUNNEL))
    assert (inbound.spi, inbound.src, inbound.dst) == (0x148A8320, "101.100.1.1", "202.106.1.1")
    assert (outbound.spi, outbound.src, outbound.dst) == (0x2E03E37B, "202.106.1.1", "101.100.1.1")
    assert (inbound.direction, outbound.direction) == (Direction.INBOUND, Direction.OUTBOUND)
    assert (inbound.esn, inbound.encapsulation) == (True, None)


def test_fortigate_tunnel_with_aead_and_nat_is_read() -> None:
    key = "00112233445566778899aabbccddeeff00112233"
    text = TUNNEL.replace("mode=none", "mode=keepalive").replace("remote_port=0", "remote_port=4500")
    text = re.sub(r"esp=aes key=16 \w+", f"esp=aes-gcm key=20 {key}", text)
    text = re.sub(r"ah=sha1 key=20 \w+", "ah=null key=0 ", text)
    inbound, _ = sas(read(text))
    assert (inbound.encryption.id if inbound.encryption else None) == EncryptionAlgorithm.ENCR_AES_GCM_16
    assert inbound.encapsulation == Encapsulation("udp", 0, 4500)


def test_fortigate_tunnel_without_name_line_has_no_addresses() -> None:
    text = "".join(TUNNEL.splitlines(keepends=True)[3:])
    assert [(sa.src, sa.dst, sa.esn) for sa in sas(read(text))] == [(None, None, None)] * 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("key=16 2c299d148b78322997ffe3948ea8a426", "key=16 2c299d148b783229", "8 octets where the line says 16"),
        ("key=16 2c299d148b78322997ffe3948ea8a426", "key=16 ", "hidden"),
        ("key=16 2c299d148b78322997ffe3948ea8a426", "key=16 ****************", "run the command as super_admin"),
        ("esp=aes key=16 2c299d148b78322997ffe3948ea8a426", "esp=foo key=16 2c299d148b78322997ffe3948ea8a426", "foo"),
    ],
)
def test_fortigate_tunnel_with_a_bad_key_still_has_the_other_direction(old: str, new: str, reason: str) -> None:
    key_file = read(TUNNEL.replace(old, new))
    assert [(problem.line, reason in problem.reason) for problem in key_file.problems] == [(4, True)]
    assert [sa.spi for sa in sas(key_file)] == [0x2E03E37B]


# -- setkey ------------------------------------------------------------------------------------------------------


SETKEY = """\
2001:db8:1:2::23 2001:db8:1:2::45
\tesp mode=tunnel spi=1675186937(0x63d952f9) reqid=1(0x00000001)
\tE: rijndael-cbc  1dd058ed 63905223 147979df 1865bfb3
\tA: hmac-sha1  fde84c78 b2c90386 600927e3 1eb3dcf8 3163d053
\tseq=0x00000000 replay=0 flags=0x00000000 state=mature
192.0.2.1[4500] 192.0.2.2[4500]
\tesp-udp mode=any spi=4097(0x00001001) reqid=0(0x00000000)
\tE: aes-gcm-16  1dd058ed 63905223 147979df
1865bfb3 01020304
\tseq=0x00000000 replay=0 flags=0x00000000 state=mature
192.0.2.1 192.0.2.2
\tah mode=transport spi=4098(0x00001002) reqid=0(0x00000000)
\tA: hmac-sha2-256  fde84c78 b2c90386 600927e3 1eb3dcf8
\t3163d053 fde84c78 b2c90386 600927e3
192.0.2.1 192.0.2.2
\tesp mode=any spi=1(0x00000001) reqid=0(0x00000000)
\tseq=0x00000000 replay=0 flags=0x00000000 state=larval
"""


def test_setkey_dump_is_read() -> None:
    key_file = read(SETKEY)
    assert key_file.problems == ()
    assert len(key_file.notes) == 1
    cbc, gcm, ah = sas(key_file)
    assert (cbc.spi, cbc.src, hexed(cbc.integrity_key)) == (
        0x63D952F9,
        "2001:db8:1:2::23",
        "fde84c78b2c90386600927e31eb3dcf83163d053",
    )
    assert (gcm.encapsulation, gcm.mode, len(gcm.encryption_key)) == (Encapsulation("udp", 4500, 4500), "", 20)
    assert (ah.protocol, ah.encryption, len(ah.integrity_key)) == (SecurityProtocol.AH, None, 32)


def test_setkey_commands_are_read() -> None:
    key_file = read(
        "#!/usr/sbin/setkey -f\nflush;\n"
        'add 192.0.2.1 192.0.2.2 esp 0x1000 -m tunnel -E rijndael-cbc "sixteen octets!!"\n'
        "  -A hmac-sha1 0xfde84c78b2c90386600927e31eb3dcf83163d053;\n"
        "add -4 192.0.2.1 192.0.2.2 ah 4097 -A hmac-sha1 0xfde84c78b2c90386600927e31eb3dcf83163d053 ;\n"
        "add 192.0.2.1 192.0.2.2 esp 4098 -E null ;\n"
        "add 192.0.2.1 192.0.2.2 esp 4099 -m tunnel ;\n"
        "add 192.0.2.1 192.0.2.2 esp 4100 -E ;\n"
    )
    esp, ah, null = sas(key_file)
    assert (esp.spi, esp.mode, esp.encryption_key.reveal()) == (0x1000, "tunnel", b"sixteen octets!!")
    assert (ah.protocol, ah.spi) == (SecurityProtocol.AH, 4097)
    assert (null.encryption_key.reveal(), null.integrity.id if null.integrity else None) == (
        b"",
        IntegrityAlgorithm.NONE,
    )
    assert [problem.line for problem in key_file.problems] == [7, 8]


def test_setkey_dump_with_a_bad_key_says_the_line() -> None:
    key_file = read(SETKEY.replace("1dd058ed 63905223 147979df 1865bfb3", "1dd058ed 63905223 147979df 1865bfg3"))
    assert [(problem.line, "not hexadecimal" in problem.reason) for problem in key_file.problems] == [(3, True)]
    assert len(key_file.records) == 2


# -- MikroTik ----------------------------------------------------------------------------------------------------


MIKROTIK = """\
Flags: H - hw-aead, A - AH, E - ESP
 0   E spi=0xE841441 src-address=150.0.0.150 dst-address=50.0.0.50 state=mature
       auth-algorithm=sha256 enc-algorithm=aes-cbc enc-key-size=256
       auth-key="61a63f8976fa4d3fae084cb927cc835b0a0c74a1b1d2fc6630198d1f150199
         03"
       enc-key="2a217b491be5a5297a8a78759e940bc4677b59834630282a2a24baaf3198c653"
 1 HE spi=0x6FFE0E4 src-address=9.8.7.6:4500 dst-address=[2001:db8::1]:4500 state=mature enc-algorithm=aes-gcm
      enc-key="2a217b491be5a5297a8a78759e940bc4677b59834630282a2a24baaf3198c6539cc435b0" addtime=jan/02
 2  A spi=E727605 src-address=1.2.3.4 dst-address=5.6.7.8 auth-algorithm=sha1
      auth-key="61a63f8976fa4d3fae084cb927cc835b0a0c74a1"
"""


def test_mikrotik_print_is_read() -> None:
    key_file = read(MIKROTIK)
    assert key_file.problems == ()
    cbc, gcm, ah = sas(key_file)
    assert (cbc.spi, (hexed(cbc.integrity_key) or "")[-8:]) == (0xE841441, "15019903")
    assert (gcm.encapsulation, gcm.dst, gcm.encryption.key_bits if gcm.encryption else 0) == (
        Encapsulation("udp", 4500, 4500), "2001:db8::1", 256,
    )  # fmt: skip
    assert (ah.protocol, ah.spi, ah.encryption) == (SecurityProtocol.AH, 0xE727605, None)


def test_mikrotik_print_with_hidden_keys_says_so() -> None:
    key_file = read(MIKROTIK.replace("2a217b491be5a5297a8a78759e940bc4677b59834630282a2a24baaf3198c653", "****", 1))
    assert "sensitive" in key_file.problems[0].reason
    assert len(key_file.records) == 2


# -- tcpdump -----------------------------------------------------------------------------------------------------


TCPDUMP = """\
# secrets
0x12345678@192.1.2.45 3des-cbc-hmac96:0x434345454646494943434545464649494343454546464949
0xd1234567@192.1.2.45 aes256-cbc-hmac96:0xaaaabbbbccccdddd4043434545464649494a4a4c4c4f4f515152525454575758
ikev2 I 0x0001020304050607 0xc02e7a3031a03188 sha1:0x4ea8e662b07cdd430f6944c6723e4b82d5722418 aes128:0x3f44bf47cafd8150591deb088199fcbf
ikev2 R 0x0001020304050607 0xc02e7a3031a03188 sha1:0x515b0bd22e6d76b34fdb760aa7bfad80b109b75d aes128:0xbedb67ec7dc3d00cccac42e70cd63bde
"""


def test_tcpdump_secrets_are_read_and_the_directions_put_together() -> None:
    key_file = read(TCPDUMP)
    assert key_file.problems == ()
    first, second = sas(key_file)
    assert (first.spi, first.dst, first.src) == (0x12345678, "192.1.2.45", None)
    assert second.encryption is not None
    assert second.encryption.key_bits == 256
    assert second.integrity is not None
    assert second.integrity.row is not None
    assert (second.integrity.row.is_checked, second.integrity.row.icv_size) == (False, 12)
    (ike,) = (record for record in key_file.records if isinstance(record, IkeV2Keys))
    assert hexed(ike.sk_er) == "bedb67ec7dc3d00cccac42e70cd63bde"
    assert hexed(ike.sk_ai) == "4ea8e662b07cdd430f6944c6723e4b82d5722418"


def test_tcpdump_option_string_with_several_secrets_is_read() -> None:
    key_file = read(
        'tcpdump -r x -E "0x1@192.1.2.45 aes128-cbc:sixteen octets!!,0x2@10.0.0.1 blowfish-cbc:0x0102030405060708"\n'
    )
    assert [problem.reason for problem in key_file.problems] == ["an ESP secret is SPI@ADDRESS ALGORITHM:SECRET"]
    key_file = read(
        'tcpdump -r x -E "0x1@192.1.2.45 aes128-cbc:sixteen_octets!!,0x2@10.0.0.1 blowfish-cbc:0x0102030405060708"\n'
    )
    assert [(sa.spi, len(sa.encryption_key)) for sa in sas(key_file)] == [(1, 16), (2, 8)]


def test_tcpdump_ike_without_integrity_is_read() -> None:
    record = only(
        read("ikev2 I 0x0001020304050607 0xc02e7a3031a03188 none: aes128:0x3f44bf47cafd8150591deb088199fcbf\n")
    )
    assert (record.integrity, record.sk_ai, record.sk_er) == (None, None, None)


# -- OpenBSD -----------------------------------------------------------------------------------------------------


def test_openbsd_both_forms_are_read() -> None:
    key = "0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f10"
    key_file = read(
        "esp tunnel from 192.1.2.23 to 192.1.2.45 spi 0x351977b3 auth hmac-sha2-256 enc aes-256 \\\n"
        f"\tauthkey 0x{key} \\\n\tenckey 0x{key}\n"
        "ah transport from 2001:db8::1 to 2001:db8::2 spi 0x351977b4 auth hmac-sha1\n"
        f"\tkey_auth: bits 160: {key[:40]}\n"
        f"esp from 10.0.0.1 to 10.0.0.2 spi 0x00000003 enc aes-128-gcm \\\n\tenckey 0x{key[:40]}\n"
        "esp from 10.0.0.1 to 10.0.0.2 spi 0x00000004 enc aes\n"
        "esp from 10.0.0.1 to 10.0.0.2 spi 0x00000005 enc aes \\\n\tenckey 0x0102\n"
    )
    cbc, ah, gcm = sas(key_file)
    assert (cbc.spi, cbc.mode, hexed(cbc.encryption_key)) == (0x351977B3, "tunnel", key)
    assert (ah.protocol, ah.encryption, len(ah.integrity_key)) == (SecurityProtocol.AH, None, 20)
    assert (gcm.integrity, gcm.mode) == (None, "")
    assert [(problem.line, problem.reason[:16]) for problem in key_file.problems] == [
        (8, "this SA has no k"), (9, "2 octets of key "),
    ]  # fmt: skip


# -- VPP ---------------------------------------------------------------------------------------------------------


VPP = """\
iip 192.168.3.1 ispi 4c2f000000000001 rip 192.168.3.2 rspi d10000000000002
 encr:aes-cbc-256 prf:hmac-sha2-256 integ:sha1-96 dh-group:modp-2048
 nonce i:0102030405060708090a0b0c0d0e0f10
       r:1102030405060708090a0b0c0d0e0f11
 SK_d    0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f10
 SK_a  i:0102030405060708090a0b0c0d0e0f1001020304
       r:0102030405060708090a0b0c0d0e0f1001020305
 SK_e  i:0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f10
       r:0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f11
 SK_p  i:0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f10
       r:0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f11
  child sa 0:encr:aes-gcm-16-128 esn:yes
    uptime: 1.0
    spi(i) 8ea3ab26 spi(r) 2b9ad6d6
    SK_e  i:0102030405060708090a0b0c0d0e0f1001020304
          r:0102030405060708090a0b0c0d0e0f1001020305
    traffic selectors (i):0 type 7 protocol_id 0 addr 0.0.0.0 - 255.255.255.255 port 0 - 65535
  child sa 1:encr:aes-cbc-128 integ:sha1-96
    spi(i) 1 spi(r) 2
    SK_e  i:0102030405060708090a0b0c0d0e0f10
          r:0102030405060708090a0b0c0d0e0f11
    SK_a  i:0102030405060708090a0b0c0d0e0f1001020304
          r:0102030405060708090a0b0c0d0e0f1001020305
"""


def test_vpp_details_are_read() -> None:
    key_file = read(VPP)
    assert key_file.problems == ()
    ike, *children = key_file.records
    assert isinstance(ike, IkeV2Keys)
    assert (ike.spi_r or b"").hex() == "0d10000000000002"
    assert len(ike.nonces or b"") == 32
    assert hexed(ike.sk_pr) == "0102030405060708090a0b0c0d0e0f100102030405060708090a0b0c0d0e0f11"
    assert [(r.spi, r.role, r.src, r.esn) for r in children if isinstance(r, SaKeys)] == [
        (0x2B9AD6D6, Role.INITIATOR, "192.168.3.1", True),
        (0x8EA3AB26, Role.RESPONDER, "192.168.3.2", True),
        (2, Role.INITIATOR, "192.168.3.1", None),
        (1, Role.RESPONDER, "192.168.3.2", None),
    ]


def test_vpp_child_without_spis_is_a_problem() -> None:
    key_file = read(VPP.replace("    spi(i) 1 spi(r) 2\n", ""))
    assert [problem.reason for problem in key_file.problems] == ["this child SA has no SPIs or no algorithms"]
    assert len(key_file.records) == 3


# -- SWu ---------------------------------------------------------------------------------------------------------


SWU = f"""\
DIFFIE-HELLMAN KEY 0102030405060708
SKEYSEED 4d6a51ce6e26f8f36ea41cc4457ea29c8399fd08
SK_D 3b750056b6dfb8b65610c650e1f650b7809e18cd
SK_AI c222af49e595c6d1c8944bc24511193c9ca4fd99
SK_AR a70286546da8f8f650739fec7f323250f105de02
SK_EI 400f2d3d29e5cb2070a0bddbd488aa87
SK_ER 18db748043497cfdd38fcba7179fcc1a
IKE SPI INITIATOR a3ae69ca51356b5c
IKE SPI RESPONDER f2ad2486dd78b7cc
MSK 0102030405060708090a0b0c0d0e0f10
IKEv2 DECRYPTION TABLE INFO (Wireshark):
{IKEV2}
{IKEV2_MIRRORED}
ESP SA INFO (wireshark):
{ESP_CBC}
SK_D 00
SK_D 3b750056b6dfb8b65610c650e1f650b7809e18ce
"""


def test_swu_output_has_keys_secret_msk_and_tables() -> None:
    key_file = read(SWU)
    assert set(key_file.formats) == {"swu", "wireshark"}
    kinds = [type(record).__name__ for record in key_file.records]
    assert sorted(kinds) == ["IkeV2Keys"] * 4 + ["Msk", "SaKeys", "SharedSecret"]
    first = key_file.records[0]
    assert isinstance(first, IkeV2Keys | SharedSecret)
    assert first.spi_i == bytes.fromhex("a3ae69ca51356b5c")


def test_swu_modem_names_are_read() -> None:
    record = only(read("ike_sk_ei: 400f2d3d29e5cb2070a0bddbd488aa87\nike_sk_er = 18db748043497cfdd38fcba7179fcc1a\n"))
    assert hexed(record.sk_er) == "18db748043497cfdd38fcba7179fcc1a"


# -- typed by hand -----------------------------------------------------------------------------------------------


def test_typed_secrets_are_read() -> None:
    key_file = read(
        "# mine\npsk = \"correct horse\"   # of the lab\npsk moon.example sun.example = 'abc def'\nppk lab-ppk = 0x3031\n"
        "msk carol = hex:0102 0304\ndh MODP_2048 0102030405060708 0102030405060709 = 0x0a0b\nkem = 0s3q2+7w==\n"
        "child-dh 0xc0ffee00 = 0x0c\nchild-kem ML_KEM_768 = 0x0d\npsk = plain words # with a remark\n"
        'moon.lab @sun 2001:db8::1 : PSK "x y"\n: RSA moonKey.pem\n%any : PSK 0x6162\n: PPK 0x6364\n'
    )
    assert key_file.problems == ()
    psks = [(record.ids, record.value.reveal()) for record in key_file.records if isinstance(record, PreSharedKey)]
    assert psks == [
        ((), b"correct horse"),
        (("moon.example", "sun.example"), b"abc def"),
        ((), b"plain words"),
        (("moon.lab", "@sun", "2001:db8::1"), b"x y"),
        (("%any",), b"ab"),
    ]
    assert [(p.ppk_id, p.value.reveal()) for p in key_file.records if isinstance(p, Ppk)] == [
        ("lab-ppk", b"01"),
        ("", b"cd"),
    ]
    assert [(m.ids, m.value.reveal()) for m in key_file.records if isinstance(m, Msk)] == [(("carol",), b"\1\2\3\4")]
    dh, kem, child, child_kem = (record for record in key_file.records if isinstance(record, SharedSecret))
    assert dh.group is not None
    assert (dh.group.name, dh.spi_i, dh.spi_r) == ("MODP_2048", bytes(range(1, 9)), bytes([1, 2, 3, 4, 5, 6, 7, 9]))
    assert (kem.kind, kem.value.reveal()) == (SecretKind.KEM, bytes.fromhex("deadbeef"))
    assert (child.child_spis, child.spi_i) == ((0xC0FFEE00,), None)
    assert (child_kem.kind, child_kem.group.name if child_kem.group else "") == (SecretKind.KEM, "ML_KEM_768")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("psk nothing", "NAME = VALUE"),
        ('psk = "open', "closing quote"),
        ("psk = ''", "empty"),
        ("psk = 0x123", "odd number"),
        ("psk = 0s***", "base64"),
        ("psk = <hidden>", "hidden"),
        ("psk = ********", "hidden"),
        ("dh 01 02 03 = 0x01", "at most two SPIs"),
        ("dh 010203040506070809 = 0x01", "no name"),
        ("psk = 0s" + "QUFB" * 6000, "longer than 16384 octets"),
        (f"psk {'a' * 80} = 0x01", "no name"),
    ],
)
def test_typed_secret_that_cannot_be_used_is_a_problem(line: str, reason: str) -> None:
    key_file = read(f"psk = good\n{line}\n")
    assert [(problem.line, reason in problem.reason) for problem in key_file.problems] == [(2, True)]
    assert len(key_file.records) == 1


SWANCTL = """\
connections {
  lab {
    id = x
  }
}
secrets {
  ike-1 {
    id-1 = carol.lab
    id-2 = "moon.lab"
    secret = "lab-psk"
  }
  eap-1 {
    id = carol
    secret = "password"
  }
  ppk-1 {
    id = ppk-1
    secret = 0x0102
  }
  ppk-2 {
    secret = 0x010
  }
  ike-3 {
    secret = hex:0304
  }
}
"""


def test_swanctl_secrets_are_read_and_passwords_are_not() -> None:
    key_file = read(SWANCTL)
    assert key_file.formats == ("swanctl",)
    assert [(type(r), r.value.reveal()) for r in key_file.records if isinstance(r, PreSharedKey | Ppk)] == [
        (PreSharedKey, b"lab-psk"), (Ppk, b"\1\2"), (PreSharedKey, b"\3\4"),
    ]  # fmt: skip
    psk, ppk, _ = key_file.records
    assert isinstance(psk, PreSharedKey)
    assert isinstance(ppk, Ppk)
    assert (psk.ids, ppk.ppk_id) == (("carol.lab", "moon.lab"), "ppk-1")
    assert [(problem.line, "odd number" in problem.reason) for problem in key_file.problems] == [(21, True)]


def test_swanctl_files_of_the_lab_are_read(shared: Path) -> None:
    paths = sorted((shared / "captures" / "lab").glob("*/*.swanctl.conf"))
    files = [read_keys(path) for path in paths]
    assert all(key_file.problems == () for key_file in files)
    assert sum(isinstance(r, PreSharedKey) for key_file in files for r in key_file.records) > 100


# -- several formats in one file ---------------------------------------------------------------------------------


def test_file_with_several_formats_gives_the_records_of_all_in_order() -> None:
    key_file = read(XFRM + "\n" + ESP_CBC + "\n" + TCPDUMP)
    assert key_file.formats == ("tcpdump", "wireshark", "xfrm")
    lines = [record.origin.line for record in key_file.records]
    assert lines == sorted(lines)
    assert {record.origin.format for record in key_file.records} == {"tcpdump", "wireshark", "xfrm"}


def test_same_sa_twice_is_one_record() -> None:
    assert len(read(XFRM + XFRM.replace("oseq-hi 0x1", "oseq-hi 0x2")).records) == 1


@pytest.mark.parametrize("text", ["", "\n\n", "# This file is automatically generated, DO NOT MODIFY.\n"])
def test_empty_file_is_a_note(text: str) -> None:
    key_file = read(text)
    assert (key_file.records, key_file.problems) == ((), ())
    assert "save-keys" in key_file.notes[0].reason


def test_file_is_read_by_path(tmp_path: Path) -> None:
    path = tmp_path / "misleading.json"
    path.write_text(ESP_CBC)
    key_file = read_keys(path)
    assert key_file.records[0].origin.file == str(path)
    assert str(key_file.records[0].origin) == f"{path}:1"
    assert read_keys(str(path), "short").records[0].origin.file == "short"
    with pytest.raises(FileNotFoundError):
        read_keys(tmp_path / "absent")


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ('{"ike":[{"version":3}]}', "version 1 or 2"),
        ('{"ike":[{"version":2,"sk_d":5}]}', '"sk_d" is not a string'),
        ('{"ike":[7]}', "a record is a JSON object"),
        ('{"esp":[{"proto":"x"}]}', "ESP or AH"),
        ('{"other":1}', '"type" of esp'),
        ('[{"type":"tls"}]', '"type" of esp'),
        ('{"esp":[{"proto":"ESP","enc_alg":"AES_CBC","enc_key":"00"}]}', "1 octets of key"),
    ],
)
def test_json_record_that_cannot_be_used_is_a_problem(document: str, reason: str) -> None:
    key_file = read(document)
    assert (key_file.formats, key_file.records) == (("json",), ())
    assert [reason in problem.reason for problem in key_file.problems] == [True]


def test_json_document_without_records_is_a_note() -> None:
    assert [len(read(text).notes) for text in ("[]", '{"ike":[],"esp":5}')] == [1, 1]


def test_json_records_need_few_fields() -> None:
    key_file = read(
        '{"ike":[{"version":1,"cookie_i":"d2c6168fa9a5711e","ka":"0102","psk":"6162"},{"version":2,"sk_d":"01","dh_secret":"02"}],'
        '"ah":[{"proto":"AH","integ_alg":"NONE"}]}'
    )
    assert key_file.problems == ()
    kinds = sorted(type(record).__name__ for record in key_file.records)
    assert kinds == ["IkeV1Keys", "IkeV2Keys", "PreSharedKey", "SaKeys", "SharedSecret"]


def test_records_name_their_algorithms_and_numbers() -> None:
    ike = only(read(IKEV2))
    assert ike.encryption.id == EncryptionAlgorithm.ENCR_AES_CBC
    assert ike.integrity.id == IntegrityAlgorithm.AUTH_HMAC_SHA1_96
    gateway = only(read(GATEWAY))
    assert str(gateway.prf.id) == "PRF_HMAC_SHA1"
