"""EAP in IKE_AUTH: the responder proves itself first, then asks; the initiator's own proof comes last (RFC 7296 2.16).

That proof is keyed with what the EAP method gave, or with SK_pi where it gave nothing.
"""

from __future__ import annotations

import contextlib

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev2 import Authentication, Eap
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.peers import events
from ipsecscope.peers.config import Identity, SettingError
from ipsecscope.peers.eap import EapServer
from ipsecscope.peers.eap_tls import TlsEnd, TlsTrust
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import auth, authentication
from ipsecscope.peers.ikev2.auth import AUTHENTICATED, EAP_SUCCEEDED, NOT_AUTHENTIC
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.peer import Found, Input
from ipsecscope.peers.signatures import Proof

# -- initiator ---------------------------------------------------------------------------------------------------


def begin(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Verify the gateway's proof, then answer its first EAP request."""
    assert received is not None
    proof = received.first(Authentication)
    if proof is None or sa.handshake.eap is None or not auth.take_identity(sa, received):
        return NOT_AUTHENTIC
    reason = authentication.reason_against(sa, received, Proof(proof.method, proof.data), sa.keys, now)
    if reason:
        sa.count(f"AUTH refused: {reason}")
        return NOT_AUTHENTIC
    return go_on(sa, received, now)


def go_on(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer an EAP request: HDR, SK {EAP}."""
    assert received is not None
    asked = received.first(Eap)
    if asked is None or sa.handshake.eap is None:
        return NOT_AUTHENTIC
    answered = sa.handshake.eap.take(asked, _tls_trust(sa, (), now))
    if sa.handshake.eap.succeeded:
        _report_msk(sa, now)
        return EAP_SUCCEEDED
    if answered is None:
        sa.count(f"EAP failed: {sa.handshake.eap.why or 'refused'}")
        return NOT_AUTHENTIC
    sa.request(ExchangeType.IKE_AUTH, [answered], now)
    return None


def send_proof(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send HDR, SK {AUTH}, keyed with the key of the EAP method."""
    del received
    proof = authentication.prove(sa, sa.keys, msk=sa.handshake.eap.msk)
    sa.request(ExchangeType.IKE_AUTH, [authentication.payload(proof)], now)
    return None


# -- responder ---------------------------------------------------------------------------------------------------


def start(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer HDR, SK {IDr, [CERT,] AUTH, EAP}: prove ourselves, then ask (RFC 7296 section 2.16)."""
    assert received is not None
    sa.handshake.first_auth = received
    bodies = auth.own_identity(sa)
    try:
        proof = authentication.prove(sa, sa.keys)
    except SettingError:
        return NOT_AUTHENTIC
    bodies += [*authentication.certificates(sa), authentication.payload(proof)]
    users: dict[str, Secret] = dict(sa.config.users)
    tls = TlsEnd(sa.config.credentials, is_server=True, newest=sa.config.newest_tls)
    sa.handshake.eap = EapServer(sa.config.eap_methods, users, sa.owner.entropy, tls)
    sa.answer(received, [*bodies, sa.handshake.eap.begin()], now)
    return None


def examine(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Take an EAP response and answer HDR, SK {EAP}."""
    assert received is not None
    answered, server = received.first(Eap), sa.handshake.eap
    if answered is None or server is None:
        return NOT_AUTHENTIC
    following = server.take(answered, _tls_trust(sa, (server.user,), now))
    if server.failed:
        sa.answer(received, [following, note(NotifyType.AUTHENTICATION_FAILED)], now)
        sa.close(now, "EAP failed")
        return Found("EAP failed")
    sa.answer(received, [following], now)
    if not server.succeeded:
        return None
    _report_msk(sa, now)
    return EAP_SUCCEEDED


def examine_proof(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Verify HDR, SK {AUTH} with the key of the EAP method."""
    assert received is not None
    proof, server = received.first(Authentication), sa.handshake.eap
    if proof is None or server is None:
        return NOT_AUTHENTIC
    given = Proof(proof.method, proof.data)
    reason = authentication.reason_against(sa, received, given, sa.keys, now, msk=server.msk)
    if reason:
        sa.count(f"AUTH refused: {reason}")
    return NOT_AUTHENTIC if reason else AUTHENTICATED


# -- both --------------------------------------------------------------------------------------------------------


def _tls_trust(sa: IkeSa, names: tuple[str, ...], now: Instant) -> TlsTrust:
    """Whom EAP-TLS must show us: who IKE says that it is, or what it called itself in EAP."""
    identities = [] if sa.remote_id is None else [sa.remote_id]
    for name in names:
        with contextlib.suppress(SettingError):
            identities.append(Identity.parse(name))
    return TlsTrust(sa.config.authorities, tuple(identities), now)


def _report_msk(sa: IkeSa, now: Instant) -> None:
    """Tell the owner of the key that EAP gave."""
    msk = sa.handshake.eap.msk
    if msk:
        sa.say(events.MskDerived, now, spi_i=sa.spi_i, spi_r=sa.spi_r, msk=msk)
