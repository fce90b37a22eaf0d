"""Which captures to read, and in which order: files, folders, patterns and pipes; rotated sets; several taps at once."""

from __future__ import annotations

import glob
import heapq
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ipsecscope.capture.compression import is_compressed
from ipsecscope.capture.faults import refusal
from ipsecscope.capture.files import CaptureReader, check_openable
from ipsecscope.capture.pcap import is_pcap
from ipsecscope.capture.pcapng import is_pcapng
from ipsecscope.capture.records import Frame, Records
from ipsecscope.capture.stream import WINDOW

MAX_DEPTH = 16  # folders inside folders
MAX_FILES = 100_000  # captures taken from patterns and folders
MIN_WINDOW = 256 * 1024  # octets of each file's window, however many are read at once

STDIN = "-"


def looks_like_capture(path: str) -> bool:
    """Whether a file starts like a pcap or pcapng file, or like something compressed. Never raises."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):
            return False
        with Path(path).open("rb") as file:
            head = file.read(16)
    except (OSError, ValueError):
        return False
    return is_pcap(head) or is_pcapng(head) or is_compressed(head)


def expand(paths: Iterable[str | bytes | os.PathLike[str] | os.PathLike[bytes]]) -> list[str]:
    """The captures that the arguments name, each once, in the order given; folders are read in sorted order.

    Args:
        paths: files, FIFOs, folders (all captures inside, told by their first octets), patterns, ``-`` for standard
            input. A name that exists is never taken for a pattern. Names that are not UTF-8 keep their octets.

    Raises:
        CaptureError: a name does not exist, a pattern or folder holds no capture, or it is a socket or a device.
    """
    found: dict[str, None] = {}
    for path in map(os.fsdecode, paths):
        for name in _named(path):
            found.setdefault(name)
            if len(found) > MAX_FILES:
                raise refusal(path, f"more than {MAX_FILES} captures")
    return list(found)


def _named(path: str) -> Iterable[str]:
    if path == STDIN:
        return (path,)
    try:
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir would lose a trailing "/." and cost the same
            return _inside(path)
        check_openable(path, path)
    except FileNotFoundError:
        return _matching(path)
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else str(why)
        raise refusal(path, f"cannot be opened: {reason}") from None
    return (path,)


def _inside(folder: str) -> list[str]:
    found = sorted(_captures_below(folder, 0))
    if not found:
        raise refusal(folder, "no capture in this folder")
    return found


def _captures_below(folder: str, depth: int) -> Iterator[str]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            if depth < MAX_DEPTH:
                yield from _captures_below(entry.path, depth + 1)
        elif looks_like_capture(entry.path):
            yield entry.path


def _matching(pattern: str) -> list[str]:
    if not glob.has_magic(pattern):
        raise refusal(pattern, "no such file")
    names = sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
    found = [name for name in names if looks_like_capture(name)]
    if not found:
        raise refusal(pattern, "no capture matches" if names else "no file matches")
    return found


def order_files(readers: Sequence[CaptureReader]) -> list[CaptureReader]:
    """By the time of the first record; files whose first time is not known come first, in the order given."""
    return sorted(readers, key=lambda reader: (reader.start_ns is not None, reader.start_ns or 0))


class _Cursor:
    """Where one file stands in a merge."""

    def __init__(self, place: int, reader: CaptureReader, window: int) -> None:
        self.place = place
        self._windows = reader.windows(window)
        self._records: Records | None = None
        self._next = 0
        self._load()

    def _load(self) -> None:
        self._next = 0
        self._records = next((records for records in self._windows if len(records)), None)

    @property
    def time_ns(self) -> int | None:
        """The time of the next record; None at the end."""
        return None if self._records is None else int(self._records.time_ns[self._next])

    def take(self, until_ns: int | None) -> Records:
        """The records from here on up to the first that is later than ``until_ns``, within this window."""
        assert self._records is not None
        records, start = self._records, self._next
        stop = len(records)
        if until_ns is not None:
            later = records.time_ns[start:] > until_ns
            first = int(later.argmax())
            if later[first]:
                stop = start + max(first, 1)
        if stop == len(records):
            self._load()
        else:
            self._next = stop
        return _part(records, start, stop)


def _part(records: Records, start: int, stop: int) -> Records:
    """Some of the rows of a window; the bytes are shared."""
    if start == 0 and stop == len(records):
        return records
    rows = slice(start, stop)
    return Records(
        file=records.file,
        buffer=records.buffer,
        base=records.base,
        first_number=records.first_number + start,
        offset=records.offset[rows],
        captured=records.captured[rows],
        original=records.original[rows],
        time_ns=records.time_ns[rows],
        link_type=records.link_type[rows],
        comments={row - start: text for row, text in records.comments.items() if start <= row < stop},
        interface=records.interface[rows],
    )


def merge(readers: Sequence[CaptureReader], window: int = WINDOW) -> Iterator[Records]:
    """All records of several captures in the order of time, each with its file index and its number in that file.

    A file is opened when its first record is due and closed at its end, so a rotated set is read one file after the
    other; the n-th of files that run side by side holds ``window / n`` octets, at least ``MIN_WINDOW``. Within a file the
    order of the file is kept. Equal times come in the order of ``readers``.
    """
    places = {id(reader): place for place, reader in enumerate(readers)}
    waiting = order_files(readers)[::-1]
    heap: list[tuple[int, int, _Cursor]] = []
    while heap or waiting:
        while waiting and (not heap or waiting[-1].start_ns is None or waiting[-1].start_ns <= heap[0][0]):
            reader = waiting.pop()
            _push(heap, _Cursor(places[id(reader)], reader, max(MIN_WINDOW, window // (len(heap) + 1))))
        if not heap:
            continue
        _, place, cursor = heapq.heappop(heap)
        others = [(time_ns, other) for time_ns, other, _ in heap[:1]]
        if waiting and waiting[-1].start_ns is not None:
            others.append((waiting[-1].start_ns, places[id(waiting[-1])]))
        until = min(others, default=None)
        yield cursor.take(None if until is None else until[0] - (until[1] < place))
        _push(heap, cursor)


def _push(heap: list[tuple[int, int, _Cursor]], cursor: _Cursor) -> None:
    if cursor.time_ns is not None:
        heapq.heappush(heap, (cursor.time_ns, cursor.place, cursor))


def merge_frames(readers: Sequence[CaptureReader]) -> Iterator[Frame]:
    """As ``merge``, frame by frame."""
    for records in merge(readers):
        yield from records.frames()
