"""What the introductory texts and the book say about failing tunnels, statement by statement, against captures.

The rows are those of the catalogue's traceability table (section 1.1); the first test compares them with it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lab import LAB, analysed, capture, diagnosed
from test_rules_table import CAPTURED, TWO_TAPS, positive, stands

from ipsecscope.diagnose.engine import all_rules
from ipsecscope.diagnose.profiles import PROFILES
from ipsecscope.diagnose.rule import Finding

pytestmark = pytest.mark.shared

STATEMENTS = {
    "Phase 1 failures": "test_phase_1_fails_for_keys_and_methods",
    "Phase 2 failures": "test_phase_2_fails_for_proxy_ids_and_proposals",
    "NAT-T issues": "test_nat_traversal_needs_both_ports_on_both_sides",
    "MTU/fragmentation": "test_mtu_and_fragments_cost_large_packets",
    "Routing issues": "test_tunnels_are_up_without_traffic",
    "When things break": "test_parameters_authentication_firewalls_and_mtu_break_tunnels",
    '"Without logs': "test_sizes_replace_logs",
    "Main vs aggressive": "test_aggressive_mode_shows_identities",
    "NAT-D hash comparison": "test_detection_hashes_tell_who_is_translated",
    "Weak proposals": "test_weak_proposals_are_named_and_judged_by_the_seed_profile",
    "PFS recommended": "test_pfs_is_recommended_and_its_mismatch_named",
    "AH breaks with NAT": "test_ah_is_named",
    "Traffic patterns as evidence": "test_traffic_patterns_are_evidence",
    "Keepalives/DPD": "test_dead_peers_and_flapping_are_named",
    '"Common failure points': "test_the_catalogue_fills_what_was_left_empty",
    "Book: kein Tunnel": "test_the_book_asks_four_questions",
    "Book causes": "test_the_book_names_causes",
}


@pytest.fixture(scope="module")
def rows(shared: Path) -> list[tuple[str, str]]:
    text = (shared / "reference" / "diagnoses.md").read_text()
    table = text[text.index("### 1.1") : text.index("## 2. ")]
    cells = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| ")]
    return [(row[0], row[1]) for row in cells if row[0] != "statement"]


def codes_of(text: str) -> set[str]:
    """The codes a row of the table names; ranges such as NET-012..014 in full."""
    found = set(re.findall(r"[A-Z]+\d?-\d{3}", text))
    for group, first, last in re.findall(r"([A-Z]+\d?)-(\d{3})\.\.(?:[A-Z]+\d?-)?(\d{3})", text):
        found |= {f"{group}-{number:03}" for number in range(int(first), int(last) + 1)}
    return found


def fires(*codes: str) -> list[Finding]:
    """The first finding of each rule on its capture; every one of them must be there."""
    found = []
    for code in codes:
        mine = [each for each in positive(code).findings if each.code == code]
        assert mine, code
        found.append(mine[0])
    return found


def leads(scenario: str, *, keyed: bool = False) -> str:
    """The headline's code of a lab scenario."""
    headline = diagnosed(capture(scenario), keyed=keyed).headline
    assert headline is not None, scenario
    return headline.code


def test_every_statement_of_the_table_has_its_test(rows: list[tuple[str, str]]) -> None:
    for statement, _ in rows:
        matching = [name for start, name in STATEMENTS.items() if statement.startswith(start)]
        assert len(matching) == 1, statement
        assert matching[0] in globals()
    assert len(rows) == len(STATEMENTS)


def test_every_code_of_the_table_is_a_rule(rows: list[tuple[str, str]]) -> None:
    named = {code for _, text in rows for code in codes_of(text)}
    assert len(named) > 50
    assert named <= set(all_rules())
    print(f"{len(named)} codes in {len(rows)} statements, all of them rules")


def test_phase_1_fails_for_keys_and_methods() -> None:
    assert leads("fail-wrong-psk-v1-main") == "AUTH-001"
    assert leads("fail-wrong-psk-v2") == "AUTH-002"
    assert leads("fail-v1-mode-mismatch") == "PH1-016"
    assert {each.code for each in diagnosed(capture("fail-auth-method-mismatch-v2")).findings} >= {
        "AUTH-002",
        "AUTH-004",
    }
    fires("PH1-001", "PH1-004", "PH1-006", "AUTH-001", "AUTH-002", "AUTH-004")


def test_phase_2_fails_for_proxy_ids_and_proposals() -> None:
    for scenario, code in (("fail-v1-proxy-id-mismatch", "PH2-004"), ("fail-v1-esp-proposal-mismatch", "PH2-003")):
        sa = analysed(capture(scenario)).ike_sas[0]
        assert sa.established_ns is not None  # ISAKMP is fine
        assert not analysed(capture(scenario)).flows  # and there is no IPsec SA
        assert leads(scenario) == "PH2-003"  # without keys the two are one class
        assert leads(scenario, keyed=True) == code
    fires("PH2-001", "PH2-002", "PH2-005", "PH2-012")


def test_nat_traversal_needs_both_ports_on_both_sides() -> None:
    assert leads("fail-4500-blocked-nat") == "NAT-004"
    blocked, one_sided, expired, raw = fires("NAT-004", "NAT-005", "NAT-006", "NAT-009")
    assert "4500" in blocked.summary
    assert "4500" in blocked.fix
    assert one_sided.evidence
    assert "pause" in expired.summary
    assert "plain ESP" in raw.summary


def test_mtu_and_fragments_cost_large_packets() -> None:
    assert leads("fail-mtu-black-hole") == "NET-008"
    found = fires("NET-003", "NET-005", "NET-007", "NET-008", "NET-009")
    hole = found[3]
    assert "mss" in (hole.fix + " ".join(hole.config.values())).lower()  # the texts' MSS clamping


