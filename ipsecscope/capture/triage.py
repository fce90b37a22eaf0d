"""Plain IP packets told apart: ESP, AH and keepalives that need no second thought, the unclear, and the rest.

What is unclear goes to the scalar path; what is dropped is what the scalar path would drop, as long as no conversation
of its ports becomes known (``Dropped`` keeps them for that case).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture import clear, icmp
from ipsecscope.capture.ctcp import CTCP_PORT
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.capture.headers import Indices, Mask, Packets, gather
from ipsecscope.capture.layers import EXTENSION_HEADERS, IP_PROTOCOLS, TCP_HEADER, TCP_PREFIX, UDP_HEADER
from ipsecscope.capture.ports import IKE_HEADER, IKE_PORTS, IKE_READABLE, MARKER, NAT_T_PORT, Protocol
from ipsecscope.capture.tunnels import TUNNEL_PORTS

_AH_LEAST, _ESP_LEAST = 12, 8  # octets up to the sequence number
_WORD = np.dtype(">u4")
_VERSION_WORD = 16  # offset of next payload, version, exchange type, flags in the IKE header
_NO_PORT, _IKE, _NAT_T, _UNCLEAR_PORT = 0, 1, 2, 3
_PREFIX_WORD = int.from_bytes(TCP_PREFIX[:4], "big")


class Bulk(msgspec.Struct):
    """Packets of one kind: where the payload starts and ends, and its SPI and sequence number (0 for keepalives)."""

    kind: Kind
    encapsulation: Encapsulation
    packets: Packets
    sport: npt.NDArray[Any]
    dport: npt.NDArray[Any]
    spi: npt.NDArray[np.uint32]
    seq: npt.NDArray[np.uint32]
    start: Indices
    end: Indices
    wire_end: Indices


class PlainIke(msgspec.Struct):
    """IKE messages in UDP on the usual ports: where each starts and ends; ``marker`` is for all of them."""

    packets: Packets
    sport: npt.NDArray[Any]
    dport: npt.NDArray[Any]
    start: Indices
    end: Indices
    wire_end: Indices
    marker: bool


class Dropped(msgspec.Struct):
    """Rows in which nothing was found, with their ports as ``port_key`` gives them; one list per protocol."""

    row: Indices
    key: npt.NDArray[np.uint32]


class Triage(msgspec.Struct):
    """The outcome."""

    bulk: list[Bulk] = msgspec.field(default_factory=list)
    ike: list[PlainIke] = msgspec.field(default_factory=list)
    unclear: list[Indices] = msgspec.field(default_factory=list)
    udp: list[Dropped] = msgspec.field(default_factory=list)
    tcp: list[Dropped] = msgspec.field(default_factory=list)
    clear: list[clear.Dropped] = msgspec.field(default_factory=list)
    dropped: int = 0


def port_key(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> npt.NDArray[np.uint32]:
    """Two ports as one number, whatever their order."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    key: npt.NDArray[np.uint32] = (high.astype(np.uint32) << np.uint32(16)) | low.astype(np.uint32)
    return key


def keys_of(pairs: Iterable[frozenset[tuple[str, int]]]) -> npt.NDArray[np.uint32]:
    """The port keys of known conversations."""
    ports = np.array([sorted(_ports_of(pair)) for pair in pairs], np.uint32).reshape(-1, 2)
    return np.unique(port_key(ports[:, 0], ports[:, 1]))


def _ports_of(pair: frozenset[tuple[str, int]]) -> tuple[int, int]:
    ends = [port for _, port in pair]
    return ends[0], ends[-1]


def port_table(extra: frozenset[int]) -> npt.NDArray[np.uint8]:
    """What each UDP port says: IKE, NAT traversal, something for the scalar path, or nothing."""
    table = np.full(0x10000, _NO_PORT, np.uint8)
    table[list(IKE_PORTS)] = _IKE
    table[NAT_T_PORT] = _NAT_T
    unclear = [port for port in {*TUNNEL_PORTS, *extra} if port != NAT_T_PORT and 0 <= port < len(table)]
    table[unclear] = _UNCLEAR_PORT
    return table


def sort_out(buffer: bytes, packets: Packets, table: npt.NDArray[np.uint8], triage: Triage) -> None:
    """Tell the packets apart; ``table`` is that of ``port_table``."""
    protocol = packets.protocol
    fate = _FATES[packets.version][protocol]
    triage.unclear.append(packets.row[fate == _SCALAR])
    _leave(triage, packets, fate == _DROP)
    for number, sorter in ((Protocol.ESP, _esp), (Protocol.AH, _ah), (_ICMP[packets.version], _icmp)):
        which = protocol == number
        if which.any():
            sorter(packets.pick(which), triage)
    which = protocol == Protocol.UDP
    if which.any():
        _udp(buffer, packets.pick(which), table, triage)
    which = protocol == Protocol.TCP
    if which.any():
        _tcp(buffer, packets.pick(which), triage)


