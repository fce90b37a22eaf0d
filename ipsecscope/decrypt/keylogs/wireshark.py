"""Wireshark's key tables: ``esp_sa`` (8 or 10 columns), ``ikev2_decryption_table``, ``ikev1_decryption_table``.

The same rows come from the save-keys plugin of strongSwan, from SWu-IKEv2, from ``tshark -o uat:…``, and, with a
header line, from the ESPS secrets block of pcapng. A name is compared without case, for old save-keys files wrote
``TripleDes-CBC``. ``AES-GCM [RFC4106]`` leaves the ICV's length open. A set of IKE keys is valid whichever way round
its SPIs stand, so the mirrored second row of SWu-IKEv2 is dropped.
"""

from __future__ import annotations

import csv
import re

from ipsecscope.decrypt.algorithms import UnknownAlgorithmError
from ipsecscope.decrypt.keylogs.reading import (
    MAX_ESN_HIGH,
    HiddenKeyError,
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
from ipsecscope.decrypt.keylogs.text import MAX_LINE_LENGTH, Line
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, NamedEncryption, NamedIntegrity, SaKeys
from ipsecscope.decrypt.secret import Secret

ESP_COLUMNS = 8
IKEV2_COLUMNS = 8
IKEV1_COLUMNS = 2
MAX_JOINED = 4  # lines that one row may have been wrapped over

ESP_ROW = re.compile(r'"?(?:IPv4|IPv6|Any)"?\s*,\s*"?[\w.:*/%]+"?\s*,', re.IGNORECASE)
IKE_ROW = re.compile(r"(?:0x)?[0-9a-fA-F]{1,24}\s*,\s*[^,\s]")
ROW_START = re.compile(r"[0-9a-fA-F]{16}\s*,|\"?(?:IPv4|IPv6|Any)\"?\s*,|uat:", re.IGNORECASE)
UAT_OPTION = re.compile(r"\buat:(?:esp_sa|ikev[12]_decryption_table):")
HEADER = re.compile(r'"?Protocol"?\s*,\s*"?Src IP', re.IGNORECASE)
OPEN_ICV = re.compile(r"aes[-_ ]gcm\s*(?:\[|$)", re.IGNORECASE)
ANY_ICV = re.compile(r"any (\d{2,3})[ -]bits? ", re.IGNORECASE)

MARK = (
    r"(?:IPv4|IPv6|Any)\"?[ \t]*,[ \t]*\"?[\w.:*/%]+\"?[ \t]*,[ \t]*\"?[\w.:*/%]+\"?[ \t]*,"
    r"|^\"?(?:IPv4|IPv6|Any)\"?[ \t]*,"
    r"|^(?:0x)?[0-9a-fA-F]{14,18}[ \t]*,[ \t]*(?:0x)?[0-9a-fA-F]{8,}"
    r"|uat:(?:esp_sa|ikev[12]_decryption_table):"
)


@importer(
    "wireshark",
    "key tables of Wireshark (esp_sa, ikev2_decryption_table, ikev1_decryption_table)",
    MARK,
    advice="export the keys again where they are shown",
)
def read_wireshark(reading: Reading) -> None:
    """Read every row of any of the three tables."""
    for line in _rows(reading.text.lines):
        with reading.line(line.number):
            read_row(reading, line)


def read_row(reading: Reading, line: Line) -> None:
    """Read one row. Raises KeyLineError, KeyLengthError, UnknownAlgorithmError."""
    if HEADER.match(line.text):
        return
    start = ESP_ROW.search(line.text)
    if start:
        _read_esp(reading, line.number, _columns(line.text[start.start() :]))
        return
    columns = _columns(UAT_OPTION.sub("", line.text).lstrip(" '"))
    if len(columns) == IKEV1_COLUMNS:
        _read_ikev1(reading, line.number, columns)
    else:
        _read_ikev2(reading, line.number, columns)


def _rows(lines: list[Line]) -> list[Line]:
    """The lines that are rows or try to be, each with what was wrapped off it."""
    rows: list[Line] = []
    joined = 0  # lines that the last row was made of; 0 when it cannot go on
    for line in lines:
        text = line.text.strip()
        if 0 < joined < MAX_JOINED and _goes_on(rows[-1].text, text):
            rows[-1] = Line(rows[-1].number, rows[-1].text + text)
            joined += 1
        elif ESP_ROW.search(text) or IKE_ROW.match(text) or UAT_OPTION.search(text) or HEADER.match(text):
            rows.append(Line(line.number, text))
            joined = 1
        else:
            joined = 0
    return rows


def _goes_on(row: str, text: str) -> bool:
    """Whether a row was wrapped and this is more of it."""
    if len(row) + len(text) > MAX_LINE_LENGTH or ROW_START.match(text):
        return False
    return row.count('"') % 2 == 1 or (bool(IKE_ROW.match(row)) and IKEV1_COLUMNS <= row.count(",") < IKEV2_COLUMNS - 1)


def _columns(text: str) -> list[str]:
    try:
        row = next(csv.reader([text], skipinitialspace=True, strict=True), [])
    except csv.Error:
        raise KeyLineError("the quotes of this row do not match") from None
    return [column.strip() for column in row]


def _read_esp(reading: Reading, number: int, columns: list[str]) -> None:
    if len(columns) < ESP_COLUMNS:
        raise KeyLineError(f"a row of esp_sa has {ESP_COLUMNS} or 10 columns, this one {len(columns)}")
    _, src, dst, spi, cipher, cipher_key, auth, auth_key, *more = columns
    encryption, icv_known = _esp_encryption(cipher, auth)
    integrity = _esp_integrity(encryption, auth)
    key = _key(cipher_key)
    esn, seq_hi = _sequence_numbers(more)
    reading.add(
        SaKeys(
            origin=reading.origin(number),
            spi=sa_spi(spi),
            src=address_of(src),
            dst=address_of(dst),
            encryption=with_key_bits(encryption, key),
            encryption_key=key,
            integrity=integrity,
            integrity_key=_key(auth_key) if integrity is not None else Secret(b""),
            icv_known=icv_known,
            esn=esn,
            seq_hi=seq_hi,
        )
    )


def _esp_encryption(cipher: str, auth: str) -> tuple[NamedEncryption, bool]:
    """The cipher, and whether its ICV's length is known: Wireshark has a name for GCM that leaves it open."""
    if not OPEN_ICV.match(cipher):
        return encryption_named(cipher), True
    size = ANY_ICV.match(auth)
    if size is None:
        return encryption_named(cipher), False
    try:
        return encryption_named(cipher, int(size[1])), True
    except UnknownAlgorithmError:  # the size of something else: AEAD rows have no authentication of their own
        return encryption_named(cipher), False


def _esp_integrity(encryption: NamedEncryption, auth: str) -> NamedIntegrity | None:
    if encryption.row is not None and encryption.row.is_aead:
        return None
    return integrity_named(auth)


def _key(text: str) -> Secret:
    return Secret(b"") if text in ("", "0x", "0X") else secret_of(text, may_be_text=True)


def _sequence_numbers(columns: list[str]) -> tuple[bool | None, int | None]:
    """The two columns of Wireshark 4.4 and later: which numbers, and the upper half."""
    if not columns or columns[0] == "":
        return None, None
    esn = columns[0].startswith("64")
    high = columns[1] if esn and len(columns) > 1 else ""
    if not high:
        return esn, None
    upper = sa_spi(high)
    if upper is None or upper > MAX_ESN_HIGH:
        raise KeyLineError("the ESN high bits are a number of 32 bits")
    return esn, upper


def _read_ikev2(reading: Reading, number: int, columns: list[str]) -> None:
    if len(columns) != IKEV2_COLUMNS:
        raise KeyLineError(
            f"a row of ikev2_decryption_table has {IKEV2_COLUMNS} columns and one of ikev1_decryption_table"
            f" {IKEV1_COLUMNS}, this one {len(columns)}"
        )
    spi_i, spi_r, sk_ei, sk_er, cipher, sk_ai, sk_ar, auth = columns
    encryption = encryption_named(cipher)
    integrity = integrity_named(auth)
    keys = [secret_of(text) if text else None for text in (sk_ei, sk_er, sk_ai, sk_ar)]
    for key in keys[:2]:
        if key is None and encryption.row is not None and encryption.row.default_key_size:
            raise KeyLineError("a row without SK_ei or SK_er")
        if key is not None:
            encryption = with_key_bits(encryption, key)
    for key in keys[2:]:
        if key is not None and integrity.row is not None and integrity.row.mac:
            integrity.row.check_key(len(key))
    record = IkeV2Keys(
        origin=reading.origin(number),
        spi_i=_whole_spi(spi_i),
        spi_r=_whole_spi(spi_r),
        sk_ei=keys[0],
        sk_er=keys[1],
        sk_ai=keys[2],
        sk_ar=keys[3],
        encryption=encryption,
        integrity=integrity,
    )
    if not any(_is_mirrored(record, other) for other in reading.recent_ike):
        reading.add(reading.sequenced(record))


def _is_mirrored(record: IkeV2Keys, other: IkeV2Keys) -> bool:
    return (record.spi_i, record.spi_r, record.sk_ei, record.sk_er, record.sk_ai, record.sk_ar) == (
        other.spi_r, other.spi_i, other.sk_er, other.sk_ei, other.sk_ar, other.sk_ai,
    )  # fmt: skip


def _whole_spi(text: str) -> bytes | None:
    digits = text.removeprefix("0x")
    if digits and len(digits) != 16:
        raise KeyLineError(f"an IKE SPI has 16 hexadecimal digits, this one {len(digits)}")
    return ike_spi(digits)


def _read_ikev1(reading: Reading, number: int, columns: list[str]) -> None:
    cookie, key = columns
    if not key:
        raise HiddenKeyError
    reading.add(IkeV1Keys(origin=reading.origin(number), cookie_i=_whole_spi(cookie), ka=secret_of(key)))
