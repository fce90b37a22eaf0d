"""The report: the contract between analysis and everything that draws or consumes it (``ipsecscope.report/1``).

Field names are fixed: additions are fine, renames are a new schema version. SPIs are lower-case hex, addresses are
text, times are RFC 3339 UTC with the capture's precision, unknown is null.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ipsecscope.reports.escape import visible_json

SCHEMA = "ipsecscope.report/1"


class Generator(msgspec.Struct, frozen=True):
    """What wrote the report."""

    name: str
    version: str


class CaptureNote(msgspec.Struct, frozen=True):
    """Something to say about a capture file: damage, cuts, limits reached; ``offset`` and ``size`` are octets."""

    kind: str
    text: str
    offset: int | None = None
    size: int | None = None
    frame: int | None = None


class CaptureFile(msgspec.Struct, frozen=True):
    """One input file."""

    name: str
    format: str
    frames: int
    link_types: list[str]
    truncated: bool
    notes: list[CaptureNote]
    damaged: bool = False
    compression: str = ""
    error: str | None = None


class MessageCounts(msgspec.Struct, frozen=True):
    """IKE datagrams by version."""

    ikev1: int = 0
    ikev2: int = 0


class PacketCounts(msgspec.Struct, frozen=True):
    """Everything that is not IKE; ``other`` are frames that carry nothing of IPsec."""

    esp: int = 0
    ah: int = 0
    nat_keepalive: int = 0
    other: int = 0
    icmp_errors: int = 0
    fragments: int = 0
    ipcomp: int = 0
    wesp: int = 0
    unreadable: int = 0


class Capture(msgspec.Struct, frozen=True):
    """All input together."""

    files: list[CaptureFile]
    frames: int
    first_time: str | None
    last_time: str | None
    messages: MessageCounts
    packets: PacketCounts


class Identity(msgspec.Struct, frozen=True):
    """An IKE identity."""

    type: str
    value: str


class Endpoint(msgspec.Struct, frozen=True):
    """One end of an IKE SA; ``addresses`` are all places it was seen at, ``vendor_ids`` all names it gave."""

    address: str
    port: int
    id: Identity | None
    vendor: list[str]
    addresses: list[str] = []
    vendor_ids: list[str] = []


class Proposal(msgspec.Struct, frozen=True, omit_defaults=False):
    """Negotiated algorithms by IANA's IKEv2 identifiers; a lifetime from 2^53 on is text, so that no reader rounds it."""

    encr: str | None = None
    key_length: int | None = None
    prf: str | None = None
    integ: str | None = None
    ke: list[str] = []
    esn: bool | None = None
    hash: str | None = None
    auth: str | None = None
    lifetime_s: int | str | None = None
    lifetime_kb: int | str | None = None


class Proof(msgspec.Struct, frozen=True):
    """One value that was recomputed: AUTH, HASH, SIG, COOKIE …; ``verdict`` says whether it is right."""

    what: str
    sender: str | None
    verdict: bool
    frame: int
    why: str


class Auth(msgspec.Struct, frozen=True):
    """How each side authenticated, and whether that was verified from the capture."""

    initiator: str | None = None
    responder: str | None = None
    verified: bool | None = None
    initiator_verified: bool | None = None
    responder_verified: bool | None = None
    proofs: list[Proof] = []


class Nat(msgspec.Struct, frozen=True):
    """Who is behind a NAT, computed from the NAT detection hashes."""

    initiator: bool | None = None
    responder: bool | None = None
    forced: bool | None = None
    unexplained: list[str] = []


class Frames(msgspec.Struct, frozen=True):
    """Frame numbers of the two sides of an exchange, first transmissions only."""

    request: list[int]
    response: list[int]


class PayloadNames(msgspec.Struct, frozen=True):
    """Payloads of the two sides in RFC notation; what could not be opened stays ``SK``."""

    request: list[str]
    response: list[str]


class ExchangeMessage(msgspec.Struct, frozen=True):
    """One message of an exchange, first transmission; ``frames`` are several when it came in fragments."""

    frames: list[int]
    sender: Literal["initiator", "responder"]
    payloads: list[str]
    octets: int
    encrypted: bool = False
    opened: bool | None = None
    reason: str | None = None
    time: str | None = None
    repeats: int = 0


class Exchange(msgspec.Struct, frozen=True):
    """One exchange."""

    type: str
    message_id: int
    initiated_by: Literal["initiator", "responder"]
    frames: Frames
    retransmissions: int
    outcome: str
    payloads: PayloadNames
    encrypted: int
    opened: int
    notifies: list[str]
    messages: list[ExchangeMessage] = []
    repeated_frames: list[int] = []
    time: str | None = None
    reason: str | None = None
    file: int = 0


