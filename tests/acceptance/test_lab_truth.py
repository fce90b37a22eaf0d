"""What the analysis says of every lab session, without keys, against what the daemons themselves logged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import IkeSa, Report
from ipsecscope.timeline.analysis import analyze

LAB = SHARED / "captures" / "lab"
SCENARIOS = sorted(path.parent.name for path in LAB.glob("*/truth.json")) if LAB.is_dir() else []

EXCHANGES = {
    "ID_PROT": "IDENTITY_PROTECTION",
    "AGGRESSIVE": "AGGRESSIVE",
    "QUICK_MODE": "QUICK_MODE",
    "INFORMATIONAL_V1": "INFORMATIONAL",
    "TRANSACTION": "TRANSACTION",
}
ENCRYPTION = {
    "AES_CBC": "ENCR_AES_CBC",
    "3DES_CBC": "ENCR_3DES",
    "AES_CTR": "ENCR_AES_CTR",
    "CAMELLIA_CBC": "ENCR_CAMELLIA_CBC",
    "AES_GCM_16": "ENCR_AES_GCM_16",
    "AES_CCM_8": "ENCR_AES_CCM_8",
    "AES_CCM_12": "ENCR_AES_CCM_12",
    "AES_CCM_16": "ENCR_AES_CCM_16",
    "CHACHA20_POLY1305": "ENCR_CHACHA20_POLY1305",
}
INTEGRITY = {
    "HMAC_MD5_96": "AUTH_HMAC_MD5_96",
    "HMAC_SHA1_96": "AUTH_HMAC_SHA1_96",
    "HMAC_SHA2_256_128": "AUTH_HMAC_SHA2_256_128",
    "HMAC_SHA2_384_192": "AUTH_HMAC_SHA2_384_192",
    "HMAC_SHA2_512_256": "AUTH_HMAC_SHA2_512_256",
    "AES_XCBC_96": "AUTH_AES_XCBC_96",
    "AES_CMAC_96": "AUTH_AES_CMAC_96",
}


def truth_of(scenario: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((LAB / scenario / "truth.json").read_text())
    return found


def captures_of(scenario: str) -> list[Path]:
    return sorted((LAB / scenario).glob("capture*.pcap*"))


_REPORTS: dict[Path, Report] = {}


def report_of(path: Path) -> Report:
    if path not in _REPORTS:
        _REPORTS[path] = assemble(analyze([str(path)]))
    return _REPORTS[path]


def by_spis(report: Report) -> dict[tuple[str, str | None], IkeSa]:
    return {(sa.spi_i, sa.spi_r): sa for sa in report.ike_sas}


def distinct(sas: list[dict[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    return {(sa["spi_i"], sa["spi_r"]): sa for sa in sas if sa.get("spi_i") and sa.get("spi_r")}


@pytest.mark.shared
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_ike_sas_are_those_the_daemons_logged(scenario: str) -> None:
    expected = distinct(truth_of(scenario).get("ike_sas") or [])
    found = by_spis(report_of(LAB / scenario / "capture.pcap"))
    for spis, sa in expected.items():
        assert spis in found, f"{spis} not among {list(found)}"
        assert found[spis].version == sa["version"]
    if expected and truth_of(scenario)["category"] == "success":
        assert set(found) == set(expected)


@pytest.mark.shared
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_negotiated_algorithms_are_those_the_daemons_logged(scenario: str) -> None:
    found = by_spis(report_of(LAB / scenario / "capture.pcap"))
    for spis, sa in distinct(truth_of(scenario).get("ike_sas") or []).items():
        if found[spis].rekeys is not None:
            continue  # negotiated inside the SA it replaced
        proposal, alg = found[spis].proposal, sa["alg"]
        assert proposal is not None
        assert proposal.encr == ENCRYPTION[alg["enc"]]
        if alg.get("keysize") and "3DES" not in alg["enc"] and "CHACHA" not in alg["enc"]:
            assert proposal.key_length == alg["keysize"]
        assert proposal.prf == alg["prf"].replace("PRF_AES128_", "PRF_AES128_")
        if sa["version"] == 2 and alg.get("integ"):
            assert proposal.integ == INTEGRITY[alg["integ"]]
        assert proposal.ke[:1] == [alg["dh"].replace("CURVE_25519", "CURVE25519")]


def logged(scenario: str) -> Iterator[tuple[str, str, int]]:
    """(exchange, message id, sender) of every message a daemon says it sent while the capture ran."""
    last = max(report_of(path).capture.last_time or "" for path in captures_of(scenario))
    for role, messages in (truth_of(scenario).get("messages") or {}).items():
        for message in messages:
            if message.get("dir") == "out" and "exchange" in message and message["time"] <= last:
                yield EXCHANGES.get(message["exchange"], message["exchange"]), message["id"], role


def seen(report: Report) -> Iterator[tuple[str, str, int]]:
    """(address of the sender's side, exchange, message id) of every message of a capture, retransmissions apart."""
    for sa in report.ike_sas:
        for exchange in sa.exchanges:
            for message in exchange.messages:
                end = sa.initiator if message.sender == "initiator" else sa.responder
                yield end.address, exchange.type, exchange.message_id


@pytest.mark.shared
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if truth_of(name).get("messages")])
def test_exchanges_are_those_the_daemons_logged(scenario: str) -> None:
    """Every message that a daemon sent is in the union of the taps, and nothing else is."""
    expected = sorted(set(logged(scenario)))
    logging = {role for _, _, role in expected}  # ike-scan keeps no log
    initiators = {"192.0.2.10", "192.0.2.11", "10.99.0.10", "203.0.113.5", "2001:db8:1::10"}
    found = set()
    for path in captures_of(scenario):
        responder = "responder"
        for address, kind, mid in seen(report_of(path)):
            behind_dnat = scenario == "ikev2-nat-t-responder-behind-dnat" and address == "203.0.113.5"
            role = "initiator" if address in initiators and not behind_dnat else responder
            found.add((kind, mid, role))
    assert sorted(each for each in found if each[2] in logging) == expected


