"""Captures made from captures: the decrypted packets, IKE in the clear, and the same capture with comments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import msgspec
import numpy as np

from ipsecscope.capture.columns import classify
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.records import CaptureError, Records
from ipsecscope.capture.sources import expand, merge
from ipsecscope.capture.writer import PcapngWriter
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.reports.annotate import Annotations
from ipsecscope.reports.clear_ike import ClearMessages, clear_frame, clear_messages
from ipsecscope.reports.writing import open_output
from ipsecscope.timeline.analysis import Analysis, analyze, row_datagram
from ipsecscope.timeline.inner import Opened, Restored
from ipsecscope.timeline.reading import UnusableFileError, kept_copy, open_all
from ipsecscope.timeline.traffic import Sink

APPLICATION = "ipsecscope"

_ANNOTATED = (int(Kind.ESP), int(Kind.AH), int(Kind.KEEPALIVE))


class Wanted(msgspec.Struct, frozen=True):
    """What to write and where; ``-`` is standard output, None is not wanted."""

    inner: Path | None = None
    decrypted: Path | None = None
    annotated: Path | None = None
    ike_only: bool = False

    @property
    def paths(self) -> list[Path]:
        """All outputs."""
        return [path for path in (self.inner, self.decrypted, self.annotated) if path is not None]


class Exported(msgspec.Struct):
    """What came of an export. ``remarks`` count packets that are not exactly as they were sent."""

    analysis: Analysis
    inner: int = 0
    dummies: int = 0
    sealed: int = 0
    closed: Counter[str] = msgspec.field(default_factory=Counter)
    messages: int = 0
    remarks: Counter[str] = msgspec.field(default_factory=Counter)

    @property
    def is_complete(self) -> bool:
        """Whether nothing that should have been opened stayed closed."""
        return not self.closed


class NoCaptureError(Exception):
    """None of the captures can be used. ``failures`` says why for each."""

    def __init__(self, failures: list[UnusableFileError]) -> None:
        super().__init__("no capture can be used")
        self.failures = failures


class InnerWriter:
    """Takes opened packets and writes what they protect, as raw IP with the times of what they came in."""

    def __init__(self, writer: PcapngWriter) -> None:
        self.writer = writer
        self.packets = self.dummies = self.sealed = 0
        self.remarks: Counter[str] = Counter()
        self._sealed_in: tuple[int, int] | None = None
        writer.interface(LinkType.RAW, name="inner", description="packets that ESP and AH protected")

    def __call__(self, datagram: Datagram, opened: Opened, restored: Restored) -> None:
        """Take one opened packet."""
        place = (datagram.file, datagram.frame)
        if restored.is_sealed:  # the ESP or AH packet inside comes next, when it opens
            self.sealed += 1
            self._sealed_in = place
            return
        if self._sealed_in == place:
            self.sealed -= 1
        self._sealed_in = None
        if restored.mode == "dummy":
            self.dummies += 1
        if restored.remark:
            self.remarks[restored.remark] += 1
        for packet in restored.packets:
            comment = f"{datagram.kind.name} {opened.spi:08x} sequence {opened.sequence_number}, frame {datagram.frame}"
            if restored.remark:
                comment += f"; {restored.remark}"
            self.writer.write(datagram.time_ns, packet, comment=comment)
            self.packets += 1


def export(
    files: list[str],
    wanted: Wanted,
    *,
    ring: KeyRing | None = None,
    ike_ports: frozenset[int] = frozenset(),
    force: bool = False,
    inputs: Iterable[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Exported:
    """Analyse captures and write what is wanted of them.

    Args:
        files: as for ``analyze``.
        wanted: what to write and where.
        ring: key material.
        ike_ports: as for ``analyze``.
        force: whether files that are there are replaced.
        inputs: names of further files that must not be overwritten.
        progress: as for ``analyze``.

    Raises:
        NoCaptureError: no capture can be used; then nothing is written.
        OSError: an output exists, is an input or cannot be written.
    """
    paths = [kept_copy(name) if name == "-" or Path(name).is_fifo() else name for name in files]
    taken = [*files, *inputs, *_names(paths)]
    with ExitStack() as stack:
        writers = {}
        for path in wanted.paths:  # all of them now: who asked for what cannot be written waits for no analysis
            out = stack.enter_context(open_output(None if str(path) == "-" else path, force=force, inputs=taken))
            writers[path] = PcapngWriter(out, application=APPLICATION)
        inner = None if wanted.inner is None else InnerWriter(writers[wanted.inner])
        notes = None if wanted.annotated is None else Annotations()
        sinks: list[Sink] = [each for each in (inner, notes) if each is not None]
        analysis = analyze(paths, ike_ports=ike_ports, ring=ring, progress=progress, sink=_Sinks(sinks))
        if not analysis.files:
            raise NoCaptureError(analysis.errors)
        result = Exported(analysis)
        if inner is not None:
            result.inner, result.dummies, result.sealed = inner.packets, inner.dummies, inner.sealed
            result.remarks = inner.remarks
            result.closed += closed_packets(analysis)
        if wanted.decrypted is not None:
            clear = clear_messages(analysis)
            result.messages = sum(map(len, clear.by_frame.values()))
            result.closed += closed_messages(analysis)
            _write_decrypted(paths, writers[wanted.decrypted], clear, ike_only=wanted.ike_only)
        if wanted.annotated is not None and notes is not None:
            notes.learn(analysis)
            _write_annotated(paths, writers[wanted.annotated], notes, ike_ports)
    return result


class _Sinks:
    """Several takers of opened packets as one."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self.sinks = sinks

    def __call__(self, datagram: Datagram, opened: Opened, restored: Restored) -> None:
        for sink in self.sinks:
            sink(datagram, opened, restored)


