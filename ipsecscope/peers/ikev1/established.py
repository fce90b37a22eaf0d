"""Behind phase 1: who goes on with what, DPD, phase 1 rekeying, the end (RFC 3706, RFC 2408 section 5.15)."""

from __future__ import annotations

from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.ikev1 import Delete, Notification
from ipsecscope.dissect.ikev1.notification import DeadPeerDetection
from ipsecscope.dissect.registry.ipsec_doi import ProtocolId
from ipsecscope.dissect.registry.isakmp import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.ikev1.messages import Received, delete_isakmp, delete_spis, isakmp_notify
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import ChildSa, Purpose, Talk
from ipsecscope.peers.ikev1.vendors import Extension
from ipsecscope.peers.peer import Found, Input

USER_NEXT = Found("the user is next")
ADDRESS_NEXT = Found("the address is next")
READY = Found("ready")

DPD_INTERVAL = 2 * SECOND  # between two questions where the configuration has no interval for repetitions
DPD_SEQUENCES = 1 << 32
SEQUENCE_ROOM = 1 << 31  # RFC 3706 section 6.2: the first number is random, small enough to count up from


def authenticated(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Phase 1 is done: tell it, start the clocks, see what comes next."""
    del received
    sa.completed(talk, now)
    sa.owner.proven(sa)
    sa.clear_timer("half-open")
    sa.last_heard = now
    facts = {"local_id": str(sa.config.identity), "remote_id": str(sa.remote_id)}
    sa.say(events.HandshakeCompleted, now, **facts)
    patience = sa.config.patience
    if patience.dpd_after and Extension.DPD in sa.extensions:
        sa.set_timer("dpd", now + patience.dpd_after)
    if patience.ike_lifetime and sa.is_initiator:
        sa.set_timer("lifetime", now + patience.ike_lifetime)
    if patience.keepalive_after and sa.local_behind_nat:
        sa.set_timer("keepalive", now + patience.keepalive_after)
    return USER_NEXT if sa.config.uses_xauth else next_step(sa, talk, None, now)


def next_step(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """What comes behind phase 1 and XAUTH: mode configuration, or phase 2 at once."""
    del talk, received, now
    wants_address = sa.config.push_config or (sa.config.request_config and sa.is_client)
    return ADDRESS_NEXT if wants_address and not _inherit_address(sa) else READY


def _inherit_address(sa: IsakmpSa) -> bool:
    """A rekeyed SA goes on with the address of the one before it."""
    if sa.predecessor is not None and sa.predecessor.virtual_ip:
        sa.virtual_ip = sa.predecessor.virtual_ip
        return True
    return False


def ask_user(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Gateway: begin XAUTH; the client waits for that."""
    del talk, received
    if not sa.is_client:
        sa.owner.transact(sa, Purpose.CREDENTIALS, now)
    return None


def ask_address(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Pull an address as a client, push one as a gateway; the other one waits."""
    del talk, received
    if sa.config.push_config:
        if not sa.is_client:
            sa.owner.transact(sa, Purpose.PUSH, now)
    else:
        sa.owner.transact(sa, Purpose.PULL, now)
    return None


def ready(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Go on to phase 2."""
    del talk, received
    sa.owner.ready(sa, now)
    return None


def user_rejected(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """The gateway deletes the SA; the client forgets it."""
    if not sa.is_client:
        return close(sa, talk, received, now)
    sa.close(now, "the user was rejected")
    return None


# -- informational exchanges ----------------------------------------------------------------------------------------


def inform(sa: IsakmpSa, body: Notification | Delete, now: Instant, story: str) -> Talk:
    """Send an INFORMATIONAL of its own: HDR*, HASH(1), N or D (RFC 2409 section 5.7)."""
    assert sa.protection is not None
    talk = sa.begin(ExchangeType.INFORMATIONAL, None)
    payloads = sa.protection.with_hash_1(talk.message_id, (Payload(body=body),))
    sa.send(talk, payloads, now, expects_answer=False, story=story)
    sa.talks.pop(talk.message_id, None)
    return talk


def delete_children(sa: IsakmpSa, children: list[ChildSa], now: Instant) -> None:
    """Tell the other side which SAs we receive with no longer, one message for each protocol, and drop them."""
    for protocol in dict.fromkeys(child.protocol for child in children):
        spis = [child.spi_in for child in children if child.protocol == protocol]
        inform(sa, delete_spis(protocol, spis), now, "these SAs are no longer used")
    for child in children:
        sa.drop_child(child, now)


def close(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Delete the phase 2 SAs, then the ISAKMP SA itself."""
    del talk, received
    if sa.protection is not None:
        delete_children(sa, list(sa.children), now)
        inform(sa, delete_isakmp(sa.cookies), now, "the ISAKMP SA is no longer used")
    sa.close(now, "deleted by us")
    return None


def dropped(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Forget an SA that was never established."""
    del talk, received
    sa.close(now, "given up by its owner")
    return None


def closed_by_peer(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """The other side deleted the ISAKMP SA."""
    del talk, received
    sa.close(now, "replaced" if sa.is_replaced else "deleted by the other side")
    return None


def deleted(sa: IsakmpSa, body: Delete, now: Instant) -> bool:
    """Act on a Delete payload; whether it deletes the ISAKMP SA itself."""
    if body.protocol_id == ProtocolId.PROTO_ISAKMP:
        return sa.cookie_i + sa.cookie_r in body.spis
    for child in list(sa.children):
        if child.protocol == body.protocol_id and child.spi_out in body.spis:
            sa.drop_child(child, now)
    return False


# -- dead peer detection, RFC 3706 ------------------------------------------------------------------------------------


def ask_alive(sa: IsakmpSa, now: Instant) -> None:
    """Send R-U-THERE with the next sequence number."""
    if not sa.dpd_sequence:
        sa.dpd_sequence = int.from_bytes(sa.owner.entropy.octets(4, "DPD sequence"), "big") % SEQUENCE_ROOM
    sa.dpd_sequence = (sa.dpd_sequence + 1) % DPD_SEQUENCES
    sa.dpd_tries += 1
    data = DeadPeerDetection(sequence=sa.dpd_sequence).build()
    body = isakmp_notify(NotifyType.R_U_THERE, sa.cookies, data)
    inform(sa, body, now, "is the other side still there?")
    sa.set_timer("dpd", now + (sa.config.patience.retransmit_after or DPD_INTERVAL))


def dpd_is_due(sa: IsakmpSa, now: Instant) -> bool:
    """Ask, or wait on; False when the other side must be taken for dead."""
    patience = sa.config.patience
    if not sa.dpd_tries and now - sa.last_heard < patience.dpd_after:
        sa.set_timer("dpd", sa.last_heard + patience.dpd_after)
        return True
    if sa.dpd_tries > patience.retransmissions:
        return False
    ask_alive(sa, now)
    return True


def alive(sa: IsakmpSa, body: Notification, now: Instant) -> None:
    """Take R-U-THERE-ACK; any sequence number but the last one is not for us (RFC 3706 section 5.4)."""
    content = body.content()
    if not isinstance(content, DeadPeerDetection) or content.sequence != sa.dpd_sequence or not sa.dpd_tries:
        sa.count("DPD answers to nothing")
        return
    sa.dpd_tries = 0
    if sa.config.patience.dpd_after:
        sa.set_timer("dpd", now + sa.config.patience.dpd_after)
    else:
        sa.clear_timer("dpd")


def answer_alive(sa: IsakmpSa, body: Notification, now: Instant) -> None:
    """Answer R-U-THERE with the same sequence number."""
    if sa.config.faults.ignore_dpd:
        return
    answer = isakmp_notify(NotifyType.R_U_THERE_ACK, sa.cookies, body.data)
    inform(sa, answer, now, "we are still there")


def dead(sa: IsakmpSa, talk: Talk, received: Received | None, now: Instant) -> Input | None:
    """Give the other side up."""
    del talk, received
    sa.close(now, "the other side is dead")
    return None
