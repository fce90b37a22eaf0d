"""What starting up costs: heavy modules are not imported by --version and --help."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("scapy", "rich", "numpy", "cryptography", "msgspec", "dpkt", "jinja2")


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_startup_imports_nothing_heavy(option: str) -> None:
    script = f"""
import sys
sys.argv = ["ipsecscope", {option!r}]
from ipsecscope.__main__ import main
try:
    main()
except SystemExit as stop:
    assert not stop.code, stop.code
print(sorted(name for name in {HEAVY!r} if name in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


def test_version_is_said() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "ipsecscope", "--version"], capture_output=True, text=True, check=True
    )
    assert result.stdout.startswith("ipsecscope ")


def test_help_lists_the_commands_and_exit_codes() -> None:
    result = subprocess.run([sys.executable, "-m", "ipsecscope", "--help"], capture_output=True, text=True, check=True)
    for word in ("analyze", "dissect", "Exit codes"):
        assert word in result.stdout
