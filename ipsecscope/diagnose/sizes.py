"""Keyless inference from IKE lengths: how many octets of payloads an encrypted message holds, and what fits in them.

IKE hides contents, not sizes. With the suite that was chosen in the clear, the length of a message gives the length
of its payloads to one cipher block; with an AEAD to the octet once the sender's padding is known. Every inference
carries its equation. What cannot be told from sizes is never told: two payloads of one size are one class here.

RFC 7296 3.14 (SK), RFC 7383 2.5 (SKF), RFC 2409 appendix B (IKEv1: the whole body is encrypted).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from ipsecscope.decrypt.algorithms import (
    EncryptionRow,
    PrfRow,
    UnknownAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.dissect.chain import GENERIC_HEADER_SIZE
from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.dissect.ikev2.public_values import SIZES
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.timeline.sas import MessageRecord, Suite

SKF_NUMBERS = 4  # fragment number and total fragments (RFC 7383 2.5)
PAD_LENGTH = 1  # the octet that says how much padding there is (RFC 7296 3.14)
ESP_SPI, IKE_SPI, COOKIES = 4, 8, 16
DEFAULT_NONCE = 32  # what all implementations seen so far send; RFC 7296 2.10 allows 16 to 256
ALIGNMENTS = (16, 8, 4)  # what an AEAD's sender may pad to without need


class Envelope(msgspec.Struct, frozen=True):
    """What encryption adds to a message: header of the SK payload, IV, padding to blocks, ICV. Octets."""

    name: str
    sk_header: int
    iv: int
    block: int
    icv: int

    def length_of(self, inner: int, *, is_fragment: bool = False, aligned: int = 1) -> int:
        """The IKE header's Length for ``inner`` octets of payloads; ``aligned`` is what an AEAD's sender pads to."""
        padded = _ceil(inner + PAD_LENGTH, max(self.block, aligned))
        return HEADER_SIZE + self._head(is_fragment=is_fragment) + padded + self.icv

    def _head(self, *, is_fragment: bool) -> int:
        return self.sk_header + (SKF_NUMBERS if is_fragment else 0) + self.iv

    def padded(self, length: int, *, is_fragment: bool = False) -> int:
        """The ciphertext octets of a message of this Length."""
        return length - HEADER_SIZE - self._head(is_fragment=is_fragment) - self.icv


class Inner(msgspec.Struct, frozen=True):
    """How many octets of payloads a message holds: at least ``low``, at most ``high``. ``equation`` shows why."""

    low: int
    high: int
    length: int
    equation: str

    def may_be(self, *sizes: int) -> bool:
        """Whether one of these sizes fits."""
        return any(self.low <= size <= self.high for size in sizes)

    def is_below(self, size: int) -> bool:
        """Whether ``size`` octets have no room."""
        return self.high < size


def _ceil(value: int, block: int) -> int:
    return -(-value // block) * block


def envelope_ikev2(suite: Suite | None) -> Envelope | None:
    """The envelope of an IKEv2 suite; None when it is not known or of sizes this program does not know."""
    row = _encryption(suite)
    if suite is None or row is None:
        return None
    icv, name = row.icv_size, row.name
    if not row.is_aead:
        if suite.integ is None:
            return None
        try:
            integ = integrity_by_name(suite.integ)
        except UnknownAlgorithmError:
            return None
        icv, name = integ.icv_size, f"{row.name} with {integ.name}"
    return Envelope(name, GENERIC_HEADER_SIZE, row.iv_size, max(row.block_size, 1), icv)


def envelope_ikev1(suite: Suite | None) -> Envelope | None:
    """The envelope of an IKEv1 suite: the body is whole cipher blocks, with neither IV nor ICV in the message."""
    row = _encryption(suite)
    return None if row is None else Envelope(row.name, 0, 0, max(row.block_size, 1), 0)


def _encryption(suite: Suite | None) -> EncryptionRow | None:
    if suite is None or suite.encr is None:
        return None
    try:
        return encryption_by_name(suite.encr)[0]
    except UnknownAlgorithmError:
        return None


def prf_of(suite: Suite | None) -> PrfRow | None:
    """The row of a suite's PRF."""
    if suite is None or suite.prf is None:
        return None
    try:
        return prf_by_name(suite.prf)
    except UnknownAlgorithmError:
        return None


