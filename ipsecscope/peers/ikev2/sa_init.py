"""IKE_SA_INIT: algorithms, nonces, the first key exchange (RFC 7296 sections 1.2, 2.6, 2.7, 2.14 and 2.23).

What a responder can refuse without keeping anything, it refuses in ``screen``: a flood costs it no memory.
"""

from __future__ import annotations

from collections import deque

from ipsecscope.decrypt.groups import PublicValueError, generate, group, respond, shared_secret
from ipsecscope.decrypt.keymat import derive_ike_keys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import KeyExchange, Nonce, Notify, SecurityAssociation, VendorId
from ipsecscope.dissect.ikev2.checks import NONCE_SIZES
from ipsecscope.dissect.ikev2.extensions.rfc7427 import SignatureHashAlgorithms
from ipsecscope.dissect.ikev2.notify import InvalidKePayload
from ipsecscope.dissect.natt import Endpoint, nat_detection_hash
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, NotifyType, TransformType
from ipsecscope.peers import events
from ipsecscope.peers.config import PeerConfig, RedirectAt
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.ikev2 import redirect
from ipsecscope.peers.ikev2.authentication import certificate_request
from ipsecscope.peers.ikev2.messages import NO_SPI, Received, note
from ipsecscope.peers.ikev2.negotiation import (
    additional_key_exchanges,
    choose,
    ike_suite,
    is_answer_to,
    is_computable,
    key_exchange_of,
    names_of,
    offer,
)
from ipsecscope.peers.ikev2.protection import Protection
from ipsecscope.peers.ikev2.sa import IkeSa
from ipsecscope.peers.peer import Found, Input, Path

MAX_RETRIES = 5  # cookies and other key exchange methods that an initiator puts up with
NAT_HASH_SIZE = 20

ANOTHER_KEY_EXCHANGE = Found("another key exchange")
KEYS_COMPLETE = Found("keys complete")
UNUSABLE = Found("unusable")

_STATUS = (
    NotifyType.IKEV2_FRAGMENTATION_SUPPORTED,
    NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED,
    NotifyType.CHILDLESS_IKEV2_SUPPORTED,
    NotifyType.USE_PPK,
)


# -- initiator ---------------------------------------------------------------------------------------------------


