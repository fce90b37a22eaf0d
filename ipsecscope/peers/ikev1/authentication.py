"""How phase 1 proves who is who: HASH payloads, RSA signatures over them, hybrid authentication (RFC 2409 section 5)."""

from __future__ import annotations

import hmac

from ipsecscope.decrypt.keymat_ikev1 import hash_i, hash_r
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev1 import Certificate, CertificateRequest, Hash, Identification, Signature
from ipsecscope.dissect.ikev1.exchanges import Authentication
from ipsecscope.dissect.registry.ikev2 import IdType
from ipsecscope.dissect.registry.ipsec_doi import IdType as DoiIdType
from ipsecscope.dissect.registry.isakmp import AuthenticationMethod, CertificateEncoding
from ipsecscope.peers.config import Identity, SettingError
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import Role
from ipsecscope.peers.ikev1.config import Ikev1Config, Method
from ipsecscope.peers.ikev1.messages import Received
from ipsecscope.peers.ikev1.negotiation import authentication_method
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.signatures import load_private_key, rsa_raw
from ipsecscope.peers.trust import trusted_key

MAX_RSA_BITS = 16_384
X509 = CertificateEncoding.X_509_CERTIFICATE_SIGNATURE


def number_of(config: Ikev1Config, *, initiator: bool) -> AuthenticationMethod:
    """The authentication method that a peer offers, or accepts, in the role that it has in phase 1."""
    is_client = not config.is_gateway
    return authentication_method(config.method, xauth=config.uses_xauth, initiator_is_client=is_client == initiator)


def grammar_of(sa: IsakmpSa) -> Authentication:
    """Which messages the way of authentication leads to."""
    if sa.config.method is Method.PSK:
        return Authentication.PRE_SHARED_KEY
    if sa.config.method is Method.RSA:
        return Authentication.SIGNATURE
    return Authentication.HYBRID_INITIATOR if sa.is_client == sa.is_initiator else Authentication.HYBRID_RESPONDER


def signs(config: Ikev1Config, *, is_client: bool) -> bool:
    """Whether the client, or the gateway, proves itself by a signature."""
    return config.method is Method.RSA or (config.method is Method.HYBRID and not is_client)


def check_settings(config: Ikev1Config) -> None:
    """Raise SettingError where a key or an authority that phase 1 needs cannot be used."""
    is_client = not config.is_gateway
    if signs(config, is_client=is_client):
        sign(config.private_key, b"")
    requests(config, is_client=is_client)


def identification(config: Ikev1Config) -> Identification:
    """Our ID payload of phase 1."""
    identity = config.identity
    return Identification(id_type=DoiIdType(int(identity.id_type)), data=identity.data)


def identity_of(body: Identification) -> Identity:
    """Who an ID payload names; the types that both versions have share their numbers (RFC 7296 section 3.5)."""
    return Identity(IdType(int(body.id_type)), body.data)


def psk_for(sa: IsakmpSa, name: str) -> Secret:
    """The pre-shared key for an address or an identity, or the one for everybody."""
    return next((psk for wanted, psk in sa.config.psks if wanted == name), sa.config.psk)


def digest_of(sa: IsakmpSa, role: Role) -> bytes:
    """HASH_I or HASH_R."""
    assert sa.protection is not None
    handshake, keys = sa.handshake, sa.protection.keys
    common = {
        "g_xi": handshake.g_xi,
        "g_xr": handshake.g_xr,
        "cky_i": sa.cookie_i,
        "cky_r": sa.cookie_r,
        "sa_i": handshake.sa_i,
    }
    if role == "initiator":
        return hash_i(sa.protection.prf, keys.skeyid, **common, id_i=handshake.id_i)
    return hash_r(sa.protection.prf, keys.skeyid, **common, id_r=handshake.id_r)


def proof(sa: IsakmpSa) -> tuple[Body, ...]:
    """Our HASH payload, or our certificates and SIG payload. Raises SettingError for a key that is no RSA key."""
    digest = digest_of(sa, sa.role)
    if not signs(sa.config, is_client=sa.is_client):
        return (Hash(data=digest),)
    certificates = (Certificate(encoding=X509, data=der) for der in sa.config.certificates)
    return (*certificates, Signature(data=sign(sa.config.private_key, digest)))


def requests(config: Ikev1Config, *, is_client: bool) -> tuple[Body, ...]:
    """CERTREQ payloads for what the other side is to sign with."""
    if not signs(config, is_client=not is_client):
        return ()
    names = [_subject(der) for der in config.authorities]
    return tuple(CertificateRequest(encoding=X509, data=name) for name in names)


def _subject(der: bytes) -> bytes:
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der).subject.public_bytes()
    except ValueError:
        raise SettingError("an authority is no X.509 certificate") from None


def check(sa: IsakmpSa, received: Received, now: Instant) -> str:
    """Why the other side is not who it says it is; empty when it is.

    The ID payload's octets must be in the handshake already.
    """
    body = received.first(Identification)
    if body is not None:
        sa.remote_id = identity_of(body)
    if sa.remote_id is None:
        return "there is no identity"
    if sa.config.remote_id is not None and sa.remote_id != sa.config.remote_id:
        return "the identity is not the one that was expected"
    digest = digest_of(sa, sa.other)
    if not signs(sa.config, is_client=not sa.is_client):
        found = received.first(Hash)
        matches = found is not None and hmac.compare_digest(found.data, digest)
        return "" if matches else "the HASH does not match: the pre-shared keys differ"
    signature = received.first(Signature)
    chain = [each.data for each in received.all(Certificate) if each.is_x509]
    key, why = trusted_key(chain, sa.config.authorities, sa.remote_id, now)
    if key is None:
        return why
    return "" if signature is not None and verify(key, signature.data, digest) else "the signature does not match"


# -- RSA, RFC 2409 section 5.1: PKCS #1 block type 1 around the HASH itself, without the name of the hash ---------------


def sign(private_key: Secret, digest: bytes) -> bytes:
    """The signature of a HASH. Raises SettingError for a key that is no RSA key."""
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = load_private_key(private_key)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise SettingError("phase 1 of IKEv1 signs with RSA keys only")
    numbers = key.private_numbers()
    size = (numbers.public_numbers.n.bit_length() + 7) // 8
    block = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return rsa_raw(numbers, block)


def verify(key: object, signature: bytes, digest: bytes) -> bool:
    """Whether a signature is the key's over a HASH; never raises."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    if not isinstance(key, rsa.RSAPublicKey) or key.key_size > MAX_RSA_BITS:
        return False
    try:
        recovered = key.recover_data_from_signature(signature, padding.PKCS1v15(), None)
    except (InvalidSignature, ValueError):
        return False
    return hmac.compare_digest(recovered, digest)
