"""The clock of one capture against that of another: offset and drift, from packets that both hold.

A packet that passes A first is seen by B later by its delay, one that passes B first earlier. The least difference one
way and the greatest the other way bound the offset; their middle is taken, which is right when the shortest way takes as
long in both directions. What was delayed lies above or below these lines and does not count.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

NANOSECONDS = 10**9
BINS = 64  # stretches of time, each of which gives the fit its fastest packet
MIN_BINS = 4
MIN_SPAN_NS = 5 * NANOSECONDS  # below it a drift is not looked for
WORST_DRIFT = 1e-3  # a clock that is worse is broken, or the packets are not the same
DRIFT_FLOOR_NS = 20_000.0  # what a drift must amount to over the whole span before it is believed
LOOSE_NS = NANOSECONDS // 2  # around the middle, within which a difference of times is believed at all

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]
Basis = Literal["both directions", "one direction", "none"]


class ClockFit(msgspec.Struct, frozen=True):
    """B's clock reads ``time + offset_ns + drift · (time - origin_ns)`` when A's reads ``time``.

    ``drift`` is a fraction (1e-6 is one microsecond a second). ``uncertainty_ns`` is half the shortest round trip: by
    that much the offset may be wrong where the two ways differ; None where only one direction was seen, so that offset
    and shortest delay cannot be told apart. ``pairs`` are the packets it was taken from.
    """

    offset_ns: int = 0
    drift: float = 0.0
    origin_ns: int = 0
    uncertainty_ns: int | None = None
    basis: Basis = "none"
    pairs: int = 0
    delay_ns: tuple[int, int] = (0, 0)  # the usual one, from A to B and from B to A

    def to_b(self, time_ns: Numbers) -> Numbers:
        """Times of A's clock as B's clock has them."""
        later: Numbers = time_ns + self.offset_ns + np.rint((time_ns - self.origin_ns) * self.drift).astype(np.int64)
        return later

    def to_a(self, time_ns: Numbers) -> Numbers:
        """Times of B's clock as A's clock has them."""
        since = time_ns - self.offset_ns - self.origin_ns
        lost: Numbers = np.rint(since * (self.drift / (1 + self.drift))).astype(np.int64)
        return self.origin_ns + since - lost


def fit(time_a: Numbers, time_b: Numbers, direction: Numbers) -> ClockFit:
    """Fit the clocks.

    Args:
        time_a: when A saw each packet, nanoseconds.
        time_b: when B saw the same.
        direction: 1 for packets from A to B, -1 from B to A, 0 where it is not known (taken for 1).
    """
    if not len(time_a):
        return ClockFit()
    origin, base = int(time_a.min()), int(np.median(time_b - time_a))
    apart = (time_b - time_a - base).astype(np.float64)
    since = (time_a - origin).astype(np.float64)
    ways = np.where(direction < 0, -1, 1)
    believed = _believed(apart, since)
    apart, since, ways = apart[believed], since[believed], ways[believed]
    envelopes = [_envelope(since[ways == way], way * apart[ways == way]) for way in (1, -1)]
    drift = _drift([(x, way * y) for way, (x, y) in zip((1, -1), envelopes, strict=True)], float(since.max()))
    flat = apart - drift * since
    forth, back = flat[ways > 0], flat[ways < 0]
    offset, uncertainty, basis = _offset(forth, back)
    usual = (_median(forth - offset), _median(offset - back))
    return ClockFit(base + round(offset), drift, origin, uncertainty, basis, len(apart), usual)


def _believed(apart: Floats, since: Floats) -> npt.NDArray[np.bool_]:
    """Leave out pairs that cannot be the same packet: far from the middle, even for a bad clock."""
    limit = LOOSE_NS + WORST_DRIFT * float(since.max()) + 10 * _spread(apart)
    kept: npt.NDArray[np.bool_] = np.abs(apart - np.median(apart)) <= limit
    return kept


def _spread(values: Floats) -> float:
    """The median distance from the median."""
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _median(values: Floats) -> int:
    return round(float(np.median(values))) if len(values) else 0


def _envelope(since: Floats, apart: Floats) -> tuple[Floats, Floats]:
    """The fastest packet of each stretch of time."""
    if not len(since):
        return since, apart
    places = np.minimum((since - since.min()) * (BINS / max(float(np.ptp(since)), 1.0)), BINS - 1).astype(np.int64)
    order = np.lexsort((apart, places))
    firsts = order[np.flatnonzero(np.diff(places[order], prepend=-1))]
    return since[firsts], apart[firsts]


def _drift(envelopes: list[tuple[Floats, Floats]], span: float) -> float:
    """The middle of all slopes between fastest packets (Theil and Sen), where it stands out of the scatter."""
    if span < MIN_SPAN_NS:
        return 0.0
    slopes, residues = [], []
    for x, y in envelopes:
        if len(x) >= MIN_BINS:
            one, two = np.triu_indices(len(x), 1)
            slopes.append((y[two] - y[one]) / (x[two] - x[one]))
    if not slopes:
        return 0.0
    slope = float(np.median(np.concatenate(slopes)))
    for x, y in envelopes:
        if len(x) >= MIN_BINS:
            residues.append(_spread(y - slope * x))
    if abs(slope) > WORST_DRIFT or abs(slope) * span < DRIFT_FLOOR_NS + 4 * min(residues):
        return 0.0
    return slope


def _offset(forth: Floats, back: Floats) -> tuple[float, int | None, Basis]:
    least = float(forth.min()) if len(forth) else None
    most = float(back.max()) if len(back) else None
    if least is not None and most is not None:
        return (least + most) / 2, round(abs(least - most) / 2), "both directions"
    return (least if least is not None else most or 0.0), None, "one direction"
