"""IPsec in TCP as the Cisco VPN 3000 and its clients have it ("cTCP"): one packet per segment, a trailer behind it.

The format was never published; this is what captures show. In front stands an ESP packet, or a whole UDP datagram
with IKE. The trailer has four zero octets, a counter, two octets of which the lower twelve bits are zero, five octets
of unknown meaning, the IP protocol of what stands in front, and two more unknown octets.
"""

from __future__ import annotations

from typing import Final

from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.capture.ports import IKE_PORT, Protocol, ike_content
from ipsecscope.capture.walk import Walk

CTCP_PORT: Final = 10000
TRAILER_SIZE: Final = 16

_LEAST_ESP = 16  # octets of an ESP packet with the smallest trailer and check value there is
_FIRST_SPI = 256  # RFC 4303 section 2.1
_UDP_HEADER = 8
_ENDS = IKE_PORT.to_bytes(2, "big") * 2


def deliver(walk: Walk, start: int, ports: tuple[int, int]) -> bool:
    """Deliver what a TCP segment with octets from ``start`` on carries, when it is of this kind; whether it was."""
    data = walk.data[start : walk.end]
    if walk.wire_end != walk.end or len(data) < TRAILER_SIZE + _LEAST_ESP:
        return False
    inner, trailer = data[:-TRAILER_SIZE], data[-TRAILER_SIZE:]
    if any(trailer[:4]) or trailer[6] & 0x0F or trailer[7]:
        return False
    skip, kind = 0, Kind.ESP
    if trailer[13] == Protocol.UDP:
        skip, kind = _UDP_HEADER, Kind.IKE
        size = int.from_bytes(inner[4:6], "big")
        if inner[:4] != _ENDS or size != len(inner) or ike_content(inner[skip:], size - skip) is None:
            return False
    elif trailer[13] != Protocol.ESP or len(inner) % 4 or int.from_bytes(inner[:4], "big") < _FIRST_SPI:
        return False
    walk.layers += ["TCP", "cTCP"]
    walk.pos = start + skip
    walk.end -= TRAILER_SIZE
    walk.wire_end -= TRAILER_SIZE
    walk.deliver(kind, encapsulation=Encapsulation.TCP, ports=ports)
    return True
