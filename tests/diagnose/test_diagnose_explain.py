"""``explain``: every diagnosis, and the names of the registries."""

from __future__ import annotations

import pytest

from ipsecscope.diagnose.engine import all_rules
from ipsecscope.reports.explain import explain, explain_list, suggestions


@pytest.mark.parametrize("code", sorted(all_rules()))
def test_every_diagnosis_is_explained_by_code_and_by_slug(code: str) -> None:
    each = all_rules()[code]
    text = explain(code.lower())
    assert text is not None
    assert text == explain(each.slug.upper())
    assert text.startswith(f"{code}  {each.slug}  ({each.severity})\n{each.title}\n")
    assert max(map(len, text.splitlines())) <= 100


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
