from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ipsecscope.decrypt import algorithms
from ipsecscope.decrypt.algorithms import (
    ENCRYPTION,
    INTEGRITY,
    PRFS,
    AlgorithmError,
    KeyLengthError,
    UnknownAlgorithmError,
    encryption,
    encryption_by_name,
    encryption_of_esp_v1,
    encryption_of_phase_1,
    integrity,
    integrity_by_name,
    integrity_of_ah_v1,
    integrity_of_esp_v1,
    lookup_table,
    prf_by_name,
    prf_of_hash_v1,
    pseudorandom,
    truncated,
)
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, IntegrityAlgorithm, PseudorandomFunction
from ipsecscope.dissect.registry.ipsec_doi import AhTransform, AuthenticationAlgorithm, EspTransform

WIRESHARK_ESP_ENCRYPTION = {
    "NULL": "ENCR_NULL",
    "TripleDES-CBC [RFC2451]": "ENCR_3DES",
    "AES-CBC [RFC3602]": "ENCR_AES_CBC",
    "AES-CTR [RFC3686]": "ENCR_AES_CTR",
    "DES-CBC [RFC2405]": "ENCR_DES",
    "CAST5-CBC [RFC2144]": "ENCR_CAST",
    "BLOWFISH-CBC [RFC2451]": "ENCR_BLOWFISH",
    "TWOFISH-CBC": "TWOFISH_CBC",
    "AES-GCM [RFC4106]": "ENCR_AES_GCM_16",
    "AES-GCM with 8 octet ICV [RFC4106]": "ENCR_AES_GCM_8",
    "AES-GCM with 12 octet ICV [RFC4106]": "ENCR_AES_GCM_12",
    "AES-GCM with 16 octet ICV [RFC4106]": "ENCR_AES_GCM_16",
    "AES-GCM with IIV and 16 octet ICV [RFC4106 & RFC8750]": "ENCR_AES_GCM_16_IIV",
    "ChaCha20 with Poly1305 [RFC7634]": "ENCR_CHACHA20_POLY1305",
    "ChaCha20 with Poly1305 and IIV [RFC7634 & RFC8750]": "ENCR_CHACHA20_POLY1305_IIV",
}
WIRESHARK_ESP_INTEGRITY = {
    "NULL": "NONE",
    "HMAC-SHA-1-96 [RFC2404]": "AUTH_HMAC_SHA1_96",
    "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]": "AUTH_HMAC_SHA2_256_96",
    "HMAC-SHA-256-128 [RFC4868]": "AUTH_HMAC_SHA2_256_128",
    "HMAC-SHA-384-192 [RFC4868]": "AUTH_HMAC_SHA2_384_192",
    "HMAC-SHA-512-256 [RFC4868]": "AUTH_HMAC_SHA2_512_256",
    "HMAC-MD5-96 [RFC2403]": "AUTH_HMAC_MD5_96",
    "MAC-RIPEMD-160-96 [RFC2857]": "AUTH_HMAC_RIPEMD_160_96",
    "ANY 64 bit authentication [no checking]": "ANY_64",
    "ANY 256 bit authentication [no checking]": "ANY_256",
}
OTHERS = {
    "AES_CBC_128": ("ENCR_AES_CBC", 128),
    "AES_GCM_16_256": ("ENCR_AES_GCM_16", 256),
    "NULL_AES_GMAC_128": ("ENCR_NULL_AUTH_AES_GMAC", 128),
    "CAMELLIA_CBC_256": ("ENCR_CAMELLIA_CBC", 256),
    "aes256gcm16": ("ENCR_AES_GCM_16", 256),
    "aes128ccm64": ("ENCR_AES_CCM_8", 128),
    "aes128-cbc": ("ENCR_AES_CBC", 128),
    "3DES_CBC": ("ENCR_3DES", None),
    "TripleDes-CBC": ("ENCR_3DES", None),
    "cbc(aes)": ("ENCR_AES_CBC", None),
    "cbc(des3_ede)": ("ENCR_3DES", None),
    "cbc(cast5)": ("ENCR_CAST", None),
    "ecb(cipher_null)": ("ENCR_NULL", None),
    "rfc3686(ctr(aes))": ("ENCR_AES_CTR", None),
    "rfc4106(gcm(aes))": ("ENCR_AES_GCM_16", None),
    "rfc4309(ccm(aes))": ("ENCR_AES_CCM_16", None),
    "rfc4543(gcm(aes))": ("ENCR_NULL_AUTH_AES_GMAC", None),
    "rfc7539esp(chacha20,poly1305)": ("ENCR_CHACHA20_POLY1305", None),
    "rijndael-cbc": ("ENCR_AES_CBC", None),
    "aes-gcm-16": ("ENCR_AES_GCM_16", None),
    "blowfish-cbc": ("ENCR_BLOWFISH", None),
    "cast128-cbc": ("ENCR_CAST", None),
    "esp-256-aes": ("ENCR_AES_CBC", 256),
    "aes-256": ("ENCR_AES_CBC", 256),
    "aes": ("ENCR_AES_CBC", None),
    "AES-NULL-GMAC": ("ENCR_NULL_AUTH_AES_GMAC", None),
    "AES-CCM-192 with 12 octet ICV [RFC5282]": ("ENCR_AES_CCM_12", 192),
    "aes-cbc-256": ("ENCR_AES_CBC", 256),
    "AES_GCM_C_128": ("ENCR_AES_GCM_16", 128),
}


