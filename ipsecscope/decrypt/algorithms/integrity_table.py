"""Integrity algorithms: one row each."""

from __future__ import annotations

import msgspec

from ipsecscope.decrypt.algorithms.rows import IntegrityRow, UnknownAlgorithmError, lookup_table, normal_name
from ipsecscope.dissect.registry.ikev2 import IntegrityAlgorithm
from ipsecscope.dissect.registry.ipsec_doi import AhTransform, AuthenticationAlgorithm

_I = IntegrityAlgorithm


def _mac(
    number: IntegrityAlgorithm | None, name: str, mac: str, sizes: tuple[int, int, int], *names: str
) -> IntegrityRow:
    key, full, icv = sizes
    return IntegrityRow(name=name, id=number, mac=mac, key_size=key, full_size=full, icv_size=icv, names=names)


def _hmac_sha2(number: IntegrityAlgorithm, bits: int, *names: str) -> IntegrityRow:
    size, half = bits // 8, bits // 2
    common = (
        f"HMAC_SHA2_{bits}_{half}", f"HMAC_SHA2_{bits}", f"HMAC-SHA-{bits}-{half}", f"HMAC-SHA-{bits}",
        f"HMAC-SHA{bits}", f"HMAC-SHA{bits}-{half}", f"hmac(sha{bits})", f"SHA{bits}", f"SHA2_{bits}",
        f"SHA2_{bits}_{half}", f"SHA{bits}_{half}", f"SHA-{bits}", f"esp-sha{bits}-hmac", f"ah-sha{bits}-hmac",
    )  # fmt: skip
    return _mac(number, str(number), f"hmac-sha2-{bits}", (size, size, size // 2), *common, *names)


def _gmac(number: IntegrityAlgorithm, bits: int) -> IntegrityRow:
    """AES-GMAC of AH: key and salt, and an Authentication Data field of IV and ICV, RFC 4543 section 4."""
    names = (f"AES_{bits}_GMAC", f"AES_GMAC_{bits}", f"gmac-aes-{bits}")
    return _mac(number, str(number), "aes-gmac", (bits // 8 + 4, 24, 24), *names)


def _unchecked(bits: int) -> IntegrityRow:
    names = (f"ANY {bits} bit authentication", f"ANY {bits}-bits of Authentication")
    return IntegrityRow(name=f"ANY_{bits}", icv_size=bits // 8, is_checked=False, names=names)


_A = AuthenticationAlgorithm
_H = AhTransform
IKEV1_INTEGRITY: dict[str, tuple[AuthenticationAlgorithm, AhTransform | None]] = {
    "AUTH_HMAC_MD5_96": (_A.HMAC_MD5, _H.AH_MD5),
    "AUTH_HMAC_SHA1_96": (_A.HMAC_SHA, _H.AH_SHA),
    "AUTH_DES_MAC": (_A.DES_MAC, _H.AH_DES),
    "AUTH_KPDK_MD5": (_A.KPDK, None),
    "AUTH_HMAC_SHA2_256_128": (_A.HMAC_SHA2_256, _H.AH_SHA2_256),
    "AUTH_HMAC_SHA2_384_192": (_A.HMAC_SHA2_384, _H.AH_SHA2_384),
    "AUTH_HMAC_SHA2_512_256": (_A.HMAC_SHA2_512, _H.AH_SHA2_512),
    "AUTH_HMAC_RIPEMD_160_96": (_A.HMAC_RIPEMD, _H.AH_RIPEMD),
    "AUTH_AES_XCBC_96": (_A.AES_XCBC_MAC, _H.AH_AES_XCBC_MAC),
    "AUTH_AES_128_GMAC": (_A.AES_128_GMAC, _H.AH_AES_128_GMAC),
    "AUTH_AES_192_GMAC": (_A.AES_192_GMAC, _H.AH_AES_192_GMAC),
    "AUTH_AES_256_GMAC": (_A.AES_256_GMAC, _H.AH_AES_256_GMAC),
}
_INTEGRITY_ROWS = (
    IntegrityRow(name="NONE", id=_I.NONE, names=("NULL", "digest_null", "non-auth", "AUTH_NONE", "AUTH_NULL")),
    _mac(
        _I.AUTH_HMAC_MD5_96, "AUTH_HMAC_MD5_96", "hmac-md5", (16, 16, 12),
        "HMAC_MD5_96", "HMAC_MD5", "MD5", "MD5_96", "hmac(md5)", "esp-md5-hmac", "ah-md5-hmac",
    ),
    _mac(
        _I.AUTH_HMAC_MD5_128, "AUTH_HMAC_MD5_128", "hmac-md5", (16, 16, 16), "HMAC_MD5_128", "MD5_128",
    ),
    _mac(
        _I.AUTH_HMAC_SHA1_96, "AUTH_HMAC_SHA1_96", "hmac-sha1", (20, 20, 12),
        "HMAC_SHA1_96", "HMAC_SHA1", "HMAC-SHA-1-96", "HMAC-SHA-1", "HMAC-SHA-96", "HMAC-SHA", "SHA1", "SHA-1", "SHA",
        "SHA1_96", "hmac(sha1)", "esp-sha-hmac", "esp-sha1-hmac", "ah-sha-hmac", "ah-sha1-hmac",
    ),
    _mac(None, "AUTH_HMAC_SHA1_128", "hmac-sha1", (20, 20, 16), "HMAC_SHA1_128", "SHA1_128"),
    _mac(
        _I.AUTH_HMAC_SHA1_160, "AUTH_HMAC_SHA1_160", "hmac-sha1", (20, 20, 20), "HMAC_SHA1_160", "SHA1_160",
    ),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_256_128, 256, "SHA2"),
    _mac(
        None, "AUTH_HMAC_SHA2_256_96", "hmac-sha2-256", (32, 32, 12),
        "HMAC_SHA2_256_96", "HMAC-SHA-256-96", "HMAC-SHA256-96", "SHA256_96", "SHA2_256_96", "HMAC_SHA2_256_TRUNCBUG",
        "HMAC_SHA2_256_128_TRUNCBUG", "SHA2_TRUNCBUG",
    ),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_384_192, 384),
    _hmac_sha2(_I.AUTH_HMAC_SHA2_512_256, 512),
    _mac(
        None, "AUTH_HMAC_RIPEMD_160_96", "hmac-ripemd160", (20, 20, 12),
        "HMAC_RIPEMD_160_96", "HMAC-RIPEMD-160", "HMAC_RIPEMD160_96", "HMAC-RIPEMD160", "MAC-RIPEMD-160-96",
        "RIPEMD160", "RIPEMD", "rmd160", "hmac(rmd160)", "hmac(ripemd160)",
    ),
    _mac(
        _I.AUTH_AES_XCBC_96, "AUTH_AES_XCBC_96", "aes-xcbc", (16, 16, 12),
        "AES_XCBC_96", "AES_XCBC", "AES-XCBC-MAC", "AES-XCBC-MAC-96", "aesxcbc", "xcbc(aes)",
    ),
    _mac(
        _I.AUTH_AES_CMAC_96, "AUTH_AES_CMAC_96", "aes-cmac", (16, 16, 12),
        "AES_CMAC_96", "AES_CMAC", "aescmac", "cmac(aes)",
    ),
    _mac(
        None, "AUTH_CAMELLIA_XCBC_96", "camellia-xcbc", (16, 16, 12), "CAMELLIA_XCBC_96", "CAMELLIA_XCBC",
    ),
    _mac(None, "AUTH_HMAC_SM3_96", "hmac-sm3", (32, 32, 12), "HMAC_SM3", "hmac(sm3)"),
    _gmac(_I.AUTH_AES_128_GMAC, 128),
    _gmac(_I.AUTH_AES_192_GMAC, 192),
    _gmac(_I.AUTH_AES_256_GMAC, 256),
    _mac(_I.AUTH_DES_MAC, "AUTH_DES_MAC", "", (8, 8, 8), "DES_MAC"),
    _mac(_I.AUTH_KPDK_MD5, "AUTH_KPDK_MD5", "", (16, 16, 16), "KPDK_MD5", "KPDK"),
    *(_unchecked(bits) for bits in (64, 96, 128, 160, 192, 256)),
)  # fmt: skip
INTEGRITY: tuple[IntegrityRow, ...] = tuple(
    msgspec.structs.replace(row, esp_v1=IKEV1_INTEGRITY[row.name][0], ah_v1=IKEV1_INTEGRITY[row.name][1])
    if row.name in IKEV1_INTEGRITY
    else row
    for row in _INTEGRITY_ROWS
)
NO_INTEGRITY = INTEGRITY[0]

_INTEGRITY_BY_ID = {row.id: row for row in INTEGRITY if row.id is not None}
_INTEGRITY_OF_ESP_V1 = {row.esp_v1: row for row in INTEGRITY if row.esp_v1 is not None}
_INTEGRITY_OF_AH_V1 = {row.ah_v1: row for row in INTEGRITY if row.ah_v1 is not None}
_INTEGRITY_BY_NAME = lookup_table((row, {row.name, str(row.id or row.name), *row.names}) for row in INTEGRITY)


def integrity(number: int) -> IntegrityRow:
    """The row of an IKEv2 INTEG transform. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_BY_ID.get(IntegrityAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"integrity algorithm {IntegrityAlgorithm(number)} is unknown to this program")
    return row


def integrity_of_esp_v1(number: int) -> IntegrityRow:
    """The row of an Authentication Algorithm attribute of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_OF_ESP_V1.get(AuthenticationAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"authentication algorithm {_A(number)} is unknown to this program")
    return row


def integrity_of_ah_v1(number: int) -> IntegrityRow:
    """The row of an AH transform of an IKEv1 quick mode. Raises UnknownAlgorithmError."""
    row = _INTEGRITY_OF_AH_V1.get(AhTransform(number))
    if row is None:
        raise UnknownAlgorithmError(f"AH transform {AhTransform(number)} is unknown to this program")
    return row


def integrity_by_name(name: str, icv_bits: int | None = None) -> IntegrityRow:
    """The row that a program or a standard calls ``name``; ``icv_bits`` for names that leave the truncation open.

    A truncation that no standard has, as ``ip xfrm state`` may show, makes a row of its own.
    Raises UnknownAlgorithmError, whose text is for the user.
    """
    row = _INTEGRITY_BY_NAME.get(normal_name(name))
    if row is None:
        raise UnknownAlgorithmError(f'no integrity algorithm is called "{name}"')
    return row if icv_bits is None or not row.mac or row.mac == "aes-gmac" else truncated(row, icv_bits // 8)


def truncated(row: IntegrityRow, icv_size: int) -> IntegrityRow:
    """The row with the same MAC and an ICV of ``icv_size`` octets. Raises UnknownAlgorithmError if it has fewer."""
    if row.icv_size == icv_size:
        return row
    if not 0 < icv_size <= row.full_size:
        raise UnknownAlgorithmError(f"{row.name} has {row.full_size} octets, no ICV of {icv_size}")
    for other in INTEGRITY:
        if (other.mac, other.icv_size) == (row.mac, icv_size):
            return other
    return msgspec.structs.replace(
        row, name=f"{row.mac.upper()} of {icv_size * 8} bits", id=None, icv_size=icv_size, names=()
    )
