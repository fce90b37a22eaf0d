"""Opening IKEv1: the phase 1 key of an SA and the chain of IVs of each exchange (RFC 2409 appendix B).

Every message is encrypted with an IV that is the last ciphertext block of the message before it in the same exchange.
A retransmission is the same octets again, so it takes no IV and gives none; a message that the capture lacks breaks
its exchange only, and the exchange goes on where another IV can be proven.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ipsecscope.decrypt.algorithms import EncryptionRow, PrfRow, UnknownAlgorithmError, encryption_by_name, prf_by_name
from ipsecscope.decrypt.groups import group
from ipsecscope.decrypt.keymat_ikev1 import (
    SkeyidKeys,
    derive_skeyids,
    encryption_key,
    phase_1_iv,
    phase_2_iv,
    skeyid_psk,
    skeyid_signature,
)
from ipsecscope.decrypt.keyring import KeyRing, row_of
from ipsecscope.decrypt.keys import IkeV1Keys
from ipsecscope.decrypt.opening import OpenedBody, Reason, Refused, open_ike_v1
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.chain import Payload, parse_chain
from ipsecscope.dissect.families import IKEV1, body_notes
from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.timeline.contents import chosen_ikev1, first
from ipsecscope.timeline.sas import MessageRecord, Opening, Role, Suite
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker

PHASE_1 = 0  # the message id of phase 1
MAX_EXCHANGES = 4096  # exchanges whose IV chain is kept per SA

NO_KEY = Opening(reason=str(Reason.NO_KEY))


class PhaseOneKey(msgspec.Struct, frozen=True):
    """What opens the messages of an SA, and what its phase 2 keys are derived from."""

    key: Secret
    encryption: EncryptionRow
    prf: PrfRow | None
    skeyids: SkeyidKeys | None = None
    skeyid_d: Secret | None = None
    skeyid_a: Secret | None = None
    first_iv: bytes | None = None


@dataclass(slots=True)
class Ikev1State:
    """The keys and IVs of one ISAKMP SA as far as they are known."""

    encryption: EncryptionRow | None = None
    key_bits: int | None = None
    prf: PrfRow | None = None
    auth: str | None = None
    group: str | None = None
    ke: dict[Role, bytes] = field(default_factory=dict)
    nonce: dict[Role, bytes] = field(default_factory=dict)
    proven: list[PhaseOneKey] = field(default_factory=list)
    ivs: dict[int, list[bytes]] = field(
        default_factory=dict
    )  # message id -> IVs that may come next, the likeliest last
    phase_1_blocks: list[bytes] = field(default_factory=list)  # last blocks of phase 1 messages, the latest last
    opened_by: dict[Role, list[PhaseOneKey]] = field(default_factory=dict)  # by the sender of what they opened


class Ikev1Opener:
    """Opens the encrypted messages of all IKEv1 SAs of an analysis."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    @staticmethod
    def state(sa: SaTracker) -> Ikev1State:
        """The key state of an ISAKMP SA, made when there is none."""
        known = sa.extra.get("ikev1_keys")
        if isinstance(known, Ikev1State):
            return known
        state = sa.extra["ikev1_keys"] = Ikev1State()
        return state

    def open(self, sa: SaTracker, exchange: ExchangeTracker, record: MessageRecord) -> Opening | None:
        """Open one message; None when it is in the clear, or a fragment of one that is not complete."""
        del exchange
        state = self.state(sa)
        message = record.assembled or record.message
        header = message.header
        if header is None:
            return None
        if not message.ciphertext:
            if header.message_id == PHASE_1:
                _learn_clear(state, record, message.payloads)
            return None
        data = message.build()[: HEADER_SIZE + len(message.ciphertext)]
        opening = self._try_all(sa, state, record, message, data)
        self._advance(state, header.message_id, data)
        return opening

    def _try_all(
        self, sa: SaTracker, state: Ikev1State, record: MessageRecord, message: Message, data: bytes
    ) -> Opening:
        assert message.header is not None
        refused: Refused | None = None
        for key in self._candidates(sa, state):
            for iv in _ivs(state, key, message.header.message_id):
                result = open_ike_v1(data, key.encryption, key.key, iv)
                if isinstance(result, OpenedBody):
                    _prove(state, key)
                    _note_sender(state, record.sender, key)
                    opening = _opening(result.plaintext, message, record)
                    if message.header.message_id == PHASE_1:
                        _learn_clear(state, record, opening.payloads)
                    return opening
                refused = refused or result
        return NO_KEY if refused is None else Opening(reason=refused.text)

    @staticmethod
    def _advance(state: Ikev1State, message_id: int, data: bytes) -> None:
        """Whether it was opened or not, the last block of a message is the IV of the one behind it."""
        size = state.encryption.block_size if state.encryption is not None else 0
        if not size and state.proven:
            size = state.proven[-1].encryption.block_size
        for block in (size,) if size else (16, 8):
            last = data[-block:]
            if message_id not in state.ivs and len(state.ivs) >= MAX_EXCHANGES:
                del state.ivs[next(iter(state.ivs))]
            state.ivs.setdefault(message_id, []).append(last)
            if message_id == PHASE_1:
                state.phase_1_blocks.append(last)

    # -- finding keys -------------------------------------------------------------------------------------------

    def _candidates(self, sa: SaTracker, state: Ikev1State) -> Iterator[PhaseOneKey]:
        yield from reversed(state.proven)
        named, unnamed = self.ring.for_ike_v1(sa.spi_i)
        for record in named:
            yield from _of_record(state, record)
        yield from self._derived(sa, state)
        for record in unnamed:
            yield from _of_record(state, record)

    def _derived(self, sa: SaTracker, state: Ikev1State) -> Iterator[PhaseOneKey]:
        """Keys from a Diffie-Hellman secret, with a PSK where the SA authenticates by one (RFC 2409 section 5)."""
        ni, nr = state.nonce.get("initiator"), state.nonce.get("responder")
        if (
            state.proven
            or state.prf is None
            or state.encryption is None
            or ni is None
            or nr is None
            or sa.spi_r is None
        ):
            return
        prf = state.prf
        for g_xy in self.ring.shared_secrets(_secret_size(state.group)):
            skeyids = [skeyid_psk(prf, psk.value, ni, nr) for psk in self.ring.psks]
            skeyids.append(skeyid_signature(prf, ni, nr, g_xy))
            for skeyid in skeyids:
                keys = derive_skeyids(prf, skeyid, g_xy, sa.spi_i, sa.spi_r)
                yield PhaseOneKey(
                    key=encryption_key(prf, keys.skeyid_e, state.encryption, state.key_bits),
                    encryption=state.encryption,
                    prf=prf,
                    skeyids=keys,
                    skeyid_d=keys.skeyid_d,
                    skeyid_a=keys.skeyid_a,
                )


