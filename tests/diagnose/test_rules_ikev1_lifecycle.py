"""IKEv1's one-way messages: who sends a Delete or an answer waits for nothing."""

from __future__ import annotations

from staged import Stage

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.dissect.registry.isakmp import ExchangeType


def test_answer_to_a_dpd_probe_is_no_probe_of_ours() -> None:
    # The other side asks, we answer, data goes on; only then does it fall silent.
    quick, info = ExchangeType.QUICK_MODE, ExchangeType.INFORMATIONAL
    stage = Stage().main_mode().v1(0.1, quick, mid=9, octets=160).v1(0.2, quick, mid=9, octets=160, back=True, salt=1)
    stage.v1(0.3, quick, mid=9, octets=48, salt=2)
    stage.flow({136: 4}, at=0.4, stop=3).flow({136: 4}, at=0.4, stop=3, back=True)
    stage.v1(2, info, mid=20, octets=80, back=True).v1(2.01, info, mid=21, octets=80)
    for number, at in enumerate((4, 5, 6)):
        stage.v1(at, info, mid=30 + number, octets=80)
    (found,) = [each for each in diagnose(stage.analysis(until=30)).findings if each.code == "LIFE-006"]
    assert "3 times within 2.0 s" in found.summary
