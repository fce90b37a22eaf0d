"""Which octets of which file a finding points at, as far as the file can be read again and is not compressed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from ipsecscope.capture.places import record_places
from ipsecscope.capture.records import CaptureError
from ipsecscope.reports.document import Evidence, Report
from ipsecscope.timeline.analysis import Analysis


class Place(msgspec.Struct, frozen=True):
    """The data of one record: where it starts in the file, how long it is, and where its IKE message starts in it."""

    start: int
    size: int
    message: int | None = None

    def region(self, evidence: Evidence) -> tuple[int, int]:
        """Offset and length in the file of what some evidence names: the field, or the whole record."""
        if evidence.bytes is None or self.message is None:
            return self.start, self.size
        begin, end = evidence.bytes
        start = self.message + begin
        if not 0 <= start < end + self.message <= self.size:
            return self.start, self.size
        return self.start + start, end - begin


Places = Mapping[tuple[int, int], Place]


def places_of(report: Report, analysis: Analysis) -> dict[tuple[int, int], Place]:
    """The places of all evidence of a report by (file, frame)."""
    wanted: dict[int, set[int]] = {}
    for finding in report.findings:
        for each in finding.evidence:
            wanted.setdefault(each.file, set()).add(each.frame)
    messages = dict(_messages(analysis))
    found = {}
    for file, frames in wanted.items():
        facts = analysis.files[file] if file < len(analysis.files) else None
        if facts is None or facts.compression or not Path(facts.name).is_file():
            continue
        try:
            records = record_places(facts.name, frames)
        except CaptureError:  # it has changed since it was analysed; what the findings say still holds
            continue
        for frame, (start, size) in records.items():
            found[(file, frame)] = Place(start, size, messages.get((file, frame)))
    return found


def _messages(analysis: Analysis) -> Iterator[tuple[tuple[int, int], int]]:
    """Where the IKE message of a frame starts in its record, for those that came in one piece."""
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in (*exchange.request, *exchange.response, *exchange.repeats):
                if record.datagram.offset is not None and len(record.datagram.frames) == 1:
                    yield (record.datagram.file, record.frame), record.datagram.offset
