"""The lab's failures and successes: the right class of cause, never a wrong certainty, silence where all is well."""

from __future__ import annotations

import pytest
from lab import FAILING, HEALTHY, LAB, capture, diagnosed, truth

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.timeline.analysis import analyze

# The codes that name a root cause: the first is the diagnosis itself, the others are what the wire shows of it where
# it cannot tell more (AUTHENTICATION_FAILED is one class, a refused Child SA is one class, silence is one class).
CODES: dict[str, tuple[str, ...]] = {
    "AUTH_METHOD_MISMATCH": ("AUTH-004", "AUTH-002"),
    "CERT_IDENTITY_MISMATCH": ("AUTH-007", "AUTH-002", "AUTH-005"),
    "CHILD_REFUSED": ("PH2-011", "LIFE-002"),
    "COOKIE_LOOP": ("PH1-010",),
    "DPD_FALSE_POSITIVE": ("LIFE-007",),
    "EAP_STALLED": ("AUTH-011",),
    "ENCAPSULATION_FORMAT": ("NAT-011",),
    "ENUMERATION": ("HOST-003", "PH1-004"),
    "ESP_BLOCKED": ("NET-006", "NET-012"),
    "ESP_COUNTER_RESTART": ("ESP-001",),
    "ESP_ONE_WAY": ("NET-012",),
    "FORGED_NOTIFY": ("HOST-007",),
    "HALF_OPEN_FLOOD": ("HOST-005",),
    "ICMP_PROHIBITED": ("NET-002",),
    "ICV_LENGTH_MISMATCH": ("ESP-006", "ESP-005"),
    "IKE_DAMAGED": ("PH1-011",),
    "IP_FRAGMENT_LOST": ("NET-003",),
    "KEY_EXCHANGE_UNANSWERED": ("PH1-013",),
    "MALFORMED_PAYLOAD": ("PH1-016", "AUTH-002"),
    "MESSAGE_ID_OUTSIDE_WINDOW": ("LIFE-013",),
    "MODE_MISMATCH": ("PH2-009",),
    "MTU_TOO_SMALL": ("NET-007",),
    "NAT_T_UNSUPPORTED": ("NAT-005",),
    "NETWORK_ID_MISMATCH": ("INTEROP-004", "PH1-004"),
    "NO_CONFIG_FOR_PEER": ("PH1-005",),
    "OUTSIDE_SELECTORS": ("ESP-007",),
    "PEER_SILENT": ("LIFE-006",),
    "QUICK_MODE_NOT_COMPLETED": ("PH2-006",),
    "QUICK_MODE_UNANSWERED": ("PH2-005",),
    "RAW_ESP_BEHIND_NAT": ("NAT-009",),
    "REKEY_GAP": ("LIFE-001",),
    "REKEY_REFUSED": ("LIFE-002", "PH2-007"),
    "RESPONSE_FROM_ELSEWHERE": ("INTEROP-010",),
    "SIGNATURE_HASH_MISMATCH": ("AUTH-013",),
    "SINGLE_SA_PAIR": ("INTEROP-003",),
    "TOO_MANY_PROPOSALS": ("INTEROP-002",),
    "TRANSPORT_BEHIND_NAT": ("NAT-012", "NET-012"),
    "UNKNOWN_NOTIFY_FATAL": ("INTEROP-007", "PH1-016"),
    "XAUTH_FAILED": ("AUTH-012",),
    "CERT_EXPIRED": ("AUTH-006", "AUTH-002", "AUTH-005"),
    "CERT_UNTRUSTED": ("AUTH-008", "AUTH-002", "AUTH-005"),
    "EAP_FAILED": ("AUTH-010",),
    "ESP_PROPOSAL_MISMATCH": ("PH2-001", "PH2-003"),
    "ESP_REPLAY": ("ESP-002",),
    "EXCHANGE_MODE_MISMATCH": ("PH1-016",),
    "HALF_OPEN": ("PH1-012", "NAT-004"),
    "IKEV1_DISABLED_SILENT_DROP": ("PH1-003", "PH1-001"),
    "IKE_DH_GROUP_MISMATCH": ("PH1-004", "PH1-008"),
    "IKE_FRAGMENT_LOST": ("NET-005", "PH1-014"),
    "IKE_PROPOSAL_MISMATCH": ("PH1-004", "PH1-006"),
    "IKE_VERSION_MISMATCH": ("PH1-003", "PH1-006", "PH1-004"),
    "INVALID_SPI": ("ESP-004", "NET-012"),
    "KERNEL_SA_INSTALL_FAILED": ("PH2-002", "PH2-001"),
    "MTU_BLACK_HOLE": ("NET-008",),
    "NAT_REBIND": ("NAT-006", "NAT-007"),
    "NO_IKE_DAEMON": ("PH1-002",),
    "NO_RESPONSE_UDP500": ("PH1-001",),
    "NO_VIRTUAL_IP": ("PH2-010", "PH2-001"),
    "PEER_ID_MISMATCH": ("AUTH-003", "AUTH-002"),
    "PEER_LOST_STATE": ("LIFE-010", "ESP-004"),
    "PFS_MISMATCH": ("PH2-007", "PH2-003"),
    "PPK_MISMATCH": ("AUTH-014", "AUTH-002"),
    "PSK_MISMATCH": ("AUTH-001", "AUTH-002"),
    "REPLY_IN_CLEAR": ("NET-014", "NET-012"),
    "RESPONDER_ID_MISMATCH": ("AUTH-003", "AUTH-002"),
    "RESPONSE_DROPPED": ("PH1-011", "PH1-001"),
    "TRAFFIC_NOT_IN_TS": ("NET-013",),
    "TS_MISMATCH": ("PH2-002", "PH2-004", "PH2-001", "PH2-003"),
    "UDP4500_BLOCKED": ("NAT-004",),
}
# What may be said with certainty beside the root cause: it is true, and no other cause.
ALSO_TRUE = {
    "PEER_ID_MISMATCH": ("AUTH-003",),
    "NAT_REBIND": ("NAT-007",),
    "TS_MISMATCH": ("LIFE-002",),
    "PFS_MISMATCH": ("LIFE-002",),
    "CERT_EXPIRED": ("AUTH-002", "AUTH-005"),
}


