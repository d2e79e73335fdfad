"""``operator usage``: how much the cluster holds."""

from __future__ import annotations

from typing import Any

import click

from portway.cli.client import Client
from portway.cli.command import Wrong, command, fail, failing, flag, no_arguments
from portway.cli.output import table

_GAP = 6  # columns


@command("instances", server=True)
@flag("all-datacenters", bool, "Count in all datacenters, not only in that of the agent.")
@flag("billable", bool, "Show only the instances that count, and nodes.")
@flag("connect", bool, "Show only instances of the mesh.")
def instances(
    client: Client, args: tuple[str, ...], all_datacenters: bool, billable: bool, connect: bool
) -> None:
    """Count services, their instances, and nodes."""
    no_arguments(args)
    if billable and connect:
        raise Wrong("Cannot specify both -billable and -connect flags")
    with failing("Error fetching usage information"):
        usage = client.get("operator/usage", {"global": all_datacenters}).json()["Usage"]
    if not connect:
        _billable(usage, all_datacenters)
    if not billable:
        click.echo("Connect Services")
        click.echo(_connect(usage, all_datacenters))


@command("utilization", api=False)
@flag("message", str, "Text to keep with the report.")
@flag("output", str, "File to write the report to.")
@flag("today-only", bool, "Report only the last figures.")
@flag("y", bool, "Send the report without asking.")
def utilization(
    args: tuple[str, ...], message: str, output: str, today_only: bool, y: bool
) -> None:
    """Report to its vendor how Consul Enterprise is used, which this is not."""
    del args, message, output, today_only, y
    fail("operator utilization requires Consul Enterprise")


def _billable(usage: dict[str, Any], all_datacenters: bool) -> None:
    total = sum(counts["BillableServiceInstances"] for counts in usage.values())
    click.echo(f"Billable Service Instances Total: {total}")
    for name in sorted(usage):
        click.echo(f"{name} Billable Service Instances: {usage[name]['BillableServiceInstances']}")
    services = [
        (name, str(usage[name]["Services"]), str(usage[name]["BillableServiceInstances"]))
        for name in sorted(usage)
    ]
    rows = [("Datacenter", "Services", "Service instances"), *services]
    if all_datacenters:
        counted = sum(counts["Services"] for counts in usage.values())
        rows += [("",) * 3, ("Total", str(counted), str(total))]
    else:
        rows = [row[1:] for row in rows]  # type: ignore[misc]
    click.echo(f"\nBillable Services\n{table(rows, _GAP)}\n\n")
    nodes = [(name, str(usage[name].get("Nodes", 0))) for name in sorted(usage)]
    every = str(sum(counts.get("Nodes", 0) for counts in usage.values()))
    rows_of_nodes = [("Datacenter", "Count"), *nodes, ("", ""), ("Total", every)]
    click.echo(f"Nodes\n{table(rows_of_nodes, _GAP)}\n\n")


def _connect(usage: dict[str, Any], all_datacenters: bool) -> str:
    rows = [("Datacenter", "Type", "Service instances")]
    total = 0
    for name in sorted(usage):
        for kind, number in sorted((usage[name].get("ConnectServiceInstances") or {}).items()):
            rows.append((name, kind, str(number)))
            total += number
    if not all_datacenters:
        return table([row[1:] for row in rows], _GAP)
    return table([*rows, ("", "", ""), ("Total", "", str(total))], _GAP)
