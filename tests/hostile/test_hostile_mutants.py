"""Mutated real captures: no exception, no fault of ours in the report, nothing harmful in any output, no hang.

``IPSECSCOPE_MUTANTS`` and ``IPSECSCOPE_SEED`` choose how many and from which seed on; a failure names its seed.
"""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, SHARED
from judging import judged, memory_limit, time_limit
from mutants import mutated

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing

COUNT = int(os.environ.get("IPSECSCOPE_MUTANTS", "200"))
FIRST = int(os.environ.get("IPSECSCOPE_SEED", "1"))
BATCH = 25
SMALL = 20_000  # octets of a capture that is worth mutating: faults in large ones are spread too thin
SECONDS = 10
GROWTH = 512 * 1024**2

BATCHES = [range(start, min(start + BATCH, FIRST + COUNT)) for start in range(FIRST, FIRST + COUNT, BATCH)]


@pytest.fixture(scope="module")
def originals() -> list[tuple[Path, bytes]]:
    """Small real captures, unpacked: those of the reference material where it is present, the bundled ones always."""
    paths = sorted((ROOT / "captures").glob("*.pcap*"))
    if SHARED.is_dir():
        paths += sorted((SHARED / "captures" / "lab").glob("*/capture*.pcap*"))
        paths += sorted((SHARED / "captures" / "public" / "captures").glob("*"))
    return [(path, _unpacked(path)) for path in paths if path.is_file() and path.stat().st_size <= SMALL]


def _unpacked(path: Path) -> bytes:
    data = path.read_bytes()
    return gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data


@pytest.fixture
def guards() -> Iterator[None]:
    with memory_limit(GROWTH):
        yield


@pytest.mark.usefixtures("guards")
@pytest.mark.parametrize("seeds", BATCHES, ids=lambda seeds: f"seeds-{seeds.start}-{seeds.stop - 1}")
def test_mutant_is_analysed_without_a_fault(originals: list[tuple[Path, bytes]], seeds: range, tmp_path: Path) -> None:
    mutant = tmp_path / "mutant"
    for seed in seeds:
        rng = random.Random(seed)
        (path, data), (_, donor) = rng.choice(originals), rng.choice(originals)
        mutant.write_bytes(mutated(data, seed, donor=donor))
        keys = path.parent / "keys.json"
        ring = KeyRing(read_keys(keys).records) if seed % 4 == 0 and keys.exists() else None
        try:
            with time_limit(SECONDS):
                judged(mutant, ring)
        except BaseException as fault:
            fault.add_note(f"seed {seed}, a mutant of {path.parent.name}/{path.name}")
            raise


def test_mutant_is_the_same_for_the_same_seed(originals: list[tuple[Path, bytes]]) -> None:
    _, data = originals[0]
    assert mutated(data, 7) == mutated(data, 7)
    assert len({mutated(data, seed) for seed in range(20)} - {data}) > 15
