"""Windows of more than one request (RFC 7296 section 2.3), and the two windows by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peers_pair import Pair, facts, names

from ipsecscope.dissect.header import Header
from ipsecscope.peers.config import Offer
from ipsecscope.peers.elements import Duplicate, Loss, Reorder
from ipsecscope.peers.entropy import MILLISECOND, Entropy
from ipsecscope.peers.ikev2.states import Outstanding
from ipsecscope.peers.ikev2.window import MAX_WINDOW, MESSAGE_IDS, Answer, ReceiveWindow, SendWindow

pytestmark = pytest.mark.rfc("7296", "2.3")
WIDE = {"window": 4}


def ask(pair: Pair, count: int) -> None:
    for _ in range(count):
        pair.alice.probe(pair.now)


def order(pair: Pair, since: int) -> list[str]:
    """Requests and responses with their message ids, as the tap saw them."""
    return [line.partition(":")[0].removeprefix("INFORMATIONAL ") for line in pair.transcript(since)]


def test_window_is_announced_in_ike_auth_and_lets_requests_overtake_responses() -> None:
    pair = Pair(bob=WIDE).connect()
    assert pair.transcript()[3] == "IKE_AUTH response 1: HDR, SK {IDr, AUTH, SA, TSi, TSr, N(SET_WINDOW_SIZE)}"
    seen = len(pair.transcript())
    pair.do(lambda p: ask(p, 6))
    assert order(pair, seen)[:5] == ["request 2", "request 3", "request 4", "request 5", "response 2"]
    assert sorted(order(pair, seen)) == sorted(f"{kind} {n}" for kind in ("request", "response") for n in range(2, 8))


def test_side_that_announced_nothing_gets_one_request_at_a_time() -> None:
    """The window of the responder is not that of the initiator."""
    pair = Pair(bob=WIDE).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: [p.bob.probe(p.now) for _ in range(2)])
    assert order(pair, seen) == ["request 0", "response 0", "request 1", "response 1"]


def test_requests_that_arrive_out_of_order_are_answered_in_the_order_of_their_arrival() -> None:
    pair = Pair(both=WIDE, elements=[Reorder(numbers=[5], after=200 * MILLISECOND)]).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: ask(p, 4))
    assert order(pair, seen)[4:] == ["response 3", "response 4", "response 5", "response 2"]
    assert not pair.sa(pair.alice).sent.tasks


def test_new_children_of_one_window_are_all_made() -> None:
    pair = Pair(both=WIDE).connect().do(lambda p: [p.alice.create_child(p.now) for _ in range(5)])
    assert len(pair.alice.children) == 6
    assert pair.agrees()


def test_rekeying_the_ike_sa_waits_until_nothing_else_is_on_its_way() -> None:
    pair = Pair(both=WIDE).connect()
    seen = len(pair.transcript())
    pair.do(lambda p: ask(p, 2), lambda p: p.alice.rekey_ike(p.now), lambda p: ask(p, 1))
    lines = pair.transcript(seen)
    asked = next(index for index, line in enumerate(lines) if line.startswith("CREATE_CHILD_SA request"))
    assert sum(line.startswith("INFORMATIONAL response") for line in lines[:asked]) == 2
    assert lines[asked + 1].startswith("CREATE_CHILD_SA response")
    assert pair.agrees()
    assert pair.sa(pair.alice).sent.size == 1  # RFC 7296 section 2.8: the new IKE SA begins with one again


@pytest.mark.parametrize(("seed",), [(seed,) for seed in range(8)])
def test_bad_line_loses_no_exchange_of_a_window(seed: int) -> None:
    chance = Entropy.seeded("line", seed)
    line = [Loss(0.2, chance), Duplicate(0.2, chance), Reorder(0.2, chance)]
    policy = (Offer.esp("ENCR_AES_GCM_16-256 CURVE25519 ADDKE1:ML_KEM_512"),)
    pair = Pair(both={**WIDE, "child_proposals": policy}, elements=line, seed=seed).connect(60)
    assert pair.established()
    pair.do(lambda p: [p.alice.create_child(p.now) for _ in range(3)], lambda p: [p.bob.probe(p.now) for _ in range(3)])
    pair.do(lambda p: p.alice.rekey_child(p.now), lambda p: p.bob.delete_child(p.now))
    pair.do(lambda p: p.bob.rekey_ike(p.now))
    assert pair.agrees()
    for station in (pair.left, pair.right):
        assert len(facts(station.events, "child_sa:created")) in (4, 5)
    assert "exchange:unanswered" not in names(pair.left.events)


@given(st.integers(1, 8), st.integers(0, MESSAGE_IDS - 1), st.lists(st.integers(-12, 12), max_size=60))
def test_receive_window_takes_every_id_once_and_moves_on_behind_the_lowest(
    size: int, start: int, steps: list[int]
) -> None:
    window = ReceiveWindow()
    window.size, window.lowest = size, start
    taken: set[int] = set()
    for step in steps:
        lowest = window.lowest
        number = (lowest + step) % MESSAGE_IDS
        fresh = 0 <= step < size and number not in taken
        assert window.accepts(number) is fresh
        if fresh:
            window.came(number)
            window.keep(number, Answer((b"",), str(number)))
            taken.add(number)
            answer = window.answer_to(number)
            assert answer is not None
            assert answer.story == str(number)
    done = (window.lowest - start) % MESSAGE_IDS
    assert all((start + each) % MESSAGE_IDS in taken for each in range(done))
    for back in range(1, min(size, done) + 1):
        assert window.answer_to((window.lowest - back) % MESSAGE_IDS) is not None
    assert sum(window.answer_to(each) is not None for each in taken) <= 2 * size


def test_send_window_counts_from_the_oldest_request_and_is_bounded() -> None:
    window = SendWindow()
    window.size, window.next_id = 10**6, MESSAGE_IDS - 2
    for _ in range(MAX_WINDOW):
        assert window.has_room
        header = Header(spi_i=bytes(8), spi_r=bytes(8), exchange_type=37, message_id=window.next_id)
        window.add(Outstanding(header, (b"",), "", 0))
    assert not window.has_room
    window.take(0)  # not the oldest: it still holds the window
    assert not window.has_room
    window.take(MESSAGE_IDS - 2)
    assert window.has_room
