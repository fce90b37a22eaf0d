"""Traffic outside IPsec, counted by its ends: bounded, by the outermost header, with what a gateway shows of itself."""

from __future__ import annotations

import pytest
from packets import SECOND, START, esp, ethernet, frame, gre, icmp_error, ike, ipv4, ipv6, records, tcp, udp, vlan

from ipsecscope.capture import clear
from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.capture.columns import classify
from ipsecscope.capture.pipeline import Pipeline

ONE, TWO = "10.1.0.1", "10.2.0.1"
PING = ipv4(bytes(64), 1, ONE, TWO)


def counted(*datas: bytes, apart_ns: int = SECOND, link_type: int = 1) -> tuple[ClearTraffic, ...]:
    line = Pipeline()
    window = [frame(data, n, time_ns=START + n * apart_ns, link_type=link_type) for n, data in enumerate(datas, 1)]
    classify(records(window), line)
    scalar = Pipeline()
    for each in window:
        scalar.feed(each)
    assert scalar.clear.traffic() == line.clear.traffic()
    return line.clear.traffic()


def test_packets_are_counted_by_source_destination_and_protocol() -> None:
    there, back = ethernet(PING), ethernet(ipv4(bytes(64), 1, TWO, ONE))
    other = ethernet(ipv4(tcp(b"", 40000, 80), 6, ONE, TWO))
    found = counted(there, back, there, other, there)
    assert [(each.src, each.dst, each.protocol, each.packets) for each in found] == [
        (ONE, TWO, 1, 3),
        (TWO, ONE, 1, 1),
        (ONE, TWO, 6, 1),
    ]
    assert (found[0].first_frame, found[0].last_frame) == (1, 5)
    assert (found[0].first_ns, found[0].last_ns) == (START + SECOND, START + 5 * SECOND)


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        pytest.param(ethernet(ipv4(gre(PING), 47)), ("192.0.2.1", "198.51.100.2", 47), id="a tunnel, by its own ends"),
        pytest.param(ethernet(ipv6(bytes(40), 58), 0x86DD), ("2001:db8::1", "2001:db8::2", 58), id="ipv6"),
        pytest.param(ethernet(vlan(PING), 0x8100), (ONE, TWO, 1), id="tagged"),
        pytest.param(ethernet(ipv4(bytes(8), 1, ONE, TWO, options=bytes(4))), (ONE, TWO, 1), id="with options"),
        pytest.param(
            ethernet(ipv4(icmp_error(3, 1, ipv4(tcp(b"", 1, 2), 6)), 1, ONE, TWO)), (ONE, TWO, 1), id="about others"
        ),
        pytest.param(ethernet(ipv4(udp(b"?" * 30, 5353, 53), 17, ONE, TWO)), (ONE, TWO, 17), id="udp"),
    ],
)
def test_the_outermost_header_counts(packet: bytes, expected: tuple[str, str, int]) -> None:
    (found,) = counted(packet)
    assert (found.src, found.dst, found.protocol) == expected


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(ethernet(ipv4(esp(), 50)), id="esp"),
        pytest.param(ethernet(ipv4(udp(ike()), 17)), id="ike"),
        pytest.param(ethernet(ipv4(gre(ipv4(esp(), 50)), 47)), id="esp in a tunnel"),
        pytest.param(ethernet(ipv4(icmp_error(3, 3, ipv4(udp(ike()), 17)), 1)), id="an error about ike"),
        pytest.param(ethernet(bytes(28), 0x0806), id="arp"),
    ],
)
def test_ipsec_and_what_is_no_ip_is_not_counted(packet: bytes) -> None:
    assert counted(packet) == ()


def test_decrypted_packets_of_the_capturing_host_are_echoes() -> None:
    """Linux hands the decrypted packet to the interface that the ESP packet came in by, with its link header."""
    arriving = ethernet(ipv4(esp(), 50))
    (found,) = counted(arriving, ethernet(PING), arriving, ethernet(PING), apart_ns=20_000)
    assert (found.packets, found.echoes) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "apart_ns"),
    [
        pytest.param(ethernet(PING, mac=9), 20_000, id="the other way"),
        pytest.param(ethernet(PING), 2_000_000, id="later"),
    ],
)
def test_other_packets_behind_esp_are_no_echoes(answer: bytes, apart_ns: int) -> None:
    (found,) = counted(ethernet(ipv4(esp(), 50)), answer, apart_ns=apart_ns)
    assert (found.packets, found.echoes) == (1, 0)


def test_links_without_addresses_have_no_echoes() -> None:
    (found,) = counted(ipv4(esp(), 50), PING, apart_ns=20_000, link_type=101)
    assert found.echoes == 0


def test_public_traffic_does_not_push_out_private_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clear, "MAX_PUBLIC", 2)
    line = Pipeline()
    public = [ethernet(ipv4(bytes(8), 1, f"8.8.8.{n}", "9.9.9.9")) for n in range(5)]
    classify(records([frame(data, n) for n, data in enumerate([*public, ethernet(PING)], 1)]), line)
    assert {each.src for each in line.clear.traffic()} == {ONE, "8.8.8.0", "8.8.8.1"}
    assert line.clear.not_counted == 3
    (note,) = line.clear.notes()
    assert note.kind == "clear.limit"


def test_conversation_that_turns_out_to_carry_ipsec_is_not_counted_any_more() -> None:
    odd = (40000, 40001)
    marked = ethernet(ipv4(udp(bytes(4) + ike(), *odd), 17))
    plain = ethernet(ipv4(udp(esp(), *odd), 17))
    (found,) = counted(plain, marked, plain)
    assert found.packets == 1
