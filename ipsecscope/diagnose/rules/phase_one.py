"""AUTH for IKEv1: phase 1 comes as far as its encrypted messages and stops there.

With pre-shared keys the encryption key itself depends on the key (RFC 2409 section 5), so a wrong one makes message 5
unreadable, and what the responder says about it unreadable in turn. Whether the initiator repeats message 5 behind
such an answer tells a wrong key from a refused identity.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ipsecscope.diagnose import evidence, hints
from ipsecscope.diagnose.rule import CERTAIN, CRITICAL, HIGH, LIKELY, POSSIBLE, Found, rule
from ipsecscope.diagnose.rules.negotiation import offers_shared_key, phase_1
from ipsecscope.diagnose.view import View, copies, error_of, exchanges_of, is_open
from ipsecscope.diagnose.words import NANOSECONDS, frames, seconds, times, who
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.registry.isakmp import ConfigType, ExchangeType, NotifyType, XauthStatus
from ipsecscope.timeline.contents import bodies
from ipsecscope.timeline.sas import IkeSa, MessageRecord, other

REACTION_NS = NANOSECONDS  # an answer to message 5 comes within this time
PATIENCE_NS = 2 * NANOSECONDS  # longer than the first pause of every known schedule but strongSwan's and IOS's
NAT_T_PORT = 4500
_KEY_ERRORS = frozenset(
    {
        NotifyType.INVALID_PAYLOAD_TYPE,
        NotifyType.PAYLOAD_MALFORMED,
        NotifyType.INVALID_HASH_INFORMATION,
        NotifyType.AUTHENTICATION_FAILED,
        NotifyType.INVALID_KEY_INFORMATION,
        NotifyType.INVALID_FLAGS,
        NotifyType.INVALID_COOKIE,
    }
)
_IDENTITY_ERRORS = frozenset({NotifyType.AUTHENTICATION_FAILED, NotifyType.INVALID_ID_INFORMATION})
XAUTH_ROUNDS = 2  # the gateway asks for name and password, then announces the result


class Stop(msgspec.Struct, frozen=True):
    """Phase 1 that ended at its authenticating message.

    ``proof`` are the transmissions of message 5 (message 3 in aggressive mode), ``complaints`` what the responder sent
    about it, ``again`` the copies of the proof behind the first complaint, ``resent`` earlier answers that the
    responder repeated.
    """

    proof: list[MessageRecord]
    complaints: list[MessageRecord]
    again: list[MessageRecord]
    resent: list[MessageRecord]


def stop_of(sa: IkeSa) -> Stop | None:
    """Where phase 1 ended, when it ended at the authenticating message."""
    exchange = phase_1(sa)
    if exchange is None or (sa.established_ns is not None and sa.basis == "observed"):
        return None
    if sa.child_sas:  # phase 2 followed, so it ended nowhere
        return None
    proof = [each for each in copies(exchange, "initiator") if each.is_encrypted]
    answers = [each for each in exchange.response if each.is_encrypted]
    if not proof or answers:
        return None
    began = proof[0].time_ns
    complaints = [
        record
        for each in exchanges_of(sa, ExchangeType.INFORMATIONAL)
        for record in (*each.request, *each.response, *each.repeats)
        if record.sender == "responder" and record.time_ns >= began
    ]
    complaints.sort(key=lambda record: record.number)
    again = [each for each in proof if complaints and each.number > complaints[0].number]
    resent = [each for each in exchange.repeats if each.sender == "responder" and each.time_ns > began]
    return Stop(proof, complaints, again, resent)


def has_shared_key(sa: IkeSa) -> bool:
    """Whether phase 1 authenticates with a pre-shared key, XAUTH's forms included."""
    auth = "" if sa.suite is None or sa.suite.auth is None else sa.suite.auth
    return auth == "PSK" or auth.endswith("PRE_SHARED")


