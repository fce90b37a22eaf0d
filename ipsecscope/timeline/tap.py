"""One point of the network: every packet of IPsec that a capture holds, as columns that another capture can be held against.

What identifies a packet on its whole way is taken from octets that nobody on the way may change: SPI, sequence number,
length and the first octets behind them of ESP and AH, the header and all octets of an IKE message. Addresses, ports,
TTL, DSCP and fragmentation are kept beside it, to say what was changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.capture.columns import Columns, classify
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.ports import IKE_HEADER, NAT_T_PORT, USUAL_PORTS
from ipsecscope.capture.records import CaptureNote, FileFacts, Records
from ipsecscope.capture.sources import merge
from ipsecscope.timeline.reading import UnusableFileError, open_all, usable
from ipsecscope.timeline.tap_rows import CONTENT, Traffic, checksums, contents, ip_headers, totals, traffic_of_rows

MAX_PACKETS = 20_000_000  # packets of IPsec kept of one capture: some 2 GB; later ones are counted

HEAD = 36  # octets of an IKE message that name it: the header, and number and total of a fragment (RFC 7383)

Numbers = npt.NDArray[np.int64]


_TYPES: dict[str, Any] = {
    "file": np.int32,
    "frame": np.int64,
    "time_ns": np.int64,
    "kind": np.uint8,
    "traffic": np.uint8,
    "encapsulation": np.uint8,
    "src": np.int64,
    "dst": np.int64,
    "sport": np.int64,
    "dport": np.int64,
    "spi": np.int64,
    "seq": np.int64,
    "length": np.int64,
    "size": np.int64,
    "ttl": np.int64,
    "dscp": np.int64,
    "ecn": np.int64,
    "df": np.int64,
    "identification": np.int64,
    "checksum": np.int64,
    "fragments": np.int64,
    "is_copy": np.bool_,
    "key": np.uint64,
    "content": np.uint64,
    "total": np.int64,
}


class Tap(msgspec.Struct):
    """Every packet of IPsec of one capture, one entry per packet in the order of time.

    ``src`` and ``dst`` index ``addresses``; ``length`` counts octets from the IKE, ESP or AH header on, ``size`` those of
    the IP packet; ``ecn``, ``df``, ``identification`` and ``checksum`` (whether UDP has one) are -1 where unknown.
    Packets with the same ``key`` are the same packet or copies; ``content`` tells apart what shares a key, 0 is unknown;
    ``total`` is the sum of all octets, -1 where they were not all captured.
    ``heads`` are the first octets of IKE messages and of incomplete packets by entry, and type and code of ICMP errors. ``first_ns`` and ``last_ns`` span
    all records, whatever they hold.
    """

    name: str
    file: npt.NDArray[np.int32]
    frame: Numbers
    time_ns: Numbers
    kind: npt.NDArray[np.uint8]
    traffic: npt.NDArray[np.uint8]
    encapsulation: npt.NDArray[np.uint8]
    src: Numbers
    dst: Numbers
    sport: Numbers
    dport: Numbers
    spi: Numbers
    seq: Numbers
    length: Numbers
    size: Numbers
    ttl: Numbers
    dscp: Numbers
    ecn: Numbers
    df: Numbers
    identification: Numbers
    checksum: Numbers
    fragments: Numbers
    is_copy: npt.NDArray[np.bool_]
    key: npt.NDArray[np.uint64]
    content: npt.NDArray[np.uint64]
    total: Numbers
    addresses: tuple[str, ...] = ()
    heads: dict[int, bytes] = {}
    first_ns: int | None = None
    last_ns: int | None = None
    frames: int = 0
    not_kept: int = 0
    clear: tuple[ClearTraffic, ...] = ()
    files: list[FileFacts] = []
    errors: list[UnusableFileError] = []
    notes: list[CaptureNote] = []
    resolution_ns: int = 1_000

    def __len__(self) -> int:
        return len(self.frame)


def read_tap(
    path: str, *, interface: int | None = None, ike_ports: frozenset[int] = frozenset(), name: str = ""
) -> Tap:
    """Read a capture: a file, a folder or pattern of files that follow each other, or ``-``.

    ``interface`` is the number of the one interface to look at, None for all. Files that cannot be used are in
    ``errors``.
    """
    sources, failures = open_all([path])
    pipeline, rows = Pipeline(ike_ports=ike_ports), _Rows()
    for records in merge(sources):
        chosen = records if interface is None else records.only(interface)
        rows.span(records if interface is None else _mine(records, interface))
        columns, datagrams = classify(chosen, pipeline)
        rows.take_columns(columns)
        rows.take(datagrams)
    rows.take(pipeline.finish())
    facts, broken = usable(sources)
    tap = rows.tap(name or path)
    tap.files, tap.errors = facts, [*failures, *broken]
    tap.clear = pipeline.clear.traffic()
    tap.notes = [*pipeline.notes, *pipeline.clear.notes()]
    if tap.not_kept:
        text = f"more than {MAX_PACKETS:,} packets: {tap.not_kept:,} later ones are not compared"
        tap.notes.append(CaptureNote("tap.limit", text))
    tap.resolution_ns = min((each.resolution_ns for file in facts for each in file.interfaces), default=1_000)
    _until_recorded(tap, interface)
    return tap


def interfaces_of(path: str) -> list[str]:
    """The names of the interfaces of a capture that have records, by number; a nameless one is its number."""
    sources, _ = open_all([path])
    seen: set[int] = set()
    for records in merge(sources):
        seen.update(np.unique(records.interface).tolist() or [0])
    described = [each for source in sources[:1] for each in source.facts.interfaces]
    return [
        (described[number].name if number < len(described) else "") or str(number) if number in seen else ""
        for number in range(max(seen, default=-1) + 1)
    ]


def _mine(records: Records, interface: int) -> Numbers:
    if not len(records.interface):
        return records.time_ns
    mine: Numbers = records.time_ns[records.interface == interface]
    return mine


def _until_recorded(tap: Tap, interface: int | None) -> None:
    """What the capture itself says of the end of its recording (pcapng interface statistics) counts as seen."""
    for facts in tap.files:
        for each in facts.extra.get("statistics", ()):
            end, number = each.get("end"), each.get("interface", 0)
            if end is None or number >= len(facts.interfaces) or interface not in (None, number):
                continue
            end_ns = end * facts.interfaces[number].resolution_ns
            if tap.last_ns is not None and tap.last_ns < end_ns < tap.last_ns + 10**15:
                tap.last_ns = end_ns


def mixed(*columns: Any) -> npt.NDArray[np.uint64]:
    """A number of 64 bits that depends on every one of some columns."""
    total = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        total = (total ^ np.asarray(column).astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
        total = total * np.uint64(0xBF58476D1CE4E5B9)
        total ^= total >> np.uint64(32)
    return total


def digest(data: bytes) -> int:
    """The same for octets; never 0."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big") | 1


