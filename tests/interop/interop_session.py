"""One session between charon and our peer: the two are started, the script is played, what both wrote is judged."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import interop_half_open
import interop_ping
from interop_cases import ADDRESSES, CHARON, CHARON_BASE, OURS, OURS_BASE, SEEN_BY_CHARON, SEEN_BY_US, Case
from interop_charon import PATIENCE, Charon, NotHappenedError, wait_for
from interop_network import Network
from interop_ours import Launcher, Running

MAX_LOST_PINGS = 2  # the first one may overtake the last message of quick mode, the last one our Delete
PINGING = 1.6  # seconds after the Child SA was created: time for a second ping
ENDS = ("swanctl --terminate --ike", "cut")  # steps behind which no Delete of ours is to be expected
STAY = 90  # seconds that our initiator stays unless it is told to go


def lines_of(text: str, number: int) -> dict[str, str]:
    """The keys and values of the lines of a table's text."""
    found = {}
    for line in filter(None, map(str.strip, text.replace("{n}", str(number)).splitlines())):
        key, _, value = line.partition(" = ")
        found[key] = value
    return found


def nested(values: Mapping[str, str]) -> dict[str, Any]:
    """Keys with a section in front as sections."""
    made: dict[str, Any] = {}
    for key, value in values.items():
        section, _, rest = key.rpartition(".")
        (made.setdefault(section, {}) if section else made)[rest] = value
    return made


class Ends(NamedTuple):
    """What all sessions share."""

    network: Network
    charon: Charon
    ours: Launcher


