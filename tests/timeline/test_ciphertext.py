"""What flows show without a key: numbers used twice, repeated and counting IVs, chained blocks, readable packets."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ipsecscope.capture.columns import Columns
from ipsecscope.capture.datagrams import Encapsulation, Kind
from ipsecscope.timeline import ciphertext
from ipsecscope.timeline.ciphertext import Ciphertext
from ipsecscope.timeline.flow_table import FlowTable
from ipsecscope.timeline.flows import Flow

SECOND = 10**9


def noise(label: object, size: int) -> bytes:
    """Octets that look like ciphertext, the same for the same label."""
    return hashlib.shake_128(repr(label).encode()).digest(size)


def packet(seq: int, *, iv: bytes | None = None, body: bytes | None = None, spi: int = 7, label: object = "") -> bytes:
    """An ESP packet: header, 16 octets of IV or less, ciphertext and ICV made up from its number and label."""
    rest = noise((seq, label), 64) if body is None else body
    start = noise((seq, label, "iv"), 16) if iv is None else iv
    return spi.to_bytes(4, "big") + seq.to_bytes(4, "big") + start + rest


def columns(packets: list[bytes], *, start: int = 0, missing: int = 0) -> Columns:
    count = len(packets)
    offsets = np.cumsum([0, *(len(each) for each in packets)], dtype="i8")

    def same(value: int, dtype: str) -> np.ndarray:
        return np.full(count, value, dtype)

    return Columns(
        file=same(0, "i4"),
        frame=np.arange(start + 1, start + 1 + count, dtype="i8"),
        time_ns=np.arange(start, start + count, dtype="i8") * SECOND,
        kind=same(int(Kind.ESP), "u1"),
        encapsulation=same(int(Encapsulation.IP), "u1"),
        src=same(0, "u4"),
        dst=same(1, "u4"),
        sport=same(0, "u2"),
        dport=same(0, "u2"),
        spi=np.array([int.from_bytes(each[:4], "big") for each in packets], "u4"),
        seq=np.array([int.from_bytes(each[4:8], "big") for each in packets], "u4"),
        length=np.array([len(each) + missing for each in packets], "u4"),
        missing=same(missing, "u4"),
        offset=offsets[:-1],
        ttl=same(64, "u1"),
        dscp=same(0, "u1"),
        packet_offset=same(0, "i8"),
        packet_length=same(0, "u4"),
        fragments=same(1, "u2"),
        duplicate_of=same(0, "i8"),
        addresses=("192.0.2.1", "198.51.100.2"),
        buffer=b"".join(packets),
    )


def folded(*windows: Columns, each_apart: bool = False) -> Flow:
    table = FlowTable()
    for window in windows:
        table.update(window)
        if each_apart:
            table._flush()
    (flow,) = table.flows()
    return flow


def seen(flow: Flow) -> Ciphertext:
    assert flow.ciphertext is not None
    return flow.ciphertext


def test_ordinary_packets_show_nothing() -> None:
    flow = folded(columns([packet(seq) for seq in range(1, 200)]))
    assert (seen(flow).compared, seen(flow).successive) == (199, 198)
    assert (seen(flow).iv_repeats, seen(flow).conflicts, seen(flow).counted, seen(flow).chained) == (0, 0, 0, 0)
    assert not seen(flow).is_readable
    assert flow.restart is None


@pytest.mark.parametrize("each_apart", [False, True], ids=["one-batch", "two-batches"])
def test_copies_are_neither_conflicts_nor_a_new_count(each_apart: bool) -> None:
    once = [packet(seq) for seq in range(1, 40)]
    flow = folded(columns(once), columns(once, start=60), each_apart=each_apart)
    assert (flow.duplicates, seen(flow).conflicts, seen(flow).iv_repeats) == (39, 0, 0)
    assert flow.restart is None


@pytest.mark.parametrize("each_apart", [False, True], ids=["one-batch", "two-batches"])
def test_a_count_that_starts_again_is_told_from_a_replay_by_its_octets(each_apart: bool) -> None:
    first = columns([packet(seq) for seq in range(1, 40)])
    flow = folded(first, columns([packet(seq, label="new") for seq in range(1, 20)], start=39), each_apart=each_apart)
    assert seen(flow).conflicts == 19
    assert seen(flow).conflict_pairs[0] == (1, 40)
    assert flow.restart is not None
    assert (flow.restart.frame, flow.restart.before, flow.restart.after, flow.restart.packets) == (40, 39, 1, 19)
    assert not flow.restart.interleaved


def test_two_senders_of_one_sa_interleave() -> None:
    pairs = [[packet(5000 + number), packet(10 + number, label="other")] for number in range(30)]
    flow = folded(columns([each for pair in pairs for each in pair]))
    assert flow.restart is not None
    assert flow.restart.interleaved


def test_late_packets_are_no_new_count() -> None:
    numbers = [
        number for block in range(0, 400, 20) for number in (*range(block + 10, block + 20), *range(block, block + 10))
    ]
    assert folded(columns([packet(number + 1) for number in numbers])).restart is None


def test_cut_packets_prove_no_new_count() -> None:
    first = columns([packet(seq) for seq in range(1, 40)], missing=8)
    again = columns([packet(seq) for seq in range(1, 40)], start=40, missing=8)
    flow = folded(first, again)
    assert flow.restart is None
    assert seen(flow).compared == 0


@pytest.mark.parametrize("step", [lambda seq: seq + 77, lambda seq: seq ^ 0x5A5A5A5A], ids=["adds", "seqiv"])
def test_ivs_that_count_are_seen(step: object) -> None:
    assert callable(step)
    packets = [packet(seq, iv=step(seq).to_bytes(8, "big") + noise(seq, 8)) for seq in range(1, 30)]
    assert seen(folded(columns(packets))).is_counter


def test_constant_iv_and_equal_first_blocks_are_counted() -> None:
    flow = folded(columns([packet(seq, iv=noise("fixed", 16)) for seq in range(1, 11)]))
    assert (seen(flow).iv_repeats, seen(flow).block_repeats) == (9, 9)
    assert seen(flow).repeat_pairs[0] == (1, 2)
    short = folded(columns([packet(seq, iv=noise("fixed", 8) + noise(seq, 8)) for seq in range(1, 11)]))
    assert (seen(short).iv_repeats, seen(short).block_repeats) == (9, 0)


def test_a_repeat_is_seen_across_batches_as_far_as_rows_are_carried() -> None:
    first = columns([packet(seq) for seq in range(1, 10)])
    again = columns([packet(50, iv=noise((9, "", "iv"), 16))], start=20)
    assert seen(folded(first, again, each_apart=True)).iv_repeats == 1


def test_damaged_copies_are_no_repeated_iv() -> None:
    one = packet(3)
    flow = folded(columns([packet(1), packet(2), one, one[:-1] + bytes([one[-1] ^ 1]), packet(4)]))
    assert seen(flow).iv_repeats == 0


@pytest.mark.parametrize(("block", "icv"), ciphertext.LAST_BLOCKS)
def test_chained_ivs_are_seen(block: int, icv: int) -> None:
    packets, iv = [], noise("first", block)
    for seq in range(1, 12):
        body = noise(seq, 80 + icv)
        packets.append(packet(seq, iv=iv, body=body))
        stop = len(body) - icv
        iv = body[stop - block : stop]
    assert seen(folded(columns(packets))).chained == 10


@pytest.mark.parametrize("icv", [0, 12, 16, 24, 32])
def test_packets_that_end_unencrypted_are_readable(icv: int) -> None:
    packets = [
        packet(
            seq,
            body=noise(seq, 40 + seq) + bytes(range(1, seq % 4 + 1)) + bytes([seq % 4, 4]) + noise((seq, "icv"), icv),
        )
        for seq in range(1, 9)
    ]
    assert seen(folded(columns(packets))).is_readable
