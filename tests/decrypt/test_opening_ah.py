from __future__ import annotations

import hashlib
import hmac
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.decrypt.algorithms import integrity_by_name
from ipsecscope.decrypt.opening import Reason, Refused
from ipsecscope.decrypt.opening_ah import AhSa, AhVerified, AhVerifier, seal_ah, verify_ah
from ipsecscope.decrypt.secret import Secret

UDP = b"\x04\xd2\x00\x35\x00\x10\x00\x00" + b"payload!"
SOURCE, DESTINATION, HOP = (bytes((10, 0, 0, last)) for last in (1, 2, 9))


def sa(name: str = "HMAC_SHA1_96", **more: object) -> AhSa:
    row = integrity_by_name(name)
    return AhSa(integrity=row, integrity_key=Secret(hashlib.shake_128(b"a").digest(row.key_size)), **more)  # type: ignore[arg-type]


def ah_header(of: AhSa, next_header: int = 17, number: int = 7, multiple: int = 8) -> bytes:
    size = of.integrity.icv_size + -(12 + of.integrity.icv_size) % multiple
    return (
        bytes((next_header, (12 + size) // 4 - 2))
        + bytes(2)
        + b"\0\0\xbe\xef"
        + number.to_bytes(4, "big")
        + bytes(size)
    )


def ipv4(of: AhSa, options: bytes = b"", destination: bytes = DESTINATION, **more: int) -> bytes:
    options += bytes(-len(options) % 4)
    body = ah_header(of, **more) + UDP
    words = 5 + len(options) // 4
    total = words * 4 + len(body)
    head = bytes((0x40 | words, 0)) + total.to_bytes(2, "big") + b"\x12\x34\0\0\x40\x33\0\0" + SOURCE + destination
    return head + options + body


def ipv6(of: AhSa, extensions: bytes = b"", first: int = 51, destination: bytes = bytes(15) + b"\2") -> bytes:
    body = extensions + ah_header(of) + UDP
    return b"\x60\0\0\0" + len(body).to_bytes(2, "big") + bytes((first, 64)) + bytes(15) + b"\1" + destination + body


def changed(packet: bytes, *edits: tuple[int, bytes]) -> bytes:
    out = bytearray(packet)
    for at, octets in edits:
        out[at : at + len(octets)] = octets
    return bytes(out)


def verified(packet: bytes, of: AhSa, **more: int) -> AhVerified:
    result = verify_ah(packet, of, **more)
    assert isinstance(result, AhVerified), result
    return result


def refused(packet: bytes, of: AhSa, **more: int) -> Refused:
    result = verify_ah(packet, of, **more)
    assert isinstance(result, Refused), result
    return result


EVERY = pytest.mark.parametrize(
    "name",
    [
        "HMAC_MD5_96", "HMAC_SHA1_96", "HMAC_SHA2_256_128", "HMAC_SHA2_384_192", "HMAC_SHA2_512_256",
        "HMAC_RIPEMD_160_96", "AES_XCBC_96", "AES_CMAC_96",
    ],
)  # fmt: skip


@EVERY
def test_icv_is_the_mac_of_the_packet_with_mutable_fields_and_icv_zero(name: str) -> None:
    of = sa(name)
    packet = seal_ah(ipv4(of), of)
    result = verified(changed(packet, (1, b"\xb8"), (6, b"\x40\0"), (8, b"\x3f"), (10, b"\xab\xcd")), of)
    assert (result.spi, result.sequence_number, result.next_header) == (0xBEEF, 7, 17)
    assert packet[result.payload_at :] == UDP
    assert (result.icv_size, result.is_truncated, result.esn_high) == (of.integrity.icv_size, False, None)
    if name == "HMAC_SHA1_96":
        covered = changed(packet, (8, b"\0"), (32, bytes(12)))
        assert hmac.digest(of.integrity_key.reveal(), covered, "sha1")[:12] == packet[32:44]


@EVERY
def test_two_hundred_wrong_keys_are_refused(name: str) -> None:
    of = sa(name)
    packet = seal_ah(ipv4(of), of)
    for number in range(200):
        wrong = AhSa(
            integrity=of.integrity,
            integrity_key=Secret(hashlib.shake_128(b"%d" % number).digest(of.integrity.key_size)),
        )
        assert refused(packet, wrong) == Refused(Reason.BAD_ICV, "integrity check failed")


@pytest.mark.parametrize("make", [ipv4, ipv6], ids=["v4", "v6"])
def test_immutable_octets_are_covered(make: object) -> None:
    of = sa()
    packet = seal_ah(make(of), of)  # type: ignore[operator]
    mutable = {1, 6, 7, 8, 10, 11} if packet[0] >> 4 == 4 else {0, 1, 2, 3, 7}
    for at in range(len(packet)):
        edited = changed(packet, (at, bytes((packet[at] ^ 1,))))
        assert isinstance(verify_ah(edited, of), Refused if at not in mutable else AhVerified) or at in (6, 7), at


def test_padding_of_the_icv_is_covered_as_sent() -> None:
    of = sa("HMAC_SHA2_256_128")
    blank = ipv4(of)
    assert len(ah_header(of)) == 32
    packet = seal_ah(changed(blank, (48, b"\x0a\0\0\2")), of)
    verified(packet, of)
    assert refused(changed(packet, (48, bytes(4))), of).reason == Reason.BAD_ICV


def test_octets_behind_the_packet_are_not_covered() -> None:
    of = sa()
    verified(seal_ah(ipv4(of), of) + bytes(9), of)
    verified(seal_ah(ipv6(of), of) + bytes(9), of)


@pytest.mark.parametrize(
    ("sent", "told"), [("HMAC_SHA2_256_96", "HMAC_SHA2_256_128"), ("HMAC_SHA2_256_128", "HMAC_SHA2_256_96")]
)
def test_other_truncation_of_sha2_256_is_tried_and_said(sent: str, told: str) -> None:
    result = verified(seal_ah(ipv4(sa(sent)), sa(sent)), sa(told))
    assert result.is_truncated
    assert result.icv_size == sa(sent).integrity.icv_size


@pytest.mark.parametrize("high", [0, 3, 300])
def test_upper_half_of_the_sequence_number_is_covered_and_found(high: int) -> None:
    of = sa(esn=True)
    packet = seal_ah(ipv4(of), of, esn_high=high)
    assert verified(packet, of).esn_high == high
    assert verified(packet, of, esn_high=high).esn_high == high
    assert verified(packet, sa(esn=None)).esn_high == high
    assert refused(packet, sa()).reason == Reason.BAD_ICV
    verifier = AhVerifier(of)
    for number in (7, 8, 9):
        assert isinstance(verifier.verify(seal_ah(ipv4(of, number=number), of, esn_high=high)), AhVerified)


# -- IPv4 options ------------------------------------------------------------------------------------------------


def test_mutable_options_are_zeroed_and_immutable_ones_covered() -> None:
    of = sa()
    options = (
        bytes.fromhex("94040000") + bytes.fromhex("07070400000000") + b"\x01" + b"\0"
    )  # router alert, record route
    packet = seal_ah(ipv4(of, options), of)
    verified(changed(packet, (27, b"\x0a\0\0\x09"), (26, b"\x08")), of)
    assert refused(changed(packet, (22, b"\x01")), of).reason == Reason.BAD_ICV


def test_source_route_covers_the_final_destination_wherever_the_packet_is() -> None:
    of = sa()
    arrived = ipv4(of, b"\x83\x07\x08" + HOP + b"\0", DESTINATION)
    packet = seal_ah(arrived, of)
    verified(packet, of)
    on_the_way = changed(packet, (16, HOP), (22, b"\x04"), (23, DESTINATION))
    verified(on_the_way, of)
    assert refused(changed(on_the_way, (23, SOURCE)), of).reason == Reason.BAD_ICV


@pytest.mark.parametrize("options", [b"\x94\x00\0\0", b"\x94\x09\0\0", b"\1\1\1\x94"], ids=["zero", "long", "cut"])
def test_option_that_does_not_fit_is_malformed(options: bytes) -> None:
    of = sa()
    result = refused(ipv4(of, options), of)
    assert (result.reason, result.text) == (Reason.MALFORMED, "an IPv4 option does not fit the header")


# -- IPv6 extension headers --------------------------------------------------------------------------------------


def test_ipv6_options_that_may_change_are_zeroed() -> None:
    of = sa()
    hop_by_hop = bytes.fromhex("3c00") + bytes.fromhex("3e02aaaa") + b"\0\0"
    destination = bytes.fromhex("3300") + bytes.fromhex("1e02bbbb") + b"\1\0"
    packet = seal_ah(ipv6(of, hop_by_hop + destination, first=0), of)
    verified(changed(packet, (44, b"\x12\x34")), of)
    assert refused(changed(packet, (52, b"\x12\x34")), of).reason == Reason.BAD_ICV
    assert refused(changed(packet, (43, b"\1")), of).reason in (Reason.BAD_ICV, Reason.MALFORMED)


@pytest.mark.parametrize("kind", [0, 2])
def test_ipv6_routing_header_is_covered_as_on_arrival(kind: int) -> None:
    of = sa()
    one, two, final = (bytes(15) + bytes((last,)) for last in (5, 6, 2))
    count = 1 if kind == 2 else 2
    arrived = bytes((51, 2 * count, kind, 0)) + bytes(4) + (one if kind == 2 else one + two)
    packet = seal_ah(ipv6(of, arrived, first=43, destination=final), of)
    verified(packet, of)
    if kind == 2:
        sent = changed(packet, (24, one), (43, b"\1"), (48, final))
    else:
        sent = changed(packet, (24, one), (43, b"\2"), (48, two + final))
    verified(sent, of)
    if kind == 0:
        verified(changed(packet, (24, two), (43, b"\1"), (48, one + final)), of)
    assert refused(changed(packet, (43, b"\x09")), of).reason == Reason.BAD_ICV
    other = seal_ah(ipv6(of, bytes((51, 2, 4, 1)) + bytes(20), first=43), of)
    verified(other, of)


def test_ipv6_option_that_does_not_fit_is_malformed() -> None:
    of = sa()
    assert (
        refused(ipv6(of, bytes.fromhex("330000 0000003e09".replace(" ", "")), first=0), of).reason == Reason.MALFORMED
    )
    assert refused(ipv6(of, bytes.fromhex("330000000000003e"), first=0), of).reason == Reason.MALFORMED


# -- AES-GMAC ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [128, 192, 256])
def test_gmac_carries_its_iv_in_the_icv_field(bits: int) -> None:
    of = sa(f"AES_{bits}_GMAC")
    packet = seal_ah(ipv4(of), of, iv=b"eight iv")
    assert packet[32:40] == b"eight iv"
    assert verified(packet, of).icv_size == 24
    assert refused(changed(packet, (33, b"\0")), of).reason == Reason.BAD_ICV
    wrong = AhSa(integrity=of.integrity, integrity_key=Secret(bytes(16)))
    assert refused(packet, wrong).reason == Reason.KEY_LENGTH


# -- refusals ----------------------------------------------------------------------------------------------------


def test_fragments_must_be_joined_first() -> None:
    of = sa()
    assert refused(changed(seal_ah(ipv4(of), of), (6, b"\x20\0")), of).reason == Reason.IP_FRAGMENT
    assert refused(ipv6(of, bytes((51, 0)) + bytes(6), first=44), of).reason == Reason.IP_FRAGMENT


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (b"", "no IP header"),
        (b"\x45", "the IPv4 header does not fit the packet"),
        (changed(ipv4(sa()), (9, b"\x11")), "there is no AH behind the IPv4 header"),
        (ipv4(sa())[:24], "the IPv4 header does not fit the packet"),
        (changed(ipv4(sa()), (21, b"\xff")), "the AH header does not fit the packet"),
        (b"\x60" + bytes(20), "the IP header does not fit the packet"),
        (ipv6(sa(), first=17), "there is no AH among the IPv6 headers"),
        (ipv6(sa(), bytes((51, 200)) + bytes(6), first=0), "there is no AH among the IPv6 headers"),
        (ipv6(sa(), bytes(8) * 40, first=0), "there is no AH among the IPv6 headers"),
    ],
    ids=["empty", "short", "no ah", "cut", "ah length", "v6 cut", "v6 udp", "v6 long", "v6 many"],
)
def test_packets_that_cannot_be_walked_are_values_with_a_reason(packet: bytes, text: str) -> None:
    assert refused(packet, sa()) == Refused(Reason.MALFORMED, text)
    with pytest.raises(ValueError, match=text):
        seal_ah(packet, sa())


