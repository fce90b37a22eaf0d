"""What carries ESP and AH: IP itself, UDP (RFC 3948), a TCP stream (RFC 9329)."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Final

import msgspec

from ipsecscope.dissect.ah import Ah
from ipsecscope.dissect.esp import Esp
from ipsecscope.dissect.natt import NON_ESP_MARKER, UdpContent, classify
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import REST, U16, Struct, WireError
from ipsecscope.peers.packets import Pieces, Udp

STREAM_PREFIX: Final = b"IKETCP"  # RFC 9329 section 4: what the originator sends first
LENGTH_SIZE: Final = 2
MAX_BUFFERED: Final = 1 << 17  # octets of a stream that wait for the rest of their message: two of the longest


class Carried(msgspec.Struct, frozen=True):
    """The ESP or AH packet inside an IP packet; ``source_port`` is None where no UDP header stands in front of it."""

    protocol: IpProtocol
    spi: int
    sequence: int
    packet: bytes
    source_port: int | None = None


def find_carried(pieces: Pieces) -> Carried | None:
    """The ESP or AH packet that an IP packet carries; None for anything else, IKE and keepalives included."""
    protocol, payload, port = pieces.protocol, pieces.payload, None
    try:
        if protocol == IpProtocol.UDP:
            datagram = Udp.parse(payload)
            protocol, payload, port = IpProtocol.ESP, datagram.data, datagram.source_port
            if classify(payload) is not UdpContent.ESP:
                return None
        if protocol == IpProtocol.ESP:
            esp = Esp.parse(payload)
            return Carried(IpProtocol.ESP, esp.spi, esp.sequence, payload, port)
        if protocol == IpProtocol.AH:
            ah = Ah.parse(payload)
            return Carried(IpProtocol.AH, ah.spi, ah.sequence, payload)
    except WireError:
        pass
    return None


class StreamFrame(Struct, rfc="9329 3"):
    """One message of a TCP stream; the length counts itself."""

    length: Annotated[int, U16]
    data: Annotated[bytes, REST]


class StreamContent(Enum):
    """What a message of a TCP stream is."""

    IKE = "IKE"
    ESP = "ESP"


def frame_ike(message: bytes) -> bytes:
    """An IKE message for the stream, with its non-ESP marker (RFC 9329 section 3.1)."""
    return _frame(NON_ESP_MARKER + message)


def frame_esp(packet: bytes) -> bytes:
    """An ESP packet for the stream (RFC 9329 section 3.2)."""
    return _frame(packet)


def _frame(data: bytes) -> bytes:
    return StreamFrame(length=LENGTH_SIZE + len(data), data=data).build()


class StreamReader:
    """Cuts a TCP stream into messages. ``is_broken`` says that it cannot be followed any more."""

    def __init__(self, *, expect_prefix: bool) -> None:
        self.is_broken = False
        self._buffer = bytearray()
        self._expect_prefix = expect_prefix

    def feed(self, data: bytes) -> list[tuple[StreamContent, bytes]]:
        """Take the next octets of the stream; the messages that they complete come back."""
        if self.is_broken:
            return []
        self._buffer += data
        if len(self._buffer) > MAX_BUFFERED or not self._take_prefix():
            self._break()
            return []
        messages: list[tuple[StreamContent, bytes]] = []
        while not self._expect_prefix and len(self._buffer) >= LENGTH_SIZE:
            length = int.from_bytes(self._buffer[:LENGTH_SIZE], "big")
            if length < LENGTH_SIZE:
                self._break()
                break
            if len(self._buffer) < length:
                break
            body = bytes(self._buffer[LENGTH_SIZE:length])
            del self._buffer[:length]
            if body.startswith(NON_ESP_MARKER):
                messages.append((StreamContent.IKE, body[len(NON_ESP_MARKER) :]))
            elif body:
                messages.append((StreamContent.ESP, body))
        return messages

    def _take_prefix(self) -> bool:
        """Take the prefix off once it is there; False when the stream begins with something else."""
        if not self._expect_prefix:
            return True
        if len(self._buffer) >= len(STREAM_PREFIX):
            self._expect_prefix = False
            found = bytes(self._buffer[: len(STREAM_PREFIX)])
            del self._buffer[: len(STREAM_PREFIX)]
            return found == STREAM_PREFIX
        return STREAM_PREFIX.startswith(bytes(self._buffer))

    def _break(self) -> None:
        self.is_broken = True
        self._buffer.clear()
