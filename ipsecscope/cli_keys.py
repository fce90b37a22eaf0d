"""The commands ``export`` and ``keys convert``; ``register`` adds them to the application of ``cli.py``."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ipsecscope.decrypt.keys import KeyRecord
    from ipsecscope.reports.export import Exported

OK, UNUSABLE, PARTIAL = 0, 2, 3

CaptureFiles = Annotated[
    list[str],
    typer.Argument(
        help="Capture files, directories, globs, or - for standard input.", metavar="FILE...", show_default=False
    ),
]
KeyFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--keys",
        "-k",
        help="A file with key material in any known form, or env:NAME for an environment variable; repeat for several.",
        metavar="FILE",
    ),
]
IkePorts = Annotated[
    list[int] | None,
    typer.Option(
        "--ike-port", help="A UDP port that carries IKE; repeat for several.", metavar="PORT", min=1, max=65535
    ),
]


class Form(StrEnum):
    """Forms in which ``keys convert`` writes; the same names as ``reports.convert.KeyForm``."""

    ipsecscope = "ipsecscope"
    wireshark_profile = "wireshark-profile"
    esp_sa = "esp_sa"
    ikev2_decryption_table = "ikev2_decryption_table"
    ikev1_decryption_table = "ikev1_decryption_table"
    tcpdump = "tcpdump"
    esps = "esps"


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
    app.command(
        epilog="Examples:  ipsecscope export tunnel.pcap --keys charon.log --inner inner.pcapng  |  "
        "ipsecscope export tunnel.pcap -k keys.json --decrypted ike.pcapng --ike-only  |  "
        "ipsecscope export tunnel.pcap --annotated notes.pcapng"
    )(export)
    app.add_typer(keys_app, name="keys")


def export(
    files: CaptureFiles,
    keys: KeyFiles = None,
    inner: Annotated[
        Path | None,
        typer.Option("--inner", help="Write the decrypted packets here, as a pcapng of raw IP; - is standard output."),
    ] = None,
    decrypted: Annotated[
        Path | None, typer.Option("--decrypted", help="Write the capture with its IKE messages in the clear here.")
    ] = None,
    annotated: Annotated[
        Path | None, typer.Option("--annotated", help="Write the capture with a comment on every IPsec packet here.")
    ] = None,
    ike_only: Annotated[
        bool, typer.Option("--ike-only", help="With --decrypted: leave out frames that hold no IKE.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite output files that exist.")] = False,
    ike_port: IkePorts = None,
) -> None:
    """Write captures of what IPsec protects: inner packets, IKE in the clear, comments on every packet."""
    from ipsecscope.cli import _complain, _fail, _progress, _writing

    named = {
        name: path for name, path in (("inner", inner), ("decrypted", decrypted), ("annotated", annotated)) if path
    }
    if not named:
        _fail("export what? Give --inner, --decrypted or --annotated with a file")
    if len({path.absolute() for path in named.values()}) < len(named):
        _fail("two outputs have the same name")
    from ipsecscope.decrypt.keyring import KeyRing
    from ipsecscope.reports.export import NoCaptureError, Wanted
    from ipsecscope.reports.export import export as export_captures

    records, problems = read_key_files(keys or [])
    try:
        with _writing(), _progress() as progress:
            done = export_captures(
                files,
                Wanted(inner=inner, decrypted=decrypted, annotated=annotated, ike_only=ike_only),
                ring=KeyRing(records),
                ike_ports=frozenset(ike_port or ()),
                force=force,
                inputs=map(str, keys or ()),
                progress=progress,
            )
    except NoCaptureError as nothing:
        for failure in nothing.failures:
            _complain(str(failure))
        raise typer.Exit(UNUSABLE) from None
    _say_export(done, named)
    raise typer.Exit(PARTIAL if problems or done.analysis.errors or not done.is_complete else OK)


def _say_export(done: Exported, named: dict[str, Path]) -> None:
    """What was written, and what stayed closed and why."""
    from ipsecscope.cli import _complain

    for failure in done.analysis.errors:
        _complain(str(failure))
    for remark, count in sorted(done.remarks.items()):
        _complain(f"{count} inner packets: {remark}")
    for reason, count in sorted(done.closed.items()):
        _complain(f"{count} not opened: {reason}")
    if "-" in map(str, named.values()):
        return
    said = {
        "inner": f"{done.inner} packets" + (f", {done.dummies} dummy packets left out" if done.dummies else ""),
        "decrypted": f"{done.messages} IKE messages in the clear",
        "annotated": f"{done.analysis.counts.frames} frames",
    }
    for name, path in named.items():
        typer.echo(f"{path}: {said[name]}")


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
    to: Annotated[Form, typer.Option("--to", help="The form to write.")],
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
    from ipsecscope.cli import _complain, _fail, _progress, _writing
    from ipsecscope.reports.convert import KeyForm, NothingToWriteError
    from ipsecscope.reports.convert import convert as convert_keys

    records, partial = read_key_files(files)
    captures = capture or []
    if captures:
        from ipsecscope.decrypt.keyring import KeyRing
        from ipsecscope.timeline.analysis import analyze

        with _progress() as progress:
            analysis = analyze(captures, ike_ports=frozenset(ike_port or ()), ring=KeyRing(records), progress=progress)
        for failure in analysis.errors:
            _complain(str(failure))
        if not analysis.files:
            raise typer.Exit(UNUSABLE)
        if not analysis.keys:
            _complain("the keys open nothing in the capture, so it adds nothing")
        partial |= bool(analysis.errors)
        records = [*analysis.keys, *records]
    if any(_is_same(out, each) for each in (*files, *map(Path, captures))):
        _fail(f"{out}: is one of the inputs")
    try:
        with _writing():
            done = convert_keys(records, KeyForm(to.value), out, capture=captures[0] if captures else "", force=force)
    except NothingToWriteError as nothing:
        for problem in nothing.left_out:
            _complain(str(problem))
        _fail(str(nothing))
    for problem in done.left_out:
        _complain(str(problem))
    typer.echo(done.command or f"{done.path}: {done.rows} rows")
    raise typer.Exit(PARTIAL if partial or done.left_out else OK)


def _is_same(one: Path, two: Path) -> bool:
    return one.exists() and two.exists() and one.samefile(two)


ENVIRONMENT = "env:"  # in front of the name of an environment variable that holds key material


def read_key_files(paths: list[Path]) -> tuple[list[KeyRecord], bool]:
    """The records of some key files, and whether something in them could not be used (which is said)."""
    import os

    from ipsecscope.cli import _complain, _fail
    from ipsecscope.decrypt.keylogs import read_keys

    records: list[KeyRecord] = []
    problems = False
    for path in paths:
        name = str(path)
        try:
            if name.startswith(ENVIRONMENT):
                file = read_keys(os.environb[name.removeprefix(ENVIRONMENT).encode()], name)
            else:
                file = read_keys(path)
        except OSError as error:
            _fail(f"{path}: {error.strerror or error}")
        except KeyError:
            _fail(f"{path}: there is no such environment variable")
        for problem in (*file.problems, *file.notes):
            _complain(str(problem))
        problems |= bool(file.problems)
        records += file.records
    return records, problems
