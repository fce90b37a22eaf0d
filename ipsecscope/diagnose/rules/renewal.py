"""CREATE_CHILD_SA that is refused: the tunnel that works once and is not renewed.

Whether a request asks for a fresh key exchange is read from its size where it is closed (RFC 7296 1.3.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints, sizes
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    error_of,
    exchanges_of,
    has_notify,
    is_open,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, listed, who
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.public_values import SIZES
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, SecurityProtocol
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import Exchange, IkeSa, Role, Suite

CROSSING_NS = NANOSECONDS  # between two renewals that cross each other
RETRY_NS = NANOSECONDS  # a request with another group comes within this time


def refused_creations(sa: IkeSa, view: View) -> list[Exchange]:
    """CREATE_CHILD_SA exchanges whose answer is an error, or has room for nothing but one."""
    found = []
    for exchange in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        if not exchange.response:
            continue
        opened = any(is_open(record) for record in exchange.response)
        if error_of(exchange.response) is not None if opened else view.is_short(sa, exchange.response):
            found.append(exchange)
    return found


def unrecovered(sa: IkeSa, view: View) -> list[Exchange]:
    """Refused CREATE_CHILD_SA exchanges that nothing makes good.

    That is a later success of the same side (a retry with another group, say), or one of the other side at that very
    time: then the two crossed (RFC 7296 2.25).
    """
    refused = refused_creations(sa, view)
    known = {id(each) for each in refused}
    last: dict[Role, int] = {}
    good = [each for each in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA) if each.response and id(each) not in known]
    for each in good:
        last[each.initiated_by] = max(last.get(each.initiated_by, 0), each.start_ns)
    return [
        each
        for each in refused
        if last.get(each.initiated_by, 0) <= each.start_ns
        and not any(
            one.initiated_by != each.initiated_by and abs(one.start_ns - each.start_ns) < CROSSING_NS for one in good
        )
        and not (_asks_for_group(each) and view.horizon(each.stop_ns) < RETRY_NS)
    ]


def _asks_for_group(exchange: Exchange) -> bool:
    """Whether the answer asks for another group: the request comes again with it (RFC 7296 1.3)."""
    return has_notify(exchange.response, NotifyType.INVALID_KE_PAYLOAD)


def is_renewal(sa: IkeSa, exchange: Exchange, view: View) -> bool | None:
    """Whether a CREATE_CHILD_SA request renews an SA: REKEY_SA or an SA payload for IKE; None where it is closed."""
    if not any(is_open(record) for record in exchange.request):
        made = [each for each in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA) if each.start_ns < exchange.start_ns]
        return False if view.asks_no_child(sa) and not made else None  # there is nothing yet that could be renewed
    if has_notify(exchange.request, NotifyType.REKEY_SA):
        return True
    offer = next((b for r in exchange.request if (b := first(r.payloads, ikev2.SecurityAssociation))), None)
    return offer is not None and any(each.protocol_id == SecurityProtocol.IKE for each in offer.proposals)


def key_exchange_of(sa: IkeSa, exchange: Exchange, view: View) -> tuple[bool | None, str]:
    """Whether a CREATE_CHILD_SA request carries a KE payload, and which groups its size fits."""
    if any(is_open(record) for record in exchange.request):
        body = next((b for r in exchange.request if (b := first(r.payloads, ikev2.KeyExchange)) is not None), None)
        return body is not None, "" if body is None else str(body.method)
    inner = view.inner(sa, exchange.request)
    if inner is None:
        return None, ""
    # N(REKEY_SA), SA with one proposal, Ni, TSi, TSr (RFC 7296 1.3.3); a group adds its transform and its KE payload.
    least = sizes.notify(spi=sizes.ESP_SPI) + sizes.MIN_CHILD + sizes.nonce(16)
    most = sizes.notify(spi=sizes.ESP_SPI) + sizes.security_association(3) + sizes.nonce() + sizes.MIN_SELECTORS
    most += 2 * sizes.notify()
    fitting = [
        method
        for method in SIZES
        if (size := sizes.key_exchange(method)) is not None
        and inner.low <= most + 8 + size
        and inner.high >= least + 8 + size
    ]
    if inner.low > most and fitting:
        return True, ", ".join(str(method) for method in fitting[:4])
    return (False, "") if inner.high <= most + 8 else (None, "")


def _only_pfs_is_new(sa: IkeSa, exchange: Exchange) -> bool:
    """Whether a refusal that can be read is of a key exchange: the rest of the offer made the Child SA that stands."""
    error = error_of(exchange.response)
    if error is not None and int(error) == int(NotifyType.INVALID_KE_PAYLOAD):
        return True
    bodies = [first(record.payloads, ikev2.SecurityAssociation) for record in exchange.request]
    suites = [child.suite for child in sa.child_sas if child.suite is not None and child.suite.encr is not None]
    return error is not None and any(
        _offers(proposal, suite)
        for body in bodies
        if body is not None
        for proposal in body.proposals
        for suite in suites
    )


def _offers(proposal: ikev2.Proposal, suite: Suite) -> bool:
    """Whether one could choose these algorithms from a proposal."""
    transforms = [(str(algorithm), length) for _, algorithm, length in proposal.algorithms]
    encr = (suite.encr, suite.key_length) in transforms
    return encr and (suite.integ is None or any(name == suite.integ for name, _ in transforms))


@rule(
    "PH2-007",
    "pfs-mismatch-first-rekey",
    CRITICAL,
    title="The tunnel works once and dies at its first rekey: perfect forward secrecy differs",
    means="The first tunnel comes without a key exchange of its own, so a difference in PFS shows only when it is renewed.",
    detect="The first tunnel carried data; the request to renew it is answered by a lone error.",
    look_alikes={
        "PH2-001": "a further tunnel is refused: with keys, its request renews nothing",
        "LIFE-002": "refused for another reason: networks changed, the peer was busy (it then succeeds on retry)",
        "PH1-007": "another group was wanted and given: the retry succeeds",
    },
    causes=(
        "PFS is configured on one side only",
        "the PFS groups differ",
        "an additional (post-quantum) key exchange for ESP on one side only",
    ),
    confirm="Force a rekey: swanctl --rekey --child NAME. The responder's log: no acceptable proposal.",
    fix="Configure the same PFS group on both sides.",
    swanctl="children.NAME.esp_proposals = aes256gcm16-ecp384",
    ios="crypto map M 10 / set pfs group20",
    libreswan="pfs=yes, esp=aes_gcm256-dh20",
    rfc=("RFC 7296 1.3.3", "RFC 7296 2.17"),
)
def pfs_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused renewal of a tunnel that worked."""
    for exchange in unrecovered(sa, view):
        error = error_of(exchange.response)
        if not view.flows_of(sa) or is_renewal(sa, exchange, view) is False:
            continue
        if error is not None and int(error) not in {
            int(NotifyType.NO_PROPOSAL_CHOSEN),
            int(NotifyType.INVALID_KE_PAYLOAD),
        }:
            continue
        has_ke, groups = key_exchange_of(sa, exchange, view)
        if has_ke is None and error is None:
            continue
        inner = view.inner(sa, exchange.response)
        wanted = listed(groups.split(", "), "or")
        carries = f"asks for a fresh key exchange ({wanted})" if has_ke else "asks for none"
        working = min(flow.first_ns for flow in view.flows_of(sa))
        yield Found(
            confidence=CERTAIN
            if _only_pfs_is_new(sa, exchange)
            else LIKELY
            if has_ke or error is not None
            else POSSIBLE,
            summary=f"The tunnel between {who(sa, 'initiator')} and {who(sa, 'responder')} worked from {clock(working)} until it "
            f"was to be renewed: the request ({frames(exchange.request)}) {carries} and was refused"
            f"{f' with {error}' if error is not None else ''} ({frames(exchange.response)}), so the PFS settings differ.",
            evidence=(
                *(each for record in exchange.response for each in evidence.errors(record)),
                *evidence.messages(exchange.records),
            ),
            equation=None if inner is None or error is not None else inner.equation,
            config=hints.esp_config(exchange.request, "responder, to accept what is asked for"),
        )
        return


