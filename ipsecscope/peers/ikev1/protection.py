"""Encryption of IKEv1 messages: one key, and a chain of IVs for every exchange (RFC 2409 appendix B).

The IV of a message is the last ciphertext block of the one before it in its exchange; a phase 2 exchange begins with
the hash of the last block of phase 1 and its message id. A chain moves on only when its message was accepted, so that
a repetition or a forgery does not break it.
"""

from __future__ import annotations

import msgspec

from ipsecscope.decrypt.algorithms import EncryptionRow, PrfRow
from ipsecscope.decrypt.keymat_ikev1 import (
    SkeyidKeys,
    derive_skeyids,
    encryption_key,
    hash_1,
    hash_2,
    hash_3,
    phase_1_iv,
    phase_2_iv,
)
from ipsecscope.decrypt.opening import OpenedBody, Refused, open_ike_v1
from ipsecscope.decrypt.sealing import seal_ike_v1
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.chain import Payload, build_chain, parse_chain
from ipsecscope.dissect.families import IKEV1
from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.ikev1 import Hash
from ipsecscope.dissect.message import Message
from ipsecscope.peers.ikev1.messages import PHASE_1, Received
from ipsecscope.peers.peer import Path

MAX_CHAINS = 256  # exchanges whose IV is kept; the oldest is forgotten beyond it


class Protection:
    """The keys of one ISAKMP SA at work."""

    def __init__(
        self,
        encryption: EncryptionRow,
        key_bits: int | None,
        prf: PrfRow,
        keys: SkeyidKeys,
        *,
        g_xi: bytes,
        g_xr: bytes,
    ) -> None:
        self.encryption = encryption
        self.prf = prf
        self.keys = keys
        self.key = encryption_key(prf, keys.skeyid_e, encryption, key_bits)
        self.first_iv = phase_1_iv(prf, g_xi, g_xr, encryption.block_size)
        self._last_block = self.first_iv
        self._ivs: dict[int, bytes] = {}

    def seal(self, header: Header, payloads: tuple[Payload, ...]) -> bytes:
        """Encrypt a message and move its chain."""
        iv = self._iv(header.message_id)
        body, following = seal_ike_v1(build_chain(payloads), self.encryption, self.key, iv)
        self.advance(header.message_id, following)
        named = msgspec.structs.replace(header, next_payload=payloads[0].kind)
        return Message(header=named, ciphertext=body).build()

    def open(self, message: Message, data: bytes, path: Path) -> tuple[Received, bytes] | Refused:
        """Decrypt a message; with it comes the IV that follows when the message is accepted."""
        header = message.header
        assert header is not None
        whole = data[: HEADER_SIZE + len(message.ciphertext)]
        opened = open_ike_v1(whole, self.encryption, self.key, self._iv(header.message_id))
        if not isinstance(opened, OpenedBody):
            return opened
        text = opened.plaintext
        chain = parse_chain(text, 0, len(text), header.next_payload or 0, IKEV1, message.context)
        received = Received(header=header, payloads=chain.payloads, plaintext=text, path=path, is_encrypted=True)
        return received, opened.next_iv

    def advance(self, message_id: int, block: bytes) -> None:
        """Let the next message of an exchange begin where this one ended."""
        if message_id == PHASE_1:
            self._last_block = block
            return
        if message_id not in self._ivs and len(self._ivs) >= MAX_CHAINS:
            del self._ivs[next(iter(self._ivs))]
        self._ivs[message_id] = block

    def _iv(self, message_id: int) -> bytes:
        if message_id == PHASE_1:
            return self._last_block
        return self._ivs.get(message_id) or phase_2_iv(
            self.prf, self._last_block, message_id, self.encryption.block_size
        )

    # -- HASH payloads of phase 2, RFC 2409 section 5.5 -------------------------------------------------------------

    def with_hash_1(self, message_id: int, payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        """HASH(1) in front of the payloads that it covers."""
        return self._behind(hash_1(self.prf, self.keys.skeyid_a, message_id, build_chain(payloads)), payloads)

    def with_hash_2(self, message_id: int, ni: bytes, payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        """HASH(2) in front of the payloads that it covers."""
        return self._behind(hash_2(self.prf, self.keys.skeyid_a, message_id, ni, build_chain(payloads)), payloads)

    def hash_3(self, message_id: int, ni: bytes, nr: bytes) -> bytes:
        """HASH(3), which covers no payloads."""
        return hash_3(self.prf, self.keys.skeyid_a, message_id, ni, nr)

    @staticmethod
    def _behind(digest: bytes, payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        return (Payload(body=Hash(data=digest)), *payloads)

    def is_hash_1(self, received: Received) -> bool:
        """Whether the first payload is HASH(1) over all octets behind it."""
        rest = _behind_hash(received)
        return rest is not None and _hash_of(received) == hash_1(
            self.prf, self.keys.skeyid_a, received.header.message_id, rest
        )

    def is_hash_2(self, received: Received, ni: bytes) -> bool:
        """Whether the first payload is HASH(2) over all octets behind it."""
        rest = _behind_hash(received)
        return rest is not None and _hash_of(received) == hash_2(
            self.prf, self.keys.skeyid_a, received.header.message_id, ni, rest
        )


def make_protection(
    encryption: EncryptionRow,
    key_bits: int | None,
    prf: PrfRow,
    skeyid: Secret,
    g_xy: Secret,
    *,
    cookies: tuple[bytes, bytes],
    g_xi: bytes,
    g_xr: bytes,
) -> Protection:
    """Derive SKEYID_d, SKEYID_a, SKEYID_e and the cipher key."""
    keys = derive_skeyids(prf, skeyid, g_xy, *cookies)
    return Protection(encryption, key_bits, prf, keys, g_xi=g_xi, g_xr=g_xr)


def _hash_of(received: Received) -> bytes:
    body = received.payloads[0].body if received.payloads else None
    return body.data if isinstance(body, Hash) else b""


def _behind_hash(received: Received) -> bytes | None:
    """The octets behind the HASH payload, where it is the first one (RFC 2409 section 5.5)."""
    if not received.payloads or not isinstance(received.payloads[0].body, Hash):
        return None
    return received.plaintext[received.payloads[0].stop :]
