from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.decrypt.algorithms import KeyLengthError, SizeError, encryption_by_name, integrity_by_name
from ipsecscope.decrypt.opening import Reason, Refused
from ipsecscope.decrypt.opening_esp import EspOpened, EspOpener, EspSa, open_esp
from ipsecscope.decrypt.plausibility import CHECKS, is_esp_plaintext
from ipsecscope.decrypt.sealing import seal_esp
from ipsecscope.decrypt.secret import Secret
from ipsecscope.decrypt.sequence_numbers import EsnTracker

IPV4 = (
    bytes.fromhex("4500002c000100004011b6c20a0100010a020001")
    + b"\x04\xd2\x00\x35\x00\x18\x00\x00"
    + b"sixteen octets!!"
)
IPV6 = b"\x60\0\0\0" + (24).to_bytes(2, "big") + b"\x11\x40" + bytes(32) + IPV4[20:]


def sa(encr: str = "AES_CBC", integ: str = "HMAC_SHA2_256_128", **more: object) -> EspSa:
    row, integrity = encryption_by_name(encr)[0], integrity_by_name(integ)
    return EspSa(
        encryption=row,
        encryption_key=Secret(hashlib.shake_128(b"e").digest(row.key_material_size())),
        integrity=integrity,
        integrity_key=Secret(hashlib.shake_128(b"a").digest(integrity.key_size)),
        **more,  # type: ignore[arg-type]
    )


def sealed(of: EspSa, payload: bytes = IPV4, next_header: int = 4, number: int = 7, **more: object) -> bytes:
    iv = hashlib.shake_128(b"iv%d" % number).digest(of.encryption.iv_size)
    return seal_esp(of, payload, next_header, spi=0xBEEF, sequence_number=number, iv=iv, **more)  # type: ignore[arg-type]


def opened(packet: bytes, of: EspSa, **more: int) -> EspOpened:
    result = open_esp(packet, of, **more)
    assert isinstance(result, EspOpened), result
    return result


def refused(packet: bytes, of: EspSa, **more: int) -> Refused:
    result = open_esp(packet, of, **more)
    assert isinstance(result, Refused), result
    return result


AEAD, CBC, NULL = ("AES_GCM_16", "NONE"), ("AES_CBC", "HMAC_SHA2_256_128"), ("NULL", "HMAC_SHA1_96")
BOTH = pytest.mark.parametrize("suite", [AEAD, CBC], ids=["aead", "cbc"])


@BOTH
def test_opened_packet_tells_all_its_parts(suite: tuple[str, str]) -> None:
    result = opened(sealed(sa(*suite)), sa(*suite))
    assert (result.spi, result.sequence_number, result.esn_high) == (0xBEEF, 7, None)
    assert (result.payload, result.next_header, result.tfc_padding) == (IPV4, 4, b"")
    assert result.has_default_padding
    assert result.authenticated
    assert not result.is_truncated
    assert not result.is_dummy
    assert result.icv_size == 16
    assert len(result.iv) == sa(*suite).encryption.iv_size


@BOTH
@pytest.mark.parametrize(("payload", "next_header"), [(IPV4, 4), (IPV6, 41), (IPV4[20:], 17)], ids=["v4", "v6", "udp"])
def test_traffic_flow_padding_is_taken_off_where_the_inner_length_tells(
    suite: tuple[str, str], payload: bytes, next_header: int
) -> None:
    result = opened(sealed(sa(*suite), payload, next_header, tfc_padding=100), sa(*suite))
    assert result.payload == payload
    assert result.tfc_padding == bytes(100)


@BOTH
def test_dummy_packet_is_told(suite: tuple[str, str]) -> None:
    assert opened(sealed(sa(*suite), b"whatever", 59), sa(*suite)).is_dummy


@BOTH
@pytest.mark.parametrize("high", [0, 1, 5, 15, 16, 700])
def test_upper_half_of_the_sequence_number_is_found_by_trial(suite: tuple[str, str], high: int) -> None:
    packet = sealed(sa(*suite), esn_high=high)
    assert opened(packet, sa(*suite, esn=True)).esn_high == high
    assert opened(packet, sa(*suite, esn=None)).esn_high == high
    assert opened(packet, sa(*suite, esn=True), esn_high=high).esn_high == high
    assert refused(packet, sa(*suite)).reason == Reason.BAD_ICV
    assert refused(packet, sa(*suite, esn=True), esn_high=high + 1).reason == Reason.BAD_ICV


