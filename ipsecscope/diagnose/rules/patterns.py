"""What the traffic in a tunnel looks like from outside: sizes and pauses, never contents."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import INFO, POSSIBLE, Found, rule
from ipsecscope.diagnose.words import seconds
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
