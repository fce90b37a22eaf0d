from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev1.exchanges import (
    EXCHANGES,
    GDOI_EXCHANGES,
    SAME_NAMES,
    Authentication,
    Departure,
    Fault,
    authentication_of,
    check,
    compare,
    exchanges_for,
    parse_grammar,
)
from ipsecscope.dissect.registry.isakmp import (
    AuthenticationMethod,
    ExchangeType,
    GdoiExchangeType,
    PayloadType,
)

MAIN, AGGRESSIVE, QUICK = ExchangeType.IDENTITY_PROTECTION, ExchangeType.AGGRESSIVE, ExchangeType.QUICK_MODE


def faults(departures: tuple[Departure, ...]) -> list[tuple[str, str]]:
    return [(departure.fault.value, departure.payload) for departure in departures]


@pytest.mark.parametrize(
    "row", [*EXCHANGES, *GDOI_EXCHANGES], ids=lambda row: f"{row.exchange_type}-{row.authentication}"
)
def test_every_grammar_is_readable_and_names_payloads_of_the_registry(row: object) -> None:
    for step in row.steps:  # type: ignore[attr-defined]
        terms = parse_grammar(step.grammar)
        assert terms
        for term in terms:
            assert term.names <= {*PayloadType.__members__, *SAME_NAMES.values()}


@pytest.mark.parametrize("text", ["[SA", "SA]", "S A", "<ID>"])
def test_grammar_that_is_none_is_a_mistake_of_the_author(text: str) -> None:
    with pytest.raises(ValueError, match="grammar"):
        parse_grammar(text)


@pytest.mark.parametrize(
    ("exchange", "index", "names", "authentication"),
    [
        (MAIN, 0, ["SA", "VID", "VID"], None),
        (MAIN, 1, ["SA", "VID"], None),
        (MAIN, 2, ["KE", "NONCE", "NAT_D", "NAT_D"], None),
        (MAIN, 2, ["KE", "NONCE", "NAT_D_DRAFT", "NAT_D_DRAFT"], Authentication.PRE_SHARED_KEY),
        (MAIN, 2, ["KE", "NONCE", "SAK", "SAK"], Authentication.PRE_SHARED_KEY),
        (MAIN, 3, ["KE", "NONCE", "CR", "NAT_D", "NAT_D"], Authentication.SIGNATURE),
        (MAIN, 3, ["KE", "NONCE", "CERTREQ", "NAT-D", "NAT-D", "V"], Authentication.SIGNATURE),
        (MAIN, 4, ["ID", "HASH", "N(INITIAL_CONTACT)"], Authentication.PRE_SHARED_KEY),
        (MAIN, 4, ["ID", "CERT", "SIG", "CR"], Authentication.SIGNATURE),
        (MAIN, 4, ["ID", "HASH"], Authentication.HYBRID_INITIATOR),
        (MAIN, 5, ["ID", "CERT", "SIG"], Authentication.HYBRID_INITIATOR),
        (MAIN, 2, ["HASH", "KE", "ID", "NONCE"], Authentication.PUBLIC_KEY_ENCRYPTION),
        (MAIN, 2, ["HASH", "NONCE", "KE", "ID", "CERT"], Authentication.REVISED_PUBLIC_KEY_ENCRYPTION),
        (AGGRESSIVE, 0, ["SA", "KE", "NONCE", "ID", "VID"], None),
        (AGGRESSIVE, 1, ["SA", "KE", "NONCE", "ID", "HASH", "VID", "NAT_D", "NAT_D"], Authentication.PRE_SHARED_KEY),
        (AGGRESSIVE, 2, ["HASH", "NAT_D", "NAT_D"], Authentication.PRE_SHARED_KEY),
        (AGGRESSIVE, 2, ["CERT", "SIG"], Authentication.SIGNATURE),
        (QUICK, 0, ["HASH", "SA", "NONCE", "KE", "ID", "ID"], None),
        (QUICK, 0, ["HASH", "SA", "SA", "NONCE"], None),
        (QUICK, 1, ["HASH", "SA", "NONCE", "ID", "ID", "N(RESPONDER_LIFETIME)"], None),
        (QUICK, 2, ["HASH"], None),
        (QUICK, 3, ["HASH", "N(CONNECTED)"], None),
        (ExchangeType.INFORMATIONAL, 0, ["HASH", "D"], None),
        (ExchangeType.INFORMATIONAL, 0, ["N(NO_PROPOSAL_CHOSEN)"], None),
        (ExchangeType.TRANSACTION, 0, ["HASH", "ATTR"], None),
        (ExchangeType.NEW_GROUP_MODE, 1, ["HASH", "SA"], None),
        (ExchangeType.BASE, 2, ["KE", "ID", "SIG"], None),
        (ExchangeType.AUTHENTICATION_ONLY, 1, ["SA", "NONCE", "ID", "HASH"], None),
        (ExchangeType(200), 0, ["KE"], None),
        (QUICK, 7, ["KE"], None),
    ],
)
def test_message_as_the_rfc_has_it_departs_in_nothing(
    exchange: int, index: int, names: list[str], authentication: Authentication | None
) -> None:
    assert check(exchange, index, names, authentication=authentication) == ()


