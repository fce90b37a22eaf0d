"""Text from the network, made safe for the place it is printed in. Nobody else escapes, nobody prints without it."""

from __future__ import annotations

import unicodedata

MAX_SHOWN = 256  # characters of one field

# Control, format (bidirectional marks among them), surrogate, private-use and unassigned characters, and line breaks.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def show(text: str, limit: int = MAX_SHOWN) -> str:
    r"""Text for a terminal: one line, nothing that moves the cursor or reorders it; what is cut is counted.

    Examples:
        >>> show("moon\x1b[2J.lab")
        'moon\\x1b[2J.lab'
    """
    cut = text[:limit]
    if not (cut.isascii() and cut.isprintable()):
        cut = "".join(_escaped(character) for character in cut)
    if len(text) > limit:
        cut += f"… (+{len(text) - limit})"
    return cut


def _escaped(character: str) -> str:
    if character.isprintable() and unicodedata.category(character) not in _HIDDEN:
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
