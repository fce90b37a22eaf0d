"""Which payloads may appear in which message: RFC 7296 Appendix C and the extension RFCs, in their own notation.

``[X]`` is optional, ``X+`` may repeat, a comma inside brackets makes a group that comes together. ``N(error)`` stands
for any error notification. Order is the order RFC 7296 shows; receivers must accept others, so a check looks at
presence only. V and N payloads may stand anywhere in any message (Appendix C, first notes), whatever a row says.

The rows are read by the builder (order), the peers (acceptance), the rules (missing, unexpected) and the ladder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache

import msgspec

from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, PayloadType

ERROR = "error"  # N(error): any error notification


class GrammarError(ValueError):
    """A row that is not in the notation: a mistake of the program, found when it is first read."""


class Element(msgspec.Struct, frozen=True):
    """One payload of a row.

    ``name`` is the payload's name in RFC notation; ``qualifier`` is what stands in parentheses (a notify type, a
    configuration type). ``group`` is equal for payloads that come together or not at all; 0 is no group. ``order_free``
    payloads (bare V and N) may stand anywhere.
    """

    name: str
    qualifier: str = ""
    optional: bool = False
    repeat: bool = False
    group: int = 0

    @property
    def order_free(self) -> bool:
        """Whether this is any Vendor ID or any notification."""
        return self.name in ("V", "N") and not self.qualifier

    @property
    def notify_type(self) -> NotifyType | None:
        """The notify type; None for another payload, a bare ``N`` and ``N(error)``."""
        if self.name != "N" or not self.qualifier or self.qualifier == ERROR:
            return None
        return NotifyType[self.qualifier]

    def __str__(self) -> str:
        return f"{self.name}({self.qualifier})" if self.qualifier else self.name

    def matches(self, name: str) -> bool:
        """Whether a payload of this name, such as ``SA`` or ``N(COOKIE)``, is this element."""
        found, _, rest = name.partition("(")
        qualifier = rest.removesuffix(")")
        if found != self.name:
            return False
        if self.qualifier == ERROR:
            return is_error(qualifier)
        return not self.qualifier or not qualifier or qualifier == self.qualifier


def is_error(notify_name: str) -> bool:
    """Whether a notify type of this name, ``UNKNOWN_9000`` included, is an error."""
    known = NotifyType.__members__.get(notify_name)
    number = notify_name.removeprefix("UNKNOWN_")
    if known is None and number.isdecimal():
        known = NotifyType(int(number))
    return known is not None and known.is_error


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One row: an exchange and its messages. Several rows of one type are alternatives (without and with EAP …)."""

    exchange_type: ExchangeType
    title: str
    request: str
    response: str
    refusals: tuple[str, ...] = ()
    rfc: str = "7296 C"


class Fit(msgspec.Struct, frozen=True):
    """How a message fits the row that fits it best."""

    exchange: Exchange | None
    grammar: str
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    is_refusal: bool = False

    @property
    def fits(self) -> bool:
        """Whether nothing is missing and nothing unexpected."""
        return not self.missing and not self.unexpected


_TOKEN = re.compile(r"\s*(?:(?P<name>[A-Za-z]+)(?:\((?P<qualifier>\w+)\))?|(?P<mark>[\[\],+]))")


@cache
def parse_grammar(text: str) -> tuple[Element, ...]:
    """Read a row such as ``SA, KE, Ni, [CERTREQ+], [V+][N+]``. Raises GrammarError."""
    elements: list[Element] = []
    open_groups: list[tuple[int, int]] = []  # number of the group, index of its first element
    at = groups = 0
    while at < len(text.rstrip()):
        match = _TOKEN.match(text, at)
        if match is None:
            raise GrammarError(f"{text!r} at {at}")
        at = match.end()
        mark, name = match.group("mark"), match.group("name")
        if name:
            group = open_groups[-1][0] if open_groups else 0
            qualifier = match.group("qualifier") or ""
            elements.append(Element(name, qualifier, optional=bool(open_groups), group=group))
        elif mark == "[":
            groups += 1
            open_groups.append((groups, len(elements)))
        elif mark == "]":
            if not open_groups or len(elements) == open_groups[-1][1]:
                raise GrammarError(f"{text!r} at {at}: a bracket that nothing opens or fills")
            open_groups.pop()
        elif mark == "+":
            if not elements:
                raise GrammarError(f"{text!r} at {at}: nothing to repeat")
            elements[-1] = msgspec.structs.replace(elements[-1], repeat=True)
    if open_groups:
        raise GrammarError(f"{text!r}: an open bracket")
    return tuple(_lone_groups(elements))


