"""INFORMATIONAL: Delete, liveness, MOBIKE updates, errors (RFC 7296 sections 1.4 and 2.4, RFC 4555)."""

from __future__ import annotations

from typing import ClassVar

from ipsecscope.dissect.body import Body
from ipsecscope.dissect.ikev2 import Delete
from ipsecscope.dissect.natt import Endpoint
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, SecurityProtocol
from ipsecscope.peers import events
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import child, redirect
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.sa import ChildSa, ChildState, IkeSa, State
from ipsecscope.peers.ikev2.sa_init import learn_nat, nat_detection
from ipsecscope.peers.peer import Found, Input, Local, Path, Request

DELETED = Found("the other side deleted the IKE SA")
DELETE_SENT = Found("our Delete is on its way")
DELETE_CONFIRMED = Found("our Delete is confirmed")
FATAL = Found("a fatal error")
CHILD_DELETE_SENT = Local("delete")
CHILD_DELETE_ASKED = Request("D")

_FATAL = (NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_SYNTAX)


class DeleteChild:
    """HDR, SK {D}: the SPI that we receive with."""

    exchange_type: ClassVar = ExchangeType.INFORMATIONAL
    is_exclusive: ClassVar = False

    def __init__(self, doomed: ChildSa, title: str = "deletes a Child SA") -> None:
        self.child = doomed
        self.title = title

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The Delete payload; None when the Child SA is gone already."""
        doomed = self.child
        if doomed not in sa.children:
            return None
        doomed.machine.take(CHILD_DELETE_SENT, sa, doomed, now)
        return (Delete(protocol_id=doomed.protocol, spi_size=len(doomed.spi_in), spis=(doomed.spi_in,)),)

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """The other half is gone as well, whether or not the response says so (RFC 7296 section 1.4.1)."""
        del reply
        child.remove(sa, self.child, now)
        return None

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo."""


class DeleteIke:
    """HDR, SK {D}: the IKE SA itself."""

    exchange_type: ClassVar = ExchangeType.INFORMATIONAL
    is_exclusive: ClassVar = True

    def __init__(self, title: str = "deletes the IKE SA") -> None:
        self.title = title

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """The Delete payload."""
        if sa.state != State.DELETING:
            sa.machine.take(DELETE_SENT, sa, None, now)
        return (Delete(protocol_id=SecurityProtocol.IKE),)

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """The other side confirmed."""
        del sa, reply, now
        return DELETE_CONFIRMED

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo."""


class Probe:
    """HDR, SK {}: are you there (RFC 7296 section 2.4)."""

    exchange_type: ClassVar = ExchangeType.INFORMATIONAL
    is_exclusive: ClassVar = False
    title = "asks whether the other side is alive"

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """No payloads at all."""
        del sa, now
        return ()

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """It is."""
        del sa, reply, now
        return None

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo."""


class UpdateAddresses:
    """HDR, SK {N(UPDATE_SA_ADDRESSES), N(NAT_DETECTION_…)}: our end moved (RFC 4555 section 3.5)."""

    exchange_type: ClassVar = ExchangeType.INFORMATIONAL
    is_exclusive: ClassVar = False
    title = "moved to another address"

    def __init__(self, local: Endpoint) -> None:
        self.local = local

    def begin(self, sa: IkeSa, now: Instant) -> tuple[Body, ...] | None:
        """Go to the new address and say so from there."""
        sa.path = Path(self.local, sa.path.remote)
        sa.say(events.PathMoved, now, role=sa.role, address=self.local.address, port=self.local.port)
        return (note(NotifyType.UPDATE_SA_ADDRESSES), *nat_detection(sa, sa.path))

    def finish(self, sa: IkeSa, reply: Received, now: Instant) -> Input | None:
        """Learn whether there is a NAT now."""
        if reply.error is None:
            learn_nat(sa, reply, now)
        return None

    def give_up(self, sa: IkeSa, now: Instant) -> None:
        """Nothing to undo."""


def answer(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer an INFORMATIONAL request; the response to a probe is empty."""
    assert received is not None
    deletes = list(received.all(Delete))
    if any(body.protocol_id == SecurityProtocol.IKE for body in deletes):
        if sa.config.faults.ignore_delete:
            sa.answer(received, [], now)
            return None
        sa.answer(received, [], now)
        return DELETED
    bodies: list[Body] = []
    for body in deletes:
        bodies += _delete_children(sa, body, now)
    if received.notify(NotifyType.UPDATE_SA_ADDRESSES) is not None:
        bodies += _move(sa, received, now)
    cookie = received.notify(NotifyType.COOKIE2)
    if cookie is not None:  # RFC 4555 section 3.7: returned unmodified
        bodies.append(note(NotifyType.COOKIE2, cookie.data))
    sa.answer(received, bodies, now)
    if redirect.follow(sa, received, now):  # RFC 5685 section 5: the client deletes the IKE SA with the old gateway
        sa.begin(DeleteIke("leaves the gateway that sent it away"), now)
    error = received.error
    return FATAL if error is not None and error.notify_type in _FATAL else None


def _delete_children(sa: IkeSa, body: Delete, now: Instant) -> list[Body]:
    """Delete the other halves; the response names them, unless our own Delete is on its way (RFC 7296 1.4.1)."""
    ours: list[bytes] = []
    for spi in body.spis:
        found = next((each for each in sa.children if each.spi_out == spi and each.protocol == body.protocol_id), None)
        if found is None or sa.config.faults.ignore_delete:
            continue
        crossed = found.machine.state == ChildState.DELETING
        found.machine.take(CHILD_DELETE_ASKED, sa, found, now)
        if not crossed:
            ours.append(found.spi_in)
    if not ours:
        return []
    return [Delete(protocol_id=body.protocol_id, spi_size=len(ours[0]), spis=tuple(ours))]


def _move(sa: IkeSa, received: Received, now: Instant) -> list[Body]:
    """Follow the initiator to its new address (RFC 4555 section 3.5)."""
    if NotifyType.MOBIKE_SUPPORTED not in sa.supported:
        return [note(NotifyType.UNEXPECTED_NAT_DETECTED)]
    sa.path = received.path
    there = received.path.remote
    sa.say(events.PathMoved, now, role=sa.other, address=there.address, port=there.port)
    learn_nat(sa, received, now)
    return list(nat_detection(sa, received.path))


def drop_child(sa: IkeSa, doomed: ChildSa, now: Instant) -> Input | None:
    """Take a Child SA out of use: the other side deleted it."""
    child.remove(sa, doomed, now)
    return None


def answer_empty(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer with nothing: the IKE SA is on its way out."""
    assert received is not None
    deletes_sa = any(body.protocol_id == SecurityProtocol.IKE for body in received.all(Delete))
    sa.answer(received, [], now)
    return DELETED if deletes_sa else None


__all__ = [
    "CHILD_DELETE_ASKED",
    "CHILD_DELETE_SENT",
    "DELETED",
    "DELETE_CONFIRMED",
    "DELETE_SENT",
    "FATAL",
    "DeleteChild",
    "DeleteIke",
    "Probe",
    "UpdateAddresses",
    "answer",
    "answer_empty",
    "drop_child",
]
