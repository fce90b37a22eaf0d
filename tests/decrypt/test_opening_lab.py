"""Packets of real kernels and daemons: every ESP and AH packet of the lab opens as its own-verify.json says."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from lab_captures import ip_packets

from ipsecscope.decrypt.algorithms import NO_INTEGRITY, encryption_by_name, integrity_by_name
from ipsecscope.decrypt.opening import Refused
from ipsecscope.decrypt.opening_ah import AhSa, AhVerified, AhVerifier
from ipsecscope.decrypt.opening_esp import EspOpened, EspOpener, EspSa
from ipsecscope.decrypt.secret import Secret

ESP, AH, UDP = 50, 51, 17


def protocols_of(packet: bytes) -> tuple[int, int]:
    """The protocol above IP and where it starts (the lab has no IPv6 extension headers but AH)."""
    if packet[0] >> 4 == 6:
        return packet[6], 40
    return packet[9], (packet[0] & 15) * 4


def sa_of(key: dict[str, Any]) -> EspSa | AhSa:
    integrity = NO_INTEGRITY
    if key.get("integ_alg"):
        integrity = integrity_by_name(key["integ_alg"], key.get("icv_bits"))
    integrity_key = Secret.from_hex(key.get("integ_key") or "")
    if key["proto"] == "AH":
        return AhSa(integrity=integrity, integrity_key=integrity_key, esn=key["esn"])
    row, _ = encryption_by_name(key["enc_alg"], None if key.get("integ_alg") else key.get("icv_bits"))
    return EspSa(
        encryption=row,
        encryption_key=Secret.from_hex(key["enc_key"]),
        integrity=integrity,
        integrity_key=integrity_key,
        esn=key["esn"],
    )


def is_esp_in_udp(datagram: bytes) -> bool:
    ports = int.from_bytes(datagram[:2], "big"), int.from_bytes(datagram[2:4], "big")
    return 4500 in ports and len(datagram) > 20 and datagram[8:12] != bytes(4)


def verdicts(folder: Path, name: str) -> Counter[str]:
    """How the ESP and AH packets of a capture open."""
    esp: dict[int, list[EspOpener]] = defaultdict(list)
    ah: dict[int, list[AhVerifier]] = defaultdict(list)
    seen = set()
    for key in json.loads((folder / "keys.json").read_text())["esp"]:
        if not key.get("spi") or (key["spi"], key["enc_key"]) in seen:
            continue
        seen.add((key["spi"], key["enc_key"]))
        sa = sa_of(key)
        if isinstance(sa, AhSa):
            ah[int(key["spi"], 16)].append(AhVerifier(sa))
        else:
            esp[int(key["spi"], 16)].append(EspOpener(sa))
    counts: Counter[str] = Counter()
    for packet in ip_packets(folder / name):
        protocol, at = protocols_of(packet)
        if protocol == AH:
            results = [verifier.verify(packet) for verifier in ah[int.from_bytes(packet[at + 4 : at + 8], "big")]]
            verified = next((result for result in results if isinstance(result, AhVerified)), None)
            counts["ah:ok" if verified else "ah:bad"] += 1
            protocol, at = (verified.next_header, verified.payload_at) if verified else (0, 0)
        if protocol == UDP and is_esp_in_udp(packet[at:]):
            protocol, at = ESP, at + 8
        if protocol == ESP:
            openers = esp[int.from_bytes(packet[at : at + 4], "big")]
            opened = [opener.open(packet[at:]) for opener in openers]
            good = next((result for result in opened if isinstance(result, EspOpened)), None)
            assert all(isinstance(result, EspOpened | Refused) for result in opened)
            if good is None:
                counts["esp:nokey" if not openers else "esp:bad"] += 1
            else:
                assert good.has_default_padding
                counts["esp:ok" if good.authenticated else "esp:noicv"] += 1
    return counts


def test_every_lab_capture_opens_as_verified_independently(shared: Path) -> None:
    scenarios, packets = 0, 0
    for verify in sorted((shared / "captures/lab").glob("*/own-verify.json")):
        for name, parts in json.loads(verify.read_text()).items():
            if name == "summary" or not isinstance(parts, dict) or not {"esp", "ah"} & parts.keys():
                continue
            if not name.endswith(".pcap") or "snap" in name:
                continue
            expected = {
                f"{kind}:{word}": count for kind in ("esp", "ah") for word, count in parts.get(kind, {}).items()
            }
            assert dict(verdicts(verify.parent, name)) == expected, f"{verify.parent.name}/{name}"
            scenarios += 1
            packets += sum(expected.values())
    print(f"{packets} ESP and AH packets of {scenarios} captures")
    assert scenarios > 100


@pytest.mark.parametrize("name", ["xfrm-manual-esp-esn-high5", "xfrm-manual-esp-esn-rollover-gcm"])
def test_upper_halves_of_lab_sequence_numbers_are_found(shared: Path, name: str) -> None:
    folder = shared / "captures/lab" / name
    keys = {int(key["spi"], 16): EspOpener(sa_of(key)) for key in json.loads((folder / "keys.json").read_text())["esp"]}
    highs = []
    for packet in ip_packets(folder / "capture.pcap"):
        opened = keys[int.from_bytes(packet[20:24], "big")].open(packet[20:])
        assert isinstance(opened, EspOpened)
        highs.append(opened.esn_high)
    assert set(highs) == ({5} if name.endswith("high5") else {0, 1})
