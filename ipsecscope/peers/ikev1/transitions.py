"""What happens when: the state machines of an IKEv1 peer as tables.

An input is what happened: the owner or the clock wants something (``Local``), a message came (``Arrived``, in the
notation of RFC 2409 section 5), or an action found something out (``Found``). What a state does not mention is in the
``otherwise`` part: in IKEv1 anybody may send anything, so it is ignored, or ends the SA.
"""

from __future__ import annotations

from ipsecscope.peers.ikev1 import established, phase1, quick, transactions
from ipsecscope.peers.ikev1.established import ADDRESS_NEXT, READY, USER_NEXT
from ipsecscope.peers.ikev1.installing import install
from ipsecscope.peers.ikev1.phase1 import AUTHENTICATED, NOT_AUTHENTIC, UNUSABLE
from ipsecscope.peers.ikev1.states import PhaseOne, Purpose, QuickMode, Transaction
from ipsecscope.peers.ikev1.transactions import CONFIGURED, USER_ACCEPTED, USER_REJECTED
from ipsecscope.peers.peer import Go, Input, Local, Table, ignore


class Arrived(Input, frozen=True):
    """A message of the other side, by its content."""


# -- inputs -----------------------------------------------------------------------------------------------------------

BEGIN_MAIN = Local("begin main mode")
BEGIN_AGGRESSIVE = Local("begin aggressive mode")
NO_ANSWER = Local("no answer")
HALF_OPEN = Local("half-open for too long")
CLOSE = Local("close")
DEAD = Local("no sign of life")

MAIN_SA = Arrived("main mode: HDR, SA")
MAIN_KE = Arrived("main mode: HDR, KE, NONCE")
MAIN_ID = Arrived("main mode: HDR*, ID, HASH or SIG")
AGGRESSIVE_SA = Arrived("aggressive mode: HDR, SA, KE, NONCE, ID")
AGGRESSIVE_PROOF = Arrived("aggressive mode: HDR*, HASH or SIG")
UNREADABLE = Arrived("phase 1: HDR*, unreadable")
CLEAR_ERROR = Arrived("informational: HDR, N(error)")
ERROR = Arrived("informational: HDR*, HASH, N(error)")
DELETED = Arrived("informational: HDR*, HASH, D(ISAKMP)")

OFFER = Local("offer")
QUICK_SA = Arrived("quick mode: HDR*, HASH, SA, NONCE")
QUICK_HASH = Arrived("quick mode: HDR*, HASH")
QUICK_CONNECTED = Arrived("quick mode: HDR*, HASH, N(CONNECTED)")

ASK: dict[Purpose, Local] = {purpose: Local(purpose.value) for purpose in Purpose}
CFG_REQUEST = Arrived("transaction: HDR*, HASH, ATTR(REQUEST)")
CFG_REPLY = Arrived("transaction: HDR*, HASH, ATTR(REPLY)")
CFG_SET = Arrived("transaction: HDR*, HASH, ATTR(SET)")
CFG_ACK = Arrived("transaction: HDR*, HASH, ATTR(ACK)")

# -- phase 1 ----------------------------------------------------------------------------------------------------------

_S = PhaseOne
_PROVEN = Go(_S.ESTABLISHED, established.authenticated, "both sides know who the other is")
_IMPOSTOR = Go(_S.CLOSED, phase1.not_authentic, "the other side is not who it should be")
_BELIEVED = Go(_S.CLOSED, phase1.refused, "the responder refuses, and we believe it")
_SECURELY = Go(_S.CLOSED, phase1.refused, "the other side refuses, under our common keys")
_NOTHING = Go(None, ignore, "it does not concern this state")

