"""The command line: parse arguments, call the library, print. No analysis here.

Heavy modules are imported inside the commands, so that ``--help`` costs little.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from io import TextIOWrapper
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, Self

os.environ.setdefault("TYPER_USE_RICH", "0")  # plain help: it starts twice as fast and pipes well
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy: no thread pool for sums of a few columns

import typer

from ipsecscope.cli_generate import register as register_generate
from ipsecscope.cli_keys import read_key_files
from ipsecscope.cli_keys import register as register_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ipsecscope.decrypt.keyring import KeyRing
    from ipsecscope.reports.document import Finding, Note

OK, FINDINGS, UNUSABLE, PARTIAL, INTERNAL = 0, 1, 2, 3, 70

app = typer.Typer(
    name="ipsecscope",
    help="Read captures of IPsec: who talked to whom, every exchange, every SA, and why it failed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ran; 1 findings at or above --fail-on; 2 usage error or unreadable input; "
    "3 partial (some input could not be used); 70 internal fault.",
)


class Format(StrEnum):
    """Output formats of analyze."""

    text = "text"
    json = "json"
    jsonl = "jsonl"


class Level(StrEnum):
    """Severities of findings, the worst first."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"
    info = "info"


Files = Annotated[
    list[str],
    typer.Argument(
        help="Capture files, directories, globs, or - for standard input.", metavar="FILE...", show_default=False
    ),
]
IkePorts = Annotated[
    list[int] | None,
    typer.Option(
        "--ike-port", help="A UDP port that carries IKE; repeat for several.", metavar="PORT", min=1, max=65535
    ),
]
Keys = Annotated[
    list[Path] | None,
    typer.Option(
        "--keys",
        "-k",
        help="A file with key material in any known form, or env:NAME for an environment variable; repeat for several.",
        metavar="FILE",
    ),
]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write to this file instead of standard output.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite the output file if it exists.")]
Width = Annotated[int | None, typer.Option("--width", help="Columns of text output.", min=60, max=1000)]


