"""Private-use numbers by the name their vendor gave them, so that no extension writes a number down."""

from __future__ import annotations

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.private import PRIVATE


def private_number(table: type[CodePoint], vendor: str, name: str) -> int:
    """The number that ``vendor`` calls ``name`` in an IKEv2 table. Raises KeyError when it has no such name."""
    for number, known in PRIVATE[vendor][table].items():
        if known == name:
            return number
    raise KeyError(name)
