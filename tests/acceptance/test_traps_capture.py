"""Traps below IKE: markers, fragments, TCP, mirrors, clocks and cut packets, each from a file to the report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from packets import ETHERNET, RAW, A, B, ah, ethernet, ipv4, tcp, vlan
from packets import esp as esp_packet
from packets import udp as udp_packet
from staged_captures import (
    IKE_SA,
    KE,
    MILLISECOND,
    TCP,
    UDP,
    Wire,
    codes,
    message,
    nonce,
    report,
    sealed,
    shape,
    tree,
)

from ipsecscope.capture.writer import PcapngWriter, PcapWriter
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.registry.ikev2 import CertificateEncoding

BIG_AUTH = message(
    sealed(1, size=1800), kind=35, mid=1
)  # an IKE_AUTH with certificates: longer than one packet of 1500 octets


def test_trap_t08_marker_esp_and_keepalive_on_port_4500_are_told_apart(tmp_path: Path) -> None:
    wire = Wire(ETHERNET)
    udps = (
        bytes(4) + message(IKE_SA, KE, nonce(1), spi_r=bytes(8)),
        esp_packet(seq=1),
        b"\xff",
        esp_packet(spi=0x00000100, seq=1),
    )
    for number, data in enumerate(udps, 1):
        wire.frame(ethernet(ipv4(udp_packet(data, 4500, 4500), UDP, identification=number), pad=60))
    found = report(wire.write(tmp_path / "a.pcap"))
    assert (found.capture.messages.ikev2, found.capture.packets.esp, found.capture.packets.nat_keepalive) == (1, 2, 1)
    assert found.capture.packets.unreadable == 0
    assert [flow.encapsulation for flow in found.flows] == ["udp", "udp"]


@pytest.mark.parametrize("spi", [0, 1, 255], ids=["zero", "one", "last-reserved"])
def test_trap_t09_reserved_spi_is_reported_and_nothing_raises(tmp_path: Path, spi: int) -> None:
    path = Wire().esp(esp_packet(spi=spi)).esp(esp_packet(spi=0x1000)).write(tmp_path / "a.pcap")
    found = report(path)
    assert found.capture.packets.esp == 2
    assert f"{spi:08x}" in {flow.spi for flow in found.flows}
    assert "reserved" in tree(path, 1)


def fragments(packet: bytes, protocol: int, sizes: tuple[int, ...]) -> list[bytes]:
    """IPv4 fragments of a packet's payload, each of so many octets (multiples of 8), the rest in the last one."""
    parts, at = [], 0
    for size in (*sizes, len(packet)):
        part = packet[at : at + size]
        more = at + len(part) < len(packet)
        parts.append(ipv4(part, protocol, flags=1 if more else 0, offset=at, identification=0x4242))
        at += len(part)
        if not more:
            break
    return parts


@pytest.mark.parametrize("lost", [0, 1, 2], ids=["first", "middle", "last"])
def test_trap_t16_missing_fragment_of_an_ike_message_is_named(tmp_path: Path, lost: int) -> None:
    wire = Wire().init()
    parts = fragments(udp_packet(BIG_AUTH), UDP, (800, 800))
    for number, part in enumerate(parts):
        if number != lost:
            wire.frame(part)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert found.capture.packets.fragments == 1
    assert found.capture.messages.ikev2 == 2
    (note,) = [each for file in found.capture.files for each in file.notes if each.kind == "ip.fragment-missing"]
    assert A in note.text
    assert B in note.text
    assert "0x4242" in note.text
    assert ("IKE SPIs" in note.text) == (lost != 0)
    assert [str(each.type) for each in found.ike_sas[0].exchanges] == ["IKE_SA_INIT"]


def test_trap_t16_fragments_in_any_order_make_the_message(tmp_path: Path) -> None:
    wire = Wire().init()
    for part in reversed(fragments(udp_packet(BIG_AUTH), UDP, (800, 800))):
        wire.frame(part)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert found.capture.packets.fragments == 0
    assert [each.type for each in found.ike_sas[0].exchanges] == ["IKE_SA_INIT", "IKE_AUTH"]
    assert found.ike_sas[0].exchanges[1].messages[0].octets == len(BIG_AUTH)


