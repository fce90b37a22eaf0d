"""What charon's log entries add up to: IKE SAs and their keys, child SAs and theirs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from ipsecscope.decrypt.keylogs.reading import (
    COOKIE_SIZE,
    Reading,
    ike_spi,
    with_key_bits,
)
from ipsecscope.decrypt.keylogs.strongswan_children import ChildSas, kind_of
from ipsecscope.decrypt.keylogs.strongswan_state import (
    ADDITIONAL_SECRET,
    ALL_DUMPS,
    AUTHENTICATION,
    CHECKIN,
    CHECKOUT,
    CHILD,
    CREATED,
    FIRST_EXCHANGES,
    INSTALL,
    MAIN_SECRETS,
    MESSAGE,
    MSK,
    NATD,
    OCTETS,
    PPK_ID,
    PPK_NAMES,
    PROPOSAL,
    PSK_NAME,
    SK,
    SKEYID,
    SPI,
    START,
    USING,
    KeySet,
    Suite,
    Thread,
)
from ipsecscope.decrypt.keys import (
    IkeV1Keys,
    IkeV2Keys,
    Msk,
    Ppk,
    PreSharedKey,
    Role,
    SharedSecret,
)
from ipsecscope.decrypt.secret import Secret

if TYPE_CHECKING:
    from ipsecscope.decrypt.keylogs.strongswan import Entry

Listener: TypeAlias = Callable[[Thread, "Entry", re.Match[str]], None]

MAX_WAITING = 1_000  # sets of keys of one thread whose SPIs have not been told yet


class Daemon:
    """Follows a charon from start to start."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.is_following = False  # whether the log tells where the work on a message begins
        self.psks: dict[Secret, PreSharedKey] = {}
        self.ppks: dict[Secret, Ppk] = {}
        self.last_ppk: Secret | None = None
        self._restart()

    def _restart(self) -> None:
        self.threads: dict[str, Thread] = {}
        self.ike_suites: dict[str, Suite] = {}
        self.spis: dict[str, tuple[bytes, bytes]] = {}
        self.children = ChildSas(self.reading, self.spis)
        self.parents: dict[str, str] = {}  # which SA a rekeyed one comes from
        self.latest: dict[str, KeySet] = {}
        self.has_msk: set[str] = set()
        self.sequences: dict[tuple[bytes | None, bytes | None], int] = {}
        self._rows: tuple[tuple[re.Pattern[str], Listener], ...] = (
            (SPI, self.children.hear_spi),
            (INSTALL, self.children.hear_install),
            (CHECKIN, self._hear_checkin),
            (CHECKOUT, self._hear_checkout),
            (CREATED, self._hear_created),
            (MESSAGE, self._hear_message),
            (PROPOSAL, self._hear_proposal),
            (USING, self.children.hear_using),
            (AUTHENTICATION, self._hear_authentication),
            (MSK, self._hear_msk),
            (PPK_ID, self._hear_ppk_id),
            (START, self._hear_start),
        )

    @staticmethod
    def is_interesting(name: str) -> bool:
        """Whether a dump of this name holds keys."""
        return name in ALL_DUMPS

    def hear(self, entry: Entry) -> None:
        """Take in one entry of the log."""
        thread = self.threads.setdefault(entry.thread, Thread())
        if entry.octets is not None:
            self._hear_dump(thread, entry, entry.octets)
        else:
            self._hear_text(thread, entry)

    def finish(self) -> None:
        """Write down what still waits at the end of the log."""
        self._finish_run()
        for psk in self.psks.values():
            self.reading.add(psk)
        for ppk in self.ppks.values():
            self.reading.add(ppk)

    def _finish_run(self) -> None:
        """Write down what still waits when the daemon ends."""
        for thread in self.threads.values():
            self.children.settle(thread)
            self._settle_psk(thread, "")
            self._close(thread)
            for keys in thread.waiting:
                self._write(keys, *self._best_spis(thread, keys))
            thread.waiting.clear()

    def _best_spis(self, thread: Thread, keys: KeySet) -> tuple[bytes | None, bytes | None]:
        """SPIs without a ``checkin`` line: those of the id, if these are its first keys, or those seen in dumps."""
        return self.spis.get(keys.unique_id) or thread.spis or (None, None)

    # -- lines ---------------------------------------------------------------------------------------------------

    def _hear_text(self, thread: Thread, entry: Entry) -> None:
        for pattern, hear in self._rows:
            if found := pattern.match(entry.text):
                hear(thread, entry, found)
                return

    def _hear_start(self, _thread: Thread, _entry: Entry, _found: re.Match[str]) -> None:
        self._finish_run()
        self._restart()

    def _hear_checkout(self, thread: Thread, entry: Entry, _found: re.Match[str]) -> None:
        if not entry.unique_id:  # one inside other work has a label
            self.is_following = True
            thread.begin()

    def _hear_created(self, _thread: Thread, entry: Entry, found: re.Match[str]) -> None:
        self.parents[found[1]] = entry.unique_id

    def _hear_message(self, thread: Thread, _entry: Entry, found: re.Match[str]) -> None:
        thread.exchange = found[1]
        thread.role = Role.INITIATOR if found[2] == "response" else Role.RESPONDER

    def _hear_proposal(self, _thread: Thread, entry: Entry, found: re.Match[str]) -> None:
        suites = self.ike_suites if found[1] == "IKE" else self.children.suites
        suites[entry.unique_id] = Suite(found[2])

    def _hear_ppk_id(self, _thread: Thread, _entry: Entry, found: re.Match[str]) -> None:
        if self.last_ppk is not None:
            self.ppks[self.last_ppk] = replace(self.ppks[self.last_ppk], ppk_id=found[1])

    def _hear_msk(self, _thread: Thread, entry: Entry, found: re.Match[str]) -> None:
        if not found[1]:
            self.has_msk.add(entry.unique_id)

    def _hear_checkin(self, thread: Thread, _entry: Entry, found: re.Match[str]) -> None:
        unique_id, spi_i, spi_r = found[1], ike_spi(found[2]), ike_spi(found[3])
        self.children.settle(thread)
        self._settle_psk(thread, "")
        self._close(thread)
        if spi_i is None or spi_r is None:
            return
        self.spis[unique_id] = (spi_i, spi_r)
        still = []
        for keys in thread.waiting:
            # A rekeyed SA is newer than the one under whose id its keys may stand.
            if not keys.unique_id or int(keys.unique_id) <= int(unique_id):
                self._write(keys, spi_i, spi_r)
            else:
                still.append(keys)
        thread.waiting = still

    def _hear_authentication(self, thread: Thread, entry: Entry, found: re.Match[str]) -> None:
        """The identity that the shared key before (when verified) or behind (when made) this line is for."""
        if thread.psk is not None:
            line, value = thread.psk
            thread.psk = None
            self._add_psk(line, value, entry.unique_id, found[1])
        elif "(myself)" in found[0]:
            thread.child_names["id"] = found[1]

    # -- dumps ---------------------------------------------------------------------------------------------------

    def _hear_dump(self, thread: Thread, entry: Entry, octets: bytes) -> None:
        name, secret = entry.text, Secret(octets)
        if name in CHILD:
            thread.child_line = thread.child_line or entry.line
            thread.child[CHILD[name]] = secret
        elif name in MAIN_SECRETS or name == ADDITIONAL_SECRET:
            self._hear_shared_secret(thread, entry, secret)
        elif name in SK or name in SKEYID or name in ("SKEYSEED", "nonces", "initial IV"):
            self._hear_key(thread, entry, octets)
        elif name in PPK_NAMES:
            self.ppks.setdefault(secret, Ppk(origin=self.reading.origin(entry.line), value=secret))
            self.last_ppk = secret
            if name == "derive keys using PPK":
                self._close(thread)
                thread.keys = self._after_ppk(entry)
        elif name == PSK_NAME:
            self._hear_psk(thread, entry, secret)
        elif name.startswith((NATD, OCTETS)) and len(octets) >= 2 * COOKIE_SIZE:
            spi_i, spi_r = octets[:COOKIE_SIZE], octets[COOKIE_SIZE : 2 * COOKIE_SIZE]
            if any(spi_r) and any(spi_i):
                thread.spis = (spi_i, spi_r)
                if entry.unique_id:
                    self.spis.setdefault(entry.unique_id, thread.spis)

    def _hear_shared_secret(self, thread: Thread, entry: Entry, secret: Secret) -> None:
        if not secret:
            return
        if entry.group == "CHD":
            thread.child_secrets.append(secret)
            return
        if entry.text == ADDITIONAL_SECRET:
            self._filling(thread, entry).secrets.append((1, secret))
            return
        self._close(thread)
        keys = self._filling(thread, entry)
        keys.order = self._intermediate_order(thread, entry)
        keys.secrets.append((keys.order, secret))

    def _intermediate_order(self, thread: Thread, entry: Entry) -> int:
        """Which key exchange of the SA this is: IKE_INTERMEDIATE follows on the one before (RFC 9370 section 2.2.2)."""
        before = self.latest.get(entry.unique_id)
        is_next = thread.exchange in FIRST_EXCHANGES
        return before.order + 1 if before is not None and before.secrets and is_next else 0

    def _filling(self, thread: Thread, entry: Entry) -> KeySet:
        if thread.keys is None:
            thread.keys = KeySet(entry.line, entry.unique_id)
        return thread.keys

    def _hear_key(self, thread: Thread, entry: Entry, octets: bytes) -> None:
        name = entry.text
        field = SK.get(name) or SKEYID.get(name) or name.lower()
        keys = self._filling(thread, entry)
        if field in keys.fields or (name in ("SKEYSEED", "SKEYID") and keys.has_keys):
            self._close(thread)
            keys = self._filling(thread, entry)
        if name == "nonces":
            keys.nonces = octets
        elif name == "initial IV":
            keys.iv = octets
        else:
            keys.fields[field] = Secret(octets)
            keys.is_ikev1 |= name in SKEYID
        keys.suite = self._suite_of(entry.unique_id) or keys.suite
        keys.role, keys.exchange = self._made_by(thread, keys)

    def _suite_of(self, unique_id: str) -> Suite | None:
        """The proposal selected for an SA; that of a rekeying stands under the id of the old SA."""
        return self.ike_suites.get(unique_id) or self.ike_suites.get(self.parents.get(unique_id, unique_id))

    def _made_by(self, thread: Thread, keys: KeySet) -> tuple[Role | None, str]:
        """Role and exchange of the keys: a responder derives them when the next request comes, before it is parsed."""
        if thread.exchange or not self.is_following or keys.is_ikev1:
            return thread.role, thread.exchange
        return Role.RESPONDER, "IKE_INTERMEDIATE" if keys.order else "IKE_SA_INIT"

    def _after_ppk(self, entry: Entry) -> KeySet:
        """The set that follows when a PPK is mixed in: SK_d, SK_pi and SK_pr are new, the others stay (RFC 8784)."""
        keys = KeySet(entry.line, entry.unique_id)
        before = self.latest.get(entry.unique_id)
        keys.uses_ppk = True
        if before is not None:
            kept = ("sk_ai", "sk_ar", "sk_ei", "sk_er")
            keys.fields = {name: before.fields[name] for name in kept if name in before.fields}
            keys.suite = before.suite
        return keys

    def _hear_psk(self, thread: Thread, entry: Entry, secret: Secret) -> None:
        own_id = thread.child_names.pop("id", "")
        if own_id:
            self._add_psk(entry.line, secret, entry.unique_id, own_id)
        else:
            self._settle_psk(thread, entry.unique_id)
            thread.psk = (entry.line, secret)

    def _settle_psk(self, thread: Thread, unique_id: str) -> None:
        """A shared key that no line told the identity of: the authentication failed."""
        if thread.psk is not None:
            line, value = thread.psk
            thread.psk = None
            self._add_psk(line, value, unique_id, "")

    def _add_psk(self, line: int, value: Secret, unique_id: str, identity: str) -> None:
        """A PSK, an MSK, or SK_p: RFC 7296 section 2.16 has it stand in when the EAP method makes no key."""
        keys = self.latest.get(unique_id)
        if keys is not None and value in (keys.fields.get("sk_pi"), keys.fields.get("sk_pr")):
            return
        origin = self.reading.origin(line)
        ids = (identity,) if identity else ()
        if unique_id in self.has_msk:
            spi_i, spi_r = self.spis.get(unique_id, (None, None))
            self.reading.add(Msk(origin=origin, value=value, ids=ids, spi_i=spi_i, spi_r=spi_r))
        else:
            known = self.psks.setdefault(value, PreSharedKey(origin=origin, value=value))
            self.psks[value] = replace(known, ids=tuple(dict.fromkeys((*known.ids, *ids))))

    # -- IKE SAs -------------------------------------------------------------------------------------------------

    def _close(self, thread: Thread) -> None:
        """The set that a thread was filling is whole; its SPIs come later."""
        keys, thread.keys = thread.keys, None
        if keys is None or not (keys.has_keys or keys.secrets):
            return
        if keys.has_keys:
            self.latest[keys.unique_id] = keys
        thread.waiting.append(keys)
        if len(thread.waiting) > MAX_WAITING:
            oldest = thread.waiting.pop(0)
            self._write(oldest, *self._best_spis(thread, oldest))

    def _write(self, keys: KeySet, spi_i: bytes | None, spi_r: bytes | None) -> None:
        for order, value in keys.secrets:
            group = keys.suite.group(order) if keys.suite else None
            self.reading.add(
                SharedSecret(
                    origin=self.reading.origin(keys.line),
                    value=value,
                    kind=kind_of(group),
                    group=group,
                    spi_i=spi_i,
                    spi_r=spi_r,
                    order=order,
                )
            )
        if keys.has_keys:
            with self.reading.line(keys.line):
                self.reading.add(self._ikev1(keys, spi_i, spi_r) if keys.is_ikev1 else self._ikev2(keys, spi_i, spi_r))

    def _next_sequence(self, spi_i: bytes | None, spi_r: bytes | None) -> int:
        number = self.sequences.get((spi_i, spi_r), 0)
        self.sequences[spi_i, spi_r] = number + 1
        return number

    def _ikev1(self, keys: KeySet, spi_i: bytes | None, spi_r: bytes | None) -> IkeV1Keys:
        suite = keys.suite
        encryption = suite.encryption if suite else None
        ka = keys.fields.get("ka")
        return IkeV1Keys(
            origin=self.reading.origin(keys.line),
            cookie_i=spi_i,
            cookie_r=spi_r,
            iv=keys.iv,
            encryption=with_key_bits(encryption, ka) if encryption is not None and ka is not None else encryption,
            hash=suite.prf if suite else None,
            groups=tuple(suite.groups) if suite else (),
            role=keys.role,
            sequence=self._next_sequence(spi_i, spi_r),
            **keys.fields,
        )

    def _ikev2(self, keys: KeySet, spi_i: bytes | None, spi_r: bytes | None) -> IkeV2Keys:
        suite = keys.suite
        encryption = suite.encryption if suite else None
        sk_ei = keys.fields.get("sk_ei")
        return IkeV2Keys(
            origin=self.reading.origin(keys.line),
            spi_i=spi_i,
            spi_r=spi_r,
            encryption=with_key_bits(encryption, sk_ei) if encryption is not None and sk_ei is not None else encryption,
            integrity=suite.integrity if suite else None,
            prf=suite.prf if suite else None,
            groups=tuple(suite.groups) if suite else (),
            role=keys.role,
            nonces=keys.nonces,
            exchange=keys.exchange,
            uses_ppk=keys.uses_ppk,
            sequence=self._next_sequence(spi_i, spi_r),
            **keys.fields,
        )
