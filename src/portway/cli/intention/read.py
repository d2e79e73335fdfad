"""``intention check``, ``get``, ``list`` and ``match``."""

from __future__ import annotations

import re
from datetime import datetime

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import Wrong, command, failing, flag, no_arguments
from portway.cli.intention import names
from portway.cli.output import go_json, table

_DENIED = 1
_USAGE = 2
_NONE = 2  # the exit code of a list that is empty
_FRACTION = re.compile(r"(\.\d{6})\d+")


class _UsageError(click.ClickException):
    """Wrong usage or failure of ``check``, whose exit code 1 means that a call is denied."""

    exit_code = _USAGE


@command("check", "SRC DST", server=True)
def check(client: Client, args: tuple[str, ...]) -> int:
    """Say whether a service may call another.

    The exit code is 0 if it may, 1 if it may not, and 2 if it is not known. Intentions with
    permissions count as a refusal, as they are about requests and not about connections.
    """
    if len(args) != 2:
        raise _UsageError("Error: command requires exactly two arguments: src and dst")
    where = {"source": args[0], "destination": args[1]}
    try:
        allowed = client.get("connect/intentions/check", where).json()["Allowed"]
    except ApiError as error:
        raise _UsageError(f"Error checking the connection: {error}") from None
    click.echo("Allowed" if allowed else "Denied")
    return 0 if allowed else _DENIED


@command("list", server=True)
def list_(client: Client, args: tuple[str, ...]) -> int:
    """List the intentions, those that decide first at the top."""
    no_arguments(args)
    with failing("Failed to retrieve the intentions list"):
        rows = client.get("connect/intentions").json()
    if not rows:
        click.echo("There are no intentions.", err=True)
        return _NONE
    lines = [["ID", "Source", "Action", "Destination", "Precedence"]]
    for row in rows:
        cells = [row.get("ID", ""), names.source(row), names.action(row), row["DestinationName"]]
        lines.append([*cells, str(row["Precedence"])])
    click.echo(table(lines))
    return 0


@command("match", "SRC|DST", server=True)
@flag("destination", bool, "The argument is a destination; the default.")
@flag("source", bool, "The argument is a source.")
def match(client: Client, args: tuple[str, ...], destination: bool, source: bool) -> None:
    """List the intentions that concern a service, the one that decides first at the top."""
    if len(args) != 1:
        raise Wrong("Error: command requires exactly one argument: src or dst")
    name = args[0]
    if source and destination:
        raise Wrong("Error: only one of -source or -destination may be specified")
    by = "source" if source else "destination"
    with failing("Error matching the connection"):
        found = client.get("connect/intentions/match", {"by": by, "name": name}).json()
    for row in found.get(name) or []:
        click.echo(names.text(row))


@command("get", "SRC DST", server=True)
def get(client: Client, args: tuple[str, ...]) -> None:
    """Show an intention, by its source and destination, or by its ID."""
    row = names.found(client, args)
    lines = [["Source:", names.source(row)], ["Destination:", row["DestinationName"]]]
    if not row.get("Permissions"):
        lines.append(["Action:", row.get("Action", "")])
    if row.get("ID"):
        lines.append(["ID:", row["ID"]])
    if row.get("Description"):
        lines.append(["Description:", row["Description"]])
    for key, value in sorted((row.get("Meta") or {}).items()):
        lines.append([f"Meta[{key}]:", value])
    if row.get("CreatedAt"):
        lines.append(["Created At:", _time(row["CreatedAt"])])
    click.echo(table(lines, 1 if len(lines) == 1 else 2))
    if row.get("Permissions"):
        click.echo("Permissions:")
        click.echo(go_json(row["Permissions"], "  "))


def _time(text: str) -> str:
    """RFC 850 in the local time zone, as ``Monday, 02-Jan-06 15:04:05 UTC``."""
    plain = _FRACTION.sub(r"\1", text.replace("Z", "+00:00"))
    try:
        return datetime.fromisoformat(plain).astimezone().strftime("%A, %d-%b-%y %H:%M:%S %Z")
    except ValueError:
        return text
