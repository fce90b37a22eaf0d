"""A comparison as its document: the one adapter between what two taps show and what is written of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ipsecscope import __version__
from ipsecscope.diagnose.tap_scene import LETTERS, TRAFFIC_NAMES, WAYS, Numbers, Scene
from ipsecscope.diagnose.two_taps import Compared, TapFinding
from ipsecscope.reports import comparison as document
from ipsecscope.reports.assemble import capture_file, name_of, note_of
from ipsecscope.reports.clock import Clock
from ipsecscope.reports.document import Generator
from ipsecscope.timeline.comparison import Comparison, State
from ipsecscope.timeline.tap import Tap
from ipsecscope.timeline.tap_changes import changes
from ipsecscope.timeline.tap_rows import Traffic

MAX_LISTED = 200  # packets listed for each thing that became of them
MAX_LISTED_CHANGES = 200
MAX_HOSTS = 8  # hosts named for a direction
LATE_NS = 50_000_000  # beyond the usual delay, from which on a packet counts as delayed
SPREADS = 10  # … and beyond this many times the usual deviation

LISTED = (
    *(State.LOST, State.MISSING, State.INCOMPLETE, State.UNSEEN),
    *(State.DUPLICATED, State.REPLAYED, State.INJECTED),
)


def assemble_comparison(compared: Compared) -> document.Comparison:
    """Write a comparison as its document."""
    comparison = compared.comparison
    clocks = [Clock(comparison.tap(side).resolution_ns) for side in (0, 1)]
    packets, not_listed = _packets(compared.scene, clocks)
    headline = next((each for each in compared.findings if each.headline and each.suppressed_by is None), None)
    first, last = _overlap(comparison)
    return document.Comparison(
        schema=document.SCHEMA,
        generator=Generator(name="ipsecscope", version=__version__),
        sentence=sentence(comparison, headline),
        a=_tap(comparison.a, compared.interfaces[0], clocks[0]),
        b=_tap(comparison.b, compared.interfaces[1], clocks[1]),
        clock=_clock(comparison),
        first_time=clocks[0](first),
        last_time=clocks[0](last),
        throughout=comparison.throughout,
        paired=len(comparison.pairs[0]),
        directions=[_direction(compared.scene, way) for way in WAYS],
        findings=[_finding(each) for each in compared.findings],
        headline=None if headline is None else document.Headline(headline.code, headline.summary),
        changes=list(_changes(comparison)),
        packets=packets,
        not_listed=not_listed,
        outside={
            letter: int(np.count_nonzero(comparison.states(side) == int(State.OUTSIDE)))
            for side, letter in enumerate(LETTERS)
        },
    )


def sentence(comparison: Comparison, headline: TapFinding | None) -> str:
    """What stands between the taps, for somebody who reads one line."""
    if headline is not None:
        return headline.summary
    paired = len(comparison.pairs[0])
    if not len(comparison.a) or not len(comparison.b):
        empty = (
            "A and B hold"
            if not len(comparison.a) and not len(comparison.b)
            else "A holds"
            if not len(comparison.a)
            else "B holds"
        )
        return f"{empty} no packet of IPsec."
    if not paired:
        return "The two captures have no packet of IPsec in common."
    gone = sum(comparison.count(way, state) for way in WAYS for state in (State.LOST, State.INCOMPLETE))
    if gone:
        return f"{paired} packets pass both taps, {gone} {'is' if gone == 1 else 'are'} lost between them."
    missing = sum(comparison.count(way, State.MISSING) for way in WAYS)
    rest = f"; of {missing} more nothing proves that the other capture was recording" if missing else ""
    outside = any((comparison.states(side) == int(State.OUTSIDE)).any() for side in (0, 1))
    during = " of the time that both captures cover" if outside else ""
    return f"All {paired} packets{during} pass both taps{rest}."


def _overlap(comparison: Comparison) -> tuple[int | None, int | None]:
    """From when to when both were recording, by A's clock; nothing where they share no packet."""
    a, b = comparison.a, comparison.b
    if (
        not len(comparison.pairs[0])
        or a.first_ns is None
        or b.first_ns is None
        or a.last_ns is None
        or b.last_ns is None
    ):
        return None, None
    first, last = comparison.clock.to_a(np.array([b.first_ns, b.last_ns])).tolist()
    return max(a.first_ns, first), min(a.last_ns, last)


def _tap(tap: Tap, interface: str | None, clock: Clock) -> document.Tap:
    return document.Tap(
        name=name_of(tap.name),
        interface=interface,
        files=[capture_file(facts, []) for facts in tap.files],
        frames=tap.frames,
        packets=len(tap),
        copies=int(np.count_nonzero(tap.is_copy)),
        first_time=clock(tap.first_ns),
        last_time=clock(tap.last_ns),
        notes=[note_of(each) for each in tap.notes],
    )


def _clock(comparison: Comparison) -> document.ClockFit:
    clock = comparison.clock
    ppm = round(clock.drift * 1e6, 3) + 0.0
    return document.ClockFit(clock.offset_ns, ppm, clock.uncertainty_ns, clock.basis, clock.pairs)


def _direction(scene: Scene, way: int) -> document.Direction:
    comparison = scene.comparison
    side = comparison.sender_side(way)
    tap = comparison.tap(side)
    mine = comparison.sent(way)
    hosts = list(dict.fromkeys(tap.addresses[number] for number in tap.src[mine][:10_000].tolist()))
    delays = comparison.delays_ns[comparison.ways == way]
    return document.Direction(
        from_tap=LETTERS[side],
        to_tap=LETTERS[1 - side],
        hosts=hosts[:MAX_HOSTS],
        traffic=[each for traffic in Traffic if (each := _traffic(scene, way, traffic)) is not None],
        delay=_delay(delays) if len(delays) else None,
        reordered=int(np.count_nonzero(comparison.ways[comparison.late] == way)),
        delayed=len(_delayed(comparison, way)),
    )


