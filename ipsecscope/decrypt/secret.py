"""Secret octets: a key that cannot be printed, logged or written to a report by accident."""

from __future__ import annotations

import hmac
from typing import NoReturn


class Secret:
    """Octets of a key or a shared secret. ``repr`` tells only how many; ``reveal`` is the one way to the octets."""

    __slots__ = ("_octets",)

    def __init__(self, octets: bytes | bytearray | memoryview) -> None:
        self._octets = bytes(octets)

    @classmethod
    def from_hex(cls, text: str) -> Secret:
        """Read hexadecimal digits, with or without ``0x``. Raises ValueError, whose text does not quote the digits."""
        digits = text.strip()
        if digits[:2] in ("0x", "0X"):
            digits = digits[2:]
        try:
            return cls(bytes.fromhex(digits))
        except ValueError:
            pass  # its text would tell where in the key the odd character stands
        raise ValueError("not an even number of hexadecimal digits")

    def reveal(self) -> bytes:
        """The octets themselves."""
        return self._octets

    def split(self, *sizes: int) -> tuple[Secret, ...]:
        """Consecutive pieces of the given sizes. Raises ValueError when they need more octets than there are."""
        if sum(sizes) > len(self._octets):
            raise ValueError(f"{sum(sizes)} octets wanted of a secret of {len(self._octets)}")
        pieces, start = [], 0
        for size in sizes:
            pieces.append(Secret(self._octets[start : start + size]))
            start += size
        return tuple(pieces)

    @property
    def is_zero(self) -> bool:
        """Whether every octet is zero: the mark of a key that a program printed hidden."""
        return not any(self._octets)

    def __len__(self) -> int:
        return len(self._octets)

    def __bool__(self) -> bool:
        return bool(self._octets)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._octets, other._octets)

    def __hash__(self) -> int:
        return hash(self._octets)

    def __repr__(self) -> str:
        return f"<secret {len(self._octets)} octets>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not serialised")
