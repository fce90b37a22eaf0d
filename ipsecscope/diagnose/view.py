"""What rules look through: the analysis with its indices, and readings that several rules share.

A reading classifies (this answer is a lone error notify, that one made a Child SA) from opened payloads where there
are keys and from sizes where there are none; it says which. Judgement stays with the rules.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Literal

import msgspec

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.diagnose import sizes
from ipsecscope.diagnose.sizes import Envelope, Inner
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.ikev2.extensions.rfc5685 import GatewayIdentity
from ipsecscope.dissect.registry.eap import EapCode
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import FIRST_STATUS, bodies, first, notifies
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.nat import INITIAL_TTLS
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa, MessageRecord, Role

MAX_EXAMPLES = 16  # openings of one responder that a failed one is compared with
MAX_COMPARED = 256  # other SAs that one SA is compared with, so that all rules together take linear time

AnswerKind = Literal["none", "refused", "child-refused", "complete", "eap-refused", "eap-open", "unknown"]


class Answer(msgspec.Struct, frozen=True):
    """How the IKE_AUTH exchanges of an IKE SA ended."""

    kind: AnswerKind
    basis: Literal["decrypted", "inferred"]
    exchange: Exchange | None = None
    notify: CodePoint | None = None
    inner: Inner | None = None
    rounds: int = 0


class View:
    """One analysis, indexed once: everything here takes time linear in the capture."""

    def __init__(self, analysis: Analysis, clear: Sequence[ClearTraffic] = (), profiles: Iterable[str] = ()) -> None:
        self.analysis = analysis
        self.clear: tuple[ClearTraffic, ...] = (*analysis.clear, *clear)
        self.profiles = tuple(dict.fromkeys(profiles))  # names of the security profiles that were asked for
        self.sas: dict[str, IkeSa] = {sa.id: sa for sa in analysis.ike_sas}
        self.flows: dict[str, Flow] = {flow.id: flow for flow in analysis.flows}
        self.last_ns = analysis.last_ns or 0
        self._answers: dict[str, Answer] = {}
        self._alignments: dict[tuple[str, Role], int] = {}

    # -- indices ----------------------------------------------------------------------------------------------

    @cached_property
    def by_hosts(self) -> dict[frozenset[str], list[IkeSa]]:
        """The IKE SAs between two hosts, in order of appearance."""
        found: dict[frozenset[str], list[IkeSa]] = {}
        for sa in self.analysis.ike_sas:
            found.setdefault(hosts(sa), []).append(sa)
        for sas in found.values():
            sas.sort(key=lambda sa: sa.start_ns)
        return found

    @cached_property
    def by_responder(self) -> dict[str, list[IkeSa]]:
        """The IKE SAs by the address that answers."""
        found: dict[str, list[IkeSa]] = {}
        for sa in self.analysis.ike_sas:
            found.setdefault(sa.responder.address, []).append(sa)
        return found

    @cached_property
    def answered_openings(self) -> dict[str, list[tuple[IkeSa, Exchange]]]:
        """Openings that were answered well, by the address that answered; the first ``MAX_EXAMPLES`` of each."""
        found: dict[str, list[tuple[IkeSa, Exchange]]] = {}
        for sa in self.analysis.ike_sas:
            known = found.setdefault(sa.responder.address, [])
            if sa.version == 1 or len(known) >= MAX_EXAMPLES:
                continue
            known += [(sa, each) for each in opening(sa) if each.outcome == "completed" and each.request][:1]
        return found

    @cached_property
    def sent_away(self) -> frozenset[tuple[str, str]]:
        """Clients with the gateway that sent each to another one, as they tell the other (RFC 5685 section 4)."""
        found: set[tuple[str, str]] = set()
        for sa in self.analysis.ike_sas:
            told = notify_in((record for each in opening(sa) for record in each.request), NotifyType.REDIRECTED_FROM)
            gateway = None if told is None else told[1].content()
            if isinstance(gateway, GatewayIdentity):
                found.add((sa.initiator.address, gateway.summary()))
        return frozenset(found)

    @cached_property
    def flows_between(self) -> dict[frozenset[str], list[Flow]]:
        """The flows between two hosts."""
        found: dict[frozenset[str], list[Flow]] = {}
        for flow in self.analysis.flows:
            found.setdefault(frozenset({flow.src, flow.dst}), []).append(flow)
        return found

    @cached_property
    def directions(self) -> frozenset[tuple[str, str]]:
        """Every (source, destination) that something of IPsec or ICMP was seen from and to."""
        seen = {(flow.src, flow.dst) for flow in self.analysis.flows}
        for sa in self.analysis.ike_sas:
            for record in records_of(sa):
                seen.add((record.datagram.src, record.datagram.dst))
        for datagram, _ in self.analysis.icmp:
            if datagram.icmp is not None:
                seen.add((datagram.icmp.sender, datagram.dst))
        return frozenset(seen)

    @cached_property
    def icmp_of(self) -> dict[str, list[int]]:
        """For each IKE SA the positions in ``analysis.icmp`` of the errors that quote it."""
        found: dict[str, list[int]] = {}
        for position, (_, sa) in enumerate(self.analysis.icmp):
            if sa is not None:
                found.setdefault(sa, []).append(position)
        return found

    @cached_property
    def _child_owner(self) -> dict[str, IkeSa]:
        return {child.id: sa for sa in self.analysis.ike_sas for child in sa.child_sas}

    @cached_property
    def _frame_owner(self) -> dict[tuple[int, int], str]:
        return {(r.datagram.file, r.frame): sa.id for sa in self.analysis.ike_sas for r in records_of(sa)}

    def owner_at(self, file: int, frame: int) -> str | None:
        """The IKE SA of the message in a frame."""
        return self._frame_owner.get((file, frame))

    def owner(self, child: ChildSa) -> IkeSa | None:
        """The IKE SA of a Child SA."""
        return self._child_owner.get(child.id)

    def sa_of(self, flow: Flow) -> IkeSa | None:
        """The IKE SA that a flow belongs to."""
        binding = self.analysis.bindings.get(flow.id)
        return None if binding is None else self.sas.get(binding.ike_sa)

    @cached_property
    def _child_by_flow(self) -> dict[str, ChildSa]:
        return {name: child for sa in self.analysis.ike_sas for child in sa.child_sas for name in child.flows}

    def child_of(self, flow: Flow) -> ChildSa | None:
        """The Child SA that a flow belongs to."""
        return self._child_by_flow.get(flow.id)

    def flows_of(self, sa: IkeSa) -> list[Flow]:
        """The flows bound to an IKE SA."""
        return [self.flows[name] for child in sa.child_sas for name in child.flows if name in self.flows]

    def opposite(self, flow: Flow) -> Flow | None:
        """The flow in the other direction: of the same Child SA, or the one that overlaps it longest."""
        child = self.child_of(flow)
        if child is not None:
            back = [self.flows[name] for name in child.flows if name in self.flows and name != flow.id]
            return next((each for each in back if each.src == flow.dst or each.dst == flow.src), None)
        around = self.flows_between.get(frozenset({flow.src, flow.dst}), [])[:MAX_COMPARED]
        back = [each for each in around if each.src == flow.dst and each.protocol == flow.protocol]
        shared = {e.id: min(e.last_ns, flow.last_ns) - max(e.first_ns, flow.first_ns) for e in back}
        return max((each for each in back if shared[each.id] > 0), key=lambda each: shared[each.id], default=None)

    def later(self, sa: IkeSa) -> list[IkeSa]:
        """The IKE SAs between the same hosts that began after this one, at most ``MAX_COMPARED``."""
        sas = self.by_hosts.get(hosts(sa), [])
        start = bisect_right(sas, sa.start_ns, key=lambda each: each.start_ns)
        return sas[start : start + MAX_COMPARED]

    def earlier(self, sa: IkeSa) -> list[IkeSa]:
        """The IKE SAs between the same hosts that began before this one, at most ``MAX_COMPARED``."""
        sas = self.by_hosts.get(hosts(sa), [])
        stop = bisect_left(sas, sa.start_ns, key=lambda each: each.start_ns)
        return sas[max(0, stop - MAX_COMPARED) : stop]

    def previous(self, sa: IkeSa) -> IkeSa | None:
        """The IKE SA between the same hosts that began last before this one."""
        sas = self.by_hosts.get(hosts(sa), [])
        position = bisect_left(sas, sa.start_ns, key=lambda each: each.start_ns)
        return sas[position - 1] if position else None

    def horizon(self, time_ns: int) -> int:
        """How long the capture goes on after a moment, in nanoseconds."""
        return self.last_ns - time_ns

    def saw(self, src: str, dst: str) -> bool:
        """Whether the capture holds anything of IPsec from one host to the other."""
        return (src, dst) in self.directions

    def tap_side(self, sa: IkeSa) -> Role | None:
        """The end that the capture was taken at: the one whose packets still have the TTL they were sent with."""
        untouched: dict[Role, bool] = {}
        for record in records_of(sa):
            if record.datagram.ttl:
                fresh = record.datagram.ttl in INITIAL_TTLS
                untouched[record.sender] = untouched.get(record.sender, True) and fresh
        at: list[Role] = [role for role, fresh in untouched.items() if fresh]
        return at[0] if len(at) == 1 else None

    # -- sizes ------------------------------------------------------------------------------------------------

    def envelope(self, sa: IkeSa) -> Envelope | None:
        """What encryption adds to a message of this SA; a rekeyed SA's is taken to be that of the one before."""
        suite = sa.suite
        before = self.sas.get(sa.rekeys or "")
        for _ in range(64):
            if suite is not None or before is None:
                break
            suite, before = before.suite, self.sas.get(before.rekeys or "")
        return sizes.envelope_ikev1(suite) if sa.version == 1 else sizes.envelope_ikev2(suite)

    def inner(self, sa: IkeSa, records: Sequence[MessageRecord]) -> Inner | None:
        """The payload octets of one encrypted message of one sender."""
        envelope = self.envelope(sa)
        if envelope is None or not records or not any(record.is_encrypted for record in records):
            return None
        if sa.version == 1:
            return sizes.inner_ikev1(records[-1], envelope)
        return sizes.inner_ikev2(records, envelope, self._alignment(sa, records[0].sender, envelope))

    def _alignment(self, sa: IkeSa, sender: Role, envelope: Envelope) -> int:
        key = (sa.id, sender)
        if key not in self._alignments:
            lengths = (
                (record.datagram.wire_length, record.fragment is not None)
                for record in records_of(sa)
                if record.sender == sender and record.encrypted
            )
            self._alignments[key] = sizes.alignment_of(lengths, envelope)
        return self._alignments[key]

    # -- readings ---------------------------------------------------------------------------------------------

    def answer(self, sa: IkeSa) -> Answer:
        """How IKE_AUTH ended, from what was opened or from sizes."""
        if sa.id not in self._answers:
            self._answers[sa.id] = self._answer(sa)
        return self._answers[sa.id]

    def _answer(self, sa: IkeSa) -> Answer:
        auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
        if sa.version == 1 or not auths or not auths[-1].response:
            return Answer("none", "inferred", rounds=len(auths))
        last = auths[-1]
        if any(is_open(record) for record in last.response):
            found = _read_answer(last, len(auths))
            following = next_after(sa, last)
            given_up = (
                found.kind == "eap-open"
                and (len(auths) > 1 or not sa.handshake_seen)
                and following is not None
                and self.closes(sa, following)
            )
            return msgspec.structs.replace(found, kind="eap-refused") if given_up else found
        inner = self.inner(sa, last.response)
        if inner is None:
            return Answer("unknown", "inferred", last, rounds=len(auths))
        kind = self._first_answer(sa, inner) if len(auths) == 1 else self._eap_answer(sa, auths, inner)
        if kind == "child-refused" and (sa.initiator.address, sa.responder.address) in self.sent_away:
            kind = "unknown"  # the notify is a REDIRECT (RFC 5685 section 6)
        if kind == "child-refused" and self.asks_no_child(sa):
            kind = "complete"  # no Child SA was asked for (RFC 6023)
        return Answer(kind, "inferred", last, None, inner, len(auths))

    def asks_no_child(self, sa: IkeSa) -> bool:
        """Whether IKE_AUTH asks for no Child SA (RFC 6023): it holds none, or has no room for one."""
        auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
        if len(auths) != 1:
            return False
        if any(is_open(record) for record in auths[0].request):
            return not any(next(bodies(r.payloads, ikev2.SecurityAssociation), None) for r in auths[0].request)
        asked = self.inner(sa, auths[0].request)
        return asked is not None and asked.is_below(sizes.min_success(sa.suite))

    @staticmethod
    def _first_answer(sa: IkeSa, inner: Inner) -> AnswerKind:
        if inner.is_below(sizes.min_proof(sa.suite)):
            return "refused"
        if inner.is_below(sizes.min_success(sa.suite)):
            return "child-refused"
        return "complete" if inner.low >= sizes.min_success(sa.suite) else "unknown"

    def _eap_answer(self, sa: IkeSa, auths: list[Exchange], inner: Inner) -> AnswerKind:
        """The class of the last of several answers: EAP goes on, ended in Success (8 octets) or was refused."""
        if not any(self._succeeds(sa, one, two) for one, two in pairwise(auths)):
            following = next_after(sa, auths[-1])
            ends = following is None and inner.may_be(*sizes.EAP_REFUSALS) and inner.is_below(sizes.EAP_ROOM)
            return "eap-refused" if ends or (following is not None and is_informational(following)) else "eap-open"
        if inner.is_below(sizes.min_auth(sa.suite)):
            return "refused"
        return "child-refused" if inner.is_below(sizes.min_last_success(sa.suite)) else "complete"

    def _succeeds(self, sa: IkeSa, exchange: Exchange, following: Exchange) -> bool:
        """Whether an answer may be EAP-Success: bare, and the initiator proves itself next (RFC 7296 2.16)."""
        inner, proof = self.inner(sa, exchange.response), self.inner(sa, following.request)
        if inner is None or proof is None or not inner.may_be(sizes.notify()) or not inner.is_below(2 * sizes.notify()):
            return False
        prf = sizes.prf_of(sa.suite)
        return prf is not None and proof.may_be(sizes.authentication(prf.output_size))

    def is_short(self, sa: IkeSa, records: Sequence[MessageRecord]) -> bool:
        """Whether an IKEv2 message has room for one notify or one delete and no more."""
        inner = self.inner(sa, records)
        return inner is not None and inner.is_below(sizes.notify() + sizes.notify() + 1)

    def closes(self, sa: IkeSa, exchange: Exchange) -> bool:
        """Whether an IKEv2 INFORMATIONAL deletes the IKE SA or carries an error, as far as that can be known."""
        if not is_informational(exchange):
            return False
        if any(is_open(record) for record in exchange.request):
            return bool(error_of(exchange.request)) or deletes_ike(exchange.request)
        inner = self.inner(sa, exchange.request)
        return inner is not None and inner.may_be(sizes.notify()) and inner.high < 2 * sizes.notify()


