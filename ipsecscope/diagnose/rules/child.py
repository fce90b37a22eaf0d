"""PH2: the IKE SA stands, and the tunnel for the data is refused, unanswered or never asked for.

The refusals of RFC 7296 1.2 and 1.3 all have the size of one notify: without keys they are one class, whose members
are listed as causes.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints, sizes
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.quick_mode import complaint_about
from ipsecscope.diagnose.rules.renewal import is_renewal, refused_creations, unrecovered
from ipsecscope.diagnose.view import (
    View,
    error_of,
    exchanges_of,
    has_notify,
    is_open,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, times, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.dissect.registry.isakmp import ConfigAttributeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

IDLE_NS = 60 * NANOSECONDS
ANSWER_NS = 5 * NANOSECONDS  # longer than quick mode takes to be answered
STORM = 5
ADDRESS_ATTRIBUTE = 8  # an IPv4 address with type and length (draft-dukes-ike-mode-cfg 3.3)
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


def selectors_of(records: tuple[MessageRecord, ...]) -> tuple[list[str], list[str]]:
    """The traffic selectors that can be read, those of TSi and those of TSr."""
    payloads = [payload for record in records for payload in record.payloads]
    lists = (first(payloads, ikev2.TrafficSelectorsInitiator), first(payloads, ikev2.TrafficSelectorsResponder))
    one, two = ([] if each is None else [part.summary() for part in each.selectors] for each in lists)
    return one, two


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
    libreswan="esp=aes_gcm256, leftsubnet=OWN, rightsubnet=THEIRS",
    rfc=("RFC 7296 1.2", "RFC 7296 2.21.2"),
    suppressed_by=("PH2-002", "PH2-010", "PH2-011"),
)
def child_no_proposal(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused first Child SA, or a refused further one that was read."""
    yield from _refused_further(sa, view)
    exchange = _refused_first(sa, view)
    answer = view.answer(sa)
    if exchange is None or (answer.notify is not None and int(answer.notify) in _NOT_PROPOSAL):
        return
    known = answer.notify is not None
    said = f" with {answer.notify}" if known else ""
    how = "" if known else ", in an answer with room for identity, proof and an error, and for no tunnel"
    yield Found(
        confidence=CERTAIN if known else LIKELY,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} authenticated each other, but {who(sa, 'responder')} refused the "
        f"tunnel{said} ({frames(exchange.response)}, {clock(exchange.response[0].time_ns)}){how}: IKE is up, and no data can pass.",
        evidence=(
            *(each for record in exchange.response for each in evidence.errors(record)),
            *evidence.messages(exchange.records),
        ),
        equation=None
        if answer.inner is None
        else f"{answer.inner.equation}; IDr, AUTH, SA, TSi and TSr need {sizes.min_success(sa.suite)}",
        causes=("the ESP algorithms differ",) if known else CLASS_CAUSES,
        config=hints.esp_config(exchange.request, "responder, to accept what is offered"),
    )


