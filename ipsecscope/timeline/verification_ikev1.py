"""Verifying IKEv1: HASH_I, HASH_R, SIG_I and SIG_R of phase 1, and HASH(1) to HASH(3) of everything behind it.

HASH_R of aggressive mode stands in the clear, so a pre-shared key alone can be checked there; all else needs SKEYID,
which comes from a key file, or from a Diffie-Hellman secret, with the pre-shared key where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice

import msgspec

from ipsecscope.decrypt.algorithms import PrfRow, prf_by_name
from ipsecscope.decrypt.groups import group
from ipsecscope.decrypt.keymat_ikev1 import hash_1, hash_2, hash_3, hash_i, hash_r, skeyid_psk, skeyid_signature
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.verify import Checked, VerifyingKey, public_keys, verify_ikev1_signature, verify_octets
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.dissect.registry.isakmp import ExchangeType
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.ikev1_keys import Ikev1Opener
from ipsecscope.timeline.opened import PHASE_1
from ipsecscope.timeline.sas import MessageRecord, Role, other
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker
from ipsecscope.timeline.verdicts import Detail, detail_of, is_for, place_of

MAX_TRIALS = 4096  # SKEYIDs tried for one SA

DIFFERENT = "the two sides encrypt with different keys: their pre-shared keys differ"


class Candidate(msgspec.Struct, frozen=True):
    """A SKEYID to try, and where it is from. ``binds`` says that it belongs to this SA, so that a mismatch is one."""

    skeyid: Secret
    label: str
    binds: bool


class Exchanged(msgspec.Struct, frozen=True):
    """What phase 1 hashes over, RFC 2409 section 5."""

    g_xi: bytes
    g_xr: bytes
    ni: bytes
    nr: bytes
    cky_i: bytes
    cky_r: bytes
    sa_i: tuple[bytes, ...]


class Ikev1Verifier:
    """Checks the proofs of one ISAKMP SA."""

    def __init__(self, sa: SaTracker, opener: Ikev1Opener) -> None:
        self.sa = sa
        self.ring = opener.ring
        self.state = opener.state(sa)
        self.ids: dict[Role, ikev1.Identification] = {}
        self.certificates: dict[Role, list[VerifyingKey]] = {"initiator": [], "responder": []}
        self.exchanged: Exchanged | None = None
        self.keys_differ = self._keys_differ()

    def _keys_differ(self) -> bool:
        """Whether no key opens messages of both sides, although keys open messages of each."""
        mine, theirs = (
            {each.key for each in self.state.opened_by.get(role, ())} for role in ("initiator", "responder")
        )
        return bool(mine and theirs and not mine & theirs)

    def details(self) -> Iterator[Detail]:
        """One verdict for each HASH and SIG payload that can be judged, in order."""
        phase_1 = [record for each in self.sa.exchanges if int(each.type) in PHASE_1 for record in _records(each)]
        self.exchanged = self._learn_exchanged(phase_1)
        for record in phase_1:
            self._learn(record.sender, record.payloads)
        for record in phase_1:
            for payload in record.payloads:
                if isinstance(payload.body, ikev1.Hash | ikev1.Signature):
                    yield self._phase_1(record, payload.body)
        yield from self._unreadable(phase_1)
        for exchange in self.sa.exchanges:
            if int(exchange.type) not in PHASE_1:
                yield from self._phase_2(exchange)

    # -- phase 1 ------------------------------------------------------------------------------------------------

    def _learn_exchanged(self, records: Iterable[MessageRecord]) -> Exchanged | None:
        offers = tuple(
            body.build()
            for record in records
            if record.sender == "initiator"
            for body in bodies(record.payloads, ikev1.SecurityAssociation)
        )
        ke, nonce = self.state.ke, self.state.nonce
        both: tuple[Role, ...] = ("initiator", "responder")
        if not offers or self.sa.spi_r is None or any(role not in ke or role not in nonce for role in both):
            return None
        return Exchanged(
            g_xi=ke["initiator"],
            g_xr=ke["responder"],
            ni=nonce["initiator"],
            nr=nonce["responder"],
            cky_i=self.sa.spi_i,
            cky_r=self.sa.spi_r,
            sa_i=offers,
        )

    def _learn(self, role: Role, payloads: tuple[Payload, ...]) -> None:
        identity = first(payloads, ikev1.Identification)
        if identity is not None:
            self.ids.setdefault(role, identity)
        for certificate in bodies(payloads, ikev1.Certificate):
            self.certificates[role] += public_keys(int(certificate.encoding), certificate.data)

    def _phase_1(self, record: MessageRecord, body: ikev1.Hash | ikev1.Signature) -> Detail:
        is_signature = isinstance(body, ikev1.Signature)
        what = ("SIG_" if is_signature else "HASH_") + record.sender[0].upper()
        try:
            checked = self._check(record.sender, body)
        except ValueError as error:  # algorithms and sizes that the keys at hand do not go with
            checked = Checked(None, str(error))
        if checked.verdict and not is_signature and self._is_strange_to(other(record.sender), record.sender, body.data):
            checked = Checked(False, f"right for its sender, but {DIFFERENT}")
        if checked.verdict is not False and self.keys_differ and not is_signature:
            checked = Checked(False, f"right for its sender, but {DIFFERENT}" if checked.verdict else DIFFERENT)
        return detail_of(record, what, checked.verdict, checked.why, decides=True)

    def _is_strange_to(self, receiver: Role, role: Role, given: bytes) -> bool:
        """Whether no key that opens the receiver's own messages makes this HASH: the receiver cannot accept it."""
        own = [key.skeyids.skeyid for key in self.state.opened_by.get(receiver, ()) if key.skeyids is not None]
        if not own or not self._is_psk or self.state.prf is None:
            return False
        return not any(
            verify_octets(expected, given).verdict
            for skeyid in own
            for expected in self._hashes(self.state.prf, skeyid, role)
        )

    def _check(self, role: Role, body: ikev1.Hash | ikev1.Signature) -> Checked:
        if self.state.prf is None:
            return Checked(None, "the hash of this SA is not known")
        if self.exchanged is None or role not in self.ids:
            return Checked(None, "the messages before it are not all in this capture, or not opened")
        candidates = list(islice(self._candidates(self.state.prf, self.exchanged), MAX_TRIALS))
        if not candidates:
            return Checked(None, "SKEYID is not known")
        if isinstance(body, ikev1.Signature):
            return self._check_signature(role, body.data, candidates)
        for candidate in candidates:
            for expected in self._hashes(self.state.prf, candidate.skeyid, role):
                if verify_octets(expected, body.data).verdict:
                    return Checked(True, f"made with {candidate.label}")
        if any(candidate.binds for candidate in candidates):
            return Checked(False, "not made with any key that was given for this SA")
        return Checked(None, "SKEYID of this SA is not known")

    def _check_signature(self, role: Role, signature: bytes, candidates: list[Candidate]) -> Checked:
        keys = self.certificates[role]
        if not keys:
            return Checked(None, "its sender's certificate is not in this capture")
        assert self.state.prf is not None
        found = Checked(None, "")
        for candidate in candidates:
            for key in keys:
                for row in self._signature_rows(self.state.prf, key):
                    for hashed in self._hashes(row, candidate.skeyid, role):
                        checked = verify_ikev1_signature(signature, hashed, key)
                        if checked.verdict:
                            return checked
                        if found.verdict is None and candidate.binds:
                            found = checked
        return found if found.why else Checked(None, "SKEYID of this SA is not known")

    @staticmethod
    def _signature_rows(row: PrfRow, key: VerifyingKey) -> tuple[PrfRow, ...]:
        """The prf of the HASH under a signature: DSS brings its own hash, RFC 2409 section 5."""
        return (row, prf_by_name("SHA1")) if key.family == "DSA" else (row,)

    def _hashes(self, row: PrfRow, skeyid: Secret, role: Role) -> Iterator[bytes]:
        """HASH_I or HASH_R for every SA payload that the initiator sent."""
        exchanged, identity = self.exchanged, self.ids[role].build()
        assert exchanged is not None
        public = {"g_xi": exchanged.g_xi, "g_xr": exchanged.g_xr, "cky_i": exchanged.cky_i, "cky_r": exchanged.cky_r}
        for sa_i in exchanged.sa_i:
            if role == "initiator":
                yield hash_i(row, skeyid, **public, sa_i=sa_i, id_i=identity)
            else:
                yield hash_r(row, skeyid, **public, sa_i=sa_i, id_r=identity)

    def _candidates(self, row: PrfRow, exchanged: Exchanged) -> Iterator[Candidate]:
        """SKEYIDs, the surest first: those that opened something, those of the cookie, those from shared secrets."""
        for key in reversed(self.state.proven):
            if key.skeyids is not None:
                yield Candidate(key.skeyids.skeyid, "the SKEYID that opens its messages", binds=True)
        for record in self.ring.for_ike_v1(self.sa.spi_i)[0]:
            if record.skeyid is not None:
                yield Candidate(record.skeyid, f"the SKEYID at {place_of(record.origin)}", binds=True)
        if self._is_psk:
            names = [identity.value for identity in self.ids.values()]
            for psk in self.ring.psks:
                binds = is_for(psk.ids, self.sa, names, psk.spi_i)
                yield Candidate(
                    skeyid_psk(row, psk.value, exchanged.ni, exchanged.nr),
                    f"the pre-shared key at {place_of(psk.origin)}",
                    binds,
                )
        else:
            for g_xy in self.ring.shared_secrets(self._secret_size):
                skeyid = skeyid_signature(row, exchanged.ni, exchanged.nr, g_xy)
                yield Candidate(skeyid, "the SKEYID of a Diffie-Hellman secret", binds=False)

    @property
    def _is_psk(self) -> bool:
        """Whether the negotiated method takes SKEYID from a pre-shared key, XAUTH or not."""
        word = self.state.auth or ""
        return "PSK" in word or "PRE_SHARED" in word

    @property
    def _secret_size(self) -> int:
        try:
            return group(KeyExchangeMethod[self.state.group or ""]).secret_size
        except LookupError:
            return 0

    def _unreadable(self, phase_1: list[MessageRecord]) -> Iterator[Detail]:
        """The initiator's first encrypted message when the key that opens the responder's messages does not open it.

        Its IV follows from the public values (RFC 2409 appendix B), so with pre-shared keys only the key can be wrong.
        """
        opened_by = self.state.opened_by
        if opened_by.get("initiator") or not opened_by.get("responder") or not self._is_psk or self.exchanged is None:
            return
        begins = next((each for each in phase_1 if each.is_encrypted), None)
        if begins is not None and begins.sender == "initiator" and not begins.datagram.missing:
            why = f"does not open with the key of the other side: {DIFFERENT}"
            yield detail_of(begins, "HASH_I", verdict=False, why=why, decides=True)

    # -- behind phase 1 -----------------------------------------------------------------------------------------

    def _phase_2(self, exchange: ExchangeTracker) -> Iterator[Detail]:
        """HASH(1), HASH(2) and HASH(3) of Quick Mode, HASH(1) of everything else; what cannot be judged is left out."""
        is_quick = int(exchange.type) == int(ExchangeType.QUICK_MODE)
        ni = _nonce(exchange.request) if is_quick else None
        nr = _nonce(exchange.response) if is_quick else None
        for record in _records(exchange):
            opening = record.opening
            if opening is None or not opening.data or not opening.payloads:
                continue
            head = opening.payloads[0]
            if not isinstance(head.body, ikev1.Hash):
                continue
            rest = opening.data[head.stop :]
            what, expected = _phase_2_hash(exchange, record, rest, ni, nr)
            verdict = None if expected is None else self._check_phase_2(record.sender, head.body.data, expected)
            if verdict is not None:
                why = "as computed with SKEYID_a" if verdict else "not as computed with SKEYID_a"
                yield detail_of(record, what, verdict, why)

    def _check_phase_2(self, sender: Role, given: bytes, expected: Callable[[PrfRow, Secret], bytes]) -> bool | None:
        """Whether one of the SKEYID_a of the keys that open its sender's messages makes this HASH."""
        row, verdict = self.state.prf, None
        for key in self.state.opened_by.get(sender, ()):
            prf, skeyid_a = row or key.prf, key.skeyid_a
            if prf is None or skeyid_a is None:
                continue
            if verify_octets(expected(prf, skeyid_a), given).verdict:
                return True
            verdict = False
        return verdict


