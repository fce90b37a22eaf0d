"""Writing captures: pcap and pcapng, the same bytes for the same calls, and the whole file or none.

A file is written beside its final name and renamed when complete. An existing file is replaced only with ``force``;
symbolic links, folders, pipes and devices are never replaced.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, cast

from ipsecscope.capture.faults import refusal
from ipsecscope.capture.pcap import MICROSECONDS, NANOSECONDS
from ipsecscope.capture.pcapng_blocks import (
    BYTE_ORDER_MAGIC,
    Block,
    InterfaceOption,
    NameRecord,
    Option,
    SectionOption,
    padded,
)
from ipsecscope.capture.records import Frame

SNAPLEN = 262_144  # what a file says it was cut at, when nothing was
SECOND_NS = 1_000_000_000

_VERSION_MAJOR, _VERSION_MINOR = 2, 4
_NANOSECOND_EXPONENT = 9
_UNKNOWN_SECTION_LENGTH = -1
_OPTION_LIMIT = 0xFFFF


class _Output:
    """Bytes on their way to a file that appears, complete, when it is closed without an exception."""

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, *, force: bool) -> None:
        self._path: Path | None = None
        if not isinstance(target, (str, os.PathLike)):
            self._out = target
            return
        self._path = Path(target)
        self._force = force
        _require_free(self._path, force=force)
        self._temporary = self._path.with_name(f".{self._path.name[:200]}.{os.getpid()}.part")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        try:
            with contextlib.suppress(FileNotFoundError):
                self._temporary.unlink()
            self._out = cast("BinaryIO", os.fdopen(os.open(self._temporary, flags, 0o666), "wb"))
        except OSError as why:
            raise refusal(str(self._path), f"cannot be written: {why.strerror}") from None

    def write(self, data: bytes) -> None:
        """Append octets. Raises CaptureError when that fails, such as on a full disk."""
        try:
            self._out.write(data)
        except OSError as why:
            self.abandon()
            raise refusal(str(self._path or "-"), f"cannot be written: {why.strerror}") from None

    def finish(self) -> None:
        """Put the file in its place. Raises CaptureError when that fails."""
        path = self._path
        if path is None:
            self._out.flush()
            return
        if self._out.closed:
            return
        try:
            self._out.flush()
            os.fsync(self._out.fileno())
            self._out.close()
            _require_free(path, force=self._force)
            self._temporary.replace(path)
        except OSError as why:
            self.abandon()
            raise refusal(str(path), f"cannot be written: {why.strerror}") from None
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Leave nothing behind."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            self._out.close()
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def _require_free(path: Path, *, force: bool) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as why:
        raise refusal(str(path), f"cannot be written: {why.strerror}") from None
    if stat.S_ISLNK(mode):
        raise refusal(str(path), "is a symbolic link, which is not followed")
    if not stat.S_ISREG(mode):
        raise refusal(str(path), "is not a regular file")
    if not force:
        raise refusal(str(path), "exists; it is replaced only when forced")


class _Writer:
    """What both formats share."""

    def __init__(self, target: str | os.PathLike[str] | BinaryIO, *, force: bool, byte_order: str) -> None:
        self._order = {"little": "<", "big": ">"}[byte_order]
        self._output = _Output(target, force=force)

    def _pack(self, letters: str, *values: int) -> bytes:
        return struct.pack(self._order + letters, *values)

    def close(self) -> None:
        """Complete the file and give it its name."""
        self._output.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, why: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._output.abandon()


class PcapWriter(_Writer):
    """A pcap file of one link type, with nanoseconds unless ``nanoseconds`` is false (then times are cut, not rounded)."""

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        link_type: int,
        snaplen: int = SNAPLEN,
        nanoseconds: bool = True,
        byte_order: str = "little",
        force: bool = False,
    ) -> None:
        """Start the file.

        Raises:
            CaptureError: the file exists and ``force`` is false, is no regular file, or cannot be written.
        """
        super().__init__(target, force=force, byte_order=byte_order)
        self._fraction_ns = 1 if nanoseconds else 1_000
        magic = NANOSECONDS if nanoseconds else MICROSECONDS
        self._output.write(self._pack("IHHiIII", magic, _VERSION_MAJOR, _VERSION_MINOR, 0, 0, snaplen, link_type))

    def write(self, time_ns: int, data: bytes, *, original_length: int | None = None) -> None:
        """Append a record. ``time_ns`` is nanoseconds since 1970 UTC, below 2^32 seconds; ValueError otherwise."""
        seconds, rest = divmod(time_ns, SECOND_NS)
        if not 0 <= seconds < 2**32:
            raise ValueError("pcap holds times from 1970 to 2106")
        original = len(data) if original_length is None else original_length
        self._output.write(self._pack("IIII", seconds, rest // self._fraction_ns, len(data), original) + data)

    def write_frame(self, frame: Frame) -> None:
        """Append a frame; its link type is the file's, its comment cannot be kept."""
        self.write(frame.time_ns, frame.data, original_length=frame.original_length)


