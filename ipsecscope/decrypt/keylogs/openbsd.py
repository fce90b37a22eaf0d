"""OpenBSD: ``ipsecctl -s sa -k``, and the older ``-v`` dump with ``key_auth`` and ``key_encrypt``.

The lines of one SA are joined by a backslash, or stand under its first line with a tab.
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
from ipsecscope.decrypt.keylogs.text import MAX_LINE_LENGTH, Line
from ipsecscope.decrypt.keys import SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

HEAD = re.compile(r"\s*(?:@\d+ )?(esp|ah) (?:(tunnel|transport|beet) )?from (\S+) to (\S+) spi (0x[0-9a-fA-F]{1,8})\b")
AUTH = re.compile(r"\bauth ([\w-]+)")
ENC = re.compile(r"\benc ([\w-]+)")
AUTH_KEY = re.compile(r"\bauthkey (\S+)|\bkey_auth: bits \d+: ?(\S+)")
ENC_KEY = re.compile(r"\benckey (\S+)|\bkey_encrypt: bits \d+: ?(\S+)")
ESN = re.compile(r"\besn\b|flags=\S*<[^>]*\besn\b", re.IGNORECASE)

MARK = r"^\s*(?:@\d+ )?(?:esp|ah) (?:(?:tunnel|transport|beet) )?from \S+ to \S+ spi 0x[0-9a-fA-F]"


@importer("openbsd", "OpenBSD ipsecctl -s sa -k", MARK, advice="run ipsecctl -s sa -k as root")
def read_openbsd(reading: Reading) -> None:
    """Read every SA."""
    for line in _records(reading.text.unwrapped()):
        with reading.line(line.number):
            found = HEAD.match(line.text)
            if found is not None:
                _read_sa(reading, line, found)


def _records(lines: list[Line]) -> list[Line]:
    records: list[Line] = []
    for line in lines:
        if HEAD.match(line.text):
            records.append(line)
        elif records and line.text[:1].isspace() and len(records[-1].text) < MAX_LINE_LENGTH:
            records[-1] = Line(records[-1].number, f"{records[-1].text} {line.text.strip()}")
    return records


def _read_sa(reading: Reading, line: Line, found: re.Match[str]) -> None:
    text = line.text.replace("\\", " ")
    protocol = protocol_of(found[1])
    assert protocol is not None
    mac, cipher = AUTH.search(text), ENC.search(text)
    mac_key, key = _key(AUTH_KEY.search(text)), _key(ENC_KEY.search(text))
    if not key and not mac_key:
        raise KeyLineError("this SA has no keys; run ipsecctl with -k")
    encryption = with_key_bits(encryption_named(cipher[1]), key) if cipher else None
    is_aead = encryption is not None and encryption.row is not None and encryption.row.is_aead
    reading.add(
        SaKeys(
            origin=reading.origin(line.number),
            protocol=protocol,
            spi=sa_spi(found[5]),
            src=address_of(found[3]),
            dst=address_of(found[4]),
            encryption=encryption if protocol == SecurityProtocol.ESP else None,
            encryption_key=key,
            integrity=None if is_aead else integrity_named(mac[1] if mac else "none"),
            integrity_key=Secret(b"") if is_aead else mac_key,
            esn=True if ESN.search(text) else None,
            mode=found[2] or "",
        )
    )


def _key(found: re.Match[str] | None) -> Secret:
    return secret_of(found[1] or found[2]) if found else Secret(b"")
