"""The package as a whole."""

from __future__ import annotations

import ipsecscope


def test_the_package_has_a_version() -> None:
    assert ipsecscope.__version__
