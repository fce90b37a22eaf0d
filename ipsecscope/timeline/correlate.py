"""The passive state machine: IKE datagrams in, exchanges and IKE SAs out, events on the way.

It knows the RFCs' rules of identity (SPIs, message ids, directions, retransmission) and nothing of what is good or
bad. It never fails on a conversation: what begins in the middle, lacks an answer or contradicts itself is filed as
what it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

import msgspec

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.duplicates import MAX_APART_NS
from ipsecscope.capture.records import CaptureNote
from ipsecscope.dissect.chain import Context
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline import events
from ipsecscope.timeline.contents import (
    encrypted_fragment,
    has_encrypted,
    is_gdoi,
    refusal_of,
    vendor_fragment,
    vendor_ids_of,
)
from ipsecscope.timeline.copies import is_copy_again, take_copy
from ipsecscope.timeline.events import Event
from ipsecscope.timeline.flood import MAX_HALF_OPEN, WaitingRoom, is_opening
from ipsecscope.timeline.fragments import VendorFragments
from ipsecscope.timeline.sas import MessageRecord, Opening, Role, other
from ipsecscope.timeline.tracking import EndpointTracker, ExchangeTracker, SaTracker, digest, digest_without_flags

MAX_SAS = 100_000  # IKE SAs followed in one analysis; messages of further ones are counted
MAX_PLACES = 64  # addresses and ports learned of one end of an IKE SA; further ones are counted
GDOI_PORT = 848
NO_SPI = bytes(8)

# Exchanges that begin an IKE SA: their request carries no responder SPI (RFC 7296 2.6, RFC 5723 4.3.1).
_INITIAL = frozenset({int(ExchangeType.IKE_SA_INIT), int(ExchangeType.IKE_SESSION_RESUME)})
_RETRY = frozenset({"COOKIE", "INVALID_KE_PAYLOAD"})


class Opener(Protocol):
    """What the correlator asks of a key ring."""

    def open_ike(self, sa: SaTracker, exchange: ExchangeTracker, record: MessageRecord) -> Opening | None:
        """Open the encrypted part of a message; None when it has none or when more fragments are needed."""

    def filed(self, sa: SaTracker, exchange: ExchangeTracker) -> None:
        """Learn from an exchange after another of its messages was filed."""


class Correlator:
    """Feeds on IKE datagrams in time order; ``sas`` are the trackers in order of appearance."""

    def __init__(self, opener: Opener | None = None) -> None:
        self.opener = opener
        self.sas: list[SaTracker] = []
        self.events: list[Event] = []
        self.unreadable: list[MessageRecord] = []
        self.icmp: list[tuple[Datagram, SaTracker | None]] = []
        self.dropped = 0  # messages of SAs beyond MAX_SAS
        self.places = 0  # sightings of ends at places beyond MAX_PLACES
        self._half_open: set[str] = set()
        self._waiting = WaitingRoom()
        self._pairs: dict[tuple[int, bytes, bytes], SaTracker] = {}
        self._by_initiator: dict[tuple[int, bytes], SaTracker] = {}
        self._count = 0

    def feed(self, datagram: Datagram) -> SaTracker | None:
        """Take one datagram; returns the IKE SA it was filed under."""
        if datagram.kind == Kind.ICMP and datagram.quoted is not None:
            return self._feed_icmp(datagram)
        if datagram.kind != Kind.IKE:
            return None
        full = len(self._half_open) >= MAX_HALF_OPEN
        sa = None
        for each in self._waiting.pass_through(datagram, self._by_initiator.__contains__, is_full=full):
            sa = self._read(each)
        return sa

    def _read(self, datagram: Datagram) -> SaTracker | None:
        message = parse_message(datagram.payload, missing=datagram.missing, context=self._context(datagram))
        self._count += 1
        if message.header is None:
            self._emit(datagram, events.UNREADABLE, "", {"notes": [note.kind for note in message.notes]})
            self.unreadable.append(self._record(datagram, message, "initiator"))
            return None
        sa = self._locate(datagram, message)
        if sa is None:
            self.dropped += 1
            return None
        record = self._record(datagram, message, self._sender(sa, datagram, message))
        self._file(sa, record)
        return sa

    def finish(self) -> list[SaTracker]:
        """Decide the outcome of every exchange; to be called once, behind the last datagram."""
        for datagram in self._waiting.close():
            self._read(datagram)
        for sa in self.sas:
            for position, exchange in enumerate(sa.exchanges):
                self._conclude(sa, exchange, islice(sa.exchanges, position + 1, None))
        groups = {sa.id: sa.group_id for sa in self.sas}  # only now is every responder SPI known
        self.events = [msgspec.structs.replace(event, group_id=groups.get(event.group_id, "")) for event in self.events]
        return self.sas

    def notes(self) -> list[CaptureNote]:
        """Which limits were reached."""
        notes = self._waiting.notes()
        if self.dropped:
            text = f"more than {MAX_SAS} IKE SAs: {self.dropped:,} messages of further ones are counted only"
            notes.append(CaptureNote("ike.sa-limit", text))
        if self.places:
            text = f"more than {MAX_PLACES} addresses and ports of one end: {self.places:,} messages came from further ones"
            notes.append(CaptureNote("ike.place-limit", text))
        return notes

    # -- identity ---------------------------------------------------------------------------------------------

    def _context(self, datagram: Datagram) -> Context:
        """What the SA's history decides about payload numbers that were given twice."""
        if GDOI_PORT in (datagram.sport, datagram.dport):
            return Context(gdoi=True, nat_t_drafts=False)
        data = datagram.payload
        sa = self._pairs.get((data[17] >> 4, data[:8], data[8:16])) if len(data) > 17 else None
        gdoi = bool(sa is not None and sa.extra.get("gdoi"))
        return Context(gdoi=gdoi, nat_t_drafts=not gdoi)

    def _locate(self, datagram: Datagram, message: Message) -> SaTracker | None:
        """The IKE SA a message belongs to, made when there is none."""
        header = message.header
        assert header is not None
        version, spi_i, spi_r = header.major_version, header.spi_i, header.spi_r
        latest = self._by_initiator.get((version, spi_i))
        if spi_r != NO_SPI:
            known = self._pairs.get((version, spi_i, spi_r))
            if known is not None:
                return known
            if latest is not None and self._may_bind(latest, message):
                return self._bind(latest, spi_r, refused=self._is_refusal(message))
            return self._open(datagram, version, spi_i, spi_r, handshake=False)
        if latest is not None and not self._is_new_use(latest, datagram, message):
            return latest
        return self._open(datagram, version, spi_i, None, handshake=True)

    def _may_bind(self, sa: SaTracker, message: Message) -> bool:
        """Whether a responder SPI that nobody saw before completes this SA.

        A refusal may carry another SPI than the answer to the retry, so a pair known from a refusal may change.
        """
        return sa.spi_r is None or (sa.refused_spi_r and self._begins_sa(message))

    def _bind(self, sa: SaTracker, spi_r: bytes, *, refused: bool) -> SaTracker:
        sa.spi_r, sa.refused_spi_r = spi_r, refused
        self._pairs[(sa.version, sa.spi_i, spi_r)] = sa
        return sa

    @staticmethod
    def _begins_sa(message: Message) -> bool:
        header = message.header
        assert header is not None
        if header.major_version == 1:
            return header.message_id == 0
        return header.exchange_type in _INITIAL

    def _is_refusal(self, message: Message) -> bool:
        return refusal_of(message.payloads) is not None

    def _is_new_use(self, sa: SaTracker, datagram: Datagram, message: Message) -> bool:
        """Whether a message without a responder SPI begins another SA with an SPI seen before (T4).

        It does not when it repeats something, when the SA is not answered yet, or when the last answer asked for
        another try (COOKIE, INVALID_KE_PAYLOAD: RFC 7296 2.6 and 2.7).
        """
        header = message.header
        assert header is not None
        if header.is_response or not sa.exchanges:
            return False
        role = sa.sender_of(datagram.src, datagram.sport) or "initiator"
        if digest(self._record(datagram, message, role)) in sa.digests:
            return False
        first = sa.exchanges[0] if sa.version == 1 else sa.exchanges[-1]
        if sa.version == 1:
            return sa.spi_r is not None and first.is_answered and first.type == header.exchange_type
        if sa.spi_r is None or sa.refused_spi_r:
            return False
        if len(sa.exchanges) == 1 and self._was_asked_again(sa):
            return False
        return header.exchange_type in _INITIAL

    @staticmethod
    def _was_asked_again(sa: SaTracker) -> bool:
        return any(refusal_of(record.payloads) in _RETRY for exchange in sa.exchanges for record in exchange.response)

    def _open(
        self, datagram: Datagram, version: int, spi_i: bytes, spi_r: bytes | None, *, handshake: bool
    ) -> SaTracker | None:
        if len(self.sas) >= MAX_SAS:
            return None
        sa = SaTracker(
            id=f"ike-{len(self.sas) + 1}", version=version, spi_i=spi_i, spi_r=spi_r, handshake_seen=handshake
        )
        self.sas.append(sa)
        self._half_open.add(sa.id)
        self._by_initiator[(version, spi_i)] = sa
        if spi_r is not None:
            self._pairs[(version, spi_i, spi_r)] = sa
        self._emit(datagram, events.SA_SEEN, sa.id, {"version": version, "handshake": handshake})
        return sa

    def _sender(self, sa: SaTracker, datagram: Datagram, message: Message) -> Role:
        """Which end of the IKE SA sent a message.

        IKEv2 says so in the I flag (RFC 7296 3.1). IKEv1 does not: the first sender without a responder cookie is the
        initiator, and after that the addresses decide.
        """
        header = message.header
        assert header is not None
        if sa.version != 1:
            return "initiator" if header.original_initiator else "responder"
        known = sa.sender_of(datagram.src, datagram.sport)
        if known is not None:
            return known
        receiver = sa.sender_of(datagram.dst, datagram.dport)
        if receiver is not None:
            return other(receiver)
        return "initiator"

    # -- filing -----------------------------------------------------------------------------------------------

    def _record(self, datagram: Datagram, message: Message, sender: Role) -> MessageRecord:
        header = message.header
        encrypted = bool(message.ciphertext) or has_encrypted(message.payloads)
        return MessageRecord(
            number=self._count,
            datagram=datagram,
            message=message,
            sender=sender,
            fragment=encrypted_fragment(message.payloads) or vendor_fragment(message.payloads) if header else None,
            encrypted=encrypted,
        )

    def _file(self, sa: SaTracker, record: MessageRecord) -> None:
        repeated = self._repeats(sa, record)
        is_copy = repeated is not None and _is_across_nat(repeated, record)
        self._learn_ends(sa, record, is_copy=is_copy)
        if is_copy:
            return
        if repeated is not None and not is_copy_again(repeated, record):
            first = sa.firsts.get(digest(record))
            if first is not None:  # the same octets mean the same: kept once, however often they come
                record = msgspec.structs.replace(record, message=first.message, opening=first.opening)
            repeated.repeats.append(record)
            self._emit(record.datagram, events.RETRANSMISSION, sa.id, self._label(repeated))
            return
        if sa.exchanges and not is_opening(record.datagram.payload):
            self._half_open.discard(sa.id)
        record = self._assemble(sa, record)
        exchange = self._exchange(sa, record)
        if take_copy(exchange, record):
            return
        sa.digests[digest(record)] = exchange
        if sa.version != 1:
            sa.flagless[digest_without_flags(record)] = exchange
        if self.opener is not None:
            opening = self.opener.open_ike(sa, exchange, record)
            if opening is not None:
                record = msgspec.structs.replace(record, opening=opening)
        exchange.add(record)
        sa.firsts[digest(record)] = record
        self._learn_contents(sa, exchange, record)
        if self.opener is not None:
            self.opener.filed(sa, exchange)
        self._emit(record.datagram, events.MESSAGE, sa.id, self._label(exchange) | {"sender": record.sender})

    def _repeats(self, sa: SaTracker, record: MessageRecord) -> ExchangeTracker | None:
        """The exchange in which this very message was seen before.

        The same octets from the other end, or with only the flags octet changed, are a copy made on the way (T44).
        """
        found = sa.digests.get(digest(record))
        if found is None and sa.version != 1:
            found = sa.flagless.get(digest_without_flags(record))
        return found

    def _learn_ends(self, sa: SaTracker, record: MessageRecord, *, is_copy: bool) -> None:
        """Note where both ends are. A copy from the other side of a NAT is a move only if its address was known."""
        datagram, sender = record.datagram, record.sender
        end = sa.ends[sender]
        moved = any(address == datagram.src for address, _ in end.seen) if is_copy else bool(end.seen)
        if self._learn_places(sa, record) and moved:
            # RFC 7296 2.23, RFC 3947 4: with a NAT about, IKE goes on from another port, behind a marker.
            floats = bool(datagram.marker) and not (datagram.src in end.marked if is_copy else end.marked)
            data = {"role": sender, "address": datagram.src, "port": datagram.sport, "float": floats}
            self._emit(datagram, events.PATH_MOVED, sa.id, data)
        if datagram.marker and len(end.marked) < MAX_PLACES:
            end.marked.add(datagram.src)

    def _learn_places(self, sa: SaTracker, record: MessageRecord) -> bool:
        """Note where both ends are; whether the sender's place is new."""
        datagram, sender = record.datagram, record.sender
        fresh = self._learn_place(sa.ends[sender], datagram.src, datagram.sport)
        self._learn_place(sa.ends[other(sender)], datagram.dst, datagram.dport)
        return fresh

    def _learn_place(self, end: EndpointTracker, address: str, port: int) -> bool:
        """Note where an end is; whether the place is new."""
        if len(end.seen) >= MAX_PLACES and (address, port) not in end.seen:
            self.places += 1
            return False
        return end.learn(address, port)

    def _assemble(self, sa: SaTracker, record: MessageRecord) -> MessageRecord:
        """Join IKEv1 vendor fragments (payload 132) when the set is complete."""
        if sa.version != 1 or record.fragment is None:
            return record
        joiner: VendorFragments = sa.extra.setdefault("vendor_fragments", VendorFragments())
        whole = joiner.add(record)
        if whole is None:
            return record
        return msgspec.structs.replace(record, assembled=parse_message(whole, context=record.message.context))

    def _exchange(self, sa: SaTracker, record: MessageRecord) -> ExchangeTracker:
        """The exchange a first transmission belongs to, made when there is none."""
        message = record.assembled or record.message
        header = message.header or record.message.header
        assert header is not None
        kind = message.exchange_type or record.message.exchange_type
        assert kind is not None
        initiated_by: Role = record.sender
        if sa.version == 1:
            key: tuple[Any, ...] = (int(kind), header.message_id)
        else:
            # RFC 7296 2.2: each direction numbers its own requests, so a message id alone means nothing.
            initiated_by = other(record.sender) if header.is_response else record.sender
            key = (initiated_by, header.message_id)
        found = sa.index.get(key)
        if found is None or self._begins_again(sa, found, kind, record):
            found = ExchangeTracker(type=kind, message_id=header.message_id, initiated_by=initiated_by)
            sa.exchanges.append(found)
            sa.index[key] = found
        return found

    @staticmethod
    def _begins_again(sa: SaTracker, found: ExchangeTracker, kind: CodePoint, record: MessageRecord) -> bool:
        """Whether a new exchange uses the message id of an old one: a retried IKE_SA_INIT, or a broken peer."""
        if sa.version == 1:
            return False
        if found.type != kind:
            return True
        fresh_request = record.sender == found.initiated_by
        return fresh_request and found.is_answered and int(kind) in _INITIAL and record.fragment is None

    def _learn_contents(self, sa: SaTracker, exchange: ExchangeTracker, record: MessageRecord) -> None:
        payloads = record.payloads
        for data in vendor_ids_of(payloads):
            sa.ends[record.sender].vendor_ids[data] = None
        if is_gdoi(payloads):
            sa.extra["gdoi"] = True
        refusal = refusal_of(payloads)
        if refusal is not None and record.sender != exchange.initiated_by:
            exchange.refusal = refusal
        elif sa.refused_spi_r and self._begins_sa(record.message) and record.sender == "responder":
            sa.refused_spi_r = False

    # -- outcomes ---------------------------------------------------------------------------------------------

    def _conclude(self, sa: SaTracker, exchange: ExchangeTracker, later: Iterable[ExchangeTracker]) -> None:
        if sa.version == 1:
            conclude_ikev1(exchange)
        elif exchange.refusal in _RETRY and any(_is_retry(exchange, follower) for follower in later):
            exchange.outcome = "retried"
        elif exchange.refusal is not None:
            exchange.outcome = "refused"
        elif exchange.is_answered:
            exchange.outcome = "completed"
        elif exchange.request:
            exchange.outcome = "unanswered"
        exchange.basis = "decrypted" if _was_opened(exchange) else "observed"

    # -- small things -----------------------------------------------------------------------------------------

    def _feed_icmp(self, datagram: Datagram) -> SaTracker | None:
        quoted = datagram.quoted
        assert quoted is not None
        sa = None
        data = quoted.payload
        if quoted.kind == Kind.IKE and len(data) >= 18:
            version, spi_i, spi_r = data[17] >> 4, data[:8], data[8:16]
            sa = self._pairs.get((version, spi_i, spi_r)) or self._by_initiator.get((version, spi_i))
        self.icmp.append((datagram, sa))
        icmp = datagram.icmp
        detail = {"sender": icmp.sender, "type": icmp.type, "code": icmp.code, "mtu": icmp.mtu} if icmp else {}
        self._emit(datagram, events.ICMP_ERROR, sa.id if sa else "", detail)
        return sa

    @staticmethod
    def _label(exchange: ExchangeTracker) -> dict[str, Any]:
        return {"exchange": str(exchange.type), "message_id": exchange.message_id}

    def _emit(self, datagram: Datagram, name: str, group_id: str, data: dict[str, Any]) -> None:
        self.events.append(Event(datagram.time_ns, name, group_id, datagram.file, datagram.frame, data))


