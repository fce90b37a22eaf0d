"""Whether an IKE SA moved to where ESP may travel in UDP: the captures of the built-in peers tell both cases."""

from __future__ import annotations

import pytest
from played import analysed


@pytest.mark.parametrize(
    ("name", "moved"),
    [("ikev2-nat", True), ("ikev2-forced-encapsulation", True), ("ikev2", False), ("ikev2-tcp", False)],
)
def test_marker_says_that_ike_moved_in_udp_only(name: str, moved: bool) -> None:
    """RFC 9329 section 3.1 has the marker in every IKE message of a TCP stream."""
    assert {sa.nat_t for sa in analysed(name).ike_sas} == {moved}
