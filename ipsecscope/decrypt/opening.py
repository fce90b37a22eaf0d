"""Opening encrypted IKE messages: the ICV first, then the cipher, then whether what came out makes sense.

Pure functions of octets and keys. Each returns what was opened, or ``Refused`` with a reason: a wrong key never
yields plaintext. ESP and AH are opened in ``opening_esp.py`` and ``opening_ah.py``.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from ipsecscope.decrypt.algorithms import (
    NO_INTEGRITY,
    AlgorithmError,
    EncryptionRow,
    IntegrityError,
    IntegrityRow,
    KeyLengthError,
)
from ipsecscope.decrypt.ciphers import bind
from ipsecscope.decrypt.macs import Icv
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.header import HEADER_SIZE
from ipsecscope.dissect.registry.ikev2 import PayloadType
from ipsecscope.dissect.registry.isakmp import PayloadType as IsakmpPayloadType

GENERIC_HEADER_SIZE = 4
SK_HEADER_SIZE = 4  # RFC 7296 section 3.14
SKF_HEADER_SIZE = 8  # RFC 7383 section 2.5: Fragment Number and Total Fragments behind the generic header
MAX_CHAIN = 512  # payloads walked to see whether decrypted octets are a chain


class Reason(StrEnum):
    """Why something was not opened."""

    NO_KEY = "no key"
    KEY_LENGTH = "wrong key length"
    UNSUPPORTED = "unsupported algorithm"
    TOO_SHORT = "too short"
    NOT_WHOLE_BLOCKS = "not whole blocks"
    BAD_ICV = "integrity check failed"
    BAD_PLAINTEXT = "check the encryption key"
    IP_FRAGMENT = "IP fragment"
    MALFORMED = "malformed"


class Refused(msgspec.Struct, frozen=True):
    """Nothing was opened. ``text`` is one sentence for the user; it never holds key octets or plaintext."""

    reason: Reason
    text: str


class OpenedBody(msgspec.Struct, frozen=True, kw_only=True):
    """An opened SK or SKF payload, or the opened body of an IKEv1 message.

    Attributes:
        plaintext: the inner payloads, without padding.
        padding: the octets behind them (IKEv2: with the Pad Length octet).
        iv: the IV that was used.
        authenticated: whether an ICV was verified; IKEv1 has none, its HASH payloads are verified apart.
        next_iv: IKEv1: the IV of the next message under the same message ID.
    """

    plaintext: bytes
    padding: bytes = b""
    iv: bytes = b""
    authenticated: bool = True
    next_iv: bytes = b""


def refusal_of(error: AlgorithmError) -> Refused:
    """What an algorithm had against the key or the octets, as a value."""
    if isinstance(error, KeyLengthError):
        return Refused(Reason.KEY_LENGTH, str(error))
    if isinstance(error, IntegrityError):
        return Refused(Reason.BAD_ICV, "integrity check failed")
    return Refused(Reason.UNSUPPORTED, str(error))


def open_ike_v2(
    message: bytes,
    sk_offset: int,
    encryption: EncryptionRow,
    sk_e: Secret,
    integrity: IntegrityRow | None = None,
    sk_a: Secret | None = None,
    *,
    header_size: int = SK_HEADER_SIZE,
) -> OpenedBody | Refused:
    """Open the SK or SKF payload of an IKEv2 message, RFC 7296 section 3.14, RFC 5282 and RFC 7383 section 2.5.

    Args:
        message: the message from its IKE header on.
        sk_offset: where the generic header of the Encrypted payload starts.
        encryption: the cipher.
        sk_e: SK_ei or SK_er, by who sent the message.
        integrity: the integrity algorithm; none for an AEAD.
        sk_a: SK_ai or SK_ar.
        header_size: ``SKF_HEADER_SIZE`` for an Encrypted Fragment.
    """
    stop = sk_offset + int.from_bytes(message[sk_offset + 2 : sk_offset + 4], "big")
    start = sk_offset + header_size
    if not start <= stop <= len(message):
        return Refused(Reason.MALFORMED, "the length of the Encrypted payload does not fit the message")
    integrity = integrity or NO_INTEGRITY
    icv_size = encryption.icv_size or integrity.icv_size
    if stop - start < encryption.iv_size + icv_size + 1:
        return Refused(Reason.TOO_SHORT, "no room for IV, Pad Length and ICV in the Encrypted payload")
    body = start + encryption.iv_size
    iv = message[start:body]
    try:
        cipher = bind(encryption, sk_e)
        if encryption.is_aead:
            plaintext = cipher.unseal(iv, message[:start], message[body:stop])
        else:
            icv_at = stop - icv_size
            if integrity.is_checked and icv_size:
                icv = Icv(integrity, sk_a or Secret(b""))
                if not icv.verify(message[icv_at:stop], message[:icv_at]):
                    return Refused(Reason.BAD_ICV, "integrity check failed")
            if (icv_at - body) % encryption.block_size:
                return Refused(Reason.NOT_WHOLE_BLOCKS, f"not whole blocks of {encryption.block_size} octets")
            plaintext = cipher.unseal(iv, b"", message[body:icv_at])
    except AlgorithmError as error:
        return refusal_of(error)
    first_payload = message[sk_offset]
    fragment = message[sk_offset + 4 : start]
    return _without_padding(
        plaintext,
        iv,
        None if fragment and fragment[:2] != b"\0\1" else first_payload,
        is_whole=not fragment,
        authenticated=encryption.is_aead or (integrity.is_checked and icv_size > 0),
        proven=encryption.is_aead,
    )


def _without_padding(
    plaintext: bytes, iv: bytes, first_payload: int | None, *, is_whole: bool, authenticated: bool, proven: bool
) -> OpenedBody | Refused:
    """Take the padding off. Where no AEAD proved the cipher key, the first inner payload must look like one."""
    stop = len(plaintext) - 1 - (plaintext[-1] if plaintext else 0)
    wrong = Refused(
        Reason.BAD_PLAINTEXT,
        ("the ICV is right, but padding or payloads are not" if authenticated else "padding or payloads are wrong")
        + ": check the encryption key",
    )
    if stop < 0:
        return wrong
    inner = plaintext[:stop]
    if not proven and first_payload is not None:
        bound = stop if is_whole else 1 << 16  # a payload may go on in the next fragment
        if not _looks_like_payloads(inner, first_payload, bound, PayloadType):
            return wrong
    return OpenedBody(plaintext=inner, padding=plaintext[stop:], iv=iv, authenticated=authenticated)


def open_ike_v1(message: bytes, encryption: EncryptionRow, key: Secret, iv: bytes) -> OpenedBody | Refused:
    """Open the body of an encrypted IKEv1 message, RFC 2409 appendix B.

    There is no ICV: the only evidence for the key and the IV is that the octets are a payload chain, so that is
    demanded of the first payload; the HASH payload inside proves the rest.

    Args:
        message: the message from its ISAKMP header on, without anything behind its length.
        encryption: the phase 1 cipher.
        key: its key, Ka of appendix B where SKEYID_e was too short.
        iv: the last ciphertext block of the message before it, or the first IV of the exchange.
    """
    body = message[HEADER_SIZE:]
    block = encryption.block_size
    if not body:
        return Refused(Reason.TOO_SHORT, "nothing behind the header")
    if len(body) % block:
        return Refused(Reason.NOT_WHOLE_BLOCKS, f"not whole blocks of {block} octets")
    if len(iv) != encryption.iv_size:
        return Refused(Reason.MALFORMED, f"an IV of {len(iv)} octets where {encryption.name} takes {block}")
    try:
        plaintext = bind(encryption, key).unseal(iv, b"", body)
    except AlgorithmError as error:
        return refusal_of(error)
    first_payload = message[16]
    if not _looks_like_payloads(plaintext, first_payload, len(plaintext), IsakmpPayloadType, reserved=0xFF):
        return Refused(
            Reason.BAD_PLAINTEXT,
            "no payloads come out of it: check the encryption key, or a message before it is missing",
        )
    stop = _end_of_chain(plaintext, first_payload)
    return OpenedBody(
        plaintext=plaintext[:stop],
        padding=plaintext[stop:],
        iv=iv,
        authenticated=False,
        next_iv=body[len(body) - block :],
    )


def _looks_like_payloads(
    octets: bytes, first_payload: int, bound: int, kinds: type[CodePoint], reserved: int = 0x7F
) -> bool:
    """Whether decrypted octets start as a payload does: a known next type, reserved bits clear, a length that fits.

    Only the first payload is judged, so that a message with a damaged chain is still shown to its reader. Octets
    under a wrong key pass about once in a million tries.
    """
    if first_payload == 0:
        return not octets
    if len(octets) < GENERIC_HEADER_SIZE:
        return False
    length = int.from_bytes(octets[2:4], "big")
    known = octets[0] == 0 or kinds(octets[0]).is_known
    return known and not octets[1] & reserved and GENERIC_HEADER_SIZE <= length <= bound


def _end_of_chain(octets: bytes, first_payload: int) -> int:
    """Where the last payload ends; the length of the octets when the chain does not end inside them."""
    kind, at = first_payload, 0
    for _ in range(MAX_CHAIN):
        if kind == 0:
            return at
        length = int.from_bytes(octets[at + 2 : at + 4], "big")
        if length < GENERIC_HEADER_SIZE or at + length > len(octets):
            break
        kind, at = octets[at], at + length
    return len(octets)
