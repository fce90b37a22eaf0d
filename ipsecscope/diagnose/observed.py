"""The facts of an SA that a security profile judges: algorithms offered and chosen, keys, lifetimes, habits.

Only what the capture shows: what is encrypted and was not opened gives no fact, so no profile can judge it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError, encryption_by_name
from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.profile import Aspect, Observation
from ipsecscope.diagnose.profiles import FORWARD_SECRECY, NO_FORWARD_SECRECY, NO_INTEGRITY, NO_PQ, PPK
from ipsecscope.diagnose.renewals import renewals
from ipsecscope.diagnose.rule import Evidence
from ipsecscope.diagnose.rules.certificates import certificates
from ipsecscope.diagnose.view import View, has_notify, opening, records_of
from ipsecscope.diagnose.words import NANOSECONDS
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry.ikev2 import NotifyType, TransformType
from ipsecscope.timeline.contents import bodies, ikev1_suite
from ipsecscope.timeline.sas import ChildSa, IkeSa, MessageRecord, Suite

PQ = ("ML_KEM_1024", "ML_KEM_768", "ML_KEM_512")  # the strongest first
_KEY_ASPECTS: dict[str, Aspect] = {"RSA": "RSA key", "EC": "elliptic curve key"}
_OFFERED: dict[int, Aspect] = {
    int(TransformType.ENCR): "IKE encryption",
    int(TransformType.PRF): "IKE PRF",
    int(TransformType.INTEG): "IKE integrity",
    int(TransformType.KE): "IKE key exchange",
    **dict.fromkeys(range(int(TransformType.ADDKE1), int(TransformType.ADDKE7) + 1), "IKE key exchange"),
}


def choice_of(sa: IkeSa) -> MessageRecord | None:
    """The message in which the responder chose the suite of the IKE SA."""
    for exchange in opening(sa):
        for record in exchange.response:
            if any(True for _ in _sa_payloads(record)):
                return record
    return None


def _sa_payloads(record: MessageRecord) -> Iterator[ikev1.SecurityAssociation | ikev2.SecurityAssociation]:
    yield from bodies(record.payloads, ikev2.SecurityAssociation)
    yield from bodies(record.payloads, ikev1.SecurityAssociation)


def sa_places(record: MessageRecord) -> tuple[Evidence, ...]:
    """The SA payloads of a message; the whole message where there is none."""
    return evidence.payloads(record, ikev1.SecurityAssociation, ikev2.SecurityAssociation) or (
        evidence.message(record),
    )


# -- suites --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=512)
def suite_facts(version: int, mode: str | None, suite: Suite) -> tuple[Observation, ...]:
    """What a chosen IKE suite shows by itself, without evidence."""
    found = [Observation("IKE version", f"IKEv{version}")]
    if version == 1 and mode:
        found.append(Observation("IKEv1 mode", mode))
    if suite.encr is not None:
        found.append(Observation("IKE encryption", suite.encr, suite.key_length))
    if suite.prf is not None:
        found.append(Observation("IKE PRF", suite.prf))
    if suite.integ is not None:
        found.append(Observation("IKE integrity", suite.integ))
    found += [Observation("IKE key exchange", name) for name in suite.ke]
    if suite.lifetime_s is not None:
        found.append(Observation("IKE SA lifetime", "negotiated", suite.lifetime_s))
    return tuple(found)


def offered_facts(sa: IkeSa) -> list[Observation]:
    """What the initiator offered and the responder did not choose, without repetition."""
    chosen = _names(sa.suite)
    found: dict[tuple[Aspect, str, int | None], Observation] = {}
    for exchange in opening(sa):
        for record in exchange.request:
            places: tuple[Evidence, ...] | None = None
            for aspect, name, bits in _offers(record):
                if (name, bits) in chosen or (aspect, name, bits) in found:
                    continue
                places = sa_places(record) if places is None else places
                fact = Observation(aspect, name, bits, chosen=False, evidence=places)
                found[(aspect, name, bits)] = fact
    return list(found.values())


def _names(suite: Suite | None) -> set[tuple[str | None, int | None]]:
    if suite is None:
        return set()
    return {(suite.encr, suite.key_length), *((name, None) for name in (suite.prf, suite.integ, *suite.ke))}


def _offers(record: MessageRecord) -> Iterator[tuple[Aspect, str, int | None]]:
    for body in bodies(record.payloads, ikev2.SecurityAssociation):
        for proposal in body.proposals:
            for kind, algorithm, length in proposal.algorithms:
                aspect = _OFFERED.get(int(kind))
                if aspect is not None and str(algorithm) != "NONE":
                    yield aspect, str(algorithm), length
    for former in bodies(record.payloads, ikev1.SecurityAssociation):
        for old in former.proposals:
            for transform in old.transforms:
                for fact in suite_facts(1, None, ikev1_suite(transform)):
                    if fact.aspect not in {"IKE version", "IKE SA lifetime"}:
                        yield fact.aspect, fact.value, fact.amount


# -- an IKE SA -----------------------------------------------------------------------------------------------------


def ike_facts(sa: IkeSa, view: View) -> list[Observation]:
    """Every fact of an IKE SA, each with where it was seen: first what is in use, then what was only offered."""
    record = choice_of(sa)
    found: list[Observation] = []
    if record is not None and sa.suite is not None:
        places = sa_places(record)
        found += [_at(fact, places) for fact in suite_facts(sa.version, sa.mode, sa.suite)]
        if sa.established_ns is not None:
            found.append(_at(_quantum(sa), places))
    else:
        first = next(records_of(sa))
        found.append(Observation("IKE version", f"IKEv{sa.version}", evidence=(evidence.message(first),)))
    found += _authentication(sa)
    found += _keys(sa)
    if sa.version != 1:
        found += _age(sa)
    renewal = renewed_without_key_exchange(sa, view)
    if renewal is not None:
        found.append(renewal)
    return [*found, *offered_facts(sa)]


def _at(fact: Observation, places: tuple[Evidence, ...]) -> Observation:
    return Observation(fact.aspect, fact.value, fact.amount, fact.chosen, places)


def _quantum(sa: IkeSa) -> Observation:
    names = sa.suite.ke if sa.suite is not None else ()
    best = next((name for name in PQ if name in names), None)
    if best is None and has_ppk(sa):
        best = PPK
    return Observation("post-quantum key exchange", best or NO_PQ)


def has_ppk(sa: IkeSa) -> bool:
    """Whether both sides announced a post-quantum pre-shared key (RFC 8784, RFC 9867)."""
    kinds = (NotifyType.USE_PPK, NotifyType.USE_PPK_INT)
    return any(
        has_notify(each.request, kind) and has_notify(each.response, kind) for each in opening(sa) for kind in kinds
    )


def has_ml_kem(suite: Suite | None) -> bool:
    """Whether a suite has an ML-KEM key exchange."""
    return suite is not None and any(name in PQ for name in suite.ke)


def _authentication(sa: IkeSa) -> Iterator[Observation]:
    words = dict.fromkeys(word for word in (sa.auth.get("initiator"), sa.auth.get("responder")) if word)
    if not words:
        return
    records = [record for record in records_of(sa) if any(True for _ in bodies(record.payloads, ikev2.Authentication))]
    record = records[0] if records else choice_of(sa)
    places = () if record is None else evidence.payloads(record, ikev2.Authentication) or sa_places(record)
    for word in words:
        yield Observation("authentication", word, evidence=places)


def _keys(sa: IkeSa) -> Iterator[Observation]:
    seen = set()
    for record, facts in certificates(sa):
        aspect = _KEY_ASPECTS.get(facts.key_type)
        if aspect is None or facts.key_size is None or facts.fingerprint in seen:
            continue
        seen.add(facts.fingerprint)
        places = evidence.payloads(record, ikev1.Certificate, ikev2.Certificate)[:1]
        yield Observation(aspect, facts.key_type, facts.key_size, evidence=places)


def _age(sa: IkeSa) -> Iterator[Observation]:
    """How long an IKEv2 SA was used at least: its lifetime is not negotiated (RFC 7296 2.8)."""
    if sa.established_ns is None:
        return
    last = max(records_of(sa), key=lambda record: record.time_ns)
    age = ((sa.closed_ns or last.time_ns) - sa.established_ns) // NANOSECONDS
    yield Observation("IKE SA lifetime", "used for", age, evidence=(evidence.message(last),))


def renewed_without_key_exchange(sa: IkeSa, view: View) -> Observation | None:
    """The first renewal that can be judged: with a fresh key exchange, or without one."""
    found = [each for each in renewals(sa, view) if each.has_key_exchange is not None]
    worst = next((each for each in found if not each.has_key_exchange), found[0] if found else None)
    if worst is None:
        return None
    value = FORWARD_SECRECY if worst.has_key_exchange else NO_FORWARD_SECRECY
    return Observation("forward secrecy", value, evidence=evidence.messages(worst.exchange.records))


# -- a Child SA ----------------------------------------------------------------------------------------------------


def child_facts(child: ChildSa, view: View) -> list[Observation]:
    """Every fact of a Child SA that was read, with its flows as evidence; nothing without packets of it."""
    flows = [view.flows[name] for name in child.flows if name in view.flows]
    places = tuple(each for flow in flows[:2] for each in evidence.flow(flow))
    if not places:
        return []
    found = [Observation("Child SA protocol", child.protocol, evidence=places)]
    if child.suite is not None:
        found += [_at(fact, places) for fact in _child_suite(child.protocol, child.suite)]
    if child.suite is None or child.suite.lifetime_s is None:
        age = max(flow.last_ns - flow.first_ns for flow in flows) // NANOSECONDS
        found.append(Observation("Child SA lifetime", "used for", age, evidence=places))
    return found


def _child_suite(protocol: str, suite: Suite) -> Iterable[Observation]:
    if protocol == "ESP" and suite.encr is not None:
        yield Observation("ESP encryption", suite.encr, suite.key_length)
        if suite.integ is not None:
            yield Observation("ESP integrity", suite.integ)
        elif not is_aead(suite.encr):
            yield Observation("ESP integrity", NO_INTEGRITY)
    elif protocol == "AH" and suite.integ is not None:
        yield Observation("AH integrity", suite.integ)
    for name in suite.ke:
        yield Observation("Child SA key exchange", name)
    if suite.lifetime_s is not None:
        yield Observation("Child SA lifetime", "negotiated", suite.lifetime_s)


def is_aead(name: str) -> bool:
    """Whether a cipher brings its own integrity; one that nobody knows is given the benefit of the doubt."""
    try:
        return encryption_by_name(name)[0].is_aead
    except UnknownAlgorithmError:
        return True