@pytest.mark.parametrize(
    ("exchange", "index", "names", "authentication", "expected"),
    [
        (MAIN, 0, ["VID", "SA"], None, [("misplaced", "SA")]),
        (MAIN, 0, [], None, [("missing", "SA")]),
        (MAIN, 0, ["SA", "KE"], None, [("unexpected", "KE")]),
        (MAIN, 0, ["SA", "SA"], None, [("repeated", "SA")]),
        (MAIN, 4, ["ID"], Authentication.PRE_SHARED_KEY, [("missing", "HASH")]),
        (MAIN, 4, ["ID", "HASH"], Authentication.SIGNATURE, [("missing", "SIG"), ("unexpected", "HASH")]),
        (AGGRESSIVE, 0, ["KE", "SA", "NONCE", "ID"], None, [("misplaced", "SA")]),
        (QUICK, 0, ["SA", "NONCE", "HASH"], None, [("misplaced", "HASH")]),
        (QUICK, 0, ["HASH", "NONCE", "SA"], None, [("misplaced", "SA")]),
        (ExchangeType.INFORMATIONAL, 0, ["HASH"], None, [("missing", "D|N")]),
        (ExchangeType.TRANSACTION, 0, ["HASH", "ATTR", "ATTR"], None, [("repeated", "ATTR")]),
    ],
)
def test_message_that_departs_from_the_rfc_is_told(
    exchange: int,
    index: int,
    names: list[str],
    authentication: Authentication | None,
    expected: list[tuple[str, str]],
) -> None:
    assert faults(check(exchange, index, names, authentication=authentication)) == expected


def test_misplaced_sa_in_the_second_place_of_quick_mode_says_where_it_belongs() -> None:
    departure = check(QUICK, 0, ["HASH", "NONCE", "SA"])[0]
    assert (departure.fault, departure.position) == (Fault.MISPLACED, 2)
    assert departure.text == "SA must be the number 2 payload"


@pytest.mark.parametrize(
    ("exchange", "index", "names"),
    [
        (GdoiExchangeType.GROUPKEY_PULL, 0, ["HASH", "NONCE", "ID"]),
        (GdoiExchangeType.GROUPKEY_PULL, 1, ["HASH", "NONCE", "SA"]),
        (GdoiExchangeType.GROUPKEY_PULL, 2, ["HASH", "GAP"]),
        (GdoiExchangeType.GROUPKEY_PULL, 3, ["HASH", "SEQ", "KD"]),
        (GdoiExchangeType.GROUPKEY_PUSH, 0, ["SEQ", "SA", "KD", "SIG"]),
        (GdoiExchangeType.GROUPKEY_PUSH_ACK, 0, ["HASH", "SEQ", "ID"]),
        (MAIN, 0, ["SA", "VID"]),
    ],
)
def test_group_exchange_is_judged_by_its_own_rows(exchange: int, index: int, names: list[str]) -> None:
    assert check(exchange, index, names, gdoi=True) == ()


def test_group_exchange_is_not_quick_mode() -> None:
    assert check(32, 0, ["HASH", "NONCE", "ID"], gdoi=False)
    assert faults(check(33, 0, ["SAK", "SIG"], gdoi=True)) == [("missing", "SEQ")]


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        (None, None),
        (AuthenticationMethod(4711), None),
        (AuthenticationMethod.PRE_SHARED_KEY, Authentication.PRE_SHARED_KEY),
        (AuthenticationMethod.XAUTH_INIT_RSA, Authentication.SIGNATURE),
        (AuthenticationMethod.HYBRID_INIT_RSA, Authentication.HYBRID_INITIATOR),
        (AuthenticationMethod.REVISED_RSA_ENCRYPTION, Authentication.REVISED_PUBLIC_KEY_ENCRYPTION),
    ],
)
def test_authentication_method_leads_to_its_messages(method: int | None, expected: Authentication | None) -> None:
    assert authentication_of(method) is expected


def test_every_authentication_method_of_the_registry_has_its_messages() -> None:
    assert [method for method in AuthenticationMethod if authentication_of(method) is None] == []


def test_unknown_way_of_authentication_considers_every_row() -> None:
    assert len(exchanges_for(MAIN)) == 6
    assert len(exchanges_for(MAIN, Authentication.SIGNATURE)) == 1
    assert len(exchanges_for(QUICK, Authentication.SIGNATURE)) == 1


def test_steps_know_sender_and_encryption() -> None:
    main = exchanges_for(MAIN, Authentication.PRE_SHARED_KEY)[0]
    assert [step.by_initiator for step in main.steps] == [True, False] * 3
    assert [step.encrypted for step in main.steps] == [False] * 4 + [True] * 2
    quick = exchanges_for(QUICK)[0]
    assert [step.optional for step in quick.steps] == [False, False, False, True]


def test_comparison_is_linear_in_the_number_of_payloads() -> None:
    assert len(compare(["KE"] * 400, "^SA, [V+]")) == 401
