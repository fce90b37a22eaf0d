"""Written keys: what is written is read back the same, by us and by Wireshark; files are private and never replaced."""

from __future__ import annotations

import json
import os
import shutil
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from msgspec.structs import replace
from test_keylog_samples import ESP_CBC, GATEWAY, IKEV2, MIKROTIK, SETKEY, SWU, TCPDUMP, TUNNEL, VPP, XFRM

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keylogs.esps import ESPS, read_esps
from ipsecscope.decrypt.keylogs.exporters import (
    esp_sa_table,
    esps_block,
    ikev1_table,
    ikev2_table,
    ipsecscope_log,
    open_command,
    tcpdump_secrets,
    write_ipsecscope_log,
    write_private,
    write_tcpdump_secrets,
    write_wireshark_profile,
    write_wireshark_tables,
)
from ipsecscope.decrypt.keylogs.ipsecscope_log import READERS
from ipsecscope.decrypt.keylogs.reading import encryption_named, integrity_named
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, KeyRecord, NamedEncryption, Origin, SaKeys
from ipsecscope.decrypt.secret import Secret

HERE = Origin("test", 1, "test")
TYPED = "psk a b = x\nppk n = 0x01\nmsk c = 0x0203\ndh MODP_2048 0102030405060708 = 0x0a0b\nchild-kem ML_KEM_768 0xc0ffee00 = 0x0c\n"
IKEV1 = "d2c6168fa9a5711e,7b8b6f03e8d385a1e9470b11d71fc8d0"
SAMPLES = {
    "esp_sa": ESP_CBC + ',"64-bit","5"',
    "open-icv": '"IPv4","*","*","*","AES-GCM [RFC4106]","0x000102030405060708090a0b0c0d0e0f10111213","NULL",""',
    "ikev2": IKEV2,
    "ikev1": IKEV1,
    "xfrm": XFRM,
    "gateway": GATEWAY,
    "tunnel": TUNNEL.replace("mode=none", "mode=keepalive"),
    "setkey": SETKEY,
    "mikrotik": MIKROTIK,
    "tcpdump": TCPDUMP,
    "vpp": VPP,
    "swu": SWU,
    "typed": TYPED,
}


def records_of(text: str) -> tuple[KeyRecord, ...]:
    return read_keys(text.encode(), "sample").records


def facts(record: KeyRecord) -> KeyRecord:
    """A record without what our log does not keep: where it stood, and the source's spelling of names."""
    record = replace(record, origin=HERE)
    for name in ("encryption", "integrity", "prf", "hash"):
        named = getattr(record, name, None)
        if named is not None:
            record = replace(record, **{name: replace(named, name="")})
    return record


# -- our own log -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_own_log_is_read_back_the_same(name: str) -> None:
    records = records_of(SAMPLES[name])
    assert records
    again = read_keys(ipsecscope_log(records).encode(), "log")
    assert again.formats == ("ipsecscope",)
    assert again.problems == ()
    assert [facts(record) for record in again.records] == [facts(record) for record in records]


def test_own_log_of_every_lab_source_is_read_back_the_same(shared: Path) -> None:
    count = 0
    for path in sorted((shared / "captures" / "lab").glob("ss6-*/*")):
        if path.suffix in (".pcap", ".conf") or "verify" in path.name or path.name == "truth.json":
            continue
        if path.name.startswith(("list-sas", "xfrm-stat-", "xfrm-policy")):
            continue
        records = read_keys(path).records
        again = read_keys(ipsecscope_log(records).encode(), "log")
        assert again.problems == (), path
        assert [facts(record) for record in again.records] == [facts(record) for record in records], path
        count += len(records)
    print(f"own log: {count} records read back")
    assert count > 300


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"t":"psk","value":"00', "not JSON"),
        ('{"t":"foo"}', '"t" is none of'),
        ('{"t":"psk"}', '"value" is missing'),
        ('{"t":"psk","value":"0"}', "odd number"),
        ('{"t":"psk","value":1}', '"value" is not a string'),
        ('{"t":"psk","ids":"x","value":"00"}', "list of at most"),
        ('{"t":"psk","ids":[1],"value":"00"}', "list of at most"),
        ('{"t":"esp","seq_hi":-1}', "number from 0"),
        ('{"t":"esp","seq_hi":true}', "number from 0"),
        ('{"t":"esp","esn":"yes"}', '"esn" is true or false'),
        ('{"t":"esp","encr":"AES_CBC","key":"00"}', "1 octets of key"),
        ('{"t":"esp","encr":"AES_CBC","key":"00000000000000000000000000000000"}', "hidden"),
        ('{"t":"esp","encr":"FOO"}', "FOO"),
        ('{"t":"esp","dst":"x"}', "not an IP address"),
        ('{"t":"ike2","spi_i":"0102030405060708090"}', "16 hexadecimal digits"),
    ],
)
def test_own_log_with_a_bad_line_still_has_the_others(line: str, reason: str) -> None:
    key_file = read_keys(f'{{"t":"psk","value":"6162"}}\n{line}\n# remark\n'.encode(), "log")
    assert [(problem.line, reason in problem.reason) for problem in key_file.problems] == [(2, True)]
    assert len(key_file.records) == 1