PHASE_ONE: Table[PhaseOne] = Table(
    PhaseOne,
    {
        _S.IDLE: {
            BEGIN_MAIN: Go(_S.SA_SENT, phase1.begin_main, "begins main mode with its offers"),
            BEGIN_AGGRESSIVE: Go(_S.AGGRESSIVE_SENT, phase1.begin_aggressive, "says everything in one message"),
            MAIN_SA: Go(_S.SA_ANSWERED, phase1.answer_sa, "chooses one of the offers"),
            AGGRESSIVE_SA: Go(_S.AGGRESSIVE_ANSWERED, phase1.answer_aggressive, "chooses, and proves itself at once"),
        },
        _S.SA_SENT: {
            MAIN_SA: Go(_S.KE_SENT, phase1.send_ke, "takes the choice and sends its public value"),
            CLEAR_ERROR: _BELIEVED,
        },
        _S.KE_SENT: {
            MAIN_KE: Go(_S.ID_SENT, phase1.send_id, "has the keys and proves itself under them"),
            CLEAR_ERROR: _BELIEVED,
        },
        _S.ID_SENT: {
            MAIN_ID: Go(None, phase1.verify_responder, "looks at the responder's proof"),
            AUTHENTICATED: _PROVEN,
            NOT_AUTHENTIC: _IMPOSTOR,
            CLEAR_ERROR: _BELIEVED,
            ERROR: _SECURELY,
        },
        _S.AGGRESSIVE_SENT: {
            AGGRESSIVE_SA: Go(None, phase1.finish_aggressive, "checks the responder's proof and gives its own"),
            AUTHENTICATED: _PROVEN,
            NOT_AUTHENTIC: _IMPOSTOR,
            CLEAR_ERROR: _BELIEVED,
        },
        _S.SA_ANSWERED: {
            MAIN_KE: Go(_S.KE_ANSWERED, phase1.answer_ke, "answers with its public value, and has the keys"),
        },
        _S.KE_ANSWERED: {
            MAIN_ID: Go(None, phase1.answer_id, "looks at the initiator's proof and gives its own"),
            UNREADABLE: Go(None, phase1.unreadable, "message 5 makes no sense: the keys differ"),
            AUTHENTICATED: _PROVEN,
            NOT_AUTHENTIC: _IMPOSTOR,
        },
        _S.AGGRESSIVE_ANSWERED: {
            AGGRESSIVE_PROOF: Go(None, phase1.verify_initiator, "looks at the initiator's proof"),
            UNREADABLE: Go(None, phase1.unreadable, "message 3 makes no sense: the keys differ"),
            AUTHENTICATED: _PROVEN,
            NOT_AUTHENTIC: _IMPOSTOR,
            ERROR: _SECURELY,
            CLEAR_ERROR: _BELIEVED,
        },
        _S.ESTABLISHED: {
            USER_NEXT: Go(_S.XAUTH, established.ask_user, "the device is known, now the user"),
            ADDRESS_NEXT: Go(_S.CONFIGURING, established.ask_address, "the client needs an address"),
            READY: Go(None, established.ready, "phase 2 may begin"),
            CLOSE: Go(_S.CLOSED, established.close, "is no longer wanted"),
        },
        _S.XAUTH: {
            USER_ACCEPTED: Go(_S.ESTABLISHED, established.next_step, "the user is known as well"),
            USER_REJECTED: Go(_S.CLOSED, established.user_rejected, "the user is not known"),
            CLOSE: Go(_S.CLOSED, established.close, "is no longer wanted"),
        },
        _S.CONFIGURING: {
            CONFIGURED: Go(_S.ESTABLISHED, established.ready, "the client has its address"),
            CLOSE: Go(_S.CLOSED, established.close, "is no longer wanted"),
        },
        _S.CLOSED: {
            given: Go(None, ignore, "is gone already")
            for given in (NO_ANSWER, HALF_OPEN, CLOSE, DEAD, DELETED, UNUSABLE, NOT_AUTHENTIC)
        },
    },
    {
        BEGIN_MAIN: _NOTHING,
        BEGIN_AGGRESSIVE: _NOTHING,
        MAIN_SA: _NOTHING,
        MAIN_KE: _NOTHING,
        MAIN_ID: _NOTHING,
        AGGRESSIVE_SA: _NOTHING,
        AGGRESSIVE_PROOF: _NOTHING,
        UNREADABLE: _NOTHING,
        CLEAR_ERROR: Go(None, ignore, "nothing authenticates it"),
        ERROR: _NOTHING,
        DELETED: Go(_S.CLOSED, established.closed_by_peer, "the other side deleted it"),
        NO_ANSWER: Go(_S.CLOSED, phase1.unanswered, "patience is at its end"),
        HALF_OPEN: Go(_S.CLOSED, phase1.forget_half_open, "the initiator went no further"),
        CLOSE: Go(_S.CLOSED, established.dropped, "is no longer wanted"),
        DEAD: Go(_S.CLOSED, established.dead, "no sign of life came back"),
        AUTHENTICATED: _NOTHING,
        NOT_AUTHENTIC: _IMPOSTOR,
        UNUSABLE: Go(_S.CLOSED, phase1.unusable, "what came makes no SA"),
        USER_NEXT: _NOTHING,
        ADDRESS_NEXT: _NOTHING,
        READY: _NOTHING,
        USER_ACCEPTED: _NOTHING,
        USER_REJECTED: _NOTHING,
        CONFIGURED: _NOTHING,
    },
    start=PhaseOne.IDLE,
)

