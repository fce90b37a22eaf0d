"""From trackers to values: states, suites, identities, NAT verdicts, rekey chains.

What was read is ``observed`` or ``decrypted``; what follows from sizes, times and addresses is marked ``inferred``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any

import msgspec

from ipsecscope.capture.datagrams import Encapsulation
from ipsecscope.dissect import ikev2
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.dissect.registry.isakmp import ExchangeType as IsakmpExchangeType
from ipsecscope.dissect.registry.vendor_ids import identify
from ipsecscope.timeline.contents import bodies, chosen_ikev1, chosen_ikev2, ikev2_suite, offer_of
from ipsecscope.timeline.nat import nat_of
from ipsecscope.timeline.opened import REFUSES_SA, Facts, facts_of, ikev1_auth
from ipsecscope.timeline.sas import Basis, Endpoint, Exchange, IkeSa, MessageRecord, Role, State, Suite
from ipsecscope.timeline.tracking import ExchangeTracker, SaTracker

MAX_LOOKED_AT = 1_000  # rekeyings before an SA that are looked at to find the one that made it
NAT_T_PORT = 4500
REKEY_WINDOW_NS = 60 * 10**9  # how soon after CREATE_CHILD_SA a SA that the responder speaks first in must begin
# The smallest IKE_AUTH response that can carry IDr and AUTH: header 28, SK header 4, IDr 8+4, AUTH 8+16, and one octet
# of padding length, IV 8, ICV 8. Anything shorter is an error notify (RFC 7296 1.2 and 2.21.2) or an EAP step.
MIN_AUTH_RESPONSE = 28 + 4 + 12 + 24 + 1 + 8 + 8

# The last one of several rounds of EAP has no IDr (RFC 7296 2.16): shorter than AUTH 8+20 alone, it is EAP's Failure
# of 8 octets, with or without a notify of 8.
MIN_LAST_RESPONSE = 28 + 4 + 28 + 1 + 8 + 8

_MODES = {
    int(IsakmpExchangeType.IDENTITY_PROTECTION): "main",
    int(IsakmpExchangeType.AGGRESSIVE): "aggressive",
    int(IsakmpExchangeType.BASE): "base",
}


def settle(trackers: list[SaTracker]) -> list[IkeSa]:
    """The IKE SAs as values, rekey chains linked; child SAs are bound later."""
    _link_rekeys(trackers)
    sas = _inherited([_settle(sa) for sa in trackers])
    replaced = {sa.rekeys for sa in sas if sa.rekeys is not None}
    return [
        msgspec.structs.replace(sa, state="rekeyed")
        if sa.id in replaced and sa.state in {"established", "closed"}
        else sa
        for sa in sas
    ]


def _inherited(sas: list[IkeSa]) -> list[IkeSa]:
    """The SAs with what those that rekeying made have from the exchange that made them (RFC 7296 2.18).

    The suite was chosen there, and the ends are who they proved to be before; who began that exchange is the initiator
    of the new SA. Only what was decrypted is inherited.
    """
    by_id = {sa.id: sa for sa in sas}
    for sa in sas:  # in the order of time: the replaced SA has inherited already
        old = by_id.get(sa.rekeys or "")
        made = None if old is None or sa.rekey_basis != "decrypted" else _made_by(old, sa)
        if old is None or made is None:
            continue
        exchange, suite = made
        ends = (
            (old.initiator, old.responder) if exchange.initiated_by == "initiator" else (old.responder, old.initiator)
        )
        by_id[sa.id] = msgspec.structs.replace(
            sa,
            suite=sa.suite or suite,
            initiator=msgspec.structs.replace(sa.initiator, id=sa.initiator.id or ends[0].id),
            responder=msgspec.structs.replace(sa.responder, id=sa.responder.id or ends[1].id),
        )
    return list(by_id.values())


def _made_by(old: IkeSa, new: IkeSa) -> tuple[Exchange, Suite] | None:
    """The CREATE_CHILD_SA of the old SA in which the responder chose the new one's SPI and suite."""
    for exchange in old.exchanges:
        for record in exchange.response if exchange.type == ExchangeType.CREATE_CHILD_SA else ():
            for body in bodies(record.payloads, ikev2.SecurityAssociation):
                if body.proposals and body.proposals[0].spi == new.spi_r:
                    return exchange, ikev2_suite(body.proposals[0])
    return None