def test_own_log_takes_fields_it_does_not_know_and_empty_ones() -> None:
    key_file = read_keys(
        b'{"t":"ike2","new":1,"spi_i":null,"sk_d":"0102","encr":"AES_CBC","keylen":256}\n'
        b'{"t":"ah","spi":"01","integ":"HMAC_SHA2_256_128","icv":12,"integ_key":"' + b"ab" * 32 + b'","encap":"x"}\n'
        b'{"t":"msk","value":"01"} \n no record\n'
    )  # fmt: skip
    ike, ah, _ = key_file.records
    assert isinstance(ike, IkeV2Keys)
    assert ike.encryption is not None
    assert ike.encryption.key_bits == 256
    assert isinstance(ah, SaKeys)
    assert ah.integrity is not None
    assert ah.integrity.row is not None
    assert ah.integrity.row.icv_size == 12
    assert set(READERS) == {"ike2", "ike1", "esp", "ah", "dh", "kem", "psk", "ppk", "msk"}


def test_own_log_keeps_an_algorithm_that_has_no_row() -> None:
    record = SaKeys(origin=HERE, encryption=NamedEncryption("FOO"), encryption_key=Secret(b"x"))
    assert json.loads(ipsecscope_log([record]).splitlines()[1])["encr"] == "FOO"


def test_own_log_keeps_an_unusual_truncation() -> None:
    record = SaKeys(
        origin=HERE,
        encryption=encryption_named("null"),
        integrity=integrity_named("hmac(sha1)", 80),
        integrity_key=Secret(b"k" * 20),
    )
    assert "HMAC-SHA1 of 80 bits" not in ipsecscope_log([record])
    (again,) = records_of(ipsecscope_log([record]))
    assert isinstance(again, SaKeys)
    assert again.integrity is not None
    assert again.integrity.row is not None
    assert again.integrity.row.icv_size == 10


# -- Wireshark ---------------------------------------------------------------------------------------------------


def test_esp_sa_table_is_read_back_the_same() -> None:
    records = records_of(ESP_CBC + "\n" + TUNNEL.replace("esn=1", "esn=0"))
    table = esp_sa_table(records)
    assert table.rows == len(records) == 3
    again = records_of(table.text)
    assert [(sa.spi, sa.dst, sa.encryption_key) for sa in again if isinstance(sa, SaKeys)] == [
        (sa.spi, sa.dst, sa.encryption_key) for sa in records if isinstance(sa, SaKeys)
    ]


def test_esp_sa_table_has_ten_columns_only_where_needed() -> None:
    plain, extended = records_of(ESP_CBC)[0], records_of(XFRM)[0]
    assert esp_sa_table([plain]).text.count(",") == 7
    assert esp_sa_table([extended]).text.endswith(',"64-bit","1"\n')
    assert esp_sa_table([plain], columns=10).text.endswith(',"32-bit","0"\n')
    assert esp_sa_table([extended], columns=8).text.count(",") == 7


def test_gcm_row_is_written_in_the_form_that_wireshark_takes() -> None:
    text = esp_sa_table(records_of(XFRM), columns=8).text
    assert '"AES-GCM with 16 octet ICV [RFC4106]"' in text
    assert text.endswith('"NULL",""\n')
    null = records_of('"IPv6","2001:db8::1","*","0x1","NULL","0x","HMAC-MD5-96 [RFC2403]","0x' + "01" * 16 + '"')
    assert esp_sa_table(null).text.startswith('"IPv6","2001:db8::1","*","0x00000001","NULL","","HMAC-MD5-96')


def test_integrity_without_a_name_is_written_unchecked() -> None:
    record = SaKeys(origin=HERE, spi=1, encryption=encryption_named("null"), integrity_key=Secret(b"k" * 16))
    xcbc = replace(record, integrity=integrity_named("AES_XCBC_96"))
    assert '"ANY 96 bit authentication [no checking]"' in esp_sa_table([xcbc]).text
    unchecked = replace(record, integrity=integrity_named("ANY 128 bit authentication"), integrity_key=Secret(b""))
    assert '"ANY 128 bit authentication [no checking]",""' in esp_sa_table([unchecked]).text


