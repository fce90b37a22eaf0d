"""Link and IP headers of a window of records, read as columns: the shapes that need no second thought.

Rows of any other shape are named in ``others``; ``dropped`` are those in which ``layers.py`` would find nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.link import (
    AF_INET,
    AF_INET6,
    ETHER_TYPES,
    ETHERNET_HEADER,
    IPV4_TYPE,
    IPV6_TYPE,
    LEAST_ETHER_TYPE,
    LINK_LAYERS,
    SLL2_HEADER,
    SLL_HEADER,
)
from ipsecscope.capture.records import Records
from ipsecscope.capture.walk import Layer

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

IPV4_HEADER, IPV6_HEADER = 20, 40
REACH = 128  # octets behind the start of a record that are read without looking whether they are its own
_VLAN_TYPE, _VLAN_TAG = 0x8100, 4

_TRANSPORT = [("a", ">u4"), ("b", ">u4"), ("c", ">u4"), ("d", ">u4")]
_IPV4 = np.dtype(
    [
        ("version", "u1"),
        ("traffic_class", "u1"),
        ("length", ">u2"),
        ("identification", ">u2"),
        ("fragment", ">u2"),
        ("ttl", "u1"),
        ("protocol", "u1"),
        ("checksum", ">u2"),
        ("src", "V4"),
        ("dst", "V4"),
        *_TRANSPORT,
    ]
)
_IPV6 = np.dtype(
    [
        ("flow", ">u4"),
        ("length", ">u2"),
        ("protocol", "u1"),
        ("ttl", "u1"),
        ("src", "V16"),
        ("dst", "V16"),
        *_TRANSPORT,
    ]
)
_FRAGMENTED = 0x3FFF  # more fragments, and the offset
_PLAIN_IPV4 = 0x45  # version 4, five words of header

_IPV4_LIKE, _IPV6_LIKE, _SCALAR, _DROP = 4, 6, 0, -1


class Packets(msgspec.Struct):
    """IP packets of one version whose headers are plain.

    One entry per packet: ``row`` is its record, ``start`` where its IP header stands in the buffer, ``transport``
    where what follows does, ``end`` where its captured octets end, ``wire_end`` where it ended on the wire. ``a`` to
    ``d`` are the first four words behind the IP header; they mean something only as far as ``end``.
    """

    version: int
    row: Indices
    start: Indices
    transport: Indices
    end: Indices
    wire_end: Indices
    protocol: npt.NDArray[np.uint8]
    ttl: npt.NDArray[np.uint8]
    dscp: npt.NDArray[np.uint8]
    src: npt.NDArray[Any]
    dst: npt.NDArray[Any]
    a: npt.NDArray[np.uint32]
    b: npt.NDArray[np.uint32]
    c: npt.NDArray[np.uint32]
    d: npt.NDArray[np.uint32]

    def pick(self, which: Mask) -> Packets:
        """Some of them."""
        if which.all():
            return self
        chosen = {name: getattr(self, name)[which] for name in self.__struct_fields__ if name != "version"}
        return Packets(version=self.version, **chosen)


class Headers(msgspec.Struct):
    """What a window holds: plain packets by version, rows for the scalar path, and how many hold nothing."""

    packets: list[Packets]
    others: list[Indices]
    dropped: int


def gather(buffer: bytes, at: Indices, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """The structure at each of the places ``at``; the caller knows that they are inside."""
    size = dtype.itemsize
    cells = np.ndarray(shape=(max(0, len(buffer) - size + 1),), dtype=f"V{size}", buffer=buffer, strides=(1,))
    return cells[at].view(dtype)


def read_headers(records: Records) -> Headers:
    """Read link and IP headers of all records of a window."""
    headers = Headers([], [], 0)
    near_end = records.offset + REACH > len(records.buffer)
    rows = np.arange(len(records), dtype=np.int64)
    if near_end.any():
        headers.others.append(rows[near_end])
    for link_type in np.unique(records.link_type).tolist():
        chosen = rows[(records.link_type == link_type) & ~near_end]
        layer = LINK_LAYERS.get(link_type)
        if layer is None:
            headers.dropped += len(chosen)
        elif len(chosen):
            _read_link(records, headers, chosen, layer)
    return headers


def _read_link(records: Records, headers: Headers, rows: Indices, layer: Layer) -> None:
    reader = _LINKS.get(layer)
    if reader is None:
        headers.others.append(rows)
        return
    kind, size = reader(records, rows)
    scalar = kind == _SCALAR
    headers.others.append(rows[scalar])
    headers.dropped += int(np.count_nonzero(kind == _DROP))
    for like, read_ip in ((_IPV4_LIKE, _read_ipv4), (_IPV6_LIKE, _read_ipv6)):
        which = kind == like
        if which.any():
            read_ip(records, headers, rows[which], size[which])


Sorted = tuple[npt.NDArray[np.int8], Indices]  # what follows the link header, and how long that is


def _by_ether_type(types: npt.NDArray[Any], size: int) -> Sorted:
    """What each EtherType says, behind a link header of ``size`` octets."""
    kind = np.full(len(types), _DROP, np.int8)
    kind[types == IPV4_TYPE] = _IPV4_LIKE
    kind[types == IPV6_TYPE] = _IPV6_LIKE
    unclear = (types < LEAST_ETHER_TYPE) | np.isin(types, _UNCLEAR_TYPES)
    kind[unclear] = _SCALAR
    return kind, np.full(len(types), size, np.int64)


def _short(records: Records, rows: Indices, kind: npt.NDArray[np.int8], size: Indices) -> None:
    """Records that end inside their link header are for the scalar path."""
    kind[records.captured[rows] < size] = _SCALAR


def _ethernet(records: Records, rows: Indices) -> Sorted:
    head = gather(records.buffer, records.offset[rows], _ETHERNET)
    kind, size = _by_ether_type(head["type"], ETHERNET_HEADER)
    tagged = head["type"] == _VLAN_TYPE
    if tagged.any():
        kind[tagged], size[tagged] = _by_ether_type(head["inner"][tagged], ETHERNET_HEADER + _VLAN_TAG)
    _short(records, rows, kind, size)
    return kind, size


def _sll(records: Records, rows: Indices) -> Sorted:
    head = gather(records.buffer, records.offset[rows], _SLL)
    kind, size = _by_ether_type(head["type"], SLL_HEADER)
    _short(records, rows, kind, size)
    return kind, size


def _sll2(records: Records, rows: Indices) -> Sorted:
    head = gather(records.buffer, records.offset[rows], _SLL2)
    kind, size = _by_ether_type(head["type"], SLL2_HEADER)
    _short(records, rows, kind, size)
    return kind, size


def _null(records: Records, rows: Indices) -> Sorted:
    head = gather(records.buffer, records.offset[rows], np.dtype(">u4"))
    family = np.where(head <= 0xFF, head, head.byteswap())
    kind = np.full(len(rows), _SCALAR, np.int8)
    kind[family == AF_INET] = _IPV4_LIKE
    kind[np.isin(family, list(AF_INET6))] = _IPV6_LIKE
    size = np.full(len(rows), 4, np.int64)
    _short(records, rows, kind, size)
    return kind, size


def _raw(records: Records, rows: Indices) -> Sorted:
    version = gather(records.buffer, records.offset[rows], np.dtype("u1")) >> 4
    kind = np.full(len(rows), _SCALAR, np.int8)
    kind[version == 4] = _IPV4_LIKE
    kind[version == 6] = _IPV6_LIKE
    return kind, np.zeros(len(rows), np.int64)


_UNCLEAR_TYPES: Sequence[int] = sorted(set(ETHER_TYPES) - {IPV4_TYPE, IPV6_TYPE})
_ETHERNET = np.dtype([("addresses", "V12"), ("type", ">u2"), ("tag", ">u2"), ("inner", ">u2")])
_SLL = np.dtype([("before", "V14"), ("type", ">u2")])
_SLL2 = np.dtype([("type", ">u2"), ("behind", "V18")])
_LINKS = {Layer.ETHERNET: _ethernet, Layer.SLL: _sll, Layer.SLL2: _sll2, Layer.NULL: _null, Layer.IP: _raw}


def _read_ipv4(records: Records, headers: Headers, rows: Indices, size: Indices) -> None:
    start = records.offset[rows] + size
    captured_end = records.offset[rows] + records.captured[rows]
    head = gather(records.buffer, start, _IPV4)
    length = head["length"].astype(np.int64)
    plain = (head["version"] == _PLAIN_IPV4) & (head["fragment"] & _FRAGMENTED == 0) & (length >= IPV4_HEADER)
    plain &= captured_end - start >= IPV4_HEADER
    _add(
        headers,
        4,
        rows,
        start,
        captured_end,
        start + length,
        head,
        plain,
        (head["traffic_class"] >> 2).astype(np.uint8),
    )


def _read_ipv6(records: Records, headers: Headers, rows: Indices, size: Indices) -> None:
    start = records.offset[rows] + size
    captured_end = records.offset[rows] + records.captured[rows]
    head = gather(records.buffer, start, _IPV6)
    length = head["length"].astype(np.int64)
    plain = (head["flow"] >> 28 == 6) & (length > 0) & (captured_end - start >= IPV6_HEADER)
    dscp = (head["flow"] >> 22 & 0x3F).astype(np.uint8)
    _add(headers, 6, rows, start, captured_end, start + IPV6_HEADER + length, head, plain, dscp)


def _add(
    headers: Headers,
    version: int,
    rows: Indices,
    start: Indices,
    captured_end: Indices,
    wire_end: Indices,
    head: npt.NDArray[Any],
    plain: Mask,
    dscp: npt.NDArray[np.uint8],
) -> None:
    packets = Packets(
        version=version,
        row=rows,
        start=start,
        transport=start + (IPV4_HEADER if version == 4 else IPV6_HEADER),
        end=np.minimum(captured_end, wire_end),
        wire_end=wire_end,
        dscp=dscp,
        protocol=head["protocol"],
        ttl=head["ttl"],
        src=head["src"],
        dst=head["dst"],
        a=head["a"].astype(np.uint32),
        b=head["b"].astype(np.uint32),
        c=head["c"].astype(np.uint32),
        d=head["d"].astype(np.uint32),
    )
    if not plain.all():
        headers.others.append(rows[~plain])
        packets = packets.pick(plain)
    headers.packets.append(packets)
