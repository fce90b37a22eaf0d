"""What our analyser makes of a session's own capture: it must agree with what our peer told, and with the outcome."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from interop_charon import NotHappenedError

from ipsecscope import load
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.reports.assemble import assemble
from ipsecscope.timeline.analysis import Analysis, analyze

IN_USE = ("established", "rekeyed", "closed")


def judge(capture: Path, keys: Path, events: list[dict[str, Any]], finds: str) -> None:
    """Compare; ``finds`` are the codes that the headline may have, none for a success. Raises NotHappenedError."""
    analysis = load(capture, keys=keys)
    for what, wrong in disagreements(analysis, events):
        if wrong:
            raise NotHappenedError(f"our analyser disagrees: {what}: {wrong}")
    headline = assemble(analysis, diagnose(analysis)).headline
    if (headline is None) if finds else (headline is not None):
        raise NotHappenedError(f"our analyser's headline: {headline and headline.sentence}")
    if headline is not None and headline.code not in finds.split():
        raise NotHappenedError(f"our analyser's headline: {headline.code} {headline.sentence}")


def disagreements(analysis: Analysis, events: list[dict[str, Any]]) -> Iterator[tuple[str, Any]]:
    """Names of comparisons, each with what is different."""
    told = {frozenset((int(each["spi_i"], 16), int(each["spi_r"], 16))) for each in facts(events, "child_sa:created")}
    found = {frozenset((child.spi_i, child.spi_r)) for sa in analysis.ike_sas for child in sa.child_sas}
    yield "Child SAs", told ^ found
    established = {each["group_id"] for each in events if each["name"] == "ike_sa:established"}
    yield "established IKE SAs", established ^ {sa.group_id for sa in analysis.ike_sas if sa.state in IN_USE}
    yield "messages that did not open", unopened(analysis) if established else []
    yield "ESP that did not open", [flow for flow, result in analysis.traffic.items() if result.refused]
    yield "notes", [each for each in analysis.notes if str(each.note.kind).startswith("internal")]


def unopened(analysis: Analysis) -> list[int]:
    """The frames of encrypted IKE messages that no key opened."""
    records = [record for sa in analysis.ike_sas for each in sa.exchanges for record in each.records]
    return [each.frame for each in records if each.is_encrypted and not (each.opening and each.opening.is_open)]


def opened_by(capture: Path, records: Iterable[KeyRecord]) -> None:
    """Whether the keys of the other end open everything as well. Raises NotHappenedError."""
    analysis = analyze([str(capture)], ring=KeyRing(records))
    frames = unopened(analysis)
    if frames:
        raise NotHappenedError(f"charon's log does not open frames {frames}")
    opened = {flow.dst for flow in analysis.flows if (of := analysis.traffic.get(flow.id)) and of.opened}
    if len(opened) != 2 or any(flow.encapsulation != "udp" for flow in analysis.flows):
        raise NotHappenedError(f"ESP in UDP was opened to {sorted(opened)} only")
    refused = [flow for flow, result in analysis.traffic.items() if result.refused or not result.opened]
    if refused:
        raise NotHappenedError(f"charon's log does not open ESP of {refused}")


def facts(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [each["data"] for each in events if each["name"] == name]
