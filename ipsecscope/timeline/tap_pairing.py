"""Which packet of one capture is which packet of another.

Packets that both have once are the same. They say which hosts are on whose side and how the clocks differ; with that,
packets that are there several times (retransmissions, duplicates, replays) and keepalives, which are all alike, find
the copy that is nearest in time.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Kind
from ipsecscope.timeline.tap import Tap, mixed
from ipsecscope.timeline.tap_clock import NANOSECONDS, ClockFit, fit

NEAR_NS = 2 * NANOSECONDS  # between copies of the same packet, once the clocks are known, beyond what delays explain
ORDER_NS = 5_000_000  # by which copies may be off in their order, beyond twice what the nearest ones are off
TTL_WEIGHT = 4.0  # of a changed TTL against a difference of times, when it is asked who stands where
CLIP_NS = NANOSECONDS  # a difference of times counts for no more than this when it is asked who stands where

Numbers = npt.NDArray[np.int64]
Keys = npt.NDArray[np.uint64]
Signs = npt.NDArray[np.int8]


class Pairing(msgspec.Struct):
    """For each packet of A its place in B and the other way round, -1 for none; and what follows from that.

    ``way_a`` and ``way_b`` are 1 for packets on their way from A to B, -1 from B to A, 0 where nothing tells.
    ``is_assumed`` says that no packet told which hosts are on whose side.
    """

    in_b: Numbers
    in_a: Numbers
    way_a: Signs
    way_b: Signs
    clock: ClockFit
    is_assumed: bool


def pair(a: Tap, b: Tap) -> Pairing:
    """Pair the packets of two taps."""
    in_b, in_a = np.full(len(a), -1, np.int64), np.full(len(b), -1, np.int64)
    rows_a, rows_b = _comparable(a), _comparable(b)
    key_a, key_b = _refined(a, b, rows_a, rows_b)
    once_a, once_b = _once(key_a, key_b)
    first = (rows_a[once_a], rows_b[once_b])
    several = list(_several(key_a, key_b, rows_a, rows_b))
    seed = first if len(first[0]) else _in_order(several)
    sides = _Sides(a, b, *seed)
    way_a, way_b = sides.ways()
    clock = fit(a.time_ns[seed[0]], b.time_ns[seed[1]], way_a[seed[0]].astype(np.int64))
    in_b[first[0]], in_a[first[1]] = first[1], first[0]
    expected = clock.to_b(a.time_ns) + _delays(clock, way_a)
    for group_a, group_b in several:
        _join(in_b, in_a, _copies(expected, b.time_ns, group_a, group_b))
    if clock.basis == "one direction":  # what is there several times may go the other way
        clock = _fit_again(a, b, in_b, way_a)
        expected = clock.to_b(a.time_ns) + _delays(clock, way_a)
    for group_a, group_b in _keepalives(a, b, in_b):
        _join(in_b, in_a, _nearest(expected, b.time_ns, group_a, group_b))
    return Pairing(in_b, in_a, way_a, way_b, clock, sides.is_assumed)


def _fit_again(a: Tap, b: Tap, in_b: Numbers, ways: Signs) -> ClockFit:
    """The clocks by all pairs that there are."""
    rows = np.flatnonzero(in_b >= 0)
    return fit(a.time_ns[rows], b.time_ns[in_b[rows]], ways[rows].astype(np.int64))


def _delays(clock: ClockFit, ways: Signs) -> Numbers:
    """What the way between the taps adds to the time of each packet, on B's clock."""
    forth, back = clock.delay_ns
    return np.where(ways < 0, -back, forth).astype(np.int64)


def _comparable(tap: Tap) -> Numbers:
    """What has an identity of its own: no keepalives, no parts of packets, no copies that the recorder made."""
    left_out = np.isin(tap.kind, (int(Kind.KEEPALIVE), int(Kind.FRAGMENT)))
    return np.flatnonzero(~left_out & ~tap.is_copy)


def _refined(a: Tap, b: Tap, rows_a: Numbers, rows_b: Numbers) -> tuple[Keys, Keys]:
    """Keys that take the content in where a key alone is not enough, and all that share it have a content."""
    keys = a.key[rows_a], b.key[rows_b]
    contents = a.content[rows_a], b.content[rows_b]
    shared: list[Keys] = []
    for each in keys:
        distinct, counts = np.unique(each, return_counts=True)
        shared.append(distinct[counts > 1])
    blind = np.concatenate([key[content == 0] for key, content in zip(keys, contents, strict=True)])
    telling = np.setdiff1d(np.concatenate(shared), blind)
    if not len(telling):
        return keys
    found = []
    for key, content in zip(keys, contents, strict=True):
        chosen = np.isin(key, telling)
        fresh = key.copy()
        fresh[chosen] = mixed(key[chosen], content[chosen])
        found.append(fresh)
    return found[0], found[1]


