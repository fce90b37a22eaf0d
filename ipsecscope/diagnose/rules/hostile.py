"""HOST: probes, floods, forged and malformed messages, and what does not belong on these ports."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, LOW, MEDIUM, POSSIBLE, Evidence, Found, rule
from ipsecscope.diagnose.rules.interop import QUIRKS
from ipsecscope.diagnose.rules.negotiation import refusals
from ipsecscope.diagnose.view import View, opening, records_of
from ipsecscope.diagnose.words import NANOSECONDS, agreed, counted, frames, listed, seconds, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.catalogue import severity_of
from ipsecscope.dissect.notes import Severity
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.sas import IkeSa, MessageRecord

SWEEP_TARGETS = 10
SWEEP_NS = 60 * NANOSECONDS
FLOOD = 100  # handshakes
FLOOD_RATE = 20  # per second
MIN_TRIED, SURELY_TRIED = 5, 10  # different offers or names of one source
TRIED_NS = 600 * NANOSECONDS
SCAN_LIFETIME = 28800
SCAN_TRANSFORMS = 8
COMMANDS = (b"bash -c", b"/bin/sh", b"/bin/bash", b"wget http", b"curl http", b"busybox ")
KE_NOTES = frozenset({"ke.degenerate", "ke.size", "ikev1.ke-value", "ikev1.ke-size"})
# An error notify about an SA that does not exist names SPI 0 in strongSwan and libreswan: usual, and harmless.
_NOT_HOSTILE = (
    KE_NOTES | QUIRKS | {"internal.dissector-bug", "sk.refused", "sk.no-key", "capture.truncated", "ikev1.spi-reserved"}
)


@rule(
    "HOST-001",
    "ike-scan-probe",
    LOW,
    title="A scanning tool asked what this gateway accepts",
    means="The negotiation is a probe: it ends with the first answer, and its proposal is that of a known tool.",
    detect="A first message without the extras of real implementations, with a tool's set of proposals, and nothing behind the answer.",
    look_alikes={"PH1-012": "a real client that gives up"},
    causes=("reconnaissance", "an inventory of one's own"),
    confirm="Whether this source ever completes a handshake.",
    fix="Accept only known sources; offer nothing weak.",
    swanctl="connections.NAME.remote_addrs = known addresses",
    ios="an access list of known peers on the outside interface",
    rfc=("RFC 7296 2.6",),
)
def ike_scan_probe(sa: IkeSa) -> Iterator[Found]:
    """The fingerprint of ike-scan's defaults, or a bare request that is never followed up."""
    first_exchanges = opening(sa)
    if len(sa.exchanges) > len(first_exchanges) or not first_exchanges or not first_exchanges[0].request:
        return
    record = first_exchanges[0].request[0]
    if len(first_exchanges[0].request) > 1:
        return
    tool = _tool(record) if sa.version == 1 else _tool_v2(record)
    if tool is None:
        return
    answers = [each for exchange in first_exchanges for each in exchange.response]
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, 'initiator')} sent a message with the fingerprint of {tool} ({frames([record])}) and "
        f"{f'was answered ({frames(answers)}), which tells it what is accepted here' if answers else 'got no answer'}.",
        evidence=evidence.messages((record, *answers[:2])),
    )


def _tool(record: MessageRecord) -> str | None:
    """ike-scan's default for IKEv1: DES and 3DES with MD5 and SHA-1, groups 1 and 2, no vendor IDs."""
    body = first(record.payloads, ikev1.SecurityAssociation)
    if body is None or any(True for _ in bodies(record.payloads, ikev1.VendorId)):
        return None
    transforms = [transform for proposal in body.proposals for transform in proposal.transforms]
    ciphers = {str(each.algorithm) for each in transforms}
    old = {"DES_CBC", "TRIPLE_DES_CBC"}
    return "ike-scan" if len(transforms) == SCAN_TRANSFORMS and ciphers <= old and len(ciphers) == len(old) else None


def _tool_v2(record: MessageRecord) -> str | None:
    """ike-scan's default for IKEv2: no NAT detection, legacy algorithms only."""
    if any(True for _ in bodies(record.payloads, ikev2.Notify)) or any(
        True for _ in bodies(record.payloads, ikev2.VendorId)
    ):
        return None
    body = first(record.payloads, ikev2.SecurityAssociation)
    if body is None or len(body.proposals) != 1:
        return None
    names = {str(algorithm) for _, algorithm, _ in body.proposals[0].algorithms}
    return "ike-scan" if {"ENCR_3DES", "MODP_1024", "PRF_HMAC_MD5"} <= names else None


