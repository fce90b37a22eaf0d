"""The state machines of an IKE SA and of a Child SA, as tables whose rows tell their story.

Everything that decides what happens next is here; what is done about it is in the module of each exchange. A request
that no row expects is answered with INVALID_SYNTAX, a response that no row expects is counted.
"""

from __future__ import annotations

from ipsecscope.dissect.registry.ikev2 import NotifyType
from ipsecscope.peers.entropy import Instant
from ipsecscope.peers.ikev2 import (
    auth,
    auth_eap,
    create_child,
    informational,
    intermediate,
    key_exchange,
    redirect,
    rekey_ike,
    sa_init,
)
from ipsecscope.peers.ikev2.messages import Received, note
from ipsecscope.peers.ikev2.sa import GAVE_UP, ChildState, IkeSa, State
from ipsecscope.peers.peer import Found, Go, Input, Local, Reply, Request, Table, ignore

CONNECT = Local("connect")
HALF_OPEN = Local("half-open for too long")
TASK_DONE = Reply("to an exchange of ours")


# -- actions of their own ----------------------------------------------------------------------------------------


def finish_task(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Hand a response to the exchange that asked."""
    task, sa.answered_task = sa.answered_task, None
    if task is None or received is None:
        return None
    error = received.error
    if error is not None and error.notify_type == NotifyType.INVALID_SYNTAX:
        task.give_up(sa, now)
        return informational.FATAL  # RFC 7296 section 2.21.3: fatal in both peers
    return task.finish(sa, received, now)


def create(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """A request for a Child SA or for a new IKE SA."""
    assert received is not None
    if rekey_ike.begins(received):
        return rekey_ike.answer(sa, received, now)
    if any(isinstance(task, rekey_ike.RekeyIke) for task in key_exchange.tasks_of(sa)):  # RFC 7296 section 2.25.2
        return refuse_for_now(sa, received, now)
    return create_child.answer(sa, received, now)


def refuse_for_now(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer N(TEMPORARY_FAILURE)."""
    assert received is not None
    sa.answer(received, [note(NotifyType.TEMPORARY_FAILURE)], now)
    return None


def refuse_syntax(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer N(INVALID_SYNTAX): this exchange has no place here."""
    assert received is not None
    sa.count("requests out of place")
    sa.answer(received, [note(NotifyType.INVALID_SYNTAX)], now)
    return None


def count_reply(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """A response that nothing can be done with."""
    del received, now
    sa.count("responses out of place")
    return None


def close_fatal(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Forget the IKE SA: an error that ends it on both sides (RFC 7296 section 2.21)."""
    error = None if received is None else received.error
    sa.close(now, "a fatal error" if error is None else str(error.notify_type))
    return None


def close_refused_syntax(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Answer N(INVALID_SYNTAX) and forget the IKE SA (RFC 7296 section 2.21.3)."""
    assert received is not None
    sa.count("malformed requests")
    sa.answer(received, [note(NotifyType.INVALID_SYNTAX)], now)
    sa.close(now, "a malformed request")
    return None


def close_deleted(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Forget the IKE SA: one side deleted it."""
    del received
    sa.close(now, "deleted")
    return None


def close_unanswered(sa: IkeSa, received: Received | None, now: Instant) -> Input | None:
    """Forget the IKE SA: the other side does not answer (RFC 7296 section 2.4)."""
    del received
    sa.close(now, "no answer")
    return None


# -- the IKE SA --------------------------------------------------------------------------------------------------

_REFUSED = Go(State.CLOSED, sa_init.refused, "the responder refuses")
_UNUSABLE = Go(State.CLOSED, sa_init.unusable, "what came makes no IKE SA")
_NOT_AUTHENTIC = Go(State.CLOSED, auth.disbelieve, "the responder's proof does not hold")
_REFUSES = Go(State.CLOSED, auth.refuse, "the initiator's proof does not hold")
_DELETED = Go(State.CLOSED, close_deleted, "the other side deleted the IKE SA")
_PROVES = Go(State.AUTH_SENT, auth.send, "proves its identity and asks for a Child SA")
_NEXT_ROUND = Go(State.INTERMEDIATE_SENT, intermediate.send, "exchanges keys once more, with another method")
_CANNOT = Go(State.CLOSED, auth.cannot_prove, "there is no proof that the other side takes")

IKE_SA_TABLE: Table[State] = Table(
    State,
    {
        State.IDLE: {
            CONNECT: Go(State.INIT_SENT, sa_init.send, "wants an IKE SA"),
            Request("IKE_SA_INIT"): Go(State.INIT_ANSWERED, sa_init.answer, "chooses a proposal and exchanges keys"),
            rekey_ike.BORN: Go(State.ESTABLISHED, rekey_ike.born, "an IKE SA made by rekeying needs no handshake"),
        },
        State.INIT_SENT: {
            Reply("N(COOKIE)"): Go(None, sa_init.retry_with_cookie, "the responder asked for a cookie"),
            Reply("N(INVALID_KE_PAYLOAD)"): Go(
                None, sa_init.retry_with_method, "the responder wants another key exchange method"
            ),
            Reply("N(REDIRECT)"): Go(State.CLOSED, redirect.leave, "the gateway sends us to another one"),
            Reply("SA, KE, Nr"): Go(None, sa_init.accept, "both sides have keys now"),
            sa_init.ANOTHER_KEY_EXCHANGE: _NEXT_ROUND,
            sa_init.KEYS_COMPLETE: _PROVES,
        },
        State.INTERMEDIATE_SENT: {
            Reply("KE"): Go(None, intermediate.accept, "both sides have the next keys now"),
            sa_init.ANOTHER_KEY_EXCHANGE: _NEXT_ROUND,
            sa_init.KEYS_COMPLETE: _PROVES,
        },
        State.AUTH_SENT: {
            Reply("EAP"): Go(State.EAP_SENT, auth_eap.begin, "answers the gateway's EAP request"),
            Reply("AUTH"): Go(None, auth.accept, "the responder proves its identity"),
            auth.AUTHENTICATED: Go(State.ESTABLISHED, auth.complete, "the proof holds"),
            auth.NOT_AUTHENTIC: _NOT_AUTHENTIC,
            auth.CANNOT_PROVE: _CANNOT,
        },
        State.EAP_SENT: {
            Reply("EAP"): Go(None, auth_eap.go_on, "answers the gateway's EAP request"),
            auth.EAP_SUCCEEDED: Go(State.AUTH_SENT, auth_eap.send_proof, "proves itself with the key that EAP gave"),
            auth.NOT_AUTHENTIC: _NOT_AUTHENTIC,
        },
        State.INIT_ANSWERED: {
            Request("IKE_INTERMEDIATE"): Go(None, intermediate.answer, "exchanges keys once more"),
            Request("IKE_AUTH"): Go(None, auth.examine, "the initiator names itself"),
            auth.AUTHENTICATED: Go(
                State.ESTABLISHED, auth.answer, "believes the initiator and proves its own identity"
            ),
            auth.EAP_WANTED: Go(State.EAP_ASKED, auth_eap.start, "proves its identity and asks for EAP"),
            auth.NOT_AUTHENTIC: _REFUSES,
        },
        State.EAP_ASKED: {
            Request("IKE_AUTH"): Go(None, auth_eap.examine, "takes an EAP response"),
            auth.EAP_SUCCEEDED: Go(State.EAP_DONE, ignore, "waits for the proof that EAP gave the key for"),
            Found("EAP failed"): Go(State.CLOSED, ignore, "the password is wrong"),
            auth.NOT_AUTHENTIC: _REFUSES,
        },
        State.EAP_DONE: {
            Request("IKE_AUTH"): Go(None, auth_eap.examine_proof, "takes the proof behind EAP"),
            auth.AUTHENTICATED: Go(State.ESTABLISHED, auth.answer, "believes the initiator and proves itself again"),
            auth.NOT_AUTHENTIC: _REFUSES,
        },
        State.ESTABLISHED: {
            TASK_DONE: Go(None, finish_task, "an exchange of ours is answered"),
            Request("CREATE_CHILD_SA"): Go(None, create, "agrees on keys for another SA"),
            Request("IKE_FOLLOWUP_KE"): Go(None, key_exchange.answer, "exchanges keys once more for that SA"),
            Request("INFORMATIONAL"): Go(None, informational.answer, "confirms"),
            auth.CANNOT_PROVE: _CANNOT,
            rekey_ike.REPLACED: Go(State.REKEYED, ignore, "another IKE SA took over"),
            informational.DELETE_SENT: Go(State.DELETING, ignore, "our Delete is on its way"),
        },
        State.REKEYED: {
            TASK_DONE: Go(None, finish_task, "an exchange of ours is answered"),
            Request("CREATE_CHILD_SA"): Go(None, refuse_for_now, "this IKE SA was rekeyed"),
            Request("IKE_FOLLOWUP_KE"): Go(None, key_exchange.answer, "this IKE SA was rekeyed: nothing waits"),
            Request("INFORMATIONAL"): Go(None, informational.answer, "confirms"),
            informational.DELETE_SENT: Go(State.DELETING, ignore, "our Delete is on its way"),
        },
        State.DELETING: {
            TASK_DONE: Go(None, finish_task, "our Delete is answered"),
            Request("CREATE_CHILD_SA"): Go(None, refuse_for_now, "this IKE SA is being deleted"),
            Request("IKE_FOLLOWUP_KE"): Go(None, refuse_for_now, "this IKE SA is being deleted"),
            Request("INFORMATIONAL"): Go(None, informational.answer_empty, "confirms while closing"),
            informational.DELETE_CONFIRMED: Go(State.CLOSED, close_deleted, "the other side confirmed our Delete"),
        },
    },
    {
        CONNECT: Go(None, ignore, "there is an IKE SA already"),
        GAVE_UP: Go(State.CLOSED, close_unanswered, "the other side does not answer"),
        HALF_OPEN: Go(State.CLOSED, sa_init.forget_half_open, "the initiator went no further"),
        Request("IKE_SA_INIT"): Go(None, ignore, "an IKE SA begins once"),
        Request("IKE_INTERMEDIATE"): Go(None, refuse_syntax, "keys are exchanged before IKE_AUTH only"),
        Request("IKE_AUTH"): Go(None, refuse_syntax, "nothing to authenticate now"),
        Request("CREATE_CHILD_SA"): Go(None, refuse_syntax, "nothing is created before authentication"),
        Request("IKE_FOLLOWUP_KE"): Go(None, refuse_syntax, "nothing is created before authentication"),
        Request("INFORMATIONAL"): Go(None, refuse_syntax, "nobody is authenticated yet"),
        Request("an exchange that we do not know"): Go(None, refuse_syntax, "an exchange that nobody announced"),
        Request("a malformed message"): Go(State.CLOSED, close_refused_syntax, "the request cannot be read"),
        Reply("N(COOKIE)"): Go(None, count_reply, "no cookie was awaited"),
        Reply("N(INVALID_KE_PAYLOAD)"): Go(None, count_reply, "no key exchange was awaited"),
        Reply("N(REDIRECT)"): Go(None, count_reply, "no redirection was awaited"),
        Reply("N(error)"): _REFUSED,
        Reply("SA, KE, Nr"): Go(None, count_reply, "no key exchange was awaited"),
        Reply("KE"): Go(None, count_reply, "no key exchange was awaited"),
        Reply("EAP"): Go(None, count_reply, "no EAP was awaited"),
        Reply("AUTH"): Go(None, count_reply, "no proof was awaited"),
        Reply("something else"): _UNUSABLE,
        TASK_DONE: Go(None, count_reply, "no exchange of ours was on its way"),
        sa_init.ANOTHER_KEY_EXCHANGE: Go(None, ignore, "too late for that"),
        sa_init.KEYS_COMPLETE: Go(None, ignore, "too late for that"),
        sa_init.UNUSABLE: _UNUSABLE,
        auth.AUTHENTICATED: Go(None, ignore, "known already"),
        auth.NOT_AUTHENTIC: Go(None, ignore, "nothing was to be proven"),
        auth.CANNOT_PROVE: _CANNOT,
        auth.EAP_WANTED: Go(None, ignore, "nothing was to be proven"),
        auth.EAP_SUCCEEDED: Go(None, ignore, "no EAP was going on"),
        Found("EAP failed"): Go(None, ignore, "no EAP was going on"),
        rekey_ike.BORN: Go(None, ignore, "there is an IKE SA already"),
        rekey_ike.REPLACED: Go(None, ignore, "it was replaced already"),
        informational.DELETED: _DELETED,
        informational.DELETE_SENT: Go(None, ignore, "nothing to delete"),
        informational.DELETE_CONFIRMED: Go(State.CLOSED, close_deleted, "the other side confirmed our Delete"),
        informational.FATAL: Go(State.CLOSED, close_fatal, "an error that ends the IKE SA on both sides"),
    },
    start=State.IDLE,
)


# -- the Child SA ------------------------------------------------------------------------------------------------

CHILD_SA_TABLE: Table[ChildState] = Table(
    ChildState,
    {
        ChildState.INSTALLED: {
            create_child.REKEY_SENT: Go(ChildState.REKEYING, ignore, "we ask for a successor"),
            create_child.REKEY_ASKED: Go(None, create_child.answer_rekey, "the other side asks for a successor"),
            create_child.REKEYED: Go(ChildState.REKEYED, ignore, "the successor is installed"),
        },
        ChildState.REKEYING: {
            create_child.REKEY_ASKED: Go(None, create_child.answer_rival, "both sides ask for a successor at once"),
            create_child.REKEYED: Go(ChildState.REKEYED, ignore, "the successor is installed"),
            create_child.REKEY_FAILED: Go(ChildState.INSTALLED, ignore, "no successor; the old one stays"),
        },
        ChildState.REKEYED: {
            create_child.REKEY_ASKED: Go(None, create_child.refuse_for_now, "it has a successor already"),
        },
        ChildState.DELETING: {
            create_child.REKEY_ASKED: Go(None, create_child.refuse_for_now, "our Delete is on its way"),
        },
    },
    {
        create_child.REKEY_SENT: Go(None, ignore, "a successor is on its way"),
        create_child.REKEY_ASKED: Go(None, create_child.refuse_for_now, "it is gone"),
        create_child.REKEYED: Go(None, ignore, "it has a successor already"),
        create_child.REKEY_FAILED: Go(None, ignore, "nothing was asked for"),
        informational.CHILD_DELETE_SENT: Go(ChildState.DELETING, ignore, "we delete it"),
        informational.CHILD_DELETE_ASKED: Go(ChildState.GONE, informational.drop_child, "the other side deletes it"),
    },
    start=ChildState.INSTALLED,
)
