"""Recorded sessions (``tests/data/sessions``): the headline of each, without and with its keys, and nothing else certain.

They show what neither the laboratory of the reference material nor our own peers do: which side refuses what in
IKEv1, answers that one tap sees and the other does not, and sessions that end in a way that looks like a fault.
"""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from typing import Any

import pytest
from conftest import ROOT
from staged import Stage, v1_sa

from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.diagnose.engine import Diagnosis, diagnose
from ipsecscope.dissect import ikev1
from ipsecscope.dissect.registry.isakmp import ExchangeType
from ipsecscope.reports.assemble import assemble
from ipsecscope.timeline.analysis import Analysis, analyze

SESSIONS = ROOT / "tests" / "data" / "sessions"
ROWS: dict[str, dict[str, Any]] = {
    row["file"].removesuffix(".pcap"): row for row in tomllib.loads((SESSIONS / "MANIFEST.toml").read_text())["session"]
}
# What may be said with certainty beside the headline: it is true, and no other cause.
ALSO_TRUE = {"v1-expired-initiator": {"AUTH-002"}}


@cache
def _analysed(name: str, *, keyed: bool) -> Analysis:
    ring = None
    path = SESSIONS / f"{name}.keys"
    if keyed and path.exists():
        ring = KeyRing()
        for record in read_keys(path).records:
            ring.add(record)
    return analyze([str(SESSIONS / f"{name}.pcap")], ring=ring)


@cache
def _diagnosed(name: str, *, keyed: bool) -> Diagnosis:
    return diagnose(_analysed(name, keyed=keyed))


def test_manifest_lists_every_session_unchanged() -> None:
    assert sorted(ROWS) == sorted(path.stem for path in SESSIONS.glob("*.pcap"))
    for name, row in ROWS.items():
        assert {"shows", "made", "licence"} <= row.keys()
        assert hashlib.sha256((SESSIONS / f"{name}.pcap").read_bytes()).hexdigest() == row["sha256"], name


@pytest.mark.parametrize("keyed", [False, True], ids=["keyless", "keyed"])
@pytest.mark.parametrize("name", sorted(ROWS))
def test_headline_of_a_session_names_what_happened(name: str, keyed: bool) -> None:
    wanted = ROWS[name]["keyed" if keyed else "keyless"]
    found = _diagnosed(name, keyed=keyed)
    assert found.faults == ()
    if not wanted:
        assert found.headline is None, found.headline
        return
    assert found.headline is not None
    assert found.headline.code in wanted, found.headline
    certain = {
        each.code
        for each in found.findings
        if each.headline and each.confidence == "certain" and each.suppressed_by is None
    }
    assert certain <= {*wanted, *ALSO_TRUE.get(name, ())}


@pytest.mark.parametrize("name", sorted(path.stem for path in SESSIONS.glob("*.keys")))
def test_sessions_open_with_their_keys(name: str) -> None:
    """Everything opens; every message counts once, in however many vendor fragments it came."""
    report = assemble(_analysed(name, keyed=True), _diagnosed(name, keyed=True))
    exchanges = [each for sa in report.ike_sas for each in sa.exchanges]
    assert [(each.type, each.encrypted) for each in exchanges] == [(each.type, each.opened) for each in exchanges]
    assert [flow.packets for flow in report.flows] == [flow.opened for flow in report.flows]


def test_ikev1_verification_sees_a_hash_that_its_receiver_cannot_accept() -> None:
    """HASH_R is right for the responder's key; the initiator encrypts its refusal with another one (RFC 2409 5.4)."""
    analysis = _analysed("v1-aggressive-other-psk", keyed=True)
    (verified,) = analysis.verified.values()
    assert verified.verified is False
    (detail,) = [each for each in verified.details if each.what == "HASH_R"]
    assert "pre-shared keys differ" in detail.why


@pytest.mark.parametrize(("ttl", "code"), [(64, "AUTH-001"), (61, "PH1-011")], ids=["at-initiator", "elsewhere"])
def test_ignored_answer_of_aggressive_mode_is_judged_by_where_it_was_captured(ttl: int, code: str) -> None:
    """Beside the initiator the answer has arrived, and HASH_R is what is thrown away; elsewhere it may be lost."""
    keys = (ikev1.KeyExchange(data=b"\x05" * 256), ikev1.Nonce(data=b"\x06" * 32))
    identity = ikev1.Identification(id_type=2, data=b"peer.example")
    stage = Stage()
    stage.v1(0, ExchangeType.AGGRESSIVE, v1_sa(), *keys, identity, first=True, ttl=ttl)
    stage.v1(0.1, ExchangeType.AGGRESSIVE, v1_sa(), *keys, identity, ikev1.Hash(data=b"\x09" * 32), back=True)
    asked, answer = (each.payload for each in stage.datagrams)
    for at in (1, 3, 7):
        stage.send(at, asked, ttl=ttl).send(at + 0.1, answer, back=True)
    headline = diagnose(stage.analysis(until=20)).headline
    assert headline is not None
    assert headline.code == code
