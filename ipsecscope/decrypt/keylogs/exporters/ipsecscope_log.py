"""Our own key log. The format is described in ``keylogs/ipsecscope_log.py``; reading what this writes gives the same."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, assert_never

import msgspec

from ipsecscope.decrypt.keylogs.exporters.files import write_private
from ipsecscope.decrypt.keylogs.ipsecscope_log import KEY_NAMES, SKEYID_NAMES
from ipsecscope.decrypt.keys import (
    IkeV1Keys,
    IkeV2Keys,
    KeyRecord,
    Msk,
    NamedEncryption,
    NamedIntegrity,
    Ppk,
    PreSharedKey,
    SaKeys,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

HEADER = "# ipsecscope key log: whoever has this file can read the traffic\n"


def write_ipsecscope_log(records: Iterable[KeyRecord], path: Path | str, *, overwrite: bool = False) -> Path:
    """Write the records to a file, mode 0600. Raises FileExistsError, OSError."""
    return write_private(path, ipsecscope_log(records), overwrite=overwrite)


def ipsecscope_log(records: Iterable[KeyRecord]) -> str:
    """The records as JSON Lines."""
    lines = (msgspec.json.encode(_fields_with_content(record)).decode() for record in records)
    return HEADER + "".join(f"{line}\n" for line in lines)


def _fields_with_content(record: KeyRecord) -> dict[str, Any]:
    return {name: value for name, value in _fields(record).items() if value not in (None, "", [], ())}


def _fields(record: KeyRecord) -> dict[str, Any]:
    match record:
        case IkeV2Keys():
            return _ike2(record)
        case IkeV1Keys():
            return _ike1(record)
        case SaKeys():
            return _sa(record)
        case SharedSecret():
            return {
                "t": str(record.kind),
                "spi_i": _hex(record.spi_i),
                "spi_r": _hex(record.spi_r),
                "child_spis": [f"{spi:08x}" for spi in record.child_spis],
                "group": record.group.name if record.group else None,
                "order": record.order,
                "secret": _hex(record.value),
            }
        case PreSharedKey():
            return {"t": "psk", "ids": list(record.ids), "spi_i": _hex(record.spi_i), "value": _hex(record.value)}
        case Ppk():
            return {"t": "ppk", "id": record.ppk_id, "value": _hex(record.value)}
        case Msk():
            spis = {"spi_i": _hex(record.spi_i), "spi_r": _hex(record.spi_r)}
            return {"t": "msk", "ids": list(record.ids), **spis, "value": _hex(record.value)}
    assert_never(record)


def _hex(octets: Secret | bytes | None) -> str | None:
    if octets is None:
        return None
    return (octets.reveal() if isinstance(octets, Secret) else octets).hex()


def _encryption(named: NamedEncryption | None) -> dict[str, Any]:
    if named is None:
        return {}
    name = named.row.name.removeprefix("ENCR_") if named.row else named.name
    return {"encr": name, "keylen": named.key_bits or None}


def _integrity(named: NamedIntegrity | None) -> str | None:
    if named is None:
        return None
    return named.row.name.removeprefix("AUTH_") if named.row and named.row.names else named.name


def _ike2(record: IkeV2Keys) -> dict[str, Any]:
    return {
        "t": "ike2",
        "spi_i": _hex(record.spi_i),
        "spi_r": _hex(record.spi_r),
        **_encryption(record.encryption),
        "integ": _integrity(record.integrity),
        "prf": record.prf.row.name if record.prf and record.prf.row else None,
        "groups": [group.name for group in record.groups],
        **{name: _hex(getattr(record, name)) for name in KEY_NAMES},
        "nonces": _hex(record.nonces),
        "exchange": record.exchange,
        "role": str(record.role) if record.role else None,
        "ppk": record.uses_ppk or None,
        "set": record.sequence or None,
    }


def _ike1(record: IkeV1Keys) -> dict[str, Any]:
    return {
        "t": "ike1",
        "cookie_i": _hex(record.cookie_i),
        "cookie_r": _hex(record.cookie_r),
        **_encryption(record.encryption),
        "hash": record.hash.row.name if record.hash and record.hash.row else None,
        "groups": [group.name for group in record.groups],
        **{name: _hex(getattr(record, name)) for name in SKEYID_NAMES},
        "iv": _hex(record.iv),
        "role": str(record.role) if record.role else None,
        "set": record.sequence or None,
    }


def _sa(record: SaKeys) -> dict[str, Any]:
    cipher = record.encryption.row if record.encryption else None
    octets = record.encryption_key.reveal()
    cut = len(octets) - (cipher.salt_size if cipher else 0)
    mac = record.integrity.row if record.integrity else None
    icv = cipher.icv_size if cipher and cipher.is_aead else mac.icv_size if mac else 0
    encap = record.encapsulation
    return {
        "t": "ah" if record.protocol == SecurityProtocol.AH else "esp",
        "spi": f"{record.spi:08x}" if record.spi is not None else None,
        "src": record.src,
        "dst": record.dst,
        **_encryption(record.encryption),
        "key": octets[:cut].hex(),
        "salt": octets[cut:].hex(),
        "integ": _integrity(record.integrity),
        "integ_key": _hex(record.integrity_key),
        "icv": icv if icv and record.icv_known else None,
        "esn": record.esn,
        "seq_hi": record.seq_hi,
        "mode": record.mode,
        "encap": encap.kind if encap else None,
        "sport": encap.source_port if encap else None,
        "dport": encap.destination_port if encap else None,
        "direction": str(record.direction) if record.direction else None,
        "role": str(record.role) if record.role else None,
    }
