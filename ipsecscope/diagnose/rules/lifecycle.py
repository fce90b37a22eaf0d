"""LIFE: SAs that die, are renewed or closed; peers that forget."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    copies,
    exchanges_of,
    has_notify,
    is_open,
    records_of,
    rounds,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, times, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, Role, other
from ipsecscope.timeline.settle import role_of

APART_NS = NANOSECONDS // 2  # between two probes of a dead peer; deletes come closer together
RESTART_NS = 300 * NANOSECONDS
REAUTH_NS = 5 * NANOSECONDS
JUMP = 1 << 10
MIN_FLAPS = 3


def _last_heard(sa: IkeSa, role: Role, view: View) -> int:
    """When an end was last seen to send anything: IKE of this SA, or ESP."""
    heard = [record.time_ns for record in records_of(sa) if record.sender == role]
    heard += [flow.last_ns for flow in view.flows_of(sa) if role_of(sa, flow.src) == role]
    return max(heard, default=0)


def silent_peer(sa: IkeSa) -> tuple[Role, list[MessageRecord]] | None:
    """The end that stopped answering an SA that had stood, with the requests that it left open."""
    if sa.established_ns is None and not sa.rekeys:
        return None
    roles: tuple[Role, Role] = ("initiator", "responder")
    for role in roles:
        asked = _unanswered(sa, role)
        if not asked or sa.established_ns is None or asked[0].time_ns <= sa.established_ns:
            continue
        silent = other(role)
        ike_heard = max((r.time_ns for r in records_of(sa) if r.sender == silent), default=0)
        if not ike_heard:  # its direction is not in this capture
            continue
        if ike_heard < asked[0].time_ns and len(asked) > 1:
            return silent, asked
    return None


def _unanswered(sa: IkeSa, role: Role) -> list[MessageRecord]:
    """Requests of one end without an answer, with their repeats; in IKEv1 probes of one size, spaced out."""
    if sa.version != 1:
        open_ones = [
            each
            for each in sa.exchanges
            if each.initiated_by == role
            and not each.response
            and each.type in (ExchangeType.INFORMATIONAL, ExchangeType.CREATE_CHILD_SA)
        ]
        records = [record for each in open_ones for record in copies(each, role)]
        waited = bool(records) and records[-1].time_ns - records[0].time_ns >= APART_NS  # a window is sent at once
        return records if len(rounds(records)) > 1 or (len(open_ones) > 1 and waited) else []
    kinds = [IsakmpExchangeType.INFORMATIONAL]
    if _had_tunnel(sa):  # else nothing had worked that could be forgotten: quick mode itself is not answered
        kinds.append(IsakmpExchangeType.QUICK_MODE)
    probes = [record for each in exchanges_of(sa, *kinds) if not each.response for record in copies(each, role)]
    heard = max((r for r in records_of(sa) if r.sender == other(role)), key=lambda r: r.time_ns, default=None)
    probes = [r for r in probes if (heard is None or r.time_ns > heard.time_ns) and not _wants_no_answer(r, heard)]
    sizes = {record.datagram.wire_length for record in probes}
    spaced = len(probes) > 1 and all(later.time_ns - earlier.time_ns >= APART_NS for earlier, later in pairwise(probes))
    return probes if spaced and len(sizes) == 1 else []


def _sends(sa: IkeSa, role: Role, since_ns: int, view: View) -> list[Flow]:
    """The flows of an SA on which an end went on sending: whoever lost the SA cannot."""
    return [flow for flow in view.flows_of(sa) if role_of(sa, flow.src) == role and flow.last_ns > since_ns]


def _wants_no_answer(record: MessageRecord, heard: MessageRecord | None) -> bool:
    """Whether an IKEv1 INFORMATIONAL is a Delete or itself an answer: nobody answers those (RFC 2408 3.15, RFC 3706 5.1).

    Opened, only R-U-THERE asks. Otherwise what follows at once behind the other side's INFORMATIONAL is its answer.
    """
    if _kind(record) != IsakmpExchangeType.INFORMATIONAL:
        return False
    if is_open(record):
        return not has_notify([record], IsakmpNotifyType.R_U_THERE)
    if heard is None or _kind(heard) != IsakmpExchangeType.INFORMATIONAL:
        return False
    return record.time_ns - heard.time_ns < APART_NS


def _kind(record: MessageRecord) -> int | None:
    return None if record.message.header is None else record.message.header.exchange_type


def _may_be_goodbye(sa: IkeSa, asked: list[MessageRecord], heard_ns: int, view: View) -> bool | None:
    """Whether the open requests are a Delete of the IKE SA whose answer was lost: true when read, None when possible.

    Whoever obeys a Delete forgets the SA and leaves its repeats unanswered (RFC 7296 1.4.1). A probe comes behind a
    pause; a Delete may follow right behind data.
    """
    if sa.version == 1 or asked[0].time_ns - heard_ns >= APART_NS:
        return False
    numbers = {record.number for record in asked}
    left = [each for each in sa.exchanges if numbers & {record.number for record in each.request}]
    known = [view.closes(sa, each) for each in left if view.inner(sa, each.request) is not None]
    if not left or not all(known):
        return False
    return True if all(is_open(record) for each in left for record in each.request) else None


def _had_tunnel(sa: IkeSa) -> bool:
    """Whether IKEv1 phase 2 was answered at least once, or all of it lies before the capture."""
    return not sa.handshake_seen or any(each.response for each in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE))


def _wasted(sa: IkeSa, silent: Role, view: View) -> str:
    """What the other end went on sending into the silence."""
    since = _last_heard(sa, silent, view)
    flows = [flow for flow in view.flows_of(sa) if role_of(sa, flow.dst) == silent and flow.last_ns > since]
    return (
        f" {who(sa, other(silent))} went on sending ESP until {clock(max(f.last_ns for f in flows))}." if flows else ""
    )


@rule(
    "LIFE-010",
    "peer-restart",
    HIGH,
    title="The peer restarted or lost its SAs",
    means="The peer no longer knows the tunnel: it ignores what belongs to it, and answers a new negotiation as if nothing had been.",
    detect="Requests and data of an SA without any answer, then a new negotiation that the same peer answers; or INVALID_SPI in the clear.",
    look_alikes={
        "LIFE-006": "the peer stays silent altogether",
        "LIFE-011": "a cluster takeover: no new negotiation, a jump in sequence numbers",
    },
    causes=("a restart or crash", "somebody cleared the SAs", "the path was interrupted for that time"),
    confirm="The peer's uptime and log.",
    fix="DPD on both sides with a short delay; INITIAL_CONTACT.",
    swanctl="connections.NAME { dpd_delay = 10s }; children.NAME.dpd_action = restart",
    ios="crypto isakmp invalid-spi-recovery; crypto ikev2 dpd 10 3 periodic",
    libreswan="dpddelay=10, dpdtimeout=30, dpdaction=restart",
    rfc=("RFC 7296 2.4", "RFC 3706", "RFC 6290"),
)
def peer_restart(sa: IkeSa, view: View) -> Iterator[Found]:
    """Silence on the old SA, answers on a new one."""
    found = silent_peer(sa)
    if found is None:
        return
    silent, asked = found
    if _may_be_goodbye(sa, asked, _last_heard(sa, silent, view), view):
        return
    again = next(
        (
            each
            for each in view.later(sa)
            if each.handshake_seen
            and any(
                record.sender == "responder" or record.datagram.src == who(sa, silent) for record in records_of(each)
            )
            and 0 <= each.start_ns - asked[0].time_ns <= RESTART_NS
        ),
        None,
    )
    if again is None or _sends(sa, silent, again.start_ns, view):
        return
    first = next(records_of(again))
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, silent)} was last heard of at {clock(_last_heard(sa, silent, view))}, left {who(sa, other(silent))}'s requests "
        f"({frames(asked)}) without an answer, and {'began' if first.datagram.src == who(sa, silent) else 'answered'} a new negotiation in "
        f"{frames([first])}: it lost its SAs, as after a restart.{_wasted(sa, silent, view)}",
        evidence=evidence.messages((*asked[:6], first)),
    )


@rule(
    "LIFE-006",
    "dpd-peer-dead",
    HIGH,
    title="The peer is dead: it answers nothing any more",
    means="A tunnel that had worked gets no answer to anything.",
    detect="Requests on an established SA that are repeated without an answer, and no ESP from that side.",
    look_alikes={
        "LIFE-007": "ESP of the silent side goes on: only IKE is disturbed",
        "LIFE-010": "the peer answers a new negotiation",
        "CAP-002": "the capture lacks that direction",
    },
    causes=("the peer or its line is down", "a NAT mapping was lost", "a filter changed"),
    confirm="Is the peer reachable otherwise?",
    fix="Shorten dead peer detection, so that the tunnel is rebuilt sooner.",
    swanctl="connections.NAME.dpd_delay = 10s; charon.retransmit_tries = 3",
    ios="crypto ikev2 dpd 10 3 periodic",
    libreswan="dpddelay=10, dpdtimeout=30",
    rfc=("RFC 7296 2.4", "RFC 3706"),
    suppressed_by=("LIFE-010", "LIFE-007", "LIFE-013", "CAP-002"),
)
def peer_dead(sa: IkeSa, view: View) -> Iterator[Found]:
    """Silence without a sequel."""
    found = silent_peer(sa)
    if found is None:
        return
    silent, asked = found
    heard = _last_heard(sa, silent, view)
    goodbye = _may_be_goodbye(sa, asked, heard, view)
    if heard > asked[0].time_ns or goodbye:
        return
    unsure = goodbye is None
    yield Found(
        confidence=LIKELY if (len(rounds(asked)) > 2 or sa.version == 1) and not unsure else POSSIBLE,
        severity=MEDIUM if unsure else None,
        headline=False if unsure else None,
        summary=f"{who(sa, silent)} was last heard of at {clock(heard)} and left {who(sa, other(silent))}'s requests without an answer, "
        f"{times(len(asked))} within {seconds(asked[-1].time_ns - asked[0].time_ns)} ({frames(asked)}).{_wasted(sa, silent, view)}",
        evidence=evidence.messages(asked),
    )


@rule(
    "LIFE-007",
    "dpd-false-positive",
    HIGH,
    title="The peer's IKE is silent while its data arrives",
    means="IKE messages get no answer although ESP of the same peer keeps coming: only IKE is disturbed, and the tunnel will be torn down for nothing.",
    detect="Unanswered requests on an established SA, and ESP from the silent side behind them.",
    look_alikes={"LIFE-006": "no ESP either"},
    causes=(
        "IKE is rate limited",
        "an overloaded control plane",
        "a firewall that lost its state for UDP 500",
        "message ids out of step",
    ),
    confirm="The peer's control plane counters.",
    fix="DPD on demand and longer timers; protect IKE in the control plane policy.",
    swanctl="connections.NAME { dpd_delay = 30s; dpd_timeout = 150s }, the second for IKEv1 only",
    ios="crypto ikev2 dpd 30 5 on-demand",
    libreswan="dpddelay=30, dpdtimeout=120",
    rfc=("RFC 7296 2.4",),
)
def dpd_false_positive(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKE silent, ESP alive."""
    found = silent_peer(sa)
    if found is None:
        return
    silent, asked = found
    alive = _sends(sa, silent, asked[-1].time_ns, view)
    if alive and (sa.version != 1 or len(asked) > 2 or all(map(is_open, asked))):
        yield Found(
            confidence=LIKELY,
            summary=f"{who(sa, silent)} did not answer {frames(asked)}, but its ESP went on until {clock(alive[0].last_ns)} "
            f"(frame {alive[0].last_frame}): only IKE is disturbed.",
            evidence=(*evidence.messages(asked[:4]), *evidence.flow(alive[0])),
        )


