"""A bounded window that moves forward over bytes which may be larger than memory, unseekable, or shrinking.

Nothing here is mapped (a file that shrinks under a map kills the process) and nothing is allocated from a length that
the file claims.
"""

from __future__ import annotations

from typing import Protocol

from ipsecscope.capture.faults import Faults

WINDOW = 8 * 1024 * 1024  # octets held at a time


class Raw(Protocol):
    """Where bytes come from: a file, a pipe or an unpacker."""

    def read(self, size: int, /) -> bytes | None:
        """At most ``size`` octets; none at the end."""


class Seekable(Raw, Protocol):
    """Bytes that can be read again."""

    def seek(self, offset: int, /) -> int:
        """Go to ``offset`` from the start."""


class Prefixed:
    """Bytes already read for a look at the magic number, then the rest."""

    def __init__(self, head: bytes, raw: Raw) -> None:
        self._head = head
        self._raw = raw

    def read(self, size: int, /) -> bytes:
        """At most ``size`` octets; none at the end."""
        if self._head:
            piece, self._head = self._head[:size], self._head[size:]
            return piece
        return self._raw.read(size) or b""


class ByteStream:
    """A window over ``raw``.

    Attributes:
        buffer: the octets in the window.
        base: the offset of ``buffer[0]`` in the (unpacked) file.
        final: whether the window reaches the end.
    """

    def __init__(self, raw: Raw, faults: Faults, again: Seekable | None = None, window: int = WINDOW) -> None:
        """Read ``raw``; ``again`` is the same file when it can be positioned, which saves copying."""
        self.buffer = b""
        self.base = 0
        self.final = False
        self._raw = raw
        self._again = again
        self._faults = faults
        self._window = window

    def advance(self, keep: int, need: int = 0) -> None:
        """Drop what stands before ``buffer[keep]`` and fill the window, to at least ``need`` octets if there are."""
        size = max(self._window, need)
        if self.final:
            self.buffer = self.buffer[keep:]
        elif self._again is not None:
            self.buffer = self._fill(b"", size, self._again, self.base + keep)
        else:
            self.buffer = self._fill(self.buffer[keep:], size, self._raw, None)
        self.base += keep

    def _fill(self, tail: bytes, size: int, raw: Raw, position: int | None) -> bytes:
        pieces, held = [tail], len(tail)
        try:
            if position is not None and self._again is not None:
                self._again.seek(position)
            while held < size:
                piece = raw.read(size - held)
                if not piece:
                    self.final = True
                    break
                pieces.append(piece)
                held += len(piece)
        except OSError as why:
            self.final = True
            self._faults.say("capture.unreadable", f"reading stopped: {why.strerror or why}", self.base + held)
        return pieces[1] if len(pieces) == 2 and not tail else b"".join(pieces)
