"""The child SAs of charon's log: keys by role, then the lines that say which SA has which."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ipsecscope.decrypt.keylogs.reading import (
    KeyLineError,
    Reading,
    address_of,
    encryption_named,
    integrity_named,
    protocol_of,
    sa_spi,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.strongswan_state import Suite, Thread
from ipsecscope.decrypt.keys import Direction, NamedGroup, Role, SaKeys, SecretKind, SharedSecret
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod

if TYPE_CHECKING:
    from ipsecscope.decrypt.keylogs.strongswan import Entry


class ChildSas:
    """The child SAs of one run of the daemon. ``spis`` are the IKE SPIs by unique id, as they become known."""

    def __init__(self, reading: Reading, spis: dict[str, tuple[bytes, bytes]]) -> None:
        self.reading = reading
        self.spis = spis
        self.suites: dict[str, Suite] = {}

    def hear_install(self, thread: Thread, _entry: Entry, found: re.Match[str]) -> None:
        """An SA is installed, in the direction that the line tells."""
        thread.install = (Direction(found[1]), found[2])

    def hear_using(self, thread: Thread, _entry: Entry, found: re.Match[str]) -> None:
        """The algorithms of the child that comes."""
        thread.child_names[found[2]] = found[1]

    def hear_spi(self, thread: Thread, entry: Entry, found: re.Match[str]) -> None:
        """SPI and addresses of the SA being installed: with its keys it is a record."""
        install, thread.install = thread.install, None
        if install is None or not thread.child:
            return
        spi = sa_spi(found[1])
        if spi is not None:
            thread.child_spis.append(spi)
        direction, protocol = install
        suite = self.suites.get(entry.unique_id)
        for role in self._roles(thread, direction):
            record = self._sa_keys(thread, role, suite)
            self.reading.add(
                replace(
                    record,
                    protocol=protocol_of(protocol),
                    spi=spi,
                    src=address_of(found[2]),
                    dst=address_of(found[3]),
                    direction=direction,
                )
            )
        if len(thread.child_spis) >= 2:
            self._write_child_secrets(thread, entry)

    def _roles(self, thread: Thread, direction: Direction) -> tuple[Role, ...]:
        """Whose key an SA in this direction has; both, for the ICV to decide, where the log does not tell our role."""
        if thread.role is None:
            return (Role.INITIATOR, Role.RESPONDER)
        ours = thread.role
        theirs = Role.RESPONDER if ours is Role.INITIATOR else Role.INITIATOR
        return (ours if direction is Direction.OUTBOUND else theirs,)

    def _sa_keys(self, thread: Thread, role: Role, suite: Suite | None) -> SaKeys:
        encryption_key = thread.child.get(("encryption", role), Secret(b""))
        integrity_key = thread.child.get(("integrity", role), Secret(b""))
        cipher, mac = thread.child_names.get("encryption"), thread.child_names.get("integrity")
        encryption = encryption_named(cipher) if cipher else suite.encryption if suite else None
        integrity = integrity_named(mac) if mac else suite.integrity if suite else None
        if encryption is not None:
            encryption = with_key_bits(encryption, encryption_key)
        elif encryption_key:
            raise KeyLineError(
                "the log does not tell the algorithm of these keys (it is logged with cfg = 1 or chd = 2)"
            )
        return SaKeys(
            origin=self.reading.origin(thread.child_line),
            encryption=encryption,
            encryption_key=encryption_key,
            integrity=integrity,
            integrity_key=integrity_key,
            esn=suite.esn if suite else None,
            role=role,
        )

    def _write_child_secrets(self, thread: Thread, entry: Entry) -> None:
        suite = self.suites.get(entry.unique_id)
        spi_i, spi_r = self.spis.get(entry.unique_id, (None, None))
        for order, value in enumerate(thread.child_secrets):
            group = suite.group(order) if suite else None
            self.reading.add(
                SharedSecret(
                    origin=self.reading.origin(thread.child_line),
                    value=value,
                    kind=kind_of(group),
                    group=group,
                    spi_i=spi_i,
                    spi_r=spi_r,
                    child_spis=tuple(thread.child_spis),
                    order=order,
                )
            )
        self._forget_child(thread)

    def settle(self, thread: Thread) -> None:
        """What is left of a child when a thread is done with it."""
        for order, value in enumerate(thread.child_secrets):
            self.reading.add(
                SharedSecret(
                    origin=self.reading.origin(thread.child_line),
                    value=value,
                    child_spis=tuple(thread.child_spis),
                    order=order,
                )
            )
        self._forget_child(thread)

    def _forget_child(self, thread: Thread) -> None:
        thread.child.clear()
        thread.child_secrets.clear()
        thread.child_spis.clear()
        thread.child_names.clear()
        thread.child_line = 0


def kind_of(group: NamedGroup | None) -> SecretKind:
    """Whether a key exchange method is a KEM."""
    kems = (KeyExchangeMethod.ML_KEM_512, KeyExchangeMethod.ML_KEM_768, KeyExchangeMethod.ML_KEM_1024)
    return SecretKind.KEM if group is not None and group.id in kems else SecretKind.DH
