"""Network namespaces for two gateways and a NAT between them; nothing touches the network of the host.

    ours 192.0.2.10-250 ─────────────────────────────── 192.0.2.1 theirs
    ours 10.10.0.10-250 ── 10.10.0.1 NAT 203.0.113.1 ── 203.0.113.2 theirs
    ours 198.51.100.10-250 ── 198.51.100.1 NAT 10.20.0.1 ── 10.20.0.2 theirs

The NAT masquerades what goes to the right in the second row, and what goes to the left in the third, and gives UDP
another port. Behind their gateway is the host 10.1.0.1; behind ours, 10.2.N.0/24 belongs to the session of number N.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

PROGRAMS = ("ip", "iptables")
SESSIONS = range(10, 250)
THEIR_HOST = "10.1.0.1"
LAYOUT = """
netns add {ours}
netns add {theirs}
netns add {nat}
-n {ours} link set lo up
-n {theirs} link set lo up
-n {theirs} addr add 10.1.0.1/32 dev lo
link add direct netns {ours} type veth peer name direct netns {theirs}
link add inside netns {ours} type veth peer name left netns {nat}
link add outside netns {theirs} type veth peer name right netns {nat}
link add public netns {ours} type veth peer name west netns {nat}
link add private netns {theirs} type veth peer name east netns {nat}
-n {theirs} addr add 192.0.2.1/24 dev direct
-n {nat} addr add 10.10.0.1/24 dev left
-n {nat} addr add 203.0.113.1/24 dev right
-n {theirs} addr add 203.0.113.2/24 dev outside
-n {nat} addr add 198.51.100.1/24 dev west
-n {nat} addr add 10.20.0.1/24 dev east
-n {theirs} addr add 10.20.0.2/24 dev private
-n {ours} link set direct up
-n {ours} link set inside up
-n {ours} link set public up
-n {theirs} link set direct up
-n {theirs} link set outside up
-n {theirs} link set private up
-n {nat} link set left up
-n {nat} link set right up
-n {nat} link set west up
-n {nat} link set east up
"""
ROUTES = """
-n {ours} route add 203.0.113.0/24 via 10.10.0.1
-n {theirs} route add 198.51.100.0/24 via 10.20.0.1
"""
NAT_RULES = (
    "-t nat -A POSTROUTING -o right -p udp -j MASQUERADE --to-ports 20000-29999",
    "-t nat -A POSTROUTING -o west -p udp -j MASQUERADE --to-ports 30000-39999",
)


class Network:
    """The namespaces, as long as the ``with`` statement runs. Raises OSError and subprocess errors where they cannot be."""

    def __init__(self) -> None:
        self.names = {name: f"ipsecscope-{os.getpid()}-{name}" for name in ("ours", "theirs", "nat")}

    def __enter__(self) -> Self:
        _sweep()
        try:
            self._ip(LAYOUT)
            prefixes = {"direct": "192.0.2", "inside": "10.10.0", "public": "198.51.100"}
            addresses = [
                f"-n {{ours}} addr add {prefix}.{number}/24 dev {link}"
                for link, prefix in prefixes.items()
                for number in SESSIONS
            ]
            self._ip("\n".join(addresses))
            self._ip(ROUTES)
            self.run("nat", ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"])
            for rule in NAT_RULES:
                self.run("nat", ["iptables", *rule.split()])
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._remove()

    def _remove(self) -> None:
        """Removing a namespace removes its links, addresses and rules."""
        for name in self.names.values():
            if (Path("/run/netns") / name).exists():
                subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True, timeout=30)

    def _ip(self, commands: str) -> None:
        batches: dict[str, list[str]] = {}  # ip starts once for each namespace, not once for each address
        for line in commands.strip().format(**self.names).splitlines():
            space, rest = line.removeprefix("-n ").split(" ", 1) if line.startswith("-n ") else ("", line)
            batches.setdefault(space, []).append(rest)
        for space, lines in batches.items():
            command = ["ip", *(["-n", space] if space else []), "-batch", "-"]
            subprocess.run(command, input="\n".join(lines), text=True, check=True, capture_output=True, timeout=60)

    def command(self, place: str, command: Sequence[str]) -> list[str]:
        """A command line that runs in the namespace ``ours``, ``theirs`` or ``nat``."""
        return ["ip", "netns", "exec", self.names[place], *command]

    def run(self, place: str, command: Sequence[str]) -> str:
        """Run a command there and return what it printed. Raises subprocess errors."""
        done = subprocess.run(
            self.command(place, command), check=True, capture_output=True, text=True, errors="replace", timeout=60
        )
        return done.stdout


def _sweep() -> None:
    """Remove what a run left behind that was killed: its namespaces, and what still runs in them."""
    for place in Path("/run/netns").glob("ipsecscope-*-*"):
        owner = place.name.split("-")[1]
        if not owner.isdecimal() or Path("/proc", owner).exists():
            continue
        done = subprocess.run(
            ["ip", "netns", "pids", place.name], check=False, capture_output=True, text=True, timeout=30
        )
        for number in done.stdout.split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(number), signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", place.name], check=False, capture_output=True, timeout=30)


def reason_against_namespaces() -> str:
    """Why there can be no namespaces here; empty when there can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        with Network():
            return ""
    except (OSError, subprocess.SubprocessError) as why:
        said = why.stderr if isinstance(why, subprocess.CalledProcessError) else str(why)
        return f"no network namespaces: {' '.join(str(said).split())[:200]}"
