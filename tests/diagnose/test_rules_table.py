"""Every rule fires on a capture, is silent on the nearest capture that looks the same, and on healthy sessions.

A capture is one of the lab or of the public ones (read where they are), one that ``generate`` writes, or a session of
our own peers that ``scenes.py`` plays, cuts and joins. A rule without both fails the test: there is no list of exceptions.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from lab import LAB, PUBLIC, SCENARIOS, analysed, capture
from scenes import PLAYED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import Diagnosis, all_rules, diagnose
from ipsecscope.diagnose.rule import Finding
from ipsecscope.timeline.analysis import analyze

CAPTURES = Path(__file__).parents[2] / "captures"

# Where each rule fires: folder, capture, and "+keys" where it needs them. What is not here is in scenes.PLAYED.
CAPTURED: dict[str, str] = {
    "CAP-001": "lab/capture-formats/capture-snap96.pcap",
    "CAP-002": "generated/capture-one-direction",
    "CAP-003": "lab/xfrm-manual-esp-tunnel-gcm128/capture.pcap",
    "CAP-004": "generated/capture-with-drops",
    "CAP-005": "generated/ikev2-duplicated",
    "CAP-006": "generated/esp-jumbo",
    "CAP-007": "generated/capture-without-port-4500",
    "CAP-008": "lab/ikev1-nat-t-aggressive/capture-inside.pcap",
    "PH1-001": "lab/fail-responder-silent/capture.pcap",
    "PH1-002": "lab/fail-responder-port-unreachable/capture.pcap",
    "PH1-003": "generated/ikev2-version-mismatch",
    "PH1-004": "lab/fail-ike-dh-mismatch/capture.pcap",
    "PH1-005": "generated/ikev2-unknown-address",
    "PH1-006": "lab/fail-version-v1-to-v2/capture.pcap",
    "PH1-007": "lab/ikev2-invalid-ke-retry/capture.pcap",
    "PH1-008": "public/openswan__lp08-parentR1__parentR1notify.pcap",
    "PH1-009": "public/tcpdump__ikev2four.pcap",
    "PH1-010": "generated/ikev2-cookie-loop",
    "PH1-011": "lab/fail-return-path-dropped/capture-far.pcap",
    "PH1-012": "lab/fail-half-open/capture-far.pcap",
    "PH1-013": "generated/ikev1-main-mode-stalls",
    "PH1-015": "lab/lsw-fail-wrong-psk-v1/capture.pcap",
    "PH1-016": "lab/fail-v1-mode-mismatch/capture.pcap",
    "AUTH-001": "lab/fail-wrong-psk-v1-main/capture.pcap",
    "AUTH-002": "lab/fail-wrong-psk-v2/capture.pcap",
    "AUTH-003": "lab/fail-unknown-peer-id-v1/capture.pcap",
    "AUTH-004": "lab/fail-auth-method-mismatch-v2/capture.pcap",
    "AUTH-005": "lab/fail-untrusted-ca-responder/capture.pcap",
    "AUTH-006": "lab/fail-expired-cert/capture.pcap+keys",
    "AUTH-007": "generated/ikev2-certificate-identity+keys",
    "AUTH-008": "generated/ikev2-two-authorities+keys",
    "AUTH-009": "lab/fail-eap-wrong-password/capture.pcap",
    "AUTH-010": "lab/fail-eap-wrong-password/capture.pcap",
    "AUTH-011": "generated/ikev2-eap-stalled",
    "AUTH-012": "generated/ikev1-xauth-wrong-password",
    "AUTH-013": "generated/ikev2-signature-hash-mismatch",
    "AUTH-014": "lab/fail-ppk-mismatch/capture.pcap",
    "PH2-001": "lab/fail-esp-proposal-mismatch/capture.pcap",
    "PH2-002": "lab/lsw-fail-ts-mismatch-v2/capture.pcap+keys",
    "PH2-003": "lab/fail-v1-pfs-mismatch/capture.pcap",
    "PH2-004": "lab/fail-v1-proxy-id-mismatch/capture.pcap+keys",
    "PH2-005": "generated/ikev1-quick-mode-unanswered",
    "PH2-006": "generated/ikev1-quick-mode-not-completed",
    "PH2-007": "lab/fail-pfs-mismatch-rekey/capture.pcap",
    "PH2-008": "lab/ikev2-ts-narrowing/capture.pcap+keys",
    "PH2-009": "generated/ikev2-mode-mismatch+keys",
    "PH2-010": "lab/fail-virtual-ip-pool-exhausted/capture.pcap+keys",
    "PH2-011": "generated/ikev2-no-additional-sas+keys",
    "PH2-012": "lab/lsw-fail-kernel-no-esp/capture.pcap",
    "PH2-013": "generated/ikev1-refused-again-and-again",
    "NAT-001": "lab/ikev2-nat-t/capture.pcap",
    "NAT-002": "lab/ikev2-nat-t-responder-behind-dnat/capture.pcap",
    "NAT-003": "lab/ikev2-rsa-cert/capture.pcap",
    "NAT-004": "lab/fail-4500-blocked-nat/capture.pcap",
    "NAT-005": "public/openswan__ct10-parentI2__parentR1.pcap",
    "NAT-006": "lab/fail-nat-rebind/capture.pcap",
    "NAT-007": "lab/xfrm-ikev2-mobike/capture.pcap",
    "NAT-009": "generated/ikev2-raw-esp-behind-nat",
    "NAT-010": "lab/xfrm-ikev2-nat-t/capture.pcap",
    "NAT-011": "generated/ikev2-marker-missing",
    "NET-002": "generated/ikev2-prohibited",
    "NET-003": "public/zeek__ipsec_client.pcap",
    "NET-004": "generated/ikev2-half-open-flood",
    "NET-005": "lab/ss6-fail-intermediate-fragments-dropped/capture-far.pcap",
    "NET-006": "generated/esp-blocked",
    "NET-007": "generated/esp-fragmentation-needed",
    "NET-008": "lab/xfrm-fail-mtu-black-hole/capture.pcap",
    "NET-009": "lab/xfrm-manual-esp-tunnel-df-frag/capture.pcap",
    "NET-010": "lab/xfrm-netem-loss-reorder-dup/capture.pcap",
    "NET-011": "generated/esp-reordered-beyond-window",
    "NET-012": "lab/fail-no-traffic-routing-leak/capture.pcap",
    "NET-013": "lab/fail-no-traffic-wrong-subnet/capture.pcap",
    "NET-014": "generated/esp-reply-in-clear",
    "ESP-002": "lab/xfrm-fail-esp-replayed/capture.pcap",
    "ESP-003": "lab/xfrm-manual-esp-seq-overflow/capture.pcap",
    "ESP-004": "generated/ikev2-invalid-spi",
    "ESP-005": "generated/esp-short-icv+keys",
    "ESP-006": "generated/esp-short-icv",
    "ESP-009": "generated/esp-cbc-sizes",
    "ESP-010": "public/arkime__ike-cert_synthetic.pcap",
    "ESP-011": "lab/long-session-rekeys/capture.pcap",
    "LIFE-002": "generated/ikev2-temporary-failure",
    "LIFE-003": "generated/ikev2-simultaneous-child-rekey",
    "LIFE-005": "lab/ikev2-reauth/capture.pcap",
    "LIFE-006": "generated/ikev1-dead-peer",
    "LIFE-007": "generated/ikev2-dpd-false-positive",
    "LIFE-008": "lab/ikev2-rsa-cert/capture.pcap",
    "LIFE-010": "lab/fail-responder-reboot-v1/capture.pcap",
    "LIFE-011": "generated/esp-failover",
    "LIFE-012": "public/scapy__ikev2_nat_t.pcapng",
    "LIFE-013": "generated/ikev2-message-id-ahead",
    "LIFE-014": "lab/ikev1-main-psk/capture.pcap",
    "SEC-001": "lab/ikev1-main-psk/capture.pcap",
    "SEC-002": "lab/ikev1-aggressive-psk/capture.pcap",
    "SEC-003": "lab/ikev2-psk-3des-md5-modp1024/capture.pcap",
    "SEC-004": "lab/ikev2-psk-3des-md5-modp1024/capture.pcap",
    "SEC-005": "lab/ikev2-psk-3des-md5-modp1024/capture.pcap",
    "SEC-006": "lab/ikev2-many-proposals/capture.pcap",
    "SEC-007": "lab/fail-nat-rebind/capture.pcap",
    "SEC-008": "lab/ikev2-rsa-cert/capture.pcap",
    "SEC-009": "public/arkime__wireshark-esp.pcap",
    "SEC-010": "lab/xfrm-ikev2-esp-null/capture.pcap+keys",
    "SEC-012": "lab/ikev2-rsa-cert/capture.pcap",
    "SEC-013": "generated/ikev2-same-nonce-again",
    "SEC-014": "public/libreswan__01-isakmp-vid-first.pcap",
    "SEC-015": "lab/xfrm-ikev2-ah-tunnel/capture.pcap",
    "SEC-016": "public/arkime__ike-cert_synthetic.pcap",
    "INTEROP-005": "public/zeek__ipsec_client.pcap",
    "INTEROP-009": "public/tcpdump__ikev2pI2.pcap",
    "INTEROP-010": "generated/ikev2-answer-from-elsewhere",
    "HOST-001": "lab/probe-ike-scan-main/capture.pcap",
    "HOST-002": "generated/ikev2-scan",
    "HOST-004": "generated/ikev1-amplification",
    "HOST-005": "generated/ikev2-half-open-flood",
    "HOST-006": "generated/ikev2-guessing",
    "HOST-007": "generated/ikev2-forged-refusal",
    "HOST-008": "public/openswan__lp08-parentR1__parentI1badKE.pcap",
    "HOST-009": "public/libreswan__01-isakmp-vid-first.pcap",
    "HOST-010": "generated/ikev2-foreign-protocol",
}
TWO_TAPS = {"NET-001"}  # two captures: test_path_faults.py has its positive and its look-alikes

# The nearest look-alike where the rule's own table names none, or none on which it can be silent.
NEAREST: dict[str, str] = {
    "NAT-003": "generated/ikev2-nat",
    "SEC-001": "generated/ikev2",
    "SEC-012": "lab/fail-responder-silent/capture.pcap",
}

HEALTHY = (
    "lab/ikev2-rsa-cert/capture.pcap",
    "lab/ikev1-main-psk/capture.pcap",
    "lab/ss6-mlkem768-x25519/capture.pcap",
    "lab/long-session-rekeys/capture.pcap",
    "lab/xfrm-ikev2-nat-t/capture.pcap",
    "generated/ikev2",
    "generated/ikev2-cbc",
    "generated/ikev2-eap-mschapv2",
    "generated/ikev1-main-mode",
    "generated/esp-tunnel",
)


@cache
def of(name: str) -> Diagnosis:
    """What a capture of the table means."""
    path, _, keyed = name.partition("+")
    folder, _, rest = path.partition("/")
    if folder != "generated":
        return diagnose(analysed((LAB if folder == "lab" else PUBLIC) / Path(rest), keyed=bool(keyed)))
    ring = None
    if keyed:
        ring = KeyRing()
        for record in read_keys(CAPTURES / f"{rest}.keys").records:
            ring.add(record)
    return diagnose(analyze([str(CAPTURES / f"{rest}.pcapng")], ring=ring))


def positive(code: str) -> Diagnosis:
    """The diagnosis of the capture on which a rule fires."""
    return PLAYED[code]() if code in PLAYED else of(CAPTURED[code])


def stands(code: str, diagnosis: Diagnosis) -> list[Finding]:
    """The findings of a rule that no other one explains away."""
    return [each for each in diagnosis.findings if each.code == code and each.suppressed_by is None]


def look_alikes(code: str) -> list[str]:
    """Captures that look the same: the positives of the rule's look-alikes, or the nearest that is named here."""
    named = [each.code for each in all_rules()[code].look_alikes]
    return [other for other in named if other in CAPTURED or other in PLAYED] + (
        [NEAREST[code]] if code in NEAREST else []
    )


