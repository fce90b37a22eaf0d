"""A comparison as text: one sentence first, then the two taps, what passed each way, what was rewritten, and the findings."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterator, Sequence
from typing import TextIO

from ipsecscope.reports.comparison import Change, Comparison, Delay, Direction, Packet, Tap, TrafficCount
from ipsecscope.reports.escape import show

MAX_PACKETS = 12  # packets told one by one for each thing that became of them; --format json has more
MAX_CHANGES = 12
MAX_FINDINGS = 12
PIPE_WIDTH = 120
FATES = {
    "lost": "lost between the taps",
    "missing": "not in the other capture, of which nothing proves that it was recording",
    "incomplete": "arrived as some of their fragments",
    "unseen": "not in the other capture, which they pass first",
    "duplicated": "doubled between the taps",
    "replayed": "sent again between the taps",
    "injected": "made between the taps",
    "reordered": "overtaken between the taps",
    "delayed": "much later than usual",
}
_COLUMNS = (
    ("sent", "sent"),
    ("arrived", "arrived"),
    ("lost", "lost"),
    ("missing", "missing"),
    ("incomplete", "in part"),
    ("unseen", "unseen"),
    ("duplicated", "doubled"),
    ("replayed", "replayed"),
    ("injected", "injected"),
)


def write_comparison(comparison: Comparison, out: TextIO, *, width: int | None = None) -> None:
    """Draw a comparison; ``width`` is in columns, None takes the terminal's."""
    columns = width or (shutil.get_terminal_size((PIPE_WIDTH, 24)).columns if out.isatty() else PIPE_WIDTH)
    for line in _lines(comparison):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        wrapped = textwrap.wrap(line, columns, subsequent_indent=indent, break_on_hyphens=False, drop_whitespace=True)
        out.writelines(f"{each}\n" for each in wrapped or [""])


def _lines(comparison: Comparison) -> Iterator[str]:
    yield show(comparison.sentence, 2000)
    yield ""
    yield from _tap("A", comparison.a)
    yield from _tap("B", comparison.b)
    yield f"clocks: {_clock(comparison)}"
    for direction in comparison.directions:
        yield from _direction(direction)
    yield from _changes(comparison.changes)
    yield from _packets(comparison)
    yield from _findings(comparison)


def _tap(letter: str, tap: Tap) -> Iterator[str]:
    interface = f", interface {show(tap.interface)}" if tap.interface else ""
    span = f"{tap.first_time} to {tap.last_time}" if tap.first_time else "no record"
    copies = f", {tap.copies} of them recorded twice" if tap.copies else ""
    yield f"{letter}  {show(tap.name)}{interface}: {tap.frames} frames, {tap.packets} of IPsec{copies}; {span}"
    for note in tap.notes[:MAX_CHANGES]:
        yield f"   {show(note.text, 600)}"


def _clock(comparison: Comparison) -> str:
    clock = comparison.clock
    if not clock.packets:
        return "the captures share no packet, so their clocks cannot be compared"
    ahead = "ahead of" if clock.offset_ns >= 0 else "behind"
    bound = f" ± {_span(clock.uncertainty_ns)}" if clock.uncertainty_ns is not None else ", delay included"
    drift = f", gaining {clock.drift_ppm:.2f} ppm" if clock.drift_ppm else ""
    both = f"; both were recording from {comparison.first_time} to {comparison.last_time} (A's clock)"
    return f"B's is {_span(abs(clock.offset_ns))} {ahead} A's{bound}{drift}, by {clock.packets} packets{both}"


def _span(time_ns: int) -> str:
    """A span with three digits: ``5.50 µs``, ``120 ms``, ``3600 s``."""
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if abs(time_ns) >= size:
            value = time_ns / size
            return f"{value:.0f} {unit}" if abs(value) >= 100 else f"{value:.3g} {unit}"
    return f"{time_ns} ns"


