"""Data attributes of ISAKMP, RFC 2408 section 3.3: a type, and a value of two octets or of any length.

The tables of attribute types differ by protocol (phase 1, phase 2, configuration, GDOI), so each table has a pair of
classes: one for the short form (format bit set), one for the long form. Nothing is shared with IKEv2.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final

import msgspec

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.wire import U16, Array, Codec, Reader, Sized, SizeOf, Struct, WireError

FORMAT_BIT: Final = 0x8000
MAX_INTEGER_SIZE: Final = 8  # octets of a value that is read as a number; longer ones stay octets
SHOWN_OCTETS: Final = 16  # octets of a long value in a summary

CodePointClass = type[CodePoint]


class AttributeType(Codec):
    """A 15-bit attribute type behind a format bit that the class of the attribute fixes."""

    def __init__(self, *, short: bool) -> None:
        self.mark = FORMAT_BIT if short else 0

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the type. Raises WireError when the format bit is the other one."""
        del by
        start = reader.pos
        number = int.from_bytes(reader.take(2), "big")
        if number & FORMAT_BIT != self.mark:
            raise WireError("the attribute is of the other format", start, reader.pos)
        return number & ~FORMAT_BIT

    def put(self, out: bytearray, value: Any) -> None:
        """Append the type with its format bit."""
        out += (int(value) | self.mark).to_bytes(2, "big")


SHORT = AttributeType(short=True)
LONG = AttributeType(short=False)


class Attribute(Struct, rfc="2408 3.3"):
    """What both forms of an attribute have in common; see ``ShortAttribute`` and ``LongAttribute``."""

    names: ClassVar[Mapping[int, CodePointClass]] = {}  # the tables of the values that have names

    attribute_type: Annotated[int, LONG]

    @property
    def octets(self) -> bytes:
        """The value as octets."""
        return b""

    @property
    def number(self) -> int | None:
        """The value as a number; None when it has more than ``MAX_INTEGER_SIZE`` octets, or none."""
        octets = self.octets
        return int.from_bytes(octets, "big") if 0 < len(octets) <= MAX_INTEGER_SIZE else None

    @property
    def meaning(self) -> CodePoint | None:
        """The value as a code point; None when its type has no table of values."""
        table, number = self.names.get(int(self.attribute_type)), self.number
        return None if table is None or number is None else table(number)

    @property
    def text(self) -> str:
        """The value in words: its name, a number, or octets in hexadecimal."""
        if self.meaning is not None:
            return str(self.meaning)
        return show_octets(self.octets) if self.number is None else str(self.number)

    def summary(self) -> str:
        """Type and value, such as ``ENCRYPTION_ALGORITHM=AES_CBC``."""
        return f"{self.attribute_type}={self.text}"


class ShortAttribute(Attribute, rfc="2408 3.3"):
    """An attribute in type/value form: its value is a number of 16 bits."""

    attribute_type: Annotated[int, SHORT]
    value: Annotated[int, U16]

    @property
    def octets(self) -> bytes:
        """The value as octets."""
        return self.value.to_bytes(2, "big")


class LongAttribute(Attribute, rfc="2408 3.3"):
    """An attribute in type/length/value form."""

    attribute_type: Annotated[int, LONG]
    length: Annotated[int | None, U16, SizeOf("value")] = None
    value: Annotated[bytes, Sized("length")] = b""

    @property
    def octets(self) -> bytes:
        """The value as octets."""
        return self.value


def format_bit(reader: Reader) -> int:
    """The format bit of the attribute at the cursor: 1 for the short form."""
    return reader.data[reader.pos] >> 7


def attributes_of(short: type[ShortAttribute], long: type[LongAttribute]) -> Array:
    """The codec of a list of attributes of one table, up to the bound of the enclosing structure."""
    return Array(long, format_bit, {1: short})


def show_octets(octets: bytes) -> str:
    """Octets in hexadecimal, long ones cut with their number said."""
    if len(octets) <= SHOWN_OCTETS:
        return octets.hex()
    return f"{octets[:SHOWN_OCTETS].hex()}… ({len(octets)} octets)"


class Lifetime(msgspec.Struct, frozen=True):
    """One life type with its duration. ``duration`` is None when the sender wrote more octets than a number has."""

    life_type: CodePoint
    duration: int | None
    octets: int

    def __str__(self) -> str:
        value = f"a number of {self.octets} octets" if self.duration is None else str(self.duration)
        return f"{value} {self.life_type}"