def _refused_further(sa: IkeSa, view: View) -> Iterator[Found]:
    """CREATE_CHILD_SA for a further tunnel, refused: only keys tell it from a renewal, or that there was none before."""
    for exchange in unrecovered(sa, view):
        error = error_of(exchange.response)
        if is_renewal(sa, exchange, view) is not False or (error is not None and int(error) in _NOT_PROPOSAL):
            continue
        text = selectors_text(exchange.request)
        yield Found(
            confidence=LIKELY if error is None else CERTAIN,
            summary=f"{exchange.response[0].datagram.src} refused {'the' if error is None else 'a further'} tunnel for "
            f"{exchange.response[0].datagram.dst}{'' if error is None else f' with {error}'} ({frames(exchange.records)}){f': {text}' if text else ''}; the IKE SA stays up.",
            evidence=(
                *(each for record in exchange.response for each in evidence.errors(record)),
                *evidence.messages(exchange.records),
            ),
            causes=CLASS_CAUSES
            if error is None
            else ("the ESP algorithms differ", "PFS: one side wants a key exchange for the tunnel, the other none"),
        )
        return


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
    swanctl="children.NAME { local_ts = OWN; remote_ts = THEIRS }, the mirror image of the peer's",
    ios="ip access-list extended VPN / permit ip OWN THEIRS, the mirror image of the peer's",
    libreswan="leftsubnet=OWN, rightsubnet=THEIRS, the mirror image of the peer's",
    rfc=("RFC 7296 2.9",),
)
def ts_unacceptable(sa: IkeSa) -> Iterator[Found]:
    """TS_UNACCEPTABLE that was read."""
    for exchange, record in _refusing(sa, NotifyType.TS_UNACCEPTABLE):
        text = selectors_text(exchange.request)
        asked, wanted = selectors_of(exchange.request)
        yield Found(
            confidence=CERTAIN,
            summary=f"{record.datagram.src} does not accept the networks that {record.datagram.dst} asked for "
            f"(TS_UNACCEPTABLE, {frames([record])}){f': {text}' if text else ''}.",
            evidence=(
                *evidence.errors(record),
                *(
                    each
                    for message in exchange.request
                    for each in evidence.payloads(
                        message, ikev2.TrafficSelectorsInitiator, ikev2.TrafficSelectorsResponder
                    )
                ),
            ),
            config=hints.selector_config(wanted, asked, "responder, to mirror the request"),
        )


