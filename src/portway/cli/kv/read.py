"""``kv get``, ``kv export``, ``kv history``."""

from __future__ import annotations

import json
from typing import Any

import click

from portway.cli.client import ApiError, Client
from portway.cli.command import UINT, Failed, Wrong, command, fail, flag
from portway.cli.kv.key import about, path, shown, value
from portway.cli.kv.key import detailed as all_of
from portway.cli.output import go_json, print_json, table

_SHOWN = 60  # characters of a value in the list of versions


@command("get", "[KEY_OR_PREFIX]", server=True)
@flag("base64", bool, "Print values in base64.")
@flag("detailed", bool, "Print all there is to know of a key, not only its value.")
@flag("keys", bool, "Print only the keys that start with the prefix.")
@flag("recurse", bool, "Print all keys that start with the prefix, with their values.")
@flag("separator", str, "With -keys: cut keys after this `text`.", default="/")
@flag("index", UINT, "Print an earlier version of the key, by its ModifyIndex in kv history.")
@flag("version", UINT, "Print a version since the key was last created, by its number.")
def get(
    client: Client,
    args: tuple[str, ...],
    base64: bool,
    detailed: bool,
    index: int,
    keys: bool,
    recurse: bool,
    separator: str,
    version: int,
) -> None:
    """Print the value of a key, or of all keys that start with a prefix.

    A key without an entry is an error, and the exit code 1.
    """
    if len(args) > 1:
        raise Wrong(f"Too many arguments (expected 1, got {len(args)})")
    key = path(args[0] if args else "")
    if not key and not (recurse or keys):
        raise Wrong("Error! Missing KEY argument")
    if (version or index) and (recurse or keys):
        raise Wrong("Cannot specify -version or -index with -recurse or -keys!")
    if version and index:
        raise Wrong("Cannot specify both -version and -index!")
    try:
        if keys and recurse:
            _print_names(_below(client, key), detailed)
        elif keys:
            found = client.get(f"kv/{key}", {"keys": True, "separator": separator}, missing=[404])
            for name in found.json() if found.status == 200 else []:
                click.echo(name)
        elif recurse:
            _print_all(_below(client, key), detailed, base64)
        else:
            earlier = _version(client, key, version, index) if version or index else None
            entry = earlier or _entry(client, key)
            click.echo(all_of(entry, base64) if detailed else shown(entry, base64))
    except ApiError as error:
        fail(f"Error querying Consul agent: {error}")


def _print_names(entries: list[dict[str, Any]], detailed: bool) -> None:
    for number, entry in enumerate(entries):
        if detailed:
            click.echo(("\n" if number else "") + about(entry))
        else:
            click.echo(entry["Key"])


def _print_all(entries: list[dict[str, Any]], detailed: bool, base64: bool) -> None:
    for number, entry in enumerate(entries):
        if detailed:
            click.echo((b"\n" if number else b"") + all_of(entry, base64))
        else:
            click.echo(entry["Key"].encode() + b":" + shown(entry, base64))


def _entry(client: Client, key: str) -> dict[str, Any]:
    found = client.get(f"kv/{key}", missing=[404])
    if found.status == 404:
        fail(f"Error! No key exists at: {key}")
    entry: dict[str, Any] = found.json()[0]
    return entry


def _below(client: Client, prefix: str) -> list[dict[str, Any]]:
    found = client.get(f"kv/{prefix}", {"recurse": True}, missing=[404])
    return found.json() if found.status == 200 else []


@command("export", "[PREFIX]", server=True)
def export(client: Client, args: tuple[str, ...]) -> None:
    """Print all keys that start with a prefix as JSON, for kv import to read.

    Without a prefix all keys are printed. Values are in base64, since they may be any bytes.
    """
    if len(args) > 1:
        raise Wrong(f"Too many arguments (expected 1, got {len(args)})")
    try:
        entries = _below(client, path(args[0] if args else ""))
    except ApiError as error:
        fail(f"Error querying Consul agent: {error}")
    tree = [
        {"key": entry["Key"], "flags": entry["Flags"], "value": entry.get("Value") or ""}
        for entry in entries
    ]
    click.echo(go_json(tree, "\t"))


@command("history", "KEY", server=True)
@flag("format", str, "Output `format`: pretty or json.", default="pretty")
def history(client: Client, args: tuple[str, ...], format: str) -> None:  # noqa: A002
    """List the versions of a key that are kept, the newest first.

    Their values are shown in one line and cut; consul kv get -version=N prints one as it was.
    """
    if not args:
        raise Wrong("Error! Missing KEY argument")
    if len(args) > 1:
        raise Wrong(f"Too many arguments (expected 1, got {len(args)})")
    if format not in ("pretty", "json"):
        raise Wrong(f'Invalid format "{format}"; valid: pretty, json')
    try:
        versions = _versions(client, path(args[0]))
    except ApiError as error:
        fail(f"Error querying Consul agent: {error}")
    if format == "json":
        print_json(versions)
        return
    rows = [["Version", "ModifyIndex", "Flags", "Session", "Value"]]
    rows += [
        [
            str(entry["Version"]),
            str(entry["ModifyIndex"]),
            str(entry.get("Flags", 0)),
            entry.get("Session") or "-",
            "(deleted)" if entry.get("Deleted") else _line(value(entry)),
        ]
        for entry in versions
    ]
    click.echo(table(rows))


def _versions(client: Client, key: str) -> list[dict[str, Any]]:
    found = client.get(f"kv/{key}", {"history": True}, missing=[404])
    if found.status == 404:
        fail(f"Error! No key exists at: {key}")
    versions: list[dict[str, Any]] = found.json()
    return versions


def _version(client: Client, key: str, number: int, index: int) -> dict[str, Any]:
    """A kept version, by its number or its index."""
    which = f"version {number}" if number else f"version at index {index}"
    params = {"history": True, "version": number or None}
    found = client.get(f"kv/{key}", params, missing=[404])
    for entry in found.json() if found.status == 200 else ():
        if index not in (0, entry["ModifyIndex"]):
            continue
        if entry.get("Deleted"):
            fail(f"Error! The {which} of {key} is its deletion")
        return {"Flags": 0, "LockIndex": 0, **entry}
    raise Failed(f"Error! No {which} of {key} is kept")


def _line(content: bytes) -> str:
    """A value in one line: as it is if it is plain text, else quoted; cut if it is long."""
    text = content.decode(errors="replace")
    text = text if text.isprintable() else json.dumps(text, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
