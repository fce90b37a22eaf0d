"""LIFE: two sides out of step: crossing renewals, jumping counters, numbers out of order, tunnels that come and go."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.lifecycle import silent_peer
from ipsecscope.diagnose.view import (
    View,
    copies,
    exchanges_of,
    has_notify,
    records_of,
    rounds,
)
from ipsecscope.diagnose.words import frames, seconds, times, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, Role

JUMP = 1 << 10
MIN_FLAPS = 3


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
