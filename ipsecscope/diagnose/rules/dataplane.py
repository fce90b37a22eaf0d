"""ESP and AH: sequence numbers, geometry, packets that fail with keys."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.geometry import CERTAIN_LENGTHS, MIN_LENGTHS, geometry_of, icv_class
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, INFO, LIKELY, MEDIUM, POSSIBLE, Confidence, Found, rule
from ipsecscope.diagnose.view import View, has_notify, records_of
from ipsecscope.diagnose.words import counted, frames, listed
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa

SHOWN_FAMILIES = 4
CBC_ICV = {4: "96-bit", 8: "128-bit", 0: "192-bit"}


@rule(
    "ESP-004",
    "unknown-or-deleted-spi",
    HIGH,
    title="Traffic for an SPI that the receiver does not know",
    means="One side encrypts for an SA that the other no longer has; its packets are lost.",
    detect="INVALID_SPI in the clear from the receiver.",
    look_alikes={"HOST-007": "a forged notify", "LIFE-010": "the peer restarted"},
    causes=("the receiver restarted or cleared its SAs", "a Delete was lost", "dead peer detection is off"),
    confirm="The receiver's counter of unknown SPIs.",
    fix="Dead peer detection on both sides.",
    swanctl="connections.NAME.dpd_delay = 30s",
    ios="crypto isakmp invalid-spi-recovery",
    rfc=("RFC 7296 1.5",),
)
def unknown_spi(analysis: Analysis) -> Iterator[Found]:
    """INVALID_SPI in the clear."""
    for sa in analysis.ike_sas:
        told = [
            record
            for record in records_of(sa)
            if not record.encrypted
            and (
                has_notify([record], NotifyType.INVALID_SPI)
                if sa.version != 1
                else has_notify([record], IsakmpNotifyType.INVALID_SPI)
            )
        ]
        if told:
            yield Found(
                confidence=LIKELY,
                summary=f"{told[0].datagram.src} reports to {told[0].datagram.dst} that it does not know an SPI ({frames(told)}).",
                evidence=tuple(each for record in told[:4] for each in evidence.errors(record)),
                subject=sa.id,
            )


@rule(
    "ESP-005",
    "icv-failure",
    CRITICAL,
    title="Packets fail their integrity check with the negotiated key",
    means="The keys of this SA do not open its packets: another algorithm, another key, or damaged packets.",
    detect="With keys: packets of a flow that are refused while others of the same SA open.",
    look_alikes={"CAP-001": "packets cut by the capture", "SEC-010": "no integrity protection at all"},
    causes=(
        "different truncation of the integrity value",
        "other keys after a rekey collision",
        "extended sequence numbers on one side only",
        "damage on the way",
    ),
    confirm="The receiver's error counters.",
    fix="Make the algorithms agree.",
    swanctl="children.NAME.sha256_96 = yes, for old peers",
    libreswan="sha2-truncbug=yes",
    rfc=("RFC 4303 3.4.4", "RFC 4868 2.6"),
    suppressed_by=("CAP-001",),
    headline=False,
)
def icv_failure(flow: Flow, view: View) -> Iterator[Found]:
    """Refused packets among opened ones."""
    result = view.analysis.traffic.get(flow.id)
    if result is None:
        return
    if result.truncated_icv:
        yield Found(
            confidence=CERTAIN,
            headline=False,
            severity=HIGH,
            summary=f"The packets of SPI {flow.spi:08x} from {flow.src} verify only with an integrity value of another length than negotiated.",
            evidence=evidence.flow(flow),
        )
    elif result.refused and result.opened and not flow.truncated and "integrity" in (result.reason or "").lower():
        yield Found(
            confidence=POSSIBLE,
            severity=MEDIUM,
            summary=f"{counted(result.refused, 'packet')} of {flow.packets} of SPI {flow.spi:08x} from {flow.src} do not verify with the key that "
            f"opens the others ({result.reason}).",
            evidence=evidence.flow(flow),
        )


@rule(
    "ESP-006",
    "icv-length-asymmetry",
    CRITICAL,
    title="The two directions use integrity values of different length",
    means="One side cuts the integrity value shorter than the other, so each drops all packets of the other, although IKE is perfect.",
    detect="Packet lengths of an AES-CBC tunnel that leave another remainder of 16 in each direction.",
    look_alikes={"ESP-009": "too few lengths: chance"},
    causes=("an old implementation of HMAC-SHA-256 with 96 bits",),
    confirm="Verify with keys.",
    fix="Use the old truncation on the newer side, or another algorithm.",
    swanctl="children.NAME.sha256_96 = yes",
    ios="esp-sha-hmac or esp-gcm",
    libreswan="sha2-truncbug=yes",
    rfc=("RFC 4868 2.3",),
)
def icv_asymmetry(child: ChildSa, view: View) -> Iterator[Found]:
    """Two remainders."""
    flows = [view.flows[name] for name in child.flows if name in view.flows]
    known = [(flow, icv_class(flow.lengths)) for flow in flows if len(flow.lengths) >= MIN_LENGTHS]
    if len(known) < 2 or known[0][0].dst == known[1][0].dst:
        return
    (one, first), (two, second) = known[0], known[1]
    if first is None or second is None or first == second:
        return
    distinct = min(len(one.lengths), len(two.lengths))
    yield Found(
        confidence=LIKELY if distinct >= CERTAIN_LENGTHS else POSSIBLE,
        summary=f"All lengths from {one.src} leave {first} over a multiple of 16 ({CBC_ICV.get(first, 'another')} integrity value), all from "
        f"{two.src} {second} ({CBC_ICV.get(second, 'another')}): each side drops the other's packets.",
        evidence=(*evidence.flow(one), *evidence.flow(two)),
        equation=f"{sorted(one.lengths)[:6]} mod 16 = {first}; {sorted(two.lengths)[:6]} mod 16 = {second}",
    )


@rule(
    "ESP-009",
    "cipher-inferred",
    INFO,
    title="The cipher family, from packet lengths",
    means="Without keys the lengths of ESP packets tell the block size and often the length of the integrity value.",
    detect="Which transforms could have made all lengths of a flow.",
    look_alikes={"ESP-012": "packets of one length tell nothing"},
    causes=("not a fault: what the sizes of the packets give away",),
    confirm="Keys for this capture.",
    fix="Nothing: an observation.",
    rfc=("RFC 4303 2", "RFC 5879"),
    suppressed_by=("ESP-012",),
)
def cipher_inferred(flow: Flow) -> Iterator[Found]:
    """What fits."""
    found = geometry_of(flow.lengths, flow.ciphertext) if flow.protocol == "ESP" else None
    if found is None or found.distinct < MIN_LENGTHS:
        return
    confidence: Confidence = POSSIBLE if found.block < 8 or found.distinct < 5 else LIKELY
    names = listed(found.names[:SHOWN_FAMILIES], "or")
    seen = flow.ciphertext
    counts = " and IVs that count" if seen is not None and seen.is_counter else ""
    counts += " and readable ends" if seen is not None and seen.is_readable else ""
    more = len(found.names) - SHOWN_FAMILIES
    yield Found(
        confidence=confidence,
        summary=f"SPI {flow.spi:08x} from {flow.src}: {found.distinct} lengths in steps of {found.block} octets{counts} fit {names}"
        f"{f' and {more} more' if more > 0 else ''}; transforms of equal size cannot be told apart.",
        evidence=evidence.flow(flow),
        equation=f"L = 8 + IV + k·{found.block} + ICV for {sorted(flow.lengths)[:8]}",
    )


@rule(
    "ESP-010",
    "mode-inferred",
    INFO,
    title="Transport mode, from packet lengths",
    means="The smallest packets have no room for an inner IP header, so this is no tunnel mode.",
    detect="The smallest length against every transform that fits.",
    look_alikes={"ESP-012": "packets without content (dummies) are small as well"},
    causes=("the tunnel is configured for transport mode (GRE or L2TP inside, or host to host)",),
    confirm="USE_TRANSPORT_MODE in the opened messages.",
    fix="Nothing: an observation.",
    rfc=("RFC 4303 3.1",),
)
def mode_inferred(flow: Flow) -> Iterator[Found]:
    """Too small for a tunnel."""
    found = geometry_of(flow.lengths, flow.ciphertext) if flow.protocol == "ESP" else None
    if found is not None and found.mode == "transport":
        smallest = min(flow.lengths)
        yield Found(
            confidence=LIKELY,
            summary=f"The smallest packet of SPI {flow.spi:08x} from {flow.src} has {smallest} octets: no room for an inner IP header, so transport mode.",
            evidence=evidence.flow(flow),
        )


@rule(
    "SEC-015",
    "ah-in-use",
    MEDIUM,
    title="AH is in use: nothing is encrypted",
    means="AH protects packets against changes, and leaves them readable.",
    detect="IP protocol 51.",
    look_alikes={"SEC-010": "ESP without encryption"},
    causes=("an old policy", "a policy that wants authentication only"),
    confirm="Nothing to confirm: the contents are readable.",
    fix="Use ESP with AES-GCM.",
    swanctl="children.NAME.esp_proposals = aes256gcm16",
    ios="crypto ipsec transform-set TS esp-gcm 256",
    libreswan="phase2=esp, esp=aes_gcm256",
    rfc=("RFC 4302", "RFC 8221 4"),
)
def ah_in_use(analysis: Analysis) -> Iterator[Found]:
    """AH flows."""
    flows = [flow for flow in analysis.flows if flow.protocol == "AH"]
    if flows:
        yield Found(
            confidence=CERTAIN,
            summary=f"{listed(list(dict.fromkeys(flow.src for flow in flows))[:4])} send AH ({frames([flow.first_frame for flow in flows])}): "
            "authenticated, and not encrypted by it.",
            evidence=tuple(each for flow in flows[:4] for each in evidence.flow(flow)),
        )
