"""The events that are known only when a conversation is complete: outcomes, SAs and Child SAs, NAT verdicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipsecscope.timeline import events
from ipsecscope.timeline.events import Event
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa

_OUTCOMES = {
    "completed": events.EXCHANGE_COMPLETED,
    "retried": events.EXCHANGE_REFUSED,
    "refused": events.EXCHANGE_REFUSED,
}


def milestones(sas: list[IkeSa]) -> Iterator[Event]:
    """The milestones of every IKE SA; not in the order of time."""
    by_id = {sa.id: sa for sa in sas}
    for sa in sas:
        for exchange in sa.exchanges:
            yield from _outcome(sa, exchange)
        yield from _life(sa, by_id)
        for child in sa.child_sas:
            yield from _child(sa, child)


def _event(sa: IkeSa, time_ns: int, name: str, data: dict[str, Any], frame: int = 0, file: int = 0) -> Event:
    return Event(time_ns, name, sa.group_id, file, frame, data)


def _outcome(sa: IkeSa, exchange: Exchange) -> Iterator[Event]:
    name = _OUTCOMES.get(exchange.outcome)
    if name is None:
        return
    last = exchange.records[-1]
    data = {
        "exchange": str(exchange.type),
        "message_id": exchange.message_id,
        "initiated_by": exchange.initiated_by,
        "outcome": exchange.outcome,
    }
    yield _event(sa, exchange.stop_ns, name, data, last.frame, last.datagram.file)


def _life(sa: IkeSa, by_id: dict[str, IkeSa]) -> Iterator[Event]:
    first = sa.exchanges[0]
    if sa.suite is not None:
        data = {"encr": sa.suite.encr, "key_length": sa.suite.key_length, "prf": sa.suite.prf, "ke": list(sa.suite.ke)}
        yield _event(sa, first.stop_ns, events.SA_PROPOSAL_CHOSEN, data)
    if sa.nat.initiator or sa.nat.responder:
        data = {"initiator": sa.nat.initiator, "responder": sa.nat.responder, "forced": sa.nat.forced}
        yield _event(sa, first.stop_ns, events.NAT_DETECTED, data)
    if sa.established_ns is not None:
        yield _event(sa, sa.established_ns, events.SA_ESTABLISHED, {"basis": sa.basis})
    if sa.rekeys is not None and sa.rekeys in by_id:
        data = {"replaces": by_id[sa.rekeys].group_id, "basis": sa.rekey_basis}
        yield _event(sa, sa.start_ns, events.SA_REKEYED, data)
    if sa.closed_ns is not None:
        yield _event(sa, sa.closed_ns, events.SA_CLOSED, {})


def _child(sa: IkeSa, child: ChildSa) -> Iterator[Event]:
    spis = {
        "spi_i": None if child.spi_i is None else f"{child.spi_i:08x}",
        "spi_r": None if child.spi_r is None else f"{child.spi_r:08x}",
    }
    about = {"id": child.id, "protocol": child.protocol, "basis": child.basis} | spis
    if child.created_ns is not None:
        yield _event(sa, child.created_ns, events.CHILD_CREATED, about)
        if child.rekeys is not None:
            yield _event(sa, child.created_ns, events.CHILD_REKEYED, about | {"replaces": child.rekeys})
    if child.deleted_ns is not None:
        yield _event(sa, child.deleted_ns, events.CHILD_DELETED, about)
