"""Golden reports: the recorded and the reference captures, analysed without keys, against the reports that were reviewed."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import from_json, to_json
from ipsecscope.timeline.analysis import analyze

GOLDEN = Path(__file__).parent
CAPTURES = [
    path
    for path in sorted((ROOT / "captures").glob("*.pcap*"))
    if path.name.startswith("lab-") or (GOLDEN / f"{path.stem}.json").exists()
]
REFERENCE = 9  # the captures that carry the names of the user's texts; the other scenarios have expectations instead


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_reports_of_the_recorded_and_the_reference_captures_are_reviewed() -> None:
    assert sum(not path.name.startswith("lab-") for path in CAPTURES) >= REFERENCE


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_report_is_the_reviewed_one(capture: Path, request: pytest.FixtureRequest) -> None:
    analysis = analyze([str(capture.relative_to(ROOT))])
    report = to_json(assemble(analysis, diagnose(analysis)))
    golden = GOLDEN / f"{capture.stem}.json"
    if request.config.getoption("--regen"):
        golden.write_bytes(report)
    assert report.decode() == golden.read_text()


@pytest.mark.usefixtures("at_root")
@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_report_is_the_same_bytes_twice(capture: Path) -> None:
    name = str(capture.relative_to(ROOT))
    assert to_json(assemble(analyze([name]))) == to_json(assemble(analyze([name])))


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_report_reads_back_as_itself(capture: Path) -> None:
    report = to_json(assemble(analyze([str(capture)])))
    assert to_json(from_json(report)) == report
