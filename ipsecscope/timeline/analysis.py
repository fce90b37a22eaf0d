"""From capture files to a timeline: the one place where capture, dissection and correlation meet."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
import numpy as np

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.capture.columns import Columns, classify
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.records import CaptureNote, FileFacts
from ipsecscope.capture.sources import merge
from ipsecscope.decrypt.keylogs.esps import ESPS, read_esps
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.dissect.notes import Note
from ipsecscope.timeline.binding import Binding, bind_flows
from ipsecscope.timeline.children import ChildRegister, close_with_ike, settle_children
from ipsecscope.timeline.copies import copy_note
from ipsecscope.timeline.correlate import Correlator
from ipsecscope.timeline.decryption import KeyOpener
from ipsecscope.timeline.events import Event
from ipsecscope.timeline.flow_table import FlowTable
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.milestones import milestones
from ipsecscope.timeline.proven_keys import proven_keys
from ipsecscope.timeline.reading import Source, UnusableFileError, open_all, usable
from ipsecscope.timeline.sas import ChildSa, IkeSa, MessageRecord
from ipsecscope.timeline.settle import settle
from ipsecscope.timeline.tracking import SaTracker
from ipsecscope.timeline.traffic import Sink, TrafficOpener, TrafficResult
from ipsecscope.timeline.verdicts import Verified
from ipsecscope.timeline.verification import verify_sa

MAX_BUGS = 100  # internal faults described one by one; the rest are counted


class FrameNote(msgspec.Struct, frozen=True):
    """A dissector's note with the frame it belongs to."""

    file: int
    frame: int
    note: Note


class Counts(msgspec.Struct):
    """What the capture held."""

    frames: int = 0
    ikev1: int = 0
    ikev2: int = 0
    esp: int = 0
    ah: int = 0
    keepalive: int = 0
    icmp: int = 0
    fragments: int = 0
    ipcomp: int = 0
    wesp: int = 0
    unreadable: int = 0
    duplicates: int = 0
    other: int = 0


class Analysis(msgspec.Struct):
    """Everything that is known of some captures. Frozen by convention: whoever reads it does not write it."""

    files: list[FileFacts]
    errors: list[UnusableFileError]
    counts: Counts
    ike_sas: tuple[IkeSa, ...]
    flows: tuple[Flow, ...]
    bindings: dict[str, Binding]
    events: list[Event]
    icmp: list[tuple[Datagram, str | None]]
    notes: list[FrameNote]
    traffic: dict[str, TrafficResult] = msgspec.field(default_factory=dict)
    verified: dict[str, Verified] = msgspec.field(default_factory=dict)
    first_ns: int | None = None
    last_ns: int | None = None
    orphans: list[MessageRecord] = msgspec.field(default_factory=list)
    capture_notes: list[CaptureNote] = msgspec.field(default_factory=list)
    clear: tuple[ClearTraffic, ...] = ()
    keys: tuple[KeyRecord, ...] = ()  # that opened something here, with the SPIs of what they opened


Progress = Callable[[int, int], None]


def analyze(
    paths: Iterable[str],
    *,
    ike_ports: frozenset[int] = frozenset(),
    ring: KeyRing | None = None,
    progress: Progress | None = None,
    sink: Sink | None = None,
    stopped: Callable[[], bool] = bool,
    interface: int | None = None,
) -> Analysis:
    """Read captures and build their timeline.

    Args:
        paths: files, directories, globs or ``-`` for standard input.
        ike_ports: UDP ports that carry IKE besides those that are recognised.
        ring: key material, when there is any; then the captures are read twice.
        progress: called with (files done, frames read) now and then.
        sink: called with every ESP or AH packet that was opened, in the order of the capture.
        stopped: asked now and then; once it says so, nothing more is read, and a note says how far it came.
        interface: the number of the only interface to look at; None for all.

    A file that cannot be used is an entry of ``Analysis.errors``; the others are analysed.
    """
    ring = ring if ring is not None else KeyRing()
    opener = KeyOpener(ring)
    keyed = not ring.is_empty
    sources, failures = open_all(paths, again=keyed)
    pipeline = Pipeline(ike_ports=ike_ports)
    run = _Run(pipeline, Correlator(opener if keyed else None), FlowTable())
    for records in merge(sources):
        run.counts.frames += len(records)
        if len(records):
            run.span(int(records.time_ns.min()), int(records.time_ns.max()))
        columns, datagrams = classify(records if interface is None else records.only(interface), pipeline)
        run.take(columns, datagrams)
        if progress is not None:
            progress(records.file, run.counts.frames)
        if stopped():
            run.is_cut = True
            break
    run.take_datagrams(pipeline.finish())
    facts, broken = usable(sources)
    trackers = run.correlator.finish()
    children = settle_children(trackers, run.register)
    traffic: dict[tuple[str, str, int], TrafficResult] = {}
    traffic_opener = None
    _take_embedded_keys(ring, sources)
    if not ring.is_empty:
        traffic_opener = TrafficOpener(ring, trackers, run.register, opener.ikev1, opener.ikev2, sink)
        _second_look(sources, ike_ports, traffic_opener, run.counts.frames, interface)
        traffic = traffic_opener.results()
    verified = {sa.id: verify_sa(sa, opener) for sa in trackers}
    analysis = run.finish(trackers, children, traffic, verified, facts, [*failures, *broken])
    analysis.keys = tuple(proven_keys(trackers, opener, traffic_opener))
    return analysis


