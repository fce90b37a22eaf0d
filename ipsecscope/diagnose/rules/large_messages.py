"""Large IKE messages: lost in IP fragments, lost in fragments of RFC 7383, or in the exchange that needs them."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    CERTAIN,
    CRITICAL,
    HIGH,
    LIKELY,
    LOW,
    MEDIUM,
    POSSIBLE,
    Found,
    rule,
)
from ipsecscope.diagnose.rules.reachability import MIN_COPIES, silence, waited
from ipsecscope.diagnose.view import (
    View,
    copies,
    exchanges_of,
    has_notify,
    opening,
    rounds,
)
from ipsecscope.diagnose.words import (
    frames,
    times,
    who,
)
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, Role


@rule(
    "NET-003",
    "ike-ip-fragments-lost",
    CRITICAL,
    title="A large IKE message is sent in IP fragments and never answered",
    means="The message is larger than one packet, the network drops one of its fragments, and the other side never sees it.",
    detect="A request of more than 1472 octets is repeated without answer while smaller ones were answered; or its fragments never come complete.",
    look_alikes={
        "NAT-004": "size does not matter: small messages to port 4500 are lost as well",
        "NET-005": "IKE fragments (RFC 7383) instead of IP fragments",
        "AUTH-009": "the answer comes late",
    },
    causes=("a firewall or NAT drops fragments", "load sharing separates fragments", "the certificate chain grew"),
    confirm="ping -s 2000 without DF between the gateways.",
    fix="Use IKE fragmentation (RFC 7383) on both sides; send smaller certificates.",
    swanctl="connections.NAME.fragmentation = yes; charon.fragment_size = 1280",
    ios="crypto ikev2 fragmentation mtu 1280",
    libreswan="fragmentation=yes",
    rfc=("RFC 7383 1", "RFC 7296 2"),
    suppressed_by=("CAP-002",),
)
def ike_ip_fragments_lost(sa: IkeSa) -> Iterator[Found]:
    """Large requests without answers."""
    small_ok = any(each.response for each in sa.exchanges)
    for exchange in sa.exchanges:
        asked = copies(exchange, exchange.initiated_by)
        large = [each for each in asked if each.datagram.fragments > 1 or each.datagram.wire_length > 1472]
        if not large or not small_ok or len(rounds(large)) < 2 or _is_answered(exchange, large[0]):
            continue
        yield Found(
            confidence=LIKELY if len(large) >= MIN_COPIES else POSSIBLE,
            summary=f"{large[0].datagram.src} sent a message of {large[0].datagram.wire_length} octets in IP fragments "
            f"{times(len(large))} ({frames(large)}) without an answer, while smaller messages of the same SA were answered.",
            evidence=evidence.messages(large),
        )
        return


def _is_answered(exchange: Exchange, asked: MessageRecord) -> bool:
    """Whether the other side goes on behind a message: in IKEv1 an exchange has several."""
    return any(each.sender != asked.sender and each.number > asked.number for each in exchange.records)


@rule(
    "NET-005",
    "ike-fragment-missing",
    HIGH,
    title="IKE fragments do not come through",
    means="A large IKE message was cut into fragments, and at least one of them is lost on the way, each time.",
    detect="A set of fragments that is incomplete here, or that is sent again and again without an answer.",
    look_alikes={
        "NAT-004": "everything on port 4500 is lost, not only the large pieces",
        "PH1-014": "the exchange type itself is dropped, whatever its size",
    },
    causes=("the path MTU is below the fragment size", "a filter on packet size", "a policer"),
    confirm="Send with a smaller fragment size; ping with DF in the size of the lost fragment.",
    fix="Lower the fragment size below the path MTU.",
    swanctl="charon.fragment_size = 1200",
    ios="crypto ikev2 fragmentation mtu 1100",
    rfc=("RFC 7383 2.5", "RFC 7383 2.5.2"),
    suppressed_by=("CAP-002",),
)
def ike_fragment_missing(exchange: Exchange) -> Iterator[Found]:
    """Incomplete or unanswered sets of RFC 7383 or vendor fragments."""
    for role in (exchange.initiated_by, None):
        sent = [
            record
            for record in (*exchange.request, *exchange.response, *exchange.repeats)
            if record.fragment is not None and (record.sender == exchange.initiated_by) == (role is not None)
        ]
        if not sent:
            continue
        total = max(record.fragment[1] for record in sent if record.fragment is not None)
        have = {record.fragment[0] for record in sent if record.fragment is not None}
        missing = sorted(set(range(1, total + 1)) - have)
        moments = rounds(sent)
        if missing and len(moments) > 1:
            yield _incomplete(sent, missing, total, len(moments))
        elif role is not None and not _is_answered(exchange, sent[0]) and not missing and len(moments) > 1:
            yield _unanswered(sent, moments)
        elif role is None and not missing and len(moments) > MIN_COPIES and _asks_on(exchange, sent):
            yield _unheard(sent, moments)


def _incomplete(sent: list[MessageRecord], missing: list[int], total: int, count: int) -> Found:
    numbers = ", ".join(map(str, missing))
    return Found(
        confidence=CERTAIN,
        summary=f"Of one {sent[0].message.exchange_type} message in {total} fragments from {sent[0].datagram.src}, fragment "
        f"{numbers} is missing here although the set was sent {times(count)} ({frames(sent)}): it is lost before this "
        "point of the network.",
        evidence=evidence.messages(sent),
    )


def _asks_on(exchange: Exchange, sent: list[MessageRecord]) -> bool:
    """Whether the request is repeated behind every answer but the last."""
    asked = rounds([each for each in exchange.repeats if each.sender == exchange.initiated_by])
    return len(asked) >= len(rounds(sent)) - 1


def _unheard(sent: list[MessageRecord], moments: list[int]) -> Found:
    return Found(
        confidence=POSSIBLE,
        summary=f"{sent[0].datagram.src} answered in fragments of up to {max(each.datagram.wire_length for each in sent)} octets "
        f"{waited(moments, sent)} and {sent[0].datagram.dst} asked again each time: a fragment is lost behind this point.",
        evidence=evidence.messages(sent),
    )


def _unanswered(sent: list[MessageRecord], moments: list[int]) -> Found:
    sizes = sorted({record.datagram.wire_length for record in sent}, reverse=True)
    return Found(
        confidence=LIKELY if len(moments) >= MIN_COPIES and sizes[0] > 1000 else POSSIBLE,
        summary=f"{sent[0].datagram.src} sent one {sent[0].message.exchange_type} message in fragments of up to {sizes[0]} octets "
        f"{waited(moments, sent)} and got no answer, although {sent[0].datagram.dst} answered the smaller "
        "messages before it: a fragment is lost on the way.",
        evidence=evidence.messages(sent),
    )


@rule(
    "PH1-014",
    "ike-intermediate-stall",
    HIGH,
    title="The additional (post-quantum) key exchange does not come through",
    means="Both sides agreed on an additional key exchange, whose large messages get no answer.",
    detect="An IKE_INTERMEDIATE request without an answer, or answered by a lone error.",
    look_alikes={"NET-005": "its fragments are lost because of their size", "NAT-004": "nothing passes on port 4500"},
    causes=(
        "packets of this size are lost",
        "a firewall drops exchange type 43",
        "different drafts of the key exchange",
    ),
    confirm="Try with a classic key exchange only, and with a smaller fragment size.",
    fix="Fragment below the path MTU; update the firewall's IKE inspection.",
    swanctl="charon.fragment_size = 1200",
    ios="crypto ikev2 fragmentation mtu 1200",
    rfc=("RFC 9242 3", "RFC 9370 2.2.2"),
    suppressed_by=("NET-005",),
)
def ike_intermediate_stall(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKE_INTERMEDIATE without an answer."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_INTERMEDIATE):
        asked = copies(exchange, exchange.initiated_by)
        if not exchange.response and len(rounds(asked)) > 1:
            yield Found(
                confidence=silence(view, rounds(asked)),
                summary=f"{who(sa, exchange.initiated_by)} sent its additional key exchange (IKE_INTERMEDIATE) "
                f"{waited(rounds(asked), asked)} without an answer; the classic key exchange before it passed.",
                evidence=evidence.messages(asked),
            )
        elif exchange.response and view.is_short(sa, exchange.response):
            yield Found(
                confidence=LIKELY,
                summary=f"{exchange.response[0].datagram.src} answered the additional key exchange with a message that has "
                f"room for one error notify only ({frames(exchange.response)}).",
                evidence=evidence.messages(exchange.records),
                equation=getattr(view.inner(sa, exchange.response), "equation", None),
            )


@rule(
    "NET-004",
    "ike-fragmentation-not-negotiated",
    LOW,
    title="IKE fragmentation is missing on one side",
    means="Large IKE messages must travel in IP fragments, which many firewalls drop.",
    detect="IKEV2_FRAGMENTATION_SUPPORTED from one side only.",
    look_alikes={"NET-003": "such a message was sent and lost"},
    causes=("the feature is switched off", "old software"),
    confirm="Whether both sides announce IKEV2_FRAGMENTATION_SUPPORTED in IKE_SA_INIT.",
    fix="Switch it on on both sides.",
    swanctl="connections.NAME.fragmentation = yes",
    ios="crypto ikev2 fragmentation",
    libreswan="fragmentation=yes",
    rfc=("RFC 7383 2.3",),
)
def ike_fragmentation_one_sided(sa: IkeSa) -> Iterator[Found]:
    """The notify of one side only."""
    first = [each for each in opening(sa) if each.outcome == "completed"]
    if sa.version == 1 or not first:
        return
    kind = NotifyType.IKEV2_FRAGMENTATION_SUPPORTED
    asked, told = has_notify(first[-1].request, kind), has_notify(first[-1].response, kind)
    if asked == told:
        return
    without: Role = "responder" if asked else "initiator"
    large = [record for exchange in sa.exchanges for record in exchange.records if record.datagram.fragments > 1]
    yield Found(
        confidence=CERTAIN if large else POSSIBLE,
        severity=MEDIUM if large else LOW,
        summary=f"{who(sa, without)} does not announce IKE fragmentation ({frames(first[-1].records)})"
        f"{f'; {frames(large)} came in IP fragments' if large else ''}.",
        evidence=evidence.messages((*first[-1].records, *large[:4])),
    )
