"""NAT: who is translated, whose encapsulation is forced, and mappings that are lost."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.capture.datagrams import Kind
from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Evidence, Found, rule
from ipsecscope.diagnose.rules.icmp_errors import PORT_UNREACHABLE
from ipsecscope.diagnose.view import View, is_informational, opening, records_of
from ipsecscope.diagnose.words import NANOSECONDS, counted, end_of, frames, listed, seconds, socket, span, times, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.nat import USUAL_PORTS
from ipsecscope.timeline.sas import IkeSa, MessageRecord, Role, other
from ipsecscope.timeline.settle import role_of

IDLE_NS = 3 * NANOSECONDS  # silence in front of a new port that makes a lost mapping the likelier reason
NAT_T_PORT = 4500
_NAT_NOTIFIES = (NotifyType.NAT_DETECTION_SOURCE_IP, NotifyType.NAT_DETECTION_DESTINATION_IP)


def _detection(sa: IkeSa, role: Role) -> tuple[Evidence, ...]:
    """The detection hashes about one end: its own source hash and the other end's destination hash."""
    found: list[Evidence] = []
    for exchange in opening(sa):
        for record in (*exchange.request, *exchange.response):
            kind = _NAT_NOTIFIES[0] if record.sender == role else _NAT_NOTIFIES[1]
            found += evidence.notify(record, kind)
            found += evidence.payloads(record, ikev1.NatDetection)
    return tuple(found[:4])


def _nat(sa: IkeSa, role: Role) -> Iterator[Found]:
    verdict = sa.nat.initiator if role == "initiator" else sa.nat.responder
    places = _detection(sa, role)
    if not verdict or not places:
        return
    known = "" if sa.nat.forced is False else ", or says so to have ESP carried in UDP"
    moved = "; IKE moved to UDP port 4500" if sa.nat_t else ""
    yield Found(
        confidence=CERTAIN if sa.nat_t and sa.nat.forced is False else LIKELY,
        summary=f"{who(sa, role)} is behind a NAT by the detection hashes in {frames([each.frame for each in places])}{known}{moved}.",
        evidence=places,
    )


@rule(
    "NAT-001",
    "nat-at-initiator",
    INFO,
    title="The initiator is behind a NAT",
    means="The initiator's address is translated on the way, so ESP travels in UDP and needs keepalives.",
    detect="NAT detection hashes that do not fit the initiator's address and port.",
    look_alikes={"NAT-003": "forced encapsulation", "CAP-008": "a rewritten capture: both ends do not fit"},
    causes=("a router or a provider's NAT",),
    confirm="The address on the initiator's own interface.",
    fix="Nothing: this is normal. UDP 4500 must pass, and keepalives keep the mapping open.",
    rfc=("RFC 7296 2.23", "RFC 3947 3.2"),
    suppressed_by=("NAT-003",),
)
def nat_at_initiator(sa: IkeSa) -> Iterator[Found]:
    """A translated initiator."""
    return _nat(sa, "initiator")


@rule(
    "NAT-002",
    "nat-at-responder",
    INFO,
    title="The responder is behind a NAT (port forwarding)",
    means="The responder is reached through a port forwarding; both ports 500 and 4500 must be forwarded.",
    detect="NAT detection hashes that do not fit the responder's address and port.",
    look_alikes={"NAT-003": "forced encapsulation", "CAP-008": "a rewritten capture"},
    causes=("a cloud server with a public address of its provider", "a home router"),
    confirm="The address on the responder's own interface.",
    fix="Set identities explicitly: the responder's own address is not the one that is dialled.",
    swanctl="local { id = B }",
    ios="crypto ikev2 profile P / identity local …",
    libreswan="leftid=THE NAME OR ADDRESS THAT IS DIALLED",
    rfc=("RFC 7296 2.23", "RFC 3947 3.2"),
    suppressed_by=("NAT-003",),
)
def nat_at_responder(sa: IkeSa) -> Iterator[Found]:
    """A translated responder."""
    return _nat(sa, "responder")


