"""IPsec in TCP as Cisco's VPN 3000 has it: one packet and a trailer per segment."""

from __future__ import annotations

import pytest
from packets import A, B, esp, frame, ike, ipv4, tcp, udp

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.layers import Decoder

FOR_ESP = bytes(4) + b"\x12\x34\x40\x00" + b"magic" + b"\x32" + b"zz"
FOR_IKE = FOR_ESP[:13] + b"\x11" + FOR_ESP[14:]


def decoded(data: bytes, port: int = 10000, original: int | None = None) -> list[Datagram]:
    return Decoder().decode(frame(ipv4(tcp(data, 40000, port), 6), link_type=101, original=original))


@pytest.mark.parametrize(
    ("data", "kind", "payload"),
    [(esp() + FOR_ESP, Kind.ESP, esp()), (udp(ike()) + FOR_IKE, Kind.IKE, ike())],
    ids=["esp", "ike"],
)
def test_segment_with_the_trailer_is_its_packet(data: bytes, kind: Kind, payload: bytes) -> None:
    (found,) = decoded(data)
    assert (found.kind, found.payload, found.missing) == (kind, payload, 0)
    assert found.encapsulation is Encapsulation.TCP
    assert (found.src, found.sport, found.dst, found.dport) == (A, 40000, B, 10000)
    assert found.layers == ("RAW", "IPv4", "TCP", "cTCP")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        esp(),
        FOR_ESP,
        esp() + b"\x01" + FOR_ESP[1:],
        esp() + FOR_ESP[:6] + b"\x41\x00" + FOR_ESP[8:],
        esp() + FOR_ESP[:13] + b"\x06" + FOR_ESP[14:],
        esp()[:-1] + FOR_ESP,
        esp(spi=255) + FOR_ESP,
        udp(ike(), 501) + FOR_IKE,
        udp(ike(), length=20) + FOR_IKE,
        udp(b"no IKE, but long enough to be some") + FOR_IKE,
    ],
)
def test_anything_else_on_the_port_is_left_alone(data: bytes) -> None:
    assert decoded(data) == []


def test_other_port_and_cut_segment_are_left_alone() -> None:
    assert decoded(esp() + FOR_ESP, port=10001) == []
    assert decoded(esp() + FOR_ESP, original=400) != []  # the IP header says that all is there
    cut = ipv4(tcp(esp() + FOR_ESP, 40000, 10000), 6)[:-4]
    assert Decoder().decode(frame(cut, link_type=101, original=len(cut) + 4)) == []
