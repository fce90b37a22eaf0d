"""Vendor IDs: which octets say which product, version or extension (RFC 2408 section 3.16, RFC 7296 section 3.12).

The rows are in ``vendor_swan``, ``vendor_extensions`` and ``vendor_products``. A Vendor ID is looked up whole first, then
by its longest known beginning.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from ipsecscope.dissect.registry import vendor_extensions, vendor_products, vendor_swan
from ipsecscope.dissect.registry.vendor_rows import Fields, VendorId

__all__ = ["VENDOR_IDS", "Identified", "VendorId", "identify"]

CISCO_IOS_MASK: Final = bytes.fromhex("f5c7a71d00010000")
CISCO_IOS_SIZE: Final = 16
PRINTABLE: Final = range(0x20, 0x80)  # pluto's hashes reach 0x7F

VENDOR_IDS: Final[tuple[VendorId, ...]] = (*vendor_swan.ROWS, *vendor_extensions.ROWS, *vendor_products.ROWS)
"""Every row; of rows with the same octets the first one counts."""


class Identified(msgspec.Struct, frozen=True):
    """What a Vendor ID says: its name, whose it is, and what its octets carry besides.

    ``vendor`` is empty for an extension that anybody may announce. ``fields`` are named values such as ``version``,
    ``build`` or ``operating_system``.
    """

    name: str
    vendor: str
    fields: Fields = {}

    def __str__(self) -> str:
        version = self.fields.get("operating_system", self.fields.get("version"))
        if version is None or str(version) in self.name:
            return self.name
        return f"{self.name} {version}"


def _first_of_each(rows: Iterable[VendorId]) -> dict[bytes, VendorId]:
    found: dict[bytes, VendorId] = {}
    for row in rows:
        found.setdefault(row.octets, row)
    return found


_EXACT: Final = _first_of_each(row for row in VENDOR_IDS if not row.prefix)
_PREFIXES: Final = _first_of_each(row for row in VENDOR_IDS if row.prefix and not row.offset)
_ELSEWHERE: Final = tuple(row for row in VENDOR_IDS if row.offset)
_PREFIX_SIZES: Final = tuple(sorted({len(octets) for octets in _PREFIXES}, reverse=True))


def identify(data: bytes, spis: Iterable[bytes] = ()) -> Identified | None:
    """The meaning of a Vendor ID payload's octets; None when nobody knows them.

    Args:
        data: the octets behind the generic payload header.
        spis: the SPIs (cookies) of the IKE SA, if they are at hand: Cisco IOS makes a Vendor ID from its own.
    """
    row = _EXACT.get(data)
    if row is not None:
        return _read(row, b"")
    for size in _PREFIX_SIZES:
        row = _PREFIXES.get(data[:size])
        if row is not None and _fits(row, data):
            return _read(row, data[size:])
    for row in _ELSEWHERE:
        if data[row.offset : row.offset + len(row.octets)] == row.octets:
            return _read(row, data[row.offset + len(row.octets) :])
    if _is_cisco_ios(data, spis):
        return Identified("Cisco IOS", vendor_products.CISCO)
    return None


def _fits(row: VendorId, data: bytes) -> bool:
    """Whether the octets behind the prefix may be there."""
    if row.size is not None and len(data) != row.size:
        return False
    return not row.text or all(octet in PRINTABLE for octet in data[len(row.octets) :])


def _read(row: VendorId, rest: bytes) -> Identified:
    more = row.read(rest) if row.read is not None and rest else {}
    return Identified(row.name, row.vendor, {**row.fields, **more})


def _is_cisco_ios(data: bytes, spis: Iterable[bytes]) -> bool:
    """Whether the octets begin with one of the SPIs under the mask that IOS lays over its own."""
    if len(data) != CISCO_IOS_SIZE:
        return False
    spi = bytes(octet ^ mask for octet, mask in zip(data, CISCO_IOS_MASK, strict=False))
    return any(spi == each for each in spis)
