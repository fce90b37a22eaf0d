"""The Vendor IDs by which IKEv1 announces its extensions: NAT traversal, DPD, XAUTH, Unity, fragmentation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from ipsecscope.dissect.registry.vendor_ids import VENDOR_IDS, identify
from ipsecscope.dissect.registry.vendor_rows import md5
from ipsecscope.peers.ikev1.config import Ikev1Config, NatTraversal


class Extension(Enum):
    """Extensions that the peers know, each with the beginning of its row's name in the registry."""

    DPD = "Dead Peer Detection"
    XAUTH = "XAUTH"
    UNITY = "Cisco Unity"
    FRAGMENTATION = "FRAGMENTATION"


def _octets() -> dict[Extension, bytes]:
    found: dict[Extension, bytes] = {}
    for row in VENDOR_IDS:
        for extension in Extension:
            if row.name == extension.value:
                found.setdefault(extension, row.octets)
    return found


VENDOR_OCTETS = _octets()
