"""ML-KEM, FIPS 203, in plain Python: all chance is an argument, so that a generated capture can be repeated.

The library has two of the three parameter sets and draws the encapsulation's randomness itself. This one takes some
milliseconds per operation and is not hardened against timing: it serves generated captures and test peers.
"""

from __future__ import annotations

import hashlib
import hmac

import msgspec

Q = 3329
N = 256
SEED_SIZE = 64  # d | z, FIPS 203 section 7.1
MESSAGE_SIZE = 32
SECRET_SIZE = 32

Polynomial = list[int]


class ParameterSet(msgspec.Struct, frozen=True):
    """A row of FIPS 203 table 2."""

    k: int
    eta1: int
    du: int
    dv: int
    eta2: int = 2

    @property
    def public_key_size(self) -> int:
        """Octets of the encapsulation key."""
        return 384 * self.k + 32

    @property
    def ciphertext_size(self) -> int:
        """Octets of the ciphertext."""
        return 32 * (self.du * self.k + self.dv)


ML_KEM_512 = ParameterSet(k=2, eta1=3, du=10, dv=4)
ML_KEM_768 = ParameterSet(k=3, eta1=2, du=10, dv=4)
ML_KEM_1024 = ParameterSet(k=4, eta1=2, du=11, dv=5)


def _reversed_bits(value: int) -> int:
    return int(f"{value:07b}"[::-1], 2)


ZETAS = [pow(17, _reversed_bits(index), Q) for index in range(128)]
GAMMAS = [pow(17, 2 * _reversed_bits(index) + 1, Q) for index in range(128)]


def _ntt(poly: Polynomial) -> Polynomial:
    """FIPS 203 algorithm 9."""
    out, index, length = list(poly), 1, 128
    while length >= 2:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[index]
            index += 1
            for j in range(start, start + length):
                turned = zeta * out[j + length] % Q
                out[j + length] = (out[j] - turned) % Q
                out[j] = (out[j] + turned) % Q
        length //= 2
    return out


def _inverse_ntt(poly: Polynomial) -> Polynomial:
    """FIPS 203 algorithm 10."""
    out, index, length = list(poly), 127, 2
    while length <= 128:
        for start in range(0, N, 2 * length):
            zeta = ZETAS[index]
            index -= 1
            for j in range(start, start + length):
                low = out[j]
                out[j] = (low + out[j + length]) % Q
                out[j + length] = zeta * (out[j + length] - low) % Q
        length *= 2
    return [value * 3303 % Q for value in out]


def _multiply(left: Polynomial, right: Polynomial) -> Polynomial:
    """FIPS 203 algorithms 11 and 12, both factors in the NTT domain."""
    out = [0] * N
    for index in range(128):
        a0, a1 = left[2 * index], left[2 * index + 1]
        b0, b1 = right[2 * index], right[2 * index + 1]
        out[2 * index] = (a0 * b0 + a1 * b1 * GAMMAS[index]) % Q
        out[2 * index + 1] = (a0 * b1 + a1 * b0) % Q
    return out


def _add(left: Polynomial, right: Polynomial) -> Polynomial:
    return [(a + b) % Q for a, b in zip(left, right, strict=True)]


def _dot(left: list[Polynomial], right: list[Polynomial]) -> Polynomial:
    total = [0] * N
    for a, b in zip(left, right, strict=True):
        total = _add(total, _multiply(a, b))
    return total


def _sample_uniform(seed: bytes, size: int = 840) -> Polynomial:
    """FIPS 203 algorithm 7: a polynomial in the NTT domain from a stream of 12-bit candidates, ``size`` octets first."""
    while True:
        stream = hashlib.shake_128(seed).digest(size)
        out: Polynomial = []
        for start in range(0, size, 3):
            b0, b1, b2 = stream[start : start + 3]
            out += [value for value in (b0 | (b1 & 15) << 8, b1 >> 4 | b2 << 4) if value < Q]
            if len(out) >= N:
                return out[:N]
        size *= 2


def _sample_small(seed: bytes, nonce: int, eta: int) -> Polynomial:
    """FIPS 203 algorithm 8 over the PRF of section 4.1."""
    bits = int.from_bytes(hashlib.shake_256(seed + bytes((nonce,))).digest(64 * eta), "little")
    mask = (1 << eta) - 1
    out = []
    for _ in range(N):
        out.append(((bits & mask).bit_count() - (bits >> eta & mask).bit_count()) % Q)
        bits >>= 2 * eta
    return out


def _encode(poly: Polynomial, width: int) -> bytes:
    """FIPS 203 algorithm 5."""
    bits = 0
    for value in reversed(poly):
        bits = bits << width | value
    return bits.to_bytes(32 * width, "little")


