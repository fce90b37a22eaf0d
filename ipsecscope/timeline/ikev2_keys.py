"""Opening IKEv2: which keys an IKE SA has at which moment, and what they open.

Keys change within an SA (RFC 9370), between SAs (RFC 7296 2.18) and behind a PPK (RFC 8784). Every candidate is tried
on the message itself; the integrity check decides, and what it proved is kept for the messages that follow.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from ipsecscope.decrypt.algorithms import (
    EncryptionRow,
    IntegrityRow,
    PrfRow,
    UnknownAlgorithmError,
    encryption,
    integrity,
    pseudorandom,
)
from ipsecscope.decrypt.groups import group
from ipsecscope.decrypt.keymat import (
    IkeKeys,
    IkeSuite,
    derive_ike_keys,
    expand_ike_keys,
    mix_ppk,
    next_ike_keys,
    rekey_ike_keys,
)
from ipsecscope.decrypt.keyring import KeyRing, row_of
from ipsecscope.decrypt.keys import IkeV2Keys
from ipsecscope.decrypt.opening import SKF_HEADER_SIZE, OpenedBody, Reason, Refused, open_ike_v2
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.chain import Payload, parse_chain
from ipsecscope.dissect.families import IKEV2, body_notes
from ipsecscope.dissect.registry.ikev2 import ExchangeType, KeyExchangeMethod, TransformType
from ipsecscope.timeline.contents import bodies, first
from ipsecscope.timeline.sas import MessageRecord, Opening
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker

MAX_KEY_SETS = 32  # key sets kept per IKE SA
MAX_FRAGMENTS = 255  # RFC 7383 fragments of one message
CCM_FLAGS = 3  # of a counter block with four octets of counter

NO_KEY = Opening(reason=str(Reason.NO_KEY))


class KeySet(msgspec.Struct, frozen=True):
    """One set of keys of an IKE SA with the algorithms they are for; a part that nobody knows is None."""

    encryption: EncryptionRow
    integrity: IntegrityRow | None
    sk_ei: Secret | None
    sk_er: Secret | None
    sk_ai: Secret | None
    sk_ar: Secret | None
    prf: PrfRow | None = None
    sk_d: Secret | None = None
    sk_pi: Secret | None = None
    sk_pr: Secret | None = None

    @classmethod
    def of(cls, suite: IkeSuite, keys: IkeKeys) -> KeySet:
        """Derived keys with their suite."""
        return cls(
            encryption=suite.encryption,
            integrity=suite.integrity,
            sk_ei=keys.sk_ei,
            sk_er=keys.sk_er,
            sk_ai=keys.sk_ai,
            sk_ar=keys.sk_ar,
            prf=suite.prf,
            sk_d=keys.sk_d,
            sk_pi=keys.sk_pi,
            sk_pr=keys.sk_pr,
        )


@dataclass(slots=True)
class Rekeying:
    """How the keys of an IKE SA follow from the one it replaces (RFC 7296 2.18, RFC 9370 2.2.4)."""

    old: Ikev2State
    ni: bytes
    nr: bytes
    sizes: tuple[int, ...]


@dataclass(slots=True)
class Ikev2State:
    """The keys of one IKE SA as far as they are known."""

    suite: IkeSuite | None = None
    ni: bytes = b""
    nr: bytes = b""
    secret_size: int = 0
    proven: list[KeySet] = field(default_factory=list)
    mixed: list[Secret] = field(default_factory=list)  # SK_d with a PPK mixed in, as a key file tells it
    upcoming: list[KeySet] = field(default_factory=list)  # follow from IKE_INTERMEDIATE; not proven yet
    rekeying: Rekeying | None = None
    fragments: dict[tuple[str, int, int], dict[int, tuple[bytes, int]]] = field(default_factory=dict)
    opened_by: dict[int, KeySet] = field(default_factory=dict)  # IKE_INTERMEDIATE and IKE_AUTH, by record number

    @property
    def sk_d(self) -> list[Secret]:
        """SK_d of every proven set, the latest first."""
        return [keys.sk_d for keys in reversed(self.proven) if keys.sk_d is not None]


def suite_of(proposal: ikev2.Proposal) -> IkeSuite | None:
    """The suite of a chosen IKE proposal; None when this program has no such algorithm."""
    try:
        encr = _chosen(proposal, TransformType.ENCR)
        prf = _chosen(proposal, TransformType.PRF)
        integ = _chosen(proposal, TransformType.INTEG)
        if encr is None or prf is None:
            return None
        return IkeSuite(
            prf=pseudorandom(prf.transform_id),
            encryption=encryption(encr.transform_id),
            key_bits=encr.key_length,
            integrity=None if integ is None or not integ.transform_id else integrity(integ.transform_id),
        )
    except UnknownAlgorithmError:
        return None


def _chosen(proposal: ikev2.Proposal, kind: TransformType) -> ikev2.Transform | None:
    return next(iter(proposal.of_type(kind)), None)


def secret_sizes(proposal: ikev2.Proposal, method: int | None) -> tuple[int, ...]:
    """Octets of each shared secret of an exchange, in order: the KE payload's, then the additional ones' (0: any)."""
    methods = [method] if method is not None else []
    for kind in range(int(TransformType.ADDKE1), int(TransformType.ADDKE7) + 1):
        methods += [each.transform_id for each in proposal.of_type(kind) if each.transform_id]
    return tuple(secret_size(each) for each in methods)


def secret_size(method: int) -> int:
    """Octets of the shared secret of a key exchange method; 0 when it is not known."""
    try:
        row = group(KeyExchangeMethod(method))
    except (UnknownAlgorithmError, LookupError, ValueError):
        return 0
    return row.secret_size


class Ikev2Opener:
    """Opens the SK and SKF payloads of all IKEv2 SAs of an analysis."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self.rekeyings: dict[tuple[bytes, bytes], tuple[SaTracker, IkeSuite, Rekeying]] = {}

    def state(self, sa: SaTracker) -> Ikev2State:
        """The key state of an IKE SA, made when there is none; a rekeyed SA inherits its derivation."""
        known = sa.extra.get("ikev2_keys")
        if isinstance(known, Ikev2State):
            return known
        state = Ikev2State()
        sa.extra["ikev2_keys"] = state
        made = self.rekeyings.get((sa.spi_i, sa.spi_r or b""))
        if made is not None:
            replaced, suite, rekeying = made
            state.suite, state.rekeying = suite, rekeying
            state.ni, state.nr = rekeying.ni, rekeying.nr
            sa.rekeys, sa.rekey_basis, sa.handshake_seen = replaced.id, "decrypted", True
        return state

    def open(self, sa: SaTracker, exchange: ExchangeTracker, record: MessageRecord) -> Opening | None:
        """Open one message; None when it carries nothing encrypted."""
        state = self.state(sa)
        if exchange.type in (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME):
            self._learn_init(state, record)
        entry = next(
            (
                each
                for each in record.message.payloads
                if isinstance(each.body, ikev2.Encrypted | ikev2.EncryptedFragment)
            ),
            None,
        )
        if entry is None:
            return None
        found = self._try_all(sa, state, record, entry)
        if isinstance(found, Opening):
            return found
        body, keys = found
        if exchange.type in (ExchangeType.IKE_INTERMEDIATE, ExchangeType.IKE_AUTH):
            state.opened_by[record.number] = keys
        if isinstance(entry.body, ikev2.EncryptedFragment):
            return self._fragment(state, record, entry, body)
        return _opening(body.plaintext, entry.next_payload or 0, record, (record.frame,))

    # -- finding keys -------------------------------------------------------------------------------------------

    def _learn_init(self, state: Ikev2State, record: MessageRecord) -> None:
        """Nonces and suite from IKE_SA_INIT; a retry replaces what came before it."""
        payloads = record.message.payloads
        nonce = first(payloads, ikev2.Nonce)
        if nonce is not None and record.sender == "initiator":
            state.ni = nonce.data
        if nonce is not None and record.sender == "responder":
            state.nr = nonce.data
            exchange, chosen = first(payloads, ikev2.KeyExchange), first(payloads, ikev2.SecurityAssociation)
            state.secret_size = 0 if exchange is None else secret_size(exchange.method)
            if chosen is not None and chosen.proposals:
                state.suite = suite_of(chosen.proposals[0])

    def _try_all(
        self, sa: SaTracker, state: Ikev2State, record: MessageRecord, entry: Payload
    ) -> tuple[OpenedBody, KeySet] | Opening:
        refused: Refused | None = None
        for keys in self._candidates(sa, state):
            result = _open(keys, record, entry)
            if isinstance(result, OpenedBody):
                self._prove(sa, state, keys)
                return result, keys
            if result is not None and (refused is None or result.reason != Reason.NO_KEY):
                refused = result
        return NO_KEY if refused is None else Opening(reason=refused.text)

    def _prove(self, sa: SaTracker, state: Ikev2State, keys: KeySet) -> None:
        """Put a key set that opened something at the end of the proven ones."""
        if state.proven and state.proven[-1] is keys:
            return
        state.proven = [*[each for each in state.proven if each is not keys][-MAX_KEY_SETS + 1 :], keys]
        if keys in state.upcoming:
            state.upcoming = []
        named, _ = self.ring.for_ike_v2(sa.spi_i, sa.spi_r or bytes(8))
        # RFC 8784 3: a PPK changes SK_d, SK_pi and SK_pr only, so the record that has it opens the same messages.
        state.mixed = [
            record.sk_d
            for record in named
            if record.uses_ppk and record.sk_d is not None and (record.sk_ei, record.sk_er) == (keys.sk_ei, keys.sk_er)
        ]

    def _candidates(self, sa: SaTracker, state: Ikev2State) -> Iterator[KeySet]:
        """Key sets worth trying, the likeliest first."""
        yield from reversed(state.proven)
        yield from state.upcoming
        named, unnamed = self.ring.for_ike_v2(sa.spi_i, sa.spi_r or bytes(8))
        for record in named:
            yield from self._of_record(sa, state, record)
        yield from self._derived(sa, state)
        for record in unnamed:
            yield from self._of_record(sa, state, record)

    def _of_record(self, sa: SaTracker, state: Ikev2State, record: IkeV2Keys) -> Iterator[KeySet]:
        """A record of a key file with the algorithms of the capture, or with its own where the capture has none."""
        suite = state.suite
        encr = suite.encryption if suite is not None else row_of(record.encryption)
        integ = suite.integrity if suite is not None else row_of(record.integrity)
        if encr is not None and (record.sk_ei is not None or record.sk_er is not None):
            prf = suite.prf if suite is not None else row_of(record.prf)
            keys = KeySet(
                encryption=encr,
                integrity=integ,
                sk_ei=_fitting(encr, record.sk_ei),
                sk_er=_fitting(encr, record.sk_er),
                sk_ai=record.sk_ai,
                sk_ar=record.sk_ar,
                prf=prf,
                sk_d=record.sk_d,
                sk_pi=record.sk_pi,
                sk_pr=record.sk_pr,
            )
            if not any(_same(keys, each) for each in state.proven):
                yield keys
        if record.skeyseed is not None and suite is not None and state.nr and sa.spi_r is not None:
            yield KeySet.of(
                suite,
                expand_ike_keys(suite, record.skeyseed, ni=state.ni, nr=state.nr, spi_i=sa.spi_i, spi_r=sa.spi_r),
            )

    def _derived(self, sa: SaTracker, state: Ikev2State) -> Iterator[KeySet]:
        """Key sets from shared secrets: of IKE_SA_INIT, or of the exchange that rekeyed another SA into this one."""
        suite, spi_r = state.suite, sa.spi_r
        if suite is None or spi_r is None or not state.ni or not state.nr:
            return
        if state.rekeying is None:
            if state.proven:
                return
            for secret in self.ring.shared_secrets(state.secret_size):
                keys = derive_ike_keys(suite, secret, ni=state.ni, nr=state.nr, spi_i=sa.spi_i, spi_r=spi_r)
                yield KeySet.of(suite, keys)
            return
        how = state.rekeying
        old = how.old.suite
        if old is None or state.proven:
            return
        for sk_d in self.sk_d_of(how.old):
            for secrets in self.ring.combinations(how.sizes):
                keys = rekey_ike_keys(suite, old.prf, sk_d, secrets, ni=how.ni, nr=how.nr, spi_i=sa.spi_i, spi_r=spi_r)
                yield KeySet.of(suite, keys)

    def sk_d_of(self, state: Ikev2State) -> Iterator[Secret]:
        """SK_d of an IKE SA, as it is and mixed with every PPK (RFC 8784 section 3)."""
        yield from state.sk_d
        yield from state.mixed
        for keys in reversed(state.proven):
            for ppk in self.ring.ppks:
                if keys.prf is not None and keys.sk_d is not None:
                    yield mixed_sk_d(keys.prf, ppk.value, keys)

    # -- what follows from opened messages ----------------------------------------------------------------------

    def learn(self, sa: SaTracker, exchange: ExchangeTracker) -> None:
        """Prepare the keys that follow from an exchange whose both sides were opened."""
        if not exchange.request or not exchange.response:
            return
        state = self.state(sa)
        if exchange.type == ExchangeType.IKE_INTERMEDIATE:
            self._learn_intermediate(sa, state, exchange)
        elif exchange.type == ExchangeType.CREATE_CHILD_SA:
            self._learn_rekey(sa, state, exchange)

    def _learn_intermediate(self, sa: SaTracker, state: Ikev2State, exchange: ExchangeTracker) -> None:
        answer = next(iter(bodies(_all(exchange.response), ikev2.KeyExchange)), None)
        if answer is None or state.suite is None or sa.spi_r is None:
            return
        for sk_d in state.sk_d[:1]:
            state.upcoming = [
                KeySet.of(
                    state.suite,
                    next_ike_keys(state.suite, sk_d, secret, ni=state.ni, nr=state.nr, spi_i=sa.spi_i, spi_r=sa.spi_r),
                )
                for secret in self.ring.shared_secrets(secret_size(answer.method))
            ]

    def _learn_rekey(self, sa: SaTracker, state: Ikev2State, exchange: ExchangeTracker) -> None:
        request, response = _all(exchange.request), _all(exchange.response)
        offered, chosen = first(request, ikev2.SecurityAssociation), first(response, ikev2.SecurityAssociation)
        ni, nr = first(request, ikev2.Nonce), first(response, ikev2.Nonce)
        exchanged = first(response, ikev2.KeyExchange)
        if offered is None or chosen is None or ni is None or nr is None or not chosen.proposals:
            return
        answer = chosen.proposals[0]
        offer = next((each for each in offered.proposals if each.number == answer.number), None)
        suite = suite_of(answer)
        if offer is None or suite is None or len(offer.spi) != 8 or len(answer.spi) != 8:
            return
        sizes = secret_sizes(answer, None if exchanged is None else exchanged.method)
        made = Rekeying(state, ni.data, nr.data, sizes)
        self.rekeyings[(offer.spi, answer.spi)] = (sa, suite, made)

    # -- fragments ----------------------------------------------------------------------------------------------

    def _fragment(self, state: Ikev2State, record: MessageRecord, entry: Payload, body: OpenedBody) -> Opening:
        """Keep an opened fragment; the last missing one yields the whole message (RFC 7383 2.6)."""
        fragment, header = entry.body, record.message.header
        assert isinstance(fragment, ikev2.EncryptedFragment)
        assert header is not None
        key = (record.sender + str(header.is_response), header.message_id, fragment.total_fragments)
        pieces = state.fragments.setdefault(key, {})
        if 0 < fragment.fragment_number <= MAX_FRAGMENTS:
            pieces.setdefault(fragment.fragment_number, (body.plaintext, record.frame))
        first_payload = entry.next_payload or 0
        if fragment.fragment_number == 1:
            pieces[0] = (bytes([first_payload]), record.frame)
        total = fragment.total_fragments
        if total > MAX_FRAGMENTS or any(number not in pieces for number in range(total + 1)):
            return Opening(data=b"", first=first_payload, frames=(record.frame,))
        whole = b"".join(pieces[number][0] for number in range(1, total + 1))
        frames = tuple(pieces[number][1] for number in range(1, total + 1))
        return _opening(whole, pieces[0][0][0], record, frames)


