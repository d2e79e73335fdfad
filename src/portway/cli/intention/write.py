"""``intention create`` and ``intention delete``."""

from __future__ import annotations

import json
from urllib.parse import quote

import click

from portway.cli.client import ApiError, Client, StatusError
from portway.cli.command import PAIR, Failed, Wrong, command, fail, flag
from portway.cli.data import contents, data
from portway.cli.intention import names
from portway.cli.intention.names import Row

_PATH = "connect/intentions"
_OF_ENTRY = "cannot use legacy intention API"


@command("create", "SRC DST", server=True)
@flag("allow", bool, "Allow the calls; the default.")
@flag("deny", bool, "Refuse the calls.")
@flag("file", bool, "The arguments are files of intentions in JSON; - is standard input.")
@flag("meta", PAIR, "Metadata; may be given several times.", multiple=True)
@flag("replace", bool, "Replace an intention that is there already.")
def create(
    client: Client,
    args: tuple[str, ...],
    allow: bool,
    deny: bool,
    file: bool,
    meta: tuple[tuple[str, str], ...],
    replace: bool,
) -> None:
    """Allow or refuse that a service calls another; either may be * for every service."""
    if allow and deny:
        raise Wrong("Only one of -allow or -deny may be specified.")
    if file:
        rows = [_of_file(path) for path in args]
    elif len(args) != 2:
        raise Wrong("Error: Must specify two arguments: source and destination")
    else:
        action = "deny" if deny else "allow"
        row = {"SourceName": _name(args[0], "source"), "Action": action, "SourceType": "consul"}
        row["DestinationName"] = _name(args[1], "destination")
        rows = [row | ({"Meta": dict(meta)} if meta else {})]
    for row in rows:
        if replace and _replaced(client, row):
            continue
        _create(client, row)
        click.echo(f"Created: {names.text(row)}")


def _create(client: Client, row: Row) -> None:
    try:
        client.post(_PATH, (), row)
        return
    except StatusError as error:
        if _OF_ENTRY not in error.body or row.get("Meta"):
            raise Failed(f'Error creating intention "{names.text(row)}": {error}') from None
    except ApiError as error:
        raise Failed(f'Error creating intention "{names.text(row)}": {error}') from None
    # The destination has a config entry: the intention becomes one of its sources.
    try:
        if client.get(f"{_PATH}/exact", _ends(row), missing=[404]).status == 200:
            raise ApiError("the intention exists already; -replace writes it anew")
        client.put(f"{_PATH}/exact", _ends(row), row)
    except ApiError as error:
        raise Failed(f'Error creating intention "{names.text(row)}": {error}') from None


def _replaced(client: Client, row: Row) -> bool:
    """Write an intention in the place of one that exists; false when none does."""
    ends = f'source "{row["SourceName"]}" and destination "{row["DestinationName"]}"'
    try:
        answer = client.get(f"{_PATH}/exact", _ends(row), missing=[404])
    except ApiError as error:
        raise Failed(f"Error looking up intention for replacement with {ends}: {error}") from None
    if answer.status == 404:
        return False
    old = answer.json()
    try:
        if old.get("ID"):
            client.put(f"{_PATH}/{old['ID']}", (), row)
        else:
            client.put(f"{_PATH}/exact", _ends(row), row)
    except ApiError as error:
        raise Failed(f"Error replacing intention with {ends}: {error}") from None
    return True


def _ends(row: Row) -> dict[str, str]:
    return {"source": row["SourceName"], "destination": row["DestinationName"]}


def _name(text: str, what: str) -> str:
    *scopes, name = text.split("/")
    if len(scopes) > 2:
        raise Wrong(f"Error: Invalid intention {what}: input can contain at most two '/'")
    if any(scope.lower() != "default" for scope in scopes):
        raise Wrong(
            f"Error: Invalid intention {what}: namespaces and partitions are a Consul Enterprise "
            "feature"
        )
    return name


def _of_file(path: str) -> Row:
    try:
        row = json.loads(data("-") if path == "-" else contents(path))
    except OSError as error:
        fail(f"Error: {str(error).removeprefix('Failed to read file: ')}")
    except ValueError as error:
        fail(f"Error: {error}")
    if not isinstance(row, dict) or not (row.get("SourceName") and row.get("DestinationName")):
        fail(f"Error: {path} is no intention: it needs SourceName, DestinationName and Action")
    if row.get("Permissions"):
        fail(
            f'Error: cannot create L7 intention from file "{path}" using this CLI; use '
            "'consul config write' instead"
        )
    return row


@command("delete", "SRC DST", server=True)
def delete(client: Client, args: tuple[str, ...]) -> None:
    """Delete an intention, by its source and destination, or by its ID."""
    if len(args) not in (1, 2):
        raise Wrong("command requires exactly 1 or 2 arguments")
    try:
        if len(args) == 1:
            client.delete(f"{_PATH}/{quote(args[0], safe='')}")
        else:
            client.delete(f"{_PATH}/exact", {"source": args[0], "destination": args[1]})
    except ApiError as error:
        raise Failed(f"Error deleting the intention: {error}") from None
    click.echo("Intention deleted.")
