"""Child SAs as the payloads describe them: who negotiated what, what replaced what, what was deleted.

Needs opened messages, so it says nothing of a capture without keys. IKEv2's Child SAs and IKEv1's phase 2 SAs come
out as the same values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, SecurityProtocol
from ipsecscope.dissect.registry.ipsec_doi import EncapsulationMode, ProtocolId
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.private import USE_BEET_MODE
from ipsecscope.timeline.contents import bodies, first, ikev2_suite, quick_mode_suite
from ipsecscope.timeline.sas import ChildSa, IkeSa, MessageRecord, Role, State, Suite, other
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker

SPI_SIZE = 4
MAX_FOLLOWUPS = 7  # additional key exchanges of one SA, RFC 9370 section 2.2.1

Protocol = Literal["ESP", "AH"]


@dataclass(slots=True)
class Negotiated:
    """One Child SA: what both messages of its exchange say. ``initiated_by`` is who began that exchange."""

    protocol: Protocol
    initiated_by: Role
    spi_of: dict[Role, bytes]  # by the end that chose it: its inbound packets carry it
    suite: Suite
    exchange: ExchangeTracker
    ni: bytes
    nr: bytes
    proposal: ikev2.Proposal | None = None
    transform: ikev1.Transform | None = None
    method: int | None = None  # of the KE payload; None without perfect forward secrecy
    mode: str | None = None
    tsi: tuple[str, ...] | None = None  # of the IKE SA's initiator
    tsr: tuple[str, ...] | None = None
    ipcomp: bool = False
    replaces: bytes | None = None  # the SPI that REKEY_SA named, chosen by ``initiated_by``
    created_ns: int = 0
    deleted_ns: int | None = None
    id: str = ""
    rekeyed: bool = False

    def freeze(self, rekeys: str | None) -> ChildSa:
        """The value of this Child SA."""
        state: State = "established"
        if self.rekeyed:
            state = "rekeyed"
        elif self.deleted_ns is not None:
            state = "closed"
        return ChildSa(
            id=self.id,
            protocol=self.protocol,
            spi_i=int.from_bytes(self.spi_of["initiator"], "big"),
            spi_r=int.from_bytes(self.spi_of["responder"], "big"),
            state=state,
            basis="decrypted",
            mode=self.mode,
            suite=self.suite,
            tsi=self.tsi,
            tsr=self.tsr,
            rekeys=rekeys,
            created_ns=self.created_ns,
            deleted_ns=self.deleted_ns,
            ipcomp=self.ipcomp,
        )


@dataclass(slots=True)
class ChildRegister:
    """All Child SAs of an analysis, by the IKE SA whose exchange made them."""

    children: dict[str, list[Negotiated]] = field(default_factory=dict)

    def of(self, sa: SaTracker) -> list[Negotiated]:
        """The Child SAs that exchanges of this IKE SA made, in order."""
        return self.children.get(sa.id, [])

    def learn(self, sa: SaTracker) -> list[Negotiated]:
        """Read all exchanges of an IKE SA; to be called once, when it is complete."""
        made = list(_ikev1_children(sa) if sa.version == 1 else _ikev2_children(sa))
        self.children[sa.id] = made
        return made


def _payloads(records: list[MessageRecord]) -> tuple[Payload, ...]:
    return tuple(payload for record in sorted(records, key=lambda each: each.number) for payload in record.payloads)


# -- IKEv2 ------------------------------------------------------------------------------------------------------


def _ikev2_children(sa: SaTracker) -> Iterator[Negotiated]:
    auths = [each for each in sa.exchanges if each.type == ExchangeType.IKE_AUTH]
    if auths:
        request = tuple(payload for each in auths for payload in _payloads(each.request))
        response = tuple(payload for each in auths for payload in _payloads(each.response))
        ni, nr = _init_nonces(sa)
        found = _ikev2_child(auths[-1], request, response, ni, nr)
        if found is not None:
            yield found
    for exchange in sa.exchanges:
        if exchange.type == ExchangeType.CREATE_CHILD_SA:
            request, response = _payloads(exchange.request), _payloads(exchange.response)
            mine, theirs = first(request, ikev2.Nonce), first(response, ikev2.Nonce)
            last = _last_answer(sa, response)
            if mine is not None and theirs is not None and last is not None:
                found = _ikev2_child(exchange, request, response, mine.data, theirs.data)
                if found is not None:
                    found.created_ns = max(found.created_ns, last)
                    yield found


def _last_answer(sa: SaTracker, response: tuple[Payload, ...]) -> int | None:
    """When the last of the exchanges that make an SA was answered; 0 where there is one only, None for an unfinished row.

    RFC 9370 2.2.4: N(ADDITIONAL_KEY_EXCHANGE) in a response says that IKE_FOLLOWUP_KE must follow, and links it.
    """
    when, link = 0, _link_of(response)
    for _ in range(MAX_FOLLOWUPS):
        if link is None:
            return when
        following = next(
            (
                each
                for each in sa.exchanges
                if each.type == ExchangeType.IKE_FOLLOWUP_KE and _link_of(_payloads(each.request)) == link
            ),
            None,
        )
        if following is None or not following.response:
            return None
        when = max(record.time_ns for record in following.response)
        link = _link_of(_payloads(following.response))
    return None


def _link_of(payloads: tuple[Payload, ...]) -> bytes | None:
    kind = NotifyType.ADDITIONAL_KEY_EXCHANGE
    return next((each.data for each in bodies(payloads, ikev2.Notify) if each.notify_type == kind), None)


def _init_nonces(sa: SaTracker) -> tuple[bytes, bytes]:
    """Ni and Nr of the IKE_SA_INIT that was accepted."""
    ni = nr = b""
    for exchange in sa.exchanges:
        if exchange.type in (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME):
            for record in (*exchange.request, *exchange.response):
                nonce = first(record.message.payloads, ikev2.Nonce)
                if nonce is not None and record.sender == "initiator":
                    ni = nonce.data
                elif nonce is not None:
                    nr = nonce.data
    return ni, nr


def _ikev2_child(
    exchange: ExchangeTracker, request: tuple[Payload, ...], response: tuple[Payload, ...], ni: bytes, nr: bytes
) -> Negotiated | None:
    offered = _child_sa(request)
    chosen = _child_sa(response)
    if offered is None or chosen is None:
        return None
    answer = chosen.proposals[0]
    offer = next((each for each in offered.proposals if each.number == answer.number), offered.proposals[0])
    if len(answer.spi) != SPI_SIZE or len(offer.spi) != SPI_SIZE:
        return None
    by: Role = exchange.initiated_by
    tsi, tsr = (
        _selectors(response, ikev2.TrafficSelectorsInitiator),
        _selectors(response, ikev2.TrafficSelectorsResponder),
    )
    if by == "responder":
        tsi, tsr = tsr, tsi
    rekey = next((each for each in bodies(request, ikev2.Notify) if each.notify_type == NotifyType.REKEY_SA), None)
    key_exchange = first(response, ikev2.KeyExchange) if exchange.type == ExchangeType.CREATE_CHILD_SA else None
    return Negotiated(
        protocol="AH" if answer.protocol_id == SecurityProtocol.AH else "ESP",
        initiated_by=by,
        spi_of={by: offer.spi, other(by): answer.spi},
        suite=ikev2_suite(answer),
        exchange=exchange,
        ni=ni,
        nr=nr,
        proposal=answer,
        method=None if key_exchange is None else int(key_exchange.method),
        mode=_ikev2_mode(response),
        tsi=tsi,
        tsr=tsr,
        ipcomp=any(each.notify_type == NotifyType.IPCOMP_SUPPORTED for each in bodies(response, ikev2.Notify)),
        replaces=None if rekey is None else rekey.spi,
        created_ns=max(record.time_ns for record in exchange.response),
    )


def _child_sa(payloads: tuple[Payload, ...]) -> ikev2.SecurityAssociation | None:
    """The SA payload that is about ESP or AH."""
    for body in bodies(payloads, ikev2.SecurityAssociation):
        if body.proposals and body.proposals[0].protocol_id in (SecurityProtocol.ESP, SecurityProtocol.AH):
            return body
    return None


def _selectors(payloads: tuple[Payload, ...], cls: type[ikev2.TrafficSelectors]) -> tuple[str, ...] | None:
    body = first(payloads, cls)
    return None if body is None else tuple(each.summary() for each in body.selectors)


def _ikev2_mode(response: tuple[Payload, ...]) -> str:
    kinds = {int(each.notify_type) for each in bodies(response, ikev2.Notify)}
    if int(NotifyType.USE_TRANSPORT_MODE) in kinds:
        return "transport"
    return "beet" if USE_BEET_MODE in kinds else "tunnel"


# -- IKEv1 ------------------------------------------------------------------------------------------------------

_MODES = {
    int(EncapsulationMode.TUNNEL): "tunnel",
    int(EncapsulationMode.TRANSPORT): "transport",
    int(EncapsulationMode.UDP_ENCAPSULATED_TUNNEL): "tunnel",
    int(EncapsulationMode.UDP_ENCAPSULATED_TRANSPORT): "transport",
    int(EncapsulationMode.UDP_ENCAPSULATED_TUNNEL_DRAFT): "tunnel",
    int(EncapsulationMode.UDP_ENCAPSULATED_TRANSPORT_DRAFT): "transport",
}
_PROTOCOLS: dict[int, Protocol] = {int(ProtocolId.PROTO_IPSEC_ESP): "ESP", int(ProtocolId.PROTO_IPSEC_AH): "AH"}


def _ikev1_children(sa: SaTracker) -> Iterator[Negotiated]:
    for exchange in sa.exchanges:
        if int(exchange.type) == int(IsakmpExchangeType.QUICK_MODE):
            yield from _quick_mode(exchange)


def _quick_mode(exchange: ExchangeTracker) -> Iterator[Negotiated]:
    """The SAs of a Quick Mode: one per protocol of the bundle that was chosen (RFC 2409 5.5)."""
    request, response = _payloads(exchange.request), _payloads(exchange.response)
    offered, chosen = first(request, ikev1.SecurityAssociation), first(response, ikev1.SecurityAssociation)
    ni, nr = first(request, ikev1.Nonce), first(response, ikev1.Nonce)
    if offered is None or chosen is None or ni is None or nr is None:
        return
    by: Role = exchange.initiated_by
    ids = [body.value for body in bodies(request, ikev1.Identification)]
    pair = ((ids[0],), (ids[1],)) if len(ids) == 2 else (None, None)
    tsi, tsr = pair if by == "initiator" else pair[::-1]
    ipcomp = any(int(each.protocol_id) == int(ProtocolId.PROTO_IPCOMP) for each in chosen.proposals)
    group = first(response, ikev1.KeyExchange)
    for answer in chosen.proposals:
        protocol = _PROTOCOLS.get(int(answer.protocol_id))
        offer = next(
            (
                each
                for each in offered.proposals
                if each.protocol_id == answer.protocol_id and each.number == answer.number
            ),
            None,
        )
        if protocol is None or offer is None or not answer.transforms:
            continue
        if len(answer.spi) != SPI_SIZE or len(offer.spi) != SPI_SIZE:
            continue
        transform = answer.transforms[0]
        mode = transform.mode
        yield Negotiated(
            protocol=protocol,
            initiated_by=by,
            spi_of={by: offer.spi, other(by): answer.spi},
            suite=quick_mode_suite(transform, protocol),
            exchange=exchange,
            ni=ni.data,
            nr=nr.data,
            transform=transform,
            method=None if group is None or transform.group is None else int(transform.group),
            mode=None if mode is None else _MODES.get(int(mode), str(mode)),
            tsi=tsi,
            tsr=tsr,
            ipcomp=ipcomp,
            created_ns=max(record.time_ns for record in exchange.response),
        )


# -- endings ----------------------------------------------------------------------------------------------------


def deletions(sa: SaTracker) -> Iterator[tuple[int, Role, str, tuple[bytes, ...]]]:
    """Every Delete payload that was read: when, who sent it, protocol (``IKE``, ``ESP``, ``AH``), the sender's SPIs."""
    for exchange in sa.exchanges:
        for record in (*exchange.request, *exchange.response):
            for payload in record.payloads:
                body = payload.body
                if isinstance(body, ikev2.Delete):
                    yield record.time_ns, record.sender, _protocol(int(body.protocol_id), 2), body.spis
                elif isinstance(body, ikev1.Delete):
                    yield record.time_ns, record.sender, _protocol(int(body.protocol_id), 1), body.spis


