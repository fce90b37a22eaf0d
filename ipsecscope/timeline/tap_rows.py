"""What identifies ESP and AH packets in the columns of a window, and what the path may change in them."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from ipsecscope.capture.columns import Columns
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.capture.headers import gather

_WORD = np.dtype("<u8")
_IP = np.dtype([("first", "u1"), ("tos", "u1"), ("length", ">u2"), ("id", ">u2"), ("flags", ">u2"), ("rest", "V12")])
CONTENT = {Kind.ESP: 8, Kind.AH: 12}  # where octets stand that differ from packet to packet

Numbers = npt.NDArray[np.int64]


class Traffic(IntEnum):
    """What a filter on the way can tell apart."""

    IKE_500 = 0
    IKE_4500 = 1
    IKE_ELSEWHERE = 2
    ESP = 3
    ESP_IN_UDP = 4
    ESP_IN_TCP = 5
    AH = 6
    KEEPALIVE = 7
    ICMP = 8
    OTHER = 9


def traffic_of_rows(columns: Columns) -> npt.NDArray[np.uint8]:
    """The ``Traffic`` of each packet."""
    found = np.full(len(columns), int(Traffic.AH), np.uint8)
    found[columns.kind == int(Kind.KEEPALIVE)] = int(Traffic.KEEPALIVE)
    esp = columns.kind == int(Kind.ESP)
    for encapsulation, traffic in (
        (Encapsulation.IP, Traffic.ESP),
        (Encapsulation.UDP, Traffic.ESP_IN_UDP),
        (Encapsulation.TCP, Traffic.ESP_IN_TCP),
    ):
        found[esp & (columns.encapsulation == int(encapsulation))] = int(traffic)
    return found


def ip_headers(columns: Columns) -> dict[str, Numbers]:
    """Size, ECN, DF and identification from the IP headers around the packets."""
    count = len(columns)
    size = columns.packet_length.astype(np.int64)
    ecn, df, identification = (np.full(count, -1, np.int64) for _ in range(3))
    here = np.flatnonzero((columns.packet_offset >= 0) & (size >= _IP.itemsize))
    head = gather(columns.buffer, columns.packet_offset[here], _IP)
    old = head["first"] >> 4 == 4
    rows, four = here[old], head[old]
    total = four["length"].astype(np.int64)
    size[rows] = np.where(total > 0, total, size[rows])
    ecn[rows], df[rows], identification[rows] = four["tos"] & 3, four["flags"] >> 14 & 1, four["id"]
    rows, six = here[~old], head[~old]
    size[rows] = six["id"].astype(np.int64) + 40  # the payload length of IPv6 stands where IPv4 has its identification
    ecn[rows] = six["tos"] >> 4 & 3
    for row in np.flatnonzero(columns.packet_offset < 0).tolist():
        packet = columns.packet(row)
        if len(packet) >= _IP.itemsize and packet[0] >> 4 == 4:
            ecn[row], identification[row] = packet[1] & 3, int.from_bytes(packet[4:6], "big")
            df[row] = packet[6] >> 6 & 1
    return {"size": size, "ecn": ecn, "df": df, "identification": identification}


def contents(columns: Columns) -> npt.NDArray[np.uint64]:
    """Eight octets behind the sequence number, or of the integrity value of AH; 0 where the capture lacks them."""
    content = np.zeros(len(columns), np.uint64)
    have = columns.length.astype(np.int64) - columns.missing
    for kind, skip in CONTENT.items():
        rows = np.flatnonzero((columns.kind == int(kind)) & (have >= skip + 8))
        here = rows[columns.offset[rows] >= 0]
        content[here] = gather(columns.buffer, columns.offset[here] + skip, _WORD)
        for row in rows[columns.offset[rows] < 0].tolist():
            content[row] = int.from_bytes(columns.payload(row)[skip : skip + 8], "little")
    return content


def totals(columns: Columns) -> Numbers:
    """The sum of the octets of each packet: equal for equal packets, another one for almost any damage."""
    found = np.full(len(columns), -1, np.int64)
    whole = columns.missing == 0
    stops = columns.offset + columns.length
    inside = whole & (columns.offset >= 0) & (columns.length > 0) & (stops < len(columns.buffer))
    here = np.flatnonzero(inside)
    if len(here):
        bounds = np.stack((columns.offset[here], stops[here]), axis=1).reshape(-1)
        found[here] = np.add.reduceat(np.frombuffer(columns.buffer, np.uint8), bounds, dtype=np.int64)[::2]
    for row in np.flatnonzero(whole & ~inside).tolist():
        found[row] = sum(columns.payload(row))
    return found


def checksums(columns: Columns) -> Numbers:
    """Whether the UDP header in front of a packet has a checksum; -1 where there is none or it is not known."""
    found = np.full(len(columns), -1, np.int64)
    rows = np.flatnonzero((columns.encapsulation == int(Encapsulation.UDP)) & (columns.offset >= 2))
    found[rows] = gather(columns.buffer, columns.offset[rows] - 2, np.dtype("<u2")) != 0
    return found
