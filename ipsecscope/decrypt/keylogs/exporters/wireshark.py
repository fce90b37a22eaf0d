"""Wireshark's tables, a profile folder with them, and the command line that opens it.

Wireshark has no name for some algorithms. Their rows are left out, and ``Exported.left_out`` says which and why.
Eight columns are read by every version, ten (with the sequence numbers) by 4.4 and later; so ten are written only for
an SA with extended sequence numbers, or when asked for.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from ipsecscope.decrypt.keylogs.exporters.files import private_folder, write_private
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, KeyRecord, Problem, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, SecurityProtocol

PREFERENCES = """\
# Decryption of IPsec, for the keys in this folder
esp.enable_encryption_decode: TRUE
esp.enable_authentication_check: TRUE
"""

_E = EncryptionAlgorithm

ESP_ENCRYPTION = {
    _E.ENCR_NULL: "NULL",
    _E.ENCR_DES: "DES-CBC [RFC2405]",
    _E.ENCR_3DES: "TripleDES-CBC [RFC2451]",
    _E.ENCR_CAST: "CAST5-CBC [RFC2144]",
    _E.ENCR_BLOWFISH: "BLOWFISH-CBC [RFC2451]",
    _E.ENCR_AES_CBC: "AES-CBC [RFC3602]",
    _E.ENCR_AES_CTR: "AES-CTR [RFC3686]",
    _E.ENCR_AES_GCM_8: "AES-GCM with 8 octet ICV [RFC4106]",
    _E.ENCR_AES_GCM_12: "AES-GCM with 12 octet ICV [RFC4106]",
    _E.ENCR_AES_GCM_16: "AES-GCM with 16 octet ICV [RFC4106]",
    _E.ENCR_AES_GCM_16_IIV: "AES-GCM with IIV and 16 octet ICV [RFC4106 & RFC8750]",
    _E.ENCR_CHACHA20_POLY1305: "ChaCha20 with Poly1305 [RFC7634]",
    _E.ENCR_CHACHA20_POLY1305_IIV: "ChaCha20 with Poly1305 and IIV [RFC7634 & RFC8750]",
}
# By MAC and octets of ICV: some of these have no number at IANA.
ESP_INTEGRITY = {
    ("", 0): "NULL",
    ("hmac-md5", 12): "HMAC-MD5-96 [RFC2403]",
    ("hmac-sha1", 12): "HMAC-SHA-1-96 [RFC2404]",
    ("hmac-sha2-256", 12): "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
    ("hmac-sha2-256", 16): "HMAC-SHA-256-128 [RFC4868]",
    ("hmac-sha2-384", 24): "HMAC-SHA-384-192 [RFC4868]",
    ("hmac-sha2-512", 32): "HMAC-SHA-512-256 [RFC4868]",
    ("hmac-ripemd160", 12): "MAC-RIPEMD-160-96 [RFC2857]",
}
UNCHECKED_ESP = (8, 12, 16, 24, 32)
IKE_ENCRYPTION = {
    _E.ENCR_NULL: "NULL [RFC2410]",
    _E.ENCR_3DES: "3DES [RFC2451]",
    _E.ENCR_AES_CBC: "AES-CBC-{bits} [RFC3602]",
    _E.ENCR_AES_CTR: "AES-CTR-{bits} [RFC5930]",
    _E.ENCR_AES_GCM_8: "AES-GCM-{bits} with 8 octet ICV [RFC5282]",
    _E.ENCR_AES_GCM_12: "AES-GCM-{bits} with 12 octet ICV [RFC5282]",
    _E.ENCR_AES_GCM_16: "AES-GCM-{bits} with 16 octet ICV [RFC5282]",
    _E.ENCR_AES_CCM_8: "AES-CCM-{bits} with 8 octet ICV [RFC5282]",
    _E.ENCR_AES_CCM_12: "AES-CCM-{bits} with 12 octet ICV [RFC5282]",
    _E.ENCR_AES_CCM_16: "AES-CCM-{bits} with 16 octet ICV [RFC5282]",
}
IKE_INTEGRITY = {
    ("", 0): "NONE [RFC4306]",
    ("hmac-md5", 12): "HMAC_MD5_96 [RFC2403]",
    ("hmac-sha1", 12): "HMAC_SHA1_96 [RFC2404]",
    ("hmac-md5", 16): "HMAC_MD5_128 [RFC4595]",
    ("hmac-sha1", 20): "HMAC_SHA1_160 [RFC4595]",
    ("hmac-sha2-256", 12): "HMAC_SHA2_256_96 [draft-ietf-ipsec-ciph-sha-256-00]",
    ("hmac-sha2-256", 16): "HMAC_SHA2_256_128 [RFC4868]",
    ("hmac-sha2-384", 24): "HMAC_SHA2_384_192 [RFC4868]",
    ("hmac-sha2-512", 32): "HMAC_SHA2_512_256 [RFC4868]",
}
UNCHECKED_IKE = (8, 12, 16, 20, 24, 32)


class Exported(msgspec.Struct, frozen=True):
    """A table: its text, how many rows it has, and the records that have no row there."""

    text: str
    rows: int
    left_out: tuple[Problem, ...] = ()


class _NoRowError(Exception):
    """Wireshark has no name for something in a record."""


def esp_sa_table(records: Iterable[KeyRecord], *, columns: int | None = None) -> Exported:
    """The ``esp_sa`` table; ``columns`` is 8 or 10, or None for 10 only where ESN needs it."""
    return _table(records, SaKeys, lambda record: esp_row(record, columns))


def ikev2_table(records: Iterable[KeyRecord]) -> Exported:
    """The ``ikev2_decryption_table``."""
    return _table(records, IkeV2Keys, _ikev2_row)


def ikev1_table(records: Iterable[KeyRecord]) -> Exported:
    """The ``ikev1_decryption_table``."""
    return _table(records, IkeV1Keys, _ikev1_row)


def write_wireshark_tables(
    records: Iterable[KeyRecord], folder: Path | str, *, overwrite: bool = False, columns: int | None = None
) -> dict[str, Exported]:
    """Write the three tables into a folder, mode 0600; gives them by file name. Raises FileExistsError, OSError."""
    known = list(records)
    tables = {
        "esp_sa": esp_sa_table(known, columns=columns),
        "ikev1_decryption_table": ikev1_table(known),
        "ikev2_decryption_table": ikev2_table(known),
    }
    _write_all({name: table.text for name, table in tables.items()}, private_folder(folder), overwrite=overwrite)
    return tables


def write_wireshark_profile(
    records: Iterable[KeyRecord], folder: Path | str, *, overwrite: bool = False, columns: int | None = None
) -> dict[str, Exported]:
    """Write a configuration folder for Wireshark: the tables, and preferences that turn decryption on.

    Raises FileExistsError, OSError.
    """
    target = private_folder(folder)
    if (target / "preferences").exists() and not overwrite:
        raise FileExistsError(f"{target / 'preferences'} is there already")
    tables = write_wireshark_tables(records, target, overwrite=overwrite, columns=columns)
    write_private(target / "preferences", PREFERENCES, overwrite=overwrite)
    return tables


def open_command(folder: Path | str, capture: Path | str = "", program: str = "wireshark") -> str:
    """The command line that opens a capture with the written folder."""
    read = f" -r {shlex.quote(str(capture))}" if capture else ""
    return f"WIRESHARK_CONFIG_DIR={shlex.quote(str(Path(folder).resolve()))} {program}{read}"


def _write_all(texts: dict[str, str], folder: Path, *, overwrite: bool) -> None:
    """Write nothing at all when one of the files is there already."""
    for name in texts:
        if (folder / name).exists() and not overwrite:
            raise FileExistsError(f"{folder / name} is there already")
    for name, text in texts.items():
        write_private(folder / name, text, overwrite=overwrite)


def _table(records: Iterable[KeyRecord], kind: type, row: Callable[..., str]) -> Exported:
    rows: list[str] = []
    left_out: list[Problem] = []
    for record in records:
        if isinstance(record, kind):
            try:
                rows.append(row(record))
            except _NoRowError as why:
                left_out.append(Problem(record.origin.file, record.origin.line, str(why)))
    unique = list(dict.fromkeys(rows))
    return Exported("".join(f"{text}\n" for text in unique), len(unique), tuple(left_out))


def esp_row(record: SaKeys, columns: int | None = None) -> str:
    """One row of ``esp_sa``."""
    if record.protocol != SecurityProtocol.ESP:
        raise _NoRowError("Wireshark verifies no AH")
    cipher = record.encryption.row if record.encryption else None
    if record.encryption is None or cipher is None or cipher.id not in ESP_ENCRYPTION:
        raise _NoRowError(
            f"Wireshark has no name for ESP with {record.encryption.name if record.encryption else 'this'}"
        )
    mac, mac_key = _esp_integrity(record), _hex(record.integrity_key)
    addresses = [record.src or "*", record.dst or "*"]
    fields = [
        "IPv6" if any(":" in address for address in addresses) else "IPv4",
        *addresses,
        f"0x{record.spi:08x}" if record.spi is not None else "*",
        ESP_ENCRYPTION[cipher.id],
        f"0x{_hex(record.encryption_key)}" if record.encryption_key else "",
        mac,
        f"0x{mac_key}" if mac_key else "",
    ]
    if columns == 10 or (columns is None and record.esn):
        fields += ["64-bit" if record.esn else "32-bit", str(record.seq_hi or 0)]
    return ",".join(f'"{field}"' for field in fields)


def _esp_integrity(record: SaKeys) -> str:
    row = record.integrity.row if record.integrity else None
    if row is None:
        return "NULL"
    if not row.is_checked and row.icv_size in UNCHECKED_ESP:
        return f"ANY {row.icv_size * 8} bit authentication [no checking]"
    name = ESP_INTEGRITY.get((row.mac, row.icv_size))
    if name is None and row.icv_size in UNCHECKED_ESP:  # it still decrypts, unverified
        name = f"ANY {row.icv_size * 8} bit authentication [no checking]"
    if name is None:
        raise _NoRowError(f"Wireshark has no name for {row.name}")
    return name


def _ikev2_row(record: IkeV2Keys) -> str:
    if record.spi_i is None or record.spi_r is None:
        raise _NoRowError("Wireshark needs the SPIs of an IKE SA")
    cipher = record.encryption.row if record.encryption else None
    if record.encryption is None or cipher is None or cipher.id not in IKE_ENCRYPTION:
        raise _NoRowError(
            f"Wireshark has no name for IKEv2 with {record.encryption.name if record.encryption else 'this'}"
        )
    if record.sk_ei is None or record.sk_er is None:
        raise _NoRowError("SK_ei and SK_er are not known")
    mac = "NONE [RFC4306]" if cipher.is_aead else _ike_integrity(record)
    return ",".join(
        (
            record.spi_i.hex(),
            record.spi_r.hex(),
            _hex(record.sk_ei),
            _hex(record.sk_er),
            f'"{IKE_ENCRYPTION[cipher.id].format(bits=record.encryption.key_bits)}"',
            _hex(record.sk_ai),
            _hex(record.sk_ar),
            f'"{mac}"',
        )
    )


def _ike_integrity(record: IkeV2Keys) -> str:
    row = record.integrity.row if record.integrity else None
    if row is None:
        raise _NoRowError("the integrity algorithm is not known")
    name = IKE_INTEGRITY.get((row.mac, row.icv_size))
    if name is None and row.icv_size in UNCHECKED_IKE:
        name = f"ANY {row.icv_size * 8}-bits of Authentication [No Checking]"
    if name is None:
        raise _NoRowError(f"Wireshark has no name for {row.name}")
    return name


def _ikev1_row(record: IkeV1Keys) -> str:
    if record.cookie_i is None or record.ka is None:
        raise _NoRowError("the initiator's cookie or the encryption key is not known")
    return f"{record.cookie_i.hex()},{_hex(record.ka)}"


def _hex(secret: Secret | None) -> str:
    return secret.reveal().hex() if secret is not None else ""