def alignment_of(lengths: Iterable[tuple[int, bool]], envelope: Envelope) -> int:
    """What a sender's messages are aligned to, from (Length, is a fragment) of everything encrypted it sent.

    An AEAD needs no padding (RFC 5282 section 3), but senders may add some. One message that is not aligned proves
    that there is none; while all are, the padding stays open and every size is an interval.
    """
    if envelope.block > 1:
        return envelope.block
    padded = {envelope.padded(length, is_fragment=is_fragment) for length, is_fragment in lengths}
    return next((size for size in ALIGNMENTS if padded and all(each % size == 0 for each in padded)), 1)


def inner_ikev2(records: Sequence[MessageRecord], envelope: Envelope, aligned: int = 1) -> Inner | None:
    """The payload octets of one IKEv2 message in one datagram or in a complete set of RFC 7383 fragments."""
    parts = _parts(records)
    if not parts:
        return None
    is_fragment = parts[0].fragment is not None
    lengths = [record.datagram.wire_length for record in parts]
    padded = [envelope.padded(length, is_fragment=is_fragment) for length in lengths]
    unit = max(envelope.block, aligned)
    if any(size < PAD_LENGTH or size % envelope.block for size in padded):
        return None
    low, high = sum(max(size - unit, 0) for size in padded), sum(size - PAD_LENGTH for size in padded)
    header = f"{HEADER_SIZE}+{envelope.sk_header + (SKF_NUMBERS if is_fragment else 0)}"
    sums = [
        f"{length} = {header}+{envelope.iv}+{size}+{envelope.icv}" for length, size in zip(lengths, padded, strict=True)
    ]
    room = f"{high} octets" if low == high else f"{low} to {high} octets"
    equation = f"{'; '.join(sums)} (header, SK header, IV, ciphertext, ICV) → {room} of payloads"
    return Inner(low, high, sum(lengths), equation)


def inner_ikev1(record: MessageRecord, envelope: Envelope) -> Inner | None:
    """The payload octets of one encrypted IKEv1 message.

    Senders pad only when they must, or always by one octet at least (RFC 2409 appendix B allows both), so a whole
    block stays open.
    """
    length = record.datagram.wire_length if record.assembled is None else HEADER_SIZE + len(record.assembled.ciphertext)
    size = length - HEADER_SIZE
    if size <= 0 or size % envelope.block:
        return None
    low = max(size - envelope.block, 0)
    equation = f"{length} = {HEADER_SIZE}+{size} (header, ciphertext) → {low} to {size} octets of payloads"
    return Inner(low, size, length, equation)


def _parts(records: Sequence[MessageRecord]) -> list[MessageRecord]:
    """The datagrams of one message: the only one, or every fragment of a complete set."""
    whole = [record for record in records if record.fragment is None]
    if whole:
        return whole[:1]
    parts = {record.fragment[0]: record for record in records if record.fragment is not None}
    total = max((record.fragment[1] for record in records if record.fragment is not None), default=0)
    return [parts[number] for number in sorted(parts)] if total and set(parts) == set(range(1, total + 1)) else []


# -- payload sizes (RFC 7296 3.2 ff.): the generic header and what is in front of the data ------------------------


def notify(data: int = 0, spi: int = 0) -> int:
    """N: generic header, protocol, SPI size, type (RFC 7296 3.10)."""
    return GENERIC_HEADER_SIZE + 4 + spi + data


def delete(spis: int = 0) -> int:
    """D: an IKE SA without SPI, or so many Child SAs (RFC 7296 3.11)."""
    return GENERIC_HEADER_SIZE + 4 + ESP_SPI * spis


def identification(size: int) -> int:
    """IDi or IDr of ``size`` octets (RFC 7296 3.5)."""
    return GENERIC_HEADER_SIZE + 4 + size


def authentication(size: int) -> int:
    """AUTH of ``size`` octets (RFC 7296 3.8); a pre-shared key's is as long as the PRF's output (2.15)."""
    return GENERIC_HEADER_SIZE + 4 + size


def nonce(size: int = DEFAULT_NONCE) -> int:
    """Ni or Nr (RFC 7296 3.9)."""
    return GENERIC_HEADER_SIZE + size


def key_exchange(method: int, *, is_response: bool = False) -> int | None:
    """KE (RFC 7296 3.4); None for a method of unknown size."""
    sizes = SIZES.get(KeyExchangeMethod(method))
    return None if sizes is None else GENERIC_HEADER_SIZE + 4 + sizes[is_response]


