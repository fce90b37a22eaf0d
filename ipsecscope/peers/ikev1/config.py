"""What an IKEv1 peer is told: who it is, what it offers and accepts in phase 1 and in phase 2, how it errs on purpose."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

import msgspec

from ipsecscope.decrypt.algorithms import (
    EncryptionRow,
    IntegrityRow,
    PrfRow,
    UnknownAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.decrypt.groups import GroupRow, group_by_name
from ipsecscope.decrypt.keymat import ChildSuite
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.equivalents import ikev2_equivalent
from ipsecscope.dissect.registry.ipsec_doi import ProtocolId
from ipsecscope.dissect.registry.isakmp import Group
from ipsecscope.peers.config import NULL_IDENTITY, EndConfig, Identity, Mode, SettingError
from ipsecscope.peers.selectors import RangeSelector

PHASE_1_LIFETIME: Final = 28_800  # seconds, RFC 2407 section 4.5.4 leaves it to the policy
PHASE_2_LIFETIME: Final = 3_600

GROUP_NUMBERS: Final[dict[int, Group]] = {
    int(same): number for number in Group if (same := ikev2_equivalent(number)) is not None
}  # key exchange methods of IKEv2 as groups of IKEv1


class Method(StrEnum):
    """How phase 1 is authenticated."""

    PSK = "psk"
    RSA = "rsa"
    HYBRID = "hybrid"  # draft-ietf-ipsec-isakmp-hybrid-auth: the gateway signs, the client goes on with XAUTH


class PhaseOneMode(StrEnum):
    """The exchanges that make an ISAKMP SA."""

    MAIN = "main"
    AGGRESSIVE = "aggressive"


class NatTraversal(StrEnum):
    """Versions of NAT traversal by the text that their Vendor ID is the MD5 of."""

    RFC_3947 = "RFC 3947"
    DRAFT_03 = "draft-ietf-ipsec-nat-t-ike-03"
    DRAFT_02N = "draft-ietf-ipsec-nat-t-ike-02\n"
    DRAFT_02 = "draft-ietf-ipsec-nat-t-ike-02"

    @property
    def is_draft(self) -> bool:
        """Whether payloads and modes have the numbers of the drafts."""
        return self is not NatTraversal.RFC_3947


class UnreadableAnswer(StrEnum):
    """What a responder does with a message 5 that it cannot read, as with a wrong pre-shared key."""

    ENCRYPTED = "encrypted"  # a notification under keys that the other side does not have
    CLEAR = "clear"
    SILENT = "silent"


class PhaseOneOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One transform of phase 1, without its authentication method."""

    encryption: EncryptionRow
    key_bits: int | None = None
    prf: PrfRow
    group: GroupRow
    lifetime_s: int = PHASE_1_LIFETIME

    @classmethod
    def parse(cls, text: str, *, lifetime_s: int = PHASE_1_LIFETIME) -> Self:
        """Read an offer such as ``AES_CBC-256 SHA2_256 MODP_2048``. Raises SettingError."""
        words = text.split()
        if len(words) != 3:
            raise SettingError(f'"{text}": a cipher, a hash and a group are expected')
        try:
            encryption, key_bits = _encryption(words[0])
            prf, group = prf_by_name(words[1]), group_by_name(words[2])
        except UnknownAlgorithmError as error:
            raise SettingError(f'"{text}": {error}') from None
        if encryption.phase_1 is None or prf.hash_v1 is None or int(group.id) not in GROUP_NUMBERS:
            raise SettingError(f'"{text}": one of these has no number in phase 1 of IKEv1')
        return cls(encryption=encryption, key_bits=key_bits, prf=prf, group=group, lifetime_s=lifetime_s)


class Protocol(msgspec.Struct, frozen=True, kw_only=True):
    """One protocol of a phase 2 offer with its algorithms."""

    protocol: ProtocolId
    encryption: EncryptionRow | None = None
    key_bits: int | None = None
    integrity: IntegrityRow | None = None

    @property
    def suite(self) -> ChildSuite:
        """The algorithms as the key derivation wants them."""
        return ChildSuite(encryption=self.encryption, key_bits=self.key_bits, integrity=self.integrity)


class PhaseTwoOffer(msgspec.Struct, frozen=True, kw_only=True):
    """One offer of quick mode: protocols that belong together, and a group for perfect forward secrecy."""

    protocols: tuple[Protocol, ...]
    group: GroupRow | None = None
    lifetime_s: int = PHASE_2_LIFETIME

    @classmethod
    def parse(cls, text: str, *, lifetime_s: int = PHASE_2_LIFETIME) -> Self:
        """Read an offer: ``AES_CBC-128 HMAC_SHA2_256_128``, ``AH HMAC_SHA1_96``, or both joined by ``+``.

        A group at the end asks for perfect forward secrecy. Raises SettingError.
        """
        words, group = text.split(), None
        try:
            group = group_by_name(words[-1])
            words = words[:-1]
        except (UnknownAlgorithmError, IndexError):
            pass
        if group is not None and int(group.id) not in GROUP_NUMBERS:
            raise SettingError(f'"{text}": {group.name} has no number in IKEv1')
        parts = " ".join(words).split("+")
        return cls(protocols=tuple(_protocol(part.split(), text) for part in parts), group=group, lifetime_s=lifetime_s)