def _secret_size(name: str | None) -> int:
    try:
        return 0 if name is None else group(KeyExchangeMethod[name]).secret_size
    except (KeyError, LookupError):
        return 0


def _of_record(state: Ikev1State, record: IkeV1Keys) -> Iterator[PhaseOneKey]:
    """A record of a key file with the algorithms of the capture, or with its own where the capture has none."""
    prf = state.prf or row_of(record.hash)
    row = state.encryption or row_of(record.encryption)
    key = record.ka
    rows = [row] if row is not None else [encryption_by_name(name)[0] for name in ("AES_CBC", "3DES")]
    for encr in rows:
        if key is None and record.skeyid_e is not None and prf is not None:
            key = encryption_key(prf, record.skeyid_e, encr, state.key_bits)
        if key is None:
            continue
        skeyids = None
        if record.skeyid and record.skeyid_d and record.skeyid_a and record.skeyid_e:
            skeyids = SkeyidKeys(
                skeyid=record.skeyid,
                skeyid_d=record.skeyid_d,
                skeyid_a=record.skeyid_a,
                skeyid_e=record.skeyid_e,
            )
        yield PhaseOneKey(
            key=key,
            encryption=encr,
            prf=prf,
            skeyids=skeyids,
            skeyid_d=record.skeyid_d,
            skeyid_a=record.skeyid_a,
            first_iv=record.iv,
        )


