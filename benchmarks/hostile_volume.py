"""A flood: many half-open IKE_SA_INIT requests, or many ESP SPIs. Prints wall time and peak memory of `analyze`.

Each kind runs at a half and at the whole of the number, so that growth which is not linear shows.

    python benchmarks/hostile_volume.py [NUMBER]
"""

from __future__ import annotations

import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

PROPOSAL = bytes.fromhex(
    "2200002c00000028010100040300000c0100000c800e01000300000802000005030000080300000c0000000804000013"
)
KEY_EXCHANGE = bytes.fromhex("2800004800130000") + bytes(range(64))
NONCE = bytes.fromhex("00000014") + bytes(range(16))
BODY = PROPOSAL + KEY_EXCHANGE + NONCE
MEBIBYTE = 1024 * 1024


def ip(number: int, protocol: int, payload: bytes) -> bytes:
    source = 0x0A000000 + number % 60_000
    return struct.pack(">BBHHHBBHII", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0, source, 0xC0000201) + payload


def half_open(number: int) -> bytes:
    size = 28 + len(BODY)
    header = struct.pack(">QQBBBBII", number + 1, 0, 33, 0x20, 34, 0x08, 0, size)
    return ip(number, 17, struct.pack(">HHHH", 500, 500, 8 + size, 0) + header + BODY)


def esp(number: int) -> bytes:
    return ip(number, 50, struct.pack(">II", 0x10000 + number, 1) + bytes(92))


def write(path: Path, packet: Callable[[int], bytes], number: int) -> None:
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101))
        for each in range(number):
            data = packet(each)
            out.write(struct.pack("<IIII", 1_790_000_000 + each // 10_000, each % 10_000, len(data), len(data)) + data)


def measure(path: Path, kind: str) -> tuple[float, float]:
    """Seconds and MiB of one run in a process of its own."""
    command = [sys.executable, "-m", "ipsecscope", "analyze", str(path), "--format", kind]
    script = (
        "import resource, subprocess, sys; code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL);"
        "print(code, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    code, kibibytes = map(int, result.stdout.split())
    if code:
        raise SystemExit(f"analyze ended with {code}: {result.stderr}")
    return seconds, kibibytes / 1024


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flood.pcap"
        for name, packet in (("half-open IKE_SA_INIT", half_open), ("ESP SPIs", esp)):
            for count in (number // 2, number):
                write(path, packet, count)
                for kind in ("text", "json"):
                    seconds, mebibytes = measure(path, kind)
                    each = 1024 * mebibytes / count
                    size = path.stat().st_size / MEBIBYTE
                    print(
                        f"{name:22} {count:9,} {size:6.1f} MiB  {kind:5} {seconds:7.1f} s {mebibytes:8.1f} MiB RSS"
                        f"  {each:5.2f} KiB each",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
