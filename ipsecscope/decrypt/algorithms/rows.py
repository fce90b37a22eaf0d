"""What a row of the tables says, what may go wrong with one, and how rows are found by name.

A name may hold ``{bits}``, which stands for each key size. Names are compared without case, without a reference in
square brackets, and with underscores, blanks and slashes read as hyphens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TypeVar

import msgspec

from ipsecscope.dissect.registry import isakmp
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, IntegrityAlgorithm, PseudorandomFunction
from ipsecscope.dissect.registry.ipsec_doi import AhTransform, AuthenticationAlgorithm, EspTransform

Row = TypeVar("Row")

REFERENCE = re.compile(r"\[[^\]]*\]")
SEPARATORS = re.compile(r"[\s_/-]+")


class AlgorithmError(ValueError):
    """Something cannot be computed with the algorithm and the sizes at hand; the text never holds key octets."""


class KeyLengthError(AlgorithmError):
    """A key of a size that the algorithm does not have."""


class SizeError(AlgorithmError):
    """Octets that are too few, or not whole blocks."""


class UnsupportedAlgorithmError(AlgorithmError):
    """An algorithm whose name is known and which this program does not compute."""


class IntegrityError(AlgorithmError):
    """An ICV that does not match: the octets or the key are not those that were sealed."""

    def __init__(self) -> None:
        super().__init__("the ICV does not match")


class UnknownAlgorithmError(LookupError):
    """A name or a number that stands for no algorithm of this program."""


class EncryptionRow(msgspec.Struct, frozen=True, kw_only=True):
    """An encryption algorithm. Sizes are octets.

    ``key_sizes`` are without salt and ``default_key_size`` is the one when nobody said which. ``iv_size`` is what
    stands in the packet, ``block_size`` what the plaintext must be whole blocks of, ``icv_size`` the ICV of an AEAD.
    ``mode`` names the implementation in ``ciphers.py``, and is empty for an algorithm known by name only.
    ``phase_1`` and ``esp_v1`` are its numbers in IKEv1.
    """

    name: str
    id: EncryptionAlgorithm | None = None
    phase_1: isakmp.EncryptionAlgorithm | None = None
    esp_v1: EspTransform | None = None
    mode: str = ""
    cipher: str = ""
    key_sizes: tuple[int, ...] = ()
    default_key_size: int = 0
    salt_size: int = 0
    iv_size: int = 0
    icv_size: int = 0
    block_size: int = 1
    implicit_iv: bool = False
    names: tuple[str, ...] = ()

    @property
    def is_aead(self) -> bool:
        """Whether encryption and integrity are one algorithm."""
        return self.icv_size > 0

    @property
    def is_supported(self) -> bool:
        """Whether this program can open it."""
        return bool(self.mode)

    @property
    def nonce_iv_size(self) -> int:
        """Octets of the IV that the cipher is given; with an implicit IV (RFC 8750) the packet has none of them."""
        return 8 if self.implicit_iv else self.iv_size

    @property
    def has_variable_key(self) -> bool:
        """Whether a Key Length attribute goes with the transform."""
        return len(self.key_sizes) > 1

    def key_material_size(self, key_bits: int | None = None) -> int:
        """Octets of key and salt that the key derivation yields. Raises KeyLengthError for an impossible size."""
        size = self.default_key_size if key_bits is None else key_bits // 8
        if size not in self.key_sizes or (key_bits or 0) % 8:
            raise KeyLengthError(f"{self.name} has no key of {key_bits} bits, only of {_bits(self.key_sizes)}")
        return size + self.salt_size

    def key_bits_of(self, octets: int) -> int:
        """The Key Length for key material of ``octets`` octets, salt included. Raises KeyLengthError."""
        self.check_key(octets)
        return (octets - self.salt_size) * 8

    def check_key(self, octets: int) -> None:
        """Raise KeyLengthError unless key material of this many octets, salt included, fits."""
        if octets - self.salt_size not in self.key_sizes:
            salt = f" with {self.salt_size} octets of salt behind it" if self.salt_size else ""
            raise KeyLengthError(f"{octets} octets of key for {self.name}, which takes {_octets(self.key_sizes)}{salt}")


class IntegrityRow(msgspec.Struct, frozen=True, kw_only=True):
    """An integrity algorithm. Sizes are octets; ``full_size`` is the MAC before truncation to the ICV.

    ``mac`` names the implementation in ``macs.py``; it is empty for one known by name only, and for the "any, no
    checking" rows of Wireshark, which have a size and nothing to check (``is_checked`` is false). ``esp_v1`` and
    ``ah_v1`` are its numbers in IKEv1: the Authentication Algorithm attribute and the AH transform.
    """

    name: str
    id: IntegrityAlgorithm | None = None
    esp_v1: AuthenticationAlgorithm | None = None
    ah_v1: AhTransform | None = None
    mac: str = ""
    key_size: int = 0
    icv_size: int = 0
    full_size: int = 0
    is_checked: bool = True
    names: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether this program can verify it."""
        return bool(self.mac)

    def check_key(self, octets: int) -> None:
        """Raise KeyLengthError unless a key of this many octets fits."""
        if self.is_checked and octets != self.key_size:
            raise KeyLengthError(f"{octets} octets of key for {self.name}, which takes {self.key_size}")


class PrfRow(msgspec.Struct, frozen=True, kw_only=True):
    """A pseudorandom function. ``key_size`` is the preferred key length of RFC 7296 section 2.13, in octets.

    ``hash_name`` is the hash of an HMAC, as hashlib calls it, and ``mac`` the implementation in ``macs.py`` of a prf
    that is none; ``nonce_octets_in_key`` is how much of each nonce goes into the key of SKEYSEED (0: all of it).
    ``hash_v1`` is the hash of IKEv1 whose HMAC it is.
    """

    name: str
    id: PseudorandomFunction | None = None
    hash_v1: isakmp.HashAlgorithm | None = None
    mac: str = ""
    hash_name: str = ""
    key_size: int = 0
    output_size: int = 0
    nonce_octets_in_key: int = 0
    names: tuple[str, ...] = ()

    @property
    def is_supported(self) -> bool:
        """Whether this program can compute it."""
        return bool(self.mac or self.hash_name)


def normal_name(name: str) -> str:
    """A name brought to the form in which names are compared."""
    return SEPARATORS.sub("-", REFERENCE.sub("", name).strip().lower()).strip("-")


def lookup_table(rows: Iterable[tuple[Row, Iterable[str]]]) -> dict[str, Row]:
    """Rows by normal name. Raises ValueError when two rows claim one name: a mistake in a table."""
    table: dict[str, Row] = {}
    for row, names in rows:
        for name in names:
            if table.setdefault(normal_name(name), row) != row:
                raise ValueError(f"two rows are called {name}")
    return table


def _bits(sizes: tuple[int, ...]) -> str:
    return ", ".join(str(size * 8) for size in sizes)


def _octets(sizes: tuple[int, ...]) -> str:
    return str(sizes[0]) if len(sizes) == 1 else ", ".join(map(str, sizes[:-1])) + f" or {sizes[-1]}"