def selectors(ipv4: int = 1, ipv6: int = 0) -> int:
    """TSi or TSr with so many ranges (RFC 7296 3.13)."""
    return GENERIC_HEADER_SIZE + 4 + 16 * ipv4 + 40 * ipv6


def security_association(transforms: int, with_key_length: int = 1, spi: int = ESP_SPI, proposals: int = 1) -> int:
    """SA: so many proposals of so many transforms each, of which some have a Key Length attribute (RFC 7296 3.3)."""
    return GENERIC_HEADER_SIZE + proposals * (8 + spi + 8 * transforms + 4 * with_key_length)


EAP_END = GENERIC_HEADER_SIZE + 4  # EAP-Success and EAP-Failure (RFC 3748 4.2)
EAP_REFUSALS = (EAP_END, EAP_END + notify())  # EAP-Failure, alone or with AUTHENTICATION_FAILED
EAP_ROOM = 32  # octets, with which a further EAP request is likelier

MIN_ID = identification(1)
MIN_SIGNATURE = authentication(64)  # ECDSA P-256 or Ed25519
MIN_CHILD_SA = security_association(2, 0)  # one cipher without key length, sequence numbers
MIN_SELECTORS = 2 * selectors()
MIN_CHILD = MIN_CHILD_SA + MIN_SELECTORS
LONE_NOTIFY_MAX = notify(data=2, spi=ESP_SPI)  # the largest error notify of RFC 7296


def min_auth(suite: Suite | None) -> int:
    """The smallest AUTH payload: a pre-shared key's (RFC 7296 2.15), or the shortest signature."""
    prf = prf_of(suite)
    return MIN_SIGNATURE if prf is None else min(authentication(prf.output_size), MIN_SIGNATURE)


def min_proof(suite: Suite | None) -> int:
    """The smallest IKE_AUTH response that proves the responder's identity: IDr and AUTH."""
    return MIN_ID + min_auth(suite)


def min_success(suite: Suite | None) -> int:
    """The smallest IKE_AUTH response that makes a Child SA as well: IDr, AUTH, SA, TSi, TSr."""
    return min_proof(suite) + MIN_CHILD


def min_last_success(suite: Suite | None) -> int:
    """The same behind EAP, where IDr came earlier: AUTH, SA, TSi, TSr (RFC 7296 2.16)."""
    return min_auth(suite) + MIN_CHILD


MIN_CHILD_RESPONSE = MIN_CHILD + nonce(16)  # CREATE_CHILD_SA for a Child SA: SA, Nr, TSi, TSr (RFC 7296 1.3.1)


def groups_that_fit(spare_low: int, spare_high: int, *, is_response: bool) -> list[KeyExchangeMethod]:
    """The key exchange methods whose KE payload would take up this many octets."""
    found = []
    for method in SIZES:
        size = key_exchange(method, is_response=is_response)
        if size is not None and spare_low <= size <= spare_high:
            found.append(method)
    return found


# -- IKEv1: HASH first, then the payload (RFC 2409 5.7) ------------------------------------------------------------

V1_NOTIFY = GENERIC_HEADER_SIZE + 8  # DOI, protocol, SPI size, type (RFC 2408 3.14)
V1_DELETE = GENERIC_HEADER_SIZE + 8


ATTRIBUTES_HEAD = 8  # generic header, type and identifier of Mode Config (draft-dukes-ike-mode-cfg 3.2)


def v1_hash(suite: Suite | None) -> int:
    """HASH(1): as long as the negotiated hash; 0 when that is unknown."""
    prf = prf_of(suite)
    return 0 if prf is None else GENERIC_HEADER_SIZE + prf.output_size


def v1_refusal_sizes(suite: Suite | None) -> tuple[int, ...]:
    """An informational that carries one error notify: without SPI, with an IPsec SPI, with both cookies."""
    return tuple(v1_hash(suite) + V1_NOTIFY + spi for spi in (0, ESP_SPI, IKE_SPI, COOKIES))


def v1_delete_sizes(suite: Suite | None) -> tuple[int, ...]:
    """Delete of one IPsec SA, and of the ISAKMP SA."""
    return tuple(v1_hash(suite) + V1_DELETE + spi for spi in (ESP_SPI, COOKIES))
