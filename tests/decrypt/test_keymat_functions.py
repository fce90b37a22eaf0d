from __future__ import annotations

import hashlib
import hmac

import pytest

from ipsecscope.decrypt import keymat, keymat_ikev1
from ipsecscope.decrypt.algorithms import (
    PrfRow,
    UnsupportedAlgorithmError,
    encryption_by_name,
    integrity_by_name,
    prf_by_name,
)
from ipsecscope.decrypt.keymat import ChildSuite, IkeSuite
from ipsecscope.decrypt.secret import Secret

SHA1, SHA256, XCBC = (prf_by_name(name) for name in ("PRF_HMAC_SHA1", "PRF_HMAC_SHA2_256", "PRF_AES128_XCBC"))
NI, NR, SPI_I, SPI_R = b"initiator nonce.", b"responder nonce.", b"spi of i", b"spi of r"
EXCHANGE = {"ni": NI, "nr": NR, "spi_i": SPI_I, "spi_r": SPI_R}
GCM, CBC = encryption_by_name("AES_GCM_16")[0], encryption_by_name("AES_CBC")[0]
SUITE = IkeSuite(prf=SHA256, encryption=GCM, key_bits=256)


def mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.digest(key, b"".join(parts), "sha256")


def expanded(key: bytes, seed: bytes, size: int) -> bytes:
    """prf+ written out again, RFC 7296 section 2.13."""
    out, block = b"", b""
    for number in range(1, 256):
        block = mac(key, block, seed, bytes([number]))
        out += block
    return out[:size]


def octets(keys: keymat.IkeKeys) -> bytes:
    fields = (keys.sk_d, keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er, keys.sk_pi, keys.sk_pr)
    return b"".join(field.reveal() for field in fields)


def test_prf_plus_ends_after_255_blocks() -> None:
    assert keymat.prf_plus(SHA256, b"key", b"seed", 255 * 32) == expanded(b"key", b"seed", 255 * 32)
    assert keymat.prf_plus(SHA256, b"key", b"seed", 0) == b""
    with pytest.raises(ValueError, match="ends before 8161 octets"):
        keymat.prf_plus(SHA256, b"key", b"seed", 255 * 32 + 1)


def test_prfs_with_a_fixed_key_take_half_of_it_from_each_nonce() -> None:
    long = keymat.skeyseed(XCBC, NI, NR, b"secret")
    assert long == keymat.skeyseed(XCBC, NI[:8] + b"other", NR[:8], Secret(b"secret"))
    assert long.reveal() == keymat.prf(XCBC, NI[:8] + NR[:8], b"secret")
    assert keymat.skeyseed(SHA256, NI, NR, b"secret").reveal() == mac(NI + NR, b"secret")


def test_sizes_of_ike_keys_are_those_of_the_suite() -> None:
    keys = keymat.derive_ike_keys(SUITE, b"g^ir", **EXCHANGE)
    assert [len(key) for key in (keys.sk_d, keys.sk_ai, keys.sk_ei, keys.sk_pr)] == [32, 0, 36, 32]
    assert octets(keys) == expanded(mac(NI + NR, b"g^ir"), NI + NR + SPI_I + SPI_R, 3 * 32 + 2 * 36)
    mixed = IkeSuite(prf=XCBC, encryption=CBC, key_bits=128, integrity=integrity_by_name("HMAC_SHA2_512_256"))
    keys = keymat.derive_ike_keys(mixed, b"g^ir", **EXCHANGE)
    assert [len(key) for key in (keys.sk_d, keys.sk_ar, keys.sk_er, keys.sk_pi)] == [16, 64, 16, 16]
    assert keys.sk_e(initiator=True) == keys.sk_ei
    assert keys.sk_e(initiator=False) == keys.sk_er
    assert keys.sk_a(initiator=True) == keys.sk_ai
    assert keys.sk_a(initiator=False) == keys.sk_ar


def test_keys_behind_an_intermediate_key_exchange_chain_on_sk_d() -> None:
    before = keymat.derive_ike_keys(SUITE, b"g^ir", **EXCHANGE)
    after = keymat.next_ike_keys(SUITE, before.sk_d, b"SK(1)", **EXCHANGE)
    seed = mac(before.sk_d.reveal(), b"SK(1)", NI, NR)
    assert octets(after) == expanded(seed, NI + NR + SPI_I + SPI_R, 168)


def test_keys_of_a_rekeyed_ike_sa_use_the_old_prf_for_skeyseed() -> None:
    old_sk_d = Secret(bytes(20))
    keys = keymat.rekey_ike_keys(SUITE, SHA1, old_sk_d, [b"SK(0)", b"SK(1)", Secret(b"SK(2)")], **EXCHANGE)
    seed = hmac.digest(bytes(20), b"SK(0)" + NI + NR + b"SK(1)SK(2)", "sha1")
    assert octets(keys) == expanded(seed, NI + NR + SPI_I + SPI_R, 168)


