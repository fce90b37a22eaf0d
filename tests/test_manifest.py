"""captures/MANIFEST.toml: every bundled capture is listed, unchanged, and its origin is said."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

from conftest import ROOT

CAPTURES = ROOT / "captures"


def listed() -> list[dict[str, str]]:
    return tomllib.loads((CAPTURES / "MANIFEST.toml").read_text())["capture"]


def test_manifest_lists_every_capture_once() -> None:
    files = sorted(path.name for path in CAPTURES.iterdir() if path.suffix in {".pcap", ".pcapng"})
    assert sorted(row["file"] for row in listed()) == files


def test_manifest_rows_say_what_how_and_licence() -> None:
    for row in listed():
        assert {"shows", "made", "origin", "licence"} <= row.keys()


def test_manifest_hashes_are_those_of_the_files() -> None:
    for row in listed():
        data = Path(CAPTURES / row["file"]).read_bytes()
        assert hashlib.sha256(data).hexdigest() == row["sha256"], row["file"]