@rule(
    "HOST-002",
    "ike-esp-sweep",
    LOW,
    title="One source asks many hosts",
    means="Somebody looks for VPN gateways.",
    detect="Handshakes from one source to ten or more destinations within a minute.",
    look_alikes={"PH1-015": "one destination again and again"},
    causes=("reconnaissance", "a monitoring system"),
    confirm="The reputation of the source.",
    fix="Filter the source.",
    rfc=("RFC 7296 2.6",),
)
def sweep(analysis: Analysis) -> Iterator[Found]:
    """Many destinations in a short time."""
    by_source: dict[str, dict[str, MessageRecord]] = {}
    for sa in analysis.ike_sas:
        if sa.handshake_seen and sa.rekeys is None:
            record = next(records_of(sa))
            by_source.setdefault(record.datagram.src, {}).setdefault(record.datagram.dst, record)
    for source, targets in by_source.items():
        records = sorted(targets.values(), key=lambda record: record.time_ns)
        if len(records) >= SWEEP_TARGETS and records[SWEEP_TARGETS - 1].time_ns - records[0].time_ns <= SWEEP_NS:
            yield Found(
                confidence=CERTAIN,
                summary=f"{source} asked {len(records)} hosts for IKE within {seconds(records[-1].time_ns - records[0].time_ns)} ({frames(records)}).",
                evidence=evidence.messages(records),
            )


@rule(
    "HOST-003",
    "transform-or-id-enumeration",
    MEDIUM,
    title="Somebody tries algorithms or names one after the other",
    means="Each attempt offers another single set of algorithms, or claims another group or user name: the answers tell "
    "which ones exist here.",
    detect="Five or more unfinished handshakes from one source within ten minutes, each with another single offer or identity.",
    look_alikes={
        "PH1-015": "a misconfigured peer offers the same each time",
        "HOST-002": "one source asks many hosts the same",
        "HOST-006": "the attempts go as far as authentication",
    },
    causes=("an attack with ike-scan or a similar tool", "an audit of one's own"),
    confirm="The source and the list of what it tried.",
    fix="No aggressive mode with pre-shared keys; one strong suite only; limit the rate.",
    swanctl="connections.NAME.aggressive = no",
    ios="crypto isakmp aggressive-mode disable",
    rfc=("RFC 7296 2.21.1", "RFC 2409 5.4"),
)
def enumeration(analysis: Analysis) -> Iterator[Found]:
    """Offers and names of one source, each once."""
    tried: dict[tuple[str, str, str], dict[str, MessageRecord]] = {}
    for sa in analysis.ike_sas:
        first_exchanges = opening(sa)
        if (
            sa.rekeys is not None
            or sa.established_ns is not None
            or not first_exchanges
            or not first_exchanges[0].request
        ):
            continue
        record = first_exchanges[0].request[0]
        for kind, value in _single_tries(sa, record):
            tried.setdefault((kind, sa.initiator.address, sa.responder.address), {}).setdefault(value, record)
    for (kind, source, target), values in tried.items():
        records = _densest(sorted(values.values(), key=lambda record: record.time_ns))
        if len(records) >= MIN_TRIED:
            yield Found(
                confidence=CERTAIN if len(records) >= SURELY_TRIED else LIKELY,
                summary=f"{source} tried {len(records)} {kind} one after the other on {target} within {seconds(records[-1].time_ns - records[0].time_ns)} "
                f"({frames(records)}), and went on with none.",
                evidence=evidence.messages(records),
            )


def _single_tries(sa: IkeSa, record: MessageRecord) -> Iterator[tuple[str, str]]:
    """What a first message tries: its only set of algorithms, and the identity of aggressive mode."""
    offers = hints.offers_of(sa, "initiator")
    sets = [each for offer in offers for each in _alternatives(offer)]
    if len(sets) == 1:
        yield "sets of algorithms", sets[0]
    name = first(record.payloads, ikev1.Identification)
    if sa.version == 1 and sa.mode == "aggressive" and name is not None:
        yield "names", name.summary()


def _alternatives(offer: dict[str, Any]) -> list[str]:
    transforms = offer.get("transforms")
    if isinstance(transforms, dict):
        return [" ".join(names) for names in product(*transforms.values())]
    return [str(each) for each in transforms or ()]


def _densest(records: list[MessageRecord]) -> list[MessageRecord]:
    """The most of these messages that lie within ten minutes."""
    best: list[MessageRecord] = []
    start = 0
    for stop, record in enumerate(records):
        while record.time_ns - records[start].time_ns > TRIED_NS:
            start += 1
        if stop + 1 - start > len(best):
            best = records[start : stop + 1]
    return best


