"""Key exchanges of CREATE_CHILD_SA: the KE payload, and the additional ones in IKE_FOLLOWUP_KE (RFC 9370 section 2.2.4).

The side that was asked keeps what was agreed until the last exchange, within bounds and for a while; the link in
N(ADDITIONAL_KEY_EXCHANGE) finds it again. The SA is made when all secrets are there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

from ipsecscope.decrypt.groups import KeyPair, PublicValueError, generate, group, respond, shared_secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Notify, Proposal
from ipsecscope.dissect.ikev2.notify import InvalidKePayload
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ipsecscope.peers import events
from ipsecscope.peers.config import Offer
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.child import Refusal
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.negotiation import is_computable, key_exchange_of
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.ikev2.states import Exchanged, Task, Unfinished
from ipsecscope.peers.peer import Input

LINK_SIZE = 8
MAX_UNFINISHED = 4  # SAs of one IKE SA that wait for more key exchanges of the other side
UNFINISHED = "unfinished "  # begins the name of the timer that forgets one


def group_of(policy: Sequence[Offer]) -> KeyExchangeMethod | None:
    """The first key exchange method of a policy: PFS; None without one."""
    for each in policy:
        for item in each.transforms:
            if item.transform_type == TransformType.KE and item.transform_id:
                return KeyExchangeMethod(item.transform_id)
    return None


def key_pair(sa: IkeSa, method: KeyExchangeMethod) -> KeyPair:
    """A fresh key pair."""
    return generate(method, sa.owner.entropy.octets(group(method).entropy_size, "KEi"))


def wanted_method(received: Received) -> KeyExchangeMethod | None:
    """The method that an INVALID_KE_PAYLOAD asks for."""
    found = received.notify(NotifyType.INVALID_KE_PAYLOAD)
    content = None if found is None else found.content()
    return content.method if isinstance(content, InvalidKePayload) else None


def exchange_keys(
    sa: IkeSa, received: Received, chosen: Proposal
) -> tuple[tuple[Exchanged, ...], list[Body]] | Refusal:
    """The shared secret of a CREATE_CHILD_SA and our KE payload; none without PFS."""
    method, exchanged = key_exchange_of(chosen), received.first(KeyExchange)
    if method is None:
        return (), []
    if not is_computable(method):
        return Refusal(NotifyType.NO_PROPOSAL_CHOSEN)
    if exchanged is None or exchanged.method != method:
        return Refusal(NotifyType.INVALID_KE_PAYLOAD, InvalidKePayload(method=method).build())
    answered = _respond(sa, exchanged)
    return Refusal(NotifyType.INVALID_SYNTAX) if answered is None else ((answered[0],), [answered[1]])


def _respond(sa: IkeSa, exchanged: KeyExchange) -> tuple[Exchanged, KeyExchange] | None:
    try:
        entropy = sa.owner.entropy.octets(group(exchanged.method).entropy_size, "KEr")
        public, secret = respond(exchanged.method, exchanged.data, entropy)
    except (PublicValueError, ValueError):
        return None
    return Exchanged(exchanged.method, secret), KeyExchange(method=exchanged.method, data=public)


def settle_keys(pair: KeyPair | None, reply: Received) -> tuple[Exchanged, ...] | None:
    """The shared secret of a response; nothing without PFS, None for a value that is none."""
    exchanged = reply.first(KeyExchange)
    if pair is None or exchanged is None:
        return ()
    if exchanged.method != pair.method:
        return None
    try:
        return (Exchanged(pair.method, shared_secret(pair, exchanged.data)),)
    except PublicValueError:
        return None


def report_secrets(
    sa: IkeSa, secrets: Sequence[Exchanged], now: Instant, *, child_spis: tuple[bytes, ...] = ()
) -> None:
    """Tell the owner of the shared secrets that an SA was made with."""
    for order, each in enumerate(secrets):
        facts = {"method": each.method, "secret": each.secret, "order": order, "child_spis": child_spis}
        sa.say(events.SecretShared, now, spi_i=sa.spi_i, spi_r=sa.spi_r, **facts)


# -- the side that asks ------------------------------------------------------------------------------------------


class Continuation(Task, Protocol):
    """A CREATE_CHILD_SA of ours that can go on when all secrets are there."""

    def complete(self, sa: IkeSa, secrets: tuple[Exchanged, ...], now: Instant) -> Input | None:
        """Make the SA."""
        ...


class FollowUp:
    """HDR, SK {KEi(n), N(ADDITIONAL_KEY_EXCHANGE)}."""

    exchange_type: ClassVar = ExchangeType.IKE_FOLLOWUP_KE
    is_exclusive: ClassVar = False
    title = "exchanges keys once more, with another method, for the SA that is being made"

    def __init__(
        self, parent: Continuation, methods: Sequence[KeyExchangeMethod], secrets: tuple[Exchanged, ...], link: bytes
    ) -> None:
        self.parent = parent
        self._methods = deque(methods)
        self._secrets = secrets
        self._link = link
        self._pair: KeyPair | None = None

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The payloads."""
        del now
        self._pair = key_pair(sa, self._methods[0])
        link = note(NotifyType.ADDITIONAL_KEY_EXCHANGE, self._link)
        return (KeyExchange(method=self._pair.method, data=self._pair.public), link)

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """Go on to the next method, or make the SA."""
        found = settle_keys(self._pair, reply)
        link = reply.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
        self._methods.popleft()
        if reply.error is not None or not found or (self._methods and link is None):
            sa.count("additional key exchanges that failed")
            self.give_up(sa, now)
            return None
        self._secrets += found
        if not self._methods:
            return self.parent.complete(sa, self._secrets, now)
        assert link is not None
        self._link = link.data
        sa.tasks.appendleft(self)
        return None

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """There will be no SA."""
        self.parent.give_up(sa, now)


