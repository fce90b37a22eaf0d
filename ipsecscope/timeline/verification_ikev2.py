"""Verifying the AUTH payloads of IKEv2: both sides, every method, behind EAP, IKE_INTERMEDIATE and a PPK.

The signed octets are rebuilt from the messages as they were captured. Where more than one IKE_SA_INIT message, key or
secret could be meant, each is tried: a match is proof. A mismatch is false only when the right key must have been
among those tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice, product

import msgspec

from ipsecscope.decrypt.algorithms import PrfRow
from ipsecscope.decrypt.keymat import (
    derive_ike_keys,
    expand_ike_keys,
    int_auth,
    int_auth_chunk,
    int_auth_step,
    prf,
    prf_plus,
    signed_octets,
)
from ipsecscope.decrypt.keys import IkeV2Keys
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.verify import (
    Checked,
    VerifyingKey,
    public_keys,
    verify_octets,
    verify_shared_key,
    verify_signature,
)
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.chain import Payload
from ipsecscope.dissect.registry.eap import EapType
from ipsecscope.dissect.registry.ikev2 import AuthenticationMethod, ExchangeType, NotifyType
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.ikev2_keys import Ikev2Opener, KeySet
from ipsecscope.timeline.sas import MessageRecord, Role, other
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker
from ipsecscope.timeline.verdicts import Detail, detail_of, is_for, place_of

MAX_TRIALS = 8192  # combinations of keys, messages and secrets tried for one AUTH payload
MAX_INNER = 0xFFFF - 4  # octets of payloads in one Encrypted payload, whose length has 16 bits
MAX_INIT_PAIRS = 16  # combinations of IKE_SA_INIT requests and responses

_INITIAL = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)
_SHARED_KEY = int(AuthenticationMethod.SHARED_KEY_MESSAGE_INTEGRITY_CODE)
_NULL = int(AuthenticationMethod.NULL_AUTHENTICATION)
_SIGNATURES = frozenset(
    {
        int(AuthenticationMethod.RSA_DIGITAL_SIGNATURE),
        int(AuthenticationMethod.DSS_DIGITAL_SIGNATURE),
        int(AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256),
        int(AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384),
        int(AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521),
        int(AuthenticationMethod.DIGITAL_SIGNATURE),
    }
)
# EAP methods that make no key: SK_pi and SK_pr stand in for the MSK, RFC 7296 section 2.16.
_KEYLESS = frozenset({EapType.MD5_CHALLENGE, EapType.OTP, EapType.GTC})
_NO_METHOD = frozenset({EapType.IDENTITY, EapType.NOTIFICATION, EapType.NAK})


class Init(msgspec.Struct, frozen=True):
    """An IKE_SA_INIT message as it was sent, and its nonce."""

    message: bytes
    nonce: bytes


class Claim(msgspec.Struct, frozen=True):
    """Authentication data of one message, and with which SK_p it can have been made.

    ``is_conclusive`` says that the right SK_p must be among ``keys``, ``with_ppk`` that a PPK is in it.
    """

    record: MessageRecord
    method: AuthenticationMethod
    data: bytes
    row: PrfRow
    id_body: bytes
    keys: tuple[Secret, ...]
    is_conclusive: bool
    with_ppk: bool = False


class Candidate(msgspec.Struct, frozen=True):
    """A shared secret to try. ``binds`` says that it was given for this peer, so that a mismatch is one."""

    secret: Secret
    label: str
    binds: bool


def notify_data(payloads: Iterable[Payload], kind: NotifyType) -> bytes | None:
    """The data of the first notification of a type; None when there is none."""
    return next((each.data for each in bodies(payloads, ikev2.Notify) if each.notify_type == kind), None)


def octets_of(record: MessageRecord) -> bytes:
    """A message as it was sent, without what stands behind the length in its header."""
    header = record.message.header
    data = record.datagram.payload
    return data if header is None or header.length is None else data[: header.length]


class Ikev2Verifier:
    """Walks the IKE_AUTH exchanges of one IKE SA and checks each AUTH payload with what was said before it."""

    def __init__(self, sa: SaTracker, opener: Ikev2Opener) -> None:
        self.sa = sa
        self.ring = opener.ring
        self.state = opener.state(sa)
        self.auths = [each for each in sa.exchanges if each.type == ExchangeType.IKE_AUTH]
        self.inits: dict[Role, list[Init]] = {
            "initiator": _inits(sa, "initiator"),
            "responder": _inits(sa, "responder"),
        }
        self.ids: dict[Role, bytes] = {}
        self.names: set[str] = set()
        self.certificates: dict[Role, list[VerifyingKey]] = {"initiator": [], "responder": []}
        self.eap_types: set[int] = set()
        self.is_behind_eap = False
        self.authenticated: set[Role] = set()
        self.offers_ppk = self._says("request", NotifyType.PPK_IDENTITY)
        self.accepts_ppk = self._says("response", NotifyType.PPK_IDENTITY)
        self.responder_answers = any(
            first(record.payloads, ikev2.Authentication) is not None for each in self.auths for record in each.response
        )

    def _says(self, side: str, kind: NotifyType) -> bool:
        return any(
            notify_data(record.payloads, kind) is not None
            for each in self.auths
            for record in (each.request if side == "request" else each.response)
        )

    # -- the walk -----------------------------------------------------------------------------------------------

    def details(self) -> Iterator[Detail]:
        """One verdict for each AUTH payload and each NO_PPK_AUTH notification, in order."""
        for exchange in self.auths:
            for record in sorted((*exchange.request, *exchange.response), key=lambda each: each.number):
                if record.opening is not None and record.opening.payloads:
                    yield from self._read(record, record.opening.payloads)

    def _read(self, record: MessageRecord, payloads: tuple[Payload, ...]) -> Iterator[Detail]:
        self._learn(record.sender, payloads)
        auth = first(payloads, ikev2.Authentication)
        if auth is not None:
            self.authenticated.add(record.sender)
            with_ppk = self.offers_ppk if record.sender == "initiator" else self.accepts_ppk
            # RFC 8784 section 3: a responder that does not know the PPK goes by NO_PPK_AUTH and leaves PPK_IDENTITY out.
            fallback = notify_data(payloads, NotifyType.NO_PPK_AUTH)
            falls_back = fallback is not None and self.responder_answers and not self.accepts_ppk
            yield self._verdict(record, "AUTH", auth.method, auth.data, with_ppk=with_ppk, decides=not falls_back)
            if fallback is not None:
                yield self._verdict(record, "NO_PPK_AUTH", auth.method, fallback, with_ppk=False, decides=falls_back)
        for message in bodies(payloads, ikev2.Eap):
            self.is_behind_eap = True
            kind = message.eap_type
            if kind is not None and kind not in _NO_METHOD:
                self.eap_types.add(int(kind))

    def _learn(self, role: Role, payloads: tuple[Payload, ...]) -> None:
        kind = ikev2.IdentificationInitiator if role == "initiator" else ikev2.IdentificationResponder
        identity = first(payloads, kind)
        if identity is not None:
            if role in self.authenticated:  # RFC 4739: another authentication begins
                self.is_behind_eap, self.eap_types = False, set()
            self.ids[role] = identity.build()
            self.names.add(identity.value)
        for certificate in bodies(payloads, ikev2.Certificate):
            self.certificates[role] += public_keys(int(certificate.encoding), certificate.data)

    def _verdict(
        self,
        record: MessageRecord,
        what: str,
        method: AuthenticationMethod,
        data: bytes,
        *,
        with_ppk: bool,
        decides: bool,
    ) -> Detail:
        try:
            claim = self._claim(record, method, data, with_ppk=with_ppk)
            checked = Checked(None, claim) if isinstance(claim, str) else self._check(claim)
        except ValueError as error:  # algorithms and sizes that the keys at hand do not go with
            checked = Checked(None, str(error))
        return detail_of(record, what, checked.verdict, f"{method}: {checked.why}", decides=decides)

    # -- what was signed ----------------------------------------------------------------------------------------

    def _claim(
        self, record: MessageRecord, method: AuthenticationMethod, data: bytes, *, with_ppk: bool
    ) -> Claim | str:
        """The claim that a message makes, or why it cannot be checked."""
        role = record.sender
        keys = self.state.opened_by.get(record.number)
        row = None if keys is None else keys.prf or (self.state.suite.prf if self.state.suite else None)
        if keys is None or row is None:
            return "the prf of this IKE SA is not known"
        if role not in self.ids:
            return "the ID payload of its sender was not seen"
        if not self.inits["initiator"] or not self.inits["responder"]:
            return "IKE_SA_INIT is not whole in this capture"
        plain = self._sk_p(keys, role)
        if not with_ppk:
            found = [plain] if plain else []
        else:
            found = [*self._with_ppk(row, plain, role), *([plain] if plain else [])]
        if not found:
            return f"SK_p{role[0]} is not known"
        conclusive = not with_ppk or len(found) > bool(plain)
        return Claim(record, method, data, row, self.ids[role], tuple(found), conclusive, with_ppk)

    def _sk_p(self, keys: KeySet, role: Role) -> Secret | None:
        """SK_pi or SK_pr of a key set: its own, or that of a record or a shared secret that makes the same keys."""
        for known in (keys, *self._same_keys(keys)):
            found = known.sk_pi if role == "initiator" else known.sk_pr
            if found:
                return found
        return None

    def _same_keys(self, keys: KeySet) -> Iterator[KeySet | IkeV2Keys]:
        named, unnamed = self.ring.for_ike_v2(self.sa.spi_i, self.sa.spi_r or b"")
        for record in (*named, *unnamed):
            if not record.uses_ppk and record.sk_ei == keys.sk_ei and record.sk_er == keys.sk_er:
                yield record
        for derived in self._derived(record.skeyseed for record in named if record.skeyseed is not None):
            if derived.sk_ei == keys.sk_ei and derived.sk_er == keys.sk_er:
                yield derived

    def _derived(self, seeds: Iterable[Secret]) -> Iterator[KeySet]:
        suite, spi_i, spi_r = self.state.suite, self.sa.spi_i, self.sa.spi_r
        ni, nr = self.state.ni, self.state.nr
        if suite is None or spi_r is None or not ni or not nr:
            return
        for seed in seeds:
            yield KeySet.of(suite, expand_ike_keys(suite, seed, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r))
        for secret in self.ring.shared_secrets(self.state.secret_size):
            yield KeySet.of(suite, derive_ike_keys(suite, secret, ni=ni, nr=nr, spi_i=spi_i, spi_r=spi_r))

    def _with_ppk(self, row: PrfRow, plain: Secret | None, role: Role) -> list[Secret]:
        """SK_p after a PPK was mixed in, RFC 8784 section 3, with every PPK; and those that key files hold."""
        mixed = [Secret(prf_plus(row, ppk.value, plain.reveal(), row.key_size)) for ppk in self.ring.ppks if plain]
        for record in self.ring.for_ike_v2(self.sa.spi_i, self.sa.spi_r or b"")[0]:
            found = record.sk_pi if role == "initiator" else record.sk_pr
            if record.uses_ppk and found:
                mixed.append(found)
        return mixed

    def _signed(self, claim: Claim) -> Iterator[tuple[Secret, bytes, bytes]]:
        """SK_p, the octets that were signed with it, and the IKE_SA_INIT message in them: every combination."""
        role = claim.record.sender
        intermediate = self._intermediate()
        if intermediate is None:
            return
        for sk_p in claim.keys:
            pairs = product(self.inits[role], self.inits[other(role)])
            for own, theirs in islice(pairs, MAX_INIT_PAIRS):
                octets = signed_octets(
                    claim.row, own.message, theirs.nonce, sk_p, claim.id_body, intermediate=intermediate
                )
                yield sk_p, octets, own.message

    def _intermediate(self) -> bytes | None:
        """IntAuth of RFC 9242 section 3.3; empty without IKE_INTERMEDIATE, None when one of them cannot be read."""
        message_id = self.auths[0].message_id
        exchanges = {each.message_id: each for each in self.sa.exchanges if each.type == ExchangeType.IKE_INTERMEDIATE}
        if message_id <= 1 and not exchanges:
            return b""
        sides = {"initiator": b"", "responder": b""}
        for number in range(1, message_id):
            exchange = exchanges.get(number)
            if exchange is None:
                return None
            for role in ("initiator", "responder"):
                step = self._intermediate_step(exchange, role, sides[role])
                if step is None:
                    return None
                sides[role] = step
        return int_auth(sides["initiator"], sides["responder"], message_id)

    def _intermediate_step(self, exchange: ExchangeTracker, role: Role, previous: bytes) -> bytes | None:
        records = exchange.request if role == "initiator" else exchange.response
        whole = next((each for each in records if _is_whole(each)), None)
        if whole is None or whole.opening is None or whole.opening.data is None:
            return None
        begins: MessageRecord | None = whole
        if whole.fragment is not None:
            begins = next((each for each in records if each.fragment == (1, whole.fragment[1])), None)
        keys = self.state.opened_by.get(whole.number)
        sk_p = None if keys is None else self._sk_p(keys, role)
        row = None if keys is None else keys.prf or (self.state.suite.prf if self.state.suite else None)
        if begins is None or sk_p is None or row is None or len(whole.opening.data) > MAX_INNER:
            return None
        entry = begins.message.payloads[-1]
        chunk = int_auth_chunk(octets_of(begins), entry.start, whole.opening.first, whole.opening.data)
        return int_auth_step(row, sk_p, previous, chunk)

    # -- methods ------------------------------------------------------------------------------------------------

    def _check(self, claim: Claim) -> Checked:
        signed = list(self._signed(claim))
        if not signed:
            return Checked(None, "the IKE_INTERMEDIATE messages before it are not all in this capture, or not opened")
        if int(claim.method) in _SIGNATURES:
            return self._check_signature(claim, signed)
        if any(each.type == ExchangeType.IKE_SESSION_RESUME for each in self.sa.exchanges):
            return _check_resumption(claim, signed)
        if int(claim.method) == _NULL:
            return _check_own_key(claim, signed, "SK_p, as NULL authentication has it")
        if int(claim.method) != _SHARED_KEY:
            return Checked(None, "this method is not checked")
        if self.is_behind_eap:
            return self._check_behind_eap(claim, signed)
        candidates = [
            Candidate(
                psk.value,
                f"the pre-shared key at {place_of(psk.origin)}",
                is_for(psk.ids, self.sa, self.names, psk.spi_i),
            )
            for psk in self.ring.psks
        ]
        return _check_secrets(claim, signed, candidates, "pre-shared key")

    def _check_signature(self, claim: Claim, signed: list[tuple[Secret, bytes, bytes]]) -> Checked:
        keys = self.certificates[claim.record.sender]
        if not keys:
            return Checked(None, "its sender's certificate is not in this capture")
        found = Checked(None, "")
        for _, octets, _ in signed:
            for key in keys:
                checked = verify_signature(int(claim.method), claim.data, octets, key)
                if checked.verdict:
                    return checked
                if found.verdict is None:
                    found = checked
        return _unless_inconclusive(claim, found)

    def _check_behind_eap(self, claim: Claim, signed: list[tuple[Secret, bytes, bytes]]) -> Checked:
        """RFC 7296 section 2.16: the MSK where the method makes one, else SK_pi and SK_pr."""
        spis = self.sa.spi_i, self.sa.spi_r
        candidates = []
        for msk in self.ring.msks:
            named = msk.spi_i is not None or msk.spi_r is not None
            mine = msk.spi_i in (None, spis[0]) and msk.spi_r in (None, spis[1])
            if mine:
                label = f"the MSK at {place_of(msk.origin)}"
                candidates.append(Candidate(msk.value, label, named or is_for(msk.ids, self.sa, self.names)))
        checked = _check_secrets(claim, signed, candidates, "MSK")
        if checked.verdict:
            return checked
        own = _check_own_key(claim, signed, "SK_p, for the EAP method makes no key")
        is_keyless = bool(self.eap_types) and all(EapType(kind) in _KEYLESS for kind in self.eap_types)
        return own if own.verdict or is_keyless else checked


def _is_whole(record: MessageRecord) -> bool:
    """Whether a record opened a message: all of it, or the fragment that completed it."""
    if record.opening is None or not record.opening.is_open:
        return False
    return record.fragment is None or len(record.opening.frames) == record.fragment[1]


def _inits(sa: SaTracker, role: Role) -> list[Init]:
    """The IKE_SA_INIT messages of one side that carry a nonce, the last one first."""
    found = []
    for exchange in sa.exchanges:
        if exchange.type not in _INITIAL:
            continue
        for record in exchange.request if role == "initiator" else exchange.response:
            nonce = first(record.message.payloads, ikev2.Nonce)
            if nonce is not None and not record.datagram.missing:
                found.append(Init(octets_of(record), nonce.data))
    return found[::-1]


def _check_secrets(
    claim: Claim, signed: list[tuple[Secret, bytes, bytes]], candidates: list[Candidate], name: str
) -> Checked:
    """Try every shared secret on every combination; false when those that were given for this peer all fail."""
    binding = sum(candidate.binds for candidate in candidates)
    for candidate, (_, octets, _) in islice(product(candidates, signed), MAX_TRIALS):
        if verify_shared_key(claim.row, candidate.secret, octets, claim.data).verdict:
            others = binding - candidate.binds
            return Checked(True, f"made with {candidate.label}" + (f", not with the {others} others" if others else ""))
    if not binding:
        return Checked(None, f"no {name} was given for this peer")
    text = f"not made with the {name} given" if binding == 1 else f"not made with any of the {binding} {name}s given"
    return _unless_inconclusive(claim, Checked(False, text))


def _check_own_key(claim: Claim, signed: list[tuple[Secret, bytes, bytes]], label: str) -> Checked:
    if any(verify_shared_key(claim.row, sk_p, octets, claim.data).verdict for sk_p, octets, _ in signed):
        return Checked(True, f"made with {label}")
    return _unless_inconclusive(claim, Checked(False, f"not made with {label}"))


def _check_resumption(claim: Claim, signed: list[tuple[Secret, bytes, bytes]]) -> Checked:
    """RFC 5723 section 5.1: AUTH = prf(SK_p, octets); which octets is read in more than one way."""
    for sk_p, octets, message in signed:
        expected = (prf(claim.row, sk_p, octets), prf(claim.row, sk_p, message))
        if any(verify_octets(each, claim.data).verdict for each in expected):
            return Checked(True, "made with SK_p of the resumed IKE SA")
    checked = _check_own_key(claim, signed, "SK_p of the resumed IKE SA")
    return checked if checked.verdict else Checked(None, "not made with SK_p in a way that this program knows")


def _unless_inconclusive(claim: Claim, checked: Checked) -> Checked:
    if checked.verdict is False and not claim.is_conclusive:
        return Checked(None, "it needs a PPK that was not given")
    if checked.verdict is False and claim.with_ppk:
        return Checked(False, f"{checked.why} and the PPK given")
    return checked
