"""``portway edge``: run the edge router."""

from __future__ import annotations

import os

import click

from portway.cli import RawCommand, fail


@click.command("edge", cls=RawCommand)
def edge(argv: tuple[str, ...]) -> int:
    """Run the edge router. It is what portway does without a command."""
    from portway.edge.static import load

    # Told before anything heavy is imported or started.
    loaded = load(argv, os.environ)
    if loaded.problems:
        return fail([str(problem) for problem in loaded.problems])
    from portway.edge.run import main

    return main(list(argv))