def framed(*bodies: bytes) -> bytes:
    """RFC 9329 section 3: each message behind 16 bits of length, which count themselves."""
    return b"".join((len(body) + 2).to_bytes(2, "big") + body for body in bodies)


def tcp_stream(number: int) -> bytes:
    """A conversation of its own: an IKE message, an ESP packet and a keepalive behind the prefix."""
    init = message(IKE_SA, KE, nonce(1), spi_i=number.to_bytes(8, "big"), spi_r=bytes(8))
    return b"IKETCP" + framed(bytes(4) + init, esp_packet(spi=0x1000 + number, size=40), b"\xff")


def test_trap_t17_ike_in_tcp_is_read_however_it_is_segmented(tmp_path: Path) -> None:
    """The stream in two segments, cut behind every octet: IKETCP once, the length counts itself, the keepalive is one."""
    wire = Wire()
    cuts = len(tcp_stream(1)) - 1
    for cut in range(1, cuts + 1):
        data, port = tcp_stream(cut), 20000 + cut
        wire.packet(tcp(b"", port, seq=999, flags=0x02), TCP)
        wire.packet(tcp(data[:cut], port, seq=1000), TCP)
        wire.packet(tcp(data[cut:], port, seq=1000 + cut), TCP)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert (len(found.ike_sas), len(found.flows)) == (cuts, cuts)
    counted = (found.capture.messages.ikev2, found.capture.packets.esp, found.capture.packets.nat_keepalive)
    assert counted == (cuts, cuts, cuts)
    assert found.capture.packets.unreadable == 0
    assert [note.kind for file in found.capture.files for note in file.notes] == []
    assert {flow.encapsulation for flow in found.flows} == {"tcp"}


def test_trap_t26_same_spi_to_two_destinations_is_two_flows_without_duplicates(tmp_path: Path) -> None:
    wire = Wire()
    for seq in range(1, 6):
        wire.esp(esp_packet(seq=seq))
        wire.esp(esp_packet(seq=seq), dst="203.0.113.7")
    found = report(wire.write(tmp_path / "a.pcap"))
    assert {(flow.dst, flow.packets) for flow in found.flows} == {(B, 5), ("203.0.113.7", 5)}
    assert {flow.sequence.duplicates for flow in found.flows} == {0}
    assert not {"ESP-002", "CAP-005"} & codes(found).keys()


def test_trap_t45_packets_cut_by_the_capture_are_partial_and_not_malformed(tmp_path: Path) -> None:
    """A snap length of 96: the message is read as far as it goes, and the capture is named as the cause."""
    path = tmp_path / "a.pcap"
    full = Wire().handshake()
    with PcapWriter(path, link_type=RAW, snaplen=96) as out:
        for time_ns, data in full.frames:
            out.write(time_ns, data[:96], original_length=len(data))
    found = report(path)
    (sa,) = found.ike_sas
    assert [each.type for each in sa.exchanges] == ["IKE_SA_INIT", "IKE_AUTH"]
    kinds = {note.kind for note in found.notes}
    assert "capture.truncated" in kinds
    assert not {"payload.malformed", "chain.overrun", "header.length"} & kinds
    assert [each.messages[0].octets for each in sa.exchanges] == [
        len(message(IKE_SA, KE, nonce(1), spi_r=bytes(8))),
        len(message(sealed(1), kind=35, mid=1)),
    ]