def _version(value: bool) -> None:
    if value:
        from ipsecscope import __version__

        typer.echo(f"ipsecscope {__version__}")
        raise typer.Exit(OK)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Shared options."""
    del version


@app.command(
    epilog="Examples:  ipsecscope analyze tunnel.pcap  |  ipsecscope analyze *.pcapng --format json -o report.json  |  "
    "tcpdump -w - udp port 500 | ipsecscope analyze -"
)
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
        list[str] | None, typer.Option("--select", help="Only these findings: codes, groups or slugs.", metavar="CODE")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option("--ignore", help="Not these findings.", metavar="CODE")] = None,
) -> None:
    """Report every exchange, SA and flow in some captures, and what is wrong with them."""
    from ipsecscope.diagnose.engine import diagnose
    from ipsecscope.reports.assemble import assemble
    from ipsecscope.reports.writing import open_output, write_report
    from ipsecscope.timeline.analysis import analyze as analyze_captures

    ring, problems = _key_ring(keys or [])
    with _progress() as progress:
        analysis = analyze_captures(files, ike_ports=frozenset(ike_port or ()), ring=ring, progress=progress)
    for failure in analysis.errors:
        _complain(str(failure))
    if not analysis.files:
        raise typer.Exit(UNUSABLE)
    report = assemble(analysis, diagnose(analysis, select=select or (), ignore=ignore or ()))
    inputs = [*(facts.name for facts in analysis.files), *files, *map(str, keys or ())]
    with _writing(), open_output(output, force=force, inputs=inputs) as out:
        write_report(report, analysis, format.value, out, width=width)
    failed = fail_on is not None and any(_is_at_least(each, fail_on) for each in report.findings)
    raise typer.Exit(_exit_code(report.notes, failed=failed, partial=bool(analysis.errors) or problems))


@app.command(epilog="Examples:  ipsecscope dissect tunnel.pcap --frame 3  |  ipsecscope dissect tunnel.pcap | less")
def dissect(
    file: Annotated[
        str, typer.Argument(help="A capture file, or - for standard input.", metavar="FILE", show_default=False)
    ],
    frame: Annotated[
        list[int] | None, typer.Option("--frame", "-n", help="Only this frame; repeat for several.", metavar="N", min=1)
    ] = None,
    hexdump: Annotated[bool, typer.Option("--hex", help="Show the octets of every message as well.")] = False,
    ike_port: IkePorts = None,
) -> None:
    """Show every field of every IPsec packet with its octets and the section that defines it."""
    from ipsecscope.reports.tree import write_trees
    from ipsecscope.timeline.reading import UnusableFileError

    try:
        with _writing():
            shown = write_trees(
                file, sys.stdout, frames=frozenset(frame or ()), ike_ports=frozenset(ike_port or ()), hexdump=hexdump
            )
            sys.stdout.flush()
    except UnusableFileError as error:
        _fail(str(error))
    if frame and not shown:
        _complain(f"{file}: no IPsec packet in frame {', '.join(map(str, frame))}")


def _key_ring(paths: list[Path]) -> tuple[KeyRing | None, bool]:
    """The keys of some files, and whether something in them could not be used (which is said)."""
    if not paths:
        return None, False
    from ipsecscope.decrypt.keyring import KeyRing

    records, problems = read_key_files(paths)
    return KeyRing(records), problems


@app.command(
    epilog="Examples:  ipsecscope explain AUTH-002  |  ipsecscope explain NO_PROPOSAL_CHOSEN  |  ipsecscope explain --list"
)
def explain(
    term: Annotated[
        str | None,
        typer.Argument(help="A finding's code or slug, a notify, an algorithm, a Vendor ID.", metavar="TERM"),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="All findings, one line each.")] = False,
) -> None:
    """Say what a finding, a notify, an algorithm or a Vendor ID means."""
    from ipsecscope.reports.explain import explain as explained
    from ipsecscope.reports.explain import explain_list, suggestions

    if listed:
        sys.stdout.write(explain_list())
        return
    if term is None:
        _fail("explain what? Give a term, or --list")
    text = explained(term)
    if text is None:
        near = suggestions(term)
        _fail(f"nothing is known by the name {term}" + (f"; near it: {', '.join(near)}" if near else ""))
    sys.stdout.write(text.rstrip("\n") + "\n")


register_keys(app)
register_generate(app)


def _is_at_least(finding: Finding, level: Level) -> bool:
    order = [each.value for each in Level]
    return finding.suppressed_by is None and order.index(finding.severity) <= order.index(level.value)


def _exit_code(notes: Iterable[Note], *, failed: bool, partial: bool) -> int:
    if any(note.kind == "internal.dissector-bug" for note in notes):
        return INTERNAL
    if failed:
        return FINDINGS
    return PARTIAL if partial else OK


@contextlib.contextmanager
def _writing() -> Iterator[None]:
    """Ends the program in order when its output cannot be written; a reader who has seen enough is no fault."""
    try:
        yield
    except BrokenPipeError:
        _forget_output()
        raise typer.Exit(OK) from None
    except OSError as error:
        _forget_output()
        _fail(str(error) if error.errno is None else f"{error.filename or 'standard output'}: {error.strerror}")


def _forget_output() -> None:
    """Send what is still buffered for standard output nowhere, so that the exit does not fail on it again."""
    with contextlib.suppress(OSError):  # a stream that somebody put in its place needs no care
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(text: str) -> None:
    from ipsecscope.reports.escape import show

    sys.stderr.write(f"ipsecscope: {show(text, 1000)}\n")


def _fail(text: str) -> NoReturn:
    _complain(text)
    raise typer.Exit(UNUSABLE)


class _progress:  # noqa: N801 (a context manager that reads like a function)
    """Says how far the reading is, on standard error and only on a terminal."""

    STEP = 200_000

    def __enter__(self) -> Self:
        self.said = 0
        self.visible = sys.stderr.isatty()
        return self

    def __call__(self, file: int, frames: int) -> None:
        if self.visible and frames - self.said >= self.STEP:
            self.said = frames
            sys.stderr.write(f"\r{frames:,} frames, file {file + 1} …")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self.visible and self.said:
            sys.stderr.write("\r\x1b[K")


def run() -> None:
    """Run the command line; the one place that turns the unforeseen into one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that temporary files are removed
    _open_streams()
    try:
        app()
    except Exception as fault:  # noqa: BLE001 (neither a traceback nor the message: they may quote secrets or the capture)
        where = traceback.extract_tb(fault.__traceback__)[-1]
        place = f"{Path(where.filename).name} line {where.lineno}"
        _complain(f"internal fault: {type(fault).__name__} at {place}; please report it with the input")
        sys.exit(INTERNAL)


def _open_streams() -> None:
    """The same bytes in every locale; and streams that the caller closed are there."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (until the program ends)
    if sys.stdout is None:
        _complain("standard output is closed")
        sys.exit(UNUSABLE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
