"""What an ISAKMP SA is made of: where it stands, its exchanges, its phase 2 SAs, what phase 1 keeps."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from ipsecscope.decrypt.groups import KeyPair
from ipsecscope.dissect.header import Header
from ipsecscope.dissect.ikev1 import SecurityAssociation
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol
from ipsecscope.dissect.registry.ipsec_doi import ProtocolId
from ipsecscope.dissect.registry.isakmp import ExchangeType
from ipsecscope.peers.association import ChildAssociation
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev1.config import ChildRequest
from ipsecscope.peers.peer import Machine


class PhaseOne(Enum):
    """Where an ISAKMP SA stands."""

    IDLE = "nothing was sent or received"
    SA_SENT = "initiator: message 1 of main mode is on its way"
    KE_SENT = "initiator: message 3 of main mode is on its way"
    ID_SENT = "initiator: message 5 of main mode is on its way"
    AGGRESSIVE_SENT = "initiator: message 1 of aggressive mode is on its way"
    SA_ANSWERED = "responder: message 2 of main mode was sent"
    KE_ANSWERED = "responder: message 4 of main mode was sent"
    AGGRESSIVE_ANSWERED = "responder: message 2 of aggressive mode was sent"
    XAUTH = "phase 1 is authenticated, the user is not"
    CONFIGURING = "the client waits for its address"
    ESTABLISHED = "ready for phase 2"
    CLOSED = "gone"


class QuickMode(Enum):
    """Where a quick mode stands."""

    IDLE = "nothing was sent or received"
    OFFERED = "initiator: message 1 is on its way"
    UNCONFIRMED = "initiator: message 3 was sent, the responder's commit bit asks to wait for CONNECTED"
    ANSWERED = "responder: message 2 is on its way"
    INSTALLED = "its SAs are in use"
    FAILED = "refused, or without an answer"


class Transaction(Enum):
    """Where a transaction of XAUTH or mode configuration stands."""

    IDLE = "nothing was sent or received"
    ASKED = "our REQUEST or SET is on its way"
    DONE = "answered"


class Purpose(Enum):
    """What a transaction of ours is for."""

    CREDENTIALS = "ask for user and password"
    STATUS = "tell the outcome"
    PULL = "ask for an address"
    PUSH = "hand out an address"


@dataclass(slots=True, eq=False)
class Talk:
    """One exchange: the messages that share a message id. ``matter`` is what its exchange module keeps for it."""

    message_id: int
    exchange_type: ExchangeType
    by_us: bool
    machine: Machine[Any] | None = None
    matter: Any = None
    header: Header | None = None
    sent: tuple[bytes, ...] = ()
    story: str = ""
    received: bytes = b""  # the digest of the message that came last
    answers: bytes = b""  # the digest of the message that ``sent`` answers
    repeats: int = 0
    tries: int = 0
    interval: Instant = 0

    @property
    def timer(self) -> str:
        """The name of its retransmission timer."""
        return f"retransmit {self.message_id:08x}"


@dataclass(slots=True, eq=False)
class ChildSa(ChildAssociation):
    """A pair of SAs of one protocol that a quick mode made. ``initiator`` is the initiator of that quick mode."""

    protocol: ProtocolId
    tsi: str
    tsr: str
    request: ChildRequest
    message_id: int

    @property
    def security_protocol(self) -> SecurityProtocol:
        """Its protocol in the words of IKEv2, as events have it."""
        return SecurityProtocol.AH if self.protocol == ProtocolId.PROTO_IPSEC_AH else SecurityProtocol.ESP

    @property
    def traffic(self) -> tuple[ProtocolId, bool, str, str]:
        """What it protects, the same from one rekeying to the next."""
        pair = (self.tsi, self.tsr) if self.is_initiator else (self.tsr, self.tsi)
        return self.protocol, True, *pair


@dataclass(slots=True)
class Handshake:
    """What phase 1 needs until it is done. Octets of bodies are kept as they were on the wire, for the HASHes."""

    offered: SecurityAssociation | None = None
    sa_i: bytes = b""
    pair: KeyPair | None = None
    g_xi: bytes = b""
    g_xr: bytes = b""
    ni: bytes = b""
    nr: bytes = b""
    id_i: bytes = b""
    id_r: bytes = b""
    nat_hashes: tuple[bytes, ...] = ()