def test_records_without_a_name_in_wireshark_are_left_out_and_said() -> None:
    base = SaKeys(origin=HERE, spi=1)
    odd = replace(
        base,
        encryption=encryption_named("null"),
        integrity=integrity_named("hmac(sha1)", 80),
        integrity_key=Secret(b"k" * 20),
    )
    ccm = replace(base, encryption=encryption_named("AES_CCM_16"), encryption_key=Secret(b"k" * 19))
    ah = read_keys(SETKEY.encode()).records[2]
    table = esp_sa_table([base, odd, ccm, ah])
    assert table.rows == 0
    assert [problem.reason for problem in table.left_out] == [
        "Wireshark has no name for ESP with this",
        "Wireshark has no name for HMAC-SHA1 of 80 bits",
        "Wireshark has no name for ESP with AES_CCM_16",
        "Wireshark verifies no AH",
    ]


def test_ikev2_table_is_read_back_the_same() -> None:
    for text in (IKEV2, VPP):
        records = [record for record in records_of(text) if isinstance(record, IkeV2Keys)]
        (again,) = (record for record in records_of(ikev2_table(records).text) if isinstance(record, IkeV2Keys))
        assert (again.spi_i, again.sk_ei, again.sk_ar) == (records[0].spi_i, records[0].sk_ei, records[0].sk_ar)
    aead = replace(again, encryption=NamedEncryption("x", encryption_named("AES_GCM_16").row, 256), integrity=None)
    assert '"AES-GCM-256 with 16 octet ICV [RFC5282]"' in ikev2_table([aead]).text


def test_ike_records_that_wireshark_cannot_use_are_left_out_and_said() -> None:
    (record,) = records_of(IKEV2)
    assert isinstance(record, IkeV2Keys)
    variants = [
        replace(record, spi_r=None),
        replace(record, encryption=None),
        replace(record, encryption=encryption_named("chacha20poly1305")),
        replace(record, sk_er=None),
        replace(record, integrity=None),
        replace(record, integrity=integrity_named("hmac(sha1)", 80)),
    ]
    table = ikev2_table(variants)
    assert (table.rows, len(table.left_out)) == (0, len(variants))
    xcbc = replace(record, integrity=integrity_named("AES_XCBC_96"))
    assert '"ANY 96-bits of Authentication [No Checking]"' in ikev2_table([xcbc]).text
    ikev1 = ikev1_table([*records_of(IKEV1), IkeV1Keys(origin=HERE)])
    assert (ikev1.text, len(ikev1.left_out)) == (IKEV1 + "\n", 1)


