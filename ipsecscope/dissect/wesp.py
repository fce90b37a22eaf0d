"""Wrapped ESP, RFC 5840: a header in front of ESP that tells a middlebox whether it is encrypted.

WESP is IP protocol 141, or UDP port 4500 with the number 2 where an SPI would stand (section 2.1).
"""

from __future__ import annotations

from typing import Annotated, Any, Final

from ipsecscope.dissect.esp import Esp, EspTrailer
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U32, Codec, Reader, Struct, WireError

UDP_SPI: Final = 2  # RFC 5840 section 2.1: the SPI value that says "WESP follows" on the NAT traversal port
PADDING_SIZE: Final = 4
VERSION_SHIFT: Final = 6
ENCRYPTED: Final = 0x20
PADDED: Final = 0x10
RESERVED: Final = 0x0F


class _Padding(Codec):
    """Four octets where the P flag is set, none elsewhere."""

    by = "flags"

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the padding."""
        return reader.take(PADDING_SIZE if by & PADDED else 0)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the padding."""
        out += value


class Wesp(Struct, rfc="5840 2"):
    """A WESP header and the ESP packet in it.

    ``header_length`` counts from the start of the WESP header to the payload behind ESP header and IV;
    ``trailer_length`` is the size of the ICV. Both are 0, like ``next_header``, when the ESP packet is encrypted.
    """

    next_header: Annotated[IpProtocol, U8]
    header_length: Annotated[int, U8]
    trailer_length: Annotated[int, U8]
    flags: Annotated[int, U8] = 0
    padding: Annotated[bytes, _Padding()] = b""
    data: Annotated[bytes, REST] = b""

    @property
    def version(self) -> int:
        """0 is the only version there is."""
        return self.flags >> VERSION_SHIFT

    @property
    def is_encrypted(self) -> bool:
        """Whether the ESP packet is encrypted (the E flag)."""
        return bool(self.flags & ENCRYPTED)

    @property
    def esp(self) -> Esp | None:
        """The ESP packet inside; None when it is too short for one."""
        try:
            return Esp.parse(self.data)
        except WireError:
            return None

    @property
    def cleartext(self) -> EspTrailer | None:
        """What an integrity-only packet carries, by the lengths of this header; None if encrypted or they do not fit."""
        start = self.header_length - 4 - len(self.padding)  # the offset within ``data``
        if self.is_encrypted or start < 8:
            return None
        try:
            return EspTrailer.parse(self.data[start : max(start, len(self.data) - self.trailer_length)])
        except WireError:
            return None

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The ESP packet inside."""
        return "data", Esp

    def summary(self) -> str:
        """What is inside, as far as the header tells."""
        what = "encrypted" if self.is_encrypted else f"integrity only, {self.next_header}"
        return f"WESP {what}"


class UdpWesp(Struct, rfc="5840 2.1"):
    """WESP in UDP: the number 2 in place of an SPI, then the WESP header."""

    spi: Annotated[int, U32] = UDP_SPI
    data: Annotated[bytes, REST] = b""

    @classmethod
    def matches(cls, payload: bytes) -> bool:
        """Whether the payload of a NAT traversal datagram is WESP."""
        return payload[:4] == UDP_SPI.to_bytes(4, "big")

    def inner(self) -> tuple[str, type[Struct]] | None:
        """The WESP header."""
        return "data", Wesp
