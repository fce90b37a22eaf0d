"""What SWu-IKEv2 and its relatives (VoWiFi, ePDG test clients) print: ``NAME hex``, one value per line.

Their tables for Wireshark below are read as Wireshark's. The algorithms are not among these lines: the record has
none, and what is derived from SK_d finds them in the capture. CK and IK of EAP-AKA are not used.
"""

from __future__ import annotations

import re
from typing import Any

from ipsecscope.decrypt.keylogs.reading import Reading, ike_spi, secret_of
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import IkeV2Keys, Msk, SharedSecret
from ipsecscope.decrypt.secret import Secret

LINE = re.compile(
    r"\s*(SKEYSEED|SK_(?:D|AI|AR|EI|ER|PI|PR)|IKE SPI (?:INITIATOR|RESPONDER)|MSK|DIFFIE-HELLMAN KEY)\s*[:=]?\s+(\S+)\s*$"
)
SMALL = re.compile(r"\s*(?:ike_)?(sk_(?:d|ai|ar|ei|er|pi|pr))\s*[:=]\s*(\S+)\s*$")

MARK = r"^\s*SK_(?:D|AI|AR|EI|ER)[ \t]*[:=]?[ \t]+[0-9a-fA-F]{16,}[ \t]*$|^\s*ike_sk_(?:d|ai|ar|ei|er)[ \t]*[:=]"


class _Session:
    """The values of one IKE SA."""

    def __init__(self) -> None:
        self.line = 0
        self.keys: dict[str, Any] = {}
        self.spi_i: bytes | None = None
        self.spi_r: bytes | None = None
        self.secret: Secret | None = None
        self.msk: tuple[int, Secret] | None = None


@importer("swu", "SWu-IKEv2 (VoWiFi) output", MARK)
def read_swu(reading: Reading) -> None:
    """Read every session; a value that comes a second time begins the next one."""
    session = _Session()
    for line in reading.text.unwrapped():
        found = LINE.match(line.text) or SMALL.match(line.text)
        if found is None:
            continue
        name = found[1].lower()
        with reading.line(line.number):
            if name in session.keys or (name == "diffie-hellman key" and session.keys):
                _finish(reading, session)
                session = _Session()
            session.line = session.line or line.number
            _take(session, line.number, name, found[2])
    _finish(reading, session)


def _take(session: _Session, number: int, name: str, value: str) -> None:
    if name == "ike spi initiator":
        session.spi_i = ike_spi(value)
    elif name == "ike spi responder":
        session.spi_r = ike_spi(value)
    elif name == "msk":
        session.msk = (number, secret_of(value))
    elif name == "diffie-hellman key":
        session.secret = secret_of(value)
    else:
        session.keys[name] = secret_of(value)


def _finish(reading: Reading, session: _Session) -> None:
    if session.keys:
        reading.add(
            IkeV2Keys(origin=reading.origin(session.line), spi_i=session.spi_i, spi_r=session.spi_r, **session.keys)
        )
    if session.secret is not None:
        reading.add(
            SharedSecret(
                origin=reading.origin(session.line), value=session.secret, spi_i=session.spi_i, spi_r=session.spi_r
            )
        )
    if session.msk is not None:
        number, value = session.msk
        reading.add(Msk(origin=reading.origin(number), value=value, spi_i=session.spi_i, spi_r=session.spi_r))