@rule(
    "NAT-003",
    "forced-encapsulation",
    INFO,
    title="UDP encapsulation is forced by a made-up hash",
    means="One side pretends to be behind a NAT so that ESP travels in UDP.",
    detect="A detection hash over port 0 or random octets, or one that cannot be true because the packet was never translated.",
    look_alikes={"NAT-001": "a real NAT: the hash fits a private address"},
    causes=("encap = yes (strongSwan), encapsulation = yes (libreswan), forced NAT-T",),
    confirm="The sender's configuration: forced UDP encapsulation.",
    fix="None needed; without it ESP saves 8 octets where protocol 50 passes.",
    swanctl="connections.NAME.encap = no",
    libreswan="encapsulation=auto",
    rfc=("RFC 7296 2.23", "RFC 3948"),
)
def forced_encapsulation(sa: IkeSa) -> Iterator[Found]:
    """Hashes made up."""
    if not sa.nat.forced:
        return
    places = (*_detection(sa, "initiator"), *_detection(sa, "responder"))
    if places:
        yield Found(
            confidence=LIKELY,
            summary=f"{who(sa, 'initiator')} or {who(sa, 'responder')} made up its NAT detection hash "
            f"({frames([each.frame for each in places])}), so that ESP is carried in UDP.",
            evidence=places,
        )


@rule(
    "NAT-005",
    "nat-t-unsupported",
    MEDIUM,
    title="One side does not announce NAT traversal",
    means="One side cannot detect a NAT or carry ESP in UDP; behind a NAT the tunnel would not work.",
    detect="NAT traversal announced by one side only.",
    look_alikes={"NAT-008": "an IPsec passthrough in the NAT"},
    causes=("NAT traversal is switched off", "an old device"),
    confirm="The Vendor IDs of both sides: RFC 3947 or one of its drafts.",
    fix="Switch NAT traversal on.",
    swanctl="nothing to set: strongSwan always offers NAT traversal, so it is the other side's setting",
    ios="crypto ipsec nat-transparency udp-encapsulation",
    libreswan="nat-ikev1-method=both",
    rfc=("RFC 3947 3.1", "RFC 7296 2.23"),
)
def nat_t_unsupported(sa: IkeSa) -> Iterator[Found]:
    """Detection hashes of one side only, where a NAT is visible otherwise."""
    first = [each for each in opening(sa) if each.outcome == "completed"]
    if sa.version == 1 or not first:
        return
    asked, told = (_has_hashes(records) for records in (first[-1].request, first[-1].response))
    if asked == told:
        return
    silent: Role = "responder" if asked else "initiator"
    ports = [port for _, port in end_of(sa, other(silent)).addresses if port not in USUAL_PORTS]
    yield Found(
        confidence=LIKELY if ports else POSSIBLE,
        severity=HIGH if ports else INFO,
        headline=bool(ports),
        summary=f"{who(sa, silent)} sends no NAT detection hashes ({frames(first[-1].records)})"
        f"{f', and {who(sa, other(silent))} comes from port {ports[0]}, so a NAT is there' if ports else ''}.",
        evidence=evidence.messages(first[-1].records),
    )


def _has_hashes(records: tuple[MessageRecord, ...]) -> bool:
    return any(
        body.notify_type in _NAT_NOTIFIES for record in records for body in bodies(record.payloads, ikev2.Notify)
    )


def stale_errors(view: View, sa: IkeSa) -> list[int]:
    """ICMP 'port unreachable' for ESP or IKE in UDP that was sent to an end of this SA; positions in ``analysis.icmp``."""
    found = []
    for position, (datagram, _) in enumerate(view.analysis.icmp):
        error, quoted = datagram.icmp, datagram.quoted
        if error is None or quoted is None or quoted.kind not in (Kind.ESP, Kind.IKE) or not quoted.dport:
            continue
        is_closed = (error.version, error.type, error.code) in PORT_UNREACHABLE
        if is_closed and role_of(sa, quoted.dst) is not None and role_of(sa, quoted.src) is not None:
            found.append(position)
    return found


def follows(sa: IkeSa, role: Role, flow: Flow, view: View) -> bool:
    """Whether the other end sends to the last place that this flow came from, and goes on doing so."""
    _, port = flow.sources[-1]
    back = [
        each for each in view.flows_of(sa) if each.dst == flow.sources[-1][0] and role_of(sa, each.src) == other(role)
    ]
    return any(
        len(each.targets) > 1 and each.targets[-1] == port and each.last_ns >= flow.last_ns - IDLE_NS for each in back
    )


