"""The secrets file of ``tcpdump -E "file NAME"``: ESP with a cipher that OpenSSL names, and IKEv2 in CBC.

tcpdump has no AEAD here and verifies nothing; it takes away 96 bits of ICV or none.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ipsecscope.decrypt.keylogs.exporters.files import write_private
from ipsecscope.decrypt.keylogs.exporters.wireshark import Exported
from ipsecscope.decrypt.keys import IkeV2Keys, KeyRecord, NamedEncryption, Problem, SaKeys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm, SecurityProtocol

_E = EncryptionAlgorithm
ESP_CIPHERS = {
    _E.ENCR_DES: "des-cbc",
    _E.ENCR_3DES: "3des-cbc",
    _E.ENCR_CAST: "cast128-cbc",
    _E.ENCR_BLOWFISH: "blowfish-cbc",
    _E.ENCR_AES_CBC: "aes{bits}-cbc",
}
IKE_CIPHERS = {_E.ENCR_3DES: "3des", _E.ENCR_AES_CBC: "aes{bits}"}
IKE_MACS = {"hmac-md5": "md5", "hmac-sha1": "sha1", "hmac-sha2-256": "sha256"}
ICV_96 = 12


class _NoLineError(Exception):
    """tcpdump cannot open this."""


def write_tcpdump_secrets(records: Iterable[KeyRecord], path: Path | str, *, overwrite: bool = False) -> Exported:
    """Write the secrets file, mode 0600. Raises FileExistsError, OSError."""
    exported = tcpdump_secrets(records)
    write_private(path, exported.text, overwrite=overwrite)
    return exported


def tcpdump_secrets(records: Iterable[KeyRecord]) -> Exported:
    """The lines of a secrets file, and what has none."""
    lines: list[str] = []
    left_out: list[Problem] = []
    for record in records:
        if isinstance(record, SaKeys | IkeV2Keys):
            try:
                lines += _esp(record) if isinstance(record, SaKeys) else _ike(record)
            except _NoLineError as why:
                left_out.append(Problem(record.origin.file, record.origin.line, str(why)))
    unique = list(dict.fromkeys(lines))
    return Exported("".join(f"{line}\n" for line in unique), len(unique), tuple(left_out))


def _esp(record: SaKeys) -> list[str]:
    if record.protocol != SecurityProtocol.ESP or record.spi is None or record.dst is None:
        raise _NoLineError("tcpdump needs ESP with an SPI and a destination")
    mac = record.integrity.row if record.integrity else None
    icv = mac.icv_size if mac else 0
    if icv not in (0, ICV_96):
        raise _NoLineError(f"tcpdump cannot take away an ICV of {icv * 8} bits")
    suffix = "-hmac96" if icv else ""
    cipher = _cipher(record.encryption, ESP_CIPHERS)
    return [f"0x{record.spi:08x}@{record.dst} {cipher}{suffix}:0x{_hex(record.encryption_key)}"]


def _ike(record: IkeV2Keys) -> list[str]:
    if None in (record.spi_i, record.spi_r, record.sk_ei, record.sk_er):
        raise _NoLineError("tcpdump needs the SPIs, SK_ei and SK_er of an IKE SA")
    cipher = _cipher(record.encryption, IKE_CIPHERS)
    row = record.integrity.row if record.integrity else None
    mac = IKE_MACS.get(row.mac) if row else None
    if mac is None:
        raise _NoLineError("tcpdump has no name for the integrity algorithm of this IKE SA")
    spis = f"0x{_hex(record.spi_i)} 0x{_hex(record.spi_r)}"
    return [
        f"ikev2 I {spis} {mac}:0x{_hex(record.sk_ai)} {cipher}:0x{_hex(record.sk_ei)}",
        f"ikev2 R {spis} {mac}:0x{_hex(record.sk_ar)} {cipher}:0x{_hex(record.sk_er)}",
    ]


def _cipher(named: NamedEncryption | None, names: dict[EncryptionAlgorithm, str]) -> str:
    if named is None or named.id is None or named.id not in names:
        raise _NoLineError(f"tcpdump has no name for {named.name if named else 'an unknown cipher'}")
    return names[named.id].format(bits=named.key_bits)


def _hex(octets: Secret | bytes | None) -> str:
    if octets is None:
        return ""
    return (octets.reveal() if isinstance(octets, Secret) else octets).hex()
