"""The words that strongSwan, libreswan and Cisco IOS use for the algorithms of the registries, one row each.

``{bits}`` stands for the key length. A dialect that has no word for an algorithm has None, and then no hint is written
in it: half a proposal is worse than none. strongSwan's words are those of its proposal keywords (swanctl.conf),
libreswan's those of ``ike=`` and ``esp=`` (ipsec.conf), Cisco's those of IOS and IOS XE, which vary by release.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

import msgspec

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
)

Dialect = Literal["swanctl", "libreswan", "ios"]
TITLES: Final[Mapping[str, str]] = MappingProxyType(
    {"swanctl": "strongSwan, swanctl.conf", "libreswan": "libreswan, ipsec.conf", "ios": "Cisco IOS"}
)
DEFAULT_BITS = 128  # of AES and Camellia, where no key length was negotiated


class Word(msgspec.Struct, frozen=True):
    """What each dialect calls one algorithm; ``ios_esp`` is the word of a transform set where it is another."""

    swanctl: str | None = None
    libreswan: str | None = None
    ios: str | None = None
    ios_esp: str | None = None


_E, _P, _I, _K = EncryptionAlgorithm, PseudorandomFunction, IntegrityAlgorithm, KeyExchangeMethod

ENCRYPTION: Final[Mapping[CodePoint, Word]] = MappingProxyType(
    {
        _E.ENCR_DES: Word("des", None, "des", "esp-des"),
        _E.ENCR_3DES: Word("3des", "3des", "3des", "esp-3des"),
        _E.ENCR_CAST: Word("cast128"),
        _E.ENCR_BLOWFISH: Word("blowfish{bits}"),
        _E.ENCR_NULL: Word("null", "null", None, "esp-null"),
        _E.ENCR_AES_CBC: Word("aes{bits}", "aes{bits}", "aes-cbc-{bits}", "esp-aes {bits}"),
        _E.ENCR_AES_CTR: Word("aes{bits}ctr", "aes_ctr{bits}"),
        _E.ENCR_AES_CCM_8: Word("aes{bits}ccm8", "aes_ccm_a{bits}"),
        _E.ENCR_AES_CCM_12: Word("aes{bits}ccm12", "aes_ccm_b{bits}"),
        _E.ENCR_AES_CCM_16: Word("aes{bits}ccm16", "aes_ccm_c{bits}"),
        _E.ENCR_AES_GCM_8: Word("aes{bits}gcm8", "aes_gcm_a{bits}"),
        _E.ENCR_AES_GCM_12: Word("aes{bits}gcm12", "aes_gcm_b{bits}"),
        _E.ENCR_AES_GCM_16: Word("aes{bits}gcm16", "aes_gcm{bits}", "aes-gcm-{bits}", "esp-gcm {bits}"),
        _E.ENCR_NULL_AUTH_AES_GMAC: Word("aes{bits}gmac", None, None, "esp-gmac {bits}"),
        _E.ENCR_CAMELLIA_CBC: Word("camellia{bits}", "camellia{bits}"),
        _E.ENCR_CAMELLIA_CTR: Word("camellia{bits}ctr"),
        _E.ENCR_CAMELLIA_CCM_8: Word("camellia{bits}ccm8"),
        _E.ENCR_CAMELLIA_CCM_12: Word("camellia{bits}ccm12"),
        _E.ENCR_CAMELLIA_CCM_16: Word("camellia{bits}ccm16"),
        _E.ENCR_CHACHA20_POLY1305: Word("chacha20poly1305", "chacha20_poly1305"),
    }
)
PRF: Final[Mapping[CodePoint, Word]] = MappingProxyType(
    {
        _P.PRF_HMAC_MD5: Word("prfmd5", "md5", "md5"),
        _P.PRF_HMAC_SHA1: Word("prfsha1", "sha1", "sha1"),
        _P.PRF_HMAC_SHA2_256: Word("prfsha256", "sha2_256", "sha256"),
        _P.PRF_HMAC_SHA2_384: Word("prfsha384", "sha2_384", "sha384"),
        _P.PRF_HMAC_SHA2_512: Word("prfsha512", "sha2_512", "sha512"),
        _P.PRF_AES128_XCBC: Word("prfaesxcbc", "aes_xcbc"),
        _P.PRF_AES128_CMAC: Word("prfaescmac"),
    }
)
INTEGRITY: Final[Mapping[CodePoint, Word]] = MappingProxyType(
    {
        _I.AUTH_HMAC_MD5_96: Word("md5", "md5", "md5", "esp-md5-hmac"),
        _I.AUTH_HMAC_MD5_128: Word("md5_128"),
        _I.AUTH_HMAC_SHA1_96: Word("sha1", "sha1", "sha1", "esp-sha-hmac"),
        _I.AUTH_HMAC_SHA1_160: Word("sha1_160"),
        _I.AUTH_HMAC_SHA2_256_128: Word("sha256", "sha2_256", "sha256", "esp-sha256-hmac"),
        _I.AUTH_HMAC_SHA2_384_192: Word("sha384", "sha2_384", "sha384", "esp-sha384-hmac"),
        _I.AUTH_HMAC_SHA2_512_256: Word("sha512", "sha2_512", "sha512", "esp-sha512-hmac"),
        _I.AUTH_AES_XCBC_96: Word("aesxcbc", "aes_xcbc"),
        _I.AUTH_AES_CMAC_96: Word("aescmac", "aes_cmac"),
    }
)


def _group(word: str, method: CodePoint, *, ios: bool = False, libreswan: bool = True) -> Word:
    return Word(word, f"dh{int(method)}" if libreswan else None, str(int(method)) if ios else None)


KEY_EXCHANGE: Final[Mapping[CodePoint, Word]] = MappingProxyType(
    {
        _K.MODP_768: _group("modp768", _K.MODP_768, ios=True, libreswan=False),
        _K.MODP_1024: _group("modp1024", _K.MODP_1024, ios=True),
        _K.MODP_1536: _group("modp1536", _K.MODP_1536, ios=True),
        _K.MODP_2048: _group("modp2048", _K.MODP_2048, ios=True),
        _K.MODP_3072: _group("modp3072", _K.MODP_3072, ios=True),
        _K.MODP_4096: _group("modp4096", _K.MODP_4096, ios=True),
        _K.MODP_6144: _group("modp6144", _K.MODP_6144),
        _K.MODP_8192: _group("modp8192", _K.MODP_8192),
        _K.ECP_256: _group("ecp256", _K.ECP_256, ios=True),
        _K.ECP_384: _group("ecp384", _K.ECP_384, ios=True),
        _K.ECP_521: _group("ecp521", _K.ECP_521, ios=True),
        _K.MODP_1024_160: _group("modp1024s160", _K.MODP_1024_160, libreswan=False),
        _K.MODP_2048_224: _group("modp2048s224", _K.MODP_2048_224, libreswan=False),
        _K.MODP_2048_256: _group("modp2048s256", _K.MODP_2048_256, ios=True, libreswan=False),
        _K.ECP_192: _group("ecp192", _K.ECP_192, libreswan=False),
        _K.ECP_224: _group("ecp224", _K.ECP_224, libreswan=False),
        _K.BRAINPOOL_P224R1: _group("ecp224bp", _K.BRAINPOOL_P224R1, libreswan=False),
        _K.BRAINPOOL_P256R1: _group("ecp256bp", _K.BRAINPOOL_P256R1, libreswan=False),
        _K.BRAINPOOL_P384R1: _group("ecp384bp", _K.BRAINPOOL_P384R1, libreswan=False),
        _K.BRAINPOOL_P512R1: _group("ecp512bp", _K.BRAINPOOL_P512R1, libreswan=False),
        _K.CURVE25519: _group("x25519", _K.CURVE25519),
        _K.CURVE448: _group("x448", _K.CURVE448, libreswan=False),
        _K.ML_KEM_512: _group("mlkem512", _K.ML_KEM_512, libreswan=False),
        _K.ML_KEM_768: _group("mlkem768", _K.ML_KEM_768, libreswan=False),
        _K.ML_KEM_1024: _group("mlkem1024", _K.ML_KEM_1024, libreswan=False),
    }
)
_BY_NAME: Final[Mapping[str, Word]] = MappingProxyType(
    {str(row): word for table in (ENCRYPTION, PRF, INTEGRITY, KEY_EXCHANGE) for row, word in table.items()}
)


def word_of(name: str, dialect: Dialect, bits: int | None = None, *, esp: bool = False) -> str | None:
    """What a dialect calls an algorithm by its registry name, with its key length; None when it has no word."""
    row = _BY_NAME.get(name)
    if row is None:
        return None
    word = row.ios_esp if dialect == "ios" and esp else getattr(row, dialect)
    return None if word is None else str(word).format(bits=bits or DEFAULT_BITS)