def moves(sa: IkeSa, view: View) -> list[tuple[Role, Flow]]:
    """Ends of an SA whose ESP comes from more than one place, with the first flow that shows it.

    A capture of both sides of a NAT has every packet twice, from two places: that is no move.
    """
    found: dict[Role, Flow] = {}
    for flow in view.flows_of(sa):
        sender = role_of(sa, flow.src)
        if len(flow.sources) > 1 and sender is not None and not _is_seen_twice(flow):
            found.setdefault(sender, flow)
    return list(found.items())


def _is_seen_twice(flow: Flow) -> bool:
    """Whether its packets were captured at both of its places: in front of a NAT and behind it."""
    return flow.duplicates * 4 >= flow.packets


def _announced(sa: IkeSa, after_ns: int) -> list[MessageRecord]:
    """Messages that may be MOBIKE's UPDATE_SA_ADDRESSES: informationals from a new place."""
    return [
        record
        for exchange in sa.exchanges
        if is_informational(exchange)
        for record in exchange.request
        if record.time_ns >= after_ns and exchange.response
    ]


@rule(
    "NAT-006",
    "nat-mapping-expired",
    HIGH,
    title="The NAT forgot the peer's port while the tunnel was idle",
    means="The NAT dropped its mapping during a pause and gave another port afterwards. The other side goes on sending to "
    "the old port, where nothing is delivered any more.",
    detect="ESP of one SA from a new port of the same address after a pause; packets to the old port are lost or refused.",
    look_alikes={
        "NAT-007": "the address changed, without a pause",
        "LIFE-006": "the peer itself is dead",
        "NET-012": "one way for other reasons",
    },
    causes=("no keepalives, or too slow ones", "a provider's NAT with a short timeout", "a sleeping mobile device"),
    confirm="Compare the keepalive interval with the length of the pause.",
    fix="Send NAT keepalives more often than half of the NAT's timeout, or DPD from the inside.",
    swanctl="charon.keep_alive = 20s",
    ios="crypto ikev2 nat keepalive 20",
    libreswan="nat-keepalive=yes; config setup: keep-alive=20s",
    rfc=("RFC 3948 4", "RFC 7296 2.23"),
)
def nat_mapping_expired(sa: IkeSa, view: View) -> Iterator[Found]:
    """A new port behind a pause."""
    for role, flow in moves(sa, view):
        places = [socket(address, port) for address, port in flow.sources]
        same_host = len({address for address, _ in flow.sources}) == 1 and not follows(sa, role, flow, view)
        if not same_host or flow.longest_silence_ns < IDLE_NS:
            continue
        errors = [view.analysis.icmp[at][0] for at in stale_errors(view, sa)]
        refused = (
            f"; {who(sa, other(role))} goes on sending to the old port, and is told {times(len(errors))} that it is closed "
            f"({frames([each.frame for each in errors])})"
            if errors
            else ""
        )
        yield Found(
            confidence=CERTAIN if errors else LIKELY,
            summary=f"{who(sa, role)} sent its ESP from {listed(places)} ({span(flow.first_frame, flow.last_frame)}), with a "
            f"pause of up to {seconds(flow.longest_silence_ns)} in between: its NAT forgot the old port{refused}.",
            evidence=(*evidence.flow(flow), *(evidence.icmp(each) for each in errors[:4])),
        )


@rule(
    "NAT-007",
    "endpoint-moved",
    MEDIUM,
    title="A peer's address or port changed during the SA",
    means="The peer roams, or its NAT gave it another mapping. The other side must follow, or its packets are lost.",
    detect="One SPI from several places.",
    look_alikes={"NAT-006": "a new port of the same address after a pause"},
    causes=("a change of network", "a restarted NAT"),
    confirm="The NAT device's log, or a capture behind it.",
    fix="Enable MOBIKE on both sides.",
    swanctl="connections.NAME.mobike = yes",
    libreswan="mobike=yes",
    rfc=("RFC 4555 3.5", "RFC 7296 2.23"),
    suppressed_by=("NAT-006",),
)
def endpoint_moved(sa: IkeSa, view: View) -> Iterator[Found]:
    """One SPI, several sources."""
    for role, flow in moves(sa, view):
        hosts = list(dict.fromkeys(address for address, _ in flow.sources))
        handled = (bool(_announced(sa, flow.first_ns)) and len(hosts) > 1) or follows(sa, role, flow, view)
        errors = [view.analysis.icmp[at][0] for at in stale_errors(view, sa)]
        places = listed([socket(address, port) for address, port in flow.sources])
        yield Found(
            confidence=CERTAIN,
            severity=INFO if handled and not errors else MEDIUM,
            headline=not handled or bool(errors),
            summary=f"{who(sa, role)} sends its ESP from {places} (SPI {flow.spi:08x})"
            f"{', and the other side follows' if handled else ''}.",
            evidence=(*evidence.flow(flow), *(evidence.icmp(each) for each in errors[:4])),
        )


