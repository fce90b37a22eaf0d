"""Sealing: the other direction of ``opening``. The peers send with it; nothing here draws a random octet."""

from __future__ import annotations

from ipsecscope.decrypt.algorithms import NO_INTEGRITY, EncryptionRow, IntegrityRow, SizeError
from ipsecscope.decrypt.ciphers import bind, seal
from ipsecscope.decrypt.macs import Icv
from ipsecscope.decrypt.opening_ah import seal_ah
from ipsecscope.decrypt.opening_esp import EspSa
from ipsecscope.decrypt.plausibility import DEFAULT_PADDING, TRAILER_SIZE
from ipsecscope.decrypt.secret import Secret

__all__ = ["ike_v2_body_size", "ike_v2_padding", "seal", "seal_ah", "seal_esp", "seal_ike_v1", "seal_ike_v2"]

ESP_ALIGNMENT = 4  # RFC 4303 section 2.4: the trailer ends on a 32-bit boundary


def ike_v2_padding(encryption: EncryptionRow, size: int) -> bytes:
    """The padding and the Pad Length octet behind ``size`` octets of inner payloads: as little as the cipher needs."""
    count = -(size + 1) % encryption.block_size
    return bytes(count) + bytes((count,))


def ike_v2_body_size(encryption: EncryptionRow, integrity: IntegrityRow | None, size: int) -> int:
    """Octets of IV, ciphertext and ICV for ``size`` octets of inner payloads: what the payload length must count."""
    icv_size = encryption.icv_size or (integrity or NO_INTEGRITY).icv_size
    return encryption.iv_size + size + len(ike_v2_padding(encryption, size)) + icv_size


def seal_ike_v2(
    prefix: bytes,
    inner: bytes,
    iv: bytes,
    encryption: EncryptionRow,
    sk_e: Secret,
    integrity: IntegrityRow | None = None,
    sk_a: Secret | None = None,
    *,
    padding: bytes | None = None,
) -> bytes:
    """A whole IKEv2 message with an Encrypted payload, RFC 7296 section 3.14 and RFC 5282.

    Args:
        prefix: the message up to the end of the SK (or SKF) header, all lengths already those of the whole message.
        inner: the inner payloads.
        iv: the IV, ``encryption.iv_size`` octets.
        encryption: the cipher.
        sk_e: SK_ei or SK_er.
        integrity: the integrity algorithm; none for an AEAD.
        sk_a: SK_ai or SK_ar.
        padding: padding and Pad Length octet, when they are to be other than the least.
    """
    plaintext = inner + (ike_v2_padding(encryption, len(inner)) if padding is None else padding)
    if len(iv) != encryption.iv_size:
        raise SizeError(f"an IV of {len(iv)} octets where {encryption.name} takes {encryption.iv_size}")
    message = prefix + iv + bind(encryption, sk_e).seal(iv, prefix, plaintext)
    if encryption.is_aead or integrity is None or not integrity.icv_size:
        return message
    return message + Icv(integrity, sk_a or Secret(b"")).compute(message)


def seal_ike_v1(payloads: bytes, encryption: EncryptionRow, key: Secret, iv: bytes) -> tuple[bytes, bytes]:
    """The encrypted body of an IKEv1 message, zero padded to whole blocks, and the IV of the next message."""
    body = seal(encryption, key, iv, b"", payloads + bytes(-len(payloads) % encryption.block_size))
    return body, body[len(body) - encryption.block_size :]


def seal_esp(
    sa: EspSa,
    payload: bytes,
    next_header: int,
    *,
    spi: int,
    sequence_number: int,
    iv: bytes = b"",
    esn_high: int | None = None,
    tfc_padding: int = 0,
    padding: bytes | None = None,
) -> bytes:
    """An ESP packet from its SPI to its ICV, RFC 4303 section 3.3.

    Args:
        sa: algorithms and keys.
        payload: what is protected.
        next_header: what that is.
        spi: the SPI.
        sequence_number: the lower 32 bits.
        iv: the IV in the packet; empty where the cipher has none or makes it from the sequence number (RFC 8750).
        esn_high: the upper 32 bits of the sequence number with extended sequence numbers, else None.
        tfc_padding: octets of traffic flow confidentiality padding behind the payload.
        padding: the ESP padding, when it is to be another than 1, 2, 3 … of the least length.
    """
    row = sa.encryption
    body = payload + bytes(tfc_padding)
    if padding is None:
        padding = DEFAULT_PADDING[: -(len(body) + TRAILER_SIZE) % max(row.block_size, ESP_ALIGNMENT)]
    plaintext = body + padding + bytes((len(padding), next_header))
    head = spi.to_bytes(4, "big") + sequence_number.to_bytes(4, "big")
    high = b"" if esn_high is None else esn_high.to_bytes(4, "big")
    if len(iv) != row.iv_size:
        raise SizeError(f"an IV of {len(iv)} octets where {row.name} takes {row.iv_size}")
    nonce = (high or bytes(4)) + head[4:] if row.implicit_iv else iv
    packet = head + iv + bind(row, sa.encryption_key).seal(nonce, head[:4] + high + head[4:], plaintext)
    if row.is_aead or not sa.integrity.icv_size:
        return packet
    return packet + Icv(sa.integrity, sa.integrity_key).compute(packet, high)