def test_keys_of_a_resumed_ike_sa_come_from_the_old_sk_d() -> None:
    keys = keymat.resume_ike_keys(SUITE, Secret(b"old SK_d"), **EXCHANGE)
    assert octets(keys) == expanded(mac(b"old SK_d", b"Resumption", NI, NR), NI + NR + SPI_I + SPI_R, 168)


def test_ppk_changes_three_keys_and_leaves_four() -> None:
    keys = keymat.derive_ike_keys(SUITE, b"g^ir", **EXCHANGE)
    mixed = keymat.mix_ppk(SHA256, Secret(b"the ppk"), keys)
    assert mixed.sk_d.reveal() == expanded(b"the ppk", keys.sk_d.reveal(), 32)
    assert mixed.sk_pi.reveal() == expanded(b"the ppk", keys.sk_pi.reveal(), 32)
    assert mixed.sk_pr.reveal() == expanded(b"the ppk", keys.sk_pr.reveal(), 32)
    assert (mixed.sk_ai, mixed.sk_ar, mixed.sk_ei, mixed.sk_er) == (keys.sk_ai, keys.sk_ar, keys.sk_ei, keys.sk_er)


def test_ppk_of_an_intermediate_exchange_makes_a_new_skeyseed() -> None:
    assert keymat.skeyseed_ppk(SHA256, Secret(b"the ppk"), Secret(b"SK_d")).reveal() == expanded(
        b"the ppk", b"SK_d", 32
    )
    confirmation = keymat.ppk_confirmation(SHA256, Secret(b"the ppk"), **EXCHANGE)
    assert confirmation == mac(b"the ppk", NI, NR, SPI_I, SPI_R)[:8]


def test_child_keys_go_from_initiator_to_responder_and_encryption_first() -> None:
    suite = ChildSuite(encryption=CBC, key_bits=256, integrity=integrity_by_name("HMAC_SHA1_96"))
    keys = keymat.derive_child_keymat(SHA256, Secret(b"SK_d"), suite, [b"SK(0)", b"SK(1)"], ni=NI, nr=NR)
    stream = expanded(b"SK_d", b"SK(0)" + NI + NR + b"SK(1)", 104)
    assert keys.encryption(initiator=True).reveal() == stream[:32]
    assert keys.integrity(initiator=True).reveal() == stream[32:52]
    assert keys.encryption(initiator=False).reveal() == stream[52:84]
    assert keys.integrity(initiator=False).reveal() == stream[84:]


def test_child_keys_of_ah_and_of_an_aead_have_one_part_each_way() -> None:
    ah = keymat.derive_child_keymat(
        SHA256, Secret(b"SK_d"), ChildSuite(integrity=integrity_by_name("sha256")), ni=NI, nr=NR
    )
    assert (len(ah.encryption_i), len(ah.integrity_i)) == (0, 32)
    aead = keymat.derive_child_keymat(SHA256, Secret(b"SK_d"), ChildSuite(encryption=GCM, key_bits=128), ni=NI, nr=NR)
    assert (len(aead.encryption_r), len(aead.integrity_r)) == (20, 0)
    assert aead.encryption_r.reveal() == expanded(b"SK_d", NI + NR, 40)[20:]


def test_auth_of_a_shared_key_covers_message_nonce_and_id() -> None:
    signed = keymat.signed_octets(SHA256, b"message", NR, Secret(b"SK_pi"), b"\2\0\0\0id", intermediate=b"int")
    assert signed == b"message" + NR + mac(b"SK_pi", b"\2\0\0\0id") + b"int"
    auth = keymat.shared_key_auth(SHA256, Secret(b"psk"), signed)
    assert auth == mac(mac(b"psk", b"Key Pad for IKEv2"), signed)


def test_int_auth_chains_both_directions_and_ends_with_the_message_id() -> None:
    first = keymat.int_auth_step(SHA256, Secret(b"SK_pi1"), b"", b"A1P1")
    second = keymat.int_auth_step(SHA256, Secret(b"SK_pi2"), first, b"A2P2")
    assert second == mac(b"SK_pi2", mac(b"SK_pi1", b"A1P1"), b"A2P2")
    assert keymat.int_auth(second, b"responder", 3) == second + b"responder" + bytes((0, 0, 0, 3))


def test_int_auth_chunk_is_the_message_as_if_it_had_no_cipher() -> None:
    head = bytes(range(16)) + bytes((46, 0x20, 43, 8)) + bytes((0, 0, 0, 1)) + (200).to_bytes(4, "big")
    message = head + bytes((34, 0)) + (172).to_bytes(2, "big") + bytes(168)
    chunk = keymat.int_auth_chunk(message, 28, 34, b"inner octets")
    assert chunk == head[:24] + (44).to_bytes(4, "big") + bytes((34, 0)) + (16).to_bytes(2, "big") + b"inner octets"


