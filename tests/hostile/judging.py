"""What must hold for the reports on any capture at all, and the guards of time and memory around the attempt."""

from __future__ import annotations

import contextlib
import io
import json
import resource
import signal
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import Report, from_json
from ipsecscope.reports.tree import write_trees
from ipsecscope.reports.writing import write_report
from ipsecscope.timeline.analysis import Analysis, analyze
from ipsecscope.timeline.reading import UnusableFileError

EXACT = 2**53 - 1  # the largest integer that every JSON reader keeps
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


PATIENCE = 20  # machines under coverage and load are slow; this is about what never ends


class TooSlowError(AssertionError):
    """The time limit was reached."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError in the middle of whatever takes longer."""

    def stop(*_: object) -> None:
        raise TooSlowError(f"took longer than {seconds * PATIENCE} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds * PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@contextlib.contextmanager
def memory_limit(octets: int) -> Iterator[None]:
    """Let the process grow by so much at most; beyond it, MemoryError is raised."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + octets, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def judged(path: Path, ring: KeyRing | None = None) -> tuple[Analysis, Report]:
    """Analyse a capture and write every kind of report; AssertionError where one of them is not fit to be shown."""
    analysis = analyze([str(path)], ring=ring)
    for error in analysis.errors:
        assert "\n" not in str(error)
        assert_harmless(str(error))
    report = assemble(analysis, diagnose(analysis))
    bugs = [note for note in report.notes if note.kind == "internal.dissector-bug"]
    assert not bugs, bugs
    text, document, lines = (written(report, analysis, kind) for kind in ("text", "json", "jsonl"))
    assert_harmless(text.decode())
    assert_exact_json(document)
    assert from_json(document) == report
    for line in lines.splitlines():
        assert_exact_json(line)
    trees = io.StringIO()
    with contextlib.suppress(UnusableFileError):
        write_trees(str(path), trees, hexdump=True)
    assert_harmless(trees.getvalue())
    return analysis, report


def written(report: Report, analysis: Analysis, kind: str) -> bytes:
    out = io.BytesIO()
    write_report(report, analysis, kind, out)
    return out.getvalue()


def assert_harmless(text: str) -> None:
    """Nothing that a terminal would obey, nor anything that hides or reorders what is read."""
    found = {character for character in set(text) - {"\n"} if unicodedata.category(character) in HIDDEN}
    assert not found, sorted(map(ascii, found))


def assert_exact_json(document: bytes) -> Any:
    """JSON that every reader reads the same: UTF-8, no key twice, no lone surrogate, no number that loses digits."""
    text = document.decode()
    assert_harmless(text)
    value = json.loads(text, object_pairs_hook=_pairs, parse_constant=_no_constant, parse_int=_exact)
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), [key for key, _ in pairs]
    return found


def _no_constant(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def _exact(digits: str) -> int:
    assert abs(int(digits)) <= EXACT, digits
    return int(digits)
