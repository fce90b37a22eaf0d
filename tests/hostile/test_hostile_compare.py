"""Comparing damaged captures: whatever the octets, there is a comparison, it is the same again, and nothing raises."""

from __future__ import annotations

import io
import random
from pathlib import Path

import jsonschema
import msgspec
import pytest
from conftest import ROOT

from ipsecscope.diagnose.two_taps import Capture, compare_captures
from ipsecscope.reports.assemble_comparison import assemble_comparison
from ipsecscope.reports.comparison import json_schema, to_json
from ipsecscope.reports.comparison_text import write_comparison
from ipsecscope.timeline.comparison import State

NAMES = ("ikev2-nat", "esp-fragmented", "ikev2-ipv6", "ah-esp-tunnel", "ikev2-fragments-dropped", "esp-replayed")
SEEDS = range(3)


def damaged(name: str, chance: random.Random, path: Path) -> Capture:
    """A bundled capture with some octets behind its first block changed, or its end cut off."""
    octets = bytearray((ROOT / "captures" / f"{name}.pcapng").read_bytes())
    for _ in range(chance.randrange(40)):
        octets[chance.randrange(120, len(octets))] = chance.randrange(256)
    if chance.random() < 0.3:
        del octets[chance.randrange(200, len(octets)) :]
    path.write_bytes(octets)
    return Capture(str(path))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", NAMES)
def test_damaged_captures_are_compared(name: str, seed: int, tmp_path: Path) -> None:
    chance = random.Random(f"{name} {seed}")
    one, two = (damaged(name, chance, tmp_path / each) for each in ("a.pcapng", "b.pcapng"))
    found = compare_captures(one, two, throughout=seed % 2 == 0)
    written = to_json(assemble_comparison(found))
    jsonschema.Draft202012Validator(json_schema()).validate(msgspec.json.decode(written))
    assert to_json(assemble_comparison(compare_captures(one, two, throughout=seed % 2 == 0))) == written
    out = io.StringIO()
    write_comparison(assemble_comparison(found), out)
    assert out.getvalue()
    for side in (0, 1):
        partner = (found.comparison.pairing.in_b, found.comparison.pairing.in_a)[side]
        assert ((found.comparison.states(side) == int(State.PAIRED)) == (partner >= 0)).all()