@BOTH
def test_upper_half_beyond_the_search_needs_the_key_source(suite: tuple[str, str]) -> None:
    packet = sealed(sa(*suite), esn_high=5000)
    opener = EspOpener(sa(*suite, esn=True))
    assert all(isinstance(opener.open(packet), Refused) for _ in range(8))
    assert opened(packet, sa(*suite, esn=True, esn_high=5000)).esn_high == 5000
    assert opened(packet, sa(*suite, esn=True, esn_high=4999)).esn_high == 5000


@BOTH
def test_upper_half_follows_a_rollover_and_packets_out_of_order(suite: tuple[str, str]) -> None:
    opener = EspOpener(sa(*suite, esn=True))
    order = [(2, 0xFFFFFFF0), (3, 4), (2, 0xFFFFFFFE), (3, 2), (3, 0x80000000), (4, 1), (3, 0xFFFFFFFF)]
    for high, low in order:
        result = opener.open(sealed(sa(*suite), number=low, esn_high=high))
        assert isinstance(result, EspOpened)
        assert result.esn_high == high


@BOTH
def test_unknown_use_of_extended_numbers_is_settled_by_the_first_packet(suite: tuple[str, str]) -> None:
    opener = EspOpener(sa(*suite, esn=None))
    assert isinstance(opener.open(sealed(sa(*suite))), EspOpened)
    assert isinstance(opener.open(sealed(sa(*suite), esn_high=0)), Refused)
    assert opened(sealed(sa(*suite), esn_high=0), sa(*suite, esn=None)).esn_high == 0


@pytest.mark.parametrize("name", ["AES_GCM_16_IIV", "AES_CCM_8_IIV", "CHACHA20_POLY1305_IIV"])
def test_implicit_iv_is_made_of_the_whole_sequence_number(name: str) -> None:
    plain, extended = sealed(sa(name, "NONE")), sealed(sa(name, "NONE"), esn_high=3)
    assert len(plain) == 8 + len(IPV4) + 4 + sa(name, "NONE").encryption.icv_size
    assert opened(plain, sa(name, "NONE")).payload == IPV4
    assert opened(extended, sa(name, "NONE", esn=True)).esn_high == 3
    assert opened(plain, sa(name, "NONE")).iv == b""


@pytest.mark.parametrize(
    ("sent", "told"), [("HMAC_SHA2_256_96", "HMAC_SHA2_256_128"), ("HMAC_SHA2_256_128", "HMAC_SHA2_256_96")]
)
def test_other_truncation_of_sha2_256_is_tried_and_said(sent: str, told: str) -> None:
    opener = EspOpener(sa("AES_CBC", told))
    for number in (1, 2):
        result = opener.open(sealed(sa("AES_CBC", sent), number=number))
        assert isinstance(result, EspOpened)
        assert result.is_truncated
        assert result.icv_size == integrity_by_name(sent).icv_size
        assert result.payload == IPV4


def test_packet_without_icv_is_opened_and_called_unauthenticated() -> None:
    bare = sa("AES_CBC", "NONE")
    result = opened(sealed(bare), bare)
    assert not result.authenticated
    assert result.icv_size == 0
    assert result.payload == IPV4


def test_packet_with_an_icv_that_is_not_checked_is_called_unauthenticated() -> None:
    packet = sealed(sa("AES_CBC", "HMAC_SHA1_96"))
    unchecked = EspSa(
        encryption=encryption_by_name("AES_CBC")[0],
        encryption_key=sa().encryption_key,
        integrity=integrity_by_name("ANY 96 bit authentication [no checking]"),
    )
    result = opened(packet, unchecked)
    assert not result.authenticated
    assert result.icv_size == 12
    wrong = EspSa(encryption=unchecked.encryption, encryption_key=Secret(bytes(16)), integrity=unchecked.integrity)
    assert "there is no ICV" in refused(packet, wrong).text


