"""Main mode and aggressive mode, both sides (RFC 2409 sections 5.1, 5.4; RFC 3947 for NAT traversal)."""

from __future__ import annotations

from ipsecscope.decrypt.groups import PublicValueError, generate, shared_secret
from ipsecscope.decrypt.keymat_ikev1 import skeyid_psk, skeyid_signature
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev1 import (
    Identification,
    KeyExchange,
    Nonce,
    SecurityAssociation,
    VendorId,
)
from ipsecscope.dissect.ikev1.checks import MAX_NONCE, MIN_NONCE
from ipsecscope.dissect.registry.isakmp import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.authentication import (
    check,
    identification,
    identity_of,
    number_of,
    proof,
    psk_for,
    requests,
)
from ipsecscope.peers.ikev1.config import Ikev1Config, Method, PhaseOneMode, PhaseOneOffer, UnreadableAnswer
from ipsecscope.peers.ikev1.events import IsakmpKeysDerived, PhaseOneSuite
from ipsecscope.peers.ikev1.messages import Received, bare_notify, isakmp_notify
from ipsecscope.peers.ikev1.nat import float_ports, learn_nat, nat_detection
from ipsecscope.peers.ikev1.negotiation import MAX_LOOKED_AT, choose_phase_1, is_phase_1, names_of, offer_phase_1
from ipsecscope.peers.ikev1.protection import make_protection
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import Talk
from ipsecscope.peers.ikev1.vendors import announced, understood
from ipsecscope.peers.peer import Found, Input

UNUSABLE = Found("unusable")
NOT_AUTHENTIC = Found("not authentic")
AUTHENTICATED = Found("authenticated")

MODES = {
    ExchangeType.IDENTITY_PROTECTION: PhaseOneMode.MAIN,
    ExchangeType.AGGRESSIVE: PhaseOneMode.AGGRESSIVE,
}


# -- what a responder decides without keeping anything --------------------------------------------------------------


def screen(received: Received, config: Ikev1Config) -> NotifyType | None:
    """Why a first message is not worth an SA; None for one that is."""
    mode = MODES.get(received.exchange_type)
    if mode is None or mode not in config.accepts:
        return NotifyType.AUTHENTICATION_FAILED  # as charon answers; RFC 2408 has no better number
    offered = received.first(SecurityAssociation)
    if offered is None or received.malformed is not None:
        return NotifyType.PAYLOAD_MALFORMED
    if _pick(offered, config) is None:
        return NotifyType.NO_PROPOSAL_CHOSEN
    return None


# -- main mode, initiator -------------------------------------------------------------------------------------------


