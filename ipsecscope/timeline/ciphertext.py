"""What the octets of ESP and AH packets tell without a key: repeated IVs, numbers used twice, counters, plain text.

A few octets of each packet are kept while its flow is folded: those where an IV would stand (RFC 4303 2.3), and the
last ones, which are the end of the ICV and differ whenever packets do. Packets are compared within one batch of rows
and with the last ones of the batch before, so memory is bounded; what repeats later than that is not seen.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.columns import Columns
from ipsecscope.capture.datagrams import Kind
from ipsecscope.dissect.registry.ip_protocols import IpProtocol

ESP_HEADER = 8  # SPI and sequence number
WORD = 8  # octets compared at once
MIN_CAPTURED = ESP_HEADER + 2 * WORD
SAMPLED_ROWS = 1024  # of each window, whose padding and last blocks are looked at
CARRIED_ROWS = 1 << 14  # of a batch, with which the next one is compared; as many from the beginnings of flows
EARLY_PACKETS = 64  # of each flow
MAX_PAIRS = 4  # pairs of frames named for one observation
ICVS = (0, 8, 12, 16, 24, 32)
LAST_BLOCKS = tuple((block, icv) for block, icvs in ((16, (12, 16, 24, 32)), (8, (12, 16))) for icv in icvs)
LONGEST_PADDING = 17  # RFC 4303 2.4 allows 255; nobody pads a readable packet beyond a block
NEXT_HEADERS = tuple(
    int(IpProtocol[name]) for name in ("ICMP", "IPV4", "TCP", "UDP", "IPV6", "GRE", "IPV6_ICMP", "OSPFIGP", "L2TP")
)

Words = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]
Pairs = tuple[tuple[int, int], ...]

COLUMNS: dict[str, type[np.generic]] = {
    "iv": np.uint64,
    "block": np.uint64,
    "tail": np.uint64,
    "is_known": np.bool_,
    "is_sampled": np.bool_,
    "is_readable": np.bool_,
    "is_next": np.bool_,
    "is_chained": np.bool_,
}


class Ciphertext(msgspec.Struct, frozen=True):
    """What the packets of a flow give away.

    ``compared`` packets had their first octets and their end captured. ``iv_repeats`` are packets whose first eight
    octets behind the ESP header are those of another packet with another content, ``block_repeats`` those of them that
    agree in sixteen octets. ``conflicts`` are packets whose sequence number another packet with other octets has, and
    ``conflict_pairs`` and ``repeat_pairs`` the frames of some, the earlier one first. Of ``successive`` neighbours in
    order, ``counted`` have eight octets that count with the sequence number and ``chained`` begin with the last block
    of the one before. Of ``sampled`` packets ``readable`` end as unencrypted ESP does (RFC 5879).
    """

    compared: int = 0
    iv_repeats: int = 0
    block_repeats: int = 0
    repeat_pairs: Pairs = ()
    conflicts: int = 0
    conflict_pairs: Pairs = ()
    successive: int = 0
    counted: int = 0
    chained: int = 0
    sampled: int = 0
    readable: int = 0

    @property
    def is_counter(self) -> bool:
        """Whether the eight octets behind the header count: the IV of an AEAD or of counter mode."""
        return self.counted >= 3 and self.counted >= self.successive * 9 // 10

    @property
    def is_readable(self) -> bool:
        """Whether the packets end as ESP without encryption does."""
        return self.readable >= 2 and self.readable >= self.sampled * 9 // 10

    def joined(self, more: Ciphertext) -> Ciphertext:
        """Both observations together."""
        return Ciphertext(
            **{
                name: (mine + theirs)[:MAX_PAIRS] if isinstance(mine, tuple) else mine + theirs
                for name in self.__struct_fields__
                for mine, theirs in ((getattr(self, name), getattr(more, name)),)
            }
        )


# -- one window: the octets of its packets --------------------------------------------------------------------------


def octets_of(columns: Columns, rows: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[Any]]:
    """The columns of ``COLUMNS`` for these rows of a window."""
    made: dict[str, npt.NDArray[Any]] = {name: np.zeros(len(rows), dtype) for name, dtype in COLUMNS.items()}
    data, start = _packets(columns, rows)
    length, missing = columns.length[rows].astype(np.int64), columns.missing[rows]
    whole = np.flatnonzero((missing == 0) & (length >= MIN_CAPTURED) & (start + length <= len(data)))
    at, end = start[whole], start[whole] + length[whole]
    made["is_known"][whole] = True
    made["iv"][whole] = _words(data, at + ESP_HEADER)
    made["block"][whole] = _words(data, at + ESP_HEADER + WORD)
    made["tail"][whole] = _words(data, end - WORD)
    is_esp = columns.kind[rows] == int(Kind.ESP)
    sample = whole[is_esp[whole]][:SAMPLED_ROWS]
    made["is_sampled"][sample] = True
    made["is_readable"][sample] = _readable(data, start[sample], start[sample] + length[sample])
    behind, before = _neighbours(columns, rows, sample)
    made["is_next"][behind] = True
    made["is_chained"][behind] = _chained(data, made["iv"][behind], start[before], start[before] + length[before])
    return made


def _packets(columns: Columns, rows: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """All octets of a window, and where each packet starts in them; packets that were put together come behind."""
    start = columns.offset[rows].copy()
    apart = np.flatnonzero(start < 0)
    extras, position = [columns.buffer], len(columns.buffer)
    for row in apart.tolist():
        payload = columns.extras[~int(start[row])]
        start[row] = position
        extras.append(payload)
        position += len(payload)
    return np.frombuffer(b"".join(extras) if len(extras) > 1 else columns.buffer, np.uint8), start


def _words(data: npt.NDArray[np.uint8], at: npt.NDArray[np.int64]) -> Words:
    if not len(at):
        return np.zeros(0, np.uint64)
    found = np.lib.stride_tricks.sliding_window_view(data, WORD)[at]
    return np.ascontiguousarray(found).view(">u8")[:, 0].astype(np.uint64)


def _readable(data: npt.NDArray[np.uint8], start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> Flags:
    """Packets with a pad of 1, 2, 3 …, its length and a usual next header in front of an ICV (RFC 4303 2.4)."""
    found = np.zeros(len(start), bool)
    if not len(start):
        return found
    known = np.array(NEXT_HEADERS, np.uint8)
    for icv in ICVS:
        stop = np.maximum(end - icv, start + ESP_HEADER + 3)
        pad = data[stop - 2].astype(np.int64)
        first = np.maximum(stop - 2 - pad, start)
        fits = (pad <= LONGEST_PADDING) & (stop - 2 - pad >= start + ESP_HEADER) & np.isin(data[stop - 1], known)
        fits &= (pad == 0) | ((data[first] == 1) & (data[stop - 3] == pad))
        found |= fits & (stop == end - icv)
    return found


def _neighbours(
    columns: Columns, rows: npt.NDArray[np.int64], sample: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The sampled packets whose forerunner in the same flow is sampled too, and those forerunners."""
    spi, dst, seq = columns.spi[rows][sample], columns.dst[rows][sample], columns.seq[rows][sample].astype(np.int64)
    order = np.lexsort((dst, spi))
    follows = (spi[order][1:] == spi[order][:-1]) & (dst[order][1:] == dst[order][:-1])
    follows &= seq[order][1:] == seq[order][:-1] + 1
    return sample[order[1:][follows]], sample[order[:-1][follows]]


