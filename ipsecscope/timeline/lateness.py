"""Packets that others overtook, and what anti-replay windows of usual sizes do to them (RFC 4303 3.4.3 and appendix A).

A receiver whose window has ``w`` numbers and ends at the highest one that it took drops a packet that is ``w`` or more
behind, whether it saw it before or not. A late packet never moves the window, so the count of drops is exact.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

WINDOWS = (32, 64, 128, 1024)  # numbers: Linux' old default, RFC 4303's least useful one, and what people configure


class Lateness(msgspec.Struct, frozen=True):
    """How late the packets of a flow were: ``most`` numbers at worst.

    ``beyond`` counts for each of ``WINDOWS`` the packets, seen for the first time, that such a receiver drops.
    """

    most: int = 0
    beyond: tuple[int, ...] = (0,) * len(WINDOWS)

    def joined(self, behind: npt.NDArray[np.int64]) -> Lateness:
        """The same with more late packets, each so many numbers behind the highest one."""
        if not len(behind):
            return self
        more = [int(np.count_nonzero(behind >= window)) for window in WINDOWS]
        return Lateness(
            max(self.most, int(behind.max())), tuple(one + two for one, two in zip(self.beyond, more, strict=True))
        )

    def dropped_by(self, window: int) -> int:
        """How many late packets a receiver with a window of this size drops; it must be one of ``WINDOWS``."""
        return self.beyond[WINDOWS.index(window)]


ON_TIME = Lateness()