def _settle(sa: SaTracker) -> IkeSa:
    facts = facts_of(sa)
    state, basis, established = _state(sa)
    if facts.state is not None:
        state, basis, established = facts.state, "decrypted", facts.established_ns or established
    for role, identity in facts.ids.items():
        sa.ends[role].id = identity
    return IkeSa(
        id=sa.id,
        version=sa.version,
        spi_i=sa.spi_i,
        spi_r=sa.spi_r,
        mode=_mode(sa),
        initiator=_endpoint(sa, "initiator"),
        responder=_endpoint(sa, "responder"),
        state=state,
        basis=basis,
        exchanges=tuple(exchange.freeze() for exchange in sa.exchanges),
        suite=_suite(sa),
        offers=tuple(_offers(sa)),
        nat=nat_of(sa),
        nat_t=any(map(_floated, _records(sa))),
        auth=_auth(sa, facts),
        established_ns=established,
        closed_ns=facts.closed_ns,
        rekeys=sa.rekeys,
        rekey_basis=sa.rekey_basis,
        handshake_seen=sa.handshake_seen,
    )


def _records(sa: SaTracker) -> Iterator[MessageRecord]:
    for exchange in sa.exchanges:
        yield from exchange.request
        yield from exchange.response


def _mode(sa: SaTracker) -> str | None:
    if sa.version != 1:
        return None
    return next((_MODES[int(each.type)] for each in sa.exchanges if int(each.type) in _MODES), None)


def _floated(record: MessageRecord) -> bool:
    """Whether a message came by UDP where ESP may follow (RFC 3948); in TCP the marker says nothing of the kind."""
    datagram = record.datagram
    by_udp = datagram.encapsulation is Encapsulation.UDP
    return by_udp and (datagram.marker or NAT_T_PORT in (datagram.sport, datagram.dport))


def _endpoint(sa: SaTracker, role: Role) -> Endpoint:
    end = sa.ends[role]
    spis = (sa.spi_i, sa.spi_r or bytes(8))
    found = [identify(data, spis) for data in end.vendor_ids]  # Cisco IOS computes its own from the SPIs
    vendors = dict.fromkeys(each.vendor for each in found if each is not None and each.vendor)
    names = dict.fromkeys(
        str(each) if each is not None else f"unknown {data.hex()}"
        for each, data in zip(found, end.vendor_ids, strict=True)
    )
    return Endpoint(
        address=end.address,
        port=end.port,
        addresses=tuple(end.seen),
        id=end.id,
        vendors=tuple(vendors),
        vendor_ids=tuple(names),
    )


def _suite(sa: SaTracker) -> Suite | None:
    """The suite that the responder chose in the clear; of several answers the last one counts."""
    chosen = None
    for exchange in sa.exchanges:
        if not _begins(sa, exchange):
            continue
        for record in exchange.response:
            payloads = record.payloads
            suite = chosen_ikev1(payloads) if sa.version == 1 else chosen_ikev2(payloads)
            chosen = suite or chosen
    return chosen


def _begins(sa: SaTracker, exchange: ExchangeTracker) -> bool:
    """Whether an exchange negotiates the IKE SA itself."""
    if sa.version == 1:
        return exchange.message_id == 0 and int(exchange.type) in _MODES
    return exchange.type in (ExchangeType.IKE_SA_INIT, ExchangeType.IKE_SESSION_RESUME)