def _direction(direction: Direction) -> Iterator[str]:
    if not direction.traffic:
        return
    yield ""
    hosts = ", ".join(map(show, direction.hosts))
    yield f"{direction.from_tap} → {direction.to_tap}{f'  from {hosts}' if hosts else ''}"
    shown = [
        (name, title)
        for name, title in _COLUMNS
        if name in ("sent", "arrived", "lost") or any(getattr(each, name) for each in direction.traffic)
    ]
    widest = max(len(each.traffic) for each in direction.traffic)
    yield "  " + " " * widest + "".join(f"{title:>10}" for _, title in shown) + "   octets"
    for each in direction.traffic:
        counts = "".join(f"{getattr(each, name):>10}" for name, _ in shown)
        yield f"  {each.traffic:<{widest}}{counts}   {_sizes(each)}".rstrip()
    if direction.delay is not None:
        yield f"  delay {_delay(direction.delay)}; {direction.reordered} overtaken, {direction.delayed} much later than usual"


def _sizes(each: TrafficCount) -> str:
    parts = [
        f"up to {each.largest_arrived} arrive" if each.largest_arrived is not None else "",
        f"from {each.smallest_lost} lost" if each.smallest_lost is not None else "",
    ]
    return ", ".join(part for part in parts if part)


def _delay(delay: Delay) -> str:
    return (
        f"{_span(delay.usual_ns)} as a rule, {_span(delay.least_ns)} to {_span(delay.most_ns)} "
        f"(95 %: {_span(delay.p95_ns)}, 99 %: {_span(delay.p99_ns)})"
    )


def _changes(changes: Sequence[Change]) -> Iterator[str]:
    if not changes:
        return
    yield ""
    yield "rewritten on the way"
    for each in changes[:MAX_CHANGES]:
        what = f"{show(each.before)} → {show(each.after)}" if each.before or each.after else "differs"
        first = f"frame {each.first_frames[0]} of A is {each.first_frames[1]} of B"
        count = "1 packet" if each.packets == 1 else f"{each.packets} packets"
        yield f"  {each.from_tap} → {each.to_tap}  {each.field}: {what}, {count}, first {first}"
    if len(changes) > MAX_CHANGES:
        yield f"  … and {len(changes) - MAX_CHANGES} more"


def _packets(comparison: Comparison) -> Iterator[str]:
    for what, title in FATES.items():
        found = [each for each in comparison.packets if each.what == what]
        if not found:
            continue
        total = len(found) + comparison.not_listed.get(what, 0)
        yield ""
        yield f"{total} {title}"
        for each in found[:MAX_PACKETS]:
            yield f"  {_packet(each)}"
        if total > MAX_PACKETS:
            yield f"  … and {total - MAX_PACKETS} more"


def _packet(each: Packet) -> str:
    other = "B" if each.tap == "A" else "A"
    place = f"frame {each.frame} of {each.tap}"
    if each.other_frame is not None:
        place += f" ({each.other_frame} of {other})"
    delay = f", {_span(each.delay_ns)} on the way" if each.delay_ns is not None else ""
    return f"{place}  {each.time or ''}  {show(each.src)} → {show(each.dst)}  {show(each.label)}{delay}"


def _findings(comparison: Comparison) -> Iterator[str]:
    shown = [each for each in comparison.findings if each.suppressed_by is None]
    for each in shown[:MAX_FINDINGS]:
        alone = [
            f"{name} alone: {sure or 'nothing'}" for name, sure in (("A", each.confidence_a), ("B", each.confidence_b))
        ]
        said = show(each.title if each.summary == comparison.sentence else each.summary, 2000)
        yield ""
        yield f"{each.code}  {each.severity}, {each.confidence} ({', '.join(alone)}): {said}"
        if each.fix:
            yield f"  fix: {show(each.fix, 600)}"
    if len(shown) > MAX_FINDINGS:
        yield f"… and {len(shown) - MAX_FINDINGS} more findings; --format json has them"
