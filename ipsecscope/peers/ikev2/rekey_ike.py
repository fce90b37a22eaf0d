"""CREATE_CHILD_SA for the IKE SA itself: HDR, SK {SA, Ni, KEi} (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2).

The new IKE SA has new SPIs, and who asked is its original initiator. The Child SAs move over to it; the side that asked
deletes the old one. Of two made at once, the one with the lowest nonce goes again.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ipsecscope.decrypt.groups import KeyPair, PublicValueError, shared_secret
from ipsecscope.decrypt.keymat import rekey_ike_keys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Nonce, Proposal, SecurityAssociation
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, SecurityProtocol
from ipsecscope.peers import events
from ipsecscope.peers.config import Offer
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import Role
from ipsecscope.peers.ikev2 import auth, child
from ipsecscope.peers.ikev2.create_child import exchange_keys, group_of, key_pair, later, wanted_method
from ipsecscope.peers.ikev2.informational import DeleteIke
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.negotiation import (
    choose,
    ike_suite,
    is_answer_to,
    key_exchange_of,
    names_of,
    offer,
)
from ipsecscope.peers.ikev2.protection import Protection
from ipsecscope.peers.ikev2.sa import ChildState, IkeSa
from ipsecscope.peers.ikev2.sa_init import report_keys
from ipsecscope.peers.peer import Found, Input

MAX_RETRIES = 3
SPI_SIZE = 8

REPLACED = Found("another IKE SA took over")
BORN = Found("made by rekeying")


class Rival(msgspec.Struct, frozen=True):
    """The IKE SA that the other side's simultaneous rekeying made."""

    nonces: tuple[bytes, bytes]
    successor: IkeSa


def policy_of(sa: IkeSa) -> list[Offer]:
    """The IKE proposals without the additional key exchanges of RFC 9370, which are not used here."""
    return [
        Offer(each.protocol, tuple(item for item in each.transforms if item.transform_type <= 5))
        for each in sa.config.ike_proposals
    ]


class RekeyIke:
    """HDR, SK {SA, Ni, KEi}."""

    exchange_type: ClassVar = ExchangeType.CREATE_CHILD_SA
    title = "wants a successor for the IKE SA"

    def __init__(self) -> None:
        self._spi = b""
        self._ni = b""
        self._offered = SecurityAssociation()
        self._pair: KeyPair | None = None
        self._method: KeyExchangeMethod | None = None
        self._tries = 0
        self.rival: Rival | None = None

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The payloads."""
        del now
        policy = policy_of(sa)
        self._spi = self._spi or sa.owner.entropy.ike_spi()
        self._ni = sa.owner.entropy.octets(sa.config.nonce_size, "Ni")
        self._offered = offer(policy, self._spi)
        self._method = self._method or group_of(policy)
        assert self._method is not None
        self._pair = key_pair(sa, self._method)
        return (
            self._offered,
            Nonce(data=self._ni),
            KeyExchange(method=self._method, data=self._pair.public),
        )

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """Make the successor, or put up with the refusal."""
        self._tries += 1
        error = None if reply.error is None else reply.error.notify_type
        wanted = wanted_method(reply)
        if wanted is not None and wanted != self._method and self._tries <= MAX_RETRIES:
            self._method = wanted
            sa.begin(self, now)
            return None
        if error == NotifyType.TEMPORARY_FAILURE and self._tries <= MAX_RETRIES and self.rival is None:
            sa.set_timer("rekey IKE SA", later(sa, now))
            return None
        made = self._successor(sa, reply, now)
        if made is None:
            sa.count("rekeying of an IKE SA failed")
            self.give_up(sa, now)
            return REPLACED if self.rival is not None else None
        return self._decide(sa, made[0], (self._ni, made[1]), now)

    def _successor(self, sa: IkeSa, reply: Received, now: Instant) -> tuple[IkeSa, bytes] | None:
        answered, exchanged, nonce = (
            reply.first(SecurityAssociation),
            reply.first(KeyExchange),
            reply.first(Nonce),
        )
        if answered is None or exchanged is None or nonce is None or len(answered.proposals) != 1:
            return None
        chosen = answered.proposals[0]
        right = is_answer_to(chosen, self._offered) and len(chosen.spi) == SPI_SIZE
        if not right or self._pair is None or key_exchange_of(chosen) != self._method:
            return None
        try:
            secret = shared_secret(self._pair, exchanged.data)
        except PublicValueError:
            return None
        spis = (self._spi, chosen.spi)
        made = _make(sa, chosen, secret, (self._ni, nonce.data), spis, "initiator", now)
        return None if made is None else (made, nonce.data)

    def _decide(self, sa: IkeSa, made: IkeSa, nonces: tuple[bytes, bytes], now: Instant) -> Input | None:
        """Of two successors, the one made with the lowest nonce is closed by the side that asked for it (2.8.2)."""
        if self.rival is None:
            hand_over(sa, made, now)
            sa.begin(DeleteIke("deletes the IKE SA that was rekeyed"), now)
            return REPLACED
        if min(nonces) < min(self.rival.nonces):
            hand_over(sa, self.rival.successor, now)
            made.begin(DeleteIke("closes the redundant IKE SA, made with the lowest nonce"), now)
            return REPLACED
        # The other side closes the redundant one, unless it never heard that it was made.
        self.rival.successor.set_timer("half-open", now + sa.config.patience.half_open)
        hand_over(sa, made, now)
        sa.begin(DeleteIke("deletes the IKE SA that was rekeyed"), now)
        return REPLACED

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo; but a rival that we answered takes over."""
        if self.rival is not None:
            hand_over(sa, self.rival.successor, now)