@pytest.mark.parametrize(("name", "expected"), WIRESHARK_ESP_ENCRYPTION.items(), ids=str)
def test_encryption_by_name_of_wireshark_esp_sa_finds_the_row(name: str, expected: str) -> None:
    assert encryption_by_name(name)[0].name == expected


@pytest.mark.parametrize(("name", "expected"), WIRESHARK_ESP_INTEGRITY.items(), ids=str)
def test_integrity_by_name_of_wireshark_esp_sa_finds_the_row(name: str, expected: str) -> None:
    assert integrity_by_name(name).name == expected


@pytest.mark.parametrize("bits", [128, 192, 256])
@pytest.mark.parametrize("icv", [8, 12, 16])
@pytest.mark.parametrize("mode", ["GCM", "CCM"])
def test_encryption_by_name_of_wireshark_ikev2_table_says_the_key_bits(mode: str, icv: int, bits: int) -> None:
    row, key_bits = encryption_by_name(f"AES-{mode}-{bits} with {icv} octet ICV [RFC5282]")
    assert (row.name, key_bits) == (f"ENCR_AES_{mode}_{icv}", bits)
    assert row.icv_size == icv


@pytest.mark.parametrize(("name", "expected"), OTHERS.items(), ids=str)
def test_encryption_by_name_of_other_programs_finds_row_and_bits(name: str, expected: tuple[str, int | None]) -> None:
    row, bits = encryption_by_name(name)
    assert (row.name, bits) == expected


@pytest.mark.parametrize("bits", [64, 96, 128])
@pytest.mark.parametrize("name", ["rfc4106(gcm(aes))", "rfc4309(ccm(aes))"])
def test_encryption_by_name_with_icv_bits_chooses_the_sibling(name: str, bits: int) -> None:
    assert encryption_by_name(name, bits)[0].icv_size * 8 == bits


def test_encryption_by_name_with_an_icv_that_nobody_has_is_said() -> None:
    with pytest.raises(UnknownAlgorithmError, match="no form with an ICV of 72 bits"):
        encryption_by_name("rfc4106(gcm(aes))", 72)
    assert encryption_by_name("cbc(aes)", 96)[0].name == "ENCR_AES_CBC"


@pytest.mark.parametrize(
    ("name", "bits", "expected"),
    [
        ("hmac(sha256)", 96, "AUTH_HMAC_SHA2_256_96"),
        ("hmac(sha256)", 128, "AUTH_HMAC_SHA2_256_128"),
        ("hmac(sha1)", 96, "AUTH_HMAC_SHA1_96"),
        ("hmac(md5)", 128, "AUTH_HMAC_MD5_128"),
        ("cmac(aes)", 96, "AUTH_AES_CMAC_96"),
        ("xcbc(aes)", None, "AUTH_AES_XCBC_96"),
        ("hmac(rmd160)", 96, "AUTH_HMAC_RIPEMD_160_96"),
        ("sha2-512", None, "AUTH_HMAC_SHA2_512_256"),
        ("HMAC_SHA2_256_128_TRUNCBUG", None, "AUTH_HMAC_SHA2_256_96"),
        ("esp-sha-hmac", None, "AUTH_HMAC_SHA1_96"),
        ("ANY 160-bits of Authentication [No Checking]", 160, "ANY_160"),
        ("hmac(sha384)", 384, "HMAC-SHA2-384 of 384 bits"),
        ("AES_128_GMAC", 128, "AUTH_AES_128_GMAC"),
    ],
)
def test_integrity_by_name_with_icv_bits_finds_or_makes_the_row(name: str, bits: int | None, expected: str) -> None:
    row = integrity_by_name(name, bits)
    assert row.name == expected
    assert bits is None or row.icv_size * 8 in (bits, 192)


def test_truncation_beyond_the_mac_is_refused() -> None:
    with pytest.raises(UnknownAlgorithmError, match="20 octets, no ICV of 24"):
        truncated(integrity_by_name("sha1"), 24)


