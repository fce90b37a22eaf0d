"""RFC 8019: Protecting IKEv2 Implementations from Distributed Denial-of-Service Attacks (puzzles)."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.body import Ikev2Body
from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType, PayloadType, PseudorandomFunction
from ipsecscope.dissect.wire import REST, U8, U16

KEYS = 4  # a solution is this many keys, one behind the other (RFC 8019 section 7.1.2)


class Puzzle(NotifyData, of=NotifyType.PUZZLE, rfc="8019 8.1"):
    """The work the responder asks for: the PRF and the number of zero bits; 0 leaves the number to the initiator."""

    prf: Annotated[PseudorandomFunction, U16]
    difficulty: Annotated[int, U8]

    def summary(self) -> str:
        """Such as ``PRF_HMAC_SHA2_256 difficulty 18``."""
        return f"{self.prf} difficulty {self.difficulty}"


class PuzzleSolution(Ikev2Body, of=PayloadType.PS, rfc="8019 8.2"):
    """Puzzle Solution payload: four keys of one length."""

    data: Annotated[bytes, REST]

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The four keys; empty when the octets cannot be divided by four."""
        size, rest = divmod(len(self.data), KEYS)
        return () if rest or not size else tuple(self.data[at : at + size] for at in range(0, len(self.data), size))

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.data)} octets"
