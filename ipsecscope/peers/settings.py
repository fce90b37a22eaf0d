"""A peer's configuration from a TOML file. Every error names the file, the key and what was expected.

name = "gateway"
[local]
address = "127.0.0.1"
id = "gateway.example"
auth = "psk"
networks = ["10.1.0.0/16"]
[remote]
address = "127.0.0.2"
id = "client.example"
networks = ["10.2.0.0/16"]
[secrets]
psk = "correct horse battery staple"
[ike]
proposals = ["ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519"]
[child]
esp = ["ENCR_AES_GCM_16-256"]
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from ipsecscope.decrypt.algorithms import AlgorithmError, UnknownAlgorithmError
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.config import (
    DEFAULT_ESP,
    DEFAULT_IKE,
    AuthMethod,
    Credentials,
    EapMethod,
    Identity,
    Mode,
    Offer,
    Patience,
    PeerConfig,
    Pool,
    Ppk,
    SettingError,
)
from ipsecscope.peers.entropy import seconds
from ipsecscope.peers.selectors import RangeSelector, SelectorError, parse_selector
from ipsecscope.peers.signatures import load_private_key

MAX_SETTINGS = 1024 * 1024  # octets of a settings file
MAX_PEM = 256 * 1024

_T = TypeVar("_T")
_WORDS: dict[str, type[StrEnum]] = {
    "local.auth": AuthMethod,
    "remote.auth": AuthMethod,
    "eap.methods": EapMethod,
    "child.mode": Mode,
}
_AT = re.compile(r" - at `\$\.?(?P<key>[^`]*)`$")


class SettingsFileError(Exception):
    """A settings file that cannot be used. ``str()`` is one line: file, key, what was expected."""

    def __init__(self, file: str, key: str, expected: str) -> None:
        super().__init__(f"{file}: {key}: {expected}" if key else f"{file}: {expected}")
        self.file = file
        self.key = key
        self.expected = expected


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of the file: keys that nobody knows are errors."""


class _Local(_Section, frozen=True):
    address: str = "127.0.0.1"
    port: int = 500
    nat_port: int = 4500
    id: str = ""
    auth: AuthMethod = AuthMethod.PSK
    certificates: list[str] = []
    private_key: str = ""
    networks: list[str] = []
    request_address: bool = False


class _Remote(_Section, frozen=True):
    address: str = "127.0.0.1"
    id: str = ""
    auth: list[AuthMethod] = []
    authorities: list[str] = []
    networks: list[str] = []
    addresses: list[str] = []
    dns: list[str] = []


class _SecretsSection(_Section, frozen=True):
    psk: str = ""
    users: dict[str, str] = {}
    ppk_id: str = ""
    ppk: str = ""
    ppk_required: bool = False

    def __repr__(self) -> str:
        return "_SecretsSection(…)"


class _Eap(_Section, frozen=True):
    methods: tuple[EapMethod, ...] = (EapMethod.MSCHAPV2,)
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"_Eap(methods={self.methods}, …)"


class _Ike(_Section, frozen=True):
    proposals: list[str] = []
    fragmentation: bool = True
    fragment_size: int = 1200
    nat_detection: bool = True
    force_encapsulation: bool = False
    mobike: bool = False
    childless: bool = False
    lifetime_s: float = 0.0


class _Child(_Section, frozen=True):
    esp: list[str] = []
    ah: list[str] = []
    mode: Mode = Mode.TUNNEL
    lifetime_s: float = 0.0


class _Patience(_Section, frozen=True):
    retransmit_after_s: float = 2.0
    factor: float = 2.0
    retransmissions: int = 4
    dpd_after_s: float = 0.0
    keepalive_after_s: float = 20.0


class _File(_Section, frozen=True):
    name: str = "peer"
    local: _Local = _Local()
    remote: _Remote = _Remote()
    secrets: _SecretsSection = _SecretsSection()
    eap: _Eap = _Eap()
    ike: _Ike = _Ike()
    child: _Child = _Child()
    patience: _Patience = _Patience()