def _protocol(words: list[str], text: str) -> Protocol:
    try:
        if len(words) == 2 and words[0].upper() == "AH":
            integrity = integrity_by_name(words[1])
            if integrity.ah_v1 is not None:
                return Protocol(protocol=ProtocolId.PROTO_IPSEC_AH, integrity=integrity)
        elif words:
            encryption, key_bits = _encryption(words[0])
            esp_integrity = integrity_by_name(words[1]) if len(words) == 2 else None
            fits = encryption.is_aead == (esp_integrity is None) and len(words) <= 2
            if fits and encryption.esp_v1 is not None and (esp_integrity is None or esp_integrity.esp_v1 is not None):
                return Protocol(
                    protocol=ProtocolId.PROTO_IPSEC_ESP,
                    encryption=encryption,
                    key_bits=key_bits,
                    integrity=esp_integrity,
                )
    except UnknownAlgorithmError as error:
        raise SettingError(f'"{text}": {error}') from None
    raise SettingError(f'"{text}": such as "AES_CBC-128 HMAC_SHA2_256_128" or "AH HMAC_SHA1_96" is expected')


def _encryption(word: str) -> tuple[EncryptionRow, int | None]:
    name, _, bits = word.rpartition("-")
    if not bits.isdecimal() or not name:
        name, bits = word, ""
    row, named_bits = encryption_by_name(name)
    if not row.has_variable_key:
        return row, None
    wanted = int(bits) if bits else named_bits or row.default_key_size * 8
    if wanted % 8 or wanted // 8 not in row.key_sizes:
        raise SettingError(f'"{word}": {row.name} has no key of {wanted} bits')
    return row, wanted


DEFAULT_PHASE_1: Final = (PhaseOneOffer.parse("AES_CBC-256 SHA2_256 MODP_2048"),)
DEFAULT_PHASE_2: Final = (PhaseTwoOffer.parse("AES_CBC-256 HMAC_SHA2_256_128"),)


class Unity(msgspec.Struct, frozen=True):
    """Cisco Unity attributes that a gateway hands out; networks are texts such as ``10.2.0.0/16``."""

    banner: str = ""
    default_domain: str = ""
    split_include: tuple[str, ...] = ()
    save_password: bool = False


class ChildRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of phase 2 identities, and the offers for it where they are not those of the peer."""

    local_ts: RangeSelector
    remote_ts: RangeSelector
    offers: tuple[PhaseTwoOffer, ...] = ()


class Ikev1Faults(msgspec.Struct, frozen=True):
    """Ways to be a bad peer on purpose.

    Attributes:
        silent_after: behind how many messages of its own the peer falls silent; 0 for never.
        refuse_quick_mode: the error to answer every quick mode with, by name.
        unknown_to_others: answer phase 1 of an unknown mode with nothing at all.
        ignore_dpd: do not answer R-U-THERE.
        malformed_quick_mode: cut the last payload of quick mode's first message short.
        ignore_delete: do not act on a Delete payload.
        reads_offers: how many transforms of phase 1 the peer reads; 0 for all.
    """

    silent_after: int = 0
    refuse_quick_mode: str = ""
    unknown_to_others: bool = False
    ignore_dpd: bool = False
    malformed_quick_mode: bool = False
    ignore_delete: bool = False
    reads_offers: int = 0


class Ikev1Config(EndConfig, frozen=True, kw_only=True):
    """Everything that an IKEv1 peer is told beyond ``EndConfig``.

    Attributes:
        local_id: its identity; without one, its address.
        method: how phase 1 is authenticated.
        psks: beside the key shared with everybody, keys for an address (main mode) or an identity (aggressive).
        private_key: PKCS #8 DER; ``certificates`` and ``authorities`` are X.509 DER, the peer's own first.
        mode: the exchange that an initiator begins with; ``accepts`` are those that a responder answers.
        xauth: whether XAUTH follows phase 1; always so with hybrid authentication.
        is_gateway: which end of XAUTH and mode configuration it is.
        request_config: client: ask for an address; ``push_config``: gateway: push one (mode-config SET).
        encrypt_third: whether message 3 of aggressive mode is encrypted, as most implementations do.
        commit_bit: responder: set the commit bit and confirm quick mode with CONNECTED.
        believes_clear_errors: give up phase 1 on an error notification that nothing authenticates.
        answers_offers: responder: say NO-PROPOSAL-CHOSEN instead of nothing.
    """

    method: Method = Method.PSK
    psks: tuple[tuple[str, Secret], ...] = ()
    private_key: Secret = Secret(b"")
    certificates: tuple[bytes, ...] = ()
    mode: PhaseOneMode = PhaseOneMode.MAIN
    accepts: tuple[PhaseOneMode, ...] = (PhaseOneMode.MAIN, PhaseOneMode.AGGRESSIVE)
    phase_1: tuple[PhaseOneOffer, ...] = DEFAULT_PHASE_1
    phase_2: tuple[PhaseTwoOffer, ...] = DEFAULT_PHASE_2
    children: tuple[ChildRequest, ...] = ()
    child_mode: Mode = Mode.TUNNEL
    xauth: bool = False
    is_gateway: bool = False
    user: str = ""
    password: Secret = Secret(b"")
    request_config: bool = False
    push_config: bool = False
    unity: Unity | None = None
    nat_traversal: tuple[NatTraversal, ...] = (NatTraversal.RFC_3947, NatTraversal.DRAFT_02N)
    dpd: bool = True
    encrypt_third: bool = True
    commit_bit: bool = False
    believes_clear_errors: bool = True
    answers_offers: bool = True
    unreadable_answer: UnreadableAnswer = UnreadableAnswer.ENCRYPTED
    faults: Ikev1Faults = Ikev1Faults()

    @property
    def uses_xauth(self) -> bool:
        """Whether XAUTH follows phase 1."""
        return self.xauth or self.method is Method.HYBRID

    @property
    def identity(self) -> Identity:
        """Who the peer claims to be."""
        return Identity.parse(self.address) if self.local_id == NULL_IDENTITY else self.local_id