# -- over records and exchanges -----------------------------------------------------------------------------------


def hosts(sa: IkeSa) -> frozenset[str]:
    """The two addresses of an IKE SA, as first seen."""
    return frozenset({sa.initiator.address, sa.responder.address})


def records_of(sa: IkeSa) -> Iterator[MessageRecord]:
    """Every datagram of an IKE SA: first transmissions and repeats."""
    for exchange in sa.exchanges:
        yield from exchange.request
        yield from exchange.response
        yield from exchange.repeats


def exchanges_of(sa: IkeSa, *kinds: int) -> list[Exchange]:
    """The exchanges of these types, in order."""
    return [exchange for exchange in sa.exchanges if exchange.type in kinds]


def opening(sa: IkeSa) -> list[Exchange]:
    """The exchanges that negotiate the IKE SA itself, in the clear at first."""
    if sa.version == 1:
        return exchanges_of(
            sa, IsakmpExchangeType.IDENTITY_PROTECTION, IsakmpExchangeType.AGGRESSIVE, IsakmpExchangeType.BASE
        )
    return exchanges_of(sa, ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)


def next_after(sa: IkeSa, exchange: Exchange) -> Exchange | None:
    """The exchange that begins next in the same SA."""
    later = [each for each in sa.exchanges if each is not exchange and each.start_ns >= exchange.stop_ns]
    return min(later, key=lambda each: each.start_ns, default=None)


