"""ESP, AH and keepalives as columns: a window of records classified at once, the rest handed to the scalar pipeline.

The simple shapes (Ethernet with at most one tag, cooked, raw and loopback links; IPv4 without options, IPv6 without
extension headers; no fragments) are read with numpy. A row that is not fully understood goes to ``Pipeline``, whose
ESP, AH and keepalives become rows as well: a mask, never a guess. What is dropped here is what ``Pipeline`` would drop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ipsecscope.capture.datagrams import Datagram, Encapsulation, Kind
from ipsecscope.capture.duplicates import MAX_DISTANCE, Sighting
from ipsecscope.capture.headers import Packets, read_headers
from ipsecscope.capture.pipeline import BULK, Pipeline
from ipsecscope.capture.records import Records
from ipsecscope.capture.sorting import Fate, sort_packets
from ipsecscope.capture.walk import address_text

Indices = npt.NDArray[np.int64]
