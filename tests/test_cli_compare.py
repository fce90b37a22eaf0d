"""The command ``compare`` as a user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from conftest import ROOT, SHARED
from test_cli import run, spawn

from ipsecscope.decrypt.keylogs.exporters.ipsecscope_log import ipsecscope_log
from ipsecscope.peers.elements import Delay
from ipsecscope.peers.network import Tap
from ipsecscope.peers.scenario import play
from ipsecscope.peers.scenarios import BY_NAME

NAT = "captures/ikev2-nat.pcapng"
LAB = SHARED / "captures" / "lab"


def lab(scenario: str, *names: str) -> list[str]:
    return [str(LAB / scenario / f"{name}.pcap") for name in names]


def test_two_interfaces_of_one_file_are_compared_without_asking() -> None:
    done = run("compare", NAT)
    assert done.returncode == 0
    assert b"interface inside" in done.stdout
    assert b"source: 10.1.0.1:4500" in done.stdout


def test_interfaces_are_chosen_by_name_or_number() -> None:
    named = run("compare", NAT, "--interface-a", "outside", "--interface-b", "inside", "--format", "json")
    numbered = run("compare", NAT, NAT, "--interface-a", "1", "--interface-b", "0", "--format", "json")
    assert named.stdout == numbered.stdout
    assert json.loads(named.stdout)["a"]["interface"] == "outside"


def test_loss_is_a_finding_for_fail_on(shared: object) -> None:
    del shared
    pair = lab("fail-mtu-black-hole", "capture", "capture-far")
    assert run("compare", *pair).returncode == 0
    assert run("compare", *pair, "--fail-on", "critical").returncode == 1
    assert run("compare", NAT, "--fail-on", "low").returncode == 0


def test_keys_are_used(tmp_path: Path) -> None:
    both_ends = msgspec.structs.replace(
        BY_NAME["ikev2-pfs-mismatch"], network=lambda _: (Tap("near"), Delay(), Tap("far"))
    )
    generated = play(both_ends)
    capture, keys = tmp_path / "both.pcapng", tmp_path / "both.keys"
    capture.write_bytes(generated.pcapng)
    keys.write_text(ipsecscope_log(generated.keys))
    for more, expected in (((), "likely"), (("--keys", str(keys)), "certain")):
        found = json.loads(run("compare", str(capture), *more, "--format", "json").stdout)
        assert [each["confidence"] for each in found["findings"] if each["code"] == "PH2-007"] == [expected]


def test_proof_of_recording_may_be_given(shared: object) -> None:
    del shared
    pair = lab("fail-4500-blocked-nat", "capture", "capture-far")
    for more, expected in (((), "likely"), (("--recorded-throughout",), "certain")):
        found = json.loads(run("compare", *pair, *more, "--format", "json").stdout)
        assert (found["headline"]["code"], found["findings"][0]["confidence"]) == ("NAT-004", expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["captures/lab-ikev2-wrong-psk.pcap"], "compare it with what?", id="one interface"),
        pytest.param(
            [NAT, NAT, "--interface-a", "wan"], "has no interface wan; it has: inside, outside", id="no such interface"
        ),
        pytest.param([NAT, "captures/nowhere.pcap"], "captures/nowhere.pcap", id="no such file"),
        pytest.param(["README.md", NAT], "README.md: not a capture file", id="no capture"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(arguments: list[str], words: str) -> None:
    done = run("compare", *arguments)
    assert done.returncode == 2
    assert words in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1
    assert done.stdout == b""


def test_output_file_is_written_whole_and_never_over_an_input(tmp_path: Path) -> None:
    target = tmp_path / "both.json"
    assert run("compare", NAT, "--format", "json", "-o", str(target)).returncode == 0
    assert json.loads(target.read_text())["schema"] == "ipsecscope.comparison/1"
    assert run("compare", NAT, "-o", str(target)).returncode == 2
    assert run("compare", NAT, "-o", str(target), "--force").returncode == 0
    copy = tmp_path / "copy.pcapng"
    copy.write_bytes((ROOT / NAT).read_bytes())
    assert run("compare", str(copy), "-o", str(copy), "--force").returncode == 2


def test_standard_input_may_be_one_of_the_two() -> None:
    done = spawn("compare", "-", NAT, "--interface-a", "0", "--interface-b", "1", stdin=(ROOT / NAT).read_bytes())
    assert done.returncode == 0
    assert b"pass both taps" in done.stdout
