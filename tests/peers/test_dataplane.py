from __future__ import annotations

import ipaddress
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecscope.decrypt.algorithms import ENCRYPTION, INTEGRITY, NO_INTEGRITY, encryption_by_name, integrity_by_name
from ipsecscope.decrypt.opening_ah import AhSa, AhVerified, verify_ah
from ipsecscope.decrypt.opening_esp import EspOpened, EspSa, open_esp
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.esp import Esp, checksum
from ipsecscope.dissect.natt import Endpoint, UdpContent, classify
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.dataplane import (
    Bundle,
    InboundSa,
    NotSealableError,
    OutboundSa,
    SaMode,
    SaPath,
    SequenceExhaustedError,
    Verdict,
    spi_of,
)
from ipsecscope.peers.encapsulation import find_carried
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.packets import Ipv4, Udp, echo_packet, ip_packet, split, udp_packet

SPI = 0xC0FFEE01
OUTER = {4: ("192.0.2.1", "192.0.2.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.5", "10.2.0.7"), 6: ("2001:db8:1::5", "2001:db8:2::7")}

DATAGRAM = Udp(source_port=9, destination_port=9, data=bytes(12)).build()

CIPHERS = [row for row in ENCRYPTION if row.is_supported]
MACS = [row for row in INTEGRITY if row.is_supported]


def esp_sa(cipher: str = "ENCR_AES_CBC", mac: str = "AUTH_HMAC_SHA2_256_128", **options: Any) -> EspSa:
    row, bits = encryption_by_name(cipher)
    integrity = NO_INTEGRITY if row.is_aead else integrity_by_name(mac)
    entropy = Entropy.seeded("keys")
    return EspSa(
        encryption=row,
        encryption_key=Secret(entropy.octets(row.key_material_size(bits), "encryption")),
        integrity=integrity,
        integrity_key=Secret(entropy.octets(integrity.key_size, "integrity")),
        **options,
    )


def ah_sa(mac: str = "AUTH_HMAC_SHA2_256_128", **options: Any) -> AhSa:
    row = integrity_by_name(mac)
    return AhSa(integrity=row, integrity_key=Secret(Entropy.seeded("keys").octets(row.key_size, "ah")), **options)


def path_of(mode: SaMode, version: int, *, encapsulated: bool = False) -> SaPath:
    source, destination = OUTER[version]
    port = 4500 if encapsulated else 0
    return SaPath(
        source=Endpoint(source, port),
        destination=Endpoint(destination, port),
        mode=mode,
        encapsulated=encapsulated,
        inner_source=INNER[4][0],
        inner_destination=INNER[4][1],
    )


def pair_of(
    sa: EspSa | AhSa, path: SaPath, *, window: int = 64, spi: int = SPI, **options: Any
) -> tuple[OutboundSa, InboundSa]:
    return OutboundSa(spi, sa, path, Entropy.seeded("iv"), **options), InboundSa(spi, sa, path, window=window)


