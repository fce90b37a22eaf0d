"""The command ``dissect``; ``register`` adds it to the application."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ipsecscope.cli.console import complain, fail, writing
from ipsecscope.cli.options import IkePorts


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(epilog="Examples:  ipsecscope dissect tunnel.pcap --frame 3  |  ipsecscope dissect tunnel.pcap | less")(
        dissect
    )


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
        with writing():
            shown = write_trees(
                file, sys.stdout, frames=frozenset(frame or ()), ike_ports=frozenset(ike_port or ()), hexdump=hexdump
            )
            sys.stdout.flush()
    except UnusableFileError as error:
        fail(str(error))
    if frame and not shown:
        complain(f"{file}: no IPsec packet in frame {', '.join(map(str, frame))}")
