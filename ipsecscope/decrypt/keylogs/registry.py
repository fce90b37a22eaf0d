"""Key formats, registered by declaration: a module in this package that holds an ``@importer`` is a format."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

import msgspec

from ipsecscope.decrypt.keylogs.reading import Reading

Importer: TypeAlias = Callable[[Reading], None]


class KeyFormat(msgspec.Struct, frozen=True, kw_only=True):
    """A key format.

    Attributes:
        name: short, for ``Origin.format`` and the command line.
        title: for the user: what writes it.
        mark: found somewhere in the text of every file of this format, and of no other.
        read: the importer.
        advice: how to get the keys, when the source hid them.
        is_document: whether a file of this format is one document that holds nothing else.
    """

    name: str
    title: str
    mark: re.Pattern[str]
    read: Importer
    advice: str = ""
    is_document: bool = False


FORMATS: dict[str, KeyFormat] = {}


def importer(
    name: str, title: str, mark: str, *, advice: str = "", is_document: bool = False
) -> Callable[[Importer], Importer]:
    """Declare a key format: ``mark`` is a pattern, matched line by line (``^`` and ``$`` are those of a line)."""

    def register(read: Importer) -> Importer:
        FORMATS[name] = KeyFormat(
            name=name,
            title=title,
            mark=re.compile(mark, re.MULTILINE),
            read=read,
            advice=advice,
            is_document=is_document,
        )
        return read

    return register
