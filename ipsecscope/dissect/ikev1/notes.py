"""The kinds of notes that IKEv1 payloads give rise to."""

from __future__ import annotations

from typing import Final

from ipsecscope.dissect.notes import NoteKind, Severity

SA_NOT_FIRST: Final = NoteKind(
    "ikev1.sa-not-first", Severity.ERROR, "In phase 1 the SA payload must come before all others.", "2409 5"
)
HASH_NOT_FIRST: Final = NoteKind(
    "ikev1.hash-not-first", Severity.ERROR, "The HASH payload must follow the header immediately.", "2409 5.5"
)
RESERVED: Final = NoteKind("ikev1.reserved", Severity.NOTE, "A reserved field is not zero.", "2408 3.1")
PROPOSAL_ORDER: Final = NoteKind(
    "ikev1.proposal-order", Severity.WARN, "Proposal or transform numbers do not grow.", "2408 4.2"
)
COUNT: Final = NoteKind("ikev1.count", Severity.ERROR, "A count differs from what is there.", "2408 3.5")
NO_TRANSFORM: Final = NoteKind("ikev1.no-transform", Severity.ERROR, "A proposal without transforms.", "2408 3.5")
SITUATION: Final = NoteKind(
    "ikev1.situation", Severity.WARN, "Situation bits that nobody defined, or none.", "2407 4.2"
)
DOI: Final = NoteKind("ikev1.doi", Severity.NOTE, "A domain of interpretation other than IPsec and GDOI.", "2407 4.1")
SPI_SIZE: Final = NoteKind("ikev1.spi-size", Severity.WARN, "An SPI of a size its protocol does not have.", "2408 3.5")
SPI_RESERVED: Final = NoteKind(
    "ikev1.spi-reserved", Severity.ERROR, "An SPI from the reserved numbers 0 to 255.", "4303 2.1"
)
ATTRIBUTE_FORM: Final = NoteKind(
    "ikev1.attribute-form", Severity.NOTE, "An attribute in the form that its kind of value may not have.", "2409 A"
)
ATTRIBUTE_SIZE: Final = NoteKind(
    "ikev1.attribute-size", Severity.WARN, "A number of more octets than any number needs.", "2408 3.3"
)
KEY_LENGTH: Final = NoteKind("ikev1.key-length", Severity.WARN, "A key length that the cipher does not have.", "2409 A")
LIFETIME: Final = NoteKind("ikev1.lifetime", Severity.WARN, "A duration without a life type before it.", "2407 4.5")
KE_SIZE: Final = NoteKind(
    "ikev1.ke-size", Severity.ERROR, "A public value of a size the group does not have.", "2409 5"
)
KE_VALUE: Final = NoteKind("ikev1.ke-value", Severity.ERROR, "A public value that makes a known secret.", "6989 2.1")
NONCE_SIZE: Final = NoteKind("ikev1.nonce-size", Severity.ERROR, "A nonce must have 8 to 256 octets.", "2409 5")
ID_SIZE: Final = NoteKind(
    "ikev1.id-size", Severity.ERROR, "An identity of a size its type does not have.", "2407 4.6.2"
)
ID_PORT: Final = NoteKind(
    "ikev1.id-port", Severity.WARN, "In phase 1 protocol and port must be 0, or UDP and the IKE port.", "2407 4.6.2"
)
DELETE_SPI_SIZE: Final = NoteKind(
    "ikev1.delete-spi-size", Severity.ERROR, "A Delete payload whose SPI size cannot be.", "2408 3.15"
)
DELETE_TRAILING: Final = NoteKind(
    "ikev1.delete-trailing", Severity.WARN, "Octets in a Delete payload that are no whole SPI.", "2408 3.15"
)
NOTIFY_DATA: Final = NoteKind(
    "ikev1.notify-data", Severity.WARN, "Notification data that its type does not have.", "2407 4.6.3"
)
NAT_D_SIZE: Final = NoteKind("ikev1.nat-d-size", Severity.WARN, "A NAT-D hash of no known digest's size.", "3947 3.2")
FRAGMENT_ALONE: Final = NoteKind(
    "ikev1.fragment-alone", Severity.WARN, "A fragment must be the only payload of its message.", ""
)
FRAGMENT_NUMBER: Final = NoteKind("ikev1.fragment-number", Severity.WARN, "Fragments are counted from 1.", "")

NOTES: Final[tuple[NoteKind, ...]] = (
    SA_NOT_FIRST,
    HASH_NOT_FIRST,
    RESERVED,
    PROPOSAL_ORDER,
    COUNT,
    NO_TRANSFORM,
    SITUATION,
    DOI,
    SPI_SIZE,
    SPI_RESERVED,
    ATTRIBUTE_FORM,
    ATTRIBUTE_SIZE,
    KEY_LENGTH,
    LIFETIME,
    KE_SIZE,
    KE_VALUE,
    NONCE_SIZE,
    ID_SIZE,
    ID_PORT,
    DELETE_SPI_SIZE,
    DELETE_TRAILING,
    NOTIFY_DATA,
    NAT_D_SIZE,
    FRAGMENT_ALONE,
    FRAGMENT_NUMBER,
)
