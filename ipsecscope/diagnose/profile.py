"""Security profiles: what a document asks of an SA, as clauses that judge what was seen.

A ``Profile`` is a list of ``Clause`` rows (the tables are in ``profiles.py``); an ``Observation`` is one fact of an SA
(``observed.py`` collects them). Judging is a look-up: which clauses speak of this aspect, and what do they say of this
value. A clause that has no opinion says nothing, and nothing is ever judged that was not seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal

import msgspec

from ipsecscope.diagnose.rule import HIGH, LOW, MEDIUM, Evidence, Severity

Verdict = Literal["recommended", "allowed", "discouraged", "forbidden"]
RECOMMENDED: Verdict = "recommended"
ALLOWED: Verdict = "allowed"
DISCOURAGED: Verdict = "discouraged"
FORBIDDEN: Verdict = "forbidden"
FAULTS: Final = (DISCOURAGED, FORBIDDEN)

Aspect = Literal[
    "IKE version",
    "IKEv1 mode",
    "IKE encryption",
    "IKE PRF",
    "IKE integrity",
    "IKE key exchange",
    "post-quantum key exchange",
    "authentication",
    "RSA key",
    "elliptic curve key",
    "IKE SA lifetime",
    "Child SA protocol",
    "ESP encryption",
    "ESP integrity",
    "AH integrity",
    "Child SA key exchange",
    "forward secrecy",
    "Child SA lifetime",
]

# What a violation weighs: what was chosen is in use, what was only offered could come to be.
_WEIGHT: Final[Mapping[tuple[bool, Verdict], Severity]] = {
    (True, FORBIDDEN): HIGH,
    (True, DISCOURAGED): MEDIUM,
    (False, FORBIDDEN): LOW,
    (False, DISCOURAGED): LOW,
}


class Observation(msgspec.Struct, frozen=True):
    """One fact of an SA: which aspect, which value (a registry's name), how much of it, and whether it is in use.

    ``amount`` is the key length in bits of a cipher or a key, and the seconds of a lifetime; None where neither is
    known. ``chosen`` is False for what was offered and not taken.
    """

    aspect: Aspect
    value: str
    amount: int | None = None
    chosen: bool = True
    evidence: tuple[Evidence, ...] = ()

    @property
    def text(self) -> str:
        """The value as a reader knows it: ``ENCR_AES_CBC-128``, ``RSA 2048 bits``, ``36000 s``."""
        if self.amount is None:
            return self.value
        if self.aspect in {"IKE SA lifetime", "Child SA lifetime"}:
            return f"{self.value} {self.amount} s"
        return f"{self.value} {self.amount} bits" if self.aspect.endswith("key") else f"{self.value}-{self.amount}"


class Clause(msgspec.Struct, frozen=True, kw_only=True):
    """One demand of a document.

    ``verdicts`` has the values that are named there, ``other`` is for those that are not (None: no opinion).
    ``least`` and ``most`` bound the amount (bits, seconds) and say what an amount beyond them is; ``version`` limits
    the clause to one major version of IKE.
    """

    aspect: Aspect
    section: str
    asks: str
    verdicts: Mapping[str, Verdict] = {}
    other: Verdict | None = None
    least: tuple[int, Verdict] | None = None
    most: tuple[int, Verdict] | None = None
    version: int | None = None

    def judge(self, seen: Observation) -> Verdict | None:
        """What the clause says of a fact of its aspect; None when it has no opinion."""
        found = self.verdicts.get(seen.value, self.other)
        for bound, beyond in ((self.least, False), (self.most, True)):
            if bound is not None and seen.amount is not None and found not in FAULTS:
                limit, verdict = bound
                if seen.amount > limit if beyond else seen.amount < limit:
                    found = verdict
        return found


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """A named list of clauses. ``checked`` says how its values were verified, for whoever must rely on them."""

    name: str  # on the command line
    title: str  # in sentences
    about: str
    edition: str
    checked: str
    clauses: tuple[Clause, ...]

    def faults(self, seen: Iterable[Observation], version: int) -> list[Violation]:
        """What of some facts the profile turns down, in the order of the facts."""
        return [each for fact in seen for each in self._faults_of(fact, version)]

    def _faults_of(self, fact: Observation, version: int) -> Iterator[Violation]:
        for clause in self.clauses:
            if clause.aspect != fact.aspect or clause.version not in {None, version}:
                continue
            verdict = clause.judge(fact)
            if verdict in FAULTS:
                yield Violation(clause, fact, verdict)

    def speaks_of(self, aspect: str) -> bool:
        """Whether a clause is about an aspect."""
        return any(clause.aspect == aspect for clause in self.clauses)


class Violation(msgspec.Struct, frozen=True):
    """A fact that a clause turns down."""

    clause: Clause
    fact: Observation
    verdict: Verdict

    @property
    def severity(self) -> Severity:
        """What it weighs: a choice more than an offer, what must not be more than what should not be."""
        return _WEIGHT[(self.fact.chosen, self.verdict)]

    @property
    def text(self) -> str:
        """The fact with its clause: ``IKE key exchange: MODP_1024 (should not be: RFC 8247 2.4)``."""
        must = "must" if self.verdict == FORBIDDEN else "should"
        return f"{self.fact.aspect}: {self.fact.text} ({must} not be: {self.clause.section})"
