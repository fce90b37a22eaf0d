"""What a capture file holds, before anybody looks inside: records, and the facts and faults of the file."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

NO_LINK_TYPE = 0xFFFF  # is in no registry: the record is skipped


class CaptureNote(msgspec.Struct, frozen=True):
    """Something to say about a capture file itself.

    ``kind`` is a stable identifier such as ``capture.truncated``, ``capture.damaged``, ``capture.resynchronised``
    or ``capture.limit``; ``offset`` is the byte offset in the (unpacked) file, ``size`` the bytes concerned, both
    None where they do not apply; ``frame`` is 1-based.
    """

    kind: str
    text: str
    offset: int | None = None
    size: int | None = None
    frame: int | None = None


class Interface(msgspec.Struct, frozen=True):
    """One capture interface: what its records start with and how finely its clock ticks."""

    link_type: int
    snaplen: int = 0
    resolution_ns: int = 1_000
    name: str = ""


class Secrets(msgspec.Struct, frozen=True):
    """A pcapng Decryption Secrets Block: its four-letter type as a number, and its bytes. ``repr`` hides them."""

    kind: int
    data: bytes
    offset: int = 0

    def __repr__(self) -> str:
        return f"Secrets(kind={self.kind:#010x}, <{len(self.data)} octets>)"


class Frame(msgspec.Struct, frozen=True):
    """One capture record. ``number`` is 1-based within its file; ``time_ns`` is nanoseconds since 1970 UTC."""

    file: int
    number: int
    time_ns: int
    link_type: int
    data: bytes
    original_length: int
    comment: str = ""

    @property
    def truncated(self) -> int:
        """Octets that were on the wire and are not in the capture."""
        return max(0, self.original_length - len(self.data))


class Records(msgspec.Struct):
    """A window of consecutive records as columns; all arrays have one entry per record.

    ``buffer`` holds the bytes; ``offset`` (int64) is where each record's data starts in it, ``captured`` and
    ``original`` (uint32) are its lengths, ``time_ns`` (int64) its time, ``link_type`` (uint16) what it starts with.
    ``base`` is the file offset of ``buffer[0]``; ``first_number`` the 1-based number of the first record.
    ``interface`` (uint32) indexes the file's interfaces; empty where there is only one.
    """

    file: int
    buffer: bytes
    base: int
    first_number: int
    offset: npt.NDArray[np.int64]
    captured: npt.NDArray[np.uint32]
    original: npt.NDArray[np.uint32]
    time_ns: npt.NDArray[np.int64]
    link_type: npt.NDArray[np.uint16]
    comments: dict[int, str] = msgspec.field(default_factory=dict)
    interface: npt.NDArray[np.uint32] = msgspec.field(default_factory=lambda: np.empty(0, np.uint32))

    def __len__(self) -> int:
        return len(self.offset)

    def only(self, interface: int) -> Records:
        """The same records, of which those of other interfaces have a link type that nobody reads."""
        mine = self.interface == interface if len(self.interface) else np.full(len(self), interface == 0)
        return msgspec.structs.replace(self, link_type=np.where(mine, self.link_type, NO_LINK_TYPE).astype(np.uint16))

    def __getitem__(self, index: int) -> Frame:
        """The record at ``index`` (0-based within this window) as a Frame."""
        start = int(self.offset[index])
        return Frame(
            file=self.file,
            number=self.first_number + index,
            time_ns=int(self.time_ns[index]),
            link_type=int(self.link_type[index]),
            data=self.buffer[start : start + int(self.captured[index])],
            original_length=int(self.original[index]),
            comment=self.comments.get(index, ""),
        )

    def frames(self) -> Iterator[Frame]:
        """Every record in turn."""
        return (self[index] for index in range(len(self)))


class FileFacts(msgspec.Struct):
    """What is known of a capture file when it has been read to its end (filled while reading)."""

    name: str
    format: str = ""
    compression: str = ""
    frames: int = 0
    interfaces: list[Interface] = msgspec.field(default_factory=list)
    notes: list[CaptureNote] = msgspec.field(default_factory=list)
    names: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)  # address -> names from name blocks
    secrets: list[Secrets] = msgspec.field(default_factory=list)
    comment: str = ""
    hardware: str = ""
    application: str = ""
    extra: dict[str, Any] = msgspec.field(default_factory=dict)


class CaptureError(Exception):
    """A capture cannot be used at all. ``str()`` is one line that names the file and the reason."""
