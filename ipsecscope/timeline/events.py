"""The event vocabulary: what happened, in qlog's shape and without opinion."""

from __future__ import annotations

from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True):
    """One thing that happened.

    ``time_ns`` is nanoseconds since 1970 UTC, ``name`` is ``category:event``, ``group_id`` is ``<spi_i>_<spi_r>`` of
    the IKE SA concerned (empty when there is none), ``file`` and ``frame`` say where it was seen.
    """

    time_ns: int
    name: str
    group_id: str = ""
    file: int = 0
    frame: int = 0
    data: dict[str, Any] = msgspec.field(default_factory=dict)


MESSAGE = "ike:message"
RETRANSMISSION = "ike:retransmission"
UNREADABLE = "ike:unreadable"
EXCHANGE_COMPLETED = "exchange:completed"
EXCHANGE_REFUSED = "exchange:refused"
SA_SEEN = "ike_sa:seen"
SA_PROPOSAL_CHOSEN = "ike_sa:proposal_chosen"
SA_ESTABLISHED = "ike_sa:established"
SA_REKEYED = "ike_sa:rekeyed"
SA_CLOSED = "ike_sa:closed"
CHILD_CREATED = "child_sa:created"
CHILD_REKEYED = "child_sa:rekeyed"
CHILD_DELETED = "child_sa:deleted"
NAT_DETECTED = "nat:detected"
PATH_MOVED = "path:moved"
ICMP_ERROR = "icmp:error"

NAMES = frozenset(
    {
        MESSAGE,
        RETRANSMISSION,
        UNREADABLE,
        EXCHANGE_COMPLETED,
        EXCHANGE_REFUSED,
        SA_SEEN,
        SA_PROPOSAL_CHOSEN,
        SA_ESTABLISHED,
        SA_REKEYED,
        SA_CLOSED,
        CHILD_CREATED,
        CHILD_REKEYED,
        CHILD_DELETED,
        NAT_DETECTED,
        PATH_MOVED,
        ICMP_ERROR,
    }
)
