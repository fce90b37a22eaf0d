"""What a row of the Vendor ID tables is, and the ways in which vendors made their octets.

Most Vendor IDs are the MD5 of a string (RFC 2408 section 3.16 suggests it); where the string is known the row keeps
the string and the octets are computed, so that the table can be checked by reading it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

import msgspec

Fields = Mapping[str, str | int]
Reader = Callable[[bytes], Fields]

NO_FIELDS: Final[Fields] = MappingProxyType({})

IKEV1: Final = (1,)
IKEV2: Final = (2,)


class VendorId(msgspec.Struct, frozen=True):
    """One row: what to look for and what it means.

    ``octets`` is the whole Vendor ID, or its beginning if ``prefix``. ``origin`` is the string the octets were made
    from, if it is known. ``ike_versions`` are the IKE versions it is met in; empty when it may be met in both or nobody
    said. ``fields`` is what the row itself says (a version), ``read`` finds more behind a prefix. ``text`` prefixes are
    followed by printable ASCII only; ``offset`` is where the octets stand.
    """

    name: str
    vendor: str
    octets: bytes
    prefix: bool = False
    origin: str = ""
    ike_versions: tuple[int, ...] = ()
    fields: Fields = {}
    read: Reader | None = None
    text: bool = False
    offset: int = 0
    size: int | None = None  # of the whole Vendor ID, where the prefix alone would match too much


def md5(text: str) -> bytes:
    """The MD5 of a string: the usual way to make a Vendor ID."""
    return hashlib.md5(text.encode(), usedforsecurity=False).digest()


def printable_md5(prefix: bytes, text: str, size: int = 12) -> bytes:
    """How pluto makes its Vendor ID: a prefix, then the MD5 of a string mapped into the printable range 64 to 127."""
    digest = md5(text)[: size - len(prefix)]
    return prefix + bytes(octet & 0x7F | 0x40 for octet in digest)


def hashed(
    text: str, vendor: str, *, name: str = "", ike_versions: tuple[int, ...] = (), fields: Fields = NO_FIELDS
) -> VendorId:
    """A row for the MD5 of ``text``."""
    return VendorId(name or text, vendor, md5(text), origin=text, ike_versions=ike_versions, fields=fields)


def hashed_prefix(
    text: str, size: int, vendor: str, *, name: str = "", read: Reader | None = None, ike_versions: tuple[int, ...] = ()
) -> VendorId:
    """A row for the first ``size`` octets of the MD5 of ``text``, with something of the vendor's behind them."""
    octets = md5(text)[:size]
    return VendorId(name or text, vendor, octets, prefix=True, origin=text, ike_versions=ike_versions, read=read)


def literal(
    text: str, vendor: str, *, name: str = "", ike_versions: tuple[int, ...] = (), fields: Fields = NO_FIELDS
) -> VendorId:
    """A row for a Vendor ID that is a readable string."""
    return VendorId(name or text, vendor, text.encode(), origin=text, ike_versions=ike_versions, fields=fields)


def literal_prefix(
    text: str, vendor: str, *, name: str = "", read: Reader | None = None, ike_versions: tuple[int, ...] = ()
) -> VendorId:
    """A row for Vendor IDs that are a readable string beginning with ``text``."""
    octets = text.encode()
    label = name or text
    return VendorId(label, vendor, octets, prefix=True, origin=text, ike_versions=ike_versions, read=read, text=True)


def raw(
    hexadecimal: str, name: str, vendor: str, *, ike_versions: tuple[int, ...] = (), fields: Fields = NO_FIELDS
) -> VendorId:
    """A row for octets that nobody outside knows the making of."""
    return VendorId(name, vendor, bytes.fromhex(hexadecimal), ike_versions=ike_versions, fields=fields)


def raw_prefix(
    hexadecimal: str,
    name: str,
    vendor: str,
    *,
    read: Reader | None = None,
    ike_versions: tuple[int, ...] = (),
    size: int | None = None,
) -> VendorId:
    """A row for octets that nobody outside knows the making of, with something of the vendor's behind them."""
    octets = bytes.fromhex(hexadecimal)
    return VendorId(name, vendor, octets, prefix=True, ike_versions=ike_versions, read=read, size=size)
