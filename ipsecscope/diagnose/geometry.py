"""Keyless inference from ESP lengths: which cipher families, ICV lengths, modes and MTUs the packet lengths allow.

A packet is ESP header, IV, whole units of padded plaintext and ICV (RFC 4303 2), so every length L of a flow fulfils
``L = 8 + IV + k·A + ICV``. Families with equal sizes cannot be told apart, and are named together.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from ipsecscope.decrypt.algorithms import ENCRYPTION, INTEGRITY
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm
from ipsecscope.timeline.ciphertext import Ciphertext
from ipsecscope.timeline.flows import Flow

ESP_HEADER = 8  # SPI and sequence number
TRAILER = 2  # pad length and next header
MIN_ALIGNMENT = 4  # RFC 4303 2.4
MIN_INNER_IPV4 = 20  # the smallest packet that tunnel mode can carry
MIN_LENGTHS = 4  # distinct lengths before anything is said about blocks
CERTAIN_LENGTHS = 8
PLATEAU_SHARE = 0.05  # of all octets at the largest length makes it a plateau
COUNTER_IV = 8  # octets: the explicit IV of AEADs and of counter mode
CLEAR = frozenset({EncryptionAlgorithm.ENCR_NULL.name, EncryptionAlgorithm.ENCR_NULL_AUTH_AES_GMAC.name})
IPV4_HEADER, IPV6_HEADER, UDP_HEADER = 20, 40, 8


class Family(msgspec.Struct, frozen=True):
    """Transforms that nobody can tell apart by length: octets of IV, alignment and ICV, and their names."""

    iv: int
    align: int
    icv: int
    names: tuple[str, ...]

    def fits(self, length: int) -> bool:
        """Whether a packet of this family can have this length."""
        body = length - ESP_HEADER - self.iv - self.icv
        return body >= self.align and body % self.align == 0

    def largest_inner(self, length: int) -> int:
        """The most plaintext octets a packet of this length can hold."""
        return length - ESP_HEADER - self.iv - self.icv - TRAILER

    @property
    def text(self) -> str:
        """Such as ``AES-CBC + 128-bit ICV``."""
        return " / ".join(self.names)


class Geometry(msgspec.Struct, frozen=True):
    """What the lengths of a flow allow: ``families`` from the most to the least particular."""

    families: tuple[Family, ...]
    block: int
    distinct: int
    mode: str | None
    plateau: int | None

    @property
    def names(self) -> list[str]:
        """The families in words."""
        return [family.text for family in self.families]


def families() -> tuple[Family, ...]:
    """Every geometry that the transforms of this program have, the largest alignment first."""
    found: dict[tuple[int, int, int], list[str]] = {}
    icvs: dict[int, list[str]] = {}
    for integ in INTEGRITY:
        if integ.id is not None and integ.icv_size:
            icvs.setdefault(integ.icv_size, []).append(integ.name)
    for row in ENCRYPTION:
        if row.id is None or not row.is_supported:
            continue
        align = max(row.block_size, MIN_ALIGNMENT)
        if row.is_aead:
            found.setdefault((row.iv_size, align, row.icv_size), []).append(row.name)
            continue
        for icv in sorted({0, *icvs}):
            name = f"{row.name} + {icv * 8}-bit ICV" if icv else f"{row.name} without integrity"
            found.setdefault((row.iv_size, align, icv), []).append(name)
    rows = [Family(iv, align, icv, tuple(names)) for (iv, align, icv), names in found.items()]
    return tuple(sorted(rows, key=lambda family: (-family.align, -family.icv, -family.iv)))


_FAMILIES: list[Family] = []


def _families() -> list[Family]:
    if not _FAMILIES:
        _FAMILIES.extend(families())
    return _FAMILIES


def geometry_of(lengths: dict[int, int], seen: Ciphertext | None = None) -> Geometry | None:
    """What the lengths of one flow allow; None without packets or when no family fits (then it is not plain ESP).

    What the octets show narrows it further: IVs that count are those of an AEAD or of counter mode (Linux and others
    make them so, RFC 4106 3.1 and RFC 3686 4 leave it open), and packets that end readably are not encrypted.
    """
    if not lengths:
        return None
    fitting = tuple(family for family in _families() if all(family.fits(length) for length in lengths))
    fitting = _narrowed(fitting, seen)
    if not fitting:
        return None
    block = _block(lengths)
    kept = tuple(family for family in fitting if family.align >= block) or fitting
    return Geometry(kept, block, len(lengths), _mode(lengths, kept), _plateau(lengths))


def _narrowed(fitting: tuple[Family, ...], seen: Ciphertext | None) -> tuple[Family, ...]:
    """The families that the octets of the packets allow as well; all of them where that would leave none."""
    if seen is None or not seen.sampled:
        return fitting
    kept = []
    for family in fitting:
        if seen.is_counter and (family.iv != COUNTER_IV or family.align != MIN_ALIGNMENT):
            continue
        names = tuple(name for name in family.names if _is_clear(name) == seen.is_readable)
        if names:
            kept.append(msgspec.structs.replace(family, names=names))
    return tuple(kept) or fitting


def _is_clear(name: str) -> bool:
    """Whether a transform leaves the packets readable."""
    return name.partition(" ")[0] in CLEAR


def _block(lengths: Iterable[int]) -> int:
    """The unit in which the lengths differ, once there are enough of them to speak of one."""
    sizes = sorted(lengths)
    if len(sizes) < MIN_LENGTHS:
        return MIN_ALIGNMENT
    return next((unit for unit in (16, 8) if len({size % unit for size in sizes}) == 1), MIN_ALIGNMENT)


def _mode(lengths: Iterable[int], fitting: tuple[Family, ...]) -> str | None:
    """``transport`` when the smallest packet has no room for an inner IP header in any family; else unknown.

    ESP without integrity is left out of it (RFC 8221 section 4 forbids it), as long as anything else fits.
    """
    smallest = min(lengths)
    protected = [family for family in fitting if family.icv] or list(fitting)
    roomiest = max(family.largest_inner(smallest) for family in protected)
    return "transport" if roomiest < MIN_INNER_IPV4 else None


def _plateau(lengths: dict[int, int]) -> int | None:
    """The largest length, when a fair share of all octets stands in packets of it."""
    largest = max(lengths)
    total = sum(length * count for length, count in lengths.items())
    share = largest * lengths[largest] / total
    return largest if len(lengths) > 1 and lengths[largest] > 1 and share >= PLATEAU_SHARE else None


def path_mtu(flow: Flow, plateau: int) -> int:
    """The size of the IP packet that carries an ESP packet of ``plateau`` octets."""
    header = IPV6_HEADER if ":" in flow.dst else IPV4_HEADER
    return plateau + header + (UDP_HEADER if flow.encapsulation == "udp" else 0)


def icv_class(lengths: Iterable[int]) -> int | None:
    """The common remainder of 16 of all lengths, which gives an AES-CBC flow's ICV away; None when they differ."""
    remainders = {length % 16 for length in lengths}
    return remainders.pop() if len(remainders) == 1 else None