class Session:
    """A case with a number, which decides about its addresses and names."""

    def __init__(self, case: Case, number: int, ends: Ends, folder: Path) -> None:
        self.case = case
        self.name = f"case-{number}"
        self.number = number
        self.folder = folder
        self._network, self._charon, self._launcher = ends
        self._running: Running | None = None
        self.ours, self.theirs = (each.replace("{n}", str(number)) for each in ADDRESSES[case.path])
        self.our_host, self.their_host = (each.replace("{n}", str(number)) for each in (case.our_host, case.their_host))

    # -- what both are told -----------------------------------------------------------------------------------------

    def connection(self) -> dict[str, Any]:
        """The section of swanctl.conf."""
        values = lines_of(CHARON_BASE, self.number) | lines_of(self.case.charon, self.number)
        made = nested(values)
        child = made.pop("child")
        ends = {"local_addrs": self.theirs, "remote_addrs": SEEN_BY_CHARON.get(self.case.path, self.ours)}
        return {**ends, **made, "children": {self.name: child}}

    def settings(self) -> str:
        """The TOML of our peer."""
        remote = SEEN_BY_US.get(self.case.path, self.theirs)
        ends = {"local.address": f'"{self.ours}"', "remote.address": f'"{remote}"'}
        values = ends | lines_of(OURS_BASE, self.number) | lines_of(self.case.ours, self.number)
        return "\n".join(f"{key} = {value}" for key, value in values.items()) + "\n"

    # -- what both do -----------------------------------------------------------------------------------------------

    def play(self) -> None:
        """From the start of our peer to the judgement. Raises NotHappenedError with the first thing that is wrong."""
        begun: subprocess.Popen[bytes] | None = None
        try:
            self._start()
            if self.case.begins == CHARON:
                wait_for("we listen", lambda: "listening on" in self.output)
                begun = self._charon.begin(self.name)
            if self.case.succeeds:
                self._logs(r"CHILD_SA \S+ established")
                self._tell("child_sa:created")
                time.sleep(PINGING)
            for line in self.case.script.strip().splitlines():
                self._step(*line.strip().replace("{name}", self.name).split(" ", 1))
            if begun is not None and (begun.wait(PATIENCE) == 0) != self.case.succeeds:
                raise NotHappenedError("swanctl --initiate ended otherwise")
            code = self._end()
        finally:
            if begun is not None and begun.poll() is None:
                begun.kill()
                begun.wait(10)
            if self._running is not None:
                self._running.send(signal.SIGKILL)
        self._judge_end(code)

    def _start(self) -> None:
        self.folder.mkdir()
        (self.folder / "peer.toml").write_text(self.settings())
        for file in self._charon.certificates.iterdir():
            (self.folder / file.name).symlink_to(file)
        verb = "respond" if self.case.begins == CHARON else "initiate"
        if self.case.half_open:
            command = [sys.executable, interop_half_open.__file__, self.ours, self.theirs, str(self.case.half_open)]
            self._network.run("ours", command)
        options = f"--capture ours.pcapng --key-log ours.keys --events events.jsonl {self.case.asks}"
        if self.case.succeeds:
            options += f" --ping {self.their_host} --ping-from {self.our_host} --count {self.case.pings}"
        if verb == "initiate":
            options += f" --duration {STAY}"
        self._running = self._launcher.start(self.folder, [verb, "peer.toml", *options.split()])

    def _end(self) -> int:
        """Let our peer say goodbye, unless the session must end by itself; its exit code."""
        assert self._running is not None
        ends_by_itself = self.case.begins == OURS and (self._is_ended or not self.case.succeeds)
        if not ends_by_itself:
            self._running.send(signal.SIGINT)
        return self._running.wait()

    @property
    def _is_ended(self) -> bool:
        return any(step in self.case.script for step in ENDS)

    def _judge_end(self, code: int) -> None:
        said = (self.output + (self.folder / "errors").read_text()).strip().splitlines()
        if code != (0 if self.case.succeeds else 1):
            raise NotHappenedError(f"our command ended with {code}: {said[-1:]}")
        if self.case.succeeds:
            if self._is_ended:
                return
            self._logs("received DELETE for IKE_SA")
            found = re.search(r"^(\d+) of (\d+) pings", self.output, re.MULTILINE)
            if found is None or int(found[2]) - int(found[1]) > MAX_LOST_PINGS:
                raise NotHappenedError(f"our pings were not answered: {found and found[0]}")

    # -- the steps of a script --------------------------------------------------------------------------------------

    def _step(self, verb: str, rest: str = "") -> None:
        if verb == "ping":
            self._ping()
        elif verb == "swanctl":
            self._charon.ask(*rest.split())
        elif verb == "charon":
            self._logs(rest.removeprefix("logs "))
        elif verb == "cut":
            for chain, end in (("INPUT", "-s"), ("OUTPUT", "-d")):
                self._network.run("theirs", ["iptables", "-I", chain, end, self.ours, "-j", "DROP"])
        elif verb == "we":
            self._tell(rest.removeprefix("tell "))
        else:
            raise ValueError(f"no such step: {verb} {rest}")

    def _ping(self) -> None:
        """Charon's host pings ours; ours pings charon's all the time."""
        command = [sys.executable, "-I", interop_ping.__file__, self.their_host, self.our_host, "1"]
        for _ in range(2):  # while SAs change places, one packet may be lost
            done = subprocess.run(
                self._network.command("theirs", command), capture_output=True, timeout=60, check=False
            )
            if done.returncode == 0:
                return
        raise NotHappenedError(f"no answer to a ping from {self.their_host} to {self.our_host}")

    def _logs(self, pattern: str) -> None:
        self._charon.wait_for(self.name, SEEN_BY_CHARON.get(self.case.path, self.ours), pattern)

    def _tell(self, pattern: str) -> None:
        """Wait for an event of ours."""
        wait_for(f"we tell {pattern}", lambda: re.search(pattern, self._events()))

    def _events(self) -> str:
        path = self.folder / "events.jsonl"
        return path.read_text() if path.exists() else ""

    @property
    def capture(self) -> Path:
        """What our peer sent and received."""
        return self.folder / "ours.pcapng"

    @property
    def key_log(self) -> Path:
        """Its keys."""
        return self.folder / "ours.keys"

    @property
    def events(self) -> list[dict[str, Any]]:
        """What our peer told."""
        return [json.loads(line) for line in self._events().splitlines()]

    @property
    def output(self) -> str:
        """What our command printed."""
        path = self.folder / "output"
        return path.read_text() if path.exists() else ""
