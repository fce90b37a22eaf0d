"""Two captures of the same traffic, made packet by packet: what one has and what the other has of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

from packets import START, esp, ethernet, ike, ipv4, udp

from ipsecscope.timeline.comparison import Comparison, State
from ipsecscope.timeline.tap import Tap, read_tap

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
HERE, THERE, OUTSIDE = "10.0.0.1", "192.0.2.9", "198.51.100.7"

Seen = tuple[int, bytes]  # nanoseconds since the start, frame


def write(path: Path, seen: Iterable[Seen], *, snaplen: int = 65535) -> Path:
    """A pcap file with nanoseconds."""
    with path.open("wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, snaplen, 1))
        for when, data in sorted(seen, key=lambda each: each[0]):
            seconds, rest = divmod(START + when, SECOND)
            out.write(struct.pack("<IIII", seconds, rest, min(len(data), snaplen), len(data)) + data[:snaplen])
    return path


def data(
    number: int,
    *,
    back: bool = False,
    size: int = 100,
    outside: bool = False,
    ttl: int = 64,
    tos: int = 0,
    encapsulated: bool = True,
    identification: int = 0,
    salt: int = 0,
) -> bytes:
    """ESP of one flow each way, before or behind a NAT at the sender's side."""
    local, port = (OUTSIDE, 20001) if outside else (HERE, 4500)
    source, target = (THERE, local) if back else (local, THERE)
    content = esp(0x2000 if back else 0x1000, number, size)
    if salt:
        content = content[:8] + bytes([salt]) * 8 + content[16:]
    ports = (4500, port) if back else (port, 4500)
    payload, protocol = (udp(content, *ports), 17) if encapsulated else (content, 50)
    return ethernet(
        ipv4(payload, protocol, source, target, ttl=ttl, tos=tos, identification=identification or number & 0xFFFF)
    )


def message(mid: int = 0, *, back: bool = False, size: int = 80, ttl: int = 64) -> bytes:
    """An IKE message on port 500."""
    source, target = (THERE, HERE) if back else (HERE, THERE)
    flags = 0x20 if back else 0x08
    return ethernet(ipv4(udp(ike(size, message_id=mid, flags=flags, spi_r=b"responds")), 17, source, target, ttl=ttl))


def keepalive(*, outside: bool = False) -> bytes:
    local, port = (OUTSIDE, 20001) if outside else (HERE, 4500)
    return ethernet(ipv4(udp(b"\xff", port, 4500), 17, local, THERE))


def compared(
    folder: Path, a: Sequence[Seen], b: Sequence[Seen], *, throughout: bool = False, snaplen: int = 65535
) -> Comparison:
    """Both captures, read and compared."""
    one, two = taps(folder, a, b, snaplen=snaplen)
    return Comparison(one, two, throughout=throughout)


def taps(folder: Path, a: Sequence[Seen], b: Sequence[Seen], *, snaplen: int = 65535) -> tuple[Tap, Tap]:
    """Both captures, read; ``snaplen`` is B's."""
    return read_tap(str(write(folder / "a.pcap", a))), read_tap(str(write(folder / "b.pcap", b, snaplen=snaplen)))


def states(comparison: Comparison, side: int) -> list[str]:
    """The states of a tap's packets by name."""
    return [State(each).name for each in comparison.states(side).tolist()]


def exchange(
    count: int, *, delay: int = 5 * MILLISECOND, step: int = 100 * MILLISECOND
) -> tuple[list[Seen], list[Seen]]:
    """Packets each way that all pass: what A and B see of them."""
    a, b = [], []
    for number in range(1, count + 1):
        sent = number * step
        a.append((sent, data(number)))
        b.append((sent + delay, data(number, ttl=63)))
        b.append((sent + delay + MILLISECOND, data(number, back=True)))
        a.append((sent + 2 * delay + MILLISECOND, data(number, back=True, ttl=63)))
    return a, b
