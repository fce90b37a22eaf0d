"""Analysis to report: the one adapter between what the timeline knows and what the contract says."""

from __future__ import annotations

import os
from collections.abc import Iterable

from ipsecscope import __version__
from ipsecscope.capture.link_types import link_type_name
from ipsecscope.capture.records import CaptureNote, FileFacts
from ipsecscope.diagnose.engine import Diagnosis, Headline
from ipsecscope.diagnose.rule import Finding
from ipsecscope.dissect.catalogue import severity_of
from ipsecscope.dissect.names import notify_name, payload_name
from ipsecscope.reports import document
from ipsecscope.reports.assemble_traffic import flow_of, icmp_errors
from ipsecscope.reports.clock import Clock, clock_of
from ipsecscope.timeline import sas
from ipsecscope.timeline.analysis import Analysis, FrameNote
from ipsecscope.timeline.contents import notifies
from ipsecscope.timeline.verdicts import Verified

Vendors = tuple[str, ...]
TRUNCATIONS = frozenset({"capture.truncated", "capture.snaplen"})
DAMAGE = frozenset({"capture.damaged", "capture.resynchronised"})


def assemble(analysis: Analysis, diagnosis: Diagnosis | None = None) -> document.Report:
    """Write an analysis as a report, with what it means where a diagnosis is given."""
    diagnosis = diagnosis or Diagnosis()
    clock = clock_of(analysis)
    return document.Report(
        schema=document.SCHEMA,
        generator=document.Generator(name="ipsecscope", version=__version__),
        capture=_capture(analysis, clock),
        ike_sas=[_ike_sa(sa, analysis.verified.get(sa.id, Verified()), clock) for sa in analysis.ike_sas],
        flows=[flow_of(flow, analysis, clock) for flow in analysis.flows],
        findings=[_finding(each) for each in diagnosis.findings],
        headline=None if diagnosis.headline is None else _headline(diagnosis.headline),
        headlines=[_headline(each) for each in diagnosis.headlines],
        notes=[*(_note(each) for each in analysis.notes), *_faults(diagnosis)],
        icmp_errors=list(icmp_errors(analysis, clock)),
        keys=_keys(analysis),
    )


def _faults(diagnosis: Diagnosis) -> Iterable[document.Note]:
    """Rules that failed, said like any other fault of this program."""
    for fault in diagnosis.faults:
        text = f"the rule {fault} failed on this capture; please report it"
        yield document.Note(frame=0, kind="internal.dissector-bug", severity="error", text=text)


def _finding(finding: Finding) -> document.Finding:
    values = finding.fields()
    evidence = [document.Evidence(**each) for each in values.pop("evidence")]
    return document.Finding(evidence=evidence, **values)


def _headline(headline: Headline) -> document.Headline:
    return document.Headline(subject=headline.subject, code=headline.code, sentence=headline.sentence)


def _keys(analysis: Analysis) -> document.Keys | None:
    """What the keys opened; None when there were none."""
    records = [
        record
        for sa in analysis.ike_sas
        for exchange in sa.exchanges
        for record in (*exchange.request, *exchange.response, *exchange.repeats)
        if record.is_encrypted
    ]
    if not analysis.traffic and not any(record.opening is not None for record in records):
        return None
    return document.Keys(
        ike_encrypted=len(records),
        ike_opened=sum(_opened(record) for record in records),
        packets_opened=sum(result.opened for result in analysis.traffic.values()),
        packets_refused=sum(result.refused for result in analysis.traffic.values()),
    )


def _capture(analysis: Analysis, clock: Clock) -> document.Capture:
    counts = analysis.counts
    files = [
        capture_file(facts, analysis.capture_notes if index == 0 else []) for index, facts in enumerate(analysis.files)
    ]
    files += [
        document.CaptureFile(
            name=name_of(each.name), format="", frames=0, link_types=[], truncated=False, notes=[], error=each.reason
        )
        for each in analysis.errors
    ]
    return document.Capture(
        files=files,
        frames=counts.frames,
        first_time=clock(analysis.first_ns),
        last_time=clock(analysis.last_ns),
        messages=document.MessageCounts(ikev1=counts.ikev1, ikev2=counts.ikev2),
        packets=document.PacketCounts(
            esp=counts.esp,
            ah=counts.ah,
            nat_keepalive=counts.keepalive,
            other=counts.other,
            icmp_errors=counts.icmp,
            fragments=counts.fragments,
            ipcomp=counts.ipcomp,
            wesp=counts.wesp,
            unreadable=counts.unreadable,
        ),
    )


