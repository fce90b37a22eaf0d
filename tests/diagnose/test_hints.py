"""Fix hints: in words that the products know, from what was seen, and always called a hint."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest
from conftest import SHARED
from lab import FAILING, capture, diagnosed
from staged import SECOND, START, Stage, ike_sa, notify

from ipsecscope.diagnose.dialects import TITLES, word_of
from ipsecscope.diagnose.engine import all_rules, diagnose
from ipsecscope.diagnose.hints import HINT, esp_line, group_config, ike_line, labelled, selector_config
from ipsecscope.diagnose.rule import Finding
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    NotifyType,
    PseudorandomFunction,
)
from ipsecscope.timeline.sas import Suite

CATALOGUE = SHARED / "reference" / "diagnoses.json"

# strongSwan's proposal keywords that may appear (docs.strongswan.org, "Algorithm Proposals"; swanctl --list-algs).
AES = [f"aes{bits}" for bits in (128, 192, 256)]
CAMELLIA = [f"camellia{bits}" for bits in (128, 192, 256)]
MODES = ["", "ctr", *(f"{mode}{icv}" for mode in ("gcm", "ccm") for icv in (8, 12, 16)), "gmac"]
KEYWORDS = {
    *(f"{aes}{mode}" for aes in AES for mode in MODES),
    *(f"{each}{mode}" for each in CAMELLIA for mode in ("", "ctr", "ccm8", "ccm12", "ccm16")),
    *("des", "3des", "null", "cast128", "blowfish128", "blowfish192", "blowfish256", "chacha20poly1305"),
    *("md5", "md5_128", "sha1", "sha1_160", "sha256", "sha384", "sha512", "aesxcbc", "aescmac"),
    *("prfmd5", "prfsha1", "prfsha256", "prfsha384", "prfsha512", "prfaesxcbc", "prfaescmac"),
    *(f"modp{bits}" for bits in (768, 1024, 1536, 2048, 3072, 4096, 6144, 8192)),
    *("modp1024s160", "modp2048s224", "modp2048s256", "ecp192", "ecp224", "ecp256", "ecp384", "ecp521"),
    *("ecp224bp", "ecp256bp", "ecp384bp", "ecp512bp", "x25519", "curve25519", "x448", "curve448"),
    *("mlkem512", "mlkem768", "mlkem1024", "esn", "noesn", "default"),
}
# What strongSwan has no word for.
WITHOUT = {
    *("ENCR_DES_IV64", "ENCR_DES_IV32", "ENCR_RC5", "ENCR_IDEA", "ENCR_3IDEA"),
    *("ENCR_AES_CCM_8_IIV", "ENCR_AES_GCM_16_IIV", "ENCR_CHACHA20_POLY1305_IIV"),
    *("ENCR_KUZNYECHIK_MGM_KTREE", "ENCR_MAGMA_MGM_KTREE"),
    *("ENCR_KUZNYECHIK_MGM_MAC_KTREE", "ENCR_MAGMA_MGM_MAC_KTREE"),
    *("PRF_HMAC_TIGER", "PRF_HMAC_STREEBOG_512"),
    *("NONE", "AUTH_DES_MAC", "AUTH_KPDK_MD5", "AUTH_AES_128_GMAC", "AUTH_AES_192_GMAC", "AUTH_AES_256_GMAC"),
    *("GOST3410_2012_256", "GOST3410_2012_512"),
}
ROWS = [
    name
    for table in (EncryptionAlgorithm, PseudorandomFunction, IntegrityAlgorithm, KeyExchangeMethod)
    for name in table.__members__
]


@pytest.mark.parametrize("name", ROWS)
def test_every_algorithm_has_a_keyword_that_strongswan_knows_or_none(name: str) -> None:
    words = {word_of(name, "swanctl", bits) for bits in (128, 192, 256)}
    if name in WITHOUT:
        assert words == {None}
    else:
        assert words <= KEYWORDS


def keywords_of(line: str) -> list[str]:
    """Every keyword of every proposal of a line of swanctl.conf."""
    lists = re.findall(r"proposals = ([a-z0-9_-]*[a-z0-9](?:, ?[a-z0-9_-]*[a-z0-9])*)", line)
    return [
        re.sub(r"^ke\d_", "", word)
        for proposals in lists
        for proposal in proposals.split(",")
        for word in proposal.strip().split("-")
    ]


def test_proposals_of_the_rules_are_made_of_keywords() -> None:
    checked = 0
    for each in all_rules().values():
        for word in keywords_of(each.config.get("swanctl", "")):
            assert word in KEYWORDS, each.code
            checked += 1
    assert checked > 30


SUITES = [
    (
        Suite(encr="ENCR_AES_GCM_16", key_length=256, prf="PRF_HMAC_SHA2_384", ke=("ECP_384",)),
        2,
        "proposals = aes256gcm16-prfsha384-ecp384",
        "ike=aes_gcm256-sha2_384-dh20",
        "crypto ikev2 proposal P / encryption aes-gcm-256 / prf sha384 / group 20",
    ),
    (
        Suite(
            encr="ENCR_AES_CBC",
            key_length=256,
            prf="PRF_HMAC_SHA2_256",
            integ="AUTH_HMAC_SHA2_256_128",
            ke=("MODP_2048",),
        ),
        2,
        "proposals = aes256-sha256-modp2048",
        "ike=aes256-sha2_256-dh14",
        "crypto ikev2 proposal P / encryption aes-cbc-256 / integrity sha256 / group 14",
    ),
    (
        Suite(encr="ENCR_AES_CBC", prf="PRF_HMAC_SHA2_512", integ="AUTH_HMAC_SHA1_96", ke=("ECP_256",)),
        2,
        "proposals = aes128-sha1-prfsha512-ecp256",
        "ike=aes128-sha2_512-dh19",
        "crypto ikev2 proposal P / encryption aes-cbc-128 / integrity sha1 / group 19",
    ),
    (
        Suite(encr="ENCR_AES_GCM_16", key_length=256, prf="PRF_HMAC_SHA2_384", ke=("CURVE25519", "ML_KEM_768")),
        2,
        "proposals = aes256gcm16-prfsha384-x25519-ke1_mlkem768",
        None,
        None,
    ),
    (
        Suite(encr="ENCR_3DES", prf="PRF_HMAC_MD5", ke=("MODP_1024",)),
        1,
        "proposals = 3des-md5-modp1024",
        "ike=3des-md5-dh2",
        "crypto isakmp policy 10 / encr 3des / hash md5 / group 2",
    ),
    (
        Suite(encr="ENCR_AES_CBC", key_length=256, prf="PRF_HMAC_SHA2_256", ke=("MODP_2048",)),
        1,
        "proposals = aes256-sha256-modp2048",
        "ike=aes256-sha2_256-dh14",
        "crypto isakmp policy 10 / encr aes 256 / hash sha256 / group 14",
    ),
    (Suite(encr="ENCR_IDEA", prf="PRF_HMAC_MD5", ke=("MODP_1024",)), 2, None, None, None),
    (Suite(encr="ENCR_3DES", prf="PRF_HMAC_TIGER", ke=("MODP_1024",)), 1, None, None, None),
]


@pytest.mark.parametrize(("suite", "version", "swanctl", "libreswan", "ios"), SUITES)
def test_ike_suites_become_lines_of_configuration(
    suite: Suite, version: int, swanctl: str | None, libreswan: str | None, ios: str | None
) -> None:
    assert ike_line(suite, "swanctl", version) == swanctl
    assert ike_line(suite, "libreswan", version) == libreswan
    assert ike_line(suite, "ios", version) == ios
    assert set(keywords_of(swanctl or "")) <= KEYWORDS


def test_esp_and_ah_suites_become_lines_of_configuration() -> None:
    gcm = Suite(encr="ENCR_AES_GCM_16", key_length=256, ke=("ECP_384",), esn=True)
    assert esp_line(gcm, "swanctl") == "esp_proposals = aes256gcm16-ecp384-esn"
    assert esp_line(gcm, "libreswan") == "esp=aes_gcm256-dh20"
    assert esp_line(gcm, "ios") == "crypto ipsec transform-set TS esp-gcm 256; crypto map M 10 / set pfs group20"
    cbc = Suite(encr="ENCR_AES_CBC", key_length=128, integ="AUTH_HMAC_SHA2_256_128")
    assert esp_line(cbc, "ios") == "crypto ipsec transform-set TS esp-aes 128 esp-sha256-hmac"
    ah = Suite(integ="AUTH_HMAC_SHA2_256_128")
    assert esp_line(ah, "swanctl", "AH") == "ah_proposals = sha256"
    assert esp_line(ah, "ios", "AH") == "crypto ipsec transform-set TS ah-sha256-hmac"
    assert esp_line(Suite(), "swanctl") is None


@pytest.mark.parametrize(
    ("own", "theirs", "expected"),
    [
        (["10.2.0.0/16"], ["10.1.0.0/16"], "permit ip 10.2.0.0 0.0.255.255 10.1.0.0 0.0.255.255"),
        (["10.2.0.5/32"], ["0.0.0.0/0"], "permit ip host 10.2.0.5 any"),
        (["10.2.0.0/24[tcp/80]"], ["2001:db8::/64"], "permit ip 10.2.0.0 0.0.0.255 2001:db8::/64"),
        (["10.2.0.1-10.2.0.7"], ["10.1.0.0/16"], None),
    ],
)
def test_selectors_are_mirrored_in_each_dialect(own: list[str], theirs: list[str], expected: str | None) -> None:
    found = selector_config(own, theirs, "responder")
    assert f"local_ts = {','.join(own)}; remote_ts = {','.join(theirs)}" in found["swanctl"]
    assert "leftsubnets={" in found["libreswan"]
    assert "[" not in found["libreswan"]
    assert ("ios" in found) == (expected is not None)
    assert expected is None or expected in found["ios"]
    assert selector_config([], theirs, "responder") == {}


def test_groups_have_the_word_of_each_dialect_that_knows_them() -> None:
    assert group_config("ECP_384") == {
        "swanctl": "proposals = …-ecp384",
        "libreswan": "ike=…-dh20",
        "ios": "crypto ikev2 proposal P / group 20",
    }
    assert group_config("ML_KEM_768") == {"swanctl": "proposals = …-mlkem768"}
    assert group_config("GOST3410_2012_256") == {}


# -- the catalogue --------------------------------------------------------------------------------------------------


def test_every_rule_has_all_its_sections_and_no_empty_hint() -> None:
    dialects: Counter[str] = Counter()
    for each in all_rules().values():
        for name in ("title", "means", "detect", "causes", "confirm", "fix", "look_alikes", "references"):
            assert getattr(each, name), f"{each.code} has no {name}"
        assert set(each.config) <= set(TITLES)
        assert all(text.strip(" -") for text in each.config.values()), each.code
        dialects.update(list(each.config))
    print(f"{len(all_rules())} rules, hints: {dict(dialects)}")


@pytest.mark.shared
def test_rules_have_a_hint_wherever_the_catalogue_has_a_fix() -> None:
    missing = []
    for entry in json.loads(CATALOGUE.read_text())["diagnoses"]:
        each = all_rules().get(entry["code"])
        for key, dialect in (("swanctl", "swanctl"), ("cisco_ios", "ios")):
            if each is not None and entry["fix"][key] not in {"", "-"} and not each.config.get(dialect):
                missing.append(f"{each.code} {dialect}: {entry['fix'][key]}")
    assert missing == []


IOS_COMMANDS = re.compile(
    r"(responder[^:]*: |initiator[^:]*: )?(crypto |ip |permit |no |clear |set |show |monitor |capture |group |integrity |ntp |"
    r"esp-|ppk |ike|a |an |lifetime |redundancy |access|interface|tunnel|match |authentication )"
)


def test_ios_hints_begin_with_words_of_its_commands() -> None:
    odd = [
        f"{each.code}: {text}"
        for each in all_rules().values()
        if (text := each.config.get("ios", "")) and not IOS_COMMANDS.match(text)
    ]
    assert odd == []


# -- findings -------------------------------------------------------------------------------------------------------


def test_labels_are_put_once_and_nothing_empty_is_labelled() -> None:
    assert labelled({"swanctl": "x", "ios": ""}) == {"swanctl": f"{HINT}x"}
    assert labelled(labelled({"swanctl": "x"})) == {"swanctl": f"{HINT}x"}


def test_hint_of_refused_algorithms_has_both_lists() -> None:
    refused = Stage().init(sa=ike_sa(KeyExchangeMethod.MODP_2048), answered=False)
    refused.v2(0.1, 34, 0, notify(NotifyType.NO_PROPOSAL_CHOSEN), back=True)  # type: ignore[arg-type]
    other = Stage(refused.responder, refused.initiator, spi_i=b"another1", spi_r=b"another2")
    other.init(1, sa=ike_sa(KeyExchangeMethod.ECP_384), salt=30, answered=False)
    found = {each.code: each for each in diagnose(refused.analysis(other, until=20)).findings}["PH1-004"]
    assert found.config["swanctl"] == (
        f"{HINT}responder, to accept what is offered: proposals = aes128-sha256-modp2048; or "
        "initiator, to offer what the responder uses: proposals = aes128-sha256-ecp384"
    )
    assert "group 14; or initiator" in found.config["ios"]
    assert found.config["libreswan"].endswith("ike=aes128-sha2_256-dh20")
    assert START % SECOND == 0


def _texts(findings: tuple[Finding, ...]) -> list[tuple[str, str, str]]:
    return [(each.code, dialect, text) for each in findings for dialect, text in each.config.items()]


@pytest.mark.shared
@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
def test_hints_of_the_lab_failures_are_labelled_and_valid(keyed: bool) -> None:
    checked = 0
    for scenario in FAILING:
        for code, dialect, text in _texts(diagnosed(capture(scenario), keyed=keyed).findings):
            assert text.startswith(HINT), (scenario, code)
            if dialect == "swanctl":
                words = keywords_of(text)
                assert set(words) <= KEYWORDS, (scenario, code, text)
                checked += len(words)
    print(f"{checked} keywords in hints for {len(FAILING)} failing scenarios")
    assert checked


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scenario", "code", "keyed", "parts"),
    [
        ("fail-ike-dh-mismatch", "PH1-004", False, ["responder, to accept what is offered: proposals = "]),
        ("fail-esp-proposal-mismatch", "PH2-001", True, ["responder, to accept what is offered: esp_proposals = "]),
        ("lsw-fail-ts-mismatch-v2", "PH2-002", True, ["responder, to mirror the request", "local_ts = ", "remote_ts = "]),
        ("fail-v1-proxy-id-mismatch", "PH2-004", True, ["responder, to mirror the request", "local_ts = "]),
        ("fail-v1-esp-proposal-mismatch", "PH2-003", True, ["esp_proposals = "]),
        ("fail-pfs-mismatch-rekey", "PH2-007", True, ["responder, to accept what is asked for: esp_proposals = ", "-modp"]),
    ],
)  # fmt: skip
def test_hints_are_built_from_what_was_observed(scenario: str, code: str, keyed: bool, parts: list[str]) -> None:
    found = {each.code: each for each in diagnosed(capture(scenario), keyed=keyed).findings}
    for part in parts:
        assert part in found[code].config["swanctl"], found[code].config
