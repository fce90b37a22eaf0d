"""Opening ESP and verifying AH: the second look at a capture, when all keys that can be derived are known.

Keys are found by SPI where a source or a negotiation names it, by trial of the integrity check where none does. What
was proven for an SPI is tried first; another key for the same SPI is found the same way, so SPIs may be used again.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.decrypt.algorithms import (
    AlgorithmError,
    EncryptionRow,
    IntegrityRow,
    UnknownAlgorithmError,
    encryption,
    encryption_by_name,
    integrity,
    integrity_by_name,
)
from ipsecscope.decrypt.keymat import ChildKeys, ChildSuite, derive_child_keymat
from ipsecscope.decrypt.keymat_ikev1 import quick_mode_keys
from ipsecscope.decrypt.keyring import KeyRing, row_of
from ipsecscope.decrypt.keys import SaKeys
from ipsecscope.decrypt.opening import Reason, Refused
from ipsecscope.decrypt.opening_ah import AhSa, AhVerifier
from ipsecscope.decrypt.opening_esp import EspOpened, EspOpener, EspSa
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import SecurityProtocol, TransformType
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.timeline.children import ChildRegister, Negotiated
from ipsecscope.timeline.conversations import Conversations
from ipsecscope.timeline.ikev1_keys import Ikev1Opener
from ipsecscope.timeline.ikev2_keys import Ikev2Opener, secret_size, secret_sizes
from ipsecscope.timeline.inner import Ends, Opened, Restored, Restorer, inner_of, protected_inside
from ipsecscope.timeline.sas import Role, other
from ipsecscope.timeline.tracking import SaTracker

TRIAL_PACKETS = 16  # packets of one flow on which keys that are not proven yet are tried
MAX_NESTING = 8  # IPsec packets inside each other, when the inner ones are wanted
NO_KEY = Refused(Reason.NO_KEY, str(Reason.NO_KEY))

Opener = EspOpener | AhVerifier


class Sink(Protocol):
    """Who wants the opened packets."""

    def __call__(self, datagram: Datagram, opened: Opened, restored: Restored) -> None:
        """Take one opened packet with the datagram it came in and the packets that it protects.

        Of packets that protect IPsec packets which open too, only the innermost come.
        """


class ProvenSa(msgspec.Struct, frozen=True):
    """Keys that opened packets of a flow, with the first packet that showed it."""

    spi: int
    opener: Opener
    datagram: Datagram
    modes: tuple[str, ...]


class TrafficResult(msgspec.Struct, frozen=True):
    """What came of the packets of one flow."""

    opened: int
    refused: int
    reason: str | None
    protocols: dict[str, int]
    modes: tuple[str, ...] = ()
    origin: str | None = None
    truncated_icv: bool = False
    dummies: int = 0
    pairs: dict[tuple[str, str], int] = {}  # packets inside a tunnel by source and destination
    errors: dict[tuple[str, str, str], int] = {}  # errors inside a tunnel by kind, source and destination
    esn: bool | None = None  # whether the ICVs prove extended sequence numbers; None where nothing was opened


@dataclass(slots=True)
class _FlowState:
    proven: list[tuple[Opener, str]] = field(default_factory=list)
    candidates: list[tuple[Opener, str]] | None = None
    tried: int = 0
    opened: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    protocols: Counter[str] = field(default_factory=Counter)
    modes: dict[str, None] = field(default_factory=dict)
    origin: str | None = None
    truncated_icv: bool = False
    dummies: int = 0
    esn: bool | None = None
    inside: Conversations = field(default_factory=Conversations)
    first: Datagram | None = None


class TrafficOpener:
    """Opens packets as they come; ``results`` are by (destination, protocol, SPI) when all were seen."""

    def __init__(
        self,
        ring: KeyRing,
        trackers: list[SaTracker],
        register: ChildRegister,
        ikev1: Ikev1Opener,
        ikev2: Ikev2Opener,
        sink: Sink | None = None,
    ) -> None:
        self.ring = ring
        self.ikev1, self.ikev2 = ikev1, ikev2
        self.sink = sink
        self._restorer = Restorer()
        self._flows: dict[tuple[str, str, int], _FlowState] = {}
        self._by_spi: dict[tuple[str, int], list[tuple[SaTracker, Negotiated, Role]]] = {}
        for sa in trackers:
            for child in register.of(sa):
                for role, spi in child.spi_of.items():
                    key = (child.protocol, int.from_bytes(spi, "big"))
                    self._by_spi.setdefault(key, []).append((sa, child, role))

    def feed(self, datagram: Datagram, depth: int = 0) -> bool:
        """Take one ESP or AH datagram; whether it was opened. ``depth`` counts the packets around it."""
        data = datagram.payload
        is_esp = datagram.kind == Kind.ESP
        at = 0 if is_esp else 4
        if len(data) < at + 8:
            return False
        spi = int.from_bytes(data[at : at + 4], "big")
        protocol = "ESP" if is_esp else "AH"
        flow = self._flows.setdefault((datagram.dst, protocol, spi), _FlowState())
        if datagram.missing:
            flow.refused["the capture lacks the end of the packet"] += 1
            return False
        result = self._open(flow, protocol, spi, data if is_esp else datagram.packet)
        if isinstance(result, Refused):
            flow.refused[result.text] += 1
            return False
        flow.opened += 1
        flow.first = flow.first or datagram
        self._note(flow, datagram, result)
        if self.sink is not None:
            self._hand_over(self.sink, datagram, result, depth)
        return True

    def _hand_over(self, sink: Sink, datagram: Datagram, opened: Opened, depth: int) -> None:
        """Give an opened packet to whoever wants it, or what opens inside of it."""
        restored = self._restorer.restore(datagram, opened, self._beet_ends(datagram, opened.spi))
        inside = protected_inside(restored, datagram) if depth < MAX_NESTING else []
        opened_inside = [self.feed(each, depth + 1) for each in inside]
        if not any(opened_inside):
            sink(datagram, opened, restored)

    def _beet_ends(self, datagram: Datagram, spi: int) -> Ends | None:
        """The inner addresses of an SA in BEET mode, from its traffic selectors; None for any other SA."""
        for _, child, role in reversed(self._by_spi.get((datagram.kind.name, spi), ())):
            if child.created_ns <= datagram.time_ns:
                ends = _host(child.tsi), _host(child.tsr)
                if child.mode != "beet" or ends[0] is None or ends[1] is None:
                    return None
                return (ends[0], ends[1]) if role == "responder" else (ends[1], ends[0])
        return None

    def proven(self) -> Iterator[ProvenSa]:
        """Every set of keys that opened packets, flow by flow."""
        for (_, _, spi), flow in self._flows.items():
            if flow.first is not None:
                for opener, _ in flow.proven:
                    yield ProvenSa(spi, opener, flow.first, tuple(flow.modes))

    def results(self) -> dict[tuple[str, str, int], TrafficResult]:
        """What came of each flow."""
        return {
            key: TrafficResult(
                opened=flow.opened,
                refused=sum(flow.refused.values()),
                reason=flow.refused.most_common(1)[0][0] if flow.refused else None,
                protocols=dict(sorted(flow.protocols.items())),
                modes=tuple(flow.modes),
                origin=flow.origin,
                truncated_icv=flow.truncated_icv,
                dummies=flow.dummies,
                esn=flow.esn,
                pairs=dict(flow.inside.pairs),
                errors=dict(flow.inside.errors),
            )
            for key, flow in self._flows.items()
        }

    def _open(self, flow: _FlowState, protocol: str, spi: int, packet: bytes) -> Opened | Refused:
        refused: Refused | None = None
        for opener, origin in reversed(flow.proven):
            result = _try(opener, packet)
            if not isinstance(result, Refused):
                flow.origin = origin
                return result
            refused = refused or result
        if flow.tried >= TRIAL_PACKETS:
            return refused or NO_KEY
        flow.tried += 1
        if flow.candidates is None:
            flow.candidates = list(self._candidates(protocol, spi))
        for position, (opener, origin) in enumerate(flow.candidates):
            result = _try(opener, packet)
            if not isinstance(result, Refused):
                flow.proven.append(flow.candidates.pop(position))
                flow.origin, flow.tried = origin, 0
                return result
            refused = refused or result
        return refused or NO_KEY

    # -- keys -------------------------------------------------------------------------------------------------------

    def _candidates(self, protocol: str, spi: int) -> Iterator[tuple[Opener, str]]:
        named, unnamed = self.ring.for_sa(_number(protocol), spi)
        for record in named:
            yield from self._of_record(record)
        for sa, child, role in self._by_spi.get((protocol, spi), ()):
            yield from self._derived(sa, child, role)
        for record in unnamed:
            yield from self._of_record(record)

    def _of_record(self, record: SaKeys) -> Iterator[tuple[Opener, str]]:
        for opener in openers_of(record):
            yield opener, str(record.origin)

    def _derived(self, sa: SaTracker, child: Negotiated, role: Role) -> Iterator[tuple[Opener, str]]:
        """The SA whose packets ``role`` receives, from the keys of the IKE SA (RFC 7296 2.17, RFC 2409 5.5)."""
        keysets = self._ikev1_children(sa, child) if sa.version == 1 else self._ikev2_children(sa, child)
        for suite, keys in keysets:
            from_initiator = other(role) == child.initiated_by
            opener = _opener(
                suite,
                keys.encryption(initiator=from_initiator),
                keys.integrity(initiator=from_initiator),
                esn=child.suite.esn if sa.version != 1 else None,
            )
            if opener is not None:
                yield opener, f"derived from {sa.id}"

    def _ikev2_children(self, sa: SaTracker, child: Negotiated) -> Iterator[tuple[ChildSuite, ChildKeys]]:
        state = self.ikev2.state(sa)
        suite = _ikev2_suite(child)
        prf = (
            state.suite.prf if state.suite is not None else next((each.prf for each in state.proven if each.prf), None)
        )
        if suite is None or prf is None or child.proposal is None:
            return
        sizes = secret_sizes(child.proposal, child.method) if child.method is not None else ()
        for sk_d in self.ikev2.sk_d_of(state):
            for secrets in self.ring.combinations(sizes):
                yield suite, derive_child_keymat(prf, sk_d, suite, secrets, ni=child.ni, nr=child.nr)

    def _ikev1_children(self, sa: SaTracker, child: Negotiated) -> Iterator[tuple[ChildSuite, ChildKeys]]:
        state = self.ikev1.state(sa)
        suite = _ikev1_suite(child)
        if suite is None:
            return
        spi_to_initiator, spi_to_responder = child.spi_of[child.initiated_by], child.spi_of[other(child.initiated_by)]
        for key in reversed(state.proven):
            prf = key.prf or state.prf
            if key.skeyid_d is None or prf is None:
                continue
            secrets: list[Secret | None] = [None]
            if child.method is not None:
                secrets = list(self.ring.shared_secrets(secret_size(child.method)))
            for g_xy in secrets:
                keys = quick_mode_keys(
                    prf,
                    key.skeyid_d,
                    suite,
                    protocol=int(_number(child.protocol)),
                    spi_to_initiator=spi_to_initiator,
                    spi_to_responder=spi_to_responder,
                    ni=child.ni,
                    nr=child.nr,
                    g_xy=g_xy,
                )
                yield suite, keys

    # -- what came out ----------------------------------------------------------------------------------------------

    @staticmethod
    def _note(flow: _FlowState, datagram: Datagram, opened: Opened) -> None:
        flow.truncated_icv |= opened.is_truncated
        flow.esn = opened.esn_high is not None if opened.authenticated else flow.esn
        inner, next_header = inner_of(datagram, opened)
        if isinstance(opened, EspOpened) and opened.is_dummy:
            flow.dummies += 1
            return
        if next_header in (IpProtocol.IPV4, IpProtocol.IPV6):
            flow.modes["tunnel"] = None
            protocol = _ip_protocol(inner)
            flow.inside.note(inner)
        elif next_header == IpProtocol.BEETPH:
            flow.modes["beet"] = None
            protocol = next_header
        else:
            flow.modes["transport"] = None
            protocol = next_header
        flow.protocols[str(IpProtocol(protocol))] += 1


def _ip_protocol(packet: bytes) -> int:
    """The protocol of an inner IP packet."""
    if len(packet) >= 20 and packet[0] >> 4 == 4:
        return packet[9]
    return packet[6] if len(packet) >= 40 else int(IpProtocol.IPV6_NONXT)


def _host(selectors: tuple[str, ...] | None) -> str | None:
    """The one address that a traffic selector names; None when there are more."""
    try:
        network = ipaddress.ip_network((selectors or ("",))[0].partition("[")[0])
    except ValueError:
        return None
    return str(network.network_address) if network.num_addresses == 1 else None


def _number(protocol: str) -> SecurityProtocol:
    return SecurityProtocol.AH if protocol == "AH" else SecurityProtocol.ESP


def _try(opener: Opener, packet: bytes) -> Opened | Refused:
    return opener.open(packet) if isinstance(opener, EspOpener) else opener.verify(packet)


def openers_of(record: SaKeys) -> Iterator[Opener]:
    """The openers that a record of a key file may mean; several where its name leaves the ICV's length open."""
    integ = row_of(record.integrity)
    if record.protocol == SecurityProtocol.AH:
        if integ is not None:
            yield from _made(
                AhVerifier,
                AhSa(integrity=integ, integrity_key=record.integrity_key, esn=record.esn, esn_high=record.seq_hi or 0),
            )
        return
    encr = row_of(record.encryption)
    if encr is None:
        return
    rows = [encr] if record.icv_known or not encr.is_aead else [encr, *_shorter_icvs(encr)]
    for row in rows:
        sa = EspSa(
            encryption=row,
            encryption_key=record.encryption_key,
            esn=record.esn,
            esn_high=record.seq_hi or 0,
        )
        if integ is not None and not row.is_aead:
            sa = msgspec.structs.replace(sa, integrity=integ, integrity_key=record.integrity_key)
        yield from _made(EspOpener, sa)


