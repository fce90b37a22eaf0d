"""The command ``analyze``; ``register`` adds it to the application."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecscope.cli.console import (
    FINDINGS,
    INTERNAL,
    INTERRUPTED,
    OK,
    PARTIAL,
    UNUSABLE,
    Interruption,
    Progress,
    complain,
    fail,
    near,
    writing,
)
from ipsecscope.cli.options import Files, Force, IkePorts, Keys, Level, Output, Width, is_at_least, key_ring

if TYPE_CHECKING:
    from ipsecscope.reports.document import Note


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope analyze tunnel.pcap  |  ipsecscope analyze *.pcapng --format json -o report.json  |  "
        "tcpdump -w - udp port 500 | ipsecscope analyze -"
    )(analyze)


class Format(StrEnum):
    """Output formats of analyze."""

    text = "text"
    json = "json"
    jsonl = "jsonl"
    sarif = "sarif"


def analyze(
    files: Files,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to write the report.")] = Format.text,  # noqa: A002
    keys: Keys = None,
    output: Output = None,
    force: Force = False,
    ike_port: IkePorts = None,
    width: Width = None,
    fail_on: Annotated[
        Level | None, typer.Option("--fail-on", help="Exit with 1 when a finding is at least this severe.")
    ] = None,
    select: Annotated[
        list[str] | None,
        typer.Option(
            "--select", help="Only these findings: codes, groups or slugs, with commas between them.", metavar="CODE"
        ),
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="Not these findings.", metavar="CODE")] = None,
    profile: Annotated[
        list[str] | None,
        typer.Option(
            "--profile",
            help="Judge by this security profile as well; repeat for several. 'explain --profiles' lists them.",
            metavar="NAME",
        ),
    ] = None,
) -> None:
    """Report every exchange, SA and flow in some captures, and what is wrong with them."""
    from ipsecscope.diagnose.engine import diagnose
    from ipsecscope.reports.assemble import assemble
    from ipsecscope.reports.writing import open_output, write_report
    from ipsecscope.timeline.analysis import analyze as analyze_captures

    selected, ignored, profiles = _chosen(select, ignore, profile)
    ring, problems = key_ring(keys or [])
    with Progress() as progress, Interruption() as stopped:
        analysis = analyze_captures(
            files, ike_ports=frozenset(ike_port or ()), ring=ring, progress=progress, stopped=stopped
        )
    for failure in analysis.errors:
        complain(str(failure))
    if not analysis.files:
        raise typer.Exit(UNUSABLE)
    report = assemble(analysis, diagnose(analysis, select=selected, ignore=ignored, profiles=profiles))
    inputs = [*(facts.name for facts in analysis.files), *files, *map(str, keys or ())]
    with writing(), open_output(output, force=force, inputs=inputs) as out:
        write_report(report, analysis, format.value, out, width=width)
    if stopped():
        raise typer.Exit(INTERRUPTED)
    failed = fail_on is not None and any(
        each.suppressed_by is None and is_at_least(each.severity, fail_on) for each in report.findings
    )
    raise typer.Exit(_exit_code(report.notes, failed=failed, partial=bool(analysis.errors) or problems))


def _chosen(
    select: list[str] | None, ignore: list[str] | None, profile: list[str] | None
) -> tuple[list[str], list[str], list[str]]:
    """The names given to --select, --ignore and --profile; ends the program at the first that nobody knows."""
    from ipsecscope.diagnose.engine import selectors
    from ipsecscope.diagnose.profiles import PROFILES

    found = []
    for option, names, known in (
        ("--select", select, selectors()),
        ("--ignore", ignore, selectors()),
        ("--profile", profile, list(PROFILES)),
    ):
        by_name = {each.lower(): each for each in known}
        given = [name.strip() for each in names or () for name in each.split(",") if name.strip()]
        for name in given:
            if name.lower() not in by_name:
                fail(f"{option} {name}: no such name{near(name, known)}")
        found.append([by_name[name.lower()] for name in given])
    return found[0], found[1], found[2]


def _exit_code(notes: Iterable[Note], *, failed: bool, partial: bool) -> int:
    if any(note.kind == "internal.dissector-bug" for note in notes):
        return INTERNAL
    if failed:
        return FINDINGS
    return PARTIAL if partial else OK
