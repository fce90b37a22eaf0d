"""3GPP TS 24.302: configuration attributes of access to the Evolved Packet Core over non-3GPP networks."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.configuration import ConfigurationValue
from ipsecscope.dissect.registry.ikev2 import ConfigurationAttributeType
from ipsecscope.dissect.wire import U16, U32


class KeepAliveTimer(ConfigurationValue, of=ConfigurationAttributeType.FTT_KAT, rfc="TS 24.302 8.2.4"):
    """The keep-alive timer of the firewall traversal tunnel, in seconds."""

    seconds: Annotated[int, U16]

    def summary(self) -> str:
        """Such as ``20 s``."""
        return f"{self.seconds} s"


class LivenessCheckTimeout(
    ConfigurationValue, of=ConfigurationAttributeType.TIMEOUT_PERIOD_FOR_LIVENESS_CHECK, rfc="TS 24.302 8.2.4.2"
):
    """Seconds without a protected message after which the client checks that the gateway lives."""

    seconds: Annotated[int, U32]

    def summary(self) -> str:
        """Such as ``90 s``."""
        return f"{self.seconds} s"
