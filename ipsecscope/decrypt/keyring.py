"""The key ring: all key material of an analysis, handed out by SPI where it has one and for trial where it has none.

A key is used only after an integrity check proved that it fits; what fitted is remembered by whoever asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, TypeVar

from ipsecscope.decrypt.keys import (
    IkeV1Keys,
    IkeV2Keys,
    KeyRecord,
    Msk,
    Ppk,
    PreSharedKey,
    SaKeys,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol

MAX_TRIALS = 4096  # combinations of shared secrets tried for one key derivation


Row_co = TypeVar("Row_co", covariant=True)


class Named(Protocol[Row_co]):
    """An algorithm as a key source names it."""

    @property
    def row(self) -> Row_co | None:
        """What this program knows of it."""


def row_of(named: Named[Row_co] | None) -> Row_co | None:
    """The algorithm that a key record names; None when it names none, or none that is known."""
    return None if named is None else named.row


class KeyRing:
    """Key material by kind. ``used`` collects the records that opened something."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self.ike_v2: list[IkeV2Keys] = []
        self.ike_v1: list[IkeV1Keys] = []
        self.sa_keys: list[SaKeys] = []
        self.secrets: list[SharedSecret] = []
        self.psks: list[PreSharedKey] = []
        self.ppks: list[Ppk] = []
        self.msks: list[Msk] = []
        for record in records:
            self.add(record)

    def add(self, record: KeyRecord) -> None:
        """Put one record on the ring."""
        if isinstance(record, IkeV2Keys):
            self.ike_v2.append(record)
        elif isinstance(record, IkeV1Keys):
            self.ike_v1.append(record)
        elif isinstance(record, SaKeys):
            self.sa_keys.append(record)
        elif isinstance(record, SharedSecret):
            self.secrets.append(record)
        elif isinstance(record, PreSharedKey):
            self.psks.append(record)
        elif isinstance(record, Ppk):
            self.ppks.append(record)
        elif isinstance(record, Msk):
            self.msks.append(record)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to try."""
        return not any((self.ike_v2, self.ike_v1, self.sa_keys, self.secrets, self.psks))

    def for_ike_v2(self, spi_i: bytes, spi_r: bytes) -> tuple[list[IkeV2Keys], list[IkeV2Keys]]:
        """The IKEv2 key sets of this SPI pair, and those of which nobody knows the SPIs."""
        named, unnamed = [], []
        for keys in self.ike_v2:
            if keys.spi_i is None and keys.spi_r is None:
                unnamed.append(keys)
            elif keys.spi_i in (None, spi_i) and keys.spi_r in (None, spi_r):
                named.append(keys)
        return named, unnamed

    def for_ike_v1(self, cookie_i: bytes) -> tuple[list[IkeV1Keys], list[IkeV1Keys]]:
        """The IKEv1 keys of this initiator cookie, and those of which nobody knows the cookie."""
        named = [keys for keys in self.ike_v1 if keys.cookie_i == cookie_i]
        return named, [keys for keys in self.ike_v1 if keys.cookie_i is None]

    def for_sa(self, protocol: SecurityProtocol, spi: int) -> tuple[list[SaKeys], list[SaKeys]]:
        """The ESP or AH keys of this SPI, and those of which nobody knows the SPI."""
        mine = [keys for keys in self.sa_keys if keys.protocol == protocol]
        return [keys for keys in mine if keys.spi == spi], [keys for keys in mine if keys.spi is None]

    def shared_secrets(self, size: int = 0) -> Iterator[Secret]:
        """Every distinct Diffie-Hellman or KEM secret; ``size`` in octets narrows where the method fixes it."""
        seen: set[bytes] = set()
        for record in self.secrets:
            octets = record.value.reveal()
            if octets not in seen and (not size or len(octets) == size):
                seen.add(octets)
                yield record.value

    def combinations(self, sizes: tuple[int, ...]) -> Iterator[tuple[Secret, ...]]:
        """Every choice of one secret per key exchange, at most ``MAX_TRIALS``."""
        yield from islice(self._product(sizes), MAX_TRIALS)

    def _product(self, sizes: tuple[int, ...]) -> Iterator[tuple[Secret, ...]]:
        if not sizes:
            yield ()
            return
        for first in self.shared_secrets(sizes[0]):
            for rest in self._product(sizes[1:]):
                yield (first, *rest)
