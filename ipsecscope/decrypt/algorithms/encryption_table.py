"""Encryption algorithms: one row each."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ipsecscope.decrypt.algorithms.rows import EncryptionRow, UnknownAlgorithmError, lookup_table, normal_name
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm
from ipsecscope.dissect.registry.ipsec_doi import EspTransform

_E = EncryptionAlgorithm
_1 = isakmp.EncryptionAlgorithm
_T = EspTransform
IKEV1_ENCRYPTION: dict[str, tuple[isakmp.EncryptionAlgorithm | None, EspTransform | None]] = {
    "ENCR_NULL": (None, _T.ESP_NULL),
    "ENCR_DES": (_1.DES_CBC, _T.ESP_DES),
    "ENCR_3DES": (_1.TRIPLE_DES_CBC, _T.ESP_3DES),
    "ENCR_CAST": (_1.CAST_CBC, _T.ESP_CAST),
    "ENCR_BLOWFISH": (_1.BLOWFISH_CBC, _T.ESP_BLOWFISH),
    "ENCR_IDEA": (_1.IDEA_CBC, _T.ESP_IDEA),
    "ENCR_RC5": (_1.RC5_R16_B64_CBC, _T.ESP_RC5),
    "ENCR_3IDEA": (None, _T.ESP_3IDEA),
    "ENCR_DES_IV64": (None, _T.ESP_DES_IV64),
    "ENCR_DES_IV32": (None, _T.ESP_DES_IV32),
    "ENCR_AES_CBC": (_1.AES_CBC, _T.ESP_AES_CBC),
    "ENCR_AES_CTR": (None, _T.ESP_AES_CTR),
    "ENCR_AES_CCM_8": (None, _T.ESP_AES_CCM_8),
    "ENCR_AES_CCM_12": (None, _T.ESP_AES_CCM_12),
    "ENCR_AES_CCM_16": (None, _T.ESP_AES_CCM_16),
    "ENCR_AES_GCM_8": (None, _T.ESP_AES_GCM_8),
    "ENCR_AES_GCM_12": (None, _T.ESP_AES_GCM_12),
    "ENCR_AES_GCM_16": (None, _T.ESP_AES_GCM_16),
    "ENCR_NULL_AUTH_AES_GMAC": (None, _T.ESP_NULL_AUTH_AES_GMAC),
    "ENCR_CAMELLIA_CBC": (_1.CAMELLIA_CBC, _T.ESP_CAMELLIA),
    "SEED_CBC": (None, _T.ESP_SEED_CBC),
    "SM4_CBC": (_1.SM4_CBC, None),
}  # 21 to 23 mean other ciphers in IKEv1 than in IKEv2
AES_KEYS = (16, 24, 32)
BLOWFISH_KEYS = tuple(range(5, 57))  # RFC 2451 section 2.2: 40 to 448 bits
CAST_KEYS = tuple(range(5, 17))  # RFC 2144: 40 to 128 bits


def _cbc(
    number: EncryptionAlgorithm | None,
    name: str,
    cipher: str,
    keys: tuple[int, ...],
    *names: str,
    default: int = 16,
    block: int = 16,
) -> EncryptionRow:
    return EncryptionRow(
        name=name,
        id=number,
        mode="cbc" if cipher else "",
        cipher=cipher,
        key_sizes=keys,
        default_key_size=default,
        iv_size=block,
        block_size=block,
        names=names,
    )


def _counted(
    number: EncryptionAlgorithm, mode: str, *names: str, icv: int = 0, salt: int = 4, implicit_iv: bool = False
) -> EncryptionRow:
    """A counter-like mode with an IV of eight octets: CTR, GCM, CCM, GMAC, ChaCha20-Poly1305."""
    chacha = mode == "chacha20-poly1305"
    return EncryptionRow(
        name=str(number),
        id=number,
        mode=mode,
        cipher=mode.partition("-")[0],
        key_sizes=(32,) if chacha else AES_KEYS,
        default_key_size=32 if chacha else 16,
        salt_size=salt,
        iv_size=0 if implicit_iv else 8,
        icv_size=icv,
        implicit_iv=implicit_iv,
        names=names,
    )


def _gcm_names(icv: int, letter: str) -> tuple[str, ...]:
    return (
        f"AES_GCM_{icv}",
        f"AES_GCM_{icv}_{{bits}}",
        f"AES_GCM_{letter}",
        f"AES_GCM_{letter}_{{bits}}",
        f"AES-GCM with {icv} octet ICV",
        f"AES-GCM-{{bits}} with {icv} octet ICV",
        f"aes{{bits}}gcm{icv}",
        f"aes{{bits}}gcm{icv * 8}",
    )


def _ccm_names(icv: int, letter: str) -> tuple[str, ...]:
    return tuple(name.replace("GCM", "CCM").replace("gcm", "ccm") for name in _gcm_names(icv, letter))


def _camellia_ccm(number: EncryptionAlgorithm, icv: int) -> EncryptionRow:
    names = (
        f"CAMELLIA_CCM_{icv}",
        f"CAMELLIA_CCM_{icv}_{{bits}}",
        f"camellia{{bits}}ccm{icv}",
        f"camellia{{bits}}ccm{icv * 8}",
    )
    return _counted(number, "camellia-ccm", *names, icv=icv, salt=3)


def _named_only(
    number: EncryptionAlgorithm, *names: str, key: int, iv: int = 8, block: int = 1, salt: int = 0, icv: int = 0
) -> EncryptionRow:
    """An algorithm whose sizes are known, and that this program cannot open."""
    return EncryptionRow(
        name=str(number),
        id=number,
        key_sizes=(key,),
        default_key_size=key,
        salt_size=salt,
        iv_size=iv,
        icv_size=icv,
        block_size=block,
        names=names,
    )


_ENCRYPTION_ROWS = (
    EncryptionRow(
        name="ENCR_NULL",
        id=_E.ENCR_NULL,
        mode="null",
        key_sizes=(0,),
        names=("NULL", "none", "ecb(cipher_null)", "cipher_null", "digest_null", "simple", "esp-null"),
    ),
    _cbc(
        _E.ENCR_DES, "ENCR_DES", "des", (8,),
        "DES", "DES_CBC", "DES_CBC_64", "DES-CBC", "cbc(des)", "esp-des", "des64", default=8, block=8,
    ),
    _cbc(
        _E.ENCR_3DES, "ENCR_3DES", "3des", (24,),
        "3DES", "3DES_CBC", "3DES_CBC_192", "TripleDES", "TripleDES-CBC", "des3", "des3_ede", "des3-cbc", "des-ede3",
        "des-ede3-cbc", "cbc(des3_ede)", "esp-3des", "3des168", "3des192", default=24, block=8,
    ),
    _cbc(
        _E.ENCR_CAST, "ENCR_CAST", "cast", CAST_KEYS,
        "CAST", "CAST_CBC", "CAST_CBC_{bits}", "CAST5", "CAST5-CBC", "CAST5-{bits}", "CAST128", "CAST128-CBC",
        "cbc(cast5)", block=8,
    ),
    _cbc(
        _E.ENCR_BLOWFISH, "ENCR_BLOWFISH", "blowfish", BLOWFISH_KEYS,
        "BLOWFISH", "BLOWFISH_CBC", "BLOWFISH_CBC_{bits}", "blowfish{bits}", "bf", "bf-cbc", "cbc(blowfish)",
        "blowfish-{bits}", block=8,
    ),
    _cbc(_E.ENCR_IDEA, "ENCR_IDEA", "idea", (16,), "IDEA", "IDEA_CBC", "cbc(idea)", block=8),
    _cbc(
        _E.ENCR_AES_CBC, "ENCR_AES_CBC", "aes", AES_KEYS,
        "AES", "AES{bits}", "AES-{bits}", "AES_CBC", "AES_CBC_{bits}", "AES{bits}-CBC", "AES-{bits}-CBC", "cbc(aes)",
        "rijndael", "rijndael-cbc", "rijndael{bits}", "rijndael{bits}-cbc", "rijndael-cbc-{bits}", "esp-aes",
        "esp-aes-{bits}", "esp-{bits}-aes",
    ),
    _counted(
        _E.ENCR_AES_CTR, "aes-ctr",
        "AES_CTR", "AES_CTR_{bits}", "aes{bits}ctr", "aes{bits}-ctr", "aes-{bits}-ctr", "aesctr", "rfc3686(ctr(aes))",
        "ctr(aes)",
    ),
    _counted(_E.ENCR_AES_CCM_8, "aes-ccm", *_ccm_names(8, "A"), icv=8, salt=3),
    _counted(_E.ENCR_AES_CCM_12, "aes-ccm", *_ccm_names(12, "B"), icv=12, salt=3),
    _counted(
        _E.ENCR_AES_CCM_16, "aes-ccm", *_ccm_names(16, "C"),
        "AES_CCM", "AES_CCM_{bits}", "aes{bits}ccm", "aes{bits}-ccm", "aes-{bits}-ccm", "aesccm", "rfc4309(ccm(aes))",
        "ccm(aes)", icv=16, salt=3,
    ),
    _counted(_E.ENCR_AES_GCM_8, "aes-gcm", *_gcm_names(8, "A"), icv=8),
    _counted(_E.ENCR_AES_GCM_12, "aes-gcm", *_gcm_names(12, "B"), icv=12),
    _counted(
        _E.ENCR_AES_GCM_16, "aes-gcm", *_gcm_names(16, "C"),
        "AES_GCM", "AES_GCM_{bits}", "AES_GCM{bits}", "aes{bits}gcm", "aes{bits}-gcm", "aes-{bits}-gcm", "aesgcm",
        "aesgcm{bits}", "gcmaes{bits}", "id-aes{bits}-gcm", "rfc4106(gcm(aes))", "seqiv(rfc4106(gcm(aes)))",
        "gcm(aes)", "esp-gcm", "esp-gcm-{bits}", icv=16,
    ),
    _counted(
        _E.ENCR_NULL_AUTH_AES_GMAC, "aes-gmac",
        "NULL_AUTH_AES_GMAC", "NULL_AUTH_AES_GMAC_{bits}", "NULL_AES_GMAC", "NULL_AES_GMAC_{bits}", "AES-NULL-GMAC",
        "AES_GMAC", "AES_GMAC_{bits}", "aes{bits}gmac", "aes{bits}-gmac", "aes-{bits}-gmac", "aesgmac",
        "rfc4543(gcm(aes))", "esp-gmac", "esp-gmac-{bits}", "gmacaes{bits}", icv=16,
    ),
    _cbc(
        _E.ENCR_CAMELLIA_CBC, "ENCR_CAMELLIA_CBC", "camellia", AES_KEYS,
        "CAMELLIA", "CAMELLIA{bits}", "CAMELLIA-{bits}", "CAMELLIA_CBC", "CAMELLIA_CBC_{bits}", "camellia{bits}-cbc",
        "camellia-{bits}-cbc", "cbc(camellia)",
    ),
    _counted(
        _E.ENCR_CAMELLIA_CTR, "camellia-ctr",
        "CAMELLIA_CTR", "CAMELLIA_CTR_{bits}", "camellia{bits}ctr", "rfc3686(ctr(camellia))",
    ),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_8, 8),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_12, 12),
    _camellia_ccm(_E.ENCR_CAMELLIA_CCM_16, 16),
    _counted(
        _E.ENCR_CHACHA20_POLY1305, "chacha20-poly1305",
        "CHACHA20_POLY1305", "CHACHA20_POLY1305_{bits}", "chacha20poly1305", "ChaCha20 with Poly1305",
        "rfc7539esp(chacha20,poly1305)", "chacha20", icv=16,
    ),
    _counted(
        _E.ENCR_AES_CCM_8_IIV, "aes-ccm", "AES_CCM_8_IIV", "AES_CCM_8_IIV_{bits}",
        "AES-CCM with IIV and 8 octet ICV", icv=8, salt=3, implicit_iv=True,
    ),
    _counted(
        _E.ENCR_AES_GCM_16_IIV, "aes-gcm", "AES_GCM_16_IIV", "AES_GCM_16_IIV_{bits}",
        "AES-GCM with IIV and 16 octet ICV", icv=16, implicit_iv=True,
    ),
    _counted(
        _E.ENCR_CHACHA20_POLY1305_IIV, "chacha20-poly1305", "CHACHA20_POLY1305_IIV",
        "ChaCha20 with Poly1305 and IIV", icv=16, implicit_iv=True,
    ),
    _cbc(None, "SEED_CBC", "seed", (16,), "SEED", "cbc(seed)"),
    _cbc(None, "SM4_CBC", "sm4", (16,), "SM4", "cbc(sm4)"),
    _cbc(
        None, "TWOFISH_CBC", "", AES_KEYS,
        "TWOFISH", "TWOFISH{bits}", "TWOFISH_CBC_{bits}", "cbc(twofish)",
    ),
    _cbc(
        None, "SERPENT_CBC", "", AES_KEYS,
        "SERPENT", "SERPENT{bits}", "SERPENT_CBC_{bits}", "cbc(serpent)",
    ),
    _named_only(_E.ENCR_DES_IV64, key=8, block=8),
    _named_only(_E.ENCR_DES_IV32, key=8, iv=4, block=8),
    _named_only(_E.ENCR_RC5, "RC5", "RC5_CBC", key=16, block=8),
    _named_only(_E.ENCR_3IDEA, "3IDEA", key=48, block=8),
    _named_only(_E.ENCR_KUZNYECHIK_MGM_KTREE, key=32, salt=12, icv=12),
    _named_only(_E.ENCR_MAGMA_MGM_KTREE, key=32, salt=4, icv=8),
    _named_only(_E.ENCR_KUZNYECHIK_MGM_MAC_KTREE, key=32, salt=12, icv=12),
    _named_only(_E.ENCR_MAGMA_MGM_MAC_KTREE, key=32, salt=4, icv=8),
)  # fmt: skip


def _with_ikev1_numbers(row: EncryptionRow) -> EncryptionRow:
    phase_1, esp_v1 = IKEV1_ENCRYPTION.get(row.name, (None, None))
    return msgspec.structs.replace(row, phase_1=phase_1, esp_v1=esp_v1)


ENCRYPTION: tuple[EncryptionRow, ...] = tuple(map(_with_ikev1_numbers, _ENCRYPTION_ROWS))


def _encryption_names() -> Iterable[tuple[tuple[EncryptionRow, int | None], Iterable[str]]]:
    for row in ENCRYPTION:
        names = {row.name, str(row.id or row.name), *row.names}
        yield (row, None), [name for name in names if "{bits}" not in name]
        for size in row.key_sizes:
            yield (row, size * 8), [name.format(bits=size * 8) for name in names if "{bits}" in name]


_ENCRYPTION_BY_ID = {row.id: row for row in ENCRYPTION if row.id is not None}
_ENCRYPTION_OF_PHASE_1 = {row.phase_1: row for row in ENCRYPTION if row.phase_1 is not None}
_ENCRYPTION_OF_ESP_V1 = {row.esp_v1: row for row in ENCRYPTION if row.esp_v1 is not None}
_ENCRYPTION_BY_NAME = lookup_table(_encryption_names())


def encryption(number: int) -> EncryptionRow:
    """The row of an IKEv2 ENCR transform. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_BY_ID.get(EncryptionAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"encryption algorithm {EncryptionAlgorithm(number)} is unknown to this program")
    return row


