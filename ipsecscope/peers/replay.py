"""The anti-replay window of a receiver, RFC 4303 section 3.4.3 and appendix A, RFC 4302 appendix B.

A window knows numbers only: it says what to do with one before the ICV is checked, and is moved after it was.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

LOW_BITS: Final = 32
LOW_MASK: Final = (1 << LOW_BITS) - 1
MAX_WINDOW: Final = 1 << 16  # packets; a larger window is a mistake of the configuration


class ReplayVerdict(StrEnum):
    """What a window says of a sequence number."""

    NEW = "ahead of the window"
    LATE = "inside the window and not seen before"
    REPLAYED = "seen before"
    TOO_OLD = "left of the window"
    ZERO = "zero, which no sender uses"  # RFC 4303 section 3.3.3: the first packet has 1

    @property
    def is_acceptable(self) -> bool:
        """Whether the packet may be taken if its ICV is right."""
        return self in (ReplayVerdict.NEW, ReplayVerdict.LATE)


class ReplayWindow:
    """Sequence numbers received lately. ``size`` 0 switches the check off.

    ``highest`` is the highest number received so far, all 64 bits of it with extended sequence numbers.
    """

    def __init__(self, size: int = 64, *, esn: bool = False, highest: int = 0) -> None:
        if not 0 <= size <= MAX_WINDOW:
            raise ValueError(f"a replay window of {size} packets; 0 to {MAX_WINDOW} are possible")
        self.size = size
        self.esn = esn
        self.highest = highest
        self._seen = 0  # bit n: the number ``highest`` - n was received

    def upper_half(self, low: int) -> int:
        """The upper 32 bits that a number on the wire must have, RFC 4303 appendix A2.2; -1 for one before the first.

        Without extended sequence numbers it is 0.
        """
        if not self.esn:
            return 0
        high, last = self.highest >> LOW_BITS, self.highest & LOW_MASK
        width = max(self.size, 1)
        if last >= width - 1:
            return high if low >= last - width + 1 else high + 1
        return high - 1 if low >= (last - width + 1) & LOW_MASK else high

    def judge(self, number: int) -> ReplayVerdict:
        """What to do with a number, as far as the window knows."""
        if number <= 0:
            return ReplayVerdict.ZERO if number == 0 else ReplayVerdict.TOO_OLD
        if number > self.highest or not self.size:
            return ReplayVerdict.NEW
        distance = self.highest - number
        if distance >= self.size:
            return ReplayVerdict.TOO_OLD
        return ReplayVerdict.REPLAYED if self._seen >> distance & 1 else ReplayVerdict.LATE

    def accept(self, number: int) -> None:
        """Remember a number whose packet was authentic."""
        if number > self.highest:
            self._seen = (self._seen << min(number - self.highest, self.size) | 1) & ((1 << self.size) - 1)
            self.highest = number
        elif self.highest - number < self.size:
            self._seen |= 1 << self.highest - number