def nat_truth(scenario: str) -> dict[str, bool]:
    """Who the daemons found behind a NAT: each side judges the other (nat-remote) and itself (nat-local)."""
    verdict: dict[str, bool] = {}
    for moment in truth_of(scenario).get("sas") or []:
        for side, opposite in (("initiator", "responder"), ("responder", "initiator")):
            for entry in moment.get(side) or []:
                for sa in entry.values() if isinstance(entry, dict) else ():
                    if isinstance(sa, dict) and "remote-host" in sa:
                        verdict[opposite] = verdict.get(opposite, False) or sa.get("nat-remote") == "yes"
                        if sa.get("nat-local") == "yes":
                            verdict[side] = True
    return verdict


@pytest.mark.shared
@pytest.mark.parametrize("scenario", [name for name in SCENARIOS if nat_truth(name)])
def test_nat_verdict_is_that_of_the_daemons(scenario: str) -> None:
    expected = nat_truth(scenario)
    sas = report_of(LAB / scenario / "capture.pcap").ike_sas
    found = {"initiator": sas[0].nat.initiator, "responder": sas[0].nat.responder}
    readable = {role: verdict for role, verdict in found.items() if verdict is not None and role in expected}
    assert readable == {role: expected[role] for role in readable}
    if sas[0].mode != "aggressive":  # there the initiator's hash is in the encrypted third message
        assert readable.keys() == expected.keys()


@pytest.mark.shared
def test_lab_truth_covers_every_scenario() -> None:
    """Prints N of N: the scenarios whose IKE SAs were compared, and those that have none to compare."""
    compared = [name for name in SCENARIOS if distinct(truth_of(name).get("ike_sas") or [])]
    print(
        f"\nlab scenarios: {len(compared)} with IKE SAs compared, {len(SCENARIOS) - len(compared)} without, {len(SCENARIOS)} in all"
    )
    assert len(compared) >= 90