class _Rows:
    """A tap in the making."""

    def __init__(self) -> None:
        self.parts: list[dict[str, Any]] = []
        self.count = 0
        self.frames = 0
        self.not_kept = 0
        self.first_ns: int | None = None
        self.last_ns: int | None = None
        self.heads: dict[int, bytes] = {}
        self._addresses: dict[str, int] = {}

    def span(self, records: Records | npt.NDArray[np.int64]) -> None:
        """All records of a window were recorded, whatever they hold."""
        times = records.time_ns if isinstance(records, Records) else records
        self.frames += len(times)
        if len(times):
            first, last = int(times.min()), int(times.max())
            self.first_ns = first if self.first_ns is None else min(first, self.first_ns)
            self.last_ns = last if self.last_ns is None else max(last, self.last_ns)

    def _add(self, part: dict[str, Any], rows: int) -> None:
        if self.count + rows > MAX_PACKETS:
            self.not_kept += rows
            return
        self.parts.append({name: np.asarray(part[name], dtype) for name, dtype in _TYPES.items()})
        self.count += rows

    def _number(self, address: str) -> int:
        return self._addresses.setdefault(address, len(self._addresses))

    def take_columns(self, columns: Columns) -> None:
        """ESP, AH and keepalives."""
        if not len(columns):
            return
        numbers = np.array([self._number(each) for each in columns.addresses], np.int64)
        ip, content, checksum = ip_headers(columns), contents(columns), checksums(columns)
        part: dict[str, Any] = {
            name: getattr(columns, name)
            for name in (
                *("file", "frame", "time_ns", "kind", "encapsulation", "sport", "dport", "spi", "seq", "length"),
                *("ttl", "dscp", "fragments"),
            )
        }
        part |= {
            "src": numbers[columns.src],
            "dst": numbers[columns.dst],
            "traffic": traffic_of_rows(columns),
            "is_copy": columns.duplicate_of != 0,
            "key": mixed(columns.kind, columns.spi, columns.seq, columns.length),
            "content": content,
            "total": totals(columns),
            "checksum": checksum,
            **ip,
        }
        self._add(part, len(columns))

    def take(self, datagrams: Iterable[Datagram]) -> None:
        """IKE, ICMP errors, packets that never became whole, and ESP that came late."""
        chosen = [each for each in datagrams if each.kind is not Kind.OTHER]
        if not chosen:
            return
        rows = [self._row(each) for each in chosen]
        start = self.count
        self._add({name: [row[name] for row in rows] for name in _TYPES}, len(rows))
        if self.count > start:
            for number, each in enumerate(chosen, start):
                if each.kind in (Kind.IKE, Kind.FRAGMENT):
                    self.heads[number] = each.payload[:HEAD]
                elif each.icmp is not None:
                    self.heads[number] = bytes((each.icmp.type, each.icmp.code))

    def _row(self, datagram: Datagram) -> dict[str, Any]:
        spi, seq = _spi_and_seq(datagram)
        key, content = _identity(datagram, spi, seq)
        packet = datagram.packet
        tos = 0 if not packet else packet[1] if packet[0] >> 4 == 4 else (packet[0] << 4 | packet[1] >> 4) & 0xFF
        return {
            "file": datagram.file,
            "frame": datagram.frame,
            "time_ns": datagram.time_ns,
            "kind": int(datagram.kind),
            "traffic": int(_traffic_of(datagram)),
            "encapsulation": int(datagram.encapsulation),
            "src": self._number(datagram.src),
            "dst": self._number(datagram.dst),
            "sport": datagram.sport,
            "dport": datagram.dport,
            "spi": spi,
            "seq": seq,
            "length": datagram.wire_length,
            "size": len(packet) + datagram.missing if packet else 0,
            "ttl": datagram.ttl,
            "dscp": datagram.dscp,
            "ecn": tos & 3 if packet else -1,
            "df": -1 if datagram.dont_fragment is None else int(datagram.dont_fragment),
            "identification": -1 if datagram.identification is None else datagram.identification,
            "checksum": -1,
            "fragments": datagram.fragments,
            "is_copy": datagram.duplicate_of is not None,
            "key": key,
            "content": content,
            "total": sum(datagram.payload) if not datagram.missing else -1,
        }

    def tap(self, name: str) -> Tap:
        """All of it in the order of time."""
        joined: dict[str, Any] = {
            each: np.concatenate([part[each] for part in self.parts]) if self.parts else np.empty(0, dtype)
            for each, dtype in _TYPES.items()
        }
        order = np.argsort(joined["time_ns"], kind="stable")
        columns: dict[str, Any] = {each: column[order] for each, column in joined.items()}
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return Tap(
            name=name,
            **columns,
            addresses=tuple(self._addresses),
            heads={int(place[row]): head for row, head in self.heads.items()},
            first_ns=self.first_ns,
            last_ns=self.last_ns,
            frames=self.frames,
            not_kept=self.not_kept,
        )


