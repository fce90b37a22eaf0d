"""NET-014: which packets in the clear belong into a tunnel, and which look like it and do not."""

from __future__ import annotations

import msgspec
import pytest
from lab import analysed, capture
from staged import SECOND, START, Stage

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.diagnose.rule import Finding
from ipsecscope.timeline.analysis import Analysis

HERE, THERE = "10.1.0.1", "10.2.0.1"


def clear(src: str = THERE, dst: str = HERE, packets: int = 9, *, protocol: int = 1, echoes: int = 0) -> ClearTraffic:
    return ClearTraffic(src, dst, protocol, packets, START + 2 * SECOND, START + 5 * SECOND, 7, 31, 0, echoes)


def one_way() -> Analysis:
    return Stage().init().auth().flow({136: 9}, at=1, stop=5).analysis(until=9)


def both_ways() -> Analysis:
    stage = Stage().init().auth().flow({136: 9}, at=1, stop=5)
    return stage.flow({136: 9}, at=1, stop=5, back=True).analysis(until=9)


def leaks(analysis: Analysis, *traffic: ClearTraffic) -> list[Finding]:
    return [each for each in diagnose(analysis, traffic).findings if each.code == "NET-014"]


def test_answers_in_the_clear_are_named_with_the_packets_that_asked() -> None:
    (found,) = leaks(one_way(), clear())
    assert (found.confidence, found.severity, found.headline) == ("likely", "critical", True)
    assert "9 ESP packets" in found.summary
    assert "none comes back" in found.summary


def test_known_selectors_make_it_certain() -> None:
    analysis = both_ways()
    (sa,) = analysis.ike_sas
    children = tuple(
        msgspec.structs.replace(child, tsi=("10.1.0.0/16",), tsr=("10.2.0.0/16",), created_ns=START)
        for child in sa.child_sas
    )
    analysis.ike_sas = (msgspec.structs.replace(sa, child_sas=children),)
    (found,) = leaks(analysis, clear())
    assert found.confidence == "certain"
    assert leaks(analysis, clear("10.3.0.1", "10.4.0.1"))[0].confidence != "certain"


def test_a_tunnel_protocol_between_the_gateways_is_a_leak() -> None:
    (found,) = leaks(both_ways(), clear("192.0.2.1", "198.51.100.1", protocol=47))
    assert found.confidence == "likely"


def test_private_traffic_beside_a_tunnel_is_no_headline_where_the_gateways_are_private_too() -> None:
    stage = Stage("172.20.0.1", "172.21.0.1").init().auth().flow({136: 9}, at=1, stop=5)
    analysis = stage.flow({136: 9}, at=1, stop=5, back=True).analysis(until=9)
    (found,) = leaks(analysis, clear())
    assert (found.confidence, found.severity, found.headline) == ("possible", "medium", False)


@pytest.mark.parametrize(
    "traffic",
    [
        pytest.param((clear(echoes=9),), id="decrypted copies on the same interface"),
        pytest.param((clear(), clear(HERE, THERE)), id="both interfaces of a gateway"),
        pytest.param((clear("10.1.0.7"),), id="two hosts of one network"),
        pytest.param((clear("8.8.8.8"),), id="a public host"),
        pytest.param((clear("192.0.2.1", "198.51.100.1"),), id="the gateways themselves"),
        pytest.param((clear(dst="224.0.0.251"),), id="multicast"),
        pytest.param((clear("fe80::1", "fe80::2"),), id="link-local"),
    ],
)
def test_traffic_that_belongs_into_no_tunnel_is_no_leak(traffic: tuple[ClearTraffic, ...]) -> None:
    assert leaks(both_ways(), *traffic) == []


def test_the_link_of_a_private_gateway_is_no_leak() -> None:
    stage = Stage("192.168.1.10", "198.51.100.1").init().auth().flow({136: 9}, at=1, stop=5)
    assert leaks(stage.analysis(until=9), clear("192.168.1.1", "10.9.0.1")) == []


def test_without_an_ike_sa_nothing_is_a_leak() -> None:
    assert leaks(Stage().flow({136: 9}, at=1, stop=5).analysis(), clear()) == []


def test_replies_in_the_clear_of_the_lab_are_the_headline(shared: object) -> None:
    del shared
    analysis = analysed(capture("fail-no-traffic-routing-leak"))
    found = diagnose(analysis)
    assert found.headline is not None
    assert found.headline.code == "NET-014"
    assert [each.suppressed_by for each in found.findings if each.code == "NET-012"] == ["NET-014"]
    with_keys = diagnose(analysed(capture("fail-no-traffic-routing-leak"), keyed=True))
    assert [each.confidence for each in with_keys.findings if each.code == "NET-014"] == ["certain"]