def read_settings(path: Path | str) -> PeerConfig:
    """The configuration that a file describes. Raises SettingsFileError, OSError."""
    place = Path(path)
    with place.open("rb") as file:
        octets = file.read(MAX_SETTINGS + 1)
    if len(octets) > MAX_SETTINGS:
        raise SettingsFileError(str(place), "", f"at most {MAX_SETTINGS} octets are expected")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SettingsFileError(str(place), "", "UTF-8 is expected") from None
    return parse_settings(text, str(place), place.parent)


def parse_settings(text: str, name: str = "<settings>", folder: Path | None = None) -> PeerConfig:
    """The same from text; ``folder`` is where relative names of certificates and keys start. Raises SettingsFileError."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as why:
        raise SettingsFileError(name, "", f"no TOML: {why}") from None
    try:
        file = msgspec.convert(values, _File)
    except msgspec.ValidationError as why:
        found = _AT.search(str(why))
        key, sentence = found["key"] if found else "", _AT.sub("", str(why))
        words = _WORDS.get(key.partition("[")[0])
        if words is not None and "enum" in sentence:
            sentence += f"; expected {', '.join(words)}"
        raise SettingsFileError(name, key, sentence) from None
    return _Reading(name, folder or Path(), file).config()


class _Reading:
    """One file while its values are turned into a configuration."""

    def __init__(self, name: str, folder: Path, file: _File) -> None:
        self._name = name
        self._folder = folder
        self._file = file

    def _take(self, key: str, read: Callable[[], _T]) -> _T:
        """A value, or the error that names its key."""
        try:
            return read()
        except (SettingError, SelectorError, UnknownAlgorithmError, AlgorithmError) as why:
            raise SettingsFileError(self._name, key, str(why)) from None

    def config(self) -> PeerConfig:
        """The whole configuration."""
        file = self._file
        local, remote, ike, patience = file.local, file.remote, file.ike, file.patience
        for key, address in (("local.address", local.address), ("remote.address", remote.address)):
            self._address(key, address)
        for key, port in (("local.port", local.port), ("local.nat_port", local.nat_port)):
            if not 0 <= port < 65_536:
                raise SettingsFileError(self._name, key, "a port from 0 to 65535 is expected")
        offers = [self._take("child.esp", lambda text=text: Offer.esp(text)) for text in file.child.esp]  # type: ignore[misc]
        offers += [self._take("child.ah", lambda text=text: Offer.ah(text)) for text in file.child.ah]  # type: ignore[misc]
        proposals = [self._take("ike.proposals", lambda text=text: Offer.ike(text)) for text in ike.proposals]  # type: ignore[misc]
        return PeerConfig(
            name=file.name,
            address=local.address,
            remote_address=remote.address,
            port=local.port,
            nat_port=local.nat_port,
            local_id=self._take("local.id", lambda: Identity.parse(local.id or local.address)),
            remote_id=self._take("remote.id", lambda: Identity.parse(remote.id)) if remote.id else None,
            credentials=self._credentials(),
            remote_methods=tuple(remote.auth),
            psk=_secret(file.secrets.psk),
            authorities=tuple(self._certificates("remote.authorities", remote.authorities)),
            users=tuple((user, Secret(word.encode())) for user, word in file.secrets.users.items()),
            eap_methods=tuple(file.eap.methods),
            ike_proposals=tuple(proposals) or DEFAULT_IKE,
            child_proposals=tuple(offers) or DEFAULT_ESP,
            local_ts=self._networks("local.networks", local.networks),
            remote_ts=self._networks("remote.networks", remote.networks),
            mode=file.child.mode,
            request_virtual_ip=local.request_address,
            pool=Pool(
                tuple(self._address("remote.addresses", each) for each in remote.addresses),
                tuple(self._address("remote.dns", each) for each in remote.dns),
            ),
            childless=ike.childless,
            fragmentation=ike.fragmentation,
            fragment_size=ike.fragment_size,
            nat_detection=ike.nat_detection,
            force_encapsulation=ike.force_encapsulation,
            mobike=ike.mobike,
            ppk=self._ppk(),
            patience=Patience(
                retransmit_after=seconds(patience.retransmit_after_s),
                factor=patience.factor,
                retransmissions=patience.retransmissions,
                dpd_after=seconds(patience.dpd_after_s),
                keepalive_after=seconds(patience.keepalive_after_s),
                ike_lifetime=seconds(ike.lifetime_s),
                child_lifetime=seconds(file.child.lifetime_s),
            ),
        )

    def _address(self, key: str, text: str) -> str:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise SettingsFileError(self._name, key, f'"{text}" is no IP address') from None

    def _networks(self, key: str, networks: list[str]) -> tuple[RangeSelector, ...]:
        return tuple(self._take(key, lambda text=text: parse_selector(text)) for text in networks)  # type: ignore[misc]

    def _ppk(self) -> Ppk | None:
        secrets = self._file.secrets
        if bool(secrets.ppk) != bool(secrets.ppk_id):
            raise SettingsFileError(self._name, "secrets.ppk", "ppk and ppk_id are expected together")
        return Ppk(secrets.ppk_id.encode(), _secret(secrets.ppk), secrets.ppk_required) if secrets.ppk else None

    def _credentials(self) -> Credentials:
        local, eap = self._file.local, self._file.eap
        if local.auth == AuthMethod.PSK and not self._file.secrets.psk:
            raise SettingsFileError(self._name, "secrets.psk", 'a pre-shared key is expected with local.auth = "psk"')
        signs = local.auth in (AuthMethod.RSA, AuthMethod.ECDSA, AuthMethod.SIGNATURE, AuthMethod.SIGNATURE_PSS)
        signs |= local.auth == AuthMethod.EAP and eap.methods[:1] == (EapMethod.TLS,)  # inside TLS
        if signs and not (local.private_key and local.certificates):
            wanted = f'a private key and certificates are expected with local.auth = "{local.auth}"'
            raise SettingsFileError(self._name, "local.private_key", wanted)
        if local.auth == AuthMethod.EAP and not (eap.user and eap.methods):
            raise SettingsFileError(self._name, "eap.user", 'a user is expected with local.auth = "eap"')
        return Credentials(
            method=local.auth,
            private_key=self._private_key(local.private_key) if signs else Secret(b""),
            certificates=tuple(self._certificates("local.certificates", local.certificates)),
            eap_method=eap.methods[0] if eap.methods else EapMethod.MSCHAPV2,
            user=eap.user,
            password=Secret(eap.password.encode()),
        )

    def _octets(self, key: str, name: str) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                octets = file.read(MAX_PEM + 1)
        except OSError as why:
            raise SettingsFileError(self._name, key, f"{name} cannot be read: {why.strerror}") from None
        if len(octets) > MAX_PEM:
            raise SettingsFileError(self._name, key, f"{name} is longer than {MAX_PEM} octets")
        return octets

    def _certificates(self, key: str, names: list[str]) -> list[bytes]:
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import Encoding

        found: list[bytes] = []
        for name in names:
            octets = self._octets(key, name)
            try:
                read = x509.load_pem_x509_certificates(octets) if b"-----BEGIN" in octets else None
                loaded = read or [x509.load_der_x509_certificate(octets)]
            except ValueError:
                raise SettingsFileError(self._name, key, f"{name} is no certificate in PEM or DER") from None
            found += [each.public_bytes(Encoding.DER) for each in loaded]
        return found

    def _private_key(self, name: str) -> Secret:
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_der_private_key,
            load_pem_private_key,
        )

        octets = self._octets("local.private_key", name)
        load = load_pem_private_key if b"-----BEGIN" in octets else load_der_private_key
        try:
            key = load(octets, None)
            der = Secret(key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
            load_private_key(der)
        except (ValueError, TypeError, SettingError):
            raise SettingsFileError(
                self._name, "local.private_key", f"{name} is no unencrypted private key of RSA, ECDSA or EdDSA"
            ) from None
        return der


def _secret(text: str) -> Secret:
    """A secret from text, or from hexadecimal digits behind ``0x``."""
    if text[:2] in ("0x", "0X"):
        try:
            return Secret.from_hex(text)
        except ValueError:
            pass  # then it is a secret that begins with 0x
    return Secret(text.encode())
