"""Words for sentences: who, when, how long, which frames. No judgement here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from ipaddress import ip_address

from ipsecscope.timeline.sas import Endpoint, IkeSa, MessageRecord, Role

NANOSECONDS = 10**9
SHOWN_FRAMES = 6  # frames named in one sentence


def seconds(time_ns: int) -> str:
    """A span of time: ``3 ms``, ``4.8 s``, ``12 min``."""
    value = time_ns / NANOSECONDS
    if abs(value) < 0.001:
        return "less than 1 ms"
    if abs(value) < 1:
        return f"{value * 1000:.0f} ms"
    if abs(value) < 120:
        return f"{value:.1f} s"
    return f"{value / 60:.0f} min" if abs(value) < 7200 else f"{value / 3600:.1f} h"


def clock(time_ns: int) -> str:
    """The time of day in UTC; seconds since 1970 where the calendar ends."""
    try:
        moment = datetime.fromtimestamp(time_ns // NANOSECONDS, UTC)
    except (OverflowError, ValueError, OSError):
        return f"@{time_ns / NANOSECONDS:.3f}"
    return f"{moment:%H:%M:%S}.{time_ns % NANOSECONDS // 10**6:03d} UTC"


def frames(records: Iterable[MessageRecord] | Iterable[int]) -> str:
    """``frame 3``, ``frames 3 and 4``, ``frames 3, 4, 5 … 21``."""
    numbers = sorted({each if isinstance(each, int) else each.frame for each in records})
    if not numbers:
        return "no frame"
    if len(numbers) == 1:
        return f"frame {numbers[0]}"
    if len(numbers) > SHOWN_FRAMES:
        return f"frames {', '.join(map(str, numbers[: SHOWN_FRAMES - 1]))} … {numbers[-1]}"
    return f"frames {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def times(count: int) -> str:
    """``once``, ``twice``, ``3 times``."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def counted(count: int, noun: str) -> str:
    """``1 packet``, ``2 packets``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def agreed(count: int, one: str, more: str) -> str:
    """``1 message breaks``, ``2 messages break``."""
    return f"{count} {one if count == 1 else more}"


def span(first: int, last: int) -> str:
    """``frame 3``, ``frames 3 to 21``: everything between the two."""
    return f"frame {first}" if first == last else f"frames {first} to {last}"


def listed(items: Sequence[str], last: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def end_of(sa: IkeSa, role: Role) -> Endpoint:
    """The end of an IKE SA that plays a role."""
    return sa.initiator if role == "initiator" else sa.responder


def who(sa: IkeSa, role: Role) -> str:
    """The address of one end, as first seen."""
    return end_of(sa, role).address


def socket(address: str, port: int) -> str:
    """Address and port; IPv6 in brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def is_private(address: str) -> bool:
    """Whether an address is of a range that nobody routes on the public Internet."""
    try:
        return ip_address(address).is_private
    except ValueError:
        return False
