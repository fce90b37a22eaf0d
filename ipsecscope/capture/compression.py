"""Compressed captures, told by their magic number: gzip, bzip2, xz, and with the extra ``compression`` zstd and lz4.

Whatever can be unpacked before a fault is kept, to the octet (bzip2: but one) where the input can be read twice or is
short; a bomb ends at a named limit.
"""

from __future__ import annotations

import bz2
import contextlib
import importlib
import io
import lzma
import zlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import msgspec

from ipsecscope.capture.faults import Faults
from ipsecscope.capture.stream import Prefixed, Raw, Seekable

MAX_UNPACKED = 2 * 1024**3  # octets
MAX_RATIO = 1000  # octets out for each octet in …
RATIO_FLOOR = 16 * 1024**2  # … looked at once this much has come out
MAX_LAYERS = 4  # compression inside compression
MAX_DICTIONARY = 256 * 1024**2  # octets an xz or zstd stream may make the decoder hold

_INPUT = 8 * 1024
_ZSTD_INPUT = 1024  # its decoder cannot bound its output: 1 KiB unpacks to 32 MiB at most (128 KiB per 4 octets)
_STEP = 64 * 1024
_REMEMBERED = 4 * 1024**2  # octets of input kept for a second approach to a fault in what can be read only once
_STEP_ONCE = 1024  # when a fault cannot be approached a second time, it costs at most this much


class Decoder(Protocol):
    """The interface that the standard library's incremental decompressors share."""

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more input."""

    @property
    def unused_data(self) -> bytes:
        """What was given beyond the end of the compressed stream."""

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        """Take input, give at most ``max_length`` octets."""


class _Gzip:
    """zlib's decoder with the interface of the others."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def unused_data(self) -> bytes:
        return self._inflate.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        out = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        self.needs_input = not self._inflate.unconsumed_tail and len(out) < max_length
        return out


class _Zstd:
    """The zstandard package's decoder with the interface of the others; it cannot bound its output."""

    needs_input = True

    def __init__(self) -> None:
        zstandard = importlib.import_module("zstandard")
        self._decoder = zstandard.ZstdDecompressor(max_window_size=MAX_DICTIONARY).decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._decoder.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._decoder.unused_data)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        del max_length
        return bytes(self._decoder.decompress(data)) if data else b""


def _xz() -> Decoder:
    return lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=MAX_DICTIONARY)


def _lz4() -> Decoder:
    return cast("Decoder", importlib.import_module("lz4.frame").LZ4FrameDecompressor())


class Codec(msgspec.Struct, frozen=True):
    """A row of the table: name, magic number, how a decoder is made, and the module it needs (empty: none)."""

    name: str
    magic: bytes
    decoder: Callable[[], Any]
    module: str = ""
    input_size: int = _INPUT


CODECS = (
    Codec("gzip", b"\x1f\x8b\x08", _Gzip),
    Codec("bzip2", b"BZh", bz2.BZ2Decompressor),
    Codec("xz", b"\xfd7zXZ\x00", _xz),
    Codec("zstd", b"\x28\xb5\x2f\xfd", _Zstd, "zstandard", _ZSTD_INPUT),
    Codec("lz4", b"\x04\x22\x4d\x18", _lz4, "lz4.frame"),
)
MAGIC_SIZE = max(len(codec.magic) for codec in CODECS)


def is_compressed(head: bytes) -> bool:
    """Whether a file that starts with ``head`` is compressed in a way that is read."""
    return any(head.startswith(codec.magic) for codec in CODECS)


class _Progress(msgspec.Struct):
    """How far the current member of an archive is.

    ``start`` is where it starts in the input; ``calls`` counts the decoder's calls before the last piece of input,
    ``since`` the octets that came out after it.
    """

    start: int = 0
    calls: int = 0
    calls_since: int = 0
    since: int = 0
    piece: bytes = b""


