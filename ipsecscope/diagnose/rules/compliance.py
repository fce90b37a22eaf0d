"""SEC-012: what the security profiles say of an SA.

Without ``--profile`` one line tells which profiles the chosen suite meets; the other audit rules speak for the RFCs.
Each profile that was asked for gets findings of its own: what is in use against it, what is only offered, and, where
nothing is, which of its clauses the capture cannot show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

from ipsecscope.diagnose.evidence import MAX_EVIDENCE
from ipsecscope.diagnose.observed import child_facts, choice_of, ike_facts, sa_places, suite_facts
from ipsecscope.diagnose.profile import Observation, Profile, Violation
from ipsecscope.diagnose.profiles import PROFILES
from ipsecscope.diagnose.rule import CERTAIN, INFO, SEVERITIES, Evidence, Found, rule
from ipsecscope.diagnose.view import View
from ipsecscope.diagnose.words import counted, frames, listed, who
from ipsecscope.timeline.sas import IkeSa, Suite

SHOWN_FAULTS = 8  # violations named in one sentence; the rest are counted


@rule(
    "SEC-012",
    "profile-compliance",
    INFO,
    title="What security profiles say of this IKE SA",
    means="Documents such as NIST SP 800-77 or BSI TR-02102-3 list the algorithms and lifetimes that IPsec may use. This "
    "compares what the capture shows with them.",
    detect="The suite chosen in the clear, and with keys everything else; --profile NAME lists each violated clause.",
    look_alikes={
        "SEC-004": "one weak cipher by the RFCs, whatever profile is asked for",
        "SEC-006": "weak algorithms that are only offered",
    },
    causes=("a proposal made for another policy", "default proposals", "a peer that cannot do better"),
    confirm="Read the clause in the current edition of the profile; 'ipsecscope explain PROFILE' says how it was checked.",
    fix="Offer only what the profile allows, on both sides, and set its lifetimes.",
    swanctl="connections.NAME.proposals = aes256gcm16-prfsha384-ecp384-ke1_mlkem1024",
    ios="crypto ikev2 proposal P / encryption aes-gcm-256 / prf sha384 / group 20",
    libreswan="ike=aes_gcm256-sha2_384-dh20, esp=aes_gcm256-dh20",
    rfc=("RFC 8247", "RFC 8221", "NIST SP 800-77r1", "CNSA 2.0", "BSI TR-02102-3"),
)
def profile_compliance(sa: IkeSa, view: View) -> Iterator[Found]:
    """One line for all profiles, or each violation of those that were asked for."""
    if not view.profiles:
        yield from _overview(sa)
        return
    seen = ike_facts(sa, view)
    children = [(child, child_facts(child, view)) for child in sa.child_sas]
    inside = [fact for _, facts in children for fact in facts]
    for name in view.profiles:
        yield from _judged(sa, PROFILES[name], seen, inside)
        for child, facts in children:
            wrong = PROFILES[name].faults(facts, sa.version)
            if wrong:
                text = f"The tunnel {child.id} goes against {PROFILES[name].title}: {_listed(wrong)}."
                yield _found(wrong, text, child.id)


def _overview(sa: IkeSa) -> Iterator[Found]:
    record = choice_of(sa)
    if sa.suite is None or record is None:
        return
    faults = suite_faults(sa.version, sa.mode, sa.suite)
    met = [name for name, bad in faults if not bad]
    missed = [f"{name} ({', '.join(bad)})" for name, bad in faults if bad]
    yield Found(
        confidence=CERTAIN,
        summary=f"The suite chosen in {frames([record])} {f'meets {listed(met)}' if met else 'meets no profile'}"
        f"{f'; it does not meet {listed(missed)}' if missed else ''}.",
        evidence=sa_places(record),
    )


@lru_cache(maxsize=512)
def suite_faults(version: int, mode: str | None, suite: Suite) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each profile by its title what it turns down in a chosen suite; nothing is a pass as far as the suite goes."""
    facts = suite_facts(version, mode, suite)
    return tuple(
        (profile.title, tuple(dict.fromkeys(each.fact.text for each in profile.faults(facts, version))))
        for profile in PROFILES.values()
    )


def _judged(sa: IkeSa, profile: Profile, seen: Sequence[Observation], inside: Sequence[Observation]) -> Iterator[Found]:
    """The verdict on an IKE SA; ``inside`` are the facts of its Child SAs, which count for what was shown."""
    ends = f"{who(sa, 'initiator')} and {who(sa, 'responder')}"
    faults = profile.faults(seen, sa.version)
    used = [each for each in faults if each.fact.chosen]
    offered = [each for each in faults if not each.fact.chosen]
    if used:
        yield _found(used, f"{ends} go against {profile.title} in what they use ({_frames(used)}): {_listed(used)}.")
    if offered:
        text = f"{who(sa, 'initiator')} goes against {profile.title} in what it offers and did not get"
        yield _found(offered, f"{text} ({_frames(offered)}): {_listed(offered)}.")
    judged = [fact for fact in (*seen, *inside) if profile.speaks_of(fact.aspect)]
    if judged and not faults and not profile.faults(inside, sa.version):
        yield Found(confidence=CERTAIN, summary=_pass(ends, profile, judged, sa.version), evidence=_places(judged))


def _pass(ends: str, profile: Profile, judged: Sequence[Observation], version: int) -> str:
    known = {fact.aspect for fact in judged}
    asked = [each.aspect for each in profile.clauses if each.version in {None, version}]
    not_here = {"IKEv1 mode"} if version != 1 else set()
    if "ESP encryption" in known:  # then the protocol is ESP, and a cipher without separate integrity has its own
        not_here |= {"ESP integrity", "AH integrity"}
    hidden = [each for each in dict.fromkeys(asked) if each not in known and each not in not_here]
    text = f"{ends} keep to {profile.title} in {counted(len(known), 'aspect')} that this capture shows"
    return f"{text}; it does not show {listed(hidden)}." if hidden else f"{text}."


def _found(faults: Sequence[Violation], summary: str, subject: str | None = None) -> Found:
    worst = min((each.severity for each in faults), key=SEVERITIES.index)
    return Found(
        confidence=CERTAIN,
        severity=worst,
        summary=summary,
        evidence=_places([each.fact for each in faults]),
        subject=subject,
        causes=tuple(dict.fromkeys(f"{each.clause.section} asks for {each.clause.asks}" for each in faults)),
    )


def _places(facts: Sequence[Observation]) -> tuple[Evidence, ...]:
    return tuple(dict.fromkeys(place for fact in facts for place in fact.evidence))[:MAX_EVIDENCE]


def _frames(faults: Sequence[Violation]) -> str:
    return frames(place.frame for place in _places([each.fact for each in faults]))


def _listed(faults: Sequence[Violation]) -> str:
    """The violations in words, each value once for each clause."""
    said = list(dict.fromkeys(each.text for each in faults))
    more = len(said) - SHOWN_FAULTS
    return "; ".join(said[:SHOWN_FAULTS]) + (f"; and {more} more" if more > 0 else "")
