"""Rules and findings: what a diagnosis is, declared beside the function that makes it.

A rule is a function over one kind of subject (``IkeSa``, ``Exchange``, ``ChildSa``, ``Flow`` or the whole
``Analysis``: the annotation of its first parameter says which) that yields a ``Found`` for each time it applies. Its
decorator holds everything there is to say about the diagnosis, so that ``explain`` and the report read the same row.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, get_args, get_type_hints

import msgspec

from ipsecscope.diagnose.hints import labelled
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa

Severity = Literal["critical", "high", "medium", "low", "info"]
Confidence = Literal["certain", "likely", "possible"]

SEVERITIES: tuple[Severity, ...] = get_args(Severity)
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)

CRITICAL: Severity = "critical"
HIGH: Severity = "high"
MEDIUM: Severity = "medium"
LOW: Severity = "low"
INFO: Severity = "info"

CERTAIN: Confidence = "certain"
LIKELY: Confidence = "likely"
POSSIBLE: Confidence = "possible"

# Evaluation and report order: what gates the others comes first, opinions about strength come late.
GROUPS = ("CAP", "PH1", "AUTH", "PH2", "NAT", "NET", "ESP", "LIFE", "SEC", "INTEROP", "HOST")


class TwoCaptures:
    """What rules over two captures of the same traffic run over: ``compare`` makes one, ``analyze`` never does."""


Subject = Analysis | IkeSa | Exchange | ChildSa | Flow
SUBJECTS: tuple[type, ...] = (Analysis, IkeSa, Exchange, ChildSa, Flow, TwoCaptures)


class Evidence(msgspec.Struct, frozen=True):
    """Where something was seen: a capture record, and the field with its octets where it is one field.

    ``bytes`` are offsets in the IKE message; ``value`` is what stands there, in words.
    """

    frame: int
    file: int = 0
    field: str = ""
    bytes: tuple[int, int] | None = None
    value: str = ""


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule has to say once: how sure it is, one sentence with frames and times, and the evidence for it.

    ``causes``, ``confirm``, ``fix`` and ``config`` are for what the observed values add; what is left out is the
    rule's; hints in ``config`` replace those of the rule by dialect. ``severity`` and ``headline`` overrule the rule where the case is milder or graver than usual.
    """

    confidence: Confidence
    summary: str
    evidence: tuple[Evidence, ...]
    subject: str | None = None
    severity: Severity | None = None
    headline: bool | None = None
    equation: str | None = None
    causes: tuple[str, ...] = ()
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A diagnosis of this capture. It cannot be made without evidence: raises ValueError."""

    code: str
    slug: str
    severity: Severity
    confidence: Confidence
    title: str
    summary: str
    subject: str | None
    evidence: tuple[Evidence, ...]
    equation: str | None = None
    causes: tuple[str, ...] = ()
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}
    references: tuple[str, ...] = ()
    suppressed_by: str | None = None
    headline: bool = False
    scope: str | None = None  # the IKE SA it concerns, where there is one

    def __post_init__(self) -> None:
        if not self.evidence:
            raise ValueError(f"{self.code}: a finding without evidence")

    def fields(self) -> dict[str, Any]:
        """The values of the report's Finding, by name; the evidence as dictionaries."""
        left_out = {"headline", "scope"}
        values = {name: getattr(self, name) for name in self.__struct_fields__ if name not in left_out}
        return values | {
            "evidence": [msgspec.structs.asdict(each) for each in self.evidence],
            "causes": list(self.causes),
            "config": dict(self.config),
            "references": list(self.references),
        }


class LookAlike(msgspec.Struct, frozen=True):
    """Another diagnosis that looks the same, and what tells the two apart."""

    code: str
    told_apart_by: str


