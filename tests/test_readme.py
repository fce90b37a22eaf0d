"""The README tells the truth: its commands, and the first screen that the first of them prints."""

from __future__ import annotations

import io
import re
import shlex

import pytest
from conftest import ROOT

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.text import write_text
from ipsecscope.timeline.analysis import analyze

README = ROOT / "README.md"
SCREEN = re.compile(r"(<!-- first screen: .*? -->\n```text\n)(.*?)(```\n<!-- end of the first screen -->)", re.DOTALL)
PICTURE = ROOT / "docs" / "first-screen.svg"
CAPTURE = "captures/lab-ikev2-wrong-psk.pcap"


@pytest.fixture
def at_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def first_screen() -> str:
    out = io.StringIO()
    write_text(assemble(analysis := analyze([CAPTURE]), diagnose(analysis)), out)
    return "".join(line.rstrip() + "\n" for line in out.getvalue().splitlines())


def commands() -> list[str]:
    return re.findall(r"```sh\n(.*?)\n```", README.read_text(), re.DOTALL)


@pytest.mark.usefixtures("at_root")
def test_first_screen_is_what_the_command_prints(request: pytest.FixtureRequest) -> None:
    text = README.read_text()
    if request.config.getoption("--regen"):
        text = SCREEN.sub(lambda found: found.group(1) + first_screen() + found.group(3), text)
        README.write_text(text)
    found = SCREEN.search(text)
    assert found is not None
    assert found.group(2) == first_screen()


@pytest.mark.usefixtures("at_root")
def test_first_screen_is_one_screen() -> None:
    lines = first_screen().splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120


def test_there_are_two_commands_of_one_line_each() -> None:
    assert len(commands()) == 2
    for command in commands():
        assert "\n" not in command
        assert shlex.split(command)
    assert CAPTURE in commands()[0]
    assert "pytest" in commands()[1]


@pytest.mark.usefixtures("at_root")
def test_picture_is_there_and_current(request: pytest.FixtureRequest) -> None:
    from rich.console import Console

    out = io.StringIO()
    console = Console(record=True, file=out, width=120, force_terminal=True, color_system="truecolor", highlight=False)
    write_text(assemble(analysis := analyze([CAPTURE]), diagnose(analysis)), out, console=console)
    picture = console.export_svg(title=f"ipsecscope analyze {CAPTURE}", unique_id="first-screen")
    if request.config.getoption("--regen"):
        PICTURE.parent.mkdir(exist_ok=True)
        PICTURE.write_text(picture)
    assert PICTURE.is_file()
    assert CAPTURE.rpartition("/")[2] in PICTURE.read_text().replace("&#160;", " ")