def test_int_auth_chunk_of_fragments_names_the_payload_sk_wherever_it_stands() -> None:
    clear = bytes((53, 0, 0, 8)) + b"clr!"
    head = bytes(range(16)) + bytes((43, 0x20, 43, 8)) + bytes((0, 0, 0, 1)) + (200).to_bytes(4, "big")
    message = head + clear + bytes((34, 0, 0, 99)) + bytes((0, 1, 0, 2)) + bytes(80)
    chunk = keymat.int_auth_chunk(message, 36, 34, b"inner")
    assert chunk[:24] == head[:24]
    assert chunk[24:28] == (45).to_bytes(4, "big")
    assert chunk[28:36] == bytes((46, 0, 0, 8)) + b"clr!"
    assert chunk[36:] == bytes((34, 0, 0, 9)) + b"inner"
    plain = keymat.int_auth_chunk(head[:16] + bytes((53,)) + head[17:] + message[36:], 28, 34, b"inner")
    assert plain[16] == 46


# -- IKEv1 -------------------------------------------------------------------------------------------------------


def test_skeyid_of_public_key_encryption_is_under_the_hash_of_the_nonces() -> None:
    made = keymat_ikev1.skeyid_public_key_encryption(SHA256, NI, NR, SPI_I, SPI_R)
    assert made.reveal() == mac(hashlib.sha256(NI + NR).digest(), SPI_I, SPI_R)


def test_hash_of_a_prf_without_one_is_named() -> None:
    with pytest.raises(UnsupportedAlgorithmError, match="PRF_AES128_XCBC has no hash"):
        keymat_ikev1.hash_of(XCBC, b"")


def test_short_skeyid_e_is_expanded_and_a_long_one_cut() -> None:
    key = Secret(bytes(range(20)))
    assert keymat_ikev1.expand_key(SHA1, key, 16).reveal() == bytes(range(16))
    k1 = hmac.digest(bytes(range(20)), b"\0", "sha1")
    k2 = hmac.digest(bytes(range(20)), k1, "sha1")
    assert keymat_ikev1.expand_key(SHA1, key, 32).reveal() == (k1 + k2)[:32]
    three = encryption_by_name("3DES")[0]
    assert keymat_ikev1.encryption_key(SHA1, key, three).reveal() == (k1 + k2)[:24]
    assert keymat_ikev1.encryption_key(SHA1, key, CBC, 256).reveal() == (k1 + k2)[:32]


@pytest.mark.parametrize(
    ("skeyid_e", "expected"),
    [
        ("0102030405060708" + "11" * 12, "0102030405060708"),
        ("0101010101010101" + "1122334455667788" + "99" * 4, "1122334455667788"),
        ("0001000000010000" + "1122334455667788" + "99" * 4, "1122334455667788"),
        ("1f1f1f1f0e0e0e0e" + "e001e001f101f101" + "1122334455667788", "1122334455667788"),
    ],
    ids=["ordinary", "weak", "weak by parity", "weak twice"],
)
def test_des_key_skips_weak_and_semi_weak_keys(skeyid_e: str, expected: str) -> None:
    des = encryption_by_name("DES")[0]
    assert keymat_ikev1.encryption_key(SHA1, Secret.from_hex(skeyid_e), des).reveal().hex() == expected


def test_des_key_of_nothing_but_weak_keys_is_still_a_key() -> None:
    des = encryption_by_name("DES")[0]
    assert len(keymat_ikev1.encryption_key(SHA1, Secret(b"\1" * 20), des)) == 8


def test_keys_of_revised_public_key_encryption_come_from_nonce_and_cookie() -> None:
    made = keymat_ikev1.revised_encryption_key(SHA256, NI, SPI_I, 16)
    assert made.reveal() == mac(NI, SPI_I)[:16]


@pytest.mark.parametrize("g_xy", [None, Secret(b"g(qm)^xy")], ids=["no pfs", "pfs"])
def test_quick_mode_keymat_differs_by_spi_and_protocol_and_expands(g_xy: Secret | None) -> None:
    suite = ChildSuite(encryption=CBC, key_bits=256, integrity=integrity_by_name("HMAC_SHA2_256_128"))
    keys = keymat_ikev1.quick_mode_keys(
        SHA256, Secret(b"d"), suite, protocol=3, spi_to_initiator=b"to_i", spi_to_responder=b"to_r", ni=NI, nr=NR, g_xy=g_xy
    )  # fmt: skip
    seed = (b"g(qm)^xy" if g_xy else b"") + b"\3to_r" + NI + NR
    k1 = mac(b"d", seed)
    k2 = mac(b"d", k1, seed)
    assert keys.encryption_i.reveal() + keys.integrity_i.reveal() == k1 + k2
    other = keymat_ikev1.quick_mode_keymat(SHA256, Secret(b"d"), 32, protocol=3, spi=b"to_i", ni=NI, nr=NR, g_xy=g_xy)
    assert keys.encryption_r == other
    assert other != keymat_ikev1.quick_mode_keymat(
        SHA256, Secret(b"d"), 32, protocol=2, spi=b"to_i", ni=NI, nr=NR, g_xy=g_xy
    )


def test_rows_without_sizes_make_no_keys() -> None:
    assert ChildSuite().key_sizes == (0, 0)
    assert isinstance(SHA1, PrfRow)