@pytest.mark.parametrize("suite", [AEAD, ("AES_CBC", "HMAC_SHA1_96")], ids=["aead", "cbc"])
def test_every_truncation_of_a_packet_is_refused(suite: tuple[str, str]) -> None:
    packet = sealed(sa(*suite))
    for size in range(len(packet)):
        assert refused(packet[:size], sa(*suite)).reason in (Reason.TOO_SHORT, Reason.BAD_ICV)
    assert refused(packet[:20], sa(*suite)).reason == Reason.TOO_SHORT
    assert refused(b"", sa("NULL", "NONE")).reason == Reason.TOO_SHORT


@BOTH
@given(octets=st.binary(max_size=120))
def test_hostile_octets_are_refused_as_values(suite: tuple[str, str], octets: bytes) -> None:
    refused(octets, sa(*suite))
    refused(octets, sa(*suite, esn=True), esn_high=1)


@given(octets=st.binary(max_size=120))
def test_hostile_octets_without_icv_are_opened_or_refused_as_values(octets: bytes) -> None:
    assert isinstance(open_esp(octets, sa("AES_CTR", "NONE")), EspOpened | Refused)
    assert isinstance(open_esp(octets, sa("NULL", "NONE")), EspOpened | Refused)


def test_right_icv_over_octets_that_are_no_whole_blocks_points_at_the_algorithms() -> None:
    of = sa(*NULL)
    packet = sealed(of, IPV4 + bytes(4))
    cbc = EspSa(
        encryption=encryption_by_name("AES_CBC")[0],
        encryption_key=Secret(bytes(16)),
        integrity=of.integrity,
        integrity_key=of.integrity_key,
    )
    assert refused(packet, cbc).reason == Reason.NOT_WHOLE_BLOCKS


def test_aead_packet_with_an_impossible_pad_length_is_malformed_and_not_a_key_fault() -> None:
    of = sa(*AEAD)
    packet = sealed(of, b"", 4, padding=b"")
    body = bytes.fromhex("ff04")
    head = packet[:16]
    from ipsecscope.decrypt.ciphers import bind

    packet = head + bind(of.encryption, of.encryption_key).seal(head[8:], head[:8], body)
    result = refused(packet, of)
    assert result.reason == Reason.MALFORMED


@BOTH
@pytest.mark.parametrize("padding", [bytes(15), b"\xaa" * 3, b"\x01\x02\x09"], ids=["zeros", "constant", "nearly"])
def test_ip_packet_behind_odd_padding_is_believed(suite: tuple[str, str], padding: bytes) -> None:
    of = sa(*suite)
    if of.encryption.block_size == 16:
        padding = padding[:1] * (-(len(IPV4) + 2) % 16)
    result = opened(sealed(of, padding=padding), of)
    assert result.payload == IPV4
    assert result.has_default_padding is (padding == b"\1\2")


def test_other_protocol_behind_odd_padding_is_refused_without_aead_and_believed_with_it() -> None:
    assert refused(sealed(sa(*CBC), IPV4[20:], 17, padding=bytes(6)), sa(*CBC)).reason == Reason.BAD_PLAINTEXT
    assert opened(sealed(sa(*AEAD), IPV4[20:], 17, padding=bytes(2)), sa(*AEAD)).padding == bytes(2)


def test_unknown_protocol_needs_two_octets_of_padding_as_evidence() -> None:
    assert opened(sealed(sa(*CBC), bytes(12), 253), sa(*CBC)).next_header == 253
    assert refused(sealed(sa(*CBC), bytes(14), 253), sa(*CBC)).reason == Reason.BAD_PLAINTEXT


@pytest.mark.parametrize(
    ("key", "integrity_key", "reason"),
    [
        (Secret(bytes(15)), Secret(bytes(32)), Reason.KEY_LENGTH),
        (Secret(bytes(16)), Secret(bytes(20)), Reason.KEY_LENGTH),
    ],
    ids=["encryption", "integrity"],
)
def test_wrong_key_lengths_are_values_with_a_reason(key: Secret, integrity_key: Secret, reason: Reason) -> None:
    of = EspSa(
        encryption=encryption_by_name("AES_CBC")[0],
        encryption_key=key,
        integrity=integrity_by_name("sha256"),
        integrity_key=integrity_key,
    )
    result = refused(sealed(sa()), of)
    assert result.reason == reason
    assert "octets of key" in result.text
    with pytest.raises(KeyLengthError):
        EspOpener(of)


