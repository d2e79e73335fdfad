"""``join``, ``leave`` and ``force-leave``."""

from __future__ import annotations

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, command, fail, failing, flag


@command("join", "ADDRESS...", server=True)
@flag("wan", bool, "Join servers of other datacenters.")
def join(client: Client, args: tuple[str, ...], wan: bool) -> None:
    """Make the agent join the cluster that has a member at one of the addresses."""
    if not args:
        raise Wrong("At least one address to join must be specified.")
    joined = 0
    for address in args:
        try:
            client.put(f"agent/join/{address}", {"wan": "1"} if wan else ())
            joined += 1
        except ApiError as error:
            click.echo(f"Error joining address '{address}': {error}", err=True)
    if not joined:
        fail("Failed to join any nodes.")
    click.echo(f"Successfully joined cluster by contacting {joined} nodes.")


@command("leave")
def leave(client: Client, args: tuple[str, ...]) -> None:
    """Make the agent leave its cluster gracefully and stop."""
    if args:
        click.echo(click.get_current_context().get_help())
        raise Wrong(f"Error found unexpected args: [{' '.join(args)}]")
    with failing("Error leaving"):
        client.put("agent/leave")
    click.echo("Graceful leave complete")


@command("force-leave", "NODE", server=True)
@flag("prune", bool, "Remove the member altogether, not only mark it as left.")
@flag("wan", bool, "The member is a server of another datacenter.")
def force_leave(client: Client, args: tuple[str, ...], prune: bool, wan: bool) -> None:
    """Make a member that failed one that left, so that it is no longer expected back.

    A member that is alive joins again.
    """
    if len(args) != 1:
        raise Wrong("A single node name must be specified to force leave.")
    with failing("Error force leaving"):
        client.put(f"agent/force-leave/{args[0]}", {"prune": prune, "wan": "1" if wan else None})
