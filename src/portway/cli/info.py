"""``info``: the inner figures of an agent."""

from __future__ import annotations

import click

from portway.cli.client import Client
from portway.cli.command import command, failing, no_arguments


@command("info")
def info(client: Client, args: tuple[str, ...]) -> None:
    """Show the inner figures of an agent, by part."""
    no_arguments(args)
    with failing("Error querying agent"):
        stats = client.get("agent/self").json().get("Stats") or {}
    for part in sorted(stats):
        click.echo(f"{part}:")
        for name, value in sorted(stats[part].items()):
            click.echo(f"\t{name} = {value}")