def is_informational(exchange: Exchange) -> bool:
    """Whether an exchange is an INFORMATIONAL one of either version."""
    return int(exchange.type) in {int(ExchangeType.INFORMATIONAL), int(IsakmpExchangeType.INFORMATIONAL)}


def is_open(record: MessageRecord) -> bool:
    """Whether the encrypted part of a message was opened."""
    return record.opening is not None and record.opening.is_open


def error_of(records: Iterable[MessageRecord]) -> CodePoint | None:
    """The first error notify that can be read."""
    for record in records:
        for kind in notifies(record.payloads):
            if int(kind) < FIRST_STATUS:
                return kind
    return None


def has_notify(records: Iterable[MessageRecord], kind: int) -> bool:
    """Whether a notify of this type can be read in one of the messages."""
    return any(int(each) == int(kind) for record in records for each in notifies(record.payloads))


def notify_in(records: Iterable[MessageRecord], kind: int) -> tuple[MessageRecord, ikev2.Notify] | None:
    """The first IKEv2 notify of a type, with its message."""
    for record in records:
        for body in bodies(record.payloads, ikev2.Notify):
            if int(body.notify_type) == int(kind):
                return record, body
    return None


def deletes_ike(records: Iterable[MessageRecord]) -> bool:
    """Whether a readable Delete payload is for the IKE SA itself."""
    for record in records:
        if any(not body.spis and not body.spi_size for body in bodies(record.payloads, ikev2.Delete)):
            return True
        if any(body.spi_size == sizes.COOKIES for body in bodies(record.payloads, ikev1.Delete)):
            return True
    return False