def _offers(sa: SaTracker) -> Iterator[dict[str, Any]]:
    for exchange in sa.exchanges:
        if not _begins(sa, exchange):
            continue
        for record in sorted((*exchange.request, *exchange.response), key=lambda each: each.number):
            proposals = offer_of(record.payloads)
            if proposals is not None:
                yield {"from": record.sender, "frame": record.frame, "proposals": proposals}


def _auth(sa: SaTracker, facts: Facts) -> dict[str, Any]:
    words: dict[Role, str] = dict(facts.auth)
    suite = _suite(sa)
    if sa.version == 1 and suite is not None and suite.auth is not None:
        words = ikev1_auth(suite.auth)
    return {"initiator": words.get("initiator"), "responder": words.get("responder")}


# -- states -----------------------------------------------------------------------------------------------------


def _state(sa: SaTracker) -> tuple[State, Basis, int | None]:
    """State, how it is known, and when the SA was established."""
    return _ikev1_state(sa) if sa.version == 1 else _ikev2_state(sa)


def _ikev2_state(sa: SaTracker) -> tuple[State, Basis, int | None]:
    initial = [each for each in sa.exchanges if _begins(sa, each)]
    auths = [each for each in sa.exchanges if each.type == ExchangeType.IKE_AUTH]
    later = [each for each in sa.exchanges if each.type == ExchangeType.CREATE_CHILD_SA]
    if auths:
        return _after_auth(auths, later)
    if later or any(each.type == ExchangeType.INFORMATIONAL and each.is_answered for each in sa.exchanges):
        return "established", "inferred", None
    if not initial:
        return "unknown", "observed", None
    last = initial[-1]
    if last.outcome == "refused":
        return "failed", "observed", None
    if last.outcome == "unanswered":
        return _unfinished(last)
    following = [each for each in sa.exchanges if not _begins(sa, each)]
    if following and following[-1].outcome == "unanswered":
        return _unfinished(following[-1])
    return "half-open", "observed", None


def _after_auth(auths: list[ExchangeTracker], later: list[ExchangeTracker]) -> tuple[State, Basis, int | None]:
    """The state of an SA that came as far as IKE_AUTH; ``later`` are its CREATE_CHILD_SA exchanges."""
    refused = next((each for each in auths if each.outcome == "refused"), None)
    answered = [each for each in auths if each.is_answered]
    if refused is not None and _refuses_sa(refused):
        return "failed", refused.basis, None
    if not answered or auths[-1].outcome == "unanswered":
        return _unfinished(auths[-1])
    when = answered[-1].response[-1].time_ns
    if later:
        return "established", "inferred", when
    if _is_short(answered[0]) or _is_short(answered[-1], MIN_LAST_RESPONSE):
        return "failed", "inferred", None
    return "established", "inferred", when


def _refuses_sa(exchange: ExchangeTracker) -> bool:
    """Whether a refused IKE_AUTH refused the IKE SA, not only its first Child SA (RFC 7296 1.2 and 2.21.2)."""
    return exchange.refusal in REFUSES_SA


def _unfinished(exchange: ExchangeTracker) -> tuple[State, Basis, int | None]:
    """An SA whose last step has no answer: given up when the step was repeated, half-open when it was not."""
    repeated = any(record.sender == exchange.initiated_by for record in exchange.repeats)
    return ("failed", "inferred", None) if repeated else ("half-open", "observed", None)


def _is_short(exchange: ExchangeTracker, least: int = MIN_AUTH_RESPONSE) -> bool:
    """Whether an IKE_AUTH response that was not opened is too short for IDr and AUTH, or for AUTH."""
    if any(record.opening is not None and record.opening.is_open for record in exchange.response):
        return False
    size = sum(record.datagram.wire_length for record in exchange.response if record.fragment is not None)
    whole = [record.datagram.wire_length for record in exchange.response if record.fragment is None]
    return max([size, *whole]) < least


