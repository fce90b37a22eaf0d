"""Packets that a capture holds twice, as mirror ports and captures on several interfaces make them.

The same IP packet, octet by octet, in the same file, at almost the same time and place: with and without a VLAN tag,
inside and outside of a tunnel. A replay or a retransmission comes later or has another identification.
"""

from __future__ import annotations

MAX_APART_NS = 1_000_000  # between the two copies
MAX_DISTANCE = 1024  # records between the two copies
_PRUNE_AT = 8192  # packets remembered before the far ones are dropped

Copy = tuple[int, int, bytes]  # file, kind, octets of the IP packet


class Duplicates:
    """Remembers the latest packets."""

    def __init__(self) -> None:
        self._seen: dict[Copy, tuple[int, int]] = {}
        self._prune_at = _PRUNE_AT

    def original(self, copy: Copy, frame: int, time_ns: int) -> int | None:
        """The record that holds the same packet already; None when this one is the first."""
        known = self._seen.get(copy)
        if known is not None and is_copy(known, frame, time_ns):
            return known[0]
        self._seen[copy] = (frame, time_ns)
        if len(self._seen) >= self._prune_at:
            self._prune(copy[0], frame)
        return None

    def _prune(self, file: int, frame: int) -> None:
        kept = {copy: seen for copy, seen in self._seen.items() if copy[0] != file or frame - seen[0] <= MAX_DISTANCE}
        self._seen = kept
        self._prune_at = max(_PRUNE_AT, 2 * len(kept))


def is_copy(original: tuple[int, int], frame: int, time_ns: int) -> bool:
    """Whether a packet at ``frame`` and ``time_ns`` is near enough to an equal one at ``original`` to be its copy."""
    return 0 < frame - original[0] <= MAX_DISTANCE and abs(time_ns - original[1]) <= MAX_APART_NS
