"""CREATE_CHILD_SA for Child SAs: a new one, or one that takes the place of another (RFC 7296 1.3.1, 1.3.3, 2.8, 2.25).

When both sides rekey the same Child SA at once there are two new ones; the one made with the lowest of the four nonces
is closed by the side that began its exchange (section 2.8.1).
"""

from __future__ import annotations

from typing import ClassVar

from ipsecscope.decrypt.groups import KeyPair
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Nonce, Notify
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import child
from ipsecscope.peers.ikev2.informational import DeleteChild
from ipsecscope.peers.ikev2.key_exchange import (
    exchange_keys,
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
from ipsecscope.peers.ikev2.negotiation import additional_key_exchanges
from ipsecscope.peers.ikev2.sa import ChildSa, ChildState, IkeSa
from ipsecscope.peers.ikev2.states import Exchanged
from ipsecscope.peers.peer import Found, Input, Local, Request

MAX_RETRIES = 3  # other key exchange methods and temporary failures that a task puts up with

REKEYED = Found("another Child SA took over")
REKEY_FAILED = Found("rekeying failed")
REKEY_SENT = Local("rekey")
REKEY_ASKED = Request("N(REKEY_SA)")


def later(sa: IkeSa, now: Instant) -> Instant:
    """When to try again behind a TEMPORARY_FAILURE; chance keeps two sides from colliding for ever."""
    span = sa.config.patience.try_again
    return now + span + sa.owner.entropy.below(span, "try again")


class NewChild:
    """HDR, SK {[N(REKEY_SA),] SA, Ni, [KEi,] TSi, TSr}."""

    exchange_type: ClassVar = ExchangeType.CREATE_CHILD_SA
    is_exclusive: ClassVar = False

    def __init__(self, replaced: ChildSa | None = None) -> None:
        self.replaced = replaced
        self.rival: tuple[bytes, bytes] | None = None  # nonces of the other side's rekeying of the same Child SA
        self.ni = b""
        self._nr = b""
        self._agreed: child.Agreed | None = None
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
        policy = sa.config.child_proposals
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
        secrets = settle_keys(self._pair, reply)
        agreed = self._settle(sa, reply, secrets)
        if isinstance(agreed, child.Refusal) or secrets is None:
            sa.count(f"Child SA refused: {agreed.notify_type if isinstance(agreed, child.Refusal) else 'bad KE'}")
            self.give_up(sa, now)
            return None
        self._agreed, self._nr = agreed, _nonce(reply)
        methods = additional_key_exchanges(agreed.chosen)
        if not methods:
            return self.complete(sa, secrets, now)
        if self._is_redundant or not go_on(sa, self, methods, secrets, reply):
            self._abandon(sa, now)
        return None

    @property
    def _is_redundant(self) -> bool:
        """Whether the other side's rekeying of the same Child SA wins (RFC 7296 section 2.8.1)."""
        return self.rival is not None and min(self.ni, self._nr) < min(self.rival)

    def _abandon(self, sa: IkeSa, now: Instant) -> None:
        """Go no further: nothing was made yet."""
        sa.count("Child SAs that went no further")
        if self.replaced is not None:
            self.replaced.machine.take(REKEY_FAILED, sa, self, now)

    def complete(self, sa: IkeSa, secrets: tuple[Exchanged, ...], now: Instant) -> Input | None:
        """Make the Child SA, and close what it makes redundant."""
        assert self._agreed is not None
        made = _install(sa, self._agreed, secrets, (self.ni, self._nr), now)
        if self.replaced is not None:
            self._succeed(sa, self.replaced, made, now)
        return None

    def _again(self, sa: IkeSa, method: KeyExchangeMethod | None, now: Instant) -> bool:
        """Try with the method that the other side wants, when it is one that we offered (RFC 7296 section 1.3)."""
        offered = {
            item.transform_id
            for each in sa.config.child_proposals
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

    def _settle(
        self, sa: IkeSa, reply: Received, secrets: tuple[Exchanged, ...] | None
    ) -> child.Agreed | child.Refusal:
        assert self._made is not None
        if secrets is None:
            return child.Refusal(NotifyType.INVALID_SYNTAX)
        return child.settle(sa, self._made, reply, exchanged=bool(secrets))

    def _succeed(self, sa: IkeSa, old: ChildSa, made: ChildSa, now: Instant) -> None:
        """Close what is redundant: the old Child SA, or of two successors the one with the lowest nonce."""
        rekeyed(sa, old, now)
        old.machine.take(REKEYED, sa, None, now)
        if self._is_redundant:
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


def _install(
    sa: IkeSa, agreed: child.Agreed, secrets: tuple[Exchanged, ...], nonces: tuple[bytes, bytes], now: Instant
) -> ChildSa:
    """Make a Child SA and put it to use."""
    made = child.make(sa, agreed, [each.secret for each in secrets], *nonces)
    report_secrets(sa, secrets, now, child_spis=(made.spi_i, made.spi_r))
    child.install(sa, made, now)
    return made


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
    return REKEYED if make(sa, received, now, replaced=old) else None


def answer_rival(sa: IkeSa, asked: tuple[ChildSa, Received], now: Instant) -> Input | None:
    """Answer as usual although our own request is on its way; the nonces decide later (section 2.8.1)."""
    old, received = asked
    make(sa, received, now, replaced=old)
    return None


def refuse_for_now(sa: IkeSa, asked: tuple[ChildSa, Received], now: Instant) -> Input | None:
    """Answer N(TEMPORARY_FAILURE): we are closing that Child SA (section 2.25.1)."""
    sa.answer(asked[1], [note(NotifyType.TEMPORARY_FAILURE)], now)
    return None


def make(sa: IkeSa, received: Received, now: Instant, *, replaced: ChildSa | None = None) -> bool:
    """Make a Child SA for a request and answer it; False when it was refused, or needs more key exchanges."""
    found = _negotiate(sa, received)
    if isinstance(found, child.Refusal):
        sa.answer(received, [found.notify()], now)
        return False
    agreed, secrets, bodies, nonces = found
    for task in tasks_of(sa):
        if replaced is not None and isinstance(task, NewChild) and task.replaced is replaced:
            task.rival = nonces
    methods = additional_key_exchanges(agreed.chosen)
    if methods:

        def complete(sa: IkeSa, secrets: tuple[Exchanged, ...], now: Instant) -> Input | None:
            _install(sa, agreed, secrets, nonces, now)
            if replaced is not None and replaced.machine.state == ChildState.INSTALLED:
                rekeyed(sa, replaced, now)
                replaced.machine.take(REKEYED, sa, None, now)
            return None

        sa.answer(received, [*bodies, keep_for_more(sa, methods, secrets, complete, now)], now)
        return False
    sa.answer(received, bodies, now)
    _install(sa, agreed, secrets, nonces, now)
    if replaced is not None and replaced.machine.state == ChildState.INSTALLED:
        rekeyed(sa, replaced, now)
    return True


def _negotiate(
    sa: IkeSa, received: Received
) -> tuple[child.Agreed, tuple[Exchanged, ...], list[Body], tuple[bytes, bytes]] | child.Refusal:
    chosen = child.pick(sa, received, in_auth=False)
    if isinstance(chosen, child.Refusal):
        return chosen
    exchange = exchange_keys(sa, received, chosen)
    if isinstance(exchange, child.Refusal):
        return exchange
    secrets, bodies = exchange
    nr = sa.owner.entropy.octets(sa.config.nonce_size, "Nr")
    found = child.respond(sa, received, chosen)
    if isinstance(found, child.Refusal):
        return found
    return found[0], secrets, [*found[1], Nonce(data=nr), *bodies], (_nonce(received), nr)
