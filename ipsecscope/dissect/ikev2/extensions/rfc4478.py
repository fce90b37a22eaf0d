"""RFC 4478: Repeated Authentication in IKEv2."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import U32


class AuthLifetime(NotifyData, of=NotifyType.AUTH_LIFETIME, rfc="4478 3"):
    """Seconds within which the initiator must authenticate again."""

    seconds: Annotated[int, U32]

    def summary(self) -> str:
        """Such as ``3600 s``."""
        return f"{self.seconds} s"