def _once(key_a: Keys, key_b: Keys) -> tuple[Numbers, Numbers]:
    """The places of keys that both sides have exactly once."""
    one, at_a, count_a = np.unique(key_a, return_index=True, return_counts=True)
    two, at_b, count_b = np.unique(key_b, return_index=True, return_counts=True)
    _, in_one, in_two = np.intersect1d(one, two, assume_unique=True, return_indices=True)
    single = (count_a[in_one] == 1) & (count_b[in_two] == 1)
    return at_a[in_one[single]], at_b[in_two[single]]


def _several(key_a: Keys, key_b: Keys, rows_a: Numbers, rows_b: Numbers) -> Iterator[tuple[list[int], list[int]]]:
    """The rows of each key that both sides have and one of them more than once, in the order of time."""
    groups_a, groups_b = _groups(key_a), _groups(key_b)
    _, in_a, in_b = np.intersect1d(groups_a[0], groups_b[0], assume_unique=True, return_indices=True)
    sizes = (groups_a[2][in_a] > 1) | (groups_b[2][in_b] > 1)
    for one, two in zip(in_a[sizes].tolist(), in_b[sizes].tolist(), strict=True):
        yield _rows_of(groups_a, one, rows_a), _rows_of(groups_b, two, rows_b)


Groups = tuple[Keys, Numbers, Numbers, Numbers]  # distinct keys, where each starts, how many there are, the order


def _groups(keys: Keys) -> Groups:
    order = np.argsort(keys, kind="stable")
    distinct, starts, counts = np.unique(keys[order], return_index=True, return_counts=True)
    return distinct, starts, counts, order


def _rows_of(groups: Groups, number: int, rows: Numbers) -> list[int]:
    start = int(groups[1][number])
    found: list[int] = rows[groups[3][start : start + int(groups[2][number])]].tolist()
    return found


def _in_order(several: list[tuple[list[int], list[int]]]) -> tuple[Numbers, Numbers]:
    """The first of each, where nothing better is to be had."""
    return np.array([one[0] for one, _ in several], np.int64), np.array([two[0] for _, two in several], np.int64)


def _join(in_b: Numbers, in_a: Numbers, pairs: list[tuple[int, int]]) -> None:
    for one, two in pairs:
        in_b[one], in_a[two] = two, one


def _copies(expected: Numbers, time_b: Numbers, rows_a: list[int], rows_b: list[int]) -> list[tuple[int, int]]:
    """Pair the copies of one packet: one by one where both have as many and time does not speak against it."""
    found = _nearest(expected, time_b, rows_a, rows_b)
    if len(rows_a) != len(rows_b) or len(found) == len(rows_a):
        return found
    in_order = list(zip(rows_a, rows_b, strict=True))
    off, off_nearest = (
        max((abs(int(time_b[two] - expected[one])) for one, two in pairs), default=0) for pairs in (in_order, found)
    )
    return in_order if off <= min(2 * off_nearest + ORDER_NS, NEAR_NS) else found


def _nearest(expected: Numbers, time_b: Numbers, rows_a: list[int], rows_b: list[int]) -> list[tuple[int, int]]:
    """Pair rows in the order of time, each with the one that comes nearest to when it is expected."""
    ones, twos = expected[rows_a].tolist(), time_b[rows_b].tolist()
    found, one, two = [], 0, 0
    while one < len(ones) and two < len(twos):
        apart = abs(twos[two] - ones[one])
        if one + 1 < len(ones) and abs(twos[two] - ones[one + 1]) < apart:
            one += 1
        elif two + 1 < len(twos) and abs(twos[two + 1] - ones[one]) < apart:
            two += 1
        elif apart <= NEAR_NS:
            found.append((rows_a[one], rows_b[two]))
            one, two = one + 1, two + 1
        elif twos[two] < ones[one]:
            two += 1
        else:
            one += 1
    return found


# -- keepalives --------------------------------------------------------------------------------------------------------


