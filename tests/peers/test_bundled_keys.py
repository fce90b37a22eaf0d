"""Every bundled session opens in full with its own key log, and with the IKE secrets of that log alone."""

from __future__ import annotations

import pytest
from played import NAMES, Keys, analysed, played

from ipsecscope.timeline.analysis import Analysis

# Messages or packets that no key opens, and why that is so.
UNOPENED = {
    "ikev2-damaged-icv": "the ICV of every response of IKE_AUTH is wrong",
    "capture-snaplen": "every frame is cut",
    "esp-damaged": "a faulty line changed two packets",
}
# What the IKE secrets alone do not open: the exchange that made the Child SA is not in the capture.
NOT_WITH_IKE_ALONE = {
    "capture-mid-session": "the tap was switched on later",
    "capture-one-direction": "the responder's SPI and nonce are not there",
}
TALLY: dict[tuple[str, Keys], tuple[int, int, int, int]] = {}


def counted(analysis: Analysis) -> tuple[int, int, int, int]:
    """Encrypted IKE messages, those opened; ESP and AH packets, those opened.

    Fragments stand for their message together: the last one of a set opens all of it.
    """
    sealed = opened = 0
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in exchange.records:
                if not record.encrypted:
                    continue
                sealed += 1
                opened += record.opening is not None and record.opening.is_open
    packets = sum(flow.packets for flow in analysis.flows)
    return sealed, opened, packets, sum(result.opened for result in analysis.traffic.values())


@pytest.mark.parametrize("keys", ["all", "ike"])
@pytest.mark.parametrize("name", NAMES)
def test_bundled_session_opens_in_full(name: str, keys: Keys) -> None:
    if not played(name).keys:
        assert not any(flow.packets for flow in analysed(name).flows)
        return
    figures = TALLY[name, keys] = counted(analysed(name, keys))
    sealed, opened, packets, opened_packets = figures
    assert ((opened, opened_packets) != (sealed, packets)) == (
        name in UNOPENED or (keys == "ike" and name in NOT_WITH_IKE_ALONE)
    ), figures


def test_openings_in_figures() -> None:
    """Runs behind the others of its worker."""
    for keys in ("all", "ike"):
        figures = [each for (_, with_keys), each in TALLY.items() if with_keys == keys]
        sealed, opened, packets, opened_packets = (sum(each[place] for each in figures) for place in range(4))
        print(
            f"{len(figures)} sessions, {'all keys' if keys == 'all' else 'IKE secrets only'}: {opened} of {sealed} IKE"
            f" messages, {opened_packets} of {packets} ESP and AH packets"
        )
    assert UNOPENED.keys() | NOT_WITH_IKE_ALONE.keys() <= set(NAMES)
