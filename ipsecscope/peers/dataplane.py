"""The ESP and AH data plane: IP packets in, protected IP packets out, and back (RFC 4301 section 5, 4302, 4303).

An ``OutboundSa`` seals and counts, an ``InboundSa`` judges and opens, a ``Bundle`` nests several. Packets are octets
from the IP header on. What arrives never raises: it comes back as a verdict. Which packet belongs to which SA is the
business of traffic selectors, not of this file.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import msgspec

from ipsecscope.decrypt.opening import Refused
from ipsecscope.decrypt.opening_ah import AhSa, AhVerified, AhVerifier
from ipsecscope.decrypt.opening_esp import EspOpened, EspOpener, EspSa
from ipsecscope.decrypt.sealing import seal_ah, seal_esp
from ipsecscope.dissect.ah import Ah
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.encapsulation import Carried, find_carried
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.packets import (
    IPV4_HEADER_SIZE,
    IPV6_HEADER_SIZE,
    Pieces,
    Udp,
    ip_packet,
    split,
    with_checksum,
)
from ipsecscope.peers.replay import LOW_BITS, ReplayVerdict, ReplayWindow

MAX_BUNDLE: Final = 4  # SAs nested in one another
LAST_SHORT_NUMBER: Final = (1 << 32) - 1
LAST_EXTENDED_NUMBER: Final = (1 << 64) - 1


class SaMode(StrEnum):
    """What an SA protects."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"
    BEET = "beet"  # draft-nikander-esp-beet-mode: fixed inner addresses, carried by the SA instead of by the packet


class SequenceExhaustedError(Exception):
    """The SA has sent its last sequence number: it must be replaced (RFC 4303 section 3.3.3)."""


class NotSealableError(ValueError):
    """What the owner wants sealed is no IP packet, or none that this SA can carry."""


class SaPath(msgspec.Struct, frozen=True, kw_only=True):
    """Where the packets of one SA travel and what they carry.

    ``source`` and ``destination`` are the outer ends (in transport mode those of the packet itself); their ports
    count where ``encapsulated`` says that ESP travels in UDP (RFC 3948). ``inner_source`` and ``inner_destination``
    are the fixed addresses of BEET mode.
    """

    source: Endpoint
    destination: Endpoint
    mode: SaMode = SaMode.TUNNEL
    encapsulated: bool = False
    inner_source: str = ""
    inner_destination: str = ""


