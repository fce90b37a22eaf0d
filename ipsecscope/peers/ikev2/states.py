"""What an IKE SA consists of while it lives: its states, its Child SAs, its handshake, the request on its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import msgspec

from ipsecscope.decrypt.groups import KeyPair
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.body import Body
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev2 import SecurityAssociation
from ipsecscope.dissect.registry.ikev2 import (
    ExchangeType,
    KeyExchangeMethod,
    SecurityProtocol,
)
from ipsecscope.peers.association import ChildAssociation
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2.messages import Received
from ipsecscope.peers.peer import Input, Machine
from ipsecscope.peers.selectors import RangeSelector

if TYPE_CHECKING:
    from ipsecscope.peers.ikev2.sa import IkeSa


class State(Enum):
    """Where an IKE SA stands."""

    IDLE = "nothing was sent or received"
    INIT_SENT = "initiator: IKE_SA_INIT is on its way"
    INTERMEDIATE_SENT = "initiator: IKE_INTERMEDIATE is on its way"
    AUTH_SENT = "initiator: IKE_AUTH with AUTH is on its way"
    EAP_SENT = "initiator: IKE_AUTH with EAP is on its way"
    INIT_ANSWERED = "responder: IKE_SA_INIT is answered"
    EAP_ASKED = "responder: waits for an EAP message"
    EAP_DONE = "responder: EAP succeeded, waits for AUTH"
    ESTABLISHED = "both sides are authenticated"
    REKEYED = "another IKE SA took over"
    DELETING = "our Delete is on its way"
    CLOSED = "gone"


class ChildState(Enum):
    """Where a Child SA stands."""

    INSTALLED = "in use"
    REKEYING = "our request to rekey it is on its way"
    REKEYED = "another Child SA took over"
    DELETING = "our Delete is on its way"
    GONE = "deleted"


@dataclass(slots=True, eq=False)
class ChildSa(ChildAssociation):
    """A Child SA: one SA in each direction. ``initiator`` is the initiator of the exchange that made it."""

    protocol: SecurityProtocol
    tsi: tuple[RangeSelector, ...]
    tsr: tuple[RangeSelector, ...]
    esn: bool
    method: KeyExchangeMethod | None
    machine: Machine[ChildState]
    virtual_ip: str = ""

    @property
    def is_alive(self) -> bool:
        """Whether it still carries traffic of its own."""
        return self.machine.state in (ChildState.INSTALLED, ChildState.REKEYING)


class Task(Protocol):
    """An exchange that we begin once the IKE SA is established."""

    exchange_type: ClassVar[ExchangeType]
    is_exclusive: ClassVar[bool]  # whether nothing else may be on its way beside it
    title: str

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The payloads of the request; None when there is nothing to ask for any more."""
        ...

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """Act on the response."""
        ...

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Forget the exchange: its IKE SA is going."""
        ...


class Exchanged(msgspec.Struct, frozen=True):
    """What one key exchange gave."""

    method: KeyExchangeMethod
    secret: Secret


@dataclass(slots=True)
class Unfinished:
    """An SA that the other side asked for and that needs more key exchanges (RFC 9370 section 2.2.4)."""

    methods: deque[KeyExchangeMethod]
    secrets: tuple[Exchanged, ...]
    complete: Callable[[IkeSa, tuple[Exchanged, ...], Instant], Input | None]


@dataclass(slots=True)
class Outstanding:
    """Our request that waits for its response (RFC 7296 section 2.1)."""

    header: Header
    datagrams: tuple[bytes, ...]
    story: str
    interval: Instant
    task: Task | None = None
    tries: int = 0


@dataclass(slots=True)
class Handshake:
    """What is needed until the IKE SA is established, and its nonces."""

    ni: bytes = b""
    nr: bytes = b""
    request: bytes = b""  # IKE_SA_INIT as it was sent, for AUTH
    response: bytes = b""
    offered: SecurityAssociation | None = None
    pair: KeyPair | None = None
    method: KeyExchangeMethod = KeyExchangeMethod.NONE
    cookie: bytes = b""
    redirected_from: str = ""  # the gateway that sent us here
    retries: int = 0
    rounds: deque[KeyExchangeMethod] = field(default_factory=deque)
    sequence: int = 0
    int_auth_i: bytes = b""
    int_auth_r: bytes = b""
    intermediates: int = 0
    id_i: bytes = b""  # bodies of the ID payloads, for AUTH
    id_r: bytes = b""
    child: Any = None  # the first Child SA while it is negotiated
    eap: Any = None
    first_auth: Received | None = None  # responder with EAP: the request that carried SA, TSi and TSr
    uses_ppk: bool = False
