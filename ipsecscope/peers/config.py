"""What a peer is told before it starts: who it is, what it offers, what it accepts, how patient it is.

Every value is frozen and has a default, so that a scenario says only what it is about. ``settings.py`` reads the same
from a file.
"""

from __future__ import annotations

import ipaddress
import re
from enum import StrEnum
from typing import Self

import msgspec

from ipsecscope.decrypt.algorithms import (
    UnknownAlgorithmError,
    encryption,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.decrypt.groups import group_by_name
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.ikev2.identification import Identification
from ipsecscope.dissect.ikev2.proposals import Transform
from ipsecscope.dissect.registry.ikev2 import (
    TRANSFORM_IDS,
    HashAlgorithm,
    IdType,
    SecurityProtocol,
    SequenceNumbers,
    TransformType,
)
from ipsecscope.peers import limits
from ipsecscope.peers.entropy import SECOND, Instant
from ipsecscope.peers.selectors import RangeSelector

MAX_ADDITIONAL_KEY_EXCHANGES = 7  # RFC 9370 section 2.2.1


class SettingError(ValueError):
    """A value that a peer cannot work with; the message says what is expected and never quotes a secret."""


class Identity(msgspec.Struct, frozen=True):
    """Who somebody claims to be: the type and the octets of an ID payload (RFC 7296 section 3.5)."""

    id_type: IdType
    data: bytes = b""

    @classmethod
    def parse(cls, text: str) -> Self:
        """An address, a mail address, ``keyid:`` or ``dn:`` with hex behind it, or a domain name."""
        kind, _, rest = text.partition(":")
        if kind in ("keyid", "dn"):
            try:
                octets = bytes.fromhex(rest)
            except ValueError:
                raise SettingError(f'hexadecimal digits are expected behind "{kind}:"') from None
            return cls(IdType.ID_KEY_ID if kind == "keyid" else IdType.ID_DER_ASN1_DN, octets)
        if not text:
            raise SettingError("an identity is expected: an address, a domain name or a mail address")
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return cls(IdType.ID_RFC822_ADDR if "@" in text else IdType.ID_FQDN, text.encode())
        return cls(IdType.ID_IPV4_ADDR if address.version == 4 else IdType.ID_IPV6_ADDR, address.packed)

    @classmethod
    def of(cls, payload: Identification) -> Self:
        """The identity of an ID payload."""
        return cls(payload.id_type, payload.data)

    def __str__(self) -> str:
        return Identification(id_type=self.id_type, data=self.data).value


NULL_IDENTITY = Identity(IdType.ID_NULL)  # RFC 7619 section 2.1


class AuthMethod(StrEnum):
    """How a peer proves who it is."""

    PSK = "psk"
    RSA = "rsa"  # RFC 7296 section 3.8: PKCS #1 with SHA-1
    ECDSA = "ecdsa"  # RFC 4754: the hash follows from the curve
    SIGNATURE = "signature"  # RFC 7427: what the key can, with the best hash that the other side announced
    SIGNATURE_PSS = "signature-pss"  # RFC 7427 with RSASSA-PSS
    NULL = "null"  # RFC 7619
    EAP = "eap"  # the initiator only


class EapMethod(StrEnum):
    """EAP methods that the peers can."""

    MD5 = "md5"
    GTC = "gtc"
    MSCHAPV2 = "mschapv2"
    TLS = "tls"


class TlsVersion(StrEnum):
    """Versions of TLS that EAP-TLS may use."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


class RedirectAt(StrEnum):
    """When a gateway sends its clients to another one (RFC 5685)."""

    IKE_SA_INIT = "IKE_SA_INIT"
    IKE_AUTH = "IKE_AUTH"
    LATER = "later"  # when its owner says so


class Mode(StrEnum):
    """What a Child SA protects: whole packets, the payload of packets, or (ESP only) the payload between fixed hosts."""

    TUNNEL = "tunnel"
    TRANSPORT = "transport"
    BEET = "beet"  # draft-nikander-esp-beet-mode, negotiated by strongSwan's private notification


class Offer(msgspec.Struct, frozen=True):
    """One proposal without number and SPI: the transforms, several of one type being alternatives."""

    protocol: SecurityProtocol
    transforms: tuple[Transform, ...]

    @classmethod
    def ike(cls, text: str) -> Self:
        """An IKE proposal from algorithm names, such as ``ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519``."""
        return cls._checked(SecurityProtocol.IKE, text, (TransformType.ENCR, TransformType.PRF, TransformType.KE))

    @classmethod
    def esp(cls, text: str) -> Self:
        """An ESP proposal, such as ``ENCR_AES_CBC-128 AUTH_HMAC_SHA2_256_128 MODP_2048`` (a group asks for PFS)."""
        return cls._checked(SecurityProtocol.ESP, text, (TransformType.ENCR,))

    @classmethod
    def ah(cls, text: str) -> Self:
        """An AH proposal, such as ``AUTH_HMAC_SHA2_256_128``."""
        return cls._checked(SecurityProtocol.AH, text, (TransformType.INTEG,))

    @classmethod
    def _checked(cls, protocol: SecurityProtocol, text: str, needed: tuple[TransformType, ...]) -> Self:
        transforms = [parse_transform(word) for word in text.split()]
        kinds = {transform.transform_type for transform in transforms}
        missing = [str(kind) for kind in needed if kind not in kinds]
        if missing:
            raise SettingError(f'"{text}" lacks a transform of type {", ".join(missing)}')
        ciphers = [encryption(item.transform_id) for item in transforms if item.transform_type == TransformType.ENCR]
        plain = [row.name for row in ciphers if not row.is_aead]
        if protocol == SecurityProtocol.IKE and plain and TransformType.INTEG not in kinds:
            raise SettingError(f'"{text}" lacks a transform of type INTEG, which {plain[0]} needs')
        if protocol != SecurityProtocol.IKE and TransformType.SN not in kinds:
            transforms.append(Transform.of_kind(TransformType.SN, SequenceNumbers.NO_ESN))
        return cls(protocol, tuple(sorted(transforms, key=lambda item: item.transform_type)))

    def without_key_exchange(self) -> Offer:
        """The same without PFS: what stands in IKE_AUTH (RFC 7296 section 1.2)."""
        kept = tuple(item for item in self.transforms if not is_key_exchange(item.transform_type))
        return Offer(self.protocol, kept)


def is_key_exchange(transform_type: int) -> bool:
    """Whether a transform type is a key exchange, additional ones included."""
    return transform_type == TransformType.KE or TransformType.ADDKE1 <= transform_type <= TransformType.ADDKE7


_WORD = re.compile(r"(?:ADDKE(?P<round>[1-7]):)?(?P<name>\w+?)(?:-(?P<bits>\d+))?")


def parse_transform(word: str) -> Transform:
    """A transform by its IANA name, with the key length behind a hyphen and ``ADDKE1:`` in front where they belong.

    Any name that ``decrypt.algorithms`` knows is understood as well. Raises SettingError.
    """
    match = _WORD.fullmatch(word)
    if match is None:
        raise SettingError(f'"{word}" is no algorithm')
    name, bits = match["name"], None if match["bits"] is None else int(match["bits"])
    if match["round"]:
        number = _ids(TransformType.KE).get(name)
        if number is None:
            raise SettingError(f'"{name}" is no key exchange method')
        return Transform.of_kind(TransformType.ADDKE1 + int(match["round"]) - 1, number)
    for kind in (TransformType.ENCR, TransformType.INTEG, TransformType.PRF, TransformType.KE, TransformType.SN):
        if name in _ids(kind) and name != "NONE":
            return _with_key(kind, _ids(kind)[name], bits, word)
    return _by_any_name(word)


def _ids(kind: TransformType) -> dict[str, int]:
    return {row.name: int(row) for row in TRANSFORM_IDS[kind]}


def _with_key(kind: TransformType, number: int, bits: int | None, word: str) -> Transform:
    if kind != TransformType.ENCR:
        return Transform.of_kind(kind, number)
    row = encryption(number)
    if bits is not None and bits // 8 not in row.key_sizes:
        sizes = ", ".join(str(size * 8) for size in row.key_sizes)
        raise SettingError(f'"{word}": {row.name} has keys of {sizes} bits')
    if not row.has_variable_key:
        return Transform.of_kind(kind, number)
    return Transform.of_kind(kind, number, row.default_key_size * 8 if bits is None else bits)


def _by_any_name(word: str) -> Transform:
    for find, kind in (
        (group_by_name, TransformType.KE),
        (integrity_by_name, TransformType.INTEG),
        (prf_by_name, TransformType.PRF),
    ):
        try:
            row = find(word)
        except UnknownAlgorithmError:
            continue
        if row.id is not None:
            return Transform.of_kind(kind, row.id)
    try:
        cipher, bits = encryption_by_name(word)
    except UnknownAlgorithmError:
        raise SettingError(f'no algorithm is called "{word}"') from None
    if cipher.id is None:
        raise SettingError(f"{cipher.name} has no number in IKEv2")
    return _with_key(TransformType.ENCR, cipher.id, bits, word)


DEFAULT_IKE = (Offer.ike("ENCR_AES_GCM_16-256 PRF_HMAC_SHA2_256 CURVE25519"),)
DEFAULT_ESP = (Offer.esp("ENCR_AES_GCM_16-256"),)
DEFAULT_HASHES = (HashAlgorithm.SHA2_256, HashAlgorithm.SHA2_384, HashAlgorithm.SHA2_512, HashAlgorithm.IDENTITY)


class Credentials(msgspec.Struct, frozen=True):
    """What a peer proves itself with. Keys and certificates are DER octets (PKCS #8, X.509); the chain's first is its own."""

    method: AuthMethod = AuthMethod.PSK
    private_key: Secret = Secret(b"")
    certificates: tuple[bytes, ...] = ()
    eap_method: EapMethod = EapMethod.MSCHAPV2
    user: str = ""
    password: Secret = Secret(b"")


class Ppk(msgspec.Struct, frozen=True):
    """A post-quantum pre-shared key (RFC 8784)."""

    ppk_id: bytes
    value: Secret
    required: bool = False


class Patience(msgspec.Struct, frozen=True):
    """How long a peer waits for what; all spans are nanoseconds, 0 switches off.

    A request is sent again after ``retransmit_after``, then ``factor`` times as long each time (RFC 7296 section 2.4).
    """

    retransmit_after: Instant = 2 * SECOND
    factor: float = 2.0
    retransmissions: int = 4
    half_open: Instant = 30 * SECOND
    dpd_after: Instant = 0
    keepalive_after: Instant = 20 * SECOND
    ike_lifetime: Instant = 0
    child_lifetime: Instant = 0
    try_again: Instant = 5 * SECOND


class Limits(msgspec.Struct, frozen=True):
    """Bounds of a responder that anybody may talk to. Cookies are asked for from ``cookies_from`` half-open SAs on."""

    cookies_from: int = limits.MAX_WITHOUT_COOKIE
    cookies_per_source: int = limits.MAX_WITHOUT_COOKIE_PER_SOURCE
    half_open: int = limits.MAX_HALF_OPEN
    half_open_per_source: int = limits.MAX_HALF_OPEN_PER_SOURCE
    ike_sas: int = limits.MAX_IKE_SAS
    children_per_sa: int = limits.MAX_CHILDREN_PER_SA
    amplification: float = limits.MAX_AMPLIFICATION


class Pool(msgspec.Struct, frozen=True):
    """What a gateway hands out in CFG_REPLY."""

    addresses: tuple[str, ...] = ()
    dns: tuple[str, ...] = ()


class EndConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What peers of both versions are told.

    Attributes:
        address: its own address.
        remote_address: where an initiator sends to.
        port: UDP port of IKE; ``nat_port`` is the one where IKE follows a non-ESP marker.
        remote_port: those ports of the other side, 0 for the same as our own.
        local_id: its identity.
        remote_id: whom it wants to meet; None takes anybody who proves an identity.
        psk: the key shared with the other side.
        authorities: trust anchors, X.509 as DER.
        users: names and passwords that a gateway knows.
        local_ts: traffic selectors of its own side; empty for its address (or the virtual address).
        remote_ts: those of the other side.
        force_encapsulation: pretend to be behind a NAT, so that ESP travels in UDP.
        fragment_size: octets of the largest IKE message sent as a whole, once both sides announced fragmentation.
    """

    name: str = "peer"
    address: str = "192.0.2.1"
    remote_address: str = "192.0.2.2"
    port: int = 500
    nat_port: int = 4500
    remote_port: int = 0
    remote_nat_port: int = 0
    local_id: Identity = NULL_IDENTITY
    remote_id: Identity | None = None
    psk: Secret = Secret(b"")
    authorities: tuple[bytes, ...] = ()
    users: tuple[tuple[str, Secret], ...] = ()
    local_ts: tuple[RangeSelector, ...] = ()
    remote_ts: tuple[RangeSelector, ...] = ()
    pool: Pool = Pool()
    force_encapsulation: bool = False
    fragmentation: bool = True
    fragment_size: int = 1200
    initial_contact: bool = False
    vendor_ids: tuple[bytes, ...] = ()
    nonce_size: int = 32
    patience: Patience = Patience()
    limits: Limits = Limits()

    @property
    def remote_ports(self) -> tuple[int, int]:
        """The other side's ports: IKE, and IKE behind a non-ESP marker."""
        return self.remote_port or self.port, self.remote_nat_port or self.nat_port


class Faults(msgspec.Struct, frozen=True):
    """Ways to be a bad peer on purpose, for the captures that show what goes wrong.

    Attributes:
        silent_after: the exchange behind which nothing is sent any more, by name (``IKE_SA_INIT``): a dead peer.
        damage_icv_of: the exchange whose messages of this peer carry a damaged ICV.
        endless_cookies: ask for another cookie whatever cookie comes.
        ignore_delete: do not act on a Delete payload.
        shift_message_id: added to the message id of requests behind IKE_AUTH.
        refuse_child: the error to answer every CREATE_CHILD_SA request with, by name.
        announces: private notifications that IKE_SA_INIT carries besides, as number and data.
        malformed: the exchange whose requests of this peer are cut inside their last payload.
    """

    silent_after: str = ""
    damage_icv_of: str = ""
    endless_cookies: bool = False
    ignore_delete: bool = False
    shift_message_id: int = 0
    refuse_child: str = ""
    malformed: str = ""
    announces: tuple[tuple[int, bytes], ...] = ()


class PeerConfig(EndConfig, frozen=True, kw_only=True):
    """Everything that an IKEv2 peer is told beyond ``EndConfig``.

    Attributes:
        remote_methods: how the other side may prove itself; empty for the peer's own method, and EAP for a gateway.
        eap_methods: what a gateway offers, in order.
        window: requests of the other side that it can keep at one time (RFC 7296 section 2.3).
        newest_tls: the highest version of TLS in EAP-TLS.
        follow_redirects: client: go to another gateway when asked to (RFC 5685).
        redirect_to: gateway: the address or name of the gateway that clients are sent to, ``redirect_at`` when.
        childless: initiator: no Child SA in IKE_AUTH (RFC 6023); responder: whether it supports that.
    """

    credentials: Credentials = Credentials()
    remote_methods: tuple[AuthMethod, ...] = ()
    eap_methods: tuple[EapMethod, ...] = (EapMethod.MSCHAPV2,)
    newest_tls: TlsVersion = TlsVersion.TLS_1_3
    ike_proposals: tuple[Offer, ...] = DEFAULT_IKE
    child_proposals: tuple[Offer, ...] = DEFAULT_ESP
    mode: Mode = Mode.TUNNEL
    request_virtual_ip: bool = False
    childless: bool = False
    nat_detection: bool = True
    mobike: bool = False
    signature_hashes: tuple[HashAlgorithm, ...] = DEFAULT_HASHES
    ppk: Ppk | None = None
    window: int = 1
    follow_redirects: bool = False
    redirect_to: str = ""
    redirect_at: RedirectAt = RedirectAt.IKE_SA_INIT
    faults: Faults = Faults()

    @property
    def accepted_methods(self) -> tuple[AuthMethod, ...]:
        """How the other side may prove itself."""
        return self.remote_methods or (self.credentials.method,)
