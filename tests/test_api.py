"""The public nouns and verbs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import ROOT

import ipsecscope as ips

WRONG_PSK = ROOT / "captures" / "lab-ikev2-wrong-psk.pcap"


def test_load_gives_the_timeline() -> None:
    trace = ips.load(WRONG_PSK)
    first = trace.ike_sas[0].exchanges[0].request[0].message
    assert first[ips.KeyExchange].method == 14  # type: ignore[attr-defined]
    assert first.span("KE.data")[1] > first.span("KE.data")[0]


def test_load_of_nothing_usable_raises_one_line(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pcap"
    empty.write_bytes(b"")
    with pytest.raises(Exception, match=r"empty\.pcap") as caught:
        ips.load(empty)
    assert "\n" not in str(caught.value)


def test_dissect_reads_one_message() -> None:
    record = ips.load(WRONG_PSK).ike_sas[0].exchanges[0].request[0]
    assert ips.dissect_message(record.datagram.payload) == record.message


def test_write_report_chooses_the_format_by_the_ending(tmp_path: Path) -> None:
    trace = ips.load(WRONG_PSK)
    ips.write_report(trace, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == "ipsecscope.report/1"
    with pytest.raises(ValueError, match="no report format"):
        ips.write_report(trace, tmp_path / "report.docx")
    with pytest.raises(OSError, match="exists"):
        ips.write_report(trace, tmp_path / "report.json")


def test_every_public_name_can_be_imported() -> None:
    for name in ips.__all__:
        assert getattr(ips, name) is not None
    with pytest.raises(AttributeError):
        ips.nothing  # noqa: B018
