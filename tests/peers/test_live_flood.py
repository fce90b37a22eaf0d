"""A short flood beside honest handshakes; ``benchmarks/responder_flood.py`` is the long one, and says its kinds."""

from __future__ import annotations

import pytest
from conftest import ROOT


def test_responder_survives_a_flood_beside_which_honest_handshakes_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import responder_flood

    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    found = responder_flood.measure(rate=1000, seconds=3)
    print(f"{found.sent} malformed datagrams; {found.completed} of {found.begun} honest handshakes")
    assert (found.survived, found.exit_code) == (True, 0)
    assert found.sent > 0
    assert found.begun > 0
    assert found.share >= responder_flood.GOAL_SHARE
    assert found.memory_peak - found.memory_before <= responder_flood.GOAL_GROWTH
    assert "refused: COOKIE" in found.log
