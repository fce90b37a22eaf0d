"""AUTH for IKEv2: IKE_AUTH was answered, and the answer, or what its receiver does next, is a refusal.

AUTHENTICATION_FAILED has at least six causes that look the same on the wire. These rules name the class, rank the
causes by what is visible, and never claim to know which one it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ipsecscope.diagnose import evidence, sizes
from ipsecscope.diagnose.rule import (
    CERTAIN,
    CRITICAL,
    HIGH,
    LIKELY,
    MEDIUM,
    POSSIBLE,
    Confidence,
    Evidence,
    Found,
    rule,
)
from ipsecscope.diagnose.rules.phase_one import v1_initiator_rejects
from ipsecscope.diagnose.view import (
    Answer,
    View,
    copies,
    error_of,
    exchanges_of,
    has_notify,
    is_informational,
    next_after,
    notify_in,
    opening,
    records_of,
)
from ipsecscope.diagnose.words import NANOSECONDS, clock, frames, seconds, times, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.certificates import CertificateFacts, describe_certificate
from ipsecscope.dissect.ikev2.extensions.rfc7427 import SignatureHashAlgorithms
from ipsecscope.dissect.registry.ikev2 import CertificateEncoding, ExchangeType, NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import IkeSa, MessageRecord

CLOCK_SET_NS = 946_684_800 * NANOSECONDS  # the year 2000: a capture clock before it was never set
SOON_NS = NANOSECONDS  # a side that refuses what it was answered does so at once
CERTIFICATE_SIZE = 700  # octets of payloads: more than identity, pre-shared key proof and proposals need
SLOW_NS = NANOSECONDS
STALLED_NS = 30 * NANOSECONDS
_NAMED_IDS = frozenset({"ID_FQDN", "ID_RFC822_ADDR", "ID_USER_FQDN", "ID_IPV4_ADDR", "ID_IPV6_ADDR"})

CAUSES = {
    "psk": "the pre-shared keys differ",
    "id": "the responder has no connection for the initiator's identity, or the requested responder identity is another",
    "cert": "the initiator's certificate is expired, or its CA is not trusted by the responder",
    "method": "the responder expects another authentication method (key, certificate, EAP)",
    "ppk": "the post-quantum pre-shared keys (PPK) differ",
    "crl": "a revocation check failed",
}


def uses_certificate(sa: IkeSa, view: View) -> bool | None:
    """Whether the initiator's IKE_AUTH request is large enough for a certificate; None when that is unknown."""
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
    inner = view.inner(sa, auths[0].request) if auths and auths[0].request else None
    if inner is None:
        return None
    return inner.low > CERTIFICATE_SIZE


def _asks_for_certificate(sa: IkeSa) -> bool:
    return any(
        next(bodies(record.payloads, ikev2.CertificateRequest), None) is not None
        for exchange in opening(sa)
        for record in exchange.response
    )


def _both_announce(sa: IkeSa, kind: int) -> bool:
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
    if not large and _asks_for_certificate(sa):
        order = ["method", *(each for each in order if each != "method")]
    if _both_announce(sa, NotifyType.USE_PPK):
        order = ["ppk", *order]
    return tuple(CAUSES[each] for each in order)


def _basis(answer: Answer) -> Confidence:
    return CERTAIN if answer.basis == "decrypted" else LIKELY


@rule(
    "AUTH-002",
    "v2-auth-failed",
    CRITICAL,
    title="The responder refused the initiator's authentication",
    means="Both sides agreed on algorithms, then the responder rejected who the initiator is or how it proved it. "
    "The protocol does not say which check failed; the responder's log does.",
    detect="The answer to IKE_AUTH is AUTHENTICATION_FAILED, or so short that it can only hold an error notify.",
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
    rfc=("RFC 7296 1.2", "RFC 7296 2.21.2"),
    suppressed_by=("AUTH-006",),
)
def v2_auth_failed(sa: IkeSa, view: View) -> Iterator[Found]:
    """An IKE_AUTH answer that is nothing but an error."""
    answer = view.answer(sa)
    exchange = answer.exchange
    if answer.kind != "refused" or exchange is None or view.flows_of(sa):
        return
    name = str(answer.notify) if answer.notify is not None else "an error notify (AUTHENTICATION_FAILED by its place)"
    how = "" if answer.basis == "decrypted" else ": the answer is too short for an identity and a proof of it"
    causes = ranked_causes(sa, view)
    yield Found(
        confidence=_basis(answer) if answer.inner is None or answer.inner.low <= sizes.LONE_NOTIFY_MAX else POSSIBLE,
        summary=f"{who(sa, 'responder')} answered {who(sa, 'initiator')}'s authentication with {name} "
        f"({frames(exchange.response)}, {clock(exchange.response[0].time_ns)}){how}. To check first: {causes[0]}.",
        evidence=(*_error_places(exchange.response), *evidence.messages(exchange.records)),
        equation=None if answer.inner is None else answer.inner.equation,
        causes=causes,
    )


