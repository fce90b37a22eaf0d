"""LIFE: data that stops while keys are renewed, tunnels closed for want of data, tunnels that pile up."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import evidence, sizes
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, LOW, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import View, deletes_ike, is_informational, is_open
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, listed, seconds, times, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa

MIN_GAP_NS = NANOSECONDS // 2
LONGER = 10  # than the usual pause
MIN_BEFORE, MIN_AFTER = 10, 5  # packets that show what the usual pause is
STEADY = 1.0  # spread of the pauses over their mean
MAX_GAPS_JUDGED = 64  # of one direction, for which the exchange in between is looked up
SOON_NS = NANOSECONDS
MIN_IDLE_NS = 30 * NANOSECONDS
SAME_IDLE_NS = 2 * NANOSECONDS
USUAL_IDLE_S = (300, 600, 900, 1200, 1800, 3600)
MIN_PILE = 4  # tunnels for the same networks at one time

MAKING = frozenset(
    {
        int(ExchangeType.CREATE_CHILD_SA),
        int(ExchangeType.IKE_SA_INIT),
        int(IsakmpExchangeType.QUICK_MODE),
        int(IsakmpExchangeType.IDENTITY_PROTECTION),
        int(IsakmpExchangeType.AGGRESSIVE),
    }
)
FROM_THE_START = MAKING - {int(ExchangeType.CREATE_CHILD_SA), int(IsakmpExchangeType.QUICK_MODE)}


class Gap(msgspec.Struct, frozen=True):
    """Silence between the last packet of one SA and the first of the next, with the exchange that made that one."""

    before: Flow
    after: Flow
    made_by: Exchange | None = None

    @property
    def length_ns(self) -> int:
        """How long nothing came."""
        return self.after.first_ns - self.before.last_ns

    @property
    def is_sudden(self) -> bool:
        """Whether the traffic on both sides of it is regular and knows no such pause."""
        usual = max(self.before.pause_ns, self.after.pause_ns)
        spreads = (self.before.pause_spread, self.after.pause_spread)
        regular = all(spread is not None and spread <= STEADY for spread in spreads)
        return regular and self.length_ns > max(MIN_GAP_NS, LONGER * usual)

    @property
    def fits(self) -> bool:
        """Whether the traffic stopped and went on with the exchange, and not at times of its own."""
        if self.made_by is None:
            return False
        slack = SOON_NS + LONGER * max(self.before.pause_ns, self.after.pause_ns) // 2
        return (
            self.after.first_ns - self.made_by.stop_ns <= slack and self.made_by.start_ns >= self.before.last_ns - slack
        )


def _gaps(flows: list[Flow]) -> Iterator[Gap]:
    """The silences of one direction across a change of SA, other SAs that carry on meanwhile excepted."""
    ordered = sorted(flows, key=lambda each: each.first_ns)
    last: Flow | None = None
    for flow in ordered:
        is_next = last is not None and flow.first_ns > last.last_ns and flow.spi != last.spi
        if last is not None and is_next and last.packets >= MIN_BEFORE and flow.packets >= MIN_AFTER:
            yield Gap(last, flow)
        if last is None or flow.last_ns > last.last_ns:
            last = flow


def _making(before: Flow, after: Flow, view: View) -> Exchange | None:
    """The exchange nearest to the gap that can have made the new SA."""
    sa = view.sa_of(after)
    made = [
        exchange
        for exchange in (() if sa is None else sa.exchanges)
        if int(exchange.type) in MAKING
        and exchange.response
        and exchange.start_ns <= after.first_ns
        and exchange.stop_ns >= before.last_ns - SOON_NS
    ]
    return max(made, key=lambda each: each.start_ns, default=None)


@rule(
    "LIFE-001",
    "rekey-gap",
    HIGH,
    title="The data stops while keys are renewed",
    means="Between the last packet under the old keys and the first under the new ones nothing passes, although the "
    "traffic is regular before and after: users notice an interruption at every renewal.",
    detect="A pause between two SPIs of one direction that is ten times longer than the usual one and over half a second.",
    look_alikes={
        "LIFE-005": "the whole IKE SA is torn down and built anew: reauthentication",
        "NET-013": "nobody sends anything",
    },
    causes=(
        "reauthentication instead of rekeying: the old SA is deleted before the new one stands",
        "the peer deletes the old SA before the new one is installed",
        "hardware that takes long to install an SA",
    ),
    confirm="The interruptions come with the period of the lifetime.",
    fix="Renew keys without reauthentication, make before break, and stagger the lifetimes.",
    swanctl="connections.NAME { rekey_time = 4h; reauth_time = 0 }; charon.make_before_break = yes",
    ios="crypto ipsec security-association lifetime seconds 3600 (another value on each side)",
    rfc=("RFC 7296 2.8",),
    suppressed_by=("LIFE-005", "LIFE-010"),
)
def rekey_gap(analysis: Analysis, view: View) -> Iterator[Found]:
    """Silences at a change of keys."""
    directions: dict[tuple[str, str, str], list[Flow]] = {}
    for flow in analysis.flows:
        directions.setdefault((flow.src, flow.dst, flow.protocol), []).append(flow)
    for (src, dst, _), flows in directions.items():
        sudden = [gap for gap in _gaps(flows) if gap.is_sudden]
        if not sudden:
            continue
        found = [
            Gap(each.before, each.after, _making(each.before, each.after, view)) for each in sudden[:MAX_GAPS_JUDGED]
        ]
        longest = max(found, key=lambda gap: gap.length_ns)
        anew = any(gap.made_by is not None and int(gap.made_by.type) in FROM_THE_START for gap in found)
        moments = listed([clock(gap.before.last_ns) for gap in found[:4]])
        yield Found(
            confidence=CERTAIN if all(gap.fits for gap in found) else LIKELY,
            summary=f"Data from {src} to {dst} stopped {times(len(sudden))} at a change of keys, for up to {seconds(longest.length_ns)} "
            f"(last packet under the old keys in {frames([longest.before.last_frame])}, first under the new ones in "
            f"{frames([longest.after.first_frame])}; at {moments})"
            f"{', while the tunnel was negotiated from the start' if anew else ''}.",
            evidence=(*evidence.flow(longest.before), *evidence.flow(longest.after)),
            subject=None if (sa := view.sa_of(longest.after)) is None else sa.id,
        )


def closing(sa: IkeSa, view: View) -> Exchange | None:
    """The last exchange of an SA, when it closes that, as far as is known."""
    last = max(sa.exchanges, key=lambda each: each.start_ns, default=None)
    if last is None or not is_informational(last) or not last.request:
        return None
    if sa.version != 1:
        return last if view.closes(sa, last) else None
    if any(is_open(record) for record in last.request):
        return last if deletes_ike(last.request) else None
    inner = view.inner(sa, last.request)
    fits = inner is not None and inner.may_be(*sizes.v1_delete_sizes(sa.suite)) and not last.response
    return last if fits else None


class Idle(msgspec.Struct, frozen=True):
    """An SA that was closed when no data had come for a while."""

    sa: IkeSa
    end: Exchange
    idle_ns: int


def _idle(sa: IkeSa, view: View) -> Idle | None:
    flows, end = view.flows_of(sa), closing(sa, view)
    if end is None or not flows:
        return None
    idle_ns = end.start_ns - max(flow.last_ns for flow in flows)
    return Idle(sa, end, idle_ns) if idle_ns >= MIN_IDLE_NS else None


@rule(
    "LIFE-009",
    "idle-timeout",
    MEDIUM,
    title="The tunnel is closed when nobody uses it",
    means="One side takes the tunnel down after a time without data. It is built anew with the next packet, and the first "
    "packets of each new session are lost.",
    detect="A Delete that comes the same time after the last data packet, again and again, or after a usual timeout.",
    look_alikes={
        "LIFE-008": "an end at a time of its own: an operator or a lifetime",
        "LIFE-005": "a new negotiation follows at once",
        "LIFE-014": "the end comes with the lifetime of phase 1",
    },
    causes=(
        "an idle timeout (30 minutes on Cisco ASA)",
        "inactivity set in strongSwan",
        "a cloud gateway that saves resources",
    ),
    confirm="Let a ping run through the tunnel: it then stays up.",
    fix="Switch the timeout off, or send something regularly.",
    swanctl="children.NAME.inactivity = 0",
    ios="crypto ipsec security-association idle-time …; ASA: group-policy P attributes / vpn-idle-timeout none",
    rfc=("RFC 7296 1.4.1", "RFC 7296 2.4"),
    suppressed_by=("LIFE-005",),
)
def idle_timeout(analysis: Analysis, view: View) -> Iterator[Found]:
    """Equal pauses in front of the end."""
    del analysis
    for sas in view.by_hosts.values():
        ends = [found for sa in sas if (found := _idle(sa, view)) is not None]
        if not ends:
            continue
        usual = sorted(ends, key=lambda each: each.idle_ns)[len(ends) // 2].idle_ns
        alike = [each for each in ends if abs(each.idle_ns - usual) <= SAME_IDLE_NS]
        known = any(abs(usual - wait * NANOSECONDS) <= SAME_IDLE_NS for wait in USUAL_IDLE_S)
        if len(alike) < 2 and not known:
            continue
        records = [record for each in alike for record in each.end.records]
        sa, end = alike[0].sa, alike[0].end
        yield Found(
            confidence=LIKELY if len(alike) > 1 else POSSIBLE,
            severity=MEDIUM if len(alike) > 1 else LOW,
            summary=f"{who(sa, end.initiated_by)} closed the tunnel {seconds(usual)} after its last data packet, {times(len(alike))} "
            f"({frames(records)}): a timeout for want of traffic.",
            evidence=evidence.messages(records),
            subject=sa.id,
            config={
                "swanctl": "hint: children.NAME.inactivity = 0, where strongSwan closes it",
                "ios": f"hint: no timeout of {usual // NANOSECONDS} s",
            },
        )


@rule(
    "LIFE-004",
    "duplicate-child-sas",
    MEDIUM,
    title="Tunnels for the same networks pile up",
    means="New tunnels are built while the old ones stay, so more and more of them stand for the same traffic.",
    detect="With keys: four or more live tunnels with the same networks. Without: as many SPIs in use at one time.",
    look_alikes={
        "INTEROP-003": "the peer deletes the old tunnel whenever a new one comes",
        "LIFE-003": "two renewals crossed: one more, for a moment",
    },
    causes=(
        "reauthentication without deleting the old SA",
        "both sides start the tunnel, and uniqueness is not enforced",
        "several networks, or one SA for each processor (RFC 9611): then this is no fault",
    ),
    confirm="swanctl --list-sas; show crypto ipsec sa",
    fix="Let one side start the tunnel, and replace old ones.",
    swanctl="connections.NAME.unique = replace",
    rfc=("RFC 7296 2.4", "RFC 9611"),
)
def duplicate_children(analysis: Analysis, view: View) -> Iterator[Found]:
    """Many at a time for one purpose."""
    named: dict[tuple[object, ...], list[tuple[IkeSa, ChildSa]]] = {}
    for sa in analysis.ike_sas:
        for child in sa.child_sas:
            if child.tsi is not None and child.tsr is not None and child.created_ns is not None:
                ends = frozenset({sa.initiator.address, sa.responder.address})
                named.setdefault((ends, child.protocol, frozenset({child.tsi, child.tsr})), []).append((sa, child))
    for pile in named.values():
        peak = _peak([(child.created_ns or 0, child.deleted_ns or view.last_ns) for _, child in pile])
        if peak >= MIN_PILE:
            sa = pile[-1][0]
            flows = [view.flows[name] for _, child in pile for name in child.flows if name in view.flows]
            records = [record for exchange in sa.exchanges[:2] for record in exchange.records]
            yield Found(
                confidence=CERTAIN,
                summary=f"{peak} tunnels for the same networks ({' '.join(pile[0][1].tsi or ())} and {' '.join(pile[0][1].tsr or ())}) stand between "
                f"{who(sa, 'initiator')} and {who(sa, 'responder')} at one time.",
                evidence=tuple(each for flow in flows[:8] for each in evidence.flow(flow)[:1])
                or evidence.messages(records),
                subject=sa.id,
            )
    if not named:
        yield from _unread_piles(analysis, view)


def _unread_piles(analysis: Analysis, view: View) -> Iterator[Found]:
    """SPIs in use at one time in one direction."""
    directions: dict[tuple[str, str, str], list[Flow]] = {}
    for flow in analysis.flows:
        if flow.packets > 1:
            directions.setdefault((flow.src, flow.dst, flow.protocol), []).append(flow)
    for (src, dst, _), flows in directions.items():
        peak = _peak([(flow.first_ns, flow.last_ns) for flow in flows])
        if peak >= MIN_PILE:
            yield Found(
                confidence=POSSIBLE,
                summary=f"{peak} SPIs from {src} to {dst} are in use at one time ({frames([flow.first_frame for flow in flows])}): several networks, "
                "or tunnels that pile up; keys tell.",
                evidence=tuple(each for flow in flows[:8] for each in evidence.flow(flow)[:1]),
                subject=None if (sa := view.sa_of(flows[0])) is None else sa.id,
            )


def _peak(spans: list[tuple[int, int]]) -> int:
    """How many of these spans of time overlap at most."""
    steps = sorted([(start, 1) for start, _ in spans] + [(stop, -1) for _, stop in spans])
    level = peak = 0
    for _, step in steps:
        level += step
        peak = max(peak, level)
    return peak
