from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.decrypt.algorithms import IntegrityRow, SizeError, encryption_by_name, integrity_by_name
from ipsecscope.decrypt.opening import (
    SKF_HEADER_SIZE,
    OpenedBody,
    Reason,
    Refused,
    open_ike_v1,
    open_ike_v2,
)
from ipsecscope.decrypt.sealing import ike_v2_body_size, ike_v2_padding, seal_ike_v1, seal_ike_v2
from ipsecscope.decrypt.secret import Secret

# N(NAT_DETECTION_SOURCE_IP), then a Vendor ID
INNER = bytes.fromhex("2b00001c00004004") + bytes(20) + bytes.fromhex("0000000c") + b"ipsecscop"[:8]
NOTIFY, VENDOR = 41, 43
SUITES = [
    ("AES_CBC", "HMAC_SHA2_256_128"),
    ("3DES", "HMAC_MD5_96"),
    ("AES_CTR", "HMAC_SHA1_96"),
    ("CAMELLIA_CBC", "AES_XCBC_96"),
    ("BLOWFISH", "HMAC_SHA1_96"),
    ("NULL", "AES_CMAC_96"),
    ("AES_GCM_16", ""),
    ("AES_GCM_8", ""),
    ("AES_CCM_12", ""),
    ("CAMELLIA_CCM_8", ""),
    ("CHACHA20_POLY1305", ""),
]
EVERY = pytest.mark.parametrize("suite", SUITES, ids=lambda suite: suite[0])


def stuff(label: str, size: int) -> bytes:
    return hashlib.shake_128(label.encode()).digest(size)


class Sealed:
    """A sealed message and what opens it."""

    def __init__(self, suite: tuple[str, str], inner: bytes = INNER, first: int = NOTIFY, **more: object) -> None:
        self.row = encryption_by_name(suite[0])[0]
        self.integrity: IntegrityRow | None = integrity_by_name(suite[1]) if suite[1] else None
        self.sk_e = Secret(stuff("e", self.row.key_material_size()))
        self.sk_a = Secret(stuff("a", self.integrity.key_size if self.integrity else 0))
        fragment = more.pop("fragment", b"")
        assert isinstance(fragment, bytes)
        padding = more.get("padding")
        size = 4 + len(fragment) + ike_v2_body_size(self.row, self.integrity, len(inner))
        if isinstance(padding, bytes):
            size += len(padding) - len(ike_v2_padding(self.row, len(inner)))
        sk = 53 if fragment else 46
        head = bytes(range(16)) + bytes((sk, 0x20, 35, 8)) + (1).to_bytes(4, "big") + (28 + size).to_bytes(4, "big")
        prefix = head + bytes((first, 0)) + size.to_bytes(2, "big") + fragment
        self.header_size = 4 + len(fragment)
        iv = stuff("iv", self.row.iv_size)
        self.message = seal_ike_v2(prefix, inner, iv, self.row, self.sk_e, self.integrity, self.sk_a, **more)  # type: ignore[arg-type]

    def open(
        self, message: bytes | None = None, sk_e: Secret | None = None, sk_a: Secret | None = None
    ) -> OpenedBody | Refused:
        return open_ike_v2(
            self.message if message is None else message,
            28,
            self.row,
            self.sk_e if sk_e is None else sk_e,
            self.integrity,
            self.sk_a if sk_a is None else sk_a,
            header_size=self.header_size,
        )


@EVERY
def test_encrypted_payload_opens_after_sealing(suite: tuple[str, str]) -> None:
    sealed = Sealed(suite)
    opened = sealed.open()
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext == INNER
    assert opened.authenticated
    assert opened.padding == ike_v2_padding(sealed.row, len(INNER))
    assert opened.iv == stuff("iv", sealed.row.iv_size)
    assert len(sealed.message) == int.from_bytes(sealed.message[24:28], "big")


@EVERY
def test_encrypted_payload_without_payloads_opens(suite: tuple[str, str]) -> None:
    opened = Sealed(suite, b"", 0).open()
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext == b""


@EVERY
def test_two_hundred_changed_keys_are_refused_with_the_integrity_check(suite: tuple[str, str]) -> None:
    sealed = Sealed(suite)
    for number in range(200):
        if sealed.row.is_aead:
            result = sealed.open(sk_e=Secret(stuff(f"wrong {number}", len(sealed.sk_e))))
        else:
            result = sealed.open(sk_a=Secret(stuff(f"wrong {number}", len(sealed.sk_a))))
        assert result == Refused(Reason.BAD_ICV, "integrity check failed")


