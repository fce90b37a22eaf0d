"""Compressed captures: every format by its magic number, nested, cut, damaged, and bombs."""

from __future__ import annotations

import bz2
import gzip
import importlib
import io
import lzma
import random
import sys
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from ipsecscope.capture import compression
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.records import CaptureError, FileFacts, Frame
from ipsecscope.capture.writer import PcapWriter

PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": lambda data: bz2.compress(data, 1),
    "xz": lzma.compress,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
    "lz4": lambda data: bytes(lz4.frame.compress(data, content_checksum=True)),
}


def capture(count: int = 60, size: int = 300) -> bytes:
    rng = random.Random(2)
    out = io.BytesIO()
    with PcapWriter(out, link_type=LinkType.ETHERNET) as writer:
        for index in range(count):
            writer.write(1_790_000_000 * 10**9 + index, rng.randbytes(size))
    return out.getvalue()


def read(path: Path) -> tuple[list[Frame], FileFacts]:
    reader = open_capture(path)
    return list(reader.frames()), reader.facts


def read_stream(data: bytes) -> tuple[list[Frame], FileFacts]:
    reader = open_capture(io.BytesIO(data))
    return list(reader.frames()), reader.facts


@pytest.fixture
def plain() -> list[Frame]:
    return read_stream(capture())[0]


@pytest.mark.parametrize("codec", PACK)
def test_capture_compressed_is_read_like_the_plain_one(codec: str, plain: list[Frame], tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(PACK[codec](capture()))
    frames, facts = read(path)
    assert frames == plain
    assert facts.compression == codec
    assert facts.notes == []
    assert read_stream(path.read_bytes())[0] == plain


@pytest.mark.parametrize("codec", PACK)
def test_capture_in_several_members_is_read_whole(codec: str, plain: list[Frame], tmp_path: Path) -> None:
    data = capture()
    path = tmp_path / "capture"
    path.write_bytes(PACK[codec](data[:5000]) + PACK[codec](data[5000:]))
    assert read(path)[0] == plain


@pytest.mark.parametrize("codec", PACK)
def test_capture_compressed_and_cut_keeps_what_can_be_unpacked(codec: str, plain: list[Frame], tmp_path: Path) -> None:
    data = capture(3000)
    plain = read_stream(data)[0]
    packed = PACK[codec](data)
    path = tmp_path / "capture"
    path.write_bytes(packed[: len(packed) * 9 // 10])
    frames, facts = read(path)
    assert frames == plain[: len(frames)]
    assert len(frames) > 1000
    assert facts.notes[-1].kind == "capture.truncated"
    assert any(codec in note.text for note in facts.notes)


@pytest.mark.parametrize("codec", ["gzip", "bzip2", "xz", "zstd", "lz4"])
def test_capture_with_a_wrong_checksum_keeps_every_record(codec: str, plain: list[Frame], tmp_path: Path) -> None:
    packed = bytearray(PACK[codec](capture()))
    at = {"gzip": -8, "bzip2": 10, "xz": -40, "zstd": -1, "lz4": -1}[codec]
    if codec == "xz":
        at = len(packed) - 12 - 4 * (1 + packed[-8]) - 8  # the block's check stands before the index
    packed[at] ^= 0xFF
    path = tmp_path / "capture"
    path.write_bytes(packed)
    frames, facts = read(path)
    assert [note.kind for note in facts.notes if codec in note.text] == ["capture.damaged"]
    assert frames == (plain[:-1] if codec == "bzip2" else plain)  # bzip2 keeps back the octet before the checksum
    assert read_stream(bytes(packed))[0] == frames


@pytest.mark.parametrize("codec", PACK)
@pytest.mark.parametrize("seed", range(20))
def test_capture_with_damaged_compression_never_raises(codec: str, seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    packed = bytearray(PACK[codec](capture()))
    for _ in range(rng.randrange(1, 4)):
        packed[rng.randrange(len(packed))] ^= 1 << rng.randrange(8)
    path = tmp_path / "capture"
    path.write_bytes(packed)
    for source in (path, io.BytesIO(packed)):
        try:
            assert all(len(frame.data) < 2**20 for frame in open_capture(source).frames())
        except CaptureError as why:
            assert "\n" not in str(why)  # noqa: PT017 - it may be raised or not


def test_compressed_stream_followed_by_something_else_says_so(plain: list[Frame], tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(gzip.compress(capture()) + bytes(20_000) + b"trailer of another kind")
    frames, facts = read(path)
    assert frames == plain
    assert [note.kind for note in facts.notes] == ["capture.trailing"]


def test_compressed_stream_padded_with_zeros_is_not_a_fault(plain: list[Frame], tmp_path: Path) -> None:
    path = tmp_path / "capture"
    path.write_bytes(gzip.compress(capture()) + bytes(20_000))
    frames, facts = read(path)
    assert frames == plain
    assert facts.notes == []


def test_nested_compression_is_undone_up_to_its_limit(plain: list[Frame]) -> None:
    data = capture()
    for _ in range(compression.MAX_LAYERS):
        data = gzip.compress(data)
    frames, facts = read_stream(data)
    assert frames == plain
    assert facts.compression == "+".join(["gzip"] * compression.MAX_LAYERS)
    with pytest.raises(CaptureError, match="compressed more than 4 times over"):
        read_stream(gzip.compress(data))


@pytest.mark.parametrize("codec", PACK)
def test_bomb_ends_at_the_ratio_and_keeps_what_stands_before(
    codec: str, plain: list[Frame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compression, "RATIO_FLOOR", 1 << 20)
    monkeypatch.setattr(compression, "MAX_RATIO", 10)
    path = tmp_path / "bomb"
    path.write_bytes(PACK[codec](capture() + bytes(8 << 20)))
    frames, facts = read(path)
    assert frames == plain
    limits = [note for note in facts.notes if note.kind == "capture.limit"]
    assert len(limits) == 1
    assert "10 times the compressed size" in limits[0].text


def test_unpacking_ends_at_the_most_octets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compression, "MAX_UNPACKED", 10_000)
    frames, facts = read_stream(gzip.compress(capture()))
    assert len(frames) == (10_000 - 24) // 316
    assert {note.kind for note in facts.notes} == {"capture.limit", "capture.truncated"}


@pytest.mark.parametrize("codec,module", [("zstd", "zstandard"), ("lz4", "lz4.frame")])
def test_compression_without_its_package_names_the_extra(
    codec: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    importlib.import_module(module)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CaptureError, match=rf"{codec} compression needs: pip install 'ipsecscope\[compression\]'$"):
        read_stream(PACK[codec](capture()))


@pytest.mark.parametrize("inside", [b"", b"plain text\n"], ids=["nothing", "text"])
def test_compressed_file_that_is_no_capture_is_refused(inside: bytes) -> None:
    with pytest.raises(CaptureError, match=r"nothing inside the gzip stream|not a capture file"):
        read_stream(gzip.compress(inside))


def test_compressed_stream_in_small_pieces_is_read(plain: list[Frame]) -> None:
    class Trickle(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._inner = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self._inner.read(min(size, 7))

    assert list(open_capture(Trickle(gzip.compress(capture())), name="t").frames()) == plain
