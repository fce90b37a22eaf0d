"""An IKEv2 peer: the five verbs, and how a datagram finds its IKE SA and its row in the table.

``initiator.py`` begins, ``responder.py`` waits; once an IKE SA is established both can do everything. Nothing that
arrives raises: it is counted in ``mailbox.counts``.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.decrypt.opening import Refused
from ipsecscope.dissect.header import HEADER_SIZE, Header
from ipsecscope.dissect.ikev2 import Authentication, Eap, SecurityAssociation
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.natt import KEEPALIVE, NON_ESP_MARKER, Endpoint, UdpContent, classify
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.alarms import Alarms
from ipsecscope.peers.config import PeerConfig
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.events import PeerEvent, Role
from ipsecscope.peers.ikev2.create_child import NewChild
from ipsecscope.peers.ikev2.informational import DeleteChild, DeleteIke, Probe, UpdateAddresses
from ipsecscope.peers.ikev2.key_exchange import UNFINISHED, forget
from ipsecscope.peers.ikev2.messages import Received, in_clear, note
from ipsecscope.peers.ikev2.redirect import SendAway, is_forged
from ipsecscope.peers.ikev2.rekey_ike import RekeyIke
from ipsecscope.peers.ikev2.sa import GAVE_UP, RETRANSMIT, ChildSa, ChildState, IkeSa, State
from ipsecscope.peers.ikev2.transitions import CHILD_SA_TABLE, HALF_OPEN, IKE_SA_TABLE, TASK_DONE
from ipsecscope.peers.peer import Input, Machine, Mailbox, Path, Reply, Request

MAX_DATAGRAM = 65_535
MAX_CLOSED = 64  # closed IKE SAs whose last response can still be repeated

HALF_OPEN_STATES = (State.IDLE, State.INIT_ANSWERED, State.EAP_ASKED, State.EAP_DONE)
REQUESTS = {
    int(kind): Request(str(kind))
    for kind in (
        ExchangeType.IKE_SA_INIT,
        ExchangeType.IKE_INTERMEDIATE,
        ExchangeType.IKE_AUTH,
        ExchangeType.CREATE_CHILD_SA,
        ExchangeType.IKE_FOLLOWUP_KE,
        ExchangeType.INFORMATIONAL,
    )
}
_UNKNOWN_EXCHANGE = Request("an exchange that we do not know")
_MALFORMED = Request("a malformed message")
_REPLY_ERROR, _REPLY_OTHER = Reply("N(error)"), Reply("something else")


def classify_request(received: Received) -> Input:
    """The input that a request is to the table."""
    if received.malformed is not None or received.missing:
        return _MALFORMED
    return REQUESTS.get(received.header.exchange_type, _UNKNOWN_EXCHANGE)


def classify_reply(received: Received) -> Input:
    """The input that a response of the handshake is to the table."""
    if received.malformed is not None:
        return _REPLY_OTHER
    for kind in (NotifyType.COOKIE, NotifyType.INVALID_KE_PAYLOAD, NotifyType.REDIRECT):
        if received.notify(kind) is not None and received.exchange_type == ExchangeType.IKE_SA_INIT:
            return Reply(f"N({kind})")
    if received.exchange_type == ExchangeType.IKE_AUTH:
        if received.first(Eap) is not None and received.error is None:
            return Reply("EAP")
        if received.first(Authentication) is not None:
            return Reply("AUTH")
    if received.error is not None:
        return _REPLY_ERROR
    if received.missing:
        return _REPLY_OTHER
    expected = {ExchangeType.IKE_SA_INIT: "SA, KE, Nr", ExchangeType.IKE_INTERMEDIATE: "KE"}
    found = expected.get(received.exchange_type)
    return _REPLY_OTHER if found is None else Reply(found)


class Ikev2Peer:
    """What initiators and responders have in common: everything but the first message."""

    def __init__(self, config: PeerConfig, entropy: Entropy) -> None:
        self.config = config
        self.entropy = entropy
        self.mailbox = Mailbox()
        self.sas: dict[bytes, IkeSa] = {}  # by the SPI that we chose
        self._closed: dict[bytes, IkeSa] = {}
        self._alarms: Alarms[IkeSa] = Alarms()

    # -- the five verbs -----------------------------------------------------------------------------------------

    def receive_datagram(self, data: bytes, path: Path, now: Instant) -> None:
        """Take the payload of a UDP datagram."""
        if len(data) > MAX_DATAGRAM:
            self.mailbox.counts["datagrams too long"] += 1
            return
        if path.local.port == self.config.nat_port:
            kind = classify(data)
            if kind == UdpContent.ESP:
                self._data(data, path, now)
                return
            if kind != UdpContent.IKE:
                self.mailbox.counts[str(kind.value)] += 1
                return
            data = data[len(NON_ESP_MARKER) :]
        self._receive(data, path, now)

    def datagrams_to_send(self, now: Instant) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that are waiting, each once."""
        del now
        return self.mailbox.outgoing()

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called."""
        return self._alarms.next()

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        while (sa := self._alarms.pop_due(now)) is not None:
            for name in [name for name, due in sa.timers.items() if due <= now]:
                if sa.timers.get(name, now + 1) <= now:
                    del sa.timers[name]
                    self._due(sa, name, now)

    def next_event(self) -> PeerEvent | None:
        """The oldest event that was not fetched yet."""
        return self.mailbox.next_event()

    def story_of(self, data: bytes) -> str:
        """What a datagram that this peer sent lately is, in RFC notation."""
        return self.mailbox.story_of(data)

    # -- what its owner may want ---------------------------------------------------------------------------------

    @property
    def current(self) -> IkeSa | None:
        """The newest established IKE SA."""
        return next((sa for sa in reversed(self.sas.values()) if sa.state == State.ESTABLISHED), None)

    @property
    def children(self) -> tuple[ChildSa, ...]:
        """The Child SAs in use."""
        return tuple(child for sa in self.sas.values() for child in sa.children if child.is_alive)

    def _established(self) -> IkeSa:
        found = self.current
        if found is None:
            raise RuntimeError("there is no established IKE SA")
        return found

    def create_child(self, now: Instant) -> None:
        """Ask for another Child SA. Raises RuntimeError without an established IKE SA, as do all that follow."""
        self._established().begin(NewChild(), now)

    def rekey_child(self, now: Instant) -> None:
        """Ask for a successor of the oldest Child SA in use."""
        sa = self._established()
        found = next((each for each in sa.children if each.machine.state == ChildState.INSTALLED), None)
        if found is None:
            raise RuntimeError("there is no Child SA to rekey")
        sa.begin(NewChild(found), now)

    def rekey_ike(self, now: Instant) -> None:
        """Ask for a successor of the IKE SA."""
        self._established().begin(RekeyIke(), now)

    def delete_child(self, now: Instant) -> None:
        """Delete the oldest Child SA in use."""
        sa = self._established()
        found = next((each for each in sa.children if each.is_alive), None)
        if found is None:
            raise RuntimeError("there is no Child SA to delete")
        sa.begin(DeleteChild(found), now)

    def close(self, now: Instant) -> None:
        """Delete the IKE SA."""
        self._established().begin(DeleteIke(), now)

    def probe(self, now: Instant) -> None:
        """Ask whether the other side is alive."""
        self._established().begin(Probe(), now)

    def move(self, local: Endpoint, now: Instant) -> None:
        """Go to another address (MOBIKE). Raises RuntimeError when the other side does not support that."""
        sa = self._established()
        if NotifyType.MOBIKE_SUPPORTED not in sa.supported or not sa.is_initiator:
            raise RuntimeError("only an initiator whose responder supports MOBIKE may move")
        sa.begin(UpdateAddresses(local), now)

    # -- what IKE SAs ask of their owner ----------------------------------------------------------------------------

    def new_sa(self, role: Role, spi_i: bytes, spi_r: bytes, path: Path) -> IkeSa:
        """Make an IKE SA, which nobody finds yet."""
        return IkeSa(self, Machine(IKE_SA_TABLE), role, spi_i, spi_r, path)

    def child_machine(self) -> Machine[ChildState]:
        """The state machine of a new Child SA."""
        return Machine(CHILD_SA_TABLE)

    def register(self, sa: IkeSa) -> None:
        """Find the SA by its SPI from now on."""
        self.sas[sa.local_spi] = sa

    def forget(self, sa: IkeSa) -> None:
        """Do not find it any more, but to repeat its last response: the one to a Delete may be lost."""
        if self.sas.pop(sa.local_spi, None) is None:
            return
        if len(self._closed) >= MAX_CLOSED:
            del self._closed[next(iter(self._closed))]
        self._closed[sa.local_spi] = sa

    def supersede(self, sa: IkeSa, now: Instant) -> None:
        """Close all other IKE SAs with the same identity: its owner has forgotten them."""
        for other in list(self.sas.values()):
            if other is not sa and other.remote_id == sa.remote_id and other.state not in HALF_OPEN_STATES:
                other.close(now, "INITIAL_CONTACT")

    def redirect(self, sa: IkeSa, gateway: str, now: Instant) -> None:
        """Begin with another gateway; only a peer that begins does so."""
        del sa, gateway, now
        self.mailbox.counts["redirections not followed"] += 1

    def send_away(self, gateway: str, now: Instant) -> None:
        """Send the client of the newest IKE SA to another gateway (RFC 5685 section 5)."""
        self._established().begin(SendAway(gateway), now)

    def schedule(self, sa: IkeSa, when: Instant) -> None:
        """Wake the SA then."""
        self._alarms.set(sa, when)

    # -- timers ---------------------------------------------------------------------------------------------------

    def _due(self, sa: IkeSa, name: str, now: Instant) -> None:
        patience = self.config.patience
        if name.startswith(RETRANSMIT):
            number = int(name.removeprefix(RETRANSMIT))
            if not sa.retransmit(number, now):
                self._unanswered(sa, number, now)
        elif name == "half-open":
            sa.take(HALF_OPEN, None, now)
        elif name == "dpd":
            quiet = now - sa.last_heard >= patience.dpd_after
            if quiet and sa.outstanding is None:
                sa.begin(Probe(), now)
            sa.set_timer("dpd", now + patience.dpd_after if quiet else sa.last_heard + patience.dpd_after)
        elif name == "keepalive":
            self.mailbox.post(KEEPALIVE, sa.path, "NAT keepalive: keeps the translation alive (RFC 3948 section 2.3)")
            sa.set_timer("keepalive", now + patience.keepalive_after)
        elif name == "rekey IKE SA":
            sa.begin(RekeyIke(), now)
        elif name == "new Child SA":
            sa.begin(NewChild(), now)
        elif name.startswith(UNFINISHED):
            forget(sa, bytes.fromhex(name.removeprefix(UNFINISHED)))
        else:
            self._rekey_due(sa, name, now)

    def _rekey_due(self, sa: IkeSa, name: str, now: Instant) -> None:
        found = next((each for each in sa.children if name == f"rekey {each.spi_in.hex()}"), None)
        if found is not None and found.machine.state == ChildState.INSTALLED:
            sa.begin(NewChild(found), now)

    def _unanswered(self, sa: IkeSa, number: int, now: Instant) -> None:
        waiting = sa.sent.get(number)
        if waiting is not None:
            sa.say(
                events.ExchangeUnanswered,
                now,
                exchange=str(ExchangeType(waiting.header.exchange_type)),
                message_id=waiting.header.message_id,
                initiated_by=sa.role,
            )
        sa.take(GAVE_UP, None, now)

    # -- receiving ------------------------------------------------------------------------------------------------

    def _data(self, packet: bytes, path: Path, now: Instant) -> None:
        self.mailbox.emit(
            events.DataReceived(
                time_ns=now, group_id="", vantage="initiator", packet=packet, local=path.local, remote=path.remote
            )
        )

    def _receive(self, data: bytes, path: Path, now: Instant) -> None:
        if not self._concerns_us(data):
            return
        message = parse_message(data, remarks=False)
        header = message.header
        assert header is not None
        if message.trailing or header.length is not None:
            self.mailbox.counts["wrong length"] += 1
            return
        spi = header.spi_r if header.original_initiator else header.spi_i
        sa = self.sas.get(spi)
        if sa is None or sa.is_initiator == header.original_initiator:
            self._unknown(message, data, path, now)
        elif header.is_response:
            self._response(sa, message, data, path, now)
        else:
            self._request(sa, message, data, path, now)

    def _concerns_us(self, data: bytes) -> bool:
        """Whether the header alone speaks for reading on: a flood is turned away before its payloads are looked at."""
        header = Header.parse(data[:HEADER_SIZE]) if len(data) >= HEADER_SIZE else None
        if header is None or header.major_version != 2:
            self.mailbox.counts["no IKEv2"] += 1
            return False
        if header.length != len(data):
            self.mailbox.counts["wrong length"] += 1
            return False
        spi = header.spi_r if header.original_initiator else header.spi_i
        if spi not in self.sas and spi not in self._closed and not self._may_begin(header):
            self.mailbox.counts["unknown IKE SPI"] += 1
            return False
        return True

    def _may_begin(self, header: Header) -> bool:
        """Whether a message of no IKE SA may be the first one of another: never for who only initiates."""
        del header
        return False

    def _unknown(self, message: Message, data: bytes, path: Path, now: Instant) -> None:
        """A message of no IKE SA that we know, or of one that is closed."""
        header = message.header
        assert header is not None
        closed = self._closed.get(header.spi_r if header.original_initiator else header.spi_i)
        if closed is not None and closed.is_initiator != header.original_initiator and not header.is_response:
            self._out_of_window(closed, message, data, path, now)
            return
        self.mailbox.counts["unknown IKE SPI"] += 1

    def _open(self, sa: IkeSa, message: Message, data: bytes, path: Path) -> Received | None:
        """Remove the protection; None for what is not authentic or not yet whole."""
        assert message.header is not None
        if message.header.exchange_type == ExchangeType.IKE_SA_INIT:
            return in_clear(message, data, path)
        if sa.protection is None:
            self.mailbox.counts["protected too early"] += 1
            return None
        opened = sa.protection.open(message, data, path)
        if isinstance(opened, Refused):
            self.mailbox.counts[f"not opened: {opened.reason}"] += 1
            return None
        return opened

    def _response(self, sa: IkeSa, message: Message, data: bytes, path: Path, now: Instant) -> None:
        assert message.header is not None
        if not sa.sent.awaits(message.header):
            self.mailbox.counts["responses that nobody awaits"] += 1
            return
        received = self._open(sa, message, data, path)
        if received is None:
            return
        if is_forged(sa, received):
            self.mailbox.counts["redirections with another nonce"] += 1
            return
        self._heard(sa, received, now)
        if received.exchange_type == ExchangeType.IKE_SA_INIT and received.first(SecurityAssociation) is not None:
            sa.spi_r = received.header.spi_r  # from here on events bear both SPIs
        task = sa.response_arrived(received, now).task
        sa.answered_task = task
        sa.take(TASK_DONE if task is not None else classify_reply(received), received, now)

    def _request(self, sa: IkeSa, message: Message, data: bytes, path: Path, now: Instant) -> None:
        header = message.header
        assert header is not None
        if not sa.came.accepts(header.message_id):
            self._out_of_window(sa, message, data, path, now)
            return
        if header.exchange_type == ExchangeType.IKE_SA_INIT:
            self.mailbox.counts["IKE_SA_INIT inside an IKE SA"] += 1
            return
        received = self._open(sa, message, data, path)
        if received is None:
            return
        self._heard(sa, received, now)
        sa.came.came(header.message_id)
        critical = received.unknown_critical
        if critical is not None:  # RFC 7296 section 2.5
            sa.answer(received, [note(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes((critical.kind,)))], now)
            return
        sa.take(classify_request(received), received, now)

    def _out_of_window(self, sa: IkeSa, message: Message, data: bytes, path: Path, now: Instant) -> None:
        """A request that came again has its response repeated; any other is dropped (RFC 7296 sections 2.1, 2.3)."""
        header = message.header
        assert header is not None
        is_known = sa.came.answer_to(header.message_id) is not None
        if is_known and sa.is_first_part(message) and self._is_authentic(sa, message, data):
            sa.repeat_answer(header.message_id, path, now)
            self.mailbox.counts["requests that came again"] += 1
            return
        self.mailbox.counts["message ids outside the window"] += 1

    def _is_authentic(self, sa: IkeSa, message: Message, data: bytes) -> bool:
        assert message.header is not None
        if message.header.exchange_type == ExchangeType.IKE_SA_INIT:
            return sa.handshake.request == data
        return sa.protection is not None and sa.protection.is_authentic(message, data)

    def _heard(self, sa: IkeSa, received: Received, now: Instant) -> None:
        """Note a sign of life, and follow a NAT that maps the other side elsewhere (RFC 7296 section 2.23)."""
        sa.last_heard = now
        if received.path == sa.path or not sa.remote_behind_nat or NotifyType.MOBIKE_SUPPORTED in sa.supported:
            if sa.state in HALF_OPEN_STATES and not received.header.is_response:
                sa.path = received.path
            return
        there = received.path.remote
        if sa.state == State.ESTABLISHED and not received.header.is_response:
            sa.say(events.PathMoved, now, role=sa.other, address=there.address, port=there.port)
        sa.path = received.path