@rule(
    "HOST-004",
    "ikev1-amplification",
    MEDIUM,
    title="An IKEv1 responder repeats its answer to someone who never goes on",
    means="A forged source address would make this responder send several packets to a victim for each one it gets.",
    detect="The first IKEv1 answer is repeated although the initiator stays silent.",
    look_alikes={"PH1-011": "the initiator repeats its request as well"},
    causes=("a responder that retransmits its first answer",),
    confirm="The responder's count of half-open SAs.",
    fix="Update; filter by source.",
    swanctl="charon.retransmit_tries; current releases no longer repeat to strangers",
    ios="crypto call admission limit ike in-negotiation-sa 100",
    rfc=("VU#419128",),
)
def amplification(sa: IkeSa) -> Iterator[Found]:
    """Answers without questions."""
    for exchange in opening(sa):
        if sa.version != 1 or len(exchange.request) != 1 or not exchange.response:
            continue
        again = [record for record in exchange.repeats if record.sender == "responder"]
        asked = [record for record in exchange.repeats if record.sender == "initiator"]
        if len(again) >= 2 and not asked:
            sent = sum(record.datagram.wire_length for record in (*exchange.response, *again))
            got = sum(record.datagram.wire_length for record in exchange.request)
            yield Found(
                confidence=LIKELY,
                summary=f"{who(sa, 'responder')} sent {sent} octets in {len(again) + 1} answers ({frames((*exchange.response, *again))}) to "
                f"{got} octets of one request.",
                evidence=evidence.messages((*exchange.request, *exchange.response, *again)),
            )


@rule(
    "HOST-005",
    "half-open-flood",
    HIGH,
    title="A flood of half-open handshakes",
    means="A host is flooded with first messages that are never followed up.",
    detect="Hundreds of handshakes to one host at a high rate, of which almost none completes.",
    look_alikes={"PH1-009": "many clients that reconnect after an outage: most of them complete"},
    causes=("an attack", "a misconfigured client fleet"),
    confirm="The responder's count of half-open SAs and its CPU load.",
    fix="Cookies and limits for half-open SAs.",
    swanctl="charon { cookie_threshold = 10; block_threshold = 5; init_limit_half_open = 100 }",
    ios="crypto ikev2 cookie-challenge 50; crypto ikev2 limit max-in-negotation-sa …",
    libreswan="config setup: ddos-mode=busy",
    rfc=("RFC 7296 2.6", "RFC 8019"),
    headline=True,
)
def half_open_flood(analysis: Analysis, view: View) -> Iterator[Found]:
    """Rate and completion."""
    del analysis
    for address, sas in view.by_responder.items():
        fresh = [sa for sa in sas if sa.handshake_seen and sa.rekeys is None]
        if len(fresh) < FLOOD:
            continue
        starts = sorted(sa.start_ns for sa in fresh)
        rate = len(starts) / max((starts[-1] - starts[0]) / NANOSECONDS, 1e-9)
        done = sum(sa.established_ns is not None for sa in fresh)
        if rate >= FLOOD_RATE and done < len(fresh) // 20:
            records = [next(records_of(sa)) for sa in fresh[: evidence.MAX_EVIDENCE]]
            sources = len({sa.initiator.address for sa in fresh})
            yield Found(
                confidence=CERTAIN,
                summary=f"{address} got {len(fresh)} handshakes from {counted(sources, 'source')} at {rate:.0f} per second, of which {done} completed "
                f"(first in {frames(records[:1])}).",
                evidence=evidence.messages(records),
            )


@rule(
    "HOST-007",
    "forged-or-raced-answer",
    MEDIUM,
    title="Two answers that contradict each other",
    means="One request got both a refusal in the clear and a real answer: one of them is forged, or two machines share an address.",
    detect="An error notify and a valid answer to the same IKE_SA_INIT request, or two answers with different SPIs.",
    look_alikes={"PH1-007": "INVALID_KE_PAYLOAD and the answer to the second try"},
    causes=("an attacker on the way", "two machines with one address"),
    confirm="A capture at the responder: which of the two answers did it send?",
    fix="An initiator should wait a while before it believes an unprotected error.",
    rfc=("RFC 7296 2.21.1", "RFC 7296 2.4"),
)
def contradiction(sa: IkeSa) -> Iterator[Found]:
    """A refusal beside an answer."""
    if sa.version == 1:
        return
    for exchange in opening(sa):
        if len(exchange.response) < 2:
            continue
        whole = [r for r in exchange.response if first(r.payloads, ikev2.SecurityAssociation) is not None]
        kinds = (NotifyType.NO_PROPOSAL_CHOSEN, NotifyType.INVALID_SYNTAX, NotifyType.AUTHENTICATION_FAILED)
        refused = [record for kind in kinds for record in refusals(sa, kind)]
        spis = {record.message.header.spi_r for record in whole if record.message.header is not None}
        if (whole and refused) or len(spis) > 1:
            lost = bool(refused) and sa.established_ns is None and len(sa.exchanges) == len(opening(sa))
            ttls = {record.datagram.ttl for record in (*whole, *refused)}
            yield Found(
                confidence=LIKELY if len(ttls) > 1 else POSSIBLE,
                severity=HIGH if len(ttls) > 1 else MEDIUM,
                headline=lost,
                summary=f"{who(sa, 'initiator')}'s request got contradicting answers ({frames((*whole, *refused))})"
                f"{f', with different TTLs ({listed([str(each) for each in sorted(ttls)])})' if len(ttls) > 1 else ''}.",
                evidence=evidence.messages((*whole, *refused)),
            )
            return


