"""Field codecs that only IKEv2 layouts need: half-octet flags, lists of numbers, attribute markers, lists of SPIs.

Like the kernel's codecs, each reads and writes one field and knows nothing of the structure around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.wire import MAX_ITEMS, Codec, Field, Reader, Struct, WireError

_TOP = 0x8000


class TopBit(Codec):
    """The first bit of a 16-bit field whose other 15 bits are the next field (``Low15``)."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the bit; the cursor stays where it is."""
        del by
        if reader.left < 1:
            raise WireError("1 octet needed, 0 left", reader.pos, reader.end)
        return reader.data[reader.pos] >> 7

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octet that ``Low15`` completes."""
        out.append((value & 1) << 7)


class Low15(Codec):
    """The 15 bits behind a ``TopBit``."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the number without the bit in front of it."""
        del by
        return int.from_bytes(reader.take(2), "big") & (_TOP - 1)

    def put(self, out: bytearray, value: Any) -> None:
        """Complete the octet that ``TopBit`` wrote."""
        out[-1] |= value >> 8
        out.append(value & 0xFF)


class Marked(Codec):
    """A 15-bit attribute type behind a format bit that the class of the attribute fixes (RFC 7296 section 3.3.5)."""

    def __init__(self, *, bit: bool) -> None:
        self.mark = _TOP if bit else 0

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the type. Raises WireError when the format bit is the other one."""
        del by
        start = reader.pos
        number = int.from_bytes(reader.take(2), "big")
        if number & _TOP != self.mark:
            raise WireError("the attribute format bit does not fit", start, reader.pos)
        return number & (_TOP - 1)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the type with its format bit."""
        out += (value | self.mark).to_bytes(2, "big")


class Numbers(Codec):
    """Numbers of one width up to the bound, each a code point."""

    def __init__(self, kind: type[CodePoint], size: int = 2) -> None:
        self.kind = kind
        self.size = size

    def get(self, reader: Reader, by: int = 0) -> tuple[CodePoint, ...]:
        """Read the numbers. Raises WireError when a part of one is left over."""
        del by
        if reader.left % self.size:
            raise WireError(f"{reader.left} octets are no list of {self.size}-octet numbers", reader.pos, reader.end)
        return tuple(self.kind(int.from_bytes(reader.take(self.size), "big")) for _ in range(reader.left // self.size))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the numbers."""
        for number in value:
            out += int(number).to_bytes(self.size, "big")


class CountedNumbers(Numbers):
    """As many numbers as the earlier field ``by`` says."""

    def __init__(self, kind: type[CodePoint], by: str, size: int = 2) -> None:
        super().__init__(kind, size)
        self.by = by

    def get(self, reader: Reader, by: int = 0) -> tuple[CodePoint, ...]:
        """Read the numbers."""
        return tuple(self.kind(int.from_bytes(reader.take(self.size), "big")) for _ in range(by))


class Chunks(Codec):
    """Octet strings up to the bound, each as long as the earlier field ``by`` says."""

    def __init__(self, by: str) -> None:
        self.by = by

    def get(self, reader: Reader, by: int = 0) -> tuple[bytes, ...]:
        """Read the strings. Raises WireError when the octets left are not a multiple of their length."""
        left = reader.left
        if left == 0:
            return ()
        if by == 0 or left % by:
            raise WireError(f"{left} octets are no list of items of {by}", reader.pos, reader.end)
        if left // by > MAX_ITEMS * 16:
            raise WireError(f"more than {MAX_ITEMS * 16} items", reader.pos, reader.end)
        return tuple(reader.take(by) for _ in range(left // by))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the strings."""
        for item in value:
            out += item


class AllBut(Codec):
    """All octets up to the bound but the last ``count``."""

    def __init__(self, count: int) -> None:
        self.count = count

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the octets. Raises WireError when fewer than ``count`` are left."""
        del by
        if reader.left < self.count:
            raise WireError(f"{self.count} octets needed, {reader.left} left", reader.pos, reader.end)
        return reader.take(reader.left - self.count)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the octets."""
        out += value


class Sequence(Codec):
    """Structures one behind the other up to the one that says it is the last (its field ``last`` is 0).

    For lists that something else follows: the transforms inside a group policy (RFC 9838 section 4.4.2).
    """

    def __init__(self, item: type[Struct]) -> None:
        self.item = item

    def _walk(self, reader: Reader, read: Callable[[int], Any], unwrap: Callable[[Any], Any]) -> Iterator[Any]:
        for index in range(MAX_ITEMS):
            if reader.left == 0:
                return
            found = read(index)
            yield found
            if not _says_more(unwrap(found), reader):
                return
        raise WireError(f"more than {MAX_ITEMS} substructures", reader.pos, reader.end)

    def get(self, reader: Reader, by: int = 0) -> tuple[Struct, ...]:
        """Read the structures."""
        del by
        return _settle(tuple(self._walk(reader, lambda _: self.item.read(reader), lambda item: item)))

    def put(self, out: bytearray, value: Any) -> None:
        """Append the structures; the last one is told that it is the last."""
        final = len(value) - 1
        for index, item in enumerate(value):
            item.write(out, last=index == final)

    def trace(self, reader: Reader, name: str, by: int = 0) -> Field:
        """Read the structures and record where each stood."""
        del by
        start = reader.pos
        fields = self._walk(
            reader, lambda index: self.item.trace(reader, f"{name}[{index}]"), lambda field: field.value
        )
        items = tuple(fields)
        return Field(name, start, reader.pos, _settle(tuple(item.value for item in items)), items)


def _says_more(item: Any, reader: Reader) -> bool:
    """Whether the item announces another one. None is what its class computes from the octets left: see ``More``."""
    return bool(reader.left) if item.last is None else item.last != 0


def _settle(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """Forget the 0 of the last item: it is what the RFC says it must be."""
    if items and items[-1].last == 0:
        return (*items[:-1], msgspec.structs.replace(items[-1], last=None))
    return items
