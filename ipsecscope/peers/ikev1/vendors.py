"""The Vendor IDs by which IKEv1 announces its extensions: NAT traversal, DPD, XAUTH, Unity, fragmentation."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from ipsecscope.dissect.registry.vendor_ids import VENDOR_IDS
from ipsecscope.peers.ikev1.config import Ikev1Config, NatTraversal


class Extension(Enum):
    """Extensions that the peers know, by the name of their row in the registry."""

    DPD = "DPD (RFC 3706)"
    XAUTH = "XAUTH"
    UNITY = "Cisco Unity"
    FRAGMENTATION = "FRAGMENTATION"


# What follows the known beginning: RFC 3706 section 5.1 and Unity have a version 1.0, fragmentation has capability bits.
_BEHIND = {
    Extension.DPD: b"\1\0",
    Extension.XAUTH: b"",
    Extension.UNITY: b"\1\0",
    Extension.FRAGMENTATION: b"\x80\0\0\0",
}
_ROWS = {row.name: row.octets for row in reversed(VENDOR_IDS)}
_ORIGINS = {row.origin: row.octets for row in reversed(VENDOR_IDS) if row.origin}


def octets_of(extension: Extension | NatTraversal) -> bytes:
    """The octets of the Vendor ID that announces an extension."""
    if isinstance(extension, NatTraversal):
        return _ORIGINS[extension.value]
    return _ROWS[extension.value] + _BEHIND[extension]


def announced(config: Ikev1Config) -> tuple[bytes, ...]:
    """The Vendor IDs of a peer, in the order in which it sends them."""
    found = [octets_of(Extension.XAUTH)] if config.uses_xauth else []
    found += [octets_of(Extension.DPD)] if config.dpd else []
    found += [octets_of(Extension.UNITY)] if config.unity is not None or config.request_config else []
    found += [octets_of(Extension.FRAGMENTATION)] if config.fragmentation else []
    found += [octets_of(version) for version in config.nat_traversal]
    return (*found, *config.vendor_ids)


def understood(vendor_ids: Iterable[bytes]) -> tuple[frozenset[Extension], frozenset[NatTraversal]]:
    """The extensions and versions of NAT traversal that the other side announced."""
    seen = set(vendor_ids)
    extensions = {each for each in Extension if any(data.startswith(_ROWS[each.value]) for data in seen)}
    versions = {each for each in NatTraversal if octets_of(each) in seen}
    return frozenset(extensions), frozenset(versions)
