"""Every suite: sealed by an independent route, opened by ours; opened by others, sealed by ours; 200 wrong keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable

import pytest
from cryptography.hazmat.decrepit.ciphers import algorithms as decrepit
from cryptography.hazmat.primitives import cmac
from cryptography.hazmat.primitives.ciphers import Cipher, aead, algorithms, modes

from ipsecscope.decrypt.algorithms import (
    ENCRYPTION,
    INTEGRITY,
    EncryptionRow,
    IntegrityError,
    KeyLengthError,
    SizeError,
    UnsupportedAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.decrypt.ciphers import bind, seal, unseal
from ipsecscope.decrypt.macs import Icv, _ripemd160, prf
from ipsecscope.decrypt.opening import Reason, Refused
from ipsecscope.decrypt.opening_esp import EspOpened, EspOpener, EspSa, open_esp
from ipsecscope.decrypt.ripemd160 import Ripemd160
from ipsecscope.decrypt.sealing import seal_esp
from ipsecscope.decrypt.secret import Secret

SUPPORTED = [row for row in ENCRYPTION if row.is_supported]
ROWS = pytest.mark.parametrize("row", SUPPORTED, ids=lambda row: row.name)
AAD = bytes.fromhex("0000beef00000007")
INNER = (
    bytes.fromhex("4500002c000100004011b6c20a0100010a020001")
    + b"\x04\xd2\x00\x35\x00\x18\x00\x00"
    + b"sixteen octets!!"
)


def octets(label: str, size: int) -> bytes:
    """Repeatable octets."""
    return hashlib.shake_128(label.encode()).digest(size)


def key_of(row: EncryptionRow, size: int | None = None) -> bytes:
    return octets(row.name, (size or row.default_key_size) + row.salt_size)


def _cbc(make: Callable[[bytes], algorithms.BlockCipherAlgorithm]) -> Callable[..., bytes]:
    def independent(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
        del aad
        encryptor = Cipher(make(key), modes.CBC(iv)).encryptor()
        return encryptor.update(plain) + encryptor.finalize()

    return independent


def _ctr(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
    del aad
    return Cipher(algorithms.AES(key[:-4]), modes.CTR(key[-4:] + iv + b"\0\0\0\1")).encryptor().update(plain)


def _gcm(icv: int) -> Callable[..., bytes]:
    def independent(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
        sealed = aead.AESGCM(key[:-4]).encrypt(key[-4:] + iv, plain, aad)
        return sealed[: len(plain) + icv]

    return independent


def _ccm(icv: int) -> Callable[..., bytes]:
    return lambda key, iv, aad, plain: aead.AESCCM(key[:-3], tag_length=icv).encrypt(key[-3:] + iv, plain, aad)


def _chacha(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
    return aead.ChaCha20Poly1305(key[:-4]).encrypt(key[-4:] + iv, plain, aad)


def _gmac(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
    return plain + aead.AESGCM(key[:-4]).encrypt(key[-4:] + iv, b"", aad + iv + plain)


def _camellia_ctr(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
    """One block at a time, by RFC 5528 section 3."""
    del aad
    out = b""
    for number, start in enumerate(range(0, len(plain), 16), 1):
        block = (
            Cipher(decrepit.Camellia(key[:-4]), modes.ECB())
            .encryptor()
            .update(key[-4:] + iv + number.to_bytes(4, "big"))
        )
        out += bytes(a ^ b for a, b in zip(plain[start : start + 16], block, strict=False))
    return out


def _camellia_ccm(icv: int) -> Callable[..., bytes]:
    """Block by block, by NIST SP 800-38C appendix A and RFC 5529 section 2."""

    def independent(key: bytes, iv: bytes, aad: bytes, plain: bytes) -> bytes:
        def block(data: bytes) -> bytes:
            return Cipher(decrepit.Camellia(key[:-3]), modes.ECB()).encryptor().update(data)

        def xor(left: bytes, right: bytes) -> bytes:
            return bytes(a ^ b for a, b in zip(left, right, strict=False))

        nonce = key[-3:] + iv
        first = bytes(((64 if aad else 0) + 8 * ((icv - 2) // 2) + 3,)) + nonce + len(plain).to_bytes(4, "big")
        tail = len(aad).to_bytes(2, "big") + aad if aad else b""
        tail += bytes(-len(tail) % 16) + plain
        tail += bytes(-len(tail) % 16)
        mac = block(first)
        for start in range(0, len(tail), 16):
            mac = block(xor(mac, tail[start : start + 16]))
        stream = [block(b"\3" + nonce + number.to_bytes(4, "big")) for number in range(len(plain) // 16 + 2)]
        return xor(plain, b"".join(stream[1:])) + xor(mac, stream[0])[:icv]

    return independent


INDEPENDENT: dict[str, Callable[..., bytes]] = {
    "ENCR_NULL": lambda _key, _iv, _aad, plain: plain,
    "ENCR_DES": _cbc(lambda key: decrepit.TripleDES(key * 3)),
    "ENCR_3DES": _cbc(decrepit.TripleDES),
    "ENCR_CAST": _cbc(decrepit.CAST5),
    "ENCR_BLOWFISH": _cbc(decrepit.Blowfish),
    "ENCR_IDEA": _cbc(decrepit.IDEA),
    "SEED_CBC": _cbc(decrepit.SEED),
    "SM4_CBC": _cbc(algorithms.SM4),
    "ENCR_AES_CBC": _cbc(algorithms.AES),
    "ENCR_CAMELLIA_CBC": _cbc(decrepit.Camellia),
    "ENCR_AES_CTR": _ctr,
    "ENCR_CAMELLIA_CTR": _camellia_ctr,
    "ENCR_NULL_AUTH_AES_GMAC": _gmac,
    "ENCR_CHACHA20_POLY1305": _chacha,
    "ENCR_CHACHA20_POLY1305_IIV": _chacha,
    "ENCR_AES_GCM_16_IIV": _gcm(16),
    "ENCR_AES_CCM_8_IIV": _ccm(8),
    **{f"ENCR_AES_GCM_{icv}": _gcm(icv) for icv in (8, 12, 16)},
    **{f"ENCR_AES_CCM_{icv}": _ccm(icv) for icv in (8, 12, 16)},
    **{f"ENCR_CAMELLIA_CCM_{icv}": _camellia_ccm(icv) for icv in (8, 12, 16)},
}


def test_every_supported_row_has_an_independent_route() -> None:
    assert {row.name for row in SUPPORTED} == INDEPENDENT.keys()


@ROWS
def test_cipher_agrees_with_an_independent_route_in_both_directions(row: EncryptionRow) -> None:
    for size in row.key_sizes:
        key = key_of(row, size)
        iv = octets(f"{row.name} iv", row.nonce_iv_size)
        for length in (0, 16, 48, 1424):
            plain = octets("plain", length)
            for aad in (b"", AAD, octets("aad", 12)):
                sealed = INDEPENDENT[row.name](key, iv, aad, plain)
                assert seal(row, Secret(key), iv, aad, plain) == sealed
                assert unseal(row, Secret(key), iv, aad, sealed) == plain


@ROWS
def test_cipher_bound_once_opens_many_in_any_order(row: EncryptionRow) -> None:
    key, bound = key_of(row), bind(row, key_of(row))
    for number in (3, 1, 2, 1):
        iv, plain = octets(f"iv {number}", row.nonce_iv_size), octets(f"plain {number}", 32 * number)
        assert bound.unseal(iv, AAD, memoryview(INDEPENDENT[row.name](key, iv, AAD, plain))) == plain


@pytest.mark.parametrize("name", ["AES_CTR", "AES_GCM_16", "CHACHA20_POLY1305", "CAMELLIA_CCM_16", "CAMELLIA_CTR"])
@pytest.mark.parametrize("length", [1, 15, 17, 100])
def test_stream_ciphers_take_octets_that_are_no_whole_blocks(name: str, length: int) -> None:
    row, _ = encryption_by_name(name)
    key, iv, plain = key_of(row), octets("iv", 8), octets("plain", length)
    sealed = INDEPENDENT[row.name](key, iv, AAD, plain)
    assert seal(row, key, iv, AAD, plain) == sealed
    assert unseal(row, key, iv, AAD, sealed) == plain


@pytest.mark.parametrize("row", [row for row in SUPPORTED if row.is_aead], ids=lambda row: row.name)
def test_aead_notices_every_changed_octet(row: EncryptionRow) -> None:
    key, iv, plain = key_of(row), octets("iv", 8), octets("plain", 20)
    sealed = bytearray(seal(row, key, iv, AAD, plain))
    for at in range(len(sealed)):
        sealed[at] ^= 1
        with pytest.raises(IntegrityError, match="does not match"):
            unseal(row, key, iv, AAD, bytes(sealed))
        sealed[at] ^= 1
    with pytest.raises(IntegrityError):
        unseal(row, key, iv, AAD + b"\0", bytes(sealed))


@ROWS
def test_wrong_sizes_are_named_and_never_a_traceback_of_the_library(row: EncryptionRow) -> None:
    iv = bytes(row.nonce_iv_size)
    sizes = {size + row.salt_size for size in row.key_sizes}
    for size in set(range(70)) - sizes:
        with pytest.raises(KeyLengthError, match="octets of key for"):
            seal(row, bytes(size), iv, b"", bytes(16))
    with pytest.raises(SizeError, match="an IV of"):
        seal(row, key_of(row), iv + b"\0", b"", bytes(16))
    if row.block_size > 1:
        with pytest.raises(SizeError, match="not whole blocks"):
            seal(row, key_of(row), iv, b"", bytes(15))
        with pytest.raises(SizeError, match="not whole blocks"):
            unseal(row, key_of(row), iv, b"", bytes(17))
    if row.is_aead:
        with pytest.raises(SizeError, match="fewer than the ICV"):
            unseal(row, key_of(row), iv, b"", bytes(row.icv_size - 1))


@pytest.mark.parametrize("row", [row for row in ENCRYPTION if not row.is_supported], ids=lambda row: row.name)
def test_ciphers_known_by_name_only_are_said_to_be_unsupported(row: EncryptionRow) -> None:
    with pytest.raises(UnsupportedAlgorithmError, match=row.name):
        bind(row, key_of(row))


def test_camellia_ccm_refuses_additional_data_that_needs_another_encoding() -> None:
    row, _ = encryption_by_name("CAMELLIA_CCM_16")
    with pytest.raises(SizeError, match="more additional authenticated data"):
        seal(row, key_of(row), bytes(8), bytes(0xFF00), b"")


# -- integrity ---------------------------------------------------------------------------------------------------


def _xcbc(make: Callable[[bytes], algorithms.BlockCipherAlgorithm]) -> Callable[[bytes, bytes], bytes]:
    """RFC 3566 section 4, block by block."""

    def independent(key: bytes, data: bytes) -> bytes:
        def block(k: bytes, data: bytes) -> bytes:
            return Cipher(make(k), modes.ECB()).encryptor().update(data)

        k1, k2, k3 = (block(key, bytes((number,)) * 16) for number in (1, 2, 3))
        blocks = [data[start : start + 16] for start in range(0, len(data), 16)] or [b""]
        state = bytes(16)
        for each in blocks[:-1]:
            state = block(k1, bytes(a ^ b for a, b in zip(state, each, strict=True)))
        last, mask = (blocks[-1], k2) if len(blocks[-1]) == 16 else (blocks[-1] + b"\x80", k3)
        last += bytes(16 - len(last))
        return block(k1, bytes(a ^ b ^ c for a, b, c in zip(state, last, mask, strict=True)))

    return independent


def _cmac(key: bytes, data: bytes) -> bytes:
    state = cmac.CMAC(algorithms.AES(key))
    state.update(data)
    return state.finalize()


def _hmac_of(name: str) -> Callable[[bytes, bytes], bytes]:
    return lambda key, data: hmac.digest(key, data, name)


def _hmac_ripemd(key: bytes, data: bytes) -> bytes:
    """RFC 2104 written out."""
    inner = bytes(octet ^ 0x36 for octet in key.ljust(64, b"\0"))
    outer = bytes(octet ^ 0x5C for octet in key.ljust(64, b"\0"))
    return Ripemd160(outer + Ripemd160(inner + data).digest()).digest()


MACS: dict[str, Callable[[bytes, bytes], bytes]] = {
    "hmac-md5": _hmac_of("md5"),
    "hmac-sha1": _hmac_of("sha1"),
    "hmac-sha2-256": _hmac_of("sha256"),
    "hmac-sha2-384": _hmac_of("sha384"),
    "hmac-sha2-512": _hmac_of("sha512"),
    "hmac-sm3": _hmac_of("sm3"),
    "hmac-ripemd160": _hmac_ripemd,
    "aes-xcbc": _xcbc(algorithms.AES),
    "camellia-xcbc": _xcbc(decrepit.Camellia),
    "aes-cmac": _cmac,
}
CHECKED = [row for row in INTEGRITY if row.mac and row.mac != "aes-gmac"]


@pytest.mark.parametrize("row", CHECKED, ids=lambda row: row.name)
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 64, 300])
def test_integrity_agrees_with_an_independent_route(row: object, length: int) -> None:
    assert isinstance(row, type(CHECKED[0]))
    key, data = octets("integrity", row.key_size), octets("data", length)
    icv = Icv(row, Secret(key))
    full = MACS[row.mac](key, data)
    assert len(full) == row.full_size
    assert icv.full(data) == full
    assert icv.compute(data) == full[: row.icv_size]
    assert icv.verify(full[: row.icv_size], data[:7], memoryview(data)[7:])
    for at in range(row.icv_size):
        changed = bytearray(full[: row.icv_size])
        changed[at] ^= 0x80
        assert not icv.verify(changed, data)


def test_integrity_with_a_wrong_key_size_or_by_name_only_is_named() -> None:
    with pytest.raises(KeyLengthError, match="AUTH_HMAC_SHA1_96, which takes 20"):
        Icv(integrity_by_name("sha1"), bytes(16))
    with pytest.raises(UnsupportedAlgorithmError, match="AUTH_DES_MAC"):
        Icv(integrity_by_name("DES_MAC"), bytes(8))


def test_prfs_known_by_name_only_are_said_to_be_unsupported() -> None:
    with pytest.raises(UnsupportedAlgorithmError, match="PRF_HMAC_TIGER"):
        prf(prf_by_name("TIGER"), bytes(16), b"data")


# RFC 4434 section 4: the same message under keys of 16, 10 and 18 octets
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("000102030405060708090a0b0c0d0e0f", "47f51b4564966215b8985c63055ed308"),
        ("00010203040506070809", "0fa087af7d866e7653434e602fdde835"),
        ("000102030405060708090a0b0c0d0e0fedcb", "8cd3c93ae598a9803006ffb67c40e9e4"),
    ],
)
def test_aes_xcbc_prf_128_of_rfc_4434_takes_keys_of_any_length(key: str, expected: str) -> None:
    data = bytes(range(20))
    assert prf(prf_by_name("PRF_AES128_XCBC"), Secret.from_hex(key), data[:5], data[5:]).hex() == expected


# RFC 4615 section 4: the same message under keys of 18, 16 and 10 octets
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("000102030405060708090a0b0c0d0e0fedcb", "84a348a4a45d235babfffc0d2b4da09a"),
        ("000102030405060708090a0b0c0d0e0f", "980ae87b5f4c9c5214f5b6a8455e4c2d"),
        ("00010203040506070809", "290d9e112edb09ee141fcf64c0b72f3d"),
    ],
)
def test_aes_cmac_prf_128_of_rfc_4615_takes_keys_of_any_length(key: str, expected: str) -> None:
    assert prf(prf_by_name("PRF_AES128_CMAC"), Secret.from_hex(key), bytes(range(20))).hex() == expected


# RFC 4231 section 4.3, test case 2
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PRF_HMAC_SHA2_256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "PRF_HMAC_SHA2_384",
            "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649",
        ),
        (
            "PRF_HMAC_SHA2_512",
            (
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
            ),
        ),
    ],
)
def test_hmac_sha2_prfs_of_rfc_4231_match(name: str, expected: str) -> None:
    assert prf(prf_by_name(name), b"Jefe", b"what do ya want ", b"for nothing?").hex() == expected


# RFC 2286 section 2, HMAC-RIPEMD160 test cases 1, 2 and 6
@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "24cb4bd67d20fc1a5d2ed7732dcc39377f0a5668"),
        (b"Jefe".ljust(20, b"\0"), b"what do ya want for nothing?", "dda6c0213a485a9e24f4742064a7f033b43c4069"),
        (b"\xaa" * 20, b"\xdd" * 50, "b0b105360de759960ab4f35298e116e295d8e7c1"),
    ],
)
def test_hmac_ripemd_160_of_rfc_2286_matches(key: bytes, data: bytes, expected: str) -> None:
    assert Icv(integrity_by_name("ripemd160"), key).full(data).hex() == expected


# Dobbertin, Bosselaers, Preneel, appendix B
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "9c1185a5c5e9fc54612808977ee8f548b2258d31"),
        (b"abc", "8eb208f7e05d987a9b044a8e98c6b087f15a0bfc"),
        (b"1234567890" * 8, "9b752e45573d4b39f4dbd3323cab82bf63326bfb"),
    ],
)
def test_ripemd_160_of_our_own_matches_the_published_values(data: bytes, expected: str) -> None:
    state = Ripemd160(data[:3])
    twin = state.copy()
    state.update(memoryview(data)[3:])
    assert state.hexdigest() == expected
    assert twin.hexdigest() == Ripemd160(data[:3]).hexdigest()


def test_ripemd_160_of_our_own_serves_where_the_platform_has_none() -> None:
    assert isinstance(_ripemd160(b"abc", available=()), Ripemd160)
    assert _ripemd160(b"abc", available=()).digest() == _ripemd160(b"abc").digest()
    twin = hmac.new(b"\x0b" * 20, b"Hi There", digestmod=Ripemd160)
    assert twin.hexdigest() == "24cb4bd67d20fc1a5d2ed7732dcc39377f0a5668"


# -- two hundred wrong keys --------------------------------------------------------------------------------------

SUITES = [(row, integrity_by_name("NONE" if row.is_aead else "HMAC_SHA2_256_128")) for row in SUPPORTED] + [
    (encryption_by_name("AES_CBC")[0], row) for row in CHECKED
]


def changed(key: bytes, number: int) -> bytes:
    """The key with one bit changed that counts (DES ignores the lowest bit of each octet)."""
    bit = (number * 37) % (len(key) * 7)
    return bytes(octet ^ (2 << bit % 7 if at == bit // 7 else 0) for at, octet in enumerate(key))


@pytest.mark.parametrize("suite", SUITES, ids=lambda suite: f"{suite[0].name}-{suite[1].name}")
def test_two_hundred_changed_keys_are_refused_and_show_no_plaintext(suite: tuple[EncryptionRow, object]) -> None:
    row, integrity = suite
    assert isinstance(integrity, type(CHECKED[0]))
    key, integrity_key = key_of(row), octets("integrity", integrity.key_size)
    sa = EspSa(encryption=row, encryption_key=Secret(key), integrity=integrity, integrity_key=Secret(integrity_key))
    packet = seal_esp(sa, INNER, 4, spi=0xBEEF, sequence_number=7, iv=octets("iv", row.iv_size))
    opened = open_esp(packet, sa)
    assert isinstance(opened, EspOpened)
    assert opened.payload == INNER
    assert opened.authenticated
    refused = 0
    for number in range(200):
        if row.is_aead:
            wrong = EspSa(encryption=row, encryption_key=Secret(changed(key, number)))
        else:
            wrong = EspSa(
                encryption=row,
                encryption_key=Secret(key),
                integrity=integrity,
                integrity_key=Secret(changed(integrity_key, number)),
            )
        result = open_esp(packet, wrong)
        assert isinstance(result, Refused)
        assert result.reason == Reason.BAD_ICV
        assert result.text == "integrity check failed"
        refused += 1
    assert refused == 200


@pytest.mark.parametrize(
    "row", [row for row in SUPPORTED if not row.is_aead and row.mode != "null"], ids=lambda row: row.name
)
@pytest.mark.parametrize("payload", [(INNER, 4), (INNER[20:], 17), (octets("gre", 60), 47)], ids=["v4", "udp", "gre"])
@pytest.mark.parametrize("with_icv", [True, False], ids=["icv", "no-icv"])
def test_two_hundred_wrong_cipher_keys_under_a_right_icv_are_told_by_padding(
    row: EncryptionRow, payload: tuple[bytes, int], with_icv: bool
) -> None:
    inner, next_header = payload
    if next_header == 47:
        inner = b"\0\0\x08\0" + inner
    integrity = integrity_by_name("HMAC_SHA1_96" if with_icv else "NONE")
    integrity_key = Secret(octets("integrity", integrity.key_size))
    key = key_of(row)
    sa = EspSa(encryption=row, encryption_key=Secret(key), integrity=integrity, integrity_key=integrity_key)
    packet = seal_esp(sa, inner, next_header, spi=0xBEEF, sequence_number=7, iv=octets("iv", row.iv_size))
    assert isinstance(open_esp(packet, sa), EspOpened)
    for number in range(200):
        wrong = EspSa(
            encryption=row,
            encryption_key=Secret(octets(f"wrong {number}", len(key))),
            integrity=integrity,
            integrity_key=integrity_key,
        )
        result = EspOpener(wrong).open(packet)
        assert isinstance(result, Refused)
        assert result.reason == Reason.BAD_PLAINTEXT
        assert "check the encryption key" in result.text