class ChildSa(msgspec.Struct, frozen=True):
    """A pair of ESP or AH SAs; each SPI is the one that its chooser's inbound packets carry."""

    id: str
    protocol: str
    mode: str | None
    state: str
    basis: str
    spi_i: str | None
    spi_r: str | None
    proposal: Proposal | None
    tsi: list[str] | None
    tsr: list[str] | None
    rekeys: str | None
    flows: list[str]
    created_at: str | None
    deleted_at: str | None
    ipcomp: bool = False


class Note(msgspec.Struct, frozen=True):
    """A dissector's note on one message."""

    frame: int
    kind: str
    severity: str
    text: str
    field: str = ""
    bytes: tuple[int, int] | None = None
    file: int = 0


class IkeSa(msgspec.Struct, frozen=True):
    """One IKE SA."""

    id: str
    version: int
    mode: str | None
    spi_i: str
    spi_r: str | None
    initiator: Endpoint
    responder: Endpoint
    state: str
    basis: str
    established_at: str | None
    closed_at: str | None
    rekeys: str | None
    proposal: Proposal | None
    offers: list[dict[str, Any]]
    auth: Auth
    nat: Nat
    nat_t: bool
    exchanges: list[Exchange]
    child_sas: list[ChildSa]
    rekeys_basis: str | None = None
    handshake_seen: bool = True
    started_at: str | None = None


class Sequence(msgspec.Struct, frozen=True):
    """Sequence numbers of a flow."""

    first: int
    last: int
    lost: int
    duplicates: int
    reordered: int
    replayed: int
    gaps: list[tuple[int, int]] = []
    rolled_over: bool = False


class Inner(msgspec.Struct, frozen=True):
    """What opened packets carried."""

    packets: int
    protocols: dict[str, int]


class Inferred(msgspec.Struct, frozen=True):
    """What lengths alone tell."""

    suite: list[str] = []
    mode: str | None = None
    mtu: int | None = None


class Flow(msgspec.Struct, frozen=True):
    """The packets of one SA in one direction."""

    id: str
    protocol: str
    encapsulation: str
    src: str
    dst: str
    spi: str
    child_sa: str | None
    packets: int
    bytes: int
    first_time: str
    last_time: str
    sequence: Sequence
    opened: int | None = None
    refused: int | None = None
    reason: str | None = None
    inner: Inner | None = None
    inferred: Inferred | None = None
    ike_sa: str | None = None
    binding: str | None = None
    key_origin: str | None = None
    sources: list[str] = []
    first_frame: int = 0
    last_frame: int = 0
    longest_silence_s: float = 0.0
    truncated: int = 0


class Evidence(msgspec.Struct, frozen=True):
    """Where a finding was seen."""

    file: int
    frame: int
    field: str = ""
    bytes: tuple[int, int] | None = None
    value: str = ""


class Finding(msgspec.Struct, frozen=True):
    """What something means."""

    code: str
    slug: str
    severity: str
    confidence: str
    title: str
    summary: str
    subject: str | None
    evidence: list[Evidence]
    equation: str | None = None
    causes: list[str] = []
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}
    references: list[str] = []
    suppressed_by: str | None = None


class Headline(msgspec.Struct, frozen=True):
    """The one root cause."""

    subject: str | None
    code: str
    sentence: str


class IcmpError(msgspec.Struct, frozen=True):
    """An ICMP error that quotes an IPsec packet."""

    frame: int
    time: str
    sender: str
    type: int
    code: int
    mtu: int | None
    quotes: str
    src: str
    dst: str
    ike_sa: str | None = None
    spi: str | None = None
    file: int = 0


class Keys(msgspec.Struct, frozen=True):
    """What the keys that were given opened: IKE datagrams, ESP and AH packets."""

    ike_encrypted: int
    ike_opened: int
    packets_opened: int
    packets_refused: int


class Report(msgspec.Struct, frozen=True):
    """The whole document."""

    schema: str
    generator: Generator
    capture: Capture
    ike_sas: list[IkeSa]
    flows: list[Flow]
    findings: list[Finding]
    headline: Headline | None
    headlines: list[Headline] = []
    notes: list[Note] = []
    icmp_errors: list[IcmpError] = []
    keys: Keys | None = None


def to_json(report: Report) -> bytes:
    """The document as UTF-8 JSON with two spaces of indentation and a final newline; the same report, the same bytes."""
    return visible_json(msgspec.json.format(msgspec.json.encode(report), indent=2)) + b"\n"


def from_json(data: bytes) -> Report:
    """Read a document back. Raises msgspec.ValidationError when it is not one of this schema."""
    return msgspec.json.decode(data, type=Report)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    return msgspec.json.schema(Report)
