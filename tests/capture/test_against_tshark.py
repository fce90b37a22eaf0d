"""Which frames are IKE, ESP and AH: tshark's answer for every reference capture, each difference explained.

One run of tshark over all captures, joined: it starts slowly and reads fast.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.writer import PcapngWriter

pytestmark = pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")

COMPARED = {Kind.IKE: "isakmp", Kind.ESP: "esp", Kind.AH: "ah"}
FUZZED_FRAGMENT = (
    "a first fragment, cut by the snap length, whose others are missing: FRAGMENT here; tshark reads on in it"
)
NO_SPI = "an initiator SPI and a length of zero on port 500: broken IKE here, no IKE to tshark"
EXPLAINED = {
    ("tcpdump__esp_truncated.pcap", 1): FUZZED_FRAGMENT,
    ("tcpdump__isakmp-ikev1_n_print-oobr.pcap", 1): FUZZED_FRAGMENT,
    ("tcpdump__isakmp-ikev1_n_print-oobr.pcap", 3): FUZZED_FRAGMENT,
    ("tcpdump__isakmp-various-oobr.pcap", 1): FUZZED_FRAGMENT,
    ("tcpdump__isakmpv1-attr-oobr.pcap", 1): FUZZED_FRAGMENT,
    ("tcpdump__isakmp-pointer-loop.pcap", 1): NO_SPI,
}

Spot = tuple[str, int]  # file name (with the scenario's folder for the lab) and frame


def kinds(datagram: Datagram) -> set[Kind]:
    """What tshark would name: what an ICMP error quotes as well."""
    quoted = kinds(datagram.quoted) if datagram.quoted is not None else set()
    return ({datagram.kind} | quoted) & set(COMPARED)


def read_all(folder: Path, joined: Path) -> tuple[list[Spot], dict[Spot, set[Kind]]]:
    """Every frame of every capture, copied into ``joined`` in this order, and what it holds."""
    spots: list[Spot] = []
    found: dict[Spot, set[Kind]] = {}
    with PcapngWriter(joined) as writer:
        for path in sorted(each for each in folder.rglob("*.pcap*") if each.suffix != ".txt"):
            name = f"{path.parent.name}/{path.name}" if "lab" in path.parts else path.name
            pipeline = Pipeline()
            datagrams: list[Datagram] = []
            for frame in open_capture(path).frames():
                writer.write_frame(frame)
                spots.append((name, frame.number))
                datagrams += pipeline.feed(frame)
            for datagram in datagrams + pipeline.finish():
                found.setdefault((name, datagram.frame), set()).update(kinds(datagram))
    return spots, found


def test_ike_esp_and_ah_frames_are_those_of_tshark(shared: Path, tmp_path: Path) -> None:
    joined = tmp_path / "joined.pcapng"
    spots, found = read_all(shared / "captures", joined)
    command = ["tshark", "-n", "-r", str(joined), "-T", "fields", "-e", "frame.number", "-e", "frame.protocols"]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    counts = {kind: [0, 0] for kind in COMPARED}
    differences = {}
    for line in out.splitlines():
        number, _, protocols = line.partition("\t")
        spot, layers = spots[int(number) - 1], protocols.split(":")
        theirs = {kind for kind, name in COMPARED.items() if name in layers}
        ours = found.get(spot, set())
        for kind, count in counts.items():
            count[0] += kind in ours
            count[1] += kind in theirs
        if ours != theirs:
            differences[spot] = (
                f"here {sorted(each.name for each in ours)}, tshark {sorted(each.name for each in theirs)}"
            )
    assert len(out.splitlines()) == len(spots) > 10_000
    print(f"\n{len(spots)} frames; {'kind':6} {'here':>6} {'tshark':>6}")
    for kind, (here, there) in counts.items():
        print(f"{kind.name:>20} {here:6} {there:6}")
    for spot, what in differences.items():
        print(f"{spot[0]} frame {spot[1]}: {what}: {EXPLAINED.get(spot, 'NOT EXPLAINED')}")
    assert set(differences) == set(EXPLAINED)
