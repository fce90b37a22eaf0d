"""Running the rules: every rule over every subject of its kind, suppression, and the one root cause."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.diagnose.rule import (
    CONFIDENCES,
    GROUPS,
    RULES,
    SEVERITIES,
    Finding,
    Found,
    Rule,
    in_order,
)
from ipsecscope.diagnose.view import View
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa

MAX_FINDINGS = 10_000  # of one rule; the rest are counted by the last one


class Headline(msgspec.Struct, frozen=True):
    """A root cause: the subject, the code of the finding, and a sentence for whoever has to mend it."""

    subject: str | None
    code: str
    sentence: str


class Diagnosis(msgspec.Struct, frozen=True):
    """What a capture means. ``headline`` is None when nothing is wrong; ``headlines`` has one for each broken SA."""

    findings: tuple[Finding, ...] = ()
    headline: Headline | None = None
    headlines: tuple[Headline, ...] = ()
    silenced: dict[str, int] = {}  # findings beyond MAX_FINDINGS by code
    faults: tuple[str, ...] = ()  # rules that failed on this capture: bugs of this program


def all_rules() -> dict[str, Rule]:
    """Every rule by code, in the order of evaluation."""
    from ipsecscope.diagnose import rules

    for module in pkgutil.iter_modules(rules.__path__):
        importlib.import_module(f"{rules.__name__}.{module.name}")
    return {each.code: each for each in in_order(RULES.values())}


def selectors() -> list[str]:
    """Everything that ``select`` and ``ignore`` understand: groups, codes and slugs."""
    rules = all_rules().values()
    return [*GROUPS, *(each.code for each in rules), *(each.slug for each in rules)]


def diagnose(
    analysis: Analysis,
    clear: Sequence[ClearTraffic] = (),
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    profiles: Iterable[str] = (),
) -> Diagnosis:
    """Say what a capture means.

    Args:
        analysis: the timeline.
        clear: traffic outside IPsec beyond what the analysis counted, for the rules about leaks.
        select: codes, groups or slugs to run; all when empty.
        ignore: codes, groups or slugs to leave out.
        profiles: names of security profiles whose violations are findings of their own (``profiles.py``).
    """
    view = View(analysis, clear, profiles)
    wanted, unwanted = set(select), set(ignore)
    found: list[Finding] = []
    silenced: dict[str, int] = {}
    faults: list[str] = []
    for each in all_rules().values():
        names = {each.code, each.group, each.slug}
        if (wanted and not names & wanted) or names & unwanted:
            continue
        try:
            made = list(_run(each, view))
        except Exception as fault:  # noqa: BLE001 (one broken rule must not take the others with it; the report says so)
            faults.append(f"{each.code}: {type(fault).__name__}")
            continue
        found += made[:MAX_FINDINGS]
        if len(made) > MAX_FINDINGS:
            silenced[each.code] = len(made) - MAX_FINDINGS
    findings = _suppressed(found)
    headlines = _headlines(findings, view)
    return Diagnosis(
        tuple(_sorted(findings)), headlines[0] if headlines else None, tuple(headlines), silenced, tuple(faults)
    )


def _run(rule: Rule, view: View) -> Iterator[Finding]:
    call = _caller(rule, view)
    for subject, name, scope in _subjects(rule.over, view):
        for found in call(subject):
            yield rule.finding(found, subject=name, scope=_scope(found, scope, view))


def _caller(rule: Rule, view: View) -> Callable[[Any], Iterable[Found]]:
    """The rule's function with the view as its second argument, where it takes one."""
    if len(inspect.signature(rule.check).parameters) > 1:
        return lambda subject: rule.check(subject, view)
    return rule.check


def _subjects(over: type, view: View) -> Iterator[tuple[object, str | None, str | None]]:
    """Every subject of a kind, its name in the report, and the IKE SA it concerns."""
    if over is Analysis:
        yield view.analysis, None, None
    elif over is Flow:
        for flow in view.analysis.flows:
            binding = view.analysis.bindings.get(flow.id)
            yield flow, flow.id, None if binding is None else binding.ike_sa
    else:
        for sa in view.analysis.ike_sas:
            if over is IkeSa:
                yield sa, sa.id, sa.id
            elif over is Exchange:
                for exchange in sa.exchanges:
                    yield exchange, sa.id, sa.id
            elif over is ChildSa:
                for child in sa.child_sas:
                    yield child, child.id, sa.id


def _scope(found: Found, scope: str | None, view: View) -> str | None:
    """The IKE SA of a finding whose rule named another subject."""
    if found.subject is None:
        return scope
    if found.subject in view.sas:
        return found.subject
    binding = view.analysis.bindings.get(found.subject)
    return scope if binding is None else binding.ike_sa


def _suppressed(findings: list[Finding]) -> list[Finding]:
    """Mark the findings that another one of the same SA explains (the rules' ``suppressed_by``)."""
    by_scope: dict[tuple[str, str | None], int] = {}
    anywhere: dict[str, int] = {}
    for each in findings:
        rank = CONFIDENCES.index(each.confidence)
        key = (each.code, each.scope)
        by_scope[key] = min(by_scope.get(key, rank), rank)
        anywhere[each.code] = min(anywhere.get(each.code, rank), rank)
    return [_suppress(each, by_scope, anywhere) for each in findings]


def _suppress(finding: Finding, by_scope: dict[tuple[str, str | None], int], anywhere: dict[str, int]) -> Finding:
    own = CONFIDENCES.index(finding.confidence)
    for code in RULES[finding.code].suppressed_by:
        ranks = [by_scope.get((code, finding.scope)), by_scope.get((code, None))]
        if finding.scope is None:
            ranks.append(anywhere.get(code))
        if any(rank is not None and rank <= own for rank in ranks):
            return msgspec.structs.replace(finding, suppressed_by=code)
    return finding


def _weight(finding: Finding) -> tuple[int, int, int, int, str]:
    """What comes first in a report: what is worst, then what is surest."""
    first = min(evidence.frame for evidence in finding.evidence)
    return (
        SEVERITIES.index(finding.severity),
        CONFIDENCES.index(finding.confidence),
        GROUPS.index(finding.code.partition("-")[0]),
        first,
        finding.code,
    )


def _sorted(findings: Iterable[Finding]) -> list[Finding]:
    """Findings by weight; what is suppressed stands behind everything else."""
    return sorted(findings, key=lambda each: (each.suppressed_by is not None, _weight(each), each.subject or ""))


def _headlines(findings: Iterable[Finding], view: View) -> list[Headline]:
    """One root cause for each SA, the worst first; what happened first decides between equals."""
    best: dict[str | None, Finding] = {}
    for each in _sorted(findings):
        if each.headline and each.suppressed_by is None:
            best.setdefault(each.scope, each)
    del view
    return [Headline(each.subject, each.code, each.summary) for each in sorted(best.values(), key=_weight)]