def reads_complaint(stop: Stop, view: View) -> bool | None:
    """Whether the initiator could read the responder's complaint, which takes equal keys; None when nobody can tell."""
    first = stop.complaints[0]
    if not first.encrypted:
        return None
    if stop.again:
        return False
    if view.horizon(first.time_ns) > PATIENCE_NS:
        return True
    moved = all(each.datagram.dport == NAT_T_PORT for each in stop.proof)
    if moved and any(record.datagram.sport != NAT_T_PORT for record in stop.complaints):
        return False  # the responder did not even learn from message 5 that the peer moved to port 4500
    return True if moved else None


@rule(
    "AUTH-001",
    "v1-mm5-psk-mismatch",
    CRITICAL,
    title="IKEv1 fails at the first encrypted message: the pre-shared keys differ",
    means="The encryption key of IKEv1 depends on the pre-shared key. With different keys the responder cannot read the "
    "initiator's identity message, and stays silent or complains in a message that the initiator cannot read.",
    detect="Message 5 is answered by an error or by an unreadable message and repeated, or repeated while the responder "
    "repeats message 4; in aggressive mode the initiator hangs up behind message 2, whose HASH_R is made with the key.",
    look_alikes={
        "AUTH-003": "the initiator stops after the complaint: it could read it, so the keys agree and the identity is refused",
        "NAT-004": "message 5 goes to port 4500 and nothing at all comes back",
        "NET-003": "message 5 carries a certificate and is lost in fragments",
        "AUTH-005": "aggressive mode: the initiator may refuse the responder's identity instead of its HASH_R",
    },
    causes=(
        "the pre-shared keys differ (typing, blanks, encoding)",
        "the responder picked another key: it chooses by source address, which a NAT may change",
    ),
    confirm="Type the key again on both sides; the responder's log says that message 5 cannot be decrypted.",
    fix="Set the same key on both sides, for the address that the responder sees.",
    swanctl="secrets { ike-NAME { id = PEER; secret = … } }",
    ios="crypto isakmp key KEY address ADDRESS",
    libreswan='ipsec.secrets: LOCAL PEER : PSK "…"',
    rfc=("RFC 2409 5.4", "RFC 2409 5"),
    suppressed_by=("NET-003",),
)
def v1_psk_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """Message 5 that the responder cannot read, or a HASH_R of aggressive mode that the initiator does not accept."""
    yield from _missing_key(sa)
    if not has_shared_key(sa):
        return
    yield from _refused_hash(sa, view)
    yield from _ignored_hash(sa, view)
    stop = stop_of(sa)
    if stop is None:
        return
    sent = f"{who(sa, 'initiator')} sent its encrypted identity message {times(len(stop.proof))} ({frames(stop.proof)})"
    places = evidence.messages((*stop.proof[:4], *stop.complaints[:2], *stop.resent[:2]))
    if stop.complaints:
        readable = reads_complaint(stop, view)
        error = error_of(stop.complaints)
        if readable or (error is not None and int(error) not in _KEY_ERRORS):
            return
        said = f"with {error} " if error is not None else ""
        why = (
            ", and the initiator repeats its message behind that, so it cannot read the complaint" if stop.again else ""
        )
        yield Found(
            confidence=LIKELY
            if readable is False or (error is not None and not stop.complaints[0].encrypted)
            else POSSIBLE,
            summary=f"{sent}; {who(sa, 'responder')} complained {said}({frames(stop.complaints)}){why}: the pre-shared keys differ, "
            f"or {who(sa, 'responder')} uses the key of another peer.",
            evidence=places,
            config=hints.psk_config(sa),
        )
    elif len(stop.proof) > 1 and stop.resent:
        same_port = all(each.datagram.dport != NAT_T_PORT for each in stop.proof)
        yield Found(
            confidence=LIKELY if same_port else POSSIBLE,
            summary=f"{sent}; {who(sa, 'responder')} is alive and repeats the message before it ({frames(stop.resent)}), so it "
            "cannot use what it gets: the pre-shared keys differ.",
            evidence=places,
            config=hints.psk_config(sa),
        )
    elif len(stop.proof) > 1 and not any(each.datagram.dport == NAT_T_PORT for each in stop.proof):
        yield Found(
            confidence=POSSIBLE,
            summary=f"{sent} and {who(sa, 'responder')}, which had answered until then, is silent: it may be unable to read it "
            "because the pre-shared keys differ.",
            evidence=places,
            config=hints.psk_config(sa),
        )


