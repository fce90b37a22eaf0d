"""CREATE_CHILD_SA for Child SAs: a new one, or one that takes the place of another (RFC 7296 1.3.1, 1.3.3, 2.8, 2.25).

When both sides rekey the same Child SA at once there are two new ones; the one made with the lowest of the four nonces
is closed by the side that began its exchange (section 2.8.1).
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from ipsecscope.decrypt.groups import KeyPair, PublicValueError, generate, group, respond, shared_secret
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Nonce, Notify, Proposal
from ipsecscope.dissect.ikev2.notify import InvalidKePayload
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ipsecscope.peers import events
from ipsecscope.peers.config import Offer
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import child
from ipsecscope.peers.ikev2.informational import DeleteChild
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.negotiation import is_computable, key_exchange_of
from ipsecscope.peers.ikev2.sa import ChildSa, ChildState, IkeSa
from ipsecscope.peers.peer import Found, Input, Local, Request

MAX_RETRIES = 3  # other key exchange methods and temporary failures that a task puts up with

REKEYED = Found("another Child SA took over")
REKEY_FAILED = Found("rekeying failed")
REKEY_SENT = Local("rekey")
REKEY_ASKED = Request("N(REKEY_SA)")


class Rival(msgspec.Struct, frozen=True):
    """What the other side's simultaneous rekeying of the same Child SA made."""

    nonces: tuple[bytes, bytes]
    successor: ChildSa


def group_of(policy: list[Offer]) -> KeyExchangeMethod | None:
    """The first key exchange method of a policy: PFS; None without one."""
    for each in policy:
        for item in each.transforms:
            if item.transform_type == TransformType.KE and item.transform_id:
                return KeyExchangeMethod(item.transform_id)
    return None


def key_pair(sa: IkeSa, method: KeyExchangeMethod) -> KeyPair:
    """A fresh key pair."""
    return generate(method, sa.owner.entropy.octets(group(method).entropy_size, "KEi"))


def later(sa: IkeSa, now: Instant) -> Instant:
    """When to try again behind a TEMPORARY_FAILURE; chance keeps two sides from colliding for ever."""
    span = sa.config.patience.try_again
    return now + span + sa.owner.entropy.below(span, "try again")


def wanted_method(received: Received) -> KeyExchangeMethod | None:
    """The method that an INVALID_KE_PAYLOAD asks for."""
    found = received.notify(NotifyType.INVALID_KE_PAYLOAD)
    content = None if found is None else found.content()
    return content.method if isinstance(content, InvalidKePayload) else None


