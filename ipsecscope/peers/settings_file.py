"""The settings file of a live peer: its tables and keys, and the one-line error that names file, key and expectation."""

from __future__ import annotations

import re
import tomllib
from typing import Literal

import msgspec

from ipsecscope.peers.config import EapMethod, Limits, Mode, Patience, RedirectAt, TlsVersion
from ipsecscope.peers.entropy import SECOND
from ipsecscope.peers.ikev1.config import PhaseOneMode, UnreadableAnswer

MAX_SETTINGS = 1024 * 1024  # octets of a settings file
LAST_PORT = 65_535

_PATIENCE, _LIMITS = Patience(), Limits()


class SettingsFileError(Exception):
    """A settings file that cannot be used. ``str()`` is one line: file, key, what was expected."""

    def __init__(self, file: str, key: str, expected: str) -> None:
        super().__init__(f"{file}: {key}: {expected}" if key else f"{file}: {expected}")
        self.file = file
        self.key = key
        self.expected = expected


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: keys that nobody knows are errors. Values are not shown: some are secret."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class Local(Section, frozen=True):
    """Our own end."""

    address: str = "127.0.0.1"
    port: int = 500
    nat_port: int = 4500
    id: str = ""
    auth: str = "psk"
    certificates: list[str] = []
    private_key: str = ""
    networks: list[str] = []
    request_address: bool = False


class Remote(Section, frozen=True):
    """The other end."""

    address: str = "127.0.0.1"
    port: int = 500
    nat_port: int = 4500
    id: str = ""
    auth: list[str] = []
    authorities: list[str] = []
    networks: list[str] = []
    addresses: list[str] = []
    dns: list[str] = []


class Secrets(Section, frozen=True):
    """What is shared; ``…_file`` and ``…_env`` say where it is instead of what it is."""

    psk: str = ""
    psk_file: str = ""
    psk_env: str = ""
    psks: dict[str, str] = {}
    users: dict[str, str] = {}
    ppk_id: str = ""
    ppk: str = ""
    ppk_required: bool = False


class Eap(Section, frozen=True):
    """EAP: what a client proves itself with, and the methods in order."""

    methods: tuple[EapMethod, ...] = (EapMethod.MSCHAPV2,)
    newest_tls: TlsVersion = TlsVersion.TLS_1_3
    user: str = ""
    password: str = ""
    password_file: str = ""
    password_env: str = ""


class Xauth(Section, frozen=True):
    """XAUTH and mode configuration of IKEv1."""

    enabled: bool = False
    user: str = ""
    password: str = ""
    password_file: str = ""
    password_env: str = ""
    push: bool = False


class Ike(Section, frozen=True):
    """The IKE SA."""

    proposals: list[str] = []
    mode: PhaseOneMode = PhaseOneMode.MAIN
    accepts: tuple[PhaseOneMode, ...] = (PhaseOneMode.MAIN, PhaseOneMode.AGGRESSIVE)
    fragmentation: bool = True
    fragment_size: int = 1200
    nat_detection: bool = True
    force_encapsulation: bool = True
    mobike: bool = False
    childless: bool = False
    initial_contact: bool = False
    vendor_ids: list[str] = []
    follow_redirects: bool = False
    redirect_to: str = ""
    redirect_at: RedirectAt = RedirectAt.IKE_SA_INIT
    unreadable_answer: UnreadableAnswer = UnreadableAnswer.ENCRYPTED
    rekey_s: float = 0.0
    lifetime_s: int = 0


class Child(Section, frozen=True):
    """The Child SAs."""

    esp: list[str] = []
    ah: list[str] = []
    mode: Mode = Mode.TUNNEL
    pfs: str = ""
    commit_bit: bool = False
    rekey_s: float = 0.0
    lifetime_s: int = 0


class PatienceSection(Section, frozen=True):
    """How long to wait for what, in seconds."""

    retransmit_after_s: float = _PATIENCE.retransmit_after / SECOND
    factor: float = _PATIENCE.factor
    retransmissions: int = _PATIENCE.retransmissions
    half_open_s: float = _PATIENCE.half_open / SECOND
    dpd_after_s: float = 0.0
    keepalive_after_s: float = _PATIENCE.keepalive_after / SECOND


class LimitsSection(Section, frozen=True):
    """What a responder bears from strangers."""

    cookies_from: int = _LIMITS.cookies_from
    cookies_per_source: int = _LIMITS.cookies_per_source
    half_open: int = _LIMITS.half_open
    half_open_per_source: int = _LIMITS.half_open_per_source
    ike_sas: int = _LIMITS.ike_sas
    children_per_sa: int = _LIMITS.children_per_sa
    amplification: float = _LIMITS.amplification


class SettingsFile(Section, frozen=True):
    """A whole file."""

    version: Literal[1, 2] = 2
    name: str = "peer"
    local: Local = Local()
    remote: Remote = Remote()
    secrets: Secrets = Secrets()
    eap: Eap = Eap()
    xauth: Xauth = Xauth()
    ike: Ike = Ike()
    child: Child = Child()
    patience: PatienceSection = PatienceSection()
    limits: LimitsSection = LimitsSection()


def parse_file(text: str, name: str) -> SettingsFile:
    """The tables of a file. Raises SettingsFileError."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise SettingsFileError(name, "", f"no TOML: {why}") from None
    try:
        return msgspec.convert(values, SettingsFile)
    except msgspec.ValidationError as why:
        key, expected = _explained(str(why))
        raise SettingsFileError(name, key, expected) from None


_AT = re.compile(r" - at `\$\.?(?P<key>[^`]*)`$")
_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*)`")


def _explained(sentence: str) -> tuple[str, str]:
    """The key that a message of msgspec is about, and what is expected there."""
    found = _AT.search(sentence)
    key = found["key"] if found else ""
    sentence = _AT.sub("", sentence)
    table, _, field = key.partition("[")[0].partition(".")
    unknown = _UNKNOWN.fullmatch(sentence)
    if unknown is not None:
        known = ", ".join(_fields(table))
        return ".".join(filter(None, (key, unknown["field"]))), f"no such key; expected one of {known}"
    words = _words(table, field)
    return key, f"{sentence}; expected {', '.join(words)}" if words and "enum" in sentence else sentence


def _fields(table: str) -> tuple[str, ...]:
    kind = type(getattr(SettingsFile(), table)) if table else SettingsFile
    return tuple(field.name for field in msgspec.structs.fields(kind))


def _words(table: str, field: str) -> list[str]:
    """The words that a key takes."""
    kinds = {
        ("eap", "methods"): EapMethod,
        ("eap", "newest_tls"): TlsVersion,
        ("ike", "redirect_at"): RedirectAt,
        ("child", "mode"): Mode,
        ("ike", "mode"): PhaseOneMode,
        ("ike", "accepts"): PhaseOneMode,
        ("ike", "unreadable_answer"): UnreadableAnswer,
    }
    found = {("version", ""): ["1", "2"]}.get((table, field))
    return found or [str(word) for word in kinds.get((table, field), ())]
