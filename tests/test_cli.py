"""The command line as a user meets it: exit codes, one line per fault, pipes, signals, files it must not touch."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import ROOT
from typer.testing import CliRunner

from ipsecscope.cli import app

CAPTURE = ROOT / "captures" / "lab-ikev2-wrong-psk.pcap"
OTHER = ROOT / "captures" / "lab-ikev1-main-mode.pcap"
PROGRAM = (sys.executable, "-W", "error", "-m", "ipsecscope")


class Outcome(NamedTuple):
    """How a run ended."""

    returncode: int
    stdout: bytes
    stderr: bytes


def run(*arguments: str, cwd: Path = ROOT) -> Outcome:
    """The command line in this process: where neither pipes nor signals nor the environment matter."""
    with contextlib.chdir(cwd):
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    return Outcome(result.exit_code, result.stdout_bytes, result.stderr_bytes)


def spawn(
    *arguments: str | bytes | Path, stdin: bytes = b"", cwd: Path = ROOT, env: dict[str, str] | None = None
) -> Outcome:
    """A process of its own, every warning an error, the environment of the caller changed by ``env``."""
    command = [*PROGRAM, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, cwd=cwd, env=environment(env), check=False)
    return Outcome(done.returncode, done.stdout, done.stderr)


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    return inherited | {"PYTHONPATH": str(ROOT)} | (more or {})


def pcap(link_type: int = 101, packets: tuple[bytes, ...] = (b"\x45" + bytes(27),)) -> bytes:
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    records = (struct.pack("<IIII", 1_790_000_000, 0, len(data), len(data)) + data for data in packets)
    return head + b"".join(records)


# -- what cannot be used --------------------------------------------------------------------------------------------


UNUSABLE = {
    "empty": "the file is empty",
    "text": "not a capture file",
    "snoop": "a snoop capture",
    "link-type": "unknown link type 9999",
    "folder": "no capture in this folder",
    "dangling": "no such file",
    "socket": "is a socket",
    "missing": "no such file",
    "nothing-*.pcap": "no file matches",
    "/dev/zero": "is a device",
    "we\x1bird": "no such file",
}


@pytest.fixture(scope="module")
def unusable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one thing of every kind that is no capture."""
    folder = tmp_path_factory.mktemp("unusable")
    (folder / "empty").touch()
    (folder / "text").write_text("this is no capture\n")
    (folder / "snoop").write_bytes(b"snoop\x00\x00\x00" + bytes(40))
    (folder / "link-type").write_bytes(pcap(link_type=9999))
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to(folder / "nothing")
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind(str(folder / "socket"))
    return folder


@pytest.fixture(scope="module")
def complaints(unusable: Path) -> list[str]:
    """What one run says of all of them."""
    result = run("analyze", *UNUSABLE, cwd=unusable)
    assert (result.returncode, result.stdout) == (2, b"")
    return result.stderr.decode().splitlines()


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_file_is_one_line_with_name_and_reason(complaints: list[str], name: str) -> None:
    assert len(complaints) == len(UNUSABLE)
    line = complaints[list(UNUSABLE).index(name)]
    shown = name.replace("\x1b", "\\x1b")
    assert line.startswith(f"ipsecscope: {shown}: ")
    assert UNUSABLE[name] in line


