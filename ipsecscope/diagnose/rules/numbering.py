"""ESP sequence numbers: numbers used again, numbers sent again, numbers almost used up (RFC 4303 3.3.3, 3.4.3)."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Evidence, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import clock, counted, frames, span
from ipsecscope.timeline.ciphertext import Ciphertext
from ipsecscope.timeline.flows import WRAP, Flow

MIN_REPLAYS = 5  # before repeated packets can be a root cause
NEAR_WRAP = WRAP // 10 * 9
MIN_CONFLICTS = 3  # packets with a number that another one had


@rule(
    "ESP-001",
    "seq-regression",
    HIGH,
    title="The sequence numbers of an SA start again",
    means="The sender lost its counter, or two senders use one SA. The receiver takes every packet below the highest "
    "number for a replay and drops it until the numbers have caught up.",
    detect="Packets that count up from a low number behind high ones; or one number on two packets with different octets.",
    look_alikes={
        "ESP-002": "the octets of the packets are those of earlier ones: a replay",
        "ESP-003": "the 32-bit counter rolled over from its end",
        "CAP-005": "the capture holds the packets twice",
        "NET-011": "packets are late by a few numbers, and higher ones go on",
    },
    causes=(
        "a cluster takeover that does not carry the counters over",
        "two machines send with one SA (split brain, a cloned virtual machine)",
        "a snapshot of a virtual machine was restored",
        "manual keys, and the sender restarted",
    ),
    confirm="The receiver's anti-replay counter rises; TTL and IP identification of the two counts differ with two senders.",
    fix="Renew the SA whenever another machine takes over; never restart a sender with manual keys without new ones.",
    swanctl="swanctl --rekey --child NAME",
    ios="clear crypto sa peer ADDRESS",
    rfc=("RFC 4303 3.3.2", "RFC 4303 3.4.3", "RFC 6311"),
)
def seq_regression(flow: Flow) -> Iterator[Found]:
    """One number on two packets, or a fall that goes on counting."""
    seen, restart = flow.ciphertext or Ciphertext(), flow.restart
    conflicts = seen.conflicts if seen.conflicts >= MIN_CONFLICTS else 0
    if not conflicts and restart is None:
        return
    fell, who_else = "", "its counter started again"
    if restart is not None:
        fell = f" fell from {restart.before} to {restart.after} at {clock(restart.time_ns)} (frame {restart.frame}) and counted on from there"
        if restart.interleaved:
            who_else = "two senders use one SA"
    twice = (
        f"{counted(conflicts, 'number')} stand on two packets with different octets ({_pairs(seen)})"
        if conflicts
        else ""
    )
    said = ", and ".join(part for part in (f"the sequence number{fell}" if fell else "", twice) if part)
    yield Found(
        confidence=CERTAIN if conflicts or (restart is not None and restart.after <= 1) else LIKELY,
        summary=f"SPI {flow.spi:08x} from {flow.src} to {flow.dst}: {said}: {who_else}. {flow.dst} has to take the packets for replays and drop them.",
        evidence=(*_places(flow, seen), *evidence.flow(flow)),
    )


def _pairs(seen: Ciphertext) -> str:
    return "; ".join(frames(pair) for pair in seen.conflict_pairs[:2])


def _places(flow: Flow, seen: Ciphertext) -> tuple[Evidence, ...]:
    numbers = [frame for pair in seen.conflict_pairs for frame in pair]
    return tuple(Evidence(frame, flow.file, "seq", (4, 8), "a number that two packets have") for frame in numbers[:6])


@rule(
    "ESP-002",
    "replayed-packets",
    MEDIUM,
    title="ESP packets were sent again",
    means="Packets that had passed before came by once more: duplicated by the network, or replayed by an attacker. "
    "Receivers drop them if their anti-replay check is on.",
    detect="Sequence numbers that were seen before, behind higher ones.",
    look_alikes={
        "CAP-005": "the capture holds the packet twice",
        "NET-011": "a late packet has a number not seen before",
        "ESP-001": "the numbers come again with other octets: the counter started again",
    },
    causes=("an attacker replays packets", "a loop or a duplicating device on the path", "two senders with one SA"),
    confirm="Compare the octets of the copies, and their TTL; the receiver's replay counter.",
    fix="Keep the anti-replay check on.",
    swanctl="children.NAME.replay_window = 32 or more",
    ios="crypto ipsec security-association replay window-size 64",
    libreswan="replay-window=32 or more",
    rfc=("RFC 4303 3.4.3",),
    suppressed_by=("CAP-005",),
)
def replayed_packets(flow: Flow) -> Iterator[Found]:
    """Old numbers again."""
    others = flow.ciphertext.conflicts if flow.ciphertext is not None else 0
    copies, replayed = flow.duplicates - others, flow.replayed - others
    if copies <= 0:
        return
    is_replay = replayed > 0 and flow.reordered <= replayed // 10
    known = replayed if is_replay else copies
    yield Found(
        confidence=LIKELY if is_replay and replayed >= MIN_REPLAYS else POSSIBLE,
        severity=MEDIUM if is_replay else INFO,
        headline=is_replay and replayed >= MIN_REPLAYS,
        summary=f"{known} of {counted(flow.packets, 'packet')} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}, "
        f"{span(flow.first_frame, flow.last_frame)}) came a second time with their old sequence number, "
        f"{'after later ones had passed: somebody replays them' if is_replay else 'right behind the first copy'}.",
        evidence=evidence.flow(flow),
    )


@rule(
    "ESP-003",
    "seq-near-wrap",
    MEDIUM,
    title="The sequence numbers are almost used up",
    means="Without extended sequence numbers the sender must stop when the counter is full.",
    detect="A sequence number beyond nine tenths of 2^32.",
    look_alikes={"ESP-001": "a counter that starts again"},
    causes=("a long lifetime at a high rate without extended sequence numbers",),
    confirm="The negotiated transform: with or without extended sequence numbers.",
    fix="Negotiate extended sequence numbers, or rekey by packets.",
    swanctl="children.NAME { esp_proposals = aes256gcm16-esn-noesn; rekey_packets = … }",
    ios="crypto ipsec security-association lifetime kilobytes …, smaller; extended sequence numbers depend on the platform",
    libreswan="esn=yes",
    rfc=("RFC 4303 2.2.1", "RFC 4303 3.3.3"),
)
def seq_near_wrap(flow: Flow, view: View) -> Iterator[Found]:
    """A counter near its end, or beyond it."""
    result = view.analysis.traffic.get(flow.id)
    esn = result.esn if result is not None else None
    if flow.rolled_over and esn is False:
        yield Found(
            confidence=CERTAIN,
            severity=HIGH,
            summary=f"The 32-bit sequence number of SPI {flow.spi:08x} from {flow.src} started again, and the packets verify without extended "
            "sequence numbers: the sender had to stop, and the receiver takes every packet for a replay (RFC 4303 3.3.3).",
            evidence=evidence.flow(flow),
        )
    elif flow.rolled_over and esn is None:
        yield Found(
            confidence=POSSIBLE,
            severity=INFO,
            summary=f"The 32-bit sequence number of SPI {flow.spi:08x} from {flow.src} rolled over and went on: extended sequence numbers are in use, "
            "or the sender went on where it had to stop; a key tells.",
            evidence=evidence.flow(flow),
        )
    elif flow.rolled_over:
        yield Found(
            confidence=CERTAIN,
            severity=INFO,
            summary=f"The 32-bit sequence number of SPI {flow.spi:08x} from {flow.src} rolled over and went on: extended sequence numbers are in use.",
            evidence=evidence.flow(flow),
        )
    elif flow.last_seq >= NEAR_WRAP:
        yield Found(
            confidence=POSSIBLE,
            summary=f"The sequence number of SPI {flow.spi:08x} from {flow.src} reached {flow.last_seq} of {WRAP - 1}: "
            "without extended sequence numbers the sender must stop soon.",
            evidence=evidence.flow(flow),
        )
