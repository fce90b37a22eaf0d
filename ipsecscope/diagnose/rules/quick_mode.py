"""PH2 for IKEv1: phase 1 stands, and quick mode is refused, ignored or left unconfirmed."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints, sizes
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    copies,
    error_of,
    exchanges_of,
    is_open,
    rounds,
)
from ipsecscope.diagnose.words import NANOSECONDS, frames, seconds, times
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

MIN_QUICK_MODE = 120  # octets: more than HASH(3) takes, less than any first message (RFC 2409 5.5)
REACTION_NS = 3 * NANOSECONDS // 2  # a refusal of quick mode comes within this time


@rule(
    "PH2-003",
    "v1-qm-no-proposal",
    CRITICAL,
    title="IKEv1 phase 1 is up, but quick mode is refused",
    means="The peer refused the tunnel: algorithms, networks (proxy identities) or perfect forward secrecy differ.",
    detect="The first message of quick mode, then at once an informational from the other side, and no second message.",
    look_alikes={
        "PH2-004": "INVALID-ID-INFORMATION has the same size: only keys or the log tell",
        "PH2-005": "no answer at all",
        "LIFE-008": "a Delete comes after a working tunnel",
    },
    causes=(
        "the networks (proxy identities, crypto ACLs) are no mirror image",
        "the ESP algorithms differ",
        "PFS: one side wants a key exchange or another group in quick mode",
        "tunnel and transport mode",
    ),
    confirm="The responder's log: 'proposal not supported', 'proxy identities not supported'; or IKE keys for this capture.",
    fix="Make transform set, PFS group and networks agree.",
    swanctl="children.NAME { esp_proposals = aes256-sha256-modp2048; local_ts = OWN; remote_ts = THEIRS }",
    ios="crypto map M 10 / set transform-set TS / set pfs group14 / match address VPN (mirror image)",
    libreswan="esp=aes256-sha2_256-dh14, pfs=yes, leftsubnet=OWN, rightsubnet=THEIRS",
    rfc=("RFC 2409 5.5", "RFC 2408 3.14.1"),
    suppressed_by=("PH2-004",),
)
def v1_qm_no_proposal(sa: IkeSa, view: View) -> Iterator[Found]:
    """Quick mode and a complaint at once."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        complaint = complaint_about(sa, exchange)
        if sa.version != 1 or complaint is None:
            continue
        error = error_of([complaint])
        if error == IsakmpNotifyType.INVALID_ID_INFORMATION or (is_open(complaint) and error is None):
            continue
        inner = view.inner(sa, [complaint])
        fits = inner is not None and inner.may_be(*sizes.v1_refusal_sizes(sa.suite))
        pfs = _carries_key_exchange(sa, exchange, view)
        has = "brings a key exchange" if pfs == "read" else f"has room for a key exchange ({pfs})"
        groups = f" The request {has}: perfect forward secrecy is asked for." if pfs else ""
        causes = ("PFS: one side wants a key exchange in quick mode, the other none or another group",) if pfs else ()
        yield Found(
            confidence=CERTAIN if error is not None else LIKELY if fits else POSSIBLE,
            summary=f"{complaint.datagram.src} refused the tunnel that {complaint.datagram.dst} asked for (quick mode, "
            f"{frames(exchange.request)}) {seconds(complaint.time_ns - exchange.request[0].time_ns)} later"
            f"{f' with {error}' if error is not None else ' with a short encrypted message'} ({frames([complaint])}): phase 1 is "
            f"up, and no data can pass.{groups}",
            evidence=(*evidence.errors(complaint), *evidence.messages((*exchange.request, complaint))),
            equation=None if inner is None or error is not None else inner.equation,
            causes=(*causes, *_V1_CAUSES) if causes else (),
            config=hints.esp_config(exchange.request, "responder, to accept what is offered"),
        )
        return


_V1_CAUSES = (
    "the networks (proxy identities, crypto ACLs) are no mirror image",
    "the ESP algorithms differ",
    "tunnel and transport mode",
)


def complaint_about(sa: IkeSa, exchange: Exchange) -> MessageRecord | None:
    """The informational that the other side sent at once behind an unanswered first message of quick mode."""
    if exchange.response or not exchange.request:
        return None
    if not sa.handshake_seen and exchange.request[0].datagram.wire_length < MIN_QUICK_MODE:
        return None  # the capture starts behind its first message
    asked = exchange.request[0]
    found = [
        record
        for each in exchanges_of(sa, IsakmpExchangeType.INFORMATIONAL)
        for record in (*each.request, *each.response)
        if record.sender != asked.sender and 0 <= record.time_ns - asked.time_ns <= REACTION_NS
    ]
    return min(found, key=lambda record: record.number, default=None)


def _carries_key_exchange(sa: IkeSa, exchange: Exchange, view: View) -> str:
    """The groups whose KE payload would explain the size of a first message of quick mode; empty when none is there."""
    if any(is_open(record) for record in exchange.request):
        return "read" if any(first(r.payloads, ikev1.KeyExchange) is not None for r in exchange.request) else ""
    inner = view.inner(sa, exchange.request[-1:])
    if inner is None:
        return ""
    # HASH, SA with one to four transforms, nonce and two subnet identities take up the rest (RFC 2409 5.5).
    rest = sizes.v1_hash(sa.suite) + 12 + 12 + 24 + 20 + 24
    spare = inner.high - rest
    fitting = [method for method in _V1_GROUPS if 0 <= spare - (sizes.key_exchange(method) or 0) <= 96]
    return ", ".join(str(method) for method in fitting)


