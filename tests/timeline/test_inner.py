"""Packets sealed by the built-in peers, as a capture; what comes out must be what went in."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest
from packets import RAW, START, frame, ipv4, records

from ipsecscope.capture.columns import classify
from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.capture.writer import PcapWriter
from ipsecscope.decrypt.algorithms import EncryptionRow, encryption_by_name, integrity_by_name
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import NamedEncryption, NamedIntegrity, Origin, SaKeys
from ipsecscope.decrypt.opening_ah import AhSa
from ipsecscope.decrypt.opening_esp import EspOpened, EspSa
from ipsecscope.decrypt.sealing import seal_esp
from ipsecscope.decrypt.secret import Secret
from ipsecscope.dissect.aggfrag import AggfragPlain
from ipsecscope.dissect.ipcomp import IpComp
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import ExchangeType, SecurityProtocol
from ipsecscope.dissect.registry.ip_protocols import IpProtocol
from ipsecscope.peers.dataplane import OutboundSa, SaMode, SaPath
from ipsecscope.peers.entropy import Entropy
from ipsecscope.peers.packets import Ipv4, echo_packet, ip_packet, split, udp_packet
from ipsecscope.timeline.analysis import analyze, row_datagram
from ipsecscope.timeline.children import ChildRegister, Negotiated
from ipsecscope.timeline.ikev1_keys import Ikev1Opener
from ipsecscope.timeline.ikev2_keys import Ikev2Opener
from ipsecscope.timeline.inner import BeetHeader, Restored, Restorer, with_payload
from ipsecscope.timeline.sas import Role, Suite
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker
from ipsecscope.timeline.traffic import TrafficOpener

SPI = 0xC0FFEE01
OUTER = {4: ("192.0.2.1", "198.51.100.2"), 6: ("2001:db8::1", "2001:db8::2")}
INNER = {4: ("10.1.0.5", "10.2.0.7"), 6: ("2001:db8:1::5", "2001:db8:2::7")}
GCM: EncryptionRow = encryption_by_name("ENCR_AES_GCM_16")[0]
SHA = integrity_by_name("AUTH_HMAC_SHA2_256_128")
ORIGIN = Origin("test", 1, "test")


def esp_keys(octet: int = 7) -> EspSa:
    return EspSa(encryption=GCM, encryption_key=Secret(bytes([octet]) * 20))


def ah_keys() -> AhSa:
    return AhSa(integrity=SHA, integrity_key=Secret(bytes([9]) * 32))


def record(sa: EspSa | AhSa, spi: int = SPI) -> SaKeys:
    if isinstance(sa, AhSa):
        named = NamedIntegrity(SHA.name, SHA)
        return SaKeys(
            origin=ORIGIN, protocol=SecurityProtocol.AH, spi=spi, integrity=named, integrity_key=sa.integrity_key
        )
    named_cipher = NamedEncryption(GCM.name, GCM, 128)
    return SaKeys(origin=ORIGIN, spi=spi, encryption=named_cipher, encryption_key=sa.encryption_key)


def outbound(
    sa: EspSa | AhSa, mode: SaMode, version: int = 4, *, encapsulated: bool = False, spi: int = SPI, pad_to: int = 0
) -> OutboundSa:
    port = 4500 if encapsulated else 0
    source, destination = (Endpoint(address, port) for address in OUTER[version])
    path = SaPath(source=source, destination=destination, mode=mode, encapsulated=encapsulated)
    return OutboundSa(spi, sa, path, Entropy.seeded("iv"), pad_to=pad_to)


def ping(ends: tuple[str, str], size: int = 56) -> bytes:
    return echo_packet(*ends, identifier=1, sequence=1, data=bytes(size))


def restored(tmp_path: Path, packets: list[bytes], *keys: SaKeys) -> list[Restored]:
    """What the analysis of a capture of these packets hands over."""
    path = tmp_path / "sealed.pcap"
    with PcapWriter(path, link_type=RAW, force=True) as out:
        for number, packet in enumerate(packets):
            out.write(START + number * 1_000_000, packet)
    found: list[Restored] = []
    analyze([str(path)], ring=KeyRing(keys), sink=lambda _datagram, _opened, each: found.append(each))
    return found


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("encapsulated", [False, True], ids=["ip", "udp"])
@pytest.mark.parametrize("inner", [4, 6])
def test_tunnel_gives_back_the_inner_packet(tmp_path: Path, version: int, encapsulated: bool, inner: int) -> None:
    packet = ping(INNER[inner])
    sealed = outbound(esp_keys(), SaMode.TUNNEL, version, encapsulated=encapsulated).seal(packet)
    assert restored(tmp_path, [sealed], record(esp_keys())) == [Restored((packet,), "tunnel")]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("encapsulated", [False, True], ids=["ip", "udp"])
def test_transport_gives_back_the_packet_of_the_host(tmp_path: Path, version: int, encapsulated: bool) -> None:
    packet = udp_packet((OUTER[version][0], 1000), (OUTER[version][1], 53), b"question", tos=8)
    sealed = outbound(esp_keys(), SaMode.TRANSPORT, version, encapsulated=encapsulated).seal(packet)
    assert restored(tmp_path, [sealed], record(esp_keys())) == [Restored((packet,), "transport")]


def test_transport_keeps_options_and_hop_by_hop_headers(tmp_path: Path) -> None:
    plain = Ipv4(
        protocol=IpProtocol.UDP,
        source=bytes((192, 0, 2, 1)),
        destination=bytes((198, 51, 100, 2)),
        options=b"\x94\x04\0\0",
        data=bytes(12),
    ).build()
    v6 = ip_packet(*OUTER[6], IpProtocol.HOPOPT, bytes((17, 0, 5, 2, 0, 0, 1, 0)) + bytes(12), checksums=False)
    sender = outbound(esp_keys(), SaMode.TRANSPORT)
    found = restored(tmp_path, [sender.seal(plain), sender.seal(v6)], record(esp_keys()))
    assert [each.packets for each in found] == [(plain,), (v6,)]


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("mode", [SaMode.TUNNEL, SaMode.TRANSPORT])
def test_ah_is_taken_out(tmp_path: Path, mode: SaMode, version: int) -> None:
    packet = ping(INNER[4] if mode is SaMode.TUNNEL else OUTER[version])
    sealed = outbound(ah_keys(), mode, version).seal(packet)
    assert restored(tmp_path, [sealed], record(ah_keys())) == [Restored((packet,), str(mode))]


def test_padding_of_traffic_flow_confidentiality_is_taken_off_and_dummies_are_said(tmp_path: Path) -> None:
    packet = ping(INNER[4])
    sender = outbound(esp_keys(), SaMode.TUNNEL, pad_to=900)
    found = restored(tmp_path, [sender.seal(packet), sender.seal_dummy()], record(esp_keys()))
    assert found == [Restored((packet,), "tunnel"), Restored(mode="dummy")]


def test_ah_around_esp_gives_the_innermost_packet(tmp_path: Path) -> None:
    packet = ping(INNER[4])
    around = outbound(ah_keys(), SaMode.TRANSPORT, spi=SPI + 1)
    sealed = around.seal(outbound(esp_keys(), SaMode.TUNNEL).seal(packet))
    found = restored(tmp_path, [sealed], record(ah_keys(), SPI + 1), record(esp_keys()))
    assert [each.is_sealed for each in found] == [True, False]
    assert found[1] == Restored((packet,), "tunnel")


@pytest.mark.parametrize("outer", [esp_keys(8), ah_keys()], ids=["ESP", "AH"])
@pytest.mark.parametrize("encapsulated", [False, True], ids=["ip", "udp"])
def test_tunnel_in_a_tunnel_gives_the_innermost_packet(tmp_path: Path, outer: EspSa | AhSa, encapsulated: bool) -> None:
    packet = ping(INNER[4])
    middle = outbound(esp_keys(), SaMode.TUNNEL, encapsulated=encapsulated).seal(packet)
    sealed = outbound(outer, SaMode.TUNNEL, 6, spi=SPI + 1).seal(middle)
    keys = record(outer, SPI + 1)
    assert restored(tmp_path, [sealed], keys, record(esp_keys())) == [Restored((packet,), "tunnel")]
    without = restored(tmp_path, [sealed], keys, record(esp_keys(99)))
    assert without == [Restored((middle,), "tunnel")], "what does not open inside is given as it is"


def test_ipcomp_is_inflated_and_what_is_no_deflate_is_said(tmp_path: Path) -> None:
    packet = ping(INNER[4], 400)
    deflate = zlib.compressobj(wbits=-15)
    good = IpComp(next_header=IpProtocol.IPV4, cpi=2, data=deflate.compress(packet) + deflate.flush()).build()
    bad = IpComp(next_header=IpProtocol.IPV4, cpi=2, data=b"\xff" * 40).build()
    sealed = [sealed_as(good, IpProtocol.IPCOMP, 1), sealed_as(bad, IpProtocol.IPCOMP, 2)]
    found = restored(tmp_path, sealed, record(esp_keys()))
    assert found[0] == Restored((packet,), "tunnel")
    assert found[1].packets[0][20:] == bad
    assert "not DEFLATE" in found[1].remark


def sealed_as(payload: bytes, protocol: int, number: int = 1) -> bytes:
    esp = seal_esp(esp_keys(), payload, protocol, spi=SPI, sequence_number=number, iv=number.to_bytes(8, "big"))
    return ipv4(esp, IpProtocol.ESP)


def test_aggfrag_gives_whole_packets_and_joins_those_cut_in_two(tmp_path: Path) -> None:
    one, two, three = (ping(INNER[4], size) for size in (20, 40, 60))
    stream = one + two + three
    cut = len(one) + 30
    first = AggfragPlain(block_offset=0, data_blocks=stream[:cut]).build()
    second = AggfragPlain(block_offset=len(two) - 30, data_blocks=stream[cut:] + bytes(25)).build()
    sealed = [sealed_as(first, IpProtocol.AGGFRAG, 1), sealed_as(second, IpProtocol.AGGFRAG, 2)]
    found = restored(tmp_path, sealed, record(esp_keys()))
    assert [each.packets for each in found] == [(one,), (two, three)]


# -- values without a capture -------------------------------------------------------------------------------------


def datagram_of(octets: bytes, **more: Any) -> Datagram:
    columns, _ = classify(records([frame(octets, link_type=RAW)]), Pipeline())
    values = {name: getattr(row_datagram(columns, 0), name) for name in Datagram.__struct_fields__}
    return Datagram(**(values | more))


def opened_as(payload: bytes, next_header: int) -> EspOpened:
    return EspOpened(
        spi=SPI,
        sequence_number=1,
        esn_high=None,
        payload=payload,
        next_header=next_header,
        tfc_padding=b"",
        padding=b"",
        iv=b"",
        icv_size=16,
        authenticated=True,
    )


def test_beet_gives_the_addresses_of_the_selectors() -> None:
    packet = ip_packet(*INNER[4], IpProtocol.UDP, bytes(12), identification=7, ttl=61, checksums=False)
    carrier = datagram_of(ip_packet(*OUTER[4], IpProtocol.ESP, bytes(40), identification=7, ttl=61, checksums=False))
    found = Restorer().restore(carrier, opened_as(bytes(12), IpProtocol.UDP), INNER[4])
    assert found == Restored((packet,), "beet")


@pytest.mark.parametrize("options", [b"\x94\x04\0\0", b"\x94\x04\0\0\x01\x01\x01\x01", bytes(12)])
def test_beet_header_gives_back_the_options(options: bytes) -> None:
    padding = 4 - (len(options) & 4)
    header = BeetHeader(
        next_header=IpProtocol.UDP,
        length=len(options) // 8,
        padding=padding,
        data=b"\x01" * padding + options + b"a payload...",
    ).build()
    assert (len(header) - 12) % 8 == 0
    carrier = datagram_of(ipv4(bytes(40), IpProtocol.ESP))
    found = Restorer().restore(carrier, opened_as(header, IpProtocol.BEETPH), INNER[4])
    pieces = split(found.packets[0])
    assert pieces is not None
    assert (pieces.source, pieces.destination) == INNER[4]
    assert (pieces.head[20:], pieces.protocol, pieces.payload) == (options, 17, b"a payload...")
    unknown = Restorer().restore(carrier, opened_as(header, IpProtocol.BEETPH))
    assert "not known" in unknown.remark


@pytest.mark.parametrize("content", [b"", b"\x11", b"\x11\x09\x00\x00" + bytes(8), b"\x11\x00\x03\x00" + bytes(20)])
def test_beet_header_that_lies_is_said(content: bytes) -> None:
    carrier = datagram_of(ipv4(bytes(40), IpProtocol.ESP))
    found = Restorer().restore(carrier, opened_as(content, IpProtocol.BEETPH), INNER[4])
    assert "does not fit" in found.remark


def test_packet_in_pieces_of_a_tcp_stream_gets_a_header_of_its_own() -> None:
    carrier = datagram_of(ipv4(bytes(40), IpProtocol.ESP), packet=b"", encapsulation=Encapsulation.TCP)
    assert carrier.kind is Kind.ESP
    found = Restorer().restore(carrier, opened_as(b"x" * 12, IpProtocol.UDP))
    pieces = split(found.packets[0])
    assert pieces is not None
    assert (pieces.source, pieces.destination, pieces.payload) == (carrier.src, carrier.dst, b"x" * 12)


def test_next_header_that_lies_is_said_and_the_octets_are_kept() -> None:
    carrier = datagram_of(ipv4(bytes(40), IpProtocol.ESP))
    found = Restorer().restore(carrier, opened_as(b"no packet", IpProtocol.IPV6))
    assert found.packets == (b"no packet",)
    assert "no such packet" in found.remark


@pytest.mark.parametrize("packet", [b"", b"\x45", b"\x4f" + bytes(30), b"\x60" + bytes(20), b"\x10" + bytes(60)])
def test_header_that_cannot_be_walked_gives_nothing(packet: bytes) -> None:
    assert with_payload(packet, b"x", 17) is None


@pytest.mark.parametrize(
    ("mode", "selectors", "expected"),
    [
        ("beet", (("10.1.0.5/32",), ("10.2.0.7/32[udp/53]",)), (("10.1.0.5", "10.2.0.7"), "beet")),
        ("tunnel", (("10.1.0.5/32",), ("10.2.0.7/32",)), (OUTER[4], "transport")),
        ("beet", (("10.1.0.0/24",), ("10.2.0.7/32",)), (OUTER[4], "transport")),
        ("beet", (None, None), (OUTER[4], "transport")),
    ],
    ids=["negotiated", "another mode", "a network", "unknown"],
)
@pytest.mark.parametrize("receiver", ["initiator", "responder"])
def test_beet_takes_its_addresses_from_the_negotiation(
    mode: str, selectors: tuple[Any, Any], expected: tuple[tuple[str, str], str], receiver: Role
) -> None:
    tracker = SaTracker(id="ike-1", version=2, spi_i=bytes(8), spi_r=bytes(8))
    child = Negotiated(
        protocol="ESP",
        initiated_by="initiator",
        spi_of={receiver: SPI.to_bytes(4, "big")},
        suite=Suite(),
        exchange=ExchangeTracker(ExchangeType.CREATE_CHILD_SA, 2, "initiator"),
        ni=b"",
        nr=b"",
        mode=mode,
        tsi=selectors[0],
        tsr=selectors[1],
    )
    found: list[Restored] = []
    ring = KeyRing([record(esp_keys())])
    opener = TrafficOpener(
        ring,
        [tracker],
        ChildRegister({"ike-1": [child]}),
        Ikev1Opener(ring),
        Ikev2Opener(ring),
        lambda _datagram, _opened, each: found.append(each),
    )
    assert opener.feed(datagram_of(sealed_as(bytes(4) + b"\0\x0c\0\0" + bytes(4), IpProtocol.UDP)))
    pieces = split(found[0].packets[0])
    assert pieces is not None
    ends = expected[0] if receiver == "responder" or expected[1] != "beet" else expected[0][::-1]
    assert ((pieces.source, pieces.destination), found[0].mode) == (ends, expected[1])
