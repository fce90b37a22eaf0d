"""Key records: what a key source says, in one shape for every format.

Importers (``keylogs/``) make these, the KeyRing uses them, exporters write them. A record keeps where it stands in
which file, so that a report can tell which key opened which SA. Every key is a ``Secret``: ``repr`` hides it.

An algorithm is kept as the source spells it, together with the row it stands for; the row is None where this program
knows none. What a source does not say is None, and the KeyRing finds it by trial.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Self, TypeAlias

import msgspec

from ipsecscope.decrypt.algorithms import NO_INTEGRITY, EncryptionRow, IntegrityRow, PrfRow
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
    SecurityProtocol,
)


class Origin(msgspec.Struct, frozen=True):
    """Where a record stands: the file's name, the line (from 1) where it begins, and the format it was read as."""

    file: str
    line: int
    format: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class Problem(msgspec.Struct, frozen=True):
    """Something in a key file that was not used, or that the user should know. ``line`` is 0 for the whole file."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.reason}"


class Role(StrEnum):
    """Which side of an exchange."""

    INITIATOR = "initiator"
    RESPONDER = "responder"


class Direction(StrEnum):
    """Which way the packets of an SA go, as seen by the system that wrote the keys down."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"


class SecretKind(StrEnum):
    """What made a shared secret."""

    DH = "dh"
    KEM = "kem"


class NamedEncryption(msgspec.Struct, frozen=True):
    """An encryption algorithm: its name in the source, its row, and the Key Length in bits."""

    name: str
    row: EncryptionRow | None = None
    key_bits: int | None = None

    @classmethod
    def of(cls, row: EncryptionRow | None, key_bits: int | None = None) -> Self | None:
        """An algorithm by its own name; None for none."""
        return None if row is None else cls(row.name, row, key_bits)

    @property
    def id(self) -> EncryptionAlgorithm | None:
        """The IKEv2 transform ID, where there is one."""
        return self.row.id if self.row else None


class NamedIntegrity(msgspec.Struct, frozen=True):
    """An integrity algorithm: its name in the source, and its row (with the truncation that the source says)."""

    name: str
    row: IntegrityRow | None = None

    @classmethod
    def of(cls, row: IntegrityRow | None) -> Self | None:
        """An algorithm by its own name; None for none."""
        return None if row is None or row is NO_INTEGRITY else cls(row.name, row)

    @property
    def id(self) -> IntegrityAlgorithm | None:
        """The IKEv2 transform ID, where there is one."""
        return self.row.id if self.row else None


class NamedPrf(msgspec.Struct, frozen=True):
    """A pseudorandom function, or the hash of IKEv1 that stands for its HMAC."""

    name: str
    row: PrfRow | None = None

    @classmethod
    def of(cls, row: PrfRow | None) -> Self | None:
        """A function by its own name; None for none."""
        return None if row is None else cls(row.name, row)

    @property
    def id(self) -> PseudorandomFunction | None:
        """The IKEv2 transform ID, where there is one."""
        return self.row.id if self.row else None


class NamedGroup(msgspec.Struct, frozen=True):
    """A key exchange method."""

    name: str
    id: KeyExchangeMethod | None = None


SK_NAMES = ("sk_d", "sk_ai", "sk_ar", "sk_ei", "sk_er", "sk_pi", "sk_pr")  # RFC 7296 section 2.14


class IkeV2Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of an IKE SA, RFC 7296 section 2.14. Every field may be missing; AEAD keys end with their salt.

    Attributes:
        spi_i: SPI of the original initiator, eight octets.
        spi_r: SPI of the original responder, eight octets.
        role: which role the system that wrote the keys down had in the exchange that made them.
        nonces: Ni | Nr of that exchange, where the source prints them.
        exchange: the name of that exchange, where the source tells it.
        uses_ppk: whether SK_d, SK_pi and SK_pr are those after a PPK was mixed in (RFC 8784).
        sequence: counts the sets of one SPI pair within one source from 0; RFC 9370 makes several.
    """

    origin: Origin
    spi_i: bytes | None = None
    spi_r: bytes | None = None
    skeyseed: Secret | None = None
    sk_d: Secret | None = None
    sk_ai: Secret | None = None
    sk_ar: Secret | None = None
    sk_ei: Secret | None = None
    sk_er: Secret | None = None
    sk_pi: Secret | None = None
    sk_pr: Secret | None = None
    encryption: NamedEncryption | None = None
    integrity: NamedIntegrity | None = None
    prf: NamedPrf | None = None
    groups: tuple[NamedGroup, ...] = ()
    role: Role | None = None
    nonces: bytes | None = None
    exchange: str = ""
    uses_ppk: bool = False
    sequence: int = 0

    @classmethod
    def derived(cls, keys: object, **facts: Any) -> Self:
        """A record of keys that have the RFC's names as attributes; ``facts`` are the other fields."""
        return cls(**{name: getattr(keys, name) for name in SK_NAMES}, **facts)


