"""A flood of malformed datagrams beside honest handshakes: how many of those complete, and what memory it costs.

    python benchmarks/responder_flood.py [--ike 2] [--rate 5000] [--seconds 60]

A responder runs as a process of its own on loopback. Another process sends it datagrams from 64 addresses, a fifth of
each kind: cut, mutated, oversized, with SPIs that nobody has, and IKE_SA_INIT requests that nobody goes on with. All the
while clients establish an IKE SA and a Child SA, ping through it, and delete it. The exit code is 1 when fewer than 90 %
of them succeed, or when the responder's memory grows by more than 16 MiB.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgspec

from ipsecscope.peers.entropy import MILLISECOND, SECOND, Entropy, SystemClock
from ipsecscope.peers.live import LivePeer, Wish
from ipsecscope.peers.settings import parse_settings
from ipsecscope.peers.udp import UdpPorts, drive

MEBIBYTE = 1024 * 1024
GOAL_SHARE, GOAL_GROWTH = 0.9, 16 * MEBIBYTE
SOURCES = 64
STEP = 0.01  # seconds between two volleys
WARM_UP = 10  # handshakes before memory is looked at: everything is imported by then

GATEWAY = """
version = {version}
[local]
port = 0
nat_port = 0
id = "gateway.example"
networks = ["10.1.0.0/16"]
[remote]
networks = ["10.2.0.0/16"]
[secrets]
psk = "correct horse battery staple"
"""
CLIENT = """
version = {version}
[local]
address = "{address}"
port = 0
nat_port = 0
id = "client.example"
networks = ["10.2.0.0/16"]
[remote]
port = {port}
nat_port = {nat_port}
id = "gateway.example"
networks = ["10.1.0.0/16"]
[secrets]
psk = "correct horse battery staple"
"""


class Outcome(NamedTuple):
    """What came of one flood."""

    sent: int
    begun: int
    completed: int
    slowest: float
    memory_before: int
    memory_peak: int
    survived: bool
    exit_code: int
    log: str

    @property
    def share(self) -> float:
        """Of the honest handshakes those that completed."""
        return self.completed / max(1, self.begun)


# -- the flood -----------------------------------------------------------------------------------------------------


def first_message(version: int) -> bytes:
    """The honest first message of a handshake."""
    unbound = parse_settings(CLIENT.format(version=version, address="127.0.0.1", port=500, nat_port=4500))
    settings = msgspec.structs.replace(unbound, port=500, nat_port=4500)
    live = LivePeer(settings, Entropy.seeded("flood"), Wish(), initiates=True)
    live.start(0)
    return next(data for data, _ in live.datagrams_to_send(0))


def kinds(first: bytes, chance: random.Random) -> tuple[Callable[[], bytes], ...]:
    """What makes a datagram of each kind."""

    def cut() -> bytes:
        return first[: chance.randrange(len(first))]

    def mutated() -> bytes:
        octets = bytearray(first)
        for _ in range(chance.randint(1, 8)):
            octets[chance.randrange(len(octets))] = chance.randrange(256)
        return bytes(octets)

    def oversized() -> bytes:
        return first + bytes(chance.choice((100, 1500, 9000, 60_000)))

    def spoofed() -> bytes:
        exchange = bytes((46, first[17], chance.choice((34, 35, 36, 37, 5, 32)), chance.choice((0, 8, 32, 40))))
        return chance.randbytes(16) + exchange + chance.randbytes(4) + (80).to_bytes(4, "big") + chance.randbytes(52)

    def half_open() -> bytes:
        return chance.randbytes(8) + first[8:]

    return cut, mutated, oversized, spoofed, half_open


def flood(version: int, port: int, nat_port: int, rate: int, seconds: float) -> int:
    """Send for so long; returns how many datagrams were sent."""
    chance = random.Random(1)
    makers = kinds(first_message(version), chance)
    sockets = []
    for number in range(SOURCES):
        sockets.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sockets[-1].bind((f"127.1.0.{number + 1}", 0))
        sockets[-1].setblocking(False)
    start, sent = time.monotonic(), 0
    while (passed := time.monotonic() - start) < seconds:
        while sent < rate * passed:
            data = makers[sent % len(makers)]()
            to_nat_port = chance.random() < 0.3
            if to_nat_port and chance.random() < 0.7:  # the others look like ESP
                data = bytes(4) + data
            with_socket = sockets[sent % SOURCES]
            try:
                with_socket.sendto(data[:65_000], ("127.0.0.1", nat_port if to_nat_port else port))
            except BlockingIOError:
                continue
            sent += 1
        for each in sockets:  # what comes back is of no interest
            with contextlib.suppress(BlockingIOError):
                each.recv(65_535)
        time.sleep(STEP)
    return sent


# -- honest clients --------------------------------------------------------------------------------------------------


def handshake(version: int, address: str, ports: tuple[int, int]) -> bool:
    """Establish, ping once, delete; whether the ping was answered."""
    settings = parse_settings(CLIENT.format(version=version, address=address, port=ports[0], nat_port=ports[1]))
    wish = Wish(ping="10.1.0.1", count=1, interval=10 * MILLISECOND)
    clock = SystemClock()
    with UdpPorts(settings.address, 0, 0) as bound:
        live = LivePeer(bound.configured(settings), Entropy.system(), wish, initiates=True)
        live.start(clock.now())
        drive(bound, live, clock, until=lambda _: live.is_done)
        failure = live.failure
        live.close(clock.now())
        last = clock.now() + 2 * SECOND
        drive(bound, live, clock, until=lambda now: now >= last or live.steered.is_idle)
    return not failure


class Honest(threading.Thread):
    """One client after the other from one address, until told to stop."""

    def __init__(self, version: int, address: str, ports: tuple[int, int], pause: float) -> None:
        super().__init__()
        self.version = version
        self.address = address
        self.ports = ports
        self.pause = pause
        self.begun = self.completed = 0
        self.slowest = 0.0
        self.enough = threading.Event()

    def run(self) -> None:
        """One after the other."""
        while not self.enough.is_set():
            start = time.monotonic()
            self.begun += 1
            self.completed += handshake(self.version, self.address, self.ports)
            self.slowest = max(self.slowest, time.monotonic() - start)
            self.enough.wait(self.pause)


# -- the whole ---------------------------------------------------------------------------------------------------------


def resident(pid: int) -> int:
    """Octets of memory that a process has."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS"))