def _protocol(number: int, version: int) -> str:
    if version == 1:
        return _PROTOCOLS.get(number, "IKE")
    return {int(SecurityProtocol.ESP): "ESP", int(SecurityProtocol.AH): "AH"}.get(number, "IKE")


def settle_children(trackers: list[SaTracker], register: ChildRegister) -> dict[str, list[ChildSa]]:
    """Number the Child SAs, link the replaced ones, date the deletions; by IKE SA.

    A Child SA outlives the IKE SA that made it when that one was rekeyed (RFC 7296 2.18), so deletes and rekeys are
    looked up along the chain of IKE SAs.
    """
    made = [(sa, child) for sa in trackers for child in register.learn(sa)]
    made.sort(key=lambda pair: pair[1].created_ns)
    for number, (_, child) in enumerate(made, 1):
        child.id = f"child-{number}"
    by_spi: dict[tuple[str, Role, bytes], list[Negotiated]] = {}
    for _, child in made:
        for role, spi in child.spi_of.items():
            by_spi.setdefault((child.protocol, role, spi), []).append(child)
    rekeys = _link(made, by_spi)
    for sa in trackers:
        for when, sender, protocol, spis in deletions(sa):
            for spi in spis:
                found = _latest(by_spi, protocol, sender, spi, when)
                if found is not None and found.deleted_ns is None:
                    found.deleted_ns = when
    result: dict[str, list[ChildSa]] = {sa.id: [] for sa in trackers}
    for sa, child in made:
        result[sa.id].append(child.freeze(rekeys.get(child.id)))
    return result


