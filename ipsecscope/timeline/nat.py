"""Who is behind a NAT: the detection hashes of an IKE SA against the addresses its messages were seen with.

Each message tells of both of its ends. A hash over other addresses than those seen means that somebody on the way
translated them, or that the sender made the hash up to force UDP encapsulation. A packet whose TTL still has the value
it was sent with cannot have been translated on the way: then it was made up.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.natt import Endpoint, NatFit, NatSide, NatVerdict, made_up, nat_verdict, nat_verdict_v1
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import MessageRecord, Nat, Role, other
from ipsecscope.timeline.tracking import SaTracker

INITIAL_TTLS = frozenset({64, 128, 255})
USUAL_PORTS = frozenset({500, 4500, 848})


class _Evidence(msgspec.Struct):
    """What all messages together say of one end."""

    own: list[bool] = []  # what its own hashes say of it
    others: list[bool] = []  # what the other end's hashes say of it
    forced: bool = False
    translated: bool = False
    unexplained: bool = False


def nat_of(sa: SaTracker) -> Nat:
    """The verdict for an IKE SA; both sides None when no detection hash was in the clear."""
    found: dict[Role, _Evidence] = {"initiator": _Evidence(), "responder": _Evidence()}
    own_hashes: dict[Role, list[tuple[bytes, ...]]] = {"initiator": [], "responder": []}
    for record, source, destination, verdict in _verdicts(sa):
        del destination
        sender, receiver = found[record.sender], found[other(record.sender)]
        sender.own += _weigh(sender, verdict.source, untouched=record.datagram.ttl in INITIAL_TTLS)
        receiver.others += _weigh(receiver, verdict.destination, untouched=False)
        own_hashes[record.sender].append(source)
    for role, evidence in found.items():
        if len(set(sa.ends[role].seen)) <= 2 and made_up(own_hashes[role]) and evidence.unexplained:
            evidence.forced = True
        if any(port not in USUAL_PORTS for _, port in sa.ends[role].seen) and evidence.unexplained:
            evidence.translated = True
    verdicts = {role: _behind_nat(evidence) for role, evidence in found.items()}
    return Nat(
        initiator=verdicts["initiator"],
        responder=verdicts["responder"],
        forced=_forced(found),
        unexplained=tuple(
            role
            for role, evidence in found.items()
            if evidence.unexplained and not evidence.forced and not evidence.translated
        ),
    )


def _forced(found: dict[Role, _Evidence]) -> bool | None:
    """True when a side made its hash up, False when nobody can have, None when it cannot be told."""
    evidence = list(found.values())
    if not any(each.own or each.others for each in evidence):
        return None
    if any(each.forced for each in evidence):
        return True
    if any(each.unexplained and not each.translated for each in evidence):
        return None
    return False


def _behind_nat(evidence: _Evidence) -> bool | None:
    """One mismatch is enough to say yes; to say no, both ends must have seen the same address."""
    if any(evidence.own) or any(evidence.others):
        return True
    return False if evidence.own and evidence.others else None


def _weigh(evidence: _Evidence, side: NatSide, *, untouched: bool) -> list[bool]:
    """Note what a hash gives away beyond its verdict; returns the verdict, if there is one."""
    if side.behind_nat is None:
        return []
    if side.fit is NatFit.FORCED or (side.behind_nat and untouched and side.fit is NatFit.UNEXPLAINED):
        evidence.forced = True
    elif side.fit is NatFit.UNEXPLAINED:
        evidence.unexplained = True
    elif side.fit is NatFit.TRANSLATED:
        evidence.translated = True
    return [side.behind_nat]


def _verdicts(
    sa: SaTracker,
) -> Iterator[tuple[MessageRecord, tuple[bytes, ...], tuple[bytes, ...], NatVerdict]]:
    """Every message of the SA that carries detection hashes in the clear, with what they say."""
    known = tuple(dict.fromkeys(address for end in sa.ends.values() for address, _ in end.seen))
    for exchange in sa.exchanges:
        for record in (*exchange.request, *exchange.response):
            payloads = record.payloads
            header = (record.assembled or record.message).header
            if header is None:
                continue
            source = Endpoint(record.datagram.src, record.datagram.sport)
            destination = Endpoint(record.datagram.dst, record.datagram.dport)
            if sa.version == 1:
                hashes = [body.data for body in bodies(payloads, ikev1.NatDetection)]
                own, remote = tuple(hashes[1:]), tuple(hashes[:1])
                if hashes:
                    verdict = nat_verdict_v1(
                        hashes,
                        spi_i=header.spi_i,
                        spi_r=header.spi_r,
                        source=source,
                        destination=destination,
                        known=known,
                    )
                    yield record, own, remote, verdict
                continue
            own = _hashes(payloads, NotifyType.NAT_DETECTION_SOURCE_IP)
            remote = _hashes(payloads, NotifyType.NAT_DETECTION_DESTINATION_IP)
            if own or remote:
                verdict = nat_verdict(
                    own,
                    remote,
                    spi_i=header.spi_i,
                    spi_r=header.spi_r,
                    source=source,
                    destination=destination,
                    known=known,
                )
                yield record, own, remote, verdict


def _hashes(payloads: tuple[object, ...], kind: NotifyType) -> tuple[bytes, ...]:
    return tuple(body.data for body in bodies(payloads, ikev2.Notify) if body.notify_type == kind)  # type: ignore[arg-type]
