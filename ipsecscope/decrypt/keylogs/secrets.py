"""Secrets typed by hand: ``NAME = VALUE`` lines, and the lines of strongSwan's and libreswan's ``ipsec.secrets``.

::

    psk = "correct horse"            # or 0x… or hex:…
    psk moon.example sun.example = "correct horse"
    ppk = 0x3031…                    ppk NAME = …
    msk = 0x…
    dh  = 0x…                        # the shared secret; dh SPI_I SPI_R = 0x… for one IKE SA
    kem = 0x…                        # of ML-KEM; child-dh SPI = 0x… for a child SA with PFS
    moon.example sun.example : PSK "correct horse"
    : PPK "…"

A value in quotes is its characters, behind ``0x`` or ``hex:`` hexadecimal, behind ``0s`` or ``base64:`` base64, and
anything else its characters.
"""

from __future__ import annotations

import base64
import binascii
import re

from ipsecscope.decrypt.keylogs.reading import (
    HIDDEN,
    MAX_SECRET,
    HiddenKeyError,
    KeyLineError,
    Reading,
    checked_name,
    group_named,
    ike_spi,
    sa_spi,
    secret_of,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import Msk, Ppk, PreSharedKey, SecretKind, SharedSecret
from ipsecscope.decrypt.secret import Secret

TYPED = re.compile(r"\s*(psk|ppk|msk|dh|kem|child-dh|child-kem)((?:\s+[^\s=\"']+){0,8})\s*=\s*(.*)$", re.IGNORECASE)
IPSEC_SECRETS = re.compile(r"\s*((?:[^\s\"'#]+\s+){0,16}):\s*(PSK|PPK)\s+(.*)$")
TRIED = re.compile(r"\s*(?:psk|ppk|msk|dh|kem|child-dh|child-kem)\b", re.IGNORECASE)
SPI = re.compile(r"(?:0x)?[0-9a-fA-F]{1,16}", re.IGNORECASE)
QUOTED = re.compile(r"(\"[^\"]*\"|'[^']*'|\"[^\"]*$|'[^']*$)")

MARK = (
    r"(?i:^\s*(?:psk|ppk|msk|dh|kem|child-dh|child-kem)(?:[ \t]+[^\s=\"']+){0,8}[ \t]*=[ \t]*\S)"
    r"|^(?:[^\s\"'#|\[\]]+[ \t]+){0,16}:[ \t]*(?:PSK|PPK)[ \t]"
)


@importer("secrets", "secrets typed by hand, ipsec.secrets", MARK)
def read_secrets(reading: Reading) -> None:
    """Read every line; lines of other kinds (private keys, passwords) are passed over."""
    for line in reading.text.lines:
        if line.text.lstrip().startswith("#"):
            continue
        with reading.line(line.number):
            if found := TYPED.match(line.text):
                _read_typed(reading, line.number, found[1].lower(), found[2].split(), typed_value(found[3]))
            elif found := IPSEC_SECRETS.match(line.text):
                _read_typed(reading, line.number, found[2].lower(), found[1].split(), typed_value(found[3]))
            elif TRIED.match(line.text):
                raise KeyLineError("a secret is written NAME = VALUE")


def typed_value(text: str) -> Secret:
    """A secret as it may be typed. Raises KeyLineError, HiddenKeyError."""
    text = text.strip()
    if text[:1] in ("'", '"'):
        quoted = QUOTED.match(text)
        if quoted is None or len(quoted[0]) < 2 or quoted[0][-1] != text[0]:
            raise KeyLineError("the closing quote of the secret is missing")
        return _sized(quoted[0][1:-1].encode())
    text = text.partition(" #")[0].strip()
    if HIDDEN.fullmatch(text):
        raise HiddenKeyError
    for mark in ("0x", "0X", "hex:"):
        if text.startswith(mark):
            return _sized(secret_of(text[len(mark) :]).reveal())
    for mark in ("0s", "base64:"):
        if text.startswith(mark):
            return _base64(text[len(mark) :])
    return _sized(text.encode())


def _base64(text: str) -> Secret:
    try:
        return _sized(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as wrong:
        if isinstance(wrong, KeyLineError):
            raise
    raise KeyLineError("the secret is not base64")


def _sized(octets: bytes) -> Secret:
    if not octets:
        raise KeyLineError("the secret is empty")
    if len(octets) > MAX_SECRET:
        raise KeyLineError(f"the secret is longer than {MAX_SECRET} octets")
    return Secret(octets)


def _read_typed(reading: Reading, number: int, kind: str, words: list[str], value: Secret) -> None:
    origin = reading.origin(number)
    if kind == "psk":
        ids = tuple(checked_name(word) for word in words)
        reading.add(PreSharedKey(origin=origin, value=value, ids=ids))
    elif kind == "ppk":
        reading.add(Ppk(origin=origin, value=value, ppk_id=checked_name(" ".join(words))))
    elif kind == "msk":
        reading.add(Msk(origin=origin, value=value, ids=tuple(checked_name(word) for word in words)))
    else:
        _read_shared_secret(reading, number, kind, words, value)


def _read_shared_secret(reading: Reading, number: int, kind: str, words: list[str], value: Secret) -> None:
    """A shared secret with hints: SPIs of the IKE SA, or of the child; and the group, by name."""
    is_kem = kind.endswith("kem")
    groups = [word for word in words if is_group(word)]
    spis = [word for word in words if word not in groups]
    if len(spis) > 2:
        raise KeyLineError("a shared secret has at most two SPIs")
    is_child = kind.startswith("child")
    ike = [] if is_child else [ike_spi(spi) for spi in spis]
    reading.add(
        SharedSecret(
            origin=reading.origin(number),
            value=value,
            kind=SecretKind.KEM if is_kem else SecretKind.DH,
            group=group_named(groups[0]) if groups else None,
            spi_i=ike[0] if ike else None,
            spi_r=ike[1] if len(ike) > 1 else None,
            child_spis=tuple(spi for spi in (sa_spi(word) for word in spis) if spi is not None) if is_child else (),
        )
    )


def is_group(word: str) -> bool:
    """Whether a word is the name of a key exchange method."""
    return SPI.fullmatch(word) is None and group_named(word).id is not None
