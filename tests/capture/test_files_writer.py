"""Writing: the same bytes each time, the whole file or none, nothing overwritten unasked, no link followed."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecscope.capture.files import open_capture
from ipsecscope.capture.records import CaptureError, Frame
from ipsecscope.capture.writer import PcapngWriter, PcapWriter


def test_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    with PcapWriter(path, link_type=1) as writer:
        writer.write(1, b"abc")
        assert not path.exists()
    assert [frame.data for frame in open_capture(path).frames()] == [b"abc"]
    assert [path.name for path in tmp_path.iterdir()] == ["out.pcap"]
    writer.close()


def test_file_does_not_appear_when_writing_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), PcapngWriter(tmp_path / "out.pcapng"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []


def test_file_that_exists_is_replaced_only_when_forced(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    path.write_bytes(b"mine")
    with pytest.raises(CaptureError, match=r"exists; it is replaced only when forced$"):
        PcapWriter(path, link_type=1)
    assert path.read_bytes() == b"mine"
    with PcapWriter(path, link_type=1, force=True):
        assert path.read_bytes() == b"mine"
    assert len(path.read_bytes()) == 24


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "out.pcap"
    writer = PcapWriter(path, link_type=1)
    path.write_bytes(b"mine")
    with pytest.raises(CaptureError, match="exists"):
        writer.close()
    assert path.read_bytes() == b"mine"
    assert [path.name for path in tmp_path.iterdir()] == ["out.pcap"]


@pytest.mark.parametrize("force", [False, True])
def test_symbolic_links_and_folders_are_never_replaced(force: bool, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(CaptureError, match="symbolic link"):
        PcapWriter(tmp_path / "link", link_type=1, force=force)
    (tmp_path / "folder").mkdir()
    with pytest.raises(CaptureError, match="not a regular file"):
        PcapWriter(tmp_path / "folder", link_type=1, force=force)
    assert target.read_bytes() == b"mine"


def test_folder_that_is_missing_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"cannot be written: No such file or directory$"):
        PcapWriter(tmp_path / "none" / "out", link_type=1)
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(CaptureError, match=r"cannot be written: Not a directory$"):
        PcapWriter(tmp_path / "plain" / "out", link_type=1)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_said_in_one_line() -> None:
    with open("/dev/full", "wb", buffering=0) as out:  # noqa: PTH123, SIM117
        with pytest.raises(CaptureError, match="cannot be written: No space left"):
            PcapWriter(out, link_type=1)


@pytest.mark.parametrize("order", ["little", "big"])
def test_same_calls_give_the_same_bytes(order: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        with PcapngWriter(tmp_path / name, application="x", byte_order=order) as writer:
            writer.write_frame(Frame(0, 1, 10**18, 1, b"abc", 3, "c"))
            writer.secrets(1, b"k")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_calls_that_no_file_can_hold_are_refused(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a", link_type=1) as pcap, pytest.raises(ValueError, match="1970 to 2106"):
        pcap.write(-1, b"")
    with PcapngWriter(tmp_path / "b") as pcapng:
        with pytest.raises(ValueError, match="an interface of this section"):
            pcapng.write(1, b"")
        pcapng.interface(1)
        with pytest.raises(ValueError, match="a time since 1970"):
            pcapng.write(-1, b"")


def test_microseconds_are_cut_not_rounded(tmp_path: Path) -> None:
    with PcapWriter(tmp_path / "a", link_type=1, nanoseconds=False) as writer:
        writer.write_frame(Frame(0, 1, 1_999_999_999, 1, b"abc", 3))
    assert [frame.time_ns for frame in open_capture(tmp_path / "a").frames()] == [1_999_999_000]