@rule(
    "HOST-008",
    "invalid-dh-value",
    HIGH,
    title="An invalid Diffie-Hellman value",
    means="The key exchange value has the wrong size, or is one that gives the secret away.",
    detect="Values that RFC 6989 tells receivers to refuse; sizes that no value of the group has.",
    look_alikes={"CAP-001": "a packet cut by the capture"},
    causes=("an attack", "a faulty implementation"),
    confirm="Recompute the value's checks (RFC 6989); the sender's log.",
    fix="Update; receivers must refuse such values.",
    rfc=("RFC 6989 2",),
)
def invalid_dh_value(analysis: Analysis, view: View) -> Iterator[Found]:
    """The dissector's notes about key exchange values."""
    notes = [each for each in analysis.notes if each.note.kind in KE_NOTES]
    if notes:
        yield Found(
            confidence=CERTAIN,
            summary=f"{counted(len(notes), 'key exchange value')} cannot be right ({frames([each.frame for each in notes])}): {notes[0].note.text}.",
            evidence=evidence.notes(notes),
            subject=view.owner_at(notes[0].file, notes[0].frame),
        )


@rule(
    "HOST-009",
    "malformed-or-exploit",
    MEDIUM,
    title="Malformed IKE messages",
    means="Messages that break the protocol's rules: a fault, a fuzzer, or an attempt to break in.",
    detect="Lengths and counts that contradict each other, unknown critical payloads, shell commands in text fields.",
    look_alikes={"CAP-001": "a packet cut by the capture"},
    causes=("a fault in an implementation", "an attack", "damage on the way"),
    confirm="Look at the octets named.",
    fix="Update; filter the source.",
    rfc=("RFC 7296 2.21", "RFC 7296 2.5"),
    suppressed_by=("CAP-001",),
)
def malformed(analysis: Analysis, view: View) -> Iterator[Found]:
    """The dissector's errors, and commands in notifies and identities."""
    notes = [
        e for e in analysis.notes if severity_of(e.note.kind) >= Severity.ERROR and e.note.kind not in _NOT_HOSTILE
    ]
    if notes:
        yield Found(
            confidence=CERTAIN,
            summary=f"{agreed(len({(e.file, e.frame) for e in notes}), 'message breaks', 'messages break')} the protocol's rules "
            f"({frames([each.frame for each in notes])}): {notes[0].note.text}.",
            evidence=evidence.notes(notes),
            subject=view.owner_at(notes[0].file, notes[0].frame),
        )
    for sa in analysis.ike_sas:
        armed = [r for r in records_of(sa) if any(command in r.datagram.payload for command in COMMANDS)]
        if armed:
            yield Found(
                confidence=LIKELY,
                severity=HIGH,
                summary=f"{armed[0].datagram.src} sent text that reads like a shell command in an IKE message ({frames(armed)}).",
                evidence=evidence.messages(armed),
                subject=sa.id,
            )


@rule(
    "HOST-010",
    "foreign-protocol-on-ipsec-port",
    INFO,
    title="Something else uses an IPsec port",
    means="Packets on UDP 500 or 4500 that are neither IKE nor ESP.",
    detect="Messages on these ports without a readable IKE header.",
    look_alikes={"NAT-011": "IKE without its marker", "CAP-001": "cut packets"},
    causes=("another VPN or protocol on the same port", "damaged packets"),
    confirm="The process that owns the port on both ends.",
    fix="Nothing for IPsec; move the other service to another port.",
    rfc=("RFC 3948 2",),
)
def foreign_protocol(analysis: Analysis) -> Iterator[Found]:
    """What has no IKE header."""
    if analysis.orphans:
        shown = analysis.orphans
        yield Found(
            confidence=POSSIBLE,
            summary=f"{counted(len(shown), 'packet')} on an IKE port have no readable IKE header ({frames(shown)}).",
            evidence=tuple(
                Evidence(r.frame, r.datagram.file, "message", None, f"{r.datagram.wire_length} octets")
                for r in shown[:8]
            ),
        )
