"""PH1, second half: the peer answers, and refuses the algorithms, the version, the mode or the group."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.view import MAX_COMPARED, View, exchanges_of, hosts, opening
from ipsecscope.diagnose.words import frames, listed, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.contents import bodies, first, notifies
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord, Suite

# Clear refusals of IKEv1's first phase that are about form or policy, not about algorithms (RFC 2408 3.14.1).
_V1_HARD = frozenset(
    {
        IsakmpNotifyType.INVALID_PAYLOAD_TYPE,
        IsakmpNotifyType.DOI_NOT_SUPPORTED,
        IsakmpNotifyType.SITUATION_NOT_SUPPORTED,
        IsakmpNotifyType.INVALID_MAJOR_VERSION,
        IsakmpNotifyType.INVALID_EXCHANGE_TYPE,
        IsakmpNotifyType.INVALID_FLAGS,
        IsakmpNotifyType.INVALID_PROTOCOL_ID,
        IsakmpNotifyType.BAD_PROPOSAL_SYNTAX,
        IsakmpNotifyType.PAYLOAD_MALFORMED,
        IsakmpNotifyType.INVALID_KEY_INFORMATION,
        IsakmpNotifyType.AUTHENTICATION_FAILED,
        IsakmpNotifyType.UNSUPPORTED_EXCHANGE_TYPE,
        IsakmpNotifyType.UNEQUAL_PAYLOAD_LENGTHS,
    }
)
MESSAGE_ERRORS = frozenset({NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, NotifyType.INVALID_SYNTAX})
_V2_HARD = MESSAGE_ERRORS | {NotifyType.AUTHENTICATION_FAILED}


def refusals(sa: IkeSa, kind: int) -> list[MessageRecord]:
    """The responder's messages of the opening with this notify in the clear."""
    return [
        record
        for exchange in opening(sa)
        for record in (*exchange.response, *(each for each in exchange.repeats if each.sender == "responder"))
        if any(int(each) == int(kind) for each in notifies(record.message.payloads))
    ]


def _request(sa: IkeSa) -> MessageRecord | None:
    return next((record for exchange in opening(sa) for record in exchange.request), None)


