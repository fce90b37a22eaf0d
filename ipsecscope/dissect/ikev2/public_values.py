"""Sizes of key exchange data by method and role, and the public values that give the secret away (RFC 6989)."""

from __future__ import annotations

from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod as Method

# Octets in the initiator's and in the responder's KE payload. They differ for ML-KEM only, where the initiator sends
# an encapsulation key and the responder a ciphertext (FIPS 203 table 3).
SIZES: dict[Method, tuple[int, int]] = {
    Method.MODP_768: (96, 96),
    Method.MODP_1024: (128, 128),
    Method.MODP_1536: (192, 192),
    Method.MODP_2048: (256, 256),
    Method.MODP_3072: (384, 384),
    Method.MODP_4096: (512, 512),
    Method.MODP_6144: (768, 768),
    Method.MODP_8192: (1024, 1024),
    Method.ECP_256: (64, 64),
    Method.ECP_384: (96, 96),
    Method.ECP_521: (132, 132),
    Method.MODP_1024_160: (128, 128),
    Method.MODP_2048_224: (256, 256),
    Method.MODP_2048_256: (256, 256),
    Method.ECP_192: (48, 48),
    Method.ECP_224: (56, 56),
    Method.BRAINPOOL_P224R1: (56, 56),
    Method.BRAINPOOL_P256R1: (64, 64),
    Method.BRAINPOOL_P384R1: (96, 96),
    Method.BRAINPOOL_P512R1: (128, 128),
    Method.CURVE25519: (32, 32),
    Method.CURVE448: (56, 56),
    Method.GOST3410_2012_256: (64, 64),
    Method.GOST3410_2012_512: (128, 128),
    Method.ML_KEM_512: (800, 768),
    Method.ML_KEM_768: (1184, 1088),
    Method.ML_KEM_1024: (1568, 1568),
}

# The primes of RFC 2409 and RFC 3526 begin and end with 64 one bits, so p-1 and p are known without knowing p.
_OAKLEY = frozenset(
    (
        Method.MODP_768,
        Method.MODP_1024,
        Method.MODP_1536,
        Method.MODP_2048,
        Method.MODP_3072,
        Method.MODP_4096,
        Method.MODP_6144,
        Method.MODP_8192,
    )
)
_SUBGROUP = frozenset((Method.MODP_1024_160, Method.MODP_2048_224, Method.MODP_2048_256))
_ONES = (1 << 64) - 1

# u-coordinates of small order besides 0, little-endian (RFC 7748 section 6.1): 1 and p-1.
_SMALL_ORDER = {
    Method.CURVE25519: (1, 2**255 - 20),
    Method.CURVE448: (1, 2**448 - 2**224 - 2),
}


def expected_size(method: int, *, is_response: bool) -> int | None:
    """The octets of key exchange data in a request or response; None for a method without a row."""
    sizes = SIZES.get(Method(method))
    return None if sizes is None else sizes[is_response]


def is_degenerate(method: int, data: bytes) -> bool:
    """Whether a public value is one of those that RFC 6989 and RFC 7748 tell receivers to refuse."""
    if not any(data):
        return bool(data)
    if method in _OAKLEY or method in _SUBGROUP:
        value = int.from_bytes(data, "big")
        wraps = method in _OAKLEY and value >> (len(data) * 8 - 64) == _ONES and (value & _ONES) >= _ONES - 1
        return value == 1 or wraps
    return int.from_bytes(data, "little") in _SMALL_ORDER.get(Method(method), ())
