"""AH packets, RFC 4302: the header, and where its integrity check value stands."""

from __future__ import annotations

from typing import Annotated, Any, Final

from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U16, U32, Codec, Reader, Sized, SizeOf, Struct, WireError

ICV_OFFSET: Final = 12  # from the start of the AH header
MIN_WORDS: Final = 1  # Payload Len of a header without any ICV


class _PayloadLength(Codec):
    """Payload Len: the AH header in 32-bit words less 2; as a value, the octets behind the sequence number."""

    def get(self, reader: Reader, by: int = 0) -> int:
        """Read the length and turn it into octets."""
        del by
        start = reader.advance(1)
        words = reader.data[start]
        if words < MIN_WORDS:
            raise WireError(f"Payload Len {words} is less than the header", start, start + 1)
        return (words + 2) * 4 - ICV_OFFSET

    def put(self, out: bytearray, value: Any) -> None:
        """Append the length in words."""
        out.append((value + ICV_OFFSET) // 4 - 2)


class Ah(Struct, rfc="4302 2"):
    """An AH header and what it protects.

    ``icv`` is the integrity check value with its padding (to 4 octets in IPv4, 8 in IPv6); ``payload_len`` is its
    size in octets here, in 32-bit words on the wire. ``data`` is what follows: ``next_header`` says what it is.
    """

    next_header: Annotated[IpProtocol, U8]
    payload_len: Annotated[int | None, _PayloadLength(), SizeOf("icv")] = None
    reserved: Annotated[int, U16] = 0
    spi: Annotated[int, U32]
    sequence: Annotated[int, U32]
    icv: Annotated[bytes, Sized(by="payload_len")] = b""
    data: Annotated[bytes, REST] = b""

    @property
    def header_size(self) -> int:
        """Octets of the AH header, ICV and its padding included."""
        return ICV_OFFSET + len(self.icv)

    def split_icv(self, size: int) -> tuple[bytes, bytes]:
        """The ICV proper of ``size`` octets, and the padding behind it (which the ICV covers as sent)."""
        return self.icv[:size], self.icv[size:]

    def icv_region(self, size: int) -> tuple[int, int]:
        """Where an ICV of ``size`` octets stands, as offsets from the AH header: the octets to zero (RFC 4302 3.3.3)."""
        return ICV_OFFSET, ICV_OFFSET + min(size, len(self.icv))

    def summary(self) -> str:
        """SPI, sequence number and what is inside, as ``AH(SPI=0x0000beef, seq=7) IPV4``."""
        return f"AH(SPI={self.spi:#010x}, seq={self.sequence}) {self.next_header}"
