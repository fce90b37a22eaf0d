"""Running the proofs: what two captures of the same traffic make certain, and what they had said one by one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import msgspec

from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose import tap_confirmations  # noqa: F401 (registers its proofs)
from ipsecscope.diagnose.engine import all_rules, diagnose
from ipsecscope.diagnose.rule import CONFIDENCES, GROUPS, SEVERITIES, Confidence, Rule, Severity
from ipsecscope.diagnose.tap_proofs import PROVERS, Proof
from ipsecscope.diagnose.tap_scene import Scene, TapEvidence
from ipsecscope.timeline.analysis import analyze
from ipsecscope.timeline.comparison import Comparison
from ipsecscope.timeline.tap import read_tap

MAX_PROOFS = 1_000  # findings of one comparison


class TapFinding(msgspec.Struct, frozen=True, kw_only=True):
    """A diagnosis from two captures. ``alone`` is how sure A and B were of it one by one; None is not at all.

    ``way`` is 1 for what goes from A to B, -1 from B to A, 0 for neither.
    """

    code: str
    slug: str
    severity: Severity
    confidence: Confidence
    alone: tuple[Confidence | None, Confidence | None]
    title: str
    summary: str
    evidence: tuple[TapEvidence, ...]
    way: int = 0
    causes: tuple[str, ...] = ()
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}
    references: tuple[str, ...] = ()
    suppressed_by: str | None = None
    headline: bool = False

    @property
    def is_raised(self) -> bool:
        """Whether two captures say it more surely than each of them alone."""
        ranks = [CONFIDENCES.index(each) for each in self.alone if each is not None]
        return CONFIDENCES.index(self.confidence) < min(ranks, default=len(CONFIDENCES))


class Compared(msgspec.Struct, frozen=True):
    """Two captures held against each other, and what that means. ``interfaces`` are named where they were chosen."""

    scene: Scene
    findings: tuple[TapFinding, ...]
    interfaces: tuple[str | None, str | None] = (None, None)

    @property
    def comparison(self) -> Comparison:
        """The two taps, packet by packet."""
        return self.scene.comparison


class Capture(msgspec.Struct, frozen=True):
    """One of two captures: a file, folder or pattern, and the number and name of the one interface that counts."""

    path: str
    interface: int | None = None
    interface_name: str | None = None


def compare_captures(
    one: Capture,
    two: Capture,
    *,
    ike_ports: frozenset[int] = frozenset(),
    ring: KeyRing | None = None,
    throughout: bool = False,
) -> Compared:
    """Compare two captures of the same traffic.

    Args:
        one: A.
        two: B.
        ike_ports: UDP ports that carry IKE besides those that are recognised.
        ring: key material, when there is any.
        throughout: both were recording all the time, whatever the captures prove.

    A file that cannot be used is an entry of ``Tap.errors``.
    """
    taps = [read_tap(each.path, interface=each.interface, ike_ports=ike_ports) for each in (one, two)]
    comparison = Comparison(*taps, throughout=throughout)
    analyses = [analyze([each.path], ike_ports=ike_ports, ring=ring, interface=each.interface) for each in (one, two)]
    scene = Scene(comparison, analyses, [diagnose(each).findings for each in analyses])
    return Compared(scene, diagnose_taps(scene), (one.interface_name, two.interface_name))


def diagnose_taps(scene: Scene) -> tuple[TapFinding, ...]:
    """Say what two captures of the same traffic mean together; the worst first."""
    rules = all_rules()  # which imports the rules that are proofs
    proofs = _distinct(islice((each for prover in PROVERS for each in prover(scene)), MAX_PROOFS))
    made = [_finding(each, rules[each.code], proofs, scene) for each in proofs]
    return tuple(sorted(made, key=_weight))


def _distinct(proofs: Iterable[Proof]) -> list[Proof]:
    """One proof for each diagnosis and sentence: what both captures had said is told once."""
    found: dict[tuple[str, str], Proof] = {}
    for each in proofs:
        found.setdefault((each.code, each.summary), each)
    kept: list[Proof] = []
    told: dict[str, set[TapEvidence]] = {}
    for each in found.values():
        places = told.setdefault(each.code, set())
        if places.isdisjoint(each.evidence):
            kept.append(each)
            places.update(each.evidence)
    return kept


def _finding(each: Proof, rule: Rule, proofs: list[Proof], scene: Scene) -> TapFinding:
    severity = each.severity or rule.severity
    return TapFinding(
        code=each.code,
        slug=rule.slug,
        severity=severity,
        confidence=each.confidence,
        alone=(_alone(each.code, scene, 0), _alone(each.code, scene, 1)),
        title=rule.title,
        summary=each.summary,
        evidence=each.evidence,
        way=each.way,
        causes=rule.causes,
        confirm=rule.confirm,
        fix=rule.fix,
        config=rule.config,
        references=rule.references,
        suppressed_by=_explained_by(each, rule, proofs),
        headline=rule.headline if each.headline is None else each.headline,
    )


def _alone(code: str, scene: Scene, side: int) -> Confidence | None:
    found = [each.confidence for each in scene.findings[side] if each.code == code]
    return min(found, key=CONFIDENCES.index, default=None)


def _explained_by(each: Proof, rule: Rule, proofs: list[Proof]) -> str | None:
    """The code of another proof that is at least as sure and of which this is a consequence."""
    own = CONFIDENCES.index(each.confidence)
    for other in proofs:
        if other is each or other.code == each.code or CONFIDENCES.index(other.confidence) > own:
            continue
        if each.code in other.explains and (
            0 in (other.way, each.way) or each.code != "NET-001" or other.way == each.way
        ):
            return other.code
        if other.code in rule.suppressed_by and each.code not in other.explains:
            return other.code
    return None


def _weight(finding: TapFinding) -> tuple[bool, int, int, int, int, str]:
    first = min((each.frame for each in finding.evidence), default=0)
    return (
        finding.suppressed_by is not None,
        SEVERITIES.index(finding.severity),
        CONFIDENCES.index(finding.confidence),
        GROUPS.index(finding.code.partition("-")[0]),
        first,
        finding.code,
    )
