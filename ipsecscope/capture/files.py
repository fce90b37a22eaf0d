"""Opening capture files: what format, what compression, and the records window by window.

Only what is no capture at all is refused, with one line (CaptureError); every other fault is a note in the facts.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self, cast

import numpy as np

from ipsecscope.capture.compression import is_compressed, unpack
from ipsecscope.capture.faults import Faults, refusal
from ipsecscope.capture.link_types import READABLE, link_type_name
from ipsecscope.capture.pcap import PcapReader, is_pcap
from ipsecscope.capture.pcapng import PcapngReader, is_pcapng
from ipsecscope.capture.records import CaptureError, FileFacts, Frame, Records
from ipsecscope.capture.stream import WINDOW, ByteStream, Prefixed, Raw, Seekable

PROBE = 64 * 1024  # octets read to learn format and first time …
PROBE_COMPRESSED = 4 * 1024 * 1024  # … and of a compressed file: bzip2 gives nothing before a block of 900 kB is whole

_FOREIGN = (
    (b"snoop\x00\x00\x00", "a snoop capture"),
    (b"GMBU", "a Microsoft Network Monitor capture"),
    (b"RTSS", "a Microsoft Network Monitor capture"),
    (b"TRSNIFF data    \x1a", "a Sniffer capture"),
    (b"XCP\x00", "a NetXRay capture"),
    (b"\x1c\x00\x01\xac", "an Ixia capture"),
    (b"\x1c\x00\x01\xab", "an Ixia capture"),
    (b"iptrace ", "an iptrace capture"),
    (b"\x4c\x00\x00\x00\x01\x14\x02\x00", "a Windows shortcut"),
    (b"MDMP", "a memory dump"),
    (b"PK\x03\x04", "a ZIP archive; unpack it first"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive; unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive; unpack it first"),
    (b"\x1f\x9d", "a compress (.Z) file; unpack it first"),
    (b"LZIP", "an lzip file; unpack it first"),
)


class _Opened:
    """An open capture: its reader, its facts, and what must be closed."""

    def __init__(self, raw: Raw, name: str, *, again: Seekable | None, file: int, window: int) -> None:
        self.facts = FileFacts(name)
        faults = Faults(self.facts)
        try:
            unpacked, layers, head = unpack(raw, faults, again)
        except OSError as why:
            raise refusal(name, f"cannot be read: {why.strerror or why}") from None
        self.facts.compression = "+".join(layers)
        _require_capture(head, name, layers)
        stream = ByteStream(unpacked, faults, None if layers else again, window)
        stream.advance(0, PROBE)
        self.reader: PcapReader | PcapngReader
        self.reader = (PcapReader if is_pcap(head) else PcapngReader)(stream, faults, file)
        self.faults = faults


def _require_capture(head: bytes, name: str, layers: tuple[str, ...]) -> None:
    if is_pcap(head) or is_pcapng(head):
        return
    if not head:
        raise refusal(name, f"nothing inside the {layers[-1]} stream" if layers else "the file is empty")
    foreign = next((what for magic, what in _FOREIGN if head.startswith(magic)), None)
    raise refusal(name, f"{foreign}, not pcap or pcapng" if foreign else "not a capture file (neither pcap nor pcapng)")


class CaptureReader:
    """A capture file. ``facts`` is complete when ``windows`` or ``frames`` has been read to its end.

    Attributes:
        facts: what is known of the file so far.
        start_ns: the time of the first record, None when it was not found near the start.
    """

    def __init__(self, source: str | BinaryIO, *, file: int = 0, name: str = "") -> None:
        """Open ``source``; see ``open_capture``."""
        self._source = source
        self._file = file
        self._name = name or (source if isinstance(source, str) else "-")
        self._handle: BinaryIO | None = None
        self._rest: Raw | None = None
        self._spent = False
        self.facts = FileFacts(self._name)
        self.start_ns: int | None = None
        self._probe()

    def _probe(self) -> None:
        """Look at the start of the file; a file that can be opened again is closed, so that thousands may wait."""
        handle = _open_file(self._source, self._name) if isinstance(self._source, str) else self._source
        try:
            head = _read_up_to(handle, PROBE)
            if is_compressed(head):
                head += _read_up_to(handle, PROBE_COMPRESSED - len(head))
        except OSError as why:
            raise refusal(self._name, f"cannot be read: {why.strerror or why}") from None
        finally:
            if isinstance(self._source, str) and handle.seekable():
                handle.close()
        if not handle.closed:
            self._rest = Prefixed(head, handle)
            self._handle = handle if isinstance(self._source, str) else None
        start = io.BytesIO(head)
        self._learn(_Opened(start, self._name, again=start, file=self._file, window=PROBE))

    def _learn(self, opened: _Opened) -> None:
        """Take format and first time from a look at the start; the notes belong to the real reading."""
        if isinstance(opened.reader, PcapReader):
            _refuse_unknown(self._name, {opened.reader.layout.link_type: 0})
            self.start_ns = opened.reader.start_ns()
        if self.start_ns is None:
            first = next(iter(opened.reader.windows()), None)
            self.start_ns = int(first.time_ns[0]) if first is not None else None
        self.facts = opened.facts
        self.facts.notes.clear()

    def windows(self, window: int = WINDOW) -> Iterator[Records]:
        """All records in windows of about ``window`` octets. A pipe can be read once.

        Raises:
            CaptureError: the file has vanished since it was opened, or all its link types are unknown.
        """
        handle: BinaryIO | None = None
        if self._rest is None:
            handle = _open_file(cast("str", self._source), self._name)
            again = cast("Seekable", handle)
            opened = _Opened(handle, self._name, again=again, file=self._file, window=window)
        else:
            if self._spent:
                raise refusal(self._name, "cannot be read a second time")
            rest, self._spent = self._rest, True
            opened = _Opened(rest, self._name, again=None, file=self._file, window=window)
        self.facts = opened.facts
        unknown: dict[int, int] = {}
        try:
            for records in opened.reader.windows():
                self.facts.frames += len(records)
                _count_unknown(records, unknown)
                yield records
        finally:
            if handle is not None:
                handle.close()
        for link_type, count in unknown.items():
            text = f"{count} frames of link type {link_type} ({link_type_name(link_type)}), which is not read"
            opened.faults.say("capture.link-type", text)
        if self.facts.frames and sum(unknown.values()) == self.facts.frames:
            _refuse_unknown(self._name, unknown)

    def frames(self, window: int = WINDOW) -> Iterator[Frame]:
        """All records, one by one."""
        for records in self.windows(window):
            yield from records.frames()

    def close(self) -> None:
        """Close a pipe that is still open."""
        if self._handle is not None:
            self._handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _count_unknown(records: Records, unknown: dict[int, int]) -> None:
    numbers, counts = np.unique(records.link_type, return_counts=True)
    for number, count in zip(numbers.tolist(), counts.tolist(), strict=True):
        if number not in READABLE:
            unknown[number] = unknown.get(number, 0) + count


def _refuse_unknown(name: str, link_types: dict[int, int]) -> None:
    unknown = sorted(number for number in link_types if number not in READABLE)
    if unknown:
        named = ", ".join(f"{number} ({link_type_name(number)})" for number in unknown)
        raise refusal(name, f"unknown link type {named}")


def _read_up_to(handle: Raw, size: int) -> bytes:
    pieces = b""
    while len(pieces) < size:
        piece = handle.read(size - len(pieces))
        if not piece:
            break
        pieces += piece
    return pieces


def _open_file(path: str, name: str) -> BinaryIO:
    """Open a regular file or a FIFO. Raises CaptureError for anything else and when that fails."""
    try:
        check_openable(path, name)
        return cast("BinaryIO", Path(path).open("rb", buffering=0))
    except (OSError, ValueError) as why:
        reason = why.strerror if isinstance(why, OSError) else str(why)
        raise refusal(name, f"cannot be opened: {reason}") from None


def check_openable(path: str, name: str) -> None:
    """Refuse directories, sockets and devices.

    Raises:
        CaptureError: it is one of those.
        OSError: it cannot be looked at.
    """
    mode = Path(path).stat().st_mode
    kinds = (
        (stat.S_ISDIR, "is a directory"),
        (stat.S_ISSOCK, "is a socket, not a file"),
        (stat.S_ISCHR, "is a device, not a file"),
        (stat.S_ISBLK, "is a device, not a file"),
    )
    for test, reason in kinds:
        if test(mode):
            raise refusal(name, reason)


def open_capture(
    source: str | bytes | os.PathLike[str] | os.PathLike[bytes] | BinaryIO, *, file: int = 0, name: str = ""
) -> CaptureReader:
    """Open a capture.

    Args:
        source: a path (``-`` is standard input), or a binary stream, which is read from where it stands.
        file: the index that the frames will carry.
        name: what the file is called in facts and errors; the path when empty.

    Raises:
        CaptureError: missing, unreadable, a directory, a socket or a device, empty, not a capture, or of an unknown
            link type only. One line, with the name and the reason.
    """
    if not isinstance(source, (str, bytes, os.PathLike)):
        return CaptureReader(source, file=file, name=name)
    path = os.fsdecode(source)
    if path == "-":
        return CaptureReader(sys.stdin.buffer, file=file, name=name or "-")
    return CaptureReader(path, file=file, name=name)


__all__ = ["CaptureError", "CaptureReader", "check_openable", "open_capture"]
