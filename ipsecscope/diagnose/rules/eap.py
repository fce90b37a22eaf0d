"""AUTH for EAP in IKEv2: the login inside IKE_AUTH that is refused, or stops half way (RFC 7296 2.16)."""

from __future__ import annotations

from collections.abc import Iterator

from ipsecscope.diagnose import evidence
from ipsecscope.diagnose.rule import (
    HIGH,
    LIKELY,
    Found,
    rule,
)
from ipsecscope.diagnose.rules.authentication import sureness_of
from ipsecscope.diagnose.view import (
    View,
    copies,
    exchanges_of,
    is_informational,
    next_after,
)
from ipsecscope.diagnose.words import NANOSECONDS, frames, who
from ipsecscope.dissect.registry.ikev2 import ExchangeType
from ipsecscope.timeline.sas import IkeSa

STALLED_NS = 30 * NANOSECONDS


@rule(
    "AUTH-010",
    "eap-rejected",
    HIGH,
    title="The user's EAP login was refused",
    means="Gateway and key exchange are fine; the user name or password (or the EAP method) was not accepted.",
    detect="Several IKE_AUTH rounds that end in EAP-Failure, or without EAP-Success and with a short message that ends it.",
    look_alikes={"AUTH-002": "refused in the first round", "AUTH-011": "nobody refuses: the conversation stops"},
    causes=("wrong password or expired account", "no common EAP method", "a policy of the RADIUS server"),
    confirm="The RADIUS server's log.",
    fix="Correct account, password or EAP method.",
    swanctl="remote { auth = eap-mschapv2; eap_id = %any }",
    ios="crypto ikev2 profile P / authentication remote eap query-identity",
    rfc=("RFC 7296 2.16", "RFC 3748 4.2"),
)
def eap_rejected(sa: IkeSa, view: View) -> Iterator[Found]:
    """EAP that ended without success."""
    answer = view.answer(sa)
    exchange = answer.exchange
    if answer.kind != "eap-refused" or exchange is None or view.flows_of(sa):
        return
    following = next_after(sa, exchange)
    ending = following.request if following is not None and is_informational(following) else exchange.response
    yield Found(
        confidence=sureness_of(answer),
        summary=f"{who(sa, 'initiator')} and {who(sa, 'responder')} exchanged {answer.rounds} rounds of EAP and the login was "
        f"refused in the last ({frames(exchange.response)}; the end is {frames(ending)}).",
        evidence=evidence.messages((*exchange.records, *(ending if ending is not exchange.response else ()))),
        equation=None if answer.inner is None else answer.inner.equation,
    )


@rule(
    "AUTH-011",
    "eap-stalled",
    HIGH,
    title="The EAP login stops half way",
    means="One side owes the next EAP message and never sends it.",
    detect="IKE_AUTH rounds that end without success, refusal or further message.",
    look_alikes={"NET-005": "a large EAP message in fragments is lost", "AUTH-009": "the answer comes late"},
    causes=(
        "a password or certificate dialogue that nobody answers",
        "the client silently rejects the server's certificate",
        "RADIUS does not answer",
    ),
    confirm="The client's event log.",
    fix="A server certificate with the right name and key usage, and the full chain.",
    swanctl="local { auth = pubkey; certs = server.pem; send_cert = always }",
    rfc=("RFC 7296 2.16",),
    suppressed_by=("NET-005", "CAP-002"),
)
def eap_stalled(sa: IkeSa, view: View) -> Iterator[Found]:
    """EAP without an end."""
    auths = exchanges_of(sa, ExchangeType.IKE_AUTH)
    if sa.version == 1 or len(auths) < 2 or view.flows_of(sa):
        return
    last = auths[-1]
    asked = copies(last, last.initiated_by)
    if not last.response and len(asked) > 1:
        owes, waiting = "responder", asked
    elif (
        view.answer(sa).kind == "eap-open" and view.horizon(last.stop_ns) > STALLED_NS and next_after(sa, last) is None
    ):
        owes, waiting = "initiator", list(last.response)
    else:
        return
    yield Found(
        confidence=LIKELY,
        summary=f"The EAP login between {who(sa, 'initiator')} and {who(sa, 'responder')} stops in round {len(auths)} "
        f"({frames(waiting)}): {who(sa, 'responder' if owes == 'responder' else 'initiator')} owes the next message.",
        evidence=evidence.messages(waiting),
    )