def _ikev1_state(sa: SaTracker) -> tuple[State, Basis, int | None]:
    phase_one = [each for each in sa.exchanges if _begins(sa, each)]
    others = [each for each in sa.exchanges if not _begins(sa, each)]
    quick = [each for each in others if int(each.type) == int(IsakmpExchangeType.QUICK_MODE) and each.is_answered]
    done = next((each for each in phase_one if each.outcome == "completed"), None)
    if done is not None:
        when = max(record.time_ns for record in (*done.request, *done.response))
        return "established", "inferred" if not quick else "observed", when
    if quick:
        return "established", "inferred", None
    if any(each.refusal is not None for each in sa.exchanges):
        return "failed", "observed", None
    if not phase_one:
        return "unknown", "observed", None
    if not phase_one[0].is_answered or phase_one[0].repeats:
        return _unfinished_v1(phase_one[0])
    return "half-open", "observed", None


def _unfinished_v1(exchange: ExchangeTracker) -> tuple[State, Basis, int | None]:
    return ("failed", "inferred", None) if exchange.repeats else ("half-open", "observed", None)


# -- rekey chains -----------------------------------------------------------------------------------------------


def _link_rekeys(trackers: list[SaTracker]) -> None:
    """Link SAs whose handshake was inside another SA: new SPIs, message ids from 0, right after CREATE_CHILD_SA.

    With keys the SPIs were read and the link is there already; without, time and addresses decide (RFC 7296 2.18).
    """
    rekeying = sorted(
        (
            (max(record.time_ns for record in exchange.response), sa)
            for sa in trackers
            if sa.version != 1
            for exchange in sa.exchanges
            if exchange.type in (ExchangeType.CREATE_CHILD_SA, ExchangeType.IKE_FOLLOWUP_KE) and exchange.response
        ),
        key=lambda pair: pair[0],
    )
    places: dict[str, list[tuple[int, SaTracker]]] = {}
    for when, candidate in rekeying:
        for address in _addresses(candidate):
            places.setdefault(address, []).append((when, candidate))
    for sa in trackers:
        if sa.version == 1 or sa.rekeys is not None or any(_begins(sa, each) for each in sa.exchanges):
            continue
        first = min((record.time_ns for record in _records(sa)), default=None)
        openers = [each.initiated_by for each in sa.exchanges if each.message_id == 0]
        if first is None or not openers:
            continue
        # Message id 0 of the initiator is spent on IKE_SA_INIT unless the SA was made by CREATE_CHILD_SA; the
        # responder's first request is 0 in any SA, so there only the time speaks for a rekey.
        found = _latest(places, sa, first, None if "initiator" in openers else REKEY_WINDOW_NS)
        if found is not None:
            sa.rekeys, sa.rekey_basis, sa.handshake_seen = found.id, "inferred", True


def _latest(
    places: dict[str, list[tuple[int, SaTracker]]], sa: SaTracker, first: int, window: int | None
) -> SaTracker | None:
    """The SA between the same addresses that was rekeyed last before ``first``."""
    addresses = _addresses(sa)
    rekeying = min((places.get(address, []) for address in addresses), key=len, default=[])
    stop = bisect_right(rekeying, first, key=lambda pair: pair[0])
    for when, candidate in reversed(rekeying[max(0, stop - MAX_LOOKED_AT) : stop]):
        if window is not None and first - when > window:
            break
        if candidate is not sa and addresses <= _addresses(candidate):
            return candidate
    return None


def _addresses(sa: SaTracker) -> frozenset[str]:
    return frozenset(address for end in sa.ends.values() for address, _ in end.seen)


def role_of(sa: IkeSa, address: str) -> Role | None:
    """Which end of an IKE SA an address belongs to; None when it is neither or both."""
    roles: list[Role] = []
    if any(address == known for known, _ in sa.initiator.addresses):
        roles.append("initiator")
    if any(address == known for known, _ in sa.responder.addresses):
        roles.append("responder")
    return roles[0] if len(roles) == 1 else None
