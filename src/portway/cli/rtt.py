"""``rtt``: round trip times, estimated from network coordinates."""

from __future__ import annotations

import math
from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing, flag


@command("rtt", "NODE1 [NODE2]")
@flag("wan", bool, "Nodes are servers, named NODE.DATACENTER, of any datacenter.")
def rtt(client: Client, args: tuple[str, ...], wan: bool) -> None:
    """Estimate the round trip time between two nodes, or a node and the agent that is asked.

    Nothing is sent between them: their network coordinates tell.
    """
    if not 1 <= len(args) <= 2:
        raise Wrong("One or two node names must be specified")
    names = args if len(args) == 2 else (args[0], _own_name(client, wan))
    known = _of_servers(client, names) if wan else _of_nodes(client)
    if missing := [name for name in names if name not in known]:
        name = names[0] if wan else missing[0]  # only in one area is there a distance
        fail(f'Could not find a coordinate for node "{name}"')
    seconds = distance(known[names[0]], known[names[1]])
    kind = "WAN" if wan else "LAN"
    milliseconds = f"{seconds * 1000:.3f} ms"
    click.echo(
        f"Estimated {names[0]} <-> {names[1]} rtt: {milliseconds} (using {kind} coordinates)"
    )


def distance(a: dict[str, Any], b: dict[str, Any]) -> float:
    """Seconds between two Vivaldi coordinates, with heights; adjustments unless they undo it."""
    raw = math.dist(a["Vec"], b["Vec"]) + a["Height"] + b["Height"]
    adjusted = raw + a["Adjustment"] + b["Adjustment"]
    return float(adjusted if adjusted > 0 else raw)


def _own_name(client: Client, wan: bool) -> str:
    with failing("Unable to look up agent info"):
        config = client.get("agent/self").json()["Config"]
    return f"{config['NodeName']}.{config['Datacenter']}" if wan else str(config["NodeName"])


def _of_nodes(client: Client) -> dict[str, dict[str, Any]]:
    with failing("Error getting coordinates"):
        entries = client.get("coordinate/nodes").json()
    return {entry["Node"]: entry["Coord"] for entry in entries or ()}


def _of_servers(client: Client, names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    for name in names:
        if name.count(".") != 1:
            raise Wrong("Node names must be specified as <node name>.<datacenter> with -wan")
    with failing("Error getting coordinates"):
        areas = client.get("coordinate/datacenters").json()
    return {
        f"{entry['Node'].removesuffix('.' + area['Datacenter'])}.{area['Datacenter']}": entry[
            "Coord"
        ]
        for area in areas or ()
        for entry in area["Coordinates"]
    }