def send(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send HDR, SAi1, KEi, Ni with everything that we announce."""
    del received
    handshake, config = sa.handshake, sa.config
    if not handshake.ni:
        handshake.ni = sa.owner.entropy.octets(config.nonce_size, "Ni")
        handshake.offered = offer(config.ike_proposals)
        handshake.method = _first_method(config)
    if handshake.pair is None or handshake.pair.method != handshake.method:
        handshake.pair = generate(
            handshake.method, sa.owner.entropy.octets(group(handshake.method).entropy_size, "KEi")
        )
    bodies: list[Body] = [note(NotifyType.COOKIE, handshake.cookie)] if handshake.cookie else []
    assert handshake.offered is not None
    bodies += [
        handshake.offered,
        KeyExchange(method=handshake.method, data=handshake.pair.public),
        Nonce(data=handshake.ni),
        *_nat_detection(sa, sa.path),
        *_announced(config, initiator=True),
        *_redirection(sa),
    ]
    sa.sent.next_id = 0
    handshake.request = sa.request(ExchangeType.IKE_SA_INIT, bodies, now)
    return None


def _redirection(sa: IkeSa) -> list[Body]:
    """That we go where a gateway sends us, or which one sent us here (RFC 5685 sections 3 and 4)."""
    if sa.handshake.redirected_from:
        return [redirect.redirected_from(sa.handshake.redirected_from)]
    return [note(NotifyType.REDIRECT_SUPPORTED)] if sa.config.follow_redirects else []


def _first_method(config: PeerConfig) -> KeyExchangeMethod:
    wanted = config.ike_proposals[0].transforms
    return KeyExchangeMethod(next(item for item in wanted if item.transform_type == TransformType.KE).transform_id)


def retry_with_cookie(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send the same request with the cookie in front (RFC 7296 section 2.6)."""
    assert received is not None
    found = received.notify(NotifyType.COOKIE)
    sa.handshake.cookie = b"" if found is None else found.data
    return _again(sa, now)


def retry_with_method(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Send the request with the method that the responder wants, when it is one that we offered (section 1.2)."""
    assert received is not None
    found = received.notify(NotifyType.INVALID_KE_PAYLOAD)
    content = None if found is None else found.content()
    offered = {
        item.transform_id
        for proposal in sa.config.ike_proposals
        for item in proposal.transforms
        if item.transform_type == TransformType.KE
    }
    if not isinstance(content, InvalidKePayload) or content.method not in offered:
        return UNUSABLE
    if content.method == sa.handshake.method:
        return UNUSABLE
    sa.handshake.method = content.method
    return _again(sa, now)


def _again(sa: IkeSa, now: Instant) -> Input | None:
    sa.handshake.retries += 1
    sa.spi_r = NO_SPI  # RFC 7296 section 2.6: the responder has not chosen one yet
    if sa.handshake.retries > MAX_RETRIES:
        sa.count("IKE_SA_INIT retries exhausted")
        return UNUSABLE
    return send(sa, None, now)


def accept(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Take HDR, SAr1, KEr, Nr: derive the keys and see who is behind a NAT."""
    assert received is not None
    handshake = sa.handshake
    answer = received.first(SecurityAssociation)
    exchanged, nonce = received.first(KeyExchange), received.first(Nonce)
    if answer is None or exchanged is None or nonce is None or len(answer.proposals) != 1:
        return UNUSABLE
    chosen = answer.proposals[0]
    assert handshake.offered is not None
    assert handshake.pair is not None
    if not is_answer_to(chosen, handshake.offered) or not _is_nonce(nonce.data):
        return UNUSABLE
    if key_exchange_of(chosen) != handshake.method or exchanged.method != handshake.method:
        return UNUSABLE
    try:
        secret = shared_secret(handshake.pair, exchanged.data)
    except PublicValueError:
        return UNUSABLE
    sa.spi_r = received.header.spi_r
    sa.chosen, handshake.nr, handshake.response = chosen, nonce.data, received.data
    _learn(sa, received, now)
    if not _derive(sa, secret, now):
        return UNUSABLE
    _float(sa)
    return KEYS_COMPLETE if not handshake.rounds else ANOTHER_KEY_EXCHANGE


def _float(sa: IkeSa) -> None:
    """Go to the NAT-T ports: behind a NAT (RFC 7296 section 2.23), and with MOBIKE in any case (RFC 4555 3.3)."""
    if sa.has_nat or (sa.config.mobike and sa.config.nat_detection):
        port, there = sa.config.nat_port, sa.config.remote_ports[1]
        sa.path = Path(Endpoint(sa.path.local.address, port), Endpoint(sa.path.remote.address, there))


def refused(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Give up: the responder refuses."""
    error = None if received is None else received.error
    sa.close(now, "refused" if error is None else str(error.notify_type))
    return None


def unusable(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Give up: the answer makes no IKE SA."""
    del received
    sa.count("handshakes with an unusable answer")
    sa.close(now, "the answer is unusable")
    return None


# -- responder ---------------------------------------------------------------------------------------------------


def screen(received: Received, config: PeerConfig, *, cookie: bytes | None) -> Notify | None:
    """The refusal of a request that needs no state; None for one worth keeping.

    Args:
        received: the request.
        config: what we accept.
        cookie: the one that the request must carry; None while none is asked for (RFC 7296 section 2.6).
    """
    if cookie is not None:
        found = received.notify(NotifyType.COOKIE)
        if config.faults.endless_cookies or found is None or found.data != cookie:
            return note(NotifyType.COOKIE, cookie)
    if redirect.sends_away(config, received.path, RedirectAt.IKE_SA_INIT, supported=redirect.supports(received)):
        return redirect.redirect(config.redirect_to, redirect.nonce_of(received))
    critical = received.unknown_critical
    if critical is not None:
        return note(NotifyType.UNSUPPORTED_CRITICAL_PAYLOAD, bytes((critical.kind,)))
    offered, exchanged, nonce = (
        received.first(SecurityAssociation),
        received.first(KeyExchange),
        received.first(Nonce),
    )
    if offered is None or exchanged is None or nonce is None or not _is_nonce(nonce.data):
        return note(NotifyType.INVALID_SYNTAX)
    chosen = choose(offered, config.ike_proposals)
    if chosen is None or ike_suite(chosen) is None:
        return note(NotifyType.NO_PROPOSAL_CHOSEN)
    method = key_exchange_of(chosen)
    if method is None or not is_computable(method):
        return note(NotifyType.NO_PROPOSAL_CHOSEN)
    if exchanged.method != method:
        return note(NotifyType.INVALID_KE_PAYLOAD, InvalidKePayload(method=method).build())
    return None


def answer(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer HDR, SAr1, KEr, Nr and derive the keys."""
    assert received is not None
    offered, exchanged, nonce = (
        received.first(SecurityAssociation),
        received.first(KeyExchange),
        received.first(Nonce),
    )
    if offered is None or exchanged is None or nonce is None:
        return UNUSABLE
    handshake, entropy = sa.handshake, sa.owner.entropy
    chosen = choose(offered, sa.config.ike_proposals)
    if chosen is None:
        return UNUSABLE
    try:
        public, secret = respond(exchanged.method, exchanged.data, _key_entropy(entropy, exchanged.method))
    except (PublicValueError, ValueError):
        return UNUSABLE
    sa.chosen, handshake.offered, handshake.method = chosen, offered, exchanged.method
    handshake.ni, handshake.nr = nonce.data, entropy.octets(sa.config.nonce_size, "Nr")
    handshake.request = received.data
    _learn(sa, received, now)
    bodies: list[Body] = [
        SecurityAssociation(proposals=(chosen,)),
        KeyExchange(method=exchanged.method, data=public),
        Nonce(data=handshake.nr),
        *(_nat_detection(sa, received.path) if _has_nat_detection(received) else ()),
        *certificate_request(sa),  # RFC 7296 section 3.7: an initiator that is not asked may send no certificate
        *_announced(sa.config, initiator=False, wanted=sa.supported),
    ]
    handshake.response = sa.answer(received, bodies, now)
    if not _derive(sa, secret, now):
        return UNUSABLE
    sa.set_timer("half-open", now + sa.config.patience.half_open)
    return None


def _key_entropy(entropy: Entropy, method: int) -> bytes:
    return entropy.octets(group(method).entropy_size, "KEr")


def forget_half_open(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Drop an IKE SA whose initiator went no further."""
    del received
    sa.close(now, "half-open for too long")
    return None


# -- both --------------------------------------------------------------------------------------------------------


def _is_nonce(data: bytes) -> bool:
    return NONCE_SIZES[0] <= len(data) <= NONCE_SIZES[1]


def _derive(sa: IkeSa, secret: Secret, now: Instant) -> bool:
    """Derive SK_* from the first shared secret; False for a suite that this program cannot compute."""
    handshake = sa.handshake
    assert sa.chosen is not None
    suite = ike_suite(sa.chosen)
    if suite is None:
        return False
    keys = derive_ike_keys(suite, secret, ni=handshake.ni, nr=handshake.nr, spi_i=sa.spi_i, spi_r=sa.spi_r)
    sa.say(events.ProposalChosen, now, transforms=names_of(sa.chosen))
    sa.protection = Protection(
        suite, keys, is_initiator=sa.is_initiator, entropy=sa.owner.entropy.fork(f"IV {sa.local_spi.hex()}")
    )
    sa.sk_d = keys.sk_d
    handshake.rounds = deque(additional_key_exchanges(sa.chosen))
    sa.sent.next_id = 1 if sa.is_initiator else 0
    report_keys(sa, now, secret, handshake.method, ExchangeType.IKE_SA_INIT)
    return True


def report_keys(
    sa: IkeSa, now: Instant, secret: Secret | None, method: KeyExchangeMethod, exchange: ExchangeType
) -> None:
    """Tell the owner of a shared secret and of the keys that came of it."""
    handshake = sa.handshake
    spis = {"spi_i": sa.spi_i, "spi_r": sa.spi_r}
    if secret is not None:
        sa.say(events.SecretShared, now, **spis, method=method, secret=secret, order=handshake.sequence)
    sa.say(
        events.KeysDerived,
        now,
        **spis,
        suite=sa.suite,
        keys=sa.keys,
        ni=handshake.ni,
        nr=handshake.nr,
        exchange=str(exchange),
        sequence=handshake.sequence,
        uses_ppk=handshake.uses_ppk,
    )


def _learn(sa: IkeSa, received: Received, now: Instant) -> None:
    """What the other side announced, and who is behind a NAT."""
    sa.last_heard = now
    sa.supported |= {kind for kind in _STATUS if received.notify(kind) is not None}
    if redirect.supports(received):
        sa.supported.add(NotifyType.REDIRECT_SUPPORTED)
    hashes = received.notify(NotifyType.SIGNATURE_HASH_ALGORITHMS)
    content = None if hashes is None else hashes.content()
    if isinstance(content, SignatureHashAlgorithms):
        sa.hashes = content.hashes
    if sa.config.nat_detection and _has_nat_detection(received):
        learn_nat(sa, received, now)


def _has_nat_detection(received: Received) -> bool:
    return received.notify(NotifyType.NAT_DETECTION_SOURCE_IP) is not None


def learn_nat(sa: IkeSa, received: Received, now: Instant) -> None:
    """Compare the hashes of a message with the addresses it came with (RFC 7296 section 2.23)."""
    spis = (received.header.spi_i, received.header.spi_r)
    sources = _hashes(received, NotifyType.NAT_DETECTION_SOURCE_IP)
    destinations = _hashes(received, NotifyType.NAT_DETECTION_DESTINATION_IP)
    sa.remote_behind_nat = _hash(spis, received.path.remote) not in sources
    sa.local_behind_nat = _hash(spis, received.path.local) not in destinations or sa.config.force_encapsulation
    if sa.remote_behind_nat or sa.local_behind_nat:
        sa.say(events.NatDetected, now, local=sa.local_behind_nat, remote=sa.remote_behind_nat)


def _hashes(received: Received, kind: NotifyType) -> set[bytes]:
    return {body.data for body in received.all(Notify) if body.notify_type == kind}


def _hash(spis: tuple[bytes, bytes], end: Endpoint) -> bytes:
    return nat_detection_hash(*spis, end.address, end.port)


def _nat_detection(sa: IkeSa, path: Path) -> list[Body]:
    return list(nat_detection(sa, path)) if sa.config.nat_detection else []


def nat_detection(sa: IkeSa, path: Path) -> tuple[Body, Body]:
    """The two hashes over the ends of a path; the first is made up when encapsulation is to be forced."""
    spis = (sa.spi_i, sa.spi_r)
    source = _hash(spis, path.local)
    if sa.config.force_encapsulation:
        source = sa.owner.entropy.octets(NAT_HASH_SIZE, "NAT hash")
    return (
        note(NotifyType.NAT_DETECTION_SOURCE_IP, source),
        note(NotifyType.NAT_DETECTION_DESTINATION_IP, _hash(spis, path.remote)),
    )


def _announced(config: PeerConfig, *, initiator: bool, wanted: set[NotifyType] | None = None) -> list[Body]:
    """The extensions that we support; a responder announces USE_PPK and IKE_INTERMEDIATE only to who asked."""
    asked = set(NotifyType) if wanted is None else wanted
    additional = any(
        item.transform_type >= TransformType.ADDKE1 for each in config.ike_proposals for item in each.transforms
    )
    kinds = {
        NotifyType.IKEV2_FRAGMENTATION_SUPPORTED: config.fragmentation,
        NotifyType.SIGNATURE_HASH_ALGORITHMS: bool(config.signature_hashes),
        NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED: additional and NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED in asked,
        NotifyType.USE_PPK: config.ppk is not None and NotifyType.USE_PPK in asked,
        NotifyType.CHILDLESS_IKEV2_SUPPORTED: config.childless and not initiator,
    }
    hashes = SignatureHashAlgorithms(hashes=config.signature_hashes).build()
    data = {NotifyType.SIGNATURE_HASH_ALGORITHMS: hashes}
    vendors: list[Body] = [VendorId(data=octets) for octets in config.vendor_ids]
    private = [note(NotifyType(kind), octets) for kind, octets in config.faults.announces]
    return vendors + [note(kind, data.get(kind, b"")) for kind, applies in kinds.items() if applies] + private


__all__ = [
    "ANOTHER_KEY_EXCHANGE",
    "KEYS_COMPLETE",
    "NO_SPI",
    "UNUSABLE",
    "accept",
    "answer",
    "forget_half_open",
    "learn_nat",
    "nat_detection",
    "refused",
    "report_keys",
    "retry_with_cookie",
    "retry_with_method",
    "screen",
    "send",
    "unusable",
]
