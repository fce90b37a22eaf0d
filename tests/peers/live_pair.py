"""Two live peers on loopback sockets with free ports: what a test of them needs, threads included."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from ipsecscope.peers.entropy import SECOND, Entropy, SystemClock
from ipsecscope.peers.events import PeerEvent
from ipsecscope.peers.live import LivePeer, Wish
from ipsecscope.peers.recording import Capture, KeyLog
from ipsecscope.peers.settings import parse_settings
from ipsecscope.peers.udp import UdpPorts, drive

PATIENT = "[patience]\nretransmit_after_s = 0.5\n"


class Live:
    """One live peer and its sockets, driven in a thread of its own."""

    def __init__(self, settings: str, wish: Wish | None = None, *, initiates: bool, folder: Path | None = None) -> None:
        config = parse_settings(settings, "live.toml", folder)
        self.ports = UdpPorts(config.address, config.port, config.nat_port)
        self.live = LivePeer(
            self.ports.configured(config), Entropy.seeded(f"live {initiates}"), wish or Wish(), initiates=initiates
        )
        self.events: list[PeerEvent] = []
        self.live.listeners.append(self.events.append)
        self.clock = SystemClock()
        self.capture: Capture | None = None
        self.keys: KeyLog | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.fault: BaseException | None = None

    def record(self, capture: Path, keys: Path) -> Live:
        self.capture = Capture(capture, self.live.steered)
        self.keys = KeyLog(keys)
        self.live.listeners.append(self.keys.heard)
        return self

    def _run(self) -> None:
        try:
            self.drive(60)
        except BaseException as fault:  # noqa: BLE001 (it is raised again in the thread of the test)
            self.fault = fault

    def drive(self, seconds: float) -> None:
        """Run until the peer is done, is told to stop, or the time is over; then say goodbye."""
        tap = None if self.capture is None else self.capture.tap
        end = self.clock.now() + round(seconds * SECOND)
        self.live.start(self.clock.now())

        def enough(now: int) -> bool:
            return now >= end or self._stop.is_set() or (self.live.initiates and self.live.is_done)

        drive(self.ports, self.live, self.clock, until=enough, tap=tap)
        self.live.close(self.clock.now())
        last = self.clock.now() + 3 * SECOND
        drive(self.ports, self.live, self.clock, until=lambda now: now >= last or self.live.steered.is_idle, tap=tap)
        if self.capture is not None:
            self.capture.__exit__(None, None, None)
        if self.keys is not None:
            self.keys.close()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.ports.close()
        if self.fault is not None:
            raise self.fault

    def wait_for(self, happened: Callable[[], bool]) -> None:
        """Until something happened, or the peer has come to its end."""
        while self._thread.is_alive() and not happened():
            self._thread.join(0.01)

    def names(self) -> list[str]:
        return [event.name for event in self.events]


def ends(responder: Live) -> str:
    """The lines of a [remote] table that lead to a responder."""
    ports = responder.ports
    return f'address = "{ports.address}"\nport = {ports.port}\nnat_port = {ports.nat_port}\n'
