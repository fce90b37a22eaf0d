from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.dissect.ikev2.selectors import Ipv4Selector
from ipsecscope.peers.selectors import SelectorError, covers, intersection, narrow, parse_selector, texts, within

ADDRESSES = st.integers(0, 2**32 - 1)


@st.composite
def selectors(draw: st.DrawFn) -> Ipv4Selector:
    first, last = sorted((draw(ADDRESSES), draw(ADDRESSES)))
    low, high = sorted((draw(st.integers(0, 0xFFFF)), draw(st.integers(0, 0xFFFF))))
    return Ipv4Selector(
        protocol=draw(st.sampled_from((0, 6, 17))),
        start_port=low,
        end_port=high,
        start_address=first.to_bytes(4, "big"),
        end_address=last.to_bytes(4, "big"),
    )


@pytest.mark.parametrize(
    ("text",),
    [
        pytest.param("10.1.0.0/16", id="network"),
        pytest.param("10.1.0.5/32[tcp/80]", id="one-port"),
        pytest.param("10.1.0.5/32[udp/500-600]", id="ports"),
        pytest.param("10.1.0.1-10.1.0.7", id="range"),
        pytest.param("2001:db8::/64", id="ipv6"),
        pytest.param("2001:db8::1/128[icmpv6]", id="icmpv6"),
        pytest.param("0.0.0.0/0", id="everything"),
    ],
)
def test_selector_text_comes_back_as_the_dissector_writes_it(text: str) -> None:
    assert parse_selector(text).summary() == text


@pytest.mark.parametrize(
    ("text",),
    [
        ("10.1.0.0/40",),
        ("moon",),
        ("",),
        ("10.0.0.9-10.0.0.1",),
        ("10.0.0.1-2001:db8::1",),
        ("10.0.0.1[foo]",),
        ("10.0.0.1[tcp/9-1]",),
        ("10.0.0.1[tcp/70000]",),
    ],
)
def test_selector_text_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SelectorError):
        parse_selector(text)


@pytest.mark.rfc("7296", "2.9")
def test_narrow_keeps_what_both_sides_cover() -> None:
    offered = [parse_selector("0.0.0.0/0")]
    allowed = [parse_selector("10.1.0.0/16[tcp]"), parse_selector("192.0.2.0/24")]
    assert texts(narrow(offered, allowed)) == ("10.1.0.0/16[tcp]", "192.0.2.0/24")


def test_narrow_of_disjoint_selectors_is_empty() -> None:
    assert narrow([parse_selector("10.1.0.0/16")], [parse_selector("10.2.0.0/16")]) == ()
    assert narrow([parse_selector("10.1.0.0/16[tcp]")], [parse_selector("10.1.0.0/16[udp]")]) == ()
    assert narrow([parse_selector("10.1.0.0/16")], [parse_selector("::/0")]) == ()


def test_narrow_drops_what_another_result_covers() -> None:
    offered = [parse_selector("10.1.0.5/32"), parse_selector("10.1.0.0/16")]
    assert texts(narrow(offered, [parse_selector("10.0.0.0/8")])) == ("10.1.0.0/16",)


@given(selectors(), selectors())
def test_intersection_is_symmetric_in_addresses_and_lies_in_both(one: Ipv4Selector, other: Ipv4Selector) -> None:
    common = intersection(one, other)
    assert common == intersection(other, one)
    if common is not None:
        assert covers(one, common)
        assert covers(other, common)


@given(st.lists(selectors(), min_size=1, max_size=3), st.lists(selectors(), min_size=1, max_size=3))
def test_narrow_lies_within_the_offer_and_the_policy(offered: list[Ipv4Selector], allowed: list[Ipv4Selector]) -> None:
    result = narrow(offered, allowed)
    assert within(result, offered)
    assert within(result, allowed)
