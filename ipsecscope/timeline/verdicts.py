"""The values of verification: one verdict per proof that was seen, and what they say of an IKE SA together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePath

import msgspec

from ipsecscope.decrypt.keys import Origin
from ipsecscope.timeline.sas import MessageRecord, Role
from ipsecscope.timeline.tracking import SaTracker

MAX_DETAILS = 4096  # verdicts kept per IKE SA
ANYBODY = frozenset({"%any", "%any4", "%any6", "0.0.0.0", "::", "*"})  # noqa: S104 (how key files spell "everybody")


class Detail(msgspec.Struct, frozen=True):
    """One proof: what it is, whether it holds, the frame it stands in, and why, in one sentence.

    ``sender`` is whose proof it is; ``decides`` whether it says that the sender is who holds the secret. A HASH(1) or
    a COOKIE2 does not.
    """

    what: str
    verdict: bool | None
    frame: int
    why: str
    sender: Role | None = None
    file: int = 0
    decides: bool = False


class Verified(msgspec.Struct, frozen=True):
    """Whether each side proved its identity, and whether both did: true, false, or None where nobody can tell.

    ``verified`` is false when one side's proof is wrong, true when both are right.
    """

    initiator: bool | None = None
    responder: bool | None = None
    verified: bool | None = None
    details: tuple[Detail, ...] = ()


def detail_of(record: MessageRecord, what: str, verdict: bool | None, why: str, *, decides: bool = False) -> Detail:
    """A detail about something in a message."""
    return Detail(what, verdict, record.frame, why, record.sender, record.datagram.file, decides)


def together(details: Iterable[Detail]) -> Verified:
    """The verdict on an IKE SA: one wrong proof of a side outweighs its right ones."""
    kept = tuple(details)[:MAX_DETAILS]
    initiator, responder = _side(kept, "initiator"), _side(kept, "responder")
    verified: bool | None = None
    if initiator is False or responder is False:
        verified = False
    elif initiator and responder:
        verified = True
    return Verified(initiator, responder, verified, kept)


def _side(details: tuple[Detail, ...], role: Role) -> bool | None:
    verdicts = [each.verdict for each in details if each.decides and each.sender == role]
    if False in verdicts:
        return False
    return True if True in verdicts else None


def is_for(ids: tuple[str, ...], sa: SaTracker, names: Iterable[str], spi_i: bytes | None = None) -> bool:
    """Whether a secret with these identities is meant for the ends of an IKE SA; one without any is for everybody.

    One that was told of a single IKE SA (``spi_i``) is for that one only.
    """
    if spi_i is not None and spi_i != sa.spi_i:
        return False
    wanted = {each.lower().removeprefix("@") for each in ids}
    if not wanted or wanted & ANYBODY:
        return True
    known = {each.lower() for each in names} | {address for end in sa.ends.values() for address, _ in end.seen}
    return bool(wanted & known)


def place_of(origin: Origin) -> str:
    """Where a secret stands: the name of its file and the line; never its octets."""
    return f"{PurePath(origin.file).name}:{origin.line}"
