"""RIPEMD-160 in plain Python, for platforms whose OpenSSL left it out (HMAC-RIPEMD-160-96, RFC 2857).

Slow (some tens of microseconds a block), and used only where ``hashlib`` has no such hash.
"""

from __future__ import annotations

import struct
from copy import copy
from typing import Self

MASK = 0xFFFFFFFF

# The order of the message words and the rotations, line by line of both parallel computations (Dobbertin,
# Bosselaers, Preneel: RIPEMD-160, 1996, table 5). Words of each next round: the permutation RHO of the round before.
RHO = (7, 4, 13, 1, 10, 6, 15, 3, 12, 0, 9, 5, 2, 14, 11, 8)
ROTATIONS = (
    (11, 14, 15, 12, 5, 8, 7, 9, 11, 13, 14, 15, 6, 7, 9, 8),
    (12, 13, 11, 15, 6, 9, 9, 7, 12, 15, 11, 13, 7, 8, 7, 7),
    (13, 15, 14, 11, 7, 7, 6, 8, 13, 14, 13, 12, 5, 5, 6, 9),
    (14, 11, 12, 14, 8, 6, 5, 5, 15, 12, 15, 14, 9, 9, 8, 6),
    (15, 12, 13, 13, 9, 5, 8, 6, 14, 11, 12, 11, 8, 6, 5, 5),
)  # how far word i is rotated in round j, whichever line it is in
LEFT_CONSTANTS = (0, 0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xA953FD4E)  # 2^30 times roots of 2, 3, 5, 7
RIGHT_CONSTANTS = (0x50A28BE6, 0x5C4DD124, 0x6D703EF3, 0x7A6D76E9, 0)  # 2^30 times cube roots of 2, 3, 5, 7


def _orders() -> tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]:
    left = [tuple(range(16))]
    right = [tuple((9 * word + 5) % 16 for word in range(16))]
    for line in (left, right):
        for _ in range(4):
            line.append(tuple(RHO[word] for word in line[-1]))
    return tuple(left), tuple(right)


LEFT_ORDER, RIGHT_ORDER = _orders()


def _mix(selector: int, x: int, y: int, z: int) -> int:
    """The five boolean functions of the rounds."""
    if selector == 0:
        return x ^ y ^ z
    if selector == 1:
        return (x & y) | (~x & z)
    if selector == 2:
        return (x | ~y) ^ z
    if selector == 3:
        return (x & z) | (y & ~z)
    return x ^ (y | ~z)


def _line(
    state: tuple[int, ...], words: tuple[int, ...], orders: tuple[tuple[int, ...], ...], constants: tuple[int, ...]
) -> tuple[int, ...]:
    """One of the two parallel computations; the right one takes the functions in the other order."""
    a, b, c, d, e = state
    for number in range(5):
        selector = number if constants is LEFT_CONSTANTS else 4 - number
        for word in orders[number]:
            total = (a + _mix(selector, b, c, d) + words[word] + constants[number]) & MASK
            turn = ROTATIONS[number][word]
            a, b, c, d, e = (
                e,
                (((total << turn) | (total >> (32 - turn))) + e) & MASK,
                b,
                ((c << 10) | (c >> 22)) & MASK,
                d,
            )
    return a, b, c, d, e


def _compress(state: tuple[int, ...], block: bytes) -> tuple[int, ...]:
    words = struct.unpack("<16I", block)
    left = _line(state, words, LEFT_ORDER, LEFT_CONSTANTS)
    right = _line(state, words, RIGHT_ORDER, RIGHT_CONSTANTS)
    return tuple((state[(index + 1) % 5] + left[(index + 2) % 5] + right[(index + 3) % 5]) & MASK for index in range(5))


class Ripemd160:
    """The hash with the interface that ``hmac`` expects."""

    digest_size = 20
    block_size = 64
    name = "ripemd160"

    def __init__(self, data: bytes = b"") -> None:
        self._state: tuple[int, ...] = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
        self._rest = b""
        self._length = 0
        self.update(data)

    def update(self, data: bytes | bytearray | memoryview) -> None:
        """Take more octets."""
        self._length += len(data)
        pending = self._rest + bytes(data)
        whole = len(pending) // 64 * 64
        for start in range(0, whole, 64):
            self._state = _compress(self._state, pending[start : start + 64])
        self._rest = pending[whole:]

    def copy(self) -> Self:
        """An independent state."""
        return copy(self)  # the state is values only

    def digest(self) -> bytes:
        """The hash of all octets so far."""
        tail = self._rest + b"\x80"
        tail += bytes(-(len(tail) + 8) % 64) + struct.pack("<Q", self._length * 8)
        state = self._state
        for start in range(0, len(tail), 64):
            state = _compress(state, tail[start : start + 64])
        return struct.pack("<5I", *state)

    def hexdigest(self) -> str:
        """The hash in hexadecimal digits."""
        return self.digest().hex()
