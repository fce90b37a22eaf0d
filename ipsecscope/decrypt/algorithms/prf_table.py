"""Pseudorandom functions: one row each."""

from __future__ import annotations

import msgspec

from ipsecscope.decrypt.algorithms.rows import PrfRow, UnknownAlgorithmError, lookup_table, normal_name
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import PseudorandomFunction

_P = PseudorandomFunction


def _hmac_prf(number: PseudorandomFunction | None, name: str, hash_name: str, size: int, *names: str) -> PrfRow:
    """The HMAC form of a hash, as hashlib calls it; without one, a prf that is known by name only."""
    return PrfRow(name=name, id=number, hash_name=hash_name, key_size=size, output_size=size, names=names)


def _block_prf(number: PseudorandomFunction | None, name: str, mac: str, *names: str) -> PrfRow:
    return PrfRow(name=name, id=number, mac=mac, key_size=16, output_size=16, nonce_octets_in_key=8, names=names)


IKEV1_HASHES: dict[str, isakmp.HashAlgorithm] = {
    "PRF_HMAC_MD5": isakmp.HashAlgorithm.MD5,
    "PRF_HMAC_SHA1": isakmp.HashAlgorithm.SHA1,
    "PRF_HMAC_TIGER": isakmp.HashAlgorithm.TIGER,
    "PRF_HMAC_SHA2_256": isakmp.HashAlgorithm.SHA2_256,
    "PRF_HMAC_SHA2_384": isakmp.HashAlgorithm.SHA2_384,
    "PRF_HMAC_SHA2_512": isakmp.HashAlgorithm.SHA2_512,
    "PRF_HMAC_SM3": isakmp.HashAlgorithm.SM3,
}
_PRF_ROWS = (
    _hmac_prf(
        _P.PRF_HMAC_MD5, "PRF_HMAC_MD5", "md5", 16,
        "HMAC_MD5", "MD5", "hmac(md5)", "HMAC_MD5_96", "HMAC_MD5_128",
    ),
    _hmac_prf(
        _P.PRF_HMAC_SHA1, "PRF_HMAC_SHA1", "sha1", 20,
        "HMAC_SHA1", "HMAC-SHA-1", "HMAC-SHA", "SHA1", "SHA-1", "SHA", "hmac(sha1)", "HMAC_SHA1_96", "HMAC_SHA1_160",
    ),
    *(
        _hmac_prf(
            number, str(number), f"sha{bits}", bits // 8,
            f"HMAC_SHA2_{bits}", f"HMAC-SHA{bits}", f"HMAC-SHA-{bits}", f"SHA{bits}", f"SHA2_{bits}", f"SHA-{bits}",
            f"hmac(sha{bits})", f"HMAC_SHA2_{bits}_{bits // 2}", f"PRFSHA{bits}",
        )
        for number, bits in (
            (_P.PRF_HMAC_SHA2_256, 256),
            (_P.PRF_HMAC_SHA2_384, 384),
            (_P.PRF_HMAC_SHA2_512, 512),
        )
    ),
    _block_prf(_P.PRF_AES128_XCBC, "PRF_AES128_XCBC", "aes-xcbc", "AES128_XCBC", "AES_XCBC", "aesxcbc", "AES128_CBC"),
    _block_prf(_P.PRF_AES128_CMAC, "PRF_AES128_CMAC", "aes-cmac", "AES128_CMAC", "AES_CMAC", "aescmac", "AES128_CMAC6"),
    _block_prf(None, "PRF_CAMELLIA128_XCBC", "camellia-xcbc", "CAMELLIA128_XCBC"),
    _hmac_prf(None, "PRF_HMAC_SM3", "", 32, "HMAC_SM3", "SM3"),
    _hmac_prf(_P.PRF_HMAC_TIGER, "PRF_HMAC_TIGER", "", 24, "HMAC_TIGER", "TIGER"),
    _hmac_prf(_P.PRF_HMAC_STREEBOG_512, "PRF_HMAC_STREEBOG_512", "", 64, "HMAC_STREEBOG_512"),
)  # fmt: skip

PRFS: tuple[PrfRow, ...] = tuple(msgspec.structs.replace(row, hash_v1=IKEV1_HASHES.get(row.name)) for row in _PRF_ROWS)
_PRF_OF_HASH_V1 = {row.hash_v1: row for row in PRFS if row.hash_v1 is not None}
_PRF_BY_ID = {row.id: row for row in PRFS if row.id is not None}
_PRF_BY_NAME = lookup_table((row, {row.name, str(row.id or row.name), *row.names}) for row in PRFS)


def pseudorandom(number: int) -> PrfRow:
    """The row of an IKEv2 PRF transform. Raises UnknownAlgorithmError."""
    row = _PRF_BY_ID.get(PseudorandomFunction(number))
    if row is None:
        raise UnknownAlgorithmError(f"PRF {PseudorandomFunction(number)} is unknown to this program")
    return row


def prf_of_hash_v1(number: int) -> PrfRow:
    """The HMAC form of an IKEv1 Hash Algorithm attribute, RFC 2409 section 4. Raises UnknownAlgorithmError."""
    row = _PRF_OF_HASH_V1.get(isakmp.HashAlgorithm(number))
    if row is None:
        raise UnknownAlgorithmError(f"hash algorithm {isakmp.HashAlgorithm(number)} is unknown to this program")
    return row


def prf_by_name(name: str) -> PrfRow:
    """The row of a prf, or of the prf that the HMAC form of a hash is. Raises UnknownAlgorithmError."""
    row = _PRF_BY_NAME.get(normal_name(name))
    if row is None:
        raise UnknownAlgorithmError(f'no pseudorandom function is called "{name}"')
    return row
