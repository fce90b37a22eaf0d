"""What a peer does with what nobody should send: every state meets every message, and octets that are none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ikev1_pair import MOON, OUTSIDE, POOL, SUN, Pair

from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import Fragment
from ipsecscope.dissect.message import parse_message
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.config import Limits, Patience
from ipsecscope.peers.entropy import EPOCH, MILLISECOND, SECOND, Entropy
from ipsecscope.peers.ikev1 import fragments
from ipsecscope.peers.ikev1.config import Ikev1Config, PhaseOneMode, PhaseOneOffer
from ipsecscope.peers.ikev1.peer import Ikev1Peer
from ipsecscope.peers.ikev1.transitions import PHASE_ONE, QUICK_MODE, TRANSACTION
from ipsecscope.peers.peer import Path, Table

CLIENT: dict[str, Any] = {"user": "carol", "password": Secret(b"swordfish"), "local_ts": ()}
GATEWAY: dict[str, Any] = {
    "users": (("carol", Secret(b"swordfish")),),
    "pool": POOL,
    "remote_ts": (),
    "commit_bit": True,
}
SETTINGS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({}, {}, {}),
    ({}, {}, {"mode": PhaseOneMode.AGGRESSIVE}),
    (CLIENT, GATEWAY, {"xauth": True, "request_config": True}),
]
QUICK = (PhaseOneOffer.parse("AES_CBC-128 SHA2_256 CURVE25519"),)
HOSTILE = Path(Endpoint(SUN, 500), Endpoint(OUTSIDE, 500))


def fresh(which: int) -> Pair:
    initiator, responder, both = SETTINGS[which]
    return Pair(initiator, responder, both={"phase_1": QUICK, "patience": Patience(dpd_after=5 * SECOND)} | both)


@cache
def recorded(which: int) -> tuple[tuple[str, bytes], ...]:
    """A whole life: phase 1, phase 2, a rekeying of each, DPD, the end. The same seed has the same keys."""
    pair = fresh(which).connect(seconds=8)
    pair.initiator.rekey_child(pair.sa_i, pair.sa_i.children[0], pair.now)
    pair.run()
    pair.initiator.rekey(pair.sa_i, pair.now)
    pair.run(4)  # until the SA that was replaced is deleted
    pair.responder.close(pair.sa_r, pair.now)
    pair.run()
    return tuple((sent.sender, sent.data) for sent in pair.tap)


@pytest.mark.parametrize("table", [PHASE_ONE, QUICK_MODE, TRANSACTION], ids=["phase 1", "quick mode", "transaction"])
def test_table_has_a_story_for_every_state_and_input(table: Table[Any]) -> None:
    seen = list(table.transitions())
    assert len(seen) == len(table.states) * len(table.inputs)
    assert all(go.story and callable(go.action) for _, _, go in seen)
    told = {state for state, *_ in seen} - set(table.rows)
    assert all(state.name in ("INSTALLED", "FAILED", "DONE") for state in told)
    assert table.diagram().startswith("stateDiagram-v2\n")


ACTIONS: list[Callable[[Pair], object]] = [
    lambda pair: pair.initiator.connect(pair.now),
    lambda pair: [pair.initiator.close(sa, pair.now) for sa in list(pair.initiator.sas)],
    lambda pair: [pair.responder.close(sa, pair.now) for sa in list(pair.responder.sas)],
    lambda pair: [
        peer.rekey_child(sa, child, pair.now)
        for peer in (pair.initiator, pair.responder)
        for sa in list(peer.sas)
        for child in list(sa.children)
    ],
    lambda pair: [
        peer.rekey(sa, pair.now)
        for peer in (pair.initiator, pair.responder)
        for sa in list(peer.sas)
        if sa.is_authenticated
    ],
    lambda pair: pair.run(seconds=40),
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2), st.lists(st.one_of(st.integers(0, 60), st.sampled_from(ACTIONS)), max_size=25))
def test_any_order_of_messages_and_wishes_ends_no_peer(which: int, steps: list[Any]) -> None:
    """Messages of a recorded conversation under the same keys, in any order, at any state, to either side."""
    pair, tape = fresh(which), recorded(which)
    pair.initiator.connect(pair.now)
    for step in steps:
        if callable(step):
            step(pair)
        else:
            sender, data = tape[step % len(tape)]
            one, two = Endpoint(MOON, 500), Endpoint(SUN, 500)
            if sender == "initiator":
                pair.responder.receive_datagram(data, Path(two, one), pair.now)
            else:
                pair.initiator.receive_datagram(data, Path(one, two), pair.now)
        for _ in range(3):
            pair.run(seconds=0)
            pair.now += 15 * MILLISECOND
    pair.run(seconds=400, steps=2000)
    for peer in (pair.initiator, pair.responder):
        assert all(len(sa.talks) <= 64 for sa in peer.sas)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(0, 2),
    st.integers(0, 30),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4),
    st.integers(-40, 40),
)
def test_damaged_message_at_any_state_ends_no_peer(
    which: int, at: int, damage: list[tuple[int, int]], resized: int
) -> None:
    """One datagram of a handshake comes damaged; its sender repeats it, and the handshake goes on."""
    pair = fresh(which)
    original: list[bytes] = []

    def spoil(number: int, sent: Any) -> bool:
        if number == at + 1:
            data = bytearray(sent.data[: len(sent.data) + resized] if resized < 0 else sent.data + bytes(resized))
            for place, value in damage:
                if data:
                    data[place % len(data)] ^= value
            original.append(sent.data)
            peer = pair.responder if sent.sender == "initiator" else pair.initiator
            peer.receive_datagram(bytes(data), Path(sent.destination, sent.source), pair.now)
            return True
        return False

    pair.loses = spoil
    pair.connect(seconds=60)


@given(st.binary(max_size=200))
def test_octets_that_are_no_message_are_counted_and_answered_by_nothing(data: bytes) -> None:
    pair = fresh(0)
    for port in (500, 4500):
        path = Path(Endpoint(SUN, port), Endpoint(OUTSIDE, port))
        pair.responder.receive_datagram(data, path, EPOCH)
    assert pair.responder.sas == []
    assert list(pair.responder.datagrams_to_send(EPOCH)) == []


def first_message() -> bytes:
    return recorded(0)[0][1]


def test_flood_of_first_messages_is_bounded() -> None:
    """Half-open SAs are bounded in all and per source; answers are no larger than their questions.

    A newer one displaces an older one, so that a flood does not keep everybody else out.
    """
    config = Ikev1Config(
        address=SUN, psk=Secret(b"x"), phase_1=QUICK, limits=Limits(half_open=20, half_open_per_source=4)
    )
    peer = Ikev1Peer(config, Entropy.seeded("flood"))
    message = first_message()
    for number in range(200):
        data = number.to_bytes(8, "big")[::-1] + message[8:]
        source = Endpoint(f"198.51.100.{number % 50}", 500)
        peer.receive_datagram(data, Path(HOSTILE.local, source), EPOCH)
    answers = list(peer.datagrams_to_send(EPOCH))
    assert len(peer.sas) == 20
    assert len(answers) == 199  # a zero cookie begins nothing
    assert all(len(data) <= len(message) for data, _ in answers)
    assert peer.mailbox.counts["half-open SAs displaced by newer ones"] == 179
    peer.handle_timer(EPOCH + 60 * SECOND)
    assert peer.sas == []
    assert list(peer.datagrams_to_send(EPOCH)) == []


def test_repeated_first_message_is_answered_a_limited_number_of_times() -> None:
    peer = Ikev1Peer(Ikev1Config(address=SUN, psk=Secret(b"x"), phase_1=QUICK), Entropy.seeded("repeat"))
    for _ in range(100):
        peer.receive_datagram(first_message(), HOSTILE, EPOCH)
    assert len(list(peer.datagrams_to_send(EPOCH))) == 17
    assert len(peer.sas) == 1


def test_forged_encrypted_message_does_not_break_the_iv_chain() -> None:
    """A stranger's octets under the right cookies are no message; the next one still opens."""
    pair = Pair().connect()
    header = pair.tap[-1].data[:28]
    for number in range(50):
        forged = header + number.to_bytes(16, "big") * 3
        pair.responder.receive_datagram(forged, pair.sa_r.path, pair.now)
        phase_1 = pair.tap[4].data[:28] + number.to_bytes(16, "big") * 6
        pair.responder.receive_datagram(phase_1, pair.sa_r.path, pair.now)
    pair.initiator.rekey_child(pair.sa_i, pair.sa_i.children[0], pair.now)
    pair.run()
    assert len(pair.named("child_sa:created")) == 2


