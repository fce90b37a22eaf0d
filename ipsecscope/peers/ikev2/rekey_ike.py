"""CREATE_CHILD_SA for the IKE SA itself: HDR, SK {SA, Ni, KEi} (RFC 7296 sections 1.3.2, 2.8.2, 2.18 and 2.25.2).

The new IKE SA has new SPIs, and who asked is its original initiator. The Child SAs move over to it; the side that asked
deletes the old one. Of two made at once, the one with the lowest nonce goes again.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ipsecscope.decrypt.groups import KeyPair
from ipsecscope.decrypt.keymat import rekey_ike_keys
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Nonce, Proposal, SecurityAssociation
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, SecurityProtocol
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import Role
from ipsecscope.peers.ikev2 import auth, child
from ipsecscope.peers.ikev2.create_child import later
from ipsecscope.peers.ikev2.informational import DeleteIke
from ipsecscope.peers.ikev2.key_exchange import (
    exchange_keys,
    forget,
    go_on,
    group_of,
    keep_for_more,
    key_pair,
    report_secrets,
    settle_keys,
    tasks_of,
    wanted_method,
)
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.negotiation import (
    additional_key_exchanges,
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
from ipsecscope.peers.ikev2.states import Exchanged
from ipsecscope.peers.peer import Found, Input

MAX_RETRIES = 3
SPI_SIZE = 8

REPLACED = Found("another IKE SA took over")
BORN = Found("made by rekeying")


class Rival(msgspec.Struct, frozen=True):
    """The IKE SA that the other side's simultaneous rekeying made."""

    nonces: tuple[bytes, bytes]
    successor: IkeSa | None  # None while it waits for more key exchanges


