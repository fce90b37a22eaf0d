"""ICMP and ICMPv6 errors that quote IPsec packets (RFC 792, RFC 1191, RFC 4443): said, never counted as traffic."""

from __future__ import annotations

from ipsecscope.capture.datagrams import Encapsulation, IcmpError, Kind
from ipsecscope.capture.walk import Layer, Walk

ERRORS = frozenset((3, 4, 5, 11, 12))  # unreachable, source quench, redirect, time exceeded, parameter problem
ERRORS_V6 = frozenset((1, 2, 3, 4))  # unreachable, packet too big, time exceeded, parameter problem
_UNREACHABLE, _FRAGMENTATION_NEEDED, _PACKET_TOO_BIG = 3, 4, 2
_HEADER = 8


def icmp(walk: Walk) -> Layer | None:
    """An ICMP error: go on in the packet that it quotes."""
    return _error(walk, ERRORS, 4)


def icmpv6(walk: Walk) -> Layer | None:
    """An ICMPv6 error: go on in the packet that it quotes."""
    return _error(walk, ERRORS_V6, 6)


def _error(walk: Walk, errors: frozenset[int], version: int) -> Layer | None:
    if walk.left < _HEADER or walk.quoting is not None or walk.data[walk.pos] not in errors:
        return None
    kind, code = walk.data[walk.pos], walk.data[walk.pos + 1]
    mtu = None
    if version == 4 and (kind, code) == (_UNREACHABLE, _FRAGMENTATION_NEEDED):
        mtu = walk.number(6, 2) or None  # 0 from routers older than RFC 1191
    elif version == 6 and kind == _PACKET_TOO_BIG:
        mtu = walk.number(4, 4)
    error = IcmpError(sender=walk.src, type=kind, code=code, mtu=mtu, version=version)
    walk.layers.append("ICMP" if version == 4 else "ICMPv6")
    payload = walk.data[walk.pos : walk.end]
    walk.quoting = walk.template(Kind.ICMP, Encapsulation.IP, (0, 0), payload=payload, icmp=error)
    walk.layers = []
    walk.inside_ip = False  # the quoted packet was longer than the quote
    _leave_extensions(walk, kind, version)
    walk.pos += _HEADER
    return Layer.IP


def _leave_extensions(walk: Walk, kind: int, version: int) -> None:
    """End the quote where extension objects start (RFC 4884 section 4)."""
    words = 0
    if version == 4 and kind in (3, 11, 12):
        words = 4 * walk.data[walk.pos + 5]
    elif version == 6 and kind in (1, 3):
        words = 8 * walk.data[walk.pos + 4]
    if words:
        walk.end = min(walk.end, walk.pos + _HEADER + words)
