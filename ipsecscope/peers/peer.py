"""How a peer is driven, and how its state machine runs.

A peer does no input or output: it is given datagrams and the time, and asked what to send and when to wake it. Nothing
that arrives makes it raise: what the other side does wrong becomes an event or a count; only its owner's own mistakes
are exceptions.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import PeerEvent

MAX_EVENTS = 10_000  # events that wait for their owner; later ones are counted and dropped
MAX_STEPS = 16  # transitions that one input may set off, one behind the other
MAX_STORIES = 4096  # datagrams whose story is remembered for the tap


class Path(msgspec.Struct, frozen=True):
    """Where a datagram travels: our end and the other end."""

    local: Endpoint
    remote: Endpoint

    @property
    def reversed(self) -> Path:
        """The same path seen from the other end."""
        return Path(self.remote, self.local)


class Peer(Protocol):
    """The five verbs that drive a peer."""

    def receive_datagram(self, data: bytes, path: Path, now: Instant) -> None:
        """Take the payload of a UDP datagram; never raises."""
        ...

    def datagrams_to_send(self, now: Instant) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that are waiting, each once."""
        ...

    def get_timer(self) -> Instant | None:
        """When ``handle_timer`` wants to be called; None while nothing is pending."""
        ...

    def handle_timer(self, now: Instant) -> None:
        """Do what is due."""
        ...

    def next_event(self) -> PeerEvent | None:
        """The oldest event that was not fetched yet."""
        ...


class Mailbox:
    """What every peer keeps for its owner: datagrams, events, counts, and the story of each datagram."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._outgoing: deque[tuple[bytes, Path]] = deque()
        self._events: deque[PeerEvent] = deque()
        self._stories: dict[bytes, str] = {}

    def post(self, data: bytes, path: Path, story: str = "") -> None:
        """Queue a datagram; ``story`` says in RFC notation what it is."""
        self._outgoing.append((data, path))
        if story:
            if len(self._stories) >= MAX_STORIES:
                self._stories.clear()
            self._stories[data] = story

    def emit(self, event: PeerEvent) -> None:
        """Queue an event."""
        if len(self._events) >= MAX_EVENTS:
            self.counts["events dropped"] += 1
            return
        self._events.append(event)

    def outgoing(self) -> Iterator[tuple[bytes, Path]]:
        """The datagrams that are waiting, each once."""
        while self._outgoing:
            yield self._outgoing.popleft()

    def next_event(self) -> PeerEvent | None:
        """The oldest event that was not fetched yet."""
        return self._events.popleft() if self._events else None

    def story_of(self, data: bytes) -> str:
        """What a datagram that this peer sent lately is; empty for any other."""
        return self._stories.get(data, "")


# -- state machines ----------------------------------------------------------------------------------------------

S = TypeVar("S", bound=Enum)


class Input(msgspec.Struct, frozen=True):
    """Something that may happen to a state machine."""

    what: str

    def __str__(self) -> str:
        return f"{type(self).__name__}({self.what})"


class Local(Input, frozen=True):
    """The owner of the peer, or its clock, wants something."""


class Request(Input, frozen=True):
    """The other side asks: the name of the exchange."""


class Reply(Input, frozen=True):
    """The other side answered: the answer in RFC notation."""


class Found(Input, frozen=True):
    """What an action found out; it is taken at once, as the next input."""


class Go(msgspec.Struct, frozen=True):
    """One transition. ``to`` None stays in the state; ``story`` tells a reader why this happens."""

    to: Any
    action: Callable[..., Input | None]
    story: str


class TableError(Exception):
    """A table that is not total, or an action that never settles: a mistake of the program."""


class Table(Generic[S]):
    """A state machine as data, total over every state and input.

    ``rows`` are the transitions worth telling; ``otherwise`` says for each input what happens in all other states.
    """

    def __init__(
        self, states: type[S], rows: Mapping[S, Mapping[Input, Go]], otherwise: Mapping[Input, Go], *, start: S
    ) -> None:
        self.states = states
        self.start = start
        self.rows = rows
        self.otherwise = otherwise
        unknown = [str(key) for row in rows.values() for key in row if key not in otherwise]
        if unknown:
            raise TableError(f"inputs without a rule for the other states: {', '.join(unknown)}")

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Every input."""
        return tuple(self.otherwise)

    def row(self, state: S, given: Input) -> Go:
        """The transition for a state and an input. Raises TableError for an input that the table does not know."""
        found = self.rows.get(state, {}).get(given) or self.otherwise.get(given)
        if found is None:
            raise TableError(f"{given} is no input of this machine")
        return found

    def transitions(self) -> Iterator[tuple[S, Input, Go]]:
        """Every (state, input) pair with its transition."""
        for state in self.states:
            for given in self.inputs:
                yield state, given, self.row(state, given)

    def diagram(self) -> str:
        """The told transitions as a Mermaid state diagram, for the documentation; a label holds no colon."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.start.name}"]
        for state, row in self.rows.items():
            for given, go in row.items():
                target = state if go.to is None else go.to
                label = f"{given} / {go.story}".replace(":", ",").replace(";", ",")
                lines.append(f"    {state.name} --> {target.name}: {label}")
        return "\n".join(lines) + "\n"


class Machine(Generic[S]):
    """One state machine while it runs."""

    def __init__(self, table: Table[S]) -> None:
        self.table = table
        self.state: S = table.start
        self.story = ""

    def take(self, given: Input, *arguments: Any) -> None:
        """Make the transition for an input; what its action finds is taken as the next input.

        The state changes before the action runs, so that whatever the action sets off meets the new state.
        """
        following: Input | None = given
        for _ in range(MAX_STEPS):
            if following is None:
                return
            go = self.table.row(self.state, following)
            self.state = self.state if go.to is None else go.to
            self.story = go.story
            following = go.action(*arguments)
        raise TableError(f"{given} does not settle")


def ignore(*_: Any) -> None:
    """The action of a transition that does nothing."""
