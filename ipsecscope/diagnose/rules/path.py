"""NET: what the path does to packets, seen from ESP flows: loss, order, size."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.capture.datagrams import Kind
from ipsecscope.diagnose import evidence, geometry
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, INFO, LIKELY, LOW, MEDIUM, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.rules.traffic import pairs
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames, listed, span, who
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.lateness import WINDOWS
from ipsecscope.timeline.sas import IkeSa

MIN_LARGE = 3  # large packets without an answer
LOSS_SHARE = 0.01
COMMON_WINDOW = 64  # what most receivers have


@rule(
    "NET-008",
    "pmtu-blackhole",
    CRITICAL,
    title="Large packets vanish (MTU black hole)",
    means="Small packets pass and large ones disappear without a word: pings work, file transfers hang.",
    detect="Packets up to one size are answered, those above it never, and no ICMP error says why.",
    look_alikes={
        "NET-010": "loss of all sizes",
        "NET-012": "nothing at all is answered",
        "NET-007": "a router says 'packet too big'",
    },
    causes=("a link with a smaller MTU, and ICMP filtered", "DF is set on the outer packet", "fragments are dropped"),
    confirm="ping -M do -s SIZE through the tunnel; find the largest size that passes.",
    fix="Clamp the TCP MSS or lower the tunnel's MTU; let ICMP 'packet too big' pass.",
    swanctl="charon.plugins.kernel-netlink.mss = 1360; nft … tcp option maxseg size set 1360",
    ios="ip tcp adjust-mss 1360; crypto ipsec df-bit clear",
    libreswan="mtu=1400",
    rfc=("RFC 4301 8", "RFC 4821"),
    suppressed_by=("CAP-001", "NET-007"),
)
def pmtu_blackhole(sa: IkeSa, view: View) -> Iterator[Found]:
    """Sizes that are answered, and larger ones that are not."""
    for flow, back in pairs(sa, view):
        if back is None or flow.lost > flow.packets // 10:
            continue
        answered = {size for size in flow.lengths if size in back.lengths}
        large = {size: count for size, count in flow.lengths.items() if answered and size > max(back.lengths)}
        count = sum(large.values())
        if count < MIN_LARGE or not large:
            continue
        mirrored = answered == {size for size in flow.lengths if size not in large} and all(
            abs(flow.lengths[size] - back.lengths[size]) <= 1 for size in answered
        )
        unanswered = flow.packets - count - 1 <= back.packets <= flow.packets - count + 1
        if not (mirrored and unanswered):
            continue
        smallest = min(large)
        low, high = geometry.path_mtu(flow, max(answered)), geometry.path_mtu(flow, smallest)
        yield Found(
            confidence=LIKELY,
            summary=f"ESP packets of up to {max(answered)} octets from {flow.src} are answered by {flow.dst} one for one, but none of the "
            f"{count} packets of {smallest} octets or more ({span(flow.first_frame, flow.last_frame)}): the path swallows IP packets "
            f"somewhere above {low} and up to {high} octets, without an ICMP error.",
            evidence=(*evidence.flow(flow), *evidence.flow(back)),
            equation=f"sent {_sizes(flow.lengths)}; came back {_sizes(back.lengths)}",
        )
        return


def _sizes(lengths: dict[int, int]) -> str:
    return ", ".join(f"{count}×{size}" for size, count in sorted(lengths.items())[:8])


@rule(
    "NET-010",
    "path-loss",
    MEDIUM,
    title="Packets were lost in front of this tap",
    means="Sequence numbers are missing: these packets were sent and never came by here.",
    detect="Gaps in the sequence numbers of an SA.",
    look_alikes={
        "CAP-004": "the recorder lost them",
        "LIFE-011": "one large jump: a cluster takeover",
        "NET-008": "only large packets are missing",
    },
    causes=("congestion or a policer", "a bad line"),
    confirm="Compare two taps by SPI and sequence number.",
    fix="Shape below the contracted rate; look at the line.",
    rfc=("RFC 4303 3.3.3",),
    suppressed_by=("CAP-004", "LIFE-011", "NET-008"),
)
def path_loss(flow: Flow) -> Iterator[Found]:
    """Gaps in the sequence."""
    sent = flow.packets - flow.duplicates + flow.lost
    jump = max((stop - start + 1 for start, stop in flow.gaps), default=0)
    if not flow.lost or jump >= 1024 or flow.packets < 3:
        return
    share = flow.lost / sent
    shown = ", ".join(f"{start}" if start == stop else f"{start}–{stop}" for start, stop in flow.gaps[:5])
    yield Found(
        confidence=POSSIBLE,
        severity=MEDIUM if share >= LOSS_SHARE else LOW,
        summary=f"{counted(flow.lost, 'packet')} of {sent} ({share:.1%}) from {flow.src} to {flow.dst} (SPI {flow.spi:08x}) are missing here: "
        f"sequence numbers {shown}{' …' if len(flow.gaps) > 5 else ''}.",
        evidence=evidence.flow(flow),
    )


@rule(
    "NET-011",
    "reordering-exceeds-replay-window",
    MEDIUM,
    title="Packets arrive out of order",
    means="Packets overtake each other. A receiver drops those that come later than its anti-replay window allows.",
    detect="Sequence numbers below the highest seen before; how far below, against windows of 32, 64, 128 and 1024.",
    look_alikes={
        "ESP-002": "the same number again: a replay or a duplicate",
        "ESP-001": "all numbers are low from some packet on: the counter started again",
    },
    causes=("different queues for different packets", "load sharing over several paths"),
    confirm="The receiver's replay counters.",
    fix="Enlarge the anti-replay window.",
    swanctl="children.NAME.replay_window = 1024",
    ios="crypto ipsec security-association replay window-size 1024",
    libreswan="replay-window=1024",
    rfc=("RFC 4303 3.4.3",),
)
def reordering(flow: Flow) -> Iterator[Found]:
    """Late packets, and which windows drop them."""
    if not flow.reordered or flow.restart is not None:
        return
    late = flow.lateness
    share = late.dropped_by(COMMON_WINDOW) / flow.packets
    dropped = [window for window in WINDOWS if late.dropped_by(window)]
    confidence: Confidence = LIKELY if COMMON_WINDOW in dropped else POSSIBLE
    yield Found(
        confidence=confidence,
        severity=(MEDIUM if share >= LOSS_SHARE else LOW) if dropped else INFO,
        summary=f"{counted(flow.reordered, 'packet')} of {flow.packets} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}, "
        f"{frames([flow.first_frame, flow.last_frame])}) came behind a higher sequence number, the latest {late.most} numbers late: "
        f"{_by_window(flow) if dropped else f'every receiver with a window of {WINDOWS[0]} or more takes them'}{_paths(flow)}.",
        evidence=evidence.flow(flow),
        equation="; ".join(f"window {window}: {late.dropped_by(window)} dropped" for window in WINDOWS),
    )


def _by_window(flow: Flow) -> str:
    """``a receiver drops 5 of them with a window of 32, 2 with 64, none with 128 or more``."""
    dropped = [(window, flow.lateness.dropped_by(window)) for window in WINDOWS]
    parts = [f"{count} of them with a window of {window}" for window, count in dropped if count]
    none = next((window for window, count in dropped if not count), None)
    return f"a receiver drops {', '.join(parts)}" + (f", none with {none} or more" if none is not None else "")


def _paths(flow: Flow) -> str:
    """What the TTLs say about why: packets of one sender with several TTLs took several ways."""
    if len(flow.ttls) < 2:
        return ""
    shown = listed([f"{ttl} ({count})" for ttl, count in sorted(flow.ttls.items(), reverse=True)[:4]])
    return f"; their TTLs differ, {shown}, so they took several ways"


@rule(
    "NET-009",
    "esp-ip-fragmented",
    MEDIUM,
    title="ESP packets are fragmented after encryption",
    means="Packets are too large for the path once encrypted, and travel in pieces; a lost piece loses the whole packet.",
    detect="ESP packets larger than one Ethernet frame carries, put together from IP fragments.",
    look_alikes={"CAP-006": "the recording host joined packets"},
    causes=("the tunnel's MTU is not set", "no MSS clamping"),
    confirm="A capture in front of the gateway: whole packets there, fragments here.",
    fix="Fragment before encryption, or clamp the MSS.",
    swanctl="mtu 1400 on the tunnel interface",
    ios="crypto ipsec fragmentation before-encryption; ip tcp adjust-mss 1360",
    libreswan="mtu=1400",
    rfc=("RFC 4301 8", "RFC 4303 3.3.4"),
    suppressed_by=("CAP-006",),
)
def esp_ip_fragmented(flow: Flow) -> Iterator[Found]:
    """ESP beyond 1500 octets on the wire."""
    large = {size: count for size, count in flow.lengths.items() if geometry.path_mtu(flow, size) > 1500}
    if large and max(flow.lengths) <= 9216:
        yield Found(
            confidence=POSSIBLE,
            summary=f"{counted(sum(large.values()), 'packet')} of {flow.packets} from {flow.src} to {flow.dst} (SPI {flow.spi:08x}) need IP "
            f"packets of up to {geometry.path_mtu(flow, max(large))} octets: on Ethernet they travel in fragments.",
            evidence=evidence.flow(flow),
        )


@rule(
    "NET-015",
    "tcp-encapsulation",
    INFO,
    title="IKE and ESP travel in TCP",
    means="UDP was not usable, so the tunnel is carried in a TCP connection, which is slower when packets are lost.",
    detect="IKE in a TCP stream (RFC 9329).",
    look_alikes={"NET-006": "UDP 500 passes and ESP does not"},
    causes=("UDP is blocked",),
    confirm="The client's configuration: IKE over TCP.",
    fix="Permit UDP 500 and 4500.",
    swanctl="strongSwan has no IKE over TCP: UDP 500 and 4500 must pass",
    ios="permit udp any host OUTSIDE eq 500 / permit udp any host OUTSIDE eq 4500",
    libreswan="enable-tcp=fallback, tcp-remoteport=4500",
    rfc=("RFC 9329 1", "RFC 9329 9"),
)
def tcp_encapsulation(sa: IkeSa) -> Iterator[Found]:
    """Messages that came in TCP."""
    carried = [
        r
        for e in sa.exchanges
        for r in e.records
        if r.datagram.kind is Kind.IKE and r.datagram.encapsulation.name == "TCP"
    ]
    if carried:
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} speak IKE over TCP ({frames(carried)}).",
            evidence=evidence.messages(carried),
        )
