"""AGGFRAG payloads (IP-TFS), RFC 9347: inner packets aggregated and fragmented into ESP payloads of one size."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Annotated, Final, Self, cast

import msgspec

from ipsecscope.dissect.registry.ikev2 import AggfragSubtype
from ipsecscope.dissect.wire import REST, U8, U16, U32, U64, Field, Reader, Struct

RTT_SHIFT: Final = 42  # the 64 bits hold RTT (22), Echo Delay (21) and Transmit Delay (21)
ECHO_SHIFT: Final = 21
DELAY_MASK: Final = (1 << 21) - 1
MAX_BLOCKS: Final = 4096  # data blocks in one payload; the smallest takes 20 octets
MAX_PACKET: Final = 65575  # an IPv6 packet without jumbo option
MAX_JOINED: Final = 65536  # packets that one call of ``join`` gives back


class BlockKind(Enum):
    """The type of a data block: its first four bits (section 6.1.3)."""

    PAD = 0
    IPV4 = 4
    IPV6 = 6
    CONTINUATION = -1  # the rest of a block that began in an earlier payload
    UNKNOWN = -2


class DataBlock(msgspec.Struct, frozen=True):
    """One data block, or the part of it that this payload holds; offsets are within the data blocks field."""

    kind: BlockKind
    start: int
    stop: int
    length: int | None  # what the inner IP header claims; None for padding, continuations and cut headers

    @property
    def is_complete(self) -> bool:
        """Whether all of the inner packet is in this payload."""
        return self.length is not None and self.stop - self.start == self.length


class AggfragPayload(Struct, rfc="9347 6.1"):
    """An AGGFRAG payload; ``parse`` gives the class of its sub-type. Sub-types without a class keep their octets."""

    @classmethod
    def _class_at(cls, reader: Reader) -> type[AggfragPayload]:
        if cls is not AggfragPayload:
            return cls
        subtype = reader.data[reader.pos] if reader.left else -1
        chosen: type[AggfragPayload] = AggfragUnknown
        if subtype == AggfragSubtype.NON_CONGESTION_CONTROL:
            chosen = AggfragPlain
        elif subtype == AggfragSubtype.CONGESTION_CONTROL:
            chosen = AggfragCongestion
        return chosen

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Read the payload as the class of its sub-type. Raises WireError."""
        return cast("Self", super(AggfragPayload, cls._class_at(reader)).read(reader))

    @classmethod
    def trace(cls, reader: Reader, name: str = "") -> Field:
        """Trace the payload as the class of its sub-type. Raises WireError."""
        return super(AggfragPayload, cls._class_at(reader)).trace(reader, name)

    def blocks(self) -> tuple[DataBlock, ...]:
        """The data blocks in order; a cut or unknown one ends the list."""
        return ()

    def contents(self) -> tuple[bytes, int]:
        """The data blocks field, and where the first block that begins in it begins."""
        return b"", 0


class AggfragPlain(AggfragPayload, rfc="9347 6.1.1"):
    """An AGGFRAG payload without congestion control information."""

    subtype: Annotated[AggfragSubtype, U8] = AggfragSubtype.NON_CONGESTION_CONTROL
    reserved: Annotated[int, U8] = 0
    block_offset: Annotated[int, U16] = 0
    data_blocks: Annotated[bytes, REST] = b""

    def blocks(self) -> tuple[DataBlock, ...]:
        """The data blocks in order; a cut or unknown one ends the list."""
        return walk_blocks(self.data_blocks, self.block_offset)

    def contents(self) -> tuple[bytes, int]:
        """The data blocks field, and where the first block that begins in it begins."""
        return self.data_blocks, self.block_offset

    def summary(self) -> str:
        """How many data blocks there are."""
        return f"AGGFRAG, {len(self.blocks())} blocks"


