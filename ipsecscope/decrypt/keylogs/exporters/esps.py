"""The data of a pcapng Decryption Secrets Block of type ``ESPS``: RFC 4180 CSV, a header line and ten columns."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecscope.decrypt.keylogs.exporters.wireshark import esp_sa_table
from ipsecscope.decrypt.keys import KeyRecord, Problem

COLUMNS = 10
HEADER = "Protocol,Src IP,Dest IP,SPI,Encryption,Encryption Key,Authentication,Authentication Key,SN,ESN High Bits"


def esps_block(records: Iterable[KeyRecord]) -> tuple[bytes, tuple[Problem, ...]]:
    """The octets of the block's data, and the records that have no row in it."""
    table = esp_sa_table(records, columns=COLUMNS)
    lines = [HEADER, *table.text.splitlines()]
    return "".join(f"{line}\r\n" for line in lines).encode(), table.left_out