def close_with_ike(sas: list[IkeSa]) -> list[IkeSa]:
    """End the Child SAs of every IKE SA that was deleted, those it inherited by rekeying included (RFC 7296 1.4.1).

    When both sides rekeyed at once, the loser is deleted without having inherited anything (RFC 7296 2.8.2).
    """
    by_id = {sa.id: sa for sa in sas}
    closed = [(sa.closed_ns, sa) for sa in sas if sa.state == "closed" and sa.closed_ns is not None]
    heirs = Counter(sa.rekeys for _, sa in closed)
    ended: dict[str, int] = {}
    for when, sa in sorted(closed, key=lambda pair: -pair[0]):
        if sa.version == 1:  # RFC 2408 5.15: IKEv1's SAs live on
            continue
        link: IkeSa | None = sa
        while link is not None and link.id not in ended:
            ended[link.id] = when
            link = by_id.get(link.rekeys) if link.rekeys is not None else None
            if link is not None and _rekeyings(link) > heirs[link.id]:
                break
    return [_without_children(sa, ended[sa.id]) if sa.id in ended else sa for sa in sas]


def _rekeyings(sa: IkeSa) -> int:
    """How many IKE SAs were made to replace this one, as far as it was read."""
    return sum(
        int(body.proposals[0].protocol_id) == int(SecurityProtocol.IKE)
        for exchange in sa.exchanges
        if exchange.type == ExchangeType.CREATE_CHILD_SA
        for record in exchange.response
        for body in bodies(record.payloads, ikev2.SecurityAssociation)
        if body.proposals
    )