@rule(
    "NAT-009",
    "raw-esp-despite-nat",
    HIGH,
    title="ESP is not carried in UDP although a NAT was detected",
    means="One side sends plain ESP to a peer behind a NAT, which cannot deliver it.",
    detect="A NAT by the detection hashes, IKE on port 4500, and ESP as IP protocol 50.",
    look_alikes={"NAT-003": "no real NAT: then plain ESP passes", "CAP-008": "rewritten addresses"},
    causes=("the kernel's SA lacks the encapsulation", "a fault in a cluster or in hardware offload"),
    confirm="ip xfrm state shows no 'encap type espinudp'.",
    fix="Update, or force encapsulation.",
    swanctl="connections.NAME.encap = yes",
    ios="crypto ipsec nat-transparency udp-encapsulation",
    libreswan="encapsulation=yes",
    rfc=("RFC 3948 3", "RFC 7296 2.23"),
    suppressed_by=("NAT-003", "CAP-008"),
)
def raw_esp_despite_nat(sa: IkeSa, view: View) -> Iterator[Found]:
    """Plain ESP in an SA with a NAT."""
    if not (sa.nat.initiator or sa.nat.responder) or sa.nat.forced or not sa.nat_t:
        return
    flows = view.flows_of(sa)
    raw = [flow for flow in flows if flow.encapsulation == "ip" and flow.protocol == "ESP"]
    if not raw:
        return
    mixed = any(flow.encapsulation == "udp" for flow in flows)
    if not mixed and sa.nat.forced is None:
        return
    yield Found(
        confidence=CERTAIN if mixed and sa.nat.forced is False else LIKELY if mixed else POSSIBLE,
        severity=HIGH if mixed else MEDIUM,
        headline=mixed,
        summary=f"{raw[0].src} sends plain ESP ({frames([raw[0].first_frame])}) although a NAT was detected between it and "
        f"{raw[0].dst}{', whose own ESP comes in UDP' if mixed else ''}.",
        evidence=tuple(each for flow in raw[:4] for each in evidence.flow(flow)),
    )


@rule(
    "NAT-011",
    "encap-format-error",
    HIGH,
    title="IKE on port 4500 without its marker",
    means="On port 4500 IKE must begin with four zero octets. Without them the peer takes it for ESP and drops it.",
    detect="An IKE message with a known SPI on port 4500 without the marker, or with the marker on port 500.",
    look_alikes={"HOST-010": "another protocol uses port 4500"},
    causes=("a custom port", "a faulty client"),
    confirm="The ports that both configurations name.",
    fix="Use 500 and 4500 as they are meant, or the same custom port with the marker.",
    swanctl="connections.NAME { local_port = 500; remote_port = 500 }, or a custom port on both sides",
    libreswan="rightikeport=4500",
    rfc=("RFC 3948 2.2", "RFC 7296 2.23"),
)
def encap_format_error(sa: IkeSa) -> Iterator[Found]:
    """A marker that is missing or misplaced."""
    wrong = [
        record
        for record in records_of(sa)
        if record.datagram.encapsulation.name == "UDP"
        and (
            (not record.datagram.marker and NAT_T_PORT in (record.datagram.sport, record.datagram.dport))
            or (record.datagram.marker and 500 in (record.datagram.sport, record.datagram.dport))
        )
    ]
    if wrong:
        yield Found(
            confidence=CERTAIN,
            summary=f"{counted(len(wrong), 'IKE message')} of {wrong[0].datagram.src} ({frames(wrong)}) "
            f"{'carry the marker of port 4500 on port 500' if wrong[0].datagram.marker else 'lack the four zero octets of port 4500'}.",
            evidence=evidence.messages(wrong),
            headline=sa.established_ns is None,
        )
