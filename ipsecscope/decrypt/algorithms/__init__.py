"""One row per transform: its sizes, and every name it is known by.

Key importers, ESP geometry, strength rules and the peers read the same row. Nothing here loads cryptography;
``ciphers.py`` and ``macs.py`` bind a row to a key.
"""

from ipsecscope.decrypt.algorithms.encryption_table import (
    ENCRYPTION,
    encryption,
    encryption_by_name,
    encryption_of_esp_v1,
    encryption_of_phase_1,
)
from ipsecscope.decrypt.algorithms.integrity_table import (
    INTEGRITY,
    NO_INTEGRITY,
    integrity,
    integrity_by_name,
    integrity_of_ah_v1,
    integrity_of_esp_v1,
    truncated,
)
from ipsecscope.decrypt.algorithms.prf_table import PRFS, prf_by_name, prf_of_hash_v1, pseudorandom
from ipsecscope.decrypt.algorithms.rows import (
    AlgorithmError,
    EncryptionRow,
    IntegrityError,
    IntegrityRow,
    KeyLengthError,
    PrfRow,
    SizeError,
    UnknownAlgorithmError,
    UnsupportedAlgorithmError,
    lookup_table,
    normal_name,
)

__all__ = [
    "ENCRYPTION",
    "INTEGRITY",
    "NO_INTEGRITY",
    "PRFS",
    "AlgorithmError",
    "EncryptionRow",
    "IntegrityError",
    "IntegrityRow",
    "KeyLengthError",
    "PrfRow",
    "SizeError",
    "UnknownAlgorithmError",
    "UnsupportedAlgorithmError",
    "encryption",
    "encryption_by_name",
    "encryption_of_esp_v1",
    "encryption_of_phase_1",
    "integrity",
    "integrity_by_name",
    "integrity_of_ah_v1",
    "integrity_of_esp_v1",
    "lookup_table",
    "normal_name",
    "prf_by_name",
    "prf_of_hash_v1",
    "pseudorandom",
    "truncated",
]
