"""PH1, first half: nobody answers, the answers do not arrive, or somebody on the way says why."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ipsecscope.diagnose import evidence, schedules
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.view import View, copies, exchanges_of, opening, rounds
from ipsecscope.diagnose.words import NANOSECONDS, frames, seconds, socket, times, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

LAST_WAIT_NS = 10 * NANOSECONDS  # behind the last copy of a request, before its silence is complete
LATE_NS = NANOSECONDS // 10  # an answer this much older than a repeated request was not received
MIN_COPIES = 3  # a request and two repeats
MIN_CYCLES = 2


def waited(times_ns: list[int]) -> str:
    """How often and how long something was repeated, and whose habit that is."""
    schedule = schedules.fit(times_ns)
    text = f"{times(len(times_ns))} within {seconds(times_ns[-1] - times_ns[0])}"
    return text + (f" (the pauses are {schedule.name})" if schedule is not None else "")


def silence(view: View, times_ns: list[int]) -> Confidence:
    """How sure an unanswered request is: repeated at least twice, and the capture goes on or the sender's last pause."""
    if len(times_ns) < MIN_COPIES:
        return POSSIBLE
    watched = view.last_ns - times_ns[0]
    return LIKELY if watched > 2 * NANOSECONDS else POSSIBLE


@rule(
    "PH1-001",
    "peer-silent",
    CRITICAL,
    title="The peer never answers the first IKE message",
    means="One side asks for a tunnel again and again and gets no answer at all: the other side is down, unreachable, "
    "filtered, or drops the request on purpose.",
    detect="The first request is repeated unchanged, with no answer and no ICMP error until the sender gives up.",
    look_alikes={
        "PH1-002": "an ICMP error says that nothing listens on the port",
        "NET-002": "an ICMP error says that a router filters",
        "CAP-002": "the sender goes on to the next step: it had an answer that the capture lacks",
        "PH1-011": "an answer is there, but its receiver goes on asking",
        "PH1-003": "the peer itself starts with another IKE version",
    },
    causes=(
        "UDP 500 is filtered on the way or at the peer",
        "wrong peer address, or the peer is down",
        "the peer has no connection for this address and drops silently",
        "the peer drops this IKE version or mode silently (libreswan drops IKEv1 by default)",
        "the peer defends itself against too many half-open requests",
    ),
    confirm="Capture at the peer's outside interface: if the request arrives there, read the peer's log; if not, it is lost on the way.",
    fix="Permit UDP 500, UDP 4500 and ESP both ways; check the peer address and its IKE version.",
    swanctl="connections.NAME.remote_addrs = ADDRESS OF THE PEER",
    ios="permit udp any host OUTSIDE eq 500 / permit udp any host OUTSIDE eq 4500 / permit esp any host OUTSIDE",
    rfc=("RFC 7296 2.1", "RFC 7296 2.4"),
    suppressed_by=("CAP-002", "PH1-002", "PH1-003", "NET-002", "INTEROP-010"),
)
def peer_silent(sa: IkeSa, view: View) -> Iterator[Found]:
    """A first request without an answer."""
    first = opening(sa)
    if not first or any(each.response for each in sa.exchanges) or len(sa.exchanges) > len(first):
        return
    asked = copies(first[-1], "initiator")
    moments = rounds(asked)
    if not moments or sa.id in view.icmp_of:
        return
    at = view.tap_side(sa)
    where = {"initiator": " (captured on the initiator's side: no answer arrived)", "responder": ""}.get(at or "", "")
    yield Found(
        confidence=silence(view, moments),
        summary=f"{who(sa, 'initiator')} sent its first IKEv{sa.version} message to "
        f"{socket(sa.responder.address, sa.responder.port)} {waited(moments)} ({frames(asked)}) and no answer "
        f"came{where}.",
        evidence=evidence.messages(asked),
        headline=len(moments) > 1 or view.horizon(moments[-1]) > 2 * NANOSECONDS,
    )


