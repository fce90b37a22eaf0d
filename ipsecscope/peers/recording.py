"""What a live peer writes down while it runs: a capture of its datagrams, the keys it derived, the events it told."""

from __future__ import annotations

from pathlib import Path as FilePath
from types import TracebackType
from typing import Protocol, Self

import msgspec

from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.writer import PcapngWriter
from ipsecscope.decrypt.keylogs.exporters.files import open_private
from ipsecscope.decrypt.keylogs.exporters.ipsecscope_log import HEADER, ipsecscope_log
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.packets import udp_packet
from ipsecscope.peers.peer import Path
from ipsecscope.peers.records import key_records

MAX_CAPTURED = 1 << 30  # octets of datagrams that one run writes down
MAX_LOGGED_KEYS = 100_000  # key records of one run
MAX_LOGGED_EVENTS = 1_000_000  # events of one run


class Narrator(Protocol):
    """Who knows what a datagram is."""

    def story_of(self, data: bytes) -> str:
        """In RFC notation; empty for a datagram of somebody else."""
        ...


class Capture:
    """A pcapng file of what was sent and received: raw IP packets, those that we sent with their story."""

    def __init__(self, target: FilePath, narrator: Narrator, *, force: bool = False) -> None:
        """Start the file. Raises CaptureError."""
        self.omitted = 0
        self._narrator = narrator
        self._room = MAX_CAPTURED
        self._writer = PcapngWriter(target, application="ipsecscope", force=force)
        self._writer.interface(LinkType.RAW, name="udp", description="the sockets of a live peer")

    def tap(self, data: bytes, path: Path, now: Instant, is_sent: bool) -> None:
        """Write a datagram down, as long as there is room."""
        if self._room < len(data):
            self.omitted += 1
            return
        self._room -= len(data)
        way = path if is_sent else path.reversed
        packet = udp_packet((way.local.address, way.local.port), (way.remote.address, way.remote.port), data)
        self._writer.write(now, packet, comment=self._narrator.story_of(data) if is_sent else "")

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        stops = kind is not None and not issubclass(kind, Exception)  # an interrupt: what was captured is good
        self._writer.__exit__(None if stops else kind, why, trace)


class KeyLog:
    """Our own key log, readable by its owner only, written line by line as keys are derived."""

    def __init__(self, target: FilePath, *, force: bool = False) -> None:
        """Start the file. Raises OSError, FileExistsError among them."""
        self.written = 0
        self._source = str(target)
        self._out = open_private(target, overwrite=force)
        self._out.write(HEADER.encode())

    def heard(self, event: PeerEvent) -> None:
        """Write the keys of an event down."""
        for record in key_records([event], self._source):
            if self.written < MAX_LOGGED_KEYS:
                self.written += 1
                self._out.write(ipsecscope_log([record]).removeprefix(HEADER).encode())
        self._out.flush()

    def close(self) -> None:
        """Finish the file."""
        self._out.close()


class EventLog:
    """Every event as a line of JSON, without keys."""

    def __init__(self, target: FilePath, *, force: bool = False) -> None:
        """Start the file. Raises OSError, FileExistsError among them."""
        self.written = 0
        self._out = open_private(target, overwrite=force)

    def heard(self, event: PeerEvent) -> None:
        """Write an event down."""
        if self.written >= MAX_LOGGED_EVENTS:
            return
        self.written += 1
        line = {
            "time_ns": event.time_ns,
            "name": event.name,
            "group_id": event.group_id,
            "vantage": event.vantage,
            "data": event.data,
        }
        self._out.write(msgspec.json.encode(line) + b"\n")
        self._out.flush()

    def close(self) -> None:
        """Finish the file."""
        self._out.close()
