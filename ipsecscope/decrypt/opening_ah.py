"""Verifying AH, RFC 4302: the whole IP packet is covered, with the fields that change on the way set to zero."""

from __future__ import annotations

import hmac

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ipsecscope.decrypt.algorithms import AlgorithmError, IntegrityRow, truncated
from ipsecscope.decrypt.macs import Icv
from ipsecscope.decrypt.opening import Reason, Refused, refusal_of
from ipsecscope.decrypt.opening_esp import NO_SECRET, SHA2_256_TRUNCATIONS
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.sequence_numbers import EsnTracker
from ipsecscope.dissect.ah import ICV_OFFSET
from ipsecscope.dissect.registry.ip_protocols import IpProtocol

IPV4_MINIMUM = 20
IPV6_HEADER_SIZE = 40
MAX_EXTENSION_HEADERS = 32

# IPv4 options that no router changes, RFC 4302 appendix A1: end, no operation, (extended) security, CIPSO, router
# alert, sender directed multi-destination delivery. Every other option is set to zero as a whole.
END_OF_OPTIONS, NO_OPERATION = 0, 1
IMMUTABLE_OPTIONS = frozenset((130, 133, 134, 148, 149))
SOURCE_ROUTES = frozenset((131, 137))  # loose and strict: the destination is the last address in them
MAY_CHANGE = 0x20  # bit of an IPv6 option type, RFC 8200 section 4.2
HOME_ADDRESS_ROUTE = 2  # RFC 6275 section 6.4
PAD1 = 0


class AhSa(msgspec.Struct, frozen=True, kw_only=True):
    """What verifies (or seals) the AH packets of one direction; ``esn`` and ``esn_high`` as for ESP."""

    integrity: IntegrityRow
    integrity_key: Secret = NO_SECRET
    esn: bool | None = False
    esn_high: int = 0


class AhVerified(msgspec.Struct, frozen=True, kw_only=True):
    """A verified AH packet. ``payload_at`` is the offset in the packet of what ``next_header`` names."""

    spi: int
    sequence_number: int
    esn_high: int | None
    next_header: int
    payload_at: int
    icv_size: int
    authenticated: bool = True
    is_truncated: bool = False


class UncoverableError(Exception):
    """The IP packet cannot be walked to its AH header, or is not whole."""


class AhVerifier:
    """Verifies the packets of one SA. Raises KeyLengthError or UnsupportedAlgorithmError when it is made."""

    def __init__(self, sa: AhSa) -> None:
        self.sa = sa
        self._gmac: AESGCM | None = None
        self._salt = b""
        self._icvs: tuple[Icv, ...] = ()
        if sa.integrity.mac == "aes-gmac":
            octets = sa.integrity_key.reveal()
            sa.integrity.check_key(len(octets))
            self._gmac, self._salt = AESGCM(octets[:-4]), octets[-4:]
        else:
            rows = [sa.integrity]
            if sa.integrity.mac == "hmac-sha2-256" and sa.integrity.icv_size in SHA2_256_TRUNCATIONS:
                rows += [truncated(rows[0], size) for size in SHA2_256_TRUNCATIONS if size != rows[0].icv_size]
            self._icvs = tuple(Icv(row, sa.integrity_key) for row in rows)
        self._esn = EsnTracker(esn=sa.esn, start=sa.esn_high)

    @property
    def esn(self) -> bool | None:
        """Whether the sequence numbers are extended, as the SA says or as a packet showed; None while nobody knows."""
        return self._esn.esn

    def verify(self, packet: bytes, esn_high: int | None = None) -> AhVerified | Refused:
        """Verify one IPv4 or IPv6 packet, from its IP header to its end, its IP fragments joined."""
        try:
            prepared, at = _prepared(packet)
        except UncoverableError as why:
            fragment = str(why) == FRAGMENT
            return Refused(Reason.IP_FRAGMENT if fragment else Reason.MALFORMED, str(why))
        icv_at, stop = at + ICV_OFFSET, at + (prepared[at + 1] + 2) * 4
        low = int.from_bytes(prepared[at + 8 : icv_at], "big")
        highs = tuple(self._esn.candidates(low)) if esn_high is None else (esn_high,)
        sizes = [self.sa.integrity.icv_size] if self._gmac else [icv.size for icv in self._icvs]
        if stop - icv_at < min(sizes):
            return Refused(Reason.TOO_SHORT, "the AH header has no room for the ICV")
        for index, size in enumerate(sizes):
            sent = bytes(prepared[icv_at : icv_at + size])
            covered = bytes(prepared[:icv_at]) + bytes(size) + bytes(prepared[icv_at + size :])
            for high in highs:
                if self._matches(index, sent, covered + (b"" if high is None else high.to_bytes(4, "big"))):
                    self._esn.matched(low, high)
                    return AhVerified(
                        spi=int.from_bytes(prepared[at + 4 : at + 8], "big"),
                        sequence_number=low,
                        esn_high=high,
                        next_header=prepared[at],
                        payload_at=stop,
                        icv_size=size,
                        is_truncated=index > 0,
                    )
        return Refused(Reason.BAD_ICV, "integrity check failed")

    def _matches(self, index: int, sent: bytes, covered: bytes) -> bool:
        if self._gmac is None:
            return self._icvs[index].verify(sent, covered)
        iv, tag = sent[:8], sent[8:]  # RFC 4543 section 4: both stand in the ICV field
        return hmac.compare_digest(self._gmac.encrypt(self._salt + iv, b"", covered), tag)


