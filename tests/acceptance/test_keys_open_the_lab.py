"""Every key source that a lab session left, alone, against an independent count of what it opens."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from conftest import SHARED

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import SaKeys
from ipsecscope.timeline.analysis import Analysis, analyze

LAB = SHARED / "captures" / "lab"

SOURCES = {
    "keys.json": ("keys.json",),
    "initiator log": ("initiator.log", "initiator.pluto.log"),
    "responder log": ("responder.log", "responder.pluto.log"),
    "Wireshark files": ("ikev1_decryption_table", "ikev2_decryption_table", "esp_sa"),
    "xfrm state": tuple(f"xfrm-state-{side}.txt" for side in ("initiator", "responder")),
    "IKE part of keys.json": ("keys.json",),
}

# What a source cannot open, and why. Counts are (IKE messages, ESP packets, AH packets) that stay closed.
OTHER_SIDES_KEYS = "the peers have different keys: what the other side sealed stays closed"
NOT_DERIVED = "this side never derived the keys"
NOT_LOGGED = "pluto logs no IKEv1 keys, and IKEv2 keys only with another debug option"
NO_NAME = "Wireshark has no name for the suite, so its files have no row"
PFS = "the secret of the second key exchange is not in the IKE part"
ONE_DUMP = "the dump shows the SAs of one moment, before or after a rekey"
EXCEPTIONS: dict[str, dict[str, str]] = {
    "initiator log": {
        "fail-wrong-psk-v1-main": OTHER_SIDES_KEYS,
        "lsw-interop-fail-v1-pfs-unexpected": NOT_LOGGED,
        "lsw-interop-libreswan-initiator-v1": NOT_LOGGED,
    },
    "responder log": {
        "fail-wrong-psk-v1-main": OTHER_SIDES_KEYS,
        "fail-4500-blocked-nat": NOT_DERIVED,
        "fail-half-open": NOT_DERIVED,
        "lsw-interop-fail-psk-v2": NOT_LOGGED,
        "lsw-interop-strongswan-initiator-v1": NOT_LOGGED,
    },
    "Wireshark files": {
        "lsw-rekey-child": ONE_DUMP,
        **dict.fromkeys(
            (
                "ikev2-psk-aes256ccm8",
                "ss6-aesccm",
                "xfrm-ikev2-ah-transport",
                "xfrm-ikev2-ah-transport-v6",
                "xfrm-ikev2-ah-tunnel",
                "xfrm-ikev2-esp-null-gmac",
            ),
            NO_NAME,
        ),
    },
    "xfrm state": {"lsw-rekey-child": ONE_DUMP},
    "IKE part of keys.json": dict.fromkeys(
        (
            "ikev1-rekey-child",
            "ikev2-child-rekey-invalid-ke",
            "ikev2-child-rekey-pfs-responder",
            "ikev2-child-rekey-pfs",
            "lsw-interop-libreswan-initiator-v1",
            "lsw-interop-strongswan-initiator-v1",
            "ss6-ikev1-main",
            "ss6-mlkem-child-rekey",
            "ss6-raw-esp-gcm-pfs-rekey",
            "xfrm-ikev1-main-psk-pfs",
            "xfrm-ikev2-child-rekey-pfs",
        ),
        PFS,
    ),
}


def opened(analysis: Analysis) -> Counter[str]:
    counts: Counter[str] = Counter()
    for sa in analysis.ike_sas:
        for exchange in sa.exchanges:
            for record in (*exchange.request, *exchange.response, *exchange.repeats):
                counts["ike"] += record.opening is not None and record.opening.is_open
    protocol = {flow.id: flow.protocol.lower() for flow in analysis.flows}
    for flow, result in analysis.traffic.items():
        counts[protocol[flow]] += result.opened
    return counts


def expected(verdict: dict[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    counts["ike"] = sum(count for kind, count in verdict.get("ike", {}).items() if kind.startswith("ok"))
    counts["esp"] = sum(count for kind, count in verdict.get("esp", {}).items() if kind in {"ok", "noicv"})
    counts["ah"] = verdict.get("ah", {}).get("ok", 0)
    return counts


def ring_of(scenario: str, source: str) -> KeyRing | None:
    paths = [LAB / scenario / name for name in SOURCES[source] if (LAB / scenario / name).is_file()]
    records = [record for path in paths for record in read_keys(path).records]
    if source == "IKE part of keys.json":
        records = [record for record in records if not isinstance(record, SaKeys)]
    return KeyRing(records) if records else None


def cases(source: str) -> list[tuple[str, str, Counter[str]]]:
    found = []
    for path in sorted(LAB.glob("*/own-verify.json")):
        for capture, verdict in json.loads(path.read_text()).items():
            if capture != "summary" and verdict and (path.parent / capture).is_file():
                found.append((path.parent.name, capture, expected(verdict)))
    if source == "xfrm state":  # kernel SAs only: it says nothing of IKE
        found = [(name, capture, Counter(esp=counts["esp"], ah=counts["ah"])) for name, capture, counts in found]
    if source == "IKE part of keys.json":  # manual keys and pluto's sessions have no IKE part
        found = [case for case in found if case[2]["ike"]]
    return found


@pytest.mark.shared
@pytest.mark.parametrize("source", SOURCES)
def test_every_source_alone_opens_what_it_can(source: str) -> None:
    """Prints N of N per key source; each exception is named with its reason."""
    compared, failures = 0, []
    exceptions = EXCEPTIONS.get(source, {})
    for scenario, capture, wanted in cases(source):
        ring = ring_of(scenario, source)
        if ring is None or not sum(wanted.values()):
            continue
        found = opened(analyze([str(LAB / scenario / capture)], ring=ring))
        missing = {kind: count - found[kind] for kind, count in wanted.items() if found[kind] < count}
        if scenario in exceptions:
            assert missing, f"{scenario} opens now: the exception is no longer true"
            continue
        if source == "Wireshark files" and scenario.startswith("xfrm-manual-ah"):
            missing.pop("ah", None)  # Wireshark has no table for AH
        compared += 1
        if missing:
            failures.append((scenario, capture, missing))
    print(f"\n{source}: {compared - len(failures)} of {compared}, {len(exceptions)} exceptions")
    assert not failures
    assert compared >= 45


@pytest.mark.shared
def test_secrets_of_the_second_exchange_open_the_pfs_children() -> None:
    """With the Diffie-Hellman secrets of a log and no ESP keys, children with perfect forward secrecy open too."""
    compared = []
    for scenario in EXCEPTIONS["IKE part of keys.json"]:
        log = LAB / scenario / "initiator.log"
        if not log.is_file() or scenario == "lsw-interop-strongswan-initiator-v1":
            continue
        records = [record for record in read_keys(log).records if not isinstance(record, SaKeys)]
        verdict = json.loads((LAB / scenario / "own-verify.json").read_text())["capture.pcap"]
        found = opened(analyze([str(LAB / scenario / "capture.pcap")], ring=KeyRing(records)))
        compared.append((scenario, found["esp"], verdict["esp"]["ok"]))
    print(f"\nPFS children opened: {compared}")
    assert all(found == wanted for _, found, wanted in compared)
    assert len(compared) >= 9
