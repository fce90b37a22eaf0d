"""Keys, certificates and passwords of a settings file: read where the file says they are, and never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ipsecscope.decrypt.secret import Secret
from ipsecscope.peers.config import SettingError
from ipsecscope.peers.settings_file import SettingsFileError
from ipsecscope.peers.signatures import load_private_key

MAX_PEM = 256 * 1024


class Material:
    """What other files and the environment hold that one settings file names; relative names start in ``folder``."""

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self._name = name
        self._folder = folder
        self._environment = environment

    def secret(self, key: str, literal: str, file: str, variable: str) -> Secret:
        """A secret that is written out, or in a file, or in an environment variable. Raises SettingsFileError."""
        if sum(map(bool, (literal, file, variable))) > 1:
            raise SettingsFileError(self._name, key, f"expected once: as {key}, {key}_file or {key}_env")
        if file:
            return secret_of(self._octets(f"{key}_file", file).rstrip(b"\r\n"))
        if variable:
            value = self._environment.get(variable)
            if not value:
                raise SettingsFileError(self._name, f"{key}_env", f"there is no environment variable {variable}")
            return secret_of(value.encode("utf-8", "surrogateescape"))
        return secret_of(literal.encode())

    def certificates(self, key: str, names: Sequence[str]) -> tuple[bytes, ...]:
        """X.509 certificates as DER, of files in PEM or DER. Raises SettingsFileError."""
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
        return tuple(found)

    def private_key(self, key: str, name: str) -> Secret:
        """A private key as PKCS #8 in DER, of a file in PEM or DER. Raises SettingsFileError."""
        from cryptography.hazmat.primitives.serialization import (
            Encoding,
            NoEncryption,
            PrivateFormat,
            load_der_private_key,
            load_pem_private_key,
        )

        octets = self._octets(key, name)
        load = load_pem_private_key if b"-----BEGIN" in octets else load_der_private_key
        try:
            loaded = load(octets, None)
            der = Secret(loaded.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
            load_private_key(der)
        except (ValueError, TypeError, SettingError):
            wanted = f"{name} is no unencrypted private key of RSA, ECDSA or EdDSA"
            raise SettingsFileError(self._name, key, wanted) from None
        return der

    def _octets(self, key: str, name: str) -> bytes:
        try:
            with (self._folder / name).open("rb") as file:
                octets = file.read(MAX_PEM + 1)
        except OSError as why:
            raise SettingsFileError(self._name, key, f"{name} cannot be read: {why.strerror}") from None
        if len(octets) > MAX_PEM:
            raise SettingsFileError(self._name, key, f"{name} is longer than {MAX_PEM} octets")
        return octets


def secret_of(octets: bytes) -> Secret:
    """A secret from text, or from hexadecimal digits behind ``0x``."""
    if octets[:2] in (b"0x", b"0X"):
        try:
            return Secret.from_hex(octets.decode("ascii"))
        except ValueError:
            pass  # then it is a secret that begins with 0x
    return Secret(octets)