def _ends(tap: Tap, rows: Numbers) -> list[tuple[str, int, str, int]]:
    names = tap.addresses
    columns = (tap.src[rows], tap.sport[rows], tap.dst[rows], tap.dport[rows])
    return [
        (names[s], sport, names[d], dport) for s, sport, d, dport in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _keepalives(a: Tap, b: Tap, in_b: Numbers) -> Iterator[tuple[list[int], list[int]]]:
    """Keepalives of the same conversation, as the packets around them were translated."""
    rows_a, rows_b = (np.flatnonzero((tap.kind == int(Kind.KEEPALIVE)) & ~tap.is_copy) for tap in (a, b))
    if not len(rows_a) or not len(rows_b):
        return
    paired = np.flatnonzero((in_b >= 0) & (a.sport > 0))
    keys = mixed(a.src[paired], a.sport[paired], a.dst[paired], a.dport[paired], b.sport[in_b[paired]])
    paired = paired[np.unique(keys, return_index=True)[1]]
    translated: dict[tuple[str, int, str, int], set[tuple[str, int, str, int]]] = {}
    for here, there in zip(_ends(a, paired), _ends(b, in_b[paired]), strict=True):
        translated.setdefault(here, set()).add(there)
    waiting: dict[tuple[str, int, str, int], list[int]] = {}
    for row, there in zip(rows_b.tolist(), _ends(b, rows_b), strict=True):
        waiting.setdefault(there, []).append(row)
    ours: dict[tuple[str, int, str, int], list[int]] = {}
    for row, here in zip(rows_a.tolist(), _ends(a, rows_a), strict=True):
        ours.setdefault(here, []).append(row)
    for here, rows in ours.items():
        theirs = sorted(row for there in sorted(translated.get(here, {here})) for row in waiting.pop(there, []))
        if theirs:
            yield rows, theirs


# -- who stands where ----------------------------------------------------------------------------------------------------


class _Sides:
    """For each host on whose side it is, as the TTLs and times of paired packets tell: positive for A's."""

    def __init__(self, a: Tap, b: Tap, rows_a: Numbers, rows_b: Numbers) -> None:
        self.a, self.b = a, b
        hosts = len(a.addresses)
        src, dst = a.src[rows_a], a.dst[rows_a]
        votes = self._time_votes(src, dst, b.time_ns[rows_b] - a.time_ns[rows_a])
        hops = np.sign(a.ttl[rows_a] - b.ttl[rows_b]) * ((a.ttl[rows_a] > 0) & (b.ttl[rows_b] > 0))
        votes = votes + TTL_WEIGHT * hops
        self.is_assumed = not votes.any()
        if self.is_assumed:
            votes = np.ones(len(src))
        self.of_a = np.zeros(hosts)
        np.add.at(self.of_a, src, votes)
        np.add.at(self.of_a, dst, -votes)
        self.of_b = np.zeros(len(b.addresses))
        np.add.at(self.of_b, b.src[rows_b], votes)
        np.add.at(self.of_b, b.dst[rows_b], -votes)

    @staticmethod
    def _time_votes(src: Numbers, dst: Numbers, apart: Numbers) -> npt.NDArray[np.float64]:
        """1 for packets whose hosts exchange packets both ways and whose way is the one that B sees later; -1 else."""
        if not len(src):
            return np.zeros(0)
        clipped = np.clip(apart - np.int64(np.median(apart)), -CLIP_NS, CLIP_NS).astype(np.float64)
        low, high = np.minimum(src, dst), np.maximum(src, dst)
        upwards = src < dst
        _, place = np.unique(low * (int(high.max()) + 1) + high, return_inverse=True)
        means = []
        for chosen in (upwards, ~upwards):
            counts = np.bincount(place[chosen], minlength=int(place.max()) + 1)
            sums = np.bincount(place[chosen], clipped[chosen], minlength=int(place.max()) + 1)
            means.append(np.where(counts > 0, sums / np.maximum(counts, 1), np.nan))
        later: npt.NDArray[np.float64] = np.nan_to_num(np.sign(means[0] - means[1]))[place]
        later[~upwards] *= -1
        return later

    def ways(self) -> tuple[Signs, Signs]:
        """The direction of every packet of A and of B."""
        return _ways(self.a, self.of_a), _ways(self.b, self.of_b)


def _ways(tap: Tap, sides: npt.NDArray[np.float64]) -> Signs:
    if not len(tap):
        return np.zeros(0, np.int8)
    from_side, to_side = np.sign(sides[tap.src]), np.sign(sides[tap.dst])
    return np.where(from_side != 0, from_side, -to_side).astype(np.int8)