@rule(
    "LIFE-008",
    "orderly-delete",
    INFO,
    title="The tunnel was closed",
    means="One side ended the IKE SA in an orderly way.",
    detect="A Delete in the last exchange; without keys, a last INFORMATIONAL with room for nothing else and silence behind it.",
    look_alikes={
        "LIFE-006": "a probe has the same size with CBC ciphers",
        "AUTH-005": "at once behind the negotiation: a refusal",
    },
    causes=("an operator", "a lifetime", "an idle timeout"),
    confirm="The log of the side that sent the Delete.",
    fix="Nothing, when it was meant; otherwise ask who or what closed it.",
    rfc=("RFC 7296 1.4.1",),
    suppressed_by=("AUTH-005", "LIFE-005", "AUTH-010"),
)
def orderly_delete(sa: IkeSa, view: View) -> Iterator[Found]:
    """The last exchange closes."""
    if sa.version == 1 or not sa.exchanges:
        return
    last = max(sa.exchanges, key=lambda each: each.start_ns)
    if not view.closes(sa, last) or not last.response or len(sa.exchanges) < 2:
        return
    opened = any(is_open(record) for record in last.request)
    inner = view.inner(sa, last.request)
    yield Found(
        confidence=CERTAIN if opened else POSSIBLE if inner is None or inner.low < inner.high else LIKELY,
        summary=f"{who(sa, last.initiated_by)} closed the IKE SA at {clock(last.start_ns)} ({frames(last.records)})"
        f"{'' if opened else ', as far as sizes tell'}.",
        evidence=evidence.messages(last.records),
        equation=None if opened or inner is None else inner.equation,
    )


