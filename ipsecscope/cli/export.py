"""The command ``export``; ``register`` adds it to the application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecscope.cli.console import OK, PARTIAL, UNUSABLE, Progress, complain, fail, writing
from ipsecscope.cli.options import Files, IkePorts, Keys, read_key_files

if TYPE_CHECKING:
    from ipsecscope.reports.export import Exported


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope export tunnel.pcap --keys charon.log --inner inner.pcapng  |  "
        "ipsecscope export tunnel.pcap -k keys.json --decrypted ike.pcapng --ike-only  |  "
        "ipsecscope export tunnel.pcap --annotated notes.pcapng"
    )(export)


def export(
    files: Files,
    keys: Keys = None,
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
    named = {
        name: path for name, path in (("inner", inner), ("decrypted", decrypted), ("annotated", annotated)) if path
    }
    if not named:
        fail("export what? Give --inner, --decrypted or --annotated with a file")
    if len({path.absolute() for path in named.values()}) < len(named):
        fail("two outputs have the same name")
    from ipsecscope.decrypt.keyring import KeyRing
    from ipsecscope.reports.export import NoCaptureError, Wanted
    from ipsecscope.reports.export import export as export_captures

    records, problems = read_key_files(keys or [])
    try:
        with writing(), Progress() as progress:
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
            complain(str(failure))
        raise typer.Exit(UNUSABLE) from None
    _say_export(done, named)
    raise typer.Exit(PARTIAL if problems or done.analysis.errors or not done.is_complete else OK)


def _say_export(done: Exported, named: dict[str, Path]) -> None:
    """What was written, and what stayed closed and why."""
    for failure in done.analysis.errors:
        complain(str(failure))
    for remark, count in sorted(done.remarks.items()):
        complain(f"{count} inner packets: {remark}")
    for reason, count in sorted(done.closed.items()):
        complain(f"{count} not opened: {reason}")
    if "-" in map(str, named.values()):
        return
    said = {
        "inner": f"{done.inner} packets" + (f", {done.dummies} dummy packets left out" if done.dummies else ""),
        "decrypted": f"{done.messages} IKE messages in the clear",
        "annotated": f"{done.analysis.counts.frames} frames",
    }
    for name, path in named.items():
        typer.echo(f"{path}: {said[name]}")
