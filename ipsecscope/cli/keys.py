"""The commands ``keys convert``; ``register`` adds them to the application."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipsecscope.cli.console import OK, PARTIAL, UNUSABLE, Progress, complain, fail, writing
from ipsecscope.cli.options import IkePorts, read_key_files
from ipsecscope.reports.key_forms import KeyForm

keys_app = typer.Typer(
    name="keys",
    help="Work with key files.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to the application."""
    app.add_typer(keys_app, name="keys")


@keys_app.callback()
def keys_main() -> None:
    """Work with key files."""


@keys_app.command(
    epilog="Examples:  ipsecscope keys convert charon.log --to wireshark-profile profile --capture tunnel.pcap  |  "
    "ipsecscope keys convert esp_sa ikev2_decryption_table --to ipsecscope keys.jsonl  |  "
    "ipsecscope keys convert env:IKE_KEYS --to esp_sa ~/.config/wireshark"
)
def convert(
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Files with key material in any known form, or env:NAME for an environment variable.",
            metavar="KEYS...",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Argument(help="The file, or the folder of the profile, to write.", metavar="OUT", show_default=False),
    ],
    to: Annotated[KeyForm, typer.Option("--to", help="The form to write.")],
    capture: Annotated[
        list[str] | None,
        typer.Option(
            "--capture",
            help="A capture that the keys open: what is derived with it, and full SPIs, are written too.",
            metavar="FILE",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
    ike_port: IkePorts = None,
) -> None:
    """Write keys in another form; the files are readable by their owner only."""
    from ipsecscope.reports.convert import NothingToWriteError
    from ipsecscope.reports.convert import convert as convert_keys

    records, partial = read_key_files(files)
    captures = capture or []
    if captures:
        from ipsecscope.decrypt.keyring import KeyRing
        from ipsecscope.timeline.analysis import analyze

        with Progress() as progress:
            analysis = analyze(captures, ike_ports=frozenset(ike_port or ()), ring=KeyRing(records), progress=progress)
        for failure in analysis.errors:
            complain(str(failure))
        if not analysis.files:
            raise typer.Exit(UNUSABLE)
        if not analysis.keys:
            complain("the keys open nothing in the capture, so it adds nothing")
        partial |= bool(analysis.errors)
        records = [*analysis.keys, *records]
    if any(_is_same(out, each) for each in (*files, *map(Path, captures))):
        fail(f"{out}: is one of the inputs")
    try:
        with writing():
            done = convert_keys(records, to, out, capture=captures[0] if captures else "", force=force)
    except NothingToWriteError as nothing:
        for problem in nothing.left_out:
            complain(str(problem))
        fail(str(nothing))
    for problem in done.left_out:
        complain(str(problem))
    typer.echo(done.command or f"{done.path}: {done.rows} rows")
    raise typer.Exit(PARTIAL if partial or done.left_out else OK)


def _is_same(one: Path, two: Path) -> bool:
    return one.exists() and two.exists() and one.samefile(two)
