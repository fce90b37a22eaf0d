"""IKE_INTERMEDIATE: additional key exchanges before authentication (RFC 9242, RFC 9370; ML-KEM by its draft).

Each round replaces the keys; both messages of a round are protected with the keys before it and go into IntAuth, which
AUTH covers.
"""

from __future__ import annotations

from ipsecscope.decrypt.groups import PublicValueError, generate, group, respond, shared_secret
from ipsecscope.decrypt.keymat import int_auth_step, next_ike_keys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev2 import KeyExchange
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.protection import Protection
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.ikev2.sa_init import ANOTHER_KEY_EXCHANGE, KEYS_COMPLETE, UNUSABLE, report_keys
from ipsecscope.peers.peer import Input


def send(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send HDR, SK {KEi(n)} for the next method."""
    del received
    handshake = sa.handshake
    if not handshake.rounds:
        return KEYS_COMPLETE
    method = handshake.rounds[0]
    handshake.pair = generate(method, sa.owner.entropy.octets(group(method).entropy_size, "KEi"))
    sa.request(ExchangeType.IKE_INTERMEDIATE, [KeyExchange(method=method, data=handshake.pair.public)], now)
    _cover(sa, sa.sent_chunk, by_initiator=True)
    return None


def accept(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Take HDR, SK {KEr(n)} and go over to the next keys."""
    assert received is not None
    exchanged, pair = received.first(KeyExchange), sa.handshake.pair
    if exchanged is None or pair is None or not sa.handshake.rounds or exchanged.method != pair.method:
        return UNUSABLE
    try:
        secret = shared_secret(pair, exchanged.data)
    except PublicValueError:
        return UNUSABLE
    _cover(sa, received.chunk, by_initiator=False)
    _go_over(sa, secret, pair.method, now)
    return ANOTHER_KEY_EXCHANGE if sa.handshake.rounds else KEYS_COMPLETE


def answer(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer HDR, SK {KEr(n)} under the old keys, then go over to the new ones."""
    assert received is not None
    exchanged = received.first(KeyExchange)
    rounds = sa.handshake.rounds
    if exchanged is None or not rounds or exchanged.method != rounds[0]:
        sa.answer(received, [note(NotifyType.INVALID_SYNTAX)], now)
        return UNUSABLE
    try:
        entropy = sa.owner.entropy.octets(group(exchanged.method).entropy_size, "KEr")
        public, secret = respond(exchanged.method, exchanged.data, entropy)
    except (PublicValueError, ValueError):
        sa.answer(received, [note(NotifyType.INVALID_SYNTAX)], now)
        return UNUSABLE
    _cover(sa, received.chunk, by_initiator=True)
    sa.answer(received, [KeyExchange(method=exchanged.method, data=public)], now)
    _cover(sa, sa.sent_chunk, by_initiator=False)
    _go_over(sa, secret, exchanged.method, now)
    return None


def _cover(sa: IkeSa, chunk: bytes, *, by_initiator: bool) -> None:
    """Take one message into IntAuth under the keys that protected it (RFC 9242 section 3.3.1)."""
    handshake, prf = sa.handshake, sa.suite.prf
    if by_initiator:
        handshake.int_auth_i = int_auth_step(prf, sa.keys.sk_pi, handshake.int_auth_i, chunk)
    else:
        handshake.int_auth_r = int_auth_step(prf, sa.keys.sk_pr, handshake.int_auth_r, chunk)
        handshake.intermediates += 1


def _go_over(sa: IkeSa, secret: Secret, method: KeyExchangeMethod, now: Instant) -> None:
    """SKEYSEED(n) and the keys that come of it (RFC 9370 section 2.2.2)."""
    handshake = sa.handshake
    keys = next_ike_keys(
        sa.suite,
        sa.keys.sk_d,
        secret,
        ni=handshake.ni,
        nr=handshake.nr,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
    )
    handshake.rounds.popleft()
    handshake.sequence += 1
    label = f"IV {sa.local_spi.hex()} {handshake.sequence}"
    sa.protection = Protection(sa.suite, keys, is_initiator=sa.is_initiator, entropy=sa.owner.entropy.fork(label))
    sa.sk_d = keys.sk_d
    report_keys(sa, now, secret, method, ExchangeType.IKE_INTERMEDIATE)
