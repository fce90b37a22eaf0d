"""L7 of the laws, as far as it is in the clear: the messages that both peers say they sent are those of the capture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from played import played

from ipsecscope.peers.scenarios import SCENARIOS
from ipsecscope.timeline.analysis import analyze

SENT = ("ike:message", "ike:retransmission")
FRAGMENTED = {
    "ikev2-rsa-pss",
    "ikev2-ml-kem",
    "ikev2-ml-kem-twice",
    "ikev2-followup-ke",
    "ikev2-followup-ke-simultaneous",
    "ikev1-rsa",
    "ikev1-hybrid",
}  # a capture shows fragments, a peer sends messages
WHOLE = [scenario.name for scenario in SCENARIOS if scenario.network is None and scenario.name not in FRAGMENTED]

Told = tuple[int, str, str, str]


def told(events: Iterable[tuple[int, str, str, dict[str, Any]]]) -> Counter[Told]:
    return Counter((when, name, group, str(sorted(data.items()))) for when, name, group, data in events if name in SENT)


@pytest.mark.parametrize(("name",), [(name,) for name in WHOLE if name != "ikev2-rsa"])
def test_messages_that_the_peers_sent_are_those_that_the_correlator_finds(name: str, tmp_path: Path) -> None:
    generated = played(name)
    path = tmp_path / f"{name}.pcapng"
    path.write_bytes(generated.pcapng)
    seen = analyze([str(path)]).events
    said = [(each["time_ns"], each["name"], each["group_id"], each["data"]) for each in generated.expected]
    assert _kinds(told((each.time_ns, each.name, each.group_id, each.data) for each in seen)) == _kinds(told(said))


def _kinds(counted: Counter[Told]) -> Counter[tuple[str, ...]]:
    """Without times: what the responder sends reaches the tap a line's delay later."""
    return Counter(each[1:] for each in counted.elements())
