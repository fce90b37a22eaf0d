"""INTEROP for peers with room for less than was asked: one pair of networks, or one tunnel at a time."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, sizes
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    deletes_ike,
    exchanges_of,
    is_informational,
    is_open,
)
from ipsecscope.diagnose.words import NANOSECONDS, frames, listed, times, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, other

MIN_EVICTIONS = 3
EVICTION_NS = 5 * NANOSECONDS


@rule(
    "INTEROP-003",
    "single-sa-pair-peer",
    HIGH,
    title="The peer keeps only one tunnel: each new one throws the other out",
    means="One side has several pairs of networks, the other (typically a route-based cloud gateway) holds one tunnel at a "
    "time. Whichever network was used last works.",
    detect="New tunnels in one IKE SA, and right behind each the other side deletes the one before.",
    look_alikes={
        "LIFE-004": "the tunnels stay and pile up",
        "LIFE-003": "two renewals crossed, once",
        "LIFE-012": "the whole IKE SA is built again and again",
    },
    causes=(
        "several networks (crypto ACL lines) against a route-based VPN with one SA",
        "a limit of tunnels at the peer",
    ),
    confirm="Which network works changes with whoever sent last.",
    fix="One tunnel for everything (0.0.0.0/0 with a tunnel interface), or one summary network.",
    swanctl="children.NAME { local_ts = 0.0.0.0/0; remote_ts = 0.0.0.0/0; if_id_in = 1; if_id_out = 1 }",
    ios="interface Tunnel0 / tunnel mode ipsec ipv4 / tunnel protection ipsec profile P",
    rfc=("RFC 7296 2.9", "RFC 4301 4.4.1"),
)
def single_pair_peer(sa: IkeSa, view: View) -> Iterator[Found]:
    """Tunnels that evict each other."""
    evictions = list(_evictions(sa, view))
    if len(evictions) < MIN_EVICTIONS:
        return
    made = [exchange for exchange, _ in evictions]
    records = [record for pair in evictions for record in (*pair[0].request[:1], *pair[1].request[:1])]
    networks = sorted({name for child in sa.child_sas for name in (*(child.tsi or ()), *(child.tsr or ()))})
    read = len({(child.tsi, child.tsr) for child in sa.child_sas if child.tsi is not None}) > 1
    told = any(is_open(record) for _, delete in evictions for record in delete.request)
    exact = (inner := view.inner(sa, evictions[0][1].request)) is not None and inner.low == inner.high
    by = made[0].initiated_by
    yield Found(
        confidence=CERTAIN if read and told else LIKELY if told or exact else POSSIBLE,
        summary=f"{who(sa, by)} built a new tunnel {times(len(evictions))}, and each time {who(sa, other(by))} deleted one right behind it "
        f"({frames(records)}): {who(sa, other(by))} holds one pair of SAs at a time"
        f"{f' for {listed(networks[:4])}' if read else ''}.",
        evidence=evidence.messages(records),
        equation=None if told or inner is None else inner.equation,
    )


def _evictions(sa: IkeSa, view: View) -> Iterator[tuple[Exchange, Exchange]]:
    """New Child SAs, each with the Delete that the other side sent within seconds."""
    v1 = sa.version == 1
    kinds = IsakmpExchangeType.QUICK_MODE if v1 else ExchangeType.CREATE_CHILD_SA
    deleting = [each for each in sa.exchanges if is_informational(each) and each.request]
    for exchange in exchanges_of(sa, kinds):
        if not exchange.response or (not v1 and view.is_short(sa, exchange.response)):
            continue
        for each in deleting:
            soon = 0 <= each.start_ns - exchange.stop_ns <= EVICTION_NS
            if soon and each.initiated_by != exchange.initiated_by and _deletes_child(sa, each, view):
                yield exchange, each
                break


def _deletes_child(sa: IkeSa, exchange: Exchange, view: View) -> bool:
    if any(is_open(record) for record in exchange.request):
        kinds = (ikev1.Delete, ikev2.Delete)
        return any(
            isinstance(p.body, kinds) and p.body.spis for r in exchange.request for p in r.payloads
        ) and not deletes_ike(exchange.request)
    inner = view.inner(sa, exchange.request)
    if inner is None:
        return False
    if sa.version == 1:
        return inner.may_be(sizes.v1_delete_sizes(sa.suite)[0]) and not exchange.response
    return inner.may_be(sizes.delete(1), sizes.delete(2)) and inner.high < sizes.delete(4)


@rule(
    "INTEROP-008",
    "first-selector-only",
    MEDIUM,
    title="The peer takes only the first of several networks",
    means="Several networks were asked for in one tunnel, and the peer agreed to one pair: the others get no tunnel.",
    detect="With keys: several traffic selectors in the request, and one of them in the answer.",
    look_alikes={"PH2-008": "the answer is a smaller network than any that was asked for"},
    causes=("the peer holds one pair of networks for each tunnel (Cisco ASA, old IOS, Meraki, SonicWall)",),
    confirm="show crypto ipsec sa on the peer",
    fix="One tunnel for each pair of networks.",
    swanctl="children { a { local_ts = ONE; remote_ts = ONE } b { local_ts = TWO; remote_ts = TWO } }",
    ios="access-list VPN with one line for each pair",
    rfc=("RFC 7296 2.9", "RFC 7296 2.9.1"),
)
def first_selector_only(sa: IkeSa) -> Iterator[Found]:
    """One of several."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA):
        asked, given = _networks(exchange.request), _networks(exchange.response)
        if not asked or not given or not all(len(side) == 1 for side in given) or all(len(side) == 1 for side in asked):
            continue
        if all(side[0] in wanted for side, wanted in zip(given, asked, strict=True)):
            yield Found(
                confidence=CERTAIN,
                summary=f"{who(sa, exchange.initiated_by)} asked for {' and '.join(asked[0])} → {' and '.join(asked[1])}, and was given {given[0][0]} → "
                f"{given[1][0]} only ({frames(exchange.records)}): the other networks have no tunnel.",
                evidence=tuple(
                    place
                    for record in exchange.records
                    for place in evidence.payloads(
                        record, ikev2.TrafficSelectorsInitiator, ikev2.TrafficSelectorsResponder
                    )
                ),
            )


def _networks(records: tuple[MessageRecord, ...]) -> tuple[list[str], list[str]] | None:
    payloads = [payload for record in records for payload in record.payloads]
    one, two = first(payloads, ikev2.TrafficSelectorsInitiator), first(payloads, ikev2.TrafficSelectorsResponder)
    if one is None or two is None:
        return None
    return [each.summary() for each in one.selectors], [each.summary() for each in two.selectors]
