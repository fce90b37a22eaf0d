"""AUTH for IKEv2: IKE_AUTH was answered, and the answer, or what its receiver does next, is a refusal.

AUTHENTICATION_FAILED has at least six causes that look the same on the wire. These rules name the class, rank the
causes by what is visible, and never claim to know which one it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from ipsecscope.diagnose import evidence, hints, sizes
from ipsecscope.diagnose.rule import (
    CERTAIN,
    CRITICAL,
    HIGH,
    LIKELY,
    MEDIUM,
    POSSIBLE,
    Confidence,
    Found,
    rule,
)
from ipsecscope.diagnose.rules.negotiation import MESSAGE_ERRORS
from ipsecscope.diagnose.rules.phase_one import v1_initiator_rejects, v1_responder_rejects
from ipsecscope.diagnose.view import (
    Answer,
    View,
    error_of,
    exchanges_of,
    has_notify,
    is_open,
    next_after,
    notify_in,
    opening,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, end_of, frames, seconds, times, who
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.ikev2.extensions.rfc7427 import SignatureHashAlgorithms
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, ExchangeType, NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import Exchange, IkeSa, MessageRecord

AT_ONCE_NS = NANOSECONDS // 20  # for a refusal: MOBIKE's news of addresses come later
CERTIFICATE_SIZE = 700  # octets of payloads: more than identity, pre-shared key proof and proposals need
SMALL_CERTIFICATE = 400  # octets of payloads: no identity, certificate and proof have room in fewer
SLOW_NS = NANOSECONDS
CAUSES = {
    "psk": "the pre-shared keys differ",
    "id": "the responder has no connection for the initiator's identity, or the requested responder identity is another",
    "cert": "the initiator's certificate is expired, or its CA is not trusted by the responder",
    "method": "the responder expects another authentication method (key, certificate, EAP)",
    "ppk": "the post-quantum pre-shared keys (PPK) differ",
    "crl": "a revocation check failed",
}


def uses_certificate(sa: IkeSa, view: View) -> bool | None:
    """Whether the initiator's IKE_AUTH request holds a certificate by its size; None when it may or may not.

    Certificates of elliptic curves are hardly larger than a list of proposals and an address request.
    """
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
    inner = view.inner(sa, auths[0].request) if auths and auths[0].request else None
    if inner is None or SMALL_CERTIFICATE <= inner.high <= CERTIFICATE_SIZE:
        return None
    return inner.low > CERTIFICATE_SIZE


def asks_for_certificate(sa: IkeSa) -> bool:
    """Whether the responder's IKE_SA_INIT lists authorities that it trusts."""
    return any(
        next(bodies(record.payloads, ikev2.CertificateRequest), None) is not None
        for exchange in opening(sa)
        for record in exchange.response
    )


def both_announce(sa: IkeSa, kind: int) -> bool:
    """Whether both sides sent a notify of this type in the opening."""
    first = opening(sa)
    return any(has_notify(each.request, kind) for each in first) and any(
        has_notify(each.response, kind) for each in first
    )


def ranked_causes(sa: IkeSa, view: View) -> tuple[str, ...]:
    """The causes of a refused IKE_AUTH, the likeliest first by what is visible."""
    large = uses_certificate(sa, view)
    order = ["cert", "id", "crl", "method", "psk"] if large else ["psk", "id", "method"]
    if large is None:
        order = ["psk", "id", "cert", "method", "crl"]
    if not large and asks_for_certificate(sa):
        order = ["method", *(each for each in order if each != "method")]
    if both_announce(sa, NotifyType.USE_PPK):
        order = ["ppk", *order]
    return tuple(CAUSES[each] for each in order)


def sureness_of(answer: Answer) -> Confidence:
    """How sure a reading of IKE_AUTH is: certain when it was opened."""
    return CERTAIN if answer.basis == "decrypted" else LIKELY