@rule(
    "PH1-003",
    "ike-version-mismatch",
    CRITICAL,
    title="The two sides speak different IKE versions",
    means="One side uses IKEv1 and the other IKEv2; they cannot negotiate until one of them changes.",
    detect="INVALID_MAJOR_VERSION, an answer in the other version, or each side starting with another version.",
    look_alikes={
        "PH1-006": "strongSwan without IKEv1 answers NO_PROPOSAL_CHOSEN to it",
        "PH1-001": "libreswan drops IKEv1 silently",
    },
    causes=("different versions configured", "a migration done on one side only"),
    confirm="Look at the version in the first message of each side.",
    fix="Configure the same version, IKEv2 where possible.",
    swanctl="connections.NAME.version = 2",
    ios="crypto map M / set ikev2-profile P",
    libreswan="ikev2=yes",
    rfc=("RFC 7296 2.5", "RFC 9395"),
)
def ike_version_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refusal of the version, or two sides that start with different ones."""
    refused = refusals(sa, NotifyType.INVALID_MAJOR_VERSION)
    if refused:
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'responder')} refused {who(sa, 'initiator')}'s IKEv{sa.version} with INVALID_MAJOR_VERSION "
            f"({frames(refused)}): it does not speak this version.",
            evidence=tuple(each for record in refused[:4] for each in evidence.errors(record)),
        )
        return
    mine = _request(sa)
    if sa.established_ns is not None or mine is None:
        return
    for each in view.by_hosts.get(hosts(sa), [])[:MAX_COMPARED]:
        if (
            each.version >= sa.version
            or each.initiator.address != sa.responder.address
            or each.established_ns is not None
        ):
            continue
        theirs = _request(each)
        if theirs is None:
            continue
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} starts with IKEv{sa.version} ({frames([mine])}) and {who(sa, 'responder')} "
            f"itself with IKEv{each.version} ({frames([theirs])}); neither gets through.",
            evidence=evidence.messages((mine, theirs)),
        )
        return


@rule(
    "PH1-004",
    "ike-no-proposal-chosen",
    CRITICAL,
    title="The IKE algorithms do not match",
    means="The responder accepts none of the sets of algorithms that the initiator offers for IKE.",
    detect="NO_PROPOSAL_CHOSEN as the answer to IKE_SA_INIT.",
    look_alikes={
        "PH1-005": "the responder has no connection for this address at all and sends the same notify",
        "PH1-003": "the responder wants another IKE version",
        "INTEROP-002": "the matching set stands too late in a long list",
    },
    causes=(
        "different Diffie-Hellman groups",
        "different encryption algorithm or key length",
        "different integrity algorithm or PRF",
        "an additional (post-quantum) key exchange that only one side has",
        "no connection configured for this address",
    ),
    confirm="The responder's log lists what it received and what it has configured.",
    fix="Configure one complete common set on both sides.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384,aes256-sha256-modp2048",
    ios="crypto ikev2 proposal P / encryption aes-cbc-256 / integrity sha256 / group 14 19 20",
    libreswan="ike=aes_gcm256-sha2_384-dh20,aes256-sha2_256-dh14",
    rfc=("RFC 7296 2.7", "RFC 7296 3.3.6"),
    suppressed_by=("PH1-005", "INTEROP-002", "INTEROP-007", "HOST-001", "HOST-007"),
)
def ike_no_proposal_chosen(sa: IkeSa, view: View) -> Iterator[Found]:
    """NO_PROPOSAL_CHOSEN in the clear, with both offers where both were seen."""
    refused = refusals(sa, NotifyType.NO_PROPOSAL_CHOSEN)
    if sa.version == 1 or not refused or sa.established_ns is not None:
        return
    offer = hints.offers_of(sa, "initiator")
    mine = hints.offered(offer)
    theirs, source, source_request = _own_offer(sa, view)
    different = hints.differences(mine, theirs) if theirs else []
    confidence = _proposal_confidence(mine, different, offers=len(offer))
    said = f" It offered {hints.offer_text(offer)}." if offer else ""
    if different:
        kinds = listed(different)
        said += f" {who(sa, 'responder')} itself offers {hints.offer_text(source)}: nothing in common for {kinds}."
    request = _request(sa)
    shown = () if request is None else evidence.payloads(request, ikev2.SecurityAssociation)
    yield Found(
        confidence=confidence,
        summary=f"{who(sa, 'responder')} refused all algorithms that {who(sa, 'initiator')} offered for IKE "
        f"(NO_PROPOSAL_CHOSEN, {frames(refused)}).{said}",
        evidence=(*(each for record in refused[:3] for each in evidence.errors(record)), *shown),
        config=_common_set(request, source_request),
    )


def _own_offer(sa: IkeSa, view: View) -> tuple[dict[str, list[str]], list[dict[str, object]], MessageRecord | None]:
    """What the responder offers itself where it is seen to, with the message."""
    for each in view.by_responder.get(sa.initiator.address, [])[:MAX_COMPARED]:
        if each.initiator.address == sa.responder.address and each.version == sa.version:
            offer = hints.offers_of(each, "initiator")
            if offer:
                return hints.offered(offer), offer, _request(each)
    return {}, [], None


def _common_set(mine: MessageRecord | None, theirs: MessageRecord | None) -> dict[str, str]:
    """Either side can take over the other's proposal: the initiator's is seen, the responder's sometimes."""
    found = hints.ike_config([mine] if mine is not None else [], "responder, to accept what is offered")
    other = hints.ike_config([theirs] if theirs is not None else [], "initiator, to offer what the responder uses")
    return {
        name: "; or ".join(each[name] for each in (found, other) if name in each)
        for name in dict.fromkeys([*found, *other])
    }


def _proposal_confidence(mine: dict[str, list[str]], different: list[str], *, offers: int) -> Confidence:
    if different:
        return CERTAIN
    is_single = offers == 1 and all(len(names) == 1 for names in mine.values())
    return LIKELY if is_single else POSSIBLE


