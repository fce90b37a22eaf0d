"""Notes: what the dissector has to say about bytes. A note states a fact and its place; rules say what it means."""

from __future__ import annotations

from enum import IntEnum

import msgspec


class Severity(IntEnum):
    """How much a note matters to a reader."""

    CHAT = 0  # ordinary, worth knowing
    NOTE = 1  # unusual, legal
    WARN = 2  # against a SHOULD, or a limit of this program was reached
    ERROR = 3  # against a MUST, or unreadable


class NoteKind(msgspec.Struct, frozen=True):
    """A row of the catalogue: identifier, severity, what it means, where that is written."""

    id: str
    severity: Severity
    meaning: str
    reference: str = ""


class Note(msgspec.Struct, frozen=True):
    """One note. ``start`` and ``stop`` are offsets in the message; ``field`` is a dotted path or empty."""

    kind: str
    text: str
    start: int = 0
    stop: int = 0
    field: str = ""
