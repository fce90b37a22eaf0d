"""Two captures of the same ESP packets, one behind a lossy NAT with another clock. Prints wall time and peak memory of `compare`.

Runs at a third and at the whole of the number, so that growth which is not linear shows.

    python benchmarks/two_taps.py [NUMBER]
"""

from __future__ import annotations

import json
import random
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

START_US = 1_790_000_000_000_000
MEBIBYTE = 1024 * 1024
INSIDE, OUTSIDE, REMOTE = 0x0A000001, 0xC6336407, 0xC0000201


def packet(number: int, *, outside: bool) -> bytes:
    """ESP in UDP, in turns in either direction, before or behind the NAT."""
    forth = number % 2 == 0
    local, port = (OUTSIDE, 20_001) if outside else (INSIDE, 4500)
    source, target = (local, REMOTE) if forth else (REMOTE, local)
    ports = (port, 4500) if forth else (4500, port)
    spi, seq = (0x1000 if forth else 0x2000), number // 2 + 1
    size = 64 + 8 * (number % 120)
    body = struct.pack(">IIQ", spi, seq, number * 0x9E3779B97F4A7C15 & (1 << 64) - 1) + bytes(size)
    head = struct.pack(
        ">BBHHHBBHII", 0x45, 0, 28 + len(body), seq & 0xFFFF, 0, 63 if outside else 64, 17, 0, source, target
    )
    return head + struct.pack(">HHHH", *ports, 8 + len(body), 0) + body


def write(folder: Path, number: int) -> None:
    """Both captures: 1 % lost, 1 % late, B's clock 3 s ahead and 20 ppm fast."""
    chance = random.Random(7)
    inside: list[tuple[int, bytes]] = []
    outside: list[tuple[int, bytes]] = []
    for each in range(number):
        sent = START_US + each * 200
        forth, lost = each % 2 == 0, chance.random() < 0.01
        arrives = sent + 5_000 + int(chance.expovariate(1 / 300)) + (20_000 if chance.random() < 0.01 else 0)
        near, far = (sent, arrives) if forth else (arrives, sent)
        if forth or not lost:
            inside.append((near, packet(each, outside=False)))
        if not forth or not lost:
            outside.append((far + 3_000_000 + (far - START_US) * 20 // 1_000_000, packet(each, outside=True)))
    for name, packets in (("inside", inside), ("outside", outside)):
        with (folder / f"{name}.pcap").open("wb") as out:
            out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
            for when, data in sorted(packets, key=lambda pair: pair[0]):
                out.write(struct.pack("<IIII", when // 1_000_000, when % 1_000_000, len(data), len(data)) + data)


def measure(folder: Path) -> tuple[float, float, dict[str, object]]:
    """Seconds, MiB and the document of one run in a process of its own."""
    command = [sys.executable, "-m", "ipsecscope", "compare", str(folder / "inside.pcap"), str(folder / "outside.pcap")]
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:]);"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    target = folder / "both.json"
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", script, *command, "--format", "json", "--force", "-o", str(target)],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - start
    code, kibibytes = map(int, done.stdout.split())
    if code:
        raise SystemExit(f"compare ended with {code}: {done.stderr}")
    return seconds, kibibytes / 1024, json.loads(target.read_text())


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 300_000
    with tempfile.TemporaryDirectory() as name:
        folder, times = Path(name), []
        for count in (number // 3, number):
            write(folder, count)
            seconds, mebibytes, found = measure(folder)
            times.append(seconds)
            print(
                f"{count:9,} packets sent  {seconds:6.1f} s {mebibytes:7.1f} MiB RSS  paired {found['paired']:,}  clock {found['clock']}",
                flush=True,
            )
        print(f"three times the packets took {times[1] / times[0]:.2f} times as long")


if __name__ == "__main__":
    main()