def _delay(delays: Numbers) -> document.Delay:
    ordered = np.sort(delays)
    usual, p95, p99 = (int(ordered[min(len(ordered) - 1, len(ordered) * share // 100)]) for share in (50, 95, 99))
    return document.Delay(int(ordered[0]), usual, p95, p99, int(ordered[-1]))


def _traffic(scene: Scene, way: int, traffic: Traffic) -> document.TrafficCount | None:
    comparison, leg = scene.comparison, scene.legs(way).get(traffic)
    behind = {
        state: comparison.count(way, state, traffic)
        for state in (State.UNSEEN, State.DUPLICATED, State.REPLAYED, State.INJECTED)
    }
    if leg is None and not any(behind.values()):
        return None
    counts = (0, 0, 0, 0) if leg is None else tuple(map(len, (leg.arrived, leg.lost, leg.missing, leg.incomplete)))
    arrived = leg.tap.size[leg.arrived] if leg is not None else np.zeros(0, np.int64)
    lost = leg.tap.size[leg.gone] if leg is not None else np.zeros(0, np.int64)
    return document.TrafficCount(
        traffic=TRAFFIC_NAMES[traffic],
        sent=sum(counts),
        arrived=counts[0],
        lost=counts[1],
        missing=counts[2],
        incomplete=counts[3],
        unseen=behind[State.UNSEEN],
        duplicated=behind[State.DUPLICATED],
        replayed=behind[State.REPLAYED],
        injected=behind[State.INJECTED],
        largest_arrived=int(arrived.max()) if len(arrived) else None,
        smallest_lost=int(lost.min()) if len(lost) else None,
    )


def _delayed(comparison: Comparison, way: int) -> Numbers:
    """The pairs of a direction that took much longer than usual, by their number."""
    mine = np.flatnonzero(comparison.ways == way)
    delays = comparison.delays_ns[mine]
    if not len(delays):
        return mine
    usual = np.median(delays)
    limit = usual + LATE_NS + SPREADS * np.median(np.abs(delays - usual))
    late: Numbers = mine[delays > limit]
    return late


def _packets(scene: Scene, clocks: list[Clock]) -> tuple[list[document.Packet], dict[str, int]]:
    """The packets that did not simply pass, first those that are gone; and how many of each kind are not listed."""
    comparison = scene.comparison
    found: list[document.Packet] = []
    not_listed: dict[str, int] = {}
    for state in LISTED:
        places = [
            (side, int(row))
            for side in (0, 1)
            for row in np.flatnonzero(comparison.states(side) == int(state))[: MAX_LISTED + 1]
        ]
        total = sum(int(np.count_nonzero(comparison.states(side) == int(state))) for side in (0, 1))
        name = state.name.lower()
        for side, row in places[:MAX_LISTED]:
            remains = comparison.remains[side].get(row)
            other = None if remains is None else int(comparison.tap(1 - side).frame[remains])
            found.append(_packet(scene, clocks, name, side, row, other_frame=other))
        if total > MAX_LISTED:
            not_listed[name] = total - MAX_LISTED
    delayed = np.sort(np.concatenate([_delayed(comparison, way) for way in WAYS]))
    for name, pairs in (("reordered", comparison.late), ("delayed", delayed)):
        for number in pairs[:MAX_LISTED].tolist():
            side = comparison.sender_side(int(comparison.ways[number]))
            row, partner = (int(rows[number]) for rows in (comparison.pairs[side], comparison.pairs[1 - side]))
            other, delay = int(comparison.tap(1 - side).frame[partner]), int(comparison.delays_ns[number])
            found.append(_packet(scene, clocks, name, side, row, other_frame=other, delay_ns=delay))
        if len(pairs) > MAX_LISTED:
            not_listed[name] = len(pairs) - MAX_LISTED
    return found, not_listed


def _packet(
    scene: Scene,
    clocks: list[Clock],
    what: str,
    side: int,
    row: int,
    *,
    other_frame: int | None = None,
    delay_ns: int | None = None,
) -> document.Packet:
    tap = scene.tap(side)
    return document.Packet(
        what=what,
        tap=LETTERS[side],
        frame=int(tap.frame[row]),
        file=int(tap.file[row]),
        time=clocks[side](int(tap.time_ns[row])),
        src=tap.addresses[int(tap.src[row])],
        dst=tap.addresses[int(tap.dst[row])],
        label=scene.label(side, row),
        octets=int(tap.size[row]),
        other_frame=other_frame,
        delay_ns=delay_ns,
    )


def _changes(comparison: Comparison) -> Iterator[document.Change]:
    for each in changes(comparison)[:MAX_LISTED_CHANGES]:
        side = comparison.sender_side(each.way)
        yield document.Change(
            field=each.field,
            from_tap=LETTERS[side],
            to_tap=LETTERS[1 - side],
            before=each.before,
            after=each.after,
            packets=each.packets,
            first_frames=list(each.first),
            last_frames=list(each.last),
        )


def _finding(each: TapFinding) -> document.Finding:
    return document.Finding(
        code=each.code,
        slug=each.slug,
        severity=each.severity,
        confidence=each.confidence,
        confidence_a=each.alone[0],
        confidence_b=each.alone[1],
        raised=each.is_raised,
        title=each.title,
        summary=each.summary,
        evidence=[document.Evidence(place.tap, place.frame, place.file, place.value) for place in each.evidence],
        causes=list(each.causes),
        confirm=each.confirm,
        fix=each.fix,
        config=dict(each.config),
        references=list(each.references),
        suppressed_by=each.suppressed_by,
    )
