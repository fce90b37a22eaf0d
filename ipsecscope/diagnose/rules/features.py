"""INTEROP for peers that fail on something new: two first messages of which only the one with more in it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.view import (
    View,
    copies,
    error_of,
    opening,
    rounds,
)
from ipsecscope.diagnose.words import frames, listed, who
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

MIN_TRIES = 3
_PARSER_ERRORS = frozenset(
    {int(NotifyType.INVALID_SYNTAX), int(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD), int(NotifyType.NO_PROPOSAL_CHOSEN)}
)
_ORDINARY = frozenset(
    str(each)
    for each in (NotifyType.COOKIE, NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP)
)


@rule(
    "INTEROP-007",
    "unknown-notify-fatal",
    HIGH,
    title="The peer fails on something new in the first message",
    means="With a feature announced the first message is ignored or refused, without it the same peer answers. A receiver "
    "must ignore what it does not know.",
    detect="A failed and a successful first message to one peer that differ in announced features only.",
    look_alikes={
        "PH1-014": "the peer agrees to the feature, and the messages that need it are lost",
        "PH1-001": "the peer answers nobody",
        "PH1-004": "the algorithms differ as well",
    },
    causes=("a fault in the peer's parser", "a firewall on the way that inspects IKE"),
    confirm="Switch the feature off and on again.",
    fix="Switch the feature off for this peer; update the peer or the firewall.",
    swanctl="connections.NAME { ppk_required = no; childless = never }, and no ke1_… in its proposals",
    ios="crypto ikev2 proposal P / without pqc or ake transforms",
    rfc=("RFC 7296 2.5", "RFC 7296 3.10.1"),
)
def unknown_notify_fatal(sa: IkeSa, view: View) -> Iterator[Found]:
    """What the failed attempt has and the successful one has not."""
    if sa.version == 1:
        return
    first_exchanges = opening(sa)
    inside = _within(first_exchanges)
    if inside is not None:
        failed, worked, more = inside
        yield _fatal(sa, failed, worked, more, CERTAIN)
        return
    if (
        sa.established_ns is not None
        or any(each.outcome == "completed" for each in first_exchanges)
        or not first_exchanges
    ):
        return
    failed = first_exchanges[-1].request[:1]
    refused = any(error_of(each.response) is not None for each in first_exchanges)
    if not failed or (not refused and len(rounds(copies(first_exchanges[-1], "initiator"))) < MIN_TRIES):
        return
    for each, good in view.answered_openings.get(sa.responder.address, []):
        if each is sa:
            continue
        more = _more(failed[0], good.request[0])
        if more:
            same = each.initiator.address == sa.initiator.address
            yield _fatal(sa, failed, good.request[:1], more, LIKELY if same else POSSIBLE)
            return


def _within(exchanges: list[Exchange]) -> tuple[tuple[MessageRecord, ...], tuple[MessageRecord, ...], list[str]] | None:
    """A refused and an answered first message with one SPI, of which the first has more in it."""
    for failed, worked in pairwise(exchanges):
        hard = error_of(failed.response)
        if (
            hard is None
            or int(hard) not in _PARSER_ERRORS
            or worked.outcome != "completed"
            or not (failed.request and worked.request)
        ):
            continue
        more = _more(failed.request[0], worked.request[0])
        if more:
            return failed.request[:1], worked.request[:1], more
    return None


def _fatal(
    sa: IkeSa, failed: Sequence[MessageRecord], worked: Sequence[MessageRecord], more: list[str], confidence: Confidence
) -> Found:
    return Found(
        confidence=confidence,
        summary=f"{who(sa, 'responder')} did not accept the first message with {listed(more)} ({frames(failed)}), and answered one without "
        f"({frames(worked)}): it, or a device on the way, fails on what it does not know.",
        evidence=evidence.messages((*failed, *worked)),
    )


def _more(failed: MessageRecord, worked: MessageRecord) -> list[str]:
    """What only the failed message has; nothing when the two differ in algorithms or the other one has more as well."""
    one, two = _features(failed), _features(worked)
    same = _algorithms(failed) == _algorithms(worked)
    return sorted(one - two) if same and not two - one else []


def _features(record: MessageRecord) -> set[str]:
    """Announcements, payload types and additional key exchanges of a first message."""
    found = {str(body.notify_type) for body in bodies(record.payloads, ikev2.Notify)} - _ORDINARY
    found |= {type(payload.body).__name__ for payload in record.payloads} - {"Notify", "VendorId"}
    for body in bodies(record.payloads, ikev2.SecurityAssociation):
        for proposal in body.proposals:
            found |= {
                str(each.transform_type) for each in proposal.transforms if str(each.transform_type).startswith("ADDKE")
            }
    return found


def _algorithms(record: MessageRecord) -> frozenset[str]:
    """Everything offered but additional key exchanges."""
    return frozenset(
        each.summary()
        for body in bodies(record.payloads, ikev2.SecurityAssociation)
        for proposal in body.proposals
        for each in proposal.transforms
        if not str(each.transform_type).startswith("ADDKE")
    )
