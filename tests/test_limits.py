"""LIMITS.md names every limit of the package with its default, and says what reaching it does.

``pytest tests/test_limits.py --regen`` brings the defaults up to date, drops what is gone and adds rows for what is
new; the two cells in words are written by hand.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from conftest import ROOT

LIMITS = ROOT / "LIMITS.md"
PACKAGE = ROOT / "ipsecscope"
TO_WRITE = "?"

HEADER = """# Limits

Any capture, key file or datagram may be hostile, so every loop and every table has an end. These are all of them: the
constant, its default, what it bounds, and what happens at the end. Names such as `capture.limit` are kinds of notes in
the report; what is cut is counted there. A test compares this page with the code.
"""


def constants() -> dict[str, int]:
    """Every MAX_* constant of the package under its dotted name, without the name of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        names = [name for name in _assigned(path) if name.startswith("MAX_")]
        if not names:
            continue
        dotted = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        module = importlib.import_module(dotted)
        prefix = dotted.removeprefix("ipsecscope.")
        found.update({f"{prefix}.{name}": getattr(module, name) for name in names})
    return found


def _assigned(path: Path) -> list[str]:
    """The names that a module assigns at its top level."""
    names = []
    for node in ast.parse(path.read_text()).body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        names += [target.id for target in targets if isinstance(target, ast.Name)]
    return names


def documented() -> dict[str, tuple[str, str, str]]:
    """The rows of the page: default, what it bounds, what reaching it does."""
    rows = [line.strip("| ").split(" | ") for line in LIMITS.read_text().splitlines() if line.startswith("| `")]
    return {cells[0].strip("`"): (cells[1], cells[2], cells[3]) for cells in rows}


def written(rows: dict[str, tuple[str, str, str]]) -> str:
    text = HEADER
    section = ""
    for name, cells in rows.items():
        if name.partition(".")[0] != section:
            section = name.partition(".")[0]
            text += (
                f"\n## {section}\n\n| limit | default | of what | when it is reached |\n| --- | ---: | --- | --- |\n"
            )
        text += f"| `{name}` | {' | '.join(cells)} |\n"
    return text


def test_every_limit_is_documented_with_its_default(request: pytest.FixtureRequest) -> None:
    found = constants()
    if request.config.getoption("--regen"):
        known = documented() if LIMITS.exists() else {}
        unknown = ("", TO_WRITE, TO_WRITE)
        LIMITS.write_text(
            written({name: (f"{value:,}", *known.get(name, unknown)[1:]) for name, value in found.items()})
        )
    assert {name: cells[0] for name, cells in documented().items()} == {name: f"{n:,}" for name, n in found.items()}


def test_every_limit_says_what_reaching_it_does() -> None:
    unsaid = [name for name, cells in documented().items() if TO_WRITE in cells or not all(cells)]
    assert unsaid == []


def test_page_is_as_it_is_written() -> None:
    assert LIMITS.read_text() == written(documented())


def test_note_kinds_that_the_page_names_exist() -> None:
    """Every kind in backticks in the last column is a string of the package."""
    sources = "\n".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    kinds = {word for _, _, said in documented().values() for word in said.split("`")[1::2] if "." in word}
    assert kinds
    assert [kind for kind in sorted(kinds) if f'"{kind}"' not in sources] == []
