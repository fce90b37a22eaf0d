"""Ciphers bound to a key: one ``seal`` and one ``unseal`` for every row of ``algorithms.py``.

A bound cipher knows nothing of packets. It takes the IV as it stands in the packet, the additional authenticated
data and the octets, and it never pads: padding is the business of ``sealing.py`` and ``opening.py``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.decrepit.ciphers.algorithms import CAST5, IDEA, SEED, Blowfish, Camellia, TripleDES
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import AES, SM4

from ipsecscope.decrypt.algorithms import EncryptionRow, IntegrityError, SizeError, UnsupportedAlgorithmError
from ipsecscope.decrypt.secret import Secret

Buffer = bytes | bytearray | memoryview

MAX_SHORT_AAD = 0xFEFF  # CCM encodes longer additional data in another way; IPsec never comes near it (RFC 3610 2.2)


class BoundCipher(Protocol):
    """A cipher with its key."""

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        """Encrypt; for an AEAD the ICV follows the ciphertext."""
        ...

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        """Decrypt. Raises IntegrityError when an ICV is part of the cipher and does not match, SizeError."""
        ...


class _Null:
    """NULL encryption, RFC 2410: the octets as they are."""

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        del iv, aad
        return plaintext

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        del iv, aad
        return bytes(sealed)


class _Cbc:
    """CBC mode of any block cipher, RFC 2451 and RFC 3602.

    One decryptor serves the whole life of the key: CBC needs the previous ciphertext block only, so the IV is fed as
    ciphertext and its meaningless decryption is dropped. That is ten times faster than a new context per packet.
    """

    def __init__(self, algorithm: BlockCipherAlgorithm) -> None:
        self._algorithm = algorithm
        self._block = algorithm.block_size // 8
        self._decryptor = Cipher(algorithm, modes.CBC(bytes(self._block))).decryptor()

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        del aad
        _whole_blocks(plaintext, self._block)
        return Cipher(self._algorithm, modes.CBC(iv)).encryptor().update(plaintext)

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        del aad
        _whole_blocks(sealed, self._block)
        return self._decryptor.update(iv + sealed)[self._block :]


class _AesCtr:
    """AES in counter mode, RFC 3686: the counter block is nonce | IV | 1."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._algorithm = AES(key)
        self._salt = salt

    def seal(self, iv: bytes, aad: bytes, plaintext: Buffer) -> bytes:
        del aad
        counter = self._salt + iv + b"\0\0\0\1"
        return Cipher(self._algorithm, modes.CTR(counter)).encryptor().update(plaintext)

    unseal = seal


class _CamelliaBlocks:
    """Camellia in counter mode over its ECB form, for the library has no other (RFC 5528)."""

    def __init__(self, key: bytes) -> None:
        self._algorithm = Camellia(key)
        self._ecb = Cipher(self._algorithm, modes.ECB()).encryptor()  # noqa: S305 (of counter blocks only)

    def counted(self, prefix: bytes, start: int, data: Buffer) -> bytes:
        """``data`` under the key stream of counter blocks: ``prefix``, then ``start``, ``start`` + 1 and so on."""
        width = 16 - len(prefix)
        count = (len(data) + 15) // 16
        blocks = b"".join(prefix + number.to_bytes(width, "big") for number in range(start, start + count))
        stream = self._ecb.update(blocks)[: len(data)]
        return (int.from_bytes(stream, "big") ^ int.from_bytes(data, "big")).to_bytes(len(data), "big")

    def cbc_mac(self, blocks: bytes) -> bytes:
        """The last block of the CBC encryption under a zero IV."""
        return Cipher(self._algorithm, modes.CBC(bytes(16))).encryptor().update(blocks)[-16:]


