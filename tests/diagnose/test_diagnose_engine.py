"""The engine: findings need evidence, suppression and headlines are deterministic, rules are declared once."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from lab import capture, diagnosed
from staged import SECOND, START, Stage, notify

from ipsecscope.capture.clear import ClearTraffic
from ipsecscope.diagnose.engine import all_rules, diagnose
from ipsecscope.diagnose.rule import CRITICAL, GROUPS, RULES, Evidence, Finding, Found, rule
from ipsecscope.dissect.registry.ikev2 import ExchangeType, NotifyType
from ipsecscope.reports import document
from ipsecscope.timeline.sas import IkeSa


def _finding(**more: object) -> Finding:
    values: dict[str, object] = {
        "code": "PH1-001",
        "slug": "peer-silent",
        "severity": "critical",
        "confidence": "likely",
        "title": "t",
        "summary": "s",
        "subject": "ike-1",
        "evidence": (Evidence(1),),
    }
    return Finding(**(values | more))  # type: ignore[arg-type]


def test_finding_without_evidence_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="PH1-001: a finding without evidence"):
        _finding(evidence=())


def test_finding_fields_are_those_of_the_report() -> None:
    fields = _finding(evidence=(Evidence(4, 0, "payloads[N]", (28, 36), "v"),)).fields()
    shown = document.Finding(**(fields | {"evidence": [document.Evidence(**each) for each in fields["evidence"]]}))
    assert msgspec.json.decode(msgspec.json.encode(shown), type=document.Finding) == shown
    assert set(fields) <= set(document.Finding.__struct_fields__)


def test_rule_declared_twice_is_refused() -> None:
    all_rules()
    declare = rule("PH1-001", "again", CRITICAL, title="", means="", detect="")

    def check(sa: IkeSa) -> Iterator[Found]:
        del sa
        yield from ()

    with pytest.raises(ValueError, match="declared twice"):
        declare(check)


def test_rule_over_an_unknown_subject_is_refused() -> None:
    def check(text: str) -> Iterator[Found]:
        del text
        yield from ()

    with pytest.raises(ValueError, match="no subject of a rule"):
        rule("CAP-999", "none", CRITICAL, title="", means="", detect="")(check)
    assert "CAP-999" not in RULES


def test_rules_name_themselves_and_each_other_consistently() -> None:
    rules = all_rules()
    assert len({each.slug for each in rules.values()}) == len(rules)
    for each in rules.values():
        assert each.group in GROUPS
        assert all((each.title, each.means, each.detect))
        assert each.code not in each.suppressed_by
        assert not each.title.endswith(".")


@pytest.mark.shared
def test_diagnosis_of_the_same_capture_is_the_same_bytes() -> None:
    from lab import analysed

    path = capture("fail-responder-reboot")
    again = diagnose(analysed(path))
    assert msgspec.json.encode(again) == msgspec.json.encode(diagnosed(path))


def test_suppressed_finding_stands_behind_and_names_its_reason() -> None:
    stage = Stage().init().auth(answer=60)
    found = diagnose(stage.analysis(until=5))
    by_code = {each.code: each for each in found.findings}
    assert by_code["PH2-012"].suppressed_by == "PH2-001"
    assert found.headline is not None
    assert found.headline.code == "PH2-001"
    assert found.findings[-1].suppressed_by is not None


def test_select_and_ignore_take_codes_groups_and_slugs() -> None:
    analysis = Stage().init().auth(answer=8).analysis(until=5)
    assert {each.code for each in diagnose(analysis, select=["AUTH"]).findings} == {"AUTH-002"}
    assert {each.code for each in diagnose(analysis, select=["v2-auth-failed"]).findings} == {"AUTH-002"}
    assert "AUTH-002" not in {each.code for each in diagnose(analysis, ignore=["AUTH-002"]).findings}


def test_each_broken_sa_has_its_own_headline_and_the_worst_leads() -> None:
    one = Stage().init().auth(answer=8)
    two = Stage("192.0.2.2", spi_i=b"another1", spi_r=b"another2").init(2, salt=40).auth(2.1, answer=60)
    found = diagnose(one.analysis(two, until=9))
    assert [(each.subject, each.code) for each in found.headlines] == [("ike-1", "AUTH-002"), ("ike-2", "PH2-001")]
    assert found.headline == found.headlines[0]


def test_clear_traffic_between_private_networks_is_a_leak() -> None:
    stage = Stage().init().auth().flow({136: 9}, at=1, stop=5)
    leak = ClearTraffic("10.2.0.1", "10.1.0.1", 1, 9, START + 2 * SECOND, START + 5 * SECOND, 7, 31)
    found = diagnose(stage.analysis(until=9), [leak])
    assert found.headline is not None
    assert found.headline.code == "NET-014"
    assert diagnose(stage.analysis(until=9)).headline.code == "NET-012"  # type: ignore[union-attr]


def test_time_of_all_rules_grows_with_the_number_of_sas_only() -> None:
    def calls(count: int) -> int:
        stages = [
            Stage(f"10.0.{number // 250}.{number % 250 + 1}", spi_i=number.to_bytes(8, "big"), spi_r=b"%8d" % number)
            for number in range(1, count + 1)
        ]
        for number, stage in enumerate(stages):
            stage.v2(number / 100, ExchangeType.IKE_SA_INIT, 0, notify(NotifyType.COOKIE, b"x"), first=True)
        analysis = stages[0].analysis(*stages[1:])
        import cProfile
        import pstats

        profile = cProfile.Profile()
        profile.runcall(diagnose, analysis)
        return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]

    diagnose(Stage().init().analysis())  # the first run imports the rules
    assert calls(400) < 11 * calls(40)
