"""The log of charon, strongSwan's daemon, with ``ike = 4`` and ``chd = 4`` (and, better, ``mgr = 2``).

``TT[GRP] <conn|id> NAME => N bytes @ 0x…`` and under it the hex dump of thread TT; lines of threads interleave. Lines
with keys carry no SPI. Which IKE SA a set of keys belongs to says, at ``mgr = 2``, the next ``checkin IKEv2 SA
name[id] with SPIs`` of the same thread: for a rekeyed SA, whose keys 5.9 logs under the id of the old one, the new id
is checked in first. Without such lines the SPIs inside ``natd_chunk`` and ``octets`` dumps tell. Ids start again at 1
when the daemon does.

``encryption initiator key`` is the key of what the initiator of the *exchange* sends; whether this daemon was that
says the message of the exchange that the thread parsed last. Keys go to the ``adding`` or ``registering`` lines that
follow; a later ``adding outbound`` without keys is the second half of a rekeying.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ipsecscope.decrypt.keylogs.reading import Reading
from ipsecscope.decrypt.keylogs.registry import importer
from ipsecscope.decrypt.keylogs.strongswan_sas import Daemon
from ipsecscope.decrypt.keylogs.text import Line

DUMP_WIDTH = 16  # octets of a line of a hex dump
MAX_DUMP = 64 * 1024  # octets of one dump

# A thread's number and a group; then, maybe, which connection and SA the line is about.
ENTRY = re.compile(r"(\d{2,5})\[([A-Z]{3})\] (?:<(?:([^>|]*)\|)?(\d+)> )?(.*)$")
DUMP = re.compile(r"(.{1,80}?) => (\d{1,6}) bytes @ (?:0x[0-9a-f]+|\(nil\))\s*$")
DUMP_LINE = re.compile(r"\s*(\d{1,6}): ((?:[0-9A-F]{2} ){0,15}[0-9A-F]{2})(?:\s|$)")

MARK = r"\d{2,5}\[(?:IKE|CHD|MGR|CFG|DMN|NET|ENC|KNL|LIB|JOB)\] "


class Entry:
    """One thing the log says: by which thread, about which SA, and the octets when it is a dump."""

    __slots__ = ("group", "line", "octets", "text", "thread", "unique_id")

    def __init__(self, line: int, thread: str, group: str, unique_id: str, text: str, octets: bytes | None) -> None:
        self.line = line
        self.thread = thread
        self.group = group
        self.unique_id = unique_id
        self.text = text
        self.octets = octets


class _OpenDump:
    """A dump whose lines are still coming."""

    def __init__(self, line: int, found: re.Match[str], name: str, size: int) -> None:
        self.line, self.found, self.name, self.size = line, found, name, size
        self.octets = bytearray()

    def entry(self) -> Entry:
        thread, group, _, unique_id, _ = self.found.groups()
        return Entry(self.line, thread, group, unique_id or "", self.name, bytes(self.octets))


@importer(
    "strongswan",
    "log of strongSwan's charon (ike = 4, chd = 4, mgr = 2)",
    MARK,
    advice="set ike = 4 and chd = 4 in the filelog section of strongswan.conf",
)
def read_strongswan(reading: Reading) -> None:
    """Read the keys of every IKE and child SA, the shared secrets, PSKs, PPKs and MSKs."""
    daemon = Daemon(reading)
    before = len(reading.records)
    for entry in entries(reading, reading.text.lines):
        with reading.line(entry.line):
            daemon.hear(entry)
    daemon.finish()
    if len(reading.records) == before:
        reading.note(0, "this log of charon holds no keys; they are logged with ike = 4 and chd = 4")


def entries(reading: Reading, lines: list[Line]) -> Iterator[Entry]:
    """What the log says, dumps put together by thread. A dump that is not whole becomes a problem."""
    open_dumps: dict[str, _OpenDump] = {}
    for line in lines:
        found = ENTRY.search(line.text)
        if found is None:
            continue
        thread, group, _, unique_id, text = found.groups()
        dump = open_dumps.get(thread)
        if dump is not None:
            more = DUMP_LINE.match(text)
            if more and int(more[1]) == len(dump.octets):
                room = min(DUMP_WIDTH, dump.size - len(dump.octets))
                dump.octets += bytes.fromhex(more[2])[:room]
                if len(dump.octets) == dump.size:
                    del open_dumps[thread]
                    yield dump.entry()
                continue
            del open_dumps[thread]
            _say_cut(reading, dump)
        if begin := DUMP.match(text):
            size = int(begin[2])
            dump = _OpenDump(line.number, found, begin[1].strip(), size)
            if 0 < size <= MAX_DUMP:
                open_dumps[thread] = dump
            elif not size:
                yield dump.entry()
            continue
        yield Entry(line.number, thread, group, unique_id or "", text, None)
    for dump in open_dumps.values():
        _say_cut(reading, dump)


def _say_cut(reading: Reading, dump: _OpenDump) -> None:
    if Daemon.is_interesting(dump.name):
        reading.problem(dump.line, f'the dump of "{dump.name}" has {len(dump.octets)} of {dump.size} octets')