def begin_main(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Send message 1: HDR, SA."""
    del received
    talk.exchange_type = ExchangeType.IDENTITY_PROTECTION
    sa.send(talk, [_offer(sa), *_vendor_ids(sa)], now, encrypted=False, expects_answer=True)
    return None


def send_ke(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 2, send message 3: HDR, KE, NONCE."""
    assert received is not None
    if not _take_choice(sa, received, now):
        return UNUSABLE
    sa.handshake.g_xi, sa.handshake.ni = _own_values(sa)
    bodies = [KeyExchange(data=sa.handshake.g_xi), Nonce(data=sa.handshake.ni)]
    extra = requests(sa.config, is_client=sa.is_client)
    sa.send(talk, [*bodies, *extra, *nat_detection(sa)], now, encrypted=False, expects_answer=True)
    return None


def send_id(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 4, derive the keys, send message 5: HDR*, IDii, HASH_I or SIG_I."""
    assert received is not None
    if not _take_values(sa, received) or not _derive(sa, psk_for(sa, sa.path.remote.address), now):
        return UNUSABLE
    learn_nat(sa, received, now)
    float_ports(sa)
    body = identification(sa.config)
    sa.handshake.id_i = body.build()
    sa.send(talk, [body, *proof(sa), *_initial_contact(sa)], now, expects_answer=True)
    return None


def verify_responder(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 6: the responder proves itself."""
    del talk
    assert received is not None
    sa.handshake.id_r = received.octets_of(Identification)
    return _verdict(sa, received, now)


# -- main mode, responder -------------------------------------------------------------------------------------------


def answer_sa(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 1, send message 2: HDR, SA with the one transform that was chosen."""
    assert received is not None
    talk.exchange_type = received.exchange_type
    chosen = _choose(sa, received, now)
    if chosen is None:
        return UNUSABLE
    sa.send(talk, [chosen, *_vendor_ids(sa)], now, encrypted=False, expects_answer=False)
    sa.set_timer("half-open", now + sa.config.patience.half_open)
    return None


def answer_ke(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 3, send message 4: HDR, KE, NONCE; the keys follow from them."""
    assert received is not None
    sa.handshake.g_xr, sa.handshake.nr = _own_values(sa)
    if not _take_values(sa, received):
        return UNUSABLE
    bodies = [KeyExchange(data=sa.handshake.g_xr), Nonce(data=sa.handshake.nr)]
    extra = requests(sa.config, is_client=sa.is_client)
    sa.send(talk, [*bodies, *extra, *nat_detection(sa)], now, encrypted=False, expects_answer=False)
    learn_nat(sa, received, now)
    return None if _derive(sa, psk_for(sa, sa.path.remote.address), now) else UNUSABLE


def answer_id(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 5, send message 6: HDR*, IDir, HASH_R or SIG_R."""
    assert received is not None
    sa.handshake.id_i = received.octets_of(Identification)
    verdict = _verdict(sa, received, now)
    if verdict is not AUTHENTICATED:
        return verdict
    sa.path = received.path  # RFC 3947 section 4: the initiator may have floated
    _contact(sa, received, now)
    body = identification(sa.config)
    sa.handshake.id_r = body.build()
    sa.send(talk, [body, *proof(sa)], now, expects_answer=False)
    return verdict


# -- aggressive mode ------------------------------------------------------------------------------------------------


def begin_aggressive(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Send message 1: HDR, SA, KE, NONCE, IDii. There is one group for all offers (RFC 2409 section 5)."""
    del received
    talk.exchange_type = ExchangeType.AGGRESSIVE
    sa.chosen = sa.config.phase_1[0]
    offer = _offer(sa)
    sa.handshake.g_xi, sa.handshake.ni = _own_values(sa)
    body = identification(sa.config)
    sa.handshake.id_i = body.build()
    bodies = [offer, KeyExchange(data=sa.handshake.g_xi), Nonce(data=sa.handshake.ni), body]
    extra = requests(sa.config, is_client=sa.is_client)
    sa.send(talk, [*bodies, *extra, *_vendor_ids(sa)], now, encrypted=False, expects_answer=True)
    return None


def answer_aggressive(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 1, send message 2: HDR, SA, KE, NONCE, IDir, HASH_R or SIG_R."""
    assert received is not None
    talk.exchange_type = received.exchange_type
    chosen, named = _choose(sa, received, now), received.first(Identification)
    if chosen is None or named is None:
        return UNUSABLE
    sa.handshake.id_i = received.octets_of(Identification)
    sa.remote_id = identity_of(named)
    if sa.config.remote_id is not None and sa.remote_id != sa.config.remote_id:
        return NOT_AUTHENTIC
    sa.handshake.g_xr, sa.handshake.nr = _own_values(sa)
    if not _take_values(sa, received) or not _derive(sa, psk_for(sa, str(sa.remote_id)), now):
        return UNUSABLE
    body = identification(sa.config)
    sa.handshake.id_r = body.build()
    bodies = [chosen, KeyExchange(data=sa.handshake.g_xr), Nonce(data=sa.handshake.nr), body]
    extra = requests(sa.config, is_client=sa.is_client)
    rest: list[Body | Payload] = [*proof(sa), *extra, *_vendor_ids(sa), *nat_detection(sa)]
    sa.send(talk, [*bodies, *rest], now, encrypted=False, expects_answer=False)
    sa.set_timer("half-open", now + sa.config.patience.half_open)
    return None


def finish_aggressive(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 2, send message 3: HDR*, HASH_I or SIG_I."""
    assert received is not None
    if not _take_choice(sa, received, now) or not _take_values(sa, received):
        return UNUSABLE
    named = received.first(Identification)
    name = "" if named is None else str(identity_of(named))
    if not _derive(sa, psk_for(sa, name), now):
        return UNUSABLE
    sa.handshake.id_r = received.octets_of(Identification)
    verdict = _verdict(sa, received, now)
    if verdict is not AUTHENTICATED:
        return verdict
    learn_nat(sa, received, now)
    float_ports(sa)
    encrypted = sa.config.encrypt_third
    bodies: list[Body | Payload] = [*proof(sa), *nat_detection(sa), *_initial_contact(sa)]
    sa.send(talk, bodies, now, encrypted=encrypted, expects_answer=False)
    return verdict


def verify_initiator(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Take message 3 of aggressive mode: the initiator proves itself."""
    del talk
    assert received is not None
    verdict = _verdict(sa, received, now)
    if verdict is AUTHENTICATED:
        sa.path = received.path
        learn_nat(sa, received, now)
        _contact(sa, received, now)
    return verdict


# -- refusals -------------------------------------------------------------------------------------------------------


def unreadable(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Answer a message 5 that cannot be read: the keys differ, so the pre-shared keys do (RFC 2409 section 5.4)."""
    del received, talk
    sa.count("phase 1 messages that no key opens")
    if sa.config.unreadable_answer is not UnreadableAnswer.SILENT:
        _send_error(sa, NotifyType.PAYLOAD_MALFORMED, now, "message 5 makes no sense under our keys")
    return None


def not_authentic(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Refuse the other side: its proof or its identity is wrong."""
    del received
    _send_error(sa, NotifyType.AUTHENTICATION_FAILED, now, "the other side is not who it should be")
    sa.refused(talk, str(NotifyType.AUTHENTICATION_FAILED), now)
    sa.close(now, "authentication failed")
    return None


def unusable(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Give up: what the other side sent makes no SA."""
    del received, talk
    sa.count("phase 1 messages that make no SA")
    sa.close(now, "the answer is unusable")
    return None


def refused(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Give up: the other side refuses."""
    error = None if received is None else received.error
    name = "refused" if error is None else str(error.notify_type)
    sa.refused(talk, name, now)
    sa.close(now, name)
    return None


def unanswered(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Give up: nobody answers."""
    del received
    sa.unanswered(talk, now)
    sa.close(now, "no answer")
    return None


def forget_half_open(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Drop an SA whose initiator went no further."""
    del received, talk
    sa.close(now, "half-open for too long")
    return None


def _send_error(sa: IsakmpSa, kind: NotifyType, now: Instant, story: str) -> None:
    """An INFORMATIONAL of its own, under our keys where we have some, as most daemons do."""
    talk = sa.begin(ExchangeType.INFORMATIONAL, None)
    if sa.protection is None or sa.config.unreadable_answer is UnreadableAnswer.CLEAR:
        sa.send(talk, [bare_notify(kind)], now, encrypted=False, expects_answer=False, story=story)
        return
    payloads = sa.protection.with_hash_1(talk.message_id, (Payload(body=isakmp_notify(kind, sa.cookies)),))
    sa.send(talk, payloads, now, expects_answer=False, story=story)


# -- pieces ---------------------------------------------------------------------------------------------------------


def _offers(sa: IsakmpSa) -> tuple[PhaseOneOffer, ...]:
    """What we offer; in aggressive mode the group is settled before the first message (RFC 2409 section 5)."""
    every, settled = sa.config.phase_1, sa.chosen
    return every if settled is None else tuple(each for each in every if each.group == settled.group)


def _offer(sa: IsakmpSa) -> SecurityAssociation:
    body = offer_phase_1(_offers(sa), number_of(sa.config, initiator=True))
    sa.handshake.offered, sa.handshake.sa_i = body, body.build()
    return body


def _pick(offered: SecurityAssociation, config: Ikev1Config) -> tuple[PhaseOneOffer, SecurityAssociation] | None:
    """What a responder of this configuration chooses."""
    reads = config.faults.reads_offers or MAX_LOOKED_AT
    return choose_phase_1(offered, config.phase_1, number_of(config, initiator=False), reads)


def _choose(sa: IsakmpSa, received: Received, now: Instant) -> SecurityAssociation | None:
    """Responder: pick a transform and note what the initiator announced."""
    offered = received.first(SecurityAssociation)
    found = None
    if offered is not None:
        found = _pick(offered, sa.config)
    if found is None:
        return None
    sa.chosen, answer = found
    sa.handshake.sa_i = received.octets_of(SecurityAssociation)
    _learn_vendors(sa, received)
    sa.say(events.ProposalChosen, now, transforms=names_of(sa.chosen))
    return answer


def _take_choice(sa: IsakmpSa, received: Received, now: Instant) -> bool:
    """Initiator: take the one transform that the responder chose, if it is one that was offered."""
    body = received.first(SecurityAssociation)
    if body is None or len(body.proposals) != 1 or len(body.proposals[0].transforms) != 1:
        return False
    transform, auth = body.proposals[0].transforms[0], number_of(sa.config, initiator=True)
    found = next((each for each in _offers(sa) if is_phase_1(transform, each, auth)), None)
    if found is None:
        return False
    sa.chosen, sa.cookie_r = found, received.header.spi_r
    sa.owner.register(sa)
    _learn_vendors(sa, received)
    sa.say(events.ProposalChosen, now, transforms=names_of(found))
    return True


def _learn_vendors(sa: IsakmpSa, received: Received) -> None:
    extensions, versions = understood(body.data for body in received.all(VendorId))
    sa.extensions |= extensions
    sa.nat_traversal = next((each for each in sa.config.nat_traversal if each in versions), None)


def _vendor_ids(sa: IsakmpSa) -> list[Body]:
    return [VendorId(data=octets) for octets in announced(sa.config)]


def _own_values(sa: IsakmpSa) -> tuple[bytes, bytes]:
    """A fresh public value and a fresh nonce."""
    chosen, entropy = _chosen(sa), sa.owner.entropy
    sa.handshake.pair = generate(chosen.group.id, entropy.octets(chosen.group.entropy_size, "g^x"))
    return sa.handshake.pair.public, entropy.octets(sa.config.nonce_size, "nonce")


def _chosen(sa: IsakmpSa) -> PhaseOneOffer:
    assert sa.chosen is not None
    return sa.chosen


def _take_values(sa: IsakmpSa, received: Received) -> bool:
    """The other side's public value and nonce, if they are such."""
    public, nonce, handshake = received.first(KeyExchange), received.first(Nonce), sa.handshake
    if public is None or nonce is None or not MIN_NONCE <= len(nonce.data) <= MAX_NONCE:
        return False
    if sa.is_initiator:
        handshake.g_xr, handshake.nr = public.data, nonce.data
    else:
        handshake.g_xi, handshake.ni = public.data, nonce.data
    return True


def _derive(sa: IsakmpSa, psk: Secret, now: Instant) -> bool:
    """Derive SKEYID and its family; False for a public value that is none."""
    chosen, handshake = _chosen(sa), sa.handshake
    assert handshake.pair is not None
    try:
        g_xy = shared_secret(handshake.pair, handshake.g_xr if sa.is_initiator else handshake.g_xi)
    except PublicValueError:
        return False
    if sa.config.method is Method.PSK:
        skeyid = skeyid_psk(chosen.prf, psk, handshake.ni, handshake.nr)
    else:
        skeyid = skeyid_signature(chosen.prf, handshake.ni, handshake.nr, g_xy)
    sa.protection = make_protection(
        chosen.encryption,
        chosen.key_bits,
        chosen.prf,
        skeyid,
        g_xy,
        cookies=sa.cookies,
        g_xi=handshake.g_xi,
        g_xr=handshake.g_xr,
    )
    spis = {"spi_i": sa.cookie_i, "spi_r": sa.cookie_r}
    sa.say(events.SecretShared, now, **spis, method=chosen.group.id, secret=g_xy)
    sa.say(
        IsakmpKeysDerived,
        now,
        cookie_i=sa.cookie_i,
        cookie_r=sa.cookie_r,
        suite=PhaseOneSuite(encryption=chosen.encryption, key_bits=chosen.key_bits, prf=chosen.prf),
        skeyids=sa.protection.keys,
        key=sa.protection.key,
        iv=sa.protection.first_iv,
        ni=handshake.ni,
        nr=handshake.nr,
    )
    return True


def _verdict(sa: IsakmpSa, received: Received, now: Instant) -> Input:
    why = check(sa, received, now)
    if why:
        sa.count(f"phase 1 refused: {why}")
        return NOT_AUTHENTIC
    return AUTHENTICATED


def _initial_contact(sa: IsakmpSa) -> list[Body]:
    """RFC 2407 section 4.6.3.3: we know of no other SA with this peer."""
    return [isakmp_notify(NotifyType.INITIAL_CONTACT, sa.cookies)] if sa.config.initial_contact else []


def _contact(sa: IsakmpSa, received: Received, now: Instant) -> None:
    if received.notify(NotifyType.INITIAL_CONTACT) is not None:
        for rival in sa.owner.rivals_of(sa):
            rival.close(now, "the other side made initial contact")
