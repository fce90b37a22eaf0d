"""Every IKE message of every capture at hand: it parses, rebuilds, tiles, and does so cut at every length."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from conftest import ROOT, SHARED

from ipsecscope.capture.datagrams import Kind
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.pipeline import Pipeline
from ipsecscope.dissect.message import parse_message
from ipsecscope.dissect.wire import Field
from ipsecscope.reports.tree import datagram_lines
from ipsecscope.timeline.analysis import analyze

BUNDLED = sorted((ROOT / "captures").glob("*.pcap*"))


def everything() -> list[Path]:
    lab = (SHARED / "captures" / "lab").glob("*/*.pcap*")
    public = (path for path in (SHARED / "captures" / "public").glob("*/*.pcap*") if path.suffix != ".txt")
    return sorted((*BUNDLED, *lab, *public))


def messages_of(path: Path) -> Iterator[bytes]:
    pipeline = Pipeline()
    with open_capture(path) as reader:
        for frame in reader.frames():
            yield from (each.payload for each in pipeline.feed(frame) if each.kind == Kind.IKE)
    yield from (each.payload for each in pipeline.finish() if each.kind == Kind.IKE)


@cache
def distinct_messages() -> tuple[bytes, ...]:
    found: dict[bytes, None] = {}
    for path in everything():
        for message in messages_of(path):
            found[message] = None
    return tuple(found)


def tile(field: Field) -> None:
    position = field.start
    for child in field.children:
        assert child.start == position, (field.name, child.name)
        position = child.stop
        tile(child)
    assert not field.children or position == field.stop, field.name


def test_bundled_messages_parse_rebuild_and_tile() -> None:
    count = 0
    for path in BUNDLED:
        for data in messages_of(path):
            message = parse_message(data)
            assert message.build() == data
            tile(message.trace())
            count += 1
    assert count >= 20


@pytest.mark.shared
def test_every_message_parses_rebuilds_and_tiles() -> None:
    for data in distinct_messages():
        message = parse_message(data)
        assert message.build() == data
        assert parse_message(message.build()) == message
        tree = message.trace()
        assert (tree.start, tree.stop) == (0, len(data))
        tile(tree)
    print(f"\n{len(distinct_messages())} distinct IKE messages of {len(everything())} captures")
    assert len(distinct_messages()) >= 1300


@pytest.mark.shared
def test_every_message_cut_at_every_length_parses_and_rebuilds() -> None:
    cuts = 0
    for data in distinct_messages():
        for length in range(len(data)):
            cut = data[:length]
            message = parse_message(cut, missing=len(data) - length)
            assert message.build() == cut
            cuts += 1
        tile(parse_message(data[: len(data) * 2 // 3]).trace())
    print(f"\n{cuts} cut messages")


@pytest.mark.shared
def test_no_exception_reaches_the_guard() -> None:
    bugs = []
    for path in everything():
        analysis = analyze([str(path)])
        bugs += [(path.name, each.frame) for each in analysis.notes if each.note.kind == "internal.dissector-bug"]
    assert bugs == []


@pytest.mark.shared
def test_every_datagram_can_be_shown_as_a_tree() -> None:
    lines = 0
    for path in everything():
        pipeline = Pipeline()
        with open_capture(path) as reader:
            for number, frame in enumerate(reader.frames()):
                if number > 60:
                    break
                for datagram in pipeline.feed(frame):
                    for line in datagram_lines(datagram, hexdump=True):
                        assert line.isprintable()
                        lines += 1
    assert lines > 50_000
