"""BEET mode between two peers in process: how it is agreed on, and what becomes of it where it does not fit."""

from __future__ import annotations

import pytest
from peers_pair import Pair, facts

from ipsecscope.peers.config import Mode
from ipsecscope.peers.dataplane import SaMode
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.events import ChildSaInstalled
from ipsecscope.peers.installation import install
from ipsecscope.peers.selectors import RangeSelector, host_of, parse_selector

LEFT_HOST, RIGHT_HOST = parse_selector("10.1.0.10"), parse_selector("10.2.0.10")
NETWORK = parse_selector("10.1.0.0/16")


def ends(mine: RangeSelector, theirs: RangeSelector, mode: Mode = Mode.BEET) -> dict[str, object]:
    return {"local_ts": (mine,), "remote_ts": (theirs,), "mode": mode}


def modes(pair: Pair) -> list[str]:
    return [each["mode"] for side in (pair.left, pair.right) for each in facts(side.events, "child_sa:created")]


def test_beet_mode_is_asked_for_and_agreed_on_by_a_notification() -> None:
    pair = Pair(ends(LEFT_HOST, RIGHT_HOST), ends(RIGHT_HOST, LEFT_HOST)).connect()
    request, response = pair.transcript()[2:4]
    assert request.endswith("TSi, TSr, N(UNKNOWN_40961)}")
    assert response.endswith("TSi, TSr, N(UNKNOWN_40961)}")
    assert modes(pair) == ["beet", "beet"]
    pair.do(lambda p: p.bob.rekey_child(p.now))
    assert modes(pair) == ["beet"] * 4
    assert pair.agrees()


def test_inner_addresses_of_beet_mode_are_those_of_the_selectors() -> None:
    pair = Pair(ends(LEFT_HOST, RIGHT_HOST), ends(RIGHT_HOST, LEFT_HOST)).connect()
    for side, mine, theirs in ((pair.left, "10.1.0.10", "10.2.0.10"), (pair.right, "10.2.0.10", "10.1.0.10")):
        (event,) = (each for each in side.events if isinstance(each, ChildSaInstalled))
        outbound, inbound = install(event, Entropy.seeded("plane"))
        assert (outbound.path.mode, outbound.path.inner_source, outbound.path.inner_destination) == (
            SaMode.BEET,
            mine,
            theirs,
        )
        assert (inbound.path.inner_source, inbound.path.inner_destination) == (theirs, mine)


@pytest.mark.parametrize(
    ("alice", "bob"),
    [
        pytest.param(ends(NETWORK, RIGHT_HOST), ends(RIGHT_HOST, NETWORK), id="a network on one side"),
        pytest.param(ends(LEFT_HOST, RIGHT_HOST), ends(RIGHT_HOST, LEFT_HOST, Mode.TUNNEL), id="responder: tunnel"),
        pytest.param(
            ends(LEFT_HOST, RIGHT_HOST), ends(RIGHT_HOST, LEFT_HOST, Mode.TRANSPORT), id="responder: transport"
        ),
    ],
)
def test_beet_mode_that_does_not_fit_becomes_tunnel_mode(alice: dict[str, object], bob: dict[str, object]) -> None:
    pair = Pair(alice, bob).connect()
    assert modes(pair) == ["tunnel", "tunnel"]
    assert pair.agrees()


def test_host_of_a_selector_of_more_than_one_address_is_nobody() -> None:
    assert host_of(parse_selector("10.1.0.0/31")) == ""
    assert host_of(parse_selector("2001:db8::1/128")) == "2001:db8::1"
