"""RFC 6311: Protocol Support for High Availability of IKEv2/IPsec."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import U32, U64, Bytes

_SIZE_ESN = 8


class SyncSupported(
    NoData,
    of=(NotifyType.IKEV2_MESSAGE_ID_SYNC_SUPPORTED, NotifyType.IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED),
    rfc="6311 8.1",
):
    """The data of notifications that have none."""


class MessageIdSync(NotifyData, of=NotifyType.IKEV2_MESSAGE_ID_SYNC, rfc="6311 8.2"):
    """The Message IDs a cluster member goes on with after a failover."""

    nonce: Annotated[bytes, Bytes(4)]
    expected_send_message_id: Annotated[int, U32]
    expected_receive_message_id: Annotated[int, U32]

    def summary(self) -> str:
        """Such as ``send 7 receive 3``."""
        return f"send {self.expected_send_message_id} receive {self.expected_receive_message_id}"


class ReplayCounterSync(NotifyData, of=NotifyType.IPSEC_REPLAY_COUNTER_SYNC, rfc="6311 8.3"):
    """How far the outgoing sequence numbers of all Child SAs move forward."""

    delta: Annotated[int, U32]

    @classmethod
    def variant(cls, data: bytes) -> type[NotifyData]:
        """The layout with 64 bits, for extended sequence numbers, when the octets are as many."""
        return ReplayCounterSyncExtended if len(data) == _SIZE_ESN else cls

    def summary(self) -> str:
        """The delta."""
        return f"delta {self.delta}"


class ReplayCounterSyncExtended(NotifyData, rfc="6311 8.3"):
    """How far the outgoing extended sequence numbers move forward."""

    delta: Annotated[int, U64]

    def summary(self) -> str:
        """The delta."""
        return f"delta {self.delta}"