@pytest.mark.parametrize(("command", "name"), [("analyze", "empty"), ("dissect", "empty"), ("dissect", "link-type")])
def test_unusable_file_alone_exits_2(unusable: Path, command: str, name: str) -> None:
    result = run(command, name, cwd=unusable)
    assert (result.returncode, result.stdout) == (2, b"")
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(pcap())
    (tmp_path / "secret").chmod(0)
    result = run("analyze", "secret", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == b"ipsecscope: secret: cannot be opened: Permission denied\n"


def test_set_with_a_bad_file_analyses_the_others_and_exits_3(unusable: Path) -> None:
    result = spawn("analyze", "empty", str(CAPTURE), "text", "-f", "json", cwd=unusable)
    files = json.loads(result.stdout)["capture"]["files"]
    assert result.returncode == 3
    assert [line.split(": ")[1] for line in result.stderr.decode().splitlines()] == ["empty", "text"]
    assert [(Path(each["name"]).name, bool(each.get("error"))) for each in files] == [
        (CAPTURE.name, False),
        ("empty", True),
        ("text", True),
    ]


def test_missing_key_file_is_one_line_and_exit_2(tmp_path: Path) -> None:
    result = run("analyze", str(CAPTURE), "--keys", "none.txt", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr == b"ipsecscope: none.txt: No such file or directory\n"


def test_usage_error_exits_2() -> None:
    for arguments in (["analyze"], ["nonsense"], ["dissect", "x", "--frame", "0"]):
        result = run(*arguments)
        assert result.returncode == 2
        assert b"Traceback" not in result.stderr


# -- damage ---------------------------------------------------------------------------------------------------------


def test_damaged_capture_gives_what_is_before_and_behind_and_says_where(tmp_path: Path) -> None:
    data = bytearray(CAPTURE.read_bytes())
    first = 24 + 16 + int.from_bytes(data[32:36], "little")
    data[first : first + 64] = b"\xff" * 64  # the header of the second record and more
    (tmp_path / "hurt.pcap").write_bytes(data)
    result = run("analyze", "hurt.pcap", "-f", "json", cwd=tmp_path)
    (file,) = json.loads(result.stdout)["capture"]["files"]
    assert result.returncode == 0
    assert result.stderr == b""
    assert file["damaged"]
    assert file["frames"] == 3
    assert first in [note["offset"] for note in file["notes"]]
    assert b"capture.damaged" in run("analyze", "hurt.pcap", cwd=tmp_path).stdout


def test_truncated_capture_gives_what_is_there_and_says_so(tmp_path: Path) -> None:
    (tmp_path / "cut.pcap").write_bytes(CAPTURE.read_bytes()[:-7])
    result = run("analyze", "cut.pcap", "-f", "json", cwd=tmp_path)
    (file,) = json.loads(result.stdout)["capture"]["files"]
    assert result.returncode == 0
    assert file["truncated"]
    assert [note["kind"] for note in file["notes"]] == ["capture.truncated"]


def test_fault_of_our_own_is_one_line_and_exit_70(tmp_path: Path) -> None:
    """A second interpreter in which the report cannot be made stands for the bug that we do not know."""
    script = (
        "import sys, ipsecscope.reports.assemble as module\n"
        "def broken(*_): raise KeyError('secret octets')\n"
        "module.assemble = broken\n"
        f"sys.argv = ['ipsecscope', 'analyze', {str(CAPTURE)!r}]\n"
        "from ipsecscope.__main__ import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=tmp_path, check=False)
    (line,) = result.stderr.decode().splitlines()
    assert result.returncode == 70
    assert line.startswith("ipsecscope: internal fault: KeyError")
    assert "secret" not in line


# -- pipes and signals ----------------------------------------------------------------------------------------------


def test_standard_input_gives_the_same_report() -> None:
    piped = spawn("analyze", "-", stdin=CAPTURE.read_bytes())
    named = spawn("analyze", str(CAPTURE))
    assert piped.returncode == 0
    assert piped.stdout.splitlines()[1:] == named.stdout.splitlines()[1:]


def test_fifo_is_read(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=lambda: fifo.write_bytes(CAPTURE.read_bytes()))
    writer.start()
    result = spawn("analyze", "fifo", cwd=tmp_path)
    writer.join()
    assert result.returncode == 0
    assert b"4 IKEv2 messages" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("analyze",), ("analyze", "-f", "json"), ("analyze", "-f", "jsonl"), ("dissect", "--hex")],
    ids=["text", "json", "jsonl", "dissect"],
)
def test_closed_pipe_is_no_fault(arguments: tuple[str, ...]) -> None:
    with subprocess.Popen(
        [*PROGRAM, *arguments, str(CAPTURE)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_missing_standard_output_is_one_line() -> None:
    command = f'exec "$0" -m ipsecscope analyze {CAPTURE} >&-'
    result = subprocess.run(["/bin/sh", "-c", command, sys.executable], capture_output=True, cwd=ROOT, check=False)
    assert result.returncode == 2
    assert result.stderr == b"ipsecscope: standard output is closed\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize(
    "arguments",
    [("analyze",), ("analyze", "-f", "json"), ("analyze", "-f", "jsonl"), ("dissect",)],
    ids=["text", "json", "jsonl", "dissect"],
)
def test_full_disk_is_one_line_and_a_failure(arguments: tuple[str, ...]) -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*PROGRAM, *arguments, CAPTURE], stdout=full, stderr=subprocess.PIPE, env=environment(), check=False
        )
    assert result.returncode == 2
    assert result.stderr == b"ipsecscope: standard output: No space left on device\n"


