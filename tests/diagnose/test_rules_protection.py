"""SEC for the packets and for certificates: what is not encrypted, not protected, or too small."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from lab import PUBLIC, SCENARIOS, analysed, capture, diagnosed

from ipsecscope.diagnose import observed
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.diagnose.rule import Finding
from ipsecscope.diagnose.rules import certificates
from ipsecscope.diagnose.rules.strength import weakness
from ipsecscope.diagnose.view import records_of
from ipsecscope.dissect.certificates import CertificateFacts, describe_certificate
from ipsecscope.dissect.registry.ikev2 import (
    EncryptionAlgorithm,
    IntegrityAlgorithm,
    KeyExchangeMethod,
    PseudorandomFunction,
)
from ipsecscope.timeline.analysis import Analysis

IN_CLEAR = {
    "ss6-null",
    "xfrm-ikev2-esp-null",
    "xfrm-ikev2-esp-null-gmac",
    "xfrm-manual-esp-tunnel-gmac",
    "xfrm-manual-esp-tunnel-null-sha256",
}


def of(found: Diagnosis, code: str) -> list[Finding]:
    return [each for each in found.findings if each.code == code]


def test_esp_in_the_clear_is_seen_without_keys_and_nothing_else_is() -> None:
    found = {name: of(diagnosed(capture(name)), "SEC-010") for name in SCENARIOS}
    assert {name for name, findings in found.items() if findings} == IN_CLEAR & set(SCENARIOS)
    for name in sorted(IN_CLEAR & set(SCENARIOS)):
        (finding,) = found[name]
        assert finding.confidence == "likely"
        assert len(finding.evidence) == 4
        assert "6 packets end in the clear" in finding.summary


# Packets of a test suite that has a tunnel of each cipher to the same hosts, NULL among them.
READABLE = {"arkime__wireshark-esp.pcap": 6, "zeek-core__ip6_esp.pcap": 3}


@pytest.mark.parametrize("name", sorted(path.name for path in PUBLIC.glob("*esp*.pcap*")) if PUBLIC.is_dir() else [])
def test_of_public_esp_only_the_null_tunnels_are_called_readable(name: str) -> None:
    assert len(of(diagnosed(PUBLIC / name), "SEC-010")) == READABLE.get(name, 0)


@pytest.mark.parametrize("scenario", ["xfrm-ikev2-esp-null", "xfrm-ikev2-esp-null-gmac"])
def test_with_keys_it_is_certain_and_said_once_for_both_directions(scenario: str) -> None:
    (finding,) = of(diagnosed(capture(scenario), keyed=True), "SEC-010")
    assert finding.confidence == "certain"
    assert "ENCR_NULL" in finding.summary
    assert len({place.frame for place in finding.evidence}) == 4


def without_integrity(analysis: Analysis) -> Analysis:
    return msgspec.structs.replace(
        analysis,
        ike_sas=tuple(
            msgspec.structs.replace(
                sa,
                child_sas=tuple(
                    msgspec.structs.replace(child, suite=msgspec.structs.replace(child.suite, integ=None))
                    for child in sa.child_sas
                    if child.suite is not None
                ),
            )
            for sa in analysis.ike_sas
        ),
    )


def test_a_cipher_without_integrity_is_named_with_the_hash_that_is_missing() -> None:
    read = analysed(capture("ikev2-psk-3des-md5-modp1024"), keyed=True)
    assert of(diagnose(read), "SEC-010") == []
    (finding,) = of(diagnose(without_integrity(read)), "SEC-010")
    assert "encrypts with ENCR_3DES and checks nothing" in finding.summary
    assert "esp_proposals = 3des-sha256" in finding.config["swanctl"]


@pytest.mark.parametrize(
    ("scenario", "name", "severity", "hint"),
    [
        ("ikev2-psk-3des-md5-modp1024", "AUTH_HMAC_MD5_96", "high", "esp_proposals = 3des-sha256"),
        ("xfrm-ikev2-ah-tunnel", "AUTH_HMAC_SHA1_96", "medium", "ah_proposals = sha256"),
    ],
)
def test_weak_hashes_of_tunnels_are_named_with_keys(scenario: str, name: str, severity: str, hint: str) -> None:
    found = [each for each in of(diagnosed(capture(scenario), keyed=True), "SEC-005") if "tunnel" in each.summary]
    assert [(each.severity, name in each.summary, hint in each.config["swanctl"]) for each in found] == [
        (severity, True, True)
    ]
    assert not [each for each in of(diagnosed(capture(scenario)), "SEC-005") if "tunnel" in each.summary]


def test_mlkem_that_was_offered_and_not_chosen_is_mentioned() -> None:
    read = analysed(capture("ss6-mlkem768-x25519"))
    assert of(diagnose(read), "SEC-008") == []
    classic = [
        msgspec.structs.replace(sa, suite=msgspec.structs.replace(sa.suite, ke=sa.suite.ke[:1]))
        for sa in read.ike_sas
        if sa.suite is not None
    ]
    (finding,) = of(diagnose(msgspec.structs.replace(read, ike_sas=classic)), "SEC-008")
    assert "ML_KEM_768 was offered and not chosen" in finding.summary


def test_equal_numbers_of_other_tables_are_not_equally_weak() -> None:
    two = (EncryptionAlgorithm(2), PseudorandomFunction(2), IntegrityAlgorithm(2), KeyExchangeMethod(2))
    assert [weakness(each) for each in two] == ["high", "medium", "medium", "high"]


# -- certificates --------------------------------------------------------------------------------------------------


def certificate(curve: ec.EllipticCurve, years: int) -> CertificateFacts:
    key = ec.generate_private_key(curve)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "gw.example")])
    begin = datetime(2025, 1, 1, tzinfo=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=365 * years))
        .sign(key, hashes.SHA256())
    )
    facts = describe_certificate(made.public_bytes(Encoding.DER))
    assert isinstance(facts, CertificateFacts)
    return facts


@pytest.mark.parametrize(
    ("curve", "years", "severity", "words"),
    [
        (ec.SECP224R1(), 1, "medium", "has a 224-bit elliptic curve key"),
        (ec.SECP256R1(), 10, "info", "is valid for 10 years"),
        (ec.SECP224R1(), 10, "medium", "has a 224-bit elliptic curve key and is valid for 10 years"),
        (ec.SECP256R1(), 2, None, ""),
    ],
)
def test_small_curves_and_long_lives_of_certificates(
    monkeypatch: pytest.MonkeyPatch, curve: ec.EllipticCurve, years: int, severity: str | None, words: str
) -> None:
    facts = certificate(curve, years)
    real = certificates.certificates
    monkeypatch.setattr(certificates, "certificates", lambda sa: [(record, facts) for record, _ in real(sa)])
    found = of(diagnose(analysed(capture("ikev2-rsa-cert"), keyed=True)), "SEC-016")
    assert [each.severity for each in found] == ([] if severity is None else [severity])
    assert all(words in each.summary for each in found)


@pytest.mark.parametrize(("curve", "weak"), [(ec.SECP224R1(), True), (ec.SECP256R1(), False)])
def test_profiles_judge_the_curve_of_a_certificate(
    monkeypatch: pytest.MonkeyPatch, curve: ec.EllipticCurve, weak: bool
) -> None:
    facts = certificate(curve, 1)
    monkeypatch.setattr(observed, "certificates", lambda sa: [(next(records_of(sa)), facts)])
    found = of(diagnose(analysed(capture("ikev2-rsa-cert")), profiles=["bsi-tr-02102-3"]), "SEC-012")
    assert any("elliptic curve key" in each.summary for each in found) == weak