@pytest.mark.parametrize("find", [encryption_by_name, integrity_by_name, prf_by_name])
def test_unknown_names_are_named(find: object) -> None:
    with pytest.raises(UnknownAlgorithmError, match='"rot13-cbc"'):
        find("rot13-cbc")  # type: ignore[operator]


def test_every_iana_transform_has_one_row() -> None:
    known = {number for number in EncryptionAlgorithm if number}
    assert {row.id for row in ENCRYPTION if row.id is not None} == known
    assert {row.id for row in INTEGRITY if row.id is not None} == set(IntegrityAlgorithm)
    assert {row.id for row in PRFS if row.id is not None} == set(PseudorandomFunction)
    for number in known:
        assert encryption(number).id == number
        assert encryption_by_name(str(number))[0].id == number
    for kind in IntegrityAlgorithm:
        assert integrity(kind).id == kind
    for kind in PseudorandomFunction:
        assert pseudorandom(kind).id == kind


def test_ikev1_numbers_lead_to_their_own_rows() -> None:
    assert encryption_of_esp_v1(EspTransform.ESP_CAMELLIA).name == "ENCR_CAMELLIA_CBC"
    assert encryption_of_esp_v1(21).name == "SEED_CBC"
    assert encryption_of_esp_v1(23).name == "ENCR_NULL_AUTH_AES_GMAC"
    assert encryption(21).name == "ENCR_NULL_AUTH_AES_GMAC"
    assert encryption(23).name == "ENCR_CAMELLIA_CBC"
    assert encryption_of_phase_1(isakmp.EncryptionAlgorithm.AES_CBC).name == "ENCR_AES_CBC"
    assert encryption_of_phase_1(isakmp.EncryptionAlgorithm.SM4_CBC_OLD).name == "SM4_CBC"
    assert prf_of_hash_v1(isakmp.HashAlgorithm.SHA2_384).name == "PRF_HMAC_SHA2_384"
    assert integrity_of_esp_v1(AuthenticationAlgorithm.HMAC_SHA2_256).name == "AUTH_HMAC_SHA2_256_128"
    assert integrity_of_ah_v1(AhTransform.AH_RIPEMD).name == "AUTH_HMAC_RIPEMD_160_96"
    assert {row.esp_v1 for row in ENCRYPTION} >= set(EspTransform) - {EspTransform.ESP_RC4}


@pytest.mark.parametrize(
    "find",
    [
        encryption,
        integrity,
        pseudorandom,
        encryption_of_phase_1,
        encryption_of_esp_v1,
        integrity_of_esp_v1,
        integrity_of_ah_v1,
        prf_of_hash_v1,
    ],
)
def test_unknown_numbers_are_named(find: object) -> None:
    with pytest.raises(UnknownAlgorithmError, match="UNKNOWN_999"):
        find(999)  # type: ignore[operator]


def test_key_sizes_are_checked_with_the_salt() -> None:
    row = encryption_by_name("AES_GCM_16")[0]
    assert row.key_material_size(256) == 36
    assert row.key_material_size() == 20
    assert row.key_bits_of(28) == 192
    assert row.has_variable_key
    assert not encryption_by_name("3DES")[0].has_variable_key
    with pytest.raises(KeyLengthError, match="no key of 100 bits, only of 128, 192, 256"):
        row.key_material_size(100)
    with pytest.raises(KeyLengthError, match="16 octets of key for ENCR_AES_GCM_16, which takes 16, 24 or 32 with 4"):
        row.check_key(16)
    with pytest.raises(KeyLengthError, match="takes 24"):
        encryption_by_name("3DES")[0].check_key(16)
    with pytest.raises(KeyLengthError, match="takes 20"):
        integrity_by_name("sha1").check_key(19)
    integrity_by_name("ANY 96 bit authentication [no checking]").check_key(7)
    assert issubclass(KeyLengthError, AlgorithmError)
    assert issubclass(AlgorithmError, ValueError)


def test_a_name_claimed_by_two_rows_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="two rows are called AES"):
        lookup_table([(1, ["aes"]), (2, ["AES"])])


def test_supported_rows_are_told_from_named_ones() -> None:
    unsupported = {row.name for row in ENCRYPTION if not row.is_supported}
    assert unsupported >= {"TWOFISH_CBC", "SERPENT_CBC", "ENCR_RC5"}
    assert not {row.name for row in INTEGRITY if row.is_supported} & {"NONE", "AUTH_DES_MAC", "ANY_96"}
    assert {row.name for row in PRFS if not row.is_supported} == {
        "PRF_HMAC_TIGER", "PRF_HMAC_STREEBOG_512", "PRF_HMAC_SM3",
    }  # fmt: skip


def test_names_are_found_without_loading_cryptography() -> None:
    code = "import sys, ipsecscope.decrypt.algorithms, ipsecscope.decrypt.groups; print('cryptography' in sys.modules)"
    import subprocess

    root = Path(algorithms.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
