"""Verify, do not just print: every proof of an IKE SA that the keys at hand allow to check.

AUTH payloads, HASH and SIG payloads, cookies that have to come back. A certificate is taken as it came: a signature
by its key is verified, whether anybody should trust it is not asked.
"""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.dissect import ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.decryption import KeyOpener
from ipsecscope.timeline.ikev2_keys import Ikev2Opener
from ipsecscope.timeline.sas import MessageRecord, Role, other
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker
from ipsecscope.timeline.verdicts import Detail, Verified, detail_of, together
from ipsecscope.timeline.verification_ikev1 import Ikev1Verifier
from ipsecscope.timeline.verification_ikev2 import Ikev2Verifier, notify_data

__all__ = ["Detail", "Verified", "verify_sa"]

MAX_CHAIN = 4096  # rekeyings followed back to the IKE SA that authenticated

_INITIAL = (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)


def verify_sa(sa: SaTracker, opener: KeyOpener) -> Verified:
    """Check every proof in the messages of an IKE SA; to be called once the correlator has finished.

    Args:
        sa: the IKE SA with all its exchanges.
        opener: the opener that the correlator was given, with the key ring that filled it.
    """
    if sa.version == 1:
        return together(Ikev1Verifier(sa, opener.ikev1).details())
    own = [*Ikev2Verifier(sa, opener.ikev2).details(), *_cookies(sa), *_cookies2(sa)]
    return together([*_inherited(sa, opener.ikev2), *own])


def _inherited(sa: SaTracker, opener: Ikev2Opener) -> Iterator[Detail]:
    """What the first IKE SA of a chain of rekeyings proved holds for those that were made inside it, RFC 7296 2.18."""
    roles: dict[Role, Role] = {"initiator": "initiator", "responder": "responder"}  # here -> in the SA looked at
    oldest, made = sa, _made_by(sa, opener)
    steps: list[MessageRecord] = []
    while made is not None and len(steps) < MAX_CHAIN:
        oldest, exchange = made
        steps.append(exchange.response[-1])
        if exchange.initiated_by == "responder":
            roles = {role: other(before) for role, before in roles.items()}
        made = _made_by(oldest, opener)
    if not steps:
        return
    proven = together(Ikev2Verifier(oldest, opener).details())
    for role, before in roles.items():
        verdict = proven.initiator if before == "initiator" else proven.responder
        if verdict is not None:
            why = f"made by CREATE_CHILD_SA, {len(steps)} rekeying(s) after {oldest.id}, where this side authenticated"
            record = steps[0]
            yield Detail("rekeying", verdict, record.frame, why, role, record.datagram.file, decides=True)


def _made_by(sa: SaTracker, opener: Ikev2Opener) -> tuple[SaTracker, ExchangeTracker] | None:
    """The IKE SA that a rekeyed one replaces, and the opened exchange that made it."""
    made = opener.rekeyings.get((sa.spi_i, sa.spi_r or b""))
    if made is None or not opener.state(sa).proven:
        return None
    for exchange in made[0].exchanges:
        offered = (body for record in exchange.request for body in bodies(record.payloads, ikev2.SecurityAssociation))
        if exchange.response and any(each.spi == sa.spi_i for body in offered for each in body.proposals):
            return made[0], exchange
    return None


def _cookies(sa: SaTracker) -> Iterator[Detail]:
    """Whether a COOKIE came back unchanged with the next IKE_SA_INIT request, RFC 7296 section 2.6."""
    records = sorted(
        (record for each in sa.exchanges if each.type in _INITIAL for record in (*each.request, *each.response)),
        key=lambda record: record.number,
    )
    asked: bytes | None = None
    for record in records:
        cookie = notify_data(record.message.payloads, NotifyType.COOKIE)
        if record.sender == "responder":
            asked = cookie if cookie is not None else asked
        elif asked is not None:
            yield _returned(record, "COOKIE", asked, cookie)
            asked = None


def _cookies2(sa: SaTracker) -> Iterator[Detail]:
    """Whether the response repeats the COOKIE2 of its request, RFC 4555 section 3.7."""
    for exchange in sa.exchanges:
        asked = next(
            (
                notify.data
                for record in exchange.request
                for notify in bodies(record.payloads, ikev2.Notify)
                if notify.notify_type == NotifyType.COOKIE2
            ),
            None,
        )
        if asked is None:
            continue
        for record in exchange.response:
            if record.opening is not None and record.opening.payloads:
                yield _returned(record, "COOKIE2", asked, notify_data(record.payloads, NotifyType.COOKIE2))


def _returned(record: MessageRecord, what: str, asked: bytes, given: bytes | None) -> Detail:
    if given == asked:
        return detail_of(record, what, verdict=True, why="returned unchanged")
    why = "not returned" if given is None else f"{len(given)} octets returned that are not the {len(asked)} asked for"
    return detail_of(record, what, verdict=False, why=why)