def _open(keys: KeySet, record: MessageRecord, entry: Payload) -> OpenedBody | Refused | None:
    from_initiator = record.sender == "initiator"
    sk_e = keys.sk_ei if from_initiator else keys.sk_er
    sk_a = keys.sk_ai if from_initiator else keys.sk_ar
    if sk_e is None:
        return None
    is_fragment = isinstance(entry.body, ikev2.EncryptedFragment)
    data = record.datagram.payload
    if is_fragment:
        return open_ike_v2(data, entry.start, keys.encryption, sk_e, keys.integrity, sk_a, header_size=SKF_HEADER_SIZE)
    return open_ike_v2(data, entry.start, keys.encryption, sk_e, keys.integrity, sk_a)


def _opening(plaintext: bytes, first_payload: int, record: MessageRecord, frames: tuple[int, ...]) -> Opening:
    chain = parse_chain(plaintext, 0, len(plaintext), first_payload, IKEV2)
    notes = (*chain.notes, *body_notes(chain.payloads, record.message.header, IKEV2))
    return Opening(payloads=chain.payloads, data=plaintext, notes=tuple(notes), first=first_payload, frames=frames)


def _all(records: list[MessageRecord]) -> tuple[Payload, ...]:
    return tuple(payload for record in records for payload in record.payloads)


