"""Writing keys: our own log, Wireshark's tables and profile folder, tcpdump's secrets, and the ESPS block of pcapng.

Everything here makes text or octets; ``files.py`` is the only module that writes to disk, with mode 0600 and never
over an existing file unless told so.
"""

from ipsecscope.decrypt.keylogs.exporters.esps import esps_block
from ipsecscope.decrypt.keylogs.exporters.files import write_private
from ipsecscope.decrypt.keylogs.exporters.ipsecscope_log import ipsecscope_log, write_ipsecscope_log
from ipsecscope.decrypt.keylogs.exporters.tcpdump import tcpdump_secrets, write_tcpdump_secrets
from ipsecscope.decrypt.keylogs.exporters.wireshark import (
    Exported,
    esp_sa_table,
    ikev1_table,
    ikev2_table,
    open_command,
    write_wireshark_profile,
    write_wireshark_tables,
)

__all__ = [
    "Exported",
    "esp_sa_table",
    "esps_block",
    "ikev1_table",
    "ikev2_table",
    "ipsecscope_log",
    "open_command",
    "tcpdump_secrets",
    "write_ipsecscope_log",
    "write_private",
    "write_tcpdump_secrets",
    "write_wireshark_profile",
    "write_wireshark_tables",
]