def _missing_key(sa: IkeSa) -> Iterator[Found]:
    """INVALID-KEY-INFORMATION in the clear, with a pre-shared key on offer: its sender has none for this peer."""
    told = [
        record
        for each in exchanges_of(sa, ExchangeType.INFORMATIONAL)
        for record in (*each.request, *each.response)
        if not record.encrypted and error_of([record]) == NotifyType.INVALID_KEY_INFORMATION
    ]
    if not told or not offers_shared_key(sa):
        return
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, told[0].sender)} ended phase 1 with INVALID-KEY-INFORMATION ({frames(told)}), before anything was encrypted: it has "
        f"no pre-shared key for {who(sa, other(told[0].sender))}.",
        evidence=(*(each for record in told[:3] for each in evidence.errors(record)), *evidence.messages(told[:3])),
        causes=(
            f"no pre-shared key is configured there for {who(sa, other(told[0].sender))}, by its address or its identity",
        ),
    )


def _refused_hash(sa: IkeSa, view: View) -> Iterator[Found]:
    """Aggressive mode: the initiator checks HASH_R of message 2, which is made with the key (RFC 2409 5.4)."""
    refusal = hang_up_of(sa, view) if sa.mode == "aggressive" else None
    if refusal is None:
        return
    proof, said = refusal
    checked = view.analysis.verified.get(sa.id)
    verdict = None if checked is None else checked.responder
    closed = [record for record in said if record.encrypted and not is_open(record)]
    if verdict is True and not closed:
        return
    error = error_of(said)
    if verdict is None and error is not None and int(error) not in _KEY_ERRORS:
        return
    why = {
        None: "which is made with the pre-shared key",
        False: "which is not made with the initiator's key",
        True: "whose key does not open what follows",
    }[verdict]
    yield Found(
        confidence=CERTAIN if verdict is False else LIKELY if error is not None or verdict else POSSIBLE,
        summary=f"{who(sa, 'responder')} sent its identity and HASH_R, {why} ({frames([proof])}), and {who(sa, 'initiator')} hung up at "
        f"once{f' with {error}' if error is not None else ''} ({frames(said)}): the pre-shared keys differ"
        f"{', or it expects another identity' if verdict is None else ''}.",
        evidence=evidence.messages((proof, *said)),
    )


def _ignored_hash(sa: IkeSa, view: View) -> Iterator[Found]:
    """Aggressive mode, captured beside the initiator: message 2 arrives again and again, and message 1 is repeated."""
    exchange = phase_1(sa)
    if exchange is None or sa.mode != "aggressive" or len(sa.exchanges) > 1 or view.tap_side(sa) != "initiator":
        return
    answers, asked = copies(exchange, "responder"), copies(exchange, "initiator")
    again = [each for each in asked if answers and each.number > answers[0].number]
    if len(exchange.request) > 1 or len(again) < 2 or len(answers) < 2:
        return
    yield Found(
        confidence=LIKELY,
        summary=f"{who(sa, 'responder')}'s answers with HASH_R reach {who(sa, 'initiator')} ({frames(answers)}), which goes on repeating its "
        f"first message ({frames(again)}): it does not accept the proof, so the pre-shared keys differ.",
        evidence=evidence.messages((*answers[:3], *again[:3])),
    )


