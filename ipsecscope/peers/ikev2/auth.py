"""IKE_AUTH: identities, proofs, the first Child SA (RFC 7296 sections 1.2, 2.15, 2.16 and 2.21.2).

With EAP it takes several exchanges, which ``auth_eap.py`` holds.
"""

from __future__ import annotations

from ipsecscope.decrypt.keymat import IkeKeys, mix_ppk
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import (
    Authentication,
    IdentificationInitiator,
    IdentificationResponder,
    SecurityAssociation,
)
from ipsecscope.dissect.ikev2.extensions.rfc8784 import NoPpkAuth, PpkIdentity
from ipsecscope.dissect.ikev2.notify import SetWindowSize
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, PpkIdType
from ipsecscope.peers import events
from ipsecscope.peers.config import NULL_IDENTITY, AuthMethod, Identity, RedirectAt, SettingError
from ipsecscope.peers.eap import EapClient
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import authentication, child, redirect
from ipsecscope.peers.ikev2.informational import DeleteIke
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.sa import ChildSa, IkeSa
from ipsecscope.peers.ikev2.sa_init import report_keys
from ipsecscope.peers.peer import Found, Input
from ipsecscope.peers.signatures import Proof

AUTHENTICATED = Found("authenticated")
NOT_AUTHENTIC = Found("not authentic")
EAP_WANTED = Found("EAP is wanted")
EAP_SUCCEEDED = Found("EAP succeeded")
CANNOT_PROVE = Found("cannot prove ourselves")


def is_childless(sa: IkeSa) -> bool:
    """Whether IKE_AUTH makes no Child SA (RFC 6023)."""
    return sa.config.childless and NotifyType.CHILDLESS_IKEV2_SUPPORTED in sa.supported


# -- initiator ---------------------------------------------------------------------------------------------------


