"""Key derivation of IKEv1, in the words of RFC 2409: SKEYID and its family, IVs, HASH_I to HASH(3), KEYMAT.

The prf is the HMAC form of the negotiated hash unless a prf was negotiated (RFC 2409 section 4), and ``hash`` is that
hash itself. Nonces are their bodies, without generic header.
"""

from __future__ import annotations

import hashlib

import msgspec

from ipsecscope.decrypt.algorithms import EncryptionRow, PrfRow, UnsupportedAlgorithmError
from ipsecscope.decrypt.keymat import ChildKeys, ChildSuite
from ipsecscope.decrypt.macs import prf
from ipsecscope.decrypt.secret import Secret

DES_KEY_SIZE = 8

# Keys with which DES encrypts as it decrypts, or undoes another key (RFC 2409 appendix A), parity bits included.
WEAK_DES_KEYS = frozenset(
    map(
        bytes.fromhex,
        (
            "0101010101010101",
            "1f1f1f1f0e0e0e0e",
            "e0e0e0e0f1f1f1f1",
            "fefefefefefefefe",
            "01fe01fe01fe01fe",
            "1fe01fe00ef10ef1",
            "01e001e001f101f1",
            "1ffe1ffe0efe0efe",
            "011f011f010e010e",
            "e0fee0fef1fef1fe",
            "fe01fe01fe01fe01",
            "e01fe01ff10ef10e",
            "e001e001f101f101",
            "fe1ffe1ffe0efe0e",
            "1f011f010e010e01",
            "fee0fee0fef1fef1",
        ),
    )
)


