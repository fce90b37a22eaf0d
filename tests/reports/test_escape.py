"""Text from the network on a terminal."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.reports.escape import MAX_SHOWN, show


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("moon.example", "moon.example"),
        ("Zürich ⇄ 東京", "Zürich ⇄ 東京"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\r\tc", "a\\x0ab\\x0d\\x09c"),
        ("a\x9bb", "a\\x9bb"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("a\u2028b", "a\\u2028b"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\U000e0001"),
    ],
    ids=["ascii", "letters", "escape", "controls", "c1", "bidi", "line-separator", "surrogate", "tag"],
)
def test_show_escapes_what_a_terminal_would_obey(text: str, shown: str) -> None:
    assert show(text) == shown


def test_show_counts_what_it_cuts() -> None:
    assert show("x" * (MAX_SHOWN + 7)) == "x" * MAX_SHOWN + "… (+7)"


@given(st.text())
def test_law_shown_text_is_one_harmless_line(text: str) -> None:
    shown = show(text)
    assert shown.isprintable()
    shown.encode()