_V1_GROUPS = (
    KeyExchangeMethod.MODP_1536,
    KeyExchangeMethod.MODP_2048,
    KeyExchangeMethod.MODP_3072,
    KeyExchangeMethod.MODP_4096,
)


@rule(
    "PH2-004",
    "v1-invalid-id",
    CRITICAL,
    title="IKEv1: the networks (proxy identities) do not match",
    means="The responder has no tunnel for the networks that the initiator asked for.",
    detect="INVALID-ID-INFORMATION in an opened informational behind quick mode.",
    look_alikes={"PH2-003": "without keys NO-PROPOSAL-CHOSEN looks the same"},
    causes=(
        "crypto ACLs that are no mirror image",
        "0.0.0.0/0 against a subnet",
        "addresses translated before encryption",
    ),
    confirm="The responder's log: proxy identities not supported, or no connection for these networks.",
    fix="Mirror the ACLs.",
    swanctl="children.NAME { local_ts = OWN; remote_ts = THEIRS }",
    ios="ip access-list extended VPN / permit ip OWN THEIRS, mirrored on the peer",
    libreswan="leftsubnet=OWN, rightsubnet=THEIRS, the mirror image of the peer's",
    rfc=("RFC 2409 5.5", "RFC 2408 3.14.1"),
)
def v1_invalid_id(sa: IkeSa) -> Iterator[Found]:
    """INVALID-ID-INFORMATION that was read."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        complaint = complaint_about(sa, exchange)
        if sa.version != 1 or complaint is None or error_of([complaint]) != IsakmpNotifyType.INVALID_ID_INFORMATION:
            continue
        named = [each for r in exchange.request for p in r.payloads if isinstance(each := p.body, ikev1.Identification)]
        asked = [each.summary() for each in named]
        yield Found(
            confidence=CERTAIN,
            summary=f"{complaint.datagram.src} has no tunnel for the networks that {complaint.datagram.dst} asked for "
            f"({' → '.join(asked) or 'none'}): INVALID-ID-INFORMATION ({frames([complaint])}).",
            evidence=(
                *evidence.errors(complaint),
                *(each for r in exchange.request for each in evidence.payloads(r, ikev1.Identification)),
            ),
            config=hints.selector_config(
                [each.value for each in named[1:2]],
                [each.value for each in named[:1]],
                "responder, to mirror the request",
            ),
        )
        return


@rule(
    "PH2-005",
    "qm-unanswered",
    HIGH,
    title="IKEv1: quick mode gets no answer",
    means="Phase 1 is up, and the request for the tunnel is ignored: the peer drops it silently or lost the SA.",
    detect="The first message of quick mode is repeated, with neither an answer nor an informational.",
    look_alikes={
        "PH2-003": "an informational answers at once",
        "LIFE-010": "the peer answers nothing at all: it lost the SA",
        "NET-003": "the message was sent in fragments",
    },
    causes=(
        "networks or PFS differ and the peer drops silently",
        "XAUTH or Mode Config is still pending",
        "the peer lost the SA",
    ),
    confirm="The peer's log.",
    fix="As for a refused quick mode: algorithms, PFS group and networks.",
    rfc=("RFC 2409 5.5",),
    suppressed_by=("CAP-002", "NET-003", "LIFE-010", "NAT-004"),
)
def qm_unanswered(sa: IkeSa) -> Iterator[Found]:
    """Quick mode again and again."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        asked = copies(exchange, exchange.initiated_by)
        if sa.version != 1 or exchange.response or len(rounds(asked)) < 3 or complaint_about(sa, exchange) is not None:
            continue
        alive = any(
            record.sender != exchange.initiated_by and record.time_ns > asked[0].time_ns
            for each in sa.exchanges
            for record in (*each.request, *each.response)
        )
        yield Found(
            confidence=LIKELY if alive else POSSIBLE,
            summary=f"{asked[0].datagram.src} asked for a tunnel {times(len(rounds(asked)))} ({frames(asked)}) and "
            f"{asked[0].datagram.dst} did not answer"
            f"{', although it answers other messages of the same SA' if alive else ''}.",
            evidence=evidence.messages(asked),
        )
        return


@rule(
    "PH2-006",
    "qm-not-completed",
    MEDIUM,
    title="IKEv1: the third message of quick mode is missing",
    means="The tunnel was answered but never confirmed, so the responder may not use it.",
    detect="The second message of quick mode is repeated, and no third one is there.",
    look_alikes={"PH2-003": "the initiator refuses the answer with an informational"},
    causes=("the third message is lost", "the initiator does not accept the answer"),
    confirm="The initiator's log.",
    fix="Look for loss from initiator to responder.",
    rfc=("RFC 2409 5.5",),
)
def qm_not_completed(sa: IkeSa) -> Iterator[Found]:
    """Two messages, the second one repeated."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        answers = [each for each in copies(exchange, "responder") if each.sender != exchange.initiated_by]
        if sa.version == 1 and len(exchange.request) == 1 and len(answers) > 2:
            yield Found(
                confidence=LIKELY,
                summary=f"{answers[0].datagram.src} answered quick mode {times(len(answers))} ({frames(answers)}) and "
                f"{answers[0].datagram.dst} never confirmed.",
                evidence=evidence.messages(answers),
                headline=True,
            )
