"""One frame, from its link layer through tags and tunnels to IKE, ESP, AH: the scalar truth for ``columns.py``.

A loop over tables, never recursion; what is not IPsec falls out silently; no octets raise. Checksums are not looked
at: captures on the sending host have wrong ones. What the capture lacks is counted in ``missing``.
"""

from __future__ import annotations

from collections.abc import Callable

from ipsecscope.capture import ctcp, icmp, link, tunnels
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.ports import LEAST, NAT_T_PORT, Content, Protocol, nat_t_content, udp_content
from ipsecscope.capture.records import CaptureNote, Frame
from ipsecscope.capture.walk import Fragment, Known, Layer, Origin, Segment, Unit, Walk, address_text, endpoints

MAX_DEPTH = 16  # IP packets, tags and tunnels inside each other
MAX_EXTENSION_HEADERS = 16  # IPv6 extension headers of one packet
TCP_PREFIX = b"IKETCP"  # RFC 9329 section 4

IP_PROTOCOLS: dict[int, Layer] = {
    Protocol.ICMP: Layer.ICMP,
    Protocol.IPV4: Layer.IPV4,
    Protocol.TCP: Layer.TCP,
    Protocol.UDP: Layer.UDP,
    Protocol.IPV6: Layer.IPV6,
    Protocol.GRE: Layer.GRE,
    Protocol.ESP: Layer.ESP,
    Protocol.AH: Layer.AH,
    Protocol.ICMPV6: Layer.ICMPV6,
    Protocol.ETHERIP: Layer.ETHERIP,
    Protocol.IPCOMP: Layer.IPCOMP,
    Protocol.MPLS: Layer.MPLS,
    Protocol.WESP: Layer.WESP,
    Protocol.ETHERNET: Layer.ETHERNET,
}
EXTENSION_HEADERS = frozenset(
    (
        Protocol.HOP_BY_HOP,
        Protocol.ROUTING,
        Protocol.FRAGMENT,
        Protocol.DESTINATION,
        Protocol.MOBILITY,
        Protocol.HIP,
        Protocol.SHIM6,
    )
)
_NESTING = frozenset((Layer.IPV4, Layer.IPV6, Layer.VLAN, Layer.ETHERNET, Layer.LLC, Layer.MPLS, Layer.AH))
IPV4_HEADER, IPV6_HEADER, UDP_HEADER, TCP_HEADER, FRAGMENT_HEADER = 20, 40, 8, 20, 8
DONT_FRAGMENT, MORE_FRAGMENTS, FRAGMENT_OFFSET = 0x4000, 0x2000, 0x1FFF
_SYN, _RST, _ACK = 0x02, 0x04, 0x10


def ip(walk: Walk) -> Layer | None:
    """IPv4 or IPv6, as the version nibble says."""
    if walk.left < 1:
        return None
    return {4: Layer.IPV4, 6: Layer.IPV6}.get(walk.data[walk.pos] >> 4)


def _bound(walk: Walk, length: int) -> None:
    """The IP packet at the cursor has ``length`` octets; none within the packet around it is longer than that one."""
    stop = walk.pos + length
    walk.wire_end = min(stop, walk.wire_end) if walk.inside_ip else stop
    walk.end = min(walk.end, stop)
    walk.inside_ip = True
    walk.packet_start, walk.packet_end = walk.pos, walk.end


