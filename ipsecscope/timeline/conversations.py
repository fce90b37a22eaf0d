"""Who talks to whom inside a tunnel, and who is told that it does not work: read from opened packets, never kept.

Only addresses and the kind of an error are counted, no contents.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TypeVar

from ipsecscope.dissect.registry.ip_protocols import IpProtocol

MAX_PAIRS_INSIDE = 256  # pairs of addresses, and errors, counted of one flow
IPV4_HEADER, IPV6_HEADER = 20, 40
TCP_HEADER = 20
RST, ACK = 0x04, 0x10
UNREACHABLE = "unreachable (ICMP)"
EXPIRED = "time to live exceeded (ICMP)"
TOO_BIG = "packet too big (ICMP)"
REFUSED = "connection refused (TCP RST)"
# ICMP errors by IP version, type and code; None stands for any other code (RFC 792, RFC 4443).
ICMP_ERRORS: dict[tuple[int, int, int | None], str] = {
    (4, 3, 4): TOO_BIG,
    (4, 3, None): UNREACHABLE,
    (4, 11, None): EXPIRED,
    (6, 1, None): UNREACHABLE,
    (6, 2, None): TOO_BIG,
    (6, 3, None): EXPIRED,
}

Pair = tuple[str, str]
Key = TypeVar("Key")


@dataclass(slots=True)
class Conversations:
    """Packets inside one flow by (source, destination), and errors by (kind, source, destination)."""

    pairs: Counter[Pair] = field(default_factory=Counter)
    errors: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def note(self, packet: bytes) -> None:
        """Count one IP packet; what is too short or of another version is left out."""
        version = packet[0] >> 4 if packet else 0
        if version == 4 and len(packet) >= IPV4_HEADER:
            start, protocol, places = (packet[0] & 15) * 4, packet[9], (packet[12:16], packet[16:20])
        elif version == 6 and len(packet) >= IPV6_HEADER:
            start, protocol, places = IPV6_HEADER, packet[6], (packet[8:24], packet[24:40])
        else:
            return
        src, dst = str(ip_address(places[0])), str(ip_address(places[1]))
        error = _error(version, protocol, packet[start:])
        if error is not None:
            _count(self.errors, (error, src, dst))
        else:
            _count(self.pairs, (src, dst))


def _count(counter: Counter[Key], key: Key) -> None:
    if key in counter or len(counter) < MAX_PAIRS_INSIDE:
        counter[key] += 1


def _error(version: int, protocol: int, data: bytes) -> str | None:
    """What a packet complains of: an ICMP error, or a reset of a connection that never was."""
    if protocol in (IpProtocol.ICMP, IpProtocol.IPV6_ICMP) and len(data) > 1:
        return ICMP_ERRORS.get((version, data[0], data[1])) or ICMP_ERRORS.get((version, data[0], None))
    if protocol == IpProtocol.TCP and len(data) >= TCP_HEADER:
        is_refusal = data[13] & (RST | ACK) == RST | ACK and data[4:8] == bytes(4)
        return REFUSED if is_refusal else None
    return None
