"""The arithmetic of lengths against published tables, observed lengths and every opened message of the lab."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lab import SCENARIOS, analysed, capture
from played import CAPTURES, NAMES
from played import analysed as played
from scenes import of

from ipsecscope.decrypt.algorithms import encryption_by_name, integrity_by_name
from ipsecscope.diagnose import sizes
from ipsecscope.diagnose.geometry import families, geometry_of
from ipsecscope.diagnose.schedules import fit
from ipsecscope.diagnose.view import View, is_open
from ipsecscope.dissect.registry.ikev2 import KeyExchangeMethod
from ipsecscope.peers.config import Offer
from ipsecscope.peers.scenarios_network import pings
from ipsecscope.timeline.analysis import Analysis
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


Observed = tuple[int, int, bool]  # payload octets as read with keys, Length as seen, whether it came in fragments
Sender = tuple[str, str, str]  # version and suite, SA, sender


def observations(analysis: Analysis) -> Iterator[tuple[Sender, sizes.Envelope, Observed, bool]]:
    """Every opened IKE message, and whether the keyless interval holds what was read."""
    view = View(analysis)
    for sa in analysis.ike_sas:
        envelope = view.envelope(sa)
        for exchange in sa.exchanges:
            for records in (exchange.request, exchange.response):
                for record in records:
                    if not is_open(record) or record.opening is None or envelope is None:
                        continue
                    if record.fragment is not None and not record.opening.payloads:
                        continue  # the whole stands at the fragment that completed it
                    inner = sum(payload.stop - payload.start for payload in record.opening.payloads)
                    split = record.fragment is not None
                    if sa.version == 1:
                        found = sizes.inner_ikev1(record, envelope)
                    else:
                        found = view.inner(sa, records if split else [record])
                    length = 0 if found is None else found.length
                    holds = found is not None and found.low <= inner <= found.high
                    name = f"IKEv{sa.version} {envelope.name}"
                    yield (name, sa.id, record.sender), envelope, (inner, length, split and sa.version != 1), holds


def predicted(version: int, envelope: sizes.Envelope, inner: int, *, rule: int) -> int:
    """The Length of a message with so many octets of payloads, for one rule of padding.

    In IKEv2 ``rule`` is what the sender pads to; in IKEv1 it is the least padding, none or one octet (RFC 2409 B).
    """
    if version == 2:
        return envelope.length_of(inner, aligned=rule)
    return 28 + -(-(inner + rule) // envelope.block) * envelope.block


def reproduced(version: int, envelope: sizes.Envelope, seen: list[Observed]) -> int:
    """How many lengths of one sender its one rule of padding gives, the best rule for it."""
    rules = (0, 1) if version == 1 else (1, 4, 8, 16)
    return max(
        sum(predicted(version, envelope, inner, rule=rule) == length for inner, length, _ in seen) for rule in rules
    )


def judged(analyses: Iterable[Analysis]) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    """By suite: messages, lengths predicted exactly, intervals that hold what was read, messages in fragments."""
    seen, exact, held, pieces = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    for analysis in analyses:
        by_sender: dict[Sender, tuple[sizes.Envelope, list[Observed]]] = {}
        for sender, envelope, observed, holds in observations(analysis):
            seen[sender[0]] += 1
            held[sender[0]] += holds
            if observed[2]:
                pieces[sender[0]] += 1  # their Length is that of several messages: the interval is the prediction
                exact[sender[0]] += holds
            else:
                by_sender.setdefault(sender, (envelope, []))[1].append(observed)
        for (name, *_), (envelope, lengths) in by_sender.items():
            exact[name] += reproduced(int(name[4]), envelope, lengths)
    return seen, exact, held, pieces


def printed(where: str, found: tuple[Counter[str], Counter[str], Counter[str], Counter[str]]) -> None:
    seen, exact, held, pieces = found
    for key, count in sorted(seen.items()):
        fragments = f", {pieces[key]} of them in fragments" if pieces[key] else ""
        print(
            f"{where}: {exact[key]} of {count} lengths predicted, {held[key]} of {count} intervals hold  {key}{fragments}"
        )
    print(f"{where}: {sum(exact.values())} of {sum(seen.values())} lengths of opened IKE messages predicted")


@pytest.mark.shared
def test_every_opened_message_of_the_lab_has_the_predicted_length() -> None:
    found = judged(analysed(capture(each), keyed=True) for each in SCENARIOS if capture(each).exists())
    printed("lab", found)
    seen, exact, held, _ = found
    assert sum(seen.values()) > 300
    assert any(key.startswith("IKEv1") for key in seen)
    assert held == seen
    assert exact == seen


def test_every_opened_message_of_our_peers_has_the_predicted_length() -> None:
    found = judged(played(name, "all") for name in NAMES if (CAPTURES / f"{name}.keys").exists())
    printed("peers", found)
    seen, exact, held, _ = found
    assert held == seen
    assert exact == seen


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


ESP_SUITES = (
    "ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96",
    "ENCR_AES_CBC-256 AUTH_HMAC_SHA2_256_128",
    "ENCR_AES_CBC-256 AUTH_HMAC_SHA2_384_192",
    "ENCR_AES_CBC-256 AUTH_HMAC_SHA2_512_256",
    "ENCR_CAMELLIA_CBC-256 AUTH_HMAC_SHA2_256_128",
    "ENCR_3DES AUTH_HMAC_SHA1_96",
    "ENCR_3DES AUTH_HMAC_SHA2_256_128",
    "ENCR_AES_CTR-128 AUTH_HMAC_SHA2_256_128",
    "ENCR_AES_GCM_16-256",
    "ENCR_AES_GCM_12-256",
    "ENCR_AES_GCM_8-256",
    "ENCR_AES_CCM_16-128",
    "ENCR_AES_CCM_8-128",
    "ENCR_CHACHA20_POLY1305",
    "ENCR_NULL AUTH_HMAC_SHA2_256_128",
    "ENCR_NULL_AUTH_AES_GMAC-256",
)
MANY_PACKETS, MANY_LENGTHS = 8, 5  # what acceptance asks of a flow before its family must be named


def true_name(suite: Suite) -> tuple[str, int]:
    """The transform as families name it, and the octets of its ICV."""
    assert suite.encr is not None
    row = encryption_by_name(suite.encr)[0]
    icv = row.icv_size if row.is_aead else 0 if suite.integ is None else integrity_by_name(suite.integ).icv_size
    return row.name, icv


def named_families(analysis: Analysis, keyed: Analysis) -> Iterator[tuple[str, bool, int, list[str]]]:
    """Of every flow with enough packets: the true suite, whether it is among the families named, how many, and which."""
    suites = {name: child.suite for sa in keyed.ike_sas for child in sa.child_sas for name in child.flows}
    for flow in analysis.flows:
        suite = suites.get(flow.id)
        if suite is None or flow.protocol != "ESP" or flow.packets < MANY_PACKETS or len(flow.lengths) < MANY_LENGTHS:
            continue
        found = geometry_of(flow.lengths, flow.ciphertext)
        name, icv = true_name(suite)
        families_named = [] if found is None else list(found.families)
        right = any(
            family.icv == icv and any(each.split(" ")[0] == name for each in family.names) for family in families_named
        )
        yield f"{name} with {icv * 8}-bit ICV", right, len(families_named), [] if found is None else found.names


def test_geometry_names_the_true_family_of_every_suite_of_our_peers() -> None:
    lengths = (40, 52, 64, 77, 100, 300, 777, 1200)
    for text in ESP_SUITES:
        made = of(
            f"sizes {text}", both={"child_proposals": (Offer.esp(text),)}, traffic=pings(*lengths, count=2), lasts=25
        )
        rows = list(named_families(made.analysis(), made.analysis(keyed=True)))
        assert len(rows) == 2, text
        for name, right, count, names in rows:
            print(f"peers: {name:45} {'named' if right else 'MISSING'} among {count}: {'; '.join(names)[:150]}")
            assert right


@pytest.mark.shared
def test_geometry_names_the_true_family_of_every_lab_flow_with_enough_lengths() -> None:
    flows = 0
    for scenario in SCENARIOS:
        if not capture(scenario).exists():
            continue
        for name, right, count, names in named_families(
            analysed(capture(scenario)), analysed(capture(scenario), keyed=True)
        ):
            flows += 1
            print(
                f"lab: {scenario:40} {name:45} {'named' if right else 'MISSING'} among {count}: {'; '.join(names)[:120]}"
            )
            assert right
    print(f"lab: {flows} flows with {MANY_PACKETS} packets of {MANY_LENGTHS} lengths")
