"""The document of ``compare``: its schema is committed, current, and true of real comparisons; the text says the same."""

from __future__ import annotations

import io
import json
from functools import cache
from typing import Any

import jsonschema
import msgspec
import pytest
from conftest import ROOT, SHARED

from ipsecscope.diagnose.two_taps import Capture, compare_captures
from ipsecscope.reports.assemble_comparison import assemble_comparison
from ipsecscope.reports.comparison import Comparison, json_schema, to_json
from ipsecscope.reports.comparison_text import write_comparison

SCHEMA = ROOT / "ipsecscope" / "reports" / "schema" / "comparison.schema.json"
NAT = str(ROOT / "captures" / "ikev2-nat.pcapng")
LAB = SHARED / "captures" / "lab"
CONTRACT: dict[str, set[str]] = {
    "Comparison": {
        *("schema", "generator", "sentence", "a", "b", "clock", "first_time", "last_time", "throughout", "paired"),
        *("directions", "findings", "headline", "changes", "packets", "not_listed", "outside"),
    },
    "ClockFit": {"offset_ns", "drift_ppm", "uncertainty_ns", "basis", "packets"},
    "Direction": {"from", "to", "hosts", "traffic", "delay", "reordered", "delayed"},
    "TrafficCount": {
        "traffic",
        "sent",
        "arrived",
        "lost",
        "missing",
        "incomplete",
        "unseen",
        "duplicated",
        "replayed",
        "injected",
    },
    "Packet": {"what", "tap", "frame", "file", "time", "src", "dst", "label", "octets", "other_frame", "delay_ns"},
    "Change": {"field", "from", "to", "before", "after", "packets", "first_frames", "last_frames"},
    "Finding": {
        "code",
        "severity",
        "confidence",
        "confidence_a",
        "confidence_b",
        "raised",
        "summary",
        "evidence",
        "suppressed_by",
    },
}


@cache
def nat() -> Comparison:
    return assemble_comparison(compare_captures(Capture(NAT, 0, "inside"), Capture(NAT, 1, "outside")))


@cache
def lab(scenario: str, one: str, two: str) -> Comparison:
    a, b = (Capture(str(LAB / scenario / f"{name}.pcap")) for name in (one, two))
    return assemble_comparison(compare_captures(a, b))


def text(comparison: Comparison) -> str:
    out = io.StringIO()
    write_comparison(comparison, out)
    return out.getvalue()


def test_committed_schema_is_the_generated_one(request: pytest.FixtureRequest) -> None:
    found = json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"
    if request.config.getoption("--regen"):
        SCHEMA.write_text(found)
    assert SCHEMA.read_text() == found


@pytest.mark.parametrize("name", CONTRACT)
def test_contract_names_are_all_there(name: str) -> None:
    assert CONTRACT[name] <= json_schema()["$defs"][name]["properties"].keys()


def test_document_is_valid_and_the_same_every_time() -> None:
    written = to_json(nat())
    jsonschema.Draft202012Validator(json_schema()).validate(msgspec.json.decode(written))
    again = assemble_comparison(compare_captures(Capture(NAT, 0, "inside"), Capture(NAT, 1, "outside")))
    assert to_json(again) == written


def test_two_interfaces_around_a_nat_lose_nothing() -> None:
    found = nat()
    assert found.headline is None
    assert found.sentence == f"All {found.paired} packets pass both taps."
    assert (found.a.interface, found.b.interface) == ("inside", "outside")
    sources = [(each.before, each.after) for each in found.changes if each.field == "source"]
    assert ("10.1.0.1:4500", "198.51.100.7:20002") in sources
    assert all(each.lost == each.missing == 0 for way in found.directions for each in way.traffic)


def test_document_of_the_lab_names_frames_of_both(shared: object) -> None:
    del shared
    found = lab("fail-nat-rebind", "capture-inside", "capture")
    jsonschema.Draft202012Validator(json_schema()).validate(msgspec.json.decode(to_json(found)))
    finding: Any = found.findings[0]
    assert (finding.code, finding.confidence, finding.confidence_a, finding.confidence_b) == (
        "NAT-006",
        "certain",
        None,
        "certain",
    )
    assert {each.tap for each in finding.evidence} == {"A", "B"}
    assert sum(each.what == "lost" for each in found.packets) == 25
    assert {each.label for each in found.packets if each.what == "injected"} == {"ICMP error, type 3 code 3"}


def test_text_begins_with_the_sentence_and_says_everything_else(shared: object) -> None:
    del shared
    found = lab("xfrm-fail-mtu-black-hole", "capture", "capture-far")
    lines = text(found).splitlines()
    assert " ".join(each.strip() for each in lines[: lines.index("")]) == found.sentence
    for words in ("A → B", "B → A", "TTL: 64 → 63", "lost between the taps", "NET-008  critical, certain", "fix: "):
        assert words in text(found)
    assert max(map(len, lines)) <= 120


def test_lists_are_cut_and_counted(monkeypatch: pytest.MonkeyPatch, shared: object) -> None:
    del shared
    monkeypatch.setattr("ipsecscope.reports.assemble_comparison.MAX_LISTED", 5)
    a, b = (Capture(str(LAB / "xfrm-fail-mtu-black-hole" / f"{name}.pcap")) for name in ("capture", "capture-far"))
    found = assemble_comparison(compare_captures(a, b))
    assert found.not_listed == {"lost": 30}
    assert "35 lost between the taps" in text(found)


def test_captures_without_packets_are_said_in_words() -> None:
    empty = str(ROOT / "captures" / "ikev2-nat.pcapng")
    found = assemble_comparison(compare_captures(Capture(empty, 0), Capture(empty, 7)))
    assert found.sentence == "B holds no packet of IPsec."
    assert "clocks cannot be compared" in text(found)
