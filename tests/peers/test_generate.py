"""The captures that carry the names of the user's texts, and what ``generate`` writes of a scenario."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
import typer
from conftest import ROOT
from typer.testing import CliRunner

from ipsecscope.cli.generate import register, require_free, write
from ipsecscope.decrypt.keylogs import read_keys
from ipsecscope.decrypt.keyring import KeyRing
from ipsecscope.decrypt.keys import KeyRecord, SaKeys
from ipsecscope.diagnose.engine import diagnose
from ipsecscope.peers.generating import files_of
from ipsecscope.peers.scenarios import BY_NAME, SCENARIOS, generate
from ipsecscope.reports.assemble import assemble
from ipsecscope.timeline.analysis import Analysis, analyze

CAPTURES = ROOT / "captures"
REFERENCE = (
    "ikev1-main-mode",
    "ikev1-aggressive-mode",
    "ikev2",
    "ah-transport",
    "ah-tunnel",
    "esp-transport",
    "esp-tunnel",
    "ah-esp-transport",
    "ah-esp-tunnel",
)
PACKETS_PER_PING = {name: 4 if name.startswith("ah-esp") else 2 for name in REFERENCE}  # one per SA and direction

app = typer.Typer(context_settings={"help_option_names": ["-h", "--help"]})
register(app)
app.command("nothing")(lambda: None)  # a second command, so that the first one is called by its name


def call(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["generate", *arguments])
    return result.exit_code, result.output


def analysed(name: str, *, only_ike: bool = False) -> Analysis:
    """The committed capture with its committed keys, ``only_ike`` without those of ESP and AH."""
    file = read_keys(CAPTURES / f"{name}.keys")
    assert not file.problems
    records: list[KeyRecord] = [each for each in file.records if not (only_ike and isinstance(each, SaKeys))]
    assert records
    return analyze([str(CAPTURES / f"{name}.pcapng")], ring=KeyRing(records))


# -- the bundled captures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("only_ike", [False, True], ids=["all keys", "IKE secrets only"])
@pytest.mark.parametrize("name", REFERENCE)
def test_bundled_capture_opens_in_full_with_its_keys(name: str, only_ike: bool) -> None:
    analysis = analysed(name, only_ike=only_ike)
    encrypted = [
        record for sa in analysis.ike_sas for each in sa.exchanges for record in each.records if record.encrypted
    ]
    assert encrypted
    assert all(record.opening is not None and record.opening.is_open for record in encrypted)
    results = list(analysis.traffic.values())
    assert sum(result.opened for result in results) == BY_NAME[name].pings * PACKETS_PER_PING[name]
    assert not any(result.refused for result in results)


@pytest.mark.parametrize("name", REFERENCE)
def test_bundled_capture_has_no_headline_without_keys(name: str) -> None:
    analysis = analyze([str(CAPTURES / f"{name}.pcapng")])
    assert assemble(analysis, diagnose(analysis)).headline is None


@pytest.mark.parametrize("name", REFERENCE)
def test_bundled_capture_has_no_headline_with_its_keys(name: str) -> None:
    analysis = analysed(name)
    assert assemble(analysis, diagnose(analysis)).headline is None


@pytest.mark.parametrize("name", REFERENCE)
def test_bundled_expectation_names_the_children_that_the_analysis_finds(name: str) -> None:
    events = json.loads((CAPTURES / f"{name}.expected.json").read_text())["events"]
    told = {
        (int(each["data"]["spi_i"], 16), int(each["data"]["spi_r"], 16), each["data"]["mode"])
        for each in events
        if each["name"] == "child_sa:created"
    }
    found = [child for sa in analysed(name).ike_sas for child in sa.child_sas]
    assert {(child.spi_i, child.spi_r, child.mode) for child in found} == told
    assert told


# -- what generate writes ----------------------------------------------------------------------------------------------


def test_files_of_a_scenario_read_back_as_its_keys_and_events(tmp_path: Path) -> None:
    generated = generate("ah-esp-tunnel", 3)
    paths = list(write(files_of(generated), tmp_path))
    assert [path.name for path in paths] == [f"ah-esp-tunnel{end}" for end in (".pcapng", ".keys", ".expected.json")]
    assert paths[1].stat().st_mode & 0o077 == 0
    expected = msgspec.json.decode(paths[2].read_bytes())
    assert (expected["scenario"], expected["seed"]) == ("ah-esp-tunnel", 3)
    assert expected["events"] == msgspec.json.decode(msgspec.json.encode(generated.expected))
    assert len(read_keys(paths[1]).records) == len(generated.keys)


def test_require_free_names_the_first_file_that_is_there(tmp_path: Path) -> None:
    require_free(tmp_path, ["ikev2"])
    (tmp_path / "ikev2.keys").touch()
    with pytest.raises(FileExistsError, match=r"ikev2\.keys"):
        require_free(tmp_path, ["esp-tunnel", "ikev2"])


def test_command_lists_every_scenario_with_its_title() -> None:
    code, output = call("--list")
    assert code == 0
    assert len(output.splitlines()) == len(SCENARIOS)
    assert all(scenario.name in output and scenario.title in output for scenario in SCENARIOS)


def test_command_writes_three_files_and_refuses_to_overwrite_them(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    code, output = call("esp-tunnel", "-o", str(folder))
    assert code == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(Path(line).name for line in output.splitlines())
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    code, output = call("ah-tunnel", "esp-tunnel", "-o", str(folder), "--seed", "1")
    assert (code, "--force" in output) == (2, True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert call("esp-tunnel", "-o", str(folder), "--seed", "1", "--force")[0] == 0
    assert (folder / "esp-tunnel.pcapng").read_bytes() != before["esp-tunnel.pcapng"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--list"),
        (("esp-tunnel",), "--output"),
        (("esp-tunel", "-o", "unused"), "near it: esp-tunnel"),
        (("esp-tunnel", "--all", "-o", "unused"), "not both"),
    ],
    ids=["nothing", "no folder", "unknown name", "names and all"],
)
def test_command_that_is_unclear_ends_with_usage_error(arguments: tuple[str, ...], said: str) -> None:
    code, output = call(*arguments)
    assert code == 2
    assert said in output
    assert not Path("unused").exists()