def _made(kind: type[Opener], sa: EspSa | AhSa) -> Iterator[Opener]:
    """The opener, unless the key does not fit the algorithm."""
    try:
        yield kind(sa)  # type: ignore[arg-type]
    except AlgorithmError:
        return


def _shorter_icvs(row: EncryptionRow) -> Iterator[EncryptionRow]:
    for name in ("ENCR_AES_GCM_16", "ENCR_AES_GCM_12", "ENCR_AES_GCM_8"):
        other_row = encryption_by_name(name)[0]
        if row.mode == other_row.mode and row is not other_row:
            yield other_row


def _opener(suite: ChildSuite, encryption_key: Secret, integrity_key: Secret, *, esn: bool | None) -> Opener | None:
    sa: EspSa | AhSa
    kind: type[Opener]
    if suite.encryption is None:
        if suite.integrity is None:
            return None
        kind, sa = AhVerifier, AhSa(integrity=suite.integrity, integrity_key=integrity_key, esn=esn)
    else:
        kind = EspOpener
        sa = EspSa(encryption=suite.encryption, encryption_key=encryption_key, esn=esn)
        if suite.integrity is not None:
            sa = msgspec.structs.replace(sa, integrity=suite.integrity, integrity_key=integrity_key)
    return next(_made(kind, sa), None)


def _ikev2_suite(child: Negotiated) -> ChildSuite | None:
    proposal = child.proposal
    if proposal is None:
        return None
    encr = next(iter(proposal.of_type(TransformType.ENCR)), None)
    integ = next(iter(proposal.of_type(TransformType.INTEG)), None)
    try:
        return ChildSuite(
            encryption=None if encr is None or child.protocol == "AH" else encryption(encr.transform_id),
            key_bits=None if encr is None else encr.key_length,
            integrity=None if integ is None or not integ.transform_id else integrity(integ.transform_id),
        )
    except UnknownAlgorithmError:
        return None


def _ikev1_suite(child: Negotiated) -> ChildSuite | None:
    suite = child.suite
    try:
        encr: EncryptionRow | None = None if suite.encr is None else encryption_by_name(suite.encr)[0]
        integ: IntegrityRow | None = None if suite.integ is None else integrity_by_name(suite.integ)
    except UnknownAlgorithmError:
        return None
    if child.protocol == "ESP" and encr is None:
        return None
    return ChildSuite(encryption=encr, key_bits=suite.key_length, integrity=integ)