def test_header_without_room_for_the_icv_is_refused() -> None:
    packet = ipv4(sa("HMAC_MD5_96"))
    assert refused(packet, sa("HMAC_SHA2_512_256")).reason == Reason.TOO_SHORT
    with pytest.raises(ValueError, match="no room for the ICV"):
        seal_ah(packet, sa("HMAC_SHA2_512_256"))


def test_wrong_key_length_and_unsupported_algorithm_are_values() -> None:
    short = AhSa(integrity=integrity_by_name("sha1"), integrity_key=Secret(bytes(7)))
    assert refused(ipv4(sa()), short).reason == Reason.KEY_LENGTH
    des = AhSa(integrity=integrity_by_name("DES_MAC"), integrity_key=Secret(bytes(8)))
    assert refused(ipv4(sa()), des).reason == Reason.UNSUPPORTED


@given(octets=st.binary(max_size=120), version=st.sampled_from([0x45, 0x4F, 0x60, 0]))
def test_hostile_packets_are_refused_as_values(octets: bytes, version: int) -> None:
    refused(bytes((version,)) + octets, sa())


@given(st.data())
def test_packets_with_hostile_edits_are_verified_or_refused_as_values(data: st.DataObject) -> None:
    of = sa()
    hop_by_hop = bytes.fromhex("3c003e02aaaa0000") + bytes.fromhex("2b001e02bbbb0100") + b"\x33\2\0\1" + bytes(20)
    packet = seal_ah(
        data.draw(st.sampled_from([ipv4(of, bytes.fromhex("940400000707040000000001")), ipv6(of, hop_by_hop, 0)])), of
    )
    edits = data.draw(
        st.lists(st.tuples(st.integers(0, len(packet) - 1), st.binary(min_size=1, max_size=3)), max_size=4)
    )
    assert isinstance(verify_ah(changed(packet, *edits), of), AhVerified | Refused)


