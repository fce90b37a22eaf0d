"""PH2: the IKE SA stands, and the tunnel for the data is refused, unanswered or never asked for.

The refusals of RFC 7296 1.2 and 1.3 all have the size of one notify: without keys they are one class, whose members
are listed as causes.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, sizes
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    copies,
    error_of,
    exchanges_of,
    has_notify,
    is_open,
    rounds,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, times, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.ikev2.public_values import SIZES
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.contents import first
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, Role

REACTION_NS = 3 * NANOSECONDS // 2  # a refusal of quick mode comes within this time
IDLE_NS = 60 * NANOSECONDS
STORM = 5

CLASS_CAUSES = (
    "the networks (traffic selectors) differ: TS_UNACCEPTABLE",
    "the ESP algorithms differ: NO_PROPOSAL_CHOSEN",
    "no address to give: INTERNAL_ADDRESS_FAILURE, or one must be asked for: FAILED_CP_REQUIRED",
    "the responder's kernel refuses the SA (libreswan then says TS_UNACCEPTABLE)",
)
_NOT_PROPOSAL = {
    int(NotifyType.TS_UNACCEPTABLE),
    int(NotifyType.SINGLE_PAIR_REQUIRED),
    int(NotifyType.NO_ADDITIONAL_SAS),
    int(NotifyType.TS_MAX_QUEUE),
    int(NotifyType.INTERNAL_ADDRESS_FAILURE),
    int(NotifyType.FAILED_CP_REQUIRED),
}


def _refused_first(sa: IkeSa, view: View) -> Exchange | None:
    """The IKE_AUTH exchange that proved identities and refused the Child SA."""
    answer = view.answer(sa)
    if answer.kind != "child-refused" or view.flows_of(sa) or exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        return None
    return answer.exchange


def selectors_text(records: tuple[MessageRecord, ...]) -> str:
    """The traffic selectors that can be read, as ``TSi → TSr``."""
    payloads = [payload for record in records for payload in record.payloads]
    one, two = first(payloads, ikev2.TrafficSelectorsInitiator), first(payloads, ikev2.TrafficSelectorsResponder)
    return "" if one is None or two is None else f"{one.summary()} → {two.summary()}"


@rule(
    "PH2-001",
    "child-no-proposal",
    CRITICAL,
    title="IKE is up, but the responder refused the data tunnel",
    means="Both sides authenticated each other; then the responder refused the tunnel itself: its algorithms, its networks or an address.",
    detect="An answer to IKE_AUTH with room for identity and proof, and none for a Child SA; with keys, NO_PROPOSAL_CHOSEN.",
    look_alikes={
        "PH2-002": "TS_UNACCEPTABLE has the same size: only keys or the log tell",
        "PH2-010": "INTERNAL_ADDRESS_FAILURE has the same size",
        "AUTH-002": "no room for identity and proof: authentication was refused",
    },
    causes=CLASS_CAUSES,
    confirm="The responder's log: 'no acceptable proposal found' or 'traffic selectors unacceptable'; or IKE keys for this capture.",
    fix="Make the ESP algorithms the same, and mirror the networks on both sides.",
    swanctl="children.NAME { esp_proposals = aes256gcm16,aes256-sha256; local_ts = OWN; remote_ts = THEIRS }",
    ios="crypto ipsec transform-set TS esp-aes 256 esp-sha256-hmac; ip access-list extended VPN (mirror image)",
    rfc=("RFC 7296 1.2", "RFC 7296 2.21.2"),
    suppressed_by=("PH2-002", "PH2-010", "PH2-011"),
)
def child_no_proposal(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused first Child SA."""
    exchange = _refused_first(sa, view)
    answer = view.answer(sa)
    if exchange is None or (answer.notify is not None and int(answer.notify) in _NOT_PROPOSAL):
        return
    known = answer.notify is not None
    said = f"with {answer.notify}" if known else "in a message too short for one"
    yield Found(
        confidence=CERTAIN if known else LIKELY,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} authenticated each other, but {who(sa, 'responder')} refused the "
        f"tunnel {said} ({frames(exchange.response)}, {clock(exchange.response[0].time_ns)}): the IKE SA is up without a tunnel.",
        evidence=(
            *(each for record in exchange.response for each in evidence.errors(record)),
            *evidence.messages(exchange.records),
        ),
        equation=None
        if answer.inner is None
        else f"{answer.inner.equation}; IDr, AUTH, SA, TSi and TSr need {sizes.min_success(sa.suite)}",
        causes=("the ESP algorithms differ",) if known else CLASS_CAUSES,
    )