def verify_ah(packet: bytes, sa: AhSa, esn_high: int | None = None) -> AhVerified | Refused:
    """Verify the AH header of one IP packet, RFC 4302 section 3.4.4. For many of one SA, keep an ``AhVerifier``."""
    try:
        verifier = AhVerifier(sa)
    except AlgorithmError as error:
        return refusal_of(error)
    return verifier.verify(packet, esn_high)


def seal_ah(packet: bytes, sa: AhSa, esn_high: int | None = None, iv: bytes = b"") -> bytes:
    """The IP packet with the ICV in its AH header, whose ICV field has its size already and any content.

    Padding of the ICV field is covered as it stands. ``iv`` is for AES-GMAC. Raises ValueError when the packet has no
    AH header with room for the ICV, KeyLengthError.
    """
    try:
        prepared, at = _prepared(packet)
    except UncoverableError as why:
        raise ValueError(str(why)) from None
    size, icv_at = sa.integrity.icv_size, at + ICV_OFFSET
    if icv_at + size > at + (prepared[at + 1] + 2) * 4:
        raise ValueError("the AH header has no room for the ICV")
    covered = bytes(prepared[:icv_at]) + bytes(size) + bytes(prepared[icv_at + size :])
    covered += b"" if esn_high is None else esn_high.to_bytes(4, "big")
    if sa.integrity.mac == "aes-gmac":
        octets = sa.integrity_key.reveal()
        sa.integrity.check_key(len(octets))
        icv = iv + AESGCM(octets[:-4]).encrypt(octets[-4:] + iv, b"", covered)
    else:
        icv = Icv(sa.integrity, sa.integrity_key).compute(covered)
    return packet[:icv_at] + icv + packet[icv_at + size :]


FRAGMENT = "a fragment: the packet must be joined before its ICV can be checked"


def _prepared(packet: bytes) -> tuple[bytearray, int]:
    """The packet with its mutable fields set to zero (the ICV is not touched), and where its AH header starts."""
    if not packet:
        raise UncoverableError("no IP header")
    out = bytearray(packet)
    at = _prepare_ipv4(out) if packet[0] >> 4 == 4 else _prepare_ipv6(out)
    if len(out) < at + ICV_OFFSET or len(out) < at + (out[at + 1] + 2) * 4:
        raise UncoverableError("the AH header does not fit the packet")
    return out, at


