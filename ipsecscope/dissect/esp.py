"""ESP packets, RFC 4303: the header, what stands behind the payload once it is in the clear, and ESP-NULL by its looks.

Nothing here knows a key: sizes of IV and ICV are given by the caller, or guessed for integrity-only ESP (RFC 5879).
"""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Final

import msgspec

from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U8, U32, Codec, Reader, SizeOf, Struct, WireError

LAST_RESERVED_SPI: Final = 255  # RFC 4303 section 2.1: 1 to 255 are reserved to IANA, 0 is for local use
MAX_PADDING: Final = 255  # the Pad Length is one octet

NULL_IV_LENGTHS: Final = (0, 8)  # ENCR_NULL has none; AES-GMAC carries 8 octets (RFC 4543 section 3)
NULL_ICV_LENGTHS: Final = (12, 16, 24, 32, 20, 8, 0)  # in order of likelihood: RFC 2403/2404, 4868, 4595, 4543


class Esp(Struct, rfc="4303 2"):
    """An ESP packet: SPI and sequence number in the clear, the rest as it came (IV, ciphertext and ICV)."""

    spi: Annotated[int, U32]
    sequence: Annotated[int, U32]
    data: Annotated[bytes, REST] = b""

    @property
    def has_reserved_spi(self) -> bool:
        """Whether the SPI is one that no SA may have: 0 (never on the wire) or 1 to 255 (reserved to IANA)."""
        return self.spi <= LAST_RESERVED_SPI

    def summary(self) -> str:
        """SPI and sequence number, as ``ESP(SPI=0x0000beef, seq=7)``."""
        return f"ESP(SPI={self.spi:#010x}, seq={self.sequence})"


class _UpToPadding(Codec):
    """Everything in front of the padding whose length the last octet but one gives."""

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the payload data."""
        del by
        if reader.left < 2:
            raise WireError("no room for Pad Length and Next Header", reader.pos, reader.end)
        pad_length = reader.data[reader.end - 2]
        count = reader.left - 2 - pad_length
        if count < 0:
            raise WireError(f"Pad Length {pad_length} where {reader.left - 2} octets stand", reader.end - 2, reader.end)
        return reader.take(count)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the payload data."""
        out += value


class _UpToTrailer(Codec):
    """Everything in front of the last two octets."""

    def get(self, reader: Reader, by: int = 0) -> bytes:
        """Read the padding."""
        del by
        return reader.take(reader.left - 2)

    def put(self, out: bytearray, value: Any) -> None:
        """Append the padding."""
        out += value


class Padding(Enum):
    """What the padding of an ESP packet consists of."""

    NONE = "none"
    MONOTONIC = "1, 2, 3 …"  # RFC 4303 section 2.4, the default that a receiver SHOULD inspect
    ZEROS = "zeros"
    OTHER = "other"


class EspTrailer(Struct, rfc="4303 2.4"):
    """The decrypted part of an ESP packet: payload data, padding, Pad Length, Next Header (IV and ICV taken off)."""

    payload: Annotated[bytes, _UpToPadding()]
    padding: Annotated[bytes, _UpToTrailer()] = b""
    pad_length: Annotated[int | None, U8, SizeOf("padding")] = None
    next_header: Annotated[IpProtocol, U8]

    @classmethod
    def around(cls, payload: bytes, next_header: int, block: int = 4) -> EspTrailer:
        """The payload padded with 1, 2, 3 … so that the whole is a multiple of ``block`` octets (at least 4)."""
        count = -(len(payload) + 2) % max(block, 4)
        return cls(payload=payload, padding=bytes(range(1, count + 1)), next_header=IpProtocol(next_header))

    @property
    def padding_kind(self) -> Padding:
        """What the padding consists of; anything but ``NONE`` and ``MONOTONIC`` is at the sender's choice."""
        if not self.padding:
            return Padding.NONE
        if self.padding == bytes(range(1, len(self.padding) + 1)):
            return Padding.MONOTONIC
        return Padding.OTHER if any(self.padding) else Padding.ZEROS

    @property
    def is_dummy(self) -> bool:
        """Whether this is a dummy packet for traffic flow confidentiality (RFC 4303 section 2.6)."""
        return self.next_header == IpProtocol.IPV6_NONXT

    @property
    def tfc_padding(self) -> int | None:
        """Octets behind the inner packet (RFC 4303 section 2.7); None where the inner protocol gives no length."""
        size = inner_size(self.payload, self.next_header)
        return None if size is None or size > len(self.payload) else len(self.payload) - size

    def summary(self) -> str:
        """Next header and sizes."""
        return f"{self.next_header}, {len(self.payload)} octets, {len(self.padding)} of padding"


