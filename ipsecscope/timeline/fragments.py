"""Fragments of IKE messages: RFC 7383 (SKF) and the older vendor fragments of IKEv1 (payload 132).

Sets are kept per IKE SA, direction and message, so fragments of two SAs, interleaved or last first, never mix.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecscope.dissect.ikev1 import Fragment
from ipsecscope.timeline.sas import MessageRecord, Role

MAX_SETS = 64  # incomplete sets kept per IKE SA; the oldest is given up beyond it
MAX_FRAGMENTS = 255  # fragments of one message
MAX_MESSAGE = 65_535  # octets of one reassembled message


@dataclass(slots=True)
class _Set:
    pieces: dict[int, bytes] = field(default_factory=dict)
    last: int | None = None

    def whole(self) -> bytes | None:
        if self.last is None or any(number not in self.pieces for number in range(1, self.last + 1)):
            return None
        return b"".join(self.pieces[number] for number in range(1, self.last + 1))


@dataclass(slots=True)
class VendorFragments:
    """Joins the vendor fragments of one IKEv1 SA."""

    sets: dict[tuple[Role, int], _Set] = field(default_factory=dict)

    def add(self, record: MessageRecord) -> bytes | None:
        """Take one fragment; returns the whole message when this was the missing piece."""
        body = next((each.body for each in record.message.payloads if isinstance(each.body, Fragment)), None)
        if body is None or not 0 < body.number <= MAX_FRAGMENTS:
            return None
        key = (record.sender, body.fragment_id)
        pieces = self.sets.get(key)
        if pieces is None:
            if len(self.sets) >= MAX_SETS:
                del self.sets[next(iter(self.sets))]
            pieces = self.sets[key] = _Set()
        pieces.pieces.setdefault(body.number, body.data)
        if body.is_last:
            pieces.last = body.number
        whole = pieces.whole()
        if whole is None or len(whole) > MAX_MESSAGE:
            return None
        del self.sets[key]
        return whole
