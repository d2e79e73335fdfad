"""``catalog``: what datacenters, nodes and services there are."""

from __future__ import annotations

from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import PAIR, command, failing, flag, group, no_arguments
from portway.cli.output import table

_GAP = 6  # columns between a service and its tags
_NONE = "No {} match the given query - try expanding your search."


@command("datacenters", server=True)
def datacenters(client: Client, args: tuple[str, ...]) -> None:
    """List all datacenters that are known, one a line."""
    no_arguments(args)
    with failing("Error listing datacenters"):
        for name in client.get("catalog/datacenters").json():
            click.echo(name)


@command("nodes", server=True)
@flag("detailed", bool, "Show whole IDs, all addresses, and the metadata.")
@flag("filter", str, "Expression that nodes must fulfil.")
@flag("near", str, "Node to sort by the distance to; _agent is the one that is asked.")
@flag("node-meta", PAIR, "Metadata that nodes must have; may be repeated.", multiple=True)
@flag("service", str, "Only nodes that have this service.")
def nodes(
    client: Client,
    args: tuple[str, ...],
    detailed: bool,
    filter: str,  # noqa: A002
    near: str,
    node_meta: tuple[tuple[str, str], ...],
    service: str,
) -> None:
    """List the nodes of the catalog."""
    no_arguments(args)
    params = {
        "near": near or None,
        "filter": filter or None,
        "node-meta": [":".join(pair) for pair in node_meta],
    }
    path = f"catalog/service/{service}" if service else "catalog/nodes"
    with failing("Error listing nodes"):
        found = client.get(path, params).json()
    if service:
        found = list({entry["Node"]: _node(entry) for entry in found}.values())
    if not found:
        click.echo(_NONE.format("nodes"), err=True)
        return
    click.echo(table(_detailed(found) if detailed else _plain(found)))


def _node(entry: dict[str, Any]) -> dict[str, Any]:
    """The node of an instance of a service."""
    return {**entry, "Meta": entry.get("NodeMeta")}


def _plain(nodes: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "ID", "Address", "DC"]]
    for node in nodes:
        short = node.get("ID", "").partition("-")[0]
        rows.append([node["Node"], short, node["Address"], node.get("Datacenter", "")])
    return rows


def _detailed(nodes: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "ID", "Address", "DC", "TaggedAddresses", "Meta"]]
    for node in nodes:
        who = [node["Node"], node.get("ID", ""), node["Address"], node.get("Datacenter", "")]
        rows.append([*who, _pairs(node.get("TaggedAddresses")), _pairs(node.get("Meta"))])
    return rows


def _pairs(values: dict[str, str] | None) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted((values or {}).items()))


@command("services", server=True)
@flag("node", str, "Only services of this node, by its name or ID.")
@flag("node-meta", PAIR, "Metadata that nodes must have; may be repeated.", multiple=True)
@flag("tags", bool, "Show the tags of each service.")
def services(
    client: Client,
    args: tuple[str, ...],
    node: str,
    node_meta: tuple[tuple[str, str], ...],
    tags: bool,
) -> None:
    """List the services of the catalog, by name."""
    no_arguments(args)
    params = {"node-meta": [":".join(pair) for pair in node_meta]}
    found: dict[str, set[str]] = {}
    if node:
        with failing(f"Error listing services for node {node}"):
            answer = client.get(f"catalog/node/{node}", params).json()
        instances = (answer or {}).get("Services") or {}
        for instance in instances.values():
            found.setdefault(instance["Service"], set()).update(instance.get("Tags") or ())
    else:
        with failing("Error listing services"):
            answer = client.get("catalog/services", params).json()
        found = {name: set(its_tags or ()) for name, its_tags in answer.items()}
    if not found:
        click.echo(_NONE.format("services"), err=True)
    elif tags:
        click.echo(table([[name, ",".join(sorted(found[name]))] for name in sorted(found)], _GAP))
    else:
        click.echo("\n".join(sorted(found)))


catalog = group(
    "catalog",
    "Ask the catalog for datacenters, nodes and services.",
    {
        "datacenters": ("portway.cli.catalog:datacenters", "List the datacenters."),
        "nodes": ("portway.cli.catalog:nodes", "List the nodes."),
        "services": ("portway.cli.catalog:services", "List the services."),
    },
)
