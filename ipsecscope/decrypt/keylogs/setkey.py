"""``setkey -D`` of FreeBSD, NetBSD, macOS, pfSense and OPNsense, and the ``add`` commands of a setkey file.

A record begins with ``SRC[port] DST[port]`` at the start of a line. ``E:`` and ``A:`` have an algorithm and the key in
groups of four octets; the key of an AEAD ends with its salt and there is no ``A:``.
"""

from __future__ import annotations

import re

from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    integrity_named,
    protocol_of,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import Encapsulation, NamedEncryption, NamedIntegrity, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

ENDS = re.compile(
    r"(?=\S*[.:])([0-9a-fA-F:.]+)(?:%\w+)?(?:\[(\d{1,5})\])? ([0-9a-fA-F:.]+)(?:%\w+)?(?:\[(\d{1,5})\])?\s*$"
)
PROTOCOL = re.compile(r"\s+(esp|ah|esp-udp|esp-old|ah-old) mode=(\S+) spi=(\d{1,10})(?:\((0x[0-9a-f]{1,8})\))?")
ALGORITHM = re.compile(r"\s+([EA]): (\S+)\s*(.*)$")
MORE_KEY = re.compile(r"\s*((?:[0-9a-fA-F]{8}\s+)*[0-9a-fA-F]{2,8})\s*$")
ADD = re.compile(r"\s*add\s+(?:-[46n]+\s+)*(\S+)\s+(\S+)\s+(esp|ah|esp-udp|esp-old|ah-old)\s+(\w+)\s+(.*)$")
WORD = re.compile(r'"[^"]*"|[^\s;]+')
MAX_COMMAND_LINES = 16

MARK = (
    r"^[ \t]+(?:esp|ah|esp-udp|esp-old|ah-old) mode=\S+ spi=\d+"
    r"|^\s*add\s+(?:-[46n]+\s+)*\S+\s+\S+\s+(?:esp|ah|esp-udp|esp-old|ah-old)\s+\w+"
)


class _Sa:
    """One SA while its lines are read."""

    def __init__(self, line: int, ends: re.Match[str]) -> None:
        self.line, self.ends = line, ends
        self.protocol: SecurityProtocol | None = None
        self.spi = self.mode = ""
        self.is_udp = False
        self.cipher: tuple[int, str, str] | None = None  # line, name, digits
        self.mac: tuple[int, str, str] | None = None
        self.last = ""


@importer("setkey", "setkey -D, and setkey's own files", MARK, advice="run setkey -D as root")
def read_setkey(reading: Reading) -> None:
    """Read the dump of SAs, and ``add`` commands."""
    current: _Sa | None = None
    for line in reading.text.lines:
        if ends := ENDS.match(line.text):
            _finish(reading, current)
            current = _Sa(line.number, ends)
        elif current is not None:
            _read_attribute(current, line.number, line.text)
    _finish(reading, current)
    _read_commands(reading)


def _read_attribute(sa: _Sa, number: int, text: str) -> None:
    if found := PROTOCOL.match(text):
        sa.protocol = protocol_of(found[1])
        sa.is_udp = found[1] == "esp-udp"
        sa.mode, sa.spi, sa.last = found[2], found[3], ""
    elif found := ALGORITHM.match(text):
        sa.last = found[1]
        if found[1] == "E":
            sa.cipher = (number, found[2], found[3])
        else:
            sa.mac = (number, found[2], found[3])
    elif sa.last and (found := MORE_KEY.match(text)):
        if sa.last == "E" and sa.cipher:
            sa.cipher = (*sa.cipher[:2], sa.cipher[2] + found[1])
        elif sa.mac:
            sa.mac = (*sa.mac[:2], sa.mac[2] + found[1])
    else:
        sa.last = ""


def _finish(reading: Reading, sa: _Sa | None) -> None:
    if sa is None or sa.protocol is None:
        return
    if sa.cipher is None and sa.mac is None:
        reading.note(sa.line, "this SA has no keys")
        return
    number = (sa.cipher or sa.mac or (sa.line,))[0]
    with reading.line(number):
        key = _digits(sa.cipher[2]) if sa.cipher else Secret(b"")
        encryption = with_key_bits(encryption_named(sa.cipher[1]), key) if sa.cipher else None
        ports = (int(sa.ends[2] or 0), int(sa.ends[4] or 0))
        reading.add(
            SaKeys(
                origin=reading.origin(sa.line),
                protocol=sa.protocol,
                spi=sa_spi(sa.spi),
                src=address_of(sa.ends[1]),
                dst=address_of(sa.ends[3]),
                encryption=encryption if sa.protocol == SecurityProtocol.ESP else None,
                encryption_key=key,
                integrity=_integrity(encryption, sa.mac[1] if sa.mac else "none"),
                integrity_key=_digits(sa.mac[2]) if sa.mac else Secret(b""),
                mode=sa.mode if sa.mode != "any" else "",
                encapsulation=Encapsulation("udp", *ports) if sa.is_udp or any(ports) else None,
            )
        )


def _digits(text: str) -> Secret:
    return secret_of(text) if text.strip() else Secret(b"")


def _integrity(encryption: NamedEncryption | None, name: str) -> NamedIntegrity | None:
    is_aead = encryption is not None and encryption.row is not None and encryption.row.is_aead
    return None if is_aead else integrity_named(name)


def _read_commands(reading: Reading) -> None:
    """The ``add`` commands of a file for ``setkey -f``; one ends with a semicolon, maybe some lines below."""
    lines = reading.text.lines
    for index, line in enumerate(lines):
        if not ADD.match(line.text):
            continue
        command = line.text
        for more in lines[index + 1 : index + MAX_COMMAND_LINES]:
            if ";" in command:
                break
            command += " " + more.text
        found = ADD.match(command)
        if found is not None:
            with reading.line(line.number):
                _read_command(reading, line.number, found)


def _read_command(reading: Reading, number: int, found: re.Match[str]) -> None:
    words = WORD.findall(found[5].partition(";")[0])
    options = {word: index for index, word in enumerate(words) if word in ("-m", "-E", "-A")}
    encryption: NamedEncryption | None = None
    integrity: NamedIntegrity | None = None
    cipher_key = mac_key = Secret(b"")
    if "-E" in options:
        name, cipher_key = _algorithm(words, options["-E"])
        encryption = with_key_bits(encryption_named(name), cipher_key)
    if "-A" in options:
        name, mac_key = _algorithm(words, options["-A"])
        integrity = integrity_named(name)
    protocol = protocol_of(found[3])
    assert protocol is not None
    if encryption is None and integrity is None:
        raise KeyLineError("an add command without -E and -A")
    at = options.get("-m")
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            protocol=protocol,
            spi=sa_spi(found[4]),
            src=address_of(found[1]),
            dst=address_of(found[2]),
            encryption=encryption,
            encryption_key=cipher_key,
            integrity=integrity or _integrity(encryption, "none"),
            integrity_key=mac_key,
            mode=words[at + 1] if at is not None and at + 1 < len(words) else "",
        )
    )


def _algorithm(words: list[str], at: int) -> tuple[str, Secret]:
    """Name and key behind ``-E`` or ``-A``: a quoted string is its characters."""
    name = words[at + 1] if at + 1 < len(words) else ""
    text = words[at + 2] if at + 2 < len(words) else ""
    if text.startswith('"'):
        return name, Secret(text.strip('"').encode())
    return name, secret_of(text) if text.startswith(("0x", "0X")) else Secret(b"")
