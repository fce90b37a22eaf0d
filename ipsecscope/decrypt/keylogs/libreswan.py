"""The log of pluto, libreswan's daemon, with ``plutodebug=private``.

Keys of ESP and AH are hex dumps before the ``add_sa()`` line that has SPI, addresses and algorithms. Of the IKE keys
only SK_pi and SK_pr are dumped (the others stay in NSS); where a version prints ``ikev2 I …`` lines, these are
tcpdump's form and read as such.
"""

from __future__ import annotations

import re

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError
from ipsecscope.decrypt.keylogs.reading import (
    COOKIE_SIZE,
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    integrity_named,
    sa_spi,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import (
    Direction,
    Encapsulation,
    IkeV2Keys,
    NamedEncryption,
    NamedIntegrity,
    SaKeys,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

ENTRY = re.compile(r"(?:^|\s)\|\s(.*)$")
LABEL = re.compile(r"(ESP|AH) (?:enckey|encrypt key|authkey|integrity key):$")
SK_P = re.compile(r"chunk_(SK_p[ir]) extracted len (\d{1,3}) bytes")
UNWRAPPED = re.compile(r"unwrapped:$")
DUMP_LINE = re.compile(r"  ((?:[0-9a-f]{2} {1,2}){0,15}[0-9a-f]{2})(?:\s|$)")
SPI_LINE = re.compile(r"\s+(initiator|responder) SPI: ((?:[0-9a-f]{2}\s+){7}[0-9a-f]{2})$")
ADD_SA = re.compile(
    r"add_sa\(\) .*?\b(inbound|outbound) (\w+) .*?->([0-9a-fA-F:.]+)\[([0-9a-f]{1,8})\]=+(?:(\w+)=+)?>([0-9a-fA-F:.]+?)-\S*->\S+ (.*)$"
)
ALGORITHM = re.compile(r"([A-Z][A-Z0-9_]+):\d+")

MARK = r"\| (?:(?:ESP|AH) (?:enckey|encrypt key|authkey|integrity key):|chunk_SK_p[ir] |kernel: |releasing whack |State DB: )"


class _Pluto:
    """Follows the log: dumps wait for the line that says what they are for."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.line = 0
        self.keys: dict[str, bytearray] = {}
        self.protocol = ""
        self.open: bytearray | None = None
        self.open_sk: tuple[str, int] | None = None
        self.sk: dict[str, bytearray] = {}
        self.sk_sizes: dict[str, int] = {}
        self.sk_line = 0
        self.spis: dict[str, bytes] = {}

    def hear(self, number: int, text: str) -> None:
        """Take in one line, from behind its bar."""
        if self.open is not None:
            if found := DUMP_LINE.match(text):
                self.open += bytes.fromhex(found[1])
                return
            self.open = None
            self._settle_sk()
        if found := LABEL.match(text):
            self._open_key(number, found)
        elif found := SK_P.match(text):
            self.open_sk = (found[1].lower(), int(found[2]))
        elif self.open_sk and UNWRAPPED.match(text):
            name, size = self.open_sk
            self.open_sk = None
            self.open = self.sk[name] = bytearray()
            self.sk_sizes[name] = size
            self.sk_line = self.sk_line or number
        elif found := SPI_LINE.match(text):
            self.spis[found[1]] = bytes.fromhex(found[2])
        elif found := ADD_SA.search(text):
            self._add_sa(found)

    def _open_key(self, number: int, found: re.Match[str]) -> None:
        kind = "encryption" if "enc" in found[0] else "integrity"
        if not self.keys or kind in self.keys:
            self.keys.clear()
            self.line = number
        self.protocol = found[1]
        self.open = self.keys[kind] = bytearray()

    def _settle_sk(self) -> None:
        """SK_pi and SK_pr make a record when both are there."""
        if len(self.sk) < 2:
            return
        sk, self.sk = self.sk, {}
        line, self.sk_line = self.sk_line, 0
        for name, octets in sk.items():
            if len(octets) != self.sk_sizes[name]:
                self.reading.problem(line, f"the dump of {name} has {len(octets)} of {self.sk_sizes[name]} octets")
                return
        spi_i, spi_r = self.spis.get("initiator"), self.spis.get("responder")
        self.reading.add(
            IkeV2Keys(
                origin=self.reading.origin(line),
                spi_i=spi_i,
                spi_r=spi_r if spi_r != bytes(COOKIE_SIZE) else None,
                sk_pi=Secret(sk["sk_pi"]),
                sk_pr=Secret(sk["sk_pr"]),
            )
        )

    def _add_sa(self, found: re.Match[str]) -> None:
        keys, self.keys = self.keys, {}
        if not keys:
            return
        direction, mode, src, spi, encapsulation, dst, rest = found.groups()
        encryption, integrity = _algorithms(rest)
        is_ah = self.protocol == "AH"
        encryption_key = Secret(keys.get("encryption", b""))
        if not is_ah and encryption is None:
            raise KeyLineError("the add_sa() line behind these keys names no cipher")
        self.reading.add(
            SaKeys(
                origin=self.reading.origin(self.line),
                protocol=SecurityProtocol.AH if is_ah else SecurityProtocol.ESP,
                spi=sa_spi(spi, base=16),
                src=address_of(src),
                dst=address_of(dst),
                encryption=with_key_bits(encryption, encryption_key) if encryption else None,
                encryption_key=encryption_key,
                integrity=None if encryption and encryption.row and encryption.row.is_aead else integrity,
                integrity_key=Secret(keys.get("integrity", b"")),
                esn="+esn" in rest.split(),
                mode=mode,
                encapsulation=Encapsulation("tcp" if "tcp" in encapsulation.lower() else "udp")
                if encapsulation
                else None,
                direction=Direction(direction),
            )
        )


def _algorithms(text: str) -> tuple[NamedEncryption | None, NamedIntegrity | None]:
    encryption: NamedEncryption | None = None
    integrity: NamedIntegrity | None = None
    for name in ALGORITHM.findall(text):
        try:
            encryption = encryption_named(name) if name != "NONE" else encryption
        except UnknownAlgorithmError:
            integrity = integrity_named(name)
    return encryption, integrity


@importer(
    "libreswan",
    "log of libreswan's pluto (plutodebug=private)",
    MARK,
    advice='set plutodebug="base,crypt,private" (not in FIPS mode)',
)
def read_libreswan(reading: Reading) -> None:
    """Read the keys of every ESP and AH SA, and SK_pi and SK_pr."""
    pluto = _Pluto(reading)
    before = len(reading.records)
    for line in reading.text.lines:
        found = ENTRY.search(line.text)
        if found is not None:
            with reading.line(line.number):
                pluto.hear(line.number, found[1])
    pluto.hear(0, "")
    if len(reading.records) == before:
        reading.note(0, 'this log of pluto holds no keys; they are logged with plutodebug="base,crypt,private"')
