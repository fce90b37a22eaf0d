from __future__ import annotations

import pytest

from ipsecscope.dissect.ikev2.exchanges import (
    EXCHANGES,
    Element,
    GrammarError,
    check,
    compare,
    exchanges_of,
    is_error,
    parse_grammar,
)
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType, PayloadType

T = ExchangeType
NAMES = {*(kind.name for kind in PayloadType), "Ni", "Nr"}


def test_a_row_is_read_into_its_elements() -> None:
    assert parse_grammar("[N(COOKIE)], SA, [A+, B], [[C], CERTREQ+], [V+][N+]") == (
        Element("N", "COOKIE", optional=True),
        Element("SA"),
        Element("A", optional=True, repeat=True, group=2),
        Element("B", optional=True, group=2),
        Element("C", optional=True),
        Element("CERTREQ", optional=True, repeat=True),
        Element("V", optional=True, repeat=True),
        Element("N", optional=True, repeat=True),
    )


@pytest.mark.parametrize("text", ["[SA", "SA]", "[]", "+", "SA, §"], ids=str)
def test_a_row_outside_the_notation_is_refused(text: str) -> None:
    with pytest.raises(GrammarError):
        parse_grammar(text)


@pytest.mark.parametrize(
    "grammar",
    [text for row in EXCHANGES for text in (row.request, row.response, *row.refusals)],
)
def test_every_row_names_payloads_and_notifications_that_exist(grammar: str) -> None:
    for element in parse_grammar(grammar):
        assert element.name in NAMES
        if element.name == "N" and element.qualifier not in ("", "error"):
            assert element.notify_type in NotifyType


def test_every_exchange_type_has_a_row() -> None:
    assert {row.exchange_type for row in EXCHANGES} == set(ExchangeType)


def test_elements_know_what_they_are() -> None:
    cookie, error, vendor, any_notify = parse_grammar("N(COOKIE), N(error), V, N")
    assert (cookie.notify_type, error.notify_type, vendor.notify_type) == (NotifyType.COOKIE, None, None)
    assert [item.order_free for item in (cookie, error, vendor, any_notify)] == [False, False, True, True]
    assert str(cookie) == "N(COOKIE)"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("NO_PROPOSAL_CHOSEN", True),
        ("COOKIE", False),
        ("UNKNOWN_9000", True),
        ("UNKNOWN_40000", False),
        ("what", False),
    ],
)
def test_errors_are_known_by_their_number(name: str, error: bool) -> None:
    assert is_error(name) is error