class NewChild:
    """HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}."""

    exchange_type: ClassVar = ExchangeType.CREATE_CHILD_SA

    def __init__(self, replaced: ChildSa | None = None) -> None:
        self.replaced = replaced
        self.rival: Rival | None = None
        self.ni = b""
        self.title = "wants another Child SA" if replaced is None else "wants a successor for a Child SA"
        self._made: child.Negotiation | None = None
        self._pair: KeyPair | None = None
        self._method: KeyExchangeMethod | None = None
        self._tries = 0

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The payloads; None when the Child SA to rekey is gone or has a successor already."""
        old = self.replaced
        if old is not None:
            if old not in sa.children or old.machine.state not in (ChildState.INSTALLED, ChildState.REKEYING):
                return None
            old.machine.take(REKEY_SENT, sa, self, now)
        policy = child.child_policy(sa)
        selectors = None if old is None else ((old.tsi, old.tsr) if old.is_initiator else (old.tsr, old.tsi))
        self._made, payloads = child.propose(sa, policy, selectors=selectors)
        self.ni = sa.owner.entropy.octets(sa.config.nonce_size, "Ni")
        payloads.append(Nonce(data=self.ni))
        self._method = self._method or group_of(policy)
        if self._method is not None:
            self._pair = key_pair(sa, self._method)
            payloads.append(KeyExchange(method=self._method, data=self._pair.public))
        if old is not None:
            payloads.append(Notify(notify_type=NotifyType.REKEY_SA, protocol_id=old.protocol, spi=old.spi_in))
        return tuple(payloads)

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """Install what came of it."""
        error = None if reply.error is None else reply.error.notify_type
        if error == NotifyType.INVALID_KE_PAYLOAD and self._again(sa, wanted_method(reply), now):
            return None
        if error == NotifyType.TEMPORARY_FAILURE and self._later(sa, now):
            return None
        made = self._settle(sa, reply)
        if isinstance(made, child.Refusal):
            sa.count(f"Child SA refused: {made.notify_type}")
            self.give_up(sa, now)
            return None
        child.install(sa, made, now)
        if self.replaced is not None:
            self._succeed(sa, self.replaced, made, (self.ni, _nonce(reply)), now)
        return None

    def _again(self, sa: IkeSa, method: KeyExchangeMethod | None, now: Instant) -> bool:
        """Try with the method that the other side wants, when it is one that we offered (RFC 7296 section 1.3)."""
        offered = {
            item.transform_id
            for each in child.child_policy(sa)
            for item in each.transforms
            if item.transform_type == TransformType.KE
        }
        self._tries += 1
        if method is None or method == self._method or method not in offered or self._tries > MAX_RETRIES:
            return False
        self._method = method
        sa.begin(self, now)
        return True

    def _later(self, sa: IkeSa, now: Instant) -> bool:
        """Try again after a while (RFC 7296 section 2.25)."""
        self._tries += 1
        if self._tries > MAX_RETRIES or self.rival is not None:
            return False
        if self.replaced is not None:
            self.replaced.machine.take(REKEY_FAILED, sa, self, now)
            sa.set_timer(f"rekey {self.replaced.spi_in.hex()}", later(sa, now))
        else:
            sa.set_timer("new Child SA", later(sa, now))
        return True

    def _settle(self, sa: IkeSa, reply: Received) -> ChildSa | child.Refusal:
        assert self._made is not None
        exchanged, secret = reply.first(KeyExchange), None
        if self._pair is not None and exchanged is not None:
            try:
                secret = shared_secret(self._pair, exchanged.data)
            except PublicValueError:
                return child.Refusal(NotifyType.INVALID_SYNTAX)
        return child.settle(sa, self._made, reply, secret, self.ni, _nonce(reply))

    def _succeed(self, sa: IkeSa, old: ChildSa, made: ChildSa, nonces: tuple[bytes, bytes], now: Instant) -> None:
        """Close what is redundant: the old Child SA, or of two successors the one with the lowest nonce."""
        rekeyed(sa, old, now)
        old.machine.take(REKEYED, sa, None, now)
        if self.rival is not None and min(nonces) < min(self.rival.nonces):
            made.machine.take(REKEYED, sa, None, now)
            sa.begin(DeleteChild(made, "closes the redundant Child SA, made with the lowest nonce"), now)
            return
        sa.begin(DeleteChild(old, "deletes the Child SA that was rekeyed"), now)

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Leave the old Child SA as it was, or to the successor that the other side made."""
        if self.replaced is None:
            return
        if self.rival is None:
            self.replaced.machine.take(REKEY_FAILED, sa, self, now)
        else:
            rekeyed(sa, self.replaced, now)
            self.replaced.machine.take(REKEYED, sa, None, now)


def _nonce(received: Received) -> bytes:
    found = received.first(Nonce)
    return b"" if found is None else found.data


def rekeyed(sa: IkeSa, old: ChildSa, now: Instant) -> None:
    """Say that a Child SA has a successor."""
    sa.clear_timer(f"rekey {old.spi_in.hex()}")
    sa.say(events.ChildSaRekeyed, now, protocol=old.protocol, spi_i=old.spi_i, spi_r=old.spi_r)


# -- responder ---------------------------------------------------------------------------------------------------