def name_of(file: str) -> str:
    """A file name as text; octets of it that are not UTF-8 become escapes."""
    return os.fsencode(file).decode("utf-8", "backslashreplace")


def capture_file(facts: FileFacts, more: list[CaptureNote]) -> document.CaptureFile:
    """One input file, with notes that are about all of them."""
    notes = [*facts.notes, *more]
    kinds = {note.kind for note in notes}
    return document.CaptureFile(
        name=name_of(facts.name),
        format=facts.format,
        frames=facts.frames,
        link_types=list(dict.fromkeys(link_type_name(each.link_type) for each in facts.interfaces)),
        truncated=bool(kinds & TRUNCATIONS),
        damaged=bool(kinds & DAMAGE),
        notes=[note_of(each) for each in notes],
        compression=facts.compression,
    )


def note_of(each: CaptureNote) -> document.CaptureNote:
    """Something to say about a capture file."""
    return document.CaptureNote(each.kind, each.text, each.offset, each.size, each.frame)


def _ike_sa(sa: sas.IkeSa, verified: Verified, clock: Clock) -> document.IkeSa:
    vendors = (*sa.initiator.vendors, *sa.responder.vendors)
    return document.IkeSa(
        id=sa.id,
        version=sa.version,
        mode=sa.mode,
        spi_i=sa.spi_i.hex(),
        spi_r=None if sa.spi_r is None else sa.spi_r.hex(),
        initiator=_endpoint(sa.initiator),
        responder=_endpoint(sa.responder),
        state=sa.state,
        basis=sa.basis,
        established_at=clock(sa.established_ns),
        closed_at=clock(sa.closed_ns),
        rekeys=sa.rekeys,
        rekeys_basis=sa.rekey_basis,
        proposal=None if sa.suite is None else _proposal(sa.suite),
        offers=list(sa.offers),
        auth=_auth(sa, verified),
        nat=document.Nat(sa.nat.initiator, sa.nat.responder, sa.nat.forced, list(sa.nat.unexplained)),
        nat_t=sa.nat_t,
        exchanges=[_exchange(each, clock, vendors) for each in sa.exchanges],
        child_sas=[_child(each, clock) for each in sa.child_sas],
        handshake_seen=sa.handshake_seen,
        started_at=clock(sa.start_ns),
    )


def _auth(sa: sas.IkeSa, verified: Verified) -> document.Auth:
    return document.Auth(
        initiator=sa.auth.get("initiator"),
        responder=sa.auth.get("responder"),
        verified=verified.verified,
        initiator_verified=verified.initiator,
        responder_verified=verified.responder,
        proofs=[
            document.Proof(what=each.what, sender=each.sender, verdict=each.verdict, frame=each.frame, why=each.why)
            for each in verified.details
            if each.verdict is not None
        ],
    )


def _endpoint(end: sas.Endpoint) -> document.Endpoint:
    return document.Endpoint(
        address=end.address,
        port=end.port,
        id=None if end.id is None else document.Identity(*end.id),
        vendor=list(end.vendors),
        addresses=[f"[{address}]:{port}" if ":" in address else f"{address}:{port}" for address, port in end.addresses],
        vendor_ids=list(end.vendor_ids),
    )


def _proposal(suite: sas.Suite) -> document.Proposal:
    return document.Proposal(
        encr=suite.encr,
        key_length=suite.key_length,
        prf=suite.prf,
        integ=suite.integ,
        ke=list(suite.ke),
        esn=suite.esn,
        hash=suite.hash,
        auth=suite.auth,
        lifetime_s=_exact(suite.lifetime_s),
        lifetime_kb=_exact(suite.lifetime_kb),
    )


def _exact(number: int | None) -> int | str | None:
    """A number that every reader of JSON keeps: as text where a double would round it (RFC 8259 section 6)."""
    return str(number) if number is not None and number >= 2**53 else number


def _exchange(exchange: sas.Exchange, clock: Clock, vendors: Vendors) -> document.Exchange:
    everything = (*exchange.request, *exchange.response, *exchange.repeats)
    named = [notify_name(kind, vendors) for record in exchange.records for kind in notifies(record.payloads)]
    return document.Exchange(
        type=str(exchange.type),
        message_id=exchange.message_id,
        initiated_by=exchange.initiated_by,
        frames=document.Frames(
            request=[record.frame for record in exchange.request],
            response=[record.frame for record in exchange.response],
        ),
        retransmissions=exchange.retransmissions,
        outcome=exchange.outcome,
        payloads=document.PayloadNames(
            request=_names(exchange.request, exchange, vendors), response=_names(exchange.response, exchange, vendors)
        ),
        encrypted=sum(record.is_encrypted for record in everything),
        opened=sum(record.opening is not None and record.opening.is_open for record in everything),
        notifies=list(dict.fromkeys(named)),
        messages=_messages(exchange, clock, vendors),
        repeated_frames=[record.frame for record in exchange.repeats],
        time=clock(exchange.start_ns),
        reason=_reason(exchange),
        file=everything[0].datagram.file,
    )