def test_tunnels_are_up_without_traffic() -> None:
    assert leads("fail-no-traffic-wrong-subnet") == "NET-013"
    assert leads("fail-no-traffic-routing-leak") == "NET-014"
    assert "route" in fires("NET-012", "NET-013", "NET-014")[0].fix


def test_parameters_authentication_firewalls_and_mtu_break_tunnels() -> None:
    assert leads("fail-ike-dh-mismatch") == "PH1-004"
    assert leads("fail-version-v1-to-v2") in {"PH1-003", "PH1-006"}
    assert leads("fail-expired-cert", keyed=True) == "AUTH-006"
    assert leads("fail-responder-silent") == "PH1-001"
    fires("PH1-004", "PH1-006", "AUTH-001", "AUTH-002", "AUTH-006", "PH1-001", "NET-006", "NAT-004", "NET-008")


def test_sizes_replace_logs() -> None:
    """No key and no log: the length of the one encrypted answer says what it can be, and the sum is shown."""
    for scenario, code in (("fail-wrong-psk-v2", "AUTH-002"), ("fail-esp-proposal-mismatch", "PH2-001")):
        found = next(each for each in diagnosed(capture(scenario)).findings if each.code == code)
        assert found.equation is not None
        total, _, terms = found.equation.partition(" = ")
        assert int(total) == sum(int(each) for each in terms.partition(" ")[0].split("+"))


def test_aggressive_mode_shows_identities() -> None:
    aggressive, main = (analysed(capture(each)).ike_sas[0] for each in ("ikev1-aggressive-psk", "ikev1-main-psk"))
    assert aggressive.initiator.id is not None
    assert main.initiator.id is None
    assert stands("SEC-002", diagnosed(capture("ikev1-aggressive-psk")))
    assert not stands("SEC-002", diagnosed(capture("ikev1-main-psk")))
    assert "one after the other" in fires("HOST-003")[0].summary


def test_detection_hashes_tell_who_is_translated() -> None:
    initiator, responder, forced, inside, rewritten = fires("NAT-001", "NAT-002", "NAT-003", "NAT-010", "CAP-008")
    assert all(each.evidence for each in (initiator, responder, forced, rewritten))
    assert "10.99.0.10" in inside.summary  # the client's address in xfrm-ikev2-nat-t, as that lab's truth has it
    truth = json.loads((LAB / "xfrm-ikev2-nat-t" / "truth.json").read_text())
    assert "10.99.0.10" in json.dumps(truth)


def test_weak_proposals_are_named_and_judged_by_the_seed_profile() -> None:
    fires("SEC-003", "SEC-004", "SEC-005", "SEC-006", "SEC-012")
    assert "seed" in PROFILES
    weak = diagnosed(capture("ikev2-psk-3des-md5-modp1024"))
    assert {"SEC-003", "SEC-004", "SEC-005"} <= {each.code for each in weak.findings}


def test_pfs_is_recommended_and_its_mismatch_named() -> None:
    assert leads("fail-pfs-mismatch-rekey") == "PH2-007"
    assert leads("fail-v1-pfs-mismatch") in {"PH2-003", "PH2-007"}
    without, mismatch = fires("SEC-007", "PH2-007")
    assert without.severity in {"low", "medium"}
    assert mismatch.config


def test_ah_is_named() -> None:
    (found,) = fires("SEC-015")
    assert "AH" in found.summary
    assert "not encrypted" in found.summary


def test_traffic_patterns_are_evidence() -> None:
    family, mode, pattern, constant, loss = fires("ESP-009", "ESP-010", "ESP-011", "ESP-012", "NET-010")
    assert all(each.severity == "info" for each in (family, mode, pattern, constant))
    assert "missing" in loss.summary


def test_dead_peers_and_flapping_are_named() -> None:
    assert leads("fail-responder-reboot") == "LIFE-010"
    fires("LIFE-006", "LIFE-007", "LIFE-012")


def test_the_catalogue_fills_what_was_left_empty(shared: Path) -> None:
    entries = json.loads((shared / "reference" / "diagnoses.json").read_text())["diagnoses"]
    wanted = {each["code"] for each in entries if each["priority"] <= 2}
    with_keys_only = {each["code"] for each in entries if set(each["visibility"]) <= {"EK", "IK"}}
    missing = (wanted | with_keys_only) - set(all_rules())
    print(
        f"{len(wanted) - len(wanted & missing)} of {len(wanted)} diagnoses of priority 1 and 2, {len(all_rules())} rules of {len(entries)}"
    )
    assert not missing


def test_the_book_asks_four_questions() -> None:
    """No tunnel at all; a tunnel without traffic; one direction only; the file transfer that hangs."""
    assert leads("fail-responder-silent").startswith("PH1")
    assert leads("fail-wrong-psk-v2").startswith("AUTH")
    assert leads("fail-no-traffic-wrong-subnet") == "NET-013"
    fires("ESP-004", "ESP-007", "NET-012")
    assert leads("fail-mtu-black-hole") == "NET-008"


def test_the_book_names_causes() -> None:
    causes = (
        "PH1-003",
        "PH1-004",
        "PH2-001",
        "PH2-007",
        "NAT-001",
        "NAT-012",
        "NET-007",
        "NET-003",
        "INTEROP-002",
        "INTEROP-003",
        "NET-011",
    )
    found = fires(*causes)
    assert "place 10" in found[causes.index("INTEROP-002")].summary  # the book's ninth proposal, and one more
    assert not TWO_TAPS & set(CAPTURED)
