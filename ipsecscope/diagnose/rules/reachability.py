"""PH1, first half: nobody answers, the answers do not arrive, or the next step never comes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from ipsecscope.diagnose import evidence, schedules
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, MEDIUM, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.rules.lifecycle import silent_peer
from ipsecscope.diagnose.view import View, copies, exchanges_of, opening, records_of, rounds
from ipsecscope.diagnose.words import NANOSECONDS, frames, seconds, socket, times, who
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

LAST_WAIT_NS = 10 * NANOSECONDS  # behind the last copy of a request, before its silence is complete
LATE_NS = NANOSECONDS // 10  # an answer this much older than a repeated request was not received
MIN_COPIES = 3  # a request and two repeats
MIN_CYCLES = 2


def waited(times_ns: list[int], sent: Sequence[MessageRecord]) -> str:
    """How often and how long something was repeated, in which frames, and whose habit that is."""
    habit = schedules.habit(times_ns)
    text = f"{times(len(times_ns))} within {seconds(times_ns[-1] - times_ns[0])} ({frames(sent)})"
    return text + (f", with pauses {habit}," if habit else "")


def silence(view: View, times_ns: list[int]) -> Confidence:
    """How sure an unanswered request is: repeated at least twice, and the capture goes on, or the sender has given up."""
    if len(times_ns) < MIN_COPIES:
        return POSSIBLE
    watched = view.last_ns - times_ns[0]
    return LIKELY if watched > 2 * NANOSECONDS or schedules.is_given_up(times_ns, view.last_ns) else POSSIBLE


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
    suppressed_by=("CAP-002", "PH1-002", "PH1-003", "NET-002", "HOST-005", "INTEROP-007", "INTEROP-010"),
)
def peer_silent(sa: IkeSa, view: View) -> Iterator[Found]:
    """A first request without an answer."""
    first = opening(sa)
    if not first or any(each.response for each in sa.exchanges) or len(sa.exchanges) > len(first):
        return
    asked = copies(first[-1], "initiator")
    moments = rounds(asked)
    header = asked[0].message.header if asked else None
    if header is not None and header.spi_r != bytes(8):  # an answer whose question the capture lacks
        return
    if not moments or sa.id in view.icmp_of:
        return
    before = view.previous(sa)
    died = before is not None and silent_peer(before) is not None
    at = view.tap_side(sa)
    where = "; captured at the initiator, so none arrived there" if at == "initiator" else ""
    yield Found(
        confidence=silence(view, moments),
        severity=MEDIUM if died else None,
        summary=f"{who(sa, 'initiator')} sent its first IKEv{sa.version} message to "
        f"{socket(sa.responder.address, sa.responder.port)} {waited(moments, asked)} and no answer "
        f"came{where}{', as before in the tunnel that stood until then' if died else ''}.",
        evidence=evidence.messages(asked),
        headline=not died and (len(moments) > 1 or view.horizon(moments[-1]) > 2 * NANOSECONDS),
    )


@rule(
    "PH1-011",
    "response-not-received",
    CRITICAL,
    title="The peer answers, but the initiator goes on asking",
    means="The answer is on the wire and does not reach whoever asked, or is thrown away there.",
    detect="The same request of the handshake again, later than an answer to it, at least twice, and nothing further.",
    look_alikes={
        "INTEROP-010": "the answer comes from another address or port",
        "PH1-001": "no answer at all",
        "PH1-004": "the answer is a refusal, which the initiator may not believe (it is not authenticated)",
    },
    causes=(
        "a firewall in front of the initiator drops the answers",
        "the answers take another way back and are lost there",
        "the initiator discards the answer, because it cannot verify it",
    ),
    confirm="Capture at the initiator's outside interface.",
    fix="Permit UDP 500 and 4500 from the peer to the initiator.",
    ios="permit udp host PEER any eq 500",
    rfc=("RFC 7296 2.1",),
    suppressed_by=("INTEROP-010", "CAP-002"),
)
def response_not_received(sa: IkeSa, view: View) -> Iterator[Found]:
    """A request of the handshake that is repeated behind its answer, and nothing further."""
    first = opening(sa)
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH) if sa.version != 1 else []
    known = {id(each) for each in (*first, *auths)}
    beyond = [each for each in sa.exchanges if id(each) not in known]
    if any(each.response or each.initiated_by == "initiator" for each in beyond) or view.flows_of(sa):
        return
    if not sa.handshake_seen:
        return
    for exchange in auths[-1:] or first:
        if sa.version != 1 and exchange.outcome != "completed":
            continue
        if sa.version == 1 and not len(_v1_messages(exchange.request)) == len(_v1_messages(exchange.response)) == 1:
            continue
        answers = copies(exchange, "responder")
        if not answers or any(each.fragment is not None for each in answers):  # fragments: NET-005
            continue
        again = [each for each in copies(exchange, "initiator") if each.time_ns > answers[0].time_ns + LATE_NS]
        if len(rounds(again)) < 2:
            continue
        at = view.tap_side(sa)
        judged = sa.mode == "aggressive"  # the answer holds a proof, which the initiator may be throwing away
        yield Found(
            confidence=POSSIBLE if judged else CERTAIN if at == "initiator" else LIKELY,
            summary=f"{who(sa, 'responder')} answered {who(sa, 'initiator')} ({frames(answers)}), but {who(sa, 'initiator')} "
            f"repeated its request {times(len(rounds(again)))} afterwards ({frames(again)}): the answers do not reach it.",
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
    suppressed_by=("CAP-007", "HOST-001", "AUTH-013", "INTEROP-005", "AUTH-014"),
    headline=True,
)
def abandoned_after_sa_init(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKE_SA_INIT, or the first four messages of main mode, and nothing behind it."""
    first = opening(sa)
    if not first or len(sa.exchanges) > len(first) or not sa.handshake_seen or not _agreed(sa, first[-1]):
        return
    exchange = first[-1]
    if any(record.sender == "initiator" for record in exchange.repeats) and exchange.retransmissions > 1:
        return
    quiet = view.horizon(exchange.stop_ns)
    nat = (
        " A NAT was detected, so the next message would go to UDP port 4500."
        if sa.nat.initiator or sa.nat.responder
        else ""
    )
    yield Found(
        confidence=LIKELY if quiet > LAST_WAIT_NS and view.tap_side(sa) == "initiator" else POSSIBLE,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} completed {'the key exchange' if sa.version == 1 else 'IKE_SA_INIT'} "
        f"({frames(exchange.records)}), and nothing of {'the authentication' if sa.version == 1 else 'IKE_AUTH'} is in this capture.{nat}",
        evidence=evidence.messages(exchange.records),
    )