class AggfragCongestion(AggfragPayload, rfc="9347 6.1.2"):
    """An AGGFRAG payload with congestion control information; ``flags`` holds P (bit 1) and E (bit 0)."""

    subtype: Annotated[AggfragSubtype, U8] = AggfragSubtype.CONGESTION_CONTROL
    flags: Annotated[int, U8] = 0
    block_offset: Annotated[int, U16] = 0
    loss_event_rate: Annotated[int, U32] = 0
    delays: Annotated[int, U64] = 0
    timestamp_value: Annotated[int, U32] = 0
    timestamp_echo: Annotated[int, U32] = 0
    data_blocks: Annotated[bytes, REST] = b""

    @property
    def path_mtu_discovery(self) -> bool:
        """The P bit: the payload is a path MTU probe."""
        return bool(self.flags & 0x02)

    @property
    def congestion_experienced(self) -> bool:
        """The E bit: the sender saw ECN congestion marks."""
        return bool(self.flags & 0x01)

    @property
    def round_trip_time(self) -> int:
        """The sender's estimate of the round trip time, in microseconds (22 bits)."""
        return self.delays >> RTT_SHIFT

    @property
    def echo_delay(self) -> int:
        """Microseconds between the arrival of the echoed time stamp and its echo (21 bits)."""
        return self.delays >> ECHO_SHIFT & DELAY_MASK

    @property
    def transmit_delay(self) -> int:
        """Microseconds between two transmissions at the sender (21 bits)."""
        return self.delays & DELAY_MASK

    def blocks(self) -> tuple[DataBlock, ...]:
        """The data blocks in order; a cut or unknown one ends the list."""
        return walk_blocks(self.data_blocks, self.block_offset)

    def contents(self) -> tuple[bytes, int]:
        """The data blocks field, and where the first block that begins in it begins."""
        return self.data_blocks, self.block_offset

    def summary(self) -> str:
        """How many data blocks there are, and the loss that the sender sees."""
        return f"AGGFRAG, {len(self.blocks())} blocks, loss event rate {self.loss_event_rate}"


class AggfragUnknown(AggfragPayload, rfc="9347 6.1"):
    """An AGGFRAG payload of a sub-type that nobody described, or an empty one."""

    data: Annotated[bytes, REST] = b""

    def summary(self) -> str:
        """The sub-type."""
        return f"AGGFRAG sub-type {self.data[0]}" if self.data else "AGGFRAG without octets"


def walk_blocks(data: bytes, offset: int) -> tuple[DataBlock, ...]:
    """The data blocks of one payload (section 6.1.3), the first new one at ``offset``."""
    position = min(offset, len(data))
    found = [DataBlock(BlockKind.CONTINUATION, 0, position, None)] if position else []
    while position < len(data) and len(found) < MAX_BLOCKS:
        found.append(_block(data, position))
        position = found[-1].stop
    return tuple(found)


def _block(data: bytes, start: int) -> DataBlock:
    """The block that begins at ``start``: as long as its IP header says, at most to the end of the field."""
    version = data[start] >> 4
    if version == BlockKind.PAD.value:
        return DataBlock(BlockKind.PAD, start, len(data), None)
    length = _claimed(data, start)
    if version not in (4, 6) or length == 0:
        return DataBlock(BlockKind.UNKNOWN, start, len(data), None)
    stop = len(data) if length is None else min(start + length, len(data))
    return DataBlock(BlockKind(version), start, stop, length)


def _claimed(data: bytes, start: int) -> int | None:
    """The length in the IP header at ``start``; None when it is cut off, 0 when it cannot be one."""
    if data[start] >> 4 == 4:
        if len(data) - start < 4:
            return None
        length = int.from_bytes(data[start + 2 : start + 4], "big")
        return length if length >= 20 else 0
    return 40 + int.from_bytes(data[start + 4 : start + 6], "big") if len(data) - start >= 6 else None


def join(payloads: Iterable[AggfragPayload]) -> tuple[bytes, ...]:
    """The inner packets of consecutive payloads, in order; those whose beginning or rest is missing are left out."""
    packets: list[bytes] = []
    partial = b""
    for payload in payloads:
        data, _ = payload.contents()
        for block in payload.blocks():
            piece = data[block.start : block.stop]
            if block.kind is BlockKind.CONTINUATION:
                piece = partial + piece if partial else b""
            partial = b""
            length = _claimed(piece, 0) if piece and piece[0] >> 4 in (4, 6) else 0
            if length is not None and 0 < length <= len(piece):
                packets.append(piece[:length])
            elif length != 0 and len(piece) < MAX_PACKET:
                partial = piece
            if len(packets) >= MAX_JOINED:
                return tuple(packets)
    return tuple(packets)