def encryption_of_phase_1(number: int) -> EncryptionRow:
    """The row of an IKEv1 phase 1 Encryption Algorithm attribute. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_OF_PHASE_1.get(_1.SM4_CBC if number == _1.SM4_CBC_OLD else _1(number))
    if row is None:
        raise UnknownAlgorithmError(f"phase 1 encryption algorithm {_1(number)} is unknown to this program")
    return row


def encryption_of_esp_v1(number: int) -> EncryptionRow:
    """The row of an ESP transform of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _ENCRYPTION_OF_ESP_V1.get(EspTransform(number))
    if row is None:
        raise UnknownAlgorithmError(f"ESP transform {EspTransform(number)} is unknown to this program")
    return row


def encryption_by_name(name: str, icv_bits: int | None = None) -> tuple[EncryptionRow, int | None]:
    """The row that a program or a standard calls ``name``, and the key bits where the name says them.

    ``icv_bits`` is for names that leave the ICV open, such as ``rfc4106(gcm(aes))`` with 128, 96 or 64 behind the key.
    Raises UnknownAlgorithmError, whose text is for the user.
    """
    found = _ENCRYPTION_BY_NAME.get(normal_name(name))
    if found is None:
        raise UnknownAlgorithmError(f'no encryption algorithm is called "{name}"')
    row, key_bits = found
    if icv_bits is None or not row.is_aead or icv_bits == row.icv_size * 8:
        return row, key_bits
    for other in ENCRYPTION:
        if (other.mode, other.implicit_iv, other.icv_size * 8) == (row.mode, row.implicit_iv, icv_bits):
            return other, key_bits
    raise UnknownAlgorithmError(f'"{name}" has no form with an ICV of {icv_bits} bits')
