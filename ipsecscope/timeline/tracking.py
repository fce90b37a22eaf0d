"""The mutable side of the correlator: what is known so far of an IKE SA and its exchanges.

Nothing here leaves the timeline: ``freeze`` turns a tracker into the values of ``sas.py``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.timeline.sas import Basis, Exchange, MessageRecord, Outcome, Role

Digest = bytes


def digest(record: MessageRecord) -> Digest:
    """What makes two datagrams of one sender the same: every octet of the message."""
    data = record.datagram.payload
    return hashlib.blake2b(data, digest_size=16, key=record.sender.encode()).digest()


def digest_without_flags(record: MessageRecord) -> Digest:
    """The same but for the header's flags octet, which some copying middleboxes change."""
    data = record.datagram.payload
    return hashlib.blake2b(data[:19] + data[20:HEADER_SIZE] + data[HEADER_SIZE:], digest_size=16).digest()


@dataclass(slots=True)
class ExchangeTracker:
    """An exchange while it is going on."""

    type: CodePoint
    message_id: int
    initiated_by: Role
    request: list[MessageRecord] = field(default_factory=list)
    response: list[MessageRecord] = field(default_factory=list)
    repeats: list[MessageRecord] = field(default_factory=list)
    copies: list[MessageRecord] = field(default_factory=list)
    refusal: str | None = None
    outcome: Outcome = "unknown"
    basis: Basis = "observed"

    def add(self, record: MessageRecord) -> None:
        """File a first transmission under its side."""
        (self.request if record.sender == self.initiated_by else self.response).append(record)

    @property
    def is_answered(self) -> bool:
        """Whether anything came back."""
        return bool(self.response)

    def freeze(self) -> Exchange:
        """The value of this exchange as it stands."""
        return Exchange(
            type=self.type,
            message_id=self.message_id,
            initiated_by=self.initiated_by,
            request=tuple(self.request),
            response=tuple(self.response),
            repeats=tuple(self.repeats),
            copies=tuple(self.copies),
            retransmissions=self._rounds(),
            outcome=self.outcome,
            basis=self.basis,
        )

    def _rounds(self) -> int:
        """How often something was sent again: fragments of one round count once.

        RFC 7296 2.1: in IKEv2 only requests are retransmitted; a repeated response only answers a repeated request.
        """
        rounds: dict[tuple[Role, int], int] = {}
        for record in self.repeats:
            if record.message.family.major_version != 1 and record.sender != self.initiated_by:
                continue
            number = record.fragment[0] if record.fragment else 0
            key = (record.sender, number if record.message.family.major_version != 1 else 0)
            rounds[key] = rounds.get(key, 0) + 1
        if not rounds:
            return 0
        by_sender: dict[Role, int] = {}
        for (sender, _), count in rounds.items():
            by_sender[sender] = max(by_sender.get(sender, 0), count)
        return sum(by_sender.values())


@dataclass(slots=True)
class EndpointTracker:
    """One end of an IKE SA while it is learned."""

    address: str = ""
    port: int = 0
    seen: dict[tuple[str, int], None] = field(default_factory=dict)
    vendor_ids: dict[bytes, None] = field(default_factory=dict)
    id: tuple[str, str] | None = None
    marked: set[str] = field(default_factory=set)  # addresses from which it sent IKE behind a non-ESP marker

    def learn(self, address: str, port: int) -> bool:
        """Note where a datagram came from; whether the place is new."""
        if not self.seen:
            self.address, self.port = address, port
        fresh = (address, port) not in self.seen
        self.seen[(address, port)] = None
        return fresh


@dataclass(slots=True)
class SaTracker:
    """An IKE SA while it is going on."""

    id: str
    version: int
    spi_i: bytes
    spi_r: bytes | None
    ends: dict[Role, EndpointTracker] = field(
        default_factory=lambda: {"initiator": EndpointTracker(), "responder": EndpointTracker()}
    )
    exchanges: list[ExchangeTracker] = field(default_factory=list)
    index: dict[tuple[Any, ...], ExchangeTracker] = field(default_factory=dict)
    digests: dict[Digest, ExchangeTracker] = field(default_factory=dict)
    flagless: dict[Digest, ExchangeTracker] = field(default_factory=dict)
    firsts: dict[Digest, MessageRecord] = field(default_factory=dict)
    refused_spi_r: bool = False  # the responder's SPI is known from a refusal only
    rekeys: str | None = None
    rekey_basis: Basis | None = None
    handshake_seen: bool = True
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def group_id(self) -> str:
        """The identifier that events use."""
        return f"{self.spi_i.hex()}_{(self.spi_r or bytes(8)).hex()}"

    def sender_of(self, address: str, port: int) -> Role | None:
        """Which end an address belongs to, as far as it was learned; the exact port decides before the address."""
        for role, end in self.ends.items():
            if (address, port) in end.seen and (address, port) not in self._other(role).seen:
                return role
        for role, end in self.ends.items():
            mine = {known for known, _ in end.seen}
            if address in mine and address not in {known for known, _ in self._other(role).seen}:
                return role
        return None

    def _other(self, role: Role) -> EndpointTracker:
        return self.ends["responder" if role == "initiator" else "initiator"]