def _take_embedded_keys(ring: KeyRing, sources: list[Source]) -> None:
    """Put ESP keys that the captures themselves carry (pcapng secrets blocks) on the ring.

    A capture that came through a pipe without keys cannot be read a second time, so there they are of no use.
    """
    for source in sources:
        for secrets in source.facts.secrets:
            if secrets.kind == ESPS and source.can_be_read_again:
                for record in read_esps(secrets.data, source.facts.name).records:
                    ring.add(record)


def _second_look(
    sources: list[Source], ike_ports: frozenset[int], opener: TrafficOpener, frames: int, interface: int | None
) -> None:
    """Read the captures again, as far as the first time, and open every ESP and AH packet."""
    pipeline = Pipeline(ike_ports=ike_ports)
    for records in merge(sources):
        frames -= len(records)
        if frames < 0:
            break
        columns, _ = classify(records if interface is None else records.only(interface), pipeline)
        rows = np.isin(columns.kind, (int(Kind.ESP), int(Kind.AH))) & (columns.duplicate_of == 0)
        for row in np.flatnonzero(rows).tolist():
            opener.feed(row_datagram(columns, row))
    for datagram in pipeline.finish():
        if datagram.kind in (Kind.ESP, Kind.AH):
            opener.feed(datagram)


def row_datagram(columns: Columns, row: int) -> Datagram:
    """One row of the columns as a datagram, without the names of the layers around it."""
    return Datagram(
        file=int(columns.file[row]),
        frames=(int(columns.frame[row]),),
        time_ns=int(columns.time_ns[row]),
        kind=Kind(int(columns.kind[row])),
        encapsulation=Encapsulation(int(columns.encapsulation[row])),
        src=columns.addresses[int(columns.src[row])],
        dst=columns.addresses[int(columns.dst[row])],
        sport=int(columns.sport[row]),
        dport=int(columns.dport[row]),
        payload=columns.payload(row),
        missing=int(columns.missing[row]),
        packet=columns.packet(row),
        ttl=int(columns.ttl[row]),
        dscp=int(columns.dscp[row]),
    )


