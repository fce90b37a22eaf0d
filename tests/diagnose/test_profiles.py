"""Security profiles: their tables name what exists, judge what was seen, and weigh choices more than offers."""

from __future__ import annotations

import msgspec
import pytest
from lab import analysed, capture
from staged import Stage, ike_sa, notify

from ipsecscope.diagnose.engine import diagnose
from ipsecscope.diagnose.observed import child_facts, ike_facts, offered_facts, suite_facts
from ipsecscope.diagnose.profile import Clause, Observation
from ipsecscope.diagnose.profiles import NO_FORWARD_SECRECY, PPK, PROFILES
from ipsecscope.diagnose.rule import Finding
from ipsecscope.diagnose.rules.compliance import suite_faults
from ipsecscope.diagnose.view import View
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PseudorandomFunction,
)
from ipsecscope.timeline.analysis import Analysis
from ipsecscope.timeline.sas import Suite

TABLES = {
    "IKE encryption": EncryptionAlgorithm,
    "IKE PRF": PseudorandomFunction,
    "IKE integrity": IntegrityAlgorithm,
    "IKE key exchange": KeyExchangeMethod,
    "ESP encryption": EncryptionAlgorithm,
    "ESP integrity": IntegrityAlgorithm,
    "AH integrity": IntegrityAlgorithm,
    "Child SA key exchange": KeyExchangeMethod,
}
GCM = {"encr": "ENCR_AES_GCM_16"}
CBC = {"encr": "ENCR_AES_CBC", "integ": "AUTH_HMAC_SHA2_256_128"}


def suite(key_length: int, prf: str, *ke: str, encr: str, integ: str | None = None) -> Suite:
    return Suite(encr=encr, key_length=key_length, prf=f"PRF_HMAC_{prf}", integ=integ, ke=ke)


@pytest.mark.parametrize("name", PROFILES)
def test_clauses_name_rows_of_the_registries_and_their_source(name: str) -> None:
    for clause in PROFILES[name].clauses:
        assert clause.section
        assert clause.asks
        table = TABLES.get(clause.aspect)
        if table is not None:
            assert set(clause.verdicts) <= {*table.__members__, "NONE"}, clause.section


# What each document says, typed in from it and not from the tables: (suite, profile by title) -> what it turns down.
STRONG = suite(256, "SHA2_384", "ECP_384", **GCM)
HYBRID = suite(256, "SHA2_384", "ECP_384", "ML_KEM_1024", **GCM)
OLD = suite(128, "SHA1", "MODP_1024", encr="ENCR_AES_CBC", integ="AUTH_HMAC_SHA1_96")
SAID = [
    (STRONG, {"the RFCs": set(), "NIST SP 800-77r1": set(), "CNSA 2.0": set(), "BSI TR-02102-3": set(), "the seed text": set()}),
    (HYBRID, {"the RFCs": set(), "CNSA 2.0": set(), "BSI TR-02102-3": set(), "the seed text": set()}),
    (
        OLD,
        {
            "the RFCs": {"PRF_HMAC_SHA1", "AUTH_HMAC_SHA1_96", "MODP_1024"},
            "NIST SP 800-77r1": {"PRF_HMAC_SHA1", "AUTH_HMAC_SHA1_96", "MODP_1024"},
            "BSI TR-02102-3": {"PRF_HMAC_SHA1", "AUTH_HMAC_SHA1_96", "MODP_1024"},
            "CNSA 2.0": {"ENCR_AES_CBC-128", "PRF_HMAC_SHA1", "AUTH_HMAC_SHA1_96", "MODP_1024"},
            "the seed text": {"ENCR_AES_CBC-128", "PRF_HMAC_SHA1", "MODP_1024"},
        },
    ),
    (
        suite(128, "SHA2_256", "MODP_2048", **CBC),
        {"the RFCs": set(), "NIST SP 800-77r1": set(), "BSI TR-02102-3": {"MODP_2048"}},
    ),
    (
        suite(256, "SHA2_256", "CURVE25519", encr="ENCR_CHACHA20_POLY1305"),
        {
            "the RFCs": set(),
            "NIST SP 800-77r1": {"ENCR_CHACHA20_POLY1305-256"},
            "BSI TR-02102-3": {"ENCR_CHACHA20_POLY1305-256", "CURVE25519"},
        },
    ),
]  # fmt: skip


@pytest.mark.parametrize(("chosen", "expected"), SAID, ids=["strong", "hybrid", "old", "usual", "chacha"])
def test_suites_are_judged_as_the_documents_say(chosen: Suite, expected: dict[str, set[str]]) -> None:
    found = {title: set(bad) for title, bad in suite_faults(2, None, chosen)}
    assert {title: found[title] for title in expected} == expected


