"""What charon's log calls things, and what is known of an SA or a thread while the log is read."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError
from ipsecscope.decrypt.keylogs.reading import encryption_named, group_named, integrity_named, prf_named
from ipsecscope.decrypt.keys import Direction, NamedEncryption, NamedGroup, NamedIntegrity, NamedPrf, Role
from ipsecscope.decrypt.secret import Secret

MSK = re.compile(r"EAP method \S+ succeeded, (no )?MSK established")
START = re.compile(r"(?:Starting (?:IKE )?charon|spawning \d+ worker threads)")
CHECKIN = re.compile(r"checkin IKEv[12] SA \S*\[(\d+)\] with SPIs ([0-9a-f]{16})_i ([0-9a-f]{16})_r")
CHECKOUT = re.compile(r"checkout ")
CREATED = re.compile(r"created IKE_SA \S+\[(\d+)\]")
PROPOSAL = re.compile(r"selected proposal: (IKE|ESP|AH):(\S+)$")
MESSAGE = re.compile(r"parsed ([A-Z_0-9]+) (request|response) ")
USING = re.compile(r"\s*using (\S+) for (encryption|integrity)$")
INSTALL = re.compile(r"(?:adding|registering|updating) (inbound|outbound) (ESP|AH) SA$")
SPI = re.compile(r"\s*SPI (0x[0-9a-f]{1,8}), src (\S+) dst (\S+)$")
PPK_ID = re.compile(r"using PPK for PPK_ID '([^']{1,256})'")
AUTHENTICATION = re.compile(r"authentication of '([^']{1,256})' (?:\(myself\) )?with (pre-shared key|EAP)")

# The exchanges whose messages make a daemon derive the keys of the exchange before; "" is a message not yet parsed.
FIRST_EXCHANGES = ("IKE_INTERMEDIATE", "IKE_AUTH", "")


OCTETS = "octets = message + nonce"
NATD = "natd_chunk"

# IKE: the names of dumps, and the fields they are. 5.9 says "shared Diffie Hellman secret", 6.0 "key exchange secret".
SK = {f"Sk_{x} secret": f"sk_{x}" for x in ("d", "ai", "ar", "ei", "er", "pi", "pr")}
SKEYID = {f"SKEYID{x}": f"skeyid{x}" for x in ("", "_d", "_a", "_e")} | {"encryption key Ka": "ka"}
MAIN_SECRETS = ("shared Diffie Hellman secret", "key exchange secret", "DH secret")
ADDITIONAL_SECRET = "additional key exchange secret"  # noqa: S105 (a label of the log)
PPK_NAMES = ("PPK", "derive keys using PPK")
PSK_NAME = "secret"
CHILD = {
    f"{kind} {role} key": (kind, Role(role))
    for kind in ("encryption", "integrity")
    for role in ("initiator", "responder")
}
ALL_DUMPS = {
    *SK,
    *SKEYID,
    *MAIN_SECRETS,
    ADDITIONAL_SECRET,
    *PPK_NAMES,
    PSK_NAME,
    *CHILD,
    "SKEYSEED",
    "nonces",
    "initial IV",
}


class Suite:
    """The algorithms of a selected proposal."""

    def __init__(self, names: str) -> None:
        self.encryption: NamedEncryption | None = None
        self.integrity: NamedIntegrity | None = None
        self.prf: NamedPrf | None = None
        self.groups: list[NamedGroup] = []
        self.esn: bool | None = None
        for name in names.split("/"):
            self._add(name)

    def _add(self, name: str) -> None:
        if name in ("EXT_SEQ", "NO_EXT_SEQ"):
            self.esn = name == "EXT_SEQ"
            return
        if name.startswith("PRF_"):
            self.prf = prf_named(name)
            return
        if name.startswith("KE") and "_" in name and name[2 : name.index("_")].isdecimal():
            self.groups.append(group_named(name.partition("_")[2]))
            return
        if self.encryption is None:
            with suppress(UnknownAlgorithmError):
                self.encryption = encryption_named(name)
                return
        if self.integrity is None:
            with suppress(UnknownAlgorithmError):
                self.integrity = integrity_named(name)
                return
        self.groups.append(group_named(name))

    def group(self, order: int) -> NamedGroup | None:
        """The key exchange method of the ``order``-th key exchange."""
        return self.groups[order] if order < len(self.groups) else None


class KeySet:
    """Keys of an IKE SA while they come in, and the shared secrets that made them."""

    def __init__(self, line: int, unique_id: str) -> None:
        self.line = line
        self.unique_id = unique_id
        self.fields: dict[str, Any] = {}  # each a Secret
        self.iv: bytes | None = None
        self.nonces: bytes | None = None
        self.secrets: list[tuple[int, Secret]] = []  # order among key exchanges, value
        self.suite: Suite | None = None
        self.role: Role | None = None
        self.exchange = ""
        self.uses_ppk = False
        self.is_ikev1 = False
        self.order = 0

    @property
    def has_keys(self) -> bool:
        """Whether there is more than shared secrets."""
        return bool(self.fields)


class Thread:
    """What one thread of the daemon is at."""

    def __init__(self) -> None:
        self.keys: KeySet | None = None  # being filled
        self.waiting: list[KeySet] = []  # filled, SPIs unknown
        self.exchange = ""
        self.role: Role | None = None
        self.spis: tuple[bytes | None, bytes | None] | None = None  # from dumps that hold an IKE header
        self.child: dict[tuple[str, Role], Secret] = {}
        self.child_line = 0
        self.child_names: dict[str, str] = {}
        self.child_secrets: list[Secret] = []
        self.child_spis: list[int] = []
        self.install: tuple[Direction, str] | None = None
        self.psk: tuple[int, Secret] | None = None

    def begin(self) -> None:
        """Forget the message of the work before."""
        self.exchange, self.role, self.spis = "", None, None
