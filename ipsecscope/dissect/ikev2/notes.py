"""The catalogue of notes that the checks of IKEv2 payload bodies give: what each means and where that is written."""

from __future__ import annotations

from ipsecscope.dissect.notes import NoteKind, Severity

NOTES = (
    NoteKind("payload.reserved", Severity.NOTE, "A reserved field is not zero.", "7296 3.2"),
    NoteKind(
        "payload.critical-known",
        Severity.NOTE,
        "The critical bit is set on a payload that RFC 7296 defines.",
        "7296 3.2",
    ),
    NoteKind("payload.empty", Severity.WARN, "A payload that must say something is empty.", "7296 3"),
    NoteKind("sa.no-proposal", Severity.ERROR, "An SA payload without proposals.", "7296 3.3"),
    NoteKind("sa.proposal-number", Severity.ERROR, "Proposals are not numbered 1, 2, 3 …", "7296 3.3.1"),
    NoteKind("sa.duplicate-proposal", Severity.ERROR, "Two proposals have the same number.", "7296 3.3.1"),
    NoteKind(
        "sa.transform-count", Severity.ERROR, "The number of transforms is not what the proposal says.", "7296 3.3.1"
    ),
    NoteKind("sa.last-marker", Severity.WARN, "The marker that another item follows is wrong.", "7296 3.3.1"),
    NoteKind("sa.spi-size", Severity.ERROR, "The SPI has not the size that its protocol demands.", "7296 3.3.1"),
    NoteKind("sa.transform-missing", Severity.ERROR, "A mandatory transform type is missing.", "7296 3.3.3"),
    NoteKind(
        "sa.transform-misplaced", Severity.WARN, "A transform type that this protocol does not use.", "7296 3.3.3"
    ),
    NoteKind("sa.transform-unknown", Severity.NOTE, "A transform that no registry row names.", "7296 3.3.2"),
    NoteKind("sa.duplicate-transform", Severity.NOTE, "The same transform twice in one proposal.", "7296 3.3.6"),
    NoteKind("sa.ambiguous-choice", Severity.ERROR, "A response that leaves a choice open.", "7296 3.3"),
    NoteKind(
        "sa.aead-with-integrity", Severity.ERROR, "A combined mode cipher beside an integrity algorithm.", "7296 3.3"
    ),
    NoteKind("sa.aead-mixed", Severity.WARN, "Combined mode and other ciphers in one proposal.", "5282 8"),
    NoteKind("sa.no-integrity", Severity.ERROR, "A cipher without integrity protection.", "7296 3.3.3"),
    NoteKind(
        "sa.key-length-missing", Severity.ERROR, "A cipher with variable key length without that length.", "7296 3.3.5"
    ),
    NoteKind(
        "sa.key-length-fixed", Severity.WARN, "A key length on an algorithm whose key has a fixed length.", "7296 3.3.5"
    ),
    NoteKind("sa.key-length-invalid", Severity.ERROR, "A key length that the cipher does not have.", "7296 3.3.5"),
    NoteKind("ke.method-unknown", Severity.NOTE, "A key exchange method that no registry row names.", "7296 3.4"),
    NoteKind("ke.size", Severity.ERROR, "Key exchange data of the wrong size for its method and role.", "7296 3.4"),
    NoteKind("ke.degenerate", Severity.ERROR, "A public value that forces a known shared secret.", "6989 2"),
    NoteKind("payload.nonce-size", Severity.ERROR, "A nonce outside 16 to 256 octets.", "7296 3.9"),
    NoteKind("payload.nonce-short-for-prf", Severity.ERROR, "A nonce below half the key size of the PRF.", "7296 2.10"),
    NoteKind("id.type-unknown", Severity.NOTE, "An identification type that no registry row names.", "7296 3.5"),
    NoteKind("id.size", Severity.ERROR, "Identification data of the wrong size for its type.", "7296 3.5"),
    NoteKind("id.unreadable", Severity.WARN, "A name that is not the ASN.1 it should be.", "7296 3.5"),
    NoteKind("cert.unreadable", Severity.WARN, "A certificate that cannot be read.", "7296 3.6"),
    NoteKind("cert.malformed", Severity.ERROR, "Certificate data without the structure of its encoding.", "7296 3.6"),
    NoteKind("certreq.size", Severity.WARN, "Authorities that are no list of SHA-1 hashes.", "7296 3.7"),
    NoteKind("auth.method-unknown", Severity.NOTE, "An authentication method that no registry row names.", "7296 3.8"),
    NoteKind("auth.malformed", Severity.ERROR, "Authentication data without the structure of its method.", "7427 3"),
    NoteKind("notify.spi-size", Severity.WARN, "The SPI of a notification does not fit its protocol.", "7296 3.10"),
    NoteKind("notify.data", Severity.WARN, "Notification data without the structure of its type.", "7296 3.10.1"),
    NoteKind("notify.data-size", Severity.WARN, "Notification data outside the size its type allows.", "7296 2.6"),
    NoteKind("delete.spi-size", Severity.ERROR, "The SPIs to delete have not the size of their protocol.", "7296 3.11"),
    NoteKind("delete.count", Severity.ERROR, "The number of SPIs is not what the payload says.", "7296 3.11"),
    NoteKind("ts.count", Severity.ERROR, "The number of selectors is not what the payload says.", "7296 3.13"),
    NoteKind("ts.type-unknown", Severity.NOTE, "A traffic selector type that no registry row names.", "7296 3.13.1"),
    NoteKind("ts.reversed", Severity.ERROR, "A range whose start lies behind its end.", "7296 3.13.1"),
    NoteKind("skf.number", Severity.ERROR, "A fragment number of 0, or behind the total.", "7383 2.5"),
    NoteKind("cp.value", Severity.WARN, "A value without the layout of its attribute.", "7296 3.15.1"),
    NoteKind("eap.length", Severity.WARN, "The EAP length is not that of the payload.", "7296 3.16"),
    NoteKind("eap.malformed", Severity.WARN, "EAP data without the layout of its type.", "3748 5"),
    NoteKind("ps.size", Severity.ERROR, "A puzzle solution that is not four keys of one length.", "8019 7.1.2"),
)

NOTE_KINDS: dict[str, NoteKind] = {row.id: row for row in NOTES}
