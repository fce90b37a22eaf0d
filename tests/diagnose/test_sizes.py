"""The arithmetic of lengths against published tables, observed lengths and every opened message of the lab."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from lab import SCENARIOS, analysed, capture

from ipsecscope.diagnose import sizes
from ipsecscope.diagnose.geometry import families, geometry_of
from ipsecscope.diagnose.schedules import fit
from ipsecscope.diagnose.view import View, is_open
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.timeline.sas import Suite

CBC = sizes.envelope_ikev2(Suite(encr="ENCR_AES_CBC", key_length=256, integ="AUTH_HMAC_SHA2_256_128"))
GCM = sizes.envelope_ikev2(Suite(encr="ENCR_AES_GCM_16", key_length=256))


@pytest.fixture(scope="module")
def catalogue(shared: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((shared / "reference" / "diagnoses.json").read_text())
    return found


def _envelope(row: dict[str, Any]) -> sizes.Envelope:
    return sizes.Envelope(row["suite"], 4, row["iv"], row["block"], row["icv"])


def test_lengths_of_all_suites_are_those_of_the_table(catalogue: dict[str, Any]) -> None:
    for row in catalogue["ike_v2_sizes"]:
        envelope = _envelope(row)
        assert envelope.length_of(0) == row["empty"], row["suite"]
        for inner in (8, 10, 12, 16):
            assert envelope.length_of(inner) == row[f"inner{inner}"], row["suite"]
        for name, prf in (("sha1", 20), ("sha256", 32), ("sha384", 48), ("sha512", 64)):
            proof = sizes.identification(4) + sizes.authentication(prf)
            assert envelope.length_of(proof + sizes.notify()) == row[f"child_failed_psk_{name}"], row["suite"]


def test_create_child_sa_lengths_tell_the_group(catalogue: dict[str, Any]) -> None:
    row = next(each for each in catalogue["ike_v2_create_child_sizes"] if "gcm" in each["suite"])
    assert GCM is not None
    plain = sizes.security_association(2) + sizes.nonce() + sizes.MIN_SELECTORS
    assert GCM.length_of(plain) == row["child_resp_no_pfs"]
    for key, length in row.items():
        if not key.startswith("child_resp_") or key.endswith("no_pfs"):
            continue
        number = int(key.rpartition("(")[2].rstrip(")"))
        size = sizes.key_exchange(number, is_response=True)
        assert size is not None
        assert GCM.length_of(plain + 8 + size) == length, key


def test_suite_rows_give_the_envelope() -> None:
    assert CBC is not None
    assert (CBC.iv, CBC.block, CBC.icv) == (16, 16, 16)
    assert CBC.length_of(8) == 80
    assert GCM is not None
    assert GCM.length_of(8) == 65
    assert sizes.envelope_ikev2(Suite(encr="ENCR_UNKNOWN_99")) is None
    assert sizes.envelope_ikev2(Suite(encr="ENCR_AES_CBC", key_length=128)) is None


def test_alignment_is_open_until_one_length_proves_it() -> None:
    assert GCM is not None
    assert sizes.alignment_of([(GCM.length_of(3), False), (GCM.length_of(7), False)], GCM) == 4
    assert sizes.alignment_of([(GCM.length_of(3), False), (GCM.length_of(8), False)], GCM) == 1
    assert CBC is not None
    assert sizes.alignment_of([(80, False)], CBC) == 16


def test_groups_that_fit_a_spare_size_are_named() -> None:
    assert sizes.groups_that_fit(264, 264, is_response=False) == [
        KeyExchangeMethod.MODP_2048,
        KeyExchangeMethod.MODP_2048_224,
        KeyExchangeMethod.MODP_2048_256,
    ]


@pytest.mark.shared
def test_every_opened_message_of_the_lab_has_the_predicted_length() -> None:
    right: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for scenario in SCENARIOS:
        if not capture(scenario).exists():
            continue
        analysis = analysed(capture(scenario), keyed=True)
        view = View(analysis)
        for sa in analysis.ike_sas:
            envelope = view.envelope(sa)
            for exchange in sa.exchanges:
                for records in (exchange.request, exchange.response):
                    for record in records:
                        if not is_open(record) or envelope is None or record.opening is None:
                            continue
                        if record.fragment is not None and not record.opening.payloads:
                            continue  # the whole stands at the fragment that completed it
                        inner = sum(payload.stop - payload.start for payload in record.opening.payloads)
                        if sa.version == 1:
                            found = sizes.inner_ikev1(record, envelope)
                        else:
                            found = view.inner(sa, records if record.fragment is not None else [record])
                        if found is None:
                            continue
                        key = f"IKEv{sa.version} {envelope.name}"
                        seen[key] += 1
                        right[key] += found.low <= inner <= found.high
    for key, count in sorted(seen.items()):
        print(f"{right[key]} of {count}  {key}")
    assert sum(seen.values()) > 300
    assert right == seen


# -- ESP --------------------------------------------------------------------------------------------------------


def test_geometry_keeps_the_true_family_of_every_row(catalogue: dict[str, Any]) -> None:
    known = {(each.iv, each.align, each.icv) for each in families()}
    for row in catalogue["esp_geometry"]:
        key = (row["iv"], row["align"], row["icv"])
        if key not in known:
            continue
        iv, align, icv = key
        lengths = {8 + iv + -(-(inner + 2) // align) * align + icv: 2 for inner in (28, 40, 52, 60, 84, 200, 576, 1400)}
        found = geometry_of(lengths)
        assert found is not None
        assert any((each.iv, each.align, each.icv) == key for each in found.families), row["transform"]


def test_geometry_of_nothing_and_of_the_impossible_is_none() -> None:
    assert geometry_of({}) is None
    assert geometry_of({41: 3}) is None


def test_small_packets_prove_transport_mode() -> None:
    found = geometry_of({16 + 8 + 8 + 4: 5, 60: 3, 64: 1, 72: 1})
    assert found is not None
    assert found.mode == "transport"


@pytest.mark.parametrize(
    ("times", "name"),
    [
        ([0, 4.0, 11.2, 24.2, 47.5, 89.5], "strongSwan's default"),
        ([0, 0.5, 1.0, 2.0, 4.0], "libreswan's default"),
        ([0, 0.8, 2.2, 4.8], None),
        ([0, 4.0], None),
    ],
    ids=["strongswan", "libreswan", "shortened", "too-few"],
)
def test_schedules_are_recognised_by_three_pauses(times: list[float], name: str | None) -> None:
    found = fit([int(each * 10**9) for each in times])
    assert (None if found is None else found.name) == name