class _CamelliaCtr:
    """Camellia in counter mode, RFC 5528: the counter block is nonce | IV | 1."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._blocks = _CamelliaBlocks(key)
        self._salt = salt

    def seal(self, iv: bytes, aad: bytes, plaintext: Buffer) -> bytes:
        del aad
        return self._blocks.counted(self._salt + iv, 1, plaintext)

    unseal = seal


class _CamelliaCcm:
    """Camellia in CCM mode, RFC 5529 section 2 and RFC 3610 (L = 4: the nonce has 11 octets)."""

    def __init__(self, key: bytes, salt: bytes, icv_size: int) -> None:
        self._blocks = _CamelliaBlocks(key)
        self._salt = salt
        self._icv_size = icv_size

    def _icv(self, nonce: bytes, aad: bytes, plaintext: bytes) -> bytes:
        if len(aad) > MAX_SHORT_AAD:
            raise SizeError("more additional authenticated data than CCM encodes in two octets")
        flags = (0x40 if aad else 0) | (self._icv_size - 2) // 2 << 3 | 3
        blocks = bytes((flags,)) + nonce + len(plaintext).to_bytes(4, "big")
        if aad:
            blocks += _zero_filled(len(aad).to_bytes(2, "big") + aad)
        tag = self._blocks.cbc_mac(blocks + _zero_filled(plaintext))
        return self._blocks.counted(b"\3" + nonce, 0, tag)[: self._icv_size]

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        nonce = self._salt + iv
        return self._blocks.counted(b"\3" + nonce, 1, plaintext) + self._icv(nonce, aad, plaintext)

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        nonce = self._salt + iv
        plaintext = self._blocks.counted(b"\3" + nonce, 1, sealed[: -self._icv_size])
        if not hmac.compare_digest(self._icv(nonce, aad, plaintext), bytes(sealed[-self._icv_size :])):
            raise IntegrityError
        return plaintext


class _Aead:
    """An AEAD of the library with nonce = salt | IV: AES-GCM-16, AES-CCM and ChaCha20-Poly1305."""

    def __init__(self, aead: AESGCM | AESCCM | ChaCha20Poly1305, salt: bytes) -> None:
        self._encrypt = aead.encrypt
        self._decrypt = aead.decrypt
        self._salt = salt

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return self._encrypt(self._salt + iv, plaintext, aad)

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        try:
            return self._decrypt(self._salt + iv, sealed, aad)
        except InvalidTag:
            raise IntegrityError from None


class _GcmShort:
    """AES-GCM with an ICV of 8 or 12 octets, RFC 4106 section 6."""

    def __init__(self, key: bytes, salt: bytes, icv_size: int) -> None:
        self._algorithm = AES(key)
        self._salt = salt
        self._icv_size = icv_size

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        encryptor = Cipher(self._algorithm, modes.GCM(self._salt + iv)).encryptor()
        encryptor.authenticate_additional_data(aad)
        return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag[: self._icv_size]

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        tag = bytes(sealed[-self._icv_size :])
        decryptor = Cipher(self._algorithm, modes.GCM(self._salt + iv, tag, self._icv_size)).decryptor()
        decryptor.authenticate_additional_data(aad)
        plaintext = decryptor.update(sealed[: -self._icv_size])
        try:
            return plaintext + decryptor.finalize()
        except InvalidTag:
            raise IntegrityError from None


class _Gmac:
    """NULL encryption with AES-GMAC, RFC 4543 section 3: header, IV and payload are all additional data."""

    def __init__(self, key: bytes, salt: bytes) -> None:
        self._aead = AESGCM(key)
        self._salt = salt

    def seal(self, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
        return plaintext + self._aead.encrypt(self._salt + iv, b"", aad + iv + plaintext)

    def unseal(self, iv: bytes, aad: bytes, sealed: Buffer) -> bytes:
        plaintext = bytes(sealed[:-16])
        try:
            self._aead.decrypt(self._salt + iv, bytes(sealed[-16:]), aad + iv + plaintext)
        except InvalidTag:
            raise IntegrityError from None
        return plaintext


def _des(key: bytes) -> TripleDES:
    """Single DES is triple DES with three times the same key; the library has no other form of it."""
    return TripleDES(key * 3)


_BLOCK_CIPHERS: dict[str, Callable[[bytes], BlockCipherAlgorithm]] = {
    "aes": AES,
    "des": _des,
    "3des": TripleDES,
    "blowfish": Blowfish,
    "cast": CAST5,
    "camellia": Camellia,
    "idea": IDEA,
    "seed": SEED,
    "sm4": SM4,
}

_MODES: dict[str, Callable[[EncryptionRow, bytes, bytes], BoundCipher]] = {
    "null": lambda _row, _key, _salt: _Null(),
    "cbc": lambda row, key, _salt: _Cbc(_BLOCK_CIPHERS[row.cipher](key)),
    "aes-ctr": lambda _row, key, salt: _AesCtr(key, salt),
    "aes-gcm": lambda row, key, salt: (
        _Aead(AESGCM(key), salt) if row.icv_size == 16 else _GcmShort(key, salt, row.icv_size)
    ),
    "aes-ccm": lambda row, key, salt: _Aead(AESCCM(key, tag_length=row.icv_size), salt),
    "aes-gmac": lambda _row, key, salt: _Gmac(key, salt),
    "camellia-ctr": lambda _row, key, salt: _CamelliaCtr(key, salt),
    "camellia-ccm": lambda row, key, salt: _CamelliaCcm(key, salt, row.icv_size),
    "chacha20-poly1305": lambda _row, key, salt: _Aead(ChaCha20Poly1305(key), salt),
}


def bind(row: EncryptionRow, key: Secret | bytes) -> BoundCipher:
    """The cipher of ``row`` with ``key``, which ends with the salt where the row has one.

    Raises KeyLengthError for a key of another size, UnsupportedAlgorithmError where there is a name but no cipher.
    """
    octets = key.reveal() if isinstance(key, Secret) else bytes(key)
    row.check_key(len(octets))
    make = _MODES.get(row.mode)
    if make is None:
        raise UnsupportedAlgorithmError(f"{row.name} is known by name only: this program has no such cipher")
    cut = len(octets) - row.salt_size
    return make(row, octets[:cut], octets[cut:])


def seal(row: EncryptionRow, key: Secret | bytes, iv: bytes, aad: bytes, plaintext: bytes) -> bytes:
    """Encrypt ``plaintext`` (whole blocks); an AEAD's ICV follows the ciphertext. Raises KeyLengthError, SizeError."""
    _check_iv(row, iv)
    return bind(row, key).seal(iv, aad, plaintext)


def unseal(row: EncryptionRow, key: Secret | bytes, iv: bytes, aad: bytes, sealed: bytes) -> bytes:
    """Decrypt what ``seal`` made. Raises IntegrityError, KeyLengthError, SizeError."""
    _check_iv(row, iv)
    if len(sealed) < row.icv_size:
        raise SizeError(f"{len(sealed)} octets are fewer than the ICV of {row.name} has")
    return bind(row, key).unseal(iv, aad, sealed)


def _check_iv(row: EncryptionRow, iv: bytes) -> None:
    if len(iv) != row.nonce_iv_size:
        raise SizeError(f"an IV of {len(iv)} octets where {row.name} takes {row.nonce_iv_size}")


def _whole_blocks(data: Buffer, block: int) -> None:
    if len(data) % block:
        raise SizeError(f"{len(data)} octets are not whole blocks of {block}")


def _zero_filled(data: bytes) -> bytes:
    return data + bytes(-len(data) % 16)
