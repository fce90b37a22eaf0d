"""Message authentication codes and pseudorandom functions, bound to a key."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Collection
from typing import Any, Protocol, cast

from cryptography.hazmat.decrepit.ciphers.algorithms import Camellia
from cryptography.hazmat.primitives import cmac, hashes
from cryptography.hazmat.primitives.ciphers import BlockCipherAlgorithm, Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.hmac import HMAC

from ipsecscope.decrypt.algorithms import IntegrityRow, PrfRow, UnsupportedAlgorithmError
from ipsecscope.decrypt.ripemd160 import Ripemd160
from ipsecscope.decrypt.secret import Secret

Buffer = bytes | bytearray | memoryview


class BoundMac(Protocol):
    """A MAC with its key. ``full`` gives all octets, before truncation to the ICV size."""

    def full(self, *parts: Buffer) -> bytes:
        """The MAC over the parts, one behind the other."""
        ...


class _Hmac:
    """HMAC, RFC 2104; the state behind the key block is copied for each message."""

    def __init__(self, key: bytes, algorithm: hashes.HashAlgorithm) -> None:
        self._template = HMAC(key, algorithm)

    def full(self, *parts: Buffer) -> bytes:
        state = self._template.copy()
        for part in parts:
            state.update(part)
        return state.finalize()


class _HmacRipemd:
    """HMAC-RIPEMD160, RFC 2286, over the hash of the platform or, where it has none, our own."""

    def __init__(self, key: bytes) -> None:
        self._template = hmac.new(key, digestmod=cast("Any", _ripemd160))

    def full(self, *parts: Buffer) -> bytes:
        state = self._template.copy()
        for part in parts:
            state.update(part)
        return state.digest()


class _Cmac:
    """AES-CMAC, RFC 4493."""

    def __init__(self, key: bytes) -> None:
        self._template = cmac.CMAC(AES(key))

    def full(self, *parts: Buffer) -> bytes:
        state = self._template.copy()
        for part in parts:
            state.update(bytes(part))
        return state.finalize()


class _Xcbc:
    """XCBC-MAC over a block cipher of 128 bits, RFC 3566 section 4."""

    def __init__(self, key: bytes, cipher: Callable[[bytes], BlockCipherAlgorithm]) -> None:
        ecb = Cipher(cipher(key), modes.ECB()).encryptor()  # noqa: S305 (RFC 3566 section 4.2 derives its keys so)
        k1, self._k2, self._k3 = (ecb.update(bytes((number,)) * 16) for number in (1, 2, 3))
        self._algorithm = cipher(k1)

    def full(self, *parts: Buffer) -> bytes:
        data = b"".join(parts)
        cut = max(0, (len(data) - 1) // 16 * 16)
        last, mask = data[cut:], self._k2
        if len(last) < 16:
            last, mask = last + b"\x80" + bytes(15 - len(last)), self._k3
        last = (int.from_bytes(last, "big") ^ int.from_bytes(mask, "big")).to_bytes(16, "big")
        return Cipher(self._algorithm, modes.CBC(bytes(16))).encryptor().update(data[:cut] + last)[-16:]


_MACS: dict[str, Callable[[bytes], BoundMac]] = {
    "hmac-md5": lambda key: _Hmac(key, hashes.MD5()),  # noqa: S303 (the suites of old peers are read, not chosen)
    "hmac-sha1": lambda key: _Hmac(key, hashes.SHA1()),  # noqa: S303
    "hmac-sha2-256": lambda key: _Hmac(key, hashes.SHA256()),
    "hmac-sha2-384": lambda key: _Hmac(key, hashes.SHA384()),
    "hmac-sha2-512": lambda key: _Hmac(key, hashes.SHA512()),
    "hmac-sm3": lambda key: _Hmac(key, hashes.SM3()),
    "hmac-ripemd160": _HmacRipemd,
    "aes-cmac": _Cmac,
    "aes-xcbc": lambda key: _Xcbc(key, AES),
    "camellia-xcbc": lambda key: _Xcbc(key, Camellia),
}


class Icv:
    """The integrity algorithm of one direction of one SA: computes and verifies truncated ICVs."""

    __slots__ = ("_mac", "row", "size")

    def __init__(self, row: IntegrityRow, key: Secret | bytes) -> None:
        octets = key.reveal() if isinstance(key, Secret) else bytes(key)
        row.check_key(len(octets))
        make = _MACS.get(row.mac)
        if make is None:
            raise UnsupportedAlgorithmError(f"{row.name} is known by name only: this program does not compute it")
        self.row = row
        self.size = row.icv_size
        self._mac = make(octets)

    def compute(self, *parts: Buffer) -> bytes:
        """The ICV over the parts, one behind the other."""
        return self._mac.full(*parts)[: self.size]

    def full(self, *parts: Buffer) -> bytes:
        """The MAC before truncation: what a peer with another idea of the truncation sends a piece of."""
        return self._mac.full(*parts)

    def verify(self, icv: Buffer, *parts: Buffer) -> bool:
        """Whether ``icv`` is the right one, compared in constant time."""
        return hmac.compare_digest(self._mac.full(*parts)[: self.size], icv)


def prf(row: PrfRow, key: Secret | bytes, *parts: Buffer) -> bytes:
    """The negotiated pseudorandom function, RFC 7296 section 2.13, over the parts one behind the other.

    A key of any length is taken: AES-XCBC-PRF-128 and AES-CMAC-PRF-128 bring it to 128 bits by RFC 4434 section 2
    and RFC 4615 section 3.
    """
    octets = key.reveal() if isinstance(key, Secret) else bytes(key)
    if row.hash_name:
        return hmac.digest(octets, b"".join(parts), row.hash_name)
    make = _MACS.get(row.mac)
    if make is None:
        raise UnsupportedAlgorithmError(f"{row.name} is known by name only: this program does not compute it")
    if len(octets) < 16 and row.mac.endswith("xcbc"):
        octets += bytes(16 - len(octets))
    elif len(octets) != 16:
        octets = make(bytes(16)).full(octets)
    return make(octets).full(*parts)


def _ripemd160(data: bytes = b"", available: Collection[str] = hashlib.algorithms_available) -> Any:
    """RIPEMD-160 of the platform where it still has it: OpenSSL 3 keeps it in a provider that may be absent."""
    if "ripemd160" in available:
        return hashlib.new("ripemd160", data)
    return Ripemd160(data)
