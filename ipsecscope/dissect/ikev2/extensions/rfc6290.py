"""RFC 6290: A Quick Crash Detection Method for IKE."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import REST


class QuickCrashDetection(NotifyData, of=NotifyType.QUICK_CRASH_DETECTION, rfc="6290 4.1"):
    """16 to 128 octets that, sent in the clear later, prove that the sender has lost the SA."""

    token: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"token of {len(self.token)} octets"
