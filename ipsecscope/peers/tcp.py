"""A small TCP: enough to carry a transfer, or a stream of IKE and ESP, and to repeat what was lost (RFC 9293).

A fixed window, cumulative acknowledgment, go-back-N, time-outs that double (RFC 6298 section 5). No congestion
control: what matters here is that segments have the sizes and the manners of TCP.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.dissect.wire import WireError
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.packets import MaximumSegmentSize, Tcp, TcpFlags, ip_packet, split

FIRST_TIMEOUT: Final = SECOND  # RFC 6298 section 2
MAX_RETRIES: Final = 6
WINDOW_SEGMENTS: Final = 8  # segments under way at one time
DEFAULT_MSS: Final = {4: 1460, 6: 1440}  # of a path of 1500 octets
MIN_MSS: Final = 88  # smaller ones are taken for this: RFC 879 has no bound, a hostile one would make a storm
MAX_UNREAD: Final = 1 << 24  # octets that may wait for the owner
MASK: Final = 0xFFFFFFFF


class TcpState(Enum):
    """Where a connection is."""

    LISTEN = auto()
    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()
    CLOSED = auto()
    FAILED = auto()


class TcpEndpoint:
    """One end of one connection. ``read`` gives what arrived in order, ``write`` takes what is to be sent."""

    def __init__(self, local: Endpoint, remote: Endpoint, initial_sequence: int, *, mss: int | None = None) -> None:
        version = 6 if ":" in local.address else 4
        self.local = local
        self.remote = remote
        self.mss = DEFAULT_MSS[version] if mss is None else mss
        self.peer_mss = 536 if version == 4 else 1220  # RFC 9293 section 3.7.1: without the option
        self.state = TcpState.LISTEN
        self.retransmissions = 0
        self._first = initial_sequence & MASK  # sequence number of the SYN
        self._acked = 0  # octets of the stream, SYN and FIN included, that the other side has
        self._sent = 0
        self._stream = bytearray()
        self._closing = False
        self._expected = 0  # the next sequence number wanted
        self._unread = bytearray()
        self._outgoing: list[bytes] = []
        self._deadline: Instant | None = None
        self._timeout = FIRST_TIMEOUT
        self._retries = 0
        self._identification = 0

    # -- for the owner --------------------------------------------------------------------------------------------

    def connect(self, now: Instant) -> None:
        """Begin the handshake."""
        self.state = TcpState.SYN_SENT
        self._send_syn(TcpFlags.SYN)
        self._arm(now)

    def write(self, data: bytes, now: Instant) -> None:
        """Queue octets for the other side."""
        self._stream += data
        self._push(now)

    def close(self, now: Instant) -> None:
        """Send FIN behind the last octet."""
        self._closing = True
        self._push(now)

    def read(self) -> bytes:
        """What arrived in order since the last call."""
        data = bytes(self._unread)
        self._unread.clear()
        return data

    @property
    def is_acknowledged(self) -> bool:
        """Whether the other side has everything that was written."""
        return self._acked >= 1 + len(self._stream)

    # -- the driver's verbs ---------------------------------------------------------------------------------------

    def packets_to_send(self, now: Instant) -> Iterator[bytes]:
        """IP packets that are waiting, each once."""
        del now
        waiting, self._outgoing = self._outgoing, []
        yield from waiting

    def get_timer(self) -> Instant | None:
        """When something has to be repeated."""
        return self._deadline

    def handle_timer(self, now: Instant) -> None:
        """Repeat what was not acknowledged; give up after some tries."""
        if self._deadline is None or now < self._deadline:
            return
        self._retries += 1
        self.retransmissions += 1
        if self._retries > MAX_RETRIES:
            self.state, self._deadline = TcpState.FAILED, None
            return
        self._timeout *= 2
        self._sent = self._acked
        if self.state is TcpState.SYN_SENT:
            self._send_syn(TcpFlags.SYN)
        elif self.state is TcpState.SYN_RECEIVED:
            self._send_syn(TcpFlags.SYN | TcpFlags.ACK)
        else:
            self._push(now, limit=1)
        self._arm(now)

    def receive_packet(self, packet: bytes, now: Instant) -> None:
        """Take an IP packet; what is not a segment of this connection is ignored."""
        pieces = split(packet)
        if pieces is None or pieces.protocol != IpProtocol.TCP:
            return
        try:
            segment = Tcp.parse(pieces.payload)
        except WireError:
            return
        if Endpoint(pieces.source, segment.source_port) != self.remote or segment.destination_port != self.local.port:
            return
        if segment.flags & TcpFlags.RST:
            self.state, self._deadline = TcpState.FAILED, None
        elif segment.flags & TcpFlags.SYN:
            self._take_syn(segment, now)
        elif self.state in (TcpState.SYN_RECEIVED, TcpState.ESTABLISHED, TcpState.CLOSED):
            self._take(segment, now)

    # -- receiving ------------------------------------------------------------------------------------------------

    def _take_syn(self, segment: Tcp, now: Instant) -> None:
        if self.state not in (TcpState.LISTEN, TcpState.SYN_SENT, TcpState.SYN_RECEIVED):
            self._send(TcpFlags.ACK)  # our last ACK was lost
            return
        self._expected = segment.sequence + 1 & MASK
        self.peer_mss = max(MIN_MSS, _mss_of(segment.options) or self.peer_mss)
        if self.state is TcpState.SYN_SENT:
            self._established(now)
            self._send(TcpFlags.ACK)
            self._push(now)
            return
        self.state = TcpState.SYN_RECEIVED
        self._send_syn(TcpFlags.SYN | TcpFlags.ACK)
        self._arm(now)

    def _take(self, segment: Tcp, now: Instant) -> None:
        advanced = (segment.acknowledgment - self._first & MASK) - self._acked
        if 0 < advanced <= 2 + len(self._stream) - self._acked:
            acked = self._acked + advanced
            if self.state is TcpState.SYN_RECEIVED:
                self._established(now)
            self._acked = acked
            self._sent = max(self._sent, acked)
            self._retries, self._timeout = 0, FIRST_TIMEOUT
            self._arm(now)
        wanted = segment.sequence == self._expected and len(self._unread) < MAX_UNREAD
        if wanted and segment.data:
            self._unread += segment.data
            self._expected = self._expected + len(segment.data) & MASK
        if wanted and segment.flags & TcpFlags.FIN:
            self._expected = self._expected + 1 & MASK
            self.state = TcpState.CLOSED
            self._closing = True
        if segment.data or segment.flags & TcpFlags.FIN:
            self._send(TcpFlags.ACK)
        self._push(now)

    def _established(self, now: Instant) -> None:
        self.state = TcpState.ESTABLISHED
        self._acked = self._sent = 1
        self._retries, self._timeout = 0, FIRST_TIMEOUT
        self._arm(now)

    # -- sending --------------------------------------------------------------------------------------------------

    def _push(self, now: Instant, limit: int = WINDOW_SEGMENTS) -> None:
        """Send what the window allows of what is queued."""
        if self.state not in (TcpState.ESTABLISHED, TcpState.CLOSED):
            return
        size = min(self.mss, self.peer_mss)
        end = 1 + len(self._stream)
        before = self._sent
        while self._sent < end and self._sent - self._acked < limit * size:
            chunk = bytes(self._stream[self._sent - 1 : self._sent - 1 + size])
            last = self._sent + len(chunk) == end
            self._send(TcpFlags.ACK | (TcpFlags.PSH if last else TcpFlags(0)), chunk, self._sent)
            self._sent += len(chunk)
        if self._closing and self._sent == end:
            self._send(TcpFlags.ACK | TcpFlags.FIN, at=self._sent)
            self._sent += 1
        if self._sent != before and self._deadline is None:
            self._arm(now)

    def _arm(self, now: Instant) -> None:
        """Wait for an acknowledgment while there is something to acknowledge."""
        opening = self.state in (TcpState.SYN_SENT, TcpState.SYN_RECEIVED)
        self._deadline = now + self._timeout if opening or self._acked < self._sent else None

    def _send_syn(self, flags: TcpFlags) -> None:
        options = MaximumSegmentSize(size=self.mss).build()
        self._send(flags, at=0, options=options)

    def _send(self, flags: TcpFlags, data: bytes = b"", at: int | None = None, options: bytes = b"") -> None:
        self._identification = self._identification + 1 & 0xFFFF
        segment = Tcp(
            source_port=self.local.port,
            destination_port=self.remote.port,
            sequence=self._first + (self._sent if at is None else at) & MASK,
            acknowledgment=self._expected if flags & TcpFlags.ACK else 0,
            flags=flags,
            options=options,
            data=data,
        ).build()
        self._outgoing.append(
            ip_packet(
                self.local.address,
                self.remote.address,
                IpProtocol.TCP,
                segment,
                identification=self._identification,
            )
        )


def _mss_of(options: bytes) -> int | None:
    """The Maximum Segment Size option, if it stands in front of anything that cannot be read."""
    at = 0
    while at + 1 < len(options) and options[at]:
        if options[at] == 1:
            at += 1
            continue
        length = options[at + 1]
        if length < 2:
            return None
        if options[at] == 2 and options[at : at + 4] and length == 4 and at + 4 <= len(options):
            return MaximumSegmentSize.parse(options[at : at + 4]).size
        at += length
    return None
