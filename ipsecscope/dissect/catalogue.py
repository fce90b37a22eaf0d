"""The catalogue of notes: every kind with its severity, meaning and section. A note of no kind listed here is a bug."""

from __future__ import annotations

from ipsecscope.dissect.ikev1.notes import NOTES as IKEV1_NOTES
from ipsecscope.dissect.ikev2.notes import NOTE_KINDS as IKEV2_NOTES
from ipsecscope.dissect.notes import NoteKind, Severity

_ROWS = (
    NoteKind("header.short", Severity.ERROR, "Fewer octets than an IKE header has.", "7296 3.1"),
    NoteKind("header.version", Severity.NOTE, "A version other than 1.0 or 2.0.", "7296 2.5"),
    NoteKind("header.length", Severity.ERROR, "The header's length is not that of the datagram.", "7296 3.1"),
    NoteKind("header.exchange-unknown", Severity.WARN, "An exchange type that the registry does not have.", "7296 3.1"),
    NoteKind("chain.short", Severity.ERROR, "The chain goes on where the message ends.", "7296 3.2"),
    NoteKind("chain.bad-length", Severity.ERROR, "A payload length below the size of its header.", "7296 3.2"),
    NoteKind("chain.overrun", Severity.ERROR, "A payload that reaches beyond the message.", "7296 3.2"),
    NoteKind("chain.too-many", Severity.WARN, "More payloads than this program follows."),
    NoteKind("chain.trailing", Severity.WARN, "Octets behind the last payload.", "7296 3.2"),
    NoteKind("payload.malformed", Severity.ERROR, "A payload that cannot be read as its type.", "7296 3.2"),
    NoteKind("payload.unknown", Severity.NOTE, "A payload type that the registry does not have.", "7296 2.5"),
    NoteKind("payload.critical-unknown", Severity.WARN, "An unknown payload with the critical bit.", "7296 2.5"),
    NoteKind(
        "capture.truncated", Severity.WARN, "The capture lacks the end of the packet; the sender is not to blame."
    ),
    NoteKind("capture.decrypted-copy", Severity.NOTE, "An encrypted message a second time, decrypted by a gateway."),
    NoteKind("sk.no-key", Severity.CHAT, "Encrypted, and no key was given for it.", "7296 3.14"),
    NoteKind("sk.refused", Severity.ERROR, "Encrypted, and the key given does not open it.", "7296 3.14"),
    NoteKind("internal.dissector-bug", Severity.ERROR, "A fault of this program. Please report it."),
)

CATALOGUE: dict[str, NoteKind] = {row.id: row for row in (*_ROWS, *IKEV1_NOTES, *IKEV2_NOTES.values())}


def severity_of(kind: str) -> Severity:
    """The severity of a note kind; NOTE for a kind that is not in the catalogue."""
    row = CATALOGUE.get(kind)
    return Severity.NOTE if row is None else row.severity
