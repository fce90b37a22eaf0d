"""Whole IP packets and IKE messages of a capture, read with dpkt: an independent way to the octets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dpkt
import msgspec

LINK_OFFSETS = {1: 14, 113: 16, 276: 20, 101: 0}


def ip_packets(path: Path) -> Iterator[bytes]:
    """Whole IP packets of a capture, IPv4 fragments joined."""
    parts: dict[bytes, dict[int, bytes]] = defaultdict(dict)
    with path.open("rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        skip = LINK_OFFSETS[reader.datalink()]
        for _, frame in reader:
            start = skip + 4 if skip == 14 and frame[12:14] == b"\x81\x00" else skip
            packet = bytes(frame[start:])
            if packet[0] >> 4 == 6:
                yield packet
                continue
            if packet[0] >> 4 != 4:
                continue
            packet = packet[: int.from_bytes(packet[2:4], "big")]
            flags = int.from_bytes(packet[6:8], "big")
            if not flags & 0x3FFF:
                yield packet
                continue
            key = packet[4:6] + packet[9:10] + packet[12:20]
            parts[key][flags & 0x1FFF] = packet
            if not flags & 0x2000:
                pieces = [parts[key][at] for at in sorted(parts[key])]
                body = b"".join(piece[20:] for piece in pieces)
                head = bytearray(pieces[0][:20])
                head[2:4] = (20 + len(body)).to_bytes(2, "big")
                head[6:8] = bytes(2)
                del parts[key]
                yield bytes(head) + body


class Message(msgspec.Struct, frozen=True):
    data: bytes

    @property
    def spis(self) -> tuple[bytes, bytes]:
        return self.data[:8], self.data[8:16]

    @property
    def exchange(self) -> int:
        return self.data[18]

    @property
    def from_initiator(self) -> bool:
        return bool(self.data[19] & 0x08)

    @property
    def is_response(self) -> bool:
        return bool(self.data[19] & 0x20)

    @property
    def message_id(self) -> int:
        return int.from_bytes(self.data[20:24], "big")

    def payloads(self) -> list[tuple[int, int, bytes]]:
        return chain(self.data[16], self.data[28:], 28)


def chain(kind: int, octets: bytes, base: int = 0) -> list[tuple[int, int, bytes]]:
    """(type, offset of the generic header, body) of each payload; SK and SKF end it."""
    out, at = [], 0
    while kind and at + 4 <= len(octets):
        length = int.from_bytes(octets[at + 2 : at + 4], "big")
        out.append((kind, base + at, octets[at + 4 : at + length]))
        if kind in (46, 53):
            break
        kind, at = octets[at], at + length
    return out


def ike_messages(path: Path) -> Iterator[Message]:
    """The IKE messages on ports 500 and 4500, in order of capture."""
    for packet in ip_packets(path):
        protocol, at = (packet[6], 40) if packet[0] >> 4 == 6 else (packet[9], 20)
        if protocol != 17:
            continue
        ports = int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(packet[at + 2 : at + 4], "big")
        data = packet[at + 8 : at + int.from_bytes(packet[at + 4 : at + 6], "big")]
        if 4500 in ports:
            if data[:4] != bytes(4):
                continue
            data = data[4:]
        elif 500 not in ports:
            continue
        if len(data) >= 28 and int.from_bytes(data[24:28], "big") == len(data):
            yield Message(data)
