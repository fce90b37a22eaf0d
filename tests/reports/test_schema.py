"""The report's schema: committed, current, and true of real reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from conftest import ROOT

from ipsecscope.reports.assemble import assemble
from ipsecscope.reports.document import json_schema, to_json
from ipsecscope.timeline.analysis import analyze

SCHEMA = ROOT / "ipsecscope" / "reports" / "schema" / "report.schema.json"
CAPTURES = sorted((ROOT / "captures").glob("*.pcap*"))

# The names that other programs rely on: changed only by adding.
CONTRACT: dict[str, set[str]] = {
    "Report": {"schema", "generator", "capture", "ike_sas", "flows", "findings", "headline"},
    "CaptureFile": {"name", "format", "frames", "link_types", "truncated", "notes"},
    "Capture": {"files", "frames", "first_time", "last_time", "messages", "packets"},
    "PacketCounts": {"esp", "ah", "nat_keepalive", "other"},
    "IkeSa": {
        "id",
        "version",
        "mode",
        "spi_i",
        "spi_r",
        "initiator",
        "responder",
        "state",
        "basis",
        "established_at",
        "closed_at",
        "rekeys",
        "proposal",
        "offers",
        "auth",
        "nat",
        "nat_t",
        "exchanges",
        "child_sas",
    },
    "Endpoint": {"address", "port", "id", "vendor"},
    "Proposal": {"encr", "key_length", "prf", "integ", "ke", "hash", "auth", "lifetime_s", "esn"},
    "Exchange": {
        "type",
        "message_id",
        "initiated_by",
        "frames",
        "retransmissions",
        "outcome",
        "payloads",
        "encrypted",
        "opened",
        "notifies",
    },
    "ChildSa": {
        "id",
        "protocol",
        "mode",
        "state",
        "basis",
        "spi_i",
        "spi_r",
        "proposal",
        "tsi",
        "tsr",
        "rekeys",
        "flows",
        "created_at",
        "deleted_at",
    },
    "Flow": {
        "id",
        "protocol",
        "encapsulation",
        "src",
        "dst",
        "spi",
        "child_sa",
        "packets",
        "bytes",
        "first_time",
        "last_time",
        "sequence",
        "opened",
        "refused",
        "reason",
        "inner",
        "inferred",
    },
    "Sequence": {"first", "last", "lost", "duplicates", "reordered", "replayed"},
    "Finding": {
        "code",
        "slug",
        "severity",
        "confidence",
        "title",
        "summary",
        "subject",
        "evidence",
        "equation",
        "causes",
        "confirm",
        "fix",
        "config",
        "references",
        "suppressed_by",
    },
}


def test_committed_schema_is_the_generated_one(request: pytest.FixtureRequest) -> None:
    text = json.dumps(json_schema(), indent=2, sort_keys=True) + "\n"
    if request.config.getoption("--regen"):
        SCHEMA.parent.mkdir(exist_ok=True)
        SCHEMA.write_text(text)
    assert SCHEMA.read_text() == text


@pytest.mark.parametrize("name", CONTRACT)
def test_contract_names_are_all_there(name: str) -> None:
    assert CONTRACT[name] <= json_schema()["$defs"][name]["properties"].keys()


@pytest.mark.parametrize("capture", CAPTURES, ids=lambda path: path.stem)
def test_reports_are_valid(capture: Path) -> None:
    report: dict[str, Any] = msgspec.json.decode(to_json(assemble(analyze([str(capture)]))))
    jsonschema.Draft202012Validator(json_schema()).validate(report)