def _lone_groups(elements: Sequence[Element]) -> Iterator[Element]:
    """Forget the groups of one: they are nothing but optional."""
    for element in elements:
        alone = sum(other.group == element.group for other in elements) == 1
        yield msgspec.structs.replace(element, group=0) if alone and element.group else element


_CHILD_OPTIONS = (
    "[N(IPCOMP_SUPPORTED)+], [N(USE_TRANSPORT_MODE)], [N(ESP_TFC_PADDING_NOT_SUPPORTED)], [N(NON_FIRST_FRAGMENTS_ALSO)]"
)
_CERTREQ = "[[N(HTTP_CERT_LOOKUP_SUPPORTED)], CERTREQ+]"
_NAT = "[N(NAT_DETECTION_SOURCE_IP)+, N(NAT_DETECTION_DESTINATION_IP)]"
_ANY = "[V+][N+]"
_REFUSED = "N(error), [V+][N+]"
_CHILD_ACCEPTED = f"[CP(CFG_REPLY)], {_CHILD_OPTIONS}, SA, TSi, TSr, [N(ADDITIONAL_TS_POSSIBLE)], {_ANY}"

_T = ExchangeType
EXCHANGES: tuple[Exchange, ...] = (
    Exchange(
        exchange_type=_T.IKE_SA_INIT,
        title="initial exchange",
        rfc="7296 C.1",
        request=f"[N(COOKIE)], SA, KE, Ni, {_NAT}, {_ANY}",
        response=f"SA, KE, Nr, {_NAT}, {_CERTREQ}, {_ANY}",
        refusals=(f"N(COOKIE), {_ANY}", f"N(INVALID_KE_PAYLOAD), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.IKE_SA_INIT,
        title="initial exchange with a puzzle",
        rfc="8019 7.1",
        request=f"N(COOKIE), [PS], SA, KE, Ni, {_NAT}, {_ANY}",
        response=f"SA, KE, Nr, N(PUZZLE), {_NAT}, {_CERTREQ}, {_ANY}",
        refusals=(f"N(COOKIE), N(PUZZLE), {_ANY}",),
    ),
    Exchange(
        exchange_type=_T.IKE_SA_INIT,
        title="redirected",
        rfc="5685 3",
        request=f"[N(COOKIE)], SA, KE, Ni, N(REDIRECT_SUPPORTED), {_NAT}, {_ANY}",
        response=f"SA, KE, Nr, {_NAT}, {_CERTREQ}, {_ANY}",
        refusals=(f"N(REDIRECT), {_ANY}",),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication",
        rfc="7296 C.2",
        request=f"IDi, [CERT+], [N(INITIAL_CONTACT)], {_CERTREQ}, [IDr], AUTH, [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, TSi, TSr, {_ANY}",
        response=f"IDr, [CERT+], AUTH, {_CHILD_ACCEPTED}",
        refusals=(f"IDr, [CERT+], AUTH, N(error), {_ANY}", f"IDr, [CERT+], AUTH, N(REDIRECT), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with EAP, first",
        rfc="7296 C.3",
        request=f"IDi, [N(INITIAL_CONTACT)], {_CERTREQ}, [IDr], [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, TSi, TSr, {_ANY}",
        response=f"IDr, [CERT+], AUTH, EAP, {_ANY}",
        refusals=(_REFUSED, f"IDr, [CERT+], AUTH, N(REDIRECT), {_ANY}"),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with EAP only, first",
        rfc="5998 3",
        request=f"IDi, N(EAP_ONLY_AUTHENTICATION), [N(INITIAL_CONTACT)], {_CERTREQ}, [IDr], [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, TSi, TSr, {_ANY}",
        response=f"IDr, EAP, {_ANY}",
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with EAP, continued",
        rfc="7296 C.3",
        request=f"EAP, {_ANY}",
        response=f"EAP, {_ANY}",
        refusals=(f"EAP, N(error), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with EAP, last",
        rfc="7296 C.3",
        request=f"AUTH, {_ANY}",
        response=f"AUTH, {_CHILD_ACCEPTED}",
        refusals=(f"AUTH, N(error), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication without Child SA",
        rfc="6023 3",
        request=f"IDi, [CERT+], [N(INITIAL_CONTACT)], {_CERTREQ}, [IDr], [AUTH], [CP(CFG_REQUEST)], {_ANY}",
        response=f"IDr, [CERT+], AUTH, [CP(CFG_REPLY)], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="another authentication",
        rfc="4739 2.2",
        request=f"IDi, [CERT+], [AUTH], {_ANY}",
        response=f"IDr, [CERT+], [EAP], [AUTH], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with a puzzle",
        rfc="8019 7.2",
        request=f"PS, IDi, [CERT+], [N(INITIAL_CONTACT)], {_CERTREQ}, [IDr], [AUTH], [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, TSi, TSr, {_ANY}",
        response=f"IDr, [CERT+], AUTH, {_CHILD_ACCEPTED}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with a secure password method",
        rfc="6467 2",
        request=f"IDi, [IDr], [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, TSi, TSr, GSPM, {_ANY}",
        response=f"IDr, GSPM, {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_AUTH,
        title="authentication with a secure password method, continued",
        rfc="6467 2",
        request=f"GSPM, [AUTH], {_ANY}",
        response=f"[GSPM], [AUTH], [SA, TSi, TSr], [CP(CFG_REPLY)], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.CREATE_CHILD_SA,
        title="new Child SA",
        rfc="7296 C.4",
        request=f"[N(REKEY_SA)], [CP(CFG_REQUEST)], {_CHILD_OPTIONS}, SA, Ni, [KE], TSi, TSr, {_ANY}",
        response=f"[CP(CFG_REPLY)], {_CHILD_OPTIONS}, SA, Nr, [KE], TSi, TSr, [N(ADDITIONAL_TS_POSSIBLE)], {_ANY}",
        refusals=(f"N(INVALID_KE_PAYLOAD), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.CREATE_CHILD_SA,
        title="rekeyed IKE SA",
        rfc="7296 C.5",
        request=f"SA, Ni, KE, {_ANY}",
        response=f"SA, Nr, KE, {_ANY}",
        refusals=(f"N(INVALID_KE_PAYLOAD), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.CREATE_CHILD_SA,
        title="cloned IKE SA",
        rfc="7791 5.2",
        request=f"N(CLONE_IKE_SA), SA, Ni, [KE], {_ANY}",
        response=f"N(CLONE_IKE_SA), SA, Nr, [KE], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.INFORMATIONAL,
        title="informational",
        rfc="7296 C.6",
        request="[N+], [D+], [CP(CFG_REQUEST)], [CP(CFG_SET)], [V+]",
        response="[N+], [D+], [CP(CFG_REPLY)], [CP(CFG_ACK)], [V+]",
    ),
    Exchange(
        exchange_type=_T.IKE_SESSION_RESUME,
        title="session resumption",
        rfc="5723 4.3.1",
        request=f"[N(COOKIE)], Ni, N(TICKET_OPAQUE), {_NAT}, {_ANY}",
        response=f"Nr, {_NAT}, {_ANY}",
        refusals=(f"N(COOKIE), {_ANY}", f"N(TICKET_NACK), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.IKE_INTERMEDIATE,
        title="additional key exchange",
        rfc="9370 2.2.2",
        request=f"KE, {_ANY}",
        response=f"KE, {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_INTERMEDIATE,
        title="other data before authentication",
        rfc="9242 3.2",
        request=f"[KE], {_ANY}",
        response=f"[KE], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.IKE_FOLLOWUP_KE,
        title="additional key exchange after CREATE_CHILD_SA",
        rfc="9370 2.2.4",
        request=f"KE, N(ADDITIONAL_KEY_EXCHANGE), {_ANY}",
        response=f"KE, [N(ADDITIONAL_KEY_EXCHANGE)], {_ANY}",
        refusals=(f"N(STATE_NOT_FOUND), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.GSA_AUTH,
        title="registration with a new IKE SA",
        rfc="9838 2.3.2",
        request=f"IDi, [CERT+], {_CERTREQ}, [IDr], [AUTH], IDg, [SA], [N(GROUP_SENDER)], {_ANY}",
        response=f"IDr, [CERT+], AUTH, [GSA], [KD], {_ANY}",
        refusals=(f"IDr, [CERT+], AUTH, N(error), {_ANY}", _REFUSED),
    ),
    Exchange(
        exchange_type=_T.GSA_AUTH,
        title="registration with EAP",
        rfc="9838 2.3.2",
        request=f"[EAP], [AUTH], {_ANY}",
        response=f"[IDr], [CERT+], [AUTH], [EAP], [GSA], [KD], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.GSA_REGISTRATION,
        title="registration over an IKE SA",
        rfc="9838 2.3.3",
        request=f"IDg, [SA], [N(GROUP_SENDER)], {_ANY}",
        response=f"[GSA], [KD], [D+], {_ANY}",
        refusals=(_REFUSED,),
    ),
    Exchange(
        exchange_type=_T.GSA_REKEY,
        title="group rekeying, to all members, unanswered",
        rfc="9838 2.4.1",
        request=f"GSA, KD, [D+], [AUTH], {_ANY}",
        response="",
    ),
    Exchange(
        exchange_type=_T.GSA_INBAND_REKEY,
        title="group rekeying, to one member",
        rfc="9838 2.4.2",
        request=f"GSA, KD, [D+], {_ANY}",
        response=_ANY,
    ),
)


def exchanges_of(exchange_type: int) -> tuple[Exchange, ...]:
    """The rows of one exchange type."""
    return tuple(row for row in EXCHANGES if row.exchange_type == exchange_type)


def compare(grammar: str, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What a message of these payload names lacks, and what it has too much, by one row."""
    missing, unexpected, _ = _match(grammar, names)
    return missing, unexpected


def _match(grammar: str, names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...], int]:
    """As ``compare``, and how many payloads matched an element of their own (no bare V or N)."""
    elements = parse_grammar(grammar)
    left, found = list(names), dict[int, int]()
    for index, element in enumerate(elements):
        while element.repeat or index not in found:
            name = next((name for name in left if element.matches(name)), None)
            if name is None or element.order_free:
                break
            left.remove(name)
            found[index] = found.get(index, 0) + 1
    present = {elements[index].group for index in found} - {0}
    missing = [
        str(element)
        for index, element in enumerate(elements)
        if index not in found and not element.order_free and (not element.optional or element.group in present)
    ]
    unexpected = [name for name in left if name.partition("(")[0] not in ("V", "N")]
    return tuple(missing), tuple(unexpected), sum(found.values())


def check(exchange_type: int, payload_names: Sequence[str], *, is_response: bool) -> Fit:
    """How the payloads of a message fit the exchange; a message that is still encrypted fits as far as can be seen.

    Args:
        exchange_type: the exchange type of the header.
        payload_names: the payloads in RFC notation, those inside SK in its place: ``("SA", "KE", "Ni", "N(COOKIE)")``.
        is_response: whether the R flag is set.
    """
    rows = exchanges_of(exchange_type)
    protected = exchange_type not in (_T.IKE_SA_INIT, _T.IKE_SESSION_RESUME)
    if not rows or (protected and set(payload_names) & {str(PayloadType.SK), str(PayloadType.SKF)}):
        return Fit(None, "")
    candidates = [found for row in rows for found in _fits(row, payload_names, is_response=is_response)]
    return min(candidates, key=lambda found: found[0])[1]


def _fits(row: Exchange, names: Sequence[str], *, is_response: bool) -> Iterator[tuple[tuple[int, int], Fit]]:
    """How the names fit the messages of a row, the better ones with the lower rank; refusals if they fit entirely."""
    grammar = row.response if is_response else row.request
    missing, unexpected, matched = _match(grammar, names)
    yield (len(missing) + len(unexpected), -matched), Fit(row, grammar, missing, unexpected)
    for refusal in row.refusals if is_response else ():
        missing, unexpected, matched = _match(refusal, names)
        if not missing and not unexpected:
            yield (0, -matched), Fit(row, refusal, is_refusal=True)
