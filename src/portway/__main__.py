"""The program: ``portway``, ``python -m portway``, and ``traefik`` in our container image."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from portway.cli import main as run

    sys.exit(run())


if __name__ == "__main__":
    main()
