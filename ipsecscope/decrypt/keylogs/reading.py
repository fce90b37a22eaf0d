"""What importers share: a place to put records and problems, and the words of key files turned into values.

Nothing here puts a key into the text of an exception: a reason tells what is wrong, never what the key was.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec.structs import replace

from ipsecscope.decrypt.algorithms import (
    AlgorithmError,
    UnknownAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.decrypt.groups import group_by_name
from ipsecscope.decrypt.keylogs.text import KeyText
from ipsecscope.decrypt.keys import (
    IkeV2Keys,
    KeyRecord,
    NamedEncryption,
    NamedGroup,
    NamedIntegrity,
    NamedPrf,
    Origin,
    Problem,
    SaKeys,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

MAX_RECORDS = 100_000  # records of one file
MAX_PROBLEMS = 1_000  # problems of one file that are told one by one
MAX_SECRET = 16 * 1024  # octets of one key or shared secret
MAX_NAME = 64  # characters of an algorithm's name
MIN_HIDDEN = 8  # octets, all zero, that are taken for a hidden key
COOKIE_SIZE = 8  # octets of an IKE SPI
MAX_SPI = 0xFFFF_FFFF
MAX_ESN_HIGH = 0xFFFF_FFFF

HIDDEN = re.compile(
    r"\s*(?:0x)?(?:<.*>|key|[xX*]{2,}|\*|\.{3,}|…|\[?\(?(?:redacted|hidden|removed|secret)\)?\]?)\s*", re.IGNORECASE
)
HEX_RUN = re.compile(r"[0-9a-fA-F]{16}")
NOT_HEX = re.compile(r"[^0-9a-fA-F]")
BETWEEN_DIGITS = re.compile(r"[\s:_-]+")


class KeyLineError(ValueError):
    """A line of a key file that cannot be used. The text is the reason, for the user, without any key in it."""


class Reading:
    """What has been read from one file so far."""

    def __init__(self, text: KeyText, advice: str = "") -> None:
        self.text = text
        self.advice = advice
        self.format = ""
        self.records: list[KeyRecord] = []
        self.problems: list[Problem] = []
        self.notes: list[Problem] = []
        self.recent_ike: deque[IkeV2Keys] = deque(maxlen=2)
        self._sets: Counter[tuple[bytes | None, bytes | None]] = Counter()
        self._unsaid = 0
        self._seen: set[object] = set()
        self._is_full = False

    def origin(self, line: int) -> Origin:
        """The origin of a record that begins on this line."""
        return Origin(self.text.name, line, self.format)

    def add(self, record: KeyRecord) -> bool:
        """Keep a record, unless the same one is there already. Whether it was kept."""
        if isinstance(record, SaKeys):
            check_sa(record)
        same = _identity(record)
        if same in self._seen:
            return False
        if len(self.records) >= MAX_RECORDS:
            if not self._is_full:
                self._is_full = True
                self.problem(record.origin.line, f"more than {MAX_RECORDS} records in one file; the rest is not used")
            return False
        self._seen.add(same)
        self.records.append(record)
        if isinstance(record, IkeV2Keys):
            self.recent_ike.append(record)
            self._sets[record.spi_i, record.spi_r] += 1
        return True

    def sequenced(self, record: IkeV2Keys) -> IkeV2Keys:
        """The record with its place among the sets of its SPI pair (RFC 9370 makes several)."""
        before = self._sets[record.spi_i, record.spi_r] if record.spi_i else 0
        return replace(record, sequence=before) if before else record

    def problem(self, line: int, reason: str) -> None:
        """Say that a line could not be used."""
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(self.text.name, line, reason))
        else:
            self._unsaid += 1

    def note(self, line: int, text: str) -> None:
        """Say something about a file that is in order."""
        self.notes.append(Problem(self.text.name, line, text))

    @contextmanager
    def line(self, number: int) -> Iterator[None]:
        """Turn what is wrong with one line into a problem, and go on with the next."""
        try:
            yield
        except HiddenKeyError as hidden:
            self.problem(number, f"{hidden}; {self.advice}" if self.advice else str(hidden))
        except (KeyLineError, AlgorithmError, UnknownAlgorithmError) as wrong:
            self.problem(number, str(wrong))

    def all_problems(self) -> tuple[Problem, ...]:
        """Every problem in the order of the lines, and how many more there were."""
        told = sorted(self.problems, key=lambda problem: problem.line)
        if self._unsaid:
            told.append(Problem(self.text.name, 0, f"{self._unsaid} more problems are not listed"))
        return tuple(told)


class HiddenKeyError(KeyLineError):
    """A placeholder where a key should be."""

    def __init__(self) -> None:
        super().__init__("the key is hidden in this output")


def _identity(record: KeyRecord) -> object:
    """What makes two records the same: for an SA which it is and its keys, else everything but where they stand."""
    if isinstance(record, SaKeys):
        cipher = record.encryption.row.name if record.encryption and record.encryption.row else ""
        mac = record.integrity.row.name if record.integrity and record.integrity.row else ""
        keys = (record.encryption_key, record.integrity_key)
        return (SaKeys, record.protocol, record.spi, record.src, record.dst, cipher, mac, *keys)
    names = (name for name in record.__struct_fields__ if name not in ("origin", "sequence"))
    return (type(record), *(getattr(record, name) for name in names))


def check_sa(record: SaKeys) -> None:
    """Raise KeyLengthError unless the keys of an SA fit its algorithms, HiddenKeyError when they are all zero."""
    for key in (record.encryption_key, record.integrity_key):
        if len(key) >= MIN_HIDDEN and key.is_zero:
            raise HiddenKeyError
    if record.encryption is not None and record.encryption.row is not None and record.encryption.row.key_sizes:
        record.encryption.row.check_key(len(record.encryption_key))
    integrity = record.integrity.row if record.integrity is not None else None
    if integrity is not None and integrity.mac:
        integrity.check_key(len(record.integrity_key))


# -- words to values ---------------------------------------------------------------------------------------------


def secret_of(text: str, *, may_be_text: bool = False) -> Secret:
    """A key in hexadecimal, with or without ``0x``, with blanks or hyphens between groups.

    With ``may_be_text`` a key without ``0x`` is its own characters, as Wireshark and tcpdump have it.
    Raises KeyLineError, HiddenKeyError.
    """
    if HIDDEN.fullmatch(text):
        raise HiddenKeyError
    digits = text.strip()
    is_hex = digits[:2] in ("0x", "0X")
    if may_be_text and digits and not is_hex:
        return Secret(digits.encode())
    secret = Secret(_octets(digits[2:] if is_hex else digits, "key"))
    if len(secret) >= MIN_HIDDEN and secret.is_zero:
        raise HiddenKeyError
    return secret


def octets_of(text: str, what: str = "value") -> bytes:
    """Octets that are no secret, in hexadecimal. Raises KeyLineError."""
    digits = text.strip()
    return _octets(digits[2:] if digits[:2] in ("0x", "0X") else digits, what)


def _octets(digits: str, what: str) -> bytes:
    digits = BETWEEN_DIGITS.sub("", digits)
    if NOT_HEX.search(digits):
        raise KeyLineError(f"the {what} has characters that are not hexadecimal digits")
    if len(digits) % 2:
        raise KeyLineError(f"the {what} has an odd number of hexadecimal digits ({len(digits)})")
    if len(digits) // 2 > MAX_SECRET:
        raise KeyLineError(f"the {what} is longer than {MAX_SECRET} octets")
    return bytes.fromhex(digits)


def ike_spi(text: str) -> bytes | None:
    """An IKE SPI or cookie in hexadecimal, leading zeros allowed to be missing; None for nothing or all zero.

    Raises KeyLineError.
    """
    digits = text.strip()
    digits = digits[2:] if digits[:2] in ("0x", "0X") else digits
    if not digits or digits == "*":
        return None
    if len(digits) > 2 * COOKIE_SIZE or NOT_HEX.search(digits):
        raise KeyLineError("an IKE SPI has 16 hexadecimal digits")
    spi = int(digits, 16).to_bytes(COOKIE_SIZE, "big")
    return spi if any(spi) else None


def sa_spi(text: str, *, base: int = 0) -> int | None:
    """An ESP or AH SPI, hexadecimal with ``0x`` and decimal without (or in ``base``); None for a wildcard.

    Raises KeyLineError.
    """
    digits = text.strip()
    if "*" in digits or not digits:
        return None
    is_hex = base == 16 or digits[:2] in ("0x", "0X")
    digits = digits[2:] if digits[:2] in ("0x", "0X") else digits
    if len(digits) <= 16 and not NOT_HEX.search(digits) and (is_hex or (digits.isascii() and digits.isdecimal())):
        number = int(digits or "0", 16 if is_hex else 10)
        if number <= MAX_SPI:
            return number
    raise KeyLineError("an SPI is a number of 32 bits")


def address_of(text: str) -> str | None:
    """An IP address in its short form; None for a wildcard or the unspecified address. Raises KeyLineError."""
    bare = text.strip().strip("[]").partition("%")[0]
    if not bare or "*" in bare or "/" in bare or bare.lower() in ("any", "0.0.0.0", "::"):  # noqa: S104
        return None
    try:
        return str(ipaddress.ip_address(bare))
    except ValueError:
        pass  # its text would quote what may be a key in the wrong column
    raise KeyLineError("not an IP address")


def protocol_of(text: str) -> SecurityProtocol | None:
    """ESP or AH from its name; None for anything else."""
    word = text.strip().lower()
    if word.startswith("esp"):
        return SecurityProtocol.ESP
    return SecurityProtocol.AH if word == "ah" else None


def checked_name(name: str) -> str:
    """A name that may stand in a message. Raises KeyLineError for one that may be a key in the wrong place."""
    if len(name) > MAX_NAME or HEX_RUN.search(name):
        raise KeyLineError("something that is no name stands where an algorithm's name should")
    return "".join(character if character.isprintable() else "?" for character in name.strip())


def encryption_named(name: str, icv_bits: int | None = None) -> NamedEncryption:
    """The encryption algorithm a source calls ``name``. Raises KeyLineError, UnknownAlgorithmError."""
    clean = checked_name(name)
    row, key_bits = encryption_by_name(clean, icv_bits)
    return NamedEncryption(clean, row, key_bits)


def integrity_named(name: str, icv_bits: int | None = None) -> NamedIntegrity:
    """The integrity algorithm a source calls ``name``. Raises KeyLineError, UnknownAlgorithmError."""
    clean = checked_name(name)
    return NamedIntegrity(clean, integrity_by_name(clean, icv_bits))


def prf_named(name: str) -> NamedPrf:
    """The prf or hash a source calls ``name``. Raises KeyLineError, UnknownAlgorithmError."""
    clean = checked_name(name)
    return NamedPrf(clean, prf_by_name(clean))


def group_named(name: str) -> NamedGroup:
    """The key exchange method a source calls ``name``; without a number when this program knows none."""
    clean = checked_name(name)
    try:
        return NamedGroup(clean, group_by_name(clean).id)
    except UnknownAlgorithmError:
        return NamedGroup(clean)


def with_key_bits(encryption: NamedEncryption, key: Secret) -> NamedEncryption:
    """The same with the Key Length that a key of this length, salt included, has. Raises KeyLengthError."""
    row = encryption.row
    if row is None or not row.key_sizes:
        return encryption
    bits = row.key_bits_of(len(key))
    if encryption.key_bits not in (None, bits):
        raise KeyLineError(f"{len(key)} octets of key for {encryption.name}")
    return NamedEncryption(encryption.name, row, bits)
