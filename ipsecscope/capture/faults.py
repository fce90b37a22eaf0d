"""Where the readers say what is wrong with a file, bounded in number, and how a file name is shown in one line."""

from __future__ import annotations

import os

from ipsecscope.capture.records import CaptureError, CaptureNote, FileFacts

MAX_NOTES = 200  # notes listed per file; one more says that there were others
MAX_TEXT = 65_536  # octets of one comment, name or description that are kept


class Faults:
    """The notes of one file. Kinds in ``DAMAGE`` also set ``extra["damaged"]``."""

    DAMAGE = frozenset({"capture.damaged", "capture.truncated", "capture.unreadable"})

    def __init__(self, facts: FileFacts) -> None:
        self.facts = facts

    def say(
        self, kind: str, text: str, offset: int | None = None, size: int | None = None, frame: int | None = None
    ) -> None:
        """Add a note; beyond ``MAX_NOTES`` it is only counted in ``extra["notes_not_listed"]``."""
        if kind in self.DAMAGE:
            self.facts.extra["damaged"] = True
        if len(self.facts.notes) < MAX_NOTES:
            self.facts.notes.append(CaptureNote(kind, text, offset, size, frame))
            return
        if "notes_not_listed" not in self.facts.extra:
            self.facts.notes.append(CaptureNote("capture.limit", f"more than {MAX_NOTES} notes: the rest is counted"))
        self.count("notes_not_listed")

    def count(self, name: str) -> None:
        """Count something that is kept or skipped without a note."""
        self.facts.extra[name] = self.facts.extra.get(name, 0) + 1

    def error(self, reason: str) -> CaptureError:
        """The exception that refuses this file, in one line."""
        return refusal(self.facts.name, reason)


def shown_name(name: str) -> str:
    """A file name fit for one line: octets that are not UTF-8 and control characters as escapes."""
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def refusal(name: str, reason: str) -> CaptureError:
    """A CaptureError whose text is one line: the file and the reason."""
    return CaptureError(f"{shown_name(name)}: {reason}")


def readable_text(data: bytes) -> str:
    """Text from a file as a string without lone surrogates; octets that are not UTF-8 become escapes."""
    return data[:MAX_TEXT].decode("utf-8", "backslashreplace")
