"""The command ``compare``; ``register`` adds it to the application."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import typer

from ipsecscope.cli.console import FINDINGS, OK, PARTIAL, UNUSABLE, complain, fail, writing
from ipsecscope.cli.options import Force, IkePorts, Keys, Level, Output, Width, is_at_least, key_ring

if TYPE_CHECKING:
    from ipsecscope.diagnose.two_taps import Capture, Compared
    from ipsecscope.reports.comparison import Comparison


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope compare near.pcap far.pcap  |  ipsecscope compare inside.pcap outside.pcap --format json "
        "-o both.json  |  ipsecscope compare both-interfaces.pcapng  |  ipsecscope compare a.pcap b.pcap --keys tunnel.keys "
        "--fail-on high"
    )(compare)


class Format(StrEnum):
    """Output formats of compare."""

    text = "text"
    json = "json"


def compare(
    a: Annotated[
        str, typer.Argument(help="A capture: a file, a folder, a glob, or -.", metavar="A", show_default=False)
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            help="A capture of the same traffic at another point; not needed when A has two interfaces.",
            metavar="B",
            show_default=False,
        ),
    ] = None,
    format: Annotated[Format, typer.Option("--format", "-f", help="How to write the comparison.")] = Format.text,  # noqa: A002
    interface_a: Annotated[
        str | None, typer.Option("--interface-a", help="Only this interface of A: a name or a number.", metavar="NAME")
    ] = None,
    interface_b: Annotated[
        str | None, typer.Option("--interface-b", help="Only this interface of B (or of A, alone).", metavar="NAME")
    ] = None,
    throughout: Annotated[
        bool,
        typer.Option(
            "--recorded-throughout",
            help="Both were recording all the time: what one lacks was lost, even before its first and behind its last record.",
        ),
    ] = False,
    keys: Keys = None,
    output: Output = None,
    force: Force = False,
    ike_port: IkePorts = None,
    width: Width = None,
    fail_on: Annotated[
        Level | None, typer.Option("--fail-on", help="Exit with 1 when a finding is at least this severe.")
    ] = None,
) -> None:
    """Compare two captures of the same traffic: what was lost, delayed, reordered, rewritten or injected between them.

    Exit codes: 0 ran; 1 findings at or above --fail-on; 2 usage error or unreadable input; 3 partial.
    """
    from ipsecscope.capture.records import CaptureError
    from ipsecscope.diagnose.two_taps import compare_captures
    from ipsecscope.reports.assemble_comparison import assemble_comparison
    from ipsecscope.reports.writing import open_output

    ring, problems = key_ring(keys or [])
    try:
        one, two = _captures(a, b, interface_a, interface_b)
    except CaptureError as error:
        fail(str(error))
    compared = compare_captures(one, two, ike_ports=frozenset(ike_port or ()), ring=ring, throughout=throughout)
    incomplete = _complain_about(compared)
    document = assemble_comparison(compared)
    with writing(), open_output(output, force=force, inputs=[one.path, two.path, *map(str, keys or ())]) as out:
        _write(document, format, out, width)
    if fail_on is not None and any(
        each.suppressed_by is None and is_at_least(each.severity, fail_on) for each in document.findings
    ):
        raise typer.Exit(FINDINGS)
    raise typer.Exit(PARTIAL if incomplete or problems else OK)


def _captures(a: str, b: str | None, interface_a: str | None, interface_b: str | None) -> tuple[Capture, Capture]:
    """What to compare with what; ends the program when that is not clear."""
    from ipsecscope.diagnose.two_taps import Capture

    first = _kept(a)
    if b is not None:
        second = _kept(b)
        return Capture(first, *_interface(first, interface_a)), Capture(second, *_interface(second, interface_b))
    if interface_a is not None and interface_b is not None:
        return Capture(first, *_interface(first, interface_a)), Capture(first, *_interface(first, interface_b))
    from ipsecscope.timeline.tap import interfaces_of

    names = interfaces_of(first)
    used = [number for number, name in enumerate(names) if name]
    if len(used) != 2:
        found = ", ".join(name for name in names if name) or "none"
        fail(f"{a}: compare it with what? Give a second capture, or two interfaces of this one; it has: {found}")
    one, two = (Capture(first, number, names[number]) for number in used)
    return one, two


def _interface(path: str, wanted: str | None) -> tuple[int | None, str | None]:
    """Number and name of an interface that was asked for; ends the program when there is none such."""
    if wanted is None:
        return None, None
    from ipsecscope.timeline.tap import interfaces_of

    names = interfaces_of(path)
    number = names.index(wanted) if wanted in names else int(wanted) if wanted.isdigit() else len(names)
    if not wanted or number >= len(names):
        fail(f"{path}: has no interface {wanted}; it has: {', '.join(name for name in names if name) or 'none'}")
    return number, names[number] or wanted


def _kept(path: str) -> str:
    """A path that can be read more than once: what comes through a pipe is copied."""
    from ipsecscope.timeline.reading import kept_copy

    return kept_copy(path) if path == "-" or Path(path).is_fifo() else path


def _complain_about(compared: Compared) -> bool:
    """Say what could not be read; ends the program when nothing of A or of B could."""
    failed = False
    for side in (0, 1):
        tap = compared.comparison.tap(side)
        for error in tap.errors:
            complain(str(error))
            failed = True
        if not tap.files:
            raise typer.Exit(UNUSABLE)
    return failed


def _write(document: Comparison, kind: Format, out: BinaryIO, width: int | None) -> None:
    import io

    from ipsecscope.reports.comparison import to_json
    from ipsecscope.reports.comparison_text import write_comparison

    if kind is Format.json:
        out.write(to_json(document))
        return
    if out is sys.stdout.buffer:
        write_comparison(document, sys.stdout, width=width)
        sys.stdout.flush()
        return
    wrapper = io.TextIOWrapper(out, encoding="utf-8", errors="backslashreplace", write_through=True)
    write_comparison(document, wrapper, width=width)
    wrapper.detach()
