"""Quick mode: the SAs of phase 2 (RFC 2409 section 5.5), commit bit and CONNECTED (RFC 2408 section 3.1)."""

from __future__ import annotations

import hmac

from ipsecscope.decrypt.groups import PublicValueError, generate, shared_secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload, build_chain
from ipsecscope.dissect.header import IsakmpFlags
from ipsecscope.dissect.ikev1 import (
    Hash,
    Identification,
    KeyExchange,
    NatOriginalAddress,
    Nonce,
    Notification,
    SecurityAssociation,
)
from ipsecscope.dissect.ikev1.checks import MAX_NONCE, MIN_NONCE
from ipsecscope.dissect.ikev1.notification import ResponderLifetime
from ipsecscope.dissect.registry.ipsec_doi import EncapsulationMode, IdType, ProtocolId
from ipsecscope.dissect.registry.isakmp import ExchangeType, NotifyType, PayloadType
from ipsecscope.peers.config import Identity, Mode
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.config import ChildRequest, PhaseTwoOffer
from ipsecscope.peers.ikev1.established import inform
from ipsecscope.peers.ikev1.installing import Negotiation, install, matter_of
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.negotiation import (
    choose_phase_2,
    encapsulation_mode,
    identification_of,
    offer_phase_2,
    phase_2_duration,
    selector_of,
)
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import Talk
from ipsecscope.peers.peer import Found, Input
from ipsecscope.peers.selectors import RangeSelector, covers, host_selector, parse_selector

AGREED = Found("agreed")
MUST_WAIT = Found("agreed, the commit bit is set")
UNUSABLE = Found("unusable")
REFUSE = Found("not acceptable")

ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def requests_of(sa: IsakmpSa) -> tuple[ChildRequest, ...]:
    """The phase 2 identities that the configuration asks for."""
    config = sa.config
    if config.children:
        return config.children
    local = config.local_ts or (host_selector(_own_address(sa)),)
    remote = config.remote_ts or (host_selector(config.remote_address),)
    return tuple(ChildRequest(local_ts=one, remote_ts=two) for one in local for two in remote)


def _own_address(sa: IsakmpSa) -> str:
    return sa.virtual_ip or sa.config.address


# -- what makes a message of quick mode authentic -------------------------------------------------------------------


def is_authentic(sa: IsakmpSa, talk: Talk, received: Received) -> bool:
    """Whether the HASH payload is the right one for the message's place in its exchange."""
    assert sa.protection is not None
    matter = matter_of(talk)
    if received.first(SecurityAssociation) is not None:
        if talk.by_us:
            return sa.protection.is_hash_2(received, matter.ni)
        return sa.protection.is_hash_1(received)
    if talk.by_us or not matter.nr or received.first(Notification) is not None:
        return sa.protection.is_hash_1(received)
    body = received.payloads[0].body if received.payloads else None
    wanted = sa.protection.hash_3(talk.message_id, matter.ni, matter.nr)
    return isinstance(body, Hash) and hmac.compare_digest(body.data, wanted)


# -- initiator --------------------------------------------------------------------------------------------------------


