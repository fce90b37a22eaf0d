"""One ISAKMP SA as one of its ends keeps it: cookies, keys, conversations, phase 2 SAs.

It knows how to send, to repeat and to recognise messages. What a message means is the business of the exchange
modules; what happens when is the tables in ``transitions.py``.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.natt import NON_ESP_MARKER
from ipsecscope.dissect.registry.isakmp import ExchangeType
from ipsecscope.peers import events
from ipsecscope.peers.association import Association, AssociationOwner
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import Role
from ipsecscope.peers.ikev1.config import Ikev1Config, NatTraversal, PhaseOneOffer
from ipsecscope.peers.ikev1.fragments import Joiner, cut
from ipsecscope.peers.ikev1.messages import PHASE_1, Received, header_of, notation, payloads_of
from ipsecscope.peers.ikev1.protection import Protection
from ipsecscope.peers.ikev1.states import ChildSa, Handshake, PhaseOne, Purpose, Talk
from ipsecscope.peers.ikev1.vendors import Extension
from ipsecscope.peers.peer import Input, Machine, Path

MAX_TALKS = 64  # exchanges of phase 2 that are under way at one time
MAX_SEEN = 128  # messages that are recognised when they come again
MAX_REPEATS = 16  # how often one answer is sent again because its request came again
FRAGMENT_IDS = 0x10000


class Owner(AssociationOwner, Protocol):
    """What an ISAKMP SA asks of the peer it belongs to."""

    config: Ikev1Config

    def register(self, sa: IsakmpSa) -> None:
        """Find the SA by its cookies from now on."""
        ...

    def forget(self, sa: IsakmpSa) -> None:
        """Do not find it any more."""
        ...

    def proven(self, sa: IsakmpSa) -> None:
        """The SA is half-open no longer."""
        ...

    def assign_address(self, sa: IsakmpSa) -> str:
        """An address of the pool; empty when there is none left."""
        ...

    def rivals_of(self, sa: IsakmpSa) -> list[IsakmpSa]:
        """Other SAs with the same remote identity."""
        ...

    def transact(self, sa: IsakmpSa, purpose: Purpose, now: Instant, *, succeeded: bool = False) -> None:
        """Begin a transaction."""
        ...

    def ready(self, sa: IsakmpSa, now: Instant) -> None:
        """The SA can carry phase 2."""
        ...


class IsakmpSa(Association[Owner, Ikev1Config, PhaseOne]):
    """An ISAKMP SA and everything that goes on under it."""

    def __init__(
        self, owner: Owner, machine: Machine[PhaseOne], role: Role, cookie_i: bytes, cookie_r: bytes, path: Path
    ) -> None:
        super().__init__(owner, machine, role, path)
        self.cookie_i = cookie_i
        self.cookie_r = cookie_r
        self.handshake = Handshake()
        self.chosen: PhaseOneOffer | None = None
        self.protection: Protection | None = None
        self.phase_1 = Talk(PHASE_1, ExchangeType.IDENTITY_PROTECTION, by_us=role == "initiator", machine=machine)
        self.talks: dict[int, Talk] = {}
        self.children: list[ChildSa] = []
        self.extensions: frozenset[Extension] = frozenset()  # what the other side announced
        self.nat_traversal: NatTraversal | None = None  # the version that both sides have
        self.user = ""
        self.predecessor: IsakmpSa | None = None
        self.is_replaced = False
        self.dpd_sequence = 0
        self.dpd_tries = 0
        self.joiner = Joiner()
        self._fragment_id = 0
        self._seen: OrderedDict[bytes, Talk] = OrderedDict()
        self._sent_count = 0

    # -- facts --------------------------------------------------------------------------------------------------

    @property
    def is_client(self) -> bool:
        """Whether we are the end that XAUTH and mode configuration serve."""
        return not self.config.is_gateway

    @property
    def cookies(self) -> tuple[bytes, bytes]:
        """Both cookies."""
        return self.cookie_i, self.cookie_r

    @property
    def group_id(self) -> str:
        """How events call this SA."""
        return f"{self.cookie_i.hex()}_{self.cookie_r.hex()}"

    @property
    def is_authenticated(self) -> bool:
        """Whether phase 1 is done."""
        return self.state in (PhaseOne.XAUTH, PhaseOne.CONFIGURING, PhaseOne.ESTABLISHED)

    def take(self, given: Input, received: Received | None, now: Instant) -> None:
        """Give phase 1's state machine an input."""
        self.machine.take(given, self, self.phase_1, received, now)

    def role_of(self, talk: Talk) -> Role:
        """Who began an exchange, as a role in the ISAKMP SA."""
        return self.role if talk.by_us else self.other

    # -- exchanges ----------------------------------------------------------------------------------------------

    def begin(self, exchange_type: ExchangeType, machine: Machine[Any] | None, matter: Any = None) -> Talk:
        """Begin an exchange of phase 2 with a message id of our own."""
        return self._open(self._new_message_id(), exchange_type, machine, matter, by_us=True)

    def join(
        self, message_id: int, exchange_type: ExchangeType, machine: Machine[Any] | None, matter: Any = None
    ) -> Talk:
        """Take part in an exchange that the other side begins."""
        return self._open(message_id, exchange_type, machine, matter, by_us=False)

    def _open(
        self, message_id: int, exchange_type: ExchangeType, machine: Machine[Any] | None, matter: Any, *, by_us: bool
    ) -> Talk:
        while len(self.talks) >= MAX_TALKS:
            oldest = self.talks.pop(next(iter(self.talks)))
            self.clear_timer(oldest.timer)
        talk = self.talks[message_id] = Talk(message_id, exchange_type, by_us, machine, matter)
        return talk

    def _new_message_id(self) -> int:
        while True:
            number = int.from_bytes(self.owner.entropy.octets(4, "message id"), "big")
            if number != PHASE_1 and number not in self.talks:
                return number

    # -- sending ------------------------------------------------------------------------------------------------

    def send(
        self,
        talk: Talk,
        bodies: Iterable[Body | Payload],
        now: Instant,
        *,
        encrypted: bool = True,
        expects_answer: bool,
        commit: bool = False,
        story: str = "",
    ) -> None:
        """Send the next message of an exchange, and repeat it until an answer comes if one is expected."""
        payloads = payloads_of(bodies)
        header = header_of(talk.exchange_type, talk.message_id, self.cookies, encrypted=encrypted, commit=commit)
        if encrypted:
            assert self.protection is not None
            data = self.protection.seal(header, payloads)
        else:
            data = Message(header=header, payloads=payloads).build()
        why = story or (talk.machine.story if talk.machine is not None else "")
        talk.story = notation(header, payloads) + (f". {self.role.capitalize()}: {why}" if why else "")
        talk.header, talk.sent, talk.answers = header, self._cut(data, header), talk.received
        talk.repeats = talk.tries = 0
        self._post(talk.sent, talk.story)
        self._announce(events.MessageSent, talk, now)
        talk.interval = self.config.patience.retransmit_after
        if expects_answer and talk.interval:
            self.set_timer(talk.timer, now + talk.interval)
        else:
            self.clear_timer(talk.timer)

    def _cut(self, data: bytes, header: Header) -> tuple[bytes, ...]:
        if not self.config.fragmentation or Extension.FRAGMENTATION not in self.extensions:
            return (data,)
        self._fragment_id = self._fragment_id % (FRAGMENT_IDS - 1) + 1
        return cut(data, header, self._fragment_id, self.config.fragment_size)

    def _post(self, datagrams: tuple[bytes, ...], story: str) -> None:
        self._sent_count += 1
        if self._is_silent:
            self.count("kept silent")
            return
        marker = NON_ESP_MARKER if self.path.local.port == self.config.nat_port else b""
        for number, data in enumerate(datagrams, 1):
            part = f"fragment {number} of {len(datagrams)}: " if len(datagrams) > 1 else ""
            self.owner.mailbox.post(marker + data, self.path, part + story)

    @property
    def _is_silent(self) -> bool:
        """Whether the fault of falling silent held the latest message back."""
        silent_after = self.config.faults.silent_after
        return bool(silent_after) and self._sent_count > silent_after

    def _announce(self, kind: type[events.MessageEvent], talk: Talk, now: Instant) -> None:
        if self._is_silent:
            return
        name = str(talk.exchange_type)
        self.say(kind, now, exchange=name, message_id=talk.message_id, sender=self.role)

    def retransmit(self, talk: Talk, now: Instant) -> bool:
        """Send the last message of an exchange again; False when patience is at its end."""
        patience = self.config.patience
        if talk.tries >= patience.retransmissions:
            return False
        talk.tries += 1
        talk.interval = round(talk.interval * patience.factor)
        self._post(talk.sent, f"retransmission {talk.tries} of {talk.story}")
        self._announce(events.MessageRetransmitted, talk, now)
        self.set_timer(talk.timer, now + talk.interval)
        return True

    # -- receiving ----------------------------------------------------------------------------------------------

    def seen_before(self, data: bytes) -> Talk | None:
        """The exchange to which this very message belonged when it came first; None for a new one."""
        return self._seen.get(digest(data))

    def remember(self, data: bytes, talk: Talk) -> None:
        """Recognise this message when it comes again; what is sent next answers it."""
        key = digest(data)
        self._seen[key] = talk
        talk.received = key
        self.clear_timer(talk.timer)
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)

    def repeat_answer(self, talk: Talk, data: bytes, now: Instant) -> None:
        """Send an answer again because its request came again (RFC 2408 section 5.1).

        Not while we repeat it anyway, or two sides that both repeat would never fall silent.
        """
        is_answer = bool(talk.sent) and talk.answers == digest(data)
        if not is_answer or talk.timer in self.timers or talk.repeats >= MAX_REPEATS:
            return
        talk.repeats += 1
        self._post(talk.sent, f"repeated, for its request came again: {talk.story}")
        self._announce(events.MessageRetransmitted, talk, now)

    # -- outcomes -----------------------------------------------------------------------------------------------

    def completed(self, talk: Talk, now: Instant) -> None:
        """Say that an exchange came to its end."""
        self.clear_timer(talk.timer)
        self.say(
            events.ExchangeCompleted,
            now,
            exchange=str(talk.exchange_type),
            message_id=talk.message_id,
            initiated_by=self.role_of(talk),
        )

    def refused(self, talk: Talk, notify: str, now: Instant, why: str = "") -> None:
        """Say that an exchange was refused."""
        self.clear_timer(talk.timer)
        self.say(
            events.Refused,
            now,
            exchange=str(talk.exchange_type),
            message_id=talk.message_id,
            initiated_by=self.role_of(talk),
            notify=notify,
            why=why,
        )

    def unanswered(self, talk: Talk, now: Instant) -> None:
        """Say that nobody answered."""
        self.say(
            events.ExchangeUnanswered,
            now,
            exchange=str(talk.exchange_type),
            message_id=talk.message_id,
            initiated_by=self.role_of(talk),
        )

    def drop_child(self, child: ChildSa, now: Instant) -> None:
        """Forget a pair of SAs."""
        if child in self.children:
            self.children.remove(child)
            self.clear_timer(f"lifetime {child.spi_in.hex()}")
            kind = {"protocol": child.security_protocol, "spi_i": child.spi_i, "spi_r": child.spi_r}
            self.say(events.ChildSaDeleted, now, **kind)

    def close(self, now: Instant, reason: str) -> None:
        """Forget everything."""
        for child in tuple(self.children):
            self.drop_child(child, now)
        self.timers.clear()
        self.talks.clear()
        self.owner.forget(self)
        self.say(events.IkeSaClosed, now, reason=reason)


def digest(data: bytes) -> bytes:
    """What a message is recognised by."""
    return hashlib.blake2b(data, digest_size=16).digest()


Action = Callable[[IsakmpSa, Talk, Received | None, Instant], Input | None]
