"""The state machines of the peers as a document: what ``docs/state-machines.md`` holds, drawn from the tables."""

from __future__ import annotations

from typing import Any

from ipsecscope.peers.ikev1.transitions import PHASE_ONE, QUICK_MODE, TRANSACTION
from ipsecscope.peers.ikev2.transitions import CHILD_SA_TABLE, IKE_SA_TABLE
from ipsecscope.peers.peer import Go, Table

TABLES: dict[str, Table[Any]] = {
    "IKEv2: the IKE SA": IKE_SA_TABLE,
    "IKEv2: a Child SA": CHILD_SA_TABLE,
    "IKEv1: phase 1": PHASE_ONE,
    "IKEv1: quick mode": QUICK_MODE,
    "IKEv1: XAUTH and mode configuration": TRANSACTION,
}
HEAD = """# The state machines of the built-in peers

Drawn from the tables that the peers run by (`ipsecscope/peers/ikev2/transitions.py` and
`ipsecscope/peers/ikev1/transitions.py`); a test keeps this file up to date. `Request`, `Reply` and `Arrived` are messages
of the other side, `Local` is what the owner or the clock wants, `Found` is what an action found out and is taken at once.
"""


def document() -> str:
    """All state machines in Markdown with Mermaid diagrams."""
    return HEAD + "".join(f"\n## {title}\n\n{_section(table)}" for title, table in TABLES.items())


def _section(table: Table[Any]) -> str:
    states = "".join(f"| `{state.name}` | {state.value} |\n" for state in table.states)
    return (
        f"{sum(1 for _ in table.states)} states, {len(table.inputs)} inputs,"
        f" {sum(map(len, table.rows.values()))} transitions that are told, the others by rule.\n\n"
        f"| state | meaning |\n|---|---|\n{states}\n"
        f"```mermaid\n{table.diagram()}```\n\n"
        f"What happens in every other state:\n\n"
        f"| input | then | why |\n|---|---|---|\n{''.join(_rule(str(given), go) for given, go in table.otherwise.items())}"
    )


def _rule(given: str, go: Go) -> str:
    target = "stays" if go.to is None else f"`{go.to.name}`"
    return f"| {given} | {target} | {go.story} |\n"