def responder(version: int, folder: Path) -> tuple[subprocess.Popen[str], tuple[int, int]]:
    """A responder as a process, and its ports."""
    (folder / "gateway.toml").write_text(GATEWAY.format(version=version))
    command = [sys.executable, "-m", "ipsecscope", "respond", str(folder / "gateway.toml")]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)
    while True:
        words = (folder / "log").read_text().split()
        if len(words) >= 8:
            return process, (int(words[4]), int(words[7]))
        if process.poll() is not None:
            raise SystemExit((folder / "log").read_text())
        time.sleep(0.05)


def measure(rate: int, seconds: float, *, version: int = 2, clients: int = 2, pause: float = 0.2) -> Outcome:
    """Flood a responder beside honest clients."""
    with tempfile.TemporaryDirectory() as name:
        process, ports = responder(version, Path(name))
        try:
            warm = [handshake(version, "127.0.0.2", ports) for _ in range(WARM_UP)]
            if not all(warm):
                raise SystemExit("the handshakes fail without a flood")
            before = peak = resident(process.pid)
            command = [
                sys.executable,
                __file__,
                "--flood",
                *map(str, (version, *ports)),
                "--rate",
                str(rate),
                "--seconds",
                str(seconds),
            ]
            honest = [Honest(version, f"127.0.0.{number + 2}", ports, pause) for number in range(clients)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as attacker:
                for each in honest:
                    each.start()
                while attacker.poll() is None and process.poll() is None:
                    peak = max(peak, resident(process.pid))
                    time.sleep(0.2)
                for each in honest:
                    each.enough.set()
                for each in honest:
                    each.join()
                said, _ = attacker.communicate()
            survived = process.poll() is None
            peak = max(peak, resident(process.pid)) if survived else peak
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait()
        return Outcome(
            sent=int(said or 0),
            begun=sum(each.begun for each in honest),
            completed=sum(each.completed for each in honest),
            slowest=max(each.slowest for each in honest),
            memory_before=before,
            memory_peak=peak,
            survived=survived,
            exit_code=code,
            log=(Path(name) / "log").read_text(),
        )


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ike", type=int, choices=(1, 2), default=2, help="version")
    parser.add_argument("--rate", type=int, default=5000, help="datagrams a second")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--log", action="store_true", help="print the log of the responder")
    parser.add_argument("--flood", nargs=3, type=int, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.flood:
        print(flood(*wanted.flood, wanted.rate, wanted.seconds))
        return 0
    found = measure(wanted.rate, wanted.seconds, version=wanted.ike)
    growth = found.memory_peak - found.memory_before
    print(f"malformed datagrams sent  {found.sent:>10,}  ({found.sent / wanted.seconds:,.0f} a second)")
    print(f"honest handshakes begun   {found.begun:>10,}")
    print(f"honest handshakes done    {found.completed:>10,}  ({found.share:.1%}, goal {GOAL_SHARE:.0%})")
    print(f"slowest, seconds          {found.slowest:>10.2f}")
    print(f"memory before, MiB        {found.memory_before / MEBIBYTE:>10.1f}")
    print(f"growth at most, MiB       {growth / MEBIBYTE:>10.1f}  (goal {GOAL_GROWTH // MEBIBYTE})")
    print(f"responder survived        {'yes' if found.survived else 'no':>10}  (exit code {found.exit_code})")
    print(f"lines of its log          {len(found.log.splitlines()):>10,}")
    if wanted.log:
        print(found.log)
    return int(found.share < GOAL_SHARE or growth > GOAL_GROWTH or not found.survived)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONPATH", str(Path(__file__).resolve().parent.parent))
    sys.exit(main())
