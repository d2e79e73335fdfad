"""``maint``: maintenance mode of a node or a service."""

from __future__ import annotations

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag, no_arguments

_NODE = "_node_maintenance"
_SERVICE = "_service_maintenance:"


@command("maint")
@flag("disable", bool, "Take the node, or the -service, out of maintenance.")
@flag("enable", bool, "Put the node, or the -service, into maintenance.")
@flag("reason", str, "Text that says why, for -enable.")
@flag("service", str, "ID of a service of the agent.")
def maint(
    client: Client,
    args: tuple[str, ...],
    disable: bool,
    enable: bool,
    reason: str,
    service: str,
) -> None:
    """List what is in maintenance on the agent that is asked, or change it.

    What is in maintenance is critical: DNS and health queries leave it out.
    """
    no_arguments(args)
    if enable and disable:
        raise Wrong("Only one of -enable or -disable may be provided")
    if reason and not enable:
        raise Wrong("Reason may only be provided with -enable")
    if service and not (enable or disable):
        raise Wrong("Service requires either -enable or -disable")
    if not (enable or disable):
        _list(client)
        return
    verb = "enabl" if enable else "disabl"
    params = {"enable": "true", "reason": reason} if enable else {"enable": "false"}
    if service:
        with failing(f"Error {verb}ing service maintenance"):
            client.put(f"agent/service/maintenance/{service}", params)
        click.echo(f'Service maintenance is now {verb}ed for "{service}"')
    else:
        with failing(f"Error {verb}ing node maintenance"):
            client.put("agent/maintenance", params)
        click.echo(f"Node maintenance is now {verb}ed")


def _list(client: Client) -> None:
    with failing("Error querying Consul agent"):
        node = client.get("agent/self").json()["Config"]["NodeName"]
    with failing("Error getting checks"):
        checks = client.get("agent/checks").json()
    for check in sorted(checks.values(), key=lambda check: str(check["CheckID"])):
        if check["CheckID"] == _NODE:
            click.echo(f"Node:\n  Name:   {node}\n  Reason: {check['Notes']}\n")
        elif check["CheckID"].startswith(_SERVICE):
            click.echo(f"Service:\n  ID:     {check['ServiceID']}\n  Reason: {check['Notes']}\n")