# -- quick mode -------------------------------------------------------------------------------------------------------

_Q = QuickMode
_USELESS = Go(_Q.FAILED, quick.unusable, "the answer makes no SA")

QUICK_MODE: Table[QuickMode] = Table(
    QuickMode,
    {
        _Q.IDLE: {
            OFFER: Go(_Q.OFFERED, quick.offer, "offers SAs for its traffic"),
            QUICK_SA: Go(_Q.ANSWERED, quick.answer, "chooses one of the offers"),
        },
        _Q.OFFERED: {
            QUICK_SA: Go(None, quick.accept, "takes the choice and confirms that it is there"),
            quick.AGREED: Go(_Q.INSTALLED, install, "has all keys"),
            quick.MUST_WAIT: Go(_Q.UNCONFIRMED, ignore, "the commit bit asks it to wait"),
            ERROR: Go(_Q.FAILED, quick.refused, "the responder refuses"),
            NO_ANSWER: Go(_Q.FAILED, quick.unanswered, "patience is at its end"),
        },
        _Q.UNCONFIRMED: {
            QUICK_CONNECTED: Go(_Q.INSTALLED, install, "the responder says that its SAs are in place"),
            NO_ANSWER: Go(_Q.FAILED, quick.unanswered, "CONNECTED never came"),
        },
        _Q.ANSWERED: {
            quick.REFUSE: Go(_Q.FAILED, quick.refuse, "cannot accept the offer"),
            QUICK_HASH: Go(_Q.INSTALLED, quick.confirm, "knows now that the initiator is there"),
            ERROR: Go(_Q.FAILED, quick.refused, "the initiator thinks better of it"),
            NO_ANSWER: Go(_Q.FAILED, quick.unanswered, "patience is at its end"),
        },
    },
    {
        OFFER: _NOTHING,
        QUICK_SA: _NOTHING,
        QUICK_HASH: _NOTHING,
        QUICK_CONNECTED: _NOTHING,
        ERROR: _NOTHING,
        NO_ANSWER: _NOTHING,
        quick.AGREED: _NOTHING,
        quick.MUST_WAIT: _NOTHING,
        quick.UNUSABLE: _USELESS,
        quick.REFUSE: _NOTHING,
    },
    start=QuickMode.IDLE,
)

# -- transactions -----------------------------------------------------------------------------------------------------

_T = Transaction

TRANSACTION: Table[Transaction] = Table(
    Transaction,
    {
        _T.IDLE: {
            ASK[Purpose.CREDENTIALS]: Go(_T.ASKED, transactions.ask_credentials, "asks who the user is"),
            ASK[Purpose.STATUS]: Go(_T.ASKED, transactions.tell_status, "says whether the user is accepted"),
            ASK[Purpose.PULL]: Go(_T.ASKED, transactions.ask_address, "asks for an address"),
            ASK[Purpose.PUSH]: Go(_T.ASKED, transactions.push_address, "hands out an address"),
            CFG_REQUEST: Go(_T.DONE, transactions.answer_request, "answers what it was asked"),
            CFG_SET: Go(_T.DONE, transactions.answer_set, "takes what it was given"),
        },
        _T.ASKED: {
            CFG_REPLY: Go(_T.DONE, transactions.take_reply, "has its answer"),
            CFG_ACK: Go(_T.DONE, transactions.take_ack, "is understood"),
            NO_ANSWER: Go(_T.DONE, transactions.unanswered, "patience is at its end"),
        },
    },
    dict.fromkeys((*ASK.values(), CFG_REQUEST, CFG_REPLY, CFG_SET, CFG_ACK, NO_ANSWER), _NOTHING),
    start=Transaction.IDLE,
)