def _names(paths: Iterable[str]) -> Iterator[str]:
    """The files that the arguments mean; those that cannot be used are said by the analysis."""
    for path in paths:
        with suppress(CaptureError):
            yield from expand([path])


def closed_packets(analysis: Analysis) -> Counter[str]:
    """ESP and AH packets that were not opened, by the reason."""
    closed: Counter[str] = Counter()
    for result in analysis.traffic.values():
        if result.refused:
            closed[result.reason or "no key"] += result.refused
    if not analysis.traffic and analysis.counts.esp + analysis.counts.ah:
        closed["no key"] = analysis.counts.esp + analysis.counts.ah
    return closed


def closed_messages(analysis: Analysis) -> Counter[str]:
    """Encrypted IKE messages that were not opened, by the reason."""
    closed: Counter[str] = Counter()
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in (*exchange.request, *exchange.response, *exchange.repeats):
                if record.encrypted and (record.opening is None or not record.opening.is_open):
                    closed[record.opening.reason if record.opening is not None else "no key"] += 1
    return closed


def _frames(paths: list[str]) -> Iterator[Records]:
    """All records of the captures once more, in the order of the analysis."""
    sources, _ = open_all(paths)
    return merge(sources)


def _write_decrypted(paths: list[str], writer: PcapngWriter, clear: ClearMessages, *, ike_only: bool) -> None:
    for records in _frames(paths):
        for frame in records.frames():
            place = (frame.file, frame.number)
            opened = clear.by_frame.get(place, ())
            in_stream = any(each.datagram.encapsulation is Encapsulation.TCP for each in opened)
            if (not opened or in_stream) and place not in clear.parts and (not ike_only or place in clear.ike):
                writer.write_frame(frame)
            for each in opened:
                writer.write_frame(clear_frame(frame, each))


def _write_annotated(paths: list[str], writer: PcapngWriter, notes: Annotations, ike_ports: frozenset[int]) -> None:
    pipeline = Pipeline(ike_ports=ike_ports)
    for records in _frames(paths):
        columns, _ = classify(records, pipeline)
        lines: dict[int, list[str]] = {}
        for row in np.flatnonzero(np.isin(columns.kind, _ANNOTATED)).tolist():
            datagram = row_datagram(columns, row)
            text = "NAT keepalive (RFC 3948)" if datagram.kind is Kind.KEEPALIVE else notes.line(datagram)
            lines.setdefault(datagram.frame, []).append(text)
        for frame in records.frames():
            comment = [*notes.lines_of(frame.file, frame.number), *lines.get(frame.number, ())]
            if comment:
                kept = [frame.comment] if frame.comment else []
                frame = msgspec.structs.replace(frame, comment="\n".join([*kept, *comment]))  # noqa: PLW2901
            writer.write_frame(frame)
