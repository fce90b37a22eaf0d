"""A peer's configuration from a TOML file. Every error names the file, the key and what was expected.

version = 2
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
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from ipsecscope.decrypt.algorithms import AlgorithmError, UnknownAlgorithmError
from ipsecscope.decrypt.groups import group_by_name
from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.config import (
    DEFAULT_ESP,
    DEFAULT_IKE,
    NULL_IDENTITY,
    AuthMethod,
    Credentials,
    EapMethod,
    Identity,
    Limits,
    Offer,
    Patience,
    PeerConfig,
    Pool,
    Ppk,
    SettingError,
)
from ipsecscope.peers.entropy import Instant, seconds
from ipsecscope.peers.ikev1.config import (
    DEFAULT_PHASE_1,
    DEFAULT_PHASE_2,
    PHASE_1_LIFETIME,
    PHASE_2_LIFETIME,
    Ikev1Config,
    Method,
    PhaseOneOffer,
    PhaseTwoOffer,
)
from ipsecscope.peers.selectors import RangeSelector, SelectorError, parse_selector
from ipsecscope.peers.settings_file import LAST_PORT, MAX_SETTINGS, SettingsFile, SettingsFileError, parse_file
from ipsecscope.peers.settings_material import Material, secret_of

LONGEST: Instant = seconds(100 * 365 * 86_400)  # a span of time that a file may ask for

_T = TypeVar("_T")
_Word = TypeVar("_Word", bound=StrEnum)

SIGNING = (AuthMethod.RSA, AuthMethod.ECDSA, AuthMethod.SIGNATURE, AuthMethod.SIGNATURE_PSS)


def read_settings(path: Path | str, environment: Mapping[str, str] | None = None) -> PeerConfig | Ikev1Config:
    """The configuration that a file describes; ``environment`` is where secrets may be. Raises SettingsFileError, OSError."""
    place = Path(path)
    with place.open("rb") as file:
        octets = file.read(MAX_SETTINGS + 1)
    if len(octets) > MAX_SETTINGS:
        raise SettingsFileError(str(place), "", f"at most {MAX_SETTINGS} octets are expected")
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise SettingsFileError(str(place), "", "UTF-8 is expected") from None
    return parse_settings(text, str(place), place.parent, environment)


def parse_settings(
    text: str, name: str = "<settings>", folder: Path | None = None, environment: Mapping[str, str] | None = None
) -> PeerConfig | Ikev1Config:
    """The same from text; ``folder`` is where relative names of certificates and keys start. Raises SettingsFileError."""
    file = parse_file(text, name)
    reading = _Reading(file, Material(name, folder or Path(), environment or {}), name)
    return reading.ikev1() if file.version == 1 else reading.ikev2()


class _Reading:
    """One file while its values are turned into a configuration."""

    def __init__(self, file: SettingsFile, material: Material, name: str) -> None:
        self._file = file
        self._material = material
        self._name = name

    # -- IKEv2 --------------------------------------------------------------------------------------------------

    def ikev2(self) -> PeerConfig:
        """The configuration of an IKEv2 peer."""
        file = self._file
        local, remote, ike = file.local, file.remote, file.ike
        for key, value in (("ike.lifetime_s", ike.lifetime_s), ("child.lifetime_s", file.child.lifetime_s)):
            if value:
                raise self._error(key, "IKEv2 agrees on no lifetimes; rekey_s is expected")
        if file.secrets.psks:
            raise self._error("secrets.psks", "with IKEv2 secrets.psk is expected")
        self._check_ends()
        offers = self._each("child.esp", file.child.esp, lambda text: Offer.esp(self._with_pfs(text)))
        offers += self._each("child.ah", file.child.ah, lambda text: Offer.ah(self._with_pfs(text)))
        if file.child.pfs and not offers:
            raise self._error("child.pfs", "proposals are expected beside it, as child.esp or child.ah")
        return PeerConfig(
            name=file.name,
            address=local.address,
            remote_address=remote.address,
            port=local.port,
            nat_port=local.nat_port,
            remote_port=remote.port,
            remote_nat_port=remote.nat_port,
            local_id=self._take("local.id", lambda: Identity.parse(local.id or local.address)),
            remote_id=self._take("remote.id", lambda: Identity.parse(remote.id)) if remote.id else None,
            credentials=self._credentials(),
            remote_methods=tuple(self._word("remote.auth", word, AuthMethod) for word in remote.auth),
            psk=self._psk(),
            authorities=self._material.certificates("remote.authorities", remote.authorities),
            users=self._users(),
            eap_methods=tuple(file.eap.methods),
            newest_tls=file.eap.newest_tls,
            ike_proposals=self._each("ike.proposals", ike.proposals, Offer.ike) or DEFAULT_IKE,
            child_proposals=offers or DEFAULT_ESP,
            local_ts=self._networks("local.networks", local.networks),
            remote_ts=self._networks("remote.networks", remote.networks),
            mode=file.child.mode,
            request_virtual_ip=local.request_address,
            pool=self._pool(),
            childless=ike.childless,
            fragmentation=ike.fragmentation,
            fragment_size=ike.fragment_size,
            nat_detection=ike.nat_detection,
            force_encapsulation=ike.force_encapsulation,
            mobike=ike.mobike,
            initial_contact=ike.initial_contact,
            vendor_ids=self._vendor_ids(),
            follow_redirects=ike.follow_redirects,
            redirect_to=ike.redirect_to,
            redirect_at=ike.redirect_at,
            ppk=self._ppk(),
            patience=self._patience(),
            limits=self._limits(),
        )

    def _with_pfs(self, text: str) -> str:
        """A proposal with the group of ``child.pfs`` behind it."""
        pfs = self._file.child.pfs
        return f"{text} {pfs}" if pfs else text

    def _credentials(self) -> Credentials:
        local, eap = self._file.local, self._file.eap
        method = self._word("local.auth", local.auth, AuthMethod)
        signs_in_tls = method == AuthMethod.EAP and eap.methods[:1] == (EapMethod.TLS,)
        if method in SIGNING or signs_in_tls:
            self._needs_key(method)
        if method == AuthMethod.EAP and not (eap.user and eap.methods):
            raise self._error("eap.user", 'a user is expected with local.auth = "eap"')
        return Credentials(
            method=method,
            private_key=self._private_key(),
            certificates=self._material.certificates("local.certificates", local.certificates),
            eap_method=eap.methods[0] if eap.methods else EapMethod.MSCHAPV2,
            user=eap.user,
            password=self._material.secret("eap.password", eap.password, eap.password_file, eap.password_env),
        )

    def _ppk(self) -> Ppk | None:
        secrets = self._file.secrets
        if bool(secrets.ppk) != bool(secrets.ppk_id):
            raise self._error("secrets.ppk", "ppk and ppk_id are expected together")
        if not secrets.ppk:
            return None
        return Ppk(secrets.ppk_id.encode(), secret_of(secrets.ppk.encode()), secrets.ppk_required)

    # -- IKEv1 --------------------------------------------------------------------------------------------------

    def ikev1(self) -> Ikev1Config:
        """The configuration of an IKEv1 peer."""
        file = self._file
        local, remote, ike, child, xauth = file.local, file.remote, file.ike, file.child, file.xauth
        self._check_ends()
        method = self._word("local.auth", local.auth, Method)
        if method is Method.RSA:
            self._needs_key(method)
        lives = child.lifetime_s or PHASE_2_LIFETIME
        texts = [*child.esp, *(f"AH {text}" for text in child.ah)]
        offers = self._each(
            "child.esp" if child.esp else "child.ah",
            texts,
            lambda text: PhaseTwoOffer.parse(self._with_pfs(text), lifetime_s=lives),
        )
        if child.pfs and not offers:
            raise self._error("child.pfs", "proposals are expected beside it, as child.esp or child.ah")
        return Ikev1Config(
            name=file.name,
            address=local.address,
            remote_address=remote.address,
            port=local.port,
            nat_port=local.nat_port,
            remote_port=remote.port,
            remote_nat_port=remote.nat_port,
            local_id=self._take("local.id", lambda: Identity.parse(local.id)) if local.id else NULL_IDENTITY,
            remote_id=self._take("remote.id", lambda: Identity.parse(remote.id)) if remote.id else None,
            method=method,
            psk=self._psk(),
            psks=tuple((name, secret_of(word.encode())) for name, word in file.secrets.psks.items()),
            private_key=self._private_key(),
            certificates=self._material.certificates("local.certificates", local.certificates),
            authorities=self._material.certificates("remote.authorities", remote.authorities),
            mode=ike.mode,
            accepts=tuple(ike.accepts),
            phase_1=self._each(
                "ike.proposals",
                ike.proposals,
                lambda text: PhaseOneOffer.parse(text, lifetime_s=ike.lifetime_s or PHASE_1_LIFETIME),
            )
            or DEFAULT_PHASE_1,
            phase_2=offers or DEFAULT_PHASE_2,
            local_ts=self._networks("local.networks", local.networks),
            remote_ts=self._networks("remote.networks", remote.networks),
            child_mode=child.mode,
            xauth=xauth.enabled,
            user=xauth.user,
            password=self._material.secret("xauth.password", xauth.password, xauth.password_file, xauth.password_env),
            users=self._users(),
            request_config=local.request_address,
            push_config=xauth.push,
            pool=self._pool(),
            nat_traversal=Ikev1Config().nat_traversal if ike.nat_detection else (),
            force_encapsulation=ike.force_encapsulation and ike.nat_detection,
            fragmentation=ike.fragmentation,
            fragment_size=ike.fragment_size,
            initial_contact=ike.initial_contact,
            vendor_ids=self._vendor_ids(),
            commit_bit=child.commit_bit,
            unreadable_answer=ike.unreadable_answer,
            patience=self._patience(),
            limits=self._limits(),
        )

    # -- both ---------------------------------------------------------------------------------------------------

    def _error(self, key: str, expected: str) -> SettingsFileError:
        return SettingsFileError(self._name, key, expected)

    def _take(self, key: str, read: Callable[[], _T]) -> _T:
        """A value, or the error that names its key."""
        try:
            return read()
        except (SettingError, SelectorError, UnknownAlgorithmError, AlgorithmError) as why:
            raise self._error(key, str(why)) from None

    def _each(self, key: str, texts: Iterable[str], read: Callable[[str], _T]) -> tuple[_T, ...]:
        return tuple(self._take(key, lambda text=text: read(text)) for text in texts)  # type: ignore[misc]

    def _word(self, key: str, word: str, words: type[_Word]) -> _Word:
        try:
            return words(word)
        except ValueError:
            version = self._file.version
            raise self._error(key, f'"{word}" is not one of {", ".join(words)}, which IKEv{version} has') from None

    def _check_ends(self) -> None:
        local, remote = self._file.local, self._file.remote
        for key, address in (("local.address", local.address), ("remote.address", remote.address)):
            self._address(key, address)
        ends = {"local.port": local.port, "local.nat_port": local.nat_port}
        ends |= {"remote.port": remote.port, "remote.nat_port": remote.nat_port}
        for key, port in ends.items():
            if not 0 <= port <= LAST_PORT:
                raise self._error(key, "a port from 0 to 65535 is expected")
        if local.port and local.port == local.nat_port:
            raise self._error("local.nat_port", "another port than local.port is expected")
        if ipaddress.ip_address(local.address).version != ipaddress.ip_address(remote.address).version:
            raise self._error("remote.address", f"an address of the IP version of {local.address} is expected")
        if self._file.child.pfs:
            self._take("child.pfs", lambda: group_by_name(self._file.child.pfs))

    def _address(self, key: str, text: str) -> str:
        try:
            return str(ipaddress.ip_address(text))
        except ValueError:
            raise self._error(key, f'"{text}" is no IP address') from None

    def _networks(self, key: str, networks: list[str]) -> tuple[RangeSelector, ...]:
        return self._each(key, networks, parse_selector)

    def _pool(self) -> Pool:
        remote = self._file.remote
        return Pool(
            tuple(self._address("remote.addresses", each) for each in remote.addresses),
            tuple(self._address("remote.dns", each) for each in remote.dns),
        )

    def _psk(self) -> Secret:
        secrets, local = self._file.secrets, self._file.local
        psk = self._material.secret("secrets.psk", secrets.psk, secrets.psk_file, secrets.psk_env)
        if local.auth == AuthMethod.PSK and not (psk or secrets.psks):
            raise self._error("secrets.psk", 'a pre-shared key is expected with local.auth = "psk"')
        return psk

    def _vendor_ids(self) -> tuple[bytes, ...]:
        return self._each("ike.vendor_ids", self._file.ike.vendor_ids, _octets)

    def _users(self) -> tuple[tuple[str, Secret], ...]:
        return tuple((user, Secret(word.encode())) for user, word in self._file.secrets.users.items())

    def _needs_key(self, method: StrEnum) -> None:
        local = self._file.local
        if not (local.private_key and local.certificates):
            wanted = f'a private key and certificates are expected with local.auth = "{method}"'
            raise self._error("local.private_key", wanted)

    def _private_key(self) -> Secret:
        name = self._file.local.private_key
        return self._material.private_key("local.private_key", name) if name else Secret(b"")

    def _patience(self) -> Patience:
        file = self._file
        patience = file.patience
        return Patience(
            retransmit_after=self._span("patience.retransmit_after_s", patience.retransmit_after_s),
            factor=patience.factor,
            retransmissions=patience.retransmissions,
            half_open=self._span("patience.half_open_s", patience.half_open_s),
            dpd_after=self._span("patience.dpd_after_s", patience.dpd_after_s),
            keepalive_after=self._span("patience.keepalive_after_s", patience.keepalive_after_s),
            ike_lifetime=self._span("ike.rekey_s", file.ike.rekey_s),
            child_lifetime=self._span("child.rekey_s", file.child.rekey_s),
        )

    def _span(self, key: str, value: float) -> Instant:
        """A span of time; 0 switches off."""
        if not 0 <= value <= LONGEST / seconds(1):
            raise self._error(key, "a number of seconds is expected, 0 or more")
        return seconds(value)

    def _limits(self) -> Limits:
        limits = self._file.limits
        facts = {name: getattr(limits, name) for name in limits.__struct_fields__}
        for name, value in facts.items():
            if value < 0:
                raise self._error(f"limits.{name}", "a number is expected, 0 or more")
        return Limits(**facts)


def _octets(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError:
        raise SettingError("hexadecimal digits are expected") from None
