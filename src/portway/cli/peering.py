"""``peering``: other clusters whose services are shared."""

from __future__ import annotations

from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import PAIR, Wrong, command, failing, flag, group, no_arguments
from portway.cli.output import print_json, table

_FORMAT_HELP = "Output `format`: pretty or json."
_NAME_HELP = "Name of the peer."


def _checked(format_: str) -> None:
    if format_ not in ("pretty", "json"):
        raise Wrong(f"Invalid format, valid formats are {{pretty|json}}: {format_}")


def _named(name: str) -> None:
    if not name:
        raise Wrong("Missing the required -name flag")


@command("generate-token", server=True)
@flag("format", str, _FORMAT_HELP, default="pretty")
@flag("meta", PAIR, "Metadata of the peering; may be given several times.", multiple=True)
@flag("name", str, _NAME_HELP)
@flag("server-external-addresses", str, "Addresses of this cluster's servers, with commas.")
def generate_token(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    meta: tuple[tuple[str, str], ...],
    name: str,
    server_external_addresses: str,
) -> None:
    """Make a token with which another cluster establishes a peering with this one."""
    no_arguments(args)
    _checked(format)
    _named(name)
    addresses = [one.strip() for one in server_external_addresses.split(",") if one.strip()]
    body: dict[str, Any] = {"PeerName": name, "Meta": dict(meta)}
    body |= {"ServerExternalAddresses": addresses} if addresses else {}
    with failing(f"Error generating peering token for {name}"):
        answer = client.post("peering/token", (), body).json()
    if format == "json":
        print_json(answer)
    else:
        click.echo(answer["PeeringToken"])


@command("establish", server=True)
@flag("meta", PAIR, "Metadata of the peering; may be given several times.", multiple=True)
@flag("name", str, _NAME_HELP)
@flag("peering-token", str, "Token that the other cluster made.")
def establish(
    client: Client,
    args: tuple[str, ...],
    meta: tuple[tuple[str, str], ...],
    name: str,
    peering_token: str,
) -> None:
    """Establish a peering with the cluster that made a token."""
    no_arguments(args)
    _named(name)
    if not peering_token:
        raise Wrong("Missing the required -peering-token flag")
    body = {"PeerName": name, "PeeringToken": peering_token, "Meta": dict(meta)}
    with failing(f"Error establishing peering for {name}"):
        client.post("peering/establish", (), body)
    click.echo(f"Successfully established peering connection with {name}")


@command("list", server=True)
@flag("format", str, _FORMAT_HELP, default="pretty")
def list_(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
) -> None:
    """List the peerings."""
    no_arguments(args)
    _checked(format)
    with failing("Error listing peerings"):
        peerings = client.get("peerings").json() or []
    peerings.sort(key=lambda peering: peering["Name"])
    if format == "json":
        print_json(peerings)
        return
    if not peerings:
        click.echo("There are no peering connections.")
        return
    rows = [["Name", "State", "Imported Svcs", "Exported Svcs", "Meta"]]
    for peering in peerings:
        imported, exported = _counts(peering)
        pairs = sorted((peering.get("Meta") or {}).items())
        meta = ",".join(f"{key}={value}" for key, value in pairs)
        rows.append([peering["Name"], peering["State"], str(imported), str(exported), meta])
    click.echo(table(rows))


def _counts(peering: dict[str, Any]) -> tuple[int, int]:
    status = peering.get("StreamStatus") or {}
    return len(status.get("ImportedServices") or []), len(status.get("ExportedServices") or [])


@command("read", server=True)
@flag("format", str, _FORMAT_HELP, default="pretty")
@flag("name", str, _NAME_HELP)
def read(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    name: str,
) -> None:
    """Show a peering."""
    no_arguments(args)
    _checked(format)
    peering = _found(client, name)
    if format == "json":
        print_json(peering)
        return
    imported, exported = _counts(peering)
    rows = [["Name:", peering["Name"]], ["ID:", peering.get("ID", "")]]
    rows += [["State:", peering["State"]]]
    for key, value in sorted((peering.get("Meta") or {}).items()):
        rows.append([f"Meta[{key}]:", value])
    rows += [
        ["Peer ID:", peering.get("PeerID", "")],
        ["Peer Server Name:", peering.get("PeerServerName", "")],
        ["Imported Services:", str(imported)],
        ["Exported Services:", str(exported)],
        ["Create Index:", str(peering.get("CreateIndex", 0))],
        ["Modify Index:", str(peering.get("ModifyIndex", 0))],
    ]
    click.echo(table(rows))


def _found(client: Client, name: str) -> dict[str, Any]:
    _named(name)
    with failing("Error reading peering"):
        answer = client.get(f"peering/{name}", missing=[404])
    if answer.status != 200:
        raise Wrong(f"No peering with name {name} found.")
    peering: dict[str, Any] = answer.json()
    return peering


@command("delete", server=True)
@flag("name", str, _NAME_HELP)
def delete(client: Client, args: tuple[str, ...], name: str) -> None:
    """End a peering, and forget what was shared through it."""
    no_arguments(args)
    _named(name)
    with failing(f"Error deleting peering for {name}"):
        client.delete(f"peering/{name}")
    click.echo(f"Successfully submitted peering connection, {name}, for deletion")


@command("exported-services", server=True)
@flag("format", str, _FORMAT_HELP, default="pretty")
@flag("name", str, _NAME_HELP)
def exported_services(
    client: Client,
    args: tuple[str, ...],
    format: str,  # noqa: A002
    name: str,
) -> None:
    """List the services that a peer may see."""
    no_arguments(args)
    _checked(format)
    peering = _found(client, name)
    services = (peering.get("StreamStatus") or {}).get("ExportedServices") or []
    if format == "json":
        print_json(services)
        return
    if not services:
        click.echo("There are no services exported to this peer.")  # and that is no failure
        return
    for service in sorted(services):
        click.echo(service)


peering = group(
    "peering",
    "Manage peerings: other clusters whose services are shared.",
    {
        "delete": ("portway.cli.peering:delete", "End a peering."),
        "establish": ("portway.cli.peering:establish", "Establish a peering with a token."),
        "exported-services": ("portway.cli.peering:exported_services", "List what a peer sees."),
        "generate-token": ("portway.cli.peering:generate_token", "Make a token for a peer."),
        "list": ("portway.cli.peering:list_", "List the peerings."),
        "read": ("portway.cli.peering:read", "Show a peering."),
    },
)