def signalled(tmp_path: Path, number: signal.Signals) -> tuple[int, bytes, bytes]:
    """Exit code and output of a run that gets a signal while it waits for more of a capture."""
    with subprocess.Popen(
        [*PROGRAM, "analyze", "-", "-f", "json", "-o", "report.json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        process.stdin.write(CAPTURE.read_bytes())
        process.stdin.flush()
        _wait_until_it_reads(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def test_termination_ends_the_run_without_a_traceback_and_without_a_report(tmp_path: Path) -> None:
    assert signalled(tmp_path, signal.SIGTERM) == (143, b"", b"")
    assert list(tmp_path.iterdir()) == []


def test_interrupt_leaves_a_report_of_what_was_read(tmp_path: Path) -> None:
    code, out, err = signalled(tmp_path, signal.SIGINT)
    assert (code, out) == (130, b"")
    assert err.decode().splitlines() == [
        "ipsecscope: interrupted: the report covers what was read so far; once more to stop at once"
    ]
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["capture"]["files"][0]["notes"][0]["kind"] == "capture.interrupted"
    assert report["ike_sas"]


def _wait_until_it_reads(pid: int) -> None:
    """Until the process sleeps in a read of its standard input, which is a pipe that stays open."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if "pipe" in Path(f"/proc/{pid}/wchan").read_text():
            return
        time.sleep(0.05)
    time.sleep(1)


# -- output files ---------------------------------------------------------------------------------------------------


def test_output_is_not_overwritten_without_force(tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    assert run("analyze", str(CAPTURE), "-f", "json", "-o", str(out)).returncode == 0
    first = out.read_bytes()
    refused = run("analyze", str(OTHER), "-f", "json", "-o", str(out))
    assert refused.returncode == 2
    assert refused.stderr.decode() == f"ipsecscope: {out}: exists; --force overwrites it\n"
    assert out.read_bytes() == first
    assert run("analyze", str(OTHER), "-f", "json", "-o", str(out), "--force").returncode == 0
    assert out.read_bytes() != first
    assert [each.name for each in tmp_path.iterdir()] == ["report.json"]


@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        (["in.pcap"], "hard.pcap"),
        (["."], "in.pcap"),
        (["in.pcap", "--keys", "keys.txt"], "keys.txt"),
    ],
    ids=["hard-link", "folder", "keys"],
)
def test_output_never_replaces_an_input(tmp_path: Path, inputs: list[str], output: str) -> None:
    (tmp_path / "in.pcap").write_bytes(CAPTURE.read_bytes())
    (tmp_path / "hard.pcap").hardlink_to(tmp_path / "in.pcap")
    (tmp_path / "keys.txt").write_text("# nothing\n")
    before = (tmp_path / output).read_bytes()
    result = run("analyze", *inputs, "-o", output, "--force", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.decode().splitlines()[-1] == f"ipsecscope: {output}: is one of the inputs"
    assert (tmp_path / output).read_bytes() == before


def test_output_is_not_written_through_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("mine")
    (tmp_path / "link").symlink_to("target")
    result = run("analyze", str(CAPTURE), "-o", "link", "--force", cwd=tmp_path)
    assert result.returncode == 2
    assert b"symbolic link" in result.stderr
    assert (tmp_path / "target").read_text() == "mine"


@pytest.mark.parametrize(
    ("output", "reason"),
    [("missing/report", "No such file or directory"), ("folder", "is not a regular file"), ("/dev/full", "regular")],
    ids=["no-folder", "folder", "device"],
)
def test_output_that_cannot_be_is_one_line(tmp_path: Path, output: str, reason: str) -> None:
    (tmp_path / "folder").mkdir()
    result = run("analyze", str(CAPTURE), "-o", output, "--force", cwd=tmp_path)
    (line,) = result.stderr.decode().splitlines()
    assert result.returncode == 2
    assert line.startswith(f"ipsecscope: {output}: ")
    assert reason in line
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]


# -- the same bytes -------------------------------------------------------------------------------------------------

SURROUNDINGS = {
    "locale-c": {"LC_ALL": "C", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "7"},
    "locale-latin": {"LC_ALL": "en_US.ISO-8859-1", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "terminal": {"PYTHONIOENCODING": "ascii", "COLUMNS": "61", "LINES": "7", "TERM": "dumb", "NO_COLOR": "1"},
}

SEVERAL_RUNS = """
import sys
from ipsecscope.__main__ import main
for line in sys.argv[1:]:
    sys.argv = ["ipsecscope", *line.split()]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, stop.code
"""


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("same")
    for path in (CAPTURE, OTHER):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder, _all_reports(folder, {"PYTHONHASHSEED": "1", "TZ": "UTC"})


def _all_reports(folder: Path, env: dict[str, str]) -> bytes:
    lines = ["analyze . -f json", "analyze . -f jsonl", "analyze .", f"dissect {CAPTURE.name}"]
    command = [sys.executable, "-c", SEVERAL_RUNS, *lines]
    result = subprocess.run(command, capture_output=True, cwd=folder, env=environment(env), check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    return result.stdout


@pytest.mark.parametrize("env", SURROUNDINGS.values(), ids=SURROUNDINGS.keys())
def test_same_input_gives_the_same_bytes(reports: tuple[Path, bytes], env: dict[str, str]) -> None:
    folder, expected = reports
    assert _all_reports(folder, env) == expected


def test_working_folder_does_not_matter(tmp_path: Path) -> None:
    assert run("analyze", str(CAPTURE), cwd=tmp_path).stdout == run("analyze", str(CAPTURE), cwd=ROOT).stdout


def test_width_is_respected() -> None:
    result = run("analyze", str(CAPTURE), "--width", "60")
    assert max(map(len, result.stdout.decode().splitlines())) <= 60


# -- names and terminals --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (b"caf\xe9.pcap", "caf\\xe9.pcap"),
        (b"x\x1b[2J\n\x07.pcap", "x\\x1b[2J\\x0a\\x07.pcap"),
        ("a\u202egpj\x9b.pcap".encode(), "a\\u202egpj\\x9b.pcap"),
    ],
    ids=["latin-1", "escape", "bidi"],
)
def test_odd_file_name_is_read_and_said_harmlessly(tmp_path: Path, name: bytes, said: str) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(CAPTURE.read_bytes())
    text = spawn("analyze", name, cwd=tmp_path)
    assert text.returncode == 0
    assert text.stdout.decode().startswith(f"{said}: pcap")
    assert spawn("analyze", name, "-f", "json", "-o", b"out-" + name, cwd=tmp_path).returncode == 0
    document = Path(os.fsdecode(os.fsencode(tmp_path) + b"/out-" + name)).read_text()
    assert json.loads(document)["capture"]["files"][0]["name"] == name.decode("utf-8", "backslashreplace")
    assert not set("\x1b\x9b\u202e") & set(document)


def on_terminal(*arguments: str, env: dict[str, str] | None = None) -> bytes:
    """What a terminal of 100 columns receives, on both streams."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env=environment({"COLUMNS": "100", "TERM": "xterm"} | (env or {})),
        cwd=ROOT,
    ) as process:
        os.close(follower)
        received = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            received += piece
        os.close(leader)
        assert process.wait(60) == 0
    return received


def test_terminal_gets_colour_unless_no_color_is_set() -> None:
    assert b"\x1b[1;31m" in on_terminal("analyze", str(CAPTURE))
    plain = on_terminal("analyze", str(CAPTURE), env={"NO_COLOR": "1"})
    assert b"\x1b[1;31m" not in plain
    assert b"\x1b" not in spawn("analyze", str(CAPTURE)).stdout


def test_progress_is_shown_on_a_terminal_and_wiped(tmp_path: Path) -> None:
    received = on_terminal("analyze", str(_long(tmp_path)))
    assert b" frames, file 1" in received
    assert b"\r\x1b[K" in received


def _long(folder: Path) -> Path:
    """More frames than one step of the progress line."""
    path = folder / "long.pcap"
    path.write_bytes(pcap(packets=(b"\x45" + bytes(19),) * 200_500))
    return path


# -- the outside world ----------------------------------------------------------------------------------------------


def test_development_mode_has_nothing_to_complain_of(tmp_path: Path) -> None:
    """Unclosed files, encodings left to chance, deprecated calls: all of them are errors here."""
    command = [sys.executable, "-X", "dev", "-X", "warn_default_encoding", "-W", "error", "-c", SEVERAL_RUNS]
    lines = [f"analyze {ROOT / 'captures'} -o report.txt", f"analyze {CAPTURE} -f jsonl", f"dissect {CAPTURE}"]
    result = subprocess.run([*command, *lines], capture_output=True, cwd=tmp_path, env=environment(), check=False)
    assert (result.returncode, result.stderr) == (0, b"")


def test_no_network_is_touched(tmp_path: Path) -> None:
    """Any use of a socket ends the interpreter that runs the program here."""
    script = (
        "import sys\n"
        "def watch(event, _):\n"
        "    if event.startswith('socket.') or event in {'subprocess.Popen', 'os.system', 'os.exec', 'os.fork'}:\n"
        "        raise SystemExit(f'used {event}')\n"
        "sys.addaudithook(watch)\n"
        f"sys.argv = ['ipsecscope', 'analyze', {str(ROOT / 'captures')!r}, '-f', 'json']\n"
        "from ipsecscope.__main__ import main\n"
        "main()\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=tmp_path, check=False)
    assert result.stderr == b""
    assert result.returncode == 0
    assert json.loads(result.stdout)["schema"] == "ipsecscope.report/1"


# -- which findings ---------------------------------------------------------------------------------------------------


def found(*arguments: str) -> list[tuple[str, str]]:
    report = json.loads(run("analyze", str(CAPTURE), "-f", "json", *arguments).stdout)
    return [(each["code"], each["severity"]) for each in report["findings"]]


def test_select_and_ignore_take_codes_groups_and_slugs_in_any_case() -> None:
    assert {code for code, _ in found("--select", "auth")} == {"AUTH-002"}
    assert {code for code, _ in found("--select", "V2-AUTH-FAILED", "--select", "SEC-008")} == {"AUTH-002"}
    assert found("--select", "V2-AUTH-FAILED, SEC-008") == found("--select", "V2-AUTH-FAILED", "--select", "SEC-008")
    assert "AUTH-002" not in {code for code, _ in found("--ignore", "auth-002")}
    assert found("--select", "AUTH", "--ignore", "AUTH-002") == []


@pytest.mark.parametrize(
    ("option", "name", "near"),
    [
        ("--select", "AUTH-02", "AUTH-002"),
        ("--ignore", "v2-auth-faild", "v2-auth-failed"),
        ("--ignore", "AUHT", "AUTH"),
        ("--profile", "cnsa", "cnsa2"),
        ("--profile", "x", "rfc, nist-sp800-77r1, cnsa2, bsi-tr-02102-3, seed"),
    ],
)
def test_unknown_finding_or_profile_is_one_line_with_the_nearest_names(option: str, name: str, near: str) -> None:
    outcome = run("analyze", str(CAPTURE), option, name)
    assert outcome.returncode == 2
    assert outcome.stdout == b""
    (line,) = outcome.stderr.decode().splitlines()
    assert line.startswith(f"ipsecscope: {option} {name}: no such name")
    assert near in line


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--fail-on", "critical"), 1),
        (("--fail-on", "info", "--ignore", "AUTH", "--select", "AUTH"), 0),
        (("--fail-on", "high", "--ignore", "AUTH"), 0),
        (("--fail-on", "high", "--ignore", "AUTH", "--profile", "cnsa2"), 1),
        (("--fail-on", "medium", "--ignore", "AUTH", "--profile", "bsi-tr-02102-3"), 1),
        (("--fail-on", "medium", "--select", "SEC-012", "--profile", "rfc"), 0),
        (("--select", "AUTH"), 0),
    ],
)
def test_fail_on_counts_what_was_selected_and_each_profile(arguments: tuple[str, ...], code: int) -> None:
    assert run("analyze", str(CAPTURE), "-f", "json", *arguments).returncode == code


def test_profiles_are_listed_with_their_clauses() -> None:
    outcome = run("explain", "--profiles")
    assert outcome.returncode == 0
    for name in (b"rfc", b"nist-sp800-77r1", b"cnsa2", b"bsi-tr-02102-3", b"seed"):
        assert b"\n" + name + b"  " in b"\n" + outcome.stdout


def test_explain_of_an_unknown_term_is_one_line_with_suggestions() -> None:
    outcome = run("explain", "AUTH-02")
    assert (outcome.returncode, outcome.stdout) == (2, b"")
    (line,) = outcome.stderr.decode().splitlines()
    assert "AUTH-002" in line
