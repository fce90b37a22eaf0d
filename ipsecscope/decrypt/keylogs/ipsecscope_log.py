"""ipsecscope's own key log: JSON Lines, one record per line, every field but ``t`` optional.

::

    {"t":"ike2","spi_i":"…16","spi_r":"…16","encr":"AES_CBC","keylen":128,"integ":"HMAC_SHA2_256_128",
     "prf":"PRF_HMAC_SHA2_256","groups":["MODP_2048"],"skeyseed":"…","sk_d":"…","sk_ai":"…","sk_ar":"…","sk_ei":"…",
     "sk_er":"…","sk_pi":"…","sk_pr":"…","nonces":"…","exchange":"IKE_SA_INIT","role":"initiator","ppk":true,"set":0}
    {"t":"ike1","cookie_i":"…16","cookie_r":"…16","encr":"AES_CBC","keylen":128,"hash":"PRF_HMAC_SHA2_256",
     "skeyid":"…","skeyid_d":"…","skeyid_a":"…","skeyid_e":"…","ka":"…","iv":"…","groups":[…],"role":"…","set":0}
    {"t":"esp","spi":"c7ec877c","src":"192.0.2.1","dst":"198.51.100.2","encr":"AES_GCM_16","keylen":256,"key":"…",
     "salt":"…","integ":"HMAC_SHA2_256_128","integ_key":"…","icv":16,"esn":true,"seq_hi":5,"mode":"tunnel",
     "encap":"udp","sport":4500,"dport":4500,"direction":"inbound","role":"initiator"}
    {"t":"ah", … as esp without cipher}
    {"t":"dh"|"kem","spi_i":"…","spi_r":"…","child_spis":["…8"],"group":"MODP_2048","order":0,"secret":"…"}
    {"t":"psk","ids":["…"],"value":"…"}   {"t":"ppk","id":"…","value":"…"}   {"t":"msk","ids":[…],"value":"…"}

Values are hexadecimal without ``0x``; algorithms have their IANA names without ``ENCR_`` and ``AUTH_``. Key and salt of
ESP stand apart; the SK_e of an IKE SA with an AEAD ends with its salt, as RFC 5282 derives it. ``icv`` counts octets.
A reader ignores fields it does not know, and skips lines whose ``t`` it does not know. Lines that begin with ``#`` are
comments.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

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
    sa_spi,
    secret_of,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keys import (
    SK_NAMES,
    Direction,
    Encapsulation,
    IkeV1Keys,
    IkeV2Keys,
    KeyRecord,
    Msk,
    NamedEncryption,
    NamedGroup,
    NamedIntegrity,
    Origin,
    Ppk,
    PreSharedKey,
    Role,
    SaKeys,
    SecretKind,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

Item: TypeAlias = dict[str, Any]

MAX_LIST = 64  # entries of a list in a record
MAX_PORT = 65_535
MAX_UINT32 = 0xFFFF_FFFF
KEY_NAMES = ("skeyseed", *SK_NAMES)
SKEYID_NAMES = ("skeyid", "skeyid_d", "skeyid_a", "skeyid_e", "ka")
LINE = re.compile(r"\s*\{")

MARK = r"^\s*\{\s*\"t\"\s*:\s*\""


@importer("ipsecscope", "key log of ipsecscope (JSON Lines)", MARK)
def read_ipsecscope_log(reading: Reading) -> None:
    """Read every line."""
    for line in reading.text.lines:
        if line.text.lstrip().startswith("#") or not LINE.match(line.text):
            continue
        with reading.line(line.number):
            try:
                item = msgspec.json.decode(line.text)
            except (msgspec.MsgspecError, RecursionError, ValueError):
                raise KeyLineError("the line is not JSON, or nested too deep") from None
            _read_item(reading, reading.origin(line.number), item)


def _read_item(reading: Reading, origin: Origin, item: object) -> None:
    assert isinstance(item, dict)  # it begins with a brace
    kind = _word(item, "t")
    read = READERS.get(kind)
    if read is None:
        raise KeyLineError('"t" is none of ' + ", ".join(READERS))
    reading.add(read(origin, item))


# -- fields ------------------------------------------------------------------------------------------------------


def _word(item: Item, name: str) -> str:
    value = item.get(name, "")
    if value is None:
        return ""
    if not isinstance(value, str):
        raise KeyLineError(f'"{name}" is not a string')
    return value


def _words(item: Item, name: str) -> list[str]:
    value = item.get(name) or []
    if not isinstance(value, list) or len(value) > MAX_LIST or not all(isinstance(word, str) for word in value):
        raise KeyLineError(f'"{name}" is not a list of at most {MAX_LIST} strings')
    return value


def _number(item: Item, name: str, most: int = MAX_UINT32) -> int | None:
    value = item.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise KeyLineError(f'"{name}" is not a number from 0 to {most}')
    return value


def _flag(item: Item, name: str) -> bool | None:
    value = item.get(name)
    if value is not None and not isinstance(value, bool):
        raise KeyLineError(f'"{name}" is true or false')
    return value


def _secret(item: Item, name: str) -> Secret | None:
    text = _word(item, name)
    return secret_of(text) if text else None


def _needed(item: Item, name: str) -> Secret:
    secret = _secret(item, name)
    if secret is None:
        raise KeyLineError(f'"{name}" is missing')
    return secret


def _octets(item: Item, name: str) -> bytes | None:
    text = _word(item, name)
    return octets_of(text, name) if text else None


def _role(item: Item) -> Role | None:
    text = _word(item, "role")
    return Role(text) if text in ("initiator", "responder") else None


def _encryption(item: Item, key: Secret | None) -> NamedEncryption | None:
    name = _word(item, "encr")
    if not name:
        return None
    encryption = encryption_named(name)
    if key is not None and (key or not encryption.key_bits):
        return with_key_bits(encryption, key)
    bits = _number(item, "keylen")
    return NamedEncryption(encryption.name, encryption.row, bits or encryption.key_bits)


def _groups(item: Item) -> tuple[NamedGroup, ...]:
    return tuple(group_named(name) for name in _words(item, "groups"))


# -- records -----------------------------------------------------------------------------------------------------


def _read_ike2(origin: Origin, item: Item) -> IkeV2Keys:
    keys = {name: _secret(item, name) for name in KEY_NAMES}
    integ, prf = _word(item, "integ"), _word(item, "prf")
    return IkeV2Keys(
        origin=origin,
        spi_i=ike_spi(_word(item, "spi_i")),
        spi_r=ike_spi(_word(item, "spi_r")),
        encryption=_encryption(item, keys["sk_ei"]),
        integrity=integrity_named(integ) if integ else None,
        prf=prf_named(prf) if prf else None,
        groups=_groups(item),
        role=_role(item),
        nonces=_octets(item, "nonces"),
        exchange=checked_name(_word(item, "exchange")),
        uses_ppk=bool(_flag(item, "ppk")),
        sequence=_number(item, "set") or 0,
        **keys,
    )


def _read_ike1(origin: Origin, item: Item) -> IkeV1Keys:
    keys = {name: _secret(item, name) for name in SKEYID_NAMES}
    hash_name = _word(item, "hash")
    return IkeV1Keys(
        origin=origin,
        cookie_i=ike_spi(_word(item, "cookie_i")),
        cookie_r=ike_spi(_word(item, "cookie_r")),
        iv=_octets(item, "iv"),
        encryption=_encryption(item, keys["ka"]),
        hash=prf_named(hash_name) if hash_name else None,
        groups=_groups(item),
        role=_role(item),
        sequence=_number(item, "set") or 0,
        **keys,
    )


def _read_sa(origin: Origin, item: Item) -> SaKeys:
    is_ah = _word(item, "t") == "ah"
    icv = _number(item, "icv", 255)
    key = Secret((_secret(item, "key") or Secret(b"")).reveal() + (_secret(item, "salt") or Secret(b"")).reveal())
    encryption = None if is_ah else _encryption(item, key)
    is_aead = encryption is not None and encryption.row is not None and encryption.row.is_aead
    mode, direction = checked_name(_word(item, "mode")), _word(item, "direction")
    return SaKeys(
        origin=origin,
        protocol=SecurityProtocol.AH if is_ah else SecurityProtocol.ESP,
        spi=sa_spi(_word(item, "spi"), base=16),
        src=address_of(_word(item, "src")),
        dst=address_of(_word(item, "dst")),
        encryption=encryption,
        encryption_key=key,
        integrity=None if is_aead else _integrity(item, icv),
        integrity_key=_secret(item, "integ_key") or Secret(b""),
        icv_known=icv is not None or not is_aead,
        esn=_flag(item, "esn"),
        seq_hi=_number(item, "seq_hi"),
        mode=mode,
        encapsulation=_encapsulation(item),
        direction=Direction(direction) if direction in ("inbound", "outbound") else None,
        role=_role(item),
    )


def _integrity(item: Item, icv: int | None) -> NamedIntegrity | None:
    name = _word(item, "integ")
    return integrity_named(name, icv * 8 if icv else None) if name else None


def _encapsulation(item: Item) -> Encapsulation | None:
    kind = _word(item, "encap")
    if kind not in ("udp", "tcp"):
        return None
    return Encapsulation(kind, _number(item, "sport", MAX_PORT) or 0, _number(item, "dport", MAX_PORT) or 0)


def _read_shared_secret(origin: Origin, item: Item) -> SharedSecret:
    group = _word(item, "group")
    spis = (sa_spi(spi, base=16) for spi in _words(item, "child_spis"))
    return SharedSecret(
        origin=origin,
        value=_needed(item, "secret"),
        kind=SecretKind(_word(item, "t")),
        group=group_named(group) if group else None,
        spi_i=ike_spi(_word(item, "spi_i")),
        spi_r=ike_spi(_word(item, "spi_r")),
        child_spis=tuple(spi for spi in spis if spi is not None),
        order=_number(item, "order") or 0,
    )


def _ids(item: Item) -> tuple[str, ...]:
    return tuple(checked_name(name) for name in _words(item, "ids"))


def _read_psk(origin: Origin, item: Item) -> PreSharedKey:
    spi_i = ike_spi(_word(item, "spi_i"))
    return PreSharedKey(origin=origin, value=_needed(item, "value"), ids=_ids(item), spi_i=spi_i)


def _read_ppk(origin: Origin, item: Item) -> Ppk:
    return Ppk(origin=origin, value=_needed(item, "value"), ppk_id=checked_name(_word(item, "id")))


def _read_msk(origin: Origin, item: Item) -> Msk:
    return Msk(
        origin=origin,
        value=_needed(item, "value"),
        ids=_ids(item),
        spi_i=ike_spi(_word(item, "spi_i")),
        spi_r=ike_spi(_word(item, "spi_r")),
    )


READERS: dict[str, Callable[[Origin, Item], KeyRecord]] = {
    "ike2": _read_ike2,
    "ike1": _read_ike1,
    "esp": _read_sa,
    "ah": _read_sa,
    "dh": _read_shared_secret,
    "kem": _read_shared_secret,
    "psk": _read_psk,
    "ppk": _read_ppk,
    "msk": _read_msk,
}
