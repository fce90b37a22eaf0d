"""CAP: what the capture itself lacks. These findings gate the others: what was not recorded proves nothing."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    CERTAIN,
    HIGH,
    INFO,
    LIKELY,
    LOW,
    MEDIUM,
    POSSIBLE,
    Evidence,
    Found,
    rule,
)
from ipsecscope.diagnose.view import View, copies, hosts, opening, records_of
from ipsecscope.diagnose.words import NANOSECONDS, counted, frames, seconds, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import IkeSa, Role

MIN_ONE_WAY = 5  # packets one way before their silence is worth a word
WENT_ON_NS = 60 * NANOSECONDS
YOUNG_SEQUENCE = 50


@rule(
    "CAP-001",
    "snaplen-truncated",
    MEDIUM,
    title="Packets were cut by the capture",
    means="The capture kept only the beginning of some packets. What is missing cannot be decoded, decrypted or verified.",
    detect="Captured length below the length on the wire, for at least one IKE, ESP or AH packet.",
    look_alikes={
        "NET-003": "an IP fragment is short because the sender split it, and says so in its header",
        "HOST-009": "a length field that lies: all octets are there and still do not fit",
    },
    causes=("tcpdump with a small -s", "a packet-length limit of the device that captured"),
    confirm="Capture again with the full packet length.",
    fix="tcpdump -s 0; on Cisco: no limit packet-len.",
    ios="capture X packet-length 9216",
    rfc=("pcapng: Enhanced Packet Block, Captured Packet Length",),
)
def snaplen_truncated(analysis: Analysis) -> Iterator[Found]:
    """Packets that lack their end."""
    cut = [record for sa in analysis.ike_sas for record in records_of(sa) if record.datagram.missing]
    flows = [flow for flow in analysis.flows if flow.truncated]
    count = len(cut) + sum(flow.truncated for flow in flows)
    if not count:
        return
    places = evidence.messages(cut) or tuple(each for flow in flows[:4] for each in evidence.flow(flow)[:1])
    yield Found(
        confidence=CERTAIN,
        summary=f"{counted(count, 'packet')} of IPsec lack their end in this capture, {len(cut)} of them IKE messages: "
        "what was in the missing octets is unknown, and nothing here can be decrypted or verified that needs them.",
        evidence=places,
        severity=MEDIUM if cut else LOW,
    )


@rule(
    "CAP-002",
    "one-direction-captured",
    HIGH,
    title="Only one direction was captured",
    means="The packets of one side are missing from the file although that side did answer.",
    detect="One side goes on to the next step of the negotiation without a visible answer to the one before.",
    look_alikes={"PH1-001": "real silence: the same message is repeated and the negotiation never goes on"},
    causes=("a mirror port with one direction", "asymmetric routing past the tap", "a capture filter on the source"),
    confirm="Look at the mirror port's configuration; capture on the gateway itself.",
    fix="Mirror both directions, or capture on the gateway.",
    ios="monitor session 1 source interface Gi0/0 both",
    rfc=("RFC 7296 2.1", "RFC 7296 2.2"),
)
def one_direction_captured(sa: IkeSa) -> Iterator[Found]:
    """A side whose answers are absent although the other side went on."""
    roles: tuple[Role, Role] = ("initiator", "responder")
    sent = {role: [record for record in records_of(sa) if record.sender == role] for role in roles}
    for role, silent in (roles, roles[::-1]):
        if sent[silent] or not sent[role] or not _advanced(sa):
            continue
        yield Found(
            confidence=CERTAIN,
            summary=f"Only the packets of {who(sa, role)} are in this capture: it went on with the negotiation "
            f"({frames(sent[role])}), so {who(sa, silent)} did answer. Nothing can be concluded from its silence.",
            evidence=evidence.messages(sent[role]),
        )


def _advanced(sa: IkeSa) -> bool:
    """Whether a side took a step that needs an answer to the step before."""
    if sa.version != 1:
        return len({(each.initiated_by, each.message_id) for each in sa.exchanges if each.request}) > 1
    return any(len(each.request) > 1 and not each.response for each in opening(sa) if not _is_fragmented(each.request))


def _is_fragmented(records: tuple[object, ...]) -> bool:
    return any(getattr(record, "fragment", None) is not None for record in records)


@rule(
    "CAP-003",
    "capture-starts-mid-session",
    INFO,
    title="The handshake is not in the capture",
    means="The SA was set up before the capture began, or by other means than IKE, so its algorithms were not seen.",
    detect="ESP or AH without an IKE SA to bind it to, or an IKE SA without its first exchange.",
    look_alikes={"HOST-002": "a scanner sends SPIs that nobody negotiated, and gets no answer"},
    causes=("the capture was started late", "manual keys, GDOI or keys from a controller"),
    confirm="Restart the tunnel while capturing.",
    fix="Start the capture first, or keep a ring buffer (tcpdump -C -W).",
    rfc=("RFC 7296 1.2",),
)
def capture_starts_mid_session(analysis: Analysis) -> Iterator[Found]:
    """SAs whose birth was not recorded."""
    late = [sa for sa in analysis.ike_sas if not sa.handshake_seen and sa.rekeys is None]
    known = {flow.spi for flow in analysis.flows if flow.id in analysis.bindings}
    orphans = [flow for flow in analysis.flows if flow.id not in analysis.bindings and flow.spi not in known]
    if not late and not orphans:
        return
    first = [next(records_of(sa)) for sa in late]
    grown = [flow for flow in orphans if flow.first_seq > YOUNG_SEQUENCE]
    said = []
    if late:
        said.append(f"{counted(len(late), 'IKE SA')} ({frames(first)})")
    if orphans:
        said.append(f"{counted(len(orphans), 'ESP or AH flow')} (first in {frames([f.first_frame for f in orphans])})")
    yield Found(
        confidence=CERTAIN if late or grown else LIKELY,
        summary=f"{' and '.join(said)} existed before the capture began, or were keyed without IKE: "
        "their algorithms are inferred from sizes, not read.",
        evidence=(*evidence.messages(first, 4), *(each for flow in orphans[:4] for each in evidence.flow(flow)[:1])),
    )


@rule(
    "CAP-004",
    "capture-drops",
    MEDIUM,
    title="The capture itself lost packets",
    means="The recorder dropped packets, so gaps in this file are not proof of loss on the network.",
    detect="The file's own drop counter, or several answers whose questions are absent.",
    look_alikes={"NET-010": "loss on the path concerns one direction and goes with size or load"},
    causes=("the recording host was too slow", "an overbooked mirror port"),
    confirm="Compare with the gateways' counters.",
    fix="Capture with a narrower filter and a bigger buffer (tcpdump -B).",
    rfc=("pcapng: Interface Statistics Block, isb_ifdrop",),
)
def capture_drops(analysis: Analysis) -> Iterator[Found]:
    """Answers without questions."""
    lonely = [
        record
        for sa in analysis.ike_sas
        if sa.version != 1 and sa.handshake_seen
        for exchange in sa.exchanges
        if exchange.response and not exchange.request
        for record in exchange.response
    ]
    if len(lonely) < 2:
        return
    yield Found(
        confidence=POSSIBLE,
        summary=f"{counted(len(lonely), 'answer')} ({frames(lonely)}) stand without the request they answer: "
        "the recorder missed packets, and gaps in sequence numbers may be its own.",
        evidence=evidence.messages(lonely),
    )


@rule(
    "CAP-005",
    "duplicate-frames",
    LOW,
    title="The same packet was captured more than once",
    means="The capture holds copies of packets that were on the wire once. They are left out of all statistics.",
    detect="The same IP packet again within milliseconds.",
    look_alikes={"ESP-002": "a replay comes later", "PH1-015": "a retransmission has a new IP header"},
    causes=("a mirror of both ports of a path", "tcpdump on all interfaces"),
    confirm="Compare MAC addresses, VLAN tags and TTLs of such a pair.",
    fix="Capture on one interface.",
    rfc=("pcapng: Interface Description Block",),
)
def duplicate_frames(analysis: Analysis) -> Iterator[Found]:
    """Copies that the capture layer set aside."""
    count = analysis.counts.duplicates
    records = [record for sa in analysis.ike_sas for record in records_of(sa)]
    if not count or not (records or analysis.flows):
        return
    places = evidence.messages(records, 1) or evidence.flow(analysis.flows[0])[:1]
    yield Found(
        confidence=CERTAIN,
        summary=f"{counted(count, 'packet')} were captured twice and counted once.",
        evidence=places,
    )


@rule(
    "CAP-006",
    "offload-artifacts",
    INFO,
    title="Packets larger than any link: joined by the recording host",
    means="The network card or kernel joined packets before they were recorded; such sizes were never on the wire.",
    detect="An ESP packet beyond the largest Ethernet frame in use.",
    look_alikes={"NET-009": "large packets on a real link come as IP fragments"},
    causes=("receive or segmentation offload",),
    confirm="ethtool -k INTERFACE: gro, gso and tso are on.",
    fix="ethtool -K IF gro off gso off tso off, for the time of the capture.",
    rfc=("RFC 4303 3.3.4",),
)
def offload_artifacts(flow: Flow) -> Iterator[Found]:
    """Lengths that no link carries."""
    largest = max(flow.lengths, default=0)
    if largest > 9216:
        yield Found(
            confidence=CERTAIN,
            summary=f"SPI {flow.spi:08x} has packets of up to {largest} octets: the recording host joined them, so they "
            "are left out of what is said about the path MTU.",
            evidence=evidence.flow(flow),
        )


@rule(
    "CAP-007",
    "filter-missed-4500",
    HIGH,
    title="The capture holds only UDP port 500",
    means="The negotiation went on at UDP port 4500, which the capture did not record.",
    detect="IKE_SA_INIT completes, nothing follows on any port, and the initiator does not start again.",
    look_alikes={
        "NAT-004": "a blocked port 4500: the requests to 4500 are visible on the initiator's side, or it starts again",
        "PH1-012": "an initiator that gave up: told apart only by a capture of port 4500",
    },
    causes=("a capture filter of 'port 500'",),
    confirm="Ask for the capture command.",
    fix="tcpdump 'udp port 500 or udp port 4500 or proto 50 or proto 51 or icmp'",
    ios="monitor capture X match ipv4 host A host B",
    rfc=("RFC 7296 2.23", "RFC 3948 2"),
)
def filter_missed_4500(sa: IkeSa, view: View) -> Iterator[Found]:
    """An SA that went on out of sight."""
    first = opening(sa)
    if sa.version == 1 or not first or first[-1].outcome != "completed" or len(sa.exchanges) > len(first):
        return
    if not (sa.nat.initiator or sa.nat.responder) or view.flows_between.get(hosts(sa)):
        return
    done = first[-1].stop_ns
    if any(record.datagram.marker for each in view.later(sa) for record in records_of(each)):
        return
    if view.horizon(done) < WENT_ON_NS or any(each.start_ns - done < WENT_ON_NS for each in view.later(sa)):
        return
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} agreed on an IKE SA ({frames(first[-1].records)}) with "
        f"a NAT between them, and nothing follows for {seconds(view.horizon(done))} on port 500 although nobody starts "
        "again: the rest went over UDP port 4500, which this capture does not have.",
        evidence=evidence.messages(first[-1].records),
    )


@rule(
    "CAP-008",
    "rewritten-addresses-natd-leak",
    MEDIUM,
    title="The NAT detection hashes fit neither address seen",
    means="Addresses were translated before the tap at both ends, or the file was rewritten; the hashes were not.",
    detect="NAT_DETECTION hashes of both ends that no known address and port explains.",
    look_alikes={
        "NAT-001": "a real NAT: only its own side does not fit",
        "NAT-003": "forced encapsulation: the hash is over port 0 or made up",
    },
    causes=("an anonymiser that left IKE alone", "NAT at both ends"),
    confirm="Compare with the gateways' real addresses.",
    fix="Ask for the capture as it was taken; whoever rewrites one must recompute the detection hashes too.",
    rfc=("RFC 7296 2.23",),
)
def rewritten_addresses(sa: IkeSa) -> Iterator[Found]:
    """Both ends' hashes unexplained, and no sign of NAT traversal."""
    if len(sa.nat.unexplained) < 2 or sa.nat.forced:
        return
    first = [record for exchange in opening(sa) for record in copies(exchange, "initiator")[:1]]
    if not first:
        return
    yield Found(
        confidence=LIKELY
        if not sa.nat_t and any(each.type == ExchangeType.IKE_AUTH for each in sa.exchanges)
        else POSSIBLE,
        summary=f"Neither {who(sa, 'initiator')} nor {who(sa, 'responder')} is an address that the NAT detection hashes "
        f"({frames(first)}) were made over: both ends were translated, or this file was rewritten.",
        evidence=tuple(
            Evidence(record.frame, record.datagram.file, "payloads[N(NAT_DETECTION_SOURCE_IP)]") for record in first
        ),
    )