@rule(
    "LIFE-005",
    "reauth-outage",
    MEDIUM,
    title="The IKE SA was torn down and built anew",
    means="Instead of renewing the keys, one side deleted the SA and negotiated from the start: data stops in between.",
    detect="An IKE SA that is closed, and a new handshake between the same hosts within seconds.",
    look_alikes={"LIFE-010": "the old SA was never closed", "LIFE-008": "no new handshake"},
    causes=("reauthentication instead of rekeying", "an operator"),
    confirm="Whether one side is configured to reauthenticate instead of renewing keys.",
    fix="Renew the keys without reauthentication, or make before break.",
    swanctl="connections.NAME { reauth_time = 0; rekey_time = 4h }; charon.make_before_break = yes",
    libreswan="reauth=no",
    rfc=("RFC 7296 2.8.3", "RFC 4478"),
)
def reauthentication(sa: IkeSa, view: View) -> Iterator[Found]:
    """Closed, and begun again."""
    if sa.version == 1 or sa.established_ns is None or len(sa.exchanges) < 3:
        return
    last = max(sa.exchanges, key=lambda each: each.start_ns)
    if not view.closes(sa, last):
        return
    following = next((each for each in view.later(sa) if each.handshake_seen and each.rekeys is None), None)
    if following is None or following.established_ns is None:
        return
    if abs(following.start_ns - last.start_ns) > REAUTH_NS:
        return
    first = next(records_of(following))
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, last.initiated_by)} closed the IKE SA ({frames(last.records)}), and a new one was negotiated from the start "
        f"({frames([first])}) {seconds(abs(following.start_ns - last.start_ns))} "
        f"{'later' if following.start_ns > last.start_ns else 'earlier'}: reauthentication.",
        evidence=evidence.messages((*last.records, first)),
    )