class _Run:
    """One analysis while it is going on."""

    def __init__(self, pipeline: Pipeline, correlator: Correlator, table: FlowTable) -> None:
        self.pipeline = pipeline
        self.correlator = correlator
        self.table = table
        self.register = ChildRegister()
        self.counts = Counts()
        self.bugs: list[FrameNote] = []
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.is_cut = False

    def span(self, first: int, last: int) -> None:
        self.first_ns = first if self.first_ns is None else min(self.first_ns, first)
        self.last_ns = last if self.last_ns is None else max(self.last_ns, last)

    def take(self, columns: Columns, datagrams: list[Datagram]) -> None:
        counted = columns.kind[columns.duplicate_of == 0]
        self.counts.esp += int(np.count_nonzero(counted == int(Kind.ESP)))
        self.counts.ah += int(np.count_nonzero(counted == int(Kind.AH)))
        self.counts.keepalive += int(np.count_nonzero(counted == int(Kind.KEEPALIVE)))
        self.counts.duplicates += len(columns) - len(counted)
        self.table.update(columns)
        self.take_datagrams(datagrams)

    def take_datagrams(self, datagrams: list[Datagram]) -> None:
        for datagram in datagrams:
            self._count(datagram)
            if datagram.duplicate_of is not None:
                continue
            try:
                self.correlator.feed(datagram)
            except Exception as fault:  # noqa: BLE001 (the one outer guard: see notes "internal.dissector-bug")
                self._bug(datagram, fault)

    def _bug(self, datagram: Datagram, fault: Exception) -> None:
        if len(self.bugs) < MAX_BUGS:
            text = f"{type(fault).__name__} while reading this frame; please report it with the frame"
            self.bugs.append(FrameNote(datagram.file, datagram.frame, Note("internal.dissector-bug", text)))

    def _count(self, datagram: Datagram) -> None:
        counts = self.counts
        if datagram.duplicate_of is not None:
            counts.duplicates += 1
        elif datagram.kind == Kind.IKE:
            major = datagram.payload[17] >> 4 if len(datagram.payload) > 17 else 2
            counts.ikev1 += major == 1
            counts.ikev2 += major != 1
        elif datagram.kind == Kind.ICMP:
            counts.icmp += 1
        elif datagram.kind == Kind.FRAGMENT:
            counts.fragments += 1
        elif datagram.kind == Kind.IPCOMP:
            counts.ipcomp += 1
        elif datagram.kind == Kind.WESP:
            counts.wesp += 1
        elif datagram.kind == Kind.UNREADABLE:
            counts.unreadable += 1

    def _cut_note(self) -> list[CaptureNote]:
        text = f"reading was interrupted after {self.counts.frames} frames: what follows them is not in this report"
        return [CaptureNote("capture.interrupted", text)] if self.is_cut else []

    def finish(
        self,
        trackers: list[SaTracker],
        children: dict[str, list[ChildSa]],
        traffic: dict[tuple[str, str, int], TrafficResult],
        verified: dict[str, Verified],
        files: list[FileFacts],
        errors: list[UnusableFileError],
    ) -> Analysis:
        self.counts.other = self.pipeline.other
        flows = self.table.flows()
        settled = [msgspec.structs.replace(sa, child_sas=tuple(children[sa.id])) for sa in settle(trackers)]
        sas, bindings = bind_flows(close_with_ike(settled), flows)
        return Analysis(
            files=files,
            errors=errors,
            counts=self.counts,
            ike_sas=tuple(sas),
            flows=flows,
            bindings=bindings,
            verified=verified,
            traffic={
                flow.id: traffic[(flow.dst, flow.protocol, flow.spi)]
                for flow in flows
                if (flow.dst, flow.protocol, flow.spi) in traffic
            },
            events=sorted((*self.correlator.events, *milestones(sas)), key=lambda event: event.time_ns),
            icmp=[(datagram, None if sa is None else sa.id) for datagram, sa in self.correlator.icmp],
            notes=[*self.bugs, *_notes(sas), *_orphan_notes(self.correlator.unreadable)],
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            orphans=self.correlator.unreadable,
            capture_notes=[
                *self._cut_note(),
                *self.pipeline.notes,
                *self.pipeline.clear.notes(),
                *self.correlator.notes(),
                *self.table.notes(),
            ],
            clear=self.pipeline.clear.traffic(),
        )


def _notes(sas: list[IkeSa]) -> list[FrameNote]:
    """The dissector's notes of every message, first transmissions only."""
    found = []
    for sa in sas:
        for exchange in sa.exchanges:
            for record in exchange.records:
                found += _record_notes(record)
            for copy in exchange.copies:
                note = copy_note(exchange.type, exchange.message_id)
                found.append(FrameNote(copy.datagram.file, copy.frame, note))
    return sorted(found, key=lambda each: (each.file, each.frame))


def _record_notes(record: MessageRecord) -> list[FrameNote]:
    notes = [*record.message.notes, *(record.assembled.notes if record.assembled is not None else ())]
    if record.opening is not None:
        notes += record.opening.notes
    return [FrameNote(record.datagram.file, record.frame, note) for note in notes]


def _orphan_notes(records: list[MessageRecord]) -> list[FrameNote]:
    return [note for record in records for note in _record_notes(record)]