def _reason(exchange: sas.Exchange) -> str | None:
    """The notify that refused, for an exchange that was refused or had to be repeated."""
    if exchange.outcome not in {"refused", "retried"}:
        return None
    for record in exchange.response:
        for kind in notifies(record.payloads):
            if int(kind) < 16384 or str(kind) == "COOKIE":
                return str(kind)
    return None


def _names(records: Iterable[sas.MessageRecord], exchange: sas.Exchange, vendors: Vendors) -> list[str]:
    return [name for record in records if _counts(record) for name in _payload_names(record, exchange, vendors)]


def _counts(record: sas.MessageRecord) -> bool:
    """Whether a datagram stands for a message: of an RFC 7383 set the first one does, unless another one opened it."""
    return record.fragment is None or record.assembled is not None or record.fragment[0] == 1 or _opened(record)


def _opened(record: sas.MessageRecord) -> bool:
    return record.opening is not None and record.opening.is_open


def _payload_names(record: sas.MessageRecord, exchange: sas.Exchange, vendors: Vendors) -> list[str]:
    message = record.assembled or record.message
    payloads = record.payloads
    if _opened(record):
        payloads = tuple(each for each in payloads if payload_name(each, message.header) not in {"SK", "SKF"})
    names = [payload_name(each, message.header, vendors) for each in payloads]
    if message.family.major_version == 1:
        nonce = "Ni" if record.sender == exchange.initiated_by else "Nr"
        names = [nonce if name == "NONCE" else name for name in names]
    return names


def _messages(exchange: sas.Exchange, clock: Clock, vendors: Vendors) -> list[document.ExchangeMessage]:
    """The messages of an exchange; the fragments of one message together."""
    groups: dict[tuple[str, int], list[sas.MessageRecord]] = {}
    for record in exchange.records:
        key = (record.sender, -1) if record.fragment is not None else (record.sender, record.number)
        groups.setdefault(key, []).append(record)
    return [_message(records, exchange, clock, vendors) for records in groups.values()]


def _message(
    records: list[sas.MessageRecord], exchange: sas.Exchange, clock: Clock, vendors: Vendors
) -> document.ExchangeMessage:
    best = max(records, key=lambda record: (record.assembled is not None, _opened(record), len(record.payloads)))
    refused = next((each.opening.reason for each in records if each.opening is not None and each.opening.reason), None)
    encrypted = any(record.is_encrypted for record in records)
    return document.ExchangeMessage(
        frames=[record.frame for record in records],
        sender=best.sender,
        payloads=_payload_names(best, exchange, vendors),
        octets=sum(record.datagram.wire_length for record in records),
        encrypted=encrypted,
        opened=_opened(best) if best.opening is not None else None,
        reason=refused if not _opened(best) else None,
        time=clock(records[0].time_ns),
        repeats=max(_repeats(record, exchange) for record in records),
    )


def _repeats(record: sas.MessageRecord, exchange: sas.Exchange) -> int:
    """How often these very octets were sent again."""
    return sum(each.datagram.payload == record.datagram.payload for each in exchange.repeats)


def _child(child: sas.ChildSa, clock: Clock) -> document.ChildSa:
    return document.ChildSa(
        id=child.id,
        protocol=child.protocol,
        mode=child.mode,
        state=child.state,
        basis=child.basis,
        spi_i=None if child.spi_i is None else f"{child.spi_i:08x}",
        spi_r=None if child.spi_r is None else f"{child.spi_r:08x}",
        proposal=None if child.suite is None else _proposal(child.suite),
        tsi=None if child.tsi is None else list(child.tsi),
        tsr=None if child.tsr is None else list(child.tsr),
        rekeys=child.rekeys,
        flows=list(child.flows),
        created_at=clock(child.created_ns),
        deleted_at=clock(child.deleted_ns),
        ipcomp=child.ipcomp,
    )


def _note(each: FrameNote) -> document.Note:
    note = each.note
    return document.Note(
        frame=each.frame,
        kind=note.kind,
        severity=severity_of(note.kind).name.lower(),
        text=note.text,
        field=note.field,
        bytes=(note.start, note.stop) if note.stop else None,
        file=each.file,
    )