def test_profile_folder_has_tables_and_preferences_and_is_private(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "profile"
    tables = write_wireshark_profile(records_of(f"{ESP_CBC}\n{IKEV2}\n{IKEV1}\n"), folder)
    assert {name: table.rows for name, table in tables.items()} == {
        "esp_sa": 1, "ikev1_decryption_table": 1, "ikev2_decryption_table": 1,
    }  # fmt: skip
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["esp_sa", "ikev1_decryption_table", "ikev2_decryption_table", "preferences"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert "esp.enable_encryption_decode: TRUE" in (folder / "preferences").read_text()
    command = open_command(folder, "my capture.pcap")
    assert command == f"WIRESHARK_CONFIG_DIR={folder.resolve()} wireshark -r 'my capture.pcap'"


def test_profile_folder_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "preferences").write_text("mine")
    with pytest.raises(FileExistsError):
        write_wireshark_profile(records_of(ESP_CBC), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["preferences"]
    (tmp_path / "ikev2_decryption_table").write_text("mine")
    with pytest.raises(FileExistsError):
        write_wireshark_tables(records_of(ESP_CBC), tmp_path)
    assert not (tmp_path / "esp_sa").exists()
    write_wireshark_profile(records_of(ESP_CBC), tmp_path, overwrite=True)
    assert "mine" not in (tmp_path / "preferences").read_text()


@pytest.mark.interop
@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
@pytest.mark.parametrize(
    "scenario", ["xfrm-ikev2-psk-aes128-sha256-modp2048", "ikev2-psk-aes256gcm16-prfsha384-ecp384", "ikev1-main-psk"]
)
def test_tshark_opens_as_much_with_our_profile_as_with_the_lab_tables(
    shared: Path, tmp_path: Path, scenario: str
) -> None:
    folder = shared / "captures" / "lab" / scenario
    write_wireshark_profile(read_keys(folder / "initiator.log").records, tmp_path / "profile")
    run = subprocess.run(
        ["tshark", "-r", str(folder / "capture.pcap"), "-Y", "esp.icv_good == 1 or isakmp.notify.data or isakmp.hash or isakmp.auth.data or icmp", "-T", "fields", "-e", "frame.number"],
        env={**os.environ, "WIRESHARK_CONFIG_DIR": str(tmp_path / "profile")},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    opened = len(run.stdout.split())
    lab = json.loads((folder / "tshark-verify.json").read_text())["capture.pcap"]
    print(f"{scenario}: {opened} of {lab['ike_decrypted'] + lab['esp_decrypted']} frames opened")
    assert opened == lab["ike_decrypted"] + lab["esp_decrypted"]


# -- tcpdump and ESPS --------------------------------------------------------------------------------------------


def test_tcpdump_secrets_are_read_back_the_same(tmp_path: Path) -> None:
    exported = write_tcpdump_secrets(records_of(TCPDUMP), tmp_path / "secrets")
    assert exported.rows == 4
    again = read_keys(tmp_path / "secrets")
    assert [type(record) for record in again.records] == [type(record) for record in records_of(TCPDUMP)]
    assert "0xd1234567@192.1.2.45 aes256-cbc-hmac96:0xaaaabbbb" in exported.text


def test_records_that_tcpdump_cannot_use_are_left_out_and_said() -> None:
    (ike,) = records_of(IKEV2)
    assert isinstance(ike, IkeV2Keys)
    records: list[KeyRecord] = [
        *records_of(XFRM),
        *records_of(SETKEY)[2:],
        *records_of(
            '"IPv4","*","1.2.3.4","1","AES-CBC","0x' + "01" * 16 + '","HMAC-SHA-256-128","0x' + "01" * 32 + '"'
        ),
        replace(ike, sk_er=None),
        replace(ike, integrity=integrity_named("HMAC_SHA2_512_256")),
        replace(ike, integrity=None),
        replace(ike, encryption=None),
        *records_of(IKEV1),
    ]
    exported = tcpdump_secrets(records)
    assert (exported.rows, len(exported.left_out)) == (0, len(records) - 1)
    assert tcpdump_secrets(records_of(ESP_CBC)).text.startswith("0x01004004@172.16.168.6 aes128-cbc-hmac96:0x0a9c")
    assert tcpdump_secrets([replace(ike, sk_ai=None)]).text.startswith(
        "ikev2 I 0xa3ae69ca51356b5c 0xf2ad2486dd78b7cc sha1:0x aes128:0x"
    )


def block(kind: int, body: bytes, order: str) -> bytes:
    padded = body + bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(padded) + 12)
    return struct.pack(order + "I", kind) + length + padded + length


@pytest.mark.parametrize("order", ["<", ">"], ids=["little", "big"])
def test_esps_block_is_read_back_out_of_a_capture(order: str) -> None:
    octets, left_out = esps_block([*records_of(ESP_CBC), *records_of(SETKEY)])
    assert len(left_out) == 1
    assert octets.startswith(b"Protocol,Src IP,")
    assert octets.endswith(b"\r\n")
    section = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)
    interface = block(1, struct.pack(order + "HHI", 1, 0, 0), order)
    secrets = block(10, struct.pack(order + "II", ESPS, len(octets)) + octets, order)
    other = block(10, struct.pack(order + "II", 0x544C534B, 4) + b"abcd", order)
    key_file = read_keys(section + interface + other + secrets, "capture.pcapng")
    assert (key_file.formats, key_file.problems) == (("esps",), ())
    assert [record.spi for record in key_file.records if isinstance(record, SaKeys)] == [0x01004004, 0x63D952F9, 0x1001]
    assert all(isinstance(record, SaKeys) and record.esn is False for record in key_file.records)
    empty = read_keys(section + interface + other, "capture.pcapng")
    assert (empty.records, len(empty.notes)) == ((), 1)


def test_esps_block_without_header_is_read() -> None:
    assert len(read_esps(ESP_CBC.encode(), "block").records) == 1


def test_esps_blocks_beyond_the_limit_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    from ipsecscope.decrypt.keylogs import esps

    monkeypatch.setattr(esps, "MAX_SECRETS_BLOCKS", 2)
    octets, _ = esps_block(records_of(ESP_CBC))
    secrets = block(10, struct.pack("<II", ESPS, len(octets)) + octets, "<")
    capture = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1), "<") + secrets * 5
    assert len(read_keys(capture).records) == 2
    monkeypatch.setattr(esps, "MAX_BLOCKS", 2)
    assert len(read_keys(capture).records) == 1


# -- files -------------------------------------------------------------------------------------------------------


def test_key_file_is_private_and_never_replaced_by_accident(tmp_path: Path) -> None:
    path = write_ipsecscope_log(records_of(ESP_CBC), tmp_path / "keys.log")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_ipsecscope_log([], path)
    assert path.read_bytes() == before
    path.chmod(0o644)
    write_private(path, b"new", overwrite=True)
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (b"new", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["keys.log"]


def test_key_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_private(tmp_path / "absent" / "keys", "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_private(tmp_path / "folder", "x", overwrite=True)
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]