def ipv4(walk: Walk) -> Layer | None:
    """IPv4, RFC 791 section 3.1."""
    if walk.left < IPV4_HEADER:
        return None
    first, total = walk.data[walk.pos], walk.number(2, 2)
    header = 4 * (first & 0x0F)
    if first >> 4 != 4 or header < IPV4_HEADER or 0 < total < header:
        return None
    _bound(walk, total or walk.wire_end - walk.pos)  # 0: the sending host leaves segmentation to its network card
    if walk.left < header:
        return None
    flags, protocol = walk.number(6, 2), walk.data[walk.pos + 9]
    walk.layers.append("IPv4")
    walk.version, walk.ttl, walk.dscp = 4, walk.data[walk.pos + 8], walk.data[walk.pos + 1] >> 2
    walk.src = address_text(walk.data[walk.pos + 12 : walk.pos + 16])
    walk.dst = address_text(walk.data[walk.pos + 16 : walk.pos + 20])
    walk.identification, walk.dont_fragment = walk.number(4, 2), bool(flags & DONT_FRAGMENT)
    walk.outermost = walk.outermost or (walk.src, walk.dst, protocol)
    start = walk.pos
    walk.pos += header
    if flags & (MORE_FRAGMENTS | FRAGMENT_OFFSET):
        head = bytearray(walk.data[start : walk.pos])
        head[6:8] = (flags & DONT_FRAGMENT).to_bytes(2, "big")
        return _fragment(walk, protocol, bytes(head), 8 * (flags & FRAGMENT_OFFSET), more=bool(flags & MORE_FRAGMENTS))
    return IP_PROTOCOLS.get(protocol)


def ipv6(walk: Walk) -> Layer | None:
    """IPv6 and its extension headers, RFC 8200 sections 3 and 4."""
    if walk.left < IPV6_HEADER or walk.data[walk.pos] >> 4 != 6:
        return None
    length = walk.number(4, 2)
    _bound(walk, IPV6_HEADER + length if length else walk.wire_end - walk.pos)  # 0: a jumbogram, or segmentation
    walk.layers.append("IPv6")
    walk.version, walk.ttl, walk.dscp = 6, walk.data[walk.pos + 7], walk.number(0, 2) >> 6 & 0x3F
    walk.src = address_text(walk.data[walk.pos + 8 : walk.pos + 24])
    walk.dst = address_text(walk.data[walk.pos + 24 : walk.pos + 40])
    walk.identification = walk.dont_fragment = None
    following = walk.pos + 6  # where the number of the next header stands
    walk.pos += IPV6_HEADER
    for _ in range(MAX_EXTENSION_HEADERS):
        number = walk.data[following]
        if number not in EXTENSION_HEADERS:
            walk.outermost = walk.outermost or (walk.src, walk.dst, number)
            return IP_PROTOCOLS.get(number)
        if walk.left < FRAGMENT_HEADER:
            return None
        if number == Protocol.FRAGMENT:
            offset, identification = walk.number(2, 2), walk.number(4, 4)
            walk.identification = identification
            if offset & 0xFFF9:  # else atomic, RFC 6946: a whole packet
                return _fragment6(walk, following, offset)
        following = walk.pos
        walk.pos += FRAGMENT_HEADER if number == Protocol.FRAGMENT else 8 * (walk.data[walk.pos + 1] + 1)
        if walk.left < 0:
            return None
    return None


def _fragment6(walk: Walk, following: int, offset: int) -> Layer | None:
    start = walk.packet_start
    head = bytearray(walk.data[start : walk.pos])
    protocol = head[following - start] = walk.data[walk.pos]
    walk.pos += FRAGMENT_HEADER
    return _fragment(walk, protocol, bytes(head), offset & 0xFFF8, more=bool(offset & 1))


def _fragment(walk: Walk, protocol: int, header: bytes, start: int, *, more: bool) -> Layer | None:
    """A fragment: set aside for reassembly; in the quote of an ICMP error it is all there will ever be."""
    layer = IP_PROTOCOLS.get(protocol)
    if layer is None and protocol not in EXTENSION_HEADERS:
        return None
    if walk.quoting is not None:
        if start and layer in (Layer.ESP, Layer.AH):
            walk.deliver(Kind.FRAGMENT)
        return None if start else layer
    identification = walk.identification or 0
    packed = walk.data[walk.packet_start + 8 : walk.packet_start + 40]
    src, dst = (packed[4:8], packed[8:12]) if walk.version == 4 else (packed[:16], packed[16:])
    kind = protocol if walk.version == 4 else -1  # RFC 8200 leaves the protocol out of the key
    walk.found.append(
        Fragment(
            key=(walk.origin.file, walk.version, src, dst, identification, kind),
            version=walk.version,
            protocol=protocol,
            src=walk.src,
            dst=walk.dst,
            identification=identification,
            header=header,
            start=start,
            length=max(0, walk.wire_end - walk.pos),
            more=more,
            data=walk.data[walk.pos : walk.end],
            packet=walk.data[walk.packet_start : walk.packet_end],
            origin=walk.origin,
            layers=tuple(walk.layers[:-1]),
            depth=walk.depth,
        )
    )
    return None


