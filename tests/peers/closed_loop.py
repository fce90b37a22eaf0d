"""The closed loop: what both peers say of a scenario, and what the analysis of its capture says, as the same facts.

A fact is a tuple whose first member is its kind. Both readings are counters of facts, so that they can be compared,
subtracted and counted. SPIs are hexadecimal, selectors text, roles those in the IKE SA.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from ipsecscope.decrypt.keymat import ChildSuite
from ipsecscope.peers import events as told
from ipsecscope.peers.events import ChildEvent, PeerEvent, Role
from ipsecscope.peers.scenario import Generated
from ipsecscope.peers.scenarios import BY_NAME
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import refusal_of
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa, MessageRecord, Suite

Fact = tuple[object, ...]
Facts = Counter[Fact]

GROUP_SIZE = 33  # two SPIs in hexadecimal and what joins them
INFORMATIONAL = "INFORMATIONAL"
DELETED = frozenset({"deleted", "deleted by us"})  # the reasons of an end that a Delete payload brought about
OTHER: dict[Role, Role] = {"initiator": "responder", "responder": "initiator"}


# -- what the peers say ----------------------------------------------------------------------------------------------


class Said:
    """The facts of a played scenario, by kind."""

    def __init__(self, generated: Generated) -> None:
        self.generated = generated
        self.version = BY_NAME[generated.name].version
        groups = {event.group_id for event in generated.events}
        self._whole = {group[:16]: group for group in sorted(groups) if not group.endswith("_" + "0" * 16)}

    @property
    def known(self) -> frozenset[bytes]:
        """The initiator's SPIs of the IKE SAs that one of the two began; strangers began the others."""
        return frozenset(
            bytes.fromhex(event.group_id[:16])
            for events in (self.generated.left_events, self.generated.right_events)
            for event in events
            if isinstance(event, told.MessageSent) and event.vantage == event.sender == "initiator"
        )

    def group(self, group_id: str) -> str:
        """The group id with the responder's SPI, where it became known."""
        return self._whole.get(group_id[:16], group_id) if group_id.endswith("_" + "0" * 16) else group_id

    def of(self, *kinds: type[PeerEvent]) -> Iterator[PeerEvent]:
        """The events of some kinds."""
        return (event for event in self.generated.events if isinstance(event, kinds))

    def facts(self) -> Facts:
        """Everything that can be laid beside a capture; what both sides say counts once."""
        left, right = (self._of(events) for events in (self.generated.left_events, self.generated.right_events))
        known = {spi.hex() for spi in self.known}
        found = Counter({fact: n for fact, n in (left | right).items() if _is_of(fact, known)})
        found -= Counter({fact: n for fact, n in found.items() if not self._was_answered(fact, found)})
        both = {fact[1] for fact in left & right if fact[0] == "established"}
        completed = {fact[1:] for fact in found if fact[0] == "completed"}
        refused = {fact[1] for fact in found if fact[0] == "refused"}
        for fact in list(found):
            kind = fact[0]
            if kind in {"established", "identity"} and fact[1] not in both:
                del found[fact]  # one side believes in an SA that the other never had
            elif kind == "unanswered" and (fact[1:] in completed or (self.version == 1 and fact[1] in refused)):
                del found[
                    fact
                ]  # it was answered: the answer was lost behind the tap, or came in an exchange of its own
        found.update({("packets", each.protocol, each.spi): each.sent for each in self.generated.traffic})
        found.update({("opened", each.protocol, each.spi): each.sent for each in self.generated.traffic})
        return +found

    def _was_answered(self, fact: Fact, found: Facts) -> bool:
        """Whether an exchange that is said to be complete had an answer: a dead peer believes that it answered."""
        if fact[0] != "completed" or self.version == 1:
            return True
        _, group, exchange, message_id, initiated_by = fact
        sender = "responder" if initiated_by == "initiator" else "initiator"
        return ("message", group, exchange, message_id, sender) in found

    def _of(self, events: Iterable[PeerEvent]) -> Facts:
        """What one side says. SAs that it forgets without a word on the wire are not deleted, as far as that tells."""
        silent = {
            (event.time_ns, event.group_id)
            for event in events
            if isinstance(event, told.IkeSaClosed) and event.reason not in DELETED
        }
        found: Facts = Counter()
        for event in events:
            if not (isinstance(event, told.ChildSaDeleted) and (event.time_ns, event.group_id) in silent):
                found.update(self._facts_of(event))
        return found

    def _facts_of(self, event: PeerEvent) -> Iterator[Fact]:
        group = self.group(event.group_id)
        if isinstance(event, told.MessageRetransmitted):
            yield "again", group, event.exchange, event.message_id, event.sender
        elif isinstance(event, told.MessageSent):
            yield "message", group, event.exchange, event.message_id, event.sender
        elif isinstance(event, told.Refused):
            # IKEv1 refuses in an exchange of its own, which does not say what it refuses.
            label = () if self.version == 1 else (event.exchange, event.message_id, event.initiated_by)
            yield "refused", group, *label, event.notify
        elif isinstance(event, told.ExchangeUnanswered):
            yield "unanswered", group, event.exchange, event.message_id, event.initiated_by
        elif isinstance(event, told.ExchangeCompleted) and not (self.version == 1 and event.exchange == INFORMATIONAL):
            yield "completed", group, event.exchange, event.message_id, event.initiated_by
        elif isinstance(event, told.ProposalChosen):
            yield "suite", group, " ".join(sorted(event.transforms))
        elif isinstance(event, told.HandshakeCompleted):
            yield "established", group
            yield "identity", group, event.vantage, event.local_id
            yield "identity", group, OTHER[event.vantage], event.remote_id
        elif isinstance(event, told.IkeSaRekeyed) and self.version != 1:  # in IKEv1, one more phase 1 and no more
            yield "IKE SA rekeyed", group, self.group(event.successor)
        elif isinstance(event, told.IkeSaClosed) and event.reason in DELETED:
            yield "IKE SA deleted", group
        elif isinstance(event, told.NatDetected):
            yield "NAT", group, event.data["initiator"], event.data["responder"]
        elif isinstance(event, told.PathMoved):
            yield "moved", group, event.role, event.address, event.port
        elif isinstance(event, told.ChildSaInstalled):
            swap = (event.vantage == "initiator") != event.is_initiator
            tsi, tsr = (event.tsr, event.tsi) if swap else (event.tsi, event.tsr)
            yield "child", *_spis(event), _child_suite(event.suite, esn=event.esn), event.mode, tsi, tsr
        elif isinstance(event, told.ChildSaRekeyed) and self.version != 1:  # IKEv1 has no word for it on the wire
            yield "child rekeyed", *_spis(event)
        elif isinstance(event, told.ChildSaDeleted):
            yield "child deleted", *_spis(event)


