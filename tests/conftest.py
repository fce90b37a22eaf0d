"""What all tests share: where the reference material is, and how many of the tests that need it ran."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
MAX_PRINTED = 150  # lines of one test's output that the summary repeats

hypothesis.settings.register_profile("ipsecscope", deadline=None)  # how busy the machine is proves nothing
hypothesis.settings.load_profile("ipsecscope")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--regen", action="store_true", help="rewrite golden files; review the difference like code")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference material beside the checkout; the test is skipped when it is absent."""
    if not SHARED.is_dir():
        pytest.skip("no reference material beside this checkout")
    return SHARED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "shared" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.shared)
        if item.get_closest_marker("shared") and not SHARED.is_dir():
            item.add_marker(pytest.mark.skip(reason="no reference material beside this checkout"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    ran = sum(
        1
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, ())
        if "shared" in getattr(report, "keywords", {})
    )
    for report in terminalreporter.stats.get("passed", ()):  # the figures and tables that tests print
        if getattr(report, "when", "") == "call" and report.capstdout:
            terminalreporter.write_sep("-", report.nodeid.partition("::")[2])
            lines = report.capstdout.strip().splitlines()
            terminalreporter.write_line("\n".join(lines[:MAX_PRINTED]))
            if len(lines) > MAX_PRINTED:
                terminalreporter.write_line(f"… and {len(lines) - MAX_PRINTED} more lines")
    terminalreporter.write_line(f"tests on the reference material: {ran} ran")
