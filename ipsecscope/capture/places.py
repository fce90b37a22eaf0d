"""Where records stand in a capture file, for whoever points at octets of it."""

from __future__ import annotations

from collections.abc import Iterable

from ipsecscope.capture.files import CaptureReader


def record_places(path: str, frames: Iterable[int]) -> dict[int, tuple[int, int]]:
    """Offset and length of the data of some records of a file, by their 1-based number.

    Offsets are those of the unpacked file. Reads the file up to the last record that is wanted.
    Raises CaptureError when it cannot be read.
    """
    wanted = sorted(set(frames), reverse=True)
    found: dict[int, tuple[int, int]] = {}
    with CaptureReader(path) as reader:
        for records in reader.windows():
            last = records.first_number + len(records) - 1
            while wanted and wanted[-1] <= last:
                index = wanted[-1] - records.first_number
                if index >= 0:
                    found[wanted[-1]] = (records.base + int(records.offset[index]), int(records.captured[index]))
                wanted.pop()
            if not wanted:
                break
    return found
