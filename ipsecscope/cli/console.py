"""What every command does alike: exit codes, complaints, progress, and output that may end before we do."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from typing import NoReturn, Self

import typer

NEAR, FEW = 5, 12  # names suggested for one that is unknown, and how many may all be listed
OK, FINDINGS, UNUSABLE, PARTIAL, INTERNAL, INTERRUPTED = 0, 1, 2, 3, 70, 130  # exit codes


@contextlib.contextmanager
def writing() -> Iterator[None]:
    """Ends the program in order when its output cannot be written; a reader who has seen enough is no fault."""
    try:
        yield
    except BrokenPipeError:
        _forget_output()
        raise typer.Exit(OK) from None
    except OSError as error:
        _forget_output()
        fail(str(error) if error.errno is None else f"{error.filename or 'standard output'}: {error.strerror}")


def _forget_output() -> None:
    """Send what is still buffered for standard output nowhere, so that the exit does not fail on it again."""
    with contextlib.suppress(OSError):  # a stream that somebody put in its place needs no care
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(text: str) -> None:
    """One line on standard error, with what a terminal would act on made visible."""
    from ipsecscope.reports.escape import show

    sys.stderr.write(f"ipsecscope: {show(text, 1000)}\n")


def fail(text: str) -> NoReturn:
    """Say in one line why nothing can be done, and end with the code of unusable input."""
    complain(text)
    raise typer.Exit(UNUSABLE)


def near(name: str, known: Iterable[str]) -> str:
    """A hint for a name that nobody knows: the nearest known ones, or all when there are few; empty for none."""
    import difflib

    by_name = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), by_name, n=NEAR, cutoff=0.5)
    close += [each for each in by_name if name.lower() in each and each not in close]
    shown = [by_name[each] for each in close[:NEAR]] or (list(by_name.values()) if len(by_name) <= FEW else [])
    return f"; {'near it' if close else 'known'}: {', '.join(shown)}" if shown else ""


class Progress:
    """Says how far the reading is, on standard error and only on a terminal."""

    STEP = 200_000

    def __enter__(self) -> Self:
        self.said = 0
        self.visible = sys.stderr.isatty()
        return self

    def __call__(self, file: int, frames: int) -> None:
        """``file`` counts from 0; ``frames`` are those read so far, of all files."""
        if self.visible and frames - self.said >= self.STEP:
            self.said = frames
            sys.stderr.write(f"\r{frames:,} frames, file {file + 1} …")
            sys.stderr.flush()

    def __exit__(self, *_: object) -> None:
        if self.visible and self.said:
            sys.stderr.write("\r\x1b[K")


class Interruption:
    """Within it the first interrupt (Ctrl-C) only asks to stop; a second one ends the program at once.

    Calling it says whether it was asked.
    """

    def __enter__(self) -> Self:
        self.asked = False
        self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __call__(self) -> bool:
        """Whether an interrupt came."""
        return self.asked

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self.before)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
        complain("interrupted: the report covers what was read so far; once more to stop at once")