def _is_of(fact: Fact, known: set[str]) -> bool:
    """Whether a fact concerns one of these IKE SAs, or none (Child SAs and their packets)."""
    group = fact[1]
    return not isinstance(group, str) or len(group) != GROUP_SIZE or group[:16] in known


def _spis(event: ChildEvent) -> Fact:
    return str(event.protocol), *sorted((event.spi_i.hex(), event.spi_r.hex()))


def _child_suite(suite: ChildSuite, *, esn: bool) -> str:
    cipher = "NULL" if suite.encryption is None else suite.encryption.name
    bits = "" if suite.key_bits is None else f"-{suite.key_bits}"
    return f"{cipher}{bits} {suite.integrity.name if suite.integrity else 'NONE'} {'ESN' if esn else 'no ESN'}"


# -- what the analysis says ------------------------------------------------------------------------------------------


def seen(analysis: Analysis, known: frozenset[bytes]) -> Facts:
    """The facts of an analysed capture, but for those of IKE SAs that strangers began: ``known`` are the SPIs."""
    found: Facts = Counter()
    strangers = {sa.group_id for sa in analysis.ike_sas if sa.spi_i not in known}
    for sa in analysis.ike_sas:
        if sa.group_id in strangers:
            continue
        for exchange in sa.exchanges:
            found.update(_exchange_facts(sa, exchange))
        found.update(_sa_facts(sa, analysis))
        for child in sa.child_sas:
            found.update(_child_facts(child))
    for event in analysis.events:
        if event.name == "path:moved" and not event.data["float"] and event.group_id not in strangers:
            data = event.data
            found["moved", event.group_id, data["role"], data["address"], data["port"]] += 1
    for flow in analysis.flows:
        key, numbers = (flow.protocol, flow.spi), flow.packets - flow.duplicates  # a tap on each side sees all twice
        found["packets", *key] = max(found["packets", *key], numbers)
        result = analysis.traffic.get(flow.id)
        if result is not None:
            found["opened", *key] = max(found["opened", *key], min(result.opened, numbers))
    established = {fact[1] for fact in found if fact[0] == "established"}
    refused = {fact[1] for fact in found if fact[0] == "refused" and len(fact) == 3}
    for fact in list(found):
        if fact[0] == "identity" and fact[1] not in established:
            del found[fact]  # read in a message, but the peers tell of proven identities only
        elif fact[0] == "unanswered" and fact[1] in refused:
            del found[fact]  # IKEv1 refused it in an exchange of its own
    return +found