def _chained(data: npt.NDArray[np.uint8], iv: Words, start: npt.NDArray[np.int64], end: npt.NDArray[np.int64]) -> Flags:
    """Packets that begin with the last block of the one before (RFC 3602 section 3 forbids it)."""
    found = np.zeros(len(iv), bool)
    for block, icv in LAST_BLOCKS:
        at = end - icv - block
        inside = at >= start + ESP_HEADER
        found |= inside & (_words(data, np.where(inside, at, start)) == iv)
    return found


# -- one batch: packets of a flow against each other ----------------------------------------------------------------

Table = dict[str, npt.NDArray[Any]]
_CARRIED = ("iv", "block", "tail", "is_known", "seq", "frame")


class Comparison:
    """Compares the packets of one batch with each other, flow by flow, and with the last ones of the batch before."""

    def __init__(self) -> None:
        self._carried: Table | None = None
        self._early: Flags = np.zeros(0, bool)

    def take(self, flow: npt.NDArray[np.int64], rows: Table, early: Flags) -> tuple[dict[int, Ciphertext], Flags]:
        """Compare ``rows`` (in time order), whose flows are numbered in ``flow``; keep those that are ``early`` in one.

        Returns:
            What was seen, by flow number, where there was anything; and which rows are other packets than all before
            them: with a number that no packet compared with has, or with other octets.
        """
        count = len(flow)
        table = {name: rows[name] for name in _CARRIED} | {"flow": flow}
        if self._carried is not None:
            table = {name: np.concatenate((self._carried[name], table[name])) for name in table}
        skipped = len(table["flow"]) - count
        self._carry(table, early)
        known = np.flatnonzero(table["is_known"])
        found: dict[int, dict[str, Any]] = {}
        is_new = table["is_known"].copy()
        self._numbers(table, known, skipped, found, is_new)
        self._ivs(table, known, skipped, found)
        return {number: Ciphertext(**values) for number, values in found.items()}, is_new[skipped:]

    def _carry(self, table: Table, early: Flags) -> None:
        """Keep the last rows, and the first ones of flows: a count that starts again repeats those."""
        size = len(table["flow"])
        self._early = np.concatenate((self._early, early))
        kept = self._early.copy()
        kept[np.flatnonzero(kept)[CARRIED_ROWS:]] = False
        kept[max(size - CARRIED_ROWS, 0) :] = True
        self._early = self._early[kept]
        self._carried = {name: column[kept] for name, column in table.items()}

    @staticmethod
    def _numbers(
        table: Table, known: npt.NDArray[np.int64], skipped: int, found: dict[int, dict[str, Any]], is_new: Flags
    ) -> None:
        """Packets with a number that was seen before: copies (damaged ones, too), or others."""
        later, earlier = _equal(table, known, "seq")
        same = (table["iv"][later] == table["iv"][earlier]) & (
            (table["tail"][later] == table["tail"][earlier]) | (table["block"][later] == table["block"][earlier])
        )
        is_new[later[same]] = False
        _count(table, later[~same], earlier[~same], skipped, ("conflicts", "conflict_pairs"), found)

    @staticmethod
    def _ivs(table: Table, known: npt.NDArray[np.int64], skipped: int, found: dict[int, dict[str, Any]]) -> None:
        """Packets that begin as another one does, and are no copies of it."""
        later, earlier = _equal(table, known, "iv")
        damaged = (table["seq"][later] == table["seq"][earlier]) & (table["block"][later] == table["block"][earlier])
        other = (table["tail"][later] != table["tail"][earlier]) & ~damaged
        later, earlier = later[other], earlier[other]
        _count(table, later, earlier, skipped, ("iv_repeats", "repeat_pairs"), found)
        equal = table["block"][later] == table["block"][earlier]
        _count(table, later[equal], earlier[equal], skipped, ("block_repeats", ""), found)


