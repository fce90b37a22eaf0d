"""The lab sessions, analysed once for all tests of this folder: without keys, and with what the daemons logged."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from conftest import SHARED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.timeline.analysis import Analysis, analyze

LAB = SHARED / "captures" / "lab"
PUBLIC = SHARED / "captures" / "public" / "captures"
SCENARIOS = sorted(path.parent.name for path in LAB.glob("*/truth.json")) if LAB.is_dir() else []
KEY_FILES = ("initiator.log", "responder.log", "initiator.pluto.log")


@cache
def truth(scenario: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LAB / scenario / "truth.json").read_text())
    return found


FAILING = [name for name in SCENARIOS if truth(name).get("root_cause")]
HEALTHY = [name for name in SCENARIOS if not truth(name).get("root_cause")]


@cache
def analysed(path: Path, *, keyed: bool = False) -> Analysis:
    ring = None
    if keyed:
        ring = KeyRing()
        for name in KEY_FILES:
            if (path.parent / name).exists():
                for record in read_keys(path.parent / name).records:
                    ring.add(record)
    return analyze([str(path)], ring=ring)


@cache
def diagnosed(path: Path, *, keyed: bool = False) -> Diagnosis:
    return diagnose(analysed(path, keyed=keyed))


def capture(scenario: str) -> Path:
    return LAB / scenario / "capture.pcap"