_DROP, _SCALAR, _SORTED = 0, 1, 2
_ICMP = {4: Protocol.ICMP, 6: Protocol.ICMPV6}


def _fates(version: int) -> npt.NDArray[np.uint8]:
    """For each protocol number: dropped, for the scalar path, or sorted here."""
    fates = np.full(256, _DROP, np.uint8)
    fates[[int(number) for number in IP_PROTOCOLS]] = _SCALAR
    if version == 6:
        fates[[int(number) for number in EXTENSION_HEADERS]] = _SCALAR
    for number in (Protocol.ESP, Protocol.AH, Protocol.UDP, Protocol.TCP, _ICMP[version]):
        fates[number] = _SORTED
    return fates


_FATES = {4: _fates(4), 6: _fates(6)}


def _keep(triage: Triage, packets: Packets, sure: Mask, bulk: Bulk) -> None:
    """Take those of which we are sure; the others are for the scalar path."""
    if not sure.all():
        triage.unclear.append(packets.row[~sure])
        bulk = _pick(bulk, sure)
    if len(bulk.start):
        triage.bulk.append(bulk)


def _pick(bulk: Bulk, which: Mask) -> Bulk:
    chosen = {name: getattr(bulk, name)[which] for name in ("sport", "dport", "spi", "seq", "start", "end", "wire_end")}
    return Bulk(kind=bulk.kind, encapsulation=bulk.encapsulation, packets=bulk.packets.pick(which), **chosen)


def _bulk(kind: Kind, packets: Packets, spi: npt.NDArray[Any], seq: npt.NDArray[Any]) -> Bulk:
    none = np.zeros(len(packets.row), np.uint32)
    ends = (packets.transport, packets.end, packets.wire_end)
    return Bulk(kind, Encapsulation.IP, packets, none, none, spi, seq, *ends)


def _esp(packets: Packets, triage: Triage) -> None:
    sure = packets.end - packets.transport >= _ESP_LEAST
    _keep(triage, packets, sure, _bulk(Kind.ESP, packets, packets.a, packets.b))


def _ah(packets: Packets, triage: Triage) -> None:
    """AH, unless ESP or AH follows, which makes two datagrams of one packet."""
    following = packets.a >> 24
    sure = (packets.end - packets.transport >= _AH_LEAST) & (following != Protocol.ESP) & (following != Protocol.AH)
    _keep(triage, packets, sure, _bulk(Kind.AH, packets, packets.b, packets.c))


def _icmp(packets: Packets, triage: Triage) -> None:
    errors = icmp.ERRORS if packets.version == 4 else icmp.ERRORS_V6
    unclear = np.isin(packets.a >> 24, list(errors)) | (packets.end <= packets.transport)
    triage.unclear.append(packets.row[unclear])
    _leave(triage, packets, ~unclear)


def _udp(buffer: bytes, packets: Packets, table: npt.NDArray[np.uint8], triage: Triage) -> None:
    sport, dport = packets.a >> 16, packets.a & 0xFFFF
    length = (packets.b >> 16).astype(np.int64)
    wire_end = packets.transport + length
    what = np.maximum(table[sport], table[dport])
    whole = (packets.end - packets.transport >= UDP_HEADER) & (length >= UDP_HEADER) & (wire_end <= packets.wire_end)
    unclear = ~whole | (what == _UNCLEAR_PORT)
    if unclear.any():
        triage.unclear.append(packets.row[unclear])
    which = ~unclear & (what == _NAT_T)
    if which.any():
        _nat_t(buffer, packets.pick(which), wire_end[which], triage)
    which = ~unclear & (what == _IKE)
    if which.any():
        _ike_port(packets.pick(which), wire_end[which], triage)
    which = ~unclear & (what == _NO_PORT)
    if which.any():
        _odd_ports(buffer, packets.pick(which), wire_end[which], triage)


def _ike_port(packets: Packets, wire_end: Indices, triage: Triage) -> None:
    """IKE, unless it is short or starts like a marker."""
    start = packets.transport + UDP_HEADER
    end = np.minimum(packets.end, wire_end)
    _take_ike(packets, start, end, wire_end, (end - start >= IKE_READABLE) & (packets.c != 0), triage)


