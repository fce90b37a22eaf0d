"""The command ``explain``; ``register`` adds it to the application."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ipsecscope.cli.console import fail


def register(app: typer.Typer) -> None:
    """Add the command of this module to the application."""
    app.command(
        epilog="Examples:  ipsecscope explain AUTH-002  |  ipsecscope explain NO_PROPOSAL_CHOSEN  |  ipsecscope explain bsi-tr-02102-3  |  ipsecscope explain --list"
    )(explain)


def explain(
    term: Annotated[
        str | None,
        typer.Argument(
            help="A finding's code or slug, a security profile, a notify, an algorithm, a Vendor ID.", metavar="TERM"
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="All findings, one line each.")] = False,
    profiles: Annotated[bool, typer.Option("--profiles", help="All security profiles and what they ask for.")] = False,
) -> None:
    """Say what a finding, a security profile, a notify, an algorithm or a Vendor ID means."""
    from ipsecscope.reports.explain import explain as explained
    from ipsecscope.reports.explain import explain_list, explain_profiles, suggestions

    if listed:
        sys.stdout.write(explain_list())
        return
    if profiles:
        sys.stdout.write(explain_profiles())
        return
    if term is None:
        fail("explain what? Give a term, --list or --profiles")
    text = explained(term)
    if text is None:
        found = suggestions(term)
        fail(f"nothing is known by the name {term}" + (f"; near it: {', '.join(found)}" if found else ""))
    sys.stdout.write(text.rstrip("\n") + "\n")
