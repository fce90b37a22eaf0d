"""The names of the forms in which keys are written; apart from ``convert`` because the command line lists them."""

from __future__ import annotations

from enum import StrEnum


class KeyForm(StrEnum):
    """Forms in which keys are written."""

    ipsecscope = "ipsecscope"
    wireshark_profile = "wireshark-profile"
    esp_sa = "esp_sa"
    ikev2_decryption_table = "ikev2_decryption_table"
    ikev1_decryption_table = "ikev1_decryption_table"
    tcpdump = "tcpdump"
    esps = "esps"
