"""Child SAs and their flows: by SPI where one was read, by time and addresses where none was.

A flow that begins after IKE_AUTH, CREATE_CHILD_SA or Quick Mode between the same addresses belongs to the Child SA
that this exchange made. Such children are marked ``inferred``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import Literal

import msgspec

from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.timeline.flows import Flow
from ipsecscope.timeline.sas import ChildSa, Exchange, IkeSa, Role
from ipsecscope.timeline.settle import role_of

# ESP may overtake the message that completes its Child SA: the side that has keys first sends at once.
EARLY_NS = 2 * 10**9
MAX_LOOKED_AT = 1_000  # exchanges before a flow that are looked at to find the one that made its Child SA

_MAKES_CHILDREN = frozenset({int(ExchangeType.IKE_AUTH), int(ExchangeType.CREATE_CHILD_SA)})

Basis = Literal["spi", "inferred"]


class Binding(msgspec.Struct, frozen=True):
    """Which SA a flow belongs to and how that is known."""

    ike_sa: str
    child_sa: str | None
    basis: Basis


class _Slot(msgspec.Struct):
    """A place for one inferred Child SA: the exchange that made it and the flows it took so far."""

    sa: IkeSa
    start_ns: int
    flows: dict[tuple[str, str], Flow] = {}


def bind_flows(sas: list[IkeSa], flows: Iterable[Flow]) -> tuple[list[IkeSa], dict[str, Binding]]:
    """Give every IKE SA its children and every flow its SA. Flows without a candidate stay unbound."""
    bindings: dict[str, Binding] = {}
    by_spi = _by_spi(sas)
    unread = [flow for flow in flows if not _bind_by_spi(by_spi, flow, bindings)]
    slots = _slots(sas)
    by_addresses: dict[frozenset[str], list[_Slot]] = {}
    for slot in slots:
        for pair in _pairs(slot.sa):
            by_addresses.setdefault(pair, []).append(slot)
    for flow in unread:
        _bind_by_time(flow, by_addresses.get(frozenset({flow.src, flow.dst}), []))
    return _with_children(sas, slots, bindings), bindings


def _by_spi(sas: list[IkeSa]) -> dict[tuple[str, int | None], list[tuple[IkeSa, ChildSa]]]:
    """The children under each protocol and SPI of theirs, in order."""
    found: dict[tuple[str, int | None], list[tuple[IkeSa, ChildSa]]] = {}
    for sa in sas:
        for child in sa.child_sas:
            for spi in dict.fromkeys((child.spi_i, child.spi_r)):
                found.setdefault((child.protocol, spi), []).append((sa, child))
    return found


def _bind_by_spi(
    by_spi: dict[tuple[str, int | None], list[tuple[IkeSa, ChildSa]]], flow: Flow, bindings: dict[str, Binding]
) -> bool:
    for sa, child in by_spi.get((flow.protocol, flow.spi), ()):
        receiver = role_of(sa, flow.dst)
        expected = child.spi_i if receiver == "initiator" else child.spi_r
        if receiver is None or expected == flow.spi:
            bindings[flow.id] = Binding(sa.id, child.id, "spi")
            return True
    return False


def _slots(sas: list[IkeSa]) -> list[_Slot]:
    slots = []
    for sa in sas:
        made = [each for each in sa.exchanges if _makes_child(sa, each)]
        if sa.version == 1 or not _is_first(made):
            slots += [_Slot(sa, each.start_ns) for each in made]
        else:  # IKE_AUTH takes several exchanges with EAP; together they make one child (RFC 7296 2.16)
            auths = [each for each in made if each.type == ExchangeType.IKE_AUTH]
            slots += [_Slot(sa, auths[-1].start_ns)]
            slots += [_Slot(sa, each.start_ns) for each in made if each.type != ExchangeType.IKE_AUTH]
        if not made and sa.state in {"established", "unknown", "rekeyed"}:
            slots.append(_Slot(sa, sa.start_ns if sa.handshake_seen else 0))
    return sorted(slots, key=lambda slot: slot.start_ns)


def _is_first(made: list[Exchange]) -> bool:
    return any(each.type == ExchangeType.IKE_AUTH for each in made)


def _makes_child(sa: IkeSa, exchange: Exchange) -> bool:
    if exchange.outcome == "refused" or not exchange.response:
        return False
    if sa.version == 1:
        return int(exchange.type) == int(IsakmpExchangeType.QUICK_MODE)
    return int(exchange.type) in _MAKES_CHILDREN


def _pairs(sa: IkeSa) -> set[frozenset[str]]:
    """All address pairs that an IKE SA was seen between."""
    return {frozenset({first, second}) for first, _ in sa.initiator.addresses for second, _ in sa.responder.addresses}


def _bind_by_time(flow: Flow, slots: list[_Slot]) -> None:
    """File a flow under the latest exchange before it that lacks a flow of this protocol and direction."""
    position = bisect_right(slots, flow.first_ns, key=lambda slot: slot.start_ns) or bisect_right(
        slots, flow.first_ns + EARLY_NS, key=lambda slot: slot.start_ns
    )
    for slot in reversed(slots[max(0, position - MAX_LOOKED_AT) : position]):
        key = (flow.protocol, _direction(slot.sa, flow))
        if key not in slot.flows:
            slot.flows = {**slot.flows, key: flow}
            return


def _direction(sa: IkeSa, flow: Flow) -> Role:
    """The role of the receiver."""
    receiver = role_of(sa, flow.dst)
    if receiver is not None:
        return receiver
    sender = role_of(sa, flow.src)
    return "initiator" if sender == "responder" else "responder"


def _with_children(sas: list[IkeSa], slots: list[_Slot], bindings: dict[str, Binding]) -> list[IkeSa]:
    number = sum(len(sa.child_sas) for sa in sas)
    children: dict[str, list[ChildSa]] = {sa.id: [] for sa in sas}
    for slot in slots:
        for protocol in sorted({protocol for protocol, _ in slot.flows}):
            number += 1
            to_initiator = slot.flows.get((protocol, "initiator"))
            to_responder = slot.flows.get((protocol, "responder"))
            present = [flow for flow in (to_initiator, to_responder) if flow is not None]
            child = ChildSa(
                id=f"child-{number}",
                protocol=protocol,
                spi_i=None if to_initiator is None else to_initiator.spi,
                spi_r=None if to_responder is None else to_responder.spi,
                basis="inferred",
                flows=tuple(flow.id for flow in sorted(present, key=lambda flow: flow.first_ns)),
                created_ns=slot.start_ns or None,
            )
            children[slot.sa.id].append(child)
            for flow in present:
                bindings[flow.id] = Binding(slot.sa.id, child.id, "inferred")
    bound: dict[str, list[str]] = {}
    for flow_id, binding in bindings.items():
        if binding.basis == "spi" and binding.child_sa is not None:
            bound.setdefault(binding.child_sa, []).append(flow_id)
    return [
        msgspec.structs.replace(
            sa,
            child_sas=(
                *(msgspec.structs.replace(child, flows=tuple(bound.get(child.id, ()))) for child in sa.child_sas),
                *children[sa.id],
            ),
        )
        for sa in sas
    ]