def _prepare_ipv4(out: bytearray) -> int:
    """RFC 4302 section 3.3.3.1.1."""
    header_size = (out[0] & 15) * 4
    total = int.from_bytes(out[2:4], "big")
    if len(out) < IPV4_MINIMUM or not IPV4_MINIMUM <= header_size <= total <= len(out):
        raise UncoverableError("the IPv4 header does not fit the packet")
    if out[9] != IpProtocol.AH:
        raise UncoverableError("there is no AH behind the IPv4 header")
    if int.from_bytes(out[6:8], "big") & 0x3FFF:
        raise UncoverableError(FRAGMENT)
    del out[total:]  # what Ethernet padded
    out[1] = 0  # DSCP and ECN
    out[6:9] = bytes(3)  # flags, fragment offset, TTL
    out[10:12] = bytes(2)  # checksum
    _prepare_options(out, header_size)
    return header_size


def _prepare_options(out: bytearray, stop: int) -> None:
    at = IPV4_MINIMUM
    while at < stop and out[at] != END_OF_OPTIONS:
        kind = out[at]
        if kind == NO_OPERATION:
            at += 1
            continue
        length = out[at + 1] if at + 1 < stop else 0
        if length < 2 or at + length > stop:
            raise UncoverableError("an IPv4 option does not fit the header")
        if kind in SOURCE_ROUTES and length >= 7 and out[at + 2] <= length:
            out[16:20] = out[at + length - 4 : at + length]  # not there yet: the ICV covers the final destination
        if kind not in IMMUTABLE_OPTIONS:
            out[at : at + length] = bytes(length)
        at += length


def _prepare_ipv6(out: bytearray) -> int:
    """RFC 4302 section 3.3.3.1.2."""
    stop = IPV6_HEADER_SIZE + int.from_bytes(out[4:6], "big")
    if out[0] >> 4 != 6 or not IPV6_HEADER_SIZE <= stop <= len(out):
        raise UncoverableError("the IP header does not fit the packet")
    del out[stop:]
    kind, at = out[6], IPV6_HEADER_SIZE
    out[:4] = b"\x60\0\0\0"  # traffic class and flow label
    out[7] = 0  # hop limit
    for _ in range(MAX_EXTENSION_HEADERS):
        if kind == IpProtocol.AH:
            return at
        if kind == IpProtocol.IPV6_FRAG:
            raise UncoverableError(FRAGMENT)
        if kind not in (IpProtocol.HOPOPT, IpProtocol.IPV6_OPTS, IpProtocol.IPV6_ROUTE) or at + 8 > stop:
            break
        size = (out[at + 1] + 1) * 8
        if at + size > stop:
            break
        if kind == IpProtocol.IPV6_ROUTE:
            _prepare_routing(out, at, size)
        else:
            _prepare_ipv6_options(out, at + 2, at + size)
        kind, at = out[at], at + size
    raise UncoverableError("there is no AH among the IPv6 headers")


def _prepare_ipv6_options(out: bytearray, at: int, stop: int) -> None:
    """Set the data of options that may change on the way to zero; type and length stay."""
    while at < stop:
        if out[at] == PAD1:
            at += 1
            continue
        length = out[at + 1] if at + 1 < stop else stop
        if at + 2 + length > stop:
            raise UncoverableError("an IPv6 option does not fit its header")
        if out[at] & MAY_CHANGE:
            out[at + 2 : at + 2 + length] = bytes(length)
        at += 2 + length


def _prepare_routing(out: bytearray, at: int, size: int) -> None:
    """Rearrange a type 0 or type 2 routing header to what it is on arrival: the last address is the destination.

    Each router on the way swapped the destination with the next address of the list (RFC 2460 section 4.4).
    """
    left = out[at + 3]
    count = (size - 8) // 16
    if out[at + 2] not in (0, HOME_ADDRESS_ROUTE) or not 0 < left <= count:
        return
    for index in range(count - left, count):
        start = at + 8 + 16 * index
        out[24:40], out[start : start + 16] = out[start : start + 16], out[24:40]
    out[at + 3] = 0
