"""``members``: the members of the cluster, as this agent sees them."""

from __future__ import annotations

from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import command, fail, failing, flag, no_arguments
from portway.cli.output import table

_ALL = "_all"  # segments
_STATUS = {1: "alive", 2: "leaving", 3: "left", 4: "failed"}
_TYPES = {"consul": "server", "node": "client"}
_HEADER = ["Node", "Address", "Status", "Type", "Build", "Protocol", "DC", "Partition", "Segment"]
_NOBODY = 2  # the exit code when no member fits


@command("members", server=True)
@flag("detailed", bool, "Show the tags of each member.")
@flag("filter", str, "Expression that members must fulfil.")
@flag("segment", str, "Only members of this network segment.", default=_ALL)
@flag("status", str, "Only members whose status matches this `regexp`.", default=".*")
@flag("wan", bool, "Ask for the servers of all datacenters.")
def members(
    client: Client,
    args: tuple[str, ...],
    detailed: bool,
    filter: str,  # noqa: A002
    segment: str,
    status: str,
    wan: bool,
) -> int:
    """List the members of the cluster, as the agent that is asked sees them.

    The exit code is 2 if there is none that fits.
    """
    no_arguments(args)
    from portway.discovery.operations.patterns import pattern

    try:
        wanted = pattern(status)
    except ValueError as error:
        fail(f"Failed to compile status regexp: {error}")
    params = {"wan": "1" if wan else None, "segment": segment or None, "filter": filter or None}
    with failing("Error retrieving members"):
        found = client.get("agent/members", params).json()
    chosen = [member for member in found if wanted.search(_status(member))]
    if not chosen:
        return _NOBODY
    for member in chosen:
        member["Tags"] = _labelled(member.get("Tags") or {}, every=segment == _ALL)
    chosen.sort(key=_order)
    click.echo(table(_detailed(chosen) if detailed else _plain(chosen)))
    return 0


def _labelled(tags: dict[str, str], *, every: bool) -> dict[str, str]:
    """The tags with partition and segment; a server is in ``every`` one if all are asked for."""
    server = every and tags.get("role") == "consul"
    segment = "<all>" if server else tags.get("segment") or "<default>"
    return {**tags, "ap": tags.get("ap") or "default", "segment": segment}


def _plain(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [_HEADER]
    for member in members:
        tags = member["Tags"]
        rows.append(
            [
                member["Name"],
                _address(member),
                _status(member),
                _TYPES.get(tags.get("role", ""), "unknown"),
                tags.get("build", "").partition(":")[0] or "< 0.3",
                tags.get("vsn", ""),
                tags.get("dc", ""),
                tags["ap"],
                tags["segment"],
            ]
        )
    return rows


def _detailed(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "Address", "Status", "Tags"]]
    for member in members:
        tags = ",".join(f"{name}={value}" for name, value in sorted(member["Tags"].items()))
        rows.append([member["Name"], _address(member), _status(member), tags])
    return rows


def _order(member: dict[str, Any]) -> tuple[bool, bool, str, str, str]:
    tags = member["Tags"]
    client, other = tags.get("role") != "consul", tags["ap"] != "default"
    return client, other, tags["segment"], tags["ap"], member["Name"]


def _status(member: dict[str, Any]) -> str:
    return _STATUS.get(member["Status"], "none")


def _address(member: dict[str, Any]) -> str:
    host = member["Addr"]
    return f"[{host}]:{member['Port']}" if ":" in host else f"{host}:{member['Port']}"