@rule(
    "LIFE-003",
    "rekey-collision",
    MEDIUM,
    title="Both sides renewed keys at the same time",
    means="Two renewals crossed; one of the two new SAs must be deleted again.",
    detect="CREATE_CHILD_SA requests of both sides that cross each other.",
    look_alikes={"LIFE-002": "one of them is refused"},
    causes=("equal lifetimes on both sides without random spread",),
    confirm="The log of the side that deletes one of the two new SAs.",
    fix="Different lifetimes, or a random spread.",
    swanctl="children.NAME.rand_time = 6m",
    ios="crypto ipsec security-association lifetime seconds 3500 here, 3600 on the peer",
    libreswan="rekeymargin=9m, rekeyfuzz=100%",
    rfc=("RFC 7296 2.8.1", "RFC 7296 2.25"),
)
def rekey_collision(sa: IkeSa) -> Iterator[Found]:
    """Crossing requests."""
    made = [each for each in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA) if each.request and each.response]
    for one, two in pairwise(sorted(made, key=lambda each: each.start_ns)):
        if one.initiated_by == two.initiated_by or two.start_ns >= one.response[0].time_ns:
            continue
        yield Found(
            confidence=LIKELY,
            severity=INFO,
            summary=f"{who(sa, one.initiated_by)} ({frames(one.request)}) and {who(sa, two.initiated_by)} ({frames(two.request)}) "
            f"asked for new keys within {seconds(two.start_ns - one.start_ns)}, each before it had the other's answer.",
            evidence=evidence.messages((*one.records, *two.records)),
        )
        return


