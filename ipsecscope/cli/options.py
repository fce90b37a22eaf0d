"""Options that several commands share, and what reads their values."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecscope.cli.console import complain, fail

if TYPE_CHECKING:
    from ipsecscope.decrypt.keyring import KeyRing
    from ipsecscope.decrypt.keys import KeyRecord

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


class Level(StrEnum):
    """Severities of findings, the worst first."""

    critical = "critical"
    high = "high"
    medium = "medium"
    low = "low"
    info = "info"


def is_at_least(severity: str, level: Level) -> bool:
    """Whether a finding of some severity is as bad as the level that was asked for, or worse."""
    order = [each.value for each in Level]
    return order.index(severity) <= order.index(level.value)


ENVIRONMENT = "env:"  # in front of the name of an environment variable that holds key material


def read_key_files(paths: list[Path]) -> tuple[list[KeyRecord], bool]:
    """The records of some key files, and whether something in them could not be used (which is said)."""
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
            fail(f"{path}: {error.strerror or error}")
        except KeyError:
            fail(f"{path}: there is no such environment variable")
        for problem in (*file.problems, *file.notes):
            complain(str(problem))
        problems |= bool(file.problems)
        records += file.records
    return records, problems


def key_ring(paths: list[Path]) -> tuple[KeyRing | None, bool]:
    """The keys of some files, and whether something in them could not be used (which is said)."""
    if not paths:
        return None, False
    from ipsecscope.decrypt.keyring import KeyRing

    records, problems = read_key_files(paths)
    return KeyRing(records), problems