@pytest.mark.parametrize("suite", [s for s in SUITES if s[1] and s[0] != "NULL"], ids=lambda suite: suite[0])
@pytest.mark.parametrize("fragment", [b"", b"\0\1\0\3"], ids=["SK", "SKF"])
def test_two_hundred_wrong_cipher_keys_under_a_right_icv_are_told(suite: tuple[str, str], fragment: bytes) -> None:
    sealed = Sealed(suite, fragment=fragment)
    for number in range(200):
        result = sealed.open(sk_e=Secret(stuff(f"wrong {number}", len(sealed.sk_e))))
        assert isinstance(result, Refused)
        assert result.reason == Reason.BAD_PLAINTEXT
        assert result.text == "the ICV is right, but padding or payloads are not: check the encryption key"


@EVERY
def test_later_fragments_open_though_they_start_inside_a_payload(suite: tuple[str, str]) -> None:
    first = Sealed(suite, INNER[:10], NOTIFY, fragment=b"\0\1\0\2").open()
    second = Sealed(suite, INNER[10:], 0, fragment=b"\0\2\0\2").open()
    assert isinstance(first, OpenedBody)
    assert isinstance(second, OpenedBody)
    assert first.plaintext + second.plaintext == INNER
    assert SKF_HEADER_SIZE == 8


@EVERY
def test_every_changed_octet_of_a_message_is_noticed(suite: tuple[str, str]) -> None:
    sealed = Sealed(suite)
    for at in range(len(sealed.message)):
        changed = bytearray(sealed.message)
        changed[at] ^= 0x40
        assert isinstance(sealed.open(bytes(changed)), Refused), at


def test_damaged_chain_under_right_keys_is_opened_for_its_reader() -> None:
    damaged = INNER[:28] + b"\0\0\xff\xff" + INNER[32:]
    opened = Sealed(SUITES[0], damaged).open()
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext == damaged


def test_aead_message_is_opened_whatever_its_payloads_look_like() -> None:
    opened = Sealed(("AES_GCM_16", ""), b"\xff" * 20).open()
    assert isinstance(opened, OpenedBody)
    assert isinstance(Sealed(SUITES[0], b"\xff" * 20).open(), Refused)
    assert isinstance(Sealed(SUITES[0], b"\0\0", NOTIFY).open(), Refused)


def test_pad_length_beyond_the_body_is_told() -> None:
    result = Sealed(("AES_GCM_16", ""), b"", 0, padding=b"\x09").open()
    assert isinstance(result, Refused)
    assert result.reason == Reason.BAD_PLAINTEXT


def test_more_padding_than_needed_is_taken_off() -> None:
    padding = bytes(range(35)) + b"\x23"
    body = INNER + padding
    assert len(body) % 4 == 0
    opened = Sealed(("AES_GCM_16", ""), padding=padding).open()
    assert isinstance(opened, OpenedBody)
    assert (opened.plaintext, opened.padding) == (INNER, padding)


def test_message_without_icv_key_is_refused_and_one_without_integrity_is_unauthenticated() -> None:
    sealed = Sealed(SUITES[0])
    assert isinstance(sealed.open(sk_a=Secret(b"")), Refused)
    any_96 = integrity_by_name("ANY 128-bits of Authentication [No Checking]")
    opened = open_ike_v2(sealed.message, 28, sealed.row, sealed.sk_e, any_96)
    assert isinstance(opened, OpenedBody)
    assert not opened.authenticated
    wrong = open_ike_v2(sealed.message, 28, sealed.row, Secret(bytes(16)), any_96)
    assert wrong == Refused(Reason.BAD_PLAINTEXT, "padding or payloads are wrong: check the encryption key")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda message: message[:60], Reason.MALFORMED),
        (lambda message: message[:30] + b"\0\2" + message[32:], Reason.MALFORMED),
        (lambda message: message[:30] + b"\0\x10" + message[32:], Reason.TOO_SHORT),
    ],
    ids=["cut", "length too small", "no room"],
)
def test_lengths_that_do_not_fit_are_values_with_a_reason(change: object, reason: Reason) -> None:
    sealed = Sealed(SUITES[0])
    result = sealed.open(change(sealed.message))  # type: ignore[operator]
    assert isinstance(result, Refused)
    assert result.reason == reason


def test_right_icv_over_octets_that_are_no_whole_blocks_is_a_value() -> None:
    sealed = Sealed(("NULL", "HMAC_SHA1_96"), INNER + bytes(1))
    result = open_ike_v2(
        sealed.message, 28, encryption_by_name("AES_CBC")[0], Secret(bytes(16)), sealed.integrity, sealed.sk_a
    )
    assert isinstance(result, Refused)
    assert result.reason == Reason.NOT_WHOLE_BLOCKS


def test_wrong_key_length_and_unsupported_cipher_are_values() -> None:
    sealed = Sealed(SUITES[0])
    result = sealed.open(sk_e=Secret(bytes(7)))
    assert isinstance(result, Refused)
    assert result.reason == Reason.KEY_LENGTH
    twofish = encryption_by_name("TWOFISH-CBC")[0]
    result = open_ike_v2(sealed.message, 28, twofish, Secret(bytes(16)), sealed.integrity, sealed.sk_a)
    assert isinstance(result, Refused)
    assert result.reason == Reason.UNSUPPORTED