def hand_over(sa: IkeSa, successor: IkeSa, now: Instant) -> None:
    """Move the Child SAs to the new IKE SA (RFC 7296 section 2.18)."""
    if successor.group_id == sa.group_id:
        return
    for name in [name for name in sa.timers if name.startswith("rekey ")]:
        when = sa.timers.pop(name)
        if name != "rekey IKE SA":
            successor.set_timer(name, when)
    for name in ("dpd", "keepalive"):
        sa.clear_timer(name)
    successor.children += sa.children
    sa.children.clear()
    sa.say(events.IkeSaRekeyed, now, successor=successor.group_id)


def is_busy(sa: IkeSa) -> bool:
    """Whether a Child SA of ours is being created, rekeyed or closed (RFC 7296 section 2.25.2)."""
    task = None if sa.outstanding is None else sa.outstanding.task
    waits = task is not None and task.exchange_type == ExchangeType.CREATE_CHILD_SA and not isinstance(task, RekeyIke)
    return waits or any(each.machine.state == ChildState.DELETING for each in sa.children)


def answer(sa: IkeSa, received: Received, now: Instant) -> Input | None:
    """Answer HDR, SK {SA, Nr, KEr} and make the successor."""
    if is_busy(sa):
        sa.answer(received, [note(NotifyType.TEMPORARY_FAILURE)], now)
        return None
    found = _negotiate(sa, received, now)
    if isinstance(found, child.Refusal):
        sa.answer(received, [found.notify()], now)
        return None
    made, bodies, nonces = found
    sa.answer(received, bodies, now)
    task = None if sa.outstanding is None else sa.outstanding.task
    if isinstance(task, RekeyIke):
        task.rival = Rival(nonces, made)
        return None
    hand_over(sa, made, now)
    return REPLACED


def _negotiate(
    sa: IkeSa, received: Received, now: Instant
) -> tuple[IkeSa, list[Body], tuple[bytes, bytes]] | child.Refusal:
    offered, nonce = received.first(SecurityAssociation), received.first(Nonce)
    if offered is None or nonce is None:
        return child.Refusal(NotifyType.INVALID_SYNTAX)
    spi_r = sa.owner.entropy.ike_spi()
    chosen = choose(offered, policy_of(sa), spi=spi_r)
    if chosen is None or ike_suite(chosen) is None or key_exchange_of(chosen) is None:
        return child.Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    spi_i = next(each.spi for each in offered.proposals if each.number == chosen.number)
    if len(spi_i) != SPI_SIZE:
        return child.Refusal(NotifyType.INVALID_SYNTAX)
    exchange = exchange_keys(sa, received, chosen)
    if isinstance(exchange, child.Refusal):
        return exchange
    secret, bodies = exchange
    assert secret is not None
    nr = sa.owner.entropy.octets(sa.config.nonce_size, "Nr")
    made = _make(sa, chosen, secret, (nonce.data, nr), (spi_i, spi_r), "responder", now)
    if made is None:
        return child.Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    return made, [SecurityAssociation(proposals=(chosen,)), Nonce(data=nr), *bodies], (nonce.data, nr)


def _make(
    sa: IkeSa,
    chosen: Proposal,
    secret: Secret,
    nonces: tuple[bytes, bytes],
    spis: tuple[bytes, bytes],
    role: Role,
    now: Instant,
) -> IkeSa | None:
    """The new IKE SA with its keys; message ids begin at 0 again."""
    suite = ike_suite(chosen)
    if suite is None:
        return None
    ni, nr = nonces
    spi_i, spi_r = spis
    keys = rekey_ike_keys(suite, sa.suite.prf, sa.sk_d, (secret,), ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r)
    made = sa.owner.new_sa(role, spi_i, spi_r, sa.path)
    made.chosen, made.sk_d = chosen, keys.sk_d
    made.handshake.ni, made.handshake.nr = ni, nr
    made.handshake.method = key_exchange_of(chosen) or KeyExchangeMethod.NONE
    made.supported, made.hashes, made.remote_id = set(sa.supported), sa.hashes, sa.remote_id
    made.local_behind_nat, made.remote_behind_nat = sa.local_behind_nat, sa.remote_behind_nat
    made.virtual_ip, made.last_heard = sa.virtual_ip, now
    made.protection = Protection(
        suite, keys, is_initiator=made.is_initiator, entropy=sa.owner.entropy.fork(f"IV {made.local_spi.hex()}")
    )
    made.say(events.ProposalChosen, now, transforms=names_of(chosen))
    report_keys(made, now, secret, made.handshake.method, ExchangeType.CREATE_CHILD_SA)
    made.machine.take(BORN, made, None, now)
    return made


def born(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Register the new IKE SA; it is established from the start."""
    del received
    sa.owner.register(sa)
    auth.established(sa, now)
    return None


def begins(received: Received) -> bool:
    """Whether a CREATE_CHILD_SA request is about the IKE SA: its proposals say so (RFC 7296 section 1.3.2)."""
    offered = received.first(SecurityAssociation)
    return offered is not None and any(each.protocol_id == SecurityProtocol.IKE for each in offered.proposals)