def offer(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Send message 1: HDR*, HASH(1), SA, Ni [, KE] [, IDci, IDcr] [, NAT-OA, NAT-OA]."""
    del received
    assert sa.protection is not None
    matter, entropy = matter_of(talk), sa.owner.entropy
    assert matter.request is not None
    matter.offers = matter.request.offers or sa.config.phase_2
    matter.ni = entropy.octets(sa.config.nonce_size, "Ni")
    protocols = dict.fromkeys(protocol.protocol for each in matter.offers for protocol in each.protocols)
    matter.spis_in = {protocol: entropy.child_spi() for protocol in protocols}
    bodies: list[Body | Payload] = [
        offer_phase_2(matter.offers, matter.spis_in, _mode(sa)),
        Nonce(data=matter.ni),
        *_key_exchange(sa, matter, matter.offers[0]),
    ]
    ids = identification_of(matter.request.local_ts), identification_of(matter.request.remote_ts)
    matter.tsi, matter.tsr = ids[0].value, ids[1].value
    payloads = tuple(_payload(body) for body in (*bodies, *ids, *_original_addresses(sa)))
    payloads = sa.protection.with_hash_1(talk.message_id, payloads)
    if sa.config.faults.malformed_quick_mode:
        payloads = (*payloads[:-1], Payload(body=payloads[-1].body, length=len(build_chain(payloads[-1:])) + 8))
    sa.send(talk, payloads, now, expects_answer=True)
    return None


def accept(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 2, send message 3: HDR*, HASH(3)."""
    assert received is not None
    assert sa.protection is not None
    matter = matter_of(talk)
    body, nonce = received.first(SecurityAssociation), received.first(Nonce)
    if body is None or nonce is None or not MIN_NONCE <= len(nonce.data) <= MAX_NONCE or len(body.offers) != 1:
        return UNUSABLE
    matter.nr = nonce.data
    matter.chosen = choose_phase_2(body, matter.offers, _mode(sa))
    if matter.chosen is None or not _same_identities(matter, received):
        return UNUSABLE
    matter.spis_out = matter.chosen.spis
    if not _exchange_keys(matter, received):
        return UNUSABLE
    digest = sa.protection.hash_3(talk.message_id, matter.ni, matter.nr)
    commit = bool(received.header.flags & IsakmpFlags.COMMIT)
    sa.send(talk, [Hash(data=digest)], now, expects_answer=commit)
    return MUST_WAIT if commit else AGREED


def _same_identities(matter: Negotiation, received: Received) -> bool:
    """Whether the responder repeats the identities that we sent, as it must."""
    values = [body.value for body in received.all(Identification)]
    return not values or values == [matter.tsi, matter.tsr]


# -- responder --------------------------------------------------------------------------------------------------------


def answer(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 1, send message 2: HDR*, HASH(2), SA, Nr [, KE] [, IDci, IDcr] [, N(RESPONDER_LIFETIME)]."""
    assert received is not None
    assert sa.protection is not None
    matter, entropy = matter_of(talk), sa.owner.entropy
    offered, nonce = received.first(SecurityAssociation), received.first(Nonce)
    if offered is None or nonce is None or received.malformed is not None:
        matter.refusal = NotifyType.PAYLOAD_MALFORMED
        return REFUSE
    matter.ni = nonce.data
    matter.request = _wanted(sa, matter, received)
    if matter.request is None:
        matter.refusal = NotifyType.INVALID_ID_INFORMATION
        return REFUSE
    chosen = choose_phase_2(offered, matter.request.offers or sa.config.phase_2, _mode(sa))
    matter.spis_out = chosen.spis if chosen else {ProtocolId(each.protocol_id): each.spi for each in offered.proposals}
    if chosen is None or not MIN_NONCE <= len(nonce.data) <= MAX_NONCE or sa.config.faults.refuse_quick_mode:
        matter.refusal = _configured_refusal(sa)
        return REFUSE
    matter.chosen = chosen
    matter.nr = entropy.octets(sa.config.nonce_size, "Nr")
    matter.spis_in = {protocol: entropy.child_spi() for protocol in matter.spis_out}
    exchanged = _key_exchange(sa, matter, chosen.offer)
    if not _exchange_keys(matter, received):
        matter.refusal = NotifyType.INVALID_KEY_INFORMATION
        return REFUSE
    bodies: list[Body | Payload] = [chosen.answer(offered, matter.spis_in), Nonce(data=matter.nr), *exchanged]
    bodies += [*received.all(Identification), *_original_addresses(sa), *_own_lifetime(matter)]
    payloads = tuple(_payload(body) for body in bodies)
    payloads = sa.protection.with_hash_2(talk.message_id, matter.ni, payloads)
    sa.send(talk, payloads, now, expects_answer=True, commit=sa.config.commit_bit)
    return None


def _configured_refusal(sa: IsakmpSa) -> NotifyType:
    name = sa.config.faults.refuse_quick_mode
    return NotifyType[name] if name in NotifyType.__members__ else NotifyType.NO_PROPOSAL_CHOSEN


def _wanted(sa: IsakmpSa, matter: Negotiation, received: Received) -> ChildRequest | None:
    """The identities of the initiator, seen from here; None when no policy has them (IKEv1 does not narrow)."""
    bodies = list(received.all(Identification))
    if not bodies:  # RFC 2409 section 5.5: the addresses of the ISAKMP SA
        bodies = [identification_of(host_selector(end.address)) for end in (received.path.remote, received.path.local)]
    if len(bodies) != 2:
        return None
    matter.tsi, matter.tsr = bodies[0].value, bodies[1].value
    remote, local = selector_of(bodies[0]), selector_of(bodies[1])
    if local is None or remote is None:
        return None
    for request in requests_of(sa):
        if request.local_ts == local and request.remote_ts == remote:
            return request
    return ChildRequest(local_ts=local, remote_ts=remote) if _is_allowed(sa, local, remote) else None


def _is_allowed(sa: IsakmpSa, local: RangeSelector, remote: RangeSelector) -> bool:
    """Whether a client of ours may have these: its own address towards what we protect."""
    config = sa.config
    if not config.is_gateway or not (sa.virtual_ip or not config.remote_ts):
        return False
    version = 6 if ":" in config.address else 4
    own = config.local_ts or (parse_selector(ANYWHERE[version]),)
    theirs = (host_selector(sa.virtual_ip),) if sa.virtual_ip else (host_selector(sa.path.remote.address),)
    return any(covers(each, local) for each in own) and remote in theirs


def _own_lifetime(matter: Negotiation) -> list[Body]:
    """RESPONDER-LIFETIME where ours is shorter than what was offered (RFC 2407 section 4.5.4)."""
    chosen = matter.chosen
    assert chosen is not None
    offered = chosen.lifetime_s
    if offered is None or offered <= chosen.offer.lifetime_s:
        return []
    protocol, spi = next(iter(matter.spis_in.items()))
    data = ResponderLifetime(attributes=phase_2_duration(chosen.offer.lifetime_s)).build()
    kind = NotifyType.RESPONDER_LIFETIME
    return [Notification(protocol_id=protocol, notify_type=kind, spi=spi, data=data)]


def confirm(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 3, install, and say CONNECTED where our commit bit promised it."""
    assert sa.protection is not None
    install(sa, talk, received, now)
    if sa.config.commit_bit:
        protocol, spi = next(iter(matter_of(talk).spis_in.items()))
        body = Notification(protocol_id=protocol, notify_type=NotifyType.CONNECTED, spi=spi)
        payloads = sa.protection.with_hash_1(talk.message_id, (Payload(body=body),))
        sa.send(talk, payloads, now, expects_answer=False, story="the SAs are in place")
    return None


def refuse(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Refuse an offer in an INFORMATIONAL of its own, with the initiator's SPI (RFC 2408 section 3.14)."""
    del received
    matter = matter_of(talk)
    protocol, spi = next(iter(matter.spis_out.items()), (ProtocolId.PROTO_IPSEC_ESP, b""))
    body = Notification(protocol_id=protocol, notify_type=matter.refusal, spi=spi)
    inform(sa, body, now, "the offer is not acceptable")
    sa.refused(talk, str(matter.refusal), now)
    sa.talks.pop(talk.message_id, None)
    return None


# -- both -------------------------------------------------------------------------------------------------------------


def _mode(sa: IsakmpSa) -> EncapsulationMode:
    return encapsulation_mode(sa.config.child_mode, sa.nat_traversal if sa.has_nat else None)


def _key_exchange(sa: IsakmpSa, matter: Negotiation, wanted: PhaseTwoOffer) -> list[Body]:
    """A KE payload where the offer asks for perfect forward secrecy."""
    group = wanted.group
    if group is None:
        return []
    matter.pair = generate(group.id, sa.owner.entropy.octets(group.entropy_size, "g(qm)^x"))
    return [KeyExchange(data=matter.pair.public)]


def _exchange_keys(matter: Negotiation, received: Received) -> bool:
    """The shared secret of perfect forward secrecy; False when only one side has a KE payload, or it is none."""
    body = received.first(KeyExchange)
    if matter.pair is None or body is None:
        return matter.pair is None and body is None
    try:
        matter.g_xy = shared_secret(matter.pair, body.data)
    except PublicValueError:
        return False
    return True


def _original_addresses(sa: IsakmpSa) -> list[Payload]:
    """NAT-OA payloads in transport mode: both addresses as we know them, initiator's first (RFC 3947 section 5.2)."""
    version = sa.nat_traversal
    if version is None or not sa.has_nat or sa.config.child_mode is not Mode.TRANSPORT:
        return []
    kind = int(PayloadType.NAT_OA_DRAFT) if version.is_draft else None
    ends = (sa.path.local.address, sa.path.remote.address)
    return [Payload(body=_original_address(end), type=kind) for end in (ends if sa.is_initiator else ends[::-1])]


def _original_address(address: str) -> NatOriginalAddress:
    identity = Identity.parse(address)
    return NatOriginalAddress(id_type=IdType(int(identity.id_type)), data=identity.data)


def _payload(body: Body | Payload) -> Payload:
    return body if isinstance(body, Payload) else Payload(body=body)


# -- endings ----------------------------------------------------------------------------------------------------------


def refused(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """The responder refuses."""
    error = None if received is None else received.error
    sa.refused(talk, "refused" if error is None else str(error.notify_type), now)
    sa.talks.pop(talk.message_id, None)
    return None


def unusable(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """The answer makes no SA."""
    del received, now
    sa.count("quick modes with an unusable answer")
    sa.clear_timer(talk.timer)
    sa.talks.pop(talk.message_id, None)
    return None


def unanswered(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Nobody answers."""
    del received
    sa.unanswered(talk, now)
    sa.talks.pop(talk.message_id, None)
    return None


EXCHANGE = ExchangeType.QUICK_MODE
