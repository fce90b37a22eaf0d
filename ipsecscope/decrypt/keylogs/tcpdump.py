"""tcpdump: the string of ``-E``, and the secrets file that ``-E "file NAME"`` reads.

``SPI@ADDRESS ALGORITHM[-hmac96]:SECRET`` for ESP and ``ikev2 I|R SPI SPI MAC:KEY CIPHER:KEY`` for one direction of an
IKE SA. A secret is hexadecimal behind ``0x``, else it is its characters. The MAC has no key there, so 96 bits of ICV
are cut off unverified. pluto logs the IKE form too.
"""

from __future__ import annotations

import re

from msgspec.structs import replace

from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    ike_spi,
    integrity_named,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import IkeV2Keys, SaKeys
from ipsecscope.decrypt.secret import Secret

ESP = re.compile(r"^(0x[0-9a-fA-F]+|\d+)@(\S+)\s+([A-Za-z0-9][\w-]*):(\S+)$")
IKE = re.compile(r"\bikev2 ([IR]) (\w+) (\w+) ([\w-]+):(\S*) ([\w-]+):(\S+)\s*$")
TRIED = re.compile(r"^(?:0x[0-9a-fA-F]+|\d+)@|\bikev2 [IR] ")
HMAC = re.compile(r"-hmac(?:-?96)?$")
OPTION = re.compile(r"^.*?-E\s+|[\"']")
DIGITS_AT_END = re.compile(r"^([a-z]+)(128|192|256)(-cbc)?$")

MARK = r"@[0-9a-fA-F:.]+[ \t]+[A-Za-z0-9][A-Za-z0-9-]*:\S|ikev2 [IR] 0x[0-9a-fA-F]"


@importer("tcpdump", "tcpdump -E string or secrets file", MARK)
def read_tcpdump(reading: Reading) -> None:
    """Read ESP secrets, and put the two directions of IKE SAs together."""
    halves: dict[tuple[bytes | None, bytes | None], IkeV2Keys] = {}
    for line in reading.text.lines:
        if line.text.lstrip().startswith("#"):
            continue
        for part in _parts(line.text):
            if TRIED.search(part):
                with reading.line(line.number):
                    _read_part(reading, line.number, part, halves)
    for record in halves.values():
        reading.add(record)


def _parts(text: str) -> list[str]:
    """The secrets of a line: several may stand there with commas between."""
    text = OPTION.sub("", text) if "-E" in text or '"' in text or "'" in text else text
    return [part.strip() for part in text.split(",")] if "@" in text else [text.strip()]


def _read_part(
    reading: Reading, number: int, part: str, halves: dict[tuple[bytes | None, bytes | None], IkeV2Keys]
) -> None:
    if found := IKE.search(part):
        _read_ike(reading, number, found, halves)
        return
    found = ESP.match(part)
    if found is None:
        raise KeyLineError("an ESP secret is SPI@ADDRESS ALGORITHM:SECRET")
    name = HMAC.sub("", found[3].lower())
    has_icv = name != found[3].lower()
    key = secret_of(found[4], may_be_text=True)
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            spi=sa_spi(found[1]),
            dst=address_of(found[2]),
            encryption=with_key_bits(encryption_named(_cipher(name)), key),
            encryption_key=key,
            integrity=integrity_named("ANY 96 bit authentication" if has_icv else "none"),
        )
    )


def _cipher(name: str) -> str:
    """OpenSSL's name, which tcpdump hands through, in the form that has the key size behind a hyphen."""
    found = DIGITS_AT_END.match(name)
    return f"{found[1]}-{found[2]}-cbc" if found else name


def _read_ike(
    reading: Reading,
    number: int,
    found: re.Match[str],
    halves: dict[tuple[bytes | None, bytes | None], IkeV2Keys],
) -> None:
    spis = (ike_spi(found[2]), ike_spi(found[3]))
    key = secret_of(found[7])
    encryption = with_key_bits(encryption_named(_cipher(found[6])), key)
    integrity = integrity_named(found[4]) if found[4] != "none" else None
    mac_key = secret_of(found[5]) if found[5] not in ("", "0x") else None
    record = halves.get(spis)
    fresh = IkeV2Keys(
        origin=reading.origin(number), spi_i=spis[0], spi_r=spis[1], encryption=encryption, integrity=integrity
    )
    side = found[1].lower()
    halves[spis] = replace(record or fresh, **_named(side, key, mac_key))


def _named(side: str, key: Secret, mac_key: Secret | None) -> dict[str, Secret | None]:
    return {f"sk_e{side}": key, f"sk_a{side}": mac_key}
