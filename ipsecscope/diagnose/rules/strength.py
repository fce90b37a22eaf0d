"""SEC: audit of algorithms, those in use and those only offered. These findings never explain a failure.

What is weak is not written here: the status of an algorithm is in its registry row (RFC 8247 for IKE, RFC 8221 for
ESP and AH, RFC 9395 for what was withdrawn).
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.hints import suite_config
from ipsecscope.diagnose.observed import PQ, choice_of, has_ml_kem, has_ppk, offered_facts, sa_places
from ipsecscope.diagnose.profile import Aspect
from ipsecscope.diagnose.rule import CERTAIN, HIGH, LOW, MEDIUM, Found, Severity, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import frames, listed, who
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.ikev2 import (
    ESP_AH_STATUS,
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
)
from ipsecscope.timeline.sas import IkeSa, Suite

# RFC 8247 section 1.1 and RFC 8221 section 1: what the words of a status demand.
_GRAVE = frozenset({"MUST NOT", "DEPRECATED"})
_WEAK = frozenset({"SHOULD NOT", "MUST-", "MAY"})
_SOUND_HASH = IntegrityAlgorithm.AUTH_HMAC_SHA2_256_128.name
_TABLES: dict[Aspect, type[CodePoint]] = {
    "IKE encryption": EncryptionAlgorithm,
    "IKE PRF": PseudorandomFunction,
    "IKE integrity": IntegrityAlgorithm,
    "IKE key exchange": KeyExchangeMethod,
}


def code_point(table: type[CodePoint], name: str | None) -> CodePoint | None:
    """The row that a name of a suite stands for; None for a name that the table does not have."""
    return table.__members__.get(name or "") if name else None


def weakness(value: CodePoint | None, *, esp: bool = False) -> Severity | None:
    """How weak an algorithm is by its status; None when there is nothing to say."""
    if value is None:
        return None
    status = ESP_AH_STATUS.get(type(value), {}).get(int(value), value.status) if esp else value.status
    if value is KeyExchangeMethod.MODP_1024:  # by identity: other tables have the same numbers
        return HIGH  # RFC 8247 2.4: within reach of state-level attackers
    if status in _GRAVE:
        return HIGH
    if status == "MAY" and value is not EncryptionAlgorithm.ENCR_3DES:
        return None
    return MEDIUM if status in _WEAK else None


@rule(
    "SEC-003",
    "weak-dh-chosen",
    HIGH,
    title="A weak Diffie-Hellman group was chosen",
    means="The key exchange is within reach of well-equipped attackers, now or for recorded traffic.",
    detect="The chosen group's status in RFC 8247.",
    look_alikes={"SEC-006": "offered only"},
    causes=("old defaults",),
    confirm="Nothing to confirm: the choice stands in the clear.",
    fix="Use ECP-256 or larger, X25519, or MODP-3072.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384",
    ios="group 20 19 15",
    libreswan="ike=aes_gcm256-sha2_384-dh20",
    rfc=("RFC 8247 2.4",),
)
def weak_dh_chosen(sa: IkeSa) -> Iterator[Found]:
    """A group that RFC 8247 turns down."""
    record = choice_of(sa)
    for name in sa.suite.ke if sa.suite is not None else ():
        grade = weakness(code_point(KeyExchangeMethod, name))
        if grade is not None and record is not None:
            yield Found(
                confidence=CERTAIN,
                severity=grade,
                summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchange keys with {name} ({frames([record])}).",
                evidence=sa_places(record),
            )


def _weak_ciphers(suite: Suite | None, *, esp: bool) -> tuple[str, Severity] | None:
    if suite is None or suite.encr is None:
        return None
    grade = weakness(code_point(EncryptionAlgorithm, suite.encr), esp=esp)
    if esp and suite.encr in {"ENCR_NULL", "ENCR_NULL_AUTH_AES_GMAC"}:
        return None  # SEC-010 says so
    return None if grade is None else (suite.encr, grade)


@rule(
    "SEC-004",
    "weak-cipher-chosen",
    HIGH,
    title="A weak cipher was chosen",
    means="The encryption is broken or too short-lived for today's traffic.",
    detect="The chosen cipher's status in RFC 8247 (IKE) and RFC 8221 (ESP).",
    look_alikes={"SEC-006": "offered only"},
    causes=("an old peer",),
    confirm="Nothing to confirm: the choice stands in the clear, or was read with keys.",
    fix="Use AES-GCM.",
    swanctl="children.NAME.esp_proposals = aes256gcm16",
    ios="crypto ipsec transform-set TS esp-gcm 256",
    libreswan="esp=aes_gcm256",
    rfc=("RFC 8247 2.1", "RFC 8221 5"),
)
def weak_cipher_chosen(sa: IkeSa, view: View) -> Iterator[Found]:
    """A cipher that the RFCs turn down, in IKE or in a Child SA that was read."""
    record = choice_of(sa)
    found = _weak_ciphers(sa.suite, esp=False)
    if found is not None and record is not None:
        yield Found(
            confidence=CERTAIN,
            severity=found[1],
            summary=f"The IKE SA between {who(sa, 'initiator')} and {who(sa, 'responder')} uses {found[0]} ({frames([record])}).",
            evidence=sa_places(record),
        )
    for child in sa.child_sas:
        weak = _weak_ciphers(child.suite, esp=True)
        flows = [view.flows[name] for name in child.flows if name in view.flows]
        if weak is not None and flows:
            yield Found(
                confidence=CERTAIN,
                severity=weak[1],
                summary=f"The tunnel {child.id} uses {weak[0]} ({frames([flow.first_frame for flow in flows])}).",
                evidence=tuple(each for flow in flows[:2] for each in evidence.flow(flow)),
                subject=child.id,
            )


@rule(
    "SEC-005",
    "weak-integrity",
    MEDIUM,
    title="A weak hash or integrity algorithm was chosen",
    means="MD5 and SHA-1 are no longer recommended.",
    detect="The status of the chosen PRF and integrity algorithm in RFC 8247 (IKE) and RFC 8221 (ESP and AH).",
    look_alikes={"SEC-006": "offered only"},
    causes=("an old peer",),
    confirm="Nothing to confirm: the choice stands in the clear.",
    fix="SHA-256 or better, or AES-GCM.",
    swanctl="connections.NAME.proposals = aes256-sha256-ecp256",
    ios="integrity sha384",
    libreswan="ike=aes256-sha2_256-dh14",
    rfc=("RFC 8247 2.2", "RFC 8247 2.3", "RFC 8221 6"),
)
def weak_integrity(sa: IkeSa, view: View) -> Iterator[Found]:
    """MD5 or SHA-1, in IKE or in a Child SA that was read."""
    yield from _weak_hashes(sa)
    for child in sa.child_sas:
        if child.suite is None:
            continue
        name = child.suite.integ
        grade = weakness(code_point(IntegrityAlgorithm, name), esp=True)
        flows = [view.flows[each] for each in child.flows if each in view.flows]
        if grade is not None and flows:
            yield Found(
                confidence=CERTAIN,
                severity=grade,
                summary=f"The packets of the tunnel {child.id} are protected with {name} ({frames([flow.first_frame for flow in flows])}).",
                evidence=tuple(each for flow in flows[:2] for each in evidence.flow(flow)),
                subject=child.id,
                config=suite_config(msgspec.structs.replace(child.suite, integ=_SOUND_HASH), child.protocol),
            )


def _weak_hashes(sa: IkeSa) -> Iterator[Found]:
    record = choice_of(sa)
    if sa.suite is None or record is None:
        return
    graded = [
        (name, weakness(code_point(table, name)))
        for table, name in ((PseudorandomFunction, sa.suite.prf), (IntegrityAlgorithm, sa.suite.integ))
    ]
    weak = [(name, grade) for name, grade in graded if name is not None and grade is not None]
    if weak:
        worst: Severity = HIGH if any(grade == HIGH for _, grade in weak) else MEDIUM
        yield Found(
            confidence=CERTAIN,
            severity=worst,
            summary=f"The IKE SA between {who(sa, 'initiator')} and {who(sa, 'responder')} uses {listed([name for name, _ in weak])} "
            f"({frames([record])}).",
            evidence=sa_places(record),
        )


@rule(
    "SEC-006",
    "weak-offer-tail",
    LOW,
    title="Weak algorithms are offered",
    means="They were not chosen, but a peer or an attacker who refuses all others could have them chosen.",
    detect="Offered algorithms whose status is weak, beside those chosen.",
    look_alikes={"SEC-003": "a weak group that was chosen", "SEC-004": "a weak cipher that was chosen"},
    causes=("default proposals",),
    confirm="Nothing to confirm: the offer stands in the clear.",
    fix="Offer only what you would accept.",
    swanctl="explicit proposals, without 'default'",
    ios="no crypto isakmp default policy",
    libreswan="ike=aes_gcm256-sha2_384-dh20, and nothing else",
    rfc=("RFC 8247 2",),
)
def weak_offer_tail(sa: IkeSa) -> Iterator[Found]:
    """What else is offered."""
    weak = [
        fact
        for fact in offered_facts(sa)
        if fact.aspect in _TABLES and weakness(code_point(_TABLES[fact.aspect], fact.value)) is not None
    ]
    if weak:
        names = list(dict.fromkeys(fact.value for fact in weak))
        places = weak[0].evidence
        yield Found(
            confidence=CERTAIN,
            summary=f"{who(sa, 'initiator')} also offers {listed(names)} ({frames(place.frame for place in places)}).",
            evidence=places,
        )


@rule(
    "SEC-008",
    "pq-unsafe",
    LOW,
    title="No protection against future quantum computers",
    means="Whoever records this traffic may be able to decrypt it later.",
    detect="No ML-KEM key exchange and no PPK in the negotiation.",
    look_alikes={"PH1-014": "an additional key exchange was agreed on and failed"},
    causes=("not configured or not supported",),
    confirm="Nothing to confirm: the choice stands in the clear.",
    fix="Add ML-KEM as an additional key exchange, or a PPK.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024",
    ios="ppk manual id …",
    libreswan="ppk=insist, ppk-ids=ID",
    rfc=("RFC 9370", "RFC 8784"),
)
def pq_unsafe(sa: IkeSa) -> Iterator[Found]:
    """Neither ML-KEM nor PPK."""
    record = choice_of(sa)
    if sa.version == 1 or sa.suite is None or record is None or sa.established_ns is None:
        return
    if has_ml_kem(sa.suite) or has_ppk(sa):
        return
    offered = list(dict.fromkeys(fact.value for fact in offered_facts(sa) if fact.value in PQ))
    refused = f"; {listed(offered)} was offered and not chosen" if offered else ""
    yield Found(
        confidence=CERTAIN,
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchange keys with {listed(list(sa.suite.ke)) or 'no known method'} only "
        f"({frames([record])}): recorded traffic is not safe from future quantum computers{refused}.",
        evidence=sa_places(record),
    )
