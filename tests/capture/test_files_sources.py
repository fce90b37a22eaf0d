"""What may be opened and what is refused; names, folders, patterns, pipes; the order of several files."""

from __future__ import annotations

import gzip
import io
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ipsecscope.capture import sources
from ipsecscope.capture.files import open_capture
from ipsecscope.capture.link_types import LinkType
from ipsecscope.capture.records import CaptureError
from ipsecscope.capture.sources import expand, merge, merge_frames, order_files
from ipsecscope.capture.writer import PcapngWriter, PcapWriter

SECOND = 1_790_000_000


def write(path: Path | str, times: list[float], kind: type[PcapWriter | PcapngWriter] = PcapWriter) -> str:
    with open(path, "wb") as out:  # noqa: PTH123
        writer = PcapWriter(out, link_type=LinkType.ETHERNET) if kind is PcapWriter else PcapngWriter(out)
        if isinstance(writer, PcapngWriter):
            writer.interface(LinkType.ETHERNET)
        for number, time_s in enumerate(times):
            data = f"{path}:{number}".encode(errors="surrogateescape")
            if isinstance(writer, PcapngWriter):
                writer.write(round((SECOND + time_s) * 10**9), data, comment=f"c{number}")
            else:
                writer.write(round((SECOND + time_s) * 10**9), data)
        writer.close()
    return os.fsdecode(path)


def seconds(paths: list[str], window: int = 1 << 23) -> list[tuple[float, int, int]]:
    readers = [open_capture(path, file=file) for file, path in enumerate(paths)]
    out = []
    for records in merge(readers, window):
        out += [((frame.time_ns / 10**9) - SECOND, frame.file, frame.number) for frame in records.frames()]
    return out


@pytest.mark.parametrize(
    "content,reason",
    [
        (b"", "the file is empty"),
        (b"\n", "not a capture file"),
        (b"hello world, this is text\n" * 9, "not a capture file"),
        (b"PK\x03\x04" + bytes(40), "a ZIP archive; unpack it first"),
        (b"snoop\x00\x00\x00" + bytes(40), "a snoop capture"),
        (b"\x0a\x0d\x0d\x0a" + bytes(40), "not a capture file"),
        (b"\xd4\xc3\xb2\xa1\2\0", "24 octets, 6 are there"),
    ],
)
def test_file_that_is_no_capture_is_refused_in_one_line(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "bad\nname\x1b[31m.pcap"
    path.write_bytes(content)
    with pytest.raises(CaptureError) as caught:
        open_capture(path)
    text = str(caught.value)
    assert reason in text
    assert text.isprintable()
    assert "bad\\nname\\x1b[31m.pcap" in text


def test_missing_file_folder_device_and_socket_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none: cannot be opened: No such file or directory$"):
        open_capture(tmp_path / "none")
    with pytest.raises(CaptureError, match="is a directory"):
        open_capture(tmp_path)
    with pytest.raises(CaptureError, match="is a device"):
        open_capture("/dev/zero")
    with pytest.raises(CaptureError, match="cannot be opened: "):
        open_capture("nul\0name")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(tmp_path / "s"))
        with pytest.raises(CaptureError, match="is a socket"):
            open_capture(tmp_path / "s")
        with pytest.raises(CaptureError, match="is a socket"):
            expand([tmp_path / "s"])
    (tmp_path / "dangling").symlink_to(tmp_path / "none")
    with pytest.raises(CaptureError, match="No such file"):
        open_capture(tmp_path / "dangling")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.pcap", [0]))
    path.chmod(0)
    with pytest.raises(CaptureError, match="Permission denied"):
        open_capture(path)


def test_file_that_vanishes_before_it_is_read_is_refused(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.pcap", [0]))
    reader = open_capture(path)
    path.unlink()
    with pytest.raises(CaptureError, match="No such file"):
        list(reader.frames())


def test_file_that_shrinks_while_it_is_read_ends_with_a_note(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "a.pcap", [float(n) for n in range(20_000)]))
    frames = []
    reader = open_capture(path)
    for frame in reader.frames(1 << 16):
        if not frames:
            with path.open("r+b") as file:
                file.truncate(100_001)
        frames.append(frame)
    assert 0 < len(frames) < 20_000
    assert [note.kind for note in reader.facts.notes] == ["capture.truncated"]


def test_stream_that_fails_midway_keeps_what_was_read() -> None:
    out = io.BytesIO()
    with PcapWriter(out, link_type=1) as writer:
        for n in range(9000):
            writer.write(SECOND * 10**9 + n, b"x" * 60)

    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 300_000:
                raise OSError(5, "Input/output error")
            return super().read(size)

    reader = open_capture(Failing(out.getvalue()), name="disk")
    frames = list(reader.frames(1 << 16))
    assert len(frames) > 3000
    assert [note.kind for note in reader.facts.notes] == ["capture.unreadable", "capture.truncated"]

    class Dead(io.BytesIO):
        def read(self, _size: int | None = -1) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(CaptureError, match="disk: cannot be read: Input/output error"):
        open_capture(Dead(b""), name="disk")