def copies(exchange: Exchange, role: Role) -> list[MessageRecord]:
    """Everything one side sent in an exchange, repeats included, in order."""
    sent = [record for record in (*exchange.request, *exchange.response, *exchange.repeats) if record.sender == role]
    return sorted(sent, key=lambda record: record.number)


def rounds(records: Iterable[MessageRecord]) -> list[int]:
    """When a message was sent, again and again: one moment for each transmission of the whole set of fragments."""
    moments: dict[int, list[int]] = {}
    for record in records:
        moments.setdefault(record.fragment[0] if record.fragment else 0, []).append(record.time_ns)
    return max(moments.values(), key=len, default=[])


def _read_answer(exchange: Exchange, count: int) -> Answer:
    """The class of an opened IKE_AUTH answer (RFC 7296 1.2, 2.16, 2.21.2)."""
    payloads = tuple(payload for record in exchange.response for payload in record.payloads)
    error = error_of(exchange.response)
    eap = first(payloads, ikev2.Eap)
    has_auth = first(payloads, ikev2.Authentication) is not None
    kind: AnswerKind = "unknown"
    if eap is not None and eap.code == EapCode.FAILURE:
        kind = "eap-refused"
    elif error is not None:
        kind = "child-refused" if has_auth or not _refuses_ike(error) else "refused"
        if kind == "refused" and count > 1:
            kind = "eap-refused"
    elif eap is not None:
        kind = "eap-open"
    elif first(payloads, ikev2.SecurityAssociation) is not None or has_auth:
        kind = "complete"
    return Answer(kind, "decrypted", exchange, error, None, count)


_IKE_ERRORS = frozenset(
    {
        int(NotifyType.AUTHENTICATION_FAILED),
        int(NotifyType.INVALID_SYNTAX),
        int(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD),
        int(NotifyType.INVALID_MAJOR_VERSION),
        int(NotifyType.INVALID_IKE_SPI),
    }
)


def _refuses_ike(error: CodePoint) -> bool:
    return int(error) in _IKE_ERRORS or not error.is_known