def _refusing(sa: IkeSa, *kinds: int) -> Iterator[tuple[Exchange, MessageRecord]]:
    """Opened answers of IKE_AUTH and CREATE_CHILD_SA with one of these notifies."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA):
        for record in exchange.response:
            if is_open(record) and any(has_notify([record], kind) for kind in kinds):
                yield exchange, record


@rule(
    "PH2-002",
    "ts-unacceptable",
    CRITICAL,
    title="The networks (traffic selectors) do not match",
    means="The responder has no policy that covers the networks the initiator wants to connect.",
    detect="TS_UNACCEPTABLE in an opened answer.",
    look_alikes={"PH2-001": "without keys NO_PROPOSAL_CHOSEN looks the same"},
    causes=(
        "another subnet or mask",
        "one side route-based (0.0.0.0/0), the other policy-based",
        "a kernel that refuses the SA (libreswan)",
    ),
    confirm="Compare the two lists; the responder's log.",
    fix="Mirror the selectors: what is local on one side is remote on the other.",
    rfc=("RFC 7296 2.9",),
)
def ts_unacceptable(sa: IkeSa) -> Iterator[Found]:
    """TS_UNACCEPTABLE that was read."""
    for exchange, record in _refusing(sa, NotifyType.TS_UNACCEPTABLE):
        text = selectors_text(exchange.request)
        yield Found(
            confidence=CERTAIN,
            summary=f"{record.datagram.src} does not accept the networks that {record.datagram.dst} asked for "
            f"(TS_UNACCEPTABLE, {frames([record])}){f': {text}' if text else ''}.",
            evidence=(
                *evidence.errors(record),
                *(
                    each
                    for asked in exchange.request
                    for each in evidence.payloads(
                        asked, ikev2.TrafficSelectorsInitiator, ikev2.TrafficSelectorsResponder
                    )
                ),
            ),
            config={"swanctl": f"hint: the responder needs local_ts and remote_ts that cover {text}"} if text else {},
        )


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
    rfc=("RFC 2409 5.5", "RFC 2408 3.14.1"),
    suppressed_by=("PH2-004",),
)
def v1_qm_no_proposal(sa: IkeSa, view: View) -> Iterator[Found]:
    """Quick mode and a complaint at once."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        complaint = _complaint(sa, exchange)
        if sa.version != 1 or complaint is None:
            continue
        error = error_of([complaint])
        if error == IsakmpNotifyType.INVALID_ID_INFORMATION or (is_open(complaint) and error is None):
            continue
        inner = view.inner(sa, [complaint])
        fits = inner is not None and inner.may_be(*sizes.v1_refusal_sizes(sa.suite))
        pfs = _carries_key_exchange(sa, exchange, view)
        groups = (
            f" Its first message has room for a key exchange ({pfs}): perfect forward secrecy is asked for."
            if pfs
            else ""
        )
        causes = ("PFS: one side wants a key exchange in quick mode, the other none or another group",) if pfs else ()
        yield Found(
            confidence=CERTAIN if error is not None else LIKELY if fits else POSSIBLE,
            summary=f"{complaint.datagram.src} refused {complaint.datagram.dst}'s tunnel (quick mode, {frames(exchange.request)}) "
            f"{seconds(complaint.time_ns - exchange.request[0].time_ns)} later{f' with {error}' if error is not None else ''} "
            f"({frames([complaint])}); phase 1 is up.{groups}",
            evidence=(*evidence.errors(complaint), *evidence.messages((*exchange.request, complaint))),
            equation=None if inner is None or error is not None else inner.equation,
            causes=(*causes, *_V1_CAUSES) if causes else (),
        )
        return


_V1_CAUSES = (
    "the networks (proxy identities, crypto ACLs) are no mirror image",
    "the ESP algorithms differ",
    "tunnel and transport mode",
)


