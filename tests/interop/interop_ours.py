"""Our command in its namespace: started by one launcher, so that a hundred runs do not read all modules a hundred times."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import interop_launcher
from interop_charon import wait_for
from interop_network import Network


class Running:
    """One run of our command."""

    def __init__(self, number: int, folder: Path) -> None:
        self._number = number
        self._exit = folder / "exit"

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        return int(self._exit.read_text()) if self._exit.exists() else None

    def wait(self) -> int:
        """Wait for its end. Raises NotHappenedError."""
        wait_for("our command ends", lambda: self.code is not None)
        assert self.code is not None
        return self.code

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._number, number)


class Launcher:
    """The launcher, as long as the ``with`` statement runs."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        command = self._network.command("ours", [sys.executable, interop_launcher.__file__])
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def start(self, folder: Path, arguments: list[str]) -> Running:
        """Run our command in a folder."""
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([str(folder), arguments]).encode() + b"\n")
            self._process.stdin.flush()
            return Running(int(self._process.stdout.readline()), folder)
