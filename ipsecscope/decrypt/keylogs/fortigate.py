"""FortiGate: ``diagnose vpn tunnel list`` (ESP keys) and ``diagnose vpn ike gateway list`` (IKE keys).

In the tunnel list ``name=`` has local and remote address, ``dec`` is inbound and ``enc`` outbound. In the gateway list
keys are in groups of eight octets with hyphens between, and the SPIs in the ``id/spi`` line.
"""

from __future__ import annotations

import re
from typing import Any

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError
from ipsecscope.decrypt.keylogs.reading import (
    HiddenKeyError,
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    ike_spi,
    integrity_named,
    prf_named,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import (
    Direction,
    Encapsulation,
    IkeV1Keys,
    IkeV2Keys,
    NamedEncryption,
    NamedIntegrity,
    NamedPrf,
    Role,
    SaKeys,
)
from ipsecscope.decrypt.secret import Secret

NAME = re.compile(r"\s*name=(.+?) ver=(\d)\b.*?\s(\S+:\d{1,5})->(\S+:\d{1,5})(?:\s|$)")
NATT = re.compile(r"\s*natt: mode=(\w+).*?\bremote_port=(\d{1,5})")
SA = re.compile(r"\s*SA:? .*?\besn=([01])\b")
CIPHER = re.compile(r"\s*(dec|enc): ?spi=(\w+) esp=(\S+) key=(\d{1,4})\s*(\S*)\s*$")
MAC = re.compile(r"\s*ah=(\S+) key=(\d{1,4})\s*(\S*)\s*$")
ID_SPI = re.compile(r"\s*id/spi: \d+ ([0-9a-fA-F]{16})/([0-9a-fA-F]{16})\s*$")
FIELD = re.compile(r"\s*(direction|proposal|key|SK_[a-z]{1,2}): (\S.*?)\s*$", re.IGNORECASE)

MARK = (
    r"^\s*(?:dec|enc): ?spi=[0-9a-fA-F]+ esp="
    r"|^\s*id/spi: \d+ [0-9a-fA-F]{16}/[0-9a-fA-F]{16}"
    r"|^\s*name=\S+ ver=\d serial="
)


class _Tunnel:
    """The part of the tunnel list that is being read."""

    def __init__(self) -> None:
        self.local = self.remote = ""
        self.ports = (0, 0)
        self.is_udp = False
        self.esn: bool | None = None
        self.half: tuple[int, Direction, str, NamedEncryption, Secret] | None = None


class _Gateway:
    """The gateway that is being read."""

    def __init__(self, line: int, spi_i: bytes | None, spi_r: bytes | None) -> None:
        self.line, self.spi_i, self.spi_r = line, spi_i, spi_r
        self.role: Role | None = None
        self.proposal = ""
        self.keys: dict[str, Secret] = {}


@importer(
    "fortigate",
    "FortiGate diagnose vpn tunnel list / ike gateway list",
    MARK,
    advice="run the command as super_admin",
)
def read_fortigate(reading: Reading) -> None:
    """Read both lists, in any order, one behind the other or alone."""
    tunnel = _Tunnel()
    gateway: _Gateway | None = None
    for line in reading.text.unwrapped():
        with reading.line(line.number):
            if found := ID_SPI.match(line.text):
                _finish_gateway(reading, gateway)
                gateway = _Gateway(line.number, ike_spi(found[1]), ike_spi(found[2]))
            elif gateway is not None and (found := FIELD.match(line.text)):
                _read_field(gateway, found[1].lower(), found[2])
            elif found := NAME.match(line.text):
                tunnel = _Tunnel()
                tunnel.local, tunnel.remote = found[3], found[4]
            else:
                _read_tunnel_line(reading, tunnel, line.number, line.text)
    _finish_gateway(reading, gateway)


# -- ESP ---------------------------------------------------------------------------------------------------------


def _read_tunnel_line(reading: Reading, tunnel: _Tunnel, number: int, text: str) -> None:
    if found := CIPHER.match(text):
        tunnel.half = None
        key = _sized(found[5], int(found[4]))
        direction = Direction.INBOUND if found[1] == "dec" else Direction.OUTBOUND
        encryption = with_key_bits(encryption_named(found[3]), key)
        tunnel.half = (number, direction, found[2], encryption, key)
    elif found := MAC.match(text):
        _add_sa(reading, tunnel, found[1], _sized(found[3], int(found[2])))
    elif found := SA.match(text):
        tunnel.esn = found[1] == "1"
    elif found := NATT.match(text):
        tunnel.is_udp = found[1] not in ("none", "disable")
        tunnel.ports = (0, int(found[2]))


def _sized(text: str, size: int) -> Secret:
    """A key of which the line tells the length. Raises KeyLineError, HiddenKeyError."""
    if not size:
        return Secret(b"")
    if not text:
        raise HiddenKeyError
    key = secret_of(text)
    if len(key) != size:
        raise KeyLineError(f"the key has {len(key)} octets where the line says {size}")
    return key


def _add_sa(reading: Reading, tunnel: _Tunnel, name: str, key: Secret) -> None:
    half, tunnel.half = tunnel.half, None
    if half is None:
        return
    number, direction, spi, encryption, cipher_key = half
    is_aead = encryption.row is not None and encryption.row.is_aead
    integrity = None if is_aead else integrity_named("none" if name == "null" else name)
    ends = [address_of(end.rpartition(":")[0]) if end else None for end in (tunnel.local, tunnel.remote)]
    src, dst = ends if direction is Direction.OUTBOUND else reversed(ends)
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            spi=sa_spi(spi, base=16),
            src=src,
            dst=dst,
            encryption=encryption,
            encryption_key=cipher_key,
            integrity=integrity,
            integrity_key=Secret(b"") if is_aead else key,
            esn=tunnel.esn,
            encapsulation=Encapsulation("udp", *tunnel.ports) if tunnel.is_udp else None,
            direction=direction,
        )
    )


