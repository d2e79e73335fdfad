"""``python -m bench NAME``: run one benchmark, or all of them."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence

NAMES = ("edge", "changes", "discovery", "store", "checks", "dns", "blocking")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("name", nargs="?", choices=NAMES, help="which benchmark; default: all")
    chosen, rest = parser.parse_known_args(arguments)
    for name in [chosen.name] if chosen.name else NAMES:
        importlib.import_module(f"bench.{name}").main(rest)


if __name__ == "__main__":
    main()