def _error_places(records: tuple[MessageRecord, ...]) -> tuple[Evidence, ...]:
    return tuple(each for record in records for each in evidence.errors(record))


@rule(
    "AUTH-004",
    "auth-method-mismatch",
    HIGH,
    title="The two sides seem to expect different authentication methods",
    means="One side proves itself with a key, the other wants a certificate (or the other way round).",
    detect="The responder asks for certificates, the initiator sends a message without room for one, and is refused.",
    look_alikes={"AUTH-002": "a gateway that serves both asks for certificates in any case"},
    causes=("one side uses pre-shared keys, the other certificates", "EAP is expected"),
    confirm="The responder's log; IKE keys for this capture.",
    fix="Use the same method on both sides.",
    swanctl="local { auth = pubkey; certs = … } remote { auth = pubkey }",
    ios="crypto ikev2 profile P / authentication local rsa-sig / authentication remote rsa-sig",
    rfc=("RFC 7296 2.15", "RFC 9593"),
    headline=False,
)
def auth_method_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refused key where certificates were asked for."""
    answer = view.answer(sa)
    if answer.kind != "refused" or answer.exchange is None or uses_certificate(sa, view) is not False:
        return
    if not _asks_for_certificate(sa) or not answer.exchange.request:
        return
    asked = [record for exchange in opening(sa) for record in exchange.response]
    inner = view.inner(sa, answer.exchange.request)
    yield Found(
        confidence=POSSIBLE,
        summary=f"{who(sa, 'responder')} asked for a certificate ({frames(asked)}), {who(sa, 'initiator')} sent no message large "
        f"enough for one ({frames(answer.exchange.request)}), and was refused ({frames(answer.exchange.response)}).",
        evidence=(
            *(each for record in asked for each in evidence.payloads(record, ikev2.CertificateRequest)),
            *evidence.messages(answer.exchange.records),
        ),
        equation=None if inner is None else inner.equation,
    )


@rule(
    "AUTH-014",
    "ppk-mismatch",
    HIGH,
    title="The post-quantum pre-shared keys (PPK) may differ",
    means="Both sides agreed to mix in a second secret, and authentication failed: it may be missing or different.",
    detect="USE_PPK from both sides, then a refused IKE_AUTH.",
    look_alikes={"AUTH-002": "any other cause of a refused IKE_AUTH"},
    causes=("another PPK or PPK identity", "the PPK is required on one side and missing on the other"),
    confirm="Try without requiring the PPK.",
    fix="Install the same PPK with the same identity on both sides.",
    swanctl="ppk_id = ID; secrets { ppk-1 { id = ID; secret = 0x… } }",
    ios="crypto ikev2 keyring K / peer B / ppk manual id ID key … required",
    rfc=("RFC 8784 3", "RFC 9867"),
    headline=False,
)
def ppk_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refusal where a PPK was agreed on."""
    answer = view.answer(sa)
    if answer.kind != "refused" or answer.exchange is None or not _both_announce(sa, NotifyType.USE_PPK):
        return
    announced = [record for exchange in opening(sa) for record in exchange.records]
    yield Found(
        confidence=POSSIBLE,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} agreed to use a PPK ({frames(announced)}), and the "
        f"authentication was refused ({frames(answer.exchange.response)}).",
        evidence=(
            *(each for record in announced for each in evidence.notify(record, NotifyType.USE_PPK)),
            *evidence.messages(answer.exchange.response),
        ),
    )


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
    suppressed_by=("AUTH-006",),
)
def initiator_rejects_responder(sa: IkeSa, view: View) -> Iterator[Found]:
    """Hung up at once behind a full answer."""
    if sa.version == 1:
        yield from v1_initiator_rejects(sa, view)
        return
    answer = view.answer(sa)
    exchange = answer.exchange
    if answer.kind not in {"complete", "unknown"} or exchange is None or view.flows_of(sa):
        return
    following = next_after(sa, exchange)
    if following is None or following.initiated_by != "initiator" or not view.closes(sa, following):
        return
    pause = following.start_ns - exchange.stop_ns
    error = error_of(following.request)
    if error is None and pause > SOON_NS:
        return
    inner = view.inner(sa, following.request)
    said = str(error) if error is not None else "a message with room for one notify or delete only"
    yield Found(
        confidence=CERTAIN if error is not None else LIKELY,
        summary=f"{who(sa, 'responder')} accepted {who(sa, 'initiator')} ({frames(exchange.response)}), but {who(sa, 'initiator')} "
        f"sent {said} {seconds(pause)} later ({frames(following.request)}) and never used the SA: it does not accept "
        f"{who(sa, 'responder')}.",
        evidence=(*_error_places(following.request), *evidence.messages((*exchange.response, *following.request))),
        equation=None if inner is None or error is not None else inner.equation,
        causes=_responder_causes(sa, view, exchange.response),
    )


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
    "AUTH-010",
    "eap-rejected",
    HIGH,
    title="The user's EAP login was refused",
    means="Gateway and key exchange are fine; the user name or password (or the EAP method) was not accepted.",
    detect="Several IKE_AUTH rounds that end in EAP-Failure, or without EAP-Success and with a short message that ends it.",
    look_alikes={"AUTH-002": "refused in the first round", "AUTH-011": "nobody refuses: the conversation stops"},
    causes=("wrong password or expired account", "no common EAP method", "a policy of the RADIUS server"),
    confirm="The RADIUS server's log.",
    fix="Correct account, password or EAP method.",
    swanctl="remote { auth = eap-mschapv2; eap_id = %any }",
    ios="crypto ikev2 profile P / authentication remote eap query-identity",
    rfc=("RFC 7296 2.16", "RFC 3748 4.2"),
)
def eap_rejected(sa: IkeSa, view: View) -> Iterator[Found]:
    """EAP that ended without success."""
    answer = view.answer(sa)
    exchange = answer.exchange
    if answer.kind != "eap-refused" or exchange is None or view.flows_of(sa):
        return
    following = next_after(sa, exchange)
    ending = following.request if following is not None and is_informational(following) else exchange.response
    yield Found(
        confidence=_basis(answer),
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchanged {answer.rounds} rounds of EAP and the login was "
        f"refused in the last ({frames(exchange.response)}; the end is {frames(ending)}).",
        evidence=evidence.messages((*exchange.records, *(ending if ending is not exchange.response else ()))),
        equation=None if answer.inner is None else answer.inner.equation,
    )


