"""The text report of a failure: the root cause first, each line within the width, nothing that contradicts it."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from conftest import ROOT
from lab import FAILING, HEALTHY, analysed, capture, diagnosed, truth
from test_diagnose_lab import CODES

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.text import write_text
from ipsecscope.timeline.analysis import analyze

WIDTH = 100
WRONG_PSK = ROOT / "captures" / "lab-ikev2-wrong-psk.pcap"


def report(path: Path, *, keyed: bool = False) -> list[str]:
    out = io.StringIO()
    write_text(assemble(analysed(path, keyed=keyed), diagnosed(path, keyed=keyed)), out, width=WIDTH)
    return out.getvalue().splitlines()


def blocks(lines: list[str]) -> list[list[str]]:
    """The report's paragraphs."""
    found: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            found[-1].append(line)
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def test_headline_has_its_fix_its_hints_and_what_would_prove_it() -> None:
    out = io.StringIO()
    analysis = analyze([str(WRONG_PSK)])
    write_text(assemble(analysis, diagnose(analysis)), out, width=WIDTH)
    lines = blocks(out.getvalue().splitlines())[1]
    assert lines[0].startswith("AUTH-002  likely: 198.51.100.20 refused to authenticate 192.0.2.10 (frame 4, ")
    labels = [line.strip().partition(":")[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert [each for each in labels if each.startswith(("fix", "hint", "to be sure"))] == [
        "fix",
        "hint, strongSwan, swanctl.conf",
        "hint, libreswan, ipsec.conf",
        "hint, Cisco IOS",
        "to be sure",
    ]
    assert "id-1 = 192.0.2.10; id-2 = 198.51.100.20" in " ".join(line.strip() for line in lines)


@pytest.mark.shared
@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
def test_reports_of_the_lab_failures_lead_with_the_root_cause(keyed: bool) -> None:
    for scenario in FAILING:
        lines = report(capture(scenario), keyed=keyed)
        headline = blocks(lines)[1][0]
        code, _, sentence = headline.partition("  ")
        assert code in CODES[truth(scenario)["root_cause"]], (scenario, headline)
        assert sentence.split(":")[0] in {"certain", "likely", "possible"}
        assert max(map(len, lines)) <= WIDTH, (scenario, max(lines, key=len))


@pytest.mark.shared
def test_no_supporting_note_names_another_root_cause() -> None:
    """What leads for an SA is the only finding of its rank that is shown for it: the others are told as its evidence."""
    for scenario in FAILING:
        found = diagnosed(capture(scenario))
        leading = {each.subject: each.code for each in found.headlines}
        assert len(leading) == len(found.headlines), scenario
        beside = [
            each
            for each in found.findings
            if each.headline
            and each.suppressed_by is None
            and each.severity == "critical"
            and each.confidence == "certain"
            and each.code != leading.get(each.subject, each.code)
        ]
        assert beside == [], [(scenario, each.summary) for each in beside]


@pytest.mark.shared
def test_sentences_say_who_and_where_and_are_whole() -> None:
    """Every finding of the lab: a sentence that starts with a capital or a digit, ends, and names a frame or a file."""
    for scenario in (*FAILING, *HEALTHY):
        for each in diagnosed(capture(scenario)).findings:
            text = each.summary
            assert text[0].isupper() or text[0].isdigit() or ":" in text.split()[0], (each.code, text)
            assert text.endswith("."), (each.code, text)
            assert "  " not in text, (each.code, text)
            assert ") (" not in text, (each.code, text)
            assert len(text) <= 600, (each.code, text)
