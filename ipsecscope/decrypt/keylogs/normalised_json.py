"""JSON documents of keys: an object with lists ``ike`` and ``esp``, or one list of records with a ``type`` each.

The object is what test labs write: ``ike`` records with ``version``, ``spi_i``, ``spi_r``, ``SK_*`` or ``SKEYID*``,
``alg`` and ``dh_secret``, and ``esp`` records with ``proto``, ``spi``, ``enc_alg``, ``enc_key``, ``integ_alg``,
``integ_key``. The list has ``type`` ``esp``, ``ikev1`` or ``ikev2`` and Wireshark's names of algorithms. JSON has no
lines for us: ``Origin.line`` counts records from 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import msgspec
from msgspec.structs import replace

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError
from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    checked_name,
    encryption_named,
    group_named,
    ike_spi,
    integrity_named,
    octets_of,
    prf_named,
    protocol_of,
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keylogs.strongswan_children import kind_of
from ipsecscope.decrypt.keys import (
    SK_NAMES,
    Direction,
    IkeV1Keys,
    IkeV2Keys,
    NamedEncryption,
    NamedGroup,
    NamedIntegrity,
    NamedPrf,
    Ppk,
    PreSharedKey,
    Role,
    SaKeys,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret

Item: TypeAlias = dict[str, Any]

SKEYID_NAMES = ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e")
MARK = r"\A\s*(?:\[\s*[\[{\]]|\{\s*(?:\}|\{|\"(?!t\"\s*:)))"


@importer("json", "a JSON document of keys", MARK, is_document=True)
def read_json(reading: Reading) -> None:
    """Read the document."""
    try:
        document = msgspec.json.decode(reading.text.whole)
    except (msgspec.MsgspecError, RecursionError, ValueError):
        reading.problem(0, "the document is not JSON, or nested too deep")
        return
    for number, (read, item) in enumerate(_items(document), 1):
        with reading.line(number):
            read(reading, number, _lower(item))
    if not reading.records and not reading.problems:
        reading.note(0, "the document holds no keys")


def _items(document: object) -> Iterator[tuple[Callable[[Reading, int, Item], None], object]]:
    if isinstance(document, list):
        for item in document:
            yield _read_typed, item
    elif isinstance(document, dict):
        for name, read in (("ike", _read_ike), ("esp", _read_sa), ("ah", _read_sa), ("pluto_log_keys", _read_pluto)):
            items = document.get(name)
            for item in items if isinstance(items, list) else ():
                yield read, item
        if not {"ike", "esp", "ah"} & document.keys():
            yield _read_typed, document


def _lower(item: object) -> Item:
    if not isinstance(item, dict):
        raise KeyLineError("a record is a JSON object")
    return {name.lower(): value for name, value in item.items()}


def _read_typed(reading: Reading, number: int, item: Item) -> None:
    kind = _word(item, "type").lower()
    if kind in ("ikev2", "ikev1"):
        _read_ike(reading, number, {"version": int(kind[-1]), **item})
    elif kind in ("esp", "ah"):
        _read_sa(reading, number, {"proto": kind, **item})
    else:
        raise KeyLineError('a record has a "type" of esp, ah, ikev1 or ikev2')


def _word(item: Item, *names: str) -> str:
    """The first of these fields that is there, as a string. Raises KeyLineError for anything that is no word."""
    for name in names:
        value = item.get(name)
        if value is None:
            continue
        if isinstance(value, str):
            return value
        raise KeyLineError(f'"{name}" is not a string')
    return ""


def _secret(item: Item, *names: str) -> Secret | None:
    text = _word(item, *names)
    return secret_of(text) if text and text != "0x" else None


# -- IKE ---------------------------------------------------------------------------------------------------------


class _Suite(msgspec.Struct, frozen=True):
    encryption: NamedEncryption | None
    integrity: NamedIntegrity | None
    prf: NamedPrf | None
    groups: tuple[NamedGroup, ...]


def _suite(item: Item, key: Secret | None) -> _Suite:
    alg = item.get("alg")
    names = _lower(alg) if isinstance(alg, dict) else item
    cipher, mac, prf = _word(names, "enc", "encr"), _word(names, "integ", "auth"), _word(names, "prf")
    encryption = encryption_named(cipher) if cipher else None
    if encryption is not None and key is not None:
        encryption = with_key_bits(encryption, key)
    ordinal = [name for name in sorted(names) if name.startswith("ke") and name[2:].isdecimal()]
    groups = [_word(names, name).removeprefix(f"{name.upper()}_") for name in ("dh", *ordinal)]
    return _Suite(
        encryption,
        integrity_named(mac) if mac else None,
        prf_named(prf) if prf else None,
        tuple(group_named(group) for group in groups if group),
    )


def _role(item: Item) -> Role | None:
    with suppress(ValueError):
        return Role(_word(item, "from"))
    return None


def _read_ike(reading: Reading, number: int, item: Item) -> None:
    if psk := _secret(item, "psk"):
        spi_i = ike_spi(_word(item, "spi_i", "cookie_i"))
        reading.add(PreSharedKey(origin=reading.origin(number), value=psk, spi_i=spi_i))
    if item.get("version") == 1:
        _read_ikev1(reading, number, item)
    elif item.get("version") == 2:
        _read_ikev2(reading, number, item)
    else:
        raise KeyLineError("an IKE record has version 1 or 2")


def _read_ikev1(reading: Reading, number: int, item: Item) -> None:
    ka = _secret(item, "enc_key", "encryption_key", "ka")
    suite = _suite(item, ka)
    skeyids: dict[str, Any] = {name: _secret(item, name) for name in SKEYID_NAMES}
    iv = _word(item, "iv")
    reading.add(
        IkeV1Keys(
            origin=reading.origin(number),
            cookie_i=ike_spi(_word(item, "spi_i", "cookie_i")),
            cookie_r=ike_spi(_word(item, "spi_r", "cookie_r")),
            ka=ka,
            iv=octets_of(iv, "IV") if iv else None,
            encryption=suite.encryption,
            hash=suite.prf,
            groups=suite.groups,
            role=_role(item),
            **skeyids,
        )
    )


def _read_ikev2(reading: Reading, number: int, item: Item) -> None:
    keys: dict[str, Any] = {name: _secret(item, name) for name in SK_NAMES}
    suite = _suite(item, keys["sk_ei"])
    exchange = checked_name(_word(item, "exchange"))
    record = IkeV2Keys(
        origin=reading.origin(number),
        spi_i=ike_spi(_word(item, "spi_i")),
        spi_r=ike_spi(_word(item, "spi_r")),
        skeyseed=_secret(item, "skeyseed"),
        encryption=suite.encryption,
        integrity=suite.integrity,
        prf=suite.prf,
        groups=suite.groups,
        exchange=exchange,
        role=_role(item),
        **keys,
    )
    record = reading.sequenced(record)
    reading.add(record)
    if secret := _secret(item, "dh_secret"):
        order = record.sequence if exchange == "IKE_INTERMEDIATE" else 0
        group = suite.groups[order] if order < len(suite.groups) else None
        reading.add(
            SharedSecret(
                origin=reading.origin(number),
                value=secret,
                kind=kind_of(group),
                group=group,
                spi_i=record.spi_i,
                spi_r=record.spi_r,
                order=order,
            )
        )
    update = item.get("ppk_update")
    if isinstance(update, dict):
        _read_ppk(reading, number, record, _lower(update))


def _read_ppk(reading: Reading, number: int, record: IkeV2Keys, update: Item) -> None:
    """The keys after a PPK was mixed in: SK_d, SK_pi and SK_pr are new (RFC 8784)."""
    if ppk := _secret(update, "ppk"):
        reading.add(Ppk(origin=reading.origin(number), value=ppk))
    fresh = {name: _secret(update, name) for name in ("sk_d", "sk_pi", "sk_pr")}
    reading.add(replace(record, skeyseed=None, uses_ppk=True, sequence=record.sequence + 1, **fresh))


# -- ESP and AH --------------------------------------------------------------------------------------------------


def _read_sa(reading: Reading, number: int, item: Item) -> None:
    protocol = protocol_of(_word(item, "proto"))
    if protocol is None:
        raise KeyLineError('"proto" is ESP or AH')
    cipher, mac = _word(item, "enc_alg", "encr"), _word(item, "integ_alg", "auth")
    icv_bits = item.get("icv_bits")
    bits = icv_bits if isinstance(icv_bits, int) and not isinstance(icv_bits, bool) else None
    key = _secret(item, "enc_key", "encr_key") or Secret(b"")
    encryption = with_key_bits(encryption_named(cipher, None if mac else bits), key) if cipher else None
    is_aead = encryption is not None and encryption.row is not None and encryption.row.is_aead
    esn = item.get("esn")
    direction = _word(item, "direction")
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            protocol=protocol,
            spi=sa_spi(_word(item, "spi"), base=16),
            src=address_of(_word(item, "src")),
            dst=address_of(_word(item, "dst")),
            encryption=encryption,
            encryption_key=key,
            integrity=None if is_aead else integrity_named(mac or "none", bits if mac else None),
            integrity_key=_secret(item, "integ_key", "auth_key") or Secret(b""),
            esn=esn if isinstance(esn, bool) else None,
            mode=checked_name(_word(item, "mode")),
            direction=Direction(direction) if direction in ("inbound", "outbound") else None,
        )
    )


def _read_pluto(reading: Reading, number: int, item: Item) -> None:
    """A record taken from the log of pluto, with the algorithms in a list: cipher, key bits, MAC."""
    names = item.get("_alg")
    words = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    rest = _word(item, "rest").split()
    fields = {**item, "proto": "ESP" if _word(item, "enc_key") else "AH", "esn": "+esn" in rest}
    for name in words:
        with suppress(UnknownAlgorithmError):
            encryption_named(name)
            fields["enc_alg"] = name
        with suppress(UnknownAlgorithmError):
            integrity_named(name)
            fields["integ_alg"] = name
    _read_sa(reading, number, fields)
