"""The upper half of extended sequence numbers, which no packet carries (RFC 4303 section 2.2.1 and appendix A)."""

from __future__ import annotations

from collections.abc import Iterator

ESN_FIRST_TRIALS = 16  # upper halves tried on every packet until one has matched
ESN_SEARCH_LIMIT = 4096  # upper halves tried on the first packets, for SAs that are older than the capture
ESN_SEARCHES = 4  # how many packets are searched that far
HALF = 1 << 32


class EsnTracker:
    """Guesses the upper half from the highest number verified so far, best guess first.

    ``esn`` is true where extended sequence numbers were negotiated, false where not, and None where nobody knows: then
    a packet is tried without, and then with them, and the first match decides.
    """

    __slots__ = ("_searches", "esn", "highest")

    def __init__(self, *, esn: bool | None, start: int = 0) -> None:
        self.esn = esn
        self.highest: int | None = start << 32 if start else None
        self._searches = 0

    def candidates(self, low: int) -> Iterator[int | None]:
        """Upper halves to try for a packet whose header says ``low``; None stands for "there is none"."""
        if self.esn is not True:
            yield None
            if self.esn is False:
                return
        if self.highest is None:
            yield from range(ESN_FIRST_TRIALS)
            if self._searches < ESN_SEARCHES:
                self._searches += 1
                yield from range(ESN_FIRST_TRIALS, ESN_SEARCH_LIMIT)
            return
        high = self.highest >> 32
        near = sorted((high - 1, high, high + 1), key=lambda value: abs(((value << 32) | low) - (self.highest or 0)))
        yield from (value for value in near if 0 <= value < HALF)

    def matched(self, low: int, high: int | None) -> None:
        """Remember the number of a packet whose ICV was right."""
        if high is None:
            self.esn = False
            return
        self.esn = True
        self.highest = max(self.highest or 0, high << 32 | low)