def ping(ends: tuple[str, str], size: int = 56, sequence: int = 1) -> bytes:
    return echo_packet(*ends, identifier=7, sequence=sequence, data=bytes(range(size % 251)) + bytes(size // 251))


# -- what is sealed opens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", CIPHERS, ids=lambda row: row.name)
@pytest.mark.parametrize("esn", [False, True], ids=["32-bit", "ESN"])
def test_esp_sealed_with_every_cipher_opens_to_the_same_packet(row: Any, esn: bool) -> None:
    sa = esp_sa(row.name, esn=esn)
    outbound, inbound = pair_of(sa, path_of(SaMode.TUNNEL, 4))
    for sequence in (1, 2, 3):
        packet = ping(INNER[4], 40 + sequence, sequence)
        sealed = outbound.seal(packet)
        opened = open_esp(split(sealed).payload, sa, 0 if esn else None)  # type: ignore[union-attr]
        assert isinstance(opened, EspOpened)
        assert (opened.payload, opened.next_header, opened.sequence_number) == (packet, IpProtocol.IPV4, sequence)
        assert opened.has_default_padding
        received = inbound.open(sealed)
        assert (received.verdict, received.packet, received.sequence_number) == (Verdict.ACCEPTED, packet, sequence)


@pytest.mark.parametrize("row", [row for row in MACS if row.mac != "aes-gmac"], ids=lambda row: row.name)
def test_esp_sealed_with_every_integrity_algorithm_opens_to_the_same_packet(row: Any) -> None:
    outbound, inbound = pair_of(esp_sa("ENCR_AES_CBC", row.name), path_of(SaMode.TUNNEL, 6))
    packet = ping(INNER[6])
    assert inbound.open(outbound.seal(packet)).packet == packet


@pytest.mark.parametrize("row", MACS, ids=lambda row: row.name)
@pytest.mark.parametrize(("mode", "version"), list(product((SaMode.TUNNEL, SaMode.TRANSPORT), (4, 6))), ids=str)
@pytest.mark.parametrize("esn", [False, True], ids=["32-bit", "ESN"])
def test_ah_sealed_with_every_integrity_algorithm_verifies(row: Any, mode: SaMode, version: int, esn: bool) -> None:
    sa = ah_sa(row.name, esn=esn)
    outbound, inbound = pair_of(sa, path_of(mode, version))
    packet = ping(INNER[4] if mode is SaMode.TUNNEL else OUTER[version])
    sealed = outbound.seal(packet)
    assert isinstance(verify_ah(sealed, sa, 0 if esn else None), AhVerified)
    header = split(sealed).payload  # type: ignore[union-attr]
    assert (header[1] + 2) * 4 % (4 if version == 4 else 8) == 0
    received = inbound.open(sealed)
    assert (received.verdict, received.packet) == (Verdict.ACCEPTED, packet)


@pytest.mark.parametrize("mode", list(SaMode), ids=str)
@pytest.mark.parametrize("outer", [4, 6], ids=["outer IPv4", "outer IPv6"])
@pytest.mark.parametrize("encapsulated", [False, True], ids=["IP", "UDP"])
def test_esp_in_every_mode_and_carrier_gives_the_packet_back(mode: SaMode, outer: int, encapsulated: bool) -> None:
    outbound, inbound = pair_of(esp_sa("ENCR_AES_GCM_16"), path_of(mode, outer, encapsulated=encapsulated))
    packet = ping(OUTER[outer] if mode is SaMode.TRANSPORT else INNER[4])
    sealed = outbound.seal(packet)
    pieces = split(sealed)
    assert pieces is not None
    assert (pieces.source, pieces.destination) == OUTER[outer]
    assert pieces.protocol == (IpProtocol.UDP if encapsulated else IpProtocol.ESP)
    assert spi_of(sealed) == (IpProtocol.ESP, SPI)
    received = inbound.open(sealed)
    assert received.verdict is Verdict.ACCEPTED
    if mode is SaMode.BEET:
        assert received.packet[20:] == packet[20:]
        assert split(received.packet).source == INNER[4][0]  # type: ignore[union-attr]
    else:
        assert received.packet == packet
    if encapsulated:
        assert classify(pieces.payload[8:]) is UdpContent.ESP
        assert inbound.last_from == Endpoint(OUTER[outer][0], 4500)


@pytest.mark.parametrize(("inner", "outer"), [(4, 4), (4, 6), (6, 4), (6, 6)])
def test_tunnel_of_either_version_carries_either_version(inner: int, outer: int) -> None:
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, outer))
    packet = ping(INNER[inner])
    assert inbound.open(outbound.seal(packet)).packet == packet


@pytest.mark.parametrize("mode", [SaMode.TUNNEL, SaMode.TRANSPORT], ids=str)
@pytest.mark.parametrize("version", [4, 6])
def test_ah_and_esp_bundle_nests_esp_inside_ah(mode: SaMode, version: int) -> None:
    inner_path, outer_path = path_of(mode, version), path_of(SaMode.TRANSPORT, version)
    esp_out, esp_in = pair_of(esp_sa(), inner_path, spi=0x1001)
    ah_out, ah_in = pair_of(ah_sa(), outer_path, spi=0x2002)
    bundle = Bundle([esp_out, ah_out], [esp_in, ah_in])
    packet = ping(INNER[version] if mode is SaMode.TUNNEL else OUTER[version])
    sealed = bundle.seal(packet)
    assert spi_of(sealed) == (IpProtocol.AH, 0x2002)
    verified = verify_ah(sealed, ah_out.sa)  # type: ignore[arg-type]
    assert isinstance(verified, AhVerified)
    assert verified.next_header == IpProtocol.ESP
    assert Esp.parse(sealed[verified.payload_at :]).spi == 0x1001
    assert bundle.open(sealed).packet == packet
    assert bundle.open(sealed).verdict is Verdict.REPLAYED