class SkeyidKeys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys of an ISAKMP SA, RFC 2409 section 5."""

    skeyid: Secret
    skeyid_d: Secret
    skeyid_a: Secret
    skeyid_e: Secret


def hash_of(row: PrfRow, *parts: bytes) -> bytes:
    """The negotiated hash over the parts. Raises UnsupportedAlgorithmError for a prf that is no HMAC."""
    if not row.hash_name:
        raise UnsupportedAlgorithmError(f"{row.name} has no hash function under it")
    return hashlib.new(row.hash_name, b"".join(parts)).digest()


# -- SKEYID ------------------------------------------------------------------------------------------------------


def skeyid_psk(row: PrfRow, psk: Secret, ni: bytes, nr: bytes) -> Secret:
    """SKEYID = prf(pre-shared-key, Ni_b | Nr_b), RFC 2409 section 5."""
    return Secret(prf(row, psk, ni, nr))


def skeyid_signature(row: PrfRow, ni: bytes, nr: bytes, g_xy: Secret) -> Secret:
    """SKEYID = prf(Ni_b | Nr_b, g^xy) for signatures, hybrid authentication included, RFC 2409 section 5."""
    return Secret(prf(row, ni + nr, g_xy.reveal()))


def skeyid_public_key_encryption(row: PrfRow, ni: bytes, nr: bytes, cky_i: bytes, cky_r: bytes) -> Secret:
    """SKEYID = prf(hash(Ni_b | Nr_b), CKY-I | CKY-R) for both public key encryption modes, RFC 2409 section 5."""
    return Secret(prf(row, hash_of(row, ni, nr), cky_i, cky_r))


def derive_skeyids(row: PrfRow, skeyid: Secret, g_xy: Secret, cky_i: bytes, cky_r: bytes) -> SkeyidKeys:
    """SKEYID_d, SKEYID_a and SKEYID_e, each over the one before it, RFC 2409 section 5."""
    tail = g_xy.reveal() + cky_i + cky_r
    skeyid_d = prf(row, skeyid, tail, b"\0")
    skeyid_a = prf(row, skeyid, skeyid_d, tail, b"\1")
    skeyid_e = prf(row, skeyid, skeyid_a, tail, b"\2")
    return SkeyidKeys(skeyid=skeyid, skeyid_d=Secret(skeyid_d), skeyid_a=Secret(skeyid_a), skeyid_e=Secret(skeyid_e))


def expand_key(row: PrfRow, key: Secret, size: int) -> Secret:
    """Ka = K1 | K2 | …, K1 = prf(key, 0), K2 = prf(key, K1) …: a key that is too short, RFC 2409 appendix B."""
    if len(key) >= size:
        return key.split(size)[0]
    stream, block = bytearray(), b"\0"
    while len(stream) < size:
        block = prf(row, key, block)
        stream += block
    return Secret(stream[:size])


def encryption_key(row: PrfRow, skeyid_e: Secret, encryption: EncryptionRow, key_bits: int | None = None) -> Secret:
    """The key of the phase 1 cipher out of SKEYID_e, RFC 2409 appendix B.

    DES takes the first 8 octets that are not a weak or semi-weak key.
    """
    size = encryption.key_material_size(key_bits)
    if encryption.cipher != "des":
        return expand_key(row, skeyid_e, size)
    octets = skeyid_e.reveal()
    for start in range(0, len(octets) - DES_KEY_SIZE + 1, DES_KEY_SIZE):
        candidate = octets[start : start + DES_KEY_SIZE]
        if _with_odd_parity(candidate) not in WEAK_DES_KEYS:
            return Secret(candidate)
    return expand_key(row, skeyid_e, size)


def revised_encryption_key(row: PrfRow, nonce: bytes, cookie: bytes, size: int) -> Secret:
    """Ke_i or Ke_r of revised public key encryption: Ne = prf(N_b, CKY) cut or expanded, RFC 2409 section 5.3."""
    return expand_key(row, Secret(prf(row, nonce, cookie)), size)


# -- IVs ---------------------------------------------------------------------------------------------------------


def phase_1_iv(row: PrfRow, g_xi: bytes, g_xr: bytes, block_size: int) -> bytes:
    """The IV of the first encrypted message of phase 1: hash(g^xi | g^xr), RFC 2409 appendix B."""
    return hash_of(row, g_xi, g_xr)[:block_size]


def phase_2_iv(row: PrfRow, last_phase_1_block: bytes, message_id: int, block_size: int) -> bytes:
    """The IV of the first message under ``message_id``: hash(last CBC block of phase 1 | M-ID), appendix B.

    Quick mode, new group mode, informational and transaction exchanges each start from it.
    """
    return hash_of(row, last_phase_1_block, message_id.to_bytes(4, "big"))[:block_size]


# -- HASH payloads -----------------------------------------------------------------------------------------------


def hash_i(
    row: PrfRow, skeyid: Secret, *, g_xi: bytes, g_xr: bytes, cky_i: bytes, cky_r: bytes, sa_i: bytes, id_i: bytes
) -> bytes:
    """HASH_I = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b), RFC 2409 section 5."""
    return prf(row, skeyid, g_xi, g_xr, cky_i, cky_r, sa_i, id_i)


def hash_r(
    row: PrfRow, skeyid: Secret, *, g_xi: bytes, g_xr: bytes, cky_i: bytes, cky_r: bytes, sa_i: bytes, id_r: bytes
) -> bytes:
    """HASH_R = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b), RFC 2409 section 5."""
    return prf(row, skeyid, g_xr, g_xi, cky_r, cky_i, sa_i, id_r)


def hash_1(row: PrfRow, skeyid_a: Secret, message_id: int, rest: bytes) -> bytes:
    """HASH(1) = prf(SKEYID_a, M-ID | rest of the message), RFC 2409 sections 5.5 and 5.7.

    ``rest`` is everything behind the HASH payload, generic headers included, padding excluded.
    """
    return prf(row, skeyid_a, message_id.to_bytes(4, "big"), rest)


def hash_2(row: PrfRow, skeyid_a: Secret, message_id: int, ni: bytes, rest: bytes) -> bytes:
    """HASH(2) = prf(SKEYID_a, M-ID | Ni_b | rest of the message), RFC 2409 section 5.5."""
    return prf(row, skeyid_a, message_id.to_bytes(4, "big"), ni, rest)


def hash_3(row: PrfRow, skeyid_a: Secret, message_id: int, ni: bytes, nr: bytes) -> bytes:
    """HASH(3) = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b), RFC 2409 section 5.5."""
    return prf(row, skeyid_a, b"\0", message_id.to_bytes(4, "big"), ni, nr)


# -- KEYMAT ------------------------------------------------------------------------------------------------------


def quick_mode_keymat(
    row: PrfRow,
    skeyid_d: Secret,
    size: int,
    *,
    protocol: int,
    spi: bytes,
    ni: bytes,
    nr: bytes,
    g_xy: Secret | None = None,
) -> Secret:
    """KEYMAT of one SA: prf(SKEYID_d, [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b), expanded, RFC 2409 section 5.5.

    Args:
        row: the prf of the ISAKMP SA.
        skeyid_d: its SKEYID_d.
        size: octets wanted, encryption key and integrity key together.
        protocol: the protocol of the proposal (ESP, AH).
        spi: the SPI of this SA, chosen by the receiver: each direction has keys of its own.
        ni: nonce of the quick mode's initiator.
        nr: nonce of its responder.
        g_xy: the shared secret of the quick mode when it had KE payloads (perfect forward secrecy).
    """
    seed = (g_xy.reveal() if g_xy is not None else b"") + bytes((protocol,)) + spi + ni + nr
    stream, block = bytearray(), b""
    while len(stream) < size:
        block = prf(row, skeyid_d, block, seed)
        stream += block
    return Secret(stream[:size])


def quick_mode_keys(
    row: PrfRow,
    skeyid_d: Secret,
    suite: ChildSuite,
    *,
    protocol: int,
    spi_to_initiator: bytes,
    spi_to_responder: bytes,
    ni: bytes,
    nr: bytes,
    g_xy: Secret | None = None,
) -> ChildKeys:
    """The keys of both directions of one protocol of a quick mode: encryption first, then integrity.

    ``spi_to_responder`` is the SPI that the responder chose; what the initiator sends carries it.
    """
    sizes = suite.key_sizes

    def one_way(spi: bytes) -> tuple[Secret, ...]:
        keymat = quick_mode_keymat(row, skeyid_d, sum(sizes), protocol=protocol, spi=spi, ni=ni, nr=nr, g_xy=g_xy)
        return keymat.split(*sizes)

    encryption_i, integrity_i = one_way(spi_to_responder)
    encryption_r, integrity_r = one_way(spi_to_initiator)
    return ChildKeys(
        encryption_i=encryption_i, integrity_i=integrity_i, encryption_r=encryption_r, integrity_r=integrity_r
    )


def _with_odd_parity(key: bytes) -> bytes:
    """A DES key with its parity bits set as the list of weak keys has them."""
    return bytes((octet & 0xFE) | (1 - (octet >> 1).bit_count() % 2) for octet in key)