def _equal(
    table: Table, known: npt.NDArray[np.int64], name: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows that agree in flow and in one column with a row before them, and those rows."""
    order = known[np.lexsort((table[name][known], table["flow"][known]))]
    agree = table["flow"][order[1:]] == table["flow"][order[:-1]]
    agree &= table[name][order[1:]] == table[name][order[:-1]]
    return order[1:][agree], order[:-1][agree]


def _count(
    table: Table,
    later: npt.NDArray[np.int64],
    earlier: npt.NDArray[np.int64],
    skipped: int,
    names: tuple[str, str],
    found: dict[int, dict[str, Any]],
) -> None:
    """Count observations by flow, with the frames of the first few."""
    fresh = later >= skipped
    order = np.lexsort((later[fresh], table["flow"][later[fresh]]))
    later, earlier = later[fresh][order], earlier[fresh][order]
    flows, first, count = np.unique(table["flow"][later], return_index=True, return_counts=True)
    for flow, at, number in zip(flows.tolist(), first.tolist(), count.tolist(), strict=True):
        values = found.setdefault(flow, {})
        values[names[0]] = number
        if names[1]:
            shown = slice(at, at + min(number, MAX_PAIRS))
            pairs = zip(table["frame"][earlier[shown]].tolist(), table["frame"][later[shown]].tolist(), strict=True)
            values[names[1]] = tuple(pairs)


def counters(rows: Table, index: npt.NDArray[np.int64]) -> Ciphertext:
    """What the packets of one flow in one batch say one after the other."""
    known = index[rows["is_known"][index]]
    iv, seq = rows["iv"][known], rows["seq"][known].astype(np.uint64)
    with np.errstate(over="ignore"):
        adds = iv[1:] - iv[:-1] == seq[1:] - seq[:-1]
    flips = iv[1:] ^ iv[:-1] == seq[1:] ^ seq[:-1]
    moved = seq[1:] != seq[:-1]
    return Ciphertext(
        compared=len(known),
        successive=int(np.count_nonzero(moved)),
        counted=int(np.count_nonzero((adds | flips) & moved)),
        chained=int(np.count_nonzero(rows["is_chained"][index])),
        sampled=int(np.count_nonzero(rows["is_sampled"][index])),
        readable=int(np.count_nonzero(rows["is_readable"][index])),
    )
