"""The text of a key file: bytes from anywhere made into clean, numbered lines, within limits.

Copies of logs carry byte order marks, NULs, carriage returns, terminal colours, syslog prefixes and hard line breaks.
All of that is taken away here, so that an importer sees what the program printed.
"""

from __future__ import annotations

import re

MAX_FILE_SIZE = 16 * 1024 * 1024  # octets of a key file that are read
MAX_LINE_LENGTH = 64 * 1024  # characters of a line; a longer one is not used
MAX_LINES = 1_000_000
MIN_WRAP_COLUMN = 40  # a terminal that is narrower than this does not wrap lines; something else did

ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")
STAMP = (
    r"(?:[A-Z][a-z]{2} {1,2}\d{1,2} \d{2}:\d{2}:\d{2}(?:\.\d{1,9})?"
    r"|\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}:\d{2}(?:[.,]\d{1,9})?(?:Z|[+-]\d{2}:?\d{2})?)"
)
WRITER = r"(?:[\w.-]{1,64} [\w./()@-]{1,64}(?:\[\d{1,10}\])?: ?|[\w./()@-]{1,64}\[\d{1,10}\]: ?)"
PREFIX = re.compile(rf"(?:<\d{{1,3}}>)?\[?{STAMP}\]?(?:: ?| (?:{WRITER})?|$)")
# What a terminal or a mail program cut off a long run of hexadecimal digits, and what it continues.
CUT = re.compile(r"(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{2,8}-)$")
CONTINUATION = re.compile(r"\s*([0-9a-fA-F][0-9a-fA-F-]*(?:[\"'].*|\s*\(\d{1,5} bits\).*|\s+\d{1,4})?)\s*$")


class Line:
    """One line: its number from 1, and its text without prefix and colour."""

    __slots__ = ("number", "text")

    def __init__(self, number: int, text: str) -> None:
        self.number = number
        self.text = text


class KeyText:
    """A key file as text.

    Attributes:
        name: what messages call the file.
        whole: the decoded text, uncut, for formats that are one document.
        lines: the lines with content.
        too_long: numbers of lines that are longer than the limit and not in ``lines``.
        is_cut: whether lines beyond the limit are missing.
    """

    def __init__(self, name: str, octets: bytes) -> None:
        self.name = name
        self.whole = _decoded(octets)
        self.lines: list[Line] = []
        self.too_long: list[int] = []
        texts = self.whole.split("\n")
        self.is_cut = len(texts) > MAX_LINES
        for number, text in enumerate(texts[:MAX_LINES], 1):
            if len(text) > MAX_LINE_LENGTH:
                self.too_long.append(number)
            elif text and not text.isspace():
                self.lines.append(Line(number, without_prefix(text.rstrip())))
        self.body = "\n".join(line.text for line in self.lines)

    def unwrapped(self) -> list[Line]:
        """The lines, with hexadecimal digits that were wrapped put back on the line they belong to."""
        out: list[Line] = []
        for line in self.lines:
            found = CONTINUATION.match(line.text) if out else None
            if found and len(out[-1].text) >= MIN_WRAP_COLUMN and CUT.search(out[-1].text):
                joined = out[-1].text + found[1]
                if len(joined) <= MAX_LINE_LENGTH:
                    out[-1] = Line(out[-1].number, joined)
                    continue
            out.append(line)
        return out


def without_prefix(text: str) -> str:
    """A line without the time, host and process that a logger puts before it; indentation behind them stays."""
    found = PREFIX.match(text)
    return text[found.end() :] if found else text


def _decoded(octets: bytes) -> str:
    if octets[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = octets.decode("utf-16", "replace")
    else:
        text = octets.decode("utf-8-sig", "replace")
    text = text.replace("\x00", "").replace("\r\n", "\n").replace("\r", "\n")
    return ANSI.sub("", text) if "\x1b" in text else text