# -- datagrams -------------------------------------------------------------------------------------------------------


def _traffic_of(datagram: Datagram) -> Traffic:
    ports = {datagram.sport, datagram.dport}
    if datagram.kind is Kind.IKE:
        if datagram.encapsulation is not Encapsulation.UDP or not ports & USUAL_PORTS:
            return Traffic.IKE_ELSEWHERE
        return Traffic.IKE_4500 if NAT_T_PORT in ports else Traffic.IKE_500
    if datagram.kind is Kind.ESP:
        return (Traffic.ESP, Traffic.ESP_IN_UDP, Traffic.ESP_IN_TCP)[int(datagram.encapsulation)]
    return {Kind.AH: Traffic.AH, Kind.KEEPALIVE: Traffic.KEEPALIVE, Kind.ICMP: Traffic.ICMP}.get(
        datagram.kind, Traffic.OTHER
    )


def _spi_and_seq(datagram: Datagram) -> tuple[int, int]:
    at = {Kind.ESP: 0, Kind.AH: 4}.get(datagram.kind)
    if at is None or len(datagram.payload) < at + 8:
        return 0, 0
    data = datagram.payload
    return int.from_bytes(data[at : at + 4], "big"), int.from_bytes(data[at + 4 : at + 8], "big")


def _identity(datagram: Datagram, spi: int, seq: int) -> tuple[int, int]:
    """Key and content of a datagram."""
    kind, data = datagram.kind, datagram.payload
    whole = digest(data) if not datagram.missing else 0
    if kind in CONTENT:
        skip = CONTENT[kind]
        key = int(mixed(*(np.array([each]) for each in (int(kind), spi, seq, datagram.wire_length)))[0])
        return key, int.from_bytes(data[skip : skip + 8], "little") if len(data) >= skip + 8 else 0
    if kind is Kind.IKE and len(data) >= IKE_HEADER:
        return digest(b"ike" + data[:HEAD] + datagram.wire_length.to_bytes(4, "big")), whole
    if kind is Kind.ICMP and datagram.icmp is not None:
        quoted = datagram.quoted
        about = b"" if quoted is None else bytes([int(quoted.kind)]) + quoted.payload[:8]
        said = f"{datagram.icmp.version} {datagram.icmp.type} {datagram.icmp.code} {datagram.icmp.mtu}"
        return digest(said.encode() + about), 0
    return digest(bytes([int(kind)]) + data), whole