def test_transport_mode_keeps_ipv4_options_and_mends_the_checksum() -> None:
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TRANSPORT, 4))
    source, destination = (ipaddress.ip_address(each).packed for each in OUTER[4])
    router_alert = b"\x94\x04\0\0"
    packet = Ipv4(
        protocol=IpProtocol.UDP, source=source, destination=destination, options=router_alert, data=DATAGRAM
    ).build()
    sealed = outbound.seal(packet)
    assert sealed[20:24] == router_alert
    assert checksum(sealed[:24]) == 0
    assert Ipv4.parse(sealed).protocol == IpProtocol.ESP
    assert inbound.open(sealed).packet == packet


def test_transport_mode_leaves_hop_by_hop_options_in_front_of_esp() -> None:
    """RFC 4303 section 3.1.1."""
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TRANSPORT, 6))
    options = bytes((IpProtocol.UDP, 0, 5, 2, 0, 0, 0, 0))  # router alert and PadN-like padding
    packet = ip_packet(*OUTER[6], IpProtocol.HOPOPT, options + DATAGRAM)
    sealed = outbound.seal(packet)
    assert sealed[6] == IpProtocol.HOPOPT
    assert sealed[40] == IpProtocol.ESP
    assert inbound.open(sealed).packet == packet


def test_tunnel_copies_dscp_to_the_outer_header() -> None:
    """RFC 4301 section 5.1.2."""
    outbound, _ = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 6))
    sealed = outbound.seal(udp_packet((INNER[4][0], 1), (INNER[4][1], 2), b"x", tos=0xB8))
    assert int.from_bytes(sealed[:2], "big") >> 4 & 0xFF == 0xB8


# -- confidentiality of traffic flow, sequence numbers --------------------------------------------------------------


def test_tfc_padding_brings_every_packet_to_one_size_and_comes_off() -> None:
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4), pad_to=600)
    packets = [ping(INNER[4], size, size) for size in (10, 200, 500)]
    sealed = [outbound.seal(packet) for packet in packets]
    assert len({len(each) for each in sealed}) == 1
    assert [inbound.open(each).packet for each in sealed] == packets


def test_dummy_packet_is_thrown_away_and_moves_the_window() -> None:
    """RFC 4303 section 2.6."""
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4))
    dummy = outbound.seal_dummy(100)
    assert inbound.open(dummy).verdict is Verdict.DUMMY
    assert inbound.open(dummy).verdict is Verdict.REPLAYED


def test_counted_iv_never_repeats_and_cbc_iv_comes_from_the_entropy() -> None:
    counted, _ = pair_of(esp_sa("ENCR_AES_GCM_16"), path_of(SaMode.TUNNEL, 4))
    drawn, _ = pair_of(esp_sa("ENCR_AES_CBC"), path_of(SaMode.TUNNEL, 4))
    packet = ping(INNER[4])
    assert [counted.seal(packet)[28:36] for _ in range(3)] == [n.to_bytes(8, "big") for n in (1, 2, 3)]
    ivs = [drawn.seal(packet)[28:44] for _ in range(3)]
    assert len(set(ivs)) == 3
    again, _ = pair_of(esp_sa("ENCR_AES_CBC"), path_of(SaMode.TUNNEL, 4))
    assert [again.seal(packet)[28:44] for _ in range(3)] == ivs


@pytest.mark.parametrize("sa", [esp_sa(), ah_sa()], ids=["ESP", "AH"])
def test_sequence_number_at_its_end_stops_the_sa(sa: EspSa | AhSa) -> None:
    """RFC 4303 section 3.3.3."""
    outbound, inbound = pair_of(sa, path_of(SaMode.TUNNEL, 4), last_number=0xFFFFFFFE)
    assert inbound.open(outbound.seal(ping(INNER[4]))).sequence_number == 0xFFFFFFFF
    assert outbound.is_exhausted
    with pytest.raises(SequenceExhaustedError):
        outbound.seal(ping(INNER[4]))


def test_sequence_number_may_cycle_where_nobody_checks() -> None:
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4), last_number=0xFFFFFFFE, cycles=True, window=0)
    verdicts = [inbound.open(outbound.seal(ping(INNER[4]))) for _ in range(4)]
    assert [each.verdict for each in verdicts[:1]] == [Verdict.ACCEPTED]
    assert verdicts[2].sequence_number == 1


