"""LIFE: peers that fall silent: dead, restarted, or deaf to IKE only."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
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
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import IkeSa, MessageRecord, Role, other
from ipsecscope.timeline.settle import role_of

APART_NS = NANOSECONDS // 2  # between two probes of a dead peer; deletes come closer together
RESTART_NS = 300 * NANOSECONDS


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
