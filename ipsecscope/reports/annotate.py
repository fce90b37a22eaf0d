"""What to say of every IPsec packet of a capture in one line: the notation of the RFCs, the SA, what was inside."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.decrypt.opening_esp import EspOpened
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.dissect.esp import Esp
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import Exchange, ExchangeMessage, Flow, IkeSa, Report
from ipsecscope.reports.escape import show
from ipsecscope.reports.ladder import notation
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.inner import Opened, Restored

MAX_INNER = 500_000  # packets whose content is remembered for their comment; the rest is only named

Place = tuple[int, int]  # file, frame


class Annotations:
    """Collects what is known of each frame; ``learn`` comes before ``lines``."""

    def __init__(self) -> None:
        self._inside: dict[tuple[Place, int], str] = {}
        self._messages: dict[Place, list[str]] = {}
        self._flows: dict[tuple[str, str, str], Flow] = {}

    def __call__(self, datagram: Datagram, opened: Opened, restored: Restored) -> None:
        """Remember what an opened packet protects."""
        if len(self._inside) < MAX_INNER:
            place = (datagram.file, datagram.frame)
            self._inside[place, opened.spi] = _inside(opened, restored)

    def learn(self, analysis: Analysis) -> None:
        """Read the messages, flows and findings of an analysis."""
        report = assemble(analysis, diagnose(analysis))
        for sa in report.ike_sas:
            for exchange in sa.exchanges:
                for place, line in _exchange_lines(sa, exchange):
                    self._messages.setdefault(place, []).append(line)
        for place, line in _finding_lines(report):
            self._messages.setdefault(place, []).append(line)
        self._flows = {(flow.dst, flow.protocol, flow.spi): flow for flow in report.flows}

    def lines_of(self, file: int, frame: int) -> list[str]:
        """What the messages and findings say of a frame."""
        return self._messages.get((file, frame), [])

    def line(self, datagram: Datagram) -> str:
        """One line for an ESP or AH packet."""
        name, at = datagram.kind.name, 0 if datagram.kind is Kind.ESP else 4
        head = Esp.parse(datagram.payload[at : at + 8])
        flow = self._flows.get((datagram.dst, name, f"{head.spi:08x}"))
        text = f"{name} SPI {head.spi:08x} sequence {head.sequence}"
        if flow is not None:
            text += f", {flow.id}" + (f" of {flow.child_sa}" if flow.child_sa else "")
        inside = self._inside.get(((datagram.file, datagram.frame), head.spi))
        if inside is not None:
            return f"{text}: {inside}"
        if flow is not None and flow.reason is not None and flow.refused:
            return f"{text}: not opened ({flow.reason})"
        return text


def _exchange_lines(sa: IkeSa, exchange: Exchange) -> Iterator[tuple[Place, str]]:
    for message in exchange.messages:
        side = "request" if message.sender == exchange.initiated_by else "response"
        words = f"{sa.id} {exchange.type}"
        words += f" {side} {exchange.message_id}" if sa.version != 1 else f" {exchange.message_id:08x}"
        text = f"{words}: {_message(sa.version, message)}"
        for frame in message.frames:
            part = f" (fragment, with frames {', '.join(map(str, message.frames))})" if len(message.frames) > 1 else ""
            yield (exchange.file, frame), show(text, 1000) + part
    for frame in exchange.repeated_frames:
        yield (exchange.file, frame), f"{sa.id} {exchange.type} {exchange.message_id}: sent again"


def _message(version: int, message: ExchangeMessage) -> str:
    """A message as RFC 7296 and RFC 2409 write it: ``HDR, SK {IDi, AUTH}`` and ``HDR*, HASH, SA``."""
    names = notation(message.payloads)
    if version == 1:
        head = "HDR*" if message.encrypted else "HDR"
        return f"{head}, {names}" if names else f"{head} ({message.octets} octets, {message.reason or 'not opened'})"
    if not message.encrypted:
        return f"HDR, {names}" if names else "HDR"
    if message.opened:
        return f"HDR, SK {{{names}}}"
    return f"HDR, {names or 'SK'} ({message.octets} octets, {message.reason or 'not opened'})"


def _finding_lines(report: Report) -> Iterator[tuple[Place, str]]:
    for finding in report.findings:
        if finding.suppressed_by is None:
            for place in sorted({(each.file, each.frame) for each in finding.evidence}):
                yield place, f"{finding.code} {finding.severity}: {show(finding.title)}"


def _inside(opened: Opened, restored: Restored) -> str:
    if restored.mode == "dummy":
        return "a dummy packet"
    text = "; ".join(packet_line(packet) for packet in restored.packets[:4])
    if len(restored.packets) > 4:
        text += f"; and {len(restored.packets) - 4} more"
    verified = "" if opened.authenticated else ", no integrity check"
    padding = len(opened.tfc_padding) if isinstance(opened, EspOpened) else 0
    tfc = f", {padding} octets of TFC padding" if padding else ""
    return f"{restored.mode} {{{text or 'part of a packet'}}}{tfc}{verified}"


def packet_line(packet: bytes) -> str:
    """Protocol, addresses and ports of an IP packet."""
    from ipaddress import ip_address

    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        at, protocol = 4 * (packet[0] & 0x0F), packet[9]
        ends = ip_address(packet[12:16]), ip_address(packet[16:20])
    elif version == 6 and len(packet) >= 40:
        at, protocol = 40, packet[6]
        ends = ip_address(packet[8:24]), ip_address(packet[24:40])
    else:
        return f"{len(packet)} octets"
    text = f"{IpProtocol(protocol)} {ends[0]} → {ends[1]}"
    if protocol in (IpProtocol.TCP, IpProtocol.UDP) and len(packet) >= at + 4:
        ports = int.from_bytes(packet[at : at + 2], "big"), int.from_bytes(packet[at + 2 : at + 4], "big")
        text += f" port {ports[0]} → {ports[1]}"
    return text