def test_scapy_seals_what_we_verify_and_verifies_what_we_seal() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.layers import inet
        from scapy.layers.inet import IP, IPOption
        from scapy.layers.inet6 import IPv6, IPv6ExtHdrHopByHop, RouterAlert
        from scapy.layers.ipsec import AH, SecurityAssociation

        key = sa("HMAC_SHA2_256_128").integrity_key.reveal()
        association = SecurityAssociation(AH, spi=0xBEEF, auth_algo="SHA2-256-128", auth_key=key)
        router_alert = bytes.fromhex("94040000") + bytes.fromhex("07070400000000") + b"\0"
        for inner in (
            IP(src="10.0.0.1", dst="10.0.0.2", tos=8, ttl=9) / inet.UDP(sport=1, dport=2) / b"hello",
            IP(src="10.0.0.1", dst="10.0.0.2", options=IPOption(router_alert)) / inet.UDP() / b"x",
            IPv6(src="2001:db8::1", dst="2001:db8::2", tc=4) / inet.UDP(sport=1, dport=2) / b"hello",
            IPv6(src="2001:db8::1", dst="2001:db8::2")
            / IPv6ExtHdrHopByHop(options=[RouterAlert()])
            / inet.UDP(sport=1, dport=2)
            / b"hello",
        ):
            packet = bytes(association.encrypt(inner, seq_num=3))
            verified(packet, sa("HMAC_SHA2_256_128"))
        of = sa("HMAC_SHA2_256_128")
        for packet in (ipv4(of, number=9), ipv4(of, router_alert, number=10)):
            association.decrypt(IP(seal_ah(packet, of)))  # raises when the ICV does not match
