"""What only opened messages tell: identities, ways of authentication, whether it worked, how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.registry.eap import EapCode
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.children import deletions
from ipsecscope.timeline.contents import bodies, first, refusal_of
from ipsecscope.timeline.sas import MessageRecord, Role, State
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker

PHASE_1 = frozenset(
    {
        int(IsakmpExchangeType.IDENTITY_PROTECTION),
        int(IsakmpExchangeType.AGGRESSIVE),
        int(IsakmpExchangeType.BASE),
    }
)
# A refusal by one of these is a refusal of the IKE SA itself (RFC 7296 2.21.2); others refuse its first child.
REFUSES_SA = frozenset(
    {"AUTHENTICATION_FAILED", "INVALID_SYNTAX", "UNSUPPORTED_CRITICAL_PAYLOAD", "AUTHORIZATION_FAILED"}
)

_AUTH_WORDS = {
    int(AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE): "PSK",
    int(AuthenticationMethod.RSA_DIGITAL_SIGNATURE): "RSA",
    int(AuthenticationMethod.DSS_DIGITAL_SIGNATURE): "DSS",
    int(AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256): "ECDSA",
    int(AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384): "ECDSA",
    int(AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521): "ECDSA",
    int(AuthenticationMethod.NULL_AUTHENTICATION): "NULL",
}
_SIGNATURES = (
    ("ecdsa", "ECDSA"),
    ("ed25519", "EDDSA"),
    ("ed448", "EDDSA"),
    ("eddsa", "EDDSA"),
    ("rsa", "RSA"),
    ("pss", "RSA"),
)


class Facts(msgspec.Struct):
    """What was read inside encrypted messages; None where nothing was."""

    ids: dict[Role, tuple[str, str]] = {}
    auth: dict[Role, str] = {}
    state: State | None = None
    established_ns: int | None = None
    closed_ns: int | None = None
    reason: str | None = None


def facts_of(sa: SaTracker) -> Facts:
    """Read all that was opened of an IKE SA (and, for IKEv1, what was in the clear)."""
    facts = _ikev1_facts(sa) if sa.version == 1 else _ikev2_facts(sa)
    for when, _, protocol, spis in deletions(sa):
        if protocol == "IKE" and (sa.version != 1 or _names(sa, spis)) and facts.closed_ns is None:
            facts.closed_ns = when
    if facts.closed_ns is not None and facts.state == "established":
        facts.state = "closed"
    return facts


def _names(sa: SaTracker, spis: tuple[bytes, ...]) -> bool:
    """Whether an ISAKMP Delete means this SA: its SPI is the pair of cookies (RFC 2408 3.15)."""
    return not spis or any(spi.startswith(sa.spi_i) for spi in spis)


def _opened(records: Iterable[MessageRecord]) -> Iterator[MessageRecord]:
    return (record for record in records if record.opening is not None and record.opening.is_open)


def _both(exchange: ExchangeTracker) -> tuple[MessageRecord, ...]:
    return (*exchange.request, *exchange.response)


# -- IKEv2 ------------------------------------------------------------------------------------------------------


def _ikev2_facts(sa: SaTracker) -> Facts:
    facts = Facts(ids={}, auth={})
    auths = [each for each in sa.exchanges if each.type == ExchangeType.IKE_AUTH]
    for exchange in auths:
        for record in _opened(_both(exchange)):
            _learn_ikev2_auth(facts, record)
    if auths and any(True for _ in _opened(auths[-1].response)):
        _conclude_auth(facts, auths[-1])
    elif not auths and any(True for exchange in _behind_auth(sa) for _ in _opened(_both(exchange))):
        facts.state = "established"
    for exchange in sa.exchanges:
        if exchange.type != ExchangeType.INFORMATIONAL:
            continue
        for record in _opened(_both(exchange)):
            refusal = refusal_of(record.payloads)
            if refusal in REFUSES_SA:  # the initiator refuses what the responder accepted (RFC 7296 2.21.2)
                facts.state, facts.reason = "failed", refusal
    return facts


def _behind_auth(sa: SaTracker) -> Iterator[ExchangeTracker]:
    """The exchanges that only an IKE SA with proven ends has: not those in front of IKE_AUTH (RFC 9242)."""
    early = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME, ExchangeType.IKE_INTERMEDIATE)
    return (exchange for exchange in sa.exchanges if exchange.type not in early)


def _conclude_auth(facts: Facts, exchange: ExchangeTracker) -> None:
    """Whether the last IKE_AUTH response accepts the initiator."""
    last = tuple(payload for record in _opened(exchange.response) for payload in record.payloads)
    facts.reason = refusal_of(last)
    if first(last, ikev2.Authentication) is not None and facts.reason not in REFUSES_SA:
        facts.state, facts.established_ns = "established", exchange.response[-1].time_ns
    elif facts.reason is not None or _eap_failed(last):
        facts.state = "failed"
        facts.reason = facts.reason or "EAP failure"


def _learn_ikev2_auth(facts: Facts, record: MessageRecord) -> None:
    identity = first(
        record.payloads,
        ikev2.IdentificationInitiator if record.sender == "initiator" else ikev2.IdentificationResponder,
    )
    if identity is not None:
        facts.ids[record.sender] = (str(identity.id_type), identity.value)
    method = first(record.payloads, ikev2.Authentication)
    if method is not None:
        facts.auth.setdefault(record.sender, _auth_word(method))
    if first(record.payloads, ikev2.Eap) is not None:
        facts.auth["initiator"] = "EAP"  # RFC 7296 2.16: the responder asks, the initiator answers


def _auth_word(body: ikev2.Authentication) -> str:
    if body.method != AuthenticationMethod.DIGITAL_SIGNATURE:
        return _AUTH_WORDS.get(int(body.method), str(body.method))
    content = body.content()
    name = "" if content is None else content.summary().lower()
    return next((word for part, word in _SIGNATURES if part in name), "DIGITAL_SIGNATURE")


def _eap_failed(payloads: tuple[Payload, ...]) -> bool:
    return any(body.code == EapCode.FAILURE for body in bodies(payloads, ikev2.Eap))


# -- IKEv1 ------------------------------------------------------------------------------------------------------


def _ikev1_facts(sa: SaTracker) -> Facts:
    facts = Facts(ids={}, auth={})
    for exchange in sa.exchanges:
        opened = tuple(_opened(_both(exchange)))
        if exchange.message_id == 0 and int(exchange.type) in PHASE_1:
            for record in _both(exchange):
                identity = first(record.payloads, ikev1.Identification)
                if identity is not None:
                    facts.ids[record.sender] = (str(identity.id_type), identity.value)
            if {record.sender for record in opened} == {"initiator", "responder"} or (
                opened and exchange.outcome == "completed"
            ):
                facts.state, facts.established_ns = "established", max(record.time_ns for record in opened)
        elif opened and facts.state is None and int(exchange.type) == int(IsakmpExchangeType.QUICK_MODE):
            facts.state = "established"
    return facts


def ikev1_auth(word: str) -> dict[Role, str]:
    """Each side's way of authentication from the method that phase 1 negotiated; XAUTH and hybrid tell them apart."""
    if word.startswith("HYBRID"):
        return {"initiator": "XAUTH", "responder": "RSA" if word.endswith("RSA") else "DSS"}
    if word.startswith("XAUTH"):
        base = next(
            (name for part, name in (("PRE_SHARED", "PSK"), ("RSA", "RSA"), ("DSS", "DSS")) if part in word), word
        )
        return {"initiator": "XAUTH", "responder": base}
    return {"initiator": word, "responder": word}