@rule(
    "PH1-002",
    "ike-port-closed",
    HIGH,
    title="The peer is up, but nothing listens on its IKE port",
    means="The peer's operating system answers that the port is closed: its IKE daemon is not running, or listens elsewhere.",
    detect="ICMP port unreachable from the peer's own address, quoting an IKE request.",
    look_alikes={
        "NET-002": "other ICMP codes, or another sender: a filter on the way",
        "NAT-006": "the port of a NAT, after a session",
    },
    causes=("the IKE daemon is stopped", "it listens on another address or VRF", "the wrong host"),
    confirm="On the peer: ss -ulnp | grep ':500'",
    fix="Start the daemon, or bind it to this address.",
    swanctl="charon.interfaces_use, charon.port = 500",
    ios="crypto map or tunnel protection on the interface and VRF that the packets come in by",
    rfc=("RFC 792", "RFC 4443 3.1"),
)
def ike_port_closed(sa: IkeSa, view: View) -> Iterator[Found]:
    """ICMP port unreachable from the peer."""
    found = [view.analysis.icmp[at][0] for at in view.icmp_of.get(sa.id, ())]
    closed = [
        each
        for each in found
        if each.icmp is not None
        and (each.icmp.version, each.icmp.type, each.icmp.code) in {(4, 3, 3), (6, 1, 4)}
        and each.quoted is not None
        and each.icmp.sender == each.quoted.dst
    ]
    if not closed or sa.established_ns is not None:
        return
    quoted = closed[0].quoted
    assert quoted is not None
    yield Found(
        confidence=CERTAIN,
        summary=f"{socket(quoted.dst, quoted.dport)} answered {who(sa, 'initiator')}'s IKE messages with ICMP 'port unreachable' "
        f"{times(len(closed))} (first in frame {closed[0].frame}): the host is up, but no IKE daemon listens there.",
        evidence=tuple(evidence.icmp(each) for each in closed[: evidence.MAX_EVIDENCE]),
    )


@rule(
    "PH1-011",
    "response-not-received",
    CRITICAL,
    title="The peer answers, but the initiator goes on asking",
    means="The answer is on the wire and does not reach whoever asked, or is thrown away there.",
    detect="The same first request again, later than an answer to it, at least twice.",
    look_alikes={
        "INTEROP-010": "the answer comes from another address or port",
        "PH1-001": "no answer at all",
        "PH1-004": "the answer is a refusal, which the initiator may not believe (it is not authenticated)",
    },
    causes=(
        "a firewall in front of the initiator drops the answers",
        "the answers take another way back and are lost there",
        "the initiator discards the answer",
    ),
    confirm="Capture at the initiator's outside interface.",
    fix="Permit UDP 500 and 4500 from the peer to the initiator.",
    ios="permit udp host PEER any eq 500",
    rfc=("RFC 7296 2.1",),
    suppressed_by=("INTEROP-010", "CAP-002"),
)
def response_not_received(sa: IkeSa, view: View) -> Iterator[Found]:
    """A first request that is repeated behind its answer."""
    for exchange in opening(sa):
        if sa.version == 1 or exchange.outcome != "completed" or len(sa.exchanges) > len(opening(sa)):
            continue
        answers = copies(exchange, "responder")
        if not answers:
            continue
        again = [each for each in copies(exchange, "initiator") if each.time_ns > answers[0].time_ns + LATE_NS]
        if len(again) < 2:
            continue
        at = view.tap_side(sa)
        yield Found(
            confidence=CERTAIN if at == "initiator" else LIKELY,
            summary=f"{who(sa, 'responder')} answered {who(sa, 'initiator')} ({frames(answers)}), but {who(sa, 'initiator')} "
            f"repeated its request {times(len(again))} afterwards ({frames(again)}): the answers do not reach it.",
            evidence=evidence.messages((*answers[:2], *again)),
        )