def _without_children(sa: IkeSa, when: int) -> IkeSa:
    children = tuple(
        msgspec.structs.replace(child, state="closed", deleted_ns=when)
        if child.state == "established" and (child.created_ns or 0) <= when
        else child
        for child in sa.child_sas
    )
    return msgspec.structs.replace(sa, child_sas=children)


def _link(
    made: list[tuple[SaTracker, Negotiated]], by_spi: dict[tuple[str, Role, bytes], list[Negotiated]]
) -> dict[str, str]:
    """Which Child SA replaces which, by the SPI in REKEY_SA (RFC 7296 1.3.3)."""
    rekeys: dict[str, str] = {}
    for _, child in made:
        if not child.replaces:
            continue
        replaced = _latest(by_spi, child.protocol, child.initiated_by, child.replaces, child.created_ns)
        if replaced is not None and replaced is not child:
            replaced.rekeyed = True
            rekeys[child.id] = replaced.id
    return rekeys


def _latest(
    by_spi: dict[tuple[str, Role, bytes], list[Negotiated]], protocol: str, role: Role, spi: bytes, before_ns: int
) -> Negotiated | None:
    """The Child SA with this SPI; the other role's too, because a rekeyed IKE SA may have swapped the roles."""
    for who in (role, other(role)):
        for child in reversed(by_spi.get((protocol, who, spi), [])):
            if child.created_ns <= before_ns:
                return child
    return None
