"""Text from the network, made safe for the place it is printed in. Nobody else escapes, nobody prints without it."""

from __future__ import annotations

import re
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


def visible_json(document: bytes) -> bytes:
    r"""JSON in which nothing moves a terminal's cursor or reorders text either: such characters as ``\u`` escapes.

    JSON itself wants this for U+0000 to U+001F only. The value stays the same.
    """
    return _NOT_PLAIN.sub(lambda found: "".join(map(_json_escaped, found[0].decode())).encode(), document)


_NOT_PLAIN = re.compile(rb"[\x7f-\xff]+")  # whole characters: each octet of one that is not ASCII is in here


def _json_escaped(character: str) -> str:
    if _is_visible(character):
        return character
    units = character.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _is_visible(character: str) -> bool:
    return character.isprintable() and unicodedata.category(character) not in _HIDDEN


def _escaped(character: str) -> str:
    if _is_visible(character):
        return character
    number = ord(character)
    if number < 0x100:
        return f"\\x{number:02x}"
    return f"\\u{number:04x}" if number < 0x10000 else f"\\U{number:08x}"
