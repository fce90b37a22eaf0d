"""Opening what the user named: every capture that can be used, and one line for each that cannot."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from ipsecscope.capture.files import CaptureReader
from ipsecscope.capture.records import CaptureError, FileFacts, Records
from ipsecscope.capture.sources import expand
from ipsecscope.capture.stream import WINDOW


class UnusableFileError(Exception):
    """A capture cannot be used. ``name`` is the file, ``reason`` why; ``str()`` is both on one line."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name
        self.reason = text.removeprefix(f"{name}: ")


class Source(CaptureReader):
    """A capture whose failure on the way ends only itself: what was read stays, the reason is kept in ``failure``."""

    failure: UnusableFileError | None = None

    @property
    def can_be_read_again(self) -> bool:
        """Whether the records can be had a second time: not so from a pipe."""
        return isinstance(self._source, str) and self._rest is None

    def windows(self, window: int = WINDOW) -> Iterator[Records]:
        """All records, up to the fault if there is one."""
        try:
            yield from super().windows(window)
        except CaptureError as error:
            self.failure = UnusableFileError(self.facts.name, str(error))


def open_all(paths: Iterable[str], *, again: bool = False) -> tuple[list[Source], list[UnusableFileError]]:
    """Open every capture that the arguments name, in their order; files, folders, patterns and ``-``.

    ``again`` says that they will be read twice: what cannot be is kept in a temporary file.
    """
    sources: list[Source] = []
    failures: list[UnusableFileError] = []
    for path in paths:
        try:
            names = expand([path])
        except CaptureError as error:
            failures.append(UnusableFileError(path, str(error)))
            continue
        for name in names:
            try:
                sources.append(_open(name, len(sources), again=again))
            except CaptureError as error:
                failures.append(UnusableFileError(name, str(error)))
    return sources, failures


def _open(name: str, file: int, *, again: bool) -> Source:
    if name == "-" and not again:
        return Source(sys.stdin.buffer, file=file, name="-")
    if again and (name == "-" or Path(name).is_fifo()):
        return Source(kept_copy(name), file=file, name=name)
    return Source(name, file=file)


def kept_copy(name: str) -> str:
    """A temporary copy of what can be read once only; removed when the program ends."""
    with tempfile.NamedTemporaryFile(prefix="ipsecscope-", suffix=".capture", delete=False) as copy:
        atexit.register(Path(copy.name).unlink, missing_ok=True)
        if name == "-":
            shutil.copyfileobj(sys.stdin.buffer, copy)
        else:
            with Path(name).open("rb") as stream:
                shutil.copyfileobj(stream, copy)
    return copy.name


def usable(sources: Iterable[Source]) -> tuple[list[FileFacts], list[UnusableFileError]]:
    """After reading: the facts of the files that gave something, and those that failed on the way."""
    failures = [source.failure for source in sources if source.failure is not None]
    return [source.facts for source in sources if source.failure is None or source.facts.frames], failures