@rule(
    "LIFE-002",
    "rekey-refused",
    HIGH,
    title="The renewal of an SA was refused",
    means="The peer refuses to renew the keys; the tunnel ends when the old keys expire.",
    detect="CREATE_CHILD_SA answered by a lone error, and no later attempt succeeds.",
    look_alikes={"PH2-007": "perfect forward secrecy differs", "LIFE-003": "both sides renewed at once"},
    causes=(
        "PFS or algorithms differ",
        "the configuration changed since the start",
        "the peer is busy with a rekey of its own",
    ),
    confirm="The peer's log.",
    fix="Make the proposals agree.",
    rfc=("RFC 7296 1.3", "RFC 7296 2.25"),
    suppressed_by=("PH2-007", "PH2-011"),
)
def rekey_refused(sa: IkeSa, view: View) -> Iterator[Found]:
    """Refused CREATE_CHILD_SA without a later success."""
    for exchange in unrecovered(sa, view):
        if is_renewal(sa, exchange, view) is False:
            continue
        error = error_of(exchange.response)
        inner = view.inner(sa, exchange.response)
        yield Found(
            confidence=CERTAIN if error is not None and is_renewal(sa, exchange, view) else LIKELY,
            summary=f"{exchange.response[0].datagram.src} refused {exchange.response[0].datagram.dst}'s CREATE_CHILD_SA"
            f"{f' with {error}' if error is not None else ''} ({frames(exchange.records)}).",
            evidence=evidence.messages(exchange.records),
            equation=None if inner is None or error is not None else inner.equation,
        )
        return
