"""Copies of ESP, AH and keepalives in columns: what ``duplicates.py`` says of one packet, for a window at a time.

Equal packets have equal SPIs and sequence numbers; only rows that share theirs with another are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Kind
from ipsecscope.capture.duplicates import MAX_DISTANCE, Duplicates, Sighting
from ipsecscope.capture.records import Records

if TYPE_CHECKING:
    from ipsecscope.capture.columns import Columns

Keys = npt.NDArray[np.uint64]


class _Tail:
    """The last rows of a window, of which the next one may hold copies."""

    def __init__(self, columns: Columns, links: _Links, keys: Keys, rows: npt.NDArray[np.int64]) -> None:
        self.columns = columns
        self.links = links
        self.keys = keys
        self.rows = rows

    def shortened(self, first: int) -> _Tail:
        """Without the rows before record ``first``."""
        kept = self.columns.frame[self.rows] >= first
        return _Tail(self.columns, self.links, self.keys[kept], self.rows[kept])


class _Links:
    """What stands in front of the IP packets of a window."""

    def __init__(self, records: Records) -> None:
        self._offset = records.offset
        self._first = records.first_number
        self._buffer = records.buffer

    def of(self, columns: Columns, row: int) -> bytes:
        """The octets from the start of the record to the IP header; nothing for a packet in pieces."""
        stop = int(columns.packet_offset[row])
        if stop < 0:
            return b""
        return self._buffer[int(self._offset[int(columns.frame[row]) - self._first]) : stop]


class Copies:
    """Marks copies in column after column."""

    def __init__(self) -> None:
        self._tails: dict[int, list[_Tail]] = {}

    def mark(self, columns: Columns, duplicates: Duplicates, records: Records) -> None:
        """Fill ``columns.duplicate_of``."""
        if not len(columns):
            return
        tails = self._tails.get(records.file, [])
        keys, links = _keys(columns), _Links(records)
        ordered = np.sort(np.concatenate([*(tail.keys for tail in tails), keys]))
        shared = ordered[1:][ordered[1:] == ordered[:-1]]
        if len(shared):
            for tail in tails:
                _look(tail.columns, tail.links, tail.rows[np.isin(tail.keys, shared)], duplicates, mark=False)
            _look(columns, links, np.flatnonzero(np.isin(keys, shared)), duplicates, mark=True)
        first = int(columns.frame.max()) - MAX_DISTANCE
        rows = np.flatnonzero(columns.frame >= first)
        tails = [*(tail.shortened(first) for tail in tails), _Tail(columns, links, keys[rows], rows)]
        self._tails[records.file] = [tail for tail in tails if len(tail.rows)]


def _keys(columns: Columns) -> Keys:
    """A number that equal packets share: SPI and sequence number, or the ports of a keepalive."""
    high, low = columns.spi.astype(np.uint64), columns.seq.astype(np.uint64)
    keepalive = columns.kind == int(Kind.KEEPALIVE)
    if keepalive.any():
        high[keepalive] = columns.sport[keepalive]
        low[keepalive] = columns.dport[keepalive]
    return (high << np.uint64(32)) | low


def _look(columns: Columns, links: _Links, rows: npt.NDArray[Any], duplicates: Duplicates, *, mark: bool) -> None:
    """Ask ``duplicates`` about rows, one by one; without ``mark`` only to remind it of them."""
    for row in rows.tolist():
        if not columns.packet_length[row] or (not mark and columns.duplicate_of[row]):
            continue
        copy = (int(columns.file[row]), int(columns.kind[row]), columns.packet(row))
        frame, time_ns = int(columns.frame[row]), int(columns.time_ns[row])
        original = duplicates.original(copy, Sighting(frame, time_ns, links.of(columns, row)))
        if mark and original is not None:
            columns.duplicate_of[row] = original
