"""Where reports go: standard output, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from ipsecscope.reports.document import Report, to_json
from ipsecscope.reports.escape import visible_json
from ipsecscope.timeline.analysis import Analysis


@contextmanager
def open_output(path: Path | None, *, force: bool, inputs: Iterable[str] = ()) -> Iterator[BinaryIO]:
    """A binary stream for a report.

    A file is written under another name beside its place and moved there when it is complete, so an interrupted run
    leaves nothing. Raises OSError when the file exists and ``force`` is not given, when it is a symbolic link or no
    regular file, or when it is one of the inputs.
    """
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if path.is_symlink():
        raise OSError(f"{path}: is a symbolic link; it is not followed")
    if path.exists():
        if not path.is_file():
            raise OSError(f"{path}: is not a regular file")
        if any(name != "-" and Path(name).exists() and path.samefile(name) for name in inputs):
            raise OSError(f"{path}: is one of the inputs")
        if not force:
            raise OSError(f"{path}: exists; --force overwrites it")
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    try:
        os.fchmod(handle, 0o644 & ~_umask())
        with os.fdopen(handle, "wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_report(report: Report, analysis: Analysis, kind: str, out: BinaryIO, *, width: int | None = None) -> None:
    """Write a report in one of the formats of the command line."""
    if kind == "json":
        out.write(to_json(report))
    elif kind == "jsonl":
        out.writelines(map(visible_json, json_lines(report, analysis)))
    elif kind == "sarif":
        _write_sarif(report, analysis, out)
    else:
        _write_text(report, out, width)


def _write_sarif(report: Report, analysis: Analysis, out: BinaryIO) -> None:
    from ipsecscope.reports.places import places_of
    from ipsecscope.reports.sarif import to_sarif

    out.write(to_sarif(report, places_of(report, analysis)))


def _write_text(report: Report, out: BinaryIO, width: int | None) -> None:
    import io

    from ipsecscope.reports.text import write_text

    if out is sys.stdout.buffer:
        write_text(report, sys.stdout, width=width)
        sys.stdout.flush()
        return
    wrapper = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", write_through=True)
    write_text(report, wrapper, width=width, color=False)
    wrapper.detach()


def json_lines(report: Report, analysis: Analysis) -> Iterator[bytes]:
    """The events in time order, then the capture, the IKE SAs, the flows and the findings, one JSON object per line."""
    from ipsecscope.reports.clock import clock_of

    clock = clock_of(analysis)
    for event in analysis.events:
        line = {
            "time": clock(event.time_ns),
            "name": event.name,
            "group_id": event.group_id,
            "file": event.file,
            "frame": event.frame,
            "data": event.data,
        }
        yield msgspec.json.encode(line) + b"\n"
    yield msgspec.json.encode({"capture": report.capture}) + b"\n"
    for name, values in (
        ("ike_sa", report.ike_sas),
        ("flow", report.flows),
        ("icmp_error", report.icmp_errors),
        ("note", report.notes),
        ("finding", report.findings),
    ):
        for value in values:
            yield msgspec.json.encode({name: value}) + b"\n"