@rule(
    "AUTH-002",
    "v2-auth-failed",
    CRITICAL,
    title="The responder refused the initiator's authentication",
    means="Both sides agreed on algorithms, then the responder rejected who the initiator is or how it proved it. "
    "The protocol does not say which check failed; the responder's log does.",
    detect="The answer to IKE_AUTH is AUTHENTICATION_FAILED, or so short that it can only hold an error notify; in IKEv1 "
    "with signatures, an informational in place of the responder's own proof.",
    look_alikes={
        "PH2-001": "the answer also has room for identity and proof: authentication worked, the tunnel was refused",
        "AUTH-010": "the refusal comes after several rounds: EAP",
        "AUTH-005": "the initiator refuses the responder after a full answer",
    },
    causes=tuple(CAUSES.values()),
    confirm="The responder's log: 'MAC mismatched' is the key, 'no matching peer config' the identity; or IKE keys for this capture.",
    fix="Set the same key on both sides and both identities explicitly; check validity and CA of certificates.",
    swanctl="local { auth = psk; id = A } remote { auth = psk; id = B } secrets { ike-NAME { id = B; secret = … } }",
    ios="crypto ikev2 keyring K / peer B / pre-shared-key …; crypto ikev2 profile P / identity local … / match identity remote …",
    libreswan='authby=secret, leftid=A, rightid=B; ipsec.secrets: A B : PSK "…"',
    rfc=("RFC 7296 1.2", "RFC 7296 2.21.2"),
    suppressed_by=("AUTH-006",),
)
def v2_auth_failed(sa: IkeSa, view: View) -> Iterator[Found]:
    """An IKE_AUTH answer that is nothing but an error; in IKEv1 a complaint about a signature."""
    if sa.version == 1:
        yield from v1_responder_rejects(sa)
        return
    answer = view.answer(sa)
    exchange = answer.exchange
    if answer.kind != "refused" or exchange is None or view.flows_of(sa):
        return
    if answer.notify is not None and int(answer.notify) in MESSAGE_ERRORS:  # PH1-016
        return
    name = f" with {answer.notify}" if answer.notify is not None else ""
    how = "" if answer.basis == "decrypted" else ": its encrypted answer has room for an error and for nothing else"
    causes = ranked_causes(sa, view)
    checked = view.analysis.verified.get(sa.id)
    advice = f"Check first whether {causes[0]}."
    if checked is not None and checked.initiator is False and not uses_certificate(sa, view):
        wrong = CAUSES["ppk" if both_announce(sa, NotifyType.USE_PPK) else "psk"]
        causes = (wrong, *(each for each in causes if each != wrong))
        advice = f"Its proof does not fit the key at hand, so check first whether {wrong}."
    claimed = end_of(sa, "initiator").id
    as_whom = f" (which calls itself {claimed[1]})" if claimed is not None else ""
    yield Found(
        confidence=sureness_of(answer)
        if answer.inner is None or answer.inner.low <= sizes.LONE_NOTIFY_MAX
        else POSSIBLE,
        summary=f"{who(sa, 'responder')} refused to authenticate {who(sa, 'initiator')}{as_whom}{name} "
        f"({frames(exchange.response)}, {clock(exchange.response[0].time_ns)}){how}. {advice}",
        evidence=(*evidence.all_errors(exchange.response), *evidence.messages(exchange.records)),
        equation=None if answer.inner is None else answer.inner.equation,
        causes=causes,
        config=hints.psk_config(sa) if causes[0] == CAUSES["psk"] else {},
    )


def shared_key_for_certificate(exchange: Exchange) -> bool:
    """Whether a readable IKE_AUTH request asks for a certificate and its answer is a proof with a pre-shared key."""
    asks = any(next(bodies(record.payloads, ikev2.CertificateRequest), None) for record in exchange.request)
    proofs = [body for record in exchange.response for body in bodies(record.payloads, ikev2.Authentication)]
    return asks and any(proof.method == AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE for proof in proofs)


