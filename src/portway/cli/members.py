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
    chosen.sort(key=_order)
    click.echo(table(_detailed(chosen) if detailed else _plain(chosen)))
    return 0


def _plain(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [_HEADER]
    for member in members:
        tags = _tags(member)
        rows.append(
            [
                member["Name"],
                _address(member),
                _status(member),
                _TYPES.get(tags.get("role", ""), "unknown"),
                tags.get("build", "").partition(":")[0] or "< 0.3",
                tags.get("vsn", ""),
                tags.get("dc", ""),
                tags.get("ap") or "default",
                _segment(tags),
            ]
        )
    return rows


def _detailed(members: list[dict[str, Any]]) -> list[list[str]]:
    rows = [["Node", "Address", "Status", "Tags"]]
    for member in members:
        shown = {"ap": "default", **_tags(member), "segment": _segment(_tags(member))}
        tags = ",".join(f"{name}={value}" for name, value in sorted(shown.items()))
        rows.append([member["Name"], _address(member), _status(member), tags])
    return rows


def _order(member: dict[str, Any]) -> tuple[str, str, str]:
    tags = _tags(member)  # servers come first, since "<all>" does
    return _segment(tags), tags.get("ap") or "default", member["Name"]


def _tags(member: dict[str, Any]) -> dict[str, str]:
    return member.get("Tags") or {}


def _segment(tags: dict[str, str]) -> str:
    return "<all>" if tags.get("role") == "consul" else tags.get("segment") or "<default>"


def _status(member: dict[str, Any]) -> str:
    return _STATUS.get(member["Status"], "none")


def _address(member: dict[str, Any]) -> str:
    host = member["Addr"]
    return f"[{host}]:{member['Port']}" if ":" in host else f"{host}:{member['Port']}"
