"""IP fragments: whatever their order, the packet; whatever is missing, which octets of what (RFC 791, 8200, 5722)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packets import (
    A6,
    B6,
    START,
    A,
    B,
    ah,
    esp,
    ethernet,
    fragment6,
    frame,
    icmp_error,
    ike,
    ipv4,
    ipv6,
    udp,
    vlan,
)

from ipsecscope.capture import reassembly
from ipsecscope.capture.datagrams import Datagram, Kind
from ipsecscope.capture.pipeline import MAX_NOTES, Pipeline

IKE = ike(3000)
WHOLE = udp(IKE)


def pieces(payload: bytes = WHOLE, size: int = 1480, protocol: int = 17, **fields: int) -> list[bytes]:
    """The payload as IPv4 fragments of ``size`` octets."""
    starts = range(0, len(payload), size)
    return [
        ipv4(payload[at : at + size], protocol, flags=int(at + size < len(payload)), offset=at, **fields)
        for at in starts
    ]


def pieces6(payload: bytes = WHOLE, size: int = 1448, protocol: int = 17) -> list[bytes]:
    starts = range(0, len(payload), size)
    return [ipv6(fragment6(protocol, payload[at : at + size], at, more=at + size < len(payload)), 44) for at in starts]


def feed(
    datas: Iterable[bytes], pipeline: Pipeline | None = None, *, step_ns: int = 10_000_000
) -> tuple[list[Datagram], Pipeline]:
    pipeline = pipeline or Pipeline()
    found = []
    for number, data in enumerate(datas, 1):
        found += pipeline.feed(frame(data, number, link_type=101, time_ns=START + number * step_ns))
    return found, pipeline


@pytest.mark.parametrize("make", [pieces, pieces6], ids=["ipv4", "ipv6"])
@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_fragments_in_any_order_make_the_packet(make: object, order: Sequence[int]) -> None:
    datas = make()  # type: ignore[operator]
    found, pipeline = feed(datas[index] for index in order)
    assert [(each.kind, each.payload, each.missing) for each in found] == [(Kind.IKE, IKE, 0)]
    assert found[0].frames == (1, 2, 3)
    assert (found[0].fragments, found[0].offset, found[0].time_ns) == (3, None, START + 30_000_000)
    assert found[0].layers[-1] == "UDP"
    assert pipeline.finish() == []
    assert pipeline.notes == []


def test_reassembled_packet_is_the_packet_that_was_sent() -> None:
    """AH covers it as it was before fragmentation (RFC 4302 section 3.3.4)."""
    data = ah(bytes(3000))
    found, _ = feed(pieces(data, protocol=51))
    assert found[0].packet == ipv4(data, 51)
    found, _ = feed(pieces6(data, protocol=51))
    assert found[0].packet == ipv6(data, 51)


def test_reassembled_packet_behind_extension_headers_keeps_them() -> None:
    data = ah(bytes(1400))
    datas = [ipv6(b"\x2c\x00" + bytes(6) + fragment6(51, data[at : at + 800], at, more=at == 0), 0) for at in (0, 800)]
    found, _ = feed(datas)
    assert found[0].packet == ipv6(b"\x33\x00" + bytes(6) + data, 0)


@pytest.mark.parametrize("size", [8, 16, 64, 1480])
def test_esp_of_any_fragment_size_is_put_together(size: int) -> None:
    data = esp(size=1500)
    found, _ = feed(pieces(data, size, 50))
    assert [(each.kind, each.payload) for each in found] == [(Kind.ESP, data)]


def test_largest_packet_is_put_together() -> None:
    data = esp(size=65_535)
    found, _ = feed(pieces(data, 1480, 50))
    assert found[0].payload == data


def test_repeated_fragments_change_nothing() -> None:
    one, two, three = pieces()
    found, pipeline = feed([one, one, three, three, two, two, one, three])
    assert [each.payload for each in found] == [IKE]
    assert pipeline.finish() == []
    assert pipeline.notes == []


def test_copies_of_fragments_from_a_mirror_port_change_nothing() -> None:
    pipeline = Pipeline()
    found = []
    for number, data in enumerate(pieces()):
        for copy, link in enumerate((ethernet(data), ethernet(vlan(data), 0x8100))):
            found += pipeline.feed(frame(link, 2 * number + copy + 1, time_ns=START + number * 100_000 + copy))
    assert [each.payload for each in found] == [IKE]
    assert pipeline.finish() == []


def test_identification_used_again_at_once_makes_a_new_packet() -> None:
    first, second = esp(seq=1, size=100), bytes(100)
    found, _ = feed([*pieces(first, 48, 50), *pieces(second, 48, 50)])
    assert [each.payload for each in found] == [first, second]


def test_packets_of_other_hosts_protocols_and_identifications_are_kept_apart() -> None:
    data = esp(size=100)
    groups = [
        pieces(data, 48, 50),
        pieces(data, 48, 50, identification=2),
        pieces(data, 48, 51),
        [ipv4(data[at : at + 48], 50, src=B, dst=A, flags=int(at < 96), offset=at) for at in (0, 48, 96)],
    ]
    interleaved = [group[index] for index in (2, 0, 1) for group in groups]
    found, _ = feed(interleaved)
    assert [each.kind for each in found] == [Kind.ESP, Kind.ESP, Kind.AH, Kind.ESP]


def test_icmp_error_in_fragments_is_read() -> None:
    found, _ = feed(pieces(icmp_error(3, 3, ipv4(udp(ike(1000)), 17)), 400, 1))
    assert [each.kind for each in found] == [Kind.ICMP]


def test_tunnel_packet_in_fragments_is_opened() -> None:
    found, _ = feed(pieces(ipv4(esp(), 50), 48, 4))
    assert [(each.kind, each.layers) for each in found] == [(Kind.ESP, ("RAW", "IPv4", "IPv4"))]


def test_fragments_inside_fragments_are_opened() -> None:
    inner = pieces(esp(size=400), 200, 50)
    outer = [piece for index, data in enumerate(inner) for piece in pieces(data, 120, 4, identification=index)]
    found, _ = feed(outer)
    assert [each.payload for each in found] == [esp(size=400)]


def test_noise_in_fragments_is_forgotten_silently() -> None:
    found, pipeline = feed([*pieces(udp(bytes(3000), 53, 53))[:2], *pieces(bytes(3000), 1480, 89)])
    assert found == []
    assert pipeline.finish() == []
    assert pipeline.notes == []


# -- what is missing -----------------------------------------------------------------------------------------------


def test_missing_middle_fragment_of_an_ike_message_is_named() -> None:
    one, _, three = pieces()
    found, pipeline = feed([one, three])
    assert found == []
    (left,) = pipeline.finish()
    assert (left.kind, left.sport, left.dport, left.frames) == (Kind.FRAGMENT, 500, 500, (1, 2))
    assert (left.payload, left.missing) == (IKE[:1472], 1480)
    (note,) = pipeline.notes
    assert note.kind == "ip.fragment-missing"
    assert note.frame == 2
    for words in ("UDP", f"{A} port 500", f"{B} port 500", "0x1234", b"initiate".hex(), "octets 1480-2959"):
        assert words in note.text


def test_missing_end_says_to_the_end() -> None:
    _, pipeline = feed(pieces(esp(size=2000), 1480, 50)[:1])
    (left,) = pipeline.finish()
    assert (left.kind, left.payload) == (Kind.FRAGMENT, esp(size=1480))
    assert left.missing == 1
    assert "SPI c0ffee01" in pipeline.notes[0].text
    assert "octets 1480-the end" in pipeline.notes[0].text


@pytest.mark.parametrize("protocol", [50, 51, 108, 141])
def test_missing_first_fragment_of_an_ipsec_protocol_is_named(protocol: int) -> None:
    _, pipeline = feed(pieces(esp(size=2000), 1480, protocol)[1:])
    (left,) = pipeline.finish()
    assert (left.kind, left.src, left.dst, left.payload, left.missing) == (Kind.FRAGMENT, A, B, b"", 1480)
    assert left.layers == ("RAW", "IPv4")
    assert "octets 0-1479" in pipeline.notes[0].text


def test_missing_first_fragment_of_udp_matters_only_between_ike_peers() -> None:
    _, pipeline = feed(pieces()[1:])
    assert pipeline.finish() == []
    _, pipeline = feed([ipv4(udp(ike()), 17), *pieces()[1:]])
    (left,) = pipeline.finish()
    assert (left.kind, left.sport) == (Kind.FRAGMENT, 0)
    assert "UDP" in pipeline.notes[0].text


def test_missing_fragment_over_ipv6_is_named() -> None:
    _, pipeline = feed(pieces6()[:1])
    (left,) = pipeline.finish()
    assert (left.kind, left.src, left.dst) == (Kind.FRAGMENT, A6, B6)
    assert "IPv6 identification 0xbeef" in pipeline.notes[0].text


def test_incomplete_packet_is_given_up_after_a_minute() -> None:
    one, two, three = pieces()
    pipeline = Pipeline()
    assert pipeline.feed(frame(one, 1, link_type=101)) == []
    late = START + reassembly.MAX_AGE_NS + 1
    found = pipeline.feed(frame(two, 2, link_type=101, time_ns=late))
    assert [(each.kind, each.frames, each.time_ns) for each in found] == [(Kind.FRAGMENT, (1,), START)]
    assert pipeline.feed(frame(three, 3, link_type=101, time_ns=late)) == []
    assert pipeline.finish() == []  # the rest has no first fragment, and no IKE was seen between these two


def test_fragments_cut_by_the_snap_length_give_the_beginning() -> None:
    pipeline = Pipeline()
    found = []
    for number, data in enumerate(pieces(), 1):
        found += pipeline.feed(frame(data[:96], number, link_type=101, original=len(data)))
    (left,) = found
    assert (left.kind, left.payload) == (Kind.IKE, IKE[:68])
    assert left.wire_length == len(IKE)


# -- hostile -------------------------------------------------------------------------------------------------------


def test_overlap_that_agrees_is_silent() -> None:
    datas = [
        ipv4(WHOLE[at:stop], 17, flags=int(stop < len(WHOLE)), offset=at)
        for at, stop in ((0, 1480), (800, 2400), (2000, len(WHOLE)))
    ]
    for order in permutations(datas):
        found, pipeline = feed(order)
        assert [each.payload for each in found] == [IKE]
        assert pipeline.notes == []


def test_overlap_that_differs_keeps_the_first_and_says_so() -> None:
    forged = b"\xaa" * 1480
    found, pipeline = feed([pieces()[0], ipv4(forged, 17, flags=1, offset=800), *pieces()[1:]])
    assert found[0].payload[:1472] == IKE[:1472]
    kinds = {note.kind for note in pipeline.notes}
    assert kinds == {"ip.fragment-ambiguous"}
    assert "octets 800-1479 arrived twice" in pipeline.notes[0].text


def test_teardrop_is_harmless() -> None:
    found, pipeline = feed([ipv4(bytes(36), 17, flags=1), ipv4(bytes(4), 17, offset=24)])
    assert found == []
    assert [note.kind for note in pipeline.notes] == ["ip.fragment-ambiguous"]
    assert pipeline.finish() == []


def test_two_ends_of_one_packet_are_ambiguous() -> None:
    one, two, three = pieces()
    found, pipeline = feed([ipv4(bytes(8), 17, offset=800), three, one, two])
    assert found != [] or pipeline.finish() != []
    assert {note.kind for note in pipeline.notes} <= {"ip.fragment-ambiguous", "ip.fragment-missing"}
    assert "ip.fragment-ambiguous" in {note.kind for note in pipeline.notes}


def test_ping_of_death_is_left_out_and_said() -> None:
    found, pipeline = feed([ipv4(bytes(1480), 50, offset=65_528)])
    assert (found, pipeline.finish()) == ([], [])
    assert [note.kind for note in pipeline.notes] == ["ip.fragment-oversize"]


def test_empty_fragments_are_harmless() -> None:
    found, pipeline = feed([ipv4(b"", 50, flags=1), ipv4(b"", 50, offset=64), ipv4(esp(), 50, flags=1)])
    assert [each.payload for each in found] == [esp()]
    assert pipeline.finish() == []


def test_never_completed_fragments_take_bounded_memory() -> None:
    pipeline = Pipeline()
    count = 50_000
    template = ipv4(esp(size=16), 50, flags=1)
    datas = [template[:4] + (n & 0xFFFF).to_bytes(2, "big") + template[6:] for n in range(count)]
    found = 0
    for number, data in enumerate(datas, 1):
        found += len(pipeline.feed(frame(data, number, link_type=101)))
        assert len(pipeline._fragments) <= reassembly.MAX_SETS
    found += len(pipeline.finish())
    assert found == count
    assert len(pipeline.notes) == MAX_NOTES + 1
    assert pipeline.notes_not_listed == count + 1 - MAX_NOTES
    assert "ip.fragment-limit" in {note.kind for note in pipeline.notes}


def test_many_octets_held_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "MAX_HELD", 100_000)
    datas = [ipv4(esp(size=1480), 50, flags=1, identification=n) for n in range(200)]
    found, pipeline = feed(datas)
    assert len(found) > 100
    assert pipeline._fragments._held <= 100_000
    assert len(found) + len(pipeline.finish()) == 200
    assert pipeline._fragments._held == 0


def test_pieces_of_one_packet_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "MAX_PIECES", 10)
    _, pipeline = feed(ipv4(bytes(8), 50, flags=1, offset=16 * n) for n in range(40))
    (left,) = pipeline.finish()
    assert left.fragments == 10
    assert "ip.fragment-limit" in {note.kind for note in pipeline.notes}


def test_overlaps_of_one_packet_are_bounded() -> None:
    comb = [ipv4(bytes(8), 50, flags=1, offset=16 * n) for n in range(2000)]
    covers = [ipv4(bytes(8) * (n % 7 + 1), 50, flags=1, offset=8, total=32_000 + 8 * (n % 7)) for n in range(300)]
    _, pipeline = feed([*comb, *covers])
    assert len(pipeline.finish()) == 1


def test_finished_packets_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reassembly, "MAX_FINISHED", 5)
    found, pipeline = feed(data for n in range(20) for data in pieces(esp(size=100), 48, 50, identification=n))
    assert len(found) == 20
    assert len(pipeline._fragments._finished) == 5


@given(st.permutations(range(12)), st.lists(st.integers(0, 11), max_size=8), st.integers(1, 3))
def test_any_order_with_any_repeats_makes_the_packet_once(order: list[int], repeats: list[int], units: int) -> None:
    data = esp(size=12 * 8 * units)
    datas = pieces(data, 8 * units, 50)
    found, pipeline = feed([datas[index] for index in [*order[:6], *repeats, *order[6:]]])
    assert [each.payload for each in found] == [data]
    assert all(each.kind is Kind.FRAGMENT for each in pipeline.finish())


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 80), st.booleans()), max_size=30))
def test_any_overlapping_fragments_give_bounded_results(parts: list[tuple[int, int, bool]]) -> None:
    payload = esp(size=2000)
    datas = [ipv4(payload[8 * at : 8 * at + size], 50, flags=int(more), offset=8 * at) for at, size, more in parts]
    found, pipeline = feed(datas)
    for each in [*found, *pipeline.finish()]:
        assert payload.startswith(each.payload) or not each.payload
        assert each.missing >= 0
    assert pipeline._fragments._held == 0