@rule(
    "PH1-005",
    "no-config-for-peer",
    HIGH,
    title="The responder has no connection for this peer",
    means="The refusal says 'no proposal', but the algorithms are fine: the responder does not know this address.",
    detect="NO_PROPOSAL_CHOSEN for an offer that the same responder accepts from another address, or makes itself.",
    look_alikes={"PH1-004": "the algorithms really differ"},
    causes=(
        "the peer's public address changed",
        "an address behind NAT that is not configured",
        "the wrong VRF or profile",
    ),
    confirm="The responder's log: no IKE configuration found.",
    fix="Correct the remote address, or accept any address and decide by identity.",
    swanctl="connections.NAME.remote_addrs = ADDRESS or %any",
    ios="crypto ikev2 profile P / match identity remote address ADDRESS",
    libreswan="right=%any",
    rfc=("RFC 7296 2.7",),
)
def no_config_for_peer(sa: IkeSa, view: View) -> Iterator[Found]:
    """The same offer accepted from elsewhere."""
    refused = refusals(sa, NotifyType.NO_PROPOSAL_CHOSEN)
    mine = hints.offered(hints.offers_of(sa, "initiator"))
    if sa.version == 1 or not refused or not mine:
        return
    for each in view.by_responder.get(sa.responder.address, [])[:MAX_COMPARED]:
        if each.suite is None or each.initiator.address == sa.initiator.address or each.version == 1:
            continue
        if _contains(mine, each.suite):
            good = [record for exchange in opening(each) for record in exchange.response][:1]
            yield Found(
                confidence=CERTAIN,
                summary=f"{who(sa, 'responder')} refused {who(sa, 'initiator')} with NO_PROPOSAL_CHOSEN ({frames(refused)}), but "
                f"accepted the same algorithms from {who(each, 'initiator')} ({frames(good)}): it has no connection for "
                f"{who(sa, 'initiator')}.",
                evidence=(*evidence.errors(refused[0]), *evidence.messages(good)),
            )
            return


def _contains(offer: dict[str, list[str]], suite: Suite) -> bool:
    """Whether an offer has every algorithm of a suite."""
    encr = suite.encr if suite.key_length is None else f"{suite.encr}-{suite.key_length}"
    wanted = (("ENCR", encr), ("PRF", suite.prf), ("INTEG", suite.integ), ("KE", suite.ke[0] if suite.ke else None))
    return all(name is None or name in offer.get(kind, ()) for kind, name in wanted)


@rule(
    "PH1-006",
    "v1-phase1-no-proposal",
    CRITICAL,
    title="The IKEv1 phase 1 policies do not match",
    means="The responder accepts none of the initiator's phase 1 policies.",
    detect="NO-PROPOSAL-CHOSEN in the clear behind the first message of main or aggressive mode.",
    look_alikes={
        "PH1-003": "the responder speaks IKEv2 only and says so in this way",
        "PH1-005": "the responder has no connection for this address",
        "PH1-001": "some responders stay silent instead",
    },
    causes=(
        "different Diffie-Hellman group",
        "different hash",
        "different authentication method (pre-shared key or certificate)",
        "different AES key length",
        "the responder accepts only IKEv2",
        "no connection configured for this address",
    ),
    confirm="debug crypto isakmp on the responder names the attribute that differs.",
    fix="Make encryption, hash, group and authentication method the same, or use the same IKE version.",
    swanctl="version = 1; proposals = aes256-sha256-modp2048",
    ios="crypto isakmp policy 10 / encr aes 256 / hash sha256 / authentication pre-share / group 14",
    libreswan="ikev2=no, ike=aes256-sha2_256-dh14",
    rfc=("RFC 2409 5", "RFC 2408 3.14.1"),
    suppressed_by=("INTEROP-002", "HOST-001"),
)
def v1_phase1_no_proposal(sa: IkeSa) -> Iterator[Found]:
    """A clear refusal of phase 1 for its algorithms."""
    refused = clear_refusals(sa)
    wanted = [record for record, kind in refused if kind == IsakmpNotifyType.NO_PROPOSAL_CHOSEN]
    request = _request(sa)
    if not wanted or request is None:
        return
    offer = first(request.payloads, ikev1.SecurityAssociation)
    transforms = [each.summary() for proposal in offer.proposals for each in proposal.transforms] if offer else []
    shown = "; ".join(transforms[:4]) + (f" and {len(transforms) - 4} more" if len(transforms) > 4 else "")
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, 'responder')} refused all IKEv1 phase 1 policies that {who(sa, 'initiator')} offered "
        f"(NO-PROPOSAL-CHOSEN, {frames(wanted)}): its policies differ, or it speaks IKEv2 only. Offered: {shown or 'unreadable'}.",
        evidence=(
            *(each for record in wanted[:3] for each in evidence.errors(record)),
            *evidence.payloads(request, ikev1.SecurityAssociation),
        ),
        config=hints.ike_config([request], "responder, to accept what is offered"),
    )


def clear_refusals(sa: IkeSa) -> list[tuple[MessageRecord, int]]:
    """IKEv1 notifies of an error that the responder sent in the clear while phase 1 was not complete."""
    if sa.version != 1 or sa.established_ns is not None:
        return []
    found = []
    for exchange in (*exchanges_of(sa, IsakmpExchangeType.INFORMATIONAL), *opening(sa)):
        for record in (*exchange.request, *exchange.response):
            if record.sender != "responder" or record.encrypted:
                continue
            found += [
                (record, int(body.notify_type)) for body in bodies(record.payloads, ikev1.Notification) if body.is_error
            ]
    return found


