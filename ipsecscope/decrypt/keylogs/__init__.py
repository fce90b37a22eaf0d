"""Key files: ``read_keys`` takes a file in any known format and says what it holds.

A format is recognised by its content, never by the file's name, and one file may hold several. Each importer is one
module of this package, found by its ``@importer`` declaration. A line that cannot be used becomes a ``Problem`` with
its number; the others are used.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from ipsecscope.decrypt.keylogs.reading import Reading
from ipsecscope.decrypt.keylogs.registry import FORMATS, KeyFormat
from ipsecscope.decrypt.keylogs.text import MAX_FILE_SIZE, MAX_LINE_LENGTH, MAX_LINES, KeyText
from ipsecscope.decrypt.keys import KeyFile, Problem

for _module in pkgutil.iter_modules(__path__, __name__ + "."):
    if not _module.ispkg:
        importlib.import_module(_module.name)

__all__ = ["FORMATS", "KeyFormat", "formats_of", "read_keys"]

PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
MEMORY = "<bytes>"


def formats_of(text: KeyText) -> list[KeyFormat]:
    """The formats whose marks are in the text; a document of its own kind holds no other."""
    found = [known for _, known in sorted(FORMATS.items()) if known.mark.search(text.body)]
    documents = [known for known in found if known.is_document]
    return documents[:1] or found


def read_keys(source: Path | str | bytes, name: str | None = None) -> KeyFile:
    """Read a key file.

    Args:
        source: a path, or the octets of a file.
        name: what messages and origins call it; the path when there is one.

    Raises:
        OSError: the file cannot be opened or read. Nothing in its content raises.
    """
    if isinstance(source, bytes):
        octets, called = source, name or MEMORY
    else:
        called = name or str(source)
        with Path(source).open("rb") as file:
            octets = file.read(MAX_FILE_SIZE + 1)
    if octets.startswith(PCAPNG_MAGIC):
        from ipsecscope.decrypt.keylogs.esps import read_pcapng

        return read_pcapng(octets, called)
    text = KeyText(called, octets[:MAX_FILE_SIZE])
    return _read_text(text, is_cut=len(octets) > MAX_FILE_SIZE)


def _read_text(text: KeyText, *, is_cut: bool) -> KeyFile:
    reading = Reading(text)
    if is_cut:
        reading.problem(0, f"the file is longer than {MAX_FILE_SIZE} octets; only these are read")
    if text.is_cut:
        reading.problem(0, f"the file has more than {MAX_LINES} lines; only these are read")
    formats = formats_of(text)
    if not (formats and formats[0].is_document):
        for number in text.too_long:
            reading.problem(number, f"the line is longer than {MAX_LINE_LENGTH} characters")
    for known in formats:
        reading.format, reading.advice = known.name, known.advice
        known.read(reading)
    if not formats:
        _say_nothing_found(reading)
    return KeyFile(
        file=text.name,
        formats=tuple(known.name for known in formats),
        records=tuple(sorted(reading.records, key=lambda record: record.origin.line)),
        problems=reading.all_problems(),
        notes=tuple(reading.notes),
    )


def _say_nothing_found(reading: Reading) -> None:
    content = [line for line in reading.text.lines if not line.text.lstrip().startswith("#")]
    if content:
        known = ", ".join(known.title for _, known in sorted(FORMATS.items()))
        reading.problems.append(Problem(reading.text.name, 0, f"no known key format; known are: {known}"))
    elif not reading.text.too_long:
        reading.note(
            0,
            "the file holds no keys. (The save-keys plugin of strongSwan leaves a file empty when Wireshark has no name"
            " for the algorithms: use the log of the daemon instead.)",
        )
