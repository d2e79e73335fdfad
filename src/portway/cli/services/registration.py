"""``services register`` and ``services deregister``."""

from __future__ import annotations

from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import INT, PAIR, Wrong, command, failing, flag
from portway.cli.services.addresses import check_file, check_flags
from portway.cli.services.files import definitions


@command("register", "[FILE...]", server=True)
@flag("address", str, "Address of the service, if it is not the agent's.")
@flag("id", str, "ID of the service; without it the name is the ID.")
@flag("kind", str, "Kind of the service, such as connect-proxy; none for an ordinary one.")
@flag("meta", PAIR, "Metadata; may be repeated.", multiple=True)
@flag("name", str, "Name of the service.")
@flag("port", INT, "Port of the service.")
@flag("socket", str, "Path of the Unix socket of the service, instead of address and port.")
@flag("tag", str, "Tag of the service; may be repeated.", multiple=True)
@flag(
    "tagged-address",
    PAIR,
    "Address for clients of some kind, as lan=10.0.0.1:80; may be repeated.",
    multiple=True,
)
def register(
    client: Client,
    args: tuple[str, ...],
    address: str,
    id: str,  # noqa: A002
    kind: str,
    meta: tuple[tuple[str, str], ...],
    name: str,
    port: int,
    socket: str,
    tag: tuple[str, ...],
    tagged_address: tuple[tuple[str, str], ...],
) -> None:
    """Register services with the agent, from files in HCL or JSON, or from options.

    A service that is registered already is changed. It is kept until it is deregistered.
    """
    fields: dict[str, Any] = {
        "Kind": kind,
        "ID": id,
        "Name": name,
        "Address": address,
        "Port": port,
        "SocketPath": socket,
        "Tags": list(tag),
        "Meta": dict(meta),
        "TaggedAddresses": {label: _tagged(text) for label, text in tagged_address},
    }
    given = {field: value for field, value in fields.items() if value}
    if args and given:
        raise Wrong("Service registration requires arguments or -id, not both.")
    if not args and not name:
        raise Wrong("Service registration requires at least one argument or flags.")
    if not args:
        check_flags(given)
    chosen = definitions(args) if args else [given]
    if args:
        for definition in chosen:
            check_file(definition)
    for definition in chosen:
        shown = definition.get("Name") or definition.get("name") or ""
        with failing(f'Error registering service "{shown}"'):
            client.put("agent/service/register", (), definition)
        click.echo(f"Registered service: {shown}")


def _tagged(text: str) -> dict[str, Any]:
    """``host:port``, with ``[…]`` around an address of IPv6. Raises Wrong."""
    host, colon, port = text.rpartition(":")
    reason = ""
    if not colon or text.endswith("]"):
        reason = f"address {text}: missing port in address"
    elif ":" in host and not host.startswith("["):
        reason = f"address {text}: too many colons in address"
    elif not port.isdecimal() or int(port) > 65535:
        reason = f'strconv.Atoi: parsing "{port}": invalid syntax'
    if reason:
        raise Wrong(f"Invalid Tagged address: {reason}")
    return {"Address": host.strip("[]"), "Port": int(port)}


@command("deregister", "[FILE...]", server=True)
@flag("id", str, "ID of the service.")
def deregister(client: Client, args: tuple[str, ...], id: str) -> None:  # noqa: A002
    """Remove services from the agent: those of files in HCL or JSON, or the one with -id."""
    if not args and not id:
        raise Wrong("Service deregistration requires at least one argument or -id.")
    if args and id:
        raise Wrong("Service deregistration requires arguments or -id, not both.")
    ids = [one.get("id") or one.get("name") for one in definitions(args)] if args else [id]
    for service in filter(None, ids):
        with failing(f'Error deregistering service "{service}"'):
            client.put(f"agent/service/deregister/{service}")
        click.echo(f"Deregistered service: {service}")
