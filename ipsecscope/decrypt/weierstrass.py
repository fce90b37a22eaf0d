"""brainpoolP224r1, the one elliptic curve of IKEv2 that the library does not have, in affine coordinates.

Not hardened against timing: it serves captures and test peers.
"""

from __future__ import annotations

import msgspec

Point = tuple[int, int] | None  # None is the point at infinity


class Curve(msgspec.Struct, frozen=True):
    """y^2 = x^3 + ax + b modulo ``p`` with a base point of prime order ``n``."""

    p: int
    a: int
    b: int
    base: tuple[int, int]
    n: int

    def contains(self, x: int, y: int) -> bool:
        """Whether the coordinates are reduced and satisfy the equation."""
        return 0 <= x < self.p and 0 <= y < self.p and (y * y - x * x * x - self.a * x - self.b) % self.p == 0

    def add(self, left: Point, right: Point) -> Point:
        """The sum of two points."""
        if left is None or right is None:
            return left or right
        (x1, y1), (x2, y2) = left, right
        if x1 == x2:
            if (y1 + y2) % self.p == 0:
                return None
            slope = (3 * x1 * x1 + self.a) * pow(2 * y1, -1, self.p)
        else:
            slope = (y2 - y1) * pow(x2 - x1, -1, self.p)
        x3 = (slope * slope - x1 - x2) % self.p
        return x3, (slope * (x1 - x3) - y1) % self.p

    def multiply(self, scalar: int, point: tuple[int, int]) -> tuple[int, int]:
        """``point`` added ``scalar`` times to itself. Raises ValueError when that is the point at infinity."""
        total: Point = None
        term: Point = point
        while scalar:
            if scalar & 1:
                total = self.add(total, term)
            term = self.add(term, term)
            scalar >>= 1
        if total is None:
            raise ValueError("the point at infinity has no coordinates")
        return total


BRAINPOOL_P224 = Curve(  # RFC 5639 section 3.3
    p=0xD7C134AA264366862A18302575D1D787B09F075797DA89F57EC8C0FF,
    a=0x68A5E62CA9CE6C1C299803A6C1530B514E182AD8B0042A59CAD29F43,
    b=0x2580F63CCFE44138870713B1A92369E33E2135D266DBB372386C400B,
    base=(
        0x0D9029AD2C7E5CF4340823B2A87DC68C9E4CE3174C1E6EFDEE12C07D,
        0x58AA56F772C0726F24C6B89E4ECDAC24354B9E99CAA3F6D3761402CD,
    ),
    n=0xD7C134AA264366862A18302575D0FB98D116BC4B6DDEBCA3A5A7939F,
)