@pytest.mark.parametrize(
    ("kind", "is_response", "names", "missing", "unexpected"),
    [
        (T.IKE_SA_INIT, False, "SA KE Ni", "", ""),
        (T.IKE_SA_INIT, False, "N(COOKIE) SA KE Ni V V N(REDIRECT_SUPPORTED)", "", ""),
        (T.IKE_SA_INIT, False, "Ni KE SA", "", ""),
        (T.IKE_SA_INIT, False, "SA Ni", "KE", ""),
        (T.IKE_SA_INIT, False, "", "SA KE Ni", ""),
        (T.IKE_SA_INIT, False, "SA KE Ni IDi", "", "IDi"),
        (T.IKE_SA_INIT, False, "SA KE Ni N(NAT_DETECTION_SOURCE_IP)", "N(NAT_DETECTION_DESTINATION_IP)", ""),
        (T.IKE_SA_INIT, False, "SA SA KE Ni", "", "SA"),
        (T.IKE_SA_INIT, False, "SK", "SA KE Ni", "SK"),
        (T.IKE_SA_INIT, True, "SA KE Nr CERTREQ CERTREQ", "", ""),
        (T.IKE_SA_INIT, True, "N(COOKIE)", "", ""),
        (T.IKE_SA_INIT, True, "N(COOKIE) N(PUZZLE)", "", ""),
        (T.IKE_SA_INIT, True, "N(INVALID_KE_PAYLOAD)", "", ""),
        (T.IKE_SA_INIT, True, "N(NO_PROPOSAL_CHOSEN)", "", ""),
        (T.IKE_SA_INIT, True, "N(UNKNOWN_9000)", "", ""),
        (T.IKE_SA_INIT, True, "", "SA KE Nr", ""),
        (T.IKE_AUTH, False, "SK", "", ""),
        (T.IKE_AUTH, False, "SKF", "", ""),
        (T.IKE_AUTH, False, "IDi AUTH SA TSi TSr", "", ""),
        (T.IKE_AUTH, False, "IDi CERT CERT CERTREQ IDr AUTH CP SA TSi TSr N(MOBIKE_SUPPORTED)", "", ""),
        (T.IKE_AUTH, False, "IDi CERTREQ SA TSi TSr", "", ""),
        (T.IKE_AUTH, False, "IDi AUTH SA TSi", "TSr", ""),
        (T.IKE_AUTH, False, "EAP", "", ""),
        (T.IKE_AUTH, False, "IDi AUTH", "", ""),
        (T.IKE_AUTH, True, "IDr AUTH CP SA TSi TSr", "", ""),
        (T.IKE_AUTH, True, "IDr CERT AUTH EAP", "", ""),
        (T.IKE_AUTH, True, "IDr EAP", "", ""),
        (T.IKE_AUTH, True, "IDr AUTH N(TS_UNACCEPTABLE)", "", ""),
        (T.IKE_AUTH, True, "N(AUTHENTICATION_FAILED)", "", ""),
        (T.IKE_AUTH, True, "EAP", "", ""),
        (T.CREATE_CHILD_SA, False, "SA Ni KE", "", ""),
        (T.CREATE_CHILD_SA, False, "N(REKEY_SA) SA Ni TSi TSr", "", ""),
        (T.CREATE_CHILD_SA, True, "N(TEMPORARY_FAILURE)", "", ""),
        (T.INFORMATIONAL, False, "", "", ""),
        (T.INFORMATIONAL, False, "D D N(COOKIE2)", "", ""),
        (T.INFORMATIONAL, False, "SA", "", "SA"),
        (T.IKE_SESSION_RESUME, False, "Ni N(TICKET_OPAQUE)", "", ""),
        (T.IKE_SESSION_RESUME, True, "N(TICKET_NACK)", "", ""),
        (T.IKE_INTERMEDIATE, False, "KE", "", ""),
        (T.IKE_INTERMEDIATE, False, "N(PPK_IDENTITY_KEY)", "", ""),
        (T.IKE_FOLLOWUP_KE, True, "N(STATE_NOT_FOUND)", "", ""),
        (T.GSA_AUTH, False, "IDi AUTH IDg", "", ""),
        (T.GSA_REGISTRATION, True, "GSA KD", "", ""),
        (T.GSA_REKEY, False, "GSA KD AUTH", "", ""),
        (T.GSA_INBAND_REKEY, True, "", "", ""),
        (99, False, "SA", "", ""),
    ],
)
def test_a_message_is_compared_with_its_row(
    kind: int, is_response: bool, names: str, missing: str, unexpected: str
) -> None:
    found = check(kind, names.split(), is_response=is_response)
    assert (" ".join(found.missing), " ".join(found.unexpected)) == (missing, unexpected)
    assert found.fits is (not missing and not unexpected)


@pytest.mark.parametrize(
    ("names", "refusal", "title"),
    [
        ("IDr AUTH N(TS_UNACCEPTABLE)", True, "authentication"),
        ("IDr AUTH SA TSi TSr", False, "authentication"),
        ("IDr AUTH", False, "authentication without Child SA"),
    ],
)
def test_the_row_that_says_most_about_a_message_is_chosen(names: str, refusal: bool, title: str) -> None:
    found = check(T.IKE_AUTH, names.split(), is_response=True)
    assert found.exchange is not None
    assert (found.is_refusal, found.exchange.title) == (refusal, title)


def test_a_configuration_payload_matches_with_and_without_its_type() -> None:
    assert compare("CP(CFG_REQUEST)", ["CP"]) == ((), ())
    assert compare("CP(CFG_REQUEST)", ["CP(CFG_REQUEST)"]) == ((), ())
    assert compare("CP(CFG_REQUEST)", ["CP(CFG_SET)"]) == (("CP(CFG_REQUEST)",), ("CP(CFG_SET)",))


def test_rows_are_found_by_exchange_type() -> None:
    assert [row.title for row in exchanges_of(T.INFORMATIONAL)] == ["informational"]