def _records(exchange: ExchangeTracker) -> list[MessageRecord]:
    return sorted((*exchange.request, *exchange.response), key=lambda record: record.number)


def _nonce(records: Iterable[MessageRecord]) -> bytes | None:
    found = next((each for record in records for each in bodies(record.payloads, ikev1.Nonce)), None)
    return None if found is None else found.data


def _phase_2_hash(
    exchange: ExchangeTracker, record: MessageRecord, rest: bytes, ni: bytes | None, nr: bytes | None
) -> tuple[str, Callable[[PrfRow, Secret], bytes] | None]:
    """Which HASH a message has, and how it is made; None where a nonce that it covers was not seen."""
    message_id = exchange.message_id
    negotiates = first(record.payloads, ikev1.SecurityAssociation) is not None
    if int(exchange.type) == int(ExchangeType.QUICK_MODE) and negotiates and record.sender != exchange.initiated_by:
        if ni is None:
            return "HASH(2)", None
        return "HASH(2)", lambda row, skeyid_a: hash_2(row, skeyid_a, message_id, ni, rest)
    if int(exchange.type) == int(ExchangeType.QUICK_MODE) and not rest:
        if ni is None or nr is None:
            return "HASH(3)", None
        return "HASH(3)", lambda row, skeyid_a: hash_3(row, skeyid_a, message_id, ni, nr)
    return "HASH(1)", lambda row, skeyid_a: hash_1(row, skeyid_a, message_id, rest)
