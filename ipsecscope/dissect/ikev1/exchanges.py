"""Which payloads may stand in which message of an IKEv1 exchange: RFC 2409 section 5, RFC 2408 section 4, RFC 6407.

One row per exchange and way of authentication, one string per message, in the notation of RFC 2409 section 5::

    ^SA, KE, NONCE, [CERTREQ+], [V+]

``[X]`` may be absent, ``X+`` may be repeated, ``X|Y`` is one of both, ``^X`` has its place at the front. Everything
else may stand in any order (RFC 2409 section 5). The file knows names only: who sent what is the caller's knowledge.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from enum import Enum
from functools import lru_cache
from typing import Final

import msgspec

from ipsecscope.dissect.codepoints import CodePoint
from ipsecscope.dissect.registry.isakmp import AuthenticationMethod, ExchangeType, GdoiExchangeType, PayloadType

MAX_NAMES: Final = 512  # payloads of one message that are looked at


SAME_NAMES: Final = {  # the registry's names and the words that ladders use in both versions
    PayloadType.CR.name: "CERTREQ",
    PayloadType.VID.name: "V",
    PayloadType.NAT_D.name: "NAT-D",
    PayloadType.NAT_D_DRAFT.name: "NAT-D",
    PayloadType.NAT_OA.name: "NAT-OA",
    PayloadType.NAT_OA_DRAFT.name: "NAT-OA",
}
NOT_GDOI_NAMES: Final = {PayloadType.SAK.name: "NAT-D", PayloadType.SAT.name: "NAT-OA"}  # see payload_class


class Authentication(Enum):
    """The ways to authenticate phase 1 that differ in their messages."""

    PRE_SHARED_KEY = "pre-shared key"
    SIGNATURE = "signature"
    PUBLIC_KEY_ENCRYPTION = "public key encryption"
    REVISED_PUBLIC_KEY_ENCRYPTION = "revised public key encryption"
    HYBRID_INITIATOR = "hybrid, the responder signs"
    HYBRID_RESPONDER = "hybrid, the initiator signs"


_METHODS: Final[dict[int, Authentication]] = {
    AuthenticationMethod.PRE_SHARED_KEY: Authentication.PRE_SHARED_KEY,
    AuthenticationMethod.XAUTH_INIT_PRE_SHARED: Authentication.PRE_SHARED_KEY,
    AuthenticationMethod.XAUTH_RESP_PRE_SHARED: Authentication.PRE_SHARED_KEY,
    AuthenticationMethod.DSS_SIGNATURES: Authentication.SIGNATURE,
    AuthenticationMethod.RSA_SIGNATURES: Authentication.SIGNATURE,
    AuthenticationMethod.ECDSA_SIGNATURES: Authentication.SIGNATURE,
    AuthenticationMethod.ECDSA_WITH_SHA_256_ON_P_256: Authentication.SIGNATURE,
    AuthenticationMethod.ECDSA_WITH_SHA_384_ON_P_384: Authentication.SIGNATURE,
    AuthenticationMethod.ECDSA_WITH_SHA_512_ON_P_521: Authentication.SIGNATURE,
    AuthenticationMethod.XAUTH_INIT_DSS: Authentication.SIGNATURE,
    AuthenticationMethod.XAUTH_RESP_DSS: Authentication.SIGNATURE,
    AuthenticationMethod.XAUTH_INIT_RSA: Authentication.SIGNATURE,
    AuthenticationMethod.XAUTH_RESP_RSA: Authentication.SIGNATURE,
    AuthenticationMethod.RSA_ENCRYPTION: Authentication.PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.ELGAMAL_ENCRYPTION: Authentication.PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.XAUTH_INIT_RSA_ENCRYPTION: Authentication.PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.XAUTH_RESP_RSA_ENCRYPTION: Authentication.PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.REVISED_RSA_ENCRYPTION: Authentication.REVISED_PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.REVISED_ELGAMAL_ENCRYPTION: Authentication.REVISED_PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.XAUTH_INIT_RSA_REVISED_ENCRYPTION: Authentication.REVISED_PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.XAUTH_RESP_RSA_REVISED_ENCRYPTION: Authentication.REVISED_PUBLIC_KEY_ENCRYPTION,
    AuthenticationMethod.HYBRID_INIT_RSA: Authentication.HYBRID_INITIATOR,
    AuthenticationMethod.HYBRID_INIT_DSS: Authentication.HYBRID_INITIATOR,
    AuthenticationMethod.HYBRID_RESP_RSA: Authentication.HYBRID_RESPONDER,
    AuthenticationMethod.HYBRID_RESP_DSS: Authentication.HYBRID_RESPONDER,
}


def authentication_of(method: int | None) -> Authentication | None:
    """Which messages an authentication method leads to; None when nothing is known about it."""
    return None if method is None else _METHODS.get(int(method))


class Step(msgspec.Struct, frozen=True):
    """One message of an exchange: who sends it, what it holds, whether it is encrypted (``HDR*``)."""

    by_initiator: bool
    grammar: str
    encrypted: bool = False
    optional: bool = False


class Exchange(msgspec.Struct, frozen=True):
    """An exchange: its messages in order. ``authentication`` is None where it makes no difference."""

    exchange_type: CodePoint
    steps: tuple[Step, ...]
    authentication: Authentication | None = None
    rfc: str = ""


class Term(msgspec.Struct, frozen=True):
    """One item of a grammar string."""

    names: frozenset[str]
    required: bool
    repeatable: bool
    in_front: bool

    def __str__(self) -> str:
        return "|".join(sorted(self.names))


class Fault(Enum):
    """How a message departs from its grammar."""

    MISSING = "missing"
    UNEXPECTED = "unexpected"
    REPEATED = "repeated"
    MISPLACED = "misplaced"


class Departure(msgspec.Struct, frozen=True):
    """One departure: what, which payload, and its position among the names (None for a missing one)."""

    fault: Fault
    payload: str
    position: int | None
    text: str


def _steps(*grammars: str) -> tuple[Step, ...]:
    """Messages that alternate, the initiator first; a ``*`` in front says encrypted, a ``?`` that it may be left out."""
    return tuple(
        Step(
            by_initiator=index % 2 == 0,
            grammar=grammar.lstrip("*?"),
            encrypted="*" in grammar[:2],
            optional="?" in grammar[:2],
        )
        for index, grammar in enumerate(grammars)
    )


_EXTRAS = "[NAT-D+], [V+], [N+]"
_SA = "^SA, [V+], [N+]"
_FINAL = "[CERT+], [CERTREQ+], [V+], [N+], [NAT-D+]"
_OFFER = "^SA, KE, NONCE, ID, [CERTREQ+], [V+], [N+]"
_ANSWER = f"^SA, KE, NONCE, ID, [CERT+], [CERTREQ+], {_EXTRAS}"
_QUICK = "^HASH, ^SA+, NONCE, [KE], [ID+], [NAT-OA+], [N+], [V+]"

MAIN: Final = ExchangeType.IDENTITY_PROTECTION
AGGRESSIVE: Final = ExchangeType.AGGRESSIVE
_PSK, _SIG = Authentication.PRE_SHARED_KEY, Authentication.SIGNATURE
_PKE, _RPKE = Authentication.PUBLIC_KEY_ENCRYPTION, Authentication.REVISED_PUBLIC_KEY_ENCRYPTION
_HYBRID_I, _HYBRID_R = Authentication.HYBRID_INITIATOR, Authentication.HYBRID_RESPONDER

EXCHANGES: Final[tuple[Exchange, ...]] = (
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"KE, NONCE, {_EXTRAS}",
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"*ID, HASH, {_FINAL}",
            f"*ID, HASH, {_FINAL}",
        ),
        _PSK,
        "2409 5.4",
    ),
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"*ID, SIG, {_FINAL}",
            f"*ID, SIG, {_FINAL}",
        ),
        _SIG,
        "2409 5.1",
    ),
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"KE, [HASH], ID, NONCE, [CERTREQ+], {_EXTRAS}",
            f"KE, ID, NONCE, [CERTREQ+], {_EXTRAS}",
            "*HASH, [N+], [V+]",
            "*HASH, [N+], [V+]",
        ),
        _PKE,
        "2409 5.2",
    ),
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"[HASH], NONCE, KE, ID, [CERT+], [CERTREQ+], {_EXTRAS}",
            f"NONCE, KE, ID, [CERTREQ+], {_EXTRAS}",
            "*HASH, [N+], [V+]",
            "*HASH, [N+], [V+]",
        ),
        _RPKE,
        "2409 5.3",
    ),
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"*ID, HASH, {_FINAL}",
            f"*ID, SIG, {_FINAL}",
        ),
        _HYBRID_I,
        "draft-ietf-ipsec-isakmp-hybrid-auth 3.2",
    ),
    Exchange(
        MAIN,
        _steps(
            _SA,
            _SA,
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"KE, NONCE, [CERTREQ+], {_EXTRAS}",
            f"*ID, SIG, {_FINAL}",
            f"*ID, HASH, {_FINAL}",
        ),
        _HYBRID_R,
        "draft-ietf-ipsec-isakmp-hybrid-auth 3.2",
    ),
    Exchange(AGGRESSIVE, _steps(_OFFER, f"{_ANSWER}, HASH", f"HASH, {_FINAL}"), _PSK, "2409 5.4"),
    Exchange(AGGRESSIVE, _steps(_OFFER, f"{_ANSWER}, SIG", f"SIG, {_FINAL}"), _SIG, "2409 5.1"),
    Exchange(AGGRESSIVE, _steps(f"{_OFFER}, [HASH]", f"{_ANSWER}, HASH", f"HASH, {_FINAL}"), _PKE, "2409 5.2"),
    Exchange(
        AGGRESSIVE,
        _steps(f"{_OFFER}, [HASH], [CERT+]", f"{_ANSWER}, HASH", f"HASH, {_FINAL}"),
        _RPKE,
        "2409 5.3",
    ),
    Exchange(AGGRESSIVE, _steps(_OFFER, f"{_ANSWER}, SIG", f"HASH, {_FINAL}"), _HYBRID_I, "hybrid-auth 3.2"),
    Exchange(AGGRESSIVE, _steps(_OFFER, f"{_ANSWER}, HASH", f"SIG, {_FINAL}"), _HYBRID_R, "hybrid-auth 3.2"),
    Exchange(
        ExchangeType.BASE,
        _steps(
            "^SA, NONCE, [ID], [V+], [N+]",
            "^SA, NONCE, [ID], [V+], [N+]",
            f"KE, [ID], HASH|SIG, {_FINAL}",
            f"KE, [ID], HASH|SIG, {_FINAL}",
        ),
        None,
        "2408 4.4",
    ),
    Exchange(
        ExchangeType.AUTHENTICATION_ONLY,
        _steps(
            "^SA, NONCE, [V+], [N+]",
            f"^SA, NONCE, ID, HASH|SIG, {_FINAL}",
            f"ID, HASH|SIG, {_FINAL}",
        ),
        None,
        "2408 4.6",
    ),
    Exchange(
        ExchangeType.QUICK_MODE,
        _steps(f"*{_QUICK}", f"*{_QUICK}", "*^HASH, [N+]", "*?^HASH, N+"),
        None,
        "2409 5.5",
    ),
    Exchange(ExchangeType.NEW_GROUP_MODE, _steps("*^HASH, ^SA", "*^HASH, ^SA"), None, "2409 5.6"),
    Exchange(ExchangeType.INFORMATIONAL, _steps("[HASH], N|D+, [V+]"), None, "2409 5.7"),
    Exchange(
        ExchangeType.TRANSACTION,
        _steps("*^HASH, ATTR, [N+], [V+]", "*^HASH, ATTR, [N+], [V+]"),
        None,
        "draft-dukes-ike-mode-cfg-02 3.2",
    ),
)

GDOI_EXCHANGES: Final[tuple[Exchange, ...]] = (
    Exchange(
        GdoiExchangeType.GROUPKEY_PULL,
        _steps(
            "*^HASH, NONCE, ID, [N+], [V+]",
            "*^HASH, NONCE, SA+, [SAK], [SAT+], [GAP], [N+], [V+]",
            "*^HASH, [GAP], [KE], [CERT+], [POP], [N+]",
            "*^HASH, [SEQ], KD, [KE], [CERT+], [POP], [N+]",
        ),
        None,
        "6407 3.2",
    ),
    Exchange(
        GdoiExchangeType.GROUPKEY_PUSH,
        _steps("*^SEQ, [D+], [SA], [SAK], [SAT+], [GAP], [KD], [CERT+], [N+], SIG"),
        None,
        "6407 4",
    ),
    Exchange(GdoiExchangeType.GROUPKEY_PUSH_ACK, _steps("^HASH, SEQ, ID"), None, "8263 3"),
)

_TERM = re.compile(r"(\^?)(\[?)(\^?)([A-Za-z0-9_|-]+)(\+?)(\]?)(\+?)")


@lru_cache(maxsize=256)
def parse_grammar(grammar: str) -> tuple[Term, ...]:
    """Read one grammar string. Raises ValueError for a string that is none."""
    terms = []
    for item in filter(None, re.split(r",\s*", grammar)):
        match = _TERM.fullmatch(item)
        if match is None or bool(match[2]) != bool(match[6]):
            raise ValueError(f"not a grammar term: {item!r}")
        terms.append(
            Term(
                names=frozenset(match[4].split("|")),
                required=not match[2],
                repeatable=bool(match[5] or match[7]),
                in_front=bool(match[1] or match[3]),
            )
        )
    return tuple(terms)


def exchanges_for(
    exchange_type: int, authentication: Authentication | None = None, *, gdoi: bool = False
) -> tuple[Exchange, ...]:
    """The rows of an exchange type; all of them while the way of authentication is unknown."""
    rows = [row for row in (GDOI_EXCHANGES if gdoi else EXCHANGES) if row.exchange_type == exchange_type]
    if not rows and gdoi:
        return exchanges_for(exchange_type, authentication)
    exact = [row for row in rows if authentication is not None and row.authentication == authentication]
    return tuple(exact or rows)


def check(
    exchange_type: int,
    message_index: int,
    payload_names: Sequence[str],
    *,
    authentication: Authentication | None = None,
    gdoi: bool = False,
) -> tuple[Departure, ...]:
    """How the payloads of a message depart from the exchange.

    While the way of authentication is unknown the message may follow any row; the row that it fits best is the one
    that counts. An exchange without rows, or a message behind the last step, is not judged.

    Args:
        exchange_type: from the header.
        message_index: 0 for the first message of the exchange, retransmissions not counted.
        payload_names: names as ladders or the payload registry spell them; ``N(…)`` counts as ``N``.
        authentication: from the chosen transform, where it is known.
        gdoi: whether the DOI is GDOI, whose exchanges 32 and 33 are others.
    """
    names = tuple(_plain(name, gdoi=gdoi) for name in payload_names[:MAX_NAMES])
    found = [
        compare(names, row.steps[message_index].grammar)
        for row in exchanges_for(exchange_type, authentication, gdoi=gdoi)
        if message_index < len(row.steps)
    ]
    return min(found, key=len, default=())


def _plain(name: str, *, gdoi: bool) -> str:
    """A payload name as the grammar has it: without notify type, the drafts' NAT-D and NAT-OA as what they became."""
    name = name.partition("(")[0]
    found = SAME_NAMES.get(name) or (None if gdoi else NOT_GDOI_NAMES.get(name))
    return found or name


