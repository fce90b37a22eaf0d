"""The AUTH payload: what it covers, how it is made, whether it is right (RFC 7296 sections 2.15 and 2.16, RFC 8784)."""

from __future__ import annotations

import hmac

from ipsecscope.decrypt.keymat import IkeKeys, int_auth, shared_key_auth, signed_octets
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import Authentication, Certificate, CertificateRequest
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, CertificateEncoding
from ipsecscope.peers.config import AuthMethod, Identity, SettingError
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.messages import Received
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.signatures import Proof, load_private_key, sign, verify
from ipsecscope.peers.trust import authority_hash, trusted_key

_SIGNATURES = (AuthMethod.RSA, AuthMethod.ECDSA, AuthMethod.SIGNATURE, AuthMethod.SIGNATURE_PSS)
_SIGNED = {
    AuthenticationMethod.RSA_DIGITAL_SIGNATURE: (AuthMethod.RSA,),
    AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256: (AuthMethod.ECDSA,),
    AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384: (AuthMethod.ECDSA,),
    AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521: (AuthMethod.ECDSA,),
    AuthenticationMethod.DIGITAL_SIGNATURE: (AuthMethod.SIGNATURE, AuthMethod.SIGNATURE_PSS),
}


def covered(sa: IkeSa, keys: IkeKeys, *, by_initiator: bool) -> bytes:
    """InitiatorSignedOctets or ResponderSignedOctets."""
    handshake = sa.handshake
    between = b""
    if handshake.intermediates:
        between = int_auth(handshake.int_auth_i, handshake.int_auth_r, 1 + handshake.intermediates)
    if by_initiator:
        message, nonce, sk_p, body = handshake.request, handshake.nr, keys.sk_pi, handshake.id_i
    else:
        message, nonce, sk_p, body = handshake.response, handshake.ni, keys.sk_pr, handshake.id_r
    return signed_octets(sa.suite.prf, message, nonce, sk_p, body, intermediate=between)


def prove(sa: IkeSa, keys: IkeKeys, *, msk: Secret | None = None) -> Proof:
    """Our proof under the configured method, or behind EAP with its key.

    Raises SettingError when the key does not fit what the other side takes.
    """
    octets = covered(sa, keys, by_initiator=sa.is_initiator)
    credentials, prf = sa.config.credentials, sa.suite.prf
    own = keys.sk_pi if sa.is_initiator else keys.sk_pr
    if msk is not None:  # RFC 7296 section 2.16: the MSK, or SK_p for a method without one
        data = shared_key_auth(prf, msk or own, octets)
        return Proof(AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE, data)
    if credentials.method in _SIGNATURES:
        key = load_private_key(credentials.private_key)
        return sign(key, credentials.method, octets, sa.hashes, sa.owner.entropy)
    if credentials.method == AuthMethod.NULL:
        return Proof(AuthenticationMethod.NULL_AUTHENTICATION, shared_key_auth(prf, own, octets))
    if credentials.method == AuthMethod.EAP and not sa.is_initiator:
        raise SettingError("a gateway cannot authenticate itself with EAP")
    data = shared_key_auth(prf, sa.config.psk, octets)
    return Proof(AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE, data)


def payload(proof: Proof) -> Authentication:
    """A proof as an AUTH payload."""
    return Authentication(method=proof.method, data=proof.data)


def certificates(sa: IkeSa) -> list[Body]:
    """Our chain, when we sign."""
    if sa.config.credentials.method not in _SIGNATURES:
        return []
    kind = CertificateEncoding.X_509_CERTIFICATE_SIGNATURE
    return [Certificate(encoding=kind, data=der) for der in sa.config.credentials.certificates]


def certificate_request(sa: IkeSa) -> list[Body]:
    """The trust anchors that we have, when the other side is to sign."""
    hashes = b"".join(authority_hash(der) for der in sa.config.authorities)
    if not hashes:
        return []
    return [CertificateRequest(encoding=CertificateEncoding.X_509_CERTIFICATE_SIGNATURE, data=hashes)]


def reason_against(
    sa: IkeSa, received: Received, proof: Proof, keys: IkeKeys, now: Instant, *, msk: Secret | None = None
) -> str:
    """Why the other side's proof does not hold; empty when it does. ``sa.remote_id`` is the identity it claims."""
    octets = covered(sa, keys, by_initiator=not sa.is_initiator)
    theirs = keys.sk_pr if sa.is_initiator else keys.sk_pi
    accepted, prf = sa.config.accepted_methods, sa.suite.prf
    if proof.method == AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE:
        if msk is None and AuthMethod.PSK not in accepted:
            return "a pre-shared key is not accepted"
        key = sa.config.psk if msk is None else msk or theirs
        if msk is None and not key:
            return "there is no pre-shared key for this identity"
        right = hmac.compare_digest(proof.data, shared_key_auth(prf, key, octets))
        return "" if right else "the AUTH payload is wrong: another pre-shared key"
    if proof.method == AuthenticationMethod.NULL_AUTHENTICATION:
        if AuthMethod.NULL not in accepted:
            return "NULL authentication is not accepted"
        right = hmac.compare_digest(proof.data, shared_key_auth(prf, theirs, octets))
        return "" if right else "the AUTH payload is wrong"
    if not set(_SIGNED.get(proof.method, ())) & set(accepted):
        return f"the method {proof.method} is not accepted"
    chain = [
        body.data
        for body in received.all(Certificate)
        if body.encoding == CertificateEncoding.X_509_CERTIFICATE_SIGNATURE
    ]
    identity = sa.remote_id or Identity.parse("unknown")
    public, reason = trusted_key(chain, sa.config.authorities, identity, now)
    if public is None:
        return reason
    return "" if verify(public, proof, octets) else "the signature is wrong"
