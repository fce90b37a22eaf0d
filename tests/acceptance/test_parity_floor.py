"""The parity floor: what the usual tools can do has to work here too, each row from a file to what a user sees."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from packets import (
    ETHERNET,
    RAW,
    A,
    ah,
    esp,
    ethernet,
    fragment6,
    gre,
    ike,
    ipv4,
    ipv6,
    tcp,
    udp,
    vlan,
)
from staged_captures import (
    ESP,
    IKE_SA,
    KE,
    SPI_I,
    SPI_R,
    TCP,
    UDP,
    Wire,
    message,
    nonce,
    notify,
    report,
    tree,
    v1,
)

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.writer import PcapngWriter
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keys import IkeV1Keys, IkeV2Keys, KeyRecord
from ipsecscope.dissect import ikev1, ikev2
from ipsecscope.dissect.registry import ipsec_doi, isakmp
from ipsecscope.dissect.registry.ikev2 import (
    ExchangeType,
    NotifyType,
    SecurityProtocol,
    TransformAttributeType,
)
from ipsecscope.timeline.analysis import analyze

# fmt: off
FLOOR = [
    "A1", "A2", "A3", "A4", "A5", "A6", "A7", "A11", "A12", "A17",
    "B1", "B2", "B4", "B5", "B6", "B7", "B11", "B12", "B15", "B19",
    "C1", "C2", "C3", "C5", "C20", "C23", "C25", "C35", "C37",
    "D1", "D2", "D3", "D8", "D16", "E1", "E5", "H1", "H7",
]
# fmt: on
Row = Callable[[Path, Path], None]
ROWS: dict[str, tuple[str, Row]] = {}
LAB = "captures/lab"


def row(name: str, title: str) -> Callable[[Row], Row]:
    def add(function: Row) -> Row:
        ROWS[name] = (title, function)
        return function

    return add


def run(*arguments: str | Path, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "ipsecscope", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=60)


def text_of(tmp_path: Path, *messages: bytes) -> str:
    """What ``dissect`` says of these IKE messages."""
    wire = Wire()
    for data in messages:
        wire.udp(data)
    path = wire.write(tmp_path / "dissected.pcap")
    assert "internal.dissector-bug" not in {note.kind for note in report(path).notes}
    return tree(path)


def kept(path: Path, kind: type[KeyRecord]) -> list[KeyRecord]:
    return [each for each in read_keys(path).records if isinstance(each, kind)]


# -- files and layers ------------------------------------------------------------------------------------------------


@row("A1", "pcap files")
def pcap(tmp_path: Path, shared: Path) -> None:
    assert report(Wire().handshake().write(tmp_path / "a.pcap")).capture.files[0].format == "pcap"
    assert report(shared / LAB / "capture-formats/capture-nano.pcap").capture.messages.ikev2 == 6


@row("A2", "pcapng files, names and comments in them")
def pcapng(tmp_path: Path, shared: Path) -> None:
    path = tmp_path / "a.pcapng"
    with PcapngWriter(path) as out:
        out.names({A: ["gateway.example"]})
        out.interface(RAW)
        for time_ns, data in Wire().handshake().frames:
            out.write(time_ns, data, comment="seen at the gateway")
    analysis = analyze([str(path)])
    assert analysis.files[0].names == {A: ("gateway.example",)}
    assert analysis.counts.ikev2 == 4
    assert tree(path).count("comment: seen at the gateway") == 4
    assert report(shared / LAB / "capture-formats/capture.pcapng").capture.messages.ikev2 == 6


@row("A3", "compressed files")
def compressed(tmp_path: Path, shared: Path) -> None:
    path = Wire().handshake().write(tmp_path / "a.pcap")
    packed = tmp_path / "a.pcap.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert report(packed).capture.messages.ikev2 == 4
    assert report(shared / "captures/public/captures/wireshark__esp-bug-12671.pcapng.gz").capture.packets.esp


@row("A4", "link layers: Ethernet, VLAN, QinQ, SLL, SLL2, raw IP, NULL, PPP")
def link_layers(tmp_path: Path, shared: Path) -> None:
    packet = ipv4(esp(), ESP)
    frames = {
        "ethernet": (ETHERNET, ethernet(packet)),
        "vlan": (ETHERNET, ethernet(vlan(packet), 0x8100)),
        "qinq": (ETHERNET, ethernet(vlan(vlan(packet, 7), 100, 0x8100), 0x88A8)),
        "sll": (113, bytes(14) + b"\x08\x00" + packet),
        "sll2": (276, b"\x08\x00" + bytes(18) + packet),
        "raw": (RAW, packet),
        "raw6": (RAW, ipv6(esp(), ESP)),
        "null": (0, b"\x02\0\0\0" + packet),
        "ppp": (9, b"\x00\x21" + packet),
    }
    for name, (link_type, data) in frames.items():
        path = Wire(link_type).frame(data).write(tmp_path / f"{name}.pcap")
        assert report(path).capture.packets.esp == 1, name
    folder = shared / LAB / "capture-formats"
    counts = {report(each).capture.packets.esp for each in folder.glob("capture*.pcap*") if "snap" not in each.name}
    assert counts == {report(folder / "capture.pcap").capture.packets.esp}


@row("A5", "IKE and ESP inside GRE, VXLAN, GTP-U, MPLS, IP-in-IP, PPPoE")
def tunnels(tmp_path: Path, shared: Path) -> None:
    del shared
    packet = ipv4(esp(), ESP)
    frames = {
        "gre": ethernet(ipv4(gre(packet), 47)),
        "vxlan": ethernet(ipv4(udp(b"\x08" + bytes(7) + ethernet(packet), 50000, 4789), UDP)),
        "gtp": ethernet(ipv4(udp(b"\x30\xff" + len(packet).to_bytes(2, "big") + bytes(4) + packet, 50000, 2152), UDP)),
        "mpls": ethernet(b"\x00\x01\x11\x40" + packet, 0x8847),
        "4in4": ethernet(ipv4(packet, 4)),
        "4in6": ethernet(ipv6(packet, 4), 0x86DD),
        "pppoe": ethernet(b"\x11\0\0\x01\0\0\x00\x21" + packet, 0x8864),
    }
    for name, data in frames.items():
        path = Wire(ETHERNET).frame(data).write(tmp_path / f"{name}.pcap")
        assert report(path).capture.packets.esp == 1, name


@row("A6", "IKE on UDP port 500")
def port_500(tmp_path: Path, shared: Path) -> None:
    del shared
    (sa,) = report(Wire().handshake().write(tmp_path / "a.pcap")).ike_sas
    assert (sa.initiator.port, len(sa.exchanges)) == (500, 2)


@row("A7", "UDP port 4500: non-ESP marker, ESP, keepalive")
def port_4500(tmp_path: Path, shared: Path) -> None:
    wire = Wire().udp(message(IKE_SA, KE, nonce(1), spi_r=bytes(8)), port=4500)
    wire.packet(udp(esp(), 4500, 4500), UDP).packet(udp(b"\xff", 4500, 4500), UDP)
    found = report(wire.write(tmp_path / "a.pcap")).capture
    assert (found.messages.ikev2, found.packets.esp, found.packets.nat_keepalive) == (1, 1, 1)
    real = report(shared / LAB / "xfrm-ikev2-nat-t/capture.pcap").capture
    assert (real.messages.ikev2, real.packets.esp) == (6, 8)
    assert real.packets.nat_keepalive == 27 - 6 - 8


CTCP_TRAILER = bytes(4) + b"\x12\x34\x40\x00" + b"magic" + b"\x32" + b"zz"


@row("A11", "Cisco's IPsec in TCP on port 10000")
def cisco_tcp(tmp_path: Path, shared: Path) -> None:
    del shared
    wire = Wire().packet(tcp(udp(ike()) + CTCP_TRAILER[:13] + b"\x11zz", 40000, 10000), TCP)
    for seq in (1, 2):
        wire.packet(tcp(esp(seq=seq) + CTCP_TRAILER, 40000, 10000), TCP)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert (found.capture.messages.ikev2, found.capture.packets.esp, found.capture.packets.other) == (1, 2, 0)
    assert found.flows[0].encapsulation == "tcp"


@row("A12", "IP fragments of both versions, in any order")
def fragments(tmp_path: Path, shared: Path) -> None:
    data = message(IKE_SA, KE, nonce(1), ikev2.VendorId(data=bytes(1400)), spi_r=bytes(8))
    whole, wire = udp(data), Wire()
    parts4 = [
        ipv4(whole[at : at + 512], UDP, flags=int(at + 512 < len(whole)), offset=at, identification=9)
        for at in range(0, len(whole), 512)
    ]
    parts6 = [
        ipv6(fragment6(UDP, whole[at : at + 512], at, more=at + 512 < len(whole)), 44)
        for at in range(0, len(whole), 512)
    ]
    for part in (*reversed(parts4), *parts6[1:], parts6[0]):
        wire.frame(part)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert (found.capture.messages.ikev2, found.capture.packets.fragments) == (2, 0)
    real = report(shared / LAB / "ikev2-ipfrag-no-ike-frag/capture.pcap").capture
    assert (real.messages.ikev2, real.packets.fragments) == (6, 0)


@row("A17", "a stream on standard input")
def stream(tmp_path: Path, shared: Path) -> None:
    del shared
    data = Wire().handshake().write(tmp_path / "a.pcap").read_bytes()
    done = run("analyze", "-", "-f", "json", stdin=data)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["capture"]["messages"]["ikev2"] == 4


# -- IKEv1 -------------------------------------------------------------------------------------------------------------


@row("B1", "ISAKMP header: cookies, flags, message id")
def isakmp_header(tmp_path: Path, shared: Path) -> None:
    del shared
    text = text_of(tmp_path, v1(isakmp.ExchangeType.QUICK_MODE, mid=0x01020304, ciphertext=bytes(64), flags=7))
    for expected in (SPI_I.hex(), SPI_R.hex(), "ENCRYPTION|COMMIT|AUTHENTICATION_ONLY", "QUICK_MODE (32)", "16909060"):
        assert expected in text


@row("B2", "all ISAKMP exchange types")
def isakmp_exchanges(tmp_path: Path, shared: Path) -> None:
    del shared
    for number in (1, 2, 3, 4, 5, 6, 32, 33):
        kind = isakmp.ExchangeType(number)
        assert kind.is_known
        assert f"{kind} ({number})" in text_of(tmp_path, v1(kind, ikev1.Hash(data=bytes(20)), mid=number))


SITUATION = "00000001 00000006 00000007 0001 0000 aa000000 0000 0000 0001 0000 bb000000 0000 0000"
BUNDLE = (
    "0200001c 01020401 11111111 00000010 01030000 80050002 80040001"
    "0200001c 01030401 22222222 00000010 010c0000 80060080 80040001"
    "00000018 02030401 33333333 0000000c 01030000 80040002"
)


@row("B4", "SA: DOI, situation with labels, proposals, bundles of AH and ESP")
def isakmp_sa(tmp_path: Path, shared: Path) -> None:
    del shared
    body = ikev1.SecurityAssociation.parse(bytes.fromhex(SITUATION + BUNDLE))
    text = text_of(tmp_path, v1(isakmp.ExchangeType.QUICK_MODE, body, mid=1))
    for expected in ("IPSEC (1)", "SIT_SECRECY|SIT_INTEGRITY", "secrecy_level", "PROTO_IPSEC_AH", "PROTO_IPSEC_ESP"):
        assert expected in text
    assert all(spi * 4 in text for spi in ("11", "22", "33"))
    for expected in ("AH_SHA", "HMAC_SHA", "ESP_AES_CBC", "TUNNEL", "TRANSPORT", "ESP_3DES"):
        assert expected in text


def transforms_text(tmp_path: Path, protocol: int, attributes: list[tuple[int, int]]) -> str:
    """The tree of a proposal whose one transform has these attributes, each in the short form."""
    octets = b"".join((0x8000 | kind).to_bytes(2, "big") + value.to_bytes(2, "big") for kind, value in attributes)
    transform = bytes((0, 0)) + (8 + len(octets)).to_bytes(2, "big") + bytes((1, 1, 0, 0)) + octets
    proposal = bytes((0, 0)) + (8 + len(transform)).to_bytes(2, "big") + bytes((1, protocol, 0, 1)) + transform
    body = ikev1.SecurityAssociation.parse(bytes.fromhex("0000000100000001") + proposal)
    return text_of(tmp_path, v1(isakmp.ExchangeType.IDENTITY_PROTECTION, body, spi_r=bytes(8)))


@row("B5", "phase 1 attributes 1 to 17 and 20")
def phase_1_attributes(tmp_path: Path, shared: Path) -> None:
    del shared
    numbers = (*range(1, 18), 20)
    text = transforms_text(tmp_path, 1, [(number, 1) for number in numbers])
    for number in numbers:
        name = isakmp.PhaseOneAttribute(number)
        assert name.is_known
        assert f"{name} ({number})" in text


@row("B6", "phase 2 attributes 1 to 15")
def phase_2_attributes(tmp_path: Path, shared: Path) -> None:
    del shared
    text = transforms_text(tmp_path, 3, [(number, 1) for number in range(1, 16)])
    for number in range(1, 16):
        name = ipsec_doi.PhaseTwoAttribute(number)
        assert name.is_known
        assert f"{name} ({number})" in text


@row("B7", "authentication methods: signatures, encryption, hybrid, XAUTH")
def authentication_methods(tmp_path: Path, shared: Path) -> None:
    del shared
    numbers = (*range(1, 12), *range(64221, 64225), *range(65001, 65011))
    text = transforms_text(tmp_path, 1, [(3, number) for number in numbers])
    for number in numbers:
        name = isakmp.AuthenticationMethod(number)
        assert name.is_known
        assert f"AUTHENTICATION_METHOD={name}" in text


IDS = {
    1: ("c0000201", "192.0.2.1"),
    2: (b"moon.example".hex(), "moon.example"),
    3: (b"a@moon.example".hex(), "a@moon.example"),
    4: ("0a010000ffff0000", "10.1.0.0/16"),
    5: ("20010db8" + "00" * 11 + "01", "2001:db8::1"),
    6: ("20010db8" + "00" * 12 + "ff" * 4 + "00" * 12, "2001:db8::/32"),
    7: ("0a0000010a000009", "10.0.0.1-10.0.0.9"),
    8: ("20010db8" + "00" * 11 + "01" + "20010db8" + "00" * 11 + "09", "2001:db8::1-2001:db8::9"),
    9: ("300d310b3009060355040313026d65", "CN=me"),
    11: (b"key 7".hex(), "ID_KEY_ID"),
}


@row("B11", "identification types, protocol and port")
def identities(tmp_path: Path, shared: Path) -> None:
    del shared
    for number, (octets, shown) in IDS.items():
        kind = ipsec_doi.IdType(number)
        body = ikev1.Identification.parse(bytes((number, 17, 0x01, 0xF4)) + bytes.fromhex(octets))
        text = text_of(tmp_path, v1(isakmp.ExchangeType.AGGRESSIVE, body))
        assert kind.is_known
        assert str(kind) in text
        assert shown in text, (number, text)
        assert "UDP" in text
        assert "500" in text


@row("B12", "CERT and CERTREQ with X.509")
def certificates(tmp_path: Path, shared: Path) -> None:
    del tmp_path
    public = shared / "captures/public"
    path = public / "captures/zeek__ikev1-certs.pcap"
    analysis = report(path, public / "keys.json")
    assert analysis.ike_sas[0].exchanges[0].payloads.request.count("CERT") == 1
    assert any("CN=OpenSwan" in each.summary for each in analysis.findings)
    assert "CERTREQ" in analysis.ike_sas[0].exchanges[0].payloads.response
    assert "CR [" in tree(path, 4) or "CERTREQ [" in tree(path, 4)


@row("B15", "Delete with several SPIs")
def isakmp_delete(tmp_path: Path, shared: Path) -> None:
    del shared
    spis = tuple(bytes([octet]) * 4 for octet in (0x11, 0x22, 0x33))
    body = ikev1.Delete(protocol_id=ipsec_doi.ProtocolId.PROTO_IPSEC_ESP, spi_size=4, spis=spis)
    text = text_of(tmp_path, v1(isakmp.ExchangeType.INFORMATIONAL, body, mid=5))
    assert "PROTO_IPSEC_ESP" in text
    assert all(spi.hex() in text for spi in spis)


@row("B19", "NAT-T payloads of RFC 3947")
def nat_t_payloads(tmp_path: Path, shared: Path) -> None:
    text = text_of(tmp_path, v1(isakmp.ExchangeType.IDENTITY_PROTECTION, ikev1.NatDetection(data=bytes(range(20)))))
    assert "NAT-D" in text
    (sa,) = report(shared / LAB / "ikev1-nat-t/capture.pcap").ike_sas
    assert sa.nat_t
    assert sa.nat.initiator is True


# -- IKEv2 -------------------------------------------------------------------------------------------------------------


@row("C1", "IKEv2 header, flags I, V and R, message id, critical bit")
def ikev2_header(tmp_path: Path, shared: Path) -> None:
    del shared
    data = bytearray(message(nonce(1), kind=37, mid=7, flags=0x38))
    data[29] |= 0x80
    text = text_of(tmp_path, bytes(data))
    for expected in (SPI_I.hex(), SPI_R.hex(), "2.0", "INITIATOR", "VERSION", "RESPONSE", "message_id [20:24] 7"):
        assert expected in text
    assert "flags [29:30] 128" in text


def names_exchanges(tmp_path: Path, numbers: range | tuple[int, ...]) -> None:
    for number in numbers:
        kind = ExchangeType(number)
        assert kind.is_known
        assert f"{kind} ({number})" in text_of(tmp_path, message(nonce(1), kind=number, mid=1))


@row("C2", "exchanges 34 to 37")
def exchanges(tmp_path: Path, shared: Path) -> None:
    del shared
    names_exchanges(tmp_path, range(34, 38))


@row("C3", "exchanges 38, 43 and 44")
def later_exchanges(tmp_path: Path, shared: Path) -> None:
    del shared
    names_exchanges(tmp_path, (38, 43, 44))


@row("C5", "SA with SPIs, transforms and attributes")
def ikev2_sa(tmp_path: Path, shared: Path) -> None:
    del shared
    proposal = IKE_SA.proposals[0]
    esp_offer = msgspec.structs.replace(proposal, number=2, protocol_id=SecurityProtocol.ESP, spi=b"\xc0\xff\xee\x01")
    body = msgspec.structs.replace(IKE_SA, proposals=(proposal, esp_offer))
    text = text_of(tmp_path, message(body, kind=36, mid=2))
    for expected in ("ENCR_AES_CBC", "256", "PRF_HMAC_SHA2_256", "AUTH_HMAC_SHA2_256_128", "CURVE25519", "c0ffee01"):
        assert expected in text
    assert f"{TransformAttributeType(14)} (14)" in text
    assert TransformAttributeType(18).is_known


@row("C20", "Delete of IKE, AH and ESP SAs")
def ikev2_delete(tmp_path: Path, shared: Path) -> None:
    del shared
    for protocol, spis in ((1, ()), (2, (b"\x11" * 4,)), (3, (b"\x22" * 4, b"\x33" * 4))):
        kind = SecurityProtocol(protocol)
        body = ikev2.Delete(protocol_id=kind, spi_size=4 if spis else 0, spis=spis)
        text = text_of(tmp_path, message(body, kind=37, mid=2))
        assert str(kind) in text
        assert all(spi.hex() in text for spi in spis)


@row("C23", "EAP inside IKE")
def eap(tmp_path: Path, shared: Path) -> None:
    body = ikev2.Eap.parse(bytes.fromhex("01070015 01") + b"who are you then")
    text = text_of(tmp_path, message(body, kind=35, mid=2))
    assert "REQUEST" in text.upper()
    assert "IDENTITY" in text.upper()
    folder = shared / LAB / "ikev2-eap-mschapv2"
    (sa,) = report(folder / "capture.pcap", folder / "keys.json").ike_sas
    assert sum("EAP" in each.payloads.response for each in sa.exchanges) >= 3
    assert sa.auth.initiator == "EAP"


@row("C25", "SK opened and its integrity checked")
def sk(tmp_path: Path, shared: Path) -> None:
    folder = shared / LAB / "xfrm-ikev2-psk-aes128-sha256-modp2048"
    found = report(folder / "capture.pcap", folder / "keys.json")
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (4, 4)
    frames = list(open_capture(folder / "capture.pcap").frames())
    damaged = Wire(frames[0].link_type)
    for each in frames:
        damaged.frame(each.data[:-1] + bytes([each.data[-1] ^ 1]))
    found = report(damaged.write(tmp_path / "a.pcap"), folder / "keys.json")
    assert found.keys is not None
    assert found.keys.ike_opened == 0


@row("C35", "REDIRECT data")
def redirect(tmp_path: Path, shared: Path) -> None:
    del shared
    data = b"\x01\x04" + bytes((198, 51, 100, 7)) + bytes(16)
    init = message(notify(NotifyType.REDIRECT, data), flags=0x20)
    name = message(notify(NotifyType.REDIRECTED_FROM, b"\x03\x0agw.example"), IKE_SA, KE, nonce(1), spi_r=bytes(8))
    text = text_of(tmp_path, init, name)
    assert "198.51.100.7" in text
    assert "gw.example" in text


@row("C37", "message id and replay counter synchronisation, quick crash detection")
def synchronisation(tmp_path: Path, shared: Path) -> None:
    del shared
    bodies = (
        notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, b"noncE"[:4] + (7).to_bytes(4, "big") + (3).to_bytes(4, "big")),
        notify(NotifyType.IPSEC_REPLAY_COUNTER_SYNC, (4711).to_bytes(4, "big")),
        notify(NotifyType.QUICK_CRASH_DETECTION, bytes(32)),
    )
    text = text_of(tmp_path, message(*bodies, kind=37, mid=0))
    for expected in ("send 7 receive 3", "delta 4711", "token of 32 octets"):
        assert expected in text


# -- ESP, AH, keys, output ---------------------------------------------------------------------------------------------


@row("D1", "ESP: SPI and sequence number")
def esp_header(tmp_path: Path, shared: Path) -> None:
    del shared
    path = Wire().esp(esp(seq=7)).write(tmp_path / "a.pcap")
    (flow,) = report(path).flows
    assert (flow.spi, flow.sequence.first) == ("c0ffee01", 7)
    assert "sequence [4:8] 7" in tree(path)


@row("D2", "ESP in UDP and in TCP")
def esp_encapsulated(tmp_path: Path, shared: Path) -> None:
    del shared
    wire = Wire().packet(udp(esp(), 4500, 4500), UDP)
    wire.packet(tcp(b"IKETCP" + (66).to_bytes(2, "big") + esp(spi=0xC0FFEE02), seq=1), TCP)
    assert {flow.encapsulation for flow in report(wire.write(tmp_path / "a.pcap")).flows} == {"udp", "tcp"}


@row("D3", "extended sequence numbers given by the key source")
def esn(tmp_path: Path, shared: Path) -> None:
    del tmp_path
    for scenario in ("xfrm-manual-esp-esn-high5", "xfrm-manual-esp-esn-cbc"):
        folder = shared / LAB / scenario
        found = report(folder / "capture.pcap", folder / "keys.json")
        assert found.keys is not None
        assert (found.keys.packets_opened, found.keys.packets_refused) == (6, 0)


@row("D8", "AH header and its next header")
def ah_header(tmp_path: Path, shared: Path) -> None:
    del shared
    path = Wire().packet(ah(tcp(b"x"), following=TCP, seq=3), 51).write(tmp_path / "a.pcap")
    (flow,) = report(path).flows
    assert (flow.protocol, flow.spi, flow.sequence.first) == ("AH", "a0000001", 3)
    text = tree(path)
    assert "TCP (6)" in text
    assert "icv [12:24]" in text


@row("D16", "ESP inside AH, in transport and in tunnel mode")
def nested(tmp_path: Path, shared: Path) -> None:
    inner = ipv4(esp(spi=0xC0FFEE05), ESP, "10.0.0.1", "10.0.0.2")
    wire = Wire().packet(ah(esp(), following=ESP), 51).packet(ah(inner, following=4), 51)
    found = report(wire.write(tmp_path / "a.pcap"))
    assert {(flow.protocol, flow.spi) for flow in found.flows} >= {("AH", "a0000001"), ("ESP", "c0ffee01")}
    for scenario in ("xfrm-manual-ah-esp-tunnel", "xfrm-manual-ah-esp-transport-v6"):
        folder = shared / LAB / scenario
        found = report(folder / "capture.pcap", folder / "keys.json")
        assert found.keys is not None
        assert (found.keys.packets_opened, found.keys.packets_refused) == (12, 0)


@row("E1", "IKEv1 opened with the final key")
def ikev1_key(tmp_path: Path, shared: Path) -> None:
    del tmp_path
    folder = shared / LAB / "ikev1-main-psk"
    bare = [
        IkeV1Keys(origin=each.origin, cookie_i=each.cookie_i, ka=each.ka)
        for each in kept(folder / "ikev1_decryption_table", IkeV1Keys)
        if isinstance(each, IkeV1Keys)
    ]
    found = report(folder / "capture.pcap", records=bare)
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (7, 7)


@row("E5", "IKEv2 opened with SK_e and SK_a")
def ikev2_keys(tmp_path: Path, shared: Path) -> None:
    del tmp_path
    folder = shared / LAB / "xfrm-ikev2-psk-aes128-sha256-modp2048"
    bare = kept(folder / "ikev2_decryption_table", IkeV2Keys)
    assert all(isinstance(each, IkeV2Keys) and each.sk_d is None and each.skeyseed is None for each in bare)
    found = report(folder / "capture.pcap", records=bare)
    assert found.keys is not None
    assert (found.keys.ike_opened, found.keys.ike_encrypted) == (4, 4)


@row("H1", "JSON without duplicate keys")
def json_output(tmp_path: Path, shared: Path) -> None:
    del tmp_path

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    for form in ("json", "jsonl"):
        done = run("analyze", shared / LAB / "ikev2-many-proposals/capture.pcap", "-f", form)
        lines = [done.stdout] if form == "json" else done.stdout.splitlines()
        assert all(json.loads(line, object_pairs_hook=unique) for line in lines)


@row("H7", "machine rules: findings chosen, exit codes")
def machine_rules(tmp_path: Path, shared: Path) -> None:
    del tmp_path
    path = shared / LAB / "ikev1-aggressive-psk/capture.pcap"
    assert run("analyze", path).returncode == 0
    assert run("analyze", path, "--fail-on", "critical", "--ignore", "SEC").returncode == 0
    assert run("analyze", path, "--fail-on", "low").returncode == 1
    chosen = json.loads(run("analyze", path, "-f", "json", "--select", "SEC").stdout)["findings"]
    assert chosen
    assert {each["code"][:3] for each in chosen} == {"SEC"}


@pytest.mark.shared
@pytest.mark.parametrize("name", FLOOR)
def test_parity_floor_row_holds(name: str, tmp_path: Path, shared: Path) -> None:
    """Prints the row of the comparison table when it holds."""
    title, check = ROWS[name]
    check(tmp_path, shared)
    print(f"\n{name:<4} {title} → held")


def test_parity_floor_has_every_row() -> None:
    assert list(ROWS) == FLOOR