def inner_size(payload: bytes, next_header: int) -> int | None:
    """The octets that an IPv4, IPv6 or UDP packet claims for itself; None for other protocols and for fragments of it."""
    if next_header == IpProtocol.IPV4 and len(payload) >= 20 and payload[0] >> 4 == 4:
        return int.from_bytes(payload[2:4], "big")
    if next_header == IpProtocol.IPV6 and len(payload) >= 40 and payload[0] >> 4 == 6:
        return 40 + int.from_bytes(payload[4:6], "big")
    if next_header == IpProtocol.UDP and len(payload) >= 8:
        return int.from_bytes(payload[4:6], "big")
    return None


class NullCandidate(msgspec.Struct, frozen=True):
    """One way to read an ESP packet as integrity-only (RFC 5879). ``score`` is 1 (weak) to 4 (a checksum agrees)."""

    iv_length: int
    icv_length: int
    trailer: EspTrailer
    score: int

    @property
    def overhead(self) -> int:
        """Octets of IV and ICV together."""
        return self.iv_length + self.icv_length

    @property
    def is_gmac(self) -> bool:
        """Whether the IV tells AES-GMAC (RFC 4543)."""
        return self.iv_length > 0


def guess_null(payload: bytes, icv_lengths: tuple[int, ...] = NULL_ICV_LENGTHS) -> tuple[NullCandidate, ...]:
    """Read what follows an ESP header as ESP-NULL in every usual way, best first (RFC 5879, one packet, no state).

    A candidate needs padding of 1, 2, 3 … and an inner packet that its Next Header describes rightly. ``score`` 4:
    an IPv4 header checksum agrees; 3: the inner lengths agree exactly; 2: they leave room for TFC padding; 1: only
    plausible. An encrypted packet passes score 2 about once in 2**32 and score 1 about once in 2**20.

    Args:
        payload: the octets behind SPI and sequence number.
        icv_lengths: the ICV lengths to try, in octets.
    """
    found = []
    for iv_length in NULL_IV_LENGTHS:
        for icv_length in icv_lengths:
            if iv_length and icv_length not in (12, 16):
                continue  # RFC 4543 section 3: the ICV of GMAC is 16 octets; 12 is met as well
            trailer = _trailer(payload[iv_length : len(payload) - icv_length])
            score = 0 if trailer is None else _score(trailer)
            if trailer is not None and score:
                found.append(NullCandidate(iv_length, icv_length, trailer, score))
    return tuple(sorted(found, key=lambda candidate: -candidate.score))


def _trailer(plaintext: bytes) -> EspTrailer | None:
    try:
        trailer = EspTrailer.parse(plaintext)
    except WireError:
        return None
    if trailer.padding_kind not in (Padding.NONE, Padding.MONOTONIC):
        return None
    return trailer


def _score(trailer: EspTrailer) -> int:
    payload, protocol = trailer.payload, trailer.next_header
    size = inner_size(payload, protocol)
    if protocol == IpProtocol.IPV4:
        header_size = (payload[0] & 0x0F) * 4 if payload else 0
        if size is None or size > len(payload) or not 20 <= header_size <= size:
            return 0
        if checksum(payload[:header_size]) == 0:
            return 4
        return 0
    if protocol in (IpProtocol.IPV6, IpProtocol.UDP):
        if size is None or size > len(payload) or size < 8:
            return 0
        return 3 if size == len(payload) else 2
    if protocol in (IpProtocol.ICMP, IpProtocol.IPV6_NONXT):
        return _icmp_score(payload) if protocol == IpProtocol.ICMP else 0
    if protocol in (IpProtocol.TCP, IpProtocol.IPV6_ICMP):
        return _tcp_score(payload) if protocol == IpProtocol.TCP else int(len(payload) >= 8 and payload[0] in ICMPV6)
    return 0


ICMPV6: Final = frozenset({1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143})  # RFC 4443, 4861, 3810


def _icmp_score(payload: bytes) -> int:
    """ICMP carries a checksum over all of itself (RFC 792)."""
    return 4 if len(payload) >= 8 and checksum(payload) == 0 else 0


def _tcp_score(payload: bytes) -> int:
    """TCP's checksum needs the addresses outside; its data offset, reserved bits and flags do not."""
    if len(payload) < 20:
        return 0
    offset, flags = (payload[12] >> 4) * 4, payload[13]
    sensible = 20 <= offset <= len(payload) and payload[12] & 0x0E == 0 and flags & 0x07 not in (3, 5, 6, 7)
    return int(sensible and bool(flags & 0x16))


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of ``data``; 0 when the checksum inside agrees."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[index : index + 2], "big") for index in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