@rule(
    "LIFE-011",
    "ha-failover",
    MEDIUM,
    title="A jump in sequence numbers: a cluster takeover",
    means="The sender's counter jumped ahead, as when another member of a cluster takes over an SA.",
    detect="One gap of a thousand sequence numbers or more that is never filled.",
    look_alikes={"NET-010": "loss: gaps are small and many"},
    causes=("a takeover in a cluster", "a long interruption of the capture"),
    confirm="The cluster's log at this time.",
    fix="Nothing, when the cluster took over as planned.",
    swanctl="charon.plugins.ha",
    ios="redundancy inter-device",
    rfc=("RFC 6311",),
)
def ha_failover(flow: Flow) -> Iterator[Found]:
    """One large gap."""
    for start, stop in flow.gaps:
        if stop - start + 1 >= JUMP:
            yield Found(
                confidence=POSSIBLE,
                summary=f"The sequence numbers of SPI {flow.spi:08x} from {flow.src} jump over {stop - start + 1} numbers behind {start - 1}: "
                "another cluster member took over, or packets are missing here.",
                evidence=evidence.flow(flow),
            )
            return


@rule(
    "LIFE-012",
    "flapping",
    HIGH,
    title="The tunnel goes up and down",
    means="The tunnel is built again and again and does not last.",
    detect="Three or more negotiations that succeeded, between the same hosts, none of which renews another.",
    look_alikes={"PH1-015": "it never comes up", "LIFE-005": "planned reauthentication"},
    causes=(
        "dead peer detection that gets no answers",
        "a rekey that fails each time",
        "two tunnels that evict each other",
    ),
    confirm="A timer of either side, or of a device between them, that equals the period.",
    fix="Find the timer that matches the period.",
    rfc=("RFC 7296 2.4",),
    headline=False,
)
def flapping(analysis: Analysis, view: View) -> Iterator[Found]:
    """Several successes in a row."""
    del analysis
    for sas in view.by_hosts.values():
        built = [sa for sa in sas if sa.established_ns is not None and sa.handshake_seen and sa.rekeys is None]
        if len(built) < MIN_FLAPS:
            continue
        starts = [sa.start_ns for sa in built]
        gaps = sorted(later - earlier for earlier, later in pairwise(starts))
        first = [next(records_of(sa)) for sa in built]
        dead = any(silent_peer(sa) is not None for sa in built)
        yield Found(
            confidence=LIKELY if dead else POSSIBLE,
            severity=HIGH if dead else MEDIUM,
            headline=dead,
            summary=f"{who(built[0], 'initiator')} and {who(built[0], 'responder')} built their tunnel {times(len(built))} ({frames(first)}), about "
            f"every {seconds(gaps[len(gaps) // 2])}.",
            evidence=evidence.messages(first),
            subject=built[0].id,
        )


