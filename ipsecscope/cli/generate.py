"""The command ``generate``; ``register`` adds it to the application."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecscope.cli.console import OK, fail, writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ipsecscope.peers.scenario import Scenario


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope generate --list  |  ipsecscope generate ikev1-main-mode -o captures  |  "
        "ipsecscope generate --all -o captures --force  |  ipsecscope generate ikev2 esp-tunnel --seed 7 -o try"
    )(generate)


def generate(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Scenarios; --list shows all.", metavar="NAME...", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All scenarios.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="Show the scenarios, one line each.")] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The folder to write to; it is made if need be.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", help="Another number gives other bytes, the same number the same.", min=0)
    ] = 0,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that exist.")] = False,
) -> None:
    """Write reference captures of the built-in peers, with their keys and what is to be found in them.

    Each scenario makes three files: NAME.pcapng with a comment on every packet, NAME.keys with test keys, and
    NAME.expected.json with what both peers said happened.
    """
    from ipsecscope.peers.scenarios import SCENARIOS

    if listed:
        width = max(len(scenario.name) for scenario in SCENARIOS)
        for scenario in SCENARIOS:
            typer.echo(f"{scenario.name:<{width}}  {scenario.title}")
        raise typer.Exit(OK)
    if everything and names:
        fail("give names or --all, not both")
    if not everything and not names:
        fail("generate what? Give names, --all or --list")
    if output is None:
        fail("where to? Give a folder with --output")
    _write_all(SCENARIOS if everything else _named(names or []), output, seed, force=force)


def _named(names: list[str]) -> list[Scenario]:
    """The scenarios of these names, each once; ends the program for a name that is none."""
    import difflib

    from ipsecscope.peers.scenarios import BY_NAME

    for name in names:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, n=3)
            fail(f"no scenario is called {name}" + (f"; near it: {', '.join(near)}" if near else "; see --list"))
    return [BY_NAME[name] for name in dict.fromkeys(names)]


def _write_all(scenarios: Iterable[Scenario], folder: Path, seed: int, *, force: bool) -> None:
    from ipsecscope.peers.generating import files_of
    from ipsecscope.peers.scenario import play

    chosen = list(scenarios)
    with writing():
        folder.mkdir(parents=True, exist_ok=True)
        if not force:
            try:
                require_free(folder, [scenario.name for scenario in chosen])
            except FileExistsError as error:
                fail(f"{error}: exists; --force overwrites it")
        for scenario in chosen:
            generated = play(scenario, seed)
            for path in write(files_of(generated), folder, force=force):
                typer.echo(str(path))


def require_free(folder: Path, names: Iterable[str]) -> None:
    """Raise FileExistsError for the first file of these scenarios that is there already."""
    from ipsecscope.peers.generating import SUFFIXES

    for name in names:
        for suffix in SUFFIXES:
            path = folder / f"{name}{suffix}"
            if path.exists() or path.is_symlink():
                raise FileExistsError(str(path))


def write(files: Mapping[str, bytes], folder: Path, *, force: bool = False) -> Iterator[Path]:
    """Write the files, each whole or not at all, keys readable by their owner only.

    Raises FileExistsError for a file that is there already, unless ``force`` says so; OSError.
    """
    from ipsecscope.decrypt.keylogs.exporters.files import write_private
    from ipsecscope.reports.writing import open_output

    for name, content in files.items():
        path = folder / name
        if path.suffix == ".keys":
            write_private(path, content, overwrite=force)
        else:
            with open_output(path, force=force) as out:
                out.write(content)
        yield path
