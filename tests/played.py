"""The declared scenarios, played and analysed once for all tests of a run; the bundled captures are what they leave."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from conftest import ROOT

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord, SaKeys
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.peers.generating import files_of
from ipsecscope.peers.scenarios import BY_NAME, SCENARIOS, Generated, generate
from ipsecscope.timeline.analysis import Analysis, analyze

CAPTURES = ROOT / "captures"
NAMES = [scenario.name for scenario in SCENARIOS]

__all__ = ["BY_NAME", "CAPTURES", "NAMES", "Keys", "analysed", "capture", "diagnosed", "files", "played"]

Keys = Literal["none", "all", "ike"]  # nothing, everything in NAME.keys, or that without the keys of ESP and AH


@cache
def played(name: str) -> Generated:
    """A scenario with seed 0."""
    return generate(name)


@cache
def files(name: str) -> dict[str, bytes]:
    """What ``generate`` writes of it."""
    return files_of(played(name))


def capture(name: str) -> Path:
    """The bundled capture."""
    return CAPTURES / f"{name}.pcapng"


@cache
def analysed(name: str, keys: Keys = "none") -> Analysis:
    """The bundled capture, analysed with the bundled keys or without."""
    if keys == "none":
        return analyze([str(capture(name))])
    file = read_keys(CAPTURES / f"{name}.keys")
    assert not file.problems
    records: list[KeyRecord] = [each for each in file.records if keys == "all" or not isinstance(each, SaKeys)]
    return analyze([str(capture(name))], ring=KeyRing(records))


@cache
def diagnosed(name: str, keys: Keys = "none") -> Diagnosis:
    """What the bundled capture means."""
    return diagnose(analysed(name, keys))