def test_sealing_with_an_iv_of_another_size_is_the_callers_mistake() -> None:
    with pytest.raises(SizeError, match="an IV of 4 octets"):
        seal_ike_v2(bytes(32), b"", bytes(4), encryption_by_name("AES_CBC")[0], Secret(bytes(16)))


@given(octets=st.binary(max_size=100), suite=st.sampled_from(SUITES))
def test_hostile_messages_are_refused_as_values(octets: bytes, suite: tuple[str, str]) -> None:
    sealed = Sealed(suite)
    head = sealed.message[:30] + (4 + len(octets)).to_bytes(2, "big")
    assert isinstance(sealed.open(head + octets), Refused)
    assert isinstance(sealed.open(octets), Refused)


# -- IKEv1 -------------------------------------------------------------------------------------------------------

V1_INNER = bytes.fromhex("0a000014") + bytes(16) + bytes.fromhex("00000014") + bytes(16)  # HASH, then NONCE
V1_CIPHERS = ["DES", "3DES", "AES_CBC", "CAMELLIA_CBC", "BLOWFISH", "CAST", "IDEA"]


def v1(name: str, payloads: bytes = V1_INNER, first: int = 8) -> tuple[bytes, Secret, bytes, bytes]:
    row = encryption_by_name(name)[0]
    key, iv = Secret(stuff("key", row.key_material_size())), stuff("iv", row.iv_size)
    body, next_iv = seal_ike_v1(payloads, row, key, iv)
    head = bytes(range(16)) + bytes((first, 0x10, 32, 1)) + bytes(4) + (28 + len(body)).to_bytes(4, "big")
    return head + body, key, iv, next_iv


@pytest.mark.parametrize("name", V1_CIPHERS)
def test_ikev1_body_opens_and_hands_on_its_last_block(name: str) -> None:
    message, key, iv, next_iv = v1(name)
    opened = open_ike_v1(message, encryption_by_name(name)[0], key, iv)
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext == V1_INNER
    assert opened.padding == bytes(-len(V1_INNER) % encryption_by_name(name)[0].block_size)
    assert not opened.authenticated
    assert opened.next_iv == next_iv == message[-len(iv) :]


@pytest.mark.parametrize("name", V1_CIPHERS)
def test_ikev1_body_under_two_hundred_wrong_keys_or_ivs_is_refused(name: str) -> None:
    message, key, iv, _ = v1(name)
    row = encryption_by_name(name)[0]
    for number in range(200):
        for result in (
            open_ike_v1(message, row, Secret(stuff(f"key {number}", len(key))), iv),
            open_ike_v1(message, row, key, stuff(f"iv {number}", len(iv))),
        ):
            assert isinstance(result, Refused)
            assert result.reason == Reason.BAD_PLAINTEXT


def test_ikev1_body_with_a_damaged_chain_is_shown_whole() -> None:
    damaged = V1_INNER[:20] + b"\0\0\xff\xff" + bytes(16)
    message, key, iv, _ = v1("AES_CBC", damaged)
    opened = open_ike_v1(message, encryption_by_name("AES_CBC")[0], key, iv)
    assert isinstance(opened, OpenedBody)
    assert opened.plaintext[: len(damaged)] == damaged
    assert opened.padding == b""


def test_ikev1_chain_longer_than_the_limit_is_shown_whole() -> None:
    message, key, iv, _ = v1("AES_CBC", b"\x08\0\0\4" * 600)
    opened = open_ike_v1(message, encryption_by_name("AES_CBC")[0], key, iv)
    assert isinstance(opened, OpenedBody)
    assert len(opened.plaintext) == 2400


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"message": lambda m: m[:28]}, Reason.TOO_SHORT),
        ({"message": lambda m: m[:-1]}, Reason.NOT_WHOLE_BLOCKS),
        ({"iv": lambda iv: iv[:-1]}, Reason.MALFORMED),
        ({"key": lambda key: Secret(key.reveal()[:-1])}, Reason.KEY_LENGTH),
    ],
    ids=["empty", "cut", "iv", "key"],
)
def test_ikev1_sizes_that_do_not_fit_are_values_with_a_reason(change: dict[str, object], reason: Reason) -> None:
    message, key, iv, _ = v1("AES_CBC")
    values = {"message": message, "key": key, "iv": iv}
    for name, function in change.items():
        values[name] = function(values[name])  # type: ignore[operator]
    result = open_ike_v1(values["message"], encryption_by_name("AES_CBC")[0], values["key"], values["iv"])  # type: ignore[arg-type]
    assert isinstance(result, Refused)
    assert result.reason == reason