def _prf_of(name: object) -> PrfRow | None:
    try:
        return None if name is None else prf_by_name(str(name))
    except UnknownAlgorithmError:
        return None


def _encryption_of(name: object) -> EncryptionRow | None:
    try:
        return None if name is None else encryption_by_name(str(name))[0]
    except UnknownAlgorithmError:
        return None


# -- what the messages tell ---------------------------------------------------------------------------------------


def _learn_clear(state: Ikev1State, record: MessageRecord, payloads: tuple[Payload, ...]) -> None:
    """Suite, public values and nonces of phase 1; the responder's choice of suite counts."""
    exchange, nonce = first(payloads, ikev1.KeyExchange), first(payloads, ikev1.Nonce)
    if exchange is not None:
        state.ke.setdefault(record.sender, exchange.data)
    if nonce is not None:
        state.nonce.setdefault(record.sender, nonce.data)
    suite = chosen_ikev1(payloads)
    if suite is not None and record.sender == "responder":
        _take_suite(state, suite)


def _take_suite(state: Ikev1State, suite: Suite) -> None:
    state.encryption = _encryption_of(suite.encr)
    state.key_bits, state.auth = suite.key_length, suite.auth
    state.prf = _prf_of(suite.prf)
    state.group = suite.ke[0] if suite.ke else None


def _prove(state: Ikev1State, key: PhaseOneKey) -> None:
    if not state.proven or state.proven[-1] is not key:
        state.proven = [each for each in state.proven if each is not key] + [key]


def _note_sender(state: Ikev1State, sender: Role, key: PhaseOneKey) -> None:
    """Remember whose messages a key opens: with different PSKs each side has a key of its own."""
    known = state.opened_by.setdefault(sender, [])
    if not any(each.key == key.key for each in known):
        known.append(key)


def _ivs(state: Ikev1State, key: PhaseOneKey, message_id: int) -> Iterator[bytes]:
    """IVs that a message may have been encrypted with, the likeliest first.

    In order: the last block of the message before it; the first IV of its exchange; earlier last blocks of the
    exchange, for messages that overtook each other.
    """
    size = key.encryption.iv_size
    chain = [block for block in reversed(state.ivs.get(message_id, ())) if len(block) == size]
    yield from chain[:1]
    prf = key.prf or state.prf
    if message_id == PHASE_1:
        if key.first_iv is not None and len(key.first_iv) == size:
            yield key.first_iv
        g_xi, g_xr = state.ke.get("initiator"), state.ke.get("responder")
        if prf is not None and g_xi is not None and g_xr is not None:
            yield phase_1_iv(prf, g_xi, g_xr, size)
    elif prf is not None:
        for block in reversed(state.phase_1_blocks):
            if len(block) == size:
                yield phase_2_iv(prf, block, message_id, size)
        # Aggressive mode may end in the clear, and who could not read the last message of phase 1 (because the
        # pre-shared keys differ) has not moved its IV: then the first IV of phase 1 counts.
        g_xi, g_xr = state.ke.get("initiator"), state.ke.get("responder")
        if g_xi is not None and g_xr is not None:
            yield phase_2_iv(prf, phase_1_iv(prf, g_xi, g_xr, size), message_id, size)
    yield from chain[1:]


def _opening(plaintext: bytes, message: Message, record: MessageRecord) -> Opening:
    assert message.header is not None
    kind = message.header.next_payload or 0
    chain = parse_chain(plaintext, 0, len(plaintext), kind, IKEV1, message.context)
    notes = (*chain.notes, *body_notes(chain.payloads, message.header, IKEV1))
    return Opening(payloads=chain.payloads, data=plaintext, notes=tuple(notes), first=kind, frames=(record.frame,))
