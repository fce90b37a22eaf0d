"""What was rewritten between two taps: the fields of paired packets that differ, grouped by what became what."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.timeline.comparison import Comparison
from ipsecscope.timeline.tap import Tap, mixed

MAX_CHANGES = 10_000  # different changes told one by one

Numbers = npt.NDArray[np.int64]
Places = tuple[int, int]  # frames, in A and in B


class Change(msgspec.Struct, frozen=True):
    """One field of packets of one direction that had one value before and has another behind.

    ``way`` is 1 from A to B, -1 from B to A. ``first`` and ``last`` are frames of A and B.
    """

    way: int
    field: str
    before: str
    after: str
    packets: int
    first: Places
    last: Places
    first_ns: int
    last_ns: int


class Field(msgspec.Struct, frozen=True):
    """A field that may be rewritten: its columns, and how its value is written.

    ``optional`` fields are -1 where unknown, and compared only where both taps know them.
    """

    name: str
    columns: tuple[str, ...]
    write: Callable[[Tap, int], str]
    optional: bool = False


def _socket(tap: Tap, address: int, port: int) -> str:
    text = tap.addresses[address]
    if not port:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


FIELDS = (
    Field("source", ("src", "sport"), lambda tap, row: _socket(tap, int(tap.src[row]), int(tap.sport[row]))),
    Field("destination", ("dst", "dport"), lambda tap, row: _socket(tap, int(tap.dst[row]), int(tap.dport[row]))),
    Field("encapsulation", ("encapsulation",), lambda tap, row: Encapsulation(int(tap.encapsulation[row])).name),
    Field("TTL", ("ttl",), lambda tap, row: str(tap.ttl[row])),
    Field("DSCP", ("dscp",), lambda tap, row: str(tap.dscp[row])),
    Field("ECN", ("ecn",), lambda tap, row: str(tap.ecn[row]), optional=True),
    Field("DF", ("df",), lambda tap, row: str(tap.df[row]), optional=True),
    Field("IP fragments", ("fragments",), lambda tap, row: str(tap.fragments[row])),
    Field("UDP checksum", ("checksum",), lambda tap, row: "present" if tap.checksum[row] else "absent", optional=True),
    Field("content", ("content", "total"), lambda _tap, _row: "", optional=True),
    Field("IP identification", ("identification",), lambda _tap, _row: "", optional=True),
)


def changes(comparison: Comparison) -> list[Change]:
    """Every change, the most frequent of a field and direction first; at most ``MAX_CHANGES``."""
    found: list[Change] = []
    for field in FIELDS:
        found += sorted(_changes(comparison, field), key=lambda each: (-each.way, -each.packets, each.first))
    return found[:MAX_CHANGES]


def damaged(comparison: Comparison) -> Numbers:
    """The pairs, by their number, whose octets are not the same at both taps."""
    field = next(each for each in FIELDS if each.name == "content")
    found: Numbers = np.flatnonzero(_differs(comparison.a, comparison.b, *comparison.pairs, field))
    return found


def _changes(comparison: Comparison, field: Field) -> Iterator[Change]:
    a, b = comparison.a, comparison.b
    rows_a, rows_b = comparison.pairs
    differs = _differs(a, b, rows_a, rows_b, field)
    if not differs.any():
        return
    rows_a, rows_b, ways = rows_a[differs], rows_b[differs], comparison.ways[differs]
    if field.name in ("content", "IP identification"):
        groups = mixed(ways + 1)
    else:
        groups = mixed(ways + 1, *(a_column(a, name)[rows_a] for name in field.columns), *_values(b, rows_b, field))
    order = np.argsort(groups, kind="stable")
    starts = np.flatnonzero(np.diff(groups[order], prepend=groups[order][:1] ^ np.uint64(1)))
    for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(order)], strict=True):
        first, last = int(order[start]), int(order[stop - 1])
        way, one, two = int(ways[first]), int(rows_a[first]), int(rows_b[first])
        before, after = field.write(a, one), field.write(b, two)
        yield Change(
            way=way,
            field=field.name,
            before=before if way > 0 else after,
            after=after if way > 0 else before,
            packets=stop - start,
            first=(int(a.frame[one]), int(b.frame[two])),
            last=(int(a.frame[rows_a[last]]), int(b.frame[rows_b[last]])),
            first_ns=int(a.time_ns[one]),
            last_ns=int(a.time_ns[rows_a[last]]),
        )


def a_column(tap: Tap, name: str) -> Numbers:
    """One column of a tap by its name."""
    column: Numbers = getattr(tap, name)
    return column


def _values(tap: Tap, rows: Numbers, field: Field) -> list[Numbers]:
    return [a_column(tap, name)[rows] for name in field.columns]


def _differs(a: Tap, b: Tap, rows_a: Numbers, rows_b: Numbers, field: Field) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(rows_a), bool)
    comparable = np.isin(a.kind[rows_a], (int(Kind.ESP), int(Kind.AH))) | (field.name != "content")
    for name in field.columns:
        one, two = a_column(a, name)[rows_a], a_column(b, name)[rows_b]
        if name in ("src", "dst"):
            numbers = {address: number for number, address in enumerate(b.addresses)}
            two_of_one = np.array([numbers.get(address, -1) for address in a.addresses], np.int64)
            found |= two_of_one[one] != two
        elif name == "content":
            found |= (one != two) & (one != 0) & (two != 0) & comparable
        elif field.optional:
            found |= (one != two) & (one >= 0) & (two >= 0) & comparable
        else:
            found |= one != two
    return found