@rule(
    "AUTH-003",
    "v2-id-mismatch",
    HIGH,
    title="The responder does not accept the initiator's identity",
    means="The keys agree, the responder read the message, and refused whoever the initiator says it is.",
    detect="IKEv1 with a pre-shared key: a complaint about message 5 that the initiator could read. With keys: the refusal.",
    look_alikes={
        "AUTH-001": "different keys: the initiator repeats message 5, because it cannot read the complaint",
        "AUTH-004": "the identity is known, but with certificates or XAUTH, or in aggressive mode only",
    },
    causes=(
        "no connection for this identity (type and value must match)",
        "the identity is the private address of an initiator behind NAT",
        "the connection for this identity is for another mode (main, aggressive) or method (certificate, XAUTH)",
    ),
    confirm="The responder's log: no matching peer configuration.",
    fix="Set the identity of both sides explicitly.",
    swanctl="local { id = A } remote { id = B }",
    ios="crypto isakmp identity hostname / match identity …",
    libreswan="leftid=A, rightid=B",
    rfc=("RFC 2409 5.4", "RFC 7296 2.21.2", "RFC 7296 3.5"),
    suppressed_by=("AUTH-001",),
)
def id_mismatch(sa: IkeSa, view: View) -> Iterator[Found]:
    """A refusal of message 5 that both sides could read."""
    stop = stop_of(sa)
    if stop is None or not stop.complaints or not has_shared_key(sa):
        return
    error = error_of(stop.complaints)
    opened = any(is_open(record) for record in stop.complaints)
    if not opened and reads_complaint(stop, view) is not True:
        return
    known = stop.again == [] and view.horizon(stop.complaints[0].time_ns) > PATIENCE_NS
    refused = opened and error is not None and int(error) in _IDENTITY_ERRORS
    yield Found(
        confidence=LIKELY if refused or known else POSSIBLE,
        summary=f"{who(sa, 'responder')} read {who(sa, 'initiator')}'s encrypted identity message ({frames(stop.proof)}) and refused "
        f"it{f' with {error}' if error is not None else ''} {seconds(stop.complaints[0].time_ns - stop.proof[0].time_ns)} later "
        f"({frames(stop.complaints)}): it does not accept the identity or its proof.",
        evidence=evidence.messages((*stop.proof, *stop.complaints)),
    )


def v1_responder_rejects(sa: IkeSa) -> Iterator[Found]:
    """IKEv1 with signatures: the responder complains about the initiator's proof (part of AUTH-002)."""
    stop = stop_of(sa)
    if stop is None or not stop.complaints or has_shared_key(sa):
        return
    error = error_of(stop.complaints)
    opened = any(is_open(record) for record in stop.complaints)
    yield Found(
        confidence=CERTAIN if opened and error == NotifyType.AUTHENTICATION_FAILED else LIKELY,
        summary=f"{who(sa, 'responder')} answered {who(sa, 'initiator')}'s identity and signature ({frames(stop.proof)}) with "
        f"{error if error is not None else 'a complaint'} ({frames(stop.complaints)}): it does not accept the identity, the "
        "certificate or the signature.",
        evidence=evidence.messages((*stop.proof, *stop.complaints)),
        causes=(
            "the initiator's certificate is expired, not yet valid, or its CA is not trusted by the responder",
            "the responder has no connection for the initiator's identity, or the certificate does not contain it",
        ),
    )


