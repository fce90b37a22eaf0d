"""The arithmetic of MS-CHAP-V2 (RFC 2759 section 8) and the keys that come of it (RFC 3079 section 3).

MD4 and DES are long broken: they stand here because the method needs them, and are used for nothing else.
"""

from __future__ import annotations

import hashlib
import struct

from ipsecscope.decrypt.algorithms import encryption
from ipsecscope.decrypt.ciphers import seal
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.registry.ikev2 import EncryptionAlgorithm

CHALLENGE_SIZE = 16
MSK_SIZE = 64
_KEY_SIZE = 16
_MASK = 0xFFFFFFFF
_SERVER_SIGNS = b"Magic server to client signing constant"
_ITERATES = b"Pad to make it do more than one iteration"
_MASTER = b"This is the MPPE Master Key"
_CLIENT_SENDS = b"On the client side, this is the send key; on the server side, it is the receive key."
_CLIENT_RECEIVES = b"On the client side, this is the receive key; on the server side, it is the send key."


def md4(data: bytes) -> bytes:
    """MD4, RFC 1320."""
    state = [0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476]
    padded = data + b"\x80" + bytes((55 - len(data)) % 64) + struct.pack("<Q", len(data) * 8)
    for start in range(0, len(padded), 64):
        words = struct.unpack("<16I", padded[start : start + 64])
        state = [(old + new) & _MASK for old, new in zip(state, _md4_block(state, words), strict=True)]
    return struct.pack("<4I", *state)


def _md4_block(state: list[int], words: tuple[int, ...]) -> list[int]:
    a, b, c, d = state
    second = [column + 4 * row for column in range(4) for row in range(4)]
    third = [0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15]
    for index in range(48):
        turn, step = divmod(index, 16)
        if turn == 0:
            mixed, constant, word, shift = (b & c) | (~b & d), 0, index, (3, 7, 11, 19)[step % 4]
        elif turn == 1:
            mixed, constant = (b & c) | (b & d) | (c & d), 0x5A827999
            word, shift = second[step], (3, 5, 9, 13)[step % 4]
        else:
            mixed, constant, word, shift = b ^ c ^ d, 0x6ED9EBA1, third[step], (3, 9, 11, 15)[step % 4]
        total = (a + mixed + words[word] + constant) & _MASK
        a, b, c, d = d, (total << shift | total >> 32 - shift) & _MASK, b, c
    return [a, b, c, d]


def password_hash(password: Secret) -> Secret:
    """NtPasswordHash: MD4 over the password in UTF-16. An undecodable password is taken octet by octet."""
    text = password.reveal().decode("utf-8", "surrogateescape")
    return Secret(md4(text.encode("utf-16-le", "surrogatepass")))


def challenge_hash(peer_challenge: bytes, challenge: bytes, user: bytes) -> bytes:
    """The eight octets that the response is computed over."""
    return hashlib.sha1(peer_challenge + challenge + user, usedforsecurity=False).digest()[:8]


def nt_response(password: Secret, peer_challenge: bytes, challenge: bytes, user: bytes) -> bytes:
    """The 24 octets of the response: the challenge hash under three DES keys."""
    hashed = challenge_hash(peer_challenge, challenge, user)
    keys = password_hash(password).reveal() + bytes(5)
    row = encryption(EncryptionAlgorithm.ENCR_DES)
    return b"".join(seal(row, _des_key(keys[at : at + 7]), bytes(8), b"", hashed) for at in (0, 7, 14))


def _des_key(seven: bytes) -> bytes:
    """Seven octets spread over eight; the parity bits are left zero, for nothing looks at them."""
    number = int.from_bytes(seven, "big")
    return bytes(((number >> 7 * (7 - index)) & 0x7F) << 1 for index in range(8))


def authenticator_response(password: Secret, response: bytes, hashed: bytes) -> bytes:
    """``S=`` and the proof of the authenticator in hex. ``hashed`` is the challenge hash."""
    twice = md4(password_hash(password).reveal())
    digest = hashlib.sha1(twice + response + _SERVER_SIGNS, usedforsecurity=False).digest()
    proof = hashlib.sha1(digest + hashed + _ITERATES, usedforsecurity=False).hexdigest()
    return b"S=" + proof.upper().encode()


def master_key(password: Secret, response: bytes) -> bytes:
    """The MPPE master key, RFC 3079 section 3.4."""
    twice = md4(password_hash(password).reveal())
    return hashlib.sha1(twice + response + _MASTER, usedforsecurity=False).digest()[:_KEY_SIZE]


def start_key(master: bytes, *, client_sends: bool) -> bytes:
    """GetAsymmetricStartKey, RFC 3079 section 3.4, for the direction that the client sends or receives in."""
    words = _CLIENT_SENDS if client_sends else _CLIENT_RECEIVES
    return hashlib.sha1(master + bytes(40) + words + b"\xf2" * 40, usedforsecurity=False).digest()[:_KEY_SIZE]


def session_key(password: Secret, response: bytes) -> Secret:
    """The MSK of EAP-MSCHAPv2: what the client sends with, what it receives with, zeros (64 octets)."""
    master = master_key(password, response)
    keys = start_key(master, client_sends=True) + start_key(master, client_sends=False)
    return Secret(keys + bytes(MSK_SIZE - len(keys)))