# -- IKE ---------------------------------------------------------------------------------------------------------


def _read_field(gateway: _Gateway, name: str, value: str) -> None:
    if name == "direction":
        gateway.role = Role(value) if value in ("initiator", "responder") else None
    elif name == "proposal":
        gateway.proposal = value
    else:
        gateway.keys[name] = secret_of(value)


def _finish_gateway(reading: Reading, gateway: _Gateway | None) -> None:
    if gateway is None or not gateway.keys:
        return
    keys = gateway.keys
    with reading.line(gateway.line):
        encryption, integrity, prf = _proposal(gateway.proposal)
        first = keys.get("sk_ei") or keys.get("key")
        if encryption is not None and first is not None:
            encryption = with_key_bits(encryption, first)
        if "key" in keys:
            reading.add(
                IkeV1Keys(
                    origin=reading.origin(gateway.line),
                    cookie_i=gateway.spi_i,
                    cookie_r=gateway.spi_r,
                    ka=keys["key"],
                    encryption=encryption,
                    hash=prf,
                    role=gateway.role,
                )
            )
            return
        sk: dict[str, Any] = {name: key for name, key in keys.items() if name in IkeV2Keys.__struct_fields__}
        reading.add(
            IkeV2Keys(
                origin=reading.origin(gateway.line),
                spi_i=gateway.spi_i,
                spi_r=gateway.spi_r,
                encryption=encryption,
                integrity=integrity,
                prf=prf,
                role=gateway.role,
                **sk,
            )
        )


def _proposal(text: str) -> tuple[NamedEncryption | None, NamedIntegrity | None, NamedPrf | None]:
    """The parts of a proposal such as ``aes128-sha1`` or ``aes256gcm-prfsha384``."""
    cipher, _, rest = text.partition("-")
    if not cipher:
        return None, None, None
    encryption = encryption_named(cipher)
    prf = prf_named(rest) if rest else None
    try:
        return encryption, integrity_named(rest) if rest else None, prf
    except UnknownAlgorithmError:  # an AEAD has "prfsha256" there
        return encryption, None, prf
