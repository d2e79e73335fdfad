"""``reload``: make an agent read its configuration again."""

from __future__ import annotations

import click

from portway.cli.client import Client
from portway.cli.command import command, failing, no_arguments


@command("reload")
def reload(client: Client, args: tuple[str, ...]) -> None:
    """Make the agent read its configuration again, as SIGHUP does."""
    no_arguments(args)
    with failing("Error reloading"):
        client.put("agent/reload")
    click.echo("Configuration reload triggered")
