"""CPU time of ``--version`` and ``--help`` against ``python -c pass``, as ratios of medians.

Run with the interpreter that has ipsecscope installed: ``python benchmarks/startup.py [RUNS]``.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys

GOALS = {"--version": 4.0, "--help": 8.0}


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of one run of the interpreter."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> int:
    """Print the table; the exit code is 1 when a ratio misses its goal."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    cases = {"pass": ["-c", "pass"], **{name: ["-m", "ipsecscope", name] for name in GOALS}}
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(runs):  # in turn, so that a busy moment hits all of them
        for name, arguments in cases.items():
            times[name].append(cpu_seconds(arguments))
    base = statistics.median(times["pass"])
    print(f"{'case':<12}{'median ms':>10}{'ratio':>8}{'goal':>8}")
    missed = False
    for name, values in times.items():
        median = statistics.median(values)
        goal = GOALS.get(name)
        missed |= goal is not None and median / base > goal
        print(f"{name:<12}{median * 1000:>10.1f}{median / base:>8.1f}{goal or 1:>8.1f}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