def _is_across_nat(exchange: ExchangeTracker, record: MessageRecord) -> bool:
    """Whether a message is one that was just seen on the other side of a NAT: same octets, same moment, one end moved.

    A capture on several interfaces of the translating host has every packet twice. A retransmission comes later.
    """
    here = record.datagram
    for each in (*exchange.request, *exchange.response, *exchange.repeats):
        there = each.datagram
        if each.sender != record.sender or abs(here.time_ns - there.time_ns) > MAX_APART_NS:
            continue
        moved = ((here.src, here.sport) != (there.src, there.sport), (here.dst, here.dport) != (there.dst, there.dport))
        if sum(moved) == 1 and here.payload == there.payload:
            return True
    return False


def _is_retry(exchange: ExchangeTracker, follower: ExchangeTracker) -> bool:
    same = follower.type == exchange.type and follower.initiated_by == exchange.initiated_by
    return same and bool(follower.request)


def _was_opened(exchange: ExchangeTracker) -> bool:
    return any(
        record.opening is not None and record.opening.is_open for record in (*exchange.request, *exchange.response)
    )


# How many messages make an IKEv1 exchange complete (RFC 2408 4.4-4.8, RFC 2409 5).
_IKEV1_MESSAGES = {
    int(IsakmpExchangeType.BASE): 4,
    int(IsakmpExchangeType.IDENTITY_PROTECTION): 6,
    int(IsakmpExchangeType.AUTHENTICATION_ONLY): 3,
    int(IsakmpExchangeType.AGGRESSIVE): 3,
    int(IsakmpExchangeType.INFORMATIONAL): 1,
    int(IsakmpExchangeType.TRANSACTION): 2,
    int(IsakmpExchangeType.QUICK_MODE): 3,
    int(IsakmpExchangeType.NEW_GROUP_MODE): 2,
}


def conclude_ikev1(exchange: ExchangeTracker) -> None:
    """Decide how an IKEv1 exchange ended by the number of its messages."""
    needed = _IKEV1_MESSAGES.get(int(exchange.type), 2)
    request, response = _messages(exchange.request), _messages(exchange.response)
    if exchange.refusal is not None:
        exchange.outcome = "refused"
    elif request + response >= needed:
        exchange.outcome = "completed"
    elif request > response:
        exchange.outcome = "unanswered"
    else:
        exchange.outcome = "unknown"


def _messages(records: list[MessageRecord]) -> int:
    """Messages among datagrams: a set of vendor fragments is one when it was completed."""
    return sum(1 for record in records if record.fragment is None or record.assembled is not None)
