"""RFC 9347: Aggregation and Fragmentation Mode for ESP and Its Use for IP Traffic Flow Security (IP-TFS)."""

from __future__ import annotations

from enum import IntFlag
from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import U8


class AggfragFlags(IntFlag):
    """What the sender asks of the AGGFRAG payloads that it will receive (RFC 9347 section 5.1)."""

    DO_NOT_FRAGMENT = 0x01
    CONGESTION_CONTROL = 0x02


class UseAggfrag(NotifyData, of=NotifyType.USE_AGGFRAG, rfc="9347 5.1"):
    """Requirements for the receiving side of an AGGFRAG tunnel."""

    flags: Annotated[AggfragFlags, U8]

    def summary(self) -> str:
        """The names of the flags that are set."""
        names = [str(flag.name) for flag in AggfragFlags if flag in self.flags]
        return " ".join(names) or "no flags"
