"""A capture with many IKE SAs, good ones and ones that fail. Prints the CPU time that reading and all rules take, and memory.

The sessions are those of our own peers: each copy gets SPIs, addresses and detection hashes of its own. Runs at a tenth
and at the whole of the number, so that growth which is not linear shows.

    python benchmarks/many_sas.py [NUMBER]
"""

from __future__ import annotations

import hashlib
import heapq
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ipsecscope.capture.datagrams import Kind
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.diagnose import engine
from ipsecscope.diagnose.rule import Finding, Rule
from ipsecscope.diagnose.view import View
from ipsecscope.timeline.analysis import analyze

CAPTURES = Path(__file__).parent.parent / "captures"
TEMPLATES = (
    "ikev2",
    "ikev2-nat",
    "ikev1-main-mode",
    "ikev1-aggressive-mode",
    "ikev2-wrong-psk",
    "ikev2-no-proposal",
    "ikev2-ts-mismatch",
    "ikev2-child-no-proposal",
    "ikev2-pfs-mismatch",
    "ikev2-invalid-ke",
    "ikev2-no-answer",
    "ikev2-reboot",
    "ikev2-fragments-dropped",
    "ikev1-wrong-psk",
    "ikev1-no-proposal",
)
APART_NS = 5_000_000  # between the starts of two sessions
GATEWAYS = 2_000  # responders that the initiators share
MEBIBYTE = 1024 * 1024


class Template:
    """One session: its packets with their times, and what must be another in each copy."""

    def __init__(self, name: str) -> None:
        reader, line = open_capture(str(CAPTURES / f"{name}.pcapng")), Pipeline()
        self.packets: list[tuple[int, bytes]] = []
        self.ike_spis: set[bytes] = set()
        self.esp_spis: set[bytes] = set()
        self.ends: list[bytes] = []
        self.hashes: set[tuple[bytes, bytes, bytes, int]] = set()
        seen: list[tuple[bytes, bytes]] = []
        for frame in reader.frames():
            if frame.data[12:14] != b"\x08\x00":
                raise SystemExit(f"{name}: a template must be IPv4 on Ethernet")
            self.packets.append((frame.time_ns, frame.data[14:]))
            for datagram in line.feed(frame):
                if datagram.kind is Kind.IKE and len(datagram.payload) >= 28:
                    seen.append((datagram.payload[:8], datagram.payload[8:16]))
                    self.ike_spis |= {datagram.payload[:8], datagram.payload[8:16]}
                elif datagram.kind is Kind.ESP:
                    self.esp_spis.add(datagram.payload[:4])
                for address in (frame.data[26:30], frame.data[30:34]):
                    if address not in self.ends:
                        self.ends.append(address)
        self.ike_spis.discard(bytes(8))
        self.ike_sas = len({spi_i for spi_i, _ in seen})
        self.hashes = {
            (spi_i, spi_r, address, port) for spi_i, spi_r in seen for address in self.ends for port in (500, 4500)
        }
        everything = b"".join(packet for _, packet in self.packets)
        self.hashes = {each for each in self.hashes if _detection_hash(*each) in everything}
        self.start = self.packets[0][0]

    def copies(self, number: int, at: int) -> Iterator[tuple[int, bytes]]:
        """The packets of one copy: its times, SPIs, addresses and hashes are its own."""
        salt = hashlib.blake2b(number.to_bytes(8, "big"), digest_size=64).digest()
        spis = {spi: _fresh(spi, salt) for spi in sorted(self.ike_spis)}
        data = {spi: _fresh(spi, salt) for spi in sorted(self.esp_spis)}
        hosts = {address: _address(place, number) for place, address in enumerate(self.ends)}
        hashes = {
            _detection_hash(*each): _detection_hash(
                spis.get(each[0], each[0]), spis.get(each[1], each[1]), hosts[each[2]], each[3]
            )
            for each in self.hashes
        }
        for when, packet in self.packets:
            head, rest = bytearray(packet[:20]), packet[20:]
            head[12:16], head[16:20] = hosts[packet[12:16]], hosts[packet[16:20]]
            for old, new in (*spis.items(), *hashes.items()):
                if old in rest:
                    rest = rest.replace(old, new)
            at_esp = 0 if packet[9] == 50 else 8
            if rest[at_esp : at_esp + 4] in data:
                rest = rest[:at_esp] + data[rest[at_esp : at_esp + 4]] + rest[at_esp + 4 :]
            yield at + when - self.start, bytes(head) + rest


