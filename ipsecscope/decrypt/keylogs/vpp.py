"""VPP: ``show ikev2 sa details``. Prints SK_d and both nonces, so that everything below can be derived.

``i:`` and ``r:`` are the roles in the IKE SA; SPIs are hexadecimal without leading zeros.
"""

from __future__ import annotations

import re
from typing import Any

from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    group_named,
    ike_spi,
    integrity_named,
    octets_of,
    prf_named,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import IkeV2Keys, Role, SaKeys
from ipsecscope.decrypt.secret import Secret

HEAD = re.compile(r"\s*iip (\S+) ispi ([0-9a-f]{1,16}) rip (\S+) rspi ([0-9a-f]{1,16})\b")
SUITE = re.compile(r"\b(encr|prf|integ|dh-group|esn):(\S+)")
PAIR = re.compile(r"\s*(nonce|SK_[aep])\s+i:([0-9a-fA-F]*)\s*$")
SECOND = re.compile(r"\s*r:([0-9a-fA-F]*)\s*$")
SK_D = re.compile(r"\s*SK_d\s+([0-9a-fA-F]+)\s*$")
CHILD = re.compile(r"\s*child sa \d+:(.*)$")
SPIS = re.compile(r"\s*spi\(i\) ([0-9a-f]{1,8}) spi\(r\) ([0-9a-f]{1,8})\s*$")

MARK = r"^\s*iip \S+ ispi [0-9a-f]{1,16} rip \S+ rspi [0-9a-f]{1,16}"


class _Part:
    """An IKE SA or a child of one while its lines are read."""

    def __init__(self, line: int, head: re.Match[str]) -> None:
        self.line, self.head = line, head
        self.suite: dict[str, str] = {}
        self.values: dict[str, str] = {}
        self.spis: re.Match[str] | None = None
        self.first = ""


@importer("vpp", "VPP show ikev2 sa details", MARK, advice='use "show ikev2 sa details"')
def read_vpp(reading: Reading) -> None:
    """Read every IKE SA and its children."""
    part: _Part | None = None
    is_child = False
    for line in reading.text.unwrapped():
        if found := HEAD.match(line.text):
            _finish(reading, part, is_child=is_child)
            part, is_child = _Part(line.number, found), False
        elif part is not None and CHILD.match(line.text):
            _finish(reading, part, is_child=is_child)
            part, is_child = _Part(line.number, part.head), True
        if part is not None:
            _read_line(part, line.text)
    _finish(reading, part, is_child=is_child)


def _read_line(part: _Part, text: str) -> None:
    if found := PAIR.match(text):
        part.first = found[1].lower()
        part.values[part.first + "i"] = found[2]
    elif part.first and (found := SECOND.match(text)):
        part.values[part.first + "r"] = found[1]
        part.first = ""
    elif found := SK_D.match(text):
        part.values["sk_d"] = found[1]
    elif found := SPIS.match(text):
        part.spis = found
    else:
        part.suite.update((name, value) for name, value in SUITE.findall(text))


def _finish(reading: Reading, part: _Part | None, *, is_child: bool) -> None:
    if part is not None and part.values:
        with reading.line(part.line):
            (_add_child if is_child else _add_ike)(reading, part)


def _add_ike(reading: Reading, part: _Part) -> None:
    keys: dict[str, Any] = {
        name: secret_of(value) for name, value in part.values.items() if name.startswith("sk_") and value
    }
    nonces = octets_of(part.values.get("noncei", ""), "nonce") + octets_of(part.values.get("noncer", ""), "nonce")
    suite = part.suite
    encryption = encryption_named(suite["encr"]) if "encr" in suite else None
    if encryption is not None and "sk_ei" in keys:
        encryption = with_key_bits(encryption, keys["sk_ei"])
    reading.add(
        IkeV2Keys(
            origin=reading.origin(part.line),
            spi_i=ike_spi(part.head[2]),
            spi_r=ike_spi(part.head[4]),
            encryption=encryption,
            integrity=integrity_named(suite["integ"]) if "integ" in suite else None,
            prf=prf_named(suite["prf"]) if "prf" in suite else None,
            groups=(group_named(suite["dh-group"]),) if "dh-group" in suite else (),
            nonces=nonces or None,
            **keys,
        )
    )


def _add_child(reading: Reading, part: _Part) -> None:
    """Two SAs. ``spi(i)`` was chosen by the initiator: the responder sends to it, with its own key."""
    if part.spis is None or "encr" not in part.suite:
        raise KeyLineError("this child SA has no SPIs or no algorithms")
    i_address, r_address = address_of(part.head[1]), address_of(part.head[3])
    for role, spi, src, dst in (
        (Role.INITIATOR, part.spis[2], i_address, r_address),
        (Role.RESPONDER, part.spis[1], r_address, i_address),
    ):
        side = role.value[0]
        key = _secret(part.values.get(f"sk_e{side}", ""))
        encryption = with_key_bits(encryption_named(part.suite["encr"]), key)
        is_aead = encryption.row is not None and encryption.row.is_aead
        mac_key = _secret(part.values.get(f"sk_a{side}", ""))
        reading.add(
            SaKeys(
                origin=reading.origin(part.line),
                spi=sa_spi(spi, base=16),
                src=src,
                dst=dst,
                encryption=encryption,
                encryption_key=key,
                integrity=None if is_aead else integrity_named(part.suite.get("integ", "none")),
                integrity_key=mac_key,
                esn={"yes": True, "no": False}.get(part.suite.get("esn", "")),
                role=role,
            )
        )


def _secret(text: str) -> Secret:
    return secret_of(text) if text else Secret(b"")