def send(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send HDR, SK {IDi, [CERT,] [CERTREQ,] [IDr,] AUTH, [CP,] SAi2, TSi, TSr}; without AUTH when EAP is to follow."""
    del received
    config, handshake = sa.config, sa.handshake
    identity = _claimed(sa)
    own = IdentificationInitiator(id_type=identity.id_type, data=identity.data)
    handshake.id_i = own.build()
    bodies: list[Body] = [own]
    if config.initial_contact:
        bodies.append(note(NotifyType.INITIAL_CONTACT))
    if config.remote_id is not None:
        bodies.append(IdentificationResponder(id_type=config.remote_id.id_type, data=config.remote_id.data))
    bodies += authentication.certificates(sa) + authentication.certificate_request(sa)
    if config.credentials.method == AuthMethod.EAP:
        handshake.eap = EapClient(config.credentials, sa.owner.entropy, config.newest_tls)
    else:
        try:
            bodies += _proofs(sa)
        except SettingError:
            return CANNOT_PROVE
    if not is_childless(sa):
        policy = [each.without_key_exchange() for each in config.child_proposals]
        handshake.child, payloads = child.propose(sa, policy)
        bodies += payloads
    if config.mobike:
        bodies.append(note(NotifyType.MOBIKE_SUPPORTED))
    bodies += _own_window(sa)
    sa.request(ExchangeType.IKE_AUTH, bodies, now)
    return None


def _proofs(sa: IkeSa) -> list[Body]:
    """AUTH, with a PPK twice where the responder may do without it (RFC 8784 section 3)."""
    ppk = sa.config.ppk
    if ppk is None or NotifyType.USE_PPK not in sa.supported:
        if ppk is not None and ppk.required:
            raise SettingError("the responder does not support the PPK that is required")
        return [authentication.payload(authentication.prove(sa, sa.keys))]
    mixed = mix_ppk(sa.suite.prf, ppk.value, sa.keys)
    identity = PpkIdentity(ppk_id_type=PpkIdType.PPK_ID_FIXED, ppk_id=ppk.ppk_id)
    bodies: list[Body] = [
        authentication.payload(authentication.prove(sa, mixed)),
        note(NotifyType.PPK_IDENTITY, identity.build()),
    ]
    if not ppk.required:
        plain = authentication.prove(sa, sa.keys)
        bodies.append(note(NotifyType.NO_PPK_AUTH, NoPpkAuth(auth_data=plain.data).build()))
    return bodies


def cannot_prove(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Give up before IKE_AUTH: the other side takes nothing that we can prove ourselves with."""
    del received
    sa.close(now, "we cannot prove ourselves in a way that the other side takes")
    return None


def accept(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Verify HDR, SK {IDr, [CERT,] AUTH, …}; behind EAP the identity is known already."""
    assert received is not None
    proof = received.first(Authentication)
    if proof is None:
        return NOT_AUTHENTIC
    handshake = sa.handshake
    msk = handshake.eap.msk if handshake.eap is not None else None
    if msk is None and not take_identity(sa, received):
        return NOT_AUTHENTIC
    keys = _with_ppk(sa, received)
    if keys is None:
        return NOT_AUTHENTIC
    given = Proof(proof.method, proof.data)
    reason = authentication.reason_against(sa, received, given, keys, now, msk=msk)
    if reason:
        sa.count(f"AUTH refused: {reason}")
        return NOT_AUTHENTIC
    _use(sa, keys, now)
    return AUTHENTICATED


def take_identity(sa: IkeSa, received: Received) -> bool:
    """Learn IDr; whether it is the one we want to meet."""
    theirs = received.first(IdentificationResponder)
    if theirs is None:
        return False
    sa.handshake.id_r = theirs.build()
    sa.remote_id = Identity.of(theirs)
    wanted = sa.config.remote_id
    if wanted is None or sa.remote_id == wanted:
        return True
    sa.count("another identity than the one wanted")
    return False


def _with_ppk(sa: IkeSa, received: Received) -> IkeKeys | None:
    """The keys that both proofs are made with: a responder that used the PPK says so (RFC 8784 section 3)."""
    ppk = sa.config.ppk
    if ppk is not None and received.notify(NotifyType.PPK_IDENTITY) is not None:
        return mix_ppk(sa.suite.prf, ppk.value, sa.keys)
    return None if ppk is not None and ppk.required else sa.keys


def _use(sa: IkeSa, keys: IkeKeys, now: Instant) -> None:
    """Go over to keys that a PPK was mixed into."""
    if keys is sa.keys:
        return
    assert sa.protection is not None
    sa.protection.keys = keys
    sa.sk_d = keys.sk_d
    sa.handshake.uses_ppk = True
    sa.handshake.sequence += 1
    report_keys(sa, now, None, sa.handshake.method, ExchangeType.IKE_AUTH)


def complete(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """The IKE SA is established; see what became of the first Child SA."""
    assert received is not None
    established(sa, now)
    _learn_window(sa, received)
    handshake = sa.handshake
    if received.notify(NotifyType.MOBIKE_SUPPORTED) is not None and sa.config.mobike:
        sa.supported.add(NotifyType.MOBIKE_SUPPORTED)
    if redirect.follow(sa, received, now):
        sa.begin(DeleteIke("leaves the gateway that sent it away"), now)
        return None
    if handshake.child is None:
        return None
    agreed = child.settle(sa, handshake.child, received)
    handshake.child = None
    if isinstance(agreed, child.Refusal):
        sa.count(f"Child SA refused: {agreed.notify_type}")
        return None
    child.install(sa, child.make(sa, agreed, (), handshake.ni, handshake.nr), now)
    return None


def disbelieve(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Tell the responder that its proof does not hold, and go (RFC 7296 section 2.21.2)."""
    del received
    sa.request(ExchangeType.INFORMATIONAL, [note(NotifyType.AUTHENTICATION_FAILED)], now)
    sa.close(now, "the responder is not authentic")
    return None


# -- responder ---------------------------------------------------------------------------------------------------


def examine(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Look at HDR, SK {IDi, …}: whom do we talk to, does the proof hold, or is EAP wanted."""
    assert received is not None
    theirs, proof = received.first(IdentificationInitiator), received.first(Authentication)
    if theirs is None or sa.handshake.rounds:
        return NOT_AUTHENTIC
    sa.handshake.id_i = theirs.build()
    sa.remote_id = Identity.of(theirs)
    if not _is_welcome(sa, received):
        return NOT_AUTHENTIC
    if proof is None:
        return EAP_WANTED if AuthMethod.EAP in sa.config.accepted_methods else NOT_AUTHENTIC
    chosen = _proof_and_keys(sa, received, Proof(proof.method, proof.data))
    if chosen is None:
        return NOT_AUTHENTIC
    given, keys = chosen
    reason = authentication.reason_against(sa, received, given, keys, now)
    if reason:
        sa.count(f"AUTH refused: {reason}")
        return NOT_AUTHENTIC
    _use(sa, keys, now)
    return AUTHENTICATED


def _is_welcome(sa: IkeSa, received: Received) -> bool:
    """Whether the initiator is whom we expect, and wants to meet who we are."""
    wanted, asked = sa.config.remote_id, received.first(IdentificationResponder)
    if wanted is not None and sa.remote_id not in (wanted, NULL_IDENTITY):
        sa.count("an identity that nobody knows")
        return False
    if asked is not None and Identity.of(asked) != sa.config.local_id:
        sa.count("asked for another identity than ours")
        return False
    return True


def _proof_and_keys(sa: IkeSa, received: Received, proof: Proof) -> tuple[Proof, IkeKeys] | None:
    """The proof to verify and the keys to do it with, by what both know of a PPK (RFC 8784 section 3)."""
    ppk, identity = sa.config.ppk, received.notify(NotifyType.PPK_IDENTITY)
    content = None if identity is None else identity.content()
    if ppk is not None and isinstance(content, PpkIdentity) and content.ppk_id == ppk.ppk_id:
        return proof, mix_ppk(sa.suite.prf, ppk.value, sa.keys)
    if ppk is not None and ppk.required:
        return None
    without = received.notify(NotifyType.NO_PPK_AUTH)
    if identity is not None:
        return None if without is None else (Proof(proof.method, without.data), sa.keys)
    return proof, sa.keys


def answer(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer HDR, SK {IDr, [CERT,] AUTH, [CP,] SAr2, TSi, TSr}, or with the reason why there is no Child SA."""
    assert received is not None
    handshake = sa.handshake
    behind_eap = handshake.eap is not None
    asked = handshake.first_auth or received
    bodies: list[Body] = [] if behind_eap else own_identity(sa)
    try:
        proof = authentication.prove(sa, sa.keys, msk=handshake.eap.msk if behind_eap else None)
    except SettingError:
        sa.answer(received, [note(NotifyType.AUTHENTICATION_FAILED)], now)
        return CANNOT_PROVE
    bodies += [] if behind_eap else authentication.certificates(sa)
    bodies.append(authentication.payload(proof))
    if handshake.uses_ppk:
        bodies.append(note(NotifyType.PPK_IDENTITY))
    if sa.config.mobike and asked.notify(NotifyType.MOBIKE_SUPPORTED) is not None:
        sa.supported.add(NotifyType.MOBIKE_SUPPORTED)
        bodies.append(note(NotifyType.MOBIKE_SUPPORTED))
    _learn_window(sa, asked)
    bodies += _own_window(sa)
    if asked.notify(NotifyType.INITIAL_CONTACT) is not None:
        sa.owner.supersede(sa, now)
    made: ChildSa | None = None
    can_go = NotifyType.REDIRECT_SUPPORTED in sa.supported
    if redirect.sends_away(sa.config, received.path, RedirectAt.IKE_AUTH, supported=can_go):
        bodies.append(redirect.redirect(sa.config.redirect_to))
    elif asked.first(SecurityAssociation) is not None:
        made, payloads = _first_child(sa, asked)
        bodies += payloads
    established(sa, now)
    sa.answer(received, bodies, now)
    if made is not None:
        child.install(sa, made, now)
    return None


def own_identity(sa: IkeSa) -> list[Body]:
    """Our IDr."""
    identity = _claimed(sa)
    own = IdentificationResponder(id_type=identity.id_type, data=identity.data)
    sa.handshake.id_r = own.build()
    return [own]


def _first_child(sa: IkeSa, asked: Received) -> tuple[ChildSa | None, list[Body]]:
    """The Child SA of IKE_AUTH, keyed with the nonces of IKE_SA_INIT."""
    handshake = sa.handshake
    chosen = child.pick(sa, asked, in_auth=True)
    if isinstance(chosen, child.Refusal):
        return None, [chosen.notify()]
    found = child.respond(sa, asked, chosen)
    if isinstance(found, child.Refusal):
        return None, [found.notify()]
    agreed, bodies = found
    return child.make(sa, agreed, (), handshake.ni, handshake.nr), bodies


def refuse(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer N(AUTHENTICATION_FAILED) and forget the IKE SA (RFC 7296 section 2.21.2)."""
    assert received is not None
    sa.answer(received, [note(NotifyType.AUTHENTICATION_FAILED)], now)
    sa.close(now, "the initiator is not authentic")
    return None


def _own_window(sa: IkeSa) -> list[Body]:
    """N(SET_WINDOW_SIZE): how many of the other side's requests we can keep, where that is more than one (2.3)."""
    size = sa.config.window
    if size == 1:
        return []
    sa.came.size = size
    return [note(NotifyType.SET_WINDOW_SIZE, SetWindowSize(window_size=size).build())]


def _learn_window(sa: IkeSa, received: Received) -> None:
    """How many of our requests the other side can keep."""
    found = received.notify(NotifyType.SET_WINDOW_SIZE)
    content = None if found is None else found.content()
    if isinstance(content, SetWindowSize):
        sa.sent.size = max(1, content.window_size)


# -- both --------------------------------------------------------------------------------------------------------


def _claimed(sa: IkeSa) -> Identity:
    """Who this peer says it is: nobody with NULL authentication (RFC 7619 section 2.1)."""
    return NULL_IDENTITY if sa.config.credentials.method == AuthMethod.NULL else sa.config.local_id


def established(sa: IkeSa, now: Instant) -> None:
    """Say so, and start what an established IKE SA watches."""
    sa.clear_timer("half-open")
    sa.last_heard = now
    identity = "" if sa.remote_id is None else str(sa.remote_id)
    sa.say(events.HandshakeCompleted, now, local_id=str(_claimed(sa)), remote_id=identity)
    watch(sa, now)


def watch(sa: IkeSa, now: Instant) -> None:
    """Start the timers of an established IKE SA."""
    patience = sa.config.patience
    if patience.dpd_after:
        sa.set_timer("dpd", now + patience.dpd_after)
    if patience.ike_lifetime:
        sa.set_timer("rekey IKE SA", now + patience.ike_lifetime)
    if patience.keepalive_after and sa.local_behind_nat:
        sa.set_timer("keepalive", now + patience.keepalive_after)


__all__ = [
    "AUTHENTICATED",
    "CANNOT_PROVE",
    "EAP_SUCCEEDED",
    "EAP_WANTED",
    "NOT_AUTHENTIC",
    "accept",
    "answer",
    "cannot_prove",
    "complete",
    "disbelieve",
    "established",
    "examine",
    "own_identity",
    "refuse",
    "send",
    "take_identity",
    "watch",
]