def _complaint(sa: IkeSa, exchange: Exchange) -> MessageRecord | None:
    """The informational that the other side sent at once behind an unanswered first message of quick mode."""
    if exchange.response or not exchange.request:
        return None
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
    fix="Mirror the ACLs.",
    swanctl="children.NAME { local_ts = OWN; remote_ts = THEIRS }",
    ios="ip access-list extended VPN / permit ip OWN THEIRS, mirrored on the peer",
    rfc=("RFC 2409 5.5", "RFC 2408 3.14.1"),
)
def v1_invalid_id(sa: IkeSa) -> Iterator[Found]:
    """INVALID-ID-INFORMATION that was read."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        complaint = _complaint(sa, exchange)
        if sa.version != 1 or complaint is None or error_of([complaint]) != IsakmpNotifyType.INVALID_ID_INFORMATION:
            continue
        asked = [
            each.summary()
            for r in exchange.request
            for p in r.payloads
            if isinstance(each := p.body, ikev1.Identification)
        ]
        yield Found(
            confidence=CERTAIN,
            summary=f"{complaint.datagram.src} has no tunnel for the networks that {complaint.datagram.dst} asked for "
            f"({' → '.join(asked) or 'none'}): INVALID-ID-INFORMATION ({frames([complaint])}).",
            evidence=(
                *evidence.errors(complaint),
                *(each for r in exchange.request for each in evidence.payloads(r, ikev1.Identification)),
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
    suppressed_by=("CAP-002", "NET-003", "LIFE-010"),
)
def qm_unanswered(sa: IkeSa) -> Iterator[Found]:
    """Quick mode again and again."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.QUICK_MODE):
        asked = copies(exchange, exchange.initiated_by)
        if sa.version != 1 or exchange.response or len(rounds(asked)) < 3 or _complaint(sa, exchange) is not None:
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
            )


# -- CREATE_CHILD_SA ----------------------------------------------------------------------------------------------


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
    """Refused CREATE_CHILD_SA exchanges without a later success of the same side (a retry with another group, say)."""
    refused = refused_creations(sa, view)
    known = {id(each) for each in refused}
    last: dict[Role, int] = {}
    for each in exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
        if each.response and id(each) not in known:
            last[each.initiated_by] = max(last.get(each.initiated_by, 0), each.start_ns)
    return [each for each in refused if last.get(each.initiated_by, 0) <= each.start_ns]


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