def seen(name: str) -> Diagnosis:
    """The capture of a look-alike: another rule's positive, or a capture by its name."""
    return of(name) if "/" in name else positive(name)


CODES = [code for code in all_rules() if code not in TWO_TAPS]


def test_no_rule_is_without_a_capture() -> None:
    assert set(all_rules()) - TWO_TAPS == {*CAPTURED, *PLAYED}
    assert not set(CAPTURED) & set(PLAYED)


@pytest.mark.shared
@pytest.mark.parametrize("code", CODES)
def test_rule_fires_on_its_capture(code: str) -> None:
    diagnosis = positive(code)
    found = [each for each in diagnosis.findings if each.code == code]
    assert diagnosis.faults == ()
    assert found
    for each in found:
        assert each.evidence
        assert "None" not in each.summary


@pytest.mark.shared
@pytest.mark.parametrize("code", CODES)
def test_rule_is_silent_on_its_nearest_look_alike(code: str) -> None:
    quiet = [name for name in look_alikes(code) if not stands(code, seen(name))]
    assert quiet, f"{code} has no look-alike on which it is silent: {look_alikes(code)}"


@pytest.mark.shared
def test_print_the_table_of_rules() -> None:
    for code in CODES:
        source = "played: " + PLAYED[code].__wrapped__.__name__ if code in PLAYED else CAPTURED[code]  # type: ignore[attr-defined]
        quiet = [name for name in look_alikes(code) if not stands(code, seen(name))]
        nearest = f"{quiet[0]} ({CAPTURED.get(quiet[0], 'played')})" if "/" not in quiet[0] else quiet[0]
        silent = sum(not stands(code, of(name)) for name in HEALTHY)
        print(f"{code:12} fires: {source:58} silent: {nearest:75} healthy: {silent} of {len(HEALTHY)} silent")
    print(
        f"{len(CODES)} of {len(CODES)} rules with a capture and a look-alike; {', '.join(sorted(TWO_TAPS))} with two taps"
    )