class Verdict(StrEnum):
    """What became of a packet that arrived."""

    ACCEPTED = "accepted"
    DUMMY = "dummy packet"  # RFC 4303 section 2.6
    REPLAYED = "replayed"
    TOO_OLD = "left of the replay window"
    BAD_ICV = "integrity check failed"
    WRONG_SPI = "no such SA"
    MALFORMED = "malformed"


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict on one packet, and the packet inside when it was accepted. ``why`` is one sentence for people."""

    verdict: Verdict
    packet: bytes = b""
    sequence_number: int | None = None
    why: str = ""

    @property
    def is_accepted(self) -> bool:
        """Whether a packet came out."""
        return self.verdict is Verdict.ACCEPTED


class OutboundSa:
    """The sending end of one SA.

    ``pad_to`` is the size that payloads are brought to by TFC padding (RFC 4303 section 2.7), 0 for none. ``cycles``
    lets the sequence number begin again, which only a receiver without anti-replay service tolerates.
    """

    def __init__(
        self,
        spi: int,
        sa: EspSa | AhSa,
        path: SaPath,
        entropy: Entropy,
        *,
        last_number: int = 0,
        pad_to: int = 0,
        cycles: bool = False,
    ) -> None:
        if isinstance(sa, AhSa) and (path.encapsulated or path.mode is SaMode.BEET):
            raise NotSealableError("AH does not travel in UDP and has no BEET mode")
        self.spi = spi
        self.sa = sa
        self.path = path
        self.last_number = last_number
        self.pad_to = pad_to
        self.cycles = cycles
        self._entropy = entropy
        self._identification = 0

    @property
    def is_exhausted(self) -> bool:
        """Whether no sequence number is left."""
        return not self.cycles and self.last_number >= (LAST_EXTENDED_NUMBER if self.sa.esn else LAST_SHORT_NUMBER)

    def seal(self, packet: bytes, *, padding: bytes | None = None) -> bytes:
        """The protected form of an IP packet, itself an IP packet.

        Args:
            packet: the packet from its IP header on.
            padding: the ESP padding, when it is to be another than 1, 2, 3 … of the least length.

        Raises:
            NotSealableError: for what is no packet that this SA can carry.
            SequenceExhaustedError: when the sequence number would cycle.
        """
        pieces = split(packet)
        if pieces is None:
            raise NotSealableError("no whole IP packet")
        number = self._next_number()
        if isinstance(self.sa, AhSa):
            return self._seal_ah(self.sa, pieces, packet, number)
        return self._seal_esp(self.sa, pieces, packet, number, padding)

    def seal_dummy(self, size: int = 64) -> bytes:
        """A dummy packet of ESP, whose receiver throws it away (RFC 4303 section 2.6)."""
        if not isinstance(self.sa, EspSa):
            raise NotSealableError("AH has no dummy packets")
        content = self._entropy.octets(size, "dummy packet")
        esp = self._esp(self.sa, content, IpProtocol.IPV6_NONXT, self._next_number())
        return self._outer(esp, IpProtocol.ESP)

    # -- ESP ------------------------------------------------------------------------------------------------------

    def _seal_esp(self, sa: EspSa, pieces: Pieces, packet: bytes, number: int, padding: bytes | None) -> bytes:
        mode = self.path.mode
        if mode is SaMode.TUNNEL:
            esp = self._esp(sa, packet, _ip_protocol(pieces), number, padding)
            return self._outer(esp, IpProtocol.ESP, tos=_tos(pieces))
        if pieces.is_fragment:
            raise NotSealableError("transport mode takes whole packets, not fragments")
        if mode is SaMode.BEET:
            if len(pieces.head) != _plain_size(pieces):
                raise NotSealableError("options and extension headers are not carried in BEET mode")
            esp = self._esp(sa, pieces.payload, pieces.protocol, number, padding)
            return self._outer(esp, IpProtocol.ESP, tos=_tos(pieces))
        esp = self._esp(sa, pieces.payload, pieces.protocol, number, padding)
        if not self.path.encapsulated:
            return pieces.with_payload(esp, IpProtocol.ESP)
        return pieces.with_payload(self._in_udp(esp), IpProtocol.UDP)

    def _esp(self, sa: EspSa, payload: bytes, protocol: int, number: int, padding: bytes | None = None) -> bytes:
        row = sa.encryption
        iv = b""
        if row.iv_size:
            counted = row.mode != "cbc"  # RFC 4106 section 3.1 and its kin: an IV must not repeat, so it counts
            iv = number.to_bytes(row.iv_size, "big") if counted else self._entropy.octets(row.iv_size, "ESP IV")
        return seal_esp(
            sa,
            payload,
            protocol,
            spi=self.spi,
            sequence_number=number & LAST_SHORT_NUMBER,
            iv=iv,
            esn_high=number >> 32 if sa.esn else None,
            tfc_padding=max(0, self.pad_to - len(payload)) if _gives_its_length(protocol) else 0,
            padding=padding,
        )

    # -- AH -------------------------------------------------------------------------------------------------------

    def _seal_ah(self, sa: AhSa, pieces: Pieces, packet: bytes, number: int) -> bytes:
        tunnel = self.path.mode is SaMode.TUNNEL
        if pieces.is_fragment and not tunnel:
            raise NotSealableError("transport mode takes whole packets, not fragments")
        version = ipaddress.ip_address(self.path.source.address).version if tunnel else pieces.version
        unit = 4 if version == 4 else 8  # RFC 4302 section 2.2: the header is a multiple of this
        size = sa.integrity.icv_size
        header = Ah(
            next_header=IpProtocol(_ip_protocol(pieces) if tunnel else pieces.protocol),
            spi=self.spi,
            sequence=number & LAST_SHORT_NUMBER,
            icv=bytes(size + -(12 + size) % unit),
            data=packet if tunnel else pieces.payload,
        ).build()
        if tunnel:
            blank = self._outer(header, IpProtocol.AH, tos=_tos(pieces))
        else:
            blank = pieces.with_payload(header, IpProtocol.AH)
        iv = number.to_bytes(8, "big") if sa.integrity.mac == "aes-gmac" else b""
        return seal_ah(blank, sa, number >> 32 if sa.esn else None, iv)

    # -- both -----------------------------------------------------------------------------------------------------

    def _next_number(self) -> int:
        if self.is_exhausted:
            raise SequenceExhaustedError(f"SPI {self.spi:#010x} has sent its last sequence number")
        self.last_number += 1
        return self.last_number if self.sa.esn else self.last_number & LAST_SHORT_NUMBER

    def _outer(self, payload: bytes, protocol: IpProtocol, *, tos: int = 0) -> bytes:
        path = self.path
        if path.encapsulated:
            payload, protocol = self._in_udp(payload), IpProtocol.UDP
        self._identification = self._identification + 1 & 0xFFFF
        return ip_packet(
            path.source.address,
            path.destination.address,
            protocol,
            payload,
            identification=self._identification,
            tos=tos,
            checksums=False,
        )

    def _in_udp(self, esp: bytes) -> bytes:
        """A UDP datagram around ESP, RFC 3948 section 2.1: its checksum is zero, in IPv6 as in IPv4 (RFC 6935)."""
        path = self.path
        return Udp(source_port=path.source.port, destination_port=path.destination.port, data=esp).build()


class InboundSa:
    """The receiving end of one SA: the SPI, the replay window and the ICV, in this order (RFC 4303 section 3.4).

    ``counts`` says how many packets met which verdict. ``last_from`` is where the last authentic packet in UDP came
    from: behind a NAT, where to send (RFC 3947 section 4).
    """

    def __init__(self, spi: int, sa: EspSa | AhSa, path: SaPath, *, window: int = 64) -> None:
        self.spi = spi
        self.sa = sa
        self.path = path
        self.window = ReplayWindow(window, esn=bool(sa.esn))
        self.counts: dict[Verdict, int] = {}
        self.last_from: Endpoint | None = None
        self._opener: EspOpener | AhVerifier = EspOpener(sa) if isinstance(sa, EspSa) else AhVerifier(sa)

    def open(self, packet: bytes) -> Received:
        """Judge one packet and take its protection off; never raises."""
        received = self._open(packet)
        self.counts[received.verdict] = self.counts.get(received.verdict, 0) + 1
        return received

    def _open(self, packet: bytes) -> Received:
        pieces = split(packet)
        if pieces is None:
            return Received(verdict=Verdict.MALFORMED, why="no whole IP packet")
        carrier = find_carried(pieces)
        wanted = IpProtocol.ESP if isinstance(self.sa, EspSa) else IpProtocol.AH
        if carrier is None or carrier.protocol != wanted:
            return Received(verdict=Verdict.MALFORMED, why=f"no {wanted} inside")
        if carrier.spi != self.spi:
            return Received(verdict=Verdict.WRONG_SPI, why=f"SPI {carrier.spi:#010x}")
        high = self.window.upper_half(carrier.sequence)
        number = high << LOW_BITS | carrier.sequence
        judged = self.window.judge(number)
        if not judged.is_acceptable:
            old = Verdict.REPLAYED if judged is ReplayVerdict.REPLAYED else Verdict.TOO_OLD
            return Received(verdict=old, sequence_number=number, why=str(judged))
        received = self._authenticate(pieces, packet, carrier, number)
        if received.verdict in (Verdict.ACCEPTED, Verdict.DUMMY):
            self.window.accept(number)
            if carrier.source_port is not None:
                self.last_from = Endpoint(pieces.source, carrier.source_port)
        return received

    def _authenticate(self, pieces: Pieces, packet: bytes, carrier: Carried, number: int) -> Received:
        high = number >> LOW_BITS if self.sa.esn else None
        if isinstance(self._opener, AhVerifier):
            verified = self._opener.verify(packet, high)
            if isinstance(verified, Refused) or verified.is_truncated:
                return _refused(verified, number)
            return self._unwrapped(pieces, verified.next_header, packet[verified.payload_at :], number)
        opened = self._opener.open(carrier.packet, high)
        if isinstance(opened, Refused) or opened.is_truncated:
            return _refused(opened, number)
        if opened.is_dummy:
            return Received(verdict=Verdict.DUMMY, sequence_number=number)
        return self._unwrapped(pieces, opened.next_header, opened.payload, number)

    def _unwrapped(self, pieces: Pieces, protocol: int, payload: bytes, number: int) -> Received:
        """The packet that goes on to its host."""
        mode = self.path.mode
        if mode is SaMode.TUNNEL:
            inner = split(payload)
            if protocol not in (IpProtocol.IPV4, IpProtocol.IPV6) or inner is None:
                why = f"{IpProtocol(protocol)} inside where a tunnel carries IP packets"
                return Received(verdict=Verdict.MALFORMED, sequence_number=number, why=why)
            return Received(verdict=Verdict.ACCEPTED, packet=payload, sequence_number=number)
        if mode is SaMode.BEET:
            packet = ip_packet(self.path.inner_source, self.path.inner_destination, protocol, payload)
            return Received(verdict=Verdict.ACCEPTED, packet=packet, sequence_number=number)
        if self.path.encapsulated:  # RFC 3948 section 3.1.2: a NAT changed the addresses that the checksum covers
            source, destination = (ipaddress.ip_address(each).packed for each in (pieces.source, pieces.destination))
            payload = with_checksum(payload, protocol, source, destination)
        return Received(verdict=Verdict.ACCEPTED, packet=pieces.with_payload(payload, protocol), sequence_number=number)


class Bundle:
    """SAs nested in one another, the innermost first: ESP and then AH around it (RFC 2401 section 4.3).

    All of them protect the same traffic. In tunnel mode only the innermost one makes an outer header; the others
    protect that in transport mode.
    """

    def __init__(self, outbound: Sequence[OutboundSa], inbound: Sequence[InboundSa]) -> None:
        if not 0 < len(outbound) <= MAX_BUNDLE or len(outbound) != len(inbound):
            raise ValueError(f"a bundle has 1 to {MAX_BUNDLE} SAs each way")
        self.outbound = tuple(outbound)
        self.inbound = tuple(inbound)

    def seal(self, packet: bytes) -> bytes:
        """Protect a packet with every SA in turn. Raises as ``OutboundSa.seal`` does."""
        for sa in self.outbound:
            packet = sa.seal(packet)
        return packet

    def open(self, packet: bytes) -> Received:
        """Take every protection off, the outermost first; the first SA that refuses has the last word."""
        received = Received(verdict=Verdict.MALFORMED)
        for sa in reversed(self.inbound):
            received = sa.open(packet)
            if not received.is_accepted:
                return received
            packet = received.packet
        return received


def spi_of(packet: bytes) -> tuple[int, int] | None:
    """Protocol and SPI of an IP packet, by which a receiver finds the SA (RFC 4301 section 4.1); None without one."""
    pieces = split(packet)
    carrier = None if pieces is None else find_carried(pieces)
    return None if carrier is None else (carrier.protocol, carrier.spi)


def _refused(result: EspOpened | AhVerified | Refused, number: int) -> Received:
    why = result.text if isinstance(result, Refused) else "the ICV is cut in another place than was agreed"
    return Received(verdict=Verdict.BAD_ICV, sequence_number=number, why=why)


def _ip_protocol(pieces: Pieces) -> int:
    return IpProtocol.IPV4 if pieces.version == 4 else IpProtocol.IPV6


def _gives_its_length(protocol: int) -> bool:
    """Whether the receiver can tell TFC padding from the payload (RFC 4303 section 2.7)."""
    return protocol in (IpProtocol.IPV4, IpProtocol.IPV6, IpProtocol.UDP)


def _tos(pieces: Pieces) -> int:
    """DSCP and ECN, which the outer header copies (RFC 4301 section 5.1.2)."""
    return pieces.head[1] if pieces.version == 4 else int.from_bytes(pieces.head[:2], "big") >> 4 & 0xFF


def _plain_size(pieces: Pieces) -> int:
    return IPV4_HEADER_SIZE if pieces.version == 4 else IPV6_HEADER_SIZE