@rule(
    "PH1-016",
    "clear-error-notify",
    HIGH,
    title="The peer refuses the message itself",
    means="The peer reports that it does not accept this kind of message: a matter of mode, policy or implementation.",
    detect="An error notify in the clear that is about syntax, exchange type or policy, not about algorithms.",
    look_alikes={
        "HOST-007": "a forged error in front of the genuine answer",
        "AUTH-001": "IKEv1, behind the fifth message: the keys differ",
    },
    causes=(
        "aggressive mode is not allowed there (strongSwan answers AUTHENTICATION_FAILED)",
        "the responder has no connection for the identity that aggressive mode shows",
        "a payload or version that the peer does not know",
        "no key for this peer (INVALID-KEY-INFORMATION)",
        "an implementation fault",
    ),
    confirm="The peer's log.",
    fix="Use the mode and features that the peer accepts.",
    swanctl="connections.NAME.aggressive = no",
    ios="crypto isakmp aggressive-mode disable, on the peer, explains it",
    rfc=("RFC 7296 2.5", "RFC 7296 2.21.1", "RFC 2408 3.14.1"),
)
def clear_error_notify(sa: IkeSa) -> Iterator[Found]:
    """An error of form or policy in the clear."""
    if sa.version == 1:
        yield from _v1_clear_error(sa)
        return
    for exchange in opening(sa):
        for record in exchange.response:
            kinds = [each for each in notifies(record.payloads) if int(each) in _V2_HARD]
            if kinds:
                yield Found(
                    confidence=CERTAIN,
                    summary=f"{who(sa, 'responder')} refused {who(sa, 'initiator')}'s first message with {kinds[0]} "
                    f"({frames([record])}).",
                    evidence=evidence.errors(record),
                )
                return
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH):
        for record in exchange.response:
            kinds = [each for each in notifies(record.payloads) if int(each) in MESSAGE_ERRORS]
            if kinds:
                yield Found(
                    confidence=CERTAIN,
                    summary=f"{who(sa, 'responder')} could not make sense of {who(sa, 'initiator')}'s IKE_AUTH message ({frames(exchange.request)}): "
                    f"{kinds[0]} ({frames([record])}).",
                    evidence=(*evidence.errors(record), *evidence.messages(exchange.request)),
                )
                return


def offers_shared_key(sa: IkeSa) -> bool:
    """Whether the initiator offers to authenticate phase 1 with a pre-shared key, XAUTH's forms included."""
    request = _request(sa)
    offer = None if sa.version != 1 or request is None else first(request.payloads, ikev1.SecurityAssociation)
    texts = [each.summary() for proposal in offer.proposals for each in proposal.transforms] if offer else []
    return any("PRE_SHARED" in text for text in texts)


def _v1_clear_error(sa: IkeSa) -> Iterator[Found]:
    hard = [(record, kind) for record, kind in clear_refusals(sa) if kind in _V1_HARD]
    if offers_shared_key(sa):  # AUTH-001: the peer has no key
        hard = [(record, kind) for record, kind in hard if kind != IsakmpNotifyType.INVALID_KEY_INFORMATION]
    if not hard or _reached_message_5(sa):
        return
    _, kind = hard[0]
    name = IsakmpNotifyType(kind)
    mode = "aggressive mode" if sa.mode == "aggressive" else f"{sa.mode or 'IKEv1'} mode"
    unproven = kind == IsakmpNotifyType.AUTHENTICATION_FAILED  # no proof was sent yet: what it refuses stays open
    hint = (
        f" A strongSwan responder that allows no {mode}, or has no connection for the identity in it, answers in this way."
        if unproven
        else ""
    )
    yield Found(
        confidence=LIKELY if unproven else CERTAIN,
        summary=f"{who(sa, 'responder')} refused {who(sa, 'initiator')}'s {mode} message with {name} in the clear "
        f"({frames([each for each, _ in hard])}).{hint}",
        evidence=tuple(found for each, _ in hard[:4] for found in evidence.errors(each)),
    )


def _reached_message_5(sa: IkeSa) -> bool:
    """Whether phase 1 came as far as encryption."""
    return any(record.is_encrypted for exchange in opening(sa) for record in exchange.request)


def phase_1(sa: IkeSa) -> Exchange | None:
    """The exchange of an IKEv1 phase 1."""
    found = opening(sa)
    return found[0] if sa.version == 1 and found else None