TOGETHER = {
    ("AUTH-004", "AUTH-002"),
    ("AUTH-014", "AUTH-002"),
    ("AUTH-008", "AUTH-006"),
    ("NET-006", "NET-012"),
    ("NET-012", "NET-006"),
    ("PH1-001", "PH1-003"),
    ("PH2-007", "LIFE-002"),
    ("LIFE-002", "PH2-007"),
    ("SEC-002", "AUTH-001"),
    ("SEC-004", "SEC-011"),
    ("SEC-012", "SEC-004"),
    ("LIFE-014", "LIFE-009"),
    ("PH1-012", "CAP-007"),
    ("SEC-003", "SEC-006"),
    ("SEC-004", "SEC-006"),
    ("SEC-005", "SEC-006"),
    ("SEC-006", "SEC-003"),
    ("SEC-006", "SEC-004"),
    ("SEC-014", "HOST-001"),
    ("SEC-015", "SEC-010"),
    ("PH2-008", "PH2-010"),
    ("PH2-009", "AUTH-005"),
    ("SEC-008", "PH1-014"),
    ("NAT-001", "CAP-008"),
    ("NAT-002", "CAP-008"),
    ("NAT-003", "NAT-001"),
    ("NAT-001", "NAT-003"),
    ("NAT-002", "NAT-003"),
    ("LIFE-006", "LIFE-010"),
    ("NAT-007", "NAT-006"),
    ("NAT-009", "CAP-008"),
}


@pytest.mark.shared
def test_rules_do_not_lead_on_their_look_alikes() -> None:
    wrong = []
    for code in CODES:
        for other in look_alikes(code):
            fired = [each for each in stands(code, seen(other)) if each.headline]
            if fired and (code, other) not in TOGETHER:
                wrong.append(f"{code} leads on {other}: {fired[0].summary}")
    assert wrong == []


@pytest.mark.shared
@pytest.mark.parametrize("name", HEALTHY)
def test_rules_that_can_lead_are_silent_on_healthy_sessions(name: str) -> None:
    assert [each.code for each in of(name).findings if each.headline and each.suppressed_by is None] == []


@pytest.mark.shared
def test_healthy_lab_sessions_are_in_the_lab() -> None:
    for name in HEALTHY:
        folder, scenario, *_ = name.split("/")
        assert folder != "lab" or (scenario in SCENARIOS and capture(scenario).exists())
