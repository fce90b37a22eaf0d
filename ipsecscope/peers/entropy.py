"""The doors for chance and time: everything random and every instant that a peer sees comes through here.

A seeded source repeats itself to the octet. Each purpose has a stream of its own, so that one more draw for one purpose
moves no octet of another, and a capture changes only where its scenario changed.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import Protocol, TypeAlias

Instant: TypeAlias = int
"""A point in time: nanoseconds since 1970 UTC."""

SECOND = 1_000_000_000
MILLISECOND = 1_000_000
EPOCH: Instant = 1_767_225_600 * SECOND  # 2026-01-01T00:00:00Z: where virtual time begins

FIRST_CHILD_SPI = 256  # RFC 4303 section 2.1: 1 to 255 are reserved, 0 is for local use
_KEY_SIZE = 32


def seconds(count: float) -> Instant:
    """A span of time in nanoseconds."""
    return round(count * SECOND)


class Entropy:
    """Octets that nobody else can guess, or, seeded, octets that everybody can repeat."""

    def __init__(self, key: bytes | None) -> None:
        self._key = key
        self._drawn: dict[str, int] = {}

    @classmethod
    def seeded(cls, label: str, seed: int | str | bytes = 0) -> Entropy:
        """A source that yields the same octets whenever it is made with the same label and seed."""
        text = seed if isinstance(seed, bytes) else str(seed).encode()
        return cls(_digest(label.encode(), text))

    @classmethod
    def system(cls) -> Entropy:
        """The operating system's source: for live peers."""
        return cls(None)

    @property
    def is_seeded(self) -> bool:
        """Whether it repeats itself."""
        return self._key is not None

    def fork(self, label: str) -> Entropy:
        """A source for somebody else, with streams of its own."""
        return Entropy(None if self._key is None else _digest(self._key, label.encode()))

    def octets(self, count: int, purpose: str) -> bytes:
        """``count`` octets of the stream of ``purpose``."""
        if self._key is None:
            return os.urandom(count)  # noqa: TID251 (this is the door)
        number = self._drawn.get(purpose, 0)
        self._drawn[purpose] = number + 1
        return hashlib.shake_256(self._key + number.to_bytes(8, "big") + purpose.encode()).digest(count)

    def rewind(self, purpose: str) -> None:
        """Begin the stream of ``purpose`` anew, as a generator without a good seed does after a restart."""
        self._drawn.pop(purpose, None)

    def below(self, bound: int, purpose: str) -> int:
        """A number from 0 to ``bound`` - 1."""
        return int.from_bytes(self.octets(16, purpose), "big") % bound

    def chance(self, share: float, purpose: str) -> bool:
        """True in ``share`` (0 to 1) of all draws."""
        return self.below(1 << 32, purpose) < share * (1 << 32)

    def ike_spi(self) -> bytes:
        """An IKE SPI, which is never zero (RFC 7296 section 3.1)."""
        drawn = self.octets(8, "IKE SPI")
        return drawn if any(drawn) else self.ike_spi()

    def child_spi(self) -> bytes:
        """An SPI for ESP or AH outside the reserved range."""
        drawn = int.from_bytes(self.octets(4, "Child SPI"), "big")
        return max(drawn, FIRST_CHILD_SPI).to_bytes(4, "big")


def _digest(*parts: bytes) -> bytes:
    framed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.blake2b(framed, digest_size=_KEY_SIZE).digest()


class Clock(Protocol):
    """Something that knows what time it is."""

    def now(self) -> Instant:
        """The present instant."""
        ...


class VirtualClock:
    """A clock that stands still until it is told to go on: the time of the in-process network."""

    def __init__(self, start: Instant = EPOCH) -> None:
        self._now = start

    def now(self) -> Instant:
        """The present instant."""
        return self._now

    def advance_to(self, instant: Instant) -> None:
        """Go on to ``instant``; a clock never goes back."""
        self._now = max(self._now, instant)


class SystemClock:
    """For live peers: the wall clock at the start, and from there on the clock that nobody sets."""

    def __init__(self) -> None:
        self._ahead = time.time_ns() - time.monotonic_ns()

    def now(self) -> Instant:
        """The present instant; it never goes back."""
        return self._ahead + time.monotonic_ns()