def _decode(data: bytes, width: int) -> Polynomial:
    """FIPS 203 algorithm 6."""
    bits, mask = int.from_bytes(data, "little"), (1 << width) - 1
    return [bits >> width * index & mask for index in range(N)]


def _compress(poly: Polynomial, width: int) -> Polynomial:
    return [((value << width + 1) + Q) // (2 * Q) & (1 << width) - 1 for value in poly]


def _decompress(poly: Polynomial, width: int) -> Polynomial:
    return [(value * Q + (1 << width - 1)) >> width for value in poly]


def _pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _matrix(rho: bytes, k: int) -> list[list[Polynomial]]:
    return [[_sample_uniform(rho + bytes((j, i))) for j in range(k)] for i in range(k)]


def _decryption_key(ps: ParameterSet, seed: bytes) -> tuple[list[Polynomial], bytes]:
    """FIPS 203 algorithm 13: the secret vector in the NTT domain, and the encapsulation key."""
    digest = hashlib.sha3_512(seed[:32] + bytes((ps.k,))).digest()
    rho, sigma = digest[:32], digest[32:]
    secret = [_ntt(_sample_small(sigma, index, ps.eta1)) for index in range(ps.k)]
    noise = [_ntt(_sample_small(sigma, ps.k + index, ps.eta1)) for index in range(ps.k)]
    rows = zip(_matrix(rho, ps.k), noise, strict=True)
    return secret, b"".join(_encode(_add(_dot(row, secret), error), 12) for row, error in rows) + rho


def _encrypt(ps: ParameterSet, public_key: bytes, message: bytes, coins: bytes) -> bytes:
    """FIPS 203 algorithm 14."""
    *encoded, rho = _pieces(public_key, 384)
    columns = list(zip(*_matrix(rho, ps.k), strict=True))
    mask = [_ntt(_sample_small(coins, index, ps.eta1)) for index in range(ps.k)]
    noise = [_sample_small(coins, ps.k + index, ps.eta2) for index in range(ps.k + 1)]
    first = [
        _add(_inverse_ntt(_dot(list(column), mask)), error) for column, error in zip(columns, noise[:-1], strict=True)
    ]
    second = _add(_inverse_ntt(_dot([_decode(piece, 12) for piece in encoded], mask)), noise[-1])
    second = _add(second, _decompress(_decode(message, 1), 1))
    return b"".join(_encode(_compress(poly, ps.du), ps.du) for poly in first) + _encode(_compress(second, ps.dv), ps.dv)


def _decrypt(ps: ParameterSet, secret: list[Polynomial], ciphertext: bytes) -> bytes:
    """FIPS 203 algorithm 15."""
    cut = 32 * ps.du * ps.k
    first = [_ntt(_decompress(_decode(piece, ps.du), ps.du)) for piece in _pieces(ciphertext[:cut], 32 * ps.du)]
    product = _inverse_ntt(_dot(secret, first))
    second = _decompress(_decode(ciphertext[cut:], ps.dv), ps.dv)
    difference = [(value - other) % Q for value, other in zip(second, product, strict=True)]
    return _encode(_compress(difference, 1), 1)


def public_key(ps: ParameterSet, seed: bytes) -> bytes:
    """The encapsulation key of ``seed`` (64 octets d | z), FIPS 203 algorithm 16."""
    return _decryption_key(ps, seed)[1]


def is_public_key(ps: ParameterSet, key: bytes) -> bool:
    """The checks of FIPS 203 section 7.2: the size, and every coefficient below q."""
    if len(key) != ps.public_key_size:
        return False
    return all(value < Q for piece in _pieces(key[:-32], 384) for value in _decode(piece, 12))


def encapsulate(ps: ParameterSet, key: bytes, message: bytes) -> tuple[bytes, bytes]:
    """The ciphertext and the shared secret for a checked key and 32 random octets, FIPS 203 algorithm 17."""
    digest = hashlib.sha3_512(message + hashlib.sha3_256(key).digest()).digest()
    return _encrypt(ps, key, message, digest[32:]), digest[:32]


def decapsulate(ps: ParameterSet, seed: bytes, ciphertext: bytes) -> bytes:
    """The shared secret, FIPS 203 algorithm 18: for a ciphertext that was tampered with, a pseudorandom one."""
    secret, key = _decryption_key(ps, seed)
    message = _decrypt(ps, secret, ciphertext)
    digest = hashlib.sha3_512(message + hashlib.sha3_256(key).digest()).digest()
    again = _encrypt(ps, key, message, digest[32:])
    rejected = hashlib.shake_256(seed[32:] + ciphertext).digest(SECRET_SIZE)
    return digest[:32] if hmac.compare_digest(again, ciphertext) else rejected
