"""INTEROP: what two implementations make of each other, though neither is misconfigured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LIKELY, LOW, MEDIUM, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.negotiation import clear_refusals, refusals
from ipsecscope.diagnose.view import (
    MAX_COMPARED,
    View,
    opening,
)
from ipsecscope.diagnose.words import frames, socket, times, who
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.extensions.fortinet import NETWORK_OVERLAY_ID
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.registry.isakmp import NotifyType as IsakmpNotifyType
from ipsecscope.timeline.analysis import Analysis, FrameNote
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import IkeSa, MessageRecord, Suite

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
LATE_PLACE, TOO_LATE_PLACE = 4, 8  # places in a list of proposals


@rule(
    "INTEROP-002",
    "too-many-proposals",
    HIGH,
    title="The set of algorithms that would match stands too late in the list",
    means="The responder refuses an offer that does contain what it uses itself: some read only the first few proposals.",
    detect="A refusal although the responder's own set, seen in a tunnel that it starts, is in the offer behind the fourth place.",
    look_alikes={
        "PH1-004": "the responder's own set is not in the offer",
        "PH1-005": "the responder does not know this peer's address; it never starts a tunnel to it either",
    },
    causes=("a limit of proposals or transforms in the responder's parser",),
    confirm="Shorten the offer to the one set that the responder uses.",
    fix="Put the agreed set first, or offer nothing else.",
    swanctl="connections.NAME.proposals = ONE SET",
    ios="crypto ikev2 policy P / one proposal only",
    rfc=("RFC 7296 2.7", "RFC 7296 3.3"),
)
def too_many_proposals(sa: IkeSa, view: View) -> Iterator[Found]:
    """The responder's own set, late in a refused offer."""
    kind = IsakmpNotifyType.NO_PROPOSAL_CHOSEN if sa.version == 1 else NotifyType.NO_PROPOSAL_CHOSEN
    refused = (
        [record for record, number in clear_refusals(sa) if number == kind] if sa.version == 1 else refusals(sa, kind)
    )
    if not refused or sa.established_ns is not None:
        return
    for each in view.by_responder.get(sa.initiator.address, [])[:MAX_COMPARED]:
        if each.initiator.address != sa.responder.address or each.version != sa.version:
            continue
        place = _place(hints.offers_of(sa, "initiator"), hints.offers_of(each, "initiator"), each.suite)
        if place is None or place <= LATE_PLACE:
            continue
        works = each.established_ns is not None and each.suite is not None
        asked = next((record for exchange in opening(each) for record in exchange.request), None)
        yield Found(
            confidence=CERTAIN if works and place > TOO_LATE_PLACE else LIKELY,
            summary=f"{who(sa, 'responder')} refused {who(sa, 'initiator')}'s offer ({frames(refused)}) although the algorithms that it "
            f"{'uses' if works else 'offers'} itself{f' ({frames([asked])})' if asked is not None else ''} are in it, in place {place}: it does not "
            "read that far.",
            evidence=(
                *(place_ for record in refused[:3] for place_ in evidence.errors(record)),
                *evidence.messages([asked] if asked else []),
            ),
        )
        return


def _place(offer: list[dict[str, Any]], own: list[dict[str, Any]], suite: Suite | None) -> int | None:
    """Where in an offer the first set stands that the other side uses (its suite) or offers itself."""
    for place, sets in enumerate(_sets(offer), 1):
        if any(_matches(sets, chosen, suite) for chosen in _sets(own)):
            return place
    return None


def _sets(offer: list[dict[str, Any]]) -> list[dict[str, list[str]]]:
    """The alternatives of an offer in order: IKEv2's proposals, or the transforms of IKEv1's."""
    found: list[dict[str, list[str]]] = []
    for proposal in offer:
        transforms = proposal.get("transforms")
        if isinstance(transforms, Mapping):
            found.append({kind: list(names) for kind, names in transforms.items()})
        elif isinstance(transforms, Sequence):
            found += [{"transform": [str(each)]} for each in transforms]
    return found


def _matches(one: dict[str, list[str]], other: dict[str, list[str]], suite: Suite | None) -> bool:
    """Whether two sets have an algorithm of each kind in common; with a suite, that suite's."""
    kinds = {kind for kind in (*one, *other) if kind != "ESN"}
    common = {kind: set(one.get(kind, ())) & set(other.get(kind, ())) for kind in kinds}
    if not all(common.values()):
        return False
    if suite is None or suite.encr is None or "ENCR" not in common:
        return True
    return any(name.partition("-")[0] == suite.encr for name in common["ENCR"])


@rule(
    "INTEROP-004",
    "fortinet-network-id",
    MEDIUM,
    title="FortiGate network ids differ",
    means="FortiGates can run several tunnels between the same addresses; both sides must give a tunnel the same number.",
    detect="The network overlay id of one side only, or different ones.",
    look_alikes={"PH1-005": "no connection at all for this peer"},
    causes=("network-id configured on one side only",),
    confirm="On the FortiGate: diag debug app ike -1.",
    fix="Set the same network-id on both sides, or none.",
    swanctl="strongSwan has no network id: switch it off on the FortiGate",
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
    confirm="The sender's proposals, one by one ('ipsecscope dissect FILE --frame N').",
    fix="Configure clean suites: combined mode ciphers in proposals of their own.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384,aes256-sha256-ecp256",
    ios="crypto ikev2 proposal A / encryption aes-gcm-256 / prf sha384 / group 20; a second proposal for aes-cbc",
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
    confirm="The responder's routing table and addresses.",
    fix="Answer from the address that was asked.",
    swanctl="connections.NAME.local_addrs = ADDRESS",
    ios="crypto map M local-address Loopback0",
    libreswan="left=ADDRESS",
    rfc=("RFC 7296 2.11",),
)
def reply_from_elsewhere(sa: IkeSa) -> Iterator[Found]:
    """An answer from a place that was not asked."""
    if not sa.handshake_seen:  # what was asked before may have gone to another port
        return
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
