"""Certificates that can be read: IKEv1's in the clear, those of IKEv2 with keys, and the lists of trusted authorities."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    CERTAIN,
    CRITICAL,
    HIGH,
    INFO,
    LIKELY,
    MEDIUM,
    POSSIBLE,
    Found,
    rule,
)
from ipsecscope.diagnose.view import (
    View,
    records_of,
)
from ipsecscope.diagnose.words import NANOSECONDS, frames, listed, who
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.certificates import CertificateFacts, describe_certificate
from ipsecscope.dissect.registry.ikev2 import CertificateEncoding
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import IkeSa, MessageRecord

CLOCK_SET_NS = 946_684_800 * NANOSECONDS  # the year 2000: a capture clock before it was never set
_LEAST_BITS = {"RSA": 2048, "EC": 250}  # of key types; P-224 and smaller are too small
_KEY_WORDS = {"EC": "elliptic curve"}
MOST_YEARS, YEAR_DAYS = 3, 365.25
_NAMED_IDS = frozenset({"ID_FQDN", "ID_RFC822_ADDR", "ID_USER_FQDN", "ID_IPV4_ADDR", "ID_IPV6_ADDR"})


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
    means="The certificate's key or signature is below today's minimum, or it is valid for longer than its key should be.",
    detect="In a readable certificate: RSA below 2048 bits, an elliptic curve below 250 bits, a signature with SHA-1 or "
    "MD5; and, as a note, an end entity that is valid for more than three years.",
    look_alikes={"AUTH-006": "the certificate is expired, whatever its strength"},
    causes=("an old CA", "a certificate made for a test, valid for ten years"),
    confirm="openssl x509 -text on the certificate.",
    fix="Renew with RSA 3072 or ECDSA P-256 and SHA-256, for a year or two.",
    swanctl="pki --gen --type ecdsa --size 256",
    ios="crypto key generate ec keysize 384",
    libreswan="leftcert=NEW, after certutil or pk12util",
    rfc=("RFC 8247 3", "NIST SP 800-131Ar2 3"),
)
def certificate_weakness(sa: IkeSa) -> Iterator[Found]:
    """Small keys and old hashes, and long lives."""
    said = set()
    for record, facts in certificates(sa):
        faults, years = list(_faults(facts)), _years(facts)
        if facts.fingerprint in said or not (faults or years > MOST_YEARS):
            continue
        said.add(facts.fingerprint)
        if years > MOST_YEARS:
            faults.append(f"is valid for {years:.0f} years")
        yield Found(
            confidence=CERTAIN,
            severity=MEDIUM if len(faults) > (years > MOST_YEARS) else INFO,
            summary=f"The certificate '{facts.subject}' of {who(sa, record.sender)} ({frames([record])}) {listed(faults)}.",
            evidence=evidence.payloads(record, ikev1.Certificate, ikev2.Certificate)[:1],
        )


def _faults(facts: CertificateFacts) -> Iterator[str]:
    if facts.key_size is not None and facts.key_size < _LEAST_BITS.get(facts.key_type, 0):
        yield f"has a {facts.key_size}-bit {_KEY_WORDS.get(facts.key_type, facts.key_type)} key"
    algorithm = facts.signature_algorithm.upper().replace("-", "")
    if "SHA1" in algorithm or "MD5" in algorithm:
        yield f"is signed with {facts.signature_algorithm}"


def _years(facts: CertificateFacts) -> float:
    begin, end = _epoch_ns(facts.not_before), _epoch_ns(facts.not_after)
    return 0 if begin is None or end is None else (end - begin) / (YEAR_DAYS * 86_400 * NANOSECONDS)


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
    libreswan="rightca=%any, and certutil -A for the missing CA",
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
