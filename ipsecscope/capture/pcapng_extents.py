"""Where pcapng blocks begin and end: measuring them in place, and finding one again after damage.

Functions over a window of bytes; nothing here reads a file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import Enum

import numpy as np

from ipsecscope.capture.pcapng_blocks import BYTE_ORDER_MAGIC, MIN_LENGTH, Block, padded

MAX_BLOCK = 16 * 1024 * 1024 + 128 * 1024  # octets of one block
MAX_FOUND_BLOCK = 512 * 1024  # octets of a block at which reading may go on after damage

SECTION_MAGIC = bytes.fromhex("0a0d0d0a")
ORDERS = {struct.pack(order + "I", BYTE_ORDER_MAGIC): order for order in "<>"}

_SCAN = 256 * 1024
_FIRST_SCAN = 4 * 1024
_KNOWN = np.array([*MIN_LENGTH], np.uint32)
_KNOWN_EITHER_WAY = np.concatenate((_KNOWN, _KNOWN.byteswap()))


class Extent(Enum):
    """What stands at an offset when it is no whole block."""

    PARTIAL = "it leaves the window"
    BROKEN = "its lengths make no sense"


def order_at(buffer: bytes, at: int, order: str) -> str | None:
    """The byte order of the block at ``at``: a section says its own; None when it says nothing known."""
    if buffer[at : at + 4] == SECTION_MAGIC:
        return ORDERS.get(buffer[at + 8 : at + 12])
    return order


def measure(buffer: bytes, at: int, order: str) -> int | Extent:
    """Where the block at ``at`` ends, if it is whole and its lengths agree."""
    if at + 12 > len(buffer):
        return Extent.PARTIAL
    own = order_at(buffer, at, order)
    if own is None:
        return Extent.BROKEN
    length = int(struct.unpack_from(own + "I", buffer, at + 4)[0])
    if not 12 <= length <= MAX_BLOCK:
        return Extent.BROKEN
    stop = _confirmed(buffer, at, length, own)
    if stop is None and at + padded(length) > len(buffer):
        return Extent.PARTIAL
    return stop or Extent.BROKEN


def neighbour(buffer: bytes, at: int, order: str) -> int | None:
    """Where the block at ``at`` ends if its trailing length alone is wrong, for there the next one is in its place."""
    own = order_at(buffer, at, order)
    if own is None:
        return None
    stop = at + int(struct.unpack_from(own + "I", buffer, at + 4)[0])
    return stop if stop >= at + 12 and agreed(buffer, stop, own) is not None else None


def _confirmed(buffer: bytes, at: int, length: int, order: str) -> int | None:
    """The end of a block whose two lengths agree; some writers count the padding, some do not."""
    for size in (length, padded(length)):
        if at + size <= len(buffer) and struct.unpack_from(order + "I", buffer, at + size - 4)[0] == length:
            return at + size
    return None


def agreed(buffer: bytes, at: int, order: str) -> int | None:
    """The end of a block of a known type at ``at`` whose lengths agree, if one is there."""
    own = order_at(buffer, at, order)
    if own is None or at + 12 > len(buffer):
        return None
    kind, length = struct.unpack_from(own + "II", buffer, at)
    if kind not in MIN_LENGTH or length & 3 or not MIN_LENGTH[Block(kind)] <= length <= MAX_FOUND_BLOCK:
        return None
    if at + length > len(buffer):
        return None
    if kind in {Block.ENHANCED_PACKET, Block.PACKET}:
        (captured,) = struct.unpack_from(own + "I", buffer, at + 20)
        if captured > length - 32:
            return None
    return _confirmed(buffer, at, length, own)


def is_start(buffer: bytes, at: int, order: str) -> bool:
    """Whether reading may go on at ``at``, found by searching: small blocks need another block behind them."""
    stop = agreed(buffer, at, order)
    if stop is None:
        return False
    (kind,) = struct.unpack_from(order + "I", buffer, at)
    if kind in {Block.ENHANCED_PACKET, Block.SECTION} or stop + 12 > len(buffer):
        return True
    return agreed(buffer, stop, order) is not None


def candidates(buffer: bytes, low: int, high: int) -> Iterator[int]:
    """Offsets from ``low`` up to ``high`` where a known block type and a believable length stand, in either order."""
    size = _FIRST_SCAN
    high = min(high, len(buffer) - 11)
    while low < high:
        count = min(size, high - low)
        kinds = np.ndarray((count,), "<u4", buffer, low, strides=(1,))
        index = np.flatnonzero(np.isin(kinds, _KNOWN_EITHER_WAY))
        lengths = np.ndarray((count,), "<u4", buffer, low + 4, strides=(1,))[index]
        believable = (lengths <= MAX_FOUND_BLOCK) | (lengths.byteswap() <= MAX_FOUND_BLOCK)
        yield from (low + index[believable]).tolist()
        low += count
        size = _SCAN
