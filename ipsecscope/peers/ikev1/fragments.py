"""IKE fragmentation of IKEv1, as Cisco and Microsoft made it: payload 132, announced by Vendor ID.

A fragment is a message of its own, in the clear, whose only payload carries a part of the whole message, header and
encryption included. Both sides limit what a stranger can make them keep.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import Fragment
from ipsecscope.dissect.ikev1.payloads import LAST_FRAGMENT
from ipsecscope.dissect.message import Message

MAX_FRAGMENTS = 32  # of one message
MAX_SETS = 4  # incomplete messages kept at one time per SA
MAX_WHOLE = 16_384  # octets of one message
FRAGMENT_OVERHEAD = 36  # header, generic header and the fragment's own fields


def cut(message: bytes, header: Header, fragment_id: int, size: int) -> tuple[bytes, ...]:
    """A message as fragments of at most ``size`` octets; the message alone when it is no larger.

    ``header`` gives cookies and exchange type; the fragments are not encrypted themselves.
    """
    if len(message) <= size:
        return (message,)
    room = max(1, size - FRAGMENT_OVERHEAD)
    starts = range(0, len(message), room)
    outer = Header(
        spi_i=header.spi_i,
        spi_r=header.spi_r,
        version=header.version,
        exchange_type=header.exchange_type,
        message_id=header.message_id,
    )
    return tuple(
        Message(
            header=outer,
            payloads=(
                Payload(
                    body=Fragment(
                        fragment_id=fragment_id,
                        number=number,
                        flags=LAST_FRAGMENT if number == len(starts) else 0,
                        data=message[start : start + room],
                    )
                ),
            ),
        ).build()
        for number, start in enumerate(starts, 1)
    )


@dataclass(slots=True)
class _Set:
    parts: dict[int, bytes] = field(default_factory=dict)
    count: int = 0

    @property
    def whole(self) -> bytes | None:
        if not self.count or any(number not in self.parts for number in range(1, self.count + 1)):
            return None
        return b"".join(self.parts[number] for number in range(1, self.count + 1))


class Joiner:
    """Puts the fragments of one SA together; the oldest incomplete set goes when there are too many."""

    def __init__(self) -> None:
        self._sets: dict[int, _Set] = {}

    def add(self, fragment: Fragment) -> bytes | None:
        """Take one fragment; the whole message comes back when this was the missing one."""
        if not 1 <= fragment.number <= MAX_FRAGMENTS:
            return None
        if fragment.fragment_id not in self._sets and len(self._sets) >= MAX_SETS:
            del self._sets[next(iter(self._sets))]
        pieces = self._sets.setdefault(fragment.fragment_id, _Set())
        pieces.parts[fragment.number] = fragment.data
        if fragment.is_last:
            pieces.count = fragment.number
        whole = pieces.whole
        too_large = sum(map(len, pieces.parts.values())) > MAX_WHOLE
        if whole is not None or too_large:
            del self._sets[fragment.fragment_id]
        return None if too_large else whole
