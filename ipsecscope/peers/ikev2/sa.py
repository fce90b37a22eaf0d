"""One IKE SA as one of its ends keeps it: SPIs, keys, message ids, the request on its way, its Child SAs.

It knows how to send, to repeat and to match messages (RFC 7296 sections 2.1 to 2.4). What a message means is the
business of the exchange modules; what happens when is the table in ``transitions.py``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from ipsecscope.decrypt.keymat import IkeKeys, IkeSuite
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body, Opaque
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev2 import EncryptedFragment, Notify, Proposal
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.natt import NON_ESP_MARKER
from ipsecscope.dissect.registry.ikev2 import (
    ExchangeType,
    HashAlgorithm,
    NotifyType,
)
from ipsecscope.peers import events
from ipsecscope.peers.association import Association, AssociationOwner
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import Role
from ipsecscope.peers.ikev2.messages import NO_SPI, Received, arrange, header_of, notation
from ipsecscope.peers.ikev2.protection import Protection, Sealed
from ipsecscope.peers.ikev2.states import ChildSa, ChildState, Handshake, Outstanding, State, Task, Unfinished
from ipsecscope.peers.ikev2.window import MESSAGE_IDS, Answer, ReceiveWindow, SendWindow
from ipsecscope.peers.peer import Input, Local, Machine, Path

_ASKS_AGAIN = (NotifyType.COOKIE, NotifyType.REDIRECT)  # answers to IKE_SA_INIT that want another request
MAX_TASKS = 64  # exchanges that wait for their turn
RETRANSMIT = "retransmit "  # begins the name of the timer of a request, its message id follows


class Owner(AssociationOwner, Protocol):
    """What an IKE SA asks of the peer it belongs to."""

    config: PeerConfig

    def new_sa(self, role: Role, spi_i: bytes, spi_r: bytes, path: Path) -> IkeSa:
        """Make an IKE SA beside this one."""
        ...

    def child_machine(self) -> Machine[ChildState]:
        """The state machine of a new Child SA."""
        ...

    def register(self, sa: IkeSa) -> None:
        """Find the SA by its SPI from now on."""
        ...

    def forget(self, sa: IkeSa) -> None:
        """Do not find it any more."""
        ...

    def redirect(self, sa: IkeSa, gateway: str, now: Instant) -> None:
        """Begin with another gateway, which that of the SA sends us to (RFC 5685)."""
        ...

    def supersede(self, sa: IkeSa, now: Instant) -> None:
        """Close all other IKE SAs with the same identity: INITIAL_CONTACT (RFC 7296 section 2.4)."""
        ...


class IkeSa(Association[Owner, PeerConfig, State]):
    """An IKE SA and everything that goes on inside it."""

    def __init__(
        self, owner: Owner, machine: Machine[State], role: Role, spi_i: bytes, spi_r: bytes, path: Path
    ) -> None:
        super().__init__(owner, machine, role, path)
        self.spi_i = spi_i
        self.spi_r = spi_r
        self.handshake = Handshake()
        self.chosen: Proposal | None = None
        self.protection: Protection | None = None
        self.sk_d: Secret = Secret(b"")
        self.sent = SendWindow()
        self.came = ReceiveWindow()
        self.tasks: deque[Task] = deque()
        self.unfinished: dict[bytes, Unfinished] = {}  # by the link that the other side names
        self.children: list[ChildSa] = []
        self.supported: set[NotifyType] = set()  # what the other side announced
        self.hashes: tuple[HashAlgorithm, ...] = ()
        self.sent_chunk = b""  # IntAuth part of the message sent last
        self.answered_task: Task | None = None  # whose response is being taken
        self._is_silent = False

    # -- facts --------------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> Outstanding | None:
        """The request that waits longest for its response."""
        return self.sent.oldest

    @property
    def local_spi(self) -> bytes:
        """The SPI that we chose."""
        return self.spi_i if self.is_initiator else self.spi_r

    @property
    def group_id(self) -> str:
        """How events call this SA."""
        return f"{self.spi_i.hex()}_{self.spi_r.hex()}"

    @property
    def suite(self) -> IkeSuite:
        """The algorithms. Only to be asked for behind IKE_SA_INIT."""
        assert self.protection is not None
        return self.protection.suite

    @property
    def keys(self) -> IkeKeys:
        """The keys of the moment. Only to be asked for behind IKE_SA_INIT."""
        assert self.protection is not None
        return self.protection.keys

    def take(self, given: Input, received: Received | None, now: Instant) -> None:
        """Give the state machine an input, then begin whatever waits."""
        self.machine.take(given, self, received, now)
        self.begin_next(now)

    # -- sending ------------------------------------------------------------------------------------------------

    def request(
        self, exchange_type: ExchangeType, bodies: Iterable[Body], now: Instant, task: Task | None = None
    ) -> bytes:
        """Send a request and wait for its response; returns the octets of an unprotected one."""
        number = self.sent.next_id + (self.config.faults.shift_message_id if task is not None else 0)
        header = self._header(exchange_type, number, is_response=False)
        sealed, story = self._seal(header, bodies, self.machine.story if task is None else task.title)
        patience = self.config.patience
        self.sent.add(Outstanding(header, sealed.datagrams, story, patience.retransmit_after, task))
        self._announce(events.MessageSent, header, now)
        self._post(sealed.datagrams, story, self.path, header)
        self.set_timer(f"{RETRANSMIT}{header.message_id}", now + patience.retransmit_after)
        return sealed.datagrams[0]

    def answer(self, received: Received, bodies: Sequence[Body], now: Instant) -> bytes:
        """Send the response to a request and keep it for a repetition; returns the octets of an unprotected one."""
        header = self._header(received.exchange_type, received.header.message_id, is_response=True)
        sealed, story = self._seal(header, bodies, self.machine.story)
        self.came.keep(header.message_id, Answer(sealed.datagrams, story))
        self._announce(events.MessageSent, header, now)
        self._post(sealed.datagrams, story, received.path, header)
        notifies = [body for body in bodies if isinstance(body, Notify)]
        self._conclude(header, refusal_of(received.exchange_type, notifies), now, initiated_by=self.other)
        return sealed.datagrams[0]

    def repeat_answer(self, number: int, path: Path, now: Instant) -> bool:
        """Send a response again (RFC 7296 section 2.1); whether there was one."""
        answer = self.came.answer_to(number)
        if answer is None:
            return False
        if not self._is_silent:
            exchange = answer.story.partition(" ")[0]
            self.say(events.MessageRetransmitted, now, exchange=exchange, message_id=number, sender=self.role)
        self._post(answer.datagrams, f"repeated, for its request came again: {answer.story}", path, None)
        return True

    def retransmit(self, number: int, now: Instant) -> bool:
        """Send a request that waits for its response again; False when patience is at its end."""
        waiting = self.sent.get(number)
        if waiting is None:
            return True
        patience = self.config.patience
        if waiting.tries >= patience.retransmissions:
            return False
        waiting.tries += 1
        waiting.interval = round(waiting.interval * patience.factor)
        self._announce(events.MessageRetransmitted, waiting.header, now)
        self._post(waiting.datagrams, f"retransmission {waiting.tries} of {waiting.story}", self.path, waiting.header)
        self.set_timer(f"{RETRANSMIT}{number}", now + waiting.interval)
        return True

    def _header(self, exchange_type: ExchangeType, message_id: int, *, is_response: bool) -> Header:
        return header_of(
            exchange_type,
            message_id % MESSAGE_IDS,
            spi_i=self.spi_i,
            spi_r=self.spi_r,
            original_initiator=self.is_initiator,
            is_response=is_response,
        )

    def _seal(self, header: Header, bodies: Iterable[Body], why: str) -> tuple[Sealed, str]:
        payloads = self._cut(header, arrange(header, bodies))
        protected = header.exchange_type != ExchangeType.IKE_SA_INIT
        story = notation(header, payloads, protected=protected)
        if why:
            story += f". {self.role.capitalize()}: {why}"
        if not protected:
            data = Message(header=header, payloads=payloads).build()
            return Sealed((data,), b""), story
        assert self.protection is not None
        allowed = self.config.fragmentation and NotifyType.IKEV2_FRAGMENTATION_SUPPORTED in self.supported
        size = self.config.fragment_size if allowed else 0
        sealed = self.protection.seal(header, payloads, fragment_size=size)
        self.sent_chunk = sealed.chunk
        return self._spoilt(sealed, header), story

    def _cut(self, header: Header, payloads: tuple[Payload, ...]) -> tuple[Payload, ...]:
        """The payloads of a request, the last one cut where the configured fault wants that."""
        name = str(ExchangeType(header.exchange_type))
        if self.config.faults.malformed != name or header.is_response or not payloads:
            return payloads
        last = payloads[-1]
        octets = last.body.build()
        return (*payloads[:-1], Payload(body=Opaque(data=octets[: len(octets) * 2 // 3]), type=last.kind))

    def _spoilt(self, sealed: Sealed, header: Header) -> Sealed:
        """The message as the configured fault wants it."""
        if self.config.faults.damage_icv_of != str(ExchangeType(header.exchange_type)):
            return sealed
        damaged = tuple(data[:-1] + bytes((data[-1] ^ 1,)) for data in sealed.datagrams)
        return msgspec.structs.replace(sealed, datagrams=damaged)

    def _post(self, datagrams: tuple[bytes, ...], story: str, path: Path, header: Header | None) -> None:
        if self._is_silent:
            self.count("kept silent")
            return
        marker = NON_ESP_MARKER if path.local.port == self.config.nat_port else b""
        for number, data in enumerate(datagrams, 1):
            part = f"SKF fragment {number} of {len(datagrams)}: " if len(datagrams) > 1 else ""
            self.owner.mailbox.post(marker + data, path, part + story)
        if header is not None and self.config.faults.silent_after == str(ExchangeType(header.exchange_type)):
            self._is_silent = True

    def _announce(self, kind: type[events.MessageEvent], header: Header, now: Instant) -> None:
        if self._is_silent:
            return
        name = str(ExchangeType(header.exchange_type))
        self.say(kind, now, exchange=name, message_id=header.message_id, sender=self.role)

    # -- receiving ----------------------------------------------------------------------------------------------

    def is_first_part(self, message: Message) -> bool:
        """Whether a datagram is whole or a first fragment: only such a one has its response repeated (RFC 7383 2.6.1)."""
        body = message.payloads[-1].body if message.payloads else None
        return not isinstance(body, EncryptedFragment) or body.fragment_number == 1

    def response_arrived(self, received: Received, now: Instant) -> Outstanding:
        """Close the request that was answered."""
        waiting = self.sent.take(received.header.message_id)
        self.clear_timer(f"{RETRANSMIT}{waiting.header.message_id}")
        refusal = refusal_of(received.exchange_type, received.all(Notify))
        self._conclude(received.header, refusal, now, initiated_by=self.role)
        return waiting

    def _conclude(self, header: Header, refusal: str, now: Instant, *, initiated_by: Role) -> None:
        """Say how an exchange ended."""
        name, number = str(ExchangeType(header.exchange_type)), header.message_id
        if not refusal:
            self.say(events.ExchangeCompleted, now, exchange=name, message_id=number, initiated_by=initiated_by)
            return
        self.say(
            events.Refused,
            now,
            exchange=name,
            message_id=number,
            initiated_by=initiated_by,
            notify=refusal,
            why=self.machine.story,
        )

    # -- exchanges ----------------------------------------------------------------------------------------------

    def begin(self, task: Task, now: Instant) -> None:
        """Queue an exchange and begin it as soon as the window allows that."""
        if len(self.tasks) >= MAX_TASKS:
            self.count("exchanges dropped")
            return
        self.tasks.append(task)
        self.begin_next(now)

    def begin_next(self, now: Instant) -> None:
        """Begin the next exchange that still has something to ask for."""
        ready = (State.ESTABLISHED, State.REKEYED, State.DELETING)
        while self.tasks and self.state in ready and self._may_begin(self.tasks[0]):
            task = self.tasks.popleft()
            bodies = task.begin(self, now)
            if bodies is not None:
                self.request(task.exchange_type, bodies, now, task)

    def _may_begin(self, task: Task) -> bool:
        """Whether the other side can keep one more request, and nothing that is on its way forbids it."""
        others = self.sent.tasks
        alone = task.is_exclusive or any(each.is_exclusive for each in others)
        return self.sent.oldest is None or (self.sent.has_room and not alone)

    # -- the end ------------------------------------------------------------------------------------------------

    def close(self, now: Instant, reason: str) -> None:
        """Forget everything."""
        waiting = self.sent.tasks
        self.sent.clear()
        for task in waiting:
            task.give_up(self, now)
        self.tasks.clear()
        self.unfinished.clear()
        self.timers.clear()
        for child in self.children:
            self.say(events.ChildSaDeleted, now, protocol=child.protocol, spi_i=child.spi_i, spi_r=child.spi_r)
        self.children.clear()
        self.owner.forget(self)
        self.say(events.IkeSaClosed, now, reason=reason)


def refusal_of(exchange_type: ExchangeType, notifies: Iterable[Notify]) -> str:
    """The notification by which a response refuses its request or asks for another one; empty when none does."""
    for notify in notifies:
        elsewhere = notify.notify_type in _ASKS_AGAIN and exchange_type == ExchangeType.IKE_SA_INIT
        if notify.is_error or elsewhere:
            return str(notify.notify_type)
    return ""


Action = Callable[[IkeSa, Received | None, Instant], Input | None]
GAVE_UP = Local("no answer")

__all__ = [
    "GAVE_UP",
    "NO_SPI",
    "Action",
    "ChildSa",
    "ChildState",
    "Handshake",
    "IkeSa",
    "Outstanding",
    "Owner",
    "State",
    "Task",
    "refusal_of",
]
