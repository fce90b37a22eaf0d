"""Times as text: RFC 3339 UTC with the capture's own precision."""

from __future__ import annotations

from datetime import UTC, datetime

from ipsecscope.timeline.analysis import Analysis

NANOSECONDS = 10**9


class Clock:
    """Writes times as RFC 3339 UTC with as many digits as the finest clock of the input has."""

    def __init__(self, resolution_ns: int) -> None:
        self.digits = next((digits for digits in (0, 3, 6) if 10 ** (9 - digits) <= resolution_ns), 9)

    def __call__(self, time_ns: int | None) -> str | None:
        """The text of a time; None for None and for times that RFC 3339 cannot write."""
        if time_ns is None:
            return None
        seconds, rest = divmod(time_ns, NANOSECONDS)
        try:
            date = datetime.fromtimestamp(seconds, UTC)
        except (OverflowError, ValueError, OSError):
            return None
        fraction = f".{rest:09d}"[: self.digits + 1] if self.digits else ""
        return f"{date:%Y-%m-%dT%H:%M:%S}{fraction}Z" if date.year >= 1000 else None

    def always(self, time_ns: int) -> str:
        """The text of a time; seconds since 1970 where RFC 3339 cannot write it."""
        return self(time_ns) or f"@{time_ns / NANOSECONDS:.9f}"


def clock_of(analysis: Analysis) -> Clock:
    """The clock with the precision of the finest interface of the input."""
    return Clock(min((each.resolution_ns for file in analysis.files for each in file.interfaces), default=1000))