class Unpacked:
    """The bytes of a compressed file, read forward. Faults become notes and end the bytes; nothing is raised."""

    def __init__(self, raw: Raw, codec: Codec, faults: Faults, again: Seekable | None = None) -> None:
        """Unpack ``raw``; ``again`` is the same file when it can be positioned, used to come close to a fault."""
        self._raw = raw
        self._codec = codec
        self._faults = faults
        self._again = again
        self._step_size = _STEP if again is not None else _STEP_ONCE
        self._decoder: Decoder = codec.decoder()
        self._progress = _Progress()
        self._history = bytearray()  # the member's input so far, while it is short and cannot be read again
        self._input = b""  # taken from raw, not yet given to the decoder
        self._consumed = 0  # octets taken from raw
        self._produced = 0
        self._pending = bytearray()
        self._done = False

    def read(self, size: int, /) -> bytes:
        """At most ``size`` octets; none at the end."""
        while not self._done and len(self._pending) < size:
            self._step()
        piece = bytes(self._pending[:size])
        del self._pending[:size]
        return piece

    def _take(self) -> bytes:
        """The next ``input_size`` octets of the member: always whole pieces, so that ``_approach`` meets the same."""
        size = self._codec.input_size
        while len(self._input) < size:
            more = self._raw.read(size - len(self._input))
            if not more:
                break
            self._consumed += len(more)
            self._input += more
        data, self._input = self._input[:size], self._input[size:]
        if self._again is None and len(self._history) <= _REMEMBERED:
            self._history += data
        return data

    def _step(self) -> None:
        decoder = self._decoder
        data = self._take() if decoder.needs_input else b""
        last = decoder.needs_input and not data
        if data:
            self._progress.calls += self._progress.calls_since
            self._progress.calls_since = self._progress.since = 0
            self._progress.piece = data
        try:
            out = decoder.decompress(data, self._step_size) or b""
        except Exception as why:  # noqa: BLE001 - five libraries, each with exceptions of its own
            self._deliver(self._approach())
            self._stop("capture.damaged", f"the {self._codec.name} stream is damaged: {' '.join(str(why).split())}")
            return
        self._progress.calls_since += 1
        self._progress.since += len(out)
        self._deliver(out)
        if decoder.eof:
            self._next_member()
        elif last and not out:
            self._stop("capture.truncated", f"the {self._codec.name} stream ends early")

    def _deliver(self, out: bytes) -> None:
        self._produced += len(out)
        self._pending += out
        most = min(MAX_UNPACKED, max(RATIO_FLOOR, MAX_RATIO * self._consumed))
        if self._produced > most:
            del self._pending[len(self._pending) - (self._produced - most) :]
            why = "the most that is unpacked" if most == MAX_UNPACKED else f"{MAX_RATIO} times the compressed size"
            self._produced = most
            self._stop("capture.limit", f"unpacking stopped at {most} octets, {why}")

    def _stop(self, kind: str, text: str) -> None:
        if not self._done:
            self._faults.say(kind, text, self._produced)
        self._done = True

    def _next_member(self) -> None:
        """Archives may be concatenated; zero octets between them are padding, anything else ends the bytes."""
        rest = (self._decoder.unused_data or b"") + self._input
        while True:
            rest = rest.lstrip(b"\x00")
            if len(rest) >= MAGIC_SIZE:
                break
            more = self._raw.read(self._codec.input_size)
            if not more:
                break
            self._consumed += len(more)
            rest += more
        if rest.startswith(self._codec.magic):
            self._decoder = self._codec.decoder()
            self._input = rest
            self._progress = _Progress(start=self._consumed - len(rest))
            self._history.clear()
            return
        if rest:
            text = f"what follows the {self._codec.name} stream is not read"
            self._faults.say("capture.trailing", text, self._produced, len(rest))
        self._done = True

    def _approach(self) -> bytes:
        """Unpack the failing member once more up to its last piece of input, and that octet by octet up to the fault."""
        again, start = self._again, self._progress.start
        if again is None:
            if len(self._history) > _REMEMBERED:
                return b""
            again, start = io.BytesIO(self._history), 0
        again.seek(start)
        decoder = self._codec.decoder()
        out = bytearray()
        with contextlib.suppress(Exception):  # the fault, which the caller reports
            for _ in range(self._progress.calls):
                given = again.read(self._codec.input_size) or b"" if decoder.needs_input else b""
                decoder.decompress(given, self._step_size)
            for octet in self._progress.piece:
                out += decoder.decompress(bytes((octet,)), 1) or b""
                while not decoder.needs_input and not decoder.eof:
                    out += decoder.decompress(b"", 1) or b""
        return bytes(out[self._progress.since :])


def unpack(raw: Raw, faults: Faults, again: Seekable | None = None) -> tuple[Raw, tuple[str, ...], bytes]:
    """Look for compression and undo it.

    Args:
        raw: the file, at its start.
        faults: takes the notes.
        again: the same file when it can be positioned.

    Returns:
        The unpacked bytes, the names of the compressions (outermost first; empty when there is none), and the first
        octets of the unpacked bytes (which are still to be read).

    Raises:
        CaptureError: a package for the compression is not installed, or there are too many layers.
    """
    layers: list[str] = []
    while True:
        head = _head(raw)
        raw = Prefixed(head, raw)
        codec = next((row for row in CODECS if head.startswith(row.magic)), None)
        if codec is None:
            return raw, tuple(layers), head
        if len(layers) == MAX_LAYERS:
            raise faults.error(f"compressed more than {MAX_LAYERS} times over")
        if codec.module:
            try:
                importlib.import_module(codec.module)
            except ImportError:
                reason = f"{codec.name} compression needs: pip install 'ipsecscope[compression]'"
                raise faults.error(reason) from None
        layers.append(codec.name)
        raw = Unpacked(raw, codec, faults, again)
        again = None


def _head(raw: Raw, size: int = 64) -> bytes:
    head = b""
    while len(head) < size:
        piece = raw.read(size - len(head))
        if not piece:
            break
        head += piece
    return head
