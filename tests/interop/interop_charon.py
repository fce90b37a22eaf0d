"""strongSwan's charon in a namespace: one daemon with a socket, a log and a folder of its own for all connections."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from interop_certificates import issue
from interop_network import Network

DAEMON = "charon-systemd"
PROGRAMS = (DAEMON, "swanctl")
PLUGINS = (
    "random nonce openssl pem x509 pubkey pkcs1 pkcs8 gmp hmac kdf sha1 sha2 md5 mgf1 aes gcm constraints kernel-libipsec"
    " kernel-netlink socket-default vici eap-identity eap-md5 eap-mschapv2 eap-gtc eap-tls xauth-generic unity"
)
SETTINGS = """
{daemon} {{
    load = {plugins}
    i_dont_care_about_security_and_use_aggressive_mode_psk = yes
    accept_unencrypted_mainmode_messages = no
    keep_alive = 2s
    fragment_size = 800
    retransmit_timeout = 2.0
    retransmit_base = 1.3
    retransmit_tries = 3
    half_open_timeout = 20
    plugins {{
        vici {{
            socket = unix://{folder}/vici
        }}
    }}
    filelog {{
        story {{
            path = {folder}/story.log
            default = 1
            ike = 2
            ike_name = yes
            flush_line = yes
        }}
        keys {{
            path = {folder}/keys.log
            default = 1
            ike = 4
            chd = 4
            enc = 1
            flush_line = yes
        }}
    }}
}}
swanctl {{
    load = random openssl pem x509 pubkey pkcs1 pkcs8
}}
"""
FOLDERS = ("x509", "x509ca", "private", "x509aa", "x509ocsp", "x509ac", "x509crl", "pubkey", "rsa", "ecdsa", "pkcs8")
PATIENCE = 60.0  # seconds that anything may take on a busy machine
Section = Mapping[str, Any]


PACKAGES = {  # plugins that are needed, and the package of Debian that has them
    "openssl": "libstrongswan-standard-plugins",
    "kernel-libipsec": "libcharon-extra-plugins",
    "eap-mschapv2": "libcharon-extauth-plugins",
}


def reason_against_charon() -> str:
    """Why charon cannot be run here; empty when it can."""
    missing = [name for name in PROGRAMS if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian: strongswan-swanctl charon-systemd)"
    plugins = Path("/usr/lib/ipsec/plugins")
    absent = [name for name in PACKAGES if not list(plugins.glob(f"*-{name}.so"))]
    if absent:
        return f"not installed: {', '.join(absent)} (Debian: {', '.join(PACKAGES[name] for name in absent)})"
    return "" if Path("/dev/net/tun").exists() else "there is no /dev/net/tun for kernel-libipsec"


class NotHappenedError(AssertionError):
    """What was waited for did not happen."""


def wait_for(what: str, happened: Callable[[], Any], patience: float = PATIENCE) -> Any:
    """Wait until something is true, and return it. Raises NotHappenedError."""
    deadline = time.monotonic() + patience
    while not (found := happened()):
        if time.monotonic() > deadline:
            raise NotHappenedError(f"did not happen: {what}")
        time.sleep(0.05)
    return found


def written(section: Section, depth: int = 0) -> str:
    """A section in the syntax of swanctl.conf."""
    lines = []
    for key, value in section.items():
        if isinstance(value, Mapping):
            lines += [f"{'  ' * depth}{key} {{", written(value, depth + 1), f"{'  ' * depth}}}"]
        else:
            lines.append(f"{'  ' * depth}{key} = {value}")
    return "\n".join(lines)


class Story:
    """The daemon's log by connection and by the number that it gives an IKE SA, read as it grows."""

    def __init__(self) -> None:
        self._read = 0
        self._by_name: dict[str, list[str]] = {}
        self._by_number: dict[str, list[str]] = {}
        self._numbers: dict[str, set[str]] = {}  # by address

    def read_on(self, path: Path) -> None:
        """Read the lines that are new."""
        with path.open("rb") as file:
            file.seek(self._read)
            octets = file.read()
        whole = octets[: octets.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in whole.decode(errors="replace").splitlines():
            found = re.search(r" <(?:(\S+)\|)?(\d+)> ", line)
            if found:
                self._by_number.setdefault(found[2], []).append(line)
                if found[1]:
                    self._by_name.setdefault(found[1], []).append(line)
                for address in re.findall(r" ([0-9.]+)\[", line):
                    self._numbers.setdefault(address, set()).add(found[2])

    def of(self, name: str, address: str) -> str:
        """The lines of a connection, and those of the IKE SAs with an address."""
        lines = [line for number in self._numbers.get(address, ()) for line in self._by_number[number]]
        return "\n".join([*self._by_name.get(name, ()), *lines])


class Charon:
    """The daemon, as long as the ``with`` statement runs."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        self._lock = threading.Lock()
        self._story = Story()
        self.certificates = folder / "ours"
        self._process: subprocess.Popen[bytes] | None = None
        for name in FOLDERS:
            (folder / name).mkdir(parents=True)
        issue(folder, self.certificates)
        self._settings = folder / "strongswan.conf"
        self._settings.write_text(SETTINGS.format(daemon=DAEMON, folder=folder, plugins=PLUGINS))

    def __enter__(self) -> Self:
        command = ["env", f"STRONGSWAN_CONF={self._settings}", DAEMON]
        with (self._folder / "output").open("wb") as output:
            self._process = subprocess.Popen(
                self._network.command("theirs", command), stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            wait_for("charon opens its socket", (self._folder / "vici").exists)
            # A device that loses its last address, as a virtual one, loses its routes with it.
            self._network.run("theirs", ["ip", "address", "add", "10.1.255.1/32", "dev", "ipsec0"])
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)

    @property
    def keys_log(self) -> Path:
        """The log of level 4, with the keys."""
        return self._folder / "keys.log"

    def load(self, connections: Section, secrets: Section, pools: Section) -> str:
        """Load everything at once. Raises subprocess errors."""
        file = self._folder / "swanctl.conf"
        file.write_text(written({"connections": connections, "secrets": secrets, "pools": pools}) + "\n")
        return self.ask("--load-all", "--file", str(file))

    def ask(self, *arguments: str, check: bool = True) -> str:
        """Run swanctl; what it printed. Raises subprocess errors where ``check`` wants success."""
        done = subprocess.run(
            self._swanctl(*arguments),
            check=check,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=60,
        )
        return done.stdout + done.stderr

    def _swanctl(self, *arguments: str) -> list[str]:
        place = ["--uri", f"unix://{self._folder}/vici"]
        return ["env", f"STRONGSWAN_CONF={self._settings}", "swanctl", *arguments, *place]

    def begin(self, name: str) -> subprocess.Popen[bytes]:
        """Let charon initiate a connection; swanctl waits until it is up or has failed."""
        return subprocess.Popen(
            [*self._swanctl("--initiate", "--child", name, "--timeout", str(int(PATIENCE)))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def story(self, name: str, address: str) -> str:
        """What the daemon logged of one connection, and of SAs with an address before it knew the connection."""
        with self._lock:
            self._story.read_on(self._folder / "story.log")
            return self._story.of(name, address)

    def wait_for(self, name: str, address: str, pattern: str) -> None:
        """Wait until the log of a connection has a line with a pattern. Raises NotHappenedError."""
        wait_for(f"charon logs {pattern}", lambda: re.search(pattern, self.story(name, address)))
