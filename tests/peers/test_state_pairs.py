"""Every (state, input) pair of every state machine of both versions, driven by hypothesis: nothing raises.

Local inputs come without a message; the others with payloads that get past the grammar of their exchange and hold
anything, as an authentic but malicious peer may send them. States of IKEv1 are those of a real conversation; what an
action finds out (``Found``) is given where everything is known that it can have found.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Protocol

import ikev1_pair
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from test_ikev1_hostile import fresh
from test_peers_ikev2_hostile import CHAINS, ESP, SELECTORS, forced, payloads_of

from ipsecscope.dissect import ikev1
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev1.configuration import ConfigLong
from ipsecscope.dissect.ikev2 import (
    Authentication,
    Eap,
    KeyExchange,
    Nonce,
    TrafficSelectorsInitiator,
    TrafficSelectorsResponder,
)
from ipsecscope.dissect.message import Message, parse_message
from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.eap import EapCode
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, ExchangeType, KeyExchangeMethod, NotifyType
from ipsecscope.dissect.registry.ipsec_doi import EncapsulationMode, IdType, ProtocolId
from ipsecscope.peers.entropy import MILLISECOND
from ipsecscope.peers.ikev1 import messages as messages_v1
from ipsecscope.peers.ikev1 import transitions as v1
from ipsecscope.peers.ikev1.config import DEFAULT_PHASE_1, DEFAULT_PHASE_2
from ipsecscope.peers.ikev1.installing import Negotiation
from ipsecscope.peers.ikev1.negotiation import offer_phase_1, offer_phase_2
from ipsecscope.peers.ikev1.quick import requests_of
from ipsecscope.peers.ikev1.sa import IsakmpSa
from ipsecscope.peers.ikev1.states import PhaseOne, QuickMode, Talk, Transaction
from ipsecscope.peers.ikev1.transactions import Matter
from ipsecscope.peers.ikev2 import transitions as v2
from ipsecscope.peers.ikev2.create_child import NewChild
from ipsecscope.peers.ikev2.messages import Received, header_of, note
from ipsecscope.peers.ikev2.negotiation import offer
from ipsecscope.peers.ikev2.sa import ChildState, State
from ipsecscope.peers.peer import Found, Input, Local, Machine, Table

QUIET = settings(deadline=None, suppress_health_check=list(HealthCheck))
USUAL: list[Body] = [
    offer((ESP,), bytes(4)),
    KeyExchange(method=KeyExchangeMethod.CURVE25519, data=bytes(31) + b"\t"),
    Nonce(data=bytes(32)),
    note(NotifyType.COOKIE, b"x"),
    note(NotifyType.ADDITIONAL_KEY_EXCHANGE, b"x"),
    Eap(code=EapCode.REQUEST, identifier=1, data=b"\1"),
    Authentication(method=AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE, data=bytes(32)),
    TrafficSelectorsInitiator(selectors=SELECTORS[:1]),
    TrafficSelectorsResponder(selectors=SELECTORS[:1]),
]


class Bench(Protocol):
    """A machine in a state, ready to be given an input. ``bodies`` is what hypothesis found for the message."""

    machine: Machine[Any]

    def give(self, given_input: Input, bodies: Any) -> None: ...


Make = Callable[[Any, bool], Bench]  # of the state, and whether everything is known


def drive(table: Table[Any], make: Make, chains: st.SearchStrategy[Any], usual: Any, examples: int) -> str:
    """Give every input in every state, and say how many pairs that were."""
    driven: set[tuple[Enum, Input]] = set()

    @settings(QUIET, max_examples=examples)
    @given(chains)
    @example(usual)
    def every_pair(bodies: Any) -> None:
        for state in table.states:
            for is_known in (False, True):
                bench = make(state, is_known)
                for given_input in table.inputs:
                    if isinstance(given_input, Found) is not is_known:
                        continue
                    if bench.machine.state is not state:
                        bench = make(state, is_known)
                    assert bench.machine.state is state
                    bench.give(given_input, bodies)
                    assert bench.machine.state in table.states
                    driven.add((state, given_input))

    every_pair()
    total = {(state, given_input) for state, given_input, _ in table.transitions()}
    assert driven == total
    return f"{len(driven)} of {len(total)} pairs"


# -- IKEv2 -----------------------------------------------------------------------------------------------------------


class IkeBench:
    def __init__(self, state: State, is_known: bool) -> None:
        del is_known  # it is: the state is set behind a whole handshake
        self.pair, self.sa = forced(state)
        self.machine = self.sa.machine

    def give(self, given_input: Input, bodies: list[Body]) -> None:
        sa = self.sa
        header = header_of(
            ExchangeType.INFORMATIONAL,
            5,
            spi_i=sa.spi_i,
            spi_r=sa.spi_r,
            original_initiator=not sa.is_initiator,
            is_response=False,
        )
        received = Received(header=header, payloads=payloads_of(bodies), data=b"", path=sa.path, is_protected=True)
        sa.take(given_input, received, self.pair.now)


class ChildBench:
    """Inputs of a Child SA bring what the exchange that gives them brings."""

    def __init__(self, state: ChildState, is_known: bool) -> None:
        del is_known
        self.pair, self.sa = forced(State.ESTABLISHED)
        (self.child,) = self.sa.children
        self.machine = self.child.machine
        self.machine.state = state

    def give(self, given_input: Input, bodies: list[Body]) -> None:
        sa = self.sa
        received = Received(
            header=header_of(
                ExchangeType.CREATE_CHILD_SA,
                5,
                spi_i=sa.spi_i,
                spi_r=sa.spi_r,
                original_initiator=not sa.is_initiator,
                is_response=False,
            ),
            payloads=payloads_of(bodies),
            data=b"",
            path=sa.path,
            is_protected=True,
        )
        asked = given_input == v2.create_child.REKEY_ASKED
        deleted = given_input in (v2.informational.CHILD_DELETE_ASKED, v2.informational.CHILD_DELETE_SENT)
        matter = (self.child, received) if asked else self.child if deleted else NewChild(self.child)
        self.machine.take(given_input, sa, matter, self.pair.now)


def test_every_pair_of_the_ike_sa_of_ikev2() -> None:
    print(f"IKEv2, IKE SA: {drive(v2.IKE_SA_TABLE, IkeBench, CHAINS, USUAL, 4)}")


def test_every_pair_of_the_child_sa_of_ikev2() -> None:
    print(f"IKEv2, Child SA: {drive(v2.CHILD_SA_TABLE, ChildBench, CHAINS, USUAL, 20)}")


# -- IKEv1 -----------------------------------------------------------------------------------------------------------

SHORT = st.binary(max_size=64)
OFFERED = [
    offer_phase_1(DEFAULT_PHASE_1, isakmp.AuthenticationMethod.PRE_SHARED_KEY),
    offer_phase_2(DEFAULT_PHASE_2, {ProtocolId.PROTO_IPSEC_ESP: bytes(4)}, EncapsulationMode.TUNNEL),
    ikev1.SecurityAssociation(proposals=()),
]
ATTRIBUTES = st.lists(
    st.builds(
        lambda kind, value: ConfigLong(attribute_type=kind, value=value),
        st.sampled_from(isakmp.ConfigAttributeType),
        SHORT,
    ),
    max_size=4,
).map(tuple)


class Content(dict[str, Any]):
    """What hypothesis found for the payloads of one message of IKEv1."""


CONTENTS = st.fixed_dictionaries(
    {
        "offered": st.sampled_from(OFFERED),
        "public": st.one_of(st.binary(min_size=32, max_size=32), SHORT),
        "nonce": st.one_of(st.binary(min_size=8, max_size=64), SHORT),
        "id_type": st.sampled_from(IdType),
        "id": SHORT,
        "proof": SHORT,
        "notify": st.sampled_from(isakmp.NotifyType),
        "spi": st.sampled_from([b"", bytes(4), bytes(16)]),
        "data": SHORT,
        "identifier": st.integers(0, 65535),
        "attributes": ATTRIBUTES,
        "is_signed": st.booleans(),
    }
).map(Content)
PLAIN = Content(
    offered=OFFERED[0],
    public=bytes(31) + b"\t",
    nonce=bytes(16),
    id_type=IdType.ID_FQDN,
    id=b"x",
    proof=bytes(32),
    notify=isakmp.NotifyType.NO_PROPOSAL_CHOSEN,
    spi=b"",
    data=b"",
    identifier=1,
    attributes=(),
    is_signed=False,
)


def bodies_of(given_input: Input, found: Content) -> list[Body]:
    """The payloads that the notation of an input names, filled with what was found."""
    proof = ikev1.Signature(data=found["proof"]) if found["is_signed"] else ikev1.Hash(data=found["proof"])
    error = ikev1.Notification(
        protocol_id=ProtocolId.PROTO_ISAKMP, notify_type=found["notify"], spi=found["spi"], data=found["data"]
    )
    connected = ikev1.Notification(
        protocol_id=ProtocolId.PROTO_IPSEC_ESP, notify_type=isakmp.NotifyType.CONNECTED, spi=found["spi"]
    )
    named: dict[str, Body] = {
        "SA": found["offered"],
        "KE": ikev1.KeyExchange(data=found["public"]),
        "NONCE": ikev1.Nonce(data=found["nonce"]),
        "ID": ikev1.Identification(id_type=found["id_type"], data=found["id"]),
        "HASH": ikev1.Hash(data=found["proof"]),
        "HASH or SIG": proof,
        "N(error)": error,
        "N(CONNECTED)": connected,
        "D(ISAKMP)": messages_v1.delete_isakmp((bytes(8), bytes(8))),
        "unreadable": ikev1.Hash(data=b""),
    }
    for kind in isakmp.ConfigType:
        named[f"ATTR({kind})"] = ikev1.Attributes(
            config_type=kind, identifier=found["identifier"], attributes=found["attributes"]
        )
    _, _, notation = given_input.what.partition(": ")
    return [named[name] for name in notation.split(", ")[1:] if name in named]


def received_v1(sa: IsakmpSa, talk: Talk, given_input: Input, found: Content) -> messages_v1.Received | None:
    """The message that goes with an input; None for what is no message."""
    if isinstance(given_input, Local | Found):
        return None
    header = messages_v1.header_of(talk.exchange_type, talk.message_id, sa.cookies)
    data = Message(header=header, payloads=messages_v1.payloads_of(bodies_of(given_input, found))).build()
    message = parse_message(data)
    assert message.header is not None
    return messages_v1.Received(header=message.header, payloads=message.payloads, plaintext=data, path=sa.path)


PLACES: dict[PhaseOne, tuple[int, str]] = {
    PhaseOne.SA_SENT: (0, "initiator"),
    PhaseOne.KE_SENT: (0, "initiator"),
    PhaseOne.ID_SENT: (0, "initiator"),
    PhaseOne.SA_ANSWERED: (0, "responder"),
    PhaseOne.KE_ANSWERED: (0, "responder"),
    PhaseOne.ESTABLISHED: (0, "responder"),
    PhaseOne.AGGRESSIVE_SENT: (1, "initiator"),
    PhaseOne.AGGRESSIVE_ANSWERED: (1, "responder"),
    PhaseOne.XAUTH: (2, "responder"),
    PhaseOne.CONFIGURING: (2, "initiator"),
}  # which conversation, and which side, comes to the state


def until(which: int, role: str, reached: Callable[[IsakmpSa], bool]) -> tuple[ikev1_pair.Pair, IsakmpSa]:
    """A conversation, flight by flight, until one side is where it should be."""
    pair = fresh(which)
    pair.initiator.connect(pair.now)
    for _ in range(60):
        peer = pair.initiator if role == "initiator" else pair.responder
        found = next((sa for sa in peer.sas if reached(sa)), None)
        if found is not None:
            return pair, found
        pair.run(seconds=0)
        pair.now += 15 * MILLISECOND
    raise AssertionError("the conversation never comes there")


class PhaseOneBench:
    def __init__(self, state: PhaseOne, is_known: bool) -> None:
        if is_known:
            _, role = PLACES.get(state, (0, "responder"))
            self.pair, self.sa = until(0, role, lambda sa: sa.state is PhaseOne.ESTABLISHED)
            self.sa.machine.state = state
        elif state in (PhaseOne.IDLE, PhaseOne.CLOSED):
            self.pair, self.sa = until(0, "responder", lambda sa: sa.state is PhaseOne.SA_ANSWERED)
            if state is PhaseOne.CLOSED:
                self.sa.take(v1.HALF_OPEN, None, self.pair.now)
            else:
                self.sa.machine.state = PhaseOne.IDLE  # nothing was kept of the request yet
        else:
            self.pair, self.sa = until(*PLACES[state], lambda sa: sa.state is state)
        self.machine = self.sa.machine

    def give(self, given_input: Input, found: Content) -> None:
        received = received_v1(self.sa, self.sa.phase_1, given_input, found)
        self.sa.take(given_input, received, self.pair.now)


class TalkBench:
    """An exchange of phase 2 in a state of its own."""

    pair: ikev1_pair.Pair
    sa: IsakmpSa
    talk: Talk

    @property
    def machine(self) -> Machine[Any]:
        assert self.talk.machine is not None
        return self.talk.machine

    def give(self, given_input: Input, found: Content) -> None:
        received = received_v1(self.sa, self.talk, given_input, found)
        self.machine.take(given_input, self.sa, self.talk, received, self.pair.now)

    def find(self, which: int, role: str, exchange: isakmp.ExchangeType, state: Enum) -> None:
        def talks(sa: IsakmpSa) -> list[Talk]:
            alive = [talk for talk in sa.talks.values() if talk.machine is not None]
            return [talk for talk in alive if talk.exchange_type == exchange and talk.machine.state is state]  # type: ignore[union-attr]

        self.pair, self.sa = until(which, role, lambda sa: bool(talks(sa)))
        (self.talk, *_) = talks(self.sa)


@cache
def quick_places() -> dict[QuickMode, tuple[int, str]]:
    """UNCONFIRMED needs the commit bit, which the gateway of the third conversation sets."""
    return {
        QuickMode.OFFERED: (0, "initiator"),
        QuickMode.UNCONFIRMED: (2, "initiator"),
        QuickMode.ANSWERED: (0, "responder"),
        QuickMode.INSTALLED: (0, "initiator"),
    }


class QuickBench(TalkBench):
    def __init__(self, state: QuickMode, is_known: bool) -> None:
        kind = isakmp.ExchangeType.QUICK_MODE
        if is_known:
            self.find(0, "initiator", kind, QuickMode.INSTALLED)
            self.machine.state = state
        elif state in (QuickMode.IDLE, QuickMode.FAILED):
            self.pair, self.sa = until(0, "responder", lambda sa: sa.state is PhaseOne.ESTABLISHED)
            request = requests_of(self.sa)[0]
            self.talk = self.sa.begin(kind, Machine(v1.QUICK_MODE), Negotiation(request=request))
            if state is QuickMode.FAILED:
                self.give(v1.OFFER, PLAIN)
                self.give(v1.NO_ANSWER, PLAIN)
        else:
            self.find(*quick_places()[state], kind, state)


class TransactionBench(TalkBench):
    def __init__(self, state: Transaction, is_known: bool) -> None:
        del is_known  # nothing is found out in a transaction
        kind = isakmp.ExchangeType.TRANSACTION
        if state is Transaction.IDLE:
            self.pair, self.sa = until(2, "responder", lambda sa: sa.state is PhaseOne.ESTABLISHED)
            self.talk = self.sa.begin(kind, Machine(v1.TRANSACTION), Matter())
        else:
            self.find(2, "responder", kind, state)


@pytest.mark.parametrize(
    ("name", "table", "make"),
    [
        pytest.param("phase 1", v1.PHASE_ONE, PhaseOneBench, id="phase-1"),
        pytest.param("quick mode", v1.QUICK_MODE, QuickBench, id="quick-mode"),
        pytest.param("transaction", v1.TRANSACTION, TransactionBench, id="transaction"),
    ],
)
def test_every_pair_of_ikev1(name: str, table: Table[Any], make: Make) -> None:
    print(f"IKEv1, {name}: {drive(table, make, CONTENTS, PLAIN, 20)}")