@pytest.mark.parametrize(
    ("aspect", "value", "amount", "verdicts"),
    [
        ("IKE version", "IKEv1", None, {"rfc": "discouraged", "nist-sp800-77r1": "discouraged", "cnsa2": "forbidden"}),
        ("IKEv1 mode", "aggressive", None, {"nist-sp800-77r1": "discouraged"}),
        ("ESP encryption", "ENCR_3DES", None, {"rfc": "discouraged", "nist-sp800-77r1": "forbidden", "seed": "forbidden"}),
        ("ESP encryption", "ENCR_DES", None, {"rfc": "forbidden", "cnsa2": "forbidden"}),
        ("ESP encryption", "ENCR_AES_GCM_16", 128, {"rfc": "recommended", "cnsa2": "forbidden", "seed": "discouraged"}),
        ("ESP integrity", "NONE", None, {"rfc": "forbidden", "bsi-tr-02102-3": "forbidden"}),
        ("IKE key exchange", "MODP_768", None, {"rfc": "forbidden", "nist-sp800-77r1": "forbidden"}),
        ("IKE key exchange", "MODP_1536", None, {"rfc": "discouraged", "nist-sp800-77r1": "forbidden"}),
        ("IKE key exchange", "CURVE25519", None, {"rfc": "allowed", "nist-sp800-77r1": "allowed"}),
        ("post-quantum key exchange", "ML_KEM_768", None, {"rfc": None, "cnsa2": "forbidden", "bsi-tr-02102-3": None}),
        ("RSA key", "RSA", 2048, {"rfc": None, "nist-sp800-77r1": "discouraged", "bsi-tr-02102-3": "forbidden"}),
        ("RSA key", "RSA", 1024, {"rfc": "discouraged"}),
        ("RSA key", "RSA", 4096, {"rfc": None, "nist-sp800-77r1": None, "bsi-tr-02102-3": None, "cnsa2": None}),
        ("Child SA lifetime", "negotiated", 5 * 3600, {"bsi-tr-02102-3": "discouraged", "nist-sp800-77r1": None, "seed": "discouraged"}),
        ("Child SA lifetime", "negotiated", 3600, {"seed": None}),
        ("IKE SA lifetime", "negotiated", 90_000, {"bsi-tr-02102-3": "discouraged", "nist-sp800-77r1": "discouraged"}),
        ("forward secrecy", NO_FORWARD_SECRECY, None, {"nist-sp800-77r1": "discouraged", "rfc": None}),
        ("Child SA protocol", "AH", None, {"nist-sp800-77r1": "discouraged", "rfc": None}),
        ("authentication", "NULL", None, {"nist-sp800-77r1": "forbidden"}),
    ],
)  # fmt: skip
def test_clauses_judge_single_values(
    aspect: str, value: str, amount: int | None, verdicts: dict[str, str | None]
) -> None:
    for name, expected in verdicts.items():
        clauses = [each for each in PROFILES[name].clauses if each.aspect == aspect and each.version in {None, 2}]
        found = {clause.judge(Observation(clause.aspect, value, amount)) for clause in clauses} or {None}
        assert found == {expected}, name


def test_clause_without_an_amount_says_nothing_of_it() -> None:
    clause = Clause(aspect="RSA key", section="s", asks="a", least=(2048, "forbidden"))
    assert clause.judge(Observation("RSA key", "RSA")) is None
    assert clause.judge(Observation("RSA key", "RSA", 2047)) == "forbidden"
    assert clause.judge(Observation("RSA key", "RSA", 2048)) is None


# -- on captures ----------------------------------------------------------------------------------------------------


def findings(analysis: Analysis, *profiles: str) -> list[Finding]:
    return list(diagnose(analysis, select=["SEC-012"], profiles=profiles).findings)


def test_without_a_profile_one_line_tells_which_are_met() -> None:
    (found,) = findings(Stage().init().auth().analysis())
    assert found.severity == "info"
    assert "meets the RFCs and NIST SP 800-77r1" in found.summary
    assert "BSI TR-02102-3 (CURVE25519)" in found.summary


