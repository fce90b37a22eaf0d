"""Tunnels that carry IPsec inside other packets: GRE, EtherIP, VXLAN, Geneve, GTP-U and L2TP.

A function of a UDP tunnel moves the cursor only when the octets are such a tunnel.
"""

from __future__ import annotations

from ipsecscope.capture.link import ETHER_TYPES
from ipsecscope.capture.walk import Layer, Walk

VXLAN_PORT, GENEVE_PORT, GTP_U_PORT, L2TP_PORT = 4789, 6081, 2152, 1701
_VXLAN_OLD_PORT = 8472  # Linux before the assignment
TUNNEL_PORTS = frozenset((VXLAN_PORT, _VXLAN_OLD_PORT, GENEVE_PORT, GTP_U_PORT, L2TP_PORT))

_ERSPAN, _ERSPAN3 = 0x88BE, 0x22EB
_PPTP_VERSION = 1
_G_PDU = 0xFF  # 3GPP TS 29.281 section 6: user data
MAX_EXTENSIONS = 8  # GTP-U extension headers


def gre(walk: Walk) -> Layer | None:
    """GRE (RFC 2784, RFC 2890), the enhanced GRE of PPTP (RFC 2637), ERSPAN."""
    if walk.left < 4:
        return None
    flags, number = walk.number(0, 2), walk.number(2, 2)
    size = 4 + 4 * bool(flags & 0xC000) + 4 * bool(flags & 0x2000) + 4 * bool(flags & 0x1000)
    if flags & 7 == _PPTP_VERSION:
        size += 4 * bool(flags & 0x0080)
    elif flags & 0x4000 or flags & 7:
        return None  # source routes went out with RFC 2784, other versions never came
    walk.layers.append("GRE")
    walk.pos += size
    if number in (_ERSPAN, _ERSPAN3):
        return _erspan(walk, number, sequenced=bool(flags & 0x1000))
    return ETHER_TYPES.get(number)


def _erspan(walk: Walk, number: int, *, sequenced: bool) -> Layer | None:
    """ERSPAN types I (no header), II (8 octets) and III (12, and 8 more with the O flag)."""
    walk.layers.append("ERSPAN")
    if number == _ERSPAN:
        walk.pos += 8 if sequenced else 0
        return Layer.ETHERNET
    if walk.left < 12:
        return None
    walk.pos += 20 if walk.data[walk.pos + 11] & 1 else 12
    return Layer.ETHERNET


def etherip(walk: Walk) -> Layer | None:
    """Ethernet in IP (RFC 3378)."""
    if walk.left < 2 or walk.data[walk.pos] >> 4 != 3:
        return None
    walk.layers.append("EtherIP")
    walk.pos += 2
    return Layer.ETHERNET


def udp_tunnel(walk: Walk, dport: int) -> Layer | None:
    """The tunnel behind a UDP header, by its destination port and its own header; None when it is none."""
    if dport in (VXLAN_PORT, _VXLAN_OLD_PORT):
        return _vxlan(walk)
    if dport == GENEVE_PORT:
        return _geneve(walk)
    if dport == GTP_U_PORT:
        return _gtp_u(walk)
    return _l2tp(walk) if dport == L2TP_PORT else None


def _vxlan(walk: Walk) -> Layer | None:
    """VXLAN, RFC 7348 section 5."""
    if walk.left < 8 or walk.data[walk.pos] != 0x08 or walk.data[walk.pos + 7]:
        return None
    walk.layers.append(f"VXLAN {walk.number(4, 3)}")
    walk.pos += 8
    return Layer.ETHERNET


def _geneve(walk: Walk) -> Layer | None:
    """Geneve, RFC 8926 section 3.4."""
    if walk.left < 8 or walk.data[walk.pos] >> 6:
        return None
    following = ETHER_TYPES.get(walk.number(2, 2))
    if following is None:
        return None
    walk.layers.append(f"GENEVE {walk.number(4, 3)}")
    walk.pos += 8 + 4 * (walk.data[walk.pos] & 0x3F)
    return following


def _gtp_u(walk: Walk) -> Layer | None:
    """GTP-U, 3GPP TS 29.281 section 5: user data with its optional fields and extension headers."""
    if walk.left < 8 or walk.data[walk.pos] & 0xF0 != 0x30 or walk.data[walk.pos + 1] != _G_PDU:
        return None
    pos = walk.pos + 8
    if walk.data[walk.pos] & 7:
        pos += 4
        following = walk.data[pos - 1] if pos <= walk.end and walk.data[walk.pos] & 4 else 0
        for _ in range(MAX_EXTENSIONS):
            if not following or pos >= walk.end:
                break
            pos += 4 * max(1, walk.data[pos])
            following = walk.data[pos - 1] if pos <= walk.end else 0
    if pos >= walk.end or walk.data[pos] >> 4 not in (4, 6):
        return None
    walk.layers.append("GTP-U")
    walk.pos = pos
    return Layer.IP


def _l2tp(walk: Walk) -> Layer | None:
    """A data message of L2TP version 2, RFC 2661 section 3.1."""
    if walk.left < 6:
        return None
    flags = walk.number(0, 2)
    if flags & 0x8000 or flags & 0x0F != 2:
        return None
    pos = 6 + 2 * bool(flags & 0x4000) + 4 * bool(flags & 0x0800)
    if flags & 0x0200:
        if walk.left < pos + 2:
            return None
        pos += 2 + walk.number(pos, 2)
    if walk.left <= pos:
        return None
    walk.layers.append("L2TP")
    walk.pos += pos
    return Layer.PPP