@rule(
    "AUTH-005",
    "initiator-rejects-responder",
    HIGH,
    title="The initiator refused the responder",
    means="The responder accepted the initiator, but the initiator does not accept the responder, and hangs up at once.",
    detect="A full answer to IKE_AUTH (IKEv1: to the identity message), then at once a short INFORMATIONAL from the "
    "initiator, and the SA is never used.",
    look_alikes={
        "LIFE-008": "an ordinary end comes later, or after traffic",
        "AUTH-002": "the responder refuses: its answer is short",
    },
    causes=(
        "the responder's certificate is expired, not yet valid or of an unknown CA",
        "the responder's identity is not the expected one",
        "the pre-shared key for the responder differs",
        "no address, or other networks or mode than wanted",
    ),
    confirm="The initiator's log; IKE keys for this capture.",
    fix="Correct certificate, CA or identity of the responder, or what the initiator expects of them.",
    swanctl="remote { id = B; cacerts = ca.pem }",
    ios="crypto pki trustpoint CA / revocation-check …; match identity remote …",
    rfc=("RFC 7296 2.21.2",),
    suppressed_by=("AUTH-006", "AUTH-001"),
)
def initiator_rejects_responder(sa: IkeSa, view: View) -> Iterator[Found]:
    """Hung up at once behind a full answer."""
    if sa.version == 1:
        yield from v1_initiator_rejects(sa, view)
        return
    hung_up = hang_up_behind_answer(sa, view)
    if hung_up is None or shared_key_for_certificate(hung_up[0]):
        return
    exchange, following = hung_up
    pause = following.start_ns - exchange.stop_ns
    error = error_of(following.request)
    inner = view.inner(sa, following.request)
    said = f"with {error}" if error is not None else "with a message too short for anything but an error or a goodbye"
    yield Found(
        confidence=CERTAIN if error is not None else LIKELY,
        summary=f"{who(sa, 'responder')} accepted {who(sa, 'initiator')} ({frames(exchange.response)}), but {who(sa, 'initiator')} "
        f"hung up {seconds(pause)} later ({frames(following.request)}) {said}: it does not accept the identity or the "
        f"certificate of {who(sa, 'responder')}.",
        evidence=(
            *evidence.all_errors(following.request),
            *evidence.messages((*exchange.response, *following.request)),
        ),
        equation=None if inner is None or error is not None else inner.equation,
        causes=_responder_causes(sa, view, exchange.response),
    )


def hang_up_behind_answer(sa: IkeSa, view: View) -> tuple[Exchange, Exchange] | None:
    """IKEv2: a full answer to IKE_AUTH, and the initiator's message at once behind it that ends the SA."""
    answer = view.answer(sa)
    exchange = answer.exchange
    first_of_eap = (
        answer.kind == "eap-open" and answer.rounds == 1 and sa.handshake_seen
    )  # the responder's proof stands before EAP
    if sa.version == 1 or exchange is None or view.flows_of(sa):
        return None
    if answer.kind not in {"complete", "unknown"} and not first_of_eap:
        return None
    if (sa.initiator.address, sa.responder.address) in view.sent_away:  # it leaves because it was asked to (RFC 5685)
        return None
    following = next_after(sa, exchange)
    if following is None or following.initiated_by != "initiator" or not view.closes(sa, following):
        return None
    pause = following.start_ns - exchange.stop_ns
    if any(is_open(record) for record in following.request):
        return (exchange, following) if error_of(following.request) is not None else None
    if error_of(following.request) is None and (pause > AT_ONCE_NS + _round_trip(sa) or _lives_on(sa, following)):
        return None  # a message of that size comes with any ordinary end; a refusal needs no time to think
    return exchange, following


def _round_trip(sa: IkeSa) -> int:
    """What one round takes as seen from the tap, nanoseconds: to either side, whichever is farther."""
    begins = sorted((record for each in sa.exchanges[:2] for record in each.records), key=lambda record: record.number)
    return max((later.time_ns - earlier.time_ns for earlier, later in pairwise(begins)), default=0)


def _lives_on(sa: IkeSa, closing: Exchange) -> bool:
    """Whether the SA is still in use behind what may have closed it: then it was another message of that size."""
    return any(each is not closing and each.start_ns > closing.stop_ns for each in sa.exchanges)


def _responder_causes(sa: IkeSa, view: View, answer: tuple[MessageRecord, ...]) -> tuple[str, ...]:
    inner = view.inner(sa, answer)
    if inner is None or inner.low > CERTIFICATE_SIZE:
        return ()
    return (
        "the pre-shared key for the responder differs",
        "the responder's identity is not the expected one",
        "no address, or other networks or mode than wanted",
    )


