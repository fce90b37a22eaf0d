"""Our peers against strongSwan's charon, both ways: every session of the table succeeds or fails as it must."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from interop_cases import Case
from interop_charon import Charon, NotHappenedError, reason_against_charon
from interop_network import Network, reason_against_namespaces
from interop_ours import Launcher
from interop_session import Ends, Session
from interop_table import CASES
from interop_verdict import judge, opened_by

from ipsecscope.decrypt.keylogs import read_keys

AT_ONCE = 10  # sessions
FIRST_NUMBER = 11
SECRETS = {
    "ike-any": {"secret": '"a test key that is no secret"'},
    "ppk-any": {"id": "a test PPK", "secret": '"a test PPK that is no secret"'},
    "eap-alice": {"id": "alice", "secret": '"a test password"'},
}


class Result(NamedTuple):
    """What became of a session; ``wrong`` is empty where it went as it must."""

    session: Session
    wrong: str
    seconds: float


@contextmanager
def sessions(cases: list[Case], folder: Path) -> Iterator[tuple[list[Session], Charon]]:
    """Charon with all connections loaded, and the sessions that are to be played."""
    with Network() as network, Charon(network, folder / "charon") as charon, Launcher(network) as launcher:
        ends = Ends(network, charon, launcher)
        made = [Session(case, n, ends, folder / f"case-{n}") for n, case in enumerate(cases, FIRST_NUMBER)]
        pools = {f"pool-{each.number}": {"addrs": f"10.3.{each.number}.0/24"} for each in made}
        charon.load({each.name: each.connection() for each in made}, SECRETS, pools)
        yield made, charon


def attempted(session: Session, what: Callable[[Session], None]) -> Result:
    """Do something with a session."""
    start = time.monotonic()
    try:
        what(session)
    except (NotHappenedError, OSError) as why:
        return Result(session, str(why) or type(why).__name__, time.monotonic() - start)
    return Result(session, "", time.monotonic() - start)


def played(cases: list[Case], folder: Path, at_once: int) -> list[Result]:
    """Play some cases, and judge what both sides wrote."""
    with sessions(cases, folder) as (made, charon), ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda each: attempted(each, Session.play), made))
        charons_keys = read_keys(charon.keys_log).records

    def judged(session: Session) -> None:
        judge(session.capture, session.key_log, session.events, session.case.finds)
        if session.case.succeeds:
            opened_by(session.capture, charons_keys)

    verdicts = [attempted(each.session, judged) if not each.wrong else each for each in results]
    return [Result(each.session, verdict.wrong, each.seconds) for each, verdict in zip(results, verdicts, strict=True)]


def table(results: list[Result], alone: dict[str, str]) -> str:
    """The results as lines; ``alone`` has what went wrong at first in the cases that were played once more."""
    right = sum(not each.wrong for each in results)
    lines = [f"{right} of {len(results)} sessions with strongSwan went as they must, {len(alone)} of them played twice"]
    for each in results:
        case = each.session.case
        before = f" (among the others: {alone[case.name]})" if case.name in alone else ""
        lines.append(f"{each.seconds:5.1f} s  {case.name:<65} {each.wrong or case.outcome}{before}")
    return "\n".join(lines)


@pytest.mark.interop
def test_sessions_with_charon_go_as_the_table_says(tmp_path: Path) -> None:
    """On a busy machine a daemon may miss its second: a case that fails among many is played once more, alone."""
    reason = reason_against_charon() or reason_against_namespaces()
    if reason:
        pytest.skip(reason)
    results = {each.session.case.name: each for each in played(list(CASES), tmp_path / "together", AT_ONCE)}
    assert len(results) == len(CASES)
    alone = {name: each.wrong for name, each in results.items() if each.wrong}
    if alone:
        again = [case for case in CASES if case.name in alone]
        results |= {each.session.case.name: each for each in played(again, tmp_path / "alone", 1)}
    print(table(list(results.values()), alone))
    assert {name: each.wrong for name, each in results.items() if each.wrong} == {}
