"""The exported inner packets of the lab against what a tap behind the responder saw: octet for octet, in order."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import dpkt
import pytest
from conftest import SHARED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.reports.export import Wanted, export

LAB = SHARED / "captures" / "lab"
TAP = "inner-responder.pcap"
RAW = 101

pytestmark = pytest.mark.shared

# Where tap and capture differ: (inner packets the tap lacks, packets of the tap that were in no tunnel) and why.
DIFFERENT = {
    ("fail-mtu-black-hole", "capture.pcap"): (15, 0, "ESP packets in front of the black hole never reach the tap"),
    ("fail-responder-reboot", "capture.pcap"): (19, 0, "sent to a responder that had lost the SA: nobody opened them"),
    ("ikev1-ipv6", "capture.pcap"): (0, 2, "two multicast listener reports of the tap's own link"),
}


def cases() -> list[tuple[str, str]]:
    found = []
    for path in sorted(LAB.glob(f"*/{TAP}")):
        verdicts = json.loads((path.parent / "own-verify.json").read_text())
        found += [
            (path.parent.name, capture)
            for capture, verdict in verdicts.items()
            if isinstance(verdict, dict) and "inner" in verdict and capture.endswith((".pcap", ".pcapng"))
        ]
    return found


def packets(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        reader = dpkt.pcap.UniversalReader(file)
        skip = {101: 0, 12: 0, 1: 14, 113: 16, 276: 20}[reader.datalink()]
        return [(float(time), bytes(data[skip:])) for time, data in reader]


def test_every_scenario_with_a_tap_is_compared() -> None:
    """Scenarios without an opened packet (silent responders, probes) have an empty tap."""
    compared = {scenario for scenario, _ in cases()}
    others = [path for path in LAB.glob(f"*/{TAP}") if path.parent.name not in compared]
    assert len(compared) + len(others) >= 54
    assert all(not packets(path) for path in others)


@pytest.mark.parametrize(("scenario", "capture"), cases(), ids=lambda value: value.removesuffix(".pcap"))
def test_exported_inner_packets_are_those_behind_the_tap(scenario: str, capture: str, tmp_path: Path) -> None:
    folder = LAB / scenario
    ring = KeyRing(read_keys(folder / "keys.json").records)
    out = tmp_path / "inner.pcapng"
    done = export([str(folder / capture)], Wanted(inner=out), ring=ring)
    assert done.is_complete
    assert not done.remarks
    with out.open("rb") as file:
        assert dpkt.pcapng.Reader(file).datalink() == RAW
    exported, tapped = packets(out), packets(folder / TAP)
    assert len(exported) == done.inner > 0
    lacking, foreign, _ = DIFFERENT.get((scenario, capture), (0, 0, ""))
    ours, theirs = Counter(data for _, data in exported), Counter(data for _, data in tapped)
    if (scenario, capture) == ("fail-nat-rebind", "capture-inside.pcap"):
        assert not ours - theirs, "the inside of the NAT sees only what still reached it"
        return
    assert sum((ours - theirs).values()) == lacking
    assert sum((theirs - ours).values()) == foreign
    both = ours & theirs
    assert [data for _, data in exported if data in both] == [data for _, data in tapped if data in both]
    times = [time for time, _ in exported]
    carriers = {time for time, _ in packets(folder / capture)}
    assert times == sorted(times)
    assert all(min(abs(time - carrier) for carrier in carriers) < 1e-5 for time in times[:50])