def compare(names: Sequence[str], grammar: str) -> tuple[Departure, ...]:
    """How a sequence of payload names departs from one grammar string."""
    terms = parse_grammar(grammar)
    counts = Counter(names)
    departures = []
    for term in terms:
        present = sum(counts[name] for name in term.names)
        if term.required and not present:
            departures.append(Departure(Fault.MISSING, str(term), None, f"{term} is missing"))
    departures += _surplus(names, terms)
    departures += _misplaced(names, [term for term in terms if term.in_front])
    return tuple(departures)


def _surplus(names: Sequence[str], terms: Sequence[Term]) -> list[Departure]:
    """Payloads that no term allows, and those that stand more often than their term allows."""
    departures, seen = [], Counter[Term]()
    for position, name in enumerate(names):
        term = next((term for term in terms if name in term.names), None)
        if term is None:
            text = f"{name} does not belong into this message"
            departures.append(Departure(Fault.UNEXPECTED, name, position, text))
            continue
        seen[term] += 1
        if seen[term] > 1 and not term.repeatable:
            departures.append(Departure(Fault.REPEATED, name, position, f"{name} stands more than once"))
    return departures


def _misplaced(names: Sequence[str], front: Sequence[Term]) -> list[Departure]:
    """Payloads whose place is at the front and which stand elsewhere."""
    departures = []
    for place, term in enumerate(front):
        position = next((index for index, name in enumerate(names) if name in term.names), None)
        if position is not None and position > place:
            where = "first" if place == 0 else f"number {place + 1}"
            text = f"{names[position]} must be the {where} payload"
            departures.append(Departure(Fault.MISPLACED, names[position], position, text))
    return departures