def answer(sa: IkeSa, received: Received, now: Instant) -> Input | None:
    """Answer a request for a new Child SA, or hand one that rekeys to the table of the Child SA."""
    wanted = sa.config.faults.refuse_child
    if wanted:
        sa.answer(received, [note(NotifyType[wanted])], now)
        return None
    rekeys = received.notify(NotifyType.REKEY_SA)
    if rekeys is None:
        make(sa, received, now)
        return None
    old = next((each for each in sa.children if each.spi_out == rekeys.spi), None)
    if old is None or old.protocol != rekeys.protocol_id:
        missing = Notify(notify_type=NotifyType.CHILD_SA_NOT_FOUND, protocol_id=rekeys.protocol_id, spi=rekeys.spi)
        sa.answer(received, [missing], now)
        return None
    old.machine.take(REKEY_ASKED, sa, (old, received), now)
    return None


def answer_rekey(sa: IkeSa, asked: tuple[ChildSa, Received], now: Instant) -> Input | None:
    """Make the successor; the side that asked deletes the old one (RFC 7296 section 2.8)."""
    old, received = asked
    if make(sa, received, now) is None:
        return None
    rekeyed(sa, old, now)
    return REKEYED


def answer_rival(sa: IkeSa, asked: tuple[ChildSa, Received], now: Instant) -> Input | None:
    """Answer as usual although our own request is on its way; the nonces decide later (section 2.8.1)."""
    old, received = asked
    made = make(sa, received, now)
    task = None if sa.outstanding is None else sa.outstanding.task
    if made is not None and isinstance(task, NewChild) and task.replaced is old:
        task.rival = Rival((_nonce(received), made[1]), made[0])
    return None


def refuse_for_now(sa: IkeSa, asked: tuple[ChildSa, Received], now: Instant) -> Input | None:
    """Answer N(TEMPORARY_FAILURE): we are closing that Child SA (section 2.25.1)."""
    sa.answer(asked[1], [note(NotifyType.TEMPORARY_FAILURE)], now)
    return None


def make(sa: IkeSa, received: Received, now: Instant) -> tuple[ChildSa, bytes] | None:
    """Make a Child SA for a request and answer it; the Child SA and our nonce, None when it was refused."""
    found = _negotiate(sa, received)
    if isinstance(found, child.Refusal):
        sa.answer(received, [found.notify()], now)
        return None
    made, bodies, nr = found
    sa.answer(received, bodies, now)
    child.install(sa, made, now)
    return made, nr


def _negotiate(sa: IkeSa, received: Received) -> tuple[ChildSa, list[Body], bytes] | child.Refusal:
    chosen = child.pick(sa, received, in_auth=False)
    if isinstance(chosen, child.Refusal):
        return chosen
    exchange = exchange_keys(sa, received, chosen)
    if isinstance(exchange, child.Refusal):
        return exchange
    secret, bodies = exchange
    nr = sa.owner.entropy.octets(sa.config.nonce_size, "Nr")
    made = child.respond(sa, received, chosen, secret, _nonce(received), nr)
    if isinstance(made, child.Refusal):
        return made
    return made[0], [*made[1], Nonce(data=nr), *bodies], nr


def exchange_keys(sa: IkeSa, received: Received, chosen: Proposal) -> tuple[Secret | None, list[Body]] | child.Refusal:
    """The shared secret of an exchange and our KE payload; none without PFS."""
    method, exchanged = key_exchange_of(chosen), received.first(KeyExchange)
    if method is None:
        return None, []
    if not is_computable(method):
        return child.Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    if exchanged is None or exchanged.method != method:
        return child.Refusal(NotifyType.INVALID_KE_PAYLOAD, InvalidKePayload(method=method).build())
    try:
        entropy = sa.owner.entropy.octets(group(method).entropy_size, "KEr")
        public, secret = respond(method, exchanged.data, entropy)
    except (PublicValueError, ValueError):
        return child.Refusal(NotifyType.INVALID_SYNTAX)
    return secret, [KeyExchange(method=method, data=public)]
