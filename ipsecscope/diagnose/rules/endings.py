"""LIFE: how SAs end in good order: closed, torn down and built anew, or by their lifetime."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, INFO, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import (
    View,
    is_open,
    records_of,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, who
from ipsecscope.timeline.sas import IkeSa

REAUTH_NS = 5 * NANOSECONDS


@rule(
    "LIFE-008",
    "orderly-delete",
    INFO,
    title="The tunnel was closed",
    means="One side ended the IKE SA in an orderly way.",
    detect="A Delete in the last exchange; without keys, a last INFORMATIONAL with room for nothing else and silence behind it.",
    look_alikes={
        "LIFE-006": "a probe has the same size with CBC ciphers",
        "AUTH-005": "at once behind the negotiation: a refusal",
    },
    causes=("an operator", "a lifetime", "an idle timeout"),
    confirm="The log of the side that sent the Delete.",
    fix="Nothing, when it was meant; otherwise ask who or what closed it.",
    rfc=("RFC 7296 1.4.1",),
    suppressed_by=("AUTH-005", "LIFE-005", "AUTH-010"),
)
def orderly_delete(sa: IkeSa, view: View) -> Iterator[Found]:
    """The last exchange closes."""
    if sa.version == 1 or not sa.exchanges:
        return
    last = max(sa.exchanges, key=lambda each: each.start_ns)
    if not view.closes(sa, last) or not last.response or len(sa.exchanges) < 2:
        return
    opened = any(is_open(record) for record in last.request)
    inner = view.inner(sa, last.request)
    yield Found(
        confidence=CERTAIN if opened else POSSIBLE if inner is None or inner.low < inner.high else LIKELY,
        summary=f"{who(sa, last.initiated_by)} closed the IKE SA at {clock(last.start_ns)} ({frames(last.records)})"
        f"{'' if opened else ', as far as sizes tell'}.",
        evidence=evidence.messages(last.records),
        equation=None if opened or inner is None else inner.equation,
    )


@rule(
    "LIFE-005",
    "reauth-outage",
    MEDIUM,
    title="The IKE SA was torn down and built anew",
    means="Instead of renewing the keys, one side deleted the SA and negotiated from the start: data stops in between.",
    detect="An IKE SA that is closed, and a new handshake between the same hosts within seconds.",
    look_alikes={"LIFE-010": "the old SA was never closed", "LIFE-008": "no new handshake"},
    causes=("reauthentication instead of rekeying", "an operator"),
    confirm="Whether one side is configured to reauthenticate instead of renewing keys.",
    fix="Renew the keys without reauthentication, or make before break.",
    swanctl="connections.NAME { reauth_time = 0; rekey_time = 4h }; charon.make_before_break = yes",
    libreswan="reauth=no",
    rfc=("RFC 7296 2.8.3", "RFC 4478"),
)
def reauthentication(sa: IkeSa, view: View) -> Iterator[Found]:
    """Closed, and begun again."""
    if sa.version == 1 or sa.established_ns is None or len(sa.exchanges) < 3:
        return
    last = max(sa.exchanges, key=lambda each: each.start_ns)
    if not view.closes(sa, last):
        return
    following = next((each for each in view.later(sa) if each.handshake_seen and each.rekeys is None), None)
    if following is None or following.established_ns is None:
        return
    if abs(following.start_ns - last.start_ns) > REAUTH_NS:
        return
    first = next(records_of(following))
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, last.initiated_by)} closed the IKE SA ({frames(last.records)}), and a new one was negotiated from the start "
        f"({frames([first])}) {seconds(abs(following.start_ns - last.start_ns))} "
        f"{'later' if following.start_ns > last.start_ns else 'earlier'}: reauthentication.",
        evidence=evidence.messages((*last.records, first)),
    )


@rule(
    "LIFE-014",
    "lifetime-facts",
    INFO,
    title="The lifetime of phase 1",
    means="IKEv1 announces how long its SA may live; both sides should agree.",
    detect="The life attributes of the chosen transform.",
    look_alikes={"LIFE-009": "a timeout for want of traffic"},
    causes=("the policy of the side that chose",),
    confirm="Nothing to confirm: it stands in the clear.",
    fix="Nothing, unless keys are renewed too often or too rarely; a lifetime in kilobytes renews often at a high rate.",
    swanctl="children.NAME.rekey_bytes = 0",
    ios="crypto ipsec security-association lifetime kilobytes disable",
    libreswan="ikelifetime=8h, salifetime=8h",
    rfc=("RFC 2409 A",),
)
def lifetime_facts(sa: IkeSa) -> Iterator[Found]:
    """What was agreed."""
    suite = sa.suite
    if sa.version != 1 or suite is None or not (suite.lifetime_s or suite.lifetime_kb) or sa.established_ns is None:
        return
    answer = [record for exchange in sa.exchanges[:1] for record in exchange.response[:1]]
    if answer:
        parts = [
            f"{suite.lifetime_s} s" if suite.lifetime_s else "",
            f"{suite.lifetime_kb} kB" if suite.lifetime_kb else "",
        ]
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} agreed on a phase 1 lifetime of "
            f"{' or '.join(part for part in parts if part)} ({frames(answer)}).",
            evidence=evidence.messages(answer),
        )