@rule(
    "AUTH-009",
    "cert-check-slow",
    MEDIUM,
    title="The authentication took long",
    means="The responder answers, but only after seconds: it was probably waiting for another service.",
    detect="The answer to IKE_AUTH comes later than a second and ten times later than that to IKE_SA_INIT.",
    look_alikes={"NET-010": "loss: the answer follows a repeated request at once"},
    causes=(
        "a revocation check (CRL, OCSP) that times out",
        "a slow RADIUS server",
        "name resolution",
        "a deliberate delay before a refusal",
    ),
    confirm="Capture on the responder's inside.",
    fix="Make the service reachable, or relax the check.",
    swanctl="remote { revocation = relaxed }",
    ios="crypto pki trustpoint TP / revocation-check crl none",
    rfc=("RFC 7296 2.1",),
)
def cert_check_slow(sa: IkeSa) -> Iterator[Found]:
    """A slow answer."""
    first = opening(sa)
    if sa.version == 1 or not first or not first[-1].response or not first[-1].request:
        return
    quick = first[-1].response[0].time_ns - first[-1].request[-1].time_ns
    for exchange in exchanges_of(sa, ExchangeType.IKE_AUTH):
        if not exchange.request or not exchange.response:
            continue
        slow = exchange.response[0].time_ns - exchange.request[0].time_ns
        if slow > max(SLOW_NS, 10 * quick):
            yield Found(
                confidence=POSSIBLE,
                summary=f"{who(sa, 'responder')} took {seconds(slow)} to answer IKE_AUTH ({frames(exchange.records)}), and "
                f"{seconds(max(quick, 0))} to answer IKE_SA_INIT.",
                evidence=evidence.messages(exchange.records),
            )


@rule(
    "AUTH-013",
    "signature-hash-mismatch",
    MEDIUM,
    headline=True,
    title="No common hash for signatures",
    means="Each side says which hashes it accepts in signatures, and the two lists have nothing in common.",
    detect="SIGNATURE_HASH_ALGORITHMS of both sides without a common entry.",
    look_alikes={"AUTH-002": "a refusal for another reason"},
    causes=("a crypto policy (FIPS)", "an old device"),
    confirm="The log of the side that refuses: hash or signature algorithm not supported.",
    fix="Enable SHA-2 signatures on both sides.",
    swanctl="local { auth = rsa-sha256 }",
    libreswan="authby=rsa-sha2",
    rfc=("RFC 7427 4",),
)
def signature_hash_mismatch(sa: IkeSa) -> Iterator[Found]:
    """Two lists of hashes without overlap."""
    sides: list[tuple[MessageRecord, frozenset[int]]] = []
    for records in ([r for e in opening(sa) for r in e.request], [r for e in opening(sa) for r in e.response]):
        hit = notify_in(records, NotifyType.SIGNATURE_HASH_ALGORITHMS)
        content = None if hit is None else hit[1].content()
        if hit is None or not isinstance(content, SignatureHashAlgorithms):
            return
        sides.append((hit[0], frozenset(int(each) for each in content.hashes)))
    if sides[0][1] & sides[1][1]:
        return
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} accept no common hash in signatures "
        f"({frames([record for record, _ in sides])}).",
        evidence=tuple(
            each for record, _ in sides for each in evidence.notify(record, NotifyType.SIGNATURE_HASH_ALGORITHMS)
        ),
    )


@rule(
    "HOST-006",
    "credential-bruteforce",
    HIGH,
    title="Many failed logins from one address",
    means="Somebody guesses passwords or keys, or a client retries with a wrong one for a long time.",
    detect="Ten or more refused authentications from one source.",
    look_alikes={"PH1-015": "a misconfigured peer retries at a steady pace with messages of equal size"},
    causes=("password guessing", "a client with an old password"),
    confirm="The authentication server's log for this source.",
    fix="Lock accounts or sources after some failures; use certificates.",
    swanctl="remote { auth = eap-tls }, instead of passwords",
    rfc=("RFC 7296 2.16",),
)
def credential_bruteforce(sa: IkeSa, view: View) -> Iterator[Found]:
    """The tenth refusal of one source."""
    sas = view.by_responder.get(sa.responder.address, [])
    if len(sas) < 10 or sas[0] is not sa:
        return
    by_source: dict[str, list[IkeSa]] = {}
    for each in sas:
        if view.answer(each).kind in {"refused", "eap-refused"}:
            by_source.setdefault(each.initiator.address, []).append(each)
    for source, refused in by_source.items():
        if len(refused) >= 10:
            last = [view.answer(each).exchange for each in refused]
            records = [record for exchange in last if exchange is not None for record in exchange.response]
            yield Found(
                confidence=LIKELY if len(refused) < 30 else CERTAIN,
                summary=f"{source} failed to authenticate to {sa.responder.address} {times(len(refused))} "
                f"({frames(records)}).",
                evidence=evidence.messages(records),
            )