def test_clear_delete_is_not_believed() -> None:
    pair = Pair().connect()
    clear = bytearray(pair.tap[0].data[:28])
    clear[8:16] = pair.sa_r.cookie_r
    clear[16:19] = bytes((12, 0x10, 5))
    body = bytes((0, 0, 0, 28, 0, 0, 0, 1, 1, 16, 0, 1)) + pair.sa_r.cookie_i + pair.sa_r.cookie_r
    clear[24:28] = (28 + len(body)).to_bytes(4, "big")
    pair.responder.receive_datagram(bytes(clear) + body, pair.sa_r.path, pair.now)
    assert len(pair.responder.sas) == 1
    assert pair.responder.mailbox.counts["messages in the clear where none belongs"] == 1


# -- fragments --------------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=3000), st.integers(60, 600), st.randoms(use_true_random=False))
def test_fragments_join_in_any_order(data: bytes, size: int, random: Any) -> None:
    header = Header(spi_i=bytes(8), version=0x10, exchange_type=2)
    parts = list(fragments.cut(data, header, 7, size))
    if len(parts) == 1 or len(parts) > fragments.MAX_FRAGMENTS:
        return
    assert max(map(len, parts)) <= size
    random.shuffle(parts)
    joiner = fragments.Joiner()
    bodies = [parse_message(part).payloads[0].body for part in parts]
    joined = [joiner.add(body) for body in bodies]  # type: ignore[arg-type]
    assert joined[:-1] == [None] * (len(parts) - 1)
    assert joined[-1] == data


def test_joiner_keeps_a_bounded_number_of_pieces() -> None:
    joiner = fragments.Joiner()
    for number in range(1000):
        assert joiner.add(Fragment(fragment_id=number, number=1, data=bytes(1000))) is None
    assert len(joiner._sets) == fragments.MAX_SETS
    for number in range(1, 60):
        assert joiner.add(Fragment(fragment_id=5, number=number, data=bytes(1000))) is None
    assert len(joiner._sets) <= fragments.MAX_SETS