def udp(walk: Walk) -> Layer | None:
    """UDP (RFC 768): a tunnel, IKE, ESP, or nothing of interest."""
    if walk.left < 4:
        return None
    sport, dport = walk.number(0, 2), walk.number(2, 2)
    length = walk.number(4, 2) if walk.left >= UDP_HEADER else 0
    if length >= UDP_HEADER:
        walk.wire_end = min(walk.wire_end, walk.pos + length)
        walk.end = min(walk.end, walk.wire_end)
    walk.pos = min(walk.pos + UDP_HEADER, walk.end)
    walk.layers.append("UDP")
    inner = tunnels.udp_tunnel(walk, dport) if dport in tunnels.TUNNEL_PORTS else None
    if inner is not None:
        return inner
    content = _content(walk, (sport, dport))
    if content is not None:
        walk.pos = min(walk.pos + content.skip, walk.end)
        ports = (sport, dport)
        walk.deliver(content.kind, encapsulation=Encapsulation.UDP, ports=ports, marker=content.marker)
    return None


def _content(walk: Walk, ports: tuple[int, int]) -> Content | None:
    data, wire = walk.data[walk.pos : walk.end], walk.wire_end - walk.pos
    nat_t = walk.known.nat_t
    if nat_t and endpoints(walk.src, ports[0], walk.dst, ports[1]) in nat_t:
        return nat_t_content(data, wire)
    return udp_content(data, wire, ports, walk.extra)


def tcp(walk: Walk) -> Layer | None:
    """TCP: a segment on the port of RFC 9329, of a known conversation, or with the prefix that starts one; Cisco's own."""
    if walk.left < TCP_HEADER or walk.quoting is not None:
        return None
    sport, dport = walk.number(0, 2), walk.number(2, 2)
    start = walk.pos
    size = 4 * (walk.data[start + 12] >> 4)
    if size < TCP_HEADER:
        return None
    data = walk.data[start + size : walk.end]
    known = walk.known.tcp
    pair = endpoints(walk.src, sport, walk.dst, dport)
    if NAT_T_PORT not in (sport, dport) and not data.startswith(TCP_PREFIX) and pair not in known:
        if ctcp.CTCP_PORT in (sport, dport):
            ctcp.deliver(walk, start + size, (sport, dport))
        return None
    flags = walk.data[start + 13]
    walk.layers.append("TCP")
    template = walk.template(Kind.OTHER, Encapsulation.TCP, (sport, dport))
    walk.found.append(
        Segment(
            template=template,
            seq=int.from_bytes(walk.data[start + 4 : start + 8], "big"),
            ack=int.from_bytes(walk.data[start + 8 : start + 12], "big") if flags & _ACK else None,
            syn=bool(flags & _SYN),
            reset=bool(flags & _RST),
            data=data,
            missing=max(0, walk.wire_end - start - size - len(data)),
            offset=start + size if walk.origin.whole else None,
        )
    )
    return None


def esp(walk: Walk) -> Layer | None:
    """ESP as an IP protocol, RFC 4303."""
    walk.deliver(Kind.ESP)
    return None


def ah(walk: Walk) -> Layer | None:
    """AH, RFC 4302 section 2; what it protects is looked into when it is ESP or AH again."""
    walk.deliver(Kind.AH)
    if walk.left < LEAST[Kind.AH]:
        return None
    number, size = walk.data[walk.pos], 4 * (walk.data[walk.pos + 1] + 2)
    if number not in (Protocol.ESP, Protocol.AH) or walk.pos + size >= walk.end:
        return None
    walk.layers.append("AH")
    walk.pos += size
    return Layer.ESP if number == Protocol.ESP else Layer.AH