def _take_ike(
    packets: Packets,
    start: Indices,
    end: Indices,
    wire_end: Indices,
    sure: Mask,
    triage: Triage,
    *,
    marker: bool = False,
) -> None:
    """Take the messages of which we are sure; the others are for the scalar path."""
    triage.unclear.append(packets.row[~sure])
    if sure.any():
        chosen = packets.pick(sure)
        ports = (chosen.a >> 16, chosen.a & 0xFFFF)
        triage.ike.append(PlainIke(chosen, *ports, start[sure], end[sure], wire_end[sure], marker))


def _nat_t(buffer: bytes, packets: Packets, wire_end: Indices, triage: Triage) -> None:
    """What shares UDP port 4500: ESP and keepalives are taken, IKE and the unclear are not."""
    start = packets.transport + UDP_HEADER
    end = np.minimum(packets.end, wire_end)
    have, wire = end - start, wire_end - start
    first, second = packets.c, packets.d
    sport, dport = packets.a >> 16, packets.a & 0xFFFF
    keepalive = (wire == 1) & (have == 1) & (first >> 24 == 0xFF)
    esp = (have >= _ESP_LEAST) & (first != 0) & (first != 2)
    longer = np.flatnonzero(esp & (have >= IKE_HEADER))
    stated = gather(buffer, start[longer] + IKE_HEADER - 4, _WORD)
    esp[longer[stated == wire[longer]]] = False  # may be IKE without its marker
    neither = ~(esp | keepalive)
    if neither.any():
        rest = packets.pick(neither)
        sure = (rest.c == 0) & (have[neither] >= len(MARKER) + IKE_READABLE)
        _take_ike(rest, start[neither] + len(MARKER), end[neither], wire_end[neither], sure, triage, marker=True)
    for kind, which in ((Kind.ESP, esp), (Kind.KEEPALIVE, keepalive)):
        if which.any():
            numbers = (first, second) if kind is Kind.ESP else (np.zeros_like(first), np.zeros_like(first))
            bulk = Bulk(kind, Encapsulation.UDP, packets, sport, dport, *numbers, start, end, wire_end)
            triage.bulk.append(bulk if which.all() else _pick(bulk, which))


def _odd_ports(buffer: bytes, packets: Packets, wire_end: Indices, triage: Triage) -> None:
    """UDP on ports that say nothing: what states its own length and an IKE version is for the scalar path."""
    start = packets.transport + UDP_HEADER
    end = np.minimum(packets.end, wire_end)
    candidate = np.zeros(len(start), bool)
    for skip in (0, 4):
        at = start + skip
        long = np.flatnonzero(end - at >= IKE_HEADER)
        stated = gather(buffer, at[long] + IKE_HEADER - 4, _WORD)
        long = long[stated == (wire_end - at)[long]]
        version = gather(buffer, at[long] + _VERSION_WORD, _WORD) >> 20 & 0x0F
        candidate[long[(version == 1) | (version == 2)]] = True
    _drop(triage, triage.udp, packets, candidate)


def _tcp(buffer: bytes, packets: Packets, triage: Triage) -> None:
    """TCP: only the NAT traversal port, Cisco's port, or a start with the prefix of RFC 9329, is of interest."""
    sport, dport = packets.a >> 16, packets.a & 0xFFFF
    have = packets.end - packets.transport
    ports = (NAT_T_PORT, CTCP_PORT)
    candidate = (np.isin(sport, ports) | np.isin(dport, ports)) & (have >= 4)
    start = 4 * (packets.d >> 28).astype(np.int64)
    long = np.flatnonzero((have >= TCP_HEADER) & (start >= TCP_HEADER) & (have - start >= len(TCP_PREFIX)))
    prefix = gather(buffer, packets.transport[long] + start[long], _WORD)
    candidate[long[prefix == _PREFIX_WORD]] = True
    _drop(triage, triage.tcp, packets, candidate)


def _leave(triage: Triage, packets: Packets, which: Mask) -> None:
    """These packets are of no interest, but for where they go."""
    count = int(np.count_nonzero(which))
    if count:
        triage.dropped += count
        triage.clear.append(clear.dropped(packets, which))


def _drop(triage: Triage, into: list[Dropped], packets: Packets, candidate: Mask) -> None:
    if candidate.any():
        triage.unclear.append(packets.row[candidate])
        packets = packets.pick(~candidate)
    _leave(triage, packets, np.ones(len(packets.row), bool))
    into.append(Dropped(packets.row, port_key(packets.a >> 16, packets.a & 0xFFFF)))
