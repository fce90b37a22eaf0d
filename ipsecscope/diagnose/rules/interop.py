"""INTEROP: what two implementations make of each other, though neither is misconfigured."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LOW, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.view import View, opening
from ipsecscope.diagnose.words import frames, socket, times
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.timeline.analysis import Analysis, FrameNote
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import IkeSa, MessageRecord

QUIRKS = frozenset(
    {
        "sa.aead-with-integrity",
        "sa.key-length-missing",
        "sa.key-length-fixed",
        "sa.key-length-invalid",
        "sa.proposal-number",
        "sa.transform-missing",
        "sa.no-integrity",
        "ikev1.key-length",
        "ikev1.proposal-order",
    }
)


@rule(
    "INTEROP-004",
    "fortinet-network-id",
    MEDIUM,
    title="FortiGate network ids differ",
    means="FortiGates can run several tunnels between the same addresses; both sides must give a tunnel the same number.",
    detect="The network overlay id of one side only, or different ones.",
    look_alikes={"PH1-005": "no connection at all for this peer"},
    causes=("network-id configured on one side only",),
    fix="Set the same network-id on both sides, or none.",
    rfc=("FortiOS: network-overlay",),
)
def fortinet_network_id(sa: IkeSa) -> Iterator[Found]:
    """Unequal numbers."""
    values: dict[str, tuple[MessageRecord, bytes]] = {}
    for record in (r for e in opening(sa) for r in e.records):
        for body in bodies(record.payloads, ikev2.Notify):
            if int(body.notify_type) == int(NETWORK_OVERLAY_ID):
                values.setdefault(record.sender, (record, body.data))
    agreed = len(values) > 1 and len({data for _, data in values.values()}) == 1
    if not values or sa.established_ns is not None or agreed:
        return
    record = next(iter(values.values()))[0]
    yield Found(
        confidence=POSSIBLE,
        summary=f"{record.datagram.src} announces a FortiGate network id that the other side does not confirm ({frames([record])}).",
        evidence=evidence.notify(record, int(NETWORK_OVERLAY_ID)),
    )


@rule(
    "INTEROP-009",
    "attribute-encoding-quirk",
    MEDIUM,
    title="A proposal is encoded against the rules",
    means="The proposal combines or describes algorithms in a way that other implementations refuse.",
    detect="Combined mode ciphers beside integrity algorithms, missing or needless key lengths, wrong numbering.",
    look_alikes={"PH1-004": "a correct proposal that does not match"},
    causes=("a fault in the sender",),
    fix="Configure clean suites: combined mode ciphers in proposals of their own.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384, aes256-sha256-ecp256",
    rfc=("RFC 7296 3.3", "RFC 5282 8"),
)
def encoding_quirk(analysis: Analysis, view: View) -> Iterator[Found]:
    """The dissector's notes about proposals."""
    groups: dict[str, list[FrameNote]] = {}
    for each in analysis.notes:
        if each.note.kind in QUIRKS:
            groups.setdefault(each.note.kind, []).append(each)
    for notes in groups.values():
        yield Found(
            confidence=CERTAIN,
            severity=LOW,
            summary=f"A proposal in {frames([each.frame for each in notes])} is against the rules: {notes[0].note.text}.",
            evidence=evidence.notes(notes),
            subject=view.owner_at(notes[0].file, notes[0].frame),
        )


@rule(
    "INTEROP-010",
    "reply-from-other-address",
    HIGH,
    title="The answer comes from another address or port",
    means="The peer answers from elsewhere than it was asked at; firewalls and NATs in front of the asker drop that.",
    detect="An answer to a request whose source is not the request's destination.",
    look_alikes={"HOST-007": "both answers arrive: a race"},
    causes=("a cluster or several uplinks", "another VRF or interface for the way back"),
    fix="Answer from the address that was asked.",
    swanctl="connections.NAME.local_addrs = ADDRESS",
    ios="crypto map M local-address Loopback0",
    rfc=("RFC 7296 2.11",),
)
def reply_from_elsewhere(sa: IkeSa) -> Iterator[Found]:
    """An answer from a place that was not asked."""
    for exchange in opening(sa):
        asked = [record for record in exchange.request if record.sender == "initiator"]
        if not asked:
            continue
        places = {
            (record.datagram.dst, record.datagram.dport)
            for record in (*asked, *exchange.repeats)
            if record.sender == "initiator"
        }
        elsewhere = [r for r in exchange.response if (r.datagram.src, r.datagram.sport) not in places]
        if not elsewhere:
            continue
        went_on = len(sa.exchanges) > len(opening(sa)) or (sa.version == 1 and len(exchange.request) > 1)
        target, source = asked[0].datagram, elsewhere[0].datagram
        yield Found(
            confidence=CERTAIN,
            severity=LOW if went_on else HIGH,
            headline=not went_on,
            summary=f"{socket(target.dst, target.dport)} was asked ({frames(asked)}), and the answer came from "
            f"{socket(source.src, source.sport)} ({frames(elsewhere)}, {times(len(elsewhere))}).",
            evidence=evidence.messages((*asked, *elsewhere)),
        )
        return
