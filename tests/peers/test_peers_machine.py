from __future__ import annotations

from enum import Enum

import pytest
from conftest import ROOT

from ipsecscope.peers.diagrams import TABLES as DIAGRAMS
from ipsecscope.peers.diagrams import document
from ipsecscope.peers.ikev2.sa import ChildState, State
from ipsecscope.peers.ikev2.transitions import IKE_SA_TABLE
from ipsecscope.peers.peer import Found, Go, Input, Local, Machine, Reply, Table, TableError, ignore

TABLES = [pytest.param(table, id=title) for title, table in DIAGRAMS.items()]
DOCUMENT = ROOT / "docs" / "state-machines.md"


class Door(Enum):
    OPEN = "open"
    SHUT = "shut"


PUSH, LOCK = Local("push"), Found("lock")


def locks(*_: object) -> Input | None:
    return LOCK


def doors(**rows: Go) -> Table[Door]:
    return Table(
        Door,
        {Door.OPEN: {PUSH: Go(Door.SHUT, locks, "the wind")}} | {Door[name]: {LOCK: go} for name, go in rows.items()},
        {PUSH: Go(None, ignore, "nothing"), LOCK: Go(None, ignore, "nothing")},
        start=Door.OPEN,
    )


def test_machine_takes_what_an_action_found_as_the_next_input() -> None:
    seen: list[str] = []
    table = doors(SHUT=Go(Door.OPEN, lambda *_: seen.append("locked"), "a lock opens it again"))
    machine = Machine(table)
    machine.take(PUSH)
    assert (machine.state, seen, machine.story) == (Door.OPEN, ["locked"], "a lock opens it again")


def test_machine_whose_actions_never_settle_is_a_mistake() -> None:
    table = doors(SHUT=Go(None, locks, "again and again"))
    with pytest.raises(TableError, match="does not settle"):
        Machine(table).take(PUSH)


def test_table_with_an_input_that_the_other_states_do_not_know_is_a_mistake() -> None:
    with pytest.raises(TableError, match="knock"):
        Table(Door, {Door.OPEN: {Local("knock"): Go(None, ignore, "x")}}, {}, start=Door.OPEN)


def test_table_asked_for_an_unknown_input_says_so() -> None:
    with pytest.raises(TableError, match="no input"):
        doors().row(Door.OPEN, Reply("who is there"))


@pytest.mark.parametrize(("table",), TABLES)
def test_table_is_total_and_every_row_tells_its_story(table: Table[Enum]) -> None:
    rows = list(table.transitions())
    assert len(rows) == len(list(table.states)) * len(table.inputs)
    assert all(go.story for _, _, go in rows)


@pytest.mark.parametrize(("table",), TABLES)
def test_table_every_state_is_reachable(table: Table[Enum]) -> None:
    reached, fresh = set(), {table.start}
    while fresh:
        reached |= fresh
        targets = {go.to for state in fresh for given in table.inputs if (go := table.row(state, given)).to is not None}
        fresh = targets - reached
    assert reached == set(table.states)


def test_diagram_names_the_transitions() -> None:
    text = IKE_SA_TABLE.diagram()
    assert text.startswith("stateDiagram-v2\n    [*] --> IDLE\n")
    assert "INIT_SENT --> INIT_SENT: Reply(N(COOKIE)) / the responder asked for a cookie\n" in text
    assert {state.name for state in State} >= {line.split()[0] for line in text.splitlines()[2:]}
    assert len(list(ChildState)) == 5


def test_document_of_the_state_machines_is_what_the_tables_draw(request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--regen"):
        DOCUMENT.write_text(document())
    assert DOCUMENT.read_text() == document()
    drawn = document().count(" --> ")
    told = sum(1 + sum(map(len, table.rows.values())) for table in DIAGRAMS.values())
    assert drawn == told
    print(f"{len(DIAGRAMS)} state machines, {told - len(DIAGRAMS)} transitions drawn")


def test_labels_of_a_diagram_hold_nothing_that_ends_them() -> None:
    """Mermaid ends the label of a transition at a colon or a semicolon."""
    for table in DIAGRAMS.values():
        for line in table.diagram().splitlines()[2:]:
            assert line.count(":") == 1
            assert ";" not in line
