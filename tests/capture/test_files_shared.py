"""Every reference capture has as many records as others count in it, and tshark reads what is written here."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.writer import PcapngWriter, PcapWriter


def count(path: Path) -> int:
    reader = open_capture(path)
    frames = sum(len(records) for records in reader.windows())
    assert reader.facts.notes == []
    assert frames == reader.facts.frames
    return frames


def test_public_captures_have_the_records_of_the_index(shared: Path) -> None:
    folder = shared / "captures" / "public"
    index = json.loads((folder / "index.json").read_text())
    assert len(index) > 90
    assert {row["file"]: count(folder / row["file"]) for row in index} == {row["file"]: row["packets"] for row in index}


@pytest.mark.skipif(shutil.which("capinfos") is None, reason="needs capinfos")
def test_lab_captures_have_the_records_that_capinfos_counts(shared: Path) -> None:
    paths = sorted((shared / "captures" / "lab").glob("*/*.pcap*"))
    assert len(paths) > 140
    out = subprocess.run(
        ["capinfos", "-T", "-r", "-c", "-M", *map(str, paths)], capture_output=True, text=True, check=True
    )
    oracle = dict(line.split("\t")[:2] for line in out.stdout.splitlines())
    assert {str(path): str(count(path)) for path in paths} == oracle


@pytest.mark.parametrize("kind", ["pcap", "pcapng"])
@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.skipif(shutil.which("tshark") is None, reason="needs tshark")
def test_tshark_reads_what_is_written(kind: str, order: str, tmp_path: Path) -> None:
    path = tmp_path / "out"
    data = bytes.fromhex("ffffffffffff0200000000010800") + bytes(50)
    writer = PcapWriter(path, link_type=1, byte_order=order) if kind == "pcap" else PcapngWriter(path, byte_order=order)
    with writer:
        if isinstance(writer, PcapngWriter):
            writer.names({"192.0.2.1": ["gw"]})
            writer.interface(1)
        for number in range(3):
            writer.write(1_790_000_000_000_000_001 + number, data, original_length=100)
    fields = ["-e", "frame.number", "-e", "frame.time_epoch", "-e", "frame.len", "-e", "frame.cap_len"]
    command = ["tshark", "-n", "-r", str(path), "-T", "fields", *fields]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert out.splitlines() == [f"{n}\t1790000000.00000000{n}\t100\t64" for n in (1, 2, 3)]
