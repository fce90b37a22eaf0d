"""The command line: parse arguments, call the library, print. No analysis here.

One module a command; each has ``register``. Heavy modules are imported inside the commands, so that ``--help`` costs
little.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

os.environ.setdefault("TYPER_USE_RICH", "0")  # plain help: it starts twice as fast and pipes well
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy: no thread pool for sums of a few columns

import typer

from ipsecscope.cli import analyze, compare, dissect, explain, export, generate, keys, live
from ipsecscope.cli.console import INTERNAL, OK, UNUSABLE, complain

COMMANDS = (analyze, compare, dissect, explain, export, keys, generate, live)

app = typer.Typer(
    name="ipsecscope",
    help="Read captures of IPsec: who talked to whom, every exchange, every SA, and why it failed.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ran; 1 findings at or above --fail-on; 2 usage error or unreadable input; "
    "3 partial (some input could not be used); 70 internal fault; 130 interrupted (the report covers what was read).",
)


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


for command in COMMANDS:
    command.register(app)


def run() -> None:
    """Run the command line; the one place that turns the unforeseen into one line and an exit code."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that temporary files are removed
    _open_streams()
    try:
        app()
    except Exception as fault:  # noqa: BLE001 (neither a traceback nor the message: they may quote secrets or the capture)
        where = traceback.extract_tb(fault.__traceback__)[-1]
        place = f"{Path(where.filename).name} line {where.lineno}"
        complain(f"internal fault: {type(fault).__name__} at {place}; please report it with the input")
        sys.exit(INTERNAL)


def _open_streams() -> None:
    """The same bytes in every locale; and streams that the caller closed are there."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (until the program ends)
    if sys.stdout is None:
        complain("standard output is closed")
        sys.exit(UNUSABLE)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
