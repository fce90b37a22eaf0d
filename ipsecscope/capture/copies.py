"""Copies of ESP, AH and keepalives in columns: what ``duplicates.py`` says of one packet, for a window at a time.

Equal packets have equal SPIs and sequence numbers; only rows that share theirs with another are looked at.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Kind
from ipsecscope.capture.duplicates import MAX_DISTANCE, Copy, Duplicates, Sighting
from ipsecscope.capture.records import Records

if TYPE_CHECKING:
    from ipsecscope.capture.columns import Columns

MAX_FILES = 64  # files read at a time whose last packets are remembered

Keys = npt.NDArray[np.uint64]
Indices = npt.NDArray[np.int64]
Seen = tuple[Copy, Sighting]


class _Rows:
    """Rows of one window, of which a later one may hold copies."""

    def __init__(self, columns: Columns, records: Records, keys: Keys, rows: Indices) -> None:
        self.columns = columns
        self.records = records
        self.keys = keys
        self.rows = rows

    def since(self, frame: int) -> _Rows:
        """Only those of record ``frame`` and later ones."""
        kept = self.columns.frame[self.rows] >= frame
        return _Rows(self.columns, self.records, self.keys[kept], self.rows[kept])

    def sharing(self, shared: Keys) -> Indices:
        """The rows whose keys are among ``shared``, leaving out packets that came in pieces."""
        rows = self.rows[np.isin(self.keys, shared)]
        return rows[self.columns.packet_length[rows] > 0]

    def seen(self, row: int) -> Seen:
        """What ``Duplicates`` wants to know of a row."""
        columns, records = self.columns, self.records
        frame, stop = int(columns.frame[row]), int(columns.packet_offset[row])
        link = b"" if stop < 0 else records.buffer[int(records.offset[frame - records.first_number]) : stop]
        copy = (int(columns.file[row]), int(columns.kind[row]), columns.packet(row))
        return copy, Sighting(frame, int(columns.time_ns[row]), link)


class _Packed:
    """The same without the window: the packets themselves, for a file that is read beside others."""

    def __init__(self, rows: _Rows) -> None:
        chosen = rows.columns.packet_length[rows.rows] > 0
        chosen &= rows.columns.duplicate_of[rows.rows] == 0
        self.keys = rows.keys[chosen]
        self.seen = [rows.seen(row) for row in rows.rows[chosen].tolist()]

    def since(self, frame: int) -> _Packed:
        """Only those of record ``frame`` and later ones."""
        kept = [index for index, (_, sighting) in enumerate(self.seen) if sighting.frame >= frame]
        self.keys = self.keys[kept]
        self.seen = [self.seen[index] for index in kept]
        return self


class Copies:
    """Marks copies in column after column."""

    def __init__(self) -> None:
        self._tails: OrderedDict[int, list[_Rows | _Packed]] = OrderedDict()

    def mark(self, columns: Columns, duplicates: Duplicates, records: Records) -> None:
        """Fill ``columns.duplicate_of``."""
        if not len(columns):
            return
        self._pack_others(records.file)
        tails = self._tails.setdefault(records.file, [])
        self._tails.move_to_end(records.file)
        here = _Rows(columns, records, _keys(columns), np.arange(len(columns)))
        ordered = np.sort(np.concatenate([*(tail.keys for tail in tails), here.keys]))
        shared = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(shared):
            _remind(tails, shared, duplicates)
            for row in here.sharing(shared).tolist():
                columns.duplicate_of[row] = duplicates.original(*here.seen(row)) or 0
        first = int(columns.frame.max()) - MAX_DISTANCE
        tails[:] = [tail for tail in (each.since(first) for each in [*tails, here]) if len(tail.keys)]

    def _pack_others(self, file: int) -> None:
        """Let go of the windows of the file that was read before this one."""
        if self._tails and next(reversed(self._tails)) != file:
            tails = next(reversed(self._tails.values()))
            tails[:] = [_Packed(tail) if isinstance(tail, _Rows) else tail for tail in tails]
            if len(self._tails) >= MAX_FILES:
                self._tails.popitem(last=False)


def _keys(columns: Columns) -> Keys:
    """A number that equal packets share: SPI and sequence number, or the ports of a keepalive."""
    high, low = columns.spi.astype(np.uint64), columns.seq.astype(np.uint64)
    keepalive = columns.kind == int(Kind.KEEPALIVE)
    if keepalive.any():
        high[keepalive] = columns.sport[keepalive]
        low[keepalive] = columns.dport[keepalive]
    return (high << np.uint64(32)) | low


def _remind(tails: list[_Rows | _Packed], shared: Keys, duplicates: Duplicates) -> None:
    """Tell ``duplicates`` of earlier originals that were not worth telling when they came."""
    for tail in tails:
        if isinstance(tail, _Packed):
            for index in np.flatnonzero(np.isin(tail.keys, shared)).tolist():
                duplicates.original(*tail.seen[index])
        else:
            rows = tail.sharing(shared)
            for row in rows[tail.columns.duplicate_of[rows] == 0].tolist():
                duplicates.original(*tail.seen(row))
