"""Entry point: answers ``--version`` at once, hands everything else to the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line."""
    if sys.argv[1:] == ["--version"] and sys.stdout is not None:
        from ipsecscope import __version__

        sys.stdout.write(f"ipsecscope {__version__}\n")
        return
    try:
        from ipsecscope.cli import run

        run()
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
