"""The IKE header: one layout for ISAKMP (RFC 2408 section 3.1) and IKEv2 (RFC 7296 section 3.1)."""

from __future__ import annotations

from enum import IntFlag
from typing import Annotated

from ipsecscope.dissect.wire import U8, U32, Bytes, Struct

HEADER_SIZE = 28


class Flags(IntFlag):
    """IKEv2 header flags, RFC 7296 section 3.1."""

    INITIATOR = 0x08
    VERSION = 0x10
    RESPONSE = 0x20


class IsakmpFlags(IntFlag):
    """ISAKMP header flags, RFC 2408 section 3.1."""

    ENCRYPTION = 0x01
    COMMIT = 0x02
    AUTHENTICATION_ONLY = 0x04


class Header(Struct, rfc="7296 3.1"):
    """The fixed header of every IKE message.

    ``spi_i`` and ``spi_r`` are the cookies of IKEv1. ``next_payload`` and ``length`` are computed from the message
    that the header belongs to: None means that they agree with it.
    """

    spi_i: Annotated[bytes, Bytes(8)]
    spi_r: Annotated[bytes, Bytes(8)] = bytes(8)
    next_payload: Annotated[int | None, U8] = None
    version: Annotated[int, U8] = 0x20
    exchange_type: Annotated[int, U8]
    flags: Annotated[int, U8] = 0
    message_id: Annotated[int, U32] = 0
    length: Annotated[int | None, U32] = None

    @property
    def major_version(self) -> int:
        """1 for ISAKMP and IKEv1, 2 for IKEv2."""
        return self.version >> 4

    @property
    def minor_version(self) -> int:
        """0 in every version published so far."""
        return self.version & 0x0F

    @property
    def is_response(self) -> bool:
        """IKEv2: whether the R flag is set."""
        return bool(self.flags & Flags.RESPONSE)

    @property
    def original_initiator(self) -> bool:
        """IKEv2: whether the sender is the original initiator of the IKE SA."""
        return bool(self.flags & Flags.INITIATOR)

    @property
    def is_encrypted(self) -> bool:
        """IKEv1: whether everything behind the header is encrypted."""
        return self.major_version == 1 and bool(self.flags & IsakmpFlags.ENCRYPTION)