def _exchange_facts(sa: IkeSa, exchange: Exchange) -> Iterator[Fact]:
    label = (sa.group_id, str(exchange.type), exchange.message_id)
    for record in exchange.records:
        if _counts(record):
            yield "message", *label, record.sender
    for record in exchange.repeats:
        if _counts(record):
            yield "again", *label, record.sender
    by = exchange.initiated_by
    if sa.version == 1 and str(exchange.type) == INFORMATIONAL:
        for name in filter(None, (refusal_of(record.payloads) for record in exchange.request)):
            yield "refused", sa.group_id, name
    elif exchange.outcome in {"refused", "retried"}:
        for name in {refusal_of(record.payloads) for record in exchange.response} - {None}:
            yield "refused", *label, by, name
    elif exchange.outcome in {"completed", "unanswered"}:
        yield exchange.outcome, *label, by


def _counts(record: MessageRecord) -> bool:
    """Whether a datagram stands for its message: it is whole, or the first fragment."""
    return record.fragment is None or record.fragment[0] == 1


def _sa_facts(sa: IkeSa, analysis: Analysis) -> Iterator[Fact]:
    by_id = {each.id: each for each in analysis.ike_sas}
    if sa.suite is not None:
        yield "suite", sa.group_id, _ike_suite(sa)
    if sa.state in {"established", "rekeyed", "closed"}:
        yield "established", sa.group_id
    for role, end in (("initiator", sa.initiator), ("responder", sa.responder)):
        if end.id is not None:
            yield "identity", sa.group_id, role, end.id[1]
    if sa.rekeys is not None:
        yield "IKE SA rekeyed", by_id[sa.rekeys].group_id, sa.group_id
    if sa.closed_ns is not None:
        yield "IKE SA deleted", sa.group_id
    if sa.nat.initiator or sa.nat.responder:
        yield "NAT", sa.group_id, bool(sa.nat.initiator), bool(sa.nat.responder)


def _ike_suite(sa: IkeSa) -> str:
    suite = sa.suite
    assert suite is not None
    names = [_keyed(suite), suite.prf, suite.integ, *suite.ke]
    return " ".join(sorted(name for name in names if name))


def _keyed(suite: Suite) -> str:
    return f"{suite.encr or 'NULL'}{'' if suite.key_length is None else f'-{suite.key_length}'}"


def _child_facts(child: ChildSa) -> Iterator[Fact]:
    spis = (child.protocol, *sorted(f"{spi or 0:08x}" for spi in (child.spi_i, child.spi_r)))
    suite = child.suite
    if suite is not None:
        words = f"{_keyed(suite)} {suite.integ or 'NONE'} {'ESN' if suite.esn else 'no ESN'}"
        yield "child", *spis, words, child.mode, child.tsi, child.tsr
    if child.state == "rekeyed":
        yield "child rekeyed", *spis
    if child.deleted_ns is not None:
        yield "child deleted", *spis


# -- without keys ----------------------------------------------------------------------------------------------------

IN_THE_CLEAR = frozenset({"message", "again", "packets", "completed", "unanswered", "NAT", "moved", "established"})


def in_the_clear(said: Facts) -> Facts:
    """What of the peers' facts a capture without keys shows: messages, their order, first negotiations, ESP's numbers.

    A refusal inside SK is an answer like any other, and that of IKEv1 is a message that may be encrypted.
    """
    found: Facts = Counter()
    began = {fact[1] for fact in said if fact[0] == "message" and fact[2] in OPENING}
    for fact, count in said.items():
        kind = fact[0]
        if kind in IN_THE_CLEAR or (kind == "suite" and fact[1] in began):
            found[fact] += count
        elif kind == "refused" and len(fact) == 6:
            if fact[2] in OPENING:
                found[fact] += count
            else:
                found["completed", *fact[1:5]] += 1
    return found


OPENING = frozenset({"IKE_SA_INIT", "IDENTITY_PROTECTION", "AGGRESSIVE"})

__all__ = ["Fact", "Facts", "Said", "in_the_clear", "seen"]