def test_unsupported_ciphers_are_values_with_a_reason() -> None:
    of = EspSa(encryption=encryption_by_name("TWOFISH-CBC")[0], encryption_key=Secret(bytes(16)))
    result = refused(sealed(sa()), of)
    assert result.reason == Reason.UNSUPPORTED
    assert "TWOFISH_CBC" in result.text


def test_sealing_with_an_iv_of_another_size_is_the_callers_mistake() -> None:
    with pytest.raises(SizeError, match="an IV of 3 octets"):
        seal_esp(sa(*AEAD), IPV4, 4, spi=1, sequence_number=1, iv=b"abc")


def test_icv_covers_the_upper_half_behind_the_packet() -> None:
    of = sa(*CBC)
    packet = sealed(of, esn_high=9)
    expected = hmac.digest(of.integrity_key.reveal(), packet[:-16] + bytes((0, 0, 0, 9)), "sha256")[:16]
    assert packet[-16:] == expected


@given(
    payload=st.binary(min_size=1, max_size=200), number=st.integers(1, 2**32 - 1), high=st.none() | st.integers(0, 9)
)
def test_aead_opens_whatever_it_sealed(payload: bytes, number: int, high: int | None) -> None:
    of = sa(*AEAD, esn=high is not None)
    result = opened(sealed(of, payload, 253, number=number, esn_high=high), of)
    assert (result.payload, result.sequence_number, result.esn_high) == (payload, number, high)


REAL = {
    1: bytes.fromhex("0800f7ff00000000"),
    2: bytes.fromhex("1100eeff00000000"),
    6: bytes(12) + b"\x50\x10" + bytes(6),
    47: bytes.fromhex("00000800") + bytes(8),
    50: bytes.fromhex("0000beef00000001") + bytes(8),
    51: bytes.fromhex("04040000") + bytes(20),
    58: bytes.fromhex("8000f7ff00000000"),
    59: b"",
    60: bytes.fromhex("3b00010400000000"),
    89: bytes.fromhex("02010010") + bytes(12),
    94: bytes.fromhex("04000000") + bytes(4),
    103: bytes.fromhex("20000000"),
    108: bytes.fromhex("04000002") + bytes(3),
    112: bytes.fromhex("3101640100640000"),
    132: bytes(12) + bytes.fromhex("00000004"),
    144: bytes.fromhex("00000000"),
    4: IPV4,
    41: IPV6,
    17: IPV4[20:],
    0: bytes.fromhex("3b00010400000000"),
    43: bytes.fromhex("1100000000000000"),
    44: bytes.fromhex("1100000000000000"),
    135: bytes.fromhex("3b00010000000000"),
}


def test_every_protocol_that_is_checked_has_a_real_packet_here() -> None:
    assert REAL.keys() == CHECKS.keys()


@pytest.mark.parametrize("protocol", sorted(REAL))
def test_real_headers_pass_and_random_octets_do_not(protocol: int) -> None:
    assert is_esp_plaintext(REAL[protocol] + bytes((0, protocol)))
    if protocol != 59:
        assert not is_esp_plaintext(b"\xf7" + bytes((0, protocol)))
    assert not is_esp_plaintext(bytes((3, protocol)))
    assert not is_esp_plaintext(b"\0")


def test_wrong_keys_pass_the_plausibility_check_less_than_once_in_ten_thousand() -> None:
    trials = 20000
    passed = sum(is_esp_plaintext(hashlib.shake_128(b"%d" % number).digest(64)) for number in range(trials))
    assert passed <= trials // 10000


def test_tracker_without_extended_numbers_offers_none_only() -> None:
    assert list(EsnTracker(esn=False).candidates(7)) == [None]


def test_tracker_searches_far_on_the_first_packets_only() -> None:
    tracker = EsnTracker(esn=True)
    sizes = [len(list(tracker.candidates(7))) for _ in range(6)]
    assert sizes == [4096] * 4 + [16] * 2


def test_tracker_offers_the_nearest_number_first_and_none_below_zero() -> None:
    tracker = EsnTracker(esn=True)
    tracker.matched(5, 0)
    assert list(tracker.candidates(6)) == [0, 1]
    tracker.matched(0xFFFFFFF0, 0)
    assert next(tracker.candidates(3)) == 1
    tracker.matched(1, 0)
    assert tracker.highest == 0xFFFFFFF0