@rule(
    "PH2-007",
    "pfs-mismatch-first-rekey",
    CRITICAL,
    title="The tunnel works once and dies at its first rekey: perfect forward secrecy differs",
    means="The first tunnel comes without a key exchange of its own, so a difference in PFS shows only when it is renewed.",
    detect="The first tunnel carried data; the request to renew it is answered by a lone error.",
    look_alikes={
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
    rfc=("RFC 7296 1.3.3", "RFC 7296 2.17"),
)
def pfs_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused renewal of a tunnel that worked."""
    for exchange in unrecovered(sa, view):
        error = error_of(exchange.response)
        if not view.flows_of(sa):
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
        carries = f"asks for a fresh key exchange ({groups})" if has_ke else "has no key exchange"
        working = min(flow.first_ns for flow in view.flows_of(sa))
        yield Found(
            confidence=LIKELY if has_ke or error is not None else POSSIBLE,
            summary=f"The tunnel between {who(sa, 'initiator')} and {who(sa, 'responder')} worked from {clock(working)}; the request to "
            f"renew it, which {carries} ({frames(exchange.request)}), was refused"
            f"{f' with {error}' if error is not None else ''} ({frames(exchange.response)}): the PFS settings differ.",
            evidence=(
                *(each for record in exchange.response for each in evidence.errors(record)),
                *evidence.messages(exchange.records),
            ),
            equation=None if inner is None or error is not None else inner.equation,
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
        error = error_of(exchange.response)
        inner = view.inner(sa, exchange.response)
        yield Found(
            confidence=CERTAIN if error is not None else LIKELY,
            summary=f"{exchange.response[0].datagram.src} refused {exchange.response[0].datagram.dst}'s CREATE_CHILD_SA"
            f"{f' with {error}' if error is not None else ''} ({frames(exchange.records)}).",
            evidence=evidence.messages(exchange.records),
            equation=None if inner is None or error is not None else inner.equation,
        )
        return


@rule(
    "PH2-008",
    "ts-narrowed",
    MEDIUM,
    title="The tunnel is narrower than asked for",
    means="The responder agreed, but to smaller networks: the rest will not pass.",
    detect="Opened selectors of the answer that differ from those of the request.",
    look_alikes={"PH2-010": "an assigned address narrows the initiator's side as a matter of course"},
    causes=("the responder is configured for less",),
    fix="Extend the responder's networks, or ask for what it has.",
    swanctl="children.NAME { local_ts = …; remote_ts = … }",
    rfc=("RFC 7296 2.9",),
)
def ts_narrowed(sa: IkeSa) -> Iterator[Found]:
    """An answer with other selectors than the request."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA):
        asked, given = selectors_text(exchange.request), selectors_text(exchange.response)
        if asked and given and asked != given:
            yield Found(
                confidence=CERTAIN,
                severity=MEDIUM,
                summary=f"{who(sa, exchange.initiated_by)} asked for {asked} and was given {given} ({frames(exchange.records)}).",
                evidence=tuple(
                    each
                    for record in exchange.records
                    for each in evidence.payloads(
                        record, ikev2.TrafficSelectorsInitiator, ikev2.TrafficSelectorsResponder
                    )
                ),
            )


@rule(
    "PH2-009",
    "mode-mismatch",
    MEDIUM,
    title="Transport mode was asked for and not given",
    means="One side wants to protect host-to-host packets as they are, the other wraps them in a tunnel.",
    detect="USE_TRANSPORT_MODE in an opened request and not in its answer.",
    look_alikes={"AUTH-005": "the initiator hangs up for another reason"},
    causes=("different modes configured", "a NAT forces tunnel mode on some peers"),
    fix="Configure the same mode.",
    swanctl="children.NAME.mode = transport",
    ios="crypto ipsec transform-set TS … / mode transport",
    rfc=("RFC 7296 1.3.1",),
    headline=True,
)
def mode_mismatch(sa: IkeSa) -> Iterator[Found]:
    """A mode that the answer does not confirm."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH, ExchangeType.CREATE_CHILD_SA):
        kind = NotifyType.USE_TRANSPORT_MODE
        if not has_notify(exchange.request, kind) or has_notify(exchange.response, kind):
            continue
        if not any(first(record.payloads, ikev2.SecurityAssociation) for record in exchange.response):
            continue
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, exchange.initiated_by)} asked for transport mode ({frames(exchange.request)}), and the answer does not "
            f"confirm it ({frames(exchange.response)}): the tunnel is in tunnel mode, or will be closed.",
            evidence=tuple(each for record in exchange.request for each in evidence.notify(record, kind)),
        )


@rule(
    "PH2-010",
    "config-request-failed",
    HIGH,
    title="No virtual address was given",
    means="The client asked the gateway for an address and got none, or failed to ask where it must.",
    detect="INTERNAL_ADDRESS_FAILURE or FAILED_CP_REQUIRED in an opened answer.",
    look_alikes={"PH2-001": "without keys all refusals of the first tunnel look the same"},
    causes=("the address pool is used up", "no pool is configured", "the client does not ask for an address"),
    fix="Enlarge or configure the pool; let the client ask.",
    swanctl="pools { p { addrs = 10.9.0.0/24 } }; connections.NAME.vips = 0.0.0.0",
    ios="ip local pool P …; crypto ikev2 authorization policy A / pool P",
    rfc=("RFC 7296 3.15.4",),
)
def config_request_failed(sa: IkeSa) -> Iterator[Found]:
    """An address that was not given."""
    for _, record in _refusing(sa, NotifyType.INTERNAL_ADDRESS_FAILURE, NotifyType.FAILED_CP_REQUIRED):
        error = error_of([record])
        yield Found(
            confidence=CERTAIN,
            severity=CRITICAL,
            summary=f"{record.datagram.src} gave {record.datagram.dst} no address ({error}, {frames([record])}).",
            evidence=evidence.errors(record),
        )


@rule(
    "PH2-011",
    "child-limit",
    HIGH,
    title="The peer allows no further tunnel",
    means="The peer accepts one tunnel, or one pair of addresses, at a time.",
    detect="NO_ADDITIONAL_SAS, SINGLE_PAIR_REQUIRED or TS_MAX_QUEUE in an opened answer.",
    look_alikes={"LIFE-002": "without keys every refusal looks the same"},
    causes=("a minimal implementation", "a cloud gateway with one pair of SAs", "a licence limit"),
    fix="Join the selectors into one tunnel.",
    swanctl="children.NAME { remote_ts = 10.0.0.0/8 }",
    ios="a crypto map with one line, or a tunnel interface",
    rfc=("RFC 7296 1.3", "RFC 7296 2.9", "RFC 9611"),
)
def child_limit(sa: IkeSa) -> Iterator[Found]:
    """A refusal for want of room."""
    kinds = (NotifyType.NO_ADDITIONAL_SAS, NotifyType.SINGLE_PAIR_REQUIRED, NotifyType.TS_MAX_QUEUE)
    for _, record in _refusing(sa, *kinds):
        yield Found(
            confidence=CERTAIN,
            summary=f"{record.datagram.src} refused a further tunnel for {record.datagram.dst} ({error_of([record])}, "
            f"{frames([record])}).",
            evidence=evidence.errors(record),
        )


@rule(
    "PH2-012",
    "childless-ike-sa",
    HIGH,
    title="IKE is up, and no tunnel was ever built",
    means="The two sides know each other, but there is no tunnel for data.",
    detect="An IKE SA that is kept alive without a Child SA.",
    look_alikes={"NET-013": "the tunnel is there and unused"},
    causes=("the tunnel was refused", "it is built on demand, and nobody sends"),
    confirm="swanctl --list-sas; show crypto ipsec sa",
    fix="Mend the refused tunnel, or start it at once.",
    swanctl="children.NAME.start_action = start",
    rfc=("RFC 7296 1.2", "RFC 6023"),
    suppressed_by=("PH2-001", "PH2-002", "PH2-003", "PH2-004", "PH2-005", "PH2-010", "AUTH-012", "AUTH-005"),
)
def childless(sa: IkeSa, view: View) -> Iterator[Found]:
    """Phase 1 without phase 2."""
    if view.flows_of(sa) or sa.rekeys is not None or not sa.handshake_seen:
        return
    if sa.version == 1:
        quick = exchanges_of(sa, IsakmpExchangeType.QUICK_MODE)
        if sa.established_ns is None or any(each.response for each in quick):
            return
        if not quick and view.horizon(sa.established_ns) < IDLE_NS:
            return
        basis = [record for exchange in (*sa.exchanges[:1], *quick) for record in exchange.records]
    else:
        if view.answer(sa).kind != "child-refused" or exchanges_of(sa, ExchangeType.CREATE_CHILD_SA):
            return
        basis = [record for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH) for record in exchange.records]
    yield Found(
        confidence=LIKELY,
        summary=f"The IKE SA between {who(sa, 'initiator')} and {who(sa, 'responder')} is up ({frames(basis)}) and has no tunnel.",
        evidence=evidence.messages(basis),
    )


@rule(
    "PH2-013",
    "phase2-retry-storm",
    MEDIUM,
    title="The same tunnel is refused again and again",
    means="A tunnel that the peer does not have is asked for without end.",
    detect="Five or more refused quick modes or CREATE_CHILD_SA exchanges in one IKE SA.",
    look_alikes={"PH1-015": "the whole IKE SA is started again"},
    causes=("one of several networks is missing on the peer",),
    fix="Add the network on the peer, or remove it here.",
    rfc=("RFC 7296 2.21",),
)
def phase2_retry_storm(sa: IkeSa, view: View) -> Iterator[Found]:
    """Many refusals in one IKE SA."""
    if sa.version == 1:
        quick = exchanges_of(sa, IsakmpExchangeType.QUICK_MODE)
        refused = [each for each in quick if _complaint(sa, each) is not None] if len(quick) >= STORM else []
    else:
        refused = refused_creations(sa, view)
    if len(refused) < STORM:
        return
    records = [record for each in refused for record in each.request]
    span = records[-1].time_ns - records[0].time_ns
    yield Found(
        confidence=CERTAIN,
        summary=f"{records[0].datagram.src} was refused a tunnel {times(len(refused))} within {seconds(span)} ({frames(records)}).",
        evidence=evidence.messages(records),
    )