def ipcomp(walk: Walk) -> Layer | None:
    """IPComp outside ESP, RFC 3173."""
    walk.deliver(Kind.IPCOMP)
    return None


def wesp(walk: Walk) -> Layer | None:
    """Wrapped ESP as an IP protocol, RFC 5840."""
    walk.deliver(Kind.WESP)
    return None


STEPS: dict[Layer, Callable[[Walk], Layer | None]] = {
    Layer.ETHERNET: link.ethernet,
    Layer.ETHER_TYPE: link.ether_type,
    Layer.LLC: link.llc,
    Layer.VLAN: link.vlan,
    Layer.SLL: link.sll,
    Layer.SLL2: link.sll2,
    Layer.NULL: link.null,
    Layer.PPP: link.ppp,
    Layer.PPP_HDLC: link.ppp_hdlc,
    Layer.PPPOE: link.pppoe,
    Layer.MPLS: link.mpls,
    Layer.IP: ip,
    Layer.IPV4: ipv4,
    Layer.IPV6: ipv6,
    Layer.GRE: tunnels.gre,
    Layer.ETHERIP: tunnels.etherip,
    Layer.UDP: udp,
    Layer.TCP: tcp,
    Layer.ESP: esp,
    Layer.AH: ah,
    Layer.IPCOMP: ipcomp,
    Layer.WESP: wesp,
    Layer.ICMP: icmp.icmp,
    Layer.ICMPV6: icmp.icmpv6,
}


class Decoder:
    """Takes frames apart, one at a time.

    Attributes:
        notes: what was given up on.
        outermost: source, destination and protocol of the outermost IP packet of the latest frame; None without one.
        known: conversations on ports of their own, filled by whoever keeps track of them.
    """

    def __init__(self, ike_ports: frozenset[int] = frozenset(), known: Known | None = None) -> None:
        """``ike_ports`` are UDP ports that carry IKE besides those that are recognised."""
        self.ike_ports = ike_ports
        self.known = known or Known()
        self.notes: list[CaptureNote] = []
        self.outermost: tuple[str, str, int] | None = None

    def decode(self, frame: Frame) -> list[Datagram]:
        """The datagrams that stand whole in one frame: nothing that needs another frame."""
        return [unit for unit in self.units(frame) if isinstance(unit, Datagram)]

    def units(self, frame: Frame) -> list[Unit]:
        """Everything of IPsec in one frame: datagrams, IP fragments, TCP segments."""
        layer = link.LINK_LAYERS.get(frame.link_type)
        self.outermost = None
        if layer is None:
            return []
        origin = Origin(frame.file, (frame.number,), frame.time_ns, frame.comment)
        layers = ["RAW"] if frame.link_type in link.RAW_LINK_TYPES else []
        walk = Walk(frame.data, frame.original_length, origin, self.ike_ports, self.known, layers)
        found = self._run(walk, layer)
        self.outermost = walk.outermost
        return found

    def packet_units(
        self, packet: bytes, wire_length: int, origin: Origin, layers: list[str], depth: int
    ) -> list[Unit]:
        """As ``units``, for an IP packet that was put together from fragments."""
        walk = Walk(packet, wire_length, origin, self.ike_ports, self.known, layers)
        walk.depth = depth
        return self._run(walk, Layer.IP)

    def _run(self, walk: Walk, layer: Layer | None) -> list[Unit]:
        while layer is not None:  # every cycle of layers passes one that nests
            walk.depth += layer in _NESTING
            if walk.depth > MAX_DEPTH:
                text = f"more than {MAX_DEPTH} packets, tags and tunnels inside each other: the rest is not looked into"
                self.notes.append(CaptureNote("layers.depth", text, walk.pos, frame=walk.origin.frames[-1]))
                break
            layer = STEPS[layer](walk)
        return walk.found
