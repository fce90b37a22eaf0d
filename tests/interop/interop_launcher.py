"""A program that runs our command again and again: it reads Python's modules once, then forks for each run.

A line on standard input is a JSON array: a folder and the arguments. The answer is a line with the process id. What the
command prints goes to ``output`` and ``errors`` in the folder; its exit code to ``exit``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from pathlib import Path

import ipsecscope.cli
import ipsecscope.cli.live
import ipsecscope.peers.eap
import ipsecscope.peers.live
import ipsecscope.peers.narration
import ipsecscope.peers.recording
import ipsecscope.peers.settings
import ipsecscope.peers.signatures
import ipsecscope.peers.trust
import ipsecscope.peers.udp  # noqa: F401 (all of these are here so that the children find them)
from ipsecscope.__main__ import main as command

PAUSE = 0.05  # seconds between two looks for children that have ended


def run(folder: str, arguments: list[str]) -> None:
    """What the child does; never returns."""
    code = 70
    try:
        os.chdir(folder)
        for number, name in ((0, os.devnull), (1, "output"), (2, "errors")):
            file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
            os.dup2(file, number)
            os.close(file)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
        sys.argv = ["ipsecscope", *arguments]
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def main() -> None:
    """Start what is asked for until standard input ends, then end what still runs."""
    waiting, folders = b"", {}
    while True:
        if select.select([0], [], [], PAUSE)[0]:
            octets = os.read(0, 65_536)
            if not octets:
                break
            waiting += octets
        *lines, waiting = waiting.split(b"\n")
        for line in lines:
            folder, arguments = json.loads(line)
            number = os.fork()
            if number == 0:
                run(folder, arguments)
            folders[number] = Path(folder)
            os.write(1, f"{number}\n".encode())
        reap(folders)
    for number in folders:
        os.kill(number, signal.SIGKILL)


def reap(folders: dict[int, Path]) -> None:
    """Write down the exit codes of the children that have ended."""
    while folders:
        number, status = os.waitpid(-1, os.WNOHANG)
        if number == 0:
            return
        folder = folders.pop(number)
        (folder / "exit.part").write_text(str(os.waitstatus_to_exitcode(status)))
        (folder / "exit.part").rename(folder / "exit")


if __name__ == "__main__":
    main()