@rule(
    "AUTH-012",
    "xauth-modecfg-failed",
    HIGH,
    title="IKEv1 XAUTH or Mode Config failed",
    means="The group key was accepted, then the user's login or the assignment of an address failed.",
    detect="Phase 1 is complete and Transaction exchanges run, and no quick mode follows.",
    look_alikes={"AUTH-001": "the group key differs: phase 1 does not complete"},
    causes=("wrong user name or password", "XAUTH on one side only", "no free address in the pool"),
    confirm="The gateway's log.",
    fix="Correct account, XAUTH settings or pool.",
    swanctl="remote { auth = xauth } pools { … }",
    ios="crypto isakmp client configuration group G / pool P",
    rfc=("draft-beaulieu-ike-xauth", "draft-dukes-ike-mode-cfg"),
    suppressed_by=("AUTH-005",),
)
def xauth_failed(sa: IkeSa, view: View) -> Iterator[Found]:
    """Transactions and no quick mode."""
    transactions = exchanges_of(sa, ExchangeType.TRANSACTION)
    if sa.version != 1 or not transactions or exchanges_of(sa, ExchangeType.QUICK_MODE) or view.flows_of(sa):
        return
    denied = [record for each in transactions for record in each.records if _denies(record)]
    last = transactions[-1]
    after = [each for each in exchanges_of(sa, ExchangeType.INFORMATIONAL) if each.start_ns >= last.start_ns]
    records = [record for each in (*transactions, *after) for record in each.records]
    if denied:
        yield Found(
            confidence=CERTAIN,
            summary=f"{denied[0].datagram.src} told {denied[0].datagram.dst} that its XAUTH login failed ({frames(denied)}): wrong user "
            "name or password.",
            evidence=evidence.messages((*denied, *records)),
            causes=("wrong user name or password",),
        )
        return
    # A gateway announces success as it announces failure; behind success the client goes on at once.
    announced = len(transactions) >= XAUTH_ROUNDS and all(
        each.initiated_by == "responder" and each.response for each in transactions
    )
    if not after and not announced and view.horizon(last.stop_ns) < PATIENCE_NS:
        return
    yield Found(
        confidence=LIKELY if after else POSSIBLE,
        summary=f"Phase 1 between {who(sa, 'initiator')} and {who(sa, 'responder')} was followed by {len(transactions)} XAUTH or Mode "
        f"Config exchanges ({frames(records)}) and no quick mode: the user's login or the address assignment failed.",
        evidence=evidence.messages(records),
    )


def _denies(record: MessageRecord) -> bool:
    """Whether an opened message announces that XAUTH failed (draft-beaulieu-ike-xauth-02 section 6.2)."""
    steps = bodies(record.payloads, ikev1.Attributes)
    return any(step.config_type == ConfigType.SET and step.xauth_status == XauthStatus.FAIL for step in steps)


def hang_up_of(sa: IkeSa, view: View) -> tuple[MessageRecord, list[MessageRecord]] | None:
    """The responder's proof in IKEv1, and what the initiator says at once to end it; None where it goes on."""
    exchange = phase_1(sa)
    if exchange is None or not exchange.response or not sa.handshake_seen or view.flows_of(sa):
        return None
    if any(each.response or each.initiated_by == "initiator" for each in exchanges_of(sa, ExchangeType.TRANSACTION)):
        return None
    if exchanges_of(sa, ExchangeType.QUICK_MODE):
        return None
    proof = exchange.response[-1]
    is_last = proof.is_encrypted if sa.mode == "main" else len(exchange.request) == 1
    said = [
        record
        for each in exchanges_of(sa, ExchangeType.INFORMATIONAL)
        for record in (*each.request, *each.response)
        if record.sender == "initiator" and 0 <= record.time_ns - proof.time_ns <= REACTION_NS
    ]
    if not is_last or not said or (error_of(said) is None and _takes_over(sa, proof.time_ns, view)):
        return None
    return proof, said


def _takes_over(sa: IkeSa, since_ns: int, view: View) -> bool:
    """Whether an IKEv1 SA replaces another one: the traffic of that one goes on, and needs no quick mode of its own."""
    older = (each for each in view.earlier(sa) if each.version == 1)
    return any(flow.last_ns > since_ns for each in older for flow in view.flows_of(each))


def v1_initiator_rejects(sa: IkeSa, view: View) -> Iterator[Found]:
    """IKEv1: the initiator hangs up behind the responder's proof (part of AUTH-005)."""
    refusal = hang_up_of(sa, view)
    if refusal is None:
        return
    proof, said = refusal
    error = error_of(said)
    yield Found(
        confidence=LIKELY if error is None else CERTAIN,
        summary=f"{who(sa, 'responder')} proved its identity ({frames([proof])}), and {who(sa, 'initiator')} hung up at once"
        f"{f' with {error}' if error is not None else ''} ({frames(said)}).",
        evidence=evidence.messages((proof, *said)),
    )
