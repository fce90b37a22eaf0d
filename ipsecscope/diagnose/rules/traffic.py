"""NET for tunnels that stand: data in one direction only, or no data at all."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import View, exchanges_of, is_informational
from ipsecscope.diagnose.words import NANOSECONDS, clock, counted, frames, is_private, seconds, span, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import IkeSa

MIN_ONE_WAY = 3  # packets without an answer
MIN_AHEAD = 5  # the same behind answers that stopped
MIN_BESIDE = 3  # packets in the clear that show somebody sends
MIN_ORPHANS = 10  # the same without an IKE SA
SETTLED_NS = NANOSECONDS // 2
STOPPED_NS = NANOSECONDS
IDLE_NS = 3 * NANOSECONDS


def pairs(sa: IkeSa, view: View) -> Iterator[tuple[Flow, Flow | None]]:
    """Every flow of an SA with the flow of the same Child SA in the other direction."""
    for child in sa.child_sas:
        flows = [view.flows[name] for name in child.flows if name in view.flows]
        for flow in flows:
            back = [each for each in flows if each.src == flow.dst or each.dst == flow.src]
            yield flow, back[0] if back else None


@rule(
    "NET-012",
    "one-way-esp",
    HIGH,
    title="Data flows in one direction only",
    means="Encrypted packets go to one side and nothing comes back: they are lost behind the peer, dropped by it, or the "
    "answers take another way.",
    detect="A tunnel with packets in one direction while IKE is seen in both.",
    look_alikes={
        "NET-006": "plain ESP is filtered on the way back",
        "NET-014": "the answers leave in the clear",
        "CAP-002": "the other direction was not captured",
        "NAT-006": "the answers go to an old port of a NAT",
        "LIFE-010": "the peer lost its SAs",
    },
    causes=(
        "the hosts behind the peer have no route back into the tunnel, or a firewall stops them",
        "the answers leave the peer in the clear or through another interface (missing route or policy)",
        "the peer drops the packets after decryption, or cannot decrypt them",
        "the receiver no longer knows this SPI",
    ),
    confirm="Capture on the peer's inside: do the decrypted packets leave there, and do answers come?",
    fix="Correct the route, firewall or NAT exemption on the silent side.",
    swanctl="children.NAME.policies = yes; ip route show table 220",
    ios="show crypto ipsec sa (encaps and decaps); ip route NETWORK Tunnel0",
    rfc=("RFC 4301 5",),
    suppressed_by=("CAP-002", "NET-006", "NET-014", "NAT-005", "NAT-006", "NAT-007", "LIFE-010", "LIFE-006"),
)
def one_way_esp(analysis: Analysis, view: View) -> Iterator[Found]:
    """A tunnel that only one side uses."""
    for sa in analysis.ike_sas:
        found = _one_way(sa, view)
        if found is not None:
            yield found
    yield from _unbound(analysis, view)


def _one_way(sa: IkeSa, view: View) -> Found | None:
    """The first flow of an SA that nothing answers."""
    best: Found | None = None
    for flow, back in pairs(sa, view):
        quiet_ns = view.horizon(flow.first_ns) if back is None else flow.last_ns - back.last_ns
        sent, returned = _numbers(flow), 0 if back is None else _numbers(back)
        # Of a flow that began before the capture, what answered it may lie there too.
        enough = MIN_AHEAD if back is not None else MIN_ONE_WAY if flow.first_seq == 1 else MIN_ORPHANS
        if sent - returned < enough or returned * 2 > sent:
            continue
        if quiet_ns < max(SETTLED_NS if back is None else STOPPED_NS, 3 * _quickest_answer(sa)):
            continue
        if not view.saw(flow.dst, flow.src) or _returns_elsewhere(sa, view, flow, back):
            continue
        since = (
            f"nothing came back for {seconds(quiet_ns)}"
            if back is None
            else f"nothing came back behind {clock(back.last_ns)} (frame {back.last_frame})"
        )
        constant = len(flow.lengths) == 1
        best = best or Found(
            confidence=LIKELY if back is None and constant else POSSIBLE,
            summary=f"{flow.src} sent {counted(flow.packets, 'ESP packet')} to {flow.dst} ({span(flow.first_frame, flow.last_frame)}) "
            f"and {since}, although IKE passes both ways"
            f"{': packets of one size at a steady pace look like pings without replies' if constant else ''}.",
            evidence=(*evidence.flow(flow), *(() if back is None else evidence.flow(back))),
            subject=sa.id,
        )
    return best


def _quickest_answer(sa: IkeSa) -> int:
    """The least that an IKE message of this SA took to be answered, nanoseconds: no ESP is answered sooner."""
    taken = [
        each.response[0].time_ns - each.request[0].time_ns for each in sa.exchanges if each.request and each.response
    ]
    return max(min(taken, default=0), 0)


def _numbers(flow: Flow) -> int:
    """The packets of a flow, each counted once."""
    return flow.packets - flow.duplicates


def _returns_elsewhere(sa: IkeSa, view: View, flow: Flow, back: Flow | None = None) -> bool:
    """Whether another flow comes back at the same time: of the same SA, or as lonely as this one in a tunnel beside it.

    The pairing was a guess, or each side uses another one of two tunnels for the same traffic.
    """
    own = {each.id for each in view.flows_of(sa)}
    since = flow.first_ns if back is None else back.last_ns
    for each in view.flows_between.get(frozenset({flow.src, flow.dst}), []):
        is_back = each is not back and each.src == flow.dst and each.last_ns > since and each.first_ns < flow.last_ns
        if is_back and (each.id in own or _is_lonely(each, view)):
            return True
    return False


def _is_lonely(flow: Flow, view: View) -> bool:
    """Whether nothing comes back in the Child SA of a flow."""
    sa = view.sa_of(flow)
    return sa is not None and any(each.id == flow.id and back is None for each, back in pairs(sa, view))


def _unbound(analysis: Analysis, view: View) -> Iterator[Found]:
    """One-way flows that belong to no SA."""
    for flow in analysis.flows:
        if flow.id in analysis.bindings or flow.packets < MIN_ORPHANS or view.saw(flow.dst, flow.src):
            continue
        if flow.last_ns - flow.first_ns < SETTLED_NS or _is_group(flow.dst):
            continue
        yield Found(
            confidence=POSSIBLE,
            severity=MEDIUM,
            headline=True,
            summary=f"{flow.src} sent {counted(flow.packets, f'{flow.protocol} packet')} with SPI {flow.spi:08x} to {flow.dst} within "
            f"{seconds(flow.last_ns - flow.first_ns)} ({span(flow.first_frame, flow.last_frame)}), and nothing comes back: "
            f"{flow.dst} does not know this SPI, or only one direction was captured.",
            evidence=evidence.flow(flow),
            subject=flow.id,
        )


def _is_group(address: str) -> bool:
    return ip_address(address).is_multicast


@rule(
    "NET-006",
    "esp-blocked-ike-ok",
    CRITICAL,
    title="IKE works, but plain ESP (IP protocol 50) does not pass",
    means="The tunnel was negotiated over UDP; the encrypted packets are another IP protocol, which something on the way drops.",
    detect="Both sides send ESP and neither reacts to the other's; or plain ESP one way with retries, IKE fine.",
    look_alikes={"NET-012": "the peer's side does not answer", "NET-008": "only large packets are lost"},
    causes=("a firewall that permits UDP only", "a cloud security group", "a provider's NAT"),
    confirm="Force UDP encapsulation: if that works, this was it.",
    fix="Permit IP protocol 50, or force UDP encapsulation.",
    swanctl="connections.NAME.encap = yes",
    ios="permit esp any any",
    rfc=("RFC 4303 2", "RFC 3948"),
    headline=False,
)
def esp_blocked(sa: IkeSa, view: View) -> Iterator[Found]:
    """Plain ESP one way only: the filter stays a possibility."""
    for flow, back in pairs(sa, view):
        if flow.encapsulation != "ip" or flow.protocol != "ESP" or back is not None or flow.packets < MIN_ONE_WAY:
            continue
        if sa.nat.initiator or sa.nat.responder or _returns_elsewhere(sa, view, flow):
            continue
        yield Found(
            confidence=POSSIBLE,
            severity=MEDIUM,
            summary=f"{flow.src} sends plain ESP to {flow.dst} ({span(flow.first_frame, flow.last_frame)}), none comes back, and IKE "
            "works: something on the way may drop IP protocol 50.",
            evidence=evidence.flow(flow),
        )
        return


@rule(
    "NET-013",
    "no-interesting-traffic",
    MEDIUM,
    title="The tunnel is up and nobody uses it",
    means="The tunnel was built, and no encrypted packet was sent through it: traffic does not reach the gateways' policy.",
    detect="A complete negotiation, and no ESP in either direction until it ends.",
    look_alikes={
        "PH2-012": "there is no tunnel",
        "CAP-007": "the capture has no ESP",
        "NET-014": "the tunnel's own traffic leaves in the clear: it is in the traffic selectors, or answers what came in ESP",
    },
    causes=(
        "the traffic is not in the traffic selectors (another subnet)",
        "routing sends it elsewhere",
        "NAT changes its addresses before the policy",
        "nobody sends anything",
        "the capture filter leaves ESP out",
    ),
    confirm="Capture on the inside of the sending gateway.",
    fix="Correct route, selectors or the order of NAT and policy.",
    swanctl="children.NAME { local_ts = …; remote_ts = … }",
    ios="show crypto ipsec sa: encaps must count up",
    rfc=("RFC 4301 5.1",),
    suppressed_by=("PH1-011", "PH2-001", "PH2-012", "AUTH-005", "CAP-003"),
    headline=True,
)
def no_interesting_traffic(sa: IkeSa, view: View) -> Iterator[Found]:
    """A tunnel without packets."""
    if view.flows_of(sa) or sa.established_ns is None or sa.rekeys is not None or sa.state == "rekeyed":
        return
    if any(
        view.flows_between.get(frozenset({a, b})) for a, _ in sa.initiator.addresses for b, _ in sa.responder.addresses
    ):
        return
    if sa.version == 1:
        made = [each for each in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE) if each.outcome == "completed"]
    else:
        made = [each for each in exchanges_of(sa, ExchangeType.IKE_AUTH) if view.answer(sa).kind == "complete"]
    idle = view.horizon(sa.established_ns)
    beside = _passing_by(sa, view)
    if not made or (idle < IDLE_NS and not beside) or _is_probe(sa):
        return
    encapsulated = sa.nat_t and (sa.nat.initiator or sa.nat.responder)
    last = [record for exchange in sa.exchanges[-1:] for record in exchange.records]
    yield Found(
        confidence=LIKELY if encapsulated and idle > 20 * IDLE_NS else POSSIBLE,
        summary=f"The tunnel between {who(sa, 'initiator')} and {who(sa, 'responder')} was built at {clock(sa.established_ns)} "
        f"({frames(made[-1].records)}), and not one ESP packet follows in the {seconds(idle)} that this capture goes on"
        f"{f' (last IKE message in {frames(last)})' if last else ''}.{beside}",
        evidence=evidence.messages((*made[-1].records, *last)),
    )


def _passing_by(sa: IkeSa, view: View) -> str:
    """What crosses the same link in the clear while the tunnel is unused: it may be what the tunnel was built for."""
    seen = [
        each
        for each in view.clear
        if each.packets >= MIN_BESIDE
        and is_private(each.src)
        and is_private(each.dst)
        and each.first_ns >= (sa.established_ns or 0)
    ]
    if not seen:
        return ""
    first = seen[0]
    return (
        f" Meanwhile {counted(first.packets, 'packet')} from {first.src} to {first.dst} pass in the clear "
        f"({frames([first.first_frame, first.last_frame])}): the traffic selectors do not take them."
    )


def _is_probe(sa: IkeSa) -> bool:
    """Whether an SA was closed within a moment: nobody meant to use it."""
    last = max(sa.exchanges, key=lambda each: each.start_ns)
    if sa.established_ns is None or not is_informational(last):
        return False
    return last.start_ns - sa.established_ns < NANOSECONDS // 2
