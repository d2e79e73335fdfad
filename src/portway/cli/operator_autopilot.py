"""``operator autopilot``: how servers that fail are replaced."""

from __future__ import annotations

from typing import Any

import click

from portway.cli import duration
from portway.cli.client import Client
from portway.cli.command import (
    BOOL,
    DURATION,
    UINT,
    Wrong,
    command,
    fail,
    failing,
    flag,
    no_arguments,
)
from portway.cli.output import go_json, print_json

_CONFIGURATION = "operator/autopilot/configuration"
_LABEL = 30  # columns
_SHOWN = (
    "CleanupDeadServers",
    "LastContactThreshold",
    "MaxTrailingLogs",
    "MinQuorum",
    "ServerStabilizationTime",
    "RedundancyZoneTag",
    "DisableUpgradeMigration",
    "UpgradeVersionTag",
)
_STATE = (
    *("Healthy", "FailureTolerance", "OptimisticFailureTolerance", "Servers", "Leader"),
    *("Voters", "RedundancyZones", "ReadReplicas", "Upgrade"),
)
_SERVER = (
    *("ID", "Name", "Address", "NodeStatus", "Version", "LastContact", "LastTerm", "LastIndex"),
    *("Healthy", "StableSince", "RedundancyZone", "UpgradeVersion", "ReadReplica", "Status"),
    *("Meta", "NodeType"),
)
_QUOTED = {"RedundancyZoneTag", "UpgradeVersionTag"}


@command("get-config", server=True)
def get_config(client: Client, args: tuple[str, ...]) -> None:
    """Show the configuration."""
    no_arguments(args)
    with failing("Error querying Autopilot configuration"):
        config = client.get(_CONFIGURATION).json()
    for key in _SHOWN:
        value = config.get(key)
        if isinstance(value, bool):
            value = "true" if value else "false"
        elif key in _QUOTED:
            value = go_json(value or "")
        click.echo(f"{key} = {0 if value is None else value}")


@command("set-config", server=True)
@flag("cleanup-dead-servers", BOOL, "Remove servers that failed; true or false.", default=...)
@flag("disable-upgrade-migration", BOOL, "Do not move to newer versions.", default=...)
@flag("last-contact-threshold", DURATION, "Silence after which a server is ill.", default=...)
@flag("max-trailing-logs", UINT, "Entries a server may be behind.", default=...)
@flag("min-quorum", UINT, "Voters below which none is removed.", default=...)
@flag("redundancy-zone-tag", str, "Metadata key that names the zone of a server.", default=...)
@flag("server-stabilization-time", DURATION, "Health before a server votes.", default=...)
@flag("upgrade-version-tag", str, "Metadata key that names a server's version.", default=...)
def set_config(client: Client, args: tuple[str, ...], **changes: Any) -> None:
    """Change the configuration; what is not named is left as it is."""
    no_arguments(args)
    given = {_key(name): value for name, value in changes.items() if value is not None}
    if not given:
        raise Wrong("Nothing to change: name an option")
    for key in ("LastContactThreshold", "ServerStabilizationTime"):
        if key in given:
            given[key] = duration.show(given[key])
    with failing("Error querying Autopilot configuration"):
        config = client.get(_CONFIGURATION).json()
    index = config.get("ModifyIndex", 0)
    with failing("Error setting Autopilot configuration"):
        done = client.put(_CONFIGURATION, {"cas": index}, {**config, **given}).json()
    if done is not True:
        fail("Configuration could not be atomically updated, please try again")
    click.echo("Configuration updated!")


def _key(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


@command("state", server=True)
@flag("format", str, "Output `format`: pretty or json.", default="pretty")
def state(client: Client, args: tuple[str, ...], format: str) -> None:  # noqa: A002
    """Show the state of the servers."""
    no_arguments(args)
    if format not in ("pretty", "json"):
        raise Wrong(f"Unknown format: {format}")
    with failing("Error querying Autopilot state"):
        found = client.get("operator/autopilot/state").json()
    if format == "json":
        print_json(_ordered(found))
    else:
        click.echo("\n".join([*_pretty(found), ""]))


def _ordered(found: dict[str, Any]) -> dict[str, Any]:
    """The state in the order Consul's command prints it in."""
    servers = (found.get("Servers") or {}).items()
    ordered = {key: found[key] for key in _STATE if key in found}
    ordered["Servers"] = {
        name: {key: server[key] for key in _SERVER if key in server}
        for name, server in ((name, {"ReadReplica": False, **server}) for name, server in servers)
    }
    return ordered


def _pretty(found: dict[str, Any]) -> list[str]:
    lines = _rows(
        "",
        _LABEL,
        ("Healthy", found["Healthy"]),
        ("Failure Tolerance", found["FailureTolerance"]),
        ("Optimistic Failure Tolerance", found.get("OptimisticFailureTolerance", 0)),
        ("Leader", found.get("Leader", "")),
    )
    lines += ["Voters:", *(f"   {voter}" for voter in found.get("Voters") or ())]
    lines.append("Servers:")
    for name, server in sorted((found.get("Servers") or {}).items()):
        lines.append(f"   {name}")
        lines += _rows(
            "      ",
            17,
            ("Name", server.get("Name", "")),
            ("Address", server.get("Address", "")),
            ("Version", server.get("Version", "")),
            ("Status", server.get("Status", "")),
            ("Node Type", server.get("NodeType", "")),
            ("Node Status", server.get("NodeStatus", "")),
            ("Healthy", server.get("Healthy", False)),
            ("Last Contact", server.get("LastContact", "")),
            ("Last Term", server.get("LastTerm", 0)),
            ("Last Index", server.get("LastIndex", 0)),
        )
        if meta := server.get("Meta"):
            lines.append("      Meta")
            lines += [f'         "{key}": {go_json(value)}' for key, value in sorted(meta.items())]
    return lines


def _rows(indent: str, width: int, *rows: tuple[str, Any]) -> list[str]:
    shown = ((label, go_json(v) if isinstance(v, bool) else v) for label, v in rows)
    return [f"{indent}{label + ':':<{width}}{value}".rstrip() for label, value in shown]