@rule(
    "LIFE-013",
    "message-id-desync",
    MEDIUM,
    title="Message ids are out of step",
    means="The two sides disagree about the number of the next message, so IKE stalls until the SA dies.",
    detect="INVALID_MESSAGE_ID, two different requests with the same message id, or a request that skips numbers and is ignored.",
    look_alikes={"CAP-004": "messages that the recorder missed"},
    causes=("a cluster takeover without synchronisation", "a fault in an implementation"),
    confirm="The message ids in both logs; a cluster's takeover at that time.",
    fix="Build the SA anew.",
    rfc=("RFC 7296 2.2", "RFC 7296 2.3", "RFC 6311"),
)
def message_id_desync(sa: IkeSa) -> Iterator[Found]:
    """One number, two messages."""
    if sa.version == 1:
        return
    told = [record for record in records_of(sa) if has_notify([record], NotifyType.INVALID_MESSAGE_ID)]
    jumped = _jumped(sa)
    if jumped is not None and not told:
        before, exchange = jumped
        asked = copies(exchange, exchange.initiated_by)
        yield Found(
            confidence=LIKELY,
            severity=HIGH,
            headline=True,
            summary=f"{who(sa, exchange.initiated_by)} numbered its next request {exchange.message_id}, behind {before.message_id} "
            f"({frames(before.request[:1])}), and got no answer, {times(len(asked))} ({frames(asked)}): the other side expects "
            f"{before.message_id + 1} and ignores everything else.",
            evidence=evidence.messages((*before.request[:1], *asked)),
        )
        return
    twice: dict[tuple[Role, int, int], list[MessageRecord]] = {}
    for exchange in sa.exchanges:
        if int(exchange.type) in {int(ExchangeType.IKE_SA_INIT), int(ExchangeType.IKE_SESSION_RESUME)}:
            continue
        whole = [record for record in exchange.request if record.fragment is None]
        twice.setdefault((exchange.initiated_by, exchange.message_id, int(exchange.type)), []).extend(whole)
    doubled = next((records for records in twice.values() if len(records) > 1), [])
    if told or doubled:
        records = told or doubled
        yield Found(
            confidence=CERTAIN if told else POSSIBLE,
            summary=f"{'INVALID_MESSAGE_ID was sent' if told else 'Different requests carry the same message id'} ({frames(records)}).",
            evidence=evidence.messages(records),
        )


def _jumped(sa: IkeSa) -> tuple[Exchange, Exchange] | None:
    """The last request of one side that was answered, and the next one, when that skips numbers and gets no answer."""
    roles: tuple[Role, Role] = ("initiator", "responder")
    for role in roles:
        own = [each for each in sa.exchanges if each.initiated_by == role and each.request]
        own.sort(key=lambda each: each.start_ns)
        for before, exchange in pairwise(own):
            skips = exchange.message_id > before.message_id + 1 and before.response
            if skips and not exchange.response and len(rounds(copies(exchange, role))) > 2:
                return before, exchange
    return None


@rule(
    "LIFE-014",
    "lifetime-facts",
    INFO,
    title="The lifetime of phase 1",
    means="IKEv1 announces how long its SA may live; both sides should agree.",
    detect="The life attributes of the chosen transform.",
    look_alikes={"LIFE-009": "a timeout for want of traffic"},
    causes=("the policy of the side that chose",),
    confirm="Nothing to confirm: it stands in the clear.",
    fix="Nothing, unless keys are renewed too often or too rarely; a lifetime in kilobytes renews often at a high rate.",
    swanctl="children.NAME.rekey_bytes = 0",
    ios="crypto ipsec security-association lifetime kilobytes disable",
    libreswan="ikelifetime=8h, salifetime=8h",
    rfc=("RFC 2409 A",),
)
def lifetime_facts(sa: IkeSa) -> Iterator[Found]:
    """What was agreed."""
    suite = sa.suite
    if sa.version != 1 or suite is None or not (suite.lifetime_s or suite.lifetime_kb) or sa.established_ns is None:
        return
    answer = [record for exchange in sa.exchanges[:1] for record in exchange.response[:1]]
    if answer:
        parts = [
            f"{suite.lifetime_s} s" if suite.lifetime_s else "",
            f"{suite.lifetime_kb} kB" if suite.lifetime_kb else "",
        ]
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} agreed on a phase 1 lifetime of "
            f"{' or '.join(part for part in parts if part)} ({frames(answer)}).",
            evidence=evidence.messages(answer),
        )
