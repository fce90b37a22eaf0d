"""Packets that a capture holds twice, as mirror ports and captures on several interfaces make them.

The same IP packet, octet by octet, in the same file, at almost the same time and place. A retransmission has another
identification or comes later. An ESP or AH packet counts as a copy only when what stands in front of it differs (a
VLAN tag, a tunnel, the interface): with equal link headers it may as well have been replayed or doubled by the
network, which its sequence number tells and the receiver sees.
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecscope.capture.datagrams import Kind

MAX_APART_NS = 1_000_000  # between the two copies
MAX_DISTANCE = 256  # records between the two copies
_OTHER_FILE_NS = 60 * 1_000_000_000  # capture time for which the end of another file is remembered
_PRUNE_AT = 4096  # packets remembered before the far ones are dropped

Copy = tuple[int, int, bytes]  # file, kind, octets of the IP packet
_NUMBERED = frozenset((int(Kind.ESP), int(Kind.AH)))


class Sighting(NamedTuple):
    """Where and when a packet was seen; ``link`` is what stood in front of the IP header in the record."""

    frame: int
    time_ns: int
    link: bytes


class Duplicates:
    """Remembers the latest packets."""

    def __init__(self) -> None:
        self._seen: dict[Copy, Sighting] = {}
        self._prune_at = _PRUNE_AT

    def original(self, copy: Copy, sighting: Sighting) -> int | None:
        """The record that holds the same packet already; None when this one is the first."""
        known = self._seen.get(copy)
        if known is not None and _is_copy(known, sighting, numbered=copy[1] in _NUMBERED):
            return known.frame
        self._seen[copy] = sighting
        if len(self._seen) >= self._prune_at:
            self._prune(copy[0], sighting)
        return None

    def _prune(self, file: int, latest: Sighting) -> None:
        self._seen = {
            copy: seen
            for copy, seen in self._seen.items()
            if (copy[0] == file and latest.frame - seen.frame <= MAX_DISTANCE)
            or (copy[0] != file and abs(latest.time_ns - seen.time_ns) <= _OTHER_FILE_NS)
        }
        self._prune_at = max(_PRUNE_AT, 2 * len(self._seen))


def _is_copy(original: Sighting, later: Sighting, *, numbered: bool) -> bool:
    if not 0 < later.frame - original.frame <= MAX_DISTANCE or not later.time_ns:
        return False  # records that all say 1970 have no time
    if abs(later.time_ns - original.time_ns) > MAX_APART_NS:
        return False
    return not numbered or later.link != original.link