def go_on(
    sa: IkeSa,
    parent: Continuation,
    methods: Sequence[KeyExchangeMethod],
    secrets: tuple[Exchanged, ...],
    reply: Received,
) -> bool:
    """Begin the first additional key exchange, before anything else; False when the response lacks the link."""
    link = reply.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE)
    if link is None or not secrets or not all(map(is_computable, methods)):
        return False
    sa.tasks.appendleft(FollowUp(parent, methods, secrets, link.data))
    return True


def tasks_of(sa: IkeSa) -> tuple[Task, ...]:
    """Our exchanges that are on their way; of an additional key exchange the one that it belongs to."""
    return tuple(task.parent if isinstance(task, FollowUp) else task for task in sa.sent.tasks)


# -- the side that answers ---------------------------------------------------------------------------------------

Complete = Callable[[IkeSa, tuple[Exchanged, ...], Instant], Input | None]


def keep_for_more(
    sa: IkeSa, methods: Sequence[KeyExchangeMethod], secrets: tuple[Exchanged, ...], complete: Complete, now: Instant
) -> Notify:
    """Keep what was agreed until more keys are exchanged; the notification that names it."""
    while len(sa.unfinished) >= MAX_UNFINISHED:
        forget(sa, next(iter(sa.unfinished)))
    link = sa.owner.entropy.octets(LINK_SIZE, "link")
    sa.unfinished[link] = Unfinished(deque(methods), secrets, complete)
    sa.set_timer(UNFINISHED + link.hex(), now + sa.config.patience.half_open)
    return note(NotifyType.ADDITIONAL_KEY_EXCHANGE, link)


def forget(sa: IkeSa, link: bytes) -> Unfinished | None:
    """Forget what was agreed."""
    sa.clear_timer(UNFINISHED + link.hex())
    return sa.unfinished.pop(link, None)


def answer(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer HDR, SK {KEr(n), [N(ADDITIONAL_KEY_EXCHANGE)]}; the last one makes the SA."""
    assert received is not None
    link, exchanged = received.notify(NotifyType.ADDITIONAL_KEY_EXCHANGE), received.first(KeyExchange)
    waiting = None if link is None else forget(sa, link.data)
    if waiting is None:
        sa.answer(received, [note(NotifyType.STATE_NOT_FOUND)], now)
        return None
    fits = exchanged is not None and exchanged.method == waiting.methods[0]
    answered = _respond(sa, exchanged) if fits and exchanged is not None else None
    if answered is None:
        sa.answer(received, [note(NotifyType.INVALID_SYNTAX)], now)
        return None
    methods, secrets = tuple(waiting.methods)[1:], (*waiting.secrets, answered[0])
    if methods:
        sa.answer(received, [answered[1], keep_for_more(sa, methods, secrets, waiting.complete, now)], now)
        return None
    sa.answer(received, [answered[1]], now)
    following: Input | None = waiting.complete(sa, secrets, now)
    return following


__all__ = [
    "UNFINISHED",
    "Continuation",
    "FollowUp",
    "answer",
    "exchange_keys",
    "forget",
    "go_on",
    "group_of",
    "keep_for_more",
    "key_pair",
    "report_secrets",
    "settle_keys",
    "tasks_of",
    "wanted_method",
]
