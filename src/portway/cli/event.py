"""``event``: fire an event."""

from __future__ import annotations

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, failing, flag
from portway.cli.regexps import check_filters


@command("event", "[PAYLOAD]", server=True)
@flag("name", str, "Name of the event.")
@flag("node", str, "Only nodes whose name matches this `regexp` get it.")
@flag("service", str, "Only nodes with a service whose name matches this `regexp` get it.")
@flag("tag", str, "With -service: the service must have a tag that matches this `regexp`.")
def event(
    client: Client, args: tuple[str, ...], name: str, node: str, service: str, tag: str
) -> None:
    """Fire an event on the nodes of a datacenter, with a short payload or none.

    Events are not delivered reliably, nor in order.
    """
    if not name:
        raise Wrong("Event name must be specified")
    check_filters(node, service, tag)
    if len(args) > 1:
        raise Wrong("Too many command line arguments.")
    params = {"node": node or None, "service": service or None, "tag": tag or None}
    payload = args[0].encode(errors="surrogateescape") if args else None
    with failing("Error firing event"):
        fired = client.put(f"event/fire/{name}", params, payload).json()
    click.echo(f"Event ID: {fired['ID']}")
