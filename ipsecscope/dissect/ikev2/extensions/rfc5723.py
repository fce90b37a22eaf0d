"""RFC 5723: IKEv2 Session Resumption."""

from __future__ import annotations

from typing import Annotated

from ipsecscope.dissect.ikev2.notify import NoData, NotifyData
from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.dissect.wire import REST, U32


class TicketWithoutData(
    NoData, of=(NotifyType.TICKET_REQUEST, NotifyType.TICKET_ACK, NotifyType.TICKET_NACK), rfc="5723 7"
):
    """The data of notifications that have none."""


class TicketLtOpaque(NotifyData, of=NotifyType.TICKET_LT_OPAQUE, rfc="5723 7.2"):
    """A ticket and the seconds it can be used for."""

    lifetime: Annotated[int, U32]
    ticket: Annotated[bytes, REST]

    def summary(self) -> str:
        """Such as ``240 octets for 86400 s``."""
        return f"{len(self.ticket)} octets for {self.lifetime} s"


class TicketOpaque(NotifyData, of=NotifyType.TICKET_OPAQUE, rfc="5723 7.3"):
    """The ticket that a client presents to resume its session."""

    ticket: Annotated[bytes, REST]

    def summary(self) -> str:
        """The number of octets."""
        return f"{len(self.ticket)} octets"
