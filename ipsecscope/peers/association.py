"""What an IKE SA of either version and its Child SAs have in common as one of their ends keeps them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from ipsecscope.decrypt.keymat import ChildKeys, ChildSuite
from ipsecscope.peers.config import EndConfig, Identity, Mode
from ipsecscope.peers.entropy import Entropy, Instant
from ipsecscope.peers.events import PeerEvent, Role
from ipsecscope.peers.peer import Machine, Mailbox, Path


class AssociationOwner(Protocol):
    """What every association asks of the peer it belongs to."""

    config: Any
    entropy: Entropy
    mailbox: Mailbox

    def schedule(self, sa: Any, when: Instant) -> None:
        """Wake the SA then."""
        ...


_Owner = TypeVar("_Owner", bound=AssociationOwner)
_Config = TypeVar("_Config", bound=EndConfig)
_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=PeerEvent)


class Association(ABC, Generic[_Owner, _Config, _State]):
    """One end of an IKE SA: its role, its path, its timers, its voice."""

    def __init__(self, owner: _Owner, machine: Machine[_State], role: Role, path: Path) -> None:
        self.owner = owner
        self.config: _Config = owner.config
        self.machine = machine
        self.role = role
        self.path = path
        self.timers: dict[str, Instant] = {}
        self.remote_id: Identity | None = None
        self.local_behind_nat = False
        self.remote_behind_nat = False
        self.virtual_ip = ""  # client: ours; gateway: the one we handed out
        self.last_heard: Instant = 0

    @property
    def is_initiator(self) -> bool:
        """Whether we are the original initiator."""
        return self.role == "initiator"

    @property
    def other(self) -> Role:
        """The role of the other side."""
        return "responder" if self.is_initiator else "initiator"

    @property
    @abstractmethod
    def group_id(self) -> str:
        """How events call this SA."""

    @property
    def state(self) -> _State:
        """Where it stands."""
        return self.machine.state

    @property
    def has_nat(self) -> bool:
        """Whether there is a NAT on the way."""
        return self.local_behind_nat or self.remote_behind_nat

    def say(self, kind: type[_Event], now: Instant, **facts: Any) -> None:
        """Emit an event of this SA."""
        self.owner.mailbox.emit(kind(time_ns=now, group_id=self.group_id, vantage=self.role, **facts))

    def count(self, what: str) -> None:
        """Count something that was dropped or refused."""
        self.owner.mailbox.counts[what] += 1

    def set_timer(self, name: str, when: Instant) -> None:
        """(Re)start a timer."""
        self.timers[name] = when
        self.owner.schedule(self, when)

    def clear_timer(self, name: str) -> None:
        """Stop a timer, if it runs."""
        self.timers.pop(name, None)


@dataclass(slots=True, eq=False)
class ChildAssociation:
    """A pair of SAs, one in each direction. ``is_initiator`` is about the exchange that made it."""

    spi_in: bytes
    spi_out: bytes
    suite: ChildSuite
    keys: ChildKeys
    is_initiator: bool
    mode: Mode

    @property
    def spi_i(self) -> bytes:
        """The SPI that the initiator of its exchange chose."""
        return self.spi_in if self.is_initiator else self.spi_out

    @property
    def spi_r(self) -> bytes:
        """The SPI that the responder of its exchange chose."""
        return self.spi_out if self.is_initiator else self.spi_in
