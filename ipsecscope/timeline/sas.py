"""The values of a timeline: messages, exchanges, IKE SAs, Child SAs. Frozen; the Correlator makes them.

IKEv1's phase 1 SA is an ``IkeSa`` with version 1, its phase 2 SAs are ``ChildSa`` values: same shapes, own names.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ipsecscope.capture.datagrams import Datagram
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.message import Message
from ipsecscope.dissect.notes import Note

Role = Literal["initiator", "responder"]
Outcome = Literal["completed", "refused", "unanswered", "retried", "unknown"]
State = Literal["half-open", "established", "failed", "rekeyed", "closed", "unknown"]
Basis = Literal["observed", "decrypted", "inferred"]


def other(role: Role) -> Role:
    """The role at the other end."""
    return "responder" if role == "initiator" else "initiator"


class Opening(msgspec.Struct, frozen=True):
    """What came of opening an encrypted message: payloads and where they stand, or the reason why not.

    ``data`` are the plaintext octets that the payload offsets refer to; None when it was refused.
    """

    payloads: tuple[Payload, ...] = ()
    data: bytes | None = None
    reason: str = ""
    notes: tuple[Note, ...] = ()
    first: int = 0
    frames: tuple[int, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the integrity check passed and the plaintext was read."""
        return self.data is not None


class MessageRecord(msgspec.Struct, frozen=True):
    """One IKE datagram in its conversation.

    ``sender`` is the role in the IKE SA (the original initiator, not the exchange's). ``fragment`` is
    ``(number, total)`` for RFC 7383 and vendor fragments. ``assembled`` is the whole IKEv1 message on the record that
    completed a set of vendor fragments.
    """

    number: int
    datagram: Datagram
    message: Message
    sender: Role
    fragment: tuple[int, int] | None = None
    encrypted: bool = False
    assembled: Message | None = None
    opening: Opening | None = None

    @property
    def time_ns(self) -> int:
        """When the datagram was captured."""
        return self.datagram.time_ns

    @property
    def frame(self) -> int:
        """The capture record that completed it."""
        return self.datagram.frame

    @property
    def is_encrypted(self) -> bool:
        """Whether it is an encrypted message, or the last vendor fragment of one."""
        whole = self.assembled is not None and bool(self.assembled.ciphertext)
        return self.encrypted or whole or self.opening is not None

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """Everything readable: the payloads in the clear, then those that were opened."""
        message = self.assembled or self.message
        inner = self.opening.payloads if self.opening is not None else ()
        return (*message.payloads, *inner)


class Exchange(msgspec.Struct, frozen=True):
    """A request and its response (IKEv2), or the messages that share a message id (IKEv1).

    ``request`` are the datagrams of whoever began the exchange, ``response`` those of the other side, first
    transmissions only; ``repeats`` are bit-identical copies of them, ``copies`` the same messages in the clear, as a
    gateway's own capture has them (``copies.py``).
    """

    type: CodePoint
    message_id: int
    initiated_by: Role
    request: tuple[MessageRecord, ...] = ()
    response: tuple[MessageRecord, ...] = ()
    repeats: tuple[MessageRecord, ...] = ()
    copies: tuple[MessageRecord, ...] = ()
    retransmissions: int = 0
    outcome: Outcome = "unknown"
    basis: Basis = "observed"

    @property
    def records(self) -> tuple[MessageRecord, ...]:
        """All first transmissions in capture order."""
        return tuple(sorted((*self.request, *self.response), key=lambda record: record.number))

    @property
    def start_ns(self) -> int:
        """When the first datagram of the exchange was captured."""
        return min(record.time_ns for record in (*self.request, *self.response, *self.repeats))

    @property
    def stop_ns(self) -> int:
        """When the last first transmission was captured."""
        return max(record.time_ns for record in (*self.request, *self.response) or self.repeats)


class Endpoint(msgspec.Struct, frozen=True):
    """One end of an IKE SA: the address first seen, all addresses seen, and what it said of itself."""

    address: str
    port: int
    addresses: tuple[tuple[str, int], ...] = ()
    id: tuple[str, str] | None = None
    vendors: tuple[str, ...] = ()
    vendor_ids: tuple[str, ...] = ()


class Suite(msgspec.Struct, frozen=True):
    """Negotiated algorithms by IANA's IKEv2 identifiers; unknown is None."""

    encr: str | None = None
    key_length: int | None = None
    prf: str | None = None
    integ: str | None = None
    ke: tuple[str, ...] = ()
    hash: str | None = None  # IKEv1
    auth: str | None = None  # IKEv1
    lifetime_s: int | None = None  # IKEv1
    lifetime_kb: int | None = None  # IKEv1
    esn: bool | None = None  # Child SAs


class ChildSa(msgspec.Struct, frozen=True):
    """A pair of ESP or AH SAs. ``spi_i`` was chosen by the IKE SA's initiator: its inbound packets carry it."""

    id: str
    protocol: str
    spi_i: int | None
    spi_r: int | None
    state: State = "established"
    basis: Basis = "observed"
    mode: str | None = None
    suite: Suite | None = None
    tsi: tuple[str, ...] | None = None
    tsr: tuple[str, ...] | None = None
    rekeys: str | None = None
    flows: tuple[str, ...] = ()
    created_ns: int | None = None
    deleted_ns: int | None = None
    ipcomp: bool = False


class Nat(msgspec.Struct, frozen=True):
    """Who is behind a NAT, computed from the NAT detection hashes; None is unknown."""

    initiator: bool | None = None
    responder: bool | None = None
    forced: bool | None = None
    unexplained: tuple[Role, ...] = ()  # sides whose hash fits neither the address seen nor a known trick


class IkeSa(msgspec.Struct, frozen=True):
    """One IKE SA from its first to its last datagram in the capture."""

    id: str
    version: int
    spi_i: bytes
    spi_r: bytes | None
    mode: str | None
    initiator: Endpoint
    responder: Endpoint
    state: State
    basis: Basis
    exchanges: tuple[Exchange, ...]
    child_sas: tuple[ChildSa, ...] = ()
    suite: Suite | None = None
    offers: tuple[dict[str, Any], ...] = ()
    nat: Nat = Nat()
    nat_t: bool = False
    auth: dict[str, Any] = msgspec.field(default_factory=dict)
    established_ns: int | None = None
    closed_ns: int | None = None
    rekeys: str | None = None
    rekey_basis: Basis | None = None
    handshake_seen: bool = True
    notes: tuple[Note, ...] = ()

    @property
    def group_id(self) -> str:
        """The identifier that events use: ``<spi_i>_<spi_r>`` in hex."""
        return f"{self.spi_i.hex()}_{(self.spi_r or bytes(8)).hex()}"

    @property
    def start_ns(self) -> int:
        """When the first datagram of the SA was captured."""
        return min(exchange.start_ns for exchange in self.exchanges)