@rule(
    "PH1-012",
    "abandoned-after-sa-init",
    MEDIUM,
    title="The initiator stops after a good IKE_SA_INIT",
    means="Both sides agreed on algorithms, and then the side that began fell silent.",
    detect="IKE_SA_INIT is complete, and neither IKE_AUTH nor another attempt follows.",
    look_alikes={
        "CAP-007": "the capture lacks UDP port 4500, where the rest went",
        "NAT-004": "port 4500 is blocked in front of this tap",
        "HOST-001": "a scanner, with a tool's fingerprint",
    },
    causes=(
        "its IKE_AUTH is lost before this tap (UDP 4500 blocked)",
        "it does not accept the chosen algorithms",
        "it lacks the key or certificate for this peer",
        "a required post-quantum key (PPK) was not offered",
        "a probe",
    ),
    confirm="The initiator's log; a capture on the initiator's side.",
    fix="Permit UDP 4500; give the initiator its credentials.",
    swanctl="secrets { ike-NAME { id = PEER secret = … } }",
    ios="crypto ikev2 keyring K / peer B / pre-shared-key …",
    rfc=("RFC 7296 1.2", "RFC 7296 2.4"),
    suppressed_by=("CAP-007", "HOST-001"),
    headline=True,
)
def abandoned_after_sa_init(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKE_SA_INIT and nothing behind it."""
    first = opening(sa)
    if sa.version == 1 or not first or len(sa.exchanges) > len(first) or first[-1].outcome != "completed":
        return
    exchange = first[-1]
    if exchange.retransmissions > 1 or not sa.handshake_seen:
        return
    quiet = view.horizon(exchange.stop_ns)
    nat = (
        " A NAT was detected, so the next message would go to UDP port 4500."
        if sa.nat.initiator or sa.nat.responder
        else ""
    )
    yield Found(
        confidence=LIKELY if quiet > LAST_WAIT_NS and view.tap_side(sa) == "initiator" else POSSIBLE,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} completed IKE_SA_INIT ({frames(exchange.records)}), "
        f"and nothing of IKE_AUTH is in this capture.{nat}",
        evidence=evidence.messages(exchange.records),
    )


@rule(
    "PH1-013",
    "main-mode-stall-ke",
    HIGH,
    title="IKEv1 main mode stops at the key exchange",
    means="The algorithms are agreed, but the Diffie-Hellman message is never answered.",
    detect="Messages 1 and 2 are there, message 3 is repeated, message 4 is missing.",
    look_alikes={"NET-003": "message 3 was sent in IP fragments", "PH1-001": "nothing was answered at all"},
    causes=(
        "message 3 is larger and lost in fragments",
        "the peer has no key for this address",
        "the peer is overloaded",
    ),
    confirm="debug crypto isakmp on the peer.",
    fix="Configure the key for the address that the peer sees, behind any NAT.",
    swanctl="secrets { ike-NAME { id = ADDRESS secret = … } }",
    ios="crypto isakmp key KEY address ADDRESS",
    rfc=("RFC 2409 5.4",),
    suppressed_by=("CAP-002", "NET-003"),
)
def main_mode_stall_ke(sa: IkeSa, view: View) -> Iterator[Found]:
    """Message 3 without message 4."""
    first = opening(sa)
    if sa.version != 1 or sa.mode != "main" or not first:
        return
    sent = _v1_messages(first[0].request)
    if len(sent) != 2 or len(_v1_messages(first[0].response)) != 1:
        return
    again = [
        sent[1],
        *(each for each in first[0].repeats if each.sender == "initiator" and each.number > sent[1].number),
    ]
    yield Found(
        confidence=silence(view, rounds(again)),
        summary=f"{who(sa, 'initiator')} sent main mode message 3 (key exchange) {times(len(again))} ({frames(again)}), and "
        f"{who(sa, 'responder')}, which had answered message 1, did not answer it.",
        evidence=evidence.messages(again),
    )


def _v1_messages(records: tuple[MessageRecord, ...]) -> list[MessageRecord]:
    """The messages among the datagrams of one side: of a set of fragments the one that completed it."""
    return [record for record in records if record.fragment is None or record.assembled is not None]


@rule(
    "PH1-015",
    "initiator-retry-cycle",
    MEDIUM,
    title="The initiator starts over again and again",
    means="A whole negotiation fails and is started from the beginning, several times.",
    detect="Several IKE SAs between the same two hosts that never came up.",
    look_alikes={
        "LIFE-012": "the tunnel comes up each time and dies later",
        "HOST-001": "a scanner that never repeats",
    },
    causes=("unlimited keying tries with a permanent fault",),
    fix="Mend the stage where it ends each time; the number of attempts is the evidence.",
    swanctl="connections.NAME.keyingtries, charon.retransmit_tries",
    rfc=("RFC 7296 2.4",),
)
def initiator_retry_cycle(analysis: Analysis, view: View) -> Iterator[Found]:
    """Several failed SAs of one pair."""
    del analysis
    for sas in view.by_hosts.values():
        failed = [sa for sa in sas if sa.state in {"failed", "half-open"} and sa.handshake_seen]
        if len(failed) < MIN_CYCLES or any(sa.state not in {"failed", "half-open"} for sa in sas):
            continue
        first = [next(iter(opening(sa)[0].records)) for sa in failed if opening(sa)]
        if len(first) < MIN_CYCLES:
            continue
        gaps = sorted(later.time_ns - earlier.time_ns for earlier, later in pairwise(first))
        yield Found(
            confidence=CERTAIN if len(first) > MIN_CYCLES else LIKELY,
            summary=f"{first[0].datagram.src} began {times(len(first))} with {first[0].datagram.dst}, every "
            f"{seconds(gaps[len(gaps) // 2])} ({frames(first)}), and never came through.",
            evidence=evidence.messages(first),
            subject=failed[0].id,
        )


@rule(
    "NAT-004",
    "udp4500-blocked",
    CRITICAL,
    title="The negotiation dies when it moves to UDP port 4500",
    means="The first messages pass on UDP port 500, and everything sent to port 4500 is lost.",
    detect="The first message on port 4500 is repeated without answer while port 500 was answered.",
    look_alikes={
        "NET-003": "a large IKE_AUTH in IP fragments: small messages on 4500 pass",
        "NET-005": "a message in IKE fragments: small messages on 4500 pass",
        "AUTH-001": "IKEv1 with a wrong key: the peer complains, or answers something",
        "CAP-007": "the capture does not record port 4500: then the requests are missing as well",
        "PH1-014": "only the large IKE_INTERMEDIATE is lost",
    },
    causes=(
        "a firewall rule for port 500 only",
        "a port forwarding for port 500 only",
        "a provider that filters UDP 4500",
    ),
    confirm="Capture at the responder: nothing arrives on 4500. nping --udp -p 4500.",
    fix="Permit and forward UDP 4500 as well as 500.",
    ios="permit udp any host OUTSIDE eq 4500",
    rfc=("RFC 7296 2.23", "RFC 3947 4"),
    suppressed_by=("CAP-007", "NET-003", "NET-005", "AUTH-001", "PH1-014"),
)
def udp4500_blocked(sa: IkeSa, view: View) -> Iterator[Found]:
    """Requests on 4500 that nobody answers, behind answers on 500."""
    moved = [each for each in sa.exchanges if any(record.datagram.marker for record in each.request)]
    back = any(record.datagram.marker for each in sa.exchanges for record in each.response)
    answered = any(each.response for each in opening(sa))
    if not moved or back or not answered or sa.established_ns is not None:
        return
    asked = [each for each in copies(moved[0], moved[0].initiated_by) if each.datagram.marker]
    moments = rounds(asked)
    if len(moments) < 2 and view.horizon(moments[-1]) < LAST_WAIT_NS:
        return
    resent = [
        record
        for exchange in opening(sa)
        for record in exchange.repeats
        if record.sender == "responder" and record.time_ns > moments[0]
    ]
    also = (
        f" {who(sa, 'responder')} meanwhile repeats its last answer on port 500 ({frames(resent)})." if resent else ""
    )
    yield Found(
        confidence=LIKELY if len(moments) >= MIN_COPIES and _is_small(asked) else POSSIBLE,
        summary=f"{who(sa, 'responder')} answers {who(sa, 'initiator')} on UDP port 500, but the first message on port 4500 was "
        f"sent {waited(moments)} ({frames(asked)}) and nothing ever came back from there.{also}",
        evidence=evidence.messages(asked),
    )


def _is_small(records: list[MessageRecord]) -> bool:
    """Whether size cannot be the reason: below any path MTU, in one piece."""
    return all(
        each.datagram.wire_length < 1200 and each.fragment is None and each.datagram.fragments == 1 for each in records
    )


@rule(
    "NET-003",
    "ike-ip-fragments-lost",
    CRITICAL,
    title="A large IKE message is sent in IP fragments and never answered",
    means="The message is larger than one packet, the network drops one of its fragments, and the other side never sees it.",
    detect="A request of more than 1472 octets is repeated without answer while smaller ones were answered; or its fragments never come complete.",
    look_alikes={
        "NAT-004": "size does not matter: small messages to port 4500 are lost as well",
        "NET-005": "IKE fragments (RFC 7383) instead of IP fragments",
        "AUTH-009": "the answer comes late",
    },
    causes=("a firewall or NAT drops fragments", "load sharing separates fragments", "the certificate chain grew"),
    confirm="ping -s 2000 without DF between the gateways.",
    fix="Use IKE fragmentation (RFC 7383) on both sides; send smaller certificates.",
    swanctl="connections.NAME.fragmentation = yes; charon.fragment_size = 1280",
    ios="crypto ikev2 fragmentation mtu 1280",
    rfc=("RFC 7383 1", "RFC 7296 2"),
)
def ike_ip_fragments_lost(sa: IkeSa, view: View) -> Iterator[Found]:
    """Large requests without answers."""
    small_ok = any(each.response for each in sa.exchanges)
    for exchange in sa.exchanges:
        if exchange.response or not exchange.request:
            continue
        asked = copies(exchange, exchange.initiated_by)
        large = [each for each in asked if each.datagram.fragments > 1 or each.datagram.wire_length > 1472]
        if not large or not small_ok or len(rounds(large)) < 2:
            continue
        del view
        yield Found(
            confidence=LIKELY if len(large) >= MIN_COPIES else POSSIBLE,
            summary=f"{large[0].datagram.src} sent a message of {large[0].datagram.wire_length} octets in IP fragments "
            f"{times(len(large))} ({frames(large)}) without an answer, while smaller messages of the same SA were answered.",
            evidence=evidence.messages(large),
        )
        return


@rule(
    "NET-005",
    "ike-fragment-missing",
    HIGH,
    title="IKE fragments do not come through",
    means="A large IKE message was cut into fragments, and at least one of them is lost on the way, each time.",
    detect="A set of fragments that is incomplete here, or that is sent again and again without an answer.",
    look_alikes={
        "NAT-004": "everything on port 4500 is lost, not only the large pieces",
        "PH1-014": "the exchange type itself is dropped, whatever its size",
    },
    causes=("the path MTU is below the fragment size", "a filter on packet size", "a policer"),
    confirm="Send with a smaller fragment size; ping with DF in the size of the lost fragment.",
    fix="Lower the fragment size below the path MTU.",
    swanctl="charon.fragment_size = 1200",
    ios="crypto ikev2 fragmentation mtu 1100",
    rfc=("RFC 7383 2.5", "RFC 7383 2.5.2"),
)
def ike_fragment_missing(exchange: Exchange, view: View) -> Iterator[Found]:
    """Incomplete or unanswered sets of RFC 7383 or vendor fragments."""
    for role, answered in ((exchange.initiated_by, bool(exchange.response)), (None, True)):
        sent = [
            record
            for record in (*exchange.request, *exchange.response, *exchange.repeats)
            if record.fragment is not None and (record.sender == exchange.initiated_by) == (role is not None)
        ]
        if not sent:
            continue
        total = max(record.fragment[1] for record in sent if record.fragment is not None)
        have = {record.fragment[0] for record in sent if record.fragment is not None}
        missing = sorted(set(range(1, total + 1)) - have)
        moments = rounds(sent)
        if missing and len(moments) > 1:
            yield _incomplete(sent, missing, total, len(moments))
        elif role is not None and not answered and not missing and len(moments) > 1:
            yield _unanswered(sent, moments, view)


def _incomplete(sent: list[MessageRecord], missing: list[int], total: int, count: int) -> Found:
    numbers = ", ".join(map(str, missing))
    return Found(
        confidence=CERTAIN,
        summary=f"Of one {sent[0].message.exchange_type} message in {total} fragments from {sent[0].datagram.src}, fragment "
        f"{numbers} is missing here although the set was sent {times(count)} ({frames(sent)}): it is lost before this "
        "point of the network.",
        evidence=evidence.messages(sent),
    )


def _unanswered(sent: list[MessageRecord], moments: list[int], view: View) -> Found:
    del view
    sizes = sorted({record.datagram.wire_length for record in sent}, reverse=True)
    return Found(
        confidence=LIKELY if len(moments) >= MIN_COPIES and sizes[0] > 1000 else POSSIBLE,
        summary=f"{sent[0].datagram.src} sent one {sent[0].message.exchange_type} message in fragments of up to {sizes[0]} octets "
        f"{waited(moments)} ({frames(sent)}) and got no answer, although {sent[0].datagram.dst} answered the smaller "
        "messages before it: a fragment is lost on the way.",
        evidence=evidence.messages(sent),
    )


@rule(
    "PH1-014",
    "ike-intermediate-stall",
    HIGH,
    title="The additional (post-quantum) key exchange does not come through",
    means="Both sides agreed on an additional key exchange, whose large messages get no answer.",
    detect="An IKE_INTERMEDIATE request without an answer, or answered by a lone error.",
    look_alikes={"NET-005": "its fragments are lost because of their size", "NAT-004": "nothing passes on port 4500"},
    causes=(
        "packets of this size are lost",
        "a firewall drops exchange type 43",
        "different drafts of the key exchange",
    ),
    confirm="Try with a classic key exchange only, and with a smaller fragment size.",
    fix="Fragment below the path MTU; update the firewall's IKE inspection.",
    swanctl="charon.fragment_size = 1200",
    ios="crypto ikev2 fragmentation mtu 1200",
    rfc=("RFC 9242 3", "RFC 9370 2.2.2"),
    suppressed_by=("NET-005",),
)
def ike_intermediate_stall(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKE_INTERMEDIATE without an answer."""
    for exchange in exchanges_of(sa, ExchangeType.IKE_INTERMEDIATE):
        asked = copies(exchange, exchange.initiated_by)
        if not exchange.response and len(rounds(asked)) > 1:
            yield Found(
                confidence=silence(view, rounds(asked)),
                summary=f"{who(sa, exchange.initiated_by)} sent its additional key exchange (IKE_INTERMEDIATE) "
                f"{waited(rounds(asked))} ({frames(asked)}) without an answer; the classic key exchange before it passed.",
                evidence=evidence.messages(asked),
            )
        elif exchange.response and view.is_short(sa, exchange.response):
            yield Found(
                confidence=LIKELY,
                summary=f"{exchange.response[0].datagram.src} answered the additional key exchange with a message that has "
                f"room for one error notify only ({frames(exchange.response)}).",
                evidence=evidence.messages(exchange.records),
                equation=getattr(view.inner(sa, exchange.response), "equation", None),
            )


@rule(
    "NET-002",
    "icmp-blocked-admin",
    CRITICAL,
    title="A router says that it does not let the VPN through",
    means="A device on the way reports that it filters these packets or has no route for them.",
    detect="ICMP unreachable (filtered, no route) or time exceeded that quotes IKE, ESP or AH.",
    look_alikes={"PH1-002": "port unreachable from the peer itself", "NET-007": "packet too big"},
    causes=("an access list", "no route", "a routing loop"),
    confirm="The ICMP message names its sender: look there.",
    fix="Correct the filter or the route on the device that sent the ICMP message.",
    rfc=("RFC 1812 5.2.7", "RFC 4443 3.1"),
)
def icmp_blocked_admin(analysis: Analysis) -> Iterator[Found]:
    """ICMP errors that say no."""
    codes = {(4, 3, code): text for code, text in _UNREACHABLE.items()} | {
        (6, 1, 0): "no route",
        (6, 1, 1): "administratively prohibited",
        (6, 1, 3): "address unreachable",
    }
    groups: dict[tuple[str, str, str | None], list[int]] = {}
    for position, (datagram, sa) in enumerate(analysis.icmp):
        error = datagram.icmp
        if error is not None and (error.version, error.type, error.code) in codes:
            groups.setdefault((error.sender, codes[(error.version, error.type, error.code)], sa), []).append(position)
        elif error is not None and (error.version, error.type, error.code) in {(4, 11, 0), (6, 3, 0)}:
            groups.setdefault((error.sender, "time to live exceeded: a routing loop", sa), []).append(position)
    for (sender, text, sa), positions in groups.items():
        found = [analysis.icmp[position][0] for position in positions]
        quoted = found[0].quoted
        what = f"{quoted.kind.name} from {quoted.src} to {quoted.dst}" if quoted is not None else "IPsec"
        yield Found(
            confidence=CERTAIN,
            summary=f"{sender} reports '{text}' for {what}, {times(len(found))} ({frames([each.frame for each in found])}).",
            evidence=tuple(evidence.icmp(each) for each in found[: evidence.MAX_EVIDENCE]),
            subject=sa,
        )


_UNREACHABLE = {
    0: "net unreachable",
    1: "host unreachable",
    9: "network administratively prohibited",
    10: "host administratively prohibited",
    13: "communication administratively prohibited",
}
