"""The events of a timeline: the vocabulary, the order, and the milestones of a real conversation."""

from __future__ import annotations

from conftest import ROOT

from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.writing import json_lines
from ipsecscope.timeline import events
from ipsecscope.timeline.analysis import analyze

NAT_T = str(ROOT / "captures" / "lab-ikev2-nat-t.pcap")


def test_events_are_in_time_order_and_of_the_vocabulary() -> None:
    found = analyze([NAT_T]).events
    assert [event.time_ns for event in found] == sorted(event.time_ns for event in found)
    assert {event.name for event in found} <= events.NAMES


def test_milestones_of_a_session_are_all_there() -> None:
    names = {event.name for event in analyze([NAT_T]).events}
    assert {
        events.SA_SEEN,
        events.MESSAGE,
        events.EXCHANGE_COMPLETED,
        events.SA_PROPOSAL_CHOSEN,
        events.NAT_DETECTED,
        events.SA_ESTABLISHED,
        events.CHILD_CREATED,
        events.PATH_MOVED,
    } <= names


def test_events_of_one_sa_share_its_group() -> None:
    analysis = analyze([NAT_T])
    assert {event.group_id for event in analysis.events if event.name != events.SA_SEEN} == {
        analysis.ike_sas[0].group_id
    }


def test_json_lines_hold_the_events_and_the_values() -> None:
    analysis = analyze([NAT_T])
    lines = list(json_lines(assemble(analysis), analysis))
    assert len(lines) > len(analysis.events)
    assert lines[0].startswith(b'{"time":"2026-11-20T16:10:50.199664Z","name":')
    assert all(line.endswith(b"}\n") for line in lines)