def test_fifo_is_read_once(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    data = Path(write(tmp_path / "a.pcap", [float(n) for n in range(5000)])).read_bytes()
    thread = threading.Thread(target=fifo.write_bytes, args=(data,))
    thread.start()
    with open_capture(fifo) as reader:
        assert reader.start_ns == SECOND * 10**9
        frames = list(reader.frames(1 << 16))
        with pytest.raises(CaptureError, match="cannot be read a second time"):
            list(reader.frames())
    thread.join()
    assert len(frames) == 5000
    assert expand([fifo]) == [str(fifo)]


def test_standard_input_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pcap", [1, 2, 3])
    code = (
        "from ipsecscope.capture.files import open_capture as o; r=o('-'); print(len(list(r.frames())), r.facts.name)"
    )
    out = subprocess.run([sys.executable, "-c", code], input=Path(path).read_bytes(), capture_output=True, check=True)
    assert out.stdout == b"3 -\n"


def test_names_that_are_not_utf8_survive(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.pcap"
    write(os.fsdecode(name), [0])
    (found,) = expand([tmp_path])
    assert os.fsencode(found) == name
    assert len(list(open_capture(found).frames())) == 1
    assert len(list(open_capture(name).frames())) == 1
    Path(found).write_bytes(b"")
    with pytest.raises(CaptureError) as caught:
        open_capture(found)
    str(caught.value).encode()


def test_expand_takes_captures_from_folders_and_patterns_in_order(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("b.pcap", "a.pcap", "sub/c.cap"):
        write(tmp_path / name, [0])
    (tmp_path / "d.gz").write_bytes(gzip.compress(b"x"))
    (tmp_path / "notes.txt").write_text("no capture")
    (tmp_path / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    names = [os.path.relpath(name, tmp_path) for name in expand([tmp_path])]
    assert names == ["a.pcap", "b.pcap", "d.gz", "sub/c.cap"]
    assert expand([tmp_path / "*.pcap", "-", tmp_path / "a.pcap"]) == [
        str(tmp_path / "a.pcap"),
        str(tmp_path / "b.pcap"),
        "-",
    ]
    assert expand([tmp_path / "notes.txt"]) == [str(tmp_path / "notes.txt")]


def test_expand_of_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("text")
    (tmp_path / "empty").mkdir()
    for path, reason in (
        ("gone", "no such file"),
        ("*.pcap", "no file matches"),
        ("*.txt", "no capture matches"),
        ("empty", "no capture in this folder"),
        ("nul\0", "cannot be opened"),
        ("x.txt/y", "cannot be opened: Not a directory"),
    ):
        with pytest.raises(CaptureError, match=reason):
            expand([tmp_path / path])
    with pytest.raises(CaptureError, match="is a device"):
        expand(["/dev/null"])


def test_expand_has_a_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MAX_FILES", 1)
    for name in ("a", "b"):
        write(tmp_path / name, [0])
    with pytest.raises(CaptureError, match="more than 1 captures"):
        expand([tmp_path])


def test_expand_takes_an_existing_name_with_pattern_letters_literally(tmp_path: Path) -> None:
    path = write(tmp_path / "a[1].pcap", [0])
    assert expand([path]) == [path]


def test_rotated_set_is_read_one_file_after_the_other(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}.pcap", [10.0 * n + i for i in range(5)]) for n in (2, 0, 1)]
    readers = [open_capture(path, file=file) for file, path in enumerate(paths)]
    assert [reader.facts.name for reader in order_files(readers)] == [paths[1], paths[2], paths[0]]
    assert [(records.file, len(records)) for records in merge(readers)] == [(1, 5), (2, 5), (0, 5)]


@pytest.mark.parametrize("window", [1 << 23, 64], ids=["large", "small"])
def test_files_side_by_side_are_merged_by_time(window: int, tmp_path: Path) -> None:
    first = write(tmp_path / "0.pcap", [0, 2, 2, 4, 7, 9])
    second = write(tmp_path / "1.pcapng", [1, 2, 3, 7, 8], PcapngWriter)
    third = write(tmp_path / "2.pcap", [])
    fourth = write(tmp_path / "3.pcap", [2, 30])
    got = seconds([first, second, third, fourth], window)
    assert got == [
        (0, 0, 1),
        (1, 1, 1),
        (2, 0, 2),
        (2, 0, 3),
        (2, 1, 2),
        (2, 3, 1),
        (3, 1, 3),
        (4, 0, 4),
        (7, 0, 5),
        (7, 1, 4),
        (8, 1, 5),
        (9, 0, 6),
        (30, 3, 2),
    ]


def test_merged_frames_keep_their_comments(tmp_path: Path) -> None:
    paths = [write(tmp_path / f"{n}", [n * 0.5 + i for i in range(4)], PcapngWriter) for n in range(2)]
    frames = list(merge_frames([open_capture(path, file=n) for n, path in enumerate(paths)]))
    assert [frame.comment for frame in frames] == ["c0", "c0", "c1", "c1", "c2", "c2", "c3", "c3"]


def test_disorder_inside_a_file_is_kept(tmp_path: Path) -> None:
    first = write(tmp_path / "0", [0, 5, 1, 6])
    second = write(tmp_path / "1", [2, 3])
    assert [time_s for time_s, file, _ in seconds([first, second]) if file == 0] == [0, 5, 1, 6]


def descriptors() -> int:
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


def test_thousand_waiting_files_hold_no_descriptor(tmp_path: Path) -> None:
    path = write(tmp_path / "a", [0])
    before = descriptors()
    readers = [open_capture(path, file=n) for n in range(300)]
    after = descriptors()
    assert after == before
    assert sum(len(records) for records in merge(readers)) == 300
