"""ESP, AH and keepalives as columns: a window of records classified at once, the rest handed to the scalar pipeline.

The simple shapes (Ethernet with at most one tag, cooked, raw and loopback links; IPv4 without options, IPv6 without
extension headers; no fragments) are read with numpy. A row that is not fully understood goes to ``Pipeline``, whose
ESP, AH and keepalives become rows as well: a mask, never a guess. What is dropped here is what ``Pipeline`` would drop.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.clear import Key
from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.headers import read_headers
from ipsecscope.capture.pipeline import BULK, Pipeline
from ipsecscope.capture.plain_ike import datagrams_of
from ipsecscope.capture.records import Records
from ipsecscope.capture.triage import Bulk, Dropped, Triage, keys_of, port_table, sort_out
from ipsecscope.capture.walk import address_text

Indices = npt.NDArray[np.int64]


class Columns(msgspec.Struct):
    """ESP and AH packets and keepalives of one window, one entry per packet in the order of the records.

    ``frame`` is the 1-based record that completed the packet, ``src`` and ``dst`` index ``addresses``, ``kind`` and
    ``encapsulation`` are those of ``datagrams.py``. ``length`` counts octets on the wire from the ESP or AH header on,
    ``missing`` those of them that the capture lacks. ``offset`` and ``packet_offset`` are where the payload and the IP
    packet around it start in ``buffer``, or, where negative, ``~index`` into ``extras``; ``packet_length`` is 0 when
    there is no one packet; ``fragments`` is how many IP fragments made it. ``duplicate_of`` is the record that holds the same packet already, 0 for none.
    """

    file: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int64]
    time_ns: npt.NDArray[np.int64]
    kind: npt.NDArray[np.uint8]
    encapsulation: npt.NDArray[np.uint8]
    src: npt.NDArray[np.uint32]
    dst: npt.NDArray[np.uint32]
    sport: npt.NDArray[np.uint16]
    dport: npt.NDArray[np.uint16]
    spi: npt.NDArray[np.uint32]
    seq: npt.NDArray[np.uint32]
    length: npt.NDArray[np.uint32]
    missing: npt.NDArray[np.uint32]
    offset: npt.NDArray[np.int64]
    ttl: npt.NDArray[np.uint8]
    dscp: npt.NDArray[np.uint8]
    packet_offset: npt.NDArray[np.int64]
    packet_length: npt.NDArray[np.uint32]
    duplicate_of: npt.NDArray[np.int64]
    fragments: npt.NDArray[np.uint16]
    addresses: tuple[str, ...] = ()
    buffer: bytes = b""
    extras: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self.frame)

    def payload(self, index: int) -> bytes:
        """What was captured of a packet, from the ESP or AH header on."""
        offset = int(self.offset[index])
        if offset < 0:
            return self.extras[~offset]
        return self.buffer[offset : offset + int(self.length[index]) - int(self.missing[index])]

    def packet(self, index: int) -> bytes:
        """What was captured of the IP packet around it; nothing when it came in a TCP stream in pieces."""
        offset = int(self.packet_offset[index])
        if offset < 0:
            return self.extras[~offset]
        return self.buffer[offset : offset + int(self.packet_length[index])]


_TYPES: dict[str, type[np.generic]] = {
    "file": np.int32,
    "frame": np.int64,
    "time_ns": np.int64,
    "kind": np.uint8,
    "encapsulation": np.uint8,
    "src": np.uint32,
    "dst": np.uint32,
    "sport": np.uint16,
    "dport": np.uint16,
    "spi": np.uint32,
    "seq": np.uint32,
    "length": np.uint32,
    "missing": np.uint32,
    "offset": np.int64,
    "ttl": np.uint8,
    "dscp": np.uint8,
    "packet_offset": np.int64,
    "packet_length": np.uint32,
    "duplicate_of": np.int64,
    "fragments": np.uint16,
}


def classify(records: Records, pipeline: Pipeline) -> tuple[Columns, list[Datagram]]:
    """The ESP, AH and keepalives of a window as columns, and everything else of IPsec in it as datagrams.

    Windows go in in order, all through the same ``pipeline``; what it still holds at the end comes from its ``finish``.
    """
    headers = read_headers(records)
    triage = Triage(dropped=headers.dropped, unclear=headers.others)
    table = port_table(pipeline.ike_ports)
    for packets in headers.packets:
        sort_out(records.buffer, packets, table, triage)
    slow, datagrams = _scalar(records, pipeline, triage)
    _count_clear(records, pipeline, triage, slow)
    pipeline.frames += triage.dropped + sum(len(bulk.start) for bulk in triage.bulk)
    pipeline.other += triage.dropped
    columns = _joined(records, triage.bulk, slow)
    pipeline.copies.mark(columns, pipeline.duplicates, records)
    return columns, datagrams


class _Slow(msgspec.Struct):
    """ESP, AH and keepalives of the scalar path, with the row at which each was completed."""

    row: list[int] = msgspec.field(default_factory=list)
    datagrams: list[Datagram] = msgspec.field(default_factory=list)
    clear: list[tuple[int, Key]] = msgspec.field(default_factory=list)
    recalled: list[Indices] = msgspec.field(default_factory=list)


def _count_clear(records: Records, pipeline: Pipeline, triage: Triage, slow: _Slow) -> None:
    """Count what is outside IPsec by its ends."""
    if not triage.clear and not slow.clear:
        return
    kinds = (Kind.ESP, Kind.AH)
    rows = [bulk.packets.row for bulk in triage.bulk if bulk.kind in kinds]
    behind = [row for row, each in zip(slow.row, slow.datagrams, strict=True) if each.kind in kinds]
    protected = np.unique(np.concatenate([*rows, np.array(behind, np.int64)]))
    recalled = np.concatenate([*slow.recalled, np.empty(0, np.int64)])
    pipeline.clear.update(records, triage.clear, recalled, protected)
    for row, key in slow.clear:
        pipeline.clear.update_one(records, row, key, protected)


def _scalar(records: Records, pipeline: Pipeline, triage: Triage) -> tuple[_Slow, list[Datagram]]:
    """Take IKE and feed the unclear rows, in order, with those that become of interest on the way."""
    slow, others = _Slow(), []
    plain = datagrams_of(records, triage.ike)
    queue = _Queue(triage, pipeline, list(plain))
    for row in queue:
        if row in plain:
            message = plain.pop(row)
            start = int(records.offset[row])
            others.append(pipeline.take(message, records.buffer[start : start + (message.packet_offset or 0)]))
            continue
        for datagram in pipeline.read(records[row]):
            if datagram.kind in BULK:
                slow.row.append(row)
                slow.datagrams.append(datagram)
            else:
                others.append(datagram)
        if pipeline.outermost is not None:
            slow.clear.append((row, pipeline.outermost))
    slow.recalled = queue.recalled
    return slow, others


class _Queue:
    """Rows for the scalar path, in order. What it learns brings back rows that were dropped for not being known."""

    def __init__(self, triage: Triage, pipeline: Pipeline, more: list[int]) -> None:
        self._triage = triage
        self._known = pipeline.known
        self._rows: Indices = np.unique(np.concatenate([*triage.unclear, np.array(more, np.int64)]))
        self._sizes = (0, 0)
        self.recalled: list[Indices] = []

    def __iter__(self) -> Iterator[int]:
        self._recall(-1)
        position, rows = 0, self._rows.tolist()
        while position < len(rows):
            row = rows[position]
            yield row
            position += 1
            if self._sizes != (len(self._known.nat_t), len(self._known.tcp)):
                self._rows = self._rows[position:]
                self._recall(row)
                position, rows = 0, self._rows.tolist()

    def _recall(self, behind: int) -> None:
        """Take back dropped rows behind row ``behind`` that are of known conversations, by their ports."""
        self._sizes = (len(self._known.nat_t), len(self._known.tcp))
        for pairs, drops in ((self._known.nat_t, self._triage.udp), (self._known.tcp, self._triage.tcp)):
            if not pairs:
                continue
            keys = keys_of(pairs)
            for index, dropped in enumerate(drops):
                back = np.isin(dropped.key, keys) & (dropped.row > behind)
                if back.any():
                    self._rows = np.union1d(self._rows, dropped.row[back])
                    self.recalled.append(dropped.row[back])
                    self._triage.dropped -= int(np.count_nonzero(back))
                    drops[index] = Dropped(dropped.row[~back], dropped.key[~back])


# -- putting the columns together ---------------------------------------------------------------------------------


def _joined(records: Records, bulk: Sequence[Bulk], slow: _Slow) -> Columns:
    parts: list[dict[str, Any]] = []
    order: list[Indices] = []
    addresses = _Addresses()
    for each in bulk:
        parts.append(_fast_part(records, each, addresses))
        order.append(each.packets.row)
    extras: list[bytes] = []
    if slow.datagrams:
        parts.append(_slow_part(records, slow, addresses, extras))
        order.append(np.array(slow.row, np.int64))
    made = {
        name: np.concatenate([np.asarray(part[name], dtype) for part in parts]) if parts else np.empty(0, dtype)
        for name, dtype in _TYPES.items()
    }
    if len(parts) > 1:
        sequence = np.argsort(np.concatenate(order), kind="stable")
        made = {name: column[sequence] for name, column in made.items()}
    return Columns(**made, addresses=addresses.texts, buffer=records.buffer, extras=tuple(extras))


def _fast_part(records: Records, bulk: Bulk, addresses: _Addresses) -> dict[str, Any]:
    packets = bulk.packets
    size = len(packets.row)
    return {
        "file": np.full(size, records.file),
        "frame": packets.row + records.first_number,
        "time_ns": records.time_ns[packets.row],
        "kind": np.full(size, int(bulk.kind)),
        "encapsulation": np.full(size, int(bulk.encapsulation)),
        "src": addresses.numbers(packets.src),
        "dst": addresses.numbers(packets.dst),
        "sport": bulk.sport,
        "dport": bulk.dport,
        "spi": bulk.spi,
        "seq": bulk.seq,
        "length": bulk.wire_end - bulk.start,
        "missing": bulk.wire_end - bulk.end,
        "offset": bulk.start,
        "ttl": packets.ttl,
        "dscp": packets.dscp,
        "packet_offset": packets.start,
        "packet_length": packets.end - packets.start,
        "duplicate_of": np.zeros(size, np.int64),
        "fragments": np.ones(size, np.uint16),
    }


_SPI_AND_SEQ = {Kind.ESP: (0, 4), Kind.AH: (4, 8)}


def _slow_part(records: Records, slow: _Slow, addresses: _Addresses, extras: list[bytes]) -> dict[str, Any]:
    found = slow.datagrams
    spots = [_spots(records, row, each, extras) for row, each in zip(slow.row, found, strict=True)]
    simple = ("file", "frame", "time_ns", "kind", "encapsulation", "sport", "dport", "missing", "ttl", "dscp")
    part: dict[str, Any] = {name: [getattr(each, name) for each in found] for name in simple}
    part["src"] = [addresses.number(each.src) for each in found]
    part["dst"] = [addresses.number(each.dst) for each in found]
    part["length"] = [each.wire_length for each in found]
    part["offset"] = [offset for offset, _ in spots]
    part["packet_offset"] = [offset for _, offset in spots]
    part["packet_length"] = [len(each.packet) for each in found]
    part["duplicate_of"] = [0] * len(found)
    part["fragments"] = [min(each.fragments, 0xFFFF) for each in found]
    for name, which in (("spi", 0), ("seq", 1)):
        part[name] = [
            _word(each.payload, _SPI_AND_SEQ[each.kind][which]) if each.kind in _SPI_AND_SEQ else 0 for each in found
        ]
    return part


def _word(payload: bytes, offset: int) -> int:
    return int.from_bytes(payload[offset : offset + 4], "big")


def _spots(records: Records, row: int, datagram: Datagram, extras: list[bytes]) -> tuple[int, int]:
    """Where payload and packet of a datagram are: in the window, or set aside."""
    here = datagram.frames == (records.first_number + row,) and datagram.file == records.file
    start = int(records.offset[row])
    if here and datagram.offset is not None and datagram.packet_offset is not None:
        return start + datagram.offset, start + datagram.packet_offset
    extras += (datagram.payload, datagram.packet)
    return ~(len(extras) - 2), ~(len(extras) - 1)


class _Addresses:
    """Numbers for addresses, in order of first use."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(self._numbers)

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def numbers(self, packed: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
        """The numbers of many addresses of 4 or 16 octets."""
        if packed.dtype.itemsize == 4:
            values = np.ascontiguousarray(packed).view(">u4").astype(np.uint32)
            ordered = np.sort(values)  # np.unique would hash, which takes longer
            distinct = ordered[np.concatenate(([True], ordered[1:] != ordered[:-1]))]
            known = [self.number(address_text(value.to_bytes(4, "big"))) for value in distinct.tolist()]
            return np.array(known, np.uint32)[np.searchsorted(distinct, values)]
        local: dict[bytes, int] = {}
        raw = packed.tobytes()
        size = packed.dtype.itemsize
        numbers = [local.setdefault(raw[at : at + size], len(local)) for at in range(0, len(raw), size)]
        known = [self.number(address_text(each)) for each in local]
        return np.array(known, np.uint32)[numbers]