def _agreed(sa: IkeSa, exchange: Exchange) -> bool:
    """Whether the two sides have keys, and nothing was authenticated yet."""
    if sa.version != 1:
        return exchange.outcome == "completed"
    counts = len(_v1_messages(exchange.request)), len(_v1_messages(exchange.response))
    if sa.mode == "aggressive":  # a responder that repeats its message waits for the initiator's proof
        return counts == (1, 1) and len(copies(exchange, "responder")) >= MIN_COPIES
    return sa.mode == "main" and counts == (2, 2) and not any(record.is_encrypted for record in exchange.records)


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
    if not sent or not any(isinstance(each.body, ikev1.SecurityAssociation) for each in sent[0].payloads):
        return  # the capture starts later
    if len(sent) != 2 or len(_v1_messages(first[0].response)) != 1:
        return
    again = [
        sent[1],
        *(each for each in first[0].repeats if each.sender == "initiator" and each.number > sent[1].number),
    ]
    if len(rounds(again)) == 1 and view.horizon(again[0].time_ns) < 2 * NANOSECONDS:
        return  # the answer may come behind the end of the capture
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
    confirm="The finding of each single attempt; the initiator's log counts its tries.",
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
    back = any(record.datagram.marker for record in records_of(sa) if record.sender == "responder")
    answered = any(each.response for each in opening(sa))
    # The third message of aggressive mode ends phase 1 for its sender, whether it arrives or not.
    stands = sa.established_ns is not None and sa.mode != "aggressive"
    if not moved or back or not answered or stands or view.flows_of(sa):
        return
    tries = [[each for each in copies(one, one.initiated_by) if each.datagram.marker] for one in moved]
    asked = max(tries, key=lambda records: len(rounds(records)))
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
        f"sent {waited(moments, asked)} and nothing ever came back from there.{also}",
        evidence=evidence.messages(asked),
    )


def _is_small(records: list[MessageRecord]) -> bool:
    """Whether size cannot be the reason: below any path MTU, in one piece."""
    return all(
        each.datagram.wire_length < 1200 and each.fragment is None and each.datagram.fragments == 1 for each in records
    )
