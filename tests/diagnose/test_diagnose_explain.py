"""``explain``: every diagnosis, and the names of the registries."""

from __future__ import annotations

import pytest

from ipsecscope.diagnose.engine import all_rules
from ipsecscope.diagnose.profiles import PROFILES
from ipsecscope.reports.explain import explain, explain_list, explain_profiles, suggestions

SECTIONS = (
    "What it means",
    "How it is recognised",
    "Usual causes",
    "Looks alike",
    "What would confirm it",
    "What to do",
    "Configuration hints, to be checked against your own policy",
    "References",
)


@pytest.mark.parametrize("code", sorted(all_rules()))
def test_every_diagnosis_is_explained_by_code_and_by_slug(code: str) -> None:
    each = all_rules()[code]
    text = explain(code.lower())
    assert text is not None
    assert text == explain(each.slug.upper())
    assert text.startswith(f"{code}  {each.slug}  ({each.severity})\n{each.title}\n")
    assert max(map(len, text.splitlines())) <= 100
    titles = [line for line in text.splitlines()[2:] if line and not line.startswith(" ")]
    assert titles == list(SECTIONS)


@pytest.mark.parametrize(
    ("term", "expected"),
    [
        ("TS_UNACCEPTABLE", "IKEv2 notify 38, an error message"),
        ("no-proposal-chosen", "IKEv1 notify 14, an error message"),
        ("MOBIKE_SUPPORTED", "a status message"),
        ("ENCR_3DES", "IKEv2 encryption algorithm 3"),
        ("aes256gcm16", "ENCR_AES_GCM_16"),
        ("MODP_1024", "The audit reports it as high"),
        ("afcad71368a1f1c96b8696fc77570100", "DPD"),
        ("libreswan", "Vendor ID"),
    ],
)
def test_names_of_the_registries_are_explained(term: str, expected: str) -> None:
    text = explain(term)
    assert text is not None
    assert expected in text


@pytest.mark.parametrize("term", ["", "  ", "no-such-thing", "XXX-999"])
def test_unknown_terms_have_no_explanation(term: str) -> None:
    assert explain(term) is None


def test_list_has_one_line_for_each_diagnosis() -> None:
    assert len(explain_list().splitlines()) == len(all_rules())
    assert any("AUTH-002" in each for each in suggestions("auth"))


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_explained_clause_by_clause(name: str) -> None:
    text = explain(name.upper())
    assert text is not None
    assert text in explain_profiles()
    said = " ".join(text.split())
    for clause in PROFILES[name].clauses:
        assert f"{clause.asks} [{clause.section}]" in said
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(
    ("term", "near"),
    [
        ("AUTH-02", "AUTH-002"),
        ("v2-auth-faild", "v2-auth-failed"),
        ("TS_UNACEPTABLE", "TS_UNACCEPTABLE"),
        ("NO-PROPOSAL-CHOSN", "NO_PROPOSAL_CHOSEN"),
        ("ENCR_AES_GMC_16", "ENCR_AES_GCM_16"),
        ("cnsa", "cnsa2"),
    ],
)
def test_misspelled_terms_get_the_name_that_was_meant(term: str, near: str) -> None:
    assert any(each.partition(" ")[0] == near for each in suggestions(term)), suggestions(term)