class IkeV1Keys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of an ISAKMP SA, RFC 2409 section 5. ``ka`` is the final cipher key, ``iv`` the first of phase 1."""

    origin: Origin
    cookie_i: bytes | None = None
    cookie_r: bytes | None = None
    skeyid: Secret | None = None
    skeyid_d: Secret | None = None
    skeyid_a: Secret | None = None
    skeyid_e: Secret | None = None
    ka: Secret | None = None
    iv: bytes | None = None
    encryption: NamedEncryption | None = None
    hash: NamedPrf | None = None
    groups: tuple[NamedGroup, ...] = ()
    role: Role | None = None
    sequence: int = 0


class SharedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a key exchange: g^ir, or the secret of a KEM.

    Attributes:
        spi_i: hint: the IKE SA whose exchange it was, or, for a rekeying, the IKE SA that it made.
        spi_r: the same.
        child_spis: hint: SPIs of the ESP or AH SAs that it made; empty for an IKE SA.
        order: 0 for the KE of the first exchange, 1 for the first additional one of RFC 9370, …
    """

    origin: Origin
    value: Secret
    kind: SecretKind = SecretKind.DH
    group: NamedGroup | None = None
    spi_i: bytes | None = None
    spi_r: bytes | None = None
    child_spis: tuple[int, ...] = ()
    order: int = 0


class PreSharedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A pre-shared key, and the identities or addresses it is for; without any it is for everybody.

    ``spi_i`` is the IKE SA whose record it stood in, where the source says it of one SA only.
    """

    origin: Origin
    value: Secret
    ids: tuple[str, ...] = ()
    spi_i: bytes | None = None


class Ppk(msgspec.Struct, frozen=True, kw_only=True):
    """A post-quantum pre-shared key, RFC 8784, with its PPK_ID where the source tells it."""

    origin: Origin
    value: Secret
    ppk_id: str = ""


class Msk(msgspec.Struct, frozen=True, kw_only=True):
    """The Master Session Key of an EAP method, RFC 7296 section 2.16."""

    origin: Origin
    value: Secret
    ids: tuple[str, ...] = ()
    spi_i: bytes | None = None
    spi_r: bytes | None = None


class Encapsulation(msgspec.Struct, frozen=True):
    """ESP inside UDP (RFC 3948) or TCP (RFC 9329), with the ports of the outer header; 0 where unknown."""

    kind: str = "udp"
    source_port: int = 0
    destination_port: int = 0


class SaKeys(msgspec.Struct, frozen=True, kw_only=True):
    """Keys of one ESP or AH SA: one direction.

    Attributes:
        spi: None where the source says "any".
        src: outer source address, None where the source says "any" or nothing.
        dst: the same.
        encryption: None for AH.
        encryption_key: with the salt at its end.
        integrity: None where the cipher is an AEAD, or where the source says nothing.
        icv_known: whether the name says the ICV's length; where false (``AES-GCM [RFC4106]``) 16, 12 and 8 octets
            are possible.
        esn: whether the sequence numbers are extended; None where the source does not say.
        seq_hi: the upper half of the sequence number when the source was written, for a start.
        mode: tunnel, transport or beet, as the source says.
        direction: as seen by the system that wrote the keys down.
        role: whose key it is, in the exchange that made the SA: the initiator's key protects what it sends.
    """

    origin: Origin
    protocol: SecurityProtocol = SecurityProtocol.ESP
    spi: int | None = None
    src: str | None = None
    dst: str | None = None
    encryption: NamedEncryption | None = None
    encryption_key: Secret = Secret(b"")
    integrity: NamedIntegrity | None = None
    integrity_key: Secret = Secret(b"")
    icv_known: bool = True
    esn: bool | None = None
    seq_hi: int | None = None
    mode: str = ""
    encapsulation: Encapsulation | None = None
    direction: Direction | None = None
    role: Role | None = None


KeyRecord: TypeAlias = IkeV2Keys | IkeV1Keys | SharedSecret | PreSharedKey | Ppk | Msk | SaKeys


class KeyFile(msgspec.Struct, frozen=True, kw_only=True):
    """What one key file held.

    ``formats`` are those recognised. ``problems`` are lines that could not be used; ``notes`` are remarks on a file
    that is in order, such as a log that holds no keys.
    """

    file: str
    formats: tuple[str, ...] = ()
    records: tuple[KeyRecord, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[Problem, ...] = ()