def test_choice_weighs_more_than_an_offer_and_each_names_its_clause() -> None:
    offer = ike_sa(KeyExchangeMethod.CURVE25519, KeyExchangeMethod.MODP_1024)
    stage = Stage().init(sa=offer).auth()
    found = findings(stage.analysis(), "rfc")
    assert [(each.severity, each.subject) for each in found] == [("low", "ike-1")]
    assert "against the RFCs in what it offers and did not get (frame 1)" in found[0].summary
    assert "IKE key exchange: MODP_1024 (should not be: RFC 8247 2.4)" in found[0].summary
    assert found[0].evidence[0].frame == 1
    chosen = findings(stage.analysis(), "bsi-tr-02102-3")
    assert [each.severity for each in chosen] == ["medium", "low"]
    assert "CURVE25519 (should not be: TR-02102-3 3.2.4)" in chosen[0].summary
    assert chosen[0].evidence[0].frame == 2
    assert "TR-02102-3 3.2.4 asks for" in chosen[0].causes[0]


def test_profile_that_is_met_says_what_the_capture_does_not_show() -> None:
    (found,) = findings(Stage().init().auth().analysis(), "nist-sp800-77r1")
    assert found.severity == "info"
    assert "keep to NIST SP 800-77r1" in found.summary
    assert "it does not show authentication, RSA key" in found.summary


def test_profiles_are_judged_in_the_order_asked_for_and_once_each() -> None:
    analysis = Stage().init().auth().analysis()
    both = findings(analysis, "cnsa2", "bsi-tr-02102-3", "cnsa2")
    assert len([each for each in both if "CNSA 2.0" in each.summary]) == 1
    assert msgspec.json.encode(both) == msgspec.json.encode(findings(analysis, "cnsa2", "bsi-tr-02102-3"))


def test_ppk_announced_by_both_sides_is_no_ml_kem() -> None:
    asked = (notify(NotifyType.USE_PPK),)
    sa = Stage().init(ask=asked, tell=asked).auth().analysis().ike_sas[0]
    facts = {fact.aspect: fact for fact in ike_facts(sa, View(Stage().analysis()))}
    assert facts["post-quantum key exchange"].value == PPK


def test_offers_of_ikev1_are_facts_as_well() -> None:
    analysis = Stage().main_mode().analysis()
    assert offered_facts(analysis.ike_sas[0]) == []
    aspects = [fact.aspect for fact in suite_facts(1, "main", analysis.ike_sas[0].suite or Suite())]
    assert aspects == ["IKE version", "IKEv1 mode", "IKE encryption", "IKE PRF", "IKE key exchange", "IKE SA lifetime"]


@pytest.mark.shared
def test_keys_add_what_the_clear_does_not_show() -> None:
    analysis = analysed(capture("ikev2-rsa-cert"), keyed=True)
    (sa,) = analysis.ike_sas
    view = View(analysis)
    facts = {(fact.aspect, fact.text) for fact in ike_facts(sa, view)}
    assert ("authentication", "RSA") in facts
    assert any(aspect == "RSA key" for aspect, _ in facts)
    inner = {fact.aspect for fact in child_facts(sa.child_sas[0], view)}
    assert inner == {"Child SA protocol", "ESP encryption", "Child SA lifetime"}
    clear = analysed(capture("ikev2-rsa-cert"))
    assert "authentication" not in {fact.aspect for fact in ike_facts(clear.ike_sas[0], View(clear))}


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scenario", "profile", "part", "severity"),
    [
        ("ikev2-psk-3des-md5-modp1024", "rfc", "IKE PRF: PRF_HMAC_MD5 (must not be: RFC 8247 2.2)", "high"),
        ("ikev2-psk-aes256gcm16-prfsha384-ecp384", "cnsa2", "neither ML-KEM nor PPK (must not be", "high"),
        ("xfrm-ikev2-ah-tunnel", "nist-sp800-77r1", "Child SA protocol: AH (should not be", "medium"),
        ("ikev1-aggressive-psk", "nist-sp800-77r1", "IKEv1 mode: aggressive (should not be", "medium"),
        ("ikev2-child-rekey-pfs", "seed", "Child SA key exchange", "medium"),
        ("xfrm-ikev2-esp-null", "bsi-tr-02102-3", "ESP encryption: ENCR_NULL (must not be", "high"),
    ],
)
def test_lab_sessions_violate_what_they_were_made_with(scenario: str, profile: str, part: str, severity: str) -> None:
    found = [each for each in findings(analysed(capture(scenario), keyed=True), profile) if part in each.summary]
    assert [each.severity for each in found[:1]] == [severity]


@pytest.mark.shared
def test_strong_session_meets_the_seed_text() -> None:
    found = findings(analysed(capture("ikev2-psk-aes256gcm16-prfsha384-ecp384"), keyed=True), "seed")
    assert [each.severity for each in found] == ["info"], [each.summary for each in found]