@rule(
    "PH2-008",
    "ts-narrowed",
    MEDIUM,
    title="The tunnel is narrower than asked for",
    means="The responder agreed, but to smaller networks: the rest will not pass.",
    detect="Opened selectors of the answer that differ from those of the request.",
    look_alikes={"PH2-010": "an assigned address narrows the initiator's side as a matter of course"},
    causes=("the responder is configured for less",),
    confirm="Compare TSi and TSr of the request with those of the answer.",
    fix="Extend the responder's networks, or ask for what it has.",
    swanctl="children.NAME { local_ts = …; remote_ts = … }",
    libreswan="narrowing=yes, rightsubnet=ALL OF IT",
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
    confirm="The mode that both configurations ask for.",
    fix="Configure the same mode.",
    swanctl="children.NAME.mode = transport",
    ios="crypto ipsec transform-set TS … / mode transport",
    libreswan="type=transport",
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


_NO_ADDRESS = {
    int(NotifyType.INTERNAL_ADDRESS_FAILURE): "has no address left, or no pool, for",
    int(NotifyType.FAILED_CP_REQUIRED): "wants to give an address, and was not asked for one by",
}


@rule(
    "PH2-010",
    "config-request-failed",
    HIGH,
    title="No virtual address was given",
    means="The client asked the gateway for an address and got none, or failed to ask where it must.",
    detect="INTERNAL_ADDRESS_FAILURE or FAILED_CP_REQUIRED in an opened answer; in IKEv1, a reply of Mode Config without an address.",
    look_alikes={"PH2-001": "without keys all refusals of the first tunnel look the same"},
    causes=("the address pool is used up", "no pool is configured", "the client does not ask for an address"),
    confirm="The responder's log: no address left, or no pool for this client.",
    fix="Enlarge or configure the pool; let the client ask.",
    swanctl="pools { p { addrs = 10.9.0.0/24 } }; connections.NAME.vips = 0.0.0.0",
    ios="ip local pool P …; crypto ikev2 authorization policy A / pool P",
    libreswan="rightaddresspool=10.9.0.10-10.9.0.250",
    rfc=("RFC 7296 3.15.4",),
)
def config_request_failed(sa: IkeSa, view: View) -> Iterator[Found]:
    """An address that was not given."""
    yield from _empty_reply(sa, view)
    for _, record in _refusing(sa, NotifyType.INTERNAL_ADDRESS_FAILURE, NotifyType.FAILED_CP_REQUIRED):
        error = error_of([record])
        yield Found(
            confidence=CERTAIN,
            severity=CRITICAL,
            summary=f"{record.datagram.src} {_NO_ADDRESS.get(int(error or 0), 'gave no address to')} {record.datagram.dst} "
            f"({error}, {frames([record])}), so there is no tunnel.",
            evidence=evidence.errors(record),
        )


def _empty_reply(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKEv1: the client asks for its address (Mode Config), and the reply has none, or no room for one."""
    for exchange in exchanges_of(sa, IsakmpExchangeType.TRANSACTION) if sa.version == 1 else ():
        if exchange.initiated_by != "initiator" or not exchange.response:
            continue
        inner = view.inner(sa, exchange.response[-1:])
        if all(is_open(record) for record in exchange.records):
            if not _names_address(exchange.request) or _names_address(exchange.response):
                continue
            confidence, inner = CERTAIN, None
        elif inner is not None and inner.is_below(sizes.v1_hash(sa.suite) + sizes.ATTRIBUTES_HEAD + ADDRESS_ATTRIBUTE):
            confidence = POSSIBLE
        else:
            continue
        yield Found(
            confidence=confidence,
            summary=f"{who(sa, 'initiator')} asked {who(sa, 'responder')} for its configuration, and the reply holds no address "
            f"({frames(exchange.records)}).",
            evidence=evidence.messages(exchange.records),
            equation=None if inner is None else inner.equation,
        )
        return


def _names_address(records: tuple[MessageRecord, ...]) -> bool:
    """Whether readable Mode Config steps have an attribute for the client's own address."""
    kinds = (ConfigAttributeType.INTERNAL_IP4_ADDRESS, ConfigAttributeType.INTERNAL_IP6_ADDRESS)
    steps = [step for record in records for step in bodies(record.payloads, ikev1.Attributes)]
    return any(step.attribute(kind) is not None for step in steps for kind in kinds)


@rule(
    "PH2-011",
    "child-limit",
    HIGH,
    title="The peer allows no further tunnel",
    means="The peer accepts one tunnel, or one pair of addresses, at a time.",
    detect="NO_ADDITIONAL_SAS, SINGLE_PAIR_REQUIRED or TS_MAX_QUEUE in an opened answer.",
    look_alikes={"LIFE-002": "without keys every refusal looks the same"},
    causes=("a minimal implementation", "a cloud gateway with one pair of SAs", "a licence limit"),
    confirm="The peer's limit on tunnels for each IKE SA, in its configuration or data sheet.",
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
    ios="show crypto map: is the access list hit? With a tunnel interface: tunnel protection ipsec profile P",
    rfc=("RFC 7296 1.2", "RFC 6023"),
    suppressed_by=("PH2-001", "PH2-002", "PH2-003", "PH2-004", "PH2-005", "PH2-010", "AUTH-012", "AUTH-005", "NAT-004"),
)
def childless(sa: IkeSa, view: View) -> Iterator[Found]:
    """Phase 1 without phase 2."""
    if view.flows_of(sa) or sa.rekeys is not None or not sa.handshake_seen:
        return
    if sa.version == 1:
        quick = exchanges_of(sa, IsakmpExchangeType.QUICK_MODE)
        if sa.established_ns is None or any(each.response for each in quick):
            return
        if view.horizon(quick[-1].start_ns if quick else sa.established_ns) < (ANSWER_NS if quick else IDLE_NS):
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
    confirm="Compare the refused request with the peer's list of tunnels.",
    fix="Add the network on the peer, or remove it here.",
    rfc=("RFC 7296 2.21",),
)
def phase2_retry_storm(sa: IkeSa, view: View) -> Iterator[Found]:
    """Many refusals in one IKE SA."""
    if sa.version == 1:
        quick = exchanges_of(sa, IsakmpExchangeType.QUICK_MODE)
        refused = [each for each in quick if complaint_about(sa, each) is not None] if len(quick) >= STORM else []
    else:
        refused = refused_creations(sa, view)
    if len(refused) < STORM:
        return
    records = [record for each in refused for record in each.records]
    asker = who(sa, refused[0].initiated_by)
    span = records[-1].time_ns - records[0].time_ns
    yield Found(
        confidence=CERTAIN,
        summary=f"{asker} was refused a tunnel {times(len(refused))} within {seconds(span)} ({frames(records)}).",
        evidence=evidence.messages(records),
    )
