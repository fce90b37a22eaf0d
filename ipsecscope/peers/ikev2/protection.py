"""The Encrypted payload of one IKE SA, both directions: sealing, opening, fragments (RFC 7296 3.14, RFC 7383).

A message that is too long for ``fragment_size`` is cut into Encrypted Fragment payloads. What arrives in fragments is
held until it is whole, within bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from ipsecscope.decrypt.keymat import IkeKeys, IkeSuite, int_auth_chunk
from ipsecscope.decrypt.opening import SK_HEADER_SIZE, SKF_HEADER_SIZE, OpenedBody, Refused, open_ike_v2
from ipsecscope.decrypt.sealing import ike_v2_body_size, seal_ike_v2
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload, build_chain, parse_chain
from ipsecscope.dissect.families import IKEV2
from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.ikev2 import Encrypted, EncryptedFragment
from ipsecscope.dissect.message import Message
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.ikev2.messages import Received
from ipsecscope.peers.peer import Path

MAX_FRAGMENTS = 64  # fragments of one message
MAX_REASSEMBLED = 64 * 1024  # octets of one reassembled message
MAX_PENDING = 4  # messages of one IKE SA that wait for fragments

Key = tuple[bool, int]  # is a response, message id


class Sealed(msgspec.Struct, frozen=True):
    """A protected message: its datagrams and its part of IntAuth."""

    datagrams: tuple[bytes, ...]
    chunk: bytes


@dataclass(slots=True)
class _Pieces:
    """The fragments of one message that arrived so far."""

    total: int
    inner: dict[int, bytes] = field(default_factory=dict)
    first: tuple[bytes, int, int] | None = None  # data, offset of SKF, first inner payload


class Protection:
    """The keys of an IKE SA as one of its ends uses them."""

    def __init__(self, suite: IkeSuite, keys: IkeKeys, *, is_initiator: bool, entropy: Entropy) -> None:
        self.suite = suite
        self.keys = keys
        self._is_initiator = is_initiator
        self._entropy = entropy
        self._sealed = 0
        self._pending: dict[Key, _Pieces] = {}

    # -- sealing ------------------------------------------------------------------------------------------------

    def seal(self, header: Header, payloads: tuple[Payload, ...], *, fragment_size: int = 0) -> Sealed:
        """Protect a message; ``fragment_size`` bounds its datagrams in octets, 0 sends it whole."""
        inner = build_chain(payloads)
        first = payloads[0].kind if payloads else 0
        whole = self._seal_one(header, inner, first, None)
        if not fragment_size or len(whole) <= fragment_size:
            return Sealed((whole,), int_auth_chunk(whole, HEADER_SIZE, first, inner))
        size = self._room(fragment_size)
        pieces = [inner[start : start + size] for start in range(0, len(inner), size)]
        datagrams = tuple(
            self._seal_one(header, piece, first if number == 1 else 0, (number, len(pieces)))
            for number, piece in enumerate(pieces, 1)
        )
        return Sealed(datagrams, int_auth_chunk(datagrams[0], HEADER_SIZE, first, inner))

    def _room(self, fragment_size: int) -> int:
        """Octets of inner payloads that fit into one fragment."""
        encryption, integrity = self.suite.encryption, self.suite.integrity
        size = fragment_size - HEADER_SIZE - SKF_HEADER_SIZE
        while (
            size > 1 and ike_v2_body_size(encryption, integrity, size) > fragment_size - HEADER_SIZE - SKF_HEADER_SIZE
        ):
            size -= 1
        return max(size, 1)

    def _seal_one(self, header: Header, inner: bytes, first: int, fragment: tuple[int, int] | None) -> bytes:
        encryption, integrity = self.suite.encryption, self.suite.integrity
        size = ike_v2_body_size(encryption, integrity, len(inner))
        room = bytes(size)
        body: Body = Encrypted(data=room)
        if fragment is not None:
            body = EncryptedFragment(fragment_number=fragment[0], total_fragments=fragment[1], data=room)
        unsealed = Message(header=header, payloads=(Payload(body=body, next_payload=first),)).build()
        return seal_ike_v2(
            unsealed[: len(unsealed) - size],
            inner,
            self._iv(),
            encryption,
            self.keys.sk_e(initiator=self._is_initiator),
            integrity,
            self.keys.sk_a(initiator=self._is_initiator),
        )

    def _iv(self) -> bytes:
        """An unpredictable IV for CBC, a counter for every mode that must never see one twice (RFC 5282 section 3)."""
        row = self.suite.encryption
        self._sealed += 1
        if row.mode == "cbc":
            return self._entropy.octets(row.iv_size, "IV")
        return self._sealed.to_bytes(row.iv_size, "big") if row.iv_size else b""

    # -- opening ------------------------------------------------------------------------------------------------

    def open(self, message: Message, data: bytes, path: Path) -> Received | Refused | None:
        """Open a message; None while fragments of it are missing."""
        header, entry = message.header, message.payloads[-1] if message.payloads else None
        if header is None or entry is None or not isinstance(entry.body, Encrypted | EncryptedFragment):
            return None
        opened = self._opened(header, entry, data)
        if not isinstance(opened, OpenedBody):
            return opened
        first = entry.next_payload or 0
        if isinstance(entry.body, EncryptedFragment):
            whole = self._join(header, entry.body, opened.plaintext, (data, entry.start, first))
            if whole is None:
                return None
            inner, (data, start, first) = whole
        else:
            inner, start = opened.plaintext, entry.start
        chain = parse_chain(inner, 0, len(inner), first, IKEV2)
        return Received(
            header=header,
            payloads=(*message.payloads[:-1], *chain.payloads),
            data=data,
            path=path,
            chunk=int_auth_chunk(data, start, first, inner),
            is_protected=True,
        )

    def is_authentic(self, message: Message, data: bytes) -> bool:
        """Whether a message was sealed by the other side; nothing is kept of it."""
        header, entry = message.header, message.payloads[-1] if message.payloads else None
        if header is None or entry is None or not isinstance(entry.body, Encrypted | EncryptedFragment):
            return False
        return isinstance(self._opened(header, entry, data), OpenedBody)

    def _opened(self, header: Header, entry: Payload, data: bytes) -> OpenedBody | Refused:
        return open_ike_v2(
            data,
            entry.start,
            self.suite.encryption,
            self.keys.sk_e(initiator=header.original_initiator),
            self.suite.integrity,
            self.keys.sk_a(initiator=header.original_initiator),
            header_size=SKF_HEADER_SIZE if isinstance(entry.body, EncryptedFragment) else SK_HEADER_SIZE,
        )

    def _join(
        self, header: Header, body: EncryptedFragment, plaintext: bytes, where: tuple[bytes, int, int]
    ) -> tuple[bytes, tuple[bytes, int, int]] | None:
        """Keep a fragment; the last missing one yields the inner payloads and the first fragment (RFC 7383 2.6)."""
        number, total = body.fragment_number, body.total_fragments
        if not 1 <= number <= total <= MAX_FRAGMENTS:
            return None
        key = (header.is_response, header.message_id)
        pieces = self._pending.get(key)
        if pieces is None or total > pieces.total:  # RFC 7383 section 2.6: more fragments replace fewer
            if pieces is None and len(self._pending) >= MAX_PENDING:
                self._pending.pop(next(iter(self._pending)))
            pieces = self._pending[key] = _Pieces(total)
        if total < pieces.total:
            return None
        pieces.inner.setdefault(number, plaintext)
        if number == 1:
            pieces.first = where
        if len(pieces.inner) < total or pieces.first is None:
            return None
        del self._pending[key]
        inner = b"".join(pieces.inner[each] for each in range(1, total + 1))
        return None if len(inner) > MAX_REASSEMBLED else (inner, pieces.first)