def _report(keyed: bool) -> tuple[int, list[str]]:
    wrong = []
    for name in FAILING:
        cause = truth(name)["root_cause"]
        headline = diagnosed(capture(name), keyed=keyed).headline
        said = "nothing" if headline is None else headline.code
        right = said in CODES[cause]
        print(f"{'ok ' if right else 'BAD'}  {name:45} {cause:28} {said}")
        if not right:
            wrong.append(f"{name}: {cause} reported as {said}")
    print(
        f"{len(FAILING) - len(wrong)} of {len(FAILING)} failing scenarios named, {'with' if keyed else 'without'} keys"
    )
    return len(FAILING), wrong


@pytest.mark.shared
@pytest.mark.parametrize(("keyed", "share"), [(False, 0.90), (True, 0.97)], ids=["keyless", "keyed"])
def test_headline_names_the_cause_class_of_failing_lab_scenarios(keyed: bool, share: float) -> None:
    count, wrong = _report(keyed)
    assert count
    assert len(wrong) <= count * (1 - share), wrong


@pytest.mark.shared
@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("scenario", FAILING)
def test_certainty_of_failing_lab_scenarios_is_never_wrong(scenario: str, keyed: bool) -> None:
    cause = truth(scenario)["root_cause"]
    allowed = {*CODES[cause], *ALSO_TRUE.get(cause, ())}
    for finding in diagnosed(capture(scenario), keyed=keyed).findings:
        if finding.headline and finding.confidence == "certain" and finding.suppressed_by is None:
            assert finding.code in allowed, finding.summary


@pytest.mark.shared
@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("scenario", HEALTHY)
def test_successful_lab_scenarios_have_no_headline_and_no_grave_finding(scenario: str, keyed: bool) -> None:
    for path in sorted((LAB / scenario).glob("capture*.pcap*")):
        found = diagnosed(path, keyed=keyed)
        assert found.faults == ()
        assert found.headline is None, found.headline
        grave = [
            each for each in found.findings if each.severity in {"critical", "high"} and each.suppressed_by is None
        ]
        assert [each.summary for each in grave if not each.code.startswith("SEC")] == []


@pytest.mark.shared
def test_far_captures_name_what_their_side_sees() -> None:
    expected = {
        "fail-return-path-dropped": {"PH1-011"},
        "fail-4500-blocked-nat": {"PH1-012"},
        "fail-half-open": {"PH1-012"},
        "ss6-fail-intermediate-fragments-dropped": {"NET-005"},
    }
    for scenario, codes in expected.items():
        headline = diagnosed(LAB / scenario / "capture-far.pcap").headline
        assert headline is not None, scenario
        assert headline.code in codes


@pytest.mark.shared
@pytest.mark.parametrize(
    ("scenario", "wrong"), [("fail-wrong-psk-v2", "pre-shared keys differ"), ("fail-ppk-mismatch", "(PPK) differ")]
)
def test_a_proof_that_does_not_fit_the_responders_key_says_which_key(scenario: str, wrong: str) -> None:
    ring = KeyRing(read_keys(LAB / scenario / "responder.log").records)
    headline = diagnose(analyze([str(capture(scenario))], ring=ring)).headline
    assert headline is not None
    assert headline.code == "AUTH-002"
    assert "does not fit the key at hand, so check first whether the " in headline.sentence
    assert headline.sentence.endswith(f"{wrong}.")