@rule(
    "AUTH-011",
    "eap-stalled",
    HIGH,
    title="The EAP login stops half way",
    means="One side owes the next EAP message and never sends it.",
    detect="IKE_AUTH rounds that end without success, refusal or further message.",
    look_alikes={"NET-005": "a large EAP message in fragments is lost", "AUTH-009": "the answer comes late"},
    causes=(
        "a password or certificate dialogue that nobody answers",
        "the client silently rejects the server's certificate",
        "RADIUS does not answer",
    ),
    confirm="The client's event log.",
    fix="A server certificate with the right name and key usage, and the full chain.",
    swanctl="local { auth = pubkey; certs = server.pem; send_cert = always }",
    rfc=("RFC 7296 2.16",),
    suppressed_by=("NET-005", "CAP-002"),
)
def eap_stalled(sa: IkeSa, view: View) -> Iterator[Found]:
    """EAP without an end."""
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
    if sa.version == 1 or len(auths) < 2 or view.flows_of(sa):
        return
    last = auths[-1]
    asked = copies(last, last.initiated_by)
    if not last.response and len(asked) > 1:
        owes, waiting = "responder", asked
    elif (
        view.answer(sa).kind == "eap-open" and view.horizon(last.stop_ns) > STALLED_NS and next_after(sa, last) is None
    ):
        owes, waiting = "initiator", list(last.response)
    else:
        return
    yield Found(
        confidence=LIKELY,
        summary=f"The EAP login between {who(sa, 'initiator')} and {who(sa, 'responder')} stops in round {len(auths)} "
        f"({frames(waiting)}): {who(sa, 'responder' if owes == 'responder' else 'initiator')} owes the next message.",
        evidence=evidence.messages(waiting),
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
    title="No common hash for signatures",
    means="Each side says which hashes it accepts in signatures, and the two lists have nothing in common.",
    detect="SIGNATURE_HASH_ALGORITHMS of both sides without a common entry.",
    look_alikes={"AUTH-002": "a refusal for another reason"},
    causes=("a crypto policy (FIPS)", "an old device"),
    fix="Enable SHA-2 signatures on both sides.",
    swanctl="local { auth = rsa-sha256 }",
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


# -- certificates that can be read ------------------------------------------------------------------------------


def certificates(sa: IkeSa) -> Iterator[tuple[MessageRecord, CertificateFacts]]:
    """Every end entity certificate that can be read, with its message; the first of each message."""
    for record in records_of(sa):
        for payload in record.payloads:
            body = payload.body
            is_v1 = isinstance(body, ikev1.Certificate) and body.is_x509
            is_v2 = (
                isinstance(body, ikev2.Certificate) and body.encoding == CertificateEncoding.X_509_CERTIFICATE_SIGNATURE
            )
            if is_v1 or is_v2:
                assert isinstance(body, ikev1.Certificate | ikev2.Certificate)
                facts = describe_certificate(body.data)
                if isinstance(facts, CertificateFacts):
                    yield record, facts
                break


def _epoch_ns(text: str) -> int | None:
    try:
        return int(datetime.fromisoformat(text).timestamp()) * NANOSECONDS
    except ValueError:
        return None


@rule(
    "AUTH-006",
    "cert-expired-or-not-yet-valid",
    CRITICAL,
    title="A certificate is outside its validity",
    means="The certificate has expired or is not valid yet, at the time of the capture.",
    detect="The validity dates of a readable certificate against the time of its packet.",
    look_alikes={"CAP-001": "a wrong clock of the recording host makes every certificate look wrong"},
    causes=("the certificate was not renewed", "a wrong clock"),
    confirm="openssl x509 -noout -dates",
    fix="Renew the certificate; set the clock.",
    swanctl="swanctl --load-creds",
    ios="crypto pki enroll TP; ntp server …",
    rfc=("RFC 5280 4.1.2.5", "RFC 7296 3.6"),
)
def cert_expired(sa: IkeSa, view: View) -> Iterator[Found]:
    """Dates against the capture's clock."""
    said = set()
    for record, facts in certificates(sa):
        begin, end = _epoch_ns(facts.not_before), _epoch_ns(facts.not_after)
        if facts.fingerprint in said or begin is None or end is None:
            continue
        if begin <= record.time_ns <= end:
            continue
        said.add(facts.fingerprint)
        what = f"expired on {facts.not_after}" if record.time_ns > end else f"is valid only from {facts.not_before}"
        failed = sa.state == "failed" or view.answer(sa).kind in {"refused", "eap-refused"} or not view.flows_of(sa)
        yield Found(
            confidence=CERTAIN if record.time_ns > CLOCK_SET_NS else POSSIBLE,
            severity=CRITICAL if failed else MEDIUM,
            headline=failed,
            summary=f"The certificate '{facts.subject}' of {who(sa, record.sender)} ({frames([record])}) {what}.",
            evidence=evidence.payloads(record, ikev1.Certificate, ikev2.Certificate)[:1],
        )


@rule(
    "AUTH-007",
    "cert-identity-mismatch",
    HIGH,
    title="The certificate does not contain the identity claimed",
    means="A side claims a name that its certificate does not vouch for, so the other side must not believe it.",
    detect="A readable identity that is not among the alternative names of the certificate sent with it.",
    look_alikes={
        "AUTH-008": "the name is right, the authority is not trusted",
        "AUTH-006": "the certificate is expired",
    },
    causes=(
        "the name is missing in the certificate",
        "the identity is configured differently",
        "an address instead of a name",
    ),
    confirm="openssl x509 -noout -ext subjectAltName",
    fix="Issue the certificate with this name, or configure the identity that it has.",
    swanctl="local { id = NAME IN THE CERTIFICATE }",
    ios="crypto pki certificate map M 10 / subject-name co NAME",
    rfc=("RFC 4945 3.1", "RFC 7296 3.5"),
)
def cert_identity_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A name that is not in the certificate."""
    failed = sa.state == "failed" or not view.flows_of(sa)
    for record, facts in certificates(sa):
        known = {name.partition(":")[2].lower() for name in facts.subject_alternative_names}
        own = ikev2.IdentificationInitiator if record.sender == "initiator" else ikev2.IdentificationResponder
        for payload in record.payloads:
            body = payload.body
            is_own = type(body) is own or isinstance(body, ikev1.Identification)
            if not is_own or not isinstance(body, ikev2.Identification | ikev1.Identification):
                continue
            if str(body.id_type) not in _NAMED_IDS or not known or body.value.lower() in known:
                continue
            yield Found(
                confidence=LIKELY if failed else POSSIBLE,
                severity=HIGH if failed else MEDIUM,
                headline=failed,
                summary=f"{who(sa, record.sender)} claims to be {body.value} ({frames([record])}), and its certificate names only "
                f"{', '.join(sorted(known))}.",
                evidence=(
                    evidence.payload(record, payload),
                    *evidence.payloads(record, ikev1.Certificate, ikev2.Certificate)[:1],
                ),
            )


@rule(
    "SEC-016",
    "certificate-weakness",
    MEDIUM,
    title="A weak certificate",
    means="The certificate's key or signature is below today's minimum.",
    detect="RSA below 2048 bits, or a signature with SHA-1 or MD5, in a readable certificate.",
    causes=("an old CA",),
    fix="Renew with RSA 3072 or ECDSA P-256 and SHA-256.",
    swanctl="pki --gen --type ecdsa --size 256",
    ios="crypto key generate ec keysize 384",
    rfc=("RFC 8247 3",),
)
def certificate_weakness(sa: IkeSa) -> Iterator[Found]:
    """Small keys and old hashes."""
    said = set()
    for record, facts in certificates(sa):
        algorithm = facts.signature_algorithm.upper().replace("-", "")
        small = facts.key_type.upper().startswith("RSA") and (facts.key_size or 4096) < 2048
        old = "SHA1" in algorithm or "MD5" in algorithm
        if facts.fingerprint in said or not (small or old):
            continue
        said.add(facts.fingerprint)
        yield Found(
            confidence=CERTAIN,
            summary=f"The certificate '{facts.subject}' of {who(sa, record.sender)} ({frames([record])}) has a "
            f"{facts.key_type} key of {facts.key_size} bits and a {facts.signature_algorithm} signature.",
            evidence=evidence.payloads(record, ikev1.Certificate, ikev2.Certificate)[:1],
        )


@rule(
    "AUTH-008",
    "certreq-ca-mismatch",
    HIGH,
    title="The two sides trust different certificate authorities",
    means="Each side lists the authorities it trusts, and the certificate that was sent is of none of them.",
    detect="Hashes in CERTREQ against the issuer of a readable certificate, or against the other side's own CERTREQ.",
    look_alikes={"AUTH-006": "the CA is right, the certificate is expired"},
    causes=("different PKIs", "a CA renewed with a new key on one side", "a missing intermediate"),
    confirm="Compare the hashes with the CA's key identifier.",
    fix="Install each other's root CA.",
    swanctl="remote { cacerts = ca-a.pem }",
    ios="crypto pki authenticate TP-A",
    rfc=("RFC 7296 3.7",),
    headline=False,
)
def certreq_ca_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """Trust lists without overlap, in an SA that failed."""
    answer = view.answer(sa)
    if answer.kind not in {"refused", "none"} or answer.exchange is None:
        return
    lists: dict[str, tuple[MessageRecord, frozenset[bytes]]] = {}
    for record in records_of(sa):
        for body in bodies(record.payloads, ikev2.CertificateRequest):
            lists.setdefault(record.sender, (record, frozenset(body.authorities)))
    if len(lists) < 2:
        return
    (first, mine), (second, theirs) = lists["initiator"], lists["responder"]
    if mine and theirs and not mine & theirs:
        yield Found(
            confidence=POSSIBLE,
            summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} trust no common certificate authority "
            f"({frames([first, second])}).",
            evidence=(
                *evidence.payloads(first, ikev2.CertificateRequest),
                *evidence.payloads(second, ikev2.CertificateRequest),
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
    fix="Lock accounts or sources after some failures; use certificates.",
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