@pytest.mark.parametrize("sa", [esp_sa(esn=True), esp_sa("ENCR_AES_GCM_16", esn=True), ah_sa(esn=True)])
def test_extended_sequence_number_crosses_its_lower_half(sa: EspSa | AhSa) -> None:
    """RFC 4303 appendix A2.2: packets of both sides of the crossing open, in any order within the window."""
    outbound, inbound = pair_of(sa, path_of(SaMode.TUNNEL, 4), last_number=0xFFFFFFFA)
    inbound.window.highest = 0xFFFFFFFA
    sealed = [outbound.seal(ping(INNER[4], sequence=number)) for number in range(10)]
    shuffled = [sealed[index] for index in (0, 3, 7, 1, 5, 2, 9, 4, 6, 8)]
    assert [inbound.open(each).verdict for each in shuffled] == [Verdict.ACCEPTED] * 10
    assert inbound.window.highest == 0x100000004


# -- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sa", [esp_sa(), esp_sa("ENCR_AES_GCM_16"), ah_sa()], ids=["CBC", "GCM", "AH"])
def test_packet_with_one_bit_flipped_is_refused_and_moves_nothing(sa: EspSa | AhSa) -> None:
    outbound, inbound = pair_of(sa, path_of(SaMode.TUNNEL, 4))
    sealed = outbound.seal(ping(INNER[4]))
    damaged = sealed[:-1] + bytes((sealed[-1] ^ 1,))
    assert inbound.open(damaged).verdict is Verdict.BAD_ICV
    assert inbound.open(sealed).verdict is Verdict.ACCEPTED


def test_replayed_old_and_foreign_packets_get_their_verdicts() -> None:
    outbound, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4), window=32)
    sealed = [outbound.seal(ping(INNER[4], sequence=number)) for number in range(50)]
    assert inbound.open(sealed[49]).verdict is Verdict.ACCEPTED
    assert inbound.open(sealed[49]).verdict is Verdict.REPLAYED
    assert inbound.open(sealed[18]).verdict is Verdict.ACCEPTED
    assert inbound.open(sealed[17]).verdict is Verdict.TOO_OLD
    foreign, _ = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4), spi=SPI + 1)
    assert inbound.open(foreign.seal(ping(INNER[4]))).verdict is Verdict.WRONG_SPI
    assert inbound.counts[Verdict.ACCEPTED] == 2


def test_icv_truncated_elsewhere_is_refused_though_a_dissector_would_open_it() -> None:
    """RFC 4868 section 2.3 against its draft: a gateway that cuts at 96 bits does not get through."""
    sender = esp_sa("ENCR_AES_CBC", "AUTH_HMAC_SHA2_256_96")
    outbound, _ = pair_of(sender, path_of(SaMode.TUNNEL, 4))
    _, inbound = pair_of(esp_sa("ENCR_AES_CBC", "AUTH_HMAC_SHA2_256_128"), path_of(SaMode.TUNNEL, 4))
    assert inbound.open(outbound.seal(ping(INNER[4]))).verdict is Verdict.BAD_ICV


def test_transport_packet_inside_a_tunnel_sa_is_malformed() -> None:
    outbound, _ = pair_of(esp_sa(), path_of(SaMode.TRANSPORT, 4))
    _, inbound = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4))
    assert inbound.open(outbound.seal(ping(OUTER[4]))).verdict is Verdict.MALFORMED


@pytest.mark.parametrize("packet", [b"", b"\x45", bytes(40), b"\x60" + bytes(10)], ids=len)
def test_sealing_what_is_no_ip_packet_raises(packet: bytes) -> None:
    outbound, _ = pair_of(esp_sa(), path_of(SaMode.TUNNEL, 4))
    with pytest.raises(NotSealableError):
        outbound.seal(packet)


def test_sealing_a_fragment_in_transport_mode_raises() -> None:
    """RFC 4303 section 3.3.4."""
    fragment = bytearray(ping(OUTER[4]))
    fragment[6:8] = b"\x20\0"
    for sa in (esp_sa(), ah_sa()):
        with pytest.raises(NotSealableError):
            pair_of(sa, path_of(SaMode.TRANSPORT, 4))[0].seal(bytes(fragment))


def test_ah_in_udp_raises() -> None:
    """AH covers the addresses that a NAT changes (RFC 3948 section 1)."""
    with pytest.raises(NotSealableError):
        pair_of(ah_sa(), path_of(SaMode.TUNNEL, 4, encapsulated=True))