def _detection_hash(spi_i: bytes, spi_r: bytes, address: bytes, port: int) -> bytes:
    return hashlib.sha1(spi_i + spi_r + address + port.to_bytes(2, "big"), usedforsecurity=False).digest()


def _fresh(spi: bytes, salt: bytes) -> bytes:
    return hashlib.blake2b(spi, digest_size=len(spi), key=salt).digest()


def _address(place: int, number: int) -> bytes:
    """Initiators and translators have an address of their own, responders are shared."""
    if place == 1:
        return (0xC6120000 + number % GATEWAYS).to_bytes(4, "big")
    return (0x0B000000 + (place << 20) + number).to_bytes(4, "big")


def write(path: Path, number: int) -> int:
    """A capture with this many IKE SAs, rekeyed ones included; returns how many packets it has."""
    templates = [Template(name) for name in TEMPLATES if (CAPTURES / f"{name}.pcapng").exists()]
    waiting: list[tuple[int, int, bytes]] = []
    count = session = made = 0
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 101))
        while made < number:
            at = 1_790_000_000 * 10**9 + session * APART_NS
            while waiting and waiting[0][0] < at:
                _write(out, *heapq.heappop(waiting))
            template = templates[session % len(templates)]
            for when, packet in template.copies(session, at):
                count += 1
                heapq.heappush(waiting, (when, count, packet))
            session, made = session + 1, made + template.ike_sas
        while waiting:
            _write(out, *heapq.heappop(waiting))
    return count


def _write(out: BinaryIO, when: int, _: int, packet: bytes) -> None:
    out.write(struct.pack("<IIII", *divmod(when, 10**9), len(packet), len(packet)) + packet)


def run(path: str) -> None:
    """Analyse and diagnose; print the figures as JSON."""
    wall, start = time.perf_counter(), time.process_time()
    analysis = analyze([path])
    read = time.process_time()
    read_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rules: dict[str, float] = {}
    original = engine._run  # noqa: SLF001 (the one place where each rule can be timed)

    def timed(rule: Rule, view: View) -> Iterator[Finding]:
        before = time.process_time()
        found = list(original(rule, view))
        rules[rule.code] = time.process_time() - before
        return iter(found)

    engine._run = timed  # noqa: SLF001
    diagnosis = engine.diagnose(analysis)
    stop = time.process_time()
    slow = sorted(rules.items(), key=lambda each: -each[1])[:8]
    print(
        json.dumps(
            {
                "read_mib": read_mib,
                "sas": len(analysis.ike_sas),
                "flows": len(analysis.flows),
                "findings": len(diagnosis.findings),
                "codes": len({each.code for each in diagnosis.findings}),
                "faults": list(diagnosis.faults),
                "rules": len(rules),
                "read_s": read - start,
                "rules_s": stop - read,
                "wall_s": time.perf_counter() - wall,
                "slowest": {code: round(seconds, 2) for code, seconds in slow},
                "notes": [note.kind for note in analysis.capture_notes][:5],
                "rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def main() -> None:
    if len(sys.argv) > 2:
        run(sys.argv[2])
        return
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    times = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.pcap"
        for sas in (number // 10, number):
            packets = write(path, sas)
            done = subprocess.run(
                [sys.executable, __file__, "run", str(path)], stdout=subprocess.PIPE, text=True, check=True
            )
            found = json.loads(done.stdout)
            times.append(found["read_s"] + found["rules_s"])
            print(
                f"{sas:8,} wanted {packets:10,} packets {path.stat().st_size / MEBIBYTE:7.1f} MiB: {found['sas']:,} IKE SAs, "
                f"reading {found['read_s']:.1f} CPU s, {found['rules']} rules {found['rules_s']:.1f} CPU s ({found['wall_s']:.0f} s by the wall), "
                f"{found['read_mib']:.0f} MiB RSS, {found['rss_mib']:.0f} with the findings; "
                f"{found['findings']:,} findings of {found['codes']} codes; slowest {found['slowest']} {found['notes']} {found['faults']}",
                flush=True,
            )
    print(f"ten times the IKE SAs took {times[1] / times[0]:.2f} times as much CPU time")


if __name__ == "__main__":
    main()
