"""ESP and AH flows: one per (destination, protocol, SPI), folded from columns, so memory grows with SAs, not packets.

A multicast SA has several senders that number on their own, so there the source is part of the flow.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import numpy as np
import numpy.typing as npt

from ipsecscope.capture.columns import Columns
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.capture.records import CaptureNote
from ipsecscope.timeline.ciphertext import COLUMNS, EARLY_PACKETS, Comparison, octets_of
from ipsecscope.timeline.flows import Flow, FlowFold, Int64s, Rows

MAX_FLOWS = 200_000  # flows followed in one analysis; packets of further ones are counted
MAX_LONE = 20_000  # of these, flows of a single packet; the oldest are counted only
FOLDED_ROWS = 1 << 18  # rows folded at once: some 12 MB of columns

Key = tuple[str, str, int, int]  # source where the destination is multicast, destination, kind, SPI

_KEPT = (
    "file",
    "frame",
    "time_ns",
    "kind",
    "encapsulation",
    "src",
    "dst",
    "sport",
    "dport",
    "spi",
    "seq",
    "length",
    "missing",
    "ttl",
)


class FlowTable:
    """All flows of an analysis, folded some windows of columns at a time."""

    def __init__(self) -> None:
        self._folds: dict[Key, FlowFold] = {}
        self._multicast: dict[str, bool] = {}
        self._addresses: dict[str, int] = {}
        self._pending: list[dict[str, npt.NDArray[Any]]] = []
        self._pending_rows = 0
        self._comparison = Comparison()
        self._lone: dict[Key, None] = {}  # flows of one packet, the oldest first
        self.lone = 0  # flows given up because of MAX_LONE
        self.dropped = 0  # packets of flows beyond MAX_FLOWS

    def update(self, columns: Columns) -> None:
        """Take one window; its rows are in time order."""
        bulk = (columns.kind == int(Kind.ESP)) | (columns.kind == int(Kind.AH))
        rows = np.flatnonzero(bulk & (columns.duplicate_of == 0))
        if not len(rows):
            return
        numbers = [self._addresses.setdefault(text, len(self._addresses)) for text in columns.addresses]
        places = np.array(numbers, np.int64)
        taken = {name: getattr(columns, name)[rows] for name in _KEPT}
        taken["src"], taken["dst"] = places[taken["src"]], places[taken["dst"]]
        taken |= octets_of(columns, rows)
        self._pending.append(taken)
        self._pending_rows += len(rows)
        if self._pending_rows >= FOLDED_ROWS:
            self._flush()

    def _flush(self) -> None:
        """Fold what is pending: one step per flow, so many windows at once cost little more than one."""
        if not self._pending:
            return
        joined = {name: np.concatenate([each[name] for each in self._pending]) for name in (*_KEPT, *COLUMNS)}
        self._pending, self._pending_rows = [], 0
        octets = {name: joined.pop(name) for name in COLUMNS}
        is_new = np.zeros(len(joined["seq"]), bool)
        rows = Rows(**joined, octets=octets, is_new=is_new, addresses=tuple(self._addresses))
        identity = self._identity(rows)
        groups = [(self._key(rows, int(group[0])), group) for group in self._groups(rows)]
        early = self._early(groups, len(is_new))
        seen, rows.is_new = self._comparison.take(identity, octets | {"seq": rows.seq, "frame": rows.frame}, early)
        fresh = sum(len(group) == 1 and key not in self._folds for key, group in groups)
        for key, group in groups:
            if len(group) == 1 and key not in self._folds:
                fresh -= 1
                if fresh >= MAX_LONE:  # a flood: so many new ones follow that this one would be given up at once
                    self.lone += 1
                    continue
            self._fold(rows, group, key)
            if seen and (more := seen.get(int(identity[group[0]]))) is not None and key in self._folds:
                self._folds[key].ciphertext = self._folds[key].ciphertext.joined(more)

    def _early(self, groups: list[tuple[Key, Int64s]], count: int) -> npt.NDArray[np.bool_]:
        """Which rows are among the first packets of their flow."""
        early = np.zeros(count, bool)
        for key, group in groups:
            fold = self._folds.get(key)
            more = EARLY_PACKETS - (0 if fold is None else fold.packets)
            if more > 0:
                early[group[:more]] = True
        return early

    def _identity(self, rows: Rows) -> Int64s:
        """A number for the flow of each row, the same in every batch."""
        multicast = np.array([self._is_multicast(address) for address in rows.addresses], bool)[rows.dst]
        number = (
            rows.spi.astype(np.int64) | rows.kind.astype(np.int64) << 32 | np.where(multicast, rows.src, rows.dst) << 36
        )
        return np.where(multicast, ~number, number)

    def _groups(self, rows: Rows) -> Iterator[Int64s]:
        """The rows of each (destination, protocol, SPI), and source where that is multicast, each in time order."""
        multicast = np.array([self._is_multicast(address) for address in rows.addresses], bool)
        src = np.where(multicast[rows.dst], rows.src, -1)
        what = rows.kind.astype(np.int64) << 32 | rows.spi.astype(np.int64)
        order = np.lexsort((src, rows.dst, what))
        ordered = np.stack((src[order], rows.dst[order], what[order]))
        borders = np.flatnonzero((ordered[:, 1:] != ordered[:, :-1]).any(axis=0)) + 1
        groups = np.split(order, borders)  # lexsort is stable, so each group is in the order of the rows
        groups.sort(key=lambda group: int(group[0]))
        return iter(groups)

    def _is_multicast(self, address: str) -> bool:
        known = self._multicast.get(address)
        if known is None:
            known = self._multicast[address] = ip_address(address).is_multicast
        return known

    def _key(self, columns: Rows, row: int) -> Key:
        src, dst = columns.addresses[int(columns.src[row])], columns.addresses[int(columns.dst[row])]
        return src if self._is_multicast(dst) else "", dst, int(columns.kind[row]), int(columns.spi[row])

    def _fold(self, columns: Rows, rows: Int64s, key: Key) -> None:
        fold = self._folds.get(key)
        if fold is None:
            if len(self._folds) >= MAX_FLOWS:
                self.dropped += len(rows)
                return
            first = int(rows[0])
            fold = self._folds[key] = FlowFold(
                protocol=Kind(key[2]),
                encapsulation=Encapsulation(int(columns.encapsulation[first])),
                src=columns.addresses[int(columns.src[first])],
                dst=key[1],
                spi=key[3],
                ports=(int(columns.sport[first]), int(columns.dport[first])),
                first_ns=int(columns.time_ns[first]),
                first_frame=int(columns.frame[first]),
                file=int(columns.file[first]),
                order=len(self._folds) + self.lone,
            )
        fold.update(columns, rows)
        if fold.packets > 1:
            self._lone.pop(key, None)
            return
        self._lone[key] = None
        if len(self._lone) > MAX_LONE:
            oldest = next(iter(self._lone))
            del self._lone[oldest], self._folds[oldest]
            self.lone += 1

    def notes(self) -> list[CaptureNote]:
        """Which limits were reached."""
        notes = []
        if self.lone:
            text = f"more than {MAX_LONE} flows of a single packet: {self.lone:,} further ones are counted only"
            notes.append(CaptureNote("flow.lone-limit", text))
        if self.dropped:
            text = f"more than {MAX_FLOWS} flows: {self.dropped:,} packets of further ones are counted only"
            notes.append(CaptureNote("flow.limit", text))
        return notes

    def flows(self) -> tuple[Flow, ...]:
        """The flows in order of appearance, numbered from ``flow-1``."""
        self._flush()
        folds = sorted(self._folds.values(), key=lambda fold: (fold.first_ns, fold.order))
        return tuple(fold.freeze(f"flow-{number}") for number, fold in enumerate(folds, 1))