@given(st.binary(max_size=120), st.booleans())
def test_hostile_octets_never_raise_and_never_pass(data: bytes, with_header: bool) -> None:
    if with_header:
        data = ip_packet(*OUTER[4], IpProtocol.ESP, SPI.to_bytes(4, "big") + data)
    for sa in (esp_sa(), ah_sa(), esp_sa("ENCR_AES_GCM_16", esn=True)):
        _, inbound = pair_of(sa, path_of(SaMode.TUNNEL, 4))
        assert not inbound.open(data).is_accepted


@given(st.lists(st.integers(0, 30), min_size=1, max_size=60))
def test_any_order_of_delivery_accepts_each_packet_once(order: list[int]) -> None:
    outbound, inbound = pair_of(esp_sa("ENCR_AES_GCM_16"), path_of(SaMode.TUNNEL, 4), window=64)
    sealed = [outbound.seal(ping(INNER[4], sequence=number)) for number in range(31)]
    accepted = [number for number in order if inbound.open(sealed[number]).is_accepted]
    assert sorted(accepted) == sorted(set(order))


# -- a second opinion -------------------------------------------------------------------------------------------------

SCAPY_SUITES = [
    ("ENCR_AES_CBC", "AES-CBC", "AUTH_HMAC_SHA2_256_128", "SHA2-256-128"),
    ("ENCR_AES_CBC", "AES-CBC", "AUTH_HMAC_SHA1_96", "HMAC-SHA1-96"),
    ("ENCR_3DES", "3DES", "AUTH_HMAC_MD5_96", "HMAC-MD5-96"),
    ("ENCR_AES_CTR", "AES-CTR", "AUTH_HMAC_SHA2_512_256", "SHA2-512-256"),
    ("ENCR_NULL", "NULL", "AUTH_HMAC_SHA2_384_192", "SHA2-384-192"),
    ("ENCR_AES_GCM_16", "AES-GCM", "", "NULL"),
    ("ENCR_AES_CCM_16", "AES-CCM", "", "NULL"),
    ("ENCR_CHACHA20_POLY1305", "CHACHA20-POLY1305", "", "NULL"),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("cipher", "theirs", "mac", "their_mac"), SCAPY_SUITES, ids=lambda item: item or "-")
@pytest.mark.parametrize("mode", [SaMode.TUNNEL, SaMode.TRANSPORT], ids=str)
def test_esp_sealed_here_opens_in_scapy(cipher: str, theirs: str, mac: str, their_mac: str, mode: SaMode) -> None:
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    inet = pytest.importorskip("scapy.layers.inet")
    sa = esp_sa(cipher, mac)
    outbound, _ = pair_of(sa, path_of(mode, 4))
    packet = ping(INNER[4] if mode is SaMode.TUNNEL else OUTER[4])
    header = inet.IP(src=OUTER[4][0], dst=OUTER[4][1]) if mode is SaMode.TUNNEL else None
    association = ipsec.SecurityAssociation(
        ipsec.ESP,
        spi=SPI,
        crypt_algo=theirs,
        crypt_key=sa.encryption_key.reveal(),
        auth_algo=their_mac,
        auth_key=sa.integrity_key.reveal() or None,
        tunnel_header=header,
    )
    opened = association.decrypt(inet.IP(outbound.seal(packet)))
    assert bytes(opened) == packet


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("mac", "theirs"), [("AUTH_HMAC_SHA2_256_128", "SHA2-256-128"), ("AUTH_HMAC_SHA1_96", "HMAC-SHA1-96")]
)
@pytest.mark.parametrize("version", [4, 6])
def test_ah_sealed_here_verifies_in_scapy(mac: str, theirs: str, version: int) -> None:
    ipsec = pytest.importorskip("scapy.layers.ipsec")
    layer = (
        pytest.importorskip("scapy.layers.inet").IP if version == 4 else pytest.importorskip("scapy.layers.inet6").IPv6
    )
    sa = ah_sa(mac)
    outbound, _ = pair_of(sa, path_of(SaMode.TRANSPORT, version))
    packet = ping(OUTER[version])
    association = ipsec.SecurityAssociation(ipsec.AH, spi=SPI, auth_algo=theirs, auth_key=sa.integrity_key.reveal())
    assert bytes(association.decrypt(layer(outbound.seal(packet)))) == packet


def test_find_carried_in_something_else_is_none() -> None:
    for packet in (ping(OUTER[4]), udp_packet((OUTER[4][0], 4500), (OUTER[4][1], 4500), b"\xff")):
        pieces = split(packet)
        assert pieces is not None
        assert find_carried(pieces) is None
