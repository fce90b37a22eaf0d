"""IKE messages in plain UDP datagrams, made from the columns of ``triage.py`` without walking their headers again."""

from __future__ import annotations

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.headers import IPV4_HEADER
from ipsecscope.capture.link import ETHERNET_HEADER, LINK_LAYERS
from ipsecscope.capture.records import Records
from ipsecscope.capture.triage import PlainIke
from ipsecscope.capture.walk import Layer, address_text

_NAMES = {Layer.SLL: ("SLL",), Layer.SLL2: ("SLL2",), Layer.NULL: ("NULL",), Layer.IP: ("RAW",)}


def datagrams_of(records: Records, plain: list[PlainIke]) -> dict[int, Datagram]:
    """The messages by the rows of their records."""
    found: dict[int, Datagram] = {}
    for each in plain:
        columns = (each.packets.row, each.packets.start, each.packets.end, each.start, each.end, each.wire_end)
        numbers = (each.sport, each.dport, each.packets.ttl, each.packets.dscp)
        for values in zip(*(column.tolist() for column in (*columns, *numbers)), strict=True):
            found[values[0]] = _datagram(records, each, *values)
    return found


def _datagram(
    records: Records,
    plain: PlainIke,
    row: int,
    packet: int,
    packet_end: int,
    start: int,
    end: int,
    wire_end: int,
    sport: int,
    dport: int,
    ttl: int,
    dscp: int,
) -> Datagram:
    buffer, record = records.buffer, int(records.offset[row])
    version = plain.packets.version
    size = 4 if version == 4 else 16
    addresses = packet + IPV4_HEADER - 2 * size if version == 4 else packet + 8
    return Datagram(
        file=records.file,
        frames=(records.first_number + row,),
        time_ns=int(records.time_ns[row]),
        kind=Kind.IKE,
        encapsulation=Encapsulation.UDP,
        src=address_text(buffer[addresses : addresses + size]),
        dst=address_text(buffer[addresses + size : addresses + 2 * size]),
        sport=sport,
        dport=dport,
        payload=buffer[start:end],
        offset=start - record,
        missing=wire_end - end,
        marker=plain.marker,
        packet=buffer[packet:packet_end],
        ttl=ttl,
        dscp=dscp,
        identification=int.from_bytes(buffer[packet + 4 : packet + 6], "big") if version == 4 else None,
        dont_fragment=bool(buffer[packet + 6] & 0x40) if version == 4 else None,
        layers=(*_link_names(records, row, record, packet), "IPv4" if version == 4 else "IPv6", "UDP"),
        comment=records.comments.get(row, ""),
        packet_offset=packet - record,
    )


def _link_names(records: Records, row: int, record: int, packet: int) -> tuple[str, ...]:
    """The names that ``link.py`` gives to what stands in front of the IP packet."""
    layer = LINK_LAYERS[int(records.link_type[row])]
    if layer is not Layer.ETHERNET:
        return _NAMES[layer]
    if packet - record == ETHERNET_HEADER:
        return ("ETHERNET",)
    tag = int.from_bytes(records.buffer[record + ETHERNET_HEADER : record + ETHERNET_HEADER + 2], "big")
    return ("ETHERNET", f"VLAN {tag & 0x0FFF}")