def test_trap_t46_vlan_tagged_copies_of_a_mirror_port_count_once(tmp_path: Path) -> None:
    plain, mirrored = Wire(ETHERNET), Wire(ETHERNET)
    source = Wire().handshake().esp(esp_packet(seq=1)).esp(esp_packet(seq=2)).packet(ah(), 51)
    for _, data in source.frames:
        plain.frame(ethernet(data))
        mirrored.frame(ethernet(data)).frame(ethernet(vlan(data), 0x8100), after_ns=20_000)
    alone, twice = report(plain.write(tmp_path / "a.pcap")), report(mirrored.write(tmp_path / "b.pcap"))
    assert twice.capture.messages == alone.capture.messages
    assert twice.capture.packets == alone.capture.packets
    assert [len(sa.exchanges) for sa in twice.ike_sas] == [len(sa.exchanges) for sa in alone.ike_sas]
    assert {each.retransmissions for sa in twice.ike_sas for each in sa.exchanges} == {0}
    assert [(flow.packets, flow.sequence.duplicates) for flow in twice.flows] == [(2, 0), (1, 0)]


def write_pcap(order: str, *, nanoseconds: bool) -> Callable[[Wire, Path], None]:
    def write(wire: Wire, path: Path) -> None:
        with PcapWriter(path, link_type=RAW, nanoseconds=nanoseconds, byte_order=order) as out:
            for time_ns, data in wire.frames:
                out.write(time_ns, data)

    return write


def write_pcapng(order: str, interfaces: int) -> Callable[[Wire, Path], None]:
    """The frames in turn on several interfaces, every second one of them Ethernet."""

    def write(wire: Wire, path: Path) -> None:
        with PcapngWriter(path, byte_order=order) as out:
            kinds = [RAW if number % 2 == 0 else ETHERNET for number in range(interfaces)]
            numbers = [out.interface(kind) for kind in kinds]
            for position, (time_ns, data) in enumerate(wire.frames):
                number = position % interfaces
                out.write(time_ns, data if kinds[number] == RAW else ethernet(data), interface=numbers[number])

    return write


FORMS = {
    "pcap-us-little": write_pcap("little", nanoseconds=False),
    "pcap-us-big": write_pcap("big", nanoseconds=False),
    "pcap-ns-little": write_pcap("little", nanoseconds=True),
    "pcap-ns-big": write_pcap("big", nanoseconds=True),
    "pcapng-little": write_pcapng("little", 1),
    "pcapng-big": write_pcapng("big", 1),
    "pcapng-interfaces": write_pcapng("little", 3),
}


def with_nanoseconds(value: object) -> object:
    """The same report with every time written to the nanosecond."""
    if isinstance(value, dict):
        return {name: with_nanoseconds(each) for name, each in value.items()}
    if isinstance(value, list):
        return [with_nanoseconds(each) for each in value]
    if isinstance(value, str) and value.endswith("Z") and value[4:5] == "-" and "." in value:
        head, _, fraction = value.rstrip("Z").partition(".")
        return f"{head}.{fraction:0<9}Z"
    return value


@pytest.mark.parametrize("form", FORMS)
def test_trap_t47_every_clock_byte_order_and_interface_gives_the_same_report(tmp_path: Path, form: str) -> None:
    wire = Wire().handshake()
    for seq in range(1, 4):
        wire.esp(esp_packet(seq=seq), after_ns=5 * MILLISECOND)
    path = tmp_path / "a.cap"
    FORMS[form](wire, path)
    expected = with_nanoseconds(shape(report(wire.write(tmp_path / "reference.pcap"))))
    assert with_nanoseconds(shape(report(path))) == expected


def test_trap_t32_raw_public_key_in_the_clear_is_not_read_as_a_certificate(tmp_path: Path) -> None:
    """An unencrypted IKE_AUTH is against the rules, but a dissector must not stumble over what is in it."""
    encodings = (CertificateEncoding.RAW_PUBLIC_KEY, CertificateEncoding.OCSP_CONTENT)
    bodies = tuple(ikev2.Certificate(encoding=each, data=b"\x30\x03\x02\x01\x05") for each in encodings)
    path = Wire().udp(message(*bodies, nonce(1), kind=35, mid=1)).write(tmp_path / "a.pcap")
    text = tree(path)
    assert "RAW_PUBLIC_KEY" in text
    assert "X509" not in text
    assert nonce(1).data[:8].hex() in text
    assert "internal.dissector-bug" not in {note.kind for note in report(path).notes}