class RekeyIke:
    """HDR, SK {SA, Ni, KEi}."""

    exchange_type: ClassVar = ExchangeType.CREATE_CHILD_SA
    is_exclusive: ClassVar = True
    title = "wants a successor for the IKE SA"

    def __init__(self) -> None:
        self._spi = b""
        self._ni = b""
        self._nr = b""
        self._chosen: Proposal | None = None
        self._offered = SecurityAssociation()
        self._pair: KeyPair | None = None
        self._method: KeyExchangeMethod | None = None
        self._tries = 0
        self.rival: Rival | None = None

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The payloads."""
        del now
        policy = sa.config.ike_proposals
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
        secrets = self._settle(reply)
        if secrets is None:
            self.give_up(sa, now)
            return REPLACED if self._rival_is_ready else None
        assert self._chosen is not None
        methods = additional_key_exchanges(self._chosen)
        if not methods:
            return self.complete(sa, secrets, now)
        if self._is_redundant or not go_on(sa, self, methods, secrets, reply):
            sa.count("rekeyings of an IKE SA that went no further")
        return None

    def _settle(self, reply: Received) -> tuple[Exchanged, ...] | None:
        """The first shared secret, when the answer is one to what we asked."""
        answered, nonce = reply.first(SecurityAssociation), reply.first(Nonce)
        secrets = settle_keys(self._pair, reply)
        if answered is None or nonce is None or len(answered.proposals) != 1 or not secrets:
            return None
        chosen = answered.proposals[0]
        right = is_answer_to(chosen, self._offered) and len(chosen.spi) == SPI_SIZE
        if not right or key_exchange_of(chosen) != self._method:
            return None
        self._chosen, self._nr = chosen, nonce.data
        return secrets

    @property
    def _is_redundant(self) -> bool:
        """Whether the other side's rekeying of the IKE SA wins (RFC 7296 section 2.8.2)."""
        return self.rival is not None and min(self._ni, self._nr) < min(self.rival.nonces)

    @property
    def _rival_is_ready(self) -> bool:
        return self.rival is not None and self.rival.successor is not None

    def complete(self, sa: IkeSa, secrets: tuple[Exchanged, ...], now: Instant) -> Input | None:
        """Make the successor."""
        assert self._chosen is not None
        spis = (self._spi, self._chosen.spi)
        made = _make(sa, self._chosen, secrets, (self._ni, self._nr), spis, "initiator", now)
        if made is None:
            self.give_up(sa, now)
            return REPLACED if self._rival_is_ready else None
        return self._decide(sa, made, now)

    def _decide(self, sa: IkeSa, made: IkeSa, now: Instant) -> Input | None:
        """Of two successors, the one made with the lowest nonce is closed by the side that asked for it (2.8.2)."""
        rival = None if self.rival is None else self.rival.successor
        if rival is None:
            hand_over(sa, made, now)
            sa.begin(DeleteIke("deletes the IKE SA that was rekeyed"), now)
            return REPLACED
        if self._is_redundant:
            hand_over(sa, rival, now)
            made.begin(DeleteIke("closes the redundant IKE SA, made with the lowest nonce"), now)
            return REPLACED
        # The other side closes the redundant one, unless it never heard that it was made.
        rival.set_timer("half-open", now + sa.config.patience.half_open)
        hand_over(sa, made, now)
        sa.begin(DeleteIke("deletes the IKE SA that was rekeyed"), now)
        return REPLACED

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo; but a rival that we answered takes over."""
        sa.count("rekeying of an IKE SA failed")
        if self.rival is not None and self.rival.successor is not None:
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
    for link in list(sa.unfinished):
        forget(sa, link)
    successor.children += sa.children
    sa.children.clear()
    sa.say(events.IkeSaRekeyed, now, successor=successor.group_id)


def is_busy(sa: IkeSa) -> bool:
    """Whether a Child SA of ours is being created, rekeyed or closed (RFC 7296 section 2.25.2)."""
    kinds = (ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE)
    waits = any(each.exchange_type in kinds and not isinstance(each, RekeyIke) for each in tasks_of(sa))
    return waits or any(each.machine.state == ChildState.DELETING for each in sa.children)


def answer(sa: IkeSa, received: Received, now: Instant) -> Input | None:
    """Answer HDR, SK {SA, Nr, KEr} and make the successor."""
    if is_busy(sa):
        sa.answer(received, [note(NotifyType.TEMPORARY_FAILURE)], now)
        return None
    found = _negotiate(sa, received)
    if isinstance(found, child.Refusal):
        sa.answer(received, [found.notify()], now)
        return None
    chosen, secrets, bodies, nonces, spis = found
    task = next((each for each in tasks_of(sa) if isinstance(each, RekeyIke)), None)
    methods = additional_key_exchanges(chosen)
    if methods:

        def complete(sa: IkeSa, secrets: tuple[Exchanged, ...], now: Instant) -> Input | None:
            made = _make(sa, chosen, secrets, nonces, spis, "responder", now)
            if made is None:
                return None
            hand_over(sa, made, now)
            return REPLACED

        sa.answer(received, [*bodies, keep_for_more(sa, methods, secrets, complete, now)], now)
        if task is not None:
            task.rival = Rival(nonces, None)
        return None
    made = _make(sa, chosen, secrets, nonces, spis, "responder", now)
    assert made is not None
    sa.answer(received, bodies, now)
    if task is not None:
        task.rival = Rival(nonces, made)
        return None
    hand_over(sa, made, now)
    return REPLACED


def _negotiate(
    sa: IkeSa, received: Received
) -> tuple[Proposal, tuple[Exchanged, ...], list[Body], tuple[bytes, bytes], tuple[bytes, bytes]] | child.Refusal:
    """The proposal, the first secret, the payloads, both nonces, both SPIs; or the refusal."""
    offered, nonce = received.first(SecurityAssociation), received.first(Nonce)
    if offered is None or nonce is None:
        return child.Refusal(NotifyType.INVALID_SYNTAX)
    spi_r = sa.owner.entropy.ike_spi()
    chosen = choose(offered, sa.config.ike_proposals, spi=spi_r)
    if chosen is None or ike_suite(chosen) is None or key_exchange_of(chosen) is None:
        return child.Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    spi_i = next(each.spi for each in offered.proposals if each.number == chosen.number)
    if len(spi_i) != SPI_SIZE:
        return child.Refusal(NotifyType.INVALID_SYNTAX)
    exchange = exchange_keys(sa, received, chosen)
    if isinstance(exchange, child.Refusal):
        return exchange
    secrets, bodies = exchange
    nr = sa.owner.entropy.octets(sa.config.nonce_size, "Nr")
    answered = [SecurityAssociation(proposals=(chosen,)), Nonce(data=nr), *bodies]
    return chosen, secrets, answered, (nonce.data, nr), (spi_i, spi_r)


def _make(
    sa: IkeSa,
    chosen: Proposal,
    secrets: tuple[Exchanged, ...],
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
    keys = rekey_ike_keys(
        suite, sa.suite.prf, sa.sk_d, [each.secret for each in secrets], ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r
    )
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
    report_secrets(made, secrets, now)
    report_keys(made, now, None, made.handshake.method, ExchangeType.CREATE_CHILD_SA)
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
