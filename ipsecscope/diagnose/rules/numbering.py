"""ESP sequence numbers: numbers used again, numbers sent again, numbers almost used up (RFC 4303 3.3.3, 3.4.3)."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames
from ipsecscope.timeline.flows import WRAP, Flow

MIN_REPLAYS = 5  # before repeated packets can be a root cause
NEAR_WRAP = WRAP // 10 * 9


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
    },
    causes=("an attacker replays packets", "a loop or a duplicating device on the path", "two senders with one SA"),
    confirm="Compare the octets of the copies, and their TTL; the receiver's replay counter.",
    fix="Keep the anti-replay check on.",
    swanctl="children.NAME.replay_window = 32 or more",
    ios="crypto ipsec security-association replay window-size 64",
    rfc=("RFC 4303 3.4.3",),
    suppressed_by=("CAP-005",),
)
def replayed_packets(flow: Flow) -> Iterator[Found]:
    """Old numbers again."""
    if not flow.duplicates:
        return
    is_replay = flow.replayed > 0 and flow.reordered <= flow.replayed // 10
    known = flow.replayed if is_replay else flow.duplicates
    yield Found(
        confidence=LIKELY if is_replay and flow.replayed >= MIN_REPLAYS else POSSIBLE,
        severity=MEDIUM if is_replay else INFO,
        headline=is_replay and flow.replayed >= MIN_REPLAYS,
        summary=f"{counted(known, 'packet')} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}) carry a sequence number that was seen before"
        f"{', behind higher ones' if is_replay else ', right behind the first copy'} "
        f"({flow.packets} packets in {frames([flow.first_frame, flow.last_frame])}, numbers {flow.first_seq} to {flow.last_seq}).",
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
    fix="Negotiate extended sequence numbers, or rekey by packets.",
    swanctl="children.NAME { esp_proposals = aes256gcm16-esn-noesn; rekey_packets = … }",
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