def _fitting(row: EncryptionRow, key: Secret | None) -> Secret | None:
    """A key for CCM that was written as one for CTR, whose nonce begins with CCM's flags (RFC 3610 section 2.3)."""
    if key is None or row.mode != "aes-ccm":
        return key
    octets, cut = key.reveal(), len(key) - row.salt_size - 1
    is_for_ctr = cut in row.key_sizes and octets[cut] == CCM_FLAGS
    return Secret(octets[:cut] + octets[cut + 1 :]) if is_for_ctr else key


def _same(one: KeySet, two: KeySet) -> bool:
    return one.sk_ei == two.sk_ei and one.sk_er == two.sk_er and one.sk_ai == two.sk_ai


def mixed_sk_d(prf: PrfRow, ppk: Secret, keys: KeySet) -> Secret:
    """SK_d with a PPK mixed in (RFC 8784 section 3)."""
    nothing = Secret(b"")
    parts = IkeKeys(
        sk_d=keys.sk_d or nothing,
        sk_ai=nothing,
        sk_ar=nothing,
        sk_ei=nothing,
        sk_er=nothing,
        sk_pi=keys.sk_pi or nothing,
        sk_pr=keys.sk_pr or nothing,
    )
    return mix_ppk(prf, ppk, parts).sk_d
