"""An IKEv1 peer behind the five verbs: initiator and responder at once.

It finds the SA that a datagram belongs to, opens it, and gives the state machines their inputs. It never raises on
what arrives; what it drops, it counts.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.decrypt.opening import Refused
from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.ikev1 import (
    Delete,
    Fragment,
    Notification,
)
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.natt import KEEPALIVE, NON_ESP_MARKER, Endpoint, UdpContent, classify
from ipsecscope.dissect.registry.isakmp import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import SECOND, Entropy, Instant
from ipsecscope.peers.events import DataReceived, PeerEvent, Role
from ipsecscope.peers.ikev1 import established, phase1, quick
from ipsecscope.peers.ikev1.authentication import check_settings
from ipsecscope.peers.ikev1.config import ChildRequest, Ikev1Config, PhaseOneMode
from ipsecscope.peers.ikev1.inputs import PHASE_1_EXCHANGES, is_expected, phase_1_input, quick_input, transaction_input
from ipsecscope.peers.ikev1.installing import Negotiation, matter_of
from ipsecscope.peers.ikev1.messages import NO_COOKIE, PHASE_1, Received, bare_notify, header_of, notation, payloads_of
from ipsecscope.peers.ikev1.register import Register
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import ChildSa, PhaseOne, Purpose, QuickMode, Talk, Transaction
from ipsecscope.peers.ikev1.transactions import Matter
from ipsecscope.peers.ikev1.transitions import (
    AGGRESSIVE_SA,
    ASK,
    BEGIN_AGGRESSIVE,
    BEGIN_MAIN,
    CLEAR_ERROR,
    CLOSE,
    DEAD,
    DELETED,
    ERROR,
    HALF_OPEN,
    MAIN_SA,
    NO_ANSWER,
    OFFER,
    PHASE_ONE,
    QUICK_MODE,
    TRANSACTION,
    UNREADABLE,
)
from ipsecscope.peers.peer import Input, Machine, Mailbox, Path

MAX_DATAGRAM = 65_535
REPLACED_STAYS: Instant = 3 * SECOND  # the other side may still be moving phase 2 to the new SA, as strongSwan does


class Ikev1Peer(Register):
    """One end of any number of ISAKMP SAs. ``counts`` of the mailbox says what was dropped.

    Raises SettingError for a private key or an authority that cannot be used.
    """

    def __init__(self, config: Ikev1Config, entropy: Entropy) -> None:
        check_settings(config)
        super().__init__(config)
        self.entropy = entropy
        self.mailbox = Mailbox()

    # -- the driver's verbs -------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, path: Path, now: Instant) -> None:
        """Take the payload of a UDP datagram; never raises."""
        if path.local.port == self.config.nat_port:
            content = classify(data)
            if content is UdpContent.ESP:
                self._emit_data(data, path, now)
            if content is not UdpContent.IKE:
                return
            data = data[len(NON_ESP_MARKER) :]
        self._receive(data, path, now, is_whole=False)

    def datagrams_to_send(self, now: Instant) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that are waiting, each once."""
        del now
        return self.mailbox.outgoing()

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        while (sa := self.pop_due(now)) is not None:
            due = [name for name, instant in sa.timers.items() if instant <= now]
            for name in due:
                if sa.timers.get(name, now + 1) <= now:
                    del sa.timers[name]
                    self._ring(sa, name, now)

    def next_event(self) -> PeerEvent | None:
        """The oldest event that was not fetched yet."""
        return self.mailbox.next_event()

    def story_of(self, data: bytes) -> str:
        """What a datagram that this peer sent lately is, in RFC notation."""
        return self.mailbox.story_of(data)

    # -- what the owner wants -----------------------------------------------------------------------------------

    def connect(self, now: Instant, predecessor: IsakmpSa | None = None) -> IsakmpSa:
        """Begin phase 1; the children of the configuration follow by themselves."""
        config = self.config
        here, there = Endpoint(config.address, config.port), Endpoint(config.remote_address, config.remote_ports[0])
        path = Path(here, there) if predecessor is None else predecessor.path  # floated ones stay (RFC 3947 section 4)
        sa = self._new_sa("initiator", self.entropy.ike_spi(), NO_COOKIE, path)
        sa.predecessor = predecessor
        self.register(sa)
        sa.take(BEGIN_AGGRESSIVE if config.mode is PhaseOneMode.AGGRESSIVE else BEGIN_MAIN, None, now)
        return sa

    def create_child(
        self, sa: IsakmpSa, request: ChildRequest, now: Instant, replaces: list[ChildSa] | None = None
    ) -> Talk:
        """Begin a quick mode."""
        talk = sa.begin(
            ExchangeType.QUICK_MODE, Machine(QUICK_MODE), Negotiation(request=request, replaces=replaces or [])
        )
        self._take(talk, OFFER, sa, None, now)
        return talk

    def rekey_child(self, sa: IsakmpSa, child: ChildSa, now: Instant) -> Talk:
        """Replace the SAs that one quick mode made."""
        replaces = [each for each in sa.children if each.message_id == child.message_id]
        return self.create_child(sa, child.request, now, replaces)

    def delete_child(self, sa: IsakmpSa, child: ChildSa, now: Instant) -> None:
        """Delete a pair of SAs."""
        established.delete_children(sa, [child], now)

    def rekey(self, sa: IsakmpSa, now: Instant) -> IsakmpSa:
        """Replace an ISAKMP SA by another one; its phase 2 SAs go over to that."""
        return self.connect(now, predecessor=sa)

    def check_alive(self, sa: IsakmpSa, now: Instant) -> None:
        """Ask whether the other side is still there (RFC 3706)."""
        established.ask_alive(sa, now)

    def close(self, sa: IsakmpSa, now: Instant) -> None:
        """Delete an ISAKMP SA and everything under it."""
        sa.take(CLOSE, None, now)

    # -- what an SA asks of its owner -----------------------------------------------------------------------------

    def transact(self, sa: IsakmpSa, purpose: Purpose, now: Instant, *, succeeded: bool = False) -> None:
        """Begin a transaction."""
        talk = sa.begin(ExchangeType.TRANSACTION, Machine(TRANSACTION), Matter(purpose, succeeded=succeeded))
        self._take(talk, ASK[purpose], sa, None, now)

    def ready(self, sa: IsakmpSa, now: Instant) -> None:
        """Take over the phase 2 SAs of the SA that this one replaces, or begin the quick modes of the configuration."""
        old = sa.predecessor or self._replaced_by(sa)
        if old is not None and old in self.sas:
            self._take_over(old, sa, now)
        elif sa.is_initiator:
            for request in quick.requests_of(sa):
                self.create_child(sa, request, now)

    def _replaced_by(self, sa: IsakmpSa) -> IsakmpSa | None:
        """The SA that the other side rekeys by this one: same identity, address and user, and it has children.

        Nothing in IKEv1 says that an ISAKMP SA replaces another one.
        """
        if sa.predecessor is not None or sa.is_initiator:
            return None
        for each in reversed(self.rivals_of(sa)):
            is_same = each.user == sa.user and each.path.remote.address == sa.path.remote.address
            if is_same and each.children and each.is_authenticated:
                return each
        return None

    def _take_over(self, old: IsakmpSa, sa: IsakmpSa, now: Instant) -> None:
        for child in old.children:
            sa.children.append(child)
            name = f"lifetime {child.spi_in.hex()}"
            if name in old.timers:
                sa.set_timer(name, old.timers.pop(name))
        old.children.clear()
        old.is_replaced = True
        self.hand_over_addresses(old, sa)
        old.say(events.IkeSaRekeyed, now, successor=sa.group_id)
        for name in ("lifetime", "dpd"):
            old.clear_timer(name)
        if sa.is_initiator:
            old.set_timer("replaced", now + REPLACED_STAYS)

    # -- receiving ----------------------------------------------------------------------------------------------

    def _receive(self, data: bytes, path: Path, now: Instant, *, is_whole: bool) -> None:
        header = Header.parse(data[:HEADER_SIZE]) if len(data) >= HEADER_SIZE else None
        if header is None or header.major_version != 1 or len(data) > MAX_DATAGRAM:
            self._count("datagrams that are no IKEv1")
            return
        if header.length != len(data):  # RFC 2408 section 5.2: UNEQUAL-PAYLOAD-LENGTHS
            self._count("messages of another length than they say")
            return
        sa = self.find(header, path)
        if sa is None and not self._may_begin(header):
            return
        message = parse_message(data, remarks=False)
        if sa is not None and self._joined(sa, message, path, now, is_whole=is_whole):
            return
        if sa is None:
            self._strange(message, data, path, now)
            return
        talk = sa.seen_before(data)
        if talk is not None:
            self._count("messages that came again")
            sa.repeat_answer(talk, data, now)
            return
        self._open(sa, message, data, path, now)

    def _joined(self, sa: IsakmpSa, message: Message, path: Path, now: Instant, *, is_whole: bool) -> bool:
        """Take a fragment (payload 132); whether the message was one."""
        body = message.payloads[0].body if message.payloads else None
        if not isinstance(body, Fragment):
            return False
        whole = None if is_whole else sa.joiner.add(body)
        if whole is not None:
            self._receive(whole, path, now, is_whole=True)
        return True

    def _may_begin(self, header: Header) -> bool:
        """Whether a message of no SA may be the first one of another; what is not is counted."""
        if header.spi_r != NO_COOKIE or header.message_id != PHASE_1 or header.is_encrypted:
            self._count("messages of unknown SAs")
            return False
        if ExchangeType(header.exchange_type) not in PHASE_1_EXCHANGES or header.spi_i == NO_COOKIE:
            self._count("messages that begin nothing")
            return False
        return True

    def _strange(self, message: Message, data: bytes, path: Path, now: Instant) -> None:
        """The first message of an SA that is not there yet."""
        header = message.header
        assert header is not None
        kind = ExchangeType(header.exchange_type)
        received = Received(header=header, payloads=message.payloads, plaintext=data, path=path)
        refusal = phase1.screen(received, self.config)
        if refusal is not None:
            self._refuse(received, refusal, now)
            return
        is_main_mode = kind == ExchangeType.IDENTITY_PROTECTION
        if not self.make_room(path, now, displaces=is_main_mode):  # aggressive mode costs us a key exchange at once
            self._count("first messages beyond the limits")
            return
        sa = self._new_sa("responder", header.spi_i, self.entropy.ike_spi(), path)
        self.register_request(sa)
        self.register(sa)
        sa.remember(data, sa.phase_1)
        sa.take(MAIN_SA if is_main_mode else AGGRESSIVE_SA, received, now)

    def _refuse(self, received: Received, kind: NotifyType, now: Instant) -> None:
        """Refuse a first message without keeping anything: one answer, smaller than the question."""
        self._count(f"first messages refused: {kind}")
        if not self.config.answers_offers or self.config.faults.unknown_to_others:
            return
        message_id = int.from_bytes(self.entropy.octets(4, "message id"), "big")
        cookies = (received.header.spi_i, received.header.spi_r)
        header = header_of(ExchangeType.INFORMATIONAL, message_id, cookies)
        payloads = payloads_of([bare_notify(kind)])
        data = Message(header=header, payloads=payloads).build()
        marker = NON_ESP_MARKER if received.path.local.port == self.config.nat_port else b""
        story = notation(header, payloads) + ". Responder: refuses without keeping anything"
        self.mailbox.post(marker + data, received.path, story)
        group_id = "_".join(cookie.hex() for cookie in cookies)
        self.mailbox.emit(
            events.MessageSent(
                time_ns=now,
                group_id=group_id,
                vantage="responder",
                exchange=str(ExchangeType.INFORMATIONAL),
                message_id=message_id,
                sender="responder",
            )
        )

    def _open(self, sa: IsakmpSa, message: Message, data: bytes, path: Path, now: Instant) -> None:
        header = message.header
        assert header is not None
        if not message.ciphertext:
            received = Received(header=header, payloads=message.payloads, plaintext=data, path=path)
            self._clear(sa, received, data, now)
            return
        if sa.protection is None:
            self._count("encrypted messages before there are keys")
            return
        opened = sa.protection.open(message, data, path)
        if isinstance(opened, Refused):
            self._count("messages that no key opens")
            if header.exchange_type in PHASE_1_EXCHANGES and header.message_id == PHASE_1:
                sa.take(UNREADABLE, None, now)
            return
        received, following = opened
        if received.exchange_type in PHASE_1_EXCHANGES:
            self._phase_1(sa, received, data, now, following)
        elif header.message_id == PHASE_1:
            self._count("messages of phase 2 without a message id")
        else:
            self._phase_2(sa, received, data, now, following)

    # -- phase 1 ------------------------------------------------------------------------------------------------

    def _clear(self, sa: IsakmpSa, received: Received, data: bytes, now: Instant) -> None:
        """A message in the clear: phase 1, or a notification that nothing authenticates."""
        if received.exchange_type in PHASE_1_EXCHANGES and received.header.message_id == PHASE_1:
            self._phase_1(sa, received, data, now, b"")
        elif received.exchange_type == ExchangeType.INFORMATIONAL and received.error is not None:
            self._count("notifications that nothing authenticates")
            if self.config.believes_clear_errors:
                sa.take(CLEAR_ERROR, received, now)
        else:
            self._count("messages in the clear where none belongs")

    def _phase_1(self, sa: IsakmpSa, received: Received, data: bytes, now: Instant, following: bytes) -> None:
        given = phase_1_input(received)
        if given is None or not is_expected(sa, given, received):
            self._count("phase 1 messages that do not fit")
            return
        if following:
            assert sa.protection is not None
            sa.protection.advance(PHASE_1, following)
        sa.last_heard = now
        sa.remember(data, sa.phase_1)
        sa.take(given, received, now)

    # -- phase 2 ------------------------------------------------------------------------------------------------

    def _phase_2(self, sa: IsakmpSa, received: Received, data: bytes, now: Instant, following: bytes) -> None:
        kind = received.exchange_type
        talk, is_new = self._talk_of(sa, received)
        if talk is None:
            self._count("phase 2 messages that do not fit")
            return
        if not self._is_authentic(sa, talk, received):
            self._count("phase 2 messages with a wrong HASH")
            if is_new:
                sa.talks.pop(talk.message_id, None)
            return
        assert sa.protection is not None
        sa.protection.advance(received.header.message_id, following)
        sa.last_heard = now
        sa.remember(data, talk)
        if kind == ExchangeType.INFORMATIONAL:
            sa.talks.pop(talk.message_id, None)
            self._inform(sa, talk, received, now)
            return
        given = quick_input(received) if kind == ExchangeType.QUICK_MODE else transaction_input(received)
        if given is not None:
            self._take(talk, given, sa, received, now)

    def _talk_of(self, sa: IsakmpSa, received: Received) -> tuple[Talk | None, bool]:
        """The exchange of a message, and whether it is a new one; None for one that may not be begun now."""
        number, kind = received.header.message_id, received.exchange_type
        known = sa.talks.get(number)
        if known is not None:
            return (known, False) if known.exchange_type == kind else (None, False)
        if kind == ExchangeType.INFORMATIONAL:
            return sa.join(number, kind, None), True
        if kind == ExchangeType.TRANSACTION and sa.is_authenticated:
            return sa.join(number, kind, Machine(TRANSACTION), Matter()), True
        if kind == ExchangeType.QUICK_MODE and sa.state is PhaseOne.ESTABLISHED:
            if len(sa.children) >= self.config.limits.children_per_sa:
                return None, False
            return sa.join(number, kind, Machine(QUICK_MODE), Negotiation()), True
        return None, False

    @staticmethod
    def _is_authentic(sa: IsakmpSa, talk: Talk, received: Received) -> bool:
        assert sa.protection is not None
        if received.exchange_type == ExchangeType.QUICK_MODE:
            return quick.is_authentic(sa, talk, received)
        return sa.protection.is_hash_1(received)

    @staticmethod
    def _take(talk: Talk, given: Input, sa: IsakmpSa, received: Received | None, now: Instant) -> None:
        assert talk.machine is not None
        talk.machine.take(given, sa, talk, received, now)
        if talk.machine.state in (QuickMode.INSTALLED, QuickMode.FAILED, Transaction.DONE) and not talk.sent:
            sa.talks.pop(talk.message_id, None)

    def _inform(self, sa: IsakmpSa, talk: Talk, received: Received, now: Instant) -> None:
        """An INFORMATIONAL whose HASH is right: deletes, DPD, refusals, remarks."""
        sa.completed(talk, now)
        for body in received.all(Delete):
            if self.config.faults.ignore_delete:
                continue
            if established.deleted(sa, body, now):
                sa.take(DELETED, received, now)
                return
        for notification in received.all(Notification):
            if notification.notify_type == NotifyType.R_U_THERE:
                established.answer_alive(sa, notification, now)
            elif notification.notify_type == NotifyType.R_U_THERE_ACK:
                established.alive(sa, notification, now)
            elif notification.is_error:
                self._error(sa, notification, received, now)

    def _error(self, sa: IsakmpSa, notification: Notification, received: Received, now: Instant) -> None:
        """A refusal: of the quick mode whose SPI it names, of the one that waits, or of phase 1."""
        waiting = [talk for talk in sa.talks.values() if talk.exchange_type == ExchangeType.QUICK_MODE]
        named = [talk for talk in waiting if notification.spi in matter_of(talk).spis_in.values()]
        ours = [talk for talk in waiting if talk.by_us and talk.machine and talk.machine.state is QuickMode.OFFERED]
        concerned = named or ours[-1:]
        if sa.is_authenticated and concerned:
            self._take(concerned[0], ERROR, sa, received, now)
        else:
            sa.take(ERROR, received, now)

    # -- timers -------------------------------------------------------------------------------------------------

    def _ring(self, sa: IsakmpSa, name: str, now: Instant) -> None:
        kind, _, number = name.partition(" ")
        if kind == "retransmit":
            self._retransmit(sa, int(number, 16), now)
        elif kind == "half-open":
            sa.take(HALF_OPEN, None, now)
        elif kind == "dpd":
            if not established.dpd_is_due(sa, now):
                sa.take(DEAD, None, now)
        elif kind == "keepalive":
            self.mailbox.post(KEEPALIVE, sa.path, "NAT keepalive (RFC 3948 section 2.3)")
            sa.set_timer("keepalive", now + self.config.patience.keepalive_after)
        elif kind == "replaced":
            sa.take(CLOSE, None, now)
        elif not number:
            self.rekey(sa, now)
        else:
            child = next((each for each in sa.children if each.spi_in.hex() == number), None)
            if child is not None:
                self.rekey_child(sa, child, now)

    def _retransmit(self, sa: IsakmpSa, number: int, now: Instant) -> None:
        talk = sa.phase_1 if number == PHASE_1 else sa.talks.get(number)
        if talk is None or sa.retransmit(talk, now):
            return
        if number == PHASE_1:
            sa.take(NO_ANSWER, None, now)
        else:
            self._take(talk, NO_ANSWER, sa, None, now)

    # -- small things -------------------------------------------------------------------------------------------

    def _new_sa(self, role: Role, cookie_i: bytes, cookie_r: bytes, path: Path) -> IsakmpSa:
        sa = IsakmpSa(self, Machine(PHASE_ONE), role, cookie_i, cookie_r, path)
        self.sas.append(sa)
        return sa

    def _emit_data(self, packet: bytes, path: Path, now: Instant) -> None:
        vantage: Role = "responder" if self.config.is_gateway else "initiator"
        event = DataReceived(
            time_ns=now, group_id="", vantage=vantage, packet=packet, local=path.local, remote=path.remote
        )
        self.mailbox.emit(event)

    def _count(self, what: str) -> None:
        self.mailbox.counts[what] += 1
