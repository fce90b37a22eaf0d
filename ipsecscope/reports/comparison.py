"""The document that ``compare`` writes (``ipsecscope.comparison/1``): two captures of the same traffic, packet by packet.

Field names are fixed as those of the report are. Times are RFC 3339 UTC by the clock of the capture that they belong to;
spans are nanoseconds; frames are 1-based; unknown is null.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from ipsecscope.reports.document import CaptureFile, CaptureNote, Generator
from ipsecscope.reports.escape import visible_json

SCHEMA = "ipsecscope.comparison/1"
Letter = Literal["A", "B"]


class Tap(msgspec.Struct, frozen=True):
    """One of the two captures."""

    name: str
    interface: str | None
    files: list[CaptureFile]
    frames: int
    packets: int
    copies: int
    first_time: str | None
    last_time: str | None
    notes: list[CaptureNote] = []


class ClockFit(msgspec.Struct, frozen=True):
    """B's clock against A's: what B's reads more, and what it gains in parts per million."""

    offset_ns: int
    drift_ppm: float
    uncertainty_ns: int | None
    basis: str
    packets: int


class Delay(msgspec.Struct, frozen=True):
    """How long packets took from one tap to the other, by the fitted clocks."""

    least_ns: int
    usual_ns: int
    p95_ns: int
    p99_ns: int
    most_ns: int


class TrafficCount(msgspec.Struct, frozen=True):
    """One kind of traffic in one direction.

    ``sent`` are the packets at the tap that they pass first. Of these ``arrived`` are at the other one too, ``lost`` are
    not although it was recording, ``missing`` are not while nothing proves that it was, ``incomplete`` are there in
    part. ``unseen``, ``duplicated``, ``replayed`` and ``injected`` are at the other one only.
    """

    traffic: str
    sent: int
    arrived: int
    lost: int
    missing: int
    incomplete: int
    unseen: int
    duplicated: int
    replayed: int
    injected: int
    largest_arrived: int | None
    smallest_lost: int | None


class Direction(msgspec.Struct, frozen=True, rename={"from_tap": "from", "to_tap": "to"}):
    """Everything that goes from one tap to the other."""

    from_tap: Letter
    to_tap: Letter
    hosts: list[str]
    traffic: list[TrafficCount]
    delay: Delay | None
    reordered: int
    delayed: int


class Packet(msgspec.Struct, frozen=True):
    """A packet that did not simply pass: ``what`` became of it, where it is, and where the other capture has it."""

    what: str
    tap: Letter
    frame: int
    file: int
    time: str | None
    src: str
    dst: str
    label: str
    octets: int
    other_frame: int | None = None
    delay_ns: int | None = None


class Change(msgspec.Struct, frozen=True, rename={"from_tap": "from", "to_tap": "to"}):
    """A field that was rewritten on the way; frames are those of A and of B."""

    field: str
    from_tap: Letter
    to_tap: Letter
    before: str
    after: str
    packets: int
    first_frames: list[int]
    last_frames: list[int]


class Evidence(msgspec.Struct, frozen=True):
    """A record of one of the captures."""

    tap: Letter
    frame: int
    file: int
    value: str


class Finding(msgspec.Struct, frozen=True):
    """What the two captures mean together, and how sure each of them was alone (null: not at all)."""

    code: str
    slug: str
    severity: str
    confidence: str
    confidence_a: str | None
    confidence_b: str | None
    raised: bool
    title: str
    summary: str
    evidence: list[Evidence]
    causes: list[str] = []
    confirm: str = ""
    fix: str = ""
    config: dict[str, str] = {}
    references: list[str] = []
    suppressed_by: str | None = None


class Headline(msgspec.Struct, frozen=True):
    """What stands between the taps, in one sentence."""

    code: str
    sentence: str


class Comparison(msgspec.Struct, frozen=True):
    """The whole document. ``not_listed`` counts packets of each kind beyond those in ``packets``."""

    schema: str
    generator: Generator
    sentence: str
    a: Tap
    b: Tap
    clock: ClockFit
    first_time: str | None
    last_time: str | None
    throughout: bool
    paired: int
    directions: list[Direction]
    findings: list[Finding]
    headline: Headline | None
    changes: list[Change]
    packets: list[Packet]
    not_listed: dict[str, int]
    outside: dict[str, int]


def to_json(comparison: Comparison) -> bytes:
    """The document as UTF-8 JSON with two spaces of indentation and a final newline."""
    return visible_json(msgspec.json.format(msgspec.json.encode(comparison), indent=2)) + b"\n"


def json_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of the document."""
    return msgspec.json.schema(Comparison)
