"""Vendor IDs: which octets say which product, version or extension."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class Identified(msgspec.Struct, frozen=True):
    """What a Vendor ID says: its name, whose it is, and what its octets carry besides."""

    name: str
    vendor: str
    fields: Mapping[str, str | int] = {}


def identify(data: bytes) -> Identified | None:
    """The meaning of a Vendor ID payload's octets; None when nobody knows them."""
    del data
    return None