class PcapngWriter(_Writer):
    """A pcapng file: sections, interfaces (nanoseconds), packets with comments, names and secrets."""

    def __init__(
        self,
        target: str | os.PathLike[str] | BinaryIO,
        *,
        hardware: str = "",
        system: str = "",
        application: str = "",
        comment: str = "",
        byte_order: str = "little",
        force: bool = False,
    ) -> None:
        """Start the file and its first section.

        Raises:
            CaptureError: the file exists and ``force`` is false, is no regular file, or cannot be written.
        """
        super().__init__(target, force=force, byte_order=byte_order)
        self._link_types: list[int] = []
        self.section(hardware=hardware, system=system, application=application, comment=comment)

    def section(self, *, hardware: str = "", system: str = "", application: str = "", comment: str = "") -> None:
        """Start a section, which has no interfaces yet."""
        self._link_types = []
        body = self._pack("IHHq", BYTE_ORDER_MAGIC, 1, 0, _UNKNOWN_SECTION_LENGTH)
        texts = (
            (Option.COMMENT, comment),
            (SectionOption.HARDWARE, hardware),
            (SectionOption.OS, system),
            (SectionOption.APPLICATION, application),
        )
        self._block(Block.SECTION, body, [(code, text.encode()) for code, text in texts if text])

    def interface(self, link_type: int, *, snaplen: int = SNAPLEN, name: str = "", description: str = "") -> int:
        """Describe an interface; returns its number in this section."""
        chosen = [(InterfaceOption.NAME, name.encode())] if name else []
        if description:
            chosen.append((InterfaceOption.DESCRIPTION, description.encode()))
        chosen.append((InterfaceOption.RESOLUTION, bytes((_NANOSECOND_EXPONENT,))))
        self._block(Block.INTERFACE, self._pack("HHI", link_type, 0, snaplen), chosen)
        self._link_types.append(link_type)
        return len(self._link_types) - 1

    def write(
        self, time_ns: int, data: bytes, *, interface: int = 0, original_length: int | None = None, comment: str = ""
    ) -> None:
        """Append a packet. ``time_ns`` is nanoseconds since 1970 UTC, not negative.

        Raises:
            ValueError: a negative time, or an interface that this section does not have.
        """
        if time_ns < 0 or not 0 <= interface < len(self._link_types):
            raise ValueError("a packet needs a time since 1970 and an interface of this section")
        original = len(data) if original_length is None else original_length
        head = self._pack("IIIII", interface, time_ns >> 32, time_ns & 0xFFFF_FFFF, len(data), original)
        chosen = [(Option.COMMENT, comment.encode("utf-8", "backslashreplace"))] if comment else []
        self._block(Block.ENHANCED_PACKET, head + _filled(data), chosen)

    def write_frame(self, frame: Frame) -> None:
        """Append a frame on the first interface of its link type, which is described when there is none."""
        if frame.link_type in self._link_types:
            interface = self._link_types.index(frame.link_type)
        else:
            interface = self.interface(frame.link_type)
        self.write(
            frame.time_ns,
            frame.data,
            interface=interface,
            original_length=frame.original_length,
            comment=frame.comment,
        )

    def secrets(self, kind: int, data: bytes) -> None:
        """Append a Decryption Secrets Block of the type ``kind``."""
        self._block(Block.DECRYPTION_SECRETS, self._pack("II", kind, len(data)) + _filled(data), ())

    def names(self, names: Mapping[str, Sequence[str]]) -> None:
        """Append a Name Resolution Block: for each address its names. ValueError for what is no address."""
        records = b""
        for address, known in names.items():
            parsed = ipaddress.ip_address(address)
            kind = NameRecord.IPV4 if parsed.version == 4 else NameRecord.IPV6
            value = parsed.packed + b"".join(name.encode() + b"\x00" for name in known)
            records += self._pack("HH", kind, len(value)) + _filled(value)
        self._block(Block.NAME_RESOLUTION, records + self._pack("HH", NameRecord.END, 0), ())

    def _block(self, kind: int, body: bytes, chosen: Sequence[tuple[int, bytes]]) -> None:
        tail = b""
        for code, value in chosen:
            cut = value[:_OPTION_LIMIT]
            tail += self._pack("HH", code, len(cut)) + _filled(cut)
        if tail:
            tail += self._pack("HH", Option.END, 0)
        length = 12 + len(body) + len(tail)
        self._output.write(self._pack("II", kind, length) + body + tail + self._pack("I", length))


def _filled(data: bytes) -> bytes:
    return data + bytes(padded(len(data)) - len(data))
