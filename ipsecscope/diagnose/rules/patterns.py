"""What the traffic in a tunnel looks like from outside: sizes and pauses, never contents."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.geometry import geometry_of
from ipsecscope.diagnose.rule import INFO, LIKELY, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import NANOSECONDS, clock, seconds, span
from ipsecscope.timeline.flows import Flow

CONSTANT = 1000  # packets of one length before padding to a constant size is supposed


@rule(
    "ESP-012",
    "tfc-or-iptfs",
    INFO,
    title="All packets have the same length",
    means="The sender hides the sizes of its packets; lengths tell nothing about contents.",
    detect="A thousand packets or more of one length.",
    look_alikes={"ESP-011": "a single voice call or a ping"},
    causes=("IP-TFS or traffic flow padding", "one application with packets of one size"),
    confirm="The sender's configuration: traffic flow confidentiality or IP-TFS.",
    fix="Nothing, when it is meant; otherwise switch padding off to save bandwidth.",
    swanctl="children.NAME.tfc_padding = 0",
    libreswan="tfc=0, iptfs=no",
    rfc=("RFC 9347", "RFC 4303 2.7"),
)
def constant_length(flow: Flow) -> Iterator[Found]:
    """One length only."""
    if len(flow.lengths) == 1 and flow.packets >= CONSTANT:
        yield Found(
            confidence=POSSIBLE,
            summary=f"All {flow.packets} packets of SPI {flow.spi:08x} from {flow.src} have {next(iter(flow.lengths))} octets, over "
            f"{seconds(flow.last_ns - flow.first_ns)}: padded on purpose, or one application with one packet size.",
            evidence=evidence.flow(flow),
        )


class Beat(msgspec.Struct, frozen=True):
    """A kind of traffic with packets of one size at one pace: its pauses in seconds, and what sends so."""

    shortest: float
    longest: float
    answers: bool  # whether the other side sends as many of one size
    text: str


BEATS = (
    Beat(0.009, 0.035, answers=True, text="a voice call, or pings of that pace"),
    Beat(0.009, 0.035, answers=False, text="a stream of voice or video in one direction"),
    Beat(0.05, 0.4, answers=True, text="a liveness check such as BFD, or pings of that pace"),
    Beat(0.9, 1.1, answers=True, text="pings, one a second"),
    Beat(9, 11, answers=False, text="a routing protocol's hellos (OSPF sends one every 10 seconds)"),
    Beat(29, 31, answers=False, text="keepalives, one every 30 seconds (BGP's default is 60 or 30)"),
    Beat(59, 61, answers=False, text="keepalives, one a minute (BGP's default is 60 seconds)"),
)
MIN_BEATS = 10
MANY_BEATS = 50
STEADY = 0.1  # spread of the pauses over their mean
UNEVEN = 0.3
ONE_SIZE = 0.9  # of the packets
BULK_PACKETS, BULK_SIZE, BULK_SHARE = 50, 600, 0.5
ACK_SIZE, ACK_SHARE = 160, (0.25, 1.1)


@rule(
    "ESP-011",
    "traffic-pattern",
    INFO,
    title="What kind of traffic the tunnel carries, by its pattern",
    means="Sizes and times of encrypted packets stay visible. Some kinds of traffic have a pattern of their own.",
    detect="Packets of one size at one pace; or one direction full of large packets and the other of small ones.",
    look_alikes={"ESP-012": "all packets are padded to one size on purpose: sizes and pace tell nothing"},
    causes=("not a fault: sizes and pauses of packets show through the encryption",),
    confirm="Keys for this capture, or a capture on the inside.",
    fix="To hide such patterns, pad the traffic (TFC) or send it at a constant rate (IP-TFS).",
    swanctl="children.NAME.tfc_padding = mtu",
    rfc=("RFC 4303 2.7", "RFC 9347"),
    suppressed_by=("ESP-012",),
)
def traffic_pattern(flow: Flow, view: View) -> Iterator[Found]:
    """A beat, or a transfer."""
    back = view.opposite(flow)
    found = _beat(flow, back) or _bulk(flow, back)
    if found is None:
        return
    text, confidence = found
    yield Found(
        confidence=confidence,
        summary=f"SPI {flow.spi:08x} from {flow.src} to {flow.dst} ({span(flow.first_frame, flow.last_frame)}, {clock(flow.first_ns)} to "
        f"{clock(flow.last_ns)}) looks like {text}.",
        evidence=(*evidence.flow(flow), *(() if back is None else evidence.flow(back))),
    )


def _usual(flow: Flow) -> tuple[int, float]:
    """The commonest length and its share of the packets."""
    length = max(flow.lengths, key=lambda size: (flow.lengths[size], size))
    return length, flow.lengths[length] / flow.packets


def _beat(flow: Flow, back: Flow | None) -> tuple[str, Confidence] | None:
    if flow.packets < MIN_BEATS or flow.pause_spread is None or flow.pause_spread > UNEVEN:
        return None
    length, share = _usual(flow)
    if share < ONE_SIZE:
        return None
    pause = (flow.last_ns - flow.first_ns) / NANOSECONDS / (flow.packets - 1)
    answered = (
        back is not None and _usual(back)[1] >= ONE_SIZE and abs(back.packets - flow.packets) <= 1 + flow.packets // 5
    )
    beat = next((e for e in BEATS if e.shortest <= pause <= e.longest and (answered or not e.answers)), None)
    if beat is None:
        return None
    sure: Confidence = LIKELY if flow.packets >= MANY_BEATS and flow.pause_spread < STEADY else POSSIBLE
    return (
        f"{beat.text}: {flow.packets} packets of {length} octets{_inner(length)}, one every {seconds(round(pause * NANOSECONDS))}",
        sure,
    )


def _bulk(flow: Flow, back: Flow | None) -> tuple[str, Confidence] | None:
    largest = max(flow.lengths, default=0)
    if (
        back is None
        or flow.packets < BULK_PACKETS
        or largest < BULK_SIZE
        or flow.lengths[largest] < BULK_SHARE * flow.packets
    ):
        return None
    share = back.packets / flow.packets
    if _usual(back)[0] > ACK_SIZE or not ACK_SHARE[0] <= share <= ACK_SHARE[1]:
        return None
    span = max(flow.last_ns - flow.first_ns, 1)
    rate = flow.octets * 8 * NANOSECONDS / span / 1e6
    text = (
        f"a transfer: {flow.lengths[largest]} of {flow.packets} packets have the full size of {largest} octets ({rate:.1f} Mbit/s), and {back.src} "
        f"answers with {back.packets} small ones"
    )
    return text, LIKELY if share < 1 else POSSIBLE


def _inner(length: int) -> str:
    """What a packet of this length can hold, in any family that it fits."""
    found = geometry_of({length: 1})
    if found is None:
        return ""
    protected = [family for family in found.families if family.icv]
    if not protected:
        return ""
    most = [family.largest_inner(length) for family in protected]
    least = min(size - family.align + 1 for size, family in zip(most, protected, strict=True))
    return f" (inside: {max(least, 0)} to {max(most)})"
