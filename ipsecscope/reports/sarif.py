"""The findings as SARIF 2.1.0 (OASIS), for whatever collects the results of static analysers.

The rules are the whole catalogue with its help text; a result points at the frame as a logical location and, where
the file allows, at its octets. What another finding explains is suppressed with the reason. The same report and the
same files give the same bytes: no times, no identifiers made up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

import msgspec

from ipsecscope.diagnose.engine import all_rules
from ipsecscope.diagnose.rule import Rule
from ipsecscope.reports.document import Evidence, Finding, Note, Report
from ipsecscope.reports.escape import visible_json
from ipsecscope.reports.places import Places

VERSION = "2.1.0"
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"critical": "error", "high": "error", "medium": "warning", "low": "note", "info": "note"}
)
RANKS: Final[Mapping[str, float]] = MappingProxyType({"certain": 100.0, "likely": 70.0, "possible": 40.0})
_NOTE_LEVELS = {"error": "error", "warn": "warning"}
_MEDIA = {"pcap": "application/vnd.tcpdump.pcap", "pcapng": "application/x-pcapng"}


def to_sarif(report: Report, places: Places) -> bytes:
    """The findings of a report as a SARIF log: UTF-8 JSON with two spaces of indentation and a final newline.

    Args:
        report: what was found.
        places: octets of the files by (file, frame), as ``places_of`` gives them; may be empty.
    """
    rules = all_rules()
    index = {code: number for number, code in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": report.generator.name,
                "semanticVersion": report.generator.version,
                "rules": [_rule(each) for each in rules.values()],
            }
        },
        "invocations": [_invocation(report)],
        "artifacts": [_artifact(file.name, file.format) for file in report.capture.files],
        "results": [_result(each, index, report, places) for each in report.findings],
        "columnKind": "unicodeCodePoints",
    }
    log = {"$schema": SCHEMA, "version": VERSION, "runs": [run]}
    return visible_json(msgspec.json.format(msgspec.json.encode(log), indent=2)) + b"\n"


# -- the catalogue -------------------------------------------------------------------------------------------------


def _rule(rule: Rule) -> dict[str, Any]:
    parts = [
        (None, rule.means),
        ("How it is recognised", rule.detect),
        ("Usual causes", "; ".join(rule.causes)),
        ("Looks alike", "; ".join(f"{each.code}: {each.told_apart_by}" for each in rule.look_alikes)),
        ("What would confirm it", rule.confirm),
        ("What to do", rule.fix),
        ("References", ", ".join(rule.references)),
    ]
    said = [(title, text) for title, text in parts if text]
    return {
        "id": rule.code,
        "name": "".join(part.capitalize() for part in rule.slug.split("-")),
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.means},
        "help": {
            "text": "\n".join(f"{title}: {text}" if title else text for title, text in said),
            "markdown": "\n\n".join(f"**{title}.** {_markdown(text)}" if title else _markdown(text) for title, text in said),
        },
        "defaultConfiguration": {"level": LEVELS[rule.severity]},
        "properties": {"tags": [rule.group, rule.slug], "severity": rule.severity},
    }  # fmt: skip


def _markdown(text: str) -> str:
    """Text in which nothing is markup."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]<>#|" else character for character in text)


# -- files and the run ---------------------------------------------------------------------------------------------


def uri_of(name: str) -> str:
    """A file's name as a URI reference: relative as it was given, or of the scheme ``file``."""
    if name == "-":
        return "stdin"
    path = quote(name)
    if name.startswith("/"):
        return f"file://{path}"
    return f"./{path}" if ":" in name.partition("/")[0] else path


def _artifact(name: str, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {"location": {"uri": uri_of(name)}, "roles": ["analysisTarget"]}
    media = _MEDIA.get(kind)
    return found | {"mimeType": media} if media else found


def _invocation(report: Report) -> dict[str, Any]:
    notifications = [
        {
            "level": "error",
            "message": {"text": file.error},
            "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri_of(file.name), "index": number}}}],
        }
        for number, file in enumerate(report.capture.files)
        if file.error
    ]
    notifications += [_notification(note) for note in report.notes if note.severity in _NOTE_LEVELS]
    bug = any(note.kind == "internal.dissector-bug" for note in report.notes)
    return {"executionSuccessful": not bug, "toolExecutionNotifications": notifications}


def _notification(note: Note) -> dict[str, Any]:
    return {
        "descriptor": {"id": note.kind},
        "level": _NOTE_LEVELS[note.severity],
        "message": {"text": f"frame {note.frame}: {note.text}"},
    }


# -- results -------------------------------------------------------------------------------------------------------


def _result(finding: Finding, index: Mapping[str, int], report: Report, places: Places) -> dict[str, Any]:
    where = [_location(each, finding, report, places) for each in finding.evidence]
    found: dict[str, Any] = {
        "ruleId": finding.code,
        "ruleIndex": index[finding.code],
        "level": LEVELS[finding.severity],
        "kind": "fail",
        "rank": RANKS[finding.confidence],
        "message": {"text": finding.summary},
        "locations": where[:1],
    }
    if len(where) > 1:
        found["relatedLocations"] = [
            {"id": number, **place, "message": {"text": evidence.value or evidence.field or f"frame {evidence.frame}"}}
            for number, (place, evidence) in enumerate(zip(where[1:], finding.evidence[1:], strict=True), 1)
        ]
    found["partialFingerprints"] = {"ipsecscope/v1": _fingerprint(finding)}
    if finding.suppressed_by:
        reason = f"explained by {finding.suppressed_by}, which was found for the same SA"
        found["suppressions"] = [{"kind": "external", "status": "accepted", "justification": reason}]
    found["properties"] = dict(_properties(finding))
    return found


def _location(evidence: Evidence, finding: Finding, report: Report, places: Places) -> dict[str, Any]:
    names = [finding.subject, f"frame {evidence.frame}", evidence.field]
    logical: dict[str, Any] = {
        "name": f"frame {evidence.frame}",
        "fullyQualifiedName": "/".join(name for name in names if name),
        "kind": "frame",
    }
    found: dict[str, Any] = {"logicalLocations": [logical]}
    if evidence.file < len(report.capture.files):
        artifact = {"uri": uri_of(report.capture.files[evidence.file].name), "index": evidence.file}
        physical: dict[str, Any] = {"artifactLocation": artifact}
        place = places.get((evidence.file, evidence.frame))
        if place is not None:
            offset, length = place.region(evidence)
            physical["region"] = {"byteOffset": offset, "byteLength": length}
        found = {"physicalLocation": physical, **found}
    return found


def _fingerprint(finding: Finding) -> str:
    """The same for the same finding of the same SA at the same frames, whatever the wording."""
    frames = ",".join(f"{each.file}:{each.frame}:{each.field}" for each in finding.evidence)
    return hashlib.sha256(f"{finding.code}|{finding.subject}|{frames}".encode()).hexdigest()[:32]


def _properties(finding: Finding) -> Iterator[tuple[str, Any]]:
    """What SARIF has no field for, without empty values."""
    for name in ("severity", "confidence", "subject", "equation", "causes", "confirm", "fix", "config", "references"):
        value = getattr(finding, name)
        if value:
            yield name, value
