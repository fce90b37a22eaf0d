"""SARIF 2.1.0: valid by the specification's rules, the same bytes again, pointing at the octets it speaks of."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from conftest import ROOT

from ipsecscope.diagnose.engine import all_rules, diagnose
from ipsecscope.reports import document
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.places import Place, places_of
from ipsecscope.reports.sarif import to_sarif, uri_of
from ipsecscope.timeline.analysis import analyze

CAPTURES = sorted((ROOT / "captures").glob("lab-*.pcap"))
WRONG_PSK = ROOT / "captures" / "lab-ikev2-wrong-psk.pcap"

# -- what SARIF 2.1.0 (OASIS, section 3) demands of the parts that are used here -------------------------------------

TEXT = {"type": "string", "minLength": 1}
TEXTS = {"type": "array", "items": TEXT}
BAG = {"type": "object"}  # 3.8: a property bag


def _object(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }


def _list(items: dict[str, Any], *, unique: bool = True) -> dict[str, Any]:
    return {"type": "array", "items": items, "uniqueItems": unique}


LEVEL = {"enum": ["none", "note", "warning", "error"]}  # 3.27.10
MESSAGE = _object(("text",), text=TEXT, markdown=TEXT)  # 3.11
ARTIFACT = _object((), uri={**TEXT, "format": "uri-reference"}, index={"type": "integer", "minimum": -1})  # 3.4
REGION = _object(  # 3.30
    (), byteOffset={"type": "integer", "minimum": -1}, byteLength={"type": "integer", "minimum": 0}
)
LOGICAL = _object((), name=TEXT, fullyQualifiedName=TEXT, kind=TEXT)  # 3.33
LOCATION = _object(  # 3.28
    (),
    id={"type": "integer", "minimum": -1},
    physicalLocation=_object(("artifactLocation",), artifactLocation=ARTIFACT, region=REGION),  # 3.29
    logicalLocations=_list(LOGICAL),
    message=MESSAGE,
)
RULE = _object(  # 3.49
    ("id",),
    id=TEXT,
    name={**TEXT, "pattern": "^[A-Za-z0-9]+$"},
    shortDescription=MESSAGE,
    fullDescription=MESSAGE,
    help=MESSAGE,
    defaultConfiguration=_object((), level=LEVEL),
    properties=BAG,
)
SUPPRESSION = _object(  # 3.35
    ("kind",),
    kind={"enum": ["inSource", "external"]},
    status={"enum": ["accepted", "underReview", "rejected"]},
    justification=TEXT,
)
RESULT = _object(  # 3.27
    ("message",),
    ruleId=TEXT,
    ruleIndex={"type": "integer", "minimum": -1},
    level=LEVEL,
    kind={"enum": ["notApplicable", "pass", "fail", "review", "open", "informational"]},
    rank={"type": "number", "minimum": -1, "maximum": 100},
    message=MESSAGE,
    locations=_list(LOCATION, unique=False),
    relatedLocations=_list(LOCATION),
    partialFingerprints={"type": "object", "additionalProperties": {"type": "string"}},
    suppressions=_list(SUPPRESSION),
    properties=BAG,
)
NOTIFICATION = _object(  # 3.58
    ("message",),
    descriptor=_object((), id=TEXT),
    level=LEVEL,
    message=MESSAGE,
    locations=_list(LOCATION),
)
RUN = _object(  # 3.14
    ("tool",),
    tool=_object(("driver",), driver=_object(("name",), name=TEXT, semanticVersion=TEXT, rules=_list(RULE))),
    invocations=_list(
        _object(
            ("executionSuccessful",),
            executionSuccessful={"type": "boolean"},
            toolExecutionNotifications=_list(NOTIFICATION, unique=False),
        ),
        unique=False,
    ),
    artifacts=_list(_object((), location=ARTIFACT, roles=TEXTS, mimeType={**TEXT, "pattern": "^[^/]+/.+$"})),
    results=_list(RESULT, unique=False),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
)
SARIF = _object(  # 3.13
    ("version", "runs"),
    **{"$schema": {**TEXT, "format": "uri"}, "version": {"const": "2.1.0"}, "runs": _list(RUN, unique=False)},
)


def sarif(path: Path) -> dict[str, Any]:
    analysis = analyze([str(path)])
    report = assemble(analysis, diagnose(analysis))
    found: dict[str, Any] = json.loads(to_sarif(report, places_of(report, analysis)))
    return found


def results(log: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = log["runs"][0]["results"]
    return found


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_log_is_valid_and_its_references_hold(capture: Path) -> None:
    log = sarif(capture)
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [each["id"] for each in rules] == list(all_rules())
    assert results(log)
    for each in results(log):
        assert rules[each["ruleIndex"]]["id"] == each["ruleId"]
        for place in (*each["locations"], *each.get("relatedLocations", ())):
            artifact = place["physicalLocation"]["artifactLocation"]
            assert run["artifacts"][artifact["index"]]["location"]["uri"] == artifact["uri"]


def test_every_rule_brings_help() -> None:
    (run,) = sarif(WRONG_PSK)["runs"]
    for each in run["tool"]["driver"]["rules"]:
        rule = all_rules()[each["id"]]
        assert each["fullDescription"]["text"] == rule.means
        assert f"How it is recognised: {rule.detect}" in each["help"]["text"]
        assert "**How it is recognised.**" in each["help"]["markdown"]
        assert rule.fix in each["help"]["text"]


def test_log_is_the_same_bytes_again() -> None:
    assert json.dumps(sarif(WRONG_PSK)) == json.dumps(sarif(WRONG_PSK))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_regions_are_the_octets_of_the_evidence(capture: Path) -> None:
    analysis = analyze([str(capture)])
    report = assemble(analysis, diagnose(analysis))
    places = places_of(report, analysis)
    data = capture.read_bytes()
    messages = {
        (record.datagram.file, record.frame): record.datagram.payload
        for sa in analysis.ike_sas
        for exchange in sa.exchanges
        for record in (*exchange.request, *exchange.response, *exchange.repeats)
    }
    checked = 0
    for finding in report.findings:
        for evidence in finding.evidence:
            place = places[(evidence.file, evidence.frame)]
            offset, length = place.region(evidence)
            assert place.start <= offset < offset + length <= place.start + place.size
            if evidence.bytes is not None and (evidence.file, evidence.frame) in messages:
                begin, end = evidence.bytes
                assert data[offset : offset + length] == messages[(evidence.file, evidence.frame)][begin:end]
                checked += 1
    assert checked or not messages


def test_levels_follow_severities_and_suppressed_findings_are_suppressed() -> None:
    analysis = analyze([str(WRONG_PSK)])
    report = assemble(analysis, diagnose(analysis))
    sure = [msgspec.structs.replace(each, suppressed_by=None) for each in report.findings]
    marked = [msgspec.structs.replace(sure[0], suppressed_by="CAP-002"), *sure[1:]]
    log = json.loads(to_sarif(msgspec.structs.replace(report, findings=marked), {}))
    first, *others = results(log)
    assert first["suppressions"][0]["kind"] == "external"
    assert "CAP-002" in first["suppressions"][0]["justification"]
    assert all("suppressions" not in each for each in others)
    levels = {each["properties"]["severity"]: each["level"] for each in results(log)}
    assert levels["critical"] == "error"
    assert levels["info"] == "note"


def test_files_that_cannot_be_pointed_into_have_frames_only(tmp_path: Path) -> None:
    packed = tmp_path / "packed.pcap.gz"
    packed.write_bytes(gzip.compress(WRONG_PSK.read_bytes(), mtime=0))
    for each in results(sarif(packed)):
        assert "region" not in each["locations"][0]["physicalLocation"]
        assert each["locations"][0]["logicalLocations"][0]["name"].startswith("frame ")


def test_unreadable_files_and_faults_are_notifications() -> None:
    broken = document.CaptureFile(
        name="gone.pcap", format="", frames=0, link_types=[], truncated=False, notes=[], error="no such file"
    )
    bug = document.Note(frame=7, kind="internal.dissector-bug", severity="error", text="please report it")
    analysis = analyze([str(WRONG_PSK)])
    report = assemble(analysis, diagnose(analysis))
    capture = msgspec.structs.replace(report.capture, files=[*report.capture.files, broken])
    log = json.loads(to_sarif(msgspec.structs.replace(report, capture=capture, notes=[bug]), {}))
    jsonschema.Draft202012Validator(SARIF).validate(log)
    (invocation,) = log["runs"][0]["invocations"]
    assert invocation["executionSuccessful"] is False
    assert [each["message"]["text"] for each in invocation["toolExecutionNotifications"]] == [
        "no such file",
        "frame 7: please report it",
    ]


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a.pcap", "a.pcap"),
        ("captures/with space #1.pcap", "captures/with%20space%20%231.pcap"),
        ("/tmp/a.pcap", "file:///tmp/a.pcap"),
        ("c:x.pcap", "./c%3Ax.pcap"),
        ("-", "stdin"),
        ("we\x1bird", "we%1Bird"),
    ],
)
def test_names_of_files_become_references(name: str, uri: str) -> None:
    assert uri_of(name) == uri


def test_field_outside_its_record_falls_back_to_the_record() -> None:
    place = Place(100, 50, 42)
    assert place.region(document.Evidence(0, 1, bytes=(0, 8))) == (142, 8)
    assert place.region(document.Evidence(0, 1, bytes=(0, 9))) == (100, 50)
    assert place.region(document.Evidence(0, 1)) == (100, 50)
    assert Place(100, 50).region(document.Evidence(0, 1, bytes=(0, 8))) == (100, 50)
