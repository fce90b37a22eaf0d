"""The keys that an analysis proved, written down and read back, open all that the first keys opened."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import SHARED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keylogs.exporters import ipsecscope_log
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, SaKeys
from ipsecscope.peers.scenarios import generate
from ipsecscope.timeline.analysis import Analysis, analyze

LAB = SHARED / "captures" / "lab"


def opened(analysis: Analysis) -> tuple[list[bool], list[int]]:
    records = [
        record.opening is not None and record.opening.is_open
        for sa in analysis.ike_sas
        for exchange in sa.exchanges
        for record in (*exchange.records, *exchange.repeats)
    ]
    return records, [result.opened for result in analysis.traffic.values()]


def again(analysis: Analysis, capture: Path) -> Analysis:
    file = read_keys(ipsecscope_log(analysis.keys).encode())
    assert not file.problems
    return analyze([str(capture)], ring=KeyRing(file.records))


@pytest.mark.shared
@pytest.mark.parametrize("scenario", sorted(path.parent.name for path in LAB.glob("*/keys.json")))
def test_proven_keys_of_a_lab_session_open_it_again(scenario: str) -> None:
    capture = LAB / scenario / "capture.pcap"
    ring = KeyRing(read_keys(LAB / scenario / "keys.json").records)
    if not capture.is_file() or ring.is_empty:
        pytest.skip("no capture, or no keys")
    analysis = analyze([str(capture)], ring=ring)
    assert opened(again(analysis, capture)) == opened(analysis)


@pytest.mark.parametrize(
    "name",
    ["ikev2", "ikev2-cbc", "ikev2-ml-kem-twice", "ikev2-simultaneous-ike-rekey", "ikev1-main-mode", "ah-esp-tunnel"],
)
def test_proven_keys_name_what_they_opened(name: str, tmp_path: Path) -> None:
    made = generate(name)
    capture = tmp_path / "session.pcapng"
    capture.write_bytes(made.pcapng)
    analysis = analyze([str(capture)], ring=KeyRing(made.keys))
    assert opened(again(analysis, capture)) == opened(analysis)
    for record in analysis.keys:
        if isinstance(record, SaKeys):
            assert any(
                (flow.spi, flow.src, flow.dst) == (record.spi, record.src, record.dst) for flow in analysis.flows
            )
        elif isinstance(record, IkeV2Keys | IkeV1Keys):
            first = record.spi_i if isinstance(record, IkeV2Keys) else record.cookie_i
            assert any(sa.spi_i == first for sa in analysis.ike_sas)


def test_keys_that_open_nothing_are_not_proven(tmp_path: Path) -> None:
    capture = tmp_path / "session.pcapng"
    capture.write_bytes(generate("ikev2").pcapng)
    assert not analyze([str(capture)], ring=KeyRing(generate("ikev2", seed=3).keys)).keys
    assert not analyze([str(capture)]).keys