Check = Callable[..., Iterable[Any]]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One diagnosis of the catalogue with the function that makes it.

    ``suppressed_by`` are the codes that turn this finding into a supporting note when they are found for the same SA
    with at least the same confidence. ``is_audit`` marks opinions about strength, which never explain a failure.
    """

    code: str
    slug: str
    severity: Severity
    title: str
    means: str
    detect: str
    check: Check
    over: type
    look_alikes: tuple[LookAlike, ...] = ()
    causes: tuple[str, ...] = ()
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}
    references: tuple[str, ...] = ()
    suppressed_by: tuple[str, ...] = ()
    headline: bool = False
    is_audit: bool = False

    @property
    def group(self) -> str:
        """The letters in front of the number."""
        return self.code.partition("-")[0]

    def finding(self, found: Found, *, subject: str | None, scope: str | None) -> Finding:
        """The finding for one ``Found``."""
        severity = found.severity or self.severity
        headline = self.headline if found.headline is None else found.headline
        return Finding(
            code=self.code,
            slug=self.slug,
            severity=severity,
            confidence=found.confidence,
            title=self.title,
            summary=found.summary,
            subject=found.subject or subject,
            evidence=found.evidence,
            equation=found.equation,
            causes=found.causes or self.causes,
            confirm=found.confirm or self.confirm,
            fix=found.fix or self.fix,
            config=labelled({**self.config, **found.config}),
            references=self.references,
            headline=headline,
            scope=scope,
        )


RULES: dict[str, Rule] = {}
"""Every rule by code, filled as the modules of ``diagnose.rules`` are imported."""


def rule(
    code: str,
    slug: str,
    severity: Severity,
    *,
    title: str,
    means: str,
    detect: str,
    look_alikes: dict[str, str] | None = None,
    causes: Iterable[str] = (),
    confirm: str = "",
    fix: str = "",
    swanctl: str = "",
    ios: str = "",
    libreswan: str = "",
    rfc: Iterable[str] = (),
    suppressed_by: Iterable[str] = (),
    headline: bool | None = None,
) -> Callable[[Check], Check]:
    """Declare a diagnosis; the decorated function yields a ``Found`` for each time it applies.

    Args:
        code: group and number of the catalogue.
        slug: the same in words.
        severity: unless a ``Found`` says otherwise.
        title: a few words for a list.
        means: what it means, for a reader who does not know the protocol's words.
        detect: what it is recognised by.
        look_alikes: code of another diagnosis to what tells the two apart.
        causes: usual causes, the likeliest first.
        confirm: what would prove it.
        fix: what to change.
        swanctl: a hint for strongSwan's swanctl.conf.
        ios: a hint for Cisco IOS.
        libreswan: a hint for libreswan's ipsec.conf.
        rfc: references, such as ``RFC 7296 2.9``.
        suppressed_by: codes that explain this one away.
        headline: whether it can be the root cause; None lets group and severity decide.

    Raises ValueError for a code that was declared before or a function over no known subject.
    """
    config = {name: text for name, text in (("swanctl", swanctl), ("libreswan", libreswan), ("ios", ios)) if text}
    group = code.partition("-")[0]
    leads = severity in {CRITICAL, HIGH} and group not in {"CAP", "SEC", "HOST"} if headline is None else headline

    def register(check: Check) -> Check:
        if code in RULES:
            raise ValueError(f"{code} is declared twice")
        RULES[code] = Rule(
            code=code,
            slug=slug,
            severity=severity,
            title=title,
            means=means,
            detect=detect,
            check=check,
            over=_subject_of(check, code),
            look_alikes=tuple(LookAlike(other, text) for other, text in (look_alikes or {}).items()),
            causes=tuple(causes),
            confirm=confirm,
            fix=fix,
            config=config,
            references=tuple(rfc),
            suppressed_by=tuple(suppressed_by),
            headline=leads,
            is_audit=group == "SEC",
        )
        return check

    return register


def _subject_of(check: Check, code: str) -> type:
    """What a rule runs over: the annotation of its first parameter."""
    first = next(iter(inspect.signature(check).parameters), "")
    over = get_type_hints(check).get(first)
    if over is None or not issubclass(over, SUBJECTS):
        raise ValueError(f"{code} runs over {over}, which is no subject of a rule")
    return over if isinstance(over, type) else type(over)


def in_order(rules: Iterable[Rule]) -> Iterator[Rule]:
    """Rules in the order of evaluation: by group, then by number."""
    return iter(sorted(rules, key=lambda each: (GROUPS.index(each.group), each.code)))
